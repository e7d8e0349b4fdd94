"""What ABCI's Query answers beside the peer filter: proofs for foreign tools."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tendermint.abci import types_pb2 as abci
from tendermint.crypto import proof_pb2

from abci_app.queries.reads import provable_height, prove_key, require_committed
from abci_app.queries.refusals import RequestMalformed
from abci_app.store.filing import read_stored_at
from smartcontracts.kernel import Rejected
from smartcontracts.verify.hashing import document_commitment, document_salt

if TYPE_CHECKING:
    from abci_app.state.committed import Committed

PROOF_PATH: Final = "/key"
PROOF_TYPE: Final = "ics23:jmt"
KEY_BYTES_MAX: Final = 512


def answer_foreign(request: abci.RequestQuery, committed: Committed | None) -> abci.ResponseQuery:
    """Path "/key": the value in the tree at `data` ("kind/id") and its proof, at a height with a header over it."""
    try:
        if request.path != PROOF_PATH or not 0 < len(request.data) <= KEY_BYTES_MAX:
            raise RequestMalformed(f'Ask for "{PROOF_PATH}" with "kind/id" as data.', "path")
        return _prove(request, require_committed(committed))
    except Rejected as refusal:
        return abci.ResponseQuery(
            code=refusal.code, codespace="syngraph", log=f"{refusal.refusal_name()}: {refusal.sentence}"
        )


def _prove(request: abci.RequestQuery, committed: Committed) -> abci.ResponseQuery:
    height = provable_height(request.height, committed)
    stored = read_stored_at(committed.reader, request.data, height)
    value = b""
    if stored is not None:
        value = document_commitment(document_salt(committed.genesis.secret, request.data), stored)
    proof, _ = prove_key(request.data, height, committed)
    operation = proof_pb2.ProofOp(type=PROOF_TYPE, key=request.data, data=proof)
    return abci.ResponseQuery(
        key=request.data, value=value, height=height, proof_ops=proof_pb2.ProofOps(ops=[operation])
    )
