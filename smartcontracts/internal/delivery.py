"""Delivery: an accepted order inside its seller: elements are activated, chained and tested, and the activation is let out.

D-02, O-27 nothing is activated before every element is accepted, and then in any order; D-25, X-22 SCO gives each internal
element a window inside the service's, which is inside the order's; D-07, D-12, D-13 SOF reports each, D-15, D-16, D-28 B-BUS each
bought one; D-18 all are chained in topology order; D-19..D-21, X-25 the chain is tested to its end, inside the service window;
D-22 only then "Order Activated" goes out.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Final

from smartcontracts.canonical_json import require_canonical
from smartcontracts.delivery import ActivateOrder
from smartcontracts.internal.change import ending_of
from smartcontracts.internal.elements import (
    DELIVERING,
    ELEMENTS_MAX,
    FAILED,
    ORDER_HANDOVER,
    TESTS_MAX,
    TIMEOUT,
    VALUES_BYTES_MAX,
    WHOLE_ORDER_GAS,
    AlreadyReleased,
    ChainTest,
    ElementNotInternal,
    ElementOfAnotherOrder,
    ElementStatus,
    FailureCause,
    HandoverStatus,
    NothingNew,
    OrderHandover,
    ServiceElement,
    Source,
    advance,
    bought_by_order,
    current,
    delivering,
    elements_of,
    end_of,
    merged,
    moved,
    outcome,
    require_element,
    require_handover,
    stepped,
)
from smartcontracts.internal.release import open_release, opened
from smartcontracts.kernel import Call, Contract, Grpc, MessageType, Outcome, Rejected, Role, WrongStatus
from smartcontracts.trade import require_reason

SALT_BYTES: Final = 32
_BEFORE: Final = (
    HandoverStatus.CHECKING_INTERNAL,
    HandoverStatus.ORDERING_EXTERNAL,
    HandoverStatus.TO_REJECT,
    HandoverStatus.REJECTED,
)
# What was activated, whether it is chained already or not.
_ACTIVE: Final = (ElementStatus.ACTIVATED, ElementStatus.CHAINED)


class ActivationOutcome(StrEnum):
    """Stored on the ledger: never rename a value."""

    ACTIVATED = "activated"
    FAILED = "failed"


class NotAccepted(Rejected):
    """Not every element is accepted, or the buyer's ledger does not have the acceptance yet (D-01, O-27)."""

    code = 6220


class ActivationRequested(Rejected):
    """The activation was requested before, and no element has come in since."""

    code = 6221


class WindowMissing(Rejected):
    """An internal element has no window in the request (D-25)."""

    code = 6222
    grpc = Grpc.INVALID_ARGUMENT


class WindowsUnordered(Rejected):
    """Windows must lie inside each other: element, service, order; and in the future (X-22)."""

    code = 6223
    grpc = Grpc.INVALID_ARGUMENT


class ActivationNotRequested(Rejected):
    """SCO has not requested this element's activation (O-27)."""

    code = 6224


class ElementActivated(Rejected):
    """The element was activated before; it is activated once."""

    code = 6225


class ElementWindowOver(Rejected):
    """The element's window has ended, which was its failure (D-26)."""

    code = 6226


class ChainIncomplete(Rejected):
    """The chain lacks an element (D-18)."""

    code = 6227
    grpc = Grpc.INVALID_ARGUMENT


class ChainOrderWrong(Rejected):
    """The chain is not in topology order (D-18)."""

    code = 6228
    grpc = Grpc.INVALID_ARGUMENT


class TooManyTests(Rejected):
    """The chain was tested as often as one order takes."""

    code = 6229


class ChangeNotBegun(Rejected):
    """The order is of a change that is not started on its ledger: consents or the time may be missing (C-09, C-10)."""

    code = 6411


@dataclass(frozen=True, slots=True, kw_only=True)
class ElementWindow:
    """The last millisecond in which an element can be activated."""

    element_id: str
    activate_by_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestActivation:
    """SCO has all internal elements that are available activated. Req: O-27, D-25."""

    order_handover_id: str
    service_by_ms: int
    elements: tuple[ElementWindow, ...] = field(default=(), metadata={"list_max": ELEMENTS_MAX})


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportActivation:
    """SOF's report on one element. Req: D-12, D-13."""

    element_id: str
    outcome: ActivationOutcome
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordActivation:
    """B-BUS's report on an order placed for elements; `cause` of a failure. Req: D-15, D-16."""

    order_handover_id: str
    ledger_id: str
    order_id: str
    outcome: ActivationOutcome
    reason: str = ""
    service_id: str = ""
    cause: FailureCause = FailureCause.NONE


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainElements:
    """SCO chains all elements, in topology order. Req: D-18."""

    order_handover_id: str
    element_ids: tuple[str, ...] = field(metadata={"list_max": ELEMENTS_MAX})


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordTest:
    """What a test of the chain found; `values` is canonical JSON. Req: D-19."""

    order_handover_id: str
    passed: bool
    values: bytes = field(metadata={"bytes_max": VALUES_BYTES_MAX})


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseActivation:
    """Let "Order Activated" out. Req: D-22."""

    order_handover_id: str
    salt: bytes = field(metadata={"bytes_max": SALT_BYTES})


def request_activation(command: RequestActivation, call: Call) -> Outcome:
    """Activate every internal element that is available, each in its window. Req: O-27, D-02, D-25; X-14, X-22.

    Rejects with the first of: OrderHandoverUnknown, NotAccepted, WrongStatus, ChangeNotBegun, ActivationRequested,
    ElementOfAnotherOrder, WindowMissing, WindowsUnordered.
    """
    handover = require_handover(command.order_handover_id, call.view)
    if handover.status in _BEFORE or (handover.status == HandoverStatus.ACCEPTED and not handover.activate_by_ms):
        raise NotAccepted("The order is not accepted, here and on its own ledger.", "order_handover_id")
    if handover.status not in (HandoverStatus.ACCEPTED, *DELIVERING):
        raise WrongStatus(f"The order is {handover.status}; nothing is activated for it.", "status")
    if handover.change is not None and not handover.change.begun_at_ms:
        raise ChangeNotBegun("Nothing is changed before the change is started on its ledger.", "order_handover_id")
    elements = elements_of(handover.id, call.view)
    waiting = tuple(one for one in current(elements) if one.status == ElementStatus.AVAILABLE)
    if handover.status != HandoverStatus.ACCEPTED and not waiting:
        raise ActivationRequested("Every element has been requested.", "order_handover_id")
    windows = windows_of(command.elements, tuple(one.id for one in waiting))
    for element in waiting:
        if element.id not in windows:
            raise WindowMissing(f"Give a window to the element {element.id}.", "elements")
    require_ordered(handover, command.service_by_ms, windows, elements, call.block.time_ms)
    started = tuple(moved(element, "activate", activate_by_ms=windows[element.id]) for element in waiting)
    # Those that were bought are worked on by their sellers since they accepted.
    bought = tuple(moved(one, "activate") for one in current(elements) if one.status == ElementStatus.ACCEPTED)
    requested = replace(handover, service_by_ms=command.service_by_ms)
    after = delivering(requested, merged(elements, (*started, *bought)))
    return outcome(after, "order_handover.activation_requested", (*started, *bought))


def windows_of(given: tuple[ElementWindow, ...], allowed: tuple[str, ...]) -> dict[str, int]:
    """Windows by element. Rejects with ElementOfAnotherOrder."""
    windows: dict[str, int] = {}
    for place, window in enumerate(given):
        if window.element_id not in allowed or window.element_id in windows:
            raise ElementOfAnotherOrder(
                "Name elements of this order that wait, each once.", f"elements[{place}].element_id"
            )
        windows[window.element_id] = window.activate_by_ms
    return windows


def require_ordered(
    handover: OrderHandover,
    service_by_ms: int,
    windows: dict[str, int],
    elements: tuple[ServiceElement, ...],
    now_ms: int,
) -> None:
    """Element <= service <= order, bought elements too. Rejects with WindowsUnordered. Req: D-25; X-22."""
    if not now_ms < service_by_ms <= handover.activate_by_ms:
        raise WindowsUnordered(
            f"The service window must end in the future, at {handover.activate_by_ms} at the latest.", "service_by_ms"
        )
    for element in current(elements):
        is_bought = element.source == Source.EXTERNAL and element.status in (
            ElementStatus.ACCEPTED,
            ElementStatus.ACTIVATING,
        )
        by_ms = windows.get(element.id, element.activate_by_ms if is_bought else 0)
        if by_ms > service_by_ms or (element.id in windows and by_ms <= now_ms):
            raise WindowsUnordered(
                f"The window of the element {element.id} must end in the future, and inside the service's.", "elements"
            )


def report_activation(command: ReportActivation, call: Call) -> Outcome:
    """SOF says that an internal element is in operation, or will not be. Req: D-07, D-08, D-12, D-13.

    Rejects with the first of: ServiceElementUnknown, ElementNotInternal, ElementActivated, ActivationNotRequested,
    ElementWindowOver, WrongStatus, ReasonInvalid.
    """
    element = require_element(command.element_id, call.view)
    if element.source != Source.INTERNAL:
        raise ElementNotInternal("Its seller activates this element.", "element_id")
    if element.status in _ACTIVE:
        raise ElementActivated("This element was activated before.", "element_id")
    if element.status in (ElementStatus.QUOTED_INTERNAL, ElementStatus.AVAILABLE):
        raise ActivationNotRequested("SCO has not requested the activation of this element.", "element_id")
    late = element.status == ElementStatus.ACTIVATION_FAILED and element.cause == FailureCause.TIMEOUT
    if late or (element.status == ElementStatus.ACTIVATING and call.block.time_ms > element.activate_by_ms):
        raise ElementWindowOver(f"The element could be activated until {element.activate_by_ms}.", "element_id")
    now_ms = call.block.time_ms
    if command.outcome == ActivationOutcome.ACTIVATED:
        reported = moved(element, "succeed", activated_at_ms=now_ms, extension=None)
    else:
        reported = moved(
            element, "fail", cause=FailureCause.FAILURE, reason=command.reason, extension=None, ended_at_ms=now_ms
        )
        require_reason(command.reason)
    return _progressed(require_handover(element.order_handover_id, call.view), (reported,), call)


def record_activation(command: RecordActivation, call: Call) -> Outcome:
    """B-BUS maps "Order Activated" or "Order Failed" of a seller, or the end of its window, to elements. Req: D-14..D-16, D-28; X-19, X-20.

    Rejects with the first of: OrderHandoverUnknown, OrderForeign, NothingNew, WrongStatus.
    """
    handover = require_handover(command.order_handover_id, call.view)
    bought = bought_by_order(elements_of(handover.id, call.view), command.ledger_id, command.order_id)
    if command.outcome == ActivationOutcome.ACTIVATED:
        if all(element.status in _ACTIVE for element in bought):
            raise NothingNew("It is known that these elements are active.", "order_id")
        reported = tuple(
            moved(
                element,
                "succeed",
                activated_at_ms=call.block.time_ms,
                service_id=command.service_id or element.service_id,
                extension=None,
            )
            for element in bought
        )
        return _progressed(handover, reported, call)
    cause = command.cause or FailureCause.FAILURE
    if all(element.status in FAILED for element in bought):
        return _ended_there(handover, bought, cause)
    failed = tuple(
        moved(
            element,
            "fail",
            cause=cause,
            reason=command.reason or TIMEOUT,
            extension=None,
            ended_at_ms=call.block.time_ms,
        )
        for element in bought
    )
    return _progressed(handover, failed, call)


def _ended_there(handover: OrderHandover, bought: tuple[ServiceElement, ...], cause: FailureCause) -> Outcome:
    """The seller gives up an order whose window had ended: nothing is left there to cancel. Rejects with NothingNew."""
    late = tuple(element for element in bought if element.cause == FailureCause.TIMEOUT)
    if cause != FailureCause.FAILURE or not late:
        raise NothingNew("It is known that these elements have failed.", "order_id")
    return outcome(handover, "order_handover.progressed", tuple(replace(element, cause=cause) for element in late))


def _progressed(handover: OrderHandover, changed: tuple[ServiceElement, ...], call: Call) -> Outcome:
    after = advance(handover, merged(elements_of(handover.id, call.view), changed))
    return outcome(after, "order_handover.progressed", changed)


def chain_elements(command: ChainElements, call: Call) -> Outcome:
    """Chain all elements, once all are active. Req: D-03, D-18.

    Rejects with the first of: OrderHandoverUnknown, WrongStatus, ElementOfAnotherOrder, ChainIncomplete, ChainOrderWrong.
    """
    handover = require_handover(command.order_handover_id, call.view)
    chained = stepped(handover, "chain", chain=command.element_ids, chained_at_ms=call.block.time_ms)
    elements = current(elements_of(handover.id, call.view))
    order = tuple(element.id for element in elements)
    seen: dict[str, None] = {}
    for place, element_id in enumerate(command.element_ids):
        if element_id not in order or element_id in seen:
            raise ElementOfAnotherOrder("Name elements of this order, each once.", f"element_ids[{place}]")
        seen[element_id] = None
    if len(seen) < len(order):
        missing = ", ".join(element_id for element_id in order if element_id not in seen)
        raise ChainIncomplete(f"The chain lacks {missing}.", "element_ids")
    if command.element_ids != order:
        raise ChainOrderWrong("Name each element after those that it depends on.", "element_ids")
    parts = tuple(moved(element, "chain") for element in elements if element.status == ElementStatus.ACTIVATED)
    return outcome(chained, "order_handover.chained", parts)


def record_test(command: RecordTest, call: Call) -> Outcome:
    """Write down a test of the whole chain; after a failed one there may be others while the window is open. Req: D-19..D-21; X-25.

    Rejects with the first of: OrderHandoverUnknown, WrongStatus, TooManyTests, what is wrong with the JSON.
    """
    handover = require_handover(command.order_handover_id, call.view)
    if handover.status != HandoverStatus.TESTING:
        raise WrongStatus(f"The order is {handover.status}; only a chain is tested.", "status")
    # As once its deadline has run.
    if call.block.time_ms > end_of(handover):
        raise WrongStatus(f"The chain could be tested until {end_of(handover)}.", "status")
    if len(handover.tests) >= TESTS_MAX:
        raise TooManyTests(f"A chain is tested at most {TESTS_MAX} times.", "order_handover_id")
    require_canonical(command.values, "values")
    test = ChainTest(passed=command.passed, values=command.values, tested_at_ms=call.block.time_ms)
    tested = replace(handover, tests=(*handover.tests, test))
    if not command.passed:
        return outcome(tested, "order_handover.test_failed")
    return outcome(stepped(tested, "pass"), "order_handover.test_passed")


def release_activation(command: ReleaseActivation, call: Call) -> Outcome:
    """Let "Order Activated" out, after the test; of a change, that it is done. Req: D-19, D-20, D-22, C-11.

    Rejects with the first of: OrderHandoverUnknown, WrongStatus, AlreadyReleased, SaltInvalid.
    """
    handover = require_handover(command.order_handover_id, call.view)
    if handover.status != HandoverStatus.TO_ACTIVATE:
        raise WrongStatus(f"The order is {handover.status}; its chain has not passed its test.", "status")
    if handover.activation_release_id:
        raise AlreadyReleased("The activation is out.", "order_handover_id", existing_id=handover.activation_release_id)
    act, record = ending_of(handover) or ("activate_order", ActivateOrder(order_id=handover.order_id))
    release = open_release(
        call,
        0,
        role=Role.S_BUS,
        act=act,
        ledger_id=handover.ledger_id,
        subject_kind=ORDER_HANDOVER.name,
        subject_id=handover.id,
        command_record=record,
        salt=command.salt,
    )
    activating = replace(handover, activation_release_id=release.id)
    return outcome(activating, "order_handover.activation_released").then(opened(release))


CONTRACT: Final = Contract(
    name="internal_delivery",
    messages=(
        MessageType(
            name="request_activation",
            command=RequestActivation,
            handler=request_activation,
            roles=(Role.SCO,),
            gas=WHOLE_ORDER_GAS,
        ),
        MessageType(
            name="report_activation",
            command=ReportActivation,
            handler=report_activation,
            roles=(Role.SOF,),
            gas=1_000,
        ),
        MessageType(
            name="record_activation",
            command=RecordActivation,
            handler=record_activation,
            roles=(Role.B_BUS,),
            gas=WHOLE_ORDER_GAS,
        ),
        MessageType(
            name="chain_elements", command=ChainElements, handler=chain_elements, roles=(Role.SCO,), gas=WHOLE_ORDER_GAS
        ),
        MessageType(name="record_test", command=RecordTest, handler=record_test, roles=(Role.SCO, Role.SOF)),
        MessageType(
            name="release_activation", command=ReleaseActivation, handler=release_activation, roles=(Role.S_BUS,)
        ),
    ),
)
