"""Every command that README and docs/ write down is one that `syngraph` knows, with options that it has."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest

from node.cli import main

ROOT = Path(__file__).resolve().parents[3]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
# What follows a command on its line: a comment, a pipe, a file.
_REST = re.compile(r"\s+[#|>]|\s{2,}")


def written(text):
    """Commands in code spans, and on lines of their own in indented and fenced blocks."""
    spans = re.findall(r"`(syngraph [^`]+)`", text)
    lines = re.findall(r"^(?: {4,}|\$ )?(?:[^`\n|]*\| )?(syngraph (?:\S| \S).*)$", text, re.MULTILINE)
    return [_REST.split(command.replace("\n", " "))[0] for command in [*spans, *lines]]


def problem(line):
    """What is wrong with a command, or nothing."""
    words, command = shlex.split(line)[1:], main
    while isinstance(command, click.Group) and words and re.fullmatch(r"[a-z-]+", words[0]) and words[0][0] != "-":
        with click.Context(command) as context:
            found = command.get_command(context, words.pop(0))
        if found is None:
            return f"{line}: there is no such command"
        command = found
    options = {name for option in command.params for name in (*option.opts, *option.secondary_opts)} | {"--help"}
    unknown = [word for word in words if re.match(r"--?[a-z]", word) and word.partition("=")[0] not in options]
    return f"{line}: there is no option {unknown[0]}" if unknown else ""


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_of_a_page_can_be_typed(page):
    assert [told for command in written(page.read_text()) if (told := problem(command))] == []


def test_most_commands_are_found_in_the_pages():
    count = sum(len(written(page.read_text())) for page in PAGES)
    assert count > 50


def test_invalid_commands_would_be_found():
    text = "Call `syngraph quary list a b` or\n\n    syngraph status --loud    # all\n    echo x | syngraph tx submit omni -\n"
    assert [problem(command) for command in written(text)] == [
        "syngraph quary list a b: there is no such command",
        "syngraph status --loud: there is no option --loud",
        "",
    ]
