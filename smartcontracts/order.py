"""Order: a buyer orders exactly what was quoted; the seller accepts or rejects it while the acceptance window is open.

O-02, O-10 it names the quote, whose inquiry follows from it; O-03, O-04 it may restate the requirements and changes none;
O-05 a change needs a new quote; O-06, O-12 it is recorded at placement (X-68); O-11 the quote is valid; O-24, O-29, O-30 one
answer of two; O-31 silence is a rejection; O-32, X-22 the order names its acceptance and activation windows. Its delivery is
in delivery.py, so this module has the whole lifecycle.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from smartcontracts.canonical_json import load
from smartcontracts.inquiry import require_inquiry
from smartcontracts.kernel import (
    Call,
    Contract,
    Deadline,
    Due,
    Event,
    Grpc,
    Kind,
    MessageType,
    Outcome,
    Rejected,
    Role,
    Terms,
    View,
    step,
)
from smartcontracts.quote import LIFECYCLE as QUOTE_LIFECYCLE
from smartcontracts.quote import Quote, QuoteStatus, require_quote, require_valid
from smartcontracts.trade import (
    Action,
    ActionNotSupported,
    InquiryItem,
    ItemRelation,
    NotTheSeller,
    QuoteLevel,
    SaltedHash,
    Term,
    first_difference,
    require_impersonal_text,
    require_reason,
    require_time,
    require_window,
    require_withheld,
    words,
)

ACCEPTANCE_WINDOW_ENDS: Final = "acceptance_window_ends"
ACTIVATION_WINDOW_ENDS: Final = "activation_window_ends"
# The contract's own reason; a seller's is a word in capitals.
TIMEOUT: Final = "timeout"


class OrderStatus(StrEnum):
    """Stored on the ledger: never rename a value."""

    PLACED = "placed"
    ACCEPTED = "accepted"
    REJECTED = "rejected"
    ACTIVATED = "activated"
    OVERDUE = "overdue"
    FAILED = "failed"


LIFECYCLE: Final = MappingProxyType(
    {
        (OrderStatus.PLACED, "accept"): OrderStatus.ACCEPTED,
        (OrderStatus.PLACED, "reject"): OrderStatus.REJECTED,
        (OrderStatus.PLACED, "acceptance_window_ends"): OrderStatus.REJECTED,
        (OrderStatus.ACCEPTED, "activate"): OrderStatus.ACTIVATED,
        (OrderStatus.ACCEPTED, "activation_window_ends"): OrderStatus.OVERDUE,
        (OrderStatus.ACCEPTED, "fail"): OrderStatus.FAILED,
        (OrderStatus.OVERDUE, "fail"): OrderStatus.FAILED,
    }
)


class QuoteForeign(Rejected):
    """The quote was given to another buyer (O-02)."""

    code = 3201
    grpc = Grpc.PERMISSION_DENIED


class QuoteOrdered(Rejected):
    """The quote was ordered before; it can be, once."""

    code = 3202


class QuoteSuperseded(Rejected):
    """A newer quote took this one's place (O-05, O-11)."""

    code = 3203


class QuoteNotOrderable(Rejected):
    """The quote is budgetary: an estimate, which nobody is bound by."""

    code = 3204


class QuoteNotTaken(Rejected):
    """The quote came late, and the buyer has not taken it (Q-32)."""

    code = 3205


class InquiryMismatch(Rejected):
    """The order names another inquiry than its quote's (O-10, X-12)."""

    code = 3206
    grpc = Grpc.INVALID_ARGUMENT


class QuoteMismatch(Rejected):
    """A restated requirement is not the quoted one; `field` is the first difference (O-04)."""

    code = 3207


class ExpediteNotPriced(Rejected):
    """The order asks for an expedite that the quote has no price for."""

    code = 3208


class OrderUnknown(Rejected):
    """There is no such order."""

    code = 3209
    grpc = Grpc.NOT_FOUND


class AcceptanceWindowOver(Rejected):
    """The acceptance window has ended, which rejected the order; an answer after it is none (O-30, O-31, X-16)."""

    code = 3210


class OrderAnswered(Rejected):
    """The seller has accepted or rejected the order already (O-24)."""

    code = 3211


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderItem:
    """A requirement as ordered; what is restated must equal the inquiry's item of the same id. Req: O-03, O-04."""

    id: str
    action: Action
    offering: str
    product: bytes
    relations: tuple[ItemRelation, ...] = ()
    term: Term | None = None
    expedite: bool = False
    requested_completion_ms: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderInstance:
    """One delivery of an item; `item_id` is the service element's id. Req: O-06, D-09."""

    item_id: str
    number: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaceOrder:
    """Order a quote. No items restate nothing; else all of them are given."""

    quote_id: str
    acceptance_window_ms: int
    activation_window_ms: int
    items: tuple[OrderItem, ...] = ()
    buyer_reference: str = ""
    requested_completion_ms: int = 0
    withheld: tuple[SaltedHash, ...] = ()
    inquiry_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class AcceptOrder:
    """The seller's answer "Accepted"."""

    order_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RejectOrder:
    """The seller's answer "Rejected"."""

    order_id: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """An order, recorded at placement. `accept_by_ms` and `activate_by_ms` are the windows' last milliseconds.

    The activation window runs from the acceptance, so `activate_by_ms` is 0 until then. `ended_at_ms` is when it was
    rejected, activated or failed; for a timeout that is the window's end, whenever the block came. Req: O-06, O-12.
    """

    id: str
    status: OrderStatus = OrderStatus.PLACED
    quote_id: str
    inquiry_id: str
    buyer: str
    seller: str
    agreement_id: str
    placed_at_ms: int
    accept_by_ms: int
    activation_window_ms: int
    accepted_at_ms: int = 0
    activate_by_ms: int = 0
    items: tuple[OrderItem, ...]
    instances: tuple[OrderInstance, ...]
    service_id: str = ""
    reason: str = ""
    ended_at_ms: int = 0
    buyer_reference: str = ""
    requested_completion_ms: int = 0
    withheld: tuple[SaltedHash, ...] = ()


def place_order(command: PlaceOrder, call: Call) -> Outcome:
    """Record an order of a valid quote, once, as it was quoted. Req: O-02..O-06, O-10..O-12, O-32.

    Rejects with the first of: QuoteUnknown, QuoteForeign, QuoteOrdered, QuoteSuperseded, QuoteExpired, QuoteNotOrderable,
    QuoteNotTaken, InquiryMismatch, WindowNotPositive, WindowTooShort, WindowTooLong, ActionNotSupported, QuoteMismatch,
    ExpediteNotPriced, TimeOutOfRange, WithheldInvalid, PersonalData.
    """
    quote = _require_orderable(command, call)
    limits, now_ms = call.parameters, call.block.time_ms
    for name in ("acceptance_window_ms", "activation_window_ms"):
        require_window(getattr(command, name), limits.window_min_ms, limits.window_max_ms, name)
    items = _ordered_items(command, quote, call.view)
    require_time(command.requested_completion_ms, "requested_completion_ms")
    require_withheld(command.withheld)
    require_impersonal_text(command.buyer_reference, "buyer_reference")
    order = Order(
        id=call.new_id(ORDER),
        quote_id=quote.id,
        inquiry_id=quote.inquiry_id,
        buyer=quote.buyer,
        seller=quote.seller,
        agreement_id=quote.agreement_id,
        placed_at_ms=now_ms,
        accept_by_ms=now_ms + command.acceptance_window_ms,
        activation_window_ms=command.activation_window_ms,
        items=items,
        instances=tuple(OrderInstance(item_id=item.id, number=1) for item in items),
        buyer_reference=command.buyer_reference,
        requested_completion_ms=command.requested_completion_ms,
        withheld=command.withheld,
    )
    ordered = replace(quote, status=step(QUOTE_LIFECYCLE, quote.status, "order"), order_id=order.id)
    return Outcome(writes=(order, ordered), events=(Event("order.placed", order),))


def accept_order(command: AcceptOrder, call: Call) -> Outcome:
    """The seller accepts; the activation window runs from here. Req: O-24, O-30.

    Rejects with the first of: OrderUnknown, NotTheSeller, AcceptanceWindowOver, OrderAnswered.
    """
    order = _require_unanswered(command.order_id, call)
    accepted = replace(
        order,
        status=step(LIFECYCLE, order.status, "accept"),
        accepted_at_ms=call.block.time_ms,
        activate_by_ms=call.block.time_ms + order.activation_window_ms,
    )
    return Outcome(writes=(accepted,), events=(Event("order.accepted", accepted),))


def reject_order(command: RejectOrder, call: Call) -> Outcome:
    """The seller rejects. Req: O-24, O-29.

    Rejects with the first of: OrderUnknown, NotTheSeller, AcceptanceWindowOver, OrderAnswered, ReasonInvalid.
    """
    order = _require_unanswered(command.order_id, call)
    require_reason(command.reason)
    rejected = replace(
        order,
        status=step(LIFECYCLE, order.status, "reject"),
        reason=command.reason,
        ended_at_ms=call.block.time_ms,
    )
    return Outcome(writes=(rejected,), events=(Event("order.rejected", rejected),))


def time_out(order: Order, due: Due) -> Outcome:
    """A silent seller rejects the order, by itself, when the acceptance window has ended. Req: O-29, O-31, X-16."""
    rejected = replace(
        order,
        status=step(LIFECYCLE, order.status, "acceptance_window_ends"),
        reason=TIMEOUT,
        ended_at_ms=due.due_ms,
    )
    return Outcome(writes=(rejected,), events=(Event("order.rejected", rejected),))


def become_overdue(order: Order, _: Due) -> Outcome:
    """The activation window has ended; the order waits for the seller's "Order Failed". Req: D-32, X-24."""
    overdue = replace(order, status=step(LIFECYCLE, order.status, "activation_window_ends"))
    return Outcome(writes=(overdue,), events=(Event("order.fell_overdue", overdue),))


def require_seller_order(order_id: str, call: Call) -> Order:
    """The order that the sender sells. Rejects with OrderUnknown, NotTheSeller. Req: D-11."""
    order = call.view.get(ORDER, order_id)
    if order is None:
        raise OrderUnknown("There is no order with this id on this ledger.", "order_id")
    if call.sender.organization != order.seller:
        raise NotTheSeller("Only the order's seller answers and delivers it.", "signer")
    return order


def _require_unanswered(order_id: str, call: Call) -> Order:
    """Rejects alike before and after the window's deadline has run."""
    order = require_seller_order(order_id, call)
    waiting = order.status == OrderStatus.PLACED
    if order.reason == TIMEOUT or (waiting and call.block.time_ms > order.accept_by_ms):
        raise AcceptanceWindowOver(f"The order could be answered until {order.accept_by_ms}.", "order_id")
    if not waiting:
        raise OrderAnswered("This order has its answer; there is exactly one.", "order_id")
    return order


def _require_orderable(command: PlaceOrder, call: Call) -> Quote:
    quote = require_quote(command.quote_id, call.view)
    if call.sender.organization != quote.buyer:
        raise QuoteForeign("This quote was given to another buyer.", "quote_id")
    if quote.status == QuoteStatus.ORDERED:
        raise QuoteOrdered("This quote was ordered before.", "quote_id", existing_id=quote.order_id)
    if quote.status == QuoteStatus.SUPERSEDED:
        raise QuoteSuperseded("A newer quote took the place of this one.", "quote_id")
    require_valid(quote, call.block.time_ms)
    if quote.level == QuoteLevel.BUDGETARY:
        raise QuoteNotOrderable("A budgetary quote is an estimate; ask for a firm one.", "quote_id")
    if quote.late and not quote.taken:
        raise QuoteNotTaken("This quote came late; take it first.", "quote_id")
    if command.inquiry_id and command.inquiry_id != quote.inquiry_id:
        raise InquiryMismatch(f"The quote answers the inquiry {quote.inquiry_id}.", "inquiry_id")
    return quote


def _ordered_items(command: PlaceOrder, quote: Quote, view: View) -> tuple[OrderItem, ...]:
    """What was asked for and quoted, with the order's wishes. Rejects as `place_order` says. Req: O-03, O-04, O-06."""
    asked_items = require_inquiry(quote.inquiry_id, view).items
    for place, item in enumerate(command.items):
        if item.action != Action.ADD:
            raise ActionNotSupported("Only new services can be ordered yet.", f"items[{place}].action")
    _require_same(command.items, asked_items)
    quoted = {item.id: item for item in quote.items}
    for place, item in enumerate(command.items):
        if item.expedite and not quoted[item.id].expedite:
            raise ExpediteNotPriced("The quote has no price for an expedite.", f"items[{place}].expedite")
        require_time(item.requested_completion_ms, f"items[{place}].requested_completion_ms")
    wishes = {item.id: item for item in command.items}
    return tuple(_order_item(asked, wishes.get(asked.id)) for asked in asked_items)


def _order_item(asked: InquiryItem, wish: OrderItem | None) -> OrderItem:
    return OrderItem(
        id=asked.id,
        action=asked.action,
        offering=asked.offering,
        product=asked.product,
        relations=asked.relations,
        term=asked.term,
        expedite=wish is not None and wish.expedite,
        requested_completion_ms=0 if wish is None else wish.requested_completion_ms,
    )


def _require_same(restated: tuple[OrderItem, ...], asked_items: tuple[InquiryItem, ...]) -> None:
    """Rejects with QuoteMismatch, naming the first difference: of the restated items in their order, then a missing one."""
    if not restated:
        return
    asked = {item.id: item for item in asked_items}
    seen: dict[str, None] = {}
    for place, item in enumerate(restated):
        path = f"items[{place}]"
        if item.id in seen or item.id not in asked:
            raise QuoteMismatch("The quote has no such item, or the order has it twice.", f"{path}.id")
        seen[item.id] = None
        field = _difference(item, asked[item.id], path)
        if field:
            raise QuoteMismatch("This differs from what was quoted; a change needs a new quote.", field)
    if len(seen) < len(asked):
        missing = ", ".join(item_id for item_id in asked if item_id not in seen)
        raise QuoteMismatch(f"Restate all items or none; missing: {missing}.", "items")


def _difference(item: OrderItem, asked: InquiryItem, path: str) -> str:
    """The path of the first difference, or "". The order of an item's relations says nothing."""
    if item.offering != asked.offering:
        return f"{path}.offering"
    if item.product != asked.product:
        return first_difference(
            load(item.product, f"{path}.product"), load(asked.product, f"{path}.product"), f"{path}.product"
        )
    if _edges(item.relations) != _edges(asked.relations):
        return f"{path}.relations"
    if item.term != asked.term:
        return f"{path}.term"
    return ""


def _edges(relations: tuple[ItemRelation, ...]) -> list[tuple[str, str]]:
    return sorted((relation.item_id, relation.type) for relation in relations)


def _order_terms(order: Order) -> Terms:
    return Terms(
        status=order.status,
        party=words((order.buyer, order.seller)),
        offering=words(item.offering for item in order.items),
        service=words((order.service_id,)),
        related=words((order.quote_id, order.inquiry_id, order.agreement_id, order.buyer_reference)),
    )


def _order_deadlines(order: Order) -> tuple[Deadline, ...]:
    if order.status == OrderStatus.PLACED:
        return (Deadline(order.accept_by_ms, ACCEPTANCE_WINDOW_ENDS),)
    if order.status == OrderStatus.ACCEPTED:
        return (Deadline(order.activate_by_ms, ACTIVATION_WINDOW_ENDS),)
    return ()


ORDER: Final = Kind(
    name="order",
    prefix="ord",
    record=Order,
    terms=_order_terms,
    deadlines=_order_deadlines,
    on_deadline=MappingProxyType({ACCEPTANCE_WINDOW_ENDS: time_out, ACTIVATION_WINDOW_ENDS: become_overdue}),
    lifecycle=LIFECYCLE,
    filters=("status", "party", "offering", "service", "related"),
)

CONTRACT: Final = Contract(
    name="order",
    kinds=(ORDER,),
    messages=(
        MessageType(
            name="place_order", command=PlaceOrder, handler=place_order, roles=(Role.B_BUS,), creates=ORDER, gas=600
        ),
        MessageType(name="accept_order", command=AcceptOrder, handler=accept_order, roles=(Role.S_BUS,)),
        MessageType(name="reject_order", command=RejectOrder, handler=reject_order, roles=(Role.S_BUS,)),
    ),
)
