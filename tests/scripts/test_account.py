"""The account at the end of a test run says what was really shown, also when two workers share the tests."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

CONFTEST = Path(__file__).parents[1] / "conftest.py"
SETTINGS = "[pytest]\nmarkers =\n    req\n    golden\n    network\n    soak\n"
TESTS = """
import pytest

@pytest.mark.req("A-1", "A-2")
def test_one(): pass

@pytest.mark.req("A-1")
@pytest.mark.golden
def test_two(): pass

@pytest.mark.req("B-1")
def test_three(): pass

@pytest.mark.req("B-1")
def test_four(): assert False

@pytest.mark.req("C-1")
def test_five(): pytest.skip("no file")

@pytest.mark.req("D-1")
@pytest.mark.xfail(reason="known")
def test_six(): assert False

@pytest.mark.req("E-1")
@pytest.mark.soak
def test_seven(): pass

@pytest.mark.req("F-1")
def test_eight(broken): pass

@pytest.fixture
def broken():
    yield
    raise ValueError

@pytest.mark.req("G-1")
@pytest.mark.parametrize("n", [1, 2])
def test_nine(n): assert n == 1

@pytest.mark.network
def test_ten(worker): pass

@pytest.mark.network
def test_eleven(worker): pass

@pytest.fixture
def worker(request, record_property):
    import os
    print("network on", os.environ.get("PYTEST_XDIST_WORKER", "main"))
"""


@pytest.fixture
def run(tmp_path):
    """Run a small suite of its own under the project's conftest."""

    def run(text, *options, ci=False):
        shutil.copy(CONFTEST, tmp_path / "conftest.py")
        (tmp_path / "pytest.ini").write_text(SETTINGS)
        (tmp_path / "test_sample.py").write_text(text)
        env = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "CI"))}
        env["CI"] = "true" if ci else "false"
        command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *options]
        done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout

    return run


@pytest.mark.parametrize("workers", ["0", "2"])
def test_only_requirements_whose_every_test_passed_are_shown(run, workers):
    code, out = run(TESTS, "-n", workers)
    assert code == 1
    assert "golden tests that ran and passed: 1 of 1" in out
    assert "requirements whose marked tests ran and passed (2): A-1 A-2\n" in out
    assert "marked, but a test failed or was skipped (5): B-1 C-1 D-1 F-1 G-1\n" in out


def test_soak_tests_run_when_asked_only(run):
    assert "1 deselected" in run(TESTS)[1]
    code, out = run(TESTS, "--soak")
    assert code == 1
    assert "(3): A-1 A-2 E-1\n" in out


def test_tests_with_engines_share_one_worker(run):
    out = run(TESTS, "-n", "2", "--dist=loadgroup", "-rP", "-k", "ten or eleven")[1]
    places = {line for line in out.splitlines() if line.startswith("network on")}
    assert len(places) == 1
    assert out.count("network on") == 2


SKIPS = """
import pytest
@pytest.mark.golden
def test_golden(): pytest.skip("no file")
"""
SKIPS_IN_A_FIXTURE = """
import pytest
@pytest.fixture
def file(): pytest.skip("no file")
@pytest.mark.golden
def test_golden(file): pass
"""
SKIPS_AS_A_WHOLE = """
import pytest
pytest.skip("no file", allow_module_level=True)
"""


@pytest.mark.parametrize("text", [SKIPS, SKIPS_IN_A_FIXTURE, SKIPS_AS_A_WHOLE])
def test_a_golden_test_that_skips_fails_in_ci_only(run, text):
    assert run(text)[0] in {0, 5}  # 5: nothing was collected
    code, out = run(text, ci=True)
    assert code in {1, 2}
    assert "may not skip with CI=true" in out


def test_an_ordinary_test_may_skip_in_ci(run):
    assert run("import pytest\ndef test_other(): pytest.skip('not here')", ci=True)[0] == 0
