"""The report: what happened, as JSON for machines. docs/demo.md names its members."""

from __future__ import annotations

import dataclasses
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from scripts.story.telling import Line, Teller, plain_money

FORMAT: Final = "syngraph-demo/1"
# Lists that a complete story has; each entry is an object.
SECTIONS: Final = (
    "access_ended",
    "agreements",
    "app_hashes",
    "invoices",
    "nettings",
    "outages",
    "payments",
    "proofs",
    "refusals",
    "scores",
    "services",
    "strangers",
    "timeouts",
)


def report(teller: Teller, names: dict[str, Any], failure: str = "") -> dict[str, Any]:
    """All that was told. `names`: ids of organizations and ledgers, and the files that the requests came from."""
    return {
        "format": FORMAT,
        "written_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "held": not failure,
        "failure": failure,
        "seconds": round(teller.elapsed_ms / 1000, 1),
        "acts": teller.seconds,
        **names,
        **{section: teller.sections.get(section, []) for section in SECTIONS},
        "steps": [_step(line) for line in teller.lines],
    }


def write_report(path: Path, content: dict[str, Any]) -> None:
    """Replace the file at once."""
    staged = path.with_name(f".{path.name}.new")
    staged.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    staged.replace(path)


def _step(line: Line) -> dict[str, Any]:
    """A step's members, without those that say nothing."""
    plain = {field.name: getattr(line, field.name) for field in dataclasses.fields(line)}
    if line.amount is not None:
        plain["amount"] = plain_money(line.amount)
    return {key: value for key, value in plain.items() if value not in ("", 0, None)}
