"""Release: how an internal ledger lets an act out onto a bilateral one, in the right state only.

The contract of a process opens a release; an agent can only carry it. The outward document keeps the release's salted hash,
so that an audit of both ledgers finds an act that nobody released. A release that is taken back (`void`) stays unsettled
until its carrier has looked whether the act was out by then: what happened out there can't be taken back. DESIGN section 8.
Where many are asked for the same, its items are kept once, under their hash, and each release refers to them.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Final

from smartcontracts import catalogue, change, delivery, inquiry, order, quote
from smartcontracts.codec import Choice, decode, encode
from smartcontracts.ids import derive_id
from smartcontracts.kernel import (
    Call,
    Cause,
    Contract,
    Event,
    Grpc,
    Kind,
    MessageType,
    Outcome,
    Rejected,
    Role,
    RoleMissing,
    Terms,
    View,
    cause_id,
    step,
)
from smartcontracts.trade import InquiryItem, words

SALT_BYTES: Final = 32
HASH_BYTES: Final = 32
# Acts that may be open for one document at once: far above what any process opens.
OPEN_MAX: Final = 1_000
REFUSAL_NAME_MAX: Final = 64
_TAG: Final = b"syngraph/release/1"
# Contracts of bilateral ledgers whose messages may be let out.
_OUTWARD_CONTRACTS: Final = (
    inquiry.CONTRACT,
    quote.CONTRACT,
    catalogue.CONTRACT,
    order.CONTRACT,
    delivery.CONTRACT,
    change.CONTRACT,
)
# What an outward act is called, and what it is out there.
MESSAGES: Final = MappingProxyType(
    {message.name: message for contract in _OUTWARD_CONTRACTS for message in contract.messages}
)


class ReleaseStatus(StrEnum):
    """Stored on the ledger: never rename a value."""

    OPEN = "open"
    VOID = "void"
    CARRIED = "carried"
    REFUSED = "refused"


LIFECYCLE: Final = MappingProxyType(
    {
        (ReleaseStatus.OPEN, "carry"): ReleaseStatus.CARRIED,
        (ReleaseStatus.OPEN, "refuse"): ReleaseStatus.REFUSED,
        (ReleaseStatus.OPEN, "void"): ReleaseStatus.VOID,
        (ReleaseStatus.VOID, "carry"): ReleaseStatus.CARRIED,  # it was out there before it was taken back
        (ReleaseStatus.VOID, "refuse"): ReleaseStatus.REFUSED,
        # Its carrier's node was behind, and did not see that it was out.
        (ReleaseStatus.REFUSED, "surface"): ReleaseStatus.CARRIED,
    }
)


class SaltInvalid(Rejected):
    """A release's salt is not 32 bytes."""

    code = 6150
    grpc = Grpc.INVALID_ARGUMENT


class ReleaseUnknown(Rejected):
    """This ledger has no release with this id."""

    code = 6151
    grpc = Grpc.NOT_FOUND


class CarriedUnclear(Rejected):
    """What became of a release is neither one outcome nor one refusal."""

    code = 6152
    grpc = Grpc.INVALID_ARGUMENT


class ReleaseVoided(Rejected):
    """The release was taken back before its act was out. Recorded by carriers; no ledger refuses with it."""

    code = 6153


class OutwardAct(Choice):
    """The act that is let out; its bytes are kept, and read only by who knows the act."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """Document: one outward act. `sha256` is what the outward document carries."""

    id: str
    status: ReleaseStatus
    act: str
    role: Role
    ledger_id: str
    subject_kind: str
    subject_id: str
    command: OutwardAct
    salt: bytes = field(metadata={"bytes_max": SALT_BYTES})
    sha256: bytes = field(metadata={"bytes_max": HASH_BYTES})
    released_at_ms: int
    outcome_id: str = ""
    refusal_code: int = 0
    refusal_name: str = field(default="", metadata={"text_max": REFUSAL_NAME_MAX})
    carried_at_ms: int = 0
    voided_at_ms: int = 0
    # The document that keeps the command's items, where they are left out of it; the hash is over the whole command.
    items_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class OutwardItems:
    """Document: items that releases have in common, under an id that follows from them. Never changed."""

    id: str
    items: tuple[InquiryItem, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordCarried:
    """What became of a release out there: its `outcome_id`, or the refusal's code and name."""

    release_id: str
    outcome_id: str = ""
    refusal_code: int = 0
    refusal_name: str = field(default="", metadata={"text_max": REFUSAL_NAME_MAX})


# Helpers for the contracts of processes


def open_release(
    call: Call,
    n: int,
    *,
    role: Role,
    act: str,
    ledger_id: str,
    subject_kind: str,
    subject_id: str,
    command_record: Any,
    salt: bytes,
) -> Release:
    """The n-th release that this message opens; the caller writes it, best by `opened`. Rejects with SaltInvalid.

    `command_record` is the outward command, with its `release` left empty.
    """
    if len(salt) != SALT_BYTES:
        raise SaltInvalid(f"A release needs {SALT_BYTES} random bytes as its salt.", "salt")
    if MESSAGES[act].command is not type(command_record):
        raise TypeError(f"{type(command_record).__name__} is not the command of an outward act {act}")
    data = encode(command_record)
    return Release(
        id=call.new_id(RELEASE, n),
        status=ReleaseStatus.OPEN,
        act=act,
        role=role,
        ledger_id=ledger_id,
        subject_kind=subject_kind,
        subject_id=subject_id,
        command=OutwardAct(name=act, data=data),
        salt=salt,
        sha256=release_hash(act, salt, data),
        released_at_ms=call.block.time_ms,
    )


def with_items_apart(release: Release, command_record: Any, call: Call) -> tuple[Release, Outcome]:
    """A release that `open_release` made of `command_record`, with its items kept apart; and what keeps them, unless it is there."""
    items: tuple[InquiryItem, ...] = command_record.items
    kept = OutwardItems(id=outward_items_id(call.ledger_id, items), items=items)
    rest = OutwardAct(name=release.act, data=encode(replace(command_record, items=())))
    is_there = call.view.get(OUTWARD_ITEMS, kept.id) is not None
    return replace(release, command=rest, items_id=kept.id), Outcome(writes=() if is_there else (kept,))


def outward_items_id(internal_id: str, items: tuple[InquiryItem, ...]) -> str:
    """The id under which these items are kept."""
    digest = hashlib.sha256(encode(OutwardItems(id="", items=items))).hexdigest()
    return derive_id(OUTWARD_ITEMS.prefix, internal_id, digest)


def outward_id(release: Release, kind: Kind[Any], call: Call) -> str:
    """The id of the document that a release's act will create out there: its carrier's cause is the release."""
    cause = Cause(ledger_id=call.ledger_id, event_id=release.id, purpose=release.act)
    return cause_id(kind, release.ledger_id, call.sender.organization, cause)


def opened(*releases: Release) -> Outcome:
    """Releases that `open_release` made, as writes and events."""
    return Outcome(writes=releases, events=tuple(Event("release.opened", release) for release in releases))


def void_releases(view: View, subject_id: str, time_ms: int) -> Outcome:
    """Take back all open releases of a document. What was carried meanwhile is still recorded as carried."""
    of_subject = view.find(RELEASE, "keys", open_key(subject_id), OPEN_MAX)
    voided = tuple(
        replace(release, status=step(LIFECYCLE, release.status, "void"), voided_at_ms=time_ms) for release in of_subject
    )
    return Outcome(writes=voided, events=tuple(Event("release.voided", release) for release in voided))


def surfaced(release: Release, outcome_id: str, time_ms: int) -> Release:
    """A release that was taken for refused, as carried after all. Rejects with WrongStatus."""
    return replace(
        release,
        status=step(LIFECYCLE, release.status, "surface"),
        outcome_id=outcome_id,
        refusal_code=0,
        refusal_name="",
        carried_at_ms=time_ms,
    )


def releases_of(view: View, subject_id: str) -> tuple[Release, ...]:
    """All releases that serve a document of this ledger, sorted by id."""
    return view.find(RELEASE, "related", subject_id, OPEN_MAX)


def release_hash(act: str, salt: bytes, data: bytes) -> bytes:
    """SHA-256 that the outward document carries; `data` is the encoded command with an empty `release`."""
    return hashlib.sha256(_TAG + b"\x00" + act.encode() + b"\x00" + salt + data).digest()


def kept_command(release: Release) -> Any:
    """The record of the command as it is kept: without its items, if those are kept apart. Rejects as the codec."""
    return decode(MESSAGES[release.act].command, release.command.data)


def released_command(release: Release, apart: OutwardItems | None = None) -> Any:
    """The record of the command as it goes out: with the release's hash in it, and the items of `apart`. Rejects as the codec.

    Raises LookupError where items are kept apart, and `apart` is not what keeps them.
    """
    return replace(_whole(release, apart), release=release.sha256)


def outward_data(release: Release, apart: OutwardItems | None = None) -> bytes:
    """The bytes over which the release's hash goes: the whole command with an empty `release`. Raises as `released_command`."""
    return encode(_whole(release, apart)) if release.items_id else release.command.data


def _whole(release: Release, apart: OutwardItems | None) -> Any:
    command = kept_command(release)
    if not release.items_id:
        return command
    if apart is None or apart.id != release.items_id:
        raise LookupError(release.items_id)
    return replace(command, items=apart.items)


def open_key(subject_id: str) -> str:
    """The index word under which a document's open releases are found."""
    return f"open/{subject_id}"


# Transitions


def record_carried(command: RecordCarried, call: Call) -> Outcome:
    """An agent writes down what became of a release out there.

    Rejects with the first of: ReleaseUnknown, RoleMissing, CarriedUnclear, WrongStatus.
    """
    release = call.view.get(RELEASE, command.release_id)
    if release is None:
        raise ReleaseUnknown("There is no release with this id on this ledger.", "release_id")
    if release.role not in call.sender.roles:
        raise RoleMissing(f"This release is carried by a member with the role {release.role}.", "signer")
    is_refusal = bool(command.refusal_code)
    if is_refusal == bool(command.outcome_id) or is_refusal != bool(command.refusal_name):
        raise CarriedUnclear("Give the outcome's id, or the refusal's code and name.", "outcome_id")
    settled = replace(
        release,
        status=step(LIFECYCLE, release.status, "refuse" if is_refusal else "carry"),
        outcome_id=command.outcome_id,
        refusal_code=command.refusal_code,
        refusal_name=command.refusal_name,
        carried_at_ms=call.block.time_ms,
    )
    return Outcome(writes=(settled,), events=(Event(f"release.{settled.status.value}", settled),))


def _release_terms(release: Release) -> Terms:
    unsettled = release.status == ReleaseStatus.OPEN
    return Terms(
        status=release.status,
        related=words((release.subject_id, release.ledger_id, f"role/{release.role.value}", release.outcome_id)),
        keys=(open_key(release.subject_id),) if unsettled else (),
    )


RELEASE: Final = Kind(
    name="release",
    prefix="rel",
    record=Release,
    terms=_release_terms,
    lifecycle=LIFECYCLE,
    filters=("status", "related"),
)

OUTWARD_ITEMS: Final = Kind(name="outward_items", prefix="oit", record=OutwardItems, terms=lambda _: Terms())

CONTRACT: Final = Contract(
    name="release",
    kinds=(RELEASE, OUTWARD_ITEMS),
    messages=(
        MessageType(
            name="record_carried",
            command=RecordCarried,
            handler=record_carried,
            roles=(Role.S_BUS, Role.B_BUS),
        ),
    ),
)
