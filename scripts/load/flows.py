"""Order flows as load: as many at once as there are clients, or begun at a steady rate, or one act after another with pauses."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final

from ledgers.receipts import Receipt
from scripts.load import trade
from scripts.load.figures import Sample
from scripts.load.traders import Trader, written

ACTS_A_FLOW: Final = 5
# At a steady rate above what the ledger can do, flows pile up; beyond this many the load has failed.
_FLOWS_OPEN_MAX: Final = 450
Act = Callable[[Trader, str, object], Awaitable[Receipt]]


class Overloaded(Exception):
    """Flows began faster than they ended until too many were open."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Market:
    """Who trades: the buyer's members, the seller's, and under what."""

    buyers: Sequence[Trader]
    sellers: Sequence[Trader]
    buyer_id: str
    seller_id: str
    agreement_id: str
    product: bytes

    def samples(self) -> list[Sample]:
        """What all of them saw, in the order of receipts."""
        found = [sample for trader in (*self.buyers, *self.sellers) for sample in trader.samples]
        return sorted(found, key=lambda sample: sample.received_at)


async def run_flow(market: Market, number: int, act: Act) -> None:
    """Inquiry, quote, order, acceptance, activation; members take turns by `number`. Raises FlowFailed."""
    buyer = market.buyers[number % len(market.buyers)]
    seller = market.sellers[number % len(market.sellers)]
    command = trade.inquiry(market.buyer_id, market.seller_id, market.agreement_id, market.product, f"bench-{number}")
    inquiry_id = written(await act(buyer, "submit_inquiry", command), "inquiry")
    now_ms = time.time_ns() // 1_000_000
    quote_id = written(await act(seller, "issue_quote", trade.quote(inquiry_id, now_ms)), "quote")
    order_id = written(await act(buyer, "place_order", trade.order(quote_id)), "order")
    await act(seller, "accept_order", trade.acceptance(order_id))
    await act(seller, "activate_order", trade.activation(order_id))


async def on_stream(trader: Trader, name: str, command: object) -> Receipt:
    """For load."""
    return await trader.act(name, command)


async def as_many_as(clients: int, market: Market, seconds: float) -> None:
    """`clients` flows at once, each followed by the next; those open at the end are finished."""
    end = time.monotonic() + seconds
    numbers = itertools.count()

    async def one() -> None:
        while time.monotonic() < end:
            await run_flow(market, next(numbers), on_stream)

    async with asyncio.TaskGroup() as group:
        for _ in range(clients):
            group.create_task(one())


async def at_rate(flows_a_second: float, market: Market, seconds: float) -> None:
    """Begin flows at a steady rate, whatever the answers take. Raises Overloaded."""
    began = time.monotonic()
    open_flows: set[asyncio.Task[None]] = set()
    async with asyncio.TaskGroup() as group:
        for number in range(max(1, int(flows_a_second * seconds))):
            await asyncio.sleep(max(0.0, began + number / flows_a_second - time.monotonic()))
            if len(open_flows) >= _FLOWS_OPEN_MAX:
                raise Overloaded(f"{len(open_flows)} flows open at {flows_a_second:.1f} flows a second")
            task = group.create_task(run_flow(market, number, on_stream))
            open_flows.add(task)
            task.add_done_callback(open_flows.discard)


async def one_by_one(market: Market, transactions: int, pause_s: float) -> None:
    """Single transactions on a ledger that does nothing else; a pause before each lets it come to rest."""

    async def act(trader: Trader, name: str, command: object) -> Receipt:
        await asyncio.sleep(pause_s)
        return await trader.act_singly(name, command)

    for number in range(max(1, transactions // ACTS_A_FLOW)):
        await run_flow(market, number, act)
