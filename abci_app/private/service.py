"""The private unix socket (0600): its connections, and the ledgers behind it."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Final

from abci_app.private.connection import PrivateConnection
from abci_app.queries.refusals import LedgerUnknown
from abci_app.server.ledgerserver import listen_privately

if TYPE_CHECKING:
    from pathlib import Path

    from structlog.typing import FilteringBoundLogger

    from abci_app.private.endpoint import Endpoint
    from abci_app.server.slices import Slices

CONNECTIONS_MAX: Final = 64


class PrivateService:
    """Serves one or more ledgers on one socket. Loop thread only, but for `block_committed`."""

    def __init__(
        self, path: Path, endpoints: tuple[Endpoint, ...], *, slices: Slices, log: FilteringBoundLogger
    ) -> None:
        """`slices` is the loop's shared one."""
        self._path = path
        self._endpoints = {endpoint.ledger_id: endpoint for endpoint in endpoints}
        self._slices = slices
        self._log = log
        self._connections: set[PrivateConnection] = set()
        self._server: asyncio.Server | None = None
        self._inode = -1
        self._loop: asyncio.AbstractEventLoop | None = None

    async def start(self) -> None:
        """Open the socket. Raises SocketRefusedError."""
        self._loop = asyncio.get_running_loop()
        listener = listen_privately(self._path)
        self._inode = self._path.stat().st_ino
        self._server = await self._loop.create_unix_server(
            lambda: PrivateConnection(self, self._slices, self._log), sock=listener
        )
        self._log.info("private.listening", socket=str(self._path), ledgers=len(self._endpoints))

    async def close(self) -> None:
        """Stop listening and end all connections."""
        if self._server is None:
            return
        self._server.close()
        self._server = None
        for connection in tuple(self._connections):
            connection.close()
        # Somebody may have put another socket there meanwhile, and that one isn't ours to remove.
        with contextlib.suppress(FileNotFoundError):
            if self._path.lstat().st_ino == self._inode:
                self._path.unlink()

    def block_committed(self, ledger_id: str) -> None:
        """Tell the streams of a ledger. May be called on any thread."""
        loop = self._loop
        if loop is not None:
            # The loop may be closed already when the last block of a process commits.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(self._tell, ledger_id)

    def _tell(self, ledger_id: str) -> None:
        endpoint = self._endpoints[ledger_id]
        for connection in self._connections:
            connection.committed(endpoint)

    # -- what connections ask ------------------------------------------------------------------

    def endpoint(self, ledger_id: str) -> Endpoint:
        """The ledger of that id; without an id, the only one. Rejects with LedgerUnknown."""
        if not ledger_id and len(self._endpoints) == 1:
            return next(iter(self._endpoints.values()))
        found = self._endpoints.get(ledger_id)
        if found is None:
            raise LedgerUnknown("This socket serves no such ledger.", "ledger_id")
        return found

    def opened(self, connection: PrivateConnection) -> bool:
        """Count `connection` in; False: there is no room, or it was accepted just before the end."""
        self._connections.add(connection)
        return self._server is not None and len(self._connections) <= CONNECTIONS_MAX

    def closed(self, connection: PrivateConnection) -> None:
        """Count it out."""
        self._connections.discard(connection)
