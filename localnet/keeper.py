"""Keeping a network: in the foreground, or by a process of its own that `up` starts and `down` ends."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from localnet.attached import LOG, AttachedNetwork, State, attach, read_state
from localnet.material import load_material
from localnet.network import READY_TIMEOUT_S, Network, NetworkFailed, remove_runtime_folder, search_path, tail
from localnet.processes import find_processes, send
from localnet.topology import Topology
from node.process import start_time

STOP_TIMEOUT_S: Final = 45.0
_POLL_S: Final = 0.1


async def keep(directory: Path, topology: Topology | None = None, told: Callable[[Network], None] | None = None) -> int:
    """Run the network until SIGTERM or SIGINT; `told` is called once it is ready. The exit code."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        loop.add_signal_handler(number, stop.set)
    network = Network(topology, directory)
    starting = asyncio.create_task(network.start())
    stopping = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait((starting, stopping), return_when=asyncio.FIRST_COMPLETED)
        if starting.done():
            starting.result()
            if told is not None:
                told(network)
            await stopping
    finally:
        stopping.cancel()
        starting.cancel()
        with contextlib.suppress(asyncio.CancelledError, NetworkFailed):
            await starting
        await network.stop()
    return 0


def start_keeper(directory: Path) -> AttachedNetwork:
    """Start a process that keeps the network made in `directory`, and return when it is ready. Raises NetworkFailed.

    A Ctrl-C while waiting ends that process and all that it started.
    """
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(filter(None, (search_path(), os.environ.get("PYTHONPATH")))),
    }
    log_path = directory / LOG
    with log_path.open("ab") as log:
        keeper = subprocess.Popen(
            [sys.executable, "-m", "localnet", str(directory)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            env=environment,
        )
    try:
        return _wait_ready(keeper, directory)
    except BaseException:
        keeper.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            keeper.wait(STOP_TIMEOUT_S)
        raise


def _wait_ready(keeper: subprocess.Popen[bytes], directory: Path) -> AttachedNetwork:
    give_up = time.monotonic() + READY_TIMEOUT_S + STOP_TIMEOUT_S
    while time.monotonic() < give_up:
        if keeper.poll() is not None:
            raise NetworkFailed(f"the network did not start. {directory / LOG} says:\n{tail(directory / LOG)}")
        state = read_state(directory)
        if state is not None and state.ready_s is not None:
            return attach(directory)
        time.sleep(_POLL_S)
    raise NetworkFailed(f"the network did not become ready; see {directory / LOG}")


def stop_keeper(directory: Path) -> bool:
    """End the network in `directory`, whoever keeps it; False if it did not run. Leaves no process and no socket.

    Raises MaterialWrong where there is no network.
    """
    material = load_material(directory)
    state = read_state(directory)
    if state is not None:
        send((state.pid,), signal.SIGTERM)
        if not _gone(state, STOP_TIMEOUT_S):
            send((state.pid,), signal.SIGKILL)
            _gone(state, STOP_TIMEOUT_S)
    # What was left by a keeper that was killed: the kernel has ended its children, but not their files.
    for name in material.topology.organizations:
        files = material.files(name)
        send(find_processes(files.folder, files.data).all(), signal.SIGKILL)
        remove_runtime_folder(material, name)
    return state is not None


def _gone(state: State, seconds: float) -> bool:
    give_up = time.monotonic() + seconds
    while start_time(state.pid) == state.began:
        if time.monotonic() > give_up:
            return False
        time.sleep(_POLL_S)
    return True
