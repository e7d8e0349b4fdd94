"""Records to bytes and back: the one place that knows protobuf.

A record (frozen dataclass) and its message have the same field names; nesting, tuples and optional records follow the
types. No maps, no unknown fields, and re-encoding a decoded record gives the same bytes (DESIGN section 2). Every text,
list and byte string of a command is bounded here, so that no contract has to.
"""

from __future__ import annotations

import re
import types
import typing
from collections.abc import Callable
from dataclasses import MISSING, Field, dataclass, fields, is_dataclass
from enum import StrEnum
from functools import cache
from itertools import compress
from operator import attrgetter
from typing import Any, Final, TypeVar

from google.protobuf.message import DecodeError, Message

from smartcontracts.kernel import Grpc, Rejected
from syngraph.v1 import (
    agreement_pb2,
    assurance_pb2,
    billing_pb2,
    change_pb2,
    common_pb2,
    internal_change_pb2,
    internal_inquiry_pb2,
    internal_order_pb2,
    internal_release_pb2,
    membership_pb2,
    omni_pb2,
    system_pb2,
    trade_pb2,
    transaction_pb2,
)

T = TypeVar("T")

TEXT_CHARACTERS_MAX: Final = 256
BYTES_MAX: Final = 256 * 1024
LIST_MAX: Final = 1_000
_MODULES: Final = (
    transaction_pb2,
    trade_pb2,
    change_pb2,
    billing_pb2,
    agreement_pb2,
    membership_pb2,
    assurance_pb2,
    omni_pb2,
    internal_change_pb2,
    internal_inquiry_pb2,
    internal_order_pb2,
    internal_release_pb2,
    system_pb2,
    common_pb2,
)


class BytesMalformed(Rejected):
    """Bytes that don't decode as the message they should be, or do so in another form than the canonical one."""

    code = 1111
    grpc = Grpc.INVALID_ARGUMENT


class TextInvalid(Rejected):
    """A text is too long, or holds control, format or private-use characters."""

    code = 1112
    grpc = Grpc.INVALID_ARGUMENT


class ListTooLong(Rejected):
    """A list has more entries than allowed."""

    code = 1113
    grpc = Grpc.INVALID_ARGUMENT


class ValueUnknown(Rejected):
    """A value is not one of those that the field allows."""

    code = 1114
    grpc = Grpc.INVALID_ARGUMENT


class FieldMissing(Rejected):
    """A field that must be given is not."""

    code = 1115
    grpc = Grpc.INVALID_ARGUMENT


class BytesTooLong(Rejected):
    """A byte string is longer than allowed."""

    code = 1116
    grpc = Grpc.INVALID_ARGUMENT


def message_class(name: str) -> type[Message]:
    """The generated class of `syngraph.v1.<name>`."""
    for module in _MODULES:
        found = getattr(module, name, None)
        if found is not None:
            return typing.cast("type[Message]", found)
    raise LookupError(name)


def encode(record: object) -> bytes:
    """The canonical bytes of a record."""
    return to_message(record).SerializeToString(deterministic=True)


def to_message(record: object) -> Message:
    """The record as its protobuf message."""
    plan = _plan(type(record))
    value = plan.to_value(record)
    return value if isinstance(value, Message) else plan.message(**value)


def decode(record_type: type[T], data: bytes, path: str = "") -> T:
    """A record from bytes, strictly; `path` goes before the fields of refusals. Rejects with BytesMalformed and as `from_message`."""
    return from_message(record_type, parse(_plan(record_type).message, data), path)


def from_message(record_type: type[T], message: Message, path: str = "") -> T:
    """A record from a parsed message. Rejects with TextInvalid, ListTooLong, BytesTooLong, ValueUnknown, FieldMissing."""
    return typing.cast("T", _plan(record_type).from_message(message, path))


def parse(message: type[Message], data: bytes) -> Message:
    """A message from bytes that are its canonical encoding. Rejects with BytesMalformed.

    Unknown fields, non-UTF-8 text, trailing bytes and any order or form but protobuf's own are refused: two encodings
    of one act would be two acts.
    """
    parsed = message()
    try:
        parsed.ParseFromString(data)
    except (DecodeError, UnicodeDecodeError) as error:
        raise BytesMalformed(
            f"The bytes are not a {message.DESCRIPTOR.name}; encode it with syngraph.v1.", "body"
        ) from error
    parsed.DiscardUnknownFields()
    if parsed.SerializeToString(deterministic=True) != data:
        raise BytesMalformed(
            f"The bytes are not the canonical encoding of a {message.DESCRIPTOR.name}, or have unknown fields.",
            "body",
        )
    return parsed


def large_bytes(record: object, bytes_min: int) -> list[bytes]:
    """The byte strings of at least `bytes_min` bytes that a record holds, nested ones too, in the order of its encoding."""
    found: list[bytes] = []
    _add_large(record, bytes_min, found)
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """A message that is one oneof, as the name of the field that is given and its encoded message.

    A subclass is named like the message. So a reader needs to know only those choices that it offers.
    """

    name: str
    data: bytes


@dataclass(frozen=True, slots=True)
class _Plan:
    """How one record type is read and written, worked out once."""

    message: type[Message]
    # The message, or what its constructor takes: values by field, nested ones alike. One call builds the whole of it then.
    to_value: Callable[[Any], Message | dict[str, Any]]
    from_message: Callable[[Message, str], Any]


def _plan(record_type: type[Any]) -> _Plan:
    return _build_plan(record_type)  # type: ignore[arg-type]  # mypy takes a type[Any] for unhashable


@cache
def _build_plan(record_type: type[Any]) -> _Plan:
    name = getattr(record_type, "PROTO", None) or record_type.__name__
    message = message_class(name)
    if issubclass(record_type, Choice):
        return _choice_plan(record_type, message)
    hints = typing.get_type_hints(record_type)
    known = {f.name for f in message.DESCRIPTOR.fields}
    record_fields = [f for f in fields(record_type) if f.init]
    extra = {f.name for f in record_fields} ^ known
    if extra:
        raise TypeError(f"{record_type.__name__} and {name} differ in: {', '.join(sorted(extra))}")
    nested = tuple((f.name, _nested_value(hints[f.name])) for f in record_fields if _is_nested(hints[f.name]))
    plain = tuple(f.name for f in record_fields if not _is_nested(hints[f.name]))
    plain_values = _values_of(plain)
    readers = tuple((f.name, _reader(f, hints[f.name])) for f in record_fields)

    def to_value(record: Any) -> dict[str, Any]:
        values = plain_values(record)
        if None in values:
            # The constructor would pass over it as over what is not given.
            raise TypeError(f"a field of {record_type.__name__} that must have a value is None")
        # What is zero or empty is not in the bytes, so it need not be set.
        built = dict(compress(zip(plain, values, strict=True), values))
        for field, value_of in nested:
            value = getattr(record, field)
            if value is not None:
                built[field] = value_of(value)
        return built

    def from_message(parsed: Message, path: str) -> Any:
        return record_type(**{field: read(parsed, path) for field, read in readers})

    return _Plan(message, to_value, from_message)


def _values_of(names: tuple[str, ...]) -> Callable[[Any], tuple[Any, ...]]:
    """From a record to the values of its fields `names`: `attrgetter` as if it gave a tuple for fewer than two, too."""
    if len(names) > 1:
        return attrgetter(*names)
    return lambda record: tuple(getattr(record, name) for name in names)


def _choice_plan(record_type: type[Any], message: type[Message]) -> _Plan:
    (oneof,) = message.DESCRIPTOR.oneofs

    def to_value(record: Choice) -> Message:
        built = message()
        chosen = getattr(built, record.name)
        chosen.SetInParent()
        chosen.MergeFromString(record.data)
        return built

    def from_message(parsed: Message, path: str) -> Choice:
        name = parsed.WhichOneof(oneof.name)
        if name is None:
            raise FieldMissing(f"One field of {message.DESCRIPTOR.name} must be given.", path + oneof.name)
        data = getattr(parsed, name).SerializeToString(deterministic=True)
        return typing.cast("Choice", record_type(name=name, data=data))

    return _Plan(message, to_value, from_message)


def _add_large(record: Any, bytes_min: int, found: list[bytes]) -> None:
    for name, nested, repeated in _bytes_fields(type(record)):  # type: ignore[arg-type]  # as in _plan
        value = getattr(record, name)
        if not value:
            continue
        for one in value if repeated else (value,):
            if nested:
                _add_large(one, bytes_min, found)
            elif len(one) >= bytes_min:
                found.append(one)


@cache
def _bytes_fields(record_type: Any) -> tuple[tuple[str, bool, bool], ...]:
    """(name, whether it is a record or records, whether there are several) of the fields that hold bytes at any depth."""
    if issubclass(record_type, Choice):
        return (("data", False, False),)
    numbers = _plan(record_type).message.DESCRIPTOR.fields_by_name
    hints = typing.get_type_hints(record_type)
    found = []
    for spec in fields(record_type):
        inner, repeated = _inner(hints[spec.name])
        nested = is_dataclass(inner)
        if spec.init and (inner is bytes or (nested and _bytes_fields(inner))):
            found.append((numbers[spec.name].number, spec.name, nested, repeated))
    return tuple((name, nested, repeated) for _, name, nested, repeated in sorted(found))


def _is_nested(hint: Any) -> bool:
    return is_dataclass(_inner(hint)[0])


def _nested_value(hint: Any) -> Callable[[Any], Any]:
    """From a field's record or records to what the constructor takes."""
    inner, repeated = _inner(hint)

    def many(values: Any) -> list[Any]:
        to_value = _plan(inner).to_value
        return [to_value(value) for value in values]

    def one(value: Any) -> Any:
        return _plan(inner).to_value(value)

    return many if repeated else one


def _reader(spec: Field[Any], hint: Any) -> Callable[[Message, str], Any]:
    name = spec.name
    inner, repeated = _inner(hint)
    read = _value_reader(inner, spec)
    if repeated:
        list_max = spec.metadata.get("list_max", LIST_MAX)

        def read_many(parsed: Message, path: str) -> tuple[Any, ...]:
            values = getattr(parsed, name)
            if len(values) > list_max:
                raise ListTooLong(f"At most {list_max} entries are allowed.", path + name)
            return tuple(read(v, f"{path}{name}[{i}]") for i, v in enumerate(values))

        return read_many
    if is_dataclass(inner):
        optional = inner is not hint or spec.default is not MISSING

        def read_one(parsed: Message, path: str) -> Any:
            if parsed.HasField(name):
                return read(getattr(parsed, name), path + name)
            if optional:
                return None
            raise FieldMissing("This field must be given.", path + name)

        return read_one
    if inner is str:
        return _text_reader(name, spec.metadata.get("text_max", TEXT_CHARACTERS_MAX))
    if inner is bytes or (isinstance(inner, type) and issubclass(inner, StrEnum)):
        return lambda parsed, path: read(getattr(parsed, name), path + name)
    return lambda parsed, _path: getattr(parsed, name)


def _text_reader(name: str, text_max: int) -> Callable[[Message, str], str]:
    """Most texts are short and plain: those are seen here, and their path is not put together for nothing."""

    def read_text(parsed: Message, path: str) -> str:
        value: str = getattr(parsed, name)
        if len(value) <= text_max and value.isascii() and value.isprintable():
            return value
        return check_text(value, path + name, text_max)

    return read_text


def _value_reader(inner: Any, spec: Field[Any]) -> Callable[[Any, str], Any]:
    if is_dataclass(inner):
        nested = typing.cast("type[Any]", inner)
        return lambda value, path: _plan(nested).from_message(value, path + ".")
    if isinstance(inner, type) and issubclass(inner, StrEnum):
        return lambda value, path: _enum_value(inner, value, path)
    if inner is str:
        text_max = spec.metadata.get("text_max", TEXT_CHARACTERS_MAX)
        return lambda value, path: check_text(value, path, text_max)
    if inner is bytes:
        bytes_max = spec.metadata.get("bytes_max", BYTES_MAX)
        return lambda value, path: _checked_bytes(value, path, bytes_max)
    return lambda value, _path: value


def _enum_value(options: type[StrEnum], value: str, path: str) -> StrEnum:
    found = options._value2member_map_.get(value)
    if found is None:
        allowed = ", ".join(option.value for option in options)
        raise ValueUnknown(f"Allowed are: {allowed}.", path)
    return typing.cast("StrEnum", found)


def check_text(value: str, path: str, text_max: int = TEXT_CHARACTERS_MAX) -> str:
    """`value`, if it is short enough and every character shows. Rejects with TextInvalid.

    Ranges are spelt out: Python's own tables change with its version, and a rule of the ledger may not.
    """
    if len(value) > text_max:
        raise TextInvalid(f"At most {text_max} characters are allowed.", path)
    if value.isascii() and value.isprintable():
        return value
    found = _UNSHOWN_CHARACTER.search(value)
    if found is not None:
        raise TextInvalid(
            f"Character {found.start() + 1} (U+{ord(found.group()):04X}) is a control, format or private-use character.",
            path,
        )
    return value


# Control, soft hyphen, bidirectional and zero-width marks, joiners, fillers, variation selectors, the empty Braille cell, line
# separators, surrogates, private use, specials, tags: two names that differ in one of these look the same.
_UNSHOWN: Final = (
    (0x0000, 0x001F),
    (0x007F, 0x009F),
    (0x00AD, 0x00AD),
    (0x034F, 0x034F),
    (0x061C, 0x061C),
    (0x115F, 0x1160),
    (0x17B4, 0x17B5),
    (0x180B, 0x180F),
    (0x200B, 0x200F),
    (0x2028, 0x202E),
    (0x2060, 0x206F),
    (0x2800, 0x2800),
    (0x3164, 0x3164),
    (0xD800, 0xDFFF),
    (0xE000, 0xF8FF),
    (0xFDD0, 0xFDEF),
    (0xFE00, 0xFE0F),
    (0xFEFF, 0xFEFF),
    (0xFFA0, 0xFFA0),
    (0xFFF0, 0xFFFF),
    (0x1BCA0, 0x1BCA3),
    (0x1D173, 0x1D17A),
    (0xE0000, 0x10FFFF),
)
# One pass in C: a loop over characters took 3 us for each, on a transaction that nobody need have signed.
_UNSHOWN_CHARACTER: Final = re.compile("[" + "".join(f"{chr(a)}-{chr(b)}" for a, b in _UNSHOWN) + "]", re.ASCII)


def _checked_bytes(value: bytes, path: str, bytes_max: int) -> bytes:
    if len(value) > bytes_max:
        raise BytesTooLong(f"At most {bytes_max} bytes are allowed.", path)
    return value


def _inner(hint: Any) -> tuple[Any, bool]:
    """The type inside `tuple[X, ...]` or `X | None`, and whether it is a tuple."""
    origin = typing.get_origin(hint)
    if origin is tuple:
        return typing.get_args(hint)[0], True
    if origin is types.UnionType or origin is typing.Union:
        return next(a for a in typing.get_args(hint) if a is not type(None)), False
    return hint, False
