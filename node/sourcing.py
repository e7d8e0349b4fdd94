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
from smartcontracts.trade import InquiryItem

_PLACE: Final = "place"


def bought_items(items: tuple[InquiryItem, ...]) -> tuple[str, ...]:
    """Ids of the items that are bought, in the inquiry's order; there is at least one."""
    placed = [item.id for item in items if _places(item)]
    return tuple(placed[1:]) if len(placed) > 1 else (items[-1].id,)


def inquiries_to(
    inquiry: Inquiry,
    bought: tuple[str, ...],
    *,
    seller: str,
    agreement_id: str,
    response_window_ms: int = 0,
    ancestors: tuple[str, ...] = (),
) -> tuple[SubmitInquiry, ...]:
    """What is asked of `seller` for the bought items: one inquiry for each group of items that are related.

    Items go as they stand, without relations to what is not bought. One without a place of its own gets those of the
    items that it was related to, since they are not there to take them from. Who is upstream is named by
    pseudonyms that the caller gives: an organization's id would tell the seller who the customer is.
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
            ancestors=ancestors,
        )
        for first in sorted(set(groups))
    )


def _with_places(items: tuple[InquiryItem, ...]) -> tuple[InquiryItem, ...]:
    groups = connected(items)
    places: dict[int, list[Json]] = {}
    for item, group in zip(items, groups, strict=True):
        shared = places.setdefault(group, [])
        shared.extend(place for place in _places(item) if place not in shared)
    return tuple(
        item if _places(item) or not places[group] else _placed(item, places[group])
        for item, group in zip(items, groups, strict=True)
    )


def _placed(item: InquiryItem, places: list[Json]) -> InquiryItem:
    product = load(item.product, "product")
    return replace(item, product=dump({**product, _PLACE: places})) if isinstance(product, dict) else item


def _places(item: InquiryItem) -> list[Json]:
    product = load(item.product, "product")
    found = product.get(_PLACE) if isinstance(product, dict) else None
    return found if isinstance(found, list) else []
