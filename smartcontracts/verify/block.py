"""A whole block against a block id that is trusted: header, transactions, last commit, parts."""

from __future__ import annotations

from hashlib import sha256
from typing import Final

from smartcontracts.verify.commit import check_commit_form, encode_commit, hash_commit
from smartcontracts.verify.errors import (
    DataHashMismatch,
    EvidenceHashMismatch,
    HeaderHashMismatch,
    LastCommitHashMismatch,
    PartSetMismatch,
)
from smartcontracts.verify.hashing import EMPTY_LIST_ROOT, merkle_root
from smartcontracts.verify.header import check_header_form, encode_header, hash_header
from smartcontracts.verify.records import Block, BlockId
from smartcontracts.verify.wire import message_field

PART_BYTES: Final = 65_536


def verify_block(block: Block, trusted: BlockId) -> None:
    """Return if `block` is the one that `trusted` names, in every byte.

    Raises, in order: HeaderInvalid, CommitInvalid, LastCommitHashMismatch, DataHashMismatch,
    EvidenceHashMismatch, HeaderHashMismatch, PartSetMismatch.
    """
    header = block.header
    check_header_form(header)
    check_commit_form(block.last_commit)
    if hash_commit(block.last_commit) != header.last_commit_hash:
        raise LastCommitHashMismatch("the votes are not those that the header names")
    if hash_transactions(block.transactions) != header.data_hash:
        raise DataHashMismatch("the transactions are not those that the header names")
    if header.evidence_hash != EMPTY_LIST_ROOT:
        raise EvidenceHashMismatch("the header names evidence, but there is none")
    if hash_header(header) != trusted.hash:
        raise HeaderHashMismatch("this is another block than the trusted one")
    parts = split_parts(encode_block(block))
    if (len(parts), merkle_root(parts)) != (trusted.parts_total, trusted.parts_hash):
        raise PartSetMismatch("the block's bytes are not those of the trusted one")


def hash_transactions(transactions: tuple[bytes, ...]) -> bytes:
    """What a header names as `data_hash`: the Merkle root over each transaction's SHA-256."""
    return merkle_root([sha256(transaction).digest() for transaction in transactions])


def encode_block(block: Block) -> bytes:
    """`tendermint.types.Block`, with an empty list of evidence."""
    data = b"".join(message_field(1, transaction) for transaction in block.transactions)
    return (
        message_field(1, encode_header(block.header))
        + message_field(2, data)
        + message_field(3, b"")
        + message_field(4, encode_commit(block.last_commit))
    )


def split_parts(encoded: bytes) -> list[bytes]:
    """The parts of 64 KiB in which a block travels; the last one may be shorter."""
    return [encoded[at : at + PART_BYTES] for at in range(0, len(encoded), PART_BYTES)]
