"""What the processes of the networks use: memory, processor time, disk."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_TICKS_A_SECOND: Final = os.sysconf("SC_CLK_TCK")
_KIB: Final = 1_024


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """Bytes. `pss`: its own and its share of what it has in common with others; `private`: its own alone."""

    pss: int
    private: int


def memory(pid: int) -> Memory:
    """Of a process; zeros if it is gone."""
    values = {"Pss": 0, "Private_Clean": 0, "Private_Dirty": 0}
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii")
    except OSError:
        text = ""
    for line in text.splitlines():
        name, _, rest = line.partition(":")
        if name in values:
            values[name] = int(rest.split()[0]) * _KIB
    return Memory(pss=values["Pss"], private=values["Private_Clean"] + values["Private_Dirty"])


def processor_s(pid: int) -> float:
    """Seconds of processor time that a process has used, all its threads together; 0 if it is gone."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    except OSError:
        return 0.0
    user, system = text.rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / _TICKS_A_SECOND


def busy_s() -> float:
    """Seconds for which all processors together have been busy since the machine started, for whatever program."""
    user, nice, system, _, _, interrupts, soft, stolen = Path("/proc/stat").read_text(encoding="ascii").split()[1:9]
    return sum(map(int, (user, nice, system, interrupts, soft, stolen))) / _TICKS_A_SECOND


def processor_by_role(pids: Mapping[str, Iterable[int]]) -> dict[str, float]:
    """Seconds, summed over the processes of each role."""
    return {role: sum(map(processor_s, its)) for role, its in pids.items()}


def disk_bytes(folder: Path) -> int:
    """Bytes of all files below."""
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.stat().st_size if path.is_file() else 0
        except OSError:  # a store merged it away meanwhile
            continue
    return total


def machine() -> dict[str, object]:
    """Processors, their name, memory in bytes, and the load before the start."""
    names = [
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
        if line.startswith("model name")
    ]
    return {
        "processors": len(os.sched_getaffinity(0)),
        "processor": names[0] if names else "",
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "kernel": os.uname().release,
        "load_before": round(os.getloadavg()[0], 2),
    }
