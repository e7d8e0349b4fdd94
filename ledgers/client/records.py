"""Answers as records: documents with their decoded body, events, status."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from ledgers.kinds import contract_table
from ledgers.receipts import Receipt
from smartcontracts.codec import decode, from_message
from smartcontracts.kernel import Cause, Rejected
from smartcontracts.parameters import RULES, RULES_ID
from syngraph.v1 import application_pb2 as wire
from syngraph.v1 import system_pb2

_SYSTEM: Final = "sys"


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A document as read at `height`. `body` is the contract's record, or a message of `syngraph.v1` for `sys/...`.

    `stored` and `salt` are what its commitment in the tree is made of.
    """

    kind: str
    id: str
    version: int
    created_at_ms: int
    updated_at_ms: int
    height: int
    body: Any
    stored: bytes
    salt: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Documents at one height; `next_page_token` is empty on the last page."""

    documents: tuple[Document, ...]
    height: int
    next_page_token: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerEvent:
    """Something that happened; `id` ("height/index") is the cursor to resume after it."""

    id: str
    ledger_id: str
    height: int
    ledger_time_ms: int
    name: str
    kind: str
    document_id: str
    version: int
    parties: tuple[str, ...]
    cause: Cause | None
    transaction_id: bytes
    # SHA-256 of the stored document as the event left it.
    document_sha256: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerStatus:
    """Where a ledger stands on a node. `state` is running, starting or halted; times are Unix milliseconds."""

    ledger_id: str
    name: str
    kind: str
    state: str
    height: int
    app_hash: bytes
    ledger_time_ms: int
    contracts_version: int
    oldest_height: int
    next_due_ms: int
    validator: bool
    catching_up: bool
    engine_height: int
    peers: int
    mempool_transactions: int
    quarantined: int
    halt: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeStatus:
    """A node, and those of its ledgers that the caller may see."""

    organization_id: str
    version: str
    ledgers: tuple[LedgerStatus, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchedLedger:
    """One of the caller's ledgers on a node. `membership` is another number whenever the membership is another."""

    ledger_id: str
    name: str
    kind: str
    contracts_version: int
    halted: bool
    membership: int


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchedLedgers:
    """All of them, as far as the node knows; while it is `starting` there may be more."""

    ledgers: tuple[WatchedLedger, ...]
    starting: bool


def read_document(document: wire.Document, ledger_kind: str, contracts_version: int, height: int) -> Document:
    """Decode what the node answered. Raises ValueError where this software does not know the kind or its form."""
    stored = system_pb2.StoredDocument.FromString(document.stored)
    return Document(
        kind=document.kind,
        id=document.id,
        version=stored.version,
        created_at_ms=stored.created_at_ms,
        updated_at_ms=stored.updated_at_ms,
        height=height,
        body=read_body(document.kind, document.id, stored.body, ledger_kind, contracts_version),
        stored=document.stored,
        salt=document.salt,
    )


def read_body(kind: str, document_id: str, body: bytes, ledger_kind: str, contracts_version: int) -> Any:
    """The record of a document's bytes. Raises ValueError."""
    try:
        if kind == _SYSTEM:
            return _read_system(document_id, body)
        known = contract_table(ledger_kind, contracts_version).kinds.get(kind)
        if known is None:
            raise ValueError(f"this software knows no documents of kind {kind} on a ledger of kind {ledger_kind}")
        return decode(known.record, body)
    except Rejected as refused:
        raise ValueError(f"{kind}/{document_id} cannot be read: {refused.sentence}") from refused


def _read_system(document_id: str, body: bytes) -> Any:
    if document_id == RULES_ID:
        return decode(RULES.record, body)
    if document_id == "clock":
        return system_pb2.Clock.FromString(body)
    if document_id.startswith("replay/"):
        return system_pb2.ReplayMinute.FromString(body)
    if document_id.startswith("quarantine/"):
        return system_pb2.Quarantine.FromString(body)
    raise ValueError(f"this software knows no system document {document_id}")


def read_event(event: system_pb2.Event) -> LedgerEvent:
    """The record of an event."""
    return LedgerEvent(
        id=event.id,
        ledger_id=event.ledger_id,
        height=event.height,
        ledger_time_ms=event.ledger_time_ms,
        name=event.name,
        kind=event.kind,
        document_id=event.document_id,
        version=event.version,
        parties=tuple(event.parties),
        cause=from_message(Cause, event.cause) if event.HasField("cause") else None,
        transaction_id=event.transaction_id,
        document_sha256=event.document_sha256,
    )


def read_receipt(receipt: system_pb2.Receipt) -> Receipt:
    """The record of a receipt."""
    return from_message(Receipt, receipt)


def read_status(status: wire.LedgerStatus) -> LedgerStatus:
    """The record of a ledger's status."""
    names = LedgerStatus.__dataclass_fields__
    return LedgerStatus(**{name: getattr(status, name) for name in names})
