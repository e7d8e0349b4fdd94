"""The hashes under every proof: Jellyfish Merkle tree, CometBFT's Merkle list, documents.

All are SHA-256. The tree is hashed as Penumbra's `jmt` crate does it, so that any ICS-23 verifier
can check a proof of ours.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from typing import Final

HASH_BYTES: Final = 32
KEY_BITS: Final = 256

LEAF_PREFIX: Final = b"JMT::LeafNode"
INNER_PREFIX: Final = b"JMT::IntrnalNode"  # the crate spells it so
PLACEHOLDER: Final = b"SPARSE_MERKLE_PLACEHOLDER_HASH__"  # stands for a subtree without leaves, unhashed

EMPTY_LIST_ROOT: Final = sha256(b"").digest()

_DOCUMENT_SALT_TAG: Final = b"syngraph/doc-salt/1"
_DOCUMENT_TAG: Final = b"syngraph/doc/1"
DOCUMENT_SECRET_BYTES: Final = 32
DOCUMENT_SALT_BYTES: Final = 32


def key_hash(key: bytes) -> bytes:
    """Where `key` sits in the tree: its bits from the most significant one, 0 to the left."""
    return sha256(key).digest()


def leaf_hash(hashed_key: bytes, value: bytes) -> bytes:
    """Hash of the leaf at `hashed_key` (32 bytes) that holds `value` (raw, hashed here)."""
    return sha256(LEAF_PREFIX + hashed_key + sha256(value).digest()).digest()


def inner_hash(left: bytes, right: bytes) -> bytes:
    """Hash of a node over two subtree hashes of 32 bytes, `PLACEHOLDER` where one is empty."""
    return sha256(INNER_PREFIX + left + right).digest()


def merkle_root(leaves: Sequence[bytes]) -> bytes:
    """Root over raw leaves as in RFC 6962, CometBFT's for lists; SHA-256 of nothing if empty."""
    level = [sha256(b"\x00" + leaf).digest() for leaf in leaves]
    if not level:
        return EMPTY_LIST_ROOT
    # Pairing neighbours and passing an odd last one up gives the same tree as splitting at the
    # largest power of two below the count, without recursion.
    while len(level) > 1:
        paired = [sha256(b"\x01" + level[i] + level[i + 1]).digest() for i in range(0, len(level) - 1, 2)]
        if len(level) & 1:
            paired.append(level[-1])
        level = paired
    return level[0]


def document_salt(secret: bytes, key: bytes) -> bytes:
    """Salt (32 bytes) of the document at `key`, from the ledger's secret of 32 bytes.

    Members derive it again; whoever lacks the secret cannot guess a document from its commitment.
    Raises ValueError if the secret is not of 32 bytes: that is a mistake of ours, not of a sender.
    """
    if len(secret) != DOCUMENT_SECRET_BYTES:
        raise ValueError(f"the ledger secret has {DOCUMENT_SECRET_BYTES} bytes, not {len(secret)}")
    # Tag and secret have fixed lengths, so no two (secret, key) share an input; nothing is ever
    # appended to a salt, so the plain hash needs no HMAC around it.
    return sha256(_DOCUMENT_SALT_TAG + secret + key).digest()


def document_commitment(salt: bytes, document_bytes: bytes) -> bytes:
    """The 32 bytes that stand for a document in the tree: SHA-256(tag, salt, document).

    Raises ValueError if the salt is not of 32 bytes.
    """
    if len(salt) != DOCUMENT_SALT_BYTES:
        raise ValueError(f"a document's salt has {DOCUMENT_SALT_BYTES} bytes, not {len(salt)}")
    return sha256(_DOCUMENT_TAG + salt + document_bytes).digest()
