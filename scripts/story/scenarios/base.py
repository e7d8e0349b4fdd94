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


@dataclass(frozen=True, slots=True)
class Set:
    """Where a scenario plays: a market with agreements on every ledger, and the nodes under it."""

    market: Market
    nodes: Nodes

    @property
    def stage(self) -> Stage:
        """For telling."""
        return self.market.stage

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
