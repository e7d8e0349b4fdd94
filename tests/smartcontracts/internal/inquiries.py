"""An internal ledger in memory, and an inquiry brought to each of its states: alpha is asked by acme, and asks bravo and charlie."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ledgers.kinds import contract_table
from smartcontracts.inquiry import Inquiry
from smartcontracts.internal.answer import RecordAnswer, ReleaseQuote, ReleaseUnable, list_prices
from smartcontracts.internal.assessment import ASSESSMENT, Assess, AssessVerdict, Choice
from smartcontracts.internal.decomposition import (
    SOF_QUERY,
    AnswerSofQueries,
    Decompose,
    Element,
    SofAnswer,
    SofQuery,
    Verdict,
    expected_lineage,
)
from smartcontracts.internal.handover import INQUIRY_HANDOVER, HandOverInquiry, InquiryHandover
from smartcontracts.internal.ranking import RankQuotes
from smartcontracts.internal.release import OUTWARD_ITEMS, RELEASE, RecordCarried, Release, released_command
from smartcontracts.internal.rules import rules_of
from smartcontracts.internal.sourcing import (
    SOURCING,
    AskedOutcome,
    CloseAsking,
    RecordResponse,
    ReleaseInquiry,
    RequestSourcing,
    SourcedElement,
    Sourcing,
    SourcingReason,
)
from smartcontracts.kernel import Position, Rejected
from smartcontracts.lineage import element_lineage, pseudonym
from smartcontracts.money import Money
from smartcontracts.quote import IssueQuote, Quote, QuoteItem
from smartcontracts.trade import ItemRelation, Price, QuoteLevel
from tests.smartcontracts.support import START_MS, MemoryLedger, org
from tests.smartcontracts.trading import LINE, PORT_A, PORT_Z, monthly

UPSTREAM = "sg_" + "b" * 32
BRAVO, CHARLIE, DELTA = "sg_" + "c" * 32, "sg_" + "d" * 32, "sg_" + "e" * 32
SELLERS = {BRAVO: "bravo", CHARLIE: "charlie", DELTA: "delta"}
KEY = b"\x11" * 32
SALT = b"\x22" * 32
NOW = START_MS + 10_000
WINDOW_MS = 60_000
BY_MS = NOW + WINDOW_MS
VALID_MS = NOW + 10**9
ITEMS = tuple(replace(item, lineage_id=element_lineage(KEY, item.id)) for item in (LINE, PORT_A, PORT_Z))


def internal_ledger(name: str = "alpha") -> MemoryLedger:
    contracts = contract_table("internal", 1).contracts
    return MemoryLedger(*contracts, ledger_kind="internal", positions={name: Position.PARTY}, start_ms=NOW)


def inquiry(**changes: Any) -> Inquiry:
    """acme's inquiry as it stands on its ledger with alpha."""
    given = {
        "id": "inq_1",
        "buyer": org("acme"),
        "seller": org("alpha"),
        "agreement_id": "agr_up",
        "buyer_reference": "",
        "project": "",
        "received_at_ms": NOW,
        "respond_by_ms": BY_MS,
        "level": QuoteLevel.FIRM,
        "items": ITEMS,
        "ancestors": (pseudonym(KEY, org("acme")),),
        "withheld": (),
        "requested_completion_ms": 0,
        "lineage_key": KEY,
    }
    return Inquiry(**(given | changes))


def handing(**changes: Any) -> HandOverInquiry:
    given = {"ledger_id": UPSTREAM, "inquiry": inquiry(), "currency": "EUR"}
    return HandOverInquiry(**(given | changes))


def send(ledger: MemoryLedger, name: str, command: Any, role: str, at: int | None = None) -> Any:
    return ledger.run(name, command, sender=ledger.sender("alpha", role), at=at)


def refusal_of(ledger: MemoryLedger, name: str, command: Any, role: str, at: int | None = None) -> tuple[type, str]:
    """The class and field of the refusal; fails if there is none, or if it changed anything."""
    before = ledger.root()
    try:
        send(ledger, name, command, role, at)
    except Rejected as rejected:
        if at is None:
            assert ledger.root() == before
        return type(rejected), rejected.field
    raise AssertionError(f"{name} was not refused")


def element(item: Any, **changes: Any) -> Element:
    given = {
        "id": item.id,
        "item_ids": (item.id,),
        "offering": item.offering,
        "product": item.product,
        "term": item.term,
        "action": item.action,
        "lineage_id": item.lineage_id,
        "relations": item.relations,
    }
    return Element(**(given | changes))


ELEMENTS = tuple(element(item) for item in ITEMS)


def split(item: Any, *names: str) -> tuple[Element, ...]:
    """Several elements that stand for one item."""
    return tuple(
        element(
            item,
            id=name,
            lineage_id=expected_lineage(name, (item.id,), len(names), ITEMS, KEY),
            relations=tuple(ItemRelation(type="NEXT", item_id=before) for before in names[:place]),
        )
        for place, name in enumerate(names)
    )


def handed_over(ledger: MemoryLedger, **changes: Any) -> InquiryHandover:
    return send(ledger, "hand_over_inquiry", handing(**changes), "s_bus").writes[0]


def decomposed(ledger: MemoryLedger, elements: tuple[Element, ...] = ELEMENTS) -> InquiryHandover:
    handover = handed_over(ledger)
    send(ledger, "decompose", Decompose(handover_id=handover.id, elements=elements), "sco")
    return ledger.the(INQUIRY_HANDOVER, handover.id)


def query_about(ledger: MemoryLedger, element_id: str, attempt: int = 1) -> SofQuery:
    (found,) = [q for q in ledger.all(SOF_QUERY) if (q.element.id, q.attempt) == (element_id, attempt)]
    return found


def yes(query: SofQuery, nano: int = 10_000_000_000, **changes: Any) -> SofAnswer:
    given = {"query_id": query.id, "verdict": Verdict.YES, "prices": (monthly(nano),), "lead_time_ms": 5_000}
    return SofAnswer(**(given | changes))


def no(query: SofQuery, reason: str = "NO_CAPACITY") -> SofAnswer:
    return SofAnswer(query_id=query.id, verdict=Verdict.NO, reason=reason)


def internal_known(ledger: MemoryLedger, made: tuple[str, ...] = ("item-001",)) -> InquiryHandover:
    """SOF can make the elements `made`, and no others."""
    handover = decomposed(ledger)
    answers = tuple(
        yes(query) if query.element.id in made else no(query)
        for query in ledger.all(SOF_QUERY)
        if query.subject_id == handover.id
    )
    send(ledger, "answer_sof_queries", AnswerSofQueries(answers=answers), "sof")
    return ledger.the(INQUIRY_HANDOVER, handover.id)


PORTS = ("item-002", "item-003")


def buying(handover: InquiryHandover, *element_ids: str, **changes: Any) -> RequestSourcing:
    elements = tuple(SourcedElement(element_id=one, reason=SourcingReason.NOT_INTERNAL) for one in element_ids or PORTS)
    given = {"handover_id": handover.id, "elements": elements, "respond_by_ms": BY_MS - WINDOW_MS // 3}
    return RequestSourcing(**(given | changes))


def sourcing(ledger: MemoryLedger, **known: Any) -> Sourcing:
    handover = internal_known(ledger, **known)
    return send(ledger, "request_sourcing", buying(handover), "sco").writes[0]


def asking(found: Sourcing, ledger_id: str = BRAVO, *element_ids: str, **changes: Any) -> ReleaseInquiry:
    given = {
        "sourcing_id": found.id,
        "ledger_id": ledger_id,
        "seller": org(SELLERS[ledger_id]),
        "agreement_id": f"agr_{SELLERS[ledger_id]}",
        "element_ids": element_ids or PORTS,
        "ancestors": (pseudonym(KEY, org("acme")), pseudonym(KEY, org("alpha"))),
        "respond_by_ms": found.respond_by_ms,
        "salt": SALT,
    }
    return ReleaseInquiry(**(given | changes))


def asked(ledger: MemoryLedger, *ledger_ids: str) -> Sourcing:
    found = sourcing(ledger)
    for ledger_id in ledger_ids or (BRAVO, CHARLIE):
        send(ledger, "release_inquiry", asking(found, ledger_id), "b_bus")
    send(ledger, "close_asking", CloseAsking(sourcing_id=found.id), "b_bus")
    return ledger.the(SOURCING, found.id)


def goes_out(ledger: MemoryLedger, release: Release) -> Any:
    """The command that a carrier makes of a release."""
    return released_command(release, ledger.get(OUTWARD_ITEMS, release.items_id) if release.items_id else None)


THREE_A_MONTH = (monthly(3_000_000_000),)
OVER_A_YEAR = Money(7_200, "EUR")


def quote_for(
    found: Sourcing,
    place: int = 0,
    prices: tuple[Price, ...] = THREE_A_MONTH,
    total: Money = OVER_A_YEAR,
    lead_ms: int = 1_000,
    **changes: Any,
) -> Quote:
    """The quote of the seller that was asked at this place."""
    one = found.asked[place]
    given = {
        "id": f"quo_{place}",
        "inquiry_id": one.inquiry_id,
        "buyer": org("alpha"),
        "seller": one.seller,
        "agreement_id": one.agreement_id,
        "level": QuoteLevel.FIRM,
        "issued_at_ms": NOW + 500,
        "valid_until_ms": VALID_MS,
        "items": tuple(
            QuoteItem(id=element_id, prices=prices, installation_interval_ms=lead_ms) for element_id in one.element_ids
        ),
        "one_time_total": Money(0, total.currency),
        "term_total": total,
        "list_total": total,
        "late": False,
    }
    return Quote(**(given | changes))


def response(found: Sourcing, place: int = 0, outcome: str = "quoted", **changes: Any) -> RecordResponse:
    given = {
        "sourcing_id": found.id,
        "inquiry_id": found.asked[place].inquiry_id,
        "outcome": AskedOutcome(outcome),
        "quote": quote_for(found, place, late=outcome == "late") if outcome in ("quoted", "late") else None,
        "reason": "NO_CAPACITY" if outcome == "unable" else "",
    }
    return RecordResponse(**(given | changes))


def collected(ledger: MemoryLedger, **quoted: Any) -> InquiryHandover:
    """bravo has quoted for the ports, charlie is unable; ranked."""
    found = asked(ledger)
    send(ledger, "record_response", response(found, 0, quote=quote_for(found, 0, **quoted)), "b_bus")
    send(ledger, "record_response", response(found, 1, "unable"), "b_bus")
    send(ledger, "rank_quotes", RankQuotes(sourcing_id=found.id), "b_bus")
    return ledger.the(INQUIRY_HANDOVER)


def late(ledger: MemoryLedger) -> Sourcing:
    """charlie was silent, and bravo has quoted for the ports after the window."""
    found = asked(ledger)
    send(ledger, "record_response", response(found, 1, "deemed"), "b_bus", found.respond_by_ms + 1)
    send(ledger, "record_response", response(found, 0, "late"), "b_bus")
    return ledger.the(SOURCING)


def received_id(ledger: MemoryLedger, place: int = 0) -> str:
    return ledger.the(SOURCING).asked[place].received_quote_id


def choosing(ledger: MemoryLedger, handover: InquiryHandover, **changes: Any) -> Assess:
    """The line is made, the ports are bought from bravo."""
    given = {
        "handover_id": handover.id,
        "verdict": AssessVerdict.TO_QUOTE,
        "choices": (
            Choice(element_id="item-001", query_id=query_about(ledger, "item-001").id),
            *(Choice(element_id=one, received_quote_id=received_id(ledger)) for one in PORTS),
        ),
    }
    return Assess(**(given | changes))


def refusing(handover: InquiryHandover, reason: str = "NO_CAPACITY") -> Assess:
    return Assess(handover_id=handover.id, verdict=AssessVerdict.TO_REFUSE, reason=reason)


def to_quote(ledger: MemoryLedger, **quoted: Any) -> InquiryHandover:
    handover = collected(ledger, **quoted)
    send(ledger, "assess", choosing(ledger, handover), "sco")
    return ledger.the(INQUIRY_HANDOVER)


def issuing(ledger: MemoryLedger, **changes: Any) -> IssueQuote:
    """The quote that is priced as it must be."""
    assessment = ledger.the(ASSESSMENT)
    rules = rules_of(ledger)
    given = {
        "inquiry_id": "inq_1",
        "level": QuoteLevel.FIRM,
        "valid_until_ms": VALID_MS - 1,
        "items": tuple(
            QuoteItem(
                id=item.item_id,
                prices=list_prices(item, rules, (), "EUR"),
                installation_interval_ms=item.lead_time_ms,
            )
            for item in assessment.items
        ),
        "one_time_total": Money(0, "EUR"),
        "term_total": Money(0, "EUR"),
    }
    return IssueQuote(**(given | changes))


def quoting(ledger: MemoryLedger, handover: InquiryHandover, **changes: Any) -> ReleaseQuote:
    given = {"handover_id": handover.id, "quote": issuing(ledger), "salt": SALT}
    return ReleaseQuote(**(given | changes))


def released(ledger: MemoryLedger) -> InquiryHandover:
    handover = to_quote(ledger)
    send(ledger, "release_quote", quoting(ledger, handover), "s_bus")
    return ledger.the(INQUIRY_HANDOVER)


def quoted_alone(ledger: MemoryLedger, **known: Any) -> InquiryHandover:
    """acme has a quote for what alpha makes all by itself."""
    handover = internal_known(ledger, made=tuple(item.id for item in ITEMS), **known)
    choices = tuple(Choice(element_id=item.id, query_id=query_about(ledger, item.id).id) for item in ITEMS)
    send(ledger, "assess", Assess(handover_id=handover.id, verdict=AssessVerdict.TO_QUOTE, choices=choices), "sco")
    return answered(ledger, handover)


def answered(ledger: MemoryLedger, handover: InquiryHandover) -> InquiryHandover:
    """What was assessed is quoted on acme's ledger."""
    send(ledger, "release_quote", quoting(ledger, handover), "s_bus")
    carried(ledger, ledger.the(INQUIRY_HANDOVER))
    send(ledger, "record_answer", RecordAnswer(handover_id=handover.id), "s_bus")
    return ledger.the(INQUIRY_HANDOVER)


def to_refuse(ledger: MemoryLedger) -> InquiryHandover:
    handover = internal_known(ledger)
    send(ledger, "assess", refusing(handover), "sco")
    return ledger.the(INQUIRY_HANDOVER)


def declining(handover: InquiryHandover, **changes: Any) -> ReleaseUnable:
    return ReleaseUnable(**({"handover_id": handover.id, "salt": SALT} | changes))


def carried(ledger: MemoryLedger, handover: InquiryHandover, **changes: Any) -> Any:
    given = {"release_id": handover.release_id, "outcome_id": "quo_out"}
    send(ledger, "record_carried", RecordCarried(**(given | changes)), "s_bus")
    return ledger.the(RELEASE, handover.release_id)
