"""S-BUS and orders: takes in what buyers order, answers as INT decides, and mirrors what each order is. Req: O-13, O-14, O-28..O-31."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from node.agents.desk import Desk
from node.agents.duties import Duty, is_seller, outside
from node.agents.inquiries import rules_on
from node.agents.orders import handover_on, order_outside, submit_unless_overtaken
from node.agents.policies import Process
from node.agents.ports import LedgerPort, Outward
from smartcontracts.internal.elements import OPEN, UNDER_WAY, HandoverStatus, OrderHandover
from smartcontracts.internal.handover import HandoverStatus as InquiryStatus
from smartcontracts.internal.handover import InquiryHandover
from smartcontracts.internal.inventory import InventoryService, InventoryStatus, RecordTermination, inventory_id_of
from smartcontracts.internal.orders import (
    HandOverOrder,
    RecordUpstream,
    ReleaseOrderAnswer,
    Upstream,
    handover_id_of,
)
from smartcontracts.internal.recovery import ExtensionOutcome, RecordExtension
from smartcontracts.internal.release import Release, ReleaseStatus
from smartcontracts.kernel import Role
from smartcontracts.order import IN_DELIVERY, ExtensionStatus, Order, OrderStatus
from smartcontracts.service import Service, ServiceStatus

HAND_OVER: Final = "hand_over"
ANSWER: Final = "answer"
MIRROR: Final = "mirror"
_DECIDED: Final = (InquiryStatus.QUOTED, InquiryStatus.UNABLE, InquiryStatus.LAPSED)
_WITH_WINDOW: Final = (
    HandoverStatus.ACCEPTED,
    *UNDER_WAY,
    HandoverStatus.OVERDUE,
    HandoverStatus.EXTENSION_REQUESTED,
)
_NOT_GRANTED: Final = (ExtensionStatus.REFUSED, ExtensionStatus.UNANSWERED)


async def hand_over_order(desk: Desk, port: LedgerPort, order: Order) -> None:
    """Bring an order to the internal ledger, once what its quote is made of is known there. Req: O-13, O-14."""
    found: tuple[InquiryHandover, ...] = await desk.internal.list("inquiry_handover", related=order.quote_id)
    for inquiry in found:
        if inquiry.ledger_id == port.id and inquiry.status in _DECIDED:
            await _hand_over(desk, port, order)
            return


async def hand_over_waiting(desk: Desk, _port: LedgerPort, inquiry: InquiryHandover) -> None:
    """It is known now what a quote is made of: an order of it may be waiting. Req: O-14; X-75."""
    upstream = outside(desk, inquiry.ledger_id)
    for quote_id in dict.fromkeys((inquiry.standing_quote_id, inquiry.answer_id)):
        orders = await upstream.list("order", related=quote_id, status=OrderStatus.PLACED) if quote_id else ()
        for order in orders:
            await _hand_over(desk, upstream, order)


async def _hand_over(desk: Desk, port: LedgerPort, order: Order) -> None:
    internal = desk.internal
    if await handover_on(internal, handover_id_of(internal.id, port.id, order.id)) is not None:
        return
    change = await port.get("service_change", order.change_id) if order.change_id else None
    command = replace(await _as_it_stands(desk, port, order), change=change)
    await submit_unless_overtaken(internal, [Outward("hand_over_order", command)], purpose=HAND_OVER)


async def _as_it_stands(desk: Desk, port: LedgerPort, order: Order) -> HandOverOrder:
    """What is told inside of an order that is not known there."""
    rules = await rules_on(desk.internal)
    acceptance_ms = order.accept_by_ms - order.placed_at_ms
    return HandOverOrder(
        ledger_id=port.id,
        order_id=order.id,
        quote_id=order.quote_id,
        buyer=order.buyer,
        agreement_id=order.agreement_id,
        placed_at_ms=order.placed_at_ms,
        accept_by_ms=order.accept_by_ms,
        activation_window_ms=order.activation_window_ms,
        ordering_ms=desk.policies.own_time_ms(Process.ORDERING, acceptance_ms, rules),
        delivery_ms=desk.policies.own_time_ms(Process.DELIVERY, order.activation_window_ms, rules),
    )


async def answer_order(desk: Desk, port: LedgerPort, handover: OrderHandover) -> None:
    """Let the answer out that INT has come to. Req: O-28..O-30."""
    if not handover.answer_release_id:
        answer = ReleaseOrderAnswer(order_handover_id=handover.id, salt=desk.salt())
        await submit_unless_overtaken(port, [Outward("release_order_answer", answer)], purpose=ANSWER)


async def mirror_order(desk: Desk, port: LedgerPort, order: Order) -> None:
    """Write down what an order is on its own ledger, where INT does not know it yet. Req: O-31, D-41, D-43; X-15."""
    handover = await handover_on(desk.internal, handover_id_of(desk.internal.id, port.id, order.id))
    if handover is not None:
        await _mirror(desk, order, handover)
    elif order.status == OrderStatus.ACTIVATED and order.change is None:
        await _take_in(desk, port, order)


async def _take_in(desk: Desk, port: LedgerPort, order: Order) -> None:
    """A person has accepted and activated an order that was not handed over: its service is one of ours. Req: D-23."""
    internal = desk.internal
    service: Service | None = await port.get("service", order.service_id)
    if service is None or service.status != ServiceStatus.IN_OPERATION:
        return
    command = replace(await _as_it_stands(desk, port, order), service_id=order.service_id)
    await submit_unless_overtaken(internal, [Outward("hand_over_order", command)], purpose=MIRROR)
    # Who has handed it over just before does not know of the activation, and what has ended since found nothing here.
    handover = await handover_on(internal, handover_id_of(internal.id, port.id, order.id))
    now = await order_outside(desk, port.id, order.id)
    if handover is None or now is None:
        return
    await _mirror(desk, now, handover)
    held: InventoryService | None = await internal.get("inventory_service", inventory_id_of(handover.id))
    service = await port.get("service", order.service_id)
    is_held = held is not None and held.status == InventoryStatus.IN_OPERATION
    if is_held and service is not None and service.status == ServiceStatus.TERMINATED:
        over = RecordTermination(
            inventory_service_id=inventory_id_of(handover.id), terminated_at_ms=service.terminated_at_ms
        )
        await submit_unless_overtaken(internal, [Outward("record_termination", over)], purpose=MIRROR)


async def mirror_from_inside(desk: Desk, _port: LedgerPort, handover: OrderHandover) -> None:
    """The same, for what happened out there before INT had got to where it matters."""
    order = await order_outside(desk, handover.ledger_id, handover.order_id)
    if order is not None:
        await _mirror(desk, order, handover)


async def _mirror(desk: Desk, order: Order, handover: OrderHandover) -> None:
    act = _ended(order, handover) if order.status not in IN_DELIVERY else await _going_on(desk, order, handover)
    if act is not None:
        await submit_unless_overtaken(desk.internal, [act], purpose=MIRROR)


def _ended(order: Order, handover: OrderHandover) -> Outward | None:
    """News of an order that is at an end; a cancellation may come after its activation."""
    if order.status == OrderStatus.PLACED or handover.status.value == order.status.value:
        return None
    if (handover.status, order.status) == (HandoverStatus.REJECTED, OrderStatus.ACTIVATED) and order.change is None:
        # A person accepted it at the last moment, when INT had given it up, and has activated it since.
        return _upstream(order, handover, Upstream.ACTIVATED)
    over = (HandoverStatus.REJECTED, HandoverStatus.FAILED, HandoverStatus.CANCELLED)
    if handover.status in over or (handover.status, order.status) == (HandoverStatus.ACTIVATED, OrderStatus.FAILED):
        return None
    return _upstream(order, handover, Upstream(order.status.value))


async def _going_on(desk: Desk, order: Order, handover: OrderHandover) -> Outward | None:
    """News of an order that is accepted and not at an end."""
    if not handover.activate_by_ms:
        known = handover.status in (HandoverStatus.ACCEPTED, HandoverStatus.TO_REJECT)
        return _upstream(order, handover, Upstream.ACCEPTED) if known else None
    if order.activate_by_ms > handover.activate_by_ms and handover.status in _WITH_WINDOW:
        cause = order.window_changes[-1].cause.value if order.window_changes else "buyer_extended"
        return _extension(handover, ExtensionOutcome(cause), order.activate_by_ms)
    if handover.status == HandoverStatus.EXTENSION_REQUESTED:
        release: Release | None = await desk.internal.get("release", handover.extension_release_id)
        if release is not None and release.status == ReleaseStatus.REFUSED:
            return _extension(handover, ExtensionOutcome.REFUSED)
        is_out = release is not None and release.status == ReleaseStatus.CARRIED
        if is_out and order.extension is not None and order.extension.status in _NOT_GRANTED:
            return _extension(handover, ExtensionOutcome.REFUSED)
    if order.status == OrderStatus.OVERDUE and handover.status in (HandoverStatus.ACCEPTED, *UNDER_WAY):
        return _upstream(order, handover, Upstream.OVERDUE)
    return None


def _upstream(order: Order, handover: OrderHandover, status: Upstream) -> Outward:
    news = RecordUpstream(
        order_handover_id=handover.id,
        status=status,
        reason=order.reason,
        activate_by_ms=order.activate_by_ms,
        service_id=order.service_id,
    )
    return Outward("record_upstream", news)


def _extension(handover: OrderHandover, outcome: ExtensionOutcome, activate_by_ms: int = 0) -> Outward:
    news = RecordExtension(order_handover_id=handover.id, outcome=outcome, activate_by_ms=activate_by_ms)
    return Outward("record_extension", news)


def _may_be_ordered(desk: Desk, inquiry: InquiryHandover) -> bool:
    return bool(inquiry.standing_quote_id) or desk.now_ms() <= inquiry.quote_valid_until_ms


DUTIES: Final = (
    Duty(
        name="hand_over_order",
        role=Role.S_BUS,
        ledger_kind="bilateral",
        kind="order",
        statuses=(OrderStatus.PLACED,),
        applies=is_seller,
        submits=(HAND_OVER,),
        do=hand_over_order,
    ),
    Duty(
        name="hand_over_waiting",
        role=Role.S_BUS,
        ledger_kind="internal",
        kind="inquiry_handover",
        statuses=_DECIDED,
        settled=_DECIDED,
        applies=_may_be_ordered,
        submits=(HAND_OVER,),
        do=hand_over_waiting,
    ),
    Duty(
        name="answer_order",
        role=Role.S_BUS,
        ledger_kind="internal",
        kind="order_handover",
        statuses=(HandoverStatus.ACCEPTED, HandoverStatus.TO_REJECT),
        applies=lambda _desk, handover: not handover.answer_release_id,
        submits=(ANSWER,),
        do=answer_order,
    ),
    Duty(
        name="mirror_order",
        role=Role.S_BUS,
        ledger_kind="bilateral",
        kind="order",
        statuses=tuple(status for status in OrderStatus if status != OrderStatus.PLACED),
        # One that a person has activated may not be known inside, where nothing waits for it.
        owed=(OrderStatus.ACTIVATED,),
        lasting=(OrderStatus.ACTIVATED,),
        applies=is_seller,
        submits=(MIRROR,),
        do=mirror_order,
    ),
    Duty(
        name="mirror_from_inside",
        role=Role.S_BUS,
        ledger_kind="internal",
        kind="order_handover",
        statuses=(
            HandoverStatus.ACCEPTED,
            HandoverStatus.TO_REJECT,
            HandoverStatus.TO_ACTIVATE,
            HandoverStatus.EXTENSION_REQUESTED,
            HandoverStatus.TO_FAIL,
        ),
        submits=(MIRROR,),
        do=mirror_from_inside,
    ),
    Duty(
        name="catch_up_with_order",
        role=Role.S_BUS,
        ledger_kind="internal",
        kind="order_handover",
        statuses=OPEN,
        catches_up=True,
        submits=(MIRROR,),
        do=mirror_from_inside,
    ),
)
