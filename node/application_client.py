"""The node's side of the application's private socket: requests and their answers, and streams of events and blocks.

One connection, many requests in flight, told apart by sequence. The connection is opened when first needed and again
after the application went away; requests in flight then fail with ApplicationAway and may be tried again.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Final

from google.protobuf.message import DecodeError, Message

from ledgers.framing import FrameDecoder, FrameError, encode_frame
from syngraph.v1 import application_pb2 as wire
from syngraph.v1.system_pb2 import Receipt

# Frames that wait for a slow reader before its stream is ended; it resumes where it was.
STREAM_BUFFER_MAX: Final = 10_000
_READ_BYTES: Final = 64 * 1024


class ApplicationAway(Exception):
    """The application process does not answer: it is starting, or it went away."""


class ApplicationRefused(Exception):
    """The application's refusal, as the receipt that it would be."""

    def __init__(self, receipt: Receipt) -> None:
        """Keep the receipt."""
        super().__init__(f"{receipt.name}: {receipt.sentence}")
        self.receipt = receipt


class ReaderTooSlow(Exception):
    """The reader of a stream fell more than STREAM_BUFFER_MAX behind."""


class ApplicationClient:
    """The connection to one application process. Not for several event loops."""

    def __init__(self, socket: Path, timeout_s: float = 10.0) -> None:
        """`timeout_s` bounds the wait for one answer."""
        self._socket = socket
        self._timeout_s = timeout_s
        self._sequence = 0
        self._waiting: dict[int, asyncio.Future[wire.ApplicationResponse]] = {}
        self._streams: dict[int, asyncio.Queue[wire.ApplicationResponse | None]] = {}
        self._overrun: set[int] = set()
        self._writer: asyncio.StreamWriter | None = None
        self._reading: asyncio.Task[None] | None = None
        self._opening = asyncio.Lock()

    async def get(self, request: wire.GetRequest) -> wire.GetResponse:
        """A document at a height."""
        return (await self._ask(wire.ApplicationRequest(get=request))).get

    async def list(self, request: wire.ListRequest) -> wire.ListResponse:
        """A page of documents."""
        return (await self._ask(wire.ApplicationRequest(list=request))).list

    async def prove(self, request: wire.ProveRequest) -> wire.ProveResponse:
        """A proof; commit and validators are not in it yet."""
        return (await self._ask(wire.ApplicationRequest(prove=request))).prove

    async def simulate(self, request: wire.SimulateRequest) -> wire.SimulateResponse:
        """What would become of a transaction."""
        return (await self._ask(wire.ApplicationRequest(simulate=request))).simulate

    async def get_receipt(self, request: wire.GetReceiptRequest) -> wire.GetReceiptResponse:
        """The receipt of a committed transaction."""
        return (await self._ask(wire.ApplicationRequest(get_receipt=request))).get_receipt

    async def get_transaction(self, request: wire.GetTransactionRequest) -> wire.GetTransactionResponse:
        """A committed transaction."""
        return (await self._ask(wire.ApplicationRequest(get_transaction=request))).get_transaction

    async def get_ledger_status(self, request: wire.GetLedgerStatusRequest) -> wire.GetLedgerStatusResponse:
        """Height, time and the next deadline."""
        return (await self._ask(wire.ApplicationRequest(get_ledger_status=request))).get_ledger_status

    async def get_app_hash(self, request: wire.GetAppHashRequest) -> wire.GetAppHashResponse:
        """The app hash at a height."""
        return (await self._ask(wire.ApplicationRequest(get_app_hash=request))).get_app_hash

    async def stream_events(self, request: wire.StreamEventsRequest) -> AsyncGenerator[wire.StreamEventsResponse, None]:
        """Events and cursors until the caller stops. Raises ApplicationAway, ApplicationRefused, ReaderTooSlow."""
        async with contextlib.aclosing(self._stream(wire.ApplicationRequest(stream_events=request))) as answers:
            async for answer in answers:
                yield answer.event

    async def stream_blocks(self, request: wire.StreamBlocksRequest) -> AsyncGenerator[wire.StreamBlocksResponse, None]:
        """What each block executed, until the caller stops. Raises as `stream_events`."""
        async with contextlib.aclosing(self._stream(wire.ApplicationRequest(stream_blocks=request))) as answers:
            async for answer in answers:
                yield answer.block

    async def close(self) -> None:
        """End the connection."""
        if self._reading is not None:
            self._reading.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._reading
        self._gone()

    async def _ask(self, request: wire.ApplicationRequest) -> wire.ApplicationResponse:
        await self._open()
        request.sequence = self._next_sequence()
        answer: asyncio.Future[wire.ApplicationResponse] = asyncio.get_running_loop().create_future()
        self._waiting[request.sequence] = answer
        try:
            self._send(request)
            # Not `wait_for`, which loses a cancellation that comes together with the answer: who is stopped would go on.
            async with asyncio.timeout(self._timeout_s):
                response = await answer
        except TimeoutError as error:
            raise ApplicationAway(f"the application gave no answer in {self._timeout_s:g} s") from error
        finally:
            self._waiting.pop(request.sequence, None)
        if response.HasField("refusal"):
            raise ApplicationRefused(response.refusal)
        return response

    async def _stream(self, request: wire.ApplicationRequest) -> AsyncGenerator[wire.ApplicationResponse, None]:
        await self._open()
        sequence = self._next_sequence()
        queue: asyncio.Queue[wire.ApplicationResponse | None] = asyncio.Queue()
        self._streams[sequence] = queue
        try:
            request.sequence = sequence
            self._send(request)
            while True:
                answer = await queue.get()
                if sequence in self._overrun:
                    raise ReaderTooSlow("the reader fell behind; resume from what was read last")
                if answer is None:
                    raise ApplicationAway("the application went away")
                if answer.HasField("refusal"):
                    raise ApplicationRefused(answer.refusal)
                yield answer
        finally:
            self._streams.pop(sequence, None)
            self._overrun.discard(sequence)
            with contextlib.suppress(ApplicationAway):
                self._send(wire.ApplicationRequest(sequence=sequence, cancel=sequence))

    def _next_sequence(self) -> int:
        self._sequence += 1
        return self._sequence

    async def _open(self) -> None:
        async with self._opening:
            if self._writer is not None:
                return
            try:
                reader, self._writer = await asyncio.open_unix_connection(str(self._socket))
            except OSError as error:
                raise ApplicationAway(f"the application's socket cannot be opened: {error.strerror}") from error
            self._reading = asyncio.create_task(self._read(reader))

    def _send(self, request: Message) -> None:
        if self._writer is None:
            raise ApplicationAway("the application went away")
        self._writer.write(encode_frame(request.SerializeToString()))

    async def _read(self, reader: asyncio.StreamReader) -> None:
        decoder = FrameDecoder()
        try:
            while data := await reader.read(_READ_BYTES):
                decoder.feed(data)
                while (payload := decoder.next_frame()) is not None:
                    self._take(wire.ApplicationResponse.FromString(payload))
        except (FrameError, DecodeError, OSError):
            pass  # whatever was broken, the connection is over and everybody waiting is told below
        finally:
            self._gone()

    def _take(self, response: wire.ApplicationResponse) -> None:
        waiting = self._waiting.get(response.sequence)
        if waiting is not None:
            if not waiting.done():
                waiting.set_result(response)
            return
        queue = self._streams.get(response.sequence)
        if queue is None:
            return
        if queue.qsize() >= STREAM_BUFFER_MAX:
            self._overrun.add(response.sequence)
            return
        queue.put_nowait(response)

    def _gone(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None
        for waiting in self._waiting.values():
            if not waiting.done():
                waiting.set_exception(ApplicationAway("the application went away"))
        for queue in self._streams.values():
            queue.put_nowait(None)
