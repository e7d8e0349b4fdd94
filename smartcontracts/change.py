"""Change: a service is changed or ended by an order; an outage is agreed on first, and the outcome is recorded.

C-05, C-06 the order names the service and says that it is a change (order.py); C-07..C-09, X-62 an outage needs a window that
both parties agree on, and the change starts inside it; C-10 not before its time, which its buyer may bring forward; C-11 request and outcome are on the ledger;
X-61 a service may be changed from its order's acceptance on; X-63 a termination is a change like any other. Register 11.13.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Final

from smartcontracts.charge import charge_delay
from smartcontracts.delivery import require_deliverable, require_in_time
from smartcontracts.kernel import (
    Call,
    Contract,
    Event,
    Grpc,
    MessageType,
    Outcome,
    Rejected,
    Role,
    step,
)
from smartcontracts.order import (
    IN_DELIVERY,
    Order,
    activated_order,
    cancelled_with_service,
    end_order,
    require_order,
    service_prices,
)
from smartcontracts.service import (
    CHANGE_LIFECYCLE,
    SERVICE_CHANGE,
    ChangeStarted,
    ChangeStatus,
    MaintenanceWindow,
    Service,
    ServiceChange,
    can_be_started,
    changed,
    closed_change,
    require_service,
    terminated,
    with_due_time,
    with_wait,
)
from smartcontracts.trade import (
    HASH_BYTES,
    ChangeKind,
    NotTheBuyer,
    NotTheSeller,
    Outage,
    ReasonInvalid,
    require_reason,
    require_release,
)

OPEN: Final = (ChangeStatus.ACCEPTED, ChangeStatus.AGREEING, ChangeStatus.AGREED)
# Windows are proposed and declined as often as the parties like: the consent, the start and the end keep their places.
_AFTER_TALKS: Final = 3
_AFTER_CONSENT: Final = 2


class ChangeOutcome(StrEnum):
    """What a seller says a change came to. Req: C-11."""

    DONE = "done"
    FAILED = "failed"


class ChangeUnknown(Rejected):
    """There is no such change."""

    code = 3401
    grpc = Grpc.NOT_FOUND


class ChangedServiceDiffers(Rejected):
    """The change is of another service than the message says (D-10)."""

    code = 3402
    grpc = Grpc.INVALID_ARGUMENT


class NotInThisChange(Rejected):
    """The sender's organization is neither the buyer nor the seller of the service."""

    code = 3403
    grpc = Grpc.PERMISSION_DENIED


class ChangeNotAccepted(Rejected):
    """The seller has not accepted the order of the change."""

    code = 3404


class ChangeNotStarted(Rejected):
    """The change has not been started, so it can't be at its end."""

    code = 3406


class ChangeEnded(Rejected):
    """The change has its outcome."""

    code = 3407


class MaintenanceNotNeeded(Rejected):
    """The change needs no outage, so there is no window to agree on (C-08)."""

    code = 3408


class MaintenanceWindowInvalid(Rejected):
    """The window is too short for the outage, not in the future, or outside of the order's times (C-09)."""

    code = 3409
    grpc = Grpc.INVALID_ARGUMENT


class MaintenanceNotProposed(Rejected):
    """No window waits for an answer."""

    code = 3410


class MaintenanceOwn(Rejected):
    """Who proposed a window does not answer it."""

    code = 3411
    grpc = Grpc.PERMISSION_DENIED


class MaintenanceDiffers(Rejected):
    """Another window is proposed than the one that is agreed to."""

    code = 3412


class ConsentMissing(Rejected):
    """An outage is needed, and its window is not agreed (C-09)."""

    code = 3413


class TooEarly(Rejected):
    """The change may not be started yet: its time, or its window, has not come (C-09, C-10)."""

    code = 3414


class TooLate(Rejected):
    """The agreed window is over; agree on another one (C-09)."""

    code = 3415


class NotEarlier(Rejected):
    """The change may be made from that time on already (C-10)."""

    code = 3416
    grpc = Grpc.INVALID_ARGUMENT


@dataclass(frozen=True, slots=True, kw_only=True)
class ProposeMaintenance:
    """Either party: the first and the last millisecond in which the service may be interrupted."""

    change_id: str
    service_id: str
    from_ms: int
    until_ms: int
    release: bytes = field(default=b"", metadata={"bytes_max": HASH_BYTES})


@dataclass(frozen=True, slots=True, kw_only=True)
class AgreeMaintenance:
    """The other party's consent to the window that it saw."""

    change_id: str
    service_id: str
    from_ms: int
    until_ms: int
    release: bytes = field(default=b"", metadata={"bytes_max": HASH_BYTES})


@dataclass(frozen=True, slots=True, kw_only=True)
class DeclineMaintenance:
    """The other party's refusal."""

    change_id: str
    service_id: str
    reason: str
    release: bytes = field(default=b"", metadata={"bytes_max": HASH_BYTES})


@dataclass(frozen=True, slots=True, kw_only=True)
class HastenChange:
    """The buyer: the change need not wait for the ordered time, but may be made from this one on; 0 is at once."""

    change_id: str
    service_id: str
    implement_at_ms: int
    release: bytes = field(default=b"", metadata={"bytes_max": HASH_BYTES})


@dataclass(frozen=True, slots=True, kw_only=True)
class StartChange:
    """The seller begins."""

    change_id: str
    service_id: str
    release: bytes = field(default=b"", metadata={"bytes_max": HASH_BYTES})


@dataclass(frozen=True, slots=True, kw_only=True)
class EndChange:
    """The seller says how it ended; a reason goes with a failure, and only with one."""

    change_id: str
    service_id: str
    outcome: ChangeOutcome
    reason: str = ""
    release: bytes = field(default=b"", metadata={"bytes_max": HASH_BYTES})


def propose_maintenance(command: ProposeMaintenance, call: Call) -> Outcome:
    """Propose when the outage may be; it takes the place of any window before, agreed or not. Req: C-09, X-62.

    Rejects with the first of: ChangeUnknown, ChangedServiceDiffers, NotInThisChange, ChangeNotAccepted, ChangeStarted,
    ChangeEnded, MaintenanceNotNeeded, OrderNotAccepted and others as `require_deliverable`, MaintenanceWindowInvalid,
    ReleaseMissing, ReleaseInvalid, ReleasesFull.
    """
    change = _require_party(command.change_id, command.service_id, call)
    _require_open(change)
    if change.outage == Outage.NO:
        raise MaintenanceNotNeeded("This change interrupts nothing.", "change_id")
    now_ms, proposer = call.block.time_ms, call.sender.organization
    _require_window(command, change, require_order(change.order_id, call.view), now_ms)
    proposed = replace(
        _with_turn(change, proposer, now_ms),
        status=step(CHANGE_LIFECYCLE, change.status, "propose_maintenance"),
        window=MaintenanceWindow(from_ms=command.from_ms, until_ms=command.until_ms, proposed_by=proposer),
        due_at_ms=0,
        releases=require_release(command.release, call, change.releases, _AFTER_TALKS),
    )
    return Outcome(writes=(proposed,), events=(Event("service_change.window_proposed", proposed),))


def agree_maintenance(command: AgreeMaintenance, call: Call) -> Outcome:
    """Agree to the window that the other party proposed. Req: C-09, X-62.

    Rejects with the first of: ChangeUnknown, ChangedServiceDiffers, NotInThisChange, ChangeNotAccepted, ChangeStarted,
    ChangeEnded, MaintenanceNotProposed, MaintenanceOwn, MaintenanceDiffers, TooLate, ReleaseMissing, ReleaseInvalid,
    ReleasesFull.
    """
    change = _require_party(command.change_id, command.service_id, call)
    window = _require_proposed(change, call.sender.organization)
    if (command.from_ms, command.until_ms) != (window.from_ms, window.until_ms):
        raise MaintenanceDiffers(f"Proposed is from {window.from_ms} to {window.until_ms}.", "from_ms")
    now_ms = call.block.time_ms
    if now_ms > window.until_ms:
        raise TooLate("This window is over; propose another one.", "until_ms")
    agreed = replace(
        with_wait(change, now_ms, waits=False),
        status=step(CHANGE_LIFECYCLE, change.status, "agree_maintenance"),
        window=replace(window, agreed_by=call.sender.organization, agreed_at_ms=now_ms),
        releases=require_release(command.release, call, change.releases, _AFTER_CONSENT),
    )
    agreed = with_due_time(agreed, now_ms)
    return Outcome(writes=(agreed,), events=(Event("service_change.window_agreed", agreed),))


def decline_maintenance(command: DeclineMaintenance, call: Call) -> Outcome:
    """Decline the window that the other party proposed; either may propose another one. Req: C-09.

    A buyer that declines is waited for until it proposes one itself, or its seller does. Req: D-04.

    Rejects with the first of: ChangeUnknown, ChangedServiceDiffers, NotInThisChange, ChangeNotAccepted, ChangeStarted,
    ChangeEnded, MaintenanceNotProposed, MaintenanceOwn, ReasonInvalid, ReleaseMissing, ReleaseInvalid, ReleasesFull.
    """
    change = _require_party(command.change_id, command.service_id, call)
    window = _require_proposed(change, call.sender.organization)
    require_reason(command.reason)
    by_buyer = call.sender.organization == change.buyer
    declined = replace(
        with_wait(change, call.block.time_ms, waits=by_buyer),
        status=step(CHANGE_LIFECYCLE, change.status, "decline_maintenance"),
        window=replace(window, declined_reason=command.reason),
        releases=require_release(command.release, call, change.releases, _AFTER_TALKS),
    )
    return Outcome(writes=(declined,), events=(Event("service_change.window_declined", declined),))


def hasten_change(command: HastenChange, call: Call) -> Outcome:
    """The buyer lets its seller make the change earlier than was ordered; an agreed window stays as it is. Req: C-10.

    Rejects with the first of: ChangeUnknown, ChangedServiceDiffers, NotTheBuyer, ChangeNotAccepted, ChangeStarted,
    ChangeEnded, NotEarlier, ReleaseMissing, ReleaseInvalid, ReleasesFull.
    """
    change = _require_change(command.change_id, command.service_id, call)
    if call.sender.organization != change.buyer:
        raise NotTheBuyer("Only the service's buyer says when it is changed.", "signer")
    _require_open(change)
    if not 0 <= command.implement_at_ms < change.implement_at_ms:
        raise NotEarlier(f"This change may be made from {change.implement_at_ms} on already.", "implement_at_ms")
    hastened = replace(
        change,
        status=step(CHANGE_LIFECYCLE, change.status, "hasten"),
        implement_at_ms=command.implement_at_ms,
        releases=require_release(command.release, call, change.releases, _AFTER_TALKS),
    )
    hastened = with_due_time(hastened, call.block.time_ms)
    return Outcome(writes=(hastened,), events=(Event("service_change.hastened", hastened),))


def start_change(command: StartChange, call: Call) -> Outcome:
    """The seller starts, at the time that was ordered, and inside the agreed window if there is an outage. Req: C-09, C-10.

    Rejects with the first of: ChangeUnknown, ChangedServiceDiffers, NotTheSeller, ChangeNotAccepted, ChangeStarted,
    ChangeEnded, OrderOverdue, ConsentMissing, TooEarly, TooLate, ReleaseMissing, ReleaseInvalid, ReleasesFull.
    """
    change = _require_seller(command.change_id, command.service_id, call)
    _require_open(change)
    now_ms = call.block.time_ms
    require_in_time(require_order(change.order_id, call.view), now_ms)
    _require_its_time(change, now_ms)
    started = replace(
        change,
        status=step(CHANGE_LIFECYCLE, change.status, "start"),
        started_at_ms=now_ms,
        releases=require_release(command.release, call, change.releases),
    )
    return Outcome(writes=(started,), events=(Event("service_change.started", started),))


def end_change(command: EndChange, call: Call) -> Outcome:
    """Record the outcome: done, the service is as ordered, or ended; failed, it is as it was. Req: C-11, X-61, X-63.

    Rejects with the first of: ChangeUnknown, ChangedServiceDiffers, NotTheSeller, ChangeNotAccepted, ChangeNotStarted,
    ChangeEnded, OrderOverdue (done), ReasonInvalid, ReleaseMissing, ReleaseInvalid, ReleasesFull.
    """
    change = _require_seller(command.change_id, command.service_id, call)
    _require_implementing(change)
    order, now_ms = require_order(change.order_id, call.view), call.block.time_ms
    failed = command.outcome == ChangeOutcome.FAILED
    if failed:
        require_reason(command.reason)
    else:
        require_in_time(order, now_ms)
        if command.reason:
            raise ReasonInvalid("A reason goes with a failure.", "reason")
    releases = require_release(command.release, call, change.releases)
    if not failed:
        done = replace(closed_change(change, "end", "", now_ms), releases=releases)
        return _done(done, order, call).then(charge_delay(order, call))
    ended = end_order(order, "fail", command.reason, call.view, now_ms)
    return _with_releases(ended, releases).then(charge_delay(order, call))


def _done(change: ServiceChange, order: Order, call: Call) -> Outcome:
    """The order activated, and its service as ordered."""
    now_ms = call.block.time_ms
    activated = activated_order(order, now_ms, order.releases)
    done = Outcome(
        writes=(change, activated),
        events=(Event("service_change.done", change), Event("order.activated", activated)),
    )
    service = require_service(change.service_id, call.view)
    if change.kind == ChangeKind.TERMINATION:
        return done.then(_terminated(service, order, call))
    items, bundle = service_prices(order, call.view)
    service = changed(service, items, bundle, now_ms)
    return done.then(Outcome(writes=(service,), events=(Event("service.changed", service),)))


def _terminated(service: Service, order: Order, call: Call) -> Outcome:
    """The service at its end; if it was still in delivery, so is the order that it came from. Req: X-61, X-63."""
    items, bundle = service_prices(order, call.view)
    over = terminated(service, call.block.time_ms, items if bundle is None else (*items, bundle))
    done = Outcome(writes=(over,), events=(Event("service.terminated", over),))
    first = require_order(service.order_id, call.view)
    if first.status not in IN_DELIVERY:
        return done
    ended = cancelled_with_service(first, call.block.time_ms)
    done = done.then(Outcome(writes=(ended,), events=(Event("order.cancelled", ended),)))
    return done.then(charge_delay(first, call, n=1))


def _with_turn(change: ServiceChange, proposer: str, now_ms: int) -> ServiceChange:
    """The change with whose time it is from here on, as `proposer` proposes a window. Req: C-09, D-04.

    Who replaces a window that both had agreed to takes that time upon itself: a buyer what had passed of the wait for it, a
    seller what passes until the next one.
    """
    window = change.window
    if proposer == change.seller:
        again = change.status == ChangeStatus.AGREEING and window is not None and window.proposed_by == proposer
        waits = bool(change.awaited_from_ms) if again else change.status != ChangeStatus.AGREED
        return with_wait(change, now_ms, waits=waits)
    if change.status == ChangeStatus.AGREED and window is not None:
        lost_ms = max(0, min(now_ms, window.from_ms) - window.agreed_at_ms)
        change = replace(change, awaited_ms=change.awaited_ms + lost_ms)
    return with_wait(change, now_ms, waits=False)


def _with_releases(outcome: Outcome, releases: tuple[bytes, ...]) -> Outcome:
    """The outcome with these releases on its change, wherever it stands."""
    old = next(record for record in outcome.writes if isinstance(record, ServiceChange))
    new = replace(old, releases=releases)
    writes = tuple(new if record is old else record for record in outcome.writes)
    events = tuple(replace(event, document=new) if event.document is old else event for event in outcome.events)
    return Outcome(writes=writes, events=events)


def _require_change(change_id: str, service_id: str, call: Call) -> ServiceChange:
    change = call.view.get(SERVICE_CHANGE, change_id)
    if change is None:
        raise ChangeUnknown("There is no change with this id on this ledger.", "change_id")
    if service_id != change.service_id:
        raise ChangedServiceDiffers(f"This change is of the service {change.service_id}.", "service_id")
    return change


def _require_party(change_id: str, service_id: str, call: Call) -> ServiceChange:
    """Rejects with ChangeUnknown, ChangedServiceDiffers, NotInThisChange. Req: D-10."""
    change = _require_change(change_id, service_id, call)
    if call.sender.organization not in (change.buyer, change.seller):
        raise NotInThisChange("Buyer and seller of the service agree on its outage.", "signer")
    return change


def _require_seller(change_id: str, service_id: str, call: Call) -> ServiceChange:
    """Rejects with ChangeUnknown, ChangedServiceDiffers, NotTheSeller. Req: D-10."""
    change = _require_change(change_id, service_id, call)
    if call.sender.organization != change.seller:
        raise NotTheSeller("Only the service's seller changes it.", "signer")
    return change


def _require_open(change: ServiceChange) -> None:
    """Rejects with ChangeNotAccepted, ChangeStarted, ChangeEnded."""
    if change.status == ChangeStatus.ORDERED:
        raise ChangeNotAccepted("The seller has not accepted the order of this change yet.", "change_id")
    if change.status == ChangeStatus.IMPLEMENTING:
        raise ChangeStarted("This change has been started.", "change_id")
    if change.status not in OPEN:
        raise ChangeEnded(f"This change is {change.status.value}.", "change_id")


def _require_implementing(change: ServiceChange) -> None:
    """Rejects with ChangeNotAccepted, ChangeNotStarted, ChangeEnded."""
    if change.status == ChangeStatus.ORDERED:
        raise ChangeNotAccepted("The seller has not accepted the order of this change yet.", "change_id")
    if change.status in OPEN:
        raise ChangeNotStarted("Start the change before you end it.", "change_id")
    if change.status != ChangeStatus.IMPLEMENTING:
        raise ChangeEnded(f"This change is {change.status.value}.", "change_id")


def _require_window(command: ProposeMaintenance, change: ServiceChange, order: Order, now_ms: int) -> None:
    """Rejects as `require_deliverable`, with MaintenanceWindowInvalid. Req: C-09."""
    require_deliverable(order)
    if command.from_ms <= now_ms or command.from_ms < change.implement_at_ms:
        raise MaintenanceWindowInvalid(
            f"The outage begins in the future, and not before {change.implement_at_ms}.", "from_ms"
        )
    if command.until_ms - command.from_ms < change.outage_ms:
        raise MaintenanceWindowInvalid(f"The outage takes {change.outage_ms} ms.", "until_ms")
    if command.until_ms > order.activate_by_ms:
        raise MaintenanceWindowInvalid(f"The order's activation window ends at {order.activate_by_ms}.", "until_ms")


def _require_proposed(change: ServiceChange, organization: str) -> MaintenanceWindow:
    """The window that `organization` may answer. Rejects as `_require_open`, with MaintenanceNotProposed, MaintenanceOwn."""
    _require_open(change)
    if change.status != ChangeStatus.AGREEING or change.window is None:
        raise MaintenanceNotProposed("No window waits for an answer.", "change_id")
    if organization == change.window.proposed_by:
        raise MaintenanceOwn("The other party answers this; you may propose another window.", "signer")
    return change.window


def _require_its_time(change: ServiceChange, now_ms: int) -> None:
    """Rejects with ConsentMissing, TooEarly, TooLate. Req: C-09, C-10."""
    if not can_be_started(change):
        raise ConsentMissing("This change interrupts the service; agree on a window first.", "change_id")
    if now_ms < change.start_from_ms:
        raise TooEarly(f"This change may be started from {change.start_from_ms} on.", "change_id")
    if change.window is not None and now_ms > change.window.until_ms:
        raise TooLate(f"The window ended at {change.window.until_ms}; agree on another one.", "change_id")


_PARTIES: Final = (Role.S_BUS, Role.B_BUS)

CONTRACT: Final = Contract(
    name="change",
    kinds=(SERVICE_CHANGE,),
    messages=(
        MessageType(
            name="propose_maintenance", command=ProposeMaintenance, handler=propose_maintenance, roles=_PARTIES
        ),
        MessageType(name="agree_maintenance", command=AgreeMaintenance, handler=agree_maintenance, roles=_PARTIES),
        MessageType(
            name="decline_maintenance", command=DeclineMaintenance, handler=decline_maintenance, roles=_PARTIES
        ),
        MessageType(name="hasten_change", command=HastenChange, handler=hasten_change, roles=(Role.B_BUS,)),
        MessageType(name="start_change", command=StartChange, handler=start_change, roles=(Role.S_BUS,)),
        MessageType(name="end_change", command=EndChange, handler=end_change, roles=(Role.S_BUS,), gas=500),
    ),
)
