"""S-BUS and delivery: tells the buyer that its order is activated, and takes note of a service's end. Req: D-22, D-23."""

from __future__ import annotations

from typing import Final

from node.agents.desk import Desk
from node.agents.duties import Duty, is_seller, outside
from node.agents.orders import handover_on, submit_unless_overtaken
from node.agents.ports import LedgerPort, Outward
from node.agents.s_bus.order import MIRROR, mirror_from_inside
from smartcontracts.internal.delivery import ReleaseActivation
from smartcontracts.internal.elements import HandoverStatus, OrderHandover
from smartcontracts.internal.inventory import InventoryService, InventoryStatus, RecordTermination
from smartcontracts.kernel import Role
from smartcontracts.service import Service, ServiceStatus

ACTIVATE: Final = "activate"
TERMINATE: Final = "terminate"


async def announce_activation(desk: Desk, port: LedgerPort, handover: OrderHandover) -> None:
    """Let "Order Activated" out. Req: D-22."""
    activation = ReleaseActivation(order_handover_id=handover.id, salt=desk.salt())
    await submit_unless_overtaken(port, [Outward("release_activation", activation)], purpose=ACTIVATE)


async def remove_service(desk: Desk, port: LedgerPort, service: Service) -> None:
    """A service that has ended is out of the inventory, and what it was made of goes back. Req: D-38, D-40."""
    found: tuple[InventoryService, ...] = await desk.internal.list(
        "inventory_service", service=service.id, status=InventoryStatus.IN_OPERATION
    )
    ended = [
        Outward(
            "record_termination",
            RecordTermination(inventory_service_id=one.id, terminated_at_ms=service.terminated_at_ms),
        )
        for one in found
        if (one.ledger_id, one.service_id) == (port.id, service.id)
    ]
    await submit_unless_overtaken(desk.internal, ended, purpose=TERMINATE)


async def catch_up_with_service(desk: Desk, port: LedgerPort, held: InventoryService) -> None:
    """The same, for what has ended while nobody heard of it: in its cancellation's window with its order, or later. Req: D-40."""
    upstream = outside(desk, held.ledger_id)
    service: Service | None = await upstream.get("service", held.service_id)
    if service is None or service.status != ServiceStatus.TERMINATED:
        return
    handover = await handover_on(port, held.order_handover_id)
    if handover is not None:
        await mirror_from_inside(desk, port, handover)
    await remove_service(desk, upstream, service)


DUTIES: Final = (
    Duty(
        name="announce_activation",
        role=Role.S_BUS,
        ledger_kind="internal",
        kind="order_handover",
        statuses=(HandoverStatus.TO_ACTIVATE,),
        applies=lambda _desk, handover: not handover.activation_release_id,
        submits=(ACTIVATE,),
        do=announce_activation,
    ),
    Duty(
        name="remove_service",
        role=Role.S_BUS,
        ledger_kind="bilateral",
        kind="service",
        statuses=(ServiceStatus.TERMINATED,),
        applies=is_seller,
        submits=(TERMINATE,),
        do=remove_service,
    ),
    Duty(
        name="catch_up_with_service",
        role=Role.S_BUS,
        ledger_kind="internal",
        kind="inventory_service",
        statuses=(InventoryStatus.IN_OPERATION,),
        catches_up=True,
        submits=(MIRROR, TERMINATE),
        do=catch_up_with_service,
    ),
)
