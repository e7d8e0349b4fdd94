"""A block's effects as one batch for the store: documents, indexes, deadlines, tree, receipts, events, numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from abci_app.records import MINUTE_MS
from abci_app.store import keys
from abci_app.store.filing import PART_BYTES_MIN, file, places_in
from abci_app.store.versioned import write_at, write_new, write_over
from ledgers.receipts import encode_receipt
from smartcontracts.codec import large_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from abci_app.execution.outcomes import BlockResult
    from abci_app.state.committed import Committed
    from abci_app.state.documents import Document
    from abci_app.store.filing import Place, Places
    from abci_app.store.kv import Batch, Reader
    from abci_app.tree import TreeUpdate


def block_batch(block: BlockResult, committed: Committed, places: Places) -> Batch:
    """Everything that the commit of `block` writes, but for pruning. `places` are as committed."""
    batch: Batch = {}
    new = dict(block_places(block))

    def find(part: bytes) -> Place | None:
        return new.get(part) or places.find(part)

    tree_version = committed.tree_version
    for key, document in block.documents.items():
        before = None if document is None else committed.view.document(document.kind, document.id)
        file_document(
            batch,
            committed.reader,
            key,
            before,
            document,
            find,
            height=block.height,
            since=committed.view.written_at(key),
            was_quarantined=key in committed.quarantined,
            is_quarantined=key in block.quarantined,
        )
    _release(batch, block.quarantined - committed.quarantined - block.documents.keys(), committed)
    if block.tree_update is not None:
        tree_version = block.tree_update.version
        add_tree(batch, block.tree_update)
    _add_receipts(batch, block)
    for index, event in enumerate(block.events):
        batch[keys.event_key(block.height, index)] = event.SerializeToString(deterministic=True)
    add_height(batch, block.height, tree_version, block.root)
    return batch


def file_document(
    batch: Batch,
    reader: Reader,
    key: str,
    before: Document | None,
    after: Document | None,
    find: Callable[[bytes], Place | None],
    *,
    height: int,
    since: int | None = None,
    was_quarantined: bool = False,
    is_quarantined: bool = False,
) -> None:
    """A document's new version, and what finds it. `before` is as committed, at height `since` if that is known; `find`
    knows where large parts stand.
    """
    if after is None:
        write_at(batch, reader, keys.DOCUMENTS, key.encode(), None, height)
        return
    filed = _filed(after, find)
    if before is None:
        write_new(batch, keys.DOCUMENTS, key.encode(), filed, height)
    elif since is not None:
        # Filed anew, perhaps in another form than it has in the store: cheaper than to ask for that.
        write_over(batch, keys.DOCUMENTS, key.encode(), (since, _filed(before, find)), filed, height)
    else:
        write_at(batch, reader, keys.DOCUMENTS, key.encode(), filed, height)
    old_terms = {} if before is None else before.terms
    for term, value in old_terms.keys() - after.terms.keys():
        entry = keys.index_prefix(after.kind.name, term, value) + after.id.encode()
        write_at(batch, reader, keys.INDEX, entry, None, height)
    for term, value in after.terms.keys() - old_terms.keys():
        entry = keys.index_prefix(after.kind.name, term, value) + after.id.encode()
        write_new(batch, keys.INDEX, entry, b"", height)
    old = {} if before is None or was_quarantined else before.deadlines
    new = {} if is_quarantined else after.deadlines
    for entry_ in old.keys() - new.keys():
        batch[keys.deadline_key(*entry_)] = None
    for entry_ in new.keys() - old.keys():
        batch[keys.deadline_key(*entry_)] = b""


def _filed(document: Document, find: Callable[[bytes], Place | None]) -> bytes:
    small = len(document.stored) < PART_BYTES_MIN
    return file(document.stored, () if small else large_bytes(document.record, PART_BYTES_MIN), find)


def block_places(block: BlockResult) -> Iterator[tuple[bytes, Place]]:
    """Where large parts of the transactions stand that the commit of `block` keeps."""
    for raw, result in zip(block.transactions, block.results, strict=True):
        if result.remembered and result.parts:
            yield from places_in(result.receipt.transaction_id, raw, result.parts)


def add_tree(batch: Batch, update: TreeUpdate) -> None:
    """The tree's new pages."""
    for record_key, page in update.writes.items():
        batch[keys.TREE + record_key] = page


def add_height(batch: Batch, height: int, tree_version: int, root: bytes) -> None:
    """Where the ledger is."""
    batch[keys.app_hash_key(height)] = keys.encode_app_hash(tree_version, root)
    batch[keys.META_HEIGHT] = keys.number(height)


def _release(batch: Batch, quarantined: Iterable[str], committed: Committed) -> None:
    """Take documents that are in quarantine now, and were not written besides, out of the queue."""
    for key in sorted(quarantined):
        kind_name, _, document_id = key.partition("/")
        document = committed.view.document(committed.table.kinds[kind_name], document_id)
        if document is not None:
            for entry in document.deadlines:
                batch[keys.deadline_key(*entry)] = None


def _add_receipts(batch: Batch, block: BlockResult) -> None:
    executed: list[bytes] = []
    for raw, result in zip(block.transactions, block.results, strict=True):
        if result.remembered:
            name = result.receipt.transaction_id
            executed.append(name)
            batch[keys.RECEIPTS + name] = encode_receipt(result.receipt)
            batch[keys.TRANSACTIONS + name] = raw
            batch[keys.replay_key(result.expires_at_ms // MINUTE_MS, name)] = b""
    for record, first in enumerate(range(0, len(executed), keys.EXECUTED_A_RECORD)):
        ids = b"".join(executed[first : first + keys.EXECUTED_A_RECORD])
        batch[keys.executed_key(block.height, record)] = ids
