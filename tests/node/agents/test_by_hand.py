"""What a person activates by hand before the agents are done is the person's: nothing stays booked or ordered for it, and it ends like any other."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from smartcontracts.delivery import ActivateOrder
from smartcontracts.internal.orders import HandOverOrder
from smartcontracts.kernel import Role
from smartcontracts.order import AcceptOrder, PlaceOrder
from smartcontracts.quote import IssueQuote, QuoteItem, totals
from smartcontracts.trade import ChangeKind, QuoteLevel
from tests.node.agents.chains import ask_of_catalogue, ordered, stock
from tests.node.agents.desk import Market, pool
from tests.node.agents.stories import StoryMarket
from tests.node.agents.test_change import Story
from tests.smartcontracts.trading import LINE, PORT_A, PORT_Z, SINGLE, TERMS, monthly

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


# Before S-BUS has seen the order


def by_persons(story: Story) -> None:
    """alpha's person accepts acme's order, and activates it."""
    order = story.the(PAIRS[0], "order")
    story.say("accept_order", AcceptOrder(order_id=order.id), "alpha", "s_bus")
    story.say("activate_order", ActivateOrder(order_id=order.id), "alpha", "s_bus")


def quoted_by_agents(**options) -> tuple[Story, object]:
    """The quote is alpha's agents', who are away when it is ordered, and until the order is activated."""
    own = {"alpha": stock("port"), "bravo": stock("line")}
    story = Story(ordered(own, PAIRS, made=StoryMarket, **options), PAIRS)
    back = story.market.lose("alpha")
    by_persons(story)
    return story, back


def of_the_catalogue() -> tuple[Story, object]:
    """Nobody was ever asked for a quote."""
    market = StoryMarket(pairs=PAIRS, inventories={"acme": pool(), "alpha": pool("port"), "bravo": pool()})
    back = market.lose("alpha")
    ask_of_catalogue(market)
    return placed_and_activated(market), back


def quoted_by_hand() -> tuple[Story, object]:
    """alpha's person answers the inquiry, too."""
    market = StoryMarket(pairs=PAIRS, inventories={"acme": pool(), "alpha": pool("port"), "bravo": pool()})
    back = market.lose("alpha")
    inquiry = market.ask("acme", "alpha", (SINGLE,))
    items = (QuoteItem(id=SINGLE.id, prices=(monthly(50_000_000_000),), installation_interval_ms=60_000),)
    one_time, over_term = totals(items, inquiry, TERMS.currency, TERMS.rounding)
    quote = IssueQuote(
        inquiry_id=inquiry.id,
        level=QuoteLevel.FIRM,
        valid_until_ms=market.now_ms + HOUR_MS,
        items=items,
        one_time_total=one_time,
        term_total=over_term,
    )
    market.act(market.between("acme", "alpha"), "issue_quote", quote, "alpha", "s_bus")
    return placed_and_activated(market), back


def placed_and_activated(market: Market) -> Story:
    ledger = market.between("acme", "alpha")
    order = PlaceOrder(
        quote_id=market.the(ledger, "quote").id, acceptance_window_ms=300_000, activation_window_ms=HOUR_MS
    )
    market.act(ledger, "place_order", order, "acme", "b_bus")
    story = Story(SimpleNamespace(market=market), PAIRS)
    by_persons(story)
    return story


UNSEEN = {
    quoted_by_agents: ITEMS,
    of_the_catalogue: (SINGLE,),
    quoted_by_hand: (SINGLE,),
}


@pytest.mark.req("D-23")
@pytest.mark.parametrize("unseen", UNSEEN)
def test_what_a_person_activates_before_agents_have_seen_the_order_is_in_the_inventory_without_parts(unseen):
    story, back = unseen()
    market = story.market
    assert story.inside("alpha", "inventory_service") == ()
    back()
    story.wait(HOUR_MS)
    (service,) = story.inside("alpha", "inventory_service")
    there = story.the(PAIRS[0], "service")
    assert (service.status, service.service_id, service.elements) == ("in_operation", there.id, ())
    (handover,) = story.inside("alpha", "order_handover")
    assert (handover.status, handover.order_id) == ("activated", there.order_id)
    assert story.inside("alpha", "service_element") == ()
    # Neither is anything made for it, nor bought.
    assert (story.booked()["alpha"], market.records(market.between(*PAIRS[1]), "order")) == (0, ())
    assert market.failures == []


@pytest.mark.req("C-06", "X-63")
@pytest.mark.parametrize(("unseen", "items"), UNSEEN.items())
def test_a_service_of_which_agents_know_no_part_is_ended_by_them_like_any_other(unseen, items):
    story, back = unseen()
    back()
    assert story.ask(*items, kind=ChangeKind.TERMINATION).status == "quoted"
    story.order()
    story.wait()
    assert story.statuses() == {PAIRS[0]: "done"}
    assert story.services() == ["terminated"]
    assert [one.status.value for one in story.inside("alpha", "inventory_service")] == ["terminated"]
    assert {one.status.value for one in story.inside("alpha", "service_element")} == {"released"}
    assert (story.booked()["alpha"], story.market.failures) == (0, [])


@pytest.mark.req("C-01")
@pytest.mark.parametrize(("unseen", "items"), UNSEEN.items())
def test_a_service_of_which_agents_know_no_part_is_not_changed_and_the_answer_says_so(unseen, items):
    story, back = unseen()
    back()
    inquiry = story.ask(items[0])
    assert (inquiry.status, inquiry.unable_reason) == ("unable", "SERVICE_UNSETTLED")


@pytest.mark.req("D-23", "D-40")
def test_what_has_ended_before_agents_have_seen_it_is_nothing_to_them():
    story, back = quoted_by_agents(terms={PAIRS[0]: {"cancellation_window_ms": HOUR_MS}})
    story.chain.cancel()
    back()
    story.wait(HOUR_MS)
    assert (story.inside("alpha", "order_handover"), story.inside("alpha", "inventory_service")) == ((), ())


@pytest.mark.req("D-23", "D-40")
def test_a_service_that_ends_while_it_is_taken_in_is_out_of_the_inventory_again():
    ended = []

    def observe(boundary, _document_id):
        if str(boundary) == "s_bus/mirror_order/before/mirror" and not ended:
            ended.append(True)
            story.chain.cancel()

    story, back = quoted_by_agents(terms={PAIRS[0]: {"cancellation_window_ms": HOUR_MS}})
    story.market.observe = observe
    back()
    story.wait(HOUR_MS)
    assert ended
    assert [one.status.value for one in story.inside("alpha", "order_handover")] == ["cancelled"]
    assert [one.status.value for one in story.inside("alpha", "inventory_service")] == ["terminated"]
    assert story.market.failures == []


@pytest.mark.req("D-23")
def test_what_is_handed_over_while_a_person_activates_it_is_in_the_inventory_all_the_same():
    """S-BUS has read the order as it was placed; its other duty then hears of the activation."""
    story, back = quoted_by_agents()
    order = story.the(PAIRS[0], "order")
    market, internal, done = story.market, story.market.internal("alpha"), []

    def observe(boundary, _document_id):
        if str(boundary) == "s_bus/mirror_order/before/mirror" and not done:
            done.append(True)
            late = HandOverOrder(
                ledger_id=market.between(*PAIRS[0]).ledger_id,
                order_id=order.id,
                quote_id=order.quote_id,
                buyer=order.buyer,
                agreement_id=order.agreement_id,
                placed_at_ms=order.placed_at_ms,
                accept_by_ms=order.accept_by_ms,
                activation_window_ms=order.activation_window_ms,
            )
            market.act(internal, "hand_over_order", late, "alpha", "s_bus")

    market.observe = observe
    back()
    story.wait(HOUR_MS)
    assert done
    assert [one.status.value for one in story.inside("alpha", "order_handover")] == ["activated"]
    assert [len(one.elements) for one in story.inside("alpha", "inventory_service")] == [3]
    assert (story.booked()["alpha"], market.failures) == (0, [])


@pytest.mark.req("D-23")
def test_what_was_given_up_inside_and_is_activated_by_a_person_who_accepted_it_in_time_is_in_the_inventory():
    own = {"alpha": stock("port"), "bravo": stock("line")}
    story = Story(ordered(own, PAIRS, made=StoryMarket), PAIRS)
    market, everybody = story.market, story.market.desks
    # SOF does not answer, and the acceptance window is over by INT's time.
    market.desks = {key: desk for key, desk in everybody.items() if key != ("alpha", Role.SOF)}
    market.run()
    order = story.the(PAIRS[0], "order")
    story.say("accept_order", AcceptOrder(order_id=order.id), "alpha", "s_bus")
    story.wait(order.accept_by_ms - market.now_ms + 1_000)
    assert story.chain.handover("alpha").status == "rejected"
    story.say("activate_order", ActivateOrder(order_id=order.id), "alpha", "s_bus")
    market.desks = everybody
    market.sweep()
    story.wait(HOUR_MS)
    assert story.chain.handover("alpha").status == "activated"
    assert [one.status.value for one in story.inside("alpha", "inventory_service")] == ["in_operation"]
    assert story.ask(*ITEMS, kind=ChangeKind.TERMINATION).status == "quoted"
    story.order()
    story.wait()
    assert (story.services(), story.booked()["alpha"]) == (["terminated"], 0)
    assert market.failures == []
