"""Frames of the private socket: an unsigned LEB128 length in its shortest form, then that many bytes."""

from __future__ import annotations

from asyncio import IncompleteReadError, StreamReader
from typing import Final

FRAME_BYTES_MAX: Final = 32 * 1024 * 1024
_LENGTH_BYTES_MAX: Final = 4  # 28 bits, above the cap


class FrameBroken(Exception):
    """What arrives is not a sequence of frames within the cap; nothing after it can be read."""


def encode_frame(payload: bytes) -> bytes:
    """`payload` with its length before it."""
    length, out = len(payload), bytearray()
    while length >= 0x80:
        out.append(length & 0x7F | 0x80)
        length >>= 7
    out.append(length)
    return bytes(out) + payload


async def read_frame(reader: StreamReader, bytes_max: int = FRAME_BYTES_MAX) -> bytes | None:
    """The next payload; None when the other side closed between two frames. Raises FrameBroken."""
    length = shift = 0
    while True:
        piece = await reader.read(1)
        if not piece:
            if shift:
                raise FrameBroken("the connection ended inside a length")
            return None
        length |= (piece[0] & 0x7F) << shift
        shift += 7
        if piece[0] < 0x80:
            break
        if shift >= 7 * _LENGTH_BYTES_MAX:
            raise FrameBroken("a length of more than four bytes")
    if (shift > 7 and piece[0] == 0) or length > bytes_max:
        raise FrameBroken(f"a frame of {length} bytes, or a length not in its shortest form")
    try:
        return await reader.readexactly(length)
    except IncompleteReadError as error:
        raise FrameBroken("the connection ended inside a frame") from error
