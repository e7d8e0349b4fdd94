"""The node's own agents call its services without a connection: judged, refused and timed out as over gRPC."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import grpc
import pytest

from ledgers.client import Client, ClientError, NodeUnreachable, Refused, TimedOut
from node.api.access import Access, Changes
from node.api.inside import InsideCalls
from node.api.ledger_service import LedgerService
from node.api.node_service import NodeService
from node.application_client import ApplicationAway
from node.standing import Untrusted
from syngraph.v1 import application_pb2 as wire

PEM = b"-----BEGIN CERTIFICATE-----"
LEDGER = "sg_" + "a" * 32


class Standings:
    """Knows one certificate, and which were shown."""

    known = True

    def __init__(self, trusted=PEM):
        self.trusted, self.shown = trusted, []

    def identify(self, leaf, _now):
        self.shown.append(leaf)
        if leaf != self.trusted:
            raise Untrusted("a stranger's")
        return "org/member"


class Application:
    """Answers documents; its stream tells two cursors."""

    def __init__(self):
        self.ended = False

    async def get(self, request):
        if request.id == "away":
            raise ApplicationAway("secret words")
        if request.id == "slow":
            await asyncio.sleep(60)
        if request.id == "broken":
            raise ZeroDivisionError("secret words")
        return wire.GetResponse(height=7)

    async def stream_events(self, _request):
        try:
            for cursor in ("1/0", "2/0"):
                yield wire.StreamEventsResponse(cursor=cursor)
            await asyncio.sleep(60)
        finally:
            self.ended = True


class Link:
    ledger_id, name, halt, memberships = LEDGER, "shared", "", 1

    def __init__(self, standings):
        self.standings, self.application = standings, Application()
        self.version, self.away = 1, False

    async def read_status(self):
        if self.away:
            raise ApplicationAway("starting")
        return wire.LedgerStatus(kind="bilateral", contracts_version=self.version)

    async def ask(self, method, request):
        return await method(request)

    async def settled(self, _height):
        return


@pytest.fixture
def link():
    return Link(Standings())


def calls(link, certificate=PEM):
    access = Access({LEDGER: link})
    services = (LedgerService(access, commit_timeout_s=1.0), NodeService(access, "org_a", "1"))
    return InsideCalls(services, certificate)


def get(document_id="d"):
    return wire.GetRequest(ledger_id=LEDGER, kind="order", id=document_id)


async def test_a_call_is_answered_after_its_certificate_was_judged(link):
    answer = await calls(link).call("Get", get())
    assert answer.height == 7
    assert link.standings.shown == [PEM]


async def test_a_certificate_without_a_standing_is_refused_as_over_grpc(link):
    with pytest.raises(Refused) as caught:
        await calls(link, b"another").call("Get", get())
    assert (caught.value.detail.name, caught.value.status) == ("LEDGER_UNKNOWN", "NOT_FOUND")


async def test_methods_of_both_services_are_found(link):
    link.standings.trusted = b"another"
    found = await Client.through(calls(link)).node_status()
    assert (found.organization_id, found.ledgers) == ("org_a", ())


def watched(links, changes, certificate=PEM):
    service = NodeService(Access(links, changes), "org_a", "1")
    return Client.through(InsideCalls((service,), certificate)).watch_ledgers()


async def test_who_watches_is_told_of_a_ledger_at_once_and_of_nothing_that_is_as_it_was(link):
    links, changes = {LEDGER: link}, Changes()
    told = watched(links, changes)
    first = await anext(told)
    assert [(one.ledger_id, one.name, one.kind, one.halted) for one in first.ledgers] == [
        (LEDGER, "shared", "bilateral", False)
    ]
    assert not first.starting
    following = asyncio.ensure_future(anext(told))
    changes.tell()
    await asyncio.sleep(0.05)
    assert not following.done()
    link.memberships += 1
    changes.tell()
    assert (await asyncio.wait_for(following, 60)).ledgers[0].membership == 2
    other = Link(Standings())
    other.ledger_id = "sg_" + "b" * 32
    links[other.ledger_id] = other
    changes.tell()
    assert len((await asyncio.wait_for(anext(told), 60)).ledgers) == 2
    await told.aclose()


async def test_a_node_that_is_starting_says_so_and_tells_the_rest_when_it_knows(link):
    unknown = Link(Standings())
    unknown.standings.known = False
    unknown.standings.trusted = b""
    link.away = True
    told = watched({LEDGER: link, "sg_other": unknown}, Changes())
    first = await anext(told)
    assert (first.ledgers, first.starting) == ((), True)
    link.away = False
    second = await asyncio.wait_for(anext(told), 60)
    assert (len(second.ledgers), second.starting) == (1, True)
    unknown.standings.known = True
    third = await asyncio.wait_for(anext(told), 60)
    assert (len(third.ledgers), third.starting) == (1, False)
    await told.aclose()


async def test_a_ledger_that_has_halted_and_does_not_answer_is_not_waited_for(link):
    link.away, link.halt = True, "a reason"
    other = Link(Standings())
    other.ledger_id = "sg_" + "b" * 32
    told = watched({LEDGER: link, other.ledger_id: other}, Changes())
    first = await anext(told)
    assert ([one.ledger_id for one in first.ledgers], first.starting) == ([other.ledger_id], False)
    await told.aclose()


async def test_what_nobody_tells_of_is_found_by_looking(link, monkeypatch):
    monkeypatch.setattr("node.api.node_service._LOOK_S", 0.05)
    told = watched({LEDGER: link}, Changes())
    assert (await anext(told)).ledgers[0].contracts_version == 1
    link.version = 2
    assert (await asyncio.wait_for(anext(told), 60)).ledgers[0].contracts_version == 2
    link.halt = "a reason"
    assert (await asyncio.wait_for(anext(told), 60)).ledgers[0].halted
    await told.aclose()


async def test_a_stranger_watches_nothing(link):
    found = [one async for one in watched({LEDGER: link}, Changes(), b"another")]
    assert [(one.ledgers, one.starting) for one in found] == [((), False)]


async def test_what_may_pass_says_so(link):
    with pytest.raises(Refused) as caught:
        await calls(link).call("Get", get("away"))
    assert caught.value.detail.name == "APPLICATION_UNAVAILABLE"
    assert caught.value.detail.transient


async def test_a_status_without_a_refusal_means_what_it_means_over_grpc():
    async def answer(_request, context):
        await context.abort(grpc.StatusCode.UNAVAILABLE, "not there")

    with pytest.raises(NodeUnreachable):
        await InsideCalls((SimpleNamespace(Get=answer),), PEM).call("Get", get())


async def test_a_call_that_takes_too_long_ends_and_is_told_its_time(link):
    began = asyncio.get_running_loop().time()
    with pytest.raises(TimedOut):
        await calls(link).call("Get", get("slow"), timeout_s=0.05)
    assert asyncio.get_running_loop().time() - began < 50


async def test_a_service_knows_how_long_it_has():
    seen = []

    async def answer(_request, context):
        seen.append(context.time_remaining())
        return wire.GetResponse()

    await InsideCalls((SimpleNamespace(Get=answer),), PEM).call("Get", get(), timeout_s=2_000.0)
    assert 1_900.0 < seen[0] <= 2_000.0


async def test_of_a_bug_only_its_sort_is_told(link):
    with pytest.raises(ClientError) as caught:
        await calls(link).call("Get", get("broken"))
    assert str(caught.value) == "UNKNOWN: ZeroDivisionError"


async def test_a_stream_is_followed_and_let_go_with_its_reader(link):
    stream = calls(link).stream("StreamEvents", wire.StreamEventsRequest(ledger_id=LEDGER, after="now"))
    assert [(await anext(stream)).cursor, (await anext(stream)).cursor] == ["1/0", "2/0"]
    await stream.aclose()
    assert link.application.ended


async def test_a_stream_ends_with_the_standing(link):
    stream = calls(link).stream("StreamEvents", wire.StreamEventsRequest(ledger_id=LEDGER, after="now"))
    await anext(stream)
    link.standings.trusted = b"another"
    with pytest.raises(Refused) as caught:
        await anext(stream)
    assert caught.value.detail.name == "STANDING_ENDED"


async def test_an_agents_client_goes_inside_where_the_node_is_in_its_process(tmp_path):
    from node.agents.settings import load_client
    from node.configuration import AgentsSection
    from tests.node.network import Org

    org = Org.make("alpha", tmp_path)
    section = AgentsSection(
        node="127.0.0.1:1",
        ca_certificate=org.folder / "ca.pem",
        s_bus={
            "signer": org.signer.name,
            "signing_key": org.folder / "signing.key",
            "certificate": org.folder / "member.pem",
            "key": org.folder / "member.key",
        },
    )
    shown = []

    async def call(method, _request, _timeout_s=0):
        return SimpleNamespace(organization_id=method, version="1", ledgers=())

    def inside(certificate):
        shown.append(certificate)
        return SimpleNamespace(call=call)

    client, _ = load_client(section, section.s_bus, "s_bus", inside)
    assert (await client.node_status()).organization_id == "GetNodeStatus"
    assert shown == [(org.folder / "member.pem").read_bytes()]
