"""Where the story plays: ledgers as organizations see them, each through its own node, signing with its own members' keys."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from ledgers.client import Act, Receipt, Refused, SigningMember
from scripts.story.telling import StepFailed, Teller
from smartcontracts.kernel import Role
from smartcontracts.money import Money

ACME: Final = "acme"
ALPHA: Final = "alpha"
BRAVO: Final = "bravo"
NORTH: Final = "north"
SOUTH: Final = "south"
OFCOM: Final = "ofcom"
ACME_ALPHA: Final = "acme-alpha"
ALPHA_BRAVO: Final = "alpha-bravo"
OMNI: Final = "omni"
SEEN_WITHIN_S: Final = 20.0
_POLL_S: Final = 0.02
_UNKNOWN: Final = "DOCUMENT_UNKNOWN"


class Network(Protocol):
    """What the story needs of the organizations' nodes; `scripts.story.network` is the real one."""

    def now_ms(self) -> int:
        """Unix time in milliseconds."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Let time pass."""
        ...

    def organization_id(self, name: str) -> str:
        """The id behind a local name."""
        ...

    def name_of(self, organization_id: str) -> str:
        """The local name behind an id."""
        ...

    def nodes_of(self, ledger: str) -> Sequence[str]:
        """Organizations whose nodes replicate a ledger."""
        ...

    async def seat(self, organization: str, ledger: str) -> Seat:
        """An organization at a ledger, through its own node."""
        ...

    async def ledgers_seen(self, organization: str) -> Sequence[str]:
        """Names of the ledgers that an organization's member sees at its own node."""
        ...

    def keep(self, organization: str, name: str, data: bytes) -> str:
        """Write a file into an organization's own node; its path."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """An act that was committed: its receipt, who signed it, and how long it took from signing to receipt."""

    receipt: Receipt
    signer: str
    ms: int

    def id_of(self, kind: str) -> str:
        """The id of the first document of this kind that it wrote."""
        for written in self.receipt.documents:
            if written.kind == kind:
                return written.id
        raise StepFailed(f"a document of kind {kind}", str(self.receipt.documents))


@dataclass(frozen=True, slots=True, kw_only=True)
class Seat:
    """An organization at one ledger: its own node's client of that ledger, and its members who can sign, by role."""

    name: str
    id: str
    ledger_name: str
    ledger: Any
    members: Mapping[Role, SigningMember]
    network: Network

    async def act(self, role: Role, name: str, *commands: object, unchecked: bool = False) -> Done:
        """Sign messages of one sort as the member with this role and hand them to the own node, as one unit. Raises Refused.

        `unchecked` skips the simulation, so that a refusal comes from a block and not before.
        """
        member, began = self.members[role], time.monotonic()
        acts = [Act(name=name, command=command) for command in commands]
        receipt = await self.ledger.submit(acts, [member], skip_simulation=unchecked)
        return Done(receipt=receipt, signer=member.name, ms=int((time.monotonic() - began) * 1000))

    async def refusal(self, role: Role, name: str, command: object) -> tuple[Refused, int]:
        """As `act`, for what must be refused; the refusal and the milliseconds. Raises StepFailed if it is accepted."""
        began = time.monotonic()
        try:
            done = await self.act(role, name, command, unchecked=True)
        except Refused as refused:
            return refused, int((time.monotonic() - began) * 1000)
        raise StepFailed("a refusal", f"{name} was accepted at height {done.receipt.height}")

    async def see(self, kind: str, document_id: str, height: int = 0) -> Any:
        """The document as the own node has it, once that has come to `height`. Raises StepFailed if it does not in time."""
        deadline = time.monotonic() + SEEN_WITHIN_S
        while time.monotonic() < deadline:
            try:
                found = await self.ledger.get(kind, document_id)
                if found.height >= height:
                    return found.body
            except Refused as refused:
                if refused.detail.name != _UNKNOWN:
                    raise
            await asyncio.sleep(_POLL_S)
        raise StepFailed(
            f"{kind}/{document_id} at {self.name}'s node within {SEEN_WITHIN_S:.0f} s",
            "none",
            f"look at {self.name}'s log: is its node behind?",
        )

    async def all(self, kind: str, **filters: Any) -> list[Any]:
        """All documents of a kind that match, as the own node has them."""
        return [found.body async for found in self.ledger.list(kind, **filters)]

    async def result(self, done: Done, kind: str) -> Any:
        """The document of this kind that an act of one's own wrote."""
        return await self.see(kind, done.id_of(kind), done.receipt.height)


@dataclass(frozen=True, slots=True)
class Stage:
    """The network and the teller: what every act is given."""

    network: Network
    teller: Teller

    async def seat(self, organization: str, ledger: str) -> Seat:
        """As Network.seat."""
        return await self.network.seat(organization, ledger)

    def told(self, seat: Seat, done: Done, text: str, document: str = "", amount: Money | None = None) -> None:
        """Tell of a committed act."""
        self.teller.tell(
            text,
            who=seat.name,
            ledger=seat.ledger_name,
            height=done.receipt.height,
            amount=amount,
            ms=done.ms,
            signer=done.signer,
            transaction_id=done.receipt.transaction_id.hex(),
            document=document,
        )

    def refused(self, seat: Seat, refused: Refused, ms: int, text: str) -> None:
        """Tell of a refusal that had to come."""
        detail = refused.detail
        where = f" at {detail.field}" if detail.field else ""
        self.teller.tell(f"{text}: refused, {detail.name}{where}", who=seat.name, ledger=seat.ledger_name, ms=ms)
        self.teller.note(
            "refusals",
            {"who": seat.name, "ledger": seat.ledger_name, "code": detail.code, "name": detail.name, "field": detail.field},
        )

    async def until(self, time_ms: int) -> None:
        """Wait for a moment."""
        while (left_ms := time_ms - self.network.now_ms()) > 0:
            await self.network.sleep(left_ms / 1000)


