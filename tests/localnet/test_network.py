"""Six organizations on real engines: grants, crashes and their repair, sleep, and an end that leaves nothing."""

from __future__ import annotations

import asyncio
import time

import pytest
import pytest_asyncio

from ledgers.client import Act, ClientError, Refused
from ledgers.client.identity import new_signing_key
from localnet.attached import attach, is_ready
from localnet.material import MaterialWrong
from localnet.network import Network, runtime_folder
from localnet.topology import load_topology
from node.engine_keys import node_key_file
from node.process import start_time
from smartcontracts.membership import AddMember
from tests.localnet.strangers import stranger

pytestmark = [pytest.mark.network, pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(240)]

LEDGER = "acme-alpha"
REPAIR_S = 40


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def network(tmp_path_factory):
    async with Network(load_topology(), tmp_path_factory.mktemp("net"), grant=False) as running:
        print(f"ready in {running.ready_s:.1f} s")
        yield running


async def until(claim, seconds=REPAIR_S):
    """Wait until `claim` (a coroutine function) gives something true, and return it."""
    give_up = time.monotonic() + seconds
    while time.monotonic() < give_up:
        try:
            if found := await claim():
                return found
        except ClientError:
            pass
        await asyncio.sleep(0.2)
    raise AssertionError(f"not within {seconds} s")


async def submit(network, organization, ledger=LEDGER):
    """Some transaction: a new member of the organization."""
    command = AddMember(public_key=new_signing_key().verify_key.encode(), roles=("auditor",))
    async with network.client(organization) as client:
        signer = network.signer(organization)
        return await (await client.ledger(ledger)).submit([Act(name="add_member", command=command)], [signer])


async def agreed(network, ledger=LEDGER, height=0):
    """The one app hash of all nodes that follow the ledger, at `height` or at the highest."""
    names = [name for name in network.organizations if network.material.has_genesis(name, ledger)]
    found = await asyncio.gather(*(network.app_hash(name, ledger, height) for name in names))
    assert all(each[0] >= height for each in found)
    return found[0] if len(set(found)) == 1 else None


async def repaired(network, organization):
    async def claim():
        return (await network.node_row(organization)).is_ready

    await until(claim)


async def test_every_node_is_ready_and_all_app_hashes_agree(network):
    rows = await network.status()
    assert all(row.is_ready for row in rows)
    assert [len(row.processes.engines) for row in rows] == [3, 4, 3, 3, 3, 1]
    for ledger in network.topology.ledgers:
        assert await agreed(network, ledger)


@pytest.mark.req("L-14")
async def test_a_bilateral_ledger_is_with_its_parties_and_neutrals_and_with_nobody_else(network):
    marker = new_signing_key().verify_key.encode()
    command = AddMember(public_key=marker, roles=("auditor",))
    async with network.client("acme") as client:
        ledger = await client.ledger(LEDGER)
        done = await ledger.submit([Act(name="add_member", command=command)], [network.signer("acme")])
    assert await until(lambda: agreed(network, height=done.height + 1))
    insiders, outsiders = ("acme", "alpha", "north", "south"), ("bravo", "ofcom")
    for name in insiders:
        assert (await network.ledger_status(name, LEDGER)).validator
        assert holders(network, name, marker), f"{name} has no copy"
    for name in outsiders:
        assert holders(network, name, marker) == []
        async with network.client(name) as client:
            with pytest.raises(Refused) as refused:
                await client.ledger(done.ledger_id)
            assert refused.value.detail.name == "LEDGER_UNKNOWN"


def holders(network, name, marker):
    """Files of the organization, stores and logs of engine and application included, in which the bytes stand."""
    folders = network.data_directories(name)
    files = (path for folder in folders for path in folder.rglob("*") if path.is_file())
    return [path for path in files if marker in path.read_bytes()]


async def test_an_observers_engine_is_let_in_by_the_grant_and_a_strangers_never(network):
    files = network.material.files("ofcom")
    genesis = network.genesis_file("acme", LEDGER).read_bytes()
    node_key = node_key_file(files.engine_home(LEDGER))
    async with stranger(network, LEDGER, genesis) as outsider:
        async with stranger(network, LEDGER, genesis, node_key=node_key) as early:
            await until(lambda: answers(outsider))
            await until(lambda: answers(early))
            for _ in range(12):
                # Who dials counts a peer until it is hung up on; what counts is whom the members have.
                assert await members_peers(network) == [3, 3, 3, 3]
                await asyncio.sleep(0.5)
            assert [await outsider.height(), await early.height()] == [0, 0]
        act = await network.grant_access(LEDGER, "ofcom")
        status = await network.ledger_status("ofcom", LEDGER)
        assert is_ready(status)
        assert status.peers >= 1
        assert not status.validator
        assert await members_peers(network) == [4, 4, 4, 4]
        assert await outsider.height() == 0
    async with network.client("ofcom") as client:
        proposal = (await (await client.ledger(LEDGER)).get("proposal", act.proposal_id)).body
    governors = {network.organization_id("acme"), network.organization_id("alpha")}
    assert {signer.partition("/")[0] for signer in proposal.accepted_by} == governors
    assert proposal.status == "enacted"
    assert await until(lambda: agreed(network))


async def answers(engine):
    return await engine.height() is not None


async def members_peers(network):
    """How many peers each founder's engine has."""
    founders = network.topology.ledgers[LEDGER].founders
    return [(await network.ledger_status(name, LEDGER)).peers for name in founders]


async def test_only_who_is_to_be_granted_access_can_be(network):
    with pytest.raises(MaterialWrong, match="granted: bravo is not among them"):
        await network.grant_access(LEDGER, "bravo")


@pytest.mark.parametrize("what", ["engine", "application", "node"])
async def test_what_is_killed_is_noticed_and_started_again(network, what):
    before = network.processes("alpha")
    killed = network.kill("alpha", what, LEDGER)
    assert len(killed) == 1

    async def claim():
        return network.pids("alpha", what, LEDGER) and not set(network.pids("alpha", what, LEDGER)) & set(killed)

    await until(claim)
    await repaired(network, "alpha")
    receipt = await submit(network, "alpha")
    assert receipt.code == 0
    assert await until(lambda: agreed(network, height=receipt.height))
    after = network.processes("alpha")
    gone = set(before.all()) - set(after.all())
    assert set(killed) <= gone
    assert not [pid for pid in gone if start_time(pid)]


async def test_a_ledger_goes_on_without_one_validator_and_that_one_catches_up(network):
    network.freeze("south")
    receipts = [await submit(network, "acme") for _ in range(3)]
    network.thaw("south")
    assert await until(lambda: agreed(network, height=receipts[-1].height))


async def test_a_stopped_organization_leaves_no_process_and_comes_back(network):
    pids = network.processes("bravo").all()
    await network.stop_organization("bravo")
    assert network.processes("bravo").all() == ()
    assert not [pid for pid in pids if start_time(pid)]
    receipt = await submit(network, "alpha", "alpha-bravo")
    await network.start_organization("bravo")
    assert await until(lambda: agreed(network, "alpha-bravo", receipt.height))


async def test_ledgers_without_traffic_do_not_grow(network):
    async def heights():
        rows = await network.status()
        return {(row.organization, each.ledger): each.status.engine_height for row in rows for each in row.ledgers}

    await asyncio.sleep(2)
    before = await heights()
    await asyncio.sleep(20)
    assert await heights() == before


async def test_an_observers_access_ends_with_the_act(network):
    async with network.client("ofcom", node_of="acme", others=()) as client:
        assert await client.ledger(network.ledger_id(LEDGER))
        await network.revoke_access(LEDGER, "ofcom")

        async def refused():
            return all(status.name != LEDGER for status in (await client.node_status()).ledgers)

        await until(refused)


async def test_another_process_sees_the_network_by_its_directory(network):
    attached = attach(network.directory)
    assert attached.processes("acme") == network.processes("acme")
    assert attached.address("acme") == network.address("acme")


async def test_a_directory_has_one_keeper(network):
    with pytest.raises(MaterialWrong, match="runs already"):
        Network(None, network.directory)


async def test_agents_as_processes_are_kept_and_the_end_leaves_no_process_no_socket_and_after_a_purge_no_file(tmp_path):
    network = Network(load_topology("pair").model_copy(update={"agents": "processes"}), tmp_path / "net")
    async with network:
        (killed,) = network.kill("alpha", "agent", "sco")

        async def again():
            return network.pids("alpha", "agent", "sco") not in ((), (killed,))

        await until(again)
        await network.stop_agents("acme")
        assert network.pids("acme", "agent") == ()
        await network.start_agents("acme")

        async def all_agents():
            return [len(network.pids(name, "agent")) for name in network.organizations] == [4, 4, 0, 0]

        await until(all_agents)
        pids = [pid for name in network.organizations for pid in network.processes(name).all()]
        folders = [runtime_folder(network.material.files(name).data) for name in network.organizations]
        assert len(pids) == 22
        assert all(list(folder.glob("*.rpc")) for folder in folders)
    assert not [pid for pid in pids if start_time(pid)]
    assert not [folder for folder in folders if folder.exists()]
    assert not list(network.directory.rglob("*.sock"))
    again = Network(None, network.directory)
    await again.stop(purge=True)
    assert not network.directory.exists()
