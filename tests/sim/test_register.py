"""The register's rows as the simulation counts them: what they name is there, and a row that is missed is told."""

from __future__ import annotations

from collections import Counter
from dataclasses import fields
from types import SimpleNamespace

import pytest

from ledgers.kinds import BILATERAL, INTERNAL, contract_table
from scripts.simulation.coverage import Coverage, all_kinds, all_refusals, all_steps
from scripts.simulation.mischief import _field_of
from scripts.simulation.register import CLOCK, FAULTS, ROWS, marks_of

MESSAGES = {**contract_table(INTERNAL, 1).messages, **contract_table(BILATERAL, 1).messages}
KINDS = {kind.name: kind for kind in all_kinds()}


def test_every_table_has_its_rows():
    assert Counter(row.table for row in ROWS if not row.later) == {
        "11.1": 13,
        "11.2": 6,
        "11.3": 17,
        "11.4": 11,
        "11.5": 6,
    }
    assert [row.end for row in ROWS if row.later == FAULTS] == [
        "OUT_OF_OPERATION",
        "IN_OPERATION",
        "TERMINATED",
        "DEGRADED",
        "DOWNTIME_AGREED",
    ]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_what_a_row_names_is_there(row):
    assert set(row.steps) <= set(all_steps())
    for kind, status in row.made:
        assert status in {str(one) for one in KINDS[kind].lifecycle.values()} | {
            str(one) for one, _ in KINDS[kind].lifecycle
        }
    for act in row.acts:
        command = MESSAGES[act.message].command
        assert not act.kind or _field_of(command, act.kind), "nothing says which document it is about"
    assert set(row.codes) <= set(all_refusals().values())
    assert row.later or row.steps or row.made or row.marks
    assert row.later or row.can_be_refused or row.clock


def test_a_row_counts_its_steps_and_what_was_refused_elsewhere():
    row = next(one for one in ROWS if one.name.startswith("11.2 ISSUED -> ORDERED"))
    coverage = Coverage()
    assert row.name in coverage.rows_missing()
    assert row.missing(coverage) == ("quote: issued --order",)
    coverage.taken["quote", "issued", "order"] = 2
    coverage.refused_acts["quote", "issued", "place_order"] = 7
    assert (row.taken(coverage), row.refused(coverage)) == (2, 0)
    assert row.name in coverage.rows_missing()
    coverage.refused_acts["quote", "expired", "place_order"] = 3
    assert row.name not in coverage.rows_missing()
    assert row.line(coverage).endswith("taken 2, refused 3")
    assert row.report(coverage)["missing"] == []


def test_what_the_clock_takes_needs_no_refusal():
    row = next(one for one in ROWS if one.clock == CLOCK)
    coverage = Coverage()
    coverage.taken.update(row.steps)
    assert row.name not in coverage.rows_missing()
    assert row.line(coverage).endswith(CLOCK)


def test_notes_are_counted_where_no_step_was_taken():
    kind, coverage = KINDS["order_handover"], Coverage()
    before = SimpleNamespace(status=next(status for status, event in kind.lifecycle if event == "note"))
    coverage.wrote(kind, before, before, stepped=False)
    coverage.wrote(kind, before, before, stepped=True)
    coverage.wrote(kind, None, before, stepped=False)
    assert coverage.taken == {("order_handover", before.status, "note"): 1}
    assert coverage.made == {("order_handover", before.status): 1}


def test_marks_are_what_documents_say():
    ranking = SimpleNamespace(preferred_quote_id="quo_1")
    chosen = SimpleNamespace(received_quote_id="rqu_1")
    assessment = SimpleNamespace(choices=(chosen,), received_quote_ids=("rqu_1", "rqu_2"))
    assert marks_of("ranking", None, ranking) == {"preferred": 1}
    assert marks_of("assessment", None, assessment) == {"unused": 1}
    assert marks_of("order", None, SimpleNamespace()) == {}


def test_coverages_add_up_field_by_field():
    one, other = Coverage(), Coverage()
    for spec in fields(Coverage):
        getattr(other, spec.name)["x"] = 2
    one.add(other)
    one.add(other)
    assert all(getattr(one, spec.name)["x"] == 4 for spec in fields(Coverage))
