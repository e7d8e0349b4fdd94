"""`syngraph audit`: an internal ledger against the bilateral ledgers that its organization acts on."""

from __future__ import annotations

import asyncio
import sys

import click

from ledgers.client.audit import BILATERAL, INTERNAL, AuditReport, audit_outward_acts
from node.cli.output import REFUSED
from node.cli.settings import Settings, common


@click.command("audit")
@click.argument("internal")
@click.argument("bilateral", nargs=-1)
@common
def command(settings: Settings, *, internal: str, bilateral: tuple[str, ...]) -> None:
    """Compare what the ledger INTERNAL let out with what stands on BILATERAL ledgers (default: all that you see).

    Each release must be what its hash says, and stand outside if it counts as carried and only then; what agents created
    outside must have been released. Each act must be what was released: what it left on a document, and, as far as events
    lead to it, every member of its command in the transaction that it went out in. What INT was told of an order must be so,
    and the upstream buyers of each forwarded inquiry must be its parent's with the forwarder at the end. Exit code 0 if
    nothing was found, 1 if something was.

    \b
    Examples:
      syngraph audit alpha-internal
      syngraph audit alpha-internal acme-alpha alpha-bravo --json
    """
    report = asyncio.run(_audit(settings, internal, bilateral))
    rows = [(one.name, one.kind, one.id, one.ledger_id, one.sentence) for one in report.findings]
    if rows or settings.as_json:
        settings.output.rows(("finding", "kind", "id", "ledger", "what"), rows, report)
    else:
        click.echo(
            f"{report.releases} releases agree with what stands outside: {report.acts} acts stand on documents as they were let"
            f" out, {report.commands} in their transactions, {report.inquiries} forwarded inquiries name their buyers."
        )
        if report.untraced:
            click.echo(f"Compared by documents only: {report.untraced} acts whose events are not kept any more.")
        if report.unread:
            click.echo(f"Not compared: {report.unread} releases for ledgers that were not read.")
    if rows:
        sys.exit(REFUSED)


async def _audit(settings: Settings, internal: str, bilateral: tuple[str, ...]) -> AuditReport:
    async with settings.client() as client:
        status = await client.node_status()
        kept = await client.ledger(internal)
        if kept.kind != INTERNAL:
            raise click.UsageError(f"{internal} is {kept.kind}: name an internal ledger first, like alpha-internal.")
        named = [await client.ledger(name) for name in bilateral]
        ledgers = named or [await client.ledger_of(one) for one in status.ledgers if one.kind == BILATERAL]
        return await audit_outward_acts(kept, ledgers, status.organization_id)
