"""`syngraph ledger`: found a new ledger."""

from __future__ import annotations

import tomllib
from pathlib import Path

import click

from ledgers.client import PlainInvalid
from ledgers.client.founding import found_ledger, genesis_file, warnings
from ledgers.client.identity import write_secret
from ledgers.client.proofs import read_genesis
from node.cli.settings import Settings, common


@click.group("ledger")
def command() -> None:
    """Found a ledger, and look at a genesis file."""


@command.command()
@click.argument("description", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), required=True, help="New genesis file.")
@common
def create(settings: Settings, *, description: Path, out: Path) -> None:
    """Make the genesis file of a new ledger from a DESCRIPTION, and show the ledger's id.

    Give the file to the other members only: it holds the secret from which salts derive (mode 0600).

    \b
    A description:
      kind = "bilateral"
      [[organizations]]
      name = "alpha"
      position = "party"                # party, neutral, observer, member
      ca_certificate = "alpha/ca.pem"
      node_ids = ["4f2a..."]            # syngraph node engine-keys HOME
      validator_key = "9c01..."         # empty for a full node without a vote
      [[organizations.members]]
      public_key = "77ab..."            # syngraph keys signing
      roles = ["administrator"]
      [parameters]                      # only what differs from the defaults
      max_ttl_ms = 600000
    """
    try:
        values = tomllib.loads(description.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise PlainInvalid("", f"{description} is not TOML: {error}") from error
    founded = found_ledger(values, description.parent)
    data = genesis_file(founded)
    write_secret(out, data)
    for warning in warnings(founded):
        click.echo(f"syngraph: warning: {warning}", err=True)
    settings.output.fields({"ledger_id": read_genesis(data)[0], "genesis": str(out)})


@command.command()
@click.argument("genesis", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@common
def show(settings: Settings, *, genesis: Path) -> None:
    """Show what a genesis file holds, but for its secret."""
    ledger_id, record = read_genesis(genesis.read_bytes())
    settings.output.fields(
        {
            "ledger_id": ledger_id,
            "kind": record.kind,
            "created_at_ms": record.created_at_ms,
            "contracts_version": record.contracts_version,
            "organizations": [
                {"id": o.id, "name": o.name, "position": o.position, "validates": bool(o.validator_key)}
                for o in record.organizations
            ],
            "members": [{"id": m.id, "organization": m.organization_id, "roles": m.roles} for m in record.members],
            "parameters": record.parameters,
        }
    )
