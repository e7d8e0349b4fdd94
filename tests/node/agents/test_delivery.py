"""Agents and delivery: elements are activated in windows, chained, tested, and only then is the order activated; killed anywhere, too."""

import json

import pytest

from node.agents.boundaries import boundaries
from node.agents.roster import DUTIES
from smartcontracts.kernel import Role
from tests.node.agents.chains import ACTIVATION_MS, Killed, Killer, fault, ordered, stock

DELIVERY_MODULES = ("order", "delivery", "recovery")
TWO = {"alpha": "port", "bravo": "line"}


def two_tiers(**faults):
    return {name: stock(offering, faults=faults.get(name, "")) for name, offering in TWO.items()}


def of_ledger(chain, name):
    """(role, message) of everything committed inside, in order."""
    return [
        (one.role, message)
        for one in chain.market.commits
        if one.ledger == f"{name}-internal"
        for message in one.messages
    ]


@pytest.mark.req(
    "D-02",
    "D-03",
    "D-06",
    "D-07",
    "D-12",
    "D-14",
    "D-15",
    "D-17",
    "D-18",
    "D-19",
    "D-20",
    "D-22",
    "D-23",
    "X-18",
    "X-19",
    "X-25",
)
def test_the_service_is_delivered_in_causal_order():
    chain = ordered(two_tiers())
    chain.market.run()
    messages = [message for _, message in of_ledger(chain, "alpha")]
    order = [
        "record_order_answer",  # the last acceptance
        "release_order_answer",
        "request_activation",
        "report_activation",
        "record_activation",
        "chain_elements",
        "record_test",
        "release_activation",
    ]
    places = [messages.index(one) for one in order]
    assert places == sorted(places)
    assert ("sof", "report_activation") in of_ledger(chain, "alpha")
    handover = chain.handover("alpha")
    assert handover.chain == tuple(element.id for element in chain.elements("alpha"))
    assert [test.passed for test in handover.tests] == [True]
    assert chain.the_order().status == "activated"
    # Measured is what alpha makes, and then what bravo delivers: to the chain's end.
    ends = [one.reservation_id or one.service_id for one in chain.elements("alpha")]
    assert [link["id"] for link in json.loads(handover.tests[0].values)["chain"]] == ends
    assert ends[-1] == chain.the_order("alpha", "bravo").service_id
    service = chain.market.the(chain.market.between("acme", "alpha"), "service")
    assert (service.status, service.id) == ("in_operation", handover.service_id)


@pytest.mark.req("D-08", "D-25", "X-22")
def test_element_windows_lie_inside_the_services_and_that_inside_the_orders():
    chain = ordered(two_tiers(alpha=fault("activate", delay_ms=60_000, times=9)))
    chain.market.run()
    handover, order = chain.handover("alpha"), chain.the_order()
    assert handover.activate_by_ms == order.activate_by_ms
    for element in chain.elements("alpha"):
        assert chain.market.now_ms < element.activate_by_ms <= handover.service_by_ms < order.activate_by_ms
    assert chain.elements("alpha")[2].activate_by_ms == chain.the_order("alpha", "bravo").activate_by_ms


@pytest.mark.req("D-02")
def test_elements_become_active_in_another_order_than_they_are_chained_in():
    chain = ordered(two_tiers(alpha=fault("activate", delay_ms=60_000, times=9)))
    chain.wait(120_000)
    ports, line = chain.elements("alpha")[:2], chain.elements("alpha")[2]
    assert line.activated_at_ms < min(port.activated_at_ms for port in ports)
    assert chain.handover("alpha").chain[-1] == line.id
    assert chain.the_order().status == "activated"


@pytest.mark.req("D-19", "D-20", "D-21", "X-25")
def test_a_failed_test_is_repeated_inside_the_window():
    chain = ordered(two_tiers(alpha=fault("measure", cause="LOSS", times=2)))
    chain.wait()
    assert [test.passed for test in chain.handover("alpha").tests] == [False, False, True]
    assert chain.the_order().status == "activated"


@pytest.mark.req("D-21", "D-32", "X-24")
def test_a_chain_that_never_passes_fails_the_order():
    terms = {("alpha", "bravo"): {"cancellation_window_ms": 10 * ACTIVATION_MS}}
    chain = ordered(two_tiers(alpha=fault("measure", cause="LOSS", times=1_000)), terms=terms)
    chain.wait(6 * ACTIVATION_MS)
    assert (chain.the_order().status, chain.the_order().reason) == ("failed", "TEST_NOT_PASSED")
    assert not any(test.passed for test in chain.handover("alpha").tests)
    assert chain.the_order("alpha", "bravo").status == "cancelled"
    assert [chain.booked(name) for name in TWO] == [0, 0]


@pytest.mark.req("X-27", "D-40")
def test_a_service_cancelled_after_its_activation_is_given_back_down_to_the_last_tier():
    pairs = (("acme", "alpha"), ("alpha", "bravo"))
    chain = ordered(two_tiers(), terms={pair: {"cancellation_window_ms": ACTIVATION_MS} for pair in pairs})
    chain.market.run()
    assert [chain.booked(name) for name in TWO] == [2, 1]
    chain.cancel()
    chain.market.run()
    assert chain.market.failures == []
    for buyer, seller in pairs:
        assert chain.market.the(chain.market.between(buyer, seller), "service").status == "terminated"
    for name in TWO:
        assert chain.market.the(chain.market.internal(name), "inventory_service").status == "terminated"
    assert [chain.booked(name) for name in TWO] == [0, 0]
    assert chain.statuses("alpha") == ["released", "released", "cancelled"]


def delivery_boundaries():
    """Every boundary of a duty about orders, and of the carriers."""
    found = []
    for duties in DUTIES.values():
        own = [duty for duty in duties if duty.do.__module__.rsplit(".", 1)[-1] in (*DELIVERY_MODULES, "carrier")]
        found.extend(boundaries(own))
    return tuple(found)


def passed_by(**faults):
    """The boundaries that one delivery passes."""
    killer = Killer()
    chain = ordered(two_tiers(**faults))
    chain.market.observe = killer
    chain.wait(2 * ACTIVATION_MS)
    assert chain.market.failures == []
    return tuple(boundary for boundary in delivery_boundaries() if boundary in killer.seen)


NOMINAL = passed_by()


def test_a_delivery_passes_the_boundaries_that_it_must():
    roles = {boundary.role for boundary in NOMINAL}
    assert roles == {Role.S_BUS, Role.B_BUS, Role.SCO, Role.SOF}
    assert len(NOMINAL) >= 40


@pytest.mark.parametrize("boundary", NOMINAL, ids=str)
def test_an_agent_killed_at_a_boundary_ends_as_if_nothing_had_happened(boundary):
    killer = Killer(boundary)
    chain = ordered(two_tiers())
    chain.market.observe = killer
    chain.market.run()
    assert [type(error) for *_, error in chain.market.failures] == [Killed]
    chain.market.failures.clear()
    chain.market.sweep()  # a restart without its cursor
    chain.market.run()
    assert chain.market.failures == []
    assert [order.status for order in chain.market.records(chain.market.between("acme", "alpha"), "order")] == [
        "activated"
    ]
    assert [order.status for order in chain.market.records(chain.market.between("alpha", "bravo"), "order")] == [
        "activated"
    ]
    assert chain.statuses("alpha") == ["chained"] * 3
    assert [chain.booked(name) for name in TWO] == [2, 1]
    releases = [one for name in TWO for one in chain.market.records(chain.market.internal(name), "release")]
    assert all(release.status == "carried" for release in releases)
