"""S-BUS and recovery: asks the buyer for time or gives the order up, and says so. Req: D-31..D-35."""

from __future__ import annotations

from typing import Final

from node.agents.desk import Desk
from node.agents.duties import Duty
from node.agents.orders import asked_by_ms, current_on, handover_on, order_outside, submit_unless_overtaken
from node.agents.policies import Delay
from node.agents.ports import LedgerPort, Outward
from node.agents.s_bus.order import mirror_from_inside
from smartcontracts.internal.elements import (
    DELIVERING,
    ElementStatus,
    HandoverStatus,
    OrderHandover,
    ServiceElement,
    end_of,
)
from smartcontracts.internal.recovery import (
    AbandonOrder,
    ExtensionOutcome,
    RecordExtension,
    ReleaseExtension,
    ReleaseFailure,
)
from smartcontracts.internal.release import Release, ReleaseStatus
from smartcontracts.kernel import Role
from smartcontracts.order import IN_DELIVERY

EXTEND: Final = "extend"
ABANDON: Final = "abandon"
FAIL: Final = "fail"
RECORD: Final = "record"
MIRROR: Final = "mirror"


async def decide_overdue(desk: Desk, port: LedgerPort, handover: OrderHandover) -> None:
    """No positive report came in time: ask for an extension, if policy wants one, or abandon. Req: D-31, D-33."""
    order = await order_outside(desk, handover.ledger_id, handover.order_id)
    if order is None or order.status not in IN_DELIVERY or order.activate_by_ms > handover.activate_by_ms:
        await mirror_from_inside(desk, port, handover)
        return
    expected_ms = asked_by_ms(await current_on(port, handover.id))
    request = _request(desk, handover, expected_ms)
    if request is not None:
        await submit_unless_overtaken(port, [Outward("release_extension", request)], purpose=EXTEND)
    else:
        abandon = AbandonOrder(order_handover_id=handover.id, reason=handover.reason or "WINDOW_OVER")
        await submit_unless_overtaken(port, [Outward("abandon_order", abandon)], purpose=ABANDON)


async def ask_for_time(desk: Desk, port: LedgerPort, element: ServiceElement) -> None:
    """A seller or SOF needs more time than the service's window has: the buyer is asked before it ends. Req: D-31, D-33, D-41."""
    handover = await handover_on(port, element.order_handover_id)
    if handover is None or element.extension is None or element.extension.activate_by_ms <= end_of(handover):
        return
    if handover.status not in (*DELIVERING, HandoverStatus.TESTING):
        return
    request = _request(desk, handover, element.extension.activate_by_ms)
    if request is not None:
        await submit_unless_overtaken(port, [Outward("release_extension", request)], purpose=EXTEND)


def _request(desk: Desk, handover: OrderHandover, expected_ms: int) -> ReleaseExtension | None:
    """What is asked of the buyer, with the time that is kept for our own delivery; None if nothing is."""
    if handover.extension_refused:
        return None
    delay = Delay(
        order_id=handover.order_id,
        now_ms=desk.now_ms(),
        activate_by_ms=handover.activate_by_ms,
        extensions=len(handover.windows),
        expected_ms=expected_ms + handover.delivery_ms if expected_ms else 0,
    )
    wish = desk.policies.ask_extension(delay)
    if wish is None or wish.activate_by_ms <= max(handover.activate_by_ms, desk.now_ms()):
        return None
    return ReleaseExtension(
        order_handover_id=handover.id, activate_by_ms=wish.activate_by_ms, reason=wish.reason, salt=desk.salt()
    )


async def announce_failure(desk: Desk, port: LedgerPort, handover: OrderHandover) -> None:
    """Let "Order Failed" out. Req: D-32."""
    failure = ReleaseFailure(order_handover_id=handover.id, salt=desk.salt())
    await submit_unless_overtaken(port, [Outward("release_failure", failure)], purpose=FAIL)


async def settle_request(_desk: Desk, port: LedgerPort, release: Release) -> None:
    """The buyer's ledger did not take a request for an extension: it is not granted. Req: D-31."""
    handover = await handover_on(port, release.subject_id)
    if handover is None or handover.extension_release_id != release.id:
        return
    if handover.status == HandoverStatus.EXTENSION_REQUESTED:
        refused = RecordExtension(order_handover_id=handover.id, outcome=ExtensionOutcome.REFUSED)
        await submit_unless_overtaken(port, [Outward("record_extension", refused)], purpose=RECORD)


DUTIES: Final = (
    Duty(
        name="decide_overdue",
        role=Role.S_BUS,
        ledger_kind="internal",
        kind="order_handover",
        statuses=(HandoverStatus.OVERDUE,),
        submits=(EXTEND, ABANDON, MIRROR),
        do=decide_overdue,
    ),
    Duty(
        name="ask_for_time",
        role=Role.S_BUS,
        ledger_kind="internal",
        kind="service_element",
        statuses=(ElementStatus.ACTIVATING,),
        applies=lambda _desk, element: element.extension is not None,
        submits=(EXTEND,),
        do=ask_for_time,
    ),
    Duty(
        name="announce_failure",
        role=Role.S_BUS,
        ledger_kind="internal",
        kind="order_handover",
        statuses=(HandoverStatus.TO_FAIL,),
        applies=lambda _desk, handover: not handover.failure_release_id,
        submits=(FAIL,),
        do=announce_failure,
    ),
    Duty(
        name="settle_extension_request",
        role=Role.S_BUS,
        ledger_kind="internal",
        kind="release",
        statuses=(ReleaseStatus.REFUSED,),
        settled=(ReleaseStatus.REFUSED,),
        applies=lambda _desk, release: release.act == "request_extension",
        related=f"role/{Role.S_BUS.value}",
        submits=(RECORD,),
        do=settle_request,
    ),
)
