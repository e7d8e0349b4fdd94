"""One update of the tree: sorted changes go down page by page, hashes come up, each page once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from itertools import groupby
from typing import Final, TypeVar

from abci_app.tree.errors import TreeDamaged
from abci_app.tree.pages import (
    BUCKET_LEAVES_MAX,
    BUCKET_TAG,
    COUNT_MAX,
    EMPTY_SLOT,
    Leaf,
    Slot,
    compute_quarter,
    count_leaves,
    decode_bucket,
    encode_bucket,
    hash_leaves,
    hash_page,
    make_leaf,
    new_inner_page,
    nibble_at,
    read_slot,
    with_nibble,
    write_slot,
)
from abci_app.tree.store import Pages, page_key
from smartcontracts.verify.hashing import LEAF_PREFIX

Change = tuple[bytes, Leaf | None]  # key hash, and the leaf that is to be there
_Item = TypeVar("_Item", Change, Leaf)

_ALL_QUARTERS: Final = 0b1111


def sort_changes(changes: Mapping[bytes, bytes | None]) -> list[Change]:
    """The changes hashed and sorted by key hash. Raises ValueError on oversized keys and values."""
    prepared: list[Change] = []
    for key, value in changes.items():
        hashed_key = sha256(key).digest()
        if value is None:
            prepared.append((hashed_key, None))
        else:
            hashed_leaf = sha256(LEAF_PREFIX + hashed_key + sha256(value).digest()).digest()
            prepared.append((hashed_key, make_leaf(hashed_key, hashed_leaf, key, value)))
    prepared.sort(key=_first)
    return prepared


def _first(item: Sequence[object]) -> bytes:
    return item[0]  # type: ignore[return-value]  # both kinds of item start with the key hash


class Batch:
    """Collects the pages that an update writes and those that it supersedes; the store stays as it is."""

    def __init__(self, pages: Pages, version: int) -> None:
        self._pages = pages
        self._version = version
        self.writes: dict[bytes, bytes] = {}
        self.stale: list[bytes] = []

    def apply(self, slot: Slot, depth: int, changes: list[Change]) -> Slot:
        """The subtree in `slot` after `changes`; the very same object if they change nothing."""
        if not slot.leaf_count:
            return self._build(depth, [leaf for _, leaf in changes if leaf is not None]) or slot
        key = page_key(slot.version, depth, changes[0][0])
        page = self._pages.read(key, depth)
        if page[0] == BUCKET_TAG:
            return self._apply_to_bucket(slot, depth, changes, key, page)
        return self._apply_to_inner(slot, depth, changes, key, page)

    def _apply_to_bucket(
        self, slot: Slot, depth: int, changes: list[Change], key: bytes, page: bytes
    ) -> Slot:
        leaves = {leaf.key_hash: leaf for leaf in decode_bucket(page)}
        changed = False
        for hashed_key, leaf in changes:
            old = leaves.get(hashed_key)
            if leaf is None:
                if old is not None:
                    del leaves[hashed_key]
                    changed = True
            elif old is None or old.leaf_hash != leaf.leaf_hash:
                leaves[hashed_key] = leaf
                changed = True
        if not changed:
            return slot
        self.stale.append(key)
        return self._build(depth, sorted(leaves.values(), key=_first)) or EMPTY_SLOT

    def _apply_to_inner(
        self, slot: Slot, depth: int, changes: list[Change], key: bytes, old: bytes
    ) -> Slot:
        page = bytearray(old)
        touched = 0  # one bit a quarter
        for nibble, group in _by_nibble(changes, depth):
            below = read_slot(page, nibble)
            after = self.apply(below, depth + 1, group)
            if after is not below:
                write_slot(page, nibble, after)
                touched |= 1 << (nibble >> 2)
        if not touched:
            return slot
        self.stale.append(key)
        count = count_leaves(page)
        if count <= BUCKET_LEAVES_MAX:
            return self._collapse(page, depth, changes[0][0])
        return self._write_inner(page, touched, depth, changes[0][0], count)

    def _build(self, depth: int, leaves: list[Leaf]) -> Slot | None:
        """Pages for `leaves`, sorted, where nothing was before; None if there are none."""
        if not leaves:
            return None
        if len(leaves) <= BUCKET_LEAVES_MAX:
            self.writes[page_key(self._version, depth, leaves[0][0])] = encode_bucket(leaves)
            return Slot(self._version, len(leaves), hash_leaves(leaves, 4 * depth))
        page = new_inner_page()
        for nibble, group in _by_nibble(leaves, depth):
            write_slot(page, nibble, self._build(depth + 1, group) or EMPTY_SLOT)
        count = min(len(leaves), COUNT_MAX)
        return self._write_inner(page, _ALL_QUARTERS, depth, leaves[0][0], count)

    def _write_inner(
        self, page: bytearray, touched: int, depth: int, path: bytes, count: int
    ) -> Slot:
        for quarter in range(4):
            if touched >> quarter & 1:
                compute_quarter(page, quarter)
        self.writes[page_key(self._version, depth, path)] = bytes(page)
        return Slot(self._version, count, hash_page(page))

    def _collapse(self, page: bytearray, depth: int, path: bytes) -> Slot:
        """One bucket in place of an inner page that has become small; all below it are buckets."""
        leaves: list[Leaf] = []
        for nibble in range(16):
            below = read_slot(page, nibble)
            if below.leaf_count:
                leaves += self._take_bucket(below, depth + 1, with_nibble(path, depth, nibble))
        return self._build(depth, leaves) or EMPTY_SLOT

    def _take_bucket(self, slot: Slot, depth: int, path: bytes) -> list[Leaf]:
        key = page_key(slot.version, depth, path)
        page = self.writes.pop(key, None)
        if page is None:
            page = self._pages.read(key, depth)
            self.stale.append(key)
        if page[0] != BUCKET_TAG:
            raise TreeDamaged(f"page {key.hex()} should be a bucket")
        return decode_bucket(page)


def _by_nibble(items: list[_Item], depth: int) -> Iterator[tuple[int, list[_Item]]]:
    """Runs of `items`, sorted by key hash, that share the slot of a page at `depth`."""
    for nibble, group in groupby(items, key=lambda item: nibble_at(item[0], depth)):
        yield nibble, list(group)
