"""An order inside alpha, brought to each of its states: the line is made, the two ports are bought from bravo by one quote."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from smartcontracts.internal.delivery import (
    ActivationOutcome,
    ChainElements,
    ElementWindow,
    RecordActivation,
    RecordTest,
    ReportActivation,
    RequestActivation,
)
from smartcontracts.internal.elements import ORDER_HANDOVER, SERVICE_ELEMENT, OrderHandover, ServiceElement
from smartcontracts.internal.orders import (
    AnswerAvailability,
    Availability,
    ElementAvailability,
    HandOverOrder,
    OrderAnswer,
    RecordOrderAnswer,
    RecordUpstream,
    ReleaseOrder,
    ReleaseOrderAnswer,
    Upstream,
)
from smartcontracts.internal.recovery import AbandonOrder, DecideRecovery, NotifyAbandonment
from smartcontracts.internal.release import RELEASE, RecordCarried
from tests.smartcontracts.internal.inquiries import (
    BRAVO,
    SALT,
    UPSTREAM,
    internal_ledger,
    quoted_alone,
    refusal_of,
    send,
    to_quote,
)
from tests.smartcontracts.internal.inquiries import answered as inquiry_answered
from tests.smartcontracts.support import MemoryLedger, org

__all__ = ["BRAVO", "SALT", "UPSTREAM", "refusal_of", "send"]

QUOTE = "quo_out"
ALL_MADE = ("item-001", "item-002", "item-003")
ACCEPT_MS, ACTIVATE_MS, OWN_MS = 3_600_000, 7_200_000, 300_000


def quoted(made: tuple[str, ...] = ("item-001",)) -> MemoryLedger:
    """acme has alpha's quote."""
    ledger = internal_ledger()
    handover = quoted_alone(ledger) if made == ALL_MADE else inquiry_answered(ledger, to_quote(ledger))
    assert handover.answer_id == QUOTE
    return ledger


def handing(ledger: MemoryLedger, **changes: Any) -> HandOverOrder:
    now = ledger.time_ms
    given = {
        "ledger_id": UPSTREAM,
        "order_id": "ord_up",
        "quote_id": QUOTE,
        "buyer": org("acme"),
        "agreement_id": "agr_up",
        "placed_at_ms": now,
        "accept_by_ms": now + ACCEPT_MS,
        "activation_window_ms": ACTIVATE_MS,
        "ordering_ms": OWN_MS,
        "delivery_ms": 2 * OWN_MS,
    }
    return HandOverOrder(**(given | changes))


def handed_over(made: tuple[str, ...] = ("item-001",), **changes: Any) -> MemoryLedger:
    ledger = quoted(made)
    send(ledger, "hand_over_order", handing(ledger, **changes), "s_bus")
    return ledger


def the_handover(ledger: MemoryLedger) -> OrderHandover:
    return ledger.the(ORDER_HANDOVER)


def element(ledger: MemoryLedger, name: str = "item-001", tries: int = 0) -> ServiceElement:
    (found,) = [one for one in ledger.all(SERVICE_ELEMENT) if (one.element_id, one.tries) == (name, tries)]
    return found


def statuses(ledger: MemoryLedger) -> list[str]:
    """Of all elements, in topology order: the ports, then the line."""
    found = sorted(ledger.all(SERVICE_ELEMENT), key=lambda one: (one.place, one.tries))
    return [one.status.value for one in found]


def answering(ledger: MemoryLedger, answer: str = "available", *names: str, **changes: Any) -> AnswerAvailability:
    given = {"reservation_id": "res_1"} if answer == "available" else {"reason": "NO_CAPACITY"}
    answers = tuple(
        ElementAvailability(element_id=element(ledger, name).id, answer=Availability(answer), **(given | changes))
        for name in names or ("item-001",)
    )
    return AnswerAvailability(order_handover_id=the_handover(ledger).id, answers=answers)


def available(made: tuple[str, ...] = ("item-001",)) -> MemoryLedger:
    ledger = handed_over(made)
    send(ledger, "answer_availability", answering(ledger, "available", *made), "sof")
    return ledger


def ordering(ledger: MemoryLedger, **changes: Any) -> ReleaseOrder:
    given = {
        "order_handover_id": the_handover(ledger).id,
        "ledger_id": BRAVO,
        "quote_id": element(ledger, "item-002").quote_id,
        "salt": SALT,
    }
    return ReleaseOrder(**(given | changes))


def ordered() -> MemoryLedger:
    ledger = available()
    send(ledger, "release_order", ordering(ledger), "b_bus")
    return ledger


def carry(ledger: MemoryLedger, release_id: str, role: str = "b_bus", **outcome: Any) -> None:
    given = outcome or {"outcome_id": element(ledger, "item-002").order_id}
    send(ledger, "record_carried", RecordCarried(release_id=release_id, **given), role)


def answered(ledger: MemoryLedger, answer: str = "accepted", **changes: Any) -> RecordOrderAnswer:
    bought = element(ledger, "item-002")
    given = {
        "order_handover_id": the_handover(ledger).id,
        "ledger_id": BRAVO,
        "quote_id": bought.quote_id,
        "order_id": bought.order_id,
        "answer": OrderAnswer(answer),
    }
    if answer == "accepted":
        given |= {"activate_by_ms": ledger.time_ms + ACTIVATE_MS - 3 * OWN_MS, "service_id": "svc_down"}
    else:
        given |= {"reason": "NO_CAPACITY"}
    return RecordOrderAnswer(**(given | changes))


def accepted() -> MemoryLedger:
    """All elements are accepted; the buyer does not know yet."""
    ledger = ordered()
    carry(ledger, element(ledger, "item-002").order_release_id)
    send(ledger, "record_order_answer", answered(ledger), "b_bus")
    return ledger


def upstream(ledger: MemoryLedger, status: str, **changes: Any) -> RecordUpstream:
    given = {"order_handover_id": the_handover(ledger).id, "status": Upstream(status)}
    return RecordUpstream(**(given | changes))


def accepted_upstream() -> MemoryLedger:
    """The acceptance is on the buyer's ledger."""
    ledger = accepted()
    send(
        ledger,
        "release_order_answer",
        ReleaseOrderAnswer(order_handover_id=the_handover(ledger).id, salt=SALT),
        "s_bus",
    )
    carry(ledger, the_handover(ledger).answer_release_id, "s_bus", outcome_id="ord_up")
    end = ledger.time_ms + ACTIVATE_MS
    send(ledger, "record_upstream", upstream(ledger, "accepted", activate_by_ms=end, service_id="svc_up"), "s_bus")
    return ledger


def requesting(ledger: MemoryLedger, **changes: Any) -> RequestActivation:
    end = the_handover(ledger).activate_by_ms
    given = {
        "order_handover_id": the_handover(ledger).id,
        "service_by_ms": end - OWN_MS,
        "elements": (ElementWindow(element_id=element(ledger).id, activate_by_ms=end - 2 * OWN_MS),),
    }
    return RequestActivation(**(given | changes))


def in_delivery() -> MemoryLedger:
    ledger = accepted_upstream()
    send(ledger, "request_activation", requesting(ledger), "sco")
    return ledger


def reporting(ledger: MemoryLedger, outcome: str = "activated", **changes: Any) -> ReportActivation:
    reason = "" if outcome == "activated" else "BROKEN"
    given = {"element_id": element(ledger).id, "outcome": ActivationOutcome(outcome), "reason": reason}
    return ReportActivation(**(given | changes))


def downstream(ledger: MemoryLedger, outcome: str = "activated", **changes: Any) -> RecordActivation:
    given = {
        "order_handover_id": the_handover(ledger).id,
        "ledger_id": BRAVO,
        "order_id": element(ledger, "item-002").order_id,
        "outcome": ActivationOutcome(outcome),
    }
    return RecordActivation(**(given | changes))


def to_chain() -> MemoryLedger:
    ledger = in_delivery()
    send(ledger, "report_activation", reporting(ledger), "sof")
    send(ledger, "record_activation", downstream(ledger), "b_bus")
    return ledger


def chaining(ledger: MemoryLedger, *names: str) -> ChainElements:
    ids = tuple(element(ledger, name).id for name in names or ("item-002", "item-003", "item-001"))
    return ChainElements(order_handover_id=the_handover(ledger).id, element_ids=ids)


def chained() -> MemoryLedger:
    ledger = to_chain()
    send(ledger, "chain_elements", chaining(ledger), "sco")
    return ledger


def trying(ledger: MemoryLedger, *, passed: bool = True, values: bytes = b'{"loss":0}') -> RecordTest:
    return RecordTest(order_handover_id=the_handover(ledger).id, passed=passed, values=values)


def passed_test() -> MemoryLedger:
    ledger = chained()
    send(ledger, "record_test", trying(ledger), "sof")
    return ledger


def activated() -> MemoryLedger:
    ledger = passed_test()
    send(ledger, "record_upstream", upstream(ledger, "activated", service_id="svc_up"), "s_bus")
    return ledger


def in_recovery() -> MemoryLedger:
    """The line has failed."""
    ledger = in_delivery()
    send(ledger, "report_activation", reporting(ledger, "failed"), "sof")
    return ledger


def deciding(ledger: MemoryLedger, decision: str, name: str = "item-001", tries: int = 0) -> DecideRecovery:
    return DecideRecovery(element_id=element(ledger, name, tries).id, decision=decision)


def overdue() -> MemoryLedger:
    """The service window has ended, with the line active and the ports not."""
    ledger = in_delivery()
    send(ledger, "report_activation", reporting(ledger), "sof")
    ledger.advance(the_handover(ledger).service_by_ms + 1)
    return ledger


def abandoned() -> MemoryLedger:
    ledger = overdue()
    command = AbandonOrder(order_handover_id=the_handover(ledger).id, reason="WINDOW_OVER")
    send(ledger, "abandon_order", command, "s_bus")
    return ledger


def to_fail() -> MemoryLedger:
    ledger = abandoned()
    send(ledger, "notify_abandonment", NotifyAbandonment(order_handover_id=the_handover(ledger).id), "sco")
    return ledger


def release_of(ledger: MemoryLedger, act: str) -> Any:
    (found,) = [one for one in ledger.all(RELEASE) if one.act == act]
    return found


def put(ledger: MemoryLedger, record: Any, **changes: Any) -> None:
    """A document as it might stand, for what else would take a long history."""
    ledger.write(replace(record, **changes))
