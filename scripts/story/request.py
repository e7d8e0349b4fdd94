"""Acts: a request becomes an inquiry without anything about persons; what its provider pays for what it quotes is its own."""

from __future__ import annotations

import json
import secrets
from typing import Final

from node.sonata import SALT_BYTES, Mapped, OrderContext, QuoteContext, product_order_of, withheld_file, withheld_hash
from scripts.story.files import DATA, Requests, inquiry_of, order_of
from scripts.story.market import Market
from scripts.story.purchase import inquire, place
from scripts.story.scene import ACME_ALPHA, ALPHA, ALPHA_BRAVO, BRAVO, Seat, Stage
from scripts.story.telling import plural, rate, require
from scripts.story.terms import ACCEPTANCE_WINDOW_MS, ACTIVATION_WINDOW_MS
from smartcontracts.agreement import Agreement
from smartcontracts.inquiry import Inquiry, SubmitInquiry
from smartcontracts.internal.assessment import Assessment
from smartcontracts.lineage import LINEAGE_KEY_BYTES, ancestors_of
from smartcontracts.order import OrderStatus, PlaceOrder
from smartcontracts.quote import Quote
from smartcontracts.service import Service
from smartcontracts.trade import Price

BRAVO_REQUEST: Final = DATA / "bravo-request.json"


async def buy_small_service(market: Market) -> Service:
    """A purchase in the other direction, so that there is something to net later: bravo's person asks, alpha's agents sell."""
    stage, secret, data = market.stage, secrets.token_bytes(SALT_BYTES), BRAVO_REQUEST.read_bytes()
    buyer, seller = await market.between(BRAVO, ALPHA)
    agreement = market.agreements[buyer.ledger_name]
    mapped = inquiry_of(data, _quote_context(buyer, seller, agreement), secret)
    inquiry = await inquire(stage, buyer, mapped.command, f"{plural(len(mapped.command.items), 'item')}, a backhaul")
    keep_withheld(stage, buyer, inquiry.id, mapped, secret)
    quoted = await market.quoted(BRAVO, ALPHA, inquiry)
    ordering = order_of(product_order_of(data), order_context(agreement, quoted), secret)
    order = await place(stage, buyer, ordering.command, "the backhaul")
    done = await market.ordered_until(BRAVO, ALPHA, order, OrderStatus.ACTIVATED)
    service: Service = await market.same_everywhere(buyer.ledger_name, "service", done.service_id)
    note = {"ledger": buyer.ledger_name, "id": service.id, "order": order.id, "seller": seller.name}
    stage.teller.note("services", note)
    return service


async def ask(stage: Stage, buyer: Seat, seller: Seat, agreement: Agreement, requests: Requests) -> Inquiry:
    """The customer's request, as an inquiry; what is about persons stays in the customer's node as a file."""
    secret = secrets.token_bytes(SALT_BYTES)
    mapped = inquiry_of(requests.quote, _quote_context(buyer, seller, agreement), secret)
    inquiry = await inquire(stage, buyer, mapped.command, plural(len(mapped.command.items), "item"))
    path = keep_withheld(stage, buyer, inquiry.id, mapped, secret)
    subjects = ", ".join(mapped.withheld) or "nothing"
    stage.teller.tell(f"keeps {subjects} in its node ({path}); the ledger has salted hashes", who=buyer.name)
    return inquiry


async def show_margins(market: Market, inquiry: Inquiry, quote: Quote) -> None:
    """What alpha alone of the traders sees, on its internal ledger: what each item costs it, and of whom."""
    internal = await market.internal(ALPHA)
    handover = next(one for one in await internal.all("inquiry_handover") if one.inquiry.id == inquiry.id)
    assessment: Assessment = await internal.see("assessment", handover.assessment_id)
    sellers = {}
    for choice in assessment.choices:
        sellers[choice.element_id] = ALPHA
        if choice.received_quote_id:
            received = await internal.see("received_quote", choice.received_quote_id)
            sellers[choice.element_id] = market.stage.network.name_of(received.seller)
    sold = {item.id: item for item in quote.items}
    rows = []
    for item in assessment.items:
        costs = {(price.price_type, price.unit): price for price in item.cost}
        for price in sold[item.item_id].prices:
            cost = costs.get((price.price_type, price.unit))
            paid = "" if cost is None else rate(cost.rate)
            require(cost is not None and cost.rate.nano <= price.rate.nano, f"{item.item_id} sold for no less than it costs", price.rate)
            rows.append((item.item_id, sellers.get(item.item_id, ""), _charge(price), paid, rate(price.rate)))
    market.stage.teller.print(f"        what {ALPHA} alone sees, on {internal.ledger_name}:")
    market.stage.teller.table(("item", "made by", "charge", "cost", "sold at"), rows)


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
    content = withheld_file(document_id, mapped.withheld, secret)
    kept = json.loads(content)["withheld"]
    opened = {subject: withheld_hash(bytes.fromhex(one["salt"]), one["json"].encode()) for subject, one in kept.items()}
    require(opened == {one.subject: one.sha256 for one in mapped.command.withheld}, "hashes that the file opens", opened)
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
