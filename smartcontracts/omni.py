"""Omni: what the whole ecosystem shares: which ledgers there are, and the SLA reputation that sellers earned on them.

A ledger is registered, and a score published, only by both parties of that ledger together (`smartcontracts.proposal`):
a lone signature changes nothing. Whoever is on omni reads all of it (L-18). R-20, R-21; DESIGN section 8.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from smartcontracts.kernel import (
    ActType,
    Call,
    Contract,
    Event,
    Grpc,
    Kind,
    Outcome,
    Position,
    Rejected,
    Role,
    Terms,
    View,
)
from smartcontracts.membership import present_organization
from smartcontracts.score import TENTHS_MAX, score_text

APP_HASH_BYTES: Final = 32
PARTIES: Final = 2
_LEDGER_ID: Final = re.compile(r"sg_[a-z2-7]{32}", re.ASCII)


class RegisteredLedgerStatus(StrEnum):
    """Stored on the ledger: never rename a value."""

    ACTIVE = "active"


class LedgerIdInvalid(Rejected):
    """A ledger id must be "sg_" and 32 characters of base32."""

    code = 5101
    grpc = Grpc.INVALID_ARGUMENT


class LedgerPartiesInvalid(Rejected):
    """A bilateral ledger has two different parties; they are given sorted."""

    code = 5102
    grpc = Grpc.INVALID_ARGUMENT


class LedgerRegistered(Rejected):
    """The ledger is registered already."""

    code = 5103
    grpc = Grpc.ALREADY_EXISTS


class LedgerNotRegistered(Rejected):
    """No ledger with this id is registered."""

    code = 5104
    grpc = Grpc.NOT_FOUND


class ScoredSellerInvalid(Rejected):
    """The seller is not a party of the ledger that the score comes from."""

    code = 5105
    grpc = Grpc.INVALID_ARGUMENT


class OfferingMissing(Rejected):
    """A score is for one offering, which must be named."""

    code = 5106
    grpc = Grpc.INVALID_ARGUMENT


class ScoreOutOfRange(Rejected):
    """A score has 0 to 99 tenths, and counts at least one measurement."""

    code = 5107
    grpc = Grpc.INVALID_ARGUMENT


class ScoreTextWrong(Rejected):
    """The text is not the score's: x.y:n, like 8.9:132."""

    code = 5108
    grpc = Grpc.INVALID_ARGUMENT


class ScoreSourceInvalid(Rejected):
    """The height or app hash at which the score stands on its ledger is not given properly."""

    code = 5109
    grpc = Grpc.INVALID_ARGUMENT


class ScoreNotNewer(Rejected):
    """A score from this height or a later one is published already."""

    code = 5110


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisterLedger:
    """Joint act: the two parties (sorted) of a bilateral ledger make it known."""

    ledger_id: str
    parties: tuple[str, ...] = field(metadata={"list_max": PARTIES})


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisteredLedger:
    """A bilateral ledger and its parties."""

    id: str
    ledger_id: str
    parties: tuple[str, ...]
    status: RegisteredLedgerStatus = RegisteredLedgerStatus.ACTIVE


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishScore:
    """Joint act: the score that stands for `seller`'s `offering` at `height` (with `app_hash`) of their ledger."""

    ledger_id: str
    seller: str
    offering: str
    tenths: int
    count: int
    text: str
    height: int
    app_hash: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Reputation:
    """The newest published score of a seller's offering on one ledger, and who endorsed it (sorted)."""

    id: str
    ledger_id: str
    seller: str
    offering: str
    tenths: int
    count: int
    text: str
    height: int
    app_hash: bytes
    endorsed_by: tuple[str, ...]


def _subject(ledger_id: str, seller: str, offering: str) -> str:
    return f"subject/{ledger_id}/{seller}/{offering}"


# Keys: "ledger/<ledger id>".
REGISTERED_LEDGER: Final = Kind(
    name="registered_ledger",
    prefix="reg",
    record=RegisteredLedger,
    terms=lambda r: Terms(status=r.status, party=r.parties, keys=(f"ledger/{r.ledger_id}",)),
    filters=("status", "party"),
)

# The party is the seller, the related id the registered ledger's. Keys: "subject/<ledger id>/<seller>/<offering>".
REPUTATION: Final = Kind(
    name="reputation",
    prefix="rep",
    record=Reputation,
    terms=lambda r: Terms(
        party=(r.seller,),
        offering=(r.offering,),
        related=(r.ledger_id,),
        keys=(_subject(r.ledger_id, r.seller, r.offering),),
    ),
    filters=("party", "offering", "related"),
)


def registered_ledger(view: View, ledger_id: str) -> RegisteredLedger:
    """The registration of a ledger. Rejects with LedgerNotRegistered."""
    found = view.find(REGISTERED_LEDGER, "keys", f"ledger/{ledger_id}", 1)
    if not found:
        raise LedgerNotRegistered(f"No ledger {ledger_id!r} is registered.", "ledger_id")
    return found[0]


def required_to_register(command: RegisterLedger, _: Call) -> tuple[str, ...]:
    """Both parties of the ledger. Rejects with LedgerPartiesInvalid."""
    if len(command.parties) != PARTIES or not command.parties[0] < command.parties[1]:
        raise LedgerPartiesInvalid("Give the two parties' ids, sorted.", "parties")
    return command.parties


def check_registration(command: RegisterLedger, call: Call) -> None:
    """Rejects with the first of: LedgerPartiesInvalid, LedgerIdInvalid, OrganizationUnknown, LedgerRegistered."""
    parties = required_to_register(command, call)
    if not _LEDGER_ID.fullmatch(command.ledger_id):
        raise LedgerIdInvalid('A ledger id is "sg_" and 32 characters of base32.', "ledger_id")
    for place, party in enumerate(parties):
        if present_organization(call.view, party, f"parties[{place}]").position != Position.MEMBER:
            raise LedgerPartiesInvalid("An observer has no ledger to register.", f"parties[{place}]")
    found = call.view.find(REGISTERED_LEDGER, "keys", f"ledger/{command.ledger_id}", 1)
    if found:
        raise LedgerRegistered("The ledger is registered already.", "ledger_id", existing_id=found[0].id)


def register_ledger(command: RegisterLedger, call: Call) -> Outcome:
    """Write the registration. Rejects as `check_registration`."""
    check_registration(command, call)
    registered = RegisteredLedger(
        id=call.new_id(REGISTERED_LEDGER), ledger_id=command.ledger_id, parties=command.parties
    )
    return Outcome(writes=(registered,), events=(Event("ledger.registered", registered),))


def required_to_publish(command: PublishScore, call: Call) -> tuple[str, ...]:
    """Both parties of the ledger that the score comes from. Rejects with LedgerNotRegistered."""
    return registered_ledger(call.view, command.ledger_id).parties


def check_score(command: PublishScore, call: Call) -> None:
    """Rejects with the first of: LedgerNotRegistered, ScoredSellerInvalid, OfferingMissing, ScoreOutOfRange, ScoreTextWrong, ScoreSourceInvalid, ScoreNotNewer."""
    parties = required_to_publish(command, call)
    if command.seller not in parties:
        raise ScoredSellerInvalid("The seller must be one of the ledger's parties.", "seller")
    if not command.offering:
        raise OfferingMissing("Name the offering.", "offering")
    if command.tenths > TENTHS_MAX:
        raise ScoreOutOfRange(f"A score is from 0 to {TENTHS_MAX} tenths.", "tenths")
    if command.count < 1:
        raise ScoreOutOfRange("A score without measurements is none.", "count")
    expected = score_text(command.tenths, command.count)
    if command.text != expected:
        raise ScoreTextWrong(f"The text of this score is {expected!r}.", "text")
    if command.height < 1:
        raise ScoreSourceInvalid("Heights begin at 1.", "height")
    if len(command.app_hash) != APP_HASH_BYTES:
        raise ScoreSourceInvalid(f"An app hash has {APP_HASH_BYTES} bytes.", "app_hash")
    before = _published(command, call.view)
    if before is not None and command.height <= before.height:
        raise ScoreNotNewer(f"The published score stands at height {before.height}.", "height", existing_id=before.id)


def publish_score(command: PublishScore, call: Call) -> Outcome:
    """Write the score in place of the one before. Rejects as `check_score`. Req: R-20, R-21."""
    check_score(command, call)
    before = _published(command, call.view)
    published = Reputation(
        id=call.new_id(REPUTATION) if before is None else before.id,
        ledger_id=command.ledger_id,
        seller=command.seller,
        offering=command.offering,
        tenths=command.tenths,
        count=command.count,
        text=command.text,
        height=command.height,
        app_hash=command.app_hash,
        endorsed_by=required_to_publish(command, call),
    )
    return Outcome(writes=(published,), events=(Event("reputation.published", published),))


def _published(command: PublishScore, view: View) -> Reputation | None:
    subject = _subject(command.ledger_id, command.seller, command.offering)
    return next(iter(view.find(REPUTATION, "keys", subject, 1)), None)


CONTRACT: Final = Contract(
    name="omni",
    kinds=(REGISTERED_LEDGER, REPUTATION),
    acts=(
        ActType(
            name="register_ledger",
            command=RegisterLedger,
            required=required_to_register,
            check=check_registration,
            enact=register_ledger,
            roles=(Role.ADMINISTRATOR,),
            positions=(Position.MEMBER,),
        ),
        ActType(
            # The functions that trade under the score may publish it, and so may their administrators.
            name="publish_score",
            command=PublishScore,
            required=required_to_publish,
            check=check_score,
            enact=publish_score,
            roles=(Role.ADMINISTRATOR, Role.S_BUS, Role.B_BUS),
            positions=(Position.MEMBER,),
        ),
    ),
)
