"""S-BUS and changes: agrees with the buyer on an outage's window, and has the change start at its time. Req: C-09..C-11; X-62."""

from __future__ import annotations

from typing import Final

from node.agents.changes import let_rest, mirrored, plan_on, said, submit, to_buyer
from node.agents.desk import Desk
from node.agents.duties import Duty, Later, is_seller, outside
from node.agents.orders import handover_on
from node.agents.ports import LedgerPort, Outward
from smartcontracts.internal.change import OPEN, ChangePlan, PlanStatus, ReleaseStart, plan_id_of
from smartcontracts.internal.elements import HandoverStatus
from smartcontracts.internal.orders import handover_id_of
from smartcontracts.internal.release import Release, ReleaseStatus
from smartcontracts.kernel import Role
from smartcontracts.service import ChangeStatus, ServiceChange

MIRROR: Final = "mirror"
SAY: Final = "say"
START: Final = "start"


async def tend_change(desk: Desk, port: LedgerPort, plan: ChangePlan) -> None:
    """Mirror the buyer's change; else say what is to be said about its window, or start it. Req: C-09, C-10, C-11."""
    upstream = outside(desk, plan.ledger_id)
    change: ServiceChange | None = await upstream.get("service_change", plan.change.id)
    if change is None or plan.change.outcome:
        return
    if change != plan.change:
        await submit(desk, port, [mirrored(plan, plan.ledger_id, change)], purpose=MIRROR)
        return
    handover = await handover_on(port, plan.order_handover_id)
    waits = plan.status in (PlanStatus.PLANNED, PlanStatus.AGREED)
    if not waits or handover is None or handover.status != HandoverStatus.ACCEPTED or not handover.activate_by_ms:
        return
    if plan.awaits_delivery:
        return  # a window would be agreed on for nothing, as long as nobody knows when the service will be there
    if await let_rest(desk, port, plan.id, plan.ledger_id):
        return
    saying = to_buyer(desk, plan, handover.activate_by_ms)
    if saying is not None:
        await submit(desk, port, [said(desk, plan.id, plan.ledger_id, change, saying)], purpose=SAY)
    elif plan.status == PlanStatus.AGREED:
        if desk.now_ms() < change.start_from_ms:
            raise Later(change.start_from_ms)
        start = ReleaseStart(plan_id=plan.id, salt=desk.salt())
        await submit(desk, port, [Outward("release_start", start)], purpose=START)


async def tend_own_change(desk: Desk, port: LedgerPort, change: ServiceChange) -> None:
    """Something has happened to the change on the buyer's ledger."""
    internal = desk.internal
    plan = await plan_on(internal, plan_id_of(handover_id_of(internal.id, port.id, change.order_id)))
    if plan is not None:
        await tend_change(desk, internal, plan)


async def tend_after_release(desk: Desk, port: LedgerPort, release: Release) -> None:
    """An act about the change has come back, and may have been refused."""
    plan = await plan_on(port, release.subject_id)
    if plan is not None and plan.status in OPEN:
        await tend_change(desk, port, plan)


DUTIES: Final = (
    Duty(
        name="tend_change",
        role=Role.S_BUS,
        ledger_kind="internal",
        kind="change_plan",
        statuses=OPEN,
        submits=(MIRROR, SAY, START),
        do=tend_change,
    ),
    Duty(
        name="tend_own_change",
        role=Role.S_BUS,
        ledger_kind="bilateral",
        kind="service_change",
        statuses=tuple(status for status in ChangeStatus if status != ChangeStatus.ORDERED),
        applies=is_seller,
        submits=(MIRROR, SAY, START),
        do=tend_own_change,
    ),
    Duty(
        name="tend_change_after_release",
        role=Role.S_BUS,
        ledger_kind="internal",
        kind="release",
        statuses=(ReleaseStatus.REFUSED,),
        settled=(ReleaseStatus.REFUSED,),
        applies=lambda _desk, release: release.subject_kind == "change_plan",
        related=f"role/{Role.S_BUS.value}",
        submits=(MIRROR, SAY, START),
        do=tend_after_release,
    ),
)
