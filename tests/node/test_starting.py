"""A node that has just started knows nobody yet: it says so, alike to all, and not that a ledger does not exist."""

from __future__ import annotations

import pytest

from ledgers.client import Client, RefusalDetail, Refused
from node.api.access import Access
from node.api.refusals import CallRefused
from node.ledger_link import LedgerLink
from node.standing import Membership
from syngraph.v1 import api_pb2

LEDGER = "sg_" + "a" * 32


class Call:
    """As much of a gRPC call as access looks at."""

    def auth_context(self):
        return {"x509_pem_cert": [b"no certificate"]}


def link():
    return LedgerLink(LEDGER, "x", application=None, engine=None)


@pytest.mark.parametrize("asked", [LEDGER, "sg_" + "b" * 32])
async def test_until_memberships_are_read_everybody_is_told_to_try_again(asked):
    one = link()
    access = Access({LEDGER: one})
    with pytest.raises(CallRefused) as caught:
        await access.caller(Call(), asked)
    assert (caught.value.answer.refusal.name, caught.value.answer.refusal.transient) == ("NODE_STARTING", True)
    one.standings.replace(Membership.of([], []))
    with pytest.raises(CallRefused) as caught:
        await access.caller(Call(), asked)
    assert caught.value.answer.refusal.name == "LEDGER_UNKNOWN"


class Calls:
    """A node that shows this member no ledger, and says of each name what access says."""

    def __init__(self, access):
        self._access = access

    async def call(self, method, request):
        if method == "GetNodeStatus":
            return api_pb2.GetNodeStatusResponse()
        try:
            return await self._access.caller(Call(), request.ledger_id)
        except CallRefused as refused:
            detail = refused.answer.refusal
            raise Refused(
                RefusalDetail(code=detail.code, name=detail.name, sentence=detail.sentence, field=detail.field), ""
            ) from refused


async def test_a_member_that_names_its_ledger_while_the_node_starts_hears_that_and_not_that_there_is_none():
    one = link()
    client = Client.through(Calls(Access({LEDGER: one})))
    with pytest.raises(Refused) as caught:
        await client.ledger("x")
    assert caught.value.detail.name == "NODE_STARTING"
    one.standings.replace(Membership.of([], []))
    with pytest.raises(Refused) as caught:
        await client.ledger("x")
    assert caught.value.detail.name == "LEDGER_UNKNOWN"


async def test_a_ledger_that_has_halted_does_not_hold_up_the_others():
    one = link()
    one.halt = "disk"
    with pytest.raises(CallRefused) as caught:
        await Access({LEDGER: one}).caller(Call(), LEDGER)
    assert caught.value.answer.refusal.name == "LEDGER_UNKNOWN"
