"""Act: the agreements. One party proposes, the other accepts what it read, by its hash."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from scripts.story.scene import Done, Seat, Stage
from scripts.story.telling import require
from scripts.story.terms import PROPOSAL_WINDOW_MS, agreement_terms
from smartcontracts.agreement import Agreement, AgreementTerms
from smartcontracts.kernel import Role
from smartcontracts.money import Money
from smartcontracts.proposal import AcceptProposal, Proposal, ProposalStatus, Propose, act_of


async def jointly(
    stage: Stage,
    proposer: Seat,
    other: Seat,
    role: Role,
    name: str,
    command: Any,
    what: str,
    amount: Money | None = None,
) -> Done:
    """Propose a joint act, show that one signature changes nothing, accept it; the receipt of the acceptance."""
    opened = await proposer.act(role, "propose", Propose(act=act_of(name, command), valid_for_ms=PROPOSAL_WINDOW_MS))
    proposal: Proposal = await proposer.result(opened, "proposal")
    require(
        proposal.status == ProposalStatus.OPEN and not proposal.result,
        "a proposal that waits for the other party",
        f"{proposal.status} with {len(proposal.result)} documents",
    )
    stage.told(proposer, opened, f"proposes {what}", f"proposal/{proposal.id}", amount)
    read: Proposal = await other.see("proposal", proposal.id, opened.receipt.height)
    accept = AcceptProposal(proposal_id=read.id, act_sha256=read.act_sha256)
    accepted = await other.act(role, "accept_proposal", accept)
    enacted: Proposal = await other.see("proposal", proposal.id, accepted.receipt.height)
    require(enacted.status == ProposalStatus.ENACTED, "the accepted proposal to be enacted", enacted.status)
    stage.told(other, accepted, f"accepts it by its hash {read.act_sha256.hex()[:12]}", enacted.result[0], amount)
    return accepted


async def conclude(
    stage: Stage,
    proposer: Seat,
    other: Seat,
    name: str,
    terms_of: Callable[[str, tuple[str, ...]], AgreementTerms] = agreement_terms,
) -> Agreement:
    """Both parties' agreement, under `name`; `terms_of` its name and the parties gives the terms."""
    terms = terms_of(name, (proposer.id, other.id))
    what = f'the agreement "{name}": {terms.currency}, {terms.billing_period_ms // 1000} s billing period, netting'
    done = await jointly(stage, proposer, other, Role.ADMINISTRATOR, "agreement_terms", terms, what)
    agreement: Agreement = await other.result(done, "agreement")
    stage.teller.note(
        "agreements",
        {
            "ledger": other.ledger_name,
            "id": agreement.id,
            "name": name,
            "height": done.receipt.height,
            "parties": list(agreement.parties),
            "in_force_from_ms": agreement.in_force_from_ms,
        },
    )
    return agreement
