"""`syngraph status`: the node, and where its ledgers stand."""

from __future__ import annotations

import click

from node.cli.settings import Settings, common


@click.command("status")
@click.argument("ledger", required=False)
@common
def command(settings: Settings, *, ledger: str | None) -> None:
    """Show the node and its ledgers, or one LEDGER in full.

    \b
    Examples:
      syngraph status
      syngraph status acme-alpha --json
    """
    with settings.connect() as client:
        if ledger is not None:
            settings.output.fields(client.ledger(ledger).status())
            return
        node = client.node_status()
    rows = [
        (
            s.name,
            s.ledger_id,
            s.kind,
            s.state,
            s.height,
            s.peers,
            s.mempool_transactions,
            "yes" if s.validator else "no",
            s.halt,
        )
        for s in node.ledgers
    ]
    if not settings.as_json:
        click.echo(f"node of {node.organization_id}, version {node.version}")
    if not rows:
        click.echo(
            "syngraph: the node shows you no ledger: it is starting, or this member is on none of its own.", err=True
        )
    columns = ("ledger", "id", "kind", "state", "height", "peers", "waiting", "validates", "halt")
    settings.output.rows(columns, rows, node)
