"""Scenario 3: a seller is silent. It is deemed unable at the deadline, on every node, and its late quote counts once it is taken."""

from __future__ import annotations

from typing import Final

from scripts.story.goods import ONCE, ONCE_TOTAL, Pool, Stock, port
from scripts.story.scenarios.base import Scenario, Set
from scripts.story.scene import ACME, ALPHA, BRAVO, CHARLIE
from scripts.story.telling import require
from smartcontracts.inquiry import Inquiry, InquiryStatus
from smartcontracts.kernel import Role
from smartcontracts.quote import IssueQuote, Quote, QuoteItem, TakeLateQuote
from smartcontracts.trade import QuoteLevel

PLACE: Final = "coimbra-3"
WINDOW_MS: Final = 30_000
_AFTER_MS: Final = 1_500
_VALIDITY_MS: Final = 300_000


async def play(scene: Set) -> None:
    """Q-31, Q-32."""
    market, stage, began_ms = scene.market, scene.stage, scene.now_ms()
    buyer, _ = await market.between(ALPHA, BRAVO)
    async with stage.teller.scene("bravo's agents are ended; alpha asks bravo and charlie"):
        await scene.nodes.stop_agents(BRAVO)
        stage.teller.tell("its agents are ended; its node goes on", who=BRAVO)
        inquiry = await market.ask(ACME, ALPHA, (port(PLACE),), response_window_ms=WINDOW_MS)
        silent = await market.wait_for(lambda: _asked(scene, began_ms, BRAVO), "alpha to ask bravo")
        answered = await market.wait_for(lambda: _asked(scene, began_ms, CHARLIE), "alpha to ask charlie")
    async with stage.teller.scene("The window ends: deemed unable, everywhere at once"):
        await stage.until(silent.respond_by_ms + _AFTER_MS)
        await market.until(
            buyer, "inquiry", silent.id, lambda one: one.status == InquiryStatus.DEEMED_UNABLE, "bravo to be deemed unable"
        )
        deemed: Inquiry = await market.same_everywhere(buyer.ledger_name, "inquiry", silent.id)
        require(deemed.status == InquiryStatus.DEEMED_UNABLE, "deemed unable on every node", deemed.status)
        quote = await market.quoted(ACME, ALPHA, inquiry)
        require(quote.items, "a quote from what charlie answered", quote)
        await market.same_everywhere(market.ledger(ALPHA, CHARLIE), "inquiry", answered.id)
    async with stage.teller.scene("bravo quotes late, and alpha takes it"):
        late = await _late_quote(scene, deemed)
        require(late.late and not late.taken, "a late quote that is not taken yet", late)
        done = await buyer.act(Role.B_BUS, "take_late_quote", TakeLateQuote(inquiry_id=silent.id, quote_id=late.id))
        stage.told(buyer, done, "a person takes the late quote", f"quote/{late.id}")
        taken: Inquiry = await market.same_everywhere(buyer.ledger_name, "inquiry", silent.id)
        require(taken.status == InquiryStatus.LATE_QUOTED, "the late quote to count", taken.status)
        await scene.nodes.start_agents(BRAVO)


async def _asked(scene: Set, since_ms: int, seller: str) -> Inquiry | None:
    """What alpha asked this seller about the place, as alpha's own node has it."""
    seat, _ = await scene.market.between(ALPHA, seller)
    found = [one for one in await seat.all("inquiry") if one.received_at_ms >= since_ms and f'"{PLACE}"'.encode() in one.items[0].product]
    return found[0] if found else None


async def _late_quote(scene: Set, deemed: Inquiry) -> Quote:
    """A person quotes by hand: agents leave a window that has ended alone."""
    _, seller = await scene.market.between(ALPHA, BRAVO)
    command = IssueQuote(
        inquiry_id=deemed.id,
        level=QuoteLevel.FIRM,
        valid_until_ms=scene.now_ms() + _VALIDITY_MS,
        items=tuple(QuoteItem(id=item.id, prices=(ONCE,)) for item in deemed.items),
        one_time_total=ONCE_TOTAL,
        term_total=ONCE_TOTAL,
    )
    done = await seller.act(Role.S_BUS, "issue_quote", command)
    quote: Quote = await seller.result(done, "quote")
    scene.stage.told(seller, done, "a person quotes after all, late", f"quote/{quote.id}", quote.one_time_total)
    return quote


SCENARIO: Final = Scenario(
    play=play,
    apart=(BRAVO,),
    stocks={
        BRAVO: Stock(pools=(Pool(place=PLACE, monthly="20.00"),)),
        CHARLIE: Stock(pools=(Pool(place=PLACE, monthly="25.00"),)),
    },
)
