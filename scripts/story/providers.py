"""What the demo's providers have, so that the customer's request is made by alpha, bought of bravo, and bought of delta further down.

Items without a place are alpha's own. The first place is bravo's, all others are delta's, whom bravo and charlie buy from. A
request without any place that could be bought is none for this story.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from scripts.story.files import FileUnfit
from scripts.story.goods import CURRENCY, Pool, Stock, inventory
from scripts.story.scene import ALPHA, BRAVO, CHARLIE, DELTA
from smartcontracts.canonical_json import Json, load
from smartcontracts.trade import InquiryItem

# What bravo buys of alpha, and a port of bravo's that is ordered to see an order run out.
BACKHAUL: Final = "alpha-backhaul"
SPARE: Final = "spare-room-1"
_PLACE: Final = "place"
_CAPACITY: Final = 100
_LEAD_TIME_MS: Final = 86_400_000
_OWN: Final = {"non_recurring": "250.00", "recurring": "98.40", "period": "hour", "usage": {"GB": "0.0005"}}
_NEAR: Final = {"non_recurring": "90.00", "recurring": "28.00", "period": "hour", "usage": {"GB": "0.0002"}}
_FAR: Final = {"non_recurring": "70.00", "recurring": "22.00", "period": "hour", "usage": {"GB": "0.0001"}}
_SMALL: Final = {"non_recurring": "15.00", "recurring": "22.75", "period": "hour", "usage": {"GB": "0.0004"}}

# An offering, and the places where it is wanted; several of one item belong together.
Want = tuple[str, tuple[str | tuple[tuple[str, str], ...], ...]]


def bought_items(items: Iterable[InquiryItem]) -> tuple[InquiryItem, ...]:
    """Items that alpha has to buy: those with places. Raises FileUnfit if there is none."""
    wanted = list(items)
    made = {item.offering for item in wanted if not _places(item)}
    bought = tuple(item for item in wanted if _places(item) and item.offering not in made)
    if not bought:
        raise FileUnfit(
            "Nothing in this request has a place and an offering of its own: alpha would make all of it, and nobody would sell it "
            "anything. Give at least one item a place."
        )
    return bought


def inventories(items: Iterable[InquiryItem]) -> Mapping[str, dict[str, Any]]:
    """Everybody's inventory for a request. Raises FileUnfit."""
    wanted = list(items)
    bought = bought_items(wanted)
    own = sorted({item.offering for item in wanted} - {item.offering for item in bought})
    near, *far = dict.fromkeys(_want(item) for item in bought)
    spare = inventory([Stock(pools=(Pool(place=SPARE, monthly="28.00"),))])["pool"]
    return {
        ALPHA: _file([_pool(f"own-{place}", (offering, ()), _OWN) for place, offering in enumerate(own)] + [_pool("backhaul", (BACKHAUL, ()), _SMALL)]),
        BRAVO: _file([_pool("near", near, _NEAR), *spare]),
        CHARLIE: _file([]),
        DELTA: _file([_pool(f"far-{place}", want, _FAR) for place, want in enumerate(far)]),
    }


def _file(pools: list[dict[str, Any]]) -> dict[str, Any]:
    return {"currency": CURRENCY, "pool": pools}


def _pool(name: str, want: Want, cost: dict[str, Any]) -> dict[str, Any]:
    offering, places = want
    return {
        "id": name,
        "offerings": [offering],
        "locations": [place if isinstance(place, str) else dict(place) for place in places],
        "capacity": _CAPACITY,
        "lead_time_ms": _LEAD_TIME_MS,
        "cost": cost,
    }


def _want(item: InquiryItem) -> Want:
    return item.offering, tuple(map(_location, _places(item)))


def _location(place: dict[str, Json]) -> str | tuple[tuple[str, str], ...]:
    """A place by its id, or by all of its texts."""
    name = place.get("id")
    if isinstance(name, str):
        return name
    return tuple(sorted((key, value) for key, value in place.items() if isinstance(value, str)))


def _places(item: InquiryItem) -> list[dict[str, Json]]:
    product = load(item.product, "product")
    places = product.get(_PLACE) if isinstance(product, dict) else None
    return [place for place in places if isinstance(place, dict)] if isinstance(places, list) else []
