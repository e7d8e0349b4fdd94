"""Executes blocks, each once: what PrepareProposal or ProcessProposal worked out, FinalizeBlock takes from here.

A result depends on the committed state, the transactions and the misbehaviour and on nothing else, so that is its key.
DESIGN section 5.
"""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING, Final

from abci_app.execution.run import BlockRun, block_time_ms

if TYPE_CHECKING:
    from collections.abc import Sequence

    from google.protobuf.message import Message
    from structlog.typing import FilteringBoundLogger

    from abci_app.execution.outcomes import BlockResult, StageTimes
    from abci_app.execution.reading import TransactionReader
    from abci_app.ledger import Ledger
    from abci_app.state.committed import Committed

RESULTS_MAX: Final = 3


def block_digest(transactions: Sequence[bytes], misbehavior: Sequence[Message]) -> bytes:
    """SHA-256 over a block's transactions and misbehaviour, each with its length."""
    digest = sha256(len(transactions).to_bytes(8, "big"))
    for part in (*transactions, *(m.SerializeToString(deterministic=True) for m in misbehavior)):
        digest.update(len(part).to_bytes(8, "big"))
        digest.update(part)
    return digest.digest()


class Blocks:
    """The blocks that may follow what is committed. Consensus thread only."""

    def __init__(
        self, ledger: Ledger, reader: TransactionReader, *, log: FilteringBoundLogger, times: StageTimes
    ) -> None:
        self._ledger = ledger
        self._reader = reader
        self._log = log
        self._times = times
        self._results: dict[tuple[int, bytes, bytes], BlockResult] = {}

    def run(self, committed: Committed, time_ms: int) -> BlockRun:
        """A block at this ledger time, with its deadlines fired."""
        run = BlockRun(committed, self._reader, time_ms, log=self._log, times=self._times)
        run.fire_deadlines()
        return run

    def finish(self, committed: Committed, run: BlockRun, digest: bytes) -> BlockResult:
        """End a run and keep its result."""
        tree = self._ledger.tree
        if tree is None:
            raise RuntimeError("a block before its ledger")
        result = run.finish(tree)
        while len(self._results) >= RESULTS_MAX:
            del self._results[next(iter(self._results))]
        self._results[committed.height, committed.root, digest] = result
        return result

    def known(self, committed: Committed, digest: bytes) -> BlockResult | None:
        """The result of this block, if it was executed before."""
        return self._results.get((committed.height, committed.root, digest))

    def execute(self, committed: Committed, transactions: Sequence[bytes], digest: bytes) -> BlockResult:
        """A decided block: every entry gets its result, whatever it is."""
        known = self.known(committed, digest)
        if known is not None:
            return known
        first = transactions[0] if transactions else None
        time_ms = block_time_ms(first, committed)
        # Without a timestamp, which only a broken quorum would decide, time crawls.
        run = self.run(committed, committed.clock.time_ms + 1 if time_ms is None else time_ms)
        if first is not None:
            run.add(first, run.run_first(time_ms))
        for raw in transactions[1:]:
            run.add(raw, run.run_entry(raw))
        return self.finish(committed, run, digest)

    def execute_if_fit(
        self, committed: Committed, transactions: Sequence[bytes], digest: bytes, time_ms: int
    ) -> BlockResult | str:
        """A proposed block, or the name of the refusal of its first entry that has no place in it."""
        known = self.known(committed, digest)
        if known is not None and known.fit:
            return known
        run = self.run(committed, time_ms)
        run.add(transactions[0], run.run_first(time_ms))
        for raw in transactions[1:]:
            result = run.run_entry(raw)
            if not result.fit:
                return result.receipt.name
            run.add(raw, result)
        return self.finish(committed, run, digest)

    def forget(self) -> None:
        """Drop all results: something was committed."""
        self._results.clear()
