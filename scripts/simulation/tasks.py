"""Coroutines driven by hand on virtual time. What they await is parked with the world, which goes on with them when it comes about.

There is no event loop: `send` and `throw` are all that runs them, in the order that the schedule gives.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Generator
from dataclasses import dataclass, field
from heapq import heappop, heappush
from typing import Any


@dataclass(slots=True)
class Planned:
    """Something that is to happen, unless it is called off."""

    label: str
    action: Callable[[], None]
    is_off: bool = False


class Schedule:
    """What is to happen, by time and then in the order in which it was put there."""

    def __init__(self) -> None:
        self.now_ms = 0
        self._heap: list[tuple[int, int, Planned]] = []
        self._count = 0

    def at(self, at_ms: int, label: str, action: Callable[[], None]) -> Planned:
        """Do `action` at `at_ms`, or now if that is past."""
        self._count += 1
        planned = Planned(label, action)
        heappush(self._heap, (max(at_ms, self.now_ms), self._count, planned))
        return planned

    def pop(self) -> Planned | None:
        """Go on to the next thing; None if there is none."""
        while self._heap:
            at_ms, _, planned = heappop(self._heap)
            if not planned.is_off:
                self.now_ms = at_ms
                return planned
        return None


class Wait:
    """Something awaited: `park` is called with the task that waits, and must have it resumed once."""

    def __await__(self) -> Generator[Wait, Any, Any]:
        return (yield self)

    def park(self, task: Task) -> None:
        raise NotImplementedError


@dataclass(slots=True)
class Task:
    """One coroutine. `on_end` gets the exception that ended it, or None."""

    name: str
    coroutine: Coroutine[Wait, Any, Any]
    on_end: Callable[[BaseException | None], None]
    ended: bool = False
    # Of the wait it is parked in: a resumption for another one comes too late.
    place: int = field(default=0)

    def resume(self, value: Any = None) -> None:
        """Go on with a value."""
        self._go(lambda: self.coroutine.send(value))

    def fail(self, error: Exception) -> None:
        """Go on with an exception where it waits."""
        self._go(lambda: self.coroutine.throw(error))

    def kill(self) -> None:
        """Take it away where it waits, as the end of its process does. Nothing in it runs any more."""
        if not self.ended:
            self.ended = True
            self.coroutine.close()

    def _go(self, step: Callable[[], Wait]) -> None:
        if self.ended:
            return
        self.place += 1
        try:
            wait = step()
        except StopIteration:
            self.ended = True
            self.on_end(None)
            return
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # noqa: BLE001 - whoever started it judges, the end of a process included
            self.ended = True
            self.on_end(error)
            return
        wait.park(self)


@dataclass(slots=True)
class Sleep(Wait):
    """Until a time."""

    schedule: Schedule
    until_ms: int

    def park(self, task: Task) -> None:
        place = task.place
        self.schedule.at(self.until_ms, f"{task.name} goes on", lambda: _if_there(task, place))


def _if_there(task: Task, place: int) -> None:
    if task.place == place:
        task.resume()
