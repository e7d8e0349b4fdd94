"""Handover: a buyer's inquiry on its way through its seller, from S-BUS to SCO and back.

Q-05 every inquiry ends in an answer, also after its window (X-09); Q-08 one whose elements came over another way before is
refused as DUPLICATE (X-05); Q-17 S-BUS hands over; Q-20 identical ones are found by their characteristics; Q-45 the answer
follows SCO's decision. Register 11.1 is the lifecycle.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from smartcontracts.codec import encode
from smartcontracts.ids import derive_id
from smartcontracts.inquiry import Inquiry, InquiryStatus
from smartcontracts.internal.counterparty import has_asked
from smartcontracts.internal.rules import MARKUPS_MAX, OfferingMarkup, SourcingRules, rules_of
from smartcontracts.kernel import (
    AlreadyDone,
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
from smartcontracts.money import minor_digits
from smartcontracts.trade import InquiryItem, words

DECISION_DUE: Final = "decision_due"
DUPLICATE: Final = "DUPLICATE"
# Handovers that share a lineage id and are looked at: an element comes from few buyers at once.
SAME_LINEAGE_MAX: Final = 100
# What is kept of a window is at most this part of it, whatever the rules say: else a short window could never be used.
OWN_SHARE: Final = 3
# Four commits lie between the last seller's answer and ours: it is recorded and ranked, assessed, released, carried. So much is
# kept for them whatever the rules say, else an answer would come after its window as often as not.
COMMITS_MS: Final = 2_000


class HandoverStatus(StrEnum):
    """Stored on the ledger: never rename a value."""

    IN_ASSESSMENT = "in_assessment"
    INTERNAL_KNOWN = "internal_known"
    SOURCING = "sourcing"
    COLLECTED = "collected"
    TO_QUOTE = "to_quote"
    TO_REFUSE = "to_refuse"
    QUOTED = "quoted"
    UNABLE = "unable"
    LAPSED = "lapsed"


UNDECIDED: Final = (
    HandoverStatus.IN_ASSESSMENT,
    HandoverStatus.INTERNAL_KNOWN,
    HandoverStatus.SOURCING,
    HandoverStatus.COLLECTED,
)
# In which an inquiry has its elements: whoever else asks for one of them gets a refusal.
_HOLDING: Final = (*UNDECIDED, HandoverStatus.TO_QUOTE, HandoverStatus.QUOTED)
LIFECYCLE: Final = MappingProxyType(
    {
        (HandoverStatus.IN_ASSESSMENT, "decompose"): HandoverStatus.IN_ASSESSMENT,
        (HandoverStatus.IN_ASSESSMENT, "answer"): HandoverStatus.IN_ASSESSMENT,
        (HandoverStatus.IN_ASSESSMENT, "answer_last"): HandoverStatus.INTERNAL_KNOWN,
        (HandoverStatus.INTERNAL_KNOWN, "request_sourcing"): HandoverStatus.SOURCING,
        (HandoverStatus.SOURCING, "collect"): HandoverStatus.COLLECTED,
        (HandoverStatus.COLLECTED, "collect"): HandoverStatus.COLLECTED,  # ranked again, with a late quote
        (HandoverStatus.INTERNAL_KNOWN, "to_quote"): HandoverStatus.TO_QUOTE,
        (HandoverStatus.COLLECTED, "to_quote"): HandoverStatus.TO_QUOTE,
        (HandoverStatus.INTERNAL_KNOWN, "try_again"): HandoverStatus.IN_ASSESSMENT,
        (HandoverStatus.COLLECTED, "try_again"): HandoverStatus.IN_ASSESSMENT,
        (HandoverStatus.IN_ASSESSMENT, "to_refuse"): HandoverStatus.TO_REFUSE,
        (HandoverStatus.INTERNAL_KNOWN, "to_refuse"): HandoverStatus.TO_REFUSE,
        (HandoverStatus.COLLECTED, "to_refuse"): HandoverStatus.TO_REFUSE,
        # What it rests on has ended before it was out.
        (HandoverStatus.TO_QUOTE, "to_refuse"): HandoverStatus.TO_REFUSE,
        # An order has come on a catalogue's quote: there is nothing left to answer.
        (HandoverStatus.INTERNAL_KNOWN, "stand_by"): HandoverStatus.QUOTED,
        (HandoverStatus.COLLECTED, "stand_by"): HandoverStatus.QUOTED,
        (HandoverStatus.IN_ASSESSMENT, "stand_off"): HandoverStatus.UNABLE,
        (HandoverStatus.INTERNAL_KNOWN, "stand_off"): HandoverStatus.UNABLE,
        (HandoverStatus.COLLECTED, "stand_off"): HandoverStatus.UNABLE,
        (HandoverStatus.TO_QUOTE, "release"): HandoverStatus.TO_QUOTE,
        (HandoverStatus.TO_REFUSE, "release"): HandoverStatus.TO_REFUSE,
        (HandoverStatus.TO_QUOTE, "answered"): HandoverStatus.QUOTED,
        (HandoverStatus.TO_QUOTE, "refused_there"): HandoverStatus.TO_REFUSE,
        (HandoverStatus.TO_REFUSE, "answered"): HandoverStatus.UNABLE,
        (HandoverStatus.TO_REFUSE, "refused_there"): HandoverStatus.LAPSED,
        **{(status, "decision_due"): status for status in UNDECIDED},
    }
)


class HandoverUnknown(Rejected):
    """This ledger has no handover with this id."""

    code = 6000
    grpc = Grpc.NOT_FOUND


class InquiryNotOurs(Rejected):
    """The inquiry asks another organization."""

    code = 6001


class InquiryNotOpen(Rejected):
    """The inquiry has its answer, and no catalogue's quote is named for it."""

    code = 6002


class StandingWrong(Rejected):
    """A catalogue's quote is not the one that answered the inquiry, or there is no time left for it."""

    code = 6003
    grpc = Grpc.INVALID_ARGUMENT


@dataclass(frozen=True, slots=True, kw_only=True)
class HandOverInquiry:
    """Hand a copy of an inquiry over. `standing_quote_id` and `standing_by_ms`: for an order on a catalogue's quote."""

    ledger_id: str
    inquiry: Inquiry
    currency: str
    standing_quote_id: str = ""
    standing_by_ms: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class InquiryHandover:
    """Document: an inquiry on its way through its seller. Its id derives from the inquiry, so there is one for each."""

    id: str
    status: HandoverStatus
    ledger_id: str
    inquiry: Inquiry
    currency: str
    handed_over_at_ms: int
    # Last millisecond of the buyer's window, and the last in which another attempt may start.
    respond_by_ms: int
    decide_by_ms: int
    decision_due: bool = False
    characteristics: str
    # Decompositions so far, and how many queries of the last one wait for SOF.
    attempt: int = 0
    queries_open: int = 0
    repurposed_from: str = ""
    sourcing_id: str = ""
    assessment_id: str = ""
    reason: str = ""
    decided_at_ms: int = 0
    decided_in_window: bool = False
    release_id: str = ""
    answer_id: str = ""
    answered_at_ms: int = 0
    quote_valid_until_ms: int = 0
    standing_quote_id: str = ""
    markups: tuple[OfferingMarkup, ...] = field(default=(), metadata={"list_max": MARKUPS_MAX})


@dataclass(frozen=True, slots=True, kw_only=True)
class ReusableQuote:
    """Document: the newest quote to inquiries with the same characteristics that rests on own resources alone.

    There is one for all that are alike, however often they were asked, so finding it costs the same for ever. Req: Q-20.
    """

    id: str
    characteristics: str
    handover_id: str
    answered_at_ms: int


def hand_over_inquiry(command: HandOverInquiry, call: Call) -> Outcome:
    """Take an inquiry in. Whoever has one of its elements already, over another ledger, refuses it. Req: Q-08, Q-17; X-05.

    Rejects with the first of: InquiryNotOurs, AlreadyDone, InquiryNotOpen, StandingWrong, CurrencyUnknown.
    """
    inquiry, now_ms = command.inquiry, call.block.time_ms
    if inquiry.seller != call.sender.organization:
        raise InquiryNotOurs("Only the seller that is asked hands an inquiry over.", "inquiry.seller")
    handover_id = handover_id_of(call.ledger_id, command.ledger_id, inquiry.id)
    if call.view.get(INQUIRY_HANDOVER, handover_id) is not None:
        raise AlreadyDone("This inquiry was handed over before.", "inquiry.id", existing_id=handover_id)
    _require_open(command, now_ms)
    minor_digits(command.currency, "currency")
    respond_by_ms = command.standing_by_ms if command.standing_quote_id else inquiry.respond_by_ms
    handover = InquiryHandover(
        id=handover_id,
        status=HandoverStatus.IN_ASSESSMENT,
        ledger_id=command.ledger_id,
        inquiry=inquiry,
        currency=command.currency,
        handed_over_at_ms=now_ms,
        respond_by_ms=respond_by_ms,
        decide_by_ms=decide_by_ms(rules_of(call.view), now_ms, respond_by_ms),
        characteristics=characteristics_of(inquiry.items),
        standing_quote_id=command.standing_quote_id,
    )
    if not command.standing_quote_id and _is_duplicate(handover, call):
        handover = refuse(handover, DUPLICATE, now_ms)
    asking = has_asked(call, command.ledger_id, inquiry.buyer)
    return Outcome(writes=(handover, *asking), events=(Event(f"inquiry_handover.{handover.status.value}", handover),))


def own_time_ms(rules: SourcingRules, window_ms: int) -> int:
    """What is kept of a response window for the organization's own work: the rules' time, at least that of a few commits, and at
    most a third of the window. Req: Q-29, Q-42.
    """
    return max(0, min(max(rules.quoting_ms, COMMITS_MS), window_ms // OWN_SHARE))


def decide_by_ms(rules: SourcingRules, now_ms: int, respond_by_ms: int) -> int:
    """When SCO must decide: half of the own time before the window ends, so that the answer is out in it.

    An answer that is owed after its window (X-09) is given own time anew. Req: Q-42.
    """
    if respond_by_ms <= now_ms:
        return now_ms + max(rules.quoting_ms, COMMITS_MS)
    return respond_by_ms - own_time_ms(rules, respond_by_ms - now_ms) // 2


def refuse(handover: InquiryHandover, reason: str, now_ms: int) -> InquiryHandover:
    """The handover once it is decided that there will be no quote."""
    standing = bool(handover.standing_quote_id)
    return replace(
        handover,
        status=step(LIFECYCLE, handover.status, "stand_off" if standing else "to_refuse"),
        queries_open=0,
        reason=reason,
        decided_at_ms=now_ms,
        decided_in_window=now_ms <= handover.respond_by_ms,
    )


def characteristics_of(items: tuple[InquiryItem, ...]) -> str:
    """Equal for inquiries that ask for the same: offerings, products, terms, actions and wished lead times, whatever their items
    are called.

    Lower-case hex of a SHA-256. Req: Q-20.
    """
    places = {item.id: place for place, item in enumerate(items)}
    digest = hashlib.sha256(b"syngraph/characteristics/1")
    for item in items:
        related = ",".join(f"{one.type}={places.get(one.item_id, -1)}" for one in item.relations)
        term = b"" if item.term is None else encode(item.term)
        texts = (item.action, item.offering, related, str(item.installation_interval_ms))
        for part in (*(text.encode() for text in texts), item.product, term):
            digest.update(len(part).to_bytes(4, "big") + part)
    return digest.hexdigest()


def reusable_quote_id(internal_id: str, characteristics: str) -> str:
    """The id of what points to the newest quote to these characteristics, whether or not there is one yet. Req: Q-20.

    Others who are asked the same have another one: nothing that an internal ledger names is to be found anywhere else.
    """
    return derive_id(REUSABLE_QUOTE.prefix, internal_id, characteristics)


def reusable(handover: InquiryHandover, internal_id: str) -> tuple[ReusableQuote, ...]:
    """What a quote that is out leaves for the next inquiry that is alike. Req: Q-20, Q-21.

    A seller's quote is good for one order, and a change is about one service: neither is used again.
    """
    if handover.status != HandoverStatus.QUOTED or handover.sourcing_id or handover.inquiry.change is not None:
        return ()
    newest = ReusableQuote(
        id=reusable_quote_id(internal_id, handover.characteristics),
        characteristics=handover.characteristics,
        handover_id=handover.id,
        answered_at_ms=handover.answered_at_ms,
    )
    return (newest,)


def handover_id_of(internal_id: str, ledger_id: str, inquiry_id: str) -> str:
    """The id of the handover of this inquiry on the internal ledger `internal_id`."""
    return derive_id(INQUIRY_HANDOVER.prefix, internal_id, ledger_id, inquiry_id)


def require_handover(handover_id: str, view: View) -> InquiryHandover:
    """Rejects with HandoverUnknown."""
    found = view.get(INQUIRY_HANDOVER, handover_id)
    if found is None:
        raise HandoverUnknown("There is no handover of an inquiry with this id.", "handover_id")
    return found


def end_time_to_think(handover: InquiryHandover, _: Due) -> Outcome:
    """The time to decide has come: agents learn it by the event. Req: Q-42."""
    due = replace(handover, status=step(LIFECYCLE, handover.status, DECISION_DUE), decision_due=True)
    return Outcome(writes=(due,), events=(Event("inquiry_handover.decision_due", due),))


def _require_open(command: HandOverInquiry, now_ms: int) -> None:
    """Rejects with InquiryNotOpen, StandingWrong."""
    inquiry = command.inquiry
    if not command.standing_quote_id:
        if inquiry.answered_at_ms or inquiry.status not in (InquiryStatus.RECEIVED, InquiryStatus.DEEMED_UNABLE):
            raise InquiryNotOpen("This inquiry was answered before.", "inquiry.status")
        return
    if inquiry.quote_id != command.standing_quote_id:
        raise StandingWrong("The inquiry has another quote.", "standing_quote_id")
    if command.standing_by_ms <= now_ms:
        raise StandingWrong("Say by when the elements must be known; it must be later than now.", "standing_by_ms")


def _is_duplicate(handover: InquiryHandover, call: Call) -> bool:
    """Whether one of its elements is here already, by an inquiry on another ledger that has not ended. Req: Q-08; X-05."""
    for item in handover.inquiry.items:
        if not item.lineage_id:
            continue
        holders = call.view.find(INQUIRY_HANDOVER, "keys", _lineage_key(item.lineage_id), SAME_LINEAGE_MAX)
        if any(one.ledger_id != handover.ledger_id and _is_live(one, call.block.time_ms) for one in holders):
            return True
    return False


def _is_live(handover: InquiryHandover, now_ms: int) -> bool:
    return handover.status in _HOLDING and (
        handover.status != HandoverStatus.QUOTED or now_ms <= handover.quote_valid_until_ms
    )


def _lineage_key(lineage_id: str) -> str:
    return f"lineage/{lineage_id}"


def _terms(handover: InquiryHandover) -> Terms:
    inquiry = handover.inquiry
    return Terms(
        status=handover.status,
        party=words((inquiry.buyer,)),
        offering=words(item.offering for item in inquiry.items),
        related=words(
            (
                handover.ledger_id,
                inquiry.id,
                handover.characteristics,
                handover.sourcing_id,
                handover.assessment_id,
                handover.release_id,
                handover.answer_id,
                handover.standing_quote_id,
                handover.repurposed_from,
            )
        ),
        # What was refused is found no more: however often a buyer asks in vain, it hides nobody else's inquiry.
        keys=words(_lineage_key(item.lineage_id) for item in inquiry.items if item.lineage_id)
        if handover.status in _HOLDING
        else (),
    )


def _deadlines(handover: InquiryHandover) -> tuple[Deadline, ...]:
    if handover.status in UNDECIDED and not handover.decision_due:
        return (Deadline(handover.decide_by_ms, DECISION_DUE),)
    return ()


# Keys: "lineage/<lineage id of an item>".
INQUIRY_HANDOVER: Final = Kind(
    name="inquiry_handover",
    prefix="iho",
    record=InquiryHandover,
    terms=_terms,
    deadlines=_deadlines,
    on_deadline=MappingProxyType({DECISION_DUE: end_time_to_think}),
    lifecycle=LIFECYCLE,
    filters=("status", "party", "offering", "related"),
)

REUSABLE_QUOTE: Final = Kind(
    name="reusable_quote",
    prefix="reu",
    record=ReusableQuote,
    terms=lambda one: Terms(related=(one.characteristics, one.handover_id)),
    filters=("related",),
)

CONTRACT: Final = Contract(
    name="inquiry_handover",
    kinds=(INQUIRY_HANDOVER, REUSABLE_QUOTE),
    messages=(
        MessageType(
            name="hand_over_inquiry",
            command=HandOverInquiry,
            handler=hand_over_inquiry,
            roles=(Role.S_BUS,),
            gas=600,
        ),
    ),
)
