"""What consensus stands on, tried before a process serves: protobuf's implementation, libsodium, tree and codec.

A distribution may ship another libsodium, and an environment variable switches protobuf to pure Python; nodes that differ in
either fork a ledger. DESIGN section 11.
"""

from __future__ import annotations

from typing import Final

from google.protobuf.internal import api_implementation

from abci_app.tree import Tree
from ledgers.transaction import encode_timestamp, transaction_id
from smartcontracts.codec import BytesMalformed, parse
from smartcontracts.verify.ed25519 import verify_transaction_signature
from smartcontracts.verify.hashing import document_commitment, document_salt
from syngraph.v1.transaction_pb2 import Transaction

# RFC 8032, section 7.1, test 2.
_KEY: Final = "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c"
_SIGNATURE: Final = (
    "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
    "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
)
_MESSAGE: Final = "72"
_ORDER: Final = 2**252 + 27742317777372353535851937790883648493

# Worked out once with this software; a change would fork every ledger there is.
_TREE_ROOT: Final = "8d5a691eb222121ac66c8c7ec3b05a14b081323cff966baf17502deccd221078"
_TIMESTAMP: Final = "12100a0773675f746573741080d8c1a28c34"
_TRANSACTION_ID: Final = "689cf69142bbe317117f3f1ae5190cc2d2514a81eeba9066a850634aff01c13c"


class SelfCheckFailedError(Exception):
    """This process would not agree with the others; the sentence says on what."""


def check_ground() -> None:
    """Raises SelfCheckFailedError."""
    if api_implementation.Type() != "upb":
        raise SelfCheckFailedError(f"protobuf runs on {api_implementation.Type()}, not on upb")
    _check_signatures()
    _check_codec()
    if tree_root().hex() != _TREE_ROOT:
        raise SelfCheckFailedError("the tree has another root")


def _check_signatures() -> None:
    key, message, signature = (bytes.fromhex(x) for x in (_KEY, _MESSAGE, _SIGNATURE))
    scalar = int.from_bytes(signature[32:], "little") + _ORDER
    malleated = signature[:32] + scalar.to_bytes(32, "little")
    identity = b"\x01" + bytes(31)
    cases = (
        ("a good signature", key, signature, True),
        ("one with a flipped bit", key, bytes((signature[0] ^ 1,)) + signature[1:], False),
        ("one whose scalar is not reduced", key, malleated, False),
        # Under the identity, R = identity and S = 0 fits any message by the bare equation.
        ("a key of small order", identity, identity + bytes(32), False),
    )
    for what, public_key, signed, expected in cases:
        if verify_transaction_signature(public_key, message, signed) is not expected:
            raise SelfCheckFailedError(f"libsodium judges {what} differently")


def _check_codec() -> None:
    encoded = sample_timestamp()
    if encoded.hex() != _TIMESTAMP or transaction_id("sg_test", b"body").hex() != _TRANSACTION_ID:
        raise SelfCheckFailedError("a transaction is encoded or named differently")
    for what, data in (("an unknown field", encoded + b"\x78\x01"), ("a doubled field", encoded + encoded)):
        try:
            parse(Transaction, data)
        except BytesMalformed:
            continue
        raise SelfCheckFailedError(f"the codec lets {what} pass")


def sample_timestamp() -> bytes:
    """A transaction of known bytes."""
    return encode_timestamp("sg_test", 1_790_000_000_000)


def tree_root() -> bytes:
    """The root over forty known documents, in two versions, one of them deleted again."""
    records: dict[bytes, bytes] = {}
    tree = Tree(records)
    keys = [f"kind/{n}".encode() for n in range(40)]
    salt = {key: document_salt(b"\x07" * 32, key) for key in keys}
    first = tree.update(1, {key: document_commitment(salt[key], key) for key in keys})
    records.update(first.writes)
    tree.commit(first)
    return tree.update(2, {keys[0]: None, keys[1]: document_commitment(salt[keys[1]], b"changed")}).root
