"""NodeService: which node this is, and those of its ledgers on which the caller has a standing."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Final

from node.api.access import Access, Context
from node.application_client import ApplicationAway, ApplicationRefused
from syngraph.v1 import api_pb2 as api
from syngraph.v1 import api_pb2_grpc

# What nobody tells of is looked for so often: a certificate that expires, contracts of another version, a halt.
_LOOK_S: Final = 10.0
_LOOK_STARTING_S: Final = 0.5


class NodeService(api_pb2_grpc.NodeServiceServicer):
    """Answers everybody who passed TLS; a caller without a standing sees no ledger."""

    def __init__(self, access: Access, organization_id: str, version: str) -> None:
        """`version` is the software's."""
        self._access = access
        self._organization_id = organization_id
        self._version = version

    async def GetNodeStatus(self, request: api.GetNodeStatusRequest, context: Context) -> api.GetNodeStatusResponse:
        """The node and the caller's ledgers on it."""
        ledgers = [await link.status() for link, _ in self._access.visible(context)]
        return api.GetNodeStatusResponse(organization_id=self._organization_id, version=self._version, ledgers=ledgers)

    async def WatchLedgers(
        self, _request: api.WatchLedgersRequest, context: Context
    ) -> AsyncIterator[api.WatchLedgersResponse]:
        """The caller's ledgers, now and whenever they are others. The stream of a caller who has none ends after that."""
        told: api.WatchLedgersResponse | None = None
        while True:
            count = self._access.changes.count
            answer = await self._watched(context)
            if answer != told:
                told = answer
                yield answer
            if not answer.ledgers and not answer.starting:
                return
            await self._access.changes.after(count, _LOOK_STARTING_S if answer.starting else _LOOK_S)

    async def _watched(self, context: Context) -> api.WatchLedgersResponse:
        answer = api.WatchLedgersResponse(starting=self._access.is_starting())
        for link, _ in self._access.visible(context):
            try:
                status = await link.read_status()
            except (ApplicationAway, ApplicationRefused):
                # Of one that has halted nobody knows when it will answer.
                answer.starting = answer.starting or not link.halt
                continue
            answer.ledgers.add(
                ledger_id=link.ledger_id,
                name=link.name,
                kind=status.kind,
                contracts_version=status.contracts_version,
                halted=bool(status.halt or link.halt),
                membership=link.memberships,
            )
        return answer
