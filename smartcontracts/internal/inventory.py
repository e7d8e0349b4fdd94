"""Inventory: the services that this provider delivers, and what each is made of: its own reservations, and services bought.

D-23 a service is in it from its recorded activation; D-38, D-40 when it ends, what it was made of is given back. Register 11.5.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from smartcontracts.ids import derive_id
from smartcontracts.internal.elements import (
    ELEMENT_EVENTS,
    ELEMENTS_MAX,
    OPEN,
    ORDER_HANDOVER,
    SERVICE_ELEMENT,
    WHOLE_ORDER_GAS,
    OrderHandover,
    ServiceElement,
    Source,
    current,
    elements_of,
    free_all,
    merged,
)
from smartcontracts.kernel import (
    Call,
    Contract,
    Event,
    Grpc,
    Kind,
    MessageType,
    Outcome,
    Rejected,
    Role,
    Terms,
    View,
    step,
)
from smartcontracts.trade import require_time, words

# Orders of one service that are looked at: it is changed by one at a time, and not without end.
CHANGES_MAX: Final = 1_000
# Services that hold one id: one does, unless it is used on two ledgers.
SERVICES_MAX: Final = 100


class InventoryStatus(StrEnum):
    """Stored on the ledger: never rename a value."""

    IN_OPERATION = "in_operation"
    TERMINATED = "terminated"


LIFECYCLE: Final = MappingProxyType(
    {
        (InventoryStatus.IN_OPERATION, "change"): InventoryStatus.IN_OPERATION,
        (InventoryStatus.IN_OPERATION, "terminate"): InventoryStatus.TERMINATED,
    }
)


class InventoryServiceUnknown(Rejected):
    """The inventory has no such service."""

    code = 6380
    grpc = Grpc.NOT_FOUND


class TerminationUnderWay(Rejected):
    """The service is ended by the order of a change, whose own end is still to be recorded (X-63)."""

    code = 6400


@dataclass(frozen=True, slots=True, kw_only=True)
class InventoryElement:
    """What a service is made of; `element_id` is the service element's document. An external one names its service."""

    element_id: str
    item_ids: tuple[str, ...]
    offering: str
    source: Source
    reservation_id: str = ""
    ledger_id: str = ""
    order_id: str = ""
    service_id: str = ""

    @classmethod
    def of(cls, element: ServiceElement) -> InventoryElement:
        """The part that an element is of the service that its order gave or changed."""
        return cls(
            element_id=element.id,
            item_ids=element.item_ids,
            offering=element.offering,
            source=element.source,
            reservation_id=element.reservation_id,
            ledger_id=element.ledger_id,
            order_id=element.order_id,
            service_id=element.service_id,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class InventoryService:
    """Document: a service in operation for a buyer. Req: D-23."""

    id: str
    status: InventoryStatus = InventoryStatus.IN_OPERATION
    order_handover_id: str
    ledger_id: str
    order_id: str
    service_id: str
    buyer: str
    agreement_id: str
    elements: tuple[InventoryElement, ...] = field(metadata={"list_max": ELEMENTS_MAX})
    in_operation_since_ms: int
    terminated_at_ms: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordTermination:
    """The buyer's service has ended, at `terminated_at_ms` of its ledger."""

    inventory_service_id: str
    terminated_at_ms: int


def inventory_id_of(handover_id: str) -> str:
    """The id of the service that an order gave."""
    return derive_id(INVENTORY_SERVICE.prefix, handover_id)


def inventory_of(handover: OrderHandover, elements: tuple[ServiceElement, ...], time_ms: int) -> InventoryService:
    """The service that an activated order gives."""
    parts = tuple(InventoryElement.of(element) for element in current(elements))
    return InventoryService(
        id=inventory_id_of(handover.id),
        order_handover_id=handover.id,
        ledger_id=handover.ledger_id,
        order_id=handover.order_id,
        service_id=handover.service_id,
        buyer=handover.buyer,
        agreement_id=handover.agreement_id,
        elements=parts,
        in_operation_since_ms=time_ms,
    )


def service_in_operation(ledger_id: str, service_id: str, view: View) -> InventoryService | None:
    """The service that a buyer has under this id on its ledger, if it is in operation. Req: D-23."""
    found = view.find(INVENTORY_SERVICE, "service", service_id, SERVICES_MAX)
    ours = (one for one in found if (one.ledger_id, one.service_id) == (ledger_id, service_id))
    return next((one for one in ours if one.status == InventoryStatus.IN_OPERATION), None)


def delivering_order(ledger_id: str, service_id: str, view: View) -> OrderHandover | None:
    """The order by which a service is still to be delivered. X-61."""
    found = view.find(ORDER_HANDOVER, "service", service_id, CHANGES_MAX)
    ours = (one for one in found if (one.ledger_id, one.service_id) == (ledger_id, service_id))
    return next((one for one in ours if one.change is None and one.status in OPEN), None)


def parts_of(ledger_id: str, service_id: str, view: View) -> tuple[ServiceElement, ...]:
    """What a service is made of, or will be once it is delivered; empty if it is not of this provider. Req: C-01; X-61."""
    service = service_in_operation(ledger_id, service_id, view)
    if service is not None:
        return inventory_elements(service, view)
    order = delivering_order(ledger_id, service_id, view)
    return () if order is None else current(elements_of(order.id, view))


def inventory_elements(service: InventoryService, view: View) -> tuple[ServiceElement, ...]:
    """The documents of what a service is made of, in the inventory's order."""
    found = (view.get(SERVICE_ELEMENT, part.element_id) for part in service.elements)
    return tuple(element for element in found if element is not None)


def terminate(service: InventoryService, view: View, at_ms: int, now_ms: int) -> Outcome:
    """The service is out of the inventory; its elements go back. Rejects with WrongStatus. Req: D-38, D-40."""
    # What later changes put into it is there, too.
    parts = merged(elements_of(service.order_handover_id, view), inventory_elements(service, view))
    return out_of_inventory(service, free_all(parts, now_ms), at_ms)


def out_of_inventory(service: InventoryService, going: tuple[ServiceElement, ...], at_ms: int) -> Outcome:
    """The service at its end, and its elements as that leaves them. Rejects with WrongStatus."""
    over = replace(service, status=step(LIFECYCLE, service.status, "terminate"), terminated_at_ms=at_ms)
    news = tuple(Event(ELEMENT_EVENTS[element.status], element) for element in going)
    return Outcome(writes=(over, *going), events=(Event("inventory_service.terminated", over), *news))


def record_termination(command: RecordTermination, call: Call) -> Outcome:
    """S-BUS writes down that a service has ended on its buyer's ledger.

    Rejects with the first of: InventoryServiceUnknown, TimeOutOfRange, TerminationUnderWay, WrongStatus.
    """
    service = call.view.get(INVENTORY_SERVICE, command.inventory_service_id)
    if service is None:
        raise InventoryServiceUnknown("The inventory has no service with this id.", "inventory_service_id")
    require_time(command.terminated_at_ms, "terminated_at_ms")
    orders = call.view.find(ORDER_HANDOVER, "service", service.service_id, CHANGES_MAX)
    if any(one.status in OPEN and one.change is not None and one.change.begun_at_ms for one in orders):
        raise TerminationUnderWay("A change of this service is under way, which ends it.", "inventory_service_id")
    return terminate(service, call.view, command.terminated_at_ms, call.block.time_ms)


def _terms(service: InventoryService) -> Terms:
    return Terms(
        status=service.status,
        party=words((service.buyer,)),
        offering=words(element.offering for element in service.elements),
        service=words((service.service_id, *(element.service_id for element in service.elements))),
        related=words((service.ledger_id, service.order_id, service.order_handover_id)),
    )


INVENTORY_SERVICE: Final = Kind(
    name="inventory_service",
    prefix="isv",
    record=InventoryService,
    terms=_terms,
    lifecycle=LIFECYCLE,
    filters=("status", "party", "offering", "service", "related"),
)

CONTRACT: Final = Contract(
    name="inventory",
    kinds=(INVENTORY_SERVICE,),
    messages=(
        MessageType(
            name="record_termination",
            command=RecordTermination,
            handler=record_termination,
            roles=(Role.S_BUS,),
            gas=WHOLE_ORDER_GAS,
        ),
    ),
)
