"""The pinned engine with a clock that can be wrong: built from a copy with one changed line, for tests only.

The engine is a static Go binary, so no library can be put before it, and Linux has no namespace for the wall clock.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess

from node.engine import build, pin

OFFSET_VARIABLE = "SYNGRAPH_TEST_ENGINE_OFFSET_S"
BEFORE = "return Canonical(time.Now())"
AFTER = "return Canonical(time.Now().Add(testOffset))"
OFFSET = f"""
var testOffset = func() time.Duration {{
	seconds, _ := strconv.Atoi(os.Getenv("{OFFSET_VARIABLE}"))
	return time.Duration(seconds) * time.Second
}}()
"""


def skewed_engine():
    """The executable, compiled once and kept in the engine cache."""
    entry = pin.cache_root() / f"skewed-{pin.cache_key()}-{hashlib.sha256(OFFSET.encode()).hexdigest()[:8]}"
    target = entry / "cometbft"
    if target.is_file():
        return target
    shutil.rmtree(entry, ignore_errors=True)
    entry.mkdir(parents=True)
    go, environment, module = build._go(), build._environment(), pin.module_folder()
    command = [go, "list", "-m", "-f", "{{.Dir}}", pin.ENGINE_MODULE]
    listed = subprocess.run(command, cwd=module, env=environment, check=True, capture_output=True, text=True)
    # Files of the module cache may not be replaced one by one, so this is a build of a changed copy.
    copy = entry / "engine"
    shutil.copytree(listed.stdout.strip(), copy, copy_function=shutil.copyfile)
    for folder in (copy, *(path for path in copy.rglob("*") if path.is_dir())):
        folder.chmod(0o700)  # the module cache is read-only
    _turn_the_clock(copy / "types" / "time" / "time.go")
    for name in ("go.mod", "go.sum"):
        shutil.copyfile(module / name, entry / name.replace("go.", "skewed."))
    with (entry / "skewed.mod").open("a") as out:
        out.write(f"\nreplace {pin.ENGINE_MODULE} => {copy}\n")
    staged = entry / "cometbft.new"
    command = [go, "build", f"-modfile={entry / 'skewed.mod'}", *pin.BUILD_FLAGS, "-o", staged, pin.ENGINE_PACKAGE]
    subprocess.run(command, cwd=module, env=environment, check=True)
    shutil.rmtree(copy)
    staged.rename(target)
    return target


def _turn_the_clock(path):
    text = path.read_text()
    assert text.count(BEFORE) == 1
    path.write_text(text.replace(BEFORE, AFTER).replace("import (", 'import (\n\t"os"\n\t"strconv"', 1) + OFFSET)
