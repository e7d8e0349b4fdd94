"""Golden vector of deliveries and changes: the same commands give the same codes, ids and bytes for ever.

To record anew, for a new contracts version: `python -m tests.smartcontracts.test_delivery_vectors`.
"""

import json
from dataclasses import replace

import pytest

from smartcontracts.change import (
    AgreeMaintenance,
    ChangeOutcome,
    DeclineMaintenance,
    EndChange,
    ProposeMaintenance,
    StartChange,
)
from smartcontracts.delivery import (
    ActivateOrder,
    AnswerExtension,
    CancelOrder,
    ExtendWindow,
    FailOrder,
    RequestExtension,
)
from smartcontracts.order import ORDER, AcceptOrder
from smartcontracts.service import SERVICE
from smartcontracts.trade import Change, ChangeKind
from tests.smartcontracts.delivering import STRICT, WITH_OUTAGE, change_quoted
from tests.smartcontracts.test_vectors import FOLDER, Story
from tests.smartcontracts.trading import BUYER, RELEASE, SELLER, purchase, quoted, trading_ledger

PATH = FOLDER / "delivery.json"


class Deliveries(Story):
    """Orders and changes of acme's at alpha; quotes are made without a line of their own."""

    def __init__(self):
        super().__init__(trading_ledger(**STRICT))

    def sell(self, name, command, at=None):
        self.tell(name, command, SELLER, "s_bus", at=at)

    def buy(self, name, command, at=None):
        self.tell(name, command, BUYER, "b_bus", at=at)

    def order(self, quote, **changes):
        known = {order.id for order in self.ledger.all(ORDER)}
        self.buy("place_order", purchase(quote.id, **changes))
        return next((order for order in self.ledger.all(ORDER) if order.id not in known), None)

    def accepted(self, **changes):
        order = self.order(quoted(self.ledger), **changes)
        self.sell("accept_order", AcceptOrder(order_id=order.id, release=RELEASE))
        return self.ledger.the(ORDER, order.id)


def deliveries():
    story = Deliveries()
    story.order(quoted(story.ledger), delivery_info=b'{"cir":7}')
    late = story.accepted(delivery_info=b'{"sVlanId":7}')
    more = late.activate_by_ms + 20_000
    asked = RequestExtension(order_id=late.id, activate_by_ms=more, reason="LATE")
    story.sell("request_extension", replace(asked, activate_by_ms=late.activate_by_ms))
    story.sell("request_extension", asked, at=late.activate_by_ms + 1)
    story.sell("request_extension", asked)
    story.buy("answer_extension", AnswerExtension(order_id=late.id, granted=True))
    story.buy("extend_window", ExtendWindow(order_id=late.id, activate_by_ms=more + 5, waive_penalty=True))
    story.sell("activate_order", ActivateOrder(order_id=late.id, element_ids=("item-009",)))
    story.sell("activate_order", ActivateOrder(order_id=late.id), at=more + 5)
    story.sell("activate_order", ActivateOrder(order_id=late.id))
    silent = story.accepted()
    story.sell("request_extension", replace(asked, order_id=silent.id, activate_by_ms=silent.activate_by_ms + 50_000))
    waiting = story.ledger.the(ORDER, silent.id).extension
    story.buy("answer_extension", AnswerExtension(order_id=silent.id, granted=True), at=waiting.answer_by_ms + 1)
    story.sell("fail_order", FailOrder(order_id=silent.id, reason="FIBRE_CUT"), at=silent.activate_by_ms + 2_500)
    story.accepted(replaces=silent.id)
    sorry = story.order(quoted(story.ledger))
    story.buy("cancel_order", CancelOrder(order_id=sorry.id, reason="NO_NEED"))
    story.sell("accept_order", AcceptOrder(order_id=sorry.id))
    story.buy("cancel_order", CancelOrder(order_id=late.id, reason="NO_NEED"))
    changes(story)
    return story.lines


def changes(story):
    """A relocation with an outage, one that fails, and a termination."""
    first = story.accepted()
    story.sell("activate_order", ActivateOrder(order_id=first.id))
    service = story.ledger.the(SERVICE, first.service_id)
    said = Change(service_id=service.id, kind=ChangeKind.RELOCATION)
    quote = change_quoted(story.ledger, service, ChangeKind.RELOCATION, answer=WITH_OUTAGE)
    story.order(quote)
    order = story.order(quote, change=said, implement_at_ms=story.ledger.time_ms + 10_000)
    named = {"change_id": order.change_id, "service_id": service.id}
    story.sell("accept_order", AcceptOrder(order_id=order.id))
    story.sell("start_change", StartChange(**named))
    window = {"from_ms": order.implement_at_ms, "until_ms": order.implement_at_ms + 5_000}
    story.sell("propose_maintenance", ProposeMaintenance(**named, **(window | {"until_ms": window["from_ms"] + 1})))
    story.sell("propose_maintenance", ProposeMaintenance(**named, **window))
    story.buy("decline_maintenance", DeclineMaintenance(**named, reason="BUSY"))
    story.buy("propose_maintenance", ProposeMaintenance(**named, **window))
    story.buy("agree_maintenance", AgreeMaintenance(**named, **window))
    story.sell("agree_maintenance", AgreeMaintenance(**named, **window))
    story.sell("start_change", StartChange(**named))
    story.sell("start_change", StartChange(**named), at=window["from_ms"] + 1)
    story.sell("activate_order", ActivateOrder(order_id=order.id))
    story.sell("end_change", EndChange(**named, outcome=ChangeOutcome.DONE))
    for kind, outcome, reason in (
        (ChangeKind.PARAMETER, ChangeOutcome.FAILED, "NO_SIGNAL"),
        (ChangeKind.TERMINATION, ChangeOutcome.DONE, ""),
    ):
        quote = change_quoted(story.ledger, service, kind)
        order = story.order(quote, change=Change(service_id=service.id, kind=kind))
        story.sell("accept_order", AcceptOrder(order_id=order.id))
        named = {"change_id": order.change_id, "service_id": service.id}
        story.sell("start_change", StartChange(**named))
        story.sell("end_change", EndChange(**named, outcome=outcome, reason=reason))


@pytest.mark.golden
def test_the_same_deliveries_give_the_same_codes_and_bytes():
    recorded = json.loads(PATH.read_text(encoding="utf-8"))
    for number, (told, line) in enumerate(zip(deliveries(), recorded, strict=True)):
        assert told == line, f"line {number + 1}"


if __name__ == "__main__":
    PATH.write_text("[\n" + ",\n".join(json.dumps(line) for line in deliveries()) + "\n]\n", encoding="utf-8")
