"""A full disk: a clear error, nothing corrupted, and with space again the ledger goes on with the same app hashes."""

from __future__ import annotations

import contextlib
import os
import resource
import shutil
import subprocess
import time

import pytest

from abci_app.halt import HALT_FILE, read_halt
from tests.faults.harness import Network, until
from tests.faults.load import Load, assert_kept, conclude

pytestmark = [pytest.mark.network, pytest.mark.timeout(600)]
DISK_BYTES = 12 * 1024 * 1024


@contextlib.contextmanager
def small_file_system(path):
    """A file system of DISK_BYTES at `path`; skips where this user may not mount one."""
    path.mkdir(mode=0o700, parents=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES},mode=0700", "tmpfs", str(path)]
    if os.geteuid() != 0 or shutil.which("mount") is None or subprocess.run(command, check=False).returncode:
        pytest.skip("only root may mount a small file system here; the limit on a file's size is tried without")
    try:
        yield path
    finally:
        subprocess.run(["umount", "-l", str(path)], check=True)


async def starve_and_feed(network, seats, name, tmp_path, starve, feed):
    """Take the application's space away under load, see its ledger halt, give space and start it again; the halt record."""
    node = network[name]
    agreement = await conclude(seats["acme"], seats["alpha"])
    others = {other: seat for other, seat in seats.items() if other != name}
    async with Load(others, agreement, tmp_path / "receipts.jsonl", 5) as load:
        await until(lambda: load.written >= 10, 120, "the load does not get on")
        starve()

        async def halted():
            status = await seats[name].status()
            return status is not None and status.state == "halted" and status.halt

        sentence = await until(halted, 120, "the starved ledger does not halt")
        print(f"halted: {sentence}")
        at_halt = load.written
        await until(lambda: load.written >= at_halt + 10, 120, "the others do not go on")
        await until(seats[name].status, 60, "the node must answer still")

    def said():
        return [event.get("event") for event in node.events()]

    await until(lambda: "ledger.halted" in said(), 60, "the application does not say it")
    await until(lambda: "ledger_halted" in said(), 60, "the supervisor does not say that it waits for a person")
    events = said()
    restarts = events.count("process_started")
    feed()
    # The operator's part: there is space again, the record is read and taken away, the node is started again.
    node.stop()
    record = read_halt(node.data / "ledgers" / network.id)
    with contextlib.suppress(FileNotFoundError):
        (node.data / "ledgers" / network.id / HALT_FILE).unlink()
    began = time.monotonic()
    node.start()
    height = await network.settled(seats, 150)
    print(f"caught up {time.monotonic() - began:.1f} s after its start; {restarts} starts before")
    await assert_kept(load.receipts(), seats, height)
    await network.assert_same_history(seats, height)
    return sentence, record


async def test_files_that_cannot_grow_halt_the_ledger_and_corrupt_nothing(tmp_path):
    with Network(tmp_path / "net", history_blocks=0) as network:
        node = network["south"]

        def starve():
            # From now on no file of this process may be longer than this; the store's log will want to be.
            resource.prlimit(node.application_pid, resource.RLIMIT_FSIZE, (64 * 1024, 64 * 1024))

        async with network.seats() as seats:
            sentence, record = await starve_and_feed(network, seats, "south", tmp_path, starve, lambda: None)
    assert "File too large" in sentence
    assert record is not None
    assert record.step == "commit"


async def test_a_full_file_system_halts_the_ledger_and_corrupts_nothing(tmp_path):
    network = Network(tmp_path / "net", history_blocks=0)
    node = network["south"]
    with small_file_system(node.data) as disk, network:
        ballast = disk / "ballast"

        def starve():
            with ballast.open("wb", buffering=0) as full, contextlib.suppress(OSError):
                while full.write(bytes(4_096)):
                    pass

        async with network.seats() as seats:
            sentence, _ = await starve_and_feed(network, seats, "south", tmp_path, starve, ballast.unlink)
    assert "No space left on device" in sentence
