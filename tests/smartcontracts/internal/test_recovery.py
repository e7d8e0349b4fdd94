"""Recovery inside: one decision a failure, time asked for and passed on, and an end that holds and orders nothing."""

from dataclasses import replace

import pytest

from smartcontracts.codec import ValueUnknown, decode
from smartcontracts.delivery import AnswerExtension, CancelOrder, ExtendWindow, FailOrder, RequestExtension
from smartcontracts.internal import recovery as r
from smartcontracts.internal.decomposition import DECOMPOSITION
from smartcontracts.internal.delivery import ElementWindow, WindowsUnordered
from smartcontracts.internal.elements import (
    REPLACEMENTS_MAX,
    WINDOWS_MAX,
    AlreadyReleased,
    Decision,
    ElementNotInternal,
    ElementOfAnotherOrder,
    HandoverWindow,
    NothingNew,
    OrderForeign,
    OrderHandoverUnknown,
    ReplacementDiffers,
    ServiceElementUnknown,
    WindowCause,
)
from smartcontracts.internal.orders import AnswerAvailability, Availability, CostMissing, ElementAvailability
from smartcontracts.internal.ranking import RankQuotes
from smartcontracts.internal.recovery import ExtensionOutcome
from smartcontracts.internal.release import RELEASE, SaltInvalid, released_command
from smartcontracts.internal.sourcing import (
    SOURCING,
    CloseAsking,
    Purpose,
    ReceivedQuoteUnknown,
)
from smartcontracts.kernel import AlreadyDone, RoleMissing, WrongStatus
from smartcontracts.pricing import PriceFormWrong
from smartcontracts.quote import QuoteItem
from smartcontracts.trade import QuoteLevel, ReasonInvalid, TimeOutOfRange, WindowTooShort
from syngraph.v1 import internal_order_pb2
from tests.smartcontracts.internal.deals import (
    ALL_MADE,
    BRAVO,
    OWN_MS,
    SALT,
    abandoned,
    accepted,
    accepted_upstream,
    activated,
    answered,
    carry,
    chained,
    deciding,
    downstream,
    element,
    in_delivery,
    in_recovery,
    ordered,
    ordering,
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
    to_fail,
    upstream,
)
from tests.smartcontracts.internal.inquiries import CHARLIE, asking, quote_for, response
from tests.smartcontracts.trading import monthly

NOBODY = "oho_none"
HOUR = 3_600_000


# One decision


@pytest.mark.req("D-29", "D-30", "X-26")
def test_another_element_of_our_own_takes_the_place_of_one_that_failed():
    ledger = in_recovery()
    send(ledger, "decide_recovery", deciding(ledger, "alternative_internal"), "sco")
    failed, replacement = element(ledger), element(ledger, tries=1)
    assert (failed.decision, failed.replaced_by, failed.status) == ("alternative_internal", replacement.id, "releasing")
    assert (replacement.replaces, replacement.status, replacement.source) == (failed.id, "quoted_internal", "internal")
    assert (replacement.product, replacement.term, replacement.lineage_id, replacement.place) == (
        failed.product,
        failed.term,
        failed.lineage_id,
        failed.place,
    )
    assert the_handover(ledger).status == "in_delivery"
    send(ledger, "report_released", r.ReportReleased(element_id=failed.id), "sof")
    assert element(ledger).status == "replaced"


@pytest.mark.req("D-30", "X-26")
def test_a_replacement_of_our_own_costs_no_more_and_is_activated_in_a_window_of_its_own():
    ledger = in_recovery()
    send(ledger, "decide_recovery", deciding(ledger, "alternative_internal"), "sco")
    nano = element(ledger).cost[0].rate.nano

    def answer(**changes):
        given = {"reservation_id": "res_2", "cost": (monthly(nano),)} | changes
        one = ElementAvailability(element_id=element(ledger, tries=1).id, answer=Availability.AVAILABLE, **given)
        return AnswerAvailability(order_handover_id=the_handover(ledger).id, answers=(one,))

    assert refusal_of(ledger, "answer_availability", answer(cost=()), "sof") == (CostMissing, "answers[0].cost")
    endless = answer(cost=(replace(monthly(nano), period_ms=0),))
    assert refusal_of(ledger, "answer_availability", endless, "sof") == (PriceFormWrong, "answers[0].cost[0].period_ms")
    dear = answer(cost=(monthly(nano + 1),))
    assert refusal_of(ledger, "answer_availability", dear, "sof") == (ReplacementDiffers, "answers[0].cost")
    send(ledger, "answer_availability", answer(), "sof")
    end = the_handover(ledger).service_by_ms
    window = ElementWindow(element_id=element(ledger, tries=1).id, activate_by_ms=end)
    send(ledger, "request_activation", requesting(ledger, service_by_ms=end, elements=(window,)), "sco")
    send(ledger, "report_activation", reporting(ledger, element_id=element(ledger, tries=1).id), "sof")
    send(ledger, "record_activation", downstream(ledger), "b_bus")
    assert the_handover(ledger).status == "to_chain"


def test_a_replacement_that_sof_rejects_is_a_failure_to_decide_about():
    ledger = in_recovery()
    send(ledger, "decide_recovery", deciding(ledger, "alternative_internal"), "sco")
    one = ElementAvailability(
        element_id=element(ledger, tries=1).id, answer=Availability.REJECTED, reason="NO_CAPACITY"
    )
    command = AnswerAvailability(order_handover_id=the_handover(ledger).id, answers=(one,))
    send(ledger, "answer_availability", command, "sof")
    assert the_handover(ledger).status == "recovery"
    send(ledger, "decide_recovery", deciding(ledger, "alternative_external", tries=1), "sco")
    assert element(ledger, tries=1).status == "replaced"  # nothing is held


def sourcing_of(ledger):
    (found,) = [one for one in ledger.all(SOURCING) if one.purpose == Purpose.RECOVERY]
    return found


def in_sourcing():
    ledger = in_recovery()
    send(ledger, "decide_recovery", deciding(ledger, "alternative_external"), "sco")
    return ledger


def ranked(**quoted):
    """charlie was asked in recovery, and has quoted."""
    ledger = in_sourcing()
    found = sourcing_of(ledger)
    send(ledger, "release_inquiry", asking(found, CHARLIE, "item-001"), "b_bus")
    send(ledger, "close_asking", CloseAsking(sourcing_id=found.id), "b_bus")
    found = sourcing_of(ledger)
    nano = element(ledger).cost[0].rate.nano
    given = {"prices": (monthly(nano),), "valid_until_ms": ledger.time_ms + 10 * HOUR} | quoted
    send(ledger, "record_response", response(found, quote=quote_for(found, **given)), "b_bus")
    send(ledger, "rank_quotes", RankQuotes(sourcing_id=found.id), "b_bus")
    return ledger


def choosing(ledger, received_quote_id=None):
    chosen = sourcing_of(ledger).asked[0].received_quote_id if received_quote_id is None else received_quote_id
    return r.ChooseReplacement(element_id=element(ledger, tries=1).id, received_quote_id=chosen)


@pytest.mark.req("D-29", "D-30", "Q-27")
def test_a_new_inquiry_is_sourced_in_recovery():
    ledger = in_sourcing()
    found, handover = sourcing_of(ledger), the_handover(ledger)
    assert (found.subject_id, found.subject_kind, found.status) == (handover.id, "order_handover", "open")
    assert [one.element_id for one in found.elements] == ["item-001"]
    decomposition = ledger.get(DECOMPOSITION, found.decomposition_id)
    assert [one.lineage_id for one in decomposition.elements] == [element(ledger).lineage_id]
    assert ledger.time_ms < found.respond_by_ms < handover.service_by_ms
    assert element(ledger, tries=1).status == "sourcing"
    assert "sourcing.requested" in ledger.event_names()


@pytest.mark.req("D-40")
@pytest.mark.parametrize("status", ["cancelled", "failed"])
def test_what_is_asked_for_anew_when_the_order_ends_is_not_bought(status):
    ledger = ranked()
    chosen = choosing(ledger)
    send(ledger, "record_upstream", upstream(ledger, status), "s_bus")
    assert element(ledger, tries=1).status == "cancelled"
    assert refusal_of(ledger, "choose_replacement", chosen, "sco") == (WrongStatus, "status")


@pytest.mark.req("D-30", "O-22", "O-33", "X-22", "X-26")
def test_the_quote_that_is_chosen_in_recovery_is_ordered_for_this_order():
    ledger = ranked()
    send(ledger, "choose_replacement", choosing(ledger), "sco")
    bought = element(ledger, tries=1)
    assert (bought.status, bought.ledger_id, bought.quote_id) == ("quoted_external", CHARLIE, "quo_0")
    command = ordering(ledger, ledger_id=CHARLIE)
    send(ledger, "release_order", command, "b_bus")
    windows = released_command(ledger.get(r.RELEASE, element(ledger, tries=1).order_release_id))
    left = the_handover(ledger).service_by_ms - ledger.time_ms
    assert windows.acceptance_window_ms == left // 4
    # Accepted at the last moment, and activated too, it is still inside the service's window.
    assert windows.acceptance_window_ms + windows.activation_window_ms == left - left // 8
    news = answered(ledger, ledger_id=CHARLIE, order_id=element(ledger, tries=1).order_id)
    send(ledger, "record_order_answer", news, "b_bus")
    assert element(ledger, tries=1).status == "activating"
    assert the_handover(ledger).status == "in_delivery"


@pytest.mark.req("X-26")
def test_invalid_choices():
    ledger = in_sourcing()
    assert refusal_of(ledger, "choose_replacement", choosing(ledger, ""), "sco") == (r.SourcingOpen, "element_id")
    nobody = r.ChooseReplacement(element_id="sel_none")
    assert refusal_of(ledger, "choose_replacement", nobody, "sco") == (ServiceElementUnknown, "element_id")
    failed = r.ChooseReplacement(element_id=element(ledger).id)
    assert refusal_of(ledger, "choose_replacement", failed, "sco") == (WrongStatus, "status")
    ledger = ranked()
    assert refusal_of(ledger, "choose_replacement", choosing(ledger, "rcq_none"), "sco") == (
        ReceivedQuoteUnknown,
        "received_quote_id",
    )
    other = ledger.all(SOURCING)[0] if ledger.all(SOURCING)[0].purpose == Purpose.INQUIRY else ledger.all(SOURCING)[1]
    unusable = choosing(ledger, other.asked[0].received_quote_id)
    assert refusal_of(ledger, "choose_replacement", unusable, "sco") == (r.ReplacementUnusable, "received_quote_id")
    nano = element(ledger).cost[0].rate.nano
    for changes, refusal in (
        ({"prices": (monthly(nano + 1),)}, ReplacementDiffers),
        ({"level": QuoteLevel.BUDGETARY}, r.ReplacementUnusable),
    ):
        dear = ranked(**changes)
        assert refusal_of(dear, "choose_replacement", choosing(dear), "sco") == (refusal, "received_quote_id")
    late = ranked(valid_until_ms=ledger.time_ms + 100)
    command = choosing(late)
    late.advance(ledger.time_ms + 200)
    assert refusal_of(late, "choose_replacement", command, "sco") == (r.ReplacementUnusable, "received_quote_id")


@pytest.mark.req("X-26")
def test_a_replacement_that_promises_another_service_level_is_none():
    price = monthly(1)
    other = QuoteItem(id="item-001", prices=(price,), installation_interval_ms=1, performance=b'{"availability":0.9}')
    ledger = ranked(items=(other,))
    assert refusal_of(ledger, "choose_replacement", choosing(ledger), "sco") == (
        ReplacementDiffers,
        "received_quote_id",
    )


@pytest.mark.req("D-30")
def test_no_quote_that_will_do_is_a_failure_to_decide_about():
    ledger = ranked()
    send(ledger, "choose_replacement", choosing(ledger, ""), "sco")
    assert element(ledger, tries=1).status == "undeliverable"
    assert the_handover(ledger).status == "recovery"


@pytest.mark.req("D-30", "X-24")
def test_giving_up_is_a_report_to_s_bus():
    ledger = in_recovery()
    send(ledger, "decide_recovery", deciding(ledger, "abandon"), "sco")
    assert (the_handover(ledger).status, the_handover(ledger).reason) == ("overdue", "RECOVERY_GIVEN_UP")
    assert element(ledger).status == "activation_failed"  # until S-BUS makes it final


@pytest.mark.req("D-30")
def test_a_seller_that_failed_needs_no_cancellation_and_one_that_is_late_does():
    ledger = in_delivery()
    send(ledger, "record_activation", downstream(ledger, "failed"), "b_bus")
    for name in ("item-002", "item-003"):
        send(ledger, "decide_recovery", deciding(ledger, "alternative_internal", name), "sco")
    assert [element(ledger, name).status for name in ("item-002", "item-003")] == ["replaced", "replaced"]
    ledger = in_delivery()
    send(ledger, "record_activation", downstream(ledger, "failed", cause="timeout"), "b_bus")
    send(ledger, "decide_recovery", deciding(ledger, "alternative_internal", "item-002"), "sco")
    assert element(ledger, "item-002").status == "cancelling"
    assert the_handover(ledger).status == "recovery"  # the other port is not decided


@pytest.mark.req("D-30")
def test_invalid_decisions():
    ledger = in_delivery()
    assert refusal_of(ledger, "decide_recovery", deciding(ledger, "abandon"), "sco") == (WrongStatus, "status")
    ledger = in_recovery()
    nobody = r.DecideRecovery(element_id="sel_none", decision=Decision.ABANDON)
    assert refusal_of(ledger, "decide_recovery", nobody, "sco") == (ServiceElementUnknown, "element_id")
    healthy = deciding(ledger, "abandon", "item-002")
    assert refusal_of(ledger, "decide_recovery", healthy, "sco") == (WrongStatus, "status")
    assert refusal_of(ledger, "decide_recovery", deciding(ledger, ""), "sco") == (r.DecisionMissing, "decision")
    assert refusal_of(ledger, "decide_recovery", deciding(ledger, "abandon"), "s_bus")[0] is RoleMissing
    spent = in_recovery()
    put(spent, element(spent), tries=REPLACEMENTS_MAX)
    command = r.DecideRecovery(element_id=element(spent, tries=REPLACEMENTS_MAX).id, decision="alternative_internal")
    assert refusal_of(spent, "decide_recovery", command, "sco") == (r.ReplacementsUsed, "element_id")
    brief = in_recovery()
    put(brief, the_handover(brief), service_by_ms=brief.time_ms + 2)
    external = deciding(brief, "alternative_external")
    assert refusal_of(brief, "decide_recovery", external, "sco") == (WindowTooShort, "decision")
    put(ledger, element(ledger), decision=Decision.ABANDON)
    assert refusal_of(ledger, "decide_recovery", deciding(ledger, "abandon"), "sco") == (r.DecisionMade, "element_id")


@pytest.mark.req("D-30")
@pytest.mark.parametrize("decision", list(Decision)[1:])
def test_nothing_is_decided_about_a_failed_element_out_of_recovery(decision):
    """S-BUS has the order then: it has asked for time, or is about to give up."""
    ledger = in_recovery()
    failed = deciding(ledger, decision)
    ledger.advance(the_handover(ledger).service_by_ms + 1)
    assert (the_handover(ledger).status, element(ledger).status) == ("overdue", "activation_failed")
    assert refusal_of(ledger, "decide_recovery", failed, "sco") == (WrongStatus, "status")


@pytest.mark.req("D-30")
def test_a_decision_is_one_of_three():
    wire = internal_order_pb2.DecideRecovery(element_id="sel_1", decision="ignore")
    with pytest.raises(ValueUnknown):
        decode(r.DecideRecovery, wire.SerializeToString(deterministic=True))


# Time


def asking_time(ledger, **changes):
    given = {
        "order_handover_id": the_handover(ledger).id,
        "activate_by_ms": the_handover(ledger).activate_by_ms + HOUR,
        "reason": "DELIVERY_LATE",
        "salt": SALT,
    }
    return r.ReleaseExtension(**(given | changes))


def window(ledger, outcome="extension_granted", **changes):
    given = {
        "order_handover_id": the_handover(ledger).id,
        "outcome": ExtensionOutcome(outcome),
        "activate_by_ms": 0 if outcome == "refused" else the_handover(ledger).activate_by_ms + HOUR,
    }
    return r.RecordExtension(**(given | changes))


def extension_asked(state=overdue):
    ledger = state()
    send(ledger, "release_extension", asking_time(ledger), "s_bus")
    return ledger


@pytest.mark.req("D-31", "D-33")
@pytest.mark.parametrize("state", [overdue, in_delivery, in_recovery, to_chain, chained])
def test_an_extension_is_asked_of_the_buyer(state):
    ledger = extension_asked(state)
    release, handover = release_of(ledger, "request_extension"), the_handover(ledger)
    assert handover.status == "extension_requested"
    assert released_command(release) == RequestExtension(
        order_id="ord_up",
        activate_by_ms=handover.activate_by_ms + HOUR,
        reason="DELIVERY_LATE",
        release=release.sha256,
    )


@pytest.mark.req("D-33")
def test_invalid_wishes_for_time():
    ledger = overdue()

    def refused(**changes):
        return refusal_of(ledger, "release_extension", asking_time(ledger, **changes), "s_bus")

    end = the_handover(ledger).activate_by_ms
    assert refused(order_handover_id=NOBODY) == (OrderHandoverUnknown, "order_handover_id")
    assert refused(activate_by_ms=end) == (r.EndNotLater, "activate_by_ms")
    assert refused(activate_by_ms=2**60) == (TimeOutOfRange, "activate_by_ms")
    assert refused(reason="late") == (ReasonInvalid, "reason")
    assert refused(salt=b"") == (SaltInvalid, "salt")
    put(ledger, the_handover(ledger), extension_refused=True)
    assert refused() == (r.ExtensionRefused, "order_handover_id")
    for state in (extension_asked, activated, to_fail, passed_test):
        other = state()
        assert refusal_of(other, "release_extension", asking_time(other), "s_bus") == (WrongStatus, "status")


@pytest.mark.req("D-41", "D-42", "D-43", "X-21")
def test_a_granted_extension_is_told_to_sco_sof_and_b_bus_and_the_order_goes_on():
    ledger = extension_asked()
    old = the_handover(ledger).activate_by_ms
    send(ledger, "record_extension", window(ledger), "s_bus")
    handover = the_handover(ledger)
    assert (handover.status, handover.activate_by_ms, handover.service_by_ms) == ("in_delivery", old + HOUR, 0)
    assert [(one.old_ms, one.new_ms, one.cause) for one in handover.windows] == [(old, old + HOUR, "extension_granted")]
    names = ledger.event_names()
    for name in ("window_changed", "window_changed_for_sof", "window_changed_for_b_bus"):
        assert names.count(f"order_handover.{name}") == 1


@pytest.mark.parametrize(
    ("state", "after"),
    [
        (in_delivery, "in_delivery"),
        (in_recovery, "recovery"),
        (to_chain, "to_chain"),
        (chained, "testing"),
        (passed_test, "to_activate"),
        (accepted_upstream, "accepted"),
    ],
)
def test_a_longer_window_leaves_the_order_where_it_is(state, after):
    ledger = state()
    send(ledger, "record_extension", window(ledger, "buyer_extended"), "s_bus")
    assert (the_handover(ledger).status, the_handover(ledger).windows[0].cause) == (after, "buyer_extended")


def test_an_activation_that_came_too_late_is_let_out_anew_with_more_time():
    ledger = passed_test()
    put(ledger, the_handover(ledger), activation_release_id="rel_late")
    send(ledger, "record_upstream", upstream(ledger, "overdue"), "s_bus")
    assert the_handover(ledger).status == "overdue"
    send(ledger, "record_extension", window(ledger, "buyer_extended"), "s_bus")
    assert (the_handover(ledger).status, the_handover(ledger).activation_release_id) == ("to_activate", "")


def test_with_more_time_what_was_given_up_may_be_decided_anew():
    ledger = in_recovery()
    send(ledger, "decide_recovery", deciding(ledger, "abandon"), "sco")
    send(ledger, "release_extension", asking_time(ledger), "s_bus")
    send(ledger, "record_extension", window(ledger), "s_bus")
    assert the_handover(ledger).status == "recovery"
    send(ledger, "decide_recovery", deciding(ledger, "alternative_internal"), "sco")


@pytest.mark.req("D-31")
def test_an_extension_that_is_not_granted_leaves_only_abandoning():
    ledger = extension_asked()
    send(ledger, "record_extension", window(ledger, "refused"), "s_bus")
    assert (the_handover(ledger).status, the_handover(ledger).extension_refused) == ("overdue", True)
    assert refusal_of(ledger, "release_extension", asking_time(ledger), "s_bus")[0] is r.ExtensionRefused


def test_an_order_that_asked_early_goes_on_in_the_window_it_has():
    ledger = extension_asked(in_delivery)
    send(ledger, "record_extension", window(ledger, "refused"), "s_bus")
    assert (the_handover(ledger).status, the_handover(ledger).extension_refused) == ("in_delivery", True)


def test_invalid_news_of_windows():
    ledger = in_delivery()
    end = the_handover(ledger).activate_by_ms

    def refused(outcome="extension_granted", **changes):
        return refusal_of(ledger, "record_extension", window(ledger, outcome, **changes), "s_bus")

    assert refused(order_handover_id=NOBODY) == (OrderHandoverUnknown, "order_handover_id")
    assert refused("refused") == (NothingNew, "order_handover_id")
    assert refused(activate_by_ms=end) == (NothingNew, "activate_by_ms")
    assert refused(activate_by_ms=end - 1) == (r.EndNotLater, "activate_by_ms")
    assert refused(activate_by_ms=2**60) == (TimeOutOfRange, "activate_by_ms")
    change = HandoverWindow(old_ms=1, new_ms=2, cause=WindowCause.BUYER_EXTENDED, recorded_at_ms=3)
    put(ledger, the_handover(ledger), windows=(change,) * WINDOWS_MAX)
    assert refused() == (r.WindowsFull, "order_handover_id")
    for state in (abandoned, to_fail, activated):
        other = state()
        assert refusal_of(other, "record_extension", window(other), "s_bus") == (WrongStatus, "status")


def setting(ledger, **changes):
    end = the_handover(ledger).activate_by_ms
    given = {
        "order_handover_id": the_handover(ledger).id,
        "service_by_ms": end - OWN_MS,
        "elements": tuple(
            ElementWindow(element_id=element(ledger, name).id, activate_by_ms=end - OWN_MS) for name in ALL_MADE
        ),
    }
    return r.SetWindows(**(given | changes))


def extended():
    ledger = in_delivery()
    send(ledger, "record_extension", window(ledger, "buyer_extended"), "s_bus")
    return ledger


@pytest.mark.req("D-41", "D-42", "D-43", "X-22")
def test_recalculated_windows_reach_sof_at_once_and_sellers_by_their_ledgers():
    ledger = extended()
    before = element(ledger, "item-002").activate_by_ms
    send(ledger, "set_windows", setting(ledger), "sco")
    end = the_handover(ledger).service_by_ms
    assert (element(ledger).activate_by_ms, element(ledger, "item-002").activate_by_ms) == (end, before)
    assert element(ledger, "item-002").wanted_by_ms == end
    command = changing(ledger)
    send(ledger, "release_window_change", command, "b_bus")
    release = release_of(ledger, "extend_window")
    assert released_command(release) == ExtendWindow(
        order_id=element(ledger, "item-002").order_id, activate_by_ms=end, release=release.sha256
    )
    assert refusal_of(ledger, "release_window_change", command, "b_bus") == (AlreadyReleased, "order_id")
    send(ledger, "record_window", recording(ledger, activate_by_ms=end), "b_bus")
    assert {element(ledger, name).activate_by_ms for name in ALL_MADE} == {end}


def changing(ledger, **changes):
    given = {"order_handover_id": the_handover(ledger).id, "ledger_id": BRAVO, "salt": SALT}
    return r.ReleaseWindowChange(**(given | {"order_id": element(ledger, "item-002").order_id} | changes))


def recording(ledger, **changes):
    given = {"order_handover_id": the_handover(ledger).id, "ledger_id": BRAVO, "activate_by_ms": 1}
    return r.RecordWindow(**(given | {"order_id": element(ledger, "item-002").order_id} | changes))


def test_invalid_windows_of_sco():
    ledger = extended()

    def refused(**changes):
        return refusal_of(ledger, "set_windows", setting(ledger, **changes), "sco")

    assert refused(order_handover_id=NOBODY) == (OrderHandoverUnknown, "order_handover_id")
    foreign = (ElementWindow(element_id="sel_none", activate_by_ms=1),)
    assert refused(elements=foreign) == (ElementOfAnotherOrder, "elements[0].element_id")
    assert refused(service_by_ms=the_handover(ledger).activate_by_ms + 1) == (WindowsUnordered, "service_by_ms")
    assert refused(service_by_ms=the_handover(ledger).activate_by_ms - OWN_MS - 1) == (WindowsUnordered, "elements")
    other = overdue()
    assert refusal_of(other, "set_windows", setting(other), "sco") == (WrongStatus, "status")


@pytest.mark.req("D-43")
def test_invalid_changes_of_a_sellers_window():
    ledger = in_delivery()

    def refused(name, command):
        return refusal_of(ledger, name, command, "b_bus")

    for name, made in (("release_window_change", changing), ("record_window", recording)):
        assert refused(name, made(ledger, order_handover_id=NOBODY)) == (OrderHandoverUnknown, "order_handover_id")
        assert refused(name, made(ledger, order_id="ord_9")) == (OrderForeign, "order_id")
        early = ordered()
        assert refusal_of(early, name, made(early), "b_bus") == (WrongStatus, "status")
    assert refused("release_window_change", changing(ledger)) == (r.EndNotLater, "order_id")
    same = recording(ledger, activate_by_ms=element(ledger, "item-002").activate_by_ms)
    assert refused("record_window", same) == (NothingNew, "activate_by_ms")
    assert refused("record_window", recording(ledger, activate_by_ms=-1)) == (TimeOutOfRange, "activate_by_ms")
    longer = extended()
    send(longer, "set_windows", setting(longer), "sco")
    assert refusal_of(longer, "release_window_change", changing(longer, salt=b""), "b_bus") == (SaltInvalid, "salt")


# A seller, or SOF, needs time


def wishing(ledger, **changes):
    bought = element(ledger, "item-002")
    given = {
        "order_handover_id": the_handover(ledger).id,
        "ledger_id": BRAVO,
        "order_id": bought.order_id,
        "activate_by_ms": bought.activate_by_ms + 1_000,
        "answer_by_ms": ledger.time_ms + 60_000,
        "reason": "DELIVERY_LATE",
    }
    return r.RecordExtensionRequest(**(given | changes))


def replying(ledger, *, granted=True, **changes):
    bought = element(ledger, "item-002")
    given = {
        "order_handover_id": the_handover(ledger).id,
        "ledger_id": BRAVO,
        "order_id": bought.order_id,
        "granted": granted,
        "salt": SALT,
        "activate_by_ms": 0 if bought.extension is None else bought.extension.activate_by_ms,
    }
    return r.ReleaseExtensionAnswer(**(given | changes))


def wished(**changes):
    ledger = in_delivery()
    send(ledger, "record_extension_request", wishing(ledger, **changes), "b_bus")
    return ledger


@pytest.mark.req("D-33", "D-41", "D-43")
def test_a_seller_is_granted_what_fits_the_services_window():
    ledger = wished()
    send(ledger, "release_extension_answer", replying(ledger, waive_penalty=True), "b_bus")
    release = release_of(ledger, "answer_extension")
    assert released_command(release) == AnswerExtension(
        order_id=element(ledger, "item-002").order_id, granted=True, waive_penalty=True, release=release.sha256
    )
    assert refusal_of(ledger, "release_extension_answer", replying(ledger), "b_bus") == (AlreadyReleased, "order_id")
    end = element(ledger, "item-002").extension.activate_by_ms
    send(ledger, "record_window", recording(ledger, activate_by_ms=end), "b_bus")
    assert (element(ledger, "item-002").activate_by_ms, element(ledger, "item-002").extension) == (end, None)


@pytest.mark.req("X-22", "D-43")
def test_invalid_grants():
    ledger = in_delivery()
    assert refusal_of(ledger, "release_extension_answer", replying(ledger), "b_bus") == (
        r.NoExtensionAsked,
        "activate_by_ms",
    )
    ledger = wished(activate_by_ms=the_handover(ledger).service_by_ms + 1)

    def refused(**changes):
        return refusal_of(ledger, "release_extension_answer", replying(ledger, **changes), "b_bus")

    assert refused(order_handover_id=NOBODY) == (OrderHandoverUnknown, "order_handover_id")
    assert refused(order_id="ord_9") == (OrderForeign, "order_id")
    assert refused(activate_by_ms=1) == (r.NoExtensionAsked, "activate_by_ms")
    assert refused() == (WindowsUnordered, "granted")
    assert refused(granted=False, salt=b"") == (SaltInvalid, "salt")
    send(ledger, "release_extension_answer", replying(ledger, granted=False, waive_penalty=True), "b_bus")
    assert not released_command(release_of(ledger, "answer_extension")).waive_penalty


def test_invalid_wishes_of_sellers():
    ledger = wished()

    def refused(**changes):
        return refusal_of(ledger, "record_extension_request", wishing(ledger, **changes), "b_bus")

    assert refused(order_handover_id=NOBODY) == (OrderHandoverUnknown, "order_handover_id")
    assert refused(order_id="") == (OrderForeign, "order_id")
    known = element(ledger, "item-002").extension
    assert refused(answer_by_ms=known.answer_by_ms) == (NothingNew, "order_id")
    for name in ("activate_by_ms", "answer_by_ms"):
        assert refused(**{name: -1}) == (TimeOutOfRange, name)
    done = to_chain()
    assert refusal_of(done, "record_extension_request", wishing(done), "b_bus") == (WrongStatus, "status")


@pytest.mark.req("D-41", "D-43")
def test_an_answer_about_an_order_of_our_own_is_given_once():
    ledger = in_delivery()
    own = replying(ledger, order_handover_id="", order_id="ord_own", activate_by_ms=9)
    done = send(ledger, "release_extension_answer", own, "b_bus")
    assert ledger.the(r.OWN_EXTENSION_ANSWER) == done.writes[0]
    assert released_command(release_of(ledger, "answer_extension")).order_id == "ord_own"
    with pytest.raises(AlreadyDone):
        send(ledger, "release_extension_answer", own, "b_bus")
    serving = replace(own, order_id=element(ledger, "item-002").order_id)
    assert refusal_of(ledger, "release_extension_answer", serving, "b_bus") == (r.ServesAnOrder, "order_handover_id")
    send(ledger, "release_extension_answer", replace(own, activate_by_ms=10), "b_bus")


@pytest.mark.req("D-31", "D-33")
def test_sof_says_that_it_will_be_late_and_a_longer_window_settles_it():
    ledger = in_delivery()
    end = element(ledger).activate_by_ms
    late = r.ReportDelay(element_id=element(ledger).id, activate_by_ms=end + OWN_MS)
    send(ledger, "report_delay", late, "sof")
    assert element(ledger).extension.activate_by_ms == end + OWN_MS
    assert refusal_of(ledger, "report_delay", late, "sof") == (NothingNew, "activate_by_ms")
    send(ledger, "record_extension", window(ledger, "buyer_extended"), "s_bus")
    send(ledger, "set_windows", setting(ledger), "sco")
    assert element(ledger).extension is None


def test_invalid_delays():
    ledger = in_delivery()

    def refused(**changes):
        given = {"element_id": element(ledger).id, "activate_by_ms": element(ledger).activate_by_ms + 1}
        return refusal_of(ledger, "report_delay", r.ReportDelay(**(given | changes)), "sof")

    assert refused(element_id="sel_none") == (ServiceElementUnknown, "element_id")
    assert refused(element_id=element(ledger, "item-002").id) == (ElementNotInternal, "element_id")
    assert refused(activate_by_ms=element(ledger).activate_by_ms) == (r.EndNotLater, "activate_by_ms")
    assert refused(activate_by_ms=2**60) == (TimeOutOfRange, "activate_by_ms")
    send(ledger, "report_activation", reporting(ledger), "sof")
    assert refused() == (WrongStatus, "status")


# The end


@pytest.mark.req("D-31", "D-34", "D-35", "D-36", "D-37", "D-38", "D-39")
def test_abandonment_goes_from_s_bus_over_sco_to_sof_and_b_bus():
    ledger = abandoned()
    assert (the_handover(ledger).status, the_handover(ledger).reason) == ("abandoning", "WINDOW_OVER")
    assert ledger.event_names()[-1] == "order_handover.abandoned"
    assert statuses(ledger) == ["activating", "activating", "activated"]  # nothing before SCO has told
    ledger = to_fail()
    names = ledger.event_names()
    assert names.count("order_handover.abandonment_for_sof") == names.count("order_handover.abandonment_for_b_bus") == 1
    assert (the_handover(ledger).status, statuses(ledger)) == ("to_fail", ["cancelling", "cancelling", "releasing"])


@pytest.mark.req("D-32")
def test_the_failure_is_let_out_once_and_only_then():
    ledger = to_fail()
    command = r.ReleaseFailure(order_handover_id=the_handover(ledger).id, salt=SALT)
    send(ledger, "release_failure", command, "s_bus")
    release = release_of(ledger, "fail_order")
    assert released_command(release) == FailOrder(order_id="ord_up", reason="WINDOW_OVER", release=release.sha256)
    assert refusal_of(ledger, "release_failure", command, "s_bus") == (AlreadyReleased, "order_handover_id")
    assert refusal_of(ledger, "release_failure", replace(command, order_handover_id=NOBODY), "s_bus")[0] is (
        OrderHandoverUnknown
    )
    assert refusal_of(to_fail(), "release_failure", replace(command, salt=b""), "s_bus") == (SaltInvalid, "salt")
    for state in (in_delivery, overdue, abandoned, activated):
        other = state()
        early = r.ReleaseFailure(order_handover_id=the_handover(other).id, salt=SALT)
        assert refusal_of(other, "release_failure", early, "s_bus") == (WrongStatus, "status")


@pytest.mark.req("D-31", "D-35", "D-36")
def test_invalid_abandonment():
    ledger = overdue()

    def abandon(**changes):
        return r.AbandonOrder(**({"order_handover_id": the_handover(ledger).id, "reason": "WINDOW_OVER"} | changes))

    nobody = abandon(order_handover_id=NOBODY)
    assert refusal_of(ledger, "abandon_order", nobody, "s_bus") == (OrderHandoverUnknown, "order_handover_id")
    assert refusal_of(ledger, "abandon_order", abandon(reason="late"), "s_bus") == (ReasonInvalid, "reason")
    told = r.NotifyAbandonment(order_handover_id=the_handover(ledger).id)
    assert refusal_of(ledger, "notify_abandonment", told, "sco") == (WrongStatus, "status")
    assert refusal_of(ledger, "notify_abandonment", r.NotifyAbandonment(order_handover_id=NOBODY), "sco")[0] is (
        OrderHandoverUnknown
    )
    for state in (accepted, in_delivery, activated):
        other = state()
        command = r.AbandonOrder(order_handover_id=the_handover(other).id, reason="WINDOW_OVER")
        assert refusal_of(other, "abandon_order", command, "s_bus") == (WrongStatus, "status")


@pytest.mark.req("D-37", "D-38")
def test_sof_gives_back_what_the_elements_hold():
    ledger = to_fail()
    send(ledger, "report_released", r.ReportReleased(element_id=element(ledger).id), "sof")
    assert element(ledger).status == "released"
    for element_id, refusal in (
        ("sel_none", (ServiceElementUnknown, "element_id")),
        (element(ledger, "item-002").id, (ElementNotInternal, "element_id")),
        (element(ledger).id, (WrongStatus, "status")),
    ):
        assert refusal_of(ledger, "report_released", r.ReportReleased(element_id=element_id), "sof") == refusal


def cancelling(ledger, **changes):
    given = {"ledger_id": BRAVO, "order_id": element(ledger, "item-002").order_id, "salt": SALT}
    return r.ReleaseCancellation(**(given | changes))


@pytest.mark.req("D-39", "D-40", "X-15")
def test_the_order_of_ended_elements_is_cancelled_once():
    ledger = to_fail()
    send(ledger, "release_cancellation", cancelling(ledger), "b_bus")
    release = release_of(ledger, "cancel_order")
    assert released_command(release) == CancelOrder(
        order_id=element(ledger, "item-002").order_id, reason="NO_LONGER_NEEDED", release=release.sha256
    )
    assert refusal_of(ledger, "release_cancellation", cancelling(ledger), "b_bus") == (AlreadyReleased, "order_id")
    for name in ("item-002", "item-003"):
        ended = r.RecordCancellation(element_id=element(ledger, name).id, outcome="ended")
        send(ledger, "record_cancellation", ended, "b_bus")
        assert element(ledger, name).status == "cancelled"


@pytest.mark.req("D-40", "C-11")
def test_a_cancellation_that_the_sellers_ledger_refused_can_be_let_out_once_more():
    ledger = to_fail()
    send(ledger, "release_cancellation", cancelling(ledger), "b_bus")
    first = release_of(ledger, "cancel_order")
    carry(ledger, first.id, refusal_code=3405, refusal_name="CHANGE_STARTED")
    send(ledger, "release_cancellation", cancelling(ledger), "b_bus")
    second = element(ledger, "item-002").cancel_release_id
    assert second != first.id
    assert released_command(ledger.the(RELEASE, second)).order_id == element(ledger, "item-002").order_id
    assert refusal_of(ledger, "release_cancellation", cancelling(ledger), "b_bus") == (AlreadyReleased, "order_id")
    carry(ledger, second)
    assert refusal_of(ledger, "release_cancellation", cancelling(ledger), "b_bus") == (AlreadyReleased, "order_id")


@pytest.mark.req("X-27")
def test_what_can_no_longer_be_cancelled_is_stranded():
    ledger = to_fail()
    stranded = r.RecordCancellation(element_id=element(ledger, "item-002").id, outcome="stranded")
    send(ledger, "record_cancellation", stranded, "b_bus")
    assert element(ledger, "item-002").status == "stranded"


@pytest.mark.req("D-40")
def test_invalid_cancellations():
    ledger = in_delivery()

    def refused(**changes):
        return refusal_of(ledger, "release_cancellation", cancelling(ledger, **changes), "b_bus")

    for changes in ({"order_id": ""}, {"order_id": "ord_9"}, {"ledger_id": "sg_9"}):
        assert refused(**changes) == (OrderForeign, "order_id")
    assert refused() == (WrongStatus, "status")
    living = r.RecordCancellation(element_id=element(ledger, "item-002").id, outcome="ended")
    assert refusal_of(ledger, "record_cancellation", living, "b_bus") == (WrongStatus, "status")
    nobody = r.RecordCancellation(element_id="sel_none", outcome="ended")
    assert refusal_of(ledger, "record_cancellation", nobody, "b_bus") == (ServiceElementUnknown, "element_id")
    # An order that is still on its way out can't be cancelled, nor be at an end.
    ledger = ordered()
    send(ledger, "record_upstream", upstream(ledger, "cancelled"), "s_bus")
    assert refused() == (r.NotPlaced, "order_id")
    ended = r.RecordCancellation(element_id=element(ledger, "item-002").id, outcome="ended")
    assert refusal_of(ledger, "record_cancellation", ended, "b_bus") == (r.NotPlaced, "element_id")
    carry(ledger, element(ledger, "item-002").order_release_id)
    assert refused(salt=b"") == (SaltInvalid, "salt")
    send(ledger, "release_cancellation", cancelling(ledger), "b_bus")


def test_an_order_that_its_ledger_refused_needs_no_cancellation():
    ledger = ordered()
    send(ledger, "record_upstream", upstream(ledger, "cancelled"), "s_bus")
    release_id = element(ledger, "item-002").order_release_id
    carry(ledger, release_id, refusal_code=3202, refusal_name="QUOTE_ORDERED")
    assert refusal_of(ledger, "release_cancellation", cancelling(ledger), "b_bus") == (r.NotPlaced, "order_id")
    for name in ("item-002", "item-003"):
        ended = r.RecordCancellation(element_id=element(ledger, name).id, outcome="ended")
        send(ledger, "record_cancellation", ended, "b_bus")
    assert statuses(ledger) == ["cancelled", "cancelled", "releasing"]


# An order that was taken for refused


def refused_there(ledger):
    """The carrier's node did not see that the order got there."""
    release_id = element(ledger, "item-002").order_release_id
    carry(ledger, release_id, refusal_code=3113, refusal_name="QUOTE_EXPIRED")
    return r.RecordSurfaced(release_id=release_id)


def not_taken():
    """alpha has rejected the buyer's order because of it."""
    ledger = ordered()
    surfaced = refused_there(ledger)
    rejected = answered(ledger, "rejected", order_id="", reason="QUOTE_EXPIRED")
    send(ledger, "record_order_answer", rejected, "b_bus")
    return ledger, surfaced


@pytest.mark.req("D-40", "X-15")
def test_an_order_that_shows_out_there_after_all_is_cancelled():
    ledger, surfaced = not_taken()
    assert statuses(ledger) == ["rejected", "rejected", "releasing"]
    # S-BUS is about to answer: nothing is in its way.
    assert refusal_of(ledger, "record_surfaced", surfaced, "b_bus") == (WrongStatus, "status")
    send(ledger, "record_upstream", upstream(ledger, "rejected"), "s_bus")
    send(ledger, "record_surfaced", surfaced, "b_bus")
    assert statuses(ledger) == ["cancelling", "cancelling", "releasing"]
    release = ledger.the(RELEASE, surfaced.release_id)
    assert (release.status, release.outcome_id) == ("carried", element(ledger, "item-002").order_id)
    assert (release.refusal_code, release.refusal_name) == (0, "")
    assert refusal_of(ledger, "record_surfaced", surfaced, "b_bus") == (NothingNew, "release_id")
    send(ledger, "release_cancellation", cancelling(ledger), "b_bus")
    assert released_command(release_of(ledger, "cancel_order")).order_id == release.outcome_id


@pytest.mark.req("D-40")
@pytest.mark.parametrize("end", ["cancelled", "replaced"])
def test_what_was_at_its_end_is_looked_after_again(end):
    ledger = ordered()
    surfaced = refused_there(ledger)
    send(ledger, "record_upstream", upstream(ledger, "cancelled"), "s_bus")
    for name in ("item-002", "item-003"):
        put(ledger, element(ledger, name), status=end, replaced_by="sel_other" if end == "replaced" else "")
    send(ledger, "record_surfaced", surfaced, "b_bus")
    assert statuses(ledger) == ["cancelling", "cancelling", "releasing"]
    for name in ("item-002", "item-003"):
        over = r.RecordCancellation(element_id=element(ledger, name).id, outcome="ended")
        send(ledger, "record_cancellation", over, "b_bus")
        assert element(ledger, name).status == end


@pytest.mark.req("O-23")
def test_what_still_waits_for_the_answer_goes_on_waiting():
    ledger = ordered()
    surfaced = refused_there(ledger)
    send(ledger, "record_surfaced", surfaced, "b_bus")
    assert statuses(ledger) == ["quoted_external", "quoted_external", "available"]
    send(ledger, "record_order_answer", answered(ledger), "b_bus")
    assert the_handover(ledger).status == "accepted"


def test_invalid_news_of_an_order_that_was_not_taken_for_refused():
    ledger = accepted()
    for release_id in ("rel_none", the_handover(ledger).id):
        unknown = r.RecordSurfaced(release_id=release_id)
        assert refusal_of(ledger, "record_surfaced", unknown, "b_bus") == (r.ReleaseUnknown, "release_id")
    ledger = accepted_upstream()
    answer = r.RecordSurfaced(release_id=the_handover(ledger).answer_release_id)
    assert refusal_of(ledger, "record_surfaced", answer, "b_bus") == (r.ReleaseUnknown, "release_id")
    known = r.RecordSurfaced(release_id=element(ledger, "item-002").order_release_id)
    assert refusal_of(ledger, "record_surfaced", known, "b_bus") == (NothingNew, "release_id")
    assert refusal_of(ledger, "record_surfaced", known, "sco")[0] is RoleMissing
