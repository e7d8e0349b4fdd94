"""A ledger on this node: its store, its tree, what was committed last, its beginning and its commits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from abci_app.execution.batch import add_height, add_tree, block_batch, block_places, file_document
from abci_app.records import CLOCK, MINUTE_MS, Clock
from abci_app.state.committed import Committed, TableFor, read_committed, read_genesis
from abci_app.state.documents import Document, DocumentCache, commitments, write_document
from abci_app.state.executed import Executed
from abci_app.state.view import StoredView
from abci_app.store import keys
from abci_app.store.filing import no_place
from abci_app.store.kv import StoreDamagedError
from abci_app.store.memory import MemoryStore
from abci_app.store.pruning import prune_events, prune_history, prune_replay
from abci_app.tree import Tree
from ledgers.kinds import contract_table
from smartcontracts.codec import encode
from smartcontracts.membership import MEMBER, ORGANIZATION
from smartcontracts.parameters import RULES, Rules

if TYPE_CHECKING:
    from abci_app.execution.outcomes import BlockResult
    from abci_app.store.kv import Batch, KeyValueStore, Reader
    from ledgers.genesis import LedgerGenesis
    from smartcontracts.kernel import Kind

STORE_FORMAT: Final = b"syngraph-store/2"
GENESIS_HEIGHT: Final = 0


class TreeRecords:
    """The tree's records inside a store or one of its snapshots."""

    def __init__(self, reader: KeyValueStore | Reader) -> None:
        self._reader = reader

    def get(self, key: bytes) -> bytes | None:
        return self._reader.get(keys.TREE + key)


class Ledger:
    """One ledger's state. `committed` is replaced in one assignment; only the consensus thread changes anything."""

    def __init__(self, ledger_id: str, store: KeyValueStore, table_for: TableFor = contract_table) -> None:
        """Open what is in `store`. Raises StoreDamagedError; rejects with ContractsVersionUnknown, GenesisInvalid."""
        self.ledger_id = ledger_id
        self.store = store
        self.cache = DocumentCache()
        self._executed = Executed()
        self.committed: Committed | None = None
        self.tree: Tree | None = None
        self._table_for = table_for
        # Of a genesis that no block was committed on yet: nothing is written before the first commit.
        self._begun: Batch | None = None
        reader = store.snapshot()
        if reader.get(keys.META_FORMAT) not in {None, STORE_FORMAT}:
            raise StoreDamagedError("the store was written by another version of this software")
        genesis = read_genesis(reader, ledger_id)
        if genesis is not None:
            view = StoredView(reader, self.cache)
            self.committed = read_committed(view, genesis, ledger_id, table_for, self._executed)
            self.tree = Tree(TreeRecords(store), self.committed.tree_version)
            if self.tree.root != self.committed.root:
                raise StoreDamagedError(f"tree and app hash differ at height {self.committed.height}")

    def begin(self, genesis: LedgerGenesis) -> Committed:
        """Start from a genesis, in memory. May be called again until the first commit."""
        memory = MemoryStore()
        tree = Tree(TreeRecords(memory))
        batch = genesis_batch(genesis, tree, memory.snapshot())
        memory.write(batch)
        tree = Tree(TreeRecords(memory), GENESIS_HEIGHT)
        view = StoredView(memory.snapshot(), self.cache)
        committed = read_committed(view, genesis, self.ledger_id, self._table_for, self._executed)
        self._begun, self.tree, self.committed = batch, tree, committed
        return committed

    def batch(self, block: BlockResult) -> Batch:
        """Everything that committing `block` writes."""
        committed, tree = self._running()
        batch = dict(self._begun or {})
        batch.update(block_batch(block, committed, self.cache.places))
        parameters = committed.parameters
        prune_history(
            batch,
            committed.reader,
            tree,
            oldest=committed.oldest,
            height=block.height,
            kept=parameters.history_blocks,
        )
        prune_events(
            batch,
            committed.reader,
            oldest=committed.oldest_event,
            height=block.height,
            kept=parameters.events_kept_blocks,
        )
        prune_replay(batch, committed.reader, minute=committed.clock.time_ms // MINUTE_MS)
        return batch

    def commit(self, block: BlockResult, batch: Batch) -> Committed:
        """Write a block's batch, synced, and go on from there. Raises what the store raises, then nothing has changed."""
        committed, tree = self._running()
        self.store.write(batch)
        for part, place in block_places(block):
            self.cache.places.learn(part, place)
        executed = ((r.expires_at_ms // MINUTE_MS, r.receipt.transaction_id) for r in block.results if r.remembered)
        self._executed.follow(committed.replay_minutes, block.replay_minutes, executed)
        view = committed.view.after(self.store.snapshot(), block.documents, block.height)
        after = read_committed(view, committed.genesis, self.ledger_id, self._table_for, self._executed)
        if self._begun is not None:
            self._begun = None
            self.tree = Tree(TreeRecords(self.store), after.tree_version)
        elif block.tree_update is not None:
            tree.commit(block.tree_update)
        self.committed = after
        return after

    def _running(self) -> tuple[Committed, Tree]:
        if self.committed is None or self.tree is None:
            raise StoreDamagedError("the ledger has not begun")
        return self.committed, self.tree


def genesis_batch(genesis: LedgerGenesis, tree: Tree, empty: Reader) -> Batch:
    """The state at height 0: organizations, members, rules and clock of the genesis."""
    time_ms = genesis.created_at_ms
    rules = Rules(version=genesis.contracts_version, ledger_kind=genesis.kind, parameters=genesis.parameters)
    records: list[tuple[Kind[Any], Any]] = [(ORGANIZATION, o) for o in genesis.organizations]
    records += [(MEMBER, m) for m in genesis.members]
    records += [(RULES, rules), (CLOCK, Clock(time_ms=time_ms, height=0, event_sequence=0))]
    documents: dict[str, Document | None] = {}
    batch: Batch = {
        keys.META_FORMAT: STORE_FORMAT,
        keys.META_GENESIS: encode(genesis),
        keys.META_OLDEST: keys.number(GENESIS_HEIGHT),
        keys.META_OLDEST_EVENT: keys.number(GENESIS_HEIGHT),
    }
    for kind, record in records:
        document = write_document(kind, record, None, time_ms)
        documents[document.key] = document
        file_document(batch, empty, document.key, None, document, no_place, height=GENESIS_HEIGHT)
    update = tree.update(GENESIS_HEIGHT, commitments(documents, genesis.secret))
    add_tree(batch, update)
    add_height(batch, GENESIS_HEIGHT, update.version, update.root)
    return batch
