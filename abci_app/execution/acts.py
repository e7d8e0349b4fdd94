"""One atomic unit: the messages of a transaction, or the transition of a deadline, on a layer of its own."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from abci_app.state.view import Layer
from ledgers.receipts import DocumentVersion
from smartcontracts.kernel import (
    Block,
    Call,
    Cause,
    ContractTable,
    Due,
    Kind,
    Outcome,
    Rejected,
    Sender,
    run_message,
)
from smartcontracts.kernel import DocumentTooLarge as TooLarge
from smartcontracts.parameters import RULES, Rules

# So much over the limit may a document get that is there already: who fills one to the brim can't keep the other party
# from answering it, or an act on it from being recorded. More than all that can be added to one comes to.
GROWTH_BYTES: Final = 64 * 1024

if TYPE_CHECKING:
    from abci_app.state.documents import DeadlineEntry, Document
    from abci_app.state.view import Documents
    from ledgers.transaction import Prepared
    from smartcontracts.parameters import Parameters


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What does not change while a block runs."""

    ledger_id: str
    ledger_kind: str
    block: Block
    parameters: Parameters
    table: ContractTable


class HandledBytesFullError(Exception):
    """The unit reads or writes more than its meter allows."""

    message_index = 0


@dataclass(slots=True)
class Meter:
    """Bytes of documents that a unit has handled: each that it reads once, each version that it writes."""

    bytes_max: int | None = None
    # The unit has a block to itself, so that a message may allow more.
    alone: bool = False
    handled: int = 0

    def allow(self, bytes_max: int) -> None:
        """A message of the unit may need so much."""
        if self.alone and self.bytes_max is not None:
            self.bytes_max = max(self.bytes_max, bytes_max)

    def add(self, count: int) -> None:
        """Count what was handled. Raises HandledBytesFullError when that is too much."""
        self.handled += count
        if self.bytes_max is not None and self.handled > self.bytes_max:
            raise HandledBytesFullError


class MeteredLayer(Layer):
    """The layer of a unit. What a document costs does not depend on whether this node had it in memory."""

    def __init__(self, base: Documents, meter: Meter) -> None:
        super().__init__(base)
        self._meter = meter
        self._seen: set[str] = set()

    def document(self, kind: Kind[Any], document_id: str) -> Document | None:
        found = super().document(kind, document_id)
        if found is not None and found.key not in self._seen:
            self._seen.add(found.key)
            self._meter.add(len(found.stored))
        return found

    def write(self, kind: Kind[Any], record: Any, time_ms: int) -> Document:
        written = super().write(kind, record, time_ms)
        # Its own transaction has it at hand from here on.
        self._seen.add(written.key)
        self._meter.add(len(written.stored))
        return written


@dataclass(frozen=True, slots=True)
class Happening:
    """An event before it has its number."""

    name: str
    document: Document
    cause: Cause | None


@dataclass(slots=True)
class Unit:
    """The effects of one atomic unit, to be merged into the block or dropped."""

    layer: Layer
    writes: list[DocumentVersion] = field(default_factory=list)
    events: list[Happening] = field(default_factory=list)

    def apply(
        self, outcome: Outcome, around: Surroundings, cause: Cause | None, *, bytes_max: int | None = None
    ) -> None:
        """Take what a transition returned. Rejects with DocumentTooLarge; raises LookupError on an outcome that makes no sense."""
        written: dict[str, Document] = {}
        for record in outcome.writes:
            document = self.layer.write(kind_of(record, around.table), record, around.block.time_ms)
            room = 0 if document.version == 1 else GROWTH_BYTES
            if bytes_max is not None and len(document.stored) > bytes_max + room:
                raise TooLarge(f"A document may have at most {bytes_max} bytes.", document.kind.name)
            written[document.key] = document
            self.writes.append(DocumentVersion(kind=document.kind.name, id=document.id, version=document.version))
        for event in outcome.events:
            subject: Any = event.document
            key = f"{kind_of(subject, around.table).name}/{subject.id}"
            self.events.append(Happening(event.name, written[key], cause))


def kind_of(record: object, table: ContractTable) -> Kind[Any]:
    """The kind that a record is a document of. Raises KeyError where no contract of the ledger has it."""
    return RULES if isinstance(record, Rules) else table.kind_of(record)


def run_transaction(
    transaction: Prepared, senders: tuple[Sender, ...], below: Layer, around: Surroundings, meter: Meter
) -> Unit:
    """Answer all messages in order, on one layer. Rejects as the first message that is refused, with its index.

    Raises HandledBytesFullError, too with the message's index.
    """
    unit = Unit(MeteredLayer(below, meter))
    for place, command in enumerate(transaction.commands):
        call = Call(
            view=unit.layer,
            block=around.block,
            ledger_id=around.ledger_id,
            ledger_kind=around.ledger_kind,
            sender=senders[command.signer],
            signers=senders,
            transaction_id=transaction.transaction_id,
            message_index=place,
            cause=command.cause,
            parameters=around.parameters,
            table=around.table,
        )
        try:
            meter.allow(command.message.handled_bytes_max)
            outcome = run_message(command.message.name, command.record, call)
            unit.apply(outcome, around, command.cause, bytes_max=around.parameters.document_bytes_max)
        except (Rejected, HandledBytesFullError) as refusal:
            refusal.message_index = place
            raise
    return unit


def run_deadline(entry: DeadlineEntry, below: Layer, around: Surroundings, meter: Meter) -> Unit:
    """Run the transition of a deadline. Raises whatever is wrong with it, a refusal included."""
    due_ms, key, transition = entry
    kind_name, _, document_id = key.partition("/")
    kind = around.table.kinds[kind_name]
    unit = Unit(MeteredLayer(below, meter))
    document = below.document(kind, document_id)
    if document is None:
        raise LookupError(f"{key} has a deadline and is not there")
    due = Due(view=unit.layer, block=around.block, ledger_id=around.ledger_id, due_ms=due_ms)
    # The document may be from before the ledger's limit was lowered, and its window must close all the same.
    unit.apply(kind.on_deadline[transition](document.record, due), around, None)
    after = unit.layer.documents.get(key)
    if after is None or entry in after.deadlines:
        # It would fire again in every block, for ever.
        raise RuntimeError(f"the transition {transition} of {key} leaves its deadline in place")
    return unit
