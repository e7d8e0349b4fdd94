"""Ranking: one order for the same quotes, whatever order they are given in, with all that counted."""

import itertools
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smartcontracts.internal import ranking as r
from smartcontracts.internal import sourcing as s
from smartcontracts.internal.handover import INQUIRY_HANDOVER
from smartcontracts.internal.release import RELEASE
from smartcontracts.internal.rules import SetSourcingRules, SourcingRules
from smartcontracts.kernel import RoleMissing, WrongStatus
from smartcontracts.money import MINOR_MAX, RATE_NANO_MAX, Money
from smartcontracts.trade import QuoteLevel, ReasonInvalid
from tests.smartcontracts.internal.inquiries import (
    BRAVO,
    CHARLIE,
    DELTA,
    ELEMENTS,
    VALID_MS,
    asked,
    asking,
    internal_ledger,
    quote_for,
    refusal_of,
    refusing,
    response,
    send,
    sourcing,
)
from tests.smartcontracts.trading import usage

LEDGER = internal_ledger()
SOURCING = asked(LEDGER)


def received(name, total=100, score=50, lead_ms=1_000, height=5, currency="EUR", **changes):
    quote = quote_for(SOURCING, total=Money(total, currency), lead_ms=lead_ms, id=name)
    given = {
        "id": f"rcq_{name}",
        "sourcing_id": SOURCING.id,
        "subject_id": SOURCING.subject_id,
        "ledger_id": BRAVO,
        "seller": f"org_{name}",
        "element_ids": ("item-002", "item-003"),
        "quote": quote,
        "score_tenths": score,
        "lead_time_ms": lead_ms,
        "recorded_at_ms": 1,
        "recorded_at_height": height,
    }
    return s.ReceivedQuote(**(given | changes))


def order(*quotes, rules=None, now_ms=LEDGER.time_ms):
    ranked = r.ranked(tuple(quotes), SOURCING, ELEMENTS, rules or SourcingRules(), now_ms)
    return [one.received_quote_id.removeprefix("rcq_") for one in ranked]


def unfit(one):
    items = tuple(replace(item, subject_to_feasibility=True) for item in one.quote.items)
    return replace(one, quote=replace(one.quote, items=items))


@pytest.mark.req("Q-33", "X-10")
def test_the_defaults_rank_by_price_then_score_then_lead_time_then_fit_then_height_then_id():
    best = received("a")
    worse = [
        # What a tie is broken by last is the quote's own id, and not that of the copy.
        replace(received("b"), id="rcq_A"),
        received("0", height=6),
        unfit(received("c", height=1)),
        unfit(received("d", lead_ms=1_001, height=1)),
        received("e", score=49, lead_ms=1, height=1),
        received("f", total=101, score=99, lead_ms=1, height=1),
    ]
    assert order(*reversed(worse), best) == ["a", "A", "0", "c", "d", "e", "f"]


@pytest.mark.req("Q-33")
def test_weights_decide_otherwise():
    cheap, good, quick = received("cheap", 100, 10, 900), received("good", 300, 90, 800), received("quick", 200, 50, 1)
    assert order(cheap, good, quick) == ["cheap", "quick", "good"]
    by_score = SourcingRules(weight_price=0, weight_score=1, weight_lead_time=0, weight_fit=0)
    assert order(cheap, good, quick, rules=by_score) == ["good", "quick", "cheap"]
    by_time = SourcingRules(weight_price=1, weight_score=0, weight_lead_time=10, weight_fit=0)
    assert order(cheap, good, quick, rules=by_time) == ["quick", "good", "cheap"]


@pytest.mark.req("Q-33")
def test_who_does_not_say_how_long_it_takes_is_not_the_quickest():
    by_time = SourcingRules(weight_price=0, weight_score=0, weight_lead_time=1, weight_fit=0)
    ranked = r.ranked(
        (received("silent", lead_ms=0), received("slow", lead_ms=90_000), received("quick", lead_ms=1)),
        SOURCING,
        ELEMENTS,
        by_time,
        LEDGER.time_ms,
    )
    assert [(one.seller, one.criteria[2].value, one.criteria[2].rank) for one in ranked] == [
        ("org_quick", 1, 0),
        ("org_slow", 90_000, 1),
        ("org_silent", 0, 2),
    ]


@pytest.mark.req("Q-33", "X-10")
def test_each_criterion_is_told_with_value_weight_rank_and_points():
    quotes = (received("a", 100, 40, 10), received("b", 100, 60, 20), unfit(received("c", 300, -1, 20)))
    ranked = r.ranked(quotes, SOURCING, ELEMENTS, SourcingRules(), LEDGER.time_ms)
    told = {one.received_quote_id: [(c.name, c.value, c.rank, c.points) for c in one.criteria] for one in ranked}
    assert told == {
        "rcq_a": [("price", 100, 0, 0), ("score", 40, 1, 10**6), ("lead_time", 10, 0, 0), ("fit", 0, 0, 0)],
        "rcq_b": [("price", 100, 0, 0), ("score", 60, 0, 0), ("lead_time", 20, 1, 10**3), ("fit", 0, 0, 0)],
        "rcq_c": [("price", 300, 1, 10**9), ("score", -1, 2, 2 * 10**6), ("lead_time", 20, 1, 10**3), ("fit", 2, 1, 1)],
    }
    assert [one.points for one in ranked] == [1_000, 1_000_000, 1_002_001_001]
    assert {c.weight for c in ranked[0].criteria} == {10**9, 10**6, 10**3, 1}


@pytest.mark.req("Q-33", "X-10")
@given(st.data())
@settings(max_examples=60)
def test_the_order_in_which_quotes_come_plays_no_part(data):
    few = st.integers(1, 3)
    made = [
        received(
            f"q{n}",
            data.draw(few),
            data.draw(few),
            data.draw(few),
            data.draw(few),
            data.draw(st.sampled_from(["EUR", "USD"])),
            late=data.draw(st.booleans()),
        )
        for n in range(data.draw(st.integers(1, 6)))
    ]
    shuffled = data.draw(st.permutations(made))
    first, second = (
        r.ranked(tuple(quotes), SOURCING, ELEMENTS, SourcingRules(), LEDGER.time_ms) for quotes in (made, shuffled)
    )
    assert first == second
    assert len(first) == len(made)


@pytest.mark.req("Q-33")
def test_recorded_in_any_order_in_one_transaction_the_document_is_the_same():
    documents = []
    for turn in itertools.permutations(range(3)):
        ledger = internal_ledger()
        found = asked(ledger, BRAVO, CHARLIE, DELTA)
        totals = (Money(300, "EUR"), Money(100, "EUR"), Money(100, "EUR"))
        acts = [
            (
                "record_response",
                response(found, n, quote=quote_for(found, n, total=totals[n])),
                ledger.sender("alpha", "b_bus"),
            )
            for n in turn
        ]
        ledger.run_together(acts)
        send(ledger, "rank_quotes", r.RankQuotes(sourcing_id=found.id), "b_bus")
        documents.append(ledger.the(r.RANKING))
    assert all(document == documents[0] for document in documents)
    assert [one.seller for one in documents[0].quotes] == [found.asked[n].seller for n in (1, 2, 0)]


@pytest.mark.req("Q-33", "X-10")
def test_another_currency_ranks_last_with_that_reason():
    ranked = r.ranked(
        (received("usd", 1, 99, 1, currency="USD"), received("eur", 900, 0, 9_000)),
        SOURCING,
        ELEMENTS,
        SourcingRules(weight_price=0, weight_score=1),
        LEDGER.time_ms,
    )
    assert [(one.received_quote_id, one.remark) for one in ranked] == [("rcq_eur", ""), ("rcq_usd", "CURRENCY_OTHER")]


def test_what_cant_be_ordered_ranks_behind_with_its_reason():
    budgetary = received("b", 1)
    budgetary = replace(budgetary, quote=replace(budgetary.quote, level=QuoteLevel.BUDGETARY))
    quotes = (budgetary, received("l", 2, late=True), received("t", 900, late=True, taken=True))
    ranked = r.ranked(quotes, SOURCING, ELEMENTS, SourcingRules(), LEDGER.time_ms)
    assert [(one.received_quote_id, one.remark) for one in ranked] == [
        ("rcq_t", ""),
        ("rcq_b", "BUDGETARY"),
        ("rcq_l", "LATE"),
    ]
    after = r.ranked((received("e", 1),), SOURCING, ELEMENTS, SourcingRules(), VALID_MS + 1)
    assert [one.remark for one in after] == ["EXPIRED"]
    assert r.ranked((received("e", 1),), SOURCING, ELEMENTS, SourcingRules(), VALID_MS)[0].remark == ""


@pytest.mark.parametrize("at_edge", ["rate", "total"])
def test_a_price_that_has_no_room_for_a_mark_up_ranks_behind_however_cheap_it_looks(at_edge):
    """Usage counts in no total: such a quote came first, and who chose it could write no quote of its own."""
    edge = RATE_NANO_MAX * 10_000 // 11_500
    quotes = []
    for name, more in (("a", 0), ("b", 1)):
        one = received(name, 1)
        items = tuple(replace(item, prices=(usage(edge + more),)) for item in one.quote.items)
        quote = replace(one.quote, items=items)
        if at_edge == "total":
            quote = replace(one.quote, term_total=Money(MINOR_MAX * 10_000 // 11_500 + more, "EUR"))
        quotes.append(replace(one, quote=quote))
    ranked = r.ranked(tuple(quotes), SOURCING, ELEMENTS, SourcingRules(), LEDGER.time_ms)
    assert [(one.seller, one.remark) for one in ranked] == [("org_a", ""), ("org_b", "OUT_OF_RANGE")]


@pytest.mark.req("Q-33")
def test_fit_counts_what_is_not_as_wished():
    wished = tuple(replace(element, installation_interval_ms=500) for element in ELEMENTS)
    late = r.misfit(received("a", lead_ms=501), SOURCING, {one.id: one.installation_interval_ms for one in wished})
    in_time = r.misfit(received("a", lead_ms=500), SOURCING, {one.id: one.installation_interval_ms for one in wished})
    silent = r.misfit(received("a", lead_ms=0), SOURCING, {one.id: one.installation_interval_ms for one in wished})
    assert (late, in_time, silent, r.misfit(unfit(received("a")), SOURCING, {})) == (2, 0, 2, 2)
    assert r.misfit(received("a", lead_ms=0), SOURCING, {}) == 0


@pytest.mark.req("Q-34", "Q-36")
def test_quotes_are_ranked_once_all_have_answered_or_the_window_is_over():
    ledger = internal_ledger()
    found = asked(ledger)
    rank = r.RankQuotes(sourcing_id=found.id)
    send(ledger, "record_response", response(found), "b_bus")
    assert refusal_of(ledger, "rank_quotes", rank, "b_bus") == (r.ResponsesMissing, "sourcing_id")
    assert refusal_of(ledger, "rank_quotes", rank, "sco")[0] is RoleMissing
    outcome = send(ledger, "rank_quotes", rank, "b_bus", found.respond_by_ms + 1)
    assert [event.name for event in outcome.events] == [
        "sourcing.ranked",
        "release.voided",
        "release.voided",
        "inquiry_handover.collected",
    ]
    assert ledger.the(INQUIRY_HANDOVER).status == "collected"
    assert {release.status for release in ledger.all(RELEASE)} == {"void"}
    assert ledger.the(s.SOURCING).ranking_ids == (ledger.the(r.RANKING).id,)
    assert ledger.the(r.RANKING).rules_version == 0


def test_open_asking_is_not_ranked_and_a_decided_inquiry_not_again():
    ledger = internal_ledger()
    found = sourcing(ledger)
    rank = r.RankQuotes(sourcing_id=found.id)
    assert refusal_of(ledger, "rank_quotes", rank, "b_bus")[0] is WrongStatus
    assert refusal_of(ledger, "rank_quotes", replace(rank, sourcing_id="src_x"), "b_bus")[0] is s.SourcingUnknown
    send(ledger, "rank_quotes", rank, "b_bus", found.respond_by_ms + 1)
    send(ledger, "rank_quotes", rank, "b_bus")
    send(ledger, "assess", refusing(ledger.the(INQUIRY_HANDOVER)), "sco")
    assert refusal_of(ledger, "rank_quotes", rank, "b_bus")[0] is WrongStatus


def two_quotes(ledger):
    found = asked(ledger)
    for place, total in ((0, 300), (1, 100)):
        quote = quote_for(found, place, total=Money(total, "EUR"))
        send(ledger, "record_response", response(found, place, quote=quote), "b_bus")
    return ledger.the(s.SOURCING)


@pytest.mark.req("Q-35", "Q-37")
def test_another_quote_is_preferred_with_the_reason():
    ledger = internal_ledger()
    found = two_quotes(ledger)
    dear = found.asked[0].received_quote_id
    wish = r.Preference(received_quote_id=dear, reason="LONG_PARTNER")
    send(ledger, "rank_quotes", r.RankQuotes(sourcing_id=found.id, preferences=(wish,)), "b_bus")
    document = ledger.the(r.RANKING)
    assert (document.preferred_quote_id, document.preferred_reason) == (dear, "LONG_PARTNER")
    assert [one.received_quote_id for one in document.quotes] == [found.asked[1].received_quote_id, dear]


@pytest.mark.req("Q-37")
def test_a_preference_needs_one_quote_that_can_be_chosen_and_a_reason():
    ledger = internal_ledger()
    found = two_quotes(ledger)
    one, other = (asked_seller.received_quote_id for asked_seller in found.asked)

    def wishing(*wishes):
        preferences = tuple(r.Preference(received_quote_id=key, reason=why) for key, why in wishes)
        return refusal_of(ledger, "rank_quotes", r.RankQuotes(sourcing_id=found.id, preferences=preferences), "b_bus")

    assert wishing((one, "")) == (ReasonInvalid, "reason")
    assert wishing((one, "GOOD"), (other, "GOOD")) == (r.PreferenceInvalid, "preferences")
    assert wishing(("rcq_x", "GOOD")) == (r.PreferenceInvalid, "preferences")
    assert wishing((one, "GOOD"), (one, "GOOD")) == (r.PreferenceInvalid, "preferences")
    foreign = internal_ledger()
    found = asked(foreign)
    usd = quote_for(found, 0, total=Money(1, "USD"))
    send(foreign, "record_response", response(found, 0, quote=usd), "b_bus")
    send(foreign, "record_response", response(found, 1, "unable"), "b_bus")
    wish = r.Preference(received_quote_id=foreign.the(s.RECEIVED_QUOTE).id, reason="CHEAP")
    command = r.RankQuotes(sourcing_id=found.id, preferences=(wish,))
    assert refusal_of(foreign, "rank_quotes", command, "b_bus") == (r.PreferenceInvalid, "preferences")


def test_quotes_for_different_elements_are_ranked_apart():
    ledger = internal_ledger()
    found = sourcing(ledger)
    send(ledger, "release_inquiry", asking(found, BRAVO, "item-002"), "b_bus")
    send(ledger, "release_inquiry", asking(found, CHARLIE), "b_bus")
    send(ledger, "release_inquiry", asking(found, DELTA, "item-002"), "b_bus")
    declared = s.DeclareUnsourced(sourcing_id=found.id, element_ids=("item-003",), reason="NO_SELLER")
    assert refusal_of(ledger, "declare_unsourced", declared, "b_bus")[0] is s.ElementAsked
    send(ledger, "close_asking", s.CloseAsking(sourcing_id=found.id), "b_bus")
    found = ledger.the(s.SOURCING)
    for place in range(3):
        send(ledger, "record_response", response(found, place), "b_bus")
    send(ledger, "rank_quotes", r.RankQuotes(sourcing_id=found.id), "b_bus")
    sets = {document.element_ids: len(document.quotes) for document in ledger.all(r.RANKING)}
    assert sets == {("item-002",): 2, ("item-002", "item-003"): 1}


def test_rules_of_a_version_are_named():
    ledger = internal_ledger()
    send(ledger, "set_sourcing_rules", SetSourcingRules(weight_price=5), "sco")
    found = two_quotes(ledger)
    send(ledger, "rank_quotes", r.RankQuotes(sourcing_id=found.id), "b_bus")
    assert ledger.the(r.RANKING).rules_version == 1
    assert ledger.the(r.RANKING).quotes[1].criteria[0].points == 5
