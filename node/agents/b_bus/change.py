"""B-BUS and changes: agrees with sellers on their windows and times; as a customer, on its own. Req: C-07, C-09..C-11; X-62."""

from __future__ import annotations

from typing import Final

from node.agents.changes import as_customer, let_rest, mirrored, plan_on, said, submit, to_seller
from node.agents.desk import Desk
from node.agents.duties import Duty, is_buyer, outside
from node.agents.orders import current_on, handover_on
from node.agents.ports import LedgerPort, Outward
from smartcontracts.internal.change import (
    OPEN,
    ChangePlan,
    ReleaseHastening,
    SellerChange,
    may_begin,
    plan_id_of,
    waits_needlessly,
)
from smartcontracts.internal.elements import ServiceElement, Source
from smartcontracts.internal.release import Release, ReleaseStatus
from smartcontracts.kernel import Role
from smartcontracts.order import Order
from smartcontracts.service import ChangeStatus, ServiceChange

MIRROR: Final = "mirror"
SAY: Final = "say"
HASTEN: Final = "hasten"


async def tend_sellers(desk: Desk, port: LedgerPort, plan: ChangePlan) -> None:
    """Mirror what sellers' changes are; else say what is to be said about their windows. Req: C-09, C-11."""
    elements = await current_on(port, plan.order_handover_id)
    orders = {(one.ledger_id, one.order_id): one for one in elements if one.source == Source.EXTERNAL and one.changes}
    for element in orders.values():
        change = await _change_there(desk, element)
        if change is not None and change.status != ChangeStatus.ORDERED:
            await _tend(desk, port, plan, element.ledger_id, change)


async def tend_seller_change(desk: Desk, port: LedgerPort, change: ServiceChange) -> None:
    """Something has happened to a change on a seller's ledger; it may be our own, as a customer."""
    internal = desk.internal
    serving: tuple[ServiceElement, ...] = await internal.list("service_element", related=change.order_id)
    for handover_id in dict.fromkeys(one.order_handover_id for one in serving if one.ledger_id == port.id):
        plan = await plan_on(internal, plan_id_of(handover_id))
        if plan is not None:
            await _tend(desk, internal, plan, port.id, change)
    if not serving:
        await _answer_own(desk, port, change)


async def tend_after_release(desk: Desk, port: LedgerPort, release: Release) -> None:
    """An act to a seller has come back refused."""
    plan = await plan_on(port, release.subject_id) if release.subject_kind == "change_plan" else None
    if plan is not None and plan.status in OPEN:
        await tend_sellers(desk, port, plan)
    elif release.subject_kind == "service_change":
        seller = outside(desk, release.ledger_id)
        change: ServiceChange | None = await seller.get("service_change", release.subject_id)
        if change is not None:
            await _answer_own(desk, seller, change)


async def _change_there(desk: Desk, element: ServiceElement) -> ServiceChange | None:
    """The change that an order of ours is for, once the order is there."""
    seller = outside(desk, element.ledger_id)
    order: Order | None = await seller.get("order", element.order_id) if element.order_id else None
    if order is None or not order.change_id:
        return None
    found: ServiceChange | None = await seller.get("service_change", order.change_id)
    return found


async def _tend(desk: Desk, port: LedgerPort, plan: ChangePlan, ledger_id: str, change: ServiceChange) -> None:
    known = next((one for one in plan.sellers if (one.ledger_id, one.change.id) == (ledger_id, change.id)), None)
    if known is None or (known.change != change and not known.change.outcome):
        await submit(desk, port, [mirrored(plan, ledger_id, change)], purpose=MIRROR)
        return
    if plan.status not in OPEN or await let_rest(desk, port, plan.id, ledger_id):
        return
    seller = SellerChange(ledger_id=ledger_id, change=change)
    if waits_needlessly(plan, seller) and await _may_begin(port, plan, seller):
        hasten = ReleaseHastening(plan_id=plan.id, ledger_id=ledger_id, change_id=change.id, salt=desk.salt())
        await submit(desk, port, [Outward("release_hastening", hasten)], purpose=HASTEN)
        return
    saying = to_seller(desk, plan, seller)
    if saying is not None:
        await submit(desk, port, [said(desk, plan.id, ledger_id, change, saying)], purpose=SAY)


async def _may_begin(port: LedgerPort, plan: ChangePlan, seller: SellerChange) -> bool:
    handover = await handover_on(port, plan.order_handover_id)
    return handover is not None and may_begin(plan, seller, handover, await current_on(port, handover.id))


async def _answer_own(desk: Desk, port: LedgerPort, change: ServiceChange) -> None:
    """As the customer for whom all of it is done. Req: C-07."""
    saying = as_customer(desk, change)
    if saying is not None and not await let_rest(desk, desk.internal, change.id, port.id):
        await submit(desk, desk.internal, [said(desk, "", port.id, change, saying)], purpose=SAY)


DUTIES: Final = (
    Duty(
        name="tend_sellers_of_change",
        role=Role.B_BUS,
        ledger_kind="internal",
        kind="change_plan",
        statuses=OPEN,
        submits=(MIRROR, SAY, HASTEN),
        do=tend_sellers,
    ),
    Duty(
        name="tend_seller_change",
        role=Role.B_BUS,
        ledger_kind="bilateral",
        kind="service_change",
        statuses=tuple(status for status in ChangeStatus if status != ChangeStatus.ORDERED),
        applies=is_buyer,
        submits=(MIRROR, SAY, HASTEN),
        do=tend_seller_change,
    ),
    Duty(
        name="tend_sellers_after_release",
        role=Role.B_BUS,
        ledger_kind="internal",
        kind="release",
        statuses=(ReleaseStatus.REFUSED,),
        settled=(ReleaseStatus.REFUSED,),
        applies=lambda _desk, release: release.subject_kind in ("change_plan", "service_change"),
        related=f"role/{Role.B_BUS.value}",
        submits=(MIRROR, SAY, HASTEN),
        do=tend_after_release,
    ),
)
