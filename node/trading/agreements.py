"""`syngraph trade agreement`: propose terms, and accept what the other party proposed. Both sign as administrators."""

from __future__ import annotations

import json
from typing import Any, BinaryIO, Final

import click

from ledgers.client import make_from_plain
from node.cli.settings import Settings, common
from node.cli.tx import read_json
from node.trading.desk import DURATION, at
from smartcontracts.kernel import Position
from smartcontracts.proposal import AcceptProposal, Proposal

_DAY_MS: Final = 86_400_000
# What `template` prints: a whole set of terms, to be changed where the pair agrees otherwise.
TEMPLATE: Final[dict[str, Any]] = {
    "name": "Ethernet services",
    "currency": "EUR",
    "rounding": "half_up",
    "response_window_ms": 3_600_000,
    "response_window_min_ms": 60_000,
    "billing_period_ms": 30 * _DAY_MS,
    "payment_terms": "30x30",
    "payment_due_ms": 30 * _DAY_MS,
    "payment_form": "fiat",
    "dispute_threshold_minor": 100,
    "netting": True,
    "cancellation_window_ms": 10 * _DAY_MS,
    "cancellation_fee_minor": 0,
}
# Every offering must say how it performs, or the agreement does for it.
_TARGET: Final[dict[str, Any]] = {
    "metric": "availability",
    "target_nano": 999_000_000,
    "unit": "ratio",
    "measurement_unit_ms": 3_600_000,
    "higher_is_better": True,
}


@click.group("agreement")
def command() -> None:
    """The frame of a pair's trade: without one nobody can ask for anything.

    \b
    Examples (both parties' administrators, each with its own configuration):
      syngraph trade agreement template acme-alpha > terms.json
      syngraph trade agreement propose acme-alpha terms.json
      syngraph trade agreement accept acme-alpha PROPOSAL
    """


@command.command()
@click.argument("ledger")
@common
def template(settings: Settings, *, ledger: str) -> None:
    """Print terms for this ledger's two parties, to be edited; amounts in minor units, times in milliseconds.

    \b
    Example:
      syngraph trade agreement template acme-alpha > terms.json
    """
    with at(settings, ledger) as desk:
        organizations = desk.ledger.list("organization")
        parties = sorted(one.body.id for one in organizations if one.body.position == Position.PARTY)
    targets = [{"seller": party, **_TARGET} for party in parties]
    click.echo(json.dumps({**TEMPLATE, "sla_targets": targets}, indent=1))


@command.command()
@click.argument("ledger")
@click.argument("file", type=click.File("rb"))
@click.option(
    "--valid-for", type=DURATION, default="7d", show_default=True, help="How long the other party may accept."
)
@common
def propose(settings: Settings, *, ledger: str, file: BinaryIO, valid_for: int) -> None:
    """Propose the terms in FILE ("-" is standard input), or new ones: then `replaces_version` is the one in force.

    \b
    Example:
      syngraph trade agreement propose acme-alpha terms.json --valid-for 3d
    """
    messages = [{"propose": {"act": {"agreement_terms": read_json(file)}, "valid_for_ms": valid_for}}]
    with at(settings, ledger) as desk:
        signed = make_from_plain(desk.ledger.id, messages, [desk.signer])
        desk.show(desk.read(desk.ledger.submit_signed(signed), "proposal"))


@command.command()
@click.argument("ledger")
@click.argument("proposal_id", metavar="PROPOSAL")
@common
def accept(settings: Settings, *, ledger: str, proposal_id: str) -> None:
    """Accept a proposal as it stands; `syngraph query get LEDGER proposal PROPOSAL` shows its terms (`act_plain`) first.

    \b
    Example:
      syngraph trade agreement accept acme-alpha prp_...
    """
    with at(settings, ledger) as desk:
        proposal: Proposal = desk.ledger.get("proposal", proposal_id).body
        accepting = AcceptProposal(proposal_id=proposal_id, act_sha256=proposal.act_sha256)
        desk.show(desk.read(desk.act("accept_proposal", accepting), "proposal"))
