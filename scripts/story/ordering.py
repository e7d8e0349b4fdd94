"""Acts: an order with a changed value is refused, one left unanswered runs out everywhere at once, the right one is placed."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from node.sonata import SALT_BYTES
from scripts.story.files import Requests, order_of, with_one_value_changed
from scripts.story.goods import port
from scripts.story.market import Market
from scripts.story.providers import SPARE
from scripts.story.purchase import place, plain_order
from scripts.story.request import keep_withheld, order_context
from scripts.story.scene import ALPHA, BRAVO, Seat, Stage
from scripts.story.telling import StepFailed, plural, require
from scripts.story.terms import UNANSWERED_WINDOW_MS
from smartcontracts.agreement import Agreement
from smartcontracts.kernel import Role
from smartcontracts.order import TIMEOUT, Order, OrderStatus
from smartcontracts.quote import Quote, QuoteStatus

_LATE_S: Final = 10.0


async def order_changed(stage: Stage, buyer: Seat, agreement: Agreement, quoted: Quote, requests: Requests) -> None:
    """One figure differs from what was quoted: the ledger refuses, and the quote stays open."""
    changed, path = with_one_value_changed(requests.order)
    command = order_of(changed, order_context(agreement, quoted), secrets.token_bytes(SALT_BYTES)).command
    refused = await buyer.refusal(Role.B_BUS, "place_order", command)
    require(refused.receipt.name == "QUOTE_MISMATCH", "QUOTE_MISMATCH", refused.receipt.name)
    stage.refused(buyer, refused, f"orders with another {'.'.join(path.split('.')[-2:])}")
    still: Quote = await buyer.see("quote", quoted.id)
    require(still.status == QuoteStatus.ISSUED, "the quote to stay open", still.status)


async def order_right(stage: Stage, buyer: Seat, agreement: Agreement, quoted: Quote, requests: Requests) -> Order:
    """The request's own order; its personal parts stay in the buyer's node."""
    secret = secrets.token_bytes(SALT_BYTES)
    mapped = order_of(requests.order, order_context(agreement, quoted), secret)
    order = await place(stage, buyer, mapped.command, f"{plural(len(mapped.command.items), 'item')} as quoted")
    keep_withheld(stage, buyer, order.id, mapped, secret)
    return order


async def leave_unanswered(market: Market, silence: Callable[[], Awaitable[None]]) -> tuple[Order, str]:
    """An order of alpha that bravo does not answer; the order, and the event that it was placed with."""
    quoted = await market.quoted(ALPHA, BRAVO, await market.ask(ALPHA, BRAVO, (port(SPARE),)))
    await silence()
    buyer, _ = await market.between(ALPHA, BRAVO)
    done = await buyer.act(Role.B_BUS, "place_order", plain_order(quoted.id, UNANSWERED_WINDOW_MS))
    order: Order = await buyer.result(done, "order")
    text = f"a person orders it; nobody answers within {UNANSWERED_WINDOW_MS // 1000} s"
    market.stage.told(buyer, done, text, f"order/{order.id}")
    return order, done.receipt.event_ids[-1]


async def see_it_run_out(stage: Stage, seats: Sequence[Seat], order: Order, cursor: str) -> None:
    """Every node rejects it by itself, at the same height."""
    await stage.until(order.accept_by_ms)
    began = time.monotonic()
    heights = await asyncio.gather(*(_rejected_at(seat, order, cursor) for seat in seats))
    rows = []
    for seat, height in zip(seats, heights, strict=True):
        found: Order = await seat.see("order", order.id, height)
        require(
            (found.status, found.reason) == (OrderStatus.REJECTED, TIMEOUT), "rejected by time", (found.status, found.reason)
        )
        _, app_hash = await seat.ledger.app_hash(height)
        rows.append((seat.name, height, found.status.value, found.reason, app_hash.hex()[:16]))
    stage.teller.tell(
        "the window has ended: rejected by time, without a transaction, on every node",
        ledger=seats[0].ledger_name,
        height=heights[0],
        ms=int((time.monotonic() - began) * 1000),
    )
    stage.teller.table(("node", "height", "status", "reason", "app hash"), rows)
    require(len(set(heights)) == 1, "one height on every node", dict(zip((s.name for s in seats), heights, strict=True)))
    require(len({row[4] for row in rows}) == 1, "one app hash on every node", [row[4] for row in rows])
    stage.teller.note(
        "timeouts", {"ledger": seats[0].ledger_name, "order": order.id, "heights": {row[0]: row[1] for row in rows}}
    )


async def _rejected_at(seat: Seat, order: Order, cursor: str) -> int:
    async def first() -> int:
        async for event in seat.ledger.events(after=cursor, kinds=("order",)):
            if event.document_id == order.id and event.name == "order.rejected":
                return int(event.height)
        raise StepFailed(f"an event of order {order.id} at {seat.name}'s node", "the stream ended")

    try:
        return await asyncio.wait_for(first(), _LATE_S)
    except TimeoutError as late:
        raise StepFailed(
            f"{seat.name}'s node to reject order {order.id} by time",
            f"nothing {_LATE_S:.0f} s after its window",
            "a window closes within a second of its end: look at that node's log for ticks",
        ) from late
