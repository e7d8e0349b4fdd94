"""A header's form, its bytes, and its hash: the Merkle root over its fourteen fields."""

from __future__ import annotations

from typing import Final

from smartcontracts.verify.errors import HeaderHashMismatch, HeaderInvalid
from smartcontracts.verify.hashing import HASH_BYTES, merkle_root
from smartcontracts.verify.records import BlockId, Header
from smartcontracts.verify.wire import bytes_field, message_field, timestamp, uint_field

BLOCK_PROTOCOL: Final = 11
CHAIN_ID_BYTES_MAX: Final = 50
ADDRESS_BYTES: Final = 20


def check_header_form(header: Header) -> None:
    """Return if `header` has the form that CometBFT demands. Raises HeaderInvalid."""
    if header.version_block != BLOCK_PROTOCOL:
        raise HeaderInvalid(f"block protocol is {header.version_block}, not {BLOCK_PROTOCOL}")
    if len(header.chain_id.encode()) > CHAIN_ID_BYTES_MAX:
        raise HeaderInvalid(f"chain id is above {CHAIN_ID_BYTES_MAX} bytes")
    if header.height < 1:
        raise HeaderInvalid(f"height is {header.height}, below 1")
    if len(header.proposer_address) != ADDRESS_BYTES:
        raise HeaderInvalid(f"proposer address has {len(header.proposer_address)} bytes, not 20")
    hashes = {
        "last block id": header.last_block_id.hash,
        "last block id's parts": header.last_block_id.parts_hash,
        "last commit": header.last_commit_hash,
        "data": header.data_hash,
        "evidence": header.evidence_hash,
        "validators": header.validators_hash,
        "next validators": header.next_validators_hash,
        "consensus parameters": header.consensus_hash,
        "last results": header.last_results_hash,
    }
    for name, value in hashes.items():
        if len(value) not in (0, HASH_BYTES):  # the application's hash may have any length
            raise HeaderInvalid(f"hash of {name} has {len(value)} bytes, not {HASH_BYTES}")


def encode_block_id(block_id: BlockId) -> bytes:
    """`tendermint.types.BlockID`; the parts are written also when empty."""
    parts = uint_field(1, block_id.parts_total) + bytes_field(2, block_id.parts_hash)
    return bytes_field(1, block_id.hash) + message_field(2, parts)


def header_leaves(header: Header) -> list[bytes]:
    """The fourteen encoded fields in order; numbers, strings and hashes wrapped as messages."""
    return [
        uint_field(1, header.version_block) + uint_field(2, header.version_app),
        bytes_field(1, header.chain_id.encode()),
        uint_field(1, header.height),
        timestamp(header.time.seconds, header.time.nanos),
        encode_block_id(header.last_block_id),
        bytes_field(1, header.last_commit_hash),
        bytes_field(1, header.data_hash),
        bytes_field(1, header.validators_hash),
        bytes_field(1, header.next_validators_hash),
        bytes_field(1, header.consensus_hash),
        bytes_field(1, header.app_hash),
        bytes_field(1, header.last_results_hash),
        bytes_field(1, header.evidence_hash),
        bytes_field(1, header.proposer_address),
    ]


def hash_header(header: Header) -> bytes:
    """The block's hash, 32 bytes.

    Raises HeaderHashMismatch if no validators are named: such a header has no hash.
    """
    if not header.validators_hash:
        raise HeaderHashMismatch("a header without validators_hash has no hash")
    return merkle_root(header_leaves(header))


def encode_header(header: Header) -> bytes:
    """`tendermint.types.Header`, as it stands in an encoded block."""
    version = uint_field(1, header.version_block) + uint_field(2, header.version_app)
    tail = (
        header.last_commit_hash,
        header.data_hash,
        header.validators_hash,
        header.next_validators_hash,
        header.consensus_hash,
        header.app_hash,
        header.last_results_hash,
        header.evidence_hash,
        header.proposer_address,
    )
    return (
        message_field(1, version)
        + bytes_field(2, header.chain_id.encode())
        + uint_field(3, header.height)
        + message_field(4, timestamp(header.time.seconds, header.time.nanos))
        + message_field(5, encode_block_id(header.last_block_id))
        + b"".join(bytes_field(number, value) for number, value in enumerate(tail, start=6))
    )
