"""Ed25519, twice, because its edges are a consensus rule.

Votes of CometBFT are judged by ZIP-215 exactly, as CometBFT itself does: the engine and a light
client of ours must never disagree. Transactions are judged by libsodium alone, which is
stricter, and keys are looked at once, when they are registered.
"""

from __future__ import annotations

from hashlib import sha512
from typing import Final

from nacl.bindings import crypto_sign_open
from nacl.exceptions import BadSignatureError

from smartcontracts.verify.errors import PublicKeyInvalid

PUBLIC_KEY_BYTES: Final = 32
SIGNATURE_BYTES: Final = 64

_P: Final = 2**255 - 19
_ORDER: Final = 2**252 + 27742317777372353535851937790883648493
_D: Final = -121665 * pow(121666, -1, _P) % _P
_SQRT_MINUS_ONE: Final = pow(2, (_P - 1) >> 2, _P)
_SIGN_BIT: Final = 1 << 255

_Point = tuple[int, int, int, int]  # extended coordinates X, Y, Z, T with x = X:Z, y = Y:Z, xy = T:Z
_NEUTRAL: Final[_Point] = (0, 1, 1, 0)


def verify_transaction_signature(public_key: bytes, message: bytes, signature: bytes) -> bool:
    """Whether libsodium accepts; it refuses small-order points and non-canonical encodings."""
    if len(public_key) != PUBLIC_KEY_BYTES or len(signature) != SIGNATURE_BYTES:
        return False
    try:
        crypto_sign_open(signature + message, public_key)
    except BadSignatureError:
        return False
    return True


def verify_vote_signature(public_key: bytes, message: bytes, signature: bytes) -> bool:
    """Whether ZIP-215 accepts, which is CometBFT's rule.

    libsodium answers first: what it accepts satisfies ZIP-215's weaker equation too. Only what
    it refuses takes the slow way, some milliseconds, so callers stop at the first bad vote.
    """
    if verify_transaction_signature(public_key, message, signature):
        return True
    return verify_zip215(public_key, message, signature)


def check_public_key(public_key: bytes) -> None:
    """Return if `public_key` may be registered for transactions.

    Raises PublicKeyInvalid unless it has 32 bytes, is encoded canonically, is on the curve, is
    not of small order, and lies in the group of prime order, as every honestly made key does.
    """
    if len(public_key) != PUBLIC_KEY_BYTES:
        raise PublicKeyInvalid(f"an Ed25519 key has {PUBLIC_KEY_BYTES} bytes")
    if int.from_bytes(public_key, "little") & ~_SIGN_BIT >= _P:
        raise PublicKeyInvalid("the key is not encoded canonically")
    point = _decode(public_key)
    if point is None:
        raise PublicKeyInvalid("the key is not a point of the curve")
    if _is_neutral(_times_eight(point)):
        raise PublicKeyInvalid("the key is of small order")
    if not _is_neutral(_multiply(_ORDER, point)):
        raise PublicKeyInvalid("the key is not in the group of prime order")


def verify_zip215(public_key: bytes, message: bytes, signature: bytes) -> bool:
    """ZIP-215 in plain integers: S below the order, any encoding of R and A, cofactor 8."""
    if len(public_key) != PUBLIC_KEY_BYTES or len(signature) != SIGNATURE_BYTES:
        return False
    encoded_r, scalar = signature[:32], int.from_bytes(signature[32:], "little")
    if scalar >= _ORDER:
        return False
    key_point, r_point = _decode(public_key), _decode(encoded_r)
    if key_point is None or r_point is None:
        return False
    digest = sha512(encoded_r + public_key + message).digest()
    challenge = int.from_bytes(digest, "little") % _ORDER
    # [8]([S]B - [k]A - R) = 0
    difference = _add(
        _multiply(scalar, _BASE),
        _add(_multiply(challenge, _negate(key_point)), _negate(r_point)),
    )
    return _is_neutral(_times_eight(difference))


def _decode(encoded: bytes) -> _Point | None:
    """The point of a 32-byte encoding, or None; y above the prime and negative zero are let in."""
    number = int.from_bytes(encoded, "little")
    y = (number & ~_SIGN_BIT) % _P
    x = _recover_x(y)
    if x is None:
        return None
    if x & 1 != number >> 255:
        x = -x % _P
    return (x, y, 1, x * y % _P)


def _recover_x(y: int) -> int | None:
    """Some x with -x² + y² = 1 + d·x²·y², or None."""
    u, v = (y * y - 1) % _P, (_D * y * y + 1) % _P
    # v is never zero, since -1/d is not a square.
    x = u * v**3 * pow(u * v**7, (_P - 5) >> 3, _P) % _P
    if v * x * x % _P == u:
        return x
    x = x * _SQRT_MINUS_ONE % _P
    return x if v * x * x % _P == u else None


def _add(a: _Point, b: _Point) -> _Point:
    """The complete addition law of the curve; it also doubles."""
    e_minus = (a[1] - a[0]) * (b[1] - b[0]) % _P
    e_plus = (a[1] + a[0]) * (b[1] + b[0]) % _P
    c = 2 * a[3] * b[3] * _D % _P
    d = 2 * a[2] * b[2] % _P
    e, f, g, h = e_plus - e_minus, d - c, d + c, e_plus + e_minus
    return (e * f % _P, g * h % _P, f * g % _P, e * h % _P)


def _negate(a: _Point) -> _Point:
    return (-a[0] % _P, a[1], a[2], -a[3] % _P)


def _multiply(scalar: int, point: _Point) -> _Point:
    """Not in constant time: nothing here is secret."""
    result = _NEUTRAL
    for bit in range(scalar.bit_length() - 1, -1, -1):
        result = _add(result, result)
        if scalar >> bit & 1:
            result = _add(result, point)
    return result


def _times_eight(point: _Point) -> _Point:
    return _multiply(8, point)


def _is_neutral(point: _Point) -> bool:
    return point[0] % _P == 0 and (point[1] - point[2]) % _P == 0


def _base_point() -> _Point:
    y = 4 * pow(5, -1, _P) % _P
    encoded = y.to_bytes(32, "little")  # the base point's x is even, so its sign bit is 0
    point = _decode(encoded)
    if point is None:
        raise ValueError("the base point must decode")
    return point


_BASE: Final = _base_point()
