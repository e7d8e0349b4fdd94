"""What a person activates by hand before the agents are done is the person's: nothing stays booked or ordered for it, and it ends like any other."""

from __future__ import annotations

import pytest

from smartcontracts.delivery import ActivateOrder
from smartcontracts.kernel import Role
from smartcontracts.order import AcceptOrder
from smartcontracts.trade import ChangeKind
from tests.node.agents.chains import ordered, stock
from tests.node.agents.test_change import Story
from tests.smartcontracts.trading import LINE, PORT_A, PORT_Z

PAIRS = (("acme", "alpha"), ("alpha", "bravo"))
HOUR_MS = 3_600_000
ITEMS = (LINE, PORT_A, PORT_Z)
# Whose agent of alpha's is away until the order is activated, and what becomes of the ports and the line.
AWAY = {
    Role.SOF: ["released", "released", "cancelled"],
    Role.B_BUS: ["released", "released", "cancelled"],
    # The line was ordered and accepted by then: it goes on, for the service.
    Role.SCO: ["released", "released", "activated"],
}


def activated_by_hand(away: Role) -> Story:
    """alpha makes ports and buys lines; its person accepts and activates what one of its agents has not worked on."""
    own = {"alpha": stock("port"), "bravo": stock("line")}
    story = Story(ordered(own, PAIRS), PAIRS)
    everybody = story.market.desks
    story.market.desks = {key: desk for key, desk in everybody.items() if key != ("alpha", away)}
    story.wait(60_000)
    order = story.the(PAIRS[0], "order")
    if order.status == "placed":
        story.say("accept_order", AcceptOrder(order_id=order.id), "alpha", "s_bus")
    story.say("activate_order", ActivateOrder(order_id=order.id), "alpha", "s_bus")
    story.market.desks = everybody
    story.market.sweep()
    story.wait(6 * HOUR_MS)
    return story


@pytest.mark.req("D-38", "D-40", "X-15")
@pytest.mark.parametrize(("away", "left"), AWAY.items())
def test_what_was_not_begun_of_an_order_that_is_activated_by_hand_is_given_back_and_not_bought(away, left):
    story = activated_by_hand(away)
    market = story.market
    assert story.chain.handover("alpha").status == "activated"
    assert story.chain.statuses("alpha") == left
    assert story.chain.booked("alpha") == 0
    services = market.records(market.between(*PAIRS[1]), "service")
    assert [one.status.value for one in services] == left.count("activated") * ["in_operation"]
    assert story.chain.booked("bravo") == left.count("activated")
    assert market.failures == []


@pytest.mark.req("X-63")
@pytest.mark.parametrize("away", AWAY)
def test_what_was_activated_by_hand_ends_by_agents_though_parts_of_it_were_never_made(away):
    story = activated_by_hand(away)
    market = story.market
    inquiry = story.ask(*ITEMS, kind=ChangeKind.TERMINATION)
    assert inquiry.status == "quoted"
    story.order()
    story.wait()
    assert story.the(PAIRS[0], "order").status == "activated"
    assert set(story.statuses().values()) == {"done"}
    assert set(story.services()) == {"terminated"}
    assert [one.status.value for one in story.inside("alpha", "inventory_service")] == ["terminated"]
    assert (story.chain.booked("alpha"), story.chain.booked("bravo")) == (0, 0)
    assert set(story.chain.statuses("alpha")) <= {"released", "cancelled"}
    assert market.failures == []


@pytest.mark.req("C-01")
def test_what_was_activated_by_hand_without_its_parts_is_not_changed_and_the_answer_says_so():
    inquiry = activated_by_hand(Role.SOF).ask(*ITEMS)
    assert (inquiry.status, inquiry.unable_reason) == ("unable", "SERVICE_UNSETTLED")
