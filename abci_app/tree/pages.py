"""The bytes of the tree's pages: four binary levels, or up to eight leaves, in one stored value.

An *inner page* covers four levels: sixteen slots, one for each value of the next four bits of the
key hash, and the four hashes two levels up, so that a changed slot costs six hashes, not fifteen.

    tag 1 | leaf count, 16 x 1 | version of the page below, 16 x 8 | hash, 16 x 32 | quarter, 4 x 32

Counts stop at 255: it matters only whether there are none, one, few or many. Empty slots hold the
placeholder hash, so most pairs are hashed from one slice. A *bucket* holds all leaves of a subtree
that has at most `BUCKET_LEAVES_MAX`, sorted by key hash:

    tag 2 | number of leaves 1 | for each: key hash 32, leaf hash 32, end of entry 4 | entries

An entry is the length of the key in two bytes, the key, and the value. Which of the two kinds a
subtree is follows from the number of its leaves alone. A page never changes: its key holds the
version that wrote it.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from struct import Struct
from typing import Final, NamedTuple

from smartcontracts.verify.hashing import INNER_PREFIX, KEY_BITS, PLACEHOLDER

INNER_TAG: Final = 1
BUCKET_TAG: Final = 2
BUCKET_LEAVES_MAX: Final = 8
COUNT_MAX: Final = 255

COUNTS_AT: Final = 1
VERSIONS_AT: Final = COUNTS_AT + 16
HASHES_AT: Final = VERSIONS_AT + 16 * 8
QUARTERS_AT: Final = HASHES_AT + 16 * 32
INNER_PAGE_BYTES: Final = QUARTERS_AT + 4 * 32

KEY_BYTES_MAX: Final = (1 << 16) - 1
VALUE_BYTES_MAX: Final = 1 << 24

_BUCKET_HEADS: Final = tuple(Struct(">2x" + "32s32sI" * count) for count in range(BUCKET_LEAVES_MAX + 1))

NO_VERSION: Final = bytes(8)


class Slot(NamedTuple):
    """A subtree as its parent sees it: version of its page in eight bytes, leaves up to 255, hash."""

    version: bytes
    leaf_count: int
    hash: bytes


EMPTY_SLOT: Final = Slot(NO_VERSION, 0, PLACEHOLDER)

# Key hash, leaf hash, entry. A bare tuple: they are made by the thousand, and sort by key hash.
Leaf = tuple[bytes, bytes, bytes]


def encode_entry(key: bytes, value: bytes) -> bytes:
    """What a leaf stores beside its hashes. Raises ValueError above `KEY_BYTES_MAX` or `VALUE_BYTES_MAX`."""
    if len(key) > KEY_BYTES_MAX or len(value) > VALUE_BYTES_MAX:
        raise ValueError("a key or value is too long for the tree")
    return len(key).to_bytes(2, "big") + key + value


def decode_entry(entry: bytes) -> tuple[bytes, bytes]:
    """Key and value."""
    value_at = 2 + int.from_bytes(entry[:2], "big")
    return entry[2:value_at], entry[value_at:]


# Buckets


def encode_bucket(leaves: Sequence[Leaf]) -> bytes:
    """The bucket of `leaves`: sorted, at most `BUCKET_LEAVES_MAX`."""
    head = _BUCKET_HEADS[len(leaves)]
    fields: list[bytes | int] = []
    entries = b""
    end = head.size
    for key_hash, leaf_hash, entry in leaves:
        end += len(entry)
        fields += (key_hash, leaf_hash, end)
        entries += entry
    page = bytearray(head.pack(*fields))
    page[0], page[1] = BUCKET_TAG, len(leaves)
    return bytes(page + entries)


def decode_bucket(page: bytes) -> list[Leaf]:
    """The leaves of a bucket, sorted."""
    head = _BUCKET_HEADS[page[1]]
    fields = iter(head.unpack_from(page))
    leaves: list[Leaf] = []
    start = head.size
    for key_hash, leaf_hash, end in zip(fields, fields, fields, strict=True):
        leaves.append((key_hash, leaf_hash, page[start:end]))
        start = end
    return leaves


def hash_leaves(leaves: Sequence[Leaf], bit: int) -> bytes:
    """Hash of the subtree that starts at depth `bit` and holds `leaves`: sorted, at least one."""
    if len(leaves) == 1:
        return leaves[0][1]
    first = int.from_bytes(leaves[0][0], "big")
    parting = KEY_BITS - (first ^ int.from_bytes(leaves[-1][0], "big")).bit_length()
    split = 1 if len(leaves) == 2 else split_at_bit(leaves, parting)
    # A side with one leaf is that leaf's hash; asked here, since most sides are like that.
    left = leaves[0][1] if split == 1 else hash_leaves(leaves[:split], parting + 1)
    right = leaves[-1][1] if split == len(leaves) - 1 else hash_leaves(leaves[split:], parting + 1)
    node = sha256(INNER_PREFIX + left + right).digest()
    # Above the parting the subtree has one side only, and a node for each level all the same.
    for level in range(KEY_BITS - parting, KEY_BITS - bit):
        if first >> level & 1:
            node = sha256(INNER_PREFIX + PLACEHOLDER + node).digest()
        else:
            node = sha256(INNER_PREFIX + node + PLACEHOLDER).digest()
    return node


def split_at_bit(leaves: Sequence[Leaf], bit: int) -> int:
    """How many of `leaves`, sorted and equal in all bits before `bit`, have a 0 there."""
    at, mask = bit >> 3, 0x80 >> (bit & 7)
    for index, leaf in enumerate(leaves):
        if leaf[0][at] & mask:
            return index
    return len(leaves)


# Inner pages


def nibble_at(key_hash: bytes, depth: int) -> int:
    """The four bits that choose the slot in an inner page at `depth` (in pages from the root)."""
    byte = key_hash[depth >> 1]
    return byte & 15 if depth & 1 else byte >> 4


def with_nibble(path: bytes, depth: int, nibble: int) -> bytes:
    """`path` with `nibble` at `depth`; what comes after does not matter to a page's key."""
    at = depth >> 1
    byte = path[at] & 0xF0 | nibble if depth & 1 else nibble << 4 | path[at] & 0x0F
    return path[:at] + bytes([byte]) + path[at + 1 :]


def new_inner_page() -> bytearray:
    """An inner page whose slots are all empty; quarters are to be computed."""
    page = bytearray(INNER_PAGE_BYTES)
    page[0] = INNER_TAG
    page[HASHES_AT:] = PLACEHOLDER * 20
    return page


def read_slot(page: bytes, index: int) -> Slot:
    """The slot at `index`, 0 to 15."""
    version_at, hash_at = VERSIONS_AT + 8 * index, HASHES_AT + 32 * index
    return Slot(
        page[version_at : version_at + 8],
        page[COUNTS_AT + index],
        page[hash_at : hash_at + 32],
    )


def write_slot(page: bytearray, index: int, slot: Slot) -> None:
    """Put `slot` at `index`; the quarter above it is to be computed anew."""
    version_at, hash_at = VERSIONS_AT + 8 * index, HASHES_AT + 32 * index
    page[COUNTS_AT + index] = slot.leaf_count
    page[version_at : version_at + 8] = slot.version
    page[hash_at : hash_at + 32] = slot.hash


def finish_inner_page(draft: bytearray, touched: int) -> tuple[bytes, bytes]:
    """The page of `draft` with its quarters, and its hash; `touched` has a bit for each changed quarter."""
    body = bytes(draft)
    a = _hash_quarter(body, 0) if touched & 1 else body[QUARTERS_AT : QUARTERS_AT + 32]
    b = _hash_quarter(body, 1) if touched & 2 else body[QUARTERS_AT + 32 : QUARTERS_AT + 64]
    c = _hash_quarter(body, 2) if touched & 4 else body[QUARTERS_AT + 64 : QUARTERS_AT + 96]
    d = _hash_quarter(body, 3) if touched & 8 else body[QUARTERS_AT + 96 :]
    page = body[:QUARTERS_AT] + a + b + c + d
    if 0 not in body[COUNTS_AT:VERSIONS_AT]:  # as in most pages: nothing to join with care
        left = sha256(INNER_PREFIX + a + b).digest()
        right = sha256(INNER_PREFIX + c + d).digest()
        return page, sha256(INNER_PREFIX + left + right).digest()
    counts = [sum(body[at : at + 4]) for at in range(COUNTS_AT, VERSIONS_AT, 4)]
    left = join(a, counts[0], b, counts[1])
    right = join(c, counts[2], d, counts[3])
    return page, join(left, counts[0] + counts[1], right, counts[2] + counts[3])


def _hash_quarter(page: bytes, quarter: int) -> bytes:
    """Hash over the four slots of `quarter`, 0 to 3."""
    at = HASHES_AT + 128 * quarter
    count_at = COUNTS_AT + 4 * quarter
    counts = page[count_at : count_at + 4]
    if 0 not in counts:
        left = sha256(INNER_PREFIX + page[at : at + 64]).digest()
        right = sha256(INNER_PREFIX + page[at + 64 : at + 128]).digest()
        return sha256(INNER_PREFIX + left + right).digest()
    a, b, c, d = counts
    left = join(page[at : at + 32], a, page[at + 32 : at + 64], b)
    right = join(page[at + 64 : at + 96], c, page[at + 96 : at + 128], d)
    return join(left, a + b, right, c + d)


def join(left: bytes, left_count: int, right: bytes, right_count: int) -> bytes:
    """Hash over two halves: a single leaf stands for its whole subtree, an empty one is a placeholder."""
    if left_count + right_count > 1:
        return sha256(INNER_PREFIX + left + right).digest()
    return left if left_count else right
