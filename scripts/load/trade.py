"""What the bench's traders say: one agreement, and the five acts of an order flow. Nothing in it runs out while the bench does."""

from __future__ import annotations

import hashlib
import json
from typing import Final

from smartcontracts.agreement import AgreementTerms, PaymentForm, PriceType
from smartcontracts.canonical_json import canonical
from smartcontracts.delivery import ActivateOrder
from smartcontracts.inquiry import SubmitInquiry
from smartcontracts.lineage import ancestors_of
from smartcontracts.money import NANO, Money, Rate, Rounding
from smartcontracts.order import AcceptOrder, PlaceOrder
from smartcontracts.parameters import DAY_MS
from smartcontracts.quote import IssueQuote, QuoteItem
from smartcontracts.trade import (
    LABEL_MS,
    Action,
    EndAction,
    InquiryItem,
    PeriodLabel,
    Price,
    QuoteLevel,
    Term,
    TermUnit,
)

CONFIGURATION_BYTES: Final = 7_000
CURRENCY: Final = "EUR"
ITEM: Final = "item-001"
_OFFERING: Final = "ethernet-line"
_MONTHS: Final = 12
_ONCE: Final = 250
_A_MONTH: Final = 98


def agreement_terms() -> AgreementTerms:
    """Windows and a billing period of days."""
    return AgreementTerms(
        name="Bench",
        currency=CURRENCY,
        rounding=Rounding.HALF_UP,
        response_window_ms=DAY_MS,
        response_window_min_ms=DAY_MS,
        billing_period_ms=DAY_MS,
        payment_terms="30x15",
        payment_due_ms=DAY_MS,
        payment_form=PaymentForm.FIAT,
    )


def product(size: int = CONFIGURATION_BYTES) -> bytes:
    """Canonical JSON of an Ethernet line with classes of service and their objectives, the first length of at least `size` bytes."""
    classes: list[object] = []
    while True:
        classes.append(_class_of_service(len(classes)))
        value = {
            "productOffering": {"id": _OFFERING},
            "place": [{"@type": "GeographicAddressRef", "id": "somewhere", "role": "INSTALL_LOCATION"}],
            "productConfiguration": {
                "@type": "urn:example:sonata:ethernet-line:1",
                "connectionType": "POINT_TO_POINT",
                "maximumFrameSize": 9_100,
                "carrierEthernetSls": [{"deltaT": 10}],
                "classOfService": classes,
            },
        }
        data = canonical(json.dumps(value).encode(), "product")
        if len(data) >= size:
            return data


def _class_of_service(number: int) -> dict[str, object]:
    """About half a kilobyte."""
    return {
        "name": f"class-{number:02d}",
        "bandwidthProfile": {
            "cir": {"irValue": 10 * (number + 1), "irUnits": "MBPS"},
            "cbs": {"dataSizeValue": 64, "dataSizeUnits": "KBYTES"},
            "eir": {"irValue": 5 * (number + 1), "irUnits": "MBPS"},
            "colorMode": "COLOR_BLIND",
        },
        "objectives": [
            {"metric": metric, "percentile": 99, "intervalMs": 1_000, "limitMicroseconds": 1_000 * (number + 1)}
            for metric in ("oneWayFrameDelay", "frameDelayRange", "interFrameDelayVariation")
        ],
    }


def inquiry(buyer: str, seller: str, agreement_id: str, product_: bytes, reference: str) -> SubmitInquiry:
    """A request for one item."""
    lineage_key = hashlib.sha256(reference.encode()).digest()
    item = InquiryItem(
        id=ITEM,
        action=Action.ADD,
        offering=_OFFERING,
        product=product_,
        term=Term(amount=_MONTHS, unit=TermUnit.CALENDAR_MONTHS, end_action=EndAction.AUTO_RENEW),
    )
    return SubmitInquiry(
        seller=seller,
        agreement_id=agreement_id,
        level=QuoteLevel.FIRM,
        items=(item,),
        buyer_reference=reference,
        lineage_key=lineage_key,
        ancestors=ancestors_of(lineage_key, buyer),
    )


def quote(inquiry_id: str, now_ms: int) -> IssueQuote:
    """A firm answer, valid for a day."""
    month = PeriodLabel.MONTH
    prices = (
        Price(price_type=PriceType.NON_RECURRING, rate=Rate(_ONCE * NANO, CURRENCY)),
        Price(
            price_type=PriceType.RECURRING,
            rate=Rate(_A_MONTH * NANO, CURRENCY),
            period_ms=LABEL_MS[month],
            period_label=month,
        ),
        Price(price_type=PriceType.USAGE_BASED, rate=Rate(500_000, CURRENCY), unit="GB"),
    )
    return IssueQuote(
        inquiry_id=inquiry_id,
        level=QuoteLevel.FIRM,
        valid_until_ms=now_ms + DAY_MS,
        items=(QuoteItem(id=ITEM, prices=prices),),
        one_time_total=Money(_ONCE * 100, CURRENCY),
        term_total=Money((_ONCE + _MONTHS * _A_MONTH) * 100, CURRENCY),
    )


def order(quote_id: str) -> PlaceOrder:
    """An order as quoted."""
    return PlaceOrder(quote_id=quote_id, acceptance_window_ms=DAY_MS, activation_window_ms=DAY_MS)


def acceptance(order_id: str) -> AcceptOrder:
    """The seller's yes."""
    return AcceptOrder(order_id=order_id)


def activation(order_id: str) -> ActivateOrder:
    """The service is there."""
    return ActivateOrder(order_id=order_id)
