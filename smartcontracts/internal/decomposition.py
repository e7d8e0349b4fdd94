"""Decomposition: an inquiry taken apart into service elements, and what SOF says about each.

Q-22, Q-23 an inquiry that is not taken apart is one element an item; Q-24 one query an element before anything is quoted or
bought; Q-25 YES says cost and lead time; Q-26 every answer is kept; Q-41 another decomposition is another attempt with its
own queries; Q-20, Q-21 one that led to a quote before is used again, and SOF is asked anew; X-05 lineage; X-11.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from smartcontracts.canonical_json import require_canonical
from smartcontracts.ids import derive_id
from smartcontracts.internal.handover import (
    INQUIRY_HANDOVER,
    LIFECYCLE,
    HandoverStatus,
    InquiryHandover,
    require_handover,
)
from smartcontracts.internal.rules import rules_of
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
from smartcontracts.lineage import child_lineage
from smartcontracts.money import require_rate
from smartcontracts.pricing import require_price_form
from smartcontracts.trade import (
    PRICES_MAX,
    RELATIONS_MAX,
    Action,
    ChangeAnswer,
    InquiryItem,
    ItemRelation,
    Outage,
    Price,
    Term,
    require_reason,
    require_time,
    words,
)

ELEMENTS_MAX: Final = 128
ITEMS_MAX: Final = 1_000
ATTRIBUTES_BYTES_MAX: Final = 4_096


class Verdict(StrEnum):
    """SOF's two answers. Stored on the ledger: never rename a value. Req: Q-25."""

    YES = "yes"
    NO = "no"


class QueryStatus(StrEnum):
    """Stored on the ledger: never rename a value."""

    ASKED = "asked"
    YES = "yes"
    NO = "no"
    LAPSED = "lapsed"


QUERY_LIFECYCLE: Final = MappingProxyType(
    {
        (QueryStatus.ASKED, Verdict.YES.value): QueryStatus.YES,
        (QueryStatus.ASKED, Verdict.NO.value): QueryStatus.NO,
        (QueryStatus.ASKED, "lapse"): QueryStatus.LAPSED,
    }
)


class ElementsMissing(Rejected):
    """A decomposition without elements."""

    code = 6020
    grpc = Grpc.INVALID_ARGUMENT


class TooManyElements(Rejected):
    """More elements than a decomposition may have."""

    code = 6021
    grpc = Grpc.INVALID_ARGUMENT


class ElementIdInvalid(Rejected):
    """An element has no id, or one that another has."""

    code = 6022
    grpc = Grpc.INVALID_ARGUMENT


class ElementIncomplete(Rejected):
    """An element serves no item, or lacks its offering, product or term."""

    code = 6023
    grpc = Grpc.INVALID_ARGUMENT


class ElementItemUnknown(Rejected):
    """An element serves an item that the inquiry doesn't have, or one twice."""

    code = 6024
    grpc = Grpc.INVALID_ARGUMENT


class ItemNotCovered(Rejected):
    """No element serves this item of the inquiry."""

    code = 6025
    grpc = Grpc.INVALID_ARGUMENT


class ElementRelationUnknown(Rejected):
    """An element depends on one that is not there, or twice on the same in the same way."""

    code = 6026
    grpc = Grpc.INVALID_ARGUMENT


class ElementCycle(Rejected):
    """Elements depend on each other in a circle: no chain can be made of them."""

    code = 6027
    grpc = Grpc.INVALID_ARGUMENT


class LineageWrong(Rejected):
    """An element's lineage id is not the one that follows from its items (X-05)."""

    code = 6028
    grpc = Grpc.INVALID_ARGUMENT


class QueriesOpen(Rejected):
    """SOF has not answered all queries of the attempt under way."""

    code = 6029


class SofQueryUnknown(Rejected):
    """This ledger has no query to SOF with this id, or it is named twice."""

    code = 6030
    grpc = Grpc.INVALID_ARGUMENT


class QueryAnswered(Rejected):
    """SOF has answered this query, or it is not needed any more."""

    code = 6031


class SofAnswerIncomplete(Rejected):
    """YES without cost or lead time, or NO with them (Q-25); or YES to a change that does not say what it interrupts (C-08)."""

    code = 6032
    grpc = Grpc.INVALID_ARGUMENT


class AnswersMissing(Rejected):
    """No answer is given."""

    code = 6033
    grpc = Grpc.INVALID_ARGUMENT


class NotIdentical(Rejected):
    """The earlier inquiry has other characteristics (Q-20)."""

    code = 6034


class NotReusable(Rejected):
    """The earlier inquiry was not quoted, or its quote rests on sellers' quotes, which can be ordered once; or what is
    asked for is a change of a service (Q-21).
    """

    code = 6035


class TriesUsed(Rejected):
    """The rules allow no further decomposition (Q-41)."""

    code = 6036


class DecideNow(Rejected):
    """The time in which another attempt may start is over."""

    code = 6037


@dataclass(frozen=True, slots=True, kw_only=True)
class Element:
    """One actionable part of an inquiry. `relations` lead to the elements that it depends on. Req: Q-22."""

    id: str
    item_ids: tuple[str, ...]
    offering: str
    product: bytes
    term: Term | None = None
    action: Action
    lineage_id: str
    relations: tuple[ItemRelation, ...] = field(default=(), metadata={"list_max": RELATIONS_MAX})
    installation_interval_ms: int = 0
    # With modify and delete: the reservation or the seller's service that is in operation for it.
    service_id: str = ""

    @property
    def depends_on(self) -> tuple[str, ...]:
        """Ids of the elements that come before it in the chain, each once."""
        return tuple(dict.fromkeys(relation.item_id for relation in self.relations))


@dataclass(frozen=True, slots=True, kw_only=True)
class Decompose:
    """Take the inquiry apart, for its next attempt."""

    handover_id: str
    elements: tuple[Element, ...] = field(metadata={"list_max": ITEMS_MAX})


@dataclass(frozen=True, slots=True, kw_only=True)
class ReuseQuote:
    """Take the decomposition that led to a quote before."""

    handover_id: str
    from_handover_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Decomposition:
    """Document: the elements of one attempt; `chain` has their ids in topological order. Never changed."""

    id: str
    subject_id: str
    attempt: int
    elements: tuple[Element, ...]
    chain: tuple[str, ...]
    repurposed_from: str = ""
    decomposed_at_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SofAnswer:
    """SOF's answer to one query. Prices are cost. Req: Q-25."""

    query_id: str
    verdict: Verdict
    prices: tuple[Price, ...] = field(default=(), metadata={"list_max": PRICES_MAX})
    lead_time_ms: int = 0
    attributes: bytes = field(default=b"", metadata={"bytes_max": ATTRIBUTES_BYTES_MAX})
    # Last millisecond for which the answer counts; 0 is no end.
    hold_until_ms: int = 0
    reservation_id: str = ""
    reason: str = ""
    change_answer: ChangeAnswer | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerSofQueries:
    """All answers that SOF has at once."""

    answers: tuple[SofAnswer, ...] = field(metadata={"list_max": ITEMS_MAX})


@dataclass(frozen=True, slots=True, kw_only=True)
class SofQuery:
    """Document: one question to SOF about one element, and its answer. Req: Q-24, Q-26."""

    id: str
    status: QueryStatus
    subject_id: str
    attempt: int
    element: Element
    currency: str
    needed_until_ms: int
    asked_at_ms: int
    answer: SofAnswer | None = None
    answered_at_ms: int = 0


def decompose(command: Decompose, call: Call) -> Outcome:
    """Take the inquiry apart and ask SOF about each element. Req: Q-22, Q-24, Q-41.

    Rejects with the first of: HandoverUnknown, WrongStatus, QueriesOpen, TriesUsed, DecideNow, and what `require_elements` says.
    """
    handover = _require_next_attempt(command.handover_id, call)
    chain = require_elements(command.elements, handover.inquiry.items, handover.inquiry.lineage_key)
    return _begin_attempt(handover, command.elements, chain, call)


def reuse_quote(command: ReuseQuote, call: Call) -> Outcome:
    """Use the elements behind an earlier quote to identical characteristics; SOF confirms each anew. Req: Q-20, Q-21.

    Only what the organization makes by itself can be reused: a seller's quote is good for one order.

    Rejects with the first of: HandoverUnknown, WrongStatus, QueriesOpen, TriesUsed, DecideNow, NotIdentical, NotReusable.
    """
    handover = _require_next_attempt(command.handover_id, call)
    earlier = require_handover(command.from_handover_id, call.view)
    if handover.inquiry.change is not None:
        raise NotReusable("What changes a service in operation is asked for anew.", "handover_id")
    if earlier.id == handover.id or earlier.characteristics != handover.characteristics:
        raise NotIdentical("The inquiries don't ask for the same.", "from_handover_id")
    found = call.view.get(DECOMPOSITION, decomposition_id(call.ledger_id, earlier.id, earlier.attempt))
    if earlier.status != HandoverStatus.QUOTED or earlier.sourcing_id or found is None:
        raise NotReusable("Name an inquiry that was quoted from your own resources alone.", "from_handover_id")
    elements = _renamed(found.elements, earlier, handover)
    chain = require_elements(elements, handover.inquiry.items, handover.inquiry.lineage_key)
    repurposed = replace(handover, repurposed_from=earlier.id)
    return _begin_attempt(repurposed, elements, chain, call)


def answer_sof_queries(command: AnswerSofQueries, call: Call) -> Outcome:
    """Write down SOF's answers; with the last one of an attempt all that is internal is known. Req: Q-25, Q-26.

    Rejects with the first of: AnswersMissing; then for each answer SofQueryUnknown, QueryAnswered, SofAnswerIncomplete,
    CurrencyUnknown, CurrencyMismatch, AmountOutOfRange, PriceFormWrong, TimeOutOfRange, JsonMalformed and the others of
    canonical JSON, ReasonInvalid.
    """
    if not command.answers:
        raise AnswersMissing("Give at least one answer.", "answers")
    answered: dict[str, SofQuery] = {}
    counts: dict[str, int] = {}
    for place, answer in enumerate(command.answers):
        path = f"answers[{place}]"
        query = call.view.get(SOF_QUERY, answer.query_id)
        if query is None or query.id in answered:
            raise SofQueryUnknown("Name a query of this ledger, once.", f"{path}.query_id")
        if query.status != QueryStatus.ASKED:
            raise QueryAnswered(f"The query is {query.status.value}.", f"{path}.query_id")
        _require_answer(answer, query, path)
        status = step(QUERY_LIFECYCLE, query.status, answer.verdict.value)
        answered[query.id] = replace(query, status=status, answer=answer, answered_at_ms=call.block.time_ms)
        counts[query.subject_id] = counts.get(query.subject_id, 0) + 1
    outcome = Outcome(
        writes=tuple(answered.values()), events=tuple(Event("sof_query.answered", one) for one in answered.values())
    )
    for subject_id, count in counts.items():
        outcome = outcome.then(_count_answers(subject_id, count, call.view))
    return outcome


def require_elements(
    elements: tuple[Element, ...], items: tuple[InquiryItem, ...], lineage_key: bytes
) -> tuple[str, ...]:
    """Element ids in topological order, those that come first in the list first where the order is free.

    Rejects with the first of: ElementsMissing, TooManyElements; for each element ElementIdInvalid, ElementIncomplete,
    ElementItemUnknown, JsonMalformed and the others of canonical JSON, TimeOutOfRange; ItemNotCovered; LineageWrong;
    ElementRelationUnknown; ElementCycle.
    """
    if not elements:
        raise ElementsMissing("At least one element is needed.", "elements")
    if len(elements) > ELEMENTS_MAX:
        raise TooManyElements(f"At most {ELEMENTS_MAX} elements are allowed.", "elements")
    known = {item.id: item for item in items}
    seen: dict[str, None] = {}
    for place, element in enumerate(elements):
        path = f"elements[{place}]"
        if not element.id or element.id in seen:
            raise ElementIdInvalid("Every element needs an id of its own.", f"{path}.id")
        seen[element.id] = None
        _require_element(element, known, path)
    covered = dict.fromkeys(item_id for element in elements for item_id in element.item_ids)
    for item_id in known:
        if item_id not in covered:
            raise ItemNotCovered(f"No element serves the item {item_id}.", "elements")
    _require_lineage(elements, known, lineage_key)
    return chain_of(elements)


def serving_of(item_ids: Iterable[tuple[str, ...]]) -> dict[str, int]:
    """How many elements serve each item, by the items that each of them serves."""
    counts: dict[str, int] = {}
    for served in item_ids:
        for item_id in served:
            counts[item_id] = counts.get(item_id, 0) + 1
    return counts


def expected_lineage(
    element_id: str, item_ids: tuple[str, ...], serving: int, items: tuple[InquiryItem, ...], lineage_key: bytes
) -> str:
    """What an element's lineage id must be; `serving` elements serve its first item. Req: X-05.

    An element that is all there is of one item is that item, all the way down. Every other one gets a name of its own.
    """
    parent = next(item.lineage_id for item in items if item.id == item_ids[0])
    return _lineage(element_id, item_ids, serving, parent, lineage_key)


def _lineage(element_id: str, item_ids: tuple[str, ...], serving: int, parent: str, lineage_key: bytes) -> str:
    if len(item_ids) == 1 and serving == 1:
        return parent
    return child_lineage(lineage_key, parent, element_id)


def chain_of(elements: tuple[Element, ...]) -> tuple[str, ...]:
    """Ids in topological order: what an element depends on comes before it. Rejects with ElementRelationUnknown, ElementCycle."""
    ids = {element.id: None for element in elements}
    for place, element in enumerate(elements):
        pairs: dict[tuple[str, str], None] = {}
        for number, relation in enumerate(element.relations):
            path = f"elements[{place}].relations[{number}]"
            if relation.item_id not in ids or (relation.type, relation.item_id) in pairs:
                raise ElementRelationUnknown("Name another element of this decomposition, once.", path)
            pairs[relation.type, relation.item_id] = None
    return _sorted(elements)


def _sorted(elements: tuple[Element, ...]) -> tuple[str, ...]:
    """Ids in topological order; of those that are free the first in the list comes first. Rejects with ElementCycle."""
    missing = {element.id: len(element.depends_on) for element in elements}
    places = {element.id: place for place, element in enumerate(elements)}
    followers: dict[str, list[int]] = {element.id: [] for element in elements}
    for place, element in enumerate(elements):
        for before in element.depends_on:
            followers[before].append(place)
    ready = [places[element_id] for element_id, count in missing.items() if count == 0]
    chain: list[str] = []
    while ready:
        element_id = elements[heapq.heappop(ready)].id
        chain.append(element_id)
        for place in followers[element_id]:
            follower = elements[place].id
            missing[follower] -= 1
            if missing[follower] == 0:
                heapq.heappush(ready, place)
    if len(chain) < len(elements):
        raise ElementCycle("These elements depend on each other in a circle.", "elements")
    return tuple(chain)


def decomposition_id(internal_id: str, subject_id: str, attempt: int) -> str:
    """The id of a subject's decomposition at this attempt."""
    return derive_id(DECOMPOSITION.prefix, internal_id, subject_id, attempt)


def query_id(internal_id: str, subject_id: str, attempt: int, element_id: str) -> str:
    """The id of the query about an element at this attempt."""
    return derive_id(SOF_QUERY.prefix, internal_id, subject_id, attempt, element_id)


def queries_of(view: View, subject_id: str) -> tuple[SofQuery, ...]:
    """All queries of all attempts, sorted by id."""
    return view.find(SOF_QUERY, "related", subject_id, ELEMENTS_MAX * 16)


def lapse_queries(queries: tuple[SofQuery, ...]) -> tuple[SofQuery, ...]:
    """The queries that nobody answered, once nobody waits any more. Req: Q-26."""
    return tuple(
        replace(query, status=step(QUERY_LIFECYCLE, query.status, "lapse"))
        for query in queries
        if query.status == QueryStatus.ASKED
    )


def _require_next_attempt(handover_id: str, call: Call) -> InquiryHandover:
    """Rejects with HandoverUnknown, WrongStatus, QueriesOpen, TriesUsed, DecideNow."""
    handover = require_handover(handover_id, call.view)
    step(LIFECYCLE, handover.status, "decompose")
    if handover.queries_open:
        raise QueriesOpen(f"{handover.queries_open} queries wait for SOF.", "handover_id")
    if handover.attempt >= rules_of(call.view).tries_max:
        raise TriesUsed(f"{handover.attempt} decompositions were tried.", "handover_id")
    # The first attempt is always due: an answer is owed after the window too.
    if handover.attempt and call.block.time_ms > min(handover.decide_by_ms, handover.respond_by_ms):
        raise DecideNow("There is no time left for another attempt.", "handover_id")
    return handover


def _begin_attempt(
    handover: InquiryHandover, elements: tuple[Element, ...], chain: tuple[str, ...], call: Call
) -> Outcome:
    attempt = handover.attempt + 1
    now_ms = call.block.time_ms
    decomposition = Decomposition(
        id=decomposition_id(call.ledger_id, handover.id, attempt),
        subject_id=handover.id,
        attempt=attempt,
        elements=elements,
        chain=chain,
        repurposed_from=handover.repurposed_from,
        decomposed_at_ms=now_ms,
    )
    needed_until_ms = max(now_ms, handover.respond_by_ms) + rules_of(call.view).quote_validity_ms
    queries = tuple(
        SofQuery(
            id=query_id(call.ledger_id, handover.id, attempt, element.id),
            status=QueryStatus.ASKED,
            subject_id=handover.id,
            attempt=attempt,
            element=element,
            currency=handover.currency,
            needed_until_ms=needed_until_ms,
            asked_at_ms=now_ms,
        )
        for element in elements
    )
    asked = replace(
        handover,
        status=step(LIFECYCLE, handover.status, "decompose"),
        attempt=attempt,
        queries_open=len(queries),
    )
    return Outcome(writes=(decomposition, asked, *queries), events=(Event("inquiry_handover.decomposed", asked),))


def _count_answers(subject_id: str, count: int, view: View) -> Outcome:
    handover = view.get(INQUIRY_HANDOVER, subject_id)
    if handover is None:
        return Outcome()
    left = handover.queries_open - count
    after = step(LIFECYCLE, handover.status, "answer" if left else "answer_last")
    counted = replace(handover, status=after, queries_open=left)
    return Outcome(
        writes=(counted,), events=(Event(f"inquiry_handover.{'answers_counted' if left else after.value}", counted),)
    )


def _renamed(elements: tuple[Element, ...], earlier: InquiryHandover, handover: InquiryHandover) -> tuple[Element, ...]:
    """The elements with the new inquiry's item ids, and the lineage that follows from them."""
    item_ids = {old.id: new.id for old, new in zip(earlier.inquiry.items, handover.inquiry.items, strict=True)}
    serving = serving_of(element.item_ids for element in elements)
    renamed = []
    for element in elements:
        ids = tuple(item_ids[item_id] for item_id in element.item_ids)
        lineage = expected_lineage(
            element.id,
            ids,
            serving[element.item_ids[0]],
            handover.inquiry.items,
            handover.inquiry.lineage_key,
        )
        renamed.append(replace(element, item_ids=ids, lineage_id=lineage))
    return tuple(renamed)


def _require_element(element: Element, items: dict[str, InquiryItem], path: str) -> None:
    """Rejects with ElementIncomplete, ElementItemUnknown, those of canonical JSON, TimeOutOfRange."""
    for name in ("item_ids", "offering", "product", "term"):
        if not getattr(element, name):
            raise ElementIncomplete("An element needs items, an offering, a product and a term.", f"{path}.{name}")
    seen: dict[str, None] = {}
    for number, item_id in enumerate(element.item_ids):
        if item_id not in items or item_id in seen:
            raise ElementItemUnknown(
                f"Name items of the inquiry, each once, not {item_id}.", f"{path}.item_ids[{number}]"
            )
        seen[item_id] = None
    require_canonical(element.product, f"{path}.product")
    require_time(element.installation_interval_ms, f"{path}.installation_interval_ms")


def _require_lineage(elements: tuple[Element, ...], items: dict[str, InquiryItem], lineage_key: bytes) -> None:
    """Rejects with LineageWrong."""
    serving = serving_of(element.item_ids for element in elements)
    for place, element in enumerate(elements):
        first = element.item_ids[0]
        expected = _lineage(element.id, element.item_ids, serving[first], items[first].lineage_id, lineage_key)
        if element.lineage_id != expected:
            raise LineageWrong("The lineage id does not follow from the items.", f"elements[{place}].lineage_id")


def _require_answer(answer: SofAnswer, query: SofQuery, path: str) -> None:
    """Rejects as `answer_sof_queries` says. Req: Q-25."""
    if answer.verdict == Verdict.NO:
        if answer.prices or answer.lead_time_ms:
            raise SofAnswerIncomplete("NO has a reason, and neither cost nor lead time.", f"{path}.prices")
        require_reason(answer.reason)
        return
    if not answer.prices:
        raise SofAnswerIncomplete("YES says what it costs.", f"{path}.prices")
    if answer.lead_time_ms <= 0:
        raise SofAnswerIncomplete("YES says how long it takes; at once is 1 ms.", f"{path}.lead_time_ms")
    _require_outage_said(answer.change_answer, query.element.action, f"{path}.change_answer")
    for number, price in enumerate(answer.prices):
        require_rate(price.rate, query.currency, f"{path}.prices[{number}].rate")
        require_price_form(price, f"{path}.prices[{number}]")
    require_time(answer.lead_time_ms, f"{path}.lead_time_ms")
    require_time(answer.hold_until_ms, f"{path}.hold_until_ms")
    if answer.attributes:
        require_canonical(answer.attributes, f"{path}.attributes")


def _require_outage_said(said: ChangeAnswer | None, action: Action, path: str) -> None:
    """Rejects with SofAnswerIncomplete: what the buyer is told of an outage must come from somewhere. Req: C-08."""
    if said is None:
        if action == Action.MODIFY:
            raise SofAnswerIncomplete("YES to a change says whether it interrupts the service.", path)
    elif (said.outage == Outage.YES) != (said.outage_ms > 0) or said.outage_ms < 0:
        raise SofAnswerIncomplete("An outage has a length; without one it is 0.", f"{path}.outage_ms")


DECOMPOSITION: Final = Kind(
    name="decomposition",
    prefix="dcp",
    record=Decomposition,
    terms=lambda one: Terms(
        offering=words(element.offering for element in one.elements),
        related=words((one.subject_id, one.repurposed_from)),
    ),
    filters=("offering", "related"),
)

SOF_QUERY: Final = Kind(
    name="sof_query",
    prefix="sqy",
    record=SofQuery,
    terms=lambda query: Terms(
        status=query.status, offering=words((query.element.offering,)), related=words((query.subject_id,))
    ),
    lifecycle=QUERY_LIFECYCLE,
    filters=("status", "offering", "related"),
)

CONTRACT: Final = Contract(
    name="decomposition",
    kinds=(DECOMPOSITION, SOF_QUERY),
    messages=(
        MessageType(name="decompose", command=Decompose, handler=decompose, roles=(Role.SCO,), gas=3_000),
        MessageType(name="reuse_quote", command=ReuseQuote, handler=reuse_quote, roles=(Role.SCO,), gas=3_000),
        MessageType(
            name="answer_sof_queries",
            command=AnswerSofQueries,
            handler=answer_sof_queries,
            roles=(Role.SOF,),
            gas=3_000,
        ),
    ),
)
