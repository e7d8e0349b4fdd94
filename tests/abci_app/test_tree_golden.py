"""Roots and proofs of the paged tree are the Rust crate's, byte for byte."""

from __future__ import annotations

from typing import Any

import pytest

from abci_app.tree import EmptyTree, Tree
from tests.golden import load_golden

pytestmark = pytest.mark.golden

GOLDEN = load_golden("jmt.json")


def replay(case: dict[str, Any]) -> tuple[Tree, dict[bytes, bytes]]:
    """The tree after all versions, each root checked on the way; and its store."""
    store: dict[bytes, bytes] = {}
    tree = Tree(store)
    for step in case["versions"]:
        # The last entry for a key wins, as in a dict.
        changes = {key.encode(): None if value is None else bytes.fromhex(value) for key, value in step["updates"]}
        update = tree.update(step["version"], changes)
        assert update.root.hex() == step["root"]
        store |= update.writes
        tree.commit(update)
        assert sum(1 for _ in tree.items()) == step["live_keys"]
    return tree, store


@pytest.mark.parametrize("case", GOLDEN["cases"], ids=lambda case: case["name"])
def test_every_root_and_every_proof_is_the_crates(case: dict[str, Any]) -> None:
    tree, store = replay(case)
    reopened = Tree(store, tree.version)
    for claim in case["proofs"]:
        key = claim["key"].encode()
        assert tree.prove(key).hex() == claim["proof"]
        value = reopened.get(key)
        assert (None if value is None else value.hex()) == claim["value"]
    for step in case["versions"]:
        assert reopened.root_at(step["version"]).hex() == step["root"]
    if case["final_live_keys"] == 0:
        with pytest.raises(EmptyTree):
            tree.prove(b"anything")


@pytest.mark.parametrize("case", GOLDEN["cases"], ids=lambda case: case["name"])
def test_pruning_leaves_the_last_version_and_nothing_else(case: dict[str, Any]) -> None:
    tree, store = replay(case)
    for step in case["versions"]:
        for key in tree.prune(step["version"]):
            del store[key]
    fresh: dict[bytes, bytes] = {}
    rebuilt = Tree(fresh)
    update = rebuilt.update(0, dict(tree.items()))
    assert update.root == tree.root
    assert len(update.writes) == len(store)
    reopened = Tree(store, tree.version)
    for claim in case["proofs"]:
        assert reopened.prove(claim["key"].encode()).hex() == claim["proof"]
