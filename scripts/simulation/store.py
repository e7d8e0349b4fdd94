"""A store of one dictionary and a sorted list of its keys: what a replica's disk is in the simulation.

A snapshot is the store itself: between two commits nobody writes, and nobody reads what was committed before.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterator

from abci_app.store.kv import Batch


class LiveStore:
    """A `KeyValueStore` that outlives the replica that wrote it, as a disk does."""

    def __init__(self) -> None:
        self._values: dict[bytes, bytes] = {}
        self._keys: list[bytes] = []

    def get(self, key: bytes) -> bytes | None:
        return self._values.get(key)

    def scan(self, start: bytes, stop: bytes) -> Iterator[tuple[bytes, bytes]]:
        keys = self._keys
        for key in keys[bisect_left(keys, start) : bisect_left(keys, stop)]:
            yield key, self._values[key]

    def snapshot(self) -> LiveStore:
        return self

    def write(self, batch: Batch) -> None:
        values, keys = self._values, self._keys
        for key, value in batch.items():
            known = key in values
            if value is not None:
                values[key] = value
                if not known:
                    insort(keys, key)
            elif known:
                del values[key]
                del keys[bisect_left(keys, key)]

    def copy(self) -> LiveStore:
        """Another store that holds the same."""
        other = LiveStore()
        other._values, other._keys = dict(self._values), list(self._keys)
        return other

    def close(self) -> None:
        """A disk is not closed."""
