"""What the simulation keeps about itself: a log that notes what the application complains of, and the last happenings."""

from __future__ import annotations

from collections import deque
from hashlib import sha256
from typing import Any, Final

LAST: Final = 60


class Violation(Exception):
    """Something that must hold does not. `name` is the invariant's; the message says of what and where."""

    def __init__(self, name: str, detail: str) -> None:
        super().__init__(f"{name}: {detail}")
        self.name = name
        self.detail = detail


class QuietLog:
    """A logger for applications: keeps errors, which no simulated history may bring about, and forgets the rest."""

    def __init__(self) -> None:
        self.errors: list[str] = []

    def debug(self, event: str, **fields: Any) -> None:
        """Of no interest."""

    def info(self, event: str, **fields: Any) -> None:
        """Of no interest."""

    def warning(self, event: str, **fields: Any) -> None:
        """Proposals that others refuse for their clock are part of the game."""

    def error(self, event: str, **fields: Any) -> None:
        cause = fields.pop("exc_info", None)
        self.errors.append(f"{event} {fields} {cause!r}")

    def critical(self, event: str, **fields: Any) -> None:
        self.error(event, **fields)

    def exception(self, event: str, **fields: Any) -> None:
        self.error(event, **fields)


class Journal:
    """The last happenings, and a running digest of all of them: two runs of one seed must have the same."""

    def __init__(self) -> None:
        self.last: deque[str] = deque(maxlen=LAST)
        self._digest = sha256()

    def note(self, at_ms: int, step: int, what: str) -> None:
        line = f"{step:>7} {at_ms:>9} ms  {what}"
        self.last.append(line)
        self._digest.update(line.encode() + b"\n")

    def digest(self) -> str:
        return self._digest.hexdigest()
