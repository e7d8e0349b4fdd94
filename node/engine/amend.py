"""The change that the pinned engine is built with, and why: docs/decisions/engine-amendment.md.

Standard library only: the wheel's build hook imports this module before any dependency is installed.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from node.engine.progress import BuildFailed

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_STEP: Final = "engine: amend its source"


@dataclass(frozen=True, slots=True)
class Amendment:
    """In the module's file `path`, the text `before`, which must stand there exactly once, becomes `after`."""

    path: str
    before: str
    after: str


AMENDMENTS: Final = (
    # The constant is meant in milliseconds and used as nanoseconds: while the goroutine that writes to the application
    # waits for a processor, the timer fires without a pause and takes that processor.
    Amendment("abci/client/socket_client.go", "flushThrottleMS = 20 ", "flushThrottleMS = 200_000 "),
)


def write_amended(
    module: Path, pin_folder: Path, pinned_module: str, work: Path, amendments: Sequence[Amendment] = AMENDMENTS
) -> None:
    """Make `work` a module that builds the pinned one from an amended copy of `module`, its unpacked source.

    The Go tool lets nobody replace single files of its module cache, so it's a copy. Its place is given relative to
    `work`: an absolute path would stand in the executable. Raises `BuildFailed`.
    """
    copy = work / "engine"
    for source in sorted(module.rglob("*")):
        if source.is_file():
            place = copy / source.relative_to(module)
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, place)  # without its mode: the module cache is read-only
    for amendment in amendments:
        _amend(copy / amendment.path, amendment)
    shutil.copyfile(pin_folder / "go.sum", work / "go.sum")
    pinned = (pin_folder / "go.mod").read_text(encoding="utf-8")
    (work / "go.mod").write_text(f"{pinned}\nreplace {pinned_module} => ./engine\n", encoding="utf-8")


def _amend(path: Path, amendment: Amendment) -> None:
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    found = text.count(amendment.before)
    if found != 1:
        reason = f"{amendment.path} has {found} times {amendment.before!r}, expected it once"
        raise BuildFailed(_STEP, reason, "a new pin needs its amendments looked at: node/engine/amend.py")
    path.write_text(text.replace(amendment.before, amendment.after), encoding="utf-8")
