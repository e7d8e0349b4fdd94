"""Elements: what policy's parts become on the internal ledger, so that each can be asked for by itself."""

from __future__ import annotations

from typing import Final

from node.agents.policies import Part
from node.agents.sco.places import located, places_of
from smartcontracts.inquiry import Inquiry
from smartcontracts.internal.decomposition import Element, expected_lineage, serving_of
from smartcontracts.trade import InquiryItem, ItemRelation

DEPENDS_ON: Final = "DEPENDS_ON"


def elements_of(parts: tuple[Part, ...], inquiry: Inquiry) -> tuple[Element, ...]:
    """The elements that stand for the parts: with their lineage, and each knowing where it is.

    An item without a place of its own has those of the items that it is related to: once it is asked for without them,
    they are not there to take it from. Req: Q-13, Q-22; X-05.
    """
    serving = serving_of(part.item_ids for part in parts)
    places = places_of(inquiry.items)
    items = {item.id: item for item in inquiry.items}
    return tuple(
        Element(
            id=part.id,
            item_ids=part.item_ids,
            offering=part.offering,
            product=located(part.product, places.get(part.item_ids[0], {})),
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
