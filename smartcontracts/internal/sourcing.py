"""Sourcing: elements that are bought, the sellers that are asked for them, and what each answered.

Q-08 no seller that is upstream is asked; Q-09 the list of upstream buyers grows by exactly one; Q-27 SCO says why an element
is bought; Q-29 the request runs on over the tiers, in windows that shrink; Q-30 every element is asked for or declared
unsourced; Q-32 a late quote may be taken; Q-34, Q-36 each answer is recorded, quotes as copies. The same serves a recovery:
`sourcing_for` opens one for whatever document needs it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from smartcontracts.ids import derive_id
from smartcontracts.inquiry import INQUIRY, SubmitInquiry
from smartcontracts.internal.counterparty import Counterparty, has_answered, was_silent
from smartcontracts.internal.decomposition import (
    DECOMPOSITION,
    SOF_QUERY,
    Decomposition,
    Element,
    QueryStatus,
    decomposition_id,
    query_id,
)
from smartcontracts.internal.handover import (
    INQUIRY_HANDOVER,
    UNDECIDED,
    own_time_ms,
    require_handover,
)
from smartcontracts.internal.handover import (
    LIFECYCLE as HANDOVER_LIFECYCLE,
)
from smartcontracts.internal.release import open_release, opened, outward_id, with_items_apart
from smartcontracts.internal.rules import rules_of
from smartcontracts.kernel import (
    Call,
    Contract,
    Deadline,
    Due,
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
from smartcontracts.lineage import pseudonym
from smartcontracts.quote import Quote, TakeLateQuote
from smartcontracts.trade import Action, Change, InquiryItem, QuoteLevel, require_reason, words

ASKED_MAX: Final = 512
WINDOW_ENDS: Final = "window_ends"
SUBJECT_KIND: Final = "sourcing"
SCORE_TENTHS_MAX: Final = 100


class Purpose(StrEnum):
    """What sellers are asked for. Stored on the ledger: never rename a value."""

    INQUIRY = "inquiry"
    RECOVERY = "recovery"


class SourcingReason(StrEnum):
    """Why an element is bought. Stored on the ledger: never rename a value. Req: Q-27."""

    NOT_INTERNAL = "not_internal"
    DISCRETIONARY = "discretionary"


class SourcingStatus(StrEnum):
    """Stored on the ledger: never rename a value."""

    OPEN = "open"
    ASKED = "asked"
    ENDED = "ended"
    RANKED = "ranked"


class AskedOutcome(StrEnum):
    """What came of asking a seller. Stored on the ledger: never rename a value."""

    WAITING = "waiting"
    QUOTED = "quoted"
    UNABLE = "unable"
    DEEMED = "deemed"
    REFUSED = "refused"
    LATE = "late"
    LATE_TAKEN = "late_taken"


LIFECYCLE: Final = MappingProxyType(
    {
        (SourcingStatus.OPEN, "ask"): SourcingStatus.OPEN,
        (SourcingStatus.OPEN, "close"): SourcingStatus.ASKED,
        (SourcingStatus.OPEN, WINDOW_ENDS): SourcingStatus.ENDED,
        (SourcingStatus.ASKED, WINDOW_ENDS): SourcingStatus.ENDED,
        (SourcingStatus.ASKED, "rank"): SourcingStatus.RANKED,
        (SourcingStatus.ENDED, "rank"): SourcingStatus.RANKED,
        (SourcingStatus.RANKED, "rank"): SourcingStatus.RANKED,
        **{(status, "record"): status for status in SourcingStatus},
    }
)
# Which outcome may follow which: each seller answers once, and a late quote is recorded and perhaps taken.
NEXT_OUTCOMES: Final = MappingProxyType(
    {
        AskedOutcome.WAITING: (
            AskedOutcome.QUOTED,
            AskedOutcome.UNABLE,
            AskedOutcome.DEEMED,
            AskedOutcome.REFUSED,
            AskedOutcome.LATE,
        ),
        AskedOutcome.DEEMED: (AskedOutcome.LATE, AskedOutcome.UNABLE),
        AskedOutcome.LATE: (AskedOutcome.LATE_TAKEN,),
    }
)
_WITH_QUOTE: Final = (AskedOutcome.QUOTED, AskedOutcome.LATE)


class SourcingUnknown(Rejected):
    """This ledger has no sourcing with this id."""

    code = 6040
    grpc = Grpc.NOT_FOUND


class SourcedElementsInvalid(Rejected):
    """The elements are not some of the decomposition's, each named once."""

    code = 6041
    grpc = Grpc.INVALID_ARGUMENT


class SourcingReasonWrong(Rejected):
    """SOF's answer says otherwise than the reason for which an element is bought (Q-27)."""

    code = 6042


class SourcingWindowWrong(Rejected):
    """No time is left for sellers, or the time that is kept for the organization's own work is not (Q-29)."""

    code = 6043


class AncestorsWrong(Rejected):
    """The list of upstream buyers is not the parent's with this organization's pseudonym at its end (Q-09)."""

    code = 6044


class SellerUpstream(Rejected):
    """The seller is upstream of this request, or is this organization itself (Q-08)."""

    code = 6045


class AskedAlready(Rejected):
    """This seller is asked for one of these elements already."""

    code = 6046


class WindowOutside(Rejected):
    """A seller's window does not lie inside the time that is left (Q-29)."""

    code = 6047


class ElementNotAsked(Rejected):
    """An element is neither asked for nor declared unsourced (Q-30)."""

    code = 6048


class ElementAsked(Rejected):
    """An element that sellers are asked for can't be declared unsourced, nor the other way round (Q-30)."""

    code = 6049


class InquiryNotAsked(Rejected):
    """No inquiry of this sourcing has this id."""

    code = 6050
    grpc = Grpc.INVALID_ARGUMENT


class ResponseRecorded(Rejected):
    """This seller's answer is recorded, and the new one can't follow it (Q-34)."""

    code = 6051


class ResponseUnclear(Rejected):
    """The copy of a quote is missing, not wanted, not the answer to this inquiry, or late and not said to be (Q-32); or the
    score is none.
    """

    code = 6052
    grpc = Grpc.INVALID_ARGUMENT


class ReceivedQuoteUnknown(Rejected):
    """This ledger has no received quote with this id."""

    code = 6053
    grpc = Grpc.NOT_FOUND


class LateQuoteUseless(Rejected):
    """The quote is not a late one that waits, it has expired, or nothing is decided by it any more (Q-32)."""

    code = 6054


class TooManyAsked(Rejected):
    """More sellers are asked than one sourcing may ask."""

    code = 6055


class AskMixed(Rejected):
    """One inquiry can't both add and change, nor change two services."""

    code = 6056
    grpc = Grpc.INVALID_ARGUMENT


class PassedOverInvalid(Rejected):
    """Somebody who is passed over is asked, or named twice."""

    code = 6057
    grpc = Grpc.INVALID_ARGUMENT


@dataclass(frozen=True, slots=True, kw_only=True)
class SourcedElement:
    """An element that is to be bought, and why no seller is asked for it, if so."""

    element_id: str
    reason: SourcingReason
    unsourced_reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestSourcing:
    """SCO asks B-BUS to find sellers. `respond_by_ms` is the last millisecond in which their answers are waited for."""

    handover_id: str
    elements: tuple[SourcedElement, ...]
    respond_by_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AskedSeller:
    """A seller that is asked, and what came of it. `inquiry_id` is what the inquiry will be called out there."""

    ledger_id: str
    seller: str
    agreement_id: str
    element_ids: tuple[str, ...]
    release_id: str
    inquiry_id: str
    outcome: AskedOutcome = AskedOutcome.WAITING
    reason: str = ""
    received_quote_id: str = ""
    recorded_at_ms: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class PassedOver:
    """An organization that is not asked for anything, and why: a word in capitals."""

    ledger_id: str
    seller: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Sourcing:
    """Document: what is bought for a subject, an inquiry's handover or an order in recovery."""

    id: str
    status: SourcingStatus
    purpose: Purpose
    subject_kind: str
    subject_id: str
    attempt: int
    decomposition_id: str
    elements: tuple[SourcedElement, ...]
    currency: str
    level: QuoteLevel
    # Upstream buyers, this organization not among them yet, and the key of their pseudonyms.
    ancestors: tuple[str, ...]
    lineage_key: bytes
    change: Change | None = None
    requested_at_ms: int
    respond_by_ms: int
    asked: tuple[AskedSeller, ...] = ()
    ranking_ids: tuple[str, ...] = ()
    ranked_at_ms: int = 0
    passed_over: tuple[PassedOver, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseInquiry:
    """Ask one seller for some of the elements."""

    sourcing_id: str
    ledger_id: str
    seller: str
    agreement_id: str
    element_ids: tuple[str, ...]
    ancestors: tuple[str, ...]
    # Last millisecond of this seller's window.
    respond_by_ms: int
    salt: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class DeclareUnsourced:
    """Nobody can be asked for these elements."""

    sourcing_id: str
    element_ids: tuple[str, ...]
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CloseAsking:
    """Nobody else is asked, and why not."""

    sourcing_id: str
    passed_over: tuple[PassedOver, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordResponse:
    """What a seller answered, or that it was silent, or that its ledger refused the inquiry."""

    sourcing_id: str
    inquiry_id: str
    outcome: AskedOutcome
    reason: str = ""
    quote: Quote | None = None
    # Tenths; negative if the seller has no score.
    score_tenths: int = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceivedQuote:
    """Document: a copy of a seller's quote, with what it is ranked by. Req: Q-36, Q-39."""

    id: str
    sourcing_id: str
    subject_id: str
    ledger_id: str
    seller: str
    element_ids: tuple[str, ...]
    quote: Quote
    score_tenths: int
    lead_time_ms: int
    late: bool = False
    taken: bool = False
    recorded_at_ms: int
    # Of this ledger: heights of different ledgers don't compare. Req: X-10.
    recorded_at_height: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseLateQuote:
    """Take a late quote, while something can still be decided by it."""

    received_quote_id: str
    salt: bytes


def sourcing_for(
    call: Call,
    decomposition: Decomposition,
    elements: tuple[SourcedElement, ...],
    *,
    purpose: Purpose,
    subject_kind: str,
    currency: str,
    level: QuoteLevel,
    ancestors: tuple[str, ...],
    lineage_key: bytes,
    respond_by_ms: int,
    change: Change | None = None,
) -> Sourcing:
    """A sourcing for some elements of a decomposition, which says whose it is. The caller writes it.

    Rejects with the first of: SourcedElementsInvalid, SourcingWindowWrong.
    """
    known = {element.id: None for element in decomposition.elements}
    named = [element.element_id for element in elements]
    if not named or len(dict.fromkeys(named)) != len(named) or any(one not in known for one in named):
        raise SourcedElementsInvalid("Name elements of the decomposition, each once.", "elements")
    if respond_by_ms <= call.block.time_ms:
        raise SourcingWindowWrong("No time is left for sellers.", "respond_by_ms")
    return Sourcing(
        id=sourcing_id_of(call.ledger_id, decomposition.subject_id, decomposition.attempt),
        status=SourcingStatus.OPEN,
        purpose=purpose,
        subject_kind=subject_kind,
        subject_id=decomposition.subject_id,
        attempt=decomposition.attempt,
        decomposition_id=decomposition.id,
        elements=tuple(replace(element, unsourced_reason="") for element in elements),
        currency=currency,
        level=level,
        ancestors=ancestors,
        lineage_key=lineage_key,
        change=change,
        requested_at_ms=call.block.time_ms,
        respond_by_ms=respond_by_ms,
    )


def request_sourcing(command: RequestSourcing, call: Call) -> Outcome:
    """Ask B-BUS for what SOF can't deliver, or what is bought all the same. Req: Q-27, Q-28, Q-29.

    Rejects with the first of: HandoverUnknown, WrongStatus, SourcedElementsInvalid, SourcingWindowWrong, SourcingReasonWrong.
    """
    handover = require_handover(command.handover_id, call.view)
    status = step(HANDOVER_LIFECYCLE, handover.status, "request_sourcing")
    of_attempt = decomposition_id(call.ledger_id, handover.id, handover.attempt)
    decomposition = _require_decomposition(of_attempt, call.view)
    sourcing = sourcing_for(
        call,
        decomposition,
        command.elements,
        purpose=Purpose.INQUIRY,
        subject_kind=INQUIRY_HANDOVER.name,
        currency=handover.currency,
        level=handover.inquiry.level,
        ancestors=handover.inquiry.ancestors,
        lineage_key=handover.inquiry.lineage_key,
        respond_by_ms=command.respond_by_ms,
        change=handover.inquiry.change,
    )
    window_ms = handover.respond_by_ms - handover.handed_over_at_ms
    if command.respond_by_ms > handover.respond_by_ms - own_time_ms(rules_of(call.view), window_ms):
        raise SourcingWindowWrong("Keep the time that the rules keep for your own work.", "respond_by_ms")
    for place, element in enumerate(command.elements):
        about = query_id(call.ledger_id, handover.id, handover.attempt, element.element_id)
        query = call.view.get(SOF_QUERY, about)
        is_internal = query is not None and query.status == QueryStatus.YES
        if is_internal != (element.reason == SourcingReason.DISCRETIONARY):
            raise SourcingReasonWrong(
                "An element is bought as not_internal after SOF's NO, and as discretionary after its YES.",
                f"elements[{place}].reason",
            )
    waiting = replace(handover, status=status, sourcing_id=sourcing.id)
    return Outcome(writes=(sourcing, waiting), events=(Event("sourcing.requested", sourcing),))


def release_inquiry(command: ReleaseInquiry, call: Call) -> Outcome:
    """Let an inquiry out to one seller. Its items are the elements, with their lineage. Req: Q-08, Q-09, Q-29; X-05.

    Rejects with the first of: SourcingUnknown, WrongStatus, SourcedElementsInvalid, ElementAsked, AncestorsWrong,
    SellerUpstream, AskedAlready, TooManyAsked, WindowOutside, AskMixed, SaltInvalid.
    """
    sourcing = require_sourcing(command.sourcing_id, call.view)
    status = step(LIFECYCLE, sourcing.status, "ask")
    elements = _require_asked_elements(command, sourcing, call.view)
    _require_ancestors(command, sourcing, call.sender.organization)
    _require_not_asked(command, sourcing)
    if not call.block.time_ms < command.respond_by_ms <= sourcing.respond_by_ms:
        raise WindowOutside(f"A window ends later than now, and by {sourcing.respond_by_ms}.", "respond_by_ms")
    inquiry = _inquiry_for(command, sourcing, elements, call.block.time_ms)
    whole = open_release(
        call,
        0,
        role=Role.B_BUS,
        act="submit_inquiry",
        ledger_id=command.ledger_id,
        subject_kind=SUBJECT_KIND,
        subject_id=sourcing.id,
        command_record=inquiry,
        salt=command.salt,
    )
    release, items = with_items_apart(whole, inquiry, call)
    asked = AskedSeller(
        ledger_id=command.ledger_id,
        seller=command.seller,
        agreement_id=command.agreement_id,
        element_ids=command.element_ids,
        release_id=release.id,
        inquiry_id=outward_id(release, INQUIRY, call),
    )
    asking = replace(sourcing, status=status, asked=(*sourcing.asked, asked))
    told = Outcome(writes=(asking,), events=(Event("sourcing.asked_seller", asking),))
    return told.then(items).then(opened(release))


def declare_unsourced(command: DeclareUnsourced, call: Call) -> Outcome:
    """Say that nobody can be asked for some elements. Req: Q-30.

    Rejects with the first of: SourcingUnknown, WrongStatus, SourcedElementsInvalid, ElementAsked, ReasonInvalid.
    """
    sourcing = require_sourcing(command.sourcing_id, call.view)
    status = step(LIFECYCLE, sourcing.status, "ask")
    _require_own_elements(command.element_ids, sourcing)
    taken = dict.fromkeys(element_id for asked in sourcing.asked for element_id in asked.element_ids)
    if any(element_id in taken for element_id in command.element_ids):
        raise ElementAsked("A seller is asked for one of these elements.", "element_ids")
    require_reason(command.reason)
    elements = tuple(
        replace(one, unsourced_reason=command.reason) if one.element_id in command.element_ids else one
        for one in sourcing.elements
    )
    declared = replace(sourcing, status=status, elements=elements)
    return Outcome(writes=(declared,), events=(Event("sourcing.declared_unsourced", declared),))


def close_asking(command: CloseAsking, call: Call) -> Outcome:
    """End the asking: what is left is to wait. Req: Q-30.

    Rejects with the first of: SourcingUnknown, WrongStatus, ElementNotAsked, PassedOverInvalid, ReasonInvalid.
    """
    sourcing = require_sourcing(command.sourcing_id, call.view)
    status = step(LIFECYCLE, sourcing.status, "close")
    asked = dict.fromkeys(element_id for one in sourcing.asked for element_id in one.element_ids)
    for place, element in enumerate(sourcing.elements):
        if element.element_id not in asked and not element.unsourced_reason:
            raise ElementNotAsked(
                f"Ask a seller for {element.element_id}, or declare it unsourced.", f"elements[{place}]"
            )
    _require_passed_over(command.passed_over, sourcing)
    closed = replace(sourcing, status=status, passed_over=command.passed_over)
    return Outcome(writes=(closed,), events=(Event("sourcing.asked", closed),))


def record_response(command: RecordResponse, call: Call) -> Outcome:
    """Write down one seller's answer, a quote as a copy. Also after the ranking: every answer is kept. Req: Q-34, Q-36.

    Rejects with the first of: SourcingUnknown, InquiryNotAsked, ResponseRecorded, ResponseUnclear, ReasonInvalid.
    """
    sourcing = require_sourcing(command.sourcing_id, call.view)
    status = step(LIFECYCLE, sourcing.status, "record")
    asked = next((one for one in sourcing.asked if one.inquiry_id == command.inquiry_id), None)
    if asked is None:
        raise InquiryNotAsked("No inquiry of this sourcing has this id.", "inquiry_id")
    if command.outcome not in NEXT_OUTCOMES.get(asked.outcome, ()):
        raise ResponseRecorded(f"{asked.outcome.value} is recorded for this inquiry.", "outcome")
    if (command.quote is not None) != (
        command.outcome in _WITH_QUOTE
    ) or not -1 <= command.score_tenths < SCORE_TENTHS_MAX:
        raise ResponseUnclear("A quote comes with quoted and late alone, and a score is from 0 to 99 tenths.", "quote")
    if command.reason:
        require_reason(command.reason)
    outcome = _received(command, asked, sourcing, call)
    received_quote_id = outcome.writes[0].id if outcome.writes else asked.received_quote_id  # type: ignore[attr-defined]
    recorded = replace(
        asked,
        outcome=command.outcome,
        reason=command.reason,
        received_quote_id=received_quote_id,
        recorded_at_ms=call.block.time_ms,
    )
    answers = tuple(recorded if one is asked else one for one in sourcing.asked)
    told = replace(sourcing, status=status, asked=answers)
    known = _conduct(recorded, sourcing, call)
    return outcome.then(Outcome(writes=(told, *known), events=(Event("sourcing.response_recorded", told),)))


def release_late_quote(command: ReleaseLateQuote, call: Call) -> Outcome:
    """Let the taking of a late quote out, while its inquiry's own answer is undecided. Req: Q-32.

    Rejects with the first of: ReceivedQuoteUnknown, SourcingUnknown, LateQuoteUseless, SaltInvalid.
    """
    received = require_received(command.received_quote_id, call.view)
    sourcing = require_sourcing(received.sourcing_id, call.view)
    asked = next(one for one in sourcing.asked if one.received_quote_id == received.id)
    if asked.outcome != AskedOutcome.LATE or call.block.time_ms > received.quote.valid_until_ms:
        raise LateQuoteUseless("This quote is not late and valid.", "received_quote_id")
    if not _is_undecided(sourcing, call.view):
        raise LateQuoteUseless("What it was asked for is decided.", "received_quote_id")
    if asked.reason == _TAKING:
        raise LateQuoteUseless("Its taking is released already.", "received_quote_id")
    release = open_release(
        call,
        0,
        role=Role.B_BUS,
        act="take_late_quote",
        ledger_id=received.ledger_id,
        subject_kind=RECEIVED_QUOTE.name,
        subject_id=received.id,
        command_record=TakeLateQuote(inquiry_id=asked.inquiry_id, quote_id=received.quote.id),
        salt=command.salt,
    )
    taking = replace(
        sourcing, asked=tuple(replace(one, reason=_TAKING) if one is asked else one for one in sourcing.asked)
    )
    return Outcome(writes=(taking,), events=(Event("sourcing.taking_late_quote", taking),)).then(opened(release))


_TAKING: Final = "TAKING"


def end_window(sourcing: Sourcing, _: Due) -> Outcome:
    """The time for sellers is over: nobody else is asked or waited for. Req: Q-31."""
    ended = replace(sourcing, status=step(LIFECYCLE, sourcing.status, WINDOW_ENDS))
    return Outcome(writes=(ended,), events=(Event("sourcing.ended", ended),))


def require_sourcing(sourcing_id: str, view: View) -> Sourcing:
    """Rejects with SourcingUnknown."""
    found = view.get(SOURCING, sourcing_id)
    if found is None:
        raise SourcingUnknown("There is no sourcing with this id.", "sourcing_id")
    return found


def require_received(received_quote_id: str, view: View) -> ReceivedQuote:
    """Rejects with ReceivedQuoteUnknown."""
    found = view.get(RECEIVED_QUOTE, received_quote_id)
    if found is None:
        raise ReceivedQuoteUnknown("There is no received quote with this id.", "received_quote_id")
    return found


def sourcing_id_of(internal_id: str, subject_id: str, attempt: int) -> str:
    """The id of the sourcing for this attempt."""
    return derive_id(SOURCING.prefix, internal_id, subject_id, attempt)


def received_quote_id_of(internal_id: str, sourcing_id: str, ledger_id: str, quote_id: str) -> str:
    """The id of the copy of a seller's quote."""
    return derive_id(RECEIVED_QUOTE.prefix, internal_id, sourcing_id, ledger_id, quote_id)


def received_quotes_of(view: View, subject_id: str) -> tuple[ReceivedQuote, ...]:
    """All quotes of all attempts, sorted by id."""
    return view.find(RECEIVED_QUOTE, "related", subject_id, ASKED_MAX * 16)


def _require_decomposition(wanted: str, view: View) -> Decomposition:
    found = view.get(DECOMPOSITION, wanted)
    if found is None:
        raise LookupError(wanted)  # an attempt without its decomposition is a bug of ours
    return found


def _require_own_elements(element_ids: tuple[str, ...], sourcing: Sourcing) -> None:
    """Rejects with SourcedElementsInvalid."""
    known = {one.element_id: None for one in sourcing.elements}
    if (
        not element_ids
        or len(dict.fromkeys(element_ids)) != len(element_ids)
        or any(one not in known for one in element_ids)
    ):
        raise SourcedElementsInvalid("Name elements of this sourcing, each once.", "element_ids")


def _require_asked_elements(command: ReleaseInquiry, sourcing: Sourcing, view: View) -> tuple[Element, ...]:
    """Rejects with SourcedElementsInvalid, ElementAsked."""
    _require_own_elements(command.element_ids, sourcing)
    if any(one.unsourced_reason for one in sourcing.elements if one.element_id in command.element_ids):
        raise ElementAsked("One of these elements was declared unsourced.", "element_ids")
    elements = {one.id: one for one in _require_decomposition(sourcing.decomposition_id, view).elements}
    return tuple(elements[element_id] for element_id in command.element_ids)


def _require_ancestors(command: ReleaseInquiry, sourcing: Sourcing, organization: str) -> None:
    """Rejects with AncestorsWrong, SellerUpstream. Req: Q-08, Q-09."""
    expected = (*sourcing.ancestors, pseudonym(sourcing.lineage_key, organization))
    if command.ancestors != expected:
        raise AncestorsWrong("Pass the list on as it came, with your own pseudonym at the end.", "ancestors")
    if pseudonym(sourcing.lineage_key, command.seller) in expected:
        raise SellerUpstream("This seller is upstream of the request.", "seller")


def _require_not_asked(command: ReleaseInquiry, sourcing: Sourcing) -> None:
    """Rejects with AskedAlready, TooManyAsked."""
    for one in sourcing.asked:
        if one.ledger_id == command.ledger_id and any(
            element_id in one.element_ids for element_id in command.element_ids
        ):
            raise AskedAlready("This seller is asked for one of these elements.", "element_ids")
    if len(sourcing.asked) >= ASKED_MAX:
        raise TooManyAsked(f"At most {ASKED_MAX} inquiries are made for one sourcing.", "sourcing_id")


def _require_passed_over(passed_over: tuple[PassedOver, ...], sourcing: Sourcing) -> None:
    """Rejects with PassedOverInvalid, ReasonInvalid."""
    named = {asked.ledger_id: None for asked in sourcing.asked}
    for place, one in enumerate(passed_over):
        if one.ledger_id in named:
            raise PassedOverInvalid("Name who is not asked, each once.", f"passed_over[{place}].ledger_id")
        named[one.ledger_id] = None
        require_reason(one.reason)


def _inquiry_for(
    command: ReleaseInquiry, sourcing: Sourcing, elements: tuple[Element, ...], now_ms: int
) -> SubmitInquiry:
    """The inquiry: elements become its items. The wished completion is when the answers are waited for no longer, so
    that its window ends in time however long the way there takes. Rejects with AskMixed. Req: Q-29.
    """
    inside = {element.id: None for element in elements}
    items = tuple(
        InquiryItem(
            id=element.id,
            action=element.action,
            offering=element.offering,
            product=element.product,
            relations=tuple(relation for relation in element.relations if relation.item_id in inside),
            term=element.term,
            installation_interval_ms=element.installation_interval_ms,
            lineage_id=element.lineage_id,
        )
        for element in elements
    )
    return SubmitInquiry(
        seller=command.seller,
        agreement_id=command.agreement_id,
        level=sourcing.level,
        items=items,
        response_window_ms=command.respond_by_ms - now_ms,
        requested_completion_ms=command.respond_by_ms,
        ancestors=command.ancestors,
        lineage_key=sourcing.lineage_key,
        change=_change_for(sourcing, elements),
    )


def _change_for(sourcing: Sourcing, elements: tuple[Element, ...]) -> Change | None:
    """What the seller is asked to change: the service that is in operation for these elements. Rejects with AskMixed."""
    services = words(element.service_id for element in elements if element.action != Action.ADD)
    changing = [element for element in elements if element.action != Action.ADD]
    if not changing:
        return None
    if sourcing.change is None or len(services) != 1 or len(changing) != len(elements):
        raise AskMixed("Ask for changes of one service, or for what is new.", "element_ids")
    return replace(sourcing.change, service_id=services[0])


def _received(command: RecordResponse, asked: AskedSeller, sourcing: Sourcing, call: Call) -> Outcome:
    """The copy of a quote, or the late one that was taken. Rejects with ResponseUnclear. Req: Q-32."""
    if command.outcome == AskedOutcome.LATE_TAKEN:
        taken = replace(require_received(asked.received_quote_id, call.view), taken=True)
        return Outcome(writes=(taken,), events=(Event("received_quote.taken", taken),))
    quote = command.quote
    if quote is None:
        return Outcome()
    answered = sorted(item.id for item in quote.items)
    if (quote.inquiry_id, quote.seller) != (asked.inquiry_id, asked.seller) or answered != sorted(asked.element_ids):
        raise ResponseUnclear("The copy is not this seller's answer to this inquiry.", "quote")
    if quote.late != (command.outcome == AskedOutcome.LATE):
        raise ResponseUnclear("A quote that came after its window is recorded as late, and no other.", "quote.late")
    received = ReceivedQuote(
        id=received_quote_id_of(call.ledger_id, sourcing.id, asked.ledger_id, quote.id),
        sourcing_id=sourcing.id,
        subject_id=sourcing.subject_id,
        ledger_id=asked.ledger_id,
        seller=asked.seller,
        element_ids=asked.element_ids,
        quote=quote,
        score_tenths=command.score_tenths,
        lead_time_ms=max(item.installation_interval_ms for item in quote.items),
        late=command.outcome == AskedOutcome.LATE,
        recorded_at_ms=call.block.time_ms,
        recorded_at_height=call.block.height,
    )
    return Outcome(writes=(received,), events=(Event("received_quote.recorded", received),))


def _conduct(asked: AskedSeller, sourcing: Sourcing, call: Call) -> tuple[Counterparty, ...]:
    """What the response says of the seller itself. What its ledger refused never reached it. Req: Q-31."""
    if asked.outcome == AskedOutcome.DEEMED:
        return was_silent(call, asked.ledger_id, asked.seller, sourcing.requested_at_ms)
    if asked.outcome in (AskedOutcome.QUOTED, AskedOutcome.UNABLE, AskedOutcome.LATE):
        return has_answered(call, asked.ledger_id, asked.seller)
    return ()


def _is_undecided(sourcing: Sourcing, view: View) -> bool:
    """Whether a quote can still count: an inquiry until SCO has decided, a recovery while its answers are awaited."""
    if sourcing.purpose == Purpose.RECOVERY:
        return sourcing.status != SourcingStatus.RANKED
    handover = view.get(INQUIRY_HANDOVER, sourcing.subject_id)
    return handover is not None and handover.sourcing_id == sourcing.id and handover.status in UNDECIDED


def _deadlines(sourcing: Sourcing) -> tuple[Deadline, ...]:
    if sourcing.status in (SourcingStatus.OPEN, SourcingStatus.ASKED):
        return (Deadline(sourcing.respond_by_ms, WINDOW_ENDS),)
    return ()


SOURCING: Final = Kind(
    name="sourcing",
    prefix="src",
    record=Sourcing,
    terms=lambda one: Terms(
        status=one.status,
        party=words(asked.seller for asked in one.asked),
        related=words((one.subject_id, *(asked.inquiry_id for asked in one.asked))),
    ),
    deadlines=_deadlines,
    on_deadline=MappingProxyType({WINDOW_ENDS: end_window}),
    lifecycle=LIFECYCLE,
    filters=("status", "party", "related"),
)

RECEIVED_QUOTE: Final = Kind(
    name="received_quote",
    prefix="rcq",
    record=ReceivedQuote,
    terms=lambda one: Terms(
        party=words((one.seller,)),
        related=words((one.sourcing_id, one.subject_id, one.ledger_id, one.quote.id, one.quote.inquiry_id)),
    ),
    filters=("party", "related"),
)

CONTRACT: Final = Contract(
    name="sourcing",
    kinds=(SOURCING, RECEIVED_QUOTE),
    messages=(
        MessageType(
            name="request_sourcing", command=RequestSourcing, handler=request_sourcing, roles=(Role.SCO,), gas=2_000
        ),
        MessageType(
            name="release_inquiry", command=ReleaseInquiry, handler=release_inquiry, roles=(Role.B_BUS,), gas=1_500
        ),
        MessageType(name="declare_unsourced", command=DeclareUnsourced, handler=declare_unsourced, roles=(Role.B_BUS,)),
        MessageType(name="close_asking", command=CloseAsking, handler=close_asking, roles=(Role.B_BUS,)),
        MessageType(
            name="record_response", command=RecordResponse, handler=record_response, roles=(Role.B_BUS,), gas=900
        ),
        MessageType(
            name="release_late_quote", command=ReleaseLateQuote, handler=release_late_quote, roles=(Role.B_BUS,)
        ),
    ),
)
