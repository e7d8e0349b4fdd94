"""The inquiry's machine inside its seller (register 11.1): in each state exactly what the table allows, by any history."""

from dataclasses import replace

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from smartcontracts.internal import handover as h
from smartcontracts.internal.answer import RecordAnswer
from smartcontracts.internal.assessment import ASSESSMENT, Assess, AssessVerdict, Choice
from smartcontracts.internal.decomposition import DECOMPOSITION, SOF_QUERY, AnswerSofQueries, Decompose
from smartcontracts.internal.ranking import RankQuotes
from smartcontracts.internal.release import RELEASE, RecordCarried
from smartcontracts.internal.sourcing import RECEIVED_QUOTE, SOURCING, CloseAsking, DeclareUnsourced
from smartcontracts.kernel import Rejected
from tests.smartcontracts.internal.inquiries import (
    BRAVO,
    BY_MS,
    CHARLIE,
    ELEMENTS,
    PORTS,
    asked,
    asking,
    buying,
    carried,
    choosing,
    collected,
    declining,
    decomposed,
    handed_over,
    internal_known,
    internal_ledger,
    issuing,
    no,
    quoting,
    refusing,
    released,
    response,
    send,
    to_quote,
    to_refuse,
    yes,
)


def quoted(ledger):
    handover = released(ledger)
    carried(ledger, handover)
    send(ledger, "record_answer", RecordAnswer(handover_id=handover.id), "s_bus")


def unable(ledger, **outcome):
    handover = to_refuse(ledger)
    send(ledger, "release_unable", declining(handover), "s_bus")
    carried(ledger, ledger.the(h.INQUIRY_HANDOVER), **outcome)
    send(ledger, "record_answer", RecordAnswer(handover_id=handover.id), "s_bus")


def lapsed(ledger):
    unable(ledger, outcome_id="", refusal_code=3028, refusal_name="INQUIRY_ANSWERED")


STATES = {
    "handed_over": handed_over,
    "in_assessment": decomposed,
    "internal_known": internal_known,
    "sourcing": asked,
    "collected": collected,
    "to_quote": to_quote,
    "quote_released": released,
    "to_refuse": to_refuse,
    "quoted": quoted,
    "unable": unable,
    "lapsed": lapsed,
}


def template():
    """A ledger on which everything was quoted, to take the form of commands from."""
    ledger = internal_ledger()
    handover = to_quote(ledger)
    return ledger, handover


TEMPLATE, QUOTED = template()
ID = QUOTED.id
COMMANDS = {
    "decompose": ("sco", Decompose(handover_id=ID, elements=ELEMENTS)),
    "request_sourcing": ("sco", buying(QUOTED)),
    "rank_quotes": ("b_bus", RankQuotes(sourcing_id=TEMPLATE.the(SOURCING).id)),
    "assess to_quote": ("sco", choosing(TEMPLATE, QUOTED)),
    "assess try_again": ("sco", Assess(handover_id=ID, verdict=AssessVerdict.TRY_AGAIN, reason="NO_CAPACITY")),
    "assess to_refuse": ("sco", refusing(QUOTED)),
    "release_quote": ("s_bus", quoting(TEMPLATE, QUOTED)),
    "release_unable": ("s_bus", declining(QUOTED)),
    "record_answer": ("s_bus", RecordAnswer(handover_id=ID)),
}
ALLOWED = {
    "handed_over": {"decompose": "in_assessment", "assess to_refuse": "to_refuse"},
    "in_assessment": {"assess to_refuse": "to_refuse"},
    "internal_known": {
        "request_sourcing": "sourcing",
        "assess try_again": "in_assessment",
        "assess to_refuse": "to_refuse",
    },
    "sourcing": {},
    "collected": {
        "rank_quotes": "collected",
        "assess to_quote": "to_quote",
        "assess try_again": "in_assessment",
        "assess to_refuse": "to_refuse",
    },
    "to_quote": {"assess to_refuse": "to_refuse", "release_quote": "to_quote"},
    "quote_released": {},
    "to_refuse": {"release_unable": "to_refuse"},
    "quoted": {},
    "unable": {},
    "lapsed": {},
}


@pytest.mark.req("Q-24", "Q-41", "Q-45", "L-28")
@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("step", COMMANDS)
def test_in_each_state_exactly_what_the_table_allows(state, step):
    ledger = internal_ledger()
    STATES[state](ledger)
    role, command = COMMANDS[step]
    before = ledger.root()
    try:
        send(ledger, step.split(" ", maxsplit=1)[0], command, role)
    except Rejected:
        assert step not in ALLOWED[state]
        assert ledger.root() == before
        return
    assert ledger.the(h.INQUIRY_HANDOVER).status == ALLOWED[state][step]


@pytest.mark.parametrize("state", STATES)
def test_the_time_to_decide_is_told_while_nothing_is_decided(state):
    ledger = internal_ledger()
    STATES[state](ledger)
    before = ledger.the(h.INQUIRY_HANDOVER)
    ledger.advance(BY_MS + 1)
    after = ledger.the(h.INQUIRY_HANDOVER)
    assert after.decision_due == (before.status in h.UNDECIDED)
    assert after.status == before.status


# Where histories begin: late states more often, since few ways lead there.
STARTS = (
    "handed_over",
    "internal_known",
    "sourcing",
    "collected",
    "to_quote",
    "to_quote",
    "quote_released",
    "to_refuse",
)


class History(RuleBasedStateMachine):
    """Any acts in any order: nothing but `Rejected` is raised, and nothing goes out that was not decided."""

    @initialize(state=st.sampled_from(STARTS))
    def begin(self, state):
        self.ledger = internal_ledger()
        STATES[state](self.ledger)
        self.handover_id = self.handover.id

    @property
    def handover(self):
        return self.ledger.the(h.INQUIRY_HANDOVER)

    def attempt(self, name, command, role):
        try:
            send(self.ledger, name, command, role)
        except Rejected:
            return

    @rule(ms=st.integers(1, 12_000))
    def time_passes(self, ms):
        self.ledger.advance(self.ledger.time_ms + ms)

    @rule()
    def decompose(self):
        self.attempt("decompose", Decompose(handover_id=self.handover_id, elements=ELEMENTS), "sco")

    @rule(made=st.sets(st.sampled_from([element.id for element in ELEMENTS])))
    def answer(self, made):
        answers = tuple(
            yes(query) if query.element.id in made else no(query)
            for query in self.ledger.all(SOF_QUERY)
            if query.status == "asked"
        )
        self.attempt("answer_sof_queries", AnswerSofQueries(answers=answers), "sof")

    @rule()
    def source(self):
        self.attempt("request_sourcing", buying(self.handover, *self.missing()), "sco")

    def missing(self):
        return tuple(
            query.element.id
            for query in self.ledger.all(SOF_QUERY)
            if query.attempt == self.handover.attempt and query.status == "no"
        )

    def sourcings(self):
        return [one for one in self.ledger.all(SOURCING) if one.attempt == self.handover.attempt]

    @rule(ledger_id=st.sampled_from([BRAVO, CHARLIE]))
    def ask(self, ledger_id):
        for found in self.sourcings():
            element_ids = [one.element_id for one in found.elements]
            self.attempt("release_inquiry", asking(found, ledger_id, *element_ids), "b_bus")

    @rule()
    def close(self):
        for found in self.sourcings():
            if not found.asked:
                element_ids = tuple(one.element_id for one in found.elements)
                unsourced = DeclareUnsourced(sourcing_id=found.id, element_ids=element_ids, reason="NO_SELLER")
                self.attempt("declare_unsourced", unsourced, "b_bus")
            self.attempt("close_asking", CloseAsking(sourcing_id=found.id), "b_bus")

    @rule(place=st.integers(0, 1), outcome=st.sampled_from(["quoted", "unable", "deemed", "late", "late_taken"]))
    def respond(self, place, outcome):
        for found in self.sourcings():
            if place < len(found.asked):
                self.attempt("record_response", response(found, place, outcome), "b_bus")

    @rule()
    def rank(self):
        for found in self.sourcings():
            self.attempt("rank_quotes", RankQuotes(sourcing_id=found.id), "b_bus")

    @rule(places=st.lists(st.booleans(), min_size=4, max_size=4))
    def give_up(self, places):
        # Mostly another attempt: a refusal ends the history.
        verdict = AssessVerdict.TO_REFUSE if all(places) else AssessVerdict.TRY_AGAIN
        self.attempt("assess", Assess(handover_id=self.handover_id, verdict=verdict, reason="NO_CAPACITY"), "sco")

    @rule()
    def choose(self):
        current = self.handover
        made = {
            q.element.id: q.id for q in self.ledger.all(SOF_QUERY) if q.attempt == current.attempt and q.status == "yes"
        }
        bought = {
            element_id: one.id
            for one in self.ledger.all(RECEIVED_QUOTE)
            if one.sourcing_id == current.sourcing_id
            for element_id in one.element_ids
        }
        choices = tuple(
            Choice(element_id=one.id, query_id=made[one.id])
            if one.id in made
            else Choice(element_id=one.id, received_quote_id=bought.get(one.id, "rcq_none"))
            for one in ELEMENTS
        )
        command = Assess(handover_id=self.handover_id, verdict=AssessVerdict.TO_QUOTE, choices=choices)
        self.attempt("assess", command, "sco")

    @rule(dearer=st.booleans())
    def quote(self, dearer):
        found = [one for one in self.ledger.all(ASSESSMENT) if one.id == self.handover.assessment_id]
        if not found or not found[0].items:
            return
        only = internal_ledger()
        only.write(found[0])
        quote = issuing(only)
        items = tuple(replace(item, installation_interval_ms=10**6) for item in quote.items)
        if dearer:
            items = (replace(items[0], prices=items[0].prices * 2), *items[1:])
        command = quoting(only, self.handover, quote=replace(quote, items=items))
        self.attempt("release_quote", command, "s_bus")

    @rule()
    def decline(self):
        self.attempt("release_unable", declining(self.handover), "s_bus")

    @rule(carried_out=st.booleans())
    def carry(self, carried_out):
        for release in self.ledger.all(RELEASE):
            result = {"outcome_id": "out_1"} if carried_out else {"refusal_code": 3028, "refusal_name": "NO"}
            self.attempt("record_carried", RecordCarried(release_id=release.id, **result), release.role.value)
        self.attempt("record_answer", RecordAnswer(handover_id=self.handover_id), "s_bus")

    @invariant()
    def a_quote_goes_out_only_after_a_decision_to_quote(self):
        answers = [one for one in self.ledger.all(RELEASE) if one.act in ("issue_quote", "declare_unable")]
        live = [one for one in answers if one.status != "refused"]
        assert len(live) <= 1
        for release in live:
            assert release.id == self.handover.release_id
            decided = ("to_quote", "quoted") if release.act == "issue_quote" else ("to_refuse", "unable")
            assert self.handover.status in decided
        for release in answers:
            if release.act == "issue_quote":
                assert any(one.chainable for one in self.ledger.all(ASSESSMENT))

    @invariant()
    def every_element_of_an_attempt_has_its_query(self):
        for found in self.ledger.all(DECOMPOSITION):
            queries = [q for q in self.ledger.all(SOF_QUERY) if q.attempt == found.attempt]
            assert sorted(q.element.id for q in queries) == sorted(one.id for one in found.elements)

    @invariant()
    def a_chain_has_a_source_for_each_element_that_can_deliver_it(self):
        queries = {query.id: query for query in self.ledger.all(SOF_QUERY)}
        received = {one.id: one for one in self.ledger.all(RECEIVED_QUOTE)}
        for found in self.ledger.all(ASSESSMENT):
            if not found.chainable:
                continue
            assert sorted(choice.element_id for choice in found.choices) == ["item-001", *PORTS]
            for choice in found.choices:
                if choice.query_id:
                    assert queries[choice.query_id].status == "yes"
                else:
                    assert not received[choice.received_quote_id].late or received[choice.received_quote_id].taken
            assert set(queries) == set(found.query_ids) or found.attempt < self.handover.attempt


TestHistory = History.TestCase
TestHistory.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
