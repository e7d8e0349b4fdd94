"""Order: exactly what was quoted, once, and answered inside its window or rejected by time."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, multiple, rule

from smartcontracts import codec
from smartcontracts.agreement import TradeKind
from smartcontracts.canonical_json import JsonNotCanonical, canonical, load
from smartcontracts.codec import BytesTooLong
from smartcontracts.delivery import FailOrder
from smartcontracts.inquiry import INQUIRY, DeclareUnable, InquiryStatus
from smartcontracts.kernel import AlreadyDone, Cause, Rejected, RoleMissing
from smartcontracts.money import Money
from smartcontracts.order import (
    DELIVERY_INFO_BYTES_MAX,
    DELIVERY_KEYS_MAX,
    ORDER,
    SEARCHED_BYTES_MAX,
    SPARE_VALUES,
    AcceptanceWindowOver,
    AcceptOrder,
    ChangeMismatch,
    DeliveryInfoInvalid,
    DeliveryInfoPriced,
    ExpediteNotPriced,
    ImplementAtInvalid,
    InquiryMismatch,
    OrderAnswered,
    OrderInstance,
    OrderStatus,
    OrderUnknown,
    PlaceOrder,
    QuoteForeign,
    QuoteMismatch,
    QuoteNotOrderable,
    QuoteNotTaken,
    QuoteOrdered,
    QuoteSuperseded,
    RejectOrder,
    ReplacedOrderUnknown,
)
from smartcontracts.quote import QUOTE, QuoteExpired, QuoteStatus, QuoteUnknown, TakeLateQuote
from smartcontracts.service import SERVICE, ServiceItem, ServiceStatus
from smartcontracts.trade import (
    Action,
    Change,
    ChangeKind,
    ItemRelation,
    NotTheSeller,
    PersonalData,
    QuoteForm,
    QuoteLevel,
    ReasonInvalid,
    ReleaseInvalid,
    ReleaseMissing,
    SaltedHash,
    TimeOutOfRange,
    WindowNotPositive,
    WindowTooLong,
    WindowTooShort,
    WithheldInvalid,
)
from tests.smartcontracts.support import START_MS, org
from tests.smartcontracts.trading import (
    ASK,
    ASK_BACK,
    BUYER,
    DAY_MS,
    LINE,
    PORT_A,
    PORT_Z,
    QUOTE_ITEMS,
    RELEASE,
    SELLER,
    SINGLE,
    YEAR,
    accepted,
    answer,
    ask,
    buy,
    give,
    monthly,
    once,
    ordered,
    product,
    purchase,
    quoted,
    restated,
    sell,
    trading_ledger,
    upstream,
)

LINE_TOTALS = {"one_time_total": Money(100_00, "EUR"), "term_total": Money(340_00, "EUR")}
RESTATED = tuple(restated(item) for item in (LINE, PORT_A, PORT_Z))


def top(**changes):
    return lambda command: replace(command, **changes)


def item(place=0, **changes):
    items = list(RESTATED)
    items[place] = replace(items[place], **changes)
    return top(items=tuple(items))


# The quote's own refusals, in order of precedence: how the quote is, and who orders.
QUOTE_REFUSALS = [
    (QuoteForeign, {}, SELLER),
    (QuoteOrdered, {"status": QuoteStatus.ORDERED}, BUYER),
    (QuoteSuperseded, {"status": QuoteStatus.SUPERSEDED}, BUYER),
    (QuoteExpired, {"status": QuoteStatus.EXPIRED}, BUYER),
    (QuoteExpired, {"valid_until_ms": START_MS + 9}, BUYER),
    (QuoteNotOrderable, {"level": QuoteLevel.BUDGETARY}, BUYER),
    (QuoteNotTaken, {"late": True}, BUYER),
]
COMMAND_REFUSALS = [  # in order of precedence, each one change away from a good order, with the field that is named
    (QuoteUnknown, top(quote_id="quo_none"), "quote_id"),
    (InquiryMismatch, top(inquiry_id="inq_none"), "inquiry_id"),
    (ChangeMismatch, top(change=Change(service_id="svc_none", kind=ChangeKind.QOS)), "change"),
    (ReplacedOrderUnknown, top(replaces="ord_none"), "replaces"),
    (WindowNotPositive, top(acceptance_window_ms=0), "acceptance_window_ms"),
    (WindowNotPositive, top(acceptance_window_ms=-1), "acceptance_window_ms"),
    (WindowTooShort, top(acceptance_window_ms=9_999), "acceptance_window_ms"),
    (WindowTooLong, top(acceptance_window_ms=400 * DAY_MS + 1), "acceptance_window_ms"),
    (WindowNotPositive, top(activation_window_ms=0), "activation_window_ms"),
    (WindowTooShort, top(activation_window_ms=9_999), "activation_window_ms"),
    (WindowTooLong, top(activation_window_ms=400 * DAY_MS + 1), "activation_window_ms"),
    (ImplementAtInvalid, top(implement_at_ms=START_MS + 20_000), "implement_at_ms"),
    (QuoteMismatch, item(1, action=Action.MODIFY), "items[1].action"),
    (QuoteMismatch, item(1, action=Action.DELETE), "items[1].action"),
    (QuoteMismatch, item(id="item-009"), "items[0].id"),
    (QuoteMismatch, item(1, id="item-001"), "items[1].id"),
    (QuoteMismatch, item(offering="other"), "items[0].offering"),
    (
        QuoteMismatch,
        item(product=product("line", sls=True, mbps=71)),
        "items[0].product.productConfiguration.cir.irValue",
    ),
    (QuoteMismatch, item(1, product=product("port", place="rome")), "items[1].product.place[0].id"),
    (QuoteMismatch, item(1, product=product("port")), "items[1].product.place"),
    (
        QuoteMismatch,
        item(product=LINE.product.replace(b"[{", b"[1,{")),
        "items[0].product.productConfiguration.carrierEthernetSls[0]",
    ),
    (QuoteMismatch, item(relations=LINE.relations[:1]), "items[0].relations"),
    (
        QuoteMismatch,
        item(relations=(*LINE.relations[:1], ItemRelation(type="B", item_id="item-003"))),
        "items[0].relations",
    ),
    (QuoteMismatch, item(term=replace(YEAR, amount=13)), "items[0].term"),
    (QuoteMismatch, item(term=None), "items[0].term"),
    (QuoteMismatch, top(items=RESTATED[:2]), "items"),
    (ExpediteNotPriced, item(2, expedite=True), "items[2].expedite"),
    (TimeOutOfRange, item(2, requested_completion_ms=-1), "items[2].requested_completion_ms"),
    (TimeOutOfRange, top(requested_completion_ms=-1), "requested_completion_ms"),
    (JsonNotCanonical, top(delivery_info=b'{"vlanId": 7}'), "delivery_info"),
    (DeliveryInfoInvalid, top(delivery_info=b'["vlanId",7]'), "delivery_info"),
    (PersonalData, top(delivery_info=b'{"contact":"Jo"}'), "delivery_info.contact"),
    (DeliveryInfoPriced, top(delivery_info=b'{"cir":80}'), "delivery_info.cir"),
    (WithheldInvalid, top(withheld=(SaltedHash(subject="notes", sha256=b"1"),)), "withheld[0]"),
    (PersonalData, top(buyer_reference="jo@example.com"), "buyer_reference"),
    (ReleaseInvalid, top(release=b"short"), "release"),
]


@pytest.mark.req("O-02", "O-11")
@pytest.mark.parametrize("first", range(len(QUOTE_REFUSALS)))
def test_invalid_order_of_a_quote_that_cannot_be_ordered(first):
    refusal, change, who = QUOTE_REFUSALS[first]
    for later in ({}, *(one[1] for one in QUOTE_REFUSALS[first + 1 :])):
        ledger = trading_ledger()
        quote = quoted(ledger)
        ledger.write(replace(quote, **(later | change)))
        # No block begins, so no deadline has run; and a wrong command comes after the quote's own state.
        ledger.time_ms = START_MS + 10
        command = purchase(quote.id, inquiry_id="inq_none", acceptance_window_ms=0)
        with pytest.raises(refusal):
            ledger.table.messages["place_order"].handler(command, ledger.call(ledger.sender(who, "b_bus")))


@pytest.mark.req("O-02", "O-03", "O-04", "O-10", "O-32")
@pytest.mark.parametrize("first", range(len(COMMAND_REFUSALS)))
def test_invalid_order_answers_with_the_first_failing_check_and_changes_nothing(first):
    refusal, change, named = COMMAND_REFUSALS[first]
    ledger = trading_ledger()
    good = replace(purchase(quoted(ledger).id), items=RESTATED)
    before = ledger.root()
    sender = ledger.sender(BUYER, "b_bus")
    with pytest.raises(refusal) as caught:
        ledger.run("place_order", change(good), sender=sender)
    assert (type(caught.value), caught.value.field) == (refusal, named)
    for _, later, _ in COMMAND_REFUSALS[first + 1 :]:
        with pytest.raises(refusal):
            ledger.run("place_order", change(later(good)), sender=sender)
    assert ledger.root() == before
    ledger.run("place_order", good, sender=sender)


@pytest.mark.req("O-03", "O-04", "O-06", "O-10", "O-12", "L-22")
@pytest.mark.parametrize("items", [(), RESTATED, RESTATED[::-1]])
def test_an_order_is_recorded_with_items_and_instances_whether_it_restates_them_or_not(items):
    ledger = trading_ledger()
    quote = quoted(ledger)
    order = buy(ledger, quote.id, items=items, at=START_MS + 10_000, buyer_reference="BuyerOrder-00005")
    assert order == ledger.the(ORDER)
    assert order.items == RESTATED
    assert order.instances == tuple(OrderInstance(item_id=one.id, number=1) for one in RESTATED)
    assert (order.quote_id, order.inquiry_id, order.status) == (quote.id, quote.inquiry_id, OrderStatus.PLACED)
    assert (order.placed_at_ms, order.accept_by_ms) == (START_MS + 10_000, START_MS + 40_000)
    assert (order.buyer, order.seller, order.agreement_id) == (org(BUYER), org(SELLER), quote.agreement_id)
    ordered_quote = ledger.the(QUOTE)
    assert (ordered_quote.status, ordered_quote.order_id) == (QuoteStatus.ORDERED, order.id)
    assert ledger.event_names()[-1] == "order.placed"
    for term, value in (("related", quote.id), ("related", quote.inquiry_id), ("related", "BuyerOrder-00005")):
        assert ledger.find(ORDER, term, value, 2) == (order,)


@pytest.mark.req("L-07", "L-08")
@pytest.mark.parametrize(
    ("terms", "kind"),
    [
        ({}, TradeKind.WHOLESALE),
        ({"only_seller": org(SELLER)}, TradeKind.WHOLESALE),
        ({"only_seller": org(SELLER), "retail_customer": org(BUYER)}, TradeKind.RETAIL),
    ],
)
def test_an_order_says_whether_it_is_retail_or_wholesale_to_its_end(terms, kind):
    ledger = trading_ledger(**terms)
    order = accepted(ledger)
    assert order.trade == kind
    sell(ledger, "fail_order", FailOrder(order_id=order.id, reason="NO_CAPACITY"))
    assert ledger.the(ORDER).trade == kind


@pytest.mark.req("L-13", "L-17")
def test_both_parties_order_from_each_other_in_one_block():
    ledger = trading_ledger()
    there = quoted(ledger)
    back = give(ledger, ask(ledger, ASK_BACK, buyer=SELLER).id, seller=BUYER)
    orders = [
        ("place_order", purchase(quote.id), ledger.sender(who, "b_bus"))
        for quote, who in ((there, BUYER), (back, SELLER))
    ]
    first, second = (outcome.writes[0] for outcome in ledger.run_together(orders))
    assert (first.buyer, first.seller) == (second.seller, second.buyer) == (org(BUYER), org(SELLER))
    with pytest.raises(NotTheSeller):
        sell(ledger, "accept_order", AcceptOrder(order_id=second.id))
    sell(ledger, "accept_order", AcceptOrder(order_id=first.id))
    sell(ledger, "accept_order", AcceptOrder(order_id=second.id), seller=BUYER)


@pytest.mark.req("O-04")
def test_every_single_changed_byte_of_a_restated_product_is_noticed():
    ledger = trading_ledger()
    good = replace(purchase(quoted(ledger).id), items=RESTATED)
    before, data = ledger.root(), LINE.product
    for place in range(0, len(data), 3):
        changed = data[:place] + bytes((data[place] ^ 1,)) + data[place + 1 :]
        with pytest.raises(Rejected) as caught:
            ledger.run("place_order", item(product=changed)(good), sender=ledger.sender(BUYER, "b_bus"))
        assert type(caught.value).code in (QuoteMismatch.code, *range(1201, 1206))
    assert ledger.root() == before


def test_a_restatement_that_says_little_does_not_have_much_looked_through(monkeypatch):
    """A product of two bytes had all that was quoted parsed, to name the place of the difference."""
    looked_at = []
    monkeypatch.setattr("smartcontracts.order.load", lambda data, path: looked_at.append(data) or load(data, path))
    ledger = trading_ledger()
    values = b",".join(b"%d" % n for n in range(SPARE_VALUES))
    much = replace(SINGLE, product=product("port", place="rome", sls=True, values=f"[{values.decode()}]"))
    quote = give(ledger, ask(ledger, replace(ASK, items=(much,))).id, items=QUOTE_ITEMS[:1], **LINE_TOTALS)
    for wrong, field, looks in (
        (b"{}", "items[0].product", 0),
        (much.product.replace(b"[0,", b"[9,"), "items[0].product.values[0]", 2),
    ):
        with pytest.raises(QuoteMismatch) as caught:
            buy(ledger, quote.id, items=(replace(restated(much), product=wrong),))
        assert (caught.value.field, len(looked_at)) == (field, looks)


@pytest.mark.req("O-05")
def test_a_change_takes_a_new_inquiry_and_quote_and_the_old_quote_is_superseded():
    ledger = trading_ledger()
    old = quoted(ledger)
    faster = replace(LINE, product=product("line", sls=True, mbps=100))
    wish = (restated(faster), *RESTATED[1:])
    with pytest.raises(QuoteMismatch):
        buy(ledger, old.id, items=wish)
    changed = ask(ledger, replace(ASK, items=(faster, PORT_A, PORT_Z), replaces=old.inquiry_id))
    new = give(ledger, changed.id)
    order = buy(ledger, new.id, items=wish)
    assert order.items == wish
    with pytest.raises(QuoteSuperseded):
        buy(ledger, old.id)


@pytest.mark.req("O-11", "Q-49")
def test_the_last_valid_millisecond_of_a_quote_can_still_be_ordered_and_the_next_not():
    ledger = trading_ledger()
    buy(ledger, quoted(ledger, valid_until_ms=START_MS + 50_000).id, at=START_MS + 50_000)
    quote = quoted(ledger)
    with pytest.raises(QuoteExpired):
        buy(ledger, quote.id, at=quote.valid_until_ms + 1)


def test_a_quote_is_ordered_once_and_the_repeat_names_the_order():
    ledger = trading_ledger()
    order = ordered(ledger)
    with pytest.raises(QuoteOrdered) as caught:
        buy(ledger, order.quote_id)
    assert caught.value.existing_id == order.id


@pytest.mark.req("O-08")
def test_delivery_information_that_changes_no_price_is_kept():
    ledger = trading_ledger()
    info = b'{"accessPoints":[{"ipv4":"192.0.2.7/31"}],"sVlanId":1007}'
    assert buy(ledger, quoted(ledger).id, delivery_info=info).delivery_info == info


@pytest.mark.req("O-08")
@pytest.mark.parametrize("key", ["@type", "cir", "irValue", "irUnits", "carrierEthernetSls", "deltaT"])
@pytest.mark.parametrize("shape", ['{"%s":1}', '{"a":{"%s":1}}', '{"a":[[{"%s":{}}]]}'])
def test_delivery_information_overrides_no_priced_attribute_at_any_depth(key, shape):
    ledger = trading_ledger()
    quote = quoted(ledger)
    with pytest.raises(DeliveryInfoPriced):
        buy(ledger, quote.id, delivery_info=(shape % key).encode())
    buy(ledger, quote.id, delivery_info=(shape % f"{key}2").encode())


@pytest.mark.req("O-08")
def test_delivery_information_may_have_keys_that_stand_elsewhere_in_what_was_quoted():
    """The place and the offering's id, a value, and a part of a key are no attributes that were priced."""
    ledger = trading_ledger()
    info = b'{"id":1,"ir":2,"irVal":3,"MBPS":4,"place":5,"productConfiguration":6,"productOffering":7,"role":8}'
    with pytest.raises(JsonNotCanonical):
        buy(ledger, quoted(ledger).id, delivery_info=info)
    buy(ledger, quoted(ledger).id, delivery_info=canonical(info, "delivery_info"))


@pytest.mark.req("O-08")
@pytest.mark.parametrize("key", ['a\\"b', "a\\\\", "ü", "a.c*"])
def test_odd_keys_are_compared_as_they_are_written(key):
    ledger = trading_ledger()
    text = f'{{"productOffering":{{"id":"line"}},"productConfiguration":{{"carrierEthernetSls":[1],"{key}":1}},"place":[1]}}'
    odd = replace(LINE, product=canonical(text.encode(), "product"), relations=())
    quote = give(ledger, ask(ledger, replace(ASK, items=(odd,))).id, items=QUOTE_ITEMS[:1], **LINE_TOTALS)
    with pytest.raises(DeliveryInfoPriced):
        buy(ledger, quote.id, delivery_info=canonical(f'{{"x":{{"{key}":2}}}}'.encode(), "delivery_info"))
    buy(ledger, quote.id, delivery_info=canonical(f'{{"{key}x":2}}'.encode(), "delivery_info"))


@pytest.mark.req("O-08")
def test_delivery_information_has_so_many_keys_at_most():
    ledger = trading_ledger()
    quote = quoted(ledger)
    keys = [f"k{n:03}" for n in range(DELIVERY_KEYS_MAX + 1)]
    with pytest.raises(DeliveryInfoInvalid):
        buy(ledger, quote.id, delivery_info=("{" + ",".join(f'"{key}":1' for key in keys) + "}").encode())
    buy(ledger, quote.id, delivery_info=("{" + ",".join(f'"{key}":1' for key in keys[1:]) + "}").encode())
    buy(ledger, quoted(ledger).id, delivery_info=b"{}")


@pytest.mark.req("O-08", "O-03")
def test_with_delivery_information_a_long_quote_is_restated():
    ledger = trading_ledger()

    def asked(size):
        text = '{"productOffering":{"id":"line"},"productConfiguration":{"carrierEthernetSls":[1],"t":""},"place":[1]}'
        data = canonical(text.encode(), "product")
        long = data.replace(b'"t":""', b'"t":"%s"' % (b"x" * (size - len(data))))
        return replace(LINE, product=long, relations=())

    for size, refused in ((SEARCHED_BYTES_MAX, False), (SEARCHED_BYTES_MAX + 1, True)):
        item = asked(size)
        quote = give(ledger, ask(ledger, replace(ASK, items=(item,))).id, items=QUOTE_ITEMS[:1], **LINE_TOTALS)
        if refused:
            with pytest.raises(DeliveryInfoInvalid) as caught:
                buy(ledger, quote.id, delivery_info=b'{"vlan":7}')
            assert caught.value.field == "items"
        buy(ledger, quote.id, delivery_info=b'{"vlan":7}', items=(restated(item),) if refused else ())


@pytest.mark.req("O-08")
def test_delivery_information_has_a_size():
    ledger = trading_ledger()
    quote = quoted(ledger)
    most = b'{"a":"%s"}' % (b"x" * (DELIVERY_INFO_BYTES_MAX - 8))
    with pytest.raises(BytesTooLong):
        buy(ledger, quote.id, delivery_info=most[:-2] + b'x"}')
    buy(ledger, quote.id, delivery_info=most)


@pytest.mark.req("D-05", "X-26")
@pytest.mark.parametrize("status", list(OrderStatus))
def test_only_an_order_that_came_to_nothing_can_be_replaced(status):
    ledger = trading_ledger()
    old = replace(ordered(ledger), id="ord_old", status=status)
    ledger.write(old)
    quote = quoted(ledger)
    if status in (OrderStatus.REJECTED, OrderStatus.FAILED, OrderStatus.CANCELLED):
        new = buy(ledger, quote.id, replaces=old.id)
        assert new.replaces == old.id
        assert ledger.find(ORDER, "related", old.id, 9) == (new,)
    else:
        with pytest.raises(ReplacedOrderUnknown):
            buy(ledger, quote.id, replaces=old.id)


@pytest.mark.req("D-05")
def test_an_order_of_the_other_direction_is_not_replaced():
    ledger = trading_ledger()
    old = ordered(ledger)
    ledger.write(replace(old, id="ord_old", status=OrderStatus.REJECTED, buyer=old.seller, seller=old.buyer))
    with pytest.raises(ReplacedOrderUnknown):
        buy(ledger, quoted(ledger).id, replaces="ord_old")


def test_an_expedite_that_was_priced_is_kept_on_the_order():
    ledger = trading_ledger()
    quote = quoted(ledger, items=(replace(QUOTE_ITEMS[0], expedite=True), *QUOTE_ITEMS[1:]))
    wish = (replace(RESTATED[0], expedite=True, requested_completion_ms=START_MS + DAY_MS), *RESTATED[1:])
    assert buy(ledger, quote.id, items=wish).items == wish


@pytest.mark.req("O-24", "O-30")
def test_acceptance_counts_up_to_the_windows_last_millisecond_and_starts_the_activation_window():
    ledger = trading_ledger()
    order = ordered(ledger)
    accepted = sell(ledger, "accept_order", AcceptOrder(order_id=order.id), at=order.accept_by_ms).writes[0]
    assert accepted.status == OrderStatus.ACCEPTED
    assert accepted.accepted_at_ms == order.accept_by_ms
    assert accepted.activate_by_ms == order.accept_by_ms + 40_000
    assert accepted.original_activate_by_ms == accepted.delay_from_ms == accepted.activate_by_ms


@pytest.mark.req("O-09", "X-61", "D-10")
def test_acceptance_gives_the_service_its_id_with_what_was_quoted_and_before_anything_is_delivered():
    ledger = trading_ledger()
    order = ordered(ledger)
    assert (ledger.all(SERVICE), order.service_id) == ((), "")
    order = sell(ledger, "accept_order", AcceptOrder(order_id=order.id)).writes[0]
    service = ledger.the(SERVICE)
    assert (service.id, service.order_id, service.status) == (order.service_id, order.id, ServiceStatus.IN_DELIVERY)
    assert (service.accepted_at_ms, service.activated_at_ms) == (order.accepted_at_ms, 0)
    assert [item.prices for item in service.items] == [item.prices for item in QUOTE_ITEMS]
    assert ledger.event_names()[-2:] == ["order.accepted", "service.ordered"]
    assert ledger.find(ORDER, "service", service.id, 2) == (order,)


def test_a_bundles_prices_stand_beside_the_elements():
    ledger = trading_ledger()
    bare = tuple(replace(item, prices=()) for item in QUOTE_ITEMS)
    bundle = (once(100 * 10**9), once(20 * 10**9, "ports"), monthly(20 * 10**9))
    order = buy(ledger, quoted(ledger, items=bare, form=QuoteForm.BUNDLED, bundle=bundle).id)
    sell(ledger, "accept_order", AcceptOrder(order_id=order.id))
    service = ledger.the(SERVICE)
    assert [item.prices for item in service.items] == [()] * 3
    assert service.bundle == ServiceItem(id="", offering="", prices=bundle)


def test_an_agent_accepts_once():
    ledger = trading_ledger()
    order = ordered(ledger)
    sender, cause = ledger.sender(SELLER, "s_bus"), Cause(ledger_id="sg_int", event_id="rel_1", purpose="accept")
    command = AcceptOrder(order_id=order.id, release=RELEASE)
    ledger.run("accept_order", command, sender=sender, cause=cause)
    assert ledger.the(ORDER).releases == (RELEASE,)
    with pytest.raises(AlreadyDone) as caught:
        ledger.run("accept_order", command, sender=sender, cause=cause)
    assert caught.value.existing_id == ledger.the(SERVICE).id


@pytest.mark.parametrize("name", ["place_order", "accept_order", "reject_order"])
def test_an_agents_act_needs_its_release_and_the_order_keeps_it(name):
    ledger = trading_ledger()
    if name == "place_order":
        command, sender = purchase(quoted(ledger).id), ledger.sender(BUYER, "b_bus")
    else:
        order_id, sender = ordered(ledger).id, ledger.sender(SELLER, "s_bus")
        command = {
            "accept_order": AcceptOrder(order_id=order_id),
            "reject_order": RejectOrder(order_id=order_id, reason="NO"),
        }[name]
    before, cause = ledger.root(), Cause(ledger_id="sg_int", event_id="rel_1", purpose=name)
    with pytest.raises(ReleaseMissing):
        ledger.run(name, command, sender=sender, cause=cause)
    with pytest.raises(ReleaseInvalid):
        ledger.run(name, replace(command, release=RELEASE[:-1]), sender=sender, cause=cause)
    assert ledger.root() == before
    ledger.run(name, replace(command, release=RELEASE), sender=sender, cause=cause)
    assert ledger.the(ORDER).releases == (RELEASE,)


@pytest.mark.req("O-24", "O-29")
def test_rejection_has_the_sellers_word_and_is_final():
    ledger = trading_ledger()
    order = ordered(ledger)
    rejected = sell(ledger, "reject_order", RejectOrder(order_id=order.id, reason="NO_CAPACITY")).writes[0]
    assert (rejected.status, rejected.reason) == (OrderStatus.REJECTED, "NO_CAPACITY")
    ledger.advance(order.accept_by_ms + 1)
    assert ledger.the(ORDER) == rejected


@pytest.mark.req("O-24")
@pytest.mark.parametrize("first", ["accept_order", "reject_order"])
@pytest.mark.parametrize("second", ["accept_order", "reject_order"])
def test_an_order_is_answered_once(first, second):
    ledger = trading_ledger()
    order = ordered(ledger)
    answers = {
        "accept_order": AcceptOrder(order_id=order.id),
        "reject_order": RejectOrder(order_id=order.id, reason="NO_CAPACITY"),
    }
    sell(ledger, first, answers[first])
    before = ledger.root()
    with pytest.raises(OrderAnswered):
        sell(ledger, second, answers[second])
    assert ledger.root() == before


@pytest.mark.req("O-29", "O-31")
def test_silence_rejects_an_order_in_the_first_block_after_its_window():
    ledger = trading_ledger()
    order = ordered(ledger)
    ledger.advance(order.accept_by_ms)
    assert ledger.the(ORDER) == order
    ledger.advance(order.accept_by_ms + 5_000)
    rejected = ledger.the(ORDER)
    assert (rejected.status, rejected.reason) == (OrderStatus.REJECTED, "timeout")
    assert rejected.ended_at_ms == order.accept_by_ms
    assert ledger.event_names()[-1] == "order.rejected"


@pytest.mark.req("O-30", "O-31", "X-16")
@pytest.mark.parametrize("deadline_ran", [True, False])
@pytest.mark.parametrize("name", ["accept_order", "reject_order"])
def test_an_answer_after_the_window_is_refused_whether_its_deadline_has_run_or_not(name, deadline_ran):
    ledger = trading_ledger()
    order = ordered(ledger)
    command = AcceptOrder(order_id=order.id) if name == "accept_order" else RejectOrder(order_id=order.id, reason="NO")
    if deadline_ran:
        ledger.advance(order.accept_by_ms + 1)
    else:
        ledger.time_ms = order.accept_by_ms + 1
    call = ledger.call(ledger.sender(SELLER, "s_bus"))
    with pytest.raises(AcceptanceWindowOver):
        ledger.table.messages[name].handler(command, call)


@pytest.mark.parametrize(
    ("refusal", "order_id", "who", "reason"),
    [
        (OrderUnknown, "ord_none", BUYER, "no"),
        (NotTheSeller, "", BUYER, "no"),
        (ReasonInvalid, "", SELLER, "no"),
        (ReasonInvalid, "", SELLER, "timeout"),
    ],
)
def test_invalid_answers(refusal, order_id, who, reason):
    ledger = trading_ledger()
    order = ordered(ledger)
    before = ledger.root()
    with pytest.raises(refusal):
        sell(ledger, "reject_order", RejectOrder(order_id=order_id or order.id, reason=reason), seller=who)
    if refusal is not ReasonInvalid:
        with pytest.raises(refusal):
            sell(ledger, "accept_order", AcceptOrder(order_id=order_id or order.id), seller=who)
    assert ledger.root() == before


def test_functions_of_a_provider_keep_to_their_acts():
    ledger = trading_ledger()
    quote = quoted(ledger)
    with pytest.raises(RoleMissing):
        ledger.run("place_order", purchase(quote.id), sender=ledger.sender(BUYER, "s_bus"))
    order = buy(ledger, quote.id)
    for name, command in (
        ("accept_order", AcceptOrder(order_id=order.id)),
        ("reject_order", RejectOrder(order_id=order.id, reason="NO")),
    ):
        with pytest.raises(RoleMissing):
            ledger.run(name, command, sender=ledger.sender(SELLER, "b_bus"))


def test_messages_about_an_order_have_its_id_and_windows_have_no_default():
    for name in ("AcceptOrder", "RejectOrder", "ActivateOrder", "FailOrder", "CancelOrder", "ExtendWindow"):
        assert "order_id" in codec.message_class(name).DESCRIPTOR.fields_by_name
    with pytest.raises(TypeError):
        PlaceOrder(quote_id="quo_x")


class TradeHistory(RuleBasedStateMachine):
    """Any history of two parties that quote and order both ways, in any state and at any time."""

    inquiries = Bundle("inquiries")
    quotes = Bundle("quotes")
    orders = Bundle("orders")
    parties = st.sampled_from([BUYER, SELLER])

    def __init__(self):
        super().__init__()
        self.ledger = trading_ledger()
        # What was asked, by inquiry: the history's own memory.
        self.asked = {}
        self.valid_until = {}

    def do(self, name, command, who, role):
        before = self.ledger.root()
        try:
            return self.ledger.run(name, command, sender=self.ledger.sender(who, role)).writes[0]
        except Rejected:
            assert self.ledger.root() == before or self.ledger.fired
            return None

    @rule(ms=st.integers(1, 40_000))
    def time_passes(self, ms):
        self.ledger.advance(self.ledger.time_ms + ms)

    @rule(target=inquiries, who=parties, mbps=st.integers(1, 3), replaced=st.none() | quotes)
    def ask(self, who, mbps, replaced):
        other = SELLER if who == BUYER else BUYER
        line = replace(LINE, product=product("line", sls=True, mbps=mbps))
        replaces = self.ledger.get(QUOTE, replaced).inquiry_id if replaced else ""
        command = replace(
            ASK, seller=org(other), ancestors=upstream(who), items=(line, PORT_A, PORT_Z), replaces=replaces
        )
        inquiry = self.do("submit_inquiry", command, who, "b_bus")
        if inquiry is None:
            return multiple()
        self.asked[inquiry.id] = mbps
        return inquiry.id

    @rule(
        target=quotes,
        inquiry=inquiries,
        who=parties,
        valid_ms=st.integers(-1, 60_000),
        level=st.sampled_from([QuoteLevel.FIRM, QuoteLevel.FIRM, QuoteLevel.BUDGETARY]),
    )
    def quote(self, inquiry, who, valid_ms, level):
        command = answer(inquiry, valid_until_ms=self.ledger.time_ms + 1 + valid_ms, level=level)
        quote = self.do("issue_quote", command, who, "s_bus")
        if quote is None:
            return multiple()
        self.valid_until[quote.id] = quote.valid_until_ms
        return quote.id

    @rule(inquiry=inquiries, who=parties)
    def decline(self, inquiry, who):
        self.do("declare_unable", DeclareUnable(inquiry_id=inquiry, reason="NO"), who, "s_bus")

    @rule(quote=quotes, who=parties)
    def take(self, quote, who):
        inquiry = self.ledger.get(QUOTE, quote).inquiry_id
        self.do("take_late_quote", TakeLateQuote(inquiry_id=inquiry, quote_id=quote), who, "b_bus")

    @rule(target=orders, quote=quotes, who=parties, mbps=st.none() | st.integers(1, 3))
    def order(self, quote, who, mbps):
        items = ()
        if mbps:
            items = (replace(RESTATED[0], product=product("line", sls=True, mbps=mbps)), *RESTATED[1:])
        before = self.ledger.get(QUOTE, quote)
        order = self.do("place_order", purchase(quote, items=items), who, "b_bus")
        if order is None:
            return multiple()
        assert before.status == QuoteStatus.ISSUED
        assert order.placed_at_ms <= self.valid_until[quote]
        assert mbps in (None, self.asked[before.inquiry_id])
        assert org(who) == before.buyer
        assert before.level != QuoteLevel.BUDGETARY
        assert before.taken or not before.late
        return order.id

    @rule(order=orders, who=parties, accept=st.booleans())
    def reply(self, order, who, accept):
        placed = self.ledger.get(ORDER, order)
        if accept:
            done = self.do("accept_order", AcceptOrder(order_id=order), who, "s_bus")
        else:
            done = self.do("reject_order", RejectOrder(order_id=order, reason="NO"), who, "s_bus")
        if done is not None:
            assert placed.status == OrderStatus.PLACED
            assert self.ledger.time_ms <= placed.accept_by_ms
            assert org(who) == placed.seller

    @invariant()
    def windows_have_closed_at_their_time(self):
        now = self.ledger.time_ms
        for inquiry in self.ledger.all(INQUIRY):
            assert inquiry.status != InquiryStatus.RECEIVED or now <= inquiry.respond_by_ms
        for quote in self.ledger.all(QUOTE):
            assert quote.status != QuoteStatus.ISSUED or now <= quote.valid_until_ms
        for order in self.ledger.all(ORDER):
            assert order.status != OrderStatus.PLACED or now <= order.accept_by_ms

    @invariant()
    def an_order_belongs_to_one_quote_and_says_what_was_asked(self):
        orders = self.ledger.all(ORDER)
        quotes = {quote.id: quote for quote in self.ledger.all(QUOTE)}
        assert len({order.quote_id for order in orders}) == len(orders)
        for order in orders:
            assert quotes[order.quote_id].order_id == order.id
            assert quotes[order.quote_id].term_total == Money(360_00, "EUR")
            inquiry = self.ledger.get(INQUIRY, order.inquiry_id)
            assert [one.product for one in order.items] == [one.product for one in inquiry.items]

    @invariant()
    def an_inquiry_has_at_most_one_answer(self):
        for inquiry in self.ledger.all(INQUIRY):
            answers = [quote for quote in self.ledger.all(QUOTE) if quote.inquiry_id == inquiry.id]
            assert len(answers) + bool(inquiry.unable_id) <= 1


TestTradeHistory = TradeHistory.TestCase
TestTradeHistory.settings = settings(max_examples=60, stateful_step_count=30)
