"""SOF and inquiries: asks the provisioning system about each element, and answers YES or NO. Req: Q-24, Q-25."""

from __future__ import annotations

from typing import Final

from node.agents.desk import Desk
from node.agents.duties import Duty, Later
from node.agents.inquiries import MESSAGES_MAX, bought_on, submit_unless_overtaken
from node.agents.orders import ends_nothing
from node.agents.ports import LedgerPort, Outward
from node.agents.provisioning import Declined, ElementSpec, Offer, Operation, Outage, OutageMethod, Pending, call_id
from smartcontracts.agreement import PriceType
from smartcontracts.internal.decomposition import AnswerSofQueries, SofAnswer, SofQuery, Verdict
from smartcontracts.internal.handover import HandoverStatus, InquiryHandover
from smartcontracts.kernel import Role
from smartcontracts.money import Rate
from smartcontracts.trade import ChangeAnswer, ChangeMethod, Price
from smartcontracts.trade import Outage as Interrupts

ANSWER: Final = "answer"
CURRENCY_OTHER: Final = "CURRENCY_OTHER"
NOT_OURS: Final = "NOT_OURS"


async def answer_queries(desk: Desk, port: LedgerPort, handover: InquiryHandover) -> None:
    """Answer every open query of an inquiry in one transaction; those without an answer yet come later. Req: Q-25."""
    if desk.provisioning is None:
        return
    answers, again_at_ms = [], 0
    queries: tuple[SofQuery, ...] = await port.list("sof_query", related=handover.id, status="asked")
    for query in queries:
        if query.element.service_id and await bought_on(port, query.element.service_id):
            # What a seller delivers, it alone can change.
            answers.append(_answer(query, Declined(NOT_OURS)))
            continue
        if ends_nothing(query.element):
            answers.append(_answer(query, _nothing(query)))
            continue
        found = await desk.provisioning.query(call_id(Operation.QUERY, query.id), _spec(query))
        if isinstance(found, Pending):
            again_at_ms = min(again_at_ms or found.again_at_ms, found.again_at_ms)
        else:
            answers.append(_answer(query, found))
    for first in range(0, len(answers), MESSAGES_MAX):
        command = AnswerSofQueries(answers=tuple(answers[first : first + MESSAGES_MAX]))
        await submit_unless_overtaken(port, [Outward("answer_sof_queries", command)], purpose=ANSWER)
    if again_at_ms:
        raise Later(again_at_ms)


def _nothing(query: SofQuery) -> Offer:
    """The end of what was never made costs nothing and interrupts nothing."""
    free = Price(price_type=PriceType.NON_RECURRING, rate=Rate(0, query.currency), name="installation")
    return Offer(cost=(free,), lead_time_ms=1, outage=Outage(outage_ms=0, method=OutageMethod.RECONFIGURE))


def _spec(query: SofQuery) -> ElementSpec:
    element = query.element
    return ElementSpec(
        element_id=query.id,
        offering=element.offering,
        product=element.product,
        term=element.term,
        action=element.action,
        lead_time_ms=element.installation_interval_ms,
        changes=element.service_id,
    )


def _answer(query: SofQuery, found: Offer | Declined) -> SofAnswer:
    if isinstance(found, Declined):
        return SofAnswer(query_id=query.id, verdict=Verdict.NO, reason=found.reason)
    if any(price.rate.currency != query.currency for price in found.cost):
        return SofAnswer(query_id=query.id, verdict=Verdict.NO, reason=CURRENCY_OTHER)
    change = found.outage
    return SofAnswer(
        query_id=query.id,
        verdict=Verdict.YES,
        prices=found.cost,
        # What is there at once takes a millisecond: a lead time is never left out.
        lead_time_ms=max(1, found.lead_time_ms),
        attributes=found.attributes,
        hold_until_ms=query.needed_until_ms,
        change_answer=None
        if change is None
        else ChangeAnswer(
            outage=Interrupts.YES if change.outage_ms else Interrupts.NO,
            outage_ms=change.outage_ms,
            method=ChangeMethod(change.method.value),
        ),
    )


DUTIES: Final = (
    Duty(
        name="answer_queries",
        role=Role.SOF,
        ledger_kind="internal",
        kind="inquiry_handover",
        statuses=(HandoverStatus.IN_ASSESSMENT,),
        applies=lambda _desk, handover: handover.queries_open > 0,
        submits=(ANSWER,),
        do=answer_queries,
    ),
)
