"""Reading one version of the tree: a leaf, its neighbours, and the steps from it to the root."""

from __future__ import annotations

from collections.abc import Iterator

from abci_app.tree.errors import EmptyTree
from abci_app.tree.pages import (
    BUCKET_TAG,
    COUNTS_AT,
    HASHES_AT,
    VERSIONS_AT,
    Leaf,
    Slot,
    decode_bucket,
    decode_entry,
    hash_leaves,
    join,
    nibble_at,
    read_slot,
    split_at_bit,
    with_nibble,
)
from abci_app.tree.store import Pages, page_place
from smartcontracts.verify.hashing import PLACEHOLDER, key_hash
from smartcontracts.verify.ics23 import (
    JMT_LEAF_OP,
    ExistenceProof,
    InnerOp,
    NonExistenceProof,
    encode_proof,
    step_from_left,
    step_from_right,
)


class View:
    """One version of the tree, from its root slot; reads pages as it needs them."""

    def __init__(self, pages: Pages, root: Slot) -> None:
        self._pages = pages
        self._root = root

    def find(self, hashed_key: bytes) -> Leaf | None:
        """The leaf at `hashed_key`, if any."""
        slot, depth = self._root, 0
        while slot.leaf_count:
            page = self._page(slot, depth, hashed_key)
            if page[0] == BUCKET_TAG:
                return next((x for x in decode_bucket(page) if x[0] == hashed_key), None)
            slot, depth = read_slot(page, nibble_at(hashed_key, depth)), depth + 1
        return None

    def prove(self, key: bytes) -> bytes:
        """Bytes of an `ics23.CommitmentProof` of what is at `key`, or that nothing is.

        Raises EmptyTree if the tree is empty: then the root itself says so, and no proof exists.
        """
        hashed_key = key_hash(key)
        leaf = self.find(hashed_key)
        if leaf is not None:
            return encode_proof(self._existence(leaf))
        left = next(self._descending(self._root, 0, hashed_key), None)
        right = next(self._ascending(self._root, 0, hashed_key), None)
        if left is None and right is None:
            raise EmptyTree("an empty tree has no proof of absence")
        return encode_proof(
            NonExistenceProof(
                key,
                None if left is None else self._existence(left),
                None if right is None else self._existence(right),
            )
        )

    def leaves(self) -> Iterator[Leaf]:
        """All leaves by key hash; reads a page at a time."""
        return self._ascending(self._root, 0, None)

    def _page(self, slot: Slot, depth: int, path: bytes) -> bytes:
        return self._pages.read(slot.version + page_place(depth, path), depth)

    def _existence(self, leaf: Leaf) -> ExistenceProof:
        path: list[InnerOp] = []
        slot, depth = self._root, 0
        pages: list[bytes] = []
        while slot.leaf_count:  # a leaf that was found: ends in its bucket
            page = self._page(slot, depth, leaf[0])
            if page[0] == BUCKET_TAG:
                path = _steps_in_bucket(decode_bucket(page), 4 * depth, leaf)
                break
            pages.append(page)
            slot, depth = read_slot(page, nibble_at(leaf[0], depth)), depth + 1
        while pages:
            page = pages.pop()
            path += _steps_in_inner(page, nibble_at(leaf[0], len(pages)))
        return ExistenceProof(*decode_entry(leaf[2]), JMT_LEAF_OP, tuple(path))

    def _ascending(self, slot: Slot, depth: int, above: bytes | None, path: bytes = bytes(32)) -> Iterator[Leaf]:
        """Leaves of the subtree with a key hash greater than `above`, or all, in rising order."""
        if not slot.leaf_count:
            return
        page = self._page(slot, depth, path if above is None else above)
        if page[0] == BUCKET_TAG:
            yield from (x for x in decode_bucket(page) if above is None or x[0] > above)
            return
        start = 0 if above is None else nibble_at(above, depth)
        if above is not None:
            yield from self._ascending(read_slot(page, start), depth + 1, above)
            path, start = above, start + 1
        for nibble in range(start, 16):
            below = with_nibble(path, depth, nibble)
            yield from self._ascending(read_slot(page, nibble), depth + 1, None, below)

    def _descending(self, slot: Slot, depth: int, below: bytes | None, path: bytes = bytes(32)) -> Iterator[Leaf]:
        """Leaves of the subtree with a key hash less than `below`, or all, in falling order."""
        if not slot.leaf_count:
            return
        page = self._page(slot, depth, path if below is None else below)
        if page[0] == BUCKET_TAG:
            leaves = reversed(decode_bucket(page))
            yield from (x for x in leaves if below is None or x[0] < below)
            return
        start = 15 if below is None else nibble_at(below, depth)
        if below is not None:
            yield from self._descending(read_slot(page, start), depth + 1, below)
            path, start = below, start - 1
        for nibble in range(start, -1, -1):
            inside = with_nibble(path, depth, nibble)
            yield from self._descending(read_slot(page, nibble), depth + 1, None, inside)


def _steps_in_bucket(leaves: list[Leaf], bit: int, leaf: Leaf) -> list[InnerOp]:
    """Steps from `leaf` up to depth `bit`, where the subtree of `leaves` starts."""
    steps: list[InnerOp] = []
    while len(leaves) > 1:
        split = split_at_bit(leaves, bit)
        left, right = leaves[:split], leaves[split:]
        bit += 1
        if leaf in left:
            leaves = left
            steps.append(step_from_left(hash_leaves(right, bit) if right else PLACEHOLDER))
        else:
            leaves = right
            steps.append(step_from_right(hash_leaves(left, bit) if left else PLACEHOLDER))
    steps.reverse()
    return steps


def _steps_in_inner(page: bytes, index: int) -> list[InnerOp]:
    """Steps from the slot at `index` up to the top of the page: four, fewer above a lone leaf."""
    hashes = [page[at : at + 32] for at in range(HASHES_AT, HASHES_AT + 16 * 32, 32)]
    counts = list(page[COUNTS_AT:VERSIONS_AT])
    steps: list[InnerOp] = []
    while len(hashes) > 1:
        if counts[index] + counts[index ^ 1] > 1:
            sibling = hashes[index ^ 1]
            steps.append(step_from_right(sibling) if index & 1 else step_from_left(sibling))
        pairs = range(0, len(hashes), 2)
        hashes = [join(hashes[i], counts[i], hashes[i + 1], counts[i + 1]) for i in pairs]
        counts = [counts[i] + counts[i + 1] for i in pairs]
        index >>= 1
    return steps
