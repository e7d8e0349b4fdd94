"""A connection to one node: mutual TLS, limits, and errors as the client's own."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

import grpc

from ledgers.client.errors import of_rpc_error
from ledgers.client.identity import organization_of, read_secret
from syngraph.v1 import api_pb2_grpc

RECEIVED_BYTES_MAX: Final = 16 * 1024 * 1024
CALL_TIMEOUT_S: Final = 15.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """PEM of the CA that the node's certificate comes from, and of the caller's certificate and key."""

    authority: bytes
    certificate: bytes
    key: bytes

    @classmethod
    def from_files(cls, *, authority: Path, certificate: Path, key: Path) -> Credentials:
        """Read them. Raises KeyFileWrong if others may read the key, OSError if a certificate is missing."""
        return cls(authority=authority.read_bytes(), certificate=certificate.read_bytes(), key=read_secret(key))


class Calls(Protocol):
    """A way to one node's services. Raises `ledgers.client.errors` from every call."""

    async def close(self) -> None:
        """End all calls."""

    async def call(self, method: str, request: Any, timeout_s: float = CALL_TIMEOUT_S) -> Any:
        """Call a unary method."""

    def stream(self, method: str, request: Any) -> AsyncGenerator[Any, None]:
        """Call a method that answers with a stream."""


class Connection:
    """One node's services. Raises `ledgers.client.errors` from every call."""

    def __init__(self, address: str, credentials: Credentials, server_name: str = "") -> None:
        """`server_name` is what the node's certificate names, where that is not the host of `address`."""
        options: list[tuple[str, Any]] = [
            ("grpc.max_receive_message_length", RECEIVED_BYTES_MAX),
            ("grpc.keepalive_time_ms", 20_000),
            ("grpc.keepalive_permit_without_calls", 1),
            # A node that restarts is tried again soon.
            ("grpc.max_reconnect_backoff_ms", 2_000),
            # One pool a connection: two members in one process must not share one.
            ("grpc.use_local_subchannel_pool", 1),
            ("grpc.enable_retries", 0),
        ]
        if server_name:
            options.append(("grpc.ssl_target_name_override", server_name))
        tls = grpc.ssl_channel_credentials(credentials.authority, credentials.key, credentials.certificate)
        self.address = address
        self.organization_id = organization_of(credentials.authority)
        self.channel = grpc.aio.secure_channel(address, tls, options=options)
        self.ledger = api_pb2_grpc.LedgerServiceStub(self.channel)
        self.node = api_pb2_grpc.NodeServiceStub(self.channel)

    async def close(self) -> None:
        """End all calls."""
        await self.channel.close(None)

    async def call(self, method: str, request: Any, timeout_s: float = CALL_TIMEOUT_S) -> Any:
        """Call a unary method of LedgerService, or of NodeService if that has it."""
        try:
            return await self._method(method)(request, timeout=timeout_s)
        except grpc.aio.AioRpcError as error:
            raise of_rpc_error(error) from error

    async def stream(self, method: str, request: Any) -> AsyncGenerator[Any, None]:
        """Call a method that answers with a stream."""
        call = self._method(method)(request)
        try:
            async for answer in call:
                yield answer
        except grpc.aio.AioRpcError as error:
            raise of_rpc_error(error) from error
        finally:
            call.cancel()

    def _method(self, name: str) -> Any:
        return getattr(self.ledger if hasattr(self.ledger, name) else self.node, name)
