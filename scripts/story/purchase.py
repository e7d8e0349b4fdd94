"""The steps of one purchase, whoever buys: inquiry, quote, order, acceptance, activation. Each is one signed transaction."""

from __future__ import annotations

from collections.abc import Mapping

from node.pricebook import PriceBook, draft_quote
from scripts.story.scene import Seat, Stage
from scripts.story.telling import money, plural, require
from scripts.story.terms import ACCEPTANCE_WINDOW_MS, ACTIVATION_WINDOW_MS, QUOTE_VALIDITY_MS
from smartcontracts.agreement import Agreement
from smartcontracts.delivery import ActivateOrder
from smartcontracts.inquiry import Inquiry, InquiryStatus, SubmitInquiry
from smartcontracts.kernel import Role
from smartcontracts.order import AcceptOrder, Order, OrderStatus, PlaceOrder
from smartcontracts.quote import Quote, QuoteItem, QuoteStatus
from smartcontracts.service import Service
from smartcontracts.trade import QuoteLevel


async def inquire(stage: Stage, buyer: Seat, command: SubmitInquiry, what: str) -> Inquiry:
    """Ask; the contract's receipt is the inquiry."""
    done = await buyer.act(Role.B_BUS, "submit_inquiry", command)
    inquiry: Inquiry = await buyer.result(done, "inquiry")
    window_s = (inquiry.respond_by_ms - inquiry.received_at_ms) // 1000
    held = f", {plural(len(inquiry.withheld), 'group')} withheld" if inquiry.withheld else ""
    stage.told(buyer, done, f"asks for {what}{held}; {window_s} s to answer", f"inquiry/{inquiry.id}")
    return inquiry


async def quote(
    stage: Stage,
    seller: Seat,
    asked: Inquiry,
    agreement: Agreement,
    book: PriceBook,
    bought: Mapping[str, QuoteItem | None] | None = None,
) -> Quote:
    """Answer from the price book, and from what was bought with the mark-up."""
    inquiry: Inquiry = await seller.see("inquiry", asked.id)
    feasibility = QuoteLevel.FIRM_SUBJECT_TO_FEASIBILITY_CHECK
    level = feasibility if inquiry.level == feasibility else QuoteLevel.FIRM
    valid_until_ms = stage.network.now_ms() + QUOTE_VALIDITY_MS
    draft = draft_quote(inquiry, agreement.terms, book, valid_until_ms, bought or {}, level)
    done = await seller.act(Role.S_BUS, "issue_quote", draft)
    issued: Quote = await seller.result(done, "quote")
    require(issued.status == QuoteStatus.ISSUED and not issued.late, "a quote in its window", issued)
    answered: Inquiry = await seller.see("inquiry", asked.id, done.receipt.height)
    require(answered.status == InquiryStatus.QUOTED, "the inquiry to be answered", answered.status)
    text = f"quotes {plural(len(issued.items), 'item')}, {level.value}: once, and {money(issued.term_total)} over the term"
    stage.told(seller, done, text, f"quote/{issued.id}", issued.one_time_total)
    return issued


async def place(stage: Stage, buyer: Seat, command: PlaceOrder, what: str) -> Order:
    """Order a quote."""
    done = await buyer.act(Role.B_BUS, "place_order", command)
    order: Order = await buyer.result(done, "order")
    require(order.status == OrderStatus.PLACED, "a placed order", order.status)
    window_s = (order.accept_by_ms - order.placed_at_ms) // 1000
    stage.told(buyer, done, f"orders {what}; to be accepted within {window_s} s", f"order/{order.id}")
    return order


async def accept(stage: Stage, seller: Seat, order: Order) -> Order:
    """The seller's yes."""
    await seller.see("order", order.id)
    done = await seller.act(Role.S_BUS, "accept_order", AcceptOrder(order_id=order.id))
    accepted: Order = await seller.see("order", order.id, done.receipt.height)
    require(accepted.status == OrderStatus.ACCEPTED, "an accepted order", accepted.status)
    stage.told(seller, done, "accepts the order", f"order/{order.id}")
    return accepted


async def activate(stage: Stage, seller: Seat, order: Order) -> Service:
    """The service is there; billing starts."""
    done = await seller.act(Role.S_BUS, "activate_order", ActivateOrder(order_id=order.id))
    service: Service = await seller.result(done, "service")
    stage.told(seller, done, f"activates it: service {service.id[:12]} is in operation", f"service/{service.id}")
    stage.teller.note(
        "services",
        {"ledger": seller.ledger_name, "id": service.id, "order": order.id, "seller": seller.name, "height": done.receipt.height},
    )
    return service


def plain_order(quote_id: str, acceptance_window_ms: int = ACCEPTANCE_WINDOW_MS) -> PlaceOrder:
    """An order that restates nothing."""
    return PlaceOrder(
        quote_id=quote_id, acceptance_window_ms=acceptance_window_ms, activation_window_ms=ACTIVATION_WINDOW_MS
    )
