"""Files that recipes write at their end: whether they can be is asked at their beginning. Only the standard library."""

from __future__ import annotations

import argparse
import os
from pathlib import Path


def require_writable(parser: argparse.ArgumentParser, option: str, path: Path | None) -> None:
    """Refuse a path at which no file could be written, now and not after minutes; None is no file."""
    if path is not None and (path.is_dir() or not os.access(path.absolute().parent, os.W_OK)):
        parser.error(f"{option}: no file can be written at {path}")
