"""SOF and orders: confirms each internal element by a reservation. Req: O-17, O-18."""

from __future__ import annotations

from typing import Final

from node.agents.desk import Desk
from node.agents.duties import Duty, Later
from node.agents.orders import current_on, ends_nothing, handover_on, spec_of, submit_unless_overtaken
from node.agents.ports import LedgerPort, Outward
from node.agents.provisioning import Declined, Operation, Pending, Provisioning, call_id
from smartcontracts.internal.elements import (
    ElementStatus,
    HandoverStatus,
    OrderHandover,
    ServiceElement,
    Source,
    costs_more,
    end_of,
)
from smartcontracts.internal.orders import AnswerAvailability, Availability, ElementAvailability
from smartcontracts.kernel import Role

CONFIRM: Final = "confirm"
# The reservation of the end of what was never made; the provisioning system never hears of it.
NOTHING: Final = "nothing"
PRICE_DIFFERS: Final = "PRICE_DIFFERS"
# Within which SOF learns that an order was accepted, at the last moment even, and after an agent's restart.
NEWS_MS: Final = 600_000


async def confirm_elements(desk: Desk, port: LedgerPort, handover: OrderHandover) -> None:
    """Reserve every internal element of an order, and say which are available; all in one transaction. Req: O-17, O-18."""
    elements = [
        element
        for element in await current_on(port, handover.id)
        if element.source == Source.INTERNAL and element.status == ElementStatus.QUOTED_INTERNAL
    ]
    await _confirm(desk, port, handover, elements)


async def confirm_replacement(desk: Desk, port: LedgerPort, element: ServiceElement) -> None:
    """The same for an element in the place of one that failed. Req: D-30; X-26."""
    handover = await handover_on(port, element.order_handover_id)
    if handover is not None:
        await _confirm(desk, port, handover, [element])


async def _confirm(desk: Desk, port: LedgerPort, handover: OrderHandover, elements: list[ServiceElement]) -> None:
    if desk.provisioning is None:
        return
    answers, again_at_ms = [], 0
    for element in elements:
        found = await _availability(desk.provisioning, handover, element)
        if isinstance(found, Pending):
            again_at_ms = min(again_at_ms or found.again_at_ms, found.again_at_ms)
        else:
            answers.append(found)
    if answers:
        command = AnswerAvailability(order_handover_id=handover.id, answers=tuple(answers))
        await submit_unless_overtaken(port, [Outward("answer_availability", command)], purpose=CONFIRM)
    if again_at_ms:
        raise Later(again_at_ms)


async def _availability(
    provisioning: Provisioning, handover: OrderHandover, element: ServiceElement
) -> ElementAvailability | Pending:
    """A replacement is asked about first, since it may not cost more. X-26."""
    if ends_nothing(element):
        return ElementAvailability(
            element_id=element.id,
            answer=Availability.AVAILABLE,
            reservation_id=NOTHING,
            hold_until_ms=hold_until_ms(handover),
            cost=element.cost,
        )
    cost = element.cost
    if element.replaces:
        offer = await provisioning.query(call_id(Operation.QUERY, element.id), spec_of(element))
        if isinstance(offer, Pending):
            return offer
        if isinstance(offer, Declined):
            return _rejected(element, offer.reason)
        if costs_more(offer.cost, element.cost, element.term):
            return _rejected(element, PRICE_DIFFERS)
        cost = offer.cost
    held = await provisioning.reserve(call_id(Operation.RESERVE, element.id), spec_of(element), hold_until_ms(handover))
    if isinstance(held, Pending):
        return held
    if isinstance(held, Declined):
        return _rejected(element, held.reason)
    return ElementAvailability(
        element_id=element.id,
        answer=Availability.AVAILABLE,
        reservation_id=held.reservation_id,
        hold_until_ms=held.until_ms,
        cost=cost,
    )


async def keep_reserved(desk: Desk, port: LedgerPort, handover: OrderHandover) -> None:
    """Once the order is accepted, what it needs is held until its window ends, whenever activation begins. Req: O-17.

    The same call that reserved it extends it. What is not there any more is found out when it is to be activated.
    """
    if desk.provisioning is None:
        return
    again_at_ms = 0
    for element in await current_on(port, handover.id):
        is_held = element.source == Source.INTERNAL and element.status == ElementStatus.AVAILABLE
        if is_held and not ends_nothing(element):
            held = await desk.provisioning.reserve(
                call_id(Operation.RESERVE, element.id), spec_of(element), hold_until_ms(handover)
            )
            if isinstance(held, Pending):
                again_at_ms = min(again_at_ms or held.again_at_ms, held.again_at_ms)
    if again_at_ms:
        raise Later(again_at_ms)


def hold_until_ms(handover: OrderHandover) -> int:
    """Until when what an order needs is held: its window's end, once it is accepted.

    Before that only as long as it may be accepted, and until that is known here: whoever orders chooses the windows, and what
    nobody has promised is kept from all others.
    """
    return end_of(handover) or handover.accept_by_ms + min(handover.activation_window_ms, NEWS_MS)


def _rejected(element: ServiceElement, reason: str) -> ElementAvailability:
    return ElementAvailability(element_id=element.id, answer=Availability.REJECTED, reason=reason)


DUTIES: Final = (
    Duty(
        name="confirm_elements",
        role=Role.SOF,
        ledger_kind="internal",
        kind="order_handover",
        statuses=(HandoverStatus.CHECKING_INTERNAL,),
        submits=(CONFIRM,),
        do=confirm_elements,
    ),
    Duty(
        name="keep_reserved",
        role=Role.SOF,
        ledger_kind="internal",
        kind="order_handover",
        statuses=(HandoverStatus.ACCEPTED,),
        applies=lambda _desk, handover: end_of(handover) > 0,
        submits=(),
        do=keep_reserved,
    ),
    Duty(
        name="confirm_replacement",
        role=Role.SOF,
        ledger_kind="internal",
        kind="service_element",
        statuses=(ElementStatus.QUOTED_INTERNAL,),
        applies=lambda _desk, element: bool(element.replaces),
        submits=(CONFIRM,),
        do=confirm_replacement,
    ),
)
