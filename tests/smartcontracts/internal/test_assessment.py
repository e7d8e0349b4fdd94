"""Assessment: one source for each element, the chain, what it costs, and when there may be another attempt."""

from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smartcontracts import codec
from smartcontracts.internal import assessment as a
from smartcontracts.internal import sourcing as s
from smartcontracts.internal.decomposition import SOF_QUERY, AnswerSofQueries, Decompose
from smartcontracts.internal.handover import INQUIRY_HANDOVER, HandoverUnknown
from smartcontracts.internal.ranking import RankQuotes
from smartcontracts.kernel import RoleMissing, WrongStatus
from smartcontracts.money import RATE_NANO_MAX, Money
from smartcontracts.trade import (
    TIME_MS_MAX,
    Change,
    ChangeAnswer,
    ChangeKind,
    ChangeMethod,
    Outage,
    PeriodLabel,
    QuoteForm,
    QuoteLevel,
    ReasonInvalid,
)
from tests.smartcontracts.internal.inquiries import (
    ELEMENTS,
    ITEMS,
    PORTS,
    VALID_MS,
    asked,
    choosing,
    collected,
    decomposed,
    element,
    handed_over,
    handing,
    inquiry,
    internal_known,
    internal_ledger,
    late,
    no,
    query_about,
    quote_for,
    received_id,
    refusal_of,
    refusing,
    released,
    response,
    send,
    to_quote,
    yes,
)
from tests.smartcontracts.trading import monthly, once, usage

TO_QUOTE, TRY_AGAIN = a.AssessVerdict.TO_QUOTE, a.AssessVerdict.TRY_AGAIN


@pytest.mark.req("Q-38", "Q-39")
def test_the_assessment_refers_to_every_answer_and_quote_and_has_the_chain():
    ledger = internal_ledger()
    handover = to_quote(ledger)
    found = ledger.the(a.ASSESSMENT)
    assert (found.chainable, found.verdict, found.attempt, found.in_window) == (True, "to_quote", 1, True)
    assert found.chain == ("item-002", "item-003", "item-001")
    assert found.query_ids == tuple(query.id for query in ledger.all(SOF_QUERY))
    assert found.received_quote_ids == (received_id(ledger),)
    assert {choice.element_id: bool(choice.query_id) for choice in found.choices} == {
        "item-001": True,
        "item-002": False,
        "item-003": False,
    }
    assert (handover.status, handover.assessment_id, handover.decided_in_window) == ("to_quote", found.id, True)


@pytest.mark.req("Q-39", "Q-46", "L-21")
def test_the_cost_basis_is_what_the_chosen_sources_cost():
    ledger = internal_ledger()
    to_quote(ledger)
    found = ledger.the(a.ASSESSMENT)
    assert [(item.item_id, [price.rate.nano for price in item.cost], item.lead_time_ms) for item in found.items] == [
        ("item-001", [10_000_000_000], 5_000),
        ("item-002", [3_000_000_000], 1_000),
        ("item-003", [3_000_000_000], 1_000),
    ]
    assert found.valid_until_ms == VALID_MS


def test_a_bundle_goes_with_the_first_element_and_feasibility_with_its_item():
    ledger = internal_ledger()
    found = asked(ledger)
    quote = quote_for(found, 0, prices=(), form=QuoteForm.BUNDLED, bundle=(monthly(9), once(4)))
    items = (quote.items[0], replace(quote.items[1], subject_to_feasibility=True))
    send(ledger, "record_response", response(found, 0, quote=replace(quote, items=items)), "b_bus")
    send(ledger, "record_response", response(found, 1, "unable"), "b_bus")
    send(ledger, "rank_quotes", RankQuotes(sourcing_id=found.id), "b_bus")
    send(ledger, "assess", choosing(ledger, ledger.the(INQUIRY_HANDOVER)), "sco")
    _, north, south = ledger.the(a.ASSESSMENT).items
    assert [(price.price_type, price.rate.nano) for price in north.cost] == [("nonRecurring", 4), ("recurring", 9)]
    assert south.cost == ()
    assert (north.subject_to_feasibility, south.subject_to_feasibility) == (False, True)


@pytest.mark.req("Q-05")
@pytest.mark.parametrize(
    "prices",
    [
        (usage(RATE_NANO_MAX * 10_000 // 11_500 + 1),),
        tuple(usage(1, f"unit{n}") for n in range(16)),
    ],
)
def test_what_no_quote_could_say_is_not_decided_to_be_quoted(prices):
    """Two parts of one item may have more kinds of prices together than an item of a quote, or a rate beyond its range."""
    ledger = internal_ledger()
    found = asked(ledger)
    quote = quote_for(found, 0, prices=(), form=QuoteForm.BUNDLED, bundle=prices)
    items = (replace(quote.items[0], prices=(monthly(9),)), *quote.items[1:])
    send(ledger, "record_response", response(found, 0, quote=replace(quote, items=items)), "b_bus")
    send(ledger, "record_response", response(found, 1, "unable"), "b_bus")
    send(ledger, "rank_quotes", RankQuotes(sourcing_id=found.id), "b_bus")
    command = choosing(ledger, ledger.the(INQUIRY_HANDOVER))
    assert refusal_of(ledger, "assess", command, "sco") == (a.CostUnquotable, "choices")
    refuse = a.Assess(handover_id=command.handover_id, verdict=a.AssessVerdict.TO_REFUSE, reason="NOT_CHAINABLE")
    send(ledger, "assess", refuse, "sco")
    assert ledger.the(INQUIRY_HANDOVER).status == "to_refuse"


@pytest.mark.req("Q-39")
def test_an_assessment_refers_to_more_answers_than_a_list_has_otherwise():
    """With many sellers and several attempts there are thousands; one that can't be read again would end nothing."""
    ledger = internal_ledger()
    to_quote(ledger)
    many = tuple(f"rcq_{n}" for n in range(a.REFERRED_MAX))
    found = replace(ledger.the(a.ASSESSMENT), received_quote_ids=many, query_ids=many)
    assert codec.decode(a.Assessment, codec.encode(found)) == found


@given(
    st.lists(st.tuples(st.sampled_from(["once", "month", "gb", "tb"]), st.integers(0, 10**12)), min_size=1, max_size=12)
)
def test_costs_add_up_exactly(charges):
    made = {"once": once, "month": monthly, "gb": usage, "tb": lambda nano: usage(nano, "TB")}
    prices = tuple(made[kind](nano) for kind, nano in charges)
    total = a.summed(prices)
    assert sum(Fraction(price.rate.nano) for price in total) == sum(nano for _, nano in charges)
    assert len({(price.price_type, price.unit) for price in total}) == len(total) == len({kind for kind, _ in charges})
    assert a.summed(tuple(reversed(prices))) == total == a.summed(total)


def test_a_period_with_and_without_its_label_is_one_charge():
    bare = replace(monthly(3), period_label=PeriodLabel.NONE)
    assert a.summed((bare, monthly(4))) == a.summed((monthly(4), bare)) == (monthly(7),)


def chosen(*changes):
    """The right choices with some replaced by place; None takes one away."""

    def command(ledger, handover):
        choices = list(choosing(ledger, handover).choices)
        for place, change in changes:
            choices[place] = None if change is None else replace(choices[place], **change(ledger))
        return replace(choosing(ledger, handover), choices=tuple(one for one in choices if one is not None))

    return command


def other_query(element_id):
    return lambda ledger: {"query_id": query_about(ledger, element_id).id}


def bought(ledger):
    return {"query_id": "", "received_quote_id": received_id(ledger)}


BAD_CHOICES = (
    (a.ChoicesWrong, "choices", chosen((0, None))),
    (a.ChoicesWrong, "choices", chosen((1, lambda _: {"element_id": "item-001"}))),
    (a.ChoicesWrong, "choices", chosen((1, lambda _: {"element_id": "item-009"}))),
    (a.ChoicesWrong, "choices", chosen((1, lambda _: {"received_quote_id": ""}))),
    (a.ChoicesWrong, "choices", chosen((1, other_query("item-002")))),
    (a.ChoiceNotInternal, "choices[0].query_id", chosen((0, lambda _: {"query_id": "sqy_x"}))),
    (a.ChoiceNotInternal, "choices[0].query_id", chosen((0, other_query("item-002")))),
    (
        a.ChoiceNotInternal,
        "choices[1].query_id",
        chosen((1, lambda ledger: {"query_id": query_about(ledger, "item-002").id, "received_quote_id": ""})),
    ),
    (a.ChoiceNotReceived, "choices[1].received_quote_id", chosen((1, lambda _: {"received_quote_id": "rcq_x"}))),
    (a.ChoiceNotReceived, "choices[0].received_quote_id", chosen((0, bought))),
)


@pytest.mark.req("Q-39")
@pytest.mark.parametrize(("refusal", "field", "command"), BAD_CHOICES)
def test_choices_that_make_no_chain_are_refused(refusal, field, command):
    ledger = internal_ledger()
    handover = collected(ledger)
    assert refusal_of(ledger, "assess", command(ledger, handover), "sco") == (refusal, field)


@pytest.mark.req("Q-39", "Q-41")
def test_what_was_said_at_another_attempt_or_about_another_element_is_no_source():
    ledger = internal_ledger()
    handover = collected(ledger)
    again = a.Assess(handover_id=handover.id, verdict=TRY_AGAIN, reason="NO_CAPACITY")
    send(ledger, "assess", again, "sco")
    send(ledger, "decompose", Decompose(handover_id=handover.id, elements=ELEMENTS), "sco")
    line, port, other = (query_about(ledger, item.id, 2) for item in ITEMS)
    send(ledger, "answer_sof_queries", AnswerSofQueries(answers=(yes(line), yes(port), no(other))), "sof")
    old = choosing(ledger, handover)
    wrong = {
        "attempt": replace(old.choices[0], query_id=query_about(ledger, "item-001", 1).id),
        "element": replace(old.choices[0], query_id=port.id),
        "quote": replace(old.choices[0], query_id=line.id),
    }
    told = {
        name: refusal_of(ledger, "assess", replace(old, choices=(choice, *old.choices[1:])), "sco")
        for name, choice in wrong.items()
    }
    assert told == {
        "attempt": (a.ChoiceNotInternal, "choices[0].query_id"),
        "element": (a.ChoiceNotInternal, "choices[0].query_id"),
        "quote": (a.ChoiceNotReceived, "choices[1].received_quote_id"),
    }


@pytest.mark.req("Q-39")
def test_a_quote_is_chosen_as_a_whole():
    ledger = internal_ledger()
    found = asked(ledger)
    send(ledger, "record_response", response(found), "b_bus")
    send(ledger, "record_response", response(found, 1), "b_bus")
    send(ledger, "rank_quotes", RankQuotes(sourcing_id=found.id), "b_bus")
    other = ledger.the(s.SOURCING).asked[1].received_quote_id
    command = chosen((1, lambda _: {"received_quote_id": other}))(ledger, ledger.the(INQUIRY_HANDOVER))
    assert refusal_of(ledger, "assess", command, "sco") == (a.QuoteSplit, "choices")


@pytest.mark.req("X-10")
def test_a_quote_in_another_currency_can_t_be_chosen():
    ledger = internal_ledger()
    handover = collected(ledger, total=Money(1, "USD"))
    refusal = refusal_of(ledger, "assess", choosing(ledger, handover), "sco")
    assert refusal == (a.ChoiceCurrencyOther, "choices[1].received_quote_id")


def test_an_estimate_or_what_has_expired_can_t_be_chosen():
    ledger = internal_ledger()
    handover = collected(ledger, level=QuoteLevel.BUDGETARY)
    field = "choices[1].received_quote_id"
    assert refusal_of(ledger, "assess", choosing(ledger, handover), "sco") == (a.ChoiceUnusable, field)
    expired = internal_ledger()
    handover = collected(expired)
    command = choosing(expired, handover)
    assert refusal_of(expired, "assess", command, "sco", VALID_MS + 1) == (a.ChoiceUnusable, field)
    in_time = internal_ledger()
    handover = collected(in_time)
    send(in_time, "assess", choosing(in_time, handover), "sco", VALID_MS)
    assert not in_time.the(a.ASSESSMENT).in_window


@pytest.mark.req("Q-32")
def test_a_late_quote_counts_once_it_is_taken():
    ledger = internal_ledger()
    found = late(ledger)
    send(ledger, "rank_quotes", RankQuotes(sourcing_id=found.id), "b_bus")
    command = choosing(ledger, ledger.the(INQUIRY_HANDOVER))
    assert refusal_of(ledger, "assess", command, "sco")[0] is a.ChoiceUnusable
    send(ledger, "record_response", response(found, 0, "late_taken"), "b_bus")
    send(ledger, "rank_quotes", RankQuotes(sourcing_id=found.id), "b_bus")
    send(ledger, "assess", command, "sco")


def test_an_answer_counts_as_long_as_it_holds():
    def held(until_ms):
        ledger = internal_ledger()
        decomposed(ledger)
        answers = tuple(yes(query, hold_until_ms=until_ms) for query in ledger.all(SOF_QUERY))
        send(ledger, "answer_sof_queries", AnswerSofQueries(answers=answers), "sof")
        choices = tuple(a.Choice(element_id=one.id, query_id=query_about(ledger, one.id).id) for one in ELEMENTS)
        return ledger, a.Assess(handover_id=ledger.the(INQUIRY_HANDOVER).id, verdict=TO_QUOTE, choices=choices)

    ledger, command = held(VALID_MS)
    assert refusal_of(ledger, "assess", command, "sco", VALID_MS + 1) == (a.ChoiceNotInternal, "choices[0].query_id")
    ledger, command = held(VALID_MS)
    send(ledger, "assess", command, "sco", VALID_MS)
    assert ledger.the(a.ASSESSMENT).valid_until_ms == VALID_MS
    ledger, command = held(0)
    send(ledger, "assess", command, "sco")
    assert ledger.the(a.ASSESSMENT).valid_until_ms == TIME_MS_MAX


def test_an_element_for_several_items_costs_once_and_takes_its_time_for_each():
    ledger = internal_ledger()
    handover = handed_over(ledger)
    from smartcontracts.internal.decomposition import expected_lineage
    from tests.smartcontracts.internal.inquiries import KEY

    both = element(
        ITEMS[1], id="ports", item_ids=PORTS, lineage_id=expected_lineage("ports", PORTS, 1, ITEMS, KEY), relations=()
    )
    line = element(ITEMS[0], relations=())
    send(ledger, "decompose", Decompose(handover_id=handover.id, elements=(line, both)), "sco")
    answers = (yes(query_about(ledger, "item-001")), yes(query_about(ledger, "ports"), 7, lead_time_ms=9_000))
    send(ledger, "answer_sof_queries", AnswerSofQueries(answers=answers), "sof")
    choices = tuple(a.Choice(element_id=one, query_id=query_about(ledger, one).id) for one in ("item-001", "ports"))
    send(ledger, "assess", a.Assess(handover_id=handover.id, verdict=TO_QUOTE, choices=choices), "sco")
    _, north, south = ledger.the(a.ASSESSMENT).items
    assert ([p.rate.nano for p in north.cost], south.cost) == ([7], ())
    assert (north.lead_time_ms, south.lead_time_ms) == (9_000, 9_000)


def answered_change(*outages):
    return tuple(
        ChangeAnswer(outage=Outage.YES if ms else Outage.NO, outage_ms=ms, method=ChangeMethod.RECONFIGURE)
        for ms in outages
    )


def answer_to(change, *answers):
    """The answer on outage that an inquiry's assessment gives, where SOF answers so for its elements."""
    ledger = internal_ledger()
    handover = send(ledger, "hand_over_inquiry", handing(inquiry=inquiry(change=change)), "s_bus").writes[0]
    send(ledger, "decompose", Decompose(handover_id=handover.id, elements=ELEMENTS), "sco")
    given = tuple(
        yes(query_about(ledger, item.id), change_answer=answer) for item, answer in zip(ITEMS, answers, strict=True)
    )
    send(ledger, "answer_sof_queries", AnswerSofQueries(answers=given), "sof")
    choices = tuple(a.Choice(element_id=one.id, query_id=query_about(ledger, one.id).id) for one in ELEMENTS)
    send(ledger, "assess", a.Assess(handover_id=handover.id, verdict=TO_QUOTE, choices=choices), "sco")
    return ledger.the(a.ASSESSMENT).change_answer


@pytest.mark.req("C-08")
@pytest.mark.parametrize(("outages", "longest"), [((0, 0, 0), 0), ((0, 50, 20), 50)])
def test_the_longest_outage_of_the_parts_is_the_answer(outages, longest):
    change = Change(service_id="svc_1", kind=ChangeKind.QOS)
    assert answer_to(change, *answered_change(*outages)) == answered_change(longest)[0]


def test_what_is_only_added_interrupts_nothing_and_what_is_no_change_says_nothing():
    change = Change(service_id="svc_1", kind=ChangeKind.QOS)
    assert answer_to(change, None, None, None) == answered_change(0)[0]
    assert answer_to(None, *answered_change(5, 5, 5)) is None
    assert answer_to(Change(service_id="svc_1", kind=ChangeKind.TERMINATION), None, None, None) is None


@pytest.mark.req("Q-41", "Q-42")
def test_another_attempt_is_possible_while_there_is_time():
    ledger = internal_ledger()
    handover = collected(ledger)
    again = a.Assess(handover_id=handover.id, verdict=TRY_AGAIN, reason="NO_CAPACITY")
    late = refusal_of(ledger, "assess", again, "sco", handover.decide_by_ms + 1)
    assert late == (a.WindowOver, "verdict")
    timely = internal_ledger()
    handover = collected(timely)
    send(timely, "assess", again, "sco", handover.decide_by_ms)
    after = timely.the(INQUIRY_HANDOVER)
    assert (after.status, after.sourcing_id, after.attempt) == ("in_assessment", "", 1)
    assert timely.the(a.ASSESSMENT).chainable is False


@pytest.mark.req("Q-42")
@pytest.mark.parametrize("decide", [choosing, lambda _, handover: refusing(handover)], ids=["quote", "refuse"])
@pytest.mark.parametrize("late_ms", [0, 1])
def test_the_decision_says_whether_it_came_in_the_buyers_window(decide, late_ms):
    ledger = internal_ledger()
    handover = collected(ledger)
    send(ledger, "assess", decide(ledger, handover), "sco", handover.respond_by_ms + late_ms)
    decided, found = ledger.the(INQUIRY_HANDOVER), ledger.the(a.ASSESSMENT)
    assert (decided.decided_at_ms, found.decided_at_ms) == (handover.respond_by_ms + late_ms,) * 2
    assert (decided.decided_in_window, found.in_window) == (late_ms == 0, late_ms == 0)


def test_who_decides_what_and_when():
    ledger = internal_ledger()
    handover = decomposed(ledger)
    assert refusal_of(ledger, "assess", a.Assess(handover_id=handover.id, verdict=TO_QUOTE), "sco")[0] is WrongStatus
    again = a.Assess(handover_id=handover.id, verdict=TRY_AGAIN, reason="NO_CAPACITY")
    assert refusal_of(ledger, "assess", again, "sco")[0] is WrongStatus
    assert refusal_of(ledger, "assess", refusing(handover), "s_bus")[0] is RoleMissing
    assert refusal_of(ledger, "assess", replace(refusing(handover), handover_id="iho_x"), "sco")[0] is HandoverUnknown
    assert refusal_of(ledger, "assess", refusing(handover, "no room"), "sco") == (ReasonInvalid, "reason")
    some = replace(refusing(handover), choices=(a.Choice(element_id="item-001", query_id="x"),))
    assert refusal_of(ledger, "assess", some, "sco") == (a.ChoicesWrong, "choices")
    send(ledger, "assess", refusing(handover), "sco")
    assert refusal_of(ledger, "assess", refusing(handover), "sco")[0] is WrongStatus


def test_a_decision_to_quote_is_taken_back_before_it_is_out_and_not_after():
    ledger = internal_ledger()
    handover = to_quote(ledger)
    send(ledger, "assess", refusing(handover, "SUPPLY_ENDED"), "sco")
    assert ledger.the(INQUIRY_HANDOVER).reason == "SUPPLY_ENDED"
    out = internal_ledger()
    handover = released(out)
    assert refusal_of(out, "assess", refusing(handover), "sco") == (a.QuoteReleased, "handover_id")


def standing(ledger, made):
    asked_for = inquiry(quote_id="quo_std", answered_at_ms=1)
    command = handing(inquiry=asked_for, standing_quote_id="quo_std", standing_by_ms=ledger.time_ms + 30_000)
    handover = send(ledger, "hand_over_inquiry", command, "s_bus").writes[0]
    send(ledger, "decompose", Decompose(handover_id=handover.id, elements=ELEMENTS), "sco")
    answers = tuple(yes(query) if made else no(query) for query in ledger.all(SOF_QUERY))
    send(ledger, "answer_sof_queries", AnswerSofQueries(answers=answers), "sof")
    return ledger.the(INQUIRY_HANDOVER)


def test_a_catalogues_quote_gets_its_elements_after_the_fact():
    ledger = internal_ledger()
    handover = standing(ledger, made=True)
    choices = tuple(a.Choice(element_id=one.id, query_id=query_about(ledger, one.id).id) for one in ELEMENTS)
    send(ledger, "assess", a.Assess(handover_id=handover.id, verdict=TO_QUOTE, choices=choices), "sco")
    known = ledger.the(INQUIRY_HANDOVER)
    assert (known.status, known.answer_id) == ("quoted", "quo_std")
    assert ledger.event_names()[-1] == "inquiry_handover.quoted"
    other = internal_ledger()
    handover = standing(other, made=False)
    send(other, "assess", refusing(handover), "sco")
    assert (other.the(INQUIRY_HANDOVER).status, other.the(INQUIRY_HANDOVER).reason) == ("unable", "NO_CAPACITY")


def test_what_was_known_stays_when_it_is_refused():
    ledger = internal_ledger()
    handover = internal_known(ledger)
    send(ledger, "assess", refusing(handover), "sco")
    found = ledger.the(a.ASSESSMENT)
    assert (found.reason, found.choices, found.items, len(found.query_ids)) == ("NO_CAPACITY", (), (), 3)
