"""One ledger as the node sees it: the application's answers, the engine's, who has a standing, what has been committed.

Two streams of the application are followed all the time: changes of the membership, and what each block executed. The second
brings the receipts that somebody waits for, so nobody asks for them.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final, TypeVar

import structlog

from node.application_client import ApplicationAway, ApplicationClient, ApplicationRefused, ReaderTooSlow
from node.rpc import Checked, EngineAway, EngineRpc
from node.standing import Membership, Standings
from syngraph.v1 import application_pb2 as wire
from syngraph.v1.membership_pb2 import Member, Organization
from syngraph.v1.system_pb2 import Receipt, StoredDocument

_MEMBERSHIP_KINDS: Final = ("organization", "member")
_RECONNECT_S: Final = 0.25
# What restarts is back within seconds.
_APPLICATION_PATIENCE_S: Final = 5.0
_ENGINE_PATIENCE_S: Final = 10.0
_STATUS_AGE_S: Final = 0.5

Request = TypeVar("Request")
Answer = TypeVar("Answer")
MembershipChanged = Callable[["LedgerLink", Membership, Membership], None]


@dataclass(slots=True)
class _Waiting:
    receipt: asyncio.Future[Receipt]
    users: int = 1


@dataclass(slots=True)
class EngineView:
    """What the engine said last."""

    reachable: bool = False
    height: int = 0
    catching_up: bool = True
    peers: int = 0
    mempool_transactions: int = 0
    asked_at: float = field(default=-1.0)


class LedgerLink:
    """One ledger of this node. `start` begins to follow it, `close` ends that."""

    def __init__(
        self,
        ledger_id: str,
        name: str,
        application: ApplicationClient,
        engine: EngineRpc,
        *,
        validator: bool = False,
        membership_changed: MembershipChanged | None = None,
    ) -> None:
        """`application` may serve other ledgers, too; `membership_changed` gets (link, before, after)."""
        self.ledger_id = ledger_id
        self.name = name
        self.application = application
        self.engine = engine
        self.validator = validator
        self.standings = Standings()
        self.height = 0
        self.halt = ""
        # How often another membership was read.
        self.memberships = 0
        self._membership_changed = membership_changed
        self._settled_height = -1
        self._settled = asyncio.Condition()
        self._block = asyncio.Condition()
        self._waiting: dict[bytes, _Waiting] = {}
        # The last height whose receipts were all seen here; None: what was executed before has to be asked for.
        self._seen: int | None = None
        self._engine_view = EngineView()
        self._tasks: list[asyncio.Task[None]] = []
        self._log = structlog.get_logger().bind(ledger=name)

    def start(self) -> None:
        """Follow the ledger until `close`."""
        self._tasks = [
            asyncio.create_task(self._keep(self._follow_membership), name=f"membership {self.name}"),
            asyncio.create_task(self._keep(self._follow_blocks), name=f"blocks {self.name}"),
        ]

    async def close(self) -> None:
        """Stop following, and close the engine's connections."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.engine.close()

    # Blocks and membership

    async def settled(self, height: int) -> None:
        """Wait until the membership as of `height` is known here."""
        async with self._settled:
            await self._settled.wait_for(lambda: self._settled_height >= height)

    async def next_block(self, after: int) -> int:
        """Wait for a height above `after` and return it."""
        async with self._block:
            await self._block.wait_for(lambda: self.height > after)
            return self.height

    async def _keep(self, follow: Callable[[], Awaitable[None]]) -> None:
        """Follow again whenever the application went away."""
        while True:
            with contextlib.suppress(ApplicationAway, ApplicationRefused, ReaderTooSlow):
                await follow()
            await asyncio.sleep(_RECONNECT_S)

    async def _follow_membership(self) -> None:
        # Subscribed first and read afterwards, so that no change falls between the two.
        stream = self._events(_MEMBERSHIP_KINDS)
        first = asyncio.ensure_future(anext(stream))
        try:
            await self._read_membership()
            answer = await first
            while True:
                height = frame_height(answer)
                if answer.HasField("event") and height > self._settled_height:
                    await self._read_membership()
                await self._settle(height)
                answer = await anext(stream)
        finally:
            first.cancel()
            # Whatever became of it; only a cancellation of this task must not be lost here.
            await asyncio.gather(first, return_exceptions=True)
            await stream.aclose()

    async def _follow_blocks(self) -> None:
        request = wire.StreamBlocksRequest(ledger_id=self.ledger_id, after=self._seen)
        async with contextlib.aclosing(self.application.stream_blocks(request)) as blocks:
            try:
                async for block in blocks:
                    if self._seen is None:
                        # The stream begins after what was executed before anybody listened.
                        await self._look_up(tuple(self._waiting))
                    await self._take(block)
            except ApplicationRefused:
                # It keeps no list that goes back so far, or is behind what was seen: begin anew.
                self._seen = None
                raise

    def _events(self, kinds: tuple[str, ...]) -> AsyncGenerator[wire.StreamEventsResponse, None]:
        request = wire.StreamEventsRequest(ledger_id=self.ledger_id, after="now", kinds=kinds)
        return self.application.stream_events(request)

    async def _read_membership(self) -> None:
        height, organizations = await self._all("organization")
        _, members = await self._all("member")
        before = self.standings.membership
        after = Membership.of(
            (Organization.FromString(body) for body in organizations), (Member.FromString(body) for body in members)
        )
        self.standings.replace(after)
        await self._settle(height)
        if after != before:
            self.memberships += 1
            self._log.info("membership_read", organizations=len(after.organizations), members=len(after.members))
            if self._membership_changed is not None:
                self._membership_changed(self, before, after)

    async def _all(self, kind: str) -> tuple[int, list[bytes]]:
        """Height and bodies of all documents of a kind."""
        bodies: list[bytes] = []
        token = ""
        while True:
            page = await self.application.list(
                wire.ListRequest(
                    ledger_id=self.ledger_id, filter=wire.Filter(kind=kind), page_size=1_000, page_token=token
                )
            )
            bodies += [StoredDocument.FromString(document.stored).body for document in page.documents]
            token = page.next_page_token
            if not token:
                return page.height, bodies

    async def _settle(self, height: int) -> None:
        async with self._settled:
            self._settled_height = max(self._settled_height, height)
            self._settled.notify_all()

    async def _take(self, block: wire.StreamBlocksResponse) -> None:
        for executed in block.executed:
            if executed.transaction_id in self._waiting:
                self._resolve(Receipt.FromString(executed.receipt))
        if not block.complete:
            return
        self._seen = block.height
        if block.height > self.height:
            async with self._block:
                self.height = block.height
                self._block.notify_all()

    def _resolve(self, receipt: Receipt) -> None:
        waiting = self._waiting.get(receipt.transaction_id)
        if waiting is not None and not waiting.receipt.done():
            waiting.receipt.set_result(receipt)

    # Requests and transactions

    async def ask(self, method: Callable[[Request], Awaitable[Answer]], request: Request) -> Answer:
        """What a method of `application` answers; one that is restarting is waited for. Raises ApplicationAway, ApplicationRefused."""
        give_up = time.monotonic() + _APPLICATION_PATIENCE_S
        while True:
            try:
                return await method(request)
            except ApplicationAway:
                # Nothing that is asked here changes anything, so it may be asked twice.
                if time.monotonic() >= give_up:
                    raise
                await asyncio.sleep(_RECONNECT_S)

    async def broadcast(self, transaction: bytes) -> Checked:
        """Hand `transaction` to the engine; one that is restarting is waited for. Raises EngineAway, EngineRefused."""
        give_up = time.monotonic() + _ENGINE_PATIENCE_S
        while True:
            try:
                return await self.engine.broadcast(transaction)
            except EngineAway:
                # The same bytes twice are one transaction, so it does not matter whether the first call arrived.
                if time.monotonic() >= give_up:
                    raise
                await asyncio.sleep(_RECONNECT_S)

    async def wait_for_receipt(self, transaction_id: bytes, broadcast: Callable[[], Awaitable[bool]]) -> Receipt:
        """Call `broadcast`, then return the transaction's receipt once it is in a block. The caller sets the time limit.

        `broadcast` returns whether the engine knew the transaction already.
        """
        waiting = self._waiting.get(transaction_id)
        if waiting is None:
            future: asyncio.Future[Receipt] = asyncio.get_running_loop().create_future()
            waiting = self._waiting[transaction_id] = _Waiting(future)
        else:
            waiting.users += 1
        try:
            if await broadcast():
                # It may have been committed before: then no further block tells of it.
                await self._look_up((transaction_id,))
            return await asyncio.shield(waiting.receipt)
        finally:
            waiting.users -= 1
            if not waiting.users:
                self._waiting.pop(transaction_id, None)

    async def find_receipt(self, transaction_id: bytes) -> Receipt | None:
        """The receipt if the transaction is committed. Raises ApplicationAway."""
        request = wire.GetReceiptRequest(ledger_id=self.ledger_id, transaction_id=transaction_id)
        try:
            found = await self.ask(self.application.get_receipt, request)
        except ApplicationRefused:
            return None
        return found.receipt if found.receipt.transaction_id else None

    async def _look_up(self, transaction_ids: tuple[bytes, ...]) -> None:
        """Ask once for what may have been executed already. Raises ApplicationAway."""
        for receipt in await asyncio.gather(*(self.find_receipt(name) for name in transaction_ids)):
            if receipt is not None:
                self._resolve(receipt)

    # Status

    async def read_status(self) -> wire.LedgerStatus:
        """The application's part of the status. Raises ApplicationAway, ApplicationRefused."""
        request = wire.GetLedgerStatusRequest(ledger_id=self.ledger_id)
        return (await self.application.get_ledger_status(request)).status

    async def status(self) -> wire.LedgerStatus:
        """The whole status; `state` is "running", "starting" or "halted"."""
        try:
            status = await self.read_status()
        except (ApplicationAway, ApplicationRefused):
            status = wire.LedgerStatus(ledger_id=self.ledger_id, height=self.height)
        view = await self.engine_view()
        running = status.state in {"", "running"} and bool(status.app_hash) and view.reachable
        running = running and self.standings.known
        status.name = self.name
        status.catching_up = view.catching_up
        status.engine_height = view.height
        status.peers = view.peers
        status.mempool_transactions = view.mempool_transactions
        status.validator = self.validator
        status.halt = status.halt or self.halt
        status.state = "halted" if status.halt else "running" if running else "starting"
        return status

    async def engine_view(self) -> EngineView:
        """What the engine says, at most half a second old."""
        if time.monotonic() - self._engine_view.asked_at < _STATUS_AGE_S:
            return self._engine_view
        try:
            status = await self.engine.status()
            view = EngineView(
                reachable=True,
                height=status.height,
                catching_up=status.catching_up,
                peers=await self.engine.peers(),
                mempool_transactions=await self.engine.waiting_transactions(),
            )
        except EngineAway:
            view = EngineView(height=self._engine_view.height)
        view.asked_at = time.monotonic()
        self._engine_view = view
        return view


def frame_height(answer: wire.StreamEventsResponse) -> int:
    """The height that an event or a cursor ("height/index") belongs to."""
    if answer.HasField("event"):
        return answer.event.height
    height, _, _ = answer.cursor.partition("/")
    return int(height) if height.isdecimal() else 0
