"""The two views under contracts: the committed state, and layers of writes over it."""

from __future__ import annotations

from heapq import merge
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar, cast

from abci_app.state.documents import Document, DocumentCache, write_document
from abci_app.store.filing import unfile
from abci_app.store.keys import DOCUMENTS, INDEX, index_prefix
from abci_app.store.versioned import read_live, scan_live

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from abci_app.store.kv import Reader
    from smartcontracts.kernel import Kind

R = TypeVar("R")


class Documents(Protocol):
    """Documents and what finds them, at one point."""

    def document(self, kind: Kind[Any], document_id: str) -> Document | None:
        """The document, or None."""

    def ids(self, kind: Kind[Any], term: str, value: str) -> Iterator[str]:
        """Ids of the documents of `kind` that have `value` under `term`, sorted."""


class _Reading:
    """`View` of the kernel, from the two methods of `Documents`."""

    def document(self, kind: Kind[Any], document_id: str) -> Document | None:
        raise NotImplementedError

    def ids(self, kind: Kind[Any], term: str, value: str) -> Iterator[str]:
        raise NotImplementedError

    def get(self, kind: Kind[R], document_id: str) -> R | None:
        found = self.document(kind, document_id)
        return None if found is None else cast("R", found.record)

    def find(self, kind: Kind[R], term: str, value: str, limit: int) -> tuple[R, ...]:
        return tuple(
            cast("Document", self.document(kind, found)).record for found in islice(self.ids(kind, term, value), limit)
        )


KNOWN_MAX: Final = 4_096
KNOWN_BYTES_MAX: Final = 32 * 1024 * 1024


class StoredView(_Reading):
    """The committed state, from one snapshot of the store. What was read once is known, absence too.

    The view of the next block begins with what this one knows. Two threads share a view; each step is one operation of
    a dictionary.
    """

    def __init__(
        self,
        reader: Reader,
        cache: DocumentCache,
        known: dict[str, tuple[Document, int]] | None = None,
        known_bytes: int = 0,
    ) -> None:
        self.reader = reader
        self._cache = cache
        # With the height that wrote it.
        self._known = known or {}
        self._known_bytes = known_bytes
        # Absence is asked about by anybody who makes up an id, so it is not carried on.
        self._absent: set[str] = set()

    def document(self, kind: Kind[Any], document_id: str) -> Document | None:
        key = f"{kind.name}/{document_id}"
        known = self._known.get(key)
        if known is not None and known[0].kind is kind:
            return known[0]
        if key in self._absent:
            return None
        found = read_live(self.reader, DOCUMENTS, key.encode())
        if found is None:
            if len(self._absent) < KNOWN_MAX:
                self._absent.add(key)
            return None
        since, filed = found
        stored = unfile(self.reader, filed, self._cache.places)
        document = self.read(kind, document_id, stored)
        if len(self._known) < KNOWN_MAX and self._known_bytes + len(stored) <= KNOWN_BYTES_MAX:
            self._known[key] = document, since
            self._known_bytes += len(stored)
        return document

    def written_at(self, key: str) -> int | None:
        """The height that wrote the document at `key`, where that is known without asking the store."""
        known = self._known.get(key)
        return None if known is None else known[1]

    def after(self, reader: Reader, written: Mapping[str, Document | None], height: int) -> StoredView:
        """The view after the block of `height`, which wrote these documents, from the snapshot after it."""
        known, known_bytes = dict(self._known), self._known_bytes
        for key, document in written.items():
            before = known.pop(key, None)
            known_bytes -= 0 if before is None else len(before[0].stored)
            if document is not None:
                known[key] = document, height
                known_bytes += len(document.stored)
        if len(known) > KNOWN_MAX or known_bytes > KNOWN_BYTES_MAX:
            known = _last_of(known)
            # Counted anew: two threads may have counted one document twice.
            known_bytes = sum(len(document.stored) for document, _ in known.values())
        return StoredView(reader, self._cache, known, known_bytes)

    def read(self, kind: Kind[Any], document_id: str, stored: bytes) -> Document:
        """The document of bytes that were read at some height."""
        return self._cache.read(kind, document_id, stored)

    def ids(self, kind: Kind[Any], term: str, value: str) -> Iterator[str]:
        for found, _ in scan_live(self.reader, INDEX, index_prefix(kind.name, term, value)):
            yield found.decode()


def _last_of(known: dict[str, tuple[Document, int]]) -> dict[str, tuple[Document, int]]:
    """The half that was written last, which is what the next block asks for."""
    kept: list[tuple[str, tuple[Document, int]]] = []
    room = KNOWN_BYTES_MAX // 2
    for key, entry in reversed(known.items()):
        room -= len(entry[0].stored)
        if room < 0 or len(kept) == KNOWN_MAX // 2:
            break
        kept.append((key, entry))
    return dict(reversed(kept))


class Layer(_Reading):
    """Writes over another view, which stays as it is until `merge_down`."""

    def __init__(self, base: Documents) -> None:
        self.base = base
        # By key; None is deleted, which only system documents ever are.
        self.documents: dict[str, Document | None] = {}
        # (kind, term, value) -> id -> there or not.
        self._found: dict[tuple[str, str, str], dict[str, bool]] = {}

    def document(self, kind: Kind[Any], document_id: str) -> Document | None:
        key = f"{kind.name}/{document_id}"
        if key in self.documents:
            return self.documents[key]
        return self.base.document(kind, document_id)

    def ids(self, kind: Kind[Any], term: str, value: str) -> Iterator[str]:
        below = self.base.ids(kind, term, value)
        changed = self._found.get((kind.name, term, value))
        if not changed:
            return below
        added = sorted(i for i, there in changed.items() if there)
        return merge(added, (i for i in below if i not in changed))

    def write(self, kind: Kind[Any], record: Any, time_ms: int) -> Document:
        """Put a record in its document's next version."""
        before = self.document(kind, record.id)
        after = write_document(kind, record, before, time_ms)
        self._refile(kind, before, after)
        self.documents[after.key] = after
        return after

    def delete(self, kind: Kind[Any], document_id: str) -> None:
        """Delete a system document; nothing finds those."""
        self.documents[f"{kind.name}/{document_id}"] = None

    def merge_down(self, below: Layer) -> None:
        """Put everything into the layer that this one was made over."""
        below.documents.update(self.documents)
        for place, changed in self._found.items():
            below._found.setdefault(place, {}).update(changed)

    def _refile(self, kind: Kind[Any], before: Document | None, after: Document) -> None:
        old = {} if before is None else before.terms
        new = after.terms
        for term, value in old:
            if (term, value) not in new:
                self._found.setdefault((kind.name, term, value), {})[after.id] = False
        for term, value in new:
            if (term, value) not in old:
                self._found.setdefault((kind.name, term, value), {})[after.id] = True
