"""Sonata: requests become commands without anything personal, or are refused with a reason; documents become answers."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import replace

import pytest

from node.sonata import (
    OrderContext,
    QuoteContext,
    SonataFieldMissing,
    SonataFieldNotSupported,
    SonataFieldUnknown,
    SonataFieldWrong,
    SonataQuoteUnnamed,
    SonataRequestUnknown,
    SonataServiceUnknown,
    agreement_name,
    inquiry_from_quote_request,
    is_product_order,
    order_answer,
    order_from_product_order,
    product_order_of,
    quote_answer,
    quote_request_of,
    withheld_hash,
    withheld_salt,
)
from smartcontracts import codec
from smartcontracts.agreement import AgreementUnknown
from smartcontracts.canonical_json import (
    JsonKeyDoubled,
    JsonMalformed,
    JsonNumberInvalid,
    JsonTooDeep,
    JsonTooLarge,
    canonical,
    require_canonical,
)
from smartcontracts.delivery import ActivateOrder, FailOrder
from smartcontracts.inquiry import INQUIRY, DeclareUnable
from smartcontracts.kernel import Rejected
from smartcontracts.money import Money
from smartcontracts.order import ORDER, AcceptOrder, QuoteMismatch, RejectOrder
from smartcontracts.quote import QUOTE, QuoteItem
from smartcontracts.trade import (
    Action,
    Change,
    ChangeAnswer,
    ChangeKind,
    ChangeMethod,
    EndAction,
    ItemRelation,
    Outage,
    QuoteLevel,
    TermUnit,
)
from tests.node.sonata_samples import (
    NAMES,
    order_item,
    product_order,
    quote_item,
    quote_request,
    sample,
)
from tests.smartcontracts.support import org
from tests.smartcontracts.trading import (
    AGREEMENT_ID,
    ASK,
    BUYER,
    DAY_MS,
    LINEAGE_KEY,
    SELLER,
    TERMS,
    ask,
    buy,
    give,
    monthly,
    once,
    ordered,
    quoted,
    recurring,
    sell,
    serving_ledger,
    target,
    trading_ledger,
    upstream,
    usage,
)

SECRET = b"\x05" * 32
CONTEXT = QuoteContext(
    seller=org(SELLER),
    agreement_id=AGREEMENT_ID,
    agreement_name=TERMS.name,
    lineage_key=LINEAGE_KEY,
    ancestors=upstream(BUYER),
)
ORDERING = OrderContext(
    agreement_name=TERMS.name, acceptance_window_ms=30_000, activation_window_ms=40_000, quote_id="quo_given"
)


def to_inquiry(data, context=CONTEXT):
    return inquiry_from_quote_request(data, context, SECRET)


def to_order(data, context=ORDERING):
    return order_from_product_order(data, context, SECRET)


# The published samples


def expected_of(name):
    if "quote" in name or "product-order-new" in name:
        return None
    if "product-order" in name:
        return SonataServiceUnknown
    return SonataRequestUnknown


@pytest.mark.parametrize("name", NAMES)
def test_every_published_sample_is_mapped_or_refused_with_its_reason(name):
    data, refusal = sample(name), expected_of(name)
    mapped = to_order if "product-order" in name else to_inquiry
    if refusal is None:
        assert mapped(data).command.items
    else:
        with pytest.raises(refusal) as caught:
            mapped(data)
        assert caught.value.field


def texts(value):
    """All texts in a JSON value, keys included."""
    if isinstance(value, dict):
        return [text for key, one in value.items() for text in (key, *texts(one))]
    if isinstance(value, list):
        return [text for one in value for text in texts(one)]
    return [value] if isinstance(value, str) else []


def contacts(value):
    """All texts that stand in a contact, a note or a billing account."""
    if isinstance(value, dict):
        private = ("relatedContactInformation", "billingAccount", "note", "endCustomerName")
        return [text for key, one in value.items() for text in (texts(one) if key in private else contacts(one))]
    return [text for one in value for text in contacts(one)] if isinstance(value, list) else []


@pytest.mark.parametrize("name", ["uc04-quote-new-epl.json", "uc05-product-order-new-epl.json"])
def test_nothing_personal_of_a_sample_is_in_its_command_and_all_of_it_is_kept(name):
    data = sample(name)
    mapped = to_order(data) if "order" in name else to_inquiry(data)
    onto_ledger = codec.encode(mapped.command)
    personal = {text for text in contacts(json.loads(data)) if len(text) > 6} - {"billingContact"}
    assert any("@" in text for text in personal)
    assert [text for text in personal if text.encode() in onto_ledger] == []
    kept = b"".join(mapped.withheld.values())
    # Names of fields stay the sample's; every value is kept.
    assert [text for text in personal if json.dumps(text, ensure_ascii=False)[1:-1].encode() not in kept] == []


@pytest.mark.req("O-04")
def test_the_samples_order_restates_what_its_quote_request_asked():
    asked = to_inquiry(sample("uc04-quote-new-epl.json")).command.items
    wished = to_order(sample("uc05-product-order-new-epl.json")).command.items
    for one, other in zip(asked, wished, strict=True):
        names = ("id", "action", "offering", "product", "relations", "term")
        assert [getattr(one, name) for name in names] == [getattr(other, name) for name in names]


def leaves(value, path=()):
    if isinstance(value, dict | list) and value:
        for key, one in value.items() if isinstance(value, dict) else enumerate(value):
            yield from leaves(one, (*path, key))
    else:
        yield path, value


def other_value(value):
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return value + 1
    return f"{value}x" if isinstance(value, str) else [1]


@pytest.mark.req("O-04")
def test_each_changed_leaf_of_the_configurations_changes_the_product_and_the_order_is_then_refused():
    request = json.loads(sample("uc04-quote-new-epl.json"))
    ledger = trading_ledger(sla_targets=(target(),))
    inquiry = ask(ledger, to_inquiry(json.dumps(request).encode()).command)
    items = tuple(QuoteItem(id=item.id, prices=(once(10**9),)) for item in inquiry.items)
    totals = {"one_time_total": Money(300, "EUR"), "term_total": Money(300, "EUR")}
    quote = give(ledger, inquiry.id, items=items, **totals)
    before, seen, count = ledger.root(), set(), 0
    for place, item in enumerate(request["quoteItem"]):
        configuration = item["product"]["productConfiguration"]
        for path, value in list(leaves(configuration)):
            holder = configuration
            for key in path[:-1]:
                holder = holder[key]
            holder[path[-1]] = other_value(value)
            changed = json.dumps(request).encode()
            product = to_inquiry(changed).command.items[place].product
            assert product != inquiry.items[place].product
            seen.add(product)
            count += 1
            order = to_order(product_order_of(changed)).command
            with pytest.raises(QuoteMismatch) as caught:
                buy(ledger, quote.id, items=order.items)
            assert caught.value.field.startswith(f"items[{place}].product.productConfiguration.{path[0]}")
            holder[path[-1]] = value
    assert ledger.root() == before
    assert len(seen) == count > 100
    buy(ledger, quote.id, items=to_order(product_order_of(json.dumps(request).encode())).command.items)


@pytest.mark.req("Q-03")
def test_what_the_other_party_reads_back_is_the_files_canonical_form():
    data = sample("uc04-quote-new-epl.json")
    ledger = trading_ledger(sla_targets=(target(),))
    inquiry = ask(ledger, to_inquiry(data).command)
    stored = codec.decode(type(inquiry), codec.encode(ledger.get(INQUIRY, inquiry.id)))
    for item, given in zip(stored.items, json.loads(data)["quoteItem"], strict=True):
        assert item.product == canonical(json.dumps(given["product"]).encode(), "product")
        require_canonical(item.product, "product")


# Quote requests


def test_a_quote_request_is_mapped_field_by_field():
    item = quote_item(
        dealReference="DEAL-7",
        productOfferingQualificationItem={"id": "1", "productOfferingQualificationId": "poq-1"},
        requestedQuoteItemInstallationInterval={"amount": 3, "units": "calendarDays"},
        agreementName=TERMS.name,
        quoteItemRelationship=[{"id": "2", "relationshipType": "CONNECTS_TO"}],
    )
    context = replace(CONTEXT, response_window_ms=33_000, ancestors=("x", "y"), replaces="inq_old")
    data = quote_request(item, quote_item("2"), requestedQuoteCompletionDate="2027-02-01T00:00:00.250+01:00")
    command = to_inquiry(data, context).command
    first = command.items[0]
    assert (command.seller, command.agreement_id, command.level) == (org(SELLER), AGREEMENT_ID, QuoteLevel.FIRM)
    assert (command.buyer_reference, command.project, command.instant) == ("Q-1", "P-1", False)
    assert command.requested_completion_ms == 1_801_436_400_250
    assert (command.response_window_ms, command.ancestors, command.replaces) == (33_000, ("x", "y"), "inq_old")
    assert (first.id, first.offering, first.installation_interval_ms) == ("1", "port", 3 * DAY_MS)
    assert (first.term.amount, first.term.unit) == (12, TermUnit.CALENDAR_MONTHS)
    assert (first.term.end_action, first.term.roll_interval) == (EndAction.AUTO_RENEW, b"")
    assert first.relations == (ItemRelation(type="CONNECTS_TO", item_id="2"),)
    assert b"DEAL-7" in first.references
    assert b"poq-1" in first.references
    assert b'"speed":1.5}' in first.product
    assert to_inquiry(quote_request(instantSyncQuote=True)).command.instant


def test_a_terms_name_is_a_label_and_its_roll_interval_is_not():
    def term(**changes):
        made = quote_item()["requestedQuoteItemTerm"] | changes
        return to_inquiry(quote_request(quote_item(requestedQuoteItemTerm=made))).command.items[0].term

    assert term(name="yearly", description="for Jo") == term()
    rolled = term(endOfTermAction="roll", rollInterval={"units": "calendarMonths", "amount": 1})
    assert rolled.roll_interval == b'{"amount":1,"units":"calendarMonths"}'


@pytest.mark.parametrize(
    ("data", "refusal", "field"),
    [
        (b"{", JsonMalformed, "request"),
        (b'{"quoteItem":[],"quoteItem":[]}', JsonKeyDoubled, "request"),
        (b'{"quoteItem":[1e400]}', JsonNumberInvalid, "request"),
        (b"[" * 100 + b"]" * 100, JsonTooDeep, "request"),
        (b'"' + b"x" * 262_144 + b'"', JsonTooLarge, "request"),
        (b"[]", SonataRequestUnknown, "request"),
        (b"{}", SonataRequestUnknown, "request"),
        (b'{"quoteItem":[],"productOrderItem":[]}', SonataRequestUnknown, "request"),
        (product_order(), SonataRequestUnknown, "quoteItem"),
        (b'{"quoteItem":[]}', SonataFieldMissing, "quoteItem"),
        (b'{"quoteItem":7}', SonataFieldWrong, "quoteItem"),
        (b'{"quoteItem":[7]}', SonataFieldWrong, "quoteItem[0]"),
        (quote_request(state="accepted"), SonataFieldUnknown, "state"),
        (quote_request(buyerRequestedQuoteLevel=None), SonataFieldMissing, "buyerRequestedQuoteLevel"),
        (quote_request(buyerRequestedQuoteLevel="soft"), SonataFieldWrong, "buyerRequestedQuoteLevel"),
        (quote_request(instantSyncQuote="yes"), SonataFieldWrong, "instantSyncQuote"),
        (quote_request(externalId=7), SonataFieldWrong, "externalId"),
        (quote_request(requestedQuoteCompletionDate="2027-02-30T00:00:00Z"), SonataFieldWrong, "requestedQuoteCompletionDate"),
        (quote_request(requestedQuoteCompletionDate="2027-02-01T00:00:00"), SonataFieldWrong, "requestedQuoteCompletionDate"),
        (quote_request(quote_item(price=1)), SonataFieldUnknown, "quoteItem[0].price"),
        (quote_request(quote_item(id=None)), SonataFieldMissing, "quoteItem[0].id"),
        (quote_request(quote_item(action=None)), SonataFieldMissing, "quoteItem[0].action"),
        (quote_request(quote_item(action="move")), SonataFieldWrong, "quoteItem[0].action"),
        (quote_request(quote_item(action="modify")), SonataFieldMissing, "quoteItem[0].product.id"),
        (quote_request(quote_item(action="delete", product={"id": ""})), SonataFieldWrong, "quoteItem[0].product.id"),
        (quote_request(quote_item(action="delete", product={"id": "svc_1/1"})), SonataServiceUnknown, "quoteItem[0].product.id"),
        (quote_request(quote_item(action="delete", product={"id": "/1"})), SonataServiceUnknown, "quoteItem[0].product.id"),
        (quote_request(quote_item(agreementName="Other")), AgreementUnknown, "quoteItem[0].agreementName"),
        (quote_request(quote_item(product=None)), SonataFieldMissing, "quoteItem[0].product"),
        (quote_request(quote_item(product={"id": "x"})), SonataFieldNotSupported, "quoteItem[0].product.id"),
        (quote_request(quote_item(product={"sla": 1})), SonataFieldUnknown, "quoteItem[0].product.sla"),
        (quote_request(quote_item(product={"place": []})), SonataFieldMissing, "quoteItem[0].product.productOffering"),
        (quote_request(quote_item(quoteItemRelationship=[{"id": "2"}])), SonataFieldMissing, "quoteItem[0].quoteItemRelationship[0].relationshipType"),
        (quote_request(quote_item(requestedQuoteItemInstallationInterval={"amount": -1, "units": "calendarDays"})), SonataFieldWrong, "quoteItem[0].requestedQuoteItemInstallationInterval.amount"),
        (quote_request(quote_item(requestedQuoteItemInstallationInterval={"amount": 1, "units": "moons"})), SonataFieldWrong, "quoteItem[0].requestedQuoteItemInstallationInterval.units"),
    ],
)  # fmt: skip
def test_invalid_quote_requests_are_refused_by_field(data, refusal, field):
    with pytest.raises(refusal) as caught:
        to_inquiry(data)
    assert caught.value.field == field


def test_requests_of_a_wrong_kind_are_told_apart():
    assert not is_product_order(quote_request())
    assert is_product_order(product_order())
    assert agreement_name(quote_request()) == ""
    assert agreement_name(product_order(order_item(), order_item("2", agreementName="A-1"))) == "A-1"


# What is kept back


def test_personal_data_is_cut_out_wherever_it_stands():
    hidden = {"emailAddress": "ann@corp.example", "port": 7, "deep": [{"note": "ask Ann"}, "ann@corp.example", "plain"]}
    configuration = quote_item()["product"]["productConfiguration"] | {"x": hidden, "y": "via ann@corp.example"}
    product = quote_item()["product"] | {"productConfiguration": configuration}
    data = quote_request(
        quote_item(product=product, note=[{"author": "Ann"}]), description="for Ann", externalId="ann@corp.example"
    )
    mapped = to_inquiry(data)
    onto_ledger = codec.encode(mapped.command)
    assert b"nn" not in onto_ledger.replace(b"channel", b"")
    assert b'"x":{"deep":[{},"plain"],"port":7}' in mapped.command.items[0].product
    assert sorted(mapped.withheld) == ["contacts", "labels", "notes", "other", "references"]
    notes = json.loads(mapped.withheld["notes"])
    assert notes["/description"] == "for Ann"
    assert notes["/quoteItem/0/product/productConfiguration/x/deep/0/note"] == "ask Ann"
    assert json.loads(mapped.withheld["references"]) == {"/externalId": "ann@corp.example"}
    ask(trading_ledger(), mapped.command)


def test_each_subject_can_be_shown_by_itself():
    mapped = to_inquiry(quote_request(description="for Ann"))
    hashes = {one.subject: one.sha256 for one in mapped.command.withheld}
    assert sorted(hashes) == sorted(mapped.withheld) == ["contacts", "labels", "notes"]
    for subject, data in mapped.withheld.items():
        assert withheld_hash(withheld_salt(SECRET, subject), data) == hashes[subject]
        assert withheld_hash(withheld_salt(b"\6" * 32, subject), data) != hashes[subject]
    assert withheld_salt(SECRET, "notes") != withheld_salt(SECRET, "contacts")
    with pytest.raises(ValueError, match="32 bytes"):
        withheld_salt(b"short", "notes")


# Orders


def test_an_order_is_mapped_field_by_field():
    item = order_item(
        expediteIndicator=True,
        requestedCompletionDate="2027-02-01T00:00:00Z",
        billingAccount={"id": "B-1", "billingContact": {"name": "Ann"}},
        endCustomerName="Corner Shop",
        relatedBuyerPON="PON-9",
    )
    mapped = to_order(product_order(item, order_item("2", requestedCompletionDate="2027-03-01T00:00:00Z")))
    command = mapped.command
    assert (command.quote_id, command.buyer_reference) == ("quo_given", "O-1")
    assert (command.acceptance_window_ms, command.activation_window_ms) == (30_000, 40_000)
    assert [one.requested_completion_ms for one in command.items] == [1_801_440_000_000, 1_803_859_200_000]
    assert command.requested_completion_ms == 1_803_859_200_000
    assert [one.expedite for one in command.items] == [True, False]
    assert sorted(mapped.withheld) == ["billing", "contacts", "end_customer", "labels", "references"]
    for private in (b"B-1", b"Ann", b"Corner Shop", b"PON-9"):
        assert private not in codec.encode(command)


def test_an_order_that_names_quote_items_keeps_their_ids():
    first = order_item(
        "a",
        quoteItem={"id": "1", "quoteId": "quo_own"},
        productOrderItemRelationship=[{"id": "b", "relationshipType": "X"}],
    )
    second = order_item("b", quoteItem={"id": "2", "quoteId": "quo_own"})
    command = to_order(product_order(first, second), replace(ORDERING, quote_id="")).command
    assert command.quote_id == "quo_own"
    assert [item.id for item in command.items] == ["1", "2"]
    assert command.items[0].relations == (ItemRelation(type="X", item_id="2"),)
    assert to_order(product_order(first, second)).command.quote_id == "quo_given"


@pytest.mark.parametrize(
    ("data", "refusal", "field"),
    [
        (quote_request(), SonataRequestUnknown, "productOrderItem"),
        (product_order(), SonataQuoteUnnamed, "quoteItem"),
        (product_order(order_item(quoteItem={"id": "1"})), SonataFieldMissing, "productOrderItem[0].quoteItem.quoteId"),
        (product_order(order_item(quoteItem={"id": "1", "quoteId": "q1"}), order_item("2", quoteItem={"id": "2", "quoteId": "q2"})), SonataQuoteUnnamed, "quoteItem"),
        (product_order(order_item(), order_item()), SonataFieldWrong, "productOrderItem[1].id"),
        (product_order(state="x"), SonataFieldUnknown, "state"),
        (product_order(order_item(coordinatedAction=[{"itemId": "2"}])), SonataFieldNotSupported, "productOrderItem[0].coordinatedAction"),
        (product_order(order_item(tspRestorationPriority="1")), SonataFieldNotSupported, "productOrderItem[0].tspRestorationPriority"),
        (product_order(order_item(action="modify")), SonataFieldMissing, "productOrderItem[0].product.id"),
        (product_order(order_item(action="delete", product={"id": "svc_1"})), SonataServiceUnknown, "productOrderItem[0].product.id"),
        (product_order(order_item(agreementName="Other")), AgreementUnknown, "productOrderItem[0].agreementName"),
        (product_order(order_item(expediteIndicator=1)), SonataFieldWrong, "productOrderItem[0].expediteIndicator"),
        (product_order(order_item(requestedCompletionDate="soon")), SonataFieldWrong, "productOrderItem[0].requestedCompletionDate"),
    ],
)  # fmt: skip
def test_invalid_orders_are_refused_by_field(data, refusal, field):
    with pytest.raises(refusal) as caught:
        to_order(data, replace(ORDERING, quote_id=""))
    assert caught.value.field == field


@pytest.mark.parametrize("name", ["uc04-quote-new-epl.json", "uc05-product-order-new-epl.json"])
def test_with_one_file_the_other_is_derived_and_fits(name):
    data = sample(name)
    request, order = (quote_request_of(data), data) if is_product_order(data) else (data, product_order_of(data))
    assert is_product_order(order)
    asked, wished = to_inquiry(request).command, to_order(order).command
    names = ("id", "action", "offering", "product", "relations", "term")
    for one, other in zip(asked.items, wished.items, strict=True):
        assert [getattr(one, key) for key in names] == [getattr(other, key) for key in names]
    assert to_inquiry(quote_request_of(product_order_of(request))).command.items == asked.items


# Changes of what is there


def existing(product_id, **product):
    return {**quote_item()["product"], "id": product_id, **product}


SERVED = replace(CONTEXT, service_id="svc_1")


@pytest.mark.parametrize("product_id", ["svc_1", "svc_1/1"])
def test_an_item_to_modify_names_the_service_and_its_element_and_keeps_no_id_in_its_product(product_id):
    context = replace(SERVED, change_kind=ChangeKind.PARAMETER)
    request = quote_request(quote_item(action="modify", product=existing(product_id)))
    command = to_inquiry(request, context).command
    assert command.change == Change(service_id="svc_1", kind=ChangeKind.PARAMETER)
    assert command.items[0].action == Action.MODIFY
    assert command.items[0].product == to_inquiry(quote_request()).command.items[0].product
    ordered = to_order(product_order_of(request), replace(ORDERING, service_id="svc_1")).command
    assert (ordered.items[0].action, ordered.items[0].product) == (Action.MODIFY, command.items[0].product)


def test_an_item_to_delete_need_say_no_more_than_which_it_is():
    bare = quote_item(action="delete", product={"id": "svc_1/1"})
    del bare["requestedQuoteItemTerm"]
    command = to_inquiry(quote_request(bare), SERVED).command
    assert command.change == Change(service_id="svc_1", kind=ChangeKind.TERMINATION)
    item = command.items[0]
    assert (item.action, item.offering, item.product, item.term) == (Action.DELETE, "", b"", None)
    whole = to_inquiry(quote_request(quote_item(action="delete", product=existing("svc_1"))), SERVED).command.items[0]
    assert (whole.offering, b"svc_1" in whole.product) == ("port", False)


def test_a_request_for_new_services_changes_nothing():
    assert to_inquiry(quote_request(), SERVED).command.change is None


@pytest.mark.parametrize("product_id", ["svc_2", "svc_2/1", "svc_1/2", "EPL", "svc_1/1/1"])
def test_a_product_of_another_service_or_element_is_refused(product_id):
    with pytest.raises(SonataServiceUnknown) as caught:
        to_inquiry(quote_request(quote_item(action="modify", product=existing(product_id))), SERVED)
    assert caught.value.field == "quoteItem[0].product.id"


@pytest.mark.req("C-05", "C-06")
def test_a_change_asked_for_in_sonatas_form_is_quoted_and_shown_with_the_products_id():
    ledger, service = serving_ledger(sla_targets=(target(),))
    context = replace(CONTEXT, service_id=service.id, change_kind=ChangeKind.QOS)
    wanted = existing(f"{service.id}/item-002")
    inquiry = ask(ledger, to_inquiry(quote_request(quote_item("item-002", action="modify", product=wanted)), context).command)
    quote = give(
        ledger,
        inquiry.id,
        items=(QuoteItem(id="item-002", prices=(once(10**9),)),),
        one_time_total=Money(100, "EUR"),
        term_total=Money(100, "EUR"),
        change_answer=ChangeAnswer(outage=Outage.NO, method=ChangeMethod.RECONFIGURE),
    )
    shown = json.loads(quote_answer(ledger.the(INQUIRY), quote))["quoteItem"][0]
    assert (shown["action"], shown["product"]["id"]) == ("modify", f"{service.id}/item-002")
    ended = to_inquiry(
        quote_request(*(quote_item(one.id, action="delete", product={"id": service.id}) for one in service.items)), context
    )
    ending = ask(ledger, ended.command)
    assert json.loads(quote_answer(ending, None))["quoteItem"][0]["product"] == {"id": f"{service.id}/item-001"}


# Answers


def test_a_quote_is_answered_with_state_validity_and_prices():
    ledger = trading_ledger()
    quote = quoted(
        ledger,
        items=(
            QuoteItem(
                id="item-001",
                prices=(once(100 * 10**9), monthly(20_500_000_000), recurring(1, period_ms=20_000), usage(500_000)),
                installation_interval_ms=90_001,
            ),
            QuoteItem(id="item-002", prices=(once(10 * 10**9),)),
            QuoteItem(id="item-003", prices=(once(10 * 10**9),)),
        ),
        term_total=Money(12_000 + 24_600 + 0, "EUR"),
    )
    answered = json.loads(quote_answer(ledger.the(INQUIRY), quote))
    assert (answered["id"], answered["state"]) == (quote.id, "approved.orderable")
    assert answered["validFor"] == {"endDateTime": "2027-01-16T08:00:00.000Z"}
    assert (answered["quoteLevel"], answered["externalId"]) == ("firm", ASK.buyer_reference)
    item = answered["quoteItem"][0]
    assert item["product"] == json.loads(ASK.items[0].product)
    assert item["quoteItemInstallationInterval"] == {"amount": 2, "units": "calendarMinutes"}
    prices = item["quoteItemPrice"]
    assert [price["price"]["dutyFreeAmount"] for price in prices] == [
        {"unit": "EUR", "value": value} for value in (100, 20.5, 1e-9, 0.0005)
    ]
    assert [price["priceType"] for price in prices] == ["nonRecurring", "recurring", "recurring", "usageBased"]
    assert prices[1]["recurringChargePeriod"] == "month"
    assert (prices[2]["description"], prices[3]["unitOfMeasure"]) == ("per 20000 ms", "GB")
    assert item["quoteItemRelationship"][0] == {"id": "item-002", "relationshipType": "A"}


def test_states_of_quotes():
    def state(ledger):
        inquiry, quotes = ledger.the(INQUIRY), ledger.all(QUOTE)
        return json.loads(quote_answer(inquiry, quotes[0] if quotes else None))["state"]

    ledger = trading_ledger()
    inquiry = ask(ledger)
    assert state(ledger) == "acknowledged"
    ledger.advance(inquiry.respond_by_ms + 1)
    assert state(ledger) == "unableToProvide"
    quote = give(ledger, inquiry.id)
    assert state(ledger) == "answered"  # late, and not taken
    ledger.advance(quote.valid_until_ms + 1)
    assert state(ledger) == "expired"

    ledger = trading_ledger()
    inquiry = ask(ledger)
    sell(ledger, "declare_unable", DeclareUnable(inquiry_id=inquiry.id, reason="NO"))
    assert state(ledger) == "unableToProvide"

    ledger = trading_ledger()
    quoted(ledger, level=QuoteLevel.BUDGETARY)
    assert state(ledger) == "answered"

    ledger = trading_ledger()
    ordered(ledger)
    assert state(ledger) == "accepted"


def test_states_of_orders_and_what_they_name():
    def state(ledger):
        return json.loads(order_answer(ledger.the(ORDER)))["state"]

    ledger = trading_ledger()
    order = ordered(ledger)
    placed = json.loads(order_answer(order))
    assert placed["state"] == "acknowledged"
    assert placed["productOrderItem"][0]["quoteItem"] == {"id": "item-001", "quoteId": order.quote_id}
    sell(ledger, "accept_order", AcceptOrder(order_id=order.id))
    assert state(ledger) == "inProgress"
    sell(ledger, "activate_order", ActivateOrder(order_id=order.id))
    done = json.loads(order_answer(ledger.the(ORDER)))
    assert done["state"] == "completed"
    assert done["productOrderItem"][0]["product"]["id"] == f"{ledger.the(ORDER).service_id}/item-001"
    assert done["completionDate"]

    ledger = trading_ledger()
    order = ordered(ledger)
    sell(ledger, "reject_order", RejectOrder(order_id=order.id, reason="NO"))
    assert state(ledger) == "rejected"

    ledger = trading_ledger()
    order = ordered(ledger)
    accepted = sell(ledger, "accept_order", AcceptOrder(order_id=order.id)).writes[0]
    ledger.advance(accepted.activate_by_ms + 1)
    assert state(ledger) == "inProgress"
    sell(ledger, "fail_order", FailOrder(order_id=order.id, reason="NO"))
    failed = json.loads(order_answer(ledger.the(ORDER)))
    assert failed["productOrderItem"][0]["terminationError"] == [{"code": "otherIssue", "value": "NO"}]
    assert failed["state"] == "failed"


def test_only_refusals_come_out_of_odd_requests():
    """Every member of a request replaced by something else, one after the other."""
    request = json.loads(quote_request(quote_item(quoteItemRelationship=[{"id": "1", "relationshipType": "X"}])))
    mapped = tried = 0
    for path, _ in list(leaves(request)):
        for cut in range(1, len(path) + 1):
            for odd in (None, 7, "x", [], {}, [7], {"a": 1}, True):
                changed = json.loads(json.dumps(request))
                holder = changed
                for key in path[: cut - 1]:
                    holder = holder[key]
                holder[path[cut - 1]] = odd
                with suppress(Rejected):  # and nothing else
                    to_inquiry(json.dumps(changed).encode())
                    mapped += 1
                tried += 1
    assert 0 < mapped < tried


def test_a_quote_request_derived_from_an_order_that_names_quote_items_has_their_ids():
    order = json.loads(sample("uc05-product-order-new-epl.json"))
    for place, item in enumerate(order["productOrderItem"]):
        item["quoteItem"] = {"quoteId": "quo_1", "id": f"quoted-{place}"}
    data = json.dumps(order).encode()
    asked, ordered = to_inquiry(quote_request_of(data)).command.items, to_order(data).command.items
    assert [item.id for item in asked] == ["quoted-0", "quoted-1", "quoted-2"]
    assert [(one.id, one.relations, one.product) for one in asked] == [
        (one.id, one.relations, one.product) for one in ordered
    ]
