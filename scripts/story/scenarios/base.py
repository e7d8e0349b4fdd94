"""What a scenario is, and what it is given."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Final

from scripts.story.goods import Stock
from scripts.story.market import Market
from scripts.story.nodes import Nodes
from scripts.story.scene import Stage

TOPOLOGY: Final = "tiers"
NOT_LOOKED_AT: Final = "NOT looked at:"


@dataclass(frozen=True, slots=True)
class Set:
    """Where a scenario plays: a market with agreements on every ledger, and the nodes under it."""

    market: Market
    nodes: Nodes
    unseen: list[str] = field(default_factory=list)

    @property
    def stage(self) -> Stage:
        """For telling."""
        return self.market.stage

    def not_looked_at(self, what: str) -> None:
        """Something that the scenario claims and could not see here: told where it ends, and at the very end."""
        self.stage.teller.tell(f"{NOT_LOOKED_AT} {what}")
        self.unseen.append(what)

    def now_ms(self) -> int:
        """Unix time, to tell this scenario's documents from earlier ones."""
        return self.stage.network.now_ms()


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """One of the register's scenarios.

    `stocks` is what it needs in each provider's inventory, at places that no other scenario uses; `apart` are those whose agents
    it ends and starts, so that they must be processes of their own. `play` raises StepFailed where something does not hold.
    """

    play: Callable[[Set], Awaitable[None]]
    stocks: Mapping[str, Stock] = field(default_factory=dict)
    apart: Collection[str] = ()
