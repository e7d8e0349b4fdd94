"""Carrier: takes an outward act that the internal ledger released to its bilateral ledger, and writes down what came of it.

The only way by which agents act on a bilateral ledger. One duty for each role that speaks outside: S-BUS to buyers, B-BUS to
sellers. A refusal out there may be the echo of the act's own success, done before a crash: ALREADY_DONE says so where a
document was created, else the outward document holds the release's hash. DESIGN section 8.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

from node.agents.desk import Desk
from node.agents.duties import Duty, Later, outside
from node.agents.ports import SUBMISSION_TTL_MS, LedgerPort, Outward, Refused, caused
from smartcontracts.internal.release import (
    MESSAGES,
    OutwardItems,
    RecordCarried,
    Release,
    ReleaseStatus,
    ReleaseVoided,
    kept_command,
    released_command,
)
from smartcontracts.kernel import AlreadyDone, Cause, PositionWrong, Role, RoleMissing, cause_id
from smartcontracts.order import OrderStatus

CARRY: Final = "carry"
RECORD: Final = "record"
# How long after a release was taken back its act may still come into a block: a submission's life, and clocks that differ.
IN_FLIGHT_MS: Final = SUBMISSION_TTL_MS + 10_000
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
# What an act leaves behind for good, of those that the other party could forestall. Before it is in a block an act is seen by
# the ledger's other nodes: one of them may put its hash on an act of its own, and the document holds it all the same.
_TRACES: Final[Mapping[str, Callable[[Any], bool]]] = MappingProxyType(
    {
        "accept_order": lambda order: order.accepted_at_ms > 0,
        "reject_order": lambda order: order.status == OrderStatus.REJECTED,
        "fail_order": lambda order: order.status == OrderStatus.FAILED,
        "cancel_order": lambda order: order.status == OrderStatus.CANCELLED,
        "start_change": lambda change: change.started_at_ms > 0,
        "end_change": lambda change: bool(change.outcome),
    }
)


async def carry(desk: Desk, port: LedgerPort, release: Release) -> None:
    """Take one release out, or find out that it was out when it was taken back; then write it down."""
    there = outside(desk, release.ledger_id)
    if release.status == ReleaseStatus.OPEN:
        carried = await _take_out(desk, port, there, release)
    else:
        carried = await _look_after(desk, port, there, release)
    await port.submit([Outward("record_carried", carried)], purpose=RECORD)


async def _take_out(desk: Desk, port: LedgerPort, there: LedgerPort, release: Release) -> RecordCarried:
    cause = caused(port, release.id, release.act)
    try:
        command = released_command(release, await _items_of(port, release))
        receipt = await there.submit([Outward(release.act, command, cause)], purpose=CARRY)
    except Refused as refused:
        detail = refused.detail
        if detail.transient or not _is_about_act(detail.code):
            raise
        if detail.code == AlreadyDone.code:
            return RecordCarried(release_id=release.id, outcome_id=detail.existing_id)
        outcome = await _outcome(desk, there, release, cause)
        if outcome:
            return RecordCarried(release_id=release.id, outcome_id=outcome)
        return RecordCarried(release_id=release.id, refusal_code=detail.code, refusal_name=detail.name)
    written = {document.kind: document.id for document in reversed(receipt.documents)}
    subjects = _subjects(desk, there, release, cause)
    outcome = next((written[kind] for kind, _ in subjects if kind in written), subjects[0][1])
    return RecordCarried(release_id=release.id, outcome_id=outcome)


async def _items_of(port: LedgerPort, release: Release) -> OutwardItems | None:
    """What keeps the items of the command, if they are not in it."""
    return await port.get("outward_items", release.items_id) if release.items_id else None


async def _look_after(desk: Desk, port: LedgerPort, there: LedgerPort, release: Release) -> RecordCarried:
    """A release that was taken back: was the act out by then?"""
    settled_at_ms = release.voided_at_ms + IN_FLIGHT_MS
    in_flight = desk.now_ms() < settled_at_ms
    outcome = await _outcome(desk, there, release, caused(port, release.id, release.act))
    if outcome:
        return RecordCarried(release_id=release.id, outcome_id=outcome)
    if in_flight:
        raise Later(settled_at_ms)
    return RecordCarried(
        release_id=release.id, refusal_code=ReleaseVoided.code, refusal_name=ReleaseVoided.refusal_name()
    )


async def _outcome(desk: Desk, there: LedgerPort, release: Release, cause: Cause) -> str:
    """The id of the outward document that this release's act created or changed; empty if it is not out."""
    created = MESSAGES[release.act].creates
    for kind, document_id in _subjects(desk, there, release, cause):
        document = await there.get(kind, document_id)
        if document is None:
            continue
        if created is not None and kind == created.name:
            return document_id
        is_there = _TRACES.get(release.act, lambda _: True)
        if release.sha256 in document.releases and is_there(document):
            return document_id
    return ""


def _subjects(desk: Desk, there: LedgerPort, release: Release, cause: Cause) -> tuple[tuple[str, str], ...]:
    """(kind, id) of the document that the act creates, and of those that it may change."""
    created = MESSAGES[release.act].creates
    made = () if created is None else ((created.name, cause_id(created, there.id, desk.organization, cause)),)
    command: Any = kept_command(release)
    named = tuple((kind, getattr(command, name, "")) for name, kind in SUBJECTS)
    # The order of a change creates no service: its acceptance stands on the order alone.
    return made + tuple((kind, document_id) for kind, document_id in named if document_id)


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
