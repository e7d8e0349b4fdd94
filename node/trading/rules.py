"""`syngraph trade rules`: what an organization quotes and ranks by, on its internal ledger."""

from __future__ import annotations

import dataclasses
import json
from typing import BinaryIO

import click

from ledgers.client import make_from_plain, to_plain
from ledgers.kinds import INTERNAL
from node.cli.settings import Settings, common
from node.cli.tx import read_json
from node.trading.desk import at
from smartcontracts.internal.rules import SetSourcingRules, SourcingRules


@click.command("rules")
@click.argument("ledger")
@click.argument("file", type=click.File("rb"), required=False)
@common
def command(settings: Settings, *, ledger: str, file: BinaryIO | None) -> None:
    """Print the rules in force on the internal LEDGER, to be edited; with FILE ("-" is standard input) set them.

    Weights of the ranking, mark-ups (in hundredths of a percent, for all offerings and for single ones), own times, validity
    of quotes, `prefer` (internal or cheapest), and how many decompositions are tried. What FILE does not name stays as it is.
    The signer is an administrator, or an SCO.

    \b
    Examples:
      syngraph trade rules alpha-internal > rules.json
      syngraph trade rules alpha-internal rules.json
      echo '{"markup_basis_points": 1200}' | syngraph trade rules alpha-internal -
    """
    with at(settings, ledger, INTERNAL) as desk:
        in_force = next((one.body for one in desk.ledger.list("sourcing_rules")), SourcingRules())
        plain = {one.name: to_plain(getattr(in_force, one.name)) for one in dataclasses.fields(SetSourcingRules)}
        if file is None:
            click.echo(json.dumps(plain, indent=1))
            return
        given = read_json(file)
        if not isinstance(given, dict):
            raise click.UsageError("Rules are a JSON object; without FILE this command prints one.")
        signed = make_from_plain(desk.ledger.id, [{"set_sourcing_rules": {**plain, **given}}], [desk.signer])
        desk.show(desk.read(desk.ledger.submit_signed(signed), "sourcing_rules"))
