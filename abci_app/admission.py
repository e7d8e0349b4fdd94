"""CheckTx: admits to the mempool, and does not judge.

It checks form, ledger, expiry with slack, replay, signers and a quota, against what was committed last and this
node's clock. A validator one block behind must not refuse what others admit, so no contract runs here; simulation
answers for those. Recheck refuses whatever a proposer left out, or the engine would make block after block for it.
DESIGN section 5.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from hashlib import sha256
from threading import Lock
from typing import TYPE_CHECKING, Final

from abci_app.failures import LeftOut, QuotaExhausted, TickNotDue, TimestampMisplaced
from abci_app.records import MINUTE_MS
from ledgers.refusals import TransactionReplayed
from ledgers.standing import check_expiry, check_ledger, check_signers
from ledgers.transaction import Prepared
from smartcontracts.kernel import Rejected
from syngraph.v1.transaction_pb2 import Tick

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from abci_app.execution.reading import TransactionReader
    from abci_app.state.committed import Committed

SLACK_MS: Final = 2_000
MEMPOOL_TRANSACTIONS: Final = 2_000
QUOTA: Final = MEMPOOL_TRANSACTIONS // 4
MEMPOOL_BYTES: Final = 256 * 1024 * 1024
QUOTA_BYTES: Final = MEMPOOL_BYTES // 4
LEFT_OUT_MAX: Final = 10_000
# A transaction that the engine dropped without a word is no longer counted after so many blocks.
GENERATIONS_MAX: Final = 3
TICK_ATTEMPTS_SLACK: Final = 10
TICK_GAS: Final = 1


@dataclass(frozen=True, slots=True)
class Admitted:
    """A transaction that may wait for a block. `transaction_id` is empty for a tick."""

    transaction_id: bytes
    gas: int


class Admission:
    """One ledger's mempool as the application sees it.

    `check` runs on the loop thread, the rest on the consensus thread; the lock is held for dictionary steps only.
    """

    def __init__(self, reader: TransactionReader, clock: Callable[[], int]) -> None:
        """`clock` gives Unix time in milliseconds."""
        self._reader = reader
        self._clock = clock
        self._lock = Lock()
        self._generation = 0
        # Of a transaction that waits: organization, generation in which it was seen last, bytes.
        self._pending: dict[bytes, tuple[str, int, int]] = {}
        self._counts: Counter[str] = Counter()
        self._bytes: Counter[str] = Counter()
        # SHA-256 of a transaction to why it was left out, and whether the application failed on it.
        self._left_out: dict[bytes, tuple[str, bool]] = {}

    def check(self, raw: bytes, committed: Committed, *, recheck: bool) -> Admitted:
        """Admit or reject, with the first refusal of stages 1 to 5, LeftOut, QuotaExhausted, TickNotDue or TimestampMisplaced."""
        name = sha256(raw).digest()
        try:
            self._refuse_left_out(name, recheck=recheck)
            return self._check(raw, name, committed, recheck=recheck)
        except Rejected:
            with self._lock:
                self._drop(name)
            raise

    def left_out(self, raw: bytes, why: str, *, raised: bool) -> None:
        """Remember that a proposer left this out, so that recheck refuses it."""
        with self._lock:
            while len(self._left_out) >= LEFT_OUT_MAX:
                del self._left_out[next(iter(self._left_out))]
            self._left_out[sha256(raw).digest()] = (why, raised)

    def block_committed(self, transactions: Sequence[bytes]) -> None:
        """Count what was in a block no longer, nor what neither came in nor was rechecked lately."""
        names = [sha256(raw).digest() for raw in transactions]
        with self._lock:
            for name in names:
                self._drop(name)
            self._generation += 1
            oldest = self._generation - GENERATIONS_MAX
            for name in [n for n, (_, seen, _) in self._pending.items() if seen < oldest]:
                self._drop(name)

    def waiting(self) -> int:
        """Transactions that were admitted and wait."""
        return len(self._pending)

    def _refuse_left_out(self, name: bytes, *, recheck: bool) -> None:
        left_out = self._left_out.get(name)
        if left_out is None:
            return
        why, raised = left_out
        if recheck or raised:
            raise LeftOut(f"A proposer left it out of its block: {why}.")
        # Sent again, it may be right by now.
        with self._lock:
            self._left_out.pop(name, None)

    def _check(self, raw: bytes, name: bytes, committed: Committed, *, recheck: bool) -> Admitted:
        entry = self._reader.read(raw, committed.table_of_next(), committed.parameters)
        now_ms = max(self._clock(), committed.clock.time_ms)
        if isinstance(entry, Tick):
            return self._check_tick(entry, committed)
        if not isinstance(entry, Prepared):
            raise TimestampMisplaced("A timestamp stands first in a block and nowhere else.", "timestamp")
        check_ledger(entry, committed.ledger_id)
        check_expiry(entry, now_ms, committed.parameters.max_ttl_ms, SLACK_MS)
        if committed.was_executed(entry.expires_at_ms // MINUTE_MS, entry.transaction_id):
            raise TransactionReplayed(
                "This was executed before; look up its receipt.", existing_id=entry.transaction_id.hex()
            )
        # A recheck of the whole mempool follows every block and must cost next to nothing; a proposer judges the rest.
        if not recheck:
            check_signers(entry, committed.view, now_ms)
        self._count(name, entry.signers[0].organization, len(raw), recheck=recheck)
        return Admitted(entry.transaction_id, entry.gas)

    def _check_tick(self, tick: Tick, committed: Committed) -> Admitted:
        if tick.ledger_id != committed.ledger_id:
            raise TickNotDue("The tick is for another ledger.", "ledger_id")
        late_ms = self._clock() - tick.due_ms
        if tick.due_ms != committed.next_due_ms() or late_ms < 0:
            raise TickNotDue("No deadline is due then.", "due_ms")
        if tick.attempt > late_ms // 1_000 + TICK_ATTEMPTS_SLACK:
            raise TickNotDue("A tick is tried once a second.", "attempt")
        return Admitted(b"", TICK_GAS)

    def _count(self, name: bytes, organization: str, size: int, *, recheck: bool) -> None:
        with self._lock:
            known = name in self._pending
            if not known and not recheck and self._counts[organization] >= QUOTA:
                raise QuotaExhausted(f"{QUOTA} transactions of your organization wait already; send it again later.")
            if not known and not recheck and self._bytes[organization] + size > QUOTA_BYTES:
                raise QuotaExhausted(f"{QUOTA_BYTES} bytes of your organization wait already; send it again later.")
            if not known:
                self._counts[organization] += 1
                self._bytes[organization] += size
            self._pending[name] = (organization, self._generation, size)

    def _drop(self, name: bytes) -> None:
        pending = self._pending.pop(name, None)
        if pending is not None:
            organization, _, size = pending
            self._counts[organization] -= 1
            self._bytes[organization] -= size
