"""Runs a world for so many steps, lets everything come to its end, and says what came of it."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from scripts.simulation.attention import look_at_everything
from scripts.simulation.build import Built, build
from scripts.simulation.coverage import Coverage
from scripts.simulation.journal import Violation
from scripts.simulation.layout import Layout

# After the last step that people begin something in, as many more as this and that times the steps may pass until all is quiet.
DRAIN_STEPS: Final = 20_000
DRAIN_FACTOR: Final = 10


@dataclass(slots=True)
class Outcome:
    """What came of a seed. `violation` is empty if everything held."""

    seed: int
    steps: int
    virtual_ms: int
    digest: str
    counts: dict[str, int]
    layout: str
    coverage: Coverage
    violation: str = ""
    detail: str = ""
    last: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def plain(self) -> dict[str, Any]:
        """For JSON, without the coverage."""
        return {
            "seed": self.seed,
            "steps": self.steps,
            "virtual_ms": self.virtual_ms,
            "digest": self.digest,
            "layout": self.layout,
            "counts": self.counts,
            "violation": self.violation,
            "detail": self.detail,
            "last": self.last,
            "seconds": round(self.seconds, 3),
        }


def run(seed: int, steps: int, orgs: int, *, shape: Layout | None = None, faults: bool = True) -> Outcome:
    """One seed, for `steps` steps and until all is quiet."""
    began = time.perf_counter()
    built: Built | None = None
    violation: Violation | None = None
    try:
        built = build(seed, orgs, shape=shape, faults=faults)
        _play(built, steps)
    except Violation as found:
        violation = found
    if built is None:
        raise RuntimeError("the world could not be built") from violation
    built.world.close()
    outcome = _outcome(seed, built, violation)
    outcome.seconds = time.perf_counter() - began
    return outcome


def _play(built: Built, steps: int) -> None:
    world = built.world
    most = steps + DRAIN_STEPS + DRAIN_FACTOR * steps
    going = True
    while going:
        if world.steps >= steps and not world.closing:
            world.begin_closing()
        if world.steps > most:
            raise Violation("it_ends", f"after {most} steps there is no end of it: {len(world.live)} scripts go on")
        going = world.step()
    look_at_everything(world, built.agents)
    for invariant in built.invariants:
        invariant.end()


def _outcome(seed: int, built: Built, violation: Violation | None) -> Outcome:
    world = built.world
    counts: Counter[str] = Counter()
    for chain in world.chains.values():
        counts.update(asdict(chain.counts))
    plan = built.layout
    return Outcome(
        seed=seed,
        steps=world.steps,
        virtual_ms=world.schedule.now_ms,
        digest=world.journal.digest(),
        counts=dict(counts),
        layout=" ".join(f"{buyer}>{seller}" for buyer, seller in plan.links),
        coverage=world.coverage,
        violation="" if violation is None else violation.name,
        detail="" if violation is None else violation.detail,
        last=[] if violation is None else list(world.journal.last),
    )
