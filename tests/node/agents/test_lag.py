"""A node that is behind: what it takes for refused may be out there, and is looked after all the same once it shows.

alpha's own node gets an order to bravo's ledger, and does not see it there. Whatever comes of that in the meantime, when alpha's
node has caught up nothing is ordered that nobody needs.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from itertools import product
from typing import Any

import pytest

from ledgers.client import ClientError
from smartcontracts.kernel import Role
from smartcontracts.quote import QuoteExpired
from tests.node.agents.chains import Chain, fault, ordered, stock, units_in_use
from tests.node.agents.desk import Market
from tests.node.agents.harness import refusal

LEDGER = "alpha-bravo"
HOUR_MS = 3_600_000
DAYS_MS = 90 * 24 * HOUR_MS


class AnswerLost(ClientError):
    """Nobody knows what came of it."""


class LaggingPort:
    """A ledger as a node shows it that stops following once `act` was handed to it: once."""

    def __init__(self, port: Any, act: str, *, later: bool) -> None:
        self._port, self._act, self._later = port, act, later
        self.id, self.name, self.kind = port.id, port.name, port.kind
        self.organization, self.role = port.organization, port.role
        self.waiting: tuple[Any, ...] = ()
        self.when_behind: Callable[[], None] = lambda: None
        self.behind = False

    @property
    def ledger(self) -> Any:
        return self._port.ledger

    async def get(self, kind: str, document_id: str) -> Any:
        return await self._port.get(kind, document_id)

    async def list(self, kind: str, **filters: str) -> Any:
        return await self._port.list(kind, **filters)

    async def submit(self, acts: Any, *, purpose: str) -> Any:
        if self.behind:
            # By what this node knows, time alone has gone on.
            raise refusal(QuoteExpired("It was valid until some time ago.", "quote_id"))
        if acts[0].name != self._act:
            return await self._port.submit(acts, purpose=purpose)
        self._act = ""
        self.freeze()
        self.when_behind()
        if self._later:
            self.waiting = ((acts, purpose),)
        else:
            await self._real.submit(acts, purpose=purpose)
        raise AnswerLost("no answer")

    def freeze(self) -> None:
        ledger = self._port.ledger
        stale = copy.copy(ledger)
        stale._documents = {kind: dict(found) for kind, found in ledger._documents.items()}
        self._real, self.behind = self._port, True
        self._port = type(self._port)(self._port.market, stale, self.name, self._port.organization, self._port.role)

    def arrive(self) -> None:
        """What was on its way gets into a block."""
        for acts, purpose in self.waiting:
            with pytest.raises(StopIteration):
                self._real.submit(acts, purpose=purpose).send(None)
        self.waiting = ()

    def catch_up(self) -> None:
        self.arrive()
        self._port, self.behind = self._real, False


class NeverBehind:
    behind = False


class LaggingMarket(Market):
    """alpha's B-BUS sees one ledger through a port that may be behind; of what happens there it hears nothing meanwhile."""

    port: Any = NeverBehind()

    def watch(self, act: str, *, later: bool) -> LaggingPort:
        desk = self.desks["alpha", Role.B_BUS]
        ledger_id = self.ledgers[LEDGER].ledger_id
        self.port = LaggingPort(desk.bilateral[ledger_id], act, later=later)
        desk.bilateral[ledger_id] = self.port
        return self.port

    def _port_of(self, desk: Any, ledger: Any) -> Any:
        port = super()._port_of(desk, ledger)
        return None if isinstance(port, LaggingPort) and port.behind else port

    def check_round(self) -> None:
        """A node that is behind leaves much to do, and an order that is looked at again later is not left alone."""
        if not self.port.behind and not any(kind == "order" for _, kind, _ in self._later):
            super().check_round()

    def run(self) -> None:
        super().run()
        if any(isinstance(error, AnswerLost) for *_, error in self.failures):
            # As the runtime does with what may pass.
            self.failures = [one for one in self.failures if not isinstance(one[-1], AnswerLost)]
            self.sweep()


def is_clean(chain: Chain, *names: str) -> None:
    """Nothing is ordered of bravo, held or in operation, for which nobody is there; each release tells what came of it."""
    market = chain.market
    orders = market.records(market.ledgers[LEDGER], "order")
    assert {one.status.value for one in orders} <= {"rejected", "cancelled", "failed"}
    assert {one.status.value for one in market.records(market.ledgers[LEDGER], "service")} <= {"terminated"}
    for name in names:
        assert units_in_use(market, name) == 0, name
    for release in market.records(market.internal("alpha"), "release"):
        if release.act == "place_order":
            is_there = any(release.sha256 in one.releases for one in orders)
            assert (release.status.value, release.outcome_id != "") == (
                ("carried", True) if is_there else ("refused", False)
            )
    alive = {"released", "cancelled", "replaced", "rejected", "undeliverable"}
    assert {one.status.value for one in market.records(market.internal("alpha"), "service_element")} <= alive


# How far bravo gets with an order that alpha's node does not see: it is away, it accepts and is slow, it is done.
PROGRESS = ("placed", "accepted", "activated")
SHOWN = {
    "placed": ("placed", "rejected"),
    "accepted": ("accepted", "extension_requested"),
    "activated": ("activated",),
}


def bravo_that(progress: str) -> Any:
    return stock("line", faults=fault("activate", delay_ms=HOUR_MS // 2) if progress == "accepted" else "")


def ordered_of(progress: str, *, later: bool, terms: dict[str, Any], **options: Any) -> Chain:
    own = {"alpha": stock("port"), "bravo": bravo_that(progress)}
    chain = ordered(own, made=LaggingMarket, terms={("alpha", "bravo"): terms}, **options)
    chain.market.watch("place_order", later=later)
    if progress == "placed":
        chain.market.desks = {key: desk for key, desk in chain.market.desks.items() if key[0] != "bravo"}
    return chain


@pytest.mark.req("D-40", "X-15")
@pytest.mark.parametrize(("progress", "later"), list(product(PROGRESS, (False, True))))
@pytest.mark.parametrize("behind_ms", [1_000, 60_000, HOUR_MS // 4])
def test_an_order_that_was_taken_for_refused_is_cancelled_once_it_shows(progress, later, behind_ms):
    chain = ordered_of(progress, later=later, terms={"cancellation_window_ms": DAYS_MS})
    market = chain.market
    market.run()
    assert chain.the_order().status == "rejected"
    market.port.arrive()
    market.take_events()
    market.run_until(market.now_ms + behind_ms)
    (order,) = market.records(market.ledgers[LEDGER], "order")
    assert order.status in SHOWN[progress]
    market.port.catch_up()
    market.sweep()
    market.run_until(market.now_ms + 2 * HOUR_MS)
    is_clean(chain, "alpha", *(("bravo",) if progress != "placed" else ()))
    assert market.failures == []
    # Everything is known: a look at all of it does nothing.
    before = len(market.commits)
    market.sweep()
    assert len(market.commits) == before


@pytest.mark.req("D-40", "X-15", "X-27")
@pytest.mark.parametrize("later", [False, True])
def test_what_can_not_be_cancelled_any_more_when_it_shows_is_ended_by_a_termination(later):
    chain = ordered_of("activated", later=later, terms={})
    market = chain.market
    market.run()
    market.port.arrive()
    market.take_events()
    market.run_until(market.now_ms + 60_000)
    market.port.catch_up()
    market.sweep()
    market.run_until(market.now_ms + 24 * HOUR_MS)
    assert {one.status.value for one in market.records(market.ledgers[LEDGER], "service")} == {"terminated"}
    assert (units_in_use(market, "alpha"), units_in_use(market, "bravo")) == (0, 0)
    assert market.the(market.internal("alpha"), "stranded_service").status == "ended"
    assert market.failures == []


@pytest.mark.req("D-40", "X-15")
def test_an_order_that_shows_while_its_refusal_is_still_being_answered_is_looked_at_again():
    chain = ordered_of("activated", later=False, terms={"cancellation_window_ms": DAYS_MS})
    market = chain.market
    everybody = market.desks
    # S-BUS has handed the order over, and is away when the answer is to go out.
    market.port.when_behind = lambda: setattr(
        market, "desks", {key: desk for key, desk in everybody.items() if key != ("alpha", Role.S_BUS)}
    )
    market.run_until(market.now_ms + 10_000)
    assert chain.handover("alpha").status == "to_reject"
    market.port.catch_up()
    market.sweep()
    assert chain.statuses("alpha").count("rejected") == 1
    market.desks = everybody
    market.sweep()
    market.run_until(market.now_ms + 120_000)
    assert chain.the_order().status == "rejected"
    is_clean(chain, "alpha", "bravo")


@pytest.mark.req("O-23")
def test_an_order_that_shows_before_its_refusal_is_written_down_goes_on_as_if_nothing_had_been():
    chain = ordered_of("activated", later=False, terms={})
    market = chain.market
    settled = market.desks["alpha", Role.B_BUS]

    def caught_up(boundary: Any, _document_id: str) -> None:
        if str(boundary).startswith("b_bus/settle_order") and market.port.behind:
            market.port.catch_up()

    market.observe = caught_up
    market.run_until(market.now_ms + 60_000)
    assert not market.port.behind, settled
    assert chain.the_order().status == "activated"
    assert market.failures == []


def test_a_termination_order_that_was_taken_for_refused_is_the_attempt_under_way():
    chain = ordered(
        {"alpha": stock("port"), "bravo": stock("line")},
        made=LaggingMarket,
        terms={("acme", "alpha"): {"cancellation_window_ms": DAYS_MS}},
    )
    market = chain.market
    market.run()
    assert chain.the_order().status == "activated"
    everybody = market.desks
    # bravo has quoted the end, and is away when it is ordered.
    market.watch("place_order", later=False).when_behind = lambda: setattr(
        market, "desks", {key: desk for key, desk in everybody.items() if key[0] != "bravo"}
    )
    chain.cancel()
    market.run_until(
        stop=lambda: any(
            one.status == "waiting" for one in market.records(market.internal("alpha"), "stranded_service")
        )
    )
    market.port.catch_up()
    market.sweep()
    stranded = market.the(market.internal("alpha"), "stranded_service")
    assert (stranded.attempt, stranded.status) == (1, "ordering")
    market.desks = everybody
    market.sweep()
    market.run_until(market.now_ms + HOUR_MS)
    assert market.the(market.internal("alpha"), "stranded_service").status == "ended"
    assert {one.status.value for one in market.records(market.ledgers[LEDGER], "service")} == {"terminated"}
    assert market.failures == []
