"""Elements: what policy's parts become on the internal ledger, so that each can be asked for by itself."""

from __future__ import annotations

from typing import Final

from node.agents.policies import Part
from smartcontracts.canonical_json import Json, dump, load
from smartcontracts.inquiry import Inquiry, connected
from smartcontracts.internal.decomposition import Element, expected_lineage, serving_of
from smartcontracts.trade import InquiryItem, ItemRelation

DEPENDS_ON: Final = "DEPENDS_ON"
# What says where an item is, the plainer one first.
_LOCATION: Final = ("place", "productRelationship")


def elements_of(parts: tuple[Part, ...], inquiry: Inquiry) -> tuple[Element, ...]:
    """The elements that stand for the parts: with their lineage, and each knowing where it is.

    An item without a place of its own has those of the items that it is related to: once it is asked for without them,
    they are not there to take it from. Req: Q-13, Q-22; X-05.
    """
    serving = serving_of(part.item_ids for part in parts)
    places = _places(inquiry.items)
    items = {item.id: item for item in inquiry.items}
    return tuple(
        Element(
            id=part.id,
            item_ids=part.item_ids,
            offering=part.offering,
            product=_located(part.product, places.get(part.item_ids[0], {})),
            term=part.term,
            action=part.action,
            lineage_id=expected_lineage(
                part.id, part.item_ids, serving[part.item_ids[0]], inquiry.items, inquiry.lineage_key
            ),
            relations=_relations(part, items),
            installation_interval_ms=_wished_ms(part.item_ids, items),
        )
        for part in parts
    )


def _relations(part: Part, items: dict[str, InquiryItem]) -> tuple[ItemRelation, ...]:
    """The inquiry's own words for a relation where the part is an item; else that it depends on the other."""
    item = items.get(part.id)
    found: list[ItemRelation] = []
    for other in part.depends_on:
        types = [one.type for one in item.relations if one.item_id == other] if item is not None else []
        found.extend(ItemRelation(type=word, item_id=other) for word in types or [DEPENDS_ON])
    return tuple(found)


def _wished_ms(item_ids: tuple[str, ...], items: dict[str, InquiryItem]) -> int:
    """The shortest lead time that its items wish for; 0 is none."""
    wishes = [items[one].installation_interval_ms for one in item_ids if one in items]
    return min((wish for wish in wishes if wish), default=0)


def _places(items: tuple[InquiryItem, ...]) -> dict[str, dict[str, Json]]:
    """For each item what its group of related items knows of where it is."""
    groups = connected(items)
    shared: dict[tuple[int, str], list[Json]] = {}
    for item, group in zip(items, groups, strict=True):
        for member in _LOCATION:
            known = shared.setdefault((group, member), [])
            known.extend(one for one in _listed(item.product, member) if one not in known)
    located: dict[str, dict[str, Json]] = {}
    for item, group in zip(items, groups, strict=True):
        kept = next((one for one in _LOCATION if shared[group, one]), None)
        located[item.id] = {} if kept is None else {kept: shared[group, kept]}
    return located


def _located(product: bytes, shared: dict[str, Json]) -> bytes:
    """The product with what its group knows of where it is, unless it says so itself."""
    if not shared or not product:
        return product
    known = load(product, "product")
    if not isinstance(known, dict) or any(_listed(product, member) for member in _LOCATION):
        return product
    return dump({**known, **shared})


def _listed(product: bytes, member: str) -> list[Json]:
    known = load(product, "product") if product else None
    found = known.get(member) if isinstance(known, dict) else None
    return found if isinstance(found, list) else []
