"""Commits: nothing is written before one, one is whole or not there, and a ledger that fails stops with a record."""

from __future__ import annotations

import json
from hashlib import sha256

import plyvel
import pytest
from tendermint.abci import types_pb2 as abci

from abci_app.halt import HALT_FILE, LedgerHaltedError, read_halt
from abci_app.store import LevelStore
from abci_app.store.kv import StoreDamagedError
from tests.abci_app.support import timestamp
from tests.fake_consensus import init_chain_request
from tests.world import World, make_genesis

STEPS = ("init_chain", "check_tx", "prepare_proposal", "process_proposal", "finalize_block", "batch", "commit")


def reopen(world, name="acme"):
    """The process is killed and started again: a new application on the same store."""
    world.consensus.applications[name].ledger.store.close()
    again = world.application(name)
    world.consensus.applications[name] = again
    return again


@pytest.mark.parametrize("last", STEPS)
def test_a_kill_after_any_step_leaves_the_last_committed_state(tmp_path, last):
    world = World(tmp_path, names=("acme",))
    world.execute("open plain 20000", "open chain/3 1000")
    expected = (world.committed.height, world.root)
    application, raw = world.app, world.program("open plain 20000")
    txs = [timestamp(world), raw]
    height = world.consensus.height + 1
    steps = {
        "init_chain": lambda: None,
        "check_tx": lambda: application.check_tx(abci.RequestCheckTx(tx=raw)),
        "prepare_proposal": lambda: application.prepare_proposal(
            abci.RequestPrepareProposal(height=height, txs=[raw], max_tx_bytes=10_000)
        ),
        "process_proposal": lambda: application.process_proposal(abci.RequestProcessProposal(height=height, txs=txs)),
        "finalize_block": lambda: application.finalize_block(abci.RequestFinalizeBlock(height=height, txs=txs)),
        "batch": lambda: application.ledger.batch(application._decided[0]),
        "commit": lambda: application.commit(abci.RequestCommit()),
    }
    for name in STEPS[: STEPS.index(last) + 1]:
        steps[name]()
    if last == "commit":
        expected = (world.committed.height, world.root)
    again = reopen(world)
    info = again.info(abci.RequestInfo(abci_version="2.0.0"))
    assert (info.last_block_height, info.last_block_app_hash) == expected
    assert info.app_version == 1
    # The engine replays the block, or goes on after it.
    if last != "commit":
        world.consensus.decide(txs)
    assert again.committed.clock.time_ms >= world.committed.clock.time_ms
    assert again.committed.view.reader.get(b"mheight") == height.to_bytes(8, "big")


def test_nothing_is_written_before_the_first_commit_and_init_chain_may_come_again(tmp_path):
    world = World(tmp_path, names=("acme",), start=False)
    request = init_chain_request(world.genesis)
    first = world.app.init_chain(request)
    assert list(world.app.ledger.store.snapshot().scan(b"", b"\xff")) == []
    assert reopen(world).info(abci.RequestInfo()).last_block_height == 0
    assert world.app.init_chain(request).app_hash == first.app_hash
    assert world.app.init_chain(request).app_hash == first.app_hash
    world.consensus.start()
    world.consensus.run()
    again = reopen(world)
    assert (again.committed.height, again.committed.root) == (1, first.app_hash)


def test_a_restart_in_the_middle_of_a_history_changes_nothing(tmp_path):
    plain, restarted = World(names=("acme",)), World(tmp_path, names=("acme",))
    for turn in range(6):
        for world in (plain, restarted):
            world.execute(f"open chain/2 {turn * 10_000 + 1}", "refuse")
            world.clock.now_ms += 15_000
        reopen(restarted)
    for world in (plain, restarted):
        world.execute("many 2")
    assert restarted.root == plain.root
    assert restarted.committed.quarantined == plain.committed.quarantined


def test_a_replay_is_refused_after_a_restart_too(tmp_path):
    world = World(tmp_path, names=("acme",))
    raw = world.program("refuse")
    world.execute(raw)
    again = reopen(world)
    assert again.check_tx(abci.RequestCheckTx(tx=raw)).code == 1023


@pytest.mark.parametrize(
    ("kind", "message"),
    [(OSError, "disk full"), (plyvel.Error, "corruption"), (MemoryError, ""), (StoreDamagedError, "gone")],
)
def test_a_failing_store_stops_the_ledger_before_commit_with_a_record(tmp_path, kind, message):
    world = World(tmp_path, names=("acme",))
    before = (world.committed.height, world.root)
    store = world.app.ledger.store

    class Failing:
        def __getattr__(self, name):
            return getattr(store, name)

        def write(self, batch):
            raise kind(message)

    world.app.ledger.store = Failing()
    world.consensus.submit(world.program("open plain 20000"))
    with pytest.raises(kind):
        world.consensus.block()
    record = read_halt(tmp_path / "acme")
    assert (record.height, record.step, record.failure) == (before[0] + 1, "commit", kind.__name__)
    assert record.ledger_id == world.ledger_id
    # It answers no further question of consensus, and what was committed is still there.
    with pytest.raises(LedgerHaltedError):
        world.consensus.prepare("acme")
    store.close()
    again = LevelStore(tmp_path / "acme" / "store")
    assert again.get(b"mheight") == before[0].to_bytes(8, "big")


def test_memory_that_runs_out_in_a_contract_stops_the_ledger(tmp_path):
    world = World(tmp_path, names=("acme",))
    raw = world.program("memory")
    world.consensus.submit(raw)
    with pytest.raises(MemoryError):
        world.consensus.block()
    record = read_halt(tmp_path / "acme")
    assert record.step == "prepare_proposal"
    assert sha256(raw).hexdigest().upper() in record.line()


def test_a_damaged_tree_page_stops_the_ledger(tmp_path):
    world = World(tmp_path, names=("acme",))
    world.execute("many 30")
    store = world.app.ledger.store
    for key, value in list(store.snapshot().scan(b"t", b"u")):
        if len(value) > 100:
            store.write({key: None})
    reopen(world)
    world.consensus.submit(world.program("open plain 20000"))
    from abci_app.tree import TreeError

    with pytest.raises(TreeError):
        world.consensus.block()
    assert read_halt(tmp_path / "acme").failure == "TreeDamaged"


def test_an_unreadable_record_counts_as_a_halt(tmp_path):
    assert read_halt(tmp_path) is None
    (tmp_path / HALT_FILE).write_text("{")
    assert read_halt(tmp_path).failure == "unreadable"
    (tmp_path / HALT_FILE).write_text(json.dumps({"height": 3}))
    assert read_halt(tmp_path).failure == "unreadable"


def test_a_store_of_another_ledger_or_version_is_refused(tmp_path):
    world = World(tmp_path, names=("acme",))
    world.app.ledger.store.close()
    from smartcontracts.kernel import Rejected

    world.ledger_id = "sg_" + "b" * 32
    with pytest.raises(Rejected):
        world.application("acme")


def test_the_engines_genesis_must_be_the_ledgers(tmp_path):
    world = World(tmp_path, names=("acme",), start=False)
    good = init_chain_request(world.genesis)
    other = init_chain_request(make_genesis(secret=b"t" * 32))
    wrong_state = abci.RequestInitChain()
    wrong_state.CopyFrom(good)
    wrong_state.app_state_bytes = other.app_state_bytes
    wrong_power = abci.RequestInitChain()
    wrong_power.CopyFrom(good)
    wrong_power.validators[0].power = 11
    wrong_block = abci.RequestInitChain()
    wrong_block.CopyFrom(good)
    wrong_block.consensus_params.block.max_bytes = 1 << 30
    from smartcontracts.kernel import Rejected

    for request in (other, wrong_state, wrong_power, wrong_block):
        application = world.application("other" + str(id(request)))
        with pytest.raises((LedgerHaltedError, Rejected)):
            application.init_chain(request)
        assert application.halt is not None
    assert world.app.init_chain(good).app_hash


def test_the_first_header_carries_the_contracts_version():
    world = World(names=("acme",), start=False)
    answer = world.app.init_chain(init_chain_request(world.genesis))
    assert answer.consensus_params.version.app == world.genesis.contracts_version
    assert not answer.consensus_params.HasField("block")


@pytest.mark.parametrize("off", [-1, 1, 100])
def test_an_engine_at_another_height_stops_the_ledger(tmp_path, off):
    world = World(tmp_path, names=("acme",))
    before = (world.committed.height, world.root)
    height = world.consensus.height + 1 + off
    with pytest.raises(RuntimeError, match="the engine is at height"):
        world.app.finalize_block(abci.RequestFinalizeBlock(height=height, txs=[timestamp(world)]))
    assert read_halt(tmp_path / "acme").step == "finalize_block"
    assert (world.committed.height, world.root) == before
