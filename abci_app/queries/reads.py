"""One document, one proof, one receipt, one app hash: at any height that is kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

from abci_app.failures import NotReady
from abci_app.ledger import TreeRecords
from abci_app.queries.refusals import (
    DocumentUnknown,
    HeightPruned,
    HeightUnknown,
    KeyMalformed,
    NotProvableYet,
    TransactionUnknown,
)
from abci_app.store.filing import read_stored_at
from abci_app.store.keys import RECEIPTS, TRANSACTIONS
from abci_app.tree import Tree
from smartcontracts.codec import check_text
from smartcontracts.kernel import Rejected
from smartcontracts.verify.hashing import document_salt
from syngraph.v1 import application_pb2 as wire
from syngraph.v1 import system_pb2

if TYPE_CHECKING:
    from abci_app.state.committed import Committed


def require_committed(committed: Committed | None) -> Committed:
    """Rejects with NotReady."""
    if committed is None:
        raise NotReady("The ledger has not begun on this node yet.")
    return committed


def resolve_height(height: int, committed: Committed) -> int:
    """The height to read at; 0 is the latest. Rejects with HeightPruned, HeightUnknown."""
    if height == 0:
        return committed.height
    if height < 0 or height > committed.height:
        raise HeightUnknown(f"The ledger is at height {committed.height}.", "height")
    return require_kept(height, committed)


def require_kept(height: int, committed: Committed) -> int:
    """Rejects with HeightPruned."""
    if height < committed.oldest:
        raise HeightPruned(f"The first height kept is {committed.oldest}.", "height")
    return height


def checked_key(kind: str, document_id: str) -> bytes:
    """A document's key. Rejects with KeyMalformed."""
    try:
        check_text(kind, "kind")
        check_text(document_id, "id")
    except Rejected as refusal:
        raise KeyMalformed(refusal.sentence, refusal.field) from refusal
    if not kind or not document_id or "/" in kind:
        raise KeyMalformed("Give the kind of a document and its id.", "id")
    return f"{kind}/{document_id}".encode()


def get(request: wire.GetRequest, committed: Committed) -> wire.GetResponse:
    """Rejects with KeyMalformed, HeightPruned, HeightUnknown, DocumentUnknown."""
    key = checked_key(request.kind, request.id)
    height = resolve_height(request.height, committed)
    stored = read_stored_at(committed.reader, key, height)
    if stored is None and request.kind not in committed.table.kinds:
        raise DocumentUnknown(kinds_sentence(committed), "kind")
    if stored is None:
        raise DocumentUnknown(f"There is no {request.kind} with this id at height {height}.", "id")
    document = wire_document(request.kind, request.id, stored, committed)
    return wire.GetResponse(document=document, height=height)


def kinds_sentence(committed: Committed) -> str:
    """What to say where a kind is asked for that the ledger lacks."""
    return f"The ledger has no documents of that kind; it has {', '.join(sorted(committed.table.kinds))}."


def wire_document(kind: str, document_id: str, stored: bytes, committed: Committed) -> wire.Document:
    """A document with the salt that its commitment needs."""
    salt = document_salt(committed.genesis.secret, f"{kind}/{document_id}".encode())
    return wire.Document(kind=kind, id=document_id, stored=stored, salt=salt)


def provable_height(height: int, committed: Committed) -> int:
    """The height to prove at; 0 is the last that has a header over it. Rejects with HeightPruned, HeightUnknown, NotProvableYet."""
    if committed.height == 0:
        raise NotProvableYet("No header stands over the genesis yet.", "height")
    if height == 0:
        return require_kept(committed.height - 1, committed)
    if height == committed.height:
        raise NotProvableYet(f"Height {height} is proven by the header of {height + 1}.", "height")
    return resolve_height(height, committed)


def prove(request: wire.ProveRequest, committed: Committed) -> wire.ProveResponse:
    """A document and its proof, or a proof that it is not there. Rejects as `provable_height`, and with KeyMalformed."""
    key = checked_key(request.kind, request.id)
    height = provable_height(request.height, committed)
    proof, root = prove_key(key, height, committed)
    stored = read_stored_at(committed.reader, key, height)
    response = wire.ProveResponse(key=key, proof=proof, height=height, app_hash=root)
    if stored is not None:
        response.document.CopyFrom(wire_document(request.kind, request.id, stored, committed))
    return response


def prove_key(key: bytes, height: int, committed: Committed) -> tuple[bytes, bytes]:
    """(encoded ics23.CommitmentProof, root) of a key at a height that is kept."""
    found = committed.app_hash(height)
    if found is None:
        raise HeightPruned(f"The first height kept is {committed.oldest}.", "height")
    version, root = found
    tree = Tree(TreeRecords(committed.reader), version, cached_pages=64)
    return tree.prove(key), root


def receipt(transaction_id: bytes, committed: Committed) -> system_pb2.Receipt:
    """Rejects with TransactionUnknown."""
    found = committed.reader.get(RECEIPTS + transaction_id)
    if found is None:
        raise TransactionUnknown("No transaction with this id was executed.", "transaction_id")
    return system_pb2.Receipt.FromString(found)


def transaction(transaction_id: bytes, committed: Committed) -> wire.GetTransactionResponse:
    """The transaction as it stood in its block, with its receipt. Rejects with TransactionUnknown."""
    found = receipt(transaction_id, committed)
    raw = committed.reader.get(TRANSACTIONS + transaction_id)
    return wire.GetTransactionResponse(transaction=raw or b"", receipt=found)


def app_hash(request: wire.GetAppHashRequest, committed: Committed) -> wire.GetAppHashResponse:
    """Of any height, also those whose state is pruned. Rejects with HeightUnknown."""
    height = request.height or committed.height
    found = committed.app_hash(height) if 0 <= height <= committed.height else None
    if found is None:
        raise HeightUnknown(f"The ledger is at height {committed.height}.", "height")
    return wire.GetAppHashResponse(height=height, app_hash=found[1])
