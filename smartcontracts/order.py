"""Order: a buyer orders exactly what was quoted; the seller accepts or rejects it while the acceptance window is open.

O-02, O-10 it names the quote, whose inquiry follows from it; O-03, O-04 it may restate the requirements and changes none;
O-05 a change needs a new quote; O-06, O-12 it is recorded at placement (X-68); O-08 what delivery needs may be added; O-11 the
quote is valid; O-24, O-29, O-30 one answer of two; O-31 silence is a rejection; O-32, X-22 the order names its acceptance and
activation windows; C-05, C-06 an order of a change says so; L-07, L-08 it is a retail or a wholesale transaction. Acceptance gives the service its id (X-61). What comes after is in
delivery.py and change.py, so this module has the whole lifecycle, and what happens when an order ends.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from smartcontracts.agreement import TradeKind, agreement_of, trade_kind
from smartcontracts.canonical_json import Json, dump, load, require_canonical, values_in
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
from smartcontracts.service import (
    FORMER_MAX,
    SERVICE,
    SERVICE_CHANGE,
    Service,
    ServiceChange,
    ServiceItem,
    ServiceStatus,
    accepted_change,
    closed_change,
    require_changeable,
    terminated,
    under_change,
)
from smartcontracts.trade import (
    HASH_BYTES,
    RELEASES_MAX,
    Action,
    Change,
    ChangeKind,
    ChangeMethod,
    InquiryItem,
    ItemRelation,
    NotTheBuyer,
    NotTheSeller,
    Outage,
    QuoteLevel,
    SaltedHash,
    Term,
    first_difference,
    require_impersonal,
    require_impersonal_text,
    require_reason,
    require_release,
    require_time,
    require_window,
    require_withheld,
    words,
)

ACCEPTANCE_WINDOW_ENDS: Final = "acceptance_window_ends"
ACTIVATION_WINDOW_ENDS: Final = "activation_window_ends"
ANSWER_WINDOW_ENDS: Final = "answer_window_ends"
# The contract's own reasons; a party's is a word in capitals.
TIMEOUT: Final = "timeout"
SERVICE_ENDED: Final = "service_ended"
DELIVERY_INFO_BYTES_MAX: Final = 4_096
DELIVERY_KEYS_MAX: Final = 64
SEARCHED_BYTES_MAX: Final = 65_536
SPARE_VALUES: Final = 100
WINDOW_CHANGES_MAX: Final = 64
_CONFIGURATION: Final = b'"productConfiguration":'
# The next member of a product, as its keys are sorted.
_AFTER_CONFIGURATION: Final = b',"productOffering":'


class OrderStatus(StrEnum):
    """Stored on the ledger: never rename a value."""

    PLACED = "placed"
    ACCEPTED = "accepted"
    REJECTED = "rejected"
    ACTIVATED = "activated"
    OVERDUE = "overdue"
    EXTENSION_REQUESTED = "extension_requested"
    FAILED = "failed"
    CANCELLED = "cancelled"


LIFECYCLE: Final = MappingProxyType(
    {
        (OrderStatus.PLACED, "accept"): OrderStatus.ACCEPTED,
        (OrderStatus.PLACED, "reject"): OrderStatus.REJECTED,
        (OrderStatus.PLACED, "acceptance_window_ends"): OrderStatus.REJECTED,
        (OrderStatus.PLACED, "cancel"): OrderStatus.CANCELLED,
        (OrderStatus.ACCEPTED, "activate"): OrderStatus.ACTIVATED,
        (OrderStatus.ACCEPTED, "activation_window_ends"): OrderStatus.OVERDUE,
        (OrderStatus.ACCEPTED, "request_extension"): OrderStatus.EXTENSION_REQUESTED,
        (OrderStatus.ACCEPTED, "extend"): OrderStatus.ACCEPTED,
        (OrderStatus.ACCEPTED, "fail"): OrderStatus.FAILED,
        (OrderStatus.ACCEPTED, "cancel"): OrderStatus.CANCELLED,
        (OrderStatus.OVERDUE, "request_extension"): OrderStatus.EXTENSION_REQUESTED,
        (OrderStatus.OVERDUE, "extend"): OrderStatus.ACCEPTED,
        (OrderStatus.OVERDUE, "fail"): OrderStatus.FAILED,
        (OrderStatus.OVERDUE, "cancel"): OrderStatus.CANCELLED,
        (OrderStatus.EXTENSION_REQUESTED, "extend"): OrderStatus.ACCEPTED,
        # Refused or unanswered: back to where the window alone would have it.
        (OrderStatus.EXTENSION_REQUESTED, "keep_window"): OrderStatus.ACCEPTED,
        (OrderStatus.EXTENSION_REQUESTED, "activation_window_ends"): OrderStatus.OVERDUE,
        (OrderStatus.EXTENSION_REQUESTED, "activate"): OrderStatus.ACTIVATED,
        (OrderStatus.EXTENSION_REQUESTED, "fail"): OrderStatus.FAILED,
        (OrderStatus.EXTENSION_REQUESTED, "cancel"): OrderStatus.CANCELLED,
        (OrderStatus.ACTIVATED, "cancel"): OrderStatus.CANCELLED,
    }
)
# Accepted and not at an end.
IN_DELIVERY: Final = (OrderStatus.ACCEPTED, OrderStatus.OVERDUE, OrderStatus.EXTENSION_REQUESTED)
# Ended without a service: another order may come in its place. Req: D-05.
GIVEN_UP: Final = (OrderStatus.REJECTED, OrderStatus.FAILED, OrderStatus.CANCELLED)
# What an order's end is called, what it is to the change that it was for, and what that is called.
_ENDS: Final = MappingProxyType(
    {
        "reject": ("order.rejected", "refuse", "service_change.refused"),
        "acceptance_window_ends": ("order.rejected", "refuse", "service_change.refused"),
        "fail": ("order.failed", "fail", "service_change.failed"),
        "cancel": ("order.cancelled", "cancel", "service_change.cancelled"),
    }
)


class ExtensionStatus(StrEnum):
    """What became of a request for an extension. Stored on the ledger: never rename a value."""

    OPEN = "open"
    GRANTED = "granted"
    REFUSED = "refused"
    UNANSWERED = "unanswered"
    MOOT = "moot"


class WindowCause(StrEnum):
    """Why an activation window was changed. Stored on the ledger: never rename a value. Req: D-43."""

    EXTENSION_GRANTED = "extension_granted"
    BUYER_EXTENDED = "buyer_extended"


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


class ChangeMismatch(Rejected):
    """The order does not say what its quote says about the change of a service (C-05)."""

    code = 3212
    grpc = Grpc.INVALID_ARGUMENT


class ChangePending(Rejected):
    """A change of the service is under way; there is at most one."""

    code = 3213


class ImplementAtInvalid(Rejected):
    """The time of implementation is past, later than the activation window allows, or not that of a change (C-10)."""

    code = 3214
    grpc = Grpc.INVALID_ARGUMENT


class DeliveryInfoInvalid(Rejected):
    """Delivery information is not a JSON object (O-08)."""

    code = 3215
    grpc = Grpc.INVALID_ARGUMENT


class DeliveryInfoPriced(Rejected):
    """Delivery information has a key that the quoted configuration has: it would change what was priced (O-08)."""

    code = 3216


class ReplacedOrderUnknown(Rejected):
    """The order to replace is not one of these two that was rejected, failed or was cancelled (D-05)."""

    code = 3217


class OrderEnded(Rejected):
    """The order has ended; nothing of it can be changed any more."""

    code = 3218


class ServiceChangedTooOften(Rejected):
    """The service has as many earlier prices as one document takes."""

    code = 3219


class OutageDoesNotFit(Rejected):
    """The outage that the quote asks for can't be over inside the activation window (C-08, C-10)."""

    code = 3220
    grpc = Grpc.INVALID_ARGUMENT


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
    # Canonical JSON.
    delivery_info: bytes = field(default=b"", metadata={"bytes_max": DELIVERY_INFO_BYTES_MAX})
    implement_at_ms: int = 0
    change: Change | None = None
    replaces: str = ""
    release: bytes = field(default=b"", metadata={"bytes_max": HASH_BYTES})


@dataclass(frozen=True, slots=True, kw_only=True)
class AcceptOrder:
    """The seller's answer "Accepted"."""

    order_id: str
    release: bytes = field(default=b"", metadata={"bytes_max": HASH_BYTES})


@dataclass(frozen=True, slots=True, kw_only=True)
class RejectOrder:
    """The seller's answer "Rejected"."""

    order_id: str
    reason: str
    release: bytes = field(default=b"", metadata={"bytes_max": HASH_BYTES})


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowChange:
    """One change of the activation window's end. Req: D-43."""

    old_ms: int
    new_ms: int
    cause: WindowCause
    at_ms: int
    penalty_waived: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ExtensionRequest:
    """The seller's last request for an extension; `answer_by_ms` is the last millisecond of the buyer's answer. Req: D-33."""

    activate_by_ms: int
    reason: str
    requested_at_ms: int
    answer_by_ms: int
    status: ExtensionStatus = ExtensionStatus.OPEN


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """An order, recorded at placement. `accept_by_ms` and `activate_by_ms` are the windows' last milliseconds.

    The activation window runs from the acceptance, so `activate_by_ms` is 0 until then. `ended_at_ms` is when it was
    rejected, activated, cancelled or failed; for a timeout that is the window's end, whenever the block came. A delay is
    counted from `delay_from_ms`. An order of a change has its service's id from the start. Req: O-06, O-12.
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
    releases: tuple[bytes, ...] = field(default=(), metadata={"bytes_max": HASH_BYTES, "list_max": RELEASES_MAX})
    delivery_info: bytes = b""
    implement_at_ms: int = 0
    change: Change | None = None
    change_id: str = ""
    replaces: str = ""
    original_activate_by_ms: int = 0
    delay_from_ms: int = 0
    window_changes: tuple[WindowChange, ...] = field(default=(), metadata={"list_max": WINDOW_CHANGES_MAX})
    extension: ExtensionRequest | None = None
    trade: TradeKind = TradeKind.WHOLESALE


def place_order(command: PlaceOrder, call: Call) -> Outcome:
    """Record an order of a valid quote, once, as it was quoted. Req: O-02..O-06, O-08, O-10..O-12, O-32, C-05, C-06, C-10.

    Rejects with the first of: QuoteUnknown, QuoteForeign, QuoteOrdered, QuoteSuperseded, QuoteExpired, QuoteNotOrderable,
    QuoteNotTaken, InquiryMismatch, ChangeMismatch, ServiceUnknown, ServiceTerminated, ChangePending, ServiceChangedTooOften,
    ReplacedOrderUnknown, WindowNotPositive, WindowTooShort, WindowTooLong, ImplementAtInvalid, OutageDoesNotFit, QuoteMismatch,
    ExpediteNotPriced, TimeOutOfRange, what is wrong with the JSON, DeliveryInfoInvalid, PersonalData, DeliveryInfoPriced,
    WithheldInvalid, PersonalData, ReleaseMissing, ReleaseInvalid.
    """
    quote = _require_orderable(command, call)
    service = _require_change(command, quote, call.view)
    _require_replaceable(command, quote, call.view)
    limits, now_ms = call.parameters, call.block.time_ms
    for name in ("acceptance_window_ms", "activation_window_ms"):
        require_window(getattr(command, name), limits.window_min_ms, limits.window_max_ms, name)
    _require_implement_at(command, now_ms)
    _require_room_for_outage(command, quote, now_ms)
    items = _ordered_items(command, quote, call.view)
    require_time(command.requested_completion_ms, "requested_completion_ms")
    _require_delivery_info(command, items)
    require_withheld(command.withheld)
    require_impersonal_text(command.buyer_reference, "buyer_reference")
    releases = require_release(command.release, call)
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
        service_id="" if service is None else service.id,
        buyer_reference=command.buyer_reference,
        requested_completion_ms=command.requested_completion_ms,
        withheld=command.withheld,
        releases=releases,
        delivery_info=command.delivery_info,
        implement_at_ms=command.implement_at_ms,
        change=command.change,
        change_id="" if service is None else call.new_id(SERVICE_CHANGE),
        replaces=command.replaces,
        trade=trade_kind(agreement_of(call.view, quote.agreement_id).terms, quote.buyer),
    )
    ordered = replace(quote, status=step(QUOTE_LIFECYCLE, quote.status, "order"), order_id=order.id)
    placed = Outcome(writes=(order, ordered), events=(Event("order.placed", order),))
    return placed if service is None else placed.then(_open_change(order, quote, service))


def accept_order(command: AcceptOrder, call: Call) -> Outcome:
    """The seller accepts: the service has its id, and the activation window runs from here. Req: O-24, O-30, X-22, X-61.

    Rejects with the first of: OrderUnknown, NotTheSeller, AcceptanceWindowOver, OrderEnded, OrderAnswered,
    ReleaseMissing, ReleaseInvalid, ReleasesFull.
    """
    order = _require_unanswered(command.order_id, call)
    releases = require_release(command.release, call, order.releases)
    now_ms = call.block.time_ms
    activate_by_ms = now_ms + order.activation_window_ms
    accepted = replace(
        order,
        status=step(LIFECYCLE, order.status, "accept"),
        accepted_at_ms=now_ms,
        activate_by_ms=activate_by_ms,
        original_activate_by_ms=activate_by_ms,
        delay_from_ms=activate_by_ms,
        service_id=order.service_id or call.new_id(SERVICE),
        releases=releases,
    )
    done = Outcome(writes=(accepted,), events=(Event("order.accepted", accepted),))
    change = change_of(accepted, call.view)
    if change is not None:
        change = accepted_change(change, now_ms)
        return done.then(Outcome(writes=(change,), events=(Event("service_change.accepted", change),)))
    service = _service(accepted, call)
    return done.then(Outcome(writes=(service,), events=(Event("service.ordered", service),)))


def reject_order(command: RejectOrder, call: Call) -> Outcome:
    """The seller rejects. Req: O-24, O-29.

    Rejects with the first of: OrderUnknown, NotTheSeller, AcceptanceWindowOver, OrderEnded, OrderAnswered,
    ReasonInvalid, ReleaseMissing, ReleaseInvalid, ReleasesFull.
    """
    order = _require_unanswered(command.order_id, call)
    require_reason(command.reason)
    order = replace(order, releases=require_release(command.release, call, order.releases))
    return end_order(order, "reject", command.reason, call.view, call.block.time_ms)


def time_out(order: Order, due: Due) -> Outcome:
    """A silent seller rejects the order, by itself, when the acceptance window has ended. Req: O-29, O-31, X-16."""
    return end_order(order, "acceptance_window_ends", TIMEOUT, due.view, due.due_ms)


def become_overdue(order: Order, _: Due) -> Outcome:
    """The activation window has ended: the seller gives up, or asks for an extension. Req: D-31, X-24."""
    overdue = replace(order, status=step(LIFECYCLE, order.status, "activation_window_ends"))
    return Outcome(writes=(overdue,), events=(Event("order.fell_overdue", overdue),))


def leave_unanswered(order: Order, due: Due) -> Outcome:
    """The buyer was silent about an extension: the window stays as it was. Req: D-31."""
    return without_extension(order, ExtensionStatus.UNANSWERED, due.due_ms)


def without_extension(order: Order, status: ExtensionStatus, time_ms: int) -> Outcome:
    """The order as its window alone has it: overdue once that has ended. `time_ms` is when the request came to nothing."""
    # A deadline takes effect right after its time.
    over = time_ms + (status == ExtensionStatus.UNANSWERED) > order.activate_by_ms
    event = "activation_window_ends" if over else "keep_window"
    kept = replace(order, status=step(LIFECYCLE, order.status, event), extension=_extension(order, status))
    silent = status == ExtensionStatus.UNANSWERED
    events = (Event("order.extension_unanswered" if silent else "order.extension_refused", kept),)
    return Outcome(writes=(kept,), events=(*events, Event("order.fell_overdue", kept)) if over else events)


def activated_order(order: Order, time_ms: int, releases: tuple[bytes, ...]) -> Order:
    """The order at its good end. Req: D-22."""
    return replace(
        order,
        status=step(LIFECYCLE, order.status, "activate"),
        ended_at_ms=time_ms,
        extension=_extension(order, ExtensionStatus.MOOT),
        releases=releases,
    )


def end_order(order: Order, event: str, reason: str, view: View, time_ms: int) -> Outcome:
    """The order ends without what was ordered, and with it its service, or the change that it was for.

    A change of the service that is under way then ends too, with its own order. Req: D-38, D-40, C-11, X-15, X-27.
    """
    ended = replace(
        order,
        status=step(LIFECYCLE, order.status, event),
        reason=reason,
        ended_at_ms=time_ms,
        extension=_extension(order, ExtensionStatus.MOOT),
    )
    order_event, change_step, change_event = _ENDS[event]
    done = Outcome(writes=(ended,), events=(Event(order_event, ended),))
    service = view.get(SERVICE, order.service_id) if order.service_id else None
    if service is None:
        return done
    change = change_of(order, view)
    if change is None:
        return done.then(end_service(service, view, time_ms))
    change = closed_change(change, change_step, reason, time_ms)
    return done.then(Outcome(writes=(change, under_change(service, "")), events=(Event(change_event, change),)))


def end_service(service: Service, view: View, time_ms: int) -> Outcome:
    """The service ends, and whatever was still to be done about it: a change under way, with its order. Req: X-27."""
    over = terminated(service, time_ms)
    done = Outcome(writes=(over,), events=(Event("service.terminated", over),))
    change = view.get(SERVICE_CHANGE, service.change_id) if service.change_id else None
    order = view.get(ORDER, change.order_id) if change is not None else None
    if change is None or order is None:
        return done
    change = closed_change(change, "cancel", SERVICE_ENDED, time_ms)
    ended = cancelled_with_service(order, time_ms)
    events = (Event("order.cancelled", ended), Event("service_change.cancelled", change))
    return done.then(Outcome(writes=(ended, change), events=events))


def cancelled_with_service(order: Order, time_ms: int) -> Order:
    """An order that has nothing to deliver any more, since its service has ended."""
    return replace(
        order,
        status=step(LIFECYCLE, order.status, "cancel"),
        reason=SERVICE_ENDED,
        ended_at_ms=time_ms,
        extension=_extension(order, ExtensionStatus.MOOT),
    )


def change_of(order: Order, view: View) -> ServiceChange | None:
    """The change that an order is for; None for an order of a new service."""
    return view.get(SERVICE_CHANGE, order.change_id) if order.change_id else None


def require_order(order_id: str, view: View) -> Order:
    """Rejects with OrderUnknown. Req: D-11."""
    order = view.get(ORDER, order_id)
    if order is None:
        raise OrderUnknown("There is no order with this id on this ledger.", "order_id")
    return order


def require_seller_order(order_id: str, call: Call) -> Order:
    """The order that the sender sells. Rejects with OrderUnknown, NotTheSeller. Req: D-11."""
    order = require_order(order_id, call.view)
    if call.sender.organization != order.seller:
        raise NotTheSeller("Only the order's seller answers and delivers it.", "signer")
    return order


def require_buyer_order(order_id: str, call: Call) -> Order:
    """The order that the sender placed. Rejects with OrderUnknown, NotTheBuyer. Req: D-11."""
    order = require_order(order_id, call.view)
    if call.sender.organization != order.buyer:
        raise NotTheBuyer("Only the order's buyer cancels it or changes its window.", "signer")
    return order


def service_prices(order: Order, view: View) -> tuple[tuple[ServiceItem, ...], ServiceItem | None]:
    """What the quote prices: the order's elements, and what is priced for all together, if it is bundled. Req: D-09."""
    quote = require_quote(order.quote_id, view)
    prices = {item.id: item.prices for item in quote.items}
    items = tuple(ServiceItem(id=item.id, offering=item.offering, prices=prices[item.id]) for item in order.items)
    return items, ServiceItem(id="", offering="", prices=quote.bundle) if quote.bundle else None


def _service(order: Order, call: Call) -> Service:
    items, bundle = service_prices(order, call.view)
    return Service(
        id=order.service_id,
        status=ServiceStatus.IN_DELIVERY,
        order_id=order.id,
        quote_id=order.quote_id,
        inquiry_id=order.inquiry_id,
        buyer=order.buyer,
        seller=order.seller,
        agreement_id=order.agreement_id,
        accepted_at_ms=order.accepted_at_ms,
        activated_at_ms=0,
        items=items,
        bundle=bundle,
    )


def _extension(order: Order, status: ExtensionStatus) -> ExtensionRequest | None:
    """The order's request for an extension; one that is open has this status now."""
    request = order.extension
    if request is None or request.status != ExtensionStatus.OPEN:
        return request
    return replace(request, status=status)


def _open_change(order: Order, quote: Quote, service: Service) -> Outcome:
    """The request on the ledger; a termination that says nothing about an outage needs none. Req: C-08, C-11."""
    answer, change = quote.change_answer, order.change
    opened = ServiceChange(
        id=order.change_id,
        order_id=order.id,
        service_id=service.id,
        buyer=order.buyer,
        seller=order.seller,
        agreement_id=order.agreement_id,
        kind=ChangeKind.OTHER if change is None else change.kind,
        outage=Outage.NO if answer is None else answer.outage,
        outage_ms=0 if answer is None else answer.outage_ms,
        method=ChangeMethod.RECONFIGURE if answer is None else answer.method,
        implement_at_ms=order.implement_at_ms,
        ordered_at_ms=order.placed_at_ms,
    )
    marked = under_change(service, opened.id)
    return Outcome(writes=(opened, marked), events=(Event("service_change.ordered", opened),))


def _require_unanswered(order_id: str, call: Call) -> Order:
    """Rejects alike before and after the window's deadline has run."""
    order = require_seller_order(order_id, call)
    waiting = order.status == OrderStatus.PLACED
    if order.reason == TIMEOUT or (waiting and call.block.time_ms > order.accept_by_ms):
        raise AcceptanceWindowOver(f"The order could be answered until {order.accept_by_ms}.", "order_id")
    if order.status == OrderStatus.CANCELLED and not order.accepted_at_ms:
        raise OrderEnded("The buyer has cancelled this order.", "order_id")
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


def _require_change(command: PlaceOrder, quote: Quote, view: View) -> Service | None:
    """The service that is to be changed, if the quote is for a change.

    Rejects with ChangeMismatch, ServiceUnknown, ServiceTerminated, ChangePending, ServiceChangedTooOften. Req: C-01, C-05, C-06.
    """
    change = require_inquiry(quote.inquiry_id, view).change
    if command.change != change:
        raise ChangeMismatch(
            "Say of the change what the quote's inquiry says, and nothing where it says nothing.", "change"
        )
    if change is None:
        return None
    service = require_changeable(change.service_id, quote.buyer, quote.seller, view)
    if service.change_id:
        raise ChangePending(
            "A change of this service is under way; wait for its end.",
            "change.service_id",
            existing_id=service.change_id,
        )
    if len(service.former) + len(service.items) + len(quote.items) > FORMER_MAX:
        raise ServiceChangedTooOften("This service has been changed too often; order a new one.", "change.service_id")
    return service


def _require_replaceable(command: PlaceOrder, quote: Quote, view: View) -> None:
    """Rejects with ReplacedOrderUnknown. Req: D-05."""
    if not command.replaces:
        return
    old = view.get(ORDER, command.replaces)
    if old is None or (old.buyer, old.seller) != (quote.buyer, quote.seller) or old.status not in GIVEN_UP:
        raise ReplacedOrderUnknown(
            "Name an order of yours to this seller that was rejected, has failed or was cancelled.", "replaces"
        )


def _require_implement_at(command: PlaceOrder, now_ms: int) -> None:
    """Rejects with ImplementAtInvalid. Req: C-10."""
    at_ms = command.implement_at_ms
    if not at_ms:
        return
    if command.change is None:
        raise ImplementAtInvalid("Only a change has a time of implementation.", "implement_at_ms")
    if at_ms <= now_ms:
        raise ImplementAtInvalid("This time is past; leave it out for a change as soon as it can be.", "implement_at_ms")
    # The window runs from the acceptance, so it ends this late at the earliest.
    if at_ms > now_ms + command.activation_window_ms:
        raise ImplementAtInvalid(
            "The activation window may end before this time; give a longer window, or order later.", "implement_at_ms"
        )


def _require_room_for_outage(command: PlaceOrder, quote: Quote, now_ms: int) -> None:
    """No seller could keep such an order, so it is not taken. Rejects with OutageDoesNotFit. Req: C-08, C-09, C-10."""
    outage_ms = 0 if quote.change_answer is None else quote.change_answer.outage_ms
    # It begins after it was agreed on.
    least_ms = max(command.implement_at_ms - now_ms, 1) + outage_ms
    if outage_ms and least_ms > command.activation_window_ms:
        raise OutageDoesNotFit(
            f"The service is interrupted for {outage_ms} ms; give an activation window of at least {least_ms} ms.",
            "activation_window_ms",
        )


def _require_delivery_info(command: PlaceOrder, items: tuple[OrderItem, ...]) -> None:
    """Rejects as `require_canonical`, with DeliveryInfoInvalid, PersonalData, DeliveryInfoPriced. Req: O-08."""
    if not command.delivery_info:
        return
    info = require_canonical(command.delivery_info, "delivery_info")
    if not isinstance(info, dict):
        raise DeliveryInfoInvalid("Give a JSON object.", "delivery_info")
    require_impersonal(info, "delivery_info")
    given = dict.fromkeys(keys_of(info))
    if len(given) > DELIVERY_KEYS_MAX:
        raise DeliveryInfoInvalid(f"At most {DELIVERY_KEYS_MAX} different keys are allowed.", "delivery_info")
    # A search through so much is paid for by the message's own size.
    if not command.items and sum(len(item.product) for item in items) > SEARCHED_BYTES_MAX:
        raise DeliveryInfoInvalid(f"What was quoted is over {SEARCHED_BYTES_MAX} bytes: restate the items.", "items")
    named = {dump(key) + b":": key for key in given}
    if not named:
        return
    # What is quoted may be long, and is not parsed again: in canonical JSON these bytes are that key, and nothing else.
    priced = re.compile(b"|".join(re.escape(member) for member in named), re.ASCII)
    for item in items:
        found = priced.search(_configuration(item.product))
        if found is not None:
            key = named[found.group()]
            raise DeliveryInfoPriced(
                f"The quote is for a configuration with {key}; a change of it needs a new quote.",
                f"delivery_info.{key}",
            )


def _configuration(product: bytes) -> bytes:
    """The part of a canonical product that holds its configuration; more only if its members are named like those of a product."""
    _, _, rest = product.partition(_CONFIGURATION)
    before, found, _ = rest.rpartition(_AFTER_CONFIGURATION)
    return before if found else rest


def keys_of(value: Json) -> list[str]:
    """The keys of all objects in `value`, at any depth."""
    found: list[str] = []
    waiting = [value]
    for one in waiting:  # grows while it is walked
        if isinstance(one, dict):
            found.extend(one)
            waiting.extend(one.values())
        elif isinstance(one, list):
            waiting.extend(one)
    return found


def _ordered_items(command: PlaceOrder, quote: Quote, view: View) -> tuple[OrderItem, ...]:
    """What was asked for and quoted, with the order's wishes. Rejects as `place_order` says. Req: O-03, O-04, O-06."""
    asked_items = require_inquiry(quote.inquiry_id, view).items
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
    if item.action != asked.action:
        return f"{path}.action"
    if item.offering != asked.offering:
        return f"{path}.offering"
    if item.product != asked.product:
        return _product_difference(item.product, asked.product, f"{path}.product")
    if _edges(item.relations) != _edges(asked.relations):
        return f"{path}.relations"
    if item.term != asked.term:
        return f"{path}.term"
    return ""


def _product_difference(restated: bytes, asked: bytes, path: str) -> str:
    """The path of the first difference of two products, or `path` where looking for it would cost more than was paid for.

    What is restated came with the message and was paid for by its size; what was asked for is only looked into if it has
    about as many values.
    """
    if values_in(asked) > 2 * values_in(restated) + SPARE_VALUES:
        return path
    return first_difference(load(restated, path), load(asked, path), path)


def _edges(relations: tuple[ItemRelation, ...]) -> list[tuple[str, str]]:
    return sorted((relation.item_id, relation.type) for relation in relations)


def _order_terms(order: Order) -> Terms:
    return Terms(
        status=order.status,
        party=words((order.buyer, order.seller)),
        offering=words(item.offering for item in order.items),
        service=words((order.service_id,)),
        related=words(
            (
                order.quote_id,
                order.inquiry_id,
                order.agreement_id,
                order.buyer_reference,
                order.change_id,
                order.replaces,
            )
        ),
    )


def _order_deadlines(order: Order) -> tuple[Deadline, ...]:
    if order.status == OrderStatus.PLACED:
        return (Deadline(order.accept_by_ms, ACCEPTANCE_WINDOW_ENDS),)
    if order.status == OrderStatus.ACCEPTED:
        return (Deadline(order.activate_by_ms, ACTIVATION_WINDOW_ENDS),)
    if order.status == OrderStatus.EXTENSION_REQUESTED and order.extension is not None:
        return (Deadline(order.extension.answer_by_ms, ANSWER_WINDOW_ENDS),)
    return ()


ORDER: Final = Kind(
    name="order",
    prefix="ord",
    record=Order,
    terms=_order_terms,
    deadlines=_order_deadlines,
    on_deadline=MappingProxyType(
        {
            ACCEPTANCE_WINDOW_ENDS: time_out,
            ACTIVATION_WINDOW_ENDS: become_overdue,
            ANSWER_WINDOW_ENDS: leave_unanswered,
        }
    ),
    lifecycle=LIFECYCLE,
    filters=("status", "party", "offering", "service", "related"),
)

CONTRACT: Final = Contract(
    name="order",
    kinds=(ORDER,),
    messages=(
        MessageType(
            name="place_order", command=PlaceOrder, handler=place_order, roles=(Role.B_BUS,), creates=ORDER, gas=900
        ),
        MessageType(
            name="accept_order",
            command=AcceptOrder,
            handler=accept_order,
            roles=(Role.S_BUS,),
            creates=SERVICE,
            gas=500,
        ),
        MessageType(name="reject_order", command=RejectOrder, handler=reject_order, roles=(Role.S_BUS,)),
    ),
)
