"""The counting application as a process of its own: `python counting_process.py SOCKET STATE CALLS`.

STATE holds height and count, replaced atomically at Commit; CALLS gets a line a call before it is made.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from pathlib import Path

import structlog
from tendermint.abci import types_pb2 as abci

from abci_app.server import LedgerServer
from tests.abci_app.server.harness import CountingApplication


class DurableCount(CountingApplication):
    """Counts across kills: everything is written in Commit, and nothing before."""

    def __init__(self, state: Path) -> None:
        super().__init__()
        self._state = state
        if state.exists():
            self.height, self.count = json.loads(state.read_text())

    def commit(self, request: abci.RequestCommit) -> abci.ResponseCommit:
        response = super().commit(request)
        fresh = self._state.with_suffix(".new")
        with fresh.open("w") as file:
            json.dump([self.height, self.count], file)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(self._state)
        return response


async def main(path: str, state: str, calls: str) -> None:
    calls_file = os.open(calls, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    end = asyncio.Event()
    server = LedgerServer(
        DurableCount(Path(state)),
        Path(path),
        ledger="counting",
        logger=structlog.get_logger(),
        internal_error_code=9001,
        on_halt=lambda *_: end.set(),
        record=lambda name: os.write(calls_file, name.encode() + b"\n") and None,
    )
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, end.set)
    async with server:
        await end.wait()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
