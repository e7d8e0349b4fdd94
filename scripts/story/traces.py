"""What an organization's files hold: every byte of its folder, and every entry of every LevelDB, which may compress what it holds."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import plyvel

_CURRENT = "CURRENT"
_BETWEEN = b"\x00--\x00"


@dataclass(frozen=True, slots=True)
class Trace:
    """A marker and the file or store in which it stands."""

    marker: str
    path: Path


@dataclass(frozen=True, slots=True)
class Searched:
    """How much was looked at, and what was found."""

    files: int
    size: int
    traces: tuple[Trace, ...]

    @property
    def found(self) -> frozenset[str]:
        """Names of the markers that stand anywhere."""
        return frozenset(trace.marker for trace in self.traces)


def search(folder: Path, markers: Mapping[str, bytes]) -> Searched:
    """Look for each of the named markers in everything below the folder."""
    files, size, traces = 0, 0, []
    for path, data in contents(folder):
        files += 1
        size += len(data)
        traces += [Trace(name, path) for name, marker in markers.items() if marker in data]
    return Searched(files, size, tuple(traces))


def contents(folder: Path) -> Iterator[tuple[Path, bytes]]:
    """(path, bytes) of every file, and of all entries of every LevelDB as one."""
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            # Logs of a store that is at work may go away meanwhile; what was in them is in its tables then.
            with contextlib.suppress(FileNotFoundError):
                yield path, path.read_bytes()
        elif (path / _CURRENT).is_file():
            yield path, entries(path)


def entries(database: Path) -> bytes:
    """Keys and values of a LevelDB, one after the other. Whoever has it open must stand still meanwhile."""
    # A copy: opening one changes it, and it is not ours.
    with tempfile.TemporaryDirectory(prefix="syngraph-read-") as scratch:
        copy = Path(scratch) / "copy"
        shutil.copytree(database, copy)
        with plyvel.DB(str(copy)) as opened:
            return _BETWEEN.join(key + _BETWEEN + value for key, value in opened)
