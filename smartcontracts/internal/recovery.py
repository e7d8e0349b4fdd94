"""Recovery: what an element's failure, a window's end or a change of windows makes of an order inside its seller.

D-29, D-30 SCO decides once about each failed element: another of our own, another seller's, or none; X-26 a replacement costs no
more and promises the same; D-31, D-33, X-24 S-BUS asks the buyer for time, or abandons; D-34..D-36 it tells SCO, which tells SOF and
B-BUS; D-32 "Order Failed" goes out after that; D-37, D-38 SOF gives back, D-39, D-40 B-BUS cancels; D-41..D-43 a changed window is
passed on to SOF and B-BUS, and to every ledger that it concerns.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Final

from smartcontracts.delivery import AnswerExtension, CancelOrder, ExtendWindow, FailOrder, RequestExtension
from smartcontracts.ids import derive_id
from smartcontracts.internal.decomposition import Decomposition, Element, decomposition_id
from smartcontracts.internal.delivery import ElementWindow, WindowsUnordered, require_ordered, windows_of
from smartcontracts.internal.elements import (
    ELEMENT_EVENTS,
    ELEMENT_LIFECYCLE,
    ELEMENTS_MAX,
    FAILED,
    OPEN,
    ORDER_HANDOVER,
    REPLACEMENTS_MAX,
    SERVICE_ELEMENT,
    UNDER_WAY,
    WHOLE_ORDER_GAS,
    WINDOWS_MAX,
    AlreadyReleased,
    Decision,
    DownstreamExtension,
    ElementNotInternal,
    ElementStatus,
    HandoverStatus,
    HandoverWindow,
    NothingNew,
    OrderForeign,
    OrderHandover,
    ReplacementDiffers,
    ServiceElement,
    Source,
    WindowCause,
    advance,
    bought_by_order,
    costs_more,
    current,
    elements_of,
    end_of,
    free_all,
    freed,
    merged,
    moved,
    order_key,
    ordered_by,
    outcome,
    require_element,
    require_handover,
    resumed,
    stepped,
)
from smartcontracts.internal.handover import require_handover as require_inquiry_handover
from smartcontracts.internal.orders import bought_by
from smartcontracts.internal.release import (
    RELEASE,
    Release,
    ReleaseStatus,
    ReleaseUnknown,
    open_release,
    opened,
    outward_id,
    surfaced,
)
from smartcontracts.internal.sourcing import (
    Purpose,
    SourcedElement,
    SourcingReason,
    SourcingStatus,
    require_received,
    require_sourcing,
    sourcing_for,
)
from smartcontracts.internal.stranded import STRANDED_SERVICE, order_surfaced, require_refused, service_ended
from smartcontracts.kernel import (
    AlreadyDone,
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
    WrongStatus,
)
from smartcontracts.order import ORDER
from smartcontracts.trade import QuoteLevel, WindowTooShort, require_reason, require_time, words

SALT_BYTES: Final = 32
DELIVERY_LATE: Final = "DELIVERY_LATE"
GIVEN_UP: Final = "RECOVERY_GIVEN_UP"
NO_LONGER_NEEDED: Final = "NO_LONGER_NEEDED"
# Of the time left, this part is for sellers' answers; then their orders must be accepted and activated.
SOURCING_SHARE: Final = 4
_WORKED_ON: Final = (ElementStatus.ACCEPTED, ElementStatus.ACTIVATING)


class ExtensionOutcome(StrEnum):
    """What has become of an order's window. Stored on the ledger: never rename a value."""

    EXTENSION_GRANTED = "extension_granted"
    BUYER_EXTENDED = "buyer_extended"
    REFUSED = "refused"


class CancellationOutcome(StrEnum):
    """Whether a cancelled order is at an end. Stored on the ledger: never rename a value. X-27."""

    ENDED = "ended"
    STRANDED = "stranded"


class DecisionMade(Rejected):
    """SCO has decided about this element; it does so once (D-30)."""

    code = 6240


class DecisionMissing(Rejected):
    """A decision is one of three, and none is none of them (D-30)."""

    code = 6241
    grpc = Grpc.INVALID_ARGUMENT


class ChangedElsewhere(Rejected):
    """An element in operation is changed by who makes it: it can be tried again there, and by nobody else."""

    code = 6260


class ReplacementsUsed(Rejected):
    """The element was replaced as often as it can be within one order."""

    code = 6242


class SourcingOpen(Rejected):
    """Sellers are still waited for, or their quotes are not ranked."""

    code = 6243


class ReplacementUnusable(Rejected):
    """The quote is not one for this element, has expired, binds nobody, or came late and was not taken."""

    code = 6244


class EndNotLater(Rejected):
    """The new end of the window is not later than the old one, or not in the future."""

    code = 6245
    grpc = Grpc.INVALID_ARGUMENT


class ExtensionRefused(Rejected):
    """The buyer has not granted the last extension: abandoning is the only way left (D-31)."""

    code = 6246


class NoExtensionAsked(Rejected):
    """The seller of this order asks for no such extension."""

    code = 6247


class ServesAnOrder(Rejected):
    """The order was placed for an order of a buyer; name that one."""

    code = 6248
    grpc = Grpc.INVALID_ARGUMENT


class NotPlaced(Rejected):
    """The order is not known to be out there, so it can't be cancelled yet, nor be at an end."""

    code = 6249


class WindowsFull(Rejected):
    """The order's window was changed as often as one document records."""

    code = 6250


@dataclass(frozen=True, slots=True, kw_only=True)
class DecideRecovery:
    """SCO's one decision about an element that failed. Req: D-30."""

    element_id: str
    decision: Decision


@dataclass(frozen=True, slots=True, kw_only=True)
class ChooseReplacement:
    """The quote by which an element is bought anew; empty if none will do. X-26."""

    element_id: str
    received_quote_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseExtension:
    """S-BUS asks the buyer for a later end. Req: D-33."""

    order_handover_id: str
    activate_by_ms: int
    reason: str
    salt: bytes = field(metadata={"bytes_max": SALT_BYTES})


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordExtension:
    """What the buyer's ledger says of the order's window. Req: D-41..D-43."""

    order_handover_id: str
    outcome: ExtensionOutcome
    activate_by_ms: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class SetWindows:
    """SCO passes recalculated windows on. Req: D-41."""

    order_handover_id: str
    service_by_ms: int
    elements: tuple[ElementWindow, ...] = field(default=(), metadata={"list_max": ELEMENTS_MAX})


@dataclass(frozen=True, slots=True, kw_only=True)
class AbandonOrder:
    """S-BUS gives an order up. Req: D-31, D-35."""

    order_handover_id: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NotifyAbandonment:
    """SCO tells SOF and B-BUS. Req: D-36."""

    order_handover_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseFailure:
    """Let "Order Failed" out. Req: D-32."""

    order_handover_id: str
    salt: bytes = field(metadata={"bytes_max": SALT_BYTES})


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportReleased:
    """SOF has given back what an element held. Req: D-38."""

    element_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseCancellation:
    """Let "Order Cancelled" out. Req: D-40; X-15."""

    ledger_id: str
    order_id: str
    salt: bytes = field(metadata={"bytes_max": SALT_BYTES})


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordCancellation:
    """What became of the order by which an element was bought. X-27."""

    element_id: str
    outcome: CancellationOutcome


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordSurfaced:
    """The order that a release lets out is on its ledger, though its carrier took it for refused. Req: D-40; X-15."""

    release_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordExtensionRequest:
    """A seller asks for a later end. Req: D-43."""

    order_handover_id: str
    ledger_id: str
    order_id: str
    activate_by_ms: int
    answer_by_ms: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportDelay:
    """SOF knows that an element will be active later than its window allows. Req: D-31, D-33."""

    element_id: str
    activate_by_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseExtensionAnswer:
    """B-BUS answers a seller. `order_handover_id` is empty for an order that serves no order of ours."""

    order_handover_id: str = ""
    ledger_id: str
    order_id: str
    granted: bool
    waive_penalty: bool = False
    salt: bytes = field(metadata={"bytes_max": SALT_BYTES})
    activate_by_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnExtensionAnswer:
    """Document: an answer about an order that this organization placed for itself. Never changed."""

    id: str
    ledger_id: str
    order_id: str
    granted: bool
    waive_penalty: bool
    release_id: str
    answered_at_ms: int
    activate_by_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseWindowChange:
    """B-BUS extends a seller's window, unasked. Req: D-43."""

    order_handover_id: str
    ledger_id: str
    order_id: str
    salt: bytes = field(metadata={"bytes_max": SALT_BYTES})


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordWindow:
    """The window that an order placed for elements has now. Req: D-43."""

    order_handover_id: str
    ledger_id: str
    order_id: str
    activate_by_ms: int


# SCO: an element has failed


def decide_recovery(command: DecideRecovery, call: Call) -> Outcome:
    """Decide about a failed element; a replacement is linked to it, and what it holds is given back. Req: D-29, D-30; X-24.

    Rejects with the first of: ServiceElementUnknown, WrongStatus, DecisionMade, DecisionMissing, ChangedElsewhere,
    ReplacementsUsed, WindowTooShort.
    """
    element = require_element(command.element_id, call.view)
    handover = require_handover(element.order_handover_id, call.view)
    if handover.status != HandoverStatus.RECOVERY or element.status not in FAILED:
        raise WrongStatus("Only about an element that failed, and while its order is in recovery.", "status")
    if element.decision or element.replaced_by:
        raise DecisionMade(f"It was decided: {element.decision}.", "element_id")
    if not command.decision:
        raise DecisionMissing("Decide for alternative_internal, alternative_external or abandon.", "decision")
    if command.decision == Decision.ABANDON:
        given_up = stepped(handover, "give_up", reason=GIVEN_UP)
        return outcome(given_up, "order_handover.fell_overdue", (replace(element, decision=command.decision),))
    elsewhere = command.decision == Decision.ALTERNATIVE_EXTERNAL or element.source == Source.EXTERNAL
    if element.changes and elsewhere:
        raise ChangedElsewhere("Who has it in operation changes it, or nobody.", "decision")
    if element.tries >= REPLACEMENTS_MAX:
        raise ReplacementsUsed(f"An element is replaced at most {REPLACEMENTS_MAX} times.", "element_id")
    elements = elements_of(handover.id, call.view)
    replacement = _replacement(element, command.decision)
    opened_sourcing = Outcome()
    if command.decision == Decision.ALTERNATIVE_EXTERNAL:
        opened_sourcing, sourcing_id = _source(replacement, handover, len(elements), call)
        replacement = replace(replacement, sourcing_id=sourcing_id)
    decided = replace(element, decision=command.decision, replaced_by=replacement.id)
    # What holds nothing any more is replaced at once; else it is once that is given back.
    gone = freed(decided, call.block.time_ms) or decided
    if gone.status in (*FAILED, ElementStatus.CANCELLED):
        gone = moved(decided, "replace", ended_at_ms=call.block.time_ms)
    changed = (gone, replacement)
    after = advance(handover, merged(elements, changed))
    return outcome(after, "order_handover.recovery_decided", changed).then(opened_sourcing)


def _replacement(element: ServiceElement, decision: Decision) -> ServiceElement:
    """What takes the place of an element: the same product, from another source; it may cost what the first one did."""
    is_internal = decision == Decision.ALTERNATIVE_INTERNAL
    return ServiceElement(
        id=derive_id(SERVICE_ELEMENT.prefix, element.order_handover_id, element.element_id, element.tries + 1),
        status=ElementStatus.QUOTED_INTERNAL if is_internal else ElementStatus.SOURCING,
        order_handover_id=element.order_handover_id,
        element_id=element.element_id,
        place=element.place,
        item_ids=element.item_ids,
        offering=element.offering,
        product=element.product,
        term=element.term,
        action=element.action,
        changes=element.changes,
        lineage_id=element.lineage_id,
        source=Source.INTERNAL if is_internal else Source.EXTERNAL,
        cost=element.cost,
        performance=element.performance,
        replaces=element.id,
        tries=element.tries + 1,
    )


def _source(replacement: ServiceElement, handover: OrderHandover, attempt: int, call: Call) -> tuple[Outcome, str]:
    """A new inquiry for one element, as SCO would make it for an inquiry. Rejects with WindowTooShort. Req: D-30."""
    left_ms = end_of(handover) - call.block.time_ms
    if left_ms < SOURCING_SHARE:
        raise WindowTooShort("No time is left to ask a seller.", "decision")
    inquiry = require_inquiry_handover(handover.inquiry_handover_id, call.view)
    element = Element(
        id=replacement.element_id,
        item_ids=replacement.item_ids,
        offering=replacement.offering,
        product=replacement.product,
        term=replacement.term,
        action=replacement.action,
        lineage_id=replacement.lineage_id,
    )
    decomposition = Decomposition(
        id=decomposition_id(call.ledger_id, handover.id, attempt),
        subject_id=handover.id,
        attempt=attempt,
        elements=(element,),
        chain=(element.id,),
        decomposed_at_ms=call.block.time_ms,
    )
    sourcing = sourcing_for(
        call,
        decomposition,
        (SourcedElement(element_id=element.id, reason=SourcingReason.NOT_INTERNAL),),
        purpose=Purpose.RECOVERY,
        subject_kind=ORDER_HANDOVER.name,
        currency=inquiry.currency,
        level=QuoteLevel.FIRM,
        ancestors=inquiry.inquiry.ancestors,
        lineage_key=inquiry.inquiry.lineage_key,
        respond_by_ms=call.block.time_ms + left_ms // SOURCING_SHARE,
    )
    events = (Event("sourcing.requested", sourcing),)
    return Outcome(writes=(decomposition, sourcing), events=events), sourcing.id


def choose_replacement(command: ChooseReplacement, call: Call) -> Outcome:
    """Take one of the quotes that recovery gave, or none: then the element can't be delivered so. Req: D-30; X-26.

    Rejects with the first of: ServiceElementUnknown, WrongStatus, SourcingOpen, ReceivedQuoteUnknown, ReplacementUnusable,
    ReplacementDiffers.
    """
    element = require_element(command.element_id, call.view)
    if element.status != ElementStatus.SOURCING:
        raise WrongStatus(f"The element is {element.status}; nothing is chosen for it.", "status")
    sourcing = require_sourcing(element.sourcing_id, call.view)
    if sourcing.status != SourcingStatus.RANKED:
        raise SourcingOpen("Wait until the sellers' answers are ranked.", "element_id")
    if command.received_quote_id:
        chosen = _chosen(command, element, call)
    else:
        chosen = moved(element, "find_none", ended_at_ms=call.block.time_ms)
    handover = require_handover(element.order_handover_id, call.view)
    after = advance(handover, merged(elements_of(handover.id, call.view), (chosen,)))
    return outcome(after, "order_handover.progressed", (chosen,))


def _chosen(command: ChooseReplacement, element: ServiceElement, call: Call) -> ServiceElement:
    received = require_received(command.received_quote_id, call.view)
    quote = received.quote
    usable = (
        received.sourcing_id == element.sourcing_id
        and call.block.time_ms <= quote.valid_until_ms
        and quote.level != QuoteLevel.BUDGETARY
        and (received.taken or not received.late)
    )
    if not usable:
        raise ReplacementUnusable("The quote can't be ordered for this element.", "received_quote_id")
    bought = bought_by(received, element.element_id)
    differs = costs_more(bought["cost"], element.cost, element.term) or bought["performance"] != element.performance
    if differs:
        raise ReplacementDiffers(
            "It costs more than what it replaces, or promises something else.", "received_quote_id"
        )
    return moved(element, "choose", **bought)


# S-BUS: the order's window


def release_extension(command: ReleaseExtension, call: Call) -> Outcome:
    """Let "Request Order Activation Window Extension" out. Req: D-31, D-33.

    Rejects with the first of: OrderHandoverUnknown, WrongStatus, ExtensionRefused, EndNotLater, TimeOutOfRange, ReasonInvalid,
    SaltInvalid.
    """
    handover = require_handover(command.order_handover_id, call.view)
    asking = stepped(handover, "ask_extension")
    if handover.extension_refused:
        raise ExtensionRefused("The buyer has given no more time; abandon the order.", "order_handover_id")
    if command.activate_by_ms <= max(handover.activate_by_ms, call.block.time_ms):
        raise EndNotLater(f"Ask for an end later than {handover.activate_by_ms}, in the future.", "activate_by_ms")
    require_time(command.activate_by_ms, "activate_by_ms")
    require_reason(command.reason)
    release = open_release(
        call,
        0,
        role=Role.S_BUS,
        act="request_extension",
        ledger_id=handover.ledger_id,
        subject_kind=ORDER_HANDOVER.name,
        subject_id=handover.id,
        command_record=RequestExtension(
            order_id=handover.order_id, activate_by_ms=command.activate_by_ms, reason=command.reason
        ),
        salt=command.salt,
    )
    asking = replace(asking, extension_release_id=release.id)
    return outcome(asking, "order_handover.extension_requested").then(opened(release))


def record_extension(command: RecordExtension, call: Call) -> Outcome:
    """S-BUS says what the order's window is now: SCO, SOF and B-BUS each have an event of their own. Req: D-41..D-43; X-21.

    Rejects with the first of: OrderHandoverUnknown, NothingNew, EndNotLater, WindowsFull, TimeOutOfRange, WrongStatus.
    """
    handover = require_handover(command.order_handover_id, call.view)
    if command.outcome == ExtensionOutcome.REFUSED:
        return _not_granted(handover, call)
    if command.activate_by_ms == handover.activate_by_ms:
        raise NothingNew("It is known that the window ends then.", "activate_by_ms")
    if command.activate_by_ms < handover.activate_by_ms:
        raise EndNotLater("A window is only made longer.", "activate_by_ms")
    if len(handover.windows) >= WINDOWS_MAX:
        raise WindowsFull(f"At most {WINDOWS_MAX} changes are recorded.", "order_handover_id")
    require_time(command.activate_by_ms, "activate_by_ms")
    change = HandoverWindow(
        old_ms=handover.activate_by_ms,
        new_ms=command.activate_by_ms,
        cause=WindowCause(command.outcome.value),
        recorded_at_ms=call.block.time_ms,
    )
    longer = replace(
        handover,
        activate_by_ms=command.activate_by_ms,
        service_by_ms=0,
        windows=(*handover.windows, change),
        extension_refused=False,
    )
    if handover.status == HandoverStatus.ACCEPTED:
        return _told_of_window(longer, ())
    elements = elements_of(handover.id, call.view)
    waited = handover.status in (HandoverStatus.OVERDUE, HandoverStatus.EXTENSION_REQUESTED)
    # An activation that came too late out there has to be let out anew.
    going_on = resumed(
        longer, elements, reason="", activation_release_id="" if waited else handover.activation_release_id
    )
    # With more time, what was given up may be decided anew.
    undecided = tuple(
        replace(one, decision=Decision.NONE) for one in current(elements) if one.decision == Decision.ABANDON
    )
    return _told_of_window(going_on, undecided)


def _told_of_window(handover: OrderHandover, elements: tuple[ServiceElement, ...]) -> Outcome:
    """Req: D-41, D-42."""
    events = (
        Event("order_handover.window_changed", handover),
        Event("order_handover.window_changed_for_sof", handover),
        Event("order_handover.window_changed_for_b_bus", handover),
        *(Event(ELEMENT_EVENTS[element.status], element) for element in elements),
    )
    return Outcome(writes=(handover, *elements), events=events)


def _not_granted(handover: OrderHandover, call: Call) -> Outcome:
    """The window stays: what was under way goes on while it is open, else S-BUS can only abandon. Req: D-31."""
    if handover.status != HandoverStatus.EXTENSION_REQUESTED:
        raise NothingNew("No extension is asked for.", "order_handover_id")
    elements = elements_of(handover.id, call.view)
    if call.block.time_ms <= end_of(handover) and not handover.reason:
        return outcome(resumed(handover, elements, extension_refused=True), "order_handover.extension_refused")
    refused = stepped(handover, "refuse", extension_refused=True)
    return outcome(refused, "order_handover.extension_refused")


def set_windows(command: SetWindows, call: Call) -> Outcome:
    """SCO recalculates the service's and the elements' windows inside a longer order window. Req: D-41, D-43; X-22.

    Rejects with the first of: OrderHandoverUnknown, WrongStatus, ElementOfAnotherOrder, WindowsUnordered.
    """
    handover = require_handover(command.order_handover_id, call.view)
    if handover.status not in UNDER_WAY:
        raise WrongStatus(f"The order is {handover.status}; it has no windows to set.", "status")
    elements = elements_of(handover.id, call.view)
    worked_on = tuple(one for one in current(elements) if one.status == ElementStatus.ACTIVATING)
    windows = windows_of(command.elements, tuple(one.id for one in worked_on))
    require_ordered(handover, command.service_by_ms, windows, elements, call.block.time_ms)
    changed = tuple(
        _with_window(one, windows[one.id])
        if one.source == Source.INTERNAL
        else replace(one, wanted_by_ms=windows[one.id], window_release_id="")
        for one in worked_on
        if one.id in windows
    )
    after = replace(handover, service_by_ms=command.service_by_ms)
    return outcome(after, "order_handover.windows_set", changed)


def _with_window(element: ServiceElement, activate_by_ms: int) -> ServiceElement:
    """An internal element with its new window, which may be all that it was late for."""
    late = element.extension is not None and element.extension.activate_by_ms > activate_by_ms
    return replace(element, activate_by_ms=activate_by_ms, extension=element.extension if late else None)


# S-BUS and SCO: the order is given up


def abandon_order(command: AbandonOrder, call: Call) -> Outcome:
    """S-BUS gives the order up, and tells SCO. Req: D-31, D-34, D-35; X-24.

    Rejects with the first of: OrderHandoverUnknown, WrongStatus, ReasonInvalid.
    """
    handover = require_handover(command.order_handover_id, call.view)
    abandoned = stepped(handover, "abandon", reason=command.reason)
    require_reason(command.reason)
    return outcome(abandoned, "order_handover.abandoned")


def notify_abandonment(command: NotifyAbandonment, call: Call) -> Outcome:
    """SCO tells SOF and B-BUS: what the elements hold is given back, what they ordered is cancelled. Req: D-36..D-40.

    Rejects with the first of: OrderHandoverUnknown, WrongStatus.
    """
    handover = require_handover(command.order_handover_id, call.view)
    told = stepped(handover, "notify")
    going = free_all(elements_of(handover.id, call.view), call.block.time_ms)
    events = (
        Event("order_handover.abandonment_for_sof", told),
        Event("order_handover.abandonment_for_b_bus", told),
        *(Event(ELEMENT_EVENTS[element.status], element) for element in going),
    )
    return Outcome(writes=(told, *going), events=events)


def release_failure(command: ReleaseFailure, call: Call) -> Outcome:
    """Let "Order Failed" out. Req: D-32.

    Rejects with the first of: OrderHandoverUnknown, WrongStatus, AlreadyReleased, SaltInvalid.
    """
    handover = require_handover(command.order_handover_id, call.view)
    if handover.status != HandoverStatus.TO_FAIL:
        raise WrongStatus(f"The order is {handover.status}; it is not given up.", "status")
    if handover.failure_release_id:
        raise AlreadyReleased("The failure is out.", "order_handover_id", existing_id=handover.failure_release_id)
    release = open_release(
        call,
        0,
        role=Role.S_BUS,
        act="fail_order",
        ledger_id=handover.ledger_id,
        subject_kind=ORDER_HANDOVER.name,
        subject_id=handover.id,
        command_record=FailOrder(order_id=handover.order_id, reason=handover.reason),
        salt=command.salt,
    )
    failing = replace(handover, failure_release_id=release.id)
    return outcome(failing, "order_handover.failure_released").then(opened(release))


# SOF and B-BUS: what ended elements held and ordered


def report_released(command: ReportReleased, call: Call) -> Outcome:
    """SOF has given back what an element held. Req: D-37, D-38.

    Rejects with the first of: ServiceElementUnknown, ElementNotInternal, WrongStatus.
    """
    element = require_element(command.element_id, call.view)
    if element.source != Source.INTERNAL:
        raise ElementNotInternal("B-BUS cancels what was bought.", "element_id")
    if element.status != ElementStatus.RELEASING:
        raise WrongStatus(f"The element is {element.status}; nothing of it is to be given back.", "status")
    return _ended(moved(element, "replace" if element.replaced_by else "released"))


def release_cancellation(command: ReleaseCancellation, call: Call) -> Outcome:
    """Let "Order Cancelled" out, to a seller whose order no living element needs. Req: D-39, D-40; X-15, X-27.

    It is let out once more if the seller's ledger has refused it: a change that was being made then may be late now. Req: C-11.

    Rejects with the first of: OrderForeign, WrongStatus, AlreadyReleased, NotPlaced, SaltInvalid.
    """
    bought = ordered_by(call.view, command.ledger_id, command.order_id)
    if not bought:
        raise OrderForeign("Nothing is bought by this order.", "order_id")
    ending = tuple(element for element in bought if element.status == ElementStatus.CANCELLING)
    if not ending:
        raise WrongStatus("No element of this order is at an end.", "status")
    require_refused(ending[0].cancel_release_id, call.view, "order_id")
    placed = call.view.get(RELEASE, ending[0].order_release_id)
    if placed is None or placed.status != ReleaseStatus.CARRIED:
        raise NotPlaced("The order is not known to be out there.", "order_id")
    release = open_release(
        call,
        0,
        role=Role.B_BUS,
        act="cancel_order",
        ledger_id=command.ledger_id,
        subject_kind=ORDER_HANDOVER.name,
        subject_id=ending[0].order_handover_id,
        command_record=CancelOrder(order_id=command.order_id, reason=NO_LONGER_NEEDED),
        salt=command.salt,
    )
    cancelling = tuple(replace(element, cancel_release_id=release.id) for element in ending)
    news = tuple(Event("service_element.cancellation_released", element) for element in cancelling)
    return Outcome(writes=cancelling, events=news).then(opened(release))


def record_cancellation(command: RecordCancellation, call: Call) -> Outcome:
    """B-BUS says that the order is at an end, or that its ledger does not let it be cancelled any more. Req: D-40; X-27.

    What was stranded so is at its end when the seller's service is.

    Rejects with the first of: ServiceElementUnknown, WrongStatus, NotPlaced.
    """
    element = require_element(command.element_id, call.view)
    if element.status == ElementStatus.STRANDED and command.outcome == CancellationOutcome.ENDED:
        over = moved(element, "replace" if element.replaced_by else "ended")
        return _ended(over).then(service_ended(element, call))
    if element.status != ElementStatus.CANCELLING:
        raise WrongStatus(f"The element is {element.status}; nothing of it is cancelled.", "status")
    placed = call.view.get(RELEASE, element.order_release_id)
    if placed is None or placed.status in (ReleaseStatus.OPEN, ReleaseStatus.VOID):
        raise NotPlaced("The order is still on its way out.", "element_id")
    if command.outcome == CancellationOutcome.STRANDED:
        return _ended(moved(element, "strand"))
    return _ended(moved(element, "replace" if element.replaced_by else "ended"))


def _ended(element: ServiceElement) -> Outcome:
    return Outcome(writes=(element,), events=(Event(ELEMENT_EVENTS[element.status], element),))


def record_surfaced(command: RecordSurfaced, call: Call) -> Outcome:
    """B-BUS sees an order out there that was taken for refused, since its node was behind: it is looked after again. Req: D-40; X-15.

    What INT has given up meanwhile is cancelled there; what still waits for the seller's answer goes on. A rejection that SCO
    has to decide about first is not touched.

    Rejects with the first of: ReleaseUnknown, NothingNew, WrongStatus.
    """
    release = call.view.get(RELEASE, command.release_id)
    if release is None or release.act != "place_order":
        raise ReleaseUnknown("No order was let out under this id.", "release_id")
    if release.status != ReleaseStatus.REFUSED:
        raise NothingNew("This order is not taken for refused.", "release_id")
    order_id = outward_id(release, ORDER, call)
    known = surfaced(release, order_id, call.block.time_ms)
    done = Outcome(writes=(known,), events=(Event("release.carried", known),))
    if release.subject_kind == STRANDED_SERVICE.name:
        return done.then(order_surfaced(known, order_id, call))
    bought = tuple(one for one in elements_of(release.subject_id, call.view) if one.order_release_id == release.id)
    handover = require_handover(release.subject_id, call.view)
    undecided = any(one.status == ElementStatus.REJECTED and not one.replaced_by for one in bought)
    if undecided and handover.status in OPEN:
        raise WrongStatus("What becomes of the order is still to be decided.", "status")
    back = tuple(
        moved(one, "surface", cancel_release_id="") for one in bought if (one.status, "surface") in ELEMENT_LIFECYCLE
    )
    return done.then(Outcome(writes=back, events=tuple(Event(ELEMENT_EVENTS[one.status], one) for one in back)))


# B-BUS: windows of orders that were placed


def record_extension_request(command: RecordExtensionRequest, call: Call) -> Outcome:
    """A seller asks for a later end of its order. Req: D-33, D-43.

    Rejects with the first of: OrderHandoverUnknown, OrderForeign, WrongStatus, NothingNew, TimeOutOfRange.
    """
    bought = _worked_on(command.order_handover_id, command.ledger_id, command.order_id, call)
    for name in ("activate_by_ms", "answer_by_ms"):
        require_time(getattr(command, name), name)
    asked = DownstreamExtension(
        activate_by_ms=command.activate_by_ms, answer_by_ms=command.answer_by_ms, reason=command.reason
    )
    if all(element.extension == asked for element in bought):
        raise NothingNew("It is known that the seller asks for that.", "order_id")
    waiting = tuple(replace(element, extension=asked, extension_release_id="") for element in bought)
    news = tuple(Event("service_element.extension_asked", element) for element in waiting)
    return Outcome(writes=waiting, events=news)


def report_delay(command: ReportDelay, call: Call) -> Outcome:
    """An internal element needs more time than it has; S-BUS may ask the buyer, while the window is open. Req: D-31, D-33.

    Rejects with the first of: ServiceElementUnknown, ElementNotInternal, WrongStatus, EndNotLater, TimeOutOfRange, NothingNew.
    """
    element = require_element(command.element_id, call.view)
    if element.source != Source.INTERNAL:
        raise ElementNotInternal("Its seller asks for time itself.", "element_id")
    if element.status != ElementStatus.ACTIVATING:
        raise WrongStatus(f"The element is {element.status}; it has no window that is open.", "status")
    if command.activate_by_ms <= element.activate_by_ms:
        raise EndNotLater(f"The element's window ends at {element.activate_by_ms}.", "activate_by_ms")
    require_time(command.activate_by_ms, "activate_by_ms")
    if element.extension is not None and element.extension.activate_by_ms == command.activate_by_ms:
        raise NothingNew("It is known that the element will be late.", "activate_by_ms")
    expected = DownstreamExtension(activate_by_ms=command.activate_by_ms, answer_by_ms=0, reason=DELIVERY_LATE)
    late = replace(element, extension=expected)
    return Outcome(writes=(late,), events=(Event("service_element.delayed", late),))


def release_extension_answer(command: ReleaseExtensionAnswer, call: Call) -> Outcome:
    """Let the answer to a seller's request out. A grant must fit the service's window. Req: D-41, D-43; X-22.

    Rejects with the first of: OrderHandoverUnknown, OrderForeign, WrongStatus, NoExtensionAsked, AlreadyReleased,
    WindowsUnordered; without an order of ours ServesAnOrder, AlreadyDone; SaltInvalid.
    """
    if not command.order_handover_id:
        return _own_answer(command, call)
    handover = require_handover(command.order_handover_id, call.view)
    bought = _worked_on(command.order_handover_id, command.ledger_id, command.order_id, call)
    asked = bought[0].extension
    if asked is None or asked.activate_by_ms != command.activate_by_ms:
        raise NoExtensionAsked("The seller does not ask for that.", "activate_by_ms")
    if bought[0].extension_release_id:
        raise AlreadyReleased("The answer is out.", "order_id", existing_id=bought[0].extension_release_id)
    if command.granted and asked.activate_by_ms > end_of(handover):
        raise WindowsUnordered("The seller asks for more than the service's window.", "granted")
    release = _extension_release(command, ORDER_HANDOVER.name, handover.id, call)
    answered = tuple(replace(element, extension_release_id=release.id) for element in bought)
    news = tuple(Event("service_element.extension_answered", element) for element in answered)
    return Outcome(writes=answered, events=news).then(opened(release))


def _own_answer(command: ReleaseExtensionAnswer, call: Call) -> Outcome:
    """An answer about an order that was not placed for an order: there is no window of ours that it has to fit."""
    if call.view.find(SERVICE_ELEMENT, "keys", order_key(command.ledger_id, command.order_id), 1):
        raise ServesAnOrder("Name the order that this one serves.", "order_handover_id")
    answer_id = own_answer_id(call.ledger_id, command.ledger_id, command.order_id, command.activate_by_ms)
    if call.view.get(OWN_EXTENSION_ANSWER, answer_id) is not None:
        raise AlreadyDone("This request was answered before.", "order_id", existing_id=answer_id)
    release = _extension_release(command, OWN_EXTENSION_ANSWER.name, answer_id, call)
    answer = OwnExtensionAnswer(
        id=answer_id,
        ledger_id=command.ledger_id,
        order_id=command.order_id,
        granted=command.granted,
        waive_penalty=command.waive_penalty,
        release_id=release.id,
        answered_at_ms=call.block.time_ms,
        activate_by_ms=command.activate_by_ms,
    )
    return Outcome(writes=(answer,), events=(Event("extension_answer.given", answer),)).then(opened(release))


def own_answer_id(internal_id: str, ledger_id: str, order_id: str, activate_by_ms: int) -> str:
    """The id of the answer to a request for this end."""
    return derive_id(OWN_EXTENSION_ANSWER.prefix, internal_id, ledger_id, order_id, activate_by_ms)


def _extension_release(command: ReleaseExtensionAnswer, subject_kind: str, subject_id: str, call: Call) -> Release:
    return open_release(
        call,
        0,
        role=Role.B_BUS,
        act="answer_extension",
        ledger_id=command.ledger_id,
        subject_kind=subject_kind,
        subject_id=subject_id,
        command_record=AnswerExtension(
            order_id=command.order_id, granted=command.granted, waive_penalty=command.granted and command.waive_penalty
        ),
        salt=command.salt,
    )


def release_window_change(command: ReleaseWindowChange, call: Call) -> Outcome:
    """Extend a seller's window to what SCO has set. Req: D-42, D-43.

    Rejects with the first of: OrderHandoverUnknown, OrderForeign, WrongStatus, AlreadyReleased, EndNotLater, SaltInvalid.
    """
    bought = _worked_on(command.order_handover_id, command.ledger_id, command.order_id, call)
    if bought[0].window_release_id:
        raise AlreadyReleased("The change is out.", "order_id", existing_id=bought[0].window_release_id)
    wanted_ms = max(element.wanted_by_ms for element in bought)
    if wanted_ms <= bought[0].activate_by_ms:
        raise EndNotLater("SCO has set no later end for these elements.", "order_id")
    release = open_release(
        call,
        0,
        role=Role.B_BUS,
        act="extend_window",
        ledger_id=command.ledger_id,
        subject_kind=ORDER_HANDOVER.name,
        subject_id=command.order_handover_id,
        command_record=ExtendWindow(order_id=command.order_id, activate_by_ms=wanted_ms),
        salt=command.salt,
    )
    extended = tuple(replace(element, window_release_id=release.id) for element in bought)
    news = tuple(Event("service_element.window_released", element) for element in extended)
    return Outcome(writes=extended, events=news).then(opened(release))


def record_window(command: RecordWindow, call: Call) -> Outcome:
    """What the window of an order placed for elements is now; a request for an extension is closed by it. Req: D-43.

    Rejects with the first of: OrderHandoverUnknown, OrderForeign, WrongStatus, NothingNew, TimeOutOfRange.
    """
    bought = _worked_on(command.order_handover_id, command.ledger_id, command.order_id, call)
    known = all(one.activate_by_ms == command.activate_by_ms and one.extension is None for one in bought)
    if known:
        raise NothingNew("It is known that the window ends then.", "activate_by_ms")
    require_time(command.activate_by_ms, "activate_by_ms")
    changed = tuple(
        replace(element, activate_by_ms=command.activate_by_ms, extension=None, extension_release_id="")
        for element in bought
    )
    news = tuple(Event("service_element.window_changed", element) for element in changed)
    return Outcome(writes=changed, events=news)


def _worked_on(handover_id: str, ledger_id: str, order_id: str, call: Call) -> tuple[ServiceElement, ...]:
    """The elements that a seller works on by this order. Rejects with OrderHandoverUnknown, OrderForeign, WrongStatus."""
    require_handover(handover_id, call.view)
    bought = bought_by_order(elements_of(handover_id, call.view), ledger_id, order_id)
    if any(element.status not in _WORKED_ON for element in bought):
        raise WrongStatus(f"The elements of this order are {bought[0].status}.", "status")
    return bought


OWN_EXTENSION_ANSWER: Final = Kind(
    name="extension_answer",
    prefix="exa",
    record=OwnExtensionAnswer,
    terms=lambda one: Terms(related=words((one.ledger_id, one.order_id, one.release_id))),
    filters=("related",),
)

CONTRACT: Final = Contract(
    name="recovery",
    kinds=(OWN_EXTENSION_ANSWER,),
    messages=(
        MessageType(
            name="decide_recovery", command=DecideRecovery, handler=decide_recovery, roles=(Role.SCO,), gas=2_000
        ),
        MessageType(
            name="choose_replacement",
            command=ChooseReplacement,
            handler=choose_replacement,
            roles=(Role.SCO,),
            gas=2_000,
        ),
        MessageType(
            name="release_extension",
            command=ReleaseExtension,
            handler=release_extension,
            roles=(Role.S_BUS,),
            gas=2_000,
        ),
        MessageType(
            name="record_extension",
            command=RecordExtension,
            handler=record_extension,
            roles=(Role.S_BUS,),
            gas=WHOLE_ORDER_GAS,
        ),
        MessageType(
            name="set_windows", command=SetWindows, handler=set_windows, roles=(Role.SCO,), gas=WHOLE_ORDER_GAS
        ),
        MessageType(name="abandon_order", command=AbandonOrder, handler=abandon_order, roles=(Role.S_BUS,), gas=2_000),
        MessageType(
            name="notify_abandonment",
            command=NotifyAbandonment,
            handler=notify_abandonment,
            roles=(Role.SCO,),
            gas=WHOLE_ORDER_GAS,
        ),
        MessageType(
            name="release_failure", command=ReleaseFailure, handler=release_failure, roles=(Role.S_BUS,), gas=2_000
        ),
        MessageType(
            name="report_released", command=ReportReleased, handler=report_released, roles=(Role.SOF,), gas=2_000
        ),
        MessageType(
            name="release_cancellation",
            command=ReleaseCancellation,
            handler=release_cancellation,
            roles=(Role.B_BUS,),
            gas=WHOLE_ORDER_GAS,
        ),
        MessageType(
            name="record_cancellation",
            command=RecordCancellation,
            handler=record_cancellation,
            roles=(Role.B_BUS,),
            gas=2_000,
        ),
        MessageType(
            name="record_extension_request",
            command=RecordExtensionRequest,
            handler=record_extension_request,
            roles=(Role.B_BUS,),
            gas=WHOLE_ORDER_GAS,
        ),
        MessageType(
            name="release_extension_answer",
            command=ReleaseExtensionAnswer,
            handler=release_extension_answer,
            roles=(Role.B_BUS,),
            gas=WHOLE_ORDER_GAS,
        ),
        MessageType(
            name="release_window_change",
            command=ReleaseWindowChange,
            handler=release_window_change,
            roles=(Role.B_BUS,),
            gas=WHOLE_ORDER_GAS,
        ),
        MessageType(
            name="record_surfaced",
            command=RecordSurfaced,
            handler=record_surfaced,
            roles=(Role.B_BUS,),
            gas=WHOLE_ORDER_GAS,
        ),
        MessageType(name="report_delay", command=ReportDelay, handler=report_delay, roles=(Role.SOF,), gas=2_000),
        MessageType(
            name="record_window", command=RecordWindow, handler=record_window, roles=(Role.B_BUS,), gas=WHOLE_ORDER_GAS
        ),
    ),
)
