"""What is traded in the simulation: items of inquiries, agreements, prices; drawn, small, and right in form."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from random import Random
from typing import Final

from smartcontracts.agreement import AgreementTerms, DelayPenalty, DiscountRule, PaymentForm, PriceType, SlaTarget
from smartcontracts.canonical_json import canonical
from smartcontracts.money import Rate, Rounding
from smartcontracts.trade import (
    LABEL_MS,
    Action,
    EndAction,
    InquiryItem,
    ItemRelation,
    PeriodLabel,
    Price,
    Term,
    TermUnit,
)

CURRENCY: Final = "EUR"
YEAR: Final = Term(amount=12, unit=TermUnit.CALENDAR_MONTHS, end_action=EndAction.AUTO_RENEW)
PLACES: Final = ("oslo", "rome", "lima")
RESPONSE_MS: Final = 60_000
RESPONSE_LEAST_MS: Final = 10_000
EXTENSION_ANSWER_MS: Final = 30_000
NANO: Final = 10**9


def terms(random: Random, sellers: tuple[str, ...], *, discounts: bool = True, only_seller: str = "") -> AgreementTerms:
    """The agreement of a pair. Every offering of every seller has a target, so that an item need not say how it performs."""
    has_discounts, may_cancel = discounts and random.random() < 0.4, random.random() < 0.4
    return AgreementTerms(
        name="General agreement",
        currency=CURRENCY,
        rounding=Rounding.HALF_UP,
        response_window_ms=RESPONSE_MS,
        response_window_min_ms=RESPONSE_LEAST_MS,
        billing_period_ms=86_400_000,
        payment_terms="30x15",
        payment_due_ms=86_400_000,
        payment_form=PaymentForm.FIAT,
        sla_targets=tuple(_target(seller) for seller in sellers),
        extension_answer_window_ms=EXTENSION_ANSWER_MS,
        discounts=tuple(rule for seller in sellers for rule in _discounts(random, seller)) if has_discounts else (),
        delay_penalties=tuple(_penalty(random, seller) for seller in sellers),
        cancellation_window_ms=random.choice((20_000, 600_000)) if may_cancel else 0,
        cancellation_fee_minor=1_000 if may_cancel else 0,
        only_seller=only_seller,
    )


def _discounts(random: Random, seller: str) -> tuple[DiscountRule, ...]:
    off = DiscountRule(id=f"d1 {seller[-4:]}", seller=seller, price_type=PriceType.RECURRING, basis_points=random.randint(1, 3_000))
    return off, replace(off, id=f"d2 {seller[-4:]}", basis_points=4_000, minimum_items=2)


def _penalty(random: Random, seller: str) -> DelayPenalty:
    return DelayPenalty(seller=seller, amount_minor=random.randint(1, 900), period_ms=60_000, cap_minor=random.choice((0, 5_000)))


def _target(seller: str) -> SlaTarget:
    return SlaTarget(
        seller=seller,
        metric="availability",
        target_nano=999_000_000,
        unit="ratio",
        measurement_unit_ms=1_000,
        higher_is_better=True,
    )


@cache
def product(offering: str, place: str, mbps: int) -> bytes:
    """Canonical JSON of a product."""
    text = (
        f'{{"productOffering":{{"id":"{offering}"}},'
        f'"productConfiguration":{{"@type":"urn:test:{offering}","cir":{{"irValue":{mbps},"irUnits":"MBPS"}}}},'
        f'"place":[{{"@type":"GeographicAddressRef","id":"{place}","role":"INSTALL_LOCATION"}}]}}'
    )
    return canonical(text.encode(), "product")


def item(number: int, offering: str, place: str, mbps: int, action: Action = Action.ADD) -> InquiryItem:
    return InquiryItem(
        id=f"item-{number:03}", action=action, offering=offering, product=product(offering, place, mbps), term=YEAR
    )


def items(random: Random, offerings: tuple[str, ...]) -> tuple[InquiryItem, ...]:
    """One to three items; each after the first relates to the one before it."""
    count = random.choices((1, 2, 3), (5, 4, 1))[0]
    drawn = [item(n, random.choice(offerings), random.choice(PLACES), 10 * random.randint(1, 5)) for n in range(1, count + 1)]
    return tuple(
        one if place == 0 else replace(one, relations=(ItemRelation(type="reliesOn", item_id=drawn[place - 1].id),))
        for place, one in enumerate(drawn)
    )


def prices(random: Random) -> tuple[Price, ...]:
    """A charge once, and one a month."""
    once = Price(price_type=PriceType.NON_RECURRING, rate=Rate(random.randint(10, 99) * NANO, CURRENCY), name="set-up")
    monthly = Price(
        price_type=PriceType.RECURRING,
        rate=Rate(random.randint(1, 30) * NANO, CURRENCY),
        period_ms=LABEL_MS[PeriodLabel.MONTH],
        period_label=PeriodLabel.MONTH,
        name="rent",
    )
    return once, monthly
