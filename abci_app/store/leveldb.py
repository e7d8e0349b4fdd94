"""LevelDB through plyvel: one directory a ledger, opened by this process alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, cast

import plyvel

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from abci_app.store.kv import Batch

WRITE_BUFFER_BYTES: Final = 4 * 1024 * 1024
CACHE_BYTES: Final = 8 * 1024 * 1024
BLOOM_BITS: Final = 10


class LevelReader:
    """A snapshot; LevelDB lets it go with the last reference."""

    def __init__(self, snapshot: Any) -> None:
        self._snapshot = snapshot

    def get(self, key: bytes) -> bytes | None:
        return cast("bytes | None", self._snapshot.get(key))

    def scan(self, start: bytes, stop: bytes) -> Iterator[tuple[bytes, bytes]]:
        return cast("Iterator[tuple[bytes, bytes]]", iter(self._snapshot.iterator(start=start, stop=stop)))


class LevelStore:
    """A LevelDB of one ledger. Raises plyvel.Error or OSError where the disk does not do its part."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._database = plyvel.DB(
            str(directory),
            create_if_missing=True,
            compression=None,
            write_buffer_size=WRITE_BUFFER_BYTES,
            lru_cache_size=CACHE_BYTES,
            bloom_filter_bits=BLOOM_BITS,
        )

    def get(self, key: bytes) -> bytes | None:
        return cast("bytes | None", self._database.get(key))

    def snapshot(self) -> LevelReader:
        return LevelReader(self._database.snapshot())

    def write(self, batch: Batch) -> None:
        with self._database.write_batch(transaction=True, sync=True) as writes:
            for key, value in batch.items():
                if value is None:
                    writes.delete(key)
                else:
                    writes.put(key, value)

    def close(self) -> None:
        self._database.close()
