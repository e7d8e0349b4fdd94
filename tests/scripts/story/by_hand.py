"""A seller without agents: a person quotes from a price book, accepts and activates, each by one transaction."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from node.pricebook import prices, read_entry
from scripts.story.terms import QUOTE_VALIDITY_MS
from smartcontracts.canonical_json import load
from smartcontracts.delivery import ActivateOrder
from smartcontracts.kernel import Role
from smartcontracts.order import AcceptOrder
from smartcontracts.pricing import rule_for, with_discount
from smartcontracts.quote import IssueQuote, QuoteItem, totals
from smartcontracts.trade import QuoteLevel

PRICES = Path(__file__).with_name("data") / "alpha-prices.toml"


@dataclass(frozen=True)
class Book:
    """What a person looks prices up in: by offering id, else by the configuration's @type, else the default."""

    tables: dict[str, Any]

    def prices_of(self, item):
        """List prices of an item."""
        product = load(item.product, "product")
        kind = product["productConfiguration"].get("@type")
        by_offering, by_type = self.tables.get("offering", {}), self.tables.get("type", {})
        entry = by_offering.get(item.offering) or by_type.get(kind) or self.tables["default"]
        return prices(read_entry(entry, "entry"), self.tables["currency"], product)


def price_book():
    """Ethernet lines and ports, by the hour."""
    return Book(tomllib.loads(PRICES.read_text(encoding="utf-8")))


def draft_quote(inquiry, terms, book, valid_until_ms, level=QuoteLevel.FIRM):
    """The command that answers an inquiry, with the agreement's discounts and the totals that the contract will compute."""
    items = tuple(
        QuoteItem(
            id=item.id,
            prices=tuple(
                with_discount(price, rule_for(price, (item,), terms, inquiry.seller, len(inquiry.items)))
                for price in book.prices_of(item)
            ),
            installation_interval_ms=book.tables["installation_interval_ms"],
            subject_to_feasibility=level == QuoteLevel.FIRM_SUBJECT_TO_FEASIBILITY_CHECK,
        )
        for item in inquiry.items
    )
    one_time, over_term = totals(items, inquiry, terms.currency, terms.rounding)
    return IssueQuote(
        inquiry_id=inquiry.id,
        level=level,
        valid_until_ms=valid_until_ms,
        items=items,
        one_time_total=one_time,
        term_total=over_term,
    )


async def quote(stage, seller, asked, agreement, book):
    """The quote that answers an inquiry from the book."""
    inquiry = await seller.see("inquiry", asked.id)
    feasibility = QuoteLevel.FIRM_SUBJECT_TO_FEASIBILITY_CHECK
    level = feasibility if inquiry.level == feasibility else QuoteLevel.FIRM
    valid_until_ms = stage.network.now_ms() + QUOTE_VALIDITY_MS
    draft = draft_quote(inquiry, agreement.terms, book, valid_until_ms, level)
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
