"""One node's copy of a ledger: the application's own parts, put together as `LedgerApplication` does, without the protocol.

Crash it by making another over the same store: what was not committed is gone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, cast

from abci_app.admission import Admission
from abci_app.blocks import Blocks, block_digest
from abci_app.execution.outcomes import BlockResult, StageTimes
from abci_app.execution.reading import TransactionReader
from abci_app.ledger import Ledger
from abci_app.proposals import Proposals
from abci_app.state.committed import Committed, TableFor
from abci_app.store.kv import Batch
from ledgers.genesis import LedgerGenesis
from scripts.simulation.journal import QuietLog
from scripts.simulation.store import LiveStore

# What CometBFT gives an application of a 4 MiB block with few validators, about.
TX_BYTES_MAX: Final = 4 * 1024 * 1024 - 2_000


class Replica:
    """What one validator executes. Reading is shared among replicas: a transaction is parsed and verified once."""

    def __init__(
        self,
        ledger_id: str,
        store: LiveStore,
        *,
        clock: Callable[[], int],
        reader: TransactionReader,
        log: QuietLog,
        table_for: TableFor,
    ) -> None:
        self.store = store
        self.reader = reader
        self.clock = clock
        self._log = log
        self._table_for = table_for
        quiet = cast("Any", log)
        self.ledger = Ledger(ledger_id, store, table_for)
        self.admission = Admission(reader, clock)
        self._blocks = Blocks(self.ledger, reader, log=quiet, times=StageTimes())
        self._proposals = Proposals(self._blocks, self.admission, reader, clock, log=quiet)
        self._decided: tuple[BlockResult, Batch] | None = None

    @property
    def committed(self) -> Committed:
        committed = self.ledger.committed
        if committed is None:
            raise RuntimeError("the ledger has not begun")
        return committed

    def begin(self, genesis: LedgerGenesis) -> bytes:
        """InitChain; the root of the genesis."""
        return self.ledger.begin(genesis).root

    def restarted(self) -> Replica:
        """The same node after `kill -9` and a start."""
        return Replica(
            self.ledger.ledger_id,
            self.store,
            clock=self.clock,
            reader=self.reader,
            log=self._log,
            table_for=self._table_for,
        )

    def check(self, raw: bytes, *, recheck: bool = False) -> None:
        """CheckTx. Rejects as `Admission.check`."""
        self.admission.check(raw, self.committed, recheck=recheck)

    def prepare(self, transactions: Sequence[bytes]) -> list[bytes]:
        """PrepareProposal."""
        return self._proposals.prepare(self.committed, transactions, (), TX_BYTES_MAX)

    def vote(self, transactions: Sequence[bytes]) -> bool:
        """ProcessProposal."""
        return self._proposals.process(self.committed, transactions, ())

    def finalize(self, transactions: Sequence[bytes]) -> BlockResult:
        """FinalizeBlock: nothing is written yet."""
        block = self._blocks.execute(self.committed, transactions, block_digest(transactions, ()))
        self._decided = (block, self.ledger.batch(block))
        return block

    def commit(self) -> Committed:
        """Commit what was finalized."""
        if self._decided is None:
            raise RuntimeError("a commit without a block")
        block, batch = self._decided
        committed = self.ledger.commit(block, batch)
        self._decided = None
        self._blocks.forget()
        self._proposals.next_height()
        self.admission.block_committed(block.transactions)
        return committed
