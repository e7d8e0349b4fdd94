"""Brings each request to its application method on its thread, and turns exceptions into replies.

Why these threads. FinalizeBlock and Commit take long and wait for the disk, so they may not run on the
loop; they run on one thread a ledger, and a slow block of one ledger delays no other ledger's calls. CheckTx and
Query are short and many, and a hop to a thread and back costs more than they do, so they run on the
loop, cut into slices (see slices.py). Snapshots are served to peers from disk, which nothing else may wait for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from tendermint.abci import types_pb2 as abci

from abci_app.server.callthread import Call, CallThread
from abci_app.server.methods import ABCI_VERSION, Lane, Method, encode_exception, encode_response

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from google.protobuf.message import Message
    from structlog.typing import FilteringBoundLogger

    from abci_app.server.application import Application
    from abci_app.server.slices import Slices


class CallRecorder(Protocol):
    """Told the name of every call before it is made (`finalize_block`), and `start` for a new engine."""

    def __call__(self, name: str, /) -> None:
        """Record `name`; called on the thread that makes the call, so it must be quick and thread-safe."""
        ...


class Reply(Protocol):
    """Where the response of a call on a thread goes."""

    def __call__(self, response: bytes, /, *, ends: bool = False) -> None:
        """Take the encoded response; after one that `ends`, the connection is closed."""
        ...


class VersionRefusedError(Exception):
    """The engine speaks another version of ABCI."""


class HaltedError(Exception):
    """The ledger halted while this call waited for its turn."""


class Dispatcher:
    """The calls of one ledger. All methods are called on the loop's thread."""

    def __init__(
        self,
        application: Application,
        ledger: str,
        *,
        loop: asyncio.AbstractEventLoop,
        slices: Slices,
        logger: FilteringBoundLogger,
        internal_error_code: int,
        record: CallRecorder | None,
        halt: Callable[[str, BaseException], None],
    ) -> None:
        """Serve `application`; `halt(method, exception)` is called on the loop after a failed consensus call."""
        self._application = application
        self._slices = slices
        self._log = logger
        self._internal_error_code = internal_error_code
        self._record = record
        self._halt = halt
        self._threads = {
            Lane.CONSENSUS: CallThread(f"consensus-{ledger}", loop),
            Lane.SNAPSHOTS: CallThread(f"snapshots-{ledger}", loop),
        }
        self._halted = False

    def stop(self) -> None:
        """End the threads once their calls in hand are finished."""
        for thread in self._threads.values():
            thread.stop()

    def answer(self, method: Method, request: Message) -> bytes:
        """Return the encoded response to a request of the lanes SERVER and LOOP; never raises Exception."""
        if method.lane is Lane.SERVER:
            return encode_response(method.name, self._server_response(method, request))
        try:
            return self._call(method, request)
        except Exception as error:  # noqa: BLE001 - one bad query must not stop the engine
            self._log_failure(method, error)
            response = method.response_type(
                code=self._internal_error_code,
                log=f"{method.name} failed unexpectedly; the node's log has the details",
            )
            return encode_response(method.name, response)

    def start(self, method: Method, request: Message, reply: Reply) -> Callable[[], None]:
        """Run a request of the lanes CONSENSUS and SNAPSHOTS on its thread, then `reply(response)` on the loop.

        Returns a function that abandons the call: one that has begun is finished (its `reply` is
        called, to be ignored), one that has not is dropped.
        """
        noted = method.lane is Lane.CONSENSUS
        if noted:
            self._slices.consensus_call_begins()

        def end() -> None:
            nonlocal noted
            if noted:
                noted = False
                self._slices.consensus_call_ends()

        def done(response: bytes, error: BaseException | None) -> None:
            end()
            if error is None:
                reply(response)
            else:
                self._fail(method, error, reply)

        call = Call(lambda: self._run_on_thread(method, request), done)

        def abandon() -> None:
            call.abandoned = True
            end()

        self._threads[method.lane].submit(call)
        return abandon

    def _run_on_thread(self, method: Method, request: Any) -> bytes:
        if method.lane is Lane.SNAPSHOTS:
            return self._call(method, request)
        # Checked and set on this thread: a call already queued behind the failed one must not run.
        if self._halted:
            raise HaltedError
        if method.name == "info" and request.abci_version != ABCI_VERSION:
            raise VersionRefusedError(request.abci_version)
        try:
            return self._call(method, request)
        except BaseException:
            self._halted = True
            raise

    def _call(self, method: Method, request: Any) -> bytes:
        if self._record is not None:
            self._record(method.name)
        response = getattr(self._application, method.name)(request)
        if not isinstance(response, method.response_type):
            raise TypeError(f"{method.name} returned a {type(response).__name__}")
        return encode_response(method.name, response)

    def _server_response(self, method: Method, request: Any) -> Message:
        if method.name == "echo":
            return abci.ResponseEcho(message=request.message)
        if method.name == "insert_tx":
            self._log.error("abci.call.unsupported", method=method.name)
            return abci.ResponseInsertTx(code=self._internal_error_code)
        if method.name == "reap_txs":
            self._log.error("abci.call.unsupported", method=method.name)
        return method.response_type()

    def _fail(self, method: Method, error: BaseException, reply: Reply) -> None:
        if method.lane is Lane.SNAPSHOTS:
            self._log_failure(method, error)
            reply(encode_response(method.name, method.response_type()))
        elif isinstance(error, VersionRefusedError):
            sentence = f"this application speaks ABCI {ABCI_VERSION}, the engine {error}"
            self._log.error("abci.version.refused", offered=str(error), expected=ABCI_VERSION)
            reply(encode_exception(sentence), ends=True)
        elif isinstance(error, HaltedError):
            reply(encode_exception("the ledger has halted"), ends=True)
        else:
            self._log_failure(method, error)
            reply(encode_exception(f"{method.name} failed: {type(error).__name__}"), ends=True)
            self._halt(method.name, error)

    def _log_failure(self, method: Method, error: BaseException) -> None:
        self._log.error("abci.call.failed", method=method.name, exc_info=error)
