"""Sourcing: which items of an inquiry a provider makes itself and which it buys, and the inquiries that buy them.

The rule is a placeholder for a provider's own knowledge of its network: it needs nothing but the inquiry. The first item with
a place is the provider's own, the others with places are bought, items without a place are its own; with fewer than two
places the last item is bought.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from smartcontracts.canonical_json import Json, dump, load
from smartcontracts.inquiry import Inquiry, SubmitInquiry, connected
from smartcontracts.lineage import ancestors_of
from smartcontracts.trade import InquiryItem

_PLACE: Final = "place"
# What says where an item is, the plainer one first.
_LOCATION: Final = (_PLACE, "productRelationship")


def bought_items(items: tuple[InquiryItem, ...]) -> tuple[str, ...]:
    """Ids of the items that are bought, in the inquiry's order; there is at least one."""
    placed = [item.id for item in items if _listed(_parsed(item.product), _PLACE)]
    return tuple(placed[1:]) if len(placed) > 1 else (items[-1].id,)


def inquiries_to(
    inquiry: Inquiry,
    bought: tuple[str, ...],
    *,
    buyer: str,
    seller: str,
    agreement_id: str,
    response_window_ms: int = 0,
) -> tuple[SubmitInquiry, ...]:
    """What `buyer` asks of `seller` for the bought items: one inquiry for each group of items that are related.

    Items go as they stand, without relations to what is not bought. One without a place of its own gets those of the
    items that it was related to, or else the existing products at which they are, since they are not there to take them
    from. Who is upstream is named by pseudonyms: an organization's id would tell the seller who the customer is.
    """
    wanted = tuple(item for item in _with_places(inquiry.items) if item.id in bought)
    cut = tuple(
        replace(item, relations=tuple(relation for relation in item.relations if relation.item_id in bought))
        for item in wanted
    )
    groups = connected(cut)
    return tuple(
        SubmitInquiry(
            seller=seller,
            agreement_id=agreement_id,
            level=inquiry.level,
            items=tuple(item for item, group in zip(cut, groups, strict=True) if group == first),
            response_window_ms=response_window_ms,
            lineage_key=inquiry.lineage_key,
            ancestors=ancestors_of(inquiry.lineage_key, buyer, inquiry.ancestors),
        )
        for first in sorted(set(groups))
    )


def _with_places(items: tuple[InquiryItem, ...]) -> tuple[InquiryItem, ...]:
    places = places_of(items)
    return tuple(replace(item, product=located(item.product, places[item.id])) for item in items)


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
