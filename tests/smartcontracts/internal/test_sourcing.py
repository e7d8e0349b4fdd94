"""Sourcing: who may be asked for what, until when, and that each answer is kept."""

from dataclasses import replace
from types import SimpleNamespace

import pytest

from smartcontracts.canonical_json import dump, load
from smartcontracts.codec import encode
from smartcontracts.inquiry import INQUIRY
from smartcontracts.internal import sourcing as s
from smartcontracts.internal.counterparty import COUNTERPARTY, Counterparty, counterparty_id, was_silent
from smartcontracts.internal.decomposition import DECOMPOSITION, SOF_QUERY, AnswerSofQueries, Decompose
from smartcontracts.internal.handover import INQUIRY_HANDOVER
from smartcontracts.internal.ranking import RankQuotes
from smartcontracts.internal.release import OUTWARD_ITEMS, RELEASE, SaltInvalid, release_hash, released_command
from smartcontracts.internal.rules import SetSourcingRules
from smartcontracts.kernel import Block, Cause, RoleMissing, WrongStatus, cause_id
from smartcontracts.lineage import pseudonym
from smartcontracts.trade import Action, Change, ChangeKind, ReasonInvalid
from tests.smartcontracts.internal.inquiries import (
    BRAVO,
    BY_MS,
    CHARLIE,
    DELTA,
    ELEMENTS,
    ITEMS,
    KEY,
    NOW,
    PORTS,
    UPSTREAM,
    VALID_MS,
    WINDOW_MS,
    asked,
    asking,
    buying,
    collected,
    decomposed,
    element,
    goes_out,
    handed_over,
    inquiry,
    internal_known,
    internal_ledger,
    late,
    no,
    quote_for,
    refusal_of,
    refusing,
    response,
    send,
    sourcing,
)
from tests.smartcontracts.support import org

ACME, ALPHA = pseudonym(KEY, org("acme")), pseudonym(KEY, org("alpha"))


@pytest.mark.req("Q-27", "Q-28")
def test_what_sof_cant_deliver_goes_to_b_bus_with_the_reason():
    ledger = internal_ledger()
    found = sourcing(ledger)
    assert [(one.element_id, one.reason) for one in found.elements] == [(port, "not_internal") for port in PORTS]
    assert (found.status, found.purpose, found.ancestors, found.currency) == ("open", "inquiry", (ACME,), "EUR")
    assert ledger.the(INQUIRY_HANDOVER).status == "sourcing"
    assert ledger.event_names()[-1] == "sourcing.requested"


@pytest.mark.req("Q-27")
def test_what_could_be_made_is_bought_at_discretion_only():
    ledger = internal_ledger()
    handover = internal_known(ledger)
    chosen = (s.SourcedElement(element_id="item-001", reason=s.SourcingReason.NOT_INTERNAL),)
    wrong = buying(handover, elements=chosen)
    assert refusal_of(ledger, "request_sourcing", wrong, "sco") == (s.SourcingReasonWrong, "elements[0].reason")
    discretion = replace(chosen[0], reason=s.SourcingReason.DISCRETIONARY)
    wrong = buying(handover, elements=(discretion, replace(discretion, element_id="item-002")))
    assert refusal_of(ledger, "request_sourcing", wrong, "sco") == (s.SourcingReasonWrong, "elements[1].reason")
    send(ledger, "request_sourcing", buying(handover, elements=(discretion,)), "sco")


BAD_ELEMENTS = ((), ("item-009",), ("item-002", "item-002"))


@pytest.mark.parametrize("element_ids", BAD_ELEMENTS)
def test_sourcing_names_elements_of_the_attempt_once(element_ids):
    ledger = internal_ledger()
    handover = internal_known(ledger)
    wrong = replace(buying(handover), elements=buying(handover, *element_ids).elements if element_ids else ())
    assert refusal_of(ledger, "request_sourcing", wrong, "sco") == (s.SourcedElementsInvalid, "elements")


@pytest.mark.req("Q-29")
def test_sellers_get_what_is_left_after_the_time_that_the_rules_keep():
    ledger = internal_ledger()
    send(ledger, "set_sourcing_rules", SetSourcingRules(quoting_ms=7_000), "sco")
    handover = internal_known(ledger)
    latest = BY_MS - 7_000
    late = buying(handover, respond_by_ms=latest + 1)
    assert refusal_of(ledger, "request_sourcing", late, "sco") == (s.SourcingWindowWrong, "respond_by_ms")
    over = buying(handover, respond_by_ms=ledger.time_ms + 1)
    assert refusal_of(ledger, "request_sourcing", over, "sco") == (s.SourcingWindowWrong, "respond_by_ms")
    found = send(ledger, "request_sourcing", buying(handover, respond_by_ms=latest), "sco").writes[0]
    assert found.respond_by_ms == latest


def test_sourcing_waits_for_sof_and_is_scos_to_ask_for():
    ledger = internal_ledger()
    handover = decomposed(ledger)
    assert refusal_of(ledger, "request_sourcing", buying(handover), "sco")[0] is WrongStatus
    known = internal_ledger()
    assert refusal_of(known, "request_sourcing", buying(internal_known(known)), "b_bus")[0] is RoleMissing


@pytest.mark.req("Q-09", "Q-29", "X-06")
def test_an_inquiry_goes_out_with_the_elements_their_lineage_and_one_more_upstream_buyer():
    ledger = internal_ledger()
    found = sourcing(ledger)
    at = ledger.time_ms + 500
    send(ledger, "release_inquiry", asking(found), "b_bus", at)
    release = ledger.the(RELEASE)
    command = goes_out(ledger, release)
    assert (release.act, release.role, release.ledger_id, release.subject_id) == (
        "submit_inquiry",
        "b_bus",
        BRAVO,
        found.id,
    )
    assert command.ancestors == (ACME, ALPHA)
    assert command.lineage_key == KEY
    assert [(item.id, item.lineage_id, item.product) for item in command.items] == [
        (item.id, item.lineage_id, item.product) for item in ITEMS[1:]
    ]
    assert command.response_window_ms == found.respond_by_ms - at
    assert command.requested_completion_ms == found.respond_by_ms
    cause = Cause(ledger_id=ledger.ledger_id, event_id=release.id, purpose="submit_inquiry")
    assert ledger.the(s.SOURCING).asked[0].inquiry_id == cause_id(INQUIRY, BRAVO, org("alpha"), cause)


@pytest.mark.req("L-31")
def test_items_that_several_sellers_are_asked_for_are_kept_once_and_hashed_with_each_act():
    ledger = internal_ledger()
    found = sourcing(ledger)
    for ledger_id in (BRAVO, CHARLIE):
        send(ledger, "release_inquiry", asking(found, ledger_id), "b_bus")
    send(ledger, "release_inquiry", asking(found, DELTA, PORTS[0]), "b_bus")
    releases = {one.ledger_id: one for one in ledger.all(RELEASE)}
    both, alone = releases[BRAVO].items_id, releases[DELTA].items_id
    assert releases[CHARLIE].items_id == both
    assert {one.id: one.items for one in ledger.all(OUTWARD_ITEMS)} == {
        both: goes_out(ledger, releases[BRAVO]).items,
        alone: goes_out(ledger, releases[DELTA]).items,
    }
    for release in releases.values():
        whole = encode(replace(goes_out(ledger, release), release=b""))
        assert release.sha256 == release_hash("submit_inquiry", release.salt, whole)
        assert ITEMS[1].product not in release.command.data
    with pytest.raises(LookupError):
        released_command(releases[BRAVO])
    with pytest.raises(LookupError):
        released_command(releases[BRAVO], ledger.the(OUTWARD_ITEMS, alone))


def test_a_quarter_of_a_mebibyte_that_fifty_sellers_are_asked_for_is_kept_a_few_times_only():
    ledger = internal_ledger()
    large = replace(ITEMS[1], product=dump({**load(ITEMS[1].product, "product"), "x": "y" * 255 * 1024}), relations=())
    handover = handed_over(ledger, inquiry=inquiry(items=(large,)))
    send(ledger, "decompose", Decompose(handover_id=handover.id, elements=(element(large),)), "sco")
    send(ledger, "answer_sof_queries", AnswerSofQueries(answers=(no(ledger.the(SOF_QUERY)),)), "sof")
    found = send(ledger, "request_sourcing", buying(handover, large.id), "sco").writes[0]
    before = size_of(ledger)
    for place in range(50):
        seller = {"ledger_id": f"sg_{place:032}", "seller": f"org_{place}", "agreement_id": f"agr_{place}"}
        send(ledger, "release_inquiry", replace(asking(found, BRAVO, large.id), **seller), "b_bus")
    assert len(ledger.all(RELEASE)) == 50
    # One copy of the items, and half a kibibyte or so for each release.
    assert size_of(ledger) - before < 2 * 256 * 1024


def size_of(ledger):
    return sum(len(encode(record)) for kind in ledger.table.kinds.values() for record in ledger.all(kind))


def test_relations_to_what_is_not_asked_for_stay_at_home():
    ledger = internal_ledger()
    found = sourcing(ledger, made=())
    everything = send(ledger, "release_inquiry", asking(found, BRAVO, "item-002"), "b_bus")
    assert everything.writes[0].asked[0].element_ids == ("item-002",)
    whole = internal_ledger()
    handover = internal_known(whole, made=())
    request = buying(handover, "item-001", "item-002", "item-003")
    sourced = send(whole, "request_sourcing", request, "sco").writes[0]
    send(whole, "release_inquiry", asking(sourced, BRAVO, "item-001", "item-002"), "b_bus")
    line, _ = goes_out(whole, whole.the(RELEASE)).items
    assert [relation.item_id for relation in line.relations] == ["item-002"]


BAD_ASKS = (
    (s.SourcedElementsInvalid, "element_ids", {"element_ids": ()}),
    (s.SourcedElementsInvalid, "element_ids", {"element_ids": ("item-001",)}),
    (s.SourcedElementsInvalid, "element_ids", {"element_ids": ("item-002", "item-002")}),
    (s.AncestorsWrong, "ancestors", {"ancestors": (ACME,)}),
    (s.AncestorsWrong, "ancestors", {"ancestors": (ALPHA,)}),
    (s.AncestorsWrong, "ancestors", {"ancestors": (ALPHA, ACME)}),
    (s.AncestorsWrong, "ancestors", {"ancestors": (ACME, pseudonym(KEY, org("x")), ALPHA)}),
    (s.AncestorsWrong, "ancestors", {"ancestors": (ACME, ALPHA, pseudonym(KEY, org("x")))}),
    (s.AncestorsWrong, "ancestors", {"ancestors": (pseudonym(KEY, org("x")), ALPHA)}),
    (s.SellerUpstream, "seller", {"seller": org("acme")}),
    (s.SellerUpstream, "seller", {"seller": org("alpha")}),
    (s.WindowOutside, "respond_by_ms", {"respond_by_ms": BY_MS - WINDOW_MS // 3 + 1}),
    (s.WindowOutside, "respond_by_ms", {"respond_by_ms": NOW}),
    (SaltInvalid, "salt", {"salt": b"short"}),
)


@pytest.mark.req("Q-08", "Q-09", "Q-29")
@pytest.mark.parametrize(("refusal", "field", "changes"), BAD_ASKS)
def test_an_inquiry_that_would_be_wrong_is_not_let_out(refusal, field, changes):
    ledger = internal_ledger()
    found = sourcing(ledger)
    assert refusal_of(ledger, "release_inquiry", asking(found, **changes), "b_bus") == (refusal, field)
    assert not ledger.all(RELEASE)


def test_the_first_fault_of_an_inquiry_is_told():
    ledger = internal_ledger()
    found = sourcing(ledger)
    faults = {
        "sourcing_id": "src_x",
        "element_ids": (),
        "ancestors": (),
        "seller": org("acme"),
        "respond_by_ms": 0,
        "salt": b"",
    }
    told = []
    while faults:
        told.append(refusal_of(ledger, "release_inquiry", asking(found, **faults), "b_bus")[0])
        del faults[next(iter(faults))]
    assert told == [
        s.SourcingUnknown,
        s.SourcedElementsInvalid,
        s.AncestorsWrong,
        s.SellerUpstream,
        s.WindowOutside,
        SaltInvalid,
    ]


def test_a_seller_is_asked_once_for_an_element():
    ledger = internal_ledger()
    found = sourcing(ledger)
    send(ledger, "release_inquiry", asking(found, BRAVO, "item-002"), "b_bus")
    assert refusal_of(ledger, "release_inquiry", asking(found), "b_bus") == (s.AskedAlready, "element_ids")
    send(ledger, "release_inquiry", asking(found, BRAVO, "item-003"), "b_bus")
    send(ledger, "release_inquiry", asking(found, CHARLIE), "b_bus")
    assert refusal_of(ledger, "release_inquiry", asking(found, DELTA), "sco")[0] is RoleMissing


def test_fifty_sellers_are_asked_and_one_too_many_is_not():
    ledger = internal_ledger()
    found = sourcing(ledger)
    for number in range(50):
        ask = replace(asking(found), ledger_id=f"sg_{number}", seller=f"org_{number}")
        send(ledger, "release_inquiry", ask, "b_bus")
    assert len(ledger.the(s.SOURCING).asked) == 50
    full = ledger.the(s.SOURCING)
    many = tuple(replace(full.asked[0], ledger_id=f"sg_{n}", inquiry_id=f"inq_{n}") for n in range(s.ASKED_MAX))
    ledger.write(replace(full, asked=many))
    assert refusal_of(ledger, "release_inquiry", asking(found, DELTA), "b_bus") == (s.TooManyAsked, "sourcing_id")


@pytest.mark.req("Q-30")
def test_asking_ends_when_every_element_is_asked_for_or_declared_unsourced():
    ledger = internal_ledger()
    found = sourcing(ledger)
    close = s.CloseAsking(sourcing_id=found.id)
    send(ledger, "release_inquiry", asking(found, BRAVO, "item-003"), "b_bus")
    assert refusal_of(ledger, "close_asking", close, "b_bus") == (s.ElementNotAsked, "elements[0]")
    unable = s.DeclareUnsourced(sourcing_id=found.id, element_ids=("item-002",), reason="NO_SELLER")
    send(ledger, "declare_unsourced", unable, "b_bus")
    assert refusal_of(ledger, "release_inquiry", asking(found, CHARLIE), "b_bus") == (s.ElementAsked, "element_ids")
    assert send(ledger, "close_asking", close, "b_bus").writes[0].status == "asked"
    assert refusal_of(ledger, "release_inquiry", asking(found, CHARLIE), "b_bus")[0] is WrongStatus
    assert refusal_of(ledger, "close_asking", close, "b_bus")[0] is WrongStatus


@pytest.mark.req("Q-30")
def test_who_is_not_asked_is_named_with_the_reason():
    ledger = internal_ledger()
    found = sourcing(ledger)
    send(ledger, "release_inquiry", asking(found, BRAVO), "b_bus")
    silent = s.PassedOver(ledger_id=CHARLIE, seller=org("charlie"), reason="SILENT")
    faults = [
        (s.PassedOverInvalid, "passed_over[1].ledger_id", replace(silent, ledger_id=BRAVO)),
        (s.PassedOverInvalid, "passed_over[1].ledger_id", silent),
        (ReasonInvalid, "reason", replace(silent, ledger_id=DELTA, reason="keeps silent")),
    ]
    for refusal, field, wrong in faults:
        command = s.CloseAsking(sourcing_id=found.id, passed_over=(silent, wrong))
        assert refusal_of(ledger, "close_asking", command, "b_bus") == (refusal, field)
    both = replace(faults[0][2], reason="keeps silent")
    command = s.CloseAsking(sourcing_id=found.id, passed_over=(silent, both))
    assert refusal_of(ledger, "close_asking", command, "b_bus")[0] is s.PassedOverInvalid
    send(ledger, "close_asking", s.CloseAsking(sourcing_id=found.id, passed_over=(silent,)), "b_bus")
    assert ledger.the(s.SOURCING).passed_over == (silent,)
    unasked = internal_ledger()
    found = sourcing(unasked)
    command = s.CloseAsking(sourcing_id=found.id, passed_over=(silent, silent))
    assert refusal_of(unasked, "close_asking", command, "b_bus")[0] is s.ElementNotAsked


@pytest.mark.parametrize(
    ("refusal", "field", "changes"),
    [
        (s.SourcedElementsInvalid, "element_ids", {"element_ids": ("item-001",)}),
        (s.ElementAsked, "element_ids", {"element_ids": ("item-003",)}),
        (ReasonInvalid, "reason", {"reason": "nobody"}),
    ],
)
def test_unsourced_is_what_nobody_is_asked_for(refusal, field, changes):
    ledger = internal_ledger()
    found = sourcing(ledger)
    send(ledger, "release_inquiry", asking(found, BRAVO, "item-003"), "b_bus")
    unable = s.DeclareUnsourced(sourcing_id=found.id, element_ids=("item-002",), reason="NO_SELLER")
    assert refusal_of(ledger, "declare_unsourced", replace(unable, **changes), "b_bus") == (refusal, field)


@pytest.mark.req("Q-34", "Q-36", "L-30")
def test_every_answer_is_kept_a_quote_as_a_copy():
    ledger = internal_ledger()
    found = asked(ledger, BRAVO, CHARLIE, DELTA)
    send(ledger, "record_response", response(found, 0, score_tenths=87), "b_bus")
    send(ledger, "record_response", response(found, 1, "unable"), "b_bus")
    send(ledger, "record_response", response(found, 2, "deemed"), "b_bus")
    told = ledger.the(s.SOURCING)
    assert [(one.outcome, one.reason) for one in told.asked] == [
        ("quoted", ""),
        ("unable", "NO_CAPACITY"),
        ("deemed", ""),
    ]
    received = ledger.the(s.RECEIVED_QUOTE)
    assert received.id == told.asked[0].received_quote_id
    assert (received.quote, received.score_tenths, received.lead_time_ms) == (quote_for(found), 87, 1_000)
    assert (received.element_ids, received.recorded_at_height) == (PORTS, ledger.height - 2)


@pytest.mark.req("Q-31")
def test_what_a_seller_does_when_it_is_asked_is_kept_in_one_document():
    ledger = internal_ledger()
    found = asked(ledger, BRAVO, CHARLIE, DELTA)
    ledger.write(
        Counterparty(
            id=counterparty_id(ledger.ledger_id, BRAVO), ledger_id=BRAVO, organization=org("bravo"), silences=2
        )
    )
    for place, outcome in enumerate(("quoted", "unable", "deemed")):
        send(ledger, "record_response", response(found, place, outcome), "b_bus")

    def known(ledger_id):
        one = ledger.the(COUNTERPARTY, counterparty_id(ledger.ledger_id, ledger_id))
        return (one.organization, one.buys, one.answers, one.silences, one.silent_at_ms)

    assert known(BRAVO) == (org("bravo"), False, 1, 0, 0)
    assert known(CHARLIE) == (org("charlie"), False, 1, 0, 0)
    assert known(DELTA) == (org("delta"), False, 0, 1, ledger.time_ms)
    assert known(UPSTREAM) == (org("acme"), True, 0, 0, 0)
    send(ledger, "record_response", response(found, 2, "late"), "b_bus")
    assert known(DELTA)[2:4] == (1, 0)


@pytest.mark.req("Q-31")
def test_a_seller_is_silent_once_a_sourcing_and_one_that_never_heard_of_it_is_not():
    ledger = internal_ledger()
    found = sourcing(ledger)
    for element_id in PORTS:
        send(ledger, "release_inquiry", asking(found, BRAVO, element_id), "b_bus")
    send(ledger, "release_inquiry", asking(found, CHARLIE), "b_bus")
    send(ledger, "close_asking", s.CloseAsking(sourcing_id=found.id), "b_bus")
    found = ledger.the(s.SOURCING)
    for place in (0, 1):
        send(ledger, "record_response", response(found, place, "deemed"), "b_bus")
    send(ledger, "record_response", response(found, 2, "refused"), "b_bus")
    silent = ledger.get(COUNTERPARTY, counterparty_id(ledger.ledger_id, BRAVO))
    assert (silent.silences, silent.silent_at_ms) == (1, ledger.time_ms - 2)
    assert ledger.get(COUNTERPARTY, counterparty_id(ledger.ledger_id, CHARLIE)) is None
    later = SimpleNamespace(view=ledger, ledger_id=ledger.ledger_id, block=Block(ledger.height, ledger.time_ms))
    again = was_silent(later, BRAVO, org("bravo"), silent.silent_at_ms + 1)
    assert again == (replace(silent, silences=2, silent_at_ms=ledger.time_ms),)


def other_quote(**changes):
    return lambda found: {"quote": quote_for(found, **changes)}


BAD_RESPONSES = (
    (s.InquiryNotAsked, "inquiry_id", lambda _: {"inquiry_id": "inq_x"}),
    (s.ResponseRecorded, "outcome", lambda _: {"outcome": s.AskedOutcome.LATE_TAKEN, "quote": None}),
    (s.ResponseRecorded, "outcome", lambda _: {"outcome": s.AskedOutcome.WAITING, "quote": None}),
    (s.ResponseUnclear, "quote", lambda _: {"quote": None}),
    (s.ResponseUnclear, "quote", lambda _: {"outcome": s.AskedOutcome.UNABLE}),
    (s.ResponseUnclear, "quote", lambda _: {"score_tenths": 100}),
    (s.ResponseUnclear, "quote", lambda _: {"score_tenths": -2}),
    (ReasonInvalid, "reason", lambda _: {"reason": "why not"}),
    (s.ResponseUnclear, "quote", other_quote(seller=org("charlie"))),
    (s.ResponseUnclear, "quote", other_quote(inquiry_id="inq_x")),
    (s.ResponseUnclear, "quote", lambda found: {"quote": replace(quote_for(found), items=quote_for(found).items[1:])}),
)


@pytest.mark.parametrize(("refusal", "field", "changes"), BAD_RESPONSES)
def test_an_answer_that_is_none_of_this_inquiry_is_refused(refusal, field, changes):
    ledger = internal_ledger()
    found = asked(ledger)
    command = replace(response(found), **changes(found))
    assert refusal_of(ledger, "record_response", command, "b_bus") == (refusal, field)


@pytest.mark.req("Q-32")
@pytest.mark.parametrize("outcome", ["quoted", "late"])
def test_a_quote_counts_as_late_exactly_if_it_is(outcome):
    ledger = internal_ledger()
    found = asked(ledger)
    right = response(found, 0, outcome)
    wrong = replace(right, quote=replace(right.quote, late=not right.quote.late))
    assert refusal_of(ledger, "record_response", wrong, "b_bus") == (s.ResponseUnclear, "quote.late")
    send(ledger, "record_response", right, "b_bus")
    assert ledger.the(s.RECEIVED_QUOTE).late == (outcome == "late")


@pytest.mark.req("Q-34")
def test_an_answer_is_recorded_once():
    ledger = internal_ledger()
    found = asked(ledger)
    send(ledger, "record_response", response(found), "b_bus")
    for outcome in ("quoted", "unable", "deemed", "late"):
        again = response(found, 0, outcome)
        assert refusal_of(ledger, "record_response", again, "b_bus") == (s.ResponseRecorded, "outcome")


@pytest.mark.req("Q-31")
def test_the_time_for_sellers_ends_by_itself():
    ledger = internal_ledger()
    found = asked(ledger)
    ledger.advance(found.respond_by_ms)
    assert ledger.the(s.SOURCING).status == "asked"
    ledger.advance(found.respond_by_ms + 1)
    assert ledger.the(s.SOURCING).status == "ended"
    assert ledger.event_names()[-1] == "sourcing.ended"
    send(ledger, "record_response", response(found, 0, "late"), "b_bus")
    assert ledger.the(s.RECEIVED_QUOTE).late


def late_quote(ledger):
    return late(ledger), s.ReleaseLateQuote(received_quote_id=ledger.the(s.RECEIVED_QUOTE).id, salt=bytes(32))


@pytest.mark.req("Q-32")
def test_a_late_quote_is_taken_while_something_is_decided_by_it():
    ledger = internal_ledger()
    found, taking = late_quote(ledger)
    send(ledger, "release_late_quote", taking, "b_bus")
    release = ledger.the(RELEASE, next(r.id for r in ledger.all(RELEASE) if r.act == "take_late_quote"))
    command = released_command(release)
    assert (command.inquiry_id, command.quote_id, release.ledger_id) == (found.asked[0].inquiry_id, "quo_0", BRAVO)
    assert refusal_of(ledger, "release_late_quote", taking, "b_bus")[0] is s.LateQuoteUseless
    send(ledger, "record_response", response(found, 0, "late_taken"), "b_bus")
    assert ledger.the(s.RECEIVED_QUOTE).taken
    assert refusal_of(ledger, "release_late_quote", taking, "b_bus")[0] is s.LateQuoteUseless


@pytest.mark.req("Q-32")
def test_a_late_quote_is_not_taken_in_vain():
    ledger = internal_ledger()
    found, taking = late_quote(ledger)
    unknown = replace(taking, received_quote_id="rcq_x")
    assert refusal_of(ledger, "release_late_quote", unknown, "b_bus")[0] is s.ReceivedQuoteUnknown
    assert refusal_of(ledger, "release_late_quote", replace(taking, salt=b""), "b_bus")[0] is SaltInvalid
    send(ledger, "rank_quotes", RankQuotes(sourcing_id=found.id), "b_bus")
    send(ledger, "assess", refusing(ledger.the(INQUIRY_HANDOVER)), "sco")
    assert refusal_of(ledger, "release_late_quote", taking, "b_bus") == (s.LateQuoteUseless, "received_quote_id")
    expired = internal_ledger()
    _, taking = late_quote(expired)
    command = refusal_of(expired, "release_late_quote", taking, "b_bus", VALID_MS + 1)
    assert command == (s.LateQuoteUseless, "received_quote_id")
    in_time = internal_ledger()
    collected(in_time)
    taking = s.ReleaseLateQuote(received_quote_id=in_time.the(s.RECEIVED_QUOTE).id, salt=bytes(32))
    assert refusal_of(in_time, "release_late_quote", taking, "b_bus") == (s.LateQuoteUseless, "received_quote_id")


def test_a_change_is_asked_of_the_seller_whose_service_it_is():
    ledger = internal_ledger()
    found = sourcing(ledger)
    change = Change(service_id="svc_up", kind=ChangeKind.QOS)
    changing = tuple(replace(one, action=Action.MODIFY, service_id="svc_bravo") for one in ELEMENTS[1:])
    before = ledger.the(DECOMPOSITION)
    ledger.write(replace(before, elements=(ELEMENTS[0], *changing)))
    assert refusal_of(ledger, "release_inquiry", asking(found), "b_bus") == (s.AskMixed, "element_ids")
    ledger.write(replace(found, change=change))
    send(ledger, "release_inquiry", asking(found, BRAVO), "b_bus")
    assert goes_out(ledger, ledger.the(RELEASE)).change == Change(service_id="svc_bravo", kind=ChangeKind.QOS)
    ledger.write(replace(before, elements=(ELEMENTS[0], changing[0], ELEMENTS[2])))
    assert refusal_of(ledger, "release_inquiry", asking(found, CHARLIE), "b_bus") == (s.AskMixed, "element_ids")


def test_a_recovery_is_sourced_for_another_document():
    ledger = internal_ledger()
    sourcing(ledger)
    parts = replace(ledger.the(DECOMPOSITION), id="dcp_r", subject_id="oho_1", elements=ELEMENTS[1:])
    call = ledger.call(ledger.sender("alpha", "sco"))
    elements = (s.SourcedElement(element_id="item-002", reason=s.SourcingReason.NOT_INTERNAL),)
    given = {
        "purpose": s.Purpose.RECOVERY,
        "subject_kind": "order_handover",
        "currency": "EUR",
        "level": ledger.the(s.SOURCING).level,
        "ancestors": (ACME,),
        "lineage_key": KEY,
    }
    found = s.sourcing_for(call, parts, elements, respond_by_ms=ledger.time_ms + 1_000, **given)
    ledger.write(parts)
    ledger.write(found)
    assert found.id == s.sourcing_id_of(ledger.ledger_id, "oho_1", 1)
    send(ledger, "release_inquiry", asking(found, BRAVO, "item-002"), "b_bus")
    send(ledger, "close_asking", s.CloseAsking(sourcing_id=found.id), "b_bus")
    found = ledger.the(s.SOURCING, found.id)
    send(ledger, "record_response", response(found, 0, "late"), "b_bus")
    received = next(one for one in ledger.all(s.RECEIVED_QUOTE) if one.subject_id == "oho_1")
    send(ledger, "release_late_quote", s.ReleaseLateQuote(received_quote_id=received.id, salt=bytes(32)), "b_bus")
    ranked = send(ledger, "rank_quotes", RankQuotes(sourcing_id=found.id), "b_bus")
    assert [event.name for event in ranked.events][:1] == ["sourcing.ranked"]
    assert ledger.the(INQUIRY_HANDOVER).status == "sourcing"
