"""Any history on four applications: one app hash, indexes that follow from documents, history as it was, and it sleeps."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
from hypothesis import given, settings

from abci_app.application import LedgerApplication
from abci_app.queries.listing import list_documents
from abci_app.store import MemoryStore
from ledgers.genesis import ledger_id, ledger_id_of, parse_genesis
from ledgers.kinds import contract_table
from syngraph.v1 import application_pb2 as wire
from tests.abci_app.reference_state import ReferenceState, rebuilt_index, stored_index
from tests.counter import COUNTER
from tests.fake_consensus import FakeConsensus
from tests.strategies import histories
from tests.world import Clock, World, quiet_log

VECTORS = Path(__file__).parents[1] / "vectors"


def play(world, steps, reference=None):
    """Run a history; every block is compared on all nodes by the fake consensus itself."""
    opened = []
    for step in steps:
        if isinstance(step, int):
            world.clock.now_ms += step
            make_blocks(world, reference)
            continue
        organization, program = step
        if program.startswith("count"):
            number = int(program.split()[1])
            program = f"count {opened[number % len(opened)]}" if opened else "refuse"
        raw = world.program(program, signers=(organization,))
        assert world.consensus.submit(raw).code == 0
        if program.startswith(("open", "many")):
            make_blocks(world, reference)
            opened += [d.id for d in world.receipt(raw).documents]
    make_blocks(world, reference)
    return opened


def make_blocks(world, reference):
    made = 0
    while made == 0 or world.consensus.needs_block():
        assert made < 30, "the ledger spins"
        world.consensus.block()
        made += 1
        if reference is not None:
            reference.follow(world.committed)


def listed(committed, filter_, height):
    """All pages of a list."""
    found, token = [], ""
    while True:
        request = wire.ListRequest(filter=filter_, height=height, page_size=3, page_token=token)
        job = list_documents(request, committed)
        try:
            while True:
                next(job)
        except StopIteration as done:
            page = done.value
        found += [(d.id, d.stored) for d in page.documents]
        token = page.next_page_token
        if not token:
            return found


@settings(max_examples=60)
@given(steps=histories())
def test_any_history_gives_one_state_that_follows_from_its_documents(steps):
    world, reference = World(names=("acme", "alpha")), ReferenceState()
    reference.follow(world.committed)
    opened = play(world, steps, reference)
    committed = world.committed
    assert stored_index(committed) == rebuilt_index(committed)
    secret = world.genesis.secret
    for height in reference.heights:
        root = committed.app_hash(height)[1]
        assert root == reference.root(height, secret)
        for status in ("open", "lapsed"):
            expected = [
                (found, reference.get(f"counter/{found}", height))
                for found in reference.find(COUNTER, "status", status, height)
            ]
            assert listed(committed, wire.Filter(kind="counter", status=status), height) == expected
    for found in opened:
        assert world.committed.view.get(COUNTER, found) is not None


def test_a_node_that_was_away_comes_to_the_same_by_the_blocks_alone():
    world = World(seed=7)
    chance = random.Random(7)
    world.consensus.down.add("south")
    for _ in range(12):
        ms = chance.randrange(1, 60_000)
        world.execute(f"open {chance.choice(('plain', 'chain/3', 'bomb'))} {ms}")
        world.clock.now_ms += chance.randrange(0, 40_000)
    world.clock.now_ms += 86_400_000
    world.consensus.catch_up("south")
    south = world.consensus.applications["south"].committed
    assert (south.height, south.root) == (world.committed.height, world.committed.root)
    assert stored_index(south) == stored_index(world.committed)
    world.execute("open plain 1000")


@pytest.mark.parametrize("name", ["bilateral-1", "internal-1"])
def test_a_life_of_every_contract_gives_one_state_on_all_nodes_and_its_index_follows_from_it(name):
    recording = json.loads((VECTORS / f"{name}.json").read_text())
    encoded = bytes.fromhex(recording["genesis"])
    genesis = parse_genesis(encoded, ledger_id_of(encoded))
    replicas = {node: executor(genesis) for node in ("first", "second", "third")}
    consensus = FakeConsensus(replicas, genesis).start()
    for block in recording["blocks"]:
        if block["height"] % 100 == 50:
            consensus.down.add("third")
        made = consensus.decide([bytes.fromhex(raw) for raw in block["txs"]])
        assert made.app_hash.hex() == block["app_hash"], f"height {block['height']}"
        if block["height"] % 100 == 0:
            consensus.catch_up("third")
    consensus.catch_up("third")
    for replica in replicas.values():
        assert replica.committed.root == consensus.app_hash
        assert stored_index(replica.committed) == rebuilt_index(replica.committed)
        assert not replica.committed.quarantined


def executor(genesis):
    """An application that executes blocks; what its clock says does not matter then."""
    return LedgerApplication(
        ledger_id(genesis), MemoryStore(), None, clock=Clock(0), log=quiet_log(), table_for=contract_table
    )


def test_two_stopped_of_four_make_the_ledger_wait():
    world = World()
    world.consensus.down |= {"north", "south"}
    world.consensus.submit(world.program("open plain 20000"))
    try:
        world.consensus.block()
    except AssertionError:
        pass
    else:
        raise AssertionError("two of four decided a block")
    world.consensus.down.discard("north")
    world.consensus.run()
    assert world.committed.clock.height == world.consensus.height - 1


def test_one_validator_with_a_clock_an_hour_off_cannot_move_ledger_time():
    world = World()
    wrong = world.consensus.applications["south"]
    for offset_ms in (3_600_000, -3_600_000):
        wrong.clock = lambda: world.clock() + offset_ms  # noqa: B023
        wrong._proposals._clock = wrong.clock
        before_ms = world.committed.clock.time_ms
        world.clock.now_ms += 60_000
        txs = world.consensus.prepare("south")
        votes = [world.consensus.ask(n, txs) for n in world.consensus.up if n != "south"]
        # Behind, its time is older than the ledger's own and becomes last + 1, which is too old for the others.
        assert votes == [False] * 3
        assert world.committed.clock.time_ms == before_ms
        world.consensus.submit(world.program("open plain 20000"), to=["acme", "alpha", "north"])
        world.consensus.block(proposer="acme")
        world.consensus.run()
        assert abs(world.committed.clock.time_ms - world.clock()) < 10
