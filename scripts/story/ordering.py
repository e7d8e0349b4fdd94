"""Acts: an order with a changed value is refused, one left unanswered runs out everywhere at once, the right ones are delivered."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Sequence
from typing import Final

from node.pricebook import PriceBook
from node.sonata import SALT_BYTES
from scripts.story.files import Requests, order_of, with_one_value_changed
from scripts.story.purchase import accept, activate, place, plain_order
from scripts.story.request import Bought, ask_for_quote, keep_withheld, order_context
from scripts.story.scene import Seat, Stage
from scripts.story.telling import StepFailed, plural, require
from scripts.story.terms import UNANSWERED_WINDOW_MS
from smartcontracts.agreement import Agreement
from smartcontracts.kernel import Role
from smartcontracts.order import TIMEOUT, Order, OrderStatus
from smartcontracts.quote import Quote, QuoteStatus
from smartcontracts.service import Service

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


async def leave_unanswered(stage: Stage, buyer: Seat, bought: Bought) -> tuple[Order, str]:
    """An order that its seller does not answer; the order, and the event that it was placed with."""
    command = plain_order(bought.quote.id, UNANSWERED_WINDOW_MS)
    done = await buyer.act(Role.B_BUS, "place_order", command)
    order: Order = await buyer.result(done, "order")
    stage.told(buyer, done, f"orders {_items(bought)}; nobody answers within {UNANSWERED_WINDOW_MS // 1000} s", f"order/{order.id}")
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


async def order_upstream(
    stage: Stage, up: Seat, supplier: Seat, bought: tuple[Bought, ...], agreement: Agreement, book: PriceBook
) -> list[Order]:
    """Ask again for what ran out (a quote is ordered once), order everything, and the seller accepts."""
    again = await ask_for_quote(stage, up, supplier, bought[0].command, agreement, book)
    require(again.quote.one_time_total == bought[0].quote.one_time_total, "the same price again", again.quote.one_time_total)

    async def buy(one: Bought) -> Order:
        return await accept(stage, supplier, await place(stage, up, plain_order(one.quote.id), _items(one)))

    return list(await asyncio.gather(*(buy(one) for one in (again, *bought[1:]))))


async def deliver(
    stage: Stage, down: Seat, supplier: Seat, order: Order, upstream: Sequence[Order]
) -> tuple[Service, list[Service]]:
    """First what was bought, then what was sold."""
    supplied = list(await asyncio.gather(*(activate(stage, supplier, one) for one in upstream)))
    return await activate(stage, down, order), supplied


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


def _items(bought: Bought) -> str:
    return ", ".join(item.id for item in bought.command.items)


