"""`python -m tests.faults.killed_agent ROLE --config FILE`: a real agent that kills itself, by SIGKILL, at chosen boundaries.

$SYNGRAPH_TEST_KILL_AT names one as `node.agents.boundaries` does, e.g. "s_bus/carry_release/before/carry"; without it the
agent lives. $SYNGRAPH_TEST_JOURNAL is a file to which each boundary is written as it is passed, with its document, so
that a test sees what was passed and when it died. `--boundaries` prints all of them, and their number.

`--kills FOLDER` is for an agent that dies often: once at each boundary that a file in the folder is called after, the first
time that it passes it, and the file is called "….died" then. Whatever it was, a process with nothing of it goes on: it is
forked from one that has read the program and no more, since on a busy machine that takes most of a start. Cursors are
deleted in between where the file says so; each end is a line in the journal's neighbour "….ends".
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import ctypes
import os
import signal
import sys
import time
from pathlib import Path

from node.agents.boundaries import boundaries
from node.agents.process import run_until_signal
from node.agents.roster import DUTIES
from node.configuration import AGENT_ROLES, load_agents, read_sources
from node.logs import configure_logs
from smartcontracts.kernel import Role

DIED = ".died"
FORGETS = "cursors"
PAUSE_S = 0.3
_PR_SET_PDEATHSIG = 1


def marker(kills, boundary):
    """The file that tells an agent to die at a boundary."""
    return kills / str(boundary).replace("/", "+")


def is_marked(kills, boundary):
    """Whether to die there now: once."""
    chosen = marker(kills, boundary)
    try:
        chosen.rename(chosen.with_name(chosen.name + DIED))
    except FileNotFoundError:
        return False
    return True


def observer(kill_at, journal, kills=None):
    """Writes each boundary down, and ends the process at the chosen ones, as abruptly as the kernel can."""

    def observe(boundary, document_id):
        if journal:
            os.write(journal, f"{boundary} {document_id}\n".encode())
        if str(boundary) == kill_at or (kills is not None and is_marked(kills, boundary)):
            os.kill(os.getpid(), signal.SIGKILL)

    return observe


class Keeper:
    """Starts the agent again each time that it was killed."""

    def __init__(self, kills, cursors, ends):
        self.kills, self.cursors, self.ends = kills, cursors, ends
        self.child = 0
        self.stopping = False

    def stop(self, *_):
        self.stopping = True
        if self.child:
            with contextlib.suppress(ProcessLookupError):  # it has just ended, and been waited for
                os.kill(self.child, signal.SIGTERM)

    def run(self, agent):
        """Until an end that was no kill."""
        signal.signal(signal.SIGTERM, self.stop)
        while not self.stopping:
            self.child = os.fork()
            if self.child == 0:
                self._become(agent)
            _, status = os.waitpid(self.child, 0)
            self.child = 0
            if not os.WIFSIGNALED(status) or os.WTERMSIG(status) != signal.SIGKILL:
                sys.exit(os.waitstatus_to_exitcode(status))
            self._ended()
            time.sleep(PAUSE_S)

    @staticmethod
    def _become(agent):
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        try:
            agent()
        finally:
            sys.stdout.flush()
            os._exit(0)

    def _ended(self):
        lost = 0
        for path in self.kills.glob(f"*{DIED}"):
            if path.read_text() == FORGETS:
                path.write_text("")
                for cursor in self.cursors.glob("*.cursor"):
                    cursor.unlink()
                    lost += 1
        with self.ends.open("a") as ends:
            ends.write(f"{lost}\n")


def all_boundaries():
    return [str(one) for duties in DUTIES.values() for one in boundaries(duties)]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("role", nargs="?", choices=AGENT_ROLES)
    parser.add_argument("--config", type=Path)
    parser.add_argument("--kills", type=Path)
    parser.add_argument("--journal", type=Path, default=os.environ.get("SYNGRAPH_TEST_JOURNAL"))
    parser.add_argument("--boundaries", action="store_true")
    options = parser.parse_args()
    if options.boundaries:
        print("\n".join((*all_boundaries(), f"{len(all_boundaries())} boundaries")))
        return
    kill_at = os.environ.get("SYNGRAPH_TEST_KILL_AT", "")
    if kill_at and kill_at not in all_boundaries():
        sys.exit(f"there is no boundary {kill_at}")
    path = None if options.journal is None else Path(options.journal)
    journal = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600) if path else 0
    configuration = load_agents(read_sources(options.config, os.environ))
    configure_logs(configuration.log.format, configuration.log.level)

    def agent():
        asyncio.run(run_until_signal(configuration, Role(options.role), observer(kill_at, journal, options.kills)))

    if options.kills is None:
        agent()
    else:
        cursors = configuration.agents.folder / options.role / "cursors"
        Keeper(options.kills, cursors, path.with_suffix(".ends")).run(agent)


if __name__ == "__main__":
    main()
