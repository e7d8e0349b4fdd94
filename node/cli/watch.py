"""`syngraph watch`: events as they happen."""

from __future__ import annotations

import click

from node.cli import tree
from node.cli.output import instant
from node.cli.settings import Settings, common


@click.command("watch")
@click.argument("ledger")
@click.option("--after", default="now", show_default=True, help='Cursor to resume after; "" is the oldest kept.')
@click.option("--kind", "kinds", multiple=True, help="Only documents of this kind; may be given several times.")
@click.option("--count", type=click.IntRange(0), default=0, help="Stop after so many events (default: never).")
@click.option("--inquiry", metavar="ID", help="Show this inquiry's tree over all tiers that you may see.")
@click.option("--order", metavar="ID", help="Show this order's tree over all tiers that you may see.")
@click.option("--once", is_flag=True, help="With --inquiry or --order: show it as it stands, and end.")
@common
def command(  # one parameter an option
    settings: Settings,
    *,
    ledger: str,
    after: str,
    kinds: tuple[str, ...],
    count: int,
    inquiry: str | None,
    order: str | None,
    once: bool,
) -> None:
    """Show events, one a line, until Ctrl-C; the first column is the cursor to resume after.

    With --inquiry or --order: one inquiry or order with everything below it, live, its windows counting down; with
    --json, or into a pipe, again each time something changed.

    \b
    Examples:
      syngraph watch acme-alpha
      syngraph watch acme-alpha --after 120/0 --kind order --json
      syngraph watch acme-alpha --order ord_...
    """
    if inquiry and order:
        raise click.UsageError("Give --inquiry or --order, not both.")
    if once and not (inquiry or order):
        raise click.UsageError("--once goes with --inquiry or --order.")
    if inquiry or order:
        tree.show(settings, ledger, "inquiry" if inquiry else "order", inquiry or order or "", once=once)
        return
    with settings.connect() as client:
        followed = client.ledger(ledger)
        for kind in kinds:
            # A kind that the ledger lacks has no events, for ever: refused by this, with the kinds that there are.
            next(iter(followed.list(kind, page_size=1)), None)
        for seen, event in enumerate(followed.events(after=after, kinds=kinds), start=1):
            settings.output.line(
                f"{event.id}  {instant(event.ledger_time_ms)}  {event.name}  {event.kind}/{event.document_id} v{event.version}",
                event,
            )
            if seen == count:
                return
