"""Agents and stranded services: what can't be cancelled any more is ended by a termination, to the last tier, however long it takes."""

from itertools import pairwise

import pytest

from node.agents.b_bus.stranded import DUTIES
from node.agents.policies import Policies, Recovery
from node.agents.policy_settings import PolicySettings
from smartcontracts.kernel import Role
from smartcontracts.money import Money
from smartcontracts.order import PlaceOrder
from smartcontracts.quote import IssueQuote, QuoteItem
from smartcontracts.trade import Action, Change, ChangeKind, InquiryItem, QuoteLevel
from tests.node.agents.chains import Killed, Killer, fault, ordered, stock
from tests.smartcontracts.trading import once

PAIRS = (("acme", "alpha"), ("alpha", "bravo"))
DEEP = (*PAIRS, ("bravo", "charlie"))
# acme may still cancel; nobody else may.
ONLY_ACME = {("acme", "alpha"): {"cancellation_window_ms": 90 * 86_400_000}}
HOUR_MS, DAY_MS = 3_600_000, 86_400_000


class Hasty(Policies):
    def recover(self, failure):
        return Recovery.ABANDON

    def ask_extension(self, delay):
        return None


def quick(policies=Policies, **settings):
    return policies(PolicySettings(termination_window_ms=600_000, **settings))


def cancelled(pairs=PAIRS, *, own=("port",), line=("line",), **options):
    """acme's service is in operation; acme cancels it, and alpha can't cancel what it bought."""
    inventories = {"alpha": stock(*own), "bravo": stock(*line)}
    if pairs is DEEP:
        inventories = {"alpha": stock(*own), "bravo": stock("none"), "charlie": stock(*line)}
    chain = ordered(inventories, pairs, terms=ONLY_ACME, **options)
    chain.market.run()
    assert chain.the_order().status == "activated"
    chain.cancel()
    return chain


def stranded(chain, name="alpha"):
    return chain.market.the(chain.market.internal(name), "stranded_service")


def service(chain, buyer="alpha", seller="bravo"):
    return chain.market.the(chain.market.between(buyer, seller), "service")


def away(chain, name, *roles):
    """The agents of these roles, all if none is named, are gone; what brings them back."""
    everybody = chain.market.desks
    gone = {key for key in everybody if key[0] == name and (not roles or key[1] in roles)}
    chain.market.desks = {key: desk for key, desk in everybody.items() if key not in gone}

    def back():
        chain.market.desks = everybody
        chain.market.sweep()

    return back


def is_done(chain, *names):
    """Nothing runs, nothing is held, and everything that was let out is settled."""
    assert chain.market.failures == []
    for buyer, seller in [pair for pair in (*DEEP,) if f"{pair[0]}-{pair[1]}" in chain.market.ledgers]:
        services = chain.market.records(chain.market.between(buyer, seller), "service")
        assert {one.status.value for one in services} == {"terminated"}, (buyer, seller)
    for name in names:
        internal = chain.market.internal(name)
        assert chain.booked(name) == 0, name
        assert {one.status.value for one in chain.market.records(internal, "release")} <= {"carried", "refused"}
        assert all(one.status == "ended" for one in chain.market.records(internal, "stranded_service"))


@pytest.mark.req("D-40", "X-27", "X-63")
def test_a_service_that_can_no_longer_be_cancelled_is_ended_by_its_buyers_agents():
    chain = cancelled()
    chain.market.run()
    assert chain.statuses("alpha") == ["released", "released", "cancelled"]
    assert (stranded(chain).status, stranded(chain).attempt) == ("ended", 1)
    change = chain.market.the(chain.market.between("alpha", "bravo"), "service_change")
    assert (change.kind, change.status, change.order_id) == (
        "termination",
        "done",
        stranded(chain).termination_order_id,
    )
    is_done(chain, "alpha", "bravo")


@pytest.mark.req("D-40", "X-15", "X-27", "X-63")
def test_it_is_ended_down_to_the_last_tier():
    chain = cancelled(DEEP)
    chain.market.run()
    for pair in DEEP[1:]:
        change = chain.market.the(chain.market.between(*pair), "service_change")
        assert (change.kind, change.status) == ("termination", "done")
    assert chain.statuses("alpha") == ["released", "released", "cancelled"]
    assert chain.statuses("bravo")[0] == "cancelled"
    is_done(chain, "alpha", "bravo", "charlie")


@pytest.mark.req("D-40", "X-15")
def test_elements_that_one_order_bought_are_ended_by_one_termination():
    chain = cancelled(own=("none",), line=("line", "port"))
    chain.market.run()
    assert chain.statuses("alpha") == ["cancelled"] * 3
    asked = chain.market.ledgers["alpha-bravo"].get(
        chain.market.ledgers["alpha-bravo"].table.kinds["inquiry"], stranded(chain).inquiry_id
    )
    assert sorted(item.id for item in asked.items) == sorted(one.element_id for one in chain.elements("alpha"))
    assert len(asked.ancestors) == 1
    is_done(chain, "alpha", "bravo")


@pytest.mark.req("D-38", "D-40", "X-27")
def test_an_order_that_is_abandoned_after_a_seller_was_done_leaves_nothing_running():
    inventories = {
        "alpha": stock("port", faults=fault("activate", cause="BROKEN", delay_ms=60_000, times=9)),
        "bravo": stock("line"),
    }
    chain = ordered(inventories, policies={"alpha": Hasty()})
    chain.wait()
    assert chain.the_order().status == "failed"
    assert chain.statuses("alpha") == ["released", "released", "cancelled"]
    assert [one.status for one in chain.market.records(chain.market.between("alpha", "bravo"), "order")] == [
        "activated",
        "activated",
    ]
    is_done(chain, "alpha", "bravo")


@pytest.mark.req("X-27")
def test_a_seller_that_is_silent_is_asked_again_after_pauses_that_grow():
    chain = cancelled(policies={"alpha": quick()})
    back = away(chain, "bravo")
    chain.market.run()
    attempts = []
    while len(attempts) < 5:
        chain.wait(60_000)
        found = stranded(chain)
        if found.status == "waiting" and found.attempt not in [attempt for attempt, *_ in attempts]:
            attempts.append((found.attempt, found.again_at_ms - chain.market.now_ms, found.reason))
    assert {reason for *_, reason in attempts} == {"SILENT"}
    pauses = [pause for _, pause, _ in attempts]
    assert all(later > earlier for earlier, later in pairwise(pauses))
    # It shows what is left to do, as long as it is.
    assert chain.statuses("alpha") == ["released", "released", "stranded"]
    assert service(chain).status == "in_operation"
    back()
    chain.wait(DAY_MS)
    assert chain.statuses("alpha") == ["released", "released", "cancelled"]
    assert stranded(chain).attempt > 5
    is_done(chain, "alpha", "bravo")


class Haggles(Policies):
    """Takes no price before the third attempt."""

    def accept_termination(self, quoted):
        assert quoted.currency == "EUR"
        return quoted.attempt > 2


@pytest.mark.req("X-27")
def test_a_quote_for_the_end_is_taken_by_policy():
    chain = cancelled(policies={"alpha": quick(Haggles)})
    chain.market.run()
    assert (stranded(chain).status, stranded(chain).reason) == ("waiting", "QUOTE_NOT_TAKEN")
    chain.wait(HOUR_MS)
    assert stranded(chain).attempt == 3
    assert len(chain.market.records(chain.market.between("alpha", "bravo"), "order")) == 2
    is_done(chain, "alpha", "bravo")


@pytest.mark.req("X-27")
@pytest.mark.parametrize(("more_minor", "is_taken"), [(0, True), (1, False)])
def test_no_seller_is_paid_more_for_an_end_than_for_the_whole_term(more_minor, is_taken):
    """A seller that was quick enough to be in operation could name any price, and the agents would have ordered at it."""
    chain = cancelled()
    market, ledger = chain.market, chain.market.between("alpha", "bravo")
    (bought,) = market.records(ledger, "quote")
    back = away(chain, "bravo")
    market.run()
    inquiry = next(one for one in market.records(ledger, "inquiry") if one.change is not None)
    price = Money(bought.term_total.minor + more_minor, "EUR")
    items = tuple(
        QuoteItem(id=item.id, prices=(once(price.minor * 10**7 if place == 0 else 0),))
        for place, item in enumerate(inquiry.items)
    )
    quote = IssueQuote(
        inquiry_id=inquiry.id,
        level=QuoteLevel.FIRM,
        valid_until_ms=market.now_ms + DAY_MS,
        items=items,
        one_time_total=price,
        term_total=price,
    )
    market.act(ledger, "issue_quote", quote, "bravo", "s_bus")
    market.run()
    orders = [one for one in market.records(ledger, "order") if one.change is not None]
    assert (len(orders), stranded(chain).reason) == ((1, "") if is_taken else (0, "QUOTE_NOT_TAKEN"))
    back()


@pytest.mark.req("X-27")
def test_an_order_that_its_seller_does_not_answer_is_made_anew():
    chain = cancelled(policies={"alpha": quick()})
    market, ledger, backs = chain.market, chain.market.between("alpha", "bravo"), []

    def leave(_boundary, _document_id):
        # As soon as the termination is quoted, nobody is there to answer its order.
        if len(market.records(ledger, "quote")) == 2 and not backs:
            backs.append(away(chain, "bravo"))

    market.observe = leave
    chain.wait(700_000)
    assert stranded(chain).reason == "TIMEOUT"
    assert sorted(one.status.value for one in market.records(ledger, "order")) == ["activated", "rejected"]
    backs[0]()
    chain.wait(HOUR_MS)
    is_done(chain, "alpha", "bravo")


@pytest.mark.req("X-27")
def test_an_order_that_its_seller_is_late_with_is_taken_back_and_made_anew():
    chain = cancelled(policies={"alpha": quick()})
    market, ledger, backs = chain.market, chain.market.between("alpha", "bravo"), []

    def leave(_boundary, _document_id):
        # As soon as bravo has accepted, its agents are away.
        if any(one.status == "accepted" for one in market.records(ledger, "service_change")) and not backs:
            backs.append(away(chain, "bravo"))

    market.observe = leave
    chain.wait(700_000)
    assert sorted(one.status.value for one in market.records(ledger, "order")) == ["activated", "cancelled"]
    assert service(chain).status == "in_operation"
    assert stranded(chain).reason == "NO_LONGER_NEEDED"
    backs[0]()
    chain.wait(HOUR_MS)
    is_done(chain, "alpha", "bravo")


@pytest.mark.req("X-27", "X-63")
def test_a_service_that_a_person_ends_meanwhile_is_no_longer_stranded():
    chain = cancelled(policies={"alpha": quick(Haggles, termination_pause_ms=DAY_MS, termination_pause_max_ms=DAY_MS)})
    chain.market.run()
    assert stranded(chain).status == "waiting"
    ledger = chain.market.between("alpha", "bravo")
    change = Change(service_id=service(chain).id, kind=ChangeKind.TERMINATION)
    items = tuple(
        InquiryItem(id=one.id, action=Action.DELETE, offering=one.offering, product=b"") for one in service(chain).items
    )
    inquiry = chain.market.ask("alpha", "bravo", items, change=change)
    chain.market.run()
    (quote,) = [one for one in chain.market.records(ledger, "quote") if one.inquiry_id == inquiry.id]
    order = PlaceOrder(quote_id=quote.id, acceptance_window_ms=HOUR_MS, activation_window_ms=HOUR_MS, change=change)
    chain.market.act(ledger, "place_order", order, "alpha", "b_bus")
    chain.market.run()
    assert chain.statuses("alpha") == ["released", "released", "cancelled"]
    assert (stranded(chain).status, stranded(chain).attempt) == ("ended", 1)
    is_done(chain, "alpha", "bravo")


BOUNDARIES_PASSED = 20


def boundaries_of_an_end():
    """What B-BUS's duties about stranded services and its carrier pass, with what nothing interrupts."""
    killer = Killer()
    chain = cancelled(policies={"alpha": quick(Haggles)})
    chain.market.observe = killer
    chain.wait(HOUR_MS)
    names = {duty.name for duty in DUTIES} | {"carry_release", "cancel_bought", "settle_cancellation"}
    return [boundary for boundary in killer.seen if boundary.duty in names and boundary.role == Role.B_BUS]


PASSED = boundaries_of_an_end()


def test_an_end_passes_the_boundaries_that_it_must():
    assert len(PASSED) >= BOUNDARIES_PASSED
    assert {"end_stranded", "tend_stranded", "tend_stranded_of_quote", "tend_stranded_of_service"} <= {
        boundary.duty for boundary in PASSED
    }


@pytest.mark.req("D-40", "X-27")
@pytest.mark.parametrize("boundary", PASSED, ids=str)
def test_an_agent_killed_at_a_boundary_ends_it_as_if_nothing_had_happened(boundary):
    chain = cancelled(policies={"alpha": quick(Haggles)})
    chain.market.observe = Killer(boundary)
    chain.wait(HOUR_MS)
    assert [type(error) for *_, error in chain.market.failures] == [Killed]
    chain.market.failures.clear()
    chain.market.sweep()
    chain.wait(HOUR_MS)
    assert stranded(chain).attempt == 3
    assert chain.statuses("alpha") == ["released", "released", "cancelled"]
    assert len(chain.market.records(chain.market.between("alpha", "bravo"), "order")) == 2
    is_done(chain, "alpha", "bravo")
