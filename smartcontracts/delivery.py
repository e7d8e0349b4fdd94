"""Delivery: the seller activates an accepted order inside its activation window, which starts its service; or it fails.

D-01 only accepted orders are delivered; D-22, D-23 the activation is recorded with order id, service id and time, and starts
billing; D-31, X-24 after the window the order is overdue: the seller gives up ("Order Failed", D-32) or asks for more time (D-33),
and the buyer grants it (D-41) or not, gives some unasked, or ends the order ("Order Cancelled", D-40, X-27); D-43 every change
of the window is recorded; D-04 a delay has its price; D-09, D-10, D-11 element, service and order ids stand on every message and
document of the kind.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Final

from smartcontracts.agreement import agreement_of
from smartcontracts.charge import CHARGE, charge_cancellation, charge_delay
from smartcontracts.kernel import (
    Call,
    Contract,
    Event,
    Grpc,
    MessageType,
    Outcome,
    Rejected,
    Role,
    step,
)
from smartcontracts.order import (
    IN_DELIVERY,
    WINDOW_CHANGES_MAX,
    ExtensionRequest,
    ExtensionStatus,
    Order,
    OrderEnded,
    OrderStatus,
    WindowCause,
    WindowChange,
    activated_order,
    change_of,
    end_order,
    require_buyer_order,
    require_seller_order,
    without_extension,
)
from smartcontracts.order import LIFECYCLE as ORDER_LIFECYCLE
from smartcontracts.service import SERVICE, ChangeStarted, ChangeStatus, ServiceStatus, activated, require_service
from smartcontracts.trade import (
    HASH_BYTES,
    TIME_MS_MAX,
    WindowTooLong,
    require_reason,
    require_release,
)


class OrderNotAccepted(Rejected):
    """The order is not accepted, or was rejected (D-01)."""

    code = 3301


class OrderActivated(Rejected):
    """The order was activated before."""

    code = 3302


class OrderFailed(Rejected):
    """The order has failed, which is final."""

    code = 3303


class OrderOverdue(Rejected):
    """The activation window has ended: the seller gives up, or asks for more time (X-24)."""

    code = 3304


class ExtensionNotLater(Rejected):
    """The new end of the activation window is not later than the present one, or not in the future (D-33)."""

    code = 3305
    grpc = Grpc.INVALID_ARGUMENT


class ExtensionOpen(Rejected):
    """A request for an extension waits for its answer; there is one at a time."""

    code = 3306


class ExtensionNotRequested(Rejected):
    """There is no request for an extension to answer."""

    code = 3307


class ExtensionAnswered(Rejected):
    """The buyer has refused to extend this window, or has let the request pass (D-31)."""

    code = 3308


class ExtensionAnswerLate(Rejected):
    """The time to answer the request is over, which was an answer."""

    code = 3309


class ElementForeign(Rejected):
    """An element is named that the order does not have, or one is named twice (D-09)."""

    code = 3310
    grpc = Grpc.INVALID_ARGUMENT


class ElementsIncomplete(Rejected):
    """Some of the order's elements are not named: an order is activated as a whole (D-22)."""

    code = 3311


class UseEndChange(Rejected):
    """The order is for a change, whose end activates it (C-11)."""

    code = 3312


class WindowChangesFull(Rejected):
    """The order's window has been changed as often as one document takes."""

    code = 3313


class WaiverWithoutGrant(Rejected):
    """The penalty is waived up to a new end, and no new end is granted."""

    code = 3314
    grpc = Grpc.INVALID_ARGUMENT


@dataclass(frozen=True, slots=True, kw_only=True)
class ActivateOrder:
    """The seller's message "Order Activated". No elements are all of them, and there are no others."""

    order_id: str
    element_ids: tuple[str, ...] = ()
    release: bytes = field(default=b"", metadata={"bytes_max": HASH_BYTES})


@dataclass(frozen=True, slots=True, kw_only=True)
class FailOrder:
    """The seller's message "Order Failed"."""

    order_id: str
    reason: str
    release: bytes = field(default=b"", metadata={"bytes_max": HASH_BYTES})


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelOrder:
    """The buyer's message "Order Cancelled"."""

    order_id: str
    reason: str
    release: bytes = field(default=b"", metadata={"bytes_max": HASH_BYTES})


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestExtension:
    """The seller's message "Request Order Activation Window Extension", to `activate_by_ms`."""

    order_id: str
    activate_by_ms: int
    reason: str
    release: bytes = field(default=b"", metadata={"bytes_max": HASH_BYTES})


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerExtension:
    """The buyer's answer to it. With `waive_penalty` a delay is counted from the new end."""

    order_id: str
    granted: bool
    waive_penalty: bool = False
    release: bytes = field(default=b"", metadata={"bytes_max": HASH_BYTES})


@dataclass(frozen=True, slots=True, kw_only=True)
class ExtendWindow:
    """The buyer gives more time unasked."""

    order_id: str
    activate_by_ms: int
    waive_penalty: bool = False
    release: bytes = field(default=b"", metadata={"bytes_max": HASH_BYTES})


def activate_order(command: ActivateOrder, call: Call) -> Outcome:
    """Record the activation: the order ends, and its service begins with prices as quoted. Req: D-01, D-22, D-23.

    Rejects with the first of: OrderUnknown, NotTheSeller, UseEndChange, OrderNotAccepted, OrderActivated, OrderFailed,
    OrderEnded, OrderOverdue, ElementForeign, ElementsIncomplete, ReleaseMissing, ReleaseInvalid, ReleasesFull.
    """
    order = require_seller_order(command.order_id, call)
    if order.change is not None:
        raise UseEndChange(
            "This order changes a service; end the change instead.", "order_id", existing_id=order.change_id
        )
    require_deliverable(order)
    require_in_time(order, call.block.time_ms)
    _require_elements(command.element_ids, order)
    ended = activated_order(order, call.block.time_ms, require_release(command.release, call, order.releases))
    service = activated(require_service(order.service_id, call.view), call.block.time_ms)
    events = (Event("order.activated", ended), Event("service.activated", service))
    return Outcome(writes=(service, ended), events=events).then(charge_delay(order, call))


def fail_order(command: FailOrder, call: Call) -> Outcome:
    """The seller gives the order up, inside the window or after it; its service or its change ends with it. Req: D-32, X-24.

    Rejects with the first of: OrderUnknown, NotTheSeller, OrderNotAccepted, OrderActivated, OrderFailed, OrderEnded,
    ReasonInvalid, ReleaseMissing, ReleaseInvalid, ReleasesFull.
    """
    order = require_seller_order(command.order_id, call)
    require_deliverable(order)
    require_reason(command.reason)
    released = replace(order, releases=require_release(command.release, call, order.releases))
    return end_order(released, "fail", command.reason, call.view, call.block.time_ms).then(charge_delay(order, call))


def cancel_order(command: CancelOrder, call: Call) -> Outcome:
    """The buyer ends an order that is not at its end, or was activated a short while ago. Req: D-40, X-15, X-27.

    A service that was in operation ends, for the agreed fee. A change that is being made is not called off while its window is
    open: what it touches on other ledgers could not be put back from here. Req: C-11.

    Rejects with the first of: OrderUnknown, NotTheBuyer, OrderEnded, ChangeStarted, ReasonInvalid, ReleaseMissing,
    ReleaseInvalid, ReleasesFull.
    """
    order = require_buyer_order(command.order_id, call)
    _require_cancellable(order, call)
    _require_not_started(order, call)
    require_reason(command.reason)
    released = replace(order, releases=require_release(command.release, call, order.releases))
    ended = end_order(released, "cancel", command.reason, call.view, call.block.time_ms)
    if order.status == OrderStatus.ACTIVATED:
        return ended.then(charge_cancellation(order, call))
    return ended.then(charge_delay(order, call))


def request_extension(command: RequestExtension, call: Call) -> Outcome:
    """The seller asks for more time; the buyer's silence is a refusal. Req: D-31, D-33.

    The answer can be given while the agreement's window for it is open, and before the end that is asked for. Rejects with
    the first of: OrderUnknown, NotTheSeller, OrderNotAccepted, OrderEnded, ExtensionOpen, ExtensionAnswered,
    ExtensionNotLater, WindowTooLong, WindowChangesFull, ReasonInvalid, ReleaseMissing, ReleaseInvalid, ReleasesFull.
    """
    order = require_seller_order(command.order_id, call)
    _require_extensible(order)
    now_ms = call.block.time_ms
    order = _with_request_of_time(order, now_ms)
    _require_unasked(order)
    _require_later(command.activate_by_ms, order, call)
    require_reason(command.reason)
    terms = agreement_of(call.view, order.agreement_id).terms
    window_ms = terms.extension_answer_window_ms or terms.response_window_ms
    requested = replace(
        order,
        status=step(ORDER_LIFECYCLE, order.status, "request_extension"),
        extension=ExtensionRequest(
            activate_by_ms=command.activate_by_ms,
            reason=command.reason,
            requested_at_ms=now_ms,
            answer_by_ms=min(now_ms + window_ms, command.activate_by_ms),
        ),
        releases=require_release(command.release, call, order.releases),
    )
    return Outcome(writes=(requested,), events=(Event("order.extension_requested", requested),))


def answer_extension(command: AnswerExtension, call: Call) -> Outcome:
    """The buyer grants the new end, or refuses it. Req: D-41, D-43.

    Rejects with the first of: OrderUnknown, NotTheBuyer, OrderNotAccepted, OrderEnded, ExtensionAnswerLate,
    ExtensionNotRequested, WaiverWithoutGrant, ReleaseMissing, ReleaseInvalid, ReleasesFull.
    """
    order = require_buyer_order(command.order_id, call)
    _require_extensible(order)
    request = _require_request(order, call.block.time_ms)
    if command.waive_penalty and not command.granted:
        raise WaiverWithoutGrant("A penalty is waived with a grant, up to its new end.", "waive_penalty")
    released = replace(order, releases=require_release(command.release, call, order.releases))
    if not command.granted:
        return without_extension(released, ExtensionStatus.REFUSED, call.block.time_ms)
    granted = replace(released, extension=replace(request, status=ExtensionStatus.GRANTED))
    return _with_window(
        granted, request.activate_by_ms, WindowCause.EXTENSION_GRANTED, call, waived=command.waive_penalty
    )


def extend_window(command: ExtendWindow, call: Call) -> Outcome:
    """The buyer gives more time without having been asked. Req: D-43.

    Rejects with the first of: OrderUnknown, NotTheBuyer, OrderNotAccepted, OrderEnded, ExtensionOpen, ExtensionNotLater,
    WindowTooLong, WindowChangesFull, ReleaseMissing, ReleaseInvalid, ReleasesFull.
    """
    order = require_buyer_order(command.order_id, call)
    _require_extensible(order)
    order = _with_request_of_time(order, call.block.time_ms)
    if order.extension is not None and order.extension.status == ExtensionStatus.OPEN:
        raise ExtensionOpen("The seller has asked for an extension; answer that.", "order_id")
    _require_later(command.activate_by_ms, order, call)
    released = replace(order, releases=require_release(command.release, call, order.releases))
    return _with_window(
        released, command.activate_by_ms, WindowCause.BUYER_EXTENDED, call, waived=command.waive_penalty
    )


def require_deliverable(order: Order) -> None:
    """Rejects with OrderNotAccepted, OrderActivated, OrderFailed, OrderEnded. Req: D-01."""
    if order.status in (OrderStatus.PLACED, OrderStatus.REJECTED):
        raise OrderNotAccepted(f"The order is {order.status.value}; only an accepted one is delivered.", "order_id")
    if order.status == OrderStatus.ACTIVATED:
        raise OrderActivated("The order was activated before.", "order_id", existing_id=order.service_id)
    if order.status == OrderStatus.FAILED:
        raise OrderFailed("The order has failed; a new one is needed.", "order_id")
    if order.status == OrderStatus.CANCELLED:
        raise OrderEnded("The order was cancelled.", "order_id")


def require_in_time(order: Order, time_ms: int) -> None:
    """Rejects with OrderOverdue, whether the window's deadline has run or not. Req: X-24."""
    if order.status == OrderStatus.OVERDUE or time_ms > order.activate_by_ms:
        raise OrderOverdue(f"The order could be activated until {order.activate_by_ms}.", "order_id")


def _require_elements(element_ids: tuple[str, ...], order: Order) -> None:
    """Rejects with ElementForeign, ElementsIncomplete. Req: D-09."""
    missing = {item.id: None for item in order.items}
    for place, element_id in enumerate(element_ids):
        if element_id not in missing:
            raise ElementForeign("The order has no such element, or it stands here twice.", f"element_ids[{place}]")
        del missing[element_id]
    if element_ids and missing:
        raise ElementsIncomplete(f"Not named: {', '.join(missing)}.", "element_ids")


def _require_cancellable(order: Order, call: Call) -> None:
    """Rejects with OrderEnded, also where only a deadline has not run yet. Req: O-31, X-27."""
    now_ms = call.block.time_ms
    if order.status in IN_DELIVERY or (order.status == OrderStatus.PLACED and now_ms <= order.accept_by_ms):
        return
    if order.status != OrderStatus.ACTIVATED or order.change is not None:
        raise OrderEnded("The order has ended; there is nothing to cancel.", "order_id")
    if require_service(order.service_id, call.view).status == ServiceStatus.TERMINATED:
        raise OrderEnded("The order's service has ended; there is nothing to cancel.", "order_id")
    window_ms = agreement_of(call.view, order.agreement_id).terms.cancellation_window_ms
    if not window_ms or now_ms > order.ended_at_ms + window_ms:
        raise OrderEnded("The order was activated, and may not be cancelled any more; order a termination.", "order_id")


def _require_not_started(order: Order, call: Call) -> None:
    """Rejects with ChangeStarted while the seller has time for it; a seller that is late may have forgotten it. Req: C-11, X-24."""
    change = change_of(order, call.view)
    if change is None or change.status != ChangeStatus.IMPLEMENTING or call.block.time_ms > order.activate_by_ms:
        return
    raise ChangeStarted(
        f"The change is being made; wait for its outcome, or cancel it once it is late, after {order.activate_by_ms}.",
        "order_id",
    )


def _require_extensible(order: Order) -> None:
    """Rejects with OrderNotAccepted, OrderEnded."""
    if order.status == OrderStatus.PLACED:
        raise OrderNotAccepted("The activation window runs from the acceptance; this order waits for it.", "order_id")
    if order.status not in IN_DELIVERY:
        raise OrderEnded(f"The order is {order.status.value}: it has no window any more.", "order_id")


def _with_request_of_time(order: Order, time_ms: int) -> Order:
    """The order with its request unanswered, if that is what its deadline has still to say."""
    request = order.extension
    if request is None or request.status != ExtensionStatus.OPEN or time_ms <= request.answer_by_ms:
        return order
    return replace(order, extension=replace(request, status=ExtensionStatus.UNANSWERED))


def _require_unasked(order: Order) -> None:
    """One request at a time, and one answer a window. Rejects with ExtensionOpen, ExtensionAnswered. Req: D-31."""
    request = order.extension
    if request is None or request.status == ExtensionStatus.GRANTED:
        return
    if request.status == ExtensionStatus.OPEN:
        raise ExtensionOpen("The buyer has not answered the last request yet.", "order_id")
    last = order.window_changes[-1].at_ms if order.window_changes else 0
    if last <= request.requested_at_ms:
        raise ExtensionAnswered("The buyer does not extend this window; it may do so unasked.", "order_id")


def _require_request(order: Order, time_ms: int) -> ExtensionRequest:
    """The open request. Rejects with ExtensionAnswerLate (alike before and after its deadline), ExtensionNotRequested."""
    request = order.extension
    if request is not None:
        if request.status == ExtensionStatus.OPEN and time_ms <= request.answer_by_ms:
            return request
        if request.status in (ExtensionStatus.OPEN, ExtensionStatus.UNANSWERED):
            raise ExtensionAnswerLate(f"The request could be answered until {request.answer_by_ms}.", "order_id")
    raise ExtensionNotRequested("The seller has asked for no extension that waits for an answer.", "order_id")


def _require_later(end_ms: int, order: Order, call: Call) -> None:
    """Rejects with ExtensionNotLater, WindowTooLong, WindowChangesFull. Req: D-33, D-43."""
    now_ms, most_ms = call.block.time_ms, call.parameters.window_max_ms
    if end_ms <= max(order.activate_by_ms, now_ms):
        raise ExtensionNotLater(
            f"The new end must be later than {max(order.activate_by_ms, now_ms)}.", "activate_by_ms"
        )
    if end_ms > min(now_ms + most_ms, TIME_MS_MAX):
        raise WindowTooLong(f"The window may end at most {most_ms} ms from now.", "activate_by_ms")
    if len(order.window_changes) >= WINDOW_CHANGES_MAX:
        raise WindowChangesFull(f"A window is changed at most {WINDOW_CHANGES_MAX} times.", "order_id")


def _with_window(order: Order, end_ms: int, cause: WindowCause, call: Call, *, waived: bool) -> Outcome:
    """The order with a later end of its window, on record. Req: D-43."""
    changed = WindowChange(
        old_ms=order.activate_by_ms, new_ms=end_ms, cause=cause, at_ms=call.block.time_ms, penalty_waived=waived
    )
    extended = replace(
        order,
        status=step(ORDER_LIFECYCLE, order.status, "extend"),
        activate_by_ms=end_ms,
        delay_from_ms=end_ms if waived else order.delay_from_ms,
        window_changes=(*order.window_changes, changed),
    )
    return Outcome(writes=(extended,), events=(Event("order.window_extended", extended),))


CONTRACT: Final = Contract(
    name="delivery",
    kinds=(SERVICE, CHARGE),
    messages=(
        MessageType(name="activate_order", command=ActivateOrder, handler=activate_order, roles=(Role.S_BUS,)),
        MessageType(name="fail_order", command=FailOrder, handler=fail_order, roles=(Role.S_BUS,)),
        MessageType(name="cancel_order", command=CancelOrder, handler=cancel_order, roles=(Role.B_BUS,)),
        MessageType(name="request_extension", command=RequestExtension, handler=request_extension, roles=(Role.S_BUS,)),
        MessageType(name="answer_extension", command=AnswerExtension, handler=answer_extension, roles=(Role.B_BUS,)),
        MessageType(name="extend_window", command=ExtendWindow, handler=extend_window, roles=(Role.B_BUS,)),
    ),
)
