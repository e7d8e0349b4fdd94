"""Rating: a service's prices and its metered use become the lines of one interval's invoice.

    nonRecurring/once   once, in the interval in which the service was activated
    recurring/prorated  rate x (milliseconds of operation in the interval / milliseconds of the rate's period)
    usage/sum           rate x sum of the quantities that end in the interval, per item and unit

Quantities are exact fractions; the one rounding, by the agreement's mode, makes a line's amount.
Req: B-03, B-04, B-05, F-8; docs/decisions/billing.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from smartcontracts.agreement import PriceType
from smartcontracts.interval import Interval
from smartcontracts.money import NANO, Money, Rate, Rounding, require_currency
from smartcontracts.service import Service, ServiceItem, ServiceStatus
from smartcontracts.trade import Price
from smartcontracts.usage import Usage

ONCE: Final = "nonRecurring/once"
PRORATED: Final = "recurring/prorated"
SUMMED: Final = "usage/sum"


@dataclass(frozen=True, slots=True, kw_only=True)
class InvoiceLine:
    """`amount` is rate x numerator / denominator, rounded once; what it is for lies in [from_ms, until_ms)."""

    number: int
    service_id: str
    item_id: str
    price_type: PriceType
    rate: Rate
    quantity_numerator: int
    quantity_denominator: int
    unit: str
    amount: Money
    rule: str
    from_ms: int
    until_ms: int
    interval_id: str


@dataclass(frozen=True, slots=True)
class _Charge:
    """One line before it is rounded and numbered."""

    service: Service
    item: ServiceItem
    price: Price
    quantity: Fraction
    rule: str
    from_ms: int
    until_ms: int


def rate_interval(
    services: Iterable[Service],
    usages: Iterable[Usage],
    interval: Interval,
    currency: str,
    rounding: Rounding,
) -> tuple[InvoiceLine, ...]:
    """The lines of `services` in `interval`, numbered from 1. Rejects with CurrencyMismatch, AmountOutOfRange.

    Services come in the order of activation, then id; items and prices as the service has them.
    """
    used = _quantities(usages)
    ordered = sorted(services, key=lambda service: (service.activated_at_ms, service.id))
    charges = (charge for service in ordered for charge in _charges(service, used, interval))
    return tuple(_line(number, charge, interval, currency, rounding) for number, charge in enumerate(charges, start=1))


def _quantities(usages: Iterable[Usage]) -> dict[tuple[str, str, str], tuple[int, int, int]]:
    """By service, item and unit: billionths used, first millisecond, end."""
    sums: dict[tuple[str, str, str], tuple[int, int, int]] = {}
    for usage in usages:
        key = (usage.service_id, usage.item_id, usage.unit)
        nano, from_ms, until_ms = sums.get(key, (0, usage.from_ms, usage.until_ms))
        sums[key] = (
            nano + usage.quantity_nano,
            min(from_ms, usage.from_ms),
            max(until_ms, usage.until_ms),
        )
    return sums


def _charges(
    service: Service, used: dict[tuple[str, str, str], tuple[int, int, int]], interval: Interval
) -> Iterator[_Charge]:
    for item in service.items:
        for price in item.prices:
            if price.price_type == PriceType.NON_RECURRING:
                yield from _once(service, item, price, interval)
            elif price.price_type == PriceType.RECURRING:
                yield from _prorated(service, item, price, interval)
            elif (sums := used.get((service.id, item.id, price.unit))) is not None:
                nano, from_ms, until_ms = sums
                yield _Charge(service, item, price, Fraction(nano, NANO), SUMMED, from_ms, until_ms)


def _once(service: Service, item: ServiceItem, price: Price, interval: Interval) -> Iterator[_Charge]:
    at_ms = service.activated_at_ms
    if interval.from_ms <= at_ms < interval.until_ms:
        yield _Charge(service, item, price, Fraction(1), ONCE, at_ms, at_ms)


def _prorated(service: Service, item: ServiceItem, price: Price, interval: Interval) -> Iterator[_Charge]:
    from_ms = max(interval.from_ms, service.activated_at_ms)
    if service.status == ServiceStatus.IN_OPERATION and from_ms < interval.until_ms:
        quantity = Fraction(interval.until_ms - from_ms, price.period_ms)
        yield _Charge(service, item, price, quantity, PRORATED, from_ms, interval.until_ms)


def _line(number: int, charge: _Charge, interval: Interval, currency: str, rounding: Rounding) -> InvoiceLine:
    rate = charge.price.rate
    require_currency(rate.currency, currency, "currency")
    return InvoiceLine(
        number=number,
        service_id=charge.service.id,
        item_id=charge.item.id,
        price_type=charge.price.price_type,
        rate=rate,
        quantity_numerator=charge.quantity.numerator,
        quantity_denominator=charge.quantity.denominator,
        unit=charge.price.unit,
        amount=rate.amount(charge.quantity, rounding),
        rule=charge.rule,
        from_ms=charge.from_ms,
        until_ms=charge.until_ms,
        interval_id=interval.id,
    )
