"""The rotation: everybody gets turns, sockets are polled in between, and consensus gets the interpreter."""

from __future__ import annotations

import asyncio
import time
from itertools import pairwise

from abci_app.server.slices import ROUND_SECONDS, TURN_SECONDS, Slices


class Endless:
    """Always has more to do, and uses each turn up."""

    def __init__(self) -> None:
        self.turns = 0
        self.worked_seconds = 0.0

    def take_turn(self, until: float) -> bool:
        begun = time.perf_counter()
        while time.perf_counter() < until:
            pass
        self.turns += 1
        self.worked_seconds += time.perf_counter() - begun
        return True


# A machine that is busy with other things disturbs most tries, but not all of them.
TRIES = 60
NEARLY_ALL = (0.85, 1.1)
WITH_RESTS = (0.3, 0.75)


async def comes_to(slices: Slices, worker: Endless, bounds: tuple[float, float]) -> bool:
    """Whether the worker's share of the time, measured a few times if need be, lies there."""
    for _ in range(TRIES):
        if bounds[0] < await share_of_time(slices, worker, 0.2) < bounds[1]:
            return True
    return False


async def share_of_time(slices: Slices, worker: Endless, seconds: float) -> float:
    before, begun = worker.worked_seconds, time.perf_counter()
    await asyncio.sleep(seconds)
    return (worker.worked_seconds - before) / (time.perf_counter() - begun)


def test_endless_workers_take_turns_and_timers_of_the_loop_still_fire():
    async def scenario():
        slices = Slices(asyncio.get_running_loop())
        workers = [Endless() for _ in range(5)]
        for worker in workers:
            slices.wake(worker)
        slices.wake(workers[0])
        counts = [0]  # turns taken, seen each time that the loop comes round
        while len(counts) < 20 or min(worker.turns for worker in workers) < 5:
            await asyncio.sleep(0)
            counts.append(sum(worker.turns for worker in workers))
        return counts, [worker.turns for worker in workers]

    counts, turns = asyncio.run(scenario())
    # A turn takes its whole time, on a slow machine longer, so between two looks at the sockets there are at most so many.
    assert max(after - before for before, after in pairwise(counts)) <= ROUND_SECONDS / TURN_SECONDS
    assert max(turns) - min(turns) <= 1


def test_the_loop_rests_only_while_a_consensus_call_is_in_hand():
    async def scenario():
        slices, worker = Slices(asyncio.get_running_loop()), Endless()
        slices.wake(worker)
        free = await comes_to(slices, worker, NEARLY_ALL)
        slices.consensus_call_begins()
        in_hand = await comes_to(slices, worker, WITH_RESTS)
        slices.consensus_call_ends()
        after = await comes_to(slices, worker, NEARLY_ALL)
        return free, in_hand, after

    assert asyncio.run(scenario()) == (True, True, True)


def test_many_small_helpings_rest_like_one_large_queue():
    """A client that sends its next request after each reply must not escape the rest."""

    class Small(Endless):
        def take_turn(self, until: float) -> bool:
            super().take_turn(min(until, time.perf_counter() + 0.0003))
            loop.call_soon(slices.wake, self)
            return False

    async def scenario():
        nonlocal loop, slices
        loop = asyncio.get_running_loop()
        slices, worker = Slices(loop), Small()
        slices.consensus_call_begins()
        slices.wake(worker)
        return await comes_to(slices, worker, WITH_RESTS)

    loop: asyncio.AbstractEventLoop
    slices: Slices
    loop, slices = None, None  # type: ignore[assignment]
    assert asyncio.run(scenario())
