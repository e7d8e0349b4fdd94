"""The command line of scripts/demo. Only the standard library, so that --help needs no installation."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from scripts.outputs import require_writable
from scripts.story.catalogue import ENTRIES, find, listing

EPILOG = """
FILE is an LSO Sonata (Grace) request: a quote request (--quote), a product order (--order), or both where they fit. With one
alone the other is derived from it; with none, samples of our own are used (scripts/story/data). Contacts, notes and names stay
in the sender's node; the ledgers hold salted hashes of them.

With --scenario the main job is not told; instead one of the register's composite scenarios runs on real processes, and each
checks its outcome on every ledger concerned. NAME may be a number of the list, or "all".

Exit code 0 only if every step held. Otherwise the last lines say which did not, what was expected, and where the logs are.
"""


def arguments(words: list[str] | None = None) -> argparse.Namespace:
    """The options: quote, order, report and directory are paths or None, keep is a flag, scenario the entries' names.

    `--list` prints them and ends the program.
    """
    parser = argparse.ArgumentParser(
        prog="scripts/demo",
        description="Set up what is needed, start ten organizations on this machine, and run the main job over three tiers on real ledgers.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--quote", metavar="FILE", type=Path, help="what acme asks for: a quote request")
    parser.add_argument("--order", metavar="FILE", type=Path, help="what acme orders: a product order")
    parser.add_argument("--report", metavar="FILE", type=Path, help="write ids, heights, hashes, amounts and signers as JSON")
    parser.add_argument("--directory", metavar="DIR", type=Path, help="where the network's files go (default: a new temporary one)")
    parser.add_argument("--keep", action="store_true", help="leave the network running, and say how to use and stop it")
    parser.add_argument("--scenario", metavar="NAME", action="append", default=[], help="run this one; may be given several times")
    parser.add_argument("--list", action="store_true", help="list the scenarios, and end")
    options = parser.parse_args(words)
    if options.list:
        print(listing())
        sys.exit(0)
    if options.scenario and (options.quote or options.order or options.keep):
        parser.error("--scenario takes no --quote, --order or --keep")
    require_writable(parser, "--report", options.report)
    options.scenario = _entries(parser, options.scenario)
    return options


def _entries(parser: argparse.ArgumentParser, words: list[str]) -> list[str]:
    """Names, in the order given, each once."""
    names = []
    for word in words:
        entry = find(word)
        if entry is None and word != "all":
            parser.error(f"there is no scenario {word}; --list shows them")
        names += [one.name for one in ENTRIES] if entry is None else [entry.name]
    return list(dict.fromkeys(names))
