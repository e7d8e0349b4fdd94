"""Charge: what a delay and a late cancellation cost is computed by the agreement, and recorded when the order ends."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smartcontracts.agreement import DelayPenalty
from smartcontracts.charge import CHARGE, Charge, ChargeKind, charge_delay
from smartcontracts.money import MINOR_MAX, Money
from smartcontracts.order import ORDER
from tests.smartcontracts.delivering import (
    CANCEL_MS,
    FEE_MINOR,
    PENALTY,
    STRICT,
    activate,
    cancel,
    extend,
    fail,
    in_operation,
    reply,
    request,
)
from tests.smartcontracts.support import org
from tests.smartcontracts.trading import (
    AGREEMENT_ID,
    BUYER,
    DAY_MS,
    SELLER,
    accepted,
    agreement_record,
    ordered,
    trading_ledger,
)

DELAYS = [  # milliseconds late, started periods of a second, minor units at 5 euros each and 12 at most
    (1, 1, 5_00),
    (1_000, 1, 5_00),
    (1_001, 2, 10_00),
    (2_001, 3, 12_00),
    (DAY_MS, 86_400, 12_00),
]


def late_by(ledger, order, ends, delay_ms):
    """The order ended so late, by `ends`; an activation takes an extension first."""
    at = order.delay_from_ms + delay_ms
    if ends is activate:
        ledger.advance(at)
        extend(ledger, order, at + 1_000, at=at + 1)
        return activate(ledger, order, at=at + 2)
    return ends(ledger, order, at=at)


@pytest.mark.req("D-04")
@pytest.mark.parametrize(("delay_ms", "periods", "minor"), DELAYS)
@pytest.mark.parametrize("ends", [fail, cancel])
def test_an_order_that_ends_late_costs_its_seller_each_started_period_up_to_the_bound(ends, delay_ms, periods, minor):
    ledger = trading_ledger(**STRICT)
    order = accepted(ledger)
    late_by(ledger, order, ends, delay_ms)
    charge = ledger.the(CHARGE)
    assert charge == Charge(
        id=charge.id,
        kind=ChargeKind.DELAY_PENALTY,
        order_id=order.id,
        service_id=order.service_id,
        agreement_id=AGREEMENT_ID,
        terms_version=1,
        payer=org(SELLER),
        payee=org(BUYER),
        amount=Money(minor, "EUR"),
        at_ms=ledger.time_ms,
        delay_ms=delay_ms,
        periods=periods,
        period_ms=1_000,
        period_minor=5_00,
        cap_minor=12_00,
    )
    assert ledger.event_names()[-1] == "charge.recorded"
    for term, value in (("related", order.id), ("service", order.service_id), ("party", org(BUYER))):
        assert ledger.find(CHARGE, term, value, 2) == (charge,)


@pytest.mark.req("D-04")
def test_a_late_activation_costs_from_the_first_end_though_the_buyer_gave_more_time():
    ledger = trading_ledger(**STRICT)
    order = accepted(ledger)
    late_by(ledger, order, activate, 1_000)
    charge = ledger.the(CHARGE)
    assert (charge.delay_ms, charge.amount) == (1_002, Money(10_00, "EUR"))
    assert ledger.event_names()[-3:] == ["order.activated", "service.activated", "charge.recorded"]


@pytest.mark.req("D-04")
@pytest.mark.parametrize("ends", [activate, fail, cancel])
def test_in_time_nothing_is_owed(ends):
    ledger = trading_ledger(**STRICT)
    order = accepted(ledger)
    ends(ledger, order, at=order.activate_by_ms)
    assert ledger.all(CHARGE) == ()


@pytest.mark.req("D-04")
def test_without_a_clause_for_this_seller_nothing_is_owed():
    for terms in ({}, {"delay_penalties": (replace(PENALTY, seller=org(BUYER)),)}):
        ledger = trading_ledger(**terms)
        late_by(ledger, accepted(ledger), fail, 5_000)
        assert ledger.all(CHARGE) == ()


@pytest.mark.req("D-04", "D-43")
@pytest.mark.parametrize(("waived_by", "delay_ms"), [("grant", 1_500), ("gift", 1_500), ("", 6_500)])
def test_a_delay_is_counted_from_the_first_end_unless_it_is_waived_up_to_a_later_one(waived_by, delay_ms):
    ledger = trading_ledger(**STRICT)
    order = accepted(ledger)
    end_ms = order.activate_by_ms + 5_000
    if waived_by == "gift":
        extend(ledger, order, end_ms, waive=True)
    else:
        request(ledger, order, end_ms)
        reply(ledger, order, granted=True, waive=waived_by == "grant")
    fail(ledger, order, at=end_ms + 1_500)
    assert ledger.the(CHARGE).delay_ms == delay_ms


@pytest.mark.req("D-04")
def test_an_order_that_was_never_accepted_owes_nothing_however_late_it_ends():
    ledger = trading_ledger(**STRICT)
    order = ordered(ledger)
    cancel(ledger, order, at=order.accept_by_ms)
    assert ledger.all(CHARGE) == ()


@pytest.mark.req("X-27")
def test_cancelling_what_was_activated_costs_the_buyer_the_agreed_fee_and_no_delay():
    ledger = trading_ledger(**STRICT)
    order, _ = in_operation(ledger)
    cancel(ledger, order, at=order.ended_at_ms + CANCEL_MS)
    charge = ledger.the(CHARGE)
    assert (charge.kind, charge.amount) == (ChargeKind.CANCELLATION_FEE, Money(FEE_MINOR, "EUR"))
    assert (charge.payer, charge.payee) == (org(BUYER), org(SELLER))
    assert (charge.order_id, charge.service_id, charge.delay_ms) == (order.id, order.service_id, 0)


@pytest.mark.req("X-27")
def test_without_a_fee_the_cancellation_is_free():
    ledger = trading_ledger(cancellation_window_ms=CANCEL_MS)
    order, _ = in_operation(ledger)
    cancel(ledger, order)
    assert ledger.all(CHARGE) == ()


@given(
    delay_ms=st.integers(1, 10**12),
    period_ms=st.integers(1, 10**10),
    minor=st.integers(1, MINOR_MAX),
    cap=st.integers(0, MINOR_MAX),
)
def test_a_penalty_is_all_started_periods_and_never_above_its_bound(delay_ms, period_ms, minor, cap):
    ledger = trading_ledger()
    order = accepted(ledger)
    rule = DelayPenalty(seller=org(SELLER), amount_minor=minor, period_ms=period_ms, cap_minor=cap)
    ledger.write(agreement_record(delay_penalties=(rule,)))
    ledger.time_ms = order.activate_by_ms + delay_ms
    charge = charge_delay(ledger.the(ORDER), ledger.call(ledger.sender(SELLER, "s_bus"))).writes[0]
    assert (charge.periods - 1) * period_ms < delay_ms <= charge.periods * period_ms
    bound = cap or MINOR_MAX
    assert charge.amount.minor == charge.periods * minor or charge.amount.minor == bound <= charge.periods * minor
