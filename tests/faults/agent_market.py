"""The three-tier market with every agent a process of its own that can be told where to die, and what must be alike in the end.

acme buys of alpha, alpha of bravo and charlie, bravo of delta. charlie asks nobody, so that which of two ways a request
takes, and so the outcome, is the same each time.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import sqlite3
import sys
import time
from collections import Counter
from contextlib import asynccontextmanager, closing
from pathlib import Path

from ledgers.kinds import VERSIONS, contract_table
from localnet.material import agent_roles
from localnet.network import Network
from localnet.processes import AGENT
from localnet.topology import load_topology
from node.process import KeptProcess
from scripts.story.goods import inventory
from scripts.story.market import Market
from scripts.story.network import LocalNetwork
from scripts.story.rehearsal import pairs_of
from scripts.story.scene import Stage
from scripts.story.telling import Teller
from scripts.story.terms import tier_terms
from tests.faults.killed_agent import DIED, FORGETS, marker

ALPHA, CHARLIE = "alpha", "charlie"
# Nothing of what agents do stands on these: as far as they are concerned, fewer processes are the same market.
LEFT_OUT_LEDGER, LEFT_OUT_ORGANIZATION = "omni", "ofcom"
# Who is a member, under which rules, and how each answers over time: not what a process ends with.
STANDING = frozenset(
    ("organization", "member", "sys", "proposal", "agreement", "sourcing_rules", "response_record", "counterparty")
)
POLICIES = {"failures_max": 2, "maintenance_notice_ms": 30_000}
BOOKINGS = "bookings.sqlite"
TAKEN_UP = re.compile(r"agent_ledger_taken_up .*\bledger=(\S+)")
TAKEN_UP_WITHIN_S = 240


class AgentFiles:
    """What the test and one agent tell each other: where to die, what was passed."""

    def __init__(self, role, folder, data):
        self.kills = folder / "kills" / role
        self.kills.mkdir(parents=True, exist_ok=True)
        self.journal = folder / f"{role}.journal"
        self.log = folder / f"agent-{role}.log"
        self.cursors = data / "agents" / role / "cursors"
        self._loses = False
        self._read = 0

    def plan(self, boundary, *, forgets=False):
        """It dies there the next time, and its cursors are deleted before it is back if it `forgets`."""
        chosen = marker(self.kills, boundary)
        # There at once with what it says: the agent looks all the time.
        staged = chosen.with_name(f".{chosen.name}")
        staged.write_text(FORGETS if forgets else "")
        staged.rename(chosen)

    def passed(self):
        """Boundaries that were passed since the last call."""
        lines = self.journal.read_text().splitlines()[self._read :] if self.journal.exists() else []
        self._read += len(lines)
        return {line.split(" ")[0] for line in lines}

    def died(self):
        return {path.name.removesuffix(DIED).replace("+", "/") for path in self.kills.glob(f"*{DIED}")}

    def ends(self):
        """How many cursors were lost with each end."""
        path = self.journal.with_suffix(".ends")
        return [int(line) for line in path.read_text().split()] if path.exists() else []

    def forget_plans(self):
        """Take back kills that nothing came to."""
        for path in self.kills.iterdir():
            path.unlink(missing_ok=True)

    def taken_up(self):
        """Names of the ledgers that the agent has begun to follow."""
        return set(TAKEN_UP.findall(self.log.read_text())) if self.log.exists() else set()

    def lose_cursors(self):
        """With the next end that its network's keeper sees."""
        self._loses = True

    def ended(self):
        """Told by that keeper: the process has gone, and is not started again yet."""
        if self._loses:
            self._loses = False
            for cursor in self.cursors.glob("*.cursor"):
                cursor.unlink()


class KillableNetwork(Network):
    """A network whose agents die where they are told, and are started again; unless `dying`, they may be stopped, too."""

    def __init__(self, topology, directory, *, dying):
        super().__init__(topology, directory)
        self.dying = dying
        self.files = {}

    def _run_agents(self, organization):
        roles = agent_roles(self.topology, organization)
        folder = self.material.files(organization).folder
        if roles:
            self._write_policies(organization, folder)
        for role in roles:
            if (organization, role) in self._agents:
                continue
            files = self.files.setdefault(
                (organization, role), AgentFiles(role, folder, self.material.files(organization).data)
            )
            program = (sys.executable, "-m", "tests.faults.killed_agent", role, "--config", str(folder / "agents.toml"))
            kills = ("--kills", str(files.kills)) if self.dying else ()
            kept = KeptProcess(
                f"agent-{organization}-{role}",
                (*program, "--journal", str(files.journal), *kills),
                folder / f"{AGENT}{role}.pid",
                on_line=lambda line, log=files.log: append(log, line),
                after_exit=files.ended,
                log=self._log,
            )
            self._agents[organization, role] = kept, asyncio.create_task(kept.run())

    def _write_policies(self, organization, folder):
        settings = "".join(f"{name} = {value}\n" for name, value in POLICIES.items())
        if organization == CHARLIE:
            settings += "[[seller]]\norganizations = []\n"
        (folder / "policies.toml").write_text(settings)
        config = (folder / "syngraph.toml").read_text()
        assert "\n[agents]\n" in config
        (folder / "agents.toml").write_text(
            config.replace("\n[agents]\n", '\n[agents]\npolicy_file = "policies.toml"\n', 1)
        )


def append(log, line):
    with log.open("a") as file:
        file.write(line + "\n")


def cast(stocks):
    """The topology "tiers" with these inventories (by organization, each a list of stocks) and agents apart."""
    topology = load_topology("tiers")
    organizations = {name: entry for name, entry in topology.organizations.items() if name != LEFT_OUT_ORGANIZATION}
    for name in topology.traders():
        stock = inventory(stocks.get(name, ()), makes_lines=name == ALPHA)
        organizations[name] = organizations[name].model_copy(update={"inventory": stock})
    ledgers = {
        name: ledger.model_copy(update={"granted": ()})
        for name, ledger in topology.ledgers.items()
        if name != LEFT_OUT_LEDGER
    }
    return topology.model_copy(update={"organizations": organizations, "ledgers": ledgers, "agents": "processes"})


@asynccontextmanager
async def open_market(topology, directory, *, dying=True):
    """The market, with its agreements; every process has ended in the end."""
    network = KillableNetwork(topology, directory, dying=dying)
    await network.start(timeout_s=300)
    try:
        await all_taken_up(network)
        story = LocalNetwork(network)
        try:
            market = Market(Stage(story, Teller(quiet=True)), pairs_of(network.topology))
            await market.open(tier_terms)
            yield market, network
        finally:
            await story.close()
    finally:
        await network.stop()


async def all_taken_up(network):
    """Until each agent follows all its ledgers: how long a node takes to show them is not what the plays are about."""
    give_up = time.monotonic() + TAKEN_UP_WITHIN_S
    ledgers = network.topology.ledgers
    while True:
        missing = {
            (*key, name)
            for key, files in network.files.items()
            for name, ledger in ledgers.items()
            if key[0] in ledger.parties and name not in files.taken_up()
        }
        if not missing:
            return
        assert time.monotonic() < give_up, f"not taken up: {sorted(missing)}"
        await asyncio.sleep(0.5)


# Outcomes


async def documents(market):
    """All documents by (ledger, kind, id), each as its ledger's own node has it: bilateral ones as the seller's."""
    seats = [await market.seat(pair[1], ledger) for ledger, pair in market.pairs.items()]
    seats += [await market.internal(name) for name in market.traders]
    found = {}
    for seat in seats:
        kinds = sorted(set(contract_table(seat.ledger.kind, VERSIONS[-1]).kinds) - STANDING)
        for kind, records in zip(kinds, await asyncio.gather(*map(seat.all, kinds)), strict=True):
            found |= {(seat.ledger_name, kind, record.id): record for record in records}
    return found


def tally(found, *, loose=()):
    """How many documents of a kind have a status, on each ledger; releases also by their act, but for the `loose` ones."""
    counted = Counter()
    for (ledger, kind, _), record in found.items():
        act = str(record.act) if kind == "release" else ""
        if act in loose or kind in loose:
            continue
        counted[ledger, kind, act, str(getattr(record, "status", ""))] += 1
    return counted


def differences(expected, found):
    """What is there too often, or not often enough; for people."""
    return [
        f"{' '.join(filter(None, key))}: {found[key]} instead of {expected[key]}"
        for key in sorted(set(expected) | set(found))
        if expected[key] != found[key]
    ]


def assert_once(found):
    """Nothing was done twice: what a release let out is one document's, and each cause has one effect."""
    released = {record.sha256: record for (_, kind, _), record in found.items() if kind == "release"}
    holders = Counter(
        sha256
        for (_, kind, _), record in found.items()
        if kind != "release"
        for sha256 in getattr(record, "releases", ())
    )
    assert set(holders.values()) <= {1}, "an act stands in two documents, or twice in one"
    for sha256, release in released.items():
        if release.status == "carried":
            changed = next(
                (
                    record
                    for key, record in found.items()
                    if key[1:] and key[2] == release.outcome_id and key[1] != "release"
                ),
                None,
            )
            assert changed is not None, f"{release.act} has no outcome"
            if hasattr(changed, "releases"):
                assert holders[sha256] == 1, f"{release.act} left no trace"
        elif release.status in ("refused", "void"):
            assert holders[sha256] == 0, f"{release.act} was {release.status}, and is out"
    for kind, cause in (
        ("quote", lambda one: (one.inquiry_id, one.late)),
        ("order", lambda one: one.quote_id),
        ("service", lambda one: one.order_id),
        ("inquiry_handover", lambda one: (one.ledger_id, one.inquiry.id)),
        ("order_handover", lambda one: (one.ledger_id, one.order_id)),
        ("inventory_service", lambda one: (one.ledger_id, one.service_id)),
    ):
        causes = Counter((key[0], cause(record)) for key, record in found.items() if key[1] == kind)
        assert set(causes.values()) <= {1}, f"two of kind {kind} for one cause"


def open_ends(found):
    """What is still under way, for people; nothing once all has ended."""
    running = {
        "release": ("open", "void"),
        "inquiry_handover": ("in_assessment", "internal_known", "sourcing", "collected", "to_quote", "to_refuse"),
        "service_element": ("releasing", "cancelling", "sourcing"),
        "sourcing": ("open", "asked"),
        "sof_query": ("asked",),
        "order_handover": (
            "checking_internal",
            "ordering_external",
            "accepted",
            "to_reject",
            "in_delivery",
            "to_chain",
            "testing",
            "to_activate",
            "recovery",
            "overdue",
            "extension_requested",
            "abandoning",
            "to_fail",
        ),
        "change_plan": ("planned", "agreed", "begun"),
        "inquiry": ("received",),
        "order": ("placed", "accepted", "overdue", "extension_requested"),
    }
    return [
        f"{ledger} {kind} {document_id} is {record.status}"
        for (ledger, kind, document_id), record in found.items()
        if str(getattr(record, "status", "")) in running.get(kind, ())
        and not (kind == "release" and record.status == "void" and record.refusal_code)
    ]


def assert_booked_is_in_operation(network, found):
    """What a provider's inventory holds in the end is what its services are made of: not a unit more, none less."""
    for organization in network.topology.traders():
        wanted = {
            element.reservation_id
            for (ledger, kind, _), record in found.items()
            if (ledger, kind) == (f"{organization}-internal", "inventory_service") and record.status == "in_operation"
            for element in record.elements
            if element.source == "internal"
        }
        assert booked(network, organization) == wanted, organization


def booked(network, organization):
    """Ids of what the organization's inventory holds now."""
    path = network.material.files(organization).data / "agents" / "sof" / BOOKINGS
    if not path.exists():
        return set()
    now_ms = time.time_ns() // 1_000_000
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        rows = connection.execute("SELECT id, status, until_ms FROM booking WHERE status <> 'released'").fetchall()
    return {row[0] for row in rows if row[1] != "reserved" or row[2] >= now_ms}


def environment():
    """What `python -m tests.faults.killed_agent` needs to find all packages."""
    root = Path(__file__).parents[2]
    return os.pathsep.join((str(root), str(root / "proto" / "gen")))


def as_json(counted):
    return json.dumps({" ".join(filter(None, key)): count for key, count in sorted(counted.items())}, indent=1)
