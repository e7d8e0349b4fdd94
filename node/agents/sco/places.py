"""Places: where the items of an inquiry are, for those that don't say so themselves.

Items that are related are in one place or at its ends. Once one of them is asked for without the others, they are not there to
take its place from, so it takes it along.
"""

from __future__ import annotations

from typing import Final

from smartcontracts.canonical_json import Json, dump, load
from smartcontracts.inquiry import connected
from smartcontracts.trade import InquiryItem

# What says where an item is, the plainer one first.
_LOCATION: Final = ("place", "productRelationship")


def places_of(items: tuple[InquiryItem, ...]) -> dict[str, dict[str, Json]]:
    """For each item what its group of related items knows of where it is."""
    groups = connected(items)
    shared: dict[tuple[int, str], list[Json]] = {}
    for item, group in zip(items, groups, strict=True):
        product = _parsed(item.product)
        for member in _LOCATION:
            known = shared.setdefault((group, member), [])
            known.extend(one for one in _listed(product, member) if one not in known)
    found: dict[str, dict[str, Json]] = {}
    for item, group in zip(items, groups, strict=True):
        kept = next((one for one in _LOCATION if shared[group, one]), None)
        found[item.id] = {} if kept is None else {kept: shared[group, kept]}
    return found


def location_of(product: bytes) -> dict[str, Json]:
    """What a product itself says of where it is, as `located` takes it; the plainer words if there are several."""
    known = _parsed(product)
    kept = next((one for one in _LOCATION if _listed(known, one)), None)
    return {} if kept is None else {kept: _listed(known, kept)}


def located(product: bytes, shared: dict[str, Json]) -> bytes:
    """The product with what its group knows of where it is, unless it says so itself."""
    known = _parsed(product) if shared else None
    if not isinstance(known, dict) or any(_listed(known, member) for member in _LOCATION):
        return product
    return dump({**known, **shared})


def _parsed(product: bytes) -> Json:
    return load(product, "product") if product else None


def _listed(product: Json, member: str) -> list[Json]:
    found = product.get(member) if isinstance(product, dict) else None
    return found if isinstance(found, list) else []
