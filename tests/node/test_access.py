"""Who gets in, on a real node with two ledgers: TLS takes any registered CA's word, so each call is judged anew.

`shared` has alpha and beta; `other` has alpha and gamma. One node, alpha's, serves both.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from dataclasses import dataclass

import grpc
import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID
from nacl.signing import SigningKey

from ledgers.client import Act, Client, Credentials, NodeUnreachable, Refused, SigningMember
from ledgers.client.connection import Connection
from ledgers.client.identity import issue, issue_member_certificate, member_of, new_authority
from smartcontracts.membership import AddMember, RevokeMember
from syngraph.v1 import application_pb2 as wire
from syngraph.v1.api_pb2 import Refusal
from tests.node.network import Founded, Org, RunningNode, found, write_config

pytestmark = [pytest.mark.network, pytest.mark.timeout(600)]


# Other programs may take the processors while it is measured.
MEASURED_TIMES_MAX = 20


@dataclass
class Scene:
    alpha: Org
    beta: Org
    gamma: Org
    shared: Founded
    other: Founded

    @property
    def address(self):
        return f"127.0.0.1:{self.alpha.grpc_port}"

    def credentials(self, pair):
        return Credentials(authority=self.alpha.authority.pair.certificate, certificate=pair.certificate, key=pair.key)

    def client(self, org):
        return Client(self.address, org.credentials(self.alpha.authority))


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    folder = tmp_path_factory.mktemp("access")
    alpha, beta, gamma = (Org.make(name, folder) for name in ("alpha", "beta", "gamma"))
    shared = found("shared", "bilateral", folder, [alpha], guests=(beta,))
    other = found("other", "bilateral", folder, [alpha], guests=(gamma,))
    node = RunningNode(alpha, write_config(alpha, [shared, other])).start()
    try:
        node.wait_ready()
        yield Scene(alpha, beta, gamma, shared, other)
    finally:
        assert node.stop() == 0, node.log.read_text()[-4_000:]


async def refusal_of(connection, ledger_id):
    """(status, details, detail in the trailer, seconds) of a call that must be refused."""
    started = time.monotonic()
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await connection.ledger.GetLedgerStatus(wire.GetLedgerStatusRequest(ledger_id=ledger_id), timeout=60)
    seconds = time.monotonic() - started
    trailer = dict(caught.value.trailing_metadata())["syngraph-refusal-bin"]
    return caught.value.code(), caught.value.details(), Refusal.FromString(trailer), seconds


async def test_a_member_of_the_ledger_gets_in(scene):
    async with scene.client(scene.beta) as client:
        assert (await (await client.ledger(scene.shared.id)).status()).state == "running"
        assert [s.name for s in (await client.node_status()).ledgers] == ["shared"]


async def test_without_a_certificate_there_is_no_connection(scene):
    tls = grpc.ssl_channel_credentials(scene.alpha.authority.pair.certificate)
    async with grpc.aio.secure_channel(scene.address, tls) as channel:
        call = channel.unary_unary("/syngraph.v1.NodeService/GetNodeStatus")
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call(b"", timeout=60)
        assert caught.value.code() == grpc.StatusCode.UNAVAILABLE


async def test_a_foreign_authority_is_no_connection(scene):
    foreign = new_authority()
    pair = issue_member_certificate(foreign, scene.beta.member_id)
    async with Client(scene.address, scene.credentials(pair)) as client:
        with pytest.raises(NodeUnreachable):
            await client.node_status()


@pytest.mark.parametrize("wait", ["unknown", "forbidden"])
async def test_a_stranger_learns_nothing_from_the_answer(scene, wait):
    connection = Connection(scene.address, scene.gamma.credentials(scene.alpha.authority))
    asked = scene.shared.id if wait == "forbidden" else "sg_" + "a" * 32
    try:
        status, details, refusal, seconds = await refusal_of(connection, asked)
    finally:
        await connection.close()
    assert status == grpc.StatusCode.NOT_FOUND
    assert details == "There is no such ledger here."
    assert (refusal.code, refusal.name, refusal.field) == (9001, "LEDGER_UNKNOWN", "ledger_id")
    assert seconds >= 0.05


async def test_forbidden_and_unknown_ledgers_are_answered_byte_for_byte_alike(scene):
    connection = Connection(scene.address, scene.gamma.credentials(scene.alpha.authority))
    try:
        await refusal_of(connection, scene.shared.id)  # the connection is made with the first call
        forbidden, unknown = [], []
        for _ in range(MEASURED_TIMES_MAX):
            for _ in range(5):
                forbidden.append(await refusal_of(connection, scene.shared.id))
                unknown.append(await refusal_of(connection, "sg_" + "b" * 32))
            # The answer waits for a fixed time, so the fastest of each differ by scheduling only.
            apart_s = abs(min(f[3] for f in forbidden) - min(u[3] for u in unknown))
            if apart_s < 0.02:
                break
    finally:
        await connection.close()
    assert {(s, d, r.SerializeToString()) for s, d, r, _ in forbidden} == {
        (s, d, r.SerializeToString()) for s, d, r, _ in unknown
    }
    assert apart_s < 0.02


async def refused_on(scene, pair, ledger_id):
    connection = Connection(scene.address, scene.credentials(pair))
    try:
        return (await refusal_of(connection, ledger_id))[2].name
    finally:
        await connection.close()


async def test_an_authority_of_another_ledger_only_has_no_standing(scene):
    pair = issue_member_certificate(scene.gamma.authority, scene.gamma.member_id)
    assert await refused_on(scene, pair, scene.shared.id) == "LEDGER_UNKNOWN"


async def test_one_organizations_authority_cannot_name_anothers_member(scene):
    uri = x509.UniformResourceIdentifier(f"syngraph://{scene.alpha.id}/{scene.alpha.member_id}")
    forged = issue(scene.beta.authority, [uri], "forged", ExtendedKeyUsageOID.CLIENT_AUTH)
    assert await refused_on(scene, forged, scene.shared.id) == "LEDGER_UNKNOWN"


async def test_a_certificate_for_servers_or_with_two_names_has_no_standing(scene):
    uri = x509.UniformResourceIdentifier(f"syngraph://{scene.beta.id}/{scene.beta.member_id}")
    extra = x509.UniformResourceIdentifier(f"syngraph://{scene.alpha.id}/{scene.alpha.member_id}")
    two = issue(scene.beta.authority, [uri, extra], "two", ExtendedKeyUsageOID.CLIENT_AUTH)
    assert await refused_on(scene, two, scene.shared.id) == "LEDGER_UNKNOWN"


async def test_a_member_that_the_ledger_does_not_know_has_no_standing(scene):
    pair = issue_member_certificate(scene.beta.authority, "mbr_" + "a" * 32)
    assert await refused_on(scene, pair, scene.shared.id) == "LEDGER_UNKNOWN"


async def new_clerk(scene):
    """A new member of beta: its signing member and its certificate."""
    key = SigningKey.generate()
    async with scene.client(scene.beta) as client:
        ledger = await client.ledger("shared")
        command = AddMember(public_key=key.verify_key.encode(), roles=("b_bus",))
        await ledger.submit([Act(name="add_member", command=command)], [scene.beta.signer])
    member = member_of(scene.beta.id, key)
    return SigningMember(f"{scene.beta.id}/{member}", key), issue_member_certificate(scene.beta.authority, member)


async def revoke(scene, member):
    async with scene.client(scene.beta) as client:
        ledger = await client.ledger("shared")
        command = RevokeMember(member_id=member.name.partition("/")[2])
        return await ledger.submit([Act(name="revoke_member", command=command)], [scene.beta.signer])


@pytest.mark.req("L-18")
async def test_a_member_gets_in_when_added_and_not_after_its_revocation(scene):
    clerk, pair = await new_clerk(scene)
    async with Client(scene.address, scene.credentials(pair)) as client:
        ledger = await client.ledger("shared")
        assert (await ledger.status()).state == "running"
        await revoke(scene, clerk)
        with pytest.raises(Refused) as caught:
            await ledger.status()
    assert caught.value.detail.name == "LEDGER_UNKNOWN"


async def test_a_stream_that_is_open_when_its_member_is_revoked_ends_before_it_shows_that_block(scene):
    clerk, pair = await new_clerk(scene)
    seen, ended = [], None
    async with Client(scene.address, scene.credentials(pair)) as client:
        ledger = await client.ledger("shared")
        stream = ledger.events(after="")
        # All events so far: the stream is up and running.
        async for event in stream:
            seen.append(event)
            if event.document_id == clerk.name.partition("/")[2]:
                break
        waiting = asyncio.ensure_future(anext(stream))
        receipt = await revoke(scene, clerk)
        with pytest.raises(Refused) as caught:
            await asyncio.wait_for(waiting, 60)
        ended = caught.value
        with contextlib.suppress(StopAsyncIteration):
            await stream.aclose()
    assert ended.status == "PERMISSION_DENIED"
    assert ended.detail.name == "STANDING_ENDED"
    assert all(event.height < receipt.height for event in seen)


async def test_health_and_reflection_answer_those_who_pass_tls(scene):
    from grpc_health.v1 import health_pb2, health_pb2_grpc
    from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

    connection = Connection(scene.address, scene.gamma.credentials(scene.alpha.authority))
    try:
        health = health_pb2_grpc.HealthStub(connection.channel)
        answer = await health.Check(health_pb2.HealthCheckRequest(service="syngraph.v1.LedgerService"))
        assert answer.status == health_pb2.HealthCheckResponse.SERVING
        stub = reflection_pb2_grpc.ServerReflectionStub(connection.channel)
        call = stub.ServerReflectionInfo(iter([reflection_pb2.ServerReflectionRequest(list_services="")]))
        names = {s.name for s in (await anext(aiter(call))).list_services_response.service}
        assert {"syngraph.v1.LedgerService", "syngraph.v1.NodeService", "grpc.health.v1.Health"} <= names
    finally:
        await connection.close()
