"""Service: what a seller delivers to a buyer and keeps in operation, and the changes of it.

D-09, D-10 it has the service's id and its elements' ids; D-23 it is billed and measured from its activation; X-61 it is there
from the order's acceptance, and a change may concern it from then on; C-11 a change's request and outcome are one document.
Orders, deliveries and changes write them; register 11.5 and 11.13 have their states.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from smartcontracts.kernel import (
    Deadline,
    Due,
    Event,
    Grpc,
    Kind,
    Outcome,
    Rejected,
    Terms,
    View,
    step,
)
from smartcontracts.trade import (
    HASH_BYTES,
    PRICES_MAX,
    RELEASES_MAX,
    ChangeKind,
    ChangeMethod,
    Outage,
    Price,
    words,
)

# Items with earlier prices that a service remembers, since the interval in which they ended may still be invoiced.
FORMER_MAX: Final = 500
DAY_MS: Final = 86_400_000
IMPLEMENTATION_DUE: Final = "implementation_due"


class ServiceStatus(StrEnum):
    """Stored on the ledger: never rename a value."""

    IN_DELIVERY = "in_delivery"
    IN_OPERATION = "in_operation"
    TERMINATED = "terminated"


LIFECYCLE: Final = MappingProxyType(
    {
        (ServiceStatus.IN_DELIVERY, "activate"): ServiceStatus.IN_OPERATION,
        (ServiceStatus.IN_DELIVERY, "change"): ServiceStatus.IN_DELIVERY,
        (ServiceStatus.IN_DELIVERY, "terminate"): ServiceStatus.TERMINATED,
        (ServiceStatus.IN_OPERATION, "change"): ServiceStatus.IN_OPERATION,
        (ServiceStatus.IN_OPERATION, "terminate"): ServiceStatus.TERMINATED,
    }
)


class ChangeStatus(StrEnum):
    """Stored on the ledger: never rename a value. Req: C-11."""

    ORDERED = "ordered"
    ACCEPTED = "accepted"
    AGREEING = "agreeing"
    AGREED = "agreed"
    IMPLEMENTING = "implementing"
    DONE = "done"
    REFUSED = "refused"
    FAILED = "failed"
    CANCELLED = "cancelled"


CHANGE_LIFECYCLE: Final = MappingProxyType(
    {
        (ChangeStatus.ORDERED, "accept"): ChangeStatus.ACCEPTED,
        (ChangeStatus.ORDERED, "refuse"): ChangeStatus.REFUSED,
        (ChangeStatus.ORDERED, "cancel"): ChangeStatus.CANCELLED,
        (ChangeStatus.ACCEPTED, "implementation_due"): ChangeStatus.ACCEPTED,
        (ChangeStatus.ACCEPTED, "hasten"): ChangeStatus.ACCEPTED,
        (ChangeStatus.ACCEPTED, "propose_maintenance"): ChangeStatus.AGREEING,
        (ChangeStatus.ACCEPTED, "start"): ChangeStatus.IMPLEMENTING,
        (ChangeStatus.ACCEPTED, "fail"): ChangeStatus.FAILED,
        (ChangeStatus.ACCEPTED, "cancel"): ChangeStatus.CANCELLED,
        (ChangeStatus.AGREEING, "propose_maintenance"): ChangeStatus.AGREEING,
        (ChangeStatus.AGREEING, "hasten"): ChangeStatus.AGREEING,
        (ChangeStatus.AGREEING, "agree_maintenance"): ChangeStatus.AGREED,
        (ChangeStatus.AGREEING, "decline_maintenance"): ChangeStatus.ACCEPTED,
        (ChangeStatus.AGREEING, "fail"): ChangeStatus.FAILED,
        (ChangeStatus.AGREEING, "cancel"): ChangeStatus.CANCELLED,
        (ChangeStatus.AGREED, "implementation_due"): ChangeStatus.AGREED,
        (ChangeStatus.AGREED, "hasten"): ChangeStatus.AGREED,
        (ChangeStatus.AGREED, "propose_maintenance"): ChangeStatus.AGREEING,
        (ChangeStatus.AGREED, "start"): ChangeStatus.IMPLEMENTING,
        (ChangeStatus.AGREED, "fail"): ChangeStatus.FAILED,
        (ChangeStatus.AGREED, "cancel"): ChangeStatus.CANCELLED,
        (ChangeStatus.IMPLEMENTING, "end"): ChangeStatus.DONE,
        (ChangeStatus.IMPLEMENTING, "fail"): ChangeStatus.FAILED,
        # What is being done is not called off: only once its order is late, or with the service itself.
        (ChangeStatus.IMPLEMENTING, "cancel"): ChangeStatus.CANCELLED,
    }
)


class ServiceUnknown(Rejected):
    """There is no such service between these two, in this direction (C-06)."""

    code = 3058
    grpc = Grpc.NOT_FOUND


class ServiceTerminated(Rejected):
    """The service has ended; nothing of it can be changed (C-01)."""

    code = 3059


class ChangeStarted(Rejected):
    """The change has been started."""

    code = 3405


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceItem:
    """A service element and its prices; `id` is that of the order's item. Req: D-09.

    The prices count in [from_ms, until_ms): 0 is the service's activation, and its end. What is priced for all elements
    together has an empty id.
    """

    id: str
    offering: str
    prices: tuple[Price, ...] = field(metadata={"list_max": PRICES_MAX})
    from_ms: int = 0
    until_ms: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """A service; it is billed from `activated_at_ms` to `terminated_at_ms` (0: not yet). Req: D-10, D-23.

    `change_id` is the change that is under way; `former` what the elements cost before earlier ones; `bundle` what is
    priced for all of them together.
    """

    id: str
    status: ServiceStatus = ServiceStatus.IN_OPERATION
    order_id: str
    quote_id: str
    inquiry_id: str
    buyer: str
    seller: str
    agreement_id: str
    accepted_at_ms: int = 0
    activated_at_ms: int
    items: tuple[ServiceItem, ...]
    terminated_at_ms: int = 0
    change_id: str = ""
    former: tuple[ServiceItem, ...] = field(default=(), metadata={"list_max": FORMER_MAX})
    bundle: ServiceItem | None = None

    @property
    def priced(self) -> tuple[ServiceItem, ...]:
        """All that has or had prices: the elements, the bundle, and what they were before."""
        bundle = () if self.bundle is None else (self.bundle,)
        return (*self.items, *bundle, *self.former)

    def span_ms(self, item: ServiceItem) -> tuple[int, int]:
        """From when to when `item`'s prices count; an end of 0 is open."""
        return item.from_ms or self.activated_at_ms, item.until_ms or self.terminated_at_ms


@dataclass(frozen=True, slots=True, kw_only=True)
class MaintenanceWindow:
    """First and last millisecond of an outage; in force once the other party has agreed. Req: C-09."""

    from_ms: int
    until_ms: int
    proposed_by: str
    agreed_by: str = ""
    agreed_at_ms: int = 0
    declined_reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceChange:
    """A change of a service: its request, and its outcome. Req: C-05, C-07, C-08, C-11.

    `due_at_ms` is when the ledger said that it can be started (0: not yet). `awaited_ms` is how long the seller has waited
    for the buyer's part in the agreement about an outage, and `awaited_from_ms` since when it waits again (0: it does not).
    """

    id: str
    status: ChangeStatus = ChangeStatus.ORDERED
    order_id: str
    service_id: str
    buyer: str
    seller: str
    agreement_id: str
    kind: ChangeKind
    outage: Outage
    outage_ms: int
    method: ChangeMethod
    implement_at_ms: int
    window: MaintenanceWindow | None = None
    ordered_at_ms: int
    accepted_at_ms: int = 0
    due_at_ms: int = 0
    started_at_ms: int = 0
    ended_at_ms: int = 0
    outcome: str = ""
    reason: str = ""
    releases: tuple[bytes, ...] = field(default=(), metadata={"bytes_max": HASH_BYTES, "list_max": RELEASES_MAX})
    awaited_ms: int = 0
    awaited_from_ms: int = 0

    @property
    def start_from_ms(self) -> int:
        """The first millisecond in which it may be started, as far as it is agreed."""
        window = self.window
        return self.implement_at_ms if window is None else max(self.implement_at_ms, window.from_ms)


def require_service(service_id: str, view: View) -> Service:
    """Rejects with ServiceUnknown. Req: D-10."""
    service = view.get(SERVICE, service_id)
    if service is None:
        raise ServiceUnknown("There is no service with this id on this ledger.", "service_id")
    return service


def require_changeable(service_id: str, buyer: str, seller: str, view: View) -> Service:
    """The service that `buyer` has from `seller`. Rejects with ServiceUnknown, ServiceTerminated. Req: C-01, C-06."""
    service = view.get(SERVICE, service_id)
    if service is None or (service.buyer, service.seller) != (buyer, seller):
        raise ServiceUnknown("You have no service with this id from this seller.", "change.service_id")
    if service.status == ServiceStatus.TERMINATED:
        raise ServiceTerminated("This service has ended; ask for a new one.", "change.service_id")
    return service


def counts_at(service: Service, item: ServiceItem, time_ms: int) -> bool:
    """Whether `item`'s prices are those that count at `time_ms`."""
    from_ms, until_ms = service.span_ms(item)
    return from_ms <= time_ms and not 0 < until_ms <= time_ms


def activated(service: Service, time_ms: int) -> Service:
    """The service in operation. Rejects with WrongStatus. Req: D-23."""
    return replace(service, status=step(LIFECYCLE, service.status, "activate"), activated_at_ms=time_ms)


def terminated(service: Service, time_ms: int, price: tuple[ServiceItem, ...] = ()) -> Service:
    """The service at its end, with no change under way. Rejects with WrongStatus.

    `price` is what the end itself costs, once.
    """
    cost = tuple(replace(item, from_ms=time_ms, until_ms=time_ms) for item in price if item.prices)
    return replace(
        service,
        status=step(LIFECYCLE, service.status, "terminate"),
        terminated_at_ms=time_ms,
        change_id="",
        former=(*service.former, *cost),
    )


def under_change(service: Service, change_id: str) -> Service:
    """The service with this change under way; with none if empty. Rejects with WrongStatus."""
    return replace(service, status=step(LIFECYCLE, service.status, "change"), change_id=change_id)


def changed(service: Service, items: tuple[ServiceItem, ...], bundle: ServiceItem | None, time_ms: int) -> Service:
    """The service with `items` in place of those of the same ids or beside them, and no change under way. Req: C-11.

    What they replace is kept with its end, since it is still to be billed; unless it never was in operation.
    """
    operating = service.status == ServiceStatus.IN_OPERATION
    new = {item.id: replace(item, from_ms=time_ms if operating else 0) for item in items}
    kept = tuple(new.pop(item.id, item) for item in service.items)
    gone = tuple(old for old, now in zip(service.items, kept, strict=True) if old is not now)
    if bundle is not None:
        gone += () if service.bundle is None else (service.bundle,)
        bundle = replace(bundle, from_ms=time_ms if operating else 0)
    former = tuple(replace(item, until_ms=time_ms) for item in gone) if operating else ()
    return replace(
        under_change(service, ""),
        items=(*kept, *new.values()),
        bundle=bundle or service.bundle,
        former=(*service.former, *former),
    )


def accepted_change(change: ServiceChange, time_ms: int) -> ServiceChange:
    """The change that the seller will make. Rejects with WrongStatus."""
    accepted = replace(change, status=step(CHANGE_LIFECYCLE, change.status, "accept"), accepted_at_ms=time_ms)
    return with_due_time(accepted, time_ms)


def with_due_time(change: ServiceChange, time_ms: int) -> ServiceChange:
    """The change as due at `time_ms`, if it can be started by then: what is known already needs no deadline."""
    if can_be_started(change) and not change.due_at_ms and change.start_from_ms <= time_ms:
        return replace(change, due_at_ms=time_ms)
    return change


def can_be_started(change: ServiceChange) -> bool:
    """Whether only time stands before the start: there is a window if there is an outage. Req: C-09."""
    waiting = ChangeStatus.ACCEPTED if change.outage == Outage.NO else ChangeStatus.AGREED
    return change.status == waiting


def closed_change(change: ServiceChange, event: str, reason: str, time_ms: int) -> ServiceChange:
    """The change with its outcome, which is the status that `event` leads to. Rejects with WrongStatus. Req: C-11."""
    status = step(CHANGE_LIFECYCLE, change.status, event)
    settled = with_wait(change, time_ms, waits=False)
    return replace(settled, status=status, outcome=status.value, reason=reason, ended_at_ms=time_ms)


def awaited_ms(change: ServiceChange, time_ms: int) -> int:
    """How long the seller has waited for the buyer until `time_ms`: for an answer to its window, or, if the buyer declined that,
    for another window of the buyer's. A window that has ended can't be agreed to, so from then on it is waited for no more.
    Req: C-09, D-04.
    """
    if not change.awaited_from_ms:
        return change.awaited_ms
    until_ms = time_ms
    if change.status == ChangeStatus.AGREEING and change.window is not None:
        until_ms = min(time_ms, change.window.until_ms)
    return change.awaited_ms + max(0, until_ms - change.awaited_from_ms)


def with_wait(change: ServiceChange, time_ms: int, *, waits: bool) -> ServiceChange:
    """The change with what was waited so far; from `time_ms` on the seller waits for the buyer, or not."""
    return replace(change, awaited_ms=awaited_ms(change, time_ms), awaited_from_ms=time_ms if waits else 0)


def fall_due(change: ServiceChange, due: Due) -> Outcome:
    """The time has come to start the change; the seller's agent is told by the event. Req: C-10."""
    status = step(CHANGE_LIFECYCLE, change.status, "implementation_due")
    told = replace(change, status=status, due_at_ms=due.due_ms)
    return Outcome(writes=(told,), events=(Event("service_change.due", told),))


def billed_key(agreement_id: str, seller: str) -> str:
    """Finds what a seller has in operation under an agreement."""
    return f"{agreement_id}/{seller}"


def ended_key(agreement_id: str, seller: str, day: int) -> str:
    """Finds what has ended on a day: `day_of` the end. So what was billed long ago is not in the way of what is to be."""
    return f"{agreement_id}/{seller}/ended/{day}"


def day_of(time_ms: int) -> int:
    """The day since 1970 in which an instant lies."""
    return time_ms // DAY_MS


def _billed(service: Service) -> str:
    """The index word by which billing finds a service."""
    if service.status == ServiceStatus.TERMINATED:
        return ended_key(service.agreement_id, service.seller, day_of(service.terminated_at_ms))
    return billed_key(service.agreement_id, service.seller)


def _terms(service: Service) -> Terms:
    # Billing finds what has something to be billed, and nothing else.
    costs = service.activated_at_ms or service.former
    billed = (_billed(service),) if costs else ()
    return Terms(
        status=service.status,
        party=words((service.buyer, service.seller)),
        offering=words(item.offering for item in service.items),
        service=(service.id,),
        related=words(
            (service.order_id, service.quote_id, service.inquiry_id, service.agreement_id, service.change_id)
        ),
        keys=billed,
    )


# Keys: "<agreement id>/<seller>" in operation; "<agreement id>/<seller>/ended/<day>" once it has ended, if it ever cost something.
SERVICE: Final = Kind(
    name="service",
    prefix="svc",
    record=Service,
    terms=_terms,
    lifecycle=LIFECYCLE,
    filters=("status", "party", "offering", "service", "related"),
)


def _change_terms(change: ServiceChange) -> Terms:
    return Terms(
        status=change.status,
        party=words((change.buyer, change.seller)),
        service=(change.service_id,),
        related=words((change.order_id, change.agreement_id)),
    )


def _change_deadlines(change: ServiceChange) -> tuple[Deadline, ...]:
    if can_be_started(change) and not change.due_at_ms:
        return (Deadline(change.start_from_ms, IMPLEMENTATION_DUE),)
    return ()


SERVICE_CHANGE: Final = Kind(
    name="service_change",
    prefix="chg",
    record=ServiceChange,
    terms=_change_terms,
    deadlines=_change_deadlines,
    on_deadline=MappingProxyType({IMPLEMENTATION_DUE: fall_due}),
    lifecycle=CHANGE_LIFECYCLE,
    filters=("status", "party", "service", "related"),
)
