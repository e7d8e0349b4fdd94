"""Follows the ledgers of a market of several tiers, and keeps what happened on them and when it was heard of."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager

from scripts.load.commits import Commit, Happening, commits_of
from scripts.load.traders import FlowFailed
from scripts.story.scene import Seat


def now_ms() -> float:
    """Unix time in milliseconds, with its fraction: blocks' times are of the same clock."""
    return time.time_ns() / 1_000_000


class Watch:
    """What happened since it began."""

    def __init__(self) -> None:
        """Nothing yet."""
        self._happenings: list[Happening] = []
        self._news = asyncio.Event()

    def commits(self, since_ms: float = 0.0) -> tuple[Commit, ...]:
        """Blocks of which something was heard since then."""
        return commits_of(one for one in self._happenings if one.arrived_ms >= since_ms)

    async def heard(self, held: Callable[[Happening], bool], within_s: float, what: str) -> Happening:
        """The first happening of which `held` says so, as soon as it is heard of. Raises FlowFailed after `within_s`."""
        place = 0
        try:
            async with asyncio.timeout(within_s):
                while True:
                    for one in self._happenings[place:]:
                        if held(one):
                            return one
                    place = len(self._happenings)
                    await self._news.wait()
        except TimeoutError as error:
            raise FlowFailed(f"{what}: nothing after {within_s:.0f} s") from error

    async def follow(self, seat: Seat, after: str) -> None:
        """Keep what happens on one ledger, until cancelled."""
        async for event in seat.ledger.events(after):
            self._happenings.append(
                Happening(
                    ledger=seat.ledger_name,
                    height=event.height,
                    name=event.name,
                    document_id=event.document_id,
                    transaction_id=event.transaction_id,
                    ledger_time_ms=event.ledger_time_ms,
                    arrived_ms=now_ms(),
                )
            )
            # Who waits is woken, and waits for the next one.
            self._news.set()
            self._news = asyncio.Event()


@asynccontextmanager
async def watching(seats: Iterable[Seat]) -> AsyncIterator[Watch]:
    """Follow these ledgers, each at its seat's own node, from where they stand."""
    watch = Watch()
    tasks = []
    try:
        for seat in seats:
            after = f"{(await seat.ledger.status()).height}/0"
            tasks.append(asyncio.create_task(watch.follow(seat, after), name=f"watch {seat.ledger_name}"))
        yield watch
    finally:
        for task in tasks:
            task.cancel()
        for task in tasks:
            with contextlib.suppress(asyncio.CancelledError):
                await task
