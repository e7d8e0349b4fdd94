"""The ledger's store: LevelDB or memory, the layout of its keys, values by height, and pruning."""

from abci_app.store.kv import Batch, KeyValueStore, Reader, StoreDamagedError
from abci_app.store.leveldb import LevelStore
from abci_app.store.memory import MemoryStore

__all__ = ["Batch", "KeyValueStore", "LevelStore", "MemoryStore", "Reader", "StoreDamagedError"]
