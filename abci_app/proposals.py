"""PrepareProposal and ProcessProposal: what a block may hold, and the rule about its timestamp.

The engine asks again about a locked block in every later round, so the rule about the distance of a timestamp from this
node's clock only ever gets milder at a height, and a block once accepted stays accepted. DESIGN section 4.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

from abci_app.blocks import block_digest
from abci_app.execution.run import block_time_ms
from abci_app.failures import FATAL, BlockTooCostly
from ledgers.transaction import Prepared, encode_timestamp

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from google.protobuf.message import Message
    from structlog.typing import FilteringBoundLogger

    from abci_app.admission import Admission
    from abci_app.blocks import Blocks
    from abci_app.execution.reading import TransactionReader
    from abci_app.execution.run import BlockRun
    from abci_app.state.committed import Committed

_DOUBLINGS_MAX: Final = 40
# So many organizations may each have one transaction executed for which the block turns out to have no room.
WAITING_MAX: Final = 4


class Proposals:
    """The proposals of one height at a time. Consensus thread only."""

    def __init__(
        self,
        blocks: Blocks,
        admission: Admission,
        reader: TransactionReader,
        clock: Callable[[], int],
        *,
        log: FilteringBoundLogger,
    ) -> None:
        """`clock` gives Unix time in milliseconds."""
        self._blocks = blocks
        self._admission = admission
        self._reader = reader
        self._clock = clock
        self._log = log
        self._asked = 0
        self._accepted: set[bytes] = set()

    def next_height(self) -> None:
        """A block was committed: begin anew."""
        self._asked = 0
        self._accepted.clear()

    def prepare(
        self, committed: Committed, transactions: Sequence[bytes], misbehavior: Sequence[Message], bytes_max: int
    ) -> list[bytes]:
        """The entries of a block of at most `bytes_max` bytes as CometBFT counts them, its timestamp first."""
        time_ms = max(self._clock(), committed.clock.time_ms + 1)
        first = encode_timestamp(committed.ledger_id, time_ms)
        room = bytes_max - wire_bytes(first)
        if room < 0:
            return []
        run = self._blocks.run(committed, time_ms)
        run.add(first, run.run_first(time_ms))
        chosen = [first]
        waiting: set[str] = set()
        for organization, raw in self._in_turn(transactions, committed):
            size = wire_bytes(raw)
            if run.is_full or len(waiting) >= WAITING_MAX:
                break
            # That it has no room shows only when it is executed, so it is tried once, and what comes after it is not.
            if size > room or organization in waiting:
                continue
            tried = run.tried_in_vain
            if self._take(run, raw):
                chosen.append(raw)
                room -= size
            elif run.tried_in_vain > tried:
                waiting.add(organization)
        self._blocks.finish(committed, run, block_digest(chosen, misbehavior))
        return chosen

    def process(self, committed: Committed, transactions: Sequence[bytes], misbehavior: Sequence[Message]) -> bool:
        """Whether this node would vote for a block of these entries."""
        asked, self._asked = self._asked, self._asked + 1
        digest = block_digest(transactions, misbehavior)
        if digest in self._accepted:
            return True
        time_ms = block_time_ms(transactions[0] if transactions else None, committed)
        if time_ms is None:
            return self._refuse(committed, "timestamp_missing")
        if not self._is_near(time_ms, committed, asked):
            return self._refuse(committed, "timestamp_far", off_ms=time_ms - self._clock(), asked=asked)
        result = self._blocks.execute_if_fit(committed, transactions, digest, time_ms)
        if isinstance(result, str):
            return self._refuse(committed, result)
        self._accepted.add(digest)
        return True

    def _is_near(self, time_ms: int, committed: Committed, asked: int) -> bool:
        """Req: DESIGN section 4. No other check of a proposal may look at a clock."""
        now_ms, parameters = self._clock(), committed.parameters
        latest_ms = max(now_ms + parameters.clock_ahead_ms, committed.clock.time_ms + 1)
        earliest_ms = now_ms - (parameters.clock_behind_ms << min(asked, _DOUBLINGS_MAX))
        return earliest_ms <= time_ms <= latest_ms

    def _take(self, run: BlockRun, raw: bytes) -> bool:
        result = run.run_entry(raw)
        if result.fit and not (result.tick and result.receipt.code):
            run.add(raw, result)
            return True
        # What only lacks room waits for the next block; all else would be asked about for ever.
        if result.receipt.code != BlockTooCostly.code:
            self._admission.left_out(raw, result.receipt.name, raised=result.raised)
            self._log.info("proposal.left_out", height=run.height, reason=result.receipt.name)
        return False

    def _in_turn(self, transactions: Sequence[bytes], committed: Committed) -> Iterator[tuple[str, bytes]]:
        """One of each organization after another, each organization's in their order.

        Another one begins at each height: a transaction may take a whole block's gas, and so the others' room.
        """
        queues: dict[str, deque[bytes]] = {}
        for raw in transactions:
            queues.setdefault(self._organization(raw, committed), deque()).append(raw)
        order = deque(queues)
        order.rotate(-committed.height)
        while queues:
            for organization in [name for name in order if name in queues]:
                queue = queues[organization]
                yield organization, queue.popleft()
                if not queue:
                    del queues[organization]

    def _organization(self, raw: bytes, committed: Committed) -> str:
        try:
            entry = self._reader.read(raw, committed.table_of_next(), committed.parameters)
        except FATAL:
            raise
        except Exception:  # noqa: BLE001 - executing it will say what is wrong
            return ""
        return entry.signers[0].organization if isinstance(entry, Prepared) else ""

    def _refuse(self, committed: Committed, reason: str, **details: int) -> bool:
        self._log.warning("proposal.refused", height=committed.height + 1, reason=reason, **details)
        return False


def wire_bytes(raw: bytes) -> int:
    """Bytes of an entry as CometBFT counts them: with a tag and its length as a varint."""
    length = len(raw)
    return length + 1 + max(1, (length.bit_length() + 6) // 7)
