"""The bench's arithmetic: percentiles are values that occurred, and a rate counts whole blocks."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scripts.load.figures import Committed, Sample, blocks_of, committed_rate, percentile, rates_by_quarter, sent_within


def sample(height, received_at, sent_at=0.0):
    return Sample(act="quote", sent_at=sent_at, received_at=received_at, height=height, bytes=1)


@pytest.mark.parametrize(
    ("percent", "found"), [(0, 1), (1, 1), (50, 2), (51, 3), (75, 3), (99, 4), (100, 4)]
)
def test_a_percentile_is_the_smallest_value_that_so_many_do_not_exceed(percent, found):
    assert percentile([3, 1, 4, 2], percent) == found


@given(st.lists(st.integers(), min_size=1), st.integers(1, 100))
def test_a_percentile_is_one_of_the_values_and_enough_do_not_exceed_it(values, percent):
    found = percentile(values, percent)
    assert found in values
    assert sum(value <= found for value in values) * 100 >= percent * len(values)


def test_of_nothing_there_is_no_percentile():
    assert math.isnan(percentile([], 50))


def test_latency_is_in_milliseconds():
    assert sample(1, received_at=2.5, sent_at=2.0).latency_ms == 500


def test_blocks_are_known_from_their_first_receipt():
    found = blocks_of([sample(8, 2.0), sample(7, 1.5), sample(7, 1.0), sample(8, 2.5), sample(8, 3.0)])
    assert found == [Committed(known_at=1.0, transactions=2), Committed(known_at=2.0, transactions=3)]


def test_a_rate_counts_from_block_to_block_and_not_the_first():
    blocks = [Committed(known_at=at, transactions=n) for at, n in ((10.0, 999), (11.0, 100), (12.0, 200))]
    assert committed_rate(blocks) == 150


@pytest.mark.parametrize("count", [0, 1, 2])
def test_of_two_blocks_there_is_no_rate(count):
    blocks = [Committed(known_at=float(n), transactions=1) for n in range(count)]
    assert math.isnan(committed_rate(blocks))


def test_what_was_sent_in_time_counts_whenever_it_was_answered():
    early, late, after = sample(1, 9.0, sent_at=1.0), sample(1, 90.0, sent_at=1.9), sample(1, 3.0, sent_at=2.0)
    assert sent_within([early, late, after], 1.0, 2.0) == [early, late]


def test_quarters_show_a_rate_that_falls():
    at, blocks = 0.0, []
    for number in range(16):
        at += 1 + number // 4
        blocks.append(Committed(known_at=at, transactions=100))
    rates = rates_by_quarter(blocks)
    assert len(rates) == 4
    assert list(rates) == sorted(rates, reverse=True)
    assert rates[0] > 2 * rates[3]


def test_of_too_few_blocks_there_are_no_quarters():
    assert all(math.isnan(rate) for rate in rates_by_quarter([Committed(known_at=1.0, transactions=1)] * 7))
