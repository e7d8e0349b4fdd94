"""The command line: `syngraph`. It reaches nodes through the client library only, and starts a daemon as a process."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any, Final

import click

PLUGINS: Final = "syngraph.commands"
# Ctrl-C, as shells say it: 128 and the signal's number. The other exit codes stand in `output`.
INTERRUPTED: Final = 130
# Each is a module of this package, with the command in it.
_OWN: Final = (
    "agent",
    "audit",
    "config",
    "keys",
    "ledger",
    "node",
    "proof",
    "query",
    "status",
    "tx",
    "watch",
)


class _Commands(click.Group):
    """Our commands, and those of packages that this one may not import; each is loaded when it is called.

    So the help is there at once, and Ctrl-C while a command's modules are still being loaded is told like any other.
    """

    def list_commands(self, context: click.Context) -> list[str]:
        return sorted({*_OWN, *(point.name for point in entry_points(group=PLUGINS))})

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        if name in _OWN:
            own: click.Command = import_module(f"{__name__}.{name}").command
            return own
        for point in entry_points(group=PLUGINS, name=name):
            loaded: click.Command = point.load()
            return loaded
        return None

    def main(self, args: Sequence[str] | None = None, *rest: Any, **named: Any) -> Any:
        """As click's, but for Ctrl-C, which is 130 wherever it comes, and wrong use with `--json`, which scripts can read."""
        words = list(sys.argv[1:] if args is None else args)
        try:
            done = super().main(words, *rest, **{**named, "standalone_mode": False})
        except click.ClickException as error:
            from node.cli.output import fail  # late: with the client library behind it

            if "--json" in words:
                fail(error, as_json=True)
            error.show()
            sys.exit(error.exit_code)
        except click.Abort:
            sys.exit(INTERRUPTED)
        # The code that `--help` or a command left with; commands return nothing.
        sys.exit(done if isinstance(done, int) else 0)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="syngraph")
def main() -> None:
    """Ledgers that service providers and a neutral share: quote, order, deliver, bill, settle.

    \b
    First steps of a member (its certificate and key named in syngraph.toml, section [client]):
      syngraph status                          the node and its ledgers
      syngraph query list acme-alpha order     documents of a kind
      syngraph tx submit acme-alpha acts.json  sign and submit; prints the receipt
      syngraph watch acme-alpha                events as they happen
      syngraph watch acme-alpha --order ID     an order and all below it, live
      syngraph audit alpha-internal            what agents let out against what stands outside
      syngraph proof get acme-alpha order ID > order.proof

    \b
    First steps of an operator:
      syngraph keys authority --out ca         the organization's CA and id
      syngraph config check                    is the configuration usable
      syngraph node run                        the node, in the foreground
      syngraph agent s_bus                     an agent by itself, where the node runs none

    Exit codes: 0 done, 1 refused, 2 wrong use, 3 configuration, 4 node not reached, 5 no answer in time,
    6 a proof that does not hold, 130 interrupted by Ctrl-C.
    """
