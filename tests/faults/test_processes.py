"""Killed, frozen and stopped processes of four validators under load: nothing committed is lost, nobody needs a hand."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import time
from dataclasses import replace

import pytest

from node.engine_keys import ensure_engine_keys
from tests.faults.harness import LEDGER, FaultNode, Network, until
from tests.faults.load import Load, assert_kept, conclude, longest_gap_s
from tests.faults.stores import filed_versions
from tests.node.network import Org, free_port, write_config

pytestmark = [pytest.mark.network, pytest.mark.timeout(900)]
VICTIMS = (("application",), ("engine",), ("application", "engine"))


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    with Network(tmp_path_factory.mktemp("net"), history_blocks=0, window_min_ms=10_000) as network:
        yield network


@pytest.fixture(scope="module")
def agreement(network):
    async def make():
        async with network.seats() as seats:
            return await conclude(seats["acme"], seats["alpha"])

    return asyncio.run(make())


async def running(network, name, seats):
    """Whether the node has both processes, runs the ledger, and has caught up with the others."""
    status = await seats[name].status()
    ready = status is not None and status.state == "running" and not status.catching_up
    return ready and network[name].application_pid and network[name].engine_pid


async def kills_under_load(network, agreement, tmp_path, *, count, seed):
    """Kill `count` times, at moments and in places of `seed`; returns what happened, for people."""
    dice = random.Random(seed)
    rows = []
    async with network.seats(hand_on=True) as seats:
        async with Load(seats, agreement, tmp_path / "receipts.jsonl", seed) as load:
            for number in range(count):
                before = load.written
                await until(lambda before=before: load.written >= before + 5, 120, "the load does not get on")
                await asyncio.sleep(dice.uniform(0, 1.5))  # the moment is the point of the test
                name, what = dice.choice(sorted(network.nodes)), VICTIMS[(number + seed) % len(VICTIMS)]
                killed = time.monotonic()
                network[name].kill(*what)
                at = load.written
                # More than what was decided already when it was killed.
                await until(lambda at=at: load.written > at + 10, 120, f"no blocks after the kill of {what} of {name}")
                await until(lambda name=name: running(network, name, seats), 150, f"{name} does not come back")
                back = time.monotonic()
                gap = longest_gap_s(load.receipts(), killed, back)
                rows.append((name, "+".join(what), round(gap, 1), round(back - killed, 1)))
        receipts = load.receipts()
        height = await network.settled(seats, 150)
        await assert_kept(receipts, seats, height)
        await network.assert_same_history(seats, height)
    for node in network.nodes.values():
        filed, versions = await filed_versions(node, tmp_path)
        assert filed, f"{node.org.name} has none of {versions} versions filed by their parts' places"
        rows.append((node.org.name, "store", filed, versions))
    return rows, len(receipts), height


async def test_kill_9_of_application_engine_and_both_under_load_loses_nothing(network, agreement, tmp_path):
    rows, receipts, height = await kills_under_load(network, agreement, tmp_path, count=3, seed=1)
    print(
        f"{receipts} receipts, {height} heights, kills (who, what, longest gap s, caught up s), versions filed, all: {rows}"
    )
    assert {what for _, what, _, _ in rows} == {"application", "engine", "application+engine", "store"}


async def test_an_engine_that_hangs_when_its_application_was_killed_does_not_outlive_it(network):
    """Seen under load: it took its own SIGTERM and stayed, up and answering, through three lives of its application."""
    async with network.seats() as seats:
        await network.settled(seats)
        node = network["north"]
        hung = node.engine_pid
        os.kill(hung, signal.SIGSTOP)
        node.kill("application")
        await until(lambda: node.engine_pid not in {None, hung}, 90, "the hung engine lives on")
        await until(lambda: running(network, "north", seats), 150, "north does not come back")
        await network.assert_same_history(seats)


@pytest.mark.soak
@pytest.mark.timeout(1_500)
async def test_twenty_kills_under_load_lose_nothing(network, agreement, tmp_path):
    rows, receipts, height = await kills_under_load(network, agreement, tmp_path, count=20, seed=20)
    print(f"{receipts} receipts, {height} heights; who, what, longest gap between receipts s, caught up s:")
    print("\n".join(map(str, rows)))


async def test_one_validator_away_the_ledger_goes_on_and_it_catches_up(network, agreement, tmp_path, request):
    seconds = 60 if request.config.getoption("--soak") else 10
    async with network.seats() as seats:
        before = await network.settled(seats)
        network["south"].freeze()
        others = {name: seat for name, seat in seats.items() if name != "south"}
        try:
            async with Load(others, agreement, tmp_path / "receipts.jsonl", 1) as load:
                began = time.monotonic()
                await until(
                    lambda: load.written >= 20 and time.monotonic() - began >= seconds, 180, "it does not go on"
                )
            reached = await seats["acme"].height()
        finally:
            network["south"].thaw()
        thawed = time.monotonic()
        height = await network.settled(seats)
        print(
            f"{load.written} receipts while away, {reached - before} heights, caught up in {time.monotonic() - thawed:.1f} s"
        )
        assert height >= reached >= before + 10
        await assert_kept(load.receipts(), seats, height)
        await network.assert_same_history(seats, height)


async def test_two_validators_away_the_ledger_waits_and_goes_on_when_one_is_back(network, agreement, tmp_path):
    async with network.seats() as seats:
        await network.settled(seats)
        network["north"].freeze()
        network["south"].freeze()
        here = {name: seats[name] for name in ("acme", "alpha")}
        try:
            async with Load(here, agreement, tmp_path / "receipts.jsonl", 2) as load:
                # Blocks that were decided already may still come; after that nothing can be.
                stood = await until(lambda: stands(here), 60, "blocks come without a quorum")
                await asyncio.sleep(6)  # nothing is to happen, so there is nothing to wait for
                assert await seats["acme"].height() <= stood + 1
                written = load.written
                network["north"].thaw()
                thawed = time.monotonic()
                await until(lambda: load.written >= written + 10, 120, "it does not go on with three")
                print(f"went on {time.monotonic() - thawed:.1f} s after the third was back")
        finally:
            network["north"].thaw()
            network["south"].thaw()
        height = await network.settled(seats)
        await assert_kept(load.receipts(), seats, height)
        await network.assert_same_history(seats, height)


async def height_of(node):
    """Of its engine's last block."""
    status = await until(lambda: node.rpc("status"), 60, "its engine does not answer")
    return int(status["sync_info"]["latest_block_height"])


async def stands(seats):
    """The height that all have, once it has been the same for a while; 0 until then."""
    before = {await seat.height() for seat in seats.values()}
    await asyncio.sleep(2)
    after = {await seat.height() for seat in seats.values()}
    return max(after) if before == after and len(after) == 1 else 0


async def test_a_strangers_engine_that_knows_address_and_genesis_is_no_peer(network):
    eve = Org.make("eve", network.folder)
    stranger_id = ensure_engine_keys(eve.folder / "engines" / LEDGER).node_id
    peers = {**network.founded.peers, eve.id: f"{stranger_id}@127.0.0.1:{free_port()}"}
    config = write_config(eve, [replace(network.founded, peers=peers)])
    config.write_text(config.read_text().replace("validator = true", "validator = false"))
    node = FaultNode(eve, config, network.id)

    def refused():
        """How often each of the four turned it away."""
        wanted = ("peer.refused", f"/p2p/filter/id/{stranger_id}")
        return [sum((e.get("event"), e.get("path")) == wanted for e in n.events()) for n in network.nodes.values()]

    async def alone():
        return (await node.rpc("net_info"))["n_peers"] == "0"

    async def peers_of(other):
        """Its three peers; nothing while one that was killed before is not connected again."""
        found = (await other.rpc("net_info"))["peers"]
        assert stranger_id not in json.dumps(found)
        return found if len(found) == 3 else ()

    async with network.seats() as seats:
        height = await network.settled(seats)
        node.start()
        try:
            await until(lambda: min(refused()) >= 1, 120, "nobody turned it away")
            # Its engine counts a peer from its own handshake until the other side, whose filter comes after, hangs up.
            await until(alone, 60, "it has a peer")
            assert await height_of(node) == 0
            for other in network.nodes.values():
                await until(lambda other=other: peers_of(other), 90, "the four are not each other's peers")
        finally:
            node.end()
        assert await network.settled(seats) >= height
