"""Hypothesis strategies for records, made from their types and the protobuf fields they are stored in."""

from __future__ import annotations

import typing
from dataclasses import MISSING, fields, is_dataclass
from enum import StrEnum
from types import UnionType

from hypothesis import strategies as st

from smartcontracts import codec

INTEGERS = {
    "TYPE_INT64": st.integers(-(2**63), 2**63 - 1),
    "TYPE_UINT64": st.integers(0, 2**64 - 1),
    "TYPE_UINT32": st.integers(0, 2**32 - 1),
    "TYPE_INT32": st.integers(-(2**31), 2**31 - 1),
}
# A few characters of one to four bytes: what the codec refuses has tests of its own.
ALPHABET = 'aZ9 /"\u00e9\u65e5\U0001f44d'


def records(record_type: type, **fixed: object) -> st.SearchStrategy:
    """Any value of the record's fields, `fixed` ones as given."""
    if issubclass(record_type, codec.Choice):
        return _choices(record_type)
    message = codec._plan(record_type).message.DESCRIPTOR
    hints = typing.get_type_hints(record_type)
    made = {
        spec.name: st.just(fixed[spec.name])
        if spec.name in fixed
        else _values(hints[spec.name], message.fields_by_name[spec.name], spec)
        for spec in fields(record_type)
        if spec.init
    }
    return st.builds(record_type, **made)


def _choices(record_type: type) -> st.SearchStrategy:
    message = codec._plan(record_type).message.DESCRIPTOR
    (oneof,) = message.oneofs
    names = st.sampled_from([f.name for f in oneof.fields])
    return st.builds(record_type, name=names, data=st.just(b""))


def _values(hint: object, proto: object, spec: object) -> st.SearchStrategy:
    origin = typing.get_origin(hint)
    if origin is tuple:
        inner = _values(typing.get_args(hint)[0], proto, spec)
        return st.lists(inner, max_size=min(3, spec.metadata.get("list_max", 3))).map(tuple)
    optional = origin in (UnionType, typing.Union)
    if optional:
        hint = next(a for a in typing.get_args(hint) if a is not type(None))
    if is_dataclass(hint):
        return st.none() | records(hint) if optional or spec.default is None else records(hint)
    if issubclass(hint, StrEnum):
        return st.sampled_from(hint)
    if hint is str:
        return st.text(ALPHABET, max_size=min(6, spec.metadata.get("text_max", 6)))
    if hint is bytes:
        return st.binary(max_size=min(40, spec.metadata.get("bytes_max", 40)))
    if hint is bool:
        return st.booleans()
    assert hint is int, (hint, spec.default is MISSING)
    kind = next(k for k, v in type(proto).__dict__.items() if k.startswith("TYPE_") and v == proto.type)
    return INTEGERS[kind]
