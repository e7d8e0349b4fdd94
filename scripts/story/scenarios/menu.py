"""Scenario 1: from a catalogue. A standing quote, order, activation, use, rating, invoice, acceptance, payment."""

from __future__ import annotations

import secrets
from typing import Final

from scripts.story.billing import Sale, bill, meter, next_start_ms, period_end_ms, period_of, settle
from scripts.story.goods import PORT, PORT_TYPE, TERM, Pool, Stock, port
from scripts.story.market import QUOTE_VALIDITY_MS
from scripts.story.scenarios.base import Scenario, Set
from scripts.story.scene import ACME, ALPHA
from scripts.story.telling import money, require
from scripts.story.terms import USAGE_UNIT
from smartcontracts.agreement import PriceType
from smartcontracts.canonical_json import dump
from smartcontracts.catalogue import Offering, PublishOffering, RequestStandingQuote
from smartcontracts.inquiry import Inquiry, InquiryStatus
from smartcontracts.invoice import Invoice, InvoiceStatus
from smartcontracts.kernel import Role
from smartcontracts.lineage import LINEAGE_KEY_BYTES, pseudonym
from smartcontracts.money import NANO, Rate
from smartcontracts.order import OrderStatus
from smartcontracts.quote import Quote, QuoteStatus
from smartcontracts.service import Service
from smartcontracts.trade import HOUR_MS, PeriodLabel, Price

PLACE: Final = "leiria-1"
_AFTER_START_MS: Final = 200


async def play(scene: Set) -> None:
    """L-19, X-75, B-04, S-04."""
    market, stage = scene.market, scene.stage
    buyer, seller = await market.between(ACME, ALPHA)
    agreement = market.agreements[seller.ledger_name]
    async with stage.teller.scene("From the catalogue: no inquiry, no waiting"):
        done = await seller.act(Role.S_BUS, "publish_offering", _offering(agreement.id))
        offering: Offering = await seller.result(done, "offering")
        stage.told(seller, done, f"publishes {offering.offering}, version {offering.version}", f"offering/{offering.id}")
        key = secrets.token_bytes(LINEAGE_KEY_BYTES)
        wish = RequestStandingQuote(
            offering_id=offering.id, items=(port(PLACE),), lineage_key=key, ancestors=(pseudonym(key, buyer.id),)
        )
        await buyer.see("offering", offering.id)
        done = await buyer.act(Role.B_BUS, "request_standing_quote", wish)
        quote: Quote = await buyer.result(done, "quote")
        inquiry: Inquiry = await buyer.see("inquiry", quote.inquiry_id)
        require((inquiry.status, quote.status) == (InquiryStatus.QUOTED, QuoteStatus.ISSUED), "a quote at once", (inquiry.status, quote.status))
        stage.told(buyer, done, f"a person takes it: {money(quote.term_total)} over the term", f"quote/{quote.id}", quote.one_time_total)
    async with stage.teller.scene("Ordered, accepted, activated"):
        # At the start of a billing period, so that there is time for use in it.
        await stage.until(next_start_ms((agreement,), scene.now_ms()) + _AFTER_START_MS)
        order = await market.order(ACME, ALPHA, quote)
        order = await market.ordered_until(ACME, ALPHA, order, OrderStatus.ACTIVATED)
        service: Service = await market.same_everywhere(seller.ledger_name, "service", order.service_id)
    async with stage.teller.scene("Used, invoiced, accepted, paid"):
        sale = Sale(seller, buyer, agreement, (service,))
        number = period_of(agreement, service.activated_at_ms)
        await meter(stage, (sale,), period_end_ms(agreement, number))
        invoice = await bill(stage, sale, number)
        await settle(stage, (buyer, seller), invoice)
        closed: Invoice = await market.same_everywhere(seller.ledger_name, "invoice", invoice.id)
        require(closed.status == InvoiceStatus.CLOSED, "a closed invoice", closed.status)


def _offering(agreement_id: str) -> PublishOffering:
    """A port anywhere, at one price."""
    currency = "EUR"
    return PublishOffering(
        agreement_id=agreement_id,
        offering=PORT,
        description="A port at any of our places",
        product=dump({"productOffering": {"id": PORT}, "productConfiguration": {"@type": PORT_TYPE}}),
        prices=(
            Price(price_type=PriceType.NON_RECURRING, rate=Rate(110 * NANO, currency), name="installation"),
            Price(
                price_type=PriceType.RECURRING, rate=Rate(42 * NANO, currency), period_ms=HOUR_MS, period_label=PeriodLabel.HOUR
            ),
            Price(price_type=PriceType.USAGE_BASED, rate=Rate(NANO // 2_000, currency), unit=USAGE_UNIT),
        ),
        term=TERM,
        quote_validity_ms=QUOTE_VALIDITY_MS,
    )


SCENARIO: Final = Scenario(play=play, stocks={ALPHA: Stock(pools=(Pool(place=PLACE, monthly="31.50"),))})
