"""A contract for tests: counters with deadlines, some of which raise. What a message does stands in its one text.

open MODE MS    a counter that lapses MS after ledger time. MODE: plain; chain/N (its lapse opens the next, due 1 ms
                later, N times); bomb (its lapse raises); bombs (that too, and it has
                    another deadline); stuck (its lapse changes nothing); reject (it is refused)
count ID        adds one
refuse          is refused
raise           raises ValueError
memory          raises MemoryError
grow N          writes a document of N bytes more
many N          opens N plain counters, due in an hour
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cache
from types import MappingProxyType
from typing import ClassVar

from ledgers import kinds
from smartcontracts.ids import derive_id
from smartcontracts.kernel import (
    Contract,
    ContractTable,
    Deadline,
    Event,
    Kind,
    MessageType,
    Outcome,
    Position,
    Rejected,
    Role,
    Terms,
)


class Refused(Rejected):
    """The test asked for it."""

    code = 9901


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    PROTO: ClassVar[str] = "WithdrawProposal"

    proposal_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Costly:
    """For parties only, and so costly that a block has room for one."""

    PROTO: ClassVar[str] = "DeclineProposal"

    proposal_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Counter:
    """A counter: `accepted_by` holds an entry a count, `act` ballast, `valid_until_ms` its deadline."""

    PROTO: ClassVar[str] = "Proposal"

    id: str
    status: str
    act: bytes = field(default=b"", metadata={"bytes_max": 1 << 20})
    act_sha256: bytes = b""
    act_name: str = ""
    proposer: str = ""
    required: tuple[str, ...] = ()
    accepted_by: tuple[str, ...] = ()
    valid_until_ms: int = 0
    result: tuple[str, ...] = ()
    declined_by: str = ""


def terms(counter):
    return Terms(
        status=counter.status,
        party=(counter.proposer,),
        related=counter.required,
        keys=(f"mode/{counter.act_name}",),
    )


def deadlines(counter):
    if counter.status != "open":
        return ()
    later = (Deadline(counter.valid_until_ms + 1, "later"),) if counter.act_name == "bombs" else ()
    return (Deadline(counter.valid_until_ms, "lapse"), *later)


def later(counter, due):
    closed = replace(counter, status="lapsed", result=("later",))
    return Outcome(writes=(closed,), events=(Event("counter.lapsed", closed),))


def lapse(counter, due):
    if counter.act_name in {"bomb", "bombs"}:
        raise ZeroDivisionError("the test asked for it")
    if counter.act_name == "reject":
        raise Refused("A deadline that is refused.")
    if counter.act_name == "stuck":
        return Outcome(writes=(replace(counter, accepted_by=(*counter.accepted_by, "stuck")),))
    closed = replace(counter, status="lapsed", result=(f"due {due.due_ms}", f"at {due.block.time_ms}"))
    outcome = Outcome(writes=(closed,), events=(Event("counter.lapsed", closed),))
    mode, _, rest = counter.act_name.partition("/")
    if mode == "chain" and int(rest) > 0:
        following = replace(
            counter,
            id=derive_id("ctr", counter.id, "next"),
            act_name=f"chain/{int(rest) - 1}",
            valid_until_ms=counter.valid_until_ms + 1,
        )
        return outcome.then(Outcome(writes=(following,), events=(Event("counter.opened", following),)))
    return outcome


COUNTER = Kind(
    name="counter",
    prefix="ctr",
    record=Counter,
    terms=terms,
    deadlines=deadlines,
    on_deadline=MappingProxyType({"lapse": lapse, "later": later}),
    filters=("status", "party"),
)


def run(program, call):
    word, *rest = program.proposal_id.split(" ")
    if word == "open":
        mode, ms = rest
        return opened(call, mode, call.block.time_ms + int(ms))
    if word == "count":
        counter = call.view.get(COUNTER, rest[0])
        if counter is None:
            raise Refused("There is no such counter.", "proposal_id")
        counted = replace(counter, accepted_by=(*counter.accepted_by, call.sender.member))
        return Outcome(writes=(counted,), events=(Event("counter.counted", counted),))
    if word == "many":
        outcome = Outcome()
        for n in range(int(rest[0])):
            outcome = outcome.then(opened(call, "plain", call.block.time_ms + 3_600_000, n))
        return outcome
    if word == "grow":
        return opened(call, "plain", call.block.time_ms + 3_600_000, act=bytes(int(rest[0])))
    if word == "raise":
        raise ValueError("the test asked for it")
    if word == "memory":
        raise MemoryError
    raise Refused("The test asked for it.", "proposal_id")


def opened(call, mode, due_ms, n=0, act=b""):
    counter = Counter(
        id=call.new_id(COUNTER, n),
        status="open",
        act=act,
        act_name=mode,
        proposer=call.sender.organization,
        valid_until_ms=due_ms,
    )
    return Outcome(writes=(counter,), events=(Event("counter.opened", counter),))


CONTRACT = Contract(
    name="counter",
    kinds=(COUNTER,),
    messages=(
        MessageType(
            name="withdraw_proposal",
            command=Program,
            handler=run,
            roles=(Role.S_BUS,),
            positions=tuple(Position),
        ),
        MessageType(
            name="decline_proposal",
            command=Costly,
            handler=lambda program, call: run(Program(proposal_id=program.proposal_id), call),
            roles=(Role.S_BUS,),
            gas=600_000,
        ),
    ),
)


@cache
def table_for(kind, version):
    """Membership and the counters."""
    contracts = tuple(c for c in kinds.contract_table(kind, version).contracts if c.name == "membership")
    return ContractTable((*contracts, CONTRACT))
