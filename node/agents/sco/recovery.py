"""SCO and recovery: decides once about each element that failed, chooses replacements, and passes abandonment on. Req: D-29, D-30, D-36."""

from __future__ import annotations

from typing import Final

from node.agents.desk import Desk
from node.agents.duties import Duty
from node.agents.orders import elements_on, submit_unless_overtaken
from node.agents.policies import Failure
from node.agents.ports import LedgerPort, Outward, Refused
from smartcontracts.internal.elements import (
    FAILED,
    REPLACEMENTS_MAX,
    Decision,
    ElementStatus,
    HandoverStatus,
    OrderHandover,
    ServiceElement,
    Source,
    costs_more,
    current,
    end_of,
)
from smartcontracts.internal.orders import bought_by
from smartcontracts.internal.ranking import Ranking
from smartcontracts.internal.recovery import ChooseReplacement, DecideRecovery, NotifyAbandonment
from smartcontracts.internal.sourcing import Purpose, ReceivedQuote, Sourcing, SourcingStatus
from smartcontracts.kernel import Role

DECIDE: Final = "decide"
CHOOSE: Final = "choose"
NOTIFY: Final = "notify"


async def decide_recovery(desk: Desk, port: LedgerPort, handover: OrderHandover) -> None:
    """One decision for each element that failed; what can't be replaced any more is given up. Req: D-29, D-30."""
    elements = await elements_on(port, handover.id)
    failed = [one for one in current(elements) if one.status in FAILED and not one.decision]
    decisions = [(one, _decision(desk, handover, one, elements)) for one in failed]
    # Giving up ends the recovery, so nothing else is decided with it.
    given_up = [pair for pair in decisions if pair[1] == Decision.ABANDON][:1]
    try:
        await submit_unless_overtaken(port, _acts(given_up or decisions), purpose=DECIDE)
    except Refused as refused:
        if refused.detail.transient:
            raise
        # There is no time left for another source, say.
        await submit_unless_overtaken(port, _acts([(failed[0], Decision.ABANDON)]), purpose=DECIDE)


def _acts(decisions: list[tuple[ServiceElement, Decision]]) -> list[Outward]:
    return [
        Outward("decide_recovery", DecideRecovery(element_id=element.id, decision=decision))
        for element, decision in decisions
    ]


def _decision(
    desk: Desk, handover: OrderHandover, element: ServiceElement, elements: tuple[ServiceElement, ...]
) -> Decision:
    if element.tries >= REPLACEMENTS_MAX:
        return Decision.ABANDON
    failure = Failure(
        element_id=element.id,
        offering=element.offering,
        was_internal=element.source == Source.INTERNAL,
        cause=element.cause.value or "failure",
        failures=sum(1 for one in elements if one.replaced_by or one.status in FAILED),
        now_ms=desk.now_ms(),
        activate_by_ms=end_of(handover),
    )
    decision = Decision(desk.policies.recover(failure).value)
    if element.changes and decision != Decision.ABANDON:
        # What is in operation can be changed by who makes it, and by nobody else.
        return Decision.ALTERNATIVE_INTERNAL if failure.was_internal else Decision.ABANDON
    return decision


async def choose_replacement(_desk: Desk, port: LedgerPort, sourcing: Sourcing) -> None:
    """The best quote that costs no more and promises the same; else none. X-26."""
    elements: tuple[ServiceElement, ...] = await port.list("service_element", related=sourcing.id)
    waiting = [element for element in elements if element.status == ElementStatus.SOURCING]
    if not waiting:
        return
    element = waiting[0]
    chosen = await _acceptable(port, sourcing, element)
    try:
        await submit_unless_overtaken(port, [_choice(element, chosen)], purpose=CHOOSE)
    except Refused as refused:
        if refused.detail.transient or not chosen:
            raise
        # It has expired at this moment, say.
        await submit_unless_overtaken(port, [_choice(element, "")], purpose=CHOOSE)


async def catch_up_with_quotes(desk: Desk, port: LedgerPort, element: ServiceElement) -> None:
    """The same, for quotes that were ranked while nobody heard of it."""
    sourcing: Sourcing | None = await port.get("sourcing", element.sourcing_id)
    if sourcing is not None and sourcing.status == SourcingStatus.RANKED:
        await choose_replacement(desk, port, sourcing)


def _choice(element: ServiceElement, received_quote_id: str) -> Outward:
    return Outward("choose_replacement", ChooseReplacement(element_id=element.id, received_quote_id=received_quote_id))


async def _acceptable(port: LedgerPort, sourcing: Sourcing, element: ServiceElement) -> str:
    """The preferred quote, or the best ranked, that will do within this order; empty if there is none.

    Who has failed with this element before is the last to be taken again.
    """
    rankings: tuple[Ranking, ...] = await port.list("ranking", related=sourcing.id)
    before = await elements_on(port, element.order_handover_id)
    failed = {one.seller for one in before if one.element_id == element.element_id and one.replaced_by}
    again = ""
    for ranking in rankings:
        usable = [one.received_quote_id for one in ranking.quotes if not one.remark]
        for received_id in dict.fromkeys((ranking.preferred_quote_id, *usable)):
            received: ReceivedQuote | None = await port.get("received_quote", received_id) if received_id else None
            if received is None or not _will_do(received, element):
                continue
            if received.seller not in failed:
                return received.id
            again = again or received.id
    return again


def _will_do(received: ReceivedQuote, element: ServiceElement) -> bool:
    bought = bought_by(received, element.element_id)
    return not costs_more(bought["cost"], element.cost, element.term) and bought["performance"] == element.performance


async def notify_abandonment(_desk: Desk, port: LedgerPort, handover: OrderHandover) -> None:
    """Tell SOF and B-BUS that the order is given up. Req: D-36."""
    command = NotifyAbandonment(order_handover_id=handover.id)
    await submit_unless_overtaken(port, [Outward("notify_abandonment", command)], purpose=NOTIFY)


DUTIES: Final = (
    Duty(
        name="decide_recovery",
        role=Role.SCO,
        ledger_kind="internal",
        kind="order_handover",
        statuses=(HandoverStatus.RECOVERY,),
        submits=(DECIDE,),
        do=decide_recovery,
    ),
    Duty(
        name="choose_replacement",
        role=Role.SCO,
        ledger_kind="internal",
        kind="sourcing",
        statuses=(SourcingStatus.RANKED,),
        settled=(SourcingStatus.RANKED,),
        applies=lambda _desk, sourcing: sourcing.purpose == Purpose.RECOVERY,
        submits=(CHOOSE,),
        do=choose_replacement,
    ),
    Duty(
        name="catch_up_with_quotes",
        role=Role.SCO,
        ledger_kind="internal",
        kind="service_element",
        statuses=(ElementStatus.SOURCING,),
        catches_up=True,
        submits=(CHOOSE,),
        do=catch_up_with_quotes,
    ),
    Duty(
        name="notify_abandonment",
        role=Role.SCO,
        ledger_kind="internal",
        kind="order_handover",
        statuses=(HandoverStatus.ABANDONING,),
        submits=(NOTIFY,),
        do=notify_abandonment,
    ),
)
