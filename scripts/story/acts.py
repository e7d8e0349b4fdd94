"""The whole story on a real network: the trade, and what strangers, operator, auditor and regulator do around it."""

from __future__ import annotations

from typing import Final

from scripts.story.auditor import audit
from scripts.story.files import Requests
from scripts.story.market import Market
from scripts.story.nodes import Nodes
from scripts.story.outage import kill_validator, see_it_catch_up, see_orders_go_on
from scripts.story.play import Asides, Play
from scripts.story.regulator import compare_heights, end_access, learn_nothing
from scripts.story.scene import ACME_ALPHA, ALPHA_BRAVO, BRAVO, OMNI, SOUTH, Seat
from scripts.story.strangers import turn_strangers_away

# A neutral of the customer's ledger and of two more, and a validator of omni.
KILLED: Final = SOUTH


async def perform_all(market: Market, nodes: Nodes, requests: Requests) -> None:
    """Raises StepFailed, ClientError."""
    stage = market.stage

    async def bravos_agents_end() -> None:
        await nodes.stop_agents(BRAVO)
        stage.teller.tell("its agents are ended; its node goes on", who=BRAVO)

    async def bravos_agents_start() -> None:
        await nodes.start_agents(BRAVO)
        stage.teller.tell("its agents are started again", who=BRAVO)

    async def strangers_come() -> None:
        await turn_strangers_away(stage, nodes)

    async def validator_is_killed() -> None:
        kill_validator(stage, nodes, KILLED)

    async def orders_go_on(seat: Seat, order_id: str) -> None:
        await see_orders_go_on(stage, seat, order_id, KILLED)

    async def validator_comes_back() -> None:
        await see_it_catch_up(stage, nodes, KILLED)

    asides = Asides(
        silence=bravos_agents_end,
        speak=bravos_agents_start,
        while_waiting=strangers_come,
        before_ordering=validator_is_killed,
        after_ordering=orders_go_on,
        while_metering=validator_comes_back,
    )
    play = Play(market, requests, asides)
    await play.perform()
    async with stage.teller.scene("Auditor"):
        paid = play.invoices[0]
        closed = await play.acme.see("invoice", paid.id)
        await audit(stage, nodes, play.acme, "invoice", paid.id, closed)
    async with stage.teller.scene("Regulator"):
        for ledger in (OMNI, ACME_ALPHA):
            await compare_heights(stage, nodes, ledger)
        await learn_nothing(stage, nodes, ALPHA_BRAVO)
        await end_access(stage, nodes, ACME_ALPHA)
