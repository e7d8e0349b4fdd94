"""The scenarios by name: what `scripts/demo --list` shows. Only the standard library, so that it needs no installation.

Numbers are those of the requirement register's composite scenarios (section 18).
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Entry:
    """One scenario. `module` lies in scripts.story.scenarios."""

    number: int
    name: str
    title: str
    module: str


ENTRIES = (
    Entry(1, "menu", "Two parties, from a catalogue: standing quote, order, activation, use, invoice, payment", "menu"),
    Entry(2, "chain", "Made to order over three tiers: one element made, two bought, all chained and tested", "chain"),
    Entry(3, "silent-seller", "A seller does not answer: deemed unable on every node, and its late quote is taken", "silent"),
    Entry(4, "loop-and-diamond", "A loop is refused, and who is asked for the same element twice says DUPLICATE", "loop"),
    Entry(5, "changed-order", "A changed detail and an expired quote are refused; after another quote the order goes", "changed"),
    Entry(6, "rejected-sibling", "One seller rejects after another accepted: rejected upstream, the sibling cancelled", "sibling"),
    Entry(7, "silent-order", "The seller's node is stopped: the order is rejected by time, at one height everywhere", "stopped"),
    Entry(8, "recovery", "An activation fails: an alternative from outside, in a window that is extended", "recovery"),
    Entry(9, "abandonment", "Nothing helps: order failed, resources released, orders cancelled to the last tier", "abandonment"),
    Entry(15, "change", "A change with an outage: consents, a time in advance, and its outcome on every ledger", "change"),
    Entry(16, "confidentiality", "Markers in every internal and bilateral ledger are with nobody else, nor on the wire", "confidentiality"),
)


def find(word: str) -> Entry | None:
    """The scenario of this name or number."""
    return next((entry for entry in ENTRIES if word in (entry.name, str(entry.number))), None)


def listing() -> str:
    """A line for each."""
    width = max(len(entry.name) for entry in ENTRIES)
    return "\n".join(f"{entry.number:>3}  {entry.name.ljust(width)}  {entry.title}" for entry in ENTRIES)
