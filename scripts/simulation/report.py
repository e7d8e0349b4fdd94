"""What a run of seeds says: of a failure everything that replays it, of the rest the sums and the coverage."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Final

from scripts.simulation.coverage import Coverage
from scripts.simulation.register import ROWS
from scripts.simulation.run import Outcome

VERSION: Final = 2
LINES: Final = 25


@dataclass(slots=True)
class Report:
    """Adds up outcomes. `command` is how a seed is replayed, without the seed."""

    steps_each: int
    orgs: int
    plant: str = ""
    first_seed: int = 0
    seeds: int = 0
    steps: int = 0
    virtual_ms: int = 0
    seconds: float = 0.0
    counts: Counter[str] = field(default_factory=Counter)
    coverage: Coverage = field(default_factory=Coverage)
    failures: list[Outcome] = field(default_factory=list)

    def add(self, outcome: Outcome) -> None:
        if not self.seeds:
            self.first_seed = outcome.seed
        self.seeds += 1
        self.steps += outcome.steps
        self.virtual_ms += outcome.virtual_ms
        self.seconds += outcome.seconds
        self.counts.update(outcome.counts)
        self.coverage.add(outcome.coverage)
        if outcome.violation:
            self.failures.append(outcome)

    def replay(self, outcome: Outcome) -> str:
        """The command that does it again."""
        plant = f" --plant {self.plant}" if self.plant else ""
        return f"scripts/simulate --seed {outcome.seed} --steps {self.steps_each} --orgs {self.orgs}{plant}"

    def plain(self) -> dict[str, Any]:
        return {
            "version": VERSION,
            "seeds": [self.first_seed, self.first_seed + self.seeds - 1],
            "steps_each": self.steps_each,
            "orgs": self.orgs,
            "plant": self.plant,
            "steps": self.steps,
            "virtual_s": self.virtual_ms // 1_000,
            "seconds": round(self.seconds, 1),
            "counts": dict(self.counts),
            "coverage": self.coverage.report(),
            "failures": [{**one.plain(), "replay": self.replay(one)} for one in self.failures],
        }

    def text(self) -> str:
        """For people."""
        found = self.coverage.report()
        counts = self.counts
        lines = [self._failure(one) for one in self.failures]
        lines += [
            f"seeds {self.first_seed} to {self.first_seed + self.seeds - 1}, {len(self.failures)} failed",
            f"{self.steps} steps, {self.virtual_ms / 3_600_000:.1f} hours of virtual time in {self.seconds:.1f} s",
            ", ".join(f"{name.replace('_', ' ')} {count}" for name, count in counts.items()),
            "rows of the register (section 11):",
            *(row.line(self.coverage) for row in ROWS),
            f"steps of lifecycles taken {found['steps_taken']} of {found['steps']}; steps refused {found['steps_refused']}",
            *(f"  not taken: {step}" for step in found["steps_missing"]),
            f"agents killed {found['kills']} times, at {found['boundaries_killed_at']} of {found['boundaries']} boundaries",
            f"refusals met {found['refusals_met']} of {found['refusals']}",
        ]
        if found["refusals_missing"]:
            lines.append("  not met: " + ", ".join(found["refusals_missing"]))
        return "\n".join(lines)

    def _failure(self, outcome: Outcome) -> str:
        happened = "\n".join(f"    {line}" for line in outcome.last[-LINES:])
        return (
            f"seed {outcome.seed}, step {outcome.steps}: {outcome.violation} is broken {outcome.detail}\n"
            f"  ledgers: {outcome.layout}\n  the last happenings:\n{happened}\n  replay: {self.replay(outcome)}\n"
        )
