"""Acts as an audit compares them: what one of them leaves outside, and where that is not what was let out.

A command can be compared with the transaction that it went out in, member by member, and with what it leaves on documents. There
only what lasts counts: a window that was proposed may have been replaced since, by who needs no release for it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from ledgers.client.plain import to_plain
from smartcontracts.catalogue import OfferingStatus
from smartcontracts.lineage import element_lineage
from smartcontracts.order import ExtensionStatus, OrderStatus, WindowCause
from smartcontracts.service import ChangeStatus

_SHOWN_CHARACTERS_MAX: Final = 80


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """A member that is not what was let out, as text: `expected` is what was."""

    field: str
    expected: str
    found: str


class Created(NamedTuple):
    """The kind that an act creates, and the members that go from its command into the document as they are."""

    kind: str
    members: tuple[str, ...]


class Named(NamedTuple):
    """The document on which an act stands that creates none: its kind, and the command's member with its id.

    `left(command, record, services)` is what differs of what lasts; services by their ids.
    """

    kind: str
    member: str
    left: Callable[[Any, Any, Mapping[str, Any]], list[Difference]]


def differences(expected: Any, found: Any, field: str = "") -> list[Difference]:
    """Every member in which two values differ, down to the last one: of records, lists and plain values."""
    return _differing(to_plain(expected), to_plain(found), field)


def member_differences(members: Sequence[str], expected: Any, found: Any) -> list[Difference]:
    """What differs in these members of two records."""
    return [one for name in members for one in differences(getattr(expected, name), getattr(found, name), name)]


def created_differences(act: str, command: Any, record: Any) -> list[Difference]:
    """What differs in a document that an act created.

    Where a request begins, its ledger gives the items their lineage ids; a quote has its items in the inquiry's order.
    """
    created = CREATED[act]
    if created.kind == "quote":
        places = {item.id: place for place, item in enumerate(record.items)}
        items = sorted(command.items, key=lambda item: places.get(item.id, len(places)))
        command = replace(command, items=tuple(items))
    if created.kind == "inquiry":
        begun = (
            one if one.lineage_id else replace(one, lineage_id=element_lineage(command.lineage_key, one.id))
            for one in command.items
        )
        command = replace(command, items=tuple(begun))
    return member_differences(created.members, command, record)


def _differing(expected: Any, found: Any, field: str) -> list[Difference]:
    if expected == found:
        return []
    if isinstance(expected, dict) and isinstance(found, dict):
        names = dict.fromkeys((*expected, *found))
        pairs = [(expected.get(name), found.get(name), f"{field}.{name}" if field else name) for name in names]
    elif isinstance(expected, list) and isinstance(found, list) and len(expected) == len(found):
        pairs = [(one, other, f"{field}[{n}]") for n, (one, other) in enumerate(zip(expected, found, strict=True))]
    else:
        return [Difference(field=field, expected=_shown(expected), found=_shown(found))]
    return [difference for one, other, name in pairs for difference in _differing(one, other, name)]


def _shown(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _SHOWN_CHARACTERS_MAX else f"{text[:_SHOWN_CHARACTERS_MAX]}..."


def _one(field: str, expected: Any, found: Any) -> list[Difference]:
    return [Difference(field=field, expected=_shown(to_plain(expected)), found=_shown(to_plain(found)))]


def _ended(status: OrderStatus) -> Callable[[Any, Any, Mapping[str, Any]], list[Difference]]:
    """The order has this status and the command's reason for good."""

    def left(command: Any, order: Any, _: Mapping[str, Any]) -> list[Difference]:
        return [*differences(status, order.status, "status"), *member_differences(("reason",), command, order)]

    return left


def _accepted(_: Any, order: Any, __: Mapping[str, Any]) -> list[Difference]:
    return [] if order.accepted_at_ms else _one("status", OrderStatus.ACCEPTED, order.status)


def _activated(command: Any, order: Any, services: Mapping[str, Any]) -> list[Difference]:
    """An order that was cancelled after its activation has a service that was in operation."""
    service = services.get(order.service_id)
    was_in_operation = service is not None and service.activated_at_ms > 0
    ended_since = order.status == OrderStatus.CANCELLED and was_in_operation
    wrong = [] if ended_since else differences(OrderStatus.ACTIVATED, order.status, "status")
    if command.element_ids:
        wrong += differences(sorted(command.element_ids), sorted(item.id for item in order.items), "element_ids")
    return wrong


def _extension_requested(command: Any, order: Any, _: Mapping[str, Any]) -> list[Difference]:
    """The order has its last request only; before a second one the window must have changed."""
    request = order.extension
    if request is None:
        return _one("extension", command.activate_by_ms, None)
    is_only_one = all(change.at_ms > request.requested_at_ms for change in order.window_changes)
    return member_differences(("activate_by_ms", "reason"), command, request) if is_only_one else []


def _extension_answered(command: Any, order: Any, _: Mapping[str, Any]) -> list[Difference]:
    """A grant stands among the changes of the window; a refusal on the request, until the buyer gives time unasked."""
    status = None if order.extension is None else order.extension.status
    if command.granted:
        grants = [one for one in order.window_changes if one.cause == WindowCause.EXTENSION_GRANTED]
        if not grants:
            return _one("extension.status", ExtensionStatus.GRANTED, status)
        return _waived(command, grants)
    was_extended = any(one.cause == WindowCause.BUYER_EXTENDED for one in order.window_changes)
    return [] if was_extended else differences(ExtensionStatus.REFUSED, status, "extension.status")


def _extended(command: Any, order: Any, _: Mapping[str, Any]) -> list[Difference]:
    given = [one for one in order.window_changes if one.cause == WindowCause.BUYER_EXTENDED]
    same = [one for one in given if one.new_ms == command.activate_by_ms]
    if not same:
        last_ms = given[-1].new_ms if given else order.activate_by_ms
        return _one("activate_by_ms", command.activate_by_ms, last_ms)
    return _waived(command, same)


def _waived(command: Any, changes: Sequence[Any]) -> list[Difference]:
    if any(one.penalty_waived == command.waive_penalty for one in changes):
        return []
    return _one("penalty_waived", command.waive_penalty, changes[-1].penalty_waived)


def _window_told(_: Any, change: Any, __: Mapping[str, Any]) -> list[Difference]:
    """Either party may propose another window at any time: only that there was one lasts."""
    return [] if change.window is not None else _one("window", "a window", None)


def _hastened(command: Any, change: Any, _: Mapping[str, Any]) -> list[Difference]:
    """A time of implementation only becomes earlier."""
    if change.implement_at_ms <= command.implement_at_ms:
        return []
    return _one("implement_at_ms", command.implement_at_ms, change.implement_at_ms)


def _started(_: Any, change: Any, __: Mapping[str, Any]) -> list[Difference]:
    return [] if change.started_at_ms else _one("status", ChangeStatus.IMPLEMENTING, change.status)


def _change_ended(command: Any, change: Any, _: Mapping[str, Any]) -> list[Difference]:
    return member_differences(("outcome", "reason"), command, change)


def _taken(command: Any, quote: Any, _: Mapping[str, Any]) -> list[Difference]:
    return [*differences(True, quote.taken, "taken"), *member_differences(("inquiry_id",), command, quote)]


def _withdrawn(_: Any, offering: Any, __: Mapping[str, Any]) -> list[Difference]:
    return differences(OfferingStatus.WITHDRAWN, offering.status, "status")


CREATED: Final[Mapping[str, Created]] = MappingProxyType(
    {
        "submit_inquiry": Created(
            "inquiry",
            (
                "seller",
                "agreement_id",
                "level",
                "items",
                "ancestors",
                "lineage_key",
                "change",
                "replaces",
                "buyer_reference",
                "project",
                "requested_completion_ms",
                "withheld",
            ),
        ),
        "issue_quote": Created(
            "quote",
            (
                "inquiry_id",
                "level",
                "valid_until_ms",
                "items",
                "one_time_total",
                "term_total",
                "form",
                "bundle",
                "change_answer",
                "seller_reference",
                "withheld",
            ),
        ),
        "declare_unable": Created("unable", ("inquiry_id", "reason")),
        "place_order": Created(
            "order",
            (
                "quote_id",
                "activation_window_ms",
                "delivery_info",
                "implement_at_ms",
                "change",
                "replaces",
                "buyer_reference",
                "requested_completion_ms",
                "withheld",
            ),
        ),
        "publish_offering": Created(
            "offering",
            (
                "agreement_id",
                "offering",
                "description",
                "product",
                "prices",
                "form",
                "term",
                "installation_interval_ms",
                "quote_validity_ms",
                "valid_until_ms",
            ),
        ),
        # Its inquiry and its quote carry the hash.
        "request_standing_quote": Created("inquiry", ("items", "ancestors", "lineage_key", "buyer_reference")),
    }
)
NAMED: Final[Mapping[str, Named]] = MappingProxyType(
    {
        "take_late_quote": Named("quote", "quote_id", _taken),
        "withdraw_offering": Named("offering", "offering_id", _withdrawn),
        "accept_order": Named("order", "order_id", _accepted),
        "reject_order": Named("order", "order_id", _ended(OrderStatus.REJECTED)),
        "activate_order": Named("order", "order_id", _activated),
        "fail_order": Named("order", "order_id", _ended(OrderStatus.FAILED)),
        "cancel_order": Named("order", "order_id", _ended(OrderStatus.CANCELLED)),
        "request_extension": Named("order", "order_id", _extension_requested),
        "answer_extension": Named("order", "order_id", _extension_answered),
        "extend_window": Named("order", "order_id", _extended),
        "propose_maintenance": Named("service_change", "change_id", _window_told),
        "agree_maintenance": Named("service_change", "change_id", _window_told),
        "decline_maintenance": Named("service_change", "change_id", _window_told),
        "hasten_change": Named("service_change", "change_id", _hastened),
        "start_change": Named("service_change", "change_id", _started),
        "end_change": Named("service_change", "change_id", _change_ended),
    }
)
