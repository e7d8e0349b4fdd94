"""Ports: all that a duty can wait for. The runtime puts a node behind them, the simulation a replica in memory."""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from ledgers.client import Receipt, Refused
from smartcontracts.kernel import Cause

# How long a submission may take to its block; after that, on every node, it can't happen any more.
SUBMISSION_TTL_MS: Final = 30_000

__all__ = ["SUBMISSION_TTL_MS", "LedgerPort", "Outward", "Receipt", "Refused", "caused", "created", "refused_for"]


@dataclass(frozen=True, slots=True)
class Outward:
    """One message to submit: its name in `Message.command`, its record, and why (`caused`)."""

    name: str
    command: object
    cause: Cause | None = None


class LedgerPort(Protocol):
    """One ledger, as this organization's own node shows it, at its latest height."""

    @property
    def id(self) -> str: ...

    @property
    def name(self) -> str: ...

    @property
    def kind(self) -> str: ...

    async def get(self, kind: str, document_id: str) -> Any | None:
        """The document's record, or None."""

    async def list(
        self,
        kind: str,
        *,
        status: str = "",
        party: str = "",
        offering: str = "",
        service: str = "",
        related: str = "",
        created_from_ms: int = 0,
    ) -> tuple[Any, ...]:
        """All records of the kind to which every given filter applies; a kind offers only its own filters."""

    async def submit(self, acts: Sequence[Outward], *, purpose: str) -> Receipt:
        """One transaction of all acts, once it is committed; `purpose` is one that the duty declares.

        Raises Refused, whose `detail.transient` says whether the same may pass later. What may pass by itself (the node is
        away, time ran out) ends the duty's call, and the runtime calls it again: a duty need not handle it.
        """


def caused(port: LedgerPort, document_id: str, purpose: str) -> Cause:
    """Because of a document on `port`'s ledger: what is created by it is created once, whoever repeats it."""
    return Cause(ledger_id=port.id, event_id=document_id, purpose=purpose)


async def refused_for(port: LedgerPort, acts: Sequence[Outward], codes: Container[int], *, purpose: str) -> int:
    """Submit. The code among `codes` for which the acts were refused; 0 if they took effect. Raises Refused for any other."""
    try:
        await port.submit(acts, purpose=purpose)
    except Refused as refused:
        if refused.detail.code not in codes:
            raise
        return refused.detail.code
    return 0


def created(receipt: Receipt, kind: str) -> str:
    """The id of the first document of `kind` that a transaction wrote; empty if it wrote none."""
    return next((document.id for document in receipt.documents if document.kind == kind), "")
