"""Receipts: what became of a transaction, and the bytes of it that the next header signs."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from syngraph.v1 import system_pb2

OK_NAME: Final = "OK"
_TAG: Final = b"syngraph/receipt/1"


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentVersion:
    """One write of a document; versions count from 1."""

    kind: str
    id: str
    version: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """What became of a transaction; `code` 0 is success. Everything but `sentence` is under the header's signatures."""

    transaction_id: bytes = b""
    ledger_id: str = ""
    height: int = 0
    index: int = 0
    ledger_time_ms: int = 0
    code: int = 0
    name: str = OK_NAME
    field: str = ""
    message_index: int = 0
    sentence: str = ""
    documents: tuple[DocumentVersion, ...] = ()
    event_ids: tuple[str, ...] = ()
    existing_id: str = ""


def encode_receipt(receipt: Receipt) -> bytes:
    """The canonical bytes; written out by hand because every transaction pays for it."""
    return _message(receipt, receipt.sentence).SerializeToString(deterministic=True)


def result_data(receipt: Receipt) -> bytes:
    """`ExecTxResult.data` of a receipt: its code in four bytes, then SHA-256 of all but its sentence."""
    bare = _message(receipt, "").SerializeToString(deterministic=True)
    return receipt.code.to_bytes(4, "big") + sha256(_TAG + bare).digest()


def _message(receipt: Receipt, sentence: str) -> system_pb2.Receipt:
    return system_pb2.Receipt(
        transaction_id=receipt.transaction_id,
        ledger_id=receipt.ledger_id,
        height=receipt.height,
        index=receipt.index,
        ledger_time_ms=receipt.ledger_time_ms,
        code=receipt.code,
        name=receipt.name,
        field=receipt.field,
        message_index=receipt.message_index,
        sentence=sentence,
        documents=[system_pb2.DocumentVersion(kind=d.kind, id=d.id, version=d.version) for d in receipt.documents],
        event_ids=receipt.event_ids,
        existing_id=receipt.existing_id,
    )
