"""Contracts of versions 1 and 2 for tests of upgrades: membership, joint acts, and the counters of tests/counter.py.

Version 2 takes longer texts, counts twice where version 1 counts once, and notes "version 2" when a counter lapses.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cache
from types import MappingProxyType
from typing import ClassVar

from ledgers import kinds
from ledgers.transaction import Act
from smartcontracts.kernel import Contract, ContractTable, MessageType, Outcome, Position, Role
from smartcontracts.parameters import ScheduleVersion
from smartcontracts.proposal import Propose, act_of
from tests import counter
from tests.world import World

TEXT_MAX_2 = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """What a counter's message does: see tests/counter.py."""

    PROTO: ClassVar[str] = "RejectOrder"

    order_id: str
    reason: str = ""
    release: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class Program2(Program):
    order_id: str = field(metadata={"text_max": TEXT_MAX_2})


def run_1(program, call):
    return counter.run(counter.Program(proposal_id=program.order_id), call)


def run_2(program, call):
    outcome = run_1(program, call)
    if not program.order_id.startswith("count "):
        return outcome
    (counted,) = outcome.writes
    twice = replace(counted, accepted_by=(*counted.accepted_by, counted.accepted_by[-1]))
    return Outcome(writes=(twice,), events=(replace(outcome.events[0], document=twice),))


def lapse_2(record, due):
    outcome = counter.lapse(record, due)
    closed = replace(outcome.writes[0], result=("version 2",))
    return Outcome(writes=(closed,), events=(replace(outcome.events[0], document=closed),))


COUNTER_2 = replace(counter.COUNTER, on_deadline=MappingProxyType({"lapse": lapse_2, "later": counter.later}))


def contract(kind, command, handler):
    message = MessageType(
        name="reject_order", command=command, handler=handler, roles=(Role.S_BUS,), positions=tuple(Position)
    )
    return Contract(name="counter", kinds=(kind,), messages=(message,))


CONTRACTS = {1: contract(counter.COUNTER, Program, run_1), 2: contract(COUNTER_2, Program2, run_2)}


@cache
def table_for(kind, version):
    """Both versions: the software after its update."""
    if version not in CONTRACTS:
        return kinds.contract_table(kind, version)  # refuses it
    governance = tuple(c for c in kinds.contract_table(kind, 1).contracts if c.name in {"membership", "proposal"})
    return ContractTable((*governance, CONTRACTS[version]))


def old_table_for(kind, version):
    """Version 1 alone: the software before its update."""
    return table_for(kind, version) if version == 1 else kinds.contract_table(kind, version)


def program(text):
    """The act with this text, which may be as long as version 2 allows."""
    return Act(name="reject_order", command=Program2(order_id=text))


def schedule(version, height):
    """The joint act, for both parties to sign at once."""
    act = act_of("schedule_version", ScheduleVersion(version=version, height=height))
    return Act(name="propose", command=Propose(act=act, valid_for_ms=60_000))


class VersionedWorld(World):
    """A world of these contracts."""

    def application(self, name, **options):
        return super().application(name, **{"table_for": table_for, **options})

    def program(self, text, **fields):
        return self.transaction(program(text), **fields)

    def schedule(self, version, height):
        """The receipt of a `schedule_version` that both parties sign; sleeps afterwards."""
        (receipt,) = self.execute(self.transaction(schedule(version, height), signers=("acme", "alpha")))
        return receipt
