"""Agents and orders: all of an order is accepted or nothing, and whatever ends it leaves nothing held and nothing ordered."""

from dataclasses import replace

import pytest

from node.agents.boundaries import Boundary, Moment
from node.agents.orders import ACTS_MAX
from node.agents.policies import Policies, Process
from node.agents.policy_settings import DeliveryInfoRule, PolicySettings
from node.agents.provisioning.bookings import BookingStatus
from node.agents.sof.order import NEWS_MS
from smartcontracts.internal.release import released_command
from smartcontracts.kernel import Role
from smartcontracts.trade import ItemRelation, WindowTooShort
from tests.node.agents.chains import ACCEPTANCE_MS, ACTIVATION_MS, Killer, fault, ordered, stock
from tests.smartcontracts.support import org
from tests.smartcontracts.trading import SINGLE

DELTA = (("acme", "alpha"), ("alpha", "bravo"), ("bravo", "charlie"))
SIBLINGS = (("acme", "alpha"), ("alpha", "bravo"), ("alpha", "charlie"))


class Fixed(Policies):
    """Keeps five minutes of every acceptance window, and none of activation windows."""

    def own_time_ms(self, process, window_ms, rules):
        return 300_000 if process == Process.ORDERING else 0


def kinds(chain, name, act):
    """Releases of an act inside, oldest first."""
    found = [one for one in chain.market.records(chain.market.internal(name), "release") if one.act == act]
    return sorted(found, key=lambda one: one.released_at_ms)


def commits(chain, *messages):
    """When each of these messages was first committed."""
    return [next(one.at_ms for one in chain.market.commits if name in one.messages) for name in messages]


@pytest.mark.req("O-09", "O-13", "O-14", "O-16", "O-17", "O-22", "O-23", "O-25", "O-26", "O-28", "O-30")
def test_an_order_is_accepted_through_the_tiers():
    chain = ordered({"alpha": stock("port"), "bravo": stock("line")})
    chain.market.run()
    assert chain.market.failures == []
    assert chain.the_order().status == "activated"
    assert chain.the_order("alpha", "bravo").status == "activated"
    elements = chain.elements("alpha")
    assert [one.element_id for one in elements] == ["item-002", "item-003", "item-001"]
    assert [one.source for one in elements] == ["internal", "internal", "external"]
    placed, there = elements[2], chain.the_order("alpha", "bravo")
    assert (placed.order_id, placed.quote_id, placed.service_id) == (there.id, there.quote_id, there.service_id)
    assert all(one.status == "carried" for one in chain.market.records(chain.market.internal("alpha"), "release"))


INFO = b'{"address":"192.0.2.7","ports":[{"vlanId":7}],"vlanId":7}'


def telling(*rules):
    return Policies(PolicySettings(delivery_info=tuple(DeliveryInfoRule(offering=of, keep=keep) for of, keep in rules)))


@pytest.mark.req("O-08")
@pytest.mark.parametrize(
    ("rules", "told"),
    [
        ((), b""),
        ((("line", ("vlanId",)),), b'{"vlanId":7}'),
        ((("port", ("vlanId",)), ("", ("address",))), b'{"address":"192.0.2.7"}'),
        ((("port", ("*",)), ("line", ("other",))), b""),
        ((("", ("*",)),), INFO),
    ],
)
def test_a_seller_is_told_of_the_delivery_what_policy_says(rules, told):
    inventories = {"alpha": stock("port"), "bravo": stock("line")}
    chain = ordered(inventories, policies={"alpha": telling(*rules)}, delivery_info=INFO)
    chain.market.run()
    assert chain.market.failures == []
    assert (chain.the_order().delivery_info, chain.the_order("alpha", "bravo").delivery_info) == (INFO, told)
    assert chain.the_order("alpha", "bravo").status == "activated"


class Meddling(Policies):
    """Tells sellers what they have quoted, too."""

    def delivery_info(self, offerings, seller, given):
        return {**given, "cir": 70, "rates": [{"irUnits": "GBPS"}]}


@pytest.mark.req("O-08")
def test_what_a_seller_has_quoted_is_never_told_anew():
    inventories = {"alpha": stock("port"), "bravo": stock("line")}
    chain = ordered(inventories, policies={"alpha": Meddling()}, delivery_info=b'{"vlanId":7}')
    chain.market.run()
    assert chain.the_order("alpha", "bravo").delivery_info == b'{"vlanId":7}'
    assert chain.the_order().status == "activated"


@pytest.mark.req("O-21")
def test_no_order_goes_out_before_the_last_internal_element_is_available():
    chain = ordered({"alpha": stock("port", faults=fault("reserve", delay_ms=30_000)), "bravo": stock("line")})
    chain.market.run()
    assert chain.market.records(chain.market.between("alpha", "bravo"), "order") == ()
    chain.wait()
    available, placed = commits(chain, "answer_availability", "place_order")
    assert available < placed
    answers = [one.at_ms for one in chain.market.commits if "answer_availability" in one.messages]
    orders = [
        one.at_ms for one in chain.market.commits if "place_order" in one.messages and one.ledger == "alpha-bravo"
    ]
    assert len(answers) > 1
    alphas = [
        one.at_ms
        for one in chain.market.commits
        if one.ledger == "alpha-internal" and "answer_availability" in one.messages
    ]
    assert max(alphas) < min(orders)
    assert chain.the_order().status == "activated"


def reserved_until(chain, name="alpha"):
    """Until when the provider's inventory holds what it has reserved."""
    live = chain.market.desks[name, Role.SOF].provisioning.live_bookings()
    return {booking.until_ms for booking in live if booking.status == BookingStatus.RESERVED}


@pytest.mark.req("O-17")
def test_what_is_not_promised_is_held_while_the_order_may_be_accepted_however_long_the_window_after_that():
    own = {"alpha": stock("line"), "bravo": stock("port")}
    chain = ordered(own, activation_ms=365 * 86_400_000)
    for role in Role:
        chain.market.desks.pop(("bravo", role), None)
    chain.market.run()
    assert reserved_until(chain) == {chain.order.accept_by_ms + NEWS_MS}
    chain.market.desks = {key: desk for key, desk in chain.market.desks.items() if key[1] == Role.SOF}
    chain.wait(ACCEPTANCE_MS + NEWS_MS + 1_000)
    assert (chain.the_order().status, chain.booked("alpha")) == ("rejected", 0)


@pytest.mark.req("O-17")
def test_what_an_accepted_order_needs_is_held_until_its_window_ends_also_before_activation_begins():
    chain = ordered({"alpha": stock("line", "port")}, activation_ms=365 * 86_400_000)
    chain.market.desks.pop(("alpha", Role.SCO))
    chain.market.run()
    accepted = chain.the_order()
    assert (accepted.status, chain.handover("alpha").status) == ("accepted", "accepted")
    assert reserved_until(chain) == {accepted.activate_by_ms}


@pytest.mark.req("O-18", "O-19", "O-20", "O-29")
def test_one_internal_rejection_rejects_the_order_and_nothing_is_ordered():
    faults = fault("reserve", cause="NO_CAPACITY")
    chain = ordered({"alpha": stock("port", faults=faults), "bravo": stock("line")})
    chain.wait()
    assert (chain.the_order().status, chain.the_order().reason) == ("rejected", "ELEMENT_REJECTED")
    assert chain.market.records(chain.market.between("alpha", "bravo"), "order") == ()
    assert chain.statuses("alpha") == ["rejected", "released", "cancelled"]
    assert chain.booked("alpha") == 0
    assert chain.market.failures == []


@pytest.mark.req("O-23", "O-29", "X-15", "D-40")
def test_one_sellers_rejection_cancels_the_siblings_that_were_accepted():
    inventories = {
        "alpha": stock("none"),
        "bravo": stock("line"),
        "charlie": stock("port", faults=fault("reserve", cause="NO_CAPACITY", delay_ms=5_000, times=9)),
    }
    # bravo is quick: it is done before charlie answers, so that X-27 applies.
    chain = ordered(inventories, SIBLINGS, terms={("alpha", "bravo"): {"cancellation_window_ms": 3_600_000}})
    chain.wait()
    assert chain.market.failures == []
    assert chain.the_order().status == "rejected"
    sibling = chain.the_order("alpha", "bravo")
    assert (sibling.status, sibling.reason, len(sibling.releases)) == ("cancelled", "NO_LONGER_NEEDED", 4)
    assert [order.status for order in chain.market.records(chain.market.between("alpha", "charlie"), "order")] == [
        "rejected"
    ] * 2
    # The first that is heard of decides, with its seller's word.
    assert "ELEMENT_REJECTED" in [one.reason for one in chain.elements("alpha") if one.seller == org("charlie")]
    assert chain.statuses("bravo") == ["released"]
    assert [chain.booked(name) for name in ("alpha", "bravo", "charlie")] == [0, 0, 0]


@pytest.mark.req("O-29", "O-31", "X-16")
def test_a_silent_seller_rejects_the_order_of_its_buyer_too():
    chain = ordered({"alpha": stock("port"), "bravo": stock("line")})
    for desk in [desk for desk in chain.market.desks if desk[0] == "bravo"]:
        del chain.market.desks[desk]
    chain.wait()
    assert chain.the_order("alpha", "bravo").reason == "timeout"
    assert chain.the_order().status == "rejected"
    assert chain.statuses("alpha") == ["released", "released", "rejected"]
    assert chain.booked("alpha") == 0


def placed_with(chain, *sellers):
    """alpha's orders to these sellers."""
    ledgers = [chain.market.between("alpha", seller) for seller in sellers]
    return [order for ledger in ledgers for order in chain.market.records(ledger, "order")]


@pytest.mark.req("O-22", "O-26", "O-27", "O-28", "O-30")
def test_each_seller_is_ordered_from_by_its_quotes_and_the_last_acceptance_accepts():
    slow = fault("reserve", delay_ms=30_000, times=2)
    inventories = {"alpha": stock("none"), "bravo": stock("line"), "charlie": stock("port", faults=slow)}
    chain = ordered(inventories, SIBLINGS)
    chain.market.run()
    first = chain.the_order("alpha", "bravo")
    assert first.accepted_at_ms > 0
    assert [order.status for order in placed_with(chain, "charlie")] == ["placed", "placed"]
    assert chain.the_order().status == "placed"
    inside = [name for one in chain.market.commits if one.ledger == "alpha-internal" for name in one.messages]
    assert "record_order_answer" in inside
    assert "request_activation" not in inside
    chain.wait(120_000)
    assert chain.market.failures == []
    last_ms = max(order.accepted_at_ms for order in placed_with(chain, "charlie"))
    assert first.accepted_at_ms + 30_000 <= last_ms <= chain.the_order().accepted_at_ms
    assert {order.quote_id for order in placed_with(chain, "bravo", "charlie")} == {
        quote.id
        for seller in ("bravo", "charlie")
        for quote in chain.market.records(chain.market.between("alpha", seller), "quote")
    }
    assert chain.the_order().status == "activated"


@pytest.mark.req("O-29", "O-31", "X-15", "D-40")
def test_a_silent_seller_has_what_its_sibling_accepted_cancelled():
    slow = fault("activate", delay_ms=1_000_000, times=9)
    inventories = {"alpha": stock("none"), "bravo": stock("line", faults=slow), "charlie": stock("port")}
    chain = ordered(inventories, SIBLINGS)
    for desk in [desk for desk in chain.market.desks if desk[0] == "charlie" and desk[1] != Role.SOF]:
        del chain.market.desks[desk]
    chain.market.run()
    assert chain.the_order("alpha", "bravo").status == "accepted"
    chain.wait(ACCEPTANCE_MS + 60_000)
    assert chain.market.failures == []
    assert {order.reason for order in placed_with(chain, "charlie")} == {"timeout"}
    assert (chain.the_order().status, chain.the_order().accepted_at_ms) == ("rejected", 0)
    assert chain.the_order("alpha", "bravo").status == "cancelled"
    assert [chain.booked(name) for name in ("alpha", "bravo")] == [0, 0]


@pytest.mark.req("O-29", "O-31")
def test_sof_that_does_not_answer_lets_the_buyers_window_reject_and_is_cleaned_up_after():
    late = fault("reserve", delay_ms=2 * ACCEPTANCE_MS, times=9)
    chain = ordered({"alpha": stock("port", faults=late), "bravo": stock("line")})
    chain.wait(3 * ACCEPTANCE_MS)
    assert (chain.the_order().status, chain.handover("alpha").status) == ("rejected", "rejected")
    assert chain.statuses("alpha") == ["released", "released", "cancelled"]
    assert chain.booked("alpha") == 0


@pytest.mark.req("O-33", "X-22")
def test_windows_shrink_by_what_each_tier_keeps():
    fixed = {"alpha": Fixed(), "bravo": Fixed()}
    inventories = {"alpha": stock("none"), "bravo": stock("none"), "charlie": stock("port")}
    chain = ordered(inventories, DELTA, items=(SINGLE,), acceptance_ms=3_600_000, policies=fixed)
    chain.market.run()
    first, second, third = chain.the_order(), chain.the_order("alpha", "bravo"), chain.the_order("bravo", "charlie")
    windows = [order.accept_by_ms - order.placed_at_ms for order in (first, second, third)]
    assert windows == [3_600_000, 3_300_000, 3_000_000]
    assert first.activate_by_ms >= second.activate_by_ms >= third.activate_by_ms


@pytest.mark.req("O-33", "X-17")
def test_a_window_with_no_time_for_sellers_is_rejected_at_once():
    chain = ordered(
        {"alpha": stock("port"), "bravo": stock("line")}, acceptance_ms=300_000, policies={"alpha": Fixed()}
    )
    chain.market.run()
    assert (chain.the_order().status, chain.the_order().reason) == ("rejected", WindowTooShort.refusal_name())
    assert chain.market.records(chain.market.between("alpha", "bravo"), "order") == ()
    chain.market.run()
    assert chain.booked("alpha") == 0
    assert chain.statuses("alpha") == ["released", "released", "cancelled"]


@pytest.mark.req("X-14", "O-26")
def test_without_external_elements_the_last_internal_one_accepts():
    chain = ordered({"alpha": stock("port", "line")}, (("acme", "alpha"),))
    chain.market.run()
    assert chain.the_order().status == "activated"
    assert {one.source for one in chain.elements("alpha")} == {"internal"}


@pytest.mark.req("X-14", "O-27")
def test_without_internal_elements_orders_go_out_at_once():
    chain = ordered({"alpha": stock("none"), "bravo": stock("port", "line")})
    chain.market.run()
    assert chain.the_order().status == "activated"
    assert {one.source for one in chain.elements("alpha")} == {"external"}
    assert len(kinds(chain, "alpha", "place_order")) == 1  # one quote for all of them, so one order


@pytest.mark.req("O-29", "X-15")
def test_an_order_that_the_sellers_ledger_does_not_take_rejects_the_order():
    chain = ordered({"alpha": stock("port"), "bravo": stock("line")})
    ledger = chain.market.between("alpha", "bravo")
    ledger.write(replace(chain.market.the(ledger, "quote"), valid_until_ms=chain.market.now_ms))
    chain.market.run()
    assert [one.refusal_name for one in kinds(chain, "alpha", "place_order")] == ["QUOTE_EXPIRED"]
    assert chain.the_order().status == "rejected"
    assert chain.elements("alpha")[2].reason == "QUOTE_EXPIRED"
    assert chain.booked("alpha") == 0


@pytest.mark.req("D-40")
def test_a_buyer_that_cancels_before_the_answer_ends_it_all_the_way_down():
    late = fault("reserve", delay_ms=60_000, times=9)
    chain = ordered({"alpha": stock("port"), "bravo": stock("line", faults=late)})
    chain.market.run()
    assert (chain.the_order().status, chain.the_order("alpha", "bravo").status) == ("placed", "placed")
    chain.cancel()
    chain.wait()
    assert chain.market.failures == []
    assert chain.the_order().status == "cancelled"
    assert chain.the_order("alpha", "bravo").status == "cancelled"
    assert [chain.handover(name).status for name in ("alpha", "bravo")] == ["cancelled", "cancelled"]
    assert chain.statuses("alpha") == ["released", "released", "cancelled"]
    assert [chain.booked(name) for name in ("alpha", "bravo")] == [0, 0]


def test_an_order_that_is_on_its_way_out_when_its_buyer_ends_is_cancelled_once_it_is_known_to_be_out():
    """A carrier may have submitted it before it was killed: what was let out can't be taken back unseen."""
    killer = Killer(Boundary("b_bus", "carry_release", Moment.AFTER, "carry"))
    chain = ordered({"alpha": stock("port"), "bravo": stock("line")})
    chain.market.observe = killer
    # bravo does not look at it yet, and alpha's carrier is killed before it has written down that it is out.
    away = {desk: chain.market.desks.pop(desk) for desk in list(chain.market.desks) if desk[0] == "bravo"}
    chain.market.run()
    assert [release.status for release in kinds(chain, "alpha", "place_order")] == ["open"]
    assert chain.the_order("alpha", "bravo").status == "placed"
    chain.cancel()
    chain.market.run()
    assert chain.elements("alpha")[2].status == "cancelling"
    chain.market.sweep()
    assert chain.the_order("alpha", "bravo").status == "cancelled"
    assert chain.elements("alpha")[2].status == "cancelled"
    chain.market.desks |= away
    chain.market.sweep()
    assert chain.market.records(chain.market.internal("bravo"), "order_handover") == ()


@pytest.mark.parametrize("ending", ["accepted", "rejected"])
def test_a_restart_without_a_cursor_finds_nothing_to_do(ending):
    faults = fault("reserve", cause="NO_CAPACITY") if ending == "rejected" else ""
    chain = ordered({"alpha": stock("port"), "bravo": stock("line", faults=faults)})
    chain.market.run()
    before = len(chain.market.commits)
    chain.market.sweep()
    assert chain.market.commits[before:] == []
    assert chain.market.failures == []


def test_the_outward_order_carries_its_releases_hash():
    chain = ordered({"alpha": stock("port"), "bravo": stock("line")})
    chain.market.run()
    (release,) = kinds(chain, "alpha", "place_order")
    order = chain.the_order("alpha", "bravo")
    assert order.releases[0] == release.sha256 == released_command(release).release
    assert release.outcome_id == order.id
    assert order.activate_by_ms - order.accepted_at_ms < ACTIVATION_MS


@pytest.mark.parametrize("maker", ["alpha", "bravo"])
def test_an_order_of_many_elements_goes_through_in_few_transactions(maker):
    names = [f"item-{number:03}" for number in range(64)]
    items = tuple(
        replace(SINGLE, id=name, relations=tuple(ItemRelation(type="NEXT", item_id=one) for one in names[:place][-1:]))
        for place, name in enumerate(names)
    )
    inventories = {"alpha": stock("port"), "bravo": stock("none")}
    if maker == "bravo":
        inventories = {"alpha": stock("none"), "bravo": stock("port")}
    chain = ordered(inventories, items=items)
    before = len(chain.market.commits)
    chain.market.run()
    assert chain.market.failures == []
    assert chain.the_order().status == "activated"
    assert chain.statuses("alpha") == ["chained"] * 64
    assert chain.booked(maker) == 64
    inside = [one for one in chain.market.commits[before:] if one.ledger == "alpha-internal"]
    assert max(len(one.messages) for one in inside) <= ACTS_MAX
    # One step is one transaction, but where each element has a message of its own.
    assert len(inside) <= 14
