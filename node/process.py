"""A child process that is kept running: started, watched by its exit, started again with growing pauses.

An engine exits with code 0 when its application goes away, so the exit counts and never the code. Children are in sessions
of their own (a Ctrl-C in the terminal reaches the node alone, which ends them in order), and the kernel kills them when the
node is gone, however it went.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, Final

import structlog

PAUSE_FIRST_S: Final = 0.5
PAUSE_MAX_S: Final = 30.0
# A process that ran this long begins with short pauses again.
STEADY_S: Final = 60.0
STOP_GRACE_S: Final = 10.0
LINE_BYTES_MAX: Final = 64 * 1024

# Runs before the program itself and becomes it: asks the kernel to kill it when the node dies.
_LAUNCHER: Final = """
import ctypes, os, signal, sys
ctypes.CDLL(None).prctl(1, signal.SIGKILL)
if os.getppid() != int(sys.argv[1]):
    sys.exit(1)
os.execv(sys.argv[2], sys.argv[2:])
"""


async def _at_once() -> None:
    """For processes that wait for nothing."""


class KeptProcess:
    """One child. `run` keeps it until `stop`."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        pid_file: Path,
        *,
        on_line: Callable[[str], None],
        before_start: Callable[[], Awaitable[None]] = _at_once,
        after_exit: Callable[[], None] = lambda: None,
        log: Any = None,
        stop_grace_s: float = STOP_GRACE_S,
    ) -> None:
        """`before_start` may wait for what the process needs; `on_line` gets each line that it prints; `log` is structlog's."""
        self.name = name
        self.restarts = 0
        self._command = tuple(command)
        self._pid_file = pid_file
        self._on_line = on_line
        self._before_start = before_start
        self._after_exit = after_exit
        self._stop_grace_s = stop_grace_s
        self._process: asyncio.subprocess.Process | None = None
        self._stopping = asyncio.Event()
        self._log = (log or structlog.get_logger()).bind(process=name)

    @property
    def pid(self) -> int | None:
        """The running child's."""
        return self._process.pid if self._process is not None and self._process.returncode is None else None

    async def run(self) -> None:
        """Start, wait for its end, pause, start again; return after `stop`."""
        await asyncio.to_thread(end_leftover, self._pid_file, self._log)
        pause_s = PAUSE_FIRST_S
        while not self._stopping.is_set():
            await self._before_start()
            if self._stopping.is_set():
                return
            started = time.monotonic()
            try:
                await self._run_once()
            except OSError as error:
                self._log.error("process_not_started", reason=error.strerror)
            if self._stopping.is_set():
                return
            pause_s = PAUSE_FIRST_S if time.monotonic() - started >= STEADY_S else pause_s
            self._log.warning("process_restarts", pause_s=pause_s)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause_s):
                    await self._stopping.wait()
            pause_s = min(pause_s * 2, PAUSE_MAX_S)
            self.restarts += 1

    async def stop(self) -> None:
        """End the child (SIGTERM, then SIGKILL) and don't start it again."""
        self._stopping.set()
        await self.end_once()

    async def end_once(self, grace_s: float | None = None) -> None:
        """End the child, with -9 after `grace_s` (by default the constructor's); `run` starts it again unless stopped."""
        process = self._process
        if process is None or process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        try:
            async with asyncio.timeout(self._stop_grace_s if grace_s is None else grace_s):
                await process.wait()
        except TimeoutError:
            self._log.warning("process_killed", pid=process.pid)
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()

    async def _run_once(self) -> None:
        process = await asyncio.create_subprocess_exec(
            *self._launched(),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            limit=LINE_BYTES_MAX,
            start_new_session=True,
        )
        self._process = process
        try:
            # Whole or not there: another node's start may read it at any moment. A disk that has no room for it ends the
            # child, too: two engines with one key would sign against each other.
            fresh = self._pid_file.with_suffix(".new")
            fresh.write_text(f"{process.pid} {start_time(process.pid)}\n", encoding="ascii")
            fresh.replace(self._pid_file)
            self._log.info("process_started", pid=process.pid)
            await self._read_lines(process)
            code = await process.wait()
        finally:
            await self.end_once()
            self._pid_file.unlink(missing_ok=True)
            self._after_exit()
        if not self._stopping.is_set():
            self._log.warning("process_ended", pid=process.pid, exit_code=code)

    async def _read_lines(self, process: asyncio.subprocess.Process) -> None:
        output = process.stdout
        if output is None:
            return
        while True:
            try:
                line = await output.readline()
            except ValueError:  # longer than the limit; the rest of it follows
                continue
            if not line:
                return
            self._on_line(line.decode("utf-8", "replace").rstrip("\n"))

    def _launched(self) -> tuple[str, ...]:
        if sys.platform != "linux":
            return self._command
        return (sys.executable, "-I", "-S", "-c", _LAUNCHER, str(os.getpid()), *self._command)


def start_time(pid: int) -> int:
    """When the process began, in the kernel's ticks: with it a pid names one process only. 0 if there is none."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    except OSError:
        return 0
    # The second field is the program's name in parentheses, and may hold spaces.
    return int(text.rpartition(")")[2].split()[19])


def end_leftover(pid_file: Path, log: Any = None) -> None:
    """End what an earlier node left running, if it is still the same process."""
    try:
        pid, began = map(int, pid_file.read_text(encoding="ascii").split())
    except (OSError, ValueError):
        return
    if began and start_time(pid) == began:
        (log or structlog.get_logger()).warning("leftover_process_ended", pid=pid)
        for number in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
            give_up = time.monotonic() + STOP_GRACE_S
            while start_time(pid) == began and time.monotonic() < give_up:
                time.sleep(0.05)
    pid_file.unlink(missing_ok=True)
