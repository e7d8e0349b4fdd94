"""Order: a buyer's order inside its seller, from S-BUS's handover to the answer; all elements are accepted, or none.

O-13..O-16 S-BUS hands over, and the elements are those of the quote; O-17, O-18, O-20 SOF confirms each internal one, and one
rejection rejects the order; O-21, O-22 only then orders go to sellers, by the quotes that were chosen; O-23, O-25, O-26, X-14 all
accepted is "Order Accepted"; O-29, X-15 one rejection or the window's end rejects it, and what siblings hold is given back;
O-28, O-30 S-BUS's answer is what the state says; O-33, X-17 sellers get the buyer's window less the time that is kept. What the
order is on its own ledger is mirrored here, whoever did it. Register 11.3, 11.4.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, Final

from smartcontracts.ids import derive_id
from smartcontracts.internal.assessment import ASSESSMENT, Choice
from smartcontracts.internal.change import (
    ChangeNotOurs,
    change_down,
    has_room,
    leaves_time,
    ordered_change,
    planned,
    sellers_times,
    service_after,
    service_delivered,
)
from smartcontracts.internal.decomposition import DECOMPOSITION, SOF_QUERY, Element, decomposition_id
from smartcontracts.internal.elements import (
    DELIVERING,
    ELEMENT_EVENTS,
    ELEMENTS_MAX,
    ORDER_HANDOVER,
    PRICES_MAX,
    SERVICE_ELEMENT,
    WHOLE_ORDER_GAS,
    WINDOW_OVER,
    AlreadyReleased,
    ElementNotInternal,
    ElementOfAnotherOrder,
    ElementStatus,
    HandoverStatus,
    NothingNew,
    OrderForeign,
    OrderHandover,
    ReplacementDiffers,
    ServiceElement,
    Source,
    advance,
    costs_more,
    elements_of,
    end_of,
    free_all,
    merged,
    moved,
    outcome,
    require_handover,
    stepped,
    unmade,
)
from smartcontracts.internal.handover import INQUIRY_HANDOVER, InquiryHandover
from smartcontracts.internal.handover import HandoverStatus as InquiryStatus
from smartcontracts.internal.inventory import (
    INVENTORY_SERVICE,
    InventoryStatus,
    inventory_id_of,
    inventory_of,
    terminate,
)
from smartcontracts.internal.release import open_release, opened, outward_id
from smartcontracts.internal.sourcing import RECEIVED_QUOTE, ReceivedQuote
from smartcontracts.kernel import (
    AlreadyDone,
    Call,
    Contract,
    Event,
    Grpc,
    MessageType,
    Outcome,
    Rejected,
    Role,
    View,
    WrongStatus,
)
from smartcontracts.order import ORDER, AcceptOrder, PlaceOrder, RejectOrder
from smartcontracts.pricing import require_price_form
from smartcontracts.service import ServiceChange
from smartcontracts.trade import Price, WindowTooShort, require_reason, require_time

WINDOW_TOO_SHORT: Final = "WINDOW_TOO_SHORT"
ELEMENT_REJECTED: Final = "ELEMENT_REJECTED"
NOT_CHAINABLE: Final = "NOT_CHAINABLE"
SERVICE_FULL: Final = "SERVICE_FULL"
ACCEPTED_BY_HAND: Final = "ACCEPTED_BY_HAND"
DELIVERY_INFO_BYTES_MAX: Final = 4_096
SALT_BYTES: Final = 32
# In recovery this part of the time left is for a seller's acceptance,
ACCEPTANCE_SHARE: Final = 4
# and this part is kept: its order is still to be carried, and the chain to be tested after it.
KEPT_SHARE: Final = 8


class Availability(StrEnum):
    """SOF's two answers. Stored on the ledger: never rename a value. Req: O-18."""

    AVAILABLE = "available"
    REJECTED = "rejected"


class OrderAnswer(StrEnum):
    """A seller's two answers. Stored on the ledger: never rename a value. Req: O-24; X-13."""

    ACCEPTED = "accepted"
    REJECTED = "rejected"


class Upstream(StrEnum):
    """What can be news of an order on its own ledger. Stored on the ledger: never rename a value."""

    ACCEPTED = "accepted"
    REJECTED = "rejected"
    ACTIVATED = "activated"
    OVERDUE = "overdue"
    FAILED = "failed"
    CANCELLED = "cancelled"


class QuoteNotOurs(Rejected):
    """No inquiry was handed over that this quote answers, so nothing says what it is made of (O-16)."""

    code = 6210


class QuoteNotAssessed(Rejected):
    """The elements behind the quote are not known yet."""

    code = 6211


class InternalsNotAvailable(Rejected):
    """SOF has not said of every internal element that it is available (O-21)."""

    code = 6212


class ReservationMissing(Rejected):
    """SOF says that an element is available, and nothing is reserved for it."""

    code = 6213
    grpc = Grpc.INVALID_ARGUMENT


class CostMissing(Rejected):
    """A replacement needs its cost, to compare it with what it replaces (X-26)."""

    code = 6214
    grpc = Grpc.INVALID_ARGUMENT


class NotOrdered(Rejected):
    """No order was let out for these elements, or they have their answer."""

    code = 6215


class AnswerUnclear(Rejected):
    """An accepted order has its window's end and its service; a rejected one has neither."""

    code = 6216
    grpc = Grpc.INVALID_ARGUMENT


@dataclass(frozen=True, slots=True, kw_only=True)
class HandOverOrder:
    """S-BUS hands an order over. `ordering_ms` and `delivery_ms` are kept of its windows. Req: O-13, O-14, O-33."""

    ledger_id: str
    order_id: str
    quote_id: str
    buyer: str
    agreement_id: str
    placed_at_ms: int
    accept_by_ms: int
    activation_window_ms: int
    ordering_ms: int = 0
    delivery_ms: int = 0
    # A copy, with the order of a change.
    change: ServiceChange | None = None
    # The service of an order that a person has accepted and activated before it was handed over.
    service_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ElementAvailability:
    """SOF's answer for one element; `cost` is required of a replacement."""

    element_id: str
    answer: Availability
    reason: str = ""
    reservation_id: str = ""
    hold_until_ms: int = 0
    cost: tuple[Price, ...] = field(default=(), metadata={"list_max": PRICES_MAX})


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerAvailability:
    """All of SOF's answers that are there at once. Req: O-17, O-18."""

    order_handover_id: str
    answers: tuple[ElementAvailability, ...] = field(metadata={"list_max": ELEMENTS_MAX})


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseOrder:
    """B-BUS orders by a seller's quote. Req: O-22."""

    order_handover_id: str
    ledger_id: str
    quote_id: str
    delivery_info: bytes = field(default=b"", metadata={"bytes_max": DELIVERY_INFO_BYTES_MAX})
    salt: bytes = field(metadata={"bytes_max": SALT_BYTES})


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordOrderAnswer:
    """What became of an order: a seller's answer, its silence, or its ledger's refusal. Req: O-23."""

    order_handover_id: str
    ledger_id: str
    quote_id: str
    order_id: str = ""
    answer: OrderAnswer
    reason: str = ""
    activate_by_ms: int = 0
    service_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseOrderAnswer:
    """S-BUS answers the buyer. Req: O-28."""

    order_handover_id: str
    salt: bytes = field(metadata={"bytes_max": SALT_BYTES})


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordUpstream:
    """What the order is on its own ledger now."""

    order_handover_id: str
    status: Upstream
    reason: str = ""
    activate_by_ms: int = 0
    service_id: str = ""


# Handover


def handover_id_of(internal_id: str, ledger_id: str, order_id: str) -> str:
    """The id of the handover of this order on the internal ledger `internal_id`."""
    return derive_id(ORDER_HANDOVER.prefix, internal_id, ledger_id, order_id)


def hand_over_order(command: HandOverOrder, call: Call) -> Outcome:
    """Take an order in: its elements are those of the assessment behind its quote. Req: O-13..O-17, O-33; X-14, X-17.

    With a service there is nothing left to do: it is in the inventory, and nobody here knows any part of it. Req: D-23.

    Rejects with the first of: AlreadyDone, TimeOutOfRange, QuoteNotOurs, QuoteNotAssessed, ChangeNotOurs; with a service only
    AlreadyDone, TimeOutOfRange, ChangeNotOurs.
    """
    handover_id = handover_id_of(call.ledger_id, command.ledger_id, command.order_id)
    if call.view.get(ORDER_HANDOVER, handover_id) is not None:
        raise AlreadyDone("This order was handed over before.", "order_id", existing_id=handover_id)
    for name in ("placed_at_ms", "accept_by_ms", "activation_window_ms", "ordering_ms", "delivery_ms"):
        require_time(getattr(command, name), name)
    if command.service_id:
        return _delivered_by_hand(command, handover_id, call)
    inquiry = _require_inquiry(command, call.view)
    change = ordered_change(command.change, command.ledger_id, command.order_id, call.view)
    elements: tuple[ServiceElement, ...] = ()
    if inquiry.status == InquiryStatus.QUOTED:
        elements = _planned(inquiry, handover_id, call)
    handover = replace(
        _handed_over(command, handover_id, call.block.time_ms),
        inquiry_handover_id=inquiry.id,
        assessment_id=inquiry.assessment_id if elements else "",
        service_id="" if change is None else change.service_id,
        change=change,
    )
    status, reason = _first_status(handover, elements, inquiry, call)
    handover = replace(handover, status=status, reason=reason)
    if reason:
        elements = merged(elements, free_all(elements, call.block.time_ms))
    taken_in = outcome(handover, "order_handover.handed_over", elements)
    return taken_in.then(planned(handover, command.change, call))


def _handed_over(command: HandOverOrder, handover_id: str, now_ms: int) -> OrderHandover:
    """The order as its own ledger has it."""
    return OrderHandover(
        id=handover_id,
        status=HandoverStatus.CHECKING_INTERNAL,
        ledger_id=command.ledger_id,
        order_id=command.order_id,
        quote_id=command.quote_id,
        buyer=command.buyer,
        agreement_id=command.agreement_id,
        inquiry_handover_id="",
        assessment_id="",
        handed_over_at_ms=now_ms,
        placed_at_ms=command.placed_at_ms,
        accept_by_ms=command.accept_by_ms,
        activation_window_ms=command.activation_window_ms,
        ordering_ms=command.ordering_ms,
        delivery_ms=command.delivery_ms,
    )


def _delivered_by_hand(command: HandOverOrder, handover_id: str, call: Call) -> Outcome:
    """A service that agents had no part in is in the inventory all the same, without parts. Rejects with ChangeNotOurs. Req: D-23."""
    if command.change is not None:
        raise ChangeNotOurs(
            "What a person has changed is in the inventory as it was; hand no such order over.", "change"
        )
    activated = replace(
        _handed_over(command, handover_id, call.block.time_ms),
        status=HandoverStatus.ACTIVATED,
        service_id=command.service_id,
        ended_at_ms=call.block.time_ms,
    )
    return outcome(activated, "order_handover.activated").then(_in_operation(activated, (), call))


def _require_inquiry(command: HandOverOrder, view: View) -> InquiryHandover:
    """The handover of the inquiry that the quote answers. Rejects with QuoteNotOurs, QuoteNotAssessed."""
    found = tuple(
        one
        for one in view.find(INQUIRY_HANDOVER, "related", command.quote_id, 2)
        if one.ledger_id == command.ledger_id and command.quote_id in (one.answer_id, one.standing_quote_id)
    )
    if not found:
        raise QuoteNotOurs("No inquiry was handed over that this quote answers.", "quote_id")
    if found[0].status not in (InquiryStatus.QUOTED, InquiryStatus.UNABLE, InquiryStatus.LAPSED):
        raise QuoteNotAssessed("SCO has not decided yet what this quote is made of.", "quote_id")
    return found[0]


def _first_status(
    handover: OrderHandover, elements: tuple[ServiceElement, ...], inquiry: InquiryHandover, call: Call
) -> tuple[HandoverStatus, str]:
    """Where the order begins, and why if it is to be rejected at once. X-14, X-17."""
    if not elements:
        return HandoverStatus.TO_REJECT, inquiry.reason or NOT_CHAINABLE
    if not has_room(handover.change, handover.ledger_id, elements, call.view):
        return HandoverStatus.TO_REJECT, SERVICE_FULL
    is_bought = any(element.source == Source.EXTERNAL for element in elements)
    window_ms = handover.accept_by_ms - handover.placed_at_ms
    short = handover.ordering_ms >= window_ms or handover.delivery_ms >= handover.activation_window_ms
    now_ms = call.block.time_ms
    if (is_bought and short) or not leaves_time(handover, elements, _first_windows(handover, now_ms), now_ms):
        return HandoverStatus.TO_REJECT, WINDOW_TOO_SHORT
    if any(element.source == Source.INTERNAL for element in elements):
        return HandoverStatus.CHECKING_INTERNAL, ""
    return HandoverStatus.ORDERING_EXTERNAL, ""


def _planned(inquiry: InquiryHandover, handover_id: str, call: Call) -> tuple[ServiceElement, ...]:
    """A service element for each element of the assessment, with the source that was chosen for it. Req: O-15, O-16."""
    assessment = call.view.get(ASSESSMENT, inquiry.assessment_id)
    if assessment is None:
        raise LookupError(inquiry.assessment_id)  # a quoted inquiry without its assessment is a bug of ours
    decomposed = call.view.get(DECOMPOSITION, decomposition_id(call.ledger_id, inquiry.id, assessment.attempt))
    if decomposed is None:
        raise LookupError(inquiry.id)
    by_id = {element.id: element for element in decomposed.elements}
    choices = {choice.element_id: choice for choice in assessment.choices}
    return tuple(
        _service_element(by_id[element_id], choices[element_id], place, handover_id, call)
        for place, element_id in enumerate(assessment.chain)
    )


def _service_element(element: Element, choice: Choice, place: int, handover_id: str, call: Call) -> ServiceElement:
    planned = ServiceElement(
        id=derive_id(SERVICE_ELEMENT.prefix, handover_id, element.id, 0),
        status=ElementStatus.QUOTED_INTERNAL,
        order_handover_id=handover_id,
        element_id=element.id,
        place=place,
        item_ids=element.item_ids,
        offering=element.offering,
        product=element.product,
        term=element.term,
        action=element.action,
        lineage_id=element.lineage_id,
        source=Source.INTERNAL,
        changes=element.service_id,
    )
    if choice.received_quote_id:
        received = call.view.get(RECEIVED_QUOTE, choice.received_quote_id)
        if received is None:
            raise LookupError(choice.received_quote_id)
        return replace(planned, status=ElementStatus.QUOTED_EXTERNAL, **bought_by(received, element.id))
    query = call.view.get(SOF_QUERY, choice.query_id)
    if query is None or query.answer is None:
        raise LookupError(choice.query_id)
    return replace(
        planned,
        query_id=query.id,
        reservation_id=query.answer.reservation_id,
        hold_until_ms=query.answer.hold_until_ms,
        cost=query.answer.prices,
    )


def bought_by(received: ReceivedQuote, element_id: str) -> dict[str, Any]:
    """What an element is that is bought by a quote. A bundle's price stands with its first element."""
    items = {item.id: item for item in received.quote.items}
    is_first = element_id == received.quote.items[0].id
    bundle = received.quote.bundle if is_first else ()
    return {
        "source": Source.EXTERNAL,
        "ledger_id": received.ledger_id,
        "seller": received.seller,
        "quote_id": received.quote.id,
        "cost": (*items[element_id].prices, *bundle),
        "performance": items[element_id].performance,
    }


# Internal elements


def answer_availability(command: AnswerAvailability, call: Call) -> Outcome:
    """SOF says of internal elements whether they can be had. Req: O-17..O-21; X-14, X-26.

    Rejects with the first of: OrderHandoverUnknown, and of each answer: ElementOfAnotherOrder, ElementNotInternal, WrongStatus,
    ReasonInvalid, ReservationMissing, TimeOutOfRange, CostMissing, PriceFormWrong, ReplacementDiffers.
    """
    handover = require_handover(command.order_handover_id, call.view)
    elements = elements_of(handover.id, call.view)
    answered: tuple[ServiceElement, ...] = ()
    for place, answer in enumerate(command.answers):
        by_id = {one.id: one for one in merged(elements, answered)}
        element = by_id.get(answer.element_id)
        if element is None:
            raise ElementOfAnotherOrder("The element is not of this order.", f"answers[{place}].element_id")
        answered = (*answered, _answered(answer, element, by_id, f"answers[{place}]", call.block.time_ms))
    after = merged(elements, answered)
    if handover.status != HandoverStatus.CHECKING_INTERNAL:
        return outcome(advance(handover, after), "order_handover.progressed", answered)
    if any(element.status == ElementStatus.REJECTED for element in after):
        return _rejected(handover, after, answered, call.block.time_ms)
    if any(element.status == ElementStatus.QUOTED_INTERNAL for element in after):
        return outcome(handover, "order_handover.progressed", answered)
    if any(element.source == Source.EXTERNAL for element in after):
        return outcome(stepped(handover, "all_available"), "order_handover.internals_available", answered)
    return outcome(stepped(handover, "all_own"), "order_handover.accepted", answered)


def _answered(
    answer: ElementAvailability, element: ServiceElement, by_id: dict[str, ServiceElement], path: str, now_ms: int
) -> ServiceElement:
    if element.source != Source.INTERNAL:
        raise ElementNotInternal("SOF answers for what the provider makes itself.", f"{path}.element_id")
    if answer.answer == Availability.REJECTED:
        rejected = moved(element, "reject", reason=answer.reason, answered_at_ms=now_ms, ended_at_ms=now_ms)
        require_reason(answer.reason)
        return rejected
    available = moved(element, "available", answered_at_ms=now_ms)
    reservation_id = answer.reservation_id or element.reservation_id
    if not reservation_id:
        raise ReservationMissing("Say under which reservation it is held.", f"{path}.reservation_id")
    require_time(answer.hold_until_ms, f"{path}.hold_until_ms")
    cost = answer.cost or element.cost
    if element.replaces:
        if not answer.cost:
            raise CostMissing("A replacement needs its cost.", f"{path}.cost")
        for number, price in enumerate(answer.cost):
            require_price_form(price, f"{path}.cost[{number}]")
        if costs_more(answer.cost, by_id[element.replaces].cost, element.term):
            raise ReplacementDiffers("It costs more than what it replaces.", f"{path}.cost")
    return replace(available, reservation_id=reservation_id, hold_until_ms=answer.hold_until_ms, cost=cost)


def _rejected(
    handover: OrderHandover,
    elements: tuple[ServiceElement, ...],
    answered: tuple[ServiceElement, ...],
    now_ms: int,
) -> Outcome:
    """All or nothing: what the siblings hold is given back, and what they ordered is cancelled. Req: O-20, O-29; X-15."""
    changed = {element.id: element for element in (*answered, *free_all(elements, now_ms))}
    rejected = stepped(handover, "reject", reason=ELEMENT_REJECTED)
    return outcome(rejected, "order_handover.to_reject", tuple(changed.values()))


# External elements


def release_order(command: ReleaseOrder, call: Call) -> Outcome:
    """Let an order out to a seller, for all elements that its quote is for. Req: O-21, O-22, O-33.

    Rejects with the first of: OrderHandoverUnknown, InternalsNotAvailable, WrongStatus, OrderForeign, AlreadyReleased,
    WindowTooShort, SaltInvalid.
    """
    handover = require_handover(command.order_handover_id, call.view)
    if handover.status == HandoverStatus.CHECKING_INTERNAL:
        raise InternalsNotAvailable("SOF has not answered for every internal element.", "order_handover_id")
    if handover.status not in (HandoverStatus.ORDERING_EXTERNAL, *DELIVERING):
        raise WrongStatus(f"The order is {handover.status}; nothing is ordered for it.", "status")
    bought = _bought_by_quote(handover, command.ledger_id, command.quote_id, call.view)
    if bought[0].order_release_id:
        raise AlreadyReleased("This quote was ordered before.", "quote_id", existing_id=bought[0].order_release_id)
    acceptance_ms, activation_ms = windows_ms = _windows_down(handover, call.block.time_ms)
    times = sellers_times(handover, bought, windows_ms, call)
    if min(acceptance_ms, times.acceptance_ms, activation_ms) <= 0:
        raise WindowTooShort("No time is left for a seller.", "order_handover_id")
    release = open_release(
        call,
        0,
        role=Role.B_BUS,
        act="place_order",
        ledger_id=command.ledger_id,
        subject_kind=ORDER_HANDOVER.name,
        subject_id=handover.id,
        command_record=PlaceOrder(
            quote_id=command.quote_id,
            acceptance_window_ms=times.acceptance_ms,
            activation_window_ms=activation_ms,
            delivery_info=command.delivery_info,
            change=change_down(handover, bought),
            implement_at_ms=times.implement_at_ms,
        ),
        salt=command.salt,
    )
    order_id = outward_id(release, ORDER, call)
    ordered = tuple(replace(element, order_release_id=release.id, order_id=order_id) for element in bought)
    news = tuple(Event("service_element.ordered", element) for element in ordered)
    done = Outcome(writes=ordered, events=news).then(opened(release))
    if times.answers_by_ms == handover.answers_by_ms:
        return done
    awaiting = replace(handover, answers_by_ms=times.answers_by_ms)
    return done.then(outcome(awaiting, "order_handover.answers_awaited"))


def _windows_down(handover: OrderHandover, now_ms: int) -> tuple[int, int]:
    """Acceptance and activation window of an order that serves this one; in recovery of what is left, less a part. Req: O-33; X-22."""
    if handover.status == HandoverStatus.ORDERING_EXTERNAL:
        return _first_windows(handover, now_ms)
    left_ms = end_of(handover) - now_ms
    # They run one after the other, from when the order gets there: without that part they could outlast the service's.
    acceptance_ms = left_ms // ACCEPTANCE_SHARE
    return acceptance_ms, left_ms - acceptance_ms - left_ms // KEPT_SHARE


def _first_windows(handover: OrderHandover, now_ms: int) -> tuple[int, int]:
    """At first: the buyer's windows less what is kept, and never longer than what is left. Req: O-33."""
    window_ms = handover.accept_by_ms - handover.placed_at_ms
    acceptance_ms = min(window_ms - handover.ordering_ms, handover.accept_by_ms - now_ms)
    return acceptance_ms, handover.activation_window_ms - handover.delivery_ms


def _bought_by_quote(handover: OrderHandover, ledger_id: str, quote_id: str, view: View) -> tuple[ServiceElement, ...]:
    """The elements that are still to be had by a quote. Rejects with OrderForeign."""
    found = tuple(
        element
        for element in elements_of(handover.id, view)
        if element.quote_id == quote_id
        and element.ledger_id == ledger_id
        and element.status == ElementStatus.QUOTED_EXTERNAL
    )
    if not quote_id or not found:
        raise OrderForeign("No element waits to be bought by this quote.", "quote_id")
    return found


def record_order_answer(command: RecordOrderAnswer, call: Call) -> Outcome:
    """B-BUS reports a seller's answer; the last one decides about the order. Req: O-23, O-26, O-29; X-15, X-26.

    Rejects with the first of: OrderHandoverUnknown, OrderForeign, NotOrdered, AnswerUnclear, TimeOutOfRange.
    """
    handover = require_handover(command.order_handover_id, call.view)
    bought = _bought_by_quote(handover, command.ledger_id, command.quote_id, call.view)
    if not bought[0].order_release_id or command.order_id not in ("", bought[0].order_id):
        raise NotOrdered("No such order was let out for this quote.", "order_id")
    is_accepted = command.answer == OrderAnswer.ACCEPTED
    if is_accepted != (command.activate_by_ms > 0) or is_accepted != bool(command.service_id):
        raise AnswerUnclear("An accepted order has its window's end and its service.", "activate_by_ms")
    require_time(command.activate_by_ms, "activate_by_ms")
    now_ms = call.block.time_ms
    if is_accepted:
        answered = tuple(
            moved(
                element,
                "accept" if handover.status == HandoverStatus.ORDERING_EXTERNAL else "accept_replacement",
                activate_by_ms=command.activate_by_ms,
                service_id=command.service_id,
                answered_at_ms=now_ms,
            )
            for element in bought
        )
    else:
        answered = tuple(
            moved(element, "reject", reason=command.reason, answered_at_ms=now_ms, ended_at_ms=now_ms)
            for element in bought
        )
    after = merged(elements_of(handover.id, call.view), answered)
    if handover.status == HandoverStatus.ORDERING_EXTERNAL:
        return _while_ordering(handover, after, answered, now_ms)
    return outcome(advance(handover, after), "order_handover.progressed", answered)


def _while_ordering(
    handover: OrderHandover,
    elements: tuple[ServiceElement, ...],
    answered: tuple[ServiceElement, ...],
    now_ms: int,
) -> Outcome:
    if any(element.status == ElementStatus.REJECTED for element in elements):
        return _rejected(handover, elements, answered, now_ms)
    if any(element.status == ElementStatus.QUOTED_EXTERNAL for element in elements):
        return outcome(handover, "order_handover.progressed", answered)
    return outcome(stepped(handover, "all_accepted"), "order_handover.accepted", answered)


# The answer, and what the order is on its own ledger


def release_order_answer(command: ReleaseOrderAnswer, call: Call) -> Outcome:
    """Let "Order Accepted" or "Order Rejected" out, as the state says. Req: O-28..O-30.

    Rejects with the first of: OrderHandoverUnknown, WrongStatus, AlreadyReleased, SaltInvalid.
    """
    handover = require_handover(command.order_handover_id, call.view)
    is_accepted = handover.status == HandoverStatus.ACCEPTED
    if not is_accepted and handover.status != HandoverStatus.TO_REJECT:
        raise WrongStatus(f"The order is {handover.status}; there is nothing to answer.", "status")
    if handover.answer_release_id:
        raise AlreadyReleased("The answer is out.", "order_handover_id", existing_id=handover.answer_release_id)
    answer: Any = AcceptOrder(order_id=handover.order_id)
    if not is_accepted:
        answer = RejectOrder(order_id=handover.order_id, reason=handover.reason)
    release = open_release(
        call,
        0,
        role=Role.S_BUS,
        act="accept_order" if is_accepted else "reject_order",
        ledger_id=handover.ledger_id,
        subject_kind=ORDER_HANDOVER.name,
        subject_id=handover.id,
        command_record=answer,
        salt=command.salt,
    )
    return outcome(replace(handover, answer_release_id=release.id), "order_handover.answered").then(opened(release))


_ENDS: Final = (
    (Upstream.REJECTED, "end_rejected", "order_handover.rejected"),
    (Upstream.FAILED, "end_failed", "order_handover.failed"),
    (Upstream.CANCELLED, "end_cancelled", "order_handover.cancelled"),
)


def record_upstream(command: RecordUpstream, call: Call) -> Outcome:
    """S-BUS mirrors what the order is on its own ledger; an end gives back what the elements hold. Req: O-31, D-23, D-40; X-15, X-27.

    Rejects with the first of: OrderHandoverUnknown, NothingNew, TimeOutOfRange, WrongStatus.
    """
    handover = require_handover(command.order_handover_id, call.view)
    require_time(command.activate_by_ms, "activate_by_ms")
    if command.status == Upstream.ACCEPTED:
        return _accepted_upstream(handover, command)
    if command.status == Upstream.OVERDUE:
        if handover.status in (HandoverStatus.OVERDUE, HandoverStatus.ABANDONING, HandoverStatus.TO_FAIL):
            raise NothingNew("It is known that the order is overdue.", "status")
        overdue = stepped(handover, "window_ends", reason=handover.reason or WINDOW_OVER)
        return outcome(overdue, "order_handover.fell_overdue")
    if handover.status.value == command.status.value:
        raise NothingNew(f"It is known that the order is {command.status}.", "status")
    elements = elements_of(handover.id, call.view)
    if command.status == Upstream.ACTIVATED:
        return _activated(handover, command, elements, call)
    step_event, event = next((step_event, event) for status, step_event, event in _ENDS if status == command.status)
    ended = stepped(handover, step_event, reason=command.reason or handover.reason, ended_at_ms=call.block.time_ms)
    service = call.view.get(INVENTORY_SERVICE, inventory_id_of(handover.id))
    if service is not None and service.status == InventoryStatus.IN_OPERATION:
        over = terminate(service, call.view, call.block.time_ms, call.block.time_ms)
        return outcome(ended, event).then(over)
    return outcome(ended, event, free_all(elements, call.block.time_ms))


def _accepted_upstream(handover: OrderHandover, command: RecordUpstream) -> Outcome:
    if handover.activate_by_ms:
        raise NothingNew("It is known that the order is accepted.", "status")
    known = replace(handover, activate_by_ms=command.activate_by_ms, service_id=command.service_id)
    if handover.status == HandoverStatus.TO_REJECT:
        overdue = stepped(known, "accepted_by_hand", reason=ACCEPTED_BY_HAND)
        return outcome(overdue, "order_handover.fell_overdue")
    if handover.status != HandoverStatus.ACCEPTED:
        raise WrongStatus(f"The order is {handover.status} here.", "status")
    return outcome(known, "order_handover.accepted_upstream")


def _activated(
    handover: OrderHandover, command: RecordUpstream, elements: tuple[ServiceElement, ...], call: Call
) -> Outcome:
    """The service is in the inventory, or there as it was changed, or out of it. Req: D-23, C-11.

    Who activated by hand may have been quicker than the agents: what was not begun then is given back, or not bought.
    """
    now_ms = call.block.time_ms
    activated = stepped(
        handover,
        "end_activated",
        service_id=command.service_id or handover.service_id,
        reason="",
        ended_at_ms=now_ms,
    )
    done = outcome(activated, "order_handover.activated")
    if handover.change is not None:
        return done.then(service_after(activated, handover.change, call))
    return done.then(_in_operation(activated, elements, call))


def _in_operation(activated: OrderHandover, elements: tuple[ServiceElement, ...], call: Call) -> Outcome:
    """What an activated order has given."""
    now_ms = call.block.time_ms
    service = inventory_of(activated, elements, now_ms)
    done = Outcome(writes=(service,), events=(Event("inventory_service.in_operation", service),))
    going = unmade(elements, now_ms)
    done = done.then(Outcome(writes=going, events=tuple(Event(ELEMENT_EVENTS[one.status], one) for one in going)))
    return done.then(service_delivered(activated, call))


CONTRACT: Final = Contract(
    name="internal_order",
    kinds=(ORDER_HANDOVER, SERVICE_ELEMENT),
    messages=(
        MessageType(
            name="hand_over_order",
            command=HandOverOrder,
            handler=hand_over_order,
            roles=(Role.S_BUS,),
            gas=WHOLE_ORDER_GAS,
        ),
        MessageType(
            name="answer_availability",
            command=AnswerAvailability,
            handler=answer_availability,
            roles=(Role.SOF,),
            gas=WHOLE_ORDER_GAS,
        ),
        MessageType(
            name="release_order", command=ReleaseOrder, handler=release_order, roles=(Role.B_BUS,), gas=WHOLE_ORDER_GAS
        ),
        MessageType(
            name="record_order_answer",
            command=RecordOrderAnswer,
            handler=record_order_answer,
            roles=(Role.B_BUS,),
            gas=WHOLE_ORDER_GAS,
        ),
        MessageType(
            name="release_order_answer",
            command=ReleaseOrderAnswer,
            handler=release_order_answer,
            roles=(Role.S_BUS,),
        ),
        MessageType(
            name="record_upstream",
            command=RecordUpstream,
            handler=record_upstream,
            roles=(Role.S_BUS,),
            gas=WHOLE_ORDER_GAS,
        ),
    ),
)
