"""`syngraph query`: documents, lists, receipts, app hashes."""

from __future__ import annotations

from itertools import islice
from typing import Any

import click

from ledgers.client import Document
from node.cli.output import instant
from node.cli.settings import Settings, common


@click.group("query")
def command() -> None:
    """Read a ledger. LEDGER is the node's name for it, or its id."""


@command.command()
@click.argument("ledger")
@click.argument("kind")
@click.argument("document_id", metavar="ID")
@click.option("--height", type=click.IntRange(0), default=0, help="As of this height (default: the latest).")
@common
def get(settings: Settings, *, ledger: str, kind: str, document_id: str, height: int) -> None:
    """Show one document.

    \b
    Examples:
      syngraph query get acme-alpha order ord_...
      syngraph query get acme-alpha sys rules
    """
    with settings.connect() as client:
        settings.output.fields(_plain(client.ledger(ledger).get(kind, document_id, height)))


@command.command("list")
@click.argument("ledger")
@click.argument("kind")
@click.option("--status", help="Only with this status.")
@click.option("--party", help="Only where this organization is a party.")
@click.option("--offering", help="Only of this offering.")
@click.option("--service", help="Only of this service.")
@click.option("--related", help="Only those related to this document.")
@click.option("--created-from-ms", type=click.IntRange(0), default=0, help="Created at this ledger time or later.")
@click.option("--created-until-ms", type=click.IntRange(0), default=0, help="Created at this ledger time or earlier.")
@click.option("--height", type=click.IntRange(0), default=0, help="As of this height (default: the latest).")
@click.option("--limit", type=click.IntRange(1, 100_000), default=100, show_default=True, help="At most so many.")
@common
def list_(settings: Settings, *, ledger: str, kind: str, height: int, limit: int, **filters: Any) -> None:
    """List documents of a kind. A filter that the kind does not support is refused, never scanned for.

    \b
    Examples:
      syngraph query list acme-alpha quote --status issued
      syngraph query list omni organization --json
    """
    chosen = {name: value for name, value in filters.items() if value}
    with settings.connect() as client:
        found = client.ledger(ledger).list(kind, height=height, page_size=min(limit + 1, 1_000), **chosen)
        documents: list[Document] = list(islice(found, limit + 1))
    if len(documents) > limit:
        documents.pop()
        click.echo(f"syngraph: these are the first {limit}; --limit shows more.", err=True)
    rows = [
        (d.id, getattr(d.body, "status", ""), d.version, instant(d.created_at_ms), instant(d.updated_at_ms))
        for d in documents
    ]
    columns = ("id", "status", "version", "created", "updated")
    settings.output.rows(columns, rows, [_plain(document) for document in documents])


@command.command()
@click.argument("ledger")
@click.argument("transaction_id", metavar="TRANSACTION")
@common
def receipt(settings: Settings, *, ledger: str, transaction_id: str) -> None:
    """Show what became of a transaction (its id in hex)."""
    with settings.connect() as client:
        settings.output.fields(client.ledger(ledger).receipt(parse_id(transaction_id)))


@command.command("app-hash")
@click.argument("ledger")
@click.option("--height", type=click.IntRange(0), default=0, help="Of this height (default: the latest).")
@common
def app_hash(settings: Settings, *, ledger: str, height: int) -> None:
    """Show the app hash at a height: the same on every honest node."""
    with settings.connect() as client:
        found = client.ledger(ledger).app_hash(height)
    settings.output.line(f"{found[0]} {found[1].hex()}", {"height": found[0], "app_hash": found[1]})


def parse_id(text: str) -> bytes:
    """A transaction id from hex. Raises click.BadParameter."""
    try:
        return bytes.fromhex(text)
    except ValueError as error:
        raise click.BadParameter("a transaction id is written in hex") from error


def _plain(document: Document) -> dict[str, Any]:
    """A document without the bytes that only a proof needs."""
    return {
        "kind": document.kind,
        "id": document.id,
        "version": document.version,
        "created_at_ms": document.created_at_ms,
        "updated_at_ms": document.updated_at_ms,
        "height": document.height,
        "body": document.body,
    }
