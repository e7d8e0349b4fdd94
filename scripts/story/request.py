"""Acts: a request becomes an inquiry without anything about persons, the provider sources it, and quotes with its mark-up."""

from __future__ import annotations

import asyncio
import json
import secrets
from dataclasses import dataclass
from typing import Final

from node.pricebook import PriceBook
from node.sonata import SALT_BYTES, Mapped, OrderContext, QuoteContext, product_order_of, withheld_hash, withheld_salt
from node.sourcing import bought_items, inquiries_to
from scripts.story.files import DATA, Requests, inquiry_of, order_of
from scripts.story.purchase import accept, activate, inquire, place, quote
from scripts.story.scene import ACME_ALPHA, ALPHA_BRAVO, Seat, Stage
from scripts.story.telling import plural, rate, require
from scripts.story.terms import ACCEPTANCE_WINDOW_MS, ACTIVATION_WINDOW_MS
from smartcontracts.agreement import Agreement
from smartcontracts.inquiry import Inquiry, SubmitInquiry
from smartcontracts.lineage import LINEAGE_KEY_BYTES, ancestors_of
from smartcontracts.order import PlaceOrder
from smartcontracts.quote import Quote, QuoteItem
from smartcontracts.service import Service
from smartcontracts.trade import Price

BRAVO_REQUEST: Final = DATA / "bravo-request.json"


@dataclass(frozen=True, slots=True)
class Bought:
    """What the provider asked of its seller for some items, and the answer."""

    command: SubmitInquiry
    inquiry: Inquiry
    quote: Quote


@dataclass(frozen=True, slots=True)
class Sourced:
    """A customer's inquiry with what was bought for it and the quote that answers it."""

    inquiry: Inquiry
    bought: tuple[Bought, ...]
    quote: Quote


async def buy_small_service(stage: Stage, buyer: Seat, seller: Seat, agreement: Agreement, book: PriceBook) -> Service:
    """The whole process in the other direction, so that there is something to net later."""
    secret, data = secrets.token_bytes(SALT_BYTES), BRAVO_REQUEST.read_bytes()
    mapped = inquiry_of(data, _quote_context(buyer, seller, agreement), secret)
    inquiry = await inquire(stage, buyer, mapped.command, f"{plural(len(mapped.command.items), 'item')}, a backhaul")
    keep_withheld(stage, buyer, inquiry.id, mapped, secret)
    quoted = await quote(stage, seller, inquiry, agreement, book)
    ordering = order_of(product_order_of(data), order_context(agreement, quoted), secret)
    order = await place(stage, buyer, ordering.command, "the backhaul")
    return await activate(stage, seller, await accept(stage, seller, order))


async def ask(stage: Stage, buyer: Seat, seller: Seat, agreement: Agreement, requests: Requests) -> Inquiry:
    """The customer's request, as an inquiry; what is about persons stays in the customer's node as a file."""
    secret = secrets.token_bytes(SALT_BYTES)
    mapped = inquiry_of(requests.quote, _quote_context(buyer, seller, agreement), secret)
    inquiry = await inquire(stage, buyer, mapped.command, plural(len(mapped.command.items), "item"))
    path = keep_withheld(stage, buyer, inquiry.id, mapped, secret)
    subjects = ", ".join(mapped.withheld) or "nothing"
    stage.teller.tell(f"keeps {subjects} in its node ({path}); the ledger has salted hashes", who=buyer.name)
    return inquiry


async def source(
    stage: Stage, down: Seat, up: Seat, supplier: Seat, inquiry: Inquiry, agreement: Agreement, book: PriceBook
) -> tuple[Bought, ...]:
    """Buy what lies outside the provider's own places. `down` and `up` are its two ledgers."""
    read: Inquiry = await down.see("inquiry", inquiry.id)
    wanted = bought_items(read.items)
    made = [item.id for item in read.items if item.id not in wanted]
    stage.teller.tell(f"makes {', '.join(made) or 'nothing'} itself, buys {', '.join(wanted)}", who=down.name)
    # The seller must not learn who the customer is: only pseudonyms go along.
    commands = inquiries_to(read, wanted, buyer=up.id, seller=supplier.id, agreement_id=agreement.id)
    bought = [ask_for_quote(stage, up, supplier, command, agreement, book) for command in commands]
    return tuple(await asyncio.gather(*bought))


async def ask_for_quote(
    stage: Stage, up: Seat, supplier: Seat, command: SubmitInquiry, agreement: Agreement, book: PriceBook
) -> Bought:
    """One inquiry of the provider, and its seller's quote."""
    inquiry = await inquire(stage, up, command, ", ".join(item.id for item in command.items))
    return Bought(command, inquiry, await quote(stage, supplier, inquiry, agreement, book))


async def resell(
    stage: Stage, down: Seat, inquiry: Inquiry, bought: tuple[Bought, ...], agreement: Agreement, book: PriceBook
) -> Quote:
    """The provider's own quote: its own items from the book, the bought ones with the mark-up."""
    supplied: dict[str, QuoteItem | None] = {item.id: item for one in bought for item in one.quote.items}
    issued = await quote(stage, down, inquiry, agreement, book, supplied)
    rows = []
    for item in issued.items:
        before = supplied.get(item.id)
        paid = [""] * len(item.prices) if before is None else [rate(price.rate) for price in before.prices]
        rows += [
            (item.id, _charge(price), cost, f"+{float(book.mark_up):.0%}" if cost else "own", rate(price.rate))
            for price, cost in zip(item.prices, paid, strict=True)
        ]
    stage.teller.print(f"        what {down.name} alone of the traders sees:")
    stage.teller.table(("item", "charge", "bought at", "mark-up", "sold at"), rows)
    return issued


async def require_views_apart(stage: Stage, customer: Seat, supplier: Seat) -> None:
    """Customer and supplier each see their own ledger and not the other's."""
    for seat, hidden in ((customer, ALPHA_BRAVO), (supplier, ACME_ALPHA)):
        seen = await stage.network.ledgers_seen(seat.name)
        require(hidden not in seen, f"{seat.name} not to see {hidden}", ", ".join(seen))
        stage.teller.tell(f"sees the ledgers {', '.join(sorted(seen))}, and no {hidden}", who=seat.name)


def order_context(agreement: Agreement, quoted: Quote) -> OrderContext:
    """What a product order does not say."""
    return OrderContext(
        agreement_name=agreement.terms.name,
        acceptance_window_ms=ACCEPTANCE_WINDOW_MS,
        activation_window_ms=ACTIVATION_WINDOW_MS,
        quote_id=quoted.id,
        inquiry_id=quoted.inquiry_id,
    )


def keep_withheld(
    stage: Stage, seat: Seat, document_id: str, mapped: Mapped[SubmitInquiry] | Mapped[PlaceOrder], secret: bytes
) -> str:
    """A file in the sender's own node: what was withheld, each subject with the salt that opens its hash."""
    kept = {
        subject: {"salt": withheld_salt(secret, subject).hex(), "json": data.decode()}
        for subject, data in mapped.withheld.items()
    }
    opened = {subject: withheld_hash(bytes.fromhex(one["salt"]), one["json"].encode()) for subject, one in kept.items()}
    require(opened == {one.subject: one.sha256 for one in mapped.command.withheld}, "hashes that the file opens", opened)
    content = json.dumps({"document": document_id, "withheld": kept}, indent=1, ensure_ascii=False) + "\n"
    return stage.network.keep(seat.name, f"{document_id}.json", content.encode())


def _quote_context(buyer: Seat, seller: Seat, agreement: Agreement) -> QuoteContext:
    lineage_key = secrets.token_bytes(LINEAGE_KEY_BYTES)
    return QuoteContext(
        seller=seller.id,
        agreement_id=agreement.id,
        agreement_name=agreement.terms.name,
        lineage_key=lineage_key,
        ancestors=ancestors_of(lineage_key, buyer.id),
    )


def _charge(price: Price) -> str:
    per = f" a {price.period_label.value}" if price.period_label else f" a {price.unit}" if price.unit else " once"
    return f"{price.name or price.price_type.value}{per}"
