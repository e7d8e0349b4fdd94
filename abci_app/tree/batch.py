"""One update of the tree: sorted changes go down page by page, hashes come up, each page once."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from typing import Final, TypeVar

from abci_app.tree.errors import TreeDamaged
from abci_app.tree.pages import (
    BUCKET_LEAVES_MAX,
    BUCKET_TAG,
    COUNT_MAX,
    COUNTS_AT,
    EMPTY_SLOT,
    VERSIONS_AT,
    Leaf,
    Slot,
    decode_bucket,
    encode_bucket,
    encode_entry,
    finish_inner_page,
    hash_leaves,
    new_inner_page,
    nibble_at,
    read_slot,
    with_nibble,
    write_slot,
)
from abci_app.tree.store import Pages, page_place
from smartcontracts.verify.hashing import LEAF_PREFIX

# A change is the leaf that is to be there, or key hash and None where none is to be.
Change = Leaf | tuple[bytes, None, None]
_Item = TypeVar("_Item", Change, Leaf)

_ALL_QUARTERS: Final = 0b1111


def sort_changes(changes: Mapping[bytes, bytes | None]) -> list[Change]:
    """The changes hashed and sorted by key hash. Raises ValueError on oversized keys and values."""
    prepared: list[Change] = []
    for key, value in changes.items():
        key_hash = sha256(key).digest()
        if value is None:
            prepared.append((key_hash, None, None))
        else:
            leaf_hash = sha256(LEAF_PREFIX + key_hash + sha256(value).digest()).digest()
            prepared.append((key_hash, leaf_hash, encode_entry(key, value)))
    prepared.sort()  # key hashes differ, so nothing after them is ever compared
    return prepared


class Batch:
    """Collects the pages that an update writes and those that it supersedes; the store stays as it is."""

    def __init__(self, pages: Pages, version: bytes) -> None:
        self._pages = pages
        self._version = version
        self.writes: dict[bytes, bytes] = {}
        self.stale: list[bytes] = []

    def apply(self, version: bytes, leaf_count: int, depth: int, changes: list[Change]) -> Slot | None:
        """A subtree of `leaf_count` leaves with its page of `version`, after `changes`; None: they change nothing."""
        place = page_place(depth, changes[0][0])
        if not leaf_count:
            leaves = [change for change in changes if change[1] is not None]
            return self._build(depth, place, leaves) if leaves else None
        key = version + place
        page = self._pages.read(key, depth)
        if page[0] == BUCKET_TAG:
            after = self._apply_to_bucket(page, depth, place, changes)
        else:
            after = self._apply_to_inner(page, depth, place, changes)
        if after is not None:
            self.stale.append(key)
        return after

    def _apply_to_bucket(self, page: bytes, depth: int, place: bytes, changes: list[Change]) -> Slot | None:
        leaves = {leaf[0]: leaf for leaf in decode_bucket(page)}
        changed = False
        for change in changes:
            old = leaves.get(change[0])
            if change[1] is None:
                if old is not None:
                    del leaves[change[0]]
                    changed = True
            elif old is None or old[1] != change[1]:
                leaves[change[0]] = change
                changed = True
        if not changed:
            return None
        return self._build(depth, place, sorted(leaves.values())) if leaves else EMPTY_SLOT

    def _apply_to_inner(self, page: bytes, depth: int, place: bytes, changes: list[Change]) -> Slot | None:
        draft = bytearray(page)
        touched = 0  # one bit a quarter
        for nibble, group in _by_nibble(changes, depth):
            at = VERSIONS_AT + 8 * nibble
            after = self.apply(page[at : at + 8], page[COUNTS_AT + nibble], depth + 1, group)
            if after is not None:
                write_slot(draft, nibble, after)
                touched |= 1 << (nibble >> 2)
        if not touched:
            return None
        count = sum(draft[COUNTS_AT:VERSIONS_AT])
        if count <= BUCKET_LEAVES_MAX:
            return self._collapse(bytes(draft), depth, place, changes[0][0])
        return self._write_inner(draft, touched, place, count)

    def _build(self, depth: int, place: bytes, leaves: list[Leaf]) -> Slot:
        """Pages for `leaves`, sorted, at least one, in place of what was there before."""
        if len(leaves) <= BUCKET_LEAVES_MAX:
            self.writes[self._version + place] = encode_bucket(leaves)
            return Slot(self._version, len(leaves), hash_leaves(leaves, 4 * depth))
        draft = new_inner_page()
        for nibble, group in _by_nibble(leaves, depth):
            write_slot(draft, nibble, self._build(depth + 1, page_place(depth + 1, group[0][0]), group))
        return self._write_inner(draft, _ALL_QUARTERS, place, len(leaves))

    def _write_inner(self, draft: bytearray, touched: int, place: bytes, count: int) -> Slot:
        page, page_hash = finish_inner_page(draft, touched)
        self.writes[self._version + place] = page
        return Slot(self._version, min(count, COUNT_MAX), page_hash)

    def _collapse(self, page: bytes, depth: int, place: bytes, path: bytes) -> Slot:
        """One bucket in place of an inner page that has become small; all below it are buckets."""
        leaves: list[Leaf] = []
        for nibble in range(16):
            below = read_slot(page, nibble)
            if below.leaf_count:
                leaves += self._take_bucket(below.version, depth + 1, with_nibble(path, depth, nibble))
        return self._build(depth, place, leaves) if leaves else EMPTY_SLOT

    def _take_bucket(self, version: bytes, depth: int, path: bytes) -> list[Leaf]:
        """The leaves of a bucket that is to be no more, whether this update wrote it or an older one."""
        key = version + page_place(depth, path)
        page = self.writes.pop(key, None)
        if page is None:
            page = self._pages.read(key, depth)
            self.stale.append(key)
        if page[0] != BUCKET_TAG:
            raise TreeDamaged(f"page {key.hex()} should be a bucket")
        return decode_bucket(page)


def _by_nibble(items: list[_Item], depth: int) -> list[tuple[int, list[_Item]]]:
    """Runs of `items`, sorted, that share the slot of a page at `depth`."""
    if len(items) == 1:
        return [(nibble_at(items[0][0], depth), items)]
    at, shift = depth >> 1, 0 if depth & 1 else 4
    runs: list[tuple[int, list[_Item]]] = []
    run: list[_Item] = []
    last = -1
    for item in items:
        nibble = item[0][at] >> shift & 15
        if nibble != last:
            run = []
            runs.append((nibble, run))
            last = nibble
        run.append(item)
    return runs
