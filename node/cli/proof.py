"""`syngraph proof`: get a proof file from a node, and verify one anywhere."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from ledgers.client import ProofFile, to_plain, verify_proof
from node.cli.settings import Settings, common

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.group("proof")
def command() -> None:
    """Prove a document to somebody who was not there."""


@command.command()
@click.argument("ledger")
@click.argument("kind")
@click.argument("document_id", metavar="ID")
@click.option("--height", type=click.IntRange(0), default=0, help="State of this height (default: the last provable).")
@click.option(
    "--out", type=click.Path(dir_okay=False, path_type=Path), help="File to write (default: standard output)."
)
@common
def get(settings: Settings, *, ledger: str, kind: str, document_id: str, height: int, out: Path | None) -> None:
    """Get a document, or its absence, with proof, header and commit, as one file.

    \b
    Example:
      syngraph proof get acme-alpha invoice inv_... --out invoice.proof
    """
    with settings.connect() as client:
        file: ProofFile = client.ledger(ledger).prove(kind, document_id, height)
    data = file.to_bytes()
    if out is None:
        click.echo(data, nl=False)
    else:
        _write(out, data)


@command.command()
@click.argument("file", type=_FILE)
@click.option("--genesis", type=_FILE, required=True, help="The ledger's genesis file.")
@common
def verify(settings: Settings, *, file: Path, genesis: Path) -> None:
    """Verify a proof file by the ledger's genesis file alone: no node, no network, no data directory.

    Shows what is proven; exit code 6 if anything does not hold.

    \b
    Example:
      syngraph proof verify invoice.proof --genesis acme-alpha.genesis.json
    """
    proven = verify_proof(ProofFile.from_bytes(file.read_bytes()), genesis.read_bytes())
    plain: dict[str, Any] = {
        "proven": "absence" if proven.body is None else "presence",
        "ledger_id": proven.ledger_id,
        "kind": proven.kind,
        "id": proven.id,
        "height": proven.height,
        "app_hash": proven.app_hash.hex(),
        "header_height": proven.header_height,
        "header_time": datetime.fromtimestamp(proven.time.seconds, UTC).isoformat(),
        "voted_power": f"{proven.voted_power} of {proven.total_power}",
        "body": to_plain(proven.body),
    }
    settings.output.fields(plain)


def _write(out: Path, data: bytes) -> None:
    try:
        out.write_bytes(data)
    except OSError as error:
        raise click.BadParameter(f"{out}: {error.strerror}", param_hint="--out") from error
