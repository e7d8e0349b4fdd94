"""What the story prints and reports."""

from __future__ import annotations

import json

import pytest

from scripts.story.arguments import arguments
from scripts.story.report import FORMAT, SECTIONS, report, write_report
from scripts.story.telling import StepFailed, Teller, money, plural, rate, require
from scripts.story.terms import agreement_terms, tier_terms
from smartcontracts.agreement import PriceType
from smartcontracts.money import Money, Rate


@pytest.mark.parametrize(
    ("minor", "currency", "text"),
    [(123_450, "EUR", "1,234.50 EUR"), (-5, "EUR", "-0.05 EUR"), (7, "JPY", "7 JPY"), (1_234, "BHD", "1.234 BHD")],
)
def test_money_is_shown_with_the_currencys_digits(minor, currency, text):
    assert money(Money(minor, currency)) == text


@pytest.mark.parametrize(("nano", "text"), [(500_000, "0.0005"), (98_400_000_000, "98.40"), (10**12, "1,000.00"), (1, "0.000000001")])
def test_rates_are_shown_exactly(nano, text):
    assert rate(Rate(nano, "EUR")) == text


def test_words_are_counted():
    assert (plural(1, "item"), plural(0, "item"), plural(9, "item")) == ("1 item", "0 items", "9 items")


async def test_a_step_is_one_line_with_who_ledger_height_amount_and_duration(capsys):
    teller = Teller()
    async with teller.scene("An act"):
        teller.tell("pays", who="acme", ledger="acme-alpha", height=7, amount=Money(100, "EUR"), ms=12)
    heading, line = capsys.readouterr().out.splitlines()[1:]
    assert heading == "An act"
    assert line.split() == ["0.0", "s", "acme", "acme-alpha", "h", "7", "1.00", "EUR", "12", "ms", "pays"]


def test_tables_align_figures_to_the_right(capsys):
    Teller().table(("item", "amount"), [("a", "1.00"), ("longer", "100.00")])
    assert capsys.readouterr().out.splitlines() == [
        "        item    amount",
        "        a         1.00",
        "        longer  100.00",
    ]


def test_a_step_that_does_not_hold_says_what_was_expected_found_and_to_do():
    with pytest.raises(StepFailed) as failed:
        require([], "an invoice", "none", "look at the log")
    assert (failed.value.expected, failed.value.found, failed.value.advice) == ("an invoice", "none", "look at the log")
    require([1], "an invoice", "none")


async def test_the_report_has_every_section_also_after_a_failure(tmp_path):
    teller = Teller(quiet=True)
    async with teller.scene("An act"):
        teller.tell("pays", who="acme", amount=Money(100, "EUR"), signer="o/m", transaction_id="00")
        teller.note("payments", {"id": "pay_1"})
    write_report(tmp_path / "report.json", report(teller, {"ledgers": {}}, "it broke"))
    read = json.loads((tmp_path / "report.json").read_text())
    assert (read["format"], read["held"], read["failure"]) == (FORMAT, False, "it broke")
    assert read["payments"] == [{"id": "pay_1"}]
    assert all(isinstance(read[section], list) for section in SECTIONS)
    (step,) = read["steps"]
    assert step["amount"] == {"currency": "EUR", "minor": 100}
    assert (step["act"], step["who"], step["signer"], step["text"]) == ("An act", "acme", "o/m", "pays")
    assert list(tmp_path.iterdir()) == [tmp_path / "report.json"]


def test_an_agreement_has_price_terms_and_targets_for_both_directions():
    terms = agreement_terms("x", ("a", "b"))
    assert [(term.seller, term.price_type) for term in terms.price_terms] == [
        ("a", PriceType.USAGE_BASED),
        ("b", PriceType.USAGE_BASED),
    ]
    assert [target.seller for target in terms.sla_targets] == ["a", "b"]
    assert min(terms.response_window_min_ms, terms.billing_period_ms, terms.payment_due_ms) >= 20_000


def test_terms_for_tiers_leave_each_tier_a_window_and_say_what_delay_and_cancelling_cost():
    terms = tier_terms("x", ("a", "b"))
    assert terms.response_window_min_ms < agreement_terms("x", ("a", "b")).response_window_min_ms
    assert [penalty.seller for penalty in terms.delay_penalties] == ["a", "b"]
    assert terms.cancellation_window_ms > 0 < terms.cancellation_fee_minor


def test_help_says_what_a_file_is(capsys):
    with pytest.raises(SystemExit) as ended:
        arguments(["--help"])
    assert ended.value.code == 0
    assert "LSO Sonata" in capsys.readouterr().out
