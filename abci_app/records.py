"""Records that the application keeps beside the contracts' documents: the system documents.

They lie in the same tree as the contracts' (DESIGN section 6): whatever a transition can read is under
the app hash or derived from what is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from smartcontracts.kernel import Kind, Terms


@dataclass(frozen=True, slots=True, kw_only=True)
class Clock:
    """System document `sys/clock`: written only in a block that changes another document."""

    time_ms: int
    height: int
    event_sequence: int

    @property
    def id(self) -> str:
        """There is one a ledger."""
        return CLOCK_ID


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayMinute:
    """System document `sys/replay/<minute>`: how many transactions expire in it, and h' = SHA-256(h || id) over them."""

    minute: int
    count: int
    running_sha256: bytes

    @property
    def id(self) -> str:
        """By minute of expiry."""
        return f"{REPLAY_ID_PREFIX}{self.minute}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Quarantine:
    """System document `sys/quarantine/<kind>/<id>`: a deadline of that document raised; it fires no more."""

    document: str
    transition: str
    due_ms: int
    rules_version: int
    failure: str

    @property
    def id(self) -> str:
        """By the document's key."""
        return f"{QUARANTINE_ID_PREFIX}{self.document}"


SYSTEM: Final = "sys"
CLOCK_ID: Final = "clock"
REPLAY_ID_PREFIX: Final = "replay/"
QUARANTINE_ID_PREFIX: Final = "quarantine/"
CLOCK_KEY: Final = f"{SYSTEM}/{CLOCK_ID}"
REPLAY_KEY_PREFIX: Final = f"{SYSTEM}/{REPLAY_ID_PREFIX}"
QUARANTINE_KEY_PREFIX: Final = f"{SYSTEM}/{QUARANTINE_ID_PREFIX}"

MINUTE_MS: Final = 60_000


def _no_terms(_: object) -> Terms:
    return Terms()


CLOCK: Final[Kind[Clock]] = Kind(name=SYSTEM, prefix=SYSTEM, record=Clock, terms=_no_terms)
REPLAY: Final[Kind[ReplayMinute]] = Kind(name=SYSTEM, prefix=SYSTEM, record=ReplayMinute, terms=_no_terms)
QUARANTINE: Final[Kind[Quarantine]] = Kind(name=SYSTEM, prefix=SYSTEM, record=Quarantine, terms=_no_terms)
