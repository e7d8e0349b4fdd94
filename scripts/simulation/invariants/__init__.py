"""What must hold after every step, each as a class that looks at the documents which a block wrote. docs/simulation.md lists them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from scripts.simulation.invariants.change import Change
from scripts.simulation.invariants.isolation import Isolation
from scripts.simulation.invariants.once import Once
from scripts.simulation.invariants.refused import Refused
from scripts.simulation.invariants.supply import Capacity, Supply
from scripts.simulation.invariants.trade import Trade
from scripts.simulation.invariants.windows import Windows

if TYPE_CHECKING:
    from scripts.simulation.invariants.base import Invariant
    from scripts.simulation.world import World

CLASSES: Final[tuple[type[Invariant], ...]] = (Trade, Windows, Isolation, Once, Supply, Capacity, Change, Refused)


def watch(world: World) -> tuple[Invariant, ...]:
    """One of each, from now on told of every block of this world."""
    made = tuple(one(world) for one in CLASSES)
    world.invariants += [one.block for one in made]
    return made
