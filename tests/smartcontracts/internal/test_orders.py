"""Orders inside: taken in as quoted, all of it accepted or nothing, and answered once, as the state says."""

from dataclasses import replace

import pytest

from smartcontracts.codec import ListTooLong, ValueUnknown, decode, encode
from smartcontracts.internal import orders as o
from smartcontracts.internal.assessment import ASSESSMENT
from smartcontracts.internal.change import ChangeNotOurs
from smartcontracts.internal.delivery import NotAccepted
from smartcontracts.internal.elements import (
    ELEMENTS_MAX,
    ORDER_HANDOVER,
    SERVICE_ELEMENT,
    AlreadyReleased,
    ElementNotInternal,
    ElementOfAnotherOrder,
    HandoverStatus,
    NothingNew,
    OrderForeign,
    OrderHandoverUnknown,
)
from smartcontracts.internal.handover import INQUIRY_HANDOVER
from smartcontracts.internal.handover import HandoverStatus as InquiryStatus
from smartcontracts.internal.inventory import INVENTORY_SERVICE
from smartcontracts.internal.release import RELEASE, SaltInvalid, released_command
from smartcontracts.kernel import AlreadyDone, Cause, RoleMissing, WrongStatus, cause_id
from smartcontracts.order import ORDER, AcceptOrder, PlaceOrder, RejectOrder
from smartcontracts.trade import ReasonInvalid, TimeOutOfRange, WindowTooShort
from syngraph.v1 import internal_order_pb2
from tests.smartcontracts.internal.deals import (
    ACCEPT_MS,
    ACTIVATE_MS,
    ALL_MADE,
    BRAVO,
    OWN_MS,
    SALT,
    UPSTREAM,
    abandoned,
    accepted,
    accepted_upstream,
    activated,
    answered,
    answering,
    available,
    carry,
    element,
    handed_over,
    handing,
    in_delivery,
    in_recovery,
    ordered,
    ordering,
    overdue,
    passed_test,
    put,
    quoted,
    refusal_of,
    release_of,
    requesting,
    send,
    statuses,
    the_handover,
    to_fail,
    upstream,
)
from tests.smartcontracts.internal.inquiries import CHARLIE, internal_ledger
from tests.smartcontracts.internal.test_change import service_change
from tests.smartcontracts.support import org

NOBODY = "oho_none"
CHARLIES = {"ledger_id": CHARLIE, "quote_id": "quo_1"}


# Handover


@pytest.mark.req("O-14", "O-15", "O-16", "O-17")
def test_an_orders_elements_are_those_of_the_quote_with_ids_of_their_own():
    ledger = handed_over()
    handover = the_handover(ledger)
    elements = sorted(ledger.all(SERVICE_ELEMENT), key=lambda one: one.place)
    assert tuple(one.element_id for one in elements) == ledger.the(ASSESSMENT).chain
    assert len({one.id for one in elements}) == 3
    assert {one.order_handover_id for one in elements} == {handover.id}
    assert statuses(ledger) == ["quoted_external", "quoted_external", "quoted_internal"]
    port, line = elements[0], elements[2]
    assert (port.source, port.ledger_id, port.seller, port.quote_id) == ("external", BRAVO, org("bravo"), "quo_0")
    assert (line.source, line.query_id != "", line.cost != (), line.lineage_id != "") == ("internal", True, True, True)
    assert (handover.status, handover.ordering_ms, handover.delivery_ms) == ("checking_internal", OWN_MS, 2 * OWN_MS)
    assert ledger.find(ORDER_HANDOVER, "keys", f"{UPSTREAM}/ord_up", 2) == (handover,)


@pytest.mark.req("O-14")
def test_an_order_is_handed_over_once_whoever_repeats_it():
    ledger = handed_over()
    command = handing(ledger, ordering_ms=1)
    with pytest.raises(AlreadyDone) as again:
        send(ledger, "hand_over_order", command, "s_bus")
    assert again.value.existing_id == the_handover(ledger).id


@pytest.mark.req("X-14")
def test_what_there_is_none_of_is_not_waited_for():
    assert the_handover(available(ALL_MADE)).status == "accepted"
    assert the_handover(available()).status == "ordering_external"


@pytest.mark.req("O-33", "X-17")
@pytest.mark.parametrize(
    "changes", [{"ordering_ms": ACCEPT_MS}, {"ordering_ms": ACCEPT_MS + 1}, {"delivery_ms": ACTIVATE_MS}]
)
def test_windows_without_time_for_sellers_reject_at_once_and_hold_nothing(changes):
    ledger = handed_over(**changes)
    assert (the_handover(ledger).status, the_handover(ledger).reason) == ("to_reject", "WINDOW_TOO_SHORT")
    assert statuses(ledger) == ["cancelled", "cancelled", "releasing"]


@pytest.mark.req("O-33", "X-17")
def test_a_provider_that_makes_it_all_needs_no_time_for_sellers():
    ledger = handed_over(ALL_MADE, ordering_ms=ACCEPT_MS)
    assert the_handover(ledger).status == "checking_internal"


def test_invalid_handover_is_refused_in_order():
    ledger = quoted()
    for name in ("placed_at_ms", "accept_by_ms", "activation_window_ms", "ordering_ms", "delivery_ms"):
        command = handing(ledger, quote_id="quo_none", **{name: -1})
        assert refusal_of(ledger, "hand_over_order", command, "s_bus") == (TimeOutOfRange, name)
    for changes in ({"quote_id": "quo_none"}, {"ledger_id": BRAVO}):
        assert refusal_of(ledger, "hand_over_order", handing(ledger, **changes), "s_bus") == (
            o.QuoteNotOurs,
            "quote_id",
        )
    assert refusal_of(ledger, "hand_over_order", handing(ledger), "sco")[0] is RoleMissing


def test_an_order_whose_elements_are_not_known_yet_waits():
    ledger = _standing(InquiryStatus.INTERNAL_KNOWN)
    assert refusal_of(ledger, "hand_over_order", handing(ledger), "s_bus") == (o.QuoteNotAssessed, "quote_id")


def test_an_order_on_a_catalogues_quote_that_cant_be_made_is_rejected():
    ledger = _standing(InquiryStatus.UNABLE)
    send(ledger, "hand_over_order", handing(ledger), "s_bus")
    assert (the_handover(ledger).status, the_handover(ledger).reason) == ("to_reject", "NOT_CHAINABLE")
    assert ledger.all(SERVICE_ELEMENT) == ()


@pytest.mark.req("D-23")
@pytest.mark.parametrize("known", [internal_ledger, quoted, lambda: _standing(InquiryStatus.INTERNAL_KNOWN)])
def test_what_a_person_has_activated_before_is_in_the_inventory_without_parts_whatever_is_known_of_its_quote(known):
    ledger = known()
    send(ledger, "hand_over_order", handing(ledger, service_id="svc_hand"), "s_bus")
    handover, service = the_handover(ledger), ledger.the(INVENTORY_SERVICE)
    assert (handover.status, handover.service_id, handover.ended_at_ms) == ("activated", "svc_hand", ledger.time_ms)
    assert (service.status, service.service_id, service.elements) == ("in_operation", "svc_hand", ())
    assert (service.order_handover_id, service.order_id) == (handover.id, "ord_up")
    assert ledger.all(SERVICE_ELEMENT) == ()
    again = handing(ledger, service_id="svc_hand")
    assert refusal_of(ledger, "hand_over_order", again, "s_bus")[0] is AlreadyDone
    send(ledger, "record_upstream", upstream(ledger, "cancelled"), "s_bus")
    assert (the_handover(ledger).status, ledger.the(INVENTORY_SERVICE).status) == ("cancelled", "terminated")


def test_invalid_handover_of_what_a_person_has_done_by_a_change():
    ledger = quoted()
    by_hand = {"service_id": "svc_hand", "quote_id": "quo_none"}
    command = handing(ledger, change=service_change("done"), **by_hand)
    assert refusal_of(ledger, "hand_over_order", command, "s_bus") == (ChangeNotOurs, "change")
    command = handing(ledger, accept_by_ms=-1, change=service_change("done"), **by_hand)
    assert refusal_of(ledger, "hand_over_order", command, "s_bus") == (TimeOutOfRange, "accept_by_ms")


def _standing(status):
    """A ledger on which an inquiry of a catalogue's quote is this far."""
    ledger = internal_ledger()
    inquiry = quoted().the(INQUIRY_HANDOVER)
    ledger.write(replace(inquiry, status=status, answer_id="", standing_quote_id="quo_out"))
    return ledger


# SOF


@pytest.mark.req("O-18", "O-21")
def test_only_the_last_answer_moves_the_order():
    ledger = handed_over(ALL_MADE)
    send(ledger, "answer_availability", answering(ledger, "available", "item-001", "item-002"), "sof")
    assert the_handover(ledger).status == "checking_internal"
    send(ledger, "answer_availability", answering(ledger, "available", "item-003"), "sof")
    assert the_handover(ledger).status == "accepted"


@pytest.mark.req("O-18", "O-19", "O-20", "O-29", "X-15")
def test_one_rejection_rejects_the_order_and_gives_back_what_siblings_hold():
    ledger = handed_over(ALL_MADE)
    send(ledger, "answer_availability", answering(ledger, "available", "item-002"), "sof")
    send(ledger, "answer_availability", answering(ledger, "rejected", "item-001", "item-003"), "sof")
    assert (the_handover(ledger).status, the_handover(ledger).reason) == ("to_reject", "ELEMENT_REJECTED")
    assert statuses(ledger) == ["releasing", "rejected", "rejected"]


@pytest.mark.req("O-18")
def test_invalid_answers_of_sof():
    ledger = handed_over()
    nobody = o.AnswerAvailability(order_handover_id=NOBODY, answers=())
    assert refusal_of(ledger, "answer_availability", nobody, "sof") == (OrderHandoverUnknown, "order_handover_id")

    def refused(command):
        return refusal_of(ledger, "answer_availability", command, "sof")

    assert refused(_about(ledger, "sel_none")) == (ElementOfAnotherOrder, "answers[0].element_id")
    assert refused(answering(ledger, "available", "item-001", "item-002")) == (
        ElementNotInternal,
        "answers[1].element_id",
    )
    assert refused(answering(ledger, "rejected", reason="no")) == (ReasonInvalid, "reason")
    assert refused(answering(ledger, reservation_id="")) == (o.ReservationMissing, "answers[0].reservation_id")
    assert refused(answering(ledger, hold_until_ms=-1)) == (TimeOutOfRange, "answers[0].hold_until_ms")
    assert refused(answering(ledger, "available", "item-001", "item-001")) == (WrongStatus, "status")
    assert refusal_of(ledger, "answer_availability", answering(ledger), "sco")[0] is RoleMissing
    send(ledger, "answer_availability", answering(ledger), "sof")
    assert refused(answering(ledger)) == (WrongStatus, "status")


def _about(ledger, element_id):
    answer = o.ElementAvailability(element_id=element_id, answer=o.Availability.AVAILABLE, reservation_id="res_1")
    return o.AnswerAvailability(order_handover_id=the_handover(ledger).id, answers=(answer,))


@pytest.mark.req("O-18")
@pytest.mark.parametrize("verdict", ["maybe", "Available", ""])
def test_invalid_verdict_of_sof_is_neither_of_the_two(verdict):
    wire = internal_order_pb2.ElementAvailability(element_id="sel_1", answer=verdict)
    with pytest.raises(ValueUnknown) as refused:
        decode(o.ElementAvailability, wire.SerializeToString(deterministic=True))
    assert refused.value.field == "answer"


def test_answers_are_at_most_as_many_as_elements():
    answer = o.ElementAvailability(element_id="sel_1", answer=o.Availability.AVAILABLE)
    assert decode(
        o.AnswerAvailability, encode(o.AnswerAvailability(order_handover_id="a", answers=(answer,) * ELEMENTS_MAX))
    )
    with pytest.raises(ListTooLong):
        decode(
            o.AnswerAvailability,
            encode(o.AnswerAvailability(order_handover_id="a", answers=(answer,) * (ELEMENTS_MAX + 1))),
        )


# Sellers


@pytest.mark.req("O-21", "O-22", "O-33")
def test_an_order_is_let_out_by_the_quote_that_was_chosen_with_the_window_less_what_is_kept():
    ledger = ordered()
    release = release_of(ledger, "place_order")
    bought = [element(ledger, name) for name in ("item-002", "item-003")]
    assert released_command(release) == PlaceOrder(
        quote_id="quo_0",
        acceptance_window_ms=ACCEPT_MS - OWN_MS,
        activation_window_ms=ACTIVATE_MS - 2 * OWN_MS,
        release=release.sha256,
    )
    assert (release.ledger_id, release.role, release.subject_id) == (BRAVO, "b_bus", the_handover(ledger).id)
    cause = Cause(ledger_id=ledger.ledger_id, event_id=release.id, purpose="place_order")
    order_id = cause_id(ORDER, BRAVO, org("alpha"), cause)
    assert {(one.order_release_id, one.order_id) for one in bought} == {(release.id, order_id)}


@pytest.mark.req("O-33")
def test_a_sellers_window_never_outlasts_the_buyers():
    ledger = available()
    late = the_handover(ledger).accept_by_ms - 60_000
    send(ledger, "release_order", ordering(ledger), "b_bus", at=late)
    assert released_command(release_of(ledger, "place_order")).acceptance_window_ms == 60_000


@pytest.mark.req("O-21")
def test_invalid_order_before_the_last_internal_element_is_available():
    ledger = handed_over()
    assert refusal_of(ledger, "release_order", ordering(ledger), "b_bus") == (
        o.InternalsNotAvailable,
        "order_handover_id",
    )


def test_invalid_orders_to_sellers():
    ledger = available()

    def refused(**changes):
        return refusal_of(ledger, "release_order", ordering(ledger, **changes), "b_bus")

    assert refused(order_handover_id=NOBODY) == (OrderHandoverUnknown, "order_handover_id")
    for changes in ({"quote_id": "quo_9"}, {"quote_id": ""}, {"ledger_id": UPSTREAM}):
        assert refused(**changes) == (OrderForeign, "quote_id")
    assert refused(salt=b"short") == (SaltInvalid, "salt")
    assert refusal_of(ledger, "release_order", ordering(ledger), "s_bus")[0] is RoleMissing
    send(ledger, "release_order", ordering(ledger), "b_bus")
    assert refused() == (AlreadyReleased, "quote_id")
    done = accepted()
    assert refusal_of(done, "release_order", ordering(done), "b_bus") == (WrongStatus, "status")


def test_invalid_order_when_the_window_is_at_its_end():
    ledger = available()
    put(ledger, the_handover(ledger), ordering_ms=ACCEPT_MS)
    assert refusal_of(ledger, "release_order", ordering(ledger), "b_bus") == (WindowTooShort, "order_handover_id")


@pytest.mark.req("O-23", "O-25", "O-26")
def test_the_last_acceptance_accepts_the_order():
    ledger = accepted()
    assert the_handover(ledger).status == "accepted"
    assert statuses(ledger) == ["accepted", "accepted", "available"]
    assert element(ledger, "item-002").service_id == "svc_down"


@pytest.mark.req("O-23", "O-29", "X-15")
def test_a_sellers_rejection_rejects_the_order():
    ledger = ordered()
    send(ledger, "record_order_answer", answered(ledger, "rejected"), "b_bus")
    assert the_handover(ledger).status == "to_reject"
    assert statuses(ledger) == ["rejected", "rejected", "releasing"]
    assert element(ledger, "item-002").reason == "NO_CAPACITY"


def of_two_sellers():
    """The ports are bought from two sellers, whose orders are out."""
    ledger = available()
    put(ledger, element(ledger, "item-003"), ledger_id=CHARLIE, seller=org("charlie"), quote_id="quo_1")
    send(ledger, "release_order", ordering(ledger), "b_bus")
    send(ledger, "release_order", ordering(ledger, **CHARLIES), "b_bus")
    return ledger


def accepted_by_one():
    ledger = of_two_sellers()
    send(ledger, "record_order_answer", answered(ledger), "b_bus")
    return ledger


def of_charlie(ledger, answer="accepted"):
    return answered(ledger, answer, **CHARLIES, order_id=element(ledger, "item-003").order_id)


@pytest.mark.req("O-22")
def test_each_seller_has_an_order_by_its_own_quote():
    ledger = of_two_sellers()
    bought = [element(ledger, name) for name in ("item-002", "item-003")]
    released = [ledger.the(RELEASE, one.order_release_id) for one in bought]
    assert [(one.ledger_id, released_command(one).quote_id) for one in released] == [
        (BRAVO, "quo_0"),
        (CHARLIE, "quo_1"),
    ]
    assert len({one.order_id for one in bought}) == 2


@pytest.mark.req("O-25", "O-26", "O-27", "O-30")
def test_an_order_that_one_of_two_sellers_has_accepted_is_neither_answered_nor_begun():
    ledger = accepted_by_one()
    handover_id = the_handover(ledger).id
    assert (the_handover(ledger).status, statuses(ledger)) == (
        "ordering_external",
        ["accepted", "quoted_external", "available"],
    )
    answer = o.ReleaseOrderAnswer(order_handover_id=handover_id, salt=SALT)
    assert refusal_of(ledger, "release_order_answer", answer, "s_bus") == (WrongStatus, "status")
    refused = refusal_of(ledger, "request_activation", requesting(ledger), "sco")
    assert refused == (NotAccepted, "order_handover_id")
    send(ledger, "record_order_answer", of_charlie(ledger), "b_bus")
    assert the_handover(ledger).status == "accepted"
    send(ledger, "release_order_answer", answer, "s_bus")


@pytest.mark.req("O-29", "X-15", "D-40")
def test_one_of_two_sellers_that_rejects_has_the_others_order_cancelled():
    ledger = accepted_by_one()
    send(ledger, "record_order_answer", of_charlie(ledger, "rejected"), "b_bus")
    assert the_handover(ledger).status == "to_reject"
    assert statuses(ledger) == ["cancelling", "rejected", "releasing"]
    first = of_two_sellers()
    send(first, "record_order_answer", of_charlie(first, "rejected"), "b_bus")
    assert statuses(first) == ["cancelling", "rejected", "releasing"]  # though it has no answer yet


@pytest.mark.req("O-29", "O-31", "X-15", "D-40")
def test_one_of_two_sellers_that_is_silent_has_the_others_order_cancelled():
    ledger = accepted_by_one()
    ledger.advance(the_handover(ledger).accept_by_ms + 1)
    assert (the_handover(ledger).status, the_handover(ledger).reason) == ("rejected", "TIMEOUT")
    assert statuses(ledger) == ["cancelling", "cancelling", "releasing"]


def test_an_order_that_was_not_taken_is_a_rejection_without_an_order():
    ledger = ordered()
    send(ledger, "record_order_answer", answered(ledger, "rejected", order_id=""), "b_bus")
    assert the_handover(ledger).status == "to_reject"


def test_invalid_answers_of_sellers():
    ledger = available()

    def refused(ledger, answer="accepted", **changes):
        return refusal_of(ledger, "record_order_answer", answered(ledger, answer, **changes), "b_bus")

    assert refused(ledger, order_handover_id=NOBODY) == (OrderHandoverUnknown, "order_handover_id")
    assert refused(ledger, quote_id="quo_9") == (OrderForeign, "quote_id")
    assert refused(ledger) == (o.NotOrdered, "order_id")
    ledger = ordered()
    assert refused(ledger, order_id="ord_other") == (o.NotOrdered, "order_id")
    assert refused(ledger, activate_by_ms=0) == (o.AnswerUnclear, "activate_by_ms")
    assert refused(ledger, service_id="") == (o.AnswerUnclear, "activate_by_ms")
    assert refused(ledger, "rejected", activate_by_ms=5) == (o.AnswerUnclear, "activate_by_ms")
    assert refused(ledger, activate_by_ms=2**60) == (TimeOutOfRange, "activate_by_ms")
    send(ledger, "record_order_answer", answered(ledger), "b_bus")
    assert refused(ledger) == (OrderForeign, "quote_id")


# The answer


@pytest.mark.req("O-28", "O-30")
def test_an_accepted_order_is_answered_with_the_acceptance_once():
    ledger = accepted()
    command = o.ReleaseOrderAnswer(order_handover_id=the_handover(ledger).id, salt=SALT)
    send(ledger, "release_order_answer", command, "s_bus")
    release = release_of(ledger, "accept_order")
    assert released_command(release) == AcceptOrder(order_id="ord_up", release=release.sha256)
    assert (release.ledger_id, release.role) == (UPSTREAM, "s_bus")
    assert refusal_of(ledger, "release_order_answer", command, "s_bus") == (AlreadyReleased, "order_handover_id")


@pytest.mark.req("O-20", "O-29")
def test_a_rejected_order_is_answered_with_the_rejection():
    ledger = handed_over()
    send(ledger, "answer_availability", answering(ledger, "rejected"), "sof")
    command = o.ReleaseOrderAnswer(order_handover_id=the_handover(ledger).id, salt=SALT)
    send(ledger, "release_order_answer", command, "s_bus")
    release = release_of(ledger, "reject_order")
    assert released_command(release) == RejectOrder(
        order_id="ord_up", reason="ELEMENT_REJECTED", release=release.sha256
    )


@pytest.mark.req("O-26", "O-30")
@pytest.mark.parametrize("state", [handed_over, available, ordered, in_delivery, activated])
def test_invalid_answer_to_an_order_that_is_not_decided(state):
    ledger = state()
    command = o.ReleaseOrderAnswer(order_handover_id=the_handover(ledger).id, salt=SALT)
    assert refusal_of(ledger, "release_order_answer", command, "s_bus") == (WrongStatus, "status")


def test_invalid_answer_without_its_order_or_salt():
    ledger = accepted()
    nobody = o.ReleaseOrderAnswer(order_handover_id=NOBODY, salt=SALT)
    assert refusal_of(ledger, "release_order_answer", nobody, "s_bus")[0] is OrderHandoverUnknown
    unsalted = o.ReleaseOrderAnswer(order_handover_id=the_handover(ledger).id, salt=b"")
    assert refusal_of(ledger, "release_order_answer", unsalted, "s_bus") == (SaltInvalid, "salt")


# What the order is on its own ledger


@pytest.mark.req("O-29", "O-31", "X-16")
@pytest.mark.parametrize("state", [handed_over, available, ordered])
def test_the_acceptance_windows_end_rejects_what_is_not_decided(state):
    ledger = state()
    end = the_handover(ledger).accept_by_ms
    ledger.advance(end)
    assert the_handover(ledger).status in ("checking_internal", "ordering_external")
    ledger.advance(end + 1)
    handover = the_handover(ledger)
    assert (handover.status, handover.reason, handover.ended_at_ms) == ("rejected", "TIMEOUT", end)
    assert statuses(ledger)[2] == "releasing"
    assert set(statuses(ledger)[:2]) == {"cancelling" if state is ordered else "cancelled"}


@pytest.mark.req("O-31", "X-16")
def test_an_acceptance_that_came_too_late_is_a_rejection_and_gives_all_back():
    ledger = accepted()
    send(ledger, "record_upstream", upstream(ledger, "rejected", reason="timeout"), "s_bus")
    assert (the_handover(ledger).status, the_handover(ledger).reason) == ("rejected", "timeout")
    assert statuses(ledger) == ["cancelling", "cancelling", "releasing"]


def test_the_acceptance_tells_the_window_and_starts_nothing_by_itself():
    ledger = accepted_upstream()
    handover = the_handover(ledger)
    assert (handover.status, handover.service_id, handover.activate_by_ms > 0) == ("accepted", "svc_up", True)
    news = upstream(ledger, "accepted", activate_by_ms=5, service_id="svc_up")
    assert refusal_of(ledger, "record_upstream", news, "s_bus") == (NothingNew, "status")


def test_an_order_that_a_person_accepted_though_it_was_to_be_rejected_is_s_bus_to_decide():
    ledger = handed_over()
    send(ledger, "answer_availability", answering(ledger, "rejected"), "sof")
    send(ledger, "record_upstream", upstream(ledger, "accepted", activate_by_ms=ledger.time_ms + 9_000), "s_bus")
    assert (the_handover(ledger).status, the_handover(ledger).reason) == ("overdue", "ACCEPTED_BY_HAND")


@pytest.mark.req("D-23")
def test_the_activation_puts_the_service_into_the_inventory():
    ledger = activated()
    service = ledger.the(INVENTORY_SERVICE)
    assert the_handover(ledger).status == "activated"
    assert (service.status, service.service_id, service.buyer) == ("in_operation", "svc_up", org("acme"))
    assert [(one.source, one.service_id, one.reservation_id) for one in service.elements] == [
        ("external", "svc_down", ""),
        ("external", "svc_down", ""),
        ("internal", "", "res_1"),
    ]


def to_reject():
    ledger = handed_over()
    send(ledger, "answer_availability", answering(ledger, "rejected"), "sof")
    return ledger


@pytest.mark.req("D-38", "D-40", "X-15")
@pytest.mark.parametrize(
    ("state", "left"),
    [
        (handed_over, ("cancelled", "cancelled", "releasing")),
        (available, ("cancelled", "cancelled", "releasing")),
        (to_reject, ("cancelled", "cancelled", "rejected")),
        (ordered, ("cancelling", "cancelling", "releasing")),
        # What sellers are at goes on.
        (accepted, ("accepted", "accepted", "releasing")),
        (in_recovery, ("activating", "activating", "releasing")),
        (abandoned, ("activating", "activating", "activated")),
        (to_fail, ("cancelling", "cancelling", "releasing")),
    ],
)
def test_what_was_not_begun_when_a_person_activates_by_hand_is_neither_held_nor_bought(state, left):
    ledger = state()
    send(ledger, "record_upstream", upstream(ledger, "activated", service_id="svc_up"), "s_bus")
    assert the_handover(ledger).status == "activated"
    assert tuple(statuses(ledger)) == left
    service = ledger.the(INVENTORY_SERVICE)
    assert [one.element_id for one in service.elements] == [
        element(ledger, name).id for name in ("item-002", "item-003", "item-001")
    ]


@pytest.mark.req("D-23")
@pytest.mark.parametrize(
    "state", [handed_over, available, ordered, accepted, in_delivery, passed_test, overdue, to_fail]
)
def test_a_person_who_activates_an_order_by_hand_is_followed_wherever_it_is_here(state):
    ledger = state()
    send(ledger, "record_upstream", upstream(ledger, "activated", service_id="svc_up"), "s_bus")
    assert (the_handover(ledger).status, the_handover(ledger).service_id) == ("activated", "svc_up")
    assert ledger.the(INVENTORY_SERVICE).status == "in_operation"
    again = upstream(ledger, "activated", service_id="svc_up")
    assert refusal_of(ledger, "record_upstream", again, "s_bus") == (NothingNew, "status")


@pytest.mark.req("D-23")
def test_what_was_given_up_here_and_is_activated_out_there_is_in_the_inventory():
    ledger = available()
    ledger.advance(the_handover(ledger).accept_by_ms + 1)
    assert the_handover(ledger).status == "rejected"
    before = statuses(ledger)
    send(ledger, "record_upstream", upstream(ledger, "activated", service_id="svc_up"), "s_bus")
    assert (the_handover(ledger).status, the_handover(ledger).service_id) == ("activated", "svc_up")
    assert [part.item_ids for part in ledger.the(INVENTORY_SERVICE).elements] == [
        ("item-002",),
        ("item-003",),
        ("item-001",),
    ]
    assert statuses(ledger) == before == ["cancelled", "cancelled", "releasing"]


@pytest.mark.req("D-40")
@pytest.mark.parametrize(
    "state", [handed_over, available, ordered, accepted, in_delivery, passed_test, overdue, to_fail]
)
@pytest.mark.parametrize("status", ["cancelled", "failed"])
def test_whatever_ends_an_order_out_there_ends_it_here_and_holds_nothing(state, status):
    ledger = state()
    send(ledger, "record_upstream", upstream(ledger, status, reason="NO_LONGER_NEEDED"), "s_bus")
    assert the_handover(ledger).status == status
    assert set(statuses(ledger)) <= {"cancelled", "cancelling", "releasing"}
    assert refusal_of(ledger, "record_upstream", upstream(ledger, status), "s_bus") == (NothingNew, "status")


def test_invalid_news_of_an_order():
    ledger = handed_over()
    assert refusal_of(ledger, "record_upstream", upstream(ledger, "failed", order_handover_id=NOBODY), "s_bus")[0] is (
        OrderHandoverUnknown
    )
    late = upstream(ledger, "accepted", activate_by_ms=-1)
    assert refusal_of(ledger, "record_upstream", late, "s_bus") == (TimeOutOfRange, "activate_by_ms")
    for status in ("accepted", "overdue"):
        assert refusal_of(ledger, "record_upstream", upstream(ledger, status), "s_bus") == (WrongStatus, "status")
    ledger = overdue()
    assert refusal_of(ledger, "record_upstream", upstream(ledger, "overdue"), "s_bus") == (NothingNew, "status")
    assert refusal_of(ledger, "record_upstream", upstream(ledger, "rejected"), "s_bus") == (WrongStatus, "status")


def test_an_order_is_found_by_its_status_and_what_it_is_related_to():
    ledger = ordered()
    handover = the_handover(ledger)
    for term, value in (("status", HandoverStatus.ORDERING_EXTERNAL), ("related", "ord_up"), ("party", org("acme"))):
        assert ledger.find(ORDER_HANDOVER, term, value, 2) == (handover,)
    bought = element(ledger, "item-002")
    assert bought in ledger.find(SERVICE_ELEMENT, "related", bought.order_id, 5)


def test_a_cancelled_element_whose_order_is_on_its_way_waits_for_it():
    ledger = ordered()
    send(ledger, "record_upstream", upstream(ledger, "cancelled"), "s_bus")
    assert statuses(ledger)[:2] == ["cancelling", "cancelling"]
    carry(ledger, element(ledger, "item-002").order_release_id)
    assert ledger.the(RELEASE, element(ledger, "item-002").order_release_id).status == "carried"
