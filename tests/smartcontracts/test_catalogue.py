"""Catalogue: an offering's version is a standing quote: whoever asks for it has inquiry and quote at once, and can order."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smartcontracts.agreement import (
    AGREEMENT,
    AgreementUnknown,
    DiscountRule,
    NotAParty,
    PriceTerm,
    PriceType,
    RolesFixed,
)
from smartcontracts.canonical_json import JsonNotCanonical, values_in
from smartcontracts.catalogue import (
    DESCRIPTION_CHARACTERS_MAX,
    OFFERING,
    PRODUCT_VALUES_MAX,
    OfferEndInvalid,
    Offering,
    OfferingClosed,
    OfferingNotMet,
    OfferingStatus,
    OfferingTooLarge,
    OfferingUnknown,
    PublishOffering,
    RequestStandingQuote,
    WithdrawOffering,
)
from smartcontracts.codec import TextInvalid
from smartcontracts.inquiry import (
    INQUIRY,
    ITEMS_BYTES_MAX,
    RESPONSE_RECORD,
    AncestorsInvalid,
    GroupMissing,
    InquiryStatus,
    ItemIdDoubled,
    ItemIdMissing,
    ItemsMissing,
    ItemsTooLarge,
    LineageKeyInvalid,
    OfferingMismatch,
    RelationsMissing,
    RelationUnknown,
    SellerIsBuyer,
    TermInvalid,
    TooManyItems,
)
from smartcontracts.kernel import AlreadyDone, Cause, PositionWrong, RoleMissing, WrongStatus
from smartcontracts.lineage import element_lineage
from smartcontracts.money import AmountOutOfRange, CurrencyMismatch, Money, Rate
from smartcontracts.order import ORDER, AcceptOrder, OrderStatus
from smartcontracts.pricing import DiscountWrong, PriceAboveAgreement, PriceDoubled, PriceFormWrong, PricesMissing
from smartcontracts.quote import QUOTE, QuoteExpired, QuoteFormWrong, QuoteStatus
from smartcontracts.service import SERVICE, ServiceStatus
from smartcontracts.trade import (
    Action,
    ActionNotSupported,
    ItemRelation,
    NotTheBuyer,
    NotTheSeller,
    PersonalData,
    QuoteForm,
    QuoteLevel,
    ReleaseInvalid,
    ReleaseMissing,
    TimeOutOfRange,
    WindowNotPositive,
    WindowTooLong,
)
from tests.smartcontracts.support import START_MS, org
from tests.smartcontracts.trading import (
    AGREEMENT_ID,
    BUYER,
    DAY_MS,
    LINEAGE_KEY,
    RELEASE,
    SELLER,
    SINGLE,
    YEAR,
    agreement_record,
    buy,
    monthly,
    once,
    pair_ledger,
    product,
    sell,
    trading_ledger,
    upstream,
    usage,
)

EURO = 10**9
PUBLISH = PublishOffering(
    agreement_id=AGREEMENT_ID,
    offering="port",
    description="A port of 70 Mbit/s, anywhere",
    product=product("port"),
    prices=(once(10 * EURO), monthly(20 * EURO), usage(500_000)),
    term=YEAR,
    installation_interval_ms=7 * DAY_MS,
    quote_validity_ms=DAY_MS,
)
ROME = SINGLE
OSLO = replace(
    SINGLE,
    id="item-002",
    product=product("port", place="oslo", sls=True),
    relations=(ItemRelation(type="X", item_id="item-001"),),
)


def published(ledger, seller=SELLER, at=None, **changes):
    return sell(ledger, "publish_offering", replace(PUBLISH, **changes), seller=seller, at=at).writes[-1]


def taken(ledger, offering, buyer=BUYER, at=None, cause=None, **changes):
    """Quote and inquiry that a buyer takes."""
    command = RequestStandingQuote(
        offering_id=offering.id, items=(ROME,), lineage_key=LINEAGE_KEY, ancestors=upstream(buyer)
    )
    sender = ledger.sender(buyer, "b_bus")
    return ledger.run("request_standing_quote", replace(command, **changes), sender=sender, at=at, cause=cause).writes


@pytest.mark.req("L-19", "X-75")
def test_a_catalogue_offering_is_ordered_with_a_standing_quote_and_no_inquiry_iteration():
    ledger = trading_ledger()
    offering = published(ledger)
    quote, inquiry = taken(ledger, offering, items=(ROME, OSLO), buyer_reference="shelf-1")
    assert ledger.the(QUOTE) == quote
    assert ledger.the(INQUIRY) == inquiry
    assert (quote.offering_id, quote.offering_version, quote.inquiry_id) == (offering.id, 1, inquiry.id)
    assert (inquiry.status, inquiry.quote_id, inquiry.in_window) == (InquiryStatus.QUOTED, quote.id, True)
    assert (quote.status, quote.level, quote.late) == (QuoteStatus.ISSUED, QuoteLevel.FIRM, False)
    assert [one.prices for one in quote.items] == [PUBLISH.prices, PUBLISH.prices]
    assert {one.installation_interval_ms for one in quote.items} == {7 * DAY_MS}
    assert (quote.one_time_total, quote.term_total) == (Money(20_00, "EUR"), Money(500_00, "EUR"))
    assert quote.list_total == quote.term_total
    assert quote.valid_until_ms == quote.issued_at_ms + DAY_MS
    assert [one.lineage_id for one in inquiry.items] == [
        element_lineage(LINEAGE_KEY, n) for n in ("item-001", "item-002")
    ]
    assert ledger.event_names()[-2:] == ["inquiry.received", "quote.issued"]
    order = buy(ledger, quote.id)
    sell(ledger, "accept_order", AcceptOrder(order_id=order.id))
    assert ledger.the(ORDER).status == OrderStatus.ACCEPTED
    assert ledger.the(SERVICE).status == ServiceStatus.IN_DELIVERY


def test_nobody_has_answered_so_no_answer_is_counted():
    ledger = trading_ledger()
    taken(ledger, published(ledger))
    assert ledger.all(RESPONSE_RECORD) == ()


@pytest.mark.req("X-75")
def test_versions_count_up_and_only_the_newest_can_be_asked_for():
    ledger = trading_ledger()
    first = published(ledger)
    second = published(ledger, prices=(once(9 * EURO),))
    assert (first.version, second.version) == (1, 2)
    assert ledger.get(OFFERING, first.id).status == OfferingStatus.REPLACED
    before = ledger.root()
    with pytest.raises(OfferingClosed) as caught:
        taken(ledger, first)
    assert (caught.value.field, ledger.root()) == ("offering_id", before)
    quote, _ = taken(ledger, second)
    assert (quote.offering_version, quote.one_time_total) == (2, Money(9_00, "EUR"))
    sell(ledger, "withdraw_offering", WithdrawOffering(offering_id=second.id))
    assert published(ledger).version == 3
    assert ledger.event_names()[-2:] == ["offering.replaced", "offering.published"]
    other = published(ledger, offering="line", product=product("line"))
    assert other.version == 1
    assert published(ledger, seller=BUYER).version == 1


def test_what_is_withdrawn_cannot_be_asked_for_and_its_quotes_stay():
    ledger = trading_ledger()
    offering = published(ledger)
    quote, _ = taken(ledger, offering)
    with pytest.raises(NotTheSeller):
        sell(ledger, "withdraw_offering", WithdrawOffering(offering_id=offering.id), seller=BUYER)
    sell(ledger, "withdraw_offering", WithdrawOffering(offering_id=offering.id))
    assert ledger.the(OFFERING) == replace(offering, status=OfferingStatus.WITHDRAWN)
    with pytest.raises(OfferingClosed):
        taken(ledger, offering)
    with pytest.raises(WrongStatus):
        sell(ledger, "withdraw_offering", WithdrawOffering(offering_id=offering.id))
    with pytest.raises(OfferingUnknown):
        sell(ledger, "withdraw_offering", WithdrawOffering(offering_id="off_none"))
    assert buy(ledger, quote.id).quote_id == quote.id


@pytest.mark.parametrize("deadline_ran", [True, False])
def test_an_offer_ends_after_its_last_millisecond(deadline_ran):
    ledger = trading_ledger()
    until = START_MS + 5_000
    offering = published(ledger, valid_until_ms=until)
    taken(ledger, offering, at=until)
    if deadline_ran:
        ledger.advance(until + 1)
        assert ledger.the(OFFERING).status == OfferingStatus.EXPIRED
        assert ledger.event_names()[-1] == "offering.expired"
    else:  # as if more deadlines were due than a block runs
        ledger.time_ms = until + 1
        call = ledger.call(ledger.sender(BUYER, "b_bus"))
        late = RequestStandingQuote(
            offering_id=offering.id, items=(ROME,), lineage_key=LINEAGE_KEY, ancestors=upstream(BUYER)
        )
        with pytest.raises(OfferingClosed):
            ledger.table.messages["request_standing_quote"].handler(late, call)
    with pytest.raises(OfferingClosed):
        taken(ledger, offering)


@pytest.mark.req("X-75")
def test_a_standing_quote_expires_as_any_other():
    ledger = trading_ledger()
    quote, _ = taken(ledger, published(ledger))
    with pytest.raises(QuoteExpired):
        buy(ledger, quote.id, at=quote.valid_until_ms + 1)


@pytest.mark.req("Q-43", "X-75")
def test_the_agreements_discounts_are_given_on_the_catalogues_prices():
    pairs = DiscountRule(
        id="pair", seller=org(SELLER), price_type=PriceType.RECURRING, basis_points=2_500, minimum_items=2
    )
    ledger = trading_ledger(discounts=(pairs,))
    offering = published(ledger)
    alone, _ = taken(ledger, offering)
    assert (alone.items[0].prices, alone.term_total) == (PUBLISH.prices, Money(250_00, "EUR"))
    both, _ = taken(ledger, offering, items=(ROME, OSLO))
    price = both.items[1].prices[1]
    assert (price.rate, price.list_rate, price.discount_id) == (Rate(15 * EURO, "EUR"), Rate(20 * EURO, "EUR"), "pair")
    assert (both.term_total, both.list_total) == (Money(380_00, "EUR"), Money(500_00, "EUR"))


def test_a_bundled_offering_is_one_item_with_one_price():
    ledger = trading_ledger()
    offering = published(ledger, form=QuoteForm.BUNDLED)
    quote, _ = taken(ledger, offering)
    assert (quote.form, quote.items[0].prices, quote.bundle) == (QuoteForm.BUNDLED, (), PUBLISH.prices)
    assert quote.term_total == Money(250_00, "EUR")
    with pytest.raises(QuoteFormWrong) as caught:
        taken(ledger, offering, items=(ROME, OSLO))
    assert caught.value.field == "items"


BOUND = PriceTerm(seller=org(SELLER), offering="port", price_type=PriceType.NON_RECURRING, rate=Rate(10 * EURO, "EUR"))
CONTACT = '[{"name":"Jo"}]'
# With the rest of the product, one more than may be read for every request.
MANY = f"[{','.join('0' * (PRODUCT_VALUES_MAX - values_in(product('port', values='[]')) + 2))}]"
PUBLISH_REFUSALS = [  # in order of precedence, each one change away from PUBLISH, with the field that is named
    (AgreementUnknown, {"agreement_id": "agr_none"}, "agreement_id"),
    (GroupMissing, {"offering": ""}, "offering"),
    (GroupMissing, {"product": b""}, "product"),
    (JsonNotCanonical, {"product": b"{ }"}, "product"),
    (GroupMissing, {"product": b"{}"}, "product.productConfiguration"),
    (PersonalData, {"product": product("port", contact=CONTACT)}, "product.contact"),
    (OfferingMismatch, {"product": product("line")}, "offering"),
    (OfferingTooLarge, {"product": product("port", values=MANY)}, "product"),
    (TermInvalid, {"term": replace(YEAR, amount=0)}, "term.amount"),
    (TimeOutOfRange, {"installation_interval_ms": -1}, "installation_interval_ms"),
    (PricesMissing, {"prices": ()}, "prices"),
    (CurrencyMismatch, {"prices": (replace(once(1), rate=Rate(1, "USD")),)}, "prices[0].rate"),
    (AmountOutOfRange, {"prices": (once(-1),)}, "prices[0].rate"),
    (PriceFormWrong, {"prices": (once(1), usage(1, ""))}, "prices[1].unit"),
    (PriceDoubled, {"prices": (once(1), once(2))}, "prices[1]"),
    (PriceAboveAgreement, {"prices": (once(10 * EURO + 1),)}, "prices[0].rate"),
    (DiscountWrong, {"prices": (replace(once(1), discount_id="x"),)}, "prices[0].discount_id"),
    (DiscountWrong, {"prices": (replace(once(1), list_rate=Rate(1, "EUR")),)}, "prices[0].list_rate"),
    (WindowNotPositive, {"quote_validity_ms": 0}, "quote_validity_ms"),
    (WindowTooLong, {"quote_validity_ms": 400 * DAY_MS + 1}, "quote_validity_ms"),
    (TimeOutOfRange, {"valid_until_ms": -1}, "valid_until_ms"),
    (OfferEndInvalid, {"valid_until_ms": START_MS + 1}, "valid_until_ms"),
    (PersonalData, {"description": "ask jo@example.com"}, "description"),
    (ReleaseInvalid, {"release": b"\1"}, "release"),
]


@pytest.mark.parametrize("first", range(len(PUBLISH_REFUSALS)))
def test_an_invalid_offering_is_answered_with_the_first_failing_check_and_changes_nothing(first):
    refusal, changes, named = PUBLISH_REFUSALS[first]
    ledger = trading_ledger(price_terms=(BOUND,))
    before = ledger.root()
    with pytest.raises(refusal) as caught:
        published(ledger, at=START_MS + 1, **changes)
    assert (type(caught.value), caught.value.field) == (refusal, named)
    for _, later, _ in PUBLISH_REFUSALS[first + 1 :]:
        with pytest.raises(refusal):
            published(ledger, **{**later, **changes})
    assert ledger.root() == before


def test_who_publishes_is_a_party_that_may_sell_and_its_s_bus():
    ledger = trading_ledger(only_seller=org(SELLER))
    published(ledger)
    with pytest.raises(RolesFixed) as caught:
        published(ledger, seller=BUYER)
    assert caught.value.field == "signer"
    with pytest.raises(RoleMissing):
        ledger.run("publish_offering", PUBLISH, sender=ledger.sender(SELLER, "b_bus"))
    with pytest.raises(PositionWrong):
        ledger.run("publish_offering", PUBLISH, sender=ledger.sender("north", "s_bus"))
    elsewhere = pair_ledger(SELLER, "bravo")
    elsewhere.write(replace(agreement_record(SELLER, BUYER), id="agr_others"))
    assert elsewhere.get(AGREEMENT, "agr_others")
    with pytest.raises(NotAParty):
        published(elsewhere, seller="bravo", agreement_id="agr_others")


def test_a_product_may_have_as_many_values_as_it_may():
    ledger = trading_ledger()
    most = product("port", values=MANY.replace("0,", "", 1))
    assert values_in(most) == PRODUCT_VALUES_MAX
    assert published(ledger, product=most).product == most


def test_a_description_may_be_as_long_as_it_may():
    ledger = trading_ledger()
    assert (
        len(published(ledger, description="x" * DESCRIPTION_CHARACTERS_MAX).description) == DESCRIPTION_CHARACTERS_MAX
    )
    with pytest.raises(TextInvalid):
        published(ledger, description="x" * (DESCRIPTION_CHARACTERS_MAX + 1))


def rome(**changes):
    return {"items": (replace(ROME, **changes),)}


FASTER = product("port", place="rome", sls=True, mbps=71)
BARE = b'{"place":[{"id":"rome"}],"productConfiguration":{},"productOffering":{"id":"port"}}'
REQUEST_REFUSALS = [  # in order of precedence, with the field that is named
    (OfferingUnknown, {"offering_id": "off_none"}, "offering_id"),
    (ItemsMissing, {"items": ()}, "items"),
    (TooManyItems, {"items": tuple(replace(ROME, id=str(n)) for n in range(101))}, "items"),
    (ItemIdMissing, rome(id=""), "items[0].id"),
    (ItemIdDoubled, {"items": (ROME, ROME)}, "items[1].id"),
    (ItemsTooLarge, rome(product=b"0" * ITEMS_BYTES_MAX), "items"),
    (ActionNotSupported, rome(action=Action.MODIFY), "items[0].action"),
    (OfferingMismatch, rome(offering="line"), "items[0].offering"),
    (GroupMissing, rome(offering=""), "items[0].offering"),
    (GroupMissing, rome(product=b""), "items[0].product"),
    (PersonalData, rome(product=product("port", place="rome", sls=True, contact=CONTACT)), "items[0].product.contact"),
    (GroupMissing, rome(term=None), "items[0].term"),
    (OfferingNotMet, rome(term=replace(YEAR, amount=11)), "items[0].term"),
    (OfferingNotMet, rome(product=FASTER), "items[0].product.productConfiguration.cir"),
    (OfferingNotMet, rome(product=BARE), "items[0].product.productConfiguration.@type"),
    (RelationUnknown, rome(relations=(ItemRelation(type="X", item_id="item-9"),)), "items[0].relations[0].item_id"),
    (RelationsMissing, {"items": (ROME, replace(OSLO, relations=()))}, "items"),
    (GroupMissing, rome(product=product("port", sls=True)), "items[0].product.place"),
    (
        GroupMissing,
        rome(product=product("port", place="x")),
        "items[0].product.productConfiguration.carrierEthernetSls",
    ),
    (LineageKeyInvalid, {"lineage_key": b""}, "lineage_key"),
    (AncestorsInvalid, {"ancestors": ()}, "ancestors"),
    (AncestorsInvalid, {"ancestors": upstream(SELLER)}, "ancestors[0]"),
    (PersonalData, {"buyer_reference": "jo@example.com"}, "buyer_reference"),
    (ReleaseInvalid, {"release": b"\1"}, "release"),
]


@pytest.mark.req("L-19", "X-75")
@pytest.mark.parametrize("first", range(len(REQUEST_REFUSALS)))
def test_an_invalid_request_is_answered_with_the_first_failing_check_and_changes_nothing(first):
    refusal, changes, named = REQUEST_REFUSALS[first]
    ledger = trading_ledger()
    offering = published(ledger)
    before = ledger.root()
    with pytest.raises(refusal) as caught:
        taken(ledger, offering, **changes)
    assert (type(caught.value), caught.value.field) == (refusal, named)
    for _, later, _ in REQUEST_REFUSALS[first + 1 :]:
        with pytest.raises(refusal):
            taken(ledger, offering, **{**later, **changes})
    assert ledger.root() == before


@pytest.mark.req("X-75")
def test_what_the_offering_leaves_open_is_the_buyers_choice_and_kept():
    ledger = trading_ledger()
    own = product(
        "port", place="oslo", sls=True, productRelationship='[{"id":"svc-1","relationshipType":"CONNECTS_TO"}]'
    )
    _, inquiry = taken(ledger, published(ledger), items=(replace(ROME, product=own),))
    assert inquiry.items[0].product == own


def test_nobody_takes_a_quote_of_its_own_offering():
    ledger = trading_ledger()
    with pytest.raises(SellerIsBuyer) as caught:
        taken(ledger, published(ledger), buyer=SELLER)
    assert caught.value.field == "offering_id"
    with pytest.raises(RoleMissing):
        ledger.run(
            "request_standing_quote",
            RequestStandingQuote(offering_id="off_x", items=(ROME,)),
            sender=ledger.sender(BUYER, "s_bus"),
        )


def test_prices_that_a_new_agreement_forbids_are_quoted_no_more():
    ledger = trading_ledger()
    offering = published(ledger)
    ledger.write(agreement_record(price_terms=(replace(BOUND, rate=Rate(9 * EURO, "EUR")),)))
    with pytest.raises(PriceAboveAgreement):
        taken(ledger, offering)


def test_an_agent_takes_a_standing_quote_once_and_with_its_release():
    ledger = trading_ledger()
    offering = published(ledger)
    cause = Cause(ledger_id="sg_internal", event_id="rel_1", purpose="request_standing_quote")
    with pytest.raises(ReleaseMissing):
        taken(ledger, offering, cause=cause)
    quote, inquiry = taken(ledger, offering, cause=cause, release=RELEASE)
    assert quote.releases == inquiry.releases == (RELEASE,)
    with pytest.raises(AlreadyDone) as caught:
        taken(ledger, offering, cause=cause, release=RELEASE)
    assert caught.value.existing_id == quote.id


def test_an_agent_publishes_and_withdraws_with_releases():
    ledger = trading_ledger()
    seller = ledger.sender(SELLER, "s_bus")
    cause = Cause(ledger_id="sg_internal", event_id="rel_1", purpose="publish_offering")
    with pytest.raises(ReleaseMissing):
        ledger.run("publish_offering", PUBLISH, sender=seller, cause=cause)
    released = replace(PUBLISH, release=RELEASE)
    offering = ledger.run("publish_offering", released, sender=seller, cause=cause).writes[-1]
    withdrawal = WithdrawOffering(offering_id=offering.id)
    with pytest.raises(ReleaseMissing):
        ledger.run("withdraw_offering", withdrawal, sender=seller, cause=cause)
    second = b"\6" * 32
    closed = ledger.run("withdraw_offering", replace(withdrawal, release=second), sender=seller, cause=cause).writes[0]
    assert closed.releases == (RELEASE, second)


def test_offerings_are_found_by_seller_and_status():
    ledger = trading_ledger()
    first = published(ledger)
    second = published(ledger)
    for term, value in (("party", org(SELLER)), ("offering", "port"), ("related", AGREEMENT_ID)):
        assert [one.id for one in ledger.find(OFFERING, term, value, 10)] == sorted((first.id, second.id))
    assert ledger.find(OFFERING, "status", "published", 10) == (second,)


@given(
    nanos=st.lists(st.integers(0, 10**12), min_size=1, max_size=3),
    points=st.integers(1, 10_000),
    count=st.integers(1, 3),
)
def test_the_same_request_gives_the_same_quote_whatever_the_discount(nanos, points, count):
    """The contract's own quote passes the checks that a seller's would, and is never dearer than at list prices."""
    rule = DiscountRule(id="d", seller=org(SELLER), price_type=PriceType.RECURRING, basis_points=points)
    ledger = trading_ledger(discounts=(rule,))
    offering = published(ledger, prices=tuple(monthly(nano, str(n)) for n, nano in enumerate(nanos)))
    edge = (ItemRelation(type="X", item_id="0"),)
    items = tuple(replace(ROME, id=str(n), relations=edge if n else ()) for n in range(count))
    (first, _), (second, _) = taken(ledger, offering, items=items), taken(ledger, offering, items=items)
    assert (first.items, first.term_total, first.list_total) == (second.items, second.term_total, second.list_total)
    assert first.term_total.minor <= first.list_total.minor


def test_a_record_of_every_status_is_stored_as_it_is():
    ledger = trading_ledger()
    made = published(ledger)
    assert isinstance(made, Offering)
    for n, status in enumerate(OfferingStatus):
        ledger.write(replace(made, id=f"off_{n}", status=status))
    assert [one.status for one in ledger.all(OFFERING) if one.id != made.id] == list(OfferingStatus)


def test_only_the_other_party_of_the_agreement_is_a_buyer():
    ledger = trading_ledger()
    made = published(ledger)
    elsewhere = pair_ledger(SELLER, "bravo")
    elsewhere.write(replace(agreement_record(SELLER, BUYER), id="agr_others"))
    elsewhere.write(replace(made, agreement_id="agr_others"))
    with pytest.raises(NotTheBuyer) as caught:
        taken(elsewhere, made, buyer="bravo")
    assert caught.value.field == "signer"
