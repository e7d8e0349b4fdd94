"""Ids of documents: a kind's prefix and the base32 of a hash, so that nobody chooses one and none says anything.

Ids are opaque; absence proofs show a neighbour's key, which must not be a name. DESIGN sections 5, 6.
"""

from __future__ import annotations

import base64
import hashlib
from typing import Final

ID_HASH_BYTES: Final = 20
_TAG: Final = b"syngraph/id/1"


def derive_id(prefix: str, *parts: str | bytes | int) -> str:
    """`prefix` + "_" + 32 characters; different parts give different ids, and part borders count."""
    digest = hashlib.sha256(_TAG)
    for part in (prefix, *parts):
        data = _as_bytes(part)
        digest.update(len(data).to_bytes(4, "big"))
        digest.update(data)
    return f"{prefix}_{base32(digest.digest()[:ID_HASH_BYTES])}"


def base32(data: bytes) -> str:
    """RFC 4648 base32 in lower case without padding."""
    return base64.b32encode(data).rstrip(b"=").translate(_LOWER).decode("ascii")


def organization_id(ca_public_key: bytes) -> str:
    """The id of the organization whose first CA has this public key (SubjectPublicKeyInfo, DER): the same on every ledger."""
    return derive_id("org", ca_public_key)


def member_id(organization: str, public_key: bytes) -> str:
    """The id of the member whose first key this is (32 bytes)."""
    return derive_id("mbr", organization, public_key)


def _as_bytes(part: str | bytes | int) -> bytes:
    # A type byte keeps "1", b"1" and 1 apart.
    if isinstance(part, bytes):
        return b"b" + part
    if isinstance(part, int):
        return b"i" + b"%d" % part
    return b"s" + part.encode("utf-8")


_LOWER: Final = bytes.maketrans(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ", b"abcdefghijklmnopqrstuvwxyz")
