"""SOF and delivery: activates internal elements, and measures the chain to its downstream end. Req: D-06..D-08, D-12, D-13, D-19."""

from __future__ import annotations

from typing import Final

from node.agents.desk import Desk
from node.agents.duties import Duty, Later
from node.agents.orders import current_on, ends_nothing, handover_on, spec_of, submit_unless_overtaken
from node.agents.ports import LedgerPort, Outward
from node.agents.provisioning import (
    Activated,
    Declined,
    Failed,
    Operation,
    Pending,
    Provisioning,
    call_id,
)
from node.agents.sof.order import hold_until_ms
from smartcontracts.canonical_json import dump
from smartcontracts.internal.delivery import ActivationOutcome, RecordTest, ReportActivation
from smartcontracts.internal.elements import (
    TESTS_MAX,
    ElementStatus,
    HandoverStatus,
    OrderHandover,
    ServiceElement,
    Source,
    end_of,
)
from smartcontracts.internal.recovery import ReportDelay
from smartcontracts.kernel import Role

ACTIVATE: Final = "activate"
TEST: Final = "test"
# A chain that failed its test is tested again after a part of the time that is left, but not at once, nor much later.
RETEST_SHARE: Final = 8
RETEST_MS_MIN: Final = 500
RETEST_MS_MAX: Final = 60_000


async def activate_elements(desk: Desk, port: LedgerPort, handover: OrderHandover) -> None:
    """Attempt every internal element whose activation is requested; report those that are decided, in one transaction. Req: D-07, D-12, D-13."""
    if desk.provisioning is None:
        return
    reports: list[Outward] = []
    again_at_ms = 0
    for element in await current_on(port, handover.id):
        if element.source != Source.INTERNAL or element.status != ElementStatus.ACTIVATING:
            continue
        found = await _activate(desk.provisioning, handover, element)
        if isinstance(found, Pending):
            again_at_ms = min(again_at_ms or found.again_at_ms, found.again_at_ms)
            reports.extend(_delay(element, found))
        else:
            reports.append(Outward("report_activation", _report(element, found)))
    await submit_unless_overtaken(port, reports, purpose=ACTIVATE)
    if again_at_ms:
        raise Later(again_at_ms)


def _delay(element: ServiceElement, pending: Pending) -> tuple[Outward, ...]:
    """What is not there before its window ends is late, unless INT knows that already. Req: D-31."""
    known_ms = element.activate_by_ms if element.extension is None else element.extension.activate_by_ms
    if pending.again_at_ms <= max(known_ms, element.activate_by_ms):
        return ()
    delay = ReportDelay(element_id=element.id, activate_by_ms=pending.again_at_ms)
    return (Outward("report_delay", delay),)


async def activate_element(desk: Desk, port: LedgerPort, element: ServiceElement) -> None:
    """The same, when it is the element to which something has happened."""
    handover = await handover_on(port, element.order_handover_id)
    if handover is not None:
        await activate_elements(desk, port, handover)


async def _activate(
    provisioning: Provisioning, handover: OrderHandover, element: ServiceElement
) -> Activated | Failed | Pending:
    """The reservation may have ended meanwhile: the same call extends it, or has it anew."""
    if ends_nothing(element):
        return Activated()
    held = await provisioning.reserve(call_id(Operation.RESERVE, element.id), spec_of(element), hold_until_ms(handover))
    if isinstance(held, Pending):
        return held
    if isinstance(held, Declined):
        return Failed(held.reason)
    return await provisioning.activate(call_id(Operation.ACTIVATE, element.id), held.reservation_id, spec_of(element))


def _report(element: ServiceElement, found: Activated | Failed) -> ReportActivation:
    if isinstance(found, Failed):
        return ReportActivation(element_id=element.id, outcome=ActivationOutcome.FAILED, reason=found.cause)
    return ReportActivation(element_id=element.id, outcome=ActivationOutcome.ACTIVATED)


async def test_chain(desk: Desk, port: LedgerPort, handover: OrderHandover) -> None:
    """Measure the whole chain; after a failed test again, while the service window is open. Req: D-03, D-19..D-21; X-25."""
    if desk.provisioning is None or len(handover.tests) >= TESTS_MAX:
        return
    if handover.tests:
        last_ms = handover.tests[-1].tested_at_ms
        pause_ms = (end_of(handover) - last_ms) // RETEST_SHARE
        due_ms = last_ms + min(max(pause_ms, RETEST_MS_MIN), RETEST_MS_MAX)
        if desk.now_ms() < due_ms:
            raise Later(due_ms)
    chain = tuple(
        element.reservation_id if element.source == Source.INTERNAL else element.service_id
        for element in await current_on(port, handover.id)
        if not ends_nothing(element)
    )
    if not chain:
        nothing = RecordTest(order_handover_id=handover.id, passed=True, values=dump({"chain": [], "passed": True}))
        await submit_unless_overtaken(port, [Outward("record_test", nothing)], purpose=TEST)
        return
    attempt = call_id(Operation.MEASURE, handover.id, len(handover.tests))
    found = await desk.provisioning.measure(attempt, chain, handover.order_id)
    if isinstance(found, Pending):
        raise Later(found.again_at_ms)
    test = RecordTest(order_handover_id=handover.id, passed=found.passed, values=found.values)
    await submit_unless_overtaken(port, [Outward("record_test", test)], purpose=TEST)


DUTIES: Final = (
    Duty(
        name="activate_elements",
        role=Role.SOF,
        ledger_kind="internal",
        kind="order_handover",
        statuses=(HandoverStatus.IN_DELIVERY, HandoverStatus.RECOVERY),
        submits=(ACTIVATE,),
        do=activate_elements,
    ),
    Duty(
        name="activate_element",
        role=Role.SOF,
        ledger_kind="internal",
        kind="service_element",
        statuses=(ElementStatus.ACTIVATING,),
        applies=lambda _desk, element: element.source == Source.INTERNAL and bool(element.replaces),
        submits=(ACTIVATE,),
        do=activate_element,
    ),
    Duty(
        name="test_chain",
        role=Role.SOF,
        ledger_kind="internal",
        kind="order_handover",
        statuses=(HandoverStatus.TESTING,),
        submits=(TEST,),
        do=test_chain,
    ),
)
