"""The command line of scripts/simulate. Only the standard library, so that --help needs no installation."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Final

from scripts.outputs import require_writable

STEPS: Final = 1_000
STEPS_MAX: Final = 10_000_000
ORGS: Final = 5
ORGS_LEAST: Final = 2
ORGS_MAX: Final = 60
STANDARD_OUTPUT: Final = Path("-")

EPILOG = """
A step is one thing that happens: a block, news that reaches somebody, an agent or a person going on, a fault. After --steps of them
nobody begins anything new, and the world runs on until all is quiet; then it is asked whether everything came to its end.

A seed always gives the same history, on every machine. What breaks an invariant prints the seed, the step, the last happenings and the
command that replays it; the exit code is then 1. docs/simulation.md says what is simulated and what is checked.

Examples:
  scripts/simulate --seed 7                     one history
  scripts/simulate --seeds 200 --steps 400      seeds 1 to 200
  scripts/simulate --seeds 200 --plant NAME     with one of the bugs of tests/sim/planted.py; --plant list names them
"""


def arguments(words: list[str] | None = None) -> argparse.Namespace:
    """The options: seed, seeds, steps and orgs are ints, json a path or None, plant a name or empty."""
    parser = argparse.ArgumentParser(
        prog="scripts/simulate",
        description="Run organizations, ledgers and agents in one process on virtual time, with faults, and check invariants after every step.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--seed", metavar="N", type=_between(0, 2**63), default=1, help="the first seed (default: %(default)s)")
    parser.add_argument("--seeds", metavar="N", type=_between(1, 1_000_000), default=1, help="how many seeds, one after another (default: %(default)s)")
    parser.add_argument("--steps", metavar="N", type=_between(1, STEPS_MAX), default=STEPS, help="steps of each (default: %(default)s)")
    parser.add_argument("--orgs", metavar="N", type=_between(ORGS_LEAST, ORGS_MAX), default=ORGS, help="organizations besides the neutrals (default: %(default)s)")
    parser.add_argument("--json", metavar="FILE", type=Path, nargs="?", const=STANDARD_OUTPUT, help="write the report as JSON, to standard output without FILE")
    parser.add_argument("--plant", metavar="NAME", default="", help="plant a bug, to see that it is found; needs the tests")
    options = parser.parse_args(words)
    require_writable(parser, "--json", None if options.json == STANDARD_OUTPUT else options.json)
    return options


def _between(least: int, most: int):  # type: ignore[no-untyped-def]  # noqa: ANN202 - argparse takes any callable
    def number(text: str) -> int:
        value = int(text)
        if not least <= value <= most:
            raise argparse.ArgumentTypeError(f"from {least} to {most}")
        return value

    return number
