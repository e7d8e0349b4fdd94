"""Agents of three tiers that stand still for an hour, while windows end, and come back without their cursors."""

from __future__ import annotations

from dataclasses import replace

import pytest

from smartcontracts.order import PlaceOrder
from tests.node.agents.chains import fault, stock, units_in_use
from tests.node.agents.desk import Market
from tests.node.agents.stories import under_way
from tests.smartcontracts.trading import SINGLE, product

HOUR_MS = 3_600_000
MINUTE_MS = 60_000
PAIRS = (("acme", "alpha"), ("alpha", "bravo"), ("bravo", "charlie"))
NAMES = ("alpha", "bravo", "charlie")
OWN, FAR = replace(SINGLE, offering="line", product=product("line", sls=True, place="york")), SINGLE


def market_of(late_ms):
    """alpha makes lines, and charlie ports, in this time after they were asked for."""
    late = fault("activate", delay_ms=late_ms, times=99)
    own = {"acme": stock("none"), "alpha": stock("line"), "bravo": stock("none"), "charlie": stock("port", faults=late)}
    return Market(pairs=PAIRS, inventories=own)


def there(market, kind, document_id):
    ledger = market.between("acme", "alpha")
    return ledger.get(ledger.table.kinds[kind], document_id)


def quoted(market):
    inquiry = market.ask("acme", "alpha", (FAR,))
    market.run_until(stop=lambda: there(market, "inquiry", inquiry.id).quote_id)
    return there(market, "inquiry", inquiry.id).quote_id


def order(market, quote_id, acceptance_ms, activation_ms):
    command = PlaceOrder(quote_id=quote_id, acceptance_window_ms=acceptance_ms, activation_window_ms=activation_ms)
    return market.act(market.between("acme", "alpha"), "place_order", command, "acme", "b_bus").id


@pytest.mark.req("X-09")
@pytest.mark.parametrize("pause_ms", [HOUR_MS, 26 * HOUR_MS], ids=["hour", "day"])
def test_agents_that_stood_still_while_windows_ended_find_what_is_left_to_do(pause_ms):
    market = market_of(2 * MINUTE_MS)
    quotes = [quoted(market) for _ in range(3)]
    undelivered = order(market, quotes[0], 10 * MINUTE_MS, 20 * MINUTE_MS)
    market.run_until(market.now_ms + MINUTE_MS)
    assert there(market, "order", undelivered).status == "accepted"
    everybody, market.desks = market.desks, {}
    unanswered = market.ask("acme", "alpha", (OWN,), window_ms=MINUTE_MS).id
    unasked = market.ask("acme", "alpha", (FAR,), window_ms=MINUTE_MS).id
    unaccepted = order(market, quotes[1], MINUTE_MS, HOUR_MS)
    patient = order(market, quotes[2], pause_ms + HOUR_MS, HOUR_MS)
    market.run_until(market.now_ms + pause_ms)
    before = [("inquiry", unanswered), ("inquiry", unasked), ("order", unaccepted), ("order", undelivered)]
    assert [there(market, *one).status for one in [*before, ("order", patient)]] == [
        "deemed_unable",
        "deemed_unable",
        "rejected",
        "overdue",
        "placed",
    ]
    market.desks = everybody
    market.sweep()
    market.run_until(market.now_ms + 12 * HOUR_MS)
    assert market.failures == []
    assert there(market, "order", patient).status == "activated"
    # Its sellers' windows ended, too: all ask for time, and get it.
    late = there(market, "order", undelivered)
    assert (late.status, [change.cause for change in late.window_changes]) == ("activated", ["extension_granted"])
    assert there(market, "quote", there(market, "inquiry", unanswered).late_quote_id).late
    assert there(market, "inquiry", unasked).unable_reason == "WINDOW_TOO_SHORT"
    assert under_way(market) == []
    assert {name: units_in_use(market, name) for name in NAMES} == {"alpha": 0, "bravo": 0, "charlie": 2}
    running = [
        sum(one.status == "in_operation" for one in market.records(market.between(*pair), "service")) for pair in PAIRS
    ]
    assert running == [2, 2, 2]
