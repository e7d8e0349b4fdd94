"""One inquiry or order as a tree over the tiers that its reader may see, with the windows that are open in it.

The document on the bilateral ledger is the root. Below it stands what its seller's internal ledger keeps of it, if the
reader sees that one, and below that what the seller bought for it, on its other bilateral ledgers; and so on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from ledgers.client.errors import Refused
from ledgers.client.ledger import Ledger
from ledgers.kinds import INTERNAL

DEPTH_MAX: Final = 32
CHILDREN_MAX: Final = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class TreeNode:
    """A document in the tree. `window_ends_ms` is 0 where no window is open; times are Unix milliseconds."""

    title: str
    ledger: str
    ledger_id: str
    kind: str
    id: str
    status: str
    detail: str = ""
    window: str = ""
    window_ends_ms: int = 0
    children: tuple[TreeNode, ...] = ()

    def ledger_ids(self) -> frozenset[str]:
        """Every ledger that a document of the tree stands on."""
        return frozenset((self.ledger_id,)).union(*(child.ledger_ids() for child in self.children))


class TradeTree:
    """Reads trees through the ledgers that a client sees."""

    def __init__(self, ledgers: Sequence[Ledger]) -> None:
        """`ledgers` are those that the reader may see."""
        self._by_id = {ledger.id: ledger for ledger in ledgers}
        self._internal = [ledger for ledger in ledgers if ledger.kind == INTERNAL]

    def ledgers_of(self, root_id: str, node: TreeNode | None = None) -> tuple[Ledger, ...]:
        """Where something of a tree may happen next: its root's ledger, those of its documents, and internal ones, where what is new begins."""
        wanted = {root_id, *(ledger.id for ledger in self._internal), *(node.ledger_ids() if node else ())}
        return tuple(ledger for ledger in self._by_id.values() if ledger.id in wanted)

    async def inquiry(self, ledger_id: str, inquiry_id: str, depth: int = 0) -> TreeNode:
        """The tree of an inquiry. Raises Refused if the reader doesn't see it."""
        ledger = self._by_id[ledger_id]
        inquiry = (await ledger.get("inquiry", inquiry_id)).body
        children: list[TreeNode] = []
        for quote_id in (inquiry.quote_id, inquiry.late_quote_id):
            if quote_id and quote_id not in {child.id for child in children}:
                children.append(await self._leaf(ledger, "quote", quote_id))
        if depth < DEPTH_MAX:
            children += await self._below("inquiry_handover", ledger_id, inquiry_id, depth + 1)
        return _node("inquiry", ledger, "inquiry", inquiry, tuple(children))

    async def order(self, ledger_id: str, order_id: str, depth: int = 0) -> TreeNode:
        """The tree of an order. Raises Refused if the reader doesn't see it."""
        ledger = self._by_id[ledger_id]
        order = (await ledger.get("order", order_id)).body
        children = [await self._leaf(ledger, "service", order.service_id)] if order.service_id else []
        children += await self._listed(ledger, "service_change", order_id, "change")
        if depth < DEPTH_MAX:
            children += await self._below("order_handover", ledger_id, order_id, depth + 1)
        return _node("order", ledger, "order", order, tuple(children))

    async def _leaf(self, ledger: Ledger, kind: str, document_id: str) -> TreeNode:
        return _node(kind, ledger, kind, (await ledger.get(kind, document_id)).body)

    async def _listed(self, ledger: Ledger, kind: str, related: str, title: str) -> list[TreeNode]:
        page = await ledger.page(kind, related=related, page_size=CHILDREN_MAX)
        return [_node(title, ledger, kind, document.body) for document in page.documents]

    async def _below(self, kind: str, ledger_id: str, document_id: str, depth: int) -> list[TreeNode]:
        """What internal ledgers keep of a document of a bilateral one."""
        found = []
        for internal in self._internal:
            page = await internal.page(kind, related=document_id, page_size=CHILDREN_MAX)
            handovers = [document.body for document in page.documents if document.body.ledger_id == ledger_id]
            for handover in handovers:
                read = self._inquiry_parts if kind == "inquiry_handover" else self._order_parts
                found.append(_node("handover", internal, kind, handover, await read(internal, handover, depth)))
        return found

    async def _inquiry_parts(self, internal: Ledger, handover: Any, depth: int) -> tuple[TreeNode, ...]:
        return tuple(await self._asked(internal, handover.id, depth))

    async def _asked(self, internal: Ledger, subject_id: str, depth: int) -> list[TreeNode]:
        """What was asked for an inquiry, or anew for an order in recovery: SOF about elements, then sellers."""
        queries = await internal.page("sof_query", related=subject_id, page_size=CHILDREN_MAX)
        sourcings = await internal.page("sourcing", related=subject_id, page_size=CHILDREN_MAX)
        parts = [
            _node(f"own element {query.body.element.id}", internal, "sof_query", query.body)
            for query in sorted(queries.documents, key=lambda d: (d.body.attempt, d.body.element.id))
        ]
        for document in sorted(sourcings.documents, key=lambda d: d.body.attempt):
            asked = await asyncio.gather(*(self._seller(seller, depth) for seller in document.body.asked))
            below = tuple(node for node in asked if node is not None)
            parts.append(_node(f"{document.body.purpose} sourcing", internal, "sourcing", document.body, below))
        return parts

    async def _seller(self, asked: Any, depth: int) -> TreeNode | None:
        if not asked.inquiry_id or asked.ledger_id not in self._by_id:
            return None
        try:
            return await self.inquiry(asked.ledger_id, asked.inquiry_id, depth)
        except Refused:
            return None

    async def _order_parts(self, internal: Ledger, handover: Any, depth: int) -> tuple[TreeNode, ...]:
        page = await internal.page("service_element", related=handover.id, page_size=CHILDREN_MAX)
        elements = sorted((document.body for document in page.documents), key=lambda e: (e.place, e.tries, e.id))
        read: dict[str, TreeNode] = {}
        parts = []
        for element in elements:
            bought: tuple[TreeNode, ...] = ()
            if element.order_id and element.order_id not in read and element.ledger_id in self._by_id:
                try:
                    read[element.order_id] = await self.order(element.ledger_id, element.order_id, depth)
                    bought = (read[element.order_id],)
                except Refused:
                    bought = ()
            parts.append(
                _node(f"{element.source} element {element.element_id}", internal, "service_element", element, bought)
            )
        parts += await self._asked(internal, handover.id, depth)
        plans = await internal.page("change_plan", related=handover.id, page_size=CHILDREN_MAX)
        parts += [_node("change", internal, "change_plan", document.body) for document in plans.documents]
        return tuple(parts)


_CHANGE_ENDED: Final = frozenset(("done", "refused", "failed", "cancelled"))
_ASSESSED: Final = ("in_assessment", "internal_known", "sourcing", "collected")
_DELIVERED: Final = ("accepted", "in_delivery", "recovery", "to_activate", "extension_requested")
_ELEMENT_WINDOW: Final = ("activate_by_ms", "element window")
_ACTIVATION_WINDOW: Final = ("activate_by_ms", "activation window")
# Which window is open in a status: the field that holds its last millisecond, and what it is called.
WINDOWS: Final[Mapping[tuple[str, str], tuple[str, str]]] = MappingProxyType(
    {
        ("inquiry", "received"): ("respond_by_ms", "response window"),
        ("quote", "issued"): ("valid_until_ms", "validity"),
        ("order", "placed"): ("accept_by_ms", "acceptance window"),
        ("order", "accepted"): _ACTIVATION_WINDOW,
        **{("inquiry_handover", status): ("decide_by_ms", "time to decide") for status in _ASSESSED},
        **{("inquiry_handover", status): ("respond_by_ms", "time to answer") for status in ("to_quote", "to_refuse")},
        ("sourcing", "open"): ("respond_by_ms", "sellers' window"),
        ("sourcing", "asked"): ("respond_by_ms", "sellers' window"),
        ("order_handover", "checking_internal"): ("accept_by_ms", "acceptance window"),
        ("order_handover", "ordering_external"): ("accept_by_ms", "acceptance window"),
        ("order_handover", "to_reject"): ("accept_by_ms", "acceptance window"),
        **{("order_handover", status): _ACTIVATION_WINDOW for status in _DELIVERED},
        ("order_handover", "to_chain"): ("service_by_ms", "service window"),
        ("order_handover", "testing"): ("service_by_ms", "service window"),
        ("service_element", "accepted"): _ELEMENT_WINDOW,
        ("service_element", "activating"): _ELEMENT_WINDOW,
        ("service_element", "available"): ("hold_until_ms", "reservation"),
        ("service_change", "accepted"): ("due_at_ms", "implementation in"),
    }
)


def _node(title: str, ledger: Ledger, kind: str, record: Any, children: tuple[TreeNode, ...] = ()) -> TreeNode:
    status = str(record.status)
    window, ends_ms = _window(kind, status, record)
    return TreeNode(
        title=title,
        ledger=ledger.name or ledger.id,
        ledger_id=ledger.id,
        kind=kind,
        id=record.id,
        status=status,
        detail=_detail(kind, record),
        window=window,
        window_ends_ms=ends_ms,
        children=children,
    )


def _window(kind: str, status: str, record: Any) -> tuple[str, int]:
    """The window that is open in a document, and its last millisecond; nothing and 0 where none is."""
    change = record.change if kind == "change_plan" else record
    if kind in ("service_change", "change_plan") and change.window is not None and status not in _CHANGE_ENDED:
        return "maintenance window", change.window.until_ms
    if kind == "order" and status == "extension_requested" and record.extension is not None:
        return "answer to the extension", record.extension.answer_by_ms
    field, name = WINDOWS.get((kind, status), ("", ""))
    ends_ms = getattr(record, field) if field else 0
    return (name, ends_ms) if ends_ms else ("", 0)


def _detail(kind: str, record: Any) -> str:
    """What a reader wants to know of it besides its status; never more than its own ledger shows."""
    if kind == "quote":
        return f"{record.term_total.text()} over the term"
    if kind == "sourcing":
        unsourced = [one.unsourced_reason for one in record.elements if one.unsourced_reason]
        passed = [f"passed over: {one.reason}" for one in record.passed_over]
        return ", ".join(dict.fromkeys((*unsourced, *passed)))
    if kind == "service_element" and record.reason:
        return f"{record.reason}{f', {record.cause}' if record.cause else ''}"
    if kind == "sof_query" and record.answer is not None:
        return str(record.answer.reason)
    for field in ("reason", "unable_reason"):
        if getattr(record, field, ""):
            return str(getattr(record, field))
    return ""
