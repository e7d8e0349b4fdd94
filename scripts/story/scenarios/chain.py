"""Scenario 2: made to order over three tiers. One element alpha makes, one bravo, one delta, which bravo and charlie buy from."""

from __future__ import annotations

from typing import Final

from scripts.story.checks import see_audited, see_chained, see_in_operation, see_orders_accepted
from scripts.story.goods import Pool, Stock, line_with_ports
from scripts.story.scenarios.base import Scenario, Set
from scripts.story.scene import ACME, ALPHA, BRAVO, CHARLIE, DELTA
from scripts.story.telling import require
from smartcontracts.inquiry import InquiryStatus
from smartcontracts.order import OrderStatus

NEAR: Final = "evora-2"
FAR: Final = "horta-2"


async def play(scene: Set) -> None:
    """Q, O and D, the happy path."""
    market, began_ms = scene.market, scene.now_ms()
    async with scene.stage.teller.scene("One inquiry fans out, one quote comes back"):
        inquiry = await market.ask(ACME, ALPHA, line_with_ports(NEAR, FAR))
        quote = await market.quoted(ACME, ALPHA, inquiry)
        rows = await market.show("inquiry", began_ms, "inquiries on all ledgers")
        sellers = {(row.seller, row.document.status) for row in rows}
        for seller in (ALPHA, BRAVO, DELTA):
            require((seller, InquiryStatus.QUOTED) in sellers, f"a quote of {seller}", sellers)
        require(any(row.buyer in (BRAVO, CHARLIE) for row in rows), "an inquiry of the third tier", sellers)
        await market.all_same(rows, "inquiry")
    async with scene.stage.teller.scene("One order, accepted by all or by nobody"):
        order = await market.order(ACME, ALPHA, quote)
        await market.ordered_until(ACME, ALPHA, order, OrderStatus.ACCEPTED, OrderStatus.ACTIVATED)
        await see_orders_accepted(market, began_ms, tiers=3)
    async with scene.stage.teller.scene("Activated, chained and tested from end to end"):
        await market.ordered_until(ACME, ALPHA, order, OrderStatus.ACTIVATED)
        await see_in_operation(market, began_ms)
        await see_chained(market, ALPHA, order.id)
    async with scene.stage.teller.scene("What internal ledgers let out is what stands outside"):
        await see_audited(market)


SCENARIO: Final = Scenario(
    play=play,
    stocks={
        BRAVO: Stock(pools=(Pool(place=NEAR, monthly="28.00"),)),
        DELTA: Stock(pools=(Pool(place=FAR, monthly="22.00"),)),
    },
)
