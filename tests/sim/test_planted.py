"""Each planted bug is found within two hundred seeds, by an invariant that is about it, and the seed finds it again."""

from __future__ import annotations

import pytest

from scripts.simulation.run import run
from tests.sim.planted import BUGS, FOUND_BY

STEPS = 150
ORGS = 5
SEEDS = 200


@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", BUGS)
def test_a_planted_bug_is_found(name):
    with BUGS[name]():
        found = next(outcome for seed in range(1, SEEDS + 1) if (outcome := run(seed, STEPS, ORGS)).violation)
        assert found.violation in FOUND_BY[name], found.detail
    # Planted anew, since a bug may count what it did.
    with BUGS[name]():
        again = run(found.seed, STEPS, ORGS)
    assert (again.violation, again.detail, again.steps) == (found.violation, found.detail, found.steps)
    assert again.last == found.last
    assert not run(found.seed, STEPS, ORGS).violation
