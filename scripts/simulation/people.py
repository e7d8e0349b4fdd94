"""People who act on ledgers themselves: they sign, submit, look and wait, in scripts that run on virtual time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ledgers.receipts import Receipt
from ledgers.transaction import Act
from scripts.simulation.chain import Chain
from scripts.simulation.parties import PERSON, Signatory, signatory
from smartcontracts.kernel import Cause, Rejected

if TYPE_CHECKING:
    from scripts.simulation.world import World


class NoReceipt(Exception):
    """A transaction got no block in time: it may still get one, until it expires."""


class Unreachable(Exception):
    """One's own node is away."""


class Declined(Exception):
    """A ledger refused."""

    def __init__(self, code: int, name: str, receipt: Receipt | None = None) -> None:
        super().__init__(f"{code} {name}")
        self.code = code
        self.name = name
        self.receipt = receipt


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody of `name` on one ledger: with the roles of both counters, or who holds the key of an agent."""

    world: World
    name: str
    chain: Chain
    function: str = PERSON

    @property
    def signatory(self) -> Signatory:
        return signatory(self.name, self.function)

    @property
    def now_ms(self) -> int:
        """Unix time, by the world's own clock."""
        return self.world.now_ms()

    async def submit(self, message: str, command: object, cause: Cause | None = None) -> Receipt:
        """One message, signed and committed. Raises Declined, Unreachable, NoReceipt."""
        return await self.world.submitted(self.chain, self.signatory, (Act(name=message, command=command, cause=cause),), self.name)

    async def say(self, message: str, **fields: Any) -> Receipt | None:
        """The command of these fields; None if it was refused, or nothing is known of it."""
        command = self.world.table(self.chain).messages[message].command(**fields)
        try:
            return await self.submit(message, command)
        except (Declined, NoReceipt, Unreachable):
            return None

    async def sleep(self, ms: int) -> None:
        await self.world.sleep(ms)

    def read(self, kind: str, document_id: str) -> Any:
        """The record as the ledger has it, or None."""
        return self.world.read(self.chain, kind, document_id)

    async def until(self, kind: str, document_id: str, holds: Callable[[Any], bool], until_ms: int) -> Any:
        """Wait until `holds` of the record, at most until `until_ms`; the record as it is then."""
        key = f"{kind}/{document_id}"
        while True:
            record = self.read(kind, document_id)
            if record is not None and holds(record):
                return record
            if self.now_ms >= until_ms:
                return record
            await self.world.changed(self.chain, key, until_ms)


def refusal(error: Rejected) -> Declined:
    """What admission says."""
    return Declined(error.code, error.refusal_name())
