"""An upgrade on real nodes: kills around its height cost nothing, and a node with old software waits for new one."""

from __future__ import annotations

import pytest

from smartcontracts.codec import decode
from syngraph.v1.system_pb2 import StoredDocument
from tests.counter import Counter
from tests.faults.harness import Network, until
from tests.versioned import program, schedule

pytestmark = [pytest.mark.network, pytest.mark.timeout(600)]
HEIGHTS_AHEAD = 12


@pytest.fixture
def network(tmp_path):
    network = Network(tmp_path, controlled=True, history_blocks=0)
    for name, node in network.nodes.items():
        node.control(versions=[1] if name == "south" else [1, 2])
    with network:
        yield network


async def header_version(node, height):
    header = (await node.rpc(f"block?height={height}"))["block"]["header"]
    return int(header["version"].get("app", 0))


async def counts(seat, counter):
    return len(decode(Counter, StoredDocument.FromString(await seat.stored("counter", counter)).body).accepted_by)


async def traffic(network, seats, counter, at):
    """Counts until two blocks past the upgrade, with a kill before it and one after; the heights of the counts."""
    kills = {at - 2: "north", at + 1: "alpha"}
    heights = []
    while not heights or heights[-1] < at + 4:
        heights.append((await seats["acme"].submit(program(f"count {counter}"), timeout_s=180)).height)
        for height, name in list(kills.items()):
            if heights[-1] >= height:
                del kills[height]
                network[name].kill("application", "engine")
    assert not kills
    return heights


async def test_kills_around_an_upgrade_and_a_node_with_old_software_change_nothing(network):
    async with network.seats() as seats:
        signers = [seats["acme"].org.signer, seats["alpha"].org.signer]
        counter = (await seats["acme"].submit(program("open plain 3600000"))).documents[0].id
        at = await network.settled(seats) + HEIGHTS_AHEAD
        ledger = await seats["acme"].ledger()
        assert (await ledger.submit([schedule(2, at)], signers)).code == 0
        heights = await traffic(network, seats, counter, at)
        expected = sum(1 if height < at else 2 for height in heights)
        assert await counts(seats["acme"], counter) == expected

        async def halted():
            status = await seats["south"].status()
            return status is not None and status.state == "halted" and status

        status = await until(halted, 120, "the node with old software does not stop")
        assert status.height == at - 1
        assert all(part in status.halt for part in ("version 2", network.id, f"height {at}"))
        assert await counts(seats["south"], counter) == sum(height < at for height in heights)

        # Its software is updated.
        network["south"].stop()
        network["south"].control(versions=[1, 2])
        network["south"].start().wait_ready()
        height = await network.settled(seats, 150)
        assert await counts(seats["south"], counter) == expected
        await network.assert_same_history(seats, height)
        for node in network.nodes.values():
            versions = [await header_version(node, h) for h in range(at - 2, height + 1)]
            assert versions == [1, 1] + [2] * (height + 1 - at)
