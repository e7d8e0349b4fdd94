"""The report: everything measured as JSON, and a table with the targets beside it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

VERSION: Final = 1
MIB: Final = 1_024 * 1_024


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A budget of the design: what, the bound with its unit, and whether a figure reaches it."""

    what: str
    bound: float
    unit: str
    at_least: bool = False

    def reached(self, value: float) -> bool:
        """Whether `value` keeps the bound; NaN does not."""
        return value >= self.bound if self.at_least else value <= self.bound

    def row(self, value: float) -> tuple[str, str, str, str]:
        """(what, measured, target, verdict)."""
        sign = ">=" if self.at_least else "<="
        verdict = "not measured" if math.isnan(value) else "reached" if self.reached(value) else "NOT reached"
        return self.what, number(value, self.unit), f"{sign} {self.bound:g} {self.unit}", verdict


FINALIZE: Final = Target(what="FinalizeBlock and Commit, a transaction (median of blocks)", bound=250, unit="us")
MAXIMUM: Final = Target(what="committed at maximum, first step", bound=500, unit="tx/s", at_least=True)
MAXIMUM_LATER: Final = Target(what="committed at maximum, second step", bound=1_000, unit="tx/s", at_least=True)
RATIO: Final = Target(what="of kvstore's rate in the same run", bound=25, unit="%", at_least=True)
IDLE_P50: Final = Target(what="idle hot ledger, submit to receipt, p50", bound=100, unit="ms")
IDLE_P99: Final = Target(what="idle hot ledger, submit to receipt, p99", bound=250, unit="ms")
TARGETS: Final = (FINALIZE, MAXIMUM, MAXIMUM_LATER, RATIO, IDLE_P50, IDLE_P99)


def number(value: float, unit: str = "") -> str:
    """Three digits or so, with the unit."""
    if math.isnan(value):
        return "-"
    text = f"{value:,.0f}" if abs(value) >= 100 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"
    return f"{text} {unit}".rstrip()


def targets(report: Mapping[str, Any]) -> list[tuple[str, str, str, str]]:
    """A row for each target."""
    kvstore = report["kvstore"]["rate"]
    rate = report["maximum"]["latency"]["rate"]
    values = {
        FINALIZE: report["replay"]["checked"]["finalize_us"],
        MAXIMUM: rate,
        MAXIMUM_LATER: rate,
        RATIO: 100 * rate / kvstore if kvstore else math.nan,
        IDLE_P50: report["idle"]["latency"]["p50_ms"],
        IDLE_P99: report["idle"]["latency"]["p99_ms"],
    }
    return [target.row(values[target]) for target in TARGETS]


def text(report: Mapping[str, Any]) -> str:
    """The whole report for people."""
    parts = [
        _machine(report),
        table(("target", "measured", "budget", ""), targets(report)),
        table(("load", "tx/s", "p50 ms", "p99 ms", "transactions"), _loads(report)),
        table(("one transaction, us", "checked before", "not seen before"), _stages(report)),
        table(("processor at maximum", "ms a transaction", "cores"), _processor(report)),
        table(("process", "idle PSS MiB", "private", "busy PSS MiB", "private"), _memory(report)),
        table(("bytes a transaction", ""), _bytes(report)),
    ]
    return "\n\n".join(parts)


def _machine(report: Mapping[str, Any]) -> str:
    machine = report["machine"]
    return (
        f"{machine['processors']} processors ({machine['processor']}), {machine['memory_bytes'] / MIB / 1024:.0f} GiB, "
        f"Linux {machine['kernel']}; load before the start {machine['load_before']}\n"
        f"{report['clients']} clients, {report['seconds']:g} s a load; network ready in {report['ready_s']:.1f} s; "
        f"blocks of {report['maximum']['transactions_a_block']:.0f} transactions at maximum, "
        f"by quarter of the time {', '.join(number(rate) for rate in report['maximum']['rates_by_quarter'])} tx/s"
    )


def _loads(report: Mapping[str, Any]) -> list[tuple[str, ...]]:
    named = [
        ("idle, single", report["idle"]["latency"]),
        ("10 % of maximum", report["tenth"]),
        ("80 % of maximum", report["most"]),
        ("maximum", report["maximum"]["latency"]),
    ]
    rows = [
        (name, number(one["rate"]), number(one["p50_ms"]), number(one["p99_ms"]), str(one["transactions"]))
        for name, one in named
        if one is not None
    ]
    return [*rows, ("kvstore, maximum", number(report["kvstore"]["rate"]), "", "", str(report["kvstore"]["transactions"]))]


def _stages(report: Mapping[str, Any]) -> list[tuple[str, ...]]:
    checked, unseen = report["replay"]["checked"], report["replay"]["unseen"]
    rows = [("CheckTx, before the block", number(checked["check_us"]), "")]
    rows += [(f"  {name}", number(checked["stages"][name]), number(unseen["stages"][name])) for name in checked["stages"]]
    lasts = (
        ("FinalizeBlock and Commit, median", "finalize_us"),
        ("the same, processor time", "processor_us"),
        ("LevelDB's merging, processor time", "merging_us"),
    )
    return [*rows, *((name, number(checked[key]), number(unseen[key])) for name, key in lasts)]


def _processor(report: Mapping[str, Any]) -> list[tuple[str, ...]]:
    cost = report["maximum"]["cost"]
    rows = [(f"{role}", number(ms), number(cost["cores"][role])) for role, ms in cost["ms_a_transaction"].items()]
    total = (sum(cost["ms_a_transaction"].values()), sum(cost["cores"].values()))
    return [*rows, ("all", number(total[0]), number(total[1])), ("other programs", "", number(cost["others_cores"]))]


def _memory(report: Mapping[str, Any]) -> list[tuple[str, ...]]:
    idle, busy = report["idle"]["memory"], report["maximum"]["memory"]
    return [
        (
            name,
            *(number(one[part] / MIB) for one in (idle[name], busy.get(name, idle[name])) for part in ("pss", "private")),
        )
        for name in idle
    ]


def _bytes(report: Mapping[str, Any]) -> list[tuple[str, ...]]:
    maximum = report["maximum"]
    rows: list[tuple[str, ...]] = [(f"signed: {act}", number(size)) for act, size in maximum["sizes"].items()]
    return rows + [(f"on one node's disk: {part}", number(size)) for part, size in maximum["disk"].items()]


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Columns as wide as they must be: the first to the left, all others to the right."""
    lines = [tuple(heads), *(tuple(row) for row in rows)]
    widths = [max(len(line[place]) for line in lines) for place in range(len(heads))]
    out = []
    for line in lines:
        cells = [cell.ljust(width) if not place else cell.rjust(width) for place, (cell, width) in enumerate(zip(line, widths, strict=True))]
        out.append("  ".join(cells).rstrip())
    return "\n".join([out[0], "-" * len(out[0]), *out[1:]])
