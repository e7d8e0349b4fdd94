"""The catalogue of refusals, and the register that keeps their codes from being lost or used again.

`docs/error-codes.txt` has a line for every code that ever was: number, name, and "retired" for those no longer in use. Nothing
removes a line: a code that is gone from the code and not marked there is an error. Req: docs/versions.md, rule 5.
"""

from __future__ import annotations

import ast
import importlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from scripts.docpages.layout import first_sentence, heading, table, text
from smartcontracts.kernel import Rejected

REGISTRY: Final = "docs/error-codes.txt"
RETIRED: Final = "retired"
_MAYBE_CODE: Final = re.compile(r"^    code\b.*= [0-9]+$", re.ASCII | re.MULTILINE)
PACKAGES: Final = ("smartcontracts", "ledgers", "abci_app", "node")

# First and last code, what they are about, and the modules that may have them.
RANGES: Final = (
    (1001, 1099, "Stages 1 to 5: before a contract is asked", ("ledgers", "abci_app")),
    (1100, 1199, "Kernel, codec and money", ("smartcontracts.kernel", "smartcontracts.codec", "smartcontracts.money")),
    (1200, 1299, "Canonical JSON", ("smartcontracts.canonical_json",)),
    (2000, 2099, "Membership", ("smartcontracts.membership",)),
    (2100, 2199, "Proposals", ("smartcontracts.proposal",)),
    (2200, 2299, "Parameters, kinds of ledgers and versions", ("smartcontracts.parameters", "ledgers")),
    (2300, 2399, "Agreement", ("smartcontracts.agreement",)),
    (3000, 3099, "Inquiry", ("smartcontracts.inquiry", "smartcontracts.service", "smartcontracts.trade")),
    (
        3100,
        3199,
        "Quote and catalogue",
        ("smartcontracts.quote", "smartcontracts.pricing", "smartcontracts.catalogue", "smartcontracts.trade"),
    ),
    (3200, 3299, "Order", ("smartcontracts.order", "smartcontracts.trade")),
    (3300, 3399, "Delivery and service", ("smartcontracts.delivery", "smartcontracts.trade")),
    (3400, 3499, "Service change", ("smartcontracts.change", "smartcontracts.service")),
    (
        4000,
        4099,
        "Usage and billing intervals",
        ("smartcontracts.usage", "smartcontracts.interval", "smartcontracts.rating"),
    ),
    (4100, 4199, "Invoice", ("smartcontracts.invoice", "smartcontracts.rating")),
    (4200, 4299, "Netting", ("smartcontracts.netting",)),
    (4300, 4399, "Settlement", ("smartcontracts.settlement",)),
    (5000, 5099, "SLA and score", ("smartcontracts.sla", "smartcontracts.score")),
    (5100, 5199, "Omni: registry and reputation", ("smartcontracts.omni",)),
    (
        6000,
        6099,
        "Inquiry on an internal ledger",
        tuple(
            f"smartcontracts.internal.{module}"
            for module in ("handover", "answer", "decomposition", "sourcing", "ranking", "assessment")
        ),
    ),
    (6100, 6149, "Sourcing rules", ("smartcontracts.internal.rules",)),
    (6150, 6199, "Releases", ("smartcontracts.internal.release",)),
    (
        6200,
        6399,
        "Order and delivery on an internal ledger",
        tuple(
            f"smartcontracts.internal.{module}"
            for module in ("orders", "elements", "delivery", "recovery", "stranded", "inventory")
        ),
    ),
    (
        6400,
        6499,
        "Service change on an internal ledger",
        tuple(f"smartcontracts.internal.{module}" for module in ("change", "delivery", "inventory")),
    ),
    (8000, 8099, "Queries", ("abci_app", "ledgers")),
    (9000, 9099, "Node and API", ("node", "ledgers")),
)


@dataclass(frozen=True, slots=True)
class Known:
    """A line of the register."""

    code: int
    name: str
    retired: bool


def refusals(root: Path) -> list[type[Rejected]]:
    """Every class of refusal with a code of its own, by code."""
    found = {}
    for module in _modules_with_codes(root):
        for value in vars(importlib.import_module(module)).values():
            if (
                isinstance(value, type)
                and issubclass(value, Rejected)
                and value.__module__ == module
                and "code" in vars(value)
            ):
                found[f"{module}.{value.__qualname__}"] = value
    return sorted(
        (value for value in found.values() if value.code), key=lambda r: (r.code, r.__module__, r.__qualname__)
    )


def registry(root: Path) -> list[Known]:
    """The register's lines, in its order."""
    path = root / REGISTRY
    words = [line.split() for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []
    return [Known(int(w[0]), w[1], w[2:] == [RETIRED]) for w in words if w and not w[0].startswith("#")]


def registry_text(root: Path) -> str:
    """The register with what is new in the code put in."""
    known = {line.code: line for line in registry(root)}
    for refusal in refusals(root):
        known.setdefault(refusal.code, Known(refusal.code, refusal.refusal_name(), retired=False))
    lines = (f"{k.code} {k.name}{' ' + RETIRED if k.retired else ''}" for _, k in sorted(known.items()))
    return text(
        (
            "# Every refusal's code that ever was; a line is never removed, only marked retired (scripts/generate-docs).",
            *lines,
        )
    )


def problems(root: Path) -> list[str]:
    """Codes that clash, stray out of their module's range, changed their name or disappeared, a sentence each."""
    classes = refusals(root)
    return [*clashes(classes), *strays(classes), *losses(classes, registry(root))]


def clashes(classes: list[type[Rejected]]) -> list[str]:
    """Codes and names that two classes share. Node and application may say one thing under one name, each with its own code."""
    found = []
    codes: dict[int, str] = {}
    names: dict[tuple[bool, str], str] = {}
    for refusal in classes:
        place = f"{refusal.__module__}.{refusal.__qualname__}"
        if refusal.code in codes:
            found.append(f"{place} and {codes[refusal.code]} have both the code {refusal.code}")
        name = (_is_in(refusal, ("node",)), refusal.refusal_name())
        if name in names:
            found.append(f"{place} and {names[name]} have both the name {name[1]}")
        codes[refusal.code] = names[name] = place
    return found


def strays(classes: list[type[Rejected]]) -> list[str]:
    """Classes whose code lies outside their module's ranges."""
    return [
        f"{refusal.__module__}.{refusal.__qualname__} has the code {refusal.code}, which is not in its module's range"
        for refusal in classes
        if not any(first <= refusal.code <= last and _is_in(refusal, modules) for first, last, _, modules in RANGES)
    ]


def losses(classes: list[type[Rejected]], known: list[Known]) -> list[str]:
    """Codes of the register that mean something else now, or nothing."""
    names = {refusal.code: refusal.refusal_name() for refusal in classes}
    found = []
    for line in known:
        now = names.get(line.code)
        if line.retired and now is not None:
            found.append(f"{line.code} is retired ({line.name}) and may not be used again by {now}")
        elif not line.retired and now is None:
            found.append(f"{line.code} {line.name} has disappeared: mark it retired in {REGISTRY}, or bring it back")
        elif not line.retired and now != line.name:
            found.append(f"{line.code} was {line.name} and is {now} now: a code keeps its name")
    return found


def page(root: Path) -> str:
    """docs/errors.md."""
    classes = refusals(root)
    lines = heading(
        "Errors",
        "A refusal is data: a code that never changes its meaning, a name, the field at fault, and a sentence. The code and the field are the same from simulate, in"
        " the receipt, and on every node. *Final*: the same transaction will be refused again; *transient*: later it may pass unchanged.",
    )
    for first, last, about, _ in RANGES:
        lines += [f"## {first}-{last}: {about}", ""]
        lines += table(
            ("code", "name", "", "gRPC status", "when"), (_row(r) for r in classes if first <= r.code <= last)
        )
    retired = [line for line in registry(root) if line.retired]
    if retired:
        lines += ["## Retired", "", *table(("code", "name"), ((str(line.code), f"`{line.name}`") for line in retired))]
    return text(lines)


def _row(refusal: type[Rejected]) -> tuple[str, ...]:
    kind = "transient" if refusal.transient else "final"
    return (str(refusal.code), f"`{refusal.refusal_name()}`", kind, refusal.grpc.value, first_sentence(refusal.__doc__))


def _is_in(refusal: type[Rejected], modules: tuple[str, ...]) -> bool:
    return any(refusal.__module__ == module or refusal.__module__.startswith(module + ".") for module in modules)


def _modules_with_codes(root: Path) -> list[str]:
    """Modules with a class that sets a number as its `code`; only those are imported."""
    found = []
    for package in PACKAGES:
        for path in sorted((root / package).rglob("*.py")):
            source = path.read_text(encoding="utf-8")
            if not _MAYBE_CODE.search(source):
                continue
            if any(_sets_code(node) for node in ast.walk(ast.parse(source)) if isinstance(node, ast.ClassDef)):
                parts = path.relative_to(root).with_suffix("").parts
                found.append(".".join(parts[:-1] if parts[-1] == "__init__" else parts))
    return found


def _sets_code(node: ast.ClassDef) -> bool:
    for line in node.body:
        targets = (
            line.targets if isinstance(line, ast.Assign) else [line.target] if isinstance(line, ast.AnnAssign) else []
        )
        names = [target.id for target in targets if isinstance(target, ast.Name)]
        if names == ["code"] and isinstance(line, ast.Assign | ast.AnnAssign) and isinstance(line.value, ast.Constant):
            return isinstance(line.value.value, int)
    return False
