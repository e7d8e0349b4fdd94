"""Canonical JSON: the one form in which a Sonata request is kept, so that equal requests have equal bytes.

UTF-8, keys sorted by code point, no white space, no doubled keys, numbers as plain decimals without exponent, leading or
trailing zeros; at most 256 KiB and 32 levels. Contracts never calculate with it. notes: sonata; Req: O-04.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from json.encoder import encode_basestring
from typing import Final, NoReturn

from smartcontracts.kernel import Grpc, Rejected

JSON_BYTES_MAX: Final = 256 * 1024
JSON_LEVELS_MAX: Final = 32
NUMBER_DIGITS_MAX: Final = 40

_NUMBER: Final = re.compile(r"(-?)([0-9]+)(?:\.([0-9]+))?(?:[eE]([+-]?[0-9]{1,4}))?", re.ASCII)
# A string that is not closed runs to the end, once: the JSON reader refuses it, and nothing is scanned twice.
_STRING_OR_BRACKET: Final = re.compile(r'"(?:[^"\\]|\\.)*+"?|[\[\]{}]', re.ASCII | re.DOTALL)

# The quick way of `require_canonical`: texts of canonical tokens without white space. Rarer forms take the slow way:
# brackets or \u in strings, numbers of more than 18 digits on a side.
_PLAIN: Final = r'[^"\\\x00-\x1f\[\]{}]*+'
_QUICK_STRING: Final = rf'"{_PLAIN}(?:\\["\\bfnrt]{_PLAIN})*+"'
_QUICK_NUMBER: Final = r"(?:-?(?:0\.[0-9]{0,17}[1-9]|[1-9][0-9]{0,17}(?:\.[0-9]{0,17}[1-9])?)|0)(?=[,\]}]|\Z)"
_QUICK: Final = re.compile(
    rf"(?:{_QUICK_STRING}[\[\]{{}},:]*+|[\[\]{{}},:]++|{_QUICK_NUMBER}|true|false|null)*+", re.ASCII
)
_BRACES_AS_BRACKETS: Final = bytes.maketrans(b"{}", b"[]")
_NO_BRACKETS: Final = bytes(byte for byte in range(256) if byte not in b"[]{}")


class JsonMalformed(Rejected):
    """The text is not JSON, or not UTF-8."""

    code = 1201
    grpc = Grpc.INVALID_ARGUMENT


class JsonTooLarge(Rejected):
    """The JSON is over 256 KiB."""

    code = 1202
    grpc = Grpc.INVALID_ARGUMENT


class JsonTooDeep(Rejected):
    """The JSON is nested deeper than 32 levels."""

    code = 1203
    grpc = Grpc.INVALID_ARGUMENT


class JsonKeyDoubled(Rejected):
    """An object has the same key twice."""

    code = 1204
    grpc = Grpc.INVALID_ARGUMENT


class JsonNumberInvalid(Rejected):
    """A number is not finite, or has more than 40 digits when written out."""

    code = 1205
    grpc = Grpc.INVALID_ARGUMENT


class JsonNotCanonical(Rejected):
    """The JSON is valid, but not in canonical form."""

    code = 1206
    grpc = Grpc.INVALID_ARGUMENT


class Number(str):
    """A JSON number as its canonical text: never a float, and never equal to a string."""

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        return type(other) is Number and str.__eq__(self, other)

    def __ne__(self, other: object) -> bool:
        return not self == other

    __hash__ = str.__hash__


Json = None | bool | str | Number | list["Json"] | dict[str, "Json"]


def canonical(data: bytes, field: str) -> bytes:
    """`data` brought into canonical form. Rejects with the first of: JsonTooLarge, JsonMalformed, JsonTooDeep, JsonKeyDoubled, JsonNumberInvalid."""
    return dump(load(data, field))


def values_in(data: bytes) -> int:
    """At least as many values as it has, each of which takes time to read; more if texts have commas or brackets."""
    return sum(data.count(mark) for mark in (b",", b"[", b"{"))


def require_canonical(data: bytes, field: str) -> Json:
    """The value, if `data` is canonical already. Rejects as `canonical`, and with JsonNotCanonical."""
    quick = _load_quick(data)
    if not isinstance(quick, _Unsure):
        return quick
    value = load(data, field)
    if dump(value) != data:
        raise JsonNotCanonical(
            "Keys must be sorted, numbers plain, and white space left out; `ledgers` has a function for it.", field
        )
    return value


def load(data: bytes, field: str) -> Json:
    """The value of a JSON text; numbers as `Number`. Rejects as `canonical`."""
    if len(data) > JSON_BYTES_MAX:
        raise JsonTooLarge(f"At most {JSON_BYTES_MAX} bytes of JSON are allowed.", field)
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise JsonMalformed(f"Byte {error.start} is not UTF-8.", field) from error
    _require_shallow(text, field)
    try:
        value: Json = _decoder(field).decode(text)
    except json.JSONDecodeError as error:
        raise JsonMalformed(f"At character {error.pos}: {error.msg}.", field) from error
    if "\\u" in text:
        _require_encodable(value, field)
    return value


class _Unsure:
    """What the quick way answers where it can't tell."""


_UNSURE: Final = _Unsure()


class _NotQuick(Exception):
    """An object's keys are not sorted, one is doubled, or a token is no JSON."""


def _load_quick(data: bytes) -> Json | _Unsure:
    """The value, if the text is certainly canonical: a fifth of the slow way's time. Never answers for a text that it refuses."""
    if len(data) > JSON_BYTES_MAX:
        return _UNSURE
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        return _UNSURE
    # Brackets inside strings don't match _QUICK, so all that are left stand for levels.
    if _QUICK.fullmatch(text) is None or not _is_shallow(data):
        return _UNSURE
    try:
        value: Json = _QUICK_DECODER.decode(text)
    except (json.JSONDecodeError, _NotQuick):
        return _UNSURE
    return value


def _is_shallow(data: bytes) -> bool:
    """Whether brackets alone nest at most 32 deep: each pass takes away the innermost level."""
    brackets = data.translate(_BRACES_AS_BRACKETS, _NO_BRACKETS)
    for _ in range(JSON_LEVELS_MAX):
        if not brackets:
            return True
        brackets = brackets.replace(b"[]", b"")
    return not brackets


def _ascending(items: list[tuple[str, Json]]) -> dict[str, Json]:
    built = dict(items)
    if len(items) > 1:
        keys = list(built)
        if len(keys) != len(items) or keys != sorted(keys):
            raise _NotQuick
    return built


def _no_constant(_: str) -> NoReturn:
    raise _NotQuick


_QUICK_DECODER: Final = json.JSONDecoder(
    object_pairs_hook=_ascending, parse_float=Number, parse_int=Number, parse_constant=_no_constant
)


def dump(value: Json) -> bytes:
    """The canonical bytes of a value."""
    parts: list[str] = []
    _dump(value, parts.append)
    return "".join(parts).encode("utf-8")


def _dump(value: Json, put: Callable[[str], None]) -> None:
    if isinstance(value, Number):
        put(str(value))
    elif isinstance(value, str):
        put(encode_basestring(value))
    elif isinstance(value, dict):
        opening = "{"
        for key in sorted(value):
            put(f"{opening}{encode_basestring(key)}:")
            _dump(value[key], put)
            opening = ","
        put("}" if value else "{}")
    elif isinstance(value, list):
        opening = "["
        for item in value:
            put(opening)
            _dump(item, put)
            opening = ","
        put("]" if value else "[]")
    elif value is None:
        put("null")
    else:
        put("true" if value else "false")


def _require_shallow(text: str, field: str) -> None:
    """Counts brackets outside strings before anything recurses."""
    level = 0
    for match in _STRING_OR_BRACKET.finditer(text):
        token = match.group()
        if token in ("[", "{"):
            level += 1
            if level > JSON_LEVELS_MAX:
                raise JsonTooDeep(f"At most {JSON_LEVELS_MAX} levels are allowed.", field)
        elif token in ("]", "}"):
            level -= 1


def _require_encodable(value: Json, field: str) -> None:
    """An escape can spell half of a surrogate pair, which UTF-8 has no bytes for."""
    try:
        dump(value)
    except UnicodeEncodeError as error:
        raise JsonMalformed("A string holds half of a surrogate pair.", field) from error


def _decoder(field: str) -> json.JSONDecoder:
    def number(text: str) -> Number:
        return Number(_plain_number(text, field))

    def constant(name: str) -> NoReturn:
        raise JsonNumberInvalid(f"{name} is not a JSON number.", field)

    def pairs(items: list[tuple[str, Json]]) -> dict[str, Json]:
        built = dict(items)
        if len(built) != len(items):
            raise JsonKeyDoubled(f"The key {_first_doubled(items)!r} stands twice in one object.", field)
        return built

    return json.JSONDecoder(object_pairs_hook=pairs, parse_float=number, parse_int=number, parse_constant=constant)


def _first_doubled(items: list[tuple[str, Json]]) -> str:
    seen: dict[str, None] = {}
    for key, _ in items:
        if key in seen:
            return key
        seen[key] = None
    return ""


def _plain_number(text: str, field: str) -> str:
    """1.50e1 is "15", -0.0 is "0". Rejects with JsonNumberInvalid."""
    match = _NUMBER.fullmatch(text)
    if match is None or len(text) > 4 * NUMBER_DIGITS_MAX:
        raise JsonNumberInvalid(f"A number may have at most {NUMBER_DIGITS_MAX} digits.", field)
    sign, whole, fraction, exponent = match[1], match[2], match[3] or "", match[4] or "0"
    digits = (whole + fraction).lstrip("0")
    if not digits:
        return "0"
    point = len(digits) - len(fraction) + int(exponent)
    if not -NUMBER_DIGITS_MAX <= point <= NUMBER_DIGITS_MAX:
        raise JsonNumberInvalid(f"A number may have at most {NUMBER_DIGITS_MAX} digits.", field)
    if point <= 0:
        digits, point = "0" * (1 - point) + digits, 1
    digits = digits.ljust(point, "0")
    rest = digits[point:].rstrip("0")
    plain = digits[:point] + ("." + rest if rest else "")
    if len(plain) > NUMBER_DIGITS_MAX + 1:
        raise JsonNumberInvalid(f"A number may have at most {NUMBER_DIGITS_MAX} digits.", field)
    return sign + plain
