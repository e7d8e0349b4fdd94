"""Provisioning: how SOF asks the system that holds and switches a provider's own resources. Req: D-07, O-17, Q-24.

Two adapters stand behind the interface: `reference` (an inventory read from a file) and `http` (TM Forum shapes over TLS).
docs/provisioning.md says what each operation promises.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from smartcontracts.trade import Action, Price, Term


class Operation(StrEnum):
    """What is asked; a word of every call id."""

    QUERY = "query"
    RESERVE = "reserve"
    ACTIVATE = "activate"
    RELEASE = "release"
    MEASURE = "measure"


class OutageMethod(StrEnum):
    """How a change is carried out; the words of the bilateral ledger. Req: C-07."""

    PARALLEL_BUILD_COLD = "parallel_build_cold"
    PARALLEL_BUILD_HOT = "parallel_build_hot"
    RECONFIGURE = "reconfigure"


def call_id(operation: Operation, element_id: str, attempt: int = 0) -> str:
    """The id of a call: equal for the same act, so that a repeat after a crash is recognised and harmless.

    `attempt` counts what is meant to be done anew, such as a second activation after a failed one.
    """
    return ".".join((element_id, operation.value, str(attempt)))


class ProvisioningBroken(Exception):
    """The system answers with what is no answer, or is set up wrongly: a person has to look. Nothing is known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ElementSpec:
    """One service element. `product` is canonical JSON (offering, configuration, places); `action` as in the inquiry.

    With `modify` and `delete`, `changes` is the reservation of what is in operation. `lead_time_ms` 0 wishes for nothing.
    """

    element_id: str
    offering: str
    product: bytes
    term: Term | None = None
    action: Action = Action.ADD
    lead_time_ms: int = 0
    changes: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outage:
    """What a change of an element in operation does to it: `outage_ms` 0 is no interruption. Req: C-08."""

    outage_ms: int
    method: OutageMethod


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """YES: the cost (never a price to a buyer), the time to deliver, and `attributes` as canonical JSON. Req: Q-25.

    `outage` answers for `modify` and `delete`, and is None for `add`.
    """

    cost: tuple[Price, ...]
    lead_time_ms: int
    attributes: bytes = b"{}"
    outage: Outage | None = None


@dataclass(frozen=True, slots=True)
class Declined:
    """NO, and why: a word in capitals, as `smartcontracts.trade.require_reason` takes it."""

    reason: str


@dataclass(frozen=True, slots=True)
class Pending:
    """No answer yet: the same call may be made again from `again_at_ms` on, Unix time."""

    again_at_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Reserved:
    """Held until `until_ms`, its last millisecond, or for as long as it is activated."""

    reservation_id: str
    until_ms: int


@dataclass(frozen=True, slots=True)
class Activated:
    """In operation. Req: D-12."""


@dataclass(frozen=True, slots=True)
class Failed:
    """Not activated, and why: a word as in `Declined`. What was reserved is still held. Req: D-13."""

    cause: str


@dataclass(frozen=True, slots=True)
class Released:
    """Nothing is held any more under this reservation. Req: D-38."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What a test of the chain found; `values` is canonical JSON."""

    passed: bool
    values: bytes


class Provisioning(Protocol):
    """Each call carries an id (`call_id`); made again with the same one, it does nothing twice and answers the same.

    Raises ProvisioningBroken where neither an answer nor Pending is true.
    """

    async def query(self, call_id: str, element: ElementSpec) -> Offer | Declined | Pending:
        """Whether the element can be delivered now. Nothing is held. Made again, it may answer differently."""

    async def reserve(self, call_id: str, element: ElementSpec, until_ms: int) -> Reserved | Declined | Pending:
        """Hold what the element needs until `until_ms`; the same call with a later `until_ms` extends it.

        One that ended by itself is held anew if there is room; one that was released stays released.
        """

    async def activate(self, call_id: str, reservation_id: str, element: ElementSpec) -> Activated | Failed | Pending:
        """Put what is reserved into operation. What the element `changes` is kept until it is released itself.

        Released instead, a change leaves what was there as it was; with `delete` nothing happens before that release.
        """

    async def release(self, call_id: str, reservation_id: str) -> Released | Pending:
        """Give back what is reserved or in operation; unknown or ended, it is released already."""

    async def measure(self, call_id: str, chain: tuple[str, ...], order: str) -> Measured | Pending:
        """Test a chain of elements (reservation ids, or ids of services bought) in topology order for `order`. Req: D-03."""

    def close(self) -> None:
        """Let go of what is held on this machine. Nothing is asked after that."""
