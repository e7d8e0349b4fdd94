"""Past events: everything that is kept up to now, and an end, though the node's stream has none and a ledger may sleep for days."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest

from ledgers.client.ledger import Ledger
from syngraph.v1 import application_pb2 as wire
from syngraph.v1.system_pb2 import Event

NEVER_S = 30


class Calls:
    """A node whose ledger sleeps at `height`: it tells events as the application does, then nothing more."""

    def __init__(self, height, *happened):
        self.height, self.happened = height, happened
        self.streams = self.closed = 0

    async def call(self, method, request):
        assert method == "GetAppHash"
        return wire.GetAppHashResponse(height=self.height, app_hash=b"")

    async def stream(self, method, request):
        assert method == "StreamEvents"
        self.streams += 1
        try:
            last = tuple(int(part) for part in (request.after or "0/0").split("/"))
            shown = 0
            for height, index, kind in self.happened:
                if (height, index) > last and kind in request.kinds:
                    shown = height
                    yield wire.StreamEventsResponse(event=Event(id=f"{height}/{index}", height=height, kind=kind))
            if shown < self.height:
                yield wire.StreamEventsResponse(cursor=f"{self.height}/65535")
            await asyncio.Event().wait()
        finally:
            self.closed += 1


def ledger(calls):
    status = SimpleNamespace(ledger_id="sg_1", name="pair", kind="bilateral", contracts_version=1)
    return Ledger(calls, (), status)


@pytest.mark.parametrize(
    ("happened", "told"),
    [
        ((), []),
        (((2, 1, "order"),), ["2/1"]),
        (((2, 1, "order"), (9, 1, "quote")), ["2/1"]),
        (((2, 1, "order"), (2, 2, "order"), (9, 1, "order")), ["2/1", "2/2", "9/1"]),
        (((9, 1, "order"), (9, 2, "quote"), (9, 3, "order")), ["9/1", "9/3"]),
    ],
)
async def test_a_sleeping_ledgers_events_are_told_to_the_last_and_then_it_ends(happened, told):
    calls = Calls(9, *happened)
    async with asyncio.timeout(NEVER_S):
        assert [event.id async for event in ledger(calls).past_events(("order",))] == told
    assert calls.closed == calls.streams > 0


async def test_what_happens_meanwhile_is_not_past():
    calls = Calls(9, (3, 1, "order"), (10, 1, "order"), (11, 1, "order"))
    async with asyncio.timeout(NEVER_S):
        assert [event.id async for event in ledger(calls).past_events(("order",))] == ["3/1"]
    assert calls.closed == calls.streams == 1
