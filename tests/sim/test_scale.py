"""Ten tiers deep and fifty sellers wide: an inquiry comes back as one quote, which becomes a service on every ledger down the chain."""

from __future__ import annotations

from dataclasses import replace

import pytest

from scripts.simulation import goods, layout
from scripts.simulation.build import build
from scripts.simulation.buyer import Habits, change, follow, inquire, place, quote_of
from scripts.simulation.parties import org_id
from scripts.simulation.people import Person
from smartcontracts.internal.rules import rules_of

PATIENT = Habits(
    response_ms=600_000,
    ordering="now",
    acceptance_ms=600_000,
    activation_ms=3_000_000,
    cancelling="no",
    extension="grant",
    gives_time=False,
    afterwards="keep",
    steadfast=True,
)


class Customer:
    """c1, who buys one port from p1: asks, orders, and waits until it is there."""

    def __init__(self, built, **habits):
        self.built = built
        self.habits = replace(PATIENT, **habits)
        self.world = built.world
        chain = self.world.chain_between("c1", "p1")
        self.person = Person(self.world, "c1", chain)
        self.quote = self.order = None
        self.world.start("c1 buys", self._buy())

    async def _buy(self):
        inquiry = await inquire(self.person, org_id("p1"), (goods.item(1, "port", "oslo", 10),), self.habits)
        self.quote = await quote_of(self.person, inquiry)
        order = await place(self.person, self.quote, self.habits)
        await follow(self.person, order, self.habits)
        self.order = self.person.read("order", order.id)
        if self.habits.afterwards != "keep":
            await change(self.person, org_id("p1"), self.order.service_id, self.habits)

    def run(self):
        """Until nothing happens any more."""
        self.world.begin_closing()
        while self.world.step():
            pass
        for invariant in self.built.invariants:
            invariant.end()
        self.world.close()
        return self

    def internal(self, name):
        return next(chain for chain in self.world.chains.values() if chain.kind == "internal" and chain.names == (name,))

    def documents(self, chain, kind, status):
        committed = chain.state().committed
        kind_of = committed.table.kinds[kind]
        return [committed.view.get(kind_of, one) for one in committed.view.ids(kind_of, "status", status)]


def nano(prices):
    return sum(price.rate.nano for price in prices)


@pytest.mark.req("Q-30", "Q-46", "Q-47", "O-22", "D-22", "D-23")
def test_a_chain_of_ten_tiers_gives_one_quote_that_is_marked_up_by_each_and_one_service():
    shape = layout.chain(10)
    found = Customer(build(1, 0, shape=shape, faults=False, trade=False, makes={"p10": ("port",)})).run()
    assert found.quote is not None
    handovers = [found.documents(found.internal(name), "inquiry_handover", "quoted") for name in shape.providers]
    assert [len(there) for there in handovers] == [1] * 10
    # The buyers upstream are told apart by pseudonyms: one more at each tier.
    assert [len(there[0].inquiry.ancestors) for there in handovers] == list(range(1, 11))
    made = found.documents(found.internal("p10"), "sof_query", "yes")
    price = nano(made[0].answer.prices)
    for name in shape.providers:
        points = rules_of(found.internal(name).state().committed.view).markup_basis_points
        price = price * (10_000 + points) // 10_000
    assert abs(nano(found.quote.items[0].prices) - price) <= 20
    # Ordered, it is accepted and activated by all ten: each has it in its inventory, and the last has made it.
    assert found.order.status == "activated"
    services = [found.documents(found.internal(name), "inventory_service", "in_operation") for name in shape.providers]
    assert [len(there) for there in services] == [1] * 10
    assert [there[0].elements[0].source for there in services] == ["external"] * 9 + ["internal"]
    assert [bool(there[0].elements[0].order_id) for there in services] == [True] * 9 + [False]
    assert [booking.status for booking in found.world.stocks["p10"].provisioning.live_bookings()] == ["active"]


@pytest.mark.parametrize("seed", range(1, 4))
def test_ending_a_service_of_five_tiers_ends_it_on_every_ledger_and_gives_its_resources_back(seed):
    shape = layout.chain(5)
    built = build(seed, 0, shape=shape, faults=False, trade=False, makes={"p5": ("port",)})
    found = Customer(built, afterwards="terminate").run()
    assert found.order.status == "activated"
    assert [len(found.documents(found.internal(name), "inventory_service", "in_operation")) for name in shape.providers] == [0] * 5
    assert [len(found.documents(found.internal(name), "inventory_service", "terminated")) for name in shape.providers] == [1] * 5
    pairs = [chain for chain in found.world.chains.values() if chain.kind == "bilateral"]
    assert [len(found.documents(chain, "service", "terminated")) for chain in pairs] == [1] * 5
    assert found.world.stocks["p5"].provisioning.live_bookings() == ()


@pytest.mark.req("Q-30", "Q-33", "Q-36")
def test_fifty_sellers_are_asked_for_one_element_and_ranked_in_one_document():
    # Shorter than any of these quotes is valid: some sellers keep silent, and are waited for.
    built = build(2, 0, shape=layout.star(50), faults=False, trade=False, makes={})
    found = Customer(built, response_ms=30_000).run()
    assert found.quote is not None
    internal = found.internal("p1")
    (sourcing,) = found.documents(internal, "sourcing", "ranked")
    assert len({one.seller for one in sourcing.asked}) == 50
    quoted = [one for one in sourcing.asked if one.received_quote_id and one.outcome == "quoted"]
    assert len(quoted) >= 25
    (ranking,) = [found.world.read(internal, "ranking", one) for one in sourcing.ranking_ids]
    assert len(ranking.quotes) == len(quoted)
    received = [found.world.read(internal, "received_quote", one.received_quote_id) for one in quoted]
    cheapest = min(one.quote.term_total.minor for one in received)
    points = rules_of(internal.state().committed.view).markup_basis_points
    assert abs(found.quote.term_total.minor - cheapest * (10_000 + points) / 10_000) <= 20
