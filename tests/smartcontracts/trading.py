"""A trade in memory: acme buys from alpha, and the other way round, under one agreement."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from smartcontracts import agreement, delivery, inquiry, order, quote
from smartcontracts.agreement import Agreement, AgreementStatus, AgreementTerms, PaymentForm, PriceType, SlaTarget
from smartcontracts.canonical_json import canonical
from smartcontracts.inquiry import SubmitInquiry
from smartcontracts.money import Money, Rate, Rounding
from smartcontracts.order import OrderItem, PlaceOrder
from smartcontracts.quote import IssueQuote, QuoteItem
from smartcontracts.trade import (
    LABEL_MS,
    Action,
    EndAction,
    InquiryItem,
    ItemRelation,
    PeriodLabel,
    Price,
    QuoteLevel,
    SaltedHash,
    Term,
    TermUnit,
)
from tests.smartcontracts.support import START_MS, MemoryLedger, org

WINDOW_MS = 60_000
LEAST_MS = 20_000
DAY_MS = 86_400_000
CONTRACTS = (agreement.CONTRACT, inquiry.CONTRACT, quote.CONTRACT, order.CONTRACT, delivery.CONTRACT)
AGREEMENT_ID = "agr_pair"
BUYER, SELLER = "acme", "alpha"
WITHHELD = (SaltedHash(subject="contacts", sha256=b"\x07" * 32),)

TERMS = AgreementTerms(
    name="Buyer-Seller General Agreement 03/2021",
    currency="EUR",
    rounding=Rounding.HALF_UP,
    response_window_ms=WINDOW_MS,
    response_window_min_ms=LEAST_MS,
    billing_period_ms=20_000,
    payment_terms="30x15",
    payment_due_ms=60_000,
    payment_form=PaymentForm.FIAT,
    replaces_version=0,
)
YEAR = Term(amount=12, unit=TermUnit.CALENDAR_MONTHS, end_action=EndAction.AUTO_RENEW)


def agreement_record(**changes: Any) -> Agreement:
    return Agreement(
        id=AGREEMENT_ID,
        status=AgreementStatus.ACTIVE,
        parties=tuple(sorted((org(BUYER), org(SELLER)))),
        terms=replace(TERMS, **changes),
        terms_version=1,
        proposal_id="prp_1",
        in_force_from_ms=START_MS,
    )


def target(seller: str = SELLER, offering: str = "") -> SlaTarget:
    return SlaTarget(
        seller=org(seller),
        offering=offering,
        metric="availability",
        target_nano=999_000_000,
        unit="ratio",
        measurement_unit_ms=1_000,
        higher_is_better=True,
    )


def trading_ledger(**terms: Any) -> MemoryLedger:
    ledger = MemoryLedger.bilateral(*CONTRACTS)
    ledger.write(agreement_record(**terms))
    return ledger


def product(offering: str, *, place: str = "", sls: bool = False, mbps: int = 70, **more: Any) -> bytes:
    """Canonical JSON of a product; `more` are further members, as JSON texts."""
    configuration = f'{{"@type":"urn:test:{offering}","cir":{{"irValue":{mbps},"irUnits":"MBPS"}}'
    configuration += ',"carrierEthernetSls":[{"deltaT":10}]}' if sls else "}"
    text = f'{{"productOffering":{{"id":"{offering}"}},"productConfiguration":{configuration}'
    if place:
        text += f',"place":[{{"@type":"GeographicAddressRef","id":"{place}","role":"INSTALL_LOCATION"}}]'
    text += "".join(f',"{key}":{value}' for key, value in more.items())
    return canonical((text + "}").encode(), "product")


LINE = InquiryItem(
    id="item-001",
    action=Action.ADD,
    offering="line",
    product=product("line", sls=True),
    relations=(ItemRelation(type="A", item_id="item-002"), ItemRelation(type="Z", item_id="item-003")),
    term=YEAR,
)
PORT_A = InquiryItem(
    id="item-002", action=Action.ADD, offering="port", product=product("port", place="new-york"), term=YEAR
)
PORT_Z = replace(PORT_A, id="item-003", product=product("port", place="washington"))
SINGLE = InquiryItem(
    id="item-001", action=Action.ADD, offering="port", product=product("port", place="rome", sls=True), term=YEAR
)

ASK = SubmitInquiry(
    seller=org(SELLER),
    agreement_id=AGREEMENT_ID,
    level=QuoteLevel.FIRM,
    items=(LINE, PORT_A, PORT_Z),
    buyer_reference="BuyerQuote-00004",
    project="BuyerProject4",
    withheld=WITHHELD,
)


def once(nano: int, name: str = "") -> Price:
    return Price(price_type=PriceType.NON_RECURRING, rate=Rate(nano, "EUR"), name=name)


def monthly(nano: int, name: str = "") -> Price:
    return recurring(nano, PeriodLabel.MONTH, name=name)


def recurring(nano: int, label: PeriodLabel = PeriodLabel.NONE, period_ms: int = 0, name: str = "") -> Price:
    return Price(
        price_type=PriceType.RECURRING,
        rate=Rate(nano, "EUR"),
        period_ms=period_ms or LABEL_MS[label],
        period_label=label,
        name=name,
    )


def usage(nano: int, unit: str = "GB") -> Price:
    return Price(price_type=PriceType.USAGE_BASED, rate=Rate(nano, "EUR"), unit=unit)


# 100 EUR once, 20 EUR a month and 0.05 cent a GB for the line; 10 EUR once for a port: 120 EUR once, 360 over a year.
QUOTE_ITEMS = (
    QuoteItem(id="item-001", prices=(once(100 * 10**9), monthly(20 * 10**9), usage(500_000))),
    QuoteItem(id="item-002", prices=(once(10 * 10**9),)),
    QuoteItem(id="item-003", prices=(once(10 * 10**9),)),
)


def answer(inquiry_id: str, **changes: Any) -> IssueQuote:
    made = IssueQuote(
        inquiry_id=inquiry_id,
        level=QuoteLevel.FIRM,
        valid_until_ms=START_MS + DAY_MS,
        items=QUOTE_ITEMS,
        one_time_total=Money(120_00, "EUR"),
        term_total=Money(360_00, "EUR"),
    )
    return replace(made, **changes)


def purchase(quote_id: str, **changes: Any) -> PlaceOrder:
    made = PlaceOrder(quote_id=quote_id, acceptance_window_ms=30_000, activation_window_ms=40_000)
    return replace(made, **changes)


def restated(item: InquiryItem, **changes: Any) -> OrderItem:
    made = OrderItem(
        id=item.id,
        action=item.action,
        offering=item.offering,
        product=item.product,
        relations=item.relations,
        term=item.term,
    )
    return replace(made, **changes)


def ask(ledger: MemoryLedger, command: SubmitInquiry = ASK, buyer: str = BUYER, **run: Any) -> inquiry.Inquiry:
    outcome = ledger.run("submit_inquiry", command, sender=ledger.sender(buyer, "b_bus"), **run)
    return outcome.writes[0]  # type: ignore[return-value]


def give(ledger: MemoryLedger, inquiry_id: str, seller: str = SELLER, at: int | None = None, **changes: Any) -> Any:
    """The quote that `seller` issues."""
    sender = ledger.sender(seller, "s_bus")
    return ledger.run("issue_quote", answer(inquiry_id, **changes), sender=sender, at=at).writes[0]


def buy(ledger: MemoryLedger, quote_id: str, buyer: str = BUYER, at: int | None = None, **changes: Any) -> Any:
    """The order that `buyer` places."""
    sender = ledger.sender(buyer, "b_bus")
    return ledger.run("place_order", purchase(quote_id, **changes), sender=sender, at=at).writes[0]


def quoted(ledger: MemoryLedger, **changes: Any) -> quote.Quote:
    return give(ledger, ask(ledger).id, **changes)


def ordered(ledger: MemoryLedger, **changes: Any) -> order.Order:
    return buy(ledger, quoted(ledger).id, **changes)


def sell(ledger: MemoryLedger, name: str, command: Any, seller: str = SELLER, at: int | None = None) -> Any:
    """An act of the seller; the outcome."""
    return ledger.run(name, command, sender=ledger.sender(seller, "s_bus"), at=at)


def accepted(ledger: MemoryLedger) -> order.Order:
    placed = ordered(ledger)
    return sell(ledger, "accept_order", order.AcceptOrder(order_id=placed.id)).writes[0]
