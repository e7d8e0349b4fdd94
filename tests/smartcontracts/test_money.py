"""Money: exact rates, one rounding, bounds at both ends."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smartcontracts.currencies import MINOR_DIGITS
from smartcontracts.money import (
    MINOR_MAX,
    RATE_NANO_MAX,
    AmountOutOfRange,
    CurrencyMismatch,
    CurrencyUnknown,
    Money,
    Rate,
    Rounding,
    bounded,
    minor_digits,
    require_positive,
    require_rate,
    round_fraction,
)

FRACTIONS = st.fractions(-(10**12), 10**12, max_denominator=10**9)


@pytest.mark.req("B-03")
def test_a_twentieth_of_a_cent_a_cycle_is_exact():
    """0.05 cent per CPU cycle: twenty cycles are one cent to the last digit, and one more is not lost before the rounding."""
    rate = Rate(500_000, "EUR")
    assert rate.amount(Fraction(20), Rounding.DOWN) == Money(1, "EUR")
    assert rate.amount(Fraction(2_000_000_000), Rounding.DOWN) == Money(100_000_000, "EUR")
    assert rate.amount(Fraction(19), Rounding.DOWN) == Money(0, "EUR")
    assert rate.amount(Fraction(21), Rounding.UP) == Money(2, "EUR")


ROUNDED = [  # exact in minor units, half up, half even, down, up
    (Fraction(5, 2), 3, 2, 2, 3),
    (Fraction(7, 2), 4, 4, 3, 4),
    (Fraction(1, 2), 1, 0, 0, 1),
    (Fraction(49, 100), 0, 0, 0, 1),
    (Fraction(51, 100), 1, 1, 0, 1),
    (Fraction(3), 3, 3, 3, 3),
    (Fraction(0), 0, 0, 0, 0),
    (Fraction(10**30 + 1, 10**30), 1, 1, 1, 2),
]


@pytest.mark.parametrize(("exact", "half_up", "half_even", "down", "up"), ROUNDED)
def test_each_rounding_does_what_its_name_says(exact, half_up, half_even, down, up):
    modes = (Rounding.HALF_UP, Rounding.HALF_EVEN, Rounding.DOWN, Rounding.UP)
    assert [round_fraction(exact, mode) for mode in modes] == [half_up, half_even, down, up]


@given(FRACTIONS, st.sampled_from(Rounding))
def test_a_credit_mirrors_its_charge_and_no_rounding_moves_a_whole_unit(exact, mode):
    assert round_fraction(-exact, mode) == -round_fraction(exact, mode)
    assert abs(round_fraction(exact, mode) - exact) < 1


@given(FRACTIONS)
def test_half_even_agrees_with_python(exact):
    assert round_fraction(exact, Rounding.HALF_EVEN) == round(exact)


@given(st.integers(0, 10**15), st.integers(0, 10**6), st.sampled_from(["JPY", "EUR", "BHD"]))
def test_a_rate_is_in_major_units_whatever_the_currency(nano, quantity, currency):
    exact = Fraction(nano, 10**9) * quantity * 10 ** MINOR_DIGITS[currency]
    if exact <= MINOR_MAX:
        assert Rate(nano, currency).amount(Fraction(quantity), Rounding.DOWN).minor == exact.__floor__()


def test_amounts_end_at_their_bound():
    most = Money(MINOR_MAX, "EUR")
    assert bounded(most, "x") == most
    for too_much in (
        lambda: most.plus(Money(1, "EUR")),
        lambda: Money(-MINOR_MAX, "EUR").minus(Money(1, "EUR")),
        lambda: Money(MINOR_MAX // 2 + 1, "EUR").times(2),
        lambda: Rate(RATE_NANO_MAX, "EUR").amount(Fraction(10**5), Rounding.DOWN),
    ):
        with pytest.raises(AmountOutOfRange):
            too_much()


def test_sums_stay_in_one_currency():
    assert Money(3, "EUR").plus(Money(4, "EUR")) == Money(7, "EUR")
    assert Money(3, "EUR").minus(Money(4, "EUR")) == Money(-1, "EUR")
    with pytest.raises(CurrencyMismatch):
        Money(3, "EUR").plus(Money(4, "USD"))
    with pytest.raises(CurrencyUnknown):
        Money(3, "EUR").plus(Money(4, "eur"))


REFUSED_AMOUNTS = [
    (CurrencyUnknown, Money(1, "XXX")),
    (CurrencyMismatch, Money(0, "USD")),
    (AmountOutOfRange, Money(0, "EUR")),
    (AmountOutOfRange, Money(-1, "EUR")),
    (AmountOutOfRange, Money(MINOR_MAX + 1, "EUR")),
]


@pytest.mark.parametrize(("refusal", "money"), REFUSED_AMOUNTS)
def test_invalid_amounts_are_refused(refusal, money):
    with pytest.raises(refusal):
        require_positive(money, "EUR", "amount")


def test_amounts_and_rates_at_their_bounds_are_taken():
    for minor in (1, MINOR_MAX):
        assert require_positive(Money(minor, "EUR"), "EUR", "amount").minor == minor
    for nano in (0, RATE_NANO_MAX):
        assert require_rate(Rate(nano, "EUR"), "EUR", "rate").nano == nano


@pytest.mark.parametrize(
    ("refusal", "rate"),
    [
        (CurrencyUnknown, Rate(1, "")),
        (CurrencyMismatch, Rate(1, "USD")),
        (AmountOutOfRange, Rate(-1, "EUR")),
        (AmountOutOfRange, Rate(RATE_NANO_MAX + 1, "EUR")),
    ],
)
def test_invalid_rates_are_refused(refusal, rate):
    with pytest.raises(refusal):
        require_rate(rate, "EUR", "rate")


def test_currency_codes_are_three_letters_each_in_one_list_only_and_sorted():
    from smartcontracts import currencies

    lists = (currencies._NONE, currencies._TWO, currencies._THREE)
    codes = [code for text in lists for code in text.split(" ")]
    assert len(codes) == len(set(codes)) == len(MINOR_DIGITS)
    assert all(len(code) == 3 and code.isascii() and code.isupper() for code in codes)
    for text in lists:
        assert text.split(" ") == sorted(text.split(" "))


@pytest.mark.parametrize(
    ("currency", "digits"), [("EUR", 2), ("USD", 2), ("JPY", 0), ("KRW", 0), ("KWD", 3), ("TND", 3), ("VED", 2)]
)
def test_minor_units_are_those_of_iso_4217(currency, digits):
    assert minor_digits(currency, "x") == digits


@pytest.mark.parametrize("left_out", ["XAU", "XTS", "CLF", "UYW", "CHE", "HRK", "BGN", "ANG", "eur", "EUR ", ""])
def test_funds_metals_and_withdrawn_codes_are_unknown(left_out):
    with pytest.raises(CurrencyUnknown):
        minor_digits(left_out, "x")
