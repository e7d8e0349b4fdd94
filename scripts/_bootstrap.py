"""Makes `.venv` with everything the recipes need, from Python and the package registries alone.

A recipe calls `enter(__file__)` first: it comes back inside the virtual environment, with everything up to date. Only the standard library is used here,
and nothing newer than any Python 3 that could start the recipe, so that a wrong version gets a sentence and no syntax error.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

PYTHON = (3, 11)
ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
VENV_PYTHON = VENV / "bin" / "python"

_STAMP = VENV / ".syngraph-inputs"
_INPUTS = ("pyproject.toml", "constraints.txt", "hatch_build.py", "node/engine/go.mod", "node/engine/go.sum")
_PIP_ADVICE = (
    "read the lines above; if a package index could not be reached, run the same command again: "
    "what was downloaded and built is kept"
)


def enter(script: str) -> None:
    """Set up if needed and go on as `script` under `.venv`'s Python; once there, renew the message classes."""
    if Path(sys.prefix) == VENV:
        _generate()
        return
    setup()
    os.execv(str(VENV_PYTHON), [str(VENV_PYTHON), script, *sys.argv[1:]])  # noqa: S606  (no shell is wanted)


def setup() -> None:
    """Make or renew `.venv`; ends the program with what failed and what to do."""
    _need_python()
    sys.path.insert(0, str(ROOT))
    from node.engine.progress import BuildFailed, report, run_step

    try:
        if not _is_current():
            began = time.monotonic()
            report("setting up " + str(VENV))
            _make_venv(run_step)
            _install(run_step, report)
            _STAMP.write_text(_inputs())
            report("set up in {:.0f} s".format(time.monotonic() - began))
    except BuildFailed as error:
        sys.exit(str(error))


def _need_python() -> None:
    """Go on under Python 3.11 when this is another one."""
    if sys.version_info[:2] == PYTHON:
        return
    wanted = "python{}.{}".format(*PYTHON)
    found = shutil.which(wanted)
    if found is None:
        sys.exit("Python {}.{} is needed and no {} is on PATH; this is {}".format(*PYTHON, wanted, sys.version.split()[0]))
    os.execv(found, [found, *sys.argv])  # noqa: S606  (no shell is wanted)


def _inputs() -> str:
    """A hash of what the environment is made from."""
    digest = hashlib.sha256(sys.version.encode())
    for name in _INPUTS:
        digest.update((ROOT / name).read_bytes() + b"\0")
    return digest.hexdigest()


def _is_current() -> bool:
    from node.engine import EngineMissing, binary

    try:
        binary()
        return VENV_PYTHON.exists() and _STAMP.read_text() == _inputs()
    except (OSError, EngineMissing):
        return False


def _make_venv(run_step) -> None:  # type: ignore[no-untyped-def]  # noqa: ANN001  (imported late)
    # The real path of Python: a link in a temporary folder may be gone when the environment is used.
    python = os.path.realpath(sys.executable)
    advice = "Python {}.{} needs its venv and ensurepip modules (on Debian: python3-venv)".format(*PYTHON)
    run_step("make the virtual environment", [python, "-m", "venv", "--clear", VENV], advice=advice)


def _install(run_step, report) -> None:  # type: ignore[no-untyped-def]  # noqa: ANN001  (imported late)
    progress = VENV / "progress.log"
    progress.touch()
    ended = threading.Event()
    follower = threading.Thread(target=_follow, args=(progress, ended, report))
    follower.start()
    command = [VENV_PYTHON, "-m", "pip", "install", "--quiet", "-c", ROOT / "constraints.txt", "-e", str(ROOT) + "[dev]"]
    env = dict(os.environ, SYNGRAPH_PROGRESS=str(progress), PIP_DISABLE_PIP_VERSION_CHECK="1")
    try:
        run_step("install the package and its tools", command, advice=_PIP_ADVICE, env=env)
    finally:
        ended.set()
        follower.join()


def _follow(path, ended, report) -> None:  # type: ignore[no-untyped-def]  # noqa: ANN001  (runs in a thread)
    """Show what the build writes to `path` while pip keeps it to itself."""
    with path.open(encoding="utf-8") as lines:
        while True:
            last_look = ended.is_set()
            for line in lines:
                report("  " + line.rstrip("\n"))
            if last_look:
                return
            ended.wait(0.5)


def _generate() -> None:
    done = subprocess.run([VENV_PYTHON, ROOT / "scripts" / "generate"], check=False)
    if done.returncode:
        sys.exit(done.returncode)
