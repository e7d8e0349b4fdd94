"""Bookings of the reference inventory: what is held, by whom and how long, in one SQLite file.

Each operation of the adapter is one transaction, synced before it is answered: killed at any instant, the file has all of it
or nothing. Without a path everything is kept in memory, by the same code: for the simulation.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from node.agents.provisioning import ProvisioningBroken

SCHEMA_VERSION: Final = 1
# Another process of the same agent may be ending just now; two at work are a mistake, but harmless.
BUSY_TIMEOUT_S: Final = 10
_IN_MEMORY: Final = ":memory:"
_SCHEMA: Final = (
    (
        "CREATE TABLE booking (id TEXT PRIMARY KEY, sha256 BLOB NOT NULL, pool TEXT NOT NULL, units INTEGER NOT NULL,"
        " held INTEGER NOT NULL, status TEXT NOT NULL, until_ms INTEGER NOT NULL, changes TEXT NOT NULL) STRICT"
    ),
    "CREATE INDEX booking_pool ON booking (pool, status) WHERE status <> 'released'",
    "CREATE INDEX booking_changes ON booking (changes) WHERE status = 'active' AND changes <> ''",
    "CREATE TABLE call (id TEXT PRIMARY KEY, fault TEXT NOT NULL, first_ms INTEGER NOT NULL, answer BLOB NOT NULL) STRICT",
    "CREATE TABLE fault (name TEXT PRIMARY KEY, used INTEGER NOT NULL) STRICT",
    f"PRAGMA user_version = {SCHEMA_VERSION}",
)


class BookingStatus(StrEnum):
    """Stored: never rename a value. RESERVED ends by itself after `until_ms`, the others by an act only."""

    RESERVED = "reserved"
    ACTIVATING = "activating"
    ACTIVE = "active"
    RELEASED = "released"


@dataclass(frozen=True, slots=True, kw_only=True)
class Booking:
    """`held` units of `pool`; a change of a booking holds only what it needs beyond that until it is active."""

    id: str
    sha256: bytes
    pool: str
    units: int
    held: int
    status: BookingStatus
    until_ms: int
    changes: str = ""

    def is_live(self, now_ms: int) -> bool:
        """Whether it holds its units: free again from the millisecond after `until_ms`."""
        if self.status == BookingStatus.RESERVED:
            return now_ms <= self.until_ms
        return self.status != BookingStatus.RELEASED


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """What is remembered of a call: the fault that met it (empty for none), when it came first, and its final answer."""

    id: str
    fault: str = ""
    first_ms: int
    answer: bytes = b""


class Books:
    """The tables inside one transaction."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        """Only a store makes one."""
        self._connection = connection

    def booking(self, booking_id: str) -> Booking | None:
        row = self._connection.execute(
            "SELECT id, sha256, pool, units, held, status, until_ms, changes FROM booking WHERE id = ?", (booking_id,)
        ).fetchone()
        return None if row is None else _booking(row)

    def live(self, now_ms: int) -> tuple[Booking, ...]:
        """All that are neither released nor run out, by id."""
        rows = self._connection.execute(
            "SELECT id, sha256, pool, units, held, status, until_ms, changes FROM booking WHERE status <> 'released'"
            " ORDER BY id"
        )
        return tuple(booking for booking in map(_booking, rows) if booking.is_live(now_ms))

    def active_changes_of(self, booking_id: str) -> tuple[Booking, ...]:
        """What is active in the place of another booking, by id."""
        rows = self._connection.execute(
            "SELECT id, sha256, pool, units, held, status, until_ms, changes FROM booking WHERE status = 'active'"
            " AND changes <> '' AND changes = ? ORDER BY id",
            (booking_id,),
        )
        return tuple(map(_booking, rows))

    def held(self, pool: str, now_ms: int) -> int:
        """Units of a pool that are not free."""
        row = self._connection.execute(
            "SELECT COALESCE(SUM(held), 0) FROM booking WHERE pool = ? AND status <> 'released'"
            " AND (status <> 'reserved' OR until_ms >= ?)",
            (pool, now_ms),
        ).fetchone()
        return int(row[0])

    def put_booking(self, booking: Booking) -> None:
        self._connection.execute(
            "INSERT OR REPLACE INTO booking (id, sha256, pool, units, held, status, until_ms, changes)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                booking.id,
                booking.sha256,
                booking.pool,
                booking.units,
                booking.held,
                booking.status.value,
                booking.until_ms,
                booking.changes,
            ),
        )

    def call(self, call_id: str) -> Call | None:
        row = self._connection.execute(
            "SELECT id, fault, first_ms, answer FROM call WHERE id = ?", (call_id,)
        ).fetchone()
        return None if row is None else Call(id=row[0], fault=row[1], first_ms=row[2], answer=row[3])

    def put_call(self, call: Call) -> None:
        self._connection.execute(
            "INSERT OR REPLACE INTO call (id, fault, first_ms, answer) VALUES (?, ?, ?, ?)",
            (call.id, call.fault, call.first_ms, call.answer),
        )

    def fault_used(self, name: str) -> int:
        row = self._connection.execute("SELECT used FROM fault WHERE name = ?", (name,)).fetchone()
        return 0 if row is None else int(row[0])

    def use_fault(self, name: str) -> None:
        self._connection.execute(
            "INSERT INTO fault (name, used) VALUES (?, 1) ON CONFLICT (name) DO UPDATE SET used = used + 1", (name,)
        )


class BookingStore:
    """The file, or memory without a path. May be used from several threads; transactions run one after another."""

    def __init__(self, path: Path | None = None) -> None:
        """Opens or creates the file. Raises ProvisioningBroken."""
        self._turn = threading.Lock()
        try:
            if path is not None:
                path.touch(mode=0o600)
            self._connection = sqlite3.connect(
                _IN_MEMORY if path is None else path,
                timeout=BUSY_TIMEOUT_S,
                isolation_level=None,
                check_same_thread=False,
            )
        except (OSError, sqlite3.Error) as error:
            raise ProvisioningBroken(f"The bookings can't be opened: {error}.") from error
        try:
            self._prepare()
        except (sqlite3.Error, ProvisioningBroken) as error:
            self._connection.close()
            raise ProvisioningBroken(f"The bookings can't be opened: {error}.") from error

    def _prepare(self) -> None:
        # One sync a transaction, and a reader is never in the way.
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("PRAGMA synchronous = FULL")
        with self.transaction():
            (version,) = self._connection.execute("PRAGMA user_version").fetchone()
            if version == 0:
                for statement in _SCHEMA:
                    self._connection.execute(statement)
            elif version != SCHEMA_VERSION:
                raise ProvisioningBroken(f"they have version {version}, and this software knows {SCHEMA_VERSION}")

    @contextmanager
    def transaction(self) -> Iterator[Books]:
        """All that is done inside takes effect, or nothing if it raises. Raises ProvisioningBroken."""
        with self._turn:
            try:
                self._connection.execute("BEGIN IMMEDIATE")
                try:
                    yield Books(self._connection)
                except BaseException:
                    self._connection.execute("ROLLBACK")
                    raise
                self._connection.execute("COMMIT")
            except sqlite3.Error as error:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise ProvisioningBroken(f"The bookings can't be read or written: {error}.") from error

    def close(self) -> None:
        """Close the file."""
        with self._turn, closing(self._connection):
            pass


def _booking(row: tuple[Any, ...]) -> Booking:
    key, sha256, pool, units, held, status, until_ms, changes = row
    return Booking(
        id=key,
        sha256=sha256,
        pool=pool,
        units=units,
        held=held,
        status=BookingStatus(status),
        until_ms=until_ms,
        changes=changes,
    )
