"""Sourcing: which items are bought, and the inquiries that buy them stand by themselves."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from node.pricebook import draft_quote, parse
from node.sonata import (
    OrderContext,
    QuoteContext,
    inquiry_from_quote_request,
    order_from_product_order,
    product_order_of,
)
from node.sourcing import bought_items, inquiries_to
from smartcontracts.lineage import element_lineage
from smartcontracts.trade import ItemRelation
from tests.node.sonata_samples import NAMES, sample
from tests.smartcontracts.support import START_MS, org
from tests.smartcontracts.trading import (
    AGREEMENT_ID,
    ASK,
    BUYER,
    DAY_MS,
    LINE,
    LINEAGE_KEY,
    PORT_A,
    PORT_Z,
    SELLER,
    SINGLE,
    TERMS,
    ask,
    buy,
    product,
    sell,
    target,
    trading_ledger,
    upstream,
    wholesale_ledger,
)

BARE = replace(SINGLE, product=product("port", sls=True))


@pytest.mark.parametrize(
    ("items", "bought"),
    [
        ((LINE, PORT_A, PORT_Z), ("item-003",)),
        ((PORT_Z, LINE, PORT_A), ("item-002",)),
        ((LINE, PORT_A), ("item-002",)),
        ((PORT_A, LINE), ("item-001",)),
        ((SINGLE,), ("item-001",)),
        ((BARE,), ("item-001",)),
        ((LINE, PORT_A, PORT_Z, replace(PORT_Z, id="item-004")), ("item-003", "item-004")),
    ],
)
def test_all_places_but_the_first_are_bought_or_else_the_last_item(items, bought):
    assert bought_items(items) == bought


def downstream(items, sla=True):
    """alpha's inquiries to its own seller, sent on a ledger of that pair."""
    upstream = trading_ledger(sla_targets=(target(),))
    inquiry = ask(upstream, replace(ASK, items=items))
    bought = bought_items(items)
    commands = inquiries_to(inquiry, bought, buyer=org(SELLER), seller=org("bravo"), agreement_id=AGREEMENT_ID)
    below = wholesale_ledger("bravo", sla_targets=(target("bravo"),) if sla else ())
    return [ask(below, command, buyer=SELLER) for command in commands]


def test_what_is_bought_goes_out_as_it_stands_and_the_contract_takes_it():
    (inquiry,) = downstream((LINE, PORT_A, PORT_Z))
    assert [replace(item, lineage_id="") for item in inquiry.items] == [PORT_Z]
    assert inquiry.ancestors == (*upstream(BUYER), *upstream(SELLER))
    assert inquiry.items[0].lineage_id == element_lineage(LINEAGE_KEY, PORT_Z.id)
    assert (inquiry.buyer, inquiry.seller) == (org(SELLER), org("bravo"))


def test_bought_items_that_nothing_joins_any_more_are_asked_for_one_by_one():
    fourth = replace(PORT_Z, id="item-004", relations=(ItemRelation(type="X", item_id="item-005"),))
    fifth = replace(PORT_Z, id="item-005")
    found = downstream(
        (
            replace(LINE, relations=(*LINE.relations, ItemRelation(type="Y", item_id="item-004"))),
            PORT_A,
            PORT_Z,
            fourth,
            fifth,
        )
    )
    assert [[item.id for item in inquiry.items] for inquiry in found] == [["item-003"], ["item-004", "item-005"]]


def test_an_item_without_a_place_takes_along_those_it_was_related_to():
    (inquiry,) = downstream((PORT_A, replace(LINE, relations=LINE.relations[:1])))
    (item,) = inquiry.items
    assert json.loads(item.product)["place"] == json.loads(PORT_A.product)["place"]
    assert item.relations == ()


BOOK = """
currency = "EUR"
mark_up = "0.2"
[default]
non_recurring = "9"
recurring = "2"
per_mbps = "0.1"
period = "month"
"""
CHANGES = ("uc06", "uc08")  # these modify and delete


def as_quote_request(qualification):
    """What a buyer would ask after such a qualification: the same items, for a year."""
    request = json.loads(qualification)
    items = []
    for item in request["productOfferingQualificationItem"]:
        relations = item.pop("qualificationItemRelationship", [])
        term = {"duration": {"amount": 12, "units": "calendarMonths"}, "endOfTermAction": "autoRenew", "name": "year"}
        items.append(item | {"quoteItemRelationship": relations, "requestedQuoteItemTerm": term})
    kept = {key: request[key] for key in ("externalId", "projectId", "relatedContactInformation")}
    return json.dumps(
        kept | {"quoteItem": items, "buyerRequestedQuoteLevel": "firm", "instantSyncQuote": False}
    ).encode()


@pytest.mark.parametrize("name", [name for name in NAMES if "-poq-" in name and not name.startswith(CHANGES)])
def test_every_published_new_service_can_be_asked_for_bought_in_quoted_and_ordered(name):
    data = as_quote_request(sample(name))
    context = QuoteContext(
        seller=org(SELLER),
        agreement_id=AGREEMENT_ID,
        agreement_name=TERMS.name,
        lineage_key=LINEAGE_KEY,
        ancestors=upstream(BUYER),
    )
    above = trading_ledger(sla_targets=(target(),))
    inquiry = ask(above, inquiry_from_quote_request(data, context, b"1" * 32).command)
    below = wholesale_ledger("bravo", sla_targets=(target("bravo"),))
    bought, book, until_ms = {}, parse(BOOK), START_MS + DAY_MS
    bought_in = bought_items(inquiry.items)
    for command in inquiries_to(inquiry, bought_in, buyer=org(SELLER), seller=org("bravo"), agreement_id=AGREEMENT_ID):
        asked = ask(below, command, buyer=SELLER)
        answer = sell(below, "issue_quote", draft_quote(asked, TERMS, book, until_ms), seller="bravo").writes[0]
        bought |= {item.id: item for item in answer.items}
    assert tuple(sorted(bought)) == bought_items(inquiry.items)
    quote = sell(above, "issue_quote", draft_quote(inquiry, TERMS, book, until_ms, bought)).writes[0]
    ordering = OrderContext(
        agreement_name=TERMS.name, acceptance_window_ms=30_000, activation_window_ms=30_000, quote_id=quote.id
    )
    order = order_from_product_order(product_order_of(data), ordering, b"1" * 32).command
    assert len(buy(above, quote.id, items=order.items).instances) == len(inquiry.items)


def test_a_bought_item_without_a_place_is_where_its_group_is_or_at_the_product_that_is_there():
    existing = '[{"id":"svc-1","relationshipType":"CONNECTS_TO"}]'
    line = replace(LINE, product=product("line", sls=True, productRelationship=existing), relations=())
    end = replace(BARE, id="end", product=product("port"), relations=(ItemRelation(type="A", item_id=line.id),))
    ledger = trading_ledger(sla_targets=(target(),))
    asked = ask(ledger, replace(ASK, items=(line, end)))
    (command,) = inquiries_to(asked, ("end",), buyer=org(SELLER), seller=org("bravo"), agreement_id=AGREEMENT_ID)
    sent = json.loads(command.items[0].product)
    assert (sent["productRelationship"], "place" in sent) == (json.loads(existing), False)
    placed = replace(line, product=product("line", sls=True, place="rome"))
    asked = ask(ledger, replace(ASK, items=(placed, end)))
    (command,) = inquiries_to(asked, ("end",), buyer=org(SELLER), seller=org("bravo"), agreement_id=AGREEMENT_ID)
    sent = json.loads(command.items[0].product)
    assert (sent["place"][0]["id"], "productRelationship" in sent) == ("rome", False)
