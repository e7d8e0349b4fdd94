"""Ed25519: votes are judged by ZIP-215 to the letter, transactions and keys strictly."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nacl.signing import SigningKey

from smartcontracts.verify import ed25519
from smartcontracts.verify.errors import PublicKeyInvalid

P = 2**255 - 19
ORDER = 2**252 + 27742317777372353535851937790883648493
KEY = SigningKey(bytes(range(32)))
PUBLIC = bytes(KEY.verify_key)
MESSAGE = b"order 7"
SIGNATURE = KEY.sign(MESSAGE).signature

# The eight points of small order by their y, canonical and not, with both signs: 14 encodings.
ORDER_EIGHT_Y = (
    int.from_bytes(bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"), "little"),
    int.from_bytes(bytes.fromhex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"), "little"),
)
SMALL_ORDER = [
    (y | sign << 255).to_bytes(32, "little") for y in (0, 1, P - 1, P, P + 1, *ORDER_EIGHT_Y) for sign in (0, 1)
]
JUDGES = [ed25519.verify_transaction_signature, ed25519.verify_vote_signature, ed25519.verify_zip215]


@pytest.mark.parametrize("judge", JUDGES)
def test_an_honest_signature_holds_and_no_changed_one_does(judge):
    assert judge(PUBLIC, MESSAGE, SIGNATURE)
    assert not judge(PUBLIC, MESSAGE + b"!", SIGNATURE)
    assert not judge(bytes(SigningKey(bytes(32)).verify_key), MESSAGE, SIGNATURE)
    for place in (0, 31, 32, 63):
        broken = bytearray(SIGNATURE)
        broken[place] ^= 1
        assert not judge(PUBLIC, MESSAGE, bytes(broken))


@pytest.mark.parametrize("judge", JUDGES)
def test_wrong_lengths_are_refused_and_do_not_raise(judge):
    assert not judge(PUBLIC[:-1], MESSAGE, SIGNATURE)
    assert not judge(PUBLIC + b"\x00", MESSAGE, SIGNATURE)
    assert not judge(PUBLIC, MESSAGE, SIGNATURE[:-1])
    assert not judge(PUBLIC, MESSAGE, SIGNATURE + b"\x00")
    assert not judge(b"", b"", b"")


@pytest.mark.parametrize("judge", JUDGES)
def test_a_scalar_raised_by_the_order_is_refused(judge):
    scalar = int.from_bytes(SIGNATURE[32:], "little") + ORDER
    assert not judge(PUBLIC, MESSAGE, SIGNATURE[:32] + scalar.to_bytes(32, "little"))


@pytest.mark.parametrize("key", SMALL_ORDER)
def test_small_order_is_good_in_a_vote_and_bad_in_a_transaction(key):
    assert len(set(SMALL_ORDER)) == 14
    for r_point in SMALL_ORDER:
        signature = r_point + bytes(32)
        assert ed25519.verify_vote_signature(key, MESSAGE, signature)
        assert not ed25519.verify_transaction_signature(key, MESSAGE, signature)


def test_a_vote_whose_key_is_no_point_is_refused():
    no_point = next(y.to_bytes(32, "little") for y in range(2, 50) if ed25519._recover_x(y) is None)
    assert not ed25519.verify_vote_signature(no_point, MESSAGE, SIGNATURE)
    assert not ed25519.verify_vote_signature(PUBLIC, MESSAGE, no_point + SIGNATURE[32:])
    with pytest.raises(PublicKeyInvalid, match="not a point"):
        ed25519.check_public_key(no_point)


@given(st.binary(min_size=32, max_size=32), st.binary(max_size=200))
@settings(max_examples=20, deadline=None)
def test_both_roads_agree_on_honest_votes(seed, message):
    key = SigningKey(seed)
    signature = key.sign(message).signature
    public = bytes(key.verify_key)
    assert ed25519.verify_transaction_signature(public, message, signature)
    assert ed25519.verify_zip215(public, message, signature)
    ed25519.check_public_key(public)


@pytest.mark.parametrize("key", SMALL_ORDER)
def test_a_small_order_key_cannot_be_registered(key):
    with pytest.raises(PublicKeyInvalid, match=r"small order|canonically"):
        ed25519.check_public_key(key)


def test_a_key_above_the_prime_or_of_another_length_cannot_be_registered():
    for key in ((P + 3).to_bytes(32, "little"), b"\xff" * 32):
        with pytest.raises(PublicKeyInvalid, match="canonically"):
            ed25519.check_public_key(key)
    for key in (b"", PUBLIC[:-1], PUBLIC + b"\x00"):
        with pytest.raises(PublicKeyInvalid, match="32 bytes"):
            ed25519.check_public_key(key)


def test_a_key_with_a_part_of_small_order_cannot_be_registered():
    honest, torsion = ed25519._decode(PUBLIC), ed25519._decode(ORDER_EIGHT_Y[0].to_bytes(32, "little"))
    x, y, z, _ = ed25519._add(honest, torsion)
    inverse = pow(z, -1, P)
    mixed = (y * inverse % P | (x * inverse % P & 1) << 255).to_bytes(32, "little")
    assert ed25519._decode(mixed) is not None
    with pytest.raises(PublicKeyInvalid, match="prime order"):
        ed25519.check_public_key(mixed)
