"""What a small act makes of large documents is counted: what it reads and writes, against its block's share."""

from __future__ import annotations

import pytest
from tendermint.abci import types_pb2 as abci

from abci_app.execution.acts import HandledBytesFullError, Meter, MeteredLayer
from abci_app.failures import BlockTooCostly
from smartcontracts.kernel import HANDLED_BYTES_MAX, TooMuchHandled
from tests.abci_app.support import timestamp, unchanged
from tests.counter import COUNTER
from tests.world import START_MS, World, act

LARGE = 500_000


@pytest.fixture
def world():
    return World(names=("acme", "alpha"))


def large(world, count=1):
    """Ids of documents of half a megabyte."""
    receipts = world.execute(*(f"grow {LARGE}" for _ in range(count)))
    assert all(receipt.code == 0 for receipt in receipts)
    return [receipt.documents[0].id for receipt in receipts]


def proposed(world, raws):
    request = abci.RequestPrepareProposal(height=world.consensus.height + 1, txs=raws, max_tx_bytes=4_000_000)
    return list(world.app.prepare_proposal(request).txs)


def accepts(world, txs):
    with unchanged(world):
        answers = [world.consensus.ask(name, txs) for name in world.consensus.up]
    assert len(set(answers)) == 1
    return answers[0]


def test_a_block_has_so_many_small_acts_on_large_documents_and_the_rest_follows(world):
    """Each is of 300 bytes, costs 400 gas, and makes every replica read and write half a megabyte."""
    (large_id,) = large(world)
    raws = [world.program(f"count {large_id}") for _ in range(20)]
    txs = proposed(world, raws)
    # Each reads it and writes it, and no part of a transaction is done.
    assert len(txs) - 1 == HANDLED_BYTES_MAX // (2 * LARGE)
    assert accepts(world, txs)
    assert not accepts(world, [*txs, raws[len(txs) - 1]])
    receipts = world.execute(*raws)
    assert [receipt.code for receipt in receipts] == [0] * 20
    assert len({receipt.height for receipt in receipts}) == 3
    assert len(world.committed.view.get(COUNTER, large_id).accepted_by) == 20


def test_invalid_entry_of_a_decided_block_that_has_no_room_leaves_no_trace(world):
    (large_id,) = large(world)
    raws = [world.program(f"count {large_id}") for _ in range(9)]
    block = world.consensus.decide([timestamp(world), *raws])
    assert [result.code for result in block.results] == [0] * 9 + [BlockTooCostly.code]
    assert len(world.committed.view.get(COUNTER, large_id).accepted_by) == 8
    assert world.execute(raws[8])[0].code == 0


def test_invalid_transaction_that_is_too_much_for_a_whole_block_has_its_refusal(world):
    (large_id,) = large(world)
    count = act(f"count {large_id}")
    most = HANDLED_BYTES_MAX // LARGE - 1
    at_most, too_much = world.transaction(*[count] * most), world.transaction(*[count] * (most + 1))
    # It has a place, but not behind anything.
    assert accepts(world, [timestamp(world), too_much])
    assert not accepts(world, [timestamp(world), world.program(f"count {large_id}"), too_much])
    first, second, third = world.execute(at_most, too_much, "open plain 20000")
    assert (first.code, third.code) == (0, 0)
    assert (second.code, second.name, second.message_index) == (TooMuchHandled.code, "TOO_MUCH_HANDLED", most)
    assert "send less at once" in second.sentence
    assert not second.documents
    assert len(world.committed.view.get(COUNTER, large_id).accepted_by) == most


def test_what_a_refused_transaction_handled_is_counted(world):
    """It read them all the same."""
    (large_id,) = large(world)
    wasted = [world.transaction(act(f"count {large_id}"), act("refuse")) for _ in range(9)]
    assert len(proposed(world, wasted)) == 1 + 8


def test_a_document_is_counted_once_however_often_a_transaction_reads_it_and_known_or_not(world):
    (large_id,) = large(world)
    for _ in range(2):
        meter = Meter()
        layer = MeteredLayer(world.committed.view, meter)
        for _ in range(3):
            assert layer.get(COUNTER, large_id)
            assert layer.find(COUNTER, "status", "open", 5)
        size = len(world.committed.view.document(COUNTER, large_id).stored)
        assert meter.handled == size
        written = layer.write(COUNTER, layer.get(COUNTER, large_id), START_MS)
        assert meter.handled == size + len(written.stored)
    assert layer.get(COUNTER, "ctr_none") is None
    assert meter.handled == size + len(written.stored)


def test_a_message_that_may_handle_more_does_so_where_its_transaction_is_alone():
    meter = Meter(10, alone=True)
    meter.allow(5)
    meter.add(10)
    meter.allow(12)
    meter.add(2)
    with pytest.raises(HandledBytesFullError):
        meter.add(1)
    meter = Meter(10)
    meter.allow(100)
    with pytest.raises(HandledBytesFullError):
        meter.add(11)


def test_who_handles_much_takes_no_places_but_its_own(world):
    """What has no room is tried once for each organization, and the others' go in as ever."""
    (large_id,) = large(world)
    heavy = [world.transaction(*[act(f"count {large_id}")] * 9) for _ in range(6)]
    small = [world.program("open plain 20000", signers=("alpha",)) for _ in range(30)]
    txs = proposed(world, [*heavy, *small])
    assert [raw for raw in txs if raw in heavy] == heavy[:1]
    assert [raw for raw in txs if raw in small] == small
    receipts = world.execute(*heavy, *small)
    assert all(receipt.code == 0 for receipt in receipts)
    assert [receipt.height for receipt in receipts[:6]] == sorted({receipt.height for receipt in receipts[:6]})
