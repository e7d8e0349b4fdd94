"""Simulation: what would become of a transaction in a block made now. The same code and field as its receipt would have."""

from __future__ import annotations

from typing import TYPE_CHECKING

from abci_app.execution.run import BlockRun
from smartcontracts.codec import to_message

if TYPE_CHECKING:
    from google.protobuf.message import Message
    from structlog.typing import FilteringBoundLogger

    from abci_app.execution.reading import TransactionReader
    from abci_app.state.committed import Committed


def simulate(
    raw: bytes, committed: Committed, reader: TransactionReader, now_ms: int, log: FilteringBoundLogger
) -> Message:
    """The receipt, as a `Receipt` message; `height` is the one it could get, nothing is kept."""
    time_ms = max(now_ms, committed.clock.time_ms + 1)
    run = BlockRun(committed, reader, time_ms, log=log)
    run.fire_deadlines()
    return to_message(run.run_entry(raw).receipt)
