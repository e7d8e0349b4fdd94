"""Light verification: from a header that is trusted to one that is not, as CometBFT's client does.

Forwards one step or a skip (`verify_light_block`), backwards by hash (`verify_backwards`). For
the omni ledger, which knows no trusting period, `check_light_block` and
`check_adjacent_validators` are the same checks without a clock.
"""

from __future__ import annotations

from dataclasses import dataclass

from smartcontracts.verify.commit import (
    ONE_THIRD,
    TrustLevel,
    check_commit_form,
    check_commit_light,
    check_commit_trusting,
)
from smartcontracts.verify.errors import (
    CommitHeightMismatch,
    HeaderHashMismatch,
    HeightNotGreater,
    LastBlockIdMismatch,
    NextValidatorsHashMismatch,
    TimeInFuture,
    TimeNotAfterTrusted,
    TimeNotBeforeTrusted,
    TrustedHeaderExpired,
    ValidatorsHashMismatch,
    WrongChainId,
)
from smartcontracts.verify.header import check_header_form, hash_header
from smartcontracts.verify.records import Header, LightBlock, SignedHeader, Timestamp
from smartcontracts.verify.validators import hash_validators


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustOptions:
    """The verifier's clock and how far it is believed; durations in nanoseconds."""

    now: Timestamp
    trusting_period_ns: int
    max_clock_drift_ns: int
    trust_level: TrustLevel = ONE_THIRD


def check_signed_header(signed: SignedHeader, chain_id: str) -> None:
    """Return if header and commit are well formed, of `chain_id`, and belong together.

    Raises HeaderInvalid, CommitInvalid, WrongChainId, CommitHeightMismatch, HeaderHashMismatch.
    """
    header, commit = signed.header, signed.commit
    check_header_form(header)
    check_commit_form(commit)
    if header.chain_id != chain_id:
        raise WrongChainId(f"the header is of chain {header.chain_id!r}, not {chain_id!r}")
    if commit.height != header.height:
        raise CommitHeightMismatch(f"header {header.height}, commit {commit.height}")
    if hash_header(header) != commit.block_id.hash:
        raise HeaderHashMismatch("the commit signs another header")


def validate_light_block(block: LightBlock, chain_id: str) -> None:
    """Return if the block's three pieces are well formed and belong together.

    No signature is looked at. Raises what `check_signed_header` raises, then
    ValidatorsHashMismatch.
    """
    check_signed_header(block.signed_header, chain_id)
    _check_validators_hash(block)


def check_light_block(block: LightBlock, chain_id: str) -> None:
    """Return if `block` belongs together and more than two thirds of its own validators signed it.

    Whether those validators are to be believed is the caller's question. Raises what
    `validate_light_block` and `commit.check_commit_light` raise.
    """
    validate_light_block(block, chain_id)
    _check_own_commit(block, chain_id)


def check_adjacent_validators(trusted: Header, header: Header) -> None:
    """Return if `header`'s validators are those that `trusted` announced.

    Raises NextValidatorsHashMismatch.
    """
    if header.validators_hash != trusted.next_validators_hash:
        raise NextValidatorsHashMismatch("not the validators that the trusted header announced")


def verify_light_block(trusted: LightBlock, untrusted: LightBlock, chain_id: str, options: TrustOptions) -> None:
    """Return if `untrusted` may be trusted because `trusted` is.

    The trusted block is taken as it is. A height more than one above is a skip: enough of the
    trusted validators must have signed too. Raises, in order: what `validate_light_block` raises,
    TrustedHeaderExpired, HeightNotGreater, TimeNotAfterTrusted, TimeInFuture; then one step:
    NextValidatorsHashMismatch, a skip: what `commit.check_commit_trusting` raises; last, what
    `commit.check_commit_light` raises.
    """
    validate_light_block(untrusted, chain_id)
    old, new = trusted.signed_header.header, untrusted.signed_header.header
    _check_order_and_clock(old, new, options)
    if new.height == old.height + 1:
        check_adjacent_validators(old, new)
    else:
        check_commit_trusting(trusted.validators, chain_id, untrusted.signed_header.commit, options.trust_level)
    _check_own_commit(untrusted, chain_id)


def verify_backwards(trusted: Header, older: Header) -> None:
    """Return if `older` is the block before `trusted`, on the same chain.

    Raises HeaderInvalid, WrongChainId, TimeNotBeforeTrusted, HeaderHashMismatch,
    LastBlockIdMismatch.
    """
    check_header_form(older)
    if older.chain_id != trusted.chain_id:
        raise WrongChainId(f"the header is of chain {older.chain_id!r}, not {trusted.chain_id!r}")
    if older.time >= trusted.time:
        raise TimeNotBeforeTrusted("the older header is not earlier")
    if hash_header(older) != trusted.last_block_id.hash:
        raise LastBlockIdMismatch("the trusted header names another block before it")


def _check_validators_hash(block: LightBlock) -> None:
    if hash_validators(block.validators) != block.signed_header.header.validators_hash:
        raise ValidatorsHashMismatch("not the validators that the header names")


def _check_order_and_clock(old: Header, new: Header, options: TrustOptions) -> None:
    if old.time.plus_nanos(options.trusting_period_ns) <= options.now:
        raise TrustedHeaderExpired("the trusting period of the trusted header is over")
    if new.height <= old.height:
        raise HeightNotGreater(f"height {new.height} is not above {old.height}")
    if new.time <= old.time:
        raise TimeNotAfterTrusted("the new header is not later than the trusted one")
    if new.time >= options.now.plus_nanos(options.max_clock_drift_ns):
        raise TimeInFuture("the new header is ahead of the clock")


def _check_own_commit(block: LightBlock, chain_id: str) -> None:
    header, commit = block.signed_header.header, block.signed_header.commit
    check_commit_light(block.validators, chain_id, commit.block_id, header.height, commit)
