"""Agents as processes: the command that starts one, its cursors, its clock, and what a member's connection shows it."""

import asyncio
import stat
import sys
import time
from dataclasses import dataclass

import pytest
from click.testing import CliRunner

from ledgers.client import ClientError, NodeUnreachable, Receipt, Refused, TimedOut
from node.__main__ import main as daemon
from node.agents.client_ports import (
    SLOW_MS,
    WAITING_ON_SLOW_MAX,
    ClientNode,
    ClientPort,
    FileCursors,
    LedgerSlow,
    SystemClock,
)
from node.agents.process import run_agent
from node.cli import main
from node.configuration import AgentsSection, ConfigurationWrong
from smartcontracts.kernel import Position, Role
from tests.node.agents.harness import refused
from tests.node.network import Org


class Started(Exception):
    pass


def test_the_command_becomes_the_agents_own_program(monkeypatch, tmp_path):
    def become(program, arguments):
        raise Started(program, arguments)

    monkeypatch.setattr("os.execv", become)
    config = str(tmp_path / "a.toml")
    called = CliRunner().invoke(main, ["agent", "sof", "--config", config, "--set", "log.format=json"])
    program, arguments = called.exception.args
    assert program == sys.executable
    assert arguments[1:] == ["-m", "node", "agent", "sof", "--config", config, "--set", "log.format=json"]


def test_invalid_role_is_refused_by_the_command():
    called = CliRunner().invoke(main, ["agent", "janitor"])
    assert called.exit_code == 2
    assert "'janitor' is not one of 's_bus', 'b_bus', 'sco', 'sof'" in called.output


def test_invalid_configuration_ends_the_program_with_a_sentence(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("node.__main__.configure_logs", lambda *_: None)  # it would outlive the test
    file = tmp_path / "a.toml"
    file.write_text("[agents]\n")
    assert daemon(["agent", "sof", "--config", str(file)]) == 3
    assert "agents.sof: say as which member this agent acts." in capsys.readouterr().err


def test_cursors_survive_a_restart_and_what_cannot_be_read_counts_for_none(tmp_path):
    cursors = FileCursors(tmp_path / "cursors")
    assert stat.S_IMODE((tmp_path / "cursors").stat().st_mode) == 0o700
    assert cursors.read("sg_a") == ""
    cursors.write("sg_a", "12/3")
    cursors.write("sg_b", "4/5")
    assert FileCursors(tmp_path / "cursors").read("sg_a") == "12/3"
    (tmp_path / "cursors" / "sg_a.cursor").write_bytes(b"\xff\xfe")
    assert cursors.read("sg_a") == ""
    (tmp_path / "cursors" / "sg_b.cursor").write_bytes(b"9" * 1_000_000)
    assert len(cursors.read("sg_b")) <= 64


def test_a_cursor_that_cannot_be_written_is_no_failure(tmp_path):
    cursors = FileCursors(tmp_path / "cursors")
    (tmp_path / "cursors").rmdir()
    cursors.write("sg_a", "12/3")
    assert cursors.read("sg_a") == ""


async def test_the_clock_waits_for_news_or_for_its_time():
    clock, news = SystemClock(), asyncio.Event()
    began = time.monotonic()
    await clock.wait(news, clock.now_ms() + 30)
    assert time.monotonic() - began >= 0.025
    await clock.wait(news, clock.now_ms() - 5_000)
    news.set()
    await clock.wait(news, None)
    await clock.wait(news, clock.now_ms() + 60_000)
    assert time.monotonic() - began < 50


async def test_invalid_second_agent_of_one_role_on_one_folder(tmp_path):
    org = Org.make("alpha", tmp_path)
    folder = org.folder
    section = AgentsSection(
        node="127.0.0.1:1",
        ca_certificate=folder / "ca.pem",
        folder=tmp_path / "agents",
        s_bus={
            "signer": org.signer.name,
            "signing_key": folder / "signing.key",
            "certificate": folder / "member.pem",
            "key": folder / "member.key",
        },
    )
    first = asyncio.ensure_future(run_agent(section, Role.S_BUS))
    await asyncio.sleep(0.1)
    with pytest.raises(ConfigurationWrong, match="an agent s_bus runs on"):
        await run_agent(section, Role.S_BUS)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first


# What a member's connection shows


@dataclass
class Status:
    ledger_id: str
    kind: str
    contracts_version: int = 1


@dataclass
class Party:
    id: str
    position: Position


class FakeLedger:
    def __init__(self, status, failure=None, organizations=()):
        self.id, self.name, self.kind = status.ledger_id, status.ledger_id, status.kind
        self.contracts_version = status.contracts_version
        self.failure, self.organizations = failure, organizations
        self.asked = []

    async def get(self, kind, document_id):
        raise self.failure

    async def list(self, kind, **filters):
        self.asked.append((kind, filters))
        for one in self.organizations:
            yield type("Document", (), {"body": one, "id": f"id of {one}"})


class FakeClient:
    def __init__(self, *statuses):
        self.statuses = list(statuses)
        self.opened = []
        self.away = []
        self.starting = False
        self.changed = asyncio.Event()

    async def watch_ledgers(self):
        while True:
            self.changed.clear()
            yield type("WatchedLedgers", (), {"ledgers": tuple(self.statuses), "starting": self.starting})
            await self.changed.wait()

    async def ledger(self, name):
        if name in self.away:
            raise NodeUnreachable(name)
        self.opened.append(name)
        return FakeLedger(next(status for status in self.statuses if status.ledger_id == name))


SIGNER = type("Signer", (), {"name": "org_a/mbr_1"})


async def test_a_document_that_is_not_there_is_none_and_every_other_refusal_is_raised():
    port = ClientPort(
        FakeLedger(Status("sg_a", "internal"), refused("DOCUMENT_UNKNOWN", 8003, transient=False)), SIGNER
    )
    assert await port.get("order", "ord_1") is None
    port.ledger.failure = refused()
    with pytest.raises(Refused):
        await port.get("order", "ord_1")
    port.ledger.failure = ClientError("odd")
    with pytest.raises(ClientError):
        await port.get("order", "ord_1")


async def test_a_ledger_that_makes_no_blocks_holds_two_of_an_agents_calls_and_no_more():
    """With the calls of all its releases waiting for one halted ledger, an agent served no other partner."""
    now_ms, answers = [0], []

    class Halted(FakeLedger):
        async def submit(self, *_, **__):
            answers.append(asyncio.get_running_loop().create_future())
            return await answers[-1]

    port = ClientPort(Halted(Status("sg_b", "bilateral")), SIGNER, lambda: now_ms[0])
    calls = [asyncio.ensure_future(port.submit((), purpose="carry")) for _ in range(5)]
    await asyncio.sleep(0)
    assert len(answers) == 5
    now_ms[0] = SLOW_MS
    for answer in answers:
        answer.set_exception(TimedOut("no block"))
    assert all(isinstance(error, TimedOut) for error in await asyncio.gather(*calls, return_exceptions=True))
    answers.clear()
    waiting = [asyncio.ensure_future(port.submit((), purpose="carry")) for _ in range(WAITING_ON_SLOW_MAX)]
    await asyncio.sleep(0)
    with pytest.raises(LedgerSlow):
        await port.submit((), purpose="carry")
    assert len(answers) == WAITING_ON_SLOW_MAX
    # A block, and all may submit again.
    receipt = Receipt(ledger_id="sg_b", height=7, documents=())
    answers[0].set_result(receipt)
    assert await waiting[0] is receipt
    again = [asyncio.ensure_future(port.submit((), purpose="carry")) for _ in range(5)]
    await asyncio.sleep(0)
    assert len(answers) == WAITING_ON_SLOW_MAX + 5
    for task in (*waiting[1:], *again):
        task.cancel()


async def test_only_filters_that_are_given_reach_the_node():
    port = ClientPort(FakeLedger(Status("sg_a", "internal"), organizations=("one",)), SIGNER)
    assert await port.list("order", status="placed", party="", related="") == ("one",)
    assert port.ledger.asked == [("order", {"status": "placed"})]
    assert await port.ids("order", created_until_ms=7, status="activated", related="") == ("id of one",)
    assert port.ledger.asked[1:] == [("order", {"created_until_ms": 7, "status": "activated"})]


async def test_ledgers_of_other_kinds_are_left_alone_and_a_port_stays_the_same():
    client = FakeClient(Status("sg_i", "internal"), Status("sg_o", "omni"), Status("sg_b", "bilateral"))
    node = ClientNode(client, SIGNER)
    told = node.ledgers()
    first = await anext(told)
    assert [port.id for port in first.ports] == ["sg_i", "sg_b"]
    assert not first.starting
    client.changed.set()
    assert await anext(told) == first
    assert client.opened == ["sg_i", "sg_b"]
    # Documents are read as its contracts' version has them.
    client.statuses[0].contracts_version = 2
    client.changed.set()
    assert (await anext(told)).ports[0] is first.ports[0]
    assert first.ports[0].ledger.contracts_version == 2
    await told.aclose()


async def test_a_ledger_that_does_not_answer_leaves_the_others_and_is_asked_for_anew():
    client = FakeClient(Status("sg_i", "internal"), Status("sg_b", "bilateral"))
    client.away.append("sg_i")
    node = ClientNode(client, SIGNER)
    told = node.ledgers()
    first = await anext(told)
    assert ([port.id for port in first.ports], first.starting) == (["sg_b"], True)
    with pytest.raises(NodeUnreachable):
        await anext(told)
    client.away.clear()
    again = await anext(node.ledgers())
    assert ([port.id for port in again.ports], again.starting) == (["sg_b", "sg_i"], False)


@pytest.mark.parametrize(
    ("positions", "expected"),
    [
        ({"org_a": Position.PARTY, "org_b": Position.PARTY, "org_n": Position.NEUTRAL}, "org_b"),
        ({"org_b": Position.PARTY, "org_c": Position.PARTY, "org_a": Position.NEUTRAL}, ""),
        ({"org_b": Position.PARTY, "org_c": Position.PARTY, "org_a": Position.OBSERVER}, ""),
    ],
)
async def test_the_counterparty_is_the_other_party_and_a_neutral_has_none(positions, expected):
    organizations = [Party(name, position) for name, position in positions.items()]
    port = ClientPort(FakeLedger(Status("sg_b", "bilateral"), organizations=organizations), SIGNER)
    assert await ClientNode(FakeClient(), SIGNER).counterparty(port) == expected


@pytest.mark.parametrize(("kind", "skipped"), [("internal", True), ("bilateral", False)])
async def test_only_on_the_own_ledger_a_refusal_may_come_in_a_block(kind, skipped):
    asked = []

    class Committing(FakeLedger):
        async def submit(self, _acts, _signers, **options):
            asked.append(options["skip_simulation"])
            return Receipt(ledger_id=self.id, height=3, transaction_id=b"t")

    await ClientPort(Committing(Status("sg_b", kind)), SIGNER).submit((), purpose="carry")
    assert asked == [skipped]
