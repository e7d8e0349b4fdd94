"""Scenario 9: delta cannot activate, nobody else has it. Order failed upstream, all that was held released, siblings cancelled."""

from __future__ import annotations

from typing import Final

from scripts.story.checks import internal_documents
from scripts.story.goods import Fault, Pool, Stock, line_with_ports
from scripts.story.scenarios.base import Scenario, Set
from scripts.story.scene import ACME, ALPHA, BRAVO, CHARLIE, DELTA
from scripts.story.telling import require
from smartcontracts.order import OrderStatus

NEAR: Final = "loule-9"
FAR: Final = "graciosa-9"
# What an element ends as that is not held any more.
GIVEN_BACK: Final = ("released", "cancelled", "rejected", "replaced", "undeliverable")


async def play(scene: Set) -> None:
    """D-32 to D-40."""
    market, stage, began_ms = scene.market, scene.stage, scene.now_ms()
    async with stage.teller.scene("Accepted down to delta, whose port does not come up"):
        quote = await market.quoted(ACME, ALPHA, await market.ask(ACME, ALPHA, line_with_ports(NEAR, FAR)))
        order = await market.order(ACME, ALPHA, quote)
        await market.ordered_until(ACME, ALPHA, order, OrderStatus.ACCEPTED)
    async with stage.teller.scene("Given up at every level"):
        failed = await market.ordered_until(ACME, ALPHA, order, OrderStatus.FAILED, within_s=150)
        require(failed.reason, "a reason", failed.reason)
        await market.wait_for(lambda: _all_ended(scene, began_ms), "every order failed or cancelled, down to the last tier")
        rows = await market.show("order", began_ms, "orders on all ledgers")
        ends = {(row.seller, row.document.status) for row in rows}
        require((DELTA, OrderStatus.FAILED) in ends, "delta's order failed", ends)
        require((BRAVO, OrderStatus.CANCELLED) in ends, "bravo's order, the sibling, cancelled", ends)
        await market.all_same(rows, "order")
    async with stage.teller.scene("Nothing is held any more"):
        await market.wait_for(lambda: _given_back(scene, began_ms), "every element given back")
        services = [row for row in await market.rows("service", 0) if row.document.order_id in {one.document.id for one in rows}]
        running = [row for row in services if row.document.status != "terminated"]
        require(not running, "no service left in delivery or operation", [(row.ledger, str(row.document.status)) for row in running])
        stage.teller.tell("every element is released or cancelled, every service ended")


async def _all_ended(scene: Set, since_ms: int) -> bool:
    rows = await scene.market.rows("order", since_ms)
    return {row.document.status for row in rows} <= {OrderStatus.FAILED, OrderStatus.CANCELLED, OrderStatus.REJECTED}


async def _given_back(scene: Set, since_ms: int) -> bool:
    """Every element of the providers' orders of this scenario has ended."""
    for name in (ALPHA, BRAVO, CHARLIE, DELTA):
        handovers = [one for one in await internal_documents(scene.market, name, "order_handover") if one.placed_at_ms >= since_ms]
        mine = {one.id for one in handovers}
        elements = await internal_documents(scene.market, name, "service_element")
        if any(one.order_handover_id in mine and str(one.status) not in GIVEN_BACK for one in elements):
            return False
    return True


SCENARIO: Final = Scenario(
    play=play,
    stocks={
        BRAVO: Stock(pools=(Pool(place=NEAR, monthly="28.00"),)),
        DELTA: Stock(
            pools=(Pool(place=FAR, monthly="22.00"),), faults=(Fault(place=FAR, cause="DUCT_BLOCKED", times=99),)
        ),
    },
)
