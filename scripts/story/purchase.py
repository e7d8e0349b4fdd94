"""What a buyer's person does in a purchase: asks, and orders. Each is one signed transaction."""

from __future__ import annotations

from scripts.story.scene import Seat, Stage
from scripts.story.telling import plural, require
from scripts.story.terms import ACCEPTANCE_WINDOW_MS, ACTIVATION_WINDOW_MS
from smartcontracts.inquiry import Inquiry, SubmitInquiry
from smartcontracts.kernel import Role
from smartcontracts.order import Order, OrderStatus, PlaceOrder


async def inquire(stage: Stage, buyer: Seat, command: SubmitInquiry, what: str) -> Inquiry:
    """Ask; the contract's receipt is the inquiry."""
    done = await buyer.act(Role.B_BUS, "submit_inquiry", command)
    inquiry: Inquiry = await buyer.result(done, "inquiry")
    window_s = (inquiry.respond_by_ms - inquiry.received_at_ms) // 1000
    held = f", {plural(len(inquiry.withheld), 'group')} withheld" if inquiry.withheld else ""
    stage.told(buyer, done, f"asks for {what}{held}; {window_s} s to answer", f"inquiry/{inquiry.id}")
    return inquiry


async def place(stage: Stage, buyer: Seat, command: PlaceOrder, what: str) -> Order:
    """Order a quote."""
    done = await buyer.act(Role.B_BUS, "place_order", command)
    order: Order = await buyer.result(done, "order")
    require(order.status == OrderStatus.PLACED, "a placed order", order.status)
    window_s = (order.accept_by_ms - order.placed_at_ms) // 1000
    stage.told(buyer, done, f"orders {what}; to be accepted within {window_s} s", f"order/{order.id}")
    return order


def plain_order(quote_id: str, acceptance_window_ms: int = ACCEPTANCE_WINDOW_MS) -> PlaceOrder:
    """An order that restates nothing."""
    return PlaceOrder(
        quote_id=quote_id, acceptance_window_ms=acceptance_window_ms, activation_window_ms=ACTIVATION_WINDOW_MS
    )
