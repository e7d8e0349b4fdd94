"""Helpers of the application's tests."""

from __future__ import annotations

import contextlib

from tendermint.abci import types_pb2 as abci

from ledgers.transaction import encode_timestamp
from syngraph.v1.system_pb2 import Receipt


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
