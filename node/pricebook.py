"""Price book: a provider's prices, from a TOML file, and the quote that follows from them and from what was bought.

A price is looked up by offering id, else by the configuration's @type, else it is the book's default. Bandwidth counts: the
sum of CIR and EIR found anywhere in the configuration, times a rate per Mbps. What was bought is resold with a mark-up, which
stays in the provider's node. docs/price-book.md has an example.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from types import MappingProxyType
from typing import Any, Final

from smartcontracts.agreement import AgreementTerms, PriceType
from smartcontracts.canonical_json import Json, Number, dump, load
from smartcontracts.inquiry import Inquiry
from smartcontracts.kernel import Grpc, Rejected
from smartcontracts.money import RATE_NANO_MAX, Rate, Rounding, minor_digits, round_fraction
from smartcontracts.pricing import rule_for, with_discount
from smartcontracts.quote import IssueQuote, QuoteItem, totals
from smartcontracts.trade import LABEL_MS, InquiryItem, PeriodLabel, Price, QuoteLevel

NANO: Final = 10**9
BOOK_BYTES_MAX: Final = 1024 * 1024
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
_BOOK_KEYS: Final = ("currency", "mark_up", "installation_interval_ms", "default", "offering", "type")


class PriceBookWrong(Rejected):
    """The price book's file has a mistake; `field` says where."""

    code = 9061
    grpc = Grpc.INVALID_ARGUMENT


class NoPrice(Rejected):
    """The price book has no price for an item, and no default."""

    code = 9062


class BoughtItemUnpriced(Rejected):
    """An item that is bought has no quote from the seller it is bought from."""

    code = 9063


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


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceBook:
    """All prices of a provider. `mark_up` is a fraction: 1/5 adds a fifth to what was bought."""

    currency: str
    mark_up: Fraction = Fraction(0)
    installation_interval_ms: int = 0
    offerings: Mapping[str, Entry] = field(default_factory=dict)
    types: Mapping[str, Entry] = field(default_factory=dict)
    default: Entry | None = None


def parse(text: str) -> PriceBook:
    """A price book from its file's text; amounts are written as texts ("12.50"). Rejects with PriceBookWrong, CurrencyUnknown."""
    if len(text) > BOOK_BYTES_MAX:
        raise PriceBookWrong(f"At most {BOOK_BYTES_MAX} characters are allowed.", "")
    try:
        book = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise PriceBookWrong(f"This is not TOML: {error}.", "") from error
    _require_known(book, _BOOK_KEYS, "")
    currency = book.get("currency")
    if not isinstance(currency, str):
        raise PriceBookWrong("Give the ISO 4217 code.", "currency")
    minor_digits(currency, "currency")
    return PriceBook(
        currency=currency,
        mark_up=Fraction(read_nano(book.get("mark_up", "0"), "mark_up"), NANO),
        installation_interval_ms=_whole(book.get("installation_interval_ms", 0), "installation_interval_ms"),
        offerings=_entries(book.get("offering", {}), "offering"),
        types=_entries(book.get("type", {}), "type"),
        default=read_entry(book["default"], "default") if "default" in book else None,
    )


def prices(book: PriceBook, item: InquiryItem) -> tuple[Price, ...]:
    """What the provider asks for an item that it makes itself. Rejects with NoPrice, AmountOutOfRange."""
    product = load(item.product, "product")
    entry = _entry_for(book, item.offering, product)
    if entry is None:
        raise NoPrice(f"There is no price for the offering {item.offering}, and no default.", "offering")
    mbps = bandwidth_mbps(product)
    found = []
    if entry.non_recurring_nano:
        found.append(_price(book, PriceType.NON_RECURRING, Fraction(entry.non_recurring_nano), name="installation"))
    for name, nano in (("subscription", Fraction(entry.recurring_nano)), ("bandwidth", entry.per_mbps_nano * mbps)):
        if nano:
            found.append(
                _price(
                    book,
                    PriceType.RECURRING,
                    nano,
                    name=name,
                    period_ms=entry.period_ms,
                    period_label=entry.period_label,
                )
            )
    found.extend(
        _price(book, PriceType.USAGE_BASED, Fraction(nano), name="usage", unit=unit) for unit, nano in entry.usage
    )
    return tuple(found)


def marked_up(bought: tuple[Price, ...], mark_up: Fraction) -> tuple[Price, ...]:
    """The seller's prices with the mark-up, halves of a billionth rounded up. Rejects with PriceBookWrong past the bound."""
    return tuple(
        Price(
            price_type=price.price_type,
            rate=Rate(_bounded_nano(price.rate.nano * (1 + mark_up), "mark_up"), price.rate.currency),
            period_ms=price.period_ms,
            period_label=price.period_label,
            unit=price.unit,
            name=price.name,
        )
        for price in bought
    )


def draft_quote(
    inquiry: Inquiry,
    terms: AgreementTerms,
    book: PriceBook,
    valid_until_ms: int,
    bought: Mapping[str, QuoteItem | None] = MappingProxyType({}),
    level: QuoteLevel = QuoteLevel.FIRM,
) -> IssueQuote:
    """The command that answers `inquiry`, with the agreement's discounts and the totals that the contract will compute.

    `bought` has the seller's quote for each item that is bought, by this inquiry's item id; those are marked up, all
    others priced by the book. Rejects with BoughtItemUnpriced and as `prices`.
    """
    items = []
    for item in inquiry.items:
        answer = bought.get(item.id)
        if answer is not None:
            own, interval_ms = marked_up(answer.prices, book.mark_up), answer.installation_interval_ms
        elif item.id in bought:
            raise BoughtItemUnpriced(f"{item.id} is bought and has no quote.", "items")
        else:
            own, interval_ms = prices(book, item), book.installation_interval_ms
        rules = [rule_for(price, (item,), terms, inquiry.seller, len(inquiry.items)) for price in own]
        items.append(
            QuoteItem(
                id=item.id,
                prices=tuple(with_discount(price, rule) for price, rule in zip(own, rules, strict=True)),
                installation_interval_ms=interval_ms,
                subject_to_feasibility=level == QuoteLevel.FIRM_SUBJECT_TO_FEASIBILITY_CHECK,
            )
        )
    one_time, over_term = totals(tuple(items), inquiry, terms.currency, terms.rounding)
    return IssueQuote(
        inquiry_id=inquiry.id,
        level=level,
        valid_until_ms=valid_until_ms,
        items=tuple(items),
        one_time_total=one_time,
        term_total=over_term,
    )


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


def _entry_for(book: PriceBook, offering: str, product: Json) -> Entry | None:
    if offering in book.offerings:
        return book.offerings[offering]
    configuration = product.get("productConfiguration") if isinstance(product, dict) else None
    kind = configuration.get("@type") if isinstance(configuration, dict) else None
    if isinstance(kind, str) and kind in book.types:
        return book.types[kind]
    return book.default


def _price(
    book: PriceBook,
    price_type: PriceType,
    nano: Fraction,
    *,
    name: str,
    unit: str = "",
    period_ms: int = 0,
    period_label: PeriodLabel = PeriodLabel.NONE,
) -> Price:
    rate = Rate(_bounded_nano(nano, name), book.currency)
    return Price(price_type=price_type, rate=rate, period_ms=period_ms, period_label=period_label, unit=unit, name=name)


def _bounded_nano(nano: Fraction, where: str) -> int:
    rounded = round_fraction(nano, Rounding.HALF_UP)
    if rounded > RATE_NANO_MAX:
        raise PriceBookWrong("The price is over the ledger's bound.", where)
    return rounded


def _entries(tables: Any, path: str) -> dict[str, Entry]:
    if not isinstance(tables, dict):
        raise PriceBookWrong("This must be tables by id.", path)
    return {key: read_entry(table, f'{path}."{key}"') for key, table in tables.items()}


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
