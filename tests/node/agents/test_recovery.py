"""Agents and recovery: what fails is replaced, extended or given up, and nothing stays held, ordered or waiting."""

from dataclasses import replace

import pytest

from node.agents.policies import Extension, Policies, Recovery
from smartcontracts.agreement import DelayPenalty
from smartcontracts.delivery import ExtendWindow
from smartcontracts.kernel import Role
from tests.node.agents.chains import ACTIVATION_MS, Killed, Killer, fault, ordered, stock
from tests.smartcontracts.support import org

PAIR = (("acme", "alpha"),)
THREE = (("acme", "alpha"), ("alpha", "bravo"), ("alpha", "charlie"))
DEEP = (("acme", "alpha"), ("alpha", "bravo"), ("bravo", "charlie"))
BROKEN = fault("activate", cause="BROKEN", times=1_000)
CANCELLABLE = {pair: {"cancellation_window_ms": 20 * ACTIVATION_MS} for pair in (*THREE, *DEEP)}


class Hasty(Policies):
    """Gives up at the first failure, and asks for no time."""

    def recover(self, failure):
        return Recovery.ABANDON

    def ask_extension(self, delay):
        return None


class Stubborn(Policies):
    """Tries its own resources again."""

    def recover(self, failure):
        return Recovery.ALTERNATIVE_INTERNAL if failure.failures <= 2 else Recovery.ABANDON


def extension(order):
    """What is recorded of the last change of an order's window."""
    (change,) = order.window_changes
    return change.cause, change.new_ms > change.old_ms, order.activate_by_ms == change.new_ms


@pytest.mark.req("D-13", "D-29", "D-30", "X-26")
def test_an_element_that_fails_is_replaced_by_another_of_our_own():
    chain = ordered(
        {"alpha": stock("port", faults=fault("activate", cause="BROKEN")), "bravo": stock("line")},
        policies={"alpha": Stubborn()},
    )
    chain.wait()
    assert chain.market.failures == []
    assert chain.statuses("alpha") == ["replaced", "chained", "chained", "chained"]
    failed, replacement = chain.elements("alpha")[:2]
    assert (failed.decision, failed.replaced_by, replacement.replaces) == (
        "alternative_internal",
        replacement.id,
        failed.id,
    )
    assert chain.the_order().status == "activated"
    assert chain.booked("alpha") == 2  # what failed is given back


@pytest.mark.req("D-16", "D-29", "D-30", "X-26", "Q-27")
def test_an_element_that_fails_is_bought_by_a_new_inquiry():
    inventories = {
        "alpha": stock("port", faults=fault("activate", cause="BROKEN")),
        "bravo": stock("line"),
        "charlie": stock("port", monthly="5.00"),
    }
    chain = ordered(inventories, THREE)
    chain.wait()
    assert chain.market.failures == []
    assert chain.statuses("alpha") == ["replaced", "chained", "chained", "chained"]
    replacement = chain.elements("alpha")[1]
    assert (replacement.source, replacement.order_id) == ("external", chain.the_order("alpha", "charlie").id)
    sourcings = chain.market.records(chain.market.internal("alpha"), "sourcing")
    assert sorted(one.purpose for one in sourcings) == ["inquiry", "recovery"]
    assert chain.the_order().status == "activated"


@pytest.mark.req("X-26")
def test_a_replacement_that_costs_more_is_none():
    inventories = {
        "alpha": stock("port", faults=fault("activate", cause="BROKEN", times=9)),
        "bravo": stock("line"),
        "charlie": stock("port", monthly="50.00"),
    }
    chain = ordered(inventories, THREE, terms=CANCELLABLE)
    chain.wait(6 * ACTIVATION_MS)
    assert chain.market.failures == []
    assert chain.market.records(chain.market.between("alpha", "charlie"), "order") == ()
    assert "undeliverable" in chain.statuses("alpha")
    assert chain.the_order().status == "failed"
    assert [chain.booked(name) for name in inventories] == [0, 0, 0]


@pytest.mark.req("D-16", "D-30")
def test_a_seller_that_fails_is_replaced_by_another_one():
    inventories = {
        "alpha": stock("port"),
        "bravo": stock("line", monthly="5.00", faults=BROKEN),
        "charlie": stock("line", monthly="5.00"),
    }
    chain = ordered(inventories, THREE)
    # charlie answers the inquiry too, at the same price: whoever was taken first, the other one delivers.
    chain.wait()
    assert chain.market.failures == []
    assert chain.the_order().status == "activated"
    assert chain.elements("alpha")[-1].order_id == chain.the_order("alpha", "charlie").id
    assert [chain.booked(name) for name in inventories] == [2, 0, 1]


@pytest.mark.req("D-32", "D-34", "D-35", "D-36", "D-37", "D-38", "D-39", "D-40")
def test_an_order_that_is_abandoned_is_cancelled_and_released_to_the_last_tier():
    late = fault("activate", delay_ms=600_000, times=9)
    inventories = {
        "alpha": stock("port", faults=fault("activate", cause="BROKEN", delay_ms=60_000, times=9)),
        "bravo": stock("none"),
        "charlie": stock("line", faults=late),
    }
    chain = ordered(inventories, DEEP, policies={"alpha": Hasty()})
    chain.wait(300_000)
    assert chain.market.failures == []
    assert (chain.the_order().status, chain.the_order().reason) == ("failed", "RECOVERY_GIVEN_UP")
    assert chain.the_order("alpha", "bravo").status == "cancelled"
    assert chain.the_order("bravo", "charlie").status == "cancelled"
    assert [chain.handover(name).status for name in inventories] == ["failed", "cancelled", "cancelled"]
    assert chain.statuses("alpha") == ["released", "released", "cancelled"]
    assert chain.statuses("bravo") == ["cancelled"]
    assert chain.statuses("charlie") == ["released"]
    assert [chain.booked(name) for name in inventories] == [0, 0, 0]
    events = chain.market.internal("alpha").event_names()
    assert "order_handover.abandonment_for_sof" in events
    assert "order_handover.abandonment_for_b_bus" in events


@pytest.mark.req("D-31", "D-33", "D-41", "D-42", "D-43", "X-21")
def test_an_extension_goes_up_to_the_customer_and_is_recorded_on_every_ledger_that_changes():
    late = fault("activate", delay_ms=ACTIVATION_MS + 400_000)
    chain = ordered({"alpha": stock("port"), "bravo": stock("none"), "charlie": stock("line", faults=late)}, DEEP)
    chain.wait(3 * ACTIVATION_MS)
    assert chain.market.failures == []
    for buyer, seller in DEEP:
        order = chain.the_order(buyer, seller)
        assert order.status == "activated"
        assert extension(order) == ("extension_granted", True, True)
        assert order.extension.status == "granted"
    for name in ("alpha", "bravo"):
        handover = chain.handover(name)
        assert [change.cause for change in handover.windows] == ["extension_granted"]
        events = chain.market.internal(name).event_names()
        assert "order_handover.window_changed_for_sof" in events
        assert "order_handover.window_changed_for_b_bus" in events
    ends = [chain.the_order(*pair).activate_by_ms for pair in DEEP]
    assert ends == sorted(ends, reverse=True)


@pytest.mark.req("D-04")
def test_a_delay_costs_each_seller_on_its_ledger_though_more_time_was_granted():
    pairs = (("acme", "alpha"), ("alpha", "bravo"))
    terms = {
        pair: {"delay_penalties": (DelayPenalty(seller=org(pair[1]), amount_minor=100, period_ms=60_000),)}
        for pair in pairs
    }
    late = fault("activate", delay_ms=ACTIVATION_MS + 400_000)
    chain = ordered({"alpha": stock("port"), "bravo": stock("line", faults=late)}, pairs, terms=terms)
    chain.wait(3 * ACTIVATION_MS)
    assert chain.market.failures == []
    for pair in pairs:
        order, charge = chain.the_order(*pair), chain.market.the(chain.market.between(*pair), "charge")
        assert (order.status, charge.kind, charge.order_id) == ("activated", "delay_penalty", order.id)
        assert (charge.payer, charge.payee) == (org(pair[1]), org(pair[0]))
        assert charge.delay_ms == order.ended_at_ms - order.original_activate_by_ms > 0
        assert charge.amount.minor == 100 * (charge.delay_ms // 60_000 + 1)


@pytest.mark.req("D-42", "D-43")
def test_a_window_that_the_buyer_extends_unasked_is_passed_on_to_sellers():
    late = fault("activate", delay_ms=600_000)
    chain = ordered({"alpha": stock("port"), "bravo": stock("line", faults=late)})
    chain.wait(60_000)
    before = chain.the_order("alpha", "bravo").activate_by_ms
    longer = ExtendWindow(order_id=chain.order.id, activate_by_ms=chain.the_order().activate_by_ms + ACTIVATION_MS)
    chain.market.act(chain.market.between("acme", "alpha"), "extend_window", longer, "acme", "b_bus")
    chain.market.run()
    assert chain.market.failures == []
    assert extension(chain.the_order("alpha", "bravo")) == ("buyer_extended", True, True)
    assert chain.elements("alpha")[2].activate_by_ms == chain.the_order("alpha", "bravo").activate_by_ms > before
    assert chain.handover("bravo").activate_by_ms == chain.the_order("alpha", "bravo").activate_by_ms


@pytest.mark.req("D-31", "D-33", "D-41", "D-43", "X-24")
def test_a_service_that_is_ready_but_not_told_of_in_time_is_activated_with_more_time():
    """alpha's S-BUS is away until its buyer's window has ended, while INT has nothing left but to say that all is active."""
    chain = ordered({"alpha": stock("port", "line", faults=fault("activate", delay_ms=60_000, times=9))}, PAIR)
    chain.market.run()
    away = chain.market.desks.pop(("alpha", Role.S_BUS))
    chain.wait(2 * ACTIVATION_MS)
    assert (chain.the_order().status, chain.handover("alpha").status) == ("overdue", "to_activate")
    chain.market.desks["alpha", Role.S_BUS] = away
    chain.market.sweep()
    chain.wait(60_000)
    order = chain.the_order()
    assert extension(order) == ("extension_granted", True, True)
    assert (order.status, chain.handover("alpha").status) == ("activated", "activated")


DEAR = """
[[pool]]
id = "dear"
offerings = ["port"]
capacity = 9
lead_time_ms = 60000
cost = { recurring = "50.00", period = "month" }
"""


@pytest.mark.req("X-26")
def test_another_element_of_our_own_that_costs_more_is_none_either():
    """Both ports of the cheap pool are taken until what failed is given back, which takes its time."""
    faults = fault("activate", cause="BROKEN") + fault("release", delay_ms=60_000, times=9) + DEAR
    chain = ordered({"alpha": stock("port", "line", capacity=3, faults=faults)}, PAIR, policies={"alpha": Stubborn()})
    chain.wait()
    assert chain.market.failures == []
    assert "PRICE_DIFFERS" in [one.reason for one in chain.elements("alpha")]
    assert {price.rate.nano for one in chain.elements("alpha") for price in one.cost} == {10 * 10**9}


class Strict(Policies):
    """A customer, or a provider, that gives nobody more time."""

    def grant_extension(self, asked):
        return replace(super().grant_extension(asked), granted=False, waive_penalty=False)


@pytest.mark.req("D-31", "D-32", "D-38", "D-40")
def test_an_extension_that_is_refused_ends_in_abandonment():
    late = fault("activate", delay_ms=2 * ACTIVATION_MS, times=9)
    chain = ordered(
        {"alpha": stock("port"), "bravo": stock("line", faults=late)}, policies={"acme": Strict()}, terms=CANCELLABLE
    )
    chain.wait(6 * ACTIVATION_MS)
    assert chain.market.failures == []
    assert chain.the_order().extension.status == "refused"
    assert chain.the_order().status == "failed"
    assert chain.handover("alpha").extension_refused
    assert [chain.booked(name) for name in ("alpha", "bravo")] == [0, 0]
    assert all(
        one.status in ("failed", "cancelled")
        for one in chain.market.records(chain.market.between("alpha", "bravo"), "order")
    )


@pytest.mark.req("D-31", "D-32")
def test_a_customer_that_says_nothing_about_an_extension_ends_it_too():
    late = fault("activate", delay_ms=2 * ACTIVATION_MS, times=9)
    chain = ordered({"alpha": stock("port", "line", faults=late)}, (("acme", "alpha"),), silent=("acme",))
    chain.wait(6 * ACTIVATION_MS)
    assert chain.market.failures == []
    assert chain.the_order().extension.status == "unanswered"
    assert (chain.the_order().status, chain.handover("alpha").status) == ("failed", "failed")
    assert chain.booked("alpha") == 0


class AskAgain(Policies):
    def ask_extension(self, delay):
        return Extension(delay.activate_by_ms, "NOT_LATER")


def test_a_wish_that_is_no_later_is_not_asked():
    late = fault("activate", delay_ms=2 * ACTIVATION_MS, times=9)
    chain = ordered({"alpha": stock("port", "line", faults=late)}, (("acme", "alpha"),), policies={"alpha": AskAgain()})
    chain.wait(6 * ACTIVATION_MS)
    assert chain.the_order().extension is None
    assert chain.the_order().status == "failed"


@pytest.mark.req("D-24", "D-26", "D-27", "D-28")
def test_an_element_that_is_not_active_in_its_window_has_failed_with_the_cause_timeout():
    late = fault("activate", delay_ms=20 * ACTIVATION_MS, times=9)
    chain = ordered({"alpha": stock("port", faults=late), "bravo": stock("line")}, policies={"alpha": Hasty()})
    chain.wait(2 * ACTIVATION_MS)
    port = chain.elements("alpha")[0]
    assert (port.cause, port.reason, port.status) == ("timeout", "TIMEOUT", "released")
    assert chain.the_order().status == "failed"


@pytest.mark.req("D-27", "D-28")
def test_an_order_that_falls_overdue_at_its_seller_fails_the_element():
    late = fault("activate", delay_ms=600_000)
    chain = ordered({"alpha": stock("port"), "bravo": stock("line", faults=late)}, policies={"alpha": Hasty()})
    chain.wait(60_000)
    for desk in [desk for desk in chain.market.desks if desk[0] == "bravo"]:
        del chain.market.desks[desk]
    chain.wait(2 * ACTIVATION_MS)
    line = chain.elements("alpha")[2]
    assert (line.cause, line.status) == ("timeout", "cancelled")
    assert (chain.the_order("alpha", "bravo").status, chain.the_order().status) == ("cancelled", "failed")


@pytest.mark.req("D-40")
def test_a_cancellation_in_the_middle_of_delivery_reaches_the_last_tier():
    late = fault("activate", delay_ms=600_000)
    chain = ordered({"alpha": stock("port"), "bravo": stock("none"), "charlie": stock("line", faults=late)}, DEEP)
    chain.wait(60_000)
    chain.cancel()
    chain.market.run()
    assert chain.market.failures == []
    assert [chain.the_order(*pair).status for pair in DEEP] == ["cancelled"] * 3
    assert [chain.booked(name) for name in ("alpha", "bravo", "charlie")] == [0, 0, 0]


def recovery_run(killer=None):
    inventories = {
        "alpha": stock("port", faults=fault("activate", cause="BROKEN")),
        "bravo": stock("line"),
        "charlie": stock("port", monthly="5.00"),
    }
    chain = ordered(inventories, THREE)
    if killer is not None:
        chain.market.observe = killer
    return chain


def abandoned_run(killer=None):
    inventories = {
        "alpha": stock("port", faults=fault("activate", cause="BROKEN", times=9)),
        "bravo": stock("line", faults=fault("activate", delay_ms=600_000)),
    }
    chain = ordered(inventories, policies={"alpha": Hasty()})
    if killer is not None:
        chain.market.observe = killer
    return chain


def extended_run(killer=None):
    late = fault("activate", delay_ms=ACTIVATION_MS + 400_000)
    chain = ordered({"alpha": stock("port"), "bravo": stock("line", faults=late)})
    if killer is not None:
        chain.market.observe = killer
    return chain


RUNS = {"replaced": recovery_run, "abandoned": abandoned_run, "extended": extended_run}
DUTIES_OF = (
    "recover",
    "replace",
    "abandon",
    "extension",
    "cancel",
    "release_element",
    "tend",
    "decide",
    "windows",
    "overdue",
)


def ending(chain):
    """What each ledger says in the end: statuses of orders, handovers, elements; capacity in use."""
    names = [name for name in ("alpha", "bravo", "charlie") if f"{name}-internal" in chain.market.ledgers]
    orders = [
        sorted(order.status.value for order in chain.market.records(ledger, "order"))
        for ledger in chain.market.ledgers.values()
        if ledger.ledger_kind == "bilateral"
    ]
    return orders, [chain.statuses(name) for name in names], [chain.booked(name) for name in names]


def recovery_boundaries():
    found = []
    for name, run in RUNS.items():
        killer = Killer()
        chain = run(killer)
        chain.wait(3 * ACTIVATION_MS)
        assert chain.market.failures == []
        end = ending(chain)
        found.extend(
            pytest.param(name, boundary, end, id=f"{name}-{boundary}")
            for boundary in killer.seen
            if any(word in boundary.duty for word in DUTIES_OF)
        )
    return found


@pytest.mark.parametrize(("name", "boundary", "end"), recovery_boundaries())
def test_an_agent_killed_while_recovering_ends_as_if_nothing_had_happened(name, boundary, end):
    chain = RUNS[name](Killer(boundary))
    chain.wait(1_000)
    if chain.market.failures:
        assert [type(error) for *_, error in chain.market.failures] == [Killed]
        chain.market.sweep()
    chain.wait(3 * ACTIVATION_MS)
    assert [type(error) for *_, error in chain.market.failures] == [Killed]
    chain.market.sweep()
    chain.wait(3 * ACTIVATION_MS)
    assert ending(chain) == end
