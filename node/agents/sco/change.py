"""SCO and changes: finds what of a service a change is about, so that only who makes an affected element is asked. Req: C-01, C-07, X-63."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from node.agents.desk import Desk
from node.agents.duties import outside
from node.agents.orders import current_on, handover_on
from node.agents.policies import Asked
from node.agents.ports import LedgerPort
from node.agents.sco.elements import elements_of
from node.agents.sco.places import located, location_of
from smartcontracts.inquiry import Inquiry
from smartcontracts.internal.decomposition import Element, expected_lineage, serving_of
from smartcontracts.internal.elements import OPEN, ElementStatus, ServiceElement, Source
from smartcontracts.internal.handover import InquiryHandover
from smartcontracts.internal.inventory import InventoryService, InventoryStatus
from smartcontracts.internal.orders import handover_id_of
from smartcontracts.order import Order, OrderItem, OrderStatus
from smartcontracts.service import Service
from smartcontracts.trade import Action, ChangeKind

# Reasons for an answer: the service is none that this provider delivers or has in operation; a part of it is just being
# replaced, or was not decided about yet; by no way that policy knows it is made of what is there.
SERVICE_UNKNOWN: Final = "SERVICE_UNKNOWN"
SERVICE_UNSETTLED: Final = "SERVICE_UNSETTLED"
NOT_DECOMPOSED: Final = "NOT_DECOMPOSED"
# Where an element of a service in delivery can be changed: somebody works on it, or has done so.
_SETTLED: Final = (
    ElementStatus.AVAILABLE,
    ElementStatus.ACCEPTED,
    ElementStatus.ACTIVATING,
    ElementStatus.ACTIVATED,
    ElementStatus.CHAINED,
)
# Ways to make an item that are tried to find the one by which it was made.
_WAYS_MAX: Final = 16


@dataclass(frozen=True, slots=True)
class Affected:
    """The elements that a change is about; without any, why it can't be made."""

    elements: tuple[Element, ...] = ()
    reason: str = ""


@dataclass(frozen=True, slots=True)
class _Running:
    """What a service is made of; `is_delivered`: by the inventory."""

    elements: tuple[ServiceElement, ...] = ()
    is_delivered: bool = False


async def changed_elements(desk: Desk, port: LedgerPort, handover: InquiryHandover) -> Affected:
    """What a change is about, of a service in operation or still in delivery. Req: C-01, C-07; X-61."""
    inquiry = handover.inquiry
    found = await _running(desk, port, handover)
    running = found.elements
    if inquiry.change is None or not (running or found.is_delivered):
        return Affected(reason=SERVICE_UNKNOWN)
    is_ended = inquiry.change.kind == ChangeKind.TERMINATION
    is_settled = bool(running) and all(_is_settled(one) for one in running)
    # What is in the inventory can be ended whatever it is made of: who activated by hand did without some parts of it.
    if not is_settled and not (is_ended and found.is_delivered):
        return Affected(reason=SERVICE_UNSETTLED)
    if is_ended:
        unserved = await _unserved(desk, handover, running)
        return Affected(_ends(inquiry, running, unserved))
    if not any(item.id in one.item_ids for item in inquiry.items for one in running):
        # New elements of the service, made like any others. Req: C-03.
        return Affected(_made(desk, handover, 1), NOT_DECOMPOSED)
    known = {one.element_id: one for one in running}
    for attempt in range(1, _WAYS_MAX + 1):
        made = _made(desk, handover, attempt)
        if not made:
            break
        elements = _recognized(made, known)
        if elements:
            # What says nothing of where it is stays where it is.
            there = tuple(
                replace(one, product=located(one.product, location_of(known[one.id].product))) for one in elements
            )
            return Affected(_touched(inquiry, there, known))
    return Affected(reason=NOT_DECOMPOSED)


def in_operation(element: ServiceElement) -> str:
    """The reservation that is made for an element, or the seller's service; empty if there is none yet."""
    return element.service_id if element.source == Source.EXTERNAL else element.reservation_id


def _is_settled(element: ServiceElement) -> bool:
    return element.status in _SETTLED and bool(in_operation(element))


async def _running(desk: Desk, port: LedgerPort, handover: InquiryHandover) -> _Running:
    """What the service is made of, by the inventory, or else by the order that is delivering it."""
    change = handover.inquiry.change
    if change is None:
        return _Running()
    services: tuple[InventoryService, ...] = await port.list(
        "inventory_service", service=change.service_id, status=InventoryStatus.IN_OPERATION
    )
    for service in services:
        if (service.ledger_id, service.service_id) == (handover.ledger_id, change.service_id):
            found = [await port.get("service_element", part.element_id) for part in service.elements]
            return _Running(tuple(element for element in found if element is not None), is_delivered=True)
    promised: Service | None = await outside(desk, handover.ledger_id).get("service", change.service_id)
    if promised is None:
        return _Running()
    order = await handover_on(port, handover_id_of(port.id, handover.ledger_id, promised.order_id))
    if order is None or order.status not in OPEN:
        return _Running()
    return _Running(await current_on(port, order.id))


def _recognized(made: tuple[Element, ...], known: Mapping[str, ServiceElement]) -> tuple[Element, ...]:
    """What was made anew, under the ids by which it runs; empty where something of it does not run.

    Ids differ where an earlier quote was used again for items of other names: then the one part of these items with this
    offering is meant.
    """
    names: dict[str, str] = {}
    for element in made:
        running = known.get(element.id)
        if running is None or running.item_ids != element.item_ids:
            alike = [
                one.element_id
                for one in known.values()
                if (one.item_ids, one.offering) == (element.item_ids, element.offering)
            ]
            if len(alike) != 1:
                return ()
            names[element.id] = alike[0]
        else:
            names[element.id] = element.id
    if len(frozenset(names.values())) < len(names):
        return ()
    return tuple(
        replace(
            element,
            id=names[element.id],
            relations=tuple(replace(one, item_id=names[one.item_id]) for one in element.relations),
        )
        for element in made
    )


def _touched(inquiry: Inquiry, made: tuple[Element, ...], known: Mapping[str, ServiceElement]) -> tuple[Element, ...]:
    """Of the elements of the named items those that are to be others than they are; nobody is asked for the rest. Req: C-07.

    What shows no difference, though its item is named, is asked for in all of its parts, and so is what one seller delivers
    as one service, or what an item shares with others that are not named: nobody knows which of it is meant.
    """
    named = {item.id for item in inquiry.items}
    parts = [one for one in known.values() if named.intersection(one.item_ids)]
    touched = {element.id for element in made if _differs(element, known[element.id])}
    if any(not named.issuperset(part.item_ids) for part in parts):
        touched = {element.id for element in made}
    plain = {item_id for element in made if element.id in touched for item_id in element.item_ids}
    touched.update(element.id for element in made if not plain.intersection(element.item_ids))
    services = {_bought_as(known[one]) for one in touched} - {None}
    touched.update(element.id for element in made if _bought_as(known[element.id]) in services)
    return tuple(
        _asked_alone(element, touched, made, inquiry, known[element.id]) for element in made if element.id in touched
    )


def _differs(element: Element, running: ServiceElement) -> bool:
    return (element.offering, element.product, element.term) != (running.offering, running.product, running.term)


def _bought_as(running: ServiceElement) -> tuple[str, str] | None:
    """The seller's service that an element is part of; none if it is made."""
    return (running.ledger_id, running.service_id) if running.source == Source.EXTERNAL else None


def _asked_alone(
    element: Element, touched: set[str], made: tuple[Element, ...], inquiry: Inquiry, running: ServiceElement
) -> Element:
    """An element as a change, without relations to what is not asked for, and named after how much of its item is."""
    serving = serving_of(one.item_ids for one in made if one.id in touched)
    return replace(
        element,
        action=Action.MODIFY,
        service_id=in_operation(running),
        relations=tuple(relation for relation in element.relations if relation.item_id in touched),
        lineage_id=expected_lineage(
            element.id, element.item_ids, serving[element.item_ids[0]], inquiry.items, inquiry.lineage_key
        ),
    )


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


async def _unserved(
    desk: Desk, handover: InquiryHandover, running: tuple[ServiceElement, ...]
) -> tuple[OrderItem, ...]:
    """The named items of a service that nothing here serves, as they were ordered: a person has delivered them by hand."""
    change = handover.inquiry.change
    served = {item_id for one in running for item_id in one.item_ids}
    missing = [item.id for item in handover.inquiry.items if item.id not in served]
    if change is None or not missing:
        return ()
    orders: tuple[Order, ...] = await outside(desk, handover.ledger_id).list("order", service=change.service_id)
    ordered = {
        item.id: item
        for order in sorted(orders, key=lambda one: one.placed_at_ms)
        for item in order.items
        if order.status == OrderStatus.ACTIVATED and item.action != Action.DELETE
    }
    return tuple(ordered[item_id] for item_id in missing if item_id in ordered)


def _ends(
    inquiry: Inquiry, running: tuple[ServiceElement, ...], unserved: tuple[OrderItem, ...]
) -> tuple[Element, ...]:
    """An end for everything that the service is made of; it asks for nothing new, so each is as it was ordered. Req: X-63.

    Of what was never made here the end is nothing: it changes no reservation and no seller's service.
    """
    serving = serving_of(one.item_ids for one in running)
    made = tuple(
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
            service_id=in_operation(one) if _is_settled(one) else "",
        )
        for one in running
    )
    by_hand = tuple(
        Element(
            id=item.id,
            item_ids=(item.id,),
            offering=item.offering,
            product=item.product,
            term=item.term,
            action=Action.DELETE,
            lineage_id=expected_lineage(item.id, (item.id,), 1, inquiry.items, inquiry.lineage_key),
        )
        for item in unserved
    )
    return (*made, *by_hand)
