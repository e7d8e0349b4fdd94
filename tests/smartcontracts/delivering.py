"""What comes after an order, on the ledger of trading.py: its delivery, its end, and changes of its service."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from smartcontracts.agreement import DelayPenalty
from smartcontracts.change import (
    AgreeMaintenance,
    ChangeOutcome,
    DeclineMaintenance,
    EndChange,
    ProposeMaintenance,
    StartChange,
)
from smartcontracts.delivery import (
    ActivateOrder,
    AnswerExtension,
    CancelOrder,
    ExtendWindow,
    FailOrder,
    RequestExtension,
)
from smartcontracts.kernel import Outcome
from smartcontracts.money import Money
from smartcontracts.order import ORDER, AcceptOrder, Order
from smartcontracts.quote import Quote, QuoteItem
from smartcontracts.service import SERVICE, SERVICE_CHANGE, Service, ServiceChange
from smartcontracts.trade import Action, Change, ChangeAnswer, ChangeKind, ChangeMethod, InquiryItem, Outage
from tests.smartcontracts.support import MemoryLedger, org
from tests.smartcontracts.trading import (
    ASK,
    BUYER,
    LINE,
    PORT_A,
    PORT_Z,
    SELLER,
    accepted,
    ask,
    buy,
    give,
    monthly,
    once,
    product,
    sell,
    usage,
)

PENALTY = DelayPenalty(seller=org(SELLER), amount_minor=5_00, period_ms=1_000, cap_minor=12_00)
ANSWER_MS = 15_000
CANCEL_MS = 50_000
FEE_MINOR = 99_00
# An agreement in which lateness, and cancelling too late, have their price.
STRICT = {
    "delay_penalties": (PENALTY,),
    "extension_answer_window_ms": ANSWER_MS,
    "cancellation_window_ms": CANCEL_MS,
    "cancellation_fee_minor": FEE_MINOR,
}
FASTER = replace(LINE, action=Action.MODIFY, product=product("line", sls=True, mbps=90), relations=())
FASTER_PRICES = (QuoteItem(id="item-001", prices=(once(5 * 10**9), monthly(30 * 10**9), usage(600_000))),)
ALL = (LINE, PORT_A, PORT_Z)
END_PRICES = (
    QuoteItem(id="item-001", prices=(once(40 * 10**9),)),
    *(QuoteItem(id=one.id, prices=(once(0),)) for one in ALL[1:]),
)
NO_OUTAGE = ChangeAnswer(outage=Outage.NO, method=ChangeMethod.RECONFIGURE)
OUTAGE_MS = 2_000
WITH_OUTAGE = ChangeAnswer(outage=Outage.YES, outage_ms=OUTAGE_MS, method=ChangeMethod.PARALLEL_BUILD_COLD)


def by_buyer(ledger: MemoryLedger, name: str, command: Any, at: int | None = None) -> Outcome:
    return ledger.run(name, command, sender=ledger.sender(BUYER, "b_bus"), at=at)


def activate(ledger: MemoryLedger, order: Order, at: int | None = None) -> Outcome:
    return sell(ledger, "activate_order", ActivateOrder(order_id=order.id), at=at)  # type: ignore[no-any-return]


def fail(ledger: MemoryLedger, order: Order, reason: str = "NO_CAPACITY", at: int | None = None) -> Outcome:
    return sell(ledger, "fail_order", FailOrder(order_id=order.id, reason=reason), at=at)  # type: ignore[no-any-return]


def cancel(ledger: MemoryLedger, order: Order, reason: str = "NO_NEED", at: int | None = None) -> Outcome:
    return by_buyer(ledger, "cancel_order", CancelOrder(order_id=order.id, reason=reason), at)


def request(ledger: MemoryLedger, order: Order, end_ms: int, at: int | None = None, reason: str = "LATE") -> Order:
    command = RequestExtension(order_id=order.id, activate_by_ms=end_ms, reason=reason)
    sell(ledger, "request_extension", command, at=at)
    return ledger.the(ORDER, order.id)


def reply(ledger: MemoryLedger, order: Order, *, granted: bool, waive: bool = False, at: int | None = None) -> Order:
    command = AnswerExtension(order_id=order.id, granted=granted, waive_penalty=waive)
    by_buyer(ledger, "answer_extension", command, at)
    return ledger.the(ORDER, order.id)


def extend(ledger: MemoryLedger, order: Order, end_ms: int, *, waive: bool = False, at: int | None = None) -> Order:
    command = ExtendWindow(order_id=order.id, activate_by_ms=end_ms, waive_penalty=waive)
    by_buyer(ledger, "extend_window", command, at)
    return ledger.the(ORDER, order.id)


def in_operation(ledger: MemoryLedger) -> tuple[Order, Service]:
    """An activated order, and its service."""
    order = accepted(ledger)
    activate(ledger, order)
    return ledger.the(ORDER, order.id), ledger.the(SERVICE, order.service_id)


def change_quoted(
    ledger: MemoryLedger,
    service: Service,
    kind: ChangeKind = ChangeKind.PARAMETER,
    answer: ChangeAnswer | None = NO_OUTAGE,
    items: tuple[InquiryItem, ...] = (FASTER,),
    prices: tuple[QuoteItem, ...] = FASTER_PRICES,
    totals: tuple[int, int] = (5_00, 365_00),
    **more: Any,
) -> Quote:
    """The seller's quote on a change of `service`; without more, its line gets faster."""
    if kind == ChangeKind.TERMINATION:
        items = tuple(replace(one, action=Action.DELETE) for one in ALL)
        answer, prices, totals = None, END_PRICES, (40_00, 40_00)
    command = replace(ASK, items=items, change=Change(service_id=service.id, kind=kind))
    one_time, over_term = (Money(minor, "EUR") for minor in totals)
    return give(  # type: ignore[no-any-return]
        ledger,
        ask(ledger, command).id,
        items=prices,
        one_time_total=one_time,
        term_total=over_term,
        change_answer=answer,
        **more,
    )


def change_ordered(
    ledger: MemoryLedger, service: Service, kind: ChangeKind = ChangeKind.PARAMETER, at: int | None = None, **more: Any
) -> tuple[Order, ServiceChange]:
    """The order of a change, and the change; `more` are for the quote, or for the order if it knows them."""
    wishes = {name: more.pop(name) for name in ("implement_at_ms", "activation_window_ms") if name in more}
    quote = change_quoted(ledger, service, kind, **more)
    order = buy(ledger, quote.id, at=at, change=Change(service_id=service.id, kind=kind), **wishes)
    return order, ledger.the(SERVICE_CHANGE, order.change_id)


def change_accepted(
    ledger: MemoryLedger, service: Service, kind: ChangeKind = ChangeKind.PARAMETER, **more: Any
) -> tuple[Order, ServiceChange]:
    order, change = change_ordered(ledger, service, kind, **more)
    sell(ledger, "accept_order", AcceptOrder(order_id=order.id))
    return ledger.the(ORDER, order.id), ledger.the(SERVICE_CHANGE, change.id)


def propose(
    ledger: MemoryLedger, change: ServiceChange, from_ms: int, until_ms: int, who: str = SELLER, at: int | None = None
) -> ServiceChange:
    command = ProposeMaintenance(change_id=change.id, service_id=change.service_id, from_ms=from_ms, until_ms=until_ms)
    ledger.run("propose_maintenance", command, sender=ledger.sender(who, "s_bus", "b_bus"), at=at)
    return ledger.the(SERVICE_CHANGE, change.id)


def consent(ledger: MemoryLedger, change: ServiceChange, who: str = BUYER, at: int | None = None) -> ServiceChange:
    """Agree to the window that is proposed."""
    window = ledger.the(SERVICE_CHANGE, change.id).window
    assert window is not None
    command = AgreeMaintenance(
        change_id=change.id, service_id=change.service_id, from_ms=window.from_ms, until_ms=window.until_ms
    )
    ledger.run("agree_maintenance", command, sender=ledger.sender(who, "b_bus"), at=at)
    return ledger.the(SERVICE_CHANGE, change.id)


def decline(ledger: MemoryLedger, change: ServiceChange, who: str = BUYER, reason: str = "BUSY") -> ServiceChange:
    command = DeclineMaintenance(change_id=change.id, service_id=change.service_id, reason=reason)
    ledger.run("decline_maintenance", command, sender=ledger.sender(who, "b_bus"))
    return ledger.the(SERVICE_CHANGE, change.id)


def start(ledger: MemoryLedger, change: ServiceChange, at: int | None = None) -> ServiceChange:
    sell(ledger, "start_change", StartChange(change_id=change.id, service_id=change.service_id), at=at)
    return ledger.the(SERVICE_CHANGE, change.id)


def end(
    ledger: MemoryLedger,
    change: ServiceChange,
    outcome: ChangeOutcome = ChangeOutcome.DONE,
    reason: str = "",
    at: int | None = None,
) -> ServiceChange:
    command = EndChange(change_id=change.id, service_id=change.service_id, outcome=outcome, reason=reason)
    sell(ledger, "end_change", command, at=at)
    return ledger.the(SERVICE_CHANGE, change.id)
