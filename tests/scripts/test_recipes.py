"""Every recipe explains itself, and refuses what it does not know, without setting anything up."""

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parents[2] / "scripts"
RECIPES = sorted(path.name for path in SCRIPTS.iterdir() if path.is_file() and not path.suffix)


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_has_help_and_can_be_executed(name):
    done = subprocess.run([SCRIPTS / name, "--help"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert f"usage: scripts/{name}" in done.stdout
    assert "setting up" not in done.stderr


def test_an_unknown_step_is_refused_by_name():
    done = subprocess.run([SCRIPTS / "test", "--only", "lnit"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "no such step: lnit" in done.stderr


def test_another_python_hands_over_or_says_what_is_needed(tmp_path):
    program = f"""
import sys; sys.version_info = (3, 9, 0); sys.path.insert(0, {str(SCRIPTS.parent)!r})
from scripts import _bootstrap
_bootstrap._need_python()
"""
    done = subprocess.run(
        [sys.executable, "-c", program], env={"PATH": str(tmp_path)}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "Python 3.11 is needed and no python3.11 is on PATH" in done.stderr
