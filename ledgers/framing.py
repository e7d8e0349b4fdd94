"""Length-prefixed frames: how the sockets of the application process cut a byte stream into messages, at both ends.

A frame is an unsigned LEB128 length and that many bytes. The engine's ABCI sockets use it
(one protobuf `Request` or `Response` a frame), and so does the node's private socket, with its own
messages. Nothing here knows what the payload is.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

FRAME_BYTES_MAX: Final = 32 * 1024 * 1024
"""Largest payload accepted by default, in bytes: a snapshot chunk of the engine (16 MiB) twice over.

A block of 4 MiB, or a genesis document, is far below it; the engine itself would send 2 GB.
"""

_CONTINUE: Final = 0x80
_LOW_BITS: Final = 0x7F
_BITS: Final = 7
_COMPACT_BYTES: Final = 64 * 1024


class FrameFault(StrEnum):
    """Why a byte stream cannot be cut into frames any further. Logged: never rename a value."""

    TOO_LONG = "frame_too_long"
    MALFORMED_LENGTH = "frame_length_malformed"


class FrameError(ValueError):
    """The stream is not a sequence of frames within the cap; what follows cannot be read either."""

    def __init__(self, fault: FrameFault, sentence: str) -> None:
        """Keep `fault` for the log line; `sentence` is for people."""
        super().__init__(sentence)
        self.fault = fault


def encode_uvarint(value: int) -> bytes:
    """Encode a non-negative integer as unsigned LEB128, in its shortest form.

    Raises ValueError for a negative number.
    """
    if value < 0:
        raise ValueError(f"a length cannot be negative, and this one is {value}")
    if value < _CONTINUE:
        return bytes((value,))
    out = bytearray()
    while value >= _CONTINUE:
        out.append((value & _LOW_BITS) | _CONTINUE)
        value >>= _BITS
    out.append(value)
    return bytes(out)


def encode_frame(payload: bytes) -> bytes:
    """Return `payload` as one frame: its length, then its bytes."""
    return encode_uvarint(len(payload)) + payload


class FrameDecoder:
    """Cuts a stream that arrives in arbitrary pieces into payloads, holding no more than it must.

    Bytes go in with `feed`; frames come out with `next_frame`, one at a time, so that the caller may
    stop in the middle and leave the rest where it is. After a FrameError the stream is lost: the
    caller ends the connection.
    """

    def __init__(self, frame_bytes_max: int = FRAME_BYTES_MAX) -> None:
        """Accept payloads of up to `frame_bytes_max` bytes."""
        if frame_bytes_max < 1:
            raise ValueError("the cap on a frame must be at least one byte")
        self.frame_bytes_max = frame_bytes_max
        self._length_bytes_max = len(encode_uvarint(frame_bytes_max))
        self._buffer = bytearray()
        self._start = 0  # of the first byte not handed out yet
        self._body = -1  # where the payload of the first frame begins; -1: its length is not read yet
        self._end = -1

    @property
    def buffered_bytes(self) -> int:
        """Bytes fed and not yet handed out, lengths included."""
        return len(self._buffer) - self._start

    def feed(self, data: bytes) -> None:
        """Append what arrived."""
        self._buffer += data

    def has_frame(self) -> bool:
        """Say whether `next_frame` would return a payload. Raises FrameError as it does."""
        if self._body < 0:
            self._read_length()
        return self._body >= 0 and self._end <= len(self._buffer)

    def next_frame(self) -> bytes | None:
        """Return the next payload, or None when it has not wholly arrived.

        Raises FrameError: the length is over the cap, or not a shortest-form varint. It is raised as
        soon as the length is readable, before any of the payload is held.
        """
        if not self.has_frame():
            return None
        with memoryview(self._buffer) as view:
            payload = bytes(view[self._body : self._end])
        self._start, self._body = self._end, -1
        # Cutting the front off moves what is left, so it is done seldom and not for every frame.
        if self._start == len(self._buffer):
            self._buffer = bytearray()
            self._start = 0
        elif self._start >= _COMPACT_BYTES:
            del self._buffer[: self._start]
            self._start = 0
        return payload

    def _read_length(self) -> None:
        length = 0
        for index in range(self._length_bytes_max):
            position = self._start + index
            if position >= len(self._buffer):
                return
            byte = self._buffer[position]
            length |= (byte & _LOW_BITS) << (_BITS * index)
            if byte >= _CONTINUE:
                continue
            if byte == 0 and index > 0:
                raise FrameError(FrameFault.MALFORMED_LENGTH, "the length of a frame is not in its shortest form")
            self._check_cap(length)
            self._body = position + 1
            self._end = self._body + length
            return
        # A length of more bytes than the cap's own is a larger number, or not in its shortest form.
        raise FrameError(
            FrameFault.MALFORMED_LENGTH,
            f"the length of a frame takes more than {self._length_bytes_max} bytes",
        )

    def _check_cap(self, length: int) -> None:
        if length > self.frame_bytes_max:
            raise FrameError(
                FrameFault.TOO_LONG,
                f"a frame of {length} bytes is over the cap of {self.frame_bytes_max}",
            )
