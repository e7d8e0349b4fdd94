"""What the execution of a block gives: a result a transaction, and the block's effects."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from time import perf_counter
from typing import TYPE_CHECKING, Final

from ledgers.receipts import Receipt, result_data

if TYPE_CHECKING:
    from abci_app.state.documents import Document
    from abci_app.tree import TreeUpdate
    from smartcontracts.kernel import Rejected
    from syngraph.v1.system_pb2 import Event


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What became of one entry of a block.

    `fit`: it has a place in a block (stages 1-5 passed). `remembered`: it reached its contract, so it has a receipt and
    can't be replayed. `raised`: the application failed on it. `parts`: large byte strings of its commands.
    """

    receipt: Receipt
    data: bytes
    fit: bool
    remembered: bool = False
    raised: bool = False
    tick: bool = False
    gas: int = 0
    # Bytes of documents that it read and wrote.
    handled: int = 0
    expires_at_ms: int = 0
    parts: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockResult:
    """A block's effects, as values. `tree_update` is None when the block changed nothing at all."""

    height: int
    time_ms: int
    transactions: tuple[bytes, ...]
    results: tuple[Result, ...]
    documents: dict[str, Document | None]
    events: tuple[Event, ...]
    root: bytes
    tree_update: TreeUpdate | None
    quarantined: frozenset[str]
    replay_minutes: frozenset[int]
    fired: int

    @property
    def fit(self) -> bool:
        """Whether every entry has its place in the block."""
        return all(result.fit for result in self.results)


STAGES: Final = ("decode", "verify", "execute", "tree", "store")


@dataclass(slots=True)
class StageTimes:
    """Seconds spent by stage in this process, for the bench.

    `transactions` counts signed ones executed, `blocks` executions of blocks: on a proposer one in PrepareProposal, else
    one in ProcessProposal or FinalizeBlock. `store` holds the building of the batch and its synced write.
    """

    decode: float = 0.0
    verify: float = 0.0
    execute: float = 0.0
    tree: float = 0.0
    store: float = 0.0
    transactions: int = 0
    blocks: int = 0
    _since: float = field(default=0.0, repr=False)

    def start(self) -> None:
        """Begin to measure."""
        self._since = perf_counter()

    def as_dict(self) -> dict[str, float | int]:
        """All but the running clock, for JSON."""
        return {name: getattr(self, name) for name in (*STAGES, "transactions", "blocks")}

    def lap(self, stage: str) -> None:
        """Add the time since `start` or the last lap to `stage`."""
        now = perf_counter()
        setattr(self, stage, getattr(self, stage) + now - self._since)
        self._since = now


def refused(refusal: Rejected, receipt: Receipt) -> Receipt:
    """The receipt of a refusal."""
    return Receipt(
        transaction_id=receipt.transaction_id,
        ledger_id=receipt.ledger_id,
        height=receipt.height,
        index=receipt.index,
        ledger_time_ms=receipt.ledger_time_ms,
        code=refusal.code,
        name=refusal.refusal_name(),
        field=refusal.field,
        message_index=refusal.message_index,
        sentence=refusal.sentence,
        existing_id=refusal.existing_id,
    )


def unfit(refusal: Rejected, receipt: Receipt, *, raised: bool = False) -> Result:
    """The result of an entry that has no place in a block and leaves no trace."""
    answer = refused(refusal, receipt)
    return Result(receipt=answer, data=result_data(answer), fit=False, raised=raised)


def total_gas(results: Sequence[Result]) -> int:
    """Gas of the entries of a block."""
    return sum(result.gas for result in results)
