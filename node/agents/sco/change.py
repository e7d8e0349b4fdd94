"""SCO and changes: finds in the inventory what a change is about, so that only who makes an affected element is asked. Req: C-07, X-63."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from node.agents.desk import Desk
from node.agents.policies import Asked
from node.agents.ports import LedgerPort
from node.agents.sco.elements import elements_of
from smartcontracts.inquiry import Inquiry
from smartcontracts.internal.decomposition import Element, expected_lineage, serving_of
from smartcontracts.internal.elements import ServiceElement, Source
from smartcontracts.internal.handover import InquiryHandover
from smartcontracts.internal.inventory import InventoryService, InventoryStatus
from smartcontracts.trade import Action, ChangeKind

# Ways to make an item that are tried to find the one by which it was made.
_WAYS_MAX: Final = 16


async def changed_elements(desk: Desk, port: LedgerPort, handover: InquiryHandover) -> tuple[Element, ...]:
    """The elements that a change is about; empty if the service is not in the inventory, or is made in another way. Req: C-07."""
    inquiry = handover.inquiry
    running = await _running(port, handover)
    if inquiry.change is None or not running:
        return ()
    if inquiry.change.kind == ChangeKind.TERMINATION:
        return _ends(inquiry, running)
    if not any(item.id in one.item_ids for item in inquiry.items for one in running):
        # New elements of the service, made like any others. Req: C-03.
        return _made(desk, handover, 1)
    for attempt in range(1, _WAYS_MAX + 1):
        elements = _made(desk, handover, attempt)
        if not elements:
            break
        known = {one.element_id: one for one in running}
        if all(element.id in known for element in elements):
            return tuple(
                replace(element, action=Action.MODIFY, service_id=in_operation(known[element.id]))
                for element in elements
            )
    return ()


def in_operation(element: ServiceElement) -> str:
    """The reservation that is active for an element, or the seller's service."""
    return element.service_id if element.source == Source.EXTERNAL else element.reservation_id


async def _running(port: LedgerPort, handover: InquiryHandover) -> tuple[ServiceElement, ...]:
    """What the service is made of, by the inventory."""
    change = handover.inquiry.change
    if change is None:
        return ()
    services: tuple[InventoryService, ...] = await port.list(
        "inventory_service", service=change.service_id, status=InventoryStatus.IN_OPERATION
    )
    found = []
    for service in services:
        if (service.ledger_id, service.service_id) == (handover.ledger_id, change.service_id):
            for part in service.elements:
                element: ServiceElement | None = await port.get("service_element", part.element_id)
                if element is not None:
                    found.append(element)
    return tuple(found)


def _made(desk: Desk, handover: InquiryHandover, attempt: int) -> tuple[Element, ...]:
    """The elements by which policy would make the items now, in its nth way."""
    inquiry = handover.inquiry
    as_new = replace(inquiry, items=tuple(replace(item, action=Action.ADD) for item in inquiry.items))
    asked = Asked(
        handover_id=handover.id,
        buyer=inquiry.buyer,
        items=as_new.items,
        attempt=attempt,
        now_ms=desk.now_ms(),
        respond_by_ms=handover.respond_by_ms,
    )
    parts = desk.policies.decompose(asked)
    return elements_of(parts, as_new) if parts else ()


def _ends(inquiry: Inquiry, running: tuple[ServiceElement, ...]) -> tuple[Element, ...]:
    """An end for everything that the service is made of; it asks for nothing new, so each is as it was ordered. Req: X-63."""
    serving = serving_of(one.item_ids for one in running)
    return tuple(
        Element(
            id=one.element_id,
            item_ids=one.item_ids,
            offering=one.offering,
            product=one.product,
            term=one.term,
            action=Action.DELETE,
            lineage_id=expected_lineage(
                one.element_id, one.item_ids, serving[one.item_ids[0]], inquiry.items, inquiry.lineage_key
            ),
            service_id=in_operation(one),
        )
        for one in running
    )
