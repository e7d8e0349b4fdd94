"""Shares the event loop's thread between connections: short turns, in rotation, sockets polled in between.

Why it is so. The process serves many ledgers on one loop, and one interpreter lock is shared by that loop
and a consensus thread a ledger. A queue of ten thousand CheckTx on one connection may cost neither
another connection's query nor anybody's consensus call more than a few milliseconds. So work on
the loop is cut into turns: a connection gets `TURN_SECONDS`, all of them together `ROUND_SECONDS` before the
loop polls its sockets again. While any consensus call is in hand the loop then rests for
`CONSENSUS_REST_SECONDS`, which leaves the interpreter to that call's thread. Without the rest a loop under a flood
takes the lock back nearly every time it polls: a FinalizeBlock of 10 ms took 135 ms in the median and a second at
the 99th percentile (measured; 17 and 27 ms with it). The interpreter's switch interval is set to
`SWITCH_INTERVAL_SECONDS` (default 5 ms): a thread that computes gives way to the loop's after half a
millisecond, and the other way round.
"""

from __future__ import annotations

import sys
from collections import deque
from time import perf_counter
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    import asyncio

TURN_SECONDS: Final = 0.0005
ROUND_SECONDS: Final = 0.002
CONSENSUS_REST_SECONDS: Final = 0.001
SWITCH_INTERVAL_SECONDS: Final = 0.0005


class Worker(Protocol):
    """Something that has calls to run on the loop, one after another."""

    def take_turn(self, until: float, /) -> bool:
        """Run calls until `perf_counter()` passes `until`; say whether some are left that could run now."""
        ...


class Slices:
    """The rotation of one event loop. All ledgers of the loop should share one, or each gets a round of its own."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        """Serve `loop`; everything here is called on its thread."""
        self._loop = loop
        self._waiting: deque[Worker] = deque()
        self._queued: set[Worker] = set()
        self._scheduled = False
        self._consensus_calls = 0
        self._worked_seconds = 0.0  # since the last rest
        self._last_end = 0.0
        sys.setswitchinterval(SWITCH_INTERVAL_SECONDS)

    def wake(self, worker: Worker) -> None:
        """Give `worker` a turn soon; harmless when it already waits for one."""
        if worker in self._queued:
            return
        self._queued.add(worker)
        self._waiting.append(worker)
        if not self._scheduled:
            self._schedule_round()

    def consensus_call_begins(self) -> None:
        """Note that a consensus thread has work."""
        self._consensus_calls += 1

    def consensus_call_ends(self) -> None:
        """Note that it has finished."""
        self._consensus_calls -= 1

    def _run_round(self) -> None:
        self._scheduled = False
        begin = now = perf_counter()
        if begin - self._last_end >= CONSENSUS_REST_SECONDS:
            self._worked_seconds = 0.0
        end = begin + ROUND_SECONDS
        while self._waiting and now < end:
            worker = self._waiting.popleft()
            self._queued.discard(worker)
            if worker.take_turn(min(now + TURN_SECONDS, end)):
                self._queued.add(worker)
                self._waiting.append(worker)
            now = perf_counter()
        self._worked_seconds += now - begin
        self._last_end = now
        if self._waiting and not self._scheduled:
            self._schedule_round()

    def _schedule_round(self) -> None:
        self._scheduled = True
        # Counted over several rounds, since requests may come in many small helpings.
        tired = self._worked_seconds >= ROUND_SECONDS
        if self._consensus_calls and tired and perf_counter() - self._last_end < CONSENSUS_REST_SECONDS:
            self._loop.call_later(CONSENSUS_REST_SECONDS, self._run_round)
        else:
            self._loop.call_soon(self._run_round)
