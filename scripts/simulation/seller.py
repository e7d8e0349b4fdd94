"""Sellers whose answers people give: in time, late, never; who accept, refuse, keep silent, deliver, ask for time and give up."""

from __future__ import annotations

from typing import Any, Final

from node.agents.ports import created
from scripts.simulation import goods, layout
from scripts.simulation.chain import Chain
from scripts.simulation.parties import org_id
from scripts.simulation.people import Person
from scripts.simulation.world import World
from smartcontracts.agreement import AgreementTerms
from smartcontracts.inquiry import Inquiry
from smartcontracts.pricing import rule_for, with_discount
from smartcontracts.quote import QuoteItem, totals
from smartcontracts.trade import Action, ChangeAnswer, ChangeMethod, InquiryItem, Outage, Price, QuoteForm
from syngraph.v1.system_pb2 import Event

VALIDITY_MS: Final = (60_000, 600_000)
CATALOGUE_MS: Final = (15_000, 120_000)


def keep_catalogue(world: World, name: str, chain: Chain) -> None:
    """Put offerings out, and take some back, while the world is not closing."""

    def turn() -> None:
        if not world.closing:
            world.start(f"{name} keeps its catalogue", _offer(Person(world, name, chain)))
            world.schedule.at(world.soon(*CATALOGUE_MS), f"{name} thinks of its catalogue", turn)

    world.schedule.at(world.soon(100, CATALOGUE_MS[0]), f"{name} thinks of its catalogue", turn)


async def _offer(person: Person) -> None:
    random = person.world.random
    offering = random.choice(layout.OFFERINGS)
    receipt = await person.say(
        "publish_offering",
        agreement_id=person.world.agreements[person.chain.id],
        offering=offering,
        product=goods.product(offering, "oslo", 10),
        prices=goods.prices(random),
        term=goods.YEAR,
        quote_validity_ms=random.randint(*VALIDITY_MS),
        valid_until_ms=random.choice((0, person.now_ms + 60_000)),
    )
    if receipt is not None and random.random() < 0.3:
        await person.sleep(random.randint(1_000, 90_000))
        await person.say("withdraw_offering", offering_id=created(receipt, "offering"))


class ManualSeller:
    """Answers whatever is asked of `name`, on every ledger where it sells."""

    def __init__(self, world: World, name: str) -> None:
        self._world = world
        self._id = org_id(name)
        self.name = name
        world.listeners.append(self.hear)

    def hear(self, chain: Chain, event: Event) -> None:
        """Take up what an event says is to be done."""
        if chain.kind != "bilateral" or self.name not in chain.names:
            return
        if event.name == "inquiry.received" and not self._is_mine(chain, event):
            return
        script = {"inquiry.received": self._answer, "order.placed": self._serve}.get(event.name)
        if script is not None and self._is_mine(chain, event):
            person = Person(self._world, self.name, chain)
            name = f"{self.name} serves {event.kind} {event.document_id[-6:]}"
            self._world.start(name, script(person, event.document_id))

    def _is_mine(self, chain: Chain, event: Event) -> bool:
        record = self._world.read(chain, event.kind, event.document_id)
        return record is not None and record.seller == self._id

    async def _answer(self, person: Person, inquiry_id: str) -> None:
        random = self._world.random
        inquiry = person.read("inquiry", inquiry_id)
        await person.sleep(random.choices((random.randint(100, 4_000), 70_000), (9, 1))[0])
        answer = random.choices(("quote", "unable", "silence"), (16, 3, 1))[0]
        if answer == "unable":
            await person.say("declare_unable", inquiry_id=inquiry_id, reason="NO_CAPACITY")
        if answer != "quote":
            return
        terms = person.read("agreement", inquiry.agreement_id).terms
        items, bundle = self._prices(inquiry, terms)
        one_time, over_term = totals(items, inquiry, goods.CURRENCY, terms.rounding, bundle)
        await person.say(
            "issue_quote",
            inquiry_id=inquiry_id,
            level=inquiry.level,
            valid_until_ms=person.now_ms + random.randint(*VALIDITY_MS),
            items=items,
            one_time_total=one_time,
            term_total=over_term,
            form=QuoteForm.BUNDLED if bundle else QuoteForm.ITEMISED,
            bundle=bundle,
            change_answer=self._change_answer(inquiry),
        )

    def _prices(self, inquiry: Inquiry, terms: AgreementTerms) -> tuple[tuple[QuoteItem, ...], tuple[Price, ...]]:
        """Item by item, or all in one, less what the agreement gives off."""
        count = len(inquiry.items)

        def drawn(sold: tuple[InquiryItem, ...]) -> tuple[Price, ...]:
            prices = goods.prices(self._world.random)
            return tuple(with_discount(one, rule_for(one, sold, terms, self._id, count)) for one in prices)

        bundled = self._world.random.random() < 0.15
        items = tuple(
            QuoteItem(id=one.id, prices=() if bundled else drawn((one,)), installation_interval_ms=1_000) for one in inquiry.items
        )
        return items, drawn(inquiry.items) if bundled else ()

    def _change_answer(self, inquiry: Inquiry) -> ChangeAnswer | None:
        if inquiry.change is None:
            return None
        interrupts = inquiry.items[0].action == Action.MODIFY and self._world.random.random() < 0.7
        return ChangeAnswer(
            outage=Outage.YES if interrupts else Outage.NO,
            outage_ms=5_000 if interrupts else 0,
            method=ChangeMethod.RECONFIGURE,
        )

    async def _serve(self, person: Person, order_id: str) -> None:
        random = self._world.random
        await person.sleep(random.randint(100, 8_000))
        answer = random.choices(("accept", "reject", "silence"), (16, 3, 1))[0]
        if answer == "reject":
            await person.say("reject_order", order_id=order_id, reason="NO_CAPACITY")
        if answer != "accept" or await person.say("accept_order", order_id=order_id) is None:
            return
        order = person.read("order", order_id)
        if order.change is not None:
            await self._change(person, order.change_id)
            return
        await self._deliver(person, order)

    async def _deliver(self, person: Person, order: Any) -> None:
        random = self._world.random
        left_ms = max(0, order.activate_by_ms - person.now_ms)
        how = random.choices(("in time", "late", "fails"), (14, 4, 1))[0]
        await person.sleep(random.randint(0, left_ms) if how != "late" else left_ms + random.randint(0, 3_000))
        if how == "fails":
            await person.say("fail_order", order_id=order.id, reason="CABLE_BROKEN")
            return
        receipt = await person.say("activate_order", order_id=order.id)
        if receipt is None:
            await self._overdue(person, order)

    async def _overdue(self, person: Person, order: Any) -> None:
        """Ask for more time, and activate if it is given, else give the order up."""
        now = person.read("order", order.id)
        later_ms = max(person.now_ms, now.activate_by_ms) + 60_000
        await person.say("request_extension", order_id=order.id, activate_by_ms=later_ms, reason="DELIVERY_LATE")
        await person.until("order", order.id, lambda one: one.status != "extension_requested", person.now_ms + 60_000)
        if await person.say("activate_order", order_id=order.id) is None:
            await person.say("fail_order", order_id=order.id, reason="TOO_LATE")

    async def _change(self, person: Person, change_id: str) -> None:
        random, change = self._world.random, person.read("service_change", change_id)
        if change.outage == Outage.YES:
            if not await self._agree(person, change):
                return
        elif change.implement_at_ms:
            await person.sleep(max(0, change.implement_at_ms - person.now_ms) + 500)
        if random.random() < 0.08:
            # Forgets what it has accepted.
            return
        await person.say("start_change", change_id=change_id, service_id=change.service_id)
        await person.sleep(random.randint(500, 5_000))
        done = random.random() < 0.85
        outcome = {"outcome": "done"} if done else {"outcome": "failed", "reason": "CABLE_BROKEN"}
        await person.say("end_change", change_id=change_id, service_id=change.service_id, **outcome)

    async def _agree(self, person: Person, change: Any) -> bool:
        """Propose a window, and wait for it; False if this seller gives up on the way."""
        random = self._world.random
        # Thinks of another window while the first is not answered, or after it was agreed on; or gives up then.
        mood = random.choices(("plain", "again", "agreed again", "fails", "fails agreed"), (12, 1, 1, 1, 1))[0]
        window = await self._propose(person, change)
        if mood == "again":
            window = await self._propose(person, change)
        if mood != "fails":
            await person.until("service_change", change.id, lambda one: one.status != "agreeing", person.now_ms + 60_000)
        if mood == "agreed again":
            window = await self._propose(person, change)
            await person.until("service_change", change.id, lambda one: one.status != "agreeing", person.now_ms + 60_000)
        if mood in ("fails", "fails agreed"):
            await person.say("fail_order", order_id=change.order_id, reason="CABLE_BROKEN")
            return False
        await person.sleep(max(0, window["from_ms"] - person.now_ms) + 500)
        return True

    async def _propose(self, person: Person, change: Any) -> dict[str, int]:
        from_ms = person.now_ms + 5_000
        window = {"from_ms": from_ms, "until_ms": from_ms + change.outage_ms + 20_000}
        await person.say("propose_maintenance", change_id=change.id, service_id=change.service_id, **window)
        return window
