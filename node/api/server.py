"""The gRPC server of a node: services, health, reflection, limits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1._async import HealthServicer
from grpc_reflection.v1alpha import reflection

from node.api.access import Access
from node.api.inside import InsideCalls
from node.api.ledger_service import LedgerService
from node.api.node_service import NodeService
from syngraph.v1 import api_pb2, api_pb2_grpc

RECEIVED_BYTES_MAX: Final = 2 * 1024 * 1024
SENT_BYTES_MAX: Final = 16 * 1024 * 1024
STREAMS_A_CONNECTION_MAX: Final = 1_024
_OPTIONS: Final = (
    ("grpc.max_receive_message_length", RECEIVED_BYTES_MAX),
    ("grpc.max_send_message_length", SENT_BYTES_MAX),
    ("grpc.max_concurrent_streams", STREAMS_A_CONNECTION_MAX),
    ("grpc.max_metadata_size", 16 * 1024),
    # A peer that is gone is noticed within half a minute; one that pings more often than each 10 s is sent away.
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
    # Two nodes on one port would share the calls between them.
    ("grpc.so_reuseport", 0),
)
_SERVICES: Final = tuple(service.full_name for service in api_pb2.DESCRIPTOR.services_by_name.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSettings:
    """Where and within which limits a node serves."""

    address: str
    organization_id: str
    version: str
    commit_timeout_s: float
    streams_max: int


class ApiServer:
    """A node's gRPC server. `port` is known after `start` (an address may end in :0)."""

    def __init__(self, settings: ServerSettings, access: Access, credentials: grpc.ServerCredentials) -> None:
        """Nothing listens before `start`."""
        self._server = grpc.aio.server(options=_OPTIONS, maximum_concurrent_rpcs=settings.streams_max)
        self._health = HealthServicer()
        ledger_service = LedgerService(access, commit_timeout_s=settings.commit_timeout_s)
        node_service = NodeService(access, settings.organization_id, settings.version)
        self._services = (ledger_service, node_service)
        api_pb2_grpc.add_LedgerServiceServicer_to_server(ledger_service, self._server)
        api_pb2_grpc.add_NodeServiceServicer_to_server(node_service, self._server)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        names = (*_SERVICES, "grpc.health.v1.Health", reflection.SERVICE_NAME)
        reflection.enable_server_reflection(names, self._server)
        self.port = self._server.add_secure_port(settings.address, credentials)

    def inside(self, certificate: bytes) -> InsideCalls:
        """The way of this process's own agents to the services: a member's certificate in PEM says whose."""
        return InsideCalls(self._services, certificate)

    async def start(self) -> None:
        """Serve; health is NOT_SERVING until `set_ready`."""
        await self._server.start()
        await self.set_ready(ready=False)

    async def set_ready(self, *, ready: bool) -> None:
        """What the health service answers, for the node ("") and for each service."""
        status = health_pb2.HealthCheckResponse.SERVING if ready else health_pb2.HealthCheckResponse.NOT_SERVING
        for name in ("", *_SERVICES):
            await self._health.set(name, status)

    async def stop(self, grace_s: float = 1.0) -> None:
        """End open calls within `grace_s` seconds."""
        await self._server.stop(grace_s)

    async def wait(self) -> None:
        """Return when the server has stopped."""
        await self._server.wait_for_termination()
