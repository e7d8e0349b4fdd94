"""An upgrade at a height: blocks below it run under one contracts version, from it on under the next, on every node alike."""

from __future__ import annotations

import pytest
from tendermint.abci import types_pb2 as abci

from abci_app.halt import LedgerHaltedError, read_halt
from abci_app.queries.simulation import simulate
from abci_app.records import QUARANTINE
from ledgers.kinds import ContractsVersionUnknown
from smartcontracts.kernel import Rejected
from smartcontracts.parameters import RULES, RULES_ID
from tests.counter import COUNTER
from tests.versioned import VersionedWorld, old_table_for
from tests.world import quiet_log

LONG = "refuse " + "x" * 500


def counter_id(world, receipt):
    return next(d.id for d in receipt.documents if d.kind == "counter")


def rules(application):
    return application.committed.view.get(RULES, RULES_ID)


def counted(application, counter):
    return len(application.committed.view.get(COUNTER, counter).accepted_by)


def opened(world, text="open plain 3600000"):
    (receipt,) = world.execute(text)
    return counter_id(world, receipt)


def block_at(world, height, *texts):
    """Blocks up to that one, which holds these programs; the last one made."""
    while world.consensus.height < height - 1:
        world.clock.now_ms += 10
        world.consensus.block()
    raws = [world.program(text) for text in texts]
    for raw in raws:
        assert world.consensus.submit(raw).code == 0
    world.clock.now_ms += 10
    return world.consensus.block()


def test_blocks_below_the_height_run_under_the_old_version_and_from_it_on_under_the_new():
    world = VersionedWorld()
    counter = opened(world)
    at = world.consensus.height + 8
    assert world.schedule(2, at).code == 0
    assert (rules(world.app).version, rules(world.app).next_version, rules(world.app).next_height) == (1, 2, at)
    below = block_at(world, at - 1, f"count {counter}")
    assert (below.app_version, below.next_app_version) == (1, 2)
    assert counted(world.app, counter) == 1
    assert world.app.info(abci.RequestInfo()).app_version == 2
    first = block_at(world, at, f"count {counter}")
    assert (first.app_version, first.next_app_version) == (2, 2)
    assert counted(world.app, counter) == 3
    assert (rules(world.app).version, rules(world.app).next_version, rules(world.app).next_height) == (2, 0, 0)
    assert world.app.committed.table.kinds["counter"] is not COUNTER
    assert block_at(world, at + 1, f"count {counter}").app_version == 2
    assert counted(world.app, counter) == 5
    world.consensus.run()
    assert world.app.info(abci.RequestInfo()).app_version == 2
    assert [b.app_version for b in world.consensus.blocks] == [1] * (at - 1) + [2] * (
        len(world.consensus.blocks) - at + 1
    )


def test_the_block_of_the_height_fires_its_deadlines_under_the_new_version():
    world = VersionedWorld()
    early, late = opened(world, "open plain 20000"), opened(world, "open plain 30000")
    at = world.consensus.height + 8
    world.schedule(2, at)
    world.clock.now_ms += 20_001
    block_at(world, at - 1)
    world.clock.now_ms += 10_001
    block_at(world, at)
    results = [world.committed.view.get(COUNTER, counter).result for counter in (early, late)]
    assert results[0][0].startswith("due ")
    assert results[1] == ("version 2",)


def test_a_deadline_that_raises_in_the_block_of_the_height_is_noted_under_the_new_version():
    world = VersionedWorld()
    bomb = opened(world, "open bomb 20000")
    at = world.consensus.height + 8
    world.schedule(2, at)
    block_at(world, at - 1)
    world.clock.now_ms += 20_001
    block_at(world, at)
    assert world.committed.view.get(QUARANTINE, f"quarantine/counter/{bomb}").rules_version == 2


def test_an_upgrade_changes_a_block_that_holds_nothing_and_the_ledger_sleeps_after_it():
    world = VersionedWorld()
    at = world.consensus.height + 5
    world.schedule(2, at)
    # A sleeping ledger makes no blocks for the sake of an upgrade.
    assert not world.consensus.needs_block()
    assert world.consensus.height < at - 1
    block_at(world, at - 1)
    before = world.root
    block_at(world, at)
    assert world.root != before
    assert rules(world.app).version == 2
    world.consensus.run()
    assert world.consensus.height <= at + 2


def test_check_proposals_and_simulation_ask_the_version_of_the_next_block():
    world = VersionedWorld()
    at = world.consensus.height + 5
    world.schedule(2, at)
    application = world.app
    long = world.program(LONG)

    def answers():
        checked = application.check_tx(abci.RequestCheckTx(tx=long)).code
        request = abci.RequestPrepareProposal(height=world.consensus.height + 1, txs=[long], max_tx_bytes=100_000)
        prepared = len(application.prepare_proposal(request).txs) - 1
        fits = world.consensus.ask("alpha", [world.consensus.prepare("acme")[0], long])
        return (
            checked,
            prepared,
            fits,
            simulate(long, application.committed, application.reader, world.clock(), quiet_log()).code,
        )

    block_at(world, at - 2)
    refused, prepared, fits, simulated = answers()
    assert refused == simulated != 0
    assert (prepared, fits) == (0, False)
    block_at(world, at - 1)
    # Under version 2 it reaches its contract, which refuses it.
    assert answers() == (0, 1, True, 9901)
    assert block_at(world, at, LONG).results[-1].code == 9901


def test_a_replica_that_catches_up_over_the_height_commits_the_same(tmp_path):
    world = VersionedWorld(tmp_path)
    counter = opened(world)
    world.consensus.down.add("south")
    at = world.consensus.height + 6
    world.schedule(2, at)
    block_at(world, at - 1, f"count {counter}")
    block_at(world, at, f"count {counter}")
    world.execute(f"count {counter}")
    world.consensus.catch_up("south")
    south = world.consensus.applications["south"]
    assert (south.committed.height, south.committed.root) == (world.committed.height, world.root)
    assert counted(south, counter) == 5
    assert world.consensus.block().app_version == 2


@pytest.mark.parametrize("off", [-1, 0, 1])
def test_a_kill_around_the_height_changes_nothing(tmp_path, off):
    world = VersionedWorld(tmp_path)
    counter = opened(world)
    at = world.consensus.height + 6
    world.schedule(2, at)
    block_at(world, at + off - 1, f"count {counter}")
    raw = world.program(f"count {counter}")
    application = world.consensus.applications["north"]
    txs = [world.consensus.prepare("acme")[0], raw]
    application.finalize_block(abci.RequestFinalizeBlock(height=at + off, txs=txs))
    # Killed before its commit: the engine replays that block.
    application.ledger.store.close()
    again = world.application("north")
    world.consensus.applications["north"] = again
    block = world.consensus.decide(txs)
    assert block.app_version == (1 if off < 0 else 2)
    assert block.next_app_version == 2
    assert again.committed.root == world.root
    assert again.info(abci.RequestInfo()).app_version == 2


def test_a_node_without_the_version_stops_before_the_height_and_goes_on_with_newer_software(tmp_path):
    world = VersionedWorld(tmp_path)
    counter = opened(world)
    old = world.consensus.applications["south"]
    old.ledger.store.close()
    old = world.consensus.applications["south"] = world.application("south", table_for=old_table_for)
    at = world.consensus.height + 6
    assert world.schedule(2, at).code == 0
    block_at(world, at - 1, f"count {counter}")
    assert (old.committed.height, old.committed.root) == (at - 1, world.root)
    # It can still be read, and says why it takes nothing.
    assert counted(old, counter) == 1
    raw = world.program(f"count {counter}")
    assert old.check_tx(abci.RequestCheckTx(tx=raw)).code == ContractsVersionUnknown.code
    with pytest.raises(Rejected):
        simulate(raw, old.committed, old.reader, world.clock(), quiet_log())
    txs = world.consensus.prepare("acme")
    for call in (
        lambda: world.consensus.ask("south", txs),
        lambda: old.finalize_block(abci.RequestFinalizeBlock(height=at, txs=txs)),
    ):
        with pytest.raises(LedgerHaltedError, match="version 2"):
            call()
    record = read_halt(tmp_path / "south")
    assert (record.ledger_id, record.height, record.failure) == (world.ledger_id, at, "VersionLackingError")
    assert "version 2" in record.message
    assert world.ledger_id in record.message
    assert old.committed.height == at - 1
    world.consensus.down.add("south")
    block_at(world, at, f"count {counter}")
    world.execute(f"count {counter}")
    old.ledger.store.close()
    # The same software again has nothing to begin with; newer software has.
    same = world.application("south", table_for=old_table_for)
    assert same.committed.next_table is None
    same.ledger.store.close()
    world.consensus.applications["south"] = world.application("south")
    world.consensus.catch_up("south")
    south = world.consensus.applications["south"]
    assert (south.committed.height, south.committed.root) == (world.committed.height, world.root)
    # Once past the height, old software can't even open the ledger.
    south.ledger.store.close()
    with pytest.raises(ContractsVersionUnknown):
        world.application("south", table_for=old_table_for)


def test_an_upgrade_taken_back_in_the_block_before_its_height_does_not_take_place():
    world = VersionedWorld()
    at = world.consensus.height + 6
    world.schedule(2, at)
    block_at(world, at - 2)
    assert world.schedule(0, 0).height == at - 1
    assert [b.next_app_version for b in world.consensus.blocks if b.height == at - 1] == [1]
    block_at(world, at + 1)
    assert (rules(world.app).version, rules(world.app).next_height) == (1, 0)
    assert world.consensus.app_version == 1


def test_an_upgrade_that_takes_place_can_not_be_taken_back_in_its_block():
    world = VersionedWorld()
    at = world.consensus.height + 6
    world.schedule(2, at)
    block_at(world, at - 1)
    refused = world.schedule(0, 0)
    assert (refused.height, refused.name) == (at, "NO_UPGRADE_PENDING")
    assert rules(world.app).version == 2
    # And the next one is version 3, which can be scheduled although no software has it.
    assert world.schedule(3, at + 100).code == 0
