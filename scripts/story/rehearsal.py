"""Runs scenarios: a network with what they need in its inventories, agreements on every ledger, then one after the other.

After one that did not hold the next begins on a new network: what is left of a failure is nobody else's beginning.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

from ledgers.client import ClientError
from localnet.network import Network
from localnet.topology import Topology, load_topology
from scripts.story.catalogue import find
from scripts.story.checks import show_internal
from scripts.story.goods import inventory
from scripts.story.market import Market
from scripts.story.network import LocalNetwork
from scripts.story.scenarios import scenario
from scripts.story.scenarios.base import NOT_LOOKED_AT, TOPOLOGY, Scenario, Set
from scripts.story.scene import ALPHA, Stage
from scripts.story.telling import StepFailed, Teller, plural
from scripts.story.terms import tier_terms

# Makes a text of what went wrong.
Explain = Callable[[BaseException], str]
MAKES_LINES: Final = ALPHA


async def rehearse(names: Sequence[str], directory: Path, teller: Teller, explain: Explain) -> dict[str, str]:
    """Run these scenarios; the failures, by name."""
    waiting, failures, networks = list(names), {}, 0
    while waiting:
        networks += 1
        topology = cast(load_topology(TOPOLOGY), [scenario(name) for name in waiting])
        async with raised(topology, directory / f"network-{networks}", teller) as scene:
            while waiting:
                name = waiting.pop(0)
                failure = await _play(name, scene, explain)
                if failure:
                    failures[name] = failure
                    break
    return failures


@asynccontextmanager
async def raised(topology: Topology, directory: Path, teller: Teller) -> AsyncIterator[Set]:
    """A network of the topology, and a market on it."""
    localnet = Network(topology, directory)
    async with teller.scene(f"{plural(len(localnet.organizations), 'organization')} start their nodes"):
        began = time.monotonic()
        await localnet.start()
        ms = int((time.monotonic() - began) * 1000)
        internal = [name for name, ledger in topology.ledgers.items() if ledger.kind == "internal"]
        teller.tell(
            f"{len(localnet.organizations)} nodes, {len(topology.ledgers)} ledgers, {len(internal)} of them internal, in {directory}",
            ms=ms,
        )
    try:
        async with set_up(localnet, teller) as scene:
            yield scene
    finally:
        await localnet.stop()


@asynccontextmanager
async def set_up(localnet: Network, teller: Teller) -> AsyncIterator[Set]:
    """A market on a network that runs: agreements and rules."""
    network = LocalNetwork(localnet)
    try:
        market = Market(Stage(network, teller), pairs_of(localnet.topology))
        async with teller.scene("Agreements on every ledger, and everybody's own rules"):
            await market.open(tier_terms)
        yield Set(market, network)
    finally:
        await network.close()


def pairs_of(topology: Topology) -> dict[str, tuple[str, str]]:
    """The bilateral ledgers and their parties."""
    return {
        name: (ledger.parties[0], ledger.parties[1])
        for name, ledger in topology.ledgers.items()
        if ledger.kind == "bilateral"
    }


def cast(topology: Topology, scenarios: Sequence[Scenario]) -> Topology:
    """The topology with inventories that hold all that these scenarios need, and agents apart where one of them ends them."""
    found = {}
    for name in topology.traders():
        stocks = [one.stocks[name] for one in scenarios if name in one.stocks]
        found[name] = inventory(stocks, makes_lines=name == MAKES_LINES, owner=name)
    return provided(topology, found, apart=[name for one in scenarios for name in one.apart])


def provided(topology: Topology, inventories: Mapping[str, dict[str, Any]], apart: Collection[str]) -> Topology:
    """The topology with these inventories, and the agents of some as processes of their own."""
    organizations = dict(topology.organizations)
    for name, found in inventories.items():
        organizations[name] = organizations[name].model_copy(update={"inventory": found})
    for name in apart:
        organizations[name] = organizations[name].model_copy(update={"agents": "processes"})
    return topology.model_copy(update={"organizations": organizations})


async def _play(name: str, scene: Set, explain: Explain) -> str:
    """Play one; what went wrong, or nothing."""
    entry, teller = find(name), scene.stage.teller
    if entry is not None:
        teller.print(f"\n=== {entry.number} {entry.name}: {entry.title}")
    began, began_ms, before = time.monotonic(), scene.now_ms(), len(scene.unseen)
    try:
        await scenario(name).play(scene)
    except Exception as error:  # noqa: BLE001  (the others are to run, whatever it was)
        failure = explain(error)
        teller.print(f"=== {name}: FAILED after {time.monotonic() - began:.1f} s\n{failure}")
        with contextlib.suppress(ClientError, StepFailed):
            await show_internal(scene.market, began_ms)
        return failure
    unseen = scene.unseen[before:]
    told = "".join(f"; {NOT_LOOKED_AT} {what}" for what in unseen)
    teller.print(f"=== {name}: held, {time.monotonic() - began:.1f} s{told}")
    teller.note("scenarios", {"name": name, "seconds": round(time.monotonic() - began, 1), "not_looked_at": unseen})
    return ""
