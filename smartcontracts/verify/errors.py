"""Every way a proof, a header or a commit is refused: one class a reason.

`reason` is a stable code. The text names the field and is free to change. Callers that only want
to know whether something holds catch `VerificationError`; nothing else is raised on bad input.
"""

from __future__ import annotations

from typing import ClassVar


class VerificationError(Exception):
    """Something that was to be proven is not; `reason` says which check failed first."""

    reason: ClassVar[str] = "verification_failed"


# Form of the input


class InputMalformed(VerificationError):
    """Not the shape announced: a field is missing, of the wrong type, or over its limit."""

    reason = "input_malformed"

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"{field}: {problem}")
        self.field = field
        self.problem = problem


class PublicKeyInvalid(VerificationError):
    """A key that must not be registered: not a point, not canonical, or not of the prime order."""

    reason = "public_key_invalid"


# State proofs


class ProofMalformed(VerificationError):
    """The bytes are not the usual encoding of an existence or a non-existence proof."""

    reason = "proof_malformed"


class ProofKindMismatch(VerificationError):
    """A proof of presence where one of absence is needed, or the other way round."""

    reason = "proof_kind_mismatch"


class ProofKeyMismatch(VerificationError):
    """The proof is about another key than the claim."""

    reason = "proof_key_mismatch"


class ProofValueMismatch(VerificationError):
    """The proof is about another value than the claim."""

    reason = "proof_value_mismatch"


class ProofSpecMismatch(VerificationError):
    """A leaf or a step of the path is not one of this kind of tree."""

    reason = "proof_spec_mismatch"


class ProofRootMismatch(VerificationError):
    """The path leads to another root."""

    reason = "proof_root_mismatch"


class ProofNeighboursInvalid(VerificationError):
    """The two leaves do not enclose the key, or something may lie between them."""

    reason = "proof_neighbours_invalid"


# Light client, in the order of the checks


class ValidatorSetInvalid(VerificationError):
    """No validators, one twice, a power out of range, or an address that is not the key's."""

    reason = "validator_set_invalid"


class HeaderInvalid(VerificationError):
    """A field of the header has a form that no honest block has."""

    reason = "header_invalid"


class CommitInvalid(VerificationError):
    """A field of the commit or of one of its votes has a form that no honest commit has."""

    reason = "commit_invalid"


class WrongChainId(VerificationError):
    """The header belongs to another chain than the one asked for."""

    reason = "wrong_chain_id"


class CommitHeightMismatch(VerificationError):
    """Header and commit are of different heights."""

    reason = "commit_height_mismatch"


class HeaderHashMismatch(VerificationError):
    """The header does not hash to the block id that was signed or is trusted."""

    reason = "header_hash_mismatch"


class ValidatorsHashMismatch(VerificationError):
    """The validators given are not those that the header names."""

    reason = "validators_hash_mismatch"


class TrustedHeaderExpired(VerificationError):
    """The trusted header is older than the trusting period."""

    reason = "trusted_header_expired"


class HeightNotGreater(VerificationError):
    """The new header is not above the trusted one."""

    reason = "height_not_greater"


class TimeNotAfterTrusted(VerificationError):
    """The new header is not later than the trusted one."""

    reason = "time_not_after_trusted"


class TimeInFuture(VerificationError):
    """The new header is later than the clock allows."""

    reason = "time_in_future"


class NextValidatorsHashMismatch(VerificationError):
    """The new header's validators are not those that the trusted header announced."""

    reason = "next_validators_hash_mismatch"


class TrustLevelInvalid(VerificationError):
    """A trust level below one third, above one, or not a ratio of positive numbers."""

    reason = "trust_level_invalid"


class NotEnoughTrustedPower(VerificationError):
    """Too little of the trusted set's power signed the new header."""

    reason = "not_enough_trusted_power"


class DoubleVote(VerificationError):
    """One validator votes twice in a commit."""

    reason = "double_vote"


class CommitSizeMismatch(VerificationError):
    """The commit has more or fewer places than there are validators."""

    reason = "commit_size_mismatch"


class ValidatorAddressMismatch(VerificationError):
    """A vote stands in the place of another validator."""

    reason = "validator_address_mismatch"


class WrongSignature(VerificationError):
    """A vote that was looked at is not signed by its validator."""

    reason = "wrong_signature"


class NotEnoughPower(VerificationError):
    """Two thirds of the power or less signed the block."""

    reason = "not_enough_power"


# Backwards, and whole blocks


class TimeNotBeforeTrusted(VerificationError):
    """The older header is not earlier than the trusted one."""

    reason = "time_not_before_trusted"


class LastBlockIdMismatch(VerificationError):
    """The trusted header does not name the older header as the block before it."""

    reason = "last_block_id_mismatch"


class LastCommitHashMismatch(VerificationError):
    """The votes in the block are not those that its header names."""

    reason = "last_commit_hash_mismatch"


class DataHashMismatch(VerificationError):
    """The transactions are not those that the header names."""

    reason = "data_hash_mismatch"


class EvidenceHashMismatch(VerificationError):
    """The evidence is not that which the header names."""

    reason = "evidence_hash_mismatch"


class PartSetMismatch(VerificationError):
    """The encoded block does not split into the parts that the block id names."""

    reason = "part_set_mismatch"
