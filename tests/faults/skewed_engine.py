"""The pinned engine with a clock that can be wrong: built with one more changed line, for tests only.

The engine is a static Go binary, so no library can be put before it, and Linux has no namespace for the wall clock.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import tempfile
from pathlib import Path

from node.engine import build, pin
from node.engine.amend import AMENDMENTS, Amendment, write_amended

OFFSET_VARIABLE = "SYNGRAPH_TEST_ENGINE_OFFSET_S"
CLOCK = Amendment("types/time/time.go", "return Canonical(time.Now())", "return Canonical(time.Now().Add(testOffset))")
OFFSET = f"""package time

import (
	"os"
	"strconv"
	"time"
)

var testOffset = func() time.Duration {{
	seconds, _ := strconv.Atoi(os.Getenv("{OFFSET_VARIABLE}"))
	return time.Duration(seconds) * time.Second
}}()
"""


def skewed_engine():
    """The executable, compiled once and kept in the engine cache."""
    changes = hashlib.sha256(f"{CLOCK}{OFFSET}".encode()).hexdigest()
    entry = pin.cache_root() / f"skewed-{pin.cache_key()}-{changes[:8]}"
    target = entry / "cometbft"
    if target.is_file():
        return target
    shutil.rmtree(entry, ignore_errors=True)
    entry.mkdir(parents=True)
    go, environment = build._go(), build._environment()
    module, _ = build.module_folders(go, environment)
    with tempfile.TemporaryDirectory(dir=entry) as source:
        write_amended(module, pin.module_folder(), pin.ENGINE_MODULE, Path(source), (*AMENDMENTS, CLOCK))
        (Path(source) / "engine" / "types" / "time" / "offset.go").write_text(OFFSET)
        staged = entry / "cometbft.new"
        command = [go, "build", *pin.BUILD_FLAGS, "-o", staged, pin.ENGINE_PACKAGE]
        subprocess.run(command, cwd=source, env=environment, check=True)
    staged.rename(target)
    return target
