"""SCO and delivery: has elements activated in windows of its choice, and chains them in topology order. Req: O-27, D-18, D-25, D-41."""

from __future__ import annotations

from typing import Final

from node.agents.desk import Desk
from node.agents.duties import Duty
from node.agents.orders import asked_by_ms, current_on, handover_on, submit_unless_overtaken
from node.agents.ports import LedgerPort, Outward
from smartcontracts.internal.delivery import ChainElements, ElementWindow, RequestActivation
from smartcontracts.internal.elements import (
    UNDER_WAY,
    ElementStatus,
    HandoverStatus,
    OrderHandover,
    ServiceElement,
    Source,
    end_of,
)
from smartcontracts.internal.recovery import SetWindows
from smartcontracts.kernel import Role

REQUEST: Final = "request"
CHAIN: Final = "chain"
WINDOWS: Final = "windows"
# Of the time until the service window's end, an internal element gets all but this part: chain and test need theirs.
TEST_SHARE: Final = 8


async def request_activation(desk: Desk, port: LedgerPort, handover: OrderHandover) -> None:
    """Have every available element activated, once the acceptance is on the buyer's ledger; replacements too. Req: O-27, D-25."""
    elements = await current_on(port, handover.id)
    waiting = tuple(element for element in elements if element.status == ElementStatus.AVAILABLE)
    if not waiting and handover.status != HandoverStatus.ACCEPTED:
        return
    service_by_ms = handover.service_by_ms or service_end(handover, elements)
    by_ms = element_end(desk.now_ms(), service_by_ms)
    request = RequestActivation(
        order_handover_id=handover.id,
        service_by_ms=service_by_ms,
        elements=tuple(ElementWindow(element_id=element.id, activate_by_ms=by_ms) for element in waiting),
    )
    if desk.now_ms() < by_ms:
        await submit_unless_overtaken(port, [Outward("request_activation", request)], purpose=REQUEST)


async def request_replacement(desk: Desk, port: LedgerPort, element: ServiceElement) -> None:
    """An internal element that replaces another one is available. Req: D-25, D-30."""
    handover = await handover_on(port, element.order_handover_id)
    if handover is not None and handover.status in (HandoverStatus.IN_DELIVERY, HandoverStatus.RECOVERY):
        await request_activation(desk, port, handover)


def service_end(handover: OrderHandover, elements: tuple[ServiceElement, ...]) -> int:
    """The order's window less the time that is kept, but never before that of an element that was bought. X-22."""
    bought_ms = max(
        (one.activate_by_ms for one in elements if one.source == Source.EXTERNAL and one.activate_by_ms), default=0
    )
    return min(handover.activate_by_ms, max(handover.activate_by_ms - handover.delivery_ms, bought_ms))


def element_end(now_ms: int, service_by_ms: int) -> int:
    """The window of an internal element that is requested now."""
    return service_by_ms - max(0, service_by_ms - now_ms) // TEST_SHARE


async def recalculate_windows(desk: Desk, port: LedgerPort, handover: OrderHandover) -> None:
    """After a change of the order's window: the service's, and those of all elements that are worked on. Req: D-41, D-43."""
    elements = await current_on(port, handover.id)
    service_by_ms = max(service_end(handover, elements), min(handover.activate_by_ms, asked_by_ms(elements)))
    if desk.now_ms() >= service_by_ms:
        return
    own_ms = element_end(desk.now_ms(), service_by_ms)
    windows = tuple(
        ElementWindow(element_id=one.id, activate_by_ms=_window(one, own_ms, service_by_ms))
        for one in elements
        if one.status == ElementStatus.ACTIVATING
    )
    command = SetWindows(order_handover_id=handover.id, service_by_ms=service_by_ms, elements=windows)
    await submit_unless_overtaken(port, [Outward("set_windows", command)], purpose=WINDOWS)


def _window(element: ServiceElement, own_ms: int, service_by_ms: int) -> int:
    """Who asks for an end gets that one, if there is so much time; the others get what there is."""
    asked_ms = 0 if element.extension is None else element.extension.activate_by_ms
    if asked_ms > service_by_ms:
        asked_ms = 0
    if element.source == Source.INTERNAL:
        return max(own_ms, element.activate_by_ms, asked_ms)
    return asked_ms or service_by_ms


async def chain_elements(_desk: Desk, port: LedgerPort, handover: OrderHandover) -> None:
    """Chain what is all active. Req: D-18."""
    chain = tuple(element.id for element in await current_on(port, handover.id))
    command = ChainElements(order_handover_id=handover.id, element_ids=chain)
    await submit_unless_overtaken(port, [Outward("chain_elements", command)], purpose=CHAIN)


def _is_accepted(_desk: Desk, handover: OrderHandover) -> bool:
    """Accepted on its own ledger, and if it is a change, started there. Req: C-09."""
    is_begun = handover.change is None or handover.change.begun_at_ms > 0
    return handover.status != HandoverStatus.ACCEPTED or (handover.activate_by_ms > 0 and is_begun)


def _has_no_windows(_desk: Desk, handover: OrderHandover) -> bool:
    return not handover.service_by_ms and end_of(handover) > 0


DUTIES: Final = (
    Duty(
        name="request_activation",
        role=Role.SCO,
        ledger_kind="internal",
        kind="order_handover",
        statuses=(HandoverStatus.ACCEPTED, HandoverStatus.IN_DELIVERY),
        applies=_is_accepted,
        submits=(REQUEST,),
        do=request_activation,
    ),
    Duty(
        name="request_replacement",
        role=Role.SCO,
        ledger_kind="internal",
        kind="service_element",
        statuses=(ElementStatus.AVAILABLE,),
        applies=lambda _desk, element: bool(element.replaces),
        submits=(REQUEST,),
        do=request_replacement,
    ),
    Duty(
        name="recalculate_windows",
        role=Role.SCO,
        ledger_kind="internal",
        kind="order_handover",
        statuses=UNDER_WAY,
        applies=_has_no_windows,
        submits=(WINDOWS,),
        do=recalculate_windows,
    ),
    Duty(
        name="chain_elements",
        role=Role.SCO,
        ledger_kind="internal",
        kind="order_handover",
        statuses=(HandoverStatus.TO_CHAIN,),
        submits=(CHAIN,),
        do=chain_elements,
    ),
)
