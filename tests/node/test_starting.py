"""A node that has just started knows nobody yet: it says so, alike to all, and not that a ledger does not exist."""

from __future__ import annotations

import pytest

from node.api.access import Access
from node.api.refusals import CallRefused
from node.ledger_link import LedgerLink
from node.standing import Membership

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


async def test_a_ledger_that_has_halted_does_not_hold_up_the_others():
    one = link()
    one.halt = "disk"
    with pytest.raises(CallRefused) as caught:
        await Access({LEDGER: one}).caller(Call(), LEDGER)
    assert caught.value.answer.refusal.name == "LEDGER_UNKNOWN"
