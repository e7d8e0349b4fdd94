"""Keeping a process: real children that exit, are killed, ignore SIGTERM, or outlive their keeper."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import signal
import subprocess
import sys
import time

import pytest

from node.process import KeptProcess, end_leftover, start_time
from tests.node.network import ROOT, all_gone, is_alive

SAY = "import sys, time; print('up', flush=True); time.sleep({seconds})"


@contextlib.asynccontextmanager
async def kept(tmp_path, program, **options):
    lines = []
    process = KeptProcess(
        "child", (sys.executable, "-c", program), tmp_path / "child.pid", on_line=lines.append, **options
    )
    running = asyncio.create_task(process.run())
    try:
        yield process, lines
    finally:
        await process.stop()
        await asyncio.wait_for(running, 60)


async def until(condition, seconds=60):
    give_up = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < give_up, "it did not happen in time"
        await asyncio.sleep(0.02)


async def test_a_killed_process_is_started_again(tmp_path):
    async with kept(tmp_path, SAY.format(seconds=60)) as (process, lines):
        await until(lambda: len(lines) == 1)
        first = process.pid
        os.kill(first, signal.SIGKILL)
        await until(lambda: len(lines) == 2)
        assert process.pid != first
        assert process.restarts == 1


async def test_an_exit_with_code_0_is_an_exit(tmp_path):
    async with kept(tmp_path, "print('up')") as (process, lines):
        await until(lambda: len(lines) >= 2)
        assert process.restarts >= 1


async def test_pauses_grow_while_a_process_keeps_ending(tmp_path, monkeypatch):
    times = []
    monkeypatch.setattr("node.process.PAUSE_FIRST_S", 0.1)
    async with kept(tmp_path, "print('up')", after_exit=lambda: times.append(time.monotonic())):
        await until(lambda: len(times) >= 4)
    pauses = [b - a for a, b in itertools.pairwise(times)]
    # Lower bounds only: a busy machine makes each longer.
    assert [pause >= least for pause, least in zip(pauses, (0.1, 0.2, 0.4), strict=True)] == [True] * 3


async def test_it_waits_for_what_it_needs_before_each_start(tmp_path):
    allowed = asyncio.Event()
    async with kept(tmp_path, SAY.format(seconds=60), before_start=allowed.wait) as (process, lines):
        await asyncio.sleep(0.3)
        assert process.pid is None
        allowed.set()
        await until(lambda: lines == ["up"])


async def test_stop_ends_a_process_that_ignores_sigterm(tmp_path):
    stubborn = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); " + SAY.format(seconds=60)
    async with kept(tmp_path, stubborn, stop_grace_s=0.5) as (process, lines):
        await until(lambda: lines == ["up"])
        pid = process.pid
    assert start_time(pid) == 0
    assert not (tmp_path / "child.pid").exists()


KEEPER = """
import asyncio, sys
from pathlib import Path
from node.process import KeptProcess
child = KeptProcess("child", (sys.executable, "-c", {program!r}), Path(sys.argv[1]), on_line=print)
asyncio.run(child.run())
"""


def test_a_child_dies_with_a_keeper_that_was_killed(tmp_path):
    pid_file = tmp_path / "child.pid"
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'proto' / 'gen'}"}
    command = [sys.executable, "-c", KEEPER.format(program=SAY.format(seconds=60)), str(pid_file)]
    keeper = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE)
    try:
        assert keeper.stdout.readline().strip()  # the child is up
        while not pid_file.read_text().strip():
            time.sleep(0.02)
        pid = int(pid_file.read_text().split()[0])
        assert start_time(pid)
    finally:
        keeper.kill()
        keeper.wait()
        keeper.stdout.close()
    assert all_gone([pid]), "the child lives on"


async def test_a_child_whose_pid_file_cannot_be_written_does_not_run_beside_the_next_one(tmp_path, monkeypatch):
    """On a full disk one engine after another was started, and none of them ended: all sign with one key."""
    monkeypatch.setattr("node.process.PAUSE_FIRST_S", 0.05)
    monkeypatch.setattr("node.process.PAUSE_MAX_S", 0.05)
    started = tmp_path / "started"
    program = f"import os, time; open({str(started)!r}, 'a').write(str(os.getpid()) + '\\n'); time.sleep(60)"

    def pids():
        return [int(line) for line in started.read_text().split()] if started.exists() else []

    def alive():
        return [pid for pid in pids() if is_alive(pid)]

    process = KeptProcess(
        "child", (sys.executable, "-c", program), tmp_path / "missing" / "child.pid", on_line=lambda _: None
    )
    running = asyncio.create_task(process.run())
    try:
        await until(lambda: process.restarts >= 3)
        assert len(alive()) <= 1
    finally:
        await process.stop()
        await asyncio.wait_for(running, 60)
    assert not alive()


@pytest.mark.parametrize("same", [True, False])
def test_a_leftover_is_ended_only_if_it_is_the_same_process(tmp_path, same):
    child = subprocess.Popen([sys.executable, "-c", SAY.format(seconds=60)], stdout=subprocess.PIPE)
    try:
        child.stdout.readline()
        began = start_time(child.pid) + (0 if same else 1)
        pid_file = tmp_path / "child.pid"
        pid_file.write_text(f"{child.pid} {began}\n")
        if same:
            # A zombie of ours still has its start time; reap it as init would.
            import threading

            threading.Thread(target=child.wait, daemon=True).start()
        end_leftover(pid_file)
        assert not pid_file.exists()
        if same:
            assert child.wait(60) == -signal.SIGTERM
        else:
            assert child.poll() is None
    finally:
        child.kill()
        child.wait()
        child.stdout.close()
