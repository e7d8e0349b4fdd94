"""Runtime: one role's agent. It follows the ledgers, looks at documents that may need its role, and performs its duties.

Several documents at once, each by one call at a time. What it holds in memory is a list of documents to look at: killed at
any instant, it finds them again, by the events since a cursor that was saved when nothing was left to do, or by listing what
is open. It does so every few minutes, too, though nothing depends on it. docs/agents.md; DESIGN section 8.
"""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass
from itertools import count
from typing import Any, Final, Protocol

import structlog

from ledgers.client import ClientError
from ledgers.kinds import VERSIONS, contract_table
from node.agents.boundaries import Observer, ignore, perform
from node.agents.desk import Desk
from node.agents.duties import OWED_MS, Duty, Later, LedgerAbsent
from node.agents.looks import Look, Looks
from node.agents.policies import Policies
from node.agents.ports import LedgerPort, Refused
from node.agents.provisioning import Provisioning
from node.agents.worklist import PAUSE_MS_MIN, Subject
from smartcontracts.kernel import Role

INTERNAL: Final = "internal"
BILATERAL: Final = "bilateral"
# After what only a person can mend (a bug, a plug-in that raises): no hurry, and no silence either.
BROKEN_PAUSE_MS: Final = 60_000
# So many rounds a whole one.
_ROUNDS_A_WHOLE_ONE: Final = 10
# What is looked for once after a cursor was lost: so many at a time, so that what is new waits for no more than these.
_OLD_AT_ONCE: Final = 50
# A duty that looks at all ledgers is to see all: an agent that starts waits so long for those that are slow to answer.
START_PATIENCE_MS: Final = 10_000
# Time between two attempts to reach a ledger: the first, and the longest.
_PAUSE_MS_MIN: Final = 250
_PAUSE_MS_MAX: Final = 60_000
_UNREADABLE_CURSORS: Final = ("CURSOR_PRUNED", "CURSOR_INVALID")


class Clock(Protocol):
    """Time, so that tests can have their own."""

    def now_ms(self) -> int:
        """Unix time in milliseconds."""

    async def wait(self, news: asyncio.Event, until_ms: int | None) -> None:
        """Return when `news` is set, or it is `until_ms`."""


class FollowedLedger(LedgerPort, Protocol):
    """A ledger whose events can be followed."""

    async def position(self) -> str:
        """A cursor at the latest block: what happens after it is told to those that follow from it."""

    async def ids(self, kind: str, *, created_until_ms: int, status: str = "", related: str = "") -> tuple[str, ...]:
        """Ids of all documents of the kind to which every given filter applies."""

    def events(
        self, after: str, kinds: tuple[str, ...], on_cursor: Callable[[str], None]
    ) -> AsyncIterator[tuple[str, str]]:
        """(kind, id) of documents to which something happened, without end. Raises Refused where the cursor can't be read."""


@dataclass(frozen=True, slots=True)
class Ledgers:
    """The internal and bilateral ledgers that the node shows; while it is `starting` there may be more."""

    ports: tuple[FollowedLedger, ...]
    starting: bool = False


class NodePorts(Protocol):
    """The organization's node, as this role's member sees it."""

    @property
    def organization(self) -> str: ...

    def ledgers(self) -> AsyncIterator[Ledgers]:
        """Now, and again whenever they or their members are others; the same port for the same ledger each time.

        May end or raise ClientError; it is called again after a pause.
        """

    async def counterparty(self, port: LedgerPort) -> str:
        """The other party of a bilateral ledger; empty where this organization is not a party itself."""


class Cursors(Protocol):
    """Where cursors are kept between two runs. Losing them costs time only."""

    def read(self, ledger_id: str) -> str:
        """Empty if there is none."""

    def write(self, ledger_id: str, cursor: str) -> None:
        """Keep it; empty forgets it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How much an agent does at once, and how often it looks by itself."""

    concurrency: int = 16
    sweep_ms: int = 120_000
    cursor_ms: int = 5_000
    pause_ms: int = 2_000


class Agent:
    """One role. `run` until cancelled."""

    def __init__(
        self,
        *,
        role: Role,
        duties: Iterable[Duty],
        node: NodePorts,
        policies: Policies,
        clock: Clock,
        chance: Callable[[], bytes],
        cursors: Cursors,
        provisioning: Provisioning | None = None,
        pace: Pace | None = None,
        observe: Observer = ignore,
    ) -> None:
        """`observe` is told of every boundary as it is passed."""
        self._role = role
        self._node = node
        self._policies = policies
        self._clock = clock
        self._chance = chance
        self._cursors = cursors
        self._provisioning = provisioning
        self._pace = pace or Pace()
        self._observe = observe
        self._duties: dict[tuple[str, str], tuple[Duty, ...]] = {}
        for duty in duties:
            place = (duty.ledger_kind, duty.kind)
            self._duties[place] = (*self._duties.get(place, ()), duty)
        self._ports: dict[str, FollowedLedger] = {}
        self._internal: FollowedLedger | None = None
        self._bilateral: dict[str, LedgerPort] = {}
        self._counterparties: dict[str, str] = {}
        # Ledgers that are being taken up; and whether all are that there are, or one has waited long enough for them.
        self._coming: set[str] = set()
        self._starting = True
        self._may_begin = False
        self._worklist = Looks()
        # Documents that wait for a ledger, by its id.
        self._absent: dict[str, set[Subject]] = {}
        # How often events of a ledger were lost beyond its cursor, until what is old was looked for.
        self._lost: dict[str, int] = {}
        self._reached: dict[str, str] = {}
        self._saved: dict[str, str] = {}
        self._news = asyncio.Event()
        self._never = asyncio.Event()
        self._log = structlog.get_logger().bind(agent=role.value)

    async def run(self) -> None:
        """Work until cancelled. Raises only what is a bug of this module."""
        self._log.info("agent_started")
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._keep_ledgers(tasks))
                tasks.create_task(self._dispatch(tasks))
                tasks.create_task(self._sweep())
                tasks.create_task(self._look_back())
                tasks.create_task(self._save_cursors())
        finally:
            self._log.info("agent_stopped", waiting=len(self._worklist))

    # Ledgers

    async def _keep_ledgers(self, tasks: asyncio.TaskGroup) -> None:
        """Take up the ledgers that the node has, and those that it joins."""
        while True:
            try:
                async for told in self._node.ledgers():
                    self._starting = told.starting
                    for port in told.ports:
                        if port.id not in self._ports and port.id not in self._coming:
                            self._coming.add(port.id)
                            tasks.create_task(self._take_up(port, tasks))
                    self._begin_if_complete()
            except ClientError as error:
                self._log.warning("agent_node_away", reason=_reason(error))
            await self._sleep(self._pace.pause_ms)

    async def _take_up(self, port: FollowedLedger, tasks: asyncio.TaskGroup) -> None:
        """Work on a ledger from now on, unless it is that of others: a neutral sees their trade."""
        is_ours = port.kind != BILATERAL or await self._is_party(port)
        self._coming.discard(port.id)
        if is_ours:
            if port.kind == INTERNAL:
                self._internal = port
                tasks.create_task(self._begin_late())
            self._ports[port.id] = port
            self._log.info("agent_ledger_taken_up", ledger=port.name)
            for subject in self._absent.pop(port.id, ()):
                self._wake(subject)
            tasks.create_task(self._follow(port))
        self._begin_if_complete()

    async def _is_party(self, port: FollowedLedger) -> bool:
        pause_ms = _PAUSE_MS_MIN
        while True:
            try:
                counterparty = await self._node.counterparty(port)
            except ClientError as error:
                self._log.warning("agent_node_away", ledger=port.name, reason=_reason(error))
                await self._sleep(pause_ms)
                pause_ms = min(2 * pause_ms, _PAUSE_MS_MAX)
                continue
            if counterparty:
                self._counterparties[port.id] = counterparty
                self._bilateral[port.id] = port
            return bool(counterparty)

    def _begin_if_complete(self) -> None:
        """Who looks at all ledgers, to ask sellers say, is to see them all."""
        if not self._starting and not self._coming:
            self._may_begin = True
        self._news.set()

    async def _begin_late(self) -> None:
        """One ledger that does not answer holds up the others' work only so long."""
        await self._sleep(START_PATIENCE_MS)
        self._may_begin = True
        self._news.set()

    async def _follow(self, port: FollowedLedger) -> None:
        """Look at every document to which something happens; first at what is open, unless a cursor tells what is new."""
        kinds = tuple(sorted({kind for ledger_kind, kind in self._duties if ledger_kind == port.kind}))
        if not kinds:
            return
        cursor = self._cursors.read(port.id)
        pause_ms = _PAUSE_MS_MIN
        while True:
            reached = self._reached.get(port.id)
            try:
                if not cursor:
                    position = await port.position()
                    await self._list(port, catching_up=True)
                    # Only now: from a listing that failed on, nobody would look at what was open before.
                    cursor = position
                    self._lost[port.id] = self._lost.get(port.id, 0) + 1
                async for kind, document_id in port.events(cursor, kinds, lambda at: self._arrived(port.id, at)):
                    self._wake(Subject(port.id, kind, document_id))
                cursor = self._reached.get(port.id, cursor)
            except Refused as refused:
                self._log.warning("agent_events_refused", ledger=port.name, refusal=refused.detail.name)
                if refused.detail.name in _UNREADABLE_CURSORS:
                    cursor = ""
                    self._reached.pop(port.id, None)
                else:
                    cursor = self._reached.get(port.id, cursor)
            except ClientError as error:
                self._log.warning("agent_node_away", ledger=port.name, reason=_reason(error))
                cursor = self._reached.get(port.id, cursor)
            if self._reached.get(port.id) != reached:
                pause_ms = self._pace.pause_ms
            await self._sleep(pause_ms)
            pause_ms = min(2 * pause_ms, _PAUSE_MS_MAX)

    def _arrived(self, ledger_id: str, cursor: str) -> None:
        self._reached[ledger_id] = cursor

    async def _save_cursors(self) -> None:
        """A cursor is kept when nothing of its ledger is left to do or to look for, so that what it passes over needs no second look."""
        while True:
            await self._sleep(self._pace.cursor_ms)
            for ledger_id, cursor in self._reached.items():
                is_idle = ledger_id not in self._lost and self._worklist.is_idle(ledger_id)
                if self._saved.get(ledger_id) != cursor and is_idle:
                    self._cursors.write(ledger_id, cursor)
                    self._saved[ledger_id] = cursor

    # What is open

    async def _sweep(self) -> None:
        """In rounds, whatever events said; more rarely as after a start without a cursor."""
        for number in count(1):
            await self._sleep(self._pace.sweep_ms)
            for port in tuple(self._ports.values()):
                try:
                    await self._list(port, catching_up=number % _ROUNDS_A_WHOLE_ONE == 0)
                except ClientError as error:
                    self._log.warning("agent_sweep_failed", ledger=port.name, reason=_reason(error))

    async def _list(self, port: LedgerPort, *, catching_up: bool) -> None:
        """Wake every document that is open; `catching_up` where events may have been missed. Raises ClientError."""
        owed_from_ms = max(0, self._clock.now_ms() - OWED_MS)
        searches = {
            (duty.kind, status, duty.related, owed_from_ms if status in duty.owed else 0)
            for (ledger_kind, _), duties in self._duties.items()
            for duty in duties
            for status in listed_statuses(duty, catching_up=catching_up)
            if ledger_kind == port.kind
        }
        for kind, status, related, since_ms in sorted(searches):
            for record in await port.list(kind, status=status, related=related, created_from_ms=since_ms):
                self._wake(Subject(port.id, kind, record.id), missed=catching_up)

    async def _look_back(self) -> None:
        """Where a cursor was lost: what old documents tell that lasts, once."""
        while True:
            await self._sleep(self._pace.pause_ms)
            for ledger_id, lost in tuple(self._lost.items()):
                port = self._ports[ledger_id]
                try:
                    await self._look_for_old(port)
                except ClientError as error:
                    self._log.warning("agent_look_back_failed", ledger=port.name, reason=_reason(error))
                    continue
                # Unless more was lost meanwhile.
                if self._lost[ledger_id] == lost:
                    del self._lost[ledger_id]

    async def _look_for_old(self, port: FollowedLedger) -> None:
        """Wake what is `lasting` and older than a listing finds, a few at a time. Raises ClientError."""
        until_ms = self._clock.now_ms() - OWED_MS
        searches = {
            (duty.kind, status, duty.related)
            for (ledger_kind, _), duties in self._duties.items()
            for duty in duties
            for status in duty.lasting
            if ledger_kind == port.kind
        }
        for kind, status, related in sorted(searches) if until_ms > 0 else ():
            old = await port.ids(kind, created_until_ms=until_ms, status=status, related=related)
            for place in range(0, len(old), _OLD_AT_ONCE):
                subjects = [Subject(port.id, kind, document_id) for document_id in old[place : place + _OLD_AT_ONCE]]
                for subject in subjects:
                    self._wake(subject, missed=True)
                while any(self._worklist.is_due(subject, self._clock.now_ms()) for subject in subjects):
                    await self._sleep(PAUSE_MS_MIN)

    def _wake(self, subject: Subject, *, missed: bool = False) -> None:
        self._worklist.wake(subject, self._clock.now_ms(), missed=missed)
        self._news.set()

    # Work

    async def _dispatch(self, tasks: asyncio.TaskGroup) -> None:
        """Start a call for each document that is due, as many at once as the pace allows."""
        running: set[asyncio.Task[None]] = set()

        def ended(task: asyncio.Task[None]) -> None:
            # Told only now that its place is free: a call itself still holds it when it puts its document back. With all calls
            # ending at one moment nobody would be told of any place, and whatever waits would wait for an event or a round.
            running.discard(task)
            self._news.set()

        while True:
            self._news.clear()
            desk = self._desk()
            free = self._pace.concurrency - len(running) if desk is not None else 0
            while desk is not None and free > 0:
                subject = self._worklist.take(self._clock.now_ms())
                if subject is None:
                    break
                task = tasks.create_task(self._look(desk, subject))
                running.add(task)
                task.add_done_callback(ended)
                free -= 1
            await self._clock.wait(self._news, self._worklist.next_due_ms() if free > 0 else None)

    def _desk(self) -> Desk | None:
        if self._internal is None or not self._may_begin:
            return None
        return Desk(
            organization=self._node.organization,
            role=self._role,
            internal=self._internal,
            bilateral=self._bilateral,
            counterparties=self._counterparties,
            policies=self._policies,
            provisioning=self._provisioning,
            clock=self._clock.now_ms,
            chance=self._chance,
        )

    async def _look(self, desk: Desk, subject: Subject) -> None:
        """Perform whatever duties the document calls for, and note when it must be looked at again."""
        port = self._ports[subject.ledger_id]
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(
            agent=self._role.value, ledger=port.name, document=f"{subject.kind}/{subject.document_id}"
        )
        look = Look()
        self._worklist.begin(subject, look)
        record: Any = None
        for duty in self._duties.get((port.kind, subject.kind), ()):
            try:
                # Read once for all duties, and again only after one of them had something to do.
                record = await port.get(subject.kind, subject.document_id) if record is None else record
                if record is None:
                    break
                if concerns(duty, desk, record) and (look.catches_up or not duty.catches_up):
                    current, record = record, None
                    await self._perform(duty, desk, port, current, look)
            except LedgerAbsent as absent:
                self._absent.setdefault(absent.ledger_id, set()).add(subject)
                look.again(absent.at_ms)
            except Later as later:
                look.again(later.at_ms)
            except ClientError as error:
                may_pass = self._may_pass(duty, error)
                look.failed, look.refused = look.failed or may_pass, look.refused or not may_pass
            except Exception as error:  # noqa: BLE001 - a bug of a duty or a plug-in stops neither the others nor the agent
                self._log.error("agent_duty_broken", duty=duty.name, error=type(error).__name__, where=_where(error))
                look.again(self._clock.now_ms() + BROKEN_PAUSE_MS)
        self._worklist.put_back(subject, look, self._clock.now_ms())

    async def _perform(self, duty: Duty, desk: Desk, port: LedgerPort, record: Any, look: Look) -> None:
        structlog.contextvars.bind_contextvars(duty=duty.name)
        self._log.info("agent_taken", duty=duty.name, status=getattr(record, "status", ""))
        await perform(duty, desk, port, record, self._observe, look.was_refused)

    def _may_pass(self, duty: Duty, error: ClientError) -> bool:
        """Whether a failure is worth another try; a final refusal is told, and left after a second look."""
        if not isinstance(error, Refused):
            self._log.warning("agent_interrupted", duty=duty.name, reason=_reason(error))
            return True
        detail = error.detail
        log = self._log.bind(duty=duty.name, code=detail.code, refusal=detail.name, field=detail.field)
        if detail.transient:
            log.info("agent_refused", again=True)
        else:
            log.warning("agent_refused", again=False)
        return detail.transient

    async def _sleep(self, duration_ms: int) -> None:
        await self._clock.wait(self._never, self._clock.now_ms() + duration_ms)


def concerns(duty: Duty, desk: Desk, record: Any) -> bool:
    """Whether a document as it stands is this duty's."""
    return (not duty.statuses or record.status in duty.statuses) and duty.applies(desk, record)


def listed_statuses(duty: Duty, *, catching_up: bool) -> tuple[str, ...]:
    """A listing looks for documents with these: all of the duty's but those in which documents gather for ever."""
    if duty.catches_up and not catching_up:
        return ()
    kind = contract_table(duty.ledger_kind, VERSIONS[-1]).kinds.get(duty.kind)
    steps = {} if kind is None else kind.lifecycle
    ends = frozenset(steps.values()) - frozenset(status for status, _ in steps)
    passed_over = frozenset((*duty.settled, *duty.owed)) | frozenset(str(status) for status in ends)
    found = tuple(status for status in duty.statuses or ("",) if status not in passed_over)
    return (*found, *duty.owed) if catching_up else found


def _where(error: Exception) -> str:
    """The line that raised; the error's own words may hold what no log may."""
    frames = traceback.extract_tb(error.__traceback__)
    return f"{frames[-1].filename}:{frames[-1].lineno}" if frames else ""


def _reason(error: ClientError) -> str:
    """Which sort of failure, in words that hold no payload."""
    return error.detail.name if isinstance(error, Refused) else type(error).__name__
