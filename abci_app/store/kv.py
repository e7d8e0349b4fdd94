"""What the application needs of a key-value store: ordered keys, snapshots, one atomic synced batch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

Batch = dict[bytes, bytes | None]
"""Key to value, or None to delete."""


class StoreDamagedError(Exception):
    """What the store holds cannot be: a record is missing or unreadable. The ledger stops."""


class Reader(Protocol):
    """The store at one moment, whatever is written later."""

    def get(self, key: bytes) -> bytes | None:
        """The value at `key`, or None."""

    def scan(self, start: bytes, stop: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Pairs with start <= key < stop, by key."""


class KeyValueStore(Protocol):
    """A store that one process has opened. `write` is called by one thread at a time."""

    def get(self, key: bytes) -> bytes | None:
        """The value at `key` now, or None."""

    def snapshot(self) -> Reader:
        """What was written so far."""

    def write(self, batch: Batch) -> None:
        """All of `batch`, or nothing; on the disk when this returns."""

    def close(self) -> None:
        """Close; snapshots end too."""
