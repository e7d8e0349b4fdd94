"""A seller without agents: a person quotes from a price book, accepts and activates, each by one transaction."""

from __future__ import annotations

from pathlib import Path

from node.pricebook import draft_quote, parse
from scripts.story.terms import QUOTE_VALIDITY_MS
from smartcontracts.delivery import ActivateOrder
from smartcontracts.kernel import Role
from smartcontracts.order import AcceptOrder
from smartcontracts.trade import QuoteLevel

PRICES = Path(__file__).with_name("data") / "alpha-prices.toml"


def price_book():
    """Ethernet lines and ports, by the hour."""
    return parse(PRICES.read_text(encoding="utf-8"))


async def quote(stage, seller, asked, agreement, book):
    """The quote that answers an inquiry from the book."""
    inquiry = await seller.see("inquiry", asked.id)
    feasibility = QuoteLevel.FIRM_SUBJECT_TO_FEASIBILITY_CHECK
    level = feasibility if inquiry.level == feasibility else QuoteLevel.FIRM
    valid_until_ms = stage.network.now_ms() + QUOTE_VALIDITY_MS
    draft = draft_quote(inquiry, agreement.terms, book, valid_until_ms, {}, level)
    return await seller.result(await seller.act(Role.S_BUS, "issue_quote", draft), "quote")


async def accept(_stage, seller, order):
    """The order, accepted."""
    await seller.see("order", order.id)
    done = await seller.act(Role.S_BUS, "accept_order", AcceptOrder(order_id=order.id))
    return await seller.see("order", order.id, done.receipt.height)


async def activate(_stage, seller, order):
    """The service, in operation."""
    done = await seller.act(Role.S_BUS, "activate_order", ActivateOrder(order_id=order.id))
    return await seller.result(done, "service")
