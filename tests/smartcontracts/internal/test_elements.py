"""Elements: their costs compared, their ends without leftovers, and no history of commands that breaks the rules of an order."""

from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from smartcontracts import codec
from smartcontracts.internal import elements as e
from smartcontracts.internal.delivery import ReleaseActivation
from smartcontracts.internal.orders import ReleaseOrderAnswer
from smartcontracts.internal.recovery import (
    AbandonOrder,
    NotifyAbandonment,
    RecordCancellation,
    RecordExtension,
    ReleaseCancellation,
    ReleaseExtension,
    ReleaseFailure,
    ReportReleased,
    SetWindows,
)
from smartcontracts.internal.release import RELEASE
from smartcontracts.kernel import Rejected, WrongStatus
from smartcontracts.trade import EndAction, Term, TermUnit
from tests.smartcontracts.internal import deals
from tests.smartcontracts.internal.deals import (
    BRAVO,
    SALT,
    answered,
    answering,
    chaining,
    deciding,
    downstream,
    element,
    handed_over,
    ordering,
    reporting,
    requesting,
    the_handover,
    trying,
    upstream,
)
from tests.smartcontracts.trading import monthly, once, usage

YEAR = Term(amount=12, unit=TermUnit.CALENDAR_MONTHS, end_action=EndAction.AUTO_RENEW)
SECTION_11_3 = {  # register, table 11.3: from, to
    ("checking_internal", "to_reject"),
    ("checking_internal", "ordering_external"),
    ("ordering_external", "accepted"),
    ("ordering_external", "to_reject"),
    ("ordering_external", "rejected"),
    ("accepted", "in_delivery"),
    ("in_delivery", "recovery"),
    ("recovery", "overdue"),
    ("in_delivery", "overdue"),
    ("overdue", "extension_requested"),
    ("extension_requested", "in_delivery"),
    ("extension_requested", "overdue"),
    ("overdue", "abandoning"),
    ("recovery", "abandoning"),
    ("to_fail", "failed"),
    ("to_activate", "activated"),
}
ENDED = ("rejected", "failed", "cancelled")
IN_THE_END = ("released", "cancelled", "replaced", "stranded", "rejected", "undeliverable")
ON_THE_WAY_OUT = (*IN_THE_END, "releasing", "cancelling")


# Costs


def test_a_cost_counts_one_time_and_recurring_prices_over_the_term():
    assert e.total_cost((once(5), monthly(2), usage(100)), YEAR) == 5 + 12 * 2
    assert e.total_cost((monthly(2),), None) == 2
    assert e.total_cost((), YEAR) == Fraction(0)


@pytest.mark.req("X-26")
@pytest.mark.parametrize(
    ("cost", "than", "more"),
    [
        ((monthly(10),), (monthly(10),), False),
        ((monthly(11),), (monthly(10),), True),
        ((once(120),), (monthly(10),), False),
        ((once(121),), (monthly(10),), True),
        ((monthly(9), usage(5)), (monthly(10), usage(5)), False),
        ((monthly(9), usage(6)), (monthly(10), usage(5)), True),
        ((monthly(9), usage(1)), (monthly(10),), True),
        ((monthly(9), usage(1, "TB")), (monthly(10), usage(5, "GB")), True),
        ((replace(monthly(1), rate=replace(monthly(1).rate, currency="USD")),), (monthly(10),), True),
        ((), (), False),
    ],
)
def test_costs_are_compared_over_the_term_and_by_the_unit(cost, than, more):
    assert e.costs_more(cost, than, YEAR) is more


@given(st.lists(st.integers(0, 10**15), min_size=1, max_size=4), st.integers(0, 10**15))
def test_a_cost_never_costs_more_than_itself_and_always_less_than_with_more(nanos, extra):
    cost = tuple(monthly(nano) for nano in nanos)
    assert not e.costs_more(cost, cost, YEAR)
    assert e.costs_more((*cost, once(extra + 1)), cost, YEAR)


# Lifecycles


def test_every_step_of_the_registers_order_is_one_of_this_lifecycle():
    steps = {(before.value, after.value) for (before, _), after in e.LIFECYCLE.items()}
    assert steps >= SECTION_11_3


def test_an_ended_order_and_an_ended_element_stay_ended():
    for status in ENDED:
        # But for one that a person had accepted when it was given up here, and has activated since.
        after = ["end_activated"] if status == "rejected" else []
        assert [event for before, event in e.LIFECYCLE if before == status] == after
    # But for an order that shows out there after all.
    for status, after in (("released", []), ("replaced", ["surface"]), ("cancelled", ["surface"])):
        assert [event for before, event in e.ELEMENT_LIFECYCLE if before == status] == after


def test_a_stranded_element_rests_until_its_service_has_ended():
    after = {e.ELEMENT_LIFECYCLE[before, event].value for before, event in e.ELEMENT_LIFECYCLE if before == "stranded"}
    assert after == {"cancelled", "replaced"}


def test_every_open_order_can_end_as_its_own_ledger_has_it():
    for status in e.OPEN:
        for event in ("end_failed", "end_cancelled"):
            assert (status, event) in e.LIFECYCLE


@pytest.mark.parametrize("status", list(e.ElementStatus))
@pytest.mark.parametrize("source", list(e.Source))
def test_every_element_of_an_ended_order_is_at_an_end_or_on_its_way_to_one(status, source):
    ledger = deals.in_delivery()
    one = replace(element(ledger), status=status, source=source, order_release_id="rel_1")
    internal_only = (e.ElementStatus.QUOTED_INTERNAL, e.ElementStatus.AVAILABLE, e.ElementStatus.RELEASING)
    external_only = (e.ElementStatus.QUOTED_EXTERNAL, e.ElementStatus.ACCEPTED, e.ElementStatus.SOURCING)
    if (source == e.Source.EXTERNAL and status in internal_only) or (
        source == e.Source.INTERNAL and status in external_only
    ):
        return
    gone = e.freed(one, 5) or one
    assert gone.status in ON_THE_WAY_OUT
    assert e.freed(gone, 6) is None


@pytest.mark.parametrize("status", list(e.HandoverStatus))
def test_every_status_of_an_order_survives_its_bytes(status):
    record = replace(the_handover(handed_over()), status=status)
    assert codec.decode(e.OrderHandover, codec.encode(record)) == record


@pytest.mark.parametrize("status", list(e.ElementStatus))
def test_every_status_of_an_element_survives_its_bytes_and_has_an_event(status):
    record = replace(element(handed_over()), status=status)
    assert codec.decode(e.ServiceElement, codec.encode(record)) == record
    assert e.ELEMENT_EVENTS[status].startswith("service_element.")


def test_a_step_that_is_not_in_the_table_is_refused():
    with pytest.raises(WrongStatus):
        e.moved(element(handed_over()), "chain")
    with pytest.raises(WrongStatus):
        e.stepped(the_handover(handed_over()), "chain")


# Histories

STATES = (
    handed_over,
    deals.ordered,
    deals.accepted_upstream,
    deals.in_delivery,
    deals.in_recovery,
    deals.chained,
    deals.overdue,
    deals.passed_test,
)


class OrderHistory(RuleBasedStateMachine):
    """Any commands in any order: only refusals are raised, and what must hold about an order holds."""

    @initialize(state=st.sampled_from(STATES))
    def begin(self, state):
        self.ledger = state()

    def send(self, name, command, role):
        try:
            deals.send(self.ledger, name, command, role)
        except Rejected:
            return

    @property
    def order_id(self):
        return the_handover(self.ledger).id

    def newest(self, name):
        found = [one for one in self.ledger.all(e.SERVICE_ELEMENT) if one.element_id == name]
        return max(found, key=lambda one: one.tries)

    @rule(answer=st.sampled_from(["available", "available", "rejected"]))
    def sof_answers(self, answer):
        newest = self.newest("item-001")
        command = answering(self.ledger, answer)
        one = replace(command.answers[0], element_id=newest.id, cost=newest.cost)
        self.send("answer_availability", replace(command, answers=(one,)), "sof")

    @rule()
    def order_is_let_out(self):
        self.send("release_order", ordering(self.ledger), "b_bus")

    @rule(taken=st.booleans())
    def carrier_comes_back(self, taken):
        outcome = {"outcome_id": "done"} if taken else {"refusal_code": 3202, "refusal_name": "QUOTE_ORDERED"}
        for release in self.ledger.all(RELEASE):
            if release.status == "open":
                deals.carry(self.ledger, release.id, release.role.value, **outcome)

    @rule(answer=st.sampled_from(["accepted", "accepted", "rejected"]))
    def seller_answers(self, answer):
        self.send("record_order_answer", answered(self.ledger, answer), "b_bus")

    @rule()
    def answer_is_let_out(self):
        self.send("release_order_answer", ReleaseOrderAnswer(order_handover_id=self.order_id, salt=SALT), "s_bus")

    @rule(
        status=st.sampled_from(
            ["accepted", "accepted", "accepted", "rejected", "overdue", "failed", "cancelled", "activated"]
        )
    )
    def buyers_ledger_says(self, status):
        released = [one.act for one in self.ledger.all(RELEASE) if one.status == "carried"]
        if status == "accepted" and "accept_order" not in released:
            return
        if status == "activated" and "activate_order" not in released:
            return
        end = self.ledger.time_ms + 7_200_000 if status == "accepted" else 0
        self.send("record_upstream", upstream(self.ledger, status, activate_by_ms=end), "s_bus")

    @rule()
    def sco_requests(self):
        newest = self.newest("item-001")
        command = requesting(self.ledger)
        windows = (replace(command.elements[0], element_id=newest.id),)
        waits = newest.status == e.ElementStatus.AVAILABLE
        self.send("request_activation", replace(command, elements=windows if waits else ()), "sco")

    @rule(outcome=st.sampled_from(["activated", "activated", "failed"]))
    def sof_reports(self, outcome):
        self.send("report_activation", reporting(self.ledger, outcome, element_id=self.newest("item-001").id), "sof")

    @rule(outcome=st.sampled_from(["activated", "activated", "failed"]), cause=st.sampled_from(["", "timeout"]))
    def seller_reports(self, outcome, cause):
        self.send("record_activation", downstream(self.ledger, outcome, cause=cause), "b_bus")

    @rule()
    def sco_chains(self):
        ids = tuple(one.id for one in e.current(e.elements_of(self.order_id, self.ledger)))
        self.send("chain_elements", replace(chaining(self.ledger), element_ids=ids), "sco")

    @rule(passed=st.booleans())
    def chain_is_tested(self, passed):
        self.send("record_test", trying(self.ledger, passed=passed), "sof")

    @rule()
    def activation_is_let_out(self):
        self.send("release_activation", ReleaseActivation(order_handover_id=self.order_id, salt=SALT), "s_bus")

    @rule(decision=st.sampled_from(["alternative_internal", "alternative_external", "abandon"]), data=st.data())
    def sco_decides(self, decision, data):
        failed = [one for one in self.ledger.all(e.SERVICE_ELEMENT) if one.status in e.FAILED]
        if failed:
            one = data.draw(st.sampled_from(failed))
            self.send("decide_recovery", deciding(self.ledger, decision, one.element_id, one.tries), "sco")

    @rule()
    def s_bus_asks_for_time(self):
        end = the_handover(self.ledger).activate_by_ms + 3_600_000
        command = ReleaseExtension(order_handover_id=self.order_id, activate_by_ms=end, reason="LATE", salt=SALT)
        self.send("release_extension", command, "s_bus")

    @rule(outcome=st.sampled_from(["extension_granted", "buyer_extended", "refused"]))
    def window_changes(self, outcome):
        end = 0 if outcome == "refused" else the_handover(self.ledger).activate_by_ms + 3_600_000
        command = RecordExtension(order_handover_id=self.order_id, outcome=outcome, activate_by_ms=end)
        self.send("record_extension", command, "s_bus")

    @rule()
    def sco_sets_windows(self):
        end = the_handover(self.ledger).activate_by_ms
        self.send("set_windows", SetWindows(order_handover_id=self.order_id, service_by_ms=end), "sco")

    @rule()
    def order_is_given_up(self):
        self.send("abandon_order", AbandonOrder(order_handover_id=self.order_id, reason="WINDOW_OVER"), "s_bus")
        self.send("notify_abandonment", NotifyAbandonment(order_handover_id=self.order_id), "sco")
        self.send("release_failure", ReleaseFailure(order_handover_id=self.order_id, salt=SALT), "s_bus")

    @rule()
    def leftovers_are_seen_to(self):
        for one in self.ledger.all(e.SERVICE_ELEMENT):
            self.send("report_released", ReportReleased(element_id=one.id), "sof")
            cancel = ReleaseCancellation(ledger_id=BRAVO, order_id=one.order_id, salt=SALT)
            self.send("release_cancellation", cancel, "b_bus")
            self.send("record_cancellation", RecordCancellation(element_id=one.id, outcome="ended"), "b_bus")

    @rule(ms=st.sampled_from([1_000, 600_000, 3_000_000]))
    def time_passes(self, ms):
        self.ledger.advance(self.ledger.time_ms + ms)

    @invariant()
    def nothing_is_ordered_before_the_internal_elements_are_available(self):
        if not hasattr(self, "ledger"):
            return
        ordered = any(one.act == "place_order" for one in self.ledger.all(RELEASE))
        assert not (ordered and element(self.ledger).status == "quoted_internal")

    @invariant()
    def an_accepted_order_has_all_its_elements_accepted(self):
        if not hasattr(self, "ledger"):
            return
        acts = [one.act for one in self.ledger.all(RELEASE)]
        assert not ("accept_order" in acts and "reject_order" in acts)
        if the_handover(self.ledger).status == "accepted":
            statuses = {one.status.value for one in self.ledger.all(e.SERVICE_ELEMENT)}
            assert statuses <= {"available", "accepted", "activated", "activation_failed"}

    @invariant()
    def nothing_is_activated_before_the_acceptance(self):
        if not hasattr(self, "ledger"):
            return
        if the_handover(self.ledger).status in ("checking_internal", "ordering_external", "to_reject", "rejected"):
            statuses = {one.status.value for one in self.ledger.all(e.SERVICE_ELEMENT)}
            # A seller may be quick, SOF may not.
            own = {one.status.value for one in self.ledger.all(e.SERVICE_ELEMENT) if one.source == e.Source.INTERNAL}
            assert own.isdisjoint({"activating", "activated", "chained"}), statuses

    @invariant()
    def an_order_let_out_as_activated_was_chained_and_has_passed_its_test(self):
        if not hasattr(self, "ledger"):
            return
        if any(one.act == "activate_order" for one in self.ledger.all(RELEASE)):
            handover = the_handover(self.ledger)
            assert handover.chain
            assert any(test.passed for test in handover.tests)

    @invariant()
    def an_ended_order_has_no_living_element(self):
        if not hasattr(self, "ledger"):
            return
        handover = the_handover(self.ledger)
        if handover.status in ENDED:
            assert {one.status.value for one in self.ledger.all(e.SERVICE_ELEMENT)} <= set(ON_THE_WAY_OUT)

    @invariant()
    def a_failed_element_has_one_decision_and_one_replacement(self):
        if not hasattr(self, "ledger"):
            return
        for one in self.ledger.all(e.SERVICE_ELEMENT):
            if one.replaced_by:
                assert self.ledger.get(e.SERVICE_ELEMENT, one.replaced_by).replaces == one.id
            assert bool(one.replaced_by) == (one.decision in ("alternative_internal", "alternative_external"))


OrderHistory.TestCase.settings = settings(max_examples=25, stateful_step_count=40, deadline=None)
TestOrderHistory = OrderHistory.TestCase
