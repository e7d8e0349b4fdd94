"""The record that a ledger leaves when it stops for good: the supervisor does not restart over it.

Only what may differ from node to node stops a ledger, always before commit. DESIGN section 5.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

HALT_FILE: Final = "halt.json"


class LedgerHaltedError(Exception):
    """The ledger has stopped; `halt.json` in its data directory says why."""


class VersionLackingError(LedgerHaltedError):
    """The next block runs under a contracts version that this software lacks (docs/versions.md)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HaltRecord:
    """Why and where a ledger stopped. `failure` is the exception's class, `transaction` a hash or empty."""

    ledger_id: str
    height: int
    step: str
    failure: str
    message: str
    at_ms: int

    def line(self) -> str:
        """One line for people."""
        return f"{self.step} of height {self.height} failed with {self.failure}: {self.message}"


def write_halt(directory: Path, record: HaltRecord) -> None:
    """Leave the record; a disk that refuses even this is in the log, and the ledger stops all the same."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = directory / HALT_FILE
    path.write_text(json.dumps(asdict(record), indent=1) + "\n", encoding="utf-8")
    path.chmod(0o600)


def remove_halt(directory: Path) -> None:
    """Take the record away: its cause is gone."""
    (directory / HALT_FILE).unlink(missing_ok=True)


def read_halt(directory: Path) -> HaltRecord | None:
    """The record of an earlier halt, if there is one; an unreadable one counts too."""
    path = directory / HALT_FILE
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    try:
        return HaltRecord(**json.loads(text))
    except (ValueError, TypeError):
        return HaltRecord(
            ledger_id="", height=0, step="unknown", failure="unreadable", message=f"see {path.name}", at_ms=0
        )
