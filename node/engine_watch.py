"""Does an engine make progress? One that panicked in consensus stays up, answers, and takes transactions for ever.

So it is not enough to see it run: with work pending, its height or round must move. Hazard B6.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

import structlog

from node.application_client import ApplicationAway, ApplicationRefused
from node.ledger_link import LedgerLink
from node.rpc import EngineAway, EngineSilent

POLL_S: Final = 5.0
STUCK_S: Final = 30.0
# While too few validators are up, a restart changes nothing: then it is tried ever more seldom.
STUCK_MAX_S: Final = 600.0
CONSENSUS_FAILURE: Final = "CONSENSUS FAILURE"
_LOGGED_CHARACTERS_MAX: Final = 300


@dataclass(slots=True)
class Progress:
    """Judges samples of an engine's place. Times are seconds of any steady clock."""

    patience_s: float = STUCK_S
    _place: str = ""
    _since: float = 0.0

    def is_stuck(self, place: str, now: float, *, pending: bool) -> bool:
        """True once `place` has stood still for `patience_s` with work pending all the time."""
        if place != self._place:
            if self._place:
                self.patience_s = STUCK_S
            self._place, self._since = place, now
            return False
        if not pending:
            self._since = now
            return False
        return now - self._since >= self.patience_s

    def restarted(self, now: float) -> None:
        """Begin anew, more patiently."""
        self._since = now
        self.patience_s = min(self.patience_s * 2, STUCK_MAX_S)


class EngineWatch:
    """Restarts one ledger's engine when it stands still or says that its consensus has failed."""

    def __init__(self, link: LedgerLink, restart: Callable[[], Awaitable[None]]) -> None:
        """`restart` ends the engine, which the supervisor starts again."""
        self._link = link
        self._restart = restart
        self._failed = asyncio.Event()
        self._progress = Progress()
        self._nothing_owed_at = -1
        self._log = structlog.get_logger().bind(ledger=link.name)

    def take_line(self, line: str) -> None:
        """A line of the engine's log: shown as our own, shortened, and searched for the failure of consensus."""
        try:
            entry = json.loads(line)
            message, module = str(entry.get("_msg", "")), str(entry.get("module", ""))
            reason = str(entry.get("err", ""))
        except (ValueError, AttributeError, RecursionError):
            message, module, reason = line, "", ""
        # Not in the whole line: other fields hold what peers say of themselves.
        if CONSENSUS_FAILURE in message:
            self._failed.set()
        self._log.warning(
            "engine_said",
            message=message[:_LOGGED_CHARACTERS_MAX],
            module=module,
            reason=reason[:_LOGGED_CHARACTERS_MAX],
        )

    async def run(self) -> None:
        """Watch until cancelled."""
        while True:
            try:
                async with asyncio.timeout(POLL_S):
                    await self._failed.wait()
            except TimeoutError:
                if await self._is_stuck():
                    await self._do_restart("no_progress")
            else:
                await self._do_restart("consensus_failed")
                self._failed.clear()

    async def _do_restart(self, reason: str) -> None:
        self._log.critical("engine_restarts", reason=reason)
        await self._restart()
        self._progress.restarted(time.monotonic())

    async def _is_stuck(self) -> bool:
        try:
            pending = await self._link.engine.waiting_transactions() > 0 or await self._owes_proof_block()
            # "height/round/step": the step moves on its own timer and is no progress.
            place = (await self._link.engine.round()).rpartition("/")[0] if pending else "asleep"
        except EngineSilent:
            # Not so while it replays blocks at its start: then it does not listen yet.
            place, pending = "silent", True
        except (EngineAway, ApplicationAway, ApplicationRefused):
            return False
        return self._progress.is_stuck(place, time.monotonic(), pending=pending)

    async def _owes_proof_block(self) -> bool:
        """After a block that changed the state, one more is made at once, whose header shows the new app hash."""
        height = self._link.height
        if height == self._nothing_owed_at:
            return False
        engine_height, shown = await self._link.engine.shown_app_hash()
        status = await self._link.read_status()
        owed = status.height == engine_height and status.app_hash != shown
        if not owed:
            self._nothing_owed_at = height
        return owed
