"""Proposal: how several organizations do one act together. One proposes, all others that it concerns accept or decline.

Each accepts by the hash of what it saw, while the proposal's window is open. The last acceptance enacts in the same block;
until then, or after a decline, withdrawal or lapse, nothing but the proposal has changed: a lone signature does nothing.
When all that must accept sign the proposing transaction, it is enacted at once. DESIGN section 5; Req: S-12, R-20.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Final

from smartcontracts import codec
from smartcontracts.kernel import (
    ActType,
    Call,
    Contract,
    Deadline,
    Due,
    Event,
    Grpc,
    Kind,
    MessageType,
    Outcome,
    Position,
    Rejected,
    Role,
    Sender,
    Terms,
    require_standing,
    step,
)
from smartcontracts.parameters import require_between

# The costliest act, a netting of many lines, takes about a tenth of a second; which act it is stands in the state, not in the message.
ENACTING_GAS: Final = 100_000


class ProposalStatus(StrEnum):
    """Stored on the ledger: never rename a value."""

    OPEN = "open"
    ENACTED = "enacted"
    DECLINED = "declined"
    WITHDRAWN = "withdrawn"
    LAPSED = "lapsed"


LIFECYCLE: Final = MappingProxyType(
    {
        (ProposalStatus.OPEN, "accept"): ProposalStatus.OPEN,
        (ProposalStatus.OPEN, "enact"): ProposalStatus.ENACTED,
        (ProposalStatus.OPEN, "decline"): ProposalStatus.DECLINED,
        (ProposalStatus.OPEN, "withdraw"): ProposalStatus.WITHDRAWN,
        (ProposalStatus.OPEN, "lapse"): ProposalStatus.LAPSED,
    }
)


class ActNotOffered(Rejected):
    """The joint act does not exist, or contracts of this ledger's kind do not offer it."""

    code = 2101
    grpc = Grpc.INVALID_ARGUMENT


class NotConcerned(Rejected):
    """The act needs no acceptance by this organization, so it can't propose, accept or decline it."""

    code = 2102
    grpc = Grpc.PERMISSION_DENIED


class ProposalUnknown(Rejected):
    """There is no such proposal on this ledger."""

    code = 2103
    grpc = Grpc.NOT_FOUND


class ProposalLapsed(Rejected):
    """Ledger time is past the last millisecond in which the proposal could be answered."""

    code = 2104


class ActChanged(Rejected):
    """The hash that the signer gave is not the one of the proposed act."""

    code = 2105


class AcceptedBefore(Rejected):
    """The organization has accepted this proposal already."""

    code = 2106
    grpc = Grpc.ALREADY_EXISTS


class NotTheProposer(Rejected):
    """Only the organization that proposed the act can withdraw it, and only another one can decline it."""

    code = 2107
    grpc = Grpc.PERMISSION_DENIED


@dataclass(frozen=True, slots=True, kw_only=True)
class Act(codec.Choice):
    """A joint act: the name of the field of `syngraph.v1.Act`, and its encoded message."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Propose:
    """Open a joint act for `valid_for_ms` milliseconds."""

    act: Act
    valid_for_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AcceptProposal:
    """Accept the act with this SHA-256 of its encoding."""

    proposal_id: str
    act_sha256: bytes = field(metadata={"bytes_max": 32})


@dataclass(frozen=True, slots=True, kw_only=True)
class DeclineProposal:
    """Say no, for good."""

    proposal_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WithdrawProposal:
    """Take one's own proposal back."""

    proposal_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """A joint act on its way. `act` is the encoded `Act`, `required` organizations, `accepted_by` signers."""

    id: str
    status: ProposalStatus = ProposalStatus.OPEN
    act: bytes
    act_sha256: bytes
    act_name: str
    proposer: str
    required: tuple[str, ...]
    accepted_by: tuple[str, ...] = ()
    valid_until_ms: int
    result: tuple[str, ...] = ()
    declined_by: str = ""


def _terms(proposal: Proposal) -> Terms:
    concerned = sorted(frozenset((proposal.proposer, *proposal.required)))
    return Terms(
        status=proposal.status,
        party=tuple(concerned),
        related=tuple(key.split("/", 1)[1] for key in proposal.result),
    )


def _deadlines(proposal: Proposal) -> tuple[Deadline, ...]:
    if proposal.status != ProposalStatus.OPEN:
        return ()
    return (Deadline(proposal.valid_until_ms, "lapse"),)


def lapse(proposal: Proposal, _: Due) -> Outcome:
    """The window has ended without all acceptances."""
    lapsed = replace(proposal, status=step(LIFECYCLE, proposal.status, "lapse"))
    return Outcome(writes=(lapsed,), events=(Event("proposal.lapsed", lapsed),))


PROPOSAL: Final = Kind(
    name="proposal",
    prefix="prp",
    record=Proposal,
    terms=_terms,
    deadlines=_deadlines,
    on_deadline=MappingProxyType({"lapse": lapse}),
    lifecycle=LIFECYCLE,
    filters=("status", "party", "related"),
)


def act_of(name: str, command: object) -> Act:
    """The act `name` with this command: what goes into `Propose`."""
    return Act(name=name, data=codec.encode(command))


def sha256_of(act: bytes) -> bytes:
    """What an acceptance cites of an encoded `Act`."""
    return hashlib.sha256(act).digest()


def propose(command: Propose, call: Call) -> Outcome:
    """Open the act, or enact it if all that must accept it sign here.

    Rejects with the first of: ActNotOffered, those of the act's decoding, PositionWrong, RoleMissing, WindowOutOfBounds,
    NotConcerned, those of the act's check.
    """
    act_type = _act_type(command.act.name, call)
    act_command = _decoded(act_type, command.act)
    require_standing(call.sender, act_type.positions, act_type.roles, act_type.name)
    parameters = call.parameters
    require_between(
        command.valid_for_ms, parameters.window_min_ms, parameters.proposal_window_max_ms, "valid_for_ms"
    )
    required = act_type.required(act_command, call)
    _require_concerned(call.sender.organization, required)
    act = codec.encode(command.act)
    opened = Proposal(
        id=call.new_id(PROPOSAL),
        act=act,
        act_sha256=sha256_of(act),
        act_name=act_type.name,
        proposer=call.sender.organization,
        required=required,
        valid_until_ms=call.block.time_ms + command.valid_for_ms,
    )
    act_type.check(act_command, _for_act(call, opened))
    return _with_acceptances(opened, act_type, act_command, call, "proposal.opened")


def accept(command: AcceptProposal, call: Call) -> Outcome:
    """Accept a proposal; the last acceptance enacts it.

    Rejects with the first of: ProposalUnknown, WrongStatus, ProposalLapsed, PositionWrong, RoleMissing, NotConcerned,
    ActChanged, AcceptedBefore, those of the act's enactment.
    """
    proposal, act_type = _open_proposal(command.proposal_id, call, "accept")
    act_command = _decoded(act_type, codec.decode(Act, proposal.act))
    # Who must accept is asked anew: a member that joined or left since then counts or does not.
    required = act_type.required(act_command, call)
    _require_concerned(call.sender.organization, required)
    if command.act_sha256 != proposal.act_sha256:
        raise ActChanged("The hash is not the proposed act's; read the proposal again.", "act_sha256")
    if call.sender.organization in _organizations(proposal.accepted_by):
        raise AcceptedBefore("Your organization has accepted this already.", "proposal_id", existing_id=proposal.id)
    current = replace(proposal, required=required)
    return _with_acceptances(current, act_type, act_command, call, "proposal.accepted")


def decline(command: DeclineProposal, call: Call) -> Outcome:
    """End a proposal by saying no. Rejects with the first of: ProposalUnknown, WrongStatus, ProposalLapsed, PositionWrong, RoleMissing, NotConcerned, NotTheProposer."""
    proposal, _ = _open_proposal(command.proposal_id, call, "decline")
    _require_concerned(call.sender.organization, proposal.required)
    if call.sender.organization == proposal.proposer:
        raise NotTheProposer("Your organization proposed this: withdraw it.", "proposal_id")
    declined = replace(
        proposal, status=step(LIFECYCLE, proposal.status, "decline"), declined_by=_signer(call.sender)
    )
    return Outcome(writes=(declined,), events=(Event("proposal.declined", declined),))


def withdraw(command: WithdrawProposal, call: Call) -> Outcome:
    """Take a proposal back. Rejects with the first of: ProposalUnknown, WrongStatus, ProposalLapsed, PositionWrong, RoleMissing, NotTheProposer."""
    proposal, _ = _open_proposal(command.proposal_id, call, "withdraw")
    if call.sender.organization != proposal.proposer:
        raise NotTheProposer("Another organization proposed this: decline it.", "proposal_id")
    withdrawn = replace(proposal, status=step(LIFECYCLE, proposal.status, "withdraw"))
    return Outcome(writes=(withdrawn,), events=(Event("proposal.withdrawn", withdrawn),))


def _with_acceptances(
    proposal: Proposal, act_type: ActType, act_command: Any, call: Call, event: str
) -> Outcome:
    """The proposal with the acceptances of everybody who signs here, enacted if nobody is missing."""
    accepted = proposal.accepted_by
    for signer in (call.sender, *call.signers):
        if _counts(signer, act_type, proposal.required, accepted):
            accepted = (*accepted, _signer(signer))
    answered = replace(proposal, accepted_by=accepted)
    if any(organization not in _organizations(accepted) for organization in proposal.required):
        return Outcome(writes=(answered,), events=(Event(event, answered),))
    enacted = act_type.enact(act_command, _for_act(call, answered))
    written: tuple[Any, ...] = enacted.writes
    keys = tuple(f"{call.table.kind_of(record).name}/{record.id}" for record in written)
    closed = replace(answered, status=step(LIFECYCLE, answered.status, "enact"), result=keys)
    return enacted.then(Outcome(writes=(closed,), events=(Event("proposal.enacted", closed),)))


def _counts(signer: Sender, act_type: ActType, required: tuple[str, ...], accepted: tuple[str, ...]) -> bool:
    """A signature accepts if its organization must, has not yet, and its member may."""
    return (
        signer.organization in required
        and signer.organization not in _organizations(accepted)
        and signer.position in act_type.positions
        and any(role in signer.roles for role in act_type.roles)
    )


def _open_proposal(proposal_id: str, call: Call, event: str) -> tuple[Proposal, ActType]:
    """The proposal and its act's type, if the sender may answer. Rejects with the first of: ProposalUnknown, WrongStatus, ProposalLapsed, PositionWrong, RoleMissing."""
    proposal = call.view.get(PROPOSAL, proposal_id)
    if proposal is None:
        raise ProposalUnknown(f"There is no proposal {proposal_id!r} on this ledger.", "proposal_id")
    step(LIFECYCLE, proposal.status, event)
    if call.block.time_ms > proposal.valid_until_ms:
        raise ProposalLapsed(f"It could be answered until {proposal.valid_until_ms} ms.", "proposal_id")
    act_type = _act_type(proposal.act_name, call)
    require_standing(call.sender, act_type.positions, act_type.roles, act_type.name)
    return proposal, act_type


def _act_type(name: str, call: Call) -> ActType:
    act_type = call.table.acts.get(name)
    if act_type is None:
        raise ActNotOffered(f"Ledgers of kind {call.ledger_kind} do not offer the joint act {name}.", "act")
    return act_type


def _decoded(act_type: ActType, act: Act) -> Any:
    return codec.decode(act_type.command, act.data, f"act.{act.name}.")


def _for_act(call: Call, proposal: Proposal) -> Call:
    # A cause names what the message creates, which is the proposal; the act's own documents are named by the transaction.
    return replace(call, proposal_id=proposal.id, accepted_by=proposal.accepted_by, cause=None)


def _require_concerned(organization: str, required: tuple[str, ...]) -> None:
    if organization not in required:
        raise NotConcerned("The act does not need your organization.", "signer")


def _signer(sender: Sender) -> str:
    return f"{sender.organization}/{sender.member}"


def _organizations(signers: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(signer.split("/", 1)[0] for signer in signers)


# Which roles and positions an act needs stands with the act; anybody on the ledger may hold one of them.
_ANY_ROLE: Final = tuple(Role)
_ANY_POSITION: Final = tuple(Position)

CONTRACT: Final = Contract(
    name="proposal",
    kinds=(PROPOSAL,),
    messages=(
        MessageType(
            name="propose",
            command=Propose,
            handler=propose,
            roles=_ANY_ROLE,
            positions=_ANY_POSITION,
            creates=PROPOSAL,
            gas=ENACTING_GAS,
        ),
        MessageType(
            name="accept_proposal",
            command=AcceptProposal,
            handler=accept,
            roles=_ANY_ROLE,
            positions=_ANY_POSITION,
            gas=ENACTING_GAS,
        ),
        MessageType(
            name="decline_proposal",
            command=DeclineProposal,
            handler=decline,
            roles=_ANY_ROLE,
            positions=_ANY_POSITION,
        ),
        MessageType(
            name="withdraw_proposal",
            command=WithdrawProposal,
            handler=withdraw,
            roles=_ANY_ROLE,
            positions=_ANY_POSITION,
        ),
    ),
)
