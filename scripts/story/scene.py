"""Where the story plays: ledgers as organizations see them, each through its own node, signing with its own members' keys."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from ledgers.client import Act, NodeUnreachable, Receipt, Refused, SigningMember, TimedOut, make
from scripts.story.telling import StepFailed, Teller, require
from smartcontracts.kernel import Role
from smartcontracts.money import Money

ACME: Final = "acme"
ALPHA: Final = "alpha"
BRAVO: Final = "bravo"
CHARLIE: Final = "charlie"
DELTA: Final = "delta"
SOUTH: Final = "south"
OFCOM: Final = "ofcom"
ACME_ALPHA: Final = "acme-alpha"
ALPHA_BRAVO: Final = "alpha-bravo"
OMNI: Final = "omni"
SEEN_WITHIN_S: Final = 40.0
_POLL_S: Final = 0.02


class Network(Protocol):
    """What the story needs of the organizations' nodes; `scripts.story.network` is the real one."""

    # The highest height of each ledger that anybody was told of in a receipt. Who reacts to something has seen it.
    told_heights: dict[str, int]

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

    async def act(self, role: Role, name: str, *commands: object) -> Done:
        """Sign messages of one sort as the member with this role and hand them to the own node, as one unit. Raises Refused.

        Whoever acts has seen before, at its own node, what it reacts to.
        """
        await self.catch_up(self.network.told_heights.get(self.ledger_name, 0))
        member, began = self.members[role], time.monotonic()
        acts = [Act(name=name, command=command) for command in commands]
        receipt = await self.ledger.submit(acts, [member])
        told = self.network.told_heights
        told[self.ledger_name] = max(receipt.height, told.get(self.ledger_name, 0))
        return Done(receipt=receipt, signer=member.name, ms=int((time.monotonic() - began) * 1000))

    async def refusal(self, role: Role, name: str, command: object) -> Done:
        """As `act`, for what the ledger must refuse: before a broadcast and in a block alike. Raises StepFailed if it accepts."""
        member, began = self.members[role], time.monotonic()
        signed = make(self.ledger.id, [Act(name=name, command=command)], [member])
        simulated = await self.ledger.simulate(signed)
        try:
            receipt = await self.ledger.submit_signed(signed, skip_simulation=True)
        except Refused as refused:
            ms = int((time.monotonic() - began) * 1000)
            receipt = await self.ledger.receipt(signed.id)
            told = {simulated.name, receipt.name, refused.detail.name}
            require(len(told) == 1 and receipt.code, "one refusal in simulation, answer and receipt", told)
            return Done(receipt=receipt, signer=member.name, ms=ms)
        raise StepFailed("a refusal", f"{name} was accepted at height {receipt.height}")

    async def see(self, kind: str, document_id: str, height: int = 0) -> Any:
        """The document as the own node has it, once that has come to `height`, or to what anybody was told of.

        Raises StepFailed if it does not come there in time.
        """
        await self.catch_up(max(height, self.network.told_heights.get(self.ledger_name, 0)))
        found = await self.ledger.get(kind, document_id)
        return found.body

    async def height(self) -> int:
        """The own node's; 0 where it does not answer now, since what ended is started again."""
        try:
            found, _ = await self.ledger.app_hash()
        except (NodeUnreachable, TimedOut):
            return 0
        except Refused as refused:
            if not refused.detail.transient:
                raise
            return 0
        return int(found)

    async def catch_up(self, height: int) -> None:
        """Wait until the own node has come to `height`. Raises StepFailed if it does not in time."""
        deadline, found = time.monotonic() + SEEN_WITHIN_S, 0
        while time.monotonic() < deadline:
            found = await self.height()
            if found >= height:
                return
            await asyncio.sleep(_POLL_S)
        raise StepFailed(
            f"{self.name}'s node to come to height {height} of {self.ledger_name} within {SEEN_WITHIN_S:.0f} s",
            f"height {found}",
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

    def refused(self, seat: Seat, done: Done, text: str) -> None:
        """Tell of a refusal that had to come."""
        receipt = done.receipt
        self.told(seat, done, f"{text}: refused in simulation and in the block, {receipt.name}")
        self.teller.note(
            "refusals",
            {
                "who": seat.name,
                "ledger": seat.ledger_name,
                "height": receipt.height,
                "code": receipt.code,
                "name": receipt.name,
                "field": receipt.field,
            },
        )

    async def until(self, time_ms: int) -> None:
        """Wait for a moment."""
        while (left_ms := time_ms - self.network.now_ms()) > 0:
            await self.network.sleep(left_ms / 1000)


