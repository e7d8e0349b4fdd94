"""Ids: hashes that nobody chooses, with borders between their parts."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smartcontracts.ids import base32, derive_id, member_id, organization_id

PARTS = st.lists(st.one_of(st.text(max_size=4), st.binary(max_size=4), st.integers(0, 300)), max_size=4)


@given(PARTS, PARTS)
def test_different_parts_give_different_ids(left, right):
    typed_left = [(type(p), p) for p in left]
    typed_right = [(type(p), p) for p in right]
    assert (derive_id("doc", *left) == derive_id("doc", *right)) == (typed_left == typed_right)


@pytest.mark.parametrize(
    ("left", "right"), [(("ab", "c"), ("a", "bc")), (("1",), (1,)), ((b"1",), ("1",)), ((), ("",)), ((1, 2), (12,))]
)
def test_borders_and_types_of_parts_count(left, right):
    assert derive_id("doc", *left) != derive_id("doc", *right)


def test_the_prefix_is_shown_and_hashed():
    assert derive_id("quo", "x").startswith("quo_")
    assert derive_id("quo", "x")[4:] != derive_id("ord", "x")[4:]


@given(PARTS)
def test_an_id_is_a_prefix_and_32_characters_of_base32(parts):
    assert re.fullmatch("[a-z]+_[a-z2-7]{32}", derive_id("doc", *parts))


def test_golden_ids_never_change():
    """Every document on every ledger is filed under ids made this way."""
    assert derive_id("quo", "sg_x", b"\x01" * 32, 2, 0) == "quo_b7ebytovziv74dywalca3qo3psdvxd2c"
    assert organization_id(b"spki") == "org_cl7nsrlshh3qmnunq6ufpxmsfh4efi34"
    assert member_id("org_x", b"\x02" * 32) == "mbr_3ye7m3rcssgszbi45klpqvp7kawntx4z"
    assert base32(b"\x00\xff") == "ad7q"
