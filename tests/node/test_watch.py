"""Watching a node's ledgers over gRPC, as agents that are processes of their own do."""

import asyncio

import grpc
import pytest

from ledgers.client import Client, NodeUnreachable
from ledgers.client.connection import Connection
from node.api.access import Access, Changes
from node.api.node_service import NodeService
from syngraph.v1 import api_pb2_grpc
from tests.node.test_inside import LEDGER, Link, Standings


class PlainConnection(Connection):
    """Without TLS, so that nobody needs a certificate."""

    def __init__(self, port):
        self.channel = grpc.aio.insecure_channel(f"127.0.0.1:{port}")
        self.ledger = api_pb2_grpc.LedgerServiceStub(self.channel)
        self.node = api_pb2_grpc.NodeServiceStub(self.channel)


async def test_changes_come_by_themselves_and_a_node_that_goes_ends_the_stream():
    link, changes, server = Link(Standings(trusted=b"")), Changes(), grpc.aio.server()
    service = NodeService(Access({LEDGER: link}, changes), "org_a", "1")
    api_pb2_grpc.add_NodeServiceServicer_to_server(service, server)
    connection = PlainConnection(server.add_insecure_port("127.0.0.1:0"))
    await server.start()
    try:
        told = Client.through(connection).watch_ledgers()
        assert [one.ledger_id for one in (await anext(told)).ledgers] == [LEDGER]
        link.memberships = 7
        changes.tell()
        assert [one.membership for one in (await asyncio.wait_for(anext(told), 60)).ledgers] == [7]
        following = asyncio.ensure_future(anext(told))
        await asyncio.sleep(0)
        await server.stop(None)
        with pytest.raises(NodeUnreachable):
            await asyncio.wait_for(following, 60)
    finally:
        await connection.close()
        await server.stop(None)
