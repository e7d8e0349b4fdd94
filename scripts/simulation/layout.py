"""Who is there and who may buy from whom: chains, diamonds, loops, stars and what chance gives."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from random import Random
from typing import Final

SHAPES: Final = ("chain", "diamond", "loop", "random")
ORGS_LEAST: Final = 2
OFFERINGS: Final = ("port", "line", "wave")


@dataclass(frozen=True, slots=True)
class Layout:
    """Names of organizations. A link is (buyer, seller); one ledger may have both directions.

    `customers` only buy; `providers` sell through agents, and buy what they lack; at `desks` people sell.
    """

    customers: tuple[str, ...]
    providers: tuple[str, ...]
    desks: tuple[str, ...]
    links: tuple[tuple[str, str], ...]

    @property
    def names(self) -> tuple[str, ...]:
        return (*self.customers, *self.providers, *self.desks)

    @property
    def pairs(self) -> tuple[tuple[str, str], ...]:
        """Each ledger once, by its two parties."""
        return tuple(dict.fromkeys(tuple(sorted(link)) for link in self.links))  # type: ignore[misc]

    def sellers_of(self, buyer: str) -> tuple[str, ...]:
        return tuple(seller for one, seller in self.links if one == buyer)


def chain(tiers: int) -> Layout:
    """A customer, and providers of which each buys from the next."""
    providers = tuple(f"p{n}" for n in range(1, tiers + 1))
    row = ("c1", *providers)
    return Layout(("c1",), providers, (), tuple(pairwise(row)))


def star(sellers: int) -> Layout:
    """A provider that may ask many sellers for one element."""
    desks = tuple(f"d{n}" for n in range(1, sellers + 1))
    return Layout(("c1",), ("p1",), desks, (("c1", "p1"), *(("p1", desk) for desk in desks)))


def diamond() -> Layout:
    """Two providers between one above and one below."""
    return Layout(("c1",), ("p1", "p2", "p3", "p4"), (), (("c1", "p1"), ("p1", "p2"), ("p1", "p3"), ("p2", "p4"), ("p3", "p4")))


def loop() -> Layout:
    """Three providers in a circle: each buys from the next, and the ledgers serve both directions."""
    return Layout(("c1",), ("p1", "p2", "p3"), (), (("c1", "p1"), ("p1", "p2"), ("p2", "p3"), ("p3", "p1"), ("p2", "p1")))


def draw(random: Random, orgs: int) -> Layout:
    """A layout of so many organizations."""
    shape = random.choice(SHAPES)
    if shape == "chain" and orgs >= 3:
        base = chain(min(orgs - 1, 4))
    elif shape == "diamond" and orgs >= 5:
        base = diamond()
    elif shape == "loop" and orgs >= 4:
        base = loop()
    else:
        base = _pair(random, orgs)
    return _grown(base, random, orgs)


def _pair(random: Random, orgs: int) -> Layout:
    if orgs == ORGS_LEAST or random.random() < 0.2:
        return Layout(("c1",), (), ("d1",), (("c1", "d1"),))
    return Layout(("c1",), ("p1",), ("d1",), (("c1", "p1"), ("p1", "d1")))


def _grown(base: Layout, random: Random, orgs: int) -> Layout:
    """More customers, providers and desks, each linked to one or two that are there."""
    customers, providers, desks = list(base.customers), list(base.providers), list(base.desks)
    links = list(base.links)
    while len(customers) + len(providers) + len(desks) < orgs:
        what = random.choices(("customer", "provider", "desk"), (2, 3, 3))[0]
        sellers = [*providers, *desks]
        if what == "customer":
            name = f"c{len(customers) + 1}"
            links += [(name, seller) for seller in random.sample(sellers, min(len(sellers), random.randint(1, 2)))]
            customers.append(name)
            continue
        name = f"p{len(providers) + 1}" if what == "provider" else f"d{len(desks) + 1}"
        buyers = [*providers, *customers]
        links += [(buyer, name) for buyer in random.sample(buyers, min(len(buyers), random.randint(1, 2)))]
        (providers if what == "provider" else desks).append(name)
    return Layout(tuple(customers), tuple(providers), tuple(desks), tuple(dict.fromkeys(links)))
