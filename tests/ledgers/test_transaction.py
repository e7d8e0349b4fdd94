"""Transactions: what is signed and hashed are bytes, and any honest one is read as it was built."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ledgers.standing import _SMALL_ORDER
from ledgers.transaction import (
    BLOCK_GAS_MAX,
    Act,
    Signer,
    assemble,
    build_body,
    encode_tick,
    encode_timestamp,
    parse_transaction,
    prepare,
    sign_body,
    signed_bytes,
    size_gas,
    transaction_id,
)
from smartcontracts.kernel import Cause
from smartcontracts.parameters import Parameters
from smartcontracts.verify.ed25519 import check_public_key, verify_transaction_signature
from smartcontracts.verify.errors import PublicKeyInvalid
from tests.counter import Program, table_for
from tests.world import signing_key

TABLE = table_for("bilateral", 1)
LEDGER = "sg_" + "a" * 32
TEXTS = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=256)


def read(raw):
    return prepare(parse_transaction(raw, 1 << 20).signed, TABLE, Parameters())


@given(
    texts=st.lists(TEXTS, min_size=1, max_size=5),
    nonce=st.binary(min_size=16, max_size=16),
    expires_at_ms=st.integers(0, 2**62),
    caused=st.booleans(),
)
def test_what_was_built_is_what_is_read(texts, nonce, expires_at_ms, caused):
    cause = Cause(ledger_id=LEDGER, event_id="3/1", purpose="p") if caused else None
    acts = [
        Act(name="withdraw_proposal", command=Program(proposal_id=t), signer=i % 2, cause=cause)
        for i, t in enumerate(texts)
    ]
    keys = [signing_key("a"), signing_key("b")]
    body = build_body(ledger_id=LEDGER, nonce=nonce, expires_at_ms=expires_at_ms, signers=["o/a", "o/b"], acts=acts)
    raw = assemble(body, [sign_body(LEDGER, body, key) for key in keys])
    found = read(raw)
    assert (found.ledger_id, found.expires_at_ms, found.body) == (LEDGER, expires_at_ms, body)
    assert found.signers == (Signer("o", "a"), Signer("o", "b"))
    assert [str(s) for s in found.signers] == ["o/a", "o/b"]
    assert [c.record.proposal_id for c in found.commands] == texts
    assert [c.cause for c in found.commands] == [cause] * len(texts)
    assert found.transaction_id == transaction_id(LEDGER, body)
    assert found.gas == 200 + 300 * len(texts) + size_gas(body)
    for public_key, signature in found.signatures:
        assert verify_transaction_signature(public_key, signed_bytes(LEDGER, body), signature)


def test_golden_bytes():
    """These are the wire format and the signing rule: a change here forks every ledger."""
    body = build_body(
        ledger_id="sg_x",
        nonce=bytes(range(16)),
        expires_at_ms=1_790_000_000_000,
        signers=["o/m"],
        acts=[Act(name="withdraw_proposal", command=Program(proposal_id="p"))],
    )
    assert body.hex() == ("0a0473675f781210000102030405060708090a0b0c0d0e0f1880d8c1a28c3422036f2f6d2a06ba01030a0170")
    assert signed_bytes("sg_x", body) == b"syngraph/sign/1\x00sg_x\x00" + body
    assert transaction_id("sg_x", body).hex() == GOLDEN_ID
    assert encode_timestamp("sg_x", 5).hex() == "12080a0473675f781005"
    assert encode_tick("sg_x", 5, 2).hex() == "1a0a0a0473675f7810051802"


GOLDEN_ID = "7fe6b3654e2ffc5816d607788a1478007d4d15bdfd15d70cb58474a4a7fdc775"


def test_the_list_of_small_order_points_is_what_the_curve_says():
    for y in _SMALL_ORDER:
        for sign in (0, 0x80):
            key = y[:31] + bytes((y[31] | sign,))
            try:
                check_public_key(key)
            except PublicKeyInvalid:
                continue
            raise AssertionError(f"{key.hex()} may be registered")
    check_public_key(signing_key("a").verify_key.encode())


def test_one_who_signs_another_ledger_or_body_signs_nothing_here():
    key = signing_key("a")
    public_key, signature = sign_body(LEDGER, b"body", key)
    assert verify_transaction_signature(public_key, signed_bytes(LEDGER, b"body"), signature)
    for other in (signed_bytes("sg_b", b"body"), signed_bytes(LEDGER, b"bodY"), b"body"):
        assert not verify_transaction_signature(public_key, other, signature)


def test_a_block_has_no_room_for_seconds_of_reading_numbers():
    """A quarter of a megabyte of one-digit numbers took 0.3 s and was charged 0.9 ms."""
    numbers = b"[" + b",".join([b"1"] * 131_000) + b"]"
    assert 250_000 < size_gas(numbers) < BLOCK_GAS_MAX // 2
    # Empty list entries of a protobuf message, two bytes each, at 1.4 us.
    assert size_gas(b"\x22\x00" * 131_000) >= 52_000
    assert size_gas(b"@" * 250_000) > 400_000
    # A request of the usual size stays cheap.
    assert size_gas(b'{"key":"twenty characters of a value"}' * 200) < 3_000
