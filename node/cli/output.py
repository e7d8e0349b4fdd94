"""What commands print: tables for people, JSON for scripts; and what the exit code says.

Exit codes: 0 done; 1 refused by ledger or node; 2 wrong use; 3 configuration; 4 node not reached; 5 no answer in time;
6 a proof that does not hold; 130 interrupted by Ctrl-C.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final, NoReturn

import click
from rich.console import Console
from rich.table import Table

from ledgers.client import (
    ClientError,
    NodeUnreachable,
    PlainInvalid,
    ProofFileInvalid,
    Refused,
    TimedOut,
    to_plain,
)
from ledgers.client.identity import KeyFileWrong
from node.configuration import ConfigurationWrong

REFUSED: Final = 1
USAGE: Final = 2
CONFIGURATION: Final = 3
UNREACHABLE: Final = 4
TIMED_OUT: Final = 5
NOT_PROVEN: Final = 6
# What a person can do next, where the answer itself must not say more.
_ADVICE: Final = {"LEDGER_UNKNOWN": "`syngraph status` lists the ledgers that the node shows you."}
# "{" and "[".
_JSON_IN_HEX: Final = ("7b", "5b")
# Columns in a pipe or a file: an id and two times have room on one line.
WIDTH_ELSEWHERE: Final = 200


class Output:
    """Prints answers in the form that `--json` chose."""

    def __init__(self, *, as_json: bool) -> None:
        """Tables unless `as_json`; their width follows the terminal, and is ample where there is none."""
        self.as_json = as_json
        self._console = Console(width=None if sys.stdout.isatty() else WIDTH_ELSEWHERE, highlight=False)

    def rows(self, columns: Sequence[str], rows: Sequence[Sequence[object]], plain: object) -> None:
        """A table, or `plain` as JSON."""
        if self.as_json:
            self.json(plain)
            return
        table = Table(box=None, pad_edge=False, header_style="bold")
        for column in columns:
            table.add_column(column, overflow="fold")
        for row in rows:
            table.add_row(*(text_of(value) for value in row))
        self._console.print(table)

    def fields(self, value: object) -> None:
        """One thing: a line a field, nested names with dots; or JSON."""
        plain = to_plain(value)
        if self.as_json:
            self.json(plain)
            return
        self.rows(("field", "value"), flatten(plain), plain)

    def line(self, text: str, plain: object) -> None:
        """One line, or one line of JSON."""
        if self.as_json:
            click.echo(json.dumps(to_plain(plain), ensure_ascii=False))
        else:
            click.echo(text)

    def json(self, value: object) -> None:
        """JSON over several lines."""
        click.echo(json.dumps(to_plain(value), indent=2, ensure_ascii=False))


def instant(time_ms: int) -> str:
    """Unix milliseconds as people read them, in UTC; nothing for 0."""
    if not time_ms:
        return ""
    return f"{datetime.fromtimestamp(time_ms // 1000, tz=UTC):%Y-%m-%d %H:%M:%SZ}"


def flatten(value: Any, prefix: str = "") -> list[tuple[str, object]]:
    """(name, value) of every leaf; an empty list or object is one, too."""
    if isinstance(value, dict) and value:
        pairs = [(f"{prefix}.{name}" if prefix else str(name), nested) for name, nested in value.items()]
    elif isinstance(value, list) and value:
        pairs = [(f"{prefix}[{place}]", nested) for place, nested in enumerate(value)]
    else:
        return [(prefix, _readable(value))]
    return [leaf for name, nested in pairs for leaf in flatten(nested, name)]


def _readable(value: object) -> object:
    """The JSON that bytes hold (a product, an answer's attributes), in a table; what people can't read stays hex."""
    if not isinstance(value, str) or not value.startswith(_JSON_IN_HEX):
        return value
    try:
        text = bytes.fromhex(value).decode()
        json.loads(text)
    except ValueError:
        return value
    return text


def text_of(value: object) -> str:
    """A cell's text. Control characters of somebody else's text are not sent to the terminal."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None or value in ({}, []):
        return ""
    text = value.hex() if isinstance(value, bytes) else str(value)
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text).replace("[", "\\[")


def fail(error: Exception, *, as_json: bool) -> NoReturn:
    """Say what went wrong on stderr and leave with the code for it."""
    code, plain = _classify(error)
    if as_json:
        click.echo(json.dumps({"error": plain}, ensure_ascii=False), err=True)
    else:
        click.echo(f"syngraph: {plain['sentence']}", err=True)
        detail = " ".join(f"{name}={plain[name]}" for name in ("name", "code", "field") if plain.get(name))
        if detail:
            click.echo(f"  {detail}", err=True)
        if plain.get("name") in _ADVICE:
            click.echo(f"  {_ADVICE[plain['name']]}", err=True)
    sys.exit(code)


class Unfit(click.UsageError):
    """What was given can't be used, for a reason that has a name and a place."""

    def __init__(self, sentence: str, name: str, field: str = "") -> None:
        """Keep all three."""
        super().__init__(f"{sentence}{f' (field {field})' if field else ''} [{name}]")
        self.plain = {"name": name, "field": field, "sentence": sentence}


EXPECTED: Final = (ClientError, ConfigurationWrong, KeyFileWrong, PlainInvalid, ProofFileInvalid)


def _classify(error: Exception) -> tuple[int, dict[str, Any]]:
    if isinstance(error, Refused):
        return REFUSED, {**to_plain(error.detail), "status": error.status}
    if isinstance(error, NodeUnreachable):
        return UNREACHABLE, {"name": "NODE_UNREACHABLE", "sentence": str(error)}
    if isinstance(error, TimedOut):
        return TIMED_OUT, {"name": "TIMED_OUT", "sentence": str(error)}
    if isinstance(error, ProofFileInvalid):
        return NOT_PROVEN, {"name": error.reason, "sentence": str(error)}
    if isinstance(error, PlainInvalid):
        return USAGE, {"name": "INPUT_INVALID", "field": error.field, "sentence": str(error)}
    if isinstance(error, Unfit):
        return error.exit_code, error.plain
    if isinstance(error, click.ClickException):
        name = "INPUT_INVALID" if isinstance(error, click.UsageError) else "FAILED"
        return error.exit_code, {"name": name, "sentence": error.format_message()}
    if isinstance(error, ConfigurationWrong | KeyFileWrong):
        return CONFIGURATION, {"name": "CONFIGURATION_WRONG", "sentence": str(error)}
    return REFUSED, {"name": "FAILED", "sentence": str(error)}
