"""The tree as its definition says it: from a dict to a root and to proofs, by plain recursion."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256

from smartcontracts.verify import ics23
from smartcontracts.verify.hashing import INNER_PREFIX, LEAF_PREFIX, PLACEHOLDER

Leaves = list[tuple[str, bytes, bytes]]  # bits of the key hash, key, value


def leaves_of(content: Mapping[bytes, bytes]) -> Leaves:
    """All leaves, sorted by key hash."""
    return sorted(
        (f"{int.from_bytes(sha256(key).digest(), 'big'):0256b}", key, value) for key, value in content.items()
    )


def root_of(leaves: Leaves, depth: int = 0) -> bytes:
    """Hash of the subtree at `depth` that holds `leaves`."""
    if not leaves:
        return PLACEHOLDER
    if len(leaves) == 1:
        _, key, value = leaves[0]
        return sha256(LEAF_PREFIX + sha256(key).digest() + sha256(value).digest()).digest()
    left = [leaf for leaf in leaves if leaf[0][depth] == "0"]
    right = [leaf for leaf in leaves if leaf[0][depth] == "1"]
    halves = root_of(left, depth + 1) + root_of(right, depth + 1)
    return sha256(INNER_PREFIX + halves).digest()


def prove(content: Mapping[bytes, bytes], key: bytes) -> bytes | None:
    """The proof of what is at `key`; None where the tree is empty."""
    leaves = leaves_of(content)
    if key in content:
        return ics23.encode_proof(_existence(leaves, key))
    place = f"{int.from_bytes(sha256(key).digest(), 'big'):0256b}"
    below = [leaf for leaf in leaves if leaf[0] < place]
    above = [leaf for leaf in leaves if leaf[0] > place]
    if not leaves:
        return None
    return ics23.encode_proof(
        ics23.NonExistenceProof(
            key,
            _existence(leaves, below[-1][1]) if below else None,
            _existence(leaves, above[0][1]) if above else None,
        )
    )


def _existence(leaves: Leaves, key: bytes) -> ics23.ExistenceProof:
    steps = []
    depth = 0
    while len(leaves) > 1:
        bit = next(leaf[0][depth] for leaf in leaves if leaf[1] == key)
        sibling = root_of([leaf for leaf in leaves if leaf[0][depth] != bit], depth + 1)
        steps.append(ics23.step_from_left(sibling) if bit == "0" else ics23.step_from_right(sibling))
        leaves = [leaf for leaf in leaves if leaf[0][depth] == bit]
        depth += 1
    value = leaves[0][2]
    return ics23.ExistenceProof(key, value, ics23.JMT_LEAF_OP, tuple(reversed(steps)))
