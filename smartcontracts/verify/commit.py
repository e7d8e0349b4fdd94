"""Commits: their form, the bytes a vote signs, and whether enough power signed.

Three questions, as CometBFT asks them: `check_commit_light` (did more than 2/3 sign; stops
there), `check_commit` (and is every vote genuine), `check_commit_trusting` (did enough of a set
known from before sign, found by address).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from smartcontracts.verify.ed25519 import SIGNATURE_BYTES, verify_vote_signature
from smartcontracts.verify.errors import (
    CommitHeightMismatch,
    CommitInvalid,
    CommitSizeMismatch,
    DoubleVote,
    HeaderHashMismatch,
    NotEnoughPower,
    NotEnoughTrustedPower,
    TrustLevelInvalid,
    ValidatorAddressMismatch,
    WrongSignature,
)
from smartcontracts.verify.hashing import merkle_root
from smartcontracts.verify.header import ADDRESS_BYTES, encode_block_id
from smartcontracts.verify.records import (
    NIL_BLOCK_ID,
    NO_TIME,
    BlockId,
    BlockIdFlag,
    Commit,
    CommitSig,
    Validator,
    ValidatorSet,
)
from smartcontracts.verify.wire import (
    bytes_field,
    message_field,
    sfixed64_field,
    timestamp,
    uint_field,
    varint,
)

_PRECOMMIT: Final = 2
_POWER_SUM_MAX: Final = (1 << 63) - 1


@dataclass(frozen=True, slots=True)
class TrustLevel:
    """The part of the trusted power that must have signed on a skip: more than this ratio.

    Raises TrustLevelInvalid unless one third <= numerator : denominator <= 1.
    """

    numerator: int
    denominator: int

    def __post_init__(self) -> None:
        if not 0 < self.numerator <= self.denominator <= 3 * self.numerator:
            raise TrustLevelInvalid(f"{self.numerator} : {self.denominator} is not in [1/3, 1]")


ONE_THIRD: Final = TrustLevel(1, 3)


# Form and bytes


def check_commit_form(commit: Commit) -> None:
    """Return if `commit` and its votes have the form CometBFT demands. Raises CommitInvalid."""
    if commit.height < 0:
        raise CommitInvalid("height is negative")
    if commit.round < 0:
        raise CommitInvalid("round is negative")
    if commit.height == 0:  # what the first block carries in place of a commit
        return
    if commit.block_id.is_nil():
        raise CommitInvalid("the commit is for no block")
    if not commit.signatures:
        raise CommitInvalid("no votes")
    for place, vote in enumerate(commit.signatures):
        _check_vote_form(place, vote)


def _check_vote_form(place: int, vote: CommitSig) -> None:
    if vote.flag == BlockIdFlag.ABSENT:
        if vote.validator_address or vote.signature or vote.timestamp != NO_TIME:
            raise CommitInvalid(f"vote {place} is marked absent, but something is there")
    elif vote.flag in (BlockIdFlag.COMMIT, BlockIdFlag.NIL):
        if len(vote.validator_address) != ADDRESS_BYTES:
            raise CommitInvalid(f"vote {place} has an address of {len(vote.validator_address)} bytes")
        if not vote.signature:
            raise CommitInvalid(f"vote {place} has no signature")
    else:
        raise CommitInvalid(f"vote {place} has the unknown flag {vote.flag}")


def vote_sign_bytes(chain_id: str, commit: Commit, place: int) -> bytes:
    """What the validator at `place` signed: its precommit as length-prefixed `CanonicalVote`."""
    vote = commit.signatures[place]
    block_id = commit.block_id if vote.flag == BlockIdFlag.COMMIT else NIL_BLOCK_ID
    body = (
        uint_field(1, _PRECOMMIT)
        + sfixed64_field(2, commit.height)
        + sfixed64_field(3, commit.round)
        + (b"" if block_id.is_nil() else message_field(4, encode_block_id(block_id)))
        + message_field(5, timestamp(vote.timestamp.seconds, vote.timestamp.nanos))
        + bytes_field(6, chain_id.encode())
    )
    return varint(len(body)) + body


def encode_vote(vote: CommitSig) -> bytes:
    """`tendermint.types.CommitSig`, a leaf of the commit's hash."""
    return (
        uint_field(1, vote.flag)
        + bytes_field(2, vote.validator_address)
        + message_field(3, timestamp(vote.timestamp.seconds, vote.timestamp.nanos))
        + bytes_field(4, vote.signature)
    )


def hash_commit(commit: Commit) -> bytes:
    """What the next header names as `last_commit_hash`; it covers the votes only."""
    return merkle_root([encode_vote(vote) for vote in commit.signatures])


def encode_commit(commit: Commit) -> bytes:
    """`tendermint.types.Commit`, as it stands in an encoded block."""
    return (
        uint_field(1, commit.height)
        + uint_field(2, commit.round)
        + message_field(3, encode_block_id(commit.block_id))
        + b"".join(message_field(4, encode_vote(vote)) for vote in commit.signatures)
    )


# Power


def check_commit_light(validators: ValidatorSet, chain_id: str, block_id: BlockId, height: int, commit: Commit) -> None:
    """Return if more than two thirds of the power signed `block_id` at `height`.

    Votes for nil and absent ones are passed over unseen, as are votes after the one that
    suffices. Raises CommitSizeMismatch, CommitHeightMismatch, HeaderHashMismatch,
    ValidatorAddressMismatch, NotEnoughPower, WrongSignature.
    """
    _check_fits(validators, block_id, height, commit)
    needed = _two_thirds(validators)
    chosen: list[tuple[int, Validator]] = []
    power = 0
    for place, validator in _voters(validators, commit, counted_only=True):
        chosen.append((place, validator))
        power += validator.power
        if power > needed:
            break
    if power <= needed:
        raise NotEnoughPower(f"{power} signed, more than {needed} is needed")
    _check_signatures(chain_id, commit, chosen)


def check_commit(validators: ValidatorSet, chain_id: str, block_id: BlockId, height: int, commit: Commit) -> None:
    """Return if more than two thirds signed, and every vote, also one for nil, is genuine.

    Raises what `check_commit_light` raises.
    """
    _check_fits(validators, block_id, height, commit)
    needed = _two_thirds(validators)
    chosen = list(_voters(validators, commit, counted_only=False))
    power = sum(validator.power for place, validator in chosen if commit.signatures[place].flag == BlockIdFlag.COMMIT)
    if power <= needed:
        raise NotEnoughPower(f"{power} signed, more than {needed} is needed")
    _check_signatures(chain_id, commit, chosen)


def check_commit_trusting(trusted: ValidatorSet, chain_id: str, commit: Commit, level: TrustLevel) -> None:
    """Return if votes for the block hold more than `level` of the power of `trusted`.

    Validators are found by address, since the commit is of another set, and count with the power
    they had in `trusted`. Raises TrustLevelInvalid (sums above 63 bits), DoubleVote,
    NotEnoughTrustedPower, WrongSignature.
    """
    product = trusted.total_power() * level.numerator
    if product > _POWER_SUM_MAX:
        raise TrustLevelInvalid("the needed power is above 63 bits")
    needed = product // level.denominator
    members = {validator.address: validator for validator in trusted.validators}
    chosen: dict[bytes, tuple[int, Validator]] = {}
    power = 0
    for place, vote in enumerate(commit.signatures):
        validator = members.get(vote.validator_address)
        if vote.flag != BlockIdFlag.COMMIT or validator is None:
            continue
        if validator.address in chosen:
            raise DoubleVote(f"validator {validator.address.hex()} votes twice")
        chosen[validator.address] = (place, validator)
        power += validator.power
        if power > needed:
            break
    if power <= needed:
        raise NotEnoughTrustedPower(f"{power} signed, more than {needed} is needed")
    _check_signatures(chain_id, commit, chosen.values())


def _check_fits(validators: ValidatorSet, block_id: BlockId, height: int, commit: Commit) -> None:
    places, members = len(commit.signatures), len(validators.validators)
    if places != members:
        raise CommitSizeMismatch(f"{places} votes for {members} validators")
    if commit.height != height:
        raise CommitHeightMismatch(f"the commit is of height {commit.height}, not {height}")
    if commit.block_id != block_id:
        raise HeaderHashMismatch("the commit is for another block")


def _two_thirds(validators: ValidatorSet) -> int:
    return validators.total_power() * 2 // 3


def _voters(validators: ValidatorSet, commit: Commit, *, counted_only: bool) -> Iterable[tuple[int, Validator]]:
    """Place and validator of each vote for the block, or of each vote that is not absent."""
    for place, (validator, vote) in enumerate(zip(validators.validators, commit.signatures, strict=True)):
        if vote.flag == BlockIdFlag.ABSENT:
            continue
        if counted_only and vote.flag != BlockIdFlag.COMMIT:
            continue
        if vote.validator_address != validator.address:
            raise ValidatorAddressMismatch(f"vote {place} is not of the validator in its place")
        yield place, validator


def _check_signatures(chain_id: str, commit: Commit, chosen: Iterable[tuple[int, Validator]]) -> None:
    for place, validator in chosen:
        signature = commit.signatures[place].signature
        if len(signature) != SIGNATURE_BYTES or not verify_vote_signature(
            validator.public_key, vote_sign_bytes(chain_id, commit, place), signature
        ):
            raise WrongSignature(f"vote {place} is not signed by its validator")
