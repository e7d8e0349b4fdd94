"""The paged tree: any history gives the roots and proofs of the plain definition, at any kept version."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from abci_app.tree import EmptyTree, Tree, TreeDamaged, VersionNotRetained
from abci_app.tree.pages import BUCKET_LEAVES_MAX, KEY_BYTES_MAX, VALUE_BYTES_MAX
from smartcontracts.verify import ics23
from smartcontracts.verify.hashing import PLACEHOLDER
from tests.abci_app import reference_tree

KEYS = [b"k%d" % number for number in range(60)]
CHANGES = st.dictionaries(
    st.sampled_from(KEYS),
    st.one_of(st.none(), st.sampled_from([b"a", b"b", b"longer value"])),
    max_size=40,
)


def applied(content: dict[bytes, bytes], changes: dict[bytes, bytes | None]) -> dict[bytes, bytes]:
    merged = content | changes
    return {key: value for key, value in merged.items() if value is not None}


def commit(tree: Tree, store: dict[bytes, bytes], changes: dict[bytes, bytes | None]) -> bytes:
    update = tree.update(0 if tree.version is None else tree.version + 1, changes)
    store |= update.writes
    tree.commit(update)
    return update.root


class TreeHistory(RuleBasedStateMachine):
    """Updates, abandoned updates, pruning and restarts against one dict a version."""

    @initialize(cached_pages=st.sampled_from([0, 2, 1000]), cached_depth=st.sampled_from([0, 9]))
    def open_empty(self, cached_pages: int, cached_depth: int) -> None:
        self.cache = {"cached_pages": cached_pages, "cached_depth": cached_depth}
        self.store: dict[bytes, bytes] = {}
        self.tree = Tree(self.store, **self.cache)
        self.contents: dict[int, dict[bytes, bytes]] = {}
        self.pruned_to = 0

    def last(self) -> dict[bytes, bytes]:
        return {} if self.tree.version is None else self.contents[self.tree.version]

    @rule(changes=CHANGES, gap=st.integers(1, 3))
    def a_block_is_committed(self, changes: dict[bytes, bytes | None], gap: int) -> None:
        content = applied(self.last(), changes)
        version = gap if self.tree.version is None else self.tree.version + gap
        update = self.tree.update(version, changes)
        assert update.root == reference_tree.root_of(reference_tree.leaves_of(content))
        assert not set(update.stale) & set(update.writes)
        assert set(update.stale) <= set(self.store)
        assert not set(update.writes) & set(self.store)
        self.store |= update.writes
        self.tree.commit(update)
        self.contents[version] = content

    @rule(changes=CHANGES)
    def a_block_is_executed_and_abandoned(self, changes: dict[bytes, bytes | None]) -> None:
        version = 1 if self.tree.version is None else self.tree.version + 1
        before = dict(self.store)
        root = self.tree.root
        content = applied(self.last(), changes)
        update = self.tree.update(version, changes)
        assert update.root == reference_tree.root_of(reference_tree.leaves_of(content))
        assert (self.store, self.tree.root) == (before, root)

    @precondition(lambda self: self.pruned_to <= (self.tree.version or -1))
    @rule(data=st.data())
    def old_versions_are_pruned(self, data: st.DataObject) -> None:
        oldest = data.draw(st.integers(self.pruned_to, self.tree.version))
        for version in range(self.pruned_to, oldest + 1):
            for key in self.tree.prune(version):
                del self.store[key]
        # The version in force at `oldest` stays; all before it are gone.
        kept = [version for version in self.contents if version <= oldest]
        for version in kept[:-1]:
            del self.contents[version]
            with pytest.raises(VersionNotRetained):
                self.tree.root_at(version)
        self.pruned_to = oldest + 1

    @precondition(lambda self: self.tree.version is not None)
    @rule()
    def the_node_restarts(self) -> None:
        self.tree = Tree(self.store, self.tree.version, **self.cache)

    @precondition(lambda self: self.contents)
    @rule(data=st.data(), key=st.sampled_from(KEYS))
    def a_kept_version_is_proven(self, data: st.DataObject, key: bytes) -> None:
        version = data.draw(st.sampled_from(sorted(self.contents)))
        content = self.contents[version]
        root = self.tree.root_at(version)
        assert self.tree.get(key, version) == content.get(key)
        if not content:
            with pytest.raises(EmptyTree):
                self.tree.prove(key, version)
            return
        proof = self.tree.prove(key, version)
        assert proof == reference_tree.prove(content, key)
        if key in content:
            ics23.verify_membership(root, key, content[key], proof)
        else:
            ics23.verify_non_membership(root, key, proof)

    @invariant()
    def the_last_version_reads_as_the_dict(self) -> None:
        assert dict(self.tree.items()) == self.last()

    def teardown(self) -> None:
        """Pruned up to the last version, the store holds what a fresh tree would hold."""
        if self.tree.version is None:
            return
        for version in range(self.pruned_to, self.tree.version + 1):
            for key in self.tree.prune(version):
                del self.store[key]
        fresh = Tree({}).update(0, dict(self.last()))
        assert len(fresh.writes) == len(self.store)


TestTreeHistory = TreeHistory.TestCase
TestTreeHistory.settings = settings(max_examples=60, stateful_step_count=20, deadline=None)


@given(st.dictionaries(st.binary(max_size=3), st.binary(max_size=3), max_size=200), st.randoms())
@settings(max_examples=30, deadline=None)
def test_the_root_follows_from_the_content_and_not_from_the_order(content, chance) -> None:
    expected = reference_tree.root_of(reference_tree.leaves_of(content))
    items = list(content.items())
    chance.shuffle(items)
    store: dict[bytes, bytes] = {}
    tree = Tree(store)
    for start in range(0, len(items), 7):
        commit(tree, store, dict(items[start : start + 7]))
    assert tree.root == expected
    assert Tree({}).update(0, content).root == expected


def test_a_tree_without_keys_has_the_placeholder_as_its_root() -> None:
    store: dict[bytes, bytes] = {}
    tree = Tree(store)
    assert tree.root == PLACEHOLDER
    commit(tree, store, {b"k": b"v"})
    assert commit(tree, store, {b"k": None}) == PLACEHOLDER


def test_an_update_that_changes_nothing_writes_no_page() -> None:
    store: dict[bytes, bytes] = {}
    tree = Tree(store)
    content: dict[bytes, bytes | None] = dict.fromkeys(KEYS, b"v")
    root = commit(tree, store, content)
    for changes in ({}, content, {b"absent": None}):
        update = tree.update(9, changes)
        assert update.root == root
        assert len(update.writes) == 2  # root and stale record
        assert len(update.stale) == 1  # the root record before


@pytest.mark.parametrize("count", [BUCKET_LEAVES_MAX, BUCKET_LEAVES_MAX + 1])
def test_a_bucket_splits_past_its_limit_and_comes_back_at_it(count: int) -> None:
    content: dict[bytes, bytes | None] = {KEYS[i]: b"v" for i in range(count)}
    store: dict[bytes, bytes] = {}
    tree = Tree(store)
    commit(tree, store, content)
    pages = [key for key in store if key[8] >= 2]
    assert (len(pages) == 1) == (count == BUCKET_LEAVES_MAX)
    commit(tree, store, {KEYS[0]: None})
    for key in tree.prune(1):
        del store[key]
    assert len([key for key in store if key[8] >= 2]) == 1


def test_a_version_must_come_after_the_last_one() -> None:
    store: dict[bytes, bytes] = {}
    tree = Tree(store)
    commit(tree, store, {b"k": b"v"})
    with pytest.raises(ValueError, match="does not come after"):
        tree.update(0, {})


def test_an_update_of_another_base_is_not_committed() -> None:
    store: dict[bytes, bytes] = {}
    tree = Tree(store)
    abandoned = tree.update(0, {b"k": b"other"})
    commit(tree, store, {b"k": b"v"})
    with pytest.raises(ValueError, match="based on"):
        tree.commit(abandoned)


def test_oversized_keys_and_values_are_refused() -> None:
    tree = Tree({})
    assert tree.update(0, {b"k" * KEY_BYTES_MAX: b""}).root != PLACEHOLDER
    with pytest.raises(ValueError, match="too long"):
        tree.update(0, {b"k" * (KEY_BYTES_MAX + 1): b""})
    with pytest.raises(ValueError, match="too long"):
        tree.update(0, {b"k": bytes(VALUE_BYTES_MAX + 1)})


def test_a_missing_page_is_damage_and_not_an_absent_key() -> None:
    store: dict[bytes, bytes] = {}
    commit(Tree(store), store, dict.fromkeys(KEYS, b"v"))
    page = next(key for key in store if key[8] == 3)
    del store[page]
    tree = Tree(store, 0)
    with pytest.raises(TreeDamaged):
        list(tree.items())


def test_a_version_never_committed_cannot_be_opened() -> None:
    with pytest.raises(VersionNotRetained):
        Tree({}, 3)


def test_two_thousand_keys_agree_with_the_definition() -> None:
    content = {b"%d" % (number * 7919): b"%d" % number for number in range(2_000)}
    store: dict[bytes, bytes] = {}
    tree = Tree(store)
    commit(tree, store, content)
    gone = list(content)[:1_900]
    commit(tree, store, dict.fromkeys(gone))
    rest = {key: value for key, value in content.items() if key not in set(gone)}
    assert tree.root == reference_tree.root_of(reference_tree.leaves_of(rest))
    assert tree.root_at(0) == reference_tree.root_of(reference_tree.leaves_of(content))


@pytest.mark.parametrize("cached_pages", [0, 1, 5])
def test_the_cache_never_holds_more_pages_than_it_may(cached_pages: int) -> None:
    store: dict[bytes, bytes] = {}
    tree = Tree(store, cached_pages=cached_pages, cached_depth=9)
    for value in (b"1", b"2", b"3"):
        commit(tree, store, dict.fromkeys(KEYS, value))
        assert len(list(tree.items())) == len(KEYS)
        assert len(tree._pages._cache) == cached_pages
