"""The pinned engine with a clock that can be wrong: one source file is replaced when it is compiled, for tests only.

The engine is a static Go binary, so no library can be put before it, and Linux has no namespace for the wall clock.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
from pathlib import Path

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
    entry.mkdir(parents=True, exist_ok=True)
    go, environment, module = build._go(), build._environment(), pin.module_folder()
    command = [go, "list", "-m", "-f", "{{.Dir}}", pin.ENGINE_MODULE]
    listed = subprocess.run(command, cwd=module, env=environment, check=True, capture_output=True, text=True)
    source = Path(listed.stdout.strip()) / "types" / "time" / "time.go"
    text = source.read_text()
    assert text.count(BEFORE) == 1
    text = text.replace(BEFORE, AFTER).replace("import (", 'import (\n\t"os"\n\t"strconv"', 1) + OFFSET
    (entry / "time.go").write_text(text)
    (entry / "overlay.json").write_text(json.dumps({"Replace": {str(source): str(entry / "time.go")}}))
    staged = entry / "cometbft.new"
    command = [go, "build", "-overlay", entry / "overlay.json", *pin.BUILD_FLAGS, "-o", staged, pin.ENGINE_PACKAGE]
    subprocess.run(command, cwd=module, env=environment, check=True)
    staged.rename(target)
    return target
