"""Layers: whatever is written and dropped, reading gives what a plain dictionary would."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from abci_app.state.documents import DocumentCache
from abci_app.state.view import Layer, StoredView
from tests.counter import COUNTER, Counter
from tests.world import World

IDS = st.sampled_from([f"ctr_{n}" for n in "abcde"])
STATUSES = st.sampled_from(["open", "lapsed", "gone"])
UNITS = st.lists(st.tuples(st.lists(st.tuples(IDS, STATUSES), max_size=4), st.booleans()), max_size=6)

BASE = World(names=("acme",))
BASE.execute("many 3")


@given(units=UNITS, limit=st.integers(1, 6))
def test_find_is_exact_under_layers_sorted_and_limited(units, limit):
    view = BASE.committed.view
    block = Layer(view)
    model = {c.id: c.status for c in view.find(COUNTER, "status", "open", 100)}
    assert len(model) == 3
    for writes, kept in units:
        layer, inner = Layer(block), dict(model)
        for document_id, status in writes:
            layer.write(COUNTER, Counter(id=document_id, status=status, proposer="p"), 5)
            inner[document_id] = status
        check(layer, inner, limit)
        if kept:
            layer.merge_down(block)
            model = inner
        check(block, model, limit)


def check(layer, model, limit):
    for status in ("open", "lapsed", "gone"):
        expected = sorted(i for i, s in model.items() if s == status)
        found = layer.find(COUNTER, "status", status, limit)
        assert [c.id for c in found] == expected[:limit]
        assert all(c.status == status for c in found)
    for document_id, status in model.items():
        assert layer.get(COUNTER, document_id).status == status
    assert layer.get(COUNTER, "ctr_z") is None


def test_versions_count_every_write_and_creation_stays():
    layer = Layer(BASE.committed.view)
    first = layer.write(COUNTER, Counter(id="ctr_a", status="open"), 5)
    second = layer.write(COUNTER, Counter(id="ctr_a", status="gone"), 7)
    assert (first.version, second.version, second.created_at_ms) == (1, 2, 5)


@pytest.mark.parametrize(
    "broken",
    [
        {"proposer": "a\x00b"},
        {"proposer": "x" * 1_025},
        {"valid_until_ms": -1},
        {"valid_until_ms": 1 << 63},
    ],
)
def test_invalid_documents_that_could_not_be_filed_are_bugs_before_they_are_written(broken):
    layer = Layer(BASE.committed.view)
    with pytest.raises(ValueError):  # noqa: PT011 - protobuf has its own sentence for the last
        layer.write(COUNTER, Counter(id="ctr_a", status="open", **broken), 5)
    assert layer.documents == {}


def test_what_a_view_knows_is_what_the_store_holds():
    world = World(names=("acme",))
    opened = [d.id for d in world.execute("many 30")[0].documents]
    for turn in range(10):
        world.execute(f"count {opened[turn]}", f"count {opened[0]}")
        fresh = StoredView(world.committed.reader, DocumentCache())
        assert world.committed.view.get(COUNTER, "ctr_none") is None
        for found in opened:
            assert world.committed.view.document(COUNTER, found) == fresh.document(COUNTER, found)


def test_what_a_view_knows_is_bounded(monkeypatch):
    monkeypatch.setattr("abci_app.state.view.KNOWN_MAX", 10)
    world = World(names=("acme",))
    opened = [d.id for d in world.execute("many 30")[0].documents]
    for found in opened:
        assert world.committed.view.get(COUNTER, found).status == "open"
        assert world.committed.view.get(COUNTER, f"{found}x") is None
    assert len(world.committed.view._known) <= 10
    assert len(world.committed.view._absent) <= 10
    assert world.execute(f"count {opened[3]}")[0].code == 0


def test_what_a_view_knows_is_bounded_in_bytes(monkeypatch):
    """Four thousand documents of half a megabyte, which any member can write, were kept decoded."""
    monkeypatch.setattr("abci_app.state.view.KNOWN_BYTES_MAX", 4_000)
    world = World(names=("acme",))
    opened = [d.id for d in world.execute("many 60")[0].documents]
    for found in opened:
        assert world.committed.view.get(COUNTER, found).status == "open"
        view = world.execute(f"count {found}")[0] and world.committed.view
        held = sum(len(document.stored) for document, _ in view._known.values())
        assert 0 < held <= 4_000
        assert view._known_bytes == held
    fresh = StoredView(world.committed.reader, DocumentCache())
    assert all(world.committed.view.document(COUNTER, f) == fresh.document(COUNTER, f) for f in opened)


def test_a_version_is_filed_as_past_from_the_height_that_wrote_it_on_whether_the_view_knew_it_or_not(tmp_path):
    """A node that has just started asks its store, one that goes on knows: both file alike."""
    from abci_app.store.keys import PAST, past_end
    from tests.world import OPEN_STORES

    stores = []
    for restarts in (False, True):
        world = World(tmp_path / str(restarts), names=("acme",))
        (opened,) = world.execute("open plain 3600000")
        counter = opened.documents[0].id
        for _ in range(4):
            world.execute(f"count {counter}")
            key = f"counter/{counter}"
            if restarts:
                world.app.ledger.store.close()
                OPEN_STORES.pop()
                world.consensus.applications["acme"] = world.application("acme")
                assert world.committed.view.written_at(key) is None
            else:
                assert world.committed.view.written_at(key) is not None
        stores.append([list(world.committed.reader.scan(space, past_end(space))) for space in PAST.values()])
    assert stores[0] == stores[1]
    assert len(stores[0][0]) > 4
