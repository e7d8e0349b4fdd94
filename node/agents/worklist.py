"""Worklist: which documents an agent looks at next, each by one call at a time. No clock and no waiting: both are given.

A document that is woken while it is looked at gets another turn. Failures that may pass come again after pauses that grow;
nothing comes again in a row without a pause, so a step that is refused never spins.
"""

from __future__ import annotations

import heapq
from typing import Final, NamedTuple

# Shortest time between a call that asks for another one, and that one.
PAUSE_MS_MIN: Final = 200
PAUSE_MS_MAX: Final = 30_000
# After this many failures in a row the pause grows no more.
_DOUBLINGS_MAX: Final = 8


class Subject(NamedTuple):
    """A document somewhere."""

    ledger_id: str
    kind: str
    document_id: str


class Worklist:
    """Subjects by the time at which they are due; equal times in the order in which they were woken."""

    def __init__(self) -> None:
        """Empty."""
        # A heap may hold entries that `_due` no longer knows; those are passed over.
        self._heap: list[tuple[int, int, Subject]] = []
        self._due: dict[Subject, tuple[int, int]] = {}
        # Subjects that are being looked at; True if woken meanwhile.
        self._active: dict[Subject, bool] = {}
        self._failures: dict[Subject, int] = {}
        self._count = 0

    def wake(self, subject: Subject, now_ms: int) -> None:
        """Look at it now, or once more if somebody is just looking."""
        if subject in self._active:
            self._active[subject] = True
        else:
            self._schedule(subject, now_ms)

    def take(self, now_ms: int) -> Subject | None:
        """The next subject that is due; it must be given to one of the three below. None if nothing is due."""
        while self._heap:
            due_ms, count, subject = self._heap[0]
            current = self._due.get(subject) == (due_ms, count)
            if current and due_ms > now_ms:
                return None
            heapq.heappop(self._heap)
            if current:
                del self._due[subject]
                self._active[subject] = False
                return subject
        return None

    def done(self, subject: Subject, now_ms: int) -> None:
        """It was looked at, and nothing is left to do that time alone would change."""
        self._failures.pop(subject, None)
        if self._active.pop(subject):
            self._schedule(subject, now_ms)

    def later(self, subject: Subject, at_ms: int, now_ms: int) -> None:
        """It asked to be looked at again at `at_ms`."""
        self._failures.pop(subject, None)
        woken = self._active.pop(subject)
        self._schedule(subject, now_ms if woken else max(at_ms, now_ms + PAUSE_MS_MIN))

    def failed(self, subject: Subject, now_ms: int, at_ms: int | None = None) -> int:
        """What failed may pass later: again after a pause, which is returned in milliseconds.

        It is the shortest one if the subject was woken meanwhile, and ends at `at_ms` if something else is due there.
        """
        failures = self._failures.get(subject, 0)
        self._failures[subject] = failures + 1
        woken = self._active.pop(subject)
        pause_ms = PAUSE_MS_MIN if woken else min(PAUSE_MS_MIN << min(failures, _DOUBLINGS_MAX), PAUSE_MS_MAX)
        if at_ms is not None:
            pause_ms = max(PAUSE_MS_MIN, min(pause_ms, at_ms - now_ms))
        self._schedule(subject, now_ms + pause_ms)
        return pause_ms

    def next_due_ms(self) -> int | None:
        """When something is due next."""
        while self._heap and self._due.get(self._heap[0][2]) != self._heap[0][:2]:
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def is_due(self, subject: Subject, now_ms: int) -> bool:
        """Whether it is being looked at, or waits for nothing but its turn."""
        return subject in self._active or (subject in self._due and self._due[subject][0] <= now_ms)

    def is_idle(self, ledger_id: str) -> bool:
        """Whether nothing of this ledger is due, now or later, or being looked at."""
        return not any(subject.ledger_id == ledger_id for subject in (*self._due, *self._active))

    def __len__(self) -> int:
        """Subjects that wait or are being looked at."""
        return len(self._due) + len(self._active)

    def _schedule(self, subject: Subject, due_ms: int) -> None:
        known = self._due.get(subject)
        if known is not None and known[0] <= due_ms:
            return
        self._count += 1
        self._due[subject] = (due_ms, self._count)
        heapq.heappush(self._heap, (due_ms, self._count, subject))
