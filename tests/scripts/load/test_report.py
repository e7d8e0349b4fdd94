"""The bench's report: targets are judged by their bound, and the table shows what was measured."""

from __future__ import annotations

import json
import math

import pytest

from scripts.load.__main__ import _plain
from scripts.load.report import FINALIZE, MAXIMUM, TARGETS, number, table, targets, text

LATENCY = {"transactions": 50, "rate": 400.0, "p50_ms": 90.0, "p99_ms": 300.0}
MEMORY = {"acme node": {"pss": 50 << 20, "private": 45 << 20}}
STAGES = {"decode": 10.0, "verify": 20.0, "execute": 100.0, "tree": 50.0, "store": 60.0}
TIMES = {
    "blocks": 3,
    "transactions": 900,
    "check_us": 120.0,
    "finalize_us": 240.0,
    "processor_us": 231.0,
    "merging_us": 57.0,
    "stages": STAGES,
}


def report(**changes):
    return {
        "machine": {"processors": 2, "processor": "P", "memory_bytes": 24 << 30, "kernel": "6", "load_before": 0.1},
        "clients": 200,
        "seconds": 8.0,
        "ready_s": 9.5,
        "idle": {"latency": LATENCY, "memory": MEMORY, "cores": {"node": 0.1}},
        "maximum": {
            "latency": {**LATENCY, "rate": 600.0},
            "rates_by_quarter": [700.0, 650.0, 550.0, math.nan],
            "cost": {"ms_a_transaction": {"node": 1.5}, "cores": {"node": 0.5}, "others_cores": 0.25},
            "transactions_a_block": 120.0,
            "sizes": {"submit_inquiry": 7_500},
            "disk": {"engine": 9_000.0},
            "memory": MEMORY,
        },
        "tenth": LATENCY,
        "most": LATENCY,
        "kvstore": {"rate": 2_000.0, "transactions": 9_000, "cores": {"engine": 1.5}},
        "replay": {"checked": TIMES, "unseen": TIMES},
        **changes,
    }


def test_a_bound_itself_is_reached():
    assert FINALIZE.reached(250)
    assert not FINALIZE.reached(250.1)
    assert MAXIMUM.reached(500)
    assert not MAXIMUM.reached(499.9)


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.what)
def test_what_was_not_measured_reaches_nothing(target):
    assert not target.reached(math.nan)
    assert target.row(math.nan)[-1] == "not measured"


def test_every_target_is_judged_by_its_own_figure():
    verdicts = {row[0]: (row[1], row[3]) for row in targets(report())}
    assert list(verdicts.values()) == [
        ("240 us", "reached"),
        ("600 tx/s", "reached"),
        ("600 tx/s", "NOT reached"),
        ("30.0 %", "reached"),
        ("90.0 ms", "reached"),
        ("300 ms", "NOT reached"),
    ]


def test_the_text_has_every_load_stage_process_and_size():
    shown = text(report())
    for words in ("10 % of maximum", "80 % of maximum", "kvstore, maximum", *STAGES, "acme node", "submit_inquiry", "other programs", "700, 650, 550, - tx/s"):
        assert words in shown


def test_a_load_that_could_not_be_kept_up_is_left_out():
    assert "80 % of maximum" not in text(report(most=None))


@pytest.mark.parametrize(
    ("value", "shown"), [(1234.4, "1,234 x"), (12.34, "12.3 x"), (1.234, "1.23 x"), (math.nan, "-")]
)
def test_numbers_have_three_digits_or_so(value, shown):
    assert number(value, "x") == shown


def test_columns_are_as_wide_as_their_widest_cell():
    assert table(("a", "bbb"), [("long", "1")]) == "a     bbb\n---------\nlong    1"


def test_the_json_has_no_nan():
    plain = _plain(report(tenth={"p50_ms": math.nan}))
    read = json.loads(json.dumps(plain, allow_nan=False))
    assert read["tenth"] == {"p50_ms": None}
    assert read["maximum"]["rates_by_quarter"] == [700.0, 650.0, 550.0, None]
