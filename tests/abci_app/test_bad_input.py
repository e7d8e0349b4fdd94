"""The table of bad input names tests and codes that exist, and leaves out nothing that the contracts' test tries."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.abci_app import test_contract_refusals as bilateral
from tests.abci_app import test_internal_refusals as internal

ROOT = Path(__file__).parents[2]
TABLE = (ROOT / "docs/measurements/bad-input.md").read_text(encoding="utf-8")
# The tests that take their cases from a table.
TABLED = {
    "`test_contract_refusals.py::test_invalid`": bilateral.REFUSALS,
    "`test_internal_refusals.py::test_invalid`": internal.REFUSALS,
}
ROWS = [[cell.strip() for cell in line.split("|")[1:-1]] for line in TABLE.splitlines() if line.startswith("| ")][1:]


def test_every_test_of_the_table_exists_and_compares_the_root():
    assert len(ROWS) > 80
    for _, _, test in ROWS:
        file, name = test.strip("`").split("::")
        here = "/" not in file
        text = (ROOT / ("tests/abci_app" if here else "tests") / file).read_text(encoding="utf-8")
        body = re.search(rf"^(?:async )?def {name}\(.*?(?=^\S|\Z)", text, re.MULTILINE | re.DOTALL)
        assert body, f"there is no {name} in {file}"
        compares = ("refuse_everywhere(", "refuse_in_block(", "unchanged(", "nothing_left(", ".refuse(", "accepts(")
        # An audit only reads.
        assert any(each in body.group() for each in compares) or not here, name


def test_every_code_of_the_table_has_its_name():
    known = dict(line.split()[:2] for line in (ROOT / "docs/error-codes.txt").read_text().splitlines()[1:] if line)
    found = [code for _, codes, _ in ROWS for code in re.findall(r"(\d{4}) ([A-Z_]+)", codes)]
    assert len(found) > 90
    for number, name in found:
        assert known[number] == name


@pytest.mark.parametrize("test", TABLED)
def test_what_the_contracts_refuse_in_the_table_is_what_is_tried(test):
    tried = {str(refusal.code) for *_, refusal in TABLED[test].values()}
    listed = {n for _, codes, name in ROWS if name == test for n in re.findall(r"\d{4}", codes)}
    assert listed == tried
