"""What each block executed: where a node that saw some blocks goes on, and the receipts that come next.

A refused transaction has a receipt and no event, so whoever waits for one cannot learn it from the event log.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

from abci_app.queries.eventlog import Position
from abci_app.queries.refusals import CursorInvalid, CursorPruned
from abci_app.store.keys import RECEIPTS, TRANSACTION_ID_BYTES, executed_key, parse_event_key
from abci_app.store.kv import StoreDamagedError
from syngraph.v1 import application_pb2 as wire

if TYPE_CHECKING:
    from abci_app.state.committed import Committed


def start_after_height(after: int | None, committed: Committed) -> Position:
    """The block after a height, or after the last. Rejects with CursorInvalid."""
    if after is None:
        return Position(committed.height + 1)
    if not 0 <= after <= committed.height:
        raise CursorInvalid(f"The ledger is at height {committed.height}.", "after")
    return Position(after + 1)


def read_executed(position: Position, committed: Committed) -> tuple[wire.StreamBlocksResponse, Position]:
    """The next frame from `position` on, and the position after it; past the last block a frame that says so.

    Rejects with CursorPruned. Raises StoreDamagedError.
    """
    if position.height < committed.oldest_event:
        raise CursorPruned(f"The first blocks listed are those from {committed.oldest_event} on.", "after")
    start, stop = executed_key(position.height, position.index), executed_key(committed.height + 1, 0)
    records = list(islice(committed.reader.scan(start, stop), 2))
    if not records:
        return wire.StreamBlocksResponse(height=committed.height, complete=True), Position(committed.height + 1)
    key, ids = records[0]
    height, _ = parse_event_key(key)
    after = Position(*parse_event_key(records[1][0])) if len(records) > 1 else Position(height + 1)
    starts = range(0, len(ids), TRANSACTION_ID_BYTES)
    executed = [_executed(ids[start : start + TRANSACTION_ID_BYTES], committed) for start in starts]
    return wire.StreamBlocksResponse(height=height, executed=executed, complete=after.height > height), after


def _executed(transaction_id: bytes, committed: Committed) -> wire.ExecutedTransaction:
    receipt = committed.reader.get(RECEIPTS + transaction_id)
    if receipt is None:
        raise StoreDamagedError(f"the store has no receipt of {transaction_id.hex()}")
    return wire.ExecutedTransaction(transaction_id=transaction_id, receipt=receipt)
