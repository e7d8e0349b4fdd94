"""`python -m tests.faults.controlled_node`: the node, whose applications are controlled ones and whose engine may be another.

$SYNGRAPH_TEST_ENGINE names another engine's executable. Everything else is the real node.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import node.daemon
from node.__main__ import main
from node.process import KeptProcess
from node.supervisor import Supervisor


class ControlledSupervisor(Supervisor):
    def _application(self, plan):
        return KeptProcess(
            plan.name,
            (sys.executable, "-m", "tests.faults.controlled_application", "--config", str(plan.config)),
            self._run_dir / f"{plan.name}.pid",
            on_line=lambda line: sys.stderr.write(line + "\n"),
            after_exit=lambda: self._end_engines(plan),
        )


if __name__ == "__main__":
    if "SYNGRAPH_TEST_CONTROLS" in os.environ:
        node.daemon.Supervisor = ControlledSupervisor
    if "SYNGRAPH_TEST_ENGINE" in os.environ:
        node.daemon.binary = lambda: Path(os.environ["SYNGRAPH_TEST_ENGINE"])
    sys.exit(main())
