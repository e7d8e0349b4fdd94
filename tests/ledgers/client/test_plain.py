"""Messages as plain values and back: strict, and without loss."""

from __future__ import annotations

import pytest

from ledgers.client import PlainInvalid, from_plain, to_plain
from smartcontracts.parameters import Parameters
from smartcontracts.proposal import Proposal
from syngraph.v1.transaction_pb2 import Act, Message, TransactionBody

ADD = {"signer": 1, "add_member": {"public_key": "ab" * 32, "roles": ["auditor"], "valid_until_ms": 2**62}}


def test_a_message_survives_the_round_trip():
    message = from_plain(Message, ADD)
    assert message.add_member.public_key == b"\xab" * 32
    assert to_plain(message) == ADD


def test_a_command_without_fields_is_still_there():
    assert from_plain(Message, {"withdraw_proposal": {}}).WhichOneof("command") == "withdraw_proposal"


def test_records_become_plain_values():
    plain = to_plain({"parameters": Parameters(), "bytes": b"\x01"})
    assert plain["parameters"]["clock_ahead_ms"] == 500
    assert plain["bytes"] == "01"


def test_a_proposal_can_be_read_by_who_is_to_accept_its_hash():
    act = Act(agreement_terms={"name": "Ports", "currency": "EUR"}).SerializeToString()
    proposal = Proposal(
        id="prp_1",
        act=act,
        act_sha256=b"\x01" * 32,
        act_name="agreement_terms",
        proposer="org_1",
        required=("org_1", "org_2"),
        accepted_by=(),
        valid_until_ms=1,
    )
    plain = to_plain(proposal)
    assert plain["act"] == act.hex()
    assert plain["act_plain"] == {"agreement_terms": {"name": "Ports", "currency": "EUR"}}


@pytest.mark.parametrize(
    ("value", "field"),
    [
        ([], ""),
        ({"unknown": 1}, "unknown"),
        ({"signer": "0"}, "signer"),
        ({"signer": True}, "signer"),
        ({"signer": 1.0}, "signer"),
        ({"signer": -1}, "signer"),
        ({"signer": 2**32}, "signer"),
        ({"add_member": {"public_key": "xyz"}}, "add_member.public_key"),
        ({"add_member": {"public_key": 5}}, "add_member.public_key"),
        ({"add_member": {"roles": "auditor"}}, "add_member.roles"),
        ({"add_member": {"roles": ["auditor", 1]}}, "add_member.roles[1]"),
        ({"add_member": None}, "add_member"),
    ],
)
def test_invalid_values_are_refused_with_their_path(value, field):
    with pytest.raises(PlainInvalid) as caught:
        from_plain(Message, value)
    assert caught.value.field == field


def test_nesting_is_bounded():
    with pytest.raises(PlainInvalid, match="deep"):
        from_plain(TransactionBody, {"messages": [ADD]}, depth=1)
