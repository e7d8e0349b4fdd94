"""Frames: whatever the pieces, the same payloads; nothing over the cap is ever held."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledgers.framing import (
    FrameDecoder,
    FrameError,
    FrameFault,
    encode_frame,
    encode_uvarint,
)


def decode_all(decoder: FrameDecoder) -> list[bytes]:
    frames = []
    while (frame := decoder.next_frame()) is not None:
        frames.append(frame)
    return frames


@given(st.lists(st.binary(max_size=300)), st.lists(st.integers(1, 50)))
def test_any_cutting_of_the_stream_gives_the_same_payloads(payloads, cuts):
    stream = b"".join(encode_frame(payload) for payload in payloads)
    decoder, found = FrameDecoder(300), []
    for cut in cuts:
        decoder.feed(stream[:cut])
        stream = stream[cut:]
        found += decode_all(decoder)
    decoder.feed(stream)
    assert found + decode_all(decoder) == payloads
    assert decoder.buffered_bytes == 0


@pytest.mark.parametrize(
    ("value", "encoded"),
    [(0, "00"), (127, "7f"), (128, "8001"), (300, "ac02"), (2**32, "8080808010")],
)
def test_a_length_is_an_unsigned_leb128_number(value, encoded):
    assert encode_uvarint(value).hex() == encoded


def test_a_frame_of_exactly_the_cap_is_taken():
    decoder = FrameDecoder(200)
    decoder.feed(encode_frame(bytes(200)))
    assert decoder.next_frame() == bytes(200)


def test_invalid_frame_one_byte_over_the_cap_is_refused_before_its_payload_comes():
    decoder = FrameDecoder(200)
    decoder.feed(encode_uvarint(201))
    with pytest.raises(FrameError) as refusal:
        decoder.next_frame()
    assert refusal.value.fault is FrameFault.TOO_LONG


@pytest.mark.parametrize("stream", ["8000", "ff00", "80808080", "ffffff"])
def test_invalid_length_not_in_shortest_form_or_without_end_is_refused(stream):
    decoder = FrameDecoder(20_000)  # whose own length takes three bytes
    decoder.feed(bytes.fromhex(stream))
    with pytest.raises(FrameError) as refusal:
        decoder.next_frame()
    assert refusal.value.fault is FrameFault.MALFORMED_LENGTH


def test_a_negative_length_cannot_be_encoded():
    with pytest.raises(ValueError, match="negative"):
        encode_uvarint(-1)


def test_consumed_bytes_are_given_back():
    decoder = FrameDecoder(1000)
    decoder.feed(encode_frame(bytes(900)) * 1000 + b"\x05ab")
    assert len(decode_all(decoder)) == 1000
    assert decoder.buffered_bytes == 3
    assert len(decoder._buffer) < 70_000
