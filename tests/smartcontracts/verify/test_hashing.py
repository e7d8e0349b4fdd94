"""Hashing: lists as RFC 6962, documents bound to key, secret and bytes."""

from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smartcontracts.verify import hashing

SECRET = bytes(range(32))


def root_by_definition(leaves):
    if not leaves:
        return sha256(b"").digest()
    if len(leaves) == 1:
        return sha256(b"\x00" + leaves[0]).digest()
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    return sha256(b"\x01" + root_by_definition(leaves[:split]) + root_by_definition(leaves[split:])).digest()


@given(st.lists(st.binary(max_size=4), max_size=70))
def test_a_list_hashes_as_split_at_the_largest_power_of_two(leaves):
    assert hashing.merkle_root(leaves) == root_by_definition(leaves)


def test_a_documents_commitment_has_the_bytes_once_agreed():
    salt = hashing.document_salt(SECRET, b"order/ord_1")
    assert salt == sha256(b"syngraph/doc-salt/1" + SECRET + b"order/ord_1").digest()
    assert hashing.document_commitment(salt, b"doc") == sha256(b"syngraph/doc/1" + salt + b"doc").digest()


def test_a_commitment_differs_with_secret_key_and_bytes():
    commitments = [
        hashing.document_commitment(hashing.document_salt(secret, key), document)
        for secret in (SECRET, bytes(32))
        for key in (b"a", b"b")
        for document in (b"", b"x")
    ]
    assert len(set(commitments)) == 8


def test_a_secret_or_salt_of_another_length_is_our_mistake_and_raises():
    for wrong in (b"", SECRET[:-1], SECRET + b"\x00"):
        with pytest.raises(ValueError, match="32 bytes"):
            hashing.document_salt(wrong, b"k")
        with pytest.raises(ValueError, match="32 bytes"):
            hashing.document_commitment(wrong, b"doc")
