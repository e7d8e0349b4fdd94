"""The main job from first to last: which act follows which, and what goes on at the same time.

People ask and order; agents answer, source, buy, deliver and sell. People again meter, bill, settle and publish.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from scripts.story.assurance import measure, publish
from scripts.story.billing import Sale, bill, meter, net, next_start_ms, period_end_ms, period_of, settle
from scripts.story.checks import see_chained, see_in_operation, see_orders_accepted
from scripts.story.files import Requests
from scripts.story.market import Market, Row
from scripts.story.ordering import leave_unanswered, order_changed, order_right, see_it_run_out
from scripts.story.request import ask, buy_small_service, require_views_apart, show_margins
from scripts.story.scene import ACME, ALPHA, ALPHA_BRAVO, BRAVO, OMNI, Seat, Stage
from scripts.story.telling import require
from scripts.story.terms import tier_terms
from smartcontracts.agreement import Agreement
from smartcontracts.inquiry import Inquiry
from smartcontracts.invoice import Invoice
from smartcontracts.kernel import Position
from smartcontracts.order import Order, OrderStatus
from smartcontracts.quote import Quote
from smartcontracts.service import Service

# After the start of a period, so that all ledgers are in it.
_AFTER_START_MS: Final = 200

Aside = Callable[[], Awaitable[None]]


async def nothing() -> None:
    """An aside that does not take place."""


async def nothing_about(_: Seat, __: str) -> None:
    """As `nothing`, for an aside about a document."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asides:
    """What other people do meanwhile: acts that need real processes. `silence` and `speak` are about bravo's agents."""

    silence: Aside = nothing
    while_waiting: Aside = nothing
    speak: Aside = nothing
    before_ordering: Aside = nothing
    after_ordering: Callable[[Seat, str], Awaitable[None]] = nothing_about
    while_metering: Aside = nothing


@dataclass(slots=True)
class Play:
    """The acts of trade, in order; each leaves here what the next ones need."""

    market: Market
    requests: Requests
    asides: Asides = field(default_factory=Asides)
    began_ms: int = 0
    invoices: list[Invoice] = field(default_factory=list)
    acme: Seat = field(init=False)
    alpha: Seat = field(init=False)
    bravo: Seat = field(init=False)

    @property
    def stage(self) -> Stage:
        """For telling."""
        return self.market.stage

    async def perform(self) -> None:
        """Everything that the traders do."""
        self.acme, self.alpha = await self.market.between(ACME, ALPHA)
        _, self.bravo = await self.market.between(ALPHA, BRAVO)
        scene = self.stage.teller.scene
        async with scene("Agreements on every ledger, and everybody's own rules"):
            await self.market.open(tier_terms)
        async with scene("bravo buys a small service from alpha"):
            small = await buy_small_service(self.market)
        self.began_ms = self.stage.network.now_ms()
        async with scene("acme asks once; agents decompose, ask on, rank and quote"):
            inquiry, quote = await self._quote()
        async with scene("Orders: changed, unanswered"):
            await order_changed(self.stage, self.acme, self._retail(), quote, self.requests)
            await self._run_out()
        async with scene("The right order: accepted by all or by nobody"):
            order = await self._order(quote)
        async with scene("Activated, chained and tested from end to end"):
            sales = await self._deliver(order, small)
        async with scene("One billing period"):
            number = await self._use(sales)
        async with scene("SLA records"):
            scores = [await measure(self.stage, sale) for sale in sales[:2]]
        async with scene("Invoices, acceptance, final by both"):
            self.invoices = [await bill(self.stage, sale, number[sale.seller.ledger_name]) for sale in sales]
        async with scene("Netting and payment"):
            await self._settle(sales)
        async with scene("Scores on omni"):
            for sale, (score, height) in zip(sales, scores, strict=False):
                if await self._is_member(sale.seller) and await self._is_member(sale.buyer):
                    await publish(self.stage, sale, score, height)
        require(inquiry.id == quote.inquiry_id, "a quote of that inquiry", quote.inquiry_id)

    def _retail(self) -> Agreement:
        return self.market.agreements[self.acme.ledger_name]

    async def _quote(self) -> tuple[Inquiry, Quote]:
        inquiry = await ask(self.stage, self.acme, self.alpha, self._retail(), self.requests)
        quote = await self.market.quoted(ACME, ALPHA, inquiry)
        rows = await self.market.show("inquiry", self.began_ms, "inquiries on all ledgers")
        await self.market.all_same(rows, "inquiry")
        await show_margins(self.market, inquiry, quote)
        await require_views_apart(self.stage, self.acme, self.bravo)
        return inquiry, quote

    async def _run_out(self) -> None:
        """An order that nobody answers, since bravo's agents are away: every node rejects it by itself."""
        unanswered, cursor = await leave_unanswered(self.market, self.asides.silence)
        await self.asides.while_waiting()
        nodes = [await self.market.seat(name, ALPHA_BRAVO) for name in self.stage.network.nodes_of(ALPHA_BRAVO)]
        await see_it_run_out(self.stage, nodes, unanswered, cursor)
        await self.asides.speak()

    async def _order(self, quote: Quote) -> Order:
        """At the start of a billing period, so that all of what follows is billed in one invoice."""
        agreements = tuple(self.market.agreements.values())
        self.stage.teller.tell("waits for the next billing period to begin", who=ACME)
        await self.stage.until(next_start_ms(agreements, self.stage.network.now_ms()) + _AFTER_START_MS)
        await self.asides.before_ordering()
        self.began_ms = self.stage.network.now_ms()
        order = await order_right(self.stage, self.acme, self._retail(), quote, self.requests)
        await self.market.ordered_until(ACME, ALPHA, order, OrderStatus.ACCEPTED, OrderStatus.ACTIVATED)
        await self.asides.after_ordering(self.acme, order.id)
        await see_orders_accepted(self.market, self.began_ms, tiers=2)
        return order

    async def _deliver(self, order: Order, small: Service) -> list[Sale]:
        """The services of all tiers, by who sells to whom: acme's first, then bravo's to alpha, then the small one."""
        await self.market.ordered_until(ACME, ALPHA, order, OrderStatus.ACTIVATED)
        rows = await see_in_operation(self.market, self.began_ms)
        await see_chained(self.market, ALPHA, order.id)
        for row in rows:
            self.stage.teller.note(
                "services",
                {"ledger": row.ledger, "id": row.document.id, "order": row.document.order_id, "seller": row.seller},
            )
        sales = [await self._sale(*pair, rows) for pair in dict.fromkeys((row.seller, row.buyer) for row in rows)]
        firsts = [(ALPHA, ACME), (BRAVO, ALPHA)]
        ordered = [sale for pair in firsts for sale in sales if (sale.seller.name, sale.buyer.name) == pair]
        require(len(ordered) == 2, "services of alpha and of bravo", [sale.seller.name for sale in sales])
        alpha, bravo = await self.market.between(ALPHA, BRAVO)
        reverse = Sale(alpha, bravo, self.market.agreements[alpha.ledger_name], (small,))
        return [*ordered, reverse, *(sale for sale in sales if sale not in ordered)]

    async def _sale(self, seller: str, buyer: str, rows: Sequence[Row]) -> Sale:
        buying, selling = await self.market.between(buyer, seller)
        services = tuple(row.document for row in rows if (row.seller, row.buyer) == (seller, buyer))
        return Sale(selling, buying, self.market.agreements[selling.ledger_name], services)

    async def _use(self, sales: Sequence[Sale]) -> dict[str, int]:
        """Meter all services until the period ends; others have time for something else. The period's number on each ledger."""
        activated_ms = sales[0].services[0].activated_at_ms
        numbers = {sale.seller.ledger_name: period_of(sale.agreement, activated_ms) for sale in sales}
        ends = [period_end_ms(sale.agreement, numbers[sale.seller.ledger_name]) for sale in sales]
        await asyncio.gather(meter(self.stage, sales, min(ends)), self.asides.while_metering())
        return numbers

    async def _settle(self, sales: Sequence[Sale]) -> None:
        """Net what alpha and bravo owe each other; everybody else pays."""
        netting = await net(self.stage, (sales[1], sales[2]), (self.invoices[1], self.invoices[2]))
        await settle(self.stage, (sales[1].seller, sales[1].buyer), netting)
        for sale, invoice in zip(sales, self.invoices, strict=True):
            if invoice.id not in netting.invoice_ids:
                await settle(self.stage, (sale.seller, sale.buyer), invoice)

    async def _is_member(self, seat: Seat) -> bool:
        """Who only observes omni publishes nothing there."""
        on_omni = await self.stage.seat(seat.name, OMNI)
        organization = await on_omni.see("organization", seat.id)
        return bool(organization.position == Position.MEMBER)
