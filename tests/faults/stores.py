"""The store of a running application, as a kill at this instant would leave it."""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path

from abci_app.store.filing import unfile
from abci_app.store.keys import DOCUMENTS, NUMBER_BYTES, PAST, past_end
from abci_app.store.leveldb import LevelStore
from tests.faults.harness import until


async def filed_versions(node, folder):
    """(those whose parts stand in transactions, all) of the versions of documents that a node keeps. Each is read whole.

    Raises StoreDamagedError where one can't be.
    """
    copy = folder / f"{node.org.name}-store"
    await _copy_of(node, copy)
    store = LevelStore(copy)
    try:
        reader, filed, count = store.snapshot(), 0, 0
        for space in (DOCUMENTS, PAST[DOCUMENTS]):
            for _, value in reader.scan(space, past_end(space)):
                form = value[NUMBER_BYTES:]
                whole = unfile(reader, form)
                count += 1
                filed += len(form) < len(whole)
        return filed, count
    finally:
        store.close()
        shutil.rmtree(copy)


async def _copy_of(node, folder):
    pid = node.application_pid
    os.kill(pid, signal.SIGSTOP)
    try:
        await until(lambda: _is_stopped(pid), 10, "the application does not stop")
        shutil.copytree(node.data / "ledgers" / node.ledger_id / "store", folder)
    finally:
        os.kill(pid, signal.SIGCONT)


def _is_stopped(pid):
    """Whether none of its threads runs."""
    states = [
        task.joinpath("stat").read_text().rpartition(")")[2].split()[0] for task in Path(f"/proc/{pid}/task").iterdir()
    ]
    return set(states) == {"T"}
