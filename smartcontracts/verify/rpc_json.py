"""CometBFT's RPC answers, already parsed from JSON, as records.

Every function takes untrusted values and raises InputMalformed where the form is wrong. Whether
the content makes sense is not judged here, except that a validator set must be one
(ValidatorSetInvalid). Unknown members are passed over: newer engines add some.
"""

from __future__ import annotations

import binascii
import re
from base64 import b64decode
from collections.abc import Callable, Mapping
from typing import Final, TypeVar

from smartcontracts.verify.errors import InputMalformed
from smartcontracts.verify.records import (
    Block,
    BlockId,
    Commit,
    CommitSig,
    Header,
    LightBlock,
    SignedHeader,
    Timestamp,
    Validator,
    ValidatorSet,
)
from smartcontracts.verify.validators import VALIDATORS_MAX, build_validator_set

_Item = TypeVar("_Item")

HASH_BYTES_MAX: Final = 64
SIGNATURE_BYTES_MAX: Final = 4_096
TRANSACTION_BYTES_MAX: Final = 1 << 22
TRANSACTIONS_MAX: Final = 100_000
CHAIN_ID_CHARS_MAX: Final = 100  # above CometBFT's 50, so that the header check names that one

_ED25519_TYPE: Final = "tendermint/PubKeyEd25519"
_INT64_MAX: Final = (1 << 63) - 1
_INT32_MAX: Final = (1 << 31) - 1
_UINT64_MAX: Final = (1 << 64) - 1
_UINT32_MAX: Final = (1 << 32) - 1
_DECIMAL: Final = re.compile(r"-?(0|[1-9][0-9]{0,19})", re.ASCII)
_TIME: Final = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})T([0-9]{2}):([0-9]{2}):([0-9]{2})(?:\.([0-9]{1,9}))?Z",
    re.ASCII,
)
_MONTH_DAYS: Final = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
_DAYS_BEFORE_1970: Final = 719_162  # from 0001-01-01


def parse_light_block(value: object) -> LightBlock:
    """`{signed_header: {header, commit}, validators: [...]}`.

    Raises InputMalformed, ValidatorSetInvalid.
    """
    members = _object(value, "light_block")
    return LightBlock(
        parse_signed_header(_member(members, "signed_header")),
        parse_validators(_member(members, "validators")),
    )


def parse_signed_header(value: object) -> SignedHeader:
    """The `signed_header` of `/commit`."""
    members = _object(value, "signed_header")
    return SignedHeader(parse_header(_member(members, "header")), parse_commit(_member(members, "commit")))


def parse_validators(value: object) -> ValidatorSet:
    """The `validators` of `/validators`, all pages in one list. Raises ValidatorSetInvalid too."""
    return build_validator_set(_list(value, "validators", VALIDATORS_MAX, _validator))


def parse_header(value: object) -> Header:
    """A `header` of `/commit` or `/block`."""
    members = _object(value, "header")
    version = _object(_member(members, "version"), "version")
    hashes = {
        name: _hex(members, name)
        for name in (
            "last_commit_hash",
            "data_hash",
            "validators_hash",
            "next_validators_hash",
            "consensus_hash",
            "app_hash",
            "last_results_hash",
            "evidence_hash",
            "proposer_address",
        )
    }
    return Header(
        version_block=_decimal(version, "block", 0, _UINT64_MAX),
        # Left out where it is 0.
        version_app=_decimal(version, "app", 0, _UINT64_MAX) if "app" in version else 0,
        chain_id=_text(members, "chain_id", CHAIN_ID_CHARS_MAX),
        height=_decimal(members, "height", -_INT64_MAX - 1, _INT64_MAX),
        time=parse_time(_member(members, "time"), "time"),
        last_block_id=parse_block_id(_member(members, "last_block_id")),
        **hashes,
    )


def parse_block_id(value: object) -> BlockId:
    """A `block_id`, also an empty one."""
    members = _object(value, "block_id")
    parts = _object(_member(members, "parts"), "parts")
    return BlockId(_hex(members, "hash"), _number(parts, "total", 0, _UINT32_MAX), _hex(parts, "hash"))


def parse_commit(value: object) -> Commit:
    """A `commit` of `/commit` or a `last_commit` of `/block`."""
    members = _object(value, "commit")
    return Commit(
        _decimal(members, "height", -_INT64_MAX - 1, _INT64_MAX),
        _number(members, "round", -_INT32_MAX - 1, _INT32_MAX),
        parse_block_id(_member(members, "block_id")),
        tuple(_list(_member(members, "signatures"), "signatures", VALIDATORS_MAX, _vote)),
    )


def parse_block(value: object) -> Block:
    """The `block` of `/block`; one with evidence of misbehaviour is refused as not supported."""
    members = _object(value, "block")
    data = _object(_member(members, "data"), "data")
    evidence = _object(_member(members, "evidence"), "evidence")
    if evidence.get("evidence"):
        raise InputMalformed("evidence", "blocks with evidence are not supported")
    transactions = _list(data.get("txs"), "txs", TRANSACTIONS_MAX, _transaction)
    return Block(
        parse_header(_member(members, "header")),
        tuple(transactions),
        parse_commit(_member(members, "last_commit")),
    )


def parse_time(value: object, field: str = "time") -> Timestamp:
    """An instant in UTC with up to nine digits after the point."""
    match = _TIME.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise InputMalformed(field, "not a time of the form 2006-01-02T15:04:05.999999999Z")
    year, month, day, hour, minute, second = (int(part) for part in match.groups()[:6])
    if hour > 23 or minute > 59 or second > 59:
        raise InputMalformed(field, "no such time of day")
    days = _days_since_1970(year, month, day, field)
    nanos = int((match.group(7) or "").ljust(9, "0"))
    return Timestamp(days * 86_400 + hour * 3_600 + minute * 60 + second, nanos)


def _days_since_1970(year: int, month: int, day: int, field: str) -> int:
    """Proleptic Gregorian, as Go counts; without `datetime`, which also reads clocks."""
    leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    if year < 1 or not 1 <= month <= 12:
        raise InputMalformed(field, "no such day")
    if not 1 <= day <= _MONTH_DAYS[month - 1] + (leap and month == 2):
        raise InputMalformed(field, "no such day")
    before = year - 1
    days = before * 365 + before // 4 - before // 100 + before // 400
    days += sum(_MONTH_DAYS[: month - 1]) + (leap and month > 2) + day - 1
    return days - _DAYS_BEFORE_1970


def _validator(value: object) -> Validator:
    members = _object(value, "validator")
    key = _object(_member(members, "pub_key"), "pub_key")
    if key.get("type") != _ED25519_TYPE:
        raise InputMalformed("pub_key.type", f"only {_ED25519_TYPE} is supported")
    return Validator(
        _hex(members, "address"),
        _base64(key.get("value"), "pub_key.value", HASH_BYTES_MAX),
        _decimal(members, "voting_power", -_INT64_MAX - 1, _INT64_MAX),
    )


def _vote(value: object) -> CommitSig:
    members = _object(value, "signature")
    signature = _member(members, "signature")
    return CommitSig(
        _number(members, "block_id_flag", 0, 255),
        _hex(members, "validator_address"),
        parse_time(_member(members, "timestamp"), "timestamp"),
        b"" if signature is None else _base64(signature, "signature", SIGNATURE_BYTES_MAX),
    )


def _transaction(value: object) -> bytes:
    return _base64(value, "txs", TRANSACTION_BYTES_MAX)


def _object(value: object, field: str) -> Mapping[str, object]:
    if not isinstance(value, dict):
        raise InputMalformed(field, "not an object")
    return value


def _member(members: Mapping[str, object], field: str) -> object:
    if field not in members:
        raise InputMalformed(field, "missing")
    return members[field]


def _list(value: object, field: str, limit: int, parse: Callable[[object], _Item]) -> list[_Item]:
    """Go writes an empty list as null."""
    if value is None:
        return []
    if not isinstance(value, list) or len(value) > limit:
        raise InputMalformed(field, f"not a list of at most {limit}")
    return [parse(item) for item in value]


def _text(members: Mapping[str, object], field: str, limit: int) -> str:
    value = _member(members, field)
    if not isinstance(value, str) or len(value) > limit:
        raise InputMalformed(field, f"not a text of at most {limit} characters")
    try:
        value.encode()
    except UnicodeEncodeError as problem:  # a lone surrogate, which JSON's \u lets through
        raise InputMalformed(field, "not Unicode text") from problem
    return value


def _number(members: Mapping[str, object], field: str, low: int, high: int) -> int:
    """A JSON number; bool counts as an integer to Python, not to us."""
    value = _member(members, field)
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise InputMalformed(field, f"not a number from {low} to {high}")
    return value


def _decimal(members: Mapping[str, object], field: str, low: int, high: int) -> int:
    """A number of 64 bits, which CometBFT writes as a string."""
    value = _member(members, field)
    if not isinstance(value, str) or not _DECIMAL.fullmatch(value):
        raise InputMalformed(field, "not a decimal number in a string")
    number = int(value)
    if not low <= number <= high:
        raise InputMalformed(field, f"not a number from {low} to {high}")
    return number


def _hex(members: Mapping[str, object], field: str) -> bytes:
    value = _member(members, field)
    if not isinstance(value, str) or len(value) > 2 * HASH_BYTES_MAX:
        raise InputMalformed(field, f"not hex of at most {HASH_BYTES_MAX} bytes")
    try:
        return binascii.unhexlify(value)
    except ValueError as problem:
        raise InputMalformed(field, "not hex") from problem


def _base64(value: object, field: str, limit: int) -> bytes:
    # Four characters hold three bytes; padding may add two.
    if not isinstance(value, str) or len(value) > limit * 4 // 3 + 4:
        raise InputMalformed(field, f"not base64 of at most {limit} bytes")
    try:
        return b64decode(value, validate=True)
    except ValueError as problem:
        raise InputMalformed(field, "not base64") from problem
