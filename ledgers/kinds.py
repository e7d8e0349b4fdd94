"""Kinds of ledgers, and which contracts run on each at each version of the contracts.

A node refuses a ledger whose `contracts_version` it lacks. Versions once released stay: old blocks must replay. DESIGN
sections 8, 11.
"""

from __future__ import annotations

from functools import cache
from typing import ClassVar, Final

from smartcontracts import (
    agreement,
    catalogue,
    change,
    delivery,
    inquiry,
    invoice,
    membership,
    netting,
    omni,
    order,
    proposal,
    quote,
    score,
    settlement,
    sla,
    usage,
)
from smartcontracts.internal import (
    answer,
    assessment,
    counterparty,
    decomposition,
    handover,
    inventory,
    orders,
    ranking,
    recovery,
    release,
    rules,
    sourcing,
    stranded,
)
from smartcontracts.internal import change as internal_change
from smartcontracts.internal import delivery as internal_delivery
from smartcontracts.kernel import Contract, ContractTable, Grpc, Position, Rejected

BILATERAL: Final = "bilateral"
INTERNAL: Final = "internal"
OMNI: Final = "omni"
LEDGER_KINDS: Final = (BILATERAL, INTERNAL, OMNI)

# The contracts' versions that this software can run, oldest first.
VERSIONS: Final = (1,)

# Which positions the organizations of a ledger may have.
POSITIONS: Final = {
    BILATERAL: (Position.PARTY, Position.NEUTRAL, Position.OBSERVER),
    INTERNAL: (Position.PARTY, Position.OBSERVER),
    OMNI: (Position.MEMBER, Position.OBSERVER),
}


class LedgerKindUnknown(Rejected):
    """A ledger is bilateral, internal or omni."""

    code: ClassVar[int] = 2211
    grpc: ClassVar[Grpc] = Grpc.INVALID_ARGUMENT


class ContractsVersionUnknown(Rejected):
    """This software lacks the ledger's version of the contracts."""

    code: ClassVar[int] = 2212


@cache
def contract_table(kind: str, version: int) -> ContractTable:
    """What runs on ledgers of `kind` at `version`. Rejects with LedgerKindUnknown, ContractsVersionUnknown."""
    if kind not in LEDGER_KINDS:
        raise LedgerKindUnknown(f"A ledger is one of {', '.join(LEDGER_KINDS)}, not {kind!r}.", "kind")
    if version not in VERSIONS:
        raise ContractsVersionUnknown(
            f"This software has contracts of versions {', '.join(map(str, VERSIONS))}, not {version}: update it.",
            "contracts_version",
        )
    return ContractTable(_V1[kind])


_GOVERNANCE: Final = (membership.CONTRACT, proposal.CONTRACT)
_V1: Final[dict[str, tuple[Contract, ...]]] = {
    BILATERAL: (
        *_GOVERNANCE,
        agreement.CONTRACT,
        inquiry.CONTRACT,
        quote.CONTRACT,
        catalogue.CONTRACT,
        order.CONTRACT,
        delivery.CONTRACT,
        change.CONTRACT,
        usage.CONTRACT,
        invoice.CONTRACT,
        netting.CONTRACT,
        settlement.CONTRACT,
        sla.CONTRACT,
        score.CONTRACT,
    ),
    INTERNAL: (
        *_GOVERNANCE,
        rules.CONTRACT,
        release.CONTRACT,
        counterparty.CONTRACT,
        handover.CONTRACT,
        decomposition.CONTRACT,
        sourcing.CONTRACT,
        ranking.CONTRACT,
        assessment.CONTRACT,
        answer.CONTRACT,
        orders.CONTRACT,
        internal_delivery.CONTRACT,
        recovery.CONTRACT,
        inventory.CONTRACT,
        internal_change.CONTRACT,
        stranded.CONTRACT,
    ),
    OMNI: (*_GOVERNANCE, omni.CONTRACT),
}
