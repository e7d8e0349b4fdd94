"""What may go: versions no height that is kept needs, events past their time, and lists of replay minutes that are past.

All of it is this node's own business: nothing that is deleted here is under the app hash. A block deletes a bounded
amount, so that a ledger whose parameters change does not stand still for it.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Final

from abci_app.store import keys

if TYPE_CHECKING:
    from abci_app.store.kv import Batch, Reader
    from abci_app.tree import Tree

HEIGHTS_A_BLOCK: Final = 100
RECORDS_A_BLOCK: Final = 5_000


def prune_history(batch: Batch, reader: Reader, tree: Tree, *, oldest: int, height: int, kept: int) -> None:
    """Give up the heights before the last `kept` (0: none), from `oldest`, the first that is kept so far, on."""
    after = min(height - kept + 1, oldest + HEIGHTS_A_BLOCK) if kept else oldest
    if after <= oldest:
        return
    batch[keys.META_OLDEST] = keys.number(after)
    for version in range(oldest + 1, after + 1):
        if version <= (tree.version or 0):
            for record_key in tree.prune(version):
                batch[keys.TREE + record_key] = None
    queue = reader.scan(keys.STALE, keys.STALE + keys.number(after))
    for key, _ in islice(queue, RECORDS_A_BLOCK):
        batch[key] = None
        batch[key[1 + keys.NUMBER_BYTES :]] = None


def prune_events(batch: Batch, reader: Reader, *, oldest: int, height: int, kept: int) -> None:
    """Give up the events of the blocks before the last `kept` (0: none), and the lists of what they executed."""
    after = height - kept + 1
    if not kept or after <= oldest:
        return
    batch[keys.META_OLDEST_EVENT] = keys.number(after)
    for log in (keys.EVENTS, keys.EXECUTED):
        for key, _ in islice(reader.scan(log, log + keys.number(after)), RECORDS_A_BLOCK):
            batch[key] = None


def prune_replay(batch: Batch, reader: Reader, *, minute: int) -> None:
    """Forget the transactions that expired in minutes before `minute`."""
    past = reader.scan(keys.REPLAY, keys.REPLAY + keys.number(max(minute, 0)))
    for key, _ in islice(past, RECORDS_A_BLOCK):
        batch[key] = None
