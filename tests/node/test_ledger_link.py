"""A node's link to its application: receipts come with their blocks, refused ones too, and nobody asks for them.

The application is real and on its private socket; consensus is in this process. A restart opens the same LevelDB again.
"""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from collections import Counter
from pathlib import Path

import pytest

from abci_app.private.endpoint import Endpoint
from abci_app.private.service import PrivateService
from abci_app.private.streams import BlockStream
from abci_app.server import Slices
from node.application_client import ApplicationClient
from node.ledger_link import LedgerLink
from node.rpc import EngineRpc
from syngraph.v1.transaction_pb2 import Transaction
from tests.world import OPEN_STORES, World, quiet_log, with_parameters

MANY = 200


class Counting(Endpoint):
    """Counts what is asked, by request."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.asked = Counter()

    def answer(self, request):
        self.asked[request.WhichOneof("request")] += 1
        return super().answer(request)


class Scene:
    """One application on a socket, and the node's link to it."""

    def __init__(self, directory, **options):
        self.world = World(directory, names=("acme",), **options)
        self.socket = directory / "app.sock"
        self.asked = Counter()
        self.link = LedgerLink(
            self.world.ledger_id, "acme-alpha", ApplicationClient(self.socket), EngineRpc(directory / "no-engine.sock")
        )

    async def serve(self):
        endpoint = Counting(self.world.ledger_id, "acme-alpha", self.world.app)
        endpoint.asked = self.asked
        slices = Slices(asyncio.get_running_loop())
        self.service = PrivateService(self.socket, (endpoint,), slices=slices, log=quiet_log())
        self.world.app._on_commit = lambda committed: self.service.block_committed(committed.ledger_id)
        await self.service.start()

    async def restart(self):
        """End the application and open its store anew, as a process that was killed does."""
        await self.service.close()
        consensus = self.world.consensus
        OPEN_STORES.remove(self.world.app.ledger.store)
        self.world.app.ledger.store.close()
        consensus.applications["acme"] = self.world.application("acme")
        assert self.world.committed.height == consensus.height

    def submit(self, raw):
        """A task that waits for the receipt of a transaction, which is in the mempool when this returns."""
        name = transaction_name(self.world, raw)

        async def broadcast():
            return False

        assert self.world.consensus.submit(raw).code == 0
        return asyncio.create_task(self.link.wait_for_receipt(name, broadcast))

    def submit_refused(self, count):
        return [self.submit(self.world.program("refuse")) for _ in range(count)]


def transaction_name(world, raw):
    from ledgers.transaction import transaction_id

    return transaction_id(world.ledger_id, Transaction.FromString(raw).signed.body)


@contextlib.asynccontextmanager
async def scene_of(**options):
    with tempfile.TemporaryDirectory() as directory:
        Path(directory).chmod(0o700)
        scene = Scene(Path(directory), **options)
        await scene.serve()
        scene.link.start()
        try:
            await asyncio.wait_for(scene.link.next_block(0), 60)
            await asyncio.wait_for(scene.link.settled(scene.world.committed.height), 60)
            scene.asked.clear()
            yield scene
        finally:
            await scene.link.close()
            await scene.link.application.close()
            await scene.service.close()
            while OPEN_STORES:
                OPEN_STORES.pop().close()


@pytest.fixture
async def scene():
    async with scene_of() as made:
        yield made


async def receipts_of(tasks):
    return await asyncio.wait_for(asyncio.gather(*tasks), 60)


@pytest.mark.parametrize("count", [1, MANY])
async def test_refused_transactions_have_their_receipts_with_their_block_and_nobody_asks(scene, count):
    tasks = scene.submit_refused(count)
    await asyncio.sleep(0)
    block = scene.world.consensus.block()
    assert len(block.txs) == count + 1
    # No further block comes, and none is needed.
    receipts = await receipts_of(tasks)
    assert [(r.name, r.height) for r in receipts] == [("REFUSED", block.height)] * count
    assert len({r.transaction_id for r in receipts}) == count
    assert scene.asked == {}


async def test_receipts_of_good_and_bad_transactions_are_the_stored_ones(scene):
    raws = [scene.world.program("open plain 3600000"), scene.world.program("refuse")]
    tasks = [scene.submit(raw) for raw in raws]
    await asyncio.sleep(0)
    scene.world.consensus.block()
    assert await receipts_of(tasks) == [scene.world.receipt(raw) for raw in raws]
    assert scene.asked == {}


async def test_one_who_waits_long_asks_nothing_and_ends_at_its_deadline(scene):
    waiting = asyncio.gather(*scene.submit_refused(MANY))
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(waiting, 1.5)
    assert scene.asked == {}
    assert scene.link._waiting == {}


async def test_what_was_committed_while_the_socket_was_away_comes_when_it_is_back(scene):
    tasks = scene.submit_refused(MANY)
    await asyncio.sleep(0)
    await scene.service.close()
    block = scene.world.consensus.block()
    scene.world.consensus.run()
    await asyncio.sleep(0.1)
    assert not any(task.done() for task in tasks)
    await scene.serve()
    assert {r.height for r in await receipts_of(tasks)} == {block.height}
    assert scene.asked["get_receipt"] == 0


async def test_a_restart_of_the_application_loses_no_receipt_before_or_after_it(scene):
    before = scene.submit_refused(MANY)
    await asyncio.sleep(0)
    # Committed in the last moment: the push never leaves.
    scene.world.app._on_commit = None
    block = scene.world.consensus.block()
    await scene.restart()
    await scene.serve()
    assert {r.height for r in await receipts_of(before)} == {block.height}
    after = scene.submit_refused(MANY)
    await asyncio.sleep(0)
    block = scene.world.consensus.block()
    assert {r.height for r in await receipts_of(after)} == {block.height}
    assert scene.asked["get_receipt"] == 0


async def test_a_connection_that_breaks_inside_a_block_goes_on_with_that_block(scene, monkeypatch):
    tasks = scene.submit_refused(MANY)
    await asyncio.sleep(0)
    frames = []
    show = BlockStream.show

    def show_and_break(stream):
        answers, more = show(stream)
        frames.extend((answer.block.height, answer.block.complete) for answer in answers)
        if len(frames) == 3:
            raise RuntimeError("this ends the connection")
        return answers, more

    monkeypatch.setattr(BlockStream, "show", show_and_break)
    block = scene.world.consensus.block()
    assert {r.height for r in await receipts_of(tasks)} == {block.height}
    assert frames == [(block.height, False)] * 6 + [(block.height, True)]
    assert scene.asked["get_receipt"] == 0


async def test_a_list_that_does_not_go_back_so_far_is_made_good_by_asking_once():
    async with scene_of(parameters=with_parameters(events_kept_blocks=100)) as scene:
        tasks = scene.submit_refused(3)
        await asyncio.sleep(0)
        await scene.service.close()
        block = scene.world.consensus.block()
        while scene.world.committed.oldest_event <= block.height + 1:
            scene.world.execute("refuse")
        await scene.serve()
        assert {r.height for r in await receipts_of(tasks)} == {block.height}
        assert scene.asked["get_receipt"] == 3


async def test_what_the_engine_knew_already_is_asked_for_once(scene):
    raw = scene.world.program("refuse")
    scene.world.execute(raw)

    async def known():
        return True

    waiting = scene.link.wait_for_receipt(transaction_name(scene.world, raw), known)
    assert (await asyncio.wait_for(waiting, 60)).name == "REFUSED"
    assert scene.asked == {"get_receipt": 1}


async def test_what_the_engine_knew_already_is_found_though_the_application_is_away_just_then(scene):
    raw = scene.world.program("refuse")
    scene.world.execute(raw)
    await scene.service.close()

    async def known():
        return True

    waiting = asyncio.create_task(scene.link.wait_for_receipt(transaction_name(scene.world, raw), known))
    await asyncio.sleep(0.3)
    await scene.serve()
    assert (await asyncio.wait_for(waiting, 60)).name == "REFUSED"
