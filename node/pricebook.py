"""Prices from tables of a file: what one thing costs, once, for each period, by its bandwidth, and by its use.

Bandwidth counts: the sum of CIR and EIR found anywhere in the product, times a rate per Mbps. An inventory's costs and a
catalogue's prices are written so; docs/price-book.md has the keys.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from types import MappingProxyType
from typing import Any, Final

from smartcontracts.agreement import PriceType
from smartcontracts.canonical_json import Json, Number, dump
from smartcontracts.kernel import Grpc, Rejected
from smartcontracts.money import RATE_NANO_MAX, Rate, Rounding, round_fraction
from smartcontracts.trade import LABEL_MS, PeriodLabel, Price

NANO: Final = 10**9
BANDWIDTHS: Final = frozenset(("cir", "eir"))
# Information rates in Mbps.
_RATE_UNITS: Final = MappingProxyType(
    {
        "BPS": Fraction(1, 10**6),
        "KBPS": Fraction(1, 10**3),
        "MBPS": Fraction(1),
        "GBPS": Fraction(10**3),
        "TBPS": Fraction(10**6),
    }
)
_DECIMAL: Final = re.compile(r"[0-9]{1,10}(?:\.[0-9]{1,9})?", re.ASCII)
_ENTRY_KEYS: Final = ("non_recurring", "recurring", "period", "period_ms", "per_mbps", "usage")


class PriceBookWrong(Rejected):
    """A price in a file has a mistake, or makes an amount beyond the ledger's bound; `field` says where."""

    code = 9061
    grpc = Grpc.INVALID_ARGUMENT


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """Prices of one kind of item, in billionths of the currency's major unit; 0 is no such price."""

    non_recurring_nano: int = 0
    # For one period, and for one Mbps and period.
    recurring_nano: int = 0
    per_mbps_nano: int = 0
    period_ms: int = 0
    period_label: PeriodLabel = PeriodLabel.NONE
    # Unit of measure and rate, in the book's order.
    usage: tuple[tuple[str, int], ...] = ()


def prices(entry: Entry, currency: str, product: Json) -> tuple[Price, ...]:
    """What a product costs by an entry; nothing where the entry says nothing. Rejects with PriceBookWrong past the bound."""
    mbps = bandwidth_mbps(product)
    found = []
    if entry.non_recurring_nano:
        found.append(_price(currency, PriceType.NON_RECURRING, Fraction(entry.non_recurring_nano), name="installation"))
    for name, nano in (("subscription", Fraction(entry.recurring_nano)), ("bandwidth", entry.per_mbps_nano * mbps)):
        if nano:
            found.append(
                _price(
                    currency,
                    PriceType.RECURRING,
                    nano,
                    name=name,
                    period_ms=entry.period_ms,
                    period_label=entry.period_label,
                )
            )
    found.extend(
        _price(currency, PriceType.USAGE_BASED, Fraction(nano), name="usage", unit=unit) for unit, nano in entry.usage
    )
    return tuple(found)


def bandwidth_mbps(value: Json) -> Fraction:
    """The sum of all CIR and EIR in a product, in Mbps; maxima, and what is no information rate, don't count."""
    total = Fraction(0)
    if isinstance(value, dict):
        for key, one in value.items():
            total += _information_rate(one) if key in BANDWIDTHS else bandwidth_mbps(one)
    elif isinstance(value, list):
        for one in value:
            total += bandwidth_mbps(one)
    return total


def _information_rate(value: Json) -> Fraction:
    if not isinstance(value, dict):
        return Fraction(0)
    rate, unit = value.get("irValue"), value.get("irUnits")
    if not isinstance(rate, Number) or not isinstance(unit, str):
        return Fraction(0)
    return max(Fraction(0), Fraction(dump(rate).decode())) * _RATE_UNITS.get(unit, Fraction(0))


def _price(
    currency: str,
    price_type: PriceType,
    nano: Fraction,
    *,
    name: str,
    unit: str = "",
    period_ms: int = 0,
    period_label: PeriodLabel = PeriodLabel.NONE,
) -> Price:
    rate = Rate(_bounded_nano(nano, name), currency)
    return Price(price_type=price_type, rate=rate, period_ms=period_ms, period_label=period_label, unit=unit, name=name)


def _bounded_nano(nano: Fraction, where: str) -> int:
    rounded = round_fraction(nano, Rounding.HALF_UP)
    if rounded > RATE_NANO_MAX:
        raise PriceBookWrong("The price is over the ledger's bound.", where)
    return rounded


def read_entry(table: Any, path: str) -> Entry:
    """Prices from a table of a TOML file; `path` names it in refusals. Rejects with PriceBookWrong."""
    if not isinstance(table, dict):
        raise PriceBookWrong("This must be a table.", path)
    _require_known(table, _ENTRY_KEYS, f"{path}.")
    recurring = read_nano(table.get("recurring", "0"), f"{path}.recurring")
    per_mbps = read_nano(table.get("per_mbps", "0"), f"{path}.per_mbps")
    label, period_ms = _period(table, path, needed=bool(recurring or per_mbps))
    usage = table.get("usage", {})
    if not isinstance(usage, dict):
        raise PriceBookWrong("Give unit = amount pairs.", f"{path}.usage")
    entry = Entry(
        non_recurring_nano=read_nano(table.get("non_recurring", "0"), f"{path}.non_recurring"),
        recurring_nano=recurring,
        per_mbps_nano=per_mbps,
        period_ms=period_ms,
        period_label=label,
        usage=tuple((unit, read_nano(amount, f"{path}.usage.{unit}")) for unit, amount in usage.items()),
    )
    if not (entry.non_recurring_nano or entry.recurring_nano or entry.usage):
        raise PriceBookWrong("At least one of non_recurring, recurring and usage is needed.", path)
    return entry


def _period(table: Mapping[str, Any], path: str, *, needed: bool) -> tuple[PeriodLabel, int]:
    """Either `period` (a word of Sonata's) or `period_ms` (another length), where something recurs."""
    label, period_ms = table.get("period"), table.get("period_ms")
    given = (label is not None) + (period_ms is not None)
    if given != int(needed):
        raise PriceBookWrong("Give period or period_ms with a recurring price, and only then.", f"{path}.period")
    if period_ms is not None:
        if _whole(period_ms, f"{path}.period_ms") == 0:
            raise PriceBookWrong("A period is longer than nothing.", f"{path}.period_ms")
        return PeriodLabel.NONE, period_ms
    if label is None:
        return PeriodLabel.NONE, 0
    found = next((one for one in LABEL_MS if one.value == label), None)
    if found is None:
        raise PriceBookWrong(f"A period is one of {', '.join(LABEL_MS)}.", f"{path}.period")
    return found, LABEL_MS[found]


def read_nano(amount: Any, path: str) -> int:
    """Billionths of a decimal that is written as a text, so that no binary fraction comes in between. Rejects with PriceBookWrong."""
    if not isinstance(amount, str) or _DECIMAL.fullmatch(amount) is None:
        raise PriceBookWrong('Write the amount as a text, like "12.50", with at most nine decimals.', path)
    nano = int(Fraction(amount) * NANO)
    if nano > RATE_NANO_MAX:
        raise PriceBookWrong("The amount is over the ledger's bound.", path)
    return nano


def _whole(value: Any, path: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise PriceBookWrong("This must be a whole number of milliseconds.", path)
    return value


def _require_known(table: Mapping[str, Any], known: tuple[str, ...], path: str) -> None:
    for key in table:
        if key not in known:
            raise PriceBookWrong(f"Known here are: {', '.join(known)}.", f"{path}{key}")
