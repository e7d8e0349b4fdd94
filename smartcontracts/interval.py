"""Billing interval: one billing period of an agreement, with one identity for both directions.

Periods follow each other without a gap from the agreement's start; spans hold their first millisecond and not their
last (`until_ms`). Who sells in which interval, how many usage records it has and whether it is invoiced stands in one
document, so that neither question needs a search. Req: B-02; docs/decisions/billing.md.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from smartcontracts.agreement import Agreement
from smartcontracts.ids import derive_id
from smartcontracts.kernel import Grpc, Kind, Rejected, Terms, View

INTERVAL_NUMBER_MAX: Final = 2**32 - 1


class BeforeTheAgreement(Rejected):
    """A time lies before the agreement's first billing period."""

    code = 4001
    grpc = Grpc.OUT_OF_RANGE


class IntervalNumberTooLarge(Rejected):
    """An agreement has no billing period with this number."""

    code = 4002
    grpc = Grpc.OUT_OF_RANGE


@dataclass(frozen=True, slots=True, kw_only=True)
class IntervalSide:
    """What one seller did in an interval."""

    seller: str
    usages: int = 0
    invoice_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """Document: [from_ms, until_ms) of an agreement; `sides` sorted by seller, at most two."""

    id: str
    agreement_id: str
    number: int
    from_ms: int
    until_ms: int
    sides: tuple[IntervalSide, ...] = ()

    def side(self, seller: str) -> IntervalSide:
        """The seller's side, empty if it has none yet."""
        for side in self.sides:
            if side.seller == seller:
                return side
        return IntervalSide(seller=seller)

    def with_side(self, changed: IntervalSide) -> Interval:
        """The interval with one side put in or changed."""
        others = (side for side in self.sides if side.seller != changed.seller)
        return replace(self, sides=tuple(sorted((*others, changed), key=lambda s: s.seller)))


INTERVAL: Final = Kind(
    name="interval",
    prefix="int",
    record=Interval,
    terms=lambda interval: Terms(party=tuple(side.seller for side in interval.sides), related=(interval.agreement_id,)),
    filters=("party", "related"),
)


def interval_id(agreement_id: str, number: int) -> str:
    """The identity of an agreement's `number`-th billing period, whether or not anything happened in it. Req: B-02."""
    return derive_id(INTERVAL.prefix, agreement_id, number)


def interval_holding(agreement: Agreement, until_ms: int, view: View) -> Interval:
    """The interval with the last millisecond before `until_ms`. Rejects with BeforeTheAgreement, IntervalNumberTooLarge.

    A span that ends where a period ends belongs to that period and not to the next one.
    """
    elapsed_ms = until_ms - 1 - agreement.in_force_from_ms
    if elapsed_ms < 0:
        raise BeforeTheAgreement(f"Billing begins at {agreement.in_force_from_ms} ms.", "until_ms")
    number = elapsed_ms // agreement.terms.billing_period_ms
    if number > INTERVAL_NUMBER_MAX:
        raise IntervalNumberTooLarge(f"Billing periods are numbered up to {INTERVAL_NUMBER_MAX}.", "until_ms")
    return interval_numbered(agreement, number, view)


def interval_numbered(agreement: Agreement, number: int, view: View) -> Interval:
    """The document of the `number`-th interval, or what it would be."""
    known = view.get(INTERVAL, interval_id(agreement.id, number))
    if known is not None:
        return known
    from_ms = agreement.in_force_from_ms + number * agreement.terms.billing_period_ms
    return Interval(
        id=interval_id(agreement.id, number),
        agreement_id=agreement.id,
        number=number,
        from_ms=from_ms,
        until_ms=from_ms + agreement.terms.billing_period_ms,
    )
