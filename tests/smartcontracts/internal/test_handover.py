"""Handover: taken in once, found again by what it asks for, and refused if its elements are here already."""

from dataclasses import replace

import pytest

from smartcontracts.inquiry import InquiryStatus
from smartcontracts.internal.answer import RecordAnswer
from smartcontracts.internal.assessment import Assess, AssessVerdict, WindowOver
from smartcontracts.internal.decomposition import SOF_QUERY, AnswerSofQueries, Decompose
from smartcontracts.internal.handover import (
    COMMITS_MS,
    DUPLICATE,
    INQUIRY_HANDOVER,
    SAME_LINEAGE_MAX,
    HandoverStatus,
    HandoverUnknown,
    InquiryNotOpen,
    InquiryNotOurs,
    StandingWrong,
    characteristics_of,
    decide_by_ms,
    own_time_ms,
)
from smartcontracts.internal.rules import SourcingRules
from smartcontracts.kernel import AlreadyDone, RoleMissing
from smartcontracts.money import CurrencyUnknown
from tests.smartcontracts.internal.inquiries import (
    BY_MS,
    ELEMENTS,
    ITEMS,
    NOW,
    WINDOW_MS,
    carried,
    handed_over,
    handing,
    inquiry,
    internal_known,
    internal_ledger,
    no,
    refusal_of,
    refusing,
    released,
    send,
    to_refuse,
)
from tests.smartcontracts.support import org

OTHER = "sg_" + "f" * 32


@pytest.mark.req("Q-17", "L-28", "L-31")
def test_an_inquiry_is_handed_over_with_all_that_was_asked():
    ledger = internal_ledger()
    handover = handed_over(ledger)
    assert handover == ledger.the(INQUIRY_HANDOVER)
    assert (handover.status, handover.inquiry, handover.respond_by_ms) == ("in_assessment", inquiry(), BY_MS)
    assert ledger.event_names() == ["inquiry_handover.in_assessment"]
    assert ledger.find(INQUIRY_HANDOVER, "related", "inq_1", 2) == (handover,)


def test_it_is_handed_over_once_whoever_repeats_it():
    ledger = internal_ledger()
    handover = handed_over(ledger)
    with pytest.raises(AlreadyDone) as again:
        send(ledger, "hand_over_inquiry", handing(inquiry=inquiry(project="other")), "s_bus")
    assert again.value.existing_id == handover.id
    elsewhere = handed_over(ledger, ledger_id=OTHER)
    assert elsewhere.id != handover.id


BROKEN = (
    (InquiryNotOurs, "inquiry.seller", {"inquiry": inquiry(seller=org("bravo"))}),
    (InquiryNotOpen, "inquiry.status", {"inquiry": inquiry(status=InquiryStatus.UNABLE, answered_at_ms=NOW)}),
    (InquiryNotOpen, "inquiry.status", {"inquiry": inquiry(late_quote_id="quo_1", answered_at_ms=NOW)}),
    (StandingWrong, "standing_quote_id", {"standing_quote_id": "quo_1", "standing_by_ms": BY_MS}),
    (
        StandingWrong,
        "standing_by_ms",
        {"inquiry": inquiry(quote_id="quo_1"), "standing_quote_id": "quo_1", "standing_by_ms": NOW},
    ),
    (CurrencyUnknown, "currency", {"currency": "XYZ"}),
)


@pytest.mark.parametrize(("refusal", "field", "changes"), BROKEN)
def test_a_handover_that_is_wrong_is_refused(refusal, field, changes):
    assert refusal_of(internal_ledger(), "hand_over_inquiry", handing(**changes), "s_bus") == (refusal, field)


def test_refusals_come_in_their_order():
    everything = handing(
        inquiry=inquiry(seller=org("bravo"), status=InquiryStatus.QUOTED, answered_at_ms=NOW), currency="XYZ"
    )
    ledger = internal_ledger()
    assert refusal_of(ledger, "hand_over_inquiry", everything, "s_bus")[0] is InquiryNotOurs
    ours = replace(everything, inquiry=replace(everything.inquiry, seller=org("alpha")))
    assert refusal_of(ledger, "hand_over_inquiry", ours, "s_bus")[0] is InquiryNotOpen


@pytest.mark.req("L-05", "L-28")
@pytest.mark.parametrize("role", ["b_bus", "sco", "sof", "administrator"])
def test_no_other_function_hands_over(role):
    assert refusal_of(internal_ledger(), "hand_over_inquiry", handing(), role)[0] is RoleMissing


@pytest.mark.req("Q-08", "X-05")
def test_an_element_that_came_over_another_ledger_is_refused_as_duplicate():
    ledger = internal_ledger()
    handed_over(ledger)
    second = handed_over(ledger, ledger_id=OTHER, inquiry=inquiry(id="inq_2", items=ITEMS[2:]))
    assert (second.status, second.reason, second.decided_in_window) == (HandoverStatus.TO_REFUSE, DUPLICATE, True)


@pytest.mark.req("X-05")
def test_the_same_element_by_the_same_ledger_or_after_a_refusal_is_no_duplicate():
    ledger = internal_ledger()
    handed_over(ledger)
    assert handed_over(ledger, inquiry=inquiry(id="inq_2")).status == HandoverStatus.IN_ASSESSMENT
    other = internal_ledger()
    to_refuse(other)
    assert handed_over(other, ledger_id=OTHER).status == HandoverStatus.IN_ASSESSMENT


@pytest.mark.req("X-05")
def test_refused_requests_for_an_element_however_many_hide_no_living_one():
    """Who asks for the same element in vain a hundred times had the next buyer's request taken for the first."""
    ledger = internal_ledger()
    living = handed_over(ledger)
    for n in range(SAME_LINEAGE_MAX):
        ledger.write(replace(living, id=f"iho_{n:04}", ledger_id=OTHER, status=HandoverStatus.UNABLE))
    second = handed_over(ledger, ledger_id=OTHER, inquiry=inquiry(id="inq_2"))
    assert (second.status, second.reason) == (HandoverStatus.TO_REFUSE, DUPLICATE)


@pytest.mark.req("X-05")
def test_what_was_quoted_is_held_while_the_quote_is_valid():
    ledger = internal_ledger()
    handover = released(ledger)
    carried(ledger, handover)
    until_ms = handover.quote_valid_until_ms
    send(ledger, "record_answer", RecordAnswer(handover_id=handover.id), "s_bus")
    held = send(ledger, "hand_over_inquiry", handing(ledger_id=OTHER), "s_bus", at=until_ms).writes[0]
    assert held.reason == DUPLICATE
    late = handing(ledger_id=OTHER, inquiry=inquiry(id="inq_3"))
    assert send(ledger, "hand_over_inquiry", late, "s_bus", at=until_ms + 1).writes[0].reason == ""


@pytest.mark.req("Q-20")
def test_what_is_asked_for_is_found_again_whatever_its_items_are_called():
    renamed = tuple(
        replace(
            item,
            id=item.id.replace("item", "part"),
            lineage_id="",
            relations=tuple(replace(one, item_id=one.item_id.replace("item", "part")) for one in item.relations),
        )
        for item in ITEMS
    )
    assert characteristics_of(renamed) == characteristics_of(ITEMS)
    for change in (
        {"offering": "x"},
        {"product": b"{}"},
        {"term": None},
        {"relations": ()},
        {"installation_interval_ms": 5},
    ):
        assert characteristics_of((replace(ITEMS[0], **change), *ITEMS[1:])) != characteristics_of(ITEMS)
    assert characteristics_of(ITEMS[::-1]) != characteristics_of(ITEMS)
    ledger = internal_ledger()
    handover = handed_over(ledger)
    assert ledger.find(INQUIRY_HANDOVER, "related", characteristics_of(ITEMS), 2) == (handover,)


@pytest.mark.req("Q-42")
def test_the_time_to_decide_comes_before_the_window_ends():
    ledger = internal_ledger()
    handover = handed_over(ledger)
    assert NOW < handover.decide_by_ms == BY_MS - (WINDOW_MS - 1) // 3 // 2 < BY_MS
    ledger.advance(handover.decide_by_ms)
    assert not ledger.the(INQUIRY_HANDOVER).decision_due
    ledger.advance(handover.decide_by_ms + 1)
    assert ledger.the(INQUIRY_HANDOVER).decision_due
    assert ledger.event_names()[-1] == "inquiry_handover.decision_due"


@pytest.mark.req("X-09")
def test_an_answer_that_is_owed_after_its_window_has_own_time_anew_and_no_second_attempt():
    rules = SourcingRules(quoting_ms=9_000)
    assert [decide_by_ms(rules, NOW, by) - NOW for by in (NOW + 90_000, NOW + 1, NOW, NOW - 5)] == [
        85_500,
        1,
        9_000,
        9_000,
    ]
    ledger = internal_ledger()
    late = handing(inquiry=inquiry(status=InquiryStatus.DEEMED_UNABLE, respond_by_ms=NOW))
    handover = send(ledger, "hand_over_inquiry", late, "s_bus").writes[0]
    first = Decompose(handover_id=handover.id, elements=ELEMENTS)
    send(ledger, "decompose", first, "sco")
    answers = tuple(no(query) for query in ledger.all(SOF_QUERY))
    send(ledger, "answer_sof_queries", AnswerSofQueries(answers=answers), "sof")
    again = Assess(handover_id=handover.id, verdict=AssessVerdict.TRY_AGAIN, reason="NO_CAPACITY")
    assert refusal_of(ledger, "assess", again, "sco") == (WindowOver, "verdict")


def test_own_time_is_the_rules_but_at_most_a_third():
    rules = SourcingRules(quoting_ms=10_000)
    assert [own_time_ms(rules, window) for window in (90_000, 30_000, 29_999, 3, 0, -5)] == [
        10_000,
        10_000,
        9_999,
        1,
        0,
        0,
    ]


@pytest.mark.req("Q-42")
def test_own_time_leaves_room_for_the_commits_of_an_answer_however_little_the_rules_keep():
    for quoting_ms in (0, 500, COMMITS_MS):
        hasty = SourcingRules(quoting_ms=quoting_ms)
        assert [own_time_ms(hasty, window) for window in (60_000, 3_000)] == [COMMITS_MS, 1_000]
        assert decide_by_ms(hasty, NOW, NOW + 60_000) == NOW + 60_000 - COMMITS_MS // 2
        assert decide_by_ms(hasty, NOW, NOW) == NOW + COMMITS_MS


@pytest.mark.req("Q-05", "X-09")
def test_an_inquiry_is_taken_in_and_answered_after_its_window():
    ledger = internal_ledger()
    late = handing(inquiry=inquiry(status=InquiryStatus.DEEMED_UNABLE))
    handover = send(ledger, "hand_over_inquiry", late, "s_bus", at=BY_MS + 5_000).writes[0]
    assert handover.status == HandoverStatus.IN_ASSESSMENT
    send(ledger, "assess", refusing(handover), "sco")
    refused = ledger.the(INQUIRY_HANDOVER)
    assert (refused.status, refused.decided_in_window) == (HandoverStatus.TO_REFUSE, False)


def test_an_unknown_handover_is_refused():
    ledger = internal_ledger()
    known = internal_known(ledger)
    assert refusal_of(ledger, "assess", refusing(replace(known, id="iho_x")), "sco") == (HandoverUnknown, "handover_id")
