"""Layers: whatever is written and dropped, reading gives what a plain dictionary would."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from abci_app.state.view import Layer
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
