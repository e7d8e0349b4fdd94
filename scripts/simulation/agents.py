"""An agent of a provider: the real duties and the real worklist, driven by hand; killed at any boundary or read, and started again.

What is here instead of `node.agents.runtime` is the event loop, and the ports: they lead to a replica in this process.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Final

from ledgers.client import ClientError, NodeUnreachable, RefusalDetail, Refused, TimedOut
from ledgers.receipts import Receipt
from ledgers.transaction import Act
from node.agents.boundaries import Boundary, boundaries, perform
from node.agents.desk import Desk
from node.agents.duties import Duty, Later
from node.agents.looks import Look, Looks
from node.agents.policies import Policies
from node.agents.ports import SUBMISSION_TTL_MS, LedgerPort, Outward
from node.agents.provisioning import Provisioning
from node.agents.roster import DUTIES
from node.agents.runtime import listed_statuses
from node.agents.worklist import Subject
from scripts.simulation.attention import AGAIN_MS, left_alone, makes_rounds
from scripts.simulation.chain import BILATERAL, Chain
from scripts.simulation.journal import Violation
from scripts.simulation.parties import org_id, signatory
from scripts.simulation.people import Declined, NoReceipt, Unreachable
from scripts.simulation.tasks import Task
from scripts.simulation.world import World
from smartcontracts.kernel import Rejected, Role
from syngraph.v1.system_pb2 import Event

CONCURRENCY: Final = 8
SWEEP_MS: Final = (90_000, 150_000)
RESTART_MS: Final = (200, 20_000)
AIMED: Final = 0.7
AIMED_KILLS: Final = 4
# After a submission's life nothing can come of it; a little more, as the client has it.
RECEIPT_MS: Final = SUBMISSION_TTL_MS + 10_000
NEWS_LOST: Final = 0.03
NEWS_LATE: Final = 0.05
NEWS_LATE_MS: Final = (1_000, 30_000)
NEWS_MS: Final = (1, 150)
SLOW_READS: Final = 0.02
SLOW_READ_MS: Final = (1, 40)
SALT_BYTES: Final = 32
HELD_LOOK_MS: Final = 2_000
VAIN_MAX: Final = 3
LIST_MAX: Final = 10_000


class Killed(BaseException):
    """The process of an agent ended here. No `except Exception` of a duty holds it up."""


class Port:
    """A ledger by its organization's own node; what is submitted is signed by the agent."""

    def __init__(self, agent: Agent, chain: Chain) -> None:
        self._agent = agent
        self.chain = chain

    @property
    def id(self) -> str:
        return self.chain.id

    @property
    def name(self) -> str:
        return self.chain.label

    @property
    def kind(self) -> str:
        return self.chain.kind

    async def get(self, kind: str, document_id: str) -> Any | None:
        await self._agent.may_wait()
        replica = self.chain.node_of(self._agent.name)
        if replica is None:
            raise NodeUnreachable("away")
        committed = replica.committed
        found = committed.view.document(committed.table.kinds[kind], document_id)
        return None if found is None else found.record

    async def list(self, kind: str, *, created_from_ms: int = 0, **filters: str) -> tuple[Any, ...]:
        await self._agent.may_wait()
        replica = self.chain.node_of(self._agent.name)
        if replica is None:
            raise NodeUnreachable("away")
        committed = replica.committed
        kind_of = committed.table.kinds[kind]
        given = [(term, value) for term, value in filters.items() if value]
        for term, _ in given:
            if term not in kind_of.filters:
                raise Violation("no_failure", f"a duty of {self._agent.label} lists {kind} by {term}, which it does not offer")
        if not given:
            return _records(committed, kind_of, _all_of(committed, kind_of), created_from_ms)
        first, *others = given
        ids = list(committed.view.ids(kind_of, *first))
        for term, value in others:
            there = frozenset(committed.view.ids(kind_of, term, value))
            ids = [one for one in ids if one in there]
        return _records(committed, kind_of, ids, created_from_ms)

    async def submit(self, acts: Sequence[Outward], *, purpose: str) -> Receipt:
        agent = self._agent
        await agent.may_wait()
        made = tuple(Act(name=act.name, command=act.command, cause=act.cause) for act in acts)
        try:
            if agent.is_last_look:
                left_alone(agent, self.chain, made, purpose)
            return await agent.world.submitted(
                self.chain, agent.signatory, made, agent.name, ttl_ms=SUBMISSION_TTL_MS, patience_ms=RECEIPT_MS
            )
        except Declined as declined:
            refused = _refused(declined)
            if agent.world.is_quiet(SWEEP_MS[1]) and agent.in_vain(self.id, purpose, declined.name):
                raise Violation("nothing_in_vain", f"{agent.label} goes on trying {purpose} on {self.name}, which is refused as {declined.name}") from declined
            agent.world.coverage.duty_refusals[f"{agent.role.value} {purpose} {declined.name}"] += 1
            raise refused from declined
        except NoReceipt as error:
            raise TimedOut("no block in time") from error
        except Unreachable as error:
            raise NodeUnreachable("away") from error


def _records(committed: Any, kind: Any, ids: Sequence[str], created_from_ms: int) -> tuple[Any, ...]:
    """The documents of these ids that are so young."""
    found = (committed.view.document(kind, one) for one in ids)
    return tuple(one.record for one in found if one is not None and one.created_at_ms >= created_from_ms)


def _all_of(committed: Any, kind: Any) -> list[str]:
    """The id of every document of a kind, sorted."""
    from abci_app.store.keys import DOCUMENTS
    from abci_app.store.versioned import scan_live

    prefix = f"{kind.name}/".encode()
    return [found.decode() for found, _ in scan_live(committed.reader, DOCUMENTS, prefix)]


def _refused(declined: Declined) -> Refused:
    receipt = declined.receipt
    return Refused(
        RefusalDetail(
            code=declined.code,
            name=declined.name,
            sentence="" if receipt is None else receipt.sentence,
            field="" if receipt is None else receipt.field,
            transient=declined.code in _transient_codes(),
            message_index=0 if receipt is None else receipt.message_index,
            existing_id="" if receipt is None else receipt.existing_id,
        )
    )


@cache
def _transient_codes() -> frozenset[int]:
    waiting, found = [Rejected], []
    while waiting:
        for one in waiting.pop().__subclasses__():
            waiting.append(one)
            found += [one.code] if one.transient else []
    return frozenset(found)


@dataclass(slots=True)
class Agent:
    """One role of one organization."""

    world: World
    name: str
    role: Role
    policies: Policies
    # How often it is killed at a boundary, and its clock's error.
    killed_at: float
    skew_ms: int
    provisioning: Provisioning | None = None
    duties: dict[tuple[str, str], tuple[Duty, ...]] = field(default_factory=dict)
    kills: int = 0
    # A boundary of its own at which it dies most times that it gets there, so that rare ones have their turn too.
    target: str = ""
    _worklist: Looks = field(default_factory=Looks)
    _running: dict[Subject, Task] = field(default_factory=dict)
    _ports: dict[str, Port] = field(default_factory=dict)
    _desk: Desk | None = None
    # Of the process: news for an earlier one are lost.
    _life: int = 0
    _is_up: bool = True
    _call_ms: int | None = None
    _vain: Counter[tuple[str, str, str, int]] = field(default_factory=Counter)
    is_last_look: bool = False

    def __post_init__(self) -> None:
        for duty in DUTIES[self.role]:
            place = (duty.ledger_kind, duty.kind)
            self.duties[place] = (*self.duties.get(place, ()), duty)
        chains = [chain for chain in self.world.chains.values() if self.name in chain.names]
        self._ports = {chain.id: Port(self, chain) for chain in chains}
        internal = next(port for port in self._ports.values() if port.kind != BILATERAL)
        bilateral: Mapping[str, LedgerPort] = {i: p for i, p in self._ports.items() if p.kind == BILATERAL}
        others = {i: next(n for n in p.chain.names if n != self.name) for i, p in self._ports.items() if p.kind == BILATERAL}
        self._desk = Desk(
            organization=org_id(self.name),
            role=self.role,
            internal=internal,
            bilateral=bilateral,
            counterparties={ledger: org_id(name) for ledger, name in others.items()},
            policies=self.policies,
            provisioning=self.provisioning,
            clock=self.now_ms,
            chance=lambda: self.world.random.randbytes(SALT_BYTES),
        )
        places = boundaries(DUTIES[self.role])
        self.target = str(self.world.random.choice(places)) if places and self.killed_at else ""
        self.world.listeners.append(self.hear)
        self._plan_sweep()

    @property
    def label(self) -> str:
        return f"{self.name}/{self.role.value}"

    @property
    def signatory(self) -> Any:
        return signatory(self.name, self.role.value)

    def in_vain(self, ledger_id: str, purpose: str, refusal: str) -> bool:
        """Whether it has tried this too often since anything moved: what was put off, or is too early by its clock, may be refused once."""
        tries = (ledger_id, purpose, refusal, self.world.moved_ms)
        self._vain[tries] += 1
        return self._vain[tries] > VAIN_MAX

    @property
    def is_idle(self) -> bool:
        """Whether nothing waits for it, now or later."""
        return not self._running and not len(self._worklist)

    def now_ms(self) -> int:
        """Its node's clock."""
        return self.world.now_ms() + self.skew_ms

    # News

    def hear(self, chain: Chain, event: Event) -> None:
        """An event on its way: delivered in a while, late, or never."""
        if chain.id not in self._ports or (chain.kind, event.kind) not in self.duties:
            return
        random = self.world.random
        fate = random.random() / self.world.severity
        if fate < NEWS_LOST and not self.world.closing and makes_rounds(self.world):
            return
        delay = NEWS_LATE_MS if fate < NEWS_LOST + NEWS_LATE else NEWS_MS
        subject, life = Subject(chain.id, event.kind, event.document_id), self._life
        label = f"{self.label} hears of {event.name}"
        self.world.schedule.at(self.world.soon(*delay), label, lambda: self._woken(subject, life))

    def _woken(self, subject: Subject, life: int) -> None:
        if life == self._life and self._is_up:
            self._wake(subject)
            self._dispatch()

    def _wake(self, subject: Subject, *, missed: bool = False) -> None:
        self._worklist.wake(subject, self.now_ms(), missed=missed)

    def look_at_everything(self) -> None:
        """At every document with a status that it serves, for the last time."""
        self.is_last_look = True
        self._list_open()

    def _plan_sweep(self) -> None:
        if not makes_rounds(self.world):
            return
        life = self._life
        self.world.schedule.at(self.world.soon(*SWEEP_MS), f"{self.label} looks at what is open", lambda: self._sweep(life))

    def _sweep(self, life: int) -> None:
        if life != self._life or not self._is_up:
            return
        self._list_open()
        # Each looks twice more after the last thing that moved: what is still open then waits for nobody.
        if not self.world.is_quiet(2 * SWEEP_MS[1]):
            self._plan_sweep()

    def _list_open(self) -> None:
        """Wake what a listing finds where news may have been missed."""
        for port in self._ports.values():
            self._list_on(port, self._life)
        self._dispatch()

    def _list_on(self, port: Port, life: int) -> None:
        if life != self._life or not self._is_up:
            return
        replica = port.chain.node_of(self.name)
        if replica is None:
            label = f"{self.label} asks once more what is open on {port.name}"
            self.world.schedule.at(self.world.schedule.now_ms + AGAIN_MS, label, lambda: self._list_again(port, life))
            return
        committed = replica.committed
        for kind, term, value in self._searches(port.kind):
            for one in list(committed.view.ids(committed.table.kinds[kind], term, value)):
                self._wake_if_served(port, committed, kind, one)

    def _list_again(self, port: Port, life: int) -> None:
        self._list_on(port, life)
        self._dispatch()

    def _wake_if_served(self, port: Port, committed: Any, kind: str, document_id: str) -> None:
        record = committed.view.get(committed.table.kinds[kind], document_id)
        if self._desk is None or not any(self._serves(duty, record) for duty in self.duties[port.kind, kind]):
            return
        self._wake(Subject(port.id, kind, document_id), missed=True)

    def _searches(self, ledger_kind: str) -> list[tuple[str, str, str]]:
        """Of a listing; the last look is for all that is served, ended or not."""
        places = [(kind, duties) for (place, kind), duties in self.duties.items() if place == ledger_kind]
        found = {
            (kind, "status", status): None
            for kind, duties in places
            for duty in duties
            for status in (duty.statuses if self.is_last_look else listed_statuses(duty, catching_up=True))
        }
        return sorted(found)

    def _serves(self, duty: Duty, record: Any) -> bool:
        desk = self._desk
        return desk is not None and (not duty.statuses or record.status in duty.statuses) and duty.applies(desk, record)

    # Work

    def _dispatch(self) -> None:
        while len(self._running) < CONCURRENCY:
            subject = self._worklist.take(self.now_ms())
            if subject is None:
                break
            self._begin(subject)
        due_ms = self._worklist.next_due_ms()
        if due_ms is not None and len(self._running) < CONCURRENCY and (self._call_ms is None or due_ms < self._call_ms):
            self._call_ms = due_ms
            life = self._life
            at_ms = self.world.schedule.now_ms + max(0, due_ms - self.now_ms())
            self.world.schedule.at(at_ms, f"{self.label} looks again", lambda: self._called(life))

    def _called(self, life: int) -> None:
        if life == self._life and self._is_up:
            self._call_ms = None
            self._dispatch()

    def _begin(self, subject: Subject) -> None:
        outcome = Look()
        name = f"{self.label} at {subject.kind} {subject.document_id[-6:]}"
        self._running[subject] = self.world.start(name, self._look(subject, outcome), lambda error: self._ended(subject, outcome, error))

    async def _look(self, subject: Subject, outcome: Look) -> None:
        """As `Agent._look` of the runtime: whatever duties the document calls for."""
        port = self._ports[subject.ledger_id]
        self._worklist.begin(subject, outcome)
        for duty in self.duties.get((port.kind, subject.kind), ()):
            try:
                if outcome.catches_up or not duty.catches_up:
                    await self._perform(duty, port, subject, outcome)
            except Later as later:
                outcome.again(later.at_ms)
            except Refused as refused:
                outcome.failed = outcome.failed or refused.detail.transient
            except ClientError:
                outcome.failed = True

    async def _perform(self, duty: Duty, port: Port, subject: Subject, outcome: Look) -> None:
        record = await port.get(subject.kind, subject.document_id)
        if record is None or self._desk is None or not self._serves(duty, record):
            return
        self._put_off(duty)
        self.world.coverage.duties[f"{self.role.value}/{duty.name}"] += 1
        await perform(duty, self._desk, port, record, self._at_boundary, outcome.was_refused)

    def _put_off(self, duty: Duty) -> None:
        """Raises Later while this provider does not do that. A look in vain is cheap, and the end may come sooner."""
        left_ms = self.world.held.get((self.name, duty.name), 0) - self.world.schedule.now_ms
        if left_ms > 0:
            raise Later(self.now_ms() + min(left_ms, HELD_LOOK_MS))

    def _at_boundary(self, boundary: Boundary, document_id: str) -> None:
        aimed = str(boundary) == self.target and self.kills < AIMED_KILLS
        if not self.world.closing and self.world.random.random() < (AIMED if aimed else self.killed_at):
            self.world.coverage.kills[str(boundary)] += 1
            self.world.note(f"{self.label} is killed at {boundary} of {document_id[-6:]}")
            raise Killed

    async def may_wait(self) -> None:
        """A port call takes a while, now and then; then others go on meanwhile."""
        if self.world.random.random() < SLOW_READS * self.world.severity:
            await self.world.sleep(self.world.random.randint(*SLOW_READ_MS))

    def _ended(self, subject: Subject, outcome: Look, error: BaseException | None) -> None:
        self._running.pop(subject, None)
        if isinstance(error, Killed):
            self.kill()
            return
        if isinstance(error, Violation):
            raise error
        if error is not None:
            raise Violation("no_failure", f"{self.label} at {subject.kind}/{subject.document_id}: {type(error).__name__}: {error}") from error
        self._worklist.put_back(subject, outcome, self.now_ms())
        self._dispatch()

    # Death and life

    def kill(self) -> None:
        """`kill -9`: all that was going on is gone, and all that it remembered; it starts again after a while."""
        self.kills += 1
        self._life += 1
        self._is_up = False
        for task in self._running.values():
            self.world.gone(task)
        self._running.clear()
        self._worklist = Looks()
        self._call_ms = None
        self.world.schedule.at(self.world.soon(*RESTART_MS), f"{self.label} starts again", self._start)

    def _start(self) -> None:
        self._is_up = True
        self._list_open()
        self._plan_sweep()
