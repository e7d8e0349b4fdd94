"""Helpers of the application's tests."""

from __future__ import annotations

import contextlib

from tendermint.abci import types_pb2 as abci

from abci_app.records import CLOCK_KEY, REPLAY_KEY_PREFIX
from abci_app.store.filing import unfile
from abci_app.store.keys import DOCUMENTS
from abci_app.store.versioned import scan_live
from ledgers.transaction import encode_timestamp
from smartcontracts.verify.hashing import document_commitment, document_salt
from syngraph.v1.system_pb2 import Receipt
from tests.abci_app.reference_tree import leaves_of, root_of


@contextlib.contextmanager
def unchanged(world):
    """The state's root, and everything else that is committed, stays as it is on every node."""
    before = {n: (a.committed.root, a.committed.clock) for n, a in world.consensus.up.items()}
    yield
    after = {n: (a.committed.root, a.committed.clock) for n, a in world.consensus.up.items()}
    assert after == before


def refuse_everywhere(world, raw, code):
    """A transaction with this refusal: in CheckTx, in a proposal of others, and where it is decided all the same.

    Returns the receipt that CheckTx gave. Nothing changes, and there is still one result for each entry.
    """
    with unchanged(world):
        answer = world.consensus.submit(raw)
        assert answer.code == code, answer.log
        receipt = Receipt.FromString(answer.data)
        assert receipt.code == code
        assert receipt.name
        assert receipt.sentence
        assert answer.log == f"{receipt.name}: {receipt.sentence}"
        block = refuse_in_block(world, raw, code)
        assert block.results[1].log == answer.log
    return receipt


def refuse_in_block(world, raw, code):
    """As `refuse_everywhere`, without CheckTx."""
    with unchanged(world):
        txs = [timestamp(world), raw]
        assert not any(world.consensus.ask(name, txs) for name in world.consensus.up)
        block = world.consensus.decide(txs)
        assert [r.code for r in block.results] == [0, code]
    return block


def timestamp(world, offset_ms=0):
    now_ms = max(world.clock(), world.committed.clock.time_ms + 1)
    return encode_timestamp(world.ledger_id, now_ms + offset_ms)


def check_code(world, raw, *, recheck=False):
    kind = abci.RECHECK if recheck else abci.NEW
    return world.app.check_tx(abci.RequestCheckTx(tx=raw, type=kind)).code


def documents(committed):
    return {key: unfile(committed.reader, filed) for key, filed in scan_live(committed.reader, DOCUMENTS, b"")}


def root_over(committed, chosen):
    secret = committed.genesis.secret
    return root_of(leaves_of({k: document_commitment(document_salt(secret, k), v) for k, v in chosen.items()}))


def contracts_root(application):
    """The root that the state would have without `sys/clock` and `sys/replay/...`; that of the whole is the ledger's."""
    committed = application.committed
    everything = documents(committed)
    assert root_over(committed, everything) == committed.root
    own = (CLOCK_KEY.encode(), REPLAY_KEY_PREFIX.encode())
    return root_over(committed, {k: v for k, v in everything.items() if not k.startswith(own)})


@contextlib.contextmanager
def nothing_left(consensus):
    """What a contract refuses leaves no document, event or deadline on any node, and all nodes go on alike."""
    applications = consensus.applications.values()
    before = [
        (contracts_root(a), list(a.committed.deadlines()), a.committed.clock.event_sequence) for a in applications
    ]
    yield
    after = [(contracts_root(a), list(a.committed.deadlines()), a.committed.clock.event_sequence) for a in applications]
    assert after == before
    assert len({a.committed.root for a in applications}) == 1


def refused_alike(receipt, refusal):
    """A receipt tells this refusal by code and name, says why, and lists nothing."""
    assert (receipt.code, receipt.name) == (refusal.code, refusal.refusal_name())
    assert receipt.sentence
    assert not receipt.documents
    assert not receipt.event_ids
