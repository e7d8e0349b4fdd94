"""Values by height: what is valid now lies in one range, what was valid until some height in another.

A value that is replaced moves from the first to the second, keyed by its last height, and into a queue by that
height, from which pruning deletes it. So the newest values are read directly and nothing is stored twice.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from abci_app.store.keys import NUMBER_BYTES, PAST, STALE, number, past_end

if TYPE_CHECKING:
    from collections.abc import Iterator

    from abci_app.store.kv import Batch, Reader

_SUFFIX_BYTES = 1 + NUMBER_BYTES
STEP: Final = 100


def read_live(reader: Reader, space: bytes, key: bytes) -> tuple[int, bytes] | None:
    """The height from which on a value is at `key`, and the value, now."""
    found = reader.get(space + key)
    return None if found is None else (int.from_bytes(found[:NUMBER_BYTES], "big"), found[NUMBER_BYTES:])


def read_at(reader: Reader, space: bytes, key: bytes, height: int) -> bytes | None:
    """The value at `key` after `height`, which must not be pruned."""
    live = reader.get(space + key)
    if live is not None and int.from_bytes(live[:NUMBER_BYTES], "big") <= height:
        return live[NUMBER_BYTES:]
    prefix = PAST[space] + key + b"\x00"
    for _, past in reader.scan(prefix + number(height), past_end(prefix)):
        # The first that lasted until `height` or longer; it may have begun after it.
        if int.from_bytes(past[:NUMBER_BYTES], "big") <= height:
            return past[NUMBER_BYTES:]
        return None
    return None


def scan_live(reader: Reader, space: bytes, prefix: bytes, start: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
    """(what follows `prefix`, value) now, from `start` on, sorted."""
    begin = space + prefix
    for key, value in reader.scan(begin + start, past_end(begin)):
        yield key[len(begin) :], value[NUMBER_BYTES:]


def scan_at(
    reader: Reader, space: bytes, prefix: bytes, height: int, start: bytes = b""
) -> Iterator[tuple[bytes, bytes]]:
    """As `scan_live`, after `height`, which must not be pruned."""
    return (found for found in scan_at_in_steps(reader, space, prefix, height, start) if found is not None)


def scan_at_in_steps(
    reader: Reader, space: bytes, prefix: bytes, height: int, start: bytes = b""
) -> Iterator[tuple[bytes, bytes] | None]:
    """As `scan_at`; None after each STEP versions of other heights, where others' work may come first.

    There may be thousands of them between two values: all that was written since, and all that is kept from before.
    """
    sides = (
        _live_since(reader, space + prefix, start, height),
        _past_around(reader, PAST[space] + prefix, start, height),
    )
    # The next value of each side. None of them has a key of the other's.
    heads: list[tuple[bytes, bytes]] = []
    waiting = list(sides)
    origin: dict[bytes, Iterator[tuple[bytes, bytes] | None]] = {}
    while waiting or heads:
        for side in waiting:
            for found in side:
                if found is not None:
                    heads.append(found)
                    origin[found[0]] = side
                    break
                yield None
        waiting = []
        if heads:
            first = min(heads)
            heads.remove(first)
            waiting = [origin.pop(first[0])]
            yield first


def _live_since(reader: Reader, begin: bytes, start: bytes, height: int) -> Iterator[tuple[bytes, bytes] | None]:
    for passed, (key, value) in enumerate(reader.scan(begin + start, past_end(begin))):
        if int.from_bytes(value[:NUMBER_BYTES], "big") <= height:
            yield key[len(begin) :], value[NUMBER_BYTES:]
        elif passed % STEP == 0:
            yield None


def _past_around(reader: Reader, begin: bytes, start: bytes, height: int) -> Iterator[tuple[bytes, bytes] | None]:
    for passed, (key, value) in enumerate(reader.scan(begin + start, past_end(begin))):
        last = int.from_bytes(key[-NUMBER_BYTES:], "big")
        if int.from_bytes(value[:NUMBER_BYTES], "big") <= height <= last:
            yield key[len(begin) : -_SUFFIX_BYTES], value[NUMBER_BYTES:]
        elif passed % STEP == 0:
            yield None


def write_new(batch: Batch, space: bytes, key: bytes, value: bytes, height: int) -> None:
    """Put `value` at `key`, where nothing is, from `height` on."""
    batch[space + key] = number(height) + value


def write_at(batch: Batch, reader: Reader, space: bytes, key: bytes, value: bytes | None, height: int) -> None:
    """Put `value` (None: nothing) at `key` from `height` on; `reader` is the store before this block."""
    old = reader.get(space + key)
    if old is not None:
        _write_past(batch, space, key, old, height)
    batch[space + key] = None if value is None else number(height) + value


def write_over(batch: Batch, space: bytes, key: bytes, old: tuple[int, bytes], value: bytes, height: int) -> None:
    """As `write_at`, where one knows what is there, `old`, and from which height on."""
    since, before = old
    _write_past(batch, space, key, number(since) + before, height)
    batch[space + key] = number(height) + value


def _write_past(batch: Batch, space: bytes, key: bytes, old: bytes, height: int) -> None:
    past_key = PAST[space] + key + b"\x00" + number(height - 1)
    batch[past_key] = old
    batch[STALE + number(height - 1) + past_key] = b""
