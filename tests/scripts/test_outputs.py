"""A recipe that could not write its report says so before it has run for minutes."""

from __future__ import annotations

import pytest

from scripts.load.arguments import arguments as bench
from scripts.simulation.arguments import arguments as simulate
from scripts.story.arguments import arguments as demo

RECIPES = [
    (demo, "--report", "report"),
    (bench, "--json", "json"),
    (bench, "--profile", "profile"),
    (simulate, "--json", "json"),
]


@pytest.mark.parametrize(("arguments", "option", "name"), RECIPES)
def test_a_report_that_nobody_could_write_is_refused_before_anything_runs(arguments, option, name, tmp_path, capsys):
    for path in (tmp_path / "none" / "report.json", tmp_path):
        with pytest.raises(SystemExit) as ended:
            arguments([option, str(path)])
        assert ended.value.code == 2
        assert f"{option}: no file can be written at {path}" in capsys.readouterr().err
    (tmp_path / "old.json").write_text("old")
    for path in (tmp_path / "report.json", tmp_path / "old.json"):
        assert getattr(arguments([option, str(path)]), name) == path
    assert (tmp_path / "old.json").read_text() == "old"


def test_the_simulation_writes_to_standard_output_without_a_file():
    assert str(simulate(["--json"]).json) == "-"
