"""Carrier: takes an outward act that the internal ledger released to its bilateral ledger, and writes down what came of it.

The only way by which agents act on a bilateral ledger. One duty for each role that speaks outside: S-BUS to buyers, B-BUS to
sellers. A refusal out there may be the echo of the act's own success, done before a crash: ALREADY_DONE says so where a
document was created, else the outward document holds the release's hash. DESIGN section 8.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from node.agents.desk import Desk
from node.agents.duties import Duty, Later
from node.agents.ports import SUBMISSION_TTL_MS, LedgerPort, Outward, Refused, caused
from smartcontracts.internal.release import (
    MESSAGES,
    RecordCarried,
    Release,
    ReleaseStatus,
    ReleaseVoided,
    released_command,
)
from smartcontracts.kernel import AlreadyDone, Cause, PositionWrong, Role, RoleMissing, cause_id

CARRY: Final = "carry"
RECORD: Final = "record"
# How long after a release was taken back its act may still come into a block: a submission's life, and clocks that differ.
IN_FLIGHT_MS: Final = SUBMISSION_TTL_MS + 10_000
# When to look again for a ledger that the node does not have, or not yet.
LEDGER_ABSENT_MS: Final = 30_000
# Refusals of the act by a contract, kernel or codec have codes in here, but for the signer's standing. All others are about
# the member, its transaction or the node: nothing is decided about the act then.
_CONTRACT_CODES: Final = (range(1101, 1300), range(2300, 9000))
_STANDING_CODES: Final = frozenset((RoleMissing.code, PositionWrong.code))
# Which documents an act changes that creates none, by the command's fields that name them.
SUBJECTS: Final = (
    ("change_id", "service_change"),
    ("order_id", "order"),
    ("quote_id", "quote"),
    ("inquiry_id", "inquiry"),
    ("offering_id", "offering"),
)


@dataclass(frozen=True, slots=True)
class _Voided:
    """The act never came out, and will not."""


async def carry(desk: Desk, port: LedgerPort, release: Release) -> None:
    """Take one release out, or find out that it was out when it was taken back; then write it down."""
    outside = desk.bilateral.get(release.ledger_id)
    if outside is None:
        raise Later(desk.now_ms() + LEDGER_ABSENT_MS)
    if release.status == ReleaseStatus.OPEN:
        carried = await _take_out(desk, port, outside, release)
    else:
        carried = await _look_after(desk, port, outside, release)
    await port.submit([Outward("record_carried", carried)], purpose=RECORD)


async def _take_out(desk: Desk, port: LedgerPort, outside: LedgerPort, release: Release) -> RecordCarried:
    cause = caused(port, release.id, release.act)
    try:
        receipt = await outside.submit([Outward(release.act, released_command(release), cause)], purpose=CARRY)
    except Refused as refused:
        detail = refused.detail
        if detail.transient or not _is_about_act(detail.code):
            raise
        if detail.code == AlreadyDone.code:
            return RecordCarried(release_id=release.id, outcome_id=detail.existing_id)
        outcome = await _outcome(desk, outside, release, cause)
        if outcome:
            return RecordCarried(release_id=release.id, outcome_id=outcome)
        return RecordCarried(release_id=release.id, refusal_code=detail.code, refusal_name=detail.name)
    written = {document.kind: document.id for document in reversed(receipt.documents)}
    subject_kind, subject_id = _subjects(desk, outside, release, cause)[0]
    return RecordCarried(release_id=release.id, outcome_id=written.get(subject_kind, subject_id))


async def _look_after(desk: Desk, port: LedgerPort, outside: LedgerPort, release: Release) -> RecordCarried:
    """A release that was taken back: was the act out by then?"""
    settled_at_ms = release.voided_at_ms + IN_FLIGHT_MS
    in_flight = desk.now_ms() < settled_at_ms
    outcome = await _outcome(desk, outside, release, caused(port, release.id, release.act))
    if outcome:
        return RecordCarried(release_id=release.id, outcome_id=outcome)
    if in_flight:
        raise Later(settled_at_ms)
    return RecordCarried(
        release_id=release.id, refusal_code=ReleaseVoided.code, refusal_name=ReleaseVoided.refusal_name()
    )


async def _outcome(desk: Desk, outside: LedgerPort, release: Release, cause: Cause) -> str:
    """The id of the outward document that this release's act created or changed; empty if it is not out."""
    created = MESSAGES[release.act].creates is not None
    for kind, document_id in _subjects(desk, outside, release, cause):
        document = await outside.get(kind, document_id)
        if document is not None and (created or release.sha256 in document.releases):
            return document_id
    return ""


def _subjects(desk: Desk, outside: LedgerPort, release: Release, cause: Cause) -> tuple[tuple[str, str], ...]:
    """(kind, id) of the document that the act creates; or of those that it may change."""
    created = MESSAGES[release.act].creates
    if created is not None:
        return ((created.name, cause_id(created, outside.id, desk.organization, cause)),)
    command: Any = released_command(release)
    named = tuple((kind, getattr(command, name, "")) for name, kind in SUBJECTS)
    return tuple((kind, document_id) for kind, document_id in named if document_id)


def _is_about_act(code: int) -> bool:
    return code not in _STANDING_CODES and any(code in codes for codes in _CONTRACT_CODES)


def _duty(role: Role) -> Duty:
    return Duty(
        name="carry_release",
        role=role,
        ledger_kind="internal",
        kind="release",
        statuses=(ReleaseStatus.OPEN, ReleaseStatus.VOID),
        applies=lambda _desk, release: bool(release.role == role),
        related=f"role/{role.value}",
        submits=(CARRY, RECORD),
        do=carry,
    )


S_BUS_CARRIER: Final = _duty(Role.S_BUS)
B_BUS_CARRIER: Final = _duty(Role.B_BUS)
