"""B-BUS and orders: orders from sellers what INT lets it, and brings home what becomes of it. Req: O-21..O-23, D-14..D-16, D-28."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from node.agents.desk import Desk
from node.agents.duties import Duty, Later, is_buyer, outside
from node.agents.orders import current_on, elements_on, handover_on, order_outside, submit_unless_overtaken
from node.agents.ports import LedgerPort, Outward
from smartcontracts.canonical_json import Json, dump, load
from smartcontracts.internal.delivery import ActivationOutcome, RecordActivation
from smartcontracts.internal.elements import (
    OPEN,
    ElementStatus,
    FailureCause,
    HandoverStatus,
    OrderHandover,
    ServiceElement,
)
from smartcontracts.internal.orders import OrderAnswer, RecordOrderAnswer, ReleaseOrder
from smartcontracts.internal.recovery import (
    CancellationOutcome,
    RecordCancellation,
    RecordExtensionRequest,
    RecordSurfaced,
    RecordWindow,
)
from smartcontracts.internal.release import Release, ReleaseStatus
from smartcontracts.kernel import Role
from smartcontracts.order import IN_DELIVERY, Order, OrderStatus, keys_of

ORDER: Final = "order"
RECORD: Final = "record"
# An order that shows while something else is being done about its refusal is looked at again after this long.
UNDECIDED_PAUSE_MS: Final = 30_000
_ENDED: Final = (OrderStatus.REJECTED, OrderStatus.FAILED, OrderStatus.CANCELLED)
_WORKED_ON: Final = (ElementStatus.ACCEPTED, ElementStatus.ACTIVATING)
# What INT thinks is at its end there, or never was there; and what it still waits for.
_GONE: Final = (ElementStatus.REJECTED, ElementStatus.CANCELLED, ElementStatus.REPLACED)
_UNSETTLED: Final = (ElementStatus.QUOTED_EXTERNAL, ElementStatus.CANCELLING)
_GIVEN_UP: Final = (OrderStatus.FAILED, OrderStatus.CANCELLED)


async def place_orders(desk: Desk, port: LedgerPort, handover: OrderHandover) -> None:
    """Order from every seller that was chosen, all in one transaction. Req: O-21, O-22."""
    acts = await orders_to_place(desk, handover, await current_on(port, handover.id))
    await submit_unless_overtaken(port, acts, purpose=ORDER)


async def orders_to_place(desk: Desk, handover: OrderHandover, elements: tuple[ServiceElement, ...]) -> list[Outward]:
    """An order by each quote for which there is none yet."""
    quotes: dict[tuple[str, str], list[ServiceElement]] = {}
    for element in elements:
        if element.status == ElementStatus.QUOTED_EXTERNAL and not element.order_release_id:
            quotes.setdefault((element.ledger_id, element.quote_id), []).append(element)
    given = await _delivery_info(desk, handover) if quotes else {}
    return [
        Outward(
            "release_order",
            ReleaseOrder(
                order_handover_id=handover.id,
                ledger_id=ledger_id,
                quote_id=quote_id,
                delivery_info=_passed_on(desk, given, bought),
                salt=desk.salt(),
            ),
        )
        for (ledger_id, quote_id), bought in quotes.items()
    ]


async def _delivery_info(desk: Desk, handover: OrderHandover) -> Mapping[str, Json]:
    """What our buyer has told for the delivery. Req: O-08."""
    order = await order_outside(desk, handover.ledger_id, handover.order_id)
    given = load(order.delivery_info, "delivery_info") if order is not None and order.delivery_info else {}
    return given if isinstance(given, dict) else {}


def _passed_on(desk: Desk, given: Mapping[str, Json], bought: list[ServiceElement]) -> bytes:
    """What of it a seller is told: what policy lets through, without what is part of what it has quoted. Req: O-08."""
    if not given:
        return b""
    offerings = tuple(dict.fromkeys(element.offering for element in bought))
    told = desk.policies.delivery_info(offerings, bought[0].seller, given)
    quoted = {key for element in bought for key in keys_of(_configuration(element))}
    kept = {name: value for name, value in told.items() if not quoted.intersection(keys_of({name: value}))}
    return dump(kept) if kept else b""


def _configuration(element: ServiceElement) -> Json:
    """What of an element is priced."""
    product = load(element.product, "product") if element.product else None
    return product.get("productConfiguration") if isinstance(product, dict) else None


async def report_order(desk: Desk, port: LedgerPort, order: Order) -> None:
    """Write down what an order placed for elements is on its own ledger, where INT does not know it. Req: O-23, D-14..D-16, D-28."""
    found: tuple[ServiceElement, ...] = await desk.internal.list("service_element", related=order.id)
    bought = tuple(one for one in found if one.ledger_id == port.id and one.order_id == order.id)
    if any(one.status in _GONE for one in bought) and await is_surfaced(desk, bought[0]):
        return
    if bought:
        await submit_unless_overtaken(desk.internal, list(_news(order, bought)), purpose=RECORD)


async def is_surfaced(desk: Desk, element: ServiceElement) -> bool:
    """Whether an element's order is out there, though it was taken for refused; then INT is told. Req: D-40; X-15.

    A node that is behind answers by what it knows: it may refuse what it submitted before and did not see in a block yet.
    """
    internal = desk.internal
    placed: Release | None = await internal.get("release", element.order_release_id)
    if placed is None or placed.status != ReleaseStatus.REFUSED:
        return False
    order = await order_outside(desk, element.ledger_id, element.order_id)
    if order is None:
        return False
    if element.status == ElementStatus.REJECTED and not element.replaced_by:
        handover = await handover_on(internal, element.order_handover_id)
        if handover is not None and handover.status in OPEN:
            # What follows from its rejection is still to come, and no event of the order will tell of that.
            raise Later(desk.now_ms() + UNDECIDED_PAUSE_MS)
    await submit_unless_overtaken(internal, [surfaced(placed)], purpose=RECORD)
    return True


def surfaced(placed: Release) -> Outward:
    """News of an order that was taken for refused."""
    return Outward("record_surfaced", RecordSurfaced(release_id=placed.id))


def _news(order: Order, bought: tuple[ServiceElement, ...]) -> tuple[Outward, ...]:
    """What INT is told about an order, by what its elements are there."""
    if order.status in _ENDED and any(one.status == ElementStatus.CANCELLING for one in bought):
        return tuple(_cancelled(one) for one in bought if one.status == ElementStatus.CANCELLING)
    acts: list[Outward] = []
    waiting = any(one.status == ElementStatus.QUOTED_EXTERNAL for one in bought)
    if waiting and order.status != OrderStatus.PLACED:
        acts.append(_answer(order, bought[0]))
    if order.status in (OrderStatus.PLACED, OrderStatus.REJECTED) or (waiting and order.status in _ENDED):
        return tuple(acts)
    worked_on = waiting or any(one.status in _WORKED_ON for one in bought)
    timed_out = any(
        one.status == ElementStatus.ACTIVATION_FAILED and one.cause == FailureCause.TIMEOUT for one in bought
    )
    if worked_on and order.status == OrderStatus.ACTIVATED:
        acts.append(_activation(order, bought[0], ActivationOutcome.ACTIVATED))
    elif (worked_on or timed_out) and order.status in _GIVEN_UP:
        acts.append(_activation(order, bought[0], ActivationOutcome.FAILED, FailureCause.FAILURE))
    elif worked_on and order.status == OrderStatus.OVERDUE:
        acts.append(_activation(order, bought[0], ActivationOutcome.FAILED, FailureCause.TIMEOUT))
    elif worked_on:
        acts.extend(_window(order, bought[0], known=waiting))
    return tuple(acts)


def _answer(order: Order, element: ServiceElement) -> Outward:
    is_accepted = order.status in (*IN_DELIVERY, OrderStatus.ACTIVATED)
    # One that was accepted and has failed since is no longer to be had, whichever was first.
    answer = RecordOrderAnswer(
        order_handover_id=element.order_handover_id,
        ledger_id=element.ledger_id,
        quote_id=element.quote_id,
        order_id=order.id,
        answer=OrderAnswer.ACCEPTED if is_accepted else OrderAnswer.REJECTED,
        reason="" if is_accepted else order.reason,
        activate_by_ms=order.activate_by_ms if is_accepted else 0,
        service_id=order.service_id if is_accepted else "",
    )
    return Outward("record_order_answer", answer)


def _activation(
    order: Order, element: ServiceElement, outcome: ActivationOutcome, cause: FailureCause = FailureCause.NONE
) -> Outward:
    report = RecordActivation(
        order_handover_id=element.order_handover_id,
        ledger_id=element.ledger_id,
        order_id=order.id,
        outcome=outcome,
        reason=order.reason,
        service_id=order.service_id,
        cause=cause,
    )
    return Outward("record_activation", report)


def _window(order: Order, element: ServiceElement, *, known: bool) -> tuple[Outward, ...]:
    """A seller's request for more time, or the window as it is now. `known`: the answer has just told it. Req: D-43."""
    request, asked = order.extension, element.extension
    if order.status == OrderStatus.EXTENSION_REQUESTED and request is not None:
        if asked is not None and (asked.activate_by_ms, asked.answer_by_ms) == (
            request.activate_by_ms,
            request.answer_by_ms,
        ):
            return ()
        wish = RecordExtensionRequest(
            order_handover_id=element.order_handover_id,
            ledger_id=element.ledger_id,
            order_id=order.id,
            activate_by_ms=request.activate_by_ms,
            answer_by_ms=request.answer_by_ms,
            reason=request.reason,
        )
        return (Outward("record_extension_request", wish),)
    if known or (asked is None and order.activate_by_ms == element.activate_by_ms):
        return ()
    window = RecordWindow(
        order_handover_id=element.order_handover_id,
        ledger_id=element.ledger_id,
        order_id=order.id,
        activate_by_ms=order.activate_by_ms,
    )
    return (Outward("record_window", window),)


def _cancelled(element: ServiceElement) -> Outward:
    return Outward("record_cancellation", RecordCancellation(element_id=element.id, outcome=CancellationOutcome.ENDED))


async def catch_up_with_order(desk: Desk, port: LedgerPort, element: ServiceElement) -> None:
    """Both, for what happened while nobody heard of it: what was ordered for an element may have ended. Req: O-23, D-14..D-16, D-28."""
    order = await order_outside(desk, element.ledger_id, element.order_id)
    if order is not None:
        await report_order(desk, outside(desk, element.ledger_id), order)
        return
    release: Release | None = await port.get("release", element.order_release_id)
    if release is not None and release.status == ReleaseStatus.REFUSED:
        await settle_order(desk, port, release)


async def settle_order(desk: Desk, port: LedgerPort, release: Release) -> None:
    """A seller's ledger did not take an order: that is a rejection, or nothing to cancel. Req: O-23."""
    elements = await elements_on(port, release.subject_id)
    ordered = tuple(one for one in elements if one.order_release_id == release.id)
    if any(one.status in _UNSETTLED for one in ordered) and await is_surfaced(desk, ordered[0]):
        order = await order_outside(desk, release.ledger_id, ordered[0].order_id)
        if order is not None:
            await report_order(desk, outside(desk, release.ledger_id), order)
        return
    acts = [_cancelled(one) for one in ordered if one.status == ElementStatus.CANCELLING]
    waiting = [one for one in ordered if one.status == ElementStatus.QUOTED_EXTERNAL]
    if waiting:
        refused = RecordOrderAnswer(
            order_handover_id=waiting[0].order_handover_id,
            ledger_id=waiting[0].ledger_id,
            quote_id=waiting[0].quote_id,
            answer=OrderAnswer.REJECTED,
            reason=release.refusal_name,
        )
        acts.append(Outward("record_order_answer", refused))
    await submit_unless_overtaken(port, acts, purpose=RECORD)


DUTIES: Final = (
    Duty(
        name="place_orders",
        role=Role.B_BUS,
        ledger_kind="internal",
        kind="order_handover",
        statuses=(HandoverStatus.ORDERING_EXTERNAL,),
        submits=(ORDER,),
        do=place_orders,
    ),
    Duty(
        name="report_order",
        role=Role.B_BUS,
        ledger_kind="bilateral",
        kind="order",
        statuses=tuple(OrderStatus),
        # One that shows late may have ended, and nothing inside waits for it any more; what it bought may run.
        owed=(*_ENDED, OrderStatus.ACTIVATED),
        lasting=(*_ENDED, OrderStatus.ACTIVATED),
        applies=is_buyer,
        submits=(RECORD,),
        do=report_order,
    ),
    Duty(
        name="settle_order",
        role=Role.B_BUS,
        ledger_kind="internal",
        kind="release",
        statuses=(ReleaseStatus.REFUSED,),
        settled=(ReleaseStatus.REFUSED,),
        applies=lambda _desk, release: release.act == "place_order",
        related=f"role/{Role.B_BUS.value}",
        submits=(RECORD,),
        do=settle_order,
    ),
    Duty(
        name="catch_up_with_order",
        role=Role.B_BUS,
        ledger_kind="internal",
        kind="service_element",
        statuses=(
            ElementStatus.QUOTED_EXTERNAL,
            *_WORKED_ON,
            ElementStatus.ACTIVATION_FAILED,
            ElementStatus.CANCELLING,
        ),
        applies=lambda _desk, element: bool(element.order_id and element.order_release_id),
        catches_up=True,
        submits=(RECORD,),
        do=catch_up_with_order,
    ),
)
