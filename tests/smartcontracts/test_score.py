"""Score: the register's vectors, the window, and an exact reference that agrees everywhere."""

import re
from fractions import Fraction
from math import floor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smartcontracts import score as s
from smartcontracts.codec import decode, encode

TENTHS = st.integers(0, s.TENTHS_MAX)
UNIT_MS = 1_000
# Records oldest first, window by duration, tenths, text. Register section 10.
VECTORS = [
    ((50, 70, 90), 3, 77, "7.7:3"),
    ((50, 70, 90), 2, 83, "8.3:2"),
    ((0, 99), 2, 66, "6.6:2"),
    ((99, 0), 2, 33, "3.3:2"),
    ((99,) * 5, 5, 99, "9.9:5"),
    ((80, 90, 99, 99), 4, 95, "9.5:4"),
    ((99, 99, 90, 0), 4, 57, "5.7:4"),
    ((0, *(90,) * 60), 60, 90, "9.0:60"),
    ((*(99,) * 59, 0), 60, 96, "9.6:60"),
]


def after(records, lasted_ms, unit_ms=UNIT_MS):
    """The score after records of an instance that has lasted `lasted_ms`."""
    score = s.without_records("sg_1", "org_seller", "org_buyer", "epl")
    for tenths in records:
        score = s.with_record(score, tenths, lasted_ms, unit_ms)
    return score


def reference(records):
    """The average by its definition, with exact fractions: weights n for the newest down to 1. Half up at the end."""
    n = len(records)
    newest_first = records[::-1]
    average = sum(Fraction(n - i) * newest_first[i] for i in range(n)) / sum(range(1, n + 1))
    return floor(average + Fraction(1, 2))


@pytest.mark.req("R-05", "R-08")
@pytest.mark.parametrize(("records", "n", "tenths", "text"), VECTORS)
def test_the_registers_vectors_hold(records, n, tenths, text):
    score = after(records, n * UNIT_MS)
    assert (score.tenths, score.text) == (tenths, text)


@pytest.mark.req("R-07")
def test_newer_records_weigh_more():
    assert after((0, 99), 2 * UNIT_MS).tenths == 66
    assert after((99, 0), 2 * UNIT_MS).tenths == 33


@pytest.mark.req("R-09", "R-11")
@pytest.mark.parametrize("lasted_ms", [60_000, 60_100, 60_900])
def test_the_window_is_the_longest_instance_in_whole_units(lasted_ms):
    score = after((0, *(90,) * 60), lasted_ms)
    assert (score.longest_units, score.count, score.text) == (60, 60, "9.0:60")


@pytest.mark.req("R-09")
def test_one_unit_more_takes_one_older_record_in():
    assert after((0, 90, 90), 2_999).text == "9.0:2"
    assert after((0, 90, 90), 3_000).text == "7.5:3"


@pytest.mark.req("R-10", "R-12")
def test_with_fewer_records_than_units_all_records_count():
    score = after((50, 70, 90), 60 * UNIT_MS)
    assert (score.count, score.text) == (3, "7.7:3")


def test_an_instance_shorter_than_a_unit_counts_with_its_one_record():
    score = after((50, 99), UNIT_MS - 1)
    assert (score.longest_units, score.count, score.text) == (0, 1, "9.9:1")


def test_the_longest_instance_to_date_counts_and_not_the_last_one():
    score = s.with_record(after((50, 70), 3 * UNIT_MS), 90, 2 * UNIT_MS, UNIT_MS)
    assert (score.longest_ms, score.count, score.tenths) == (3 * UNIT_MS, 3, 77)


def test_when_the_window_grows_older_records_count_again():
    score = s.with_record(after((50, 70), UNIT_MS), 90, 3 * UNIT_MS, UNIT_MS)
    assert (score.count, score.tenths) == (3, 77)


def test_another_measurement_unit_counts_the_same_duration_anew():
    score = s.with_record(after((50, 70), 4 * UNIT_MS), 90, 0, 2 * UNIT_MS)
    assert (score.longest_units, score.measurement_unit_ms, score.count) == (2, 2 * UNIT_MS, 2)


def test_the_window_has_a_cap_and_the_document_a_bound():
    records = [0] * 5 + [90] * s.WINDOW_MAX
    score = after(records, 10 * s.WINDOW_MAX * UNIT_MS)
    assert (len(score.window), score.count, score.records) == (s.WINDOW_MAX, s.WINDOW_MAX, len(records))
    assert score.text == f"9.0:{s.WINDOW_MAX}"
    assert decode(s.Score, encode(score)) == score


@pytest.mark.req("R-05")
@given(st.lists(TENTHS, min_size=1, max_size=80))
def test_the_average_agrees_with_an_exact_reference(records):
    assert s.weighted_tenths(records) == reference(records)


@pytest.mark.req("R-05", "R-09", "R-10")
@given(st.lists(st.tuples(TENTHS, st.integers(0, 20 * UNIT_MS)), min_size=1, max_size=40))
def test_each_append_gives_what_the_whole_history_gives(history):
    score = s.without_records("sg_1", "org_seller", "org_buyer", "epl")
    for tenths, lasted_ms in history:
        score = s.with_record(score, tenths, lasted_ms, UNIT_MS)
    longest = max(lasted_ms for _, lasted_ms in history) // UNIT_MS
    n = min(max(longest, 1), len(history))
    assert (score.count, score.tenths) == (n, reference([tenths for tenths, _ in history][-n:]))


@pytest.mark.req("R-04")
@given(st.lists(TENTHS, min_size=1, max_size=200))
def test_a_score_stays_between_its_worst_and_best_record(records):
    assert 0 <= min(records) <= s.weighted_tenths(records) <= max(records) <= 99


@pytest.mark.req("R-20")
@given(st.lists(TENTHS, min_size=1, max_size=30), st.integers(0, 40 * UNIT_MS))
def test_the_text_is_one_digit_point_one_digit_colon_count(records, lasted_ms):
    score = after(records, lasted_ms)
    assert re.fullmatch(r"[0-9]\.[0-9]:[1-9][0-9]*", score.text)
    assert score.text.split(":") == [f"{score.tenths // 10}.{score.tenths % 10}", str(score.count)]


@pytest.mark.req("R-20", "R-21")
@pytest.mark.parametrize(
    ("tenths", "count", "text"), [(89, 132, "8.9:132"), (0, 1, "0.0:1"), (99, 5, "9.9:5"), (5, 10, "0.5:10")]
)
def test_a_score_is_published_with_its_count(tenths, count, text):
    assert s.score_text(tenths, count) == text


def test_scores_of_sellers_offerings_and_ledgers_differ_in_id():
    ids = {s.score_id(*parts) for parts in [("l", "s", "o"), ("l2", "s", "o"), ("l", "s2", "o"), ("l", "s", "o2")]}
    assert len(ids) == 4
