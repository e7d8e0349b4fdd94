"""The command line of scripts/bench. Only the standard library, so that --help needs no installation."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Final

from scripts.outputs import require_writable

SECONDS_QUICK: Final = 6.0
SECONDS_FULL: Final = 40.0
SECONDS_MAX: Final = 3_600.0
CLIENTS: Final = 200
# An organization may have 500 transactions waiting, and in a flow either of the two may be the one that acts.
CLIENTS_MAX: Final = 480
INQUIRIES_QUICK: Final = 5
INQUIRIES_FULL: Final = 30
ORDERS_QUICK: Final = 20
ORDERS_FULL: Final = 200
TIERS_COUNT_MAX: Final = 2_000

EPILOG = """
Measured, one after another, on this machine alone:
  idle      single transactions, spaced, each with simulation as any client sends it
  maximum   as many order flows at once as there are clients: inquiry (7 KB of configuration), quote, order, acceptance, activation
  10 %, 80 %  flows that begin at a steady rate, whatever the answers take
  kvstore   CometBFT's own Go kvstore: four validators, the same engine settings, as many transactions waiting, of the same sizes
  replay    the blocks of the maximum, through one application in this process: time by stage

With --tiers, instead of all that: agents over several tiers of providers, on real ledgers
  inquiries one after the other over three tiers, from the customer's submission to its quote, and each commit on that path
  orders   so many at once through the three tiers, until all have ended
  chain    one purchase over five tiers

Targets stand in the table beside what was measured. Exit code 0 if everything was measured, whatever came out.
With --tiers it is 1 if an order did not end.
Nothing else should run meanwhile: the load before the start is in the report.
"""


def arguments(words: list[str] | None = None) -> argparse.Namespace:
    """The options: json and profile are paths or None, quick is a flag, seconds a float, clients an int."""
    parser = argparse.ArgumentParser(
        prog="scripts/bench",
        description="Measure four organizations' nodes under a signed order flow, and CometBFT's own kvstore beside them.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--quick", action="store_true", help="under 90 s instead of under 6 minutes")
    parser.add_argument("--json", metavar="FILE", type=Path, help="write everything measured as JSON")
    parser.add_argument("--seconds", metavar="N", type=_seconds, help="length of each load (default: 40, with --quick 6)")
    parser.add_argument("--clients", metavar="N", type=_clients, default=CLIENTS, help="flows at once at the maximum (default: %(default)s)")
    parser.add_argument("--profile", metavar="FILE", type=Path, help="write where the time of the replay goes, by function (cProfile)")
    parser.add_argument("--tiers", action="store_true", help="measure agents over three tiers of providers, and over five")
    parser.add_argument("--inquiries", metavar="N", type=_count, help="with --tiers: one after the other (default: 30, with --quick 5)")
    parser.add_argument("--orders", metavar="N", type=_count, help="with --tiers: at once (default: 200, with --quick 20)")
    parser.add_argument("--keep", metavar="DIR", type=Path, help="where the networks' files go, and stay (default: a temporary directory)")
    options = parser.parse_args(words)
    require_writable(parser, "--json", options.json)
    require_writable(parser, "--profile", options.profile)
    if options.seconds is None:
        options.seconds = SECONDS_QUICK if options.quick else SECONDS_FULL
    if not options.tiers and (options.inquiries is not None or options.orders is not None):
        parser.error("--inquiries and --orders go with --tiers")
    if options.inquiries is None:
        options.inquiries = INQUIRIES_QUICK if options.quick else INQUIRIES_FULL
    if options.orders is None:
        options.orders = ORDERS_QUICK if options.quick else ORDERS_FULL
    return options


def _seconds(text: str) -> float:
    value = float(text)
    if not 1 <= value <= SECONDS_MAX:
        raise argparse.ArgumentTypeError(f"between 1 and {SECONDS_MAX:g}")
    return value


def _clients(text: str) -> int:
    value = int(text)
    if not 1 <= value <= CLIENTS_MAX:
        raise argparse.ArgumentTypeError(f"between 1 and {CLIENTS_MAX}")
    return value


def _count(text: str) -> int:
    value = int(text)
    if not 1 <= value <= TIERS_COUNT_MAX:
        raise argparse.ArgumentTypeError(f"between 1 and {TIERS_COUNT_MAX}")
    return value
