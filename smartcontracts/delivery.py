"""Delivery: the seller activates an accepted order inside its activation window, which gives a service; or it fails.

D-01 only accepted orders are delivered; D-22, D-23 the activation is recorded with order id, service id and time, and starts
billing; D-32 "Order Failed" is the seller's own word; X-24 after the window the order is overdue, and only that word ends it;
D-09, D-10, D-11 element, service and order ids stand on every message and document of the kind.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from smartcontracts.kernel import (
    Call,
    Contract,
    Event,
    MessageType,
    Outcome,
    Rejected,
    Role,
    step,
)
from smartcontracts.order import LIFECYCLE as ORDER_LIFECYCLE
from smartcontracts.order import Order, OrderStatus, require_seller_order
from smartcontracts.quote import require_quote
from smartcontracts.service import SERVICE, Service, ServiceItem
from smartcontracts.trade import require_reason


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
    """The activation window has ended; only "Order Failed" ends the order now (X-24)."""

    code = 3304


@dataclass(frozen=True, slots=True, kw_only=True)
class ActivateOrder:
    """The seller's message "Order Activated"."""

    order_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FailOrder:
    """The seller's message "Order Failed"."""

    order_id: str
    reason: str


def activate_order(command: ActivateOrder, call: Call) -> Outcome:
    """Record the activation: the order ends, and its service begins with prices as quoted. Req: D-01, D-22, D-23.

    Rejects with the first of: OrderUnknown, NotTheSeller, OrderNotAccepted, OrderActivated, OrderFailed, OrderOverdue.
    """
    order = _require_deliverable(command.order_id, call)
    now_ms = call.block.time_ms
    if order.status == OrderStatus.OVERDUE or now_ms > order.activate_by_ms:
        raise OrderOverdue(f"The order could be activated until {order.activate_by_ms}.", "order_id")
    service = Service(
        id=call.new_id(SERVICE),
        order_id=order.id,
        quote_id=order.quote_id,
        inquiry_id=order.inquiry_id,
        buyer=order.buyer,
        seller=order.seller,
        agreement_id=order.agreement_id,
        activated_at_ms=now_ms,
        items=_service_items(order, call),
    )
    activated = replace(
        order,
        status=step(ORDER_LIFECYCLE, order.status, "activate"),
        service_id=service.id,
        ended_at_ms=now_ms,
    )
    events = (Event("order.activated", activated), Event("service.activated", service))
    return Outcome(writes=(service, activated), events=events)


def fail_order(command: FailOrder, call: Call) -> Outcome:
    """The seller gives the order up, inside the window or after it. Req: D-32, X-24.

    Rejects with the first of: OrderUnknown, NotTheSeller, OrderNotAccepted, OrderActivated, OrderFailed, ReasonInvalid.
    """
    order = _require_deliverable(command.order_id, call)
    require_reason(command.reason)
    failed = replace(
        order,
        status=step(ORDER_LIFECYCLE, order.status, "fail"),
        reason=command.reason,
        ended_at_ms=call.block.time_ms,
    )
    return Outcome(writes=(failed,), events=(Event("order.failed", failed),))


def _require_deliverable(order_id: str, call: Call) -> Order:
    order = require_seller_order(order_id, call)
    if order.status in (OrderStatus.PLACED, OrderStatus.REJECTED):
        raise OrderNotAccepted(f"The order is {order.status}; only an accepted one is delivered.", "order_id")
    if order.status == OrderStatus.ACTIVATED:
        raise OrderActivated("The order was activated before.", "order_id", existing_id=order.service_id)
    if order.status == OrderStatus.FAILED:
        raise OrderFailed("The order has failed; a new one is needed.", "order_id")
    return order


def _service_items(order: Order, call: Call) -> tuple[ServiceItem, ...]:
    prices = {item.id: item.prices for item in require_quote(order.quote_id, call.view).items}
    return tuple(ServiceItem(id=item.id, offering=item.offering, prices=prices[item.id]) for item in order.items)


CONTRACT: Final = Contract(
    name="delivery",
    kinds=(SERVICE,),
    messages=(
        MessageType(
            name="activate_order",
            command=ActivateOrder,
            handler=activate_order,
            roles=(Role.S_BUS,),
            creates=SERVICE,
        ),
        MessageType(name="fail_order", command=FailOrder, handler=fail_order, roles=(Role.S_BUS,)),
    ),
)
