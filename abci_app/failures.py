"""What stops a ledger, and what doesn't.

An exception in a contract is a bug of ours that every node has alike: it costs the transaction, or quarantines the
document of a deadline. What may differ from node to node stops the ledger before commit. DESIGN section 5.
"""

from __future__ import annotations

from typing import ClassVar, Final

import plyvel

from abci_app.store.kv import StoreDamagedError
from abci_app.tree import TreeError
from smartcontracts.kernel import Grpc, Rejected

FATAL: Final = (MemoryError, RecursionError, OSError, plyvel.Error, StoreDamagedError, TreeError)


class ExecutionFailed(Rejected):
    """The application failed on this transaction; that is a bug, and the transaction has no place in a block."""

    code: ClassVar[int] = 1050
    grpc: ClassVar[Grpc] = Grpc.INTERNAL


class LeftOut(Rejected):
    """A proposer left the transaction out of its block, for the reason that its sentence gives."""

    code: ClassVar[int] = 1051


class QuotaExhausted(Rejected):
    """The organization has as many transactions waiting as it may have; later ones are welcome."""

    code: ClassVar[int] = 1052
    transient: ClassVar[bool] = True
    grpc: ClassVar[Grpc] = Grpc.RESOURCE_EXHAUSTED


class NotReady(Rejected):
    """The ledger has not begun yet on this node."""

    code: ClassVar[int] = 1053
    transient: ClassVar[bool] = True
    grpc: ClassVar[Grpc] = Grpc.UNAVAILABLE


class TimestampMisplaced(Rejected):
    """A timestamp stands first in a block, once, and nowhere else."""

    code: ClassVar[int] = 1054
    grpc: ClassVar[Grpc] = Grpc.INVALID_ARGUMENT


class TimestampMissing(Rejected):
    """A block does not begin with a timestamp of its ledger, later than the ledger's last."""

    code: ClassVar[int] = 1055
    grpc: ClassVar[Grpc] = Grpc.INVALID_ARGUMENT


class TickNotDue(Rejected):
    """No deadline is due as the tick says, or it fired nothing."""

    code: ClassVar[int] = 1056
    transient: ClassVar[bool] = True


class TickRepeated(Rejected):
    """A block holds one tick at most."""

    code: ClassVar[int] = 1057


class BlockTooCostly(Rejected):
    """The transaction does not fit into what is left of the block: its gas, or the documents it may read and write."""

    code: ClassVar[int] = 1058
    transient: ClassVar[bool] = True
    grpc: ClassVar[Grpc] = Grpc.RESOURCE_EXHAUSTED
