"""ICS-23 proofs: one fact has one encoding, and whatever a stranger sends is refused by name."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smartcontracts.verify import errors, ics23
from smartcontracts.verify.hashing import PLACEHOLDER, inner_hash, key_hash, leaf_hash
from smartcontracts.verify.wire import message_field, uint_field, varint

# Two keys that part at the first bit, so the tree is one node over two leaves.
LEFT, RIGHT = sorted((b"apple", b"banana"), key=key_hash)
LEFT_HASH, RIGHT_HASH = leaf_hash(key_hash(LEFT), b"1"), leaf_hash(key_hash(RIGHT), b"2")
ROOT = inner_hash(LEFT_HASH, RIGHT_HASH)
LEFT_PROOF = ics23.ExistenceProof(LEFT, b"1", ics23.JMT_LEAF_OP, (ics23.step_from_left(RIGHT_HASH),))
RIGHT_PROOF = ics23.ExistenceProof(RIGHT, b"2", ics23.JMT_LEAF_OP, (ics23.step_from_right(LEFT_HASH),))
PROOF = ics23.encode_proof(LEFT_PROOF)


def absent_between():
    """A key whose hash lies between the two leaves."""
    return next(key for key in (b"%d" % n for n in range(999)) if key_hash(LEFT) < key_hash(key) < key_hash(RIGHT))


def test_the_two_leaves_part_at_the_first_bit():
    assert key_hash(LEFT)[0] < 0x80 <= key_hash(RIGHT)[0]


def test_presence_and_absence_are_proven():
    ics23.verify_membership(ROOT, LEFT, b"1", PROOF)
    key = absent_between()
    proof = ics23.encode_proof(ics23.NonExistenceProof(key, LEFT_PROOF, RIGHT_PROOF))
    ics23.verify_non_membership(ROOT, key, proof)


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ((ROOT, LEFT, b"1", PROOF[:-1]), errors.ProofMalformed),
        ((ROOT, RIGHT, b"1", PROOF), errors.ProofKeyMismatch),
        ((ROOT, LEFT, b"2", PROOF), errors.ProofValueMismatch),
        ((PLACEHOLDER, LEFT, b"1", PROOF), errors.ProofRootMismatch),
        ((ROOT, LEFT, b"1", ics23.encode_proof(ics23.NonExistenceProof(LEFT, None, None))), errors.ProofKindMismatch),
    ],
)
def test_invalid_presence_names_what_is_wrong(arguments, error):
    with pytest.raises(error):
        ics23.verify_membership(*arguments)


@pytest.mark.parametrize(
    ("left", "right"),
    [(None, None), (LEFT_PROOF, None), (None, RIGHT_PROOF), (RIGHT_PROOF, LEFT_PROOF), (LEFT_PROOF, LEFT_PROOF)],
)
def test_invalid_absence_without_the_true_neighbours(left, right):
    key = absent_between()
    with pytest.raises(errors.ProofNeighboursInvalid):
        ics23.verify_non_membership(ROOT, key, ics23.encode_proof(ics23.NonExistenceProof(key, left, right)))


def test_an_empty_value_is_not_proven_even_under_its_true_root():
    empty = ics23.ExistenceProof(b"k", b"", ics23.JMT_LEAF_OP, ())
    with pytest.raises(errors.ProofSpecMismatch):
        ics23.verify_membership(leaf_hash(key_hash(b"k"), b""), b"k", b"", ics23.encode_proof(empty))


@given(st.integers(0, len(PROOF) * 8 - 1))
@settings(max_examples=300)
def test_a_proof_with_one_bit_changed_is_refused(bit):
    broken = bytearray(PROOF)
    broken[bit >> 3] ^= 1 << (bit & 7)
    with pytest.raises(errors.VerificationError):
        ics23.verify_membership(ROOT, LEFT, b"1", bytes(broken))


@given(st.one_of(st.binary(max_size=80), st.binary(max_size=60).map(lambda inner: message_field(1, inner))))
@settings(max_examples=300)
def test_any_bytes_decode_to_the_same_bytes_or_are_malformed(data):
    try:
        decoded = ics23.decode_proof(data)
    except errors.ProofMalformed:
        return
    assert ics23.encode_proof(decoded) == data


@pytest.mark.parametrize(
    "data",
    [
        PROOF + b"\x18\x00",  # a field that is not there
        PROOF + PROOF,  # twice
        message_field(3, b""),  # a batch
        message_field(4, b""),  # a compressed batch
        b"\x0a\x80\x00",  # a length not in its shortest form
        message_field(1, b"\x0a\x00"),  # an empty key written out
        message_field(1, b"\x12\x011\x0a\x01k"),  # fields out of order
        b"\x0a" + varint(1 << 62),  # a length past the end
        uint_field(1, 5),  # a number in place of a message
        b"\xff" * 11,  # a number without an end
    ],
)
def test_other_encodings_are_refused(data):
    with pytest.raises(errors.ProofMalformed):
        ics23.decode_proof(data)


@pytest.mark.parametrize("limited", ["key", "value", "path"])
def test_sizes_hold_at_their_limits_and_not_past_them(limited):
    def proof(extra):
        return ics23.encode_proof(
            ics23.ExistenceProof(
                b"k" * (ics23.KEY_BYTES_MAX + extra if limited == "key" else 1),
                b"v" * (ics23.VALUE_BYTES_MAX + extra if limited == "value" else 1),
                ics23.JMT_LEAF_OP,
                LEFT_PROOF.path * (ics23.STEPS_MAX + extra if limited == "path" else 1),
            )
        )

    ics23.decode_proof(proof(0))
    with pytest.raises(errors.ProofMalformed):
        ics23.decode_proof(proof(1))


def test_a_proof_above_the_limit_is_refused_unread():
    with pytest.raises(errors.ProofMalformed, match="at most"):
        ics23.decode_proof(bytes(ics23.PROOF_BYTES_MAX + 1))
