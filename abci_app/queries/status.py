"""The state of a ledger in one message; what only the node knows is left empty."""

from __future__ import annotations

from typing import TYPE_CHECKING

from syngraph.v1 import application_pb2 as wire

if TYPE_CHECKING:
    from abci_app.halt import HaltRecord
    from abci_app.state.committed import Committed

RUNNING = "running"
STARTING = "starting"
HALTED = "halted"


def ledger_status(
    ledger_id: str, name: str, committed: Committed | None, halt: HaltRecord | None, waiting: int
) -> wire.LedgerStatus:
    """`waiting` are transactions admitted and not in a block yet."""
    state = HALTED if halt is not None else STARTING if committed is None else RUNNING
    status = wire.LedgerStatus(
        ledger_id=ledger_id,
        name=name,
        state=state,
        halt="" if halt is None else halt.line(),
        mempool_transactions=waiting,
    )
    if committed is not None:
        status.kind = committed.rules.ledger_kind
        status.height = committed.height
        status.app_hash = committed.root
        status.ledger_time_ms = committed.clock.time_ms
        status.contracts_version = committed.rules.version
        status.oldest_height = committed.oldest
        status.next_due_ms = committed.next_due_ms() or 0
        status.quarantined = len(committed.quarantined)
    return status
