"""Rounds, and starts without a cursor: what is open leads to all that is left to do, though nobody has heard of anything."""

from dataclasses import replace

import pytest

from ledgers.kinds import contract_table
from node.agents.roster import DUTIES
from node.agents.runtime import listed_statuses
from smartcontracts.delivery import FailOrder
from tests.node.agents.chains import ACTIVATION_MS, fault, ordered, stock
from tests.node.agents.desk import LeftAlone, Market, pool
from tests.smartcontracts.trading import PORT_A

ROUND_MS = 10_000
LISTINGS_MAX = 100
PAIRS = [("acme", "alpha"), ("alpha", "bravo")]
TWO = {"alpha": stock("line"), "bravo": stock("port")}
SLOW = fault("activate", delay_ms=1_000_000, times=9)


class DeafMarket(Market):
    """No event reaches anybody: agents know what they list, and what they asked to be reminded of."""

    def take_events(self):
        """Nobody hears of them."""

    def check_round(self):
        """There is much left to do until somebody lists it."""

    def listed_statuses(self, duty):
        """As if all that is owed were too old to be listed."""
        return tuple(status for status in super().listed_statuses(duty) if status not in duty.owed)

    def run_until(self, until_ms=None, *, stop=None):
        """Time passes, and now and then everybody lists what is open."""
        until_ms = self.now_ms + 120_000 if until_ms is None else until_ms
        self.listed()
        while self.now_ms < until_ms and not (stop is not None and stop()):
            super().run_until(min(until_ms, self.now_ms + ROUND_MS))
            self.listed()

    def listed(self):
        """Listed until that changes nothing: then nothing is left to do about what has ended, either."""
        for _ in range(LISTINGS_MAX):
            before = len(self.commits)
            self.sweep()
            if len(self.commits) == before:
                break
        super().check_round()


def deaf(inventories=None, pairs=PAIRS, **options):
    """acme has ordered a line and two ports from alpha, which buys the ports from bravo unless the inventories are others."""
    return ordered(inventories or TWO, tuple(pairs), made=DeafMarket, **options)


def bought(chain):
    """Statuses of alpha's orders of bravo."""
    return {order.status.value for order in chain.market.records(chain.market.between("alpha", "bravo"), "order")}


@pytest.mark.parametrize("silent", [(), ("bravo",)], ids=["answered", "silent"])
def test_an_order_over_two_tiers_ends_by_listings_alone(silent):
    chain = deaf()
    chain.market.desks = {key: desk for key, desk in chain.market.desks.items() if key[0] not in silent}
    chain.wait(20 * 60_000)
    expected = "rejected" if silent else "activated"
    assert (chain.the_order().status, bought(chain)) == (expected, {expected})
    assert chain.handover("alpha").status == expected


def test_a_cancellation_after_the_activation_is_found_by_listings_alone():
    chain = deaf(terms={pair: {"cancellation_window_ms": ACTIVATION_MS} for pair in PAIRS})
    chain.wait(10 * 60_000)
    assert chain.the_order().status == "activated"
    chain.cancel()
    chain.wait(10 * 60_000)
    assert (bought(chain), chain.handover("alpha").status) == ({"cancelled"}, "cancelled")
    assert chain.market.the(chain.market.internal("alpha"), "inventory_service").status == "terminated"
    assert (chain.booked("alpha"), chain.booked("bravo")) == (0, 0)


def test_a_cancellation_during_delivery_is_found_by_listings_alone():
    chain = deaf(TWO | {"alpha": stock("line", faults=SLOW)})
    chain.wait(60_000)
    assert chain.handover("alpha").status == "in_delivery"
    chain.cancel()
    chain.wait(60_000)
    assert chain.handover("alpha").status == "cancelled"
    assert chain.booked("alpha") == 0


def test_a_sellers_failure_during_delivery_is_found_by_listings_alone():
    chain = deaf(TWO | {"bravo": stock("port", faults=SLOW)})
    chain.wait(60_000)
    market, seller = chain.market, chain.market.between("alpha", "bravo")
    assert bought(chain) == {"accepted"}
    market.desks = {key: desk for key, desk in market.desks.items() if key[0] != "bravo"}
    for order in market.records(seller, "order"):
        market.act(seller, "fail_order", FailOrder(order_id=order.id, reason="BROKEN"), "bravo", "s_bus")
    chain.wait(60_000)
    failed = [one for one in chain.elements("alpha") if one.ledger_id and one.reason == "BROKEN"]
    assert len(failed) == 2


def test_an_order_that_its_ledger_does_not_take_is_found_by_listings_alone():
    chain = deaf()
    market = chain.market
    for quote in market.records(market.between("alpha", "bravo"), "quote"):
        market.between("alpha", "bravo").write(replace(quote, valid_until_ms=market.now_ms))
    chain.wait(60_000)
    assert chain.the_order().status == "rejected"


def test_a_replacement_that_is_bought_is_found_by_listings_alone():
    own = {"alpha": stock("port", faults=fault("activate", cause="BROKEN")), "bravo": stock("line")}
    chain = deaf({**own, "charlie": stock("port", monthly="5.00")}, [*PAIRS, ("alpha", "charlie")])
    chain.wait(10 * 60_000)
    assert (chain.the_order().status, chain.the_order("alpha", "charlie").status) == ("activated", "activated")


def test_the_check_finds_what_is_left_alone():
    market = DeafMarket(pairs=PAIRS[:1], inventories={"alpha": pool("port")})
    Market.check_round(market)
    market.ask("acme", "alpha", (PORT_A,))
    with pytest.raises(LeftAlone, match="hand_over_inquiry"):
        Market.check_round(market)


@pytest.mark.parametrize("duty", [duty for duties in DUTIES.values() for duty in duties], ids=lambda duty: duty.name)
def test_no_round_lists_what_has_ended(duty):
    steps = contract_table(duty.ledger_kind, 1).kinds[duty.kind].lifecycle
    ends = set(steps.values()) - {status for status, _ in steps}
    assert not ends.intersection(listed_statuses(duty, catching_up=False))
    # A start without a cursor does, where no open document tells of it: what is owed says so.
    assert ends.intersection(listed_statuses(duty, catching_up=True)) <= set(duty.owed) <= set(duty.statuses)
    assert not set(duty.owed).intersection(duty.settled)
    # Of that, orders are looked for however old they are.
    assert set(duty.lasting) <= set(duty.owed)
    assert (duty.kind == "order" and bool(duty.owed)) == bool(duty.lasting)
