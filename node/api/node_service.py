"""NodeService: which node this is, and those of its ledgers on which the caller has a standing."""

from __future__ import annotations

from node.api.access import Access, Context
from syngraph.v1 import api_pb2 as api
from syngraph.v1 import api_pb2_grpc


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
