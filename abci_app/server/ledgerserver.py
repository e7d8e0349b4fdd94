"""The ABCI server of one ledger: its unix socket, its connections, its start, halt and end."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import stat
from typing import TYPE_CHECKING, Final, Self

from abci_app.server.connection import Connection
from abci_app.server.dispatcher import CallRecorder, Dispatcher
from abci_app.server.grammar import START
from abci_app.server.slices import Slices
from ledgers.framing import FRAME_BYTES_MAX

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from structlog.typing import FilteringBoundLogger

    from abci_app.server.application import Application
    from abci_app.server.methods import Method

CONNECTIONS_MAX: Final = 8
"""Connections of one ledger at a time: an engine opens four, and abci-cli one."""

CLOSE_GRACE_SECONDS: Final = 30.0

_PATH_BYTES_MAX: Final = 107  # sun_path of Linux, without its final zero
_BACKLOG: Final = 16


class SocketRefusedError(OSError):
    """The server cannot have this socket; the sentence says what to do."""


class LedgerServer:
    """Serves one `Application` to one engine on one unix socket (0600).

    Many may live in one process and on one loop; they share nothing but `slices`. See `Application` for the
    threads. All methods here belong to the loop's thread. A server is started and closed once.
    """

    def __init__(
        self,
        application: Application,
        socket_path: Path,
        *,
        ledger: str,
        logger: FilteringBoundLogger,
        internal_error_code: int,
        on_halt: Callable[[str, str, BaseException], None],
        slices: Slices | None = None,
        record: CallRecorder | None = None,
        frame_bytes_max: int = FRAME_BYTES_MAX,
    ) -> None:
        """Prepare a server; `start` opens the socket.

        `ledger` names it in logs and thread names. `internal_error_code` is the code of a Query or
        CheckTx that raised. `on_halt(ledger, method, exception)` is called on the loop after a
        consensus call raised, when the connections are closing; it must not raise. `slices` is the
        loop's shared one (default: one of its own). `record` is told every call's name.
        """
        self._application = application
        self._path = socket_path
        self._ledger = ledger
        self._log: FilteringBoundLogger = logger.bind(ledger=ledger)
        self._internal_error_code = internal_error_code
        self._on_halt = on_halt
        self._slices = slices
        self._record = record
        self._frame_bytes_max = frame_bytes_max
        self._connections: set[Connection] = set()
        self._consensus: Connection | None = None
        self._all_closed = asyncio.Event()
        self._all_closed.set()
        self._server: asyncio.Server | None = None
        self._dispatcher: Dispatcher | None = None
        self._inode = -1
        self.halted = False

    async def start(self) -> None:
        """Open the socket; engines may connect when this returns.

        Raises SocketRefusedError: the path is too long, its directory is open to others, something that is no
        socket lies there, or another process listens on it. A socket nobody listens on is replaced.
        """
        loop = asyncio.get_running_loop()
        slices = self._slices or Slices(loop)
        dispatcher = Dispatcher(
            self._application,
            self._ledger,
            loop=loop,
            slices=slices,
            logger=self._log,
            internal_error_code=self._internal_error_code,
            record=self._record,
            halt=self._halt,
        )
        listener = listen_privately(self._path)
        self._inode = self._path.stat().st_ino
        self._dispatcher = dispatcher
        self._server = await loop.create_unix_server(
            lambda: Connection(self, dispatcher, slices, self._log, self._frame_bytes_max),
            sock=listener,
            backlog=_BACKLOG,
        )
        self._log.info("abci.server.listening", socket=str(self._path))

    async def close(self, *, grace_seconds: float = CLOSE_GRACE_SECONDS) -> None:
        """Finish and answer the calls in hand, close the connections, remove the socket.

        Requests that were not begun are dropped. A connection whose call or peer takes longer than
        `grace_seconds` is cut. May be called again, and after a halt.
        """
        self._stop_listening()
        for connection in tuple(self._connections):
            connection.finish()
        try:
            async with asyncio.timeout(grace_seconds):
                await self._all_closed.wait()
        except TimeoutError:
            self._log.error("abci.server.cut", connections=len(self._connections))
            for connection in tuple(self._connections):
                connection.abort()
        if self._dispatcher is not None:
            self._dispatcher.stop()
            self._dispatcher = None
            self._log.info("abci.server.closed")

    async def __aenter__(self) -> Self:
        """Start."""
        await self.start()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        """Close."""
        await self.close()

    # -- what connections ask ------------------------------------------------------------------

    def connection_opened(self, connection: Connection) -> str | None:
        """Count `connection` in; a reason when there are too many."""
        if self._server is None:
            refusal = "server_closing"
        elif len(self._connections) >= CONNECTIONS_MAX:
            refusal = "connections_max"
        else:
            refusal = None
            if not self._connections and self._record is not None:
                self._record(START)
        self._connections.add(connection)
        self._all_closed.clear()
        return refusal

    def connection_closed(self, connection: Connection) -> None:
        """Count it out."""
        self._connections.discard(connection)
        if self._consensus is connection:
            self._consensus = None
        if not self._connections:
            self._all_closed.set()

    def may_call(self, connection: Connection, method: Method) -> str | None:
        """Refuse consensus calls on a second connection: two engines on one ledger would tear it apart."""
        if method.connection_kind != "consensus" or self._consensus is connection:
            return None
        if self._consensus is not None:
            return "consensus_taken"
        self._consensus = connection
        connection.kind = "consensus"
        return None

    # -- ends ----------------------------------------------------------------------------------

    def _halt(self, method: str, error: BaseException) -> None:
        self.halted = True
        self._log.critical("abci.ledger.halted", method=method, error=type(error).__name__)
        self._stop_listening()
        for connection in tuple(self._connections):
            connection.finish()
        self._on_halt(self._ledger, method, error)

    def _stop_listening(self) -> None:
        if self._server is None:
            return
        self._server.close()
        self._server = None
        # Somebody may have put another socket there meanwhile, and that one isn't ours to remove.
        with contextlib.suppress(FileNotFoundError):
            if self._path.lstat().st_ino == self._inode:
                self._path.unlink()


def listen_privately(path: Path) -> socket.socket:
    """Listen on a unix socket at `path`, readable and writable by this user alone.

    The path appears once the socket listens: whoever waits for it may connect as soon as it is there.
    """
    if len(os.fsencode(path)) > _PATH_BYTES_MAX:
        raise SocketRefusedError(f"{path} is longer than {_PATH_BYTES_MAX} bytes, the limit of a socket's path")
    _require_private_directory(path.parent)
    _remove_stale_socket(path)
    # Of this process alone, others may be about to listen here too; and shorter than the names our sockets have.
    unseen = path.with_name(f".{os.getpid():x}")
    unseen.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        # Until the next line has run, the directory's mode protects the socket.
        listener.bind(str(unseen))
        unseen.chmod(0o600)
        listener.listen(_BACKLOG)
        # Unlike renaming, this fails where another process was faster.
        path.hardlink_to(unseen)
    except OSError:
        listener.close()
        raise
    finally:
        unseen.unlink(missing_ok=True)
    return listener


def _require_private_directory(directory: Path) -> None:
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    mode = stat.S_IMODE(directory.stat().st_mode)
    if mode & 0o077:
        raise SocketRefusedError(
            f"{directory} is open to other users (mode {mode:o}); make it 700, ABCI has no password"
        )


def _remove_stale_socket(path: Path) -> None:
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise SocketRefusedError(f"{path} exists and is not a socket; move it away")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
            return
    raise SocketRefusedError(f"another process listens on {path}; stop it first")
