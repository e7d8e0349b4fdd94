"""What CometBFT signs and what a light client reads, as frozen records.

A record may hold nonsense; the checks of `header`, `commit`, `validators` and `light` judge it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Final

NANOS_PER_SECOND: Final = 1_000_000_000


@dataclass(frozen=True, slots=True, order=True)
class Timestamp:
    """An instant: seconds since 1970 (negative before) and nanoseconds from 0 to 999,999,999."""

    seconds: int
    nanos: int

    def plus_nanos(self, nanos: int) -> Timestamp:
        """This instant moved by `nanos`."""
        return Timestamp(*divmod(self.total_nanos() + nanos, NANOS_PER_SECOND))

    def total_nanos(self) -> int:
        """Nanoseconds since 1970."""
        return self.seconds * NANOS_PER_SECOND + self.nanos


NO_TIME: Final = Timestamp(-62_135_596_800, 0)  # 0001-01-01T00:00:00Z, what Go calls the zero time


@dataclass(frozen=True, slots=True)
class BlockId:
    """Which block: its header's hash, and number and Merkle root of the parts it travels in."""

    hash: bytes
    parts_total: int
    parts_hash: bytes

    def is_nil(self) -> bool:
        """Whether it names no block."""
        return not self.hash and not self.parts_total and not self.parts_hash


NIL_BLOCK_ID: Final = BlockId(b"", 0, b"")


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """A block header of CometBFT 0.40, block protocol 11; hashes and addresses are raw bytes."""

    version_block: int
    version_app: int
    chain_id: str
    height: int
    time: Timestamp
    last_block_id: BlockId
    last_commit_hash: bytes
    data_hash: bytes
    validators_hash: bytes
    next_validators_hash: bytes
    consensus_hash: bytes
    app_hash: bytes
    last_results_hash: bytes
    evidence_hash: bytes
    proposer_address: bytes


class BlockIdFlag(IntEnum):
    """What a place in a commit holds."""

    ABSENT = 1
    COMMIT = 2
    NIL = 3


@dataclass(frozen=True, slots=True)
class CommitSig:
    """One validator's vote; `flag` is a BlockIdFlag, or another number in a malformed one."""

    flag: int
    validator_address: bytes
    timestamp: Timestamp
    signature: bytes


@dataclass(frozen=True, slots=True)
class Commit:
    """The votes for a block, one place a validator, in the order of the validator set."""

    height: int
    round: int
    block_id: BlockId
    signatures: tuple[CommitSig, ...]


@dataclass(frozen=True, slots=True)
class Validator:
    """An Ed25519 key of 32 bytes, its address of 20, and its voting power."""

    address: bytes
    public_key: bytes
    power: int


@dataclass(frozen=True, slots=True)
class ValidatorSet:
    """Validators by power (highest first), then address.

    Make it with `validators.build_validator_set`, which checks and sorts.
    """

    validators: tuple[Validator, ...]

    def total_power(self) -> int:
        """Sum of the voting powers."""
        return sum(validator.power for validator in self.validators)


@dataclass(frozen=True, slots=True)
class SignedHeader:
    """A header, and the commit that signs it."""

    header: Header
    commit: Commit


@dataclass(frozen=True, slots=True)
class LightBlock:
    """A signed header with the validators that signed it."""

    signed_header: SignedHeader
    validators: ValidatorSet


@dataclass(frozen=True, slots=True)
class Block:
    """A whole block without evidence of misbehaviour."""

    header: Header
    transactions: tuple[bytes, ...]
    last_commit: Commit
