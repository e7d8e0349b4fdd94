"""The ABCI server over real sockets: order, isolation, limits, failures, and its end."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import stat
import threading
import time

import pytest
from tendermint.abci import types_pb2 as abci

from abci_app.server import START, Slices, SocketRefusedError, violations
from abci_app.server.connection import WRITE_AHEAD_BYTES, WRITE_BATCH_BYTES
from abci_app.server.ledgerserver import CONNECTIONS_MAX, listen_privately
from abci_app.server.pacing import READ_AHEAD_BYTES
from ledgers.framing import encode_frame, encode_uvarint
from tests.abci_app.server.harness import FLUSH, INFO, INTERNAL_ERROR, Client, request, serving

# Other programs may take the processors while it is measured.
MEASURED_TIMES_MAX = 20
# Hundreds of queries lie in the buffers, 50 ms and more; a call waits for a slice or two of 2 ms.
EMPTY_MAX_S = 0.05
# It gets a fair part of the interpreter, however busy the machine: without the loop's rest it takes 13 times as long.
COMPUTING_MAX = 6


async def transactions_in_order(client: Client, count: int) -> None:
    for number in range(count):
        response = await client.receive()
        assert response is not None
        assert response.check_tx.data == b"%d" % number


# -- order -------------------------------------------------------------------------------------


def test_a_thousand_pipelined_transactions_are_answered_in_order(tmp_path):
    async def scenario():
        async with serving(tmp_path) as harness:
            client = await harness.connect()
            client.send(*(request("check_tx", tx=b"%d" % n) for n in range(1000)), FLUSH)
            await transactions_in_order(client, 1000)
            flush = await client.receive()
            assert flush is not None
            assert flush.WhichOneof("value") == "flush"

    asyncio.run(scenario())


def test_a_reply_waits_for_a_slow_call_before_it_on_the_same_connection(tmp_path):
    async def scenario():
        async with serving(tmp_path) as harness:
            gate = harness.app.waits["finalize_block"] = threading.Event()
            client = await harness.connect()
            client.send(INFO, request("finalize_block", height=1), request("query", data=b"q"))
            info = await client.receive()
            assert info is not None
            assert info.WhichOneof("value") == "info"
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(client.reader.read(1), 0.1)
            gate.set()
            kinds = [(await client.receive()).WhichOneof("value") for _ in range(2)]
            assert kinds == ["finalize_block", "query"]

    asyncio.run(scenario())


def test_requests_cut_into_single_bytes_are_answered(tmp_path):
    async def scenario():
        async with serving(tmp_path) as harness:
            client = await harness.connect()
            for byte in request("echo", message="syngraph") + FLUSH:
                client.send(bytes((byte,)))
                await client.writer.drain()
                await asyncio.sleep(0)
            response = await client.receive()
            assert response is not None
            assert response.echo.message == "syngraph"

    asyncio.run(scenario())


def test_every_method_reaches_the_application_on_its_documented_thread(tmp_path):
    async def scenario():
        async with serving(tmp_path) as harness:
            client = await harness.connect()
            await client.call("info", abci_version="2.0.0")
            for name in abci.Request.DESCRIPTOR.oneofs_by_name["value"].fields:
                if name.name not in ("info", "flush"):
                    await client.call(name.name)
            return harness.app.threads

    consensus, snapshots, loop = {"consensus-acme-alpha"}, {"snapshots-acme-alpha"}, {"MainThread"}
    assert asyncio.run(scenario()) == {
        **dict.fromkeys(("info", "init_chain", "prepare_proposal", "process_proposal"), consensus),
        **dict.fromkeys(("finalize_block", "commit", "extend_vote"), consensus),
        **dict.fromkeys(("verify_vote_extension", "offer_snapshot"), consensus),
        "apply_snapshot_chunk": consensus,
        **dict.fromkeys(("list_snapshots", "load_snapshot_chunk"), snapshots),
        **dict.fromkeys(("check_tx", "query"), loop),
    }


def test_the_applications_mempool_methods_are_answered_as_unsupported(tmp_path):
    async def scenario():
        async with serving(tmp_path) as harness:
            client = await harness.connect()
            assert (await client.call("insert_tx", tx=b"x")).code == INTERNAL_ERROR
            assert list((await client.call("reap_txs")).txs) == []
            assert len(harness.events("abci.call.unsupported")) == 2

    asyncio.run(scenario())


# -- consensus and queries do not wait for each other -----------------------------------------------


def test_a_slow_consensus_call_delays_no_query(tmp_path):
    async def scenario():
        async with serving(tmp_path) as harness:
            gate = harness.app.waits["finalize_block"] = threading.Event()
            consensus, query = await harness.connect(), await harness.connect()
            block = asyncio.create_task(consensus.call("finalize_block", height=1))
            for number in range(100):
                assert (await query.call("query", data=b"%d" % number)).value == b"%d" % number
            assert not block.done()
            gate.set()
            assert (await block).app_hash == bytes(8)

    asyncio.run(scenario())


def test_a_computing_consensus_call_lets_queries_through(tmp_path):
    """The interpreter's lock is the danger here: a busy thread holds it for at most half a millisecond."""

    async def scenario():
        async with serving(tmp_path) as harness:
            stop = threading.Event()

            def compute(_request):
                while not stop.is_set():
                    sum(range(1000))
                return abci.ResponseFinalizeBlock()

            harness.app.finalize_block = compute
            consensus, query = await harness.connect(), await harness.connect()
            block = asyncio.create_task(consensus.call("finalize_block", height=1))
            means = []
            while len(means) < MEASURED_TIMES_MAX and min(means, default=1.0) >= 0.015:
                begun = time.perf_counter()
                for _ in range(100):
                    await query.call("query", data=b"x")
                means.append((time.perf_counter() - begun) / 100)
            stop.set()
            await block
            return min(means)

    assert asyncio.run(scenario()) < 0.015


def flood_until(path, stop, sent):
    """Send queries as fast as the socket takes them, and read the replies away."""
    frames = request("query", data=bytes(200)) * 500 + FLUSH
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(str(path))
        sock.settimeout(60)
        reader = threading.Thread(target=drain, args=(sock,), daemon=True)
        reader.start()
        # The server closes while back-pressure holds the sender: that is how the test ends it.
        with contextlib.suppress(OSError):
            while not stop.is_set():
                sock.sendall(frames)
                sent.append(500)


def drain(sock):
    try:
        while sock.recv(1 << 18):
            pass
    except OSError:
        pass


def test_a_flood_of_queries_delays_no_consensus_call(tmp_path):
    """A query costs 0.2 ms here, so that the buffers always hold far more than can be answered."""

    async def scenario():
        async with serving(tmp_path) as harness:
            answer = harness.app.query

            def slow_query(query):
                end = time.perf_counter() + 0.0002
                while time.perf_counter() < end:
                    pass
                return answer(query)

            def computing_finalize(_request):
                end = time.thread_time() + 0.01
                while time.thread_time() < end:
                    pass
                return abci.ResponseFinalizeBlock()

            harness.app.query = slow_query
            harness.app.finalize_block = computing_finalize
            client = await harness.connect()
            quiet = await median_time(client, "finalize_block", 10)
            stop, sent = threading.Event(), []
            flood = threading.Thread(target=flood_until, args=(harness.path, stop, sent))
            flood.start()
            while len(sent) < 3:
                await asyncio.sleep(0.01)
            empty, computing = [], []
            for _ in range(MEASURED_TIMES_MAX):
                empty.append(await median_time(client, "process_proposal", 15))
                computing.append(await median_time(client, "finalize_block", 15))
                if min(empty) < EMPTY_MAX_S and min(computing) < COMPUTING_MAX * quiet:
                    break
            stop.set()
            harness.close_clients()
            await harness.server.close(grace_seconds=1)
            await asyncio.to_thread(flood.join, 60)
            return min(empty), min(computing), quiet

    empty, computing, quiet = asyncio.run(scenario())
    assert empty < EMPTY_MAX_S
    assert computing < COMPUTING_MAX * quiet


async def median_time(client, method, times):
    """Of so many calls, in seconds."""
    taken = []
    for _ in range(times):
        begun = time.perf_counter()
        await client.call(method)
        taken.append(time.perf_counter() - begun)
    return sorted(taken)[times // 2]


# -- limits and garbage --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stream", "reason"),
    [
        (encode_uvarint(1001), "frame_too_long"),
        (b"\xff" * 20, "frame_length_malformed"),
        (b"\x80\x00", "frame_length_malformed"),
        (encode_frame(b"\xff\xff\xff\xff"), "message_undecodable"),
        (encode_frame(b""), "method_unknown"),
        (encode_frame(bytes.fromhex("a20600")), "method_unknown"),  # member 100 of the oneof
        (b"GET / HTTP/1.1\r\nHost: syngraph\r\n\r\n" * 3, "message_undecodable"),
    ],
)
def test_invalid_bytes_end_that_connection_with_one_line_and_no_other(tmp_path, stream, reason):
    async def scenario():
        async with serving(tmp_path, frame_bytes_max=1000) as harness:
            good, bad = await harness.connect(), await harness.connect()
            await good.call("query", data=b"before")
            bad.send(request("echo", message="last words"), stream)
            response = await bad.receive()
            assert response is None or response.echo.message == "last words"
            assert await bad.ended()
            assert (await good.call("query", data=b"after")).value == b"after"
            lines = harness.events("abci.connection.refused")
            assert [line["reason"] for line in lines] == [reason]
            assert not harness.events("abci.connection.closed")

    asyncio.run(scenario())


def test_a_request_of_exactly_the_cap_is_answered(tmp_path):
    async def scenario():
        payload = abci.Request(query=abci.RequestQuery(data=bytes(991))).SerializeToString()
        async with serving(tmp_path, frame_bytes_max=len(payload)) as harness:
            client = await harness.connect()
            client.send(encode_frame(payload))
            response = await client.receive()
            assert response is not None
            assert len(response.query.value) == 991

    asyncio.run(scenario())


@pytest.mark.parametrize("left_open", [b"", b"\x05ab", request("finalize_block", height=1)])
def test_a_half_closed_connection_is_ended(tmp_path, left_open):
    async def scenario():
        async with serving(tmp_path) as harness:
            gate = harness.app.waits["finalize_block"] = threading.Event()
            other, client = await harness.connect(), await harness.connect()
            await client.call("echo", message="hello")
            client.send(left_open)
            await client.writer.drain()
            await asyncio.sleep(0.02)
            client.writer.write_eof()
            assert await client.ended()
            assert (await other.call("query", data=b"x")).value == b"x"
            gate.set()
            name = "abci.connection.refused" if left_open else "abci.connection.closed"
            await harness.until_event(name)
            lines = [e for e in harness.log.entries if e["event"].startswith("abci.connection")]
            assert [line["event"] for line in lines] == [name]

    asyncio.run(scenario())


def test_connections_over_the_limit_are_refused_and_room_comes_back(tmp_path):
    async def scenario():
        async with serving(tmp_path) as harness:
            clients = [await harness.connect() for _ in range(CONNECTIONS_MAX)]
            for client in clients:
                await client.call("echo", message="x")
            one_more = await harness.connect()
            assert await one_more.ended()
            refusal = await harness.until_event("abci.connection.refused")
            assert refusal["reason"] == "connections_max"
            clients[0].writer.close()
            await harness.until_event("abci.connection.closed")
            await (await harness.connect()).call("echo", message="x")

    asyncio.run(scenario())


def test_a_second_consensus_connection_is_refused_while_the_first_is_open(tmp_path):
    async def scenario():
        async with serving(tmp_path) as harness:
            first, second = await harness.connect(), await harness.connect()
            await first.call("init_chain", chain_id="c")
            second.send(request("finalize_block", height=1))
            response = await second.receive()
            assert response is not None
            assert response.exception.error == "consensus_taken"
            assert await second.ended()
            assert "finalize_block" not in harness.calls
            first.writer.close()
            await harness.until_event("abci.connection.closed")
            await (await harness.connect()).call("finalize_block", height=1)

    asyncio.run(scenario())


def test_a_peer_that_never_reads_replies_holds_bounded_memory(tmp_path):
    """It sends for as long as the socket takes bytes; the rest must stay on its side."""

    async def scenario():
        async with serving(tmp_path) as harness:
            client = await harness.connect()
            client.reader._transport.pause_reading()  # type: ignore[attr-defined]
            frames = request("query", data=bytes(1000)) * 100
            for _ in range(300):  # 30 MB
                client.send(frames)
            before = -1
            while before != (before := len(client.writer.transport._buffer)):
                await asyncio.sleep(0.2)
            (connection,) = harness.server._connections
            assert before > 20_000_000
            assert connection._decoder.buffered_bytes <= 2 * READ_AHEAD_BYTES
            waiting = connection._transport.get_write_buffer_size() + len(connection._out)
            assert waiting <= WRITE_AHEAD_BYTES + 2 * WRITE_BATCH_BYTES
            # The other direction frees it again: nothing was lost.
            client.reader._transport.resume_reading()
            for _ in range(30_000):
                response = await client.receive()
                assert response is not None
                assert len(response.query.value) == 1000

    asyncio.run(scenario())


# -- failures of the application ---------------------------------------------------------------------


@pytest.mark.parametrize("name", ["query", "check_tx"])
@pytest.mark.parametrize("error", [KeyError("boom"), MemoryError(), RecursionError()])
def test_an_exception_in_a_query_or_check_is_a_code_and_a_logged_traceback(tmp_path, name, error):
    async def scenario():
        async with serving(tmp_path) as harness:
            client = await harness.connect()
            harness.app.raises[name] = error
            response = await client.call(name)
            assert response.code == INTERNAL_ERROR
            assert "boom" not in response.log
            assert harness.events("abci.call.failed")[0]["exc_info"] is error
            del harness.app.raises[name]
            assert (await client.call(name)).code == 0
            assert not harness.halts

    asyncio.run(scenario())


@pytest.mark.parametrize("name", ["list_snapshots", "load_snapshot_chunk"])
def test_an_exception_while_serving_snapshots_is_answered_as_none(tmp_path, name):
    async def scenario():
        async with serving(tmp_path) as harness:
            client = await harness.connect()
            harness.app.raises[name] = OSError("disk")
            assert (await client.call(name)).ByteSize() == 0
            assert len(harness.events("abci.call.failed")) == 1
            assert not harness.halts

    asyncio.run(scenario())


@pytest.mark.parametrize("name", ["info", "init_chain", "process_proposal", "finalize_block"])
@pytest.mark.parametrize("error", [ValueError("secret price"), MemoryError(), SystemExit(1)])
def test_an_exception_in_a_consensus_call_halts_that_ledger_and_no_other(tmp_path, name, error):
    async def scenario():
        slices = Slices(asyncio.get_running_loop())
        async with (
            serving(tmp_path, "acme-alpha", slices) as broken,
            serving(tmp_path, "alpha-bravo", slices) as sound,
        ):
            four = [await broken.connect() for _ in range(4)]
            other = await sound.connect()
            await other.call("init_chain", chain_id="c")
            for client in four[1:]:
                await client.call("echo", message="x")
            broken.app.raises[name] = error
            fields = {"abci_version": "2.0.0"} if name == "info" else {}
            assert await four[0].failing_call(name, **fields) == f"{name} failed: {type(error).__name__}"
            assert all([await client.ended() for client in four])
            assert broken.halts == [("acme-alpha", name, error)]
            assert broken.server.halted
            with pytest.raises(OSError, match=r"refused|No such"):
                await broken.connect()
            assert (await other.call("finalize_block", height=1)).app_hash == bytes(8)
            assert not sound.server.halted

    asyncio.run(scenario())


@pytest.mark.parametrize("error", [OSError("disk full"), SystemExit(1)])
def test_a_call_queued_behind_the_one_that_halts_is_never_made(tmp_path, error):
    async def scenario():
        async with serving(tmp_path) as harness:
            gate = harness.app.waits["commit"] = threading.Event()
            entered = harness.app.entered["commit"] = threading.Event()
            harness.app.raises["commit"] = error
            consensus, query = await harness.connect(), await harness.connect()
            consensus.send(request("commit"))
            assert await asyncio.to_thread(entered.wait, 60)
            query.send(INFO)
            await query.writer.drain()
            await asyncio.sleep(0.05)
            gate.set()
            assert await query.ended()
            assert [halt[1] for halt in harness.halts] == ["commit"]
            assert harness.calls == [START, "commit"]

    asyncio.run(scenario())


def test_a_wrong_response_type_halts_like_an_exception(tmp_path):
    async def scenario():
        async with serving(tmp_path) as harness:
            harness.app.commit = lambda _request: abci.ResponseInfo()
            client = await harness.connect()
            assert "TypeError" in await client.failing_call("commit")
            assert [halt[1] for halt in harness.halts] == ["commit"]

    asyncio.run(scenario())


@pytest.mark.parametrize("version", ["", "0.17.0", "1.0.0", "2.1.0"])
def test_an_engine_of_another_abci_version_is_refused_with_a_line(tmp_path, version):
    async def scenario():
        async with serving(tmp_path) as harness:
            client = await harness.connect()
            assert "ABCI 2.0.0" in await client.failing_call("info", abci_version=version)
            assert harness.events("abci.version.refused")[0]["offered"] == version
            assert await client.ended()
            assert harness.calls == [START]
            assert not harness.halts
            await (await harness.connect()).call("info", abci_version="2.0.0")

    asyncio.run(scenario())


# -- lives of engine and server ------------------------------------------------------------------------


def test_info_of_a_new_engine_waits_for_the_commit_its_killed_predecessor_began(tmp_path):
    async def scenario():
        async with serving(tmp_path) as harness:
            killed = await harness.connect()
            await killed.call("info", abci_version="2.0.0")
            await killed.call("init_chain", chain_id="c")
            await killed.call("finalize_block", height=1, txs=[b"a", b"b"])
            gate = harness.app.waits["commit"] = threading.Event()
            entered = harness.app.entered["commit"] = threading.Event()
            killed.send(request("commit"))
            assert await asyncio.to_thread(entered.wait, 60)
            killed.writer.transport.abort()
            await harness.until_event("abci.connection.refused")
            successor = await harness.connect()
            info = asyncio.create_task(successor.call("info", abci_version="2.0.0"))
            await asyncio.sleep(0.05)
            assert not info.done()
            gate.set()
            assert (await info).last_block_height == 1
            assert violations(harness.calls) == []
            assert harness.calls.count(START) == 2

    asyncio.run(scenario())


def test_a_queued_call_whose_connection_is_lost_is_never_made(tmp_path):
    async def scenario():
        async with serving(tmp_path) as harness:
            gate = harness.app.waits["commit"] = threading.Event()
            entered = harness.app.entered["commit"] = threading.Event()
            consensus, query = await harness.connect(), await harness.connect()
            consensus.send(request("commit"), FLUSH)
            assert await asyncio.to_thread(entered.wait, 60)
            query.send(INFO)
            await query.writer.drain()
            await asyncio.sleep(0.05)
            query.writer.transport.abort()
            await harness.until_event("abci.connection.refused")
            gate.set()
            assert (await consensus.receive()) is not None
            await consensus.receive()
            await consensus.call("process_proposal", height=1)
            assert harness.calls == [START, "commit", "process_proposal"]

    asyncio.run(scenario())


def test_close_finishes_and_answers_the_call_in_hand(tmp_path):
    async def scenario():
        async with serving(tmp_path) as harness:
            gate = harness.app.waits["commit"] = threading.Event()
            entered = harness.app.entered["commit"] = threading.Event()
            client, idle = await harness.connect(), await harness.connect()
            await idle.call("echo", message="x")
            client.send(request("finalize_block", height=1), request("commit"), FLUSH)
            assert await asyncio.to_thread(entered.wait, 60)
            closing = asyncio.create_task(harness.server.close())
            assert await idle.ended()
            assert not closing.done()
            gate.set()
            kinds = [(await client.receive()).WhichOneof("value") for _ in range(2)]
            assert kinds == ["finalize_block", "commit"]
            assert await client.ended()
            await closing
            assert harness.app.height == 1
            assert not harness.path.exists()

    asyncio.run(scenario())


def test_close_cuts_a_call_that_takes_longer_than_its_grace(tmp_path):
    async def scenario():
        async with serving(tmp_path) as harness:
            gate = harness.app.waits["commit"] = threading.Event()
            entered = harness.app.entered["commit"] = threading.Event()
            client = await harness.connect()
            client.send(request("commit"))
            assert await asyncio.to_thread(entered.wait, 60)
            await harness.server.close(grace_seconds=0.05)
            assert harness.events("abci.server.cut")
            gate.set()

    asyncio.run(scenario())


def test_the_socket_is_private_and_a_stale_one_is_replaced(tmp_path):
    async def scenario():
        path = tmp_path / "acme-alpha.sock"
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(str(path))
        async with serving(tmp_path) as harness:
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
            await (await harness.connect()).call("echo", message="x")

    asyncio.run(scenario())


def test_a_socket_that_is_there_can_be_connected_to(tmp_path):
    path = tmp_path / "private" / "app.sock"
    with listen_privately(path), socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
        assert list(path.parent.iterdir()) == [path]
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_invalid_start_on_a_socket_somebody_listens_on_leaves_it_alone(tmp_path):
    async def scenario():
        async with serving(tmp_path) as harness:
            with pytest.raises(SocketRefusedError, match="another process listens"):
                async with serving(tmp_path):
                    pass
            await (await harness.connect()).call("echo", message="x")

    asyncio.run(scenario())


def test_invalid_places_for_a_socket_are_refused_with_a_sentence(tmp_path):
    async def start_in(directory):
        async with serving(directory):
            pass

    (tmp_path / "acme-alpha.sock").write_text("precious")
    with pytest.raises(SocketRefusedError, match="not a socket"):
        asyncio.run(start_in(tmp_path))
    assert (tmp_path / "acme-alpha.sock").read_text() == "precious"
    with pytest.raises(SocketRefusedError, match="longer than 107 bytes"):
        asyncio.run(start_in(tmp_path / ("d" * 100)))
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o750)
    with pytest.raises(SocketRefusedError, match="open to other users"):
        asyncio.run(start_in(shared))
