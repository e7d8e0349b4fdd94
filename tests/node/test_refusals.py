"""Refusals: what the node says about the application's codes is what the application's own classes say."""

from __future__ import annotations

import abci_app.failures
import abci_app.queries.refusals
from node.api.refusals import APPLICATION_SORTS, of_receipt
from smartcontracts.kernel import Grpc, Rejected
from syngraph.v1.system_pb2 import Receipt


def declared(module):
    found = [value for value in vars(module).values() if isinstance(value, type) and issubclass(value, Rejected)]
    return {refusal.code: refusal for refusal in found if refusal.__module__ == module.__name__}


def test_the_applications_refusals_keep_their_status_and_whether_they_pass():
    classes = declared(abci_app.failures) | declared(abci_app.queries.refusals)
    assert APPLICATION_SORTS.keys() <= classes.keys()
    for code, refusal in classes.items():
        answer = of_receipt(Receipt(code=code, name=refusal.refusal_name()))
        assert answer.status.name == refusal.grpc, refusal
        assert answer.refusal.transient == refusal.transient, refusal


def test_a_contracts_refusal_keeps_its_own():
    from smartcontracts.membership import MemberUnknown

    answer = of_receipt(Receipt(code=MemberUnknown.code, name="MEMBER_UNKNOWN", sentence="No.", field="member_id"))
    assert answer.status.name == Grpc.NOT_FOUND
    assert (answer.refusal.name, answer.refusal.field) == ("MEMBER_UNKNOWN", "member_id")
