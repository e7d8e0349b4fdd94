"""The blocking client when its user presses Ctrl-C: no traceback of ours, nothing left running, and it can be closed."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.node.network import ROOT

# Waits for something that never comes, is interrupted there, and says what is left. SyncClient is made of these two.
PROGRAM = """
import asyncio, signal, threading
from ledgers.client.sync import _Loop, _Sync

class Silent:
    async def events(self):
        yield "first"
        try:
            await asyncio.sleep(3600)
        finally:
            print("let go", flush=True)
    async def get(self):
        await asyncio.sleep(3600)

loop = _Loop()
client = _Sync(Silent(), loop)
main = threading.main_thread().ident
threading.Timer(0.5, lambda: signal.pthread_kill(main, signal.SIGINT)).start()
try:
    WAIT
except KeyboardInterrupt:
    print("interrupted", flush=True)

async def others():
    return len(asyncio.all_tasks()) - 1
print("running", loop.run(others()), flush=True)
loop.stop()
"""


@pytest.mark.parametrize(
    ("wait", "told"),
    [
        ("for event in client.events(): print(event, flush=True)", ["first", "let go", "interrupted", "running 0"]),
        ("client.get()", ["interrupted", "running 0"]),
    ],
)
def test_an_interrupted_call_lets_go_of_what_it_waited_for(wait, told):
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.replace("WAIT", wait)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.stdout.splitlines(), done.stderr, done.returncode) == (told, "", 0)
