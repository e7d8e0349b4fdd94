"""A trade in memory: acme buys from alpha, and the other way round, under one agreement."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from smartcontracts import agreement, catalogue, change, delivery, inquiry, order, quote
from smartcontracts.agreement import Agreement, AgreementStatus, AgreementTerms, PaymentForm, PriceType, SlaTarget
from smartcontracts.canonical_json import canonical
from smartcontracts.inquiry import SubmitInquiry
from smartcontracts.kernel import Position
from smartcontracts.lineage import ancestors_of
from smartcontracts.money import Money, Rate, Rounding
from smartcontracts.order import OrderItem, PlaceOrder
from smartcontracts.quote import IssueQuote, QuoteItem
from smartcontracts.service import Service, ServiceItem
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
CONTRACTS = (
    agreement.CONTRACT,
    inquiry.CONTRACT,
    quote.CONTRACT,
    catalogue.CONTRACT,
    order.CONTRACT,
    delivery.CONTRACT,
    change.CONTRACT,
)
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


def agreement_record(*parties: str, **changes: Any) -> Agreement:
    return Agreement(
        id=AGREEMENT_ID,
        status=AgreementStatus.ACTIVE,
        parties=tuple(sorted(org(name) for name in parties or (BUYER, SELLER))),
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


def pair_ledger(first: str, second: str, **terms: Any) -> MemoryLedger:
    """A ledger of these two."""
    positions = {first: Position.PARTY, second: Position.PARTY, "north": Position.NEUTRAL, "south": Position.NEUTRAL}
    ledger = MemoryLedger(*CONTRACTS, positions=positions)
    ledger.write(agreement_record(first, second, **terms))
    return ledger


def wholesale_ledger(seller: str, **terms: Any) -> MemoryLedger:
    """The ledger on which alpha buys from `seller`."""
    return pair_ledger(SELLER, seller, **terms)


def serving_ledger(sla_targets: tuple[SlaTarget, ...] = (), **changes: Any) -> tuple[MemoryLedger, Service]:
    """A ledger on which alpha delivers the line with its two ports to acme, and that service; by default in operation."""
    ledger = trading_ledger(sla_targets=sla_targets)
    made = Service(
        id="svc_line",
        order_id="ord_line",
        quote_id="quo_line",
        inquiry_id="inq_line",
        buyer=org(BUYER),
        seller=org(SELLER),
        agreement_id=AGREEMENT_ID,
        activated_at_ms=START_MS,
        items=tuple(ServiceItem(id=item.id, offering=item.offering, prices=()) for item in (LINE, PORT_A, PORT_Z)),
    )
    service = replace(made, **changes)
    ledger.write(service)
    return ledger, service


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

# The hash of a release that an agent's act carries.
RELEASE = b"\x05" * 32
# Of every request here that begins with its buyer.
LINEAGE_KEY = b"\x11" * 32


def upstream(buyer: str) -> tuple[str, ...]:
    """The list of ancestors of a request that begins with this buyer."""
    return ancestors_of(LINEAGE_KEY, org(buyer))


ASK = SubmitInquiry(
    seller=org(SELLER),
    agreement_id=AGREEMENT_ID,
    level=QuoteLevel.FIRM,
    items=(LINE, PORT_A, PORT_Z),
    buyer_reference="BuyerQuote-00004",
    project="BuyerProject4",
    withheld=WITHHELD,
    lineage_key=LINEAGE_KEY,
    ancestors=upstream(BUYER),
)
# The same the other way round.
ASK_BACK = replace(ASK, seller=org(BUYER), ancestors=upstream(SELLER))


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
    """The inquiry that `buyer` submits; a command that begins with acme begins with `buyer` instead."""
    if command.ancestors == ASK.ancestors:
        command = replace(command, ancestors=upstream(buyer))
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


def item(place=0, **changes):
    """A change of one item of a command."""

    def change(command):
        items = list(command.items)
        items[place] = replace(items[place], **changes)
        return replace(command, items=tuple(items))

    return change
