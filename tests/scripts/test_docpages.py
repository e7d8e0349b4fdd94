"""Generated pages: the committed ones are current, and no code of a refusal is lost, doubled or given another meaning."""

import shutil
from enum import StrEnum
from itertools import pairwise
from pathlib import Path

import pytest

from scripts import docpages
from scripts.docpages import errors, lifecycles
from scripts.docpages.layout import first_sentence, table
from smartcontracts.kernel import Kind, Rejected, Terms
from smartcontracts.membership import ORGANIZATION
from smartcontracts.proposal import PROPOSAL

ROOT = Path(__file__).resolve().parents[2]


def test_the_committed_pages_are_what_the_code_says():
    assert docpages.stale(ROOT) == [], "run scripts/generate-docs and commit what it writes"


def refusal(name, code, module="smartcontracts.membership"):
    return type(name, (Rejected,), {"code": code, "__module__": module})


KNOWN = [errors.Known(2001, "MEMBER_UNKNOWN", retired=False), errors.Known(2002, "OLD_RULE", retired=True)]


@pytest.mark.parametrize(
    ("classes", "says"),
    [
        ([], "has disappeared"),
        ([refusal("MemberGone", 2001)], "a code keeps its name"),
        ([refusal("MemberUnknown", 2001), refusal("NewRule", 2002)], "is retired"),
    ],
)
def test_a_code_is_never_lost_renamed_or_used_again(classes, says):
    (problem,) = errors.losses(classes, KNOWN)
    assert says in problem
    assert errors.losses([refusal("MemberUnknown", 2001)], KNOWN) == []


def test_two_classes_share_neither_code_nor_name():
    same_code = [refusal("A", 2001), refusal("B", 2001)]
    same_name = [refusal("A", 2001), refusal("A", 2002, "smartcontracts.omni")]
    assert len(errors.clashes(same_code)) == len(errors.clashes(same_name)) == 1
    two_doors = [refusal("A", 8001, "abci_app.queries"), refusal("A", 9001, "node.api")]
    assert errors.clashes(two_doors) == []
    assert errors.clashes([refusal("A", 9001, "node.api"), refusal("A", 9002, "node.x")]) != []


@pytest.mark.parametrize(
    ("code", "module", "fits"),
    [
        (2001, "smartcontracts.membership", True),
        (2100, "smartcontracts.membership", False),
        (2001, "smartcontracts.membership_old", False),
        (1001, "ledgers.refusals", True),
        (9001, "ledgers.client.errors", True),
        (1, "smartcontracts.membership", False),
    ],
)
def test_codes_stay_in_their_modules_range(code, module, fits):
    assert (errors.strays([refusal("A", code, module)]) == []) == fits


def test_ranges_do_not_overlap():
    ranges = sorted((first, last) for first, last, *_ in errors.RANGES)
    assert all(before[1] < after[0] for before, after in pairwise(ranges))


def test_writing_refuses_to_lose_a_code(tmp_path):
    for package in errors.PACKAGES:
        (tmp_path / package).mkdir()
    (tmp_path / "docs").mkdir()
    (tmp_path / errors.REGISTRY).write_text("2001 MEMBER_UNKNOWN\n", encoding="utf-8")
    assert any("has disappeared" in problem for problem in docpages.write(tmp_path))
    assert (tmp_path / errors.REGISTRY).read_text(encoding="utf-8") == "2001 MEMBER_UNKNOWN\n"
    assert not (tmp_path / "docs" / "errors.md").exists()


def test_a_page_that_was_changed_by_hand_is_found(tmp_path):
    for package in errors.PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            copy = tmp_path / path.relative_to(ROOT)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, copy)
    (tmp_path / "docs").mkdir()
    assert docpages.write(tmp_path) == []
    assert docpages.stale(tmp_path) == []
    page = tmp_path / "docs" / "parameters.md"
    page.write_text(page.read_text(encoding="utf-8").replace("500", "501", 1), encoding="utf-8")
    assert docpages.stale(tmp_path) == ["docs/parameters.md is not what the code says"]


def test_retired_codes_stay_on_the_page(tmp_path):
    for package in errors.PACKAGES:
        (tmp_path / package).mkdir()
    (tmp_path / "docs").mkdir()
    (tmp_path / errors.REGISTRY).write_text("2999 OLD_RULE retired\n", encoding="utf-8")
    assert "| 2999 | `OLD_RULE` |" in errors.page(tmp_path)
    assert "2999 OLD_RULE retired" in errors.registry_text(tmp_path)


def test_every_refusal_says_when_it_is_given():
    for found in errors.refusals(ROOT):
        assert first_sentence(found.__doc__), found
        assert found.__doc__ != Rejected.__doc__


def test_a_diagram_has_an_arrow_for_every_step_and_both_ends():
    lines = "\n".join(lifecycles.diagram(PROPOSAL))
    for arrow in ("[*] --> open", "open --> enacted: enact", "open --> open: accept", "lapsed --> [*]"):
        assert arrow in lines
    assert "[*] --> active" in "\n".join(lifecycles.diagram(ORGANIZATION))


class Round(StrEnum):
    A = "a"
    B = "b"


def test_a_lifecycle_that_only_goes_round_begins_with_the_tables_first_status():
    kind = Kind(
        name="round",
        prefix="rnd",
        record=errors.Known,
        terms=lambda _: Terms(),
        lifecycle={(Round.A, "go"): Round.B, (Round.B, "back"): Round.A},
    )
    assert lifecycles.first_statuses(kind) == [Round.A]
    assert lifecycles.last_statuses(kind) == []


def test_bars_in_cells_do_not_break_a_table():
    assert table(("a",), [("x|y",)])[2] == "| x\\|y |"


def test_citations_for_programmers_are_left_out_of_pages():
    assert first_sentence("It is so. DESIGN section 8.\n\nMore.") == "It is so."
