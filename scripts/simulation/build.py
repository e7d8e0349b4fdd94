"""Makes a world of a seed: its organizations, ledgers, agreements, people and faults."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from ledgers.kinds import BILATERAL, INTERNAL
from ledgers.transaction import Act
from scripts.simulation import coverage, goods, layout
from scripts.simulation.agents import Agent
from scripts.simulation.buyer import habits, purchase
from scripts.simulation.chain import Chain
from scripts.simulation.faults import Faults
from scripts.simulation.invariants import watch
from scripts.simulation.invariants.base import Invariant
from scripts.simulation.journal import Violation
from scripts.simulation.layout import Layout
from scripts.simulation.meddling import Meddler
from scripts.simulation.mischief import Mischief
from scripts.simulation.parties import PERSON, org_id, signatory
from scripts.simulation.people import Person
from scripts.simulation.plays import Plays
from scripts.simulation.providers import provider
from scripts.simulation.seller import ManualSeller, keep_catalogue
from scripts.simulation.world import World
from smartcontracts.proposal import Propose, act_of

PURCHASE_MS: Final = (300, 12_000)
AGREE_MS: Final = 60_000
# How many providers have people who don't leave everything to the agents.
MEDDLED: Final = 0.3
# How many providers have a catalogue.
OFFERING: Final = 0.5


@dataclass(slots=True)
class Built:
    """A world that is ready, and what watches it."""

    world: World
    layout: Layout
    agents: tuple[Agent, ...]
    invariants: tuple[Invariant, ...]


def build(
    seed: int,
    orgs: int,
    *,
    shape: Layout | None = None,
    faults: bool = True,
    trade: bool = True,
    makes: Mapping[str, tuple[str, ...]] | None = None,
) -> Built:
    """The world of a seed. `shape` stands instead of a drawn one, `makes` instead of what providers would draw; without `trade`
    nobody buys by himself, nobody is mischievous, and agreements give no discounts.
    """
    coverage.install()
    world = World(seed)
    plan = shape or layout.draw(world.random, orgs)
    pairs = [world.add_chain(BILATERAL, pair, world.random.choice((2, 2, 3))) for pair in plan.pairs]
    for name in plan.providers:
        world.add_chain(INTERNAL, (name,), world.random.choice((1, 2)))
    invariants = watch(world)
    for chain in pairs:
        _agree(world, plan, chain, discounts=trade)
    for name in plan.desks:
        ManualSeller(world, name)
    if trade:
        _catalogues(world, plan, pairs)
    agents = tuple(agent for name in plan.providers for agent in provider(world, name, makes=_made_by(makes, name), faults=faults))
    if trade:
        for name in plan.customers:
            _customer(world, plan, name)
        for name in plan.providers:
            if world.random.random() < MEDDLED:
                Meddler(world, name)
        Mischief(world)
        Plays(world)
    if faults:
        Faults(world).begin()
    return Built(world, plan, agents, invariants)


def _made_by(makes: Mapping[str, tuple[str, ...]] | None, name: str) -> tuple[str, ...] | None:
    return None if makes is None else makes.get(name, ())


def _catalogues(world: World, plan: Layout, pairs: list[Chain]) -> None:
    """People at desks offer without being asked, and so do some providers' people, to those that buy from them."""
    offering = [*plan.desks, *(name for name in plan.providers if world.random.random() < OFFERING)]
    for name in offering:
        for chain in pairs:
            if any(seller == name and {buyer, seller} == set(chain.names) for buyer, seller in plan.links):
                keep_catalogue(world, name, chain)


def _agree(world: World, plan: Layout, chain: Chain, *, discounts: bool) -> None:
    """The agreement of a ledger's pair, signed by both at once."""
    both = [signatory(name, PERSON) for name in chain.names]
    parties = tuple(sorted(org_id(name) for name in chain.names))
    selling = [seller for buyer, seller in plan.links if {buyer, seller} == set(chain.names)]
    only_seller = org_id(selling[0]) if len(selling) == 1 else ""
    terms = goods.terms(world.random, parties, discounts=discounts, only_seller=only_seller)
    act = act_of("agreement_terms", terms)
    proposal = Act(name="propose", command=Propose(act=act, valid_for_ms=AGREE_MS))
    _, raw = world.signed(chain, both, (proposal,))
    world.schedule.now_ms += 1
    chain.submit(raw, chain.state())
    decided = world.decide(chain)
    receipt = None if decided is None else decided.result.results[-1].receipt
    if receipt is None or receipt.code:
        raise Violation("no_failure", f"{chain.label} has no agreement: {receipt}")
    world.agreements[chain.id] = next(d.id for d in receipt.documents if d.kind == "agreement")


def _customer(world: World, plan: Layout, name: str) -> None:
    """Somebody who buys again and again."""

    def next_purchase() -> None:
        if world.closing:
            return
        seller = world.random.choice(plan.sellers_of(name))
        chain = world.chain_between(name, seller)
        if chain is not None:
            offerings = tuple(world.random.sample(layout.OFFERINGS, 2))
            script = purchase(Person(world, name, chain), org_id(seller), offerings, habits(world.random))
            world.start(f"{name} buys from {seller}", script)
        plan_next()

    def plan_next() -> None:
        least_ms, most_ms = (int(bound / world.haste) for bound in PURCHASE_MS)
        world.schedule.at(world.soon(least_ms, most_ms), f"{name} wants something", next_purchase)

    plan_next()
