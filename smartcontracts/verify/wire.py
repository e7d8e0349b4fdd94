"""The little of protobuf's wire format that proofs and CometBFT's hashes need.

Writers leave default values out, as proto3 does. The reader is strict: known fields in ascending
order, shortest varints, nothing left over.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

_VARINT: Final = 0
_LENGTH_DELIMITED: Final = 2
_UINT64_MASK: Final = (1 << 64) - 1


class WireError(ValueError):
    """The bytes are not the usual encoding of a message."""


def varint(value: int) -> bytes:
    """`value` as a varint; a negative one as its 64-bit two's complement, ten bytes long."""
    rest = value & _UINT64_MASK
    out = bytearray()
    while rest > 0x7F:
        out.append(0x80 | (rest & 0x7F))
        rest >>= 7
    out.append(rest)
    return bytes(out)


def uint_field(number: int, value: int) -> bytes:
    """Field `number` of an integer or enum type; nothing for 0."""
    return varint(number << 3) + varint(value) if value else b""


def sfixed64_field(number: int, value: int) -> bytes:
    """Field `number` of type sfixed64; nothing for 0."""
    if not value:
        return b""
    return varint((number << 3) | 1) + (value & _UINT64_MASK).to_bytes(8, "little")


def bytes_field(number: int, value: bytes) -> bytes:
    """Field `number` of type bytes or string; nothing if empty."""
    return message_field(number, value) if value else b""


def message_field(number: int, encoded: bytes) -> bytes:
    """Field `number` as a message or an element of a repeated field: written also when empty."""
    return varint((number << 3) | _LENGTH_DELIMITED) + varint(len(encoded)) + encoded


def timestamp(seconds: int, nanos: int) -> bytes:
    """`google.protobuf.Timestamp`."""
    return uint_field(1, seconds) + uint_field(2, nanos)


def read_varint(data: bytes, at: int) -> tuple[int, int]:
    """Value of the varint at offset `at`, and the offset after it. Raises WireError."""
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(data):
            raise WireError("ends inside a number")
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            if byte == 0 and shift:
                raise WireError("a number is not in its shortest form")
            if value > _UINT64_MASK:
                raise WireError("a number is above 64 bits")
            return value, at
    raise WireError("a number is longer than ten bytes")


def read_fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """The fields of a message in the order they stand: number, and integer or bytes.

    Raises WireError on other wire types, descending numbers, and lengths past the end.
    """
    at, last = 0, 0
    while at < len(data):
        tag, at = read_varint(data, at)
        number, kind = tag >> 3, tag & 7
        if number < last or not number:
            raise WireError("fields are not in ascending order")
        last = number
        value, at = read_varint(data, at)
        if kind == _VARINT:
            yield number, value
        elif kind == _LENGTH_DELIMITED:
            if value > len(data) - at:
                raise WireError("a length runs past the end")
            yield number, data[at : at + value]
            at += value
        else:
            raise WireError(f"wire type {kind} is not used here")
