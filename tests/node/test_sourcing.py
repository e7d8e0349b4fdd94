"""Sourcing: which items are bought, and the inquiries that buy them stand by themselves."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from node.sourcing import bought_items, inquiries_to
from smartcontracts.trade import ItemRelation
from tests.smartcontracts.support import org
from tests.smartcontracts.trading import (
    AGREEMENT_ID,
    ASK,
    BUYER,
    LINE,
    PORT_A,
    PORT_Z,
    SELLER,
    SINGLE,
    ask,
    product,
    target,
    trading_ledger,
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
    commands = inquiries_to(inquiry, bought, seller=org(BUYER), agreement_id=AGREEMENT_ID, ancestors=("pseudonym",))
    below = trading_ledger(sla_targets=(target(BUYER),) if sla else ())
    return [ask(below, command, buyer=SELLER) for command in commands]


def test_what_is_bought_goes_out_as_it_stands_and_the_contract_takes_it():
    (inquiry,) = downstream((LINE, PORT_A, PORT_Z))
    assert inquiry.items == (PORT_Z,)
    assert inquiry.ancestors == ("pseudonym",)
    assert (inquiry.buyer, inquiry.seller) == (org(SELLER), org(BUYER))


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
