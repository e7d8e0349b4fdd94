"""The contracts of the controlled applications: membership, and the counters of tests/counter.py with long texts."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cache
from typing import ClassVar

from ledgers import kinds
from ledgers.transaction import Act
from smartcontracts.kernel import ContractTable
from tests import counter

TEXT_MAX = 32_768


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """What a counter's message does, and ballast behind it."""

    PROTO: ClassVar[str] = "WithdrawProposal"

    proposal_id: str = field(metadata={"text_max": TEXT_MAX})


CONTRACT = replace(counter.CONTRACT, messages=(replace(counter.CONTRACT.messages[0], command=Program),))


@cache
def table_for(kind, version):
    """Membership and the counters."""
    contracts = tuple(c for c in kinds.contract_table(kind, version).contracts if c.name == "membership")
    return ContractTable((*contracts, CONTRACT))


def program(text):
    """The act whose text tests/counter.py explains."""
    return Act(name="withdraw_proposal", command=Program(proposal_id=text))
