"""Back-pressure of a connection that takes frames: the peer is read from no further than somebody gets on with answering it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ledgers.framing import FrameError

if TYPE_CHECKING:
    import asyncio

    from ledgers.framing import FrameDecoder

READ_AHEAD_BYTES: Final = 256 * 1024
"""Undecoded requests a connection may hold, in bytes, unless a single frame is longer."""


class ReadPace:
    """Whether a connection reads, by what its decoder holds."""

    def __init__(self, decoder: FrameDecoder) -> None:
        """A connection reads at first."""
        self._decoder = decoder
        self._reading = True

    def keep(self, transport: asyncio.Transport | None) -> None:
        """Stop reading when enough is buffered; never in the middle of a frame, which could not end then. None: it is over."""
        if transport is None:
            return
        full = self._decoder.buffered_bytes >= READ_AHEAD_BYTES and self._holds_frame()
        if full and self._reading:
            self._reading = False
            transport.pause_reading()
        elif not full and not self._reading:
            self._reading = True
            transport.resume_reading()

    def _holds_frame(self) -> bool:
        try:
            return self._decoder.has_frame()
        except FrameError:
            return True  # The connection's next turn refuses it.
