"""Validator sets: who may be in one, in which order, and what it hashes to."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256
from typing import Final

from smartcontracts.verify.ed25519 import PUBLIC_KEY_BYTES
from smartcontracts.verify.errors import ValidatorSetInvalid
from smartcontracts.verify.hashing import merkle_root
from smartcontracts.verify.header import ADDRESS_BYTES
from smartcontracts.verify.records import Validator, ValidatorSet
from smartcontracts.verify.wire import bytes_field, message_field, uint_field

TOTAL_POWER_MAX: Final = (1 << 60) - 1
VALIDATORS_MAX: Final = 1_000


def derive_address(public_key: bytes) -> bytes:
    """The address of an Ed25519 key, 20 bytes."""
    return sha256(public_key).digest()[:ADDRESS_BYTES]


def make_validator(public_key: bytes, power: int) -> Validator:
    """A validator with the address that its key has."""
    return Validator(derive_address(public_key), public_key, power)


def build_validator_set(validators: Iterable[Validator]) -> ValidatorSet:
    """The set of `validators`, sorted as CometBFT sorts it.

    Raises ValidatorSetInvalid if there are none or above `VALIDATORS_MAX`, a key or address has a
    wrong form, a power is negative, the sum is above 2^60 - 1, or an address is there twice.
    (CometBFT lets some sets with a doubled validator through to the hash check, which fails.)
    """
    members = list(validators)
    if not 1 <= len(members) <= VALIDATORS_MAX:
        raise ValidatorSetInvalid(f"a set has 1 to {VALIDATORS_MAX} validators, not {len(members)}")
    for member in members:
        _check_validator(member)
    if sum(member.power for member in members) > TOTAL_POWER_MAX:
        raise ValidatorSetInvalid("the total power is above 2^60 - 1")
    members.sort(key=lambda member: (-member.power, member.address))
    if len({member.address for member in members}) != len(members):
        raise ValidatorSetInvalid("a validator is there twice")
    return ValidatorSet(tuple(members))


def _check_validator(member: Validator) -> None:
    if len(member.public_key) != PUBLIC_KEY_BYTES:
        raise ValidatorSetInvalid(f"an Ed25519 key has {PUBLIC_KEY_BYTES} bytes")
    if member.power < 0:
        raise ValidatorSetInvalid("a power is negative")
    if member.address != derive_address(member.public_key):
        raise ValidatorSetInvalid("an address is not derived from its key")


def validator_leaf(validator: Validator) -> bytes:
    """`tendermint.types.SimpleValidator`: key and power; address and priority are not hashed."""
    public_key = message_field(1, bytes_field(1, validator.public_key))
    return public_key + uint_field(2, validator.power)


def hash_validators(validators: ValidatorSet) -> bytes:
    """What a header names as `validators_hash`, 32 bytes."""
    return merkle_root([validator_leaf(validator) for validator in validators.validators])
