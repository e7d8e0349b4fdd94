"""Receipts: what became of a transaction, and the bytes of it that the next header signs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Final

from smartcontracts.codec import encode

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


def result_data(receipt: Receipt) -> bytes:
    """`ExecTxResult.data` of a receipt: its code in four bytes, then SHA-256 of all but its sentence."""
    return receipt.code.to_bytes(4, "big") + sha256(_TAG + encode(replace(receipt, sentence=""))).digest()
