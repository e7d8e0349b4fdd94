"""Where the tree's records lie: keys, the root and stale records of a version, and cached reading.

All keys start with the version in eight bytes, so a block's records lie together, after all older
ones:

    version | 0          root record: hash 32, version of the root page 8, count 1
    version | 1          stale record: keys that this version superseded, each with its length
    version | 2 + depth | path      a page; the path is the first `depth` half bytes of key hashes
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Protocol

from abci_app.tree.errors import TreeDamaged, VersionNotRetained
from abci_app.tree.pages import Slot

VERSION_MAX: Final = (1 << 63) - 1
ROOT_RECORD_BYTES: Final = 41

_ROOT: Final = b"\x00"
_STALE: Final = b"\x01"
_DEPTH_TAGS: Final = tuple(bytes([2 + depth]) for depth in range(65))
_HIGH_NIBBLES: Final = tuple(bytes([nibble << 4]) for nibble in range(16))


class NodeReader(Protocol):
    """Committed records of the tree: any key-value store, or a prefixed view of one."""

    def get(self, key: bytes) -> bytes | None:
        """The value at `key`, or None."""


def page_place(depth: int, key_hash: bytes) -> bytes:
    """Key of the page at `depth` (in pages) on the way to `key_hash`, without the version before it."""
    half = depth >> 1
    if depth & 1:
        return _DEPTH_TAGS[depth] + key_hash[:half] + _HIGH_NIBBLES[key_hash[half] >> 4]
    return _DEPTH_TAGS[depth] + key_hash[:half]


def depth_of(key: bytes) -> int | None:
    """Depth of the page at `key`, or None if it is no page."""
    return key[8] - 2 if key[8] >= 2 else None


def root_key(version: int) -> bytes:
    """Key of the root record of `version`."""
    return version.to_bytes(8, "big") + _ROOT


def stale_key(version: int) -> bytes:
    """Key of the record of what `version` superseded."""
    return version.to_bytes(8, "big") + _STALE


def encode_root(slot: Slot) -> bytes:
    """The root record."""
    return slot.hash + slot.version + bytes([slot.leaf_count])


def decode_root(data: bytes) -> Slot:
    """The root page as a slot. Raises TreeDamaged."""
    if len(data) != ROOT_RECORD_BYTES:
        raise TreeDamaged("a root record has a wrong length")
    return Slot(data[32:40], data[40], data[:32])


def encode_stale(keys: list[bytes]) -> bytes:
    """The stale record; keys have at most 255 bytes."""
    return b"".join([bytes([len(key)]) + key for key in keys])


def decode_stale(data: bytes) -> list[bytes]:
    """The keys in a stale record."""
    keys, at = [], 0
    while at < len(data):
        end = at + 1 + data[at]
        keys.append(data[at + 1 : end])
        at = end
    return keys


class Pages:
    """Reads pages, and keeps the upper ones that were read or committed, first in first out.

    Only committed pages come in here, and a page never changes under its key, so whatever is
    cached is right. Dropped pages are read again.
    """

    def __init__(self, reader: NodeReader, pages_max: int, depth_max: int) -> None:
        self._reader = reader
        self._pages_max = pages_max
        self._depth_max = depth_max
        self._cache: dict[bytes, bytes] = {}

    def read(self, key: bytes, depth: int) -> bytes:
        """The page at `key`. Raises TreeDamaged if it is not there."""
        page = self._cache.get(key)
        if page is None:
            page = self._reader.get(key)
            if not page:
                raise TreeDamaged(f"page {key.hex()} is missing")
            if depth <= self._depth_max:
                self.keep(key, page)
        return page

    def read_root(self, version: int) -> Slot:
        """The root of `version`. Raises VersionNotRetained, TreeDamaged."""
        record = self._reader.get(root_key(version))
        if record is None:
            raise VersionNotRetained(f"version {version} is not here")
        return decode_root(record)

    def read_stale(self, version: int) -> list[bytes]:
        """The keys that `version` superseded; none where nothing is recorded."""
        return decode_stale(self._reader.get(stale_key(version)) or b"")

    def keep(self, key: bytes, page: bytes) -> None:
        """Cache a committed page, in place of the oldest where there is no room."""
        if self._pages_max <= 0:
            return
        while len(self._cache) >= self._pages_max:
            self._cache.pop(next(iter(self._cache)), None)
        self._cache[key] = page

    def exchange(self, writes: dict[bytes, bytes], stale: Iterable[bytes]) -> None:
        """Follow a committed update: forget superseded pages, keep the new upper ones."""
        for key in stale:
            self._cache.pop(key, None)
        for key, page in writes.items():
            depth = depth_of(key)
            if depth is not None and depth <= self._depth_max:
                self.keep(key, page)
