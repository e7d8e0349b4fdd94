"""Change: the order of a change inside its seller, between its buyer and the sellers who must act for it.

C-05 a change is quoted and ordered like a service, by the same handovers; C-07 only who makes an affected element is asked;
C-09, X-62 an outage is agreed on with the buyer and with every seller, each seller's window inside the buyer's, before anything
starts; C-10 not before the ordered time; C-11 outcomes are kept; X-63 a termination is a change. What the change is on each
ledger is mirrored here, whoever did it. Register 11.13.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Final

from smartcontracts.change import (
    AgreeMaintenance,
    DeclineMaintenance,
    EndChange,
    HastenChange,
    ProposeMaintenance,
    StartChange,
)
from smartcontracts.change import ChangeOutcome as Ending
from smartcontracts.ids import derive_id
from smartcontracts.internal.elements import (
    ELEMENT_EVENTS,
    ELEMENTS_MAX,
    UNDER_WAY,
    AlreadyReleased,
    ElementStatus,
    HandoverStatus,
    NothingNew,
    OrderedChange,
    OrderHandover,
    ServiceElement,
    Source,
    current,
    elements_of,
    free_all,
    freed,
    moved,
    ordered_by,
    require_handover,
    stepped,
)
from smartcontracts.internal.inventory import (
    INVENTORY_SERVICE,
    InventoryElement,
    InventoryService,
    InventoryStatus,
    delivering_order,
    inventory_elements,
    inventory_id_of,
    out_of_inventory,
    parts_of,
    service_in_operation,
)
from smartcontracts.internal.inventory import LIFECYCLE as INVENTORY_LIFECYCLE
from smartcontracts.internal.release import (
    Release,
    ReleaseStatus,
    open_release,
    opened,
    released_command,
    releases_of,
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
    RoleMissing,
    Terms,
    View,
    WrongStatus,
    step,
)
from smartcontracts.service import SERVICE_CHANGE, ChangeStatus, MaintenanceWindow, ServiceChange, can_be_started
from smartcontracts.trade import Change, ChangeKind, Outage, words

SALT_BYTES: Final = 32
SELLER_FAILED: Final = "SELLER_FAILED"
# Plans for one service: it is changed by one order at a time, and not without end.
_PLANS_MAX: Final = 1_000
# A neighbour's ledger has an order within this long of its release, as a rule; of a short window, within this part.
PLACED_WITHIN_MS: Final = 60_000
PLACED_SHARE: Final = 8
# Where several sellers change something, at most this part of their activation window is for their acceptance.
ACCEPTANCE_SHARE: Final = 4


class PlanStatus(StrEnum):
    """Stored on the ledger: never rename a value. Req: C-09, C-11."""

    PLANNED = "planned"
    AGREED = "agreed"
    BEGUN = "begun"
    DONE = "done"
    REFUSED = "refused"
    FAILED = "failed"
    CANCELLED = "cancelled"


class MaintenanceAct(StrEnum):
    """What is said to a neighbour about a window. Stored on the ledger: never rename a value."""

    PROPOSE = "propose"
    AGREE = "agree"
    DECLINE = "decline"


_P: Final = PlanStatus
OPEN: Final = (_P.PLANNED, _P.AGREED, _P.BEGUN)
# What an end of the change on the buyer's ledger is to the plan.
_ENDS: Final = MappingProxyType(
    {
        ChangeStatus.DONE: "finish",
        ChangeStatus.REFUSED: "refuse",
        ChangeStatus.FAILED: "fail",
        ChangeStatus.CANCELLED: "cancel",
    }
)
LIFECYCLE: Final = MappingProxyType(
    {
        **{(status, "mirror"): status for status in PlanStatus},
        (_P.PLANNED, "consent"): _P.AGREED,
        (_P.AGREED, "reopen"): _P.PLANNED,  # another window is being agreed on, or a seller's consent is gone
        (_P.PLANNED, "begin"): _P.BEGUN,  # a person's act on the buyer's ledger
        (_P.AGREED, "begin"): _P.BEGUN,
        **{(status, "finish"): _P.DONE for status in OPEN},
        # By the order's refusal, so before there was anything to agree on or to begin.
        (_P.PLANNED, "refuse"): _P.REFUSED,
        **{(status, "fail"): _P.FAILED for status in OPEN},
        **{(status, "cancel"): _P.CANCELLED for status in OPEN},
    }
)


class ChangeNotOurs(Rejected):
    """The change is of another order, or of a service that this provider does not have in operation for this buyer (C-06)."""

    code = 6401


class ChangePlanUnknown(Rejected):
    """This ledger has no plan of a change with this id."""

    code = 6402
    grpc = Grpc.NOT_FOUND


class NeighbourUnknown(Rejected):
    """The change is neither the buyer's, nor one that a seller makes for it (C-07)."""

    code = 6403
    grpc = Grpc.INVALID_ARGUMENT


class WindowAbove(Rejected):
    """No window is agreed with the buyer, or proposed by it, for sellers' windows to lie in (C-09)."""

    code = 6404


class WindowNotInside(Rejected):
    """A seller's window does not lie inside the buyer's (C-09)."""

    code = 6405
    grpc = Grpc.INVALID_ARGUMENT


class WindowDiffers(Rejected):
    """The neighbour has proposed no window, or another one."""

    code = 6406


class SellersNotAgreed(Rejected):
    """A seller that must interrupt its part has not agreed to a window inside this one (C-09)."""

    code = 6407


class ActUnderWay(Rejected):
    """The last act to this neighbour is not known to be out yet."""

    code = 6408


class ConsentsMissing(Rejected):
    """Buyer and sellers have not all agreed (C-09)."""

    code = 6409


class NotItsTime(Rejected):
    """The ordered time, or the agreed window, has not come or is over (C-09, C-10)."""

    code = 6410


class AcceptancesMissing(Rejected):
    """Buyer and sellers have not all accepted, one has given up, or it is not begun: it could not be taken back (C-10, X-15)."""

    code = 6413


class PlanNotNamed(Rejected):
    """A provider's change has a plan, which says who must have agreed: no act about it goes out past that (C-09; X-62)."""

    code = 6414


class ServiceInDelivery(Rejected):
    """The service that is to be changed is not delivered yet: its change waits for that (C-01, X-61)."""

    code = 6412


@dataclass(frozen=True, slots=True, kw_only=True)
class SellerChange:
    """A change that a seller makes for this one, as its ledger shows it."""

    ledger_id: str
    change: ServiceChange


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangePlan:
    """Document: a change with both of its sides; one for each order of a change. Req: C-07, C-09, C-11."""

    id: str
    status: PlanStatus = PlanStatus.PLANNED
    order_handover_id: str
    ledger_id: str
    change: ServiceChange
    sellers: tuple[SellerChange, ...] = field(default=(), metadata={"list_max": ELEMENTS_MAX})
    planned_at_ms: int
    # The service is still to be delivered: nothing is agreed on or begun before it is. Req: C-01; X-61.
    awaits_delivery: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class MirrorChange:
    """S-BUS about the buyer's ledger, B-BUS about a seller's: what the change is there now. Req: C-11."""

    plan_id: str
    ledger_id: str
    change: ServiceChange


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseMaintenance:
    """S-BUS says something about a window to the buyer, B-BUS to a seller. Req: C-09; X-62.

    Without a plan the organization is the customer for whom the change is made: it answers as it likes.
    """

    plan_id: str
    ledger_id: str
    change_id: str
    service_id: str
    act: MaintenanceAct
    from_ms: int = 0
    until_ms: int = 0
    reason: str = ""
    salt: bytes = field(metadata={"bytes_max": SALT_BYTES})


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseHastening:
    """B-BUS lets a seller make its change as early as the buyer's may be made. Req: C-10."""

    plan_id: str
    ledger_id: str
    change_id: str
    salt: bytes = field(metadata={"bytes_max": SALT_BYTES})


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseStart:
    """S-BUS has the change start. Req: C-09, C-10."""

    plan_id: str
    salt: bytes = field(metadata={"bytes_max": SALT_BYTES})


# What orders.py and delivery.py need to know of changes


def plan_id_of(handover_id: str) -> str:
    """The id of the plan of an order's change."""
    return derive_id(CHANGE_PLAN.prefix, handover_id)


def ordered_change(change: ServiceChange | None, ledger_id: str, order_id: str, view: View) -> OrderedChange | None:
    """What an order changes, if it is the order of a change. Rejects with ChangeNotOurs. Req: C-01, C-06; X-61."""
    if change is None:
        return None
    inventory_service_id = _inventory_service_id(ledger_id, change.service_id, view)
    if change.order_id != order_id or not inventory_service_id:
        raise ChangeNotOurs(
            "Give the change of this order, of a service in this inventory or in delivery.", "change.service_id"
        )
    return OrderedChange(
        change_id=change.id,
        service_id=change.service_id,
        kind=change.kind,
        outage=change.outage,
        outage_ms=change.outage_ms,
        implement_at_ms=change.implement_at_ms,
        inventory_service_id=inventory_service_id,
    )


def _inventory_service_id(ledger_id: str, service_id: str, view: View) -> str:
    """Under which id a service is in the inventory, or will be once it is delivered; empty if it is not ours. X-61."""
    service = service_in_operation(ledger_id, service_id, view)
    if service is not None:
        return service.id
    order = delivering_order(ledger_id, service_id, view)
    return "" if order is None else inventory_id_of(order.id)


def has_room(change: OrderedChange | None, ledger_id: str, elements: tuple[ServiceElement, ...], view: View) -> bool:
    """Whether a service with these elements is not made of more than an inventory's document takes."""
    if change is None:
        return True
    names = (one.element_id for one in (*parts_of(ledger_id, change.service_id, view), *elements))
    return len(dict.fromkeys(names)) <= ELEMENTS_MAX


def planned(handover: OrderHandover, change: ServiceChange | None, call: Call) -> Outcome:
    """The plan of an order of a change; nothing for any other order."""
    if change is None:
        return Outcome()
    service = service_in_operation(handover.ledger_id, change.service_id, call.view)
    plan = ChangePlan(
        id=plan_id_of(handover.id),
        order_handover_id=handover.id,
        ledger_id=handover.ledger_id,
        change=change,
        planned_at_ms=call.block.time_ms,
        awaits_delivery=service is None,
    )
    return Outcome(writes=(plan,), events=(Event("change_plan.planned", plan),))


def change_down(handover: OrderHandover, bought: tuple[ServiceElement, ...]) -> Change | None:
    """What a seller is asked to change with the order for these elements; None if they are new."""
    if handover.change is None or not bought[0].changes:
        return None
    return Change(service_id=bought[0].changes, kind=handover.change.kind)


@dataclass(frozen=True, slots=True, kw_only=True)
class SellersTimes:
    """What the orders of a change give its sellers. Without `answers_by_ms` their answers are awaited as long as the buyer waits."""

    acceptance_ms: int
    answers_by_ms: int = 0
    implement_at_ms: int = 0


def sellers_times(
    handover: OrderHandover, bought: tuple[ServiceElement, ...], windows_ms: tuple[int, int], call: Call
) -> SellersTimes:
    """The time for a seller's answer, and from when it may make its change. Req: C-10.

    `windows_ms` are acceptance and activation as for any order. Where several sellers have orders, none makes its change
    before it is known that all have accepted, since what one of them has changed could not be taken back: their answers
    are due after a part of their windows, and a little later, when whoever accepted would have heard that another did not,
    the change may be made. A seller that is alone waits until our own acceptance is decided about, if there is time for that.
    """
    acceptance_ms, activation_ms = windows_ms
    now_ms = call.block.time_ms
    changes = handover.change
    if changes is None or handover.status != HandoverStatus.ORDERING_EXTERNAL:
        return SellersTimes(acceptance_ms=acceptance_ms)
    wished_ms = _wished_ms(changes, activation_ms, now_ms) if bought[0].changes else 0
    kept_ms = _placed_within_ms(activation_ms)
    if not _are_several(elements_of(handover.id, call.view)):
        held_ms = _held_ms(handover, activation_ms, now_ms) if bought[0].changes else 0
        return SellersTimes(acceptance_ms=acceptance_ms, implement_at_ms=max(wished_ms, held_ms))
    answers_by_ms = handover.answers_by_ms or _answers_by_ms(handover, acceptance_ms, activation_ms, now_ms)
    return SellersTimes(
        acceptance_ms=min(acceptance_ms, answers_by_ms - kept_ms - now_ms),
        answers_by_ms=answers_by_ms,
        implement_at_ms=max(wished_ms, answers_by_ms + kept_ms) if bought[0].changes else 0,
    )


def leaves_time(
    handover: OrderHandover, elements: tuple[ServiceElement, ...], windows_ms: tuple[int, int], now_ms: int
) -> bool:
    """Whether a change ordered for its time, with its outage, can be over in the windows that are given. Req: C-08, C-10; X-17."""
    change = handover.change
    if change is None:
        return True
    # Who changes nothing that is there works on its part from its acceptance on.
    is_bought = any(one.source == Source.EXTERNAL and one.changes for one in elements)
    activation_ms = windows_ms[1] if is_bought else handover.activation_window_ms
    begins_ms = max(now_ms, change.implement_at_ms)
    if is_bought:
        begins_ms = max(begins_ms, _wished_ms(change, activation_ms, now_ms))
    if _are_several(elements):
        answers_by_ms = _answers_by_ms(handover, windows_ms[0], activation_ms, now_ms)
        begins_ms = max(begins_ms, answers_by_ms + _placed_within_ms(activation_ms))
    return begins_ms + change.outage_ms <= now_ms + activation_ms


def _answers_by_ms(handover: OrderHandover, acceptance_ms: int, activation_ms: int, now_ms: int) -> int:
    """When all of several sellers must have answered; never later than we must answer ourselves."""
    wait_ms = min(acceptance_ms, activation_ms // ACCEPTANCE_SHARE) + _placed_within_ms(activation_ms)
    return min(now_ms + wait_ms, handover.accept_by_ms)


def _held_ms(handover: OrderHandover, activation_ms: int, now_ms: int) -> int:
    """Until when a seller that is alone need not begin: until then our buyer may say no. 0 where windows are agreed on besides."""
    if handover.change is None or handover.change.outage != Outage.NO:
        return 0
    decided_ms = handover.accept_by_ms + _placed_within_ms(activation_ms)
    return min(decided_ms, now_ms + activation_ms // ACCEPTANCE_SHARE)


def _placed_within_ms(activation_ms: int) -> int:
    return min(PLACED_WITHIN_MS, activation_ms // PLACED_SHARE)


def _wished_ms(change: OrderedChange, activation_ms: int, now_ms: int) -> int:
    """The ordered time, as a seller can be told: its ledger takes none that is over when the order gets there. 0 is at once."""
    at_ms = change.implement_at_ms
    return 0 if at_ms <= now_ms else max(at_ms, now_ms + _placed_within_ms(activation_ms))


def _are_several(elements: tuple[ServiceElement, ...]) -> bool:
    """Whether more than one order goes to sellers, of which one at least changes what is there."""
    external = tuple(one for one in current(elements) if one.source == Source.EXTERNAL)
    orders = dict.fromkeys((one.ledger_id, one.quote_id) for one in external)
    return len(orders) > 1 and any(one.changes for one in external)


def ending_of(handover: OrderHandover) -> tuple[str, Any] | None:
    """The act that says that the change is done, and its command; None for an order of a new service. Req: C-11."""
    if handover.change is None:
        return None
    command = EndChange(change_id=handover.change.change_id, service_id=handover.change.service_id, outcome=Ending.DONE)
    return "end_change", command


def service_after(handover: OrderHandover, change: OrderedChange, call: Call) -> Outcome:
    """The inventory once the change is done, and what the service is not made of any more on its way out. Req: C-11, D-38; X-63."""
    service = call.view.get(INVENTORY_SERVICE, change.inventory_service_id)
    new = current(elements_of(handover.id, call.view))
    if service is None or service.status != InventoryStatus.IN_OPERATION:
        # It has ended meanwhile, or a person called done what was to be done once it is there: nothing is held for it.
        going = free_all(new, call.block.time_ms)
        return Outcome(writes=going, events=tuple(Event(ELEMENT_EVENTS[one.status], one) for one in going))
    old = inventory_elements(service, call.view)
    if change.kind == ChangeKind.TERMINATION:
        return _ended_service(service, (*old, *new), call.block.time_ms)
    return _changed_service(service, old, new, call.block.time_ms)


def service_delivered(order: OrderHandover, call: Call) -> Outcome:
    """A change of a service that was in delivery is waited for no longer by that. Req: C-01; X-61."""
    done = Outcome()
    for plan in call.view.find(CHANGE_PLAN, "service", order.service_id, _PLANS_MAX):
        if not plan.awaits_delivery or plan.status not in OPEN or plan.ledger_id != order.ledger_id:
            continue
        ready = replace(plan, awaits_delivery=False)
        done = done.then(Outcome(writes=(ready,), events=(Event("change_plan.service_delivered", ready),)))
        handover = require_handover(plan.order_handover_id, call.view)
        if plan.status == PlanStatus.BEGUN:
            done = done.then(_begun(handover, plan.change, call.block.time_ms))
    return done


def _begun(handover: OrderHandover, change: ServiceChange, now_ms: int) -> Outcome:
    """The order whose change is started on its ledger: its elements can be activated."""
    if handover.change is None:
        return Outcome()
    begun = replace(handover, change=replace(handover.change, begun_at_ms=change.started_at_ms or now_ms))
    return Outcome(writes=(begun,), events=(Event("order_handover.change_begun", begun),))


def _changed_service(
    service: InventoryService, old: tuple[ServiceElement, ...], new: tuple[ServiceElement, ...], time_ms: int
) -> Outcome:
    by_name = {element.element_id: element for element in new}
    out = tuple(element for element in old if element.element_id in by_name)
    going = tuple(_superseded(element, by_name[element.element_id], time_ms) for element in out)
    parts = {part.element_id: part for part in service.elements}
    for element in out:
        del parts[element.id]
    parts.update((element.id, InventoryElement.of(element)) for element in new)
    status = step(INVENTORY_LIFECYCLE, service.status, "change")
    after = replace(service, status=status, elements=tuple(parts.values()))
    news = tuple(Event(ELEMENT_EVENTS[element.status], element) for element in going)
    return Outcome(writes=(after, *going), events=(Event("inventory_service.changed", after), *news))


def _superseded(element: ServiceElement, by: ServiceElement, time_ms: int) -> ServiceElement:
    """What a seller changed is the same service under the new element; all else is given back, or cancelled."""
    is_same = element.source == Source.EXTERNAL and by.changes == element.service_id
    if is_same or (gone := freed(element, time_ms)) is None:
        return moved(element, "supersede", replaced_by=by.id, ended_at_ms=time_ms)
    return replace(gone, replaced_by=by.id)


def _ended_service(service: InventoryService, elements: tuple[ServiceElement, ...], time_ms: int) -> Outcome:
    """Nothing is cancelled at sellers: their parts have ended by the same change."""
    going = []
    for element in elements:
        if element.source == Source.EXTERNAL and element.status == ElementStatus.CHAINED:
            going.append(moved(element, "ended", ended_at_ms=time_ms))
        elif (after := freed(element, time_ms)) is not None:
            going.append(after)
    return out_of_inventory(service, tuple(going), time_ms)


# Transitions


def mirror_change(command: MirrorChange, call: Call) -> Outcome:
    """Write down what the change is on its ledger; consents, the start and the end follow from it. Req: C-09, C-11.

    Rejects with the first of: ChangePlanUnknown, RoleMissing, NeighbourUnknown, NothingNew.
    """
    plan = _require_plan(command.plan_id, call.view)
    if _is_upstream(plan, command.ledger_id, command.change.id):
        _require_role(Role.S_BUS, call)
        known: ServiceChange | None = plan.change
        mirrored = replace(plan, change=command.change)
    else:
        _require_role(Role.B_BUS, call)
        _require_seller(plan, command, call.view)
        found = _seller_change(plan, command.ledger_id, command.change.id)
        known = None if found is None else found.change
        mirrored = replace(
            plan, sellers=_with_seller(plan, SellerChange(ledger_id=command.ledger_id, change=command.change))
        )
    # An outcome is final: an older copy that comes late is none.
    if known is not None and (known == command.change or known.outcome):
        raise NothingNew("The internal ledger knows this already.", "change")
    return _settled(mirrored, call)


def release_maintenance(command: ReleaseMaintenance, call: Call) -> Outcome:
    """Let a proposal, a consent or a refusal out. Req: C-09; X-62.

    Rejects with the first of: ChangePlanUnknown, WrongStatus, NeighbourUnknown, RoleMissing, ActUnderWay, WindowAbove,
    WindowNotInside, WindowDiffers, SellersNotAgreed, SaltInvalid; without a plan as `_say_as_customer`.
    """
    if not command.plan_id:
        return _say_as_customer(command, call)
    plan = _require_plan(command.plan_id, call.view)
    if plan.status not in (PlanStatus.PLANNED, PlanStatus.AGREED):
        raise WrongStatus(f"The change is {plan.status}; no window is agreed on any more.", "status")
    upstream = _is_upstream(plan, command.ledger_id, command.change_id)
    seller = None if upstream else _seller_change(plan, command.ledger_id, command.change_id)
    if not upstream and seller is None:
        raise NeighbourUnknown("Name the buyer's change, or one that a seller makes for it.", "change_id")
    role = Role.S_BUS if upstream else Role.B_BUS
    _require_role(role, call)
    change = plan.change if seller is None else seller.change
    if change.service_id != command.service_id:
        raise NeighbourUnknown("The change is of another service.", "service_id")
    if any(_is_about(one, command.ledger_id, change.id) for one in _releases(plan, call.view, ReleaseStatus.OPEN)):
        raise ActUnderWay("Wait until the last act is out.", "change_id")
    window = (command.from_ms, command.until_ms)
    if seller is not None and command.act != MaintenanceAct.DECLINE:
        _require_inside(plan, window)
    if command.act == MaintenanceAct.AGREE:
        theirs = proposed_by_other(change, call.sender.organization)
        if theirs is None or (theirs.from_ms, theirs.until_ms) != window:
            raise WindowDiffers("The neighbour has proposed another window, or none.", "from_ms")
        is_known = sellers_known(plan, elements_of(plan.order_handover_id, call.view))
        if upstream and not (is_known and sellers_agreed(plan, window)):
            raise SellersNotAgreed("Agree with the sellers first, each inside this window.", "from_ms")
    return _let_out(command, role, CHANGE_PLAN.name, plan.id, call)


def _say_as_customer(command: ReleaseMaintenance, call: Call) -> Outcome:
    """The customer's own word, about a change that no element here is bought for.

    Rejects with the first of: RoleMissing, PlanNotNamed, ActUnderWay, SaltInvalid.
    """
    _require_role(Role.B_BUS, call)
    if call.view.find(CHANGE_PLAN, "related", command.change_id, 1):
        raise PlanNotNamed("This change has a plan here; name it.", "plan_id")
    if any(release.status == ReleaseStatus.OPEN for release in releases_of(call.view, command.change_id)):
        raise ActUnderWay("Wait until the last act is out.", "change_id")
    return _let_out(command, Role.B_BUS, SERVICE_CHANGE.name, command.change_id, call)


def _let_out(command: ReleaseMaintenance, role: Role, subject_kind: str, subject_id: str, call: Call) -> Outcome:
    act, record = _maintenance(command)
    release = open_release(
        call,
        0,
        role=role,
        act=act,
        ledger_id=command.ledger_id,
        subject_kind=subject_kind,
        subject_id=subject_id,
        command_record=record,
        salt=command.salt,
    )
    return opened(release)


def release_hastening(command: ReleaseHastening, call: Call) -> Outcome:
    """Let it out that a seller need not wait any longer, once all have accepted and it is begun. Req: C-10, C-11; X-15.

    Rejects with the first of: ChangePlanUnknown, NeighbourUnknown, NothingNew, AcceptancesMissing, ActUnderWay, SaltInvalid.
    """
    plan = _require_plan(command.plan_id, call.view)
    seller = _seller_change(plan, command.ledger_id, command.change_id)
    if seller is None:
        raise NeighbourUnknown("Name a change that a seller makes for this one.", "change_id")
    if not waits_needlessly(plan, seller):
        raise NothingNew("It may be made as early as the buyer's.", "change_id")
    handover = require_handover(plan.order_handover_id, call.view)
    if not may_begin(plan, seller, handover, elements_of(handover.id, call.view)):
        raise AcceptancesMissing(
            "Wait until buyer and sellers have all accepted, and a change without an outage is begun.", "plan_id"
        )
    change = seller.change
    if any(_is_about(one, command.ledger_id, change.id) for one in _releases(plan, call.view, ReleaseStatus.OPEN)):
        raise ActUnderWay("Wait until the last act is out.", "change_id")
    release = open_release(
        call,
        0,
        role=Role.B_BUS,
        act="hasten_change",
        ledger_id=seller.ledger_id,
        subject_kind=CHANGE_PLAN.name,
        subject_id=plan.id,
        command_record=HastenChange(
            change_id=change.id, service_id=change.service_id, implement_at_ms=plan.change.implement_at_ms
        ),
        salt=command.salt,
    )
    return opened(release)


def release_start(command: ReleaseStart, call: Call) -> Outcome:
    """Let the start out, once all have agreed and its time has come. Req: C-09, C-10.

    Rejects with the first of: ChangePlanUnknown, ConsentsMissing, WrongStatus, ServiceInDelivery, NotItsTime, AlreadyReleased,
    SaltInvalid.
    """
    plan = _require_plan(command.plan_id, call.view)
    if plan.status == PlanStatus.PLANNED:
        raise ConsentsMissing("Buyer and sellers have not all agreed, or not all sellers are known.", "plan_id")
    handover = require_handover(plan.order_handover_id, call.view)
    if plan.status != PlanStatus.AGREED or handover.status != HandoverStatus.ACCEPTED:
        raise WrongStatus(f"The change is {plan.status}, and its order {handover.status}.", "status")
    if plan.awaits_delivery:
        raise ServiceInDelivery("The service is still to be delivered; its change comes after that.", "plan_id")
    change, now_ms = plan.change, call.block.time_ms
    if now_ms < change.start_from_ms or (change.window is not None and now_ms > change.window.until_ms):
        raise NotItsTime(f"It may start from {change.start_from_ms} on, inside the agreed window.", "plan_id")
    for state in (ReleaseStatus.OPEN, ReleaseStatus.CARRIED):
        for release in _releases(plan, call.view, state):
            if release.act == "start_change":
                raise AlreadyReleased("The start is out.", "plan_id", existing_id=release.id)
    release = open_release(
        call,
        0,
        role=Role.S_BUS,
        act="start_change",
        ledger_id=plan.ledger_id,
        subject_kind=CHANGE_PLAN.name,
        subject_id=plan.id,
        command_record=StartChange(change_id=change.id, service_id=change.service_id),
        salt=command.salt,
    )
    return opened(release)


# Consents: pure, used by agents too


def is_open(change: ServiceChange) -> bool:
    """Whether it is accepted and not started."""
    return change.status in (ChangeStatus.ACCEPTED, ChangeStatus.AGREEING, ChangeStatus.AGREED)


def proposed_by_other(change: ServiceChange, organization: str) -> MaintenanceWindow | None:
    """The window that waits for the answer of `organization`."""
    window = change.window
    if change.status != ChangeStatus.AGREEING or window is None or window.proposed_by == organization:
        return None
    return window


def window_above(plan: ChangePlan) -> MaintenanceWindow | None:
    """The window in which sellers' outages must lie: agreed with the buyer, or proposed by it."""
    window = plan.change.window
    if plan.change.status == ChangeStatus.AGREED:
        return window
    return None if window is None else proposed_by_other(plan.change, plan.change.seller)


def sellers_known(plan: ChangePlan, elements: tuple[ServiceElement, ...]) -> bool:
    """Whether each change that a seller makes for this one is mirrored, and accepted by the seller. `elements` are the order's."""
    changing = [one for one in current(elements) if one.source == Source.EXTERNAL and one.changes]
    known = {(one.ledger_id, one.change.order_id): one.change.status for one in plan.sellers}
    return all(
        known.get((one.ledger_id, one.order_id), ChangeStatus.ORDERED) != ChangeStatus.ORDERED for one in changing
    )


def all_accepted(plan: ChangePlan, handover: OrderHandover, elements: tuple[ServiceElement, ...]) -> bool:
    """Whether nobody can say no any more, neither the buyer's ledger nor a seller: what one of them does is for all. Req: C-10."""
    is_delivered = handover.status in (HandoverStatus.ACCEPTED, *UNDER_WAY)
    is_accepted = is_open(plan.change) or plan.change.status == ChangeStatus.IMPLEMENTING
    return is_delivered and is_accepted and sellers_known(plan, elements) and not _given_up(plan)


def may_begin(
    plan: ChangePlan, seller: SellerChange, handover: OrderHandover, elements: tuple[ServiceElement, ...]
) -> bool:
    """Whether a seller is to be let begin: all have accepted, and our own change is begun, or the seller's waits for its window.

    Starts go down from tier to tier: what is called off before the first one has touched nothing. Req: C-10, C-11.
    """
    is_begun = plan.change.status == ChangeStatus.IMPLEMENTING
    return (is_begun or seller.change.outage == Outage.YES) and all_accepted(plan, handover, elements)


def waits_needlessly(plan: ChangePlan, seller: SellerChange) -> bool:
    """Whether a seller still waits for a later time than that from which the buyer's change may be made."""
    return is_open(seller.change) and seller.change.implement_at_ms > plan.change.implement_at_ms


def sellers_agreed(plan: ChangePlan, window: tuple[int, int]) -> bool:
    """Whether every seller that must interrupt its part has agreed to do so inside `window`. Req: C-09; X-62."""
    return all(_agreed_inside(one.change, window) for one in plan.sellers if _interrupts(one.change))


def _interrupts(change: ServiceChange) -> bool:
    """Whether it is still to come, and interrupts something."""
    return change.outage == Outage.YES and not change.outcome


def _agreed_inside(change: ServiceChange, window: tuple[int, int]) -> bool:
    own = change.window
    if own is None or change.status not in (ChangeStatus.AGREED, ChangeStatus.IMPLEMENTING):
        return False
    return window[0] <= own.from_ms and own.until_ms <= window[1]


def _consented(plan: ChangePlan, handover: OrderHandover, view: View) -> bool:
    """Whether nothing but time stands before the start. Req: C-09; X-62."""
    change = plan.change
    if not can_be_started(change):
        return False
    if not sellers_known(plan, elements_of(handover.id, view)) or _given_up(plan):
        return False
    window = change.window
    if window is None:
        return not any(_interrupts(one.change) for one in plan.sellers)
    return sellers_agreed(plan, (window.from_ms, window.until_ms))


def _given_up(plan: ChangePlan) -> bool:
    """Whether a seller will not make its part, so that there is nothing to start for."""
    return any(one.change.outcome not in ("", ChangeStatus.DONE) for one in plan.sellers)


def _settled(plan: ChangePlan, call: Call) -> Outcome:
    """Where what is mirrored has brought the plan."""
    handover = require_handover(plan.order_handover_id, call.view)
    change, now_ms = plan.change, call.block.time_ms
    event = "mirror"
    if plan.status in OPEN and change.status in _ENDS:
        event = _ENDS[change.status]
    elif plan.status in (PlanStatus.PLANNED, PlanStatus.AGREED) and change.status == ChangeStatus.IMPLEMENTING:
        event = "begin"
    elif plan.status == PlanStatus.PLANNED and _consented(plan, handover, call.view):
        event = "consent"
    elif plan.status == PlanStatus.AGREED and not _consented(plan, handover, call.view):
        event = "reopen"
    after = replace(plan, status=step(LIFECYCLE, plan.status, event))
    name = "mirrored" if after.status == plan.status else after.status.value
    settled = Outcome(writes=(after,), events=(Event(f"change_plan.{name}", after),))
    if event == "begin" and not plan.awaits_delivery:
        settled = settled.then(_begun(handover, change, now_ms))
    waits = handover.status == HandoverStatus.ACCEPTED and handover.activate_by_ms > 0
    if waits and after.status in (PlanStatus.PLANNED, PlanStatus.AGREED) and _given_up(after):
        # Nobody is interrupted for what can't be done: S-BUS decides about the order at once.
        overdue = stepped(handover, "window_ends", reason=SELLER_FAILED)
        settled = settled.then(Outcome(writes=(overdue,), events=(Event("order_handover.fell_overdue", overdue),)))
    if after.status not in OPEN and plan.status in OPEN:
        settled = settled.then(void_releases(call.view, plan.id, now_ms))
    return settled


# Guards


def _require_plan(plan_id: str, view: View) -> ChangePlan:
    """Rejects with ChangePlanUnknown."""
    plan = view.get(CHANGE_PLAN, plan_id)
    if plan is None:
        raise ChangePlanUnknown("There is no plan of a change with this id.", "plan_id")
    return plan


def _require_role(role: Role, call: Call) -> None:
    """Rejects with RoleMissing."""
    if role not in call.sender.roles:
        raise RoleMissing(f"This is said by a member with the role {role}.", "signer")


def _require_seller(plan: ChangePlan, command: MirrorChange, view: View) -> None:
    """Rejects with NeighbourUnknown. Req: C-07."""
    bought = ordered_by(view, command.ledger_id, command.change.order_id)
    if not any(one.order_handover_id == plan.order_handover_id and one.changes for one in bought):
        raise NeighbourUnknown("No element of this change is ordered there.", "change.order_id")


def _require_inside(plan: ChangePlan, window: tuple[int, int]) -> None:
    """Rejects with WindowAbove, WindowNotInside. Req: C-09."""
    above = window_above(plan)
    if above is None:
        raise WindowAbove("Agree on a window with the buyer first, or answer the one that it proposes.", "from_ms")
    if window[0] < above.from_ms or window[1] > above.until_ms:
        raise WindowNotInside(f"The buyer's window is from {above.from_ms} to {above.until_ms}.", "from_ms")


def _is_upstream(plan: ChangePlan, ledger_id: str, change_id: str) -> bool:
    return (ledger_id, change_id) == (plan.ledger_id, plan.change.id)


def _seller_change(plan: ChangePlan, ledger_id: str, change_id: str) -> SellerChange | None:
    return next((one for one in plan.sellers if (one.ledger_id, one.change.id) == (ledger_id, change_id)), None)


def _with_seller(plan: ChangePlan, seller: SellerChange) -> tuple[SellerChange, ...]:
    """Sorted by ledger and change."""
    others = [one for one in plan.sellers if (one.ledger_id, one.change.id) != (seller.ledger_id, seller.change.id)]
    return tuple(sorted((*others, seller), key=lambda one: (one.ledger_id, one.change.id)))


def _releases(plan: ChangePlan, view: View, status: ReleaseStatus) -> tuple[Release, ...]:
    return tuple(release for release in releases_of(view, plan.id) if release.status == status)


def _is_about(release: Release, ledger_id: str, change_id: str) -> bool:
    """A seller may make several changes on one ledger: the command tells which one."""
    return release.ledger_id == ledger_id and released_command(release).change_id == change_id


def _maintenance(command: ReleaseMaintenance) -> tuple[str, Any]:
    if command.act == MaintenanceAct.DECLINE:
        declined = DeclineMaintenance(change_id=command.change_id, service_id=command.service_id, reason=command.reason)
        return "decline_maintenance", declined
    kind = AgreeMaintenance if command.act == MaintenanceAct.AGREE else ProposeMaintenance
    window = kind(
        change_id=command.change_id,
        service_id=command.service_id,
        from_ms=command.from_ms,
        until_ms=command.until_ms,
    )
    return f"{command.act.value}_maintenance", window


def _terms(plan: ChangePlan) -> Terms:
    return Terms(
        status=plan.status,
        party=words((plan.change.buyer,)),
        service=words((plan.change.service_id, *(one.change.service_id for one in plan.sellers))),
        related=words(
            (
                plan.ledger_id,
                plan.order_handover_id,
                plan.change.id,
                plan.change.order_id,
                *(one.change.id for one in plan.sellers),
            )
        ),
    )


CHANGE_PLAN: Final = Kind(
    name="change_plan",
    prefix="cpl",
    record=ChangePlan,
    terms=_terms,
    lifecycle=LIFECYCLE,
    filters=("status", "party", "service", "related"),
)

CONTRACT: Final = Contract(
    name="internal_change",
    kinds=(CHANGE_PLAN,),
    messages=(
        MessageType(
            name="mirror_change",
            command=MirrorChange,
            handler=mirror_change,
            roles=(Role.S_BUS, Role.B_BUS),
            gas=2_000,
        ),
        MessageType(
            name="release_maintenance",
            command=ReleaseMaintenance,
            handler=release_maintenance,
            roles=(Role.S_BUS, Role.B_BUS),
            gas=500,
        ),
        MessageType(
            name="release_hastening",
            command=ReleaseHastening,
            handler=release_hastening,
            roles=(Role.B_BUS,),
            gas=2_000,
        ),
        MessageType(name="release_start", command=ReleaseStart, handler=release_start, roles=(Role.S_BUS,), gas=500),
    ),
)
