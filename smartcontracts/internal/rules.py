"""Sourcing rules: how this organization ranks, prices and paces; one document, with defaults while there is none.

They stand on the internal ledger because its contracts recompute by them what agents decide. Req: Q-33, Q-41, Q-49, O-33; X-10.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from enum import StrEnum
from typing import Final

from smartcontracts.ids import derive_id
from smartcontracts.kernel import Call, Contract, Event, Grpc, Kind, MessageType, Outcome, Rejected, Role, Terms, View
from smartcontracts.money import MINOR_MAX, RATE_NANO_MAX

MINUTE_MS: Final = 60_000
DAY_MS: Final = 24 * 60 * MINUTE_MS
BASIS_POINTS: Final = 10_000
MARKUP_MAX: Final = 1_000_000
MARKUPS_MAX: Final = 256
WEIGHT_MAX: Final = 10**12
OWN_TIME_MS_MAX: Final = 366 * DAY_MS
TRIES_MAX: Final = 16
# There is one such document, and contracts find it without knowing their ledger's id.
RULES_ID: Final = derive_id("rul", "sourcing_rules")


class Prefer(StrEnum):
    """What is taken where an element can be made and bought. Stored on the ledger: never rename a value."""

    INTERNAL = "internal"
    CHEAPEST = "cheapest"


class WeightsInvalid(Rejected):
    """A weight is negative or too large, or all are zero."""

    code = 6100
    grpc = Grpc.INVALID_ARGUMENT


class MarkupInvalid(Rejected):
    """A mark-up is too large, names no offering, or one that has one already."""

    code = 6101
    grpc = Grpc.INVALID_ARGUMENT


class OwnTimeInvalid(Rejected):
    """A time kept for the organization's own work is negative or over a year, or a quote would not be valid at all."""

    code = 6102
    grpc = Grpc.INVALID_ARGUMENT


class TriesInvalid(Rejected):
    """The number of decompositions to try is not from 1 to 16."""

    code = 6103
    grpc = Grpc.INVALID_ARGUMENT


@dataclass(frozen=True, slots=True, kw_only=True)
class OfferingMarkup:
    """What this offering is marked up by instead of the general rule."""

    offering: str
    basis_points: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SetSourcingRules:
    """All rules at once. The default weights, on dense ranks, give X-10's order."""

    weight_price: int = 10**9
    weight_score: int = 10**6
    weight_lead_time: int = 10**3
    weight_fit: int = 1
    markup_basis_points: int = 1_500
    markups: tuple[OfferingMarkup, ...] = field(default=(), metadata={"list_max": MARKUPS_MAX})
    quoting_ms: int = MINUTE_MS
    ordering_ms: int = 5 * MINUTE_MS
    delivery_ms: int = 30 * MINUTE_MS
    quote_validity_ms: int = 30 * DAY_MS
    prefer: Prefer = Prefer.INTERNAL
    tries_max: int = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class SourcingRules(SetSourcingRules):
    """Document: the rules in force; `version` 0 are the defaults, which are written nowhere."""

    id: str = RULES_ID
    version: int = 0
    changed_at_ms: int = 0


def rules_of(view: View) -> SourcingRules:
    """The rules in force on this internal ledger."""
    return view.get(SOURCING_RULES, RULES_ID) or SourcingRules()


def markup_of(rules: SourcingRules, offering: str) -> int:
    """The mark-up of an offering, in basis points."""
    return next((one.basis_points for one in rules.markups if one.offering == offering), rules.markup_basis_points)


def marked_up(nano: int, basis_points: int) -> int:
    """A rate of cost and mark-up, rounded half up to billionths. Req: Q-46."""
    return (2 * nano * (BASIS_POINTS + basis_points) + BASIS_POINTS) // (2 * BASIS_POINTS)


def is_resellable(nano: int, total_minor: int, rules: SourcingRules) -> bool:
    """Whether a rate and a total stay in the bounds of money with any mark-up of the rules."""
    points = max((rules.markup_basis_points, *(one.basis_points for one in rules.markups)))
    return marked_up(nano, points) <= RATE_NANO_MAX and marked_up(total_minor, points) <= MINOR_MAX


def set_sourcing_rules(command: SetSourcingRules, call: Call) -> Outcome:
    """Replace all rules.

    Rejects with the first of: WeightsInvalid, MarkupInvalid, OwnTimeInvalid, TriesInvalid.
    """
    _require_weights(command)
    _require_markups(command)
    _require_times(command)
    if not 1 <= command.tries_max <= TRIES_MAX:
        raise TriesInvalid(f"Try 1 to {TRIES_MAX} decompositions.", "tries_max")
    given = {one.name: getattr(command, one.name) for one in fields(command)}
    version = rules_of(call.view).version + 1
    rules = SourcingRules(**given, version=version, changed_at_ms=call.block.time_ms)
    return Outcome(writes=(rules,), events=(Event("sourcing_rules.set", rules),))


def _require_weights(command: SetSourcingRules) -> None:
    named = ("weight_price", "weight_score", "weight_lead_time", "weight_fit")
    for name in named:
        if not 0 <= getattr(command, name) <= WEIGHT_MAX:
            raise WeightsInvalid(f"A weight is from 0 to {WEIGHT_MAX}.", name)
    if not any(getattr(command, name) for name in named):
        raise WeightsInvalid("At least one criterion needs a weight.", "weight_price")


def _require_markups(command: SetSourcingRules) -> None:
    if command.markup_basis_points > MARKUP_MAX:
        raise MarkupInvalid(f"A mark-up is at most {MARKUP_MAX} basis points.", "markup_basis_points")
    require_markups(command.markups)


def require_markups(markups: tuple[OfferingMarkup, ...]) -> None:
    """Rejects with MarkupInvalid."""
    seen: dict[str, None] = {}
    for place, one in enumerate(markups):
        if not one.offering or one.offering in seen:
            raise MarkupInvalid("Name each offering once.", f"markups[{place}].offering")
        if one.basis_points > MARKUP_MAX:
            raise MarkupInvalid(f"A mark-up is at most {MARKUP_MAX} basis points.", f"markups[{place}].basis_points")
        seen[one.offering] = None


def _require_times(command: SetSourcingRules) -> None:
    for name in ("quoting_ms", "ordering_ms", "delivery_ms", "quote_validity_ms"):
        if not 0 <= getattr(command, name) <= OWN_TIME_MS_MAX:
            raise OwnTimeInvalid(f"Give milliseconds from 0 to {OWN_TIME_MS_MAX}.", name)
    if not command.quote_validity_ms:
        raise OwnTimeInvalid("A quote must be valid for some time.", "quote_validity_ms")


SOURCING_RULES: Final = Kind(name="sourcing_rules", prefix="rul", record=SourcingRules, terms=lambda _: Terms())

CONTRACT: Final = Contract(
    name="sourcing_rules",
    kinds=(SOURCING_RULES,),
    messages=(
        MessageType(
            name="set_sourcing_rules",
            command=SetSourcingRules,
            handler=set_sourcing_rules,
            roles=(Role.ADMINISTRATOR, Role.SCO),
        ),
    ),
)
