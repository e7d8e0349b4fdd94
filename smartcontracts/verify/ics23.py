"""ICS-23 proofs of the Jellyfish Merkle tree: their bytes, and what they prove.

Verdicts follow the Rust crate `ics23` 0.12 with the specification of `jmt` 0.12, with one rule
more: a proof must be in protobuf's usual form, so that one fact has one encoding. Batch proofs
are refused: nothing here makes them.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from smartcontracts.verify.errors import (
    ProofKeyMismatch,
    ProofKindMismatch,
    ProofMalformed,
    ProofNeighboursInvalid,
    ProofRootMismatch,
    ProofSpecMismatch,
    ProofValueMismatch,
)
from smartcontracts.verify.hashing import (
    HASH_BYTES,
    INNER_PREFIX,
    KEY_BITS,
    LEAF_PREFIX,
    PLACEHOLDER,
    key_hash,
    leaf_hash,
)
from smartcontracts.verify.wire import (
    WireError,
    bytes_field,
    message_field,
    read_fields,
    uint_field,
)

KEY_BYTES_MAX: Final = 4096
VALUE_BYTES_MAX: Final = 1 << 20
STEPS_MAX: Final = KEY_BITS
STEP_BYTES_MAX: Final = 256
PROOF_BYTES_MAX: Final = 1 << 22

_SHA256: Final = 1
_LEFT_STEP_BYTES: Final = (len(INNER_PREFIX), HASH_BYTES)
_RIGHT_STEP_BYTES: Final = (len(INNER_PREFIX) + HASH_BYTES, 0)


@dataclass(frozen=True, slots=True)
class LeafOp:
    """How a leaf is hashed; numbers are the enum values of `ics23.HashOp` and `ics23.LengthOp`."""

    hash: int
    prehash_key: int
    prehash_value: int
    length: int
    prefix: bytes


@dataclass(frozen=True, slots=True)
class InnerOp:
    """One step towards the root: SHA-256(prefix, hash so far, suffix)."""

    hash: int
    prefix: bytes
    suffix: bytes


@dataclass(frozen=True, slots=True)
class ExistenceProof:
    """`key` holds `value`; `path` runs from the leaf to the root."""

    key: bytes
    value: bytes
    leaf: LeafOp | None
    path: tuple[InnerOp, ...]


@dataclass(frozen=True, slots=True)
class NonExistenceProof:
    """Nothing lies at `key`: its neighbours by key hash are next to each other, or at an end."""

    key: bytes
    left: ExistenceProof | None
    right: ExistenceProof | None


JMT_LEAF_OP: Final = LeafOp(_SHA256, _SHA256, _SHA256, 0, LEAF_PREFIX)


def step_from_left(right_sibling: bytes) -> InnerOp:
    """The step of a left child whose sibling hashes to `right_sibling`."""
    return InnerOp(_SHA256, INNER_PREFIX, right_sibling)


def step_from_right(left_sibling: bytes) -> InnerOp:
    """The step of a right child whose sibling hashes to `left_sibling`."""
    return InnerOp(_SHA256, INNER_PREFIX + left_sibling, b"")


# Verification


def verify_membership(root: bytes, key: bytes, value: bytes, proof: bytes) -> None:
    """Return if `proof` shows that the tree with `root` holds `value` at `key`; else raise.

    Raises, in order: ProofMalformed, ProofKindMismatch, ProofKeyMismatch, ProofValueMismatch,
    ProofSpecMismatch, ProofRootMismatch.
    """
    decoded = decode_proof(proof)
    if not isinstance(decoded, ExistenceProof):
        raise ProofKindMismatch("this is a proof of absence")
    if decoded.key != key:
        raise ProofKeyMismatch(f"the proof is about key {decoded.key.hex()}")
    if decoded.value != value:
        raise ProofValueMismatch("the proof is about another value")
    _check_existence(decoded, root)


def verify_non_membership(root: bytes, key: bytes, proof: bytes) -> None:
    """Return if `proof` shows that the tree with `root` has nothing at `key`; else raise.

    The proof's own `key` field is not looked at; its neighbours decide. An empty tree has no such
    proof. Raises, in order: ProofMalformed, ProofKindMismatch, then for the left and the right
    neighbour ProofSpecMismatch, ProofRootMismatch; last ProofNeighboursInvalid.
    """
    decoded = decode_proof(proof)
    if not isinstance(decoded, NonExistenceProof):
        raise ProofKindMismatch("this is a proof of presence")
    left, right, place = decoded.left, decoded.right, key_hash(key)
    if left is not None:
        _check_existence(left, root)
        if key_hash(left.key) >= place:
            raise ProofNeighboursInvalid("the left neighbour is not below the key")
    if right is not None:
        _check_existence(right, root)
        if key_hash(right.key) <= place:
            raise ProofNeighboursInvalid("the right neighbour is not above the key")
    if not _encloses_a_gap(left, right):
        raise ProofNeighboursInvalid("something may lie between the neighbours")


def compute_root(proof: ExistenceProof) -> bytes:
    """The root that `proof` leads to, of whatever tree. Raises ProofSpecMismatch."""
    # The crate hashes neither an empty key nor an empty value.
    if not proof.key or not proof.value:
        raise ProofSpecMismatch("an empty key or value cannot be proven")
    if proof.leaf != JMT_LEAF_OP:
        raise ProofSpecMismatch("the leaf is not hashed as a leaf of this tree")
    node = leaf_hash(key_hash(proof.key), proof.value)
    for step in proof.path:
        if not _is_step(step):
            raise ProofSpecMismatch("a step is not an inner node of this tree")
        node = sha256(step.prefix + node + step.suffix).digest()
    return node


def _check_existence(proof: ExistenceProof, root: bytes) -> None:
    if compute_root(proof) != root:
        raise ProofRootMismatch("the path leads to another root")


def _is_step(step: InnerOp) -> bool:
    return (
        step.hash == _SHA256
        and step.prefix.startswith(INNER_PREFIX)
        and (_is_left_child(step) or _is_right_child(step))
    )


def _is_left_child(step: InnerOp) -> bool:
    return (len(step.prefix), len(step.suffix)) == _LEFT_STEP_BYTES


def _is_right_child(step: InnerOp) -> bool:
    return (len(step.prefix), len(step.suffix)) == _RIGHT_STEP_BYTES


def _encloses_a_gap(left: ExistenceProof | None, right: ExistenceProof | None) -> bool:
    if left is not None and right is not None:
        return _are_neighbours(left.path, right.path)
    if left is not None:
        return _is_rightmost(left.path)
    return right is not None and _is_leftmost(right.path)


def _is_leftmost(path: tuple[InnerOp, ...]) -> bool:
    """Nothing lies to the left of the path: each left sibling is empty."""
    return all(_is_left_child(step) or step.prefix[len(INNER_PREFIX) :] == PLACEHOLDER for step in path)


def _is_rightmost(path: tuple[InnerOp, ...]) -> bool:
    return all(_is_right_child(step) or step.suffix == PLACEHOLDER for step in path)


def _are_neighbours(left: tuple[InnerOp, ...], right: tuple[InnerOp, ...]) -> bool:
    """The paths part at one node, to its two sides, and nothing lies between them below it."""
    shared = 0
    while shared < min(len(left), len(right)) and left[len(left) - 1 - shared] == right[len(right) - 1 - shared]:
        shared += 1
    if shared >= min(len(left), len(right)):
        return False
    parting_left, parting_right = left[len(left) - 1 - shared], right[len(right) - 1 - shared]
    return (
        _is_left_child(parting_left)
        and _is_right_child(parting_right)
        and _is_rightmost(left[: len(left) - 1 - shared])
        and _is_leftmost(right[: len(right) - 1 - shared])
    )


# Encoding


def encode_proof(proof: ExistenceProof | NonExistenceProof) -> bytes:
    """`proof` as an `ics23.CommitmentProof` in protobuf's usual form."""
    if isinstance(proof, ExistenceProof):
        return message_field(1, _encode_existence(proof))
    left = message_field(2, _encode_existence(proof.left)) if proof.left is not None else b""
    right = message_field(3, _encode_existence(proof.right)) if proof.right is not None else b""
    return message_field(2, bytes_field(1, proof.key) + left + right)


def _encode_existence(proof: ExistenceProof) -> bytes:
    leaf = message_field(3, _encode_leaf(proof.leaf)) if proof.leaf is not None else b""
    path = b"".join(message_field(4, _encode_step(step)) for step in proof.path)
    return bytes_field(1, proof.key) + bytes_field(2, proof.value) + leaf + path


def _encode_leaf(leaf: LeafOp) -> bytes:
    numbers = (leaf.hash, leaf.prehash_key, leaf.prehash_value, leaf.length)
    fields = (uint_field(number, value) for number, value in enumerate(numbers, start=1))
    return b"".join(fields) + bytes_field(5, leaf.prefix)


def _encode_step(step: InnerOp) -> bytes:
    return uint_field(1, step.hash) + bytes_field(2, step.prefix) + bytes_field(3, step.suffix)


# Decoding


def decode_proof(data: bytes) -> ExistenceProof | NonExistenceProof:
    """The proof in the bytes of an `ics23.CommitmentProof`. Raises ProofMalformed.

    Bounds: `PROOF_BYTES_MAX` in all, `KEY_BYTES_MAX`, `VALUE_BYTES_MAX`, `STEPS_MAX` a path.
    """
    if len(data) > PROOF_BYTES_MAX:
        raise ProofMalformed(f"a proof has at most {PROOF_BYTES_MAX} bytes")
    try:
        proof = _decode_commitment(data)
    except WireError as problem:
        raise ProofMalformed(str(problem)) from problem
    if encode_proof(proof) != data:
        raise ProofMalformed("default values are written out, or a field is there twice")
    return proof


def _decode_commitment(data: bytes) -> ExistenceProof | NonExistenceProof:
    fields = list(read_fields(data))
    if len(fields) != 1:
        raise WireError("a proof is exactly one of presence and absence")
    number, value = fields[0]
    if number == 1:
        return _decode_existence(_bytes(value))
    if number == 2:
        return _decode_non_existence(_bytes(value))
    raise WireError("neither a proof of presence nor one of absence")


def _decode_non_existence(data: bytes) -> NonExistenceProof:
    key = b""
    left: ExistenceProof | None = None
    right: ExistenceProof | None = None
    for number, value in read_fields(data):
        if number == 1:
            key = _bytes(value, KEY_BYTES_MAX)
        elif number == 2:
            left = _decode_existence(_bytes(value))
        elif number == 3:
            right = _decode_existence(_bytes(value))
        else:
            raise WireError("unknown field in a proof of absence")
    return NonExistenceProof(key, left, right)


def _decode_existence(data: bytes) -> ExistenceProof:
    key = content = b""
    leaf: LeafOp | None = None
    path: list[InnerOp] = []
    for number, value in read_fields(data):
        if number == 1:
            key = _bytes(value, KEY_BYTES_MAX)
        elif number == 2:
            content = _bytes(value, VALUE_BYTES_MAX)
        elif number == 3:
            leaf = _decode_leaf(_bytes(value))
        elif number == 4 and len(path) < STEPS_MAX:
            path.append(_decode_step(_bytes(value)))
        else:
            raise WireError("unknown field in a proof of presence, or too many steps")
    return ExistenceProof(key, content, leaf, tuple(path))


def _decode_leaf(data: bytes) -> LeafOp:
    numbers = {1: 0, 2: 0, 3: 0, 4: 0}
    prefix = b""
    for number, value in read_fields(data):
        if number == 5:
            prefix = _bytes(value, STEP_BYTES_MAX)
        elif number in numbers:
            numbers[number] = _integer(value)
        else:
            raise WireError("unknown field in a leaf")
    return LeafOp(numbers[1], numbers[2], numbers[3], numbers[4], prefix)


def _decode_step(data: bytes) -> InnerOp:
    operation, prefix, suffix = 0, b"", b""
    for number, value in read_fields(data):
        if number == 1:
            operation = _integer(value)
        elif number == 2:
            prefix = _bytes(value, STEP_BYTES_MAX)
        elif number == 3:
            suffix = _bytes(value, STEP_BYTES_MAX)
        else:
            raise WireError("unknown field in a step")
    return InnerOp(operation, prefix, suffix)


def _bytes(value: int | bytes, limit: int = PROOF_BYTES_MAX) -> bytes:
    if not isinstance(value, bytes) or len(value) > limit:
        raise WireError(f"a field is not bytes, or is above {limit} bytes")
    return value


def _integer(value: int | bytes) -> int:
    if not isinstance(value, int):
        raise WireError("a field is not a number")
    return value
