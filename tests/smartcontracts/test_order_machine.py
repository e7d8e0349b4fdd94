"""The whole life of orders, their services and changes: any messages at any time do what a small model says, and no more.

The model knows windows only, and no deadlines: whether these have run before a message or not must make no difference. Blocks
may be so crowded that none runs.
"""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)

from smartcontracts.change import ChangeOutcome, EndChange, StartChange
from smartcontracts.charge import CHARGE, ChargeKind
from smartcontracts.delivery import (
    ActivateOrder,
    AnswerExtension,
    CancelOrder,
    ExtendWindow,
    FailOrder,
    RequestExtension,
)
from smartcontracts.kernel import Rejected
from smartcontracts.order import ORDER, AcceptOrder, OrderStatus, RejectOrder
from smartcontracts.service import SERVICE, SERVICE_CHANGE, ChangeStatus, ServiceStatus
from smartcontracts.trade import ChangeKind
from tests.smartcontracts.delivering import ANSWER_MS, CANCEL_MS, STRICT, change_ordered
from tests.smartcontracts.support import MemoryLedger
from tests.smartcontracts.trading import BUYER, CONTRACTS, SELLER, agreement_record, ordered

ACTIVATION_MS = 40_000
_S = OrderStatus
LIVE = (_S.ACCEPTED, _S.OVERDUE, _S.EXTENSION_REQUESTED)
ORDERS_MAX = 6
# Which statuses the histories came through, as the ledger has them; and how changes ended.
REACHED: set[OrderStatus] = set()
OUTCOMES: set[ChangeStatus] = set()


class CrowdedLedger(MemoryLedger):
    """A ledger whose blocks may have no room for deadlines."""

    crowded = False

    def _begin_block(self, time_ms, height):
        if not self.crowded:
            return super()._begin_block(time_ms, height)
        assert time_ms > self.time_ms
        self.time_ms, self.height, self.fired = time_ms, height, []
        return None


@dataclass
class Model:
    """An order as its windows alone have it."""

    id: str
    accept_by: int
    status: OrderStatus = _S.PLACED
    activate_by: int = 0
    delay_from: int = 0
    # The end that was asked for, by when it is to be answered, and the end for which the answer was no.
    asked: int = 0
    answer_by: int = 0
    refused_end: int = 0
    activated_at: int = 0
    # The order whose service is changed, and how: None for an order of a service of its own.
    changes: Model | None = None
    ends_service: bool = False
    started: bool = False
    # Of an order of a service: whether it has ended, and the order of the change under way.
    service_ended: bool = False
    change: Model | None = None

    def settle(self, now):
        """What has become of it by itself."""
        if self.status == _S.PLACED and now > self.accept_by:
            self.end(_S.REJECTED)
        if self.status == _S.EXTENSION_REQUESTED and now > self.answer_by:
            self.keep_window(self.answer_by + 1)
        if self.status == _S.ACCEPTED and now > self.activate_by:
            self.status = _S.OVERDUE

    def keep_window(self, now):
        self.refused_end = self.activate_by
        self.status = _S.OVERDUE if now > self.activate_by else _S.ACCEPTED

    def in_time(self, now):
        return self.status in (_S.ACCEPTED, _S.EXTENSION_REQUESTED) and now <= self.activate_by

    def end(self, status):
        """It ends, and what hangs on it: a change under way, or that this was one."""
        self.status = status
        if self.changes is not None:
            self.changes.change = None
        elif status in (_S.FAILED, _S.CANCELLED):
            self.end_service()

    def end_service(self):
        self.service_ended = True
        if self.change is not None:
            self.change.end(_S.CANCELLED)


class OrderLife(RuleBasedStateMachine):
    """Several orders side by side, and changes of their services."""

    orders = Bundle("orders")

    def __init__(self):
        super().__init__()
        self.ledger = CrowdedLedger.bilateral(*CONTRACTS)
        self.ledger.write(agreement_record(**STRICT))
        self.models: dict[str, Model] = {}
        self.late: dict[str, int] = {}

    @initialize(target=orders, far=st.integers(0, 6), terminate=st.booleans(), done=st.booleans())
    def it_has_come_some_way(self, far, terminate, done):
        """Some histories begin with a service, or with a change of one on its way or at its end."""
        first = self.place()
        for _ in range(min(far, 2)):
            self.go_on(first, done)
        if far <= 2:
            return first
        second = self.place_change(first, terminate)
        for _ in range(far - 3):
            self.go_on(second, done)
        return multiple(first, second)

    # Time

    @rule(ms=st.integers(1, 20_000))
    def time_passes(self, ms):
        self.ledger.advance(self.ledger.time_ms + ms)

    @rule(
        order=orders, offset=st.sampled_from([-1, 0]), edge=st.sampled_from(["accept", "activate", "answer", "cancel"])
    )
    def it_is_a_windows_last_millisecond_or_the_next(self, order, offset, edge):
        """Without a block: the next one comes one millisecond later than this sets."""
        model = self.models[order]
        edges = {
            "accept": model.accept_by,
            "activate": model.activate_by,
            "answer": model.answer_by,
            "cancel": model.activated_at and model.activated_at + CANCEL_MS,
        }
        self.ledger.time_ms = max(self.ledger.time_ms, edges[edge] + offset)

    @rule(crowded=st.booleans())
    def blocks_are_crowded_or_not(self, crowded):
        self.ledger.crowded = crowded

    # Messages

    def do(self, name, command, who, allowed):
        """Whether it was done, which must be what the model says."""
        before = self.ledger.root()
        role = "s_bus" if who == SELLER else "b_bus"
        try:
            self.ledger.run(name, command, sender=self.ledger.sender(who, role))
            done = True
        except Rejected:
            done = False
            assert self.ledger.root() == before or self.ledger.fired
        assert done == allowed, name
        return done

    def at_next(self, order):
        """The model of this order as it is in the next block, and that block's time."""
        now = self.ledger.time_ms + 1
        for model in self.models.values():
            model.settle(now)
        return self.models[order], now

    def ends(self, model, now):
        """An accepted order ends now: a delay has its price."""
        if model.delay_from and now > model.delay_from:
            self.late[model.id] = now - model.delay_from

    @rule(target=orders)
    def place(self):
        if len(self.models) >= ORDERS_MAX:
            return multiple()
        order = ordered(self.ledger)
        self.models[order.id] = Model(order.id, order.accept_by_ms)
        return order.id

    @rule(target=orders, order=orders, terminate=st.booleans())
    def place_change(self, order, terminate):
        model = self.models[order]
        model.settle(self.ledger.time_ms)
        alive = model.status in (*LIVE, _S.ACTIVATED) and model.changes is None and not model.service_ended
        # Asking and quoting take some blocks; by then a window may be over, but the service is still there.
        if len(self.models) >= ORDERS_MAX or not alive or model.change is not None:
            return multiple()
        service = self.ledger.the(SERVICE, self.ledger.the(ORDER, order).service_id)
        kind = ChangeKind.TERMINATION if terminate else ChangeKind.PARAMETER
        placed, _ = change_ordered(self.ledger, service, kind)
        model.change = Model(placed.id, placed.accept_by_ms, changes=model, ends_service=terminate)
        self.models[placed.id] = model.change
        return placed.id

    @rule(order=orders)
    def accept(self, order):
        model, now = self.at_next(order)
        if self.do("accept_order", AcceptOrder(order_id=order), SELLER, model.status == _S.PLACED):
            model.status, model.activate_by = _S.ACCEPTED, now + ACTIVATION_MS
            model.delay_from = model.activate_by

    @rule(order=orders)
    def reject(self, order):
        model, _ = self.at_next(order)
        if self.do("reject_order", RejectOrder(order_id=order, reason="NO"), SELLER, model.status == _S.PLACED):
            model.end(_S.REJECTED)

    @rule(order=orders)
    def activate(self, order):
        model, now = self.at_next(order)
        may = model.in_time(now) and model.changes is None
        if self.do("activate_order", ActivateOrder(order_id=order), SELLER, may):
            self.ends(model, now)
            model.status, model.activated_at = _S.ACTIVATED, now

    @rule(order=orders)
    def fail(self, order):
        model, now = self.at_next(order)
        if self.do("fail_order", FailOrder(order_id=order, reason="NO"), SELLER, model.status in LIVE):
            self.ends(model, now)
            model.end(_S.FAILED)

    @rule(order=orders)
    def cancel(self, order):
        model, now = self.at_next(order)
        short = model.status == _S.ACTIVATED and now <= model.activated_at + CANCEL_MS
        back = short and model.changes is None and not model.service_ended
        # What is being changed is not called off, as long as there is time for it.
        being_made = model.started and now <= model.activate_by
        may = model.status == _S.PLACED or (model.status in LIVE and not being_made) or back
        if self.do("cancel_order", CancelOrder(order_id=order, reason="NO"), BUYER, may):
            if not back:
                self.ends(model, now)
            model.end(_S.CANCELLED)

    @rule(order=orders, more_ms=st.integers(-1, 30_000))
    def request_extension(self, order, more_ms):
        model, now = self.at_next(order)
        new = max(model.activate_by, now) + more_ms
        open_to_ask = model.status in (_S.ACCEPTED, _S.OVERDUE) and model.refused_end != model.activate_by
        command = RequestExtension(order_id=order, activate_by_ms=new, reason="LATE")
        if self.do("request_extension", command, SELLER, open_to_ask and more_ms > 0):
            model.status, model.asked, model.answer_by = _S.EXTENSION_REQUESTED, new, min(now + ANSWER_MS, new)

    @rule(order=orders, granted=st.booleans(), waive=st.booleans())
    def answer_extension(self, order, granted, waive):
        model, now = self.at_next(order)
        command = AnswerExtension(order_id=order, granted=granted, waive_penalty=waive)
        may = model.status == _S.EXTENSION_REQUESTED and (granted or not waive)
        if not self.do("answer_extension", command, BUYER, may):
            return
        if granted:
            self.move_window(model, model.asked, waive)
        else:
            model.keep_window(now)

    @rule(order=orders, more_ms=st.integers(-1, 30_000), waive=st.booleans())
    def extend_window(self, order, more_ms, waive):
        model, now = self.at_next(order)
        new = max(model.activate_by, now) + more_ms
        command = ExtendWindow(order_id=order, activate_by_ms=new, waive_penalty=waive)
        may = model.status in (_S.ACCEPTED, _S.OVERDUE) and more_ms > 0
        if self.do("extend_window", command, BUYER, may):
            self.move_window(model, new, waive)

    def move_window(self, model, new, waive):
        model.status, model.activate_by = _S.ACCEPTED, new
        if waive:
            model.delay_from = new

    @rule(order=orders)
    def start_change(self, order):
        if self.models[order].changes is None:
            return
        model, now = self.at_next(order)
        change = self.ledger.the(SERVICE_CHANGE, self.ledger.the(ORDER, order).change_id)
        command = StartChange(change_id=change.id, service_id=change.service_id)
        if self.do("start_change", command, SELLER, model.in_time(now) and not model.started):
            model.started = True

    @rule(order=orders, done=st.booleans())
    def end_change(self, order, done):
        if self.models[order].changes is None:
            return
        model, now = self.at_next(order)
        change = self.ledger.the(SERVICE_CHANGE, self.ledger.the(ORDER, order).change_id)
        outcome, reason = (ChangeOutcome.DONE, "") if done else (ChangeOutcome.FAILED, "NO")
        command = EndChange(change_id=change.id, service_id=change.service_id, outcome=outcome, reason=reason)
        may = model.started and (model.in_time(now) if done else model.status in LIVE)
        if not self.do("end_change", command, SELLER, may):
            return
        self.ends(model, now)
        first = model.changes
        model.end(_S.ACTIVATED if done else _S.FAILED)
        if done and model.ends_service:
            if first.status in LIVE:
                self.ends(first, now)
                first.status = _S.CANCELLED
            first.service_ended = True

    @rule(order=orders, done=st.booleans())
    def go_on(self, order, done):
        """The next step on the way to the end, so that histories come far."""
        model = self.models[order]
        if model.status == _S.PLACED:
            self.accept(order)
        elif model.changes is None:
            self.activate(order)
        elif model.started:
            self.end_change(order, done)
        else:
            self.start_change(order)

    # What always holds

    @invariant()
    def orders_are_what_the_model_says(self):
        """Once deadlines have run; before, an order may only lag behind its windows."""
        now = self.ledger.time_ms
        for order in self.ledger.all(ORDER):
            REACHED.add(order.status)
            model = self.models[order.id]
            if not any(deadline.due_ms < now for deadline in ORDER.deadlines(order)):
                model.settle(now)
                assert order.status == model.status, order.id
                if order.status in (*LIVE, _S.ACTIVATED):
                    assert (order.activate_by_ms, order.delay_from_ms) == (model.activate_by, model.delay_from)

    @invariant()
    def service_and_order_agree(self):
        services = {service.order_id: service for service in self.ledger.all(SERVICE)}
        for order in self.ledger.all(ORDER):
            if order.change is not None:
                assert order.id not in services
                continue
            service = services.get(order.id)
            assert (service is not None) == bool(order.service_id) == bool(order.accepted_at_ms)
            if service is None:
                continue
            assert service.id == order.service_id
            if order.status in LIVE:
                assert service.status == ServiceStatus.IN_DELIVERY
            elif order.status == _S.ACTIVATED:
                assert service.status != ServiceStatus.IN_DELIVERY
                assert service.activated_at_ms == order.ended_at_ms
            else:
                assert service.status == ServiceStatus.TERMINATED
            assert (service.status == ServiceStatus.TERMINATED) == bool(service.terminated_at_ms)

    @invariant()
    def a_service_has_at_most_one_change_and_that_is_its_orders(self):
        services = {service.id: service for service in self.ledger.all(SERVICE)}
        for change in self.ledger.all(SERVICE_CHANGE):
            OUTCOMES.add(change.status)
            order, service = self.ledger.the(ORDER, change.order_id), services[change.service_id]
            ended = order.status not in (_S.PLACED, *LIVE)
            assert bool(change.outcome) == ended == bool(change.ended_at_ms)
            assert (service.change_id == change.id) == (not ended)
            done = change.status == ChangeStatus.DONE
            assert done == (order.status == _S.ACTIVATED)

    @invariant()
    def every_delay_has_its_price_once_and_nothing_else_has(self):
        penalties = [charge for charge in self.ledger.all(CHARGE) if charge.kind == ChargeKind.DELAY_PENALTY]
        assert {charge.order_id: charge.delay_ms for charge in penalties} == self.late
        assert len(penalties) == len(self.late)

    @invariant()
    def every_change_of_a_window_is_on_record(self):
        for order in self.ledger.all(ORDER):
            end_ms = order.original_activate_by_ms
            for change in order.window_changes:
                assert change.old_ms == end_ms < change.new_ms
                end_ms = change.new_ms
            assert order.activate_by_ms == end_ms


@pytest.mark.req("O-24", "O-30", "O-31", "X-16", "D-31", "D-43", "X-61", "C-11")
def test_any_history_of_orders_keeps_to_its_windows_and_every_status_is_reached():
    REACHED.clear()
    OUTCOMES.clear()
    run_state_machine_as_test(OrderLife, settings=settings(max_examples=150, stateful_step_count=50))
    assert set(OrderStatus) == REACHED
    ends = {ChangeStatus.DONE, ChangeStatus.REFUSED, ChangeStatus.FAILED, ChangeStatus.CANCELLED}
    assert ends <= OUTCOMES
