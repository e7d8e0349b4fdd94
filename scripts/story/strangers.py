"""Act: who has no business here gets nowhere: no certificate, a foreign one, and a member that is not on the ledger."""

from __future__ import annotations

import time

import grpc

from ledgers.client import Client, ClientError, Credentials, NodeUnreachable, Refused
from ledgers.client.identity import issue_member_certificate, member_of, new_authority, new_signing_key
from scripts.story.nodes import Nodes
from scripts.story.scene import ACME_ALPHA, ALPHA, BRAVO, Stage
from scripts.story.telling import StepFailed
from syngraph.v1 import api_pb2, api_pb2_grpc

_PATIENCE_S = 5.0


async def turn_strangers_away(stage: Stage, nodes: Nodes) -> None:
    """Three strangers at alpha's node."""
    await _without_certificate(stage, nodes)
    await _with_foreign_certificate(stage, nodes)
    await _not_on_the_ledger(stage, nodes)


async def _without_certificate(stage: Stage, nodes: Nodes) -> None:
    began = time.monotonic()
    tls = grpc.ssl_channel_credentials(nodes.authority(ALPHA))
    async with grpc.aio.secure_channel(nodes.address(ALPHA), tls) as channel:
        stub = api_pb2_grpc.NodeServiceStub(channel)
        try:
            await stub.GetNodeStatus(api_pb2.GetNodeStatusRequest(), timeout=_PATIENCE_S)
        except grpc.aio.AioRpcError as error:
            if error.code() != grpc.StatusCode.UNAVAILABLE:
                raise StepFailed("the handshake to fail", error.code().name) from error
            _told(stage, "no certificate: no connection", began)
            return
    raise StepFailed("a connection without a certificate to be refused", "an answer")


async def _with_foreign_certificate(stage: Stage, nodes: Nodes) -> None:
    began = time.monotonic()
    foreign = new_authority()
    pair = issue_member_certificate(foreign, member_of(foreign.organization_id, new_signing_key()))
    credentials = Credentials(authority=nodes.authority(ALPHA), certificate=pair.certificate, key=pair.key)
    async with Client(nodes.address(ALPHA), credentials) as client:
        try:
            await client.node_status()
        except NodeUnreachable:
            _told(stage, "a certificate of an unknown CA: no connection", began)
            return
        except ClientError as error:
            raise StepFailed("the handshake to fail", str(error)) from error
    raise StepFailed("a foreign certificate to be refused", "an answer")


async def _not_on_the_ledger(stage: Stage, nodes: Nodes) -> None:
    began = time.monotonic()
    async with nodes.visitor(BRAVO, ALPHA) as client:
        try:
            await client.ledger(nodes.ledger_id(ACME_ALPHA))
        except Refused as refused:
            if refused.detail.name != "LEDGER_UNKNOWN":
                raise StepFailed("LEDGER_UNKNOWN", refused.detail.name) from refused
            _told(stage, f"bravo's member, who is not on {ACME_ALPHA}: LEDGER_UNKNOWN", began)
            return
    raise StepFailed(f"bravo's member to see nothing of {ACME_ALPHA}", "an answer")


def _told(stage: Stage, text: str, began: float) -> None:
    stage.teller.tell(f"at alpha's node, {text}", who="stranger", ms=int((time.monotonic() - began) * 1000))
    stage.teller.note("strangers", text)
