"""Agents of three tiers, each a process of its own, killed at every boundary that they pass: all ends as without a kill.

The long tests have the whole market of localnet's topology "tiers"; docs/measurements/agents.md has what they printed.
"""

from __future__ import annotations

import asyncio
import json
import os
import time

import pytest

from node import process
from scripts.story.checks import show_internal
from tests.faults.agent_market import (
    assert_booked_is_in_operation,
    assert_once,
    cast,
    differences,
    documents,
    environment,
    open_ends,
    open_market,
    tally,
)
from tests.faults.agent_plays import ASLEEP, PLAYS, SHORT, fall_asleep, perform, place_of, stocks_of
from tests.faults.killed_agent import all_boundaries

pytestmark = [pytest.mark.network]
# How often one agent dies in a round, and how many rounds there are at most.
KILLS_MAX = 10
ROUNDS = 6
# Of the boundaries that this market passes, at least; chance decides about some of them.
KILLED_MIN = 140
# Every so many planned kills, the cursors are lost with the process.
FORGETS_EVERY = 3
SETTLED_WITHIN_S = 240
# What agents of three tiers die at in the short test: some of each role, in both sellers.
SHORT_KILLS = {
    ("alpha", "s_bus"): ("hand_over_inquiry/before/hand_over", "carry_release/after/carry"),
    ("alpha", "b_bus"): ("ask_sellers/after/ask", "carry_release/after/carry", "place_orders/before/order"),
    ("alpha", "sco"): ("decide_inquiry/before/assess", "chain_elements/after/chain"),
    ("alpha", "sof"): ("test_chain/before/test",),
    ("bravo", "s_bus"): ("carry_release/before/record", "hand_over_order/after/hand_over"),
    ("bravo", "sco"): ("request_activation/after/request",),
    ("bravo", "sof"): ("answer_queries/taken", "confirm_elements/before/confirm", "activate_elements/before/activate"),
}
# How often these are said depends on how late everybody is, and that on the kills. Their end is compared all the same.
LOOSE = (
    "request_extension",
    "answer_extension",
    "extend_window",
    "extension_answer",
    "propose_maintenance",
    "agree_maintenance",
    "decline_maintenance",
    "hasten_change",
)


@pytest.fixture(autouse=True)
def keepers(monkeypatch):
    """Short pauses before a restart: agents die more often here than any supervisor should be patient with."""
    monkeypatch.setattr(process, "PAUSE_MAX_S", 1.0)
    monkeypatch.setenv("PYTHONPATH", environment())


class Rounds:
    """The same plays again and again on one network, and what each gave."""

    def __init__(self, market, network, plays):
        self.market, self.network, self.plays = market, network, plays
        self.number = 0
        self.expected = None
        self.problems = []

    def _is_as_expected(self, found):
        return self.expected is None or not differences(self.expected, tally(found, loose=LOOSE))

    async def play(self):
        """One round. What is not as in the first one is kept for the end, so that one failure does not hide others."""
        before = await documents(self.market)
        began, began_ms = time.monotonic(), self.market.stage.network.now_ms()
        seconds, problems = await perform(self.market, self.plays, self.number)
        found = await settled(self.market, before, self._is_as_expected)
        self.number += 1
        counted = tally(found, loose=LOOSE)
        if self.expected is None:
            assert problems == []
            self.expected = counted
        problems += open_ends(found) + differences(self.expected, counted)
        problems += told_by(lambda: assert_once(found))
        everything = await documents(self.market)
        problems += told_by(lambda: assert_booked_is_in_operation(self.network, everything))
        print(f"round {self.number}: {time.monotonic() - began:.0f} s, {len(found)} documents; {json.dumps(seconds)}")
        print(f"  load {os.getloadavg()[0]:.0f}; problems: {problems}", flush=True)
        if problems:
            self.problems.append((self.number, problems))
            self.market.stage.teller.quiet = False
            await show_internal(self.market, began_ms)
            self.market.stage.teller.quiet = True


def told_by(check):
    """What an assertion says, for a list."""
    try:
        check()
    except AssertionError as error:
        return [str(error)]
    return []


async def settled(market, before, is_done=lambda found: True):
    """What is new since `before`, once nothing of it is under way and `is_done` says so, or after a while."""
    give_up = time.monotonic() + SETTLED_WITHIN_S
    while True:
        found = {key: record for key, record in (await documents(market)).items() if key not in before}
        if (not open_ends(found) and is_done(found)) or time.monotonic() > give_up:
            return found
        await asyncio.sleep(1)


class Kills:
    """Which agent dies where: at each boundary once, somewhere in the market."""

    def __init__(self, agents):
        self.agents = agents
        self.passed = {key: files.passed() for key, files in agents.items()}
        # Passed in every round: what is passed now and then only, no plan can count on.
        self.steady = set().union(*self.passed.values())
        self.killed = {}
        # (Boundary, agent) of all plans.
        self.planned = set()

    @property
    def left(self):
        every = set().union(*self.passed.values())
        return [one for one in all_boundaries() if one in every and one not in self.killed]

    def plan(self):
        """For the next round; no agent more often than it may.

        One agent each; where nothing came of that, all that pass it now and then.
        """
        planned = dict.fromkeys(self.agents, 0)
        tried = {boundary for boundary, _ in self.planned}
        for boundary in self.left:
            here = [key for key, passed in self.passed.items() if boundary in passed and planned[key] < KILLS_MAX]
            here.sort(key=lambda key: (planned[key], key))
            for chosen in here if boundary in tried else here[:1]:
                planned[chosen] += 1
                self.planned.add((boundary, chosen))
                self.agents[chosen].plan(boundary, forgets=len(self.planned) % FORGETS_EVERY == 0)

    def take_stock(self):
        """After a round: who died where."""
        now = {key: files.passed() for key, files in self.agents.items()}
        self.steady &= set().union(*now.values())
        for (organization, role), files in self.agents.items():
            for boundary in files.died():
                self.killed.setdefault(boundary, f"{organization}/{role}")
            self.passed[organization, role] |= now[organization, role]
            files.forget_plans()


def report(kills, agents):
    every = all_boundaries()
    passed = set().union(*kills.passed.values())
    print(f"{len(every)} boundaries enumerated, {len(passed)} passed, {len(kills.killed)} of them killed at")
    for moment in ("taken", "before", "after"):
        here = {one for one in every if one.split("/")[2] == moment}
        print(
            f"  {moment}: {len(here)} enumerated, {len(here & passed)} passed, {len(here & set(kills.killed))} killed"
        )
    ends = [lost for files in agents.values() for lost in files.ends()]
    print(f"{len(ends)} kills of {len(agents)} agents; {sum(map(bool, ends))} of them with their cursors, {sum(ends)}")
    print("passed, and nobody died there:", " ".join(kills.left))
    print("passed by none:", " ".join(one for one in every if one not in passed))


def chain_of_three():
    """acme - alpha - bravo, without neutrals: as few processes as three tiers can have."""
    tiers = cast(stocks_of([SHORT], 2))
    names = ("acme", "alpha", "bravo")
    ledgers = {
        name: ledger.model_copy(update={"neutrals": ()})
        for name, ledger in tiers.ledgers.items()
        if set(ledger.parties) <= set(names)
    }
    organizations = {name: tiers.organizations[name] for name in names}
    return tiers.model_copy(update={"organizations": organizations, "ledgers": ledgers})


@pytest.mark.timeout(1_200)
async def test_agents_of_three_tiers_killed_in_the_course_of_a_purchase_end_it_once(tmp_path):
    async with open_market(chain_of_three(), tmp_path / "net") as (market, network):
        rounds = Rounds(market, network, [SHORT])
        await rounds.play()
        planned = {key: {f"{key[1]}/{one}" for one in ones} for key, ones in SHORT_KILLS.items()}
        for number, (key, boundary) in enumerate((key, one) for key, ones in SHORT_KILLS.items() for one in ones):
            network.files[key].plan(f"{key[1]}/{boundary}", forgets=number % FORGETS_EVERY == 0)
        await rounds.play()
        give_up = time.monotonic() + SETTLED_WITHIN_S
        while (died := {key: network.files[key].died() for key in SHORT_KILLS}) != planned:
            assert time.monotonic() < give_up, (died, planned)
            await asyncio.sleep(0.5)
        assert rounds.problems == []
        assert sum(sum(files.ends()) for files in network.files.values()) >= 1
        assert_no_duty_broke(network)


@pytest.mark.soak
@pytest.mark.timeout(3_600)
async def test_agents_of_three_tiers_killed_at_every_boundary_end_as_if_nothing_had_happened(tmp_path):
    async with open_market(cast(stocks_of(PLAYS, ROUNDS)), tmp_path / "net") as (market, network):
        rounds = Rounds(market, network, PLAYS)
        await rounds.play()
        kills = Kills(network.files)
        news = True
        while kills.left and news and rounds.number < ROUNDS:
            before = len(kills.killed)
            kills.plan()
            await rounds.play()
            kills.take_stock()
            news = len(kills.killed) > before
            print(f"  killed at {len(kills.killed)}, left {len(kills.left)}", flush=True)
        report(kills, network.files)
        assert rounds.problems == []
        assert kills.steady <= set(kills.killed)
        assert len(kills.killed) >= KILLED_MIN
        assert_no_duty_broke(network)


def assert_no_duty_broke(network):
    for (organization, role), files in network.files.items():
        log = files.log.read_text() if files.log.exists() else ""
        assert "agent_duty_broken" not in log, (organization, role)
        assert "Traceback" not in log, (organization, role)


def wake(network):
    """Every other agent goes on as if no time had passed; the others are killed, and have lost their cursors."""
    for number, ((organization, role), files) in enumerate(sorted(network.files.items())):
        if number % 2:
            network.thaw(organization, "agent", role)
        else:
            files.lose_cursors()
            network.kill(organization, "agent", role)


@pytest.mark.soak
@pytest.mark.req("X-09")
@pytest.mark.timeout(1_800)
async def test_agents_that_slept_while_windows_ended_and_lost_their_cursors_find_what_is_left_to_do(tmp_path):
    async with open_market(cast(stocks_of([ASLEEP], 1)), tmp_path / "net", dying=False) as (market, network):
        before = await documents(market)
        began = time.monotonic()
        traders = network.topology.traders()
        slept = await fall_asleep(
            market, place_of(ASLEEP.name, 0), lambda: [network.freeze(one, "agent") for one in traders]
        )
        asleep_s = time.monotonic() - began
        wake(network)
        buyer, _ = await market.between("acme", "alpha")
        await market.ordered_until("acme", "alpha", slept.patient, "activated", within_s=300)
        # Its sellers' windows ended in the pause, too: who asks for time first decides whether it is delivered or given up.
        await market.until(
            buyer, "order", slept.undelivered.id, lambda one: one.status in ("activated", "failed"), "its end", 300
        )
        await market.until(buyer, "inquiry", slept.unanswered.id, lambda one: one.late_quote_id, "a late quote", 300)
        unable = await market.until(
            buyer, "inquiry", slept.unasked.id, lambda one: one.answered_at_ms, "an answer", 300
        )
        assert unable.unable_reason == "WINDOW_TOO_SHORT"
        found = await settled(market, before)
        assert open_ends(found) == []
        assert_once(found)
        assert_booked_is_in_operation(network, await documents(market))
        assert found["acme-alpha", "order", slept.unaccepted.id].status == "rejected"
        assert {str(r.status) for (_, k, _), r in found.items() if k == "order_handover"} <= {
            "activated",
            "rejected",
            "failed",
            "cancelled",
        }
        print(
            f"asleep for {asleep_s:.0f} s, ended {time.monotonic() - began - asleep_s:.0f} s after; {len(found)} documents"
        )
        assert_no_duty_broke(network)
