"""Change: a service is changed or ended by an order; with an outage only inside a window that both agree to."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from smartcontracts.change import (
    AgreeMaintenance,
    ChangedServiceDiffers,
    ChangeEnded,
    ChangeNotAccepted,
    ChangeNotStarted,
    ChangeOutcome,
    ChangeUnknown,
    ConsentMissing,
    DeclineMaintenance,
    EndChange,
    HastenChange,
    MaintenanceDiffers,
    MaintenanceNotNeeded,
    MaintenanceNotProposed,
    MaintenanceOwn,
    MaintenanceWindowInvalid,
    NotEarlier,
    NotInThisChange,
    ProposeMaintenance,
    StartChange,
    TooEarly,
    TooLate,
)
from smartcontracts.charge import CHARGE
from smartcontracts.delivery import CancelOrder, OrderOverdue, UseEndChange
from smartcontracts.kernel import Cause, Rejected, RoleMissing
from smartcontracts.order import (
    ORDER,
    AcceptOrder,
    ChangeMismatch,
    ChangePending,
    ImplementAtInvalid,
    OrderEnded,
    OrderStatus,
    OutageDoesNotFit,
    PlaceOrder,
    RejectOrder,
    ServiceChangedTooOften,
)
from smartcontracts.quote import QUOTE, QuoteStatus
from smartcontracts.service import (
    FORMER_MAX,
    SERVICE,
    SERVICE_CHANGE,
    ChangeStarted,
    ChangeStatus,
    ServiceItem,
    ServiceStatus,
    ServiceTerminated,
    awaited_ms,
)
from smartcontracts.trade import (
    RELEASES_MAX,
    Action,
    Change,
    ChangeKind,
    ChangeMethod,
    NotTheBuyer,
    NotTheSeller,
    Outage,
    QuoteForm,
    ReasonInvalid,
    ReleaseInvalid,
    ReleaseMissing,
    ReleasesFull,
)
from tests.smartcontracts.delivering import (
    ANSWER_MS,
    CANCEL_MS,
    END_PRICES,
    FASTER_PRICES,
    OUTAGE_MS,
    STRICT,
    WITH_OUTAGE,
    activate,
    by_buyer,
    cancel,
    change_accepted,
    change_ordered,
    change_quoted,
    consent,
    decline,
    end,
    extend,
    fail,
    in_operation,
    propose,
    request,
    start,
)
from tests.smartcontracts.support import START_MS, org
from tests.smartcontracts.trading import (
    BUYER,
    DAY_MS,
    PORT_A,
    QUOTE_ITEMS,
    RELEASE,
    SELLER,
    accepted,
    buy,
    monthly,
    once,
    product,
    sell,
    trading_ledger,
)

TERMINATION = ChangeKind.TERMINATION
FAILED = ChangeOutcome.FAILED
HOUR_MS = 3_600_000
DONE = (ChangeStatus.DONE, ChangeStatus.REFUSED, ChangeStatus.FAILED, ChangeStatus.CANCELLED)


def operating(**terms):
    """A ledger with one service in operation."""
    ledger = trading_ledger(**terms)
    _, service = in_operation(ledger)
    return ledger, service


def with_outage(ledger, service, **more):
    return change_accepted(ledger, service, ChangeKind.RELOCATION, answer=WITH_OUTAGE, **more)


def window_agreed(ledger, change, after_ms=5_000, long_ms=OUTAGE_MS):
    """Both agree to an outage that soon."""
    from_ms = ledger.time_ms + after_ms
    propose(ledger, change, from_ms, from_ms + long_ms)
    return consent(ledger, change)


def of(ledger, service):
    return ledger.the(SERVICE, service.id)


# The order of a change


@pytest.mark.req("C-02", "C-05", "C-06", "C-11")
@pytest.mark.parametrize("kind", list(ChangeKind))
def test_the_request_of_a_change_is_on_record_with_what_was_quoted(kind):
    ledger, service = operating()
    order, change = change_ordered(ledger, service, kind)
    assert order.change == Change(service_id=service.id, kind=kind)
    assert (order.service_id, order.change_id) == (service.id, change.id)
    assert (change.order_id, change.service_id, change.kind) == (order.id, service.id, kind)
    assert (change.status, change.ordered_at_ms) == (ChangeStatus.ORDERED, order.placed_at_ms)
    assert (change.outage, change.outage_ms, change.method) == (Outage.NO, 0, ChangeMethod.RECONFIGURE)
    assert of(ledger, service).change_id == change.id
    assert ledger.event_names()[-2:] == ["order.placed", "service_change.ordered"]
    assert ledger.find(SERVICE_CHANGE, "service", service.id, 2) == (change,)
    assert ledger.find(SERVICE_CHANGE, "related", order.id, 2) == (change,)
    assert ledger.the(QUOTE, order.quote_id).status == QuoteStatus.ORDERED


@pytest.mark.req("C-03", "C-04", "C-07", "C-08")
def test_the_sellers_answer_says_whether_there_is_an_outage_and_not_the_kind():
    ledger, service = operating()
    order, change = change_ordered(ledger, service, ChangeKind.PARAMETER, answer=WITH_OUTAGE)
    assert (change.outage, change.outage_ms, change.method) == (
        Outage.YES,
        OUTAGE_MS,
        ChangeMethod.PARALLEL_BUILD_COLD,
    )
    cancel(ledger, order)
    _, change = change_ordered(ledger, service, ChangeKind.RELOCATION)
    assert (change.outage, change.outage_ms) == (Outage.NO, 0)


@pytest.mark.req("C-05", "C-06")
def test_an_order_of_a_change_says_so_and_of_which_service():
    ledger, service = operating()
    quote = change_quoted(ledger, service)
    before = ledger.root()
    for said in (
        None,
        Change(service_id="svc_none", kind=ChangeKind.PARAMETER),
        Change(service_id=service.id, kind=ChangeKind.QOS),
    ):
        with pytest.raises(ChangeMismatch):
            buy(ledger, quote.id, change=said)
    assert ledger.root() == before


def test_a_service_has_one_change_at_a_time_and_a_second_one_after_that():
    ledger, service = operating()
    first, second = change_quoted(ledger, service), change_quoted(ledger, service)
    said = Change(service_id=service.id, kind=ChangeKind.PARAMETER)
    order = buy(ledger, first.id, change=said)
    with pytest.raises(ChangePending) as caught:
        buy(ledger, second.id, change=said)
    assert caught.value.existing_id == order.change_id
    cancel(ledger, order)
    buy(ledger, second.id, change=said)


@pytest.mark.req("C-01")
def test_a_service_that_has_ended_since_the_quote_is_not_changed():
    ledger, service = operating(**STRICT)
    quote = change_quoted(ledger, service)
    cancel(ledger, ledger.the(ORDER))
    with pytest.raises(ServiceTerminated) as caught:
        buy(ledger, quote.id, change=Change(service_id=service.id, kind=ChangeKind.PARAMETER))
    assert caught.value.field == "change.service_id"


def test_a_service_is_not_changed_more_often_than_its_document_takes():
    ledger, service = operating()
    old = ServiceItem(id="item-001", offering="line", prices=(), until_ms=1)
    for count, refused in ((FORMER_MAX - 4, False), (FORMER_MAX - 3, True)):
        ledger.write(replace(service, former=(old,) * count))
        quote = change_quoted(ledger, service)
        said = Change(service_id=service.id, kind=ChangeKind.PARAMETER)
        if refused:
            with pytest.raises(ServiceChangedTooOften):
                buy(ledger, quote.id, change=said)
        else:
            cancel(ledger, buy(ledger, quote.id, change=said))


@pytest.mark.req("C-10")
def test_a_change_may_be_ordered_in_advance_for_a_time_inside_the_activation_window():
    ledger, service = operating()
    quote = change_quoted(ledger, service)
    at = ledger.time_ms + 1_000
    said = Change(service_id=service.id, kind=ChangeKind.PARAMETER)
    for wrong_ms in (-1, 1, at - 1, at, at + DAY_MS + 1):
        call = ledger.call(ledger.sender(BUYER, "b_bus"))
        call = replace(call, block=replace(call.block, time_ms=at))
        with pytest.raises(ImplementAtInvalid) as caught:
            ledger.table.messages["place_order"].handler(place(quote, said, implement_at_ms=wrong_ms), call)
        assert caught.value.field == "implement_at_ms"
    ledger.run("place_order", place(quote, said, at + DAY_MS), sender=ledger.sender(BUYER, "b_bus"), at=at)
    assert ledger.all(SERVICE_CHANGE)[0].implement_at_ms == at + DAY_MS


# Without an outage


@pytest.mark.req("C-08", "C-10")
@pytest.mark.parametrize("ahead_ms", [0, 1, 5_000])
def test_an_outage_that_cannot_be_over_inside_the_activation_window_is_not_ordered(ahead_ms):
    """No seller could keep it, and the buyer learned that from a rejection after a while, if at all."""
    ledger, service = operating()
    long_ms = replace(WITH_OUTAGE, outage_ms=30_000)
    quote = change_quoted(ledger, service, ChangeKind.RELOCATION, answer=long_ms)
    said = Change(service_id=service.id, kind=ChangeKind.RELOCATION)
    at = ledger.time_ms + 1
    least_ms = 30_000 + max(ahead_ms, 1)
    command = replace(place(quote, said, implement_at_ms=ahead_ms and at + ahead_ms), activation_window_ms=least_ms - 1)
    with pytest.raises(OutageDoesNotFit) as caught:
        ledger.run("place_order", command, sender=ledger.sender(BUYER, "b_bus"), at=at)
    assert (caught.value.field, f"at least {least_ms} ms" in caught.value.sentence) == ("activation_window_ms", True)
    # It is the first refusal after those of the times, and before what is restated.
    for change, refusal in (({"implement_at_ms": 1}, ImplementAtInvalid), ({"items": (PORT_A,)}, OutageDoesNotFit)):
        call = ledger.call(ledger.sender(BUYER, "b_bus"))
        with pytest.raises(refusal):
            ledger.table.messages["place_order"].handler(replace(command, **change), call)
    fits = replace(command, activation_window_ms=least_ms, implement_at_ms=ahead_ms and ledger.time_ms + 1 + ahead_ms)
    ledger.run("place_order", fits, sender=ledger.sender(BUYER, "b_bus"))


@pytest.mark.req("C-08", "C-10")
def test_the_shortest_window_that_an_outage_is_ordered_with_can_be_kept():
    ledger, service = operating()
    at = ledger.time_ms + 10_000
    order, change = with_outage(ledger, service, implement_at_ms=at, activation_window_ms=10_000 + OUTAGE_MS)
    assert order.activate_by_ms - order.placed_at_ms > order.activation_window_ms
    propose(ledger, change, at, at + OUTAGE_MS)
    consent(ledger, change)
    start(ledger, change, at=at)
    assert end(ledger, change, at=at + OUTAGE_MS).outcome == "done"


@pytest.mark.req("C-03", "C-05", "C-11")
def test_a_change_without_an_outage_is_started_at_once_and_its_end_puts_items_and_prices_in_place():
    ledger, service = operating()
    order, change = change_accepted(ledger, service)
    assert (change.status, change.accepted_at_ms) == (ChangeStatus.ACCEPTED, order.accepted_at_ms)
    started = start(ledger, change)
    assert (started.status, started.started_at_ms) == (ChangeStatus.IMPLEMENTING, ledger.time_ms)
    assert ledger.event_names()[-1] == "service_change.started"
    assert of(ledger, service).items == service.items
    done = end(ledger, change)
    now = ledger.time_ms
    assert (done.status, done.outcome, done.ended_at_ms) == (ChangeStatus.DONE, "done", now)
    changed, activated = of(ledger, service), ledger.the(ORDER, order.id)
    assert (activated.status, activated.ended_at_ms) == (OrderStatus.ACTIVATED, now)
    assert (changed.status, changed.change_id) == (ServiceStatus.IN_OPERATION, "")
    (line, *ports) = changed.items
    assert line == ServiceItem(id="item-001", offering="line", prices=FASTER_PRICES[0].prices, from_ms=now)
    assert tuple(ports) == service.items[1:]
    assert changed.former == (replace(service.items[0], until_ms=now),)
    assert ledger.event_names()[-3:] == ["service_change.done", "order.activated", "service.changed"]


@pytest.mark.req("C-03")
def test_an_endpoint_is_added_beside_the_others():
    ledger, service = operating()
    new = replace(PORT_A, id="item-004", action=Action.MODIFY, product=product("port", place="rome", sls=True))
    prices = (replace(END_PRICES[0], id="item-004", prices=(once(10 * 10**9),)),)
    _, change = change_accepted(ledger, service, items=(new,), prices=prices, totals=(10_00, 10_00))
    start(ledger, change)
    end(ledger, change)
    changed = of(ledger, service)
    assert changed.items[:3] == service.items
    assert [item.id for item in changed.items[3:]] == ["item-004"]
    assert changed.former == ()


def test_a_bundled_change_of_prices_takes_the_place_of_the_bundle_before():
    ledger, service = operating()
    old = ServiceItem(id="", offering="", prices=(monthly(20 * 10**9),))
    ledger.write(replace(service, bundle=old))
    _, change = change_accepted(
        ledger,
        service,
        form=QuoteForm.BUNDLED,
        bundle=(monthly(25 * 10**9),),
        prices=(replace(FASTER_PRICES[0], prices=()),),
        totals=(0, 300_00),
    )
    start(ledger, change)
    end(ledger, change)
    changed = of(ledger, service)
    assert changed.bundle == replace(old, prices=(monthly(25 * 10**9),), from_ms=ledger.time_ms)
    assert changed.former == (replace(service.items[0], until_ms=ledger.time_ms), replace(old, until_ms=ledger.time_ms))


@pytest.mark.req("C-11")
def test_a_failed_change_leaves_the_service_as_it_was():
    ledger, service = operating()
    order, change = change_accepted(ledger, service)
    start(ledger, change)
    with pytest.raises(ReasonInvalid):
        end(ledger, change, FAILED)
    with pytest.raises(ReasonInvalid):
        end(ledger, change, ChangeOutcome.DONE, "NOT_SO")
    failed = end(ledger, change, FAILED, "NO_SIGNAL")
    assert (failed.status, failed.outcome, failed.reason) == (ChangeStatus.FAILED, "failed", "NO_SIGNAL")
    assert (ledger.the(ORDER, order.id).status, ledger.the(ORDER, order.id).reason) == (OrderStatus.FAILED, "NO_SIGNAL")
    assert of(ledger, service) == service
    assert ledger.event_names()[-2:] == ["order.failed", "service_change.failed"]


@pytest.mark.req("C-11")
def test_the_order_of_a_change_is_not_activated_but_by_the_changes_end():
    ledger, service = operating()
    order, change = change_accepted(ledger, service)
    with pytest.raises(UseEndChange) as caught:
        activate(ledger, order)
    assert caught.value.existing_id == change.id


# How a change comes to nothing


@pytest.mark.req("C-11", "O-29", "O-31")
@pytest.mark.parametrize("silent", [True, False])
def test_a_change_that_the_seller_rejects_or_leaves_unanswered_is_refused(silent):
    ledger, service = operating()
    order, change = change_ordered(ledger, service)
    if silent:
        ledger.advance(order.accept_by_ms + 1)
    else:
        sell(ledger, "reject_order", RejectOrder(order_id=order.id, reason="NO_CAPACITY"))
    refused = ledger.the(SERVICE_CHANGE, change.id)
    assert (refused.status, refused.outcome) == (ChangeStatus.REFUSED, "refused")
    assert refused.reason == ("timeout" if silent else "NO_CAPACITY")
    assert refused.ended_at_ms == (order.accept_by_ms if silent else ledger.time_ms)
    assert of(ledger, service) == service
    assert ledger.event_names()[-2:] == ["order.rejected", "service_change.refused"]


def not_started(ledger, service):
    return change_accepted(ledger, service)


def placed(ledger, service):
    return change_ordered(ledger, service)


def agreeing(ledger, service):
    order, change = with_outage(ledger, service)
    return order, propose(ledger, change, ledger.time_ms + 5_000, ledger.time_ms + 9_000)


def agreed(ledger, service):
    order, change = agreeing(ledger, service)
    return order, consent(ledger, change)


def implementing(ledger, service):
    order, change = change_accepted(ledger, service)
    return order, start(ledger, change)


WAYS = {
    ChangeStatus.ORDERED: placed,
    ChangeStatus.ACCEPTED: not_started,
    ChangeStatus.AGREEING: agreeing,
    ChangeStatus.AGREED: agreed,
    ChangeStatus.IMPLEMENTING: implementing,
}


@pytest.mark.req("C-11", "D-40")
@pytest.mark.parametrize("status", [status for status in WAYS if status != ChangeStatus.IMPLEMENTING])
def test_the_buyer_calls_a_change_off_at_any_time_before_its_start(status):
    ledger, service = operating()
    order, change = WAYS[status](ledger, service)
    assert change.status == status
    cancel(ledger, order, "NO_NEED")
    cancelled = ledger.the(SERVICE_CHANGE, change.id)
    assert (cancelled.status, cancelled.outcome, cancelled.reason) == (ChangeStatus.CANCELLED, "cancelled", "NO_NEED")
    assert of(ledger, service) == service
    with pytest.raises(ChangeEnded):
        start(ledger, change)


@pytest.mark.req("C-11", "D-40")
@pytest.mark.parametrize("kind", [ChangeKind.PARAMETER, TERMINATION])
def test_a_change_that_is_being_made_is_not_called_off_as_long_as_its_seller_has_time_for_it(kind):
    ledger, service = operating()
    order, change = change_accepted(ledger, service, kind)
    change = start(ledger, change)
    before = ledger.root()
    for reason in ("NO_NEED", "no reason"):
        with pytest.raises(ChangeStarted) as refused:
            cancel(ledger, order, reason)
        assert refused.value.field == "order_id"
    with pytest.raises(NotTheBuyer):
        ledger.run(
            "cancel_order",
            CancelOrder(order_id=order.id, reason="NO_NEED"),
            sender=ledger.sender(SELLER, "b_bus"),
        )
    with pytest.raises(ChangeStarted):
        cancel(ledger, order, at=order.activate_by_ms - 1)
    assert ledger.root() == before
    end(ledger, change, at=order.activate_by_ms)
    assert ledger.the(SERVICE_CHANGE, change.id).status == ChangeStatus.DONE


@pytest.mark.req("C-11", "D-40", "X-24")
@pytest.mark.parametrize("asked", [False, True])
def test_a_change_that_its_seller_is_late_with_or_has_forgotten_is_called_off(asked):
    ledger, service = operating()
    order, change = implementing(ledger, service)
    if asked:
        # More time that was asked for is none before it is given.
        request(ledger, order, order.activate_by_ms + HOUR_MS, at=order.activate_by_ms - 1)
        with pytest.raises(ChangeStarted):
            cancel(ledger, order, at=order.activate_by_ms)
    # Before the deadline has run, too.
    cancel(ledger, order, "TOO_LATE", at=order.activate_by_ms + 1)
    cancelled = ledger.the(SERVICE_CHANGE, change.id)
    assert (cancelled.status, cancelled.reason) == (ChangeStatus.CANCELLED, "TOO_LATE")
    assert of(ledger, service) == service


@pytest.mark.req("C-11", "D-43")
def test_who_gives_more_time_for_a_change_that_is_being_made_waits_for_that_too():
    ledger, service = operating()
    order, _ = implementing(ledger, service)
    extend(ledger, order, order.activate_by_ms + HOUR_MS, at=order.activate_by_ms + 1_000)
    with pytest.raises(ChangeStarted):
        cancel(ledger, order, at=order.activate_by_ms + HOUR_MS)
    cancel(ledger, order, at=order.activate_by_ms + HOUR_MS + 1)


@pytest.mark.req("C-11", "D-32")
@pytest.mark.parametrize("status", list(WAYS)[1:])
def test_the_seller_gives_a_change_up_with_its_order(status):
    ledger, service = operating()
    order, change = WAYS[status](ledger, service)
    fail(ledger, order)
    failed = ledger.the(SERVICE_CHANGE, change.id)
    assert (failed.status, failed.outcome, failed.reason) == (ChangeStatus.FAILED, "failed", "NO_CAPACITY")
    assert of(ledger, service) == service


def test_a_change_that_is_done_is_not_cancelled():
    ledger, service = operating(**STRICT)
    order, change = implementing(ledger, service)
    end(ledger, change)
    with pytest.raises(OrderEnded):
        cancel(ledger, order)


@pytest.mark.req("X-27", "C-11")
@pytest.mark.parametrize("status", list(WAYS))
def test_a_service_that_ends_takes_its_change_and_that_changes_order_with_it(status):
    ledger, service = operating(**STRICT)
    first = ledger.the(ORDER, service.order_id)
    order, change = WAYS[status](ledger, service)
    cancel(ledger, first)
    assert of(ledger, service).status == ServiceStatus.TERMINATED
    assert of(ledger, service).change_id == ""
    ended, over = ledger.the(ORDER, order.id), ledger.the(SERVICE_CHANGE, change.id)
    assert (ended.status, ended.reason) == (OrderStatus.CANCELLED, "service_ended")
    assert (over.status, over.reason) == (ChangeStatus.CANCELLED, "service_ended")


# In delivery


@pytest.mark.req("C-01", "X-61")
def test_a_service_in_delivery_is_changed_and_then_activated_as_changed():
    ledger = trading_ledger()
    first = accepted(ledger)
    service = ledger.the(SERVICE)
    _, change = change_accepted(ledger, service)
    start(ledger, change)
    end(ledger, change)
    changed = of(ledger, service)
    assert (changed.status, changed.former) == (ServiceStatus.IN_DELIVERY, ())
    activate(ledger, first)
    operating_service = of(ledger, service)
    assert operating_service.status == ServiceStatus.IN_OPERATION
    assert operating_service.items[0].prices == FASTER_PRICES[0].prices
    assert operating_service.span_ms(operating_service.items[0]) == (ledger.time_ms, 0)


@pytest.mark.req("C-01", "X-61", "X-63")
def test_terminating_a_service_in_delivery_ends_the_order_that_it_came_from():
    ledger = trading_ledger(**STRICT)
    first = accepted(ledger)
    service = ledger.the(SERVICE)
    _, change = change_accepted(ledger, service, TERMINATION, activation_window_ms=HOUR_MS)
    start(ledger, change)
    end(ledger, change, at=first.activate_by_ms + 1_000)
    ended = ledger.the(ORDER, first.id)
    assert (ended.status, ended.reason) == (OrderStatus.CANCELLED, "service_ended")
    assert of(ledger, service).status == ServiceStatus.TERMINATED
    # It was late by then, and that has its price.
    assert (ledger.the(CHARGE).order_id, ledger.the(CHARGE).delay_ms) == (first.id, 1_000)


@pytest.mark.req("X-61")
@pytest.mark.parametrize("ends", [fail, cancel])
def test_an_order_that_ends_takes_the_change_of_its_undelivered_service_with_it(ends):
    ledger = trading_ledger()
    first = accepted(ledger)
    order, change = change_accepted(ledger, ledger.the(SERVICE))
    ends(ledger, first)
    assert ledger.the(ORDER, order.id).status == OrderStatus.CANCELLED
    assert ledger.the(SERVICE_CHANGE, change.id).status == ChangeStatus.CANCELLED
    assert ledger.the(SERVICE).status == ServiceStatus.TERMINATED


# Termination


@pytest.mark.req("C-02", "X-63", "D-23")
def test_a_termination_needs_no_answer_about_an_outage_and_ends_the_service():
    ledger, service = operating()
    order, change = change_accepted(ledger, service, TERMINATION)
    start(ledger, change)
    done = end(ledger, change)
    ended = of(ledger, service)
    assert (done.outcome, ledger.the(ORDER, order.id).status) == ("done", OrderStatus.ACTIVATED)
    assert (ended.status, ended.terminated_at_ms) == (ServiceStatus.TERMINATED, ledger.time_ms)
    assert ended.items == service.items
    assert [item.prices for item in ended.former] == [item.prices for item in END_PRICES]
    assert {(item.from_ms, item.until_ms) for item in ended.former} == {(ledger.time_ms, ledger.time_ms)}
    assert ledger.event_names()[-3:] == ["service_change.done", "order.activated", "service.terminated"]
    # The order that it came from stays what it was.
    assert ledger.the(ORDER, service.order_id).status == OrderStatus.ACTIVATED


# With an outage


@pytest.mark.req("C-07", "C-09", "X-62")
@pytest.mark.parametrize(("proposer", "other"), [(SELLER, BUYER), (BUYER, SELLER)])
def test_an_outage_is_agreed_by_both_whoever_proposes_it_and_the_change_starts_inside_it(proposer, other):
    ledger, service = operating()
    _, change = with_outage(ledger, service)
    with pytest.raises(ConsentMissing):
        start(ledger, change)
    from_ms = ledger.time_ms + 5_000
    until_ms = from_ms + OUTAGE_MS
    proposed = propose(ledger, change, from_ms, until_ms, proposer)
    assert (proposed.status, proposed.window.proposed_by) == (ChangeStatus.AGREEING, org(proposer))
    assert ledger.event_names()[-1] == "service_change.window_proposed"
    with pytest.raises(ConsentMissing):
        start(ledger, change)
    with pytest.raises(MaintenanceOwn):
        agree_as(ledger, change, proposer)
    agree_as(ledger, change, other)
    consented = ledger.the(SERVICE_CHANGE, change.id)
    assert (consented.status, consented.window.agreed_by) == (ChangeStatus.AGREED, org(other))
    assert ledger.event_names()[-1] == "service_change.window_agreed"
    with pytest.raises(TooEarly):
        start(ledger, change, at=from_ms - 1)
    with pytest.raises(TooLate):
        start_now(ledger, change, until_ms + 1)
    start(ledger, change, at=from_ms)
    end(ledger, change)
    assert of(ledger, service).items[0].prices == FASTER_PRICES[0].prices


@pytest.mark.req("C-09")
def test_the_windows_last_millisecond_still_counts():
    ledger, service = operating()
    _, change = with_outage(ledger, service)
    window = window_agreed(ledger, change).window
    assert start(ledger, change, at=window.until_ms).status == ChangeStatus.IMPLEMENTING


@pytest.mark.req("C-09")
def test_a_window_that_has_passed_is_replaced_by_another_one_that_both_agree_to():
    ledger, service = operating()
    _, change = with_outage(ledger, service)
    window = window_agreed(ledger, change).window
    with pytest.raises(TooLate):
        start(ledger, change, at=window.until_ms + 1)
    again = propose(ledger, change, ledger.time_ms + 5_000, ledger.time_ms + 9_000)
    assert (again.status, again.window.agreed_by) == (ChangeStatus.AGREEING, "")
    with pytest.raises(ConsentMissing):
        start(ledger, change)
    consent(ledger, change)
    start(ledger, change, at=again.window.from_ms)


@pytest.mark.req("C-09")
def test_a_proposal_is_declined_or_answered_by_another_one():
    ledger, service = operating()
    _, change = with_outage(ledger, service)
    from_ms = ledger.time_ms + 5_000
    propose(ledger, change, from_ms, from_ms + OUTAGE_MS)
    declined = decline(ledger, change, reason="SHOP_OPEN")
    assert (declined.status, declined.window.declined_reason) == (ChangeStatus.ACCEPTED, "SHOP_OPEN")
    assert ledger.event_names()[-1] == "service_change.window_declined"
    with pytest.raises(ConsentMissing):
        start(ledger, change, at=from_ms)
    propose(ledger, change, from_ms + 3_000, from_ms + 6_000)
    other = propose(ledger, change, from_ms + 4_000, from_ms + 8_000, BUYER)
    assert other.window.proposed_by == org(BUYER)
    agree_as(ledger, change, SELLER)
    assert start(ledger, change, at=from_ms + 4_000).status == ChangeStatus.IMPLEMENTING


@pytest.mark.req("C-09")
def test_a_party_that_proposes_without_end_leaves_room_to_agree_start_and_end():
    """Each proposal holds a release; with all places taken, the seller's agents could never start what was agreed."""
    ledger, service = operating()
    _, change = with_outage(ledger, service, activation_window_ms=HOUR_MS)
    from_ms = ledger.time_ms + 60_000
    proposal = ProposeMaintenance(
        change_id=change.id, service_id=service.id, from_ms=from_ms, until_ms=from_ms + OUTAGE_MS, release=RELEASE
    )
    for _ in range(RELEASES_MAX):
        try:
            run(ledger, "propose_maintenance", proposal, BUYER, "b_bus")
        except ReleasesFull:
            break
    fields = {"change_id": change.id, "service_id": service.id, "release": RELEASE}
    window = {"from_ms": from_ms, "until_ms": from_ms + OUTAGE_MS}
    with pytest.raises(ReleasesFull):
        run(ledger, "decline_maintenance", DeclineMaintenance(reason="SHOP_OPEN", **fields), SELLER, "s_bus")
    run(ledger, "agree_maintenance", AgreeMaintenance(**window, **fields), SELLER, "s_bus")
    run(ledger, "start_change", StartChange(**fields), at=from_ms)
    run(ledger, "end_change", EndChange(outcome=ChangeOutcome.DONE, **fields))
    assert len(ledger.the(SERVICE_CHANGE, change.id).releases) == RELEASES_MAX


@pytest.mark.req("C-09")
def test_who_agrees_names_the_window_that_it_saw_and_not_one_that_has_passed():
    ledger, service = operating()
    _, change = with_outage(ledger, service)
    proposed = propose(ledger, change, ledger.time_ms + 5_000, ledger.time_ms + 9_000)
    window = proposed.window
    for shift in ((1, 0), (0, 1)):
        with pytest.raises(MaintenanceDiffers):
            agree_as(ledger, change, BUYER, shift)
    with pytest.raises(TooLate):
        consent(ledger, change, at=window.until_ms + 1)
    assert ledger.the(SERVICE_CHANGE, change.id) == proposed


@pytest.mark.req("C-09", "C-10")
def test_a_window_is_long_enough_in_the_future_and_inside_the_orders_times():
    ledger, service = operating()
    implement_ms = ledger.time_ms + 20_000
    order, change = with_outage(ledger, service, implement_at_ms=implement_ms)
    end_ms = order.activate_by_ms
    for from_ms, until_ms, named in (
        (implement_ms - 1, implement_ms + OUTAGE_MS, "from_ms"),
        (implement_ms, implement_ms + OUTAGE_MS - 1, "until_ms"),
        (implement_ms, implement_ms - 1, "until_ms"),
        (end_ms - OUTAGE_MS + 1, end_ms + 1, "until_ms"),
    ):
        with pytest.raises(MaintenanceWindowInvalid) as caught:
            propose(ledger, change, from_ms, until_ms)
        assert caught.value.field == named
    with pytest.raises(MaintenanceWindowInvalid):
        propose(ledger, change, implement_ms, implement_ms + OUTAGE_MS, at=implement_ms)
    assert ledger.the(SERVICE_CHANGE, change.id).window is None
    propose(ledger, change, end_ms - OUTAGE_MS, end_ms)
    # With more time for the order there is more for the window.
    extend(ledger, order, end_ms + HOUR_MS)
    propose(ledger, change, end_ms, end_ms + HOUR_MS)


def test_a_change_without_an_outage_has_no_window():
    ledger, service = operating()
    _, change = change_accepted(ledger, service)
    with pytest.raises(MaintenanceNotNeeded):
        propose(ledger, change, ledger.time_ms + 5_000, ledger.time_ms + 9_000)


# In its time


@pytest.mark.req("C-10")
def test_a_change_ordered_for_a_time_is_announced_then_and_not_started_before():
    ledger, service = operating()
    at = ledger.time_ms + 30_000
    _, change = change_accepted(ledger, service, implement_at_ms=at)
    with pytest.raises(TooEarly):
        start(ledger, change, at=at - 1)
    ledger.advance(at)
    assert "service_change.due" not in ledger.event_names()
    ledger.advance(at + 1)
    assert ledger.event_names()[-1] == "service_change.due"
    assert ledger.the(SERVICE_CHANGE, change.id).due_at_ms == at
    ledger.advance(at + 2)
    assert ledger.event_names().count("service_change.due") == 1
    start(ledger, change)


def hastening(change, implement_at_ms=0, release=b""):
    return HastenChange(
        change_id=change.id, service_id=change.service_id, implement_at_ms=implement_at_ms, release=release
    )


@pytest.mark.req("C-10")
@pytest.mark.parametrize("ahead_ms", [0, 10_000])
def test_the_buyer_may_let_its_seller_begin_earlier_than_it_has_ordered(ahead_ms):
    ledger, service = operating()
    at = ledger.time_ms + 30_000
    order, change = change_accepted(ledger, service, implement_at_ms=at)
    sooner = ledger.time_ms + ahead_ms if ahead_ms else 0
    by_buyer(ledger, "hasten_change", hastening(change, sooner))
    now = ledger.the(SERVICE_CHANGE, change.id)
    assert (now.status, now.implement_at_ms) == (ChangeStatus.ACCEPTED, sooner)
    assert (now.due_at_ms == ledger.time_ms) == (ahead_ms == 0)
    assert ledger.event_names()[-1] == "service_change.hastened"
    # What was ordered stays on the order.
    assert ledger.the(ORDER, order.id).implement_at_ms == at
    if ahead_ms:
        with pytest.raises(TooEarly):
            start(ledger, change, at=sooner - 1)
        ledger.advance(sooner + 1)
        assert ledger.event_names()[-1] == "service_change.due"
    assert start(ledger, change).status == ChangeStatus.IMPLEMENTING


@pytest.mark.req("C-09", "C-10")
def test_an_agreed_window_is_not_touched_by_an_earlier_time():
    ledger, service = operating()
    _, change = with_outage(ledger, service, implement_at_ms=ledger.time_ms + 3_000)
    window = window_agreed(ledger, change).window
    by_buyer(ledger, "hasten_change", hastening(change))
    assert (of_change(ledger).status, of_change(ledger).window) == (ChangeStatus.AGREED, window)
    with pytest.raises(TooEarly):
        start(ledger, change, at=window.from_ms - 1)
    start(ledger, change, at=window.from_ms)


@pytest.mark.req("C-10", "D-10")
def test_invalid_hastening_is_refused_in_order():
    ledger, service = operating()
    at = ledger.time_ms + 30_000
    _, change = change_accepted(ledger, service, implement_at_ms=at)
    good, before = hastening(change, at - 1), ledger.root()
    cause = Cause(ledger_id="sg_int", event_id="rel_1", purpose="hasten_change")
    late = {"implement_at_ms": at}
    for changes, who, refusal in (
        ({"change_id": "chg_none", "service_id": "svc_none", **late}, SELLER, ChangeUnknown),
        ({"service_id": "svc_none", **late}, SELLER, ChangedServiceDiffers),
        (late, SELLER, NotTheBuyer),
        (late, BUYER, NotEarlier),
        ({"implement_at_ms": -1}, BUYER, NotEarlier),
        ({}, BUYER, ReleaseMissing),
        ({"release": RELEASE[:-1]}, BUYER, ReleaseInvalid),
    ):
        with pytest.raises(refusal):
            ledger.run("hasten_change", replace(good, **changes), sender=ledger.sender(who, "b_bus"), cause=cause)
    with pytest.raises(RoleMissing):
        ledger.run("hasten_change", good, sender=ledger.sender(BUYER, "s_bus"))
    assert ledger.root() == before
    ledger.run("hasten_change", replace(good, release=RELEASE), sender=ledger.sender(BUYER, "b_bus"), cause=cause)
    assert of_change(ledger).releases == (RELEASE,)


@pytest.mark.req("C-10")
@pytest.mark.parametrize("status", list(ChangeStatus))
def test_a_change_is_hastened_between_its_acceptance_and_its_start(status):
    ledger, service = operating()
    change = brought_to(ledger, service, status)
    expected = ANSWERS["propose_maintenance"][status]
    if expected is None:
        ledger.write(replace(change, implement_at_ms=START_MS + 10_000))
        by_buyer(ledger, "hasten_change", hastening(change))
        assert (of_change(ledger).status, of_change(ledger).implement_at_ms) == (status, 0)
        return
    with pytest.raises(expected):
        by_buyer(ledger, "hasten_change", hastening(change))


def of_change(ledger):
    """The only change."""
    return ledger.the(SERVICE_CHANGE)


@pytest.mark.req("C-10")
def test_its_last_early_millisecond_is_too_early_and_the_next_is_not():
    ledger, service = operating()
    at = ledger.time_ms + 30_000
    _, change = change_accepted(ledger, service, implement_at_ms=at)
    assert start(ledger, change, at=at).status == ChangeStatus.IMPLEMENTING
    ledger.advance(at + 1)
    assert "service_change.due" not in ledger.event_names()


@pytest.mark.req("C-09", "C-10")
def test_the_start_of_an_agreed_window_is_announced_and_that_of_the_next_one_too():
    ledger, service = operating()
    _, change = with_outage(ledger, service)
    for times in (1, 2):
        window = window_agreed(ledger, change).window
        ledger.advance(window.from_ms + 1)
        assert ledger.event_names().count("service_change.due") == times
        assert ledger.the(SERVICE_CHANGE, change.id).due_at_ms == window.from_ms


@pytest.mark.req("C-10")
def test_a_change_that_can_be_started_when_it_is_accepted_is_not_announced_besides():
    ledger, service = operating()
    at = ledger.time_ms + 5_000
    order, change = change_ordered(ledger, service, implement_at_ms=at)
    accept(ledger, order, at=at + 1)
    ledger.advance(at + 5_000)
    assert "service_change.due" not in ledger.event_names()
    assert ledger.the(SERVICE_CHANGE, change.id).due_at_ms == at + 1


@pytest.mark.req("D-31", "C-11")
def test_past_the_activation_window_a_change_is_neither_started_nor_done_until_there_is_more_time():
    ledger, service = operating(**STRICT)
    order, change = change_accepted(ledger, service)
    ledger.advance(order.activate_by_ms + 1)
    with pytest.raises(OrderOverdue):
        start(ledger, change)
    extend(ledger, order, ledger.time_ms + 10_000)
    start(ledger, change)
    request(ledger, order, ledger.time_ms + 30_000)
    ledger.advance(ledger.the(ORDER, order.id).activate_by_ms + 1)
    with pytest.raises(OrderOverdue):
        end(ledger, change)
    ledger.advance(ledger.time_ms + ANSWER_MS)
    failed = end(ledger, change, FAILED, "TOO_SLOW")
    assert failed.outcome == "failed"
    assert ledger.the(CHARGE).order_id == order.id


@pytest.mark.req("D-04", "C-11")
def test_a_change_that_is_done_late_has_its_penalty():
    ledger, service = operating(**STRICT)
    order, change = change_accepted(ledger, service)
    extend(ledger, order, order.activate_by_ms + HOUR_MS)
    start(ledger, change)
    end(ledger, change, at=order.activate_by_ms + 1_500)
    assert (ledger.the(CHARGE).order_id, ledger.the(CHARGE).delay_ms) == (order.id, 1_500)


# Whose time it was that passed

# The activation window of these orders, and how late their sellers give them up.
WINDOW_MS, LATE_MS = 40_000, 1_500


def outage_ordered():
    ledger, service = operating(**STRICT)
    order, change = with_outage(ledger, service, activation_window_ms=WINDOW_MS)
    return ledger, order, change


def proposed_at(ledger, change, at, who=SELLER, from_ms=None, until_ms=None):
    begins_ms = at + 1_000 if from_ms is None else from_ms
    return propose(ledger, change, begins_ms, until_ms or begins_ms + OUTAGE_MS, who, at=at)


def counter_proposes(ledger, order, change):
    begin = order.accepted_at_ms + 1_000
    proposed_at(ledger, change, begin)
    decline(ledger, change)
    proposed_at(ledger, change, begin + 9_000, BUYER)
    return 9_000


def agrees_late(ledger, order, change):
    begin = order.accepted_at_ms + 1_000
    proposed_at(ledger, change, begin, from_ms=begin + 25_000)
    consent(ledger, change, at=begin + 20_000)
    return 20_000


def leaves_unanswered(ledger, order, change):
    # It can be agreed to until it ends, and is no excuse from then on.
    begin = order.accepted_at_ms + 1_000
    proposed_at(ledger, change, begin, from_ms=begin + 1_000, until_ms=begin + 12_000)
    return 12_000


def is_never_asked(ledger, order, change):
    return 0


def asks_itself(ledger, order, change):
    proposed_at(ledger, change, order.accepted_at_ms + 1_000, BUYER)
    ledger.run(
        "decline_maintenance",
        DeclineMaintenance(change_id=change.id, service_id=change.service_id, reason="BUSY"),
        sender=ledger.sender(SELLER, "s_bus"),
        at=order.accepted_at_ms + 2_000,
    )
    return 0


@pytest.mark.req("D-04", "C-09")
@pytest.mark.parametrize("ends", [fail, cancel])
@pytest.mark.parametrize(
    "buyer",
    [counter_proposes, agrees_late, leaves_unanswered, is_never_asked, asks_itself],
    ids=lambda way: way.__name__,
)
def test_a_change_is_late_by_the_time_that_its_seller_had_and_not_by_what_it_waited_for_its_buyer(buyer, ends):
    ledger, order, change = outage_ordered()
    waited = buyer(ledger, order, change)
    ends(ledger, order, at=order.activate_by_ms + waited + LATE_MS)
    charge, ended = ledger.the(CHARGE), ledger.the(SERVICE_CHANGE, change.id)
    assert (charge.delay_ms, charge.excused_ms, charge.order_id) == (LATE_MS, waited, order.id)
    assert (ended.awaited_ms, ended.awaited_from_ms) == (waited, 0)


@pytest.mark.req("D-04", "C-09")
@pytest.mark.parametrize("ends", [fail, cancel])
def test_a_buyer_that_declines_every_window_is_not_paid_for_the_delay(ends):
    ledger, order, change = outage_ordered()
    first_ms = order.accepted_at_ms + 1_000
    for at in range(first_ms, first_ms + 30_000, 10_000):
        proposed_at(ledger, change, at)
        decline(ledger, change)
    ends(ledger, order, at=order.activate_by_ms + HOUR_MS)
    assert ledger.all(CHARGE) == ()
    # A declined window waits for one of the buyer's own.
    assert ledger.the(SERVICE_CHANGE, change.id).awaited_ms == ledger.time_ms - first_ms


@pytest.mark.req("D-04", "C-09")
def test_a_buyer_that_moves_what_was_agreed_again_and_again_is_not_paid_for_the_delay():
    """Each window was agreed to at once, and replaced before it began."""
    ledger, order, change = outage_ordered()
    begin_ms = order.accepted_at_ms + 1_000
    for at in range(begin_ms, begin_ms + 30_000, 10_000):
        proposed_at(ledger, change, at, BUYER, from_ms=at + 9_000)
        agree_as(ledger, change, SELLER)
    # The last one is missed by the seller itself.
    lost_ms = 2 * (9_000 - 1)
    fail(ledger, order, at=order.activate_by_ms + lost_ms + LATE_MS)
    assert (ledger.the(CHARGE).delay_ms, ledger.the(CHARGE).excused_ms) == (LATE_MS, lost_ms)


@pytest.mark.req("D-04", "C-09")
def test_a_seller_that_moves_what_was_agreed_waits_on_its_own_account():
    ledger, order, change = outage_ordered()
    begin_ms = order.accepted_at_ms + 1_000
    proposed_at(ledger, change, begin_ms, from_ms=begin_ms + 20_000)
    consent(ledger, change)
    for at in (begin_ms + 2_000, begin_ms + 4_000):
        proposed_at(ledger, change, at, from_ms=begin_ms + 25_000)
    fail(ledger, order, at=order.activate_by_ms + LATE_MS)
    # A millisecond until the first consent.
    assert (ledger.the(CHARGE).delay_ms, ledger.the(CHARGE).excused_ms) == (LATE_MS - 1, 1)


@pytest.mark.req("D-04", "C-09")
def test_a_change_that_is_not_late_but_for_its_buyer_costs_nothing_to_the_last_millisecond():
    for late_ms, charged in ((0, False), (1, True)):
        ledger, order, change = outage_ordered()
        waited_ms = agrees_late(ledger, order, change)
        extend(ledger, order, order.activate_by_ms + HOUR_MS)
        start(ledger, change, at=ledger.the(SERVICE_CHANGE, change.id).window.from_ms)
        end(ledger, change, at=order.activate_by_ms + waited_ms + late_ms)
        assert bool(ledger.all(CHARGE)) is charged


@pytest.mark.req("D-04", "D-43")
@pytest.mark.parametrize(("given_ms", "excused_ms"), [(5_000, 15_000), (30_000, 0)])
def test_what_a_seller_waited_and_what_its_buyer_waived_do_not_add_up(given_ms, excused_ms):
    """Of the two ends the later one counts: the window in full for the seller, or the end that the buyer named."""
    ledger, order, change = outage_ordered()
    agrees_late(ledger, order, change)
    extend(ledger, order, order.activate_by_ms + given_ms, waive=True)
    fail(ledger, order, at=order.activate_by_ms + given_ms + excused_ms + LATE_MS)
    charge = ledger.the(CHARGE)
    assert (charge.delay_ms, charge.excused_ms) == (LATE_MS, excused_ms)


class Turns(RuleBasedStateMachine):
    """Any talks about a window: at every instant one of the two is waited for, and only its time counts."""

    def __init__(self):
        super().__init__()
        self.ledger, service = operating(**STRICT)
        self.order, self.change = with_outage(self.ledger, service, activation_window_ms=HOUR_MS)
        # Whether the buyer is waited for in each millisecond since the acceptance, by whoever wrote history down.
        self.turns = [(self.ledger.time_ms, False, 0)]

    def act(self, name, who, fields, pause_ms):
        at = self.ledger.time_ms + pause_ms
        command = {
            "propose_maintenance": ProposeMaintenance,
            "agree_maintenance": AgreeMaintenance,
            "decline_maintenance": DeclineMaintenance,
        }[name](change_id=self.change.id, service_id=self.change.service_id, **fields)
        try:
            self.ledger.run(name, command, sender=self.ledger.sender(who, "s_bus", "b_bus"), at=at)
        except Rejected:
            return False
        return True

    @rule(who=st.sampled_from((BUYER, SELLER)), pause_ms=st.integers(1, 5_000), ahead_ms=st.integers(-10, 9_000))
    def propose(self, who, pause_ms, ahead_ms):
        from_ms = self.ledger.time_ms + pause_ms + ahead_ms
        window = {"from_ms": from_ms, "until_ms": from_ms + OUTAGE_MS}
        before = self.ledger.the(SERVICE_CHANGE, self.change.id)
        if not self.act("propose_maintenance", who, window, pause_ms):
            return
        agreed_ms, of_buyer, _ = self.turns[-1]
        if who == BUYER and before.status == ChangeStatus.AGREED:
            # So long the seller waited for a window that the buyer then took back.
            self.turns[-1] = (agreed_ms, True, max(before.window.from_ms, agreed_ms))
        again = before.status == ChangeStatus.AGREEING and before.window.proposed_by == org(SELLER)
        waits = of_buyer if again else before.status != ChangeStatus.AGREED
        self.turns.append((self.ledger.time_ms, who == SELLER and waits, window["until_ms"]))

    @rule(who=st.sampled_from((BUYER, SELLER)), pause_ms=st.integers(1, 20_000))
    def agree(self, who, pause_ms):
        window = self.ledger.the(SERVICE_CHANGE, self.change.id).window
        if window is None:
            return
        seen = {"from_ms": window.from_ms, "until_ms": window.until_ms}
        if self.act("agree_maintenance", who, seen, pause_ms):
            self.turns.append((self.ledger.time_ms, False, 0))

    @rule(who=st.sampled_from((BUYER, SELLER)), pause_ms=st.integers(1, 20_000))
    def decline(self, who, pause_ms):
        if self.act("decline_maintenance", who, {"reason": "BUSY"}, pause_ms):
            self.turns.append((self.ledger.time_ms, who == BUYER, 0))

    @invariant()
    def the_ledger_counts_what_the_buyer_took(self):
        now_ms = self.ledger.time_ms
        ends = [*(at for at, _, _ in self.turns[1:]), now_ms]
        counted = sum(
            max(0, (min(end, until_ms) if until_ms else end) - begin)
            for (begin, of_buyer, until_ms), end in zip(self.turns, ends, strict=True)
            if of_buyer
        )
        assert awaited_ms(self.ledger.the(SERVICE_CHANGE, self.change.id), now_ms) == counted
        assert counted <= now_ms - self.order.accepted_at_ms


TestTurns = Turns.TestCase
TestTurns.settings = settings(max_examples=30, stateful_step_count=15, deadline=None)


# Bad input


def place(quote, said, implement_at_ms=0):
    return PlaceOrder(
        quote_id=quote.id,
        acceptance_window_ms=30_000,
        activation_window_ms=DAY_MS,
        change=said,
        implement_at_ms=implement_at_ms,
    )


def accept(ledger, order, at):
    sell(ledger, "accept_order", AcceptOrder(order_id=order.id), at=at)


def agree_as(ledger, change, who, shift=(0, 0)):
    """The window that is proposed, agreed to by either party; `shift` names another one."""
    window = ledger.the(SERVICE_CHANGE, change.id).window
    command = AgreeMaintenance(
        change_id=change.id,
        service_id=change.service_id,
        from_ms=window.from_ms + shift[0],
        until_ms=window.until_ms + shift[1],
    )
    ledger.run("agree_maintenance", command, sender=ledger.sender(who, "s_bus", "b_bus"))


def start_now(ledger, change, time_ms):
    """The handler of a start at that time, in a block that changes nothing."""
    call = ledger.call(ledger.sender(SELLER, "s_bus"))
    command = StartChange(change_id=change.id, service_id=change.service_id)
    ledger.table.messages["start_change"].handler(command, replace(call, block=replace(call.block, time_ms=time_ms)))


COMMANDS = {
    "propose_maintenance": lambda change: ProposeMaintenance(
        change_id=change.id, service_id=change.service_id, from_ms=START_MS + 20_000, until_ms=START_MS + 30_000
    ),
    "agree_maintenance": lambda change: AgreeMaintenance(
        change_id=change.id, service_id=change.service_id, from_ms=START_MS + 20_000, until_ms=START_MS + 30_000
    ),
    "decline_maintenance": lambda change: DeclineMaintenance(
        change_id=change.id, service_id=change.service_id, reason="BUSY"
    ),
    "start_change": lambda change: StartChange(change_id=change.id, service_id=change.service_id),
    "end_change": lambda change: EndChange(
        change_id=change.id, service_id=change.service_id, outcome=ChangeOutcome.DONE
    ),
}
SELLERS_ONLY = ("start_change", "end_change")
# What each status answers to each message; None is done.
ANSWERS = {
    "propose_maintenance": {
        ChangeStatus.ORDERED: ChangeNotAccepted,
        ChangeStatus.ACCEPTED: None,
        ChangeStatus.AGREEING: None,
        ChangeStatus.AGREED: None,
        ChangeStatus.IMPLEMENTING: ChangeStarted,
        **dict.fromkeys(DONE, ChangeEnded),
    },
    "agree_maintenance": {
        ChangeStatus.ORDERED: ChangeNotAccepted,
        ChangeStatus.ACCEPTED: MaintenanceNotProposed,
        ChangeStatus.AGREEING: None,
        ChangeStatus.AGREED: MaintenanceNotProposed,
        ChangeStatus.IMPLEMENTING: ChangeStarted,
        **dict.fromkeys(DONE, ChangeEnded),
    },
    "decline_maintenance": {
        ChangeStatus.ORDERED: ChangeNotAccepted,
        ChangeStatus.ACCEPTED: MaintenanceNotProposed,
        ChangeStatus.AGREEING: None,
        ChangeStatus.AGREED: MaintenanceNotProposed,
        ChangeStatus.IMPLEMENTING: ChangeStarted,
        **dict.fromkeys(DONE, ChangeEnded),
    },
    "start_change": {
        ChangeStatus.ORDERED: ChangeNotAccepted,
        ChangeStatus.ACCEPTED: ConsentMissing,
        ChangeStatus.AGREEING: ConsentMissing,
        ChangeStatus.AGREED: None,
        ChangeStatus.IMPLEMENTING: ChangeStarted,
        **dict.fromkeys(DONE, ChangeEnded),
    },
    "end_change": {
        ChangeStatus.ORDERED: ChangeNotAccepted,
        ChangeStatus.ACCEPTED: ChangeNotStarted,
        ChangeStatus.AGREEING: ChangeNotStarted,
        ChangeStatus.AGREED: ChangeNotStarted,
        ChangeStatus.IMPLEMENTING: None,
        **dict.fromkeys(DONE, ChangeEnded),
    },
}


def brought_to(ledger, service, status):
    """A change with an outage that came to this status by the messages that lead there; its window is open."""
    if status in (ChangeStatus.ORDERED, ChangeStatus.REFUSED):
        order, change = change_ordered(ledger, service, answer=WITH_OUTAGE)
        if status == ChangeStatus.REFUSED:
            sell(ledger, "reject_order", RejectOrder(order_id=order.id, reason="NO"))
        return ledger.the(SERVICE_CHANGE, change.id)
    order, change = with_outage(ledger, service)
    if status in (ChangeStatus.FAILED, ChangeStatus.CANCELLED):
        (fail if status == ChangeStatus.FAILED else cancel)(ledger, order)
    elif status != ChangeStatus.ACCEPTED:
        propose(ledger, change, START_MS + 20_000, START_MS + 30_000)
        if status != ChangeStatus.AGREEING:
            consent(ledger, change)
        if status in (ChangeStatus.IMPLEMENTING, ChangeStatus.DONE):
            start(ledger, change, at=START_MS + 20_000)
        if status == ChangeStatus.DONE:
            end(ledger, change)
    return ledger.the(SERVICE_CHANGE, change.id)


def run(ledger, name, command, who=None, role="", **how):
    """The message; by whoever may send it next, unless told otherwise."""
    seller = name in SELLERS_ONLY or name == "propose_maintenance"
    sender = ledger.sender(who or (SELLER if seller else BUYER), role or ("s_bus" if seller else "b_bus"))
    ledger.run(name, command, sender=sender, **how)


@pytest.mark.req("C-09", "C-11")
@pytest.mark.parametrize("status", list(ChangeStatus))
@pytest.mark.parametrize("name", list(COMMANDS))
def test_what_each_status_answers(name, status):
    ledger, service = operating()
    change = brought_to(ledger, service, status)
    assert change.status == status
    before, told, expected = ledger.root(), len(ledger.events), ANSWERS[name][status]
    # A new window is proposed before the old one begins, and started inside it.
    at = START_MS + 25_000 if name == "start_change" and status == ChangeStatus.AGREED else None
    if expected is None:
        run(ledger, name, COMMANDS[name](change), at=at)
        assert len(ledger.events) > told
        return
    with pytest.raises(expected):
        run(ledger, name, COMMANDS[name](change))
    assert ledger.root() == before


RIGHT = {
    "propose_maintenance": ChangeStatus.ACCEPTED,
    "agree_maintenance": ChangeStatus.AGREEING,
    "decline_maintenance": ChangeStatus.AGREEING,
    "start_change": ChangeStatus.AGREED,
    "end_change": ChangeStatus.IMPLEMENTING,
}


@pytest.mark.req("D-10", "C-06")
@pytest.mark.parametrize("name", list(COMMANDS))
def test_invalid_messages_are_refused_in_order(name):
    ledger, service = operating()
    change = brought_to(ledger, service, RIGHT[name])
    good, before = COMMANDS[name](change), ledger.root()
    wrong = replace(good, service_id="svc_none")
    with pytest.raises(ChangeUnknown):
        run(ledger, name, replace(wrong, change_id="chg_none"))
    with pytest.raises(ChangedServiceDiffers):
        run(ledger, name, wrong, BUYER)
    with pytest.raises(ChangedServiceDiffers):
        run(ledger, name, replace(good, service_id=""), BUYER)
    if name in SELLERS_ONLY:
        with pytest.raises(NotTheSeller):
            run(ledger, name, good, BUYER, "s_bus")
    else:
        call = ledger.call(ledger.sender(SELLER, "s_bus"))
        stranger = replace(call, sender=replace(call.sender, organization=org("bravo")))
        with pytest.raises(NotInThisChange):
            ledger.table.messages[name].handler(good, stranger)
    if name == "decline_maintenance":
        with pytest.raises(MaintenanceOwn):
            run(ledger, name, good, SELLER)
        with pytest.raises(ReasonInvalid):
            run(ledger, name, replace(good, reason="no"))
    with pytest.raises(RoleMissing):
        run(ledger, name, good, role="sco")
    assert ledger.root() == before


@pytest.mark.parametrize("name", list(COMMANDS))
@pytest.mark.parametrize("outcome", list(ChangeOutcome))
def test_an_agents_act_needs_its_release_and_the_change_keeps_it(name, outcome):
    ledger, service = operating()
    change = brought_to(ledger, service, RIGHT[name])
    command = COMMANDS[name](change)
    if name == "end_change" and outcome == FAILED:
        command = replace(command, outcome=FAILED, reason="NO_SIGNAL")
    cause = Cause(ledger_id="sg_int", event_id="rel_1", purpose=name)
    if name == "start_change":
        ledger.advance(START_MS + 24_000)
    before = ledger.root()
    with pytest.raises(ReleaseMissing):
        run(ledger, name, command, cause=cause)
    with pytest.raises(ReleaseInvalid):
        run(ledger, name, replace(command, release=RELEASE[:-1]), cause=cause)
    assert ledger.root() == before
    run(ledger, name, replace(command, release=RELEASE), cause=cause)
    assert ledger.the(SERVICE_CHANGE, change.id).releases == (RELEASE,)


@pytest.mark.req("C-01", "X-27")
def test_terminated_services_have_no_change_and_cannot_be_cancelled_again():
    ledger, service = operating(**STRICT)
    first = ledger.the(ORDER, service.order_id)
    _, change = change_accepted(ledger, service, TERMINATION, activation_window_ms=HOUR_MS)
    start(ledger, change)
    end(ledger, change, at=first.ended_at_ms + CANCEL_MS - 1)
    with pytest.raises(OrderEnded):
        cancel(ledger, first, at=first.ended_at_ms + CANCEL_MS)
    assert ledger.all(CHARGE) == ()
    assert of(ledger, service).change_id == ""
    assert QUOTE_ITEMS[0].prices == of(ledger, service).items[0].prices
