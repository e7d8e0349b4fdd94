"""The bytes of the tree's pages: four binary levels, or up to eight leaves, in one stored value.

An *inner page* covers four levels: sixteen slots, one for each value of the next four bits of the
key hash, and the four hashes two levels up, so that a changed slot costs six hashes, not fifteen.

    tag 1 | count of leaves, 16 x 1 | version of the page below, 16 x 8 | hash, 16 x 32 | 4 x 32

Counts stop at 255: it matters only whether there are none, one, few or many. Empty slots hold the
placeholder hash, so most pairs are hashed from one slice. A *bucket* holds all leaves of a subtree
that has at most `BUCKET_LEAVES_MAX`, sorted by key hash:

    tag 2 | for each leaf: size 4 | key hash 32 | leaf hash 32 | length of the key 2 | key | value

Which of the two a subtree is follows from the number of its leaves alone. A page never changes:
its key holds the version that wrote it.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from typing import Final, NamedTuple

from smartcontracts.verify.hashing import INNER_PREFIX, KEY_BITS, PLACEHOLDER, inner_hash

INNER_TAG: Final = 1
BUCKET_TAG: Final = 2
BUCKET_LEAVES_MAX: Final = 8
COUNT_MAX: Final = 255

COUNTS_AT: Final = 1
VERSIONS_AT: Final = COUNTS_AT + 16
HASHES_AT: Final = VERSIONS_AT + 16 * 8
QUARTERS_AT: Final = HASHES_AT + 16 * 32
INNER_PAGE_BYTES: Final = QUARTERS_AT + 4 * 32

_ENTRY_KEY_HASH_AT: Final = 4
_ENTRY_LEAF_HASH_AT: Final = 36
_ENTRY_KEY_LENGTH_AT: Final = 68
_ENTRY_KEY_AT: Final = 70

KEY_BYTES_MAX: Final = (1 << 16) - 1
VALUE_BYTES_MAX: Final = 1 << 24


class Slot(NamedTuple):
    """A subtree as its parent sees it: version of its page, number of leaves up to 255, hash."""

    version: int
    leaf_count: int
    hash: bytes


EMPTY_SLOT: Final = Slot(0, 0, PLACEHOLDER)


class Leaf(NamedTuple):
    """A leaf as it lies in a bucket; `entry` holds the two hashes too."""

    key_hash: bytes
    leaf_hash: bytes
    entry: bytes

    @property
    def key(self) -> bytes:
        """The raw key."""
        return self.entry[_ENTRY_KEY_AT : self._value_at]

    @property
    def value(self) -> bytes:
        """The raw value."""
        return self.entry[self._value_at :]

    @property
    def _value_at(self) -> int:
        length = self.entry[_ENTRY_KEY_LENGTH_AT:_ENTRY_KEY_AT]
        return _ENTRY_KEY_AT + int.from_bytes(length, "big")


def make_leaf(hashed_key: bytes, hashed_leaf: bytes, key: bytes, value: bytes) -> Leaf:
    """The leaf and its entry. Raises ValueError above `KEY_BYTES_MAX` or `VALUE_BYTES_MAX`."""
    if len(key) > KEY_BYTES_MAX or len(value) > VALUE_BYTES_MAX:
        raise ValueError("a key or value is too long for the tree")
    size = _ENTRY_KEY_AT + len(key) + len(value)
    head = size.to_bytes(4, "big") + hashed_key + hashed_leaf + len(key).to_bytes(2, "big")
    return Leaf(hashed_key, hashed_leaf, head + key + value)


# Buckets


def encode_bucket(leaves: Sequence[Leaf]) -> bytes:
    """The bucket of `leaves`, sorted by key hash."""
    return b"\x02" + b"".join([leaf.entry for leaf in leaves])


def decode_bucket(page: bytes) -> list[Leaf]:
    """The leaves of a bucket, sorted by key hash."""
    leaves = []
    at, end = 1, len(page)
    while at < end:
        size = int.from_bytes(page[at : at + 4], "big")
        hashed_key = page[at + _ENTRY_KEY_HASH_AT : at + _ENTRY_LEAF_HASH_AT]
        hashed_leaf = page[at + _ENTRY_LEAF_HASH_AT : at + _ENTRY_KEY_LENGTH_AT]
        leaves.append(Leaf(hashed_key, hashed_leaf, page[at : at + size]))
        at += size or end  # an entry of size 0 would never end
    return leaves


def hash_leaves(leaves: Sequence[Leaf], bit: int) -> bytes:
    """Hash of the subtree that starts at depth `bit` and holds `leaves`, sorted, at least one."""
    if len(leaves) == 1:
        return leaves[0].leaf_hash
    first = int.from_bytes(leaves[0].key_hash, "big")
    parting = KEY_BITS - (first ^ int.from_bytes(leaves[-1].key_hash, "big")).bit_length()
    if len(leaves) == 2:
        node = inner_hash(leaves[0].leaf_hash, leaves[1].leaf_hash)
    else:
        split = split_at_bit(leaves, parting)
        node = inner_hash(
            hash_leaves(leaves[:split], parting + 1), hash_leaves(leaves[split:], parting + 1)
        )
    # Above the parting the subtree has one side only, and a node for each level all the same.
    for level in range(parting - 1, bit - 1, -1):
        if first >> (KEY_BITS - 1 - level) & 1:
            node = inner_hash(PLACEHOLDER, node)
        else:
            node = inner_hash(node, PLACEHOLDER)
    return node


def split_at_bit(leaves: Sequence[Leaf], bit: int) -> int:
    """How many of `leaves`, sorted and equal in all bits before `bit`, have a 0 there."""
    at, mask = bit >> 3, 0x80 >> (bit & 7)
    for index, leaf in enumerate(leaves):
        if leaf.key_hash[at] & mask:
            return index
    return len(leaves)


# Inner pages


def nibble_at(hashed_key: bytes, depth: int) -> int:
    """The four bits that choose the slot in an inner page at `depth` (in pages from the root)."""
    byte = hashed_key[depth >> 1]
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


def read_slot(page: bytes | bytearray, index: int) -> Slot:
    """The slot at `index`, 0 to 15."""
    version_at, hash_at = VERSIONS_AT + 8 * index, HASHES_AT + 32 * index
    return Slot(
        int.from_bytes(page[version_at : version_at + 8], "big"),
        page[COUNTS_AT + index],
        bytes(page[hash_at : hash_at + 32]),
    )


def write_slot(page: bytearray, index: int, slot: Slot) -> None:
    """Put `slot` at `index`; the quarter above it is to be computed anew."""
    version_at, hash_at = VERSIONS_AT + 8 * index, HASHES_AT + 32 * index
    page[COUNTS_AT + index] = slot.leaf_count
    page[version_at : version_at + 8] = slot.version.to_bytes(8, "big")
    page[hash_at : hash_at + 32] = slot.hash


def count_leaves(page: bytes | bytearray) -> int:
    """Leaves below the page, up to `COUNT_MAX`."""
    return min(sum(page[COUNTS_AT:VERSIONS_AT]), COUNT_MAX)


def compute_quarter(page: bytearray, quarter: int) -> None:
    """Hash the four slots of `quarter` (0 to 3) into their place."""
    at = HASHES_AT + 128 * quarter
    count_at = COUNTS_AT + 4 * quarter
    a, b, c, d = page[count_at : count_at + 4]
    if a and b and c and d:
        left = sha256(INNER_PREFIX + page[at : at + 64]).digest()
        right = sha256(INNER_PREFIX + page[at + 64 : at + 128]).digest()
        node = sha256(INNER_PREFIX + left + right).digest()
    else:
        left = join(bytes(page[at : at + 32]), a, bytes(page[at + 32 : at + 64]), b)
        right = join(bytes(page[at + 64 : at + 96]), c, bytes(page[at + 96 : at + 128]), d)
        node = join(left, a + b, right, c + d)
    at = QUARTERS_AT + 32 * quarter
    page[at : at + 32] = node


def hash_page(page: bytes | bytearray) -> bytes:
    """Hash of the subtree of an inner page, from its quarters."""
    counts = [sum(page[at : at + 4]) for at in range(COUNTS_AT, VERSIONS_AT, 4)]
    quarters = [bytes(page[at : at + 32]) for at in range(QUARTERS_AT, INNER_PAGE_BYTES, 32)]
    left = join(quarters[0], counts[0], quarters[1], counts[1])
    right = join(quarters[2], counts[2], quarters[3], counts[3])
    return join(left, counts[0] + counts[1], right, counts[2] + counts[3])


def join(left: bytes, left_count: int, right: bytes, right_count: int) -> bytes:
    """Hash over two halves: a single leaf stands for its whole subtree, an empty one is a placeholder."""
    if left_count + right_count > 1:
        return sha256(INNER_PREFIX + left + right).digest()
    return left if left_count else right
