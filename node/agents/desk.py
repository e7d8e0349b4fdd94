"""Desk: what a duty is given besides its document: whose it is, its ledgers, its policies, a clock and chance."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from node.agents.policies import Policies
from node.agents.ports import LedgerPort
from node.agents.provisioning import Provisioning
from smartcontracts.kernel import Role


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """One role's view of its organization. Mappings go by ledger id, and grow when the node joins a ledger."""

    organization: str
    role: Role
    internal: LedgerPort
    bilateral: Mapping[str, LedgerPort]
    # The other party of each bilateral ledger.
    counterparties: Mapping[str, str]
    policies: Policies
    # SOF's only.
    provisioning: Provisioning | None = None
    clock: Callable[[], int]
    chance: Callable[[], bytes]

    def now_ms(self) -> int:
        """The node's clock, to choose values of commands by; what holds is ledger time."""
        return self.clock()

    def salt(self) -> bytes:
        """32 random bytes."""
        return self.chance()

    def counterparty(self, ledger_id: str) -> str:
        """The organization at the other end of a bilateral ledger. Raises KeyError where this one sees no such ledger."""
        return self.counterparties[ledger_id]
