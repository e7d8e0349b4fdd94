"""Prices in files: what an entry costs, how bandwidth counts, and which mistakes are refused where."""

from __future__ import annotations

import tomllib
from fractions import Fraction

import pytest

from node.pricebook import PriceBookWrong, bandwidth_mbps, prices, read_entry
from node.sonata import QuoteContext, inquiry_from_quote_request
from smartcontracts.agreement import PriceType
from smartcontracts.canonical_json import load
from smartcontracts.money import Rate
from smartcontracts.trade import LABEL_MS, PeriodLabel
from tests.node.sonata_samples import sample
from tests.smartcontracts.support import org
from tests.smartcontracts.trading import AGREEMENT_ID, LINE, SELLER, TERMS

LINE_ENTRY = """
non_recurring = "100"
recurring = "20.50"
per_mbps = "0.75"
period = "month"
usage = { GB = "0.0005", burst = "0.01" }
"""
PORT_ENTRY = 'recurring = "3"\nperiod_ms = 20000'


def entry(text):
    return read_entry(tomllib.loads(text), "line")


def test_an_entry_gives_a_price_for_each_of_its_keys_and_bandwidth_is_one_of_its_own():
    found = prices(entry(LINE_ENTRY), "EUR", load(LINE.product, "product"))
    assert [(price.price_type, price.rate.nano, price.name) for price in found] == [
        (PriceType.NON_RECURRING, 100 * 10**9, "installation"),
        (PriceType.RECURRING, 20_500_000_000, "subscription"),
        (PriceType.RECURRING, 70 * 750_000_000, "bandwidth"),
        (PriceType.USAGE_BASED, 500_000, "usage"),
        (PriceType.USAGE_BASED, 10_000_000, "usage"),
    ]
    assert {price.period_ms for price in found if price.period_ms} == {LABEL_MS[PeriodLabel.MONTH]}
    (own,) = prices(entry(PORT_ENTRY), "EUR", None)
    assert (own.rate, own.period_ms, own.period_label) == (Rate(3 * 10**9, "EUR"), 20_000, PeriodLabel.NONE)


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
    context = QuoteContext(seller=org(SELLER), agreement_id=AGREEMENT_ID, agreement_name=TERMS.name)
    data = sample("uc04-quote-new-epl.json")
    found = []
    for changed in (data, data.replace(b'"irValue": 70', b'"irValue": 71', 2)):
        item = inquiry_from_quote_request(changed, context, b"1" * 32).command.items[0]
        product = load(item.product, "product")
        found.append([price.rate.nano for price in prices(entry(LINE_ENTRY), "EUR", product)])
    assert found[0] != found[1]
    assert found[0][2] == 140 * 750_000_000


def test_a_price_beyond_the_ledgers_bound_is_refused():
    product = load(b'{"cir":{"irValue":999999999,"irUnits":"TBPS"}}', "product")
    with pytest.raises(PriceBookWrong) as caught:
        prices(entry(LINE_ENTRY), "EUR", product)
    assert caught.value.field == "bandwidth"


@pytest.mark.parametrize(
    ("text", "old", "new", "field"),
    [
        (LINE_ENTRY, '"100"', '"-9"', "line.non_recurring"),
        (LINE_ENTRY, '"100"', '"1e3"', "line.non_recurring"),
        (LINE_ENTRY, '"100"', '"0.0000000001"', "line.non_recurring"),
        (LINE_ENTRY, '"100"', '"9999999999"', "line.non_recurring"),
        (LINE_ENTRY, '"100"', "100", "line.non_recurring"),
        (LINE_ENTRY, "non_recurring", "once", "line.once"),
        (LINE_ENTRY, 'period = "month"', "", "line.period"),
        (LINE_ENTRY, 'period = "month"', 'period = "fortnight"', "line.period"),
        (LINE_ENTRY, 'period = "month"', 'period = "month"\nperiod_ms = 1', "line.period"),
        (LINE_ENTRY, '{ GB = "0.0005", burst = "0.01" }', "7", "line.usage"),
        (PORT_ENTRY, "period_ms = 20000", "period_ms = 0", "line.period_ms"),
        (PORT_ENTRY, "period_ms = 20000", "period_ms = 2.5", "line.period_ms"),
        (PORT_ENTRY, PORT_ENTRY, "", "line"),
    ],
)
def test_invalid_entries_are_refused_by_field(text, old, new, field):
    assert old in text
    with pytest.raises(PriceBookWrong) as caught:
        entry(text.replace(old, new, 1))
    assert caught.value.field == field


def test_what_is_no_table_is_refused():
    with pytest.raises(PriceBookWrong) as caught:
        read_entry(7, "line")
    assert caught.value.field == "line"
