"""Customers: people who inquire, order, wait, cancel, answer wishes for more time, come too late, change and end services."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from random import Random
from typing import Any, Final

from node.agents.ports import created
from scripts.simulation import goods
from scripts.simulation.people import Person
from smartcontracts.lineage import pseudonym
from smartcontracts.trade import Action, Change, ChangeKind, QuoteLevel

ACCEPTANCE_MS: Final = ((5_000, 20_000), (20_000, 90_000), (20_000, 90_000))
ACTIVATION_MS: Final = ((5_000, 60_000), (60_000, 400_000), (60_000, 400_000))
# What a buyer waits beyond a window's end: a tick, a round of bad proposers, a stalled ledger.
GRACE_MS: Final = 5_000
PATIENCE_MS: Final = 1_800_000
CLEARINGS: Final = 20
ENDED: Final = frozenset(("rejected", "activated", "failed", "cancelled"))


@dataclass(frozen=True, slots=True)
class Habits:
    """How a purchase goes on the buyer's side; drawn before it begins."""

    response_ms: int
    # now, soon, late: after the quote's end, never, twice.
    ordering: str
    acceptance_ms: int
    activation_ms: int
    # none, at once, while it is delivered.
    cancelling: str
    # grant, waive, refuse, silence.
    extension: str
    gives_time: bool
    # keep, terminate, modify.
    afterwards: str
    # Whether it waits for a change as long as for a service, and takes none back for a whim.
    steadfast: bool = False
    # Wishes something else once it has its quote; takes an estimate first; looks into the catalogue.
    changes_mind: bool = False
    level: QuoteLevel = QuoteLevel.FIRM
    from_catalogue: bool = False
    # Wants its service changed before it has it.
    changes_early: bool = False


def habits(random: Random) -> Habits:
    return Habits(
        response_ms=random.choice((0, 0, 0, 15_000, 30_000, 120_000, 120_000)),
        ordering=random.choices(("now", "soon", "late", "never", "twice"), (20, 6, 1, 1, 1))[0],
        acceptance_ms=random.randint(*random.choice(ACCEPTANCE_MS)),
        activation_ms=random.randint(*random.choice(ACTIVATION_MS)),
        cancelling=random.choices(("no", "at once", "later"), (12, 1, 2))[0],
        extension=random.choice(("grant", "waive", "refuse", "silence")),
        gives_time=random.random() < 0.05,
        afterwards=random.choices(("keep", "terminate", "modify"), (2, 2, 3))[0],
        changes_mind=random.random() < 0.1,
        level=QuoteLevel.BUDGETARY if random.random() < 0.03 else QuoteLevel.FIRM,
        from_catalogue=random.random() < 0.3,
        changes_early=random.random() < 0.06,
    )


async def purchase(person: Person, seller: str, offerings: tuple[str, ...], habit: Habits) -> None:
    """From an inquiry to the end of what comes of it."""
    random = person.world.random
    quote = await _standing_quote(person, seller) if habit.from_catalogue else None
    if quote is None:
        quote = await _wished_quote(person, seller, goods.items(random, offerings), habit)
    if quote is None or habit.ordering == "never":
        return
    if habit.ordering == "soon":
        await person.sleep(random.randint(0, 60_000))
    if habit.ordering == "late":
        await person.sleep(max(0, quote.valid_until_ms - person.now_ms) + random.randint(0, 2_000))
    order = await place(person, quote, habit)
    if order is None:
        return
    if habit.ordering == "twice":
        await place(person, quote, habit)
    if habit.changes_early:
        await person.until("order", order.id, lambda one: one.status != "placed", person.now_ms + PATIENCE_MS)
        await change(person, seller, person.read("order", order.id).service_id, habit)
    service_id = await follow(person, order, habit)
    if service_id and random.random() < 0.1:
        await person.say("cancel_order", order_id=order.id, reason="REGRETTED")
    if service_id and habit.afterwards != "keep":
        await person.sleep(random.randint(1_000, 60_000))
        await change(person, seller, service_id, habit)


async def _wished_quote(person: Person, seller: str, items: Any, habit: Habits) -> Any | None:
    """The quote that answers an inquiry; the second, if the buyer wished something else after the first."""
    inquiry = await inquire(person, seller, items, habit)
    quote = None if inquiry is None else await quote_of(person, inquiry)
    if quote is None or inquiry is None or not habit.changes_mind:
        return quote
    again = await inquire(person, seller, items, habit, replaces=inquiry.id)
    return None if again is None else await quote_of(person, again)


async def _standing_quote(person: Person, seller: str) -> Any | None:
    """A quote by the seller's catalogue, if there is something in it."""
    world = person.world
    committed = person.chain.state().committed
    kind = committed.table.kinds["offering"]
    found = [committed.view.get(kind, one) for one in committed.view.ids(kind, "status", "published")]
    offers = [one for one in found if one is not None and one.seller == seller]
    if not offers:
        return None
    offer = world.random.choice(offers)
    key = world.random.randbytes(32)
    receipt = await person.say(
        "request_standing_quote",
        offering_id=offer.id,
        items=(replace(goods.item(1, offer.offering, world.random.choice(goods.PLACES), 10), term=offer.term),),
        lineage_key=key,
        ancestors=(pseudonym(key, person.signatory.organization),),
    )
    return None if receipt is None else person.read("quote", created(receipt, "quote"))


async def inquire(
    person: Person, seller: str, items: Any, habit: Habits, change_of: Any = None, replaces: str = ""
) -> Any | None:
    """The inquiry once it is on the ledger."""
    world = person.world
    key = world.random.randbytes(32)
    receipt = await person.say(
        "submit_inquiry",
        seller=seller,
        agreement_id=world.agreements[person.chain.id],
        level=habit.level,
        items=items,
        replaces=replaces,
        response_window_ms=habit.response_ms,
        ancestors=(pseudonym(key, person.signatory.organization),),
        lineage_key=key,
        change=change_of,
    )
    return None if receipt is None else person.read("inquiry", created(receipt, "inquiry"))


async def quote_of(person: Person, inquiry: Any) -> Any | None:
    """The quote, or a late one that is taken."""
    answered = await person.until(
        "inquiry", inquiry.id, lambda now: now.status != "received", inquiry.respond_by_ms + GRACE_MS
    )
    if answered is not None and answered.status == "deemed_unable" and person.world.random.random() < 0.5:
        patience_ms = person.now_ms + 120_000
        answered = await person.until("inquiry", inquiry.id, lambda now: bool(now.late_quote_id), patience_ms)
        if answered is not None and answered.late_quote_id:
            await person.say("take_late_quote", inquiry_id=inquiry.id, quote_id=answered.late_quote_id)
            answered = person.read("inquiry", inquiry.id)
    return person.read("quote", answered.quote_id) if answered is not None and answered.quote_id else None


async def place(person: Person, quote: Any, habit: Habits, implement_at_ms: int = 0) -> Any | None:
    """The order once it is on the ledger."""
    receipt = await person.say(
        "place_order",
        quote_id=quote.id,
        acceptance_window_ms=habit.acceptance_ms,
        activation_window_ms=habit.activation_ms,
        implement_at_ms=implement_at_ms,
        change=person.read("inquiry", quote.inquiry_id).change,
    )
    return None if receipt is None else person.read("order", created(receipt, "order"))


async def follow(person: Person, order: Any, habit: Habits) -> str:
    """Wait for the order's end, and do on the way what this buyer does; the service's id if it came to that."""
    until_ms = person.now_ms + PATIENCE_MS
    if habit.cancelling == "at once":
        await person.sleep(person.world.random.randint(0, 5_000))
        await person.say("cancel_order", order_id=order.id, reason="NO_LONGER_NEEDED")
    seen = order.status
    while person.now_ms < until_ms and seen not in ENDED:
        before = seen
        now = await person.until("order", order.id, lambda one: one.status != before, until_ms)  # noqa: B023
        seen = now.status
        await _react(person, now, habit)
    ended = person.read("order", order.id)
    return ended.service_id if ended is not None and ended.status == "activated" else ""


async def _react(person: Person, order: Any, habit: Habits) -> None:
    random = person.world.random
    if order.status == "accepted" and habit.gives_time:
        await person.say("extend_window", order_id=order.id, activate_by_ms=order.activate_by_ms + 60_000)
    if order.status == "accepted" and habit.cancelling == "later":
        await person.sleep(random.randint(0, 30_000))
        await person.say("cancel_order", order_id=order.id, reason="NO_LONGER_NEEDED")
    if order.status == "overdue":
        await _when_late(person, order)
    if order.status == "extension_requested" and habit.extension != "silence":
        await person.sleep(random.randint(0, 20_000))
        await person.say(
            "answer_extension",
            order_id=order.id,
            granted=habit.extension != "refuse",
            waive_penalty=habit.extension == "waive",
        )


async def _when_late(person: Person, order: Any) -> None:
    """Cancel, give time unasked, or wait for what the seller says."""
    mood = person.world.random.random()
    if mood < 0.25:
        await person.say("cancel_order", order_id=order.id, reason="TOO_LATE")
    elif mood < 0.45:
        await person.say("extend_window", order_id=order.id, activate_by_ms=person.now_ms + 60_000)


async def change(person: Person, seller: str, service_id: str, habit: Habits) -> None:
    """Modify or end a service: inquiry, quote, order, and an agreed window where it is interrupted."""
    service = person.read("service", service_id)
    if service is None or service.status == "terminated":
        return
    if person.world.random.random() < 0.8:
        # Mostly there is time for what has to be agreed on.
        habit = replace(
            habit,
            response_ms=habit.response_ms if habit.steadfast else 0,
            acceptance_ms=max(habit.acceptance_ms, 45_000),
            activation_ms=max(habit.activation_ms, 200_000),
        )
    ends = habit.afterwards == "terminate"
    action = Action.DELETE if ends else Action.MODIFY
    kind = ChangeKind.TERMINATION if ends else ChangeKind.QOS
    was = {one.id: one for one in person.read("inquiry", service.inquiry_id).items}
    items = tuple(_changed(was[one.id], action) for one in service.items if one.id in was)
    inquiry = await inquire(person, seller, items, habit, Change(service_id=service_id, kind=kind))
    twice = None
    if person.world.random.random() < 0.3:
        # Asks for the same twice, and orders both: one change at a time is all that a service takes.
        twice = await inquire(person, seller, items, habit, Change(service_id=service_id, kind=kind))
    quote = None if inquiry is None else await quote_of(person, inquiry)
    if quote is None:
        return
    later = person.world.random.random() < 0.3
    order = await place(person, quote, habit, person.now_ms + 30_000 if later else 0)
    if order is None:
        return
    if not habit.steadfast and person.world.random.random() < 0.08:
        await person.say("cancel_order", order_id=order.id, reason="REGRETTED")
    other = None if twice is None else await quote_of(person, twice)
    second = None if other is None else await place(person, other, habit)
    await _follow_change(person, order, habit)
    for one in (order, second):
        if one is not None:
            await _clear(person, one)


async def _clear(person: Person, order: Any) -> None:
    """Take back what its seller has forgotten: while it is pending, nobody can change or end the service.

    What is being done is not called off before its window is over.
    """
    for _ in range(CLEARINGS):
        now = person.read("order", order.id)
        if now.status in ENDED:
            return
        if await person.say("cancel_order", order_id=order.id, reason="TOO_LATE") is None:
            await person.sleep(max(0, now.activate_by_ms - person.now_ms) + GRACE_MS)


def _changed(item: Any, action: Action) -> Any:
    """The item as it is to be: faster, or gone."""
    product = item.product if action == Action.DELETE else re.sub(rb'"irValue":\d+', b'"irValue":60', item.product)
    return replace(item, action=action, product=product, lineage_id="")


async def _follow_change(person: Person, order: Any, habit: Habits) -> None:
    """Agree to a window that the seller proposes, mostly; now and then think better of it, wherever the change is then."""
    change_id = person.read("order", order.id).change_id
    until_ms = person.now_ms + PATIENCE_MS
    over = frozenset(("done", "refused", "failed", "cancelled"))
    whims = ("",) if habit.steadfast else ("", "", "", "agreeing", "agreed", "implementing", "accepted")
    regrets = person.world.random.choice(whims)
    seen: Any = None
    while change_id and person.now_ms < until_ms and (seen is None or seen.status not in over):
        before = seen
        now = await person.until("service_change", change_id, lambda one: before is None or one != before, until_ms)  # noqa: B023
        if now is None:
            return
        seen = now
        if now.status == regrets and person.world.random.random() < 0.5:
            await person.say("cancel_order", order_id=order.id, reason="REGRETTED")
        elif now.status in ("accepted", "agreeing", "agreed"):
            await _talk(person, now)


async def _talk(person: Person, now: Any) -> None:
    """What the buyer says about a window."""
    random, about = person.world.random, {"change_id": now.id, "service_id": now.service_id}
    waits = now.status == "agreeing" and now.window.proposed_by != person.signatory.organization
    mood = random.random()
    if mood > (0.9 if waits else 0.95) and now.outage == "yes":
        from_ms = person.now_ms + random.randint(5_000, 20_000)
        await person.say("propose_maintenance", **about, from_ms=from_ms, until_ms=from_ms + now.outage_ms + 15_000)
    elif waits and mood < 0.7:
        await person.say("agree_maintenance", **about, from_ms=now.window.from_ms, until_ms=now.window.until_ms)
    elif waits and mood < 0.85:
        await person.say("decline_maintenance", **about, reason="BUSY")
