"""The asynchronous client of a node."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from types import TracebackType
from typing import Final, Self

from ledgers.client.connection import Calls, Connection, Credentials
from ledgers.client.errors import Refused
from ledgers.client.ledger import PAGE_SIZE, Ledger
from ledgers.client.records import LedgerStatus, NodeStatus, WatchedLedger, WatchedLedgers, read_status
from ledgers.kinds import INTERNAL
from smartcontracts.membership import OrganizationStatus
from syngraph.v1 import api_pb2 as api
from syngraph.v1 import application_pb2 as wire

_ID_PREFIX: Final = "sg_"


class Client:
    """A node, and its ledgers.

    async with Client("127.0.0.1:7400", credentials) as client:
        ledger = await client.ledger("acme-alpha")
        receipt = await ledger.submit([Act(name="add_member", command=...)], [signing_member])
    """

    def __init__(
        self,
        address: str,
        credentials: Credentials,
        *,
        server_name: str = "",
        others: Sequence[Connection] = (),
    ) -> None:
        """`others` lead to other members' nodes, for transactions that get no block through this one.

        A ledger's transactions are handed only to nodes of organizations on that ledger, by the CA that each connection trusts.
        """
        self._connection: Calls = Connection(address, credentials, server_name)
        self._others = tuple(others)

    @classmethod
    def through(cls, calls: Calls, *, others: Sequence[Connection] = ()) -> Self:
        """A client that reaches its node another way than by a connection of its own."""
        self = cls.__new__(cls)
        self._connection = calls
        self._others = tuple(others)
        return self

    async def __aenter__(self) -> Self:
        """Connections are made when first used."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close them."""
        await self.close()

    async def close(self) -> None:
        """End all calls and connections."""
        for connection in (self._connection, *self._others):
            await connection.close()

    async def node_status(self) -> NodeStatus:
        """The node, and those of its ledgers that the caller may see."""
        answer: api.GetNodeStatusResponse = await self._connection.call("GetNodeStatus", api.GetNodeStatusRequest())
        return NodeStatus(
            organization_id=answer.organization_id,
            version=answer.version,
            ledgers=tuple(read_status(status) for status in answer.ledgers),
        )

    async def watch_ledgers(self) -> AsyncIterator[WatchedLedgers]:
        """The ledgers that the caller may see, now and whenever they are others; ends if there are none."""
        async for answer in self._connection.stream("WatchLedgers", api.WatchLedgersRequest()):
            yield WatchedLedgers(
                ledgers=tuple(
                    WatchedLedger(
                        ledger_id=one.ledger_id,
                        name=one.name,
                        kind=one.kind,
                        contracts_version=one.contracts_version,
                        halted=one.halted,
                        membership=one.membership,
                    )
                    for one in answer.ledgers
                ),
                starting=answer.starting,
            )

    async def ledger(self, name: str) -> Ledger:
        """A ledger by its id, or by the node's local name for it. Raises Refused (LEDGER_UNKNOWN, NODE_STARTING)."""
        return await self.ledger_of(await self._find(name))

    async def ledger_of(self, status: LedgerStatus) -> Ledger:
        """The ledger that `node_status` tells of, without asking for it once more."""
        return Ledger(self._connection, await self._of_members(status), status)

    async def _of_members(self, status: LedgerStatus) -> tuple[Connection, ...]:
        """Those of the others that may know what is on this ledger."""
        if not self._others or status.kind == INTERNAL:
            return ()
        members: set[str] = set()
        # Ids are all that is wanted, so a record that this software does not know is no hindrance.
        active = wire.Filter(kind="organization", status=OrganizationStatus.ACTIVE)
        request = wire.ListRequest(ledger_id=status.ledger_id, filter=active, page_size=PAGE_SIZE)
        try:
            while True:
                answer: wire.ListResponse = await self._connection.call("List", request)
                members.update(document.id for document in answer.documents)
                if not answer.next_page_token:
                    break
                request.page_token = answer.next_page_token
        except Refused:
            return ()
        return tuple(other for other in self._others if other.organization_id in members)

    async def _find(self, name: str) -> LedgerStatus:
        if not name.startswith(_ID_PREFIX):
            for status in (await self.node_status()).ledgers:
                if status.name == name:
                    return status
        # Of a name that it doesn't show the node says itself whether there is none, or it is still starting.
        request = wire.GetLedgerStatusRequest(ledger_id=name)
        answer: wire.GetLedgerStatusResponse = await self._connection.call("GetLedgerStatus", request)
        return read_status(answer.status)
