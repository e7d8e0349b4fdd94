"""Delivery: an accepted order becomes a service inside its activation window, gets a later one, or ends without."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest

from ledgers.kinds import contract_table
from smartcontracts import codec
from smartcontracts.charge import CHARGE
from smartcontracts.delivery import (
    ActivateOrder,
    AnswerExtension,
    CancelOrder,
    ElementForeign,
    ElementsIncomplete,
    ExtendWindow,
    ExtensionAnswered,
    ExtensionAnswerLate,
    ExtensionNotLater,
    ExtensionNotRequested,
    ExtensionOpen,
    FailOrder,
    OrderActivated,
    OrderFailed,
    OrderNotAccepted,
    OrderOverdue,
    RequestExtension,
    WaiverWithoutGrant,
    WindowChangesFull,
)
from smartcontracts.kernel import Block, Cause, Due, RoleMissing
from smartcontracts.order import (
    ORDER,
    WINDOW_CHANGES_MAX,
    AcceptOrder,
    ExtensionStatus,
    OrderEnded,
    OrderStatus,
    OrderUnknown,
    RejectOrder,
    WindowCause,
    WindowChange,
)
from smartcontracts.service import SERVICE, ServiceStatus
from smartcontracts.trade import (
    NotTheBuyer,
    NotTheSeller,
    ReasonInvalid,
    ReleaseInvalid,
    ReleaseMissing,
    WindowTooLong,
)
from tests.smartcontracts.delivering import (
    ANSWER_MS,
    CANCEL_MS,
    STRICT,
    activate,
    by_buyer,
    cancel,
    extend,
    fail,
    in_operation,
    reply,
    request,
)
from tests.smartcontracts.support import START_MS, org
from tests.smartcontracts.trading import (
    BUYER,
    DAY_MS,
    QUOTE_ITEMS,
    RELEASE,
    SELLER,
    WINDOW_MS,
    accepted,
    ordered,
    sell,
    trading_ledger,
)

LATER_MS = 20_000
ENDED = (OrderStatus.REJECTED, OrderStatus.ACTIVATED, OrderStatus.FAILED, OrderStatus.CANCELLED)
MESSAGES = {
    "activate_order": lambda order_id: ActivateOrder(order_id=order_id),
    "fail_order": lambda order_id: FailOrder(order_id=order_id, reason="NO_CAPACITY"),
    "request_extension": lambda order_id: RequestExtension(
        order_id=order_id, activate_by_ms=START_MS + 90_000, reason="LATE"
    ),
    "cancel_order": lambda order_id: CancelOrder(order_id=order_id, reason="NO_NEED"),
    "answer_extension": lambda order_id: AnswerExtension(order_id=order_id, granted=True),
    "extend_window": lambda order_id: ExtendWindow(order_id=order_id, activate_by_ms=START_MS + 90_000),
}
BY_SELLER = ("activate_order", "fail_order", "request_extension")
# What each status answers; None is done. An activated order is cancelled only where the agreement says so.
ANSWERS = {
    "activate_order": {
        OrderStatus.PLACED: OrderNotAccepted,
        OrderStatus.ACCEPTED: None,
        OrderStatus.REJECTED: OrderNotAccepted,
        OrderStatus.ACTIVATED: OrderActivated,
        OrderStatus.OVERDUE: OrderOverdue,
        OrderStatus.EXTENSION_REQUESTED: None,
        OrderStatus.FAILED: OrderFailed,
        OrderStatus.CANCELLED: OrderEnded,
    },
    "fail_order": {
        OrderStatus.PLACED: OrderNotAccepted,
        OrderStatus.ACCEPTED: None,
        OrderStatus.REJECTED: OrderNotAccepted,
        OrderStatus.ACTIVATED: OrderActivated,
        OrderStatus.OVERDUE: None,
        OrderStatus.EXTENSION_REQUESTED: None,
        OrderStatus.FAILED: OrderFailed,
        OrderStatus.CANCELLED: OrderEnded,
    },
    "request_extension": {
        OrderStatus.PLACED: OrderNotAccepted,
        OrderStatus.ACCEPTED: None,
        OrderStatus.OVERDUE: None,
        OrderStatus.EXTENSION_REQUESTED: ExtensionOpen,
        **dict.fromkeys(ENDED, OrderEnded),
    },
    "cancel_order": {
        OrderStatus.PLACED: None,
        OrderStatus.ACCEPTED: None,
        OrderStatus.OVERDUE: None,
        OrderStatus.EXTENSION_REQUESTED: None,
        **dict.fromkeys(ENDED, OrderEnded),
    },
    "answer_extension": {
        OrderStatus.PLACED: OrderNotAccepted,
        OrderStatus.ACCEPTED: ExtensionNotRequested,
        OrderStatus.OVERDUE: ExtensionNotRequested,
        OrderStatus.EXTENSION_REQUESTED: None,
        **dict.fromkeys(ENDED, OrderEnded),
    },
    "extend_window": {
        OrderStatus.PLACED: OrderNotAccepted,
        OrderStatus.ACCEPTED: None,
        OrderStatus.OVERDUE: None,
        OrderStatus.EXTENSION_REQUESTED: ExtensionOpen,
        **dict.fromkeys(ENDED, OrderEnded),
    },
}


def send(ledger, name, command, at=None):
    """The message by whoever may send it."""
    return sell(ledger, name, command, at=at) if name in BY_SELLER else by_buyer(ledger, name, command, at)


def brought_to(ledger, status):
    """An order that came to this status by the messages and deadlines that lead there."""
    order = ordered(ledger) if status in (OrderStatus.PLACED, OrderStatus.REJECTED) else accepted(ledger)
    if status == OrderStatus.REJECTED:
        sell(ledger, "reject_order", RejectOrder(order_id=order.id, reason="NO"))
    elif status == OrderStatus.ACTIVATED:
        activate(ledger, order)
    elif status == OrderStatus.OVERDUE:
        ledger.advance(order.activate_by_ms + 1)
    elif status == OrderStatus.EXTENSION_REQUESTED:
        request(ledger, order, order.activate_by_ms + LATER_MS)
    elif status == OrderStatus.FAILED:
        fail(ledger, order)
    elif status == OrderStatus.CANCELLED:
        cancel(ledger, order)
    found = ledger.the(ORDER, order.id)
    assert found.status == status
    return found


def handler(ledger, name):
    """The message's handler in a block whose deadlines have not run."""
    who, role = (SELLER, "s_bus") if name in BY_SELLER else (BUYER, "b_bus")
    return lambda command: ledger.table.messages[name].handler(command, ledger.call(ledger.sender(who, role)))


def due(ledger, due_ms):
    """What a deadline's transition is given in a block right after it."""
    return Due(view=ledger, block=Block(ledger.height + 1, due_ms + 1), ledger_id=ledger.ledger_id, due_ms=due_ms)


# Activation


@pytest.mark.req("D-10", "D-11", "D-22", "D-23", "X-23", "L-23")
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


# Of each contract about orders, services and their elements: what its messages name.
NAMED = {
    "order": "order_id",
    "delivery": "order_id",
    "change": "service_id",
    "usage": "service_id",
    "sla": "service_id",
}
ABOUT = [
    (message.command.__name__, NAMED[contract.name])
    for contract in contract_table("bilateral", 1).contracts
    if contract.name in NAMED
    for message in contract.messages
    if message.name != "place_order"  # its order's id is given by it
]


@pytest.mark.req("D-09", "D-10", "D-11")
@pytest.mark.parametrize(
    ("message", "fields"),
    [
        *((message, (field,)) for message, field in ABOUT),
        ("ActivateOrder", ("element_ids",)),
        ("RecordUsage", ("item_id",)),
        ("Change", ("service_id",)),
        ("Service", ("order_id", "id", "items")),
        ("ServiceChange", ("order_id", "service_id")),
        ("Charge", ("order_id", "service_id")),
    ],
)
def test_messages_and_documents_of_delivery_and_operation_carry_their_ids(message, fields):
    known = codec.message_class(message).DESCRIPTOR.fields_by_name
    assert [name for name in fields if name not in known] == []


@pytest.mark.req("D-11")
@pytest.mark.parametrize("order_id", ["", "ord_none"])
@pytest.mark.parametrize("name", ["accept_order", "reject_order", *MESSAGES])
def test_invalid_message_about_an_order_without_its_id(name, order_id):
    ledger = trading_ledger()
    accepted(ledger)
    answers = {
        "accept_order": AcceptOrder,
        "reject_order": lambda order_id: RejectOrder(order_id=order_id, reason="NO"),
    }
    command = MESSAGES[name](order_id) if name in MESSAGES else answers[name](order_id=order_id)
    who, role = (SELLER, "s_bus") if name in (*BY_SELLER, *answers) else (BUYER, "b_bus")
    with pytest.raises(OrderUnknown) as caught:
        ledger.run(name, command, sender=ledger.sender(who, role))
    assert caught.value.field == "order_id"


@pytest.mark.req("D-01", "D-31", "D-32", "D-33", "D-40", "X-23")
@pytest.mark.parametrize("status", list(OrderStatus))
@pytest.mark.parametrize("name", list(MESSAGES))
def test_what_each_status_answers(name, status):
    ledger = trading_ledger()
    order = brought_to(ledger, status)
    before, expected = ledger.root(), ANSWERS[name][status]
    if expected is None:
        send(ledger, name, MESSAGES[name](order.id))
        assert ledger.the(ORDER) != order
        return
    with pytest.raises(expected):
        send(ledger, name, MESSAGES[name](order.id))
    assert ledger.root() == before


@pytest.mark.req("D-09", "D-22")
def test_an_activation_names_the_orders_elements_or_none():
    ledger = trading_ledger()
    order = accepted(ledger)
    ids = tuple(item.id for item in order.items)
    before = ledger.root()
    for element_ids, refusal, named in (
        (("item-009",), ElementForeign, "element_ids[0]"),
        ((*ids, "item-009"), ElementForeign, "element_ids[3]"),
        ((ids[0], ids[0]), ElementForeign, "element_ids[1]"),
        (ids[:2], ElementsIncomplete, "element_ids"),
    ):
        with pytest.raises(refusal) as caught:
            sell(ledger, "activate_order", ActivateOrder(order_id=order.id, element_ids=element_ids))
        assert caught.value.field == named
    assert ledger.root() == before
    sell(ledger, "activate_order", ActivateOrder(order_id=order.id, element_ids=ids[::-1]))
    assert ledger.the(SERVICE).status == ServiceStatus.IN_OPERATION


@pytest.mark.req("D-23")
def test_a_second_activation_names_the_service_of_the_first():
    ledger = trading_ledger()
    order = accepted(ledger)
    activate(ledger, order)
    with pytest.raises(OrderActivated) as caught:
        activate(ledger, order)
    assert caught.value.existing_id == ledger.the(SERVICE).id


@pytest.mark.req("D-31", "D-32", "X-24")
def test_past_its_window_an_order_is_overdue_until_somebody_says_more():
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
    failed, service = ledger.the(ORDER), ledger.the(SERVICE)
    assert (failed.status, failed.reason, failed.ended_at_ms) == (OrderStatus.FAILED, "NO_CAPACITY", ledger.time_ms)
    assert ledger.event_names()[-2:] == ["order.failed", "service.terminated"]
    assert (service.status, service.activated_at_ms) == (ServiceStatus.TERMINATED, 0)
    assert service.terminated_at_ms == ledger.time_ms


@pytest.mark.req("D-32")
def test_a_seller_may_give_up_before_the_window_ends():
    ledger = trading_ledger()
    order = accepted(ledger)
    fail(ledger, order, at=order.accepted_at_ms + 1)
    assert ledger.the(ORDER).status == OrderStatus.FAILED
    ledger.advance(order.activate_by_ms + 1)
    assert ledger.the(ORDER).status == OrderStatus.FAILED


@pytest.mark.req("D-31")
@pytest.mark.parametrize("status", [OrderStatus.ACCEPTED, OrderStatus.EXTENSION_REQUESTED])
def test_the_windows_last_millisecond_counts_and_the_next_not_before_its_deadline_has_run_too(status):
    ledger = trading_ledger(extension_answer_window_ms=DAY_MS)
    order = brought_to(ledger, status)
    ledger.time_ms = order.activate_by_ms + 1
    with pytest.raises(OrderOverdue):
        handler(ledger, "activate_order")(ActivateOrder(order_id=order.id))
    ledger.time_ms = order.activate_by_ms
    handler(ledger, "activate_order")(ActivateOrder(order_id=order.id))


@pytest.mark.req("X-22")
def test_the_activation_window_is_the_one_that_the_buyer_set():
    ledger = trading_ledger()
    order = ordered(ledger, activation_window_ms=33_000)
    sell(ledger, "accept_order", AcceptOrder(order_id=order.id))
    order = ledger.the(ORDER)
    assert order.activate_by_ms == order.accepted_at_ms + 33_000
    with pytest.raises(OrderOverdue):
        activate(ledger, order, at=order.activate_by_ms + 1)


@pytest.mark.parametrize("name", list(MESSAGES))
def test_invalid_messages_are_refused_in_order(name):
    ledger = trading_ledger()
    status = OrderStatus.EXTENSION_REQUESTED if name == "answer_extension" else OrderStatus.ACCEPTED
    order = brought_to(ledger, status)
    mine, foreign = (NotTheSeller, BUYER) if name in BY_SELLER else (NotTheBuyer, SELLER)
    role, wrong = ("s_bus", "b_bus") if name in BY_SELLER else ("b_bus", "s_bus")

    def run(command, who, as_role):
        ledger.run(name, command, sender=ledger.sender(who, as_role))

    good, before = MESSAGES[name](order.id), ledger.root()
    with pytest.raises(OrderUnknown):
        run(replace(good, order_id="ord_none"), foreign, role)
    with pytest.raises(mine):
        run(good, foreign, role)
    if hasattr(good, "reason"):
        for reason in ("", "no", "timeout", "service_ended"):
            with pytest.raises(ReasonInvalid):
                run(replace(good, reason=reason), SELLER if name in BY_SELLER else BUYER, role)
    with pytest.raises(RoleMissing):
        run(good, SELLER if name in BY_SELLER else BUYER, wrong)
    assert ledger.root() == before


@pytest.mark.parametrize("name", list(MESSAGES))
def test_an_agents_act_needs_its_release_and_the_order_keeps_it(name):
    ledger = trading_ledger()
    status = OrderStatus.EXTENSION_REQUESTED if name == "answer_extension" else OrderStatus.ACCEPTED
    order = brought_to(ledger, status)
    command, before = MESSAGES[name](order.id), ledger.root()
    who, role = (SELLER, "s_bus") if name in BY_SELLER else (BUYER, "b_bus")
    cause = Cause(ledger_id="sg_int", event_id="rel_1", purpose=name)

    def run(command):
        ledger.run(name, command, sender=ledger.sender(who, role), cause=cause)

    with pytest.raises(ReleaseMissing):
        run(command)
    with pytest.raises(ReleaseInvalid):
        run(replace(command, release=RELEASE[:-1]))
    assert ledger.root() == before
    run(replace(command, release=RELEASE))
    assert ledger.the(ORDER).releases == (RELEASE,)


# More time


@pytest.mark.req("D-33", "D-41", "D-43", "X-23")
@pytest.mark.parametrize("overdue", [True, False])
def test_a_granted_extension_moves_the_window_and_later_deadlines_are_counted_from_it(overdue):
    ledger = trading_ledger()
    order = accepted(ledger)
    old_ms, new_ms = order.activate_by_ms, order.activate_by_ms + LATER_MS
    asked = request(ledger, order, new_ms, at=old_ms + 7 if overdue else old_ms - 7)
    assert (asked.status, asked.activate_by_ms) == (OrderStatus.EXTENSION_REQUESTED, old_ms)
    assert (asked.extension.activate_by_ms, asked.extension.reason) == (new_ms, "LATE")
    assert ledger.event_names()[-1] == "order.extension_requested"
    granted = reply(ledger, order, granted=True, at=old_ms + 9)
    assert (granted.status, granted.activate_by_ms) == (OrderStatus.ACCEPTED, new_ms)
    assert (granted.original_activate_by_ms, granted.delay_from_ms) == (old_ms, old_ms)
    assert granted.window_changes == (
        WindowChange(old_ms=old_ms, new_ms=new_ms, cause=WindowCause.EXTENSION_GRANTED, at_ms=old_ms + 9),
    )
    assert granted.extension.status == ExtensionStatus.GRANTED
    assert ledger.event_names()[-1] == "order.window_extended"
    ledger.advance(new_ms)
    assert ledger.the(ORDER).status == OrderStatus.ACCEPTED
    ledger.advance(new_ms + 1)
    assert ledger.the(ORDER).status == OrderStatus.OVERDUE


@pytest.mark.req("D-43")
def test_every_change_of_the_window_is_on_record_in_one_order():
    ledger = trading_ledger()
    order = accepted(ledger)
    ends = [order.activate_by_ms + n * 1_000 for n in range(4)]
    extend(ledger, order, ends[1], waive=True)
    request(ledger, order, ends[2])
    reply(ledger, order, granted=True)
    extend(ledger, order, ends[3])
    changes = ledger.the(ORDER).window_changes
    assert [(one.old_ms, one.new_ms) for one in changes] == list(pairwise(ends))
    extended, granted = WindowCause.BUYER_EXTENDED, WindowCause.EXTENSION_GRANTED
    assert [one.cause for one in changes] == [extended, granted, extended]
    assert [one.penalty_waived for one in changes] == [True, False, False]
    assert ledger.the(ORDER).delay_from_ms == ends[1]
    assert ledger.the(ORDER).original_activate_by_ms == ends[0]


@pytest.mark.req("D-43", "X-26")
def test_a_buyer_gives_more_time_unasked_also_when_the_window_has_ended_and_the_order_goes_on_at_its_price():
    ledger = trading_ledger()
    order = brought_to(ledger, OrderStatus.OVERDUE)
    extended = extend(ledger, order, ledger.time_ms + LATER_MS)
    assert (extended.status, extended.items) == (OrderStatus.ACCEPTED, order.items)
    activate(ledger, order)
    assert ledger.the(ORDER).status == OrderStatus.ACTIVATED
    assert [item.prices for item in ledger.the(SERVICE).items] == [item.prices for item in QUOTE_ITEMS]


@pytest.mark.req("D-31")
@pytest.mark.parametrize("silent", [True, False])
def test_refused_or_unanswered_the_window_stays_and_only_the_buyer_may_still_move_it(silent):
    ledger = trading_ledger(extension_answer_window_ms=ANSWER_MS)
    order = brought_to(ledger, OrderStatus.OVERDUE)
    asked = request(ledger, order, ledger.time_ms + LATER_MS)
    if silent:
        ledger.advance(asked.extension.answer_by_ms)
        assert ledger.the(ORDER) == asked
        ledger.advance(asked.extension.answer_by_ms + 1)
    else:
        reply(ledger, order, granted=False, at=asked.extension.answer_by_ms)
    kept = ledger.the(ORDER)
    status = ExtensionStatus.UNANSWERED if silent else ExtensionStatus.REFUSED
    assert (kept.status, kept.activate_by_ms) == (OrderStatus.OVERDUE, order.activate_by_ms)
    assert (kept.extension.status, kept.window_changes) == (status, ())
    assert ledger.event_names()[-2:] == [f"order.extension_{status.value}", "order.fell_overdue"]
    with pytest.raises(ExtensionAnswered):
        request(ledger, order, ledger.time_ms + LATER_MS)
    with pytest.raises(ExtensionAnswerLate if silent else ExtensionNotRequested):
        reply(ledger, order, granted=True)
    extend(ledger, order, ledger.time_ms + LATER_MS)
    # A new window may be asked about again.
    assert request(ledger, order, ledger.time_ms + 2 * LATER_MS).status == OrderStatus.EXTENSION_REQUESTED


@pytest.mark.req("D-31")
@pytest.mark.parametrize("silent", [True, False])
def test_a_request_that_came_to_nothing_before_the_window_ends_leaves_the_rest_of_it(silent):
    ledger = trading_ledger(extension_answer_window_ms=ANSWER_MS)
    order = accepted(ledger)
    asked = request(ledger, order, order.activate_by_ms + LATER_MS)
    assert asked.extension.answer_by_ms < order.activate_by_ms
    if silent:
        ledger.advance(asked.extension.answer_by_ms + 1)
    else:
        reply(ledger, order, granted=False)
    assert ledger.the(ORDER).status == OrderStatus.ACCEPTED
    ledger.advance(order.activate_by_ms + 1)
    assert ledger.the(ORDER).status == OrderStatus.OVERDUE


@pytest.mark.req("D-31")
@pytest.mark.parametrize(("before_ms", "status"), [(0, OrderStatus.OVERDUE), (1, OrderStatus.ACCEPTED)])
def test_silence_up_to_the_windows_last_millisecond_leaves_the_order_overdue(before_ms, status):
    ledger = trading_ledger(extension_answer_window_ms=ANSWER_MS)
    order = accepted(ledger)
    at = order.activate_by_ms - ANSWER_MS - before_ms
    request(ledger, order, order.activate_by_ms + LATER_MS, at=at)
    # The whole window has passed by then, but its own deadline comes after this one's.
    outcome = ORDER.on_deadline["answer_window_ends"](ledger.the(ORDER), due(ledger, at + ANSWER_MS))
    assert outcome.writes[0].status == status
    ledger.advance(order.activate_by_ms + 1)
    assert ledger.the(ORDER).status == OrderStatus.OVERDUE


@pytest.mark.req("D-33")
def test_the_buyer_has_the_agreed_time_to_answer_but_not_past_the_end_that_is_asked_for():
    for terms, after_ms, expected_ms in (
        ({"extension_answer_window_ms": ANSWER_MS}, LATER_MS, ANSWER_MS),
        ({}, WINDOW_MS + 1, WINDOW_MS),
        ({}, 500, 500),
    ):
        ledger = trading_ledger(**terms)
        order = brought_to(ledger, OrderStatus.OVERDUE)
        at = ledger.time_ms + 1
        asked = request(ledger, order, at + after_ms, at=at)
        assert asked.extension.answer_by_ms == at + expected_ms


@pytest.mark.req("D-31")
@pytest.mark.parametrize("deadline_ran", [True, False])
@pytest.mark.parametrize("granted", [True, False])
def test_an_answer_one_millisecond_late_is_refused_whether_its_deadline_has_run_or_not(deadline_ran, granted):
    ledger = trading_ledger(extension_answer_window_ms=ANSWER_MS)
    order = brought_to(ledger, OrderStatus.EXTENSION_REQUESTED)
    command = AnswerExtension(order_id=order.id, granted=granted)
    if deadline_ran:
        ledger.advance(order.extension.answer_by_ms + 1)
    else:
        ledger.time_ms = order.extension.answer_by_ms + 1
    with pytest.raises(ExtensionAnswerLate):
        handler(ledger, "answer_extension")(command)


@pytest.mark.req("D-33", "D-43")
@pytest.mark.parametrize("name", ["request_extension", "extend_window"])
def test_a_new_end_is_later_than_the_old_one_and_than_now_and_not_too_far(name):
    ledger = trading_ledger()
    order = accepted(ledger)
    before = ledger.root()

    def to(end_ms, at=None):
        send(ledger, name, replace(MESSAGES[name](order.id), activate_by_ms=end_ms), at=at)

    for end_ms in (0, order.accepted_at_ms, order.activate_by_ms - 1, order.activate_by_ms):
        with pytest.raises(ExtensionNotLater) as caught:
            to(end_ms)
        assert caught.value.field == "activate_by_ms"
    with pytest.raises(WindowTooLong):
        to(ledger.time_ms + 2 + 400 * DAY_MS)
    assert ledger.root() == before
    ledger.advance(order.activate_by_ms + 1_000)
    with pytest.raises(ExtensionNotLater):
        to(ledger.time_ms + 1)
    to(ledger.time_ms + 2 + 400 * DAY_MS, at=ledger.time_ms + 2)
    assert ledger.the(ORDER).status in (OrderStatus.ACCEPTED, OrderStatus.EXTENSION_REQUESTED)


def test_a_window_is_changed_a_bounded_number_of_times():
    ledger = trading_ledger()
    order = accepted(ledger)
    for n in range(WINDOW_CHANGES_MAX):
        extend(ledger, order, order.activate_by_ms + 1 + n)
    for name in ("request_extension", "extend_window"):
        with pytest.raises(WindowChangesFull):
            send(ledger, name, MESSAGES[name](order.id))
    activate(ledger, order)


def test_a_buyer_that_extends_as_often_as_it_may_leaves_the_sellers_agents_room_to_end_the_order():
    """Each extension holds a release; with all places taken, no agent could activate the order or give it up."""
    ledger = trading_ledger()
    order = accepted(ledger)
    for _ in range(WINDOW_CHANGES_MAX):
        end_ms = ledger.the(ORDER).activate_by_ms + 1_000
        asked = RequestExtension(order_id=order.id, activate_by_ms=end_ms, reason="LATE", release=RELEASE)
        sell(ledger, "request_extension", asked)
        refused = AnswerExtension(order_id=order.id, granted=False, release=RELEASE)
        by_buyer(ledger, "answer_extension", refused)
        by_buyer(ledger, "extend_window", ExtendWindow(order_id=order.id, activate_by_ms=end_ms, release=RELEASE))
    sell(ledger, "activate_order", ActivateOrder(order_id=order.id, release=RELEASE))
    assert ledger.the(ORDER).status == OrderStatus.ACTIVATED


def test_a_refusal_waives_nothing():
    ledger = trading_ledger()
    order = brought_to(ledger, OrderStatus.EXTENSION_REQUESTED)
    with pytest.raises(WaiverWithoutGrant):
        reply(ledger, order, granted=False, waive=True)
    granted = reply(ledger, order, granted=True, waive=True)
    assert granted.delay_from_ms == granted.activate_by_ms == order.extension.activate_by_ms


@pytest.mark.parametrize("ends", [activate, fail, cancel])
def test_a_request_that_is_open_when_the_order_ends_is_moot(ends):
    ledger = trading_ledger()
    order = brought_to(ledger, OrderStatus.EXTENSION_REQUESTED)
    ends(ledger, order)
    ended = ledger.the(ORDER)
    assert ended.extension.status == ExtensionStatus.MOOT
    ledger.advance(order.extension.answer_by_ms + 1)
    assert ledger.the(ORDER) == ended


# Order Cancelled


@pytest.mark.req("D-40", "X-15", "X-23")
@pytest.mark.parametrize(
    "status", [OrderStatus.PLACED, OrderStatus.ACCEPTED, OrderStatus.OVERDUE, OrderStatus.EXTENSION_REQUESTED]
)
def test_the_buyer_ends_an_order_before_it_is_activated_and_its_service_with_it(status):
    ledger = trading_ledger()
    order = brought_to(ledger, status)
    cancel(ledger, order, "SIBLING_REJECTED")
    cancelled = ledger.the(ORDER)
    assert (cancelled.status, cancelled.reason) == (OrderStatus.CANCELLED, "SIBLING_REJECTED")
    assert cancelled.ended_at_ms == ledger.time_ms
    assert "order.cancelled" in ledger.event_names()[-2:]
    assert [one.status for one in ledger.all(SERVICE)] == [ServiceStatus.TERMINATED] * (status != OrderStatus.PLACED)
    assert ledger.all(CHARGE) == ()
    ledger.advance(ledger.time_ms + DAY_MS)
    assert ledger.the(ORDER) == cancelled
    with pytest.raises(OrderEnded):
        cancel(ledger, order)


@pytest.mark.req("O-31", "X-16")
def test_an_order_whose_acceptance_window_is_over_is_not_cancelled_before_its_deadline_has_run_either():
    ledger = trading_ledger()
    order = ordered(ledger)
    ledger.time_ms = order.accept_by_ms + 1
    with pytest.raises(OrderEnded):
        handler(ledger, "cancel_order")(CancelOrder(order_id=order.id, reason="NO_NEED"))
    ledger.time_ms = order.accept_by_ms
    handler(ledger, "cancel_order")(CancelOrder(order_id=order.id, reason="NO_NEED"))


@pytest.mark.req("O-24")
@pytest.mark.parametrize("name", ["accept_order", "reject_order"])
def test_a_cancelled_order_is_not_answered(name):
    ledger = trading_ledger()
    order = ordered(ledger)
    cancel(ledger, order)
    command = {
        "accept_order": AcceptOrder(order_id=order.id),
        "reject_order": RejectOrder(order_id=order.id, reason="NO"),
    }[name]
    with pytest.raises(OrderEnded):
        sell(ledger, name, command)


@pytest.mark.req("X-27")
def test_an_activated_order_is_cancelled_inside_the_agreed_window_and_its_service_ends():
    ledger = trading_ledger(**STRICT)
    order, service = in_operation(ledger)
    cancel(ledger, order, at=order.ended_at_ms + CANCEL_MS)
    ended = ledger.the(SERVICE)
    assert ledger.the(ORDER).status == OrderStatus.CANCELLED
    assert (ended.status, ended.activated_at_ms) == (ServiceStatus.TERMINATED, service.activated_at_ms)
    assert ended.terminated_at_ms == order.ended_at_ms + CANCEL_MS


@pytest.mark.req("X-27")
@pytest.mark.parametrize("terms", [STRICT, {}])
def test_an_activated_order_is_not_cancelled_after_that_window_or_without_one(terms):
    ledger = trading_ledger(**terms)
    order, _ = in_operation(ledger)
    with pytest.raises(OrderEnded):
        cancel(ledger, order, at=order.ended_at_ms + (CANCEL_MS + 1 if terms else 1))
    assert ledger.the(SERVICE).status == ServiceStatus.IN_OPERATION
