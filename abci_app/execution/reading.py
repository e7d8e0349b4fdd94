"""Reads transactions, each once: what CheckTx read and verified, a block takes from here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ledgers.refusals import TransactionMalformed
from ledgers.transaction import Prepared, parse_transaction, prepare
from syngraph.v1.transaction_pb2 import Tick, Timestamp

if TYPE_CHECKING:
    from smartcontracts.kernel import ContractTable
    from smartcontracts.parameters import Parameters

Entry = Prepared | Timestamp | Tick

CACHED_TRANSACTIONS: Final = 4_096
CACHED_BYTES_MAX: Final = 32 * 1024 * 1024


class TransactionReader:
    """Reads and remembers, first in first out. Two threads share it; each step is one operation of a dictionary."""

    def __init__(self) -> None:
        self._read: dict[bytes, tuple[ContractTable, Parameters, Prepared]] = {}
        self._bytes = 0

    def read(self, raw: bytes, table: ContractTable, parameters: Parameters) -> Entry:
        """The transaction, its form checked (stage 1). Rejects as `parse_transaction` and `prepare`."""
        known = self._read.get(raw)
        if known is not None and known[0] is table and known[1] == parameters:
            return known[2]
        transaction = parse_transaction(raw, parameters.transaction_bytes_max)
        kind = transaction.WhichOneof("kind")
        if kind == "timestamp":
            return transaction.timestamp
        if kind == "tick":
            return transaction.tick
        if kind != "signed":
            raise TransactionMalformed("The transaction is of no known kind.", "transaction")
        prepared = prepare(transaction.signed, table, parameters)
        self._keep(raw, (table, parameters, prepared))
        return prepared

    def _keep(self, raw: bytes, entry: tuple[ContractTable, Parameters, Prepared]) -> None:
        self._read[raw] = entry
        self._bytes += len(raw)
        if len(self._read) > CACHED_TRANSACTIONS or self._bytes > CACHED_BYTES_MAX:
            for old in list(self._read)[: CACHED_TRANSACTIONS // 4]:
                self._read.pop(old, None)
            # Counted anew: two threads may have counted one entry twice.
            self._bytes = sum(len(kept) for kept in list(self._read))
