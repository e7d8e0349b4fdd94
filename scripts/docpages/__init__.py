"""The pages of docs/ that are made from code, so that they can't say anything else."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

from scripts.docpages import errors, happenings, lifecycles, settings, tables

# Page -> what makes its text.
PAGES: Final[Mapping[str, Callable[[Path], str]]] = MappingProxyType(
    {
        "errors.md": errors.page,
        "lifecycles.md": lambda _: lifecycles.page(),
        "parameters.md": lambda _: tables.parameters_page(),
        "roles.md": lambda _: tables.roles_page(),
        "filters.md": lambda _: tables.filters_page(),
        "ids.md": lambda _: tables.ids_page(),
        "currencies.md": lambda _: tables.currencies_page(),
        "events.md": happenings.events_page,
        "logs.md": happenings.logs_page,
        "configuration.md": lambda _: settings.configuration_page(),
    }
)


def stale(root: Path) -> list[str]:
    """What is wrong with the committed pages and codes, a sentence each; empty if nothing is."""
    found = errors.problems(root)
    if found:
        return found
    if errors.registry_text(root) != (root / errors.REGISTRY).read_text(encoding="utf-8"):
        found.append(f"{errors.REGISTRY} lacks codes that are in use")
    for name, make in PAGES.items():
        path = root / "docs" / name
        if not path.exists() or path.read_text(encoding="utf-8") != make(root):
            found.append(f"docs/{name} is not what the code says")
    return found


def write(root: Path) -> list[str]:
    """Write every page anew, unless codes clash or are gone: then the sentences that say so, and nothing is written."""
    found = errors.problems(root)
    if found:
        return found
    (root / errors.REGISTRY).write_text(errors.registry_text(root), encoding="utf-8")
    for name, make in PAGES.items():
        (root / "docs" / name).write_text(make(root), encoding="utf-8")
    return []
