"""`syngraph trade`: what people do themselves: ask, order, change and end services, answer sellers, sell by catalogue, set rules."""

from __future__ import annotations

import json
import secrets
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO, Final

import click

from node.cli.output import instant
from node.cli.settings import Settings, common
from node.sonata import (
    OrderContext,
    QuoteContext,
    agreement_name,
    inquiry_from_quote_request,
    order_answer,
    order_from_product_order,
    quote_answer,
)
from node.trading import agreements, maintenance, offerings, rules
from node.trading.desk import DURATION, Desk, at, keep_withheld, keeping, new_secret, read_file, sentences, waiting
from smartcontracts.canonical_json import dump, load
from smartcontracts.catalogue import RequestStandingQuote
from smartcontracts.delivery import AnswerExtension, CancelOrder, ExtendWindow
from smartcontracts.inquiry import InquiryStatus, SubmitInquiry
from smartcontracts.lineage import LINEAGE_KEY_BYTES, ancestors_of
from smartcontracts.order import OrderStatus, PlaceOrder
from smartcontracts.quote import TakeLateQuote
from smartcontracts.trade import Action, Change, ChangeKind, InquiryItem, QuoteLevel

# In these an order waits for its seller, or for nobody any more.
_ORDER_OPEN: Final = frozenset((OrderStatus.PLACED,))
_CHANGES: Final = tuple(kind.value for kind in ChangeKind if kind != ChangeKind.TERMINATION)


@click.group("trade")
def command() -> None:
    """Buy and sell by hand: requests in LSO Sonata's form become signed transactions.

    Contacts, notes and names are cut out of a request before it is sent; they stay in a file of yours, and the ledger has
    salted hashes of them.

    \b
    Examples:
      syngraph trade inquire acme-alpha quote-request.json --wait
      syngraph trade order acme-alpha QUOTE product-order.json --accept-within 1h --activate-within 10d
      syngraph watch acme-alpha --order ORDER
      syngraph trade terminate acme-alpha SERVICE
      syngraph trade rules alpha-internal > rules.json
    """


for _part in (agreements.command, maintenance.command, offerings.command, rules.command):
    command.add_command(_part)


@command.command()
@click.argument("ledger")
@click.argument("file", type=click.File("rb"))
@click.option("--window", type=DURATION, default=0, help="Response window (default: the agreement's), like 10m.")
@click.option("--replaces", default="", metavar="INQUIRY", help="Supersedes the quote of this inquiry of yours.")
@click.option("--service", default="", metavar="SERVICE", help="The service that items to modify or delete are of.")
@click.option("--change", type=click.Choice(_CHANGES), default="other", help="What a modification is.")
@keeping
@waiting
@common
def inquire(  # one parameter an option
    settings: Settings,
    *,
    ledger: str,
    file: BinaryIO,
    window: int,
    replaces: str,
    service: str,
    change: str,
    keep: Path,
    wait: bool,
) -> None:
    """Ask the other party for a quote: FILE is a Sonata quote request ("-" is standard input).

    Prints the inquiry; with --wait its answer, in Sonata's form.

    \b
    Examples:
      syngraph trade inquire acme-alpha quote-request.json --wait
      syngraph trade inquire acme-alpha more-bandwidth.json --service svc_... --change qos --wait
    """
    data = read_file(file)
    with at(settings, ledger) as desk, sentences():
        agreement = desk.agreement(agreement_name(data))
        lineage_key, secret = secrets.token_bytes(LINEAGE_KEY_BYTES), new_secret()
        context = QuoteContext(
            seller=desk.other(agreement),
            agreement_id=agreement.id,
            agreement_name=agreement.terms.name,
            response_window_ms=window,
            lineage_key=lineage_key,
            ancestors=ancestors_of(lineage_key, desk.organization),
            replaces=replaces,
            service_id=service,
            change_kind=ChangeKind(change),
        )
        mapped = inquiry_from_quote_request(data, context, secret)
        if service and mapped.command.change is None:
            raise click.UsageError("--service: the request has no item to modify or delete.")
        inquiry = desk.read(desk.act("submit_inquiry", mapped.command), "inquiry")
        _tell_kept(keep_withheld(keep, inquiry.id, mapped.withheld, secret))
        _show_inquiry(desk, inquiry, wait=wait)


@command.command()
@click.argument("ledger")
@click.argument("offering_id", metavar="OFFERING")
@click.argument("file", type=click.File("rb"))
@keeping
@common
def take(settings: Settings, *, ledger: str, offering_id: str, file: BinaryIO, keep: Path) -> None:
    """Take a standing quote from the seller's catalogue: OFFERING is its document's id, FILE a Sonata quote request.

    No inquiry goes back and forth: the quote is there at once. `syngraph query list LEDGER offering` shows the catalogue.

    \b
    Example:
      syngraph trade take acme-alpha off_... quote-request.json
    """
    data = read_file(file)
    with at(settings, ledger) as desk, sentences():
        agreement = desk.agreement(agreement_name(data))
        lineage_key, secret = secrets.token_bytes(LINEAGE_KEY_BYTES), new_secret()
        context = QuoteContext(
            seller=desk.other(agreement), agreement_id=agreement.id, agreement_name=agreement.terms.name
        )
        mapped = inquiry_from_quote_request(data, context, secret)
        wanted = RequestStandingQuote(
            offering_id=offering_id,
            items=mapped.command.items,
            lineage_key=lineage_key,
            ancestors=ancestors_of(lineage_key, desk.organization),
            buyer_reference=mapped.command.buyer_reference,
        )
        receipt = desk.act("request_standing_quote", wanted)
        inquiry = desk.read(receipt, "inquiry")
        _tell_kept(keep_withheld(keep, inquiry.id, mapped.withheld, secret))
        _show_inquiry(desk, inquiry, wait=False)


@command.command("take-late")
@click.argument("ledger")
@click.argument("inquiry_id", metavar="INQUIRY")
@common
def take_late(settings: Settings, *, ledger: str, inquiry_id: str) -> None:
    """Let a quote count that came after the response window.

    \b
    Example:
      syngraph trade take-late acme-alpha inq_...
    """
    with at(settings, ledger) as desk:
        quote_id = desk.ledger.get("inquiry", inquiry_id).body.late_quote_id
        receipt = desk.act("take_late_quote", TakeLateQuote(inquiry_id=inquiry_id, quote_id=quote_id))
        desk.show(desk.read(receipt, "quote"))


@command.command()
@click.argument("ledger")
@click.argument("quote_id", metavar="QUOTE")
@click.argument("file", type=click.File("rb"), required=False)
@click.option("--accept-within", type=DURATION, required=True, help="Order Acceptance Window, like 1h.")
@click.option("--activate-within", type=DURATION, required=True, help="Order Activation Window, like 10d.")
@click.option("--implement-at-ms", type=click.IntRange(0), default=0, help="A change: not before this Unix time.")
@click.option("--delivery-info", default="", metavar="JSON", help="What delivery needs and no price depends on.")
@click.option("--replaces", default="", metavar="ORDER", help="In place of this order, which failed or ended.")
@keeping
@waiting
@common
def order(  # one parameter an option
    settings: Settings,
    *,
    ledger: str,
    quote_id: str,
    file: BinaryIO | None,
    accept_within: int,
    activate_within: int,
    implement_at_ms: int,
    delivery_info: str,
    replaces: str,
    keep: Path,
    wait: bool,
) -> None:
    """Order a quote. FILE, a Sonata product order, restates what was quoted; without it nothing is restated.

    With --wait the answer, in Sonata's form.

    \b
    Examples:
      syngraph trade order acme-alpha quo_... --accept-within 1h --activate-within 10d --wait
      syngraph trade order acme-alpha quo_... product-order.json --accept-within 1h --activate-within 10d
    """
    with at(settings, ledger) as desk, sentences():
        quote = desk.ledger.get("quote", quote_id).body
        inquiry = desk.ledger.get("inquiry", quote.inquiry_id).body
        agreement = desk.ledger.get("agreement", quote.agreement_id).body
        secret = new_secret()
        withheld: Any = {}
        placing = PlaceOrder(
            quote_id=quote_id, acceptance_window_ms=accept_within, activation_window_ms=activate_within
        )
        if file is not None:
            context = OrderContext(
                agreement_name=agreement.terms.name,
                acceptance_window_ms=accept_within,
                activation_window_ms=activate_within,
                quote_id=quote_id,
                inquiry_id=inquiry.id,
                service_id=inquiry.change.service_id if inquiry.change else "",
            )
            mapped = order_from_product_order(read_file(file), context, secret)
            placing, withheld = mapped.command, mapped.withheld
        placing = _with_wishes(placing, inquiry.change, implement_at_ms, delivery_info, replaces)
        placed = desk.read(desk.act("place_order", placing), "order")
        _tell_kept(keep_withheld(keep, placed.id, withheld, secret))
        _show_order(desk, placed, wait=wait)


@command.command()
@click.argument("ledger")
@click.argument("order_id", metavar="ORDER")
@click.option("--reason", default="NO_LONGER_NEEDED", show_default=True, help="A word for machines.")
@common
def cancel(settings: Settings, *, ledger: str, order_id: str, reason: str) -> None:
    """Cancel an order that is not activated yet ("Order Cancelled").

    The order of a change is not cancelled once the change is begun, unless it is late.

    \b
    Example:
      syngraph trade cancel acme-alpha ord_... --reason NO_LONGER_NEEDED
    """
    with at(settings, ledger) as desk:
        desk.show(desk.read(desk.act("cancel_order", CancelOrder(order_id=order_id, reason=reason)), "order"))


@command.command("answer-extension")
@click.argument("ledger")
@click.argument("order_id", metavar="ORDER")
@click.argument("answer", type=click.Choice(("grant", "refuse")))
@click.option("--waive-penalty", is_flag=True, help="With grant: count a delay from the new end.")
@common
def answer_extension(settings: Settings, *, ledger: str, order_id: str, answer: str, waive_penalty: bool) -> None:
    """Grant or refuse the seller's request for a later end of the activation window.

    \b
    Example:
      syngraph trade answer-extension acme-alpha ord_... grant --waive-penalty
    """
    given = AnswerExtension(order_id=order_id, granted=answer == "grant", waive_penalty=waive_penalty)
    with at(settings, ledger) as desk:
        desk.show(desk.read(desk.act("answer_extension", given), "order"))


@command.command()
@click.argument("ledger")
@click.argument("order_id", metavar="ORDER")
@click.option("--by", type=DURATION, required=True, help="How much longer, like 2d.")
@click.option("--waive-penalty", is_flag=True, help="Count a delay from the new end.")
@common
def extend(settings: Settings, *, ledger: str, order_id: str, by: int, waive_penalty: bool) -> None:
    """Give the seller more time without having been asked.

    \b
    Example:
      syngraph trade extend acme-alpha ord_... --by 2d
    """
    with at(settings, ledger) as desk:
        end_ms = desk.ledger.get("order", order_id).body.activate_by_ms + by
        given = ExtendWindow(order_id=order_id, activate_by_ms=end_ms, waive_penalty=waive_penalty)
        desk.show(desk.read(desk.act("extend_window", given), "order"))


@command.command()
@click.argument("ledger")
@click.argument("service_id", metavar="SERVICE")
@click.option("--window", type=DURATION, default=0, help="Response window (default: the agreement's), like 10m.")
@waiting
@common
def terminate(settings: Settings, *, ledger: str, service_id: str, window: int, wait: bool) -> None:
    """Ask what ending a service costs; ordering the quote that comes back ends it.

    \b
    Example:
      syngraph trade terminate acme-alpha svc_... --wait
    """
    with at(settings, ledger) as desk:
        service = desk.ledger.get("service", service_id).body
        lineage_key = secrets.token_bytes(LINEAGE_KEY_BYTES)
        asked = SubmitInquiry(
            seller=service.seller,
            agreement_id=service.agreement_id,
            level=QuoteLevel.FIRM,
            items=tuple(
                InquiryItem(id=one.id, action=Action.DELETE, offering="", product=b"") for one in service.items
            ),
            response_window_ms=window,
            lineage_key=lineage_key,
            ancestors=ancestors_of(lineage_key, desk.organization),
            change=Change(service_id=service_id, kind=ChangeKind.TERMINATION),
        )
        _show_inquiry(desk, desk.read(desk.act("submit_inquiry", asked), "inquiry"), wait=wait)


def _show_inquiry(desk: Desk, inquiry: Any, *, wait: bool) -> None:
    if wait:
        inquiry = desk.settled("inquiry", inquiry.id, lambda one: one.status != InquiryStatus.RECEIVED)
    if inquiry.status == InquiryStatus.RECEIVED:
        desk.show(inquiry)
        return
    quote_id = inquiry.quote_id or inquiry.late_quote_id
    quote = desk.ledger.get("quote", quote_id).body if quote_id else None
    if desk.settings.as_json:
        _show_answer(desk, quote_answer(inquiry, quote))
        return
    rows = [("inquiry", inquiry.id), ("status", inquiry.status)]
    if inquiry.unable_reason:
        rows.append(("reason", inquiry.unable_reason))
    if quote is not None:
        rows += [
            ("quote", quote.id),
            ("level", quote.level),
            ("valid until", instant(quote.valid_until_ms)),
            ("once", quote.one_time_total.text()),
            ("over the term", quote.term_total.text()),
        ]
    desk.settings.output.rows(("field", "value"), rows, rows)


def _show_order(desk: Desk, placed: Any, *, wait: bool) -> None:
    if not wait:
        desk.show(placed)
        return
    answered = desk.settled("order", placed.id, lambda one: one.status not in _ORDER_OPEN)
    if desk.settings.as_json:
        _show_answer(desk, order_answer(answered))
        return
    rows = [("order", answered.id), ("status", answered.status), ("reason", answered.reason)]
    rows += [("service", answered.service_id), ("to be activated by", instant(answered.activate_by_ms))]
    desk.settings.output.rows(("field", "value"), [row for row in rows if row[1]], rows)


def _show_answer(desk: Desk, answer: bytes) -> None:
    """Sonata's JSON, with its numbers as they are written."""
    desk.settings.output.fields(json.loads(answer, parse_float=str))


def _with_wishes(
    placing: PlaceOrder, change: Change | None, implement_at_ms: int, delivery_info: str, replaces: str
) -> PlaceOrder:
    return replace(
        placing,
        change=change,
        implement_at_ms=implement_at_ms,
        delivery_info=dump(load(delivery_info.encode(), "delivery_info")) if delivery_info else b"",
        replaces=replaces,
    )


def _tell_kept(path: Path | None) -> None:
    if path is not None:
        click.echo(f"kept off the ledger: {path}", err=True)
