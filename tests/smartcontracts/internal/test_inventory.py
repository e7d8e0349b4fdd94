"""Inventory: a service is in it while it is in operation; when it ends, what it was made of goes back."""

import pytest

from smartcontracts.internal import inventory as i
from smartcontracts.internal.elements import SERVICE_ELEMENT
from smartcontracts.internal.orders import Upstream
from smartcontracts.kernel import RoleMissing, WrongStatus
from smartcontracts.trade import TimeOutOfRange
from tests.smartcontracts.internal.deals import (
    activated,
    passed_test,
    refusal_of,
    send,
    statuses,
    the_handover,
    upstream,
)
from tests.smartcontracts.support import org


def ending(ledger, **changes):
    service = ledger.all(i.INVENTORY_SERVICE)
    given = {"inventory_service_id": service[0].id if service else "isv_none", "terminated_at_ms": ledger.time_ms}
    return i.RecordTermination(**(given | changes))


@pytest.mark.req("D-23")
def test_a_service_is_in_the_inventory_from_its_activation():
    assert passed_test().all(i.INVENTORY_SERVICE) == ()
    ledger = activated()
    service = ledger.the(i.INVENTORY_SERVICE)
    assert service.id == i.inventory_id_of(the_handover(ledger).id)
    assert [part.item_ids for part in service.elements] == [("item-002",), ("item-003",), ("item-001",)]
    for term, value in (("service", "svc_up"), ("service", "svc_down"), ("party", org("acme")), ("related", "ord_up")):
        assert ledger.find(i.INVENTORY_SERVICE, term, value, 2) == (service,)
    assert {one.status for one in ledger.all(SERVICE_ELEMENT)} == {"chained"}


@pytest.mark.req("D-38", "D-40")
def test_a_service_that_ends_gives_its_elements_back_and_leaves_its_order_as_it_was():
    ledger = activated()
    send(ledger, "record_termination", ending(ledger, terminated_at_ms=123), "s_bus")
    service = ledger.the(i.INVENTORY_SERVICE)
    assert (service.status, service.terminated_at_ms) == ("terminated", 123)
    assert statuses(ledger) == ["cancelling", "cancelling", "releasing"]
    assert the_handover(ledger).status == "activated"


@pytest.mark.req("X-27")
def test_a_service_whose_order_is_cancelled_after_its_activation_ends_with_it():
    ledger = activated()
    send(ledger, "record_upstream", upstream(ledger, Upstream.CANCELLED), "s_bus")
    assert (the_handover(ledger).status, ledger.the(i.INVENTORY_SERVICE).status) == ("cancelled", "terminated")
    assert statuses(ledger) == ["cancelling", "cancelling", "releasing"]


def test_invalid_terminations():
    ledger = activated()
    unknown = ending(ledger, inventory_service_id="isv_none")
    assert refusal_of(ledger, "record_termination", unknown, "s_bus") == (
        i.InventoryServiceUnknown,
        "inventory_service_id",
    )
    early = ending(ledger, terminated_at_ms=-1)
    assert refusal_of(ledger, "record_termination", early, "s_bus") == (TimeOutOfRange, "terminated_at_ms")
    assert refusal_of(ledger, "record_termination", ending(ledger), "sco")[0] is RoleMissing
    send(ledger, "record_termination", ending(ledger), "s_bus")
    assert refusal_of(ledger, "record_termination", ending(ledger), "s_bus") == (WrongStatus, "status")
