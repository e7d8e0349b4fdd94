"""What people do in the three-tier market, so that agents pass as many of their boundaries as they can.

Each play has places of its own in each round, so that it begins anew; only what it asks of people is in here.
"""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import dataclass, replace

from scripts.story.goods import PORT, PORT_TYPE, TERM, Fault, Pool, Stock, line_with_ports, port
from smartcontracts.agreement import PriceType
from smartcontracts.canonical_json import Number, dump
from smartcontracts.catalogue import PublishOffering, RequestStandingQuote
from smartcontracts.delivery import CancelOrder
from smartcontracts.kernel import Role
from smartcontracts.lineage import LINEAGE_KEY_BYTES, pseudonym
from smartcontracts.money import NANO, Rate
from smartcontracts.order import OrderStatus
from smartcontracts.trade import Action, Change, ChangeKind, Price

ACME, ALPHA, BRAVO, CHARLIE, DELTA = "acme", "alpha", "bravo", "charlie", "delta"
# Long: a machine that others use and agents that die take their time, and no outcome is to hang on that.
WINDOW_MS = 400_000
PATIENCE_S = 400.0
# Several sellers end what they deliver once this is over, when all of them have accepted for certain.
TERMINATION_WINDOW_MS = 75_000
OFTEN = 99
# A seller that is slower than its window, by enough that it is slower with and without kills.
RECOVERY_WINDOW_MS = 150_000
SLOW_MS = 150_000
# Inside the windows, and not done before a customer has changed its mind.
LONG_MS = 250_000
OUTAGE_MS = 2_000
ADVANCE_MS = 5_000


@dataclass(frozen=True)
class Play:
    """`stocks(place)`: by organization, what it needs at a place. `perform(market, place)` ends when its process has."""

    name: str
    stocks: object
    perform: object


def place_of(name, round_number):
    return f"{name}-{round_number}"


async def _buy(market, items, **order):
    inquiry = await market.ask(ACME, ALPHA, items, response_window_ms=WINDOW_MS)
    quote = await _quoted(market, inquiry)
    return await market.order(
        ACME, ALPHA, quote, **{"acceptance_window_ms": WINDOW_MS, "activation_window_ms": WINDOW_MS, **order}
    )


async def _quoted(market, inquiry):
    seat, _ = await market.between(ACME, ALPHA)
    answered = await market.until(
        seat, "inquiry", inquiry.id, lambda one: one.status != "received", "an answer", PATIENCE_S
    )
    assert answered.status == "quoted", answered.unable_reason
    return await seat.see("quote", answered.quote_id)


async def _until(market, order, *statuses):
    return await market.ordered_until(ACME, ALPHA, order, *statuses, within_s=PATIENCE_S)


async def purchase(market, place):
    """Made by alpha, bravo and delta; then changed, with an outage at bravo's; then ended."""
    asked = line_with_ports(f"{place}-near", f"{place}-far")
    order = await _until(market, await _buy(market, asked), OrderStatus.ACTIVATED)
    wished = port(f"{place}-near", action=Action.MODIFY, maximumServiceFrameSize=Number("9000"))
    await _change(market, order.service_id, ChangeKind.PARAMETER, (wished,), implement_at_ms=True)
    ended = tuple(replace(item, action=Action.DELETE) for item in asked)
    await _change(market, order.service_id, ChangeKind.TERMINATION, ended, acceptance_window_ms=TERMINATION_WINDOW_MS)


async def _change(market, service_id, kind, items, *, implement_at_ms=False, acceptance_window_ms=WINDOW_MS):
    change = Change(service_id=service_id, kind=kind)
    inquiry = await market.ask(ACME, ALPHA, items, change=change, response_window_ms=WINDOW_MS)
    quote = await _quoted(market, inquiry)
    order = await market.order(
        ACME,
        ALPHA,
        quote,
        acceptance_window_ms=acceptance_window_ms,
        activation_window_ms=WINDOW_MS,
        change=change,
        implement_at_ms=market.stage.network.now_ms() + ADVANCE_MS if implement_at_ms else 0,
    )
    await _until(market, order, OrderStatus.ACTIVATED)


async def recovery(market, place):
    """bravo's own port fails; delta's takes longer than the window, which is extended on every ledger above."""
    order = await _buy(market, line_with_ports(place), activation_window_ms=RECOVERY_WINDOW_MS)
    done = await _until(market, order, OrderStatus.ACTIVATED)
    assert done.window_changes


async def replacement(market, place):
    """alpha's port was not to be had when it was asked for; it is when bravo's has failed."""
    await _until(market, await _buy(market, (port(place),)), OrderStatus.ACTIVATED)


async def abandonment(market, place):
    """delta's port does not come up, and nobody else has one: given up at every level, and charlie's given back."""
    asked = line_with_ports(f"{place}-near", f"{place}-far", f"{place}-own")
    await _until(market, await _buy(market, asked), OrderStatus.FAILED)


async def cancellation(market, place):
    """The customer changes its mind while delta still works on it."""
    order = await _until(market, await _buy(market, line_with_ports(place)), OrderStatus.ACCEPTED)

    async def activating():
        for name, source in ((ALPHA, "external"), (BRAVO, "external"), (DELTA, "internal")):
            elements = await (await market.internal(name)).all("service_element")
            mine = [one for one in elements if f'"{place}"'.encode() in one.product and one.source == source]
            if [one.status for one in mine] != ["activating"]:
                return False
        return True

    await market.wait_for(activating, f"{place} to be worked on everywhere", PATIENCE_S)
    buyer, _ = await market.between(ACME, ALPHA)
    await buyer.act(Role.B_BUS, "cancel_order", CancelOrder(order_id=order.id, reason="NO_LONGER_NEEDED"))
    await _until(market, order, OrderStatus.CANCELLED)


async def rejection(market, place):
    """What delta offered it no longer has when it is ordered: rejected upstream, and charlie's is cancelled."""
    asked = line_with_ports(f"{place}-far", f"{place}-own")
    await _until(market, await _buy(market, asked), OrderStatus.REJECTED)


async def standing(market, place):
    """From alpha's catalogue."""
    buyer, seller = await market.between(ACME, ALPHA)
    await seller.act(Role.S_BUS, "publish_offering", _offering(market.agreements[seller.ledger_name].id))
    # The version before it is closed by that.
    (offering_id,) = [one.id for one in await seller.all("offering") if one.status == "published"]
    key = secrets.token_bytes(LINEAGE_KEY_BYTES)
    wish = RequestStandingQuote(
        offering_id=offering_id, items=(port(place),), lineage_key=key, ancestors=(pseudonym(key, buyer.id),)
    )
    await buyer.see("offering", offering_id)
    quote = await buyer.result(await buyer.act(Role.B_BUS, "request_standing_quote", wish), "quote")
    order = await market.order(ACME, ALPHA, quote, acceptance_window_ms=WINDOW_MS, activation_window_ms=WINDOW_MS)
    await _until(market, order, OrderStatus.ACTIVATED)


def _offering(agreement_id):
    return PublishOffering(
        agreement_id=agreement_id,
        offering=PORT,
        description="A port",
        product=dump({"productOffering": {"id": PORT}, "productConfiguration": {"@type": PORT_TYPE}}),
        prices=(Price(price_type=PriceType.NON_RECURRING, rate=Rate(110 * NANO, "EUR"), name="installation"),),
        term=TERM,
        quote_validity_ms=WINDOW_MS,
    )


def _pool(place, monthly="20.00", **given):
    return Stock(pools=(Pool(place=place, monthly=monthly, **given),))


def _faulty(place, cause, operation="activate", times=OFTEN, monthly="20.00", **given):
    fault = Fault(place=place, cause=cause, operation=operation, times=times)
    return Stock(pools=(Pool(place=place, monthly=monthly, **given),), faults=(fault,))


# More in every way than another provider's with its mark-up: who replaces it may not be dearer.
DEAR = {"monthly": "28.00", "once": "120.00", "gigabyte": "0.0004"}
CHANGED = {"non_recurring": "15.00", "outage_ms": OUTAGE_MS, "method": "parallel_build_cold"}
PLAYS = (
    Play(
        "purchase",
        lambda place: {
            BRAVO: _pool(f"{place}-near", change=CHANGED),
            DELTA: _pool(f"{place}-far"),
        },
        purchase,
    ),
    Play(
        "recovery",
        lambda place: {BRAVO: _faulty(place, "LINE_CARD_BROKEN", **DEAR), DELTA: _pool(place, activation_ms=SLOW_MS)},
        recovery,
    ),
    Play(
        "replacement",
        lambda place: {
            ALPHA: _faulty(place, "SYSTEM_BUSY", operation="query", times=1),
            BRAVO: _faulty(place, "LINE_CARD_BROKEN"),
        },
        replacement,
    ),
    Play(
        "abandonment",
        lambda place: {
            BRAVO: _pool(f"{place}-near"),
            DELTA: _faulty(f"{place}-far", "DUCT_BLOCKED"),
            CHARLIE: _pool(f"{place}-own"),
        },
        abandonment,
    ),
    Play("cancellation", lambda place: {DELTA: _pool(place, activation_ms=LONG_MS)}, cancellation),
    Play(
        "rejection",
        # charlie's is never active before the cancellation comes, whoever is killed.
        lambda place: {
            DELTA: _faulty(f"{place}-far", "NOT_FREE", operation="reserve"),
            CHARLIE: _pool(f"{place}-own", activation_ms=LONG_MS),
        },
        rejection,
    ),
    Play("standing", lambda place: {ALPHA: _pool(place)}, standing),
)


# Three tiers, and no more.


async def short(market, place):
    """Bought of bravo through alpha."""
    await _until(market, await _buy(market, line_with_ports(place)), OrderStatus.ACTIVATED)


SHORT = Play("short", lambda place: {BRAVO: _pool(place)}, short)


# For a pause during which windows end.


@dataclass
class Slept:
    """What is asked and ordered just before all agents stand still, by what becomes of it meanwhile.

    `unanswered` can be made by who is asked, and be quoted late; for `unasked` others would have to be asked, too late.
    """

    unanswered: object = None
    unasked: object = None
    unaccepted: object = None
    undelivered: object = None
    patient: object = None


ASLEEP = Play(
    "asleep",
    lambda place: {
        ALPHA: _pool(f"{place}-own"),
        DELTA: Stock(
            pools=(
                Pool(place=f"{place}-far", monthly="20.00"),
                Pool(place=f"{place}-slow", monthly="20.00", activation_ms=ASLEEP_ACTIVATION_MS),
            )
        ),
    },
    None,
)
# Shorter than the pause, and long enough that nothing of it is over before.
ASLEEP_WINDOW_MS = 45_000
ASLEEP_ACTIVATION_MS = 12_000


async def fall_asleep(market, place, freeze):
    """Start five processes, stop all agents by `freeze` while each is under way, and let the short windows of four end."""
    buyer, _ = await market.between(ACME, ALPHA)
    quotes = [await _quoted(market, await _ask(market, place, what)) for what in ("far", "far", "slow")]
    long = {"acceptance_window_ms": WINDOW_MS, "activation_window_ms": WINDOW_MS}
    slept = Slept()
    slept.undelivered = await market.order(
        ACME, ALPHA, quotes[2], acceptance_window_ms=WINDOW_MS, activation_window_ms=ASLEEP_WINDOW_MS
    )
    await _until(market, slept.undelivered, OrderStatus.ACCEPTED)
    freeze()
    slept.unanswered = await _ask(market, place, "own", response_window_ms=ASLEEP_WINDOW_MS)
    slept.unasked = await _ask(market, place, "far", response_window_ms=ASLEEP_WINDOW_MS)
    slept.unaccepted = await market.order(
        ACME, ALPHA, quotes[0], acceptance_window_ms=ASLEEP_WINDOW_MS, activation_window_ms=WINDOW_MS
    )
    slept.patient = await market.order(ACME, ALPHA, quotes[1], **long)
    for kind, document, status in (
        ("inquiry", slept.unanswered, "deemed_unable"),
        ("inquiry", slept.unasked, "deemed_unable"),
        ("order", slept.unaccepted, "rejected"),
        ("order", slept.undelivered, "overdue"),
    ):
        await market.until(
            buyer, kind, document.id, lambda one, status=status: one.status == status, status, PATIENCE_S
        )
    return slept


async def _ask(market, place, what, **given):
    items = line_with_ports(f"{place}-{what}")
    return await market.ask(ACME, ALPHA, items, **{"response_window_ms": WINDOW_MS, **given})


def stocks_of(plays, rounds):
    """By organization, all that these plays need in so many rounds."""
    found = {}
    for play in plays:
        for number in range(rounds):
            for organization, stock in play.stocks(place_of(play.name, number)).items():
                found.setdefault(organization, []).append(stock)
    return found


async def perform(market, plays, round_number):
    """All of them at once, to their ends. What each took in seconds, and why some did not end as they must."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    seconds = {}

    async def one(play):
        await play.perform(market, place_of(play.name, round_number))
        seconds[play.name] = round(loop.time() - began)

    ends = await asyncio.gather(*map(one, plays), return_exceptions=True)
    problems = [f"{play.name}: {end!r}" for play, end in zip(plays, ends, strict=True) if end is not None]
    return seconds, problems
