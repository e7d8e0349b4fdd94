"""TM Forum shapes: our calls as TMF645 qualifications, TMF641 orders and TMF653 tests, and their answers as ours.

Pure functions. Numbers stay decimal texts throughout; what an answer lacks is said, never guessed. Members, states and paths are
those of the published files: TMF645 4.0.1, TMF641 4.1.0, TMF653 4.2.0. docs/provisioning.md has the table.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from typing import Final

from node.agents.provisioning import (
    Activated,
    Declined,
    ElementSpec,
    Failed,
    Measured,
    Offer,
    Outage,
    OutageMethod,
    ProvisioningBroken,
    Released,
    Reserved,
)
from smartcontracts.agreement import PriceType
from smartcontracts.canonical_json import Json, Number, dump, load
from smartcontracts.kernel import Rejected
from smartcontracts.money import NANO, RATE_NANO_MAX, Rate, minor_digits
from smartcontracts.service import SERVICE
from smartcontracts.trade import LABEL_MS, PRICES_MAX, REASON, TIME_MS_MAX, Action, PeriodLabel, Price

ATTRIBUTES_BYTES_MAX: Final = 16 * 1024
QUALIFICATIONS: Final = "/serviceQualificationManagement/v4/checkServiceQualification"
ORDERS: Final = "/serviceOrdering/v4/serviceOrder"
TESTS: Final = "/serviceTestManagement/v4/serviceTest"

# Characteristics with a meaning; all others of an answer are the offer's attributes.
_COST: Final = "cost"
_LEAD_TIME: Final = "leadTimeMs"
_OUTAGE: Final = "outageMs"
_METHOD: Final = "outageMethod"
_UNTIL: Final = "reservedUntil"
_KNOWN: Final = (_COST, _LEAD_TIME, _OUTAGE, _METHOD, _UNTIL)
_ITEM: Final = "1"
# How the id of a seller's service begins.
_BOUGHT: Final = f"{SERVICE.prefix}_"
_UNDONE: Final = (
    "acknowledged",
    "accepted",
    "inProgress",
    "pending",
    "held",
    "assessingCancellation",
    "pendingCancellation",
)
_ENDED_BADLY: Final = ("failed", "rejected", "cancelled", "partial")
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MS: Final = timedelta(milliseconds=1)
_DECIMAL: Final = re.compile(r"[0-9]{1,10}(?:\.[0-9]{1,9})?", re.ASCII)
_PRICE_TYPES: Final = {kind.value: kind for kind in PriceType}

Object = dict[str, Json]


@dataclass(frozen=True, slots=True)
class Undone:
    """The system has taken the request and is at work on it."""


def qualification(call_id: str, element: ElementSpec, now_ms: int) -> bytes:
    """The body of a TMF645 check."""
    item: Object = {"id": _ITEM, "service": _service(element, {"id": element.changes} if element.changes else {})}
    if element.lead_time_ms:
        item["expectedServiceAvailabilityDate"] = instant(now_ms + element.lead_time_ms)
    items: list[Json] = [item]
    return dump(
        {
            "externalId": call_id,
            "instantSyncQualification": True,
            "provideAlternative": False,
            "provideUnavailabilityReason": True,
            "serviceQualificationItem": items,
        }
    )


def reservation(call_id: str, element: ElementSpec, until_ms: int) -> bytes:
    """The body of a TMF641 order for a service in state `reserved`."""
    more: Object = {"state": "reserved"}
    if element.changes:
        more["serviceRelationship"] = [{"relationshipType": "replaces", "service": {"id": element.changes}}]
    service = _service(element, more)
    _characteristics(service).append(_characteristic(_UNTIL, instant(until_ms)))
    return _order(call_id, [_item(_ITEM, "add", service)])


def extension(call_id: str, reservation_id: str, until_ms: int) -> bytes:
    """The body of a TMF641 order that moves a reservation's end."""
    until: list[Json] = [_characteristic(_UNTIL, instant(until_ms))]
    service: Object = {"id": reservation_id, "state": "reserved", "serviceCharacteristic": until}
    return _order(call_id, [_item(_ITEM, "modify", service)])


def activation(call_id: str, reservation_id: str) -> bytes:
    """The body of a TMF641 order that puts a reserved service into operation."""
    return _order(call_id, [_item(_ITEM, "modify", {"id": reservation_id, "state": "active"})])


def ending(call_id: str, reservation_id: str) -> bytes:
    """The body of a TMF641 order that ends a service, reserved or active."""
    return _order(call_id, [_item(_ITEM, "delete", _ended(reservation_id))])


def chain_test(call_id: str, chain: tuple[str, ...], order: str, specification: str) -> bytes:
    """The body of a TMF653 test of a chain; its name is the call id, since a test has no external id.

    A test is of one service: the first of the chain that the system has itself, or the order where all are bought.
    """
    own = next((one for one in chain if not one.startswith(_BOUGHT)), order)
    return dump(
        {
            "name": call_id,
            "mode": "ONDEMAND",
            "relatedService": {"id": own},
            "testSpecification": {"id": specification},
            "characteristic": [_characteristic("chain", list(chain)), _characteristic("order", order)],
        }
    )


def offer_of(answer: Object, element: ElementSpec) -> Offer | Declined | Undone:
    """What a TMF645 check says. Raises ProvisioningBroken. Req: Q-25."""
    item = _first(answer, "serviceQualificationItem")
    state = _text(item, "state") or _text(answer, "state")
    if state == "terminatedWithError":
        return Declined(_word(_first_text(item, "terminationError", "value"), "NOT_ASSESSED"))
    if state != "done":
        return _undone(state)
    result = _text(item, "qualificationResult") or _text(answer, "qualificationResult")
    if result == "alternate":
        return Declined("ALTERNATE_ONLY")
    if result == "unqualified":
        return Declined(_word(_first_text(item, "eligibilityUnavailabilityReason", "code"), "NOT_AVAILABLE"))
    if result != "qualified":
        raise ProvisioningBroken(f"A qualification is done with the result {result!r}.")
    found = _found_characteristics(item)
    lead_time_ms = _whole(found.get(_LEAD_TIME), _LEAD_TIME)
    attributes = dump({name: value for name, value in found.items() if name not in _KNOWN})
    if len(attributes) > ATTRIBUTES_BYTES_MAX:
        raise ProvisioningBroken(f"A qualification has more than {ATTRIBUTES_BYTES_MAX} bytes of attributes.")
    outage = None
    if element.action != Action.ADD:
        outage = Outage(outage_ms=_whole(found.get(_OUTAGE), _OUTAGE), method=_method(found.get(_METHOD)))
    return Offer(cost=_cost(found.get(_COST)), lead_time_ms=lead_time_ms, attributes=attributes, outage=outage)


def reserved_of(answer: Object) -> Reserved | Declined | Undone:
    """What a TMF641 order for a reservation, or its extension, says. Raises ProvisioningBroken."""
    ended = _ended_of(answer)
    if not isinstance(ended, str):
        return ended
    if ended:
        return Declined(ended)
    item = _first(answer, "serviceOrderItem")
    service = item.get("service")
    key = _text(service, "id") if isinstance(service, dict) else ""
    if not key:
        raise ProvisioningBroken("An order for a reservation is completed without the service's id.")
    return Reserved(reservation_id=key, until_ms=instant_ms(_found_characteristics(item).get(_UNTIL)))


def activated_of(answer: Object) -> Activated | Failed | Undone:
    """What a TMF641 order for an activation says. Raises ProvisioningBroken. Req: D-12, D-13."""
    ended = _ended_of(answer)
    if not isinstance(ended, str):
        return ended
    return Failed(ended) if ended else Activated()


def released_of(answer: Object) -> Released | Undone:
    """What a TMF641 order for an end says: to refuse it is no answer. Raises ProvisioningBroken. Req: D-38."""
    ended = _ended_of(answer)
    if not isinstance(ended, str):
        return ended
    if ended:
        raise ProvisioningBroken(f"The system refuses to end a service: {ended}.")
    return Released()


def measured_of(answer: Object) -> Measured | Undone:
    """What a TMF653 test says: passed with measures of which none violates a rule. Raises ProvisioningBroken."""
    state = _text(answer, "state")
    if state in _ENDED_BADLY:
        return Measured(passed=False, values=dump({"cause": _word(state, "FAILED")}))
    if state != "completed":
        return _undone(state)
    measures = [one for one in _list(answer, "testMeasure") if isinstance(one, dict)]
    values: list[Json] = [
        {key: one[key] for key in ("metricName", "value", "unitOfMeasure", "ruleViolation") if key in one}
        for one in measures
    ]
    passed = bool(measures) and not any(one.get("ruleViolation") for one in measures)
    found = dump({"measures": values})
    if len(found) > ATTRIBUTES_BYTES_MAX:
        raise ProvisioningBroken(f"A test has more than {ATTRIBUTES_BYTES_MAX} bytes of measures.")
    return Measured(passed=passed, values=found)


def instant(at_ms: int) -> str:
    """An instant in UTC with milliseconds."""
    return (_EPOCH + at_ms * _MS).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def instant_ms(value: Json | None) -> int:
    """Milliseconds of an instant with an offset; parts of a millisecond are cut. Raises ProvisioningBroken."""
    try:
        if isinstance(value, str) and not isinstance(value, Number) and (at := datetime.fromisoformat(value)).tzinfo:
            return (at - _EPOCH) // _MS
    except (ValueError, OverflowError):
        pass
    raise ProvisioningBroken(f"{value!r} is no instant with an offset.")


def _service(element: ElementSpec, more: Mapping[str, Json]) -> Object:
    try:
        product = load(element.product, "product")
    except Rejected as error:
        raise ProvisioningBroken(f"The element's product is no JSON: {error.sentence}") from error
    members = product if isinstance(product, dict) else {}
    configuration = members.get("productConfiguration")
    characteristics: list[Json] = [
        _characteristic(name, value)
        for name, value in (configuration if isinstance(configuration, dict) else {}).items()
    ]
    if element.term is not None:
        term: Object = {"amount": Number(element.term.amount), "units": element.term.unit.value}
        characteristics.append(_characteristic("term", term))
    service: Object = {
        **more,
        "serviceSpecification": {"id": element.offering},
        "serviceCharacteristic": characteristics,
    }
    if "place" in members:
        service["place"] = members["place"]
    return service


def _ended(service_id: str) -> Object:
    return {"id": service_id, "state": "terminated"}


def _item(item_id: str, action: str, service: Object) -> Object:
    return {"id": item_id, "action": action, "service": service}


def _order(call_id: str, items: list[Object]) -> bytes:
    return dump({"externalId": call_id, "serviceOrderItem": list(items)})


def _characteristic(name: str, value: Json) -> Object:
    kind = "array" if isinstance(value, list) else "object" if isinstance(value, dict) else "string"
    if isinstance(value, bool):
        kind = "boolean"
    elif isinstance(value, Number):
        kind = "number"
    return {"name": name, "valueType": kind, "value": value}


def _characteristics(service: Object) -> list[Json]:
    found = service["serviceCharacteristic"]
    return found if isinstance(found, list) else []


def _found_characteristics(item: Object) -> Object:
    service = item.get("service")
    listed = _list(service, "serviceCharacteristic") if isinstance(service, dict) else []
    return {_text(one, "name"): one.get("value") for one in listed if isinstance(one, dict) and _text(one, "name")}


def _ended_of(answer: Object) -> str | Undone:
    """Empty for completed, the cause for one that ended badly. Raises ProvisioningBroken."""
    state = _text(answer, "state")
    if state == "completed":
        return ""
    if state in _ENDED_BADLY:
        code = _first_text(answer, "errorMessage", "code")
        code = code or _first_text(_first(answer, "serviceOrderItem"), "errorMessage", "code")
        return _word(code, state.upper())
    return _undone(state)


def _undone(state: str) -> Undone:
    if state in _UNDONE:
        return Undone()
    raise ProvisioningBroken(f"The system answers with the state {state!r}.")


def _cost(value: Json | None) -> tuple[Price, ...]:
    """At least one price: YES without a cost is no answer. Req: Q-25."""
    if not isinstance(value, list) or not 0 < len(value) <= PRICES_MAX:
        raise ProvisioningBroken(f"A qualification says YES without {_COST}, a list of 1 to {PRICES_MAX} prices.")
    return tuple(_price(one) for one in value)


def _price(value: Json) -> Price:
    members = value if isinstance(value, dict) else {}
    amount = members.get("amount")
    kind = _PRICE_TYPES.get(_text(members, "priceType"))
    if kind is None or not isinstance(amount, dict):
        raise ProvisioningBroken(f"A price needs priceType ({', '.join(_PRICE_TYPES)}) and amount.")
    number, currency = amount.get("value"), _text(amount, "unit")
    if not isinstance(number, str) or _DECIMAL.fullmatch(number) is None:
        raise ProvisioningBroken(f"{number!r} is no amount: at most ten digits and nine decimals, not below 0.")
    nano = int(Fraction(number) * NANO)
    if nano > RATE_NANO_MAX:
        raise ProvisioningBroken(f"{number} is over the ledger's bound.")
    try:
        minor_digits(currency, "currency")
    except Rejected as error:
        raise ProvisioningBroken(error.sentence) from error
    label, period_ms = _period(members) if kind == PriceType.RECURRING else (PeriodLabel.NONE, 0)
    unit = _text(members, "unitOfMeasure")
    if (kind == PriceType.USAGE_BASED) != bool(unit):
        raise ProvisioningBroken("A usage based price, and only that, needs unitOfMeasure.")
    return Price(
        price_type=kind,
        rate=Rate(nano, currency),
        period_ms=period_ms,
        period_label=label,
        unit=unit,
        name=_text(members, "name"),
    )


def _period(members: Object) -> tuple[PeriodLabel, int]:
    label = _text(members, "recurringChargePeriod")
    for known, length_ms in LABEL_MS.items():
        if label == known.value:
            return known, length_ms
    raise ProvisioningBroken(f"A recurring price needs recurringChargePeriod: {', '.join(LABEL_MS)}.")


def _method(value: Json | None) -> OutageMethod:
    for known in OutageMethod:
        if value == known.value:
            return known
    raise ProvisioningBroken(f"A change needs {_METHOD}: {', '.join(OutageMethod)}.")


def _whole(value: Json | None, name: str) -> int:
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= len(str(TIME_MS_MAX)):
        return int(value)
    raise ProvisioningBroken(f"A qualification says YES without {name}, a whole number of milliseconds.")


def _word(code: str, otherwise: str) -> str:
    """A code as a word that the ledger takes as a reason."""
    text = re.sub(r"[^A-Z0-9]+", "_", code.upper()).strip("_")[:64]
    return text if REASON.fullmatch(text) else otherwise


def _text(value: Object, key: str) -> str:
    found = value.get(key)
    return found if isinstance(found, str) and not isinstance(found, Number) else ""


def _list(value: Object, key: str) -> list[Json]:
    found = value.get(key)
    return found if isinstance(found, list) else []


def _first(value: Object, key: str) -> Object:
    """The first object of a list; empty if there is none."""
    return next((one for one in _list(value, key) if isinstance(one, dict)), {})


def _first_text(value: Object, key: str, member: str) -> str:
    return _text(_first(value, key), member)
