"""Amending the engine's source: one exact change, or a failure that says what to look at."""

import json
import stat

import pytest

from node.engine import binary, pin
from node.engine.amend import AMENDMENTS, write_amended
from node.engine.progress import BuildFailed

(AMENDMENT,) = AMENDMENTS


def unpacked(folder, text):
    """A module as the Go tool unpacks it: nobody may write."""
    file = folder / AMENDMENT.path
    file.parent.mkdir(parents=True)
    file.write_text(text)
    (folder / "go.mod").write_text("module example.org/engine\n")
    for path in (file, folder / "go.mod"):
        path.chmod(0o444)
    return folder


def pinned(folder):
    folder.mkdir()
    (folder / "go.mod").write_text("module ours\n")
    (folder / "go.sum").write_text("sums\n")
    return folder


def test_one_line_is_another_and_the_place_of_the_copy_is_relative(tmp_path):
    module = unpacked(tmp_path / "module", f"const (\n\tsize = 1\n\t{AMENDMENT.before} // note\n)\n")
    work = tmp_path / "work"
    write_amended(module, pinned(tmp_path / "pin"), "example.org/engine", work)
    changed = work / "engine" / AMENDMENT.path
    assert changed.read_text() == f"const (\n\tsize = 1\n\t{AMENDMENT.after} // note\n)\n"
    assert changed.stat().st_mode & stat.S_IWUSR
    assert (work / "engine" / "go.mod").read_text() == "module example.org/engine\n"
    assert (work / "go.mod").read_text() == "module ours\n\nreplace example.org/engine => ./engine\n"
    assert (work / "go.sum").read_text() == "sums\n"


@pytest.mark.parametrize("text", ["", AMENDMENT.after, f"{AMENDMENT.before}\n{AMENDMENT.before}\n"])
def test_invalid_source_that_has_not_exactly_this_line_is_not_compiled(tmp_path, text):
    module = unpacked(tmp_path / "module", text)
    with pytest.raises(BuildFailed, match=r"what to do: .*node/engine/amend\.py"):
        write_amended(module, pinned(tmp_path / "pin"), "example.org/engine", tmp_path / "work")


def test_the_engine_that_runs_says_what_was_amended():
    recorded = json.loads((binary().parent / "build.json").read_text())
    assert recorded["amendments"] == [{"path": AMENDMENT.path, "before": AMENDMENT.before, "after": AMENDMENT.after}]
    # The Go tool writes into an executable what it was made from.
    assert b"\tv0.40.0\n=>\t./engine\t(devel)\t\n" in binary().read_bytes()


def test_another_amendment_is_another_cache_entry(monkeypatch):
    before = pin.cache_key()
    monkeypatch.setattr(pin, "AMENDMENTS", ())
    assert pin.cache_key() != before
