"""The tree of a ledger: one root a version, updated in one batch a block, proven at any kept version."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from abci_app.tree.batch import Batch, sort_changes
from abci_app.tree.pages import EMPTY_SLOT, Slot, decode_entry
from abci_app.tree.proofs import View
from abci_app.tree.store import (
    VERSION_MAX,
    NodeReader,
    Pages,
    encode_root,
    encode_stale,
    root_key,
    stale_key,
)
from smartcontracts.verify.hashing import key_hash

CACHED_PAGES: Final = 1 + 16 + 256 + 4096  # all of the depths cached; below 4 MB
CACHED_DEPTH: Final = 3


@dataclass(frozen=True, slots=True)
class TreeUpdate:
    """What an update would write; nothing has happened until the application writes it.

    `writes` (record key to bytes) goes into the store with the block's other writes. `stale` are
    record keys that older versions still need; `Tree.prune` names them when those are given up.
    """

    version: int
    base_version: int | None
    root: bytes
    writes: dict[bytes, bytes]
    stale: tuple[bytes, ...]
    root_slot: Slot


class Tree:
    """The committed tree over `reader`, at `version` (None: nothing was ever committed).

    `update` may be called any number of times and dropped; `commit` follows once the writes are
    in the store. The application asks one thread at a time to update and commit; `get` and
    `prove` of a kept version may run beside them.
    """

    def __init__(
        self,
        reader: NodeReader,
        version: int | None = None,
        *,
        cached_pages: int = CACHED_PAGES,
        cached_depth: int = CACHED_DEPTH,
    ) -> None:
        """Open at `version`. Raises VersionNotRetained, TreeDamaged."""
        self._pages = Pages(reader, cached_pages, cached_depth)
        self._version = version
        self._root = EMPTY_SLOT if version is None else self._pages.read_root(version)

    @property
    def version(self) -> int | None:
        """The version last committed, None before the first."""
        return self._version

    @property
    def root(self) -> bytes:
        """Root hash of the version last committed, 32 bytes; the placeholder if the tree is empty."""
        return self._root.hash

    def root_at(self, version: int) -> bytes:
        """Root hash of a kept version. Raises VersionNotRetained."""
        return self._slot_at(version).hash

    def update(self, version: int, changes: Mapping[bytes, bytes | None]) -> TreeUpdate:
        """The tree after `changes` (raw key to raw value; None deletes), as `version`.

        Based on the version last committed; changes nothing, neither here nor in the store.
        Versions may leave gaps. Raises ValueError if `version` is not above the last one, or a key
        or value is oversized; TreeDamaged.
        """
        if not (-1 if self._version is None else self._version) < version <= VERSION_MAX:
            raise ValueError(f"version {version} does not come after {self._version}")
        batch = Batch(self._pages, version.to_bytes(8, "big"))
        ordered = sort_changes(changes)
        slot = self._root
        if ordered:
            slot = batch.apply(slot.version, slot.leaf_count, 0, ordered) or slot
        stale = batch.stale
        if self._version is not None:
            stale.append(root_key(self._version))
        writes = batch.writes
        writes[root_key(version)] = encode_root(slot)
        if stale:
            writes[stale_key(version)] = encode_stale(stale)
        return TreeUpdate(version, self._version, slot.hash, writes, tuple(stale), slot)

    def commit(self, update: TreeUpdate) -> None:
        """Go on from `update`, whose writes are in the store now.

        Raises ValueError if it is based on another version than the last one.
        """
        if update.base_version != self._version:
            raise ValueError(f"the update is based on {update.base_version}, not {self._version}")
        self._pages.exchange(update.writes, update.stale)
        self._version, self._root = update.version, update.root_slot

    def get(self, key: bytes, version: int | None = None) -> bytes | None:
        """The value at `key` in a kept version, or the last one. Raises VersionNotRetained."""
        leaf = self._view(version).find(key_hash(key))
        return None if leaf is None else decode_entry(leaf[2])[1]

    def prove(self, key: bytes, version: int | None = None) -> bytes:
        """An encoded `ics23.CommitmentProof` of the value at `key`, or of its absence.

        Raises VersionNotRetained; EmptyTree where there is nothing to prove with.
        """
        return self._view(version).prove(key)

    def items(self, version: int | None = None) -> Iterator[tuple[bytes, bytes]]:
        """All (key, value) of a kept version, by key hash, read page by page."""
        return (decode_entry(leaf[2]) for leaf in self._view(version).leaves())

    def prune(self, version: int) -> list[bytes]:
        """Record keys to delete so that `version` becomes the oldest kept one.

        Older versions must have been pruned before, each in its turn: version n names what only
        versions below n need. A version that was never committed names nothing. Nothing is
        deleted here. Raises ValueError above the last version.
        """
        if self._version is None or version > self._version:
            raise ValueError(f"version {version} is not committed")
        stale = self._pages.read_stale(version)
        return [*stale, stale_key(version)] if stale else []

    def _view(self, version: int | None) -> View:
        return View(self._pages, self._root if version is None else self._slot_at(version))

    def _slot_at(self, version: int) -> Slot:
        return self._root if version == self._version else self._pages.read_root(version)
