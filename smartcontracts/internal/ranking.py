"""Ranking: all quotes for the same elements in one order, with what each criterion counted.

Q-33 by price, score, lead time and fit, with the rules' weights on dense ranks; X-10 the defaults give that order, and ties go
to the lower block height, then the smaller quote id; Q-37 another quote may be preferred, with the reason. A pure function of
what is recorded: the order in which quotes came plays no part but by their heights.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

from smartcontracts.ids import derive_id
from smartcontracts.internal.decomposition import DECOMPOSITION, Element
from smartcontracts.internal.handover import INQUIRY_HANDOVER
from smartcontracts.internal.handover import LIFECYCLE as HANDOVER_LIFECYCLE
from smartcontracts.internal.release import void_releases
from smartcontracts.internal.rules import SourcingRules, is_resellable, rules_of
from smartcontracts.internal.sourcing import (
    ASKED_MAX,
    LIFECYCLE,
    RECEIVED_QUOTE,
    AskedOutcome,
    Purpose,
    ReceivedQuote,
    Sourcing,
    SourcingStatus,
    require_sourcing,
)
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
    step,
)
from smartcontracts.trade import QuoteLevel, require_reason, words

CURRENCY_OTHER: Final = "CURRENCY_OTHER"
BUDGETARY: Final = "BUDGETARY"
LATE: Final = "LATE"
EXPIRED: Final = "EXPIRED"
OUT_OF_RANGE: Final = "OUT_OF_RANGE"


class ResponsesMissing(Rejected):
    """Sellers that were asked have not answered, and their window is open."""

    code = 6070


class PreferenceInvalid(Rejected):
    """A preferred quote is none of this sourcing that can be chosen, or two are preferred for the same elements (Q-37)."""

    code = 6071
    grpc = Grpc.INVALID_ARGUMENT


@dataclass(frozen=True, slots=True, kw_only=True)
class Preference:
    """The quote that B-BUS would rather have, and why. Req: Q-37."""

    received_quote_id: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RankQuotes:
    """Put what was received in order."""

    sourcing_id: str
    preferences: tuple[Preference, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RankedCriterion:
    """`rank` is dense, from 0 for the best; `points` are weight x rank."""

    name: str
    value: int
    weight: int
    rank: int
    points: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RankedQuote:
    """One quote; with a remark it stands behind all that have none."""

    received_quote_id: str
    seller: str
    points: int
    remark: str
    criteria: tuple[RankedCriterion, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranking:
    """Document: all quotes for the same elements, the best first."""

    id: str
    sourcing_id: str
    subject_id: str
    element_ids: tuple[str, ...]
    currency: str
    quotes: tuple[RankedQuote, ...]
    preferred_quote_id: str = ""
    preferred_reason: str = ""
    rules_version: int
    ranked_at_ms: int


class _Column(NamedTuple):
    """A criterion: values that sort first by `place_of` are better."""

    name: str
    weight: int
    value_of: Callable[[ReceivedQuote], int]
    place_of: Callable[[int], tuple[bool, int]]


def rank_quotes(command: RankQuotes, call: Call) -> Outcome:
    """Rank everything received, elements by elements, and take back what was not carried. Req: Q-33, Q-37.

    Rejects with the first of: SourcingUnknown, WrongStatus, ResponsesMissing, PreferenceInvalid, ReasonInvalid.
    """
    sourcing = require_sourcing(command.sourcing_id, call.view)
    status = step(LIFECYCLE, sourcing.status, "rank")
    if sourcing.status == SourcingStatus.ASKED and any(one.outcome == AskedOutcome.WAITING for one in sourcing.asked):
        raise ResponsesMissing("Wait for every seller, or for the end of the window.", "sourcing_id")
    rules = rules_of(call.view)
    groups = _groups(call.view.find(RECEIVED_QUOTE, "related", sourcing.id, ASKED_MAX))
    decomposition = call.view.get(DECOMPOSITION, sourcing.decomposition_id)
    elements = () if decomposition is None else decomposition.elements
    rankings = tuple(
        Ranking(
            id=derive_id(RANKING.prefix, call.ledger_id, sourcing.id, *element_ids),
            sourcing_id=sourcing.id,
            subject_id=sourcing.subject_id,
            element_ids=element_ids,
            currency=sourcing.currency,
            quotes=ranked(received, sourcing, elements, rules, call.block.time_ms),
            rules_version=rules.version,
            ranked_at_ms=call.block.time_ms,
        )
        for element_ids, received in groups
    )
    rankings = _preferring(rankings, command.preferences)
    done = replace(
        sourcing,
        status=status,
        ranking_ids=tuple(ranking.id for ranking in rankings),
        ranked_at_ms=call.block.time_ms,
    )
    voided = void_releases(call.view, sourcing.id, call.block.time_ms)
    outcome = Outcome(writes=(*rankings, done), events=(Event("sourcing.ranked", done),)).then(voided)
    return outcome.then(_collected(sourcing, call))


def ranked(
    received: tuple[ReceivedQuote, ...],
    sourcing: Sourcing,
    elements: tuple[Element, ...],
    rules: SourcingRules,
    now_ms: int,
) -> tuple[RankedQuote, ...]:
    """The quotes in order, whatever order they are given in. Req: Q-33; X-10."""
    remarks = {one.id: _remark(one, sourcing, rules, now_ms) for one in received}
    criteria: dict[str, list[RankedCriterion]] = {one.id: [] for one in received}
    for name, weight, value_of, place_of in _columns(sourcing, elements, rules):
        # A price in another currency has no place among the others: it ranks behind all of them.
        comparable = [one for one in received if name != "price" or remarks[one.id] != CURRENCY_OTHER]
        values = sorted(dict.fromkeys(value_of(one) for one in comparable), key=place_of)
        ranks = {value: rank for rank, value in enumerate(values)}
        for one in received:
            value = value_of(one)
            foreign = name == "price" and remarks[one.id] == CURRENCY_OTHER
            rank = len(values) if foreign else ranks[value]
            criteria[one.id].append(
                RankedCriterion(name=name, value=value, weight=weight, rank=rank, points=weight * rank)
            )
    points = {one.id: sum(criterion.points for criterion in criteria[one.id]) for one in received}
    in_order = sorted(
        received,
        key=lambda one: (bool(remarks[one.id]), points[one.id], one.recorded_at_height, one.quote.id, one.id),
    )
    return tuple(
        RankedQuote(
            received_quote_id=one.id,
            seller=one.seller,
            points=points[one.id],
            remark=remarks[one.id],
            criteria=tuple(criteria[one.id]),
        )
        for one in in_order
    )


def _columns(sourcing: Sourcing, elements: tuple[Element, ...], rules: SourcingRules) -> tuple[_Column, ...]:
    """The criteria. Who does not say how long it takes is behind all who do: silence is no speed. Req: Q-33."""
    wished = {element.id: element.installation_interval_ms for element in elements}
    return (
        _Column("price", rules.weight_price, lambda one: one.quote.term_total.minor, lambda value: (False, value)),
        _Column("score", rules.weight_score, lambda one: one.score_tenths, lambda value: (False, -value)),
        _Column("lead_time", rules.weight_lead_time, lambda one: one.lead_time_ms, lambda value: (value == 0, value)),
        _Column("fit", rules.weight_fit, lambda one: misfit(one, sourcing, wished), lambda value: (False, value)),
    )


def misfit(received: ReceivedQuote, sourcing: Sourcing, wished: dict[str, int]) -> int:
    """How far a quote is from what was asked, in counts: each item that is subject to feasibility, or takes longer than
    wished or does not say how long, and a level other than the one asked for. Req: Q-33.
    """
    count = 1 if received.quote.level != sourcing.level else 0
    for item in received.quote.items:
        wished_ms = wished.get(item.id, 0)
        count += 1 if item.subject_to_feasibility else 0
        count += 1 if wished_ms and not 0 < item.installation_interval_ms <= wished_ms else 0
    return count


def _remark(received: ReceivedQuote, sourcing: Sourcing, rules: SourcingRules, now_ms: int) -> str:
    if received.quote.term_total.currency != sourcing.currency:
        return CURRENCY_OTHER
    if received.quote.level == QuoteLevel.BUDGETARY and sourcing.level != QuoteLevel.BUDGETARY:
        return BUDGETARY
    if received.late and not received.taken:
        return LATE
    if now_ms > received.quote.valid_until_ms:
        return EXPIRED
    return "" if _is_resellable(received, rules) else OUT_OF_RANGE


def _is_resellable(received: ReceivedQuote, rules: SourcingRules) -> bool:
    """A price at the edge of what money can say has none with a mark-up: who bought at it could not quote at all."""
    quote = received.quote
    prices = (*quote.bundle, *(price for item in quote.items for price in item.prices))
    return is_resellable(max((price.rate.nano for price in prices), default=0), quote.term_total.minor, rules)


def _groups(received: tuple[ReceivedQuote, ...]) -> tuple[tuple[tuple[str, ...], tuple[ReceivedQuote, ...]], ...]:
    """Quotes by the elements that they are for, sorted by those."""
    groups: dict[tuple[str, ...], list[ReceivedQuote]] = {}
    for one in received:
        groups.setdefault(tuple(sorted(one.element_ids)), []).append(one)
    return tuple((element_ids, tuple(groups[element_ids])) for element_ids in sorted(groups))


def _preferring(rankings: tuple[Ranking, ...], preferences: tuple[Preference, ...]) -> tuple[Ranking, ...]:
    """Rejects with PreferenceInvalid, ReasonInvalid."""
    wanted = {preference.received_quote_id: preference for preference in preferences}
    preferring, found = [], 0
    for ranking in rankings:
        chosen = [one for one in ranking.quotes if one.received_quote_id in wanted and not one.remark]
        if len(chosen) > 1:
            raise PreferenceInvalid("Prefer one quote for the same elements.", "preferences")
        found += len(chosen)
        if not chosen:
            preferring.append(ranking)
            continue
        preference = wanted[chosen[0].received_quote_id]
        require_reason(preference.reason)
        preferring.append(
            replace(ranking, preferred_quote_id=preference.received_quote_id, preferred_reason=preference.reason)
        )
    if found != len(preferences):
        raise PreferenceInvalid("Prefer quotes of this sourcing that can be chosen, each once.", "preferences")
    return tuple(preferring)


def _collected(sourcing: Sourcing, call: Call) -> Outcome:
    """What the ranking does to the inquiry that it is for; a recovery's order looks at the sourcing itself."""
    handover = call.view.get(INQUIRY_HANDOVER, sourcing.subject_id)
    if sourcing.purpose != Purpose.INQUIRY or handover is None or handover.sourcing_id != sourcing.id:
        return Outcome()
    collected = replace(handover, status=step(HANDOVER_LIFECYCLE, handover.status, "collect"))
    return Outcome(writes=(collected,), events=(Event("inquiry_handover.collected", collected),))


RANKING: Final = Kind(
    name="ranking",
    prefix="rnk",
    record=Ranking,
    terms=lambda one: Terms(related=words((one.sourcing_id, one.subject_id, one.preferred_quote_id))),
    filters=("related",),
)

CONTRACT: Final = Contract(
    name="ranking",
    kinds=(RANKING,),
    messages=(
        MessageType(name="rank_quotes", command=RankQuotes, handler=rank_quotes, roles=(Role.B_BUS,), gas=10_000),
    ),
)
