"""The event log: positions in it, and what lies after one."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Final

from abci_app.queries.refusals import CursorInvalid, CursorPruned
from abci_app.store.keys import EVENT_INDEX_BYTES, event_key, parse_event_key
from syngraph.v1.system_pb2 import Event

if TYPE_CHECKING:
    from abci_app.state.committed import Committed

_INDEX_MAX: Final = 256**EVENT_INDEX_BYTES - 1
_CURSOR: Final = re.compile(r"(0|[1-9][0-9]{0,17})/(0|[1-9][0-9]{0,9})", re.ASCII)
NOW: Final = "now"


@dataclass(frozen=True, slots=True)
class Position:
    """The next event to show is the first at or after this place."""

    height: int
    index: int = 0


def start_after(cursor: str, committed: Committed) -> Position:
    """Where a stream begins. Rejects with CursorInvalid, CursorPruned."""
    if not cursor:
        return Position(committed.oldest_event)
    if cursor == NOW:
        return Position(committed.height + 1)
    found = _CURSOR.fullmatch(cursor)
    if found is None or int(found[2]) > _INDEX_MAX or int(found[1]) > committed.height:
        raise CursorInvalid('A cursor is "height/index" as it was given, "now", or empty.', "after")
    height, index = int(found[1]), int(found[2])
    position = Position(height + 1) if index == _INDEX_MAX else Position(height, index + 1)
    return _require_kept(position, committed)


def end_of(height: int) -> str:
    """The cursor after everything of a block."""
    return f"{height}/{_INDEX_MAX}"


def _require_kept(position: Position, committed: Committed) -> Position:
    if position.height < committed.oldest_event:
        raise CursorPruned(
            f"The first events kept are those of height {committed.oldest_event}; read the documents anew.", "after"
        )
    return position


def read_events(position: Position, committed: Committed, limit: int) -> tuple[list[Event], Position]:
    """At most `limit` events from `position` on, and the position after them. Rejects with CursorPruned.

    Whoever reads more slowly than events are given up is told so: no event is passed over in silence.
    """
    _require_kept(position, committed)
    start, stop = event_key(position.height, position.index), event_key(committed.height + 1, 0)
    entries = list(islice(committed.reader.scan(start, stop), limit))
    events = [Event.FromString(value) for _, value in entries]
    if len(entries) < limit:
        return events, Position(committed.height + 1)
    height, index = parse_event_key(entries[-1][0])
    return events, Position(height, index + 1)
