"""`python -m tests.faults.killed_agent ROLE --config FILE`: a real agent that kills itself, by SIGKILL, at one boundary.

$SYNGRAPH_TEST_KILL_AT names the boundary as `node.agents.boundaries` does, e.g. "s_bus/carry_release/before/carry"; without
it the agent lives. $SYNGRAPH_TEST_JOURNAL is a file to which each boundary is written as it is passed, with its document, so
that a test sees what was passed and when it died. `--boundaries` prints all of them, and their number.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
from pathlib import Path

from node.agents.boundaries import boundaries
from node.agents.process import run_until_signal
from node.agents.roster import DUTIES
from node.configuration import AGENT_ROLES, load_agents, read_sources
from node.logs import configure_logs
from smartcontracts.kernel import Role


def observer(kill_at, journal):
    """Writes each boundary down, and ends the process at the chosen one, as abruptly as the kernel can."""

    def observe(boundary, document_id):
        if journal:
            os.write(journal, f"{boundary} {document_id}\n".encode())
        if str(boundary) == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)

    return observe


def all_boundaries():
    return [str(one) for duties in DUTIES.values() for one in boundaries(duties)]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("role", nargs="?", choices=AGENT_ROLES)
    parser.add_argument("--config", type=Path)
    parser.add_argument("--boundaries", action="store_true")
    options = parser.parse_args()
    if options.boundaries:
        print("\n".join((*all_boundaries(), f"{len(all_boundaries())} boundaries")))
        return
    kill_at = os.environ.get("SYNGRAPH_TEST_KILL_AT", "")
    if kill_at and kill_at not in all_boundaries():
        sys.exit(f"there is no boundary {kill_at}")
    path = os.environ.get("SYNGRAPH_TEST_JOURNAL")
    journal = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600) if path else 0
    configuration = load_agents(read_sources(options.config, os.environ))
    configure_logs(configuration.log.format, configuration.log.level)
    asyncio.run(run_until_signal(configuration, Role(options.role), observer(kill_at, journal)))


if __name__ == "__main__":
    main()
