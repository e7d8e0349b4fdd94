"""Assessment: SCO's decision on an inquiry, with the Service Chain and what it costs.

Q-38, Q-39 every answer and every quote is referred to, and the chosen ones make a chain; Q-41 another attempt while time is
left; Q-42 decided in the window or not; Q-46 the cost basis, which no other ledger sees.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Final

from smartcontracts.agreement import PriceType
from smartcontracts.ids import derive_id
from smartcontracts.internal.decomposition import (
    DECOMPOSITION,
    ELEMENTS_MAX,
    SOF_QUERY,
    Decomposition,
    Element,
    QueryStatus,
    SofQuery,
    TriesUsed,
    decomposition_id,
    lapse_queries,
    queries_of,
)
from smartcontracts.internal.handover import (
    LIFECYCLE,
    HandoverStatus,
    InquiryHandover,
    refuse,
    require_handover,
)
from smartcontracts.internal.inventory import parts_of
from smartcontracts.internal.rules import SourcingRules, is_resellable, rules_of
from smartcontracts.internal.sourcing import ASKED_MAX, RECEIVED_QUOTE, ReceivedQuote, received_quotes_of
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
from smartcontracts.money import Rate
from smartcontracts.trade import (
    PRICES_MAX,
    TIME_MS_MAX,
    Change,
    ChangeAnswer,
    ChangeKind,
    ChangeMethod,
    InquiryItem,
    Outage,
    PeriodLabel,
    Price,
    QuoteLevel,
    require_reason,
    words,
)

INCLUDED: Final = "included"
REFERRED_MAX: Final = ASKED_MAX * 16


class AssessVerdict(StrEnum):
    """Stored on the ledger: never rename a value."""

    TO_QUOTE = "to_quote"
    TRY_AGAIN = "try_again"
    TO_REFUSE = "to_refuse"


class ChoicesWrong(Rejected):
    """Not exactly one source for each element, or sources for what is not quoted (Q-39)."""

    code = 6080
    grpc = Grpc.INVALID_ARGUMENT


class ChoiceNotInternal(Rejected):
    """The query named is not one of this attempt about this element that SOF answered YES and that still holds."""

    code = 6081


class ChoiceNotReceived(Rejected):
    """The quote named is not one of this attempt that is for this element."""

    code = 6082


class ChoiceCurrencyOther(Rejected):
    """The quote is in another currency than the buyer's agreement: what it would cost is not known."""

    code = 6083


class ChoiceUnusable(Rejected):
    """The quote has expired, came late and was not taken, or is an estimate."""

    code = 6084


class QuoteSplit(Rejected):
    """A seller's quote is ordered as a whole: who chooses it for one of its elements chooses it for all."""

    code = 6085


class QuoteReleased(Rejected):
    """The quote is released: what was decided can't be changed any more."""

    code = 6087


class CostUnquotable(Rejected):
    """An item's cost has more kinds of prices, or higher rates, than a quote with the mark-up can have."""

    code = 6088


class WindowOver(Rejected):
    """There is no time left for another attempt (Q-41)."""

    code = 6086


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """Where one element comes from: SOF's answer or a received quote, one of them."""

    element_id: str
    query_id: str = ""
    received_quote_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Assess:
    """SCO's decision: choices for a quote, else a reason."""

    handover_id: str
    verdict: AssessVerdict
    choices: tuple[Choice, ...] = ()
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class AssessedItem:
    """What an item of the inquiry costs: prices of its elements, summed by type, period and unit."""

    item_id: str
    offering: str
    cost: tuple[Price, ...]
    lead_time_ms: int
    subject_to_feasibility: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Assessment:
    """Document: the decision of one attempt. `chain` has element ids in topological order."""

    id: str
    handover_id: str
    attempt: int
    verdict: AssessVerdict
    chainable: bool
    reason: str
    choices: tuple[Choice, ...]
    chain: tuple[str, ...]
    # Of all attempts, so more than there are elements.
    query_ids: tuple[str, ...] = field(metadata={"list_max": REFERRED_MAX})
    received_quote_ids: tuple[str, ...] = field(metadata={"list_max": REFERRED_MAX})
    items: tuple[AssessedItem, ...]
    # Last millisecond in which everything chosen can still be had; 0 if nothing is.
    valid_until_ms: int
    change_answer: ChangeAnswer | None = None
    decided_at_ms: int
    in_window: bool


@dataclass(frozen=True, slots=True)
class _Source:
    """What is chosen for an element, which serves these items."""

    item_ids: tuple[str, ...]
    prices: tuple[Price, ...]
    lead_time_ms: int
    subject_to_feasibility: bool
    valid_until_ms: int
    change_answer: ChangeAnswer | None


def assess(command: Assess, call: Call) -> Outcome:
    """Decide: quote, try another decomposition, or refuse. Req: Q-39, Q-41, Q-42.

    Rejects with the first of: HandoverUnknown, WrongStatus, QuoteReleased, and for a quote ChoicesWrong; for each element ChoiceNotInternal,
    ChoiceNotReceived, ChoiceCurrencyOther, ChoiceUnusable; QuoteSplit, CostUnquotable; for the others ChoicesWrong,
    ReasonInvalid; for another attempt WindowOver, TriesUsed.
    """
    handover = require_handover(command.handover_id, call.view)
    is_standing = bool(handover.standing_quote_id)
    steps = {AssessVerdict.TO_QUOTE: "stand_by", AssessVerdict.TO_REFUSE: "stand_off"} if is_standing else {}
    status = step(LIFECYCLE, handover.status, steps.get(command.verdict, command.verdict.value))
    if handover.release_id:
        raise QuoteReleased("The answer is on its way.", "handover_id")
    queries = queries_of(call.view, handover.id)
    assessment = Assessment(
        id=assessment_id_of(call.ledger_id, handover.id, handover.attempt),
        handover_id=handover.id,
        attempt=handover.attempt,
        verdict=command.verdict,
        chainable=command.verdict == AssessVerdict.TO_QUOTE,
        reason=command.reason,
        choices=command.choices,
        chain=(),
        query_ids=tuple(query.id for query in queries),
        received_quote_ids=tuple(one.id for one in received_quotes_of(call.view, handover.id)),
        items=(),
        valid_until_ms=0,
        decided_at_ms=call.block.time_ms,
        in_window=call.block.time_ms <= handover.respond_by_ms,
    )
    if command.verdict == AssessVerdict.TO_QUOTE:
        assessment = _chained(assessment, handover, call)
    else:
        _require_grounds(command, handover, call)
    decided = _decided(assessment, handover, status)
    lapsed = lapse_queries(queries) if command.verdict == AssessVerdict.TO_REFUSE else ()
    name = decided.status.value if command.verdict != AssessVerdict.TRY_AGAIN else "try_again"
    return Outcome(writes=(assessment, decided, *lapsed), events=(Event(f"inquiry_handover.{name}", decided),))


def assessment_id_of(internal_id: str, handover_id: str, attempt: int) -> str:
    """The id of the assessment of this attempt."""
    return derive_id(ASSESSMENT.prefix, internal_id, handover_id, attempt)


def _decided(assessment: Assessment, handover: InquiryHandover, status: HandoverStatus) -> InquiryHandover:
    decided = replace(handover, assessment_id=assessment.id)
    if assessment.verdict == AssessVerdict.TRY_AGAIN:
        return replace(decided, status=status, queries_open=0, sourcing_id="")
    if assessment.verdict == AssessVerdict.TO_REFUSE:
        return refuse(decided, assessment.reason, assessment.decided_at_ms)
    known = replace(
        decided, status=status, decided_at_ms=assessment.decided_at_ms, decided_in_window=assessment.in_window
    )
    return replace(known, answer_id=handover.standing_quote_id) if handover.standing_quote_id else known


def _require_grounds(command: Assess, handover: InquiryHandover, call: Call) -> None:
    """Rejects with ChoicesWrong, ReasonInvalid, WindowOver, TriesUsed."""
    if command.choices:
        raise ChoicesWrong("Sources are chosen for a quote only.", "choices")
    require_reason(command.reason)
    if command.verdict == AssessVerdict.TRY_AGAIN:
        if call.block.time_ms > min(handover.decide_by_ms, handover.respond_by_ms):
            raise WindowOver("There is no time left for another attempt.", "verdict")
        if handover.attempt >= rules_of(call.view).tries_max:
            raise TriesUsed(f"{handover.attempt} decompositions were tried.", "verdict")


def _chained(assessment: Assessment, handover: InquiryHandover, call: Call) -> Assessment:
    """The assessment with its chain and cost basis. Rejects as `assess` says for a quote. Req: Q-39, Q-46."""
    found = call.view.get(DECOMPOSITION, decomposition_id(call.ledger_id, handover.id, handover.attempt))
    if found is None:
        raise LookupError(handover.id)  # an attempt without its decomposition is a bug of ours
    sources = (*_sources(assessment.choices, found, handover, call), *_untouched(found, handover, call.view))
    ends = [source.valid_until_ms for source in sources if source.valid_until_ms]
    return replace(
        assessment,
        chain=found.chain,
        items=_require_quotable(_costs(handover.inquiry.items, sources), rules_of(call.view)),
        valid_until_ms=min(ends, default=TIME_MS_MAX),
        change_answer=_change_answer(sources, handover.inquiry.change),
    )


def _sources(
    choices: tuple[Choice, ...], decomposition: Decomposition, handover: InquiryHandover, call: Call
) -> tuple[_Source, ...]:
    elements = {element.id: element for element in decomposition.elements}
    named = [choice.element_id for choice in choices]
    if sorted(named) != sorted(elements) or any(bool(c.query_id) == bool(c.received_quote_id) for c in choices):
        raise ChoicesWrong("Choose one source for each element: an answer of SOF or a quote.", "choices")
    sources: list[_Source] = []
    bought: dict[str, tuple[ReceivedQuote, list[str]]] = {}
    for place, choice in enumerate(choices):
        path = f"choices[{place}]"
        if choice.query_id:
            sources.append(_internal(choice, elements[choice.element_id], handover, call, path))
            continue
        received = _require_received(choice, handover, call, path)
        bought.setdefault(received.id, (received, []))[1].append(choice.element_id)
    for received, element_ids in bought.values():
        if sorted(element_ids) != sorted(received.element_ids):
            raise QuoteSplit("Choose this seller's quote for all of its elements.", "choices")
        sources.extend(_external(received, elements))
    return tuple(sources)


def _internal(choice: Choice, element: Element, handover: InquiryHandover, call: Call, path: str) -> _Source:
    """Rejects with ChoiceNotInternal."""
    query = call.view.get(SOF_QUERY, choice.query_id)
    answer = None if query is None else query.answer
    if query is None or answer is None or not _is_usable(query, element, handover, call.block.time_ms):
        raise ChoiceNotInternal("Name SOF's YES to this element in this attempt.", f"{path}.query_id")
    return _Source(
        item_ids=element.item_ids,
        prices=answer.prices,
        lead_time_ms=answer.lead_time_ms,
        subject_to_feasibility=False,
        valid_until_ms=answer.hold_until_ms,
        change_answer=answer.change_answer,
    )


def _is_usable(query: SofQuery, element: Element, handover: InquiryHandover, now_ms: int) -> bool:
    asked = (query.subject_id, query.attempt, query.element.id)
    held = query.answer is not None and (not query.answer.hold_until_ms or now_ms <= query.answer.hold_until_ms)
    return query.status == QueryStatus.YES and asked == (handover.id, handover.attempt, element.id) and held


def _require_received(choice: Choice, handover: InquiryHandover, call: Call, path: str) -> ReceivedQuote:
    """Rejects with ChoiceNotReceived, ChoiceCurrencyOther, ChoiceUnusable."""
    field_name = f"{path}.received_quote_id"
    received = call.view.get(RECEIVED_QUOTE, choice.received_quote_id)
    if (
        received is None
        or received.sourcing_id != handover.sourcing_id
        or choice.element_id not in received.element_ids
    ):
        raise ChoiceNotReceived("Name a quote of this attempt for this element.", field_name)
    quote = received.quote
    if quote.term_total.currency != handover.currency:
        raise ChoiceCurrencyOther(f"The buyer pays in {handover.currency}.", field_name)
    estimated = quote.level == QuoteLevel.BUDGETARY and handover.inquiry.level != QuoteLevel.BUDGETARY
    if estimated or call.block.time_ms > quote.valid_until_ms or (received.late and not received.taken):
        raise ChoiceUnusable("This quote can't be ordered.", field_name)
    return received


def _external(received: ReceivedQuote, elements: dict[str, Element]) -> tuple[_Source, ...]:
    """A quote's items one by one; what it costs as a bundle goes with its first element."""
    quote = received.quote
    answered = {item.id: item for item in quote.items}
    sources = []
    for place, element_id in enumerate(received.element_ids):
        item = answered[element_id]
        sources.append(
            _Source(
                item_ids=elements[element_id].item_ids,
                prices=item.prices + (quote.bundle if place == 0 else ()),
                lead_time_ms=item.installation_interval_ms,
                subject_to_feasibility=item.subject_to_feasibility,
                valid_until_ms=quote.valid_until_ms,
                change_answer=quote.change_answer,
            )
        )
    return tuple(sources)


def _untouched(decomposition: Decomposition, handover: InquiryHandover, view: View) -> tuple[_Source, ...]:
    """What a changed item is made of besides, and goes on as it is: it costs what it did, but for what was paid once. Req: C-07, Q-46."""
    change = handover.inquiry.change
    if change is None or change.kind == ChangeKind.TERMINATION:
        return ()
    changed = {element.id: None for element in decomposition.elements}
    named = {item.id: None for item in handover.inquiry.items}
    return tuple(
        _Source(
            item_ids=part.item_ids,
            prices=tuple(price for price in part.cost if price.price_type != PriceType.NON_RECURRING),
            lead_time_ms=0,
            subject_to_feasibility=False,
            valid_until_ms=0,
            change_answer=None,
        )
        for part in parts_of(handover.ledger_id, change.service_id, view)
        if part.element_id not in changed and any(item_id in named for item_id in part.item_ids)
    )


def _costs(items: tuple[InquiryItem, ...], sources: tuple[_Source, ...]) -> tuple[AssessedItem, ...]:
    """An element's cost goes with the first of the items that it serves, in the inquiry's order. Req: Q-46."""
    places = {item.id: place for place, item in enumerate(items)}
    costs: list[list[Price]] = [[] for _ in items]
    leads, subject = [0] * len(items), [False] * len(items)
    for source in sources:
        served = sorted(places[item_id] for item_id in source.item_ids if item_id in places)
        costs[served[0]].extend(source.prices)
        for place in served:
            leads[place] = max(leads[place], source.lead_time_ms)
            subject[place] = subject[place] or source.subject_to_feasibility
    return tuple(
        AssessedItem(
            item_id=item.id,
            offering=item.offering,
            cost=summed(tuple(costs[place])),
            lead_time_ms=leads[place],
            subject_to_feasibility=subject[place],
        )
        for place, item in enumerate(items)
    )


def _require_quotable(items: tuple[AssessedItem, ...], rules: SourcingRules) -> tuple[AssessedItem, ...]:
    """Rejects with CostUnquotable: what can't be written into a quote is better known before it is decided to give one."""
    for item in items:
        fits = all(is_resellable(price.rate.nano, 0, rules) for price in item.cost)
        if len(item.cost) > PRICES_MAX or not fits:
            raise CostUnquotable(f"The parts of {item.item_id} cost too much, or in too many ways.", "choices")
    return items


def summed(prices: tuple[Price, ...]) -> tuple[Price, ...]:
    """One price for each type, period and unit, in this order; rates are net and added up exactly.

    A period that somebody gave a label keeps it: its length is the label's.
    """
    sums: dict[tuple[PriceType, int, str, str], int] = {}
    labels: dict[int, PeriodLabel] = {}
    for price in prices:
        charge = (price.price_type, price.period_ms, price.unit, price.rate.currency)
        sums[charge] = sums.get(charge, 0) + price.rate.nano
        labels[price.period_ms] = max(labels.get(price.period_ms, PeriodLabel.NONE), price.period_label)
    return tuple(
        Price(
            price_type=price_type,
            rate=Rate(sums[price_type, period_ms, unit, currency], currency),
            period_ms=period_ms,
            period_label=labels[period_ms],
            unit=unit,
        )
        for price_type, period_ms, unit, currency in sorted(sums)
    )


def _change_answer(sources: tuple[_Source, ...], change: Change | None) -> ChangeAnswer | None:
    """One answer for the whole change: the longest outage of its parts, and how that part is done. Req: C-08.

    What is only added interrupts nothing; a termination needs no answer, and has none of its own.
    """
    if change is None:
        return None
    answers = [source.change_answer for source in sources if source.change_answer is not None]
    with_outage = [one for one in answers if one.outage == Outage.YES]
    if change.kind == ChangeKind.TERMINATION:
        return None
    if with_outage:
        return max(with_outage, key=lambda one: one.outage_ms)
    return next(iter(answers), ChangeAnswer(outage=Outage.NO, method=ChangeMethod.RECONFIGURE))


def assessment_of(handover: InquiryHandover, view: View) -> Assessment | None:
    """The assessment behind a handover's decision; none if it was refused before there was one."""
    return view.get(ASSESSMENT, handover.assessment_id) if handover.assessment_id else None


ASSESSMENT: Final = Kind(
    name="assessment",
    prefix="asm",
    record=Assessment,
    terms=lambda one: Terms(
        status=one.verdict,
        related=words((one.handover_id, *one.query_ids[:ELEMENTS_MAX], *one.received_quote_ids[:ELEMENTS_MAX])),
    ),
    filters=("status", "related"),
)

CONTRACT: Final = Contract(
    name="assessment",
    kinds=(ASSESSMENT,),
    messages=(MessageType(name="assess", command=Assess, handler=assess, roles=(Role.SCO,), gas=3_000),),
)
