"""Pricing: what holds of every price that a seller offers, the discounts that it must give, and what prices add up to.

Q-43 a discount of the agreement is given wherever it applies, and everybody computes it alike; L-36 the agreement's prices
bind. A discount is taken off the list rate, and it is the list rate that the agreement bounds: nobody raises it to take the
discount off again. Agents use the same functions.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from fractions import Fraction
from typing import Final

from smartcontracts.agreement import (
    BASIS_POINTS,
    AgreementTerms,
    DiscountRule,
    PriceTerm,
    PriceType,
    price_term_of,
)
from smartcontracts.kernel import Grpc, Rejected
from smartcontracts.money import Money, Rate, Rounding, bounded, require_rate, round_fraction
from smartcontracts.trade import (
    DAY_MS,
    LABEL_MS,
    MONTH_DAYS,
    UNIT_MS,
    InquiryItem,
    PeriodLabel,
    Price,
    Term,
    periods_in_term,
)

_MONTH_MS: Final = MONTH_DAYS * DAY_MS


class PricesMissing(Rejected):
    """An item of a quote, or its bundle, has no price."""

    code = 3104
    grpc = Grpc.INVALID_ARGUMENT


class PriceFormWrong(Rejected):
    """A price has a period or a unit that does not go with its type, or lacks one."""

    code = 3105
    grpc = Grpc.INVALID_ARGUMENT


class PriceDoubled(Rejected):
    """Two prices of an item are the same charge."""

    code = 3106
    grpc = Grpc.INVALID_ARGUMENT


class PriceAboveAgreement(Rejected):
    """The prices of one type are above what the seller is bound to by the agreement."""

    code = 3107


class DiscountMissing(Rejected):
    """A discount of the agreement applies, and the price does not give it (Q-43)."""

    code = 3114


class DiscountWrong(Rejected):
    """A price gives another discount than the agreement's, or none where it names one, or not by the agreement's rate (Q-43)."""

    code = 3115


def best_discount(
    terms: AgreementTerms, seller: str, offering: str, price_type: PriceType, term: Term | None, items: int
) -> DiscountRule | None:
    """The rule for a price of an item with this term, in an inquiry of so many items: the most off, then the smallest id.

    `offering` is empty for a bundle of several. A term is as long as in `periods_in_term`: a month is 30 days. Req: Q-43.
    """
    fitting = [
        rule
        for rule in terms.discounts
        if (rule.seller, rule.price_type) == (seller, price_type)
        and rule.offering in ("", offering)
        and rule.minimum_items <= items
        and rule.minimum_term_months * _MONTH_MS <= _length_ms(term)
    ]
    return min(fitting, key=lambda rule: (-rule.basis_points, rule.id), default=None)


def discounted(list_rate: Rate, rule: DiscountRule) -> Rate:
    """The rate after the discount, rounded half up to the rate's nine decimals. Req: Q-43."""
    exact = Fraction(list_rate.nano * (BASIS_POINTS - rule.basis_points), BASIS_POINTS)
    return replace(list_rate, nano=round_fraction(exact, Rounding.HALF_UP))


def with_discount(price: Price, rule: DiscountRule | None) -> Price:
    """`price`, whose rate is the list rate, with the discount that `rule` gives, if there is one. Req: Q-43."""
    if rule is None:
        return price
    return replace(price, rate=discounted(price.rate, rule), list_rate=price.rate, discount_id=rule.id)


def at_list_rate(price: Price) -> Price:
    """The price as it would be without a discount."""
    return price if price.list_rate is None else replace(price, rate=price.list_rate)


def rule_for(
    price: Price, sold: tuple[InquiryItem, ...], terms: AgreementTerms, seller: str, items: int
) -> DiscountRule | None:
    """The rule for a price of `sold`: one item, or all those of a bundle, which have one term."""
    offerings = tuple(dict.fromkeys(item.offering for item in sold))
    offering = offerings[0] if len(offerings) == 1 else ""
    return best_discount(terms, seller, offering, price.price_type, sold[0].term, items)


def require_charges(
    prices: tuple[Price, ...], path: str, sold: tuple[InquiryItem, ...], terms: AgreementTerms, seller: str, items: int
) -> None:
    """The prices of `sold`, one item or those of a bundle, in an inquiry of `items` items.

    Rejects with the first of, price by price: CurrencyUnknown, CurrencyMismatch, AmountOutOfRange, PriceFormWrong,
    PriceDoubled, PriceAboveAgreement, DiscountMissing, DiscountWrong; first with PricesMissing. Req: Q-43, L-36.
    """
    if not prices:
        raise PricesMissing("Each item needs a price, or else the bundle of all.", path)
    seen: dict[tuple[str, str, int, str], None] = {}
    for number, price in enumerate(prices):
        at = f"{path}[{number}]"
        require_rate(price.rate, terms.currency, f"{at}.rate")
        if price.list_rate is not None:
            require_rate(price.list_rate, terms.currency, f"{at}.list_rate")
        require_price_form(price, at)
        # Two usage prices of one unit would leave open which of them a metered record is for.
        name = "" if price.price_type == PriceType.USAGE_BASED else price.name
        charge = (price.price_type, price.unit, price.period_ms, name)
        if charge in seen:
            raise PriceDoubled("Give charges of the same type and period names that differ.", at)
        seen[charge] = None
        bound = _bound(price, sold, terms, seller)
        if bound is not None and _cost(prices, price) > bound:
            raise PriceAboveAgreement("The agreement binds the seller to a lower price.", f"{at}.rate")
        _require_discount(price, rule_for(price, sold, terms, seller, items), at)


def sums(charges: Iterable[tuple[Term | None, Price]], currency: str, rounding: Rounding) -> tuple[Money, Money]:
    """What prices with their terms come to once, and over the terms (once + recurring x periods); usage is not in it.

    Each price is rounded once, by the agreement's mode; `periods_in_term` says how periods are counted.
    Rejects with AmountOutOfRange.
    """
    one_time, recurring = Money(0, currency), Money(0, currency)
    for term, price in charges:
        amount = bounded(Money(charged_minor(term, price, rounding), price.rate.currency), "amount")
        if price.price_type == PriceType.NON_RECURRING:
            one_time = one_time.plus(amount)
        elif price.price_type == PriceType.RECURRING:
            recurring = recurring.plus(amount)
    return one_time, one_time.plus(recurring)


def charged_minor(term: Term | None, price: Price, rounding: Rounding) -> int:
    """What a price comes to over a term, in minor units of any size: once, or its periods; usage, and periods of no term, are 0."""
    times = Fraction(1) if price.price_type == PriceType.NON_RECURRING else Fraction(0)
    if price.price_type == PriceType.RECURRING and term is not None:
        times = periods_in_term(term, price)
    return price.rate.minor(times, rounding)


def _length_ms(term: Term | None) -> int:
    return 0 if term is None else term.amount * UNIT_MS[term.unit]


def _require_discount(price: Price, rule: DiscountRule | None, path: str) -> None:
    """Rejects with DiscountMissing, DiscountWrong."""
    if rule is None:
        if price.discount_id:
            raise DiscountWrong("The agreement gives no discount on this price.", f"{path}.discount_id")
        if price.list_rate not in (None, price.rate):
            raise DiscountWrong("Without a discount the rate is the list rate.", f"{path}.list_rate")
        return
    if not price.discount_id:
        raise DiscountMissing(f"The agreement's discount {rule.id} applies.", f"{path}.discount_id")
    if price.discount_id != rule.id:
        raise DiscountWrong(f"The discount that applies is {rule.id}.", f"{path}.discount_id")
    if price.list_rate is None:
        raise DiscountWrong("Give the list rate that the discount is taken off.", f"{path}.list_rate")
    net = discounted(price.list_rate, rule)
    if price.rate != net:
        raise DiscountWrong(f"The list rate less {rule.basis_points} basis points is {net.nano} nano.", f"{path}.rate")


def require_price_form(price: Price, path: str) -> None:
    """Recurring prices alone have a period, and one that fits its label; usage based prices alone have a unit.

    Rejects with PriceFormWrong.
    """
    recurring = price.price_type == PriceType.RECURRING
    if recurring != (price.period_ms > 0) or price.period_ms < 0:
        raise PriceFormWrong("A recurring price, and no other, has a period above zero.", f"{path}.period_ms")
    if price.period_label != PeriodLabel.NONE and LABEL_MS[price.period_label] != price.period_ms:
        raise PriceFormWrong(f"A {price.period_label} is {LABEL_MS[price.period_label]} ms.", f"{path}.period_label")
    if bool(price.unit) != (price.price_type == PriceType.USAGE_BASED):
        raise PriceFormWrong("A usage based price, and no other, has a unit.", f"{path}.unit")


def _bound(price: Price, sold: tuple[InquiryItem, ...], terms: AgreementTerms, seller: str) -> Fraction | None:
    """The most that the charges of this price's type and unit may come to; None if nothing binds one of `sold`.

    A bundle may cost as much as its items; a unit that is used is used in one of them, so there it is the dearest.
    """
    found = [price_term_of(terms, seller, item.offering, price.price_type, price.unit) for item in sold]
    costs = [_bound_cost(bound) for bound in found if bound is not None]
    if len(costs) < len(found):
        return None
    return max(costs) if price.price_type == PriceType.USAGE_BASED else sum(costs, Fraction(0))


def _bound_cost(bound: PriceTerm) -> Fraction:
    return Fraction(bound.rate.nano, bound.period_ms or 1)


def _cost(prices: tuple[Price, ...], price: Price) -> Fraction:
    """What all charges of this one's type and unit come to together at list rates, for one millisecond if they recur."""
    return sum(
        (
            Fraction(at_list_rate(other).rate.nano, other.period_ms or 1)
            for other in prices
            if (other.price_type, other.unit) == (price.price_type, price.unit)
        ),
        Fraction(0),
    )
