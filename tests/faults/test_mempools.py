"""Mempools that are full to a block's last byte, or that differ: the engine lives, and what one admits is committed."""

from __future__ import annotations

import asyncio
import time

import pytest

from abci_app.proposals import wire_bytes
from ledgers.client import make
from ledgers.transaction import encode_timestamp
from tests.faults.contracts import program
from tests.faults.harness import Network, until

pytestmark = [pytest.mark.network, pytest.mark.timeout(240)]
# Under the quota of one organization, which is 500.
OF_EACH = 60
IN_FLIGHT = 40


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    with Network(tmp_path_factory.mktemp("net"), controlled=True) as network:
        yield network


async def data_bytes_max(network, seats):
    """What the engine says that the transactions of a block may have, as it counts them."""
    await seats["acme"].submit(program("open plain 3600000"))
    await until(lambda: network["acme"].journal("prepare") or network["alpha"].journal("prepare"), 20, "no proposal")
    notes = network["acme"].journal("prepare") + network["alpha"].journal("prepare")
    return notes[-1]["bytes_max"]


def signed(network, name, text):
    return make(network.id, [program(text)], [network.orgs[name].signer])


def filling_size(bytes_max, room, least=20_000, most=30_000):
    """A transaction's size in a block, so that many of them leave fewer bytes free than a timestamp needs."""
    for size in range(least, most):
        if bytes_max % size < room:
            return size
    raise AssertionError("no such size")


def of_size(network, name, size):
    """A transaction that takes exactly `size` bytes of a block."""
    text = "refuse "
    for _ in range(4):
        found = wire_bytes(signed(network, name, text).encoded)
        text = text[: len(text) + min(0, size - found)] + "x" * max(0, size - found)
    made = signed(network, name, text)
    assert wire_bytes(made.encoded) == size
    return made


async def test_mempools_full_to_the_last_byte_of_a_block_leave_the_engines_alive(network):
    async with network.seats() as seats:
        bytes_max = await data_bytes_max(network, seats)
        height = await network.settled(seats)
        timestamp = wire_bytes(encode_timestamp(network.id, time.time_ns() // 1_000_000))
        size = filling_size(bytes_max, timestamp)
        everything = {name: [of_size(network, name, size) for _ in range(OF_EACH)] for name in network.nodes}
        assert 4 * OF_EACH * size > bytes_max
        # Without a quorum nothing leaves the mempools.
        network["north"].freeze()
        network["south"].freeze()
        try:
            room = asyncio.Semaphore(IN_FLIGHT)

            async def send(seat, transaction):
                async with room:
                    await (await seat.ledger()).send(transaction, skip_simulation=True)

            began = time.monotonic()
            await asyncio.gather(
                *(
                    send(seats[("acme", "alpha")[number % 2]], transaction)
                    for transactions in everything.values()
                    for number, transaction in enumerate(transactions)
                )
            )
            sent_s = time.monotonic() - began
        finally:
            network["north"].thaw()
            network["south"].thaw()
        thawed = time.monotonic()
        ids = [transaction.id for transactions in everything.values() for transaction in transactions]
        settled = await network.settled(seats, 120)
        print(f"{len(ids)} sent in {sent_s:.1f} s, committed in {time.monotonic() - thawed:.1f} s")
        ledger = await seats["south"].ledger()
        codes = {(await ledger.receipt(name)).code for name in ids}
        assert codes == {9901}, "not all of them are in blocks"
        proposed = [note for node in network.nodes.values() for note in node.journal("prepare")]
        fullest = max(note["offered_bytes"] for note in proposed)
        assert bytes_max - timestamp < fullest <= bytes_max, "no mempool filled a block to the last byte"
        assert all(note["taken_bytes"] <= note["bytes_max"] for note in proposed)
        made = {n["height"]: n for n in network["acme"].journal("finalize") if n["height"] > height}
        print([(n["transactions"], n["bytes"]) for n in made.values() if n["transactions"] > 1], "of", bytes_max)
        assert max(note["bytes"] for note in made.values()) > bytes_max - size
        for node in network.nodes.values():
            assert "consensus_failed" not in node.log.read_text()
        await network.assert_same_history(seats, settled)


async def test_a_transaction_that_one_mempool_admits_is_committed_within_5_s_by_handing_it_on(network):
    async with network.seats(hand_on=True) as seats:
        others = [node for name, node in network.nodes.items() if name != "acme"]
        for _ in range(8):
            await network.settled(seats)
            if await network.next_proposer() != "acme":
                break
            await seats["acme"].submit(program("open plain 3600000"))
        before = await seats["acme"].height()
        for node in others:
            node.control(refuse_checks=True)
        transaction = signed(network, "acme", "open plain 3600000")
        began = time.monotonic()
        try:
            sending = asyncio.create_task((await seats["acme"].ledger()).submit_signed(transaction))
            # The others have refused it once and are not offered it again by gossip.
            await until(lambda: has_waiting(seats["acme"]), 5, "it is not in acme's mempool")
            await asyncio.sleep(0.5)  # gossip takes milliseconds
            assert await seats["acme"].height() == before
            assert [(await seats[n].status()).mempool_transactions for n in ("alpha", "north", "south")] == [0, 0, 0]
        finally:
            for node in others:
                node.control(refuse_checks=None)
        receipt = await asyncio.wait_for(sending, 20)
        seconds = time.monotonic() - began
        print(f"committed after {seconds:.1f} s")
        assert receipt.code == 0
        assert 1.5 < seconds < 5, "earlier: it was not handed on"


async def has_waiting(seat):
    return (await seat.status()).mempool_transactions
