"""Generates the message classes: `syngraph.v1` from `proto/`, `tendermint` and `gogoproto` from the pinned engine's schemas.

They go to `proto/gen/`, which is never committed. Files whose text is unchanged keep their place and time, so that running
processes and type checkers are not disturbed.

Needs grpcio-tools and mypy-protobuf: build requirements, and part of the extra `dev`.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Final

from node.engine import pin
from node.engine.progress import BuildFailed, report

if TYPE_CHECKING:
    from collections.abc import Iterable

GENERATED_PACKAGES: Final = ("gogoproto", "syngraph", "tendermint")

_STAMP: Final = ".inputs.sha256"
_TOOLS: Final = ("grpcio-tools", "mypy-protobuf", "protobuf")
_HAS_SERVICE: Final = re.compile(r"^service\s", re.MULTILINE)


def generate(root: Path, *, force: bool = False) -> Path:
    """Bring `root/proto/gen` up to date with the schemas and return it.

    `root` is the checkout's folder. Raises `BuildFailed` when a schema is wrong or the engine's are not in the cache.
    """
    ours, theirs, target = root / "proto", pin.cache_entry() / "proto", root / "proto" / "gen"
    if not theirs.is_dir():
        advice = "`scripts/test --setup` (or `pip install -e .`) builds the engine, which brings them"
        raise BuildFailed("generate the message classes", f"no engine schemas at {theirs}", advice)
    names = {ours: _names(ours, "syngraph"), theirs: [*_names(theirs, "tendermint"), *_names(theirs, "gogoproto")]}
    stamp = _inputs(names)
    marker = target / _STAMP
    if not force and marker.is_file() and marker.read_text() == stamp:
        report("  message classes: up to date")
        return target
    with tempfile.TemporaryDirectory() as work:
        staged = Path(work)
        _protoc(names, staged)
        _make_packages(staged)
        changed = _replace(staged, target)
    marker.write_text(stamp)
    report(f"  message classes: {sum(map(len, names.values()))} schemas, {changed} files changed in {target}")
    return target


def _names(folder: Path, package: str) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in (folder / package).rglob("*.proto"))


def _inputs(names: dict[Path, list[str]]) -> str:
    """A hash over everything that the generated text depends on."""
    digest = hashlib.sha256(Path(__file__).read_bytes())
    digest.update(" ".join(f"{tool}={version(tool)}" for tool in _TOOLS).encode())
    for folder, files in names.items():
        for name in files:
            content = (folder / name).read_bytes()
            digest.update(f"\0{name}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()


def _protoc(names: dict[Path, list[str]], staged: Path) -> None:
    includes = [f"-I{folder}" for folder in names]
    files = [name for found in names.values() for name in found]
    _run_protoc([*includes, f"--python_out={staged}", f"--pyi_out={staged}", *files])
    ours = next(iter(names))
    services = [name for name in names[ours] if _HAS_SERVICE.search((ours / name).read_text(encoding="utf-8"))]
    if services:
        plugin = f"--plugin=protoc-gen-mypy_grpc={_stub_plugin()}"
        _run_protoc([*includes, plugin, f"--grpc_python_out={staged}", f"--mypy_grpc_out={staged}", *services])


def _run_protoc(arguments: Iterable[str]) -> None:
    # A process of its own: protoc's files are opened relative to it, and it may end the interpreter.
    command = [sys.executable, "-m", "grpc_tools.protoc", f"-I{_well_known()}", *arguments]
    done = subprocess.run(command, check=False, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if done.returncode:
        advice = "correct the named line of the .proto file and run `scripts/generate` again"
        raise BuildFailed("generate the message classes", done.stderr or done.stdout, advice)


def _well_known() -> Path:
    """Where grpcio-tools keeps `google/protobuf/*.proto`."""
    import grpc_tools

    return Path(grpc_tools.__file__).parent / "_proto"


def _stub_plugin() -> str:
    places = (str(Path(sys.executable).parent), sysconfig.get_path("scripts"), os.environ.get("PATH", ""))
    found = shutil.which("protoc-gen-mypy_grpc", path=os.pathsep.join(places))
    if found is None:
        reason = "protoc-gen-mypy_grpc is not there"
        raise BuildFailed("generate the message classes", reason, "pip install mypy-protobuf")
    return found


def _make_packages(staged: Path) -> None:
    """Make every folder a regular package: import-linter and mypy both look for `__init__.py`."""
    for folder in sorted({path.parent for path in staged.rglob("*.py")} | {staged / n for n in GENERATED_PACKAGES}):
        inside = folder
        while inside != staged:
            inside.mkdir(parents=True, exist_ok=True)
            (inside / "__init__.py").write_text('"""Generated from the .proto files: do not edit."""\n')
            inside = inside.parent
    for package in GENERATED_PACKAGES:
        (staged / package / "py.typed").touch()


def _replace(staged: Path, target: Path) -> int:
    """Make `target` equal to `staged`, touching only what differs; the number of files that did."""
    fresh = {path.relative_to(staged) for path in staged.rglob("*") if path.is_file()}
    target.mkdir(exist_ok=True)
    changed = 0
    for name in sorted(fresh):
        content, place = (staged / name).read_bytes(), target / name
        if place.is_file() and place.read_bytes() == content:
            continue
        changed += 1
        place.parent.mkdir(parents=True, exist_ok=True)
        partial = place.with_name(place.name + ".partial")
        partial.write_bytes(content)
        partial.replace(place)  # at once, for whoever is importing it now
    stale = [p for p in target.rglob("*") if p.is_file() and p.relative_to(target) not in fresh]
    for path in stale:
        if path.suffix in {".py", ".pyi"}:
            path.unlink()
            changed += 1
    return changed
