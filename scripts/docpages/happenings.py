"""docs/events.md and docs/logs.md: the names that contracts and processes give to what happens, read from the code."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from types import MappingProxyType
from typing import Final

from scripts.docpages.layout import first_sentence, heading, table, text
from scripts.docpages.lifecycles import all_kinds

_EVENT: Final = re.compile(r"[a-z][a-z_]*\.[a-z][a-z_]*", re.ASCII)
_LEVELS: Final = ("debug", "info", "warning", "error", "exception")
_FIELDS: Final = MappingProxyType({kind.name: {f.name for f in fields(kind.record)} for kind, _ in all_kinds()})
_PROCESSES: Final = ("abci_app", "node", "localnet")


def events_page(root: Path) -> str:
    """docs/events.md."""
    lines = heading(
        "Events",
        "What the event stream tells: one event a happening, in the order of execution. An event's id is `height/index`; it names its document by `kind`, `document_id` and"
        " `version`, the organizations concerned (`parties`, sorted), the ledger time, and the transaction, or none where a deadline did it; what an agent did carries its `cause`."
        " An event holds no content: read the document at that height.",
    )
    rows = ((f"`{name}`", f"`smartcontracts/{module}`", lead) for name, module, lead in _contract_events(root))
    lines += table(("event", "contract", "the contract's subject"), rows)
    lines += [
        "## Delivery",
        "",
        (
            "Events come at least once, in order. A reader keeps the id of the last event it has dealt with, or the `cursor` of a block that had none to show, and asks for what is"
            " `after` it; empty starts at the oldest kept, `now` at the next. Events older than the ledger's `events_kept_blocks` are gone: such a cursor is refused with"
            " `CURSOR_PRUNED`, and the reader takes up from the documents. An event name is never reused with another meaning."
        ),
    ]
    return text(lines)


def logs_page(root: Path) -> str:
    """docs/logs.md."""
    lines = heading(
        "Logs",
        "One event a line, as text or JSON (`log.format`). Every line has its time, level and event name, and where it applies the ledger, height, transaction and member. Lines never"
        " hold a payload, a price or a secret: the fields below are all there are.",
    )
    for package in _PROCESSES:
        rows = (
            (f"`{name}`", level, fields or "none", f"`{where}`")
            for name, level, fields, where in _log_lines(root, package)
        )
        lines += [f"## `{package}`", "", *table(("event", "level", "fields", "where"), sorted(set(rows)))]
    return text(lines)


def _contract_events(root: Path) -> Iterator[tuple[str, str, str]]:
    for path in sorted((root / "smartcontracts").glob("*.py")):
        tree = ast.parse(path.read_bytes())
        calls_event = any(isinstance(n, ast.Call) and getattr(n.func, "id", "") == "Event" for n in ast.walk(tree))
        if not calls_event or path.stem == "kernel":
            continue
        words = {n.value for n in ast.walk(tree) if isinstance(n, ast.Constant) and isinstance(n.value, str)}
        names = {word for word in words if _is_event(word)} | set(_told(tree))
        for name in sorted(names):
            yield name, path.name, first_sentence(ast.get_docstring(tree)).split(": ", 1)[-1]


def _told(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Event":
            name = node.args[0]
            if isinstance(name, ast.Constant) and isinstance(name.value, str):
                yield name.value


def _is_event(word: str) -> bool:
    """Whether it is "kind.happened"; a refusal names its field as "kind.field"."""
    kind, _, happened = word.partition(".")
    return _EVENT.fullmatch(word) is not None and kind in _FIELDS and happened not in _FIELDS[kind]


def _log_lines(root: Path, package: str) -> Iterator[tuple[str, str, str, str]]:
    for path in sorted((root / package).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_bytes())):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
                continue
            if node.func.attr not in _LEVELS or not _is_log(node.func.value) or not node.args:
                continue
            name = node.args[0]
            if isinstance(name, ast.Constant) and isinstance(name.value, str):
                given = ", ".join(f"`{k.arg}`" for k in node.keywords if k.arg and k.arg != "exc_info")
                yield name.value, node.func.attr, given, str(path.relative_to(root))


def _is_log(value: ast.expr) -> bool:
    name = value.attr if isinstance(value, ast.Attribute) else getattr(value, "id", "")
    return name.lstrip("_") in {"log", "logger"}
