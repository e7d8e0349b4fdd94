"""Deadlines and failing contracts on real nodes: windows close by themselves, and a contract's bug is no weapon."""

from __future__ import annotations

import asyncio
import itertools
import time

import pytest

from ledgers.client import ClientError, Refused, make
from smartcontracts.codec import decode
from syngraph.v1.system_pb2 import StoredDocument
from tests.counter import Counter
from tests.faults.contracts import program
from tests.faults.harness import Network, until

pytestmark = [pytest.mark.network, pytest.mark.timeout(600)]
CLOCK_AHEAD_MS = 500
# A tick is sent when clock_ahead has passed; a second, and some slack for two busy cores.
LATE_MAX_MS = CLOCK_AHEAD_MS + 2_500
# Other programs may take the processors while it is measured.
MEASURED_TIMES_MAX = 5


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    with Network(tmp_path_factory.mktemp("net"), controlled=True, clock_ahead_ms=CLOCK_AHEAD_MS) as network:
        yield network


async def counter(seat, counter_id, height=0):
    return decode(Counter, StoredDocument.FromString(await seat.stored("counter", counter_id, height)).body)


async def has_lapsed(seat, counter_id):
    try:
        return (await counter(seat, counter_id)).status == "lapsed"
    except ClientError:  # this node is a block behind, or busy
        return False


async def test_two_deadlines_in_a_row_on_an_idle_ledger_fire_within_about_a_second_everywhere_alike(network):
    async with network.seats() as seats:
        for _ in range(MEASURED_TIMES_MAX):
            fired = await two_deadlines(network, seats)
            print(f"fired {[round(late) for late in fired]} ms after their end")
            assert min(fired) > 0, fired
            if max(fired) < LATE_MAX_MS:
                break
        assert max(fired) < LATE_MAX_MS, fired
        await network.assert_same_history(seats)


async def two_deadlines(network, seats):
    """By how many milliseconds each fired late; at one height on all nodes."""
    opened = [await seats["acme"].submit(program(f"open plain {ms}")) for ms in (4_000, 8_000)]
    names = [receipt.documents[0].id for receipt in opened]
    before = opened[-1].height
    await network.settled(seats)
    due = [(await counter(seats["acme"], name)).valid_until_ms for name in names]
    fired = []
    for name, due_ms in zip(names, due, strict=True):
        await until(lambda name=name: has_lapsed(seats["south"], name), 90, "it does not fire")
        fired.append(time.time() * 1_000 - due_ms)
    height = await network.settled(seats)
    assert height > before
    for name, due_ms in zip(names, due, strict=True):
        heights = [await first_height(seat, name, before, height) for seat in seats.values()]
        assert len(set(heights)) == 1, heights
        closed = await counter(seats["north"], name)
        assert closed.result[0] == f"due {due_ms}"
    return fired


async def first_height(seat, name, above, until_height):
    """The height at which the counter lapsed on this node."""
    for height in range(above, until_height + 1):
        if (await counter(seat, name, height)).status == "lapsed":
            return height
    raise AssertionError("it never lapsed")


async def blocks_in(network, seats, seconds):
    """How many blocks were made in so many seconds without anybody's doing."""
    before = await seats["acme"].height()
    await asyncio.sleep(seconds)  # what happens meanwhile is what is measured
    return await seats["acme"].height() - before


async def test_a_transaction_whose_contract_raises_is_left_out_and_makes_no_blocks(network):
    async with network.seats() as seats:
        before = await network.settled(seats)
        ledger = await seats["acme"].ledger()
        for number in range(3):
            signed = make(network.id, [program(f"raise {number}")], [seats["acme"].org.signer])
            with pytest.raises(Refused) as caught:
                await ledger.submit_signed(signed)
            assert caught.value.detail.name == "EXECUTION_FAILED"
            # Past the simulation: the mempools admit it, a proposer leaves it out.
            await ledger.send(signed, skip_simulation=True)
        made = await blocks_in(network, seats, 5)
        print(f"{made} blocks in 5 s after 3 transactions that raise")
        assert made <= 8
        assert (await seats["alpha"].submit(program("open plain 3600000"))).code == 0
        height = await network.settled(seats)
        assert height <= before + 16
        await network.assert_same_history(seats, height)


async def test_a_deadline_that_raises_is_quarantined_and_the_ledger_goes_on(network):
    async with network.seats() as seats:
        bomb = (await seats["acme"].submit(program("open bomb 1500"))).documents[0].id
        before = await network.settled(seats)

        async def quarantined():
            statuses = [await seat.status() for seat in seats.values()]
            return all(status is not None and status.quarantined for status in statuses)

        await until(quarantined, 90, "it is not quarantined")
        for seat in seats.values():
            assert await seat.stored("sys", f"quarantine/counter/{bomb}")
            assert (await counter(seat, bomb)).status == "open"
        made = await blocks_in(network, seats, 5)
        print(f"{made} blocks in 5 s after a deadline that raises, {await seats['acme'].height() - before} for itself")
        assert made <= 4
        # The next deadline fires as ever.
        plain = (await seats["north"].submit(program("open plain 1000"))).documents[0].id
        await until(lambda: has_lapsed(seats["south"], plain), 90, "the next deadline does not fire")
        await network.assert_same_history(seats)


# The net below a transaction that few mempools hold: one block after ten minutes without any.
EMPTY_BLOCK_S = 600


@pytest.mark.timeout(900)
async def test_an_idle_ledger_makes_no_block(network, request):
    soak = request.config.getoption("--soak")
    seconds = EMPTY_BLOCK_S - 20 if soak else 20
    async with network.seats() as seats:
        height = await network.settled(seats)
        assert await blocks_in(network, seats, seconds) == 0
        assert {await seat.height() for seat in seats.values()} == {height}
        places = [await node.place() for node in network.nodes.values()]
        assert all(a == b for a, b in itertools.pairwise(places))
        print(f"{seconds} s: height {height}, consensus at {places[0]}")
        if soak:
            app_hash = await seats["acme"].app_hash(height)
            await until(lambda: is_past(seats["acme"], height), 40, "the block after ten minutes does not come")
            assert await blocks_in(network, seats, 5) == 0
            assert await seats["acme"].height() == height + 1
            assert await seats["acme"].app_hash(height + 1) == app_hash, "a quiet block changed the state"


async def is_past(seat, height):
    return await seat.height() > height
