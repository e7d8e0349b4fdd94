"""A simulated meter and a simulated probe: seeded, so that every run with one seed measures the same."""

from __future__ import annotations

import random
from typing import Final

from smartcontracts.money import NANO
from smartcontracts.score import TENTHS_MAX

SEED: Final = 20_260_101
_LEAST_GB: Final = 200
_MOST_GB: Final = 4_000
_PERCENT_NANO: Final = 100 * NANO


def bursts(name: str, count: int, seed: int = SEED) -> list[int]:
    """`count` quantities in billionths of a GB, in hundredths of a GB."""
    chance = random.Random(f"{seed}/{name}")  # noqa: S311  (a simulated meter, no secret)
    return [chance.randint(_LEAST_GB * 100, _MOST_GB * 100) * (NANO // 100) for _ in range(count)]


def availabilities(name: str, count: int, target_nano: int, seed: int = SEED) -> list[int]:
    """`count` availabilities in billionths of a percent; the second misses the target, all others meet it."""
    chance = random.Random(f"{seed}/{name}")  # noqa: S311  (a simulated probe, no secret)
    room = _PERCENT_NANO - target_nano
    return [
        target_nano - chance.randint(1, 5 * room) if place == 1 else target_nano + chance.randint(0, room)
        for place in range(count)
    ]


def tenths(actual_nano: int, target_nano: int) -> int:
    """C(t) of an availability: 9.9 for a met target, and 1.0 less than 9.8 for each tenth of a percent that is missing."""
    if actual_nano >= target_nano:
        return TENTHS_MAX
    return max(0, TENTHS_MAX - 1 - 10 * (target_nano - actual_nano) // (NANO // 10))
