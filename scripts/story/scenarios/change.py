"""Scenario 15: a service is changed, which interrupts it. Ordered in advance, agreed with every neighbour, logged on every ledger."""

from __future__ import annotations

from typing import Any, Final

from scripts.story.checks import see_in_operation
from scripts.story.goods import Pool, Stock, line_with_ports, port
from scripts.story.market import Row
from scripts.story.scenarios.base import Scenario, Set
from scripts.story.scene import ACME, ALPHA, BRAVO, Seat
from scripts.story.telling import require
from smartcontracts.canonical_json import Number
from smartcontracts.change import StartChange
from smartcontracts.kernel import Role
from smartcontracts.order import OrderStatus, PlaceOrder
from smartcontracts.service import ChangeStatus, Service, ServiceStatus
from smartcontracts.trade import Action, Change, ChangeKind, Outage

PLACE: Final = "serpa-15"
OUTAGE_MS: Final = 3_000
ADVANCE_MS: Final = 15_000
WINDOW_MS: Final = 200_000
# A notice of a minute, and what comes after.
WITHIN_S: Final = 180.0


async def play(scene: Set) -> None:
    """C-05 to C-11."""
    market, stage, began_ms = scene.market, scene.stage, scene.now_ms()
    buyer, seller = await market.between(ACME, ALPHA)
    async with stage.teller.scene("A service in operation, part of it bravo's"):
        quote = await market.quoted(ACME, ALPHA, await market.ask(ACME, ALPHA, line_with_ports(PLACE)))
        order = await market.ordered_until(ACME, ALPHA, await market.order(ACME, ALPHA, quote), OrderStatus.ACTIVATED)
        await see_in_operation(market, began_ms)
    asked_ms = scene.now_ms()
    async with stage.teller.scene("Asked for: price, outage and duration"):
        wished = port(PLACE, action=Action.MODIFY, maximumServiceFrameSize=Number("9000"))
        change = Change(service_id=order.service_id, kind=ChangeKind.PARAMETER)
        quote = await market.quoted(ACME, ALPHA, await market.ask(ACME, ALPHA, (wished,), change=change))
        answer = quote.change_answer
        require(answer is not None and answer.outage == Outage.YES, "an answer that there is an outage", answer)
        require(answer is not None and answer.outage_ms >= OUTAGE_MS, f"at least {OUTAGE_MS} ms of it", answer)
        stage.teller.tell(f"would be interrupted for {answer.outage_ms if answer else 0} ms", who=ALPHA, ledger=seller.ledger_name)
    async with stage.teller.scene("Ordered in advance, and no second one beside it"):
        implement_at_ms = scene.now_ms() + ADVANCE_MS
        order = await market.order(
            ACME, ALPHA, quote, change=change, implement_at_ms=implement_at_ms, activation_window_ms=WINDOW_MS
        )
        accepted = await market.ordered_until(ACME, ALPHA, order, OrderStatus.ACCEPTED)
        await _require_consent(scene, seller, accepted)
    async with stage.teller.scene("Agreed with every neighbour, done in the window, logged everywhere"):
        await market.ordered_until(ACME, ALPHA, order, OrderStatus.ACTIVATED, within_s=WITHIN_S)
        rows = await _changes(scene, asked_ms)
        _require_logged(rows, implement_at_ms)
        await market.all_same(rows, "service_change")
        service: Service = await market.same_everywhere(buyer.ledger_name, "service", order.service_id)
        require(service.status == ServiceStatus.IN_OPERATION and not service.change_id, "a service in operation", service.status)


async def _require_consent(scene: Set, seller: Seat, order: Any) -> None:
    """Before anybody agreed to a window the seller cannot begin."""
    start = StartChange(change_id=order.change_id, service_id=order.service_id)
    change = await seller.see("service_change", order.change_id)
    if change.status == ChangeStatus.ACCEPTED:
        await scene.market.refused(seller, Role.S_BUS, "start_change", start, "CONSENT_MISSING", "begins without consent")
    twice = PlaceOrder(
        quote_id=order.quote_id, acceptance_window_ms=WINDOW_MS, activation_window_ms=WINDOW_MS, change=order.change
    )
    buyer, _ = await scene.market.between(ACME, ALPHA)
    await scene.market.refused(buyer, Role.B_BUS, "place_order", twice, "QUOTE_ORDERED", "orders it a second time")


async def _changes(scene: Set, since_ms: int) -> list[Row]:
    """What stands of this change on every ledger concerned."""
    rows = []
    for ledger, pair in scene.market.pairs.items():
        seat = await scene.market.seat(pair[1], ledger)
        for change in await seat.all("service_change"):
            if change.ordered_at_ms >= since_ms:
                name_of = scene.stage.network.name_of
                rows.append(Row(ledger, name_of(change.buyer), name_of(change.seller), change))
    return rows


def _require_logged(rows: list[Row], implement_at_ms: int) -> None:
    """On each ledger: agreed by both, begun in its window and not before its time, done."""
    require({row.seller for row in rows} == {ALPHA, BRAVO}, "a change with alpha and one with bravo", [row.ledger for row in rows])
    for row in rows:
        change = row.document
        window = change.window
        require((change.status, change.outcome) == (ChangeStatus.DONE, "done"), f"done on {row.ledger}", (change.status, change.outcome))
        require(window is not None and window.agreed_by and window.agreed_by != window.proposed_by, "a window of both", window)
        require(window.from_ms <= change.started_at_ms <= window.until_ms, "begun in the window", (window, change.started_at_ms))
        if row.seller == ALPHA:
            require(change.started_at_ms >= implement_at_ms, "not begun before its time", change.started_at_ms)


SCENARIO: Final = Scenario(
    play=play,
    stocks={
        BRAVO: Stock(
            pools=(
                Pool(
                    place=PLACE,
                    monthly="28.00",
                    change={"non_recurring": "15.00", "outage_ms": OUTAGE_MS, "method": "parallel_build_cold"},
                ),
            )
        )
    },
)
