"""HTTP to the engine: lengths, chunks, connections that went away, answers that never come."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from node.rpc import EngineAway, EngineRefused, EngineRpc, EngineSilent
from node.rpc_connection import ANSWER_BYTES_MAX, HttpBroken, HttpSocket

SIZED = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
CHUNKED = b"HTTP/1.1 500 Oh\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n"


@contextlib.asynccontextmanager
async def server(tmp_path, answers):
    """Answers each request with the next of `answers`; None closes the connection."""
    path, seen, writers = tmp_path / "rpc.sock", [], []

    async def serve(reader, writer):
        writers.append(writer)
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
                seen.append(await reader.readexactly(length))
                answer = answers.pop(0)
                if answer is None:
                    break
                writer.write(answer)
        writer.close()

    listening = await asyncio.start_unix_server(serve, path)
    http = HttpSocket(path)
    try:
        yield http, seen, writers
    finally:
        await http.close()
        listening.close()
        for writer in writers:
            writer.close()
        await asyncio.sleep(0)


async def test_answers_with_a_length_and_in_chunks_on_one_connection(tmp_path):
    async with server(tmp_path, [SIZED, CHUNKED, SIZED]) as (http, seen, writers):
        assert [await http.post(b"%d" % n, 60) for n in range(3)] == [b"hello"] * 3
        assert seen == [b"0", b"1", b"2"]
        assert len(writers) == 1


async def test_a_connection_that_was_closed_while_idle_is_made_again(tmp_path):
    async with server(tmp_path, [SIZED, SIZED]) as (http, _, writers):
        await http.post(b"1", 60)
        writers[0].close()
        await writers[0].wait_closed()
        assert await http.post(b"2", 60) == b"hello"
        assert len(writers) == 2


@pytest.mark.parametrize(
    "answer",
    [
        None,
        b"SSH-2.0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (ANSWER_BYTES_MAX + 1),
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    ],
)
async def test_what_is_no_answer_is_broken(tmp_path, answer):
    async with server(tmp_path, [answer]) as (http, _, _writers):
        with pytest.raises(HttpBroken):
            await http.post(b"1", 60)


async def test_an_answer_that_was_given_up_is_not_taken_for_the_next_ones(tmp_path):
    async with server(tmp_path, [SIZED, b"HTTP/1.1 200 OK\r\n", SIZED]) as (http, _, writers):
        await http.post(b"0", 60)
        # On the connection that is there: the request is out before anything can be late.
        with pytest.raises(TimeoutError):
            await http.post(b"1", 0.1)
        assert await http.post(b"2", 60) == b"hello"
        assert len(writers) == 2


async def test_the_engines_refusals_and_its_silence_are_told_apart(tmp_path, monkeypatch):
    def json_answer(text):
        return b"HTTP/1.1 500 Oh\r\nContent-Length: %d\r\n\r\n%s" % (len(text), text)

    cached = b'{"error": {"message": "Internal error", "data": "tx already exists in cache"}}'
    full = b'{"error": {"message": "Internal error", "data": "mempool is full"}}'
    async with server(tmp_path, [json_answer(cached), json_answer(full), b"HTTP/1.1 200 OK\r\n"]):
        rpc = EngineRpc(tmp_path / "rpc.sock")
        assert (await rpc.broadcast(b"tx")).known
        with pytest.raises(EngineRefused, match="full"):
            await rpc.broadcast(b"tx")
        monkeypatch.setattr("node.rpc.TIMEOUT_S", 0.1)
        with pytest.raises(EngineSilent):
            await rpc.status()
        await rpc.close()
    (tmp_path / "rpc.sock").unlink(missing_ok=True)
    away = EngineRpc(tmp_path / "rpc.sock")
    with pytest.raises(EngineAway) as caught:
        await away.status()
    assert not isinstance(caught.value, EngineSilent)


async def test_what_the_application_said_of_a_transaction_is_read_from_hexadecimal(tmp_path):
    """As base64 an answer of 33 bytes raised, and one of 32 was garbage."""
    said = (
        b'{"result": {"code": 1011, "data": "%s", "log": "no", "codespace": "syngraph"}}'
        % bytes(33).hex().upper().encode()
    )
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(said), said)
    async with server(tmp_path, [answer]):
        rpc = EngineRpc(tmp_path / "rpc.sock")
        checked = await rpc.broadcast(b"tx")
        await rpc.close()
    assert (checked.code, checked.data) == (1011, bytes(33))
