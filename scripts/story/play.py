"""The story from first to last: which act follows which, and what goes on at the same time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

from scripts.story.agreements import conclude_all
from scripts.story.assurance import measure, publish
from scripts.story.billing import Sale, bill, meter, net, next_start_ms, period_end_ms, period_of, settle
from scripts.story.files import Requests
from scripts.story.ordering import (
    deliver,
    leave_unanswered,
    order_changed,
    order_right,
    order_upstream,
    see_it_run_out,
)
from scripts.story.purchase import accept
from scripts.story.request import Sourced, ask, buy_small_service, require_views_apart, resell, source
from scripts.story.scene import ACME, ACME_ALPHA, ALPHA, ALPHA_BRAVO, BRAVO, OMNI, Seat, Stage
from scripts.story.terms import WHOLESALE, price_book
from smartcontracts.agreement import Agreement
from smartcontracts.invoice import Invoice
from smartcontracts.kernel import Position
from smartcontracts.order import Order
from smartcontracts.service import Service

# After the start of a period, so that both ledgers are in it.
_AFTER_START_MS: Final = 200

Aside = Callable[[], Awaitable[None]]


async def nothing() -> None:
    """An aside that does not take place."""


async def nothing_about(_: Seat, __: str) -> None:
    """As `nothing`, for an aside about a document."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asides:
    """What other people do meanwhile: acts that need real processes."""

    while_waiting: Aside = nothing
    before_ordering: Aside = nothing
    after_ordering: Callable[[Seat, str], Awaitable[None]] = nothing_about
    while_metering: Aside = nothing


@dataclass(slots=True)
class Play:
    """The acts of trade, in order; each leaves here what the next ones need."""

    stage: Stage
    requests: Requests
    asides: Asides = field(default_factory=Asides)
    agreements: tuple[Agreement, Agreement] = field(init=False)
    periods: tuple[int, ...] = ()
    invoices: list[Invoice] = field(default_factory=list)
    acme: Seat = field(init=False)
    alpha_down: Seat = field(init=False)
    alpha_up: Seat = field(init=False)
    bravo: Seat = field(init=False)

    async def perform(self) -> None:
        """Everything that the parties do."""
        self.acme, self.alpha_down = await self._at(ACME, ACME_ALPHA), await self._at(ALPHA, ACME_ALPHA)
        self.alpha_up, self.bravo = await self._at(ALPHA, ALPHA_BRAVO), await self._at(BRAVO, ALPHA_BRAVO)
        scene = self.stage.teller.scene
        async with scene("Agreements"):
            await self._agree()
        async with scene("bravo buys a small service from alpha"):
            small = await buy_small_service(
                self.stage, self.bravo, self.alpha_up, self.agreements[1], price_book(ALPHA)
            )
        async with scene("acme asks, alpha sources and quotes"):
            sourced = await self._quote()
        async with scene("Orders: changed, unanswered, right"):
            accepted = await self._order(sourced)
        async with scene("Activation, and one billing period"):
            sales = await self._deliver(small, *accepted)
            await self._use(sales)
        async with scene("SLA records"):
            scores = [await measure(self.stage, sale) for sale in sales[:2]]
        async with scene("Invoices, acceptance, final by both"):
            self.invoices = await self._invoice(sales)
        async with scene("Netting and payment"):
            await self._settle(sales)
        async with scene("Scores on omni"):
            for sale, (score, height) in zip(sales, scores, strict=False):
                if await self._is_member(sale.seller) and await self._is_member(sale.buyer):
                    await publish(self.stage, sale, score, height)

    async def _at(self, organization: str, ledger: str) -> Seat:
        return await self.stage.seat(organization, ledger)

    async def _agree(self) -> None:
        retail, wholesale = await conclude_all(
            self.stage,
            [(self.alpha_down, self.acme, self.requests.agreement), (self.alpha_up, self.bravo, WHOLESALE)],
        )
        self.agreements = (retail, wholesale)

    async def _quote(self) -> Sourced:
        retail, wholesale = self.agreements
        book = price_book(ALPHA)
        inquiry = await ask(self.stage, self.acme, self.alpha_down, retail, self.requests)
        bought = await source(
            self.stage, self.alpha_down, self.alpha_up, self.bravo, inquiry, wholesale, price_book(BRAVO)
        )
        quoted = await resell(self.stage, self.alpha_down, inquiry, bought, retail, book)
        await require_views_apart(self.stage, self.acme, self.bravo)
        return Sourced(inquiry, bought, quoted)

    async def _order(self, sourced: Sourced) -> tuple[Order, list[Order]]:
        retail, wholesale = self.agreements
        await order_changed(self.stage, self.acme, retail, sourced.quote, self.requests)
        order = await order_right(self.stage, self.acme, retail, sourced.quote, self.requests)
        unanswered, cursor = await leave_unanswered(self.stage, self.alpha_up, sourced.bought[0])
        await self.asides.while_waiting()
        nodes = [await self._at(name, ALPHA_BRAVO) for name in self.stage.network.nodes_of(ALPHA_BRAVO)]
        await see_it_run_out(self.stage, nodes, unanswered, cursor)
        await self.asides.before_ordering()
        upstream = await order_upstream(
            self.stage, self.alpha_up, self.bravo, sourced.bought, wholesale, price_book(BRAVO)
        )
        await self.asides.after_ordering(self.bravo, upstream[0].id)
        return await accept(self.stage, self.alpha_down, order), upstream

    async def _deliver(self, small: Service, order: Order, upstream: list[Order]) -> tuple[Sale, Sale, Sale]:
        """Activate at the start of a billing period, so that all of it is billed in one invoice."""
        retail, wholesale = self.agreements
        start_ms = next_start_ms(self.agreements, self.stage.network.now_ms())
        self.stage.teller.tell("waits for the next billing period to begin", who=BRAVO)
        await self.stage.until(start_ms + _AFTER_START_MS)
        sold, supplied = await deliver(self.stage, self.alpha_down, self.bravo, order, upstream)
        return (
            Sale(self.alpha_down, self.acme, retail, (sold,)),
            Sale(self.bravo, self.alpha_up, wholesale, tuple(supplied)),
            Sale(self.alpha_up, self.bravo, wholesale, (small,)),
        )

    async def _use(self, sales: tuple[Sale, Sale, Sale]) -> None:
        """Meter all services until the period ends; others have time for something else."""
        activated_ms = sales[0].services[0].activated_at_ms
        self.periods = tuple(period_of(agreement, activated_ms) for agreement in self.agreements)
        ends = [period_end_ms(*pair) for pair in zip(self.agreements, self.periods, strict=True)]
        await asyncio.gather(meter(self.stage, sales, min(ends)), self.asides.while_metering())

    async def _invoice(self, sales: tuple[Sale, Sale, Sale]) -> list[Invoice]:
        """One after the other, so that each can be read."""
        periods = (self.periods[0], self.periods[1], self.periods[1])
        return [await bill(self.stage, sale, number) for sale, number in zip(sales, periods, strict=True)]

    async def _settle(self, sales: tuple[Sale, Sale, Sale]) -> None:
        netting = await net(self.stage, sales[1:], (self.invoices[1], self.invoices[2]))
        await settle(self.stage, (self.alpha_up, self.bravo), netting)
        await settle(self.stage, (self.acme, self.alpha_down), self.invoices[0])

    async def _is_member(self, seat: Seat) -> bool:
        """Who only observes omni publishes nothing there."""
        on_omni = await self.stage.seat(seat.name, OMNI)
        organization = await on_omni.see("organization", seat.id)
        return bool(organization.position == Position.MEMBER)
