"""What looks for leaks sees them: in files, in compressed stores, in streams; and says what a document's markers are."""

from __future__ import annotations

import asyncio
import errno
import os
import re
import struct
import subprocess
import sys
from dataclasses import dataclass
from types import SimpleNamespace

import plyvel
import pytest

from scripts.story import __main__ as story
from scripts.story import capture, rehearsal
from scripts.story.arguments import arguments
from scripts.story.capture import Capture, is_permitted, streams_of
from scripts.story.markers import markers_of, plain, values
from scripts.story.scenarios.base import Scenario, Set
from scripts.story.traces import search
from tests.node.network import ROOT, all_gone

MARKER = b"planted-0123456789"


def test_a_marker_is_found_in_a_file_and_in_a_store_that_compresses(tmp_path):
    (tmp_path / "log").mkdir()
    (tmp_path / "log" / "node.log").write_bytes(b"said " + MARKER)
    with plyvel.DB(str(tmp_path / "store"), create_if_missing=True) as store:
        store.put(b"key", (MARKER + b"x" * 400) * 20)
        store.compact_range()
    found = search(tmp_path, {"marker": MARKER, "other": b"never-written-0"})
    assert found.found == {"marker"}
    assert {trace.path.name for trace in found.traces} >= {"node.log", "store"}
    assert found.size > 400


def test_nothing_is_found_where_nothing_is(tmp_path):
    (tmp_path / "file").write_bytes(b"planted-012345678")
    assert search(tmp_path, {"marker": MARKER}).found == frozenset()


@dataclass(frozen=True)
class Inner:
    text: str


@dataclass(frozen=True)
class Record:
    id: str
    salt: bytes
    word: str
    parts: tuple[Inner, ...]
    count: int = 7


RECORD = Record("doc_234567abcdefgh", b"\xff" * 32, "alternative_external", (Inner("planted-0123456789"), Inner("short1")))


def test_markers_are_what_is_long_has_a_digit_or_is_no_text_and_is_not_said_outside():
    assert markers_of(RECORD, b"") == {b"doc_234567abcdefgh", b"\xff" * 32, MARKER}
    assert markers_of(RECORD, plain([Inner("planted-0123456789")])) == {b"doc_234567abcdefgh", b"\xff" * 32}
    assert b"short1" in set(values(RECORD))


def frame(source, target, payload, sequence=0):
    tcp = struct.pack("!HHIIBBHHH", source, target, sequence, 0, 5 << 4, 0, 0, 0, 0) + payload
    ip = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(tcp), 0, 0, 64, 6, 0, b"\x7f\0\0\1", b"\x7f\0\0\1")
    return bytes(12) + b"\x08\x00" + ip + tcp


def test_an_id_is_a_marker_though_it_has_no_digit_by_chance():
    without = "oit_ljlsbawxbonzukbxurvpfybfqlyaahle"
    assert markers_of(Inner(without), b"") == {without.encode()}
    assert markers_of(Inner("no digit in here at all"), b"") == frozenset()


def test_streams_are_put_together_by_connection_and_direction(tmp_path):
    frames = [frame(1, 2, MARKER[:7]), frame(2, 1, b"answer"), frame(1, 2, MARKER[7:]), bytes(60), frame(3, 2, b"")]
    path = tmp_path / "frames"
    path.write_bytes(b"".join(struct.pack("!I", len(one)) + one for one in frames))
    assert sorted(streams_of(path).values()) == [b"answer", MARKER]


@pytest.mark.skipif(not is_permitted(), reason="raw frames are not for this user")
async def test_a_recording_has_what_crossed_the_loopback_interface(tmp_path):
    recording = Capture(tmp_path / "frames")
    await recording.start()

    async def serve(reader, writer):
        writer.write(await reader.readexactly(len(MARKER)))
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        writer.write(MARKER)
        assert await reader.read() == MARKER
        writer.close()
    await asyncio.sleep(0.2)
    captured = await recording.stop()
    assert list(captured.streams.values()).count(MARKER) == 2
    assert captured.dropped == 0
    assert captured.size >= 2 * len(MARKER)


@pytest.mark.skipif(not is_permitted(), reason="raw frames are not for this user")
async def test_no_recorder_is_left_where_what_was_recorded_failed(tmp_path):
    recording = Capture(tmp_path / "frames")
    await recording.start()
    await recording.abandon()
    assert recording._process.returncode is not None
    await recording.abandon()


@pytest.mark.skipif(not is_permitted(), reason="raw frames are not for this user")
def test_no_recorder_is_left_where_its_starter_was_killed(tmp_path):
    starter = f"""
import asyncio, os, signal
from pathlib import Path
from scripts.story.capture import Capture

async def start():
    recording = Capture(Path({str(tmp_path / "frames")!r}))
    await recording.start()
    print(recording._process.pid, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(start())
"""
    done = subprocess.run([sys.executable, "-c", starter], cwd=ROOT, capture_output=True, text=True, check=False)
    assert all_gone([int(done.stdout)])


async def test_a_recorder_that_can_not_begin_is_no_recording(tmp_path, monkeypatch):
    monkeypatch.setattr(capture, "require_permission", lambda: None)
    recording = Capture(tmp_path / "no-such-folder" / "frames")
    with pytest.raises(OSError, match="ended before it began"):
        await recording.start()
    await recording.abandon()


@pytest.mark.parametrize("number", [errno.EPERM, errno.EACCES, errno.EAFNOSUPPORT])
def test_whatever_keeps_raw_frames_from_this_process_is_a_refusal_with_its_reason(number, monkeypatch):
    def refused(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(capture.socket, "socket", refused)
    assert (is_permitted(), capture.refusal()) == (False, os.strerror(number))


async def test_what_a_scenario_could_not_look_at_is_said_where_it_ends_and_at_the_very_end(monkeypatch, capsys, tmp_path):
    async def play(scene):
        scene.not_looked_at("the wire: no raw frames")

    async def rehearsed(names, directory, teller, explain):
        scene = Set(SimpleNamespace(stage=SimpleNamespace(teller=teller, network=SimpleNamespace(now_ms=lambda: 0))), None)
        return {} if not await rehearsal._play(names[0], scene, explain) else {names[0]: "failed"}

    monkeypatch.setattr(rehearsal, "scenario", lambda _: Scenario(play=play))
    monkeypatch.setattr(story, "rehearse", rehearsed)
    assert await story._rehearse(arguments(["--scenario", "confidentiality", "--directory", str(tmp_path)])) == 0
    said = capsys.readouterr()
    assert re.search(r"=== confidentiality: held, .*; NOT looked at: the wire: no raw frames", said.out)
    assert said.err == "NOT looked at: confidentiality: the wire: no raw frames\n"


def test_without_permission_a_namespace_is_offered_or_nothing(monkeypatch):
    monkeypatch.setattr(capture.shutil, "which", lambda _: None)
    assert capture.namespace_command() == ()
