"""Elements, an inventory and a clock to try provisioning with."""

from __future__ import annotations

from node.agents.provisioning import ElementSpec, Operation, call_id
from node.agents.provisioning.bookings import BookingStore
from node.agents.provisioning.inventory import parse
from node.agents.provisioning.reference import ReferenceProvisioning
from smartcontracts.trade import Action, EndAction, Term, TermUnit

NOW_MS = 1_800_000_000_000
HOUR_MS = 3_600_000
UNI = "urn:example:uni"
TERM = Term(amount=12, unit=TermUnit.CALENDAR_MONTHS, end_action=EndAction.AUTO_RENEW)

INVENTORY = """
currency = "EUR"

[[pool]]
id = "york"
offerings = ["uni"]
types = ["urn:example:uni"]
locations = ["york-1", { city = "York", country = "UK" }]
capacity = 3
lead_time_ms = 60000
cost = { non_recurring = "100.00", recurring = "10.00", period = "month", usage = { GB = "0.01" } }
change = { non_recurring = "25.00", lead_time_ms = 1000, outage_ms = 600000, method = "parallel_build_cold" }
end = { non_recurring = "5.50", lead_time_ms = 2000 }
attributes = { medium = "fibre", ports = 4 }

[[pool]]
id = "backbone"
offerings = ["evc"]
capacity = 10
mbps_per_unit = 100
lead_time_ms = 1000
cost = { recurring = "1.00", period = "month" }
"""


class Clock:
    """A clock that stands until it is moved."""

    def __init__(self, now_ms=NOW_MS):
        self.now_ms = now_ms

    def __call__(self):
        return self.now_ms


def uni(element_id="e1", *, place="york-1", offering="uni", **changes):
    product = f'{{"place":[{{"id":"{place}"}}],"productConfiguration":{{"@type":"{UNI}"}}}}'
    return ElementSpec(element_id=element_id, offering=offering, product=product.encode(), term=TERM, **changes)


def evc(element_id="v1", *, mbps=100, **changes):
    product = f'{{"productConfiguration":{{"cir":{{"irUnits":"MBPS","irValue":{mbps}}}}}}}'
    return ElementSpec(element_id=element_id, offering="evc", product=product.encode(), term=TERM, **changes)


def adapter(text=INVENTORY, *, clock=None, store=None):
    return ReferenceProvisioning(parse(text.encode()), store or BookingStore(), clock or Clock())


def drive(coroutine):
    """Run it without an event loop, as the simulation does: it may not wait for anything."""
    try:
        coroutine.send(None)
    except StopIteration as stopped:
        return stopped.value
    coroutine.close()
    raise AssertionError("it waits for an event loop")


def query(system, element, attempt=0):
    return drive(system.query(call_id(Operation.QUERY, element.element_id, attempt), element))


def reserve(system, element, until_ms=NOW_MS + HOUR_MS, attempt=0):
    return drive(system.reserve(call_id(Operation.RESERVE, element.element_id, attempt), element, until_ms))


def activate(system, element, reservation, attempt=0):
    key = call_id(Operation.ACTIVATE, element.element_id, attempt)
    return drive(system.activate(key, reservation.reservation_id, element))


def release(system, element, reservation, attempt=0):
    return drive(system.release(call_id(Operation.RELEASE, element.element_id, attempt), reservation.reservation_id))


def measure(system, chain, order="order-1", attempt=0):
    return drive(system.measure(call_id(Operation.MEASURE, order, attempt), tuple(chain), order))


MODIFY, DELETE = Action.MODIFY, Action.DELETE
