"""Price book: looked up by offering, type or default; bandwidth counts; bought items carry a mark-up."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import pytest

from node.pricebook import (
    BoughtItemUnpriced,
    NoPrice,
    PriceBookWrong,
    bandwidth_mbps,
    draft_quote,
    marked_up,
    parse,
    prices,
)
from node.sonata import QuoteContext, inquiry_from_quote_request
from smartcontracts.agreement import DiscountRule, PriceType
from smartcontracts.canonical_json import load
from smartcontracts.inquiry import INQUIRY
from smartcontracts.money import CurrencyUnknown, Rate
from smartcontracts.quote import QUOTE, QuoteItem, QuoteTotalWrong
from smartcontracts.trade import LABEL_MS, PeriodLabel, QuoteLevel
from tests.node.sonata_samples import sample
from tests.smartcontracts.support import START_MS, org
from tests.smartcontracts.trading import (
    AGREEMENT_ID,
    DAY_MS,
    LINE,
    PORT_A,
    SELLER,
    TERMS,
    ask,
    monthly,
    once,
    product,
    sell,
    target,
    trading_ledger,
    usage,
)

BOOK = """
currency = "EUR"
mark_up = "0.20"
installation_interval_ms = 86400000

[default]
non_recurring = "9"

[offering.line]
non_recurring = "100"
recurring = "20.50"
per_mbps = "0.75"
period = "month"
usage = { GB = "0.0005", burst = "0.01" }

[type."urn:test:port"]
recurring = "3"
period_ms = 20000
"""


def test_prices_are_found_by_offering_then_type_then_default():
    book = parse(BOOK)
    by_offering = prices(book, LINE)
    assert [(price.price_type, price.rate.nano, price.name) for price in by_offering] == [
        (PriceType.NON_RECURRING, 100 * 10**9, "installation"),
        (PriceType.RECURRING, 20_500_000_000, "subscription"),
        (PriceType.RECURRING, 70 * 750_000_000, "bandwidth"),
        (PriceType.USAGE_BASED, 500_000, "usage"),
        (PriceType.USAGE_BASED, 10_000_000, "usage"),
    ]
    assert {price.period_ms for price in by_offering if price.period_ms} == {LABEL_MS[PeriodLabel.MONTH]}
    (by_type,) = prices(book, PORT_A)
    assert (by_type.rate, by_type.period_ms, by_type.period_label) == (Rate(3 * 10**9, "EUR"), 20_000, PeriodLabel.NONE)
    (by_default,) = prices(book, replace(PORT_A, offering="x", product=product("x")))
    assert by_default.rate.nano == 9 * 10**9
    with pytest.raises(NoPrice):
        prices(replace(book, default=None), replace(PORT_A, offering="x", product=product("x")))


@pytest.mark.parametrize(
    ("data", "mbps"),
    [
        (b"{}", 0),
        (b'{"cir":{"irValue":10,"irUnits":"MBPS"},"eir":{"irValue":2.5,"irUnits":"GBPS"}}', 2510),
        (b'[{"a":[{"cir":{"irValue":1,"irUnits":"KBPS"}}]},{"cir":{"irValue":1,"irUnits":"BPS"}}]', Fraction(1001, 10**6)),
        (b'{"cirMax":{"irValue":10,"irUnits":"MBPS"}}', 0),
        (b'{"cir":{"irValue":10}}', 0),
        (b'{"cir":{"irValue":10,"irUnits":"PARSECS"}}', 0),
        (b'{"cir":{"irValue":"10","irUnits":"MBPS"}}', 0),
        (b'{"cir":{"irValue":-10,"irUnits":"MBPS"}}', 0),
        (b'{"cir":7}', 0),
    ],
)  # fmt: skip
def test_bandwidth_is_the_sum_of_all_committed_and_excess_rates(data, mbps):
    assert bandwidth_mbps(load(data, "x")) == mbps


def test_a_changed_bandwidth_changes_the_price_of_the_published_sample():
    book = parse(BOOK.replace("[offering.line]", '[offering."000073"]'))
    context = QuoteContext(seller=org(SELLER), agreement_id=AGREEMENT_ID, agreement_name=TERMS.name)
    data = sample("uc04-quote-new-epl.json")
    found = []
    for changed in (data, data.replace(b'"irValue": 70', b'"irValue": 71', 2)):
        item = inquiry_from_quote_request(changed, context, b"1" * 32).command.items[0]
        found.append([price.rate.nano for price in prices(book, item)])
    assert found[0] != found[1]
    assert found[0][2] == 140 * 750_000_000


def test_what_is_bought_is_resold_with_the_mark_up():
    bought = (once(10 * 10**9), monthly(1), usage(3))
    sold = marked_up(bought, Fraction(1, 5))
    assert [price.rate.nano for price in sold] == [12 * 10**9, 1, 4]
    assert [replace(price, rate=Rate(0, "EUR")) for price in sold] == [
        replace(price, rate=Rate(0, "EUR")) for price in bought
    ]


@pytest.mark.parametrize("level", [QuoteLevel.FIRM, QuoteLevel.FIRM_SUBJECT_TO_FEASIBILITY_CHECK, QuoteLevel.BUDGETARY])
def test_a_drafted_quote_is_one_that_the_contract_takes(level):
    ledger = trading_ledger(sla_targets=(target(),))
    inquiry = ask(ledger)
    bought = {"item-003": QuoteItem(id="item-001", prices=(once(10 * 10**9),), installation_interval_ms=7)}
    command = draft_quote(inquiry, TERMS, parse(BOOK), START_MS + DAY_MS, bought, level)
    sell(ledger, "issue_quote", command)
    quote = ledger.the(QUOTE)
    assert quote.level == level
    assert [item.prices[0].rate.nano for item in quote.items] == [100 * 10**9, 3 * 10**9, 12 * 10**9]
    assert [item.installation_interval_ms for item in quote.items] == [86_400_000, 86_400_000, 7]
    assert quote.one_time_total.minor == 112_00
    assert quote.term_total.minor == 112_00 + 12 * (20_50 + 52_50) + 300 * 12 * 30 * 86_400 // 20
    with pytest.raises(BoughtItemUnpriced):
        draft_quote(inquiry, TERMS, parse(BOOK), START_MS + DAY_MS, {"item-003": None})


@pytest.mark.req("Q-43")
def test_a_drafted_quote_gives_the_agreements_discounts_also_on_what_was_bought_with_one():
    rule = DiscountRule(id="tenth", seller=org(SELLER), price_type=PriceType.NON_RECURRING, basis_points=1_000)
    ledger = trading_ledger(discounts=(rule,))
    inquiry = ask(ledger)
    paid = replace(once(10 * 10**9), list_rate=Rate(20 * 10**9, "EUR"), discount_id="half")
    bought = {"item-003": QuoteItem(id="item-001", prices=(paid,))}
    terms = replace(TERMS, discounts=(rule,))
    sell(ledger, "issue_quote", draft_quote(inquiry, terms, parse(BOOK), START_MS + DAY_MS, bought))
    price = ledger.the(QUOTE).items[2].prices[0]
    assert (price.rate.nano, price.list_rate.nano, price.discount_id) == (10_800_000_000, 12 * 10**9, "tenth")


def test_a_draft_with_one_price_changed_is_refused_by_the_contract():
    ledger = trading_ledger()
    command = draft_quote(ask(ledger), TERMS, parse(BOOK), START_MS + DAY_MS)
    cheaper = replace(command.items[0], prices=(once(10**9), *command.items[0].prices[1:]))
    with pytest.raises(QuoteTotalWrong):
        sell(ledger, "issue_quote", replace(command, items=(cheaper, *command.items[1:])))
    assert ledger.the(INQUIRY).quote_id == ""


@pytest.mark.parametrize(
    ("old", "new", "field"),
    [
        ('currency = "EUR"', "currency = [", ""),
        ('currency = "EUR"', "", "currency"),
        ('mark_up = "0.20"', "mark_up = 0.2", "mark_up"),
        ('mark_up = "0.20"', "markup = 1", "markup"),
        ("86400000", "-1", "installation_interval_ms"),
        ('non_recurring = "9"', "", "default"),
        ('non_recurring = "9"', 'non_recurring = "-9"', "default.non_recurring"),
        ('non_recurring = "9"', 'non_recurring = "1e3"', "default.non_recurring"),
        ('non_recurring = "9"', 'non_recurring = "0.0000000001"', "default.non_recurring"),
        ('non_recurring = "9"', 'non_recurring = "9999999999"', "default.non_recurring"),
        ('non_recurring = "9"', 'once = "9"', "default.once"),
        ('period = "month"', "", 'offering."line".period'),
        ('period = "month"', 'period = "fortnight"', 'offering."line".period'),
        ('period = "month"', 'period = "month"\nperiod_ms = 1', 'offering."line".period'),
        ("period_ms = 20000", "period_ms = 0", 'type."urn:test:port".period_ms'),
        ("period_ms = 20000", "period_ms = 2.5", 'type."urn:test:port".period_ms'),
        ('usage = { GB = "0.0005", burst = "0.01" }', "usage = 7", 'offering."line".usage'),
        ("[offering.line]", "[offering]\nline = 7\n[other]", "other"),
    ],
)
def test_invalid_books_are_refused_by_field(old, new, field):
    assert old in BOOK
    with pytest.raises(PriceBookWrong) as caught:
        parse(BOOK.replace(old, new, 1))
    assert caught.value.field == field


def test_a_book_in_no_currency_is_refused():
    with pytest.raises(CurrencyUnknown):
        parse(BOOK.replace("EUR", "EURO"))
