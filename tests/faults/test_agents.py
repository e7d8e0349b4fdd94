"""Real agents at a real node, killed by SIGKILL at each boundary that a purchase passes: every one ends once, as if nothing had been.

alpha's node has its internal ledger and one with acme, whose people buy through it. Its four agents are processes.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace

import pytest

from ledgers.client import Act, Client
from node.agents.boundaries import boundaries
from node.agents.roster import DUTIES
from node.configuration import AGENT_ROLES
from smartcontracts.inquiry import InquiryStatus, SubmitInquiry
from smartcontracts.lineage import ancestors_of
from smartcontracts.order import PlaceOrder
from smartcontracts.proposal import AcceptProposal, Propose, act_of
from smartcontracts.trade import QuoteLevel
from tests.faults.harness import until
from tests.node.network import ROOT, Org, RunningNode, found, write_config
from tests.smartcontracts.trading import LINEAGE_KEY, SINGLE, TERMS, product

pytestmark = [pytest.mark.network, pytest.mark.timeout(1_500)]
WINDOW_MS = 900_000
PATIENCE_S = 180
# What every purchase passes that is served from own resources, at least.
ALWAYS = {
    f"{duty}/{moment}"
    for duty, purposes in {
        "s_bus/hand_over_inquiry": ("hand_over",),
        "s_bus/answer_inquiry": ("release",),
        "s_bus/carry_release": ("carry", "record"),
        "sco/decide_inquiry": ("decompose", "assess"),
        "sof/answer_queries": ("answer",),
        "s_bus/hand_over_order": (),
        "sof/confirm_elements": (),
        "s_bus/answer_order": (),
        "sco/request_activation": (),
        "sco/chain_elements": (),
        "sof/test_chain": (),
        "s_bus/announce_activation": (),
    }.items()
    for moment in ("taken", *(f"{when}/{purpose}" for when in ("before", "after") for purpose in purposes))
}
INVENTORY = {
    "currency": "EUR",
    "pool": [
        {
            "id": "rome",
            "offerings": ["port"],
            "capacity": 1_000,
            "lead_time_ms": 1_000,
            "cost": {"non_recurring": "10.00", "recurring": "5.00", "period": "month"},
        }
    ],
}


class AgentProcess:
    """One agent, perhaps one that will kill itself."""

    def __init__(self, role, config, folder):
        self.role, self.config = role, config
        self.journal = folder / f"{role}.journal"
        self.log = folder / f"{role}.log"
        self.process = None

    def start(self, kill_at=""):
        environment = {
            **os.environ,
            "PYTHONPATH": f"{ROOT}:{ROOT / 'proto' / 'gen'}",
            "SYNGRAPH_TEST_JOURNAL": str(self.journal),
            "SYNGRAPH_TEST_KILL_AT": kill_at,
        }
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tests.faults.killed_agent", self.role, "--config", str(self.config)],
                cwd=ROOT,
                env=environment,
                stdout=log,
                stderr=log,
            )

    @property
    def code(self):
        """The exit code; None while it runs."""
        return self.process.poll()

    def stop(self):
        if self.code is None:
            self.process.terminate()
        try:
            return self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()

    def passed(self):
        lines = self.journal.read_text().splitlines() if self.journal.exists() else []
        return [line.split(" ")[0] for line in lines]


class Scene:
    def __init__(self, folder, *, in_node=False):
        self.acme, self.alpha = Org.make("acme", folder), Org.make("alpha", folder)
        trade = found("acme-alpha", "bilateral", folder, [self.alpha], guests=(self.acme,))
        own = found("alpha-int", "internal", folder, [self.alpha])
        config = write_config(self.alpha, [trade, own])
        self.inventory = self.alpha.folder / "inventory.json"
        self.inventory.write_text(json.dumps(INVENTORY))
        lines = [
            "[agents]",
            f"in_node = {str(in_node).lower()}",
            'provisioning = "reference"',
            'provisioning_file = "inventory.json"',
        ]
        for role in AGENT_ROLES:
            lines += [
                f"[agents.{role}]",
                f'signer = "{self.alpha.signer.name}"\nsigning_key = "signing.key"',
                'certificate = "member.pem"\nkey = "member.key"',
            ]
        config.write_text(config.read_text() + "\n".join(lines) + "\n")
        self.node = RunningNode(self.alpha, config)
        self.agents = {role: AgentProcess(role, config, folder) for role in AGENT_ROLES}
        self.asked = []
        # By inquiry.
        self.orders = {}

    def client(self, org):
        return Client(f"127.0.0.1:{self.alpha.grpc_port}", org.credentials(self.alpha.authority))

    async def open(self):
        self.buyer = self.client(self.acme)
        self.seller = self.client(self.alpha)
        self.trade = await self.buyer.ledger("acme-alpha")
        self.own = await self.seller.ledger("alpha-int")
        terms = replace(TERMS, response_window_ms=600_000, response_window_min_ms=10_000)
        propose = Act(name="propose", command=Propose(act=act_of("agreement_terms", terms), valid_for_ms=60_000))
        accepted = await self.trade.submit([propose], [self.acme.signer])
        proposal = (await self.trade.get("proposal", accepted.documents[0].id)).body
        accept = AcceptProposal(proposal_id=proposal.id, act_sha256=proposal.act_sha256)
        ledger = await self.seller.ledger("acme-alpha")
        receipt = await ledger.submit([Act(name="accept_proposal", command=accept)], [self.alpha.signer])
        self.agreement_id = next(d.id for d in receipt.documents if d.kind == "agreement")

    async def ask(self):
        number = len(self.asked) + 1
        command = SubmitInquiry(
            seller=self.alpha.id,
            agreement_id=self.agreement_id,
            level=QuoteLevel.FIRM,
            items=(replace(SINGLE, product=product("port", place="rome", sls=True, mbps=number)),),
            lineage_key=LINEAGE_KEY[:-1] + bytes([number]),
            ancestors=ancestors_of(LINEAGE_KEY[:-1] + bytes([number]), self.acme.id),
        )
        receipt = await self.trade.submit([Act(name="submit_inquiry", command=command)], [self.acme.signer])
        self.asked.append(next(d.id for d in receipt.documents if d.kind == "inquiry"))
        return self.asked[-1]

    async def is_quoted(self, inquiry_id):
        return (await self.trade.get("inquiry", inquiry_id)).body.status == InquiryStatus.QUOTED

    async def is_settled(self, inquiry_id):
        """Quoted out there, and closed inside."""
        if not await self.is_quoted(inquiry_id):
            return False
        handovers = [d.body async for d in self.own.list("inquiry_handover") if d.body.inquiry.id == inquiry_id]
        return [handover.status for handover in handovers] == ["quoted"]

    async def is_bought(self, inquiry_id):
        """As a customer goes on: the quote is ordered once it is there; then until the order is activated, also inside."""
        if inquiry_id not in self.orders:
            if not await self.is_settled(inquiry_id):
                return False
            await self._order(inquiry_id)
        order = (await self.trade.get("order", self.orders[inquiry_id])).body
        assert order.status in {"placed", "accepted", "activated"}, order.reason
        inside = [d.body.status async for d in self.own.list("order_handover", related=order.id)]
        return order.status == "activated" and inside == ["activated"]

    async def _order(self, inquiry_id):
        inquiry = (await self.trade.get("inquiry", inquiry_id)).body
        command = PlaceOrder(quote_id=inquiry.quote_id, acceptance_window_ms=WINDOW_MS, activation_window_ms=WINDOW_MS)
        receipt = await self.trade.submit([Act(name="place_order", command=command)], [self.acme.signer])
        self.orders[inquiry_id] = next(d.id for d in receipt.documents if d.kind == "order")

    async def kill_at(self, boundary):
        """Whether the agent died there, in the course of a purchase; then it lives again, and dies nowhere."""
        agent = self.agents[boundary.partition("/")[0]]
        agent.stop()
        agent.start(kill_at=boundary)
        inquiry_id = await self.ask()
        what = f"{boundary} for {inquiry_id}"
        if boundary in ALWAYS:
            # What comes last may come when all has been bought.
            await until(lambda: self._buys_until(agent, inquiry_id, bought=False), PATIENCE_S, what)
        else:
            await until(lambda: self._buys_until(agent, inquiry_id, bought=True), PATIENCE_S, what)
        died = agent.stop() == -signal.SIGKILL
        agent.start()
        return died

    async def _buys_until(self, agent, inquiry_id, *, bought):
        """Whether the agent has died; or, if asked for, whether all is bought. The customer goes on all the while."""
        is_bought = agent.code is None and await self.is_bought(inquiry_id)
        return agent.code is not None or (bought and is_bought)

    async def close(self):
        await self.buyer.close()
        await self.seller.close()


@pytest.fixture
def scene(tmp_path):
    scene = Scene(tmp_path)
    scene.node.start()
    try:
        scene.node.wait_ready()
        for agent in scene.agents.values():
            agent.start()
        yield scene
    finally:
        codes = [agent.stop() for agent in scene.agents.values() if agent.process is not None]
        assert scene.node.stop() == 0
    # One that had hardly begun knows no orderly end yet.
    assert set(codes) <= {0, -signal.SIGTERM}, [agent.log.read_text()[-2_000:] for agent in scene.agents.values()]


async def test_agents_killed_at_each_boundary_of_a_purchase_do_each_once(scene):
    await scene.open()
    first = await scene.ask()
    await until(lambda: scene.is_bought(first), PATIENCE_S, "a purchase without any kill")
    passed = {boundary for agent in scene.agents.values() for boundary in agent.passed()}
    assert passed >= ALWAYS
    every = [str(one) for duties in DUTIES.values() for one in boundaries(duties)]
    died = [boundary for boundary in every if boundary in passed and await scene.kill_at(boundary)]
    print(f"{len(every)} boundaries, {len(passed)} passed by a purchase, {len(died)} kills at one")
    assert set(died) >= ALWAYS
    for inquiry_id in scene.asked:
        await until(lambda: scene.is_bought(inquiry_id), PATIENCE_S, f"{inquiry_id} after all kills")  # noqa: B023
    await assert_each_done_once(scene)
    await assert_each_bought_once(scene)
    await scene.close()


async def assert_each_done_once(scene):
    inquiries = [d.body async for d in scene.trade.list("inquiry")]
    quotes = [d.body async for d in scene.trade.list("quote")]
    assert sorted(quote.inquiry_id for quote in quotes) == sorted(scene.asked)
    assert {quote.id for quote in quotes} == {inquiry.quote_id for inquiry in inquiries}
    for kind in ("inquiry_handover", "decomposition", "assessment"):
        documents = [d.body async for d in scene.own.list(kind)]
        assert len(documents) == len(scene.asked), kind
    releases = {d.body.sha256: d.body async for d in scene.own.list("release") if d.body.act == "issue_quote"}
    assert {quote.releases[0]: quote.id for quote in quotes} == {
        sha256: release.outcome_id for sha256, release in releases.items()
    }
    assert {release.status for release in releases.values()} == {"carried"}


async def assert_each_bought_once(scene):
    orders = {d.id: d.body async for d in scene.trade.list("order")}
    services = [d.body async for d in scene.trade.list("service")]
    assert sorted(orders) == sorted(scene.orders.values())
    assert sorted(service.order_id for service in services) == sorted(orders)
    assert {service.status for service in services} == {"in_operation"}
    handovers = [d.body async for d in scene.own.list("order_handover")]
    assert len(handovers) == len(orders)
    elements = [d.body async for d in scene.own.list("service_element")]
    assert [element.status for element in elements] == ["chained"] * len(orders)
    assert len([d async for d in scene.own.list("inventory_service")]) == len(orders)
    # One acceptance and one activation of each order, both released.
    released = {d.body.sha256 async for d in scene.own.list("release")}
    for order in orders.values():
        assert len(order.releases) == 2
        assert set(order.releases) <= released


async def test_agents_started_an_hour_late_or_without_their_cursors_find_what_is_open(scene):
    await scene.open()
    for agent in scene.agents.values():
        agent.stop()
    while_away = [await scene.ask() for _ in range(2)]
    for role, agent in scene.agents.items():
        folder = scene.alpha.folder / "data" / "agents" / role / "cursors"
        for cursor in folder.glob("*.cursor"):
            cursor.unlink()
        agent.start()
    for inquiry_id in while_away:
        await until(lambda: scene.is_settled(inquiry_id), PATIENCE_S, inquiry_id)  # noqa: B023
    await assert_each_done_once(scene)
    await scene.close()


async def test_agents_in_the_node_work_and_one_that_fails_leaves_the_others_and_the_node_alone(tmp_path):
    scene = Scene(tmp_path, in_node=True)
    scene.inventory.write_text("{")
    scene.node.start()
    try:
        scene.node.wait_ready()
        await scene.open()
        inquiry_id = await scene.ask()

        def failed():
            return [event for event in scene.node.events() if event["event"] == "agent_not_started"]

        told = await until(failed, 90, "SOF cannot start")
        assert {event["agent"] for event in told} == {"sof"}
        assert "agents.provisioning_file: " in told[0]["problems"][0]
        assert not await scene.is_quoted(inquiry_id)
        scene.inventory.write_text(json.dumps(INVENTORY))
        await until(lambda: scene.is_settled(inquiry_id), PATIENCE_S, "SOF starts once its inventory is mended")
        await scene.close()
    finally:
        assert scene.node.stop() == 0
    log = scene.node.log.read_text()
    assert "Traceback" not in log
    stopped = {event["agent"] for event in scene.node.events() if event["event"] == "agent_stopped"}
    assert stopped == set(AGENT_ROLES)
    assert "rome" not in log  # what was asked for is no log's business
