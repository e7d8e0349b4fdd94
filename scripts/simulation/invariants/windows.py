"""Windows close by themselves, in the first block past them, whatever the contract's deadlines say."""

from __future__ import annotations

from heapq import heappop, heappush
from typing import TYPE_CHECKING, Any

from scripts.simulation.invariants.base import Invariant, broken

if TYPE_CHECKING:
    from scripts.simulation.chain import Chain, Decided
    from scripts.simulation.world import World


def windows_of(kind: str, record: Any) -> tuple[tuple[str, int], ...]:
    """(status, last millisecond) in which a document may be, as the register says; not asked of the contract's own table."""
    status = str(getattr(record, "status", ""))
    if kind == "inquiry" and status == "received":
        return ((status, record.respond_by_ms),)
    if kind == "quote" and status == "issued":
        return ((status, record.valid_until_ms),)
    if kind == "order" and status == "placed":
        return ((status, record.accept_by_ms),)
    if kind == "order" and status == "accepted":
        return ((status, record.activate_by_ms),)
    if kind == "order" and status == "extension_requested":
        return ((status, record.extension.answer_by_ms),)
    return ()


class Windows(Invariant):
    """Req: Q-31, Q-49, O-31, D-31; DESIGN section 4."""

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self._open: dict[str, list[tuple[int, str, str, str]]] = {}

    def block(self, chain: Chain, decided: Decided) -> None:
        waiting = self._open.setdefault(chain.id, [])
        now_ms = decided.result.time_ms
        while waiting and waiting[0][0] < now_ms:
            due_ms, kind, document_id, status = heappop(waiting)
            record = self.world.read(chain, kind, document_id)
            if record is not None and (status, due_ms) in windows_of(kind, record):
                broken("windows_close", chain, f"{kind}/{document_id} is {status} {now_ms - due_ms} ms after its end")
        # What this block wrote is looked at after the next: deadlines fire before a block's transactions.
        for written in decided.written:
            kind = written.after.kind.name
            for status, due_ms in windows_of(kind, written.after.record):
                heappush(waiting, (due_ms, kind, written.after.id, status))
        self._deadlines(chain, decided)

    def _deadlines(self, chain: Chain, decided: Decided) -> None:
        committed = chain.state().committed
        if committed.quarantined:
            broken("no_failure", chain, f"in quarantine: {', '.join(sorted(committed.quarantined))}")
        fresh = dict.fromkeys(written.after.key for written in decided.written)
        for due_ms, key, transition in committed.deadlines():
            if due_ms >= decided.result.time_ms:
                return
            if key not in fresh:
                broken("windows_close", chain, f"{transition} of {key}, due {decided.result.time_ms - due_ms} ms ago, did not fire")
