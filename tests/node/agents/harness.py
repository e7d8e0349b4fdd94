"""Ports over ledgers in memory, and a clock that a test moves: what agents run on without a node.

Real contracts answer: `MemoryPort` submits to a `tests.smartcontracts.support.MemoryLedger` as one member. Events come as the
test lets them: lost, doubled, out of order.
"""

from __future__ import annotations

import asyncio
import heapq
from itertools import count

from ledgers.client import RefusalDetail, Refused
from ledgers.receipts import DocumentVersion, Receipt
from node.agents.desk import Desk
from node.agents.policies import Policies
from node.agents.runtime import Ledgers
from smartcontracts.kernel import Rejected, Role
from tests.smartcontracts.support import org


def refusal(rejected: Rejected) -> Refused:
    return Refused(
        RefusalDetail(
            code=rejected.code,
            name=rejected.refusal_name(),
            sentence=rejected.sentence,
            field=rejected.field,
            transient=rejected.transient,
            existing_id=rejected.existing_id,
        )
    )


def refused(name="NODE_STARTING", code=9016, *, transient=True, existing_id="") -> Refused:
    return Refused(RefusalDetail(code=code, name=name, sentence="", transient=transient, existing_id=existing_id))


class VirtualClock:
    """Stands still until `advance`; then everything that waits goes on in order of time."""

    def __init__(self, now_ms: int = 1_000_000):
        self.time_ms = now_ms
        self._waiting = []
        self._count = count()

    def now_ms(self):
        return self.time_ms

    async def wait(self, news, until_ms):
        if until_ms is None:
            # As the machine's clock does it: whoever waits goes on at once, before what ended by then is cleaned up.
            await news.wait()
            return
        arrived = asyncio.ensure_future(news.wait())
        due = asyncio.get_running_loop().create_future()
        if until_ms is not None:
            heapq.heappush(self._waiting, (until_ms, next(self._count), due))
            if until_ms <= self.time_ms:
                due.set_result(None)
        try:
            await asyncio.wait((arrived, due), return_when=asyncio.FIRST_COMPLETED)
        finally:
            arrived.cancel()
            due.cancel()

    async def advance(self, ms):
        """Time passes, stop by stop, and all that goes on at a stop does so before the next."""
        end_ms = self.time_ms + ms
        await settle()
        while self._waiting and self._waiting[0][0] <= end_ms:
            until_ms, _, due = heapq.heappop(self._waiting)
            self.time_ms = max(self.time_ms, until_ms)
            if not due.done():
                due.set_result(None)
                await settle()
        self.time_ms = end_ms
        await settle()


async def settle():
    """Let everything go on that can without time passing."""
    for _ in range(60):
        await asyncio.sleep(0)


class MemoryPort:
    """`node.agents.runtime.FollowedLedger` on a ledger in memory, for one organization's member of one role."""

    def __init__(self, ledger, name, organization, role, *, ledger_id=None):
        self.ledger, self.name, self.kind = ledger, name, ledger.ledger_kind
        self.id = ledger_id or ledger.ledger_id
        self.organization, self.role = organization, role
        # Refusals to raise instead of what would happen, first to last; None lets one pass.
        self.failures: list = []
        # Raised after what was submitted has happened: the answer is lost.
        self.lost_answers: list = []
        self.submitted: list = []
        self.listings = 0
        # The creation times that listings were bounded by.
        self.listed_since: list = []
        # When documents were created, of those that are not new.
        self.created_ms: dict = {}
        # What `events` gives: a test puts (kind, id), an exception to raise, or a cursor as text.
        self.feed: asyncio.Queue = asyncio.Queue()
        self.followed_from: list = []

    async def get(self, kind, document_id):
        return self.ledger.get(self.ledger.table.kinds[kind], document_id)

    async def list(self, kind, **filters):
        self.listings += 1
        if filters.get("created_from_ms"):
            self.listed_since.append(filters["created_from_ms"])
        if self.failures and (failure := self.failures.pop(0)):
            raise failure
        records = self.ledger.all(self.ledger.table.kinds[kind])
        terms = self.ledger.table.kinds[kind].terms
        return tuple(
            record
            for record in records
            if self.created_ms.get(record.id, 2**62) >= filters.get("created_from_ms", 0)
            and all(
                value == found if isinstance(found := getattr(terms(record), name), str) else value in found
                for name, value in filters.items()
                if value and name != "created_from_ms"
            )
        )

    async def ids(self, kind, *, created_until_ms, **filters):
        return tuple(
            one.id for one in await self.list(kind, **filters) if self.created_ms.get(one.id, 2**62) <= created_until_ms
        )

    async def submit(self, acts, *, purpose):
        self.submitted.append((purpose, tuple(act.name for act in acts)))
        if self.failures and (failure := self.failures.pop(0)):
            raise failure
        sender = self.ledger.sender(self.organization, self.role)
        (act,) = acts
        try:
            outcome = self.ledger.run(act.name, act.command, sender=sender, cause=act.cause)
        except Rejected as rejected:
            raise refusal(rejected) from rejected
        if self.lost_answers and (failure := self.lost_answers.pop(0)):
            raise failure
        written = outcome.writes
        documents = tuple(
            DocumentVersion(kind=self.ledger.table.kind_of(record).name, id=record.id, version=1) for record in written
        )
        return Receipt(ledger_id=self.id, height=self.ledger.height, documents=documents)

    async def position(self):
        return f"{self.ledger.height}/0"

    async def events(self, after, kinds, on_cursor):
        self.followed_from.append(after)
        while True:
            what = await self.feed.get()
            if isinstance(what, Exception):
                raise what
            if isinstance(what, str):
                on_cursor(what)
            elif what[0] in kinds:
                yield what


class MemoryNode:
    """`node.agents.runtime.NodePorts`."""

    def __init__(self, organization, ports, counterparties=None):
        self.organization = org(organization)
        self.ports = list(ports)
        self.counterparties = counterparties or {}
        self.failures: list = []
        # What asking for a counterparty raises, first to last.
        self.unclear: list = []
        self.starting = False
        self.changed = asyncio.Event()

    def join(self, *ports):
        self.ports += ports
        self.change()

    def change(self):
        """Something about the ledgers is another: whoever watches is told."""
        self.changed.set()

    async def ledgers(self):
        if self.failures and (failure := self.failures.pop(0)):
            raise failure
        while True:
            self.changed.clear()
            yield Ledgers(tuple(self.ports), self.starting)
            await self.changed.wait()

    async def counterparty(self, port):
        if self.unclear and (failure := self.unclear.pop(0)):
            raise failure
        return self.counterparties.get(port.id, "")


class MemoryCursors(dict):
    """`node.agents.runtime.Cursors`."""

    def read(self, ledger_id):
        return self.get(ledger_id, "")

    def write(self, ledger_id, cursor):
        self[ledger_id] = cursor


def desk_of(organization, internal, bilateral, *, clock=None, role=Role.S_BUS, policies=None):
    """A desk without a runtime, to call duties directly."""
    clock = clock or VirtualClock()
    return Desk(
        organization=org(organization),
        role=role,
        internal=internal,
        bilateral={port.id: port for port in bilateral},
        counterparties={},
        policies=policies or Policies(),
        clock=clock.now_ms,
        chance=lambda: bytes(32),
    )
