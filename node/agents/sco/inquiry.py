"""SCO and inquiries: takes them apart, decides what to make and what to buy, and whether to quote. Req: Q-20..Q-28, Q-38..Q-42."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from node.agents.desk import Desk
from node.agents.duties import Duty, Later
from node.agents.inquiries import part_of, rules_on, submit_unless_overtaken
from node.agents.policies import Asked, OwnOffer, Process, RankedQuote
from node.agents.ports import LedgerPort, Outward, Refused
from node.agents.sco.change import NOT_DECOMPOSED, changed_elements
from node.agents.sco.elements import elements_of
from smartcontracts.internal.assessment import Assess, Assessment, AssessVerdict, Choice
from smartcontracts.internal.decomposition import (
    Decompose,
    Decomposition,
    Element,
    QueryStatus,
    ReuseQuote,
    SofQuery,
    decomposition_id,
)
from smartcontracts.internal.handover import (
    HandoverStatus,
    InquiryHandover,
    ReusableQuote,
    decide_by_ms,
    own_time_ms,
    reusable_quote_id,
)
from smartcontracts.internal.ranking import Ranking
from smartcontracts.internal.rules import SourcingRules
from smartcontracts.internal.sourcing import (
    ReceivedQuote,
    RequestSourcing,
    SourcedElement,
    Sourcing,
    SourcingReason,
)
from smartcontracts.kernel import Role
from smartcontracts.money import Rounding
from smartcontracts.pricing import charged_minor
from smartcontracts.trade import Action

DECOMPOSE: Final = "decompose"
SOURCE: Final = "source"
ASSESS: Final = "assess"
WINDOW_OVER: Final = "WINDOW_OVER"
WINDOW_TOO_SHORT: Final = "WINDOW_TOO_SHORT"
NO_CAPACITY: Final = "NO_CAPACITY"
NOT_CHAINABLE: Final = "NOT_CHAINABLE"
SUPPLY_ENDED: Final = "SUPPLY_ENDED"
NOT_QUOTED: Final = "NOT_QUOTED"
# How long S-BUS may take to let a quote out that was decided in a window that is over.
QUOTE_OUT_MS: Final = 3_600_000


async def decide_inquiry(desk: Desk, port: LedgerPort, handover: InquiryHandover) -> None:
    """The next step of an inquiry inside: what it is depends on how far it is."""
    if handover.status == HandoverStatus.IN_ASSESSMENT:
        await _begin(desk, port, handover)
    elif handover.status == HandoverStatus.INTERNAL_KNOWN:
        await _make_or_buy(desk, port, handover)
    elif handover.status == HandoverStatus.COLLECTED:
        await _choose(desk, port, handover)
    else:
        await _reconsider(desk, port, handover)


async def _begin(desk: Desk, port: LedgerPort, handover: InquiryHandover) -> None:
    """Take the inquiry apart, unless SOF is at work; if that takes too long, refuse. Req: Q-22, Q-42; X-09."""
    if handover.queries_open:
        if handover.decision_due:
            await _refuse_if_late(desk, port, handover)
        return
    reason = NOT_DECOMPOSED
    if handover.inquiry.change is not None:
        affected = await changed_elements(desk, port, handover)
        acts, reason = _decomposed(handover, affected.elements), affected.reason or reason
    else:
        acts = await _reuse(desk, port, handover) if handover.attempt == 0 else ()
        acts = acts or await _next_attempt(desk, port, handover)
    if not acts:
        await _refuse(port, handover, reason)
        return
    # What the policy makes of it may be impossible.
    await _submit_or_refuse(port, handover, acts, DECOMPOSE, NOT_DECOMPOSED)


async def _refuse_if_late(desk: Desk, port: LedgerPort, handover: InquiryHandover) -> None:
    """SOF has taken too long; but what was taken apart after the time to decide, by agents that were away, is given time anew."""
    begun_ms = (await _decomposition(port, handover)).decomposed_at_ms
    if begun_ms > handover.decide_by_ms:
        due_ms = decide_by_ms(await rules_on(port), begun_ms, handover.respond_by_ms)
        if desk.now_ms() < due_ms:
            raise Later(due_ms)
    await _refuse(port, handover, WINDOW_OVER)


async def _reuse(desk: Desk, port: LedgerPort, handover: InquiryHandover) -> tuple[Outward, ...]:
    """The newest quote to an identical inquiry that rests on own resources alone, if policy wants it. Req: Q-20, Q-21."""
    pointer_id = reusable_quote_id(port.id, handover.characteristics)
    newest: ReusableQuote | None = await port.get("reusable_quote", pointer_id)
    if newest is None:
        return ()
    age_ms = max(0, desk.now_ms() - newest.answered_at_ms)
    if not desk.policies.reuse(handover.inquiry.buyer, age_ms, await rules_on(port)):
        return ()
    return (Outward("reuse_quote", ReuseQuote(handover_id=handover.id, from_handover_id=newest.handover_id)),)


async def _next_attempt(desk: Desk, port: LedgerPort, handover: InquiryHandover) -> tuple[Outward, ...]:
    """Another decomposition, if policy has one; else, once, the last one with each element asked for by itself. Req: Q-41."""
    attempt = handover.attempt + 1
    if handover.inquiry.change is not None:
        return ()  # there is one way to change what runs: C-07
    asked = Asked(
        handover_id=handover.id,
        buyer=handover.inquiry.buyer,
        items=handover.inquiry.items,
        attempt=attempt,
        now_ms=desk.now_ms(),
        respond_by_ms=handover.respond_by_ms,
    )
    parts = desk.policies.decompose(asked)
    if parts:
        elements = elements_of(parts, handover.inquiry)
    elif attempt == 2 and await _was_asked_together(port, handover):
        elements = (await _decomposition(port, handover)).elements
    else:
        return ()
    return _decomposed(handover, elements)


def _decomposed(handover: InquiryHandover, elements: tuple[Element, ...]) -> tuple[Outward, ...]:
    """The act that takes an inquiry apart; none without elements."""
    return (Outward("decompose", Decompose(handover_id=handover.id, elements=elements)),) if elements else ()


async def _was_asked_together(port: LedgerPort, handover: InquiryHandover) -> bool:
    """Whether sellers were asked for several elements in one: each by itself, there may be one who sells it."""
    sourcing: Sourcing | None = await port.get("sourcing", handover.sourcing_id) if handover.sourcing_id else None
    return sourcing is not None and any(len(one.element_ids) > 1 for one in sourcing.asked)


async def _make_or_buy(desk: Desk, port: LedgerPort, handover: InquiryHandover) -> None:
    """Buy what SOF can't deliver, and what policy buys all the same; else quote. Req: Q-27, Q-28, Q-41."""
    rules = await rules_on(port)
    queries = await _queries(port, handover)
    buying = []
    for element in (await _decomposition(port, handover)).elements:
        query = queries[element.id]
        if query.status != QueryStatus.YES:
            buying.append(SourcedElement(element_id=element.id, reason=SourcingReason.NOT_INTERNAL))
        elif element.action == Action.ADD and desk.policies.buy_too(part_of(element), _own(query), rules):
            buying.append(SourcedElement(element_id=element.id, reason=SourcingReason.DISCRETIONARY))
    respond_by_ms = _sellers_respond_by_ms(desk, handover, rules)
    needs_sellers = any(one.reason == SourcingReason.NOT_INTERNAL for one in buying)
    if buying and respond_by_ms > desk.now_ms():
        request = RequestSourcing(handover_id=handover.id, elements=tuple(buying), respond_by_ms=respond_by_ms)
        await submit_unless_overtaken(port, [Outward("request_sourcing", request)], purpose=SOURCE)
    elif needs_sellers:
        await _try_another_way(desk, port, handover, rules, WINDOW_TOO_SHORT)
    else:
        choices = tuple(Choice(element_id=one, query_id=query.id) for one, query in sorted(queries.items()))
        await _quote(port, handover, choices)


def _sellers_respond_by_ms(desk: Desk, handover: InquiryHandover, rules: SourcingRules) -> int:
    """Until when sellers' answers are of use: the rules' own time is kept, and more if policy wants it. Req: Q-29."""
    window_ms = handover.respond_by_ms - handover.handed_over_at_ms
    wanted_ms = desk.policies.own_time_ms(Process.QUOTING, window_ms, rules)
    return handover.respond_by_ms - max(own_time_ms(rules, window_ms), wanted_ms)


async def _choose(desk: Desk, port: LedgerPort, handover: InquiryHandover) -> None:
    """Choose a source for each element; if there is none, try another way while there is time. Req: Q-38, Q-39, Q-41."""
    rules = await rules_on(port)
    queries = await _queries(port, handover)
    decomposition = await _decomposition(port, handover)
    rankings: tuple[Ranking, ...] = await port.list("ranking", related=handover.sourcing_id)
    received: tuple[ReceivedQuote, ...] = await port.list("received_quote", related=handover.sourcing_id)
    best = _best(rankings, {one.id: one for one in received}, handover.currency)
    choices = _choices(desk, decomposition, queries, best, rules)
    if choices is not None:
        await _quote(port, handover, choices)
    else:
        await _try_another_way(desk, port, handover, rules, NOT_CHAINABLE if received else NO_CAPACITY)


async def _try_another_way(
    desk: Desk, port: LedgerPort, handover: InquiryHandover, rules: SourcingRules, reason: str
) -> None:
    """Another attempt while there is time; else refuse for this reason. Req: Q-41."""
    acts: tuple[Outward, ...] = ()
    if desk.now_ms() < handover.decide_by_ms and handover.attempt < rules.tries_max:
        acts = await _next_attempt(desk, port, handover)
    if not acts:
        await _refuse(port, handover, reason)
        return
    again = Assess(handover_id=handover.id, verdict=AssessVerdict.TRY_AGAIN, reason=reason)
    await _submit_or_refuse(port, handover, (Outward("assess", again), *acts), ASSESS, reason)


def _best(
    rankings: tuple[Ranking, ...], received: dict[str, ReceivedQuote], currency: str
) -> tuple[ReceivedQuote, ...]:
    """The quote to take for each set of elements: the preferred, else the first that can be chosen. Larger sets first."""
    found = []
    for ranking in sorted(rankings, key=lambda one: (-len(one.element_ids), one.element_ids)):
        usable = [one.received_quote_id for one in ranking.quotes if not one.remark]
        taken = ranking.preferred_quote_id or next(iter(usable), "")
        if taken in received and received[taken].quote.term_total.currency == currency:
            found.append(received[taken])
    return tuple(found)


def _choices(
    desk: Desk,
    decomposition: Decomposition,
    queries: dict[str, SofQuery],
    best: tuple[ReceivedQuote, ...],
    rules: SourcingRules,
) -> tuple[Choice, ...] | None:
    """One source for each element; None if there is no such choice. Large quotes are tried first, then small ones."""
    made = {
        element.id
        for element in decomposition.elements
        if queries[element.id].status == QueryStatus.YES
        and desk.policies.make(part_of(element), _own(queries[element.id]), _alone(element, best), rules)
    }
    for order in (best, tuple(reversed(best))):
        chosen = _cover(decomposition.elements, queries, made, order)
        if chosen is not None:
            return chosen
    return None


def _cover(
    elements: tuple[Element, ...], queries: dict[str, SofQuery], made: set[str], quotes: Iterable[ReceivedQuote]
) -> tuple[Choice, ...] | None:
    left = {element.id for element in elements} - made
    choices = [Choice(element_id=one, query_id=queries[one].id) for one in sorted(made)]
    for received in quotes:
        if left.issuperset(received.element_ids):
            left.difference_update(received.element_ids)
            choices.extend(Choice(element_id=one, received_quote_id=received.id) for one in received.element_ids)
    # What could be bought, but only together with what is made, is made.
    for element_id in sorted(left):
        if queries[element_id].status != QueryStatus.YES:
            return None
        choices.append(Choice(element_id=element_id, query_id=queries[element_id].id))
    return tuple(choices)


def _alone(element: Element, best: tuple[ReceivedQuote, ...]) -> RankedQuote | None:
    """The best quote for this element alone, as policies see it; one for several has no price for each."""
    found = next((one for one in best if one.element_ids == (element.id,)), None)
    if found is None:
        return None
    total = found.quote.term_total
    return RankedQuote(
        quote_id=found.id,
        seller=found.seller,
        rank=1,
        total_minor=total.minor,
        currency=total.currency,
        lead_time_ms=found.lead_time_ms,
        score_tenths=found.score_tenths,
        late=found.late,
    )


async def _reconsider(desk: Desk, port: LedgerPort, handover: InquiryHandover) -> None:
    """A quote that is not out when what it rests on ends can't be given any more; nor one that nobody gets written. Req: Q-05."""
    assessment: Assessment | None = await port.get("assessment", handover.assessment_id)
    if handover.release_id or assessment is None:
        return
    now_ms = desk.now_ms()
    out_by_ms = max(handover.respond_by_ms, assessment.decided_at_ms + QUOTE_OUT_MS)
    if assessment.valid_until_ms <= now_ms:
        await _refuse(port, handover, SUPPLY_ENDED)
    elif now_ms > out_by_ms:
        # The agreement's currency has changed, say, or a policy's mark-up makes a price that can't be.
        await _refuse(port, handover, NOT_QUOTED)
    else:
        raise Later(min(assessment.valid_until_ms, out_by_ms + 1))


async def _quote(port: LedgerPort, handover: InquiryHandover, choices: tuple[Choice, ...]) -> None:
    decision = Assess(handover_id=handover.id, verdict=AssessVerdict.TO_QUOTE, choices=choices)
    # A quote may have expired meanwhile, say: then there is no chain of what was chosen.
    await _submit_or_refuse(port, handover, (Outward("assess", decision),), ASSESS, NOT_CHAINABLE)


async def _submit_or_refuse(
    port: LedgerPort, handover: InquiryHandover, acts: tuple[Outward, ...], purpose: str, reason: str
) -> None:
    """Take the step; if it is refused for good, refuse the inquiry: the buyer still gets an answer. Req: Q-05."""
    try:
        await submit_unless_overtaken(port, acts, purpose=purpose)
    except Refused as refused:
        if refused.detail.transient:
            raise
        await _refuse(port, handover, reason)


async def _refuse(port: LedgerPort, handover: InquiryHandover, reason: str) -> None:
    decision = Assess(handover_id=handover.id, verdict=AssessVerdict.TO_REFUSE, reason=reason)
    await submit_unless_overtaken(port, [Outward("assess", decision)], purpose=ASSESS)


async def _decomposition(port: LedgerPort, handover: InquiryHandover) -> Decomposition:
    found: Decomposition | None = await port.get(
        "decomposition", decomposition_id(port.id, handover.id, handover.attempt)
    )
    if found is None:
        raise LookupError(handover.id)  # every attempt has one
    return found


async def _queries(port: LedgerPort, handover: InquiryHandover) -> dict[str, SofQuery]:
    """This attempt's queries by element."""
    found: tuple[SofQuery, ...] = await port.list("sof_query", related=handover.id)
    return {query.element.id: query for query in found if query.attempt == handover.attempt}


def _own(query: SofQuery) -> OwnOffer:
    """What SOF said, as policies see it: over the whole term."""
    answer = query.answer
    if answer is None:
        raise LookupError(query.id)  # YES comes with an answer
    # A sum may be beyond what an amount can be: then SOF's word is dear, and no call of a duty broken.
    total = sum(charged_minor(query.element.term, price, Rounding.HALF_UP) for price in answer.prices)
    return OwnOffer(total_minor=total, currency=query.currency, lead_time_ms=answer.lead_time_ms)


DUTIES: Final = (
    Duty(
        name="decide_inquiry",
        role=Role.SCO,
        ledger_kind="internal",
        kind="inquiry_handover",
        statuses=(
            HandoverStatus.IN_ASSESSMENT,
            HandoverStatus.INTERNAL_KNOWN,
            HandoverStatus.COLLECTED,
            HandoverStatus.TO_QUOTE,
        ),
        submits=(DECOMPOSE, SOURCE, ASSESS),
        do=decide_inquiry,
    ),
)
