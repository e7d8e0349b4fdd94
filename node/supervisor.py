"""Keeps the application processes and the engines running: applications first, then one engine a ledger.

An engine starts when its application answers, ends with it, and is started again; not over a halt record. After a
membership change that takes a node id away, engines restart one member after another, since there is no other way to drop
a peer that is connected. DESIGN sections 3, 9, 11.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import structlog

from node.application_client import ApplicationAway, ApplicationClient, ApplicationRefused
from node.engine_watch import EngineWatch
from node.ledger_link import LedgerLink
from node.process import KeptProcess
from node.standing import Membership
from node.ticker import Ticker

# One member's engine after the other: the next restarts when this one is back.
STAGGER_S: Final = 5.0
# Any organization may change its node ids as often as it likes: that must not keep the others' engines down.
RESTART_PAUSE_S: Final = 60.0
# An engine that lost its application sends itself SIGTERM, and may hang in it for good, up and answering.
ORPHAN_GRACE_S: Final = 2.0
_POLL_S: Final = 0.05
_HALTED_POLL_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class EnginePlan:
    """One ledger's engine: its link, its own node id, and the folder that it runs in."""

    link: LedgerLink
    node_id: str
    home: Path
    rpc_socket: Path


@dataclass(frozen=True, slots=True)
class ApplicationPlan:
    """One application process: its configuration file and the ledgers in it."""

    name: str
    config: Path
    client: ApplicationClient
    ledger_ids: tuple[str, ...]


class Supervisor:
    """All children of a node. `run` until cancelled, then `stop`."""

    def __init__(
        self, applications: tuple[ApplicationPlan, ...], engines: tuple[EnginePlan, ...], binary: Path, run_dir: Path
    ) -> None:
        """`binary` is the engine's executable; pid files lie in `run_dir`."""
        self._run_dir = run_dir
        self._engines: dict[str, KeptProcess] = {}
        self._plans = {plan.link.ledger_id: plan for plan in engines}
        self._watches: dict[str, EngineWatch] = {}
        self._applications = [self._application(plan) for plan in applications]
        # By ledger: the restart for removed peers that waits or was last, and when it took place.
        self._restarts: dict[str, asyncio.Task[None]] = {}
        self._restarted_at: dict[str, float] = {}
        self._orphans: set[asyncio.Task[None]] = set()
        self._log = structlog.get_logger()
        for plan in engines:
            self._add_engine(plan, binary)

    @property
    def processes(self) -> Mapping[str, int | None]:
        """Name to pid of every child; None while it is not running."""
        return {process.name: process.pid for process in (*self._applications, *self._engines.values())}

    async def run(self) -> None:
        """Keep everything running; ends only by cancellation, or if a part of this program fails."""
        async with asyncio.TaskGroup() as group:
            for process in (*self._applications, *self._engines.values()):
                group.create_task(process.run(), name=process.name)
            for ledger_id, plan in self._plans.items():
                group.create_task(self._watches[ledger_id].run(), name=f"watch {plan.link.name}")
                if plan.link.validator:
                    group.create_task(Ticker(plan.link).run(), name=f"ticks {plan.link.name}")

    async def stop(self) -> None:
        """End engines, then applications."""
        for task in self._restarts.values():
            task.cancel()
        await asyncio.gather(*(engine.stop() for engine in self._engines.values()))
        await asyncio.gather(*(application.stop() for application in self._applications))

    def membership_changed(self, link: LedgerLink, before: Membership, after: Membership) -> None:
        """Restart this ledger's engine, in turn, if a node id has lost its place; once for all that do while it waits."""
        gone = before.node_ids() - after.node_ids()
        plan = self._plans.get(link.ledger_id)
        if not gone or plan is None or plan.node_id not in after.node_ids():
            return
        waiting = self._restarts.get(link.ledger_id)
        if waiting is not None and not waiting.done():
            # It drops these peers, too.
            self._log.warning("peers_removed", ledger=link.name, node_ids=sorted(gone))
            return
        delay_s = STAGGER_S * (1 + turn_of(plan.node_id, after.node_ids()))
        last = self._restarted_at.get(link.ledger_id)
        if last is not None:
            delay_s += max(0.0, last + RESTART_PAUSE_S - asyncio.get_running_loop().time())
        self._log.warning("peers_removed", ledger=link.name, node_ids=sorted(gone), restart_in_s=delay_s)
        self._restarts[link.ledger_id] = asyncio.create_task(self._restart_later(link.ledger_id, delay_s))

    async def _restart_later(self, ledger_id: str, delay_s: float) -> None:
        await asyncio.sleep(delay_s)
        self._restarted_at[ledger_id] = asyncio.get_running_loop().time()
        await self._engines[ledger_id].end_once()

    def _application(self, plan: ApplicationPlan) -> KeptProcess:
        return KeptProcess(
            plan.name,
            (sys.executable, "-m", "abci_app", "--config", str(plan.config)),
            self._run_dir / f"{plan.name}.pid",
            on_line=_pass_on,
            after_exit=lambda: self._end_engines(plan),
        )

    def _end_engines(self, plan: ApplicationPlan) -> None:
        """An engine does not outlive its application; the next one waits for the next application."""
        for ledger_id in plan.ledger_ids:
            task = asyncio.create_task(self._engines[ledger_id].end_once(ORPHAN_GRACE_S))
            self._orphans.add(task)
            task.add_done_callback(self._orphans.discard)

    def _add_engine(self, plan: EnginePlan, binary: Path) -> None:
        link = plan.link

        async def restart() -> None:
            await self._engines[link.ledger_id].end_once()

        watch = EngineWatch(link, restart)
        self._watches[link.ledger_id] = watch
        self._engines[link.ledger_id] = KeptProcess(
            f"engine-{link.name}",
            (str(binary), "start", "--home", str(plan.home)),
            self._run_dir / f"engine-{link.ledger_id}.pid",
            on_line=watch.take_line,
            before_start=lambda: self._engine_may_start(plan),
        )

    async def _engine_may_start(self, plan: EnginePlan) -> None:
        """Wait for the application, and for as long as the ledger is halted."""
        link, told = plan.link, False
        while True:
            try:
                status = await link.read_status()
            except (ApplicationAway, ApplicationRefused):
                await asyncio.sleep(_POLL_S)
                continue
            link.halt = status.halt
            if not status.halt:
                # A killed engine leaves its socket, and the next one refuses to start over it.
                plan.rpc_socket.unlink(missing_ok=True)
                return
            if not told:
                self._log.critical("ledger_halted", ledger=link.name, reason=status.halt)
                told = True
            await asyncio.sleep(_HALTED_POLL_S)


def turn_of(node_id: str, node_ids: frozenset[str]) -> int:
    """This engine's place in the order in which all members restart theirs; the same everywhere, chosen by nobody."""
    order = sorted(node_ids, key=lambda each: sha256(each.encode("ascii")).digest())
    return order.index(node_id)


def write_application_config(path: Path, content: Mapping[str, Any]) -> None:
    """What an application process reads at its start (`abci_app/config.py` has the form)."""
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    path.chmod(0o600)


def _pass_on(line: str) -> None:
    """The application's lines are in our own form already."""
    sys.stderr.write(line + "\n")
