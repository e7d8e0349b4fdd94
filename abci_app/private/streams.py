"""What a connection shows by itself: events, or what each block executed. Each stream gives a few frames a turn."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

from abci_app.queries.blocklog import read_executed, start_after_height
from abci_app.queries.eventlog import end_of, read_events, start_after
from syngraph.v1 import application_pb2 as wire

if TYPE_CHECKING:
    from abci_app.private.endpoint import Endpoint

EVENTS_A_SLICE: Final = 32


class Stream(Protocol):
    """A stream that is open."""

    @property
    def endpoint(self) -> Endpoint:
        """The ledger that it is about."""

    def show(self) -> tuple[list[wire.ApplicationResponse], bool]:
        """The next frames, and whether there are more already. What rejects is over."""


class EventStream:
    """Events after a cursor."""

    def __init__(self, endpoint: Endpoint, asked: wire.StreamEventsRequest) -> None:
        """Rejects with CursorInvalid, CursorPruned, and as `Endpoint.committed`."""
        self.endpoint = endpoint
        self._kinds = frozenset(asked.kinds)
        self._position = start_after(asked.after, endpoint.committed())
        self._begun = bool(asked.after)

    def show(self) -> tuple[list[wire.ApplicationResponse], bool]:
        """Events, and a cursor behind the last block if that ended with none. Rejects with CursorPruned."""
        committed = self.endpoint.committed()
        if not self._begun:
            self._begun = True
            self._position = start_after("", committed)
        if self._position.height > committed.height:
            return [], False
        events, self._position = read_events(self._position, committed, EVENTS_A_SLICE)
        shown = [e for e in events if not self._kinds or e.kind in self._kinds]
        answers = [wire.StreamEventsResponse(event=event) for event in shown]
        more = self._position.height <= committed.height
        if not more and (not shown or shown[-1].height < committed.height):
            answers.append(wire.StreamEventsResponse(cursor=end_of(committed.height)))
        return [wire.ApplicationResponse(event=answer) for answer in answers], more


class BlockStream:
    """What each block after a height executed."""

    def __init__(self, endpoint: Endpoint, asked: wire.StreamBlocksRequest) -> None:
        """Rejects with CursorInvalid, and as `Endpoint.committed`."""
        self.endpoint = endpoint
        self._position = start_after_height(asked.after if asked.HasField("after") else None, endpoint.committed())
        self._begun = False

    def show(self) -> tuple[list[wire.ApplicationResponse], bool]:
        """A frame; the first says where the ledger is. Rejects with CursorPruned."""
        committed = self.endpoint.committed()
        if self._begun and self._position.height > committed.height:
            return [], False
        self._begun = True
        frame, self._position = read_executed(self._position, committed)
        return [wire.ApplicationResponse(block=frame)], self._position.height <= committed.height
