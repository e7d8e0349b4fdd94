"""Scenario 7: the seller's node is stopped after it quoted. Its acceptance window ends by itself, at one height everywhere."""

from __future__ import annotations

from typing import Final

from scripts.story.checks import see_orders
from scripts.story.goods import Pool, Stock, line_with_ports
from scripts.story.ordering import see_it_run_out
from scripts.story.scenarios.base import Scenario, Set
from scripts.story.scene import ACME, ALPHA, BRAVO
from scripts.story.telling import require
from smartcontracts.order import TIMEOUT, Order, OrderStatus

PLACE: Final = "beja-7"
WINDOW_MS: Final = 20_000


async def play(scene: Set) -> None:
    """O-31."""
    market, stage, began_ms = scene.market, scene.stage, scene.now_ms()
    ledger = market.ledger(ALPHA, BRAVO)
    async with stage.teller.scene("bravo quotes, and its node is stopped"):
        quote = await market.quoted(ACME, ALPHA, await market.ask(ACME, ALPHA, line_with_ports(PLACE)))
        await scene.nodes.stop(BRAVO)
        stage.teller.tell("its node is stopped, with all that runs in it", who=BRAVO)
    async with stage.teller.scene("alpha orders, and nobody answers"):
        order = await market.order(ACME, ALPHA, quote, acceptance_window_ms=WINDOW_MS)
        buyer, _ = await market.between(ALPHA, BRAVO)
        silent: Order = await market.wait_for(lambda: _placed(scene, began_ms), "alpha to order of bravo")
        require(silent.accept_by_ms < order.accept_by_ms, "a window inside acme's", (silent.accept_by_ms, order.accept_by_ms))
        names = [name for name in stage.network.nodes_of(ledger) if name != BRAVO]
        seats = [await market.seat(name, ledger) for name in names]
        await see_it_run_out(stage, seats, silent, "")
    async with stage.teller.scene("Upstream it is a rejection, too, and bravo's node says the same"):
        await market.ordered_until(ACME, ALPHA, order, OrderStatus.REJECTED)
        await scene.nodes.start(BRAVO)
        found: Order = await market.same_everywhere(ledger, "order", silent.id)
        require((found.status, found.reason) == (OrderStatus.REJECTED, TIMEOUT), "rejected by time", (found.status, found.reason))
        await see_orders(market, began_ms, {ALPHA: OrderStatus.REJECTED, BRAVO: OrderStatus.REJECTED})
        require(buyer.name == ALPHA, ALPHA, buyer.name)


async def _placed(scene: Set, since_ms: int) -> Order | None:
    buyer, _ = await scene.market.between(ALPHA, BRAVO)
    found = [one for one in await buyer.all("order") if one.placed_at_ms >= since_ms and one.buyer == buyer.id]
    return found[0] if found else None


SCENARIO: Final = Scenario(play=play, stocks={BRAVO: Stock(pools=(Pool(place=PLACE, monthly="28.00"),))})
