"""What the scenarios trade: lines and ports, each port at a place of its own, and who can make a port there.

A scenario chooses a place, and the providers' inventories decide by it who makes the port, at what cost, and what goes wrong.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from smartcontracts.agreement import PriceType
from smartcontracts.canonical_json import Json, dump
from smartcontracts.money import NANO, Money, Rate
from smartcontracts.trade import Action, EndAction, InquiryItem, ItemRelation, Price, Term, TermUnit

LINE: Final = "ethernet-line"
PORT: Final = "ethernet-port"
CURRENCY: Final = "EUR"
TERM: Final = Term(amount=24, unit=TermUnit.CALENDAR_MONTHS, end_action=EndAction.AUTO_RENEW)
CAPACITY: Final = 1_000
# What a person asks who quotes one item by hand.
ONCE: Final = Price(price_type=PriceType.NON_RECURRING, rate=Rate(90 * NANO, CURRENCY), name="installation")
ONCE_TOTAL: Final = Money(9_000, CURRENCY)
_LEAD_TIME_MS: Final = 86_400_000
# The samples that come with the demo; a port in them is of this type, too.
LINE_TYPE: Final = "urn:example:sonata:ethernet-line:1"
PORT_TYPE: Final = "urn:example:sonata:ethernet-port:1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """What one provider has at one place. `monthly` and `once` are amounts as texts; `change` as in docs/provisioning.md."""

    place: str
    monthly: str
    once: str = "90.00"
    gigabyte: str = "0.0002"
    capacity: int = CAPACITY
    activation_ms: int = 0
    change: dict[str, Any] = field(default_factory=dict)
    attributes: dict[str, Any] = field(default_factory=dict)

    def table(self) -> dict[str, Any]:
        """An entry of an inventory."""
        return {
            "id": pool_id(self.place),
            "offerings": [PORT],
            "locations": [self.place],
            "capacity": self.capacity,
            "lead_time_ms": _LEAD_TIME_MS,
            "activation_ms": self.activation_ms,
            "cost": {
                "non_recurring": self.once,
                "recurring": self.monthly,
                "period": "hour",
                "usage": {"GB": self.gigabyte},
            },
            "attributes": self.attributes,
            **({"change": self.change} if self.change else {}),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What goes wrong with a provider's activations at a place, `times` times."""

    place: str
    cause: str = ""
    delay_ms: int = 0
    times: int = 1
    operation: str = "activate"

    def table(self) -> dict[str, Any]:
        """An entry of an inventory."""
        return {
            "name": f"{self.operation} at {self.place}",
            "operation": self.operation,
            "pool": pool_id(self.place),
            "times": self.times,
            "cause": self.cause,
            "delay_ms": self.delay_ms,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Stock:
    """What a scenario needs in a provider's inventory."""

    pools: Sequence[Pool] = ()
    faults: Sequence[Fault] = ()


def pool_id(place: str) -> str:
    """The name of the pool at a place."""
    return f"ports-{place}"


def inventory(stocks: Iterable[Stock], *, makes_lines: bool = False, owner: str = "") -> dict[str, Any]:
    """An inventory with all that these stocks have; lines are made anywhere, by who makes any.

    With an `owner` pools are named after it, too: what two providers have at one place is not mistaken for one's secret
    with the other.
    """
    prefix = f"{owner}-" if owner else ""
    pools, faults = [], []
    for stock in stocks:
        pools += [{**table, "id": prefix + table["id"]} for table in (pool.table() for pool in stock.pools)]
        faults += [{**table, "pool": prefix + table["pool"]} for table in (fault.table() for fault in stock.faults)]
    return {"currency": CURRENCY, "pool": [*([_lines()] if makes_lines else []), *pools], "fault": faults}


def line(ends: Sequence[str], item_id: str = "line") -> InquiryItem:
    """A line between the ports with these item ids."""
    relations = tuple(ItemRelation(type="CONNECTS_TO_UNI", item_id=end) for end in ends)
    return _item(item_id, LINE, LINE_TYPE, relations=relations)


def port(place: str, item_id: str = "", action: Action = Action.ADD, **configuration: Json) -> InquiryItem:
    """A port at a place; the item is called after it."""
    places: Json = [{"@type": "GeographicAddressRef", "id": place, "role": "INSTALL_LOCATION"}]
    return _item(item_id or f"port-{place}", PORT, PORT_TYPE, action=action, places=places, configuration=configuration)


def line_with_ports(*places: str) -> tuple[InquiryItem, ...]:
    """A line and a port at each place."""
    ports = [port(place) for place in places]
    return (line([one.id for one in ports]), *ports)


def _item(
    item_id: str,
    offering: str,
    type_name: str,
    *,
    action: Action = Action.ADD,
    places: Json = None,
    configuration: dict[str, Json] | None = None,
    relations: tuple[ItemRelation, ...] = (),
) -> InquiryItem:
    product: dict[str, Json] = {
        "productOffering": {"id": offering},
        "productConfiguration": {"@type": type_name, "identifier": item_id, **(configuration or {})},
    }
    if places is not None:
        product["place"] = places
    return InquiryItem(
        id=item_id, action=action, offering=offering, product=dump(product), relations=relations, term=TERM
    )


def _lines() -> dict[str, Any]:
    return {
        "id": "lines",
        "offerings": [LINE],
        "capacity": CAPACITY,
        "lead_time_ms": _LEAD_TIME_MS,
        "cost": {"non_recurring": "250.00", "recurring": "98.40", "period": "hour", "usage": {"GB": "0.0005"}},
    }
