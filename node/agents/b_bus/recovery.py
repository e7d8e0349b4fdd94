"""B-BUS and recovery: orders replacements, keeps sellers' windows in step, and cancels what is no longer needed. Req: D-39..D-43."""

from __future__ import annotations

from typing import Final

from node.agents.b_bus.order import is_surfaced, orders_to_place
from node.agents.desk import Desk
from node.agents.duties import Duty, is_buyer
from node.agents.orders import (
    current_on,
    elements_on,
    handover_on,
    order_outside,
    submit_unless_overtaken,
)
from node.agents.policies import ExtensionAsked
from node.agents.ports import LedgerPort, Outward, Refused
from smartcontracts.internal.elements import (
    DELIVERING,
    UNDER_WAY,
    ElementStatus,
    HandoverStatus,
    OrderHandover,
    ServiceElement,
    Source,
    end_of,
)
from smartcontracts.internal.recovery import (
    CancellationOutcome,
    RecordCancellation,
    ReleaseCancellation,
    ReleaseExtensionAnswer,
    ReleaseWindowChange,
    own_answer_id,
)
from smartcontracts.internal.release import Release, ReleaseStatus
from smartcontracts.kernel import Role
from smartcontracts.order import Order, OrderStatus
from smartcontracts.service import ServiceStatus
from smartcontracts.trade import WindowTooShort

ORDER: Final = "order"
ANSWER: Final = "answer"
EXTEND: Final = "extend"
CANCEL: Final = "cancel"
RECORD: Final = "record"
_ENDED: Final = (OrderStatus.REJECTED, OrderStatus.FAILED, OrderStatus.CANCELLED)


async def tend_bought(desk: Desk, port: LedgerPort, handover: OrderHandover) -> None:
    """Order replacements, answer sellers that ask for time, and extend their windows with the order's. Req: D-30, D-41..D-43."""
    elements = await current_on(port, handover.id)
    if handover.status in DELIVERING:
        await _order(desk, port, handover, elements)
    by_order = {(one.ledger_id, one.order_id): one for one in elements if one.status == ElementStatus.ACTIVATING}
    for element in by_order.values():
        if element.source != Source.EXTERNAL:
            continue
        if element.extension is not None:
            await _answer(desk, port, handover, element)
        elif element.wanted_by_ms > element.activate_by_ms and not element.window_release_id:
            change = ReleaseWindowChange(
                order_handover_id=handover.id,
                ledger_id=element.ledger_id,
                order_id=element.order_id,
                salt=desk.salt(),
            )
            await submit_unless_overtaken(port, [Outward("release_window_change", change)], purpose=EXTEND)


async def tend_element(desk: Desk, port: LedgerPort, element: ServiceElement) -> None:
    """The same, when it is the element to which something has happened."""
    handover = await handover_on(port, element.order_handover_id)
    if handover is not None:
        await tend_bought(desk, port, handover)


async def _order(desk: Desk, port: LedgerPort, handover: OrderHandover, elements: tuple[ServiceElement, ...]) -> None:
    for act in await orders_to_place(desk, handover, elements):
        try:
            await submit_unless_overtaken(port, [act], purpose=ORDER)
        except Refused as refused:
            if refused.detail.code != WindowTooShort.code:
                raise
            # The service's window ends at this moment, which decides about the order.


async def _answer(desk: Desk, port: LedgerPort, handover: OrderHandover, element: ServiceElement) -> None:
    """Grant what fits the service's window; what does not waits for the buyer, and is refused with it. Req: D-33, D-41."""
    asked = element.extension
    if asked is None or element.extension_release_id:
        return
    own_ms = end_of(handover)
    if asked.activate_by_ms > own_ms:
        # S-BUS may ask the buyer; as long as that is open, the seller's own window for an answer is the limit.
        if not handover.extension_refused:
            return
        granted = waived = False
    else:
        order = await order_outside(desk, element.ledger_id, element.order_id)
        grant = desk.policies.grant_extension(
            ExtensionAsked(
                order_id=element.order_id,
                seller=element.seller,
                now_ms=desk.now_ms(),
                activate_by_ms=element.activate_by_ms,
                asked_ms=asked.activate_by_ms,
                reason=asked.reason,
                own_activate_by_ms=handover.activate_by_ms,
                extensions=0 if order is None else len(order.window_changes),
            )
        )
        granted, waived = grant.granted, grant.waive_penalty
    answer = ReleaseExtensionAnswer(
        order_handover_id=handover.id,
        ledger_id=element.ledger_id,
        order_id=element.order_id,
        granted=granted,
        waive_penalty=granted and waived,
        salt=desk.salt(),
        activate_by_ms=asked.activate_by_ms,
    )
    await submit_unless_overtaken(port, [Outward("release_extension_answer", answer)], purpose=ANSWER)


async def answer_own(desk: Desk, port: LedgerPort, order: Order) -> None:
    """Answer a seller about an order that serves no buyer's: then we are the customer. Req: D-41."""
    internal, request = desk.internal, order.extension
    if request is None:
        return
    serving = await internal.list("service_element", related=order.id)
    answer_id = own_answer_id(internal.id, port.id, order.id, request.activate_by_ms)
    if serving or await internal.get("extension_answer", answer_id) is not None:
        return
    grant = desk.policies.grant_extension(
        ExtensionAsked(
            order_id=order.id,
            seller=order.seller,
            now_ms=desk.now_ms(),
            activate_by_ms=order.activate_by_ms,
            asked_ms=request.activate_by_ms,
            reason=request.reason,
            extensions=len(order.window_changes),
        )
    )
    answer = ReleaseExtensionAnswer(
        ledger_id=port.id,
        order_id=order.id,
        granted=grant.granted,
        waive_penalty=grant.granted and grant.waive_penalty,
        salt=desk.salt(),
        activate_by_ms=request.activate_by_ms,
    )
    await submit_unless_overtaken(internal, [Outward("release_extension_answer", answer)], purpose=ANSWER)


async def cancel_bought(desk: Desk, port: LedgerPort, element: ServiceElement) -> None:
    """Cancel the order of an element at its end, once it is out; then close. Req: D-39, D-40; X-15, X-27."""
    placed: Release | None = await port.get("release", element.order_release_id)
    if placed is None or placed.status in (ReleaseStatus.OPEN, ReleaseStatus.VOID):
        return
    if await is_surfaced(desk, element):
        return
    outcome = CancellationOutcome.ENDED
    if placed.status == ReleaseStatus.CARRIED and not await _is_over_there(desk, element):
        if await _may_cancel(desk, port, element):
            cancel = ReleaseCancellation(ledger_id=element.ledger_id, order_id=element.order_id, salt=desk.salt())
            await submit_unless_overtaken(port, [Outward("release_cancellation", cancel)], purpose=CANCEL)
            return
        if not await _is_stranded(desk, port, element):
            return
        outcome = CancellationOutcome.STRANDED
    record = RecordCancellation(element_id=element.id, outcome=outcome)
    await submit_unless_overtaken(port, [Outward("record_cancellation", record)], purpose=RECORD)


async def _may_cancel(desk: Desk, port: LedgerPort, element: ServiceElement) -> bool:
    """Whether a cancellation is to be let out: the first one, or another for a change that was being made, and is late now."""
    if not element.cancel_release_id:
        return True
    order = await order_outside(desk, element.ledger_id, element.order_id)
    return order is not None and order.status == OrderStatus.OVERDUE and await _is_refused(port, element)


async def _is_stranded(desk: Desk, port: LedgerPort, element: ServiceElement) -> bool:
    """Whether what was refused came too late. Else its own window is just ending it, or its seller is making a change: both tell."""
    order = await order_outside(desk, element.ledger_id, element.order_id)
    return order is not None and order.status == OrderStatus.ACTIVATED and await _is_refused(port, element)


async def _is_refused(port: LedgerPort, element: ServiceElement) -> bool:
    cancelled: Release | None = await port.get("release", element.cancel_release_id)
    return cancelled is not None and cancelled.status == ReleaseStatus.REFUSED


async def cancel_after_all(desk: Desk, port: LedgerPort, order: Order) -> None:
    """What could not be cancelled while its seller made a change is late, and can be; or it is done. Req: D-40, C-11."""
    internal = desk.internal
    found: tuple[ServiceElement, ...] = await internal.list("service_element", related=order.id)
    for element in found:
        if element.ledger_id == port.id and element.status == ElementStatus.CANCELLING:
            await cancel_bought(desk, internal, element)


async def settle_cancellation(desk: Desk, port: LedgerPort, release: Release) -> None:
    """An order is out that is to be cancelled, or its cancellation is."""
    for element in await elements_on(port, release.subject_id):
        concerned = release.id in (element.order_release_id, element.cancel_release_id)
        if concerned and element.status == ElementStatus.CANCELLING:
            await cancel_bought(desk, port, element)


async def _is_over_there(desk: Desk, element: ServiceElement) -> bool:
    """Whether the order, or the service that it gave, has ended on its own ledger."""
    order = await order_outside(desk, element.ledger_id, element.order_id)
    if order is None or order.status in _ENDED:
        return order is not None
    service = await desk.bilateral[element.ledger_id].get("service", order.service_id) if order.service_id else None
    return service is not None and service.status == ServiceStatus.TERMINATED


DUTIES: Final = (
    Duty(
        name="tend_bought",
        role=Role.B_BUS,
        ledger_kind="internal",
        kind="order_handover",
        statuses=(*UNDER_WAY, HandoverStatus.OVERDUE),
        submits=(ORDER, ANSWER, EXTEND),
        do=tend_bought,
    ),
    Duty(
        name="tend_element",
        role=Role.B_BUS,
        ledger_kind="internal",
        kind="service_element",
        statuses=(ElementStatus.QUOTED_EXTERNAL, ElementStatus.ACTIVATING),
        applies=lambda _desk, element: element.source == Source.EXTERNAL,
        submits=(ORDER, ANSWER, EXTEND),
        do=tend_element,
    ),
    Duty(
        name="answer_own_extension",
        role=Role.B_BUS,
        ledger_kind="bilateral",
        kind="order",
        statuses=(OrderStatus.EXTENSION_REQUESTED,),
        applies=is_buyer,
        submits=(ANSWER,),
        do=answer_own,
    ),
    Duty(
        name="cancel_bought",
        role=Role.B_BUS,
        ledger_kind="internal",
        kind="service_element",
        statuses=(ElementStatus.CANCELLING,),
        submits=(CANCEL, RECORD),
        do=cancel_bought,
    ),
    Duty(
        name="cancel_after_all",
        role=Role.B_BUS,
        ledger_kind="bilateral",
        kind="order",
        statuses=(OrderStatus.OVERDUE, OrderStatus.ACTIVATED),
        settled=(OrderStatus.ACTIVATED,),
        applies=lambda desk, order: is_buyer(desk, order) and bool(order.change_id),
        submits=(CANCEL, RECORD),
        do=cancel_after_all,
    ),
    Duty(
        name="settle_cancellation",
        role=Role.B_BUS,
        ledger_kind="internal",
        kind="release",
        statuses=(ReleaseStatus.CARRIED, ReleaseStatus.REFUSED),
        settled=(ReleaseStatus.CARRIED, ReleaseStatus.REFUSED),
        applies=lambda _desk, release: release.act in ("place_order", "cancel_order"),
        related=f"role/{Role.B_BUS.value}",
        submits=(CANCEL, RECORD),
        do=settle_cancellation,
    ),
)
