"""Golden cases from outside this project, in `../shared/golden` beside the checkout."""

from __future__ import annotations

import json
import os
from functools import cache
from pathlib import Path
from typing import Any

import pytest

GOLDEN_DIRECTORY = Path(__file__).resolve().parents[2] / "shared" / "golden"


@cache
def load_golden(name: str) -> Any:
    """The parsed file; skips the calling module where it is absent, and fails there under CI."""
    path = GOLDEN_DIRECTORY / name
    if not path.exists():
        if os.environ.get("CI") == "true":
            pytest.fail(f"golden file {name} is missing", pytrace=False)
        pytest.skip(f"golden file {name} is absent", allow_module_level=True)
    return json.loads(path.read_text())
