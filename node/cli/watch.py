"""`syngraph watch`: events as they happen."""

from __future__ import annotations

import click

from node.cli.output import instant
from node.cli.settings import Settings, common


@click.command("watch")
@click.argument("ledger")
@click.option("--after", default="now", show_default=True, help='Cursor to resume after; "" is the oldest kept.')
@click.option("--kind", "kinds", multiple=True, help="Only documents of this kind; may be given several times.")
@click.option("--count", type=click.IntRange(0), default=0, help="Stop after so many events (default: never).")
@common
def command(settings: Settings, *, ledger: str, after: str, kinds: tuple[str, ...], count: int) -> None:
    """Show events, one a line, until Ctrl-C; the first column is the cursor to resume after.

    \b
    Examples:
      syngraph watch acme-alpha
      syngraph watch acme-alpha --after 120/0 --kind order --json
    """
    with settings.connect() as client:
        for seen, event in enumerate(client.ledger(ledger).events(after=after, kinds=kinds), start=1):
            settings.output.line(
                f"{event.id}  {instant(event.ledger_time_ms)}  {event.name}  {event.kind}/{event.document_id} v{event.version}",
                event,
            )
            if seen == count:
                return
