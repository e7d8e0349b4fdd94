"""What goes wrong with ledgers: validators away, replicas killed, clocks off; drawn, and put right after a while.

A ledger has at most one fault of its kind that it must live through, as DESIGN section 11 promises; now and then two validators are
away, and it waits.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from scripts.simulation.chain import BILATERAL, Chain
from scripts.simulation.world import World

EVERY_MS: Final = (500, 20_000)
AWAY_MS: Final = (500, 45_000)
SKEW_MS: Final = 9_000
# An internal ledger has one validator, and nobody who could refuse what its clock says.
SKEW_ALONE_MS: Final = 2_000


@dataclass(slots=True)
class Faults:
    """Brings them about while the world is not closing."""

    world: World

    def begin(self) -> None:
        world = self.world
        least_ms, most_ms = (int(bound / world.severity) for bound in EVERY_MS)
        world.schedule.at(world.soon(least_ms, most_ms), "a fault", self._one)

    def _one(self) -> None:
        world = self.world
        if world.closing:
            return
        chain = world.random.choice(list(world.chains.values()))
        kind = world.random.choices(("away", "stall", "kill", "skew"), (4, 1, 3, 3))[0]
        if not chain.away and not chain.skew_ms:
            {"away": self._away, "stall": self._stall, "kill": self._kill, "skew": self._skew}[kind](chain)
        self.begin()

    def _away(self, chain: Chain, count: int = 1) -> None:
        world = self.world
        gone = world.random.sample(chain.validators, min(count, len(chain.validators)))
        gone = [*gone, *(name for name in chain.replicas if name not in chain.validators)] if len(chain.validators) == 1 else gone
        back_ms = world.soon(*AWAY_MS)
        for name in gone:
            chain.leave(name)
            world.schedule.at(back_ms, f"{chain.label}: {name} is back", lambda name=name: self._back(chain, name))  # type: ignore[misc]
        world.note(f"{chain.label}: away are {', '.join(gone)}")

    def _stall(self, chain: Chain) -> None:
        self._away(chain, 2)

    def _back(self, chain: Chain, name: str) -> None:
        chain.come_back(name)
        if chain.is_live:
            self.world.resumed(chain)

    def _kill(self, chain: Chain) -> None:
        """In the middle of a block, or between two."""
        world = self.world
        name = world.random.choice(list(chain.replicas))
        world.note(f"{chain.label}: {name} is killed")
        if world.random.random() < 0.5:
            chain.restart(name)
        elif chain.is_live and chain.mempool:
            world.decide(chain, crash=name)

    def _skew(self, chain: Chain) -> None:
        world = self.world
        name = world.random.choice(chain.validators)
        bound_ms = SKEW_MS if chain.kind == BILATERAL else SKEW_ALONE_MS
        chain.skew_ms[name] = world.random.randint(-bound_ms, bound_ms)
        world.note(f"{chain.label}: {name}'s clock is off by {chain.skew_ms[name]} ms")
        world.schedule.at(world.soon(*AWAY_MS), f"{chain.label}: {name}'s clock is right", chain.skew_ms.clear)
