"""Stranded services: bought, activated, no longer needed, and too late to cancel; they are ended by a termination each.

D-40, X-15 nothing stays ordered of an order that came to nothing; X-27 where cancelling is over, X-63 a termination is ordered
instead: an inquiry for it, its quote, its order, each let out here. A seller that refuses or is silent is asked again, after
pauses that grow. The elements stay `stranded` until the seller's ledger shows the service's end. Register 11.4.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from smartcontracts.delivery import CancelOrder
from smartcontracts.ids import derive_id
from smartcontracts.inquiry import INQUIRY, LineageKeyInvalid, SubmitInquiry
from smartcontracts.internal.elements import (
    WHOLE_ORDER_GAS,
    AlreadyReleased,
    ElementStatus,
    NothingNew,
    OrderForeign,
    ServiceElement,
    in_order,
    ordered_by,
)
from smartcontracts.internal.inventory import INVENTORY_SERVICE, InventoryStatus
from smartcontracts.internal.release import (
    RELEASE,
    Release,
    ReleaseStatus,
    open_release,
    opened,
    outward_id,
    void_releases,
)
from smartcontracts.kernel import (
    Call,
    Contract,
    Event,
    Grpc,
    Kind,
    MessageType,
    Outcome,
    Rejected,
    Role,
    Terms,
    View,
    WrongStatus,
    step,
)
from smartcontracts.lineage import LINEAGE_KEY_BYTES, pseudonym
from smartcontracts.order import ORDER, PlaceOrder
from smartcontracts.quote import Quote
from smartcontracts.trade import (
    Action,
    Change,
    ChangeKind,
    InquiryItem,
    QuoteLevel,
    require_reason,
    require_time,
    words,
)

SALT_BYTES: Final = 32
NO_LONGER_NEEDED: Final = "NO_LONGER_NEEDED"
# Services that hold one bought service: one does, unless an id is used on two ledgers.
_SERVICES_MAX: Final = 100
_OVER: Final = (ElementStatus.STRANDED, ElementStatus.CANCELLED, ElementStatus.REPLACED)


class StrandedStatus(StrEnum):
    """Stored on the ledger: never rename a value. X-27."""

    ASKING = "asking"
    ORDERING = "ordering"
    WAITING = "waiting"
    ENDED = "ended"


_S: Final = StrandedStatus
LIFECYCLE: Final = MappingProxyType(
    {
        (_S.ASKING, "order"): _S.ORDERING,
        (_S.ORDERING, "cancel"): _S.ORDERING,  # the order is late, and taken back before the next attempt
        (_S.ASKING, "fail"): _S.WAITING,
        (_S.ORDERING, "fail"): _S.WAITING,
        (_S.WAITING, "ask"): _S.ASKING,
        # The order of an attempt that was taken for failed is out there.
        **{(status, "surface"): _S.ORDERING for status in (_S.ASKING, _S.WAITING)},
        # The service has ended, by this or because a person has ended it.
        **{(status, "end"): _S.ENDED for status in (_S.ASKING, _S.ORDERING, _S.WAITING)},
    }
)


class StrandedServiceUnknown(Rejected):
    """This ledger has no stranded service with this id."""

    code = 6270
    grpc = Grpc.NOT_FOUND


class ServiceNeeded(Rejected):
    """The service serves something still, or may: an element that is not at its end, a change, a service in the inventory."""

    code = 6271


class AskedTooEarly(Rejected):
    """The pause since the last attempt is not over."""

    code = 6272
    transient = True


class AttemptUnderWay(Rejected):
    """What was let out last is not known to be out, so nobody can say that it came to nothing."""

    code = 6273


class QuoteNotTheAnswer(Rejected):
    """The copy is not this seller's quote for this termination."""

    code = 6274
    grpc = Grpc.INVALID_ARGUMENT


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseTerminationInquiry:
    """B-BUS asks a seller to end what was bought by an order. X-27, X-63."""

    ledger_id: str
    order_id: str
    service_id: str
    agreement_id: str
    lineage_key: bytes = field(metadata={"bytes_max": LINEAGE_KEY_BYTES})
    salt: bytes = field(metadata={"bytes_max": SALT_BYTES})


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseTerminationOrder:
    """B-BUS orders the termination as it is quoted. X-27, X-63."""

    stranded_service_id: str
    quote: Quote
    acceptance_window_ms: int
    activation_window_ms: int
    salt: bytes = field(metadata={"bytes_max": SALT_BYTES})


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseTerminationCancellation:
    """B-BUS takes back the order of a termination that its seller is late with. X-27."""

    stranded_service_id: str
    salt: bytes = field(metadata={"bytes_max": SALT_BYTES})


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordTerminationFailure:
    """The `attempt`th attempt came to nothing; the next one not before `again_at_ms`. X-27."""

    stranded_service_id: str
    attempt: int
    reason: str
    again_at_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StrandedService:
    """Document: a service that runs for nobody, and what is done to end it. One for the order that gave it. X-27."""

    id: str
    status: StrandedStatus = StrandedStatus.ASKING
    order_handover_id: str
    ledger_id: str
    seller: str
    order_id: str
    service_id: str
    attempt: int = 1
    inquiry_release_id: str
    inquiry_id: str
    quote: Quote | None = None
    order_release_id: str = ""
    termination_order_id: str = ""
    cancel_release_id: str = ""
    # Of the last attempt that came to nothing.
    reason: str = ""
    again_at_ms: int = 0
    found_at_ms: int
    ended_at_ms: int = 0


def stranded_id_of(internal_id: str, ledger_id: str, order_id: str) -> str:
    """The id of what an order has left behind."""
    return derive_id(STRANDED_SERVICE.prefix, internal_id, ledger_id, order_id)


def service_ended(element: ServiceElement, call: Call) -> Outcome:
    """What was bought by the order of a stranded element has ended: nothing more is done about it."""
    found = call.view.get(STRANDED_SERVICE, stranded_id_of(call.ledger_id, element.ledger_id, element.order_id))
    if found is None or found.status == StrandedStatus.ENDED:
        return Outcome()
    now_ms = call.block.time_ms
    ended = replace(found, status=step(LIFECYCLE, found.status, "end"), again_at_ms=0, ended_at_ms=now_ms)
    over = Outcome(writes=(ended,), events=(Event("stranded_service.ended", ended),))
    return over.then(void_releases(call.view, found.id, now_ms))


def order_surfaced(release: Release, order_id: str, call: Call) -> Outcome:
    """The order of an attempt that was taken for failed is out there: it is the attempt under way. Rejects with WrongStatus."""
    found = _require(release.subject_id, call.view)
    ordering = replace(
        found,
        status=step(LIFECYCLE, found.status, "surface"),
        order_release_id=release.id,
        termination_order_id=order_id,
        cancel_release_id="",
        again_at_ms=0,
    )
    return _told(ordering, "stranded_service.ordered")


def require_refused(cancel_release_id: str, view: View, field_name: str) -> None:
    """Nothing is let out, or its ledger did not take it, so that a cancellation can be let out. Rejects with AlreadyReleased."""
    last = view.get(RELEASE, cancel_release_id) if cancel_release_id else None
    if last is not None and last.status != ReleaseStatus.REFUSED:
        raise AlreadyReleased("The cancellation is out.", field_name, existing_id=last.id)


# Transitions


def release_termination_inquiry(command: ReleaseTerminationInquiry, call: Call) -> Outcome:
    """Let the inquiry for a termination out: all that was bought by one order, of which nothing is needed. X-27, X-63.

    Rejects with the first of: OrderForeign, WrongStatus, ServiceNeeded, AskedTooEarly, LineageKeyInvalid, SaltInvalid.
    """
    elements = _stranded_by(command, call.view)
    stranded_id = stranded_id_of(call.ledger_id, command.ledger_id, command.order_id)
    known = call.view.get(STRANDED_SERVICE, stranded_id)
    status = StrandedStatus.ASKING if known is None else step(LIFECYCLE, known.status, "ask")
    if known is not None and call.block.time_ms < known.again_at_ms:
        raise AskedTooEarly(f"The next attempt is made from {known.again_at_ms} on.", "order_id")
    if len(command.lineage_key) != LINEAGE_KEY_BYTES:
        raise LineageKeyInvalid(f"A lineage key has {LINEAGE_KEY_BYTES} bytes.", "lineage_key")
    release = open_release(
        call,
        0,
        role=Role.B_BUS,
        act="submit_inquiry",
        ledger_id=command.ledger_id,
        subject_kind=STRANDED_SERVICE.name,
        subject_id=stranded_id,
        command_record=_inquiry_for(command, elements, call.sender.organization),
        salt=command.salt,
    )
    attempt = StrandedService(
        id=stranded_id,
        status=status,
        order_handover_id=elements[0].order_handover_id,
        ledger_id=command.ledger_id,
        seller=elements[0].seller,
        order_id=command.order_id,
        service_id=command.service_id,
        attempt=1 if known is None else known.attempt + 1,
        inquiry_release_id=release.id,
        inquiry_id=outward_id(release, INQUIRY, call),
        reason="" if known is None else known.reason,
        found_at_ms=call.block.time_ms if known is None else known.found_at_ms,
    )
    return _told(attempt, "stranded_service.asked").then(opened(release))


def release_termination_order(command: ReleaseTerminationOrder, call: Call) -> Outcome:
    """Let the order of a termination out, as the seller has quoted it. X-27, X-63.

    Rejects with the first of: StrandedServiceUnknown, WrongStatus, QuoteNotTheAnswer, SaltInvalid.
    """
    found = _require(command.stranded_service_id, call.view)
    status = step(LIFECYCLE, found.status, "order")
    if (command.quote.inquiry_id, command.quote.seller) != (found.inquiry_id, found.seller):
        raise QuoteNotTheAnswer("Give the seller's quote for this termination.", "quote.inquiry_id")
    release = open_release(
        call,
        0,
        role=Role.B_BUS,
        act="place_order",
        ledger_id=found.ledger_id,
        subject_kind=STRANDED_SERVICE.name,
        subject_id=found.id,
        command_record=PlaceOrder(
            quote_id=command.quote.id,
            acceptance_window_ms=command.acceptance_window_ms,
            activation_window_ms=command.activation_window_ms,
            change=_termination_of(found.service_id),
        ),
        salt=command.salt,
    )
    ordered = replace(
        found,
        status=status,
        quote=command.quote,
        order_release_id=release.id,
        termination_order_id=outward_id(release, ORDER, call),
    )
    return _told(ordered, "stranded_service.ordered").then(opened(release))


def release_termination_cancellation(command: ReleaseTerminationCancellation, call: Call) -> Outcome:
    """Take back the order of a termination, so that another one can be made; once more if that was refused. X-27.

    Rejects with the first of: StrandedServiceUnknown, WrongStatus, AlreadyReleased, AttemptUnderWay, SaltInvalid.
    """
    found = _require(command.stranded_service_id, call.view)
    status = step(LIFECYCLE, found.status, "cancel")
    require_refused(found.cancel_release_id, call.view, "stranded_service_id")
    if _last_release_is_open(found, call.view):
        raise AttemptUnderWay("The order is still on its way out.", "stranded_service_id")
    release = open_release(
        call,
        0,
        role=Role.B_BUS,
        act="cancel_order",
        ledger_id=found.ledger_id,
        subject_kind=STRANDED_SERVICE.name,
        subject_id=found.id,
        command_record=CancelOrder(order_id=found.termination_order_id, reason=NO_LONGER_NEEDED),
        salt=command.salt,
    )
    cancelled = replace(found, status=status, cancel_release_id=release.id)
    return _told(cancelled, "stranded_service.cancellation_released").then(opened(release))


def record_termination_failure(command: RecordTerminationFailure, call: Call) -> Outcome:
    """The seller has refused, was silent, or its ledger did not take it: wait for the next attempt. X-27.

    Rejects with the first of: StrandedServiceUnknown, WrongStatus, NothingNew, AttemptUnderWay, ReasonInvalid, TimeOutOfRange.
    """
    found = _require(command.stranded_service_id, call.view)
    status = step(LIFECYCLE, found.status, "fail")
    if command.attempt != found.attempt:
        raise NothingNew(f"Attempt {found.attempt} is under way.", "attempt")
    if _last_release_is_open(found, call.view):
        raise AttemptUnderWay("Wait until the last act is out.", "stranded_service_id")
    require_reason(command.reason)
    require_time(command.again_at_ms, "again_at_ms")
    failed = replace(found, status=status, reason=command.reason, again_at_ms=command.again_at_ms)
    return _told(failed, "stranded_service.attempt_failed")


# Guards and parts


def _stranded_by(command: ReleaseTerminationInquiry, view: View) -> tuple[ServiceElement, ...]:
    """All elements of the order, of which none is needed. Rejects with OrderForeign, WrongStatus, ServiceNeeded."""
    bought = ordered_by(view, command.ledger_id, command.order_id)
    if not bought:
        raise OrderForeign("Nothing is bought by this order.", "order_id")
    if any(one.service_id not in ("", command.service_id) for one in bought) or not command.service_id:
        raise OrderForeign("The order gave another service.", "service_id")
    if not any(one.status == ElementStatus.STRANDED for one in bought):
        raise WrongStatus("Nothing of this order is stranded.", "status")
    if any(one.changes or one.status not in _OVER for one in bought):
        raise ServiceNeeded("An element of this order is not at its end, or is part of another service.", "order_id")
    holding = view.find(INVENTORY_SERVICE, "service", command.service_id, _SERVICES_MAX)
    if any(one.status == InventoryStatus.IN_OPERATION for one in holding):
        raise ServiceNeeded("A service in the inventory is made of it.", "service_id")
    return in_order(bought)


def _inquiry_for(
    command: ReleaseTerminationInquiry, elements: tuple[ServiceElement, ...], organization: str
) -> SubmitInquiry:
    """An inquiry that begins here: it is for no buyer of ours. Everything is named as it was ordered."""
    items = tuple(
        InquiryItem(
            id=one.element_id,
            action=Action.DELETE,
            offering=one.offering,
            product=one.product,
            term=one.term,
        )
        for one in elements
    )
    return SubmitInquiry(
        seller=elements[0].seller,
        agreement_id=command.agreement_id,
        level=QuoteLevel.FIRM,
        items=items,
        ancestors=(pseudonym(command.lineage_key, organization),),
        lineage_key=command.lineage_key,
        change=_termination_of(command.service_id),
    )


def _termination_of(service_id: str) -> Change:
    return Change(service_id=service_id, kind=ChangeKind.TERMINATION)


def _last_release_is_open(found: StrandedService, view: View) -> bool:
    last = found.cancel_release_id or found.order_release_id or found.inquiry_release_id
    release = view.get(RELEASE, last)
    return release is not None and release.status == ReleaseStatus.OPEN


def _require(stranded_service_id: str, view: View) -> StrandedService:
    """Rejects with StrandedServiceUnknown."""
    found = view.get(STRANDED_SERVICE, stranded_service_id)
    if found is None:
        raise StrandedServiceUnknown("There is no stranded service with this id.", "stranded_service_id")
    return found


def _told(stranded: StrandedService, event: str) -> Outcome:
    return Outcome(writes=(stranded,), events=(Event(event, stranded),))


STRANDED_SERVICE: Final = Kind(
    name="stranded_service",
    prefix="sts",
    record=StrandedService,
    terms=lambda one: Terms(
        status=one.status,
        party=words((one.seller,)),
        service=words((one.service_id,)),
        related=words((one.ledger_id, one.order_handover_id, one.order_id, one.inquiry_id, one.termination_order_id)),
    ),
    lifecycle=LIFECYCLE,
    filters=("status", "party", "service", "related"),
)

CONTRACT: Final = Contract(
    name="stranded",
    kinds=(STRANDED_SERVICE,),
    messages=(
        MessageType(
            name="release_termination_inquiry",
            command=ReleaseTerminationInquiry,
            handler=release_termination_inquiry,
            roles=(Role.B_BUS,),
            gas=WHOLE_ORDER_GAS,
        ),
        MessageType(
            name="release_termination_order",
            command=ReleaseTerminationOrder,
            handler=release_termination_order,
            roles=(Role.B_BUS,),
            gas=2_000,
        ),
        MessageType(
            name="release_termination_cancellation",
            command=ReleaseTerminationCancellation,
            handler=release_termination_cancellation,
            roles=(Role.B_BUS,),
            gas=500,
        ),
        MessageType(
            name="record_termination_failure",
            command=RecordTerminationFailure,
            handler=record_termination_failure,
            roles=(Role.B_BUS,),
            gas=500,
        ),
    ),
)
