"""`syngraph trade offering`: a seller's catalogue for one buyer, from which standing quotes are taken."""

from __future__ import annotations

import re
from typing import Any, BinaryIO, Final

import click

from node.cli.settings import Settings, common
from node.pricebook import prices, read_entry
from node.trading.desk import DURATION, at, read_file, sentences
from smartcontracts.canonical_json import Number, dump, load
from smartcontracts.catalogue import PublishOffering, WithdrawOffering
from smartcontracts.trade import EndAction, QuoteForm, Term, TermUnit

_KEYS: Final = ("offering", "description", "configuration", "term", "prices", "form", "installation_interval_ms")
_WHOLE: Final = re.compile(r"[0-9]{1,18}", re.ASCII)


@click.group("offering")
def command() -> None:
    """Sell by catalogue: what is published here is bought by `syngraph trade take`, without an inquiry. Signed as S-BUS.

    \b
    Examples:
      syngraph trade offering publish acme-alpha port.json --quotes-valid 1d
      syngraph query list acme-alpha offering --status published
      syngraph trade offering withdraw acme-alpha OFFERING
    """


@command.command()
@click.argument("ledger")
@click.argument("file", type=click.File("rb"))
@click.option("--agreement", default="", metavar="NAME", help="Which, where the pair has several.")
@click.option(
    "--quotes-valid", type=DURATION, default="30d", show_default=True, help="How long a quote of it is valid."
)
@click.option(
    "--until-ms", type=click.IntRange(0), default=0, help="Offered until this Unix time (default: withdrawn)."
)
@common
def publish(
    settings: Settings, *, ledger: str, file: BinaryIO, agreement: str, quotes_valid: int, until_ms: int
) -> None:
    """Publish the offering in FILE ("-" is standard input), or its next version.

    What `configuration` says is fixed; all else is the buyer's choice. `prices` are as docs/price-book.md says.

    \b
    Example of FILE:
      {"offering": "ethernet-port", "description": "A port at any of our places",
       "configuration": {"@type": "urn:example:port"},
       "term": {"amount": 12, "unit": "calendarMonths"},
       "prices": {"non_recurring": "110", "recurring": "42.50", "period": "month"}}
    """
    data = read_file(file)
    with at(settings, ledger) as desk, sentences():
        given = load(data, "offering")
        found = desk.agreement(agreement)
        published = _offering(given, found.id, found.terms.currency, quotes_valid, until_ms)
        desk.show(desk.read(desk.act("publish_offering", published), "offering"))


@command.command()
@click.argument("ledger")
@click.argument("offering_id", metavar="OFFERING")
@common
def withdraw(settings: Settings, *, ledger: str, offering_id: str) -> None:
    """Take an offering back; quotes that were taken of it stay valid.

    \b
    Example:
      syngraph trade offering withdraw acme-alpha OFFERING
    """
    with at(settings, ledger) as desk:
        desk.show(desk.read(desk.act("withdraw_offering", WithdrawOffering(offering_id=offering_id)), "offering"))


def _offering(given: Any, agreement_id: str, currency: str, quotes_valid_ms: int, until_ms: int) -> PublishOffering:
    """The command that a file describes. Raises click.UsageError; rejects with PriceBookWrong and as JSON does."""
    if not isinstance(given, dict):
        raise click.UsageError("An offering is a JSON object; --help shows one.")
    unknown = sorted(set(given) - set(_KEYS))
    if unknown:
        raise click.UsageError(f"{unknown[0]}: there is no such key; there are {', '.join(_KEYS)}.")
    name = _text(given, "offering")
    product = dump({"productOffering": {"id": name}, "productConfiguration": given.get("configuration", {})})
    term = _term(given.get("term"))
    entry = read_entry(given.get("prices"), "prices")
    return PublishOffering(
        agreement_id=agreement_id,
        offering=name,
        description=_text(given, "description", ""),
        product=product,
        prices=prices(entry, currency, load(product, "product")),
        form=_choice(QuoteForm, given.get("form", QuoteForm.ITEMISED.value), "form"),
        term=term,
        installation_interval_ms=_whole(given, "installation_interval_ms", 0),
        quote_validity_ms=quotes_valid_ms,
        valid_until_ms=until_ms,
    )


def _term(given: Any) -> Term:
    if not isinstance(given, dict) or set(given) - {"amount", "unit", "end_action"}:
        raise click.UsageError('term: give {"amount": 12, "unit": "calendarMonths"}, and end_action if it is another.')
    return Term(
        amount=_whole(given, "amount"),
        unit=_choice(TermUnit, given.get("unit"), "term.unit"),
        end_action=_choice(EndAction, given.get("end_action", EndAction.AUTO_RENEW.value), "term.end_action"),
    )


def _text(given: dict[str, Any], key: str, default: str | None = None) -> str:
    value = given.get(key, default)
    if not isinstance(value, str) or isinstance(value, Number):
        raise click.UsageError(f"{key}: give a text.")
    return value


def _whole(given: dict[str, Any], key: str, default: int | None = None) -> int:
    value = given.get(key, default)
    if isinstance(value, int):
        return value
    if not isinstance(value, Number) or _WHOLE.fullmatch(value) is None:
        raise click.UsageError(f"{key}: give a whole number, not below 0.")
    return int(value)


def _choice(choices: Any, value: Any, path: str) -> Any:
    for one in choices:
        if value == one.value:
            return one
    raise click.UsageError(f"{path}: give one of {', '.join(one.value for one in choices)}.")
