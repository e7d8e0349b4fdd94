"""The processes of one node, as its pid files name them, and what they use."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from node.daemon import runtime_folder
from node.process import start_time

NODE_PID: Final = "node.pid"
_APPLICATION: Final = "application-"
_ENGINE: Final = "engine-"
AGENT: Final = "agent-"
_PAGE_KIB: Final = 1_024


@dataclass(frozen=True, slots=True)
class Processes:
    """Pids; `node` is None where it does not run. `applications` by name, `engines` by ledger id, `agents` by role.

    Agents are here only where they are processes of their own.
    """

    node: int | None = None
    applications: Mapping[str, int] = field(default_factory=dict)
    engines: Mapping[str, int] = field(default_factory=dict)
    agents: Mapping[str, int] = field(default_factory=dict)

    def all(self) -> tuple[int, ...]:
        """The node first, so that it is the first to stop noticing."""
        node = () if self.node is None else (self.node,)
        return (*node, *self.applications.values(), *self.engines.values(), *self.agents.values())


def find_processes(folder: Path, data: Path) -> Processes:
    """The running processes of the node in `folder` with this data folder."""
    found = {path.stem.removeprefix(AGENT): living(path) for path in sorted(folder.glob(f"{AGENT}*.pid"))}
    agents = {role: pid for role, pid in found.items() if pid is not None}
    if not data.exists():
        return Processes(node=living(folder / NODE_PID), agents=agents)
    applications, engines = {}, {}
    for path in sorted(runtime_folder(data).glob("*.pid")):
        pid = living(path)
        if pid is None:
            continue
        if path.stem.startswith(_ENGINE):
            engines[path.stem.removeprefix(_ENGINE)] = pid
        elif path.stem.startswith(_APPLICATION):
            applications[path.stem] = pid
    return Processes(living(folder / NODE_PID), applications, engines, agents)


def living(pid_file: Path) -> int | None:
    """The pid in the file ("pid start-time"), if that very process is still there."""
    try:
        pid, began = map(int, pid_file.read_text(encoding="ascii").split())
    except (OSError, ValueError):
        return None
    return pid if began and start_time(pid) == began and not _is_zombie(pid) else None


def send(pids: tuple[int, ...], number: signal.Signals) -> None:
    """Signal all of them; who is gone already is passed over."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def memory_bytes(pid: int) -> int:
    """Its own memory and its share of what it has in common with others (PSS), 0 if it is gone."""
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii")
    except OSError:
        return 0
    for line in text.splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * _PAGE_KIB
    return 0


def _is_zombie(pid: int) -> bool:
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    except OSError:
        return True
    return text.rpartition(")")[2].split()[0] == "Z"
