"""A ledger as its node sees it: receipts are asked for as soon as a block tells of them, all at once."""

from __future__ import annotations

import asyncio

import pytest

from node.application_client import ApplicationAway
from node.ledger_link import LedgerLink
from syngraph.v1 import application_pb2 as wire
from syngraph.v1.system_pb2 import Event, Receipt

NAMES = [bytes([n]) * 32 for n in range(1, 5)]


class Application:
    """An application that has receipts, and answers for one when the test says so."""

    def __init__(self):
        self.events = asyncio.Queue()
        self.asked = []
        self.may_answer = asyncio.Event()
        self.away = 0

    async def get_receipt(self, request):
        self.asked.append(request.transaction_id)
        await self.may_answer.wait()
        if self.away:
            self.away -= 1
            raise ApplicationAway
        return wire.GetReceiptResponse(receipt=Receipt(transaction_id=request.transaction_id, height=7))

    async def get_ledger_status(self, request):
        return wire.GetLedgerStatusResponse(status=wire.LedgerStatus(height=6))

    async def list(self, request):
        return wire.ListResponse(height=6)

    async def stream_events(self, request):
        while True:
            yield await self.events.get()

    def tell(self, name, index):
        event = Event(id=f"7/{index}", height=7, transaction_id=name, kind="quote")
        self.events.put_nowait(wire.StreamEventsResponse(event=event))


class Engine:
    async def close(self):
        pass


async def new_to_the_engine():
    return False


@pytest.fixture
async def application():
    return Application()


@pytest.fixture
async def link(application):
    link = LedgerLink("sg_x", "x", application, Engine())
    link._tasks = [asyncio.create_task(link._keep(link._follow_blocks))]
    yield link
    await link.close()


async def until(condition):
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0)


async def test_a_block_of_many_is_asked_about_before_the_first_answer(link, application):
    waiting = [asyncio.create_task(link.wait_for_receipt(name, new_to_the_engine)) for name in NAMES]
    await until(lambda: len(link._waiting) == len(NAMES))
    for index, name in enumerate(NAMES):
        application.tell(name, index)
    await until(lambda: sorted(application.asked) == NAMES)
    application.may_answer.set()
    assert [receipt.transaction_id for receipt in await asyncio.gather(*waiting)] == NAMES


async def test_several_events_of_one_transaction_are_one_question(link, application):
    waiting = asyncio.create_task(link.wait_for_receipt(NAMES[0], new_to_the_engine))
    await until(lambda: link._waiting)
    for index in range(3):
        application.tell(NAMES[0], index)
    await until(lambda: application.events.empty() and link.height == 7)
    application.may_answer.set()
    await waiting
    assert application.asked == NAMES[:1]


async def test_a_receipt_that_an_application_going_away_kept_is_found_at_the_next_block(link, application):
    waiting = asyncio.create_task(link.wait_for_receipt(NAMES[0], new_to_the_engine))
    await until(lambda: link._waiting)
    application.away = 1
    application.may_answer.set()
    application.tell(NAMES[0], 0)
    await until(lambda: application.asked and not link._asked)
    assert not waiting.done()
    application.events.put_nowait(wire.StreamEventsResponse(cursor="8/0"))
    assert (await waiting).height == 7


async def test_closing_leaves_no_question_open(link, application):
    waiting = asyncio.create_task(link.wait_for_receipt(NAMES[0], new_to_the_engine))
    await until(lambda: link._waiting)
    application.tell(NAMES[0], 0)
    await until(lambda: application.asked)
    (question,) = link._asked.values()
    await link.close()
    assert question.cancelled()
    waiting.cancel()
