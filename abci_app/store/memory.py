"""A store of one dictionary: the plain reference for LevelDB, and the place of a genesis before its first block."""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from abci_app.store.kv import Batch


class MemoryReader:
    """A copy of the dictionary."""

    def __init__(self, values: dict[bytes, bytes]) -> None:
        self._values = values
        self._sorted = sorted(values)

    def get(self, key: bytes) -> bytes | None:
        return self._values.get(key)

    def scan(self, start: bytes, stop: bytes) -> Iterator[tuple[bytes, bytes]]:
        for position in range(bisect_left(self._sorted, start), bisect_left(self._sorted, stop)):
            key = self._sorted[position]
            yield key, self._values[key]


class MemoryStore:
    """Keeps nothing when the process ends."""

    def __init__(self) -> None:
        self._values: dict[bytes, bytes] = {}

    def get(self, key: bytes) -> bytes | None:
        return self._values.get(key)

    def snapshot(self) -> MemoryReader:
        return MemoryReader(dict(self._values))

    def write(self, batch: Batch) -> None:
        for key, value in batch.items():
            if value is None:
                self._values.pop(key, None)
            else:
                self._values[key] = value

    def close(self) -> None:
        self._values = {}
