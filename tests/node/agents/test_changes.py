"""What is said to a neighbour about a window: decided from what the ledgers show, and not said again and again."""

from __future__ import annotations

from dataclasses import replace

import pytest

from node.agents.changes import (
    REFUSED_PAUSE_MS,
    REFUSED_PAUSE_MS_MAX,
    Saying,
    as_customer,
    let_rest,
    to_buyer,
    to_seller,
)
from node.agents.duties import Later
from node.agents.policies import Policies
from smartcontracts.internal.change import ChangePlan, MaintenanceAct, SellerChange
from smartcontracts.internal.release import OutwardAct, Release, ReleaseStatus
from smartcontracts.kernel import Role
from smartcontracts.service import ChangeStatus, MaintenanceWindow, ServiceChange
from smartcontracts.trade import ChangeKind, ChangeMethod, Outage
from tests.node.agents.desk import Market, pool
from tests.node.agents.provisioning.elements import drive
from tests.smartcontracts.support import org

FROM, UNTIL, OUTAGE_MS = 10_000_000, 20_000_000, 1_000_000
AGREE, PROPOSE, DECLINE = MaintenanceAct.AGREE, MaintenanceAct.PROPOSE, MaintenanceAct.DECLINE


class Refuses(Policies):
    def agree_maintenance(self, asked, window):
        return False


@pytest.fixture
def market():
    return Market(pairs=(("acme", "alpha"), ("alpha", "bravo")), inventories={"alpha": pool()})


@pytest.fixture
def desk(market):
    return market.desks["alpha", Role.B_BUS]


def window(market, by, from_ms=FROM, until_ms=UNTIL, **more):
    now = market.now_ms
    return MaintenanceWindow(from_ms=now + from_ms, until_ms=now + until_ms, proposed_by=org(by), **more)


def change(seller, status="accepted", **more):
    given = {
        "id": f"chg_{seller}",
        "order_id": f"ord_{seller}",
        "service_id": f"svc_{seller}",
        "buyer": org("acme" if seller == "alpha" else "alpha"),
        "seller": org(seller),
        "agreement_id": "agr",
        "kind": ChangeKind.PARAMETER,
        "outage": Outage.YES,
        "outage_ms": OUTAGE_MS,
        "method": ChangeMethod.RECONFIGURE,
        "implement_at_ms": 0,
        "ordered_at_ms": 1,
    }
    return ServiceChange(status=ChangeStatus(status), **(given | more))


def plan(upstream, *sellers):
    return ChangePlan(
        id="cpl",
        order_handover_id="oho",
        ledger_id="up",
        change=upstream,
        sellers=tuple(SellerChange(ledger_id="down", change=one) for one in sellers),
        planned_at_ms=1,
    )


def said_down(desk, upstream, seller):
    whole = plan(upstream, seller)
    return to_seller(desk, whole, whole.sellers[0])


def test_a_sellers_own_window_is_agreed_to_if_it_lies_inside(market, desk):
    above = change("alpha", "agreed", window=window(market, "alpha", agreed_by=org("acme")))
    inside = window(market, "bravo", FROM + 1, UNTIL - 1)
    saying = Saying(act=AGREE, from_ms=inside.from_ms, until_ms=inside.until_ms)
    assert said_down(desk, above, change("bravo", "agreeing", window=inside)) == saying


@pytest.mark.parametrize(("from_ms", "until_ms"), [(FROM - 1, UNTIL), (FROM, UNTIL + 1)])
def test_a_sellers_own_window_outside_is_answered_with_the_one_above(market, desk, from_ms, until_ms):
    above = change("alpha", "agreed", window=window(market, "alpha", agreed_by=org("acme")))
    theirs = window(market, "bravo", from_ms, until_ms)
    saying = Saying(act=PROPOSE, from_ms=above.window.from_ms, until_ms=above.window.until_ms)
    assert said_down(desk, above, change("bravo", "agreeing", window=theirs)) == saying
    assert said_down(desk, above, change("bravo")) == saying


def test_nothing_is_said_to_a_seller_before_it_can_be_known_or_when_it_is_said(market, desk):
    ours = window(market, "alpha")
    assert said_down(desk, change("alpha", "agreeing", window=ours), change("bravo")) is None
    above = change("alpha", "agreed", window=replace(ours, agreed_by=org("acme")))
    assert said_down(desk, above, change("bravo", "agreeing", window=ours)) is None
    assert said_down(desk, above, change("bravo", "accepted", window=replace(ours, declined_reason="NO"))) is None
    assert said_down(desk, above, change("bravo", outage=Outage.NO, outage_ms=0)) is None
    assert said_down(desk, above, change("bravo", "done", outcome="done")) is None
    market.now_ms = above.window.from_ms
    assert said_down(desk, above, change("bravo")) is None


def test_a_buyers_window_waits_for_the_sellers_and_is_declined_when_it_comes_without_them(market, desk):
    theirs = window(market, "acme")
    upstream = change("alpha", "agreeing", window=theirs)
    with pytest.raises(Later) as later:
        to_buyer(desk, plan(upstream, change("bravo")), 0)
    assert later.value.at_ms == theirs.from_ms
    consenting = change("bravo", "agreed", window=replace(theirs, proposed_by=org("alpha"), agreed_by=org("bravo")))
    agreed = Saying(act=AGREE, from_ms=theirs.from_ms, until_ms=theirs.until_ms)
    assert to_buyer(desk, plan(upstream, consenting), 0) == agreed
    declining = change("bravo", window=replace(theirs, proposed_by=org("alpha"), declined_reason="NO"))
    assert to_buyer(desk, plan(upstream, declining), 0) == Saying(act=DECLINE, reason="SELLER_DECLINED")
    market.now_ms = theirs.from_ms
    assert to_buyer(desk, plan(upstream, change("bravo")), 0) == Saying(act=DECLINE, reason="NOT_CONVENIENT")


def test_a_buyers_window_that_policy_refuses_is_declined_at_once(market, desk):
    upstream = change("alpha", "agreeing", window=window(market, "acme"))
    refusing = replace(desk, policies=Refuses())
    assert to_buyer(refusing, plan(upstream), 0) == Saying(act=DECLINE, reason="NOT_CONVENIENT")


def test_a_proposal_is_not_before_the_ordered_time_nor_before_what_sellers_propose(market, desk):
    at_ms = market.now_ms + FROM
    saying = to_buyer(desk, plan(change("alpha", implement_at_ms=at_ms)), 0)
    assert (saying.act, saying.from_ms, saying.until_ms) == (PROPOSE, at_ms, at_ms + OUTAGE_MS)
    theirs = window(market, "bravo", 2 * FROM, 2 * FROM + OUTAGE_MS)
    saying = to_buyer(desk, plan(change("alpha", implement_at_ms=at_ms), change("bravo", "agreeing", window=theirs)), 0)
    assert saying.from_ms == theirs.from_ms
    assert to_buyer(desk, plan(change("alpha", implement_at_ms=at_ms)), at_ms + OUTAGE_MS - 1) is None


def test_a_proposal_waits_for_its_answer_until_it_is_over(market, desk):
    upstream = change("alpha", "agreeing", window=window(market, "alpha"))
    with pytest.raises(Later) as later:
        to_buyer(desk, plan(upstream), 0)
    assert later.value.at_ms == upstream.window.until_ms + 1
    market.now_ms = upstream.window.until_ms + 1
    assert to_buyer(desk, plan(upstream), 0).from_ms > upstream.window.until_ms


def test_the_customer_answers_by_its_policy_and_only_what_is_proposed(market, desk):
    theirs = window(market, "bravo")
    proposed = change("bravo", "agreeing", window=theirs)
    assert as_customer(desk, proposed) == Saying(act=AGREE, from_ms=theirs.from_ms, until_ms=theirs.until_ms)
    assert as_customer(replace(desk, policies=Refuses()), proposed) == Saying(act=DECLINE, reason="NOT_CONVENIENT")
    assert as_customer(desk, change("bravo", "agreeing", window=window(market, "alpha"))) is None
    assert as_customer(desk, change("bravo")) is None


def release(market, status, **more):
    return Release(
        id=f"rel_{status}",
        status=ReleaseStatus(status),
        act="start_change",
        role=Role.S_BUS,
        ledger_id="up",
        subject_kind="change_plan",
        subject_id="cpl",
        command=OutwardAct(name="start_change", data=b""),
        salt=b"\x00" * 32,
        sha256=b"\x00" * 32,
        released_at_ms=1,
        **more,
    )


def test_an_act_on_its_way_is_waited_for_and_one_that_was_refused_gives_a_pause(market, desk):
    assert drive(let_rest(desk, desk.internal, "cpl", "up")) is False
    refused = release(market, "refused", refusal_code=3414, refusal_name="TOO_EARLY", carried_at_ms=market.now_ms)
    market.internal("alpha").write(refused)
    assert drive(let_rest(desk, desk.internal, "cpl", "other")) is False
    with pytest.raises(Later) as later:
        drive(let_rest(desk, desk.internal, "cpl", "up"))
    assert later.value.at_ms == refused.carried_at_ms + REFUSED_PAUSE_MS
    market.now_ms += REFUSED_PAUSE_MS
    assert drive(let_rest(desk, desk.internal, "cpl", "up")) is False
    market.internal("alpha").write(release(market, "open"))
    assert drive(let_rest(desk, desk.internal, "cpl", "up")) is True


def test_a_ledger_that_refuses_again_and_again_is_asked_less_and_less(market, desk):
    """A neighbour that had filled its change was told the same each second, and each time INT kept another release."""
    ledger = market.internal("alpha")
    pauses = []
    for n in range(14):
        refused = release(
            market, "refused", refusal_code=3052, refusal_name="RELEASES_FULL", carried_at_ms=market.now_ms
        )
        ledger.write(replace(refused, id=f"rel_{n}"))
        with pytest.raises(Later) as later:
            drive(let_rest(desk, desk.internal, "cpl", "up"))
        pauses.append(later.value.at_ms - market.now_ms)
        market.now_ms = later.value.at_ms
    assert pauses[:3] == [REFUSED_PAUSE_MS, 2 * REFUSED_PAUSE_MS, 4 * REFUSED_PAUSE_MS]
    assert pauses[-1] == REFUSED_PAUSE_MS_MAX
    # What it took since is a new beginning.
    ledger.write(replace(release(market, "carried", outcome_id="chg"), carried_at_ms=market.now_ms))
    assert drive(let_rest(desk, desk.internal, "cpl", "up")) is False
