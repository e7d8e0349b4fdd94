"""Scenario 6: one seller rejects after another has accepted. Rejected upstream, the sibling cancelled, nothing activated.

alpha buys one port of charlie, who has it, and one of bravo, who buys it of delta. delta's node is stopped after the quotes, so
bravo has to reject what it cannot have.
"""

from __future__ import annotations

from typing import Final

from scripts.story.checks import internal_documents
from scripts.story.goods import Pool, Stock, line_with_ports
from scripts.story.scenarios.base import Scenario, Set
from scripts.story.scene import ACME, ALPHA, CHARLIE, DELTA
from scripts.story.telling import require
from smartcontracts.order import OrderStatus

OWN: Final = "tavira-6"
FAR: Final = "lagos-6"
WINDOW_MS: Final = 40_000


async def play(scene: Set) -> None:
    """O-20, O-27, X-15."""
    market, stage, began_ms = scene.market, scene.stage, scene.now_ms()
    async with stage.teller.scene("Two sellers quote, and the one behind one of them goes away"):
        quote = await market.quoted(ACME, ALPHA, await market.ask(ACME, ALPHA, line_with_ports(OWN, FAR)))
        await scene.nodes.stop(DELTA)
        stage.teller.tell("its node is stopped, with all that runs in it", who=DELTA)
    async with stage.teller.scene("One accepts, the other rejects: rejected upstream, cancelled downstream"):
        order = await market.order(ACME, ALPHA, quote, acceptance_window_ms=WINDOW_MS)
        await market.ordered_until(ACME, ALPHA, order, OrderStatus.REJECTED)
        await scene.nodes.start(DELTA)
        stage.teller.tell("its node is back, and has caught up", who=DELTA)
        await market.wait_for(lambda: _siblings_ended(scene, began_ms), "one sibling rejected, the other cancelled")
        rows = await market.show("order", began_ms, "orders on all ledgers")
        ends = {(row.seller, row.document.status) for row in rows}
        for seller in (ALPHA, DELTA):
            require((seller, OrderStatus.REJECTED) in ends, f"{seller}'s order rejected", ends)
        await market.all_same(rows, "order")
    async with stage.teller.scene("alpha activated nothing, and nothing of it runs"):
        orders = {row.document.id for row in rows}
        running = [row.ledger for row in await market.rows("service", 0) if row.document.order_id in orders and row.document.status != "terminated"]
        require(not running, "every service ended", running)
        handovers = [one.id for one in await internal_documents(market, ALPHA, "order_handover") if one.order_id == order.id]
        elements = [one for one in await internal_documents(market, ALPHA, "service_element") if one.order_handover_id in handovers]
        activated = [one.element_id for one in elements if one.source == "internal" and one.activated_at_ms]
        require(elements and not activated, "no internal activation at alpha", activated)
        stage.teller.tell("no internal element of alpha was activated, and no service of this order runs", who=ALPHA)


async def _siblings_ended(scene: Set, since_ms: int) -> bool:
    """What alpha had ordered: rejected by one, and the other's acceptance of no use."""
    rows = [row for row in await scene.market.rows("order", since_ms) if row.buyer == ALPHA]
    return sorted(row.document.status for row in rows) == [OrderStatus.CANCELLED, OrderStatus.REJECTED]


SCENARIO: Final = Scenario(
    play=play,
    stocks={
        CHARLIE: Stock(pools=(Pool(place=OWN, monthly="24.00"),)),
        DELTA: Stock(pools=(Pool(place=FAR, monthly="22.00"),)),
    },
)
