"""Decomposition: elements that make a chain and cover the inquiry, a query each, and SOF's two answers."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smartcontracts.canonical_json import JsonMalformed
from smartcontracts.codec import ValueUnknown
from smartcontracts.internal import decomposition as d
from smartcontracts.internal.answer import RecordAnswer
from smartcontracts.internal.assessment import Assess, AssessVerdict
from smartcontracts.internal.handover import INQUIRY_HANDOVER, HandoverUnknown
from smartcontracts.internal.rules import SetSourcingRules
from smartcontracts.kernel import RoleMissing, WrongStatus
from smartcontracts.lineage import child_lineage, element_lineage
from smartcontracts.money import AmountOutOfRange, CurrencyMismatch, Rate
from smartcontracts.pricing import PriceFormWrong
from smartcontracts.trade import Action, ChangeAnswer, ChangeMethod, ItemRelation, Outage, ReasonInvalid, TimeOutOfRange
from tests.smartcontracts.internal.inquiries import (
    BY_MS,
    ELEMENTS,
    ITEMS,
    KEY,
    carried,
    decomposed,
    handed_over,
    inquiry,
    internal_known,
    internal_ledger,
    no,
    query_about,
    quoted_alone,
    refusal_of,
    refusing,
    released,
    send,
    split,
    to_refuse,
    yes,
)
from tests.smartcontracts.trading import monthly

FIRST = ELEMENTS[0]
REST = ELEMENTS[1:]


@pytest.mark.req("Q-22", "Q-23", "Q-24", "X-11", "L-20")
def test_each_element_gives_one_query_before_anything_else():
    ledger = internal_ledger()
    handover = decomposed(ledger)
    queries = ledger.all(d.SOF_QUERY)
    assert sorted(query.element.id for query in queries) == ["item-001", "item-002", "item-003"]
    assert {(query.status, query.currency, query.attempt) for query in queries} == {("asked", "EUR", 1)}
    assert all(query.needed_until_ms > BY_MS for query in queries)
    assert (handover.attempt, handover.queries_open, handover.status) == (1, 3, "in_assessment")
    found = ledger.the(d.DECOMPOSITION)
    assert found.elements == ELEMENTS
    assert found.chain == ("item-002", "item-003", "item-001")


def broken(**changes):
    return (replace(FIRST, **changes), *REST)


CYCLE = (
    replace(FIRST, relations=(ItemRelation(type="A", item_id="item-002"),)),
    replace(REST[0], relations=(ItemRelation(type="B", item_id="item-001"),)),
    REST[1],
)
BAD_ELEMENTS = (
    (d.ElementsMissing, "elements", ()),
    (d.TooManyElements, "elements", tuple(replace(FIRST, id=f"e{n}") for n in range(d.ELEMENTS_MAX + 1))),
    (d.ElementIdInvalid, "elements[0].id", broken(id="")),
    (d.ElementIdInvalid, "elements[1].id", broken(id="item-002")[:1] + REST),
    (d.ElementIncomplete, "elements[0].item_ids", broken(item_ids=())),
    (d.ElementIncomplete, "elements[0].offering", broken(offering="")),
    (d.ElementIncomplete, "elements[0].product", broken(product=b"")),
    (d.ElementIncomplete, "elements[0].term", broken(term=None)),
    (d.ElementItemUnknown, "elements[0].item_ids[0]", broken(item_ids=("item-009",))),
    (d.ElementItemUnknown, "elements[0].item_ids[1]", broken(item_ids=("item-001", "item-001"))),
    (JsonMalformed, "elements[0].product", broken(product=b"{")),
    (TimeOutOfRange, "elements[0].installation_interval_ms", broken(installation_interval_ms=-1)),
    (d.ItemNotCovered, "elements", REST),
    (d.LineageWrong, "elements[0].lineage_id", broken(lineage_id="0" * 64)),
    (d.ElementRelationUnknown, "elements[0].relations[0]", broken(relations=(ItemRelation(type="A", item_id="x"),))),
    (
        d.ElementRelationUnknown,
        "elements[0].relations[1]",
        broken(relations=(ItemRelation(type="A", item_id="item-002"),) * 2),
    ),
    (d.ElementCycle, "elements", CYCLE),
)


@pytest.mark.req("Q-22", "X-05")
@pytest.mark.parametrize(("refusal", "field", "elements"), BAD_ELEMENTS)
def test_elements_that_make_no_chain_of_the_inquiry_are_refused(refusal, field, elements):
    ledger = internal_ledger()
    handover = handed_over(ledger)
    command = d.Decompose(handover_id=handover.id, elements=elements)
    assert refusal_of(ledger, "decompose", command, "sco") == (refusal, field)


def test_the_first_fault_of_elements_is_told():
    faults = {"id": "", "item_ids": (), "lineage_id": "x", "relations": (ItemRelation(type="A", item_id="x"),)}
    told = []
    ledger = internal_ledger()
    handover = handed_over(ledger)
    while faults:
        command = d.Decompose(handover_id=handover.id, elements=broken(**faults))
        told.append(refusal_of(ledger, "decompose", command, "sco")[0])
        del faults[next(iter(faults))]
    assert told == [d.ElementIdInvalid, d.ElementIncomplete, d.LineageWrong, d.ElementRelationUnknown]


@pytest.mark.req("X-05")
def test_an_element_that_is_its_item_keeps_the_lineage_and_parts_get_one_of_their_own():
    ledger = internal_ledger()
    handover = handed_over(ledger)
    parts = (*split(ITEMS[0], "north", "south"), *REST)
    assert [one.lineage_id for one in parts] == [
        child_lineage(KEY, ITEMS[0].lineage_id, "north"),
        child_lineage(KEY, ITEMS[0].lineage_id, "south"),
        element_lineage(KEY, "item-002"),
        element_lineage(KEY, "item-003"),
    ]
    send(ledger, "decompose", d.Decompose(handover_id=handover.id, elements=parts), "sco")
    both = d.expected_lineage("ports", ("item-002", "item-003"), 1, ITEMS, KEY)
    assert both == child_lineage(KEY, ITEMS[1].lineage_id, "ports")


def test_as_many_elements_as_are_allowed_are_taken():
    ledger = internal_ledger()
    handover = handed_over(ledger)
    many = split(ITEMS[0], *(f"e{n}" for n in range(d.ELEMENTS_MAX - 2)))
    many = tuple(replace(one, relations=one.relations[-1:]) for one in many)
    send(ledger, "decompose", d.Decompose(handover_id=handover.id, elements=(*many, *REST)), "sco")
    assert len(ledger.all(d.SOF_QUERY)) == d.ELEMENTS_MAX


@given(st.data())
def test_a_chain_has_what_each_element_depends_on_before_it(data):
    count = data.draw(st.integers(1, 8))
    edges = data.draw(st.sets(st.tuples(st.integers(0, count - 1), st.integers(0, count - 1))))
    elements = tuple(
        replace(
            FIRST,
            id=str(n),
            relations=tuple(ItemRelation(type="T", item_id=str(to)) for place, to in sorted(edges) if place == n),
        )
        for n in range(count)
    )
    try:
        chain = d.chain_of(elements)
    except d.ElementCycle:
        reachable = {(a, b) for a, b in edges}
        for _ in range(count):
            reachable |= {(a, d2) for a, b in reachable for c, d2 in reachable if b == c}
        assert any(a == b for a, b in reachable)
        return
    assert sorted(chain) == sorted(one.id for one in elements)
    assert all(chain.index(str(to)) < chain.index(str(place)) for place, to in edges)


def test_who_and_when_a_decomposition_is_made():
    ledger = internal_ledger()
    handover = decomposed(ledger)
    again = d.Decompose(handover_id=handover.id, elements=ELEMENTS)
    assert refusal_of(ledger, "decompose", again, "sof")[0] is RoleMissing
    assert refusal_of(ledger, "decompose", replace(again, handover_id="iho_x"), "sco")[0] is HandoverUnknown
    assert refusal_of(ledger, "decompose", again, "sco") == (d.QueriesOpen, "handover_id")
    decided = internal_ledger()
    refused = to_refuse(decided)
    assert refusal_of(decided, "decompose", replace(again, handover_id=refused.id), "sco")[0] is WrongStatus


@pytest.mark.req("Q-25", "Q-26")
def test_the_last_answer_makes_known_what_is_internal():
    ledger = internal_ledger()
    handover = decomposed(ledger)
    queries = [query_about(ledger, item.id) for item in ITEMS]
    send(ledger, "answer_sof_queries", d.AnswerSofQueries(answers=(yes(queries[0]), no(queries[1]))), "sof")
    waiting = ledger.the(INQUIRY_HANDOVER)
    assert (waiting.status, waiting.queries_open) == ("in_assessment", 1)
    send(ledger, "answer_sof_queries", d.AnswerSofQueries(answers=(no(queries[2], "NO_FIBRE"),)), "sof")
    known = ledger.the(INQUIRY_HANDOVER)
    assert (known.status, known.queries_open) == ("internal_known", 0)
    assert [query_about(ledger, item.id).status for item in ITEMS] == ["yes", "no", "no"]
    assert query_about(ledger, "item-001").answer == yes(queries[0])
    assert query_about(ledger, "item-003").answer.reason == "NO_FIBRE"
    assert ledger.event_names()[-2:] == ["sof_query.answered", "inquiry_handover.internal_known"]
    assert handover.id == known.id


def answering(**changes):
    return lambda query: yes(query, **changes)


BAD_ANSWERS = (
    (d.SofAnswerIncomplete, "prices", answering(prices=())),
    (d.SofAnswerIncomplete, "lead_time_ms", answering(lead_time_ms=0)),
    (d.SofAnswerIncomplete, "lead_time_ms", answering(lead_time_ms=-1)),
    (d.SofAnswerIncomplete, "prices", lambda query: replace(no(query), lead_time_ms=1)),
    (CurrencyMismatch, "prices[0].rate", answering(prices=(replace(monthly(1), rate=Rate(1, "USD")),))),
    (AmountOutOfRange, "prices[0].rate", answering(prices=(monthly(-1),))),
    (PriceFormWrong, "prices[0].period_ms", answering(prices=(replace(monthly(1), period_ms=0),))),
    (TimeOutOfRange, "hold_until_ms", answering(hold_until_ms=-1)),
    (JsonMalformed, "attributes", answering(attributes=b"{")),
    (ReasonInvalid, "", lambda query: no(query, "no room")),
)


@pytest.mark.req("Q-25")
@pytest.mark.parametrize(("refusal", "field", "answer"), BAD_ANSWERS)
def test_an_answer_without_what_it_must_say_is_refused(refusal, field, answer):
    ledger = internal_ledger()
    decomposed(ledger)
    command = d.AnswerSofQueries(answers=(answer(query_about(ledger, "item-001")),))
    expected = f"answers[0].{field}" if field else "reason"
    assert refusal_of(ledger, "answer_sof_queries", command, "sof") == (refusal, expected)


def outage(ms, says=Outage.YES):
    return ChangeAnswer(outage=says, outage_ms=ms, method=ChangeMethod.RECONFIGURE)


def said_of(action, said):
    """A ledger with a query about an element of this action, and SOF's yes to it."""
    ledger = internal_ledger()
    command = d.Decompose(handover_id=handed_over(ledger).id, elements=broken(action=action))
    send(ledger, "decompose", command, "sco")
    return ledger, d.AnswerSofQueries(answers=(yes(query_about(ledger, "item-001"), change_answer=said),))


@pytest.mark.req("C-08")
@pytest.mark.parametrize("said", [None, outage(0), outage(-1), outage(1, Outage.NO), outage(-1, Outage.NO)])
def test_a_yes_to_a_change_says_whether_and_how_long_it_interrupts(said):
    ledger, command = said_of(Action.MODIFY, said)
    field = "answers[0].change_answer" + ("" if said is None else ".outage_ms")
    assert refusal_of(ledger, "answer_sof_queries", command, "sof") == (d.SofAnswerIncomplete, field)


@pytest.mark.parametrize(
    ("action", "said"),
    [
        (Action.MODIFY, outage(1)),
        (Action.MODIFY, outage(0, Outage.NO)),
        (Action.ADD, None),
        (Action.DELETE, None),
    ],
)
def test_what_is_added_or_ended_needs_no_word_on_an_outage(action, said):
    ledger, command = said_of(action, said)
    send(ledger, "answer_sof_queries", command, "sof")
    assert query_about(ledger, "item-001").answer.change_answer == said


@pytest.mark.req("Q-25")
def test_there_is_no_third_verdict():
    from smartcontracts import codec
    from syngraph.v1 import internal_inquiry_pb2

    third = internal_inquiry_pb2.SofAnswer(query_id="q", verdict="maybe").SerializeToString()
    with pytest.raises(ValueUnknown):
        codec.decode(d.SofAnswer, third)


def test_each_query_is_answered_once():
    ledger = internal_ledger()
    decomposed(ledger)
    query = query_about(ledger, "item-001")
    twice = d.AnswerSofQueries(answers=(yes(query), no(query)))
    assert refusal_of(ledger, "answer_sof_queries", twice, "sof") == (d.SofQueryUnknown, "answers[1].query_id")
    unknown = d.AnswerSofQueries(answers=(replace(yes(query), query_id="sqy_x"),))
    assert refusal_of(ledger, "answer_sof_queries", unknown, "sof") == (d.SofQueryUnknown, "answers[0].query_id")
    nothing = d.AnswerSofQueries(answers=())
    assert refusal_of(ledger, "answer_sof_queries", nothing, "sof") == (d.AnswersMissing, "answers")
    once = d.AnswerSofQueries(answers=(yes(query),))
    assert refusal_of(ledger, "answer_sof_queries", once, "sco")[0] is RoleMissing
    send(ledger, "answer_sof_queries", once, "sof")
    assert refusal_of(ledger, "answer_sof_queries", once, "sof") == (d.QueryAnswered, "answers[0].query_id")


@pytest.mark.req("Q-26")
def test_queries_that_nobody_waits_for_any_more_lapse():
    ledger = internal_ledger()
    handover = decomposed(ledger)
    query = query_about(ledger, "item-001")
    send(ledger, "assess", refusing(handover, "WINDOW_OVER"), "sco")
    assert {one.status for one in ledger.all(d.SOF_QUERY)} == {"lapsed"}
    late = d.AnswerSofQueries(answers=(yes(query),))
    assert refusal_of(ledger, "answer_sof_queries", late, "sof")[0] is d.QueryAnswered


@pytest.mark.req("Q-41")
def test_another_attempt_has_queries_of_its_own():
    ledger = internal_ledger()
    handover = internal_known(ledger)
    again = Assess(handover_id=handover.id, verdict=AssessVerdict.TRY_AGAIN, reason="NO_CAPACITY")
    send(ledger, "assess", again, "sco")
    parts = (*split(ITEMS[0], "north", "south"), *REST)
    send(ledger, "decompose", d.Decompose(handover_id=handover.id, elements=parts), "sco")
    second = ledger.the(INQUIRY_HANDOVER)
    assert (second.attempt, second.queries_open, second.status) == (2, 4, "in_assessment")
    assert sorted(q.element.id for q in ledger.all(d.SOF_QUERY) if q.attempt == 2) == [
        "item-002",
        "item-003",
        "north",
        "south",
    ]
    assert len(ledger.all(d.DECOMPOSITION)) == 2


@pytest.mark.req("Q-41")
def test_attempts_end_with_the_rules_and_with_the_time():
    ledger = internal_ledger()
    send(ledger, "set_sourcing_rules", SetSourcingRules(tries_max=2), "sco")
    handover = internal_known(ledger)
    again = Assess(handover_id=handover.id, verdict=AssessVerdict.TRY_AGAIN, reason="NO_CAPACITY")
    more = d.Decompose(handover_id=handover.id, elements=ELEMENTS)
    send(ledger, "assess", again, "sco")
    assert refusal_of(ledger, "decompose", more, "sco", handover.decide_by_ms + 1) == (d.DecideNow, "handover_id")
    timely = internal_ledger()
    send(timely, "set_sourcing_rules", SetSourcingRules(tries_max=2), "sco")
    assert internal_known(timely).id == handover.id
    send(timely, "assess", again, "sco")
    send(timely, "decompose", more, "sco", handover.decide_by_ms)


@pytest.mark.req("Q-41")
def test_the_rules_say_how_many_attempts_there_are():
    ledger = internal_ledger()
    send(ledger, "set_sourcing_rules", SetSourcingRules(tries_max=1), "sco")
    handover = internal_known(ledger)
    again = Assess(handover_id=handover.id, verdict=AssessVerdict.TRY_AGAIN, reason="NO_CAPACITY")
    assert refusal_of(ledger, "assess", again, "sco") == (d.TriesUsed, "verdict")
    send(ledger, "set_sourcing_rules", SetSourcingRules(tries_max=2), "sco")
    send(ledger, "assess", again, "sco")
    send(ledger, "set_sourcing_rules", SetSourcingRules(tries_max=1), "sco")
    more = d.Decompose(handover_id=handover.id, elements=ELEMENTS)
    assert refusal_of(ledger, "decompose", more, "sco") == (d.TriesUsed, "handover_id")


def another(ledger, **changes):
    """The same asked by another buyer, whose lineage is another one."""
    key = b"\x77" * 32
    items = tuple(replace(item, lineage_id=element_lineage(key, item.id)) for item in ITEMS)
    asked = inquiry(**({"id": "inq_2", "items": items, "lineage_key": key} | changes))
    return handed_over(ledger, inquiry=asked, ledger_id="sg_" + "9" * 32), items


@pytest.mark.req("Q-20", "Q-21")
def test_what_led_to_a_quote_before_is_used_again_and_confirmed_anew():
    ledger = internal_ledger()
    earlier = quoted_alone(ledger)
    handover, items = another(ledger)
    send(ledger, "reuse_quote", d.ReuseQuote(handover_id=handover.id, from_handover_id=earlier.id), "sco")
    reused = ledger.the(INQUIRY_HANDOVER, handover.id)
    assert (reused.repurposed_from, reused.attempt, reused.queries_open) == (earlier.id, 1, 3)
    mine = [q for q in ledger.all(d.SOF_QUERY) if q.subject_id == handover.id]
    assert [q.status for q in mine] == ["asked"] * 3
    assert {q.element.lineage_id for q in mine} == {item.lineage_id for item in items}
    assert ledger.find(d.DECOMPOSITION, "related", earlier.id, 5)


@pytest.mark.req("Q-20", "Q-21")
def test_only_identical_inquiries_quoted_from_own_resources_are_used_again():
    ledger = internal_ledger()
    earlier = quoted_alone(ledger)
    other, _ = another(ledger, items=tuple(replace(item, lineage_id="0" * 64, offering="x") for item in ITEMS))
    wrong = d.ReuseQuote(handover_id=other.id, from_handover_id=earlier.id)
    assert refusal_of(ledger, "reuse_quote", wrong, "sco") == (d.NotIdentical, "from_handover_id")
    itself = d.ReuseQuote(handover_id=other.id, from_handover_id=other.id)
    assert refusal_of(ledger, "reuse_quote", itself, "sco") == (d.NotIdentical, "from_handover_id")
    bought = internal_ledger()
    with_sellers = released(bought)
    carried(bought, with_sellers)
    send(bought, "record_answer", RecordAnswer(handover_id=with_sellers.id), "s_bus")
    handover, _ = another(bought)
    wrong = d.ReuseQuote(handover_id=handover.id, from_handover_id=with_sellers.id)
    assert refusal_of(bought, "reuse_quote", wrong, "sco") == (d.NotReusable, "from_handover_id")
