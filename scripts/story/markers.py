"""Markers: what stands in an organization's documents and must be with nobody else.

Each document gives at least one: its id, a salt, or whatever text of it is long and has a digit, so that it is no common word.
An id needs none: of a thousand, one or two have no digit by chance.
What the organization has also said on a ledger that it shares is no secret of its internal one, and no marker.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields, is_dataclass
from typing import Any, Final

LENGTH_MIN: Final = 16
_DIGIT: Final = re.compile(rb"[0-9]")
_ID: Final = re.compile(rb"[a-z]{3}_[a-z2-7]{32}")


@dataclass(frozen=True, slots=True)
class Marked:
    """A document and its markers."""

    kind: str
    id: str
    markers: frozenset[bytes]


def markers_of(record: Any, outside: bytes) -> frozenset[bytes]:
    """Values of a record that tell it apart and do not stand in `outside`."""
    return frozenset(value for value in values(record) if _is_telling(value) and value not in outside)


def values(value: Any) -> Iterator[bytes]:
    """Every text and every string of bytes in a record, at any depth."""
    if isinstance(value, bytes):
        yield value
    elif isinstance(value, str):
        yield value.encode()
    elif is_dataclass(value) and not isinstance(value, type):
        for one in fields(value):
            yield from values(getattr(value, one.name))
    elif isinstance(value, tuple):
        for entry in value:
            yield from values(entry)


def plain(documents: Iterable[Any]) -> bytes:
    """Everything that these documents say, one after the other."""
    return b"\x00".join(value for document in documents for value in values(document))


def _is_telling(value: bytes) -> bool:
    is_word = _DIGIT.search(value) is None and value.isascii() and not _ID.fullmatch(value)
    return len(value) >= LENGTH_MIN and not is_word
