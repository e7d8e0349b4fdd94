"""Money: integers in a currency's minor unit, rates in billionths of its major unit, one rounding.

Req: B-03 (0.05 cent is exact), L-36. DESIGN section 7.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction
from typing import Final

from smartcontracts.currencies import MINOR_DIGITS
from smartcontracts.kernel import Grpc, Rejected

MINOR_MAX: Final = 10**15
RATE_NANO_MAX: Final = 9 * 10**18
NANO: Final = 10**9


class CurrencyUnknown(Rejected):
    """The currency is not an ISO 4217 code of this contracts version."""

    code = 1121
    grpc = Grpc.INVALID_ARGUMENT


class CurrencyMismatch(Rejected):
    """Two amounts that must be in one currency are not."""

    code = 1122
    grpc = Grpc.INVALID_ARGUMENT


class AmountOutOfRange(Rejected):
    """An amount is negative or zero where it may not be, or its size is over the bound of 10^15 minor units."""

    code = 1123
    grpc = Grpc.INVALID_ARGUMENT


class Rounding(StrEnum):
    """How an exact amount becomes minor units; declared once in the agreement."""

    HALF_UP = "half_up"
    HALF_EVEN = "half_even"
    DOWN = "down"
    UP = "up"


@dataclass(frozen=True, slots=True)
class Money:
    """`minor` minor units of `currency`."""

    minor: int
    currency: str

    def plus(self, other: Money) -> Money:
        """The sum. Rejects with CurrencyMismatch, AmountOutOfRange."""
        require_currency(other.currency, self.currency, "currency")
        return bounded(Money(self.minor + other.minor, self.currency), "amount")

    def minus(self, other: Money) -> Money:
        """The difference. Rejects with CurrencyMismatch, AmountOutOfRange."""
        return self.plus(Money(-other.minor, other.currency))

    def text(self) -> str:
        """As people read it: "1,234.50 EUR"."""
        digits = MINOR_DIGITS[self.currency]
        sign, (whole, rest) = "-" if self.minor < 0 else "", divmod(abs(self.minor), 10**digits)
        decimals = f".{rest:0{digits}d}" if digits else ""
        return f"{sign}{whole:,}{decimals} {self.currency}"

    def times(self, count: int) -> Money:
        """The product with a whole number. Rejects with AmountOutOfRange."""
        return bounded(Money(self.minor * count, self.currency), "amount")


@dataclass(frozen=True, slots=True)
class Rate:
    """A price of one unit: `nano` billionths of the currency's major unit."""

    nano: int
    currency: str

    def amount(self, quantity: Fraction, rounding: Rounding) -> Money:
        """quantity x rate, rounded once. Rejects with AmountOutOfRange, CurrencyUnknown. Req: B-04, F-8."""
        return bounded(Money(self.minor(quantity, rounding), self.currency), "amount")

    def minor(self, quantity: Fraction, rounding: Rounding) -> int:
        """The same in minor units, of any size. Rejects with CurrencyUnknown."""
        exact = Fraction(quantity * self.nano * 10 ** minor_digits(self.currency, "currency"), NANO)
        return round_fraction(exact, rounding)


def round_fraction(exact: Fraction, rounding: Rounding) -> int:
    """The integer next to `exact`; halves and remainders go by magnitude, so that a credit mirrors its charge."""
    negative = exact < 0
    whole, rest = divmod(abs(exact.numerator), exact.denominator)
    twice = 2 * rest
    if rounding == Rounding.UP:
        up = rest > 0
    elif rounding == Rounding.HALF_UP:
        up = twice >= exact.denominator
    elif rounding == Rounding.HALF_EVEN:
        up = twice > exact.denominator or (twice == exact.denominator and whole % 2 == 1)
    else:
        up = False
    size = whole + 1 if up else whole
    return -size if negative else size


def minor_digits(currency: str, field: str) -> int:
    """Digits of the minor unit (2 for EUR). Rejects with CurrencyUnknown."""
    digits = MINOR_DIGITS.get(currency)
    if digits is None:
        raise CurrencyUnknown(f"{currency!r} is not a known ISO 4217 currency code.", field)
    return digits


def require_currency(actual: str, expected: str, field: str) -> None:
    """Rejects with CurrencyUnknown or CurrencyMismatch."""
    minor_digits(actual, field)
    if actual != expected:
        raise CurrencyMismatch(f"The currency must be {expected}, not {actual}.", field)


def bounded(money: Money, field: str) -> Money:
    """`money`, if its size is within the bound. Rejects with AmountOutOfRange."""
    if abs(money.minor) > MINOR_MAX:
        raise AmountOutOfRange(f"An amount may have at most {MINOR_MAX} minor units.", field)
    return money


def require_positive(money: Money, currency: str, field: str) -> Money:
    """`money`, if it is above zero, in `currency` and within the bound. Rejects with CurrencyUnknown, CurrencyMismatch, AmountOutOfRange."""
    require_currency(money.currency, currency, field)
    if money.minor <= 0:
        raise AmountOutOfRange("The amount must be above zero.", field)
    return bounded(money, field)


def require_rate(rate: Rate, currency: str, field: str) -> Rate:
    """`rate`, if it is not negative, in `currency` and within the bound. Rejects as `require_positive`."""
    require_currency(rate.currency, currency, field)
    if not 0 <= rate.nano <= RATE_NANO_MAX:
        raise AmountOutOfRange("A rate must be from 0 to 9,000,000,000 major units.", field)
    return rate
