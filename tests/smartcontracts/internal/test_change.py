"""Changes inside: nothing starts before buyer and sellers agree on a window, each seller's inside the buyer's, and outcomes are kept."""

from dataclasses import replace

import pytest

from smartcontracts.change import (
    AgreeMaintenance,
    DeclineMaintenance,
    EndChange,
    HastenChange,
    ProposeMaintenance,
    StartChange,
)
from smartcontracts.internal import change as c
from smartcontracts.internal.decomposition import NotReusable, ReuseQuote
from smartcontracts.internal.delivery import ChangeNotBegun, ReleaseActivation
from smartcontracts.internal.elements import (
    ELEMENTS_MAX,
    ORDER_HANDOVER,
    SERVICE_ELEMENT,
    AlreadyReleased,
    HandoverStatus,
    NothingNew,
    OrderedChange,
)
from smartcontracts.internal.handover import INQUIRY_HANDOVER
from smartcontracts.internal.handover import HandoverStatus as InquiryStatus
from smartcontracts.internal.inventory import (
    INVENTORY_SERVICE,
    InventoryElement,
    InventoryService,
    InventoryStatus,
    RecordTermination,
    TerminationUnderWay,
    inventory_id_of,
)
from smartcontracts.internal.recovery import ChangedElsewhere
from smartcontracts.internal.release import RELEASE, RecordCarried, ReleaseStatus, SaltInvalid, released_command
from smartcontracts.kernel import RoleMissing, WrongStatus
from smartcontracts.service import ChangeStatus, MaintenanceWindow, ServiceChange
from smartcontracts.trade import Change, ChangeKind, ChangeMethod, Outage, WindowTooShort
from tests.smartcontracts.internal.deals import (
    ACTIVATE_MS,
    BRAVO,
    SALT,
    UPSTREAM,
    accepted_upstream,
    available,
    carry,
    deciding,
    element,
    handing,
    in_delivery,
    in_recovery,
    ordering,
    passed_test,
    quoted,
    refusal_of,
    release_of,
    requesting,
    send,
    the_handover,
)
from tests.smartcontracts.internal.inquiries import NOW
from tests.smartcontracts.support import org

OUTAGE_MS = 1_000
DOWN = "chg_down"
SOON_MS = NOW + 60_000


def put(ledger, record, **changes):
    """A document as it might stand, whatever stood there: what else would take a long history."""
    ledger._documents[ledger.table.kind_of(record).name].pop(record.id, None)
    ledger.write(replace(record, **changes))


def service_change(status="accepted", **changes):
    """The change on the buyer's ledger."""
    given = {
        "id": "chg_up",
        "order_id": "ord_up",
        "service_id": "svc_up",
        "buyer": org("acme"),
        "seller": org("alpha"),
        "agreement_id": "agr_up",
        "kind": ChangeKind.PARAMETER,
        "outage": Outage.YES,
        "outage_ms": OUTAGE_MS,
        "method": ChangeMethod.RECONFIGURE,
        "implement_at_ms": 0,
        "ordered_at_ms": 1,
    }
    return ServiceChange(status=ChangeStatus(status), **(given | changes))


def down_change(ledger, status="accepted", **changes):
    """The change that bravo makes for it."""
    given = {
        "id": DOWN,
        "order_id": element(ledger, "item-002").order_id,
        "service_id": "svc_down",
        "buyer": org("alpha"),
        "seller": org("bravo"),
        "agreement_id": "agr_down",
    }
    return service_change(status, **(given | changes))


def window(ledger, from_ms=10_000, until_ms=20_000, by="alpha", agreed="", declined=""):
    """Relative to an instant that is soon."""
    now = SOON_MS
    return MaintenanceWindow(
        from_ms=now + from_ms,
        until_ms=now + until_ms,
        proposed_by=org(by),
        agreed_by=org(agreed) if agreed else "",
        declined_reason=declined,
    )


def planned(**changes):
    """The order of a change is accepted on the buyer's ledger; the ports are bravo's to change, the line is our own."""
    ledger = accepted_upstream()
    handover = the_handover(ledger)
    change = service_change(**changes)
    put(
        ledger,
        handover,
        change=OrderedChange(
            change_id=change.id,
            service_id=change.service_id,
            kind=change.kind,
            outage=change.outage,
            outage_ms=change.outage_ms,
            implement_at_ms=change.implement_at_ms,
            inventory_service_id="isv_1",
        ),
    )
    for name in ("item-001", "item-002", "item-003"):
        one = element(ledger, name)
        put(ledger, one, changes="res_old" if name == "item-001" else "svc_down")
    ledger.write(
        c.ChangePlan(
            id=c.plan_id_of(handover.id),
            order_handover_id=handover.id,
            ledger_id=UPSTREAM,
            change=change,
            planned_at_ms=1,
        )
    )
    return ledger


def plan(ledger):
    return ledger.the(c.CHANGE_PLAN)


def mirror(ledger, change, ledger_id=UPSTREAM, **changes):
    return c.MirrorChange(**({"plan_id": plan(ledger).id, "ledger_id": ledger_id, "change": change} | changes))


def mirror_up(ledger, status, **changes):
    send(ledger, "mirror_change", mirror(ledger, service_change(status, **changes)), "s_bus")
    return ledger


def mirror_down(ledger, status="accepted", **changes):
    send(ledger, "mirror_change", mirror(ledger, down_change(ledger, status, **changes), BRAVO), "b_bus")
    return ledger


def saying(ledger, act="propose", down=False, **changes):
    given = {
        "plan_id": plan(ledger).id,
        "ledger_id": BRAVO if down else UPSTREAM,
        "change_id": DOWN if down else "chg_up",
        "service_id": "svc_down" if down else "svc_up",
        "act": c.MaintenanceAct(act),
        "from_ms": SOON_MS + 10_000,
        "until_ms": SOON_MS + 20_000,
        "salt": SALT,
    }
    return c.ReleaseMaintenance(**(given | changes))


def starting(ledger, **changes):
    return c.ReleaseStart(**({"plan_id": plan(ledger).id, "salt": SALT} | changes))


def agreed(inner=(10_000, 20_000)):
    """Buyer and seller have agreed."""
    ledger = mirror_down(planned())
    mirror_up(ledger, "agreed", window=window(ledger, agreed="acme"))
    return mirror_down(ledger, "agreed", window=window(ledger, *inner, agreed="bravo"))


# Handover


def operated(**changes):
    ledger = quoted()
    given = {
        "id": "isv_1",
        "order_handover_id": "oho_before",
        "ledger_id": UPSTREAM,
        "order_id": "ord_before",
        "service_id": "svc_up",
        "buyer": org("acme"),
        "agreement_id": "agr_up",
        "elements": (),
        "in_operation_since_ms": 1,
    }
    ledger.write(InventoryService(**(given | changes)))
    return ledger


@pytest.mark.req("C-05", "C-06")
def test_the_order_of_a_change_is_handed_over_with_it_and_planned():
    ledger = operated()
    change = service_change("ordered", implement_at_ms=7)
    send(ledger, "hand_over_order", handing(ledger, change=change), "s_bus")
    handover = the_handover(ledger)
    assert (handover.service_id, handover.change.kind, handover.change.implement_at_ms) == ("svc_up", "parameter", 7)
    assert (handover.change.inventory_service_id, handover.change.begun_at_ms) == ("isv_1", 0)
    assert (plan(ledger).change, plan(ledger).status, plan(ledger).sellers) == (change, "planned", ())


def test_an_order_of_something_new_has_no_plan():
    ledger = quoted()
    send(ledger, "hand_over_order", handing(ledger), "s_bus")
    assert ledger.all(c.CHANGE_PLAN) == ()
    assert the_handover(ledger).change is None


@pytest.mark.req("C-06")
@pytest.mark.parametrize(
    ("service", "change"),
    [
        ({}, {"order_id": "ord_other"}),
        ({}, {"service_id": "svc_unknown"}),
        ({"ledger_id": BRAVO}, {}),
        ({"status": InventoryStatus.TERMINATED}, {}),
    ],
)
def test_invalid_handover_of_a_change_that_is_not_of_a_service_in_operation(service, change):
    ledger = operated(**service)
    command = handing(ledger, change=service_change("ordered", **change))
    assert refusal_of(ledger, "hand_over_order", command, "s_bus") == (c.ChangeNotOurs, "change.service_id")


@pytest.mark.parametrize(
    ("others", "status"), [(ELEMENTS_MAX - 3, "checking_internal"), (ELEMENTS_MAX - 2, "to_reject")]
)
def test_a_service_is_not_made_of_more_than_its_document_takes(others, status):
    ledger = operated()
    one = element(available(), "item-001")
    many = [replace(one, id=f"sel_{n}", element_id=f"more-{n}", order_handover_id="oho_before") for n in range(others)]
    for each in many:
        ledger.write(each)
    service = replace(ledger.the(INVENTORY_SERVICE), elements=tuple(InventoryElement.of(each) for each in many))
    put(ledger, service)
    send(ledger, "hand_over_order", handing(ledger, change=service_change("ordered")), "s_bus")
    assert the_handover(ledger).status == status
    assert the_handover(ledger).reason == ("" if status == "checking_internal" else "SERVICE_FULL")


@pytest.mark.req("C-05", "C-10")
def test_sellers_are_ordered_the_same_change_of_their_service_for_the_same_time():
    ledger = available()
    at_ms = ledger.time_ms + 500_000
    change = OrderedChange(
        change_id="chg_up",
        service_id="svc_up",
        kind=ChangeKind.QOS,
        outage=Outage.NO,
        outage_ms=0,
        implement_at_ms=at_ms,
        inventory_service_id="isv_1",
    )
    # When it is decided whether our buyer's order is accepted is past by then.
    put(ledger, the_handover(ledger), change=change, accept_by_ms=at_ms - 100_000)
    for name in ("item-002", "item-003"):
        put(ledger, element(ledger, name), changes="svc_down")
    send(ledger, "release_order", ordering(ledger), "b_bus")
    order = released_command(release_of(ledger, "place_order"))
    assert (order.change, order.implement_at_ms) == (Change(service_id="svc_down", kind=ChangeKind.QOS), at_ms)


def changing(ledger, *sellers, outage_ms=0, implement_at_ms=0):
    """The order is one of a change; each port is bought from its seller by a quote of its own."""
    change = OrderedChange(
        change_id="chg_up",
        service_id="svc_up",
        kind=ChangeKind.QOS,
        outage=Outage.YES if outage_ms else Outage.NO,
        outage_ms=outage_ms,
        implement_at_ms=implement_at_ms,
        inventory_service_id="isv_1",
    )
    put(ledger, the_handover(ledger), change=change)
    for place, name in enumerate(("item-002", "item-003")):
        put(ledger, element(ledger, name), changes=f"svc_{place}", quote_id=f"quo_{place}")
    return ledger


def let_out(ledger, quote_id):
    send(ledger, "release_order", ordering(ledger, quote_id=quote_id), "b_bus")
    (order,) = [
        one
        for one in (released_command(one) for one in ledger.all(RELEASE) if one.act == "place_order")
        if one.quote_id == quote_id
    ]
    return order


@pytest.mark.req("C-10", "X-15")
def test_of_several_sellers_none_makes_its_change_before_all_must_have_answered():
    ledger = changing(available())
    first = let_out(ledger, "quo_0")
    due_ms, now_ms = the_handover(ledger).answers_by_ms, ledger.time_ms
    assert first.implement_at_ms == due_ms + c.PLACED_WITHIN_MS
    assert first.acceptance_window_ms + c.PLACED_WITHIN_MS == due_ms - now_ms
    assert first.acceptance_window_ms == first.activation_window_ms // c.ACCEPTANCE_SHARE
    ledger.advance(ledger.time_ms + 30_000)
    second = let_out(ledger, "quo_1")
    assert (second.implement_at_ms, the_handover(ledger).answers_by_ms) == (first.implement_at_ms, due_ms)
    assert ledger.time_ms + second.acceptance_window_ms + c.PLACED_WITHIN_MS == due_ms
    ledger.advance(due_ms)
    assert the_handover(ledger).status == "ordering_external"
    ledger.advance(due_ms + 1)
    assert (the_handover(ledger).status, the_handover(ledger).reason) == ("to_reject", "TIMEOUT")
    assert {one.status.value for one in ledger.all(SERVICE_ELEMENT)} == {"releasing", "cancelling"}


def test_invalid_order_to_another_seller_of_a_change_when_no_time_is_left_for_its_answer():
    ledger = changing(available())
    let_out(ledger, "quo_0")
    ledger.advance(the_handover(ledger).answers_by_ms - c.PLACED_WITHIN_MS)
    refusal = refusal_of(ledger, "release_order", ordering(ledger, quote_id="quo_1"), "b_bus")
    assert refusal == (WindowTooShort, "order_handover_id")


@pytest.mark.req("C-10", "C-11")
def test_one_seller_does_not_begin_before_it_is_decided_whether_our_buyer_orders_if_there_is_time_for_that():
    for is_soon in (False, True):
        ledger = changing(available())
        for name in ("item-002", "item-003"):
            put(ledger, element(ledger, name), quote_id="quo_0", changes="svc_0")
        if is_soon:
            put(ledger, the_handover(ledger), accept_by_ms=ledger.time_ms + 900_000)
        order = let_out(ledger, "quo_0")
        decided_ms = the_handover(ledger).accept_by_ms + c.PLACED_WITHIN_MS
        quarter_ms = ledger.time_ms + order.activation_window_ms // 4
        assert order.implement_at_ms == (decided_ms if is_soon else quarter_ms)
        assert order.implement_at_ms == min(decided_ms, quarter_ms)
        assert the_handover(ledger).answers_by_ms == 0


@pytest.mark.req("C-10")
@pytest.mark.parametrize("in_ms", [-1_000, 1_000, c.PLACED_WITHIN_MS + 1_000])
def test_one_seller_is_told_the_ordered_time_unless_its_ledger_would_not_take_it_any_more(in_ms):
    ledger = available()
    at_ms = ledger.time_ms + in_ms
    changing(ledger, outage_ms=1_000, implement_at_ms=at_ms)
    for name in ("item-002", "item-003"):
        put(ledger, element(ledger, name), quote_id="quo_0", changes="svc_0")
    order = let_out(ledger, "quo_0")
    expected = 0 if in_ms < 0 else max(at_ms, ledger.time_ms + c.PLACED_WITHIN_MS)
    assert (order.implement_at_ms, the_handover(ledger).answers_by_ms) == (expected, 0)


@pytest.mark.req("C-08", "C-10", "X-17")
@pytest.mark.parametrize(
    ("outage_ms", "implement_in_ms", "status"),
    [
        (0, 0, "checking_internal"),
        (OUTAGE_MS, 0, "checking_internal"),
        (ACTIVATE_MS, 0, "checking_internal"),
        (ACTIVATE_MS + 1, 0, "to_reject"),
        (0, ACTIVATE_MS, "checking_internal"),
        (1, ACTIVATE_MS, "to_reject"),
    ],
)
def test_a_change_that_its_window_is_too_short_for_is_rejected_at_once(outage_ms, implement_in_ms, status):
    ledger = operated()
    at_ms = ledger.time_ms + 1 + implement_in_ms if implement_in_ms else 0
    outage = Outage.YES if outage_ms else Outage.NO
    change = service_change("ordered", outage=outage, outage_ms=outage_ms, implement_at_ms=at_ms)
    send(ledger, "hand_over_order", handing(ledger, change=change), "s_bus")
    assert the_handover(ledger).status == status
    assert the_handover(ledger).reason == ("" if status == "checking_internal" else "WINDOW_TOO_SHORT")


# In delivery


@pytest.mark.req("C-01", "X-61")
def test_a_change_of_a_service_in_delivery_is_planned_and_waits_for_it():
    ledger = in_delivery()
    first = the_handover(ledger)
    change = service_change("ordered", order_id="ord_change", outage=Outage.NO, outage_ms=0)
    send(ledger, "hand_over_order", handing(ledger, order_id="ord_change", change=change), "s_bus")
    (order,) = [one for one in ledger.all(ORDER_HANDOVER) if one.id != first.id]
    assert order.change.inventory_service_id == inventory_id_of(first.id)
    assert plan(ledger).awaits_delivery
    put(ledger, plan(ledger), status=c.PlanStatus.AGREED)
    put(ledger, order, status=HandoverStatus.ACCEPTED, activate_by_ms=first.activate_by_ms)
    refusal = refusal_of(ledger, "release_start", starting(ledger), "s_bus")
    assert refusal == (c.ServiceInDelivery, "plan_id")


# Mirroring


@pytest.mark.req("C-09", "X-62")
def test_consents_are_complete_when_buyer_and_every_seller_have_agreed():
    ledger = planned()
    mirror_up(ledger, "agreed", window=window(ledger, agreed="acme"))
    assert plan(ledger).status == "planned"
    mirror_down(ledger)
    assert plan(ledger).status == "planned"
    mirror_down(ledger, "agreeing", window=window(ledger))
    assert plan(ledger).status == "planned"
    mirror_down(ledger, "agreed", window=window(ledger, agreed="bravo"))
    assert plan(ledger).status == "agreed"


@pytest.mark.req("C-09")
@pytest.mark.parametrize("inner", [(9_999, 20_000), (10_000, 20_001), (0, 5_000)])
def test_a_sellers_window_outside_of_the_buyers_is_no_consent(inner):
    assert plan(agreed(inner)).status == "planned"


@pytest.mark.parametrize("inner", [(10_000, 20_000), (12_000, 13_000)])
def test_a_sellers_window_inside_of_the_buyers_is_one(inner):
    assert plan(agreed(inner)).status == "agreed"


def test_a_seller_without_an_outage_need_not_agree_but_must_have_accepted():
    ledger = planned()
    mirror_up(ledger, "agreed", window=window(ledger, agreed="acme"))
    mirror_down(ledger, "ordered", outage=Outage.NO, outage_ms=0)
    assert plan(ledger).status == "planned"
    mirror_down(ledger, "accepted", outage=Outage.NO, outage_ms=0)
    assert plan(ledger).status == "agreed"


def test_without_an_outage_acceptance_is_consent():
    ledger = planned(status="ordered", outage=Outage.NO, outage_ms=0)
    mirror_down(ledger, outage=Outage.NO, outage_ms=0)
    assert plan(ledger).status == "planned"
    mirror_up(ledger, "accepted", outage=Outage.NO, outage_ms=0)
    assert plan(ledger).status == "agreed"


def test_a_seller_that_is_done_need_not_agree_any_more():
    ledger = planned()
    mirror_up(ledger, "agreed", window=window(ledger, agreed="acme"))
    mirror_down(ledger, "done", outcome="done")
    assert plan(ledger).status == "agreed"


@pytest.mark.req("C-11")
@pytest.mark.parametrize("status", ["refused", "failed", "cancelled"])
def test_a_seller_that_gives_up_makes_the_order_one_to_decide_about(status):
    ledger = agreed()
    mirror_down(ledger, status, outcome=status)
    assert plan(ledger).status == "planned"
    assert (the_handover(ledger).status, the_handover(ledger).reason) == ("overdue", "SELLER_FAILED")


def test_a_seller_that_gives_up_after_the_start_is_the_deliverys_matter():
    ledger = agreed()
    mirror_up(ledger, "implementing", started_at_ms=77)
    mirror_down(ledger, "failed", outcome="failed")
    assert (plan(ledger).status, the_handover(ledger).status) == ("begun", "accepted")


@pytest.mark.req("C-09")
def test_another_window_opens_the_question_again():
    ledger = agreed()
    mirror_up(ledger, "agreeing", window=window(ledger, 30_000, 40_000, by="acme"))
    assert plan(ledger).status == "planned"


@pytest.mark.req("C-09", "C-11")
def test_the_start_on_the_buyers_ledger_lets_elements_be_activated():
    ledger = agreed()
    assert refusal_of(ledger, "request_activation", requesting(ledger), "sco") == (ChangeNotBegun, "order_handover_id")
    mirror_up(ledger, "implementing", started_at_ms=77, window=plan(ledger).change.window)
    assert (plan(ledger).status, the_handover(ledger).change.begun_at_ms) == ("begun", 77)
    send(ledger, "request_activation", requesting(ledger), "sco")
    assert the_handover(ledger).status == "in_delivery"


@pytest.mark.req("C-11")
@pytest.mark.parametrize(
    ("status", "end"),
    [("done", "done"), ("failed", "failed"), ("cancelled", "cancelled")],
)
def test_the_outcome_ends_the_plan_and_takes_back_what_is_not_out(status, end):
    ledger = agreed()
    ledger.advance(SOON_MS + 11_000)
    send(ledger, "release_start", starting(ledger), "s_bus")
    mirror_up(ledger, status, outcome=status)
    assert (plan(ledger).status, plan(ledger).change.outcome) == (end, status)
    assert release_of(ledger, "start_change").status == ReleaseStatus.VOID
    mirror_down(ledger, "cancelled", outcome="cancelled")
    assert (plan(ledger).status, plan(ledger).sellers[0].change.outcome) == (end, "cancelled")


@pytest.mark.req("C-11")
def test_a_refusal_ends_the_plan_before_anything_was_agreed_on_and_not_later():
    ledger = planned()
    mirror_up(ledger, "refused", outcome="refused")
    assert (plan(ledger).status, plan(ledger).change.outcome) == ("refused", "refused")
    ledger = agreed()
    refused = mirror(ledger, replace(plan(ledger).change, status="refused", outcome="refused"))
    assert refusal_of(ledger, "mirror_change", refused, "s_bus") == (WrongStatus, "status")


def test_invalid_mirroring_is_refused_in_order():
    ledger = planned()
    change = service_change("agreeing", window=window(ledger))
    wrong = mirror(ledger, change, plan_id="cpl_none")
    assert refusal_of(ledger, "mirror_change", wrong, "b_bus") == (c.ChangePlanUnknown, "plan_id")
    assert refusal_of(ledger, "mirror_change", mirror(ledger, change), "b_bus")[0] is RoleMissing
    down = mirror(ledger, down_change(ledger), BRAVO)
    assert refusal_of(ledger, "mirror_change", down, "s_bus")[0] is RoleMissing
    for other in ({"order_id": "ord_other"}, {"order_id": ""}):
        foreign = mirror(ledger, down_change(ledger, **other), BRAVO)
        assert refusal_of(ledger, "mirror_change", foreign, "b_bus") == (c.NeighbourUnknown, "change.order_id")
    same = mirror(ledger, service_change())
    assert refusal_of(ledger, "mirror_change", same, "s_bus") == (NothingNew, "change")


@pytest.mark.req("C-07")
def test_invalid_mirroring_of_what_is_no_part_of_the_change():
    ledger = planned()
    for name in ("item-002", "item-003"):
        put(ledger, element(ledger, name), changes="")
    command = mirror(ledger, down_change(ledger), BRAVO)
    assert refusal_of(ledger, "mirror_change", command, "b_bus") == (c.NeighbourUnknown, "change.order_id")


@pytest.mark.req("C-11")
def test_invalid_mirroring_after_the_outcome():
    ledger = mirror_up(planned(), "failed", outcome="failed")
    command = mirror(ledger, service_change("implementing"))
    assert refusal_of(ledger, "mirror_change", command, "s_bus") == (NothingNew, "change")


# Hastening


def hastening(ledger, **changes):
    given = {"plan_id": plan(ledger).id, "ledger_id": BRAVO, "change_id": DOWN, "salt": SALT}
    return c.ReleaseHastening(**(given | changes))


def waiting(*, begun=True, **down):
    """bravo has accepted, and waits for a later time than the buyer's, which is begun."""
    ledger = planned(outage=Outage.NO, outage_ms=0, implement_at_ms=SOON_MS)
    if begun:
        put(ledger, plan(ledger), change=replace(plan(ledger).change, status=ChangeStatus.IMPLEMENTING))
    return mirror_down(ledger, **({"outage": Outage.NO, "outage_ms": 0, "implement_at_ms": SOON_MS + 1} | down))


@pytest.mark.req("C-10", "X-15")
def test_a_seller_that_waits_longer_than_it_need_is_told_once_all_have_accepted():
    ledger = waiting()
    send(ledger, "release_hastening", hastening(ledger), "b_bus")
    release = release_of(ledger, "hasten_change")
    assert (release.role, release.ledger_id, release.subject_id) == ("b_bus", BRAVO, plan(ledger).id)
    assert released_command(release) == HastenChange(
        change_id=DOWN, service_id="svc_down", implement_at_ms=SOON_MS, release=release.sha256
    )
    assert refusal_of(ledger, "release_hastening", hastening(ledger), "b_bus") == (c.ActUnderWay, "change_id")
    carry(ledger, release.id, outcome_id=DOWN)
    mirror_down(ledger, outage=Outage.NO, outage_ms=0, implement_at_ms=SOON_MS)
    assert refusal_of(ledger, "release_hastening", hastening(ledger), "b_bus") == (NothingNew, "change_id")


@pytest.mark.req("C-10", "X-15")
def test_nobody_is_hastened_while_somebody_may_still_say_no():
    expected = (c.AcceptancesMissing, "plan_id")
    ledger = waiting()
    put(ledger, plan(ledger), change=replace(plan(ledger).change, status=ChangeStatus.ORDERED))
    assert refusal_of(ledger, "release_hastening", hastening(ledger), "b_bus") == expected
    ledger = waiting()
    put(ledger, element(ledger, "item-003"), order_id="ord_other", changes="svc_other")
    assert refusal_of(ledger, "release_hastening", hastening(ledger), "b_bus") == expected
    for status in (HandoverStatus.ORDERING_EXTERNAL, HandoverStatus.OVERDUE, HandoverStatus.TO_FAIL):
        ledger = waiting()
        put(ledger, the_handover(ledger), status=status)
        assert refusal_of(ledger, "release_hastening", hastening(ledger), "b_bus") == expected
    ledger = waiting()
    other = c.SellerChange(
        ledger_id=BRAVO, change=replace(down_change(ledger), id="chg_gone", status="failed", outcome="failed")
    )
    put(ledger, plan(ledger), sellers=(*plan(ledger).sellers, other))
    assert refusal_of(ledger, "release_hastening", hastening(ledger), "b_bus") == expected


@pytest.mark.req("C-10", "C-11")
def test_without_an_outage_nobody_is_let_begin_before_the_buyers_change_is_begun():
    ledger = waiting(begun=False)
    assert refusal_of(ledger, "release_hastening", hastening(ledger), "b_bus") == (c.AcceptancesMissing, "plan_id")
    # Whoever interrupts begins in a window, which is agreed on from the ordered time on.
    ledger = waiting(begun=False, outage=Outage.YES, outage_ms=1_000)
    send(ledger, "release_hastening", hastening(ledger), "b_bus")
    assert release_of(ledger, "hasten_change").ledger_id == BRAVO


@pytest.mark.parametrize(
    ("status", "waits"), [("accepted", True), ("agreed", True), ("implementing", False), ("done", False)]
)
def test_who_has_begun_waits_for_nothing(status, waits):
    ledger = waiting()
    (seller,) = plan(ledger).sellers
    assert c.waits_needlessly(plan(ledger), replace(seller, change=replace(seller.change, status=status))) is waits


def test_invalid_hastening_is_refused_in_order():
    ledger = waiting()
    for changes, refusal in (
        ({"plan_id": "cpl_none", "change_id": "chg_none", "salt": b""}, (c.ChangePlanUnknown, "plan_id")),
        ({"change_id": "chg_none", "salt": b""}, (c.NeighbourUnknown, "change_id")),
        ({"ledger_id": UPSTREAM, "change_id": "chg_up", "salt": b""}, (c.NeighbourUnknown, "change_id")),
        ({"salt": b""}, (SaltInvalid, "salt")),
    ):
        assert refusal_of(ledger, "release_hastening", hastening(ledger, **changes), "b_bus") == refusal
    assert refusal_of(ledger, "release_hastening", hastening(ledger), "s_bus")[0] is RoleMissing


# Windows


@pytest.mark.req("C-09")
@pytest.mark.parametrize("act", ["propose", "agree", "decline"])
def test_what_is_said_to_the_buyer_goes_out_as_it_is(act):
    ledger = mirror_down(planned(), outage=Outage.NO, outage_ms=0)
    mirror_up(ledger, "agreeing", window=window(ledger, by="acme"))
    theirs = plan(ledger).change.window
    times = {"from_ms": theirs.from_ms, "until_ms": theirs.until_ms}
    reason = "NOT_NOW" if act == "decline" else ""
    send(ledger, "release_maintenance", saying(ledger, act, reason=reason, **times), "s_bus")
    named = {"change_id": "chg_up", "service_id": "svc_up"}
    release = release_of(ledger, f"{act}_maintenance")
    expected = {
        "propose": ProposeMaintenance(**named, **times, release=release.sha256),
        "agree": AgreeMaintenance(**named, **times, release=release.sha256),
        "decline": DeclineMaintenance(**named, reason="NOT_NOW", release=release.sha256),
    }
    assert (release.role, release.ledger_id, released_command(release)) == ("s_bus", UPSTREAM, expected[act])


@pytest.mark.req("C-09", "X-62")
def test_windows_go_down_inside_the_one_above():
    ledger = mirror_down(planned())
    command = saying(ledger, down=True)
    assert refusal_of(ledger, "release_maintenance", command, "b_bus") == (c.WindowAbove, "from_ms")
    mirror_up(ledger, "agreeing", window=window(ledger, by="alpha"))
    command = saying(ledger, down=True)
    assert refusal_of(ledger, "release_maintenance", command, "b_bus") == (c.WindowAbove, "from_ms")
    mirror_up(ledger, "agreeing", window=window(ledger, by="acme"))
    theirs = plan(ledger).change.window
    for wrong in ({"from_ms": theirs.from_ms - 1}, {"until_ms": theirs.until_ms + 1}):
        times = {"from_ms": theirs.from_ms, "until_ms": theirs.until_ms} | wrong
        command = saying(ledger, down=True, **times)
        assert refusal_of(ledger, "release_maintenance", command, "b_bus") == (c.WindowNotInside, "from_ms")
    times = {"from_ms": theirs.from_ms, "until_ms": theirs.until_ms}
    send(ledger, "release_maintenance", saying(ledger, down=True, **times), "b_bus")
    assert release_of(ledger, "propose_maintenance").ledger_id == BRAVO


@pytest.mark.req("C-09", "X-62")
def test_consent_goes_up_only_after_the_sellers_have_given_theirs():
    ledger = planned()
    mirror_up(ledger, "agreeing", window=window(ledger, by="acme"))
    theirs = plan(ledger).change.window
    times = {"from_ms": theirs.from_ms, "until_ms": theirs.until_ms}
    for status in ("", "ordered", "accepted"):
        if status:
            mirror_down(ledger, status)
        command = saying(ledger, "agree", **times)
        assert refusal_of(ledger, "release_maintenance", command, "s_bus") == (c.SellersNotAgreed, "from_ms")
        # Nor past the plan, as if it were a customer's own change; to a seller neither, once its change is known.
        assert refusal_of(ledger, "release_maintenance", replace(command, plan_id=""), "s_bus")[0] is RoleMissing
        known = (command, saying(ledger, down=True, **times)) if status else (command,)
        for unplanned in (replace(one, plan_id="") for one in known):
            assert refusal_of(ledger, "release_maintenance", unplanned, "b_bus") == (c.PlanNotNamed, "plan_id")
    mirror_down(ledger, "agreed", window=replace(theirs, proposed_by=org("alpha"), agreed_by=org("bravo")))
    send(ledger, "release_maintenance", saying(ledger, "agree", **times), "s_bus")
    assert release_of(ledger, "agree_maintenance").role == "s_bus"


def test_invalid_words_about_windows_are_refused_in_order():
    ledger = mirror_down(planned())
    mirror_up(ledger, "agreeing", window=window(ledger, by="acme"))
    theirs = plan(ledger).change.window
    times = {"from_ms": theirs.from_ms, "until_ms": theirs.until_ms}

    def refused(command, role="s_bus"):
        return refusal_of(ledger, "release_maintenance", command, role)

    assert refused(saying(ledger, plan_id="cpl_none")) == (c.ChangePlanUnknown, "plan_id")
    assert refused(saying(ledger, change_id="chg_other")) == (c.NeighbourUnknown, "change_id")
    assert refused(saying(ledger, ledger_id=BRAVO)) == (c.NeighbourUnknown, "change_id")
    assert refused(saying(ledger), "b_bus")[0] is RoleMissing
    assert refused(saying(ledger, down=True))[0] is RoleMissing
    assert refused(saying(ledger, service_id="svc_other")) == (c.NeighbourUnknown, "service_id")
    assert refused(saying(ledger, "agree", from_ms=1, until_ms=2)) == (c.WindowDiffers, "from_ms")
    assert refused(saying(ledger, "agree", down=True, **times), "b_bus") == (c.WindowDiffers, "from_ms")
    assert refused(saying(ledger, salt=b"short")) == (SaltInvalid, "salt")
    send(ledger, "release_maintenance", saying(ledger), "s_bus")
    assert refused(saying(ledger)) == (c.ActUnderWay, "change_id")
    send(ledger, "release_maintenance", saying(ledger, down=True, **times), "b_bus")
    assert refused(saying(ledger, down=True, **times), "b_bus") == (c.ActUnderWay, "change_id")
    mirror_up(ledger, "implementing")
    assert refused(saying(ledger)) == (WrongStatus, "status")


def test_a_sellers_window_can_be_declined_whatever_stands_above():
    ledger = mirror_down(planned(), "agreeing", window=window(mirror_down(planned()), by="bravo"))
    command = saying(ledger, "decline", down=True, reason="NOT_NOW")
    send(ledger, "release_maintenance", command, "b_bus")
    assert released_command(release_of(ledger, "decline_maintenance")).reason == "NOT_NOW"


def test_the_next_word_may_follow_when_the_last_is_out():
    ledger = mirror_down(planned())
    send(ledger, "release_maintenance", saying(ledger), "s_bus")
    carry(ledger, release_of(ledger, "propose_maintenance").id, "s_bus", refusal_code=3409, refusal_name="TOO_SHORT")
    send(ledger, "release_maintenance", saying(ledger), "s_bus")
    assert [one.act for one in ledger.all(RELEASE)].count("propose_maintenance") == 2


@pytest.mark.req("C-07")
def test_a_customer_answers_for_itself():
    ledger = quoted()
    command = c.ReleaseMaintenance(
        plan_id="",
        ledger_id=BRAVO,
        change_id="chg_own",
        service_id="svc_own",
        act=c.MaintenanceAct.AGREE,
        from_ms=5,
        until_ms=6,
        salt=SALT,
    )
    assert refusal_of(ledger, "release_maintenance", command, "s_bus")[0] is RoleMissing
    assert refusal_of(ledger, "release_maintenance", replace(command, salt=b""), "b_bus") == (SaltInvalid, "salt")
    send(ledger, "release_maintenance", command, "b_bus")
    release = release_of(ledger, "agree_maintenance")
    assert (release.subject_kind, release.subject_id, release.role) == ("service_change", "chg_own", "b_bus")
    assert refusal_of(ledger, "release_maintenance", command, "b_bus") == (c.ActUnderWay, "change_id")


# Start and end


@pytest.mark.req("C-09", "C-10")
def test_the_start_is_let_out_once_inside_the_window():
    ledger = agreed()
    assert refusal_of(ledger, "release_start", starting(ledger), "s_bus") == (c.NotItsTime, "plan_id")
    ledger.advance(plan(ledger).change.window.from_ms)
    send(ledger, "release_start", starting(ledger), "s_bus")
    release = release_of(ledger, "start_change")
    start = StartChange(change_id="chg_up", service_id="svc_up", release=release.sha256)
    assert (release.role, release.ledger_id, released_command(release)) == ("s_bus", UPSTREAM, start)
    assert refusal_of(ledger, "release_start", starting(ledger), "s_bus") == (AlreadyReleased, "plan_id")
    send(ledger, "record_carried", RecordCarried(release_id=release.id, outcome_id="chg_up"), "s_bus")
    assert refusal_of(ledger, "release_start", starting(ledger), "s_bus") == (AlreadyReleased, "plan_id")


def test_a_start_that_was_refused_out_there_may_be_tried_again():
    ledger = agreed()
    ledger.advance(plan(ledger).change.window.from_ms)
    send(ledger, "release_start", starting(ledger), "s_bus")
    refused = RecordCarried(
        release_id=release_of(ledger, "start_change").id, refusal_code=3414, refusal_name="TOO_EARLY"
    )
    send(ledger, "record_carried", refused, "s_bus")
    send(ledger, "release_start", starting(ledger), "s_bus")
    assert [one.act for one in ledger.all(RELEASE)].count("start_change") == 2


@pytest.mark.req("C-09")
def test_invalid_starts_are_refused_in_order():
    ledger = mirror_down(planned())
    assert refusal_of(ledger, "release_start", starting(ledger, plan_id="x"), "s_bus") == (
        c.ChangePlanUnknown,
        "plan_id",
    )
    assert refusal_of(ledger, "release_start", starting(ledger), "s_bus") == (c.ConsentsMissing, "plan_id")
    ledger = agreed()
    last_ms = plan(ledger).change.window.until_ms
    ledger.advance(last_ms - 100)
    assert refusal_of(ledger, "release_start", starting(ledger, salt=b""), "s_bus") == (SaltInvalid, "salt")
    ledger.advance(last_ms + 1)
    assert refusal_of(ledger, "release_start", starting(ledger), "s_bus") == (c.NotItsTime, "plan_id")
    put(ledger, the_handover(ledger), status=HandoverStatus.OVERDUE)
    assert refusal_of(ledger, "release_start", starting(ledger), "s_bus") == (WrongStatus, "status")
    mirror_up(ledger, "implementing")
    assert refusal_of(ledger, "release_start", starting(ledger), "s_bus") == (WrongStatus, "status")


@pytest.mark.req("C-10")
def test_the_ordered_time_counts_without_a_window_too():
    ledger = planned(outage=Outage.NO, outage_ms=0, implement_at_ms=2**41)
    mirror_down(ledger, outage=Outage.NO, outage_ms=0)
    assert plan(ledger).status == "agreed"
    assert refusal_of(ledger, "release_start", starting(ledger), "s_bus") == (c.NotItsTime, "plan_id")


@pytest.mark.req("C-11")
def test_the_end_of_the_delivery_is_the_end_of_the_change():
    ledger = passed_test()
    put(
        ledger,
        the_handover(ledger),
        change=OrderedChange(
            change_id="chg_up",
            service_id="svc_up",
            kind=ChangeKind.PARAMETER,
            outage=Outage.NO,
            outage_ms=0,
            implement_at_ms=0,
            inventory_service_id="isv_1",
            begun_at_ms=1,
        ),
    )
    send(ledger, "release_activation", ReleaseActivation(order_handover_id=the_handover(ledger).id, salt=SALT), "s_bus")
    release = release_of(ledger, "end_change")
    command = EndChange(change_id="chg_up", service_id="svc_up", outcome="done", release=release.sha256)
    assert released_command(release) == command


@pytest.mark.req("X-63")
def test_invalid_termination_while_a_change_that_ends_the_service_is_under_way():
    ledger = agreed()
    mirror_up(ledger, "implementing", started_at_ms=77)
    handover = the_handover(ledger)
    part = InventoryElement.of(element(ledger))
    ledger.write(
        InventoryService(
            id="isv_1",
            order_handover_id=handover.id,
            ledger_id=UPSTREAM,
            order_id="ord_before",
            service_id=handover.service_id,
            buyer=org("acme"),
            agreement_id="agr_up",
            elements=(part,),
            in_operation_since_ms=1,
        )
    )
    command = RecordTermination(inventory_service_id="isv_1", terminated_at_ms=5)
    assert refusal_of(ledger, "record_termination", command, "s_bus") == (TerminationUnderWay, "inventory_service_id")
    put(ledger, the_handover(ledger), status=HandoverStatus.FAILED)
    send(ledger, "record_termination", command, "s_bus")
    assert ledger.the(INVENTORY_SERVICE).status == "terminated"


def test_invalid_replacement_of_what_is_in_operation_by_another_source():
    ledger = in_recovery()
    put(ledger, element(ledger), changes="res_old")
    refused = refusal_of(ledger, "decide_recovery", deciding(ledger, "alternative_external"), "sco")
    assert refused == (ChangedElsewhere, "decision")
    send(ledger, "decide_recovery", deciding(ledger, "alternative_internal"), "sco")
    assert element(ledger, tries=1).changes == "res_old"


def test_invalid_reuse_for_a_change():
    ledger = quoted()
    handover = ledger.the(INQUIRY_HANDOVER)
    inquiry = replace(handover.inquiry, change=Change(service_id="svc_up", kind=ChangeKind.PARAMETER))
    fresh = {"status": InquiryStatus.IN_ASSESSMENT, "attempt": 0, "queries_open": 0}
    ledger.write(replace(handover, id="iho_2", inquiry=inquiry, **fresh))
    command = ReuseQuote(handover_id="iho_2", from_handover_id=handover.id)
    assert refusal_of(ledger, "reuse_quote", command, "sco") == (NotReusable, "handover_id")


def test_every_plan_is_found_by_its_order_its_buyer_and_its_services():
    ledger = mirror_down(planned())
    found = plan(ledger)
    for name, value in (("related", found.order_handover_id), ("party", org("acme")), ("service", "svc_down")):
        assert ledger.find(c.CHANGE_PLAN, name, value, 2) == (found,)
    assert ORDER_HANDOVER.lifecycle
    assert SERVICE_ELEMENT.lifecycle[("chained", "supersede")] == "replaced"
