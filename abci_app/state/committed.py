"""What was committed last, as one value: threads read it, and Commit replaces it in one assignment."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from abci_app.records import CLOCK, CLOCK_ID, QUARANTINE_KEY_PREFIX, REPLAY_KEY_PREFIX
from abci_app.store.keys import (
    DEADLINES,
    DOCUMENTS,
    META_GENESIS,
    META_HEIGHT,
    META_OLDEST,
    META_OLDEST_EVENT,
    app_hash_key,
    decode_app_hash,
    parse_deadline_key,
    past_end,
)
from abci_app.store.kv import StoreDamagedError
from abci_app.store.versioned import scan_live
from ledgers.genesis import parse_genesis
from ledgers.kinds import ContractsVersionUnknown
from smartcontracts.kernel import ContractTable
from smartcontracts.parameters import RULES, RULES_ID, Parameters, Rules

if TYPE_CHECKING:
    from collections.abc import Iterator

    from abci_app.records import Clock
    from abci_app.state.executed import Executed
    from abci_app.state.view import StoredView
    from abci_app.store.kv import Reader
    from ledgers.genesis import LedgerGenesis

TableFor = Callable[[str, int], ContractTable]


@dataclass(frozen=True, slots=True, kw_only=True)
class Committed:
    """The state after `height`, and where its history begins."""

    ledger_id: str
    genesis: LedgerGenesis
    height: int
    root: bytes
    tree_version: int
    clock: Clock
    rules: Rules
    table: ContractTable
    # Of the next block: another one where an upgrade takes place then, None where this software lacks it.
    next_table: ContractTable | None
    view: StoredView
    executed: Executed
    # Keys of the documents whose deadlines fire no more, and minutes of expiry that are remembered.
    quarantined: frozenset[str]
    replay_minutes: frozenset[int]
    # First height that can be read, and first whose events are kept.
    oldest: int
    oldest_event: int

    @property
    def reader(self) -> Reader:
        """The store as it was when this was committed."""
        return self.view.reader

    @property
    def parameters(self) -> Parameters:
        """The ledger's parameters, as the next block begins with them."""
        return self.rules.parameters

    @property
    def next_version(self) -> int:
        """The contracts version of the next block."""
        return self.rules.version_at(self.height + 1)

    def table_of_next(self) -> ContractTable:
        """The contracts of the next block. Rejects with ContractsVersionUnknown where this software lacks them."""
        if self.next_table is None:
            raise ContractsVersionUnknown(
                f"From height {self.height + 1} on ledger {self.ledger_id} runs under version {self.next_version} of the"
                " contracts, which this node's software lacks: update it.",
                "contracts_version",
            )
        return self.next_table

    def was_executed(self, minute: int, transaction_id: bytes) -> bool:
        """Whether a transaction that expires in that minute is remembered."""
        return self.executed.has(self.reader, minute, transaction_id)

    def deadlines(self) -> Iterator[tuple[int, str, str]]:
        """(due_ms, document key, transition), by due and key."""
        for key, _ in self.reader.scan(DEADLINES, past_end(DEADLINES)):
            yield parse_deadline_key(key)

    def next_due_ms(self) -> int | None:
        """When the earliest deadline is due."""
        return next((due_ms for due_ms, _, _ in self.deadlines()), None)

    def app_hash(self, height: int) -> tuple[int, bytes] | None:
        """(tree version, root) after a height."""
        found = self.reader.get(app_hash_key(height))
        return None if found is None else decode_app_hash(found)


def read_number(reader: Reader, key: bytes) -> int:
    """A number of the store's own. Raises StoreDamagedError."""
    found = reader.get(key)
    if found is None:
        raise StoreDamagedError(f"the store has no {key.decode()}")
    return int.from_bytes(found, "big")


def read_genesis(reader: Reader, ledger_id: str) -> LedgerGenesis | None:
    """The genesis that was committed with the first block. Rejects as `parse_genesis`."""
    encoded = reader.get(META_GENESIS)
    return None if encoded is None else parse_genesis(encoded, ledger_id)


def read_committed(
    view: StoredView, genesis: LedgerGenesis, ledger_id: str, table_for: TableFor, executed: Executed
) -> Committed:
    """What was committed last. Raises StoreDamagedError; rejects with ContractsVersionUnknown."""
    reader = view.reader
    height = read_number(reader, META_HEIGHT)
    found = reader.get(app_hash_key(height))
    if found is None:
        raise StoreDamagedError(f"the store has no app hash of height {height}")
    tree_version, root = decode_app_hash(found)
    clock = _required(view.get(CLOCK, CLOCK_ID), "sys/clock")
    rules = _required(view.get(RULES, RULES_ID), "sys/rules")
    table = table_for(rules.ledger_kind, rules.version)
    next_version = rules.version_at(height + 1)
    return Committed(
        ledger_id=ledger_id,
        genesis=genesis,
        height=height,
        root=root,
        tree_version=tree_version,
        clock=clock,
        rules=rules,
        table=table,
        next_table=table if next_version == rules.version else _table_if_known(table_for, rules, next_version),
        view=view,
        executed=executed,
        quarantined=frozenset(_ids(reader, QUARANTINE_KEY_PREFIX)),
        replay_minutes=frozenset(int(i) for i in _ids(reader, REPLAY_KEY_PREFIX)),
        oldest=read_number(reader, META_OLDEST),
        oldest_event=read_number(reader, META_OLDEST_EVENT),
    )


def _table_if_known(table_for: TableFor, rules: Rules, version: int) -> ContractTable | None:
    try:
        return table_for(rules.ledger_kind, version)
    except ContractsVersionUnknown:
        return None


def _ids(reader: Reader, prefix: str) -> list[str]:
    return [found.decode() for found, _ in scan_live(reader, DOCUMENTS, prefix.encode())]


def _required(record: Any, what: str) -> Any:
    if record is None:
        raise StoreDamagedError(f"the store has no {what}")
    return record
