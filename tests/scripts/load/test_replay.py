"""The replay of decided blocks: the same app hashes or a failure, and what each part took."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from abci_app.execution.outcomes import STAGES
from ledgers.genesis import comet_genesis
from ledgers.transaction import Act
from scripts.load import trade
from scripts.load.engine import RecordedBlock
from scripts.load.replay import ReplayDiffers, profiled, replay
from tests.abci_app.test_filing import Market
from tests.world import person

ASKED = 24


@pytest.fixture(scope="module")
def recorded():
    """(genesis file, blocks, height of the first that is measured)."""
    world = Market(names=("acme",))
    first = world.committed.height + 1
    acme, alpha = person("acme").organization, person("alpha").organization
    commands = [trade.inquiry(acme, alpha, world.agreement, world.product, f"r{n}") for n in range(ASKED)]
    world.execute(*(world.transaction(Act(name="submit_inquiry", command=command)) for command in commands))
    before = [b"", *(block.app_hash for block in world.consensus.blocks)]
    blocks = [
        RecordedBlock(height=block.height, transactions=tuple(block.txs), app_hash=before[place])
        for place, block in enumerate(world.consensus.blocks)
    ]
    return json.dumps(comet_genesis(world.genesis)).encode(), blocks, first


@pytest.mark.parametrize("check", [False, True])
def test_all_blocks_run_and_those_from_a_height_on_are_measured(recorded, tmp_path, check):
    genesis, blocks, first = recorded
    times = replay(genesis, blocks, first, tmp_path, check=check)
    assert (times.transactions, times.blocks) == (ASKED, 1)
    assert (times.check_us > 0) is check
    assert set(times.stages) == set(STAGES)
    assert times.finalize_us > 0
    assert times.processor_us > 0
    assert times.merging_us >= 0


def test_another_app_hash_than_the_recorded_one_is_told(recorded, tmp_path):
    genesis, blocks, first = recorded
    forged = [*blocks[:-1], replace(blocks[-1], app_hash=bytes(32))]
    with pytest.raises(ReplayDiffers, match=f"height {blocks[-2].height}"):
        replay(genesis, forged, first, tmp_path, check=False)


def test_a_profile_names_functions(recorded, tmp_path):
    genesis, blocks, first = recorded
    assert "finalize_block" in profiled(genesis, blocks, first, tmp_path)
