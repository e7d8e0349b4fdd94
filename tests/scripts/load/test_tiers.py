"""The tiers' bench without a network: its options, its chains, and what its report shows."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import pytest

from localnet.topology import load_topology
from scripts.load.arguments import INQUIRIES_QUICK, ORDERS_FULL, ORDERS_QUICK, arguments
from scripts.load.tiers import FIVE, PLACE, THREE, _topology
from scripts.load.tiers_report import QUOTE_P50, is_stuck, text
from scripts.load.traders import FlowFailed
from scripts.load.watch import Watch
from scripts.story.rehearsal import pairs_of

STEP = {"ledger": "alpha-internal", "names": ["sourcing.requested"], "p50_ms": 31.0, "p99_ms": 62.0, "before_ms": 11.0, "block_ms": 20.0}
ALONE = {
    "inquiries": 30,
    "p50_ms": 1_400.0,
    "p99_ms": 2_100.0,
    "best_ms": 900.0,
    "cores_busy": 1.2,
    "processor_ms": {"node": 226.0, "engine": 805.0},
    "load": 3.25,
    "path": [STEP],
}
ORDERS = {
    "orders": 200,
    "quoted": 199,
    "quoting_s": 10.0,
    "quoting_transactions": 5_000,
    "ordering_s": 20.0,
    "ordering_transactions": 8_000,
    "statuses": {"acme-alpha": {"activated": 198, "rejected": 1}},
    "stuck": {},
    "booked": {"delta active": 198},
    "in_operation": 198,
    "processor_s": {"node": 12.3},
    "load": 4.0,
}
FIVE_TIERS = {
    "tiers": 5,
    "quote_ms": 2_500.0,
    "accepted_ms": 2_000.0,
    "activated_ms": 5_000.0,
    "path": [STEP],
    "stuck": {},
    "load": 2.0,
}
REPORT = {
    "machine": {"processors": 2, "processor": "P", "load_before": 0.5},
    "three": {"alone": ALONE, "all_ways": {**ALONE, "p50_ms": 1_700.0}, "orders": ORDERS},
    "five": FIVE_TIERS,
}


@pytest.mark.parametrize(("words", "inquiries", "orders"), [(["--quick"], INQUIRIES_QUICK, ORDERS_QUICK), (["--orders", "7"], 30, 7)])
def test_tiers_have_counts_of_their_own(words, inquiries, orders):
    found = arguments(["--tiers", *words])
    assert (found.tiers, found.inquiries, found.orders) == (True, inquiries, orders)


def test_by_default_tiers_are_not_measured():
    assert not arguments([]).tiers
    assert ORDERS_FULL == 200


@pytest.mark.parametrize("words", [["--orders", "5"], ["--tiers", "--orders", "0"], ["--tiers", "--inquiries", "9999"]])
def test_invalid_counts_are_refused_before_anything_starts(words, capsys):
    with pytest.raises(SystemExit):
        arguments(words)
    assert "usage: scripts/bench" in capsys.readouterr().err


@pytest.mark.parametrize("chain", [THREE, FIVE], ids=["three", "five"])
def test_neighbours_of_a_chain_share_a_ledger_of_the_built_in_topology(chain):
    assert set(chain.pairs) <= set(pairs_of(load_topology(chain.topology)).values())


@pytest.mark.parametrize("chain", [THREE, FIVE], ids=["three", "five"])
def test_only_the_last_provider_of_a_chain_has_what_is_asked_for(chain):
    found = _topology(chain).organizations
    assert {name for name, entry in found.items() if PLACE in str(entry.inventory)} == {chain.providers[-1]}


def test_the_target_is_for_three_tiers_one_way():
    assert QUOTE_P50.reached(1_500)
    shown = text(REPORT)
    assert "1,400 ms" in shown
    assert "reached" in shown
    assert "NOT reached" in text({**REPORT, "three": {**REPORT["three"], "alone": {**ALONE, "p50_ms": 1_501.0}}})


def test_the_text_has_the_path_what_became_of_orders_and_what_is_booked():
    shown = text(REPORT)
    for words in (
        "sourcing.requested",
        "199 quotes in 10.0 s: 5000 transactions on all ledgers, 500 tx/s",
        "orders in 20.0 s: 8000 transactions on all ledgers, 400 tx/s",
        "acme-alpha: activated 198, rejected 1",
        "stuck: nothing",
        "capacity left booked: delta active 198",
        "one purchase over 5 tiers: quote 2,500 ms",
        "node 226, engine 805",
    ):
        assert words in shown


def test_what_is_stuck_is_named():
    stuck = {**ORDERS, "stuck": {"acme-alpha order": 3}, "booked": {}}
    shown = text({**REPORT, "three": {**REPORT["three"], "orders": stuck}})
    assert "stuck: acme-alpha order 3" in shown
    assert "capacity left booked: none" in shown
    assert is_stuck({**REPORT, "three": {**REPORT["three"], "orders": stuck}})
    assert is_stuck({**REPORT, "five": {**FIVE_TIERS, "stuck": {"first-second order": 1}}})
    assert not is_stuck(REPORT)


# What is heard


@dataclass
class Event:
    name: str
    height: int = 4
    document_id: str = "d"
    transaction_id: bytes = b"t"
    ledger_time_ms: int = 0


class Seat:
    """A seat at a ledger that tells what is put into `told`."""

    ledger_name = "acme-alpha"

    def __init__(self):
        self.told, self.ledger = asyncio.Queue(), self

    async def events(self, _after):
        while True:
            yield await self.told.get()


@pytest.fixture
async def heard():
    seat, watch = Seat(), Watch()
    task = asyncio.create_task(watch.follow(seat, "0/0"))
    yield seat, watch
    task.cancel()


async def test_who_waits_hears_at_once_and_what_was_heard_before_counts(heard):
    seat, watch = heard
    waiting = asyncio.create_task(watch.heard(lambda one: one.name == "b", 60, "b"))
    await seat.told.put(Event("a"))
    await asyncio.sleep(0.01)
    assert not waiting.done()
    await seat.told.put(Event("b"))
    assert (await waiting).name == "b"
    assert (await watch.heard(lambda one: one.name == "a", 60, "a")).height == 4
    assert [one.names for one in watch.commits()] == [("a", "b")]


async def test_what_does_not_come_is_a_failure_that_says_what(heard):
    with pytest.raises(FlowFailed, match="an answer: nothing after"):
        await heard[1].heard(lambda _: True, 0.01, "an answer")
