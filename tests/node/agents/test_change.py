"""Changes over the tiers: asked where something is affected, agreed on by all neighbours, done in the window, and kept on every ledger."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import pytest

from node.agents.b_bus import change as b_bus_change
from node.agents.boundaries import boundaries
from node.agents.policies import Policies, Recovery
from node.agents.policy_settings import PolicySettings, Recipe, RecipePart
from node.agents.provisioning.inventory import parse
from node.agents.s_bus import change as s_bus_change
from node.agents.sco.places import located, location_of
from smartcontracts.change import ProposeMaintenance, StartChange
from smartcontracts.delivery import FailOrder
from smartcontracts.order import PlaceOrder
from smartcontracts.service import ChangeStarted
from smartcontracts.trade import Action, Change, ChangeKind, Outage
from tests.node.agents.chains import Killer, ordered, stock, units_in_use
from tests.node.agents.desk import Market, pool
from tests.node.agents.stories import StoryMarket
from tests.smartcontracts.trading import LINE, PORT_A, PORT_Z, product

HOUR_MS = 3_600_000
ACTIVATION_MS = 4 * HOUR_MS
OUTAGE_MS = 600_000
DEEP = (("acme", "alpha"), ("alpha", "bravo"), ("bravo", "charlie"))
WIDE = (("acme", "alpha"), ("alpha", "bravo"), ("alpha", "charlie"))
TERMINATION, PARAMETER = ChangeKind.TERMINATION, ChangeKind.PARAMETER


def makes(*offerings, outage_ms=0, method="reconfigure", once="25.00", capacity=1_000, faults="", mbps_per_unit=0):
    """An inventory whose changes interrupt for `outage_ms`."""
    names = ", ".join(f'"{one}"' for one in offerings)
    return parse(
        f'currency = "EUR"\n[[pool]]\nid = "main"\nofferings = [{names}]\ncapacity = {capacity}\nlead_time_ms = 60000\n'
        f"mbps_per_unit = {mbps_per_unit}\n"
        f'cost = {{ recurring = "10.00", period = "month" }}\nend = {{ non_recurring = "5.00" }}\n'
        f'change = {{ non_recurring = "{once}", outage_ms = {outage_ms}, method = "{method}" }}\n{faults}'.encode()
    )


class Says(Policies):
    """Answers windows as told, in this order, and agrees to all after that."""

    def __init__(self, *answers):
        super().__init__()
        self.answers, self.asked = list(answers), []

    def agree_maintenance(self, asked, window):
        self.asked.append((asked, window))
        return self.answers.pop(0) if self.answers else super().agree_maintenance(asked, window)


class GivesUp(Policies):
    def recover(self, failure):
        return Recovery.ABANDON


@dataclass
class Story:
    """acme has a service from alpha, and changes it."""

    chain: Any
    pairs: tuple[tuple[str, str], ...]

    @property
    def market(self):
        return self.chain.market

    def the(self, pair, kind):
        """The newest document of a kind between two."""
        found = self.market.records(self.market.between(*pair), kind)
        key = {"inquiry": "received_at_ms", "quote": "issued_at_ms", "order": "placed_at_ms"}.get(kind)
        return max(found, key=lambda one: getattr(one, key)) if key else found[-1]

    def changes(self):
        """The change of each pair that has one."""
        found = {pair: self.market.records(self.market.between(*pair), "service_change") for pair in self.pairs}
        return {pair: changes[0] for pair, changes in found.items() if changes}

    def statuses(self):
        return {pair: change.status.value for pair, change in self.changes().items()}

    def services(self):
        """Of every service, pair by pair."""
        found = (self.market.records(self.market.between(*pair), "service") for pair in self.pairs)
        return [service.status.value for services in found for service in services]

    def inside(self, name, kind):
        return self.market.records(self.market.internal(name), kind)

    def plan(self, name):
        (plan,) = self.inside(name, "change_plan")
        return plan

    def ask(self, *items, kind=PARAMETER):
        service = self.market.the(self.market.between("acme", "alpha"), "service")
        self.change = Change(service_id=service.id, kind=kind)
        action = Action.DELETE if kind == TERMINATION else Action.MODIFY
        named = {item.id for item in items}
        asked = tuple(
            replace(item, action=action, relations=tuple(one for one in item.relations if one.item_id in named))
            for item in items
        )
        inquiry = self.market.ask("acme", "alpha", asked, change=self.change)
        ledger = self.market.between("acme", "alpha")
        self.market.run_until(
            self.market.now_ms + 120_000,
            stop=lambda: ledger.get(ledger.table.kinds["inquiry"], inquiry.id).answered_at_ms,
        )
        return ledger.get(ledger.table.kinds["inquiry"], inquiry.id)

    def order(self, implement_in_ms=0, acceptance_ms=600_000, activation_ms=ACTIVATION_MS):
        """acme orders what was quoted last."""
        command = PlaceOrder(
            quote_id=self.the(("acme", "alpha"), "quote").id,
            acceptance_window_ms=acceptance_ms,
            activation_window_ms=activation_ms,
            change=self.change,
            implement_at_ms=self.market.now_ms + implement_in_ms if implement_in_ms else 0,
        )
        return self.market.act(self.market.between("acme", "alpha"), "place_order", command, "acme", "b_bus")

    def say(self, name, command, by="acme", role="b_bus", pair=("acme", "alpha")):
        return self.market.act(self.market.between(*pair), name, command, by, role)

    def wait(self, ms=ACTIVATION_MS + HOUR_MS):
        self.market.run_until(self.market.now_ms + ms)

    def asked(self, seller):
        """How many inquiries alpha has made there."""
        return len(self.market.records(self.market.between("alpha", seller), "inquiry"))

    def booked(self):
        return {name: units_in_use(self.market, name) for name in sorted({seller for _, seller in self.pairs})}


def in_operation(inventories, pairs=DEEP, **options):
    chain = ordered(inventories, pairs, activation_ms=ACTIVATION_MS, **options)
    chain.market.run_until(chain.market.now_ms + 60_000)
    assert (chain.the_order().status, chain.market.failures) == ("activated", [])
    return Story(chain, pairs)


def deep(outage_ms=OUTAGE_MS, **options):
    """The line is made by charlie, sold by bravo, and resold by alpha, which makes the ports."""
    own = {
        "alpha": stock("port"),
        "bravo": pool(),
        "charlie": makes("line", outage_ms=outage_ms, method="parallel_build_cold"),
    }
    return in_operation(own, **options)


def wider(item, mbps):
    return replace(
        item, product=product(item.offering, sls=item is LINE, mbps=mbps, place="" if item is LINE else "york")
    )


# Inquiry


@pytest.mark.req("C-05", "C-06", "C-08", "T-28")
def test_price_outage_and_duration_of_a_change_come_back_through_three_tiers():
    story = deep()
    inquiry = story.ask(LINE)
    assert inquiry.status == "quoted"
    quote = story.the(("acme", "alpha"), "quote")
    answer = quote.change_answer
    assert (answer.outage, answer.outage_ms, answer.method.value) == (Outage.YES, OUTAGE_MS, "parallel_build_cold")
    assert [price.rate.nano for price in quote.items[0].prices] == [38_021_875_000, 15_208_750_000]  # 15 %, three times
    for pair in DEEP:
        change = story.the(pair, "inquiry").change
        assert change.kind == PARAMETER
        assert change.service_id == story.the(pair, "service").id
        assert [item.action for item in story.the(pair, "inquiry").items] == ["modify"]


@pytest.mark.req("C-07")
def test_sellers_of_what_is_not_touched_are_not_asked():
    story = deep()
    before = len(story.inside("bravo", "inquiry_handover"))
    story.ask(PORT_A)
    assert len(story.market.records(story.market.between("alpha", "bravo"), "inquiry")) == 1
    assert len(story.inside("bravo", "inquiry_handover")) == before
    story.order()
    story.market.run()
    assert story.statuses() == {("acme", "alpha"): "done"}
    assert story.the(("acme", "alpha"), "quote").change_answer.outage == Outage.NO


@pytest.mark.req("C-07")
def test_only_the_seller_that_has_it_in_operation_is_asked():
    pairs = (*DEEP, ("alpha", "delta"))
    own = {"alpha": stock("port"), "bravo": pool(), "charlie": makes("line"), "delta": stock("line", monthly="50.00")}
    story = in_operation(own, pairs)

    def asked(seller):
        ledger_id = story.market.between("alpha", seller).ledger_id
        found = story.inside("alpha", "release")
        return sum(one.act == "submit_inquiry" and one.ledger_id == ledger_id for one in found)

    assert (asked("bravo"), asked("delta")) == (1, 1)
    story.ask(LINE)
    assert (asked("bravo"), asked("delta")) == (2, 1)


def test_the_longest_outage_of_the_parts_counts():
    own = {"alpha": makes("port", outage_ms=OUTAGE_MS // 2), "bravo": makes("line", outage_ms=OUTAGE_MS)}
    story = in_operation(own, WIDE[:2])
    story.ask(LINE, PORT_A)
    assert story.the(("acme", "alpha"), "quote").change_answer.outage_ms == OUTAGE_MS


def test_a_change_that_can_not_be_made_is_refused():
    full = makes("line", capacity=1, mbps_per_unit=100)
    story = in_operation({"alpha": stock("port"), "bravo": full}, WIDE[:2])
    inquiry = story.ask(wider(LINE, 500))
    assert (inquiry.status, inquiry.unable_reason) == ("unable", "NO_CAPACITY")


def test_a_service_that_is_not_in_the_inventory_is_not_changed():
    story = deep()
    internal = story.market.internal("alpha")
    (service,) = story.inside("alpha", "inventory_service")
    internal.write(replace(service, status=type(service.status).TERMINATED))
    assert story.ask(LINE).status == "unable"


# Windows


@pytest.mark.req("C-07", "C-09", "X-62")
def test_all_neighbours_agree_on_a_window_before_anything_starts():
    story = deep()
    story.ask(LINE)
    story.order()
    story.market.run()
    windows = {pair: change.window for pair, change in story.changes().items()}
    assert set(story.statuses().values()) == {"agreed"}
    outer = windows["acme", "alpha"]
    assert outer.until_ms - outer.from_ms >= OUTAGE_MS
    for window in windows.values():
        assert outer.from_ms <= window.from_ms
        assert window.until_ms <= outer.until_ms
        assert {window.proposed_by, window.agreed_by} != {""}
    assert {name: story.plan(name).status.value for name in ("alpha", "bravo", "charlie")} == dict.fromkeys(
        ("alpha", "bravo", "charlie"), "agreed"
    )
    assert [element.status.value for element in story.inside("charlie", "service_element")].count("activating") == 0
    story.wait()
    assert set(story.statuses().values()) == {"done"}
    for change in story.changes().values():
        assert change.window.from_ms <= change.started_at_ms <= change.window.until_ms
    assert story.market.failures == []


@pytest.mark.req("C-09", "X-62")
def test_the_buyers_own_proposal_is_agreed_to_after_the_sellers_have():
    story = deep(policies={"acme": Says(False)})
    story.ask(LINE)
    story.order()
    ledger = story.market.between("acme", "alpha")
    story.market.run_until(
        story.market.now_ms + 60_000,
        stop=lambda: story.changes()["acme", "alpha"].status == "agreeing",
    )
    change = story.changes()["acme", "alpha"]
    from_ms = story.market.now_ms + HOUR_MS
    window = {"from_ms": from_ms, "until_ms": from_ms + 2 * OUTAGE_MS}
    story.say("propose_maintenance", ProposeMaintenance(change_id=change.id, service_id=change.service_id, **window))
    story.market.run()
    assert set(story.statuses().values()) == {"agreed"}
    for change in story.changes().values():
        assert (change.window.from_ms, change.window.until_ms) == (from_ms, from_ms + 2 * OUTAGE_MS)
    consents = [
        (commit.ledger, commit.at_ms)
        for commit in story.market.commits
        if commit.messages == ("agree_maintenance",) and commit.at_ms > story.market.now_ms - 60_000
    ]
    last = dict(consents)
    assert last["bravo-charlie"] < last["alpha-bravo"] < last["acme-alpha"]
    assert ledger.time_ms < from_ms
    story.wait()
    assert set(story.statuses().values()) == {"done"}


@pytest.mark.req("C-09")
def test_a_seller_that_declines_makes_everybody_agree_on_another_window():
    busy = Says(False)
    story = deep(policies={"charlie": busy})
    story.ask(LINE)
    story.order()
    story.wait()
    assert set(story.statuses().values()) == {"done"}
    (refused_at,) = [
        one.at_ms
        for one in story.market.commits
        if one.messages == ("decline_maintenance",) and one.organization == "charlie"
    ] or [0]
    assert refused_at > 0
    declined = busy.asked[0][1]
    outer = story.changes()["acme", "alpha"].window
    assert outer.from_ms > declined.until_ms
    assert story.market.failures == []


@pytest.mark.req("C-09")
def test_a_customer_that_never_agrees_is_not_interrupted():
    story = deep(policies={"acme": Says(*[False] * 500)})
    story.ask(LINE)
    story.order()
    story.wait(3 * ACTIVATION_MS)
    assert "done" not in story.statuses().values()
    assert all(change.started_at_ms == 0 for change in story.changes().values())
    assert story.services() == ["in_operation"] * 3
    assert story.booked() == {"alpha": 2, "bravo": 0, "charlie": 1}


def test_without_an_outage_no_window_is_agreed_on():
    story = deep(outage_ms=0)
    story.ask(LINE)
    story.order()
    story.market.run()
    assert set(story.statuses().values()) == {"done"}
    assert all(change.window is None for change in story.changes().values())


# Time


@pytest.mark.req("C-10")
def test_a_change_in_advance_starts_at_its_time_on_every_ledger():
    story = deep(outage_ms=0)
    story.ask(LINE)
    order = story.order(implement_in_ms=HOUR_MS)
    story.market.run()
    assert set(story.statuses().values()) == {"accepted"}
    story.wait(HOUR_MS - 60_000)
    assert set(story.statuses().values()) == {"accepted"}
    story.wait(120_000)
    assert set(story.statuses().values()) == {"done"}
    for change in story.changes().values():
        assert order.implement_at_ms <= change.started_at_ms < order.implement_at_ms + 10_000
    assert story.market.failures == []


@pytest.mark.req("C-09", "C-10")
def test_a_window_is_not_before_the_time_that_was_ordered():
    story = deep()
    story.ask(LINE)
    order = story.order(implement_in_ms=HOUR_MS)
    story.market.run()
    for change in story.changes().values():
        assert change.window.from_ms >= order.implement_at_ms


@pytest.mark.req("C-10")
def test_of_several_sellers_none_changes_anything_before_all_have_accepted_and_then_none_waits():
    own = {"alpha": pool(), "bravo": makes("line"), "charlie": makes("port")}
    story = in_operation(own, WIDE)
    story.ask(LINE, PORT_A, PORT_Z)
    story.order()
    story.market.run()
    assert story.statuses() == dict.fromkeys(WIDE, "done")
    accepted_ms = [story.changes()[pair].accepted_at_ms for pair in WIDE]
    for pair in WIDE[1:]:
        seller, change = story.the(pair, "order"), story.changes()[pair]
        assert seller.implement_at_ms > seller.accept_by_ms
        assert max(accepted_ms) < change.started_at_ms < seller.implement_at_ms
        assert change.implement_at_ms == 0
    assert story.market.failures == []


@pytest.mark.req("C-10")
def test_several_sellers_of_a_change_in_advance_are_hastened_to_its_time_and_not_to_any_earlier():
    own = {"alpha": pool(), "bravo": makes("line"), "charlie": makes("port")}
    story = in_operation(own, WIDE)
    story.ask(LINE, PORT_A, PORT_Z)
    order = story.order(implement_in_ms=300_000)
    story.market.run()
    for pair in WIDE[1:]:
        assert story.the(pair, "order").implement_at_ms > order.implement_at_ms
        assert (story.changes()[pair].status, story.changes()[pair].started_at_ms) == ("accepted", 0)
    story.wait()
    assert story.statuses() == dict.fromkeys(WIDE, "done")
    assert {story.changes()[pair].implement_at_ms for pair in WIDE} == {order.implement_at_ms}
    assert all(one.started_at_ms >= order.implement_at_ms for one in story.changes().values())
    assert all(one.started_at_ms < order.implement_at_ms + 10_000 for one in story.changes().values())


@pytest.mark.req("C-10", "X-62")
def test_who_is_hastened_hastens_its_own_seller():
    pairs = (*WIDE, ("charlie", "delta"))
    own = {"alpha": pool(), "bravo": makes("line"), "charlie": pool(), "delta": makes("port")}
    story = in_operation(own, pairs)
    story.ask(LINE, PORT_A, PORT_Z)
    story.order()
    story.market.run()
    assert story.statuses() == dict.fromkeys(pairs, "done")
    assert story.the(("charlie", "delta"), "order").implement_at_ms > 0
    assert story.market.failures == []


@pytest.mark.req("C-09", "C-10")
def test_several_sellers_with_outages_agree_on_one_window_that_none_of_their_ledgers_refuses():
    own = {"alpha": pool(), "bravo": makes("line", outage_ms=OUTAGE_MS), "charlie": makes("port", outage_ms=60_000)}
    hasty = Policies(PolicySettings(maintenance_notice_ms=1_000))
    story = in_operation(own, WIDE, policies={"alpha": hasty, "bravo": hasty, "charlie": hasty})
    story.ask(LINE, PORT_A, PORT_Z)
    story.order()
    story.wait()
    assert story.statuses() == dict.fromkeys(WIDE, "done")
    outer = story.changes()["acme", "alpha"].window
    for pair in WIDE[1:]:
        own_window = story.changes()[pair].window
        assert outer.from_ms <= own_window.from_ms < own_window.until_ms <= outer.until_ms
    refused = [one for one in story.inside("alpha", "release") if one.status == "refused" and "maintenance" in one.act]
    assert refused == []


@pytest.mark.req("C-10")
@pytest.mark.parametrize("kind", [PARAMETER, TERMINATION])
@pytest.mark.parametrize("activation_ms", [600_000, 300_000, 60_000])
def test_several_sellers_need_no_activation_window_longer_than_the_acceptance(activation_ms, kind):
    own = {"alpha": pool(), "bravo": makes("line"), "charlie": makes("port")}
    story = in_operation(own, WIDE)
    story.ask(LINE, PORT_A, PORT_Z, kind=kind)
    story.order(acceptance_ms=600_000, activation_ms=activation_ms)
    story.wait()
    assert set(story.statuses().values()) == {"done"}
    assert story.market.failures == []
    assert [one.reason for one in story.inside("alpha", "order_handover")] == ["", ""]


@pytest.mark.req("C-08", "X-17")
@pytest.mark.parametrize(
    ("outage_ms", "implement_in_ms"),
    [(OUTAGE_MS, ACTIVATION_MS - HOUR_MS // 3), (0, ACTIVATION_MS - 1_000), (ACTIVATION_MS - HOUR_MS // 2, 0)],
)
def test_what_several_sellers_can_not_do_in_the_windows_is_refused_at_once_and_no_seller_is_asked(
    outage_ms, implement_in_ms
):
    own = {"alpha": pool(), "bravo": makes("line", outage_ms=outage_ms), "charlie": makes("port")}
    story = in_operation(own, WIDE)
    story.ask(LINE, PORT_A, PORT_Z)
    story.order(implement_in_ms=implement_in_ms)
    story.market.run()
    order = story.the(("acme", "alpha"), "order")
    assert (order.status, order.reason) == ("rejected", "WINDOW_TOO_SHORT")
    assert story.statuses() == {("acme", "alpha"): "refused"}


@pytest.mark.req("C-10", "X-15")
def test_a_seller_that_is_silent_holds_back_all_and_the_buyer_hears_it_before_its_own_window_is_over():
    own = {"alpha": pool(), "bravo": makes("line"), "charlie": makes("port")}
    story = in_operation(own, WIDE, acceptance_ms=2 * ACTIVATION_MS)
    story.ask(LINE, PORT_A, PORT_Z)
    story.market.desks = {key: desk for key, desk in story.market.desks.items() if key[0] != "charlie"}
    order = story.order(acceptance_ms=2 * ACTIVATION_MS)
    story.wait(ACTIVATION_MS)
    ended = story.the(("acme", "alpha"), "order")
    assert ended.status == "rejected"
    assert ended.ended_at_ms < order.accept_by_ms
    assert [story.statuses()[pair] for pair in WIDE] == ["refused", "cancelled", "refused"]
    assert [change.started_at_ms for change in story.changes().values()] == [0, 0, 0]
    assert story.services() == ["in_operation"] * 4


def test_a_seller_that_rejects_leaves_all_as_it_was():
    own = {"alpha": pool(), "bravo": makes("line"), "charlie": makes("port", faults=_held_back())}
    story = in_operation(own, WIDE)
    story.ask(LINE, PORT_A, PORT_Z)
    booked = story.booked()
    story.order()
    story.wait()
    assert story.statuses()["acme", "alpha"] == "refused"
    assert story.statuses()["alpha", "charlie"] == "refused"
    assert story.statuses()["alpha", "bravo"] == "cancelled"
    assert story.services() == ["in_operation"] * 4
    assert story.booked() == booked
    assert story.plan("alpha").status == "refused"


def _held_back():
    """Reservations go well until the inventory was used for the first order's two ports."""
    return (
        '[[fault]]\nname = "first"\noperation = "reserve"\ntimes = 2\ndelay_ms = 1\n'
        '[[fault]]\nname = "then"\noperation = "reserve"\ntimes = 100\ncause = "HELD_BACK"\n'
    )


# Outcome


@pytest.mark.req("C-11")
def test_the_outcome_is_on_every_ledger_and_the_inventories_have_what_runs_now():
    own = {"alpha": stock("port"), "bravo": pool(), "charlie": makes("line", mbps_per_unit=100)}
    story = in_operation(own)
    assert story.booked() == {"alpha": 2, "bravo": 0, "charlie": 1}
    story.ask(wider(LINE, 500))
    story.order()
    story.market.run()
    assert story.market.failures == []
    assert {pair: change.outcome for pair, change in story.changes().items()} == dict.fromkeys(DEEP, "done")
    assert story.booked() == {"alpha": 2, "bravo": 0, "charlie": 5}
    (service,) = story.inside("charlie", "inventory_service")
    (part,) = service.elements
    old = next(one for one in story.inside("charlie", "service_element") if one.id != part.element_id)
    element = next(one for one in story.inside("charlie", "service_element") if one.id == part.element_id)
    # What says nothing of where it is stays where it was.
    product_now = located(wider(LINE, 500).product, location_of(old.product))
    assert (element.product, element.status, element.action) == (product_now, "chained", "modify")
    assert b"washington" in element.product
    assert (old.status, old.replaced_by) == ("replaced", element.id)
    assert [one.outcome for one in (story.plan("alpha").sellers[0].change, story.plan("alpha").change)] == [
        "done",
        "done",
    ]


def test_a_service_is_changed_again_and_ended_after_that():
    own = {"alpha": stock("port"), "bravo": pool(), "charlie": makes("line", mbps_per_unit=100)}
    story = in_operation(own)
    for mbps, units in ((500, 5), (200, 2)):
        story.ask(wider(LINE, mbps))
        story.order()
        story.market.run()
        assert story.booked() == {"alpha": 2, "bravo": 0, "charlie": units}
    story.ask(LINE, PORT_A, PORT_Z, kind=TERMINATION)
    story.order()
    story.market.run()
    assert story.market.failures == []
    assert story.services() == ["terminated"] * 3
    assert story.booked() == {"alpha": 0, "bravo": 0, "charlie": 0}


@pytest.mark.req("C-03")
def test_an_endpoint_is_added_and_belongs_to_the_service_from_then_on():
    story = in_operation({"alpha": makes("port"), "bravo": makes("line")}, WIDE[:2])
    story.ask(replace(PORT_A, id="item-004", product=product("port", place="leeds")))
    story.order()
    story.market.run()
    assert story.market.failures == []
    assert story.statuses() == {("acme", "alpha"): "done"}
    (service,) = story.inside("alpha", "inventory_service")
    assert [part.item_ids for part in service.elements].count(("item-004",)) == 1
    assert len(service.elements) == 4
    assert story.booked() == {"alpha": 3, "bravo": 1}
    story.ask(LINE, PORT_A, PORT_Z, replace(PORT_A, id="item-004"), kind=TERMINATION)
    story.order()
    story.market.run()
    assert story.services() == ["terminated"] * 2
    assert story.booked() == {"alpha": 0, "bravo": 0}


@pytest.mark.req("C-11")
def test_a_change_that_fails_leaves_the_service_as_it_was_and_says_so():
    broken = makes("line", mbps_per_unit=100, faults=_breaks_the_second())
    story = in_operation({"alpha": stock("port"), "bravo": pool(), "charlie": broken}, policies={"charlie": GivesUp()})
    story.ask(wider(LINE, 500))
    story.order()
    story.wait()
    assert story.statuses() == dict.fromkeys(DEEP, "failed")
    assert story.services() == ["in_operation"] * 3
    assert story.booked() == {"alpha": 2, "bravo": 0, "charlie": 1}
    assert story.plan("bravo").status == "failed"
    (service,) = story.inside("charlie", "inventory_service")
    assert [
        one.status.value
        for one in story.inside("charlie", "service_element")
        if one.id == service.elements[0].element_id
    ] == ["chained"]


def test_own_resources_are_tried_again_and_nobody_else_is_asked():
    broken = makes("line", mbps_per_unit=100, faults=_breaks_the_second())
    pairs = (*DEEP, ("charlie", "delta"))
    own = {"alpha": stock("port"), "bravo": pool(), "charlie": broken, "delta": makes("line")}
    story = in_operation(own, pairs)
    story.ask(wider(LINE, 500))
    story.order()
    story.wait()
    assert story.statuses() == dict.fromkeys(DEEP, "done")
    assert story.market.records(story.market.between("charlie", "delta"), "inquiry") == ()
    assert story.booked()["charlie"] == 5


def _breaks_the_second():
    """The first activation goes well, the second one fails."""
    return (
        '[[fault]]\nname = "first"\noperation = "activate"\ndelay_ms = 1\n'
        '[[fault]]\nname = "second"\noperation = "activate"\ncause = "LINE_BROKEN"\n'
    )


@pytest.mark.req("C-02", "C-11", "D-38", "X-63")
def test_a_termination_ends_the_service_on_every_tier_and_gives_everything_back():
    story = deep()
    inquiry = story.ask(
        *(replace(item, product=b"", offering="", term=None) for item in (LINE, PORT_A, PORT_Z)), kind=TERMINATION
    )
    assert inquiry.status == "quoted"
    story.order()
    story.market.run()
    assert story.market.failures == []
    assert story.statuses() == dict.fromkeys(DEEP, "done")
    assert story.services() == ["terminated"] * 3
    for name in ("alpha", "bravo", "charlie"):
        assert [one.status.value for one in story.inside(name, "inventory_service")] == ["terminated"]
        assert {one.status.value for one in story.inside(name, "service_element")} <= {"released", "cancelled"}
        assert story.plan(name).status == "done"
    assert story.booked() == {"alpha": 0, "bravo": 0, "charlie": 0}
    assert not [commit for commit in story.market.commits if "cancel_order" in commit.messages]


def test_a_termination_costs_what_each_tier_asks_for_it():
    story = deep()
    story.ask(LINE, PORT_A, PORT_Z, kind=TERMINATION)
    quote = story.the(("acme", "alpha"), "quote")
    prices = {item.id: [price.rate.nano for price in item.prices] for item in quote.items}
    assert prices["item-001"] == [7_604_375_000]  # 5.00, marked up by 15 % three times


@pytest.mark.req("C-11", "X-15")
def test_a_customer_that_calls_it_off_leaves_the_service_as_it_was():
    story = deep()
    story.ask(LINE)
    order = story.order()
    story.market.run()
    story.chain.order = order
    story.chain.cancel()
    story.wait()
    assert story.statuses() == dict.fromkeys(DEEP, "cancelled")
    assert story.services() == ["in_operation"] * 3
    assert story.booked() == {"alpha": 2, "bravo": 0, "charlie": 1}
    assert {story.plan(name).status.value for name in ("alpha", "bravo", "charlie")} == {"cancelled"}


@pytest.mark.req("C-11", "D-40")
@pytest.mark.parametrize("kind", [PARAMETER, TERMINATION])
def test_what_is_called_off_before_the_start_has_changed_nothing_anywhere(kind):
    story = deep(outage_ms=0)
    booked = story.booked()
    story.ask(*_parts_of(kind), kind=kind)
    story.chain.order = story.order(implement_in_ms=HOUR_MS)
    story.market.run_until(story.changes()["acme", "alpha"].implement_at_ms - 1_000)
    assert story.statuses() == dict.fromkeys(DEEP, "accepted")
    story.chain.cancel()
    story.wait()
    assert story.statuses() == dict.fromkeys(DEEP, "cancelled")
    assert [change.started_at_ms for change in story.changes().values()] == [0, 0, 0]
    assert story.services() == ["in_operation"] * 3
    assert story.booked() == booked
    assert story.market.failures == []


@pytest.mark.req("C-11", "D-40", "X-63")
@pytest.mark.parametrize("kind", [PARAMETER, TERMINATION])
def test_after_the_start_it_is_not_called_off_any_more_and_is_done_everywhere(kind):
    own = {"alpha": stock("port"), "bravo": pool(), "charlie": makes("line", faults=_slow_the_second_time(HOUR_MS))}
    story = in_operation(own)
    story.ask(*_parts_of(kind), kind=kind)
    story.chain.order = story.order(implement_in_ms=HOUR_MS)
    story.market.run_until(story.changes()["acme", "alpha"].implement_at_ms + 60_000)
    assert story.statuses() == dict.fromkeys(DEEP, "implementing")
    with pytest.raises(ChangeStarted):
        story.chain.cancel()
    story.wait()
    assert story.statuses() == dict.fromkeys(DEEP, "done")
    ended = kind == TERMINATION
    assert story.services() == ["terminated" if ended else "in_operation"] * 3
    assert story.booked() == {"alpha": 0 if ended else 2, "bravo": 0, "charlie": 0 if ended else 1}
    assert story.market.failures == []


@pytest.mark.req("C-10", "C-11", "X-62")
@pytest.mark.parametrize("kind", [PARAMETER, TERMINATION])
def test_without_an_outage_starts_go_down_from_tier_to_tier(kind):
    story = deep(outage_ms=0)
    story.ask(*_parts_of(kind), kind=kind)
    story.order()
    story.market.run()
    assert story.statuses() == dict.fromkeys(DEEP, "done")
    started = [story.changes()[pair].started_at_ms for pair in DEEP]
    accepted = [story.changes()[pair].accepted_at_ms for pair in DEEP]
    assert sorted(started) == started
    assert max(accepted) == accepted[0] < started[0]
    assert story.market.failures == []


def _slow_the_second_time(slow_ms):
    return (
        '[[fault]]\nname = "first"\noperation = "activate"\ntimes = 1\ndelay_ms = 1\n'
        f'[[fault]]\nname = "then"\noperation = "activate"\ntimes = 1\ndelay_ms = {slow_ms}\n'
    )


def _parts_of(kind):
    """What of the service is changed."""
    return (LINE, PORT_A, PORT_Z) if kind == TERMINATION else (wider(LINE, 200),)


# What goes wrong


def test_a_window_that_was_missed_is_followed_by_another_one():
    story = deep()
    story.ask(LINE)
    story.order()
    story.market.run()
    missed = story.changes()["acme", "alpha"].window
    story.market.forget_later()  # nobody is there for an hour
    story.market.now_ms = missed.until_ms + HOUR_MS
    story.market.sweep()
    story.wait()
    assert set(story.statuses().values()) == {"done"}
    assert story.changes()["acme", "alpha"].window.from_ms > missed.until_ms + HOUR_MS
    assert story.market.failures == []


@pytest.mark.req("C-11")
def test_a_seller_that_gives_up_before_the_start_ends_it_without_any_interruption():
    hasty = Policies(PolicySettings(extensions_max=0))
    story = deep(policies={"alpha": hasty, "bravo": hasty})
    story.ask(LINE)
    story.order()
    story.market.run()
    assert set(story.statuses().values()) == {"agreed"}
    order = story.the(("bravo", "charlie"), "order")
    command = FailOrder(order_id=order.id, reason="NO_STAFF")
    story.say("fail_order", command, by="charlie", role="s_bus", pair=("bravo", "charlie"))
    story.wait(3 * ACTIVATION_MS)
    assert story.statuses() == dict.fromkeys(DEEP, "failed")
    assert [change.started_at_ms for change in story.changes().values()] == [0, 0, 0]
    assert story.services() == ["in_operation"] * 3
    assert story.booked() == {"alpha": 2, "bravo": 0, "charlie": 1}


def test_what_one_seller_has_changed_when_another_fails_is_kept_in_mind_as_stranded():
    own = {"alpha": pool(), "bravo": makes("line"), "charlie": makes("port", faults=_breaks_all_but_two())}
    story = in_operation(own, WIDE, policies={"charlie": GivesUp(), "alpha": GivesUp()})
    story.ask(LINE, PORT_A, PORT_Z)
    story.order()
    story.wait()
    assert story.statuses()["acme", "alpha"] == "failed"
    assert (story.statuses()["alpha", "bravo"], story.statuses()["alpha", "charlie"]) == ("done", "failed")
    assert {element.status.value for element in story.inside("alpha", "service_element") if element.changes} == {
        "stranded",
        "cancelled",
    }
    assert story.services() == ["in_operation"] * 4
    story.ask(LINE, PORT_A, PORT_Z, kind=TERMINATION)
    story.order()
    story.wait()
    assert story.services() == ["terminated"] * 4
    assert story.booked() == {"alpha": 0, "bravo": 0, "charlie": 0}


def _slow_beside_one_that_fails(slow_ms):
    """alpha gives a change up as charlie's part fails, while bravo is at its own."""
    own = {
        "alpha": pool(),
        "bravo": makes("line", faults=_slow_the_second_time(slow_ms)),
        "charlie": makes("port", faults=_breaks_all_but_two()),
    }
    hasty = PolicySettings(extensions_max=0)
    policies = {"charlie": GivesUp(hasty), "alpha": GivesUp(hasty), "bravo": Policies(hasty)}
    story = in_operation(own, WIDE, policies=policies, made=StoryMarket)
    story.ask(LINE, PORT_A, PORT_Z)
    story.order()
    return story


def _cancellations(story):
    """What became of those that alpha let out."""
    return [one.status.value for one in story.inside("alpha", "release") if one.act == "cancel_order"]


@pytest.mark.req("C-11", "D-40", "X-27")
def test_what_one_seller_is_changing_when_another_fails_is_stranded_once_it_is_done():
    story = _slow_beside_one_that_fails(HOUR_MS)
    story.wait(HOUR_MS // 2)
    assert story.statuses() == {WIDE[0]: "failed", WIDE[1]: "implementing", WIDE[2]: "failed"}
    assert _cancellations(story) == ["refused"]
    assert {one.status.value for one in story.inside("alpha", "service_element") if one.changes} == {
        "cancelling",
        "cancelled",
    }
    story.wait()
    assert story.statuses() == {WIDE[0]: "failed", WIDE[1]: "done", WIDE[2]: "failed"}
    assert {one.status.value for one in story.inside("alpha", "service_element") if one.changes} == {
        "stranded",
        "cancelled",
    }
    assert (_cancellations(story), story.market.failures) == (["refused"], [])
    story.ask(LINE, PORT_A, PORT_Z, kind=TERMINATION)
    story.order()
    story.wait()
    assert story.services() == ["terminated"] * 4
    assert story.booked() == {"alpha": 0, "bravo": 0, "charlie": 0}


@pytest.mark.req("C-11", "D-40", "X-24")
def test_what_one_seller_is_changing_when_another_fails_is_called_off_once_it_is_late():
    story = _slow_beside_one_that_fails(1_000)
    market = story.market
    market.run_until(market.now_ms + HOUR_MS, stop=lambda: story.statuses().get(WIDE[1]) == "implementing")
    back = market.lose("bravo")  # and forgets it, for as long as anybody waits
    story.wait()
    assert story.statuses() == {WIDE[0]: "failed", WIDE[1]: "cancelled", WIDE[2]: "failed"}
    assert sorted(_cancellations(story)) == ["carried", "refused"]
    back()
    story.wait()
    assert {one.status.value for one in story.inside("alpha", "service_element") if one.changes} == {"cancelled"}
    assert story.services() == ["in_operation"] * 4
    assert market.failures == []


def _breaks_all_but_two():
    return (
        '[[fault]]\nname = "first"\noperation = "activate"\ntimes = 2\ndelay_ms = 1\n'
        '[[fault]]\nname = "then"\noperation = "activate"\ntimes = 2\ncause = "LINE_BROKEN"\n'
    )


def test_a_persons_start_is_taken_note_of_and_the_rest_follows():
    story = deep(outage_ms=0)
    story.ask(LINE)
    story.order(implement_in_ms=HOUR_MS)
    story.market.run()
    change = story.changes()["acme", "alpha"]
    story.market.forget_later()
    story.market.now_ms = change.implement_at_ms + 1_000
    command = StartChange(change_id=change.id, service_id=change.service_id)
    story.say("start_change", command, by="alpha", role="s_bus")
    story.market.run()
    assert story.plan("alpha").status == "begun"
    story.market.sweep()
    story.wait()
    assert set(story.statuses().values()) == {"done"}


def in_parts(own, **options):
    """alpha makes a line of a core, which is the same for all, and an access, which has the bandwidth."""
    core = RecipePart(name="core", offering="core", keep=("@type", "carrierEthernetSls"))
    access = RecipePart(name="access", offering="access")
    policies = {"alpha": Policies(PolicySettings(recipe=(Recipe(offering="line", part=(core, access)),)))}
    return in_operation({"alpha": stock("port"), **own}, WIDE, policies=policies, **options)


@pytest.mark.req("C-07", "Q-46")
def test_of_an_item_in_parts_only_the_seller_of_what_is_to_be_another_is_asked_and_the_rest_costs_what_it_did():
    story = in_parts({"bravo": makes("core"), "charlie": makes("access", outage_ms=OUTAGE_MS, mbps_per_unit=100)})
    before = {price.price_type: price.rate.nano for price in story.the(("acme", "alpha"), "quote").items[0].prices}
    asked = story.asked("bravo"), story.asked("charlie")
    inquiry = story.ask(wider(LINE, 500))
    assert inquiry.status == "quoted"
    assert (story.asked("bravo"), story.asked("charlie")) == (asked[0], asked[1] + 1)
    assert [item.id for item in story.the(("alpha", "charlie"), "inquiry").items] == ["item-001.access"]
    after = {price.price_type: price.rate.nano for price in story.the(("acme", "alpha"), "quote").items[0].prices}
    assert {"recurring"} == set(before)
    # Five units cost what one did; the change itself comes on top, once.
    assert after == {**before, "nonRecurring": 33_062_500_000}
    story.order()
    story.wait()
    assert story.statuses() == {("acme", "alpha"): "done", ("alpha", "charlie"): "done"}
    assert story.market.failures == []
    assert story.booked() == {"alpha": 2, "bravo": 1, "charlie": 5}
    (service,) = story.inside("alpha", "inventory_service")
    assert len(service.elements) == 4
    story.ask(LINE, PORT_A, PORT_Z, kind=TERMINATION)
    story.order()
    story.wait()
    assert (story.services(), story.booked()) == (["terminated"] * 3, {"alpha": 0, "bravo": 0, "charlie": 0})


@pytest.mark.req("C-07")
def test_what_shows_no_difference_is_asked_for_in_all_of_its_parts():
    story = in_parts({"bravo": makes("core"), "charlie": makes("access")})
    asked = story.asked("bravo"), story.asked("charlie")
    story.ask(LINE, PORT_A, PORT_Z, kind=ChangeKind.QOS)
    assert (story.asked("bravo"), story.asked("charlie")) == (asked[0] + 1, asked[1] + 1)


# In delivery


class AskedBefore(Market):
    """bolt has asked for the same before, by other names of the items: that quote is used again."""

    def names(self, items):
        return {item.id: f"old-{item.id}" for item in items}

    def ask(self, buyer, seller, items, **more):
        if not self.records(self.between("bolt", seller), "inquiry"):
            names = self.names(items)
            super().ask("bolt", seller, tuple(renamed(item, names) for item in items))
            self.run()
        return super().ask(buyer, seller, items, **more)


class AskedCrosswise(AskedBefore):
    """Each name was another item's."""

    def names(self, items):
        return {item.id: items[place - 1].id for place, item in enumerate(items)}


def renamed(item, names):
    relations = tuple(replace(one, item_id=names[one.item_id]) for one in item.relations)
    return replace(item, id=names[item.id], relations=relations)


@pytest.mark.req("C-01", "Q-20")
@pytest.mark.parametrize("made", [AskedBefore, AskedCrosswise])
def test_a_service_of_a_quote_that_was_used_again_under_other_names_is_changed_like_any_other(made):
    own = {"alpha": makes("line", "port", mbps_per_unit=100)}
    story = in_operation(own, (*DEEP[:1], ("bolt", "alpha")), made=made)
    assert any(one.repurposed_from for one in story.inside("alpha", "inquiry_handover"))
    parts = {one.item_ids: one for one in story.inside("alpha", "service_element")}
    assert all((one.element_id,) != items for items, one in parts.items())
    inquiry = story.ask(wider(LINE, 500))
    assert (inquiry.status, inquiry.unable_reason) == ("quoted", "")
    story.order()
    story.wait()
    assert story.statuses() == {("acme", "alpha"): "done"}
    # The line is another, in the place of that which was, and the ports are what they were.
    (service,) = story.inside("alpha", "inventory_service")
    elements = {one.id: one for one in story.inside("alpha", "service_element")}
    runs = {elements[one.element_id].item_ids: elements[one.element_id] for one in service.elements}
    assert len(runs) == len(service.elements) == len(parts)
    assert b"500" in runs[LINE.id,].product
    assert {items: one.id for items, one in runs.items() if items != (LINE.id,)} == {
        items: one.id for items, one in parts.items() if items != (LINE.id,)
    }
    assert story.market.failures == []


def in_delivery(delay_ms=HOUR_MS, **options):
    """The line takes its time: acme's order is accepted on all tiers, and the service is still to come."""
    slow = f'[[fault]]\nname = "slow"\noperation = "activate"\ndelay_ms = {delay_ms}\n'
    own = {"alpha": stock("port"), "bravo": pool(), "charlie": makes("line", mbps_per_unit=100, faults=slow, **options)}
    chain = ordered(own, DEEP, activation_ms=ACTIVATION_MS)
    chain.market.run_until(chain.market.now_ms + 60_000)
    assert (chain.the_order().status, chain.market.failures) == ("accepted", [])
    return Story(chain, DEEP)


@pytest.mark.req("C-01", "C-11", "X-61")
@pytest.mark.parametrize("outage_ms", [0, OUTAGE_MS])
def test_a_service_in_delivery_is_changed_by_the_same_process_as_soon_as_it_is_delivered(outage_ms):
    story = in_delivery(outage_ms=outage_ms)
    inquiry = story.ask(wider(LINE, 500))
    assert inquiry.status == "quoted"
    story.order()
    story.market.run()
    assert set(story.statuses().values()) == {"accepted"}
    assert story.services() == ["in_delivery"] * 3
    assert story.plan("alpha").awaits_delivery
    story.wait(HOUR_MS)
    story.wait()
    assert set(story.statuses().values()) == {"done"}
    assert story.services() == ["in_operation"] * 3
    assert story.booked() == {"alpha": 2, "bravo": 0, "charlie": 5}
    first = min(story.market.records(story.market.between("acme", "alpha"), "order"), key=lambda one: one.placed_at_ms)
    assert story.changes()["acme", "alpha"].started_at_ms > first.ended_at_ms > 0
    (service,) = story.inside("charlie", "inventory_service")
    assert len(service.elements) == 1
    assert story.market.failures == []


@pytest.mark.req("C-01", "X-63")
def test_a_service_in_delivery_is_ended_once_it_is_delivered():
    story = in_delivery()
    story.ask(LINE, PORT_A, PORT_Z, kind=TERMINATION)
    story.order()
    story.wait()
    assert story.statuses() == dict.fromkeys(DEEP, "done")
    assert story.services() == ["terminated"] * 3
    assert story.booked() == {"alpha": 0, "bravo": 0, "charlie": 0}
    assert story.market.failures == []


@pytest.mark.req("C-01", "C-11")
def test_a_service_that_is_never_delivered_takes_its_change_with_it():
    story = in_delivery()
    story.ask(wider(LINE, 500))
    story.order()
    story.market.run()
    story.chain.cancel()
    story.wait()
    assert story.statuses() == dict.fromkeys(DEEP, "cancelled")
    assert story.services() == ["terminated"] * 3
    assert story.booked() == {"alpha": 0, "bravo": 0, "charlie": 0}
    assert {story.plan(name).status.value for name in ("alpha", "bravo", "charlie")} == {"cancelled"}
    for name in ("alpha", "bravo", "charlie"):
        assert {one.status.value for one in story.inside(name, "service_element")} <= {"released", "cancelled"}
    assert story.market.failures == []


def test_a_change_that_a_person_starts_before_the_service_is_there_is_made_once_it_is():
    story = in_delivery()
    story.ask(wider(LINE, 500))
    story.order()
    story.market.run()
    change = story.changes()["acme", "alpha"]
    command = StartChange(change_id=change.id, service_id=change.service_id)
    story.say("start_change", command, by="alpha", role="s_bus")
    story.market.run()
    (_, order) = sorted(story.inside("alpha", "order_handover"), key=lambda one: one.placed_at_ms)
    assert (story.plan("alpha").status, order.change.begun_at_ms) == ("begun", 0)
    story.wait()
    assert story.statuses() == dict.fromkeys(DEEP, "done")
    assert story.booked() == {"alpha": 2, "bravo": 0, "charlie": 5}


@pytest.mark.req("C-01")
def test_what_is_no_service_of_this_provider_any_more_is_refused_with_a_reason():
    story = deep()
    internal = story.market.internal("alpha")
    (service,) = story.inside("alpha", "inventory_service")
    internal.write(replace(service, status=type(service.status).TERMINATED))
    assert story.ask(LINE).unable_reason == "SERVICE_UNKNOWN"


@pytest.mark.req("C-01")
def test_a_service_of_which_a_part_is_just_being_replaced_is_not_changed_then_and_the_answer_says_so():
    broken = '[[fault]]\nname = "broken"\noperation = "activate"\ncause = "BROKEN"\n'
    pairs = (*DEEP[:2], ("alpha", "charlie"))
    own = {"alpha": stock("port"), "bravo": stock("line", faults=broken), "charlie": stock("line", monthly="11.00")}
    chain = ordered(own, pairs, activation_ms=ACTIVATION_MS)
    market = chain.market
    market.desks = {key: desk for key, desk in market.desks.items() if key[0] != "charlie"}
    market.run_until(
        stop=lambda: any(
            one.status == "sourcing" for one in market.records(market.internal("alpha"), "service_element")
        )
    )
    story = Story(chain, pairs)
    inquiry = story.ask(LINE)
    assert (inquiry.status, inquiry.unable_reason) == ("unable", "SERVICE_UNSETTLED")


def test_an_item_that_is_made_of_several_parts_is_changed_in_all_of_them():
    parts = (RecipePart(name="core", offering="core"), RecipePart(name="access", offering="access"))
    policies = {"alpha": Policies(PolicySettings(recipe=(Recipe(offering="line", part=parts),)))}
    own = {"alpha": makes("port", "core"), "bravo": makes("access", outage_ms=OUTAGE_MS)}
    story = in_operation(own, WIDE[:2], policies=policies)
    assert story.booked() == {"alpha": 3, "bravo": 1}
    story.ask(LINE)
    assert story.the(("acme", "alpha"), "quote").change_answer.outage_ms == OUTAGE_MS
    story.order()
    story.wait()
    assert set(story.statuses().values()) == {"done"}
    assert story.booked() == {"alpha": 3, "bravo": 1}
    assert len(story.inside("alpha", "inventory_service")[0].elements) == 4
    story.ask(LINE, PORT_A, PORT_Z, kind=TERMINATION)
    story.order()
    story.market.run()
    assert (story.services(), story.booked()) == (["terminated"] * 2, {"alpha": 0, "bravo": 0})


# Kills


# Only what a ledger refuses is looked after by these.
UNREACHED = {"tend_change_after_release", "tend_sellers_after_release"}
CHANGE_BOUNDARIES = boundaries((*s_bus_change.DUTIES, *b_bus_change.DUTIES))
REACHED = [one for one in CHANGE_BOUNDARIES if one.duty not in UNREACHED]


def changed_under(observer):
    story = deep(observe=observer)
    story.ask(LINE)
    story.order()
    story.market.run()
    story.market.sweep()
    story.wait()
    return story.statuses(), story.services(), story.booked()


@pytest.mark.parametrize("boundary", REACHED, ids=str)
def test_killed_at_any_boundary_a_change_ends_as_if_nothing_had_happened(boundary):
    expected = (dict.fromkeys(DEEP, "done"), ["in_operation"] * 3, {"alpha": 2, "bravo": 0, "charlie": 1})
    assert changed_under(Killer(boundary)) == expected


def test_the_kills_reach_all_duties_but_those_for_what_a_ledger_refuses():
    watcher = Killer()
    changed_under(watcher)
    missed = {one.duty for one in CHANGE_BOUNDARIES} - {one.duty for one in watcher.seen}
    assert missed == UNREACHED


def test_a_sweep_after_each_step_changes_nothing():
    story = deep()
    story.ask(LINE)
    story.order()
    story.wait()
    before = len(story.market.commits)
    story.market.sweep()
    assert len(story.market.commits) == before
