"""The deadlines that are due in a block, in order of (due, key), with those that fall due by another's firing."""

from __future__ import annotations

from heapq import heappop, heappush
from typing import TYPE_CHECKING, Final

from abci_app.execution.acts import Meter, run_deadline
from abci_app.failures import FATAL
from abci_app.records import QUARANTINE, Quarantine
from smartcontracts.kernel import HANDLED_BYTES_MAX

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from structlog.typing import FilteringBoundLogger

    from abci_app.execution.acts import Surroundings, Unit
    from abci_app.state.documents import DeadlineEntry, Document
    from abci_app.state.view import Layer

# What deadlines may read and write in one block, but for what the last of them adds: a party could have a thousand documents
# of half a mebibyte fall due in one millisecond, and a block that writes them all takes more memory than nodes have.
DUE_BYTES_MAX: Final = HANDLED_BYTES_MAX


class DueQueue:
    """Committed entries, read as they are needed, and what this block changed about them."""

    def __init__(self, committed: Iterator[DeadlineEntry]) -> None:
        self._committed = committed
        self._next = next(committed, None)
        self.first_due_ms = None if self._next is None else self._next[0]
        self._added: list[DeadlineEntry] = []
        # What this block decided about an entry: in the heap, or gone.
        self._there: dict[DeadlineEntry, bool] = {}

    def pop_before(self, time_ms: int) -> DeadlineEntry | None:
        """The first entry that is due before `time_ms`."""
        while True:
            from_heap = bool(self._added) and (self._next is None or self._added[0] <= self._next)
            entry = self._added[0] if from_heap else self._next
            if entry is None or entry[0] >= time_ms:
                return None
            if from_heap:
                heappop(self._added)
                if self._there.get(entry):
                    self._there[entry] = False
                    return entry
            else:
                self._next = next(self._committed, None)
                if entry not in self._there:
                    self._there[entry] = False
                    return entry

    def refile(self, before: Document | None, after: Document | None) -> None:
        """Follow the write of a document."""
        old = {} if before is None else before.deadlines
        new = {} if after is None else after.deadlines
        for entry in old:
            if entry not in new:
                self._there[entry] = False
        for entry in new:
            if entry not in old:
                self._there[entry] = True
                heappush(self._added, entry)


class DeadlinesOfBlock:
    """Fires what is due, on the block's layer; a transition that raises quarantines its document."""

    def __init__(
        self,
        queue: DueQueue,
        layer: Layer,
        around: Surroundings,
        *,
        quarantined: frozenset[str],
        rules_version: int,
        accept: Callable[[Unit], None],
        log: FilteringBoundLogger,
    ) -> None:
        """`accept` takes each unit that held, before it is merged."""
        self._queue = queue
        self._layer = layer
        self._around = around
        self.quarantined = quarantined
        self._rules_version = rules_version
        self._accept = accept
        self._log = log
        self.fired = 0
        self._meter = Meter()

    def fire(self) -> None:
        """At most `deadlines_per_block_max`, and until `DUE_BYTES_MAX` are read and written; the rest waits for the next block,
        which the changed app hash brings.
        """
        most = self._around.parameters.deadlines_per_block_max
        while self.fired < most and self._meter.handled < DUE_BYTES_MAX:
            entry = self._queue.pop_before(self._around.block.time_ms)
            if entry is None:
                return
            self.fired += 1
            self._fire_one(entry)

    def _fire_one(self, entry: DeadlineEntry) -> None:
        try:
            unit = run_deadline(entry, self._layer, self._around, self._meter)
        except FATAL as failure:
            failure.add_note(f"in the deadline {entry[2]} of {entry[1]}")
            raise
        except Exception as failure:  # noqa: BLE001 - a bug of ours may cost one document, not the ledger
            self._quarantine(entry, failure)
            return
        for after in unit.layer.documents.values():
            if after is not None and after.key not in self.quarantined:
                self._queue.refile(self._layer.document(after.kind, after.id), after)
        self._accept(unit)

    def _quarantine(self, entry: DeadlineEntry, failure: Exception) -> None:
        due_ms, key, transition = entry
        name = type(failure).__name__
        self._log.error("deadline.raised", document=key, transition=transition, exc_info=failure)
        kind = self._around.table.kinds.get(key.partition("/")[0])
        document = None if kind is None else self._layer.document(kind, key.partition("/")[2])
        self._queue.refile(document, None)
        self.quarantined |= {key}
        record = Quarantine(
            document=key, transition=transition, due_ms=due_ms, rules_version=self._rules_version, failure=name
        )
        self._layer.write(QUARANTINE, record, self._around.block.time_ms)
