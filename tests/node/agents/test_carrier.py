"""Carrier: an act goes out once, whatever fails on the way, and INT learns what came of it."""

from dataclasses import replace

import pytest

from ledgers.kinds import VERSIONS, contract_table
from node.agents.boundaries import UndeclaredPurpose, perform
from node.agents.carrier import B_BUS_CARRIER, IN_FLIGHT_MS, S_BUS_CARRIER, SUBJECTS, carry
from node.agents.duties import LEDGER_ABSENT_MS, Later
from node.agents.ports import Refused
from smartcontracts.change import ProposeMaintenance, StartChange
from smartcontracts.delivery import CancelOrder, FailOrder
from smartcontracts.internal import release as r
from smartcontracts.internal.release import ReleaseStatus
from smartcontracts.kernel import Cause, Position, Role
from smartcontracts.order import ORDER, AcceptOrder, OrderStatus, RejectOrder
from smartcontracts.quote import QUOTE
from smartcontracts.service import SERVICE_CHANGE
from smartcontracts.trade import ChangeKind
from tests.node.agents.harness import MemoryPort, VirtualClock, desk_of, refused
from tests.smartcontracts import trading
from tests.smartcontracts.delivering import (
    OUTAGE_MS,
    WITH_OUTAGE,
    by_buyer,
    change_accepted,
    change_ordered,
    in_operation,
)
from tests.smartcontracts.support import START_MS, MemoryLedger

INTERNAL_ID = "sg_" + "i" * 32


class Scene:
    """alpha sells to acme; its internal ledger has one release."""

    def __init__(self, act, make_command, ledger=None):
        self.outside = ledger or trading.trading_ledger()
        inside = MemoryLedger(r.CONTRACT, ledger_kind="internal", positions={"alpha": Position.PARTY})
        self.int = MemoryPort(inside, "alpha-int", "alpha", "s_bus", ledger_id=INTERNAL_ID)
        self.out = MemoryPort(self.outside, "acme-alpha", "alpha", "s_bus")
        self.clock = VirtualClock(START_MS + 1_000)
        self.desk = desk_of("alpha", self.int, [self.out], clock=self.clock)
        call = inside.call(
            inside.sender("alpha", "sco"), cause=Cause(ledger_id=INTERNAL_ID, event_id="hnd_1", purpose="answer")
        )
        release = r.open_release(
            call,
            0,
            role=Role.S_BUS,
            act=act,
            ledger_id=self.out.id,
            subject_kind="inquiry_handover",
            subject_id="hnd_1",
            command_record=make_command(self.outside),
            salt=b"\x05" * 32,
        )
        inside.write(release)
        self.release_id = release.id

    @property
    def release(self):
        return self.int.ledger.the(r.RELEASE, self.release_id)

    def void(self):
        self.int.ledger.write(r.void_releases(self.int.ledger, "hnd_1", self.clock.now_ms()).writes[0])

    async def carry(self):
        await perform(S_BUS_CARRIER, self.desk, self.int, self.release)


def quote_scene():
    """An act that creates a document out there."""
    return Scene("issue_quote", lambda ledger: trading.answer(trading.ask(ledger).id))


def rejection_scene():
    """An act that changes one and creates none."""
    return Scene("reject_order", lambda ledger: RejectOrder(order_id=trading.ordered(ledger).id, reason="NO_CAPACITY"))


SCENES = pytest.mark.parametrize("scene", [quote_scene, rejection_scene], ids=["creating", "changing"])


def outward(scene):
    """The document out there that holds the release, or None."""
    for kind in (QUOTE, ORDER):
        for record in scene.outside.all(kind):
            if scene.release.sha256 in record.releases:
                return record
    return None


@SCENES
async def test_an_act_is_carried_with_its_hash_and_its_outcome_recorded(scene):
    scene = scene()
    await scene.carry()
    found = outward(scene)
    assert found.releases == (scene.release.sha256,)
    assert (scene.release.status, scene.release.outcome_id) == (ReleaseStatus.CARRIED, found.id)
    assert scene.int.submitted == [("record", ("record_carried",))]


@SCENES
async def test_an_act_whose_answer_was_lost_is_recorded_as_carried_and_not_done_twice(scene):
    scene = scene()
    scene.out.lost_answers.append(refused())
    with pytest.raises(Refused):
        await scene.carry()
    assert outward(scene) is not None
    assert scene.release.status == ReleaseStatus.OPEN
    root = scene.outside.root()
    await scene.carry()
    assert scene.outside.root() == root
    assert (scene.release.status, scene.release.outcome_id) == (ReleaseStatus.CARRIED, outward(scene).id)


@SCENES
async def test_an_agent_killed_between_act_and_record_records_it_after_its_restart(scene):
    scene = scene()
    scene.int.failures.append(refused())
    with pytest.raises(Refused):
        await scene.carry()
    root = scene.outside.root()
    await scene.carry()
    assert scene.outside.root() == root
    assert scene.release.status == ReleaseStatus.CARRIED


async def test_an_acceptance_is_recognised_as_its_own_when_the_order_has_moved_on():
    scene = Scene("accept_order", lambda ledger: AcceptOrder(order_id=trading.ordered(ledger).id))
    scene.out.lost_answers.append(refused())
    with pytest.raises(Refused):
        await scene.carry()
    order = scene.outside.the(ORDER)
    await scene.carry()
    assert (scene.release.status, scene.release.outcome_id) == (ReleaseStatus.CARRIED, order.service_id)


async def test_a_refusal_of_the_act_is_recorded_with_code_and_name():
    scene = rejection_scene()
    order = scene.outside.the(ORDER)
    trading.sell(scene.outside, "reject_order", RejectOrder(order_id=order.id, reason="NO_CAPACITY"))
    await scene.carry()
    assert scene.release.status == ReleaseStatus.REFUSED
    assert (scene.release.refusal_code, scene.release.refusal_name) == (3211, "ORDER_ANSWERED")
    assert scene.release.outcome_id == ""
    assert scene.outside.the(ORDER).releases == ()


async def test_a_refusal_of_a_quote_after_its_time_is_recorded():
    scene = Scene("issue_quote", lambda ledger: trading.answer(trading.ask(ledger).id, valid_until_ms=START_MS + 1))
    await scene.carry()
    assert (scene.release.status, scene.release.refusal_name) == (ReleaseStatus.REFUSED, "QUOTE_VALIDITY_INVALID")


@pytest.mark.parametrize(
    "failure",
    [
        refused("NODE_STARTING", 9016),
        refused("QUOTA_EXHAUSTED", 1052),
        refused("ROLE_MISSING", 1102, transient=False),
        refused("POSITION_WRONG", 1103, transient=False),
        refused("SIGNING_KEY_EXPIRED", 1036, transient=False),
        refused("TRANSACTION_EXPIRED", 1021, transient=False),
        refused("LEDGER_UNKNOWN", 9001, transient=False),
    ],
    ids=lambda failure: failure.detail.name,
)
async def test_what_says_nothing_about_the_act_leaves_the_release_open(failure):
    scene = quote_scene()
    scene.out.failures.append(failure)
    with pytest.raises(Refused):
        await scene.carry()
    assert scene.release.status == ReleaseStatus.OPEN
    await scene.carry()
    assert scene.release.status == ReleaseStatus.CARRIED


@SCENES
async def test_a_release_taken_back_waits_until_its_act_cannot_come_out_any_more(scene):
    scene = scene()
    root = scene.outside.root()
    scene.void()
    settled_ms = scene.clock.now_ms() + IN_FLIGHT_MS
    with pytest.raises(Later) as later:
        await scene.carry()
    assert later.value.at_ms == settled_ms
    scene.clock.time_ms = settled_ms - 1
    with pytest.raises(Later):
        await scene.carry()
    scene.clock.time_ms = settled_ms
    await scene.carry()
    assert (scene.release.status, scene.release.refusal_name) == (ReleaseStatus.REFUSED, "RELEASE_VOIDED")
    assert scene.outside.root() == root


@SCENES
async def test_a_release_taken_back_too_late_is_recorded_as_carried(scene):
    scene = scene()
    scene.int.failures.append(refused())
    with pytest.raises(Refused):
        await scene.carry()
    scene.void()
    await scene.carry()
    assert (scene.release.status, scene.release.outcome_id) == (ReleaseStatus.CARRIED, outward(scene).id)


async def test_an_act_like_it_by_a_person_is_not_taken_for_its_own():
    scene = rejection_scene()
    order = scene.outside.the(ORDER)
    trading.sell(scene.outside, "reject_order", RejectOrder(order_id=order.id, reason="NO_CAPACITY"))
    scene.void()
    scene.clock.time_ms += IN_FLIGHT_MS
    await scene.carry()
    assert scene.outside.the(ORDER).status == OrderStatus.REJECTED
    assert scene.release.refusal_name == "RELEASE_VOIDED"


async def test_an_act_of_the_other_party_with_its_hash_is_not_taken_for_its_own():
    """The act was seen before it was in a block, and forestalled under its own hash."""
    scene = Scene("fail_order", lambda ledger: FailOrder(order_id=trading.accepted(ledger).id, reason="NO_CAPACITY"))
    order = scene.outside.the(ORDER)
    forestalled = CancelOrder(order_id=order.id, reason="NO_NEED", release=scene.release.sha256)
    by_buyer(scene.outside, "cancel_order", forestalled)
    assert scene.outside.the(ORDER).releases == (scene.release.sha256,)
    await scene.carry()
    assert (scene.release.status, scene.release.refusal_name) == (ReleaseStatus.REFUSED, "ORDER_ENDED")


async def test_a_start_that_was_forestalled_under_its_own_hash_can_be_let_out_again():
    """Taken for out, the change could never have been started any more, and its order would have run late."""
    ledger = trading.trading_ledger()
    _, service = in_operation(ledger)
    _, change = change_accepted(ledger, service, ChangeKind.RELOCATION, answer=WITH_OUTAGE)
    changed = {"change_id": change.id, "service_id": change.service_id}
    scene = Scene("start_change", lambda _: StartChange(**changed), ledger)
    window = {"from_ms": ledger.time_ms + 5_000, "until_ms": ledger.time_ms + 5_000 + OUTAGE_MS}
    by_buyer(ledger, "propose_maintenance", ProposeMaintenance(release=scene.release.sha256, **window, **changed))
    assert ledger.the(SERVICE_CHANGE).releases == (scene.release.sha256,)
    await scene.carry()
    assert (scene.release.status, scene.release.refusal_name) == (ReleaseStatus.REFUSED, "CONSENT_MISSING")


async def test_the_acceptance_of_a_change_which_creates_no_service_is_recognised_as_its_own():
    ledger = trading.trading_ledger()
    _, service = in_operation(ledger)
    order, _ = change_ordered(ledger, service)
    scene = Scene("accept_order", lambda _: AcceptOrder(order_id=order.id), ledger)
    scene.out.lost_answers.append(refused())
    with pytest.raises(Refused):
        await scene.carry()
    await scene.carry()
    assert (scene.release.status, scene.release.outcome_id) == (ReleaseStatus.CARRIED, order.id)


async def test_a_ledger_that_the_node_has_not_yet_is_looked_for_later():
    scene = quote_scene()
    scene.desk = replace(scene.desk, bilateral={})
    with pytest.raises(Later) as later:
        await scene.carry()
    assert later.value.at_ms == scene.clock.now_ms() + LEDGER_ABSENT_MS
    assert scene.release.status == ReleaseStatus.OPEN


async def test_each_role_carries_its_own_releases_only():
    scene = quote_scene()
    assert S_BUS_CARRIER.applies(scene.desk, scene.release)
    assert not B_BUS_CARRIER.applies(scene.desk, scene.release)
    assert S_BUS_CARRIER.related != B_BUS_CARRIER.related
    assert await scene.int.list("release", related=S_BUS_CARRIER.related) == (scene.release,)
    assert await scene.int.list("release", related=B_BUS_CARRIER.related) == ()


async def test_invalid_duty_that_submits_under_a_purpose_it_does_not_declare():
    scene = quote_scene()
    undeclared = replace(S_BUS_CARRIER, submits=("record",))
    with pytest.raises(UndeclaredPurpose):
        await perform(undeclared, scene.desk, scene.int, scene.release)
    assert scene.outside.all(QUOTE) == ()
    assert undeclared.do is carry


def test_every_outward_act_has_a_document_out_there_by_which_its_own_success_is_known():
    kinds = contract_table("bilateral", VERSIONS[-1]).kinds
    for name, message in r.MESSAGES.items():
        if message.creates is not None:
            assert kinds[message.creates.name] is message.creates
            continue
        named = [kind for field, kind in SUBJECTS if field in message.command.__dataclass_fields__]
        assert named, name
        assert any("releases" in kinds[kind].record.__dataclass_fields__ for kind in named), name
