"""An observer's grant and its end: joint acts of the organizations that govern the ledger.

The first governor proposes through its own node, each other one reads the proposal on its own node and accepts the hash of
what it read there. DESIGN section 5.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from ledgers.client import Act, Client, Ledger, Receipt, SigningMember
from smartcontracts.codec import encode
from smartcontracts.proposal import AcceptProposal, Propose, act_of

WINDOW_MS: Final = 60_000
_POLL_S: Final = 0.02


@dataclass(frozen=True, slots=True)
class Governor:
    """An administrator of an organization that governs the ledger, at its own node."""

    client: Client
    signer: SigningMember


@dataclass(frozen=True, slots=True)
class JointAct:
    """How an act came about. `receipts`: the proposal's, then each acceptance's."""

    proposal_id: str
    receipts: tuple[Receipt, ...]


async def act_jointly(ledger_id: str, governors: Sequence[Governor], name: str, command: object) -> JointAct:
    """Propose the act `name`, accept it for everybody else, and return when it is enacted. Raises ClientError."""
    first, *others = governors
    propose = Act(name="propose", command=Propose(act=act_of(name, command), valid_for_ms=WINDOW_MS))
    receipt = await (await first.client.ledger(ledger_id)).submit([propose], [first.signer])
    proposal_id = next(written.id for written in receipt.documents if written.kind == "proposal")
    receipts = [receipt]
    for governor in others:
        ledger = await governor.client.ledger(ledger_id)
        receipts.append(await _accept(ledger, governor.signer, proposal_id, command, name, receipt.height))
    return JointAct(proposal_id, tuple(receipts))


async def _accept(
    ledger: Ledger, signer: SigningMember, proposal_id: str, command: object, name: str, height: int
) -> Receipt:
    """Accept what the governor's own node shows, once it shows it, and if it is the act that was agreed on."""
    while True:
        here, _ = await ledger.app_hash()
        if here >= height:
            break
        await asyncio.sleep(_POLL_S)
    proposal = (await ledger.get("proposal", proposal_id)).body
    if proposal.act != encode(act_of(name, command)):
        raise ValueError(f"the proposal {proposal_id} is another act than was agreed on")
    accept = AcceptProposal(proposal_id=proposal_id, act_sha256=proposal.act_sha256)
    return await ledger.submit([Act(name="accept_proposal", command=accept)], [signer])
