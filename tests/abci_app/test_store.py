"""The store: LevelDB and memory give the same, values by height are what was written, and pruning keeps what it must."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from abci_app.store import LevelStore, MemoryStore
from abci_app.store.filing import read_stored_at
from abci_app.store.keys import DOCUMENTS, EVENTS, EXECUTED, PAST, STALE, index_prefix, parse_event_key, past_end
from abci_app.store.versioned import STEP, read_at, read_live, scan_at, scan_at_in_steps, scan_live, write_at
from tests.abci_app.reference_state import ReferenceState, stored_index
from tests.sim.test_replicas import listed
from tests.world import OPEN_STORES, World, with_parameters

KEYS = st.sampled_from([b"a/1", b"a/10", b"a/2", b"b/1", b"a"])
BLOCKS = st.lists(st.dictionaries(KEYS, st.one_of(st.none(), st.binary(max_size=3)), max_size=4), max_size=8)


@pytest.fixture(params=["memory", "leveldb"])
def store(request, tmp_path):
    opened = MemoryStore() if request.param == "memory" else LevelStore(tmp_path / "store")
    yield opened
    opened.close()


def test_a_batch_is_written_whole_and_scanned_in_order(store):
    store.write({b"b": b"2", b"a": b"1", b"c": b"3", b"aa": b""})
    store.write({b"b": None, b"missing": None})
    reader = store.snapshot()
    assert list(reader.scan(b"a", b"c")) == [(b"a", b"1"), (b"aa", b"")]
    assert (reader.get(b"b"), reader.get(b"aa"), store.get(b"c")) == (None, b"", b"3")


def test_a_snapshot_stays_as_it_was(store):
    store.write({b"a": b"1"})
    before = store.snapshot()
    store.write({b"a": b"2", b"b": b"1"})
    assert (before.get(b"a"), before.get(b"b")) == (b"1", None)
    assert store.snapshot().get(b"a") == b"2"


def test_leveldb_keeps_what_was_written_after_it_was_closed(tmp_path):
    store = LevelStore(tmp_path / "store")
    store.write({b"a": b"1"})
    store.close()
    assert LevelStore(tmp_path / "store").get(b"a") == b"1"
    assert (tmp_path / "store").stat().st_mode & 0o077 == 0


@given(blocks=BLOCKS)
def test_values_by_height_are_those_that_were_written(blocks):
    store, model = MemoryStore(), {0: {}}
    for height, changes in enumerate(blocks, start=1):
        batch, reader = {}, store.snapshot()
        for key, value in changes.items():
            write_at(batch, reader, DOCUMENTS, key, value, height)
        store.write(batch)
        model[height] = {k: v for k, v in {**model[height - 1], **changes}.items() if v is not None}
    reader = store.snapshot()
    for height, values in model.items():
        for key in (b"a/1", b"a/10", b"a/2", b"b/1", b"a"):
            assert read_at(reader, DOCUMENTS, key, height) == values.get(key)
        expected = sorted((k[2:], v) for k, v in values.items() if k.startswith(b"a/"))
        assert list(scan_at(reader, DOCUMENTS, b"a/", height)) == expected
        assert list(scan_at(reader, DOCUMENTS, b"a/", height, b"10")) == [e for e in expected if e[0] >= b"10"]
    last = model[len(blocks)]
    live = {k: read_live(reader, DOCUMENTS, k) for k in last}
    assert {k: value for k, (_, value) in live.items()} == last
    for key, (since, value) in live.items():
        assert model[since][key] == value
        assert blocks[since - 1][key] == value
    assert list(scan_live(reader, DOCUMENTS, b"a/")) == sorted(
        (k[2:], v) for k, v in last.items() if k.startswith(b"a/")
    )


def test_index_prefixes_keep_terms_and_values_apart():
    assert index_prefix("a", "bc", "d") != index_prefix("a", "b", "cd")
    assert past_end(b"a/") == b"a0"


def test_both_stores_give_one_root_and_the_same_answers(tmp_path):
    worlds = [World(names=("acme",)), World(tmp_path, names=("acme",))]
    for world in worlds:
        opened = world.execute("open plain 20000", "open chain/2 10000", "open bomb 5000", "many 3")
        world.clock.now_ms += 30_000
        world.execute(f"count {opened[0].documents[0].id}", "refuse")
        world.consensus.run()
    memory, disk = (w.committed for w in worlds)
    assert (memory.root, memory.height) == (disk.root, disk.height)
    assert list(memory.reader.scan(b"", b"\xff")) == list(disk.reader.scan(b"", b"\xff"))


def pruned_world(tmp_path=None):
    parameters = with_parameters(history_blocks=10, events_kept_blocks=100)
    return World(tmp_path, names=("acme",), parameters=parameters)


def test_pruning_keeps_the_last_heights_whole_and_drops_the_rest(tmp_path):
    world, reference = pruned_world(tmp_path), ReferenceState()
    reference.follow(world.committed)
    opened = [r.documents[0].id for r in world.execute("open plain 3600000", "open plain 3600000")]
    keys_ = [*(f"counter/{found}" for found in opened), "sys/clock"]
    reference.follow(world.committed)
    for turn in range(16):
        world.consensus.submit(world.program(f"count {opened[turn % 2]}"))
        while world.consensus.needs_block():
            world.consensus.block()
            reference.follow(world.committed)
            committed = world.committed
            # After every block, so that every way to lie to the oldest height comes up.
            for height in range(max(committed.oldest, 3), committed.height + 1):
                for key in keys_:
                    assert read_stored_at(committed.reader, key.encode(), height) == reference.get(key, height)
                if height < committed.height:
                    verify_at(world, b"sys/clock", height)
    committed = world.committed
    assert committed.oldest == committed.height - 9
    past = list(committed.reader.scan(PAST[DOCUMENTS], past_end(PAST[DOCUMENTS])))
    queue = list(committed.reader.scan(STALE, past_end(STALE)))
    assert len(past) <= 10 * 4
    assert len(queue) >= len(past) > 0
    assert all(int.from_bytes(key[-8:], "big") >= committed.oldest for key, _ in past)


def verify_at(world, key, height):
    from abci_app.queries.reads import prove_key
    from smartcontracts.verify.ics23 import verify_membership

    proof, root = prove_key(key, height, world.committed)
    verify_membership(root, key, _value(world, key, height), proof)


def test_pruning_keeps_no_pages_of_heights_that_are_gone(tmp_path):
    from abci_app.store.keys import TREE

    world = pruned_world(tmp_path)
    sizes = []
    for _ in range(30):
        world.execute("open plain 3600000")
        sizes.append(len(list(world.committed.reader.scan(TREE, past_end(TREE)))))
    # Pages grow with the documents, and not with the blocks that were made.
    assert sizes[-1] < 200


def _value(world, key, height):
    from smartcontracts.verify.hashing import document_commitment, document_salt

    stored = read_stored_at(world.committed.reader, key, height)
    return document_commitment(document_salt(world.genesis.secret, key), stored)


def test_events_are_kept_for_their_blocks_and_then_dropped():
    from abci_app.queries.eventlog import Position, read_events, start_after
    from abci_app.queries.refusals import CursorPruned

    world = pruned_world()
    for _ in range(70):
        world.execute("open plain 3600000")
    committed = world.committed
    assert committed.oldest_event == committed.height - 99
    (first, _), *_ = committed.reader.scan(EVENTS, past_end(EVENTS))
    assert parse_event_key(first)[0] >= committed.oldest_event
    events, _ = read_events(Position(committed.oldest_event), committed, 1_000)
    assert events[0].height >= committed.oldest_event
    with pytest.raises(CursorPruned):
        read_events(Position(committed.oldest_event - 1), committed, 1_000)
    (first, _), *_ = committed.reader.scan(EXECUTED, past_end(EXECUTED))
    assert parse_event_key(first)[0] >= committed.oldest_event
    assert start_after("", committed).height == committed.oldest_event
    with pytest.raises(CursorPruned):
        start_after("2/0", committed)


def test_replay_lists_are_forgotten_when_their_minutes_are_past():
    from abci_app.store.keys import REPLAY

    world = World(names=("acme",))
    world.execute(*["refuse"] * 5)
    assert len(world.committed.replay_minutes) == 1
    world.clock.now_ms += 3_600_000
    world.execute("refuse")
    world.execute("refuse")
    (minute,) = world.committed.replay_minutes
    assert minute == (world.clock() + 60_000) // 60_000
    remembered = list(world.committed.reader.scan(REPLAY, past_end(REPLAY)))
    assert len(remembered) == 2


class NoGets:
    """A store that is not to be asked."""

    def get(self, key):
        raise AssertionError(key)


def test_what_was_executed_is_known_without_the_store_but_after_a_restart_or_a_burst(tmp_path, monkeypatch):
    from abci_app.state import executed

    world = World(tmp_path, names=("acme",))
    names = [receipt.transaction_id for receipt in world.execute(*["refuse"] * 3)]
    (minute,) = world.committed.replay_minutes
    known = world.committed.executed
    assert [known.has(NoGets(), minute, name) for name in (*names, bytes(32))] == [True] * 3 + [False]
    # A minute that nobody executed in, or that is past, may still be listed.
    with pytest.raises(AssertionError):
        known.has(NoGets(), minute + 1, names[0])
    world.app.ledger.store.close()
    OPEN_STORES.clear()
    world.consensus.applications["acme"] = world.application("acme")
    more = [receipt.transaction_id for receipt in world.execute("refuse", "refuse")]
    with pytest.raises(AssertionError):
        world.committed.executed.has(NoGets(), minute, names[0])
    assert all(world.committed.was_executed(minute, name) for name in (*names, *more))
    assert not world.committed.was_executed(minute, bytes(32))
    world.clock.now_ms += 120_000
    last = [receipt.transaction_id for receipt in world.execute("refuse", "refuse")]
    (minute,) = world.committed.replay_minutes
    assert all(world.committed.executed.has(NoGets(), minute, name) for name in last)
    monkeypatch.setattr(executed, "KNOWN_MAX", 2)
    last += [receipt.transaction_id for receipt in world.execute("refuse")]
    with pytest.raises(AssertionError):
        world.committed.executed.has(NoGets(), minute, last[0])
    assert all(world.committed.was_executed(minute, name) for name in last)


def test_history_zero_keeps_everything():
    world = World(names=("acme",), parameters=with_parameters(history_blocks=0))
    (receipt,) = world.execute("open plain 3600000")
    for _ in range(30):
        world.execute(f"count {receipt.documents[0].id}")
    assert world.committed.oldest == 0
    assert stored_index(world.committed)[1]
    from syngraph.v1 import application_pb2 as wire

    assert listed(world.committed, wire.Filter(kind="counter"), 1) == []
    assert len(listed(world.committed, wire.Filter(kind="counter"), 2)) == 1


def test_a_scan_at_a_height_makes_way_between_versions_of_other_heights():
    """A list at a past height walked over every version that is kept, in one go, while nothing else was answered."""
    store, height = MemoryStore(), 1
    for height in range(1, 1_001):
        batch = {}
        write_at(batch, store.snapshot(), DOCUMENTS, b"a/1", b"%d" % height, height)
        store.write(batch)

    class Counting:
        def __init__(self, reader):
            self.get, self.reader, self.read = reader.get, reader, 0

        def scan(self, *bounds):
            for entry in self.reader.scan(*bounds):
                self.read += 1
                yield entry

    reader = Counting(store.snapshot())
    before, most, found = 0, 0, []
    for entry in scan_at_in_steps(reader, DOCUMENTS, b"a/", 997):
        most, before = max(most, reader.read - before), reader.read
        found += [entry] if entry else []
    assert found == [(b"1", b"997")]
    assert reader.read == 1_000
    assert most <= STEP + 1
