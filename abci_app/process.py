"""The application process: opens its ledgers, serves each on its sockets, and closes them in order.

A ledger that halts closes its own connections and nothing else; its state stays readable on the private socket.
"""

from __future__ import annotations

import asyncio
import json
import signal
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import plyvel

from abci_app.application import LedgerApplication
from abci_app.failures import FATAL, ExecutionFailed
from abci_app.halt import HaltRecord, VersionLackingError, read_halt, remove_halt
from abci_app.private.endpoint import Endpoint
from abci_app.private.service import PrivateService
from abci_app.server import LedgerServer, Slices
from abci_app.store import LevelStore
from smartcontracts.kernel import Rejected

if TYPE_CHECKING:
    from pathlib import Path

    from structlog.typing import FilteringBoundLogger

    from abci_app.config import LedgerConfig, ProcessConfig
    from abci_app.state.committed import Committed

STORE_DIRECTORY: Final = "store"
STAGE_TIMES_FILE: Final = "stage-times.json"
# More than the time after which a supervisor kills a process that does not end.
LOCK_TRIES: Final = 150
LOCK_WAIT_SECONDS: Final = 0.2


def system_clock_ms() -> int:
    """Unix time in milliseconds: the only clock of this process that a ledger is given."""
    return time.time_ns() // 1_000_000


@dataclass(slots=True)
class Served:
    """A ledger of this process; without a server where it has halted."""

    config: LedgerConfig
    endpoint: Endpoint
    server: LedgerServer | None
    store: LevelStore | None
    application: LedgerApplication | None


class ApplicationProcess:
    """All ledgers of one process, on one loop."""

    def __init__(self, config: ProcessConfig, log: FilteringBoundLogger) -> None:
        self._config = config
        self._log = log
        self._served: list[Served] = []
        self._services: dict[Path, PrivateService] = {}

    async def run(self) -> None:
        """Serve until SIGTERM or SIGINT."""
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        try:
            await self.start()
            self._log.info("process.ready", ledgers=len(self._served))
            await stop.wait()
        finally:
            await self.close()
            self._log.info("process.ended")

    async def start(self) -> None:
        """Open everything. Raises SocketRefusedError."""
        slices = Slices(asyncio.get_running_loop())
        for config in self._config.ledgers:
            self._served.append(await self._open(config, slices))
        for path in dict.fromkeys(served.config.private_socket for served in self._served):
            endpoints = tuple(s.endpoint for s in self._served if s.config.private_socket == path)
            service = PrivateService(path, endpoints, slices=slices, log=self._log)
            self._services[path] = service
            await service.start()
        for served in self._served:
            if served.server is not None:
                await served.server.start()

    async def close(self) -> None:
        """Finish the calls in hand, then close sockets and stores."""
        servers = [served.server for served in self._served if served.server is not None]
        await asyncio.gather(*(server.close() for server in servers))
        for service in self._services.values():
            await service.close()
        for served in self._served:
            _leave_times(served, self._log)
            if served.store is not None:
                served.store.close()

    async def _open(self, config: LedgerConfig, slices: Slices) -> Served:
        log = self._log.bind(ledger=config.name or config.ledger_id)
        halt = read_halt(config.data_directory)
        store = None
        try:
            store = await _open_store(config.data_directory / STORE_DIRECTORY, log)
            application = LedgerApplication(
                config.ledger_id,
                store,
                config.data_directory,
                clock=system_clock_ms,
                log=log,
                peers=frozenset(config.peers),
                on_commit=lambda committed: self._committed(config, committed),
            )
        except (*FATAL, Rejected) as failure:
            # No record of this stays behind: the disk may be well, or the software new, at the next start.
            log.critical("ledger.unopened", failure=type(failure).__name__, reason=str(failure))
            record = halt or _unopened(config, failure)
            return Served(config, Endpoint(config.ledger_id, config.name, None, record), None, store, None)
        if halt is not None and _is_remedied(halt, application):
            log.info("ledger.upgraded", halted_before=halt.line())
            remove_halt(config.data_directory)
            halt = None
        endpoint = Endpoint(config.ledger_id, config.name, application, halt)
        if halt is not None:
            log.critical("ledger.halted_before", reason=halt.line())
            return Served(config, endpoint, None, store, application)
        server = LedgerServer(
            application,
            config.abci_socket,
            ledger=config.name or config.ledger_id,
            logger=self._log,
            internal_error_code=ExecutionFailed.code,
            on_halt=lambda _ledger, _method, _error: None,
            slices=slices,
        )
        return Served(config, endpoint, server, store, application)

    def _committed(self, config: LedgerConfig, committed: Committed) -> None:
        service = self._services.get(config.private_socket)
        if service is not None:
            service.block_committed(committed.ledger_id)


async def _open_store(directory: Path, log: FilteringBoundLogger) -> LevelStore:
    """The store; waits while a process that is ending still holds it. Raises plyvel.Error, OSError."""
    for _ in range(LOCK_TRIES):
        try:
            return LevelStore(directory)
        except plyvel.IOError as error:
            if "lock" not in str(error):
                raise
            log.warning("store.locked")
            await asyncio.sleep(LOCK_WAIT_SECONDS)
    return LevelStore(directory)


def _is_remedied(halt: HaltRecord, application: LedgerApplication) -> bool:
    """Whether the ledger only waited for software with its next contracts version, and this is that."""
    committed = application.committed
    lacking = halt.failure == VersionLackingError.__name__
    return lacking and committed is not None and committed.next_table is not None


def _unopened(config: LedgerConfig, failure: BaseException) -> HaltRecord:
    return HaltRecord(
        ledger_id=config.ledger_id,
        height=0,
        step="open",
        failure=type(failure).__name__,
        message=str(failure)[:300],
        at_ms=system_clock_ms(),
    )


def _leave_times(served: Served, log: FilteringBoundLogger) -> None:
    """For the bench: where the time of this process's blocks went."""
    if served.application is None or not served.application.times.blocks:
        return
    try:
        path = served.config.data_directory / STAGE_TIMES_FILE
        path.write_text(json.dumps(served.application.times.as_dict()) + "\n", encoding="utf-8")
    except OSError as error:
        log.warning("stage_times.unwritten", error=str(error))
