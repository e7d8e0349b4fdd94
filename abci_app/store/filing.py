"""The form in which a document's bytes lie in the store: what stands in a transaction already is not repeated.

An inquiry's configuration came in a transaction, which is kept for ever, and stands in every version of the inquiry and
of its order. Each of them names the place instead; the ledger commits to the whole bytes, which reading puts together:

    number of places 2 | for each: transaction id 32, offset there 4, offset in the rest 4, length 4 | the rest

All of it is this node's own business: two nodes may file one document in different forms.
"""

from __future__ import annotations

from struct import Struct
from typing import TYPE_CHECKING, Final, NamedTuple

from abci_app.store.keys import DOCUMENTS, TRANSACTIONS
from abci_app.store.kv import StoreDamagedError
from abci_app.store.versioned import read_at

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from abci_app.store.kv import Reader

PART_BYTES_MIN: Final = 1_024
PLACES_MAX: Final = 255
# Whoever reads a document reads the transactions that it names: at most so many bytes for each byte of it.
READ_A_BYTE_MAX: Final = 16
KNOWN_MAX: Final = 4_096
KNOWN_BYTES_MAX: Final = 32 * 1024 * 1024

_COUNT: Final = Struct(">H")
_PLACE: Final = Struct(">32sIII")
_NONE: Final = _COUNT.pack(0)
_HEAD_BYTES: Final = 48


class Place(NamedTuple):
    """Where a part stands: in which transaction, of how many bytes, and from which on."""

    transaction_id: bytes
    transaction_bytes: int
    offset: int


class Places:
    """Where the parts stand that were committed or read lately; what was used longest ago goes first.

    A part that is not in here is written out whole, so what is in here matters to nothing but the store's size. The
    threads of a ledger share it; each step is one operation of a dictionary.
    """

    def __init__(self) -> None:
        self._places: dict[bytes, Place] = {}
        self._bytes = 0

    def find(self, part: bytes) -> Place | None:
        """Where this part stands, if that is known."""
        found = self._places.pop(part, None)
        if found is not None:
            self._places[part] = found
        return found

    def learn(self, part: bytes, place: Place) -> None:
        """Remember where a part stands. The transaction must be in the store."""
        if self._places.pop(part, None) is None:
            self._bytes += len(part)
        self._places[part] = place
        if len(self._places) > KNOWN_MAX or self._bytes > KNOWN_BYTES_MAX:
            for old in list(self._places)[: max(1, len(self._places) // 4)]:
                self._places.pop(old, None)
            # Counted anew: two threads may have counted one part twice.
            self._bytes = sum(len(kept) for kept in list(self._places))


def places_in(transaction_id: bytes, raw: bytes, parts: Iterable[bytes]) -> Iterator[tuple[bytes, Place]]:
    """Those of `parts` that a transaction holds as they are, with their places in it."""
    at = 0
    for part in parts:
        found = _find(raw, part, at)
        if found >= 0:
            at = found + len(part)
            yield part, Place(transaction_id, len(raw), found)


def no_place(_: bytes) -> None:
    """For documents that no transaction wrote."""


def file(stored: bytes, parts: Iterable[bytes], find: Callable[[bytes], Place | None]) -> bytes:
    """The form in which `stored` is filed: the `parts` for which `find` gives a place are not in it.

    `parts` in the order in which they stand in it; one that does not is passed over.
    """
    cuts: list[tuple[int, int, Place]] = []
    at = 0
    for part in parts:
        place = find(part)
        found = -1 if place is None else _find(stored, part, at)
        if place is not None and found >= 0:
            at = found + len(part)
            cuts.append((found, at, place))
    cuts = _worth_reading(cuts)[:PLACES_MAX]
    if not cuts:
        return _NONE + stored
    heads = [_COUNT.pack(len(cuts))]
    rest: list[bytes] = []
    end = length = 0
    for begin, after, place in cuts:
        rest.append(stored[end:begin])
        length += begin - end
        heads.append(_PLACE.pack(place.transaction_id, place.offset, length, after - begin))
        end = after
    return b"".join((*heads, *rest, stored[end:]))


def unfile(reader: Reader, filed: bytes, places: Places | None = None) -> bytes:
    """The whole bytes of a document; `places` learns where its parts stand. Raises StoreDamagedError."""
    (count,) = _COUNT.unpack_from(filed)
    begin = _COUNT.size + count * _PLACE.size
    if not count:
        return filed[begin:]
    transactions: dict[bytes, bytes] = {}
    pieces: list[bytes] = []
    rest = filed[begin:]
    end = 0
    for name, offset, before, length in _PLACE.iter_unpack(filed[_COUNT.size : begin]):
        raw = transactions.get(name) or reader.get(TRANSACTIONS + name)
        if raw is None or len(raw) < offset + length:
            raise StoreDamagedError(f"the store lacks transaction {name.hex()}, in which a part of a document stands")
        transactions[name] = raw
        part = raw[offset : offset + length]
        if places is not None:
            places.learn(part, Place(name, len(raw), offset))
        pieces += (rest[end:before], part)
        end = before
    return b"".join((*pieces, rest[end:]))


def read_stored_at(reader: Reader, key: bytes, height: int) -> bytes | None:
    """The bytes of the document at `key` after `height`, which must not be pruned. Raises StoreDamagedError."""
    filed = read_at(reader, DOCUMENTS, key, height)
    return None if filed is None else unfile(reader, filed)


def _find(where: bytes, part: bytes, start: int) -> int:
    """Where `part` begins in `where`, from `start` on, or -1. By its first bytes: looking for all of it takes longer."""
    found = where.find(part[:_HEAD_BYTES], start)
    if found < 0 or where.startswith(part, found):
        return found
    return where.find(part, found)


def _worth_reading(cuts: list[tuple[int, int, Place]]) -> list[tuple[int, int, Place]]:
    """Those in transactions of which the document holds enough."""
    if len(cuts) == 1:
        ((begin, end, place),) = cuts
        return cuts if place.transaction_bytes <= (end - begin) * READ_A_BYTE_MAX else []
    held: dict[bytes, int] = {}
    for begin, end, place in cuts:
        held[place.transaction_id] = held.get(place.transaction_id, 0) + end - begin
    return [cut for cut in cuts if cut[2].transaction_bytes <= held[cut[2].transaction_id] * READ_A_BYTE_MAX]
