"""Documents between record and stored bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from google.protobuf.message import DecodeError

from abci_app.store.filing import Places
from abci_app.store.kv import StoreDamagedError
from smartcontracts.codec import encode, from_message, message_class
from smartcontracts.kernel import Deadline, Kind, Rejected, Terms
from smartcontracts.verify.hashing import document_commitment, document_salt
from syngraph.v1.system_pb2 import StoredDocument

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

CACHED_DOCUMENTS: Final = 4_096
CACHED_BYTES_MAX: Final = 32 * 1024 * 1024
TERM_CHARACTERS_MAX: Final = 1_024
DUE_MS_MAX: Final = (1 << 63) - 1
DeadlineEntry = tuple[int, str, str]
TERMS: Final = ("status", "party", "offering", "service", "related", "keys")


class Document(NamedTuple):
    """A document: its kind, its record, and the bytes of `StoredDocument` that the ledger commits to.

    `terms` are the (term, value) pairs under which it is found, `deadlines` (due_ms, key, transition); both are
    dictionaries for their order, and pure functions of the record.
    """

    kind: Kind[Any]
    id: str
    key: str
    record: Any
    version: int
    created_at_ms: int
    stored: bytes
    terms: dict[tuple[str, str], None]
    deadlines: dict[DeadlineEntry, None]


def write_document(kind: Kind[Any], record: Any, before: Document | None, time_ms: int) -> Document:
    """The next version of a document, written at ledger time `time_ms`."""
    version = 1 if before is None else before.version + 1
    created_at_ms = time_ms if before is None else before.created_at_ms
    stored = StoredDocument(
        schema=kind.schema,
        version=version,
        created_at_ms=created_at_ms,
        updated_at_ms=time_ms,
        body=encode(record),
    ).SerializeToString(deterministic=True)
    return _document(kind, record.id, record, version, created_at_ms, stored)


def read_document(kind: Kind[Any], document_id: str, stored: bytes) -> Document:
    """A document from its stored bytes, which are ours. Raises StoreDamagedError."""
    try:
        envelope = StoredDocument.FromString(stored)
        body = message_class(getattr(kind.record, "PROTO", None) or kind.record.__name__)()
        body.ParseFromString(envelope.body)
        record = from_message(kind.record, body)
    except (DecodeError, Rejected) as error:
        raise StoreDamagedError(f"{kind.name}/{document_id} does not decode") from error
    return _document(kind, document_id, record, envelope.version, envelope.created_at_ms, stored)


def _document(
    kind: Kind[Any], document_id: str, record: Any, version: int, created_at_ms: int, stored: bytes
) -> Document:
    key = f"{kind.name}/{document_id}"
    deadlines: tuple[Deadline, ...] = kind.deadlines(record)
    for deadline in deadlines:
        if not 0 <= deadline.due_ms <= DUE_MS_MAX:
            raise ValueError(f"a deadline of {key} is due at {deadline.due_ms}")
    return Document(
        kind=kind,
        id=document_id,
        key=key,
        record=record,
        version=version,
        created_at_ms=created_at_ms,
        stored=stored,
        terms=dict.fromkeys(_pairs(kind.terms(record))),
        deadlines={(d.due_ms, key, d.transition): None for d in deadlines},
    )


def _pairs(terms: Terms) -> Iterator[tuple[str, str]]:
    for term in TERMS:
        values = getattr(terms, term)
        if not values:
            continue
        for value in (values,) if isinstance(values, str) else values:
            if "\x00" in value or len(value) > TERM_CHARACTERS_MAX:
                # A zero byte would make one value's entry look like another's.
                raise ValueError(f"a {term} under which nothing can be filed")
            if value:
                yield term, str(value)


def commitments(documents: Mapping[str, Document | None], secret: bytes) -> dict[bytes, bytes | None]:
    """Key in the tree to the value there, None where a document is deleted."""
    changes: dict[bytes, bytes | None] = {}
    for name, document in documents.items():
        key = name.encode()
        changes[key] = None if document is None else document_commitment(document_salt(secret, key), document.stored)
    return changes


class DocumentCache:
    """Decoded documents by key and stored bytes: what is in here is right at every height. First in, first out.

    The threads of a ledger share it; each step is one operation of a dictionary. `places`: where their large parts stand.
    """

    def __init__(self) -> None:
        self.places = Places()
        self._documents: dict[tuple[str, bytes], Document] = {}
        self._bytes = 0

    def read(self, kind: Kind[Any], document_id: str, stored: bytes) -> Document:
        """The document of these bytes."""
        found = self._documents.get((f"{kind.name}/{document_id}", stored))
        # Other contracts may read the same bytes differently.
        if found is None or found.kind is not kind:
            found = read_document(kind, document_id, stored)
            self.keep(found)
        return found

    def keep(self, document: Document) -> None:
        """Remember a document."""
        self._documents[document.key, document.stored] = document
        self._bytes += len(document.stored)
        if len(self._documents) > CACHED_DOCUMENTS or self._bytes > CACHED_BYTES_MAX:
            for key in list(self._documents)[: CACHED_DOCUMENTS // 4]:
                self._documents.pop(key, None)
            # Counted anew: two threads may have counted one document twice.
            self._bytes = sum(len(stored) for _, stored in list(self._documents))
