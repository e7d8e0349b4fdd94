"""Places: an item that is asked for by itself takes along where it is; published services are bought in, quoted and ordered."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from node.agents.policies import Policies
from node.agents.sco.places import located, location_of, places_of
from node.sonata import (
    OrderContext,
    QuoteContext,
    inquiry_from_quote_request,
    order_from_product_order,
    product_order_of,
)
from smartcontracts.trade import ItemRelation
from tests.node.agents.desk import Market, pool
from tests.node.sonata_samples import NAMES, sample
from tests.smartcontracts.support import org
from tests.smartcontracts.trading import LINE, PORT_A, PORT_Z, SINGLE, TERMS, product

BARE = replace(SINGLE, product=product("port", sls=True))
EXISTING = [{"id": "svc-1", "relationshipType": "CONNECTS_TO"}]
CHANGES = ("uc06", "uc08")  # these modify and delete


def where(items, item_id):
    """Where an item says that it is, once it goes by itself."""
    (item,) = [one for one in items if one.id == item_id]
    sent = json.loads(located(item.product, places_of(items)[item_id]))
    return {key: sent[key] for key in ("place", "productRelationship") if key in sent}


def place_of(item):
    return json.loads(item.product)["place"]


def test_an_item_without_a_place_takes_along_those_it_is_related_to():
    items = (LINE, PORT_A, PORT_Z)
    assert where(items, LINE.id) == {"place": [*place_of(PORT_A), *place_of(PORT_Z)]}
    assert where(items, PORT_A.id) == {"place": place_of(PORT_A)}
    assert where((replace(LINE, relations=()), PORT_A), LINE.id) == {}
    assert where((LINE, PORT_A, replace(PORT_A, id="item-003")), LINE.id) == {"place": place_of(PORT_A)}


def test_an_item_without_a_place_is_at_the_products_that_are_there_where_its_group_has_no_place():
    line = replace(LINE, product=product("line", sls=True, productRelationship=json.dumps(EXISTING)), relations=())
    end = replace(BARE, id="end", product=product("port"), relations=(ItemRelation(type="A", item_id=line.id),))
    assert where((line, end), "end") == {"productRelationship": EXISTING}
    placed = replace(line, product=product("line", sls=True, place="rome"))
    assert where((placed, end), "end") == {"place": place_of(SINGLE)}


def test_a_product_says_where_it_is_the_plainer_way_first_or_not_at_all():
    both = product("line", place="rome", productRelationship=json.dumps(EXISTING))
    assert list(location_of(both)) == ["place"]
    assert location_of(product("line")) == {}
    assert located(BARE.product, {}) == BARE.product
    assert located(b"", {"place": []}) == b""


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


class OneByOne(Policies):
    """Buys the last item, and makes the others: so what is bought goes without those that it was related to."""

    def make(self, part, own, best, rules):
        return best is None

    def buy_too(self, part, own, rules):
        return part.id == self.bought


@pytest.mark.parametrize("name", [name for name in NAMES if "-poq-" in name and not name.startswith(CHANGES)])
def test_every_published_new_service_can_be_asked_for_bought_in_quoted_and_ordered(name):
    data = as_quote_request(sample(name))
    agreement = {"agreement_id": "agr_acme_alpha", "agreement_name": TERMS.name}
    items = inquiry_from_quote_request(data, QuoteContext(seller=org("alpha"), **agreement), b"1" * 32).command.items
    policies = OneByOne()
    policies.bought = items[-1].id
    own = {"alpha": pool("*"), "bravo": pool("*")}
    market = Market(pairs=(("acme", "alpha"), ("alpha", "bravo")), inventories=own, policies={"alpha": policies})
    market.ask("acme", "alpha", items)
    market.run()
    (asked,) = market.records(market.between("alpha", "bravo"), "inquiry")
    assert [item.id for item in asked.items] == [items[-1].id]
    ledger = market.between("acme", "alpha")
    ordering = OrderContext(
        agreement_name=TERMS.name,
        acceptance_window_ms=300_000,
        activation_window_ms=3_600_000,
        quote_id=market.the(ledger, "quote").id,
    )
    order = order_from_product_order(product_order_of(data), ordering, b"1" * 32).command
    placed = market.act(ledger, "place_order", order, "acme", "b_bus")
    market.run()
    assert (placed.id, market.the(ledger, "order").status) == (market.the(ledger, "order").id, "activated")
    assert len(market.the(ledger, "service").items) == len(items)
    assert market.failures == []
