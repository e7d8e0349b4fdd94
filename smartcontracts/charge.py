"""Charge: what one party owes the other besides the prices: for a delay, for a late cancellation.

D-04 a delay costs what the agreement says, but for the time in which a seller waited for its buyer's consent (C-09); X-27 so does cancelling what was activated. The contract computes both when an order
ends; billing takes them up from here.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from smartcontracts.agreement import agreement_of, delay_penalty_of
from smartcontracts.kernel import Call, Event, Kind, Outcome, Terms
from smartcontracts.money import MINOR_MAX, Money
from smartcontracts.order import Order, change_of
from smartcontracts.service import awaited_ms
from smartcontracts.trade import words


class ChargeKind(StrEnum):
    """Stored on the ledger: never rename a value."""

    DELAY_PENALTY = "delay_penalty"
    CANCELLATION_FEE = "cancellation_fee"


class ChargeStatus(StrEnum):
    """Stored on the ledger: never rename a value."""

    RECORDED = "recorded"


@dataclass(frozen=True, slots=True, kw_only=True)
class Charge:
    """What `payer` owes `payee` by version `terms_version` of the agreement's terms.

    A delay of `delay_ms` had begun `periods` of `period_ms`, at `period_minor` each and `cap_minor` at most (0: no bound).
    It is counted from `excused_ms` later than it would be, had the seller not waited for the buyer.
    """

    id: str
    status: ChargeStatus = ChargeStatus.RECORDED
    kind: ChargeKind
    order_id: str
    service_id: str
    agreement_id: str
    terms_version: int
    payer: str
    payee: str
    amount: Money
    at_ms: int
    delay_ms: int = 0
    periods: int = 0
    period_ms: int = 0
    period_minor: int = 0
    cap_minor: int = 0
    excused_ms: int = 0


CHARGE: Final = Kind(
    name="charge",
    prefix="fee",
    record=Charge,
    terms=lambda charge: Terms(
        status=charge.status,
        party=words((charge.payer, charge.payee)),
        service=words((charge.service_id,)),
        related=words((charge.order_id, charge.agreement_id)),
        keys=(f"{charge.agreement_id}/{charge.payee}",),
    ),
    filters=("status", "party", "service", "related"),
)


def charge_delay(order: Order, call: Call, n: int = 0) -> Outcome:
    """The seller's penalty for an accepted order that ends late; nothing if it is in time or none is agreed. Req: D-04.

    The order of a change that needs an outage is late when its seller has had the whole window for itself: what it waited for
    the buyer's consent comes on top. Req: C-09.
    """
    change = change_of(order, call.view)
    waited_ms = 0 if change is None else awaited_ms(change, call.block.time_ms)
    due_ms = max(order.delay_from_ms, order.original_activate_by_ms + waited_ms)
    delay_ms = call.block.time_ms - due_ms
    if not order.delay_from_ms or delay_ms <= 0:
        return Outcome()
    agreement = agreement_of(call.view, order.agreement_id)
    rule = delay_penalty_of(agreement.terms, order.seller)
    if rule is None:
        return Outcome()
    periods = -(-delay_ms // rule.period_ms)
    minor = min(periods * rule.amount_minor, rule.cap_minor or MINOR_MAX, MINOR_MAX)
    return _recorded(
        Charge(
            id=call.new_id(CHARGE, n),
            kind=ChargeKind.DELAY_PENALTY,
            order_id=order.id,
            service_id=order.service_id,
            agreement_id=agreement.id,
            terms_version=agreement.terms_version,
            payer=order.seller,
            payee=order.buyer,
            amount=Money(minor, agreement.terms.currency),
            at_ms=call.block.time_ms,
            delay_ms=delay_ms,
            periods=periods,
            period_ms=rule.period_ms,
            period_minor=rule.amount_minor,
            cap_minor=rule.cap_minor,
            excused_ms=due_ms - order.delay_from_ms,
        )
    )


def charge_cancellation(order: Order, call: Call) -> Outcome:
    """The buyer's fee for an order that had been activated; nothing if none is agreed. Req: X-27."""
    agreement = agreement_of(call.view, order.agreement_id)
    if not agreement.terms.cancellation_fee_minor:
        return Outcome()
    return _recorded(
        Charge(
            id=call.new_id(CHARGE),
            kind=ChargeKind.CANCELLATION_FEE,
            order_id=order.id,
            service_id=order.service_id,
            agreement_id=agreement.id,
            terms_version=agreement.terms_version,
            payer=order.buyer,
            payee=order.seller,
            amount=Money(agreement.terms.cancellation_fee_minor, agreement.terms.currency),
            at_ms=call.block.time_ms,
        )
    )


def _recorded(charge: Charge) -> Outcome:
    return Outcome(writes=(charge,), events=(Event("charge.recorded", charge),))
