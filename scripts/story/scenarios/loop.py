"""Scenario 4: a request that would come back to who is upstream is refused; one that comes by two ways is answered once.

delta alone has a port at the place. alpha asks bravo and charlie, both ask delta, and charlie asks bravo, too: a diamond.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from scripts.story.goods import Pool, Stock, port
from scripts.story.market import Row
from scripts.story.scenarios.base import Scenario, Set
from scripts.story.scene import ACME, ALPHA, BRAVO, CHARLIE, DELTA
from scripts.story.telling import require
from smartcontracts.inquiry import InquiryStatus
from smartcontracts.kernel import Role
from smartcontracts.lineage import pseudonym

PLACE: Final = "sines-4"
DUPLICATE: Final = "DUPLICATE"


async def play(scene: Set) -> None:
    """Q-08, Q-09, X-05."""
    market, stage, began_ms = scene.market, scene.stage, scene.now_ms()
    async with stage.teller.scene("A loop: bravo would ask alpha for what alpha asks"):
        buyer, _ = await market.between(BRAVO, ALPHA)
        looped = market.inquiry_of(BRAVO, ALPHA, (port(PLACE),), ancestors=(ACME, ALPHA))
        await market.refused(buyer, Role.B_BUS, "submit_inquiry", looped, "LOOP", "asks who is upstream already")
        own = pseudonym(looped.lineage_key, buyer.id)
        for ancestors, what in (
            (looped.ancestors[:-1], "leaves itself out of the list"),
            ((own, *looped.ancestors[:1], own), "stands in the list twice"),
        ):
            wrong = replace(looped, ancestors=ancestors)
            await market.refused(buyer, Role.B_BUS, "submit_inquiry", wrong, "ANCESTORS_INVALID", what)
    async with stage.teller.scene("A diamond: two ways lead to delta"):
        inquiry = await market.ask(ACME, ALPHA, (port(PLACE),))
        quote = await market.quoted(ACME, ALPHA, inquiry)
        require(len(quote.items) == 1, "one item quoted, once", len(quote.items))
        rows = await market.show("inquiry", began_ms, "inquiries on all ledgers", PLACE)
        _require_answered_once(rows)
        await market.all_same(rows, "inquiry")
    async with stage.teller.scene("Nobody upstream was asked"):
        _require_no_way_back(rows)
        stage.teller.tell("no inquiry went to anybody who was upstream of it")


def _require_answered_once(rows: list[Row]) -> None:
    """Whoever was asked twice for one element took one of the two, and said DUPLICATE to the other."""
    for seller in (BRAVO, DELTA):
        asked = [row for row in rows if row.seller == seller]
        require(len(asked) >= 2, f"{seller} to be asked by two ways", [row.buyer for row in asked])
        taken = [row for row in asked if row.document.unable_reason != DUPLICATE]
        require(len(taken) == 1, f"{seller} to take one of {len(asked)}", [row.document.unable_reason for row in asked])
    first = [row for row in rows if row.seller == DELTA and row.document.status == InquiryStatus.QUOTED]
    require(len(first) == 1, "one quote of delta", len(first))
    lineages = {item.lineage_id for row in rows for item in row.document.items}
    require(len(lineages) == 1, "one lineage id of the element on every ledger", lineages)


def _require_no_way_back(rows: list[Row]) -> None:
    """The list of upstream buyers grows by one at each step, and never has the seller in it."""
    lengths = {(row.buyer, row.seller): len(row.document.ancestors) for row in rows}
    require(lengths[ACME, ALPHA] == 1, "one buyer upstream of alpha", lengths)
    for (buyer, seller), length in lengths.items():
        if buyer == ALPHA:
            require(length == 2, f"two buyers upstream of {seller}", length)
        if buyer in (BRAVO, CHARLIE):
            require(length in (3, 4), f"three or four buyers upstream of {seller}", length)
    require((BRAVO, ALPHA) not in lengths, "no inquiry of bravo to alpha", lengths)


SCENARIO: Final = Scenario(play=play, stocks={DELTA: Stock(pools=(Pool(place=PLACE, monthly="22.00"),))})
