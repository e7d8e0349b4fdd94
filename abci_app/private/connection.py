"""One connection of the node: requests are answered in order, in slices; streams run beside them.

Nothing here waits: the loop gives turns, a turn lasts half a millisecond, and what is not finished goes on in the next.
"""

from __future__ import annotations

import asyncio
from time import perf_counter
from typing import TYPE_CHECKING, Final, Protocol, cast

from google.protobuf.message import DecodeError

from abci_app.private.streams import BlockStream, EventStream
from abci_app.queries.refusals import QueryFailed, RequestMalformed, TooManyStreams
from abci_app.server.pacing import ReadPace
from ledgers.framing import FrameDecoder, FrameError, encode_frame
from smartcontracts.kernel import Rejected
from syngraph.v1 import application_pb2 as wire
from syngraph.v1.system_pb2 import Receipt

if TYPE_CHECKING:
    from collections.abc import Generator

    from structlog.typing import FilteringBoundLogger

    from abci_app.private.endpoint import Endpoint
    from abci_app.private.streams import Stream
    from abci_app.server.slices import Slices

REQUEST_BYTES_MAX: Final = 4 * 1024 * 1024
STREAMS_MAX: Final = 1_000


class Owner(Protocol):
    """What a connection needs of the socket it came in by."""

    def endpoint(self, ledger_id: str, /) -> Endpoint:
        """The ledger of that id. Rejects with LedgerUnknown."""

    def opened(self, connection: PrivateConnection, /) -> bool:
        """Count `connection` in; False: there is no room."""

    def closed(self, connection: PrivateConnection, /) -> None:
        """Count it out."""


class PrivateConnection(asyncio.Protocol):
    """The application's end; everything runs on the loop's thread."""

    def __init__(self, owner: Owner, slices: Slices, log: FilteringBoundLogger) -> None:
        self._owner = owner
        self._slices = slices
        self._log = log
        self._decoder = FrameDecoder(REQUEST_BYTES_MAX)
        self._pace = ReadPace(self._decoder)
        self._transport: asyncio.Transport | None = None
        self._job: tuple[int, Generator[None, None, wire.ApplicationResponse]] | None = None
        self._streams: dict[int, Stream] = {}
        # Streams that may have something to show.
        self._ready: dict[int, None] = {}
        self._writable = True

    # -- the transport's side ------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        if not self._owner.opened(self):
            self._end("connections_max")

    def data_received(self, data: bytes) -> None:
        if self._transport is None:
            return
        self._decoder.feed(data)
        self._pace.keep(self._transport)
        self._slices.wake(self)

    def pause_writing(self) -> None:
        self._writable = False

    def resume_writing(self) -> None:
        self._writable = True
        self._slices.wake(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._streams.clear()
        self._ready.clear()
        self._job = None
        self._owner.closed(self)

    # -- turns ---------------------------------------------------------------------------------

    def committed(self, endpoint: Endpoint) -> None:
        """A block of that ledger was committed."""
        for sequence, stream in self._streams.items():
            if stream.endpoint is endpoint:
                self._ready[sequence] = None
        if self._ready:
            self._slices.wake(self)

    def take_turn(self, until: float) -> bool:
        """Work until `perf_counter()` passes `until`; True: more could be done now."""
        try:
            while self._work_once():
                if perf_counter() >= until:
                    break
            self._pace.keep(self._transport)
            return self._has_work()
        except FrameError as error:
            self._end(error.fault)
        except Exception:  # noqa: BLE001 - the other connections' turns must go on
            self._log.exception("private.connection.failed")
            self._end("failed")
        return False

    def _has_work(self) -> bool:
        if self._transport is None or not self._writable:
            return False
        return self._job is not None or bool(self._ready) or self._decoder.has_frame()

    def _work_once(self) -> bool:
        """One step of whatever is first; False when nothing can be done."""
        if self._transport is None or not self._writable:
            return False
        if self._job is not None:
            self._go_on(*self._job)
            return True
        payload = self._decoder.next_frame()
        if payload is not None:
            self._begin(payload)
            return True
        if self._ready:
            self._show(next(iter(self._ready)))
            return True
        return False

    def close(self) -> None:
        """End after what is written."""
        if self._transport is not None:
            self._transport.close()

    def _end(self, reason: str) -> None:
        if self._transport is not None:
            self._log.warning("private.connection.ended", reason=reason)
            self._transport.abort()
            self._transport = None

    # -- requests ------------------------------------------------------------------------------

    def _begin(self, payload: bytes) -> None:
        request = wire.ApplicationRequest()
        try:
            request.ParseFromString(payload)
            which = request.WhichOneof("request")
            if which is None:
                raise RequestMalformed("The request names nothing that this socket answers.", "request")
            if which == "cancel":
                self._streams.pop(request.cancel, None)
                self._ready.pop(request.cancel, None)
                return
            endpoint = self._owner.endpoint(getattr(request, which).ledger_id)
            if which in {"stream_events", "stream_blocks"}:
                self._open_stream(request, endpoint)
            else:
                self._job = (request.sequence, endpoint.answer(request))
        except DecodeError:
            self._end("message_undecodable")
        except Rejected as refusal:
            self._refuse(request.sequence, refusal)

    def _go_on(self, sequence: int, job: Generator[None, None, wire.ApplicationResponse]) -> None:
        try:
            next(job)
        except StopIteration as done:
            self._job = None
            self._send(sequence, done.value)
        except Rejected as refusal:
            self._job = None
            self._refuse(sequence, refusal)
        except Exception as failure:  # noqa: BLE001 - one bad query must not end the connection, nor the process
            self._job = None
            self._log.error("private.query.failed", exc_info=failure)
            self._refuse(sequence, QueryFailed("The application failed on this; its log has the details."))

    def _open_stream(self, request: wire.ApplicationRequest, endpoint: Endpoint) -> None:
        if len(self._streams) >= STREAMS_MAX or request.sequence in self._streams:
            raise TooManyStreams(f"A connection may have {STREAMS_MAX} streams, each with its own sequence.")
        if request.HasField("stream_blocks"):
            self._streams[request.sequence] = BlockStream(endpoint, request.stream_blocks)
        else:
            self._streams[request.sequence] = EventStream(endpoint, request.stream_events)
        self._ready[request.sequence] = None

    def _show(self, sequence: int) -> None:
        del self._ready[sequence]
        try:
            frames, more = self._streams[sequence].show()
        except Rejected as refusal:
            del self._streams[sequence]
            self._refuse(sequence, refusal)
            return
        for frame in frames:
            self._send(sequence, frame)
        if more:
            self._ready[sequence] = None

    def _refuse(self, sequence: int, refusal: Rejected) -> None:
        receipt = Receipt(
            code=refusal.code,
            name=refusal.refusal_name(),
            field=refusal.field,
            message_index=refusal.message_index,
            sentence=refusal.sentence,
            existing_id=refusal.existing_id,
        )
        self._send(sequence, wire.ApplicationResponse(refusal=receipt))

    def _send(self, sequence: int, response: wire.ApplicationResponse) -> None:
        response.sequence = sequence
        if self._transport is not None:
            self._transport.write(encode_frame(response.SerializeToString()))
