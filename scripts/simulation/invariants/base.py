"""What an invariant is given, and how it says that it is broken."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

from scripts.simulation.journal import Violation

if TYPE_CHECKING:
    from scripts.simulation.chain import Chain, Decided
    from scripts.simulation.world import World


class Invariant:
    """Told of each block, and asked at the end, when everything is quiet."""

    def __init__(self, world: World) -> None:
        self.world = world

    def block(self, chain: Chain, decided: Decided) -> None:
        """A block was committed. Raises Violation."""

    def end(self) -> None:
        """Nothing happens any more. Raises Violation."""


def broken(name: str, chain: Chain, what: str) -> NoReturn:
    """Raises Violation."""
    raise Violation(name, f"on {chain.label}: {what}")
