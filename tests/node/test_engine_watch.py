"""Watching progress: standing still with work pending is a fault, sleeping is not, and patience grows."""

from __future__ import annotations

import asyncio

import pytest

from node.engine_watch import STUCK_MAX_S, STUCK_S, EngineWatch, Progress
from node.ledger_link import LedgerLink
from node.supervisor import turn_of
from node.ticker import attempt_at


def test_an_engine_that_stands_still_with_work_pending_is_stuck_after_30_s():
    progress = Progress()
    assert not progress.is_stuck("5/0", 100.0, pending=True)
    assert not progress.is_stuck("5/0", 100.0 + STUCK_S - 0.1, pending=True)
    assert progress.is_stuck("5/0", 100.0 + STUCK_S, pending=True)


def test_a_ledger_that_sleeps_is_not_stuck():
    progress = Progress()
    assert not any(progress.is_stuck("5/0", float(now), pending=False) for now in range(0, 600, 5))
    # The time counts from when there was work.
    assert not progress.is_stuck("5/0", 601.0, pending=True)
    assert progress.is_stuck("5/0", 595.0 + STUCK_S, pending=True)


@pytest.mark.parametrize("place", ["6/0", "5/1"])
def test_a_new_height_or_round_is_progress(place):
    progress = Progress()
    progress.is_stuck("5/0", 0.0, pending=True)
    assert not progress.is_stuck(place, STUCK_S, pending=True)


def test_restarts_that_change_nothing_grow_rarer_until_there_is_progress():
    progress = Progress()
    progress.is_stuck("5/0", 0.0, pending=True)
    for _ in range(10):
        progress.restarted(0.0)
    assert progress.patience_s == STUCK_MAX_S
    progress.is_stuck("6/0", 1.0, pending=True)
    assert progress.patience_s == STUCK_S


async def test_a_failure_of_consensus_in_the_log_restarts_the_engine_at_once():
    restarted = asyncio.Event()

    async def restart():
        restarted.set()

    link = LedgerLink("sg_x", "x", application=None, engine=None)
    watch = EngineWatch(link, restart)
    running = asyncio.create_task(watch.run())
    try:
        watch.take_line('{"_msg": "Stopping peer for error", "module": "p2p"}')
        # What a peer calls itself may hold anything.
        watch.take_line('{"_msg": "Error dialing peer", "module": "p2p", "err": "moniker CONSENSUS FAILURE!!!"}')
        watch.take_line("[" * 60_000)
        await asyncio.sleep(0.05)
        assert not restarted.is_set()
        watch.take_line('{"_msg": "CONSENSUS FAILURE!!!", "module": "consensus", "err": "invalid block"}')
        await asyncio.wait_for(restarted.wait(), 60)
    finally:
        running.cancel()


def test_all_members_agree_on_the_turns_and_nobody_shares_one():
    ids = frozenset(f"{n:040x}" for n in range(7))
    assert sorted(turn_of(each, ids) for each in ids) == list(range(7))


@pytest.mark.parametrize(
    ("now_ms", "attempt"), [(10_000, None), (10_499, None), (10_500, 0), (11_499, 0), (11_500, 1), (70_500, 60)]
)
def test_ticks_begin_when_a_proposers_clock_must_be_past_the_deadline_and_count_seconds(now_ms, attempt):
    assert attempt_at(now_ms, 10_000, 500) == attempt
