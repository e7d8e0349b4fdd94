"""Who is stopped stops: no cancellation is lost to what comes at the same moment, or a node that ends would wait for ever."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from node.agents.client_ports import SystemClock
from node.api.access import Changes
from node.application_client import ApplicationClient
from syngraph.v1 import application_pb2 as wire

LONG_S = 3_600
# A cancellation may come in any of the loop's rounds between the news and the one who waits for it.
ROUNDS = range(6)


async def test_a_question_is_cancelled_though_its_answer_has_just_come(tmp_path):
    async def silent(reader, writer):
        with contextlib.closing(writer):
            await reader.read()

    listening = await asyncio.start_unix_server(silent, tmp_path / "app.sock")
    client = ApplicationClient(tmp_path / "app.sock", LONG_S)
    try:
        asking = asyncio.create_task(client.get(wire.GetRequest(kind="order", id="x")))
        while not client._waiting:
            await asyncio.sleep(0)
        await asyncio.sleep(0)
        client._take(wire.ApplicationResponse(sequence=1, get=wire.GetResponse(height=7)))
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
    finally:
        await client.close()
        listening.close()
        await listening.wait_closed()


class Clock:
    def __init__(self):
        self.clock, self.event = SystemClock(), asyncio.Event()

    async def wait(self):
        await self.clock.wait(self.event, self.clock.now_ms() + LONG_S * 1_000)
        self.event.clear()

    def tell(self):
        self.event.set()


class Ledgers:
    def __init__(self):
        self.changes = Changes()

    async def wait(self):
        await self.changes.after(self.changes.count, LONG_S)

    def tell(self):
        self.changes.tell()


@pytest.mark.parametrize("rounds", ROUNDS)
@pytest.mark.parametrize("waiter", [Clock, Ledgers])
async def test_who_waits_again_and_again_ends_when_cancelled_though_there_is_news(waiter, rounds):
    one = waiter()

    async def follow():
        while True:
            await one.wait()

    following = asyncio.create_task(follow())
    await asyncio.sleep(0.01)
    one.tell()
    for _ in range(rounds):
        await asyncio.sleep(0)
    following.cancel()
    done, _ = await asyncio.wait((following,), timeout=30)
    assert done
    assert following.cancelled()
