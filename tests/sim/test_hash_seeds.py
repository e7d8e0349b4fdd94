"""Two processes with different hash seeds execute one history to the same app hashes and results."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = """
import random
from tests.world import World
world, chance = World(names=("acme", "alpha")), random.Random(11)
opened = []
for _ in range(40):
    if opened and chance.random() < 0.4:
        receipts = world.execute(f"count {chance.choice(opened)}", signers=(chance.choice(("acme", "alpha")),))
    else:
        mode = chance.choice(("plain", "chain/3", "bomb", "stuck"))
        receipts = world.execute(f"open {mode} {chance.randrange(1, 90_000)}", "many 3", "refuse")
    opened += [d.id for r in receipts for d in r.documents]
    world.clock.now_ms += chance.randrange(0, 30_000)
for block in world.consensus.blocks:
    print(block.height, block.app_hash.hex(), [(r.code, r.data.hex()) for r in block.results])
print(sorted(world.committed.quarantined))
"""

# Agents, contracts in memory and the application: all of it goes by the same steps.
AGENTS = """
import json
from tests.vectors.recording import RECORDERS
print(json.dumps(RECORDERS["internal-1"]().recording("internal-1")))
"""


def run(seed, program=PROGRAM):
    paths = os.pathsep.join((str(ROOT), str(ROOT / "proto" / "gen")))
    environment = {**os.environ, "PYTHONPATH": paths, "PYTHONHASHSEED": seed}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_hash_seed_changes_nothing():
    first, second = run("1"), run("4242")
    assert first == second
    assert len(first.splitlines()) > 60
    assert "counter/" in first.splitlines()[-1]


def test_the_hash_seed_changes_nothing_about_agents_and_internal_ledgers():
    recorded = json.loads((ROOT / "tests/vectors/internal-1.json").read_text())
    for seed in ("3", "97"):
        assert json.loads(run(seed, AGENTS)) == recorded
