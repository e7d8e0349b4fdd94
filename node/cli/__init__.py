"""The command line: `syngraph`. It reaches nodes through the client library only, and starts a daemon as a process."""

from __future__ import annotations

from importlib.metadata import entry_points
from typing import Final

import click

from node.cli import agent, audit, config, keys, ledger, node, proof, query, status, tx, watch

PLUGINS: Final = "syngraph.commands"


class _Commands(click.Group):
    """Our commands, and those of packages that this one may not import; a plugin is loaded when it is called."""

    def list_commands(self, context: click.Context) -> list[str]:
        return sorted({*super().list_commands(context), *(point.name for point in entry_points(group=PLUGINS))})

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        found = super().get_command(context, name)
        if found is not None:
            return found
        for point in entry_points(group=PLUGINS, name=name):
            loaded: click.Command = point.load()
            return loaded
        return None


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


for _command in (
    agent.command,
    audit.command,
    config.command,
    keys.command,
    ledger.command,
    node.command,
    proof.command,
    query.command,
    status.command,
    tx.command,
    watch.command,
):
    main.add_command(_command)
