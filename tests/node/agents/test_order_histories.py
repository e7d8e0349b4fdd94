"""Orders over three tiers with faults, kills, lost events, cancellations and extensions at random: in the end nothing is left over."""

import random

import pytest

from smartcontracts.delivery import ExtendWindow
from tests.node.agents.chains import ACTIVATION_MS, Killed, fault, ordered, stock

PAIRS = (("acme", "alpha"), ("alpha", "bravo"), ("alpha", "charlie"), ("bravo", "delta"), ("charlie", "delta"))
PROVIDERS = ("alpha", "bravo", "charlie", "delta")
ENDED = {"rejected", "activated", "failed", "cancelled"}
RESTING = {"chained", "released", "cancelled", "replaced", "rejected", "undeliverable"}
HOUR_MS = 3_600_000
STEPS = 40


class Killer:
    """Kills whoever passes a boundary, sometimes."""

    def __init__(self, chance, share):
        self.chance, self.share = chance, share

    def __call__(self, boundary, _document_id):
        if self.chance.random() < self.share:
            raise Killed(str(boundary))


def some_faults(chance):
    found = {}
    for _ in range(chance.randrange(4)):
        operation = chance.choice(["reserve", "activate", "activate", "measure", "release"])
        cause = "" if operation == "release" else chance.choice(["", "BROKEN"])
        delay_ms = chance.choice([1_000, 300_000, 2_000_000, 5_000_000])
        # One of a kind: names must differ.
        found[operation, cause, delay_ms] = fault(
            operation, cause=cause, delay_ms=delay_ms, times=chance.choice([1, 2, 50])
        )
    return "".join(found.values())


def begun(chance):
    goods = {
        "alpha": chance.choice([("port",), ("none",), ("port", "line")]),
        "bravo": chance.choice([("line",), ("line", "port")]),
        "charlie": chance.choice([("line",), ("port",), ("line", "port")]),
        "delta": ("line", "port"),
    }
    inventories = {name: stock(*offerings, faults=some_faults(chance)) for name, offerings in goods.items()}
    window_ms = chance.choice([0, 600_000, 40 * HOUR_MS])
    chain = ordered(
        inventories,
        PAIRS,
        terms={pair: {"cancellation_window_ms": window_ms} for pair in PAIRS},
        acceptance_ms=chance.choice([20_000, 600_000]),
        activation_ms=chance.choice([100_000, ACTIVATION_MS]),
    )
    chain.market.observe = Killer(chance, chance.choice([0, 0.02, 0.1]))
    return chain


def disturb(chain, chance):
    """Lose some news; perhaps the buyer acts."""
    market, status = chain.market, chain.the_order().status
    if chance.random() < 0.3:
        market.lose_news(lambda: chance.random() <= 0.1)
    if chance.random() < 0.02 and status in ("placed", "accepted", "overdue"):
        chain.cancel()
    elif chance.random() < 0.03 and status in ("accepted", "overdue"):
        end = max(market.now_ms, chain.the_order().activate_by_ms) + chance.choice([1_000, HOUR_MS])
        longer = ExtendWindow(order_id=chain.order.id, activate_by_ms=end)
        market.act(market.between("acme", "alpha"), "extend_window", longer, "acme", "b_bus")


@pytest.mark.req("D-38", "D-40", "X-15")
@pytest.mark.parametrize("seed", range(16))
def test_whatever_happens_every_order_ends_and_nothing_is_left_over(seed):
    chance = random.Random(seed)
    chain = begun(chance)
    market = chain.market
    for _ in range(STEPS):
        disturb(chain, chance)
        market.run_until(market.now_ms + chance.choice([1_000, 100_000, 400_000]))
        if chance.random() < 0.3:
            market.sweep()
    market.observe = lambda *_: None
    for _ in range(12):
        market.sweep()
        market.run_until(market.now_ms + HOUR_MS)
    assert [error for *_, error in market.failures if not isinstance(error, Killed)] == []
    for name, ledger in market.ledgers.items():
        if ledger.ledger_kind == "bilateral":
            assert {order.status.value for order in market.records(ledger, "order")} <= ENDED, name
            continue
        assert {one.status.value for one in market.records(ledger, "order_handover")} <= ENDED, name
        assert {one.status.value for one in market.records(ledger, "service_element")} <= RESTING, name
        assert {one.status.value for one in market.records(ledger, "release")} <= {"carried", "refused"}, name
    for name in PROVIDERS:
        elements = market.records(market.internal(name), "service_element")
        made = [one for one in elements if (one.status, one.source) == ("chained", "internal")]
        assert chain.booked(name) == len(made), name
    for buyer, seller in PAIRS[1:]:
        ledger = market.between(buyer, seller)
        live = {one.id for one in market.records(ledger, "service") if one.status == "in_operation"}
        bought = {
            one.service_id
            for one in market.records(market.internal(buyer), "service_element")
            if (one.ledger_id, one.status) == (ledger.ledger_id, "chained")
        }
        assert live == bought, (buyer, seller)
