"""Delivery: an accepted order becomes a service inside its activation window, or ends by the seller's own word."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from smartcontracts import codec
from smartcontracts.delivery import (
    ActivateOrder,
    FailOrder,
    OrderActivated,
    OrderFailed,
    OrderNotAccepted,
    OrderOverdue,
)
from smartcontracts.kernel import AlreadyDone, Cause, Rejected, RoleMissing
from smartcontracts.order import ORDER, AcceptOrder, OrderStatus, OrderUnknown, RejectOrder
from smartcontracts.quote import QUOTE
from smartcontracts.service import SERVICE, ServiceStatus
from smartcontracts.trade import NotTheSeller, ReasonInvalid
from tests.smartcontracts.support import org
from tests.smartcontracts.trading import (
    BUYER,
    QUOTE_ITEMS,
    SELLER,
    accepted,
    ordered,
    sell,
    trading_ledger,
)

# What each status answers to an activation and to "Order Failed"; None is done.
ANSWERS = {
    OrderStatus.PLACED: (OrderNotAccepted, OrderNotAccepted),
    OrderStatus.ACCEPTED: (None, None),
    OrderStatus.REJECTED: (OrderNotAccepted, OrderNotAccepted),
    OrderStatus.ACTIVATED: (OrderActivated, OrderActivated),
    OrderStatus.OVERDUE: (OrderOverdue, None),
    OrderStatus.FAILED: (OrderFailed, OrderFailed),
}


def activate(ledger, order, at=None):
    return sell(ledger, "activate_order", ActivateOrder(order_id=order.id), at=at)


def fail(ledger, order, reason="NO_CAPACITY", at=None):
    return sell(ledger, "fail_order", FailOrder(order_id=order.id, reason=reason), at=at)


@pytest.mark.req("D-10", "D-11", "D-22", "D-23")
def test_activation_records_service_order_and_time_and_starts_the_service_at_the_quoted_prices():
    ledger = trading_ledger()
    order = accepted(ledger)
    activate(ledger, order, at=order.activate_by_ms)
    service, activated = ledger.the(SERVICE), ledger.the(ORDER)
    assert service.id.startswith("svc_")
    assert (service.order_id, service.quote_id, service.inquiry_id) == (order.id, order.quote_id, order.inquiry_id)
    assert (service.activated_at_ms, service.status) == (order.activate_by_ms, ServiceStatus.IN_OPERATION)
    assert (service.buyer, service.seller) == (org(BUYER), org(SELLER))
    assert (activated.status, activated.service_id) == (OrderStatus.ACTIVATED, service.id)
    assert activated.ended_at_ms == order.activate_by_ms
    assert [item.prices for item in service.items] == [item.prices for item in QUOTE_ITEMS]
    assert ledger.event_names()[-2:] == ["order.activated", "service.activated"]
    for term, value in (("service", service.id), ("related", order.id), ("party", org(BUYER)), ("offering", "port")):
        assert ledger.find(SERVICE, term, value, 2) == (service,)
    assert ledger.find(ORDER, "service", service.id, 2) == (activated,)


@pytest.mark.req("D-09")
def test_service_elements_have_the_ids_of_the_orders_items():
    ledger = trading_ledger()
    order = accepted(ledger)
    activate(ledger, order)
    elements = [item.id for item in ledger.the(SERVICE).items]
    assert elements == [item.id for item in order.items] == [one.item_id for one in order.instances]
    assert all(elements)


@pytest.mark.req("D-09", "D-10", "D-11")
@pytest.mark.parametrize(
    ("message", "fields"),
    [
        ("AcceptOrder", ("order_id",)),
        ("RejectOrder", ("order_id",)),
        ("ActivateOrder", ("order_id",)),
        ("FailOrder", ("order_id",)),
        ("Service", ("order_id", "id", "items")),
        ("RecordUsage", ("service_id", "item_id")),
        ("RecordPerformance", ("service_id",)),
    ],
)
def test_messages_and_documents_of_delivery_and_operation_carry_their_ids(message, fields):
    known = codec.message_class(message).DESCRIPTOR.fields_by_name
    assert [name for name in fields if name not in known] == []


@pytest.mark.req("D-01", "D-32")
@pytest.mark.parametrize("status", list(OrderStatus))
def test_what_each_status_answers(status):
    for name, expected in zip(("activate_order", "fail_order"), ANSWERS[status], strict=True):
        ledger = trading_ledger()
        order = replace(accepted(ledger), id="ord_case", status=status)
        ledger.write(order)
        command = ActivateOrder(order_id=order.id)
        if name == "fail_order":
            command = FailOrder(order_id=order.id, reason="NO_CAPACITY")
        before = ledger.root()
        if expected is None:
            sell(ledger, name, command)
            assert ledger.root() != before
        else:
            with pytest.raises(expected):
                sell(ledger, name, command)
            assert ledger.root() == before


@pytest.mark.req("D-01")
def test_an_order_that_is_only_placed_or_was_rejected_is_not_delivered():
    ledger = trading_ledger()
    order = ordered(ledger)
    with pytest.raises(OrderNotAccepted):
        activate(ledger, order)
    sell(ledger, "reject_order", RejectOrder(order_id=order.id, reason="NO"))
    with pytest.raises(OrderNotAccepted):
        activate(ledger, order)
    assert ledger.all(SERVICE) == ()


@pytest.mark.req("D-23")
def test_a_second_activation_names_the_service_of_the_first():
    ledger = trading_ledger()
    order = accepted(ledger)
    activate(ledger, order)
    with pytest.raises(OrderActivated) as caught:
        activate(ledger, order)
    assert caught.value.existing_id == ledger.the(SERVICE).id


@pytest.mark.req("D-32")
def test_past_its_window_an_order_is_overdue_and_only_order_failed_ends_it():
    ledger = trading_ledger()
    order = accepted(ledger)
    ledger.advance(order.activate_by_ms)
    assert ledger.the(ORDER).status == OrderStatus.ACCEPTED
    ledger.advance(order.activate_by_ms + 1)
    assert ledger.the(ORDER).status == OrderStatus.OVERDUE
    assert ledger.event_names()[-1] == "order.fell_overdue"
    with pytest.raises(OrderOverdue):
        activate(ledger, order)
    ledger.advance(order.activate_by_ms + 10**9)
    assert ledger.the(ORDER).status == OrderStatus.OVERDUE
    fail(ledger, order)
    failed = ledger.the(ORDER)
    assert (failed.status, failed.reason, failed.ended_at_ms) == (OrderStatus.FAILED, "NO_CAPACITY", ledger.time_ms)
    assert ledger.event_names()[-1] == "order.failed"
    assert ledger.all(SERVICE) == ()


@pytest.mark.req("D-32")
def test_a_seller_may_give_up_before_the_window_ends():
    ledger = trading_ledger()
    order = accepted(ledger)
    fail(ledger, order, at=order.accepted_at_ms + 1)
    assert ledger.the(ORDER).status == OrderStatus.FAILED
    ledger.advance(order.activate_by_ms + 1)
    assert ledger.the(ORDER).status == OrderStatus.FAILED


def test_an_activation_after_the_window_is_refused_before_its_deadline_has_run_too():
    ledger = trading_ledger()
    order = accepted(ledger)
    ledger.time_ms = order.activate_by_ms + 1
    call = ledger.call(ledger.sender(SELLER, "s_bus"))
    with pytest.raises(OrderOverdue):
        ledger.table.messages["activate_order"].handler(ActivateOrder(order_id=order.id), call)


@pytest.mark.parametrize("name", ["activate_order", "fail_order"])
def test_invalid_messages_are_refused_in_order(name):
    ledger = trading_ledger()
    order = accepted(ledger)

    def command(order_id, reason="no"):
        return FailOrder(order_id=order_id, reason=reason) if name == "fail_order" else ActivateOrder(order_id=order_id)

    before = ledger.root()
    with pytest.raises(OrderUnknown):
        sell(ledger, name, command("ord_none"), seller=BUYER)
    with pytest.raises(NotTheSeller):
        sell(ledger, name, command(order.id), seller=BUYER)
    if name == "fail_order":
        with pytest.raises(ReasonInvalid):
            sell(ledger, name, command(order.id))
    with pytest.raises(RoleMissing):
        ledger.run(name, command(order.id), sender=ledger.sender(SELLER, "sof"))
    assert ledger.root() == before


def test_an_agent_activates_once():
    ledger = trading_ledger()
    order = accepted(ledger)
    cause = Cause(ledger_id="sg_down", event_id="9/1", purpose="activate")
    sender = ledger.sender(SELLER, "s_bus")
    ledger.run("activate_order", ActivateOrder(order_id=order.id), sender=sender, cause=cause)
    with pytest.raises(AlreadyDone) as caught:
        ledger.run("activate_order", ActivateOrder(order_id=order.id), sender=sender, cause=cause)
    assert caught.value.existing_id == ledger.the(SERVICE).id


class DeliveryHistory(RuleBasedStateMachine):
    """Any order of answers, activations and failures at any time: a service exists exactly when one was in time."""

    def __init__(self):
        super().__init__()
        self.ledger = trading_ledger()
        self.order = ordered(self.ledger)
        self.activated_at = None

    def do(self, name, command):
        order, before = self.ledger.the(ORDER), self.ledger.root()
        try:
            sell(self.ledger, name, command)
        except Rejected:
            assert self.ledger.root() == before or self.ledger.fired
            return None
        return order

    @rule(ms=st.integers(1, 30_000))
    def time_passes(self, ms):
        self.ledger.advance(self.ledger.time_ms + ms)

    @precondition(lambda self: self.ledger.the(ORDER).status == OrderStatus.PLACED)
    @rule()
    def accept(self):
        self.do("accept_order", AcceptOrder(order_id=self.order.id))

    @rule()
    def reject(self):
        self.do("reject_order", RejectOrder(order_id=self.order.id, reason="NO"))

    @rule()
    def activate(self):
        before = self.do("activate_order", ActivateOrder(order_id=self.order.id))
        if before is not None:
            assert before.status == OrderStatus.ACCEPTED
            assert self.ledger.time_ms <= before.activate_by_ms
            assert self.activated_at is None
            self.activated_at = self.ledger.time_ms

    @rule()
    def fail(self):
        before = self.do("fail_order", FailOrder(order_id=self.order.id, reason="NO"))
        if before is not None:
            assert before.status in (OrderStatus.ACCEPTED, OrderStatus.OVERDUE)

    @invariant()
    def a_service_exists_exactly_when_the_order_was_activated(self):
        services = self.ledger.all(SERVICE)
        assert [service.activated_at_ms for service in services] == [self.activated_at] * (
            self.activated_at is not None
        )
        order = self.ledger.the(ORDER)
        assert (order.status == OrderStatus.ACTIVATED) == bool(services) == bool(order.service_id)

    @invariant()
    def the_activation_window_has_closed_at_its_time(self):
        order = self.ledger.the(ORDER)
        assert order.status != OrderStatus.ACCEPTED or self.ledger.time_ms <= order.activate_by_ms
        assert self.ledger.get(QUOTE, order.quote_id).order_id == order.id


TestDeliveryHistory = DeliveryHistory.TestCase
TestDeliveryHistory.settings = settings(max_examples=50, stateful_step_count=15)
