"""Build steps that show they are alive, and that say on failure which they were and what to do.

Standard library only: the wheel's build hook imports this module before any dependency is installed.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

PROGRESS_VARIABLE: Final = "SYNGRAPH_PROGRESS"
"""Names a file to append progress lines to. pip hides what a build prints, so `scripts/` follows this file."""

HEARTBEAT_S: Final = 10.0
TAIL_LINES: Final = 30


class BuildFailed(RuntimeError):
    """A build step failed. `str()` gives the step, the command's last lines and what to do."""

    def __init__(self, step: str, reason: str, advice: str) -> None:
        super().__init__(f"step failed: {step}\n{reason}\nwhat to do: {advice}")
        self.step = step
        self.advice = advice


def report(line: str) -> None:
    """Show one line of progress."""
    print(line, file=sys.stderr, flush=True)
    if path := os.environ.get(PROGRESS_VARIABLE):
        with Path(path).open("a", encoding="utf-8") as out:
            out.write(line + "\n")


class _Heartbeat(threading.Thread):
    """Says every few seconds that a step still runs, and how many lines its command has printed."""

    def __init__(self, step: str, counted: str) -> None:
        super().__init__(daemon=True)
        self.lines = 0
        self.ended = threading.Event()
        self._step = step
        self._counted = counted

    def run(self) -> None:
        began = time.monotonic()
        while not self.ended.wait(HEARTBEAT_S):
            count = f", {self.lines} {self._counted}" if self._counted else ""
            report(f"    {self._step}: {time.monotonic() - began:.0f} s{count}")


def run_step(
    step: str,
    command: Sequence[str | Path],
    *,
    advice: str,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    counted: str = "",
) -> str:
    """Run `command`, showing progress, and return what it printed on its standard output.

    `counted` names what a line on standard error stands for, such as "packages compiled".
    Raises `BuildFailed`.
    """
    report(f"  {step}")
    began = time.monotonic()
    heartbeat = _Heartbeat(step, counted)
    heartbeat.start()
    try:
        code, out, tail = _run(command, cwd, env, heartbeat)
    except OSError as error:
        raise BuildFailed(step, str(error), advice) from error
    finally:
        heartbeat.ended.set()
    if code:
        shown = " ".join(map(str, command))
        raise BuildFailed(step, f"`{shown}` ended with code {code}:\n{tail}", advice)
    report(f"  {step}: done in {time.monotonic() - began:.1f} s")
    return out


def _run(
    command: Sequence[str | Path], cwd: Path | None, env: Mapping[str, str] | None, heartbeat: _Heartbeat
) -> tuple[int, str, str]:
    """Run to the end and return (exit code, standard output, last lines of standard error)."""
    tail: deque[str] = deque(maxlen=TAIL_LINES)
    out: list[str] = []
    pipe = subprocess.PIPE
    with subprocess.Popen(
        list(map(str, command)), cwd=cwd, env=env, stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe, text=True
    ) as process:
        # Both pipes are read at once: a command that fills one while we wait on the other would hang.
        reader = threading.Thread(target=lambda: out.extend(process.stdout or ()))
        reader.start()
        for line in process.stderr or ():
            heartbeat.lines += 1
            tail.append(line)
        reader.join()
        code = process.wait()
    return code, "".join(out), "".join(tail)
