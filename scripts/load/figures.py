"""Pure arithmetic of the bench: percentiles, and the rate at which blocks were committed."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

# The first second of a load fills mempools and caches.
WARM_UP_S: Final = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One transaction as its sender saw it: times in seconds of one monotonic clock, the height of its block."""

    act: str
    sent_at: float
    received_at: float
    height: int
    bytes: int

    @property
    def latency_ms(self) -> float:
        """From handing in to the receipt."""
        return (self.received_at - self.sent_at) * 1_000


def percentile(values: Iterable[float], percent: float) -> float:
    """The smallest value that at least `percent` of them do not exceed; NaN of none."""
    found = sorted(values)
    if not found:
        return math.nan
    return found[max(0, math.ceil(len(found) * percent / 100) - 1)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Committed:
    """A block of the load: when it was first known to be committed (seconds), and how many of the load's transactions it has."""

    known_at: float
    transactions: int


def blocks_of(samples: Iterable[Sample]) -> list[Committed]:
    """The blocks that these were in, by height."""
    counts: dict[int, int] = {}
    known_at: dict[int, float] = {}
    for sample in samples:
        counts[sample.height] = counts.get(sample.height, 0) + 1
        known_at[sample.height] = min(known_at.get(sample.height, math.inf), sample.received_at)
    return [Committed(known_at=known_at[height], transactions=counts[height]) for height in sorted(counts)]


def committed_rate(blocks: Sequence[Committed]) -> float:
    """Transactions a second, from block to block: a block counts from the moment its predecessor was known.

    Counting between two moments would cut a block of hundreds. NaN below three blocks.
    """
    if len(blocks) < 3:
        return math.nan
    seconds = blocks[-1].known_at - blocks[0].known_at
    return sum(block.transactions for block in blocks[1:]) / seconds if seconds > 0 else math.nan


def rates_by_quarter(blocks: Sequence[Committed]) -> tuple[float, ...]:
    """`committed_rate` of each quarter of the blocks, in their order: whether it stays."""
    size = len(blocks) // 4
    return tuple(committed_rate(blocks[size * quarter : size * (quarter + 1) + 1]) for quarter in range(4))


def sent_within(samples: Iterable[Sample], begin: float, end: float) -> list[Sample]:
    """Those sent from `begin` to before `end`, whenever their answer came."""
    return [sample for sample in samples if begin <= sample.sent_at < end]
