"""What a history has met: steps of lifecycles taken and refused, and refusals by code, of the supply chain's contracts.

Steps are seen where contracts take them: in `kernel.step`, which this module listens to in each contract's module.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from functools import cache
from typing import Any, Final

from ledgers.kinds import BILATERAL, INTERNAL, contract_table
from node.agents.boundaries import boundaries
from node.agents.roster import DUTIES
from scripts.simulation.register import ROWS, marks_of
from smartcontracts import kernel
from smartcontracts.kernel import Kind, Rejected

# Contracts of both kinds of ledger that are not the supply chain's before billing (register 11.1-11.5).
OTHERS: Final = frozenset(
    ("membership", "proposal", "agreement", "usage", "invoice", "netting", "settlement", "sla", "score")
)
# The event of a lifecycle that contracts take without asking for it.
NOTE: Final = "note"


@dataclass(slots=True)
class Coverage:
    """Counts. `taken` and `wrong_status` by kind, status and event, `refusals` by code."""

    taken: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    wrong_status: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    refusals: Counter[int] = field(default_factory=Counter)
    # Documents by kind and first status, and what documents say besides (register.py).
    made: Counter[tuple[str, str]] = field(default_factory=Counter)
    marks: Counter[str] = field(default_factory=Counter)
    # Right commands that were tried in vain on another document, by its kind, its status, and the message; wrong ones without both.
    refused_acts: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    duties: Counter[str] = field(default_factory=Counter)
    # Boundaries at which an agent was killed.
    kills: Counter[str] = field(default_factory=Counter)
    duty_refusals: Counter[str] = field(default_factory=Counter)

    def add(self, other: Coverage) -> None:
        """Count what another history met too."""
        for spec in fields(self):
            getattr(self, spec.name).update(getattr(other, spec.name))

    @property
    def refused_names(self) -> Counter[str]:
        """Refusals by name."""
        return Counter({name: self.refusals[code] for code, name in all_refusals().items()})

    def wrote(self, kind: Kind[Any], before: Any | None, record: Any, *, stepped: bool) -> None:
        """A document was written. One that keeps its status without a step was noted, where its lifecycle knows that."""
        status = str(getattr(record, "status", ""))
        if before is None:
            self.made[kind.name, status] += 1
        elif status and not stepped and before.status == record.status and (record.status, NOTE) in kind.lifecycle:
            self.taken[kind.name, status, NOTE] += 1
        self.marks.update(marks_of(kind.name, before, record))

    def rows_missing(self) -> list[str]:
        """Rows of the register that are in scope and were not taken, or never refused where they can be."""
        return [
            row.name
            for row in ROWS
            if not row.later and (not row.taken(self) or (row.can_be_refused and not row.refused(self)))
        ]

    def report(self) -> dict[str, Any]:
        """What was met and what was not, for people and for JSON."""
        steps, codes = all_steps(), all_refusals()
        missing = [step for step in steps if not self.taken[step]]
        unmet = [code for code in codes if not self.refusals[code]]
        return {
            "steps": len(steps),
            "steps_taken": len(steps) - len(missing),
            "steps_missing": [f"{kind}: {status} --{event}" for kind, status, event in missing],
            "steps_refused": len(self.wrong_status),
            "register": [row.report(self) for row in ROWS],
            "refusals": len(codes),
            "refusals_met": len(codes) - len(unmet),
            "refusals_missing": [f"{code} {codes[code]}" for code in unmet],
            "kills": sum(self.kills.values()),
            "boundaries": len(all_boundaries()),
            "boundaries_killed_at": len([one for one in all_boundaries() if self.kills[one]]),
            "boundaries_missing": [one for one in all_boundaries() if not self.kills[one]],
            "duties": dict(sorted(self.duties.items())),
            "duty_refusals": dict(self.duty_refusals.most_common(40)),
        }


class _Listener:
    """Where steps are counted now; a history sets it while one replica executes, so that each step counts once."""

    coverage: Coverage | None = None
    taking = True


def listen(coverage: Coverage | None, *, taking: bool = True) -> None:
    """Count steps there from now on, or nowhere; without `taking` only those that are refused."""
    _Listener.coverage = coverage
    _Listener.taking = taking


def _counting_step(lifecycle: Mapping[tuple[Any, str], Any], status: Any, event: str) -> Any:
    coverage = _Listener.coverage
    if coverage is None:
        return _STEP(lifecycle, status, event)
    name = _names().get(id(lifecycle), "")
    try:
        after = _STEP(lifecycle, status, event)
    except Rejected:
        coverage.wrong_status[name, str(status), event] += 1
        raise
    if _Listener.taking:
        coverage.taken[name, str(status), event] += 1
    return after


_STEP: Final = kernel.step


def install() -> None:
    """Listen in every contract's module that takes steps. Once a process is enough, twice does no harm."""
    all_kinds()
    for name, module in sorted(sys.modules.items()):
        if name.startswith("smartcontracts.") and getattr(module, "step", None) is _STEP and module is not kernel:
            module.step = _counting_step  # type: ignore[attr-defined]


@cache
def all_kinds() -> tuple[Kind[Any], ...]:
    """Kinds of documents of the supply chain, bilateral ones first."""
    contracts = [c for kind in (BILATERAL, INTERNAL) for c in contract_table(kind, 1).contracts if c.name not in OTHERS]
    return tuple({k.name: k for contract in contracts for k in contract.kinds}.values())


@cache
def _names() -> dict[int, str]:
    return {id(kind.lifecycle): kind.name for kind in all_kinds() if kind.lifecycle}


@cache
def all_steps() -> tuple[tuple[str, str, str], ...]:
    """(kind, status, event) of every lifecycle."""
    return tuple((kind.name, str(status), event) for kind in all_kinds() for status, event in kind.lifecycle)


@cache
def all_boundaries() -> tuple[str, ...]:
    """Where agents are killed, by role, duty and moment."""
    return tuple(str(one) for duties in DUTIES.values() for one in boundaries(duties))


@cache
def all_refusals() -> dict[int, str]:
    """Code to name of every refusal that a contract of the supply chain defines."""
    return {one.code: one.refusal_name() for one in sorted(_subclasses(_modules()), key=lambda one: one.code)}


def _modules() -> frozenset[str]:
    """Modules of the contracts, and the modules that they share (trade, lineage, service and the like)."""
    contracts = [c for kind in (BILATERAL, INTERNAL) for c in contract_table(kind, 1).contracts if c.name not in OTHERS]
    handlers = {message.handler.__module__ for contract in contracts for message in contract.messages}
    shared = {"smartcontracts.trade", "smartcontracts.order", "smartcontracts.delivery", "smartcontracts.service"}
    return frozenset(handlers | shared)


def _subclasses(modules: frozenset[str]) -> Iterable[type[Rejected]]:
    waiting = [Rejected]
    while waiting:
        for one in waiting.pop().__subclasses__():
            waiting.append(one)
            if one.code and one.__module__ in modules:
                yield one
