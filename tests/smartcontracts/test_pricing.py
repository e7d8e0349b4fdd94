"""Pricing: which discount applies, what it leaves, and what prices add up to."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from smartcontracts.agreement import DiscountRule, PriceType
from smartcontracts.money import RATE_NANO_MAX, AmountOutOfRange, Money, Rate, Rounding
from smartcontracts.pricing import (
    at_list_rate,
    best_discount,
    charged_minor,
    discounted,
    rule_for,
    sums,
    with_discount,
)
from smartcontracts.trade import EndAction, Term, TermUnit
from tests.smartcontracts.support import org
from tests.smartcontracts.trading import BUYER, LINE, PORT_A, SELLER, TERMS, YEAR, monthly, once, usage

EURO = 10**9
TENTH = DiscountRule(id="tenth", seller=org(SELLER), price_type=PriceType.RECURRING, basis_points=1_000)


def rule(rule_id, points, **changes):
    return replace(TENTH, id=rule_id, basis_points=points, **changes)


@pytest.mark.req("Q-43")
def test_the_rule_that_gives_most_applies_and_of_equal_ones_the_smallest_id_in_any_order():
    rules = [
        rule("b", 500),
        rule("a", 500),
        rule("long", 900, minimum_term_months=24),
        rule("many", 800, minimum_items=3),
        rule("line", 700, offering="line"),
        rule("other", 9_000, seller=org(BUYER)),
        rule("once", 9_000, price_type=PriceType.NON_RECURRING),
    ]

    def best(offering="port", months=12, items=1, *, unit=TermUnit.CALENDAR_MONTHS):
        term = Term(amount=months, unit=unit, end_action=EndAction.AUTO_RENEW)
        for order in (rules, rules[::-1]):
            terms = replace(TERMS, discounts=tuple(order))
            found = best_discount(terms, org(SELLER), offering, PriceType.RECURRING, term, items)
            yield "" if found is None else found.id

    assert set(best()) == {"a"}
    assert set(best("line")) == {"line"}
    assert set(best(months=23)) == {"a"}
    assert set(best(months=24)) == {"long"}
    assert set(best(months=719, unit=TermUnit.CALENDAR_DAYS)) == {"a"}
    assert set(best(months=720, unit=TermUnit.CALENDAR_DAYS)) == {"long"}
    assert set(best(items=2)) == {"a"}
    assert set(best("line", items=3)) == {"many"}
    assert set(best("", items=1)) == {"a"}  # a bundle of several offerings
    assert best_discount(TERMS, org(SELLER), "port", PriceType.RECURRING, None, 1) is None
    long = replace(TERMS, discounts=(rules[2],))
    assert best_discount(long, org(SELLER), "port", PriceType.RECURRING, None, 1) is None


@pytest.mark.req("Q-43")
@example(nano=1, points=5_000)  # a half
@given(nano=st.integers(0, RATE_NANO_MAX), points=st.integers(1, 10_000))
def test_a_discount_is_exact_and_rounded_half_up_to_the_ninth_decimal(nano, points):
    net = discounted(Rate(nano, "EUR"), rule("any", points))
    exact = Fraction(nano * (10_000 - points), 10_000)
    assert net.currency == "EUR"
    assert -Fraction(1, 2) <= exact - net.nano < Fraction(1, 2)
    assert 0 <= net.nano <= nano


@pytest.mark.req("Q-43")
def test_a_discount_is_taken_off_the_list_price_and_can_be_looked_through():
    listed = monthly(10 * EURO, "fee")
    net = with_discount(listed, TENTH)
    assert (net.rate, net.list_rate, net.discount_id) == (Rate(9 * EURO, "EUR"), Rate(10 * EURO, "EUR"), "tenth")
    assert at_list_rate(net).rate == listed.rate
    assert with_discount(listed, None) == listed
    assert at_list_rate(listed) == listed


def test_a_bundle_of_several_offerings_has_only_general_rules():
    port = replace(TENTH, id="port", offering="port", basis_points=2_000)
    terms = replace(TERMS, discounts=(TENTH, port))
    ports = (PORT_A, replace(PORT_A, id="item-009"))
    assert rule_for(monthly(1), ports, terms, org(SELLER), 2) == port
    assert rule_for(monthly(1), (LINE, PORT_A), terms, org(SELLER), 2) == TENTH
    assert rule_for(monthly(1), ports, terms, org(BUYER), 2) is None


def test_use_is_in_no_sum_and_what_has_no_term_does_not_recur():
    charges = ((YEAR, once(EURO)), (YEAR, monthly(2 * EURO)), (YEAR, usage(5 * EURO)), (None, monthly(7 * EURO)))
    assert sums(charges, "EUR", Rounding.HALF_UP) == (Money(1_00, "EUR"), Money(25_00, "EUR"))
    each = [charged_minor(term, price, Rounding.HALF_UP) for term, price in charges]
    assert each == [1_00, 24_00, 0, 0]


def test_what_is_charged_may_be_more_than_an_amount_takes_and_a_sum_may_not():
    ages = replace(YEAR, amount=100_000)
    dearest = monthly(RATE_NANO_MAX)
    assert charged_minor(ages, dearest, Rounding.HALF_UP) == RATE_NANO_MAX // 10**7 * 100_000
    with pytest.raises(AmountOutOfRange):
        sums([(ages, dearest)], "EUR", Rounding.HALF_UP)
