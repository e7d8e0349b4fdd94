"""Inquiries: what the duties of several roles need to look up or to do alike."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from node.agents.policies import Part
from node.agents.ports import LedgerPort
from node.agents.steps import UnlessOvertaken
from smartcontracts.agreement import Agreement
from smartcontracts.internal.answer import AnswerNotCarried, AnswerReleased
from smartcontracts.internal.assessment import QuoteReleased
from smartcontracts.internal.decomposition import Element, QueriesOpen, QueryAnswered
from smartcontracts.internal.elements import ServiceElement, Source
from smartcontracts.internal.rules import RULES_ID, SourcingRules
from smartcontracts.internal.sourcing import AskedAlready, LateQuoteUseless, ResponseRecorded
from smartcontracts.kernel import AlreadyDone, WrongStatus

_OVERTAKEN: Final = frozenset(
    refusal.code
    for refusal in (
        AlreadyDone,
        AnswerNotCarried,
        AnswerReleased,
        AskedAlready,
        LateQuoteUseless,
        QueriesOpen,
        QueryAnswered,
        QuoteReleased,
        ResponseRecorded,
        WrongStatus,
    )
)
MESSAGES_MAX: Final = 90
submit_unless_overtaken: Final = UnlessOvertaken(_OVERTAKEN, acts_max=MESSAGES_MAX)


async def rules_on(internal: LedgerPort) -> SourcingRules:
    """The rules in force on the organization's internal ledger."""
    found: SourcingRules | None = await internal.get("sourcing_rules", RULES_ID)
    return found or SourcingRules()


async def agreement_on(port: LedgerPort, organization: str) -> Agreement | None:
    """The agreement of a bilateral ledger, if there is one by now."""
    found: tuple[Agreement, ...] = await port.list("agreement", party=organization)
    return found[0] if found else None


def part_of(element: Element) -> Part:
    """An element as policies see it."""
    return Part(
        id=element.id,
        item_ids=element.item_ids,
        offering=element.offering,
        product=element.product,
        term=element.term,
        action=element.action,
        depends_on=element.depends_on,
    )


async def scores_on(port: LedgerPort, seller: str) -> dict[str, int]:
    """The seller's scores on this ledger in tenths, by offering."""
    scores: tuple[Any, ...] = await port.list("score", party=seller)
    return {score.offering: score.tenths for score in scores if score.seller == seller}


def score_for(scores: Mapping[str, int], offering: str) -> int:
    """The score for an offering, else over all, else -1."""
    return scores.get(offering, scores.get("", -1))


async def bought_on(internal: LedgerPort, service_id: str) -> str:
    """The ledger with the seller of a service that is, or was to be, part of one of ours; empty for a reservation of our own."""
    found: tuple[ServiceElement, ...] = await internal.list("service_element", service=service_id)
    return next((one.ledger_id for one in found if one.source == Source.EXTERNAL), "")
