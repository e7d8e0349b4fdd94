"""The blocking client when its user presses Ctrl-C: no traceback of ours, nothing left running, and it can be closed."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.node.network import ROOT

# Waits for something that never comes, is interrupted there, and says what is left. SyncClient is made of these two.
PROGRAM = """
import asyncio, signal, threading, time
import ledgers.client.sync
from ledgers.client.sync import _Loop, _Sync

ledgers.client.sync._LET_GO_S = 60
waiting = threading.Event()

class Silent:
    async def events(self):
        yield "first"
        try:
            waiting.set()
            await asyncio.sleep(3600)
        finally:
            print("let go", flush=True)
    async def get(self):
        waiting.set()
        await asyncio.sleep(3600)

def interrupt():
    waiting.wait()
    time.sleep(0.5)  # until the main thread waits for what has begun
    signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)

loop = _Loop()
client = _Sync(Silent(), loop)
threading.Thread(target=interrupt).start()
try:
    WAIT
except KeyboardInterrupt:
    print("interrupted", flush=True)

async def others():
    return len(asyncio.all_tasks()) - 1
print("running", loop.run(others), flush=True)
loop.stop()
"""

# Interrupted while the loop is at something else, so that the call has not begun yet.
BEFORE = """
import asyncio, signal, threading, time
from ledgers.client.sync import _Loop, _Sync

class Silent:
    async def get(self):
        print("begun", flush=True)

loop = _Loop()
busy = threading.Event()
loop.loop.call_soon_threadsafe(busy.wait)

def interrupt():
    time.sleep(0.5)
    signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
    time.sleep(0.5)
    busy.set()

threading.Thread(target=interrupt).start()
try:
    _Sync(Silent(), loop).get()
except KeyboardInterrupt:
    print("interrupted", flush=True)
loop.stop()
"""


HALF_READ = """
from ledgers.client.sync import _Loop, _Sync

class Endless:
    async def list(self):
        try:
            while True:
                yield 1
        finally:
            print("let go", flush=True)

loop = _Loop()
found = _Sync(Endless(), loop).list()
next(found)
loop.stop()
print("closed", flush=True)
del found
"""


def test_what_was_read_by_half_is_let_go_of_when_the_client_is_closed_without_a_word_afterwards():
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", HALF_READ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert (done.stdout.splitlines(), done.stderr, done.returncode) == (["let go", "closed"], "", 0)


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
        timeout=100,
    )
    assert (done.stdout.splitlines(), done.stderr, done.returncode) == (told, "", 0)


def test_a_call_that_is_interrupted_before_it_begins_never_does_and_nobody_hears_of_it():
    done = subprocess.run(
        [sys.executable, "-c", BEFORE], cwd=ROOT, capture_output=True, text=True, check=False, timeout=100
    )
    assert (done.stdout, done.stderr, done.returncode) == ("interrupted\n", "", 0)
