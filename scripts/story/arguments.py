"""The command line of scripts/demo. Only the standard library, so that --help needs no installation."""

from __future__ import annotations

import argparse
from pathlib import Path

EPILOG = """
FILE is an LSO Sonata (Grace) request: a quote request (--quote), a product order (--order), or both where they fit. With one
alone the other is derived from it; with none, samples of our own are used (scripts/story/data). Contacts, notes and names stay
in the sender's node; the ledgers hold salted hashes of them.

Exit code 0 only if every step held. Otherwise the last lines say which did not, what was expected, and where the logs are.
"""


def arguments(words: list[str] | None = None) -> argparse.Namespace:
    """The options: quote, order, report and directory are paths or None, keep is a flag."""
    parser = argparse.ArgumentParser(
        prog="scripts/demo",
        description="Set up what is needed, start six organizations on this machine, and run the main job on real ledgers.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--quote", metavar="FILE", type=Path, help="what acme asks for: a quote request")
    parser.add_argument("--order", metavar="FILE", type=Path, help="what acme orders: a product order")
    parser.add_argument("--report", metavar="FILE", type=Path, help="write ids, heights, hashes, amounts and signers as JSON")
    parser.add_argument("--directory", metavar="DIR", type=Path, help="where the network's files go (default: a new temporary one)")
    parser.add_argument("--keep", action="store_true", help="leave the network running, and say how to use and stop it")
    return parser.parse_args(words)
