"""Rounds, and starts without a cursor: what is open leads to all that is left to do, though nobody has heard of anything."""

import pytest

from ledgers.kinds import contract_table
from node.agents.roster import DUTIES
from node.agents.runtime import listed_statuses
from tests.node.agents.chains import ACTIVATION_MS, ordered, stock
from tests.node.agents.desk import LeftAlone, Market, pool
from tests.smartcontracts.trading import PORT_A

LISTINGS_MAX = 100
PAIRS = [("acme", "alpha"), ("alpha", "bravo")]


class DeafMarket(Market):
    """No event reaches anybody: agents know what they list, and what they asked to be reminded of."""

    def take_events(self):
        """Nobody hears of them."""

    def check_round(self):
        """There is much left to do until somebody lists it."""

    def run_until(self, until_ms=None, *, stop=None):
        """Time passes; what is open is listed until that changes nothing, and then nothing is left to do about what has ended."""
        super().run_until(until_ms, stop=stop)
        for _ in range(LISTINGS_MAX):
            before = len(self.commits)
            self.sweep()
            if len(self.commits) == before:
                break
        super().check_round()


def deaf(monkeypatch, **options):
    """acme has ordered a line and two ports from alpha, which buys the ports from bravo."""
    monkeypatch.setattr("tests.node.agents.chains.Market", DeafMarket)
    return ordered({"alpha": stock("line"), "bravo": stock("port")}, **options)


def bought(chain):
    """Statuses of alpha's orders of bravo."""
    return {order.status.value for order in chain.market.records(chain.market.between("alpha", "bravo"), "order")}


def live(chain, ms, *, step_ms=60_000):
    for _ in range(ms // step_ms):
        chain.market.run_until(chain.market.now_ms + step_ms)


@pytest.mark.parametrize("silent", [(), ("bravo",)], ids=["answered", "silent"])
def test_an_order_over_two_tiers_ends_by_listings_alone(monkeypatch, silent):
    chain = deaf(monkeypatch)
    chain.market.desks = {key: desk for key, desk in chain.market.desks.items() if key[0] not in silent}
    live(chain, 20 * 60_000)
    expected = "rejected" if silent else "activated"
    assert (chain.the_order().status, bought(chain)) == (expected, {expected})
    assert chain.handover("alpha").status == expected


def test_a_cancellation_after_the_activation_is_found_by_listings_alone(monkeypatch):
    chain = deaf(monkeypatch, terms={pair: {"cancellation_window_ms": ACTIVATION_MS} for pair in PAIRS})
    live(chain, 10 * 60_000)
    assert chain.the_order().status == "activated"
    chain.cancel()
    live(chain, 10 * 60_000)
    assert (bought(chain), chain.handover("alpha").status) == ({"cancelled"}, "cancelled")
    assert chain.market.the(chain.market.internal("alpha"), "inventory_service").status == "terminated"
    assert (chain.booked("alpha"), chain.booked("bravo")) == (0, 0)


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
