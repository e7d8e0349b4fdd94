"""A transaction that gets no block through one node is handed to another, the same bytes: it is executed once."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time

import pytest
from nacl.signing import SigningKey

from ledgers.client import Act, Client, Connection, NodeUnreachable, Refused, SyncClient, make
from ledgers.client.ledger import COMMIT_TIMEOUT_S, Ledger
from smartcontracts.membership import AddMember
from tests.node.network import Org, RunningNode, found, refusing_port, write_config

pytestmark = [pytest.mark.network, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def node(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hand-on")
    alpha = Org.make("alpha", folder)
    ledgers = [found("pair", "bilateral", folder, [alpha]), found("int", "internal", folder, [alpha])]
    running = RunningNode(alpha, write_config(alpha, ledgers)).start()
    try:
        yield running.wait_ready()
    finally:
        running.stop()


@contextlib.contextmanager
def silent_node():
    """A port that takes connections and never says a word."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield f"127.0.0.1:{listener.getsockname()[1]}"


def add_member():
    command = AddMember(public_key=SigningKey.generate().verify_key.encode(), roles=("auditor",))
    return Act(name="add_member", command=command)


async def ledger_by(node, address, others, name="pair"):
    """The ledger through `address`, as if that node had answered before."""
    async with Client(f"127.0.0.1:{node.org.grpc_port}", node.org.credentials()) as client:
        status = await (await client.ledger(name)).status()
    first = Connection(address, node.org.credentials())
    return Ledger(first, others, status), first


@pytest.mark.parametrize("silent", [True, False])
async def test_another_node_gets_the_same_bytes(node, silent):
    good = Connection(f"127.0.0.1:{node.org.grpc_port}", node.org.credentials())
    with silent_node() as address, refusing_port() as refusing:
        ledger, first = await ledger_by(node, address if silent else f"127.0.0.1:{refusing}", [good])
        signed = make(ledger.id, [add_member()], [node.org.signer])
        started = time.monotonic()
        receipt = await ledger.submit_signed(signed)
        seconds = time.monotonic() - started
    assert receipt.transaction_id == signed.id
    assert receipt.name == "OK"
    # Long before the first node's time is over.
    assert (2.0 <= seconds < COMMIT_TIMEOUT_S / 2) if silent else seconds < COMMIT_TIMEOUT_S / 2
    await asyncio.gather(first.close(), good.close())


async def test_a_transaction_of_an_internal_ledger_is_handed_to_nobody(node):
    """What stands in it is for no other organization: who would take it gets no byte, and the own node's absence is said."""
    others = Connection(f"127.0.0.1:{node.org.grpc_port}", node.org.credentials())
    with refusing_port() as refusing:
        ledger, first = await ledger_by(node, f"127.0.0.1:{refusing}", [others], "int")
        signed = make(ledger.id, [add_member()], [node.org.signer])
        with pytest.raises(NodeUnreachable):
            await ledger.submit_signed(signed)
    async with Client(f"127.0.0.1:{node.org.grpc_port}", node.org.credentials()) as client:
        with pytest.raises(Refused) as unknown:
            await (await client.ledger("int")).receipt(signed.id)
    assert unknown.value.detail.name == "TRANSACTION_UNKNOWN"
    await asyncio.gather(first.close(), others.close())


async def test_without_another_node_it_is_unreachable(node):
    with refusing_port() as refusing:
        ledger, first = await ledger_by(node, f"127.0.0.1:{refusing}", [])
        with pytest.raises(NodeUnreachable):
            await ledger.submit([add_member()], [node.org.signer])
    await first.close()


def test_the_blocking_client_does_all_that_the_other_one_does(node):
    with SyncClient(f"127.0.0.1:{node.org.grpc_port}", node.org.credentials()) as client:
        ledger = client.ledger("int")
        receipt = ledger.submit([add_member()], [node.org.signer])
        assert ledger.receipt(receipt.transaction_id) == receipt
        assert receipt.documents[0].id in {document.id for document in ledger.list("member")}
        assert next(iter(ledger.events(after=""))).kind == "member"


async def test_a_transaction_is_handed_only_to_nodes_of_organizations_on_its_ledger(node, tmp_path):
    """A partner on another ledger is configured, too; what stands in this one's transactions is not for it."""
    stranger = Org.make("charlie", tmp_path)
    own = f"127.0.0.1:{node.org.grpc_port}"
    with silent_node() as address:
        others = [
            Connection(address, node.org.credentials(stranger.authority)),
            Connection(own, node.org.credentials()),
        ]
        async with Client(own, node.org.credentials(), others=others) as client:
            pair = await client.ledger("pair")
            assert [other.address for other in pair._others] == [own]
            assert (await client.ledger("int"))._others == ()
    assert [other.organization_id for other in others] == [stranger.id, node.org.id]
