"""Delivery inside: activated in windows inside each other, chained in order, tested, and only then let out."""

from dataclasses import replace

import pytest

from smartcontracts.canonical_json import JsonNotCanonical
from smartcontracts.delivery import ActivateOrder
from smartcontracts.internal import delivery as d
from smartcontracts.internal.elements import (
    TESTS_MAX,
    AlreadyReleased,
    ElementNotInternal,
    ElementOfAnotherOrder,
    HandoverStatus,
    NothingNew,
    OrderForeign,
    OrderHandoverUnknown,
    ServiceElementUnknown,
)
from smartcontracts.internal.release import SaltInvalid, released_command
from smartcontracts.kernel import RoleMissing, WrongStatus
from smartcontracts.trade import ReasonInvalid
from tests.smartcontracts.internal.deals import (
    OWN_MS,
    SALT,
    accepted,
    accepted_upstream,
    activated,
    available,
    chained,
    chaining,
    downstream,
    element,
    handed_over,
    in_delivery,
    in_recovery,
    ordered,
    overdue,
    passed_test,
    put,
    refusal_of,
    release_of,
    reporting,
    requesting,
    send,
    statuses,
    the_handover,
    to_chain,
    trying,
)

NOBODY = "oho_none"


# The request


@pytest.mark.req("O-25", "O-27", "D-25", "D-02")
def test_the_request_gives_each_internal_element_its_window():
    ledger = in_delivery()
    handover, line = the_handover(ledger), element(ledger)
    assert handover.status == "in_delivery"
    assert handover.service_by_ms == handover.activate_by_ms - OWN_MS
    assert line.activate_by_ms == handover.service_by_ms - OWN_MS
    assert statuses(ledger) == ["activating", "activating", "activating"]


@pytest.mark.req("O-27", "D-01")
@pytest.mark.parametrize("state", [handed_over, available, ordered, accepted])
def test_invalid_activation_without_acceptance(state):
    ledger = state()
    assert refusal_of(ledger, "request_activation", requesting(ledger), "sco") == (d.NotAccepted, "order_handover_id")
    assert set(statuses(ledger)).isdisjoint({"activating", "activated"})


@pytest.mark.req("O-27", "D-25", "X-22")
def test_invalid_requests_in_order():
    ledger = accepted_upstream()
    line, end = element(ledger), the_handover(ledger).activate_by_ms

    def refused(**changes):
        return refusal_of(ledger, "request_activation", requesting(ledger, **changes), "sco")

    def window(name, by_ms):
        return d.ElementWindow(element_id=element(ledger, name).id, activate_by_ms=by_ms)

    assert refused(order_handover_id=NOBODY) == (OrderHandoverUnknown, "order_handover_id")
    foreign = (window("item-001", end - OWN_MS), window("item-002", end - OWN_MS))
    assert refused(elements=foreign) == (ElementOfAnotherOrder, "elements[1].element_id")
    assert refused(elements=(window("item-001", end),) * 2) == (ElementOfAnotherOrder, "elements[1].element_id")
    assert refused(elements=()) == (d.WindowMissing, "elements")
    assert refused(service_by_ms=end + 1) == (d.WindowsUnordered, "service_by_ms")
    assert refused(service_by_ms=ledger.time_ms) == (d.WindowsUnordered, "service_by_ms")
    late = (window("item-001", end - OWN_MS + 1),)
    assert refused(elements=late) == (d.WindowsUnordered, "elements")
    assert refused(elements=(window("item-001", ledger.time_ms),)) == (d.WindowsUnordered, "elements")
    # The window of what is bought is its order's, and has to fit too.
    bought_by = element(ledger, "item-002").activate_by_ms
    early = {"service_by_ms": bought_by - 1, "elements": (window("item-001", bought_by - 1),)}
    assert refused(**early) == (d.WindowsUnordered, "elements")
    assert refusal_of(ledger, "request_activation", requesting(ledger), "sof")[0] is RoleMissing
    assert line.status == "available"
    send(ledger, "request_activation", requesting(ledger), "sco")
    assert refused() == (d.ActivationRequested, "order_handover_id")


def test_windows_may_touch_each_other():
    ledger = accepted_upstream()
    end = the_handover(ledger).activate_by_ms
    window = d.ElementWindow(element_id=element(ledger).id, activate_by_ms=end)
    send(ledger, "request_activation", requesting(ledger, service_by_ms=end, elements=(window,)), "sco")
    assert the_handover(ledger).status == "in_delivery"


@pytest.mark.parametrize("state", [overdue, passed_test, activated])
def test_invalid_request_when_it_is_over(state):
    ledger = state()
    assert refusal_of(ledger, "request_activation", requesting(ledger), "sco") == (WrongStatus, "status")


# Reports


@pytest.mark.req("D-12", "D-15", "D-17", "D-18", "X-19")
def test_all_reports_positive_make_the_chain_due():
    ledger = in_delivery()
    send(ledger, "report_activation", reporting(ledger), "sof")
    assert the_handover(ledger).status == "in_delivery"
    send(ledger, "record_activation", downstream(ledger, service_id="svc_other"), "b_bus")
    assert the_handover(ledger).status == "to_chain"
    assert statuses(ledger) == ["activated"] * 3
    assert element(ledger, "item-003").service_id == "svc_other"
    assert element(ledger).activated_at_ms > 0


@pytest.mark.req("D-02")
def test_a_seller_may_be_done_before_anything_is_requested():
    ledger = accepted_upstream()
    send(ledger, "record_activation", downstream(ledger), "b_bus")
    assert statuses(ledger) == ["activated", "activated", "available"]
    send(ledger, "request_activation", requesting(ledger), "sco")
    send(ledger, "report_activation", reporting(ledger), "sof")
    assert the_handover(ledger).status == "to_chain"


@pytest.mark.req("D-02")
@pytest.mark.parametrize(("outcome", "after"), [("activated", "to_chain"), ("failed", "recovery")])
def test_sellers_of_all_elements_may_be_done_before_anything_is_requested(outcome, after):
    ledger = accepted_upstream()
    put(ledger, element(ledger), status="releasing", replaced_by="sel_other")
    send(ledger, "record_activation", downstream(ledger, outcome), "b_bus")
    assert the_handover(ledger).status == "accepted"
    send(ledger, "request_activation", requesting(ledger, elements=()), "sco")
    assert the_handover(ledger).status == after


@pytest.mark.req("D-13", "D-16", "D-30", "X-20")
def test_a_failure_is_recovery():
    ledger = in_recovery()
    line = element(ledger)
    assert (line.status, line.cause, line.reason) == ("activation_failed", "failure", "BROKEN")
    assert the_handover(ledger).status == "recovery"
    other = in_delivery()
    send(other, "record_activation", downstream(other, "failed", reason="NO_FIBRE"), "b_bus")
    assert {element(other, name).cause for name in ("item-002", "item-003")} == {"failure"}
    assert the_handover(other).status == "recovery"


@pytest.mark.req("D-13", "D-24", "D-26", "X-20")
def test_a_window_that_ends_is_a_failure_by_itself_one_millisecond_after():
    ledger = in_delivery()
    end = element(ledger).activate_by_ms
    ledger.advance(end)
    assert element(ledger).status == "activating"
    ledger.advance(end + 1)
    line = element(ledger)
    assert (line.status, line.cause, line.ended_at_ms) == ("activation_failed", "timeout", end)
    assert the_handover(ledger).status == "recovery"
    assert refusal_of(ledger, "report_activation", reporting(ledger), "sof") == (d.ElementWindowOver, "element_id")


@pytest.mark.req("D-12", "D-13", "D-26")
@pytest.mark.parametrize("outcome", ["activated", "failed"])
def test_a_report_after_the_window_is_refused_before_its_deadline_has_run_too(outcome):
    ledger = in_delivery()
    command, end = reporting(ledger, outcome), element(ledger).activate_by_ms
    with pytest.raises(d.ElementWindowOver):
        before_deadlines(ledger, end + 1, d.report_activation, command, "sof")
    before_deadlines(ledger, end, d.report_activation, command, "sof")


def before_deadlines(ledger, at, handler, command, role):
    """The message's outcome in a block that is so full that no deadline has run in it."""
    ledger.time_ms = at
    return handler(command, ledger.call(ledger.sender("alpha", role)))


@pytest.mark.req("D-12", "D-26")
def test_the_last_millisecond_of_a_window_is_in_time():
    ledger = in_delivery()
    send(ledger, "report_activation", reporting(ledger), "sof", at=element(ledger).activate_by_ms)
    assert element(ledger).status == "activated"


@pytest.mark.req("D-28", "X-20")
def test_a_sellers_window_that_ended_is_reported_with_its_cause_and_its_failure_later():
    ledger = in_delivery()
    send(ledger, "record_activation", downstream(ledger, "failed", cause="timeout"), "b_bus")
    assert (element(ledger, "item-002").cause, element(ledger, "item-002").reason) == ("timeout", "TIMEOUT")
    again = downstream(ledger, "failed", cause="timeout")
    assert refusal_of(ledger, "record_activation", again, "b_bus") == (NothingNew, "order_id")
    send(ledger, "record_activation", downstream(ledger, "failed"), "b_bus")
    assert element(ledger, "item-002").cause == "failure"  # nothing is left there to cancel


@pytest.mark.req("D-28", "X-20")
def test_a_sellers_window_ends_by_its_own_ledgers_time():
    ledger = in_delivery()
    end = element(ledger, "item-002").activate_by_ms
    put(ledger, element(ledger), activate_by_ms=the_handover(ledger).service_by_ms)
    assert end < the_handover(ledger).service_by_ms
    ledger.advance(end + 1)
    assert statuses(ledger) == ["activating"] * 3
    send(ledger, "record_activation", downstream(ledger), "b_bus")  # it was in time there
    assert statuses(ledger) == ["activated", "activated", "activating"]


def test_invalid_reports_of_sof():
    ledger = accepted_upstream()

    def refused(**changes):
        return refusal_of(ledger, "report_activation", reporting(ledger, **changes), "sof")

    assert refused(element_id="sel_none") == (ServiceElementUnknown, "element_id")
    assert refused(element_id=element(ledger, "item-002").id) == (ElementNotInternal, "element_id")
    assert refused() == (d.ActivationNotRequested, "element_id")
    send(ledger, "request_activation", requesting(ledger), "sco")
    assert refused(outcome=d.ActivationOutcome.FAILED, reason="no") == (ReasonInvalid, "reason")
    assert refusal_of(ledger, "report_activation", reporting(ledger), "sco")[0] is RoleMissing
    send(ledger, "report_activation", reporting(ledger), "sof")
    assert refused() == (d.ElementActivated, "element_id")
    failed = in_recovery()
    assert refusal_of(failed, "report_activation", reporting(failed), "sof") == (WrongStatus, "status")


def test_invalid_reports_of_b_bus():
    ledger = in_delivery()

    def refused(**changes):
        return refusal_of(ledger, "record_activation", downstream(ledger, **changes), "b_bus")

    assert refused(order_handover_id=NOBODY) == (OrderHandoverUnknown, "order_handover_id")
    for changes in ({"order_id": "ord_9"}, {"order_id": ""}, {"ledger_id": "sg_9"}):
        assert refused(**changes) == (OrderForeign, "order_id")
    send(ledger, "record_activation", downstream(ledger), "b_bus")
    assert refused() == (NothingNew, "order_id")
    early = ordered()
    assert refusal_of(early, "record_activation", downstream(early), "b_bus") == (WrongStatus, "status")


# Chain and test


@pytest.mark.req("D-18")
def test_the_chain_lists_all_elements_in_topology_order():
    ledger = chained()
    handover = the_handover(ledger)
    assert handover.status == "testing"
    assert handover.chain == tuple(element(ledger, name).id for name in ("item-002", "item-003", "item-001"))
    assert statuses(ledger) == ["chained"] * 3


@pytest.mark.req("D-18")
def test_invalid_chains():
    ledger = to_chain()

    def refused(*names):
        return refusal_of(ledger, "chain_elements", chaining(ledger, *names), "sco")

    unknown = replace(chaining(ledger), element_ids=("sel_none",))
    assert refusal_of(ledger, "chain_elements", unknown, "sco") == (ElementOfAnotherOrder, "element_ids[0]")
    assert refused("item-002", "item-002", "item-001") == (ElementOfAnotherOrder, "element_ids[1]")
    assert refused("item-002", "item-001") == (d.ChainIncomplete, "element_ids")
    assert refused("item-001", "item-002", "item-003") == (d.ChainOrderWrong, "element_ids")
    nobody = replace(chaining(ledger), order_handover_id=NOBODY)
    assert refusal_of(ledger, "chain_elements", nobody, "sco")[0] is OrderHandoverUnknown
    for state in (in_delivery, in_recovery, chained):
        other = state()
        assert refusal_of(other, "chain_elements", chaining(other), "sco") == (WrongStatus, "status")


@pytest.mark.req("D-19", "D-20", "D-21", "X-25")
def test_a_passed_test_lets_the_activation_out_and_a_failed_one_may_be_repeated():
    ledger = chained()
    send(ledger, "record_test", trying(ledger, passed=False), "sof")
    assert the_handover(ledger).status == "testing"
    send(ledger, "record_test", trying(ledger), "sco")
    handover = the_handover(ledger)
    assert [test.passed for test in handover.tests] == [False, True]
    assert (handover.status, handover.tests[1].values) == ("to_activate", b'{"loss":0}')


@pytest.mark.req("D-21", "X-24")
def test_a_test_not_passed_by_the_windows_end_is_a_report_to_s_bus():
    ledger = chained()
    end = the_handover(ledger).service_by_ms
    ledger.advance(end)
    assert the_handover(ledger).status == "testing"
    ledger.advance(end + 1)
    assert (the_handover(ledger).status, the_handover(ledger).reason) == ("overdue", "TEST_NOT_PASSED")
    assert refusal_of(ledger, "record_test", trying(ledger), "sof") == (WrongStatus, "status")


@pytest.mark.req("D-20", "D-21")
@pytest.mark.parametrize("passed", [True, False])
def test_a_test_after_the_service_window_counts_no_more_before_its_deadline_has_run_either(passed):
    ledger = chained()
    command, end = trying(ledger, passed=passed), the_handover(ledger).service_by_ms
    with pytest.raises(WrongStatus):
        before_deadlines(ledger, end + 1, d.record_test, command, "sof")
    tested = before_deadlines(ledger, end, d.record_test, command, "sof").writes[0]
    assert tested.status == ("to_activate" if passed else "testing")


def test_invalid_tests():
    ledger = to_chain()
    assert refusal_of(ledger, "record_test", trying(ledger), "sof") == (WrongStatus, "status")
    ledger = chained()
    nobody = replace(trying(ledger), order_handover_id=NOBODY)
    assert refusal_of(ledger, "record_test", nobody, "sof")[0] is OrderHandoverUnknown
    loose = trying(ledger, values=b'{"loss": 0}')
    assert refusal_of(ledger, "record_test", loose, "sof") == (JsonNotCanonical, "values")
    assert refusal_of(ledger, "record_test", trying(ledger), "b_bus")[0] is RoleMissing
    send(ledger, "record_test", trying(ledger, passed=False), "sof")
    many = the_handover(ledger).tests * TESTS_MAX
    put(ledger, the_handover(ledger), tests=many)
    assert refusal_of(ledger, "record_test", trying(ledger), "sof") == (d.TooManyTests, "order_handover_id")


# The activation


@pytest.mark.req("D-19", "D-20", "D-22")
def test_the_activation_is_let_out_once():
    ledger = passed_test()
    command = d.ReleaseActivation(order_handover_id=the_handover(ledger).id, salt=SALT)
    send(ledger, "release_activation", command, "s_bus")
    release = release_of(ledger, "activate_order")
    assert released_command(release) == ActivateOrder(order_id="ord_up", release=release.sha256)
    assert refusal_of(ledger, "release_activation", command, "s_bus") == (AlreadyReleased, "order_handover_id")


@pytest.mark.req("D-19", "D-22")
@pytest.mark.parametrize("state", [accepted_upstream, in_delivery, to_chain, chained, in_recovery, overdue, activated])
def test_invalid_activation_before_its_test(state):
    ledger = state()
    command = d.ReleaseActivation(order_handover_id=the_handover(ledger).id, salt=SALT)
    assert refusal_of(ledger, "release_activation", command, "s_bus") == (WrongStatus, "status")


def test_invalid_activation_without_its_order_or_salt():
    ledger = passed_test()
    nobody = d.ReleaseActivation(order_handover_id=NOBODY, salt=SALT)
    assert refusal_of(ledger, "release_activation", nobody, "s_bus")[0] is OrderHandoverUnknown
    unsalted = d.ReleaseActivation(order_handover_id=the_handover(ledger).id, salt=b"")
    assert refusal_of(ledger, "release_activation", unsalted, "s_bus") == (SaltInvalid, "salt")


@pytest.mark.req("D-31", "X-24")
@pytest.mark.parametrize("state", [accepted_upstream, in_delivery, in_recovery, to_chain, chained])
def test_no_service_in_time_is_for_s_bus_to_decide(state):
    ledger = state()
    handover = the_handover(ledger)
    ledger.advance((handover.service_by_ms or handover.activate_by_ms) + 1)
    assert the_handover(ledger).status == HandoverStatus.OVERDUE
