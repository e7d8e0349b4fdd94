"""Orders: what the duties of several roles about an order inside its seller look up or do alike."""

from __future__ import annotations

from typing import Final

from node.agents.desk import Desk
from node.agents.duties import outside
from node.agents.ports import LedgerPort
from node.agents.provisioning import ElementSpec
from node.agents.steps import UnlessOvertaken
from smartcontracts.internal.decomposition import Element
from smartcontracts.internal.delivery import (
    ActivationRequested,
    ChangeNotBegun,
    ElementActivated,
    ElementWindowOver,
    NotAccepted,
)
from smartcontracts.internal.elements import (
    AlreadyReleased,
    NothingNew,
    OrderForeign,
    OrderHandover,
    ServiceElement,
    current,
    in_order,
)
from smartcontracts.internal.inventory import TerminationUnderWay
from smartcontracts.internal.orders import InternalsNotAvailable, NotOrdered, QuoteNotAssessed
from smartcontracts.internal.recovery import DecisionMade, NoExtensionAsked, NotPlaced, SourcingOpen
from smartcontracts.kernel import AlreadyDone, WrongStatus
from smartcontracts.order import Order
from smartcontracts.trade import Action

# Half of what ledgers allow unless told otherwise: each may be about a whole order.
ACTS_MAX: Final = 50
_OVERTAKEN: Final = frozenset(
    refusal.code
    for refusal in (
        ActivationRequested,
        AlreadyDone,
        AlreadyReleased,
        ChangeNotBegun,
        DecisionMade,
        ElementActivated,
        ElementWindowOver,
        InternalsNotAvailable,
        NoExtensionAsked,
        NotAccepted,
        NotOrdered,
        NotPlaced,
        NothingNew,
        OrderForeign,
        QuoteNotAssessed,
        SourcingOpen,
        TerminationUnderWay,
        WrongStatus,
    )
)
submit_unless_overtaken: Final = UnlessOvertaken(_OVERTAKEN, acts_max=ACTS_MAX)


async def elements_on(internal: LedgerPort, handover_id: str) -> tuple[ServiceElement, ...]:
    """All elements of an order, replaced ones too, in topology order."""
    found: tuple[ServiceElement, ...] = await internal.list("service_element", related=handover_id)
    return in_order(found)


async def current_on(internal: LedgerPort, handover_id: str) -> tuple[ServiceElement, ...]:
    """The elements that the service is to be made of, in topology order."""
    return current(await elements_on(internal, handover_id))


async def handover_on(internal: LedgerPort, handover_id: str) -> OrderHandover | None:
    """The order that was handed over under this id."""
    found: OrderHandover | None = await internal.get("order_handover", handover_id)
    return found


async def order_outside(desk: Desk, ledger_id: str, order_id: str) -> Order | None:
    """An order as it stands on its bilateral ledger. Raises Later while that is absent."""
    found: Order | None = await outside(desk, ledger_id).get("order", order_id)
    return found


def asked_by_ms(elements: tuple[ServiceElement, ...]) -> int:
    """The latest end that a seller or SOF asks for; 0 if none does."""
    return max((one.extension.activate_by_ms for one in elements if one.extension is not None), default=0)


def ends_nothing(element: ServiceElement | Element) -> bool:
    """Whether an element is the end of a part that was never made: its service was activated by hand. Req: X-63."""
    changes = element.changes if isinstance(element, ServiceElement) else element.service_id
    return element.action == Action.DELETE and not changes


def spec_of(element: ServiceElement) -> ElementSpec:
    """The element as the provisioning system sees it."""
    return ElementSpec(
        element_id=element.id,
        offering=element.offering,
        product=element.product,
        term=element.term,
        action=element.action,
        changes=element.changes,
    )
