"""`python -m scripts.simulation`: what scripts/simulate runs once everything is installed."""

from __future__ import annotations

import argparse
import importlib
import json
import sys
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, Final

from scripts.simulation.arguments import arguments
from scripts.simulation.report import Report
from scripts.simulation.run import run

FAILED: Final = 1
USAGE: Final = 2


def main() -> int:
    """Exit code: 0 everything held, 1 an invariant broke, 2 there is no such bug to plant."""
    options = arguments()
    bugs = _planted(options)
    if options.plant and options.plant not in bugs:
        print("bugs that can be planted: " + ", ".join(bugs), file=sys.stderr)
        return USAGE
    report = Report(steps_each=options.steps, orgs=options.orgs, plant=options.plant)
    with _bug(bugs, options.plant):
        for seed in range(options.seed, options.seed + options.seeds):
            report.add(run(seed, options.steps, options.orgs))
            if report.failures:
                break
    _write(report, options.json)
    return FAILED if report.failures else 0


def _planted(options: argparse.Namespace) -> dict[str, Any]:
    """The bugs by name. They are part of the tests, which an installation lacks."""
    return importlib.import_module("tests.sim.planted").BUGS if options.plant else {}


def _bug(bugs: dict[str, Any], name: str) -> AbstractContextManager[Any]:
    return bugs[name]() if name else nullcontext()


def _write(report: Report, path: Path | None) -> None:
    if path is None:
        print(report.text())
        return
    text = json.dumps(report.plain(), indent=1)
    if str(path) == "-":
        print(text)
        return
    path.write_text(text + "\n", encoding="utf-8")
    print(report.text())


if __name__ == "__main__":
    sys.exit(main())
