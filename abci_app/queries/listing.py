"""Lists of documents at a height: by index, page by page, in slices that yield to consensus.

A filter that the kind does not offer is refused, never scanned for. One filter leads through its index, the others are
looked up in what it gives; a page ends early, with a token, before it would look at too many.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final

from abci_app.queries.reads import kinds_sentence, require_kept, resolve_height, wire_document
from abci_app.queries.refusals import FilterUnsupported, KindUnknown, PageTokenInvalid, PageTooLarge
from abci_app.store.filing import read_stored_at
from abci_app.store.keys import DOCUMENTS, INDEX, NUMBER_BYTES, index_prefix
from abci_app.store.versioned import scan_at_in_steps, scan_live
from smartcontracts.codec import check_text
from smartcontracts.kernel import Rejected
from syngraph.v1 import application_pb2 as wire
from syngraph.v1.system_pb2 import StoredDocument

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from abci_app.state.committed import Committed
    from smartcontracts.kernel import Kind

PAGE_DEFAULT: Final = 100
PAGE_MAX: Final = 1_000
PAGE_BYTES_MAX: Final = 4 * 1024 * 1024
SCANNED_MAX: Final = 20_000
SLICE: Final = 10
# The most telling one leads.
_LEADING: Final = ("related", "service", "offering", "party", "status")
_DIGEST_BYTES: Final = 8


@dataclass(frozen=True, slots=True)
class _Query:
    kind: Kind[Any]
    terms: tuple[tuple[str, str], ...]
    created_from_ms: int
    created_until_ms: int
    height: int
    start: bytes
    digest: bytes


def list_documents(request: wire.ListRequest, committed: Committed) -> Generator[None, None, wire.ListResponse]:
    """A page; yields where consensus may come first. Rejects with KindUnknown, FilterUnsupported, PageTooLarge,
    PageTokenInvalid, HeightPruned, HeightUnknown.
    """
    if request.page_size > PAGE_MAX:
        raise PageTooLarge(f"A page has at most {PAGE_MAX} documents.", "page_size")
    query = _read_query(request, committed)
    page = wire.ListResponse(height=query.height)
    size_max = request.page_size or PAGE_DEFAULT
    page_bytes = scanned = 0
    for found in _ids(query, committed):
        if found is None:
            yield
            continue
        scanned += 1
        if scanned % SLICE == 0:
            yield
        if len(page.documents) >= size_max or scanned > SCANNED_MAX:
            page.next_page_token = _encode_token(query, found)
            break
        document_id = found.decode()
        stored = read_stored_at(committed.reader, f"{query.kind.name}/{document_id}".encode(), query.height)
        if stored is None or not _matches(query, document_id, stored, committed):
            continue
        if page.documents and page_bytes + len(stored) > PAGE_BYTES_MAX:
            page.next_page_token = _encode_token(query, found)
            break
        page_bytes += len(stored)
        page.documents.append(wire_document(query.kind.name, document_id, stored, committed))
    return page


def _read_query(request: wire.ListRequest, committed: Committed) -> _Query:
    given = request.filter
    kind = committed.table.kinds.get(given.kind)
    if kind is None:
        raise KindUnknown(kinds_sentence(committed), "filter.kind")
    terms = []
    for term in _LEADING:
        value = getattr(given, term)
        if value and term not in kind.filters:
            offered = ", ".join(kind.filters) or "none"
            raise FilterUnsupported(f"{kind.name} offers the filters: {offered}.", f"filter.{term}")
        if value:
            terms.append((term, _checked(value, f"filter.{term}")))
    digest = sha256(given.SerializeToString(deterministic=True)).digest()[:_DIGEST_BYTES]
    height, start = _read_start(request, digest, committed)
    return _Query(kind, tuple(terms), given.created_from_ms, given.created_until_ms, height, start, digest)


def _checked(value: str, field: str) -> str:
    try:
        return check_text(value, field)
    except Rejected as refusal:
        raise FilterUnsupported(refusal.sentence, field) from refusal


def _read_start(request: wire.ListRequest, digest: bytes, committed: Committed) -> tuple[int, bytes]:
    if not request.page_token:
        return resolve_height(request.height, committed), b""
    try:
        token = base64.urlsafe_b64decode(request.page_token.encode("ascii"))
    except (UnicodeEncodeError, binascii.Error, ValueError) as error:
        raise PageTokenInvalid("The token is not one of ours.", "page_token") from error
    height = int.from_bytes(token[:NUMBER_BYTES], "big")
    of, start = token[NUMBER_BYTES : NUMBER_BYTES + _DIGEST_BYTES], token[NUMBER_BYTES + _DIGEST_BYTES :]
    if of != digest or request.height not in {0, height} or height > committed.height or not start:
        raise PageTokenInvalid("The token belongs to another height or filter.", "page_token")
    return require_kept(height, committed), start


def _encode_token(query: _Query, start: bytes) -> str:
    token = query.height.to_bytes(NUMBER_BYTES, "big") + query.digest + start
    return base64.urlsafe_b64encode(token).decode("ascii")


def _ids(query: _Query, committed: Committed) -> Iterator[bytes | None]:
    """Ids, sorted; None where others' work may come first."""
    if query.terms:
        space, prefix = INDEX, index_prefix(query.kind.name, *query.terms[0])
    else:
        space, prefix = DOCUMENTS, f"{query.kind.name}/".encode()
    if query.height == committed.height:
        return (found for found, _ in scan_live(committed.reader, space, prefix, query.start))
    entries = scan_at_in_steps(committed.reader, space, prefix, query.height, query.start)
    return (entry and entry[0] for entry in entries)


def _matches(query: _Query, document_id: str, stored: bytes, committed: Committed) -> bool:
    if query.created_from_ms or query.created_until_ms:
        created_ms = StoredDocument.FromString(stored).created_at_ms
        if created_ms < query.created_from_ms:
            return False
        if query.created_until_ms and created_ms > query.created_until_ms:
            return False
    if len(query.terms) < 2:
        return True
    terms = committed.view.read(query.kind, document_id, stored).terms
    return all(term in terms for term in query.terms[1:])
