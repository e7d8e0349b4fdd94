"""A simulated ledger: up to three replicas of what its validators execute, a mempool, and consensus reduced to its decisions.

The validators that are not executed vote as honest ones do. After each block, root and hashed results of all replicas that are up
must be equal; one that was away executes what it missed when it is back, and must come to the same.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import Final

from abci_app.execution.outcomes import BlockResult, Result
from abci_app.execution.reading import TransactionReader
from abci_app.state.documents import Document
from ledgers.genesis import LedgerGenesis, ledger_id
from ledgers.kinds import BILATERAL, INTERNAL, contract_table
from ledgers.transaction import encode_tick
from scripts.simulation.journal import QuietLog, Violation
from scripts.simulation.parties import members, organization
from scripts.simulation.replica import Replica
from scripts.simulation.store import LiveStore
from smartcontracts.kernel import Position, Rejected
from smartcontracts.parameters import Parameters

START_MS: Final = 1_800_000_000_000
NEUTRALS: Final = ("north", "south")
PARAMETERS: Final = Parameters(history_blocks=10, events_kept_blocks=100, window_min_ms=5_000)
_SECRET: Final = b"simulated" + bytes(23)


@cache
def genesis_of(kind: str, names: tuple[str, ...]) -> LedgerGenesis:
    """The genesis of the ledger of these parties, with two neutrals if it is bilateral; the same for every seed."""
    organizations = [organization(name, Position.PARTY) for name in names]
    if kind == BILATERAL:
        organizations += [organization(name, Position.NEUTRAL) for name in NEUTRALS]
    return LedgerGenesis(
        kind=kind,
        secret=_SECRET,
        created_at_ms=START_MS,
        contracts_version=1,
        parameters=PARAMETERS,
        organizations=tuple(sorted(organizations, key=lambda o: o.id)),
        members=tuple(sorted((m for name in names for m in members(name)), key=lambda m: m.id)),
    )


@dataclass(frozen=True, slots=True)
class Written:
    """A document before a block that wrote it, None if it was not there, and after."""

    before: Document | None
    after: Document


@dataclass(frozen=True, slots=True)
class Decided:
    """A block that the validators agreed on, and what it wrote, system documents left out."""

    result: BlockResult
    written: tuple[Written, ...]
    proposer: str


@dataclass(slots=True)
class Counts:
    """What happened to a ledger."""

    blocks: int = 0
    transactions: int = 0
    deadlines: int = 0
    rounds_failed: int = 0
    stalls: int = 0
    caught_up: int = 0
    restarts: int = 0


@dataclass(slots=True)
class Chain:
    """`validators` by name, in order of their turns; the first few are executed. `now` gives virtual Unix time in ms."""

    kind: str
    names: tuple[str, ...]
    now: Callable[[], int]
    executed: int
    log: QuietLog = field(default_factory=QuietLog)
    skew_ms: dict[str, int] = field(default_factory=dict)
    away: dict[str, None] = field(default_factory=dict)
    counts: Counts = field(default_factory=Counts)
    validators: tuple[str, ...] = ()
    replicas: dict[str, Replica] = field(default_factory=dict)
    mempool: list[bytes] = field(default_factory=list)
    genesis: LedgerGenesis = field(init=False)
    id: str = field(init=False)
    _missed: dict[str, list[tuple[list[bytes], bytes]]] = field(default_factory=dict)
    _turn: int = 0

    def __post_init__(self) -> None:
        self.genesis = genesis_of(self.kind, self.names)
        self.id = _id_of(self.kind, self.names)
        self.validators = (*self.names, *NEUTRALS) if self.kind == BILATERAL else (self.names[0],)
        # An internal ledger has one validator; a second copy stands for the node that is restored or replays.
        copies = self.validators[: self.executed] if self.kind == BILATERAL else (self.names[0], *self._shadow())
        reader = TransactionReader()
        for name in copies:
            self.replicas[name] = Replica(
                self.id,
                LiveStore(),
                clock=self._clock_of(name),
                reader=reader,
                log=self.log,
                table_for=contract_table,
            )
        self._missed = {name: [] for name in copies}
        roots = {replica.begin(self.genesis) for replica in self.replicas.values()}
        if len(roots) != 1:
            raise Violation("same_state", f"the replicas of {self.label} begin differently")
        self.decide()

    def _shadow(self) -> tuple[str, ...]:
        return (f"{self.names[0]}'s copy",) if self.executed > 1 else ()

    def _clock_of(self, name: str) -> Callable[[], int]:
        return lambda: self.now() + self.skew_ms.get(name, 0)

    @property
    def label(self) -> str:
        """What the journal calls it."""
        return "-".join(self.names) if self.kind == BILATERAL else f"INT {self.names[0]}"

    @property
    def up(self) -> dict[str, Replica]:
        """Replicas that are not away, in order."""
        return {name: replica for name, replica in self.replicas.items() if name not in self.away}

    @property
    def is_live(self) -> bool:
        """Whether enough validators are there to decide a block."""
        there = sum(name not in self.away for name in self.validators)
        return 3 * there > 2 * len(self.validators) and any(name in self.validators for name in self.up)

    def node_of(self, name: str) -> Replica | None:
        """The replica that this organization's agents read and submit through; None while it is away."""
        return None if name in self.away else self.replicas.get(name)

    def state(self) -> Replica:
        """A replica that is not behind."""
        for name, replica in self.replicas.items():
            if not self._missed[name]:
                return replica
        raise RuntimeError("every replica is behind")

    def submit(self, raw: bytes, via: Replica) -> None:
        """CheckTx, and the mempool. Rejects as admission does."""
        via.check(raw)
        if raw not in self.mempool:
            self.mempool.append(raw)

    def tick(self, attempt: int) -> bool:
        """What every node submits once a deadline is due; whether one was admitted."""
        via = next(iter(self.up.values()), None)
        due_ms = None if via is None else via.committed.next_due_ms()
        if via is None or due_ms is None:
            return False
        try:
            self.submit(encode_tick(self.id, due_ms, attempt), via)
        except Rejected:
            return False
        return True

    def decide(self, crash_before_commit: str = "") -> Decided | None:
        """One round: None if the ledger stalls, or the proposal is refused. A replica may crash between its block and its commit."""
        if not self.is_live:
            self.counts.stalls += 1
            return None
        proposers = [name for name in self.up if name in self.validators]
        proposer = proposers[self._turn % len(proposers)]
        self._turn += 1
        transactions = self.replicas[proposer].prepare(self.mempool)
        there = sum(name not in self.away for name in self.validators)
        voters = [name for name in self.up if name in self.validators and name != proposer]
        refused = sum(not self.replicas[name].vote(transactions) for name in voters)
        # Validators that are not executed have good clocks: they vote as the first executed one with a good clock would.
        silent = there - len(voters) - 1
        honest = self._honest_vote(proposer, voters, refused)
        votes = there - refused - (0 if honest else silent)
        if 3 * votes <= 2 * len(self.validators):
            self.counts.rounds_failed += 1
            return None
        return self._commit(transactions, proposer, crash_before_commit)

    def _honest_vote(self, proposer: str, voters: list[str], refused: int) -> bool:
        """Whether a validator with a good clock accepts: what is wrong with a proposal here can only be its proposer's clock."""
        skew_ms = self.skew_ms.get(proposer, 0)
        good = [name for name in voters if not self.skew_ms.get(name)]
        if good or not voters:
            return refused == 0 if good else abs(skew_ms) <= PARAMETERS.clock_ahead_ms
        return -PARAMETERS.clock_behind_ms <= skew_ms <= PARAMETERS.clock_ahead_ms

    def _commit(self, transactions: list[bytes], proposer: str, crash: str) -> Decided:
        first = self.replicas[proposer]
        block = first.finalize(transactions)
        view = first.committed.view
        # Read now: once the block is committed, the store holds nothing older.
        written = tuple(
            Written(view.document(document.kind, document.id), document)
            for document in block.documents.values()
            if document is not None and not document.key.startswith("sys/")
        )
        for name in self.up:
            if name == crash:
                self.restart(name)
            replica = self.replicas[name]
            if name != proposer or name == crash:
                self._compare(name, replica.finalize(transactions), block)
        for name in self.replicas:
            if name in self.away:
                self._missed[name].append((transactions, block.root))
            else:
                self.replicas[name].commit()
        self._after(block)
        return Decided(block, written, proposer)

    def _after(self, block: BlockResult) -> None:
        counts = self.counts
        counts.blocks += 1
        counts.transactions += len(block.transactions) - 1
        counts.deadlines += block.fired
        done = dict.fromkeys(block.transactions)
        judge = self.state()
        self.mempool = [raw for raw in self.mempool if raw not in done and _stays(raw, judge)]
        if self.log.errors:
            raise Violation("no_failure", f"{self.label}: {self.log.errors[0]}")
        if any(result.raised for result in block.results):
            raise Violation("no_failure", f"{self.label}: a transaction made the application fail")

    def _compare(self, name: str, result: BlockResult, other: BlockResult) -> None:
        if result.root != other.root or _data(result.results) != _data(other.results):
            raise Violation("same_state", f"{self.label}: {name} differs at height {other.height}: {_difference(result, other)}")

    def leave(self, name: str) -> None:
        """A validator is away: its replica misses blocks."""
        self.away[name] = None

    def come_back(self, name: str) -> None:
        """Its replica executes what it missed (block-sync), and must come to the same."""
        self.away.pop(name, None)
        replica = self.replicas.get(name)
        if replica is None:
            return
        for transactions, root in self._missed[name]:
            if replica.finalize(transactions).root != root:
                raise Violation("same_state", f"{self.label}: {name}, which was away, differs at {replica.committed.height + 1}")
            replica.commit()
            self.counts.caught_up += 1
        self._missed[name].clear()

    def restart(self, name: str) -> None:
        """`kill -9` and a start: what was committed is there, and nothing else."""
        before = self.replicas[name].committed
        self.replicas[name] = again = self.replicas[name].restarted()
        self.counts.restarts += 1
        if (again.committed.height, again.committed.root) != (before.height, before.root):
            raise Violation("same_state", f"{self.label}: {name} is another after its restart")


@cache
def _id_of(kind: str, names: tuple[str, ...]) -> str:
    return ledger_id(genesis_of(kind, names))


def _stays(raw: bytes, replica: Replica) -> bool:
    try:
        replica.check(raw, recheck=True)
    except Rejected:
        return False
    return True


def _data(results: tuple[Result, ...]) -> list[bytes]:
    return [result.data for result in results]


def _difference(result: BlockResult, other: BlockResult) -> str:
    """The first document, by key, that two executions of a block wrote differently."""
    for key in sorted({*result.documents, *other.documents}):
        one, two = result.documents.get(key), other.documents.get(key)
        if (one and one.stored) != (two and two.stored):
            return key
    return "a result"


__all__ = ["BILATERAL", "INTERNAL", "PARAMETERS", "START_MS", "Chain", "Decided", "genesis_of"]
