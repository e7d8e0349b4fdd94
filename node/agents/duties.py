"""Duties: what agents do, declared as data, so that the runtime, the simulation and the kill tests see all of it.

Agents are level-triggered. An event only says that a document may need attention; the duty reads the document as it stands,
looks what of its work is there already, and submits what is missing. Nothing is remembered between two calls. DESIGN section 8.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

from node.agents.desk import Desk
from node.agents.ports import LedgerPort
from smartcontracts.kernel import Role

# When to look again for a ledger that the node does not have, or not yet.
LEDGER_ABSENT_MS: Final = 30_000
# A listing finds what was owed for so long, and no longer; events tell of it, however old it is.
OWED_MS: Final = 30 * 24 * 3_600_000
# A function of this form: (desk, the port of the ledger on which the document stands, the document's record).
Do = Callable[[Desk, LedgerPort, Any], Awaitable[None]]


class Later(Exception):
    """Call this duty again for this document at `at_ms`, Unix time, though no event may say so."""

    def __init__(self, at_ms: int) -> None:
        """`at_ms` in the past is at once, but never in a row without a pause."""
        super().__init__(f"again at {at_ms}")
        self.at_ms = at_ms


class LedgerAbsent(Later):
    """The node does not have a ledger, or not yet: again once it has, or after a while."""

    def __init__(self, ledger_id: str, at_ms: int) -> None:
        """`at_ms` is when to look at the latest."""
        super().__init__(at_ms)
        self.ledger_id = ledger_id


def outside(desk: Desk, ledger_id: str) -> LedgerPort:
    """The bilateral ledger with this id. Raises LedgerAbsent while the node does not have it, or not yet."""
    port = desk.bilateral.get(ledger_id)
    if port is None:
        raise LedgerAbsent(ledger_id, desk.now_ms() + LEDGER_ABSENT_MS)
    return port


def every(_desk: Desk, _record: Any) -> bool:
    """For duties that concern each document with one of their statuses."""
    return True


def is_seller(desk: Desk, record: Any) -> bool:
    """For duties about documents of a trade in which the own organization sells."""
    return bool(record.seller == desk.organization)


def is_buyer(desk: Desk, record: Any) -> bool:
    """For duties about documents of a trade in which the own organization buys."""
    return bool(record.buyer == desk.organization)


@dataclass(frozen=True, slots=True, kw_only=True)
class Duty:
    """What a role does about documents of a kind while they have one of `statuses`.

    `do` must be idempotent, and wait only for ports. A refusal that it does not expect it lets pass: the runtime logs a final
    one, looks a second time, and then waits for the next event; it retries a transient one.

    Whatever `do` decides by, one of these must follow from its change: an event of a document that this duty or one with the
    same work serves, or a time that it has asked for by Later. No duty may need a round for it: the tests hold that.
    """

    # Stable: logs and boundaries show it.
    name: str
    role: Role
    # Where the document lives: "internal" or "bilateral".
    ledger_kind: str
    kind: str
    statuses: tuple[str, ...]
    # Every purpose that `do` may submit under.
    submits: tuple[str, ...]
    do: Do
    # Whether a document with one of the statuses is this duty's: pure, and asked before `do`.
    applies: Callable[[Desk, Any], bool] = every
    # A word of the documents' `related`, to list fewer.
    related: str = ""
    # Statuses in which documents stay and gather, like those that their lifecycle ends with. Neither are ever listed: what is
    # left to do about them once their event was missed, a duty about a document that is still open does as well.
    settled: tuple[str, ...] = ()
    # Statuses in which documents stay, too, but with something that no open document tells of: where events may have been
    # missed, those that were created in the last OWED_MS are listed.
    owed: tuple[str, ...] = ()
    # Those of `owed` that are so however old they are: what was bought or sold runs, and costs. Older ones are looked for once
    # after a cursor was lost, a few at a time.
    lasting: tuple[str, ...] = ()
    # Only for what is listed after events may have been missed: what it looks for, an event of another document brings otherwise.
    catches_up: bool = False
