"""Rating: a service's prices and its metered use become the lines of one interval's invoice.

    nonRecurring/once   once, in the interval in which the price began to count: at the activation, or with a change
    recurring/prorated  rate x (milliseconds of the interval in which the price counted / milliseconds of the rate's period)
    usage/sum           rate x sum of the quantities that end in the interval, per item and unit

A price counts from the service's activation to its end, or from one change of the service to the next.

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
from smartcontracts.service import Service, ServiceItem, counts_at
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

    Services come in the order of activation, then id; items and prices as the service has them. What never was in
    operation costs nothing. Req: D-23.
    """
    used = _metered(usages)
    ordered = sorted(services, key=lambda service: (service.activated_at_ms, service.id))
    charges = (charge for service in ordered for charge in _charges(service, used, interval))
    return tuple(_line(number, charge, interval, currency, rounding) for number, charge in enumerate(charges, start=1))


def _metered(usages: Iterable[Usage]) -> dict[tuple[str, str, str], list[Usage]]:
    """By service, item and unit."""
    found: dict[tuple[str, str, str], list[Usage]] = {}
    for usage in usages:
        found.setdefault((usage.service_id, usage.item_id, usage.unit), []).append(usage)
    return found


def _charges(service: Service, used: dict[tuple[str, str, str], list[Usage]], interval: Interval) -> Iterator[_Charge]:
    for item in service.priced:
        began_ms, _ = service.span_ms(item)
        for price in item.prices if began_ms else ():
            if price.price_type == PriceType.NON_RECURRING:
                yield from _once(service, item, price, interval)
            elif price.price_type == PriceType.RECURRING:
                yield from _prorated(service, item, price, interval)
            else:
                yield from _summed(service, item, price, used.get((service.id, item.id, price.unit), ()))


def _once(service: Service, item: ServiceItem, price: Price, interval: Interval) -> Iterator[_Charge]:
    at_ms, _ = service.span_ms(item)
    if interval.from_ms <= at_ms < interval.until_ms:
        yield _Charge(service, item, price, Fraction(1), ONCE, at_ms, at_ms)


def _prorated(service: Service, item: ServiceItem, price: Price, interval: Interval) -> Iterator[_Charge]:
    began_ms, ended_ms = service.span_ms(item)
    from_ms = max(interval.from_ms, began_ms)
    until_ms = min(interval.until_ms, ended_ms) if ended_ms else interval.until_ms
    if from_ms < until_ms:
        yield _Charge(service, item, price, Fraction(until_ms - from_ms, price.period_ms), PRORATED, from_ms, until_ms)


def _summed(service: Service, item: ServiceItem, price: Price, usages: Iterable[Usage]) -> Iterator[_Charge]:
    """What was used while these prices counted, if anything was."""
    counted = [usage for usage in usages if counts_at(service, item, usage.from_ms)]
    if counted:
        nano = sum(usage.quantity_nano for usage in counted)
        from_ms, until_ms = min(usage.from_ms for usage in counted), max(usage.until_ms for usage in counted)
        yield _Charge(service, item, price, Fraction(nano, NANO), SUMMED, from_ms, until_ms)


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
