"""The simulation's own parts: a schedule that keeps its order, tasks driven by hand, a store like any other, and replicas that crash."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from abci_app.store.memory import MemoryStore
from ledgers.transaction import Act
from scripts.simulation.build import build
from scripts.simulation.chain import BILATERAL
from scripts.simulation.journal import Journal
from scripts.simulation.layout import chain, diamond, draw, loop, star
from scripts.simulation.parties import PERSON, org_id, signatory
from scripts.simulation.people import Declined, Unreachable
from scripts.simulation.store import LiveStore
from scripts.simulation.tasks import Schedule, Sleep, Task
from scripts.simulation.world import World
from smartcontracts.order import AcceptOrder

KEYS = st.binary(min_size=1, max_size=3)


@given(st.lists(st.dictionaries(KEYS, st.none() | st.binary(max_size=2), max_size=6), max_size=6), KEYS, KEYS)
def test_a_live_store_reads_as_the_plain_one(batches, start, stop):
    live, plain = LiveStore(), MemoryStore()
    for batch in batches:
        live.write(batch)
        plain.write(batch)
    assert list(live.snapshot().scan(start, stop)) == list(plain.snapshot().scan(start, stop))
    assert [live.get(key) for batch in batches for key in batch] == [plain.get(key) for batch in batches for key in batch]
    copy = live.copy()
    live.write({b"later": b"x"})
    assert copy.get(b"later") is None


def test_a_schedule_goes_by_time_and_then_by_turn_and_passes_over_what_is_off():
    schedule, done = Schedule(), []
    schedule.at(5, "b", lambda: done.append("b"))
    schedule.at(5, "c", lambda: done.append("c"))
    schedule.at(9, "off", lambda: done.append("off")).is_off = True
    schedule.at(2, "a", lambda: done.append("a"))
    while (planned := schedule.pop()) is not None:
        planned.action()
    assert done == ["a", "b", "c"]
    assert schedule.now_ms == 5


def test_a_killed_task_goes_on_no_more_and_runs_nothing():
    schedule, done, ends = Schedule(), [], []

    async def work():
        try:
            await Sleep(schedule, 10)
            done.append("woke")
        except ValueError:
            done.append("caught")

    task = Task("work", work(), ends.append)
    task.resume()
    task.kill()
    planned = schedule.pop()
    planned.action()
    assert (done, ends) == ([], [])


def test_what_a_task_raises_goes_to_who_started_it():
    ends = []

    async def work():
        raise ValueError("no")

    Task("work", work(), ends.append).resume()
    assert isinstance(ends[0], ValueError)


def test_a_journal_tells_histories_apart():
    one, other = Journal(), Journal()
    one.note(1, 1, "a")
    other.note(1, 1, "b")
    assert one.digest() != other.digest()


@pytest.mark.parametrize("orgs", range(2, 20))
def test_every_layout_has_so_many_organizations_and_everybody_can_be_reached(orgs):
    for seed in range(30):
        found = draw(World(seed).random, orgs)
        assert len(set(found.names)) == len(found.names) == orgs
        linked = {name for link in found.links for name in link}
        assert linked == set(found.names)
        assert all(buyer != seller for buyer, seller in found.links)
        assert not any(buyer in found.desks for buyer, _ in found.links)


def test_the_named_layouts():
    assert chain(3).links == (("c1", "p1"), ("p1", "p2"), ("p2", "p3"))
    assert len(star(50).sellers_of("p1")) == 50
    assert {"p2", "p3"} == set(diamond().sellers_of("p1"))
    assert ("p1", "p2") in loop().pairs
    assert ("p2", "p1") not in loop().pairs


@pytest.fixture
def built():
    made = build(3, 0, shape=chain(1), faults=False, trade=False)
    yield made
    made.world.close()


def pair(built):
    return next(one for one in built.world.chains.values() if one.kind == BILATERAL)


def unknown(built):
    act = Act(name="accept_order", command=AcceptOrder(order_id="ord_none"))
    return built.world.signed(pair(built), (signatory("p1", PERSON),), (act,))[1]


def test_a_ledger_stalls_with_two_of_four_away_and_what_waits_is_decided_when_one_is_back(built):
    ledger = pair(built)
    ledger.leave("north")
    ledger.leave("south")
    ledger.submit(unknown(built), ledger.state())
    built.world.schedule.now_ms += 10
    assert ledger.decide() is None
    assert ledger.counts.stalls == 1
    ledger.come_back("north")
    decided = ledger.decide()
    assert [result.receipt.name for result in decided.result.results] == ["OK", "ORDER_UNKNOWN"]


def test_a_replica_that_was_away_comes_to_the_same_and_one_that_crashes_too(built):
    ledger = pair(built)
    ledger.leave("c1")
    for _ in range(3):
        built.world.schedule.now_ms += 10
        ledger.submit(unknown(built), ledger.state())
        assert ledger.decide(crash_before_commit="p1") is not None
    assert ledger.replicas["c1"].committed.height < ledger.replicas["p1"].committed.height
    ledger.come_back("c1")
    assert ledger.replicas["c1"].committed.root == ledger.replicas["p1"].committed.root
    assert ledger.counts.restarts == 3


def test_a_proposer_whose_clock_is_far_off_is_outvoted(built):
    ledger = pair(built)
    ledger.skew_ms["c1"] = 60_000
    ledger.submit(unknown(built), ledger.replicas["p1"])
    made = []
    for _ in range(4):
        built.world.schedule.now_ms += 10
        made.append(ledger.decide())
    assert ledger.counts.rounds_failed
    assert any(one is not None for one in made)
    assert all(one.result.time_ms <= built.world.now_ms() for one in made if one is not None)


def test_a_person_hears_refusals_and_of_a_node_that_is_away(built):
    world, ledger, heard = built.world, pair(built), []

    async def script():
        act = (Act(name="accept_order", command=AcceptOrder(order_id="ord_none")),)
        for _ in range(2):
            try:
                await world.submitted(ledger, signatory("p1", PERSON), act, "p1")
            except (Declined, Unreachable) as error:
                heard.append(error)
            ledger.leave("p1")

    world.start("script", script())
    world.begin_closing()
    while world.step():
        pass
    assert heard[0].name == "ORDER_UNKNOWN"
    assert isinstance(heard[1], Unreachable)
    assert org_id("p1") != org_id("c1")
