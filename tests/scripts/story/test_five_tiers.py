"""A chain of five tiers on real processes: the customer's one inquiry comes to the last provider, and its order, too."""

from __future__ import annotations

from itertools import pairwise

import pytest

from localnet.topology import load_topology
from scripts.story.checks import see_chained, see_in_operation, see_orders_accepted
from scripts.story.goods import port
from scripts.story.rehearsal import raised
from scripts.story.telling import Teller
from smartcontracts.order import OrderStatus

PLACE = "faro-pier-3"
CHAIN = ("acme", "first", "second", "third", "fourth", "fifth")


@pytest.mark.network
@pytest.mark.soak
@pytest.mark.timeout(400)
async def test_one_request_goes_through_five_tiers_and_back(tmp_path):
    async with raised(load_topology("chain5"), tmp_path / "net", Teller()) as scene:
        market, began_ms = scene.market, scene.now_ms()
        inquiry = await market.ask("acme", "first", (port(PLACE),), response_window_ms=60_000)
        quote = await market.quoted("acme", "first", inquiry)
        rows = await market.show("inquiry", began_ms, "inquiries on all ledgers")
        assert [(row.buyer, row.seller) for row in rows] == list(pairwise(CHAIN))
        assert [len(row.document.ancestors) for row in rows] == [1, 2, 3, 4, 5]
        windows = [row.document.respond_by_ms for row in rows]
        assert windows == sorted(windows, reverse=True)
        assert len({item.lineage_id for row in rows for item in row.document.items}) == 1
        order = await market.order("acme", "first", quote, acceptance_window_ms=60_000)
        await market.ordered_until("acme", "first", order, OrderStatus.ACTIVATED, within_s=120)
        assert len(await see_orders_accepted(market, began_ms, tiers=5)) == 5
        assert len(await see_in_operation(market, began_ms)) == 5
        await see_chained(market, "first", order.id)
