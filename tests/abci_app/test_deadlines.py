"""Deadlines fire by themselves: in order, with their cascades, so many a block, and one that raises costs one document."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tendermint.abci import types_pb2 as abci

from abci_app.failures import TickNotDue, TickRepeated
from abci_app.records import QUARANTINE, QUARANTINE_ID_PREFIX
from ledgers.transaction import encode_tick
from smartcontracts.kernel import DocumentTooLarge
from tests.abci_app.support import check_code, timestamp, unchanged
from tests.counter import COUNTER
from tests.world import World, quiet_log, with_parameters


@pytest.fixture
def world():
    return World(names=("acme", "alpha"))


def tick(world, due_ms=None, attempt=0):
    return encode_tick(world.ledger_id, due_ms or world.committed.next_due_ms(), attempt)


def counter(world, receipt):
    return world.committed.view.get(COUNTER, receipt.documents[0].id)


def fire(world, ms):
    """Move the clock and make one block; its events' names and documents."""
    world.clock.now_ms += ms
    before = world.committed.clock.event_sequence
    block = world.consensus.block()
    from abci_app.queries.eventlog import Position, read_events

    events, _ = read_events(Position(block.height), world.committed, 10_000)
    assert world.committed.clock.event_sequence == before + len(events)
    return [(e.name, e.document_id) for e in events]


def test_a_window_closes_though_its_document_is_over_a_limit_that_was_lowered_since(world):
    """The write was refused as too large, so the document went into quarantine and its window never closed."""
    from abci_app.execution.run import BlockRun

    (receipt,) = world.execute("open plain 20000")
    committed = world.committed
    lowered = replace(committed.rules, parameters=replace(committed.parameters, document_bytes_max=1))
    run = BlockRun(replace(committed, rules=lowered), world.app.reader, committed.next_due_ms() + 1, log=quiet_log())
    run.fire_deadlines()
    assert run.fired == 1
    assert run.layer.get(COUNTER, receipt.documents[0].id).status == "lapsed"
    # A transaction's document is refused all the same.
    assert run.run_entry(world.program("open plain 20000")).receipt.code == DocumentTooLarge.code


def test_a_document_at_the_limit_can_still_be_answered(world):
    """A buyer could size an order so that its seller's answer, or its activation, did not fit any more."""
    from abci_app.execution.run import BlockRun

    (receipt,) = world.execute("open plain 20000")
    committed, counter_id = world.committed, receipt.documents[0].id
    size = len(committed.view.document(COUNTER, counter_id).stored)
    brim = replace(committed.rules, parameters=replace(committed.parameters, document_bytes_max=size - 1))
    run = BlockRun(replace(committed, rules=brim), world.app.reader, world.clock.now_ms, log=quiet_log())
    assert run.run_entry(world.program(f"count {counter_id}")).receipt.code == 0
    assert run.run_entry(world.program("open plain 20000")).receipt.code == DocumentTooLarge.code


def test_a_window_is_open_through_its_last_millisecond(world):
    (receipt,) = world.execute("open plain 20000")
    due_ms = world.committed.next_due_ms()
    world.clock.now_ms = due_ms
    with unchanged(world):
        world.consensus.block()
    world.clock.now_ms = due_ms + 1
    world.consensus.block()
    assert counter(world, receipt).status == "lapsed"
    assert world.committed.next_due_ms() is None


def test_due_is_recorded_as_the_moment_it_took_effect(world):
    (receipt,) = world.execute("open plain 20000")
    due_ms = world.committed.next_due_ms()
    fire(world, 7_200_000)
    assert counter(world, receipt).result == (f"due {due_ms}", f"at {world.committed.clock.time_ms}")


def test_those_due_fire_in_order_of_due_and_key_before_transactions(world):
    receipts = world.execute("open plain 30000", "open plain 20000", "open plain 20000")
    late, *same = [r.documents[0].id for r in receipts]
    world.consensus.submit(world.program(f"count {late}", expires_at_ms=world.clock() + 100_000))
    names = fire(world, 60_000)
    assert names == [
        *(("counter.lapsed", name) for name in sorted(same)),
        ("counter.lapsed", late),
        ("counter.counted", late),
    ]


def test_one_that_falls_due_by_anothers_firing_fires_in_the_same_block_in_order(world):
    chain, plain = world.execute("open chain/3 20000", "open plain 20001")
    names = fire(world, 60_000)
    lapsed = [name for event, name in names if event == "counter.lapsed"]
    assert len(lapsed) == 5
    assert lapsed[0] == chain.documents[0].id
    # The second of the chain and the plain one are due in the same millisecond.
    assert plain.documents[0].id in lapsed[1:3]
    assert sorted(lapsed[1:3]) == lapsed[1:3]


def test_a_cascade_stops_where_ledger_time_does(world):
    world.execute("open chain/50 20000")
    names = fire(world, 20_005)
    assert len([n for event, n in names if event == "counter.lapsed"]) == 5
    assert world.committed.next_due_ms() is not None


def test_the_rest_fires_in_the_blocks_that_follow_by_themselves():
    world = World(names=("acme",), parameters=with_parameters(deadlines_per_block_max=10))
    world.execute("many 25")
    world.clock.now_ms += 4_000_000
    world.consensus.submit(tick(world))
    blocks = world.consensus.run()
    lapsed = [len(world.committed.view.find(COUNTER, "status", "lapsed", 100))]
    assert lapsed == [25]
    # Three that fire, and the proof block of the last.
    assert len(blocks) == 4


def test_the_deadlines_of_a_block_write_so_many_bytes_and_the_rest_follows(monkeypatch):
    """Documents of the largest size, all due in one millisecond, were written in one block."""
    world = World(names=("acme",))
    (receipt,) = world.execute("many 25")
    size = len(world.committed.view.document(COUNTER, receipt.documents[0].id).stored)
    # A lapsed one is a little longer, so a block's fourth is the last.
    monkeypatch.setattr("abci_app.execution.deadlines.DUE_BYTES_MAX", 4 * size)
    world.clock.now_ms += 4_000_000
    world.consensus.submit(tick(world))
    blocks = world.consensus.run()
    assert len(world.committed.view.find(COUNTER, "status", "lapsed", 100)) == 25
    assert len(blocks) > 25 // 4 + 1


@pytest.mark.parametrize("mode", ["bomb", "reject", "stuck"])
def test_a_deadline_that_raises_costs_its_writes_and_its_document_only(world, mode):
    broken, sound = world.execute(f"open {mode} 20000", "open plain 20001")
    key = f"counter/{broken.documents[0].id}"
    names = fire(world, 30_000)
    assert names == [("counter.lapsed", sound.documents[0].id)]
    assert counter(world, broken).status == "open"
    assert counter(world, broken).accepted_by == ()
    record = world.committed.view.get(QUARANTINE, f"{QUARANTINE_ID_PREFIX}{key}")
    assert record.document == key
    assert record.transition == "lapse"
    assert record.rules_version == 1
    assert world.committed.quarantined == {key}
    assert world.committed.next_due_ms() is None
    # It sleeps and goes on.
    world.consensus.run()
    with unchanged(world):
        world.consensus.block()
    assert world.execute("open plain 20000")[0].code == 0


def test_a_quarantined_document_loses_its_other_deadlines_in_the_same_block(world):
    (broken,) = world.execute("open bombs 20000")
    assert len(list(world.committed.deadlines())) == 2
    assert fire(world, 30_000) == []
    assert counter(world, broken).status == "open"
    assert list(world.committed.deadlines()) == []


def test_a_quarantined_document_fires_no_more_when_it_is_written_again(world):
    (receipt,) = world.execute("open bomb 20000")
    fire(world, 30_000)
    world.consensus.run()
    assert world.execute(f"count {receipt.documents[0].id}")[0].code == 0
    assert counter(world, receipt).accepted_by
    assert world.committed.next_due_ms() is None
    assert fire(world, 30_000) == []


def test_a_counted_document_keeps_one_deadline(world):
    (receipt,) = world.execute("open plain 20000")
    world.execute(f"count {receipt.documents[0].id}", f"count {receipt.documents[0].id}")
    assert len(list(world.committed.deadlines())) == 1
    assert len(fire(world, 30_000)) == 1


def test_two_deadlines_in_a_row_on_an_idle_ledger_fire_by_one_tick_each(world):
    first, second = world.execute("open plain 20000", "open plain 40000")
    for receipt in (first, second):
        world.clock.now_ms = world.committed.next_due_ms() + 600
        assert world.consensus.submit(tick(world)).code == 0
        blocks = world.consensus.run()
        assert [r.code for r in blocks[0].results] == [0, 0]
        assert counter(world, receipt).status == "lapsed"


def test_a_tick_is_the_same_bytes_on_every_node(world):
    world.execute("open plain 20000")
    ticks = {encode_tick(a.ledger_id, a.committed.next_due_ms(), 3) for a in world.consensus.applications.values()}
    assert len(ticks) == 1


def test_invalid_tick_before_its_time_or_of_another_deadline(world):
    world.execute("open plain 20000")
    due_ms = world.committed.next_due_ms()
    world.clock.now_ms = due_ms - 1
    assert check_code(world, tick(world)) == TickNotDue.code
    world.clock.now_ms = due_ms + 5_000
    assert check_code(world, tick(world, due_ms + 1)) == TickNotDue.code
    assert check_code(world, encode_tick("sg_other", due_ms, 0)) == TickNotDue.code
    assert check_code(world, tick(world, attempt=16)) == TickNotDue.code
    assert check_code(world, tick(world, attempt=15)) == 0


def test_a_tick_that_fires_nothing_has_a_code_so_that_the_engine_forgets_it(world):
    world.execute("open plain 20000")
    due_ms = world.committed.next_due_ms()
    world.clock.now_ms = due_ms
    block_txs = [timestamp(world), tick(world)]
    assert world.consensus.ask("alpha", block_txs)
    with unchanged(world):
        block = world.consensus.decide(block_txs)
    assert [r.code for r in block.results] == [0, TickNotDue.code]


def test_a_tick_of_another_deadline_has_a_code_though_one_fired(world):
    world.execute("open plain 20000")
    due_ms = world.committed.next_due_ms()
    world.clock.now_ms = due_ms + 600
    block = world.consensus.decide([timestamp(world), tick(world, due_ms + 1)])
    assert [r.code for r in block.results] == [0, TickNotDue.code]
    assert world.committed.next_due_ms() is None


def test_a_proposer_whose_clock_is_behind_leaves_the_tick_out_and_recheck_forgets_it(world):
    world.execute("open plain 20000")
    world.clock.now_ms = world.committed.next_due_ms()
    raw = tick(world)
    assert world.consensus.submit(raw).code == 0
    blocks = world.consensus.run()
    assert [len(b.txs) for b in blocks] == [1] * len(blocks)
    assert len(blocks) <= 2
    world.clock.now_ms += 1_000
    assert world.consensus.submit(tick(world, attempt=1)).code == 0
    assert world.consensus.run()[0].results[1].code == 0


def test_the_same_tick_again_after_it_fired_is_not_due(world):
    world.execute("open plain 20000")
    world.clock.now_ms = world.committed.next_due_ms() + 600
    raw = tick(world)
    world.consensus.submit(raw)
    world.consensus.run()
    assert check_code(world, raw) == TickNotDue.code


def test_invalid_block_with_two_ticks(world):
    world.execute("open plain 20000")
    world.clock.now_ms = world.committed.next_due_ms() + 600
    txs = [timestamp(world), tick(world), tick(world, attempt=1)]
    assert not world.consensus.ask("acme", txs)
    block = world.consensus.decide(txs)
    assert [r.code for r in block.results] == [0, 0, TickRepeated.code]


def test_a_transaction_wakes_deadlines_without_a_tick(world):
    receipts = world.execute("open plain 20000")
    world.clock.now_ms += 30_000
    world.execute("open plain 20000")
    assert counter(world, receipts[0]).status == "lapsed"


def test_recheck_refuses_a_tick_whose_deadline_is_gone(world):
    receipts = world.execute("open plain 20000")
    world.clock.now_ms = world.committed.next_due_ms() + 600
    raw = tick(world)
    world.consensus.block()
    assert counter(world, receipts[0]).status == "lapsed"
    answer = world.app.check_tx(abci.RequestCheckTx(tx=raw, type=abci.RECHECK))
    assert answer.code == TickNotDue.code
