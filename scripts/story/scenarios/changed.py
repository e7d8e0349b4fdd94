"""Scenario 5: an order with a changed detail and one on an expired quote are refused; after another quote the order goes."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from scripts.story.goods import Pool, Stock, port
from scripts.story.market import ACCEPTANCE_WINDOW_MS, ACTIVATION_WINDOW_MS
from scripts.story.scenarios.base import Scenario, Set
from scripts.story.scene import ACME, ALPHA
from scripts.story.telling import require
from smartcontracts.kernel import Role
from smartcontracts.order import OrderItem, OrderStatus, PlaceOrder
from smartcontracts.quote import Quote, QuoteStatus
from smartcontracts.trade import InquiryItem

PLACE: Final = "viseu-5"
# A quote is valid for a time after the window to answer in: longer than it takes to quote, short enough to be waited for.
SHORT_WINDOW_MS: Final = 6_000
SHORT_VALIDITY_MS: Final = 1_000
_AFTER_MS: Final = 300


async def play(scene: Set) -> None:
    """O-04, O-05, O-11."""
    market, stage = scene.market, scene.stage
    buyer, _ = await market.between(ACME, ALPHA)
    asked = port(PLACE)
    async with stage.teller.scene("One detail is another one"):
        quote = await market.quoted(ACME, ALPHA, await market.ask(ACME, ALPHA, (asked,)))
        changed = _order(quote, replace(asked, product=asked.product.replace(b"viseu-5", b"viseu-6", 1)))
        await market.refused(buyer, Role.B_BUS, "place_order", changed, "QUOTE_MISMATCH", "orders with another detail")
        still: Quote = await market.same_everywhere(buyer.ledger_name, "quote", quote.id)
        require(still.status == QuoteStatus.ISSUED, "the quote to stay open", still.status)
    async with stage.teller.scene("The quote has expired"):
        await market.set_rules(ALPHA, quote_validity_ms=SHORT_VALIDITY_MS)
        inquiry = await market.ask(ACME, ALPHA, (asked,), response_window_ms=SHORT_WINDOW_MS)
        expired = await market.quoted(ACME, ALPHA, inquiry)
        await market.set_rules(ALPHA)
        await stage.until(expired.valid_until_ms + _AFTER_MS)
        late = _order(expired, asked)
        await market.refused(buyer, Role.B_BUS, "place_order", late, "QUOTE_EXPIRED", "orders on an expired quote")
    async with stage.teller.scene("Another quote, and the order goes"):
        again = await market.ask(ACME, ALPHA, (asked,), replaces=inquiry.id)
        quote = await market.quoted(ACME, ALPHA, again)
        order = await market.order(ACME, ALPHA, quote)
        await market.ordered_until(ACME, ALPHA, order, OrderStatus.ACCEPTED, OrderStatus.ACTIVATED)
        await market.same_everywhere(buyer.ledger_name, "inquiry", again.id)


def _order(quote: Quote, item: InquiryItem) -> PlaceOrder:
    """An order that restates the item."""
    restated = OrderItem(
        id=item.id, action=item.action, offering=item.offering, product=item.product, relations=item.relations, term=item.term
    )
    return PlaceOrder(
        quote_id=quote.id,
        acceptance_window_ms=ACCEPTANCE_WINDOW_MS,
        activation_window_ms=ACTIVATION_WINDOW_MS,
        items=(restated,),
    )


SCENARIO: Final = Scenario(play=play, stocks={ALPHA: Stock(pools=(Pool(place=PLACE, monthly="31.50"),))})
