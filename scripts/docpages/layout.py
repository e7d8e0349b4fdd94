"""Tables and headings in Markdown."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final

_CITATION: Final = re.compile(r" DESIGN sections? [0-9, ]+\.", re.ASCII)


def heading(title: str, lead: str) -> list[str]:
    """A page's first lines."""
    return [
        f"# {title}",
        "",
        "<!-- Made by scripts/generate-docs from the code; changes here are lost. -->",
        "",
        lead,
        "",
    ]


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """A table with an empty line after it."""
    lines = [f"| {' | '.join(head)} |", "|" + "---|" * len(head)]
    lines += [f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |" for row in rows]
    return [*lines, ""]


def text(lines: Iterable[str]) -> str:
    """The page, with one newline at its end."""
    return "\n".join(lines).rstrip("\n") + "\n"


def first_sentence(docstring: str | None) -> str:
    """A docstring's first paragraph on one line, without the pages that it cites for programmers."""
    line = " ".join((docstring or "").strip().split("\n\n")[0].split())
    return _CITATION.sub("", line)
