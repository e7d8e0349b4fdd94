"""The world: ledgers, people and agents on one virtual clock, one generator, one schedule. One thing that happens is one step."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any, Final, cast

from abci_app.execution.run import BlockRun
from ledgers.receipts import Receipt
from ledgers.transaction import Act, assemble, build_body, sign_body, transaction_id
from node.agents.provisioning.inventory import Inventory
from node.agents.provisioning.reference import ReferenceProvisioning
from scripts.simulation import coverage as coverage_module
from scripts.simulation.chain import BILATERAL, START_MS, Chain, Decided
from scripts.simulation.coverage import Coverage
from scripts.simulation.journal import Journal, Violation
from scripts.simulation.parties import Signatory
from scripts.simulation.people import Declined, NoReceipt, Unreachable, refusal
from scripts.simulation.tasks import Planned, Schedule, Sleep, Task, Wait
from smartcontracts.kernel import ContractTable, Rejected
from syngraph.v1.system_pb2 import Event

TTL_MS: Final = 60_000
# How long a submitter waits for its block before it says that time ran out.
RECEIPT_MS: Final = 8_000
NONCE_BYTES: Final = 16
BLOCK_MS: Final = (20, 180)
NEWS_MS: Final = (1, 120)
ROUND_MS: Final = 1_000

Listener = Callable[[Chain, Event], None]
Invariant = Callable[[Chain, Decided], None]
Tempter = Callable[[Chain, Signatory, Sequence[Act]], None]


@dataclass(frozen=True, slots=True)
class Stock:
    """A provider's resources, and the system that books them."""

    inventory: Inventory
    provisioning: ReferenceProvisioning


@dataclass(slots=True)
class Waiter:
    """A task that waits for a receipt or a document's change, and where it is parked."""

    task: Task
    place: int
    # What happens when it has waited too long.
    patience: Planned | None = None

    def cease(self) -> None:
        """It waits no more."""
        if self.patience is not None:
            self.patience.is_off = True


class Receiving(Wait):
    """For the receipt of a transaction."""

    def __init__(self, world: World, name: bytes, patience_ms: int) -> None:
        self._world = world
        self._name = name
        self._patience_ms = patience_ms

    def park(self, task: Task) -> None:
        world, waiter = self._world, Waiter(task, task.place)
        world.receivers[self._name] = waiter

        def give_up() -> None:
            if world.receivers.get(self._name) is waiter:
                del world.receivers[self._name]
                if waiter.place == task.place:
                    task.fail(NoReceipt())

        waiter.patience = world.schedule.at(world.schedule.now_ms + self._patience_ms, f"{task.name} waits no longer", give_up)


class Changing(Wait):
    """For the next block that writes a document, or a time."""

    def __init__(self, world: World, key: tuple[str, str], until_ms: int) -> None:
        self._world = world
        self._key = key
        self._until_ms = until_ms

    def park(self, task: Task) -> None:
        world, waiter = self._world, Waiter(task, task.place)
        world.watchers.setdefault(self._key, []).append(waiter)

        def wake() -> None:
            if waiter.place == task.place:
                task.resume()

        waiter.patience = world.schedule.at(self._until_ms - START_MS, f"{task.name} has waited", wake)


@dataclass(slots=True)
class World:
    """Everything, by one seed. Times of the schedule count from 0, those of ledgers are Unix time."""

    seed: int
    random: Random = field(init=False)
    # How much goes wrong, and how soon people want the next thing: 1 is usual.
    severity: float = field(init=False)
    haste: float = field(init=False)
    schedule: Schedule = field(default_factory=Schedule)
    journal: Journal = field(default_factory=Journal)
    coverage: Coverage = field(default_factory=Coverage)
    chains: dict[str, Chain] = field(default_factory=dict)
    listeners: list[Listener] = field(default_factory=list)
    invariants: list[Invariant] = field(default_factory=list)
    # Told of what is about to be sent.
    tempters: list[Tempter] = field(default_factory=list)
    receivers: dict[bytes, Waiter] = field(default_factory=dict)
    watchers: dict[tuple[str, str], list[Waiter]] = field(default_factory=dict)
    # Scripts that go on, by their number.
    live: dict[int, Task] = field(default_factory=dict)
    steps: int = 0
    # People and faults begin nothing new any more.
    closing: bool = False
    # When a ledger last got a block that somebody sent something for, or closing began.
    moved_ms: int = 0
    _tasks: int = 0
    # Ledger id to that of its agreement.
    agreements: dict[str, str] = field(default_factory=dict)
    # What each provider has, by its name.
    stocks: dict[str, Stock] = field(default_factory=dict)
    # Duties that a provider puts off, and until when by the schedule.
    held: dict[tuple[str, str], int] = field(default_factory=dict)
    _block_due: dict[str, bool] = field(default_factory=dict)
    _tick_due: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.random = Random(self.seed)  # noqa: S311 - a simulation wants chance that repeats
        self.severity = self.random.choice((0.3, 1.0, 1.0, 3.0, 10.0))
        self.haste = self.random.choice((1.0, 1.0, 2.0, 6.0))

    # Time

    def now_ms(self) -> int:
        """Unix time of a perfect clock."""
        return START_MS + self.schedule.now_ms

    def soon(self, least_ms: int, most_ms: int) -> int:
        """An instant of the schedule, drawn."""
        return self.schedule.now_ms + self.random.randint(least_ms, most_ms)

    async def sleep(self, ms: int) -> None:
        await Sleep(self.schedule, self.schedule.now_ms + ms)

    async def changed(self, chain: Chain, key: str, until_ms: int) -> None:
        await Changing(self, (chain.id, key), until_ms)

    def step(self) -> bool:
        """The next thing that happens; False if nothing is left to happen. Raises Violation."""
        planned = self.schedule.pop()
        if planned is None:
            return False
        self.steps += 1
        self.journal.note(self.schedule.now_ms, self.steps, planned.label)
        planned.action()
        return True

    # Tasks

    def start(self, name: str, coroutine: Coroutine[Wait, Any, Any], on_end: Callable[[BaseException | None], None] | None = None) -> Task:
        """Run a coroutine, from now on. What it raises is a violation, unless `on_end` says otherwise."""
        self._tasks += 1
        number = self._tasks

        def ended(error: BaseException | None) -> None:
            self.live.pop(number, None)
            if on_end is not None:
                on_end(error)
            elif isinstance(error, Violation):
                raise error
            elif isinstance(error, Exception):
                raise Violation("no_failure", f"{name} raised {type(error).__name__}: {error}") from error

        task = self.live[number] = Task(name, coroutine, ended)
        self.schedule.at(self.schedule.now_ms, f"{name} begins", task.resume)
        return task

    def gone(self, task: Task) -> None:
        """Take a task away: the process that it belonged to ended."""
        task.kill()
        self.live = {number: one for number, one in self.live.items() if one is not task}

    def close(self) -> None:
        """End what still goes on, wherever it is."""
        for task in self.live.values():
            task.kill()
        self.live.clear()

    def begin_closing(self) -> None:
        """From now on nobody begins anything new."""
        self.closing = True
        self.moved_ms = self.schedule.now_ms

    def is_quiet(self, for_ms: int) -> bool:
        """Whether nothing has moved on any ledger for so long, after the end of what people began."""
        return self.closing and self.schedule.now_ms - self.moved_ms > for_ms

    def note(self, what: str) -> None:
        """Something that happens within a step."""
        self.journal.note(self.schedule.now_ms, self.steps, what)

    # Ledgers

    def add_chain(self, kind: str, names: tuple[str, ...], executed: int) -> Chain:
        """A ledger of these parties; its genesis is decided."""
        chain = Chain(kind=kind, names=names, now=self.now_ms, executed=executed)
        self.chains[chain.id] = chain
        return chain

    def chain_between(self, one: str, other: str) -> Chain | None:
        """The bilateral ledger of two organizations, by their names."""
        pair = {one, other}
        return next((c for c in self.chains.values() if c.kind == BILATERAL and pair == set(c.names)), None)

    def table(self, chain: Chain) -> ContractTable:
        """The ledger's contracts."""
        return chain.state().committed.table

    def read(self, chain: Chain, kind: str, document_id: str) -> Any:
        """A record as the ledger has it, whoever is away; None if it is not there."""
        committed = chain.state().committed
        found = committed.view.document(committed.table.kinds[kind], document_id)
        return None if found is None else found.record

    def signed(self, chain: Chain, signers: Sequence[Signatory], acts: Sequence[Act], ttl_ms: int = TTL_MS) -> tuple[bytes, bytes]:
        """A transaction's id and bytes."""
        body = build_body(
            ledger_id=chain.id,
            nonce=self.random.randbytes(NONCE_BYTES),
            expires_at_ms=self.now_ms() + ttl_ms,
            signers=[signer.name for signer in signers],
            acts=acts,
        )
        return transaction_id(chain.id, body), assemble(body, [sign_body(chain.id, body, s.key) for s in signers])

    def send(self, chain: Chain, raw: bytes, node: str) -> None:
        """Submit through the node of an organization. Raises Unreachable; Declined as admission or a simulation before it refuses."""
        via = chain.node_of(node)
        if via is None:
            raise Unreachable(node)
        if self.random.random() < 0.5:
            self.simulated(chain, raw, node)
        try:
            chain.submit(raw, via)
        except Rejected as error:
            raise refusal(error) from error
        self.call_block(chain)

    def simulated(self, chain: Chain, raw: bytes, node: str) -> None:
        """What a client asks its node before it broadcasts. Raises Declined as the contract would."""
        via = chain.node_of(node)
        if via is None:
            raise Unreachable(node)
        committed = via.committed
        run = BlockRun(committed, via.reader, max(via.clock(), committed.clock.time_ms + 1), log=cast("Any", chain.log))
        run.fire_deadlines()
        receipt = run.run_entry(raw).receipt
        if receipt.code:
            self.coverage.refusals[receipt.code] += 1
            raise Declined(receipt.code, receipt.name, receipt)

    async def submitted(
        self,
        chain: Chain,
        signer: Signatory,
        acts: Sequence[Act],
        node: str,
        *,
        ttl_ms: int = TTL_MS,
        patience_ms: int = RECEIPT_MS,
    ) -> Receipt:
        """One transaction and its receipt. Raises Declined, Unreachable, NoReceipt."""
        for tempter in self.tempters:
            tempter(chain, signer, acts)
        name, raw = self.signed(chain, (signer,), acts, ttl_ms)
        self.send(chain, raw, node)
        receipt: Receipt = await Receiving(self, name, patience_ms)
        if receipt.code:
            raise Declined(receipt.code, receipt.name, receipt)
        return receipt

    # Blocks

    def call_block(self, chain: Chain, after_ms: tuple[int, int] = BLOCK_MS) -> None:
        """There is something for a block; one comes soon."""
        if not self._block_due.get(chain.id):
            self._block_due[chain.id] = True
            self.schedule.at(self.soon(*after_ms), f"{chain.label}: a block", lambda: self._block(chain))

    def _block(self, chain: Chain) -> None:
        self._block_due[chain.id] = False
        self.decide(chain)

    def decide(self, chain: Chain, crash: str = "") -> Decided | None:
        """One round of a ledger's consensus, and everything that follows from its block."""
        steps = self.coverage.taken.copy()
        coverage_module.listen(self.coverage)
        decided = chain.decide(crash)
        coverage_module.listen(None)
        if decided is None:
            if chain.is_live:
                self.call_block(chain, (ROUND_MS, ROUND_MS))
            return None
        if decided.written:
            self.moved_ms = self.schedule.now_ms
        self._count(decided, steps)
        for invariant in self.invariants:
            invariant(chain, decided)
        self._tell(chain, decided)
        if chain.mempool:
            self.call_block(chain)
        self._plan_tick(chain)
        return decided

    def _count(self, decided: Decided, steps: Counter[tuple[str, str, str]]) -> None:
        """What a block wrote; `steps` are those that were taken before it."""
        new = [step for step, count in self.coverage.taken.items() if count != steps[step]]
        stepped = {(kind, str(status)) for kind, status, _ in new}
        for written in decided.written:
            kind, record = written.after.kind, written.after.record
            key = (kind.name, str(getattr(record, "status", "")))
            before = None if written.before is None else written.before.record
            self.coverage.wrote(kind, before, record, stepped=key in stepped)

    def _tell(self, chain: Chain, decided: Decided) -> None:
        for result in decided.result.results:
            if result.receipt.code:
                self.coverage.refusals[result.receipt.code] += 1
            waiter = self.receivers.pop(result.receipt.transaction_id, None) if result.remembered else None
            if waiter is not None:
                self._wake(waiter, result.receipt)
        for written in decided.written:
            for waiter in self.watchers.pop((chain.id, written.after.key), ()):
                self._wake(waiter, None)
        for event in decided.result.events:
            for listener in self.listeners:
                listener(chain, event)

    def _wake(self, waiter: Waiter, value: Any) -> None:
        waiter.cease()

        def go_on() -> None:
            if waiter.place == waiter.task.place:
                waiter.task.resume(value)

        self.schedule.at(self.soon(*NEWS_MS), f"{waiter.task.name} hears", go_on)

    def resumed(self, chain: Chain) -> None:
        """A ledger that waited can go on."""
        if chain.mempool:
            self.call_block(chain)
        self._tick_due.pop(chain.id, None)
        self._plan_tick(chain)

    def _plan_tick(self, chain: Chain) -> None:
        """Each node submits a tick once its ledger's next deadline is due."""
        due_ms = chain.state().committed.next_due_ms()
        if due_ms is not None and self._tick_due.get(chain.id) != due_ms:
            self._tick_due[chain.id] = due_ms
            at_ms = max(due_ms - START_MS, self.schedule.now_ms) + self.random.randint(2, 800)
            self.schedule.at(at_ms, f"{chain.label}: a tick", lambda: self._tick(chain, due_ms, 0))

    def _tick(self, chain: Chain, due_ms: int, attempt: int) -> None:
        # While the ledger waits, nobody asks: it is called again when it goes on.
        if not chain.is_live or self._tick_due.get(chain.id) != due_ms or chain.state().committed.next_due_ms() != due_ms:
            return
        if chain.tick(attempt):
            self.decide(chain)
        if chain.state().committed.next_due_ms() == due_ms:
            self.schedule.at(self.schedule.now_ms + ROUND_MS, f"{chain.label}: a tick", lambda: self._tick(chain, due_ms, attempt + 1))


