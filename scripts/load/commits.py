"""Pure arithmetic of the tiers' bench: blocks as somebody saw them, the path from an inquiry to its quote, and what each step took."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from scripts.load.figures import percentile

# What an agent writes down after it has acted outside, and nobody waits for: commits with nothing else are off the path.
OFF_THE_PATH: Final = frozenset({"release.carried", "inquiry_handover.quoted"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Happening:
    """An event as it arrived: `arrived_ms` and `ledger_time_ms` by one machine's clock, Unix milliseconds."""

    ledger: str
    height: int
    name: str
    document_id: str
    transaction_id: bytes
    ledger_time_ms: int
    arrived_ms: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Commit:
    """A block in which something happened; `names` of its events, each once, in order.

    `ledger_time_ms` is when its proposer began to make it, `arrived_ms` when its first event was heard of.
    """

    ledger: str
    height: int
    names: tuple[str, ...]
    transactions: int
    ledger_time_ms: int
    arrived_ms: float

    @property
    def is_on_the_path(self) -> bool:
        """Whether a quote waits for it."""
        return not OFF_THE_PATH.issuperset(self.names)


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One commit of the path over several inquiries, medians in milliseconds.

    `before_ms`: from the commit before it to the beginning of its block (agents, simulation, the way into the block);
    `block_ms`: from there until it was heard of.
    """

    ledger: str
    names: tuple[str, ...]
    p50_ms: float
    p99_ms: float
    before_ms: float
    block_ms: float


def commits_of(happenings: Iterable[Happening]) -> tuple[Commit, ...]:
    """Blocks, in the order in which they were heard of."""
    found: dict[tuple[str, int], list[Happening]] = {}
    for one in happenings:
        found.setdefault((one.ledger, one.height), []).append(one)
    commits = [
        Commit(
            ledger=ledger,
            height=height,
            names=tuple(dict.fromkeys(one.name for one in its)),
            transactions=len({one.transaction_id for one in its if one.transaction_id}),
            ledger_time_ms=its[0].ledger_time_ms,
            arrived_ms=min(one.arrived_ms for one in its),
        )
        for (ledger, height), its in found.items()
    ]
    return tuple(sorted(commits, key=lambda one: (one.arrived_ms, one.ledger)))


def path(commits: Iterable[Commit], submitted_ms: float, quoted_ms: float) -> tuple[Commit, ...]:
    """What lies between a submission and its quote, both ends included, in a chain without branches."""
    return tuple(one for one in commits if submitted_ms <= one.arrived_ms <= quoted_ms and one.is_on_the_path)


def steps(paths: Sequence[tuple[float, Sequence[Commit]]]) -> tuple[Step, ...]:
    """Of (time of the submission, its path) of several inquiries: those paths that have the commonest form."""
    forms = Counter(_form(its) for _, its in paths)
    if not forms:
        return ()
    form = forms.most_common(1)[0][0]
    alike = [(submitted_ms, its) for submitted_ms, its in paths if _form(its) == form]
    found = []
    for place, (ledger, names) in enumerate(form):
        took, before, block = [], [], []
        for submitted_ms, its in alike:
            since_ms = its[place - 1].arrived_ms if place else submitted_ms
            took.append(its[place].arrived_ms - since_ms)
            before.append(its[place].ledger_time_ms - since_ms)
            block.append(its[place].arrived_ms - its[place].ledger_time_ms)
        found.append(
            Step(
                ledger=ledger,
                names=names,
                p50_ms=percentile(took, 50),
                p99_ms=percentile(took, 99),
                before_ms=percentile(before, 50),
                block_ms=percentile(block, 50),
            )
        )
    return tuple(found)


def counted(commits: Iterable[Commit]) -> dict[str, Any]:
    """Blocks and transactions, by ledger."""
    blocks: Counter[str] = Counter()
    transactions: Counter[str] = Counter()
    for one in commits:
        blocks[one.ledger] += 1
        transactions[one.ledger] += one.transactions
    return {name: {"blocks": blocks[name], "transactions": transactions[name]} for name in sorted(blocks)}


def _form(its: Sequence[Commit]) -> tuple[tuple[str, tuple[str, ...]], ...]:
    return tuple((one.ledger, one.names) for one in its)
