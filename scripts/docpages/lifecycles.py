"""Diagrams of every kind of document that has a lifecycle, drawn from its table."""

from __future__ import annotations

from dataclasses import MISSING, fields
from enum import StrEnum
from typing import Any

from ledgers.kinds import LEDGER_KINDS, VERSIONS, contract_table
from scripts.docpages.layout import heading, text
from smartcontracts.kernel import Kind


def all_kinds() -> list[tuple[Kind[Any], list[str]]]:
    """Every kind at the newest version, with the ledgers that have it, by name."""
    found: dict[str, tuple[Kind[Any], list[str]]] = {}
    for ledger_kind in LEDGER_KINDS:
        for kind in contract_table(ledger_kind, VERSIONS[-1]).kinds.values():
            found.setdefault(kind.name, (kind, []))[1].append(ledger_kind)
    return [found[name] for name in sorted(found)]


def page() -> str:
    """docs/lifecycles.md."""
    lines = heading(
        "Lifecycles",
        "Which statuses a document can have and what leads from one to the next: the tables that the contracts enforce."
        " Steps in *italics* below a diagram are taken by time alone, in the first block after the window.",
    )
    for kind, ledgers in all_kinds():
        if kind.lifecycle:
            lines += [f"## {kind.name}", "", f"On {', '.join(ledgers)} ledgers.", "", *diagram(kind)]
            if kind.on_deadline:
                lines += ["By time: " + ", ".join(f"*{name}*" for name in sorted(kind.on_deadline)) + ".", ""]
    return text(lines)


def diagram(kind: Kind[Any]) -> list[str]:
    """A Mermaid state diagram; steps between the same two statuses share an arrow."""
    arrows: dict[tuple[StrEnum, StrEnum], list[str]] = {}
    for (before, event), after in kind.lifecycle.items():
        arrows.setdefault((before, after), []).append(event)
    lines = ["```mermaid", "stateDiagram-v2"]
    lines += [f"    [*] --> {status}" for status in first_statuses(kind)]
    lines += [f"    {before} --> {after}: {', '.join(events)}" for (before, after), events in arrows.items()]
    lines += [f"    {status} --> [*]" for status in last_statuses(kind)]
    return [*lines, "```", ""]


def first_statuses(kind: Kind[Any]) -> list[StrEnum]:
    """Where documents begin: in a status that no step leads to; without one, in the record's default, or the table's first."""
    reached = {after for (before, _), after in kind.lifecycle.items() if before != after}
    first = [status for status in _statuses(kind) if status not in reached]
    if first:
        return first
    default = next((f.default for f in fields(kind.record) if f.name == "status"), MISSING)
    return [default if isinstance(default, StrEnum) else _statuses(kind)[0]]


def last_statuses(kind: Kind[Any]) -> list[StrEnum]:
    """Where nothing leads on."""
    left = {before for (before, _), after in kind.lifecycle.items() if before != after}
    return [status for status in _statuses(kind) if status not in left and status not in first_statuses(kind)]


def _statuses(kind: Kind[Any]) -> list[StrEnum]:
    """All statuses of the table, in the order of its lines."""
    found: dict[StrEnum, None] = {}
    for (before, _), after in kind.lifecycle.items():
        found.update({before: None, after: None})
    return list(found)
