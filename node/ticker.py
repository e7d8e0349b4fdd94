"""Ticks: when a deadline is due on a ledger that sleeps, its validators' nodes ask for a block.

The bytes are the same on every node, so four ticks are one transaction; the attempt counts seconds, so that the engine's
cache does not refuse the next. DESIGN section 4, hazard B3.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final

import structlog

from ledgers.transaction import encode_tick
from node.application_client import ApplicationAway, ApplicationRefused
from node.ledger_link import LedgerLink
from node.rpc import EngineAway, EngineRefused
from syngraph.v1 import application_pb2 as wire
from syngraph.v1.system_pb2 import Rules, StoredDocument

ATTEMPT_S: Final = 1.0
_RETRY_S: Final = 1.0
_CLOCK_AHEAD_DEFAULT_MS: Final = 500


def clock_ms() -> int:
    """Unix time in milliseconds."""
    return time.time_ns() // 1_000_000


def attempt_at(now_ms: int, due_ms: int, clock_ahead_ms: int) -> int | None:
    """Which attempt is to be made now; None while it is too early for the first.

    A proposer's timestamp may be `clock_ahead_ms` before this node's clock, and a deadline fires only in a block whose
    time is past it: sooner, the first tick would mostly fire nothing.
    """
    late_ms = now_ms - due_ms - clock_ahead_ms
    return None if late_ms < 0 else late_ms // 1_000


class Ticker:
    """Watches one ledger's next deadline. `run` until cancelled."""

    def __init__(self, link: LedgerLink, clock: Callable[[], int] = clock_ms) -> None:
        """`clock` gives Unix time in milliseconds."""
        self._link = link
        self._clock = clock
        self._log = structlog.get_logger().bind(ledger=link.name)

    async def run(self) -> None:
        """Submit ticks as deadlines fall due."""
        while True:
            try:
                height = self._link.height
                status = await self._link.read_status()
                await self._wait_or_tick(max(height, status.height), status.next_due_ms)
            except (ApplicationAway, ApplicationRefused, EngineAway, EngineRefused):
                await asyncio.sleep(_RETRY_S)

    async def _wait_or_tick(self, height: int, due_ms: int) -> None:
        if not due_ms:
            await self._link.next_block(height)
            return
        ahead_ms = await self._clock_ahead_ms()
        attempt = attempt_at(self._clock(), due_ms, ahead_ms)
        if attempt is None:
            wait_s = (due_ms + ahead_ms - self._clock()) / 1_000
        else:
            checked = await self._link.engine.broadcast(encode_tick(self._link.ledger_id, due_ms, attempt))
            self._log.debug("tick_submitted", due_ms=due_ms, attempt=attempt, code=checked.code)
            wait_s = ATTEMPT_S
        # A block may bring another deadline, earlier or later.
        try:
            async with asyncio.timeout(max(0.01, wait_s)):
                await self._link.next_block(height)
        except TimeoutError:
            return

    async def _clock_ahead_ms(self) -> int:
        request = wire.GetRequest(ledger_id=self._link.ledger_id, kind="sys", id="rules")
        answer = await self._link.application.get(request)
        rules = Rules.FromString(StoredDocument.FromString(answer.document.stored).body)
        return rules.parameters.clock_ahead_ms or _CLOCK_AHEAD_DEFAULT_MS
