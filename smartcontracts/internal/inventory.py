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
    OrderHandover,
    ServiceElement,
    Source,
    current,
    elements_of,
    free_all,
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


class InventoryStatus(StrEnum):
    """Stored on the ledger: never rename a value."""

    IN_OPERATION = "in_operation"
    TERMINATED = "terminated"


LIFECYCLE: Final = MappingProxyType({(InventoryStatus.IN_OPERATION, "terminate"): InventoryStatus.TERMINATED})


class InventoryServiceUnknown(Rejected):
    """The inventory has no such service."""

    code = 6380
    grpc = Grpc.NOT_FOUND


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
    parts = tuple(
        InventoryElement(
            element_id=element.id,
            item_ids=element.item_ids,
            offering=element.offering,
            source=element.source,
            reservation_id=element.reservation_id,
            ledger_id=element.ledger_id,
            order_id=element.order_id,
            service_id=element.service_id,
        )
        for element in current(elements)
    )
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


def terminate(service: InventoryService, view: View, at_ms: int, now_ms: int) -> Outcome:
    """The service is out of the inventory; its elements go back. Rejects with WrongStatus. Req: D-38, D-40."""
    over = replace(service, status=step(LIFECYCLE, service.status, "terminate"), terminated_at_ms=at_ms)
    going = free_all(elements_of(service.order_handover_id, view), now_ms)
    news = tuple(Event(ELEMENT_EVENTS[element.status], element) for element in going)
    return Outcome(writes=(over, *going), events=(Event("inventory_service.terminated", over), *news))


def record_termination(command: RecordTermination, call: Call) -> Outcome:
    """S-BUS writes down that a service has ended on its buyer's ledger.

    Rejects with the first of: InventoryServiceUnknown, TimeOutOfRange, WrongStatus.
    """
    service = call.view.get(INVENTORY_SERVICE, command.inventory_service_id)
    if service is None:
        raise InventoryServiceUnknown("The inventory has no service with this id.", "inventory_service_id")
    require_time(command.terminated_at_ms, "terminated_at_ms")
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
            gas=2_000,
        ),
    ),
)
