"""One block on a scratch layer: ledger time, deadlines, transactions in order, system documents, tree. Pure.

PrepareProposal adds transactions one by one and keeps those that fit; ProcessProposal and FinalizeBlock run them all.
What is unfit leaves no trace, so all three come to the same.
"""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING, Final

from abci_app.execution.acts import HandledBytesFullError, Meter, Surroundings, Unit, run_transaction
from abci_app.execution.deadlines import DeadlinesOfBlock, DueQueue
from abci_app.execution.outcomes import BlockResult, Result, StageTimes, refused, unfit
from abci_app.failures import (
    FATAL,
    BlockTooCostly,
    ExecutionFailed,
    TickNotDue,
    TickRepeated,
    TimestampMisplaced,
    TimestampMissing,
)
from abci_app.records import CLOCK, MINUTE_MS, REPLAY, REPLAY_ID_PREFIX, Clock, ReplayMinute
from abci_app.state.documents import commitments
from abci_app.state.view import Layer
from abci_app.store.filing import PART_BYTES_MIN
from ledgers.receipts import Receipt, result_data
from ledgers.refusals import TransactionReplayed
from ledgers.standing import check_expiry, check_ledger, check_signers
from ledgers.transaction import BLOCK_GAS_MAX, SIGNATURE_GAS, Prepared, encode_timestamp
from smartcontracts import kernel
from smartcontracts.codec import large_bytes
from smartcontracts.kernel import HANDLED_BYTES_MAX, Block, Rejected, TooMuchHandled
from smartcontracts.parameters import begin_version
from syngraph.v1.common_pb2 import Cause
from syngraph.v1.system_pb2 import Event
from syngraph.v1.transaction_pb2 import Tick, Timestamp

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

    from abci_app.execution.reading import TransactionReader
    from abci_app.state.committed import Committed
    from abci_app.tree import Tree


_TIMESTAMP_BYTES_MAX: Final = 120  # tag and length take two bytes below 128
_FAILED: Final = "The application failed on this transaction; the node's log says where."


def block_time_ms(first: bytes | None, committed: Committed) -> int | None:
    """Ledger time of a block that begins with this entry, or None where it is no timestamp for the next block."""
    if first is None or len(first) > _TIMESTAMP_BYTES_MAX:
        return None
    try:
        time_ms = Timestamp.FromString(first[2:]).time_ms
    except Exception:  # noqa: BLE001 - whatever it is, it is no timestamp
        return None
    if time_ms <= committed.clock.time_ms or encode_timestamp(committed.ledger_id, time_ms) != first:
        return None
    return time_ms


def _wire_cause(cause: kernel.Cause | None) -> Cause | None:
    if cause is None:
        return None
    return Cause(ledger_id=cause.ledger_id, event_id=cause.event_id, purpose=cause.purpose)


def _large_parts(transaction: Prepared) -> tuple[bytes, ...]:
    if len(transaction.body) < PART_BYTES_MIN:
        return ()
    return tuple(part for c in transaction.commands for part in large_bytes(c.record, PART_BYTES_MIN))


class BlockRun:
    """The block after `committed`, at ledger time `time_ms`."""

    def __init__(
        self,
        committed: Committed,
        reader: TransactionReader,
        time_ms: int,
        *,
        log: FilteringBoundLogger,
        times: StageTimes | None = None,
    ) -> None:
        self._committed = committed
        self._reader = reader
        self._log = log
        self._times = times or StageTimes()
        self.height = committed.height + 1
        self.time_ms = time_ms
        self.layer = Layer(committed.view)
        self.around = Surroundings(
            ledger_id=committed.ledger_id,
            ledger_kind=committed.rules.ledger_kind,
            block=Block(self.height, time_ms),
            parameters=committed.parameters,
            table=committed.table_of_next(),
        )
        self.gas = 0
        # Bytes of documents that transactions read and wrote, and how many were executed for which that was too much.
        self.handled = 0
        self.tried_in_vain = 0
        self.ticked = False
        self._results: list[Result] = []
        self._raw: list[bytes] = []
        self._events: list[Event] = []
        self._remembered: dict[bytes, int] = {}
        queue = DueQueue(committed.deadlines())
        self._first_due_ms = queue.first_due_ms
        self._deadlines = DeadlinesOfBlock(
            queue,
            self.layer,
            self.around,
            quarantined=committed.quarantined,
            rules_version=committed.next_version,
            accept=self._accept_of_deadline,
            log=log,
        )

    @property
    def fired(self) -> int:
        """Deadlines that fired in this block."""
        return self._deadlines.fired

    @property
    def is_full(self) -> bool:
        """Whether no further transaction can have a place."""
        return self.gas + SIGNATURE_GAS > BLOCK_GAS_MAX or self.handled >= HANDLED_BYTES_MAX

    def fire_deadlines(self) -> None:
        """Before any entry; where an upgrade takes place, after `sys/rules` says so."""
        self._times.start()
        if self._committed.next_version != self._committed.rules.version:
            unit = Unit(Layer(self.layer))
            unit.apply(begin_version(self._committed.rules), self.around, None)
            self._accept(unit, b"")
        self._deadlines.fire()
        self._times.lap("execute")

    def add(self, raw: bytes, result: Result) -> None:
        """Put an entry with its result at the end of the block."""
        self._raw.append(raw)
        self._results.append(result)
        self.gas += result.gas
        self.handled += result.handled
        self.ticked = self.ticked or result.tick

    def run_first(self, time_ms: int | None) -> Result:
        """The first entry: its timestamp, if `block_time_ms` found one."""
        if time_ms is None:
            refusal = TimestampMissing("A block begins with a timestamp later than the ledger's last.", "txs[0]")
            return unfit(refusal, self._blank())
        return self._plain()

    def run_entry(self, raw: bytes) -> Result:
        """Execute an entry after the first. Raises only what stops a ledger."""
        try:
            self._times.start()
            entry = self._reader.read(raw, self.around.table, self.around.parameters)
            self._times.lap("decode")
            if isinstance(entry, Prepared):
                return self._run_signed(entry)
            if isinstance(entry, Tick):
                return self._run_tick(entry)
            raise TimestampMisplaced("A timestamp stands first in a block and nowhere else.", "timestamp")
        except Rejected as refusal:
            return unfit(refusal, self._blank())
        except FATAL as failure:
            failure.add_note(f"in transaction {sha256(raw).hexdigest().upper()}")
            raise
        except Exception as failure:  # noqa: BLE001 - DESIGN section 5: a bug of ours must not be a weapon
            self._log.error("transaction.raised", height=self.height, exc_info=failure)
            return unfit(ExecutionFailed(_FAILED), self._blank(), raised=True)

    def _run_signed(self, transaction: Prepared) -> Result:
        check_ledger(transaction, self.around.ledger_id)
        check_expiry(transaction, self.time_ms, self.around.parameters.max_ttl_ms)
        self._check_replay(transaction)
        senders = check_signers(transaction, self.layer, self.time_ms)
        self._times.lap("verify")
        if self.gas + transaction.gas > BLOCK_GAS_MAX:
            raise BlockTooCostly("The block has no room for it; a later one has.")
        blank = self._blank(transaction.transaction_id)
        # The first that handles anything may have the block to itself.
        meter = Meter(HANDLED_BYTES_MAX - self.handled, alone=not self.handled)
        try:
            unit = run_transaction(transaction, senders, self.layer, self.around, meter)
        except HandledBytesFullError as full:
            receipt = self._refuse_handled(full.message_index, blank)
        except Rejected as refusal:
            receipt = refused(refusal, blank)
        else:
            event_ids = self._accept(unit, transaction.transaction_id)
            receipt = Receipt(
                transaction_id=transaction.transaction_id,
                ledger_id=blank.ledger_id,
                height=blank.height,
                index=blank.index,
                ledger_time_ms=blank.ledger_time_ms,
                documents=tuple(unit.writes),
                event_ids=event_ids,
            )
        self._remembered[transaction.transaction_id] = transaction.expires_at_ms // MINUTE_MS
        self._times.lap("execute")
        self._times.transactions += 1
        return Result(
            receipt=receipt,
            data=result_data(receipt),
            fit=True,
            remembered=True,
            gas=transaction.gas,
            handled=meter.handled,
            expires_at_ms=transaction.expires_at_ms,
            parts=_large_parts(transaction),
        )

    def _refuse_handled(self, message_index: int, blank: Receipt) -> Receipt:
        """The refusal of what is too much for a block of its own. Rejects with BlockTooCostly where another block may do."""
        if self.handled:
            self.tried_in_vain += 1
            raise BlockTooCostly("The block has no room for the documents that it reads and writes; a later one has.")
        refusal = TooMuchHandled("It reads and writes too many bytes of documents; send less at once.", "messages")
        refusal.message_index = message_index
        return refused(refusal, blank)

    def _check_replay(self, transaction: Prepared) -> None:
        name = transaction.transaction_id
        minute = transaction.expires_at_ms // MINUTE_MS
        if name in self._remembered or self._committed.was_executed(minute, name):
            raise TransactionReplayed("This was executed before; look up its receipt.", existing_id=name.hex())

    def _run_tick(self, tick: Tick) -> Result:
        if tick.ledger_id != self.around.ledger_id:
            raise TickNotDue("The tick is for another ledger.", "ledger_id")
        if self.ticked:
            raise TickRepeated("A block holds one tick at most.", "tick")
        if self.fired and tick.due_ms == self._first_due_ms:
            return self._plain(tick=True)
        # It has a place in the block, but not code 0: the engine's cache then forgets it.
        refusal = TickNotDue("No deadline fired by it.", "due_ms")
        receipt = refused(refusal, self._blank())
        return Result(receipt=receipt, data=result_data(receipt), fit=True, tick=True)

    def _accept_of_deadline(self, unit: Unit) -> None:
        self._accept(unit, b"")

    def _accept(self, unit: Unit, transaction_id: bytes) -> tuple[str, ...]:
        """Merge a unit into the block and number its events; their ids."""
        unit.layer.merge_down(self.layer)
        first = len(self._events)
        for happening in unit.events:
            document = happening.document
            parties = sorted({value for term, value in document.terms if term == "party"})
            self._events.append(
                Event(
                    id=f"{self.height}/{len(self._events)}",
                    ledger_id=self.around.ledger_id,
                    height=self.height,
                    ledger_time_ms=self.time_ms,
                    name=happening.name,
                    kind=document.kind.name,
                    document_id=document.id,
                    version=document.version,
                    parties=parties,
                    cause=_wire_cause(happening.cause),
                    transaction_id=transaction_id,
                    document_sha256=sha256(document.stored).digest(),
                )
            )
        return tuple(event.id for event in self._events[first:])

    def _blank(self, transaction_id: bytes = b"") -> Receipt:
        return Receipt(
            transaction_id=transaction_id,
            ledger_id=self.around.ledger_id,
            height=self.height,
            index=len(self._results),
            ledger_time_ms=self.time_ms,
        )

    def _plain(self, *, tick: bool = False) -> Result:
        receipt = self._blank()
        return Result(receipt=receipt, data=result_data(receipt), fit=True, tick=tick)

    def finish(self, tree: Tree) -> BlockResult:
        """Write the system documents, if anything changed, and work out the root. Ends the run."""
        minutes = self._committed.replay_minutes
        tree_update = None
        root = self._committed.root
        self._times.start()
        if self.layer.documents or self._remembered:
            minutes = self._write_replay_minutes()
            self._write_clock()
            tree_update = tree.update(self.height, commitments(self.layer.documents, self._committed.genesis.secret))
            root = tree_update.root
        self._times.lap("tree")
        self._times.blocks += 1
        return BlockResult(
            height=self.height,
            time_ms=self.time_ms,
            transactions=tuple(self._raw),
            results=tuple(self._results),
            documents=self.layer.documents,
            events=tuple(self._events),
            root=root,
            tree_update=tree_update,
            quarantined=self._deadlines.quarantined,
            replay_minutes=minutes,
            fired=self.fired,
        )

    def _write_replay_minutes(self) -> frozenset[int]:
        """Add what was executed, drop whole minutes that are past."""
        by_minute: dict[int, list[bytes]] = {}
        for name, minute in self._remembered.items():
            by_minute.setdefault(minute, []).append(name)
        for minute, names in by_minute.items():
            before = self.layer.get(REPLAY, f"{REPLAY_ID_PREFIX}{minute}")
            running = bytes(32) if before is None else before.running_sha256
            for name in names:
                running = sha256(running + name).digest()
            count = len(names) + (0 if before is None else before.count)
            record = ReplayMinute(minute=minute, count=count, running_sha256=running)
            self.layer.write(REPLAY, record, self.time_ms)
        kept = self._committed.replay_minutes | by_minute.keys()
        past = frozenset(m for m in kept if (m + 1) * MINUTE_MS <= self.time_ms)
        for minute in sorted(past):
            self.layer.delete(REPLAY, f"{REPLAY_ID_PREFIX}{minute}")
        return kept - past

    def _write_clock(self) -> None:
        sequence = self._committed.clock.event_sequence + len(self._events)
        clock = Clock(time_ms=self.time_ms, height=self.height, event_sequence=sequence)
        self.layer.write(CLOCK, clock, self.time_ms)
