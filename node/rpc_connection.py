"""HTTP/1.1 to the engine over its unix socket: POST and its answer, a few connections, nothing else.

A general client spent 5 ms of CPU a call here with hundreds in flight (measured); the node makes one for each transaction.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Final

CONNECTIONS_MAX: Final = 16
ANSWER_BYTES_MAX: Final = 16 * 1024 * 1024


class HttpBroken(Exception):
    """The other side closed, or does not speak HTTP as expected."""


class _Connection:
    """One connection; one request at a time."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def post(self, body: bytes) -> bytes:
        head = b"POST / HTTP/1.1\r\nHost: engine\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
        self._writer.write(head % len(body) + body)
        return await self._read_answer()

    async def _read_answer(self) -> bytes:
        # The engine answers refusals of JSON-RPC with status 500 and the same JSON: the status says nothing.
        lines = (await self._reader.readuntil(b"\r\n\r\n")).lower().split(b"\r\n")
        if not lines[0].startswith(b"http/1.1 "):
            raise HttpBroken("the answer is not HTTP/1.1")
        for line in lines:
            name, _, value = line.partition(b":")
            if name == b"content-length":
                return await self._read_exactly(int(value))
            if name == b"transfer-encoding" and value.strip() == b"chunked":
                return await self._read_chunks()
        raise HttpBroken("the answer has no length")

    async def _read_exactly(self, length: int) -> bytes:
        if not 0 <= length <= ANSWER_BYTES_MAX:
            raise HttpBroken(f"an answer of {length} bytes")
        return await self._reader.readexactly(length)

    async def _read_chunks(self) -> bytes:
        found = bytearray()
        while True:
            length = int(await self._reader.readuntil(b"\r\n"), 16)
            found += await self._read_exactly(length)
            await self._reader.readuntil(b"\r\n")
            if not length:
                return bytes(found)
            if len(found) > ANSWER_BYTES_MAX:
                raise HttpBroken("the answer is too long")

    def close(self) -> None:
        self._writer.close()


class HttpSocket:
    """A pool of connections to one unix socket. Not for several event loops."""

    def __init__(self, path: Path) -> None:
        """Connections are made when needed."""
        self._path = str(path)
        self._free: list[_Connection] = []
        self._room = asyncio.Semaphore(CONNECTIONS_MAX)

    async def post(self, body: bytes, timeout_s: float) -> bytes:
        """The answer's body. Raises HttpBroken, OSError, TimeoutError."""
        async with self._room, asyncio.timeout(timeout_s):
            kept = self._free.pop() if self._free else None
            if kept is not None:
                try:
                    return await self._post_on(kept, body)
                except (HttpBroken, OSError):
                    # It was closed while it lay idle: the engine has restarted, perhaps. Asking twice is harmless here.
                    self._drop_idle()
            return await self._post_on(await self._connect(), body)

    async def close(self) -> None:
        """Close what is idle."""
        self._drop_idle()

    async def _connect(self) -> _Connection:
        return _Connection(*await asyncio.open_unix_connection(self._path))

    async def _post_on(self, connection: _Connection, body: bytes) -> bytes:
        try:
            answer = await connection.post(body)
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError) as error:
            connection.close()
            raise HttpBroken(str(error)) from error
        except BaseException:
            # Cancelled in the middle, the rest of the answer would be taken for the next one's.
            connection.close()
            raise
        self._free.append(connection)
        return answer

    def _drop_idle(self) -> None:
        for connection in self._free:
            connection.close()
        self._free.clear()
