"""The tiers' bench for people: figures with their targets, and the table of the commits on the path."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from scripts.load.report import Target, number, table

QUOTE_P50: Final = Target(what="quote over three tiers, hot and idle, p50", bound=1_500, unit="ms")


def text(report: Mapping[str, Any]) -> str:
    """The whole report."""
    parts = [_machine(report)]
    three, five = report.get("three"), report.get("five")
    if three is not None:
        alone, ways = three["alone"], three["all_ways"]
        parts.append(table(("target", "measured", "budget", ""), [QUOTE_P50.row(alone["p50_ms"])]))
        rows = [_times("one way (three tiers)", alone), _times("all ways (a diamond)", ways)]
        parts.append(table(("inquiries one by one", "p50 ms", "p99 ms", "best ms", "cores busy", "load"), rows))
        costs = {role: round(ms) for role, ms in alone["processor_ms"].items()}
        parts.append(f"processor time of all nodes, ms an inquiry, one way: {_counts(costs)}")
        parts.append("the path, one way\n" + path_table(alone["path"]))
        parts.append(_orders(three["orders"]))
    if five is not None:
        parts.append(
            f"one purchase over {five['tiers']} tiers: quote {number(five['quote_ms'], 'ms')}, order accepted after "
            f"{number(five['accepted_ms'], 'ms')}, activated after {number(five['activated_ms'], 'ms')}; "
            f"stuck: {five['stuck'] or 'nothing'}; load {five['load']:.1f}\n" + path_table(five["path"])
        )
    return "\n\n".join(parts)


def is_stuck(report: Mapping[str, Any]) -> bool:
    """Whether anything that was begun did not end: no figure makes up for that."""
    return any(part["stuck"] for part in (report["three"]["orders"], report["five"]))


def path_table(steps: Iterable[Mapping[str, Any]]) -> str:
    """A row for each commit."""
    rows = [
        (
            str(place),
            step["ledger"],
            number(step["p50_ms"]),
            number(step["p99_ms"]),
            number(step["before_ms"]),
            number(step["block_ms"]),
            ", ".join(step["names"]),
        )
        for place, step in enumerate(steps, 1)
    ]
    return table(("", "ledger", "p50 ms", "p99 ms", "before", "block", "what"), rows)


def _machine(report: Mapping[str, Any]) -> str:
    machine = report["machine"]
    return f"{machine['processors']} processors ({machine['processor']}); load before the start {machine['load_before']}"


def _times(name: str, measured: Mapping[str, Any]) -> tuple[str, ...]:
    figures = [number(measured[key]) for key in ("p50_ms", "p99_ms", "best_ms", "cores_busy")]
    return (f"{name}, {measured['inquiries']}", *figures, number(measured["load"]))


def _orders(orders: Mapping[str, Any]) -> str:
    processor = {role: round(seconds) for role, seconds in orders["processor_s"].items()}
    lines = [
        f"{orders['orders']} orders at once, load {orders['load']:.1f}",
        f"  {orders['quoted']} quotes in {orders['quoting_s']:.1f} s: {_rate(orders, 'quoting')}",
        f"  orders in {orders['ordering_s']:.1f} s: {_rate(orders, 'ordering')}",
        *(f"  {ledger}: {_counts(counts)}" for ledger, counts in orders["statuses"].items()),
        f"  stuck: {_counts(orders['stuck']) or 'nothing'}",
        f"  capacity left booked: {_counts(orders['booked']) or 'none'}",
        f"  services in operation at the last tier: {orders['in_operation']}",
        f"  processor time, s: {_counts(processor)}",
    ]
    return "\n".join(lines)


def _rate(orders: Mapping[str, Any], part: str) -> str:
    transactions, seconds = orders[f"{part}_transactions"], orders[f"{part}_s"]
    return f"{transactions} transactions on all ledgers, {number(transactions / seconds if seconds else 0)} tx/s"


def _counts(counts: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.items())
