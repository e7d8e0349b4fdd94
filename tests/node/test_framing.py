"""Frames of the private socket: what one side writes the other reads, and nonsense ends the reading."""

from __future__ import annotations

import asyncio

import pytest

from abci_app.server import framing as application
from node.framing import FrameBroken, encode_frame, read_frame


async def read_all(data, bytes_max=1_000_000):
    reader = asyncio.StreamReader()
    reader.feed_data(data)
    reader.feed_eof()
    frames = []
    while (frame := await read_frame(reader, bytes_max)) is not None:
        frames.append(frame)
    return frames


@pytest.mark.parametrize("length", [0, 1, 127, 128, 16_383, 16_384, 300_000])
async def test_both_ends_cut_frames_alike(length):
    payload = b"x" * length
    assert encode_frame(payload) == application.encode_frame(payload)
    assert await read_all(encode_frame(payload) + encode_frame(b"next")) == [payload, b"next"]


@pytest.mark.parametrize(
    "data",
    [
        b"\x80",  # ends inside a length
        b"\x05abc",  # ends inside a frame
        b"\x80\x00",  # not the shortest form
        b"\xff\xff\xff\xff\xff\xff",  # no end of a length
        encode_frame(b"x" * 101),  # above the cap
    ],
)
async def test_nonsense_is_broken(data):
    with pytest.raises(FrameBroken):
        await read_all(data, bytes_max=100)


async def test_the_cap_itself_is_allowed():
    assert await read_all(encode_frame(b"x" * 100), bytes_max=100) == [b"x" * 100]
