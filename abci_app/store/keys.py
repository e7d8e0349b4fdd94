"""The layout of a ledger's store: every key it ever holds is made here.

    live      d|<kind/id>   i|<kind 0 term 0 value 0 id>        -> first height 8 | value: of documents as `filing` has it
    past      D|... 0 last height 8   I|... 0 last height 8     -> first height 8 | value
    queue     s| last height 8 | past key                       -> nothing: what pruning deletes, in order
    deadline  k| due 8 | document key 0 transition              -> nothing
    replay    y| minute 8 | transaction id                      -> nothing
    receipt   r| transaction id     raw   x| transaction id      documents name places in the raw ones: they stay
    event     e| height 8 | index 4
    executed  b| height 8 | record 4                            -> transaction ids of the block, 32 each, at most 64
    app hash  a| height 8                                       -> tree version 8 | root 32
    tree      t| record key of the tree
    meta      m| name

Numbers are big-endian, so that keys sort as they do. Names, values and ids hold no zero byte: no text on a ledger may.
"""

from __future__ import annotations

from typing import Final

DOCUMENTS: Final = b"d"
INDEX: Final = b"i"
PAST: Final = {DOCUMENTS: b"D", INDEX: b"I"}
STALE: Final = b"s"
DEADLINES: Final = b"k"
REPLAY: Final = b"y"
RECEIPTS: Final = b"r"
TRANSACTIONS: Final = b"x"
EVENTS: Final = b"e"
EXECUTED: Final = b"b"
APP_HASHES: Final = b"a"
TREE: Final = b"t"
META: Final = b"m"

META_FORMAT: Final = META + b"format"
META_GENESIS: Final = META + b"genesis"
META_HEIGHT: Final = META + b"height"
META_OLDEST: Final = META + b"oldest"
META_OLDEST_EVENT: Final = META + b"oldest-event"

NUMBER_BYTES: Final = 8
EVENT_INDEX_BYTES: Final = 4
TRANSACTION_ID_BYTES: Final = 32
EXECUTED_A_RECORD: Final = 64
_ZERO: Final = b"\x00"


def number(value: int) -> bytes:
    """A height, version or minute in a key."""
    return value.to_bytes(NUMBER_BYTES, "big")


def past_end(prefix: bytes) -> bytes:
    """The first key after all that begin with `prefix`, whose last byte is not 255."""
    return prefix[:-1] + bytes((prefix[-1] + 1,))


def index_prefix(kind: str, term: str, value: str) -> bytes:
    """What all index entries of one value begin with; the id follows."""
    return b"\x00".join((kind.encode(), term.encode(), value.encode(), b""))


def deadline_key(due_ms: int, document: str, transition: str) -> bytes:
    """An entry of the deadline queue."""
    return DEADLINES + number(due_ms) + document.encode() + _ZERO + transition.encode()


def parse_deadline_key(key: bytes) -> tuple[int, str, str]:
    """(due_ms, document key, transition)."""
    document, _, transition = key[1 + NUMBER_BYTES :].partition(_ZERO)
    return int.from_bytes(key[1 : 1 + NUMBER_BYTES], "big"), document.decode(), transition.decode()


def replay_key(minute: int, transaction_id: bytes) -> bytes:
    """A remembered transaction."""
    return REPLAY + number(minute) + transaction_id


def event_key(height: int, index: int) -> bytes:
    """An entry of the event log."""
    return EVENTS + number(height) + index.to_bytes(EVENT_INDEX_BYTES, "big")


def executed_key(height: int, record: int) -> bytes:
    """Ids of what a block executed: as many as a stream shows at a time."""
    return EXECUTED + number(height) + record.to_bytes(EVENT_INDEX_BYTES, "big")


def parse_event_key(key: bytes) -> tuple[int, int]:
    """(height, index) of an event's key, (height, record) of one of `executed_key`."""
    return (
        int.from_bytes(key[1 : 1 + NUMBER_BYTES], "big"),
        int.from_bytes(key[1 + NUMBER_BYTES :], "big"),
    )


def app_hash_key(height: int) -> bytes:
    """Tree version and root after a height."""
    return APP_HASHES + number(height)


def encode_app_hash(tree_version: int, root: bytes) -> bytes:
    """The value at `app_hash_key`."""
    return number(tree_version) + root


def decode_app_hash(value: bytes) -> tuple[int, bytes]:
    """(tree version, root)."""
    return int.from_bytes(value[:NUMBER_BYTES], "big"), value[NUMBER_BYTES:]
