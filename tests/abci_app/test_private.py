"""The private socket: answers in order, streams that resume, refusals as data, and nothing a request can break."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from pathlib import Path

import pytest

from abci_app.private.connection import REQUEST_BYTES_MAX, STREAMS_MAX
from abci_app.private.endpoint import Endpoint
from abci_app.private.service import PrivateService
from abci_app.private.streams import EventStream
from abci_app.queries import refusals as q
from abci_app.server import Slices
from abci_app.server.pacing import READ_AHEAD_BYTES
from ledgers.framing import FrameDecoder, encode_frame
from syngraph.v1 import application_pb2 as wire
from syngraph.v1.system_pb2 import Receipt
from tests.world import World, quiet_log, with_parameters


class Client:
    """The node's end of the socket."""

    def __init__(self, path):
        self.path = path
        self.decoder = FrameDecoder()
        self.sequence = 0

    async def __aenter__(self):
        self.reader, self.writer = await asyncio.open_unix_connection(str(self.path))
        return self

    async def __aexit__(self, *_):
        self.writer.close()

    def send(self, sequence=None, **request):
        if sequence is None:
            self.sequence += 1
            sequence = self.sequence
        self.writer.write(encode_frame(wire.ApplicationRequest(sequence=sequence, **request).SerializeToString()))
        return sequence

    async def receive(self):
        while (payload := self.decoder.next_frame()) is None:
            data = await asyncio.wait_for(self.reader.read(65_536), 60)
            if not data:
                raise EOFError
            self.decoder.feed(data)
        return wire.ApplicationResponse.FromString(payload)

    async def ask(self, **request):
        sequence = self.send(**request)
        answer = await self.receive()
        assert answer.sequence == sequence
        return answer


@contextlib.asynccontextmanager
async def serving(world):
    """A ledger on a socket of a short path."""
    with tempfile.TemporaryDirectory() as directory:
        Path(directory).chmod(0o700)
        world.path = Path(directory) / "app.sock"
        world.endpoint = Endpoint(world.ledger_id, "acme-alpha", world.app)
        slices = Slices(asyncio.get_running_loop())
        service = PrivateService(world.path, (world.endpoint,), slices=slices, log=quiet_log())
        world.app._on_commit = lambda committed: service.block_committed(committed.ledger_id)
        await service.start()
        yield world
        await service.close()
        assert not world.path.exists()


@pytest.fixture
async def served():
    async with serving(World(names=("acme",))) as world:
        yield world


async def test_each_request_has_its_answer_in_order(served):
    receipt = served.execute("open plain 3600000")[0]
    document_id, name = receipt.documents[0].id, receipt.transaction_id
    raw = served.program("refuse")
    async with Client(served.path) as client:
        asked = [
            client.send(get=wire.GetRequest(kind="counter", id=document_id)),
            client.send(list=wire.ListRequest(filter=wire.Filter(kind="counter"))),
            client.send(prove=wire.ProveRequest(kind="counter", id=document_id)),
            client.send(simulate=wire.SimulateRequest(transaction=raw)),
            client.send(get_receipt=wire.GetReceiptRequest(transaction_id=name)),
            client.send(get_transaction=wire.GetTransactionRequest(transaction_id=name)),
            client.send(get_ledger_status=wire.GetLedgerStatusRequest(ledger_id=served.ledger_id)),
            client.send(get_app_hash=wire.GetAppHashRequest(height=1)),
        ]
        answers = [await client.receive() for _ in asked]
    assert [a.sequence for a in answers] == asked
    assert [a.WhichOneof("response") for a in answers] == [
        "get",
        "list",
        "prove",
        "simulate",
        "get_receipt",
        "get_transaction",
        "get_ledger_status",
        "get_app_hash",
    ]
    assert answers[0].get.document == answers[1].list.documents[0] == answers[2].prove.document
    assert answers[3].simulate.receipt.name == "REFUSED"
    assert answers[4].get_receipt.receipt == answers[5].get_transaction.receipt
    status = answers[6].get_ledger_status.status
    assert (status.state, status.name, status.height) == ("running", "acme-alpha", served.committed.height)
    assert status.next_due_ms == served.committed.next_due_ms()


async def test_refusals_are_data_and_the_connection_goes_on(served):
    async with Client(served.path) as client:
        for request, refusal in (
            ({"get": wire.GetRequest(kind="counter", id="none")}, q.DocumentUnknown),
            ({"get": wire.GetRequest(kind="counter", id="none", ledger_id="sg_other")}, q.LedgerUnknown),
            ({"list": wire.ListRequest(filter=wire.Filter(kind="none"))}, q.KindUnknown),
            ({"get_receipt": wire.GetReceiptRequest(transaction_id=b"")}, q.TransactionUnknown),
            ({"stream_events": wire.StreamEventsRequest(after="x")}, q.CursorInvalid),
            ({}, q.RequestMalformed),
        ):
            answer = await client.ask(**request)
            assert (answer.refusal.code, answer.refusal.name) == (refusal.code, refusal.refusal_name())
            assert answer.refusal.sentence
            assert answer.WhichOneof("response") is None


async def test_a_query_that_fails_is_refused_and_logged_and_nothing_else_happens(served, monkeypatch):
    def fail(*_):
        raise ZeroDivisionError

    monkeypatch.setattr("abci_app.queries.reads.get", fail)
    async with Client(served.path) as client:
        answer = await client.ask(get=wire.GetRequest(kind="counter", id="x"))
        assert answer.refusal.code == q.QueryFailed.code
        assert (await client.ask(get_app_hash=wire.GetAppHashRequest())).get_app_hash.height


async def test_garbage_ends_its_connection_and_no_other(served):
    async with Client(served.path) as good:
        for garbage in (b"\xff" * 100, encode_frame(b"\xff\xff\xff"), b"\x80\x80\x80\x80\x80\x80\x01"):
            async with Client(served.path) as bad:
                bad.writer.write(garbage)
                with pytest.raises((EOFError, ConnectionResetError)):
                    await bad.receive()
        assert (await good.ask(get_app_hash=wire.GetAppHashRequest())).get_app_hash.height


async def test_a_stream_shows_what_was_and_then_each_block_as_it_comes(served):
    served.execute("open plain 3600000", "open plain 3600000")
    async with Client(served.path) as client:
        sequence = client.send(stream_events=wire.StreamEventsRequest())
        first, second = await client.receive(), await client.receive()
        assert [first.event.event.id, second.event.event.id] == ["2/0", "2/1"]
        assert (await client.receive()).event.cursor.startswith("3/")
        served.execute("open plain 3600000")
        third = await client.receive()
        assert (third.sequence, third.event.event.id) == (sequence, "4/0")
        assert (await client.receive()).event.cursor


async def test_a_stream_resumes_after_an_event_a_cursor_or_now(served):
    served.execute("open plain 3600000", "open plain 3600000")
    async with Client(served.path) as client:
        client.send(stream_events=wire.StreamEventsRequest(after="2/0"))
        assert (await client.receive()).event.event.id == "2/1"
        cursor = (await client.receive()).event.cursor
        client.send(stream_events=wire.StreamEventsRequest(after=cursor))
        now = client.send(stream_events=wire.StreamEventsRequest(after="now", kinds=["counter"]))
        none = client.send(stream_events=wire.StreamEventsRequest(after="now", kinds=["member"]))
        await asyncio.sleep(0.05)
        served.execute("open plain 3600000")
        shown = {}
        for _ in range(7):
            answer = await client.receive()
            shown.setdefault(answer.sequence, []).append(answer.event.event.id or "cursor")
        assert shown[1] == shown[2] == shown[now] == ["4/0", "cursor"]
        assert shown[none] == ["cursor"]


def shown(blocks):
    """(height, receipt's name) of everything executed in these frames."""
    return [(b.height, Receipt.FromString(e.receipt).name) for b in blocks for e in b.executed]


async def until_complete(client):
    frames = [(await client.receive()).block]
    while not frames[-1].complete:
        frames.append((await client.receive()).block)
    return frames


async def test_a_stream_of_blocks_begins_with_the_height_and_then_shows_what_each_executed(served):
    served.execute("open plain 3600000")
    height = served.committed.height
    async with Client(served.path) as client:
        sequence = client.send(stream_blocks=wire.StreamBlocksRequest())
        first = await client.receive()
        assert (first.sequence, first.block.height, first.block.complete) == (sequence, height, True)
        assert not first.block.executed
        receipts = served.execute("open plain 3600000", "refuse")
        (block,) = await until_complete(client)
        assert {e.transaction_id for e in block.executed} == {r.transaction_id for r in receipts}
        assert sorted(shown([block])) == [(height + 1, "OK"), (height + 1, "REFUSED")]
        assert [Receipt.FromString(e.receipt).index for e in block.executed] == [1, 2]


async def test_a_block_of_many_is_shown_in_frames_and_the_last_says_so(served):
    async with Client(served.path) as client:
        client.send(stream_blocks=wire.StreamBlocksRequest())
        height = (await client.receive()).block.height
        receipts = served.execute(*["refuse"] * 130)
        frames = await until_complete(client)
        assert [(f.height, len(f.executed)) for f in frames] == [(height + 1, 64), (height + 1, 64), (height + 1, 2)]
        assert {e.transaction_id for f in frames for e in f.executed} == {r.transaction_id for r in receipts}


async def test_a_stream_of_blocks_resumes_after_a_height_and_passes_over_blocks_that_executed_nothing(served):
    heights = []
    for text in ("open plain 3600000", "refuse", "refuse"):
        served.execute(text)
        heights.append(next(b.height for b in reversed(served.consensus.blocks) if len(b.txs) > 1))
    async with Client(served.path) as client:
        client.send(stream_blocks=wire.StreamBlocksRequest(after=heights[0]))
        frames = [(await client.receive()).block]
        while frames[-1].height < served.committed.height:
            frames.append((await client.receive()).block)
    assert shown(frames) == [(heights[1], "REFUSED"), (heights[2], "REFUSED")]
    assert served.committed.height > heights[2]
    assert all(frame.complete for frame in frames)


async def test_invalid_heights_to_resume_after_are_refused_and_the_connection_goes_on():
    async with serving(World(names=("acme",), parameters=with_parameters(events_kept_blocks=100))) as served:
        while served.committed.height < 105:
            served.execute("refuse")
        pruned = served.committed.oldest_event - 2
        async with Client(served.path) as client:
            for after, refusal in ((-1, q.CursorInvalid), (10_000, q.CursorInvalid), (pruned, q.CursorPruned)):
                answer = await client.ask(stream_blocks=wire.StreamBlocksRequest(after=after))
                assert answer.refusal.code == refusal.code
            client.send(stream_blocks=wire.StreamBlocksRequest(after=pruned + 1))
            assert (await client.receive()).block.height > pruned + 1


def test_a_stream_that_is_slower_than_events_are_given_up_ends_and_passes_over_none():
    """It went on with what was left, and nobody could know that events were missing."""
    world = World(names=("acme",), parameters=with_parameters(events_kept_blocks=100))
    endpoint = Endpoint(world.ledger_id, "x", world.app)
    slow, fresh = (
        EventStream(endpoint, wire.StreamEventsRequest(after=after)) for after in (f"{world.committed.height}/0", "")
    )
    while world.committed.oldest_event <= 3:
        world.execute("open plain 3600000")
    with pytest.raises(q.CursorPruned):
        slow.show()
    # From the first event on that there is, whichever that is.
    frames, _ = fresh.show()
    assert frames[0].event.event.height >= world.committed.oldest_event


async def test_a_cancelled_stream_shows_nothing_more(served):
    async with Client(served.path) as client:
        sequence = client.send(stream_events=wire.StreamEventsRequest(after="now"))
        client.send(sequence, cancel=sequence)
        assert (await client.ask(get_app_hash=wire.GetAppHashRequest())).get_app_hash.height == 1
        served.execute("open plain 3600000")
        assert (await client.ask(get_app_hash=wire.GetAppHashRequest())).get_app_hash.height == 3


async def test_streams_of_a_connection_are_bounded(served):
    async with Client(served.path) as client:
        for _ in range(STREAMS_MAX):
            client.send(stream_events=wire.StreamEventsRequest(after="now"))
        answer = await client.ask(stream_events=wire.StreamEventsRequest(after="now"))
        assert answer.refusal.code == q.TooManyStreams.code


async def test_a_reader_that_does_not_read_holds_nobody_up(served):
    served.execute("grow 200000")
    async with Client(served.path) as slow, Client(served.path) as quick:
        for _ in range(300):
            slow.send(list=wire.ListRequest(filter=wire.Filter(kind="counter")))
        for _ in range(20):
            assert (await quick.ask(get_app_hash=wire.GetAppHashRequest())).get_app_hash.height
        for _ in range(300):
            assert len((await slow.receive()).list.documents) == 1


@pytest.mark.parametrize(
    "size", [READ_AHEAD_BYTES - 100, READ_AHEAD_BYTES + 1, 524_288, 1_048_576, REQUEST_BYTES_MAX - 100]
)
async def test_a_request_larger_than_what_is_read_ahead_is_answered_and_the_next_one_too(served, size):
    """It had to be whole to be answered, and reading had stopped before it was: the node never heard from its application again."""
    async with Client(served.path) as client:
        large = await client.ask(simulate=wire.SimulateRequest(transaction=bytes(size)))
        assert large.simulate.receipt.name in ("TRANSACTION_TOO_LARGE", "TRANSACTION_MALFORMED")
        # Two at once: the second one waits in what was read.
        asked = [client.send(simulate=wire.SimulateRequest(transaction=bytes(size))) for _ in range(2)]
        assert [(await client.receive()).sequence for _ in asked] == asked
        assert (await client.ask(get_app_hash=wire.GetAppHashRequest())).get_app_hash.height


async def test_requests_beyond_the_cap_end_their_connection_and_no_other(served):
    async with Client(served.path) as large, Client(served.path) as other:
        large.send(simulate=wire.SimulateRequest(transaction=bytes(REQUEST_BYTES_MAX + 1)))
        with pytest.raises((EOFError, ConnectionError)):
            await large.receive()
        assert (await other.ask(get_app_hash=wire.GetAppHashRequest())).get_app_hash.height


async def test_a_long_list_yields(served):
    """Other connections are answered between the slices of a page."""
    for _ in range(10):
        served.execute("many 100")
    async with Client(served.path) as one, Client(served.path) as other:
        one.send(list=wire.ListRequest(filter=wire.Filter(kind="counter"), page_size=1_000))
        order = []

        async def wait(client, name):
            await client.receive()
            order.append(name)

        other.send(get_app_hash=wire.GetAppHashRequest())
        await asyncio.gather(wait(one, "list"), wait(other, "hash"))
    assert order == ["hash", "list"]


async def test_a_halted_ledger_says_so_and_can_still_be_read(served):
    served.app._directory = served.path.parent
    served.consensus.submit(served.program("memory"))
    with pytest.raises(MemoryError):
        served.consensus.block()
    async with Client(served.path) as client:
        status = (await client.ask(get_ledger_status=wire.GetLedgerStatusRequest())).get_ledger_status.status
        assert status.state == "halted"
        assert "MemoryError" in status.halt
        assert (await client.ask(get=wire.GetRequest(kind="sys", id="rules"))).get.height == 1


async def test_a_ledger_that_could_not_open_has_a_status_and_nothing_else():
    from abci_app.halt import HaltRecord
    from smartcontracts.kernel import Rejected

    record = HaltRecord(ledger_id="l", height=3, step="open", failure="IOError", message="m", at_ms=1)
    endpoint = Endpoint("l", "n", None, record)
    assert endpoint.status().state == "halted"
    with pytest.raises(Rejected):
        next(endpoint.answer(wire.ApplicationRequest(get=wire.GetRequest())))


async def test_before_init_chain_it_is_starting():
    world = World(names=("acme",), start=False)
    endpoint = Endpoint(world.ledger_id, "n", world.app)
    assert endpoint.status().state == "starting"
