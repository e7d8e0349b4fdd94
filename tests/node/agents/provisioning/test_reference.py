"""The reference inventory: no unit is booked twice, none is lost, a repeat is harmless, and a kill leaves all or nothing."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
from dataclasses import replace

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from node.agents.provisioning import (
    Activated,
    Declined,
    ElementSpec,
    Failed,
    Offer,
    Pending,
    ProvisioningBroken,
    Released,
    Reserved,
)
from node.agents.provisioning.bookings import BookingStatus, BookingStore
from node.agents.provisioning.inventory import parse
from node.agents.provisioning.reference import ReferenceProvisioning
from smartcontracts.canonical_json import load
from tests.node.agents.provisioning.elements import (
    DELETE,
    HOUR_MS,
    INVENTORY,
    MODIFY,
    NOW_MS,
    Clock,
    activate,
    adapter,
    drive,
    evc,
    measure,
    query,
    release,
    reserve,
    uni,
)


def faulty(fault):
    return f"{INVENTORY}\n[[fault]]\n{fault}\n"


@pytest.mark.req("Q-25")
def test_a_query_answers_yes_with_cost_and_lead_time_or_no_with_a_reason():
    system = adapter()
    yes = query(system, uni())
    assert isinstance(yes, Offer)
    assert yes.cost
    assert yes.lead_time_ms == 60_000
    assert query(system, ElementSpec(element_id="x", offering="x", product=b"{}")) == Declined("NOT_OFFERED")
    assert query(system, uni(place="leeds")) == Declined("NOT_THERE")
    assert query(system, evc(mbps=1001)) == Declined("NO_CAPACITY")


def test_a_query_holds_nothing():
    system = adapter()
    query(system, uni())
    assert system.free_units("york") == 3
    assert system.live_bookings() == ()


def test_what_is_reserved_is_not_there_for_others_and_a_repeat_reserves_nothing_more():
    system = adapter()
    first = reserve(system, evc("v1", mbps=600))
    assert reserve(system, evc("v1", mbps=600)) == first
    assert system.free_units("backbone") == 4
    assert query(system, evc("v2", mbps=500)) == Declined("NO_CAPACITY")
    assert reserve(system, evc("v2", mbps=500)) == Declined("NO_CAPACITY")
    assert isinstance(reserve(system, evc("v2", mbps=400)), Reserved)
    assert system.free_units("backbone") == 0


def test_the_same_call_id_for_something_else_is_refused():
    system = adapter()
    reserve(system, evc("v1", mbps=100))
    assert reserve(system, evc("v1", mbps=200)) == Declined("CALL_ID_REUSED")


def test_a_reservation_holds_to_its_last_millisecond_and_frees_itself_after_it():
    clock = Clock()
    system = adapter(clock=clock)
    held = reserve(system, evc("v1", mbps=1000), until_ms=NOW_MS + 10)
    assert held == Reserved(reservation_id=held.reservation_id, until_ms=NOW_MS + 10)
    clock.now_ms = NOW_MS + 10
    assert system.free_units("backbone") == 0
    clock.now_ms = NOW_MS + 11
    assert system.free_units("backbone") == 10
    assert isinstance(reserve(system, evc("v2", mbps=1000)), Reserved)


def test_a_later_end_extends_and_a_sooner_one_does_not_shorten():
    clock = Clock()
    system = adapter(clock=clock)
    reserve(system, uni(), until_ms=NOW_MS + 10)
    assert reserve(system, uni(), until_ms=NOW_MS + 50).until_ms == NOW_MS + 50
    assert reserve(system, uni(), until_ms=NOW_MS + 20).until_ms == NOW_MS + 50
    clock.now_ms = NOW_MS + 50
    assert system.free_units("york") == 2


def test_an_ended_reservation_is_held_anew_while_there_is_room():
    clock = Clock()
    system = adapter(clock=clock)
    held = reserve(system, evc("v1", mbps=600), until_ms=NOW_MS)
    clock.now_ms += 1
    assert reserve(system, evc("v1", mbps=600), until_ms=NOW_MS) == Declined("WINDOW_ENDED")
    assert reserve(system, evc("v1", mbps=600)).reservation_id == held.reservation_id
    clock.now_ms += HOUR_MS
    reserve(system, evc("v2", mbps=600), until_ms=clock.now_ms)
    assert reserve(system, evc("v1", mbps=600), until_ms=clock.now_ms) == Declined("NO_CAPACITY")


@pytest.mark.req("D-12")
def test_an_activated_element_stays_when_its_reservation_would_have_ended():
    clock = Clock()
    system = adapter(clock=clock)
    held = reserve(system, uni())
    assert activate(system, uni(), held) == Activated()
    assert activate(system, uni(), held) == Activated()
    clock.now_ms += 2 * HOUR_MS
    assert system.free_units("york") == 2
    assert activate(system, uni(), held, attempt=1) == Activated()


def test_activation_after_the_reservation_ended_takes_what_is_free_or_fails():
    clock = Clock()
    system = adapter(clock=clock)
    lucky, late = reserve(system, evc("v1", mbps=600)), reserve(system, evc("v2", mbps=400))
    clock.now_ms += HOUR_MS + 1
    assert activate(system, evc("v1", mbps=600), lucky) == Activated()
    reserve(system, evc("v3", mbps=400), until_ms=clock.now_ms)
    assert activate(system, evc("v2", mbps=400), late) == Failed("RESERVATION_EXPIRED")
    assert system.free_units("backbone") == 0


@pytest.mark.req("D-38")
def test_what_is_released_is_free_again_and_stays_released():
    system = adapter()
    for element in (uni("e1"), uni("e2")):
        held = reserve(system, element)
        if element.element_id == "e1":
            activate(system, element, held)
        assert release(system, element, held) == Released()
        assert release(system, element, held) == Released()
        assert reserve(system, element) == Declined("RELEASED")
        assert activate(system, element, held, attempt=1) == Failed("RELEASED")
    assert system.free_units("york") == 3


def test_an_unknown_reservation_is_released_already_and_can_not_be_activated():
    system = adapter()
    unknown = Reserved(reservation_id="res_x", until_ms=0)
    assert release(system, uni(), unknown) == Released()
    assert activate(system, uni(), unknown) == Failed("RESERVATION_UNKNOWN")


def test_a_change_holds_only_what_it_needs_more_and_all_of_it_once_the_old_is_released():
    system = adapter()
    old = reserve(system, evc("v1", mbps=600))
    activate(system, evc("v1", mbps=600), old)
    wider = evc("v2", mbps=800, action=MODIFY, changes=old.reservation_id)
    assert isinstance(query(system, wider), Offer)
    new = reserve(system, wider)
    assert system.free_units("backbone") == 2
    assert activate(system, wider, new) == Activated()
    assert system.free_units("backbone") == 2
    assert release(system, evc("v1", mbps=600), old) == Released()
    assert [(one.id, one.held) for one in system.live_bookings()] == [(new.reservation_id, 8)]
    assert query(system, replace(wider, element_id="v3")) == Declined("RESERVATION_UNKNOWN")


@pytest.mark.parametrize("active", [False, True])
def test_a_change_that_is_called_off_leaves_what_was(active):
    system = adapter()
    old = reserve(system, evc("v1", mbps=600))
    activate(system, evc("v1", mbps=600), old)
    wider = evc("v2", mbps=1000, action=MODIFY, changes=old.reservation_id)
    new = reserve(system, wider)
    if active:
        assert activate(system, wider, new) == Activated()
    assert release(system, wider, new) == Released()
    assert [(one.id, one.held) for one in system.live_bookings()] == [(old.reservation_id, 6)]


def test_a_change_to_less_gives_back_the_rest_when_the_old_is_released():
    system = adapter()
    old = reserve(system, evc("v1", mbps=1000))
    activate(system, evc("v1", mbps=1000), old)
    narrower = evc("v2", mbps=100, action=MODIFY, changes=old.reservation_id)
    new = reserve(system, narrower)
    activate(system, narrower, new)
    assert system.free_units("backbone") == 0
    release(system, evc("v1", mbps=1000), old)
    assert system.free_units("backbone") == 9


def test_a_change_into_another_pool_holds_all_of_it_at_once():
    other = INVENTORY.replace(
        'id = "backbone"\nofferings = ["evc"]\ncapacity = 10', 'id = "backbone"\nofferings = ["uni"]\ncapacity = 2'
    )
    system = adapter(other.replace("mbps_per_unit = 100\n", ""))
    old = reserve(system, uni())
    activate(system, uni(), old)
    moved = uni("e2", place="leeds", action=MODIFY, changes=old.reservation_id)
    new = reserve(system, moved)
    assert (system.free_units("york"), system.free_units("backbone")) == (2, 1)
    activate(system, moved, new)
    release(system, uni(), old)
    assert (system.free_units("york"), system.free_units("backbone")) == (3, 1)


def test_a_change_whose_old_units_went_elsewhere_fails_instead_of_booking_twice():
    system = adapter()
    old = reserve(system, evc("v1", mbps=600))
    activate(system, evc("v1", mbps=600), old)
    wider = evc("v2", mbps=800, action=MODIFY, changes=old.reservation_id)
    new = reserve(system, wider)
    release(system, evc("v1", mbps=600), old)
    reserve(system, evc("v3", mbps=800))
    assert activate(system, wider, new) == Failed("NO_CAPACITY")


def test_an_end_takes_nothing_and_what_it_ends_goes_by_its_own_release():
    system = adapter()
    old = reserve(system, uni())
    activate(system, uni(), old)
    ending = uni("e2", action=DELETE, changes=old.reservation_id)
    assert isinstance(query(system, ending), Offer)
    new = reserve(system, ending)
    assert system.free_units("york") == 2
    assert activate(system, ending, new) == Activated()
    assert system.free_units("york") == 2
    assert release(system, uni(), old) == Released()
    assert release(system, ending, new) == Released()
    assert system.free_units("york") == 3
    assert system.live_bookings() == ()


@pytest.mark.req("D-13")
def test_a_scripted_fault_fails_an_offering_so_many_times_and_a_repeat_uses_no_turn():
    system = adapter(faulty('name = "f"\noperation = "activate"\noffering = "uni"\ntimes = 2\ncause = "LINE_BROKEN"'))
    held = reserve(system, uni())
    assert activate(system, uni(), held) == Failed("LINE_BROKEN")
    assert activate(system, uni(), held) == Failed("LINE_BROKEN")
    other = reserve(system, evc())
    assert activate(system, evc(), other) == Activated()
    assert activate(system, uni(), held, attempt=1) == Failed("LINE_BROKEN")
    assert system.free_units("york") == 2
    assert activate(system, uni(), held, attempt=2) == Activated()
    assert activate(system, uni(), held) == Failed("LINE_BROKEN")


def test_what_is_active_is_not_activated_again_and_meets_no_fault():
    system = adapter()
    held = reserve(system, uni())
    activate(system, uni(), held)
    broken = faulty('name = "f"\noperation = "activate"\ncause = "LINE_BROKEN"')
    again = ReferenceProvisioning(parse(broken.encode()), system._store, Clock())
    assert activate(again, uni(), held, attempt=1) == Activated()


def test_a_fault_that_comes_late_leaves_the_reservation_to_end_by_itself():
    clock = Clock()
    system = adapter(faulty('name = "f"\noperation = "activate"\ncause = "LINE_BROKEN"\ndelay_ms = 100'), clock=clock)
    held = reserve(system, uni())
    assert activate(system, uni(), held) == Pending(NOW_MS + 100)
    clock.now_ms += 100
    assert activate(system, uni(), held) == Failed("LINE_BROKEN")
    assert system.free_units("york") == 2
    clock.now_ms += HOUR_MS
    assert system.free_units("york") == 3


def test_what_is_reserved_is_activated_though_the_file_has_less_by_then():
    system = adapter()
    held = reserve(system, evc(mbps=1000))
    smaller = INVENTORY.replace("capacity = 10", "capacity = 5")
    shrunk = ReferenceProvisioning(parse(smaller.encode()), system._store, Clock())
    assert activate(shrunk, evc(mbps=1000), held) == Activated()
    assert query(shrunk, evc("v2")) == Declined("NO_CAPACITY")


def test_scripted_faults_of_query_and_reserve_decline():
    system = adapter(
        faulty('name = "q"\noperation = "query"\ncause = "SYSTEM_DOWN"')
        + '[[fault]]\nname = "r"\noperation = "reserve"\npool = "york"\ncause = "HELD_BACK"\n'
    )
    assert query(system, uni()) == Declined("SYSTEM_DOWN")
    assert query(system, uni()) == Declined("SYSTEM_DOWN")
    assert isinstance(query(system, uni(), attempt=1), Offer)
    assert reserve(system, uni()) == Declined("HELD_BACK")
    assert isinstance(reserve(system, uni("e2")), Reserved)


@pytest.mark.parametrize("operation", ["query", "reserve", "activate", "release", "measure"])
def test_a_late_answer_says_when_and_then_comes(operation):
    clock = Clock()
    system = adapter(faulty(f'name = "slow"\noperation = "{operation}"\ndelay_ms = 500'), clock=clock)
    held = Reserved(reservation_id="", until_ms=0) if operation == "reserve" else reserve(system, uni("e0"))

    def ask():
        return {
            "query": lambda: query(system, uni()),
            "reserve": lambda: reserve(system, uni()),
            "activate": lambda: activate(system, uni("e0"), held),
            "release": lambda: release(system, uni("e0"), held),
            "measure": lambda: measure(system, ["bought-1"]),
        }[operation]()

    assert ask() == Pending(NOW_MS + 500)
    clock.now_ms += 499
    assert ask() == Pending(NOW_MS + 500)
    clock.now_ms += 1
    assert isinstance(ask(), Offer | Reserved | Activated | Released) or ask().passed


def test_activation_takes_the_pools_time_and_holds_its_units_meanwhile():
    clock = Clock()
    text = INVENTORY.replace("mbps_per_unit = 100", "mbps_per_unit = 100\nactivation_ms = 1000")
    system = adapter(text, clock=clock)
    held = reserve(system, evc(mbps=1000), until_ms=NOW_MS)
    assert activate(system, evc(mbps=1000), held) == Pending(NOW_MS + 1000)
    clock.now_ms += 500
    assert reserve(system, evc("v2")) == Declined("NO_CAPACITY")
    clock.now_ms += 500
    assert activate(system, evc(mbps=1000), held) == Activated()


def test_a_chain_passes_when_all_that_is_own_is_active():
    system = adapter(faulty('name = "t"\noperation = "measure"\ncause = "LOSS_TOO_HIGH"'))
    held = reserve(system, uni())
    failed = measure(system, [held.reservation_id, "svc_bought"])
    assert (failed.passed, load(failed.values, "values")["cause"]) == (False, "LOSS_TOO_HIGH")
    assert measure(system, [held.reservation_id, "svc_bought"]) == failed
    assert not measure(system, [held.reservation_id, "svc_bought"], attempt=1).passed
    activate(system, uni(), held)
    passed = measure(system, [held.reservation_id, "svc_bought"], attempt=2)
    assert passed.passed
    assert load(passed.values, "values")["chain"] == [
        {"id": held.reservation_id, "state": "active"},
        {"id": "svc_bought", "state": "bought"},
    ]
    assert not measure(system, [], attempt=3).passed


def test_bookings_answers_and_used_faults_outlive_the_process(tmp_path):
    text = faulty('name = "f"\noperation = "activate"\ncause = "LINE_BROKEN"')
    path = tmp_path / "bookings.sqlite3"
    store = BookingStore(path)
    system = adapter(text, store=store)
    held = reserve(system, uni())
    activate(system, uni(), held)
    store.close()
    again = BookingStore(path)
    system = adapter(text, store=again)
    assert reserve(system, uni()) == held
    assert activate(system, uni(), held) == Failed("LINE_BROKEN")
    assert activate(system, uni(), held, attempt=1) == Activated()
    assert path.stat().st_mode & 0o077 == 0
    again.close()


def test_in_a_thread_it_answers_the_same():
    system = ReferenceProvisioning(parse(INVENTORY.encode()), BookingStore(), Clock(), run=asyncio.to_thread)

    async def many():
        calls = [system.reserve(f"c{n}", evc("v1", mbps=300), NOW_MS) for n in range(8)]
        return await asyncio.gather(*calls)

    answers = asyncio.run(many())
    assert sum(isinstance(answer, Reserved) for answer in answers) == 3
    assert sum(answer == Declined("NO_CAPACITY") for answer in answers) == 5


def test_invalid_store_is_said_plainly(tmp_path):
    path = tmp_path / "other.sqlite3"
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(ProvisioningBroken, match="version 99"):
        BookingStore(path)
    (tmp_path / "rubbish.sqlite3").write_bytes(b"no database at all" * 100)
    with pytest.raises(ProvisioningBroken, match="can't be opened"):
        BookingStore(tmp_path / "rubbish.sqlite3")
    with pytest.raises(ProvisioningBroken, match="can't be opened"):
        BookingStore(tmp_path / "missing" / "bookings.sqlite3")


def test_what_raises_inside_changes_nothing():
    store = BookingStore()

    def breaks_off():
        with store.transaction() as books:
            books.use_fault("f")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        breaks_off()
    with store.transaction() as books:
        assert books.fault_used("f") == 0


KILLED = """
import sys
from pathlib import Path
from node.agents.provisioning.bookings import BookingStore
from tests.node.agents.provisioning.elements import *
system = adapter(store=BookingStore(Path(sys.argv[1])))
n = int(sys.argv[2])
while True:
    n += 1
    held = reserve(system, evc(f"v{n}", mbps=300))
    print("reserve", n, getattr(held, "reservation_id", "-"), flush=True)
    if n % 3 == 0 and hasattr(held, "reservation_id"):
        print("activate", n, activate(system, evc(f"v{n}", mbps=300), held).__class__.__name__, flush=True)
    if n % 4 == 0:
        for booking in system.live_bookings()[:2]:
            drive(system.release("x", booking.id))
            print("release", n, booking.id, flush=True)
"""


@pytest.mark.parametrize("lines", [1, 7, 20, 41])
def test_killed_at_any_instant_all_that_was_answered_is_there_and_no_unit_is_booked_twice(tmp_path, lines):
    path = tmp_path / "bookings.sqlite3"
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(path), "0"],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    said = [process.stdout.readline().split() for _ in range(lines)]
    process.send_signal(signal.SIGKILL)
    said += [line.split() for line in process.stdout.read().splitlines(keepends=True) if line.endswith("\n")]
    process.wait()
    process.stdout.close()
    store = BookingStore(path)
    system = adapter(store=store)
    assert 0 <= system.free_units("backbone") <= 10
    reserved = {what: n for act, n, what in said if act == "reserve" and what != "-"}
    released = [what for act, _, what in said if act == "release"]
    with store.transaction() as books:
        kept = {what: books.booking(what) for what in reserved}
    assert all(kept.values())
    assert all(kept[what].status == BookingStatus.RELEASED for what in released)
    assert {what: reserve_repeated(system, n) for what, n in reserved.items()} == {
        what: "RELEASED" if kept[what].status == BookingStatus.RELEASED else what for what in reserved
    }
    store.close()


def reserve_repeated(system, n):
    answer = reserve(system, evc(f"v{n}", mbps=300))
    return answer.reservation_id if isinstance(answer, Reserved) else answer.reason


class Histories(RuleBasedStateMachine):
    """Any history of any calls, repeated or late: never more held than there is, and what ended is free."""

    def __init__(self):
        super().__init__()
        self.clock = Clock()
        self.system = adapter(
            faulty('name = "f"\noperation = "activate"\ntimes = 2\ncause = "X"\ndelay_ms = 30'), clock=self.clock
        )
        self.held = {}

    @rule(ms=st.integers(0, 60))
    def time_passes(self, ms):
        self.clock.now_ms += ms

    @rule(n=st.integers(0, 5), mbps=st.sampled_from([100, 300, 700]), ahead=st.integers(0, 80))
    def reserves(self, n, mbps, ahead):
        element = evc(f"v{n}-{mbps}", mbps=mbps)
        answer = reserve(self.system, element, until_ms=self.clock.now_ms + ahead)
        if isinstance(answer, Reserved):
            self.held[element.element_id] = (element, answer)

    @rule(
        data=st.data(),
        mbps=st.sampled_from([100, 500, 900]),
        ahead=st.integers(0, 80),
        action=st.sampled_from([MODIFY, DELETE]),
    )
    def reserves_a_change(self, data, mbps, ahead, action):
        if self.held:
            element, held = self.held[data.draw(st.sampled_from(sorted(self.held)))]
            changed = evc(
                f"{element.element_id}+{action}{mbps}"[-60:], mbps=mbps, action=action, changes=held.reservation_id
            )
            answer = reserve(self.system, changed, until_ms=self.clock.now_ms + ahead)
            if isinstance(answer, Reserved):
                self.held[changed.element_id] = (changed, answer)

    @rule(data=st.data(), attempt=st.integers(0, 1))
    def activates(self, data, attempt):
        if self.held:
            element, held = self.held[data.draw(st.sampled_from(sorted(self.held)))]
            first = activate(self.system, element, held, attempt)
            assert activate(self.system, element, held, attempt) == first

    @rule(data=st.data())
    def releases(self, data):
        if self.held:
            element, held = self.held[data.draw(st.sampled_from(sorted(self.held)))]
            assert release(self.system, element, held) == Released()
            assert held.reservation_id not in [one.id for one in self.system.live_bookings()]

    @invariant()
    def never_more_is_held_than_there_is(self):
        held = sum(one.held for one in self.system.live_bookings())
        assert held <= 10
        assert self.system.free_units("backbone") == 10 - held

    @invariant()
    def nothing_that_is_over_is_held(self):
        for one in self.system.live_bookings():
            assert one.status != BookingStatus.RESERVED or one.until_ms >= self.clock.now_ms


TestHistories = Histories.TestCase
TestHistories.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)


def test_every_call_ends_without_an_event_loop():
    assert isinstance(drive(adapter().query("c", uni())), Offer)
