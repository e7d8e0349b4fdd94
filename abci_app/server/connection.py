"""One connection of the engine: frames in, calls strictly one after another, replies in order.

Only one request of a connection is in hand at a time; the others stay undecoded in the frame buffer. So
replies cannot overtake each other, and what a flood may occupy is the buffer: reading stops in
time (`ReadPace`), and calls stop while the peer does not read its replies.
"""

from __future__ import annotations

import asyncio
from time import perf_counter
from typing import TYPE_CHECKING, Final, Protocol, cast

from abci_app.server.methods import Lane, Method, RequestError, encode_exception, parse_request
from abci_app.server.pacing import ReadPace
from ledgers.framing import FrameDecoder, FrameError, encode_frame

if TYPE_CHECKING:
    from collections.abc import Callable

    from structlog.typing import FilteringBoundLogger

    from abci_app.server.dispatcher import Dispatcher
    from abci_app.server.slices import Slices

WRITE_BATCH_BYTES: Final = 64 * 1024
"""Replies are joined up to about this many bytes, or to the end of a turn, before they are written."""

WRITE_AHEAD_BYTES: Final = 256 * 1024
"""Replies the peer has not read, in bytes, above which its calls wait."""


class Owner(Protocol):
    """What a connection needs of its ledger."""

    def connection_opened(self, connection: Connection, /) -> str | None:
        """Count `connection` in, or return the reason for refusing it."""
        ...

    def connection_closed(self, connection: Connection, /) -> None:
        """Count it out."""
        ...

    def may_call(self, connection: Connection, method: Method, /) -> str | None:
        """Return the reason for refusing this call on this connection, or None."""
        ...


class Connection(asyncio.Protocol):
    """The server's end of one connection; everything runs on the loop's thread."""

    def __init__(
        self,
        owner: Owner,
        dispatcher: Dispatcher,
        slices: Slices,
        logger: FilteringBoundLogger,
        frame_bytes_max: int,
    ) -> None:
        """Answer through `dispatcher` in the turns that `slices` gives."""
        self.kind = ""  # of the engine's four; known from the first call that tells
        self._owner = owner
        self._dispatcher = dispatcher
        self._slices = slices
        self._log = logger
        self._decoder = FrameDecoder(frame_bytes_max)
        self._pace = ReadPace(self._decoder)
        self._transport: asyncio.Transport | None = None  # None also once the connection is ended
        self._out = bytearray()
        self._abandon: Callable[[], None] | None = None  # of the call in hand on a thread
        self._writable = True
        self._closing = False

    # -- the transport's side ------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin, unless the ledger has no room."""
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=WRITE_AHEAD_BYTES)
        reason = self._owner.connection_opened(self)
        if reason is not None:
            self._refuse(reason, "the ledger admits no further connection")

    def data_received(self, data: bytes) -> None:
        """Take what arrived; requests are answered in this connection's next turn."""
        if self._transport is None:
            return
        self._decoder.feed(data)
        self._pace.keep(self._transport)
        # Consensus waits for no turn: its calls only pass through here to their thread.
        if self.kind != "consensus" or self.take_turn(perf_counter()):
            self._slices.wake(self)

    def eof_received(self) -> None:
        """End at once: nobody sends requests and closes only that half on purpose."""
        if self._transport is None:
            return
        if self._abandon is not None or self._decoder.buffered_bytes:
            self._refuse("half_closed", "the peer stopped sending while requests were open")

    def pause_writing(self) -> None:
        """Answer no further request: the peer does not read."""
        self._writable = False

    def resume_writing(self) -> None:
        """Go on."""
        self._writable = True
        self._slices.wake(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget everything; a call on a thread that has not begun is dropped."""
        if self._transport is not None:
            self._log.info("abci.connection.closed", connection=self.kind, error=exc and str(exc))
        self._end()
        self._owner.connection_closed(self)

    # -- turns ---------------------------------------------------------------------------------

    def take_turn(self, until: float) -> bool:
        """Answer requests until `perf_counter()` passes `until`; at least one. True: more could be answered."""
        try:
            while self._may_call() and (payload := self._decoder.next_frame()) is not None:
                self._answer(payload)
                if perf_counter() >= until:
                    break
            more = self._may_call() and self._decoder.has_frame()
            self._write_out()
            self._pace.keep(self._transport)
        except FrameError as error:
            self._refuse(error.fault, str(error))
            return False
        except RequestError as error:
            self._refuse(error.reason, str(error))
            return False
        return more and self._may_call()

    def finish(self) -> None:
        """Answer the call in hand, write what is joined, and close."""
        self._closing = True
        if self._abandon is None:
            self._close()

    def abort(self) -> None:
        """Close without waiting for the peer to read or for the call in hand."""
        if self._transport is not None:
            self._transport.abort()

    def _may_call(self) -> bool:
        return self._transport is not None and self._abandon is None and self._writable and not self._closing

    def _answer(self, payload: bytes) -> None:
        method, request = parse_request(payload)
        self.kind = self.kind or method.connection_kind
        reason = self._owner.may_call(self, method)
        if reason is not None:
            self._reply(encode_exception(reason))
            self._write_out()
            raise RequestError(reason, f"{method.name} is not for this connection")
        if method.lane in (Lane.SERVER, Lane.LOOP):
            # A Flush isn't written at once: the turn that answers it ends within half a millisecond, and writes all.
            self._reply(self._dispatcher.answer(method, request))
        else:
            self._abandon = self._dispatcher.start(method, request, self._call_done)

    def _call_done(self, response: bytes, /, *, ends: bool = False) -> None:
        self._abandon = None
        if self._transport is None:
            return
        self._reply(response)
        if ends or self._closing:
            self._close()
        else:
            self.take_turn(perf_counter())  # Usually the Flush behind it, and then one write for both.
            if self._may_call():
                self._slices.wake(self)

    # -- bytes ---------------------------------------------------------------------------------

    def _reply(self, response: bytes) -> None:
        self._out += encode_frame(response)
        if len(self._out) >= WRITE_BATCH_BYTES:
            self._write_out()

    def _write_out(self) -> None:
        if self._out and self._transport is not None:
            out, self._out = self._out, bytearray()
            self._transport.write(out)

    # -- ends ----------------------------------------------------------------------------------

    def _refuse(self, reason: str, sentence: str) -> None:
        self._log.warning("abci.connection.refused", reason=str(reason), detail=sentence, connection=self.kind)
        self._close()

    def _close(self) -> None:
        self._write_out()
        transport = self._transport
        self._end()
        if transport is not None:
            transport.close()

    def _end(self) -> None:
        self._transport = None
        self._out.clear()
        self._decoder = FrameDecoder(self._decoder.frame_bytes_max)
        if self._abandon is not None:
            self._abandon()
            self._abandon = None
