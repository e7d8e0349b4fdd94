"""Messages and records as plain values (what JSON can hold), and messages back from them, strictly.

Integers stay integers, bytes are lower-case hex, names are the fields' own. An unknown name, a value of another type or
a number out of range is refused: nothing is guessed. A proposal has `act_plain` besides: its joint act, as it can be read.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from enum import Enum
from typing import Any, Final

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from smartcontracts.proposal import Proposal
from syngraph.v1.transaction_pb2 import Act

DEPTH_MAX: Final = 32


class PlainInvalid(Exception):
    """The values do not fit the message; `field` is the path to the first that does not."""

    def __init__(self, field: str, sentence: str) -> None:
        """Keep the path."""
        super().__init__(f"{field}: {sentence}" if field else sentence)
        self.field = field
        self.sentence = sentence


def to_plain(value: Any) -> Any:
    """A record, a message, or values of them, as dicts, lists, texts and numbers. Fields without a value are left out."""
    if isinstance(value, Message):
        return {field.name: _field_to_plain(field, got) for field, got in value.ListFields()}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        plain = {f.name: to_plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
        # Who accepts it by its hash must be able to read it.
        return {**plain, "act_plain": _act_to_plain(value.act)} if isinstance(value, Proposal) else plain
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Mapping):
        return {str(key): to_plain(nested) for key, nested in value.items()}
    if isinstance(value, list | tuple):
        return [to_plain(nested) for nested in value]
    return value


def _act_to_plain(encoded: bytes) -> dict[str, Any]:
    act = Act()
    act.ParseFromString(encoded)
    found: dict[str, Any] = to_plain(act)
    return found


def from_plain(message: type[Message], value: object, path: str = "", depth: int = DEPTH_MAX) -> Message:
    """The message that these values describe. Raises PlainInvalid."""
    if not isinstance(value, dict):
        raise PlainInvalid(path, "an object is needed")
    if not depth:
        raise PlainInvalid(path, "nested too deeply")
    built = message()
    fields = message.DESCRIPTOR.fields_by_name
    for name, given in value.items():
        here = f"{path}.{name}" if path else str(name)
        field = fields.get(name)
        if field is None:
            raise PlainInvalid(here, f"there is no such field; there are {', '.join(sorted(fields))}")
        _set(built, field, given, here, depth)
    return built


def _set(built: Message, field: Any, given: object, path: str, depth: int) -> None:
    if field.is_repeated:
        if not isinstance(given, list):
            raise PlainInvalid(path, "a list is needed")
        target = getattr(built, field.name)
        for place, entry in enumerate(given):
            target.append(_value(field, entry, f"{path}[{place}]", depth))
        return
    value = _value(field, given, path, depth)
    if isinstance(value, Message):
        # A message without fields must still be there.
        getattr(built, field.name).SetInParent()
        getattr(built, field.name).CopyFrom(value)
        return
    try:
        setattr(built, field.name, value)
    except ValueError as error:
        raise PlainInvalid(path, "the number is out of range") from error


def _value(field: Any, given: object, path: str, depth: int) -> Any:
    if field.message_type is not None:
        return from_plain(GetMessageClass(field.message_type), given, path, depth - 1)
    if field.type == FieldDescriptor.TYPE_BYTES:
        return _bytes(given, path)
    wanted: type = {FieldDescriptor.CPPTYPE_STRING: str, FieldDescriptor.CPPTYPE_BOOL: bool}.get(field.cpp_type, int)
    if field.enum_type is not None:
        number = field.enum_type.values_by_name.get(str(given))
        if number is None:
            raise PlainInvalid(path, f"one of {', '.join(field.enum_type.values_by_name)} is needed")
        return number.number
    if type(given) is not wanted:
        kind = {str: "a text", bool: "true or false"}.get(wanted, "an integer")
        raise PlainInvalid(path, f"{kind} is needed")
    return given


def _bytes(given: object, path: str) -> bytes:
    if not isinstance(given, str):
        raise PlainInvalid(path, "bytes are written as hex")
    try:
        return bytes.fromhex(given)
    except ValueError as error:
        raise PlainInvalid(path, "bytes are written as hex") from error


def _field_to_plain(field: Any, value: Any) -> Any:
    if field.is_repeated:
        return [to_plain(entry) for entry in value]
    if field.enum_type is not None:
        return field.enum_type.values_by_number[value].name
    return to_plain(value)
