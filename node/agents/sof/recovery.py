"""SOF and recovery: gives back what ended elements held. Req: D-37, D-38."""

from __future__ import annotations

from typing import Final

from node.agents.desk import Desk
from node.agents.duties import Duty, Later
from node.agents.orders import ends_nothing, spec_of, submit_unless_overtaken
from node.agents.ports import LedgerPort, Outward
from node.agents.provisioning import Operation, Pending, Provisioning, Reserved, call_id
from smartcontracts.internal.elements import ElementStatus, ServiceElement
from smartcontracts.internal.recovery import ReportReleased
from smartcontracts.kernel import Role

RELEASE: Final = "release"


async def release_element(desk: Desk, port: LedgerPort, element: ServiceElement) -> None:
    """Give back what an element holds, and say so. Req: D-38."""
    if desk.provisioning is None:
        return
    reservation = ""
    if not ends_nothing(element):
        reservation = element.reservation_id or await _held(desk.provisioning, element, desk.now_ms())
    if reservation:
        released = await desk.provisioning.release(call_id(Operation.RELEASE, element.id), reservation)
        if isinstance(released, Pending):
            raise Later(released.again_at_ms)
    report = ReportReleased(element_id=element.id)
    await submit_unless_overtaken(port, [Outward("report_released", report)], purpose=RELEASE)


async def _held(provisioning: Provisioning, element: ServiceElement, now_ms: int) -> str:
    """What may have been reserved just before the order ended, when INT was not told any more; empty if nothing was.

    The same call tells what it gave before; where it had not been made, it holds something for this moment only.
    """
    held = await provisioning.reserve(call_id(Operation.RESERVE, element.id), spec_of(element), now_ms)
    if isinstance(held, Pending):
        raise Later(held.again_at_ms)
    return held.reservation_id if isinstance(held, Reserved) else ""


DUTIES: Final = (
    Duty(
        name="release_element",
        role=Role.SOF,
        ledger_kind="internal",
        kind="service_element",
        statuses=(ElementStatus.RELEASING,),
        submits=(RELEASE,),
        do=release_element,
    ),
)
