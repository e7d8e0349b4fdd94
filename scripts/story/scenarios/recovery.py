"""Scenario 8: bravo's own activation fails; it finds delta's, which takes longer. The window is extended on both of its sides."""

from __future__ import annotations

from typing import Final

from scripts.story.checks import internal_documents, see_in_operation
from scripts.story.goods import Fault, Pool, Stock, line_with_ports
from scripts.story.market import Row
from scripts.story.scenarios.base import Scenario, Set
from scripts.story.scene import ACME, ALPHA, BRAVO, CHARLIE, DELTA
from scripts.story.telling import require
from smartcontracts.order import Order, OrderStatus

PLACE: Final = "elvas-8"
# Shorter than what delta takes.
WINDOW_MS: Final = 25_000
SLOW_MS: Final = 30_000


async def play(scene: Set) -> None:
    """D-30, D-33, D-43."""
    market, stage, began_ms = scene.market, scene.stage, scene.now_ms()
    async with stage.teller.scene("Ordered of bravo, whose port is broken"):
        quote = await market.quoted(ACME, ALPHA, await market.ask(ACME, ALPHA, line_with_ports(PLACE)))
        order = await market.order(ACME, ALPHA, quote, activation_window_ms=WINDOW_MS)
        await market.ordered_until(ACME, ALPHA, order, OrderStatus.ACCEPTED)
    async with stage.teller.scene("An alternative from outside, inside a window that is extended"):
        done = await market.ordered_until(ACME, ALPHA, order, OrderStatus.ACTIVATED, within_s=150)
        rows = await market.show("order", began_ms, "orders on all ledgers")
        await see_in_operation(market, began_ms)
        elements = [one for one in await internal_documents(market, BRAVO, "service_element") if one.decision]
        require(elements, "bravo's decision on its element", elements)
        stage.teller.tell(f"decided {elements[-1].decision}, after {elements[-1].reason or elements[-1].cause}", who=BRAVO)
    async with stage.teller.scene("Every change of a window stands on every ledger that changed"):
        _require_extended(done, rows)
        for row in rows:
            for change in row.document.window_changes:
                text = f"from {change.old_ms} to {change.new_ms}: {change.cause}"
                stage.teller.tell(text, who=row.seller, ledger=row.ledger)
        await market.all_same(rows, "order")


def _require_extended(order: Order, rows: list[Row]) -> None:
    require(order.window_changes, "acme's order with another window", order.window_changes)
    require(
        order.original_activate_by_ms < order.activate_by_ms and order.ended_at_ms <= order.activate_by_ms,
        "an activation inside the extended window",
        (order.original_activate_by_ms, order.ended_at_ms, order.activate_by_ms),
    )
    changed = {row.seller for row in rows if row.document.window_changes}
    require({ALPHA, BRAVO} <= changed, "changes recorded with alpha and bravo", changed)


SCENARIO: Final = Scenario(
    play=play,
    stocks={
        BRAVO: Stock(
            pools=(Pool(place=PLACE, monthly="28.00"),),
            faults=(Fault(place=PLACE, cause="LINE_CARD_BROKEN", times=99),),
        ),
        # Has it, too, so that it does not ask delta, which answers a request that comes by two ways once.
        CHARLIE: Stock(pools=(Pool(place=PLACE, monthly="40.00"),)),
        # A replacement may not cost more than what it replaces.
        DELTA: Stock(pools=(Pool(place=PLACE, monthly="20.00", gigabyte="0.0001", activation_ms=SLOW_MS),)),
    },
)
