"""A thread that runs calls one after another and reports each to the event loop."""

from __future__ import annotations

import contextlib
import threading
from dataclasses import dataclass
from queue import SimpleQueue
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable


@dataclass(eq=False, slots=True)
class Call:
    """One call: `run` on the thread, then `done` with its reply or its exception on the loop."""

    run: Callable[[], bytes]
    done: Callable[[bytes, BaseException | None], None]
    abandoned: bool = False
    """Set on the loop when nobody waits any more: a call that has not begun is skipped, `done` too."""


class CallThread:
    """One daemon thread with a queue; it starts with the first call.

    A daemon, because a call that never returns must not keep the process from ending: commits are
    atomic, so the process may end at any moment.
    """

    def __init__(self, name: str, loop: asyncio.AbstractEventLoop) -> None:
        """Name the thread `name`; `done` callbacks run on `loop`."""
        self._loop = loop
        self._name = name
        self._queue: SimpleQueue[Call | None] = SimpleQueue()
        self._thread: threading.Thread | None = None

    def submit(self, call: Call) -> None:
        """Queue `call` behind those already there."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run_calls, name=self._name, daemon=True)
            self._thread.start()
        self._queue.put(call)

    def stop(self) -> None:
        """End the thread after the calls already queued; returns at once."""
        if self._thread is not None:
            self._queue.put(None)

    def _run_calls(self) -> None:
        while (call := self._queue.get()) is not None:
            if call.abandoned:
                continue
            reply, error = b"", None
            try:
                reply = call.run()
            except BaseException as caught:  # noqa: BLE001 - whatever it is, the loop decides
                error = caught
            # The loop is closed when the process did not wait for this call: nobody is left to tell.
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(call.done, reply, error)
            del call, error
