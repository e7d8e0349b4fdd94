"""`syngraph trade maintenance`: when a change may interrupt a service, agreed by hand; agents do it by their policies."""

from __future__ import annotations

import time
from typing import Any

import click

from node.cli.settings import Settings, common
from node.trading.desk import DURATION, Desk, at
from smartcontracts.change import AgreeMaintenance, DeclineMaintenance, ProposeMaintenance


@click.group("maintenance")
def command() -> None:
    """Propose, agree to, or decline the time in which a change interrupts a service.

    CHANGE is a `service_change` of LEDGER; `syngraph watch LEDGER --order ORDER` shows it below its order. A buyer signs as
    B-BUS, a seller as S-BUS.

    \b
    Examples:
      syngraph trade maintenance propose acme-alpha chg_... --in 2h --for 15m
      syngraph trade maintenance agree acme-alpha chg_...
      syngraph trade maintenance decline acme-alpha chg_... --reason BUSINESS_HOURS
    """


@command.command()
@click.argument("ledger")
@click.argument("change_id", metavar="CHANGE")
@click.option("--in", "starts_in", type=DURATION, required=True, help="When it begins, counted from now, like 2h.")
@click.option("--for", "lasts", type=DURATION, required=True, help="How long it is, like 15m; at least the outage.")
@common
def propose(settings: Settings, *, ledger: str, change_id: str, starts_in: int, lasts: int) -> None:
    """Propose a window; a later proposal takes the place of an earlier one.

    \b
    Example:
      syngraph trade maintenance propose acme-alpha chg_... --in 2h --for 15m
    """
    from_ms = time.time_ns() // 1_000_000 + starts_in
    with at(settings, ledger) as desk:
        change = _change(desk, change_id)
        wanted = ProposeMaintenance(
            change_id=change.id, service_id=change.service_id, from_ms=from_ms, until_ms=from_ms + lasts
        )
        _show(desk, "propose_maintenance", wanted)


@command.command()
@click.argument("ledger")
@click.argument("change_id", metavar="CHANGE")
@common
def agree(settings: Settings, *, ledger: str, change_id: str) -> None:
    """Agree to the window that the other party proposes now.

    \b
    Example:
      syngraph trade maintenance agree acme-alpha chg_...
    """
    with at(settings, ledger) as desk:
        change = _change(desk, change_id)
        if change.window is None:
            raise click.ClickException(f"No window is proposed for {change_id}; `propose` one.")
        agreed = AgreeMaintenance(
            change_id=change.id,
            service_id=change.service_id,
            from_ms=change.window.from_ms,
            until_ms=change.window.until_ms,
        )
        _show(desk, "agree_maintenance", agreed)


@command.command()
@click.argument("ledger")
@click.argument("change_id", metavar="CHANGE")
@click.option("--reason", default="NOT_THEN", show_default=True, help="A word for machines.")
@common
def decline(settings: Settings, *, ledger: str, change_id: str, reason: str) -> None:
    """Decline the window that the other party proposes; another one can be proposed by either.

    \b
    Example:
      syngraph trade maintenance decline acme-alpha chg_... --reason BUSINESS_HOURS
    """
    with at(settings, ledger) as desk:
        change = _change(desk, change_id)
        declined = DeclineMaintenance(change_id=change.id, service_id=change.service_id, reason=reason)
        _show(desk, "decline_maintenance", declined)


def _change(desk: Desk, change_id: str) -> Any:
    return desk.ledger.get("service_change", change_id).body


def _show(desk: Desk, message: str, command: object) -> None:
    desk.show(desk.read(desk.act(message, command), "service_change"))
