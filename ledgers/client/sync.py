"""The client without `await`, made from the asynchronous one: same names, same arguments, same answers.

with SyncClient("127.0.0.1:7400", credentials) as client:
    for document in client.ledger("acme-alpha").list("order"):
        ...
"""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from functools import partial
from types import TracebackType
from typing import Any, Final, Self

from ledgers.client.client import Client
from ledgers.client.connection import Connection, Credentials
from ledgers.client.ledger import Ledger

# How long an interrupted call may take to let go.
_LET_GO_S: Final = 5.0


class _Loop:
    """An event loop in a thread of its own."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, name="syngraph client", daemon=True)
        self._thread.start()

    def run(self, begin: Callable[[], Awaitable[Any]]) -> Any:
        """The result. Who is interrupted while waiting for it (Ctrl-C) leaves nothing running: the work is cancelled, and has ended.

        `begin` is called in the loop's thread, where nothing is ever interrupted between making a coroutine and awaiting it.
        """
        ended = threading.Event()
        tasks: list[asyncio.Task[Any]] = []

        async def whole() -> Any:
            return await begin()

        def over(task: asyncio.Task[Any]) -> None:
            # Asked for, so that nobody is told of a failure that came after Ctrl-C.
            if not task.cancelled():
                task.exception()
            ended.set()

        def start() -> None:
            tasks.append(self.loop.create_task(whole()))
            tasks[0].add_done_callback(over)

        def cancel() -> None:
            for task in tasks:
                task.cancel()

        try:
            self.loop.call_soon_threadsafe(start)
            ended.wait()
        except BaseException:
            self.loop.call_soon_threadsafe(cancel)
            ended.wait(_LET_GO_S)
            raise
        return tasks[0].result()

    @property
    def is_over(self) -> bool:
        return self.loop.is_closed()

    def stop(self) -> None:
        self.run(self.loop.shutdown_asyncgens)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()


class _Sync:
    """Any object of the asynchronous client, its methods run to the end in `loop`."""

    def __init__(self, wrapped: Any, loop: _Loop) -> None:
        self._wrapped = wrapped
        self._loop = loop

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._wrapped, name)
        if inspect.iscoroutinefunction(found):
            return lambda *args, **kwargs: self._wrap(self._loop.run(partial(found, *args, **kwargs)))
        if inspect.isasyncgenfunction(found):
            return lambda *args, **kwargs: self._iterate(found(*args, **kwargs))
        return found

    def _wrap(self, answer: Any) -> Any:
        return _Sync(answer, self._loop) if isinstance(answer, Ledger) else answer

    def _iterate(self, answers: AsyncIterator[Any]) -> Iterator[Any]:
        try:
            while True:
                try:
                    yield self._loop.run(partial(_next, answers))
                except StopAsyncIteration:
                    return
        finally:
            # Who was left half read when the client was closed has been ended by that.
            if not self._loop.is_over:
                self._loop.run(answers.aclose)  # type: ignore[attr-defined]  # all of ours are generators


async def _next(answers: AsyncIterator[Any]) -> Any:
    """As `anext`, begun inside the loop: so the loop knows of the generator, and ends it when it is closed."""
    return await anext(answers)


class SyncClient(_Sync):
    """`Client`, blocking. Not for use inside an event loop."""

    def __init__(
        self,
        address: str,
        credentials: Credentials,
        *,
        server_name: str = "",
        others: Callable[[], Sequence[Connection]] = tuple,
    ) -> None:
        """As `Client`; `others` is called where the event loop is."""
        loop = _Loop()

        async def connect() -> Client:
            return Client(address, credentials, server_name=server_name, others=others())

        super().__init__(loop.run(connect), loop)

    def __enter__(self) -> Self:
        """Connections are made when first used."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close connections and end the thread."""
        self.close()

    def close(self) -> None:
        """End all calls and connections, and the thread."""
        self._loop.run(self._wrapped.close)
        self._loop.stop()
