"""Proposals: the rule about time that only gets milder, what is left out, bytes, gas, turns and quotas."""

from __future__ import annotations

import pytest
from tendermint.abci import types_pb2 as abci

from abci_app.admission import QUOTA
from abci_app.blocks import block_digest
from abci_app.failures import ExecutionFailed, LeftOut, QuotaExhausted, TimestampMissing
from abci_app.proposals import wire_bytes
from ledgers.refusals import TransactionMalformed
from ledgers.transaction import SIGNATURE_GAS, Act, encode_timestamp, prepare
from syngraph.v1.transaction_pb2 import Timestamp, Transaction
from tests.abci_app.support import check_code, timestamp, unchanged
from tests.counter import Costly
from tests.fake_consensus import BlockRefused
from tests.fake_consensus import wire_bytes as counted_by_protobuf
from tests.world import World, person

AHEAD_MS, BEHIND_MS = 500, 5_000


@pytest.fixture
def world():
    return World(names=("acme", "alpha"))


def accepts(world, *txs, name="acme"):
    """A question about a proposal changes nothing, whatever the answer."""
    with unchanged(world):
        return world.consensus.ask(name, list(txs))


@pytest.mark.parametrize(("offset_ms", "accepted"), [(0, True), (AHEAD_MS, True), (AHEAD_MS + 1, False)])
def test_a_timestamp_may_be_a_little_ahead_of_a_validators_clock(world, offset_ms, accepted):
    assert accepts(world, timestamp(world, offset_ms)) is accepted


def test_invalid_timestamps_late_and_early_are_refused_at_first(world):
    world.clock.now_ms += 60_000
    assert not accepts(world, timestamp(world, -BEHIND_MS - 1))
    assert not accepts(world, timestamp(world, AHEAD_MS + 1), name="alpha")


def test_being_ahead_is_never_forgiven(world):
    for _ in range(12):
        assert not accepts(world, timestamp(world, AHEAD_MS + 1))


@pytest.mark.parametrize(("behind_ms", "asked"), [(5_000, 0), (10_000, 1), (20_000, 2), (3_600_000, 10)])
def test_being_behind_is_forgiven_twice_as_much_with_each_proposal(world, behind_ms, asked):
    world.clock.now_ms += 10_000_000
    for _ in range(asked):
        assert not accepts(world, timestamp(world, -9_900_000))
    too_old = timestamp(world, -(BEHIND_MS << asked) - 1)
    just_right = timestamp(world, -behind_ms)
    if asked == 0:
        assert accepts(world, just_right)
    else:
        # Each question counts, so ask the application that was asked `asked` times only once.
        assert accepts(world, just_right)
    assert not accepts(world, too_old, name="alpha") or asked > 0


def test_a_block_once_accepted_at_a_height_stays_accepted_however_old_it_gets(world):
    block = [timestamp(world), world.program("open plain 3600000", ttl_ms=600_000)]
    assert accepts(world, *block)
    world.clock.now_ms += 86_400_000
    assert accepts(world, *block)


def test_a_locked_block_that_aged_is_decided_without_help(world):
    """A polka without a commit: nobody may vote for the old block until enough rounds have asked (hazard B1)."""
    block = [timestamp(world), world.program("open plain 3600000", ttl_ms=600_000)]
    world.clock.now_ms += 136_000
    rounds = 0
    while [accepts(world, *block, name=name) for name in world.consensus.up] != [True, True]:
        rounds += 1
        assert rounds < 20, "the ledger has halted"
    assert rounds == 5
    assert world.consensus.decide(block).results[1].code == 0
    assert world.consensus.run()


def test_the_count_of_proposals_begins_anew_at_each_height(world):
    world.clock.now_ms += 1_000_000
    for _ in range(5):
        accepts(world, timestamp(world, -900_000))
    world.consensus.block()
    world.clock.now_ms += 1_000_000
    assert not accepts(world, timestamp(world, -BEHIND_MS - 1))


def test_when_ledger_time_is_ahead_of_the_clock_time_crawls_and_the_ledger_goes_on(world):
    world.clock.now_ms += 3_600_000
    world.execute("open plain 20000")
    ahead_ms = world.committed.clock.time_ms
    world.clock.now_ms -= 3_600_000
    for expected in (1, 2, 3):
        world.consensus.submit(world.program("open plain 20000", expires_at_ms=ahead_ms + 60_000))
        world.consensus.block()
        assert world.committed.clock.time_ms == ahead_ms + expected


def test_invalid_timestamps_missing_early_doubled_or_going_back(world):
    good, again = timestamp(world), timestamp(world, 1)
    last_ms = world.committed.clock.time_ms
    raw = world.program("open plain 20000")
    back = encode_timestamp(world.ledger_id, last_ms)
    negative = Transaction(timestamp=Timestamp(ledger_id=world.ledger_id, time_ms=-1)).SerializeToString()
    foreign = encode_timestamp("sg_" + "a" * 32, world.clock())
    with unchanged(world):
        for txs in (
            [],
            [raw],
            [raw, good],
            [good, again],
            [good, good],
            [back],
            [negative],
            [foreign],
            [good + b"\x00"],
            [b""],
            [b"\xff" * 300],
            [Transaction(timestamp=Timestamp(ledger_id=world.ledger_id)).SerializeToString()],
        ):
            assert not accepts(world, *txs), txs


def test_a_decided_block_without_a_timestamp_has_results_and_crawls(world):
    last_ms = world.committed.clock.time_ms
    raw = world.program("open plain 20000")
    # Nobody can tell from the entries when it was made, so the transaction's own expiry judges by the crawling clock.
    block = world.consensus.decide([b"junk", world.program("open plain 20000", expires_at_ms=last_ms + 60_000), raw])
    assert [r.code for r in block.results] == [TimestampMissing.code, 0, 0]
    assert world.committed.clock.time_ms == last_ms + 1
    assert world.consensus.decide([]).results == []


def test_invalid_block_with_an_undecodable_transaction(world):
    txs = [timestamp(world), b"\x0a\x03abc", world.program("open plain 20000")]
    assert not accepts(world, *txs)
    with pytest.raises(BlockRefused):
        world.consensus.block(txs)
    codes = [r.code for r in world.consensus.decide(txs).results]
    assert codes == [0, TransactionMalformed.code, 0]


def test_ten_idle_blocks_keep_the_app_hash(world):
    world.execute("open plain 20000")
    with unchanged(world):
        for _ in range(10):
            world.clock.now_ms += 1_000
            assert not world.consensus.needs_block()
            world.consensus.block()
    assert world.committed.height == world.consensus.height


def test_a_change_makes_two_blocks_and_then_the_ledger_sleeps(world):
    for raw in (world.program("open plain 3600000"), world.program("refuse")):
        world.consensus.submit(raw)
        assert len(world.consensus.run()) == 2


def test_a_transaction_that_raises_is_left_out_and_does_not_come_back(world):
    raw = world.program("raise")
    with unchanged(world):
        assert world.consensus.submit(raw).code == 0
        blocks = world.consensus.run(blocks_max=4)
        assert all(len(b.txs) == 1 for b in blocks)
        assert not any(world.consensus.mempools.values())
        # The proposer remembers it; the others have only their recheck, which asks a proposer's memory of their own.
        assert check_code(world, raw) in {0, LeftOut.code}
    assert world.execute("open plain 20000")[0].code == 0


def test_a_raising_transaction_in_a_decided_block_has_a_result_and_leaves_no_trace(world):
    raw = world.program("raise")
    txs = [timestamp(world), raw]
    assert not accepts(world, *txs)
    with unchanged(world):
        block = world.consensus.decide(txs)
    assert [r.code for r in block.results] == [0, ExecutionFailed.code]


def test_recheck_refuses_what_a_proposer_left_out(world):
    raw = world.program("raise")
    world.consensus.submit(raw)
    request = abci.RequestPrepareProposal(height=world.consensus.height + 1, txs=[raw], max_tx_bytes=100_000)
    assert len(world.app.prepare_proposal(request).txs) == 1
    assert check_code(world, raw, recheck=True) == LeftOut.code
    assert check_code(world, raw) == LeftOut.code


def test_a_proposal_is_filled_to_the_last_byte_and_no_further(world):
    raws = [world.program("open plain 20000") for _ in range(40)]
    size = len(timestamp(world))
    limit = wire_bytes(timestamp(world)) + sum(wire_bytes(raw) for raw in raws[:25])
    for bytes_max, expected in ((limit, 26), (limit - 1, 25), (limit + 1, 26)):
        request = abci.RequestPrepareProposal(height=world.consensus.height + 1, txs=raws, max_tx_bytes=bytes_max)
        txs = world.app.prepare_proposal(request).txs
        assert len(txs) == expected
        assert sum(counted_by_protobuf(tx) for tx in txs) <= bytes_max
    assert size < 120
    # What had no room is not held against anybody.
    assert check_code(world, raws[-1], recheck=True) == 0


def test_bytes_are_counted_as_cometbft_counts_them():
    for length in (0, 1, 127, 128, 16_383, 16_384, 2_097_151, 2_097_152):
        assert wire_bytes(bytes(length)) == counted_by_protobuf(bytes(length))


def test_four_thousand_small_transactions_go_in_blocks_of_a_million_gas():
    world = World(names=("acme",))
    raws = [world.program("refuse") for _ in range(3_000)]
    request = abci.RequestPrepareProposal(height=world.consensus.height + 1, txs=raws, max_tx_bytes=4_000_000)
    txs = list(world.app.prepare_proposal(request).txs)
    gas = prepare(Transaction.FromString(raws[0]).signed, world.committed.table, world.committed.parameters).gas
    assert gas > SIGNATURE_GAS + world.committed.table.messages["withdraw_proposal"].gas
    assert len(txs) == 1 + 1_000_000 // gas
    assert accepts(world, *txs)
    assert not accepts(world, *txs, *raws[len(txs) : len(txs) + 1])


def test_organizations_take_turns(world):
    acme = [world.program("refuse") for _ in range(6)]
    alpha = [world.program("refuse", signers=("alpha",)) for _ in range(2)]
    request = abci.RequestPrepareProposal(height=world.consensus.height + 1, txs=[*acme, *alpha], max_tx_bytes=100_000)
    txs = list(world.app.prepare_proposal(request).txs)
    first, second = (acme, alpha) if world.committed.height % 2 == 0 else (alpha, acme)
    assert txs[1:] == [first[0], second[0], first[1], second[1], *acme[2:]]


def test_an_organization_whose_transactions_fill_blocks_leaves_every_other_block_to_the_next(monkeypatch):
    """Its own came first in the mempool, so they came first in every block, and nothing else had room."""
    world = World(names=("acme",))
    costly = [
        world.transaction(Act(name="decline_proposal", command=Costly(proposal_id="open plain 20000")))
        for _ in range(6)
    ]
    small = world.program("open plain 20000", signers=("alpha",))
    full = prepare(Transaction.FromString(costly[0]).signed, world.committed.table, world.committed.parameters).gas
    monkeypatch.setattr("abci_app.execution.run.BLOCK_GAS_MAX", full)
    for raw in (*costly, small):
        assert world.consensus.submit(raw).code == 0
    blocks = world.consensus.run()
    assert any(small in block.txs for block in blocks[:2])
    assert all(world.receipt(raw).code == 0 for raw in (*costly, small))


def test_one_organization_fills_at_most_a_quarter_of_the_mempool():
    world = World(names=("acme",))
    for _ in range(QUOTA):
        assert check_code(world, world.program("refuse")) == 0
    one_more = world.program("refuse")
    assert check_code(world, one_more) == QuotaExhausted.code
    assert check_code(world, world.program("refuse", signers=("alpha",))) == 0
    # A transaction that waits already is rechecked, and room that becomes free can be had.
    world.consensus.submit(world.program("refuse", signers=("alpha",)))
    world.consensus.run()
    for _ in range(4):
        world.consensus.block()
    assert check_code(world, one_more) == 0


def test_one_organization_fills_at_most_a_quarter_of_the_mempools_bytes(monkeypatch):
    """Five hundred transactions of half a megabyte were all that the engine takes."""
    monkeypatch.setattr("abci_app.admission.QUOTA_BYTES", 2_000)
    world = World(names=("acme",))
    raws = [world.program("open plain 20000") for _ in range(20)]
    fit = 2_000 // len(raws[0])
    codes = [world.consensus.submit(raw).code for raw in raws]
    assert codes == [0] * fit + [QuotaExhausted.code] * (20 - fit)
    assert check_code(world, world.program("refuse", signers=("alpha",))) == 0
    world.consensus.run()
    assert world.app.admission._bytes[person("acme").organization] == 0
    assert check_code(world, world.program("refuse")) == 0


def test_what_was_in_a_block_no_longer_counts():
    world = World(names=("acme",))
    raws = [world.program("refuse") for _ in range(QUOTA)]
    for raw in raws:
        assert world.consensus.submit(raw).code == 0
    assert world.app.admission.waiting() == QUOTA
    world.consensus.run()
    assert world.app.admission.waiting() == 0
    assert check_code(world, world.program("refuse")) == 0


def test_a_result_is_kept_by_every_transaction_and_by_the_misbehaviour(world):
    first = timestamp(world)
    one, other = world.program("open plain 20000"), world.program("refuse")
    assert accepts(world, first, one)
    assert accepts(world, first, other)
    assert not accepts(world, first, one, world.program("raise"))
    assert not accepts(world, first, b"junk")
    evidence = [abci.Misbehavior(height=1)]
    digests = {
        block_digest(txs, misbehavior)
        for txs in ([], [b""], [first], [first, one], [first, other], [first, one, other], [first + one])
        for misbehavior in ([], evidence)
    }
    assert len(digests) == 14
    block = world.consensus.decide([first, other])
    assert block.results[1].code == 9901


def test_at_most_three_results_are_kept_and_none_after_a_commit(world):
    results = world.app._blocks._results
    for n in range(5):
        assert accepts(world, timestamp(world, n))
        assert len(results) == min(n + 1, 3)
    world.consensus.block()
    assert results == {}


def test_a_block_is_executed_once(world):
    raw = world.program("open plain 20000")
    world.consensus.submit(raw)
    proposer = world.consensus.proposer()
    times = {name: application.times for name, application in world.consensus.up.items()}
    before = {name: t.blocks for name, t in times.items()}
    world.consensus.block()
    assert {name: t.blocks - before[name] for name, t in times.items()} == dict.fromkeys(times, 1)
    assert proposer in times
