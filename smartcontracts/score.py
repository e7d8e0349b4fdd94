"""Score: how well a seller keeps what it promised for one offering, as the ledger itself computes it.

A linear weighted moving average over the newest records' normalised performance C(t), in integer tenths from 0 to 99:
WMA(t) = (n C(t) + (n-1) C(t-1) + ... + 1 C(t-n+1)) / (n + (n-1) + ... + 1). The window n is the duration of the longest
instance to date in whole measurement units, or the number of records if that is less. One rounding, half up, at the end.
Req: R-04, R-05, R-07..R-12, R-20, R-21; X-51, X-52, X-54, X-55; docs/decisions/score.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from smartcontracts.ids import derive_id
from smartcontracts.kernel import Contract, Kind, Terms

TENTHS_MAX: Final = 99
# Records that a score keeps, and so the longest window. Req: X-54.
WINDOW_MAX: Final = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """Document: the score of `seller` for `offering` on this ledger. `text` is "8.9:132".

    `window` holds the newest records in tenths, newest last, at most WINDOW_MAX of them. It may hold more than the `count`
    that the score is based on: when a longer instance makes the window grow, older records count again.
    """

    id: str
    seller: str
    buyer: str
    offering: str
    window: tuple[int, ...] = field(metadata={"list_max": WINDOW_MAX})
    records: int
    longest_ms: int
    measurement_unit_ms: int
    longest_units: int
    tenths: int
    count: int
    text: str


SCORE: Final = Kind(
    name="score",
    prefix="scr",
    record=Score,
    terms=lambda score: Terms(party=(score.buyer, score.seller), offering=(score.offering,) if score.offering else ()),
    filters=("party", "offering"),
)


def score_id(ledger_id: str, seller: str, offering: str) -> str:
    """The id of a seller's score for an offering, whether or not there is one yet."""
    return derive_id(SCORE.prefix, ledger_id, seller, offering)


def with_record(score: Score, performance_tenths: int, lasted_ms: int, unit_ms: int) -> Score:
    """`score` with one more record of an instance that has lasted `lasted_ms` so far. Req: R-05, X-55.

    Records count in the order in which the ledger holds them, never in that of a clock.
    """
    window = (*score.window, performance_tenths)[-WINDOW_MAX:]
    records = score.records + 1
    longest_ms = max(score.longest_ms, lasted_ms)
    count = window_length(longest_ms, unit_ms, records)
    tenths = weighted_tenths(window[-count:])
    return Score(
        id=score.id,
        seller=score.seller,
        buyer=score.buyer,
        offering=score.offering,
        window=window,
        records=records,
        longest_ms=longest_ms,
        measurement_unit_ms=unit_ms,
        longest_units=longest_ms // unit_ms,
        tenths=tenths,
        count=count,
        text=score_text(tenths, count),
    )


def without_records(ledger_id: str, seller: str, buyer: str, offering: str) -> Score:
    """What a first record is added to. It is never stored: without records there is no score. Req: R-12."""
    return Score(
        id=score_id(ledger_id, seller, offering),
        seller=seller,
        buyer=buyer,
        offering=offering,
        window=(),
        records=0,
        longest_ms=0,
        measurement_unit_ms=0,
        longest_units=0,
        tenths=0,
        count=0,
        text="",
    )


def window_length(longest_ms: int, unit_ms: int, records: int) -> int:
    """n, the number of records that count: at least 1 where there is a record, at most WINDOW_MAX. Req: R-09..R-12, F-2."""
    # An instance shorter than one unit still counts with its one record.
    units = max(longest_ms // unit_ms, 1)
    return min(units, records, WINDOW_MAX)


def weighted_tenths(records: Sequence[int]) -> int:
    """The linear weighted average of C(t) in tenths, oldest first, at least one record; half up. Req: R-05, R-07, F-1."""
    count = len(records)
    weighted = sum(weight * tenths for weight, tenths in enumerate(records, start=1))
    weights = count * (count + 1) // 2
    rounded = (2 * weighted + weights) // (2 * weights)
    return min(max(rounded, 0), TENTHS_MAX)


def score_text(tenths: int, count: int) -> str:
    """The score as it is published: "8.9:132" is 8.9 from 132 measurements. Req: R-20, R-21."""
    whole, tenth = divmod(tenths, 10)
    return f"{whole}.{tenth}:{count}"


CONTRACT: Final = Contract(name="score", kinds=(SCORE,))
