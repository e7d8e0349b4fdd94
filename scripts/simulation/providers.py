"""Providers: an inventory, rules, policies and four agents each; drawn, so that some make what others buy."""

from __future__ import annotations

from random import Random
from typing import Final

from ledgers.kinds import INTERNAL
from ledgers.transaction import Act
from node.agents.policies import Asked, Failure, Part, Policies, Preference, RankedQuote, Recovery
from node.agents.provisioning.bookings import BookingStore
from node.agents.provisioning.inventory import parse
from node.agents.provisioning.reference import ReferenceProvisioning
from scripts.simulation import goods, layout
from scripts.simulation.agents import Agent
from scripts.simulation.journal import Violation
from scripts.simulation.parties import AGENT_ROLES, PERSON, signatory
from scripts.simulation.plays import aims_of
from scripts.simulation.world import Stock, World
from smartcontracts.internal.rules import Prefer, SetSourcingRules
from smartcontracts.kernel import Role

CAPACITY: Final = (2, 8)
CLOCK_MS: Final = 1_500
# How many of the offerings a provider makes itself; the others it buys, if anybody sells them.
MAKES: Final = (0.35, 0.6, 0.9)
KILLED_AT: Final = (0.0, 0.005, 0.02)
FAULTS: Final = ("query", "reserve", "activate", "measure")


class Stubborn(Policies):
    """Another provider's ways: tries a second decomposition, prefers the second of a ranking, and recovers outside first."""

    def decompose(self, asked: Asked) -> tuple[Part, ...]:
        again = Asked(
            handover_id=asked.handover_id,
            buyer=asked.buyer,
            items=asked.items,
            attempt=1,
            now_ms=asked.now_ms,
            respond_by_ms=asked.respond_by_ms,
        )
        return super().decompose(again) if asked.attempt <= 2 else ()

    def prefer(self, part: Part, ranked: tuple[RankedQuote, ...]) -> Preference | None:
        return Preference(ranked[1].quote_id, "LIKED_BETTER") if len(ranked) > 1 else None

    def recover(self, failure: Failure) -> Recovery:
        if failure.failures > 1 or failure.now_ms >= failure.activate_by_ms:
            return Recovery.ABANDON
        return Recovery.ALTERNATIVE_EXTERNAL


def provider(world: World, name: str, *, makes: tuple[str, ...] | None = None, faults: bool = True) -> tuple[Agent, ...]:
    """A provider with its agents at work; `makes` instead of drawn offerings."""
    random = world.random
    makes_so_many = random.choice(MAKES)
    offerings = makes if makes is not None else tuple(one for one in layout.OFFERINGS if random.random() < makes_so_many)
    # Some documents there are only after failures: a world that aims at them has more of these.
    failing = any(aim.status in ("recovery", "abandoning", "to_fail") for aim in aims_of(world.seed))
    inventory = parse(_inventory(random, offerings, faults=faults, failing=failing).encode())
    skew_ms = random.randint(-CLOCK_MS, CLOCK_MS) if faults and random.random() < 0.3 else 0
    provisioning = ReferenceProvisioning(inventory, BookingStore(), lambda: world.now_ms() + skew_ms)
    world.stocks[name] = Stock(inventory, provisioning)
    policies = random.choice((Policies(), Policies(), Stubborn()))
    _set_rules(world, name, hasty=faults)
    return tuple(
        Agent(
            world,
            name,
            role,
            policies,
            killed_at=random.choice(KILLED_AT) * world.severity if faults else 0.0,
            skew_ms=skew_ms,
            provisioning=provisioning if role == Role.SOF else None,
        )
        for role in AGENT_ROLES
    )


def _inventory(random: Random, offerings: tuple[str, ...], *, faults: bool, failing: bool) -> str:
    """A pool an offering; what goes wrong with it now and then, or mostly with activations."""
    lines = [f'currency = "{goods.CURRENCY}"']
    if not offerings:
        lines.append("pool = []")
    for offering in offerings:
        lines += [
            "[[pool]]",
            f'id = "{offering}s"',
            f'offerings = ["{offering}"]',
            f"capacity = {random.randint(*CAPACITY)}",
            f"lead_time_ms = {random.choice((1_000, 5_000, 20_000))}",
            f"activation_ms = {random.choice((0, 0, 500, 10_000))}",
            f'cost = {{ non_recurring = "{random.randint(1, 40)}", recurring = "{random.randint(1, 20)}", period = "month" }}',
            f"change = {{ outage_ms = {random.choice((0, 2_000, 10_000))}, lead_time_ms = 1000 }}",
        ]
    for operation in FAULTS if faults else ():
        if random.random() < (0.9 if failing and operation == "activate" else 0.3):
            lines += ["[[fault]]", f'name = "{operation} fails"', f'operation = "{operation}"', f"times = {random.randint(1, 3)}", 'cause = "BROKEN"']
        if random.random() < 0.4:
            lines += ["[[fault]]", f'name = "{operation} waits"', f'operation = "{operation}"', f"times = {random.randint(1, 5)}", f"delay_ms = {random.randint(500, 30_000)}"]
    return "\n".join(lines)


def _set_rules(world: World, name: str, *, hasty: bool) -> None:
    """How this provider ranks, prices and paces; a hasty one may keep too little time for itself."""
    random = world.random
    chain = next(chain for chain in world.chains.values() if chain.kind == INTERNAL and chain.names == (name,))
    rules = SetSourcingRules(
        markup_basis_points=random.choice((0, 500, 1_500, 3_000)),
        quoting_ms=random.choice((500, 2_000, 5_000)) if hasty else 5_000,
        ordering_ms=random.choice((500, 2_000, 5_000)),
        delivery_ms=random.choice((1_000, 5_000, 20_000)),
        quote_validity_ms=random.choice((120_000, 600_000, 1_800_000)),
        prefer=random.choice((Prefer.INTERNAL, Prefer.CHEAPEST)),
        tries_max=random.choice((1, 2, 3)),
    )
    _, raw = world.signed(chain, (signatory(name, PERSON),), (Act(name="set_sourcing_rules", command=rules),))
    world.schedule.now_ms += 1
    chain.submit(raw, chain.state())
    decided = world.decide(chain)
    if decided is None or decided.result.results[-1].receipt.code:
        raise Violation("no_failure", f"{chain.label} has no rules")
