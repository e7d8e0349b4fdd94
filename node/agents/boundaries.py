"""Boundaries: every instant at which an agent may be killed and must not be missed for it, enumerated from the duties.

A boundary is a document taken up, or a submission about to be made or just made. The runtime and the simulation perform
duties through here, so that what is enumerated is what happens; tests observe, and kill there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from node.agents.desk import Desk
from node.agents.duties import Duty
from node.agents.ports import LedgerPort, Outward, Receipt, Refused


class Moment(StrEnum):
    """Where in a duty a boundary lies."""

    TAKEN = "taken"
    BEFORE = "before"
    AFTER = "after"


@dataclass(frozen=True, slots=True, order=True)
class Boundary:
    """An instant of a duty; `purpose` is that of the submission, and empty for "taken"."""

    role: str
    duty: str
    moment: Moment
    purpose: str = ""

    def __str__(self) -> str:
        """Like "s_bus/carry/before/carry": what tests are told."""
        return "/".join(filter(None, (self.role, self.duty, self.moment.value, self.purpose)))


# Told of each boundary as it is passed, with the document's id.
Observer = Callable[[Boundary, str], None]


class UndeclaredPurpose(Exception):
    """A duty submitted under a purpose that it does not declare: its boundaries would not all be known."""


def ignore(_boundary: Boundary, _document_id: str) -> None:
    """The observer where nobody looks."""


def boundaries(duties: Iterable[Duty]) -> tuple[Boundary, ...]:
    """All of them, in the order of the duties."""
    found: list[Boundary] = []
    for duty in duties:
        found.append(Boundary(duty.role.value, duty.name, Moment.TAKEN))
        for purpose in duty.submits:
            found.extend(
                Boundary(duty.role.value, duty.name, moment, purpose) for moment in (Moment.BEFORE, Moment.AFTER)
            )
    return tuple(found)


def unheard() -> None:
    """For those who do not ask for refusals."""


async def perform(
    duty: Duty,
    desk: Desk,
    port: LedgerPort,
    record: Any,
    observe: Observer = ignore,
    on_refusal: Callable[[], None] = unheard,
) -> None:
    """Call a duty for a document that has one of its statuses. Raises what the duty raises, and UndeclaredPurpose.

    `on_refusal` is told of each final refusal of a submission, also of those that the duty expects.
    """
    document_id: str = record.id
    observe(Boundary(duty.role.value, duty.name, Moment.TAKEN), document_id)

    def watched(inner: LedgerPort) -> LedgerPort:
        return _WatchedPort(inner, duty, document_id, observe, on_refusal)

    internal = watched(desk.internal)
    around = replace(desk, internal=internal, bilateral=_WatchedPorts(desk.bilateral, watched))
    await duty.do(around, internal if port.id == internal.id else watched(port), record)


class _WatchedPort:
    """A port that knows for which duty it is used."""

    def __init__(
        self, inner: LedgerPort, duty: Duty, document_id: str, observe: Observer, on_refusal: Callable[[], None]
    ) -> None:
        self._inner = inner
        self._on_refusal = on_refusal
        self._duty = duty
        self._document_id = document_id
        self._observe = observe

    @property
    def id(self) -> str:
        return self._inner.id

    @property
    def name(self) -> str:
        return self._inner.name

    @property
    def kind(self) -> str:
        return self._inner.kind

    async def get(self, kind: str, document_id: str) -> Any | None:
        return await self._inner.get(kind, document_id)

    async def list(self, kind: str, **filters: Any) -> tuple[Any, ...]:
        return await self._inner.list(kind, **filters)

    async def submit(self, acts: Sequence[Outward], *, purpose: str) -> Receipt:
        if purpose not in self._duty.submits:
            raise UndeclaredPurpose(f"{self._duty.name} does not declare the purpose {purpose}")
        role, duty = self._duty.role.value, self._duty.name
        self._observe(Boundary(role, duty, Moment.BEFORE, purpose), self._document_id)
        try:
            receipt = await self._inner.submit(acts, purpose=purpose)
        except Refused as refused:
            if not refused.detail.transient:
                self._on_refusal()
            raise
        self._observe(Boundary(role, duty, Moment.AFTER, purpose), self._document_id)
        return receipt


class _WatchedPorts(Mapping[str, LedgerPort]):
    """The bilateral ledgers as they are known at each look, watched."""

    def __init__(self, inner: Mapping[str, LedgerPort], watched: Callable[[LedgerPort], LedgerPort]) -> None:
        self._inner = inner
        self._watched = watched

    def __getitem__(self, ledger_id: str) -> LedgerPort:
        return self._watched(self._inner[ledger_id])

    def __iter__(self) -> Any:
        return iter(self._inner)

    def __len__(self) -> int:
        return len(self._inner)
