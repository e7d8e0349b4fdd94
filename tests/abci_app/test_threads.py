"""Threads: CheckTx, queries and simulation beside a consensus thread that executes and commits, on one store."""

from __future__ import annotations

import sys
import threading
import time

import pytest
from tendermint.abci import types_pb2 as abci

from abci_app.private.endpoint import Endpoint
from abci_app.queries import reads
from abci_app.queries.simulation import simulate
from smartcontracts.verify.hashing import document_commitment
from smartcontracts.verify.ics23 import verify_membership
from syngraph.v1 import application_pb2 as wire
from tests.counter import COUNTER
from tests.sim.test_replicas import listed
from tests.world import World, node_id, quiet_log, with_parameters


@pytest.fixture
def hasty():
    """Threads take turns a thousand times more often than they would."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def test_readers_see_whole_blocks_while_the_ledger_goes_on(tmp_path, hasty):
    world = World(tmp_path, names=("acme",), parameters=with_parameters(history_blocks=10, messages_max=5))
    (receipt,) = world.execute("open plain 3600000")
    document_id = receipt.documents[0].id
    stop, failures, rounds = threading.Event(), [], [0]

    def read():
        try:
            while not stop.is_set():
                rounds[0] += 1
                one_look(world, document_id)
        except Exception as failure:  # noqa: BLE001 - the test is about any
            failures.append(failure)

    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    for number in range(40):
        world.consensus.submit(world.program(f"count {document_id}"))
        world.consensus.submit(world.program("open chain/1 1", signers=("alpha",)))
        world.consensus.block()
        # Forty seconds in all: less than a transaction's time to live, so that no reader's is late, however long it was held up.
        world.clock.now_ms += 1_000
        # However the machine shares its processors out: readers are at work among all the blocks.
        while rounds[0] <= number and not failures:
            time.sleep(0.001)
    stop.set()
    for reader in readers:
        reader.join(60)
    assert failures == []
    assert rounds[0] >= 40
    assert len(world.committed.view.get(COUNTER, document_id).accepted_by) == 40


def one_look(world, document_id):
    committed = world.committed
    # One transaction a block counts, so versions and heights go together in every view of the state.
    stored = committed.view.document(COUNTER, document_id)
    assert stored.version == 1 + len(stored.record.accepted_by)
    ids = [found for found, _ in listed(committed, wire.Filter(kind="counter"), 0)]
    assert document_id in ids
    assert ids == sorted(ids)
    answer = reads.prove(wire.ProveRequest(kind="counter", id=document_id), committed)
    if answer.HasField("document"):
        commitment = document_commitment(answer.document.salt, answer.document.stored)
        verify_membership(answer.app_hash, answer.key, commitment, answer.proof)
    raw = world.program("refuse", signers=("north",))
    assert world.app.check_tx(abci.RequestCheckTx(tx=raw)).code in {0, 1052}
    assert simulate(raw, committed, world.app.reader, world.clock(), quiet_log()).name == "REFUSED"
    assert world.app.query(abci.RequestQuery(path=f"/p2p/filter/id/{node_id('alpha')}")).code == 0
    assert Endpoint(world.ledger_id, "n", world.app).status().state == "running"
