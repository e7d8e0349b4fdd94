"""Stranded services inside: one attempt at a time to end what nobody needs, and nothing asked for what is needed."""

import pytest

from smartcontracts.delivery import CancelOrder
from smartcontracts.inquiry import LineageKeyInvalid
from smartcontracts.internal import stranded as s
from smartcontracts.internal.elements import AlreadyReleased, NothingNew, OrderForeign
from smartcontracts.internal.inventory import INVENTORY_SERVICE, InventoryElement, InventoryService, InventoryStatus
from smartcontracts.internal.recovery import RecordCancellation, RecordSurfaced
from smartcontracts.internal.release import RELEASE, SaltInvalid, released_command
from smartcontracts.kernel import RoleMissing, WrongStatus
from smartcontracts.lineage import pseudonym
from smartcontracts.money import Money
from smartcontracts.order import PlaceOrder
from smartcontracts.quote import Quote, QuoteItem
from smartcontracts.trade import Change, ChangeKind, QuoteLevel, ReasonInvalid, TimeOutOfRange
from tests.smartcontracts.internal.deals import (
    BRAVO,
    SALT,
    carry,
    element,
    in_delivery,
    put,
    refusal_of,
    send,
    to_fail,
)
from tests.smartcontracts.support import org

KEY = bytes(range(32))
HOUR_MS = 3_600_000
PORTS = ("item-002", "item-003")
ASK, ORDER = "release_termination_inquiry", "release_termination_order"
CANCEL, FAIL = "release_termination_cancellation", "record_termination_failure"


def stranded_ports(*names):
    """Both ports were bought by one order, which could not be cancelled any more."""
    ledger = to_fail()
    for name in names or PORTS:
        strand(ledger, name)
    return ledger


def strand(ledger, name):
    send(
        ledger,
        "record_cancellation",
        RecordCancellation(element_id=element(ledger, name).id, outcome="stranded"),
        "b_bus",
    )


def ended(ledger, name):
    send(
        ledger, "record_cancellation", RecordCancellation(element_id=element(ledger, name).id, outcome="ended"), "b_bus"
    )


def asking(ledger, **changes):
    port = element(ledger, "item-002")
    given = {
        "ledger_id": BRAVO,
        "order_id": port.order_id,
        "service_id": port.service_id,
        "agreement_id": "agr_bravo",
        "lineage_key": KEY,
        "salt": SALT,
    }
    return s.ReleaseTerminationInquiry(**(given | changes))


def the(ledger):
    return ledger.the(s.STRANDED_SERVICE)


def asked(*names):
    ledger = stranded_ports(*names)
    send(ledger, ASK, asking(ledger), "b_bus")
    return ledger


def quote(ledger, **changes):
    given = {
        "id": "quo_end",
        "inquiry_id": the(ledger).inquiry_id,
        "buyer": org("alpha"),
        "seller": the(ledger).seller,
        "agreement_id": "agr_bravo",
        "level": QuoteLevel.FIRM,
        "issued_at_ms": ledger.time_ms,
        "valid_until_ms": ledger.time_ms + HOUR_MS,
        "items": tuple(QuoteItem(id=name, prices=(), installation_interval_ms=0) for name in PORTS),
        "one_time_total": Money(0, "EUR"),
        "term_total": Money(0, "EUR"),
        "list_total": Money(0, "EUR"),
        "late": False,
    }
    return Quote(**(given | changes))


def ordering(ledger, **changes):
    given = {
        "stranded_service_id": the(ledger).id,
        "quote": quote(ledger),
        "acceptance_window_ms": HOUR_MS,
        "activation_window_ms": 2 * HOUR_MS,
        "salt": SALT,
    }
    return s.ReleaseTerminationOrder(**(given | changes))


def ordered():
    ledger = asked()
    carry(ledger, the(ledger).inquiry_release_id)
    send(ledger, ORDER, ordering(ledger), "b_bus")
    return ledger


def failing(ledger, **changes):
    given = {
        "stranded_service_id": the(ledger).id,
        "attempt": the(ledger).attempt,
        "reason": "SILENT",
        "again_at_ms": ledger.time_ms + HOUR_MS,
    }
    return s.RecordTerminationFailure(**(given | changes))


def cancelling(ledger, **changes):
    given = {"stranded_service_id": the(ledger).id, "salt": SALT}
    return s.ReleaseTerminationCancellation(**(given | changes))


def failed():
    ledger = asked()
    carry(ledger, the(ledger).inquiry_release_id)
    send(ledger, FAIL, failing(ledger), "b_bus")
    return ledger


@pytest.mark.req("X-27", "X-63")
def test_the_end_of_all_that_one_order_bought_is_asked_for_at_once():
    ledger = asked()
    release = last(ledger, "submit_inquiry")
    inquiry = released_command(release)
    assert [(item.id, item.action) for item in inquiry.items] == [(name, "delete") for name in PORTS]
    assert [item.product for item in inquiry.items] == [element(ledger, name).product for name in PORTS]
    assert inquiry.change == Change(service_id=element(ledger, "item-002").service_id, kind=ChangeKind.TERMINATION)
    assert inquiry.ancestors == (pseudonym(KEY, org("alpha")),)  # no buyer of ours stands behind it
    assert (release.subject_kind, release.subject_id, release.ledger_id) == ("stranded_service", the(ledger).id, BRAVO)
    assert (the(ledger).status, the(ledger).attempt) == ("asking", 1)


def last(ledger, act):
    """The newest release of an act."""
    return max((one for one in ledger.all(RELEASE) if one.act == act), key=lambda one: one.released_at_ms)


@pytest.mark.req("X-27")
def test_invalid_inquiries_for_an_end():
    ledger = stranded_ports()

    def refused(**changes):
        return refusal_of(ledger, ASK, asking(ledger, **changes), "b_bus")

    for changes in ({"order_id": ""}, {"order_id": "ord_9"}, {"ledger_id": "sg_9"}):
        assert refused(**changes) == (OrderForeign, "order_id")
    for service_id in ("", "svc_9"):
        assert refused(service_id=service_id) == (OrderForeign, "service_id")
    assert refused(lineage_key=b"short") == (LineageKeyInvalid, "lineage_key")
    assert refused(salt=b"") == (SaltInvalid, "salt")
    assert refusal_of(ledger, ASK, asking(ledger), "sco")[0] is RoleMissing
    living = in_delivery()
    assert refusal_of(living, ASK, asking(living), "b_bus") == (WrongStatus, "status")


@pytest.mark.req("X-27")
def test_nothing_that_is_needed_is_ended():
    ledger = stranded_ports("item-002")
    assert refusal_of(ledger, ASK, asking(ledger), "b_bus") == (s.ServiceNeeded, "order_id")
    strand(ledger, "item-003")
    port = element(ledger, "item-003")
    holding = InventoryService(
        id="isv_1",
        order_handover_id="oho_1",
        ledger_id="sg_up",
        order_id="ord_1",
        service_id="svc_up",
        buyer=org("acme"),
        agreement_id="agr_up",
        elements=(InventoryElement.of(port),),
        in_operation_since_ms=1,
    )
    ledger.write(holding)
    assert refusal_of(ledger, ASK, asking(ledger), "b_bus") == (s.ServiceNeeded, "service_id")
    put(ledger, ledger.the(INVENTORY_SERVICE), status=InventoryStatus.TERMINATED)
    send(ledger, ASK, asking(ledger), "b_bus")


@pytest.mark.req("X-27")
def test_what_a_seller_has_changed_is_part_of_a_service_in_operation_and_not_ended():
    ledger = to_fail()
    for name in PORTS:
        put(ledger, element(ledger, name), changes="svc_running")
        strand(ledger, name)
    assert refusal_of(ledger, ASK, asking(ledger), "b_bus") == (s.ServiceNeeded, "order_id")
    ended(ledger, "item-002")
    assert element(ledger, "item-002").status == "cancelled"


@pytest.mark.req("X-27")
def test_one_attempt_is_made_at_a_time_and_the_next_after_its_pause():
    ledger = asked()
    assert refusal_of(ledger, ASK, asking(ledger), "b_bus") == (WrongStatus, "status")
    carry(ledger, the(ledger).inquiry_release_id)
    again_ms = ledger.time_ms + HOUR_MS
    send(ledger, FAIL, failing(ledger, again_at_ms=again_ms), "b_bus")
    assert (the(ledger).status, the(ledger).reason, the(ledger).again_at_ms) == ("waiting", "SILENT", again_ms)
    first = the(ledger)
    assert refusal_of(ledger, ASK, asking(ledger), "b_bus", again_ms - 1) == (s.AskedTooEarly, "order_id")
    send(ledger, ASK, asking(ledger), "b_bus", again_ms)
    assert (the(ledger).status, the(ledger).attempt, the(ledger).reason) == ("asking", 2, "SILENT")
    assert the(ledger).inquiry_id != first.inquiry_id
    assert the(ledger).found_at_ms == first.found_at_ms


@pytest.mark.req("X-27", "X-63")
def test_the_end_is_ordered_as_it_is_quoted():
    ledger = ordered()
    release = last(ledger, "place_order")
    assert released_command(release) == PlaceOrder(
        quote_id="quo_end",
        acceptance_window_ms=HOUR_MS,
        activation_window_ms=2 * HOUR_MS,
        change=Change(service_id=the(ledger).service_id, kind=ChangeKind.TERMINATION),
        release=release.sha256,
    )
    assert (the(ledger).status, the(ledger).order_release_id) == ("ordering", release.id)
    assert the(ledger).quote == quote(
        ledger, issued_at_ms=the(ledger).quote.issued_at_ms, valid_until_ms=the(ledger).quote.valid_until_ms
    )


def test_invalid_orders_of_an_end():
    ledger = asked()

    def refused(**changes):
        return refusal_of(ledger, ORDER, ordering(ledger, **changes), "b_bus")

    assert refused(stranded_service_id="sts_9") == (s.StrandedServiceUnknown, "stranded_service_id")
    for wrong in (quote(ledger, inquiry_id="inq_9"), quote(ledger, seller=org("charlie"))):
        assert refused(quote=wrong) == (s.QuoteNotTheAnswer, "quote.inquiry_id")
    assert refused(salt=b"") == (SaltInvalid, "salt")
    send(ledger, ORDER, ordering(ledger), "b_bus")
    assert refused() == (WrongStatus, "status")


@pytest.mark.req("X-27")
def test_an_order_that_is_late_is_taken_back_once():
    ledger = ordered()
    assert refusal_of(ledger, CANCEL, cancelling(ledger), "b_bus") == (s.AttemptUnderWay, "stranded_service_id")
    carry(ledger, the(ledger).order_release_id)
    nobody = cancelling(ledger, stranded_service_id="sts_9")
    assert refusal_of(ledger, CANCEL, nobody, "b_bus") == (s.StrandedServiceUnknown, "stranded_service_id")
    assert refusal_of(ledger, CANCEL, cancelling(ledger, salt=b""), "b_bus") == (SaltInvalid, "salt")
    send(ledger, CANCEL, cancelling(ledger), "b_bus")
    release = last(ledger, "cancel_order")
    assert released_command(release) == CancelOrder(
        order_id=the(ledger).termination_order_id, reason="NO_LONGER_NEEDED", release=release.sha256
    )
    assert refusal_of(ledger, CANCEL, cancelling(ledger), "b_bus") == (AlreadyReleased, "stranded_service_id")
    assert refusal_of(ledger, FAIL, failing(ledger), "b_bus") == (s.AttemptUnderWay, "stranded_service_id")
    carry(ledger, release.id)
    send(ledger, FAIL, failing(ledger), "b_bus")
    assert refusal_of(ledger, CANCEL, cancelling(ledger), "b_bus") == (WrongStatus, "status")


@pytest.mark.req("X-27", "C-11")
def test_an_order_that_is_late_again_is_taken_back_after_its_ledger_refused_that_before():
    ledger = ordered()
    carry(ledger, the(ledger).order_release_id)
    send(ledger, CANCEL, cancelling(ledger), "b_bus")
    first = the(ledger).cancel_release_id
    carry(ledger, first, refusal_code=3405, refusal_name="CHANGE_STARTED")
    send(ledger, CANCEL, cancelling(ledger), "b_bus")
    assert the(ledger).cancel_release_id not in ("", first)
    assert refusal_of(ledger, CANCEL, cancelling(ledger), "b_bus") == (AlreadyReleased, "stranded_service_id")


def test_invalid_failures():
    ledger = asked()

    def refused(**changes):
        return refusal_of(ledger, FAIL, failing(ledger, **changes), "b_bus")

    assert refused(stranded_service_id="sts_9") == (s.StrandedServiceUnknown, "stranded_service_id")
    assert refused(attempt=2) == (NothingNew, "attempt")
    assert refused() == (s.AttemptUnderWay, "stranded_service_id")
    carry(ledger, the(ledger).inquiry_release_id)
    assert refused(reason="silent") == (ReasonInvalid, "reason")
    assert refused(again_at_ms=-1) == (TimeOutOfRange, "again_at_ms")
    send(ledger, FAIL, failing(ledger), "b_bus")
    assert refused() == (WrongStatus, "status")


@pytest.mark.req("D-40", "X-27")
@pytest.mark.parametrize("state", [asked, failed, ordered])
def test_the_elements_are_at_their_end_when_the_service_is(state):
    ledger = state()
    ended(ledger, "item-002")
    assert (the(ledger).status, the(ledger).ended_at_ms) == ("ended", ledger.time_ms)
    # What was on its way out needs nobody any more.
    assert not [one for one in ledger.all(RELEASE) if one.subject_id == the(ledger).id and one.status == "open"]
    ended(ledger, "item-003")
    assert [element(ledger, name).status.value for name in PORTS] == ["cancelled", "cancelled"]
    assert refusal_of(ledger, ASK, asking(ledger), "b_bus") == (WrongStatus, "status")


def test_an_element_that_was_replaced_before_ends_as_such_also_without_any_attempt():
    ledger = to_fail()
    put(ledger, element(ledger, "item-002"), replaced_by="sel_other")
    strand(ledger, "item-002")
    ended(ledger, "item-002")
    assert element(ledger, "item-002").status == "replaced"
    assert ledger.all(s.STRANDED_SERVICE) == ()


def test_every_open_attempt_can_end_and_an_ended_one_stays_so():
    for status in s.StrandedStatus:
        assert ((status, "end") in s.LIFECYCLE) == (status != "ended")
    assert not [event for status, event in s.LIFECYCLE if status == "ended"]


@pytest.mark.req("D-40")
def test_an_order_that_shows_after_its_attempt_was_given_up_is_the_attempt_under_way():
    for again in (False, True):
        ledger = asked()
        carry(ledger, the(ledger).inquiry_release_id, outcome_id=the(ledger).inquiry_id)
        send(ledger, ORDER, ordering(ledger), "b_bus")
        first = the(ledger)
        surfaced = RecordSurfaced(release_id=first.order_release_id)
        assert refusal_of(ledger, "record_surfaced", surfaced, "b_bus")[0] is NothingNew
        carry(ledger, first.order_release_id, refusal_code=3113, refusal_name="QUOTE_EXPIRED")
        assert refusal_of(ledger, "record_surfaced", surfaced, "b_bus") == (WrongStatus, "status")
        send(ledger, FAIL, failing(ledger), "b_bus")
        if again:
            ledger.advance(the(ledger).again_at_ms)
            send(ledger, ASK, asking(ledger), "b_bus")
        send(ledger, "record_surfaced", surfaced, "b_bus")
        now = the(ledger)
        assert (now.status, now.termination_order_id, now.again_at_ms) == ("ordering", first.termination_order_id, 0)
        assert (now.order_release_id, now.cancel_release_id) == (first.order_release_id, "")
        assert ledger.the(RELEASE, first.order_release_id).outcome_id == first.termination_order_id
        send(ledger, CANCEL, cancelling(ledger), "b_bus")
