"""An order on the internal ledger: the order as it was handed over, its service elements, and how one moves the other.

O-16 the elements are those of the quote; 11.3 the order's states, 11.4 the elements'; X-15, D-38, D-40 whatever ends an order
gives back what its elements hold; D-13, D-26 a window that ends is a failure; D-21, D-31, X-24 a window that ends makes S-BUS decide.
The transitions stand in orders.py, delivery.py and recovery.py.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum
from fractions import Fraction
from types import MappingProxyType
from typing import Any, Final

from smartcontracts.agreement import PriceType
from smartcontracts.kernel import Deadline, Due, Event, Grpc, Kind, Outcome, Rejected, Terms, View, step
from smartcontracts.trade import Action, ChangeKind, Outage, Price, Term, periods_in_term, words

ELEMENTS_MAX: Final = 128
# An element is replaced at most so often within one order.
REPLACEMENTS_MAX: Final = 6
DOCUMENTS_MAX: Final = ELEMENTS_MAX * (REPLACEMENTS_MAX + 1)
TESTS_MAX: Final = 64
WINDOWS_MAX: Final = 64
PRODUCT_BYTES_MAX: Final = 256 * 1024
PRICES_MAX: Final = 64
VALUES_BYTES_MAX: Final = 16 * 1024
PERFORMANCE_BYTES_MAX: Final = 16 * 1024
# What a message may cost that reads or writes all elements of an order: measured with 128 of them, documents and tree included.
WHOLE_ORDER_GAS: Final = 10_000
ACCEPTANCE_WINDOW_ENDS: Final = "acceptance_window_ends"
ANSWERS_DUE: Final = "answers_due"
WINDOW_ENDS: Final = "window_ends"
TIMEOUT: Final = "TIMEOUT"
TEST_NOT_PASSED: Final = "TEST_NOT_PASSED"
WINDOW_OVER: Final = "WINDOW_OVER"


class HandoverStatus(StrEnum):
    """Stored on the ledger: never rename a value. Register 11.3."""

    CHECKING_INTERNAL = "checking_internal"
    ORDERING_EXTERNAL = "ordering_external"
    ACCEPTED = "accepted"
    TO_REJECT = "to_reject"
    IN_DELIVERY = "in_delivery"
    TO_CHAIN = "to_chain"
    TESTING = "testing"
    TO_ACTIVATE = "to_activate"
    RECOVERY = "recovery"
    OVERDUE = "overdue"
    EXTENSION_REQUESTED = "extension_requested"
    ABANDONING = "abandoning"
    TO_FAIL = "to_fail"
    ACTIVATED = "activated"
    REJECTED = "rejected"
    FAILED = "failed"
    CANCELLED = "cancelled"


class ElementStatus(StrEnum):
    """Stored on the ledger: never rename a value. Register 11.4, and what is on its way to an end."""

    QUOTED_INTERNAL = "quoted_internal"
    QUOTED_EXTERNAL = "quoted_external"
    SOURCING = "sourcing"
    UNDELIVERABLE = "undeliverable"
    AVAILABLE = "available"
    REJECTED = "rejected"
    ACCEPTED = "accepted"
    ACTIVATING = "activating"
    ACTIVATED = "activated"
    ACTIVATION_FAILED = "activation_failed"
    CHAINED = "chained"
    RELEASING = "releasing"
    CANCELLING = "cancelling"
    REPLACED = "replaced"
    RELEASED = "released"
    CANCELLED = "cancelled"
    STRANDED = "stranded"


class Source(StrEnum):
    """Whether an element is made or bought. Stored on the ledger: never rename a value."""

    INTERNAL = "internal"
    EXTERNAL = "external"


class FailureCause(StrEnum):
    """Why an element was not activated. Stored on the ledger: never rename a value. Req: D-13; X-20."""

    NONE = ""
    FAILURE = "failure"
    TIMEOUT = "timeout"


class Decision(StrEnum):
    """What SCO does about a failed element. Stored on the ledger: never rename a value. Req: D-30."""

    NONE = ""
    ALTERNATIVE_INTERNAL = "alternative_internal"
    ALTERNATIVE_EXTERNAL = "alternative_external"
    ABANDON = "abandon"


class WindowCause(StrEnum):
    """Why the order's window is another one. Stored on the ledger: never rename a value. Req: D-43."""

    EXTENSION_GRANTED = "extension_granted"
    BUYER_EXTENDED = "buyer_extended"


_H: Final = HandoverStatus
# Where what happens to the elements moves the order.
DELIVERING: Final = (_H.IN_DELIVERY, _H.TO_CHAIN, _H.RECOVERY)
# Where the service is being worked on, so that a window can end.
UNDER_WAY: Final = (*DELIVERING, _H.TESTING, _H.TO_ACTIVATE)
OPEN: Final = (
    _H.CHECKING_INTERNAL,
    _H.ORDERING_EXTERNAL,
    _H.ACCEPTED,
    _H.TO_REJECT,
    *UNDER_WAY,
    _H.OVERDUE,
    _H.EXTENSION_REQUESTED,
    _H.ABANDONING,
    _H.TO_FAIL,
)
# Of these, where elements move it: once all are active, none of them changes before it is chained.
_MOVING: Final = (_H.IN_DELIVERY, _H.RECOVERY)
_RESUMED: Final = (
    ("resume_delivery", _H.IN_DELIVERY),
    ("resume_recovery", _H.RECOVERY),
    ("resume_chaining", _H.TO_CHAIN),
    ("resume_testing", _H.TESTING),
    ("resume_activation", _H.TO_ACTIVATE),
)

LIFECYCLE: Final = MappingProxyType(
    {
        # Something about it is written down: an element's news, an act that is let out.
        **{(status, "note"): status for status in OPEN},
        (_H.CHECKING_INTERNAL, "all_available"): _H.ORDERING_EXTERNAL,
        (_H.CHECKING_INTERNAL, "all_own"): _H.ACCEPTED,
        (_H.CHECKING_INTERNAL, "reject"): _H.TO_REJECT,
        (_H.ORDERING_EXTERNAL, "all_accepted"): _H.ACCEPTED,
        (_H.ORDERING_EXTERNAL, "reject"): _H.TO_REJECT,
        # The acceptance is on the bilateral ledger although INT had not got there: a person's act.
        (_H.TO_REJECT, "accepted_by_hand"): _H.OVERDUE,
        # Activation is requested; sellers may be done, or have failed, by then.
        **{(status, "go_on"): _H.IN_DELIVERY for status in (_H.ACCEPTED, *_MOVING)},
        **{(status, "all_active"): _H.TO_CHAIN for status in (_H.ACCEPTED, _H.IN_DELIVERY)},
        **{(status, "element_fails"): _H.RECOVERY for status in (_H.ACCEPTED, *_MOVING)},
        (_H.TO_CHAIN, "chain"): _H.TESTING,
        (_H.TESTING, "pass"): _H.TO_ACTIVATE,
        **{(status, "window_ends"): _H.OVERDUE for status in (_H.ACCEPTED, *UNDER_WAY)},
        (_H.RECOVERY, "give_up"): _H.OVERDUE,
        **{(s, "ask_extension"): _H.EXTENSION_REQUESTED for s in (*DELIVERING, _H.TESTING, _H.OVERDUE)},
        (_H.EXTENSION_REQUESTED, "refuse"): _H.OVERDUE,
        **{(s, event): to for s in (_H.EXTENSION_REQUESTED, _H.OVERDUE) for event, to in _RESUMED},
        # Given time unasked, what is under way goes on where it was.
        **{(to, event): to for event, to in _RESUMED},
        (_H.OVERDUE, "abandon"): _H.ABANDONING,
        (_H.RECOVERY, "abandon"): _H.ABANDONING,
        (_H.ABANDONING, "notify"): _H.TO_FAIL,
        # What the order is out there counts, whatever INT was about to do.
        **{
            (s, "end_rejected"): _H.REJECTED
            for s in (_H.CHECKING_INTERNAL, _H.ORDERING_EXTERNAL, _H.ACCEPTED, _H.TO_REJECT)
        },
        # What INT took for rejected, by its own time, a person may have accepted before, and activated since.
        **{(s, "end_activated"): _H.ACTIVATED for s in (*OPEN, _H.REJECTED)},
        **{(s, "end_failed"): _H.FAILED for s in OPEN},
        **{(s, "end_cancelled"): _H.CANCELLED for s in (*OPEN, _H.ACTIVATED)},
    }
)

_E: Final = ElementStatus
FAILED: Final = (_E.ACTIVATION_FAILED, _E.REJECTED, _E.UNDELIVERABLE)
# Where somebody works on an element, or is done.
BEGUN: Final = (_E.ACCEPTED, _E.ACTIVATING, _E.ACTIVATED, _E.CHAINED)
_HELD: Final = (_E.AVAILABLE, _E.ACTIVATING, _E.ACTIVATED, _E.CHAINED, _E.ACTIVATION_FAILED)

ELEMENT_LIFECYCLE: Final = MappingProxyType(
    {
        **{(s, "note"): s for s in (_E.QUOTED_EXTERNAL, _E.ACCEPTED, _E.ACTIVATING, _E.CANCELLING, *FAILED)},
        (_E.QUOTED_INTERNAL, "available"): _E.AVAILABLE,
        (_E.QUOTED_INTERNAL, "reject"): _E.REJECTED,
        (_E.QUOTED_EXTERNAL, "accept"): _E.ACCEPTED,
        (_E.QUOTED_EXTERNAL, "reject"): _E.REJECTED,
        # A replacement's seller works on it at once.
        (_E.QUOTED_EXTERNAL, "accept_replacement"): _E.ACTIVATING,
        (_E.SOURCING, "choose"): _E.QUOTED_EXTERNAL,
        (_E.SOURCING, "find_none"): _E.UNDELIVERABLE,
        (_E.AVAILABLE, "activate"): _E.ACTIVATING,
        (_E.ACCEPTED, "activate"): _E.ACTIVATING,
        (_E.ACTIVATING, "succeed"): _E.ACTIVATED,
        (_E.ACTIVATING, "fail"): _E.ACTIVATION_FAILED,
        (_E.ACTIVATING, "window_ends"): _E.ACTIVATION_FAILED,
        # A seller may be done before anybody else has begun. Req: D-02.
        (_E.ACCEPTED, "succeed"): _E.ACTIVATED,
        (_E.ACCEPTED, "fail"): _E.ACTIVATION_FAILED,
        (_E.ACTIVATED, "chain"): _E.CHAINED,
        **{(s, "give_back"): _E.RELEASING for s in (_E.QUOTED_INTERNAL, *_HELD)},
        **{(s, "cancel"): _E.CANCELLING for s in (_E.QUOTED_EXTERNAL, _E.ACCEPTED, *_HELD[1:])},
        **{(s, "drop"): _E.CANCELLED for s in (_E.QUOTED_EXTERNAL, _E.SOURCING, _E.ACTIVATION_FAILED)},
        **{(s, "replace"): _E.REPLACED for s in (*FAILED, _E.RELEASING, _E.CANCELLING)},
        # Another element has taken its place in the service, or the service has ended with its seller's.
        (_E.CHAINED, "supersede"): _E.REPLACED,
        (_E.CHAINED, "ended"): _E.CANCELLED,
        (_E.RELEASING, "released"): _E.RELEASED,
        (_E.CANCELLING, "ended"): _E.CANCELLED,
        (_E.CANCELLING, "strand"): _E.STRANDED,
        # Its service has ended by a termination: stranded.py, or a person's.
        (_E.STRANDED, "ended"): _E.CANCELLED,
        (_E.STRANDED, "replace"): _E.REPLACED,
        # Its order is out there, though nobody saw it there in time: it is cancelled like any that is not needed.
        **{(s, "surface"): _E.CANCELLING for s in (_E.REJECTED, _E.CANCELLED, _E.REPLACED)},
    }
)


# What an element's having got there is called.
ELEMENT_EVENTS: Final = MappingProxyType(
    {
        _E.QUOTED_INTERNAL: "service_element.queried",
        _E.QUOTED_EXTERNAL: "service_element.to_order",
        _E.SOURCING: "service_element.to_source",
        _E.UNDELIVERABLE: "service_element.undeliverable",
        _E.AVAILABLE: "service_element.available",
        _E.REJECTED: "service_element.rejected",
        _E.ACCEPTED: "service_element.accepted",
        _E.ACTIVATING: "service_element.activating",
        _E.ACTIVATED: "service_element.activated",
        _E.ACTIVATION_FAILED: "service_element.activation_failed",
        _E.CHAINED: "service_element.chained",
        _E.RELEASING: "service_element.to_release",
        _E.CANCELLING: "service_element.to_cancel",
        _E.REPLACED: "service_element.replaced",
        _E.RELEASED: "service_element.released",
        _E.CANCELLED: "service_element.cancelled",
        _E.STRANDED: "service_element.stranded",
    }
)


class OrderHandoverUnknown(Rejected):
    """This ledger has no order handed over under this id."""

    code = 6200
    grpc = Grpc.NOT_FOUND


class ServiceElementUnknown(Rejected):
    """This ledger has no service element with this id."""

    code = 6201
    grpc = Grpc.NOT_FOUND


class ElementOfAnotherOrder(Rejected):
    """The element is of another order, was replaced, or is listed twice."""

    code = 6202
    grpc = Grpc.INVALID_ARGUMENT


class ElementNotInternal(Rejected):
    """The element is bought: its seller makes it, not SOF."""

    code = 6203


class OrderForeign(Rejected):
    """No element of this order is bought by that order or quote."""

    code = 6204
    grpc = Grpc.NOT_FOUND


class AlreadyReleased(Rejected):
    """The act was let out before; it is let out once."""

    code = 6205


class NothingNew(Rejected):
    """The internal ledger knows this already."""

    code = 6206


class ReplacementDiffers(Rejected):
    """The replacement costs more than what it replaces, or promises another service level (X-26)."""

    code = 6207


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainTest:
    """A test of the whole chain, to its downstream end; `values` is canonical JSON. Req: D-19."""

    passed: bool
    values: bytes = field(metadata={"bytes_max": VALUES_BYTES_MAX})
    tested_at_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class HandoverWindow:
    """A change of the order activation window. Req: D-43."""

    old_ms: int
    new_ms: int
    cause: WindowCause
    recorded_at_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderedChange:
    """What an order changes of a service in operation. Nothing of it is activated before `begun_at_ms`. Req: C-05, C-09."""

    change_id: str
    service_id: str
    kind: ChangeKind
    outage: Outage
    outage_ms: int
    implement_at_ms: int
    inventory_service_id: str
    begun_at_ms: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderHandover:
    """Document: a buyer's order as this provider works on it. Req: O-14."""

    id: str
    status: HandoverStatus
    ledger_id: str
    order_id: str
    quote_id: str
    buyer: str
    agreement_id: str
    inquiry_handover_id: str
    assessment_id: str
    handed_over_at_ms: int
    placed_at_ms: int
    accept_by_ms: int
    activation_window_ms: int
    ordering_ms: int = 0
    delivery_ms: int = 0
    activate_by_ms: int = 0
    service_by_ms: int = 0
    chain: tuple[str, ...] = field(default=(), metadata={"list_max": ELEMENTS_MAX})
    chained_at_ms: int = 0
    tests: tuple[ChainTest, ...] = field(default=(), metadata={"list_max": TESTS_MAX})
    reason: str = ""
    service_id: str = ""
    answer_release_id: str = ""
    activation_release_id: str = ""
    extension_release_id: str = ""
    failure_release_id: str = ""
    windows: tuple[HandoverWindow, ...] = field(default=(), metadata={"list_max": WINDOWS_MAX})
    extension_refused: bool = False
    ended_at_ms: int = 0
    change: OrderedChange | None = None
    # Where several sellers change something together: the last millisecond in which their answers count; else 0.
    answers_by_ms: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class DownstreamExtension:
    """A seller's open request for a later end of its order's window. Req: D-43."""

    activate_by_ms: int
    answer_by_ms: int
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceElement:
    """Document: one element of an order, made or bought. Req: O-16, D-09."""

    id: str
    status: ElementStatus
    order_handover_id: str
    element_id: str
    place: int
    item_ids: tuple[str, ...]
    offering: str
    product: bytes = field(metadata={"bytes_max": PRODUCT_BYTES_MAX})
    term: Term | None = None
    action: Action
    lineage_id: str
    source: Source
    reservation_id: str = ""
    ledger_id: str = ""
    seller: str = ""
    quote_id: str = ""
    order_id: str = ""
    service_id: str = ""
    cost: tuple[Price, ...] = field(default=(), metadata={"list_max": PRICES_MAX})
    sourcing_id: str = ""
    order_release_id: str = ""
    cancel_release_id: str = ""
    window_release_id: str = ""
    extension_release_id: str = ""
    activate_by_ms: int = 0
    wanted_by_ms: int = 0
    extension: DownstreamExtension | None = None
    answered_at_ms: int = 0
    activated_at_ms: int = 0
    reason: str = ""
    cause: FailureCause = FailureCause.NONE
    decision: Decision = Decision.NONE
    replaces: str = ""
    replaced_by: str = ""
    tries: int = 0
    ended_at_ms: int = 0
    hold_until_ms: int = 0
    performance: bytes = field(default=b"", metadata={"bytes_max": PERFORMANCE_BYTES_MAX})
    query_id: str = ""
    # With modify and delete: the reservation or the seller's service that is in operation for it.
    changes: str = ""


# Reading


def require_handover(handover_id: str, view: View) -> OrderHandover:
    """Rejects with OrderHandoverUnknown. Req: D-11."""
    found = view.get(ORDER_HANDOVER, handover_id)
    if found is None:
        raise OrderHandoverUnknown("There is no order handed over under this id.", "order_handover_id")
    return found


def require_element(element_id: str, view: View) -> ServiceElement:
    """Rejects with ServiceElementUnknown. Req: D-09."""
    found = view.get(SERVICE_ELEMENT, element_id)
    if found is None:
        raise ServiceElementUnknown("There is no service element with this id.", "element_id")
    return found


def elements_of(handover_id: str, view: View) -> tuple[ServiceElement, ...]:
    """All elements of an order, replaced ones too, in topology order."""
    return in_order(view.find(SERVICE_ELEMENT, "related", handover_id, DOCUMENTS_MAX))


def in_order(elements: tuple[ServiceElement, ...]) -> tuple[ServiceElement, ...]:
    """By place, then by id."""
    return tuple(sorted(elements, key=lambda element: (element.place, element.id)))


def current(elements: tuple[ServiceElement, ...]) -> tuple[ServiceElement, ...]:
    """The elements that nothing replaces: what the service is to be made of."""
    return tuple(element for element in elements if not element.replaced_by)


def bought_by_order(elements: tuple[ServiceElement, ...], ledger_id: str, order_id: str) -> tuple[ServiceElement, ...]:
    """The elements that one order buys. Rejects with OrderForeign."""
    bought = tuple(one for one in elements if order_id and one.ledger_id == ledger_id and one.order_id == order_id)
    if not bought:
        raise OrderForeign("No element of this order is bought by that one.", "order_id")
    return bought


def ordered_by(view: View, ledger_id: str, order_id: str) -> tuple[ServiceElement, ...]:
    """The elements of any order here that this order on a seller's ledger buys, sorted by id."""
    return view.find(SERVICE_ELEMENT, "keys", order_key(ledger_id, order_id), ELEMENTS_MAX) if order_id else ()


def merged(elements: tuple[ServiceElement, ...], changed: tuple[ServiceElement, ...]) -> tuple[ServiceElement, ...]:
    """`elements` with those of the same id replaced, and new ones added; in topology order."""
    by_id = {element.id: element for element in (*elements, *changed)}
    return in_order(tuple(by_id.values()))


# Moving


def end_of(handover: OrderHandover) -> int:
    """The window that what serves the order must fit: the service's, while SCO has set it."""
    return handover.service_by_ms or handover.activate_by_ms


def moved(element: ServiceElement, event: str, **changes: Any) -> ServiceElement:
    """The element after `event`. Rejects with WrongStatus."""
    return replace(element, status=step(ELEMENT_LIFECYCLE, element.status, event), **changes)


def stepped(handover: OrderHandover, event: str, **changes: Any) -> OrderHandover:
    """The order after `event`. Rejects with WrongStatus."""
    return replace(handover, status=step(LIFECYCLE, handover.status, event), **changes)


def advance(handover: OrderHandover, elements: tuple[ServiceElement, ...]) -> OrderHandover:
    """Where the elements have brought an order that is being delivered; any other stays as it is. Req: D-17, D-30."""
    return delivering(handover, elements) if handover.status in _MOVING else handover


def delivering(handover: OrderHandover, elements: tuple[ServiceElement, ...]) -> OrderHandover:
    """An order in delivery, by how far its elements are. Rejects with WrongStatus."""
    statuses = tuple(element.status for element in current(elements))
    if any(status in FAILED for status in statuses):
        return stepped(handover, "element_fails")
    if all(status in (_E.ACTIVATED, _E.CHAINED) for status in statuses):
        return stepped(handover, "all_active")
    return stepped(handover, "go_on")


def resumed(handover: OrderHandover, elements: tuple[ServiceElement, ...], **changes: Any) -> OrderHandover:
    """Where an order goes on with the time it has been given. Req: D-41."""
    statuses = tuple(element.status for element in current(elements))
    if any(status in FAILED for status in statuses):
        return stepped(handover, "resume_recovery", **changes)
    if any(status not in (_E.ACTIVATED, _E.CHAINED) for status in statuses):
        return stepped(handover, "resume_delivery", **changes)
    if not handover.chain:
        return stepped(handover, "resume_chaining", **changes)
    passed = any(test.passed for test in handover.tests)
    return stepped(handover, "resume_activation" if passed else "resume_testing", **changes)


def freed(element: ServiceElement, time_ms: int) -> ServiceElement | None:
    """The element on its way to an end that leaves nothing held and nothing ordered; None if it is there. Req: D-38, D-40."""
    is_internal = element.source == Source.INTERNAL
    if is_internal and (element.status, "give_back") in ELEMENT_LIFECYCLE:
        return moved(element, "give_back", ended_at_ms=time_ms)
    if is_internal or (element.status, "cancel") not in ELEMENT_LIFECYCLE:
        return moved(element, "drop", ended_at_ms=time_ms) if element.status == _E.SOURCING else None
    ended_there = element.status == _E.ACTIVATION_FAILED and element.cause == FailureCause.FAILURE
    if not element.order_release_id or ended_there:
        return moved(element, "drop", ended_at_ms=time_ms)
    # Whether its order is out there yet or not: what was let out is carried, and then cancelled.
    return moved(element, "cancel", extension=None, ended_at_ms=time_ms)


def unmade(elements: tuple[ServiceElement, ...], time_ms: int) -> tuple[ServiceElement, ...]:
    """What has not been begun, or has failed, of an order that a person has fulfilled by hand, on its way to an end. Req: D-38, D-40; X-15.

    What is being worked on stays: its seller or SOF may be done, though nobody has heard of it yet.
    """
    return free_all(tuple(one for one in elements if one.status not in BEGUN), time_ms)


def free_all(elements: tuple[ServiceElement, ...], time_ms: int) -> tuple[ServiceElement, ...]:
    """The elements of an order that ends, as far as it changes them. Req: D-38, D-40; X-15."""
    return tuple(after for element in elements if (after := freed(element, time_ms)) is not None)


def outcome(handover: OrderHandover, event: str, elements: tuple[ServiceElement, ...] = ()) -> Outcome:
    """The order and its changed elements, with the order's event first and one for each element."""
    events = (Event(event, handover), *(Event(ELEMENT_EVENTS[element.status], element) for element in elements))
    return Outcome(writes=(handover, *elements), events=events)


def total_cost(cost: tuple[Price, ...], term: Term | None) -> Fraction:
    """One-time and recurring prices over the term, in billionths of the major unit; without a term, of one period."""
    total = Fraction(0)
    for price in cost:
        if price.price_type == PriceType.NON_RECURRING:
            total += price.rate.nano
        elif price.price_type == PriceType.RECURRING:
            total += price.rate.nano * (Fraction(1) if term is None else periods_in_term(term, price))
    return total


def costs_more(cost: tuple[Price, ...], than: tuple[Price, ...], term: Term | None) -> bool:
    """Whether `cost` is in another currency, higher over the term, or higher for any unit of usage. X-26."""
    allowed = {price.unit: price.rate.nano for price in than if price.price_type == PriceType.USAGE_BASED}
    currencies = tuple(dict.fromkeys(price.rate.currency for price in (*than, *cost)))
    if len(currencies) > 1 or total_cost(cost, term) > total_cost(than, term):
        return True
    return any(
        price.rate.nano > allowed.get(price.unit, 0) for price in cost if price.price_type == PriceType.USAGE_BASED
    )


# Deadlines


def time_out(handover: OrderHandover, due: Due) -> Outcome:
    """The acceptance window has ended before all elements were accepted: the buyer's ledger rejects by itself. Req: O-29, O-31."""
    elements = elements_of(handover.id, due.view)
    rejected = stepped(handover, "end_rejected", reason=TIMEOUT, ended_at_ms=due.due_ms)
    return outcome(rejected, "order_handover.rejected", free_all(elements, due.due_ms))


def miss_answers(handover: OrderHandover, due: Due) -> Outcome:
    """Of several sellers of a change not all have accepted in time: none of them is to make it. Req: O-29; X-15."""
    elements = elements_of(handover.id, due.view)
    rejected = stepped(handover, "reject", reason=TIMEOUT)
    return outcome(rejected, "order_handover.to_reject", free_all(elements, due.due_ms))


def become_overdue(handover: OrderHandover, _: Due) -> Outcome:
    """A window has ended: SCO has no positive report in time, which S-BUS has to decide about. Req: D-21, D-31; X-24."""
    reason = TEST_NOT_PASSED if handover.status == _H.TESTING else WINDOW_OVER
    overdue = stepped(handover, "window_ends", reason=reason)
    return outcome(overdue, "order_handover.fell_overdue")


def miss_window(element: ServiceElement, due: Due) -> Outcome:
    """An internal element is not activated inside its window. Req: D-13, D-26."""
    failed = moved(
        element, "window_ends", cause=FailureCause.TIMEOUT, reason=TIMEOUT, extension=None, ended_at_ms=due.due_ms
    )
    handover = require_handover(element.order_handover_id, due.view)
    after = advance(handover, merged(elements_of(handover.id, due.view), (failed,)))
    return outcome(after, "order_handover.progressed", (failed,))


def _handover_deadlines(handover: OrderHandover) -> tuple[Deadline, ...]:
    if handover.status in (_H.CHECKING_INTERNAL, _H.ORDERING_EXTERNAL):
        answers = (Deadline(handover.answers_by_ms, ANSWERS_DUE),) if _is_awaiting(handover) else ()
        return (*answers, Deadline(handover.accept_by_ms, ACCEPTANCE_WINDOW_ENDS))
    window_ms = end_of(handover)
    # An activation that is let out is the bilateral ledger's to judge.
    if window_ms and handover.status in (_H.ACCEPTED, *DELIVERING, _H.TESTING):
        return (Deadline(window_ms, WINDOW_ENDS),)
    return ()


def _is_awaiting(handover: OrderHandover) -> bool:
    """Whether sellers must have answered before we must."""
    return 0 < handover.answers_by_ms < handover.accept_by_ms


def _element_deadlines(element: ServiceElement) -> tuple[Deadline, ...]:
    # The window of a bought element is its order's, which ends on that ledger, by that ledger's time. X-20.
    if element.source == Source.INTERNAL and element.status == _E.ACTIVATING:
        return (Deadline(element.activate_by_ms, WINDOW_ENDS),)
    return ()


def _handover_terms(handover: OrderHandover) -> Terms:
    return Terms(
        status=handover.status,
        party=words((handover.buyer,)),
        service=words((handover.service_id,)),
        related=words(
            (
                handover.ledger_id,
                handover.order_id,
                handover.quote_id,
                handover.inquiry_handover_id,
                handover.assessment_id,
            )
        ),
        keys=(order_key(handover.ledger_id, handover.order_id),),
    )


def _element_terms(element: ServiceElement) -> Terms:
    return Terms(
        status=element.status,
        party=words((element.seller,)),
        offering=words((element.offering,)),
        service=words((element.service_id,)),
        related=words((element.order_handover_id, element.quote_id, element.order_id, element.sourcing_id)),
        keys=(order_key(element.ledger_id, element.order_id),) if element.order_id else (),
    )


def order_key(ledger_id: str, order_id: str) -> str:
    """The index word of an order on a bilateral ledger."""
    return f"{ledger_id}/{order_id}"


# Keys: "<ledger id>/<order id>" of the buyer's order.
ORDER_HANDOVER: Final = Kind(
    name="order_handover",
    prefix="oho",
    record=OrderHandover,
    terms=_handover_terms,
    deadlines=_handover_deadlines,
    on_deadline=MappingProxyType(
        {ACCEPTANCE_WINDOW_ENDS: time_out, ANSWERS_DUE: miss_answers, WINDOW_ENDS: become_overdue}
    ),
    lifecycle=LIFECYCLE,
    filters=("status", "party", "service", "related"),
)

# Keys: "<ledger id>/<order id>" of the order by which it is bought.
SERVICE_ELEMENT: Final = Kind(
    name="service_element",
    prefix="sel",
    record=ServiceElement,
    terms=_element_terms,
    deadlines=_element_deadlines,
    on_deadline=MappingProxyType({WINDOW_ENDS: miss_window}),
    lifecycle=ELEMENT_LIFECYCLE,
    filters=("status", "party", "offering", "service", "related"),
)
