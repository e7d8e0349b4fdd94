"""Wrong variants of commands that are right: one thing each, of what a seller, a buyer or an agent might get wrong, or try.

They are tried when the right one is about to be sent, by who is about to send it: so a contract has nothing against them but that.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from random import Random
from types import MappingProxyType
from typing import Any, Final

from smartcontracts.change import AgreeMaintenance
from smartcontracts.lineage import pseudonym
from smartcontracts.order import OrderItem
from smartcontracts.trade import (
    Action,
    Change,
    ChangeAnswer,
    ChangeKind,
    ChangeMethod,
    ItemRelation,
    Outage,
    QuoteForm,
    SaltedHash,
)

Wrong = Callable[[Any], Any]
FAR_MS: Final = 10**9
TRIES: Final = 4
_ITSELF: Final = "reliesOn"


def wronged(message: str, command: Any, random: Random) -> Any:
    """The command with one thing wrong, as it is if nothing is known for its message, or this one lacks what it takes."""
    wrongs = WRONGS.get(message, ())
    for wrong in random.sample(wrongs, min(len(wrongs), TRIES)):
        other = wrong(command)
        if other != command:
            return other
    return command


def said_by_oneself(message: str, command: Any) -> tuple[str, Any] | None:
    """What only the other party may say to a command that was just done; None if there is no such thing."""
    if message != "propose_maintenance":
        return None
    agreed = AgreeMaintenance(
        change_id=command.change_id, service_id=command.service_id, from_ms=command.from_ms, until_ms=command.until_ms
    )
    return "agree_maintenance", agreed


def _first(name: str, **changes: Any) -> Wrong:
    """The first of a list's elements is another."""

    def wrong(command: Any) -> Any:
        found = getattr(command, name)
        return command if not found else replace(command, **{name: (replace(found[0], **changes), *found[1:])})

    return wrong


def _all(name: str, **changes: Any) -> Wrong:
    return lambda command: replace(command, **{name: tuple(replace(one, **changes) for one in getattr(command, name))})


def _with(**changes: Any) -> Wrong:
    return lambda command: replace(command, **changes)


def _later(name: str, by_ms: int = FAR_MS) -> Wrong:
    return lambda command: replace(command, **{name: max(0, getattr(command, name) + by_ms)})


def _without_last(name: str) -> Wrong:
    return lambda command: replace(command, **{name: getattr(command, name)[:-1]})


def _turned(name: str) -> Wrong:
    return lambda command: replace(command, **{name: getattr(command, name)[::-1]})


def _doubled(name: str) -> Wrong:
    return lambda command: replace(command, **{name: (*getattr(command, name), *getattr(command, name)[:1])})


# Inquiries and quotes


def _related(*targets: int) -> Wrong:
    """The first item relates to these; to nothing that is there for a number that no item has."""

    def wrong(command: Any) -> Any:
        items = command.items
        ids = [items[place].id if place < len(items) else "nowhere" for place in targets]
        relations = tuple(ItemRelation(type=_ITSELF, item_id=one) for one in ids)
        return replace(command, items=(replace(items[0], relations=relations), *items[1:]))

    return wrong


def _many(command: Any) -> Any:
    item = command.items[0]
    return replace(command, items=tuple(replace(item, id=f"item-{number:04}", relations=()) for number in range(101)))


def _loop(command: Any) -> Any:
    """The seller is among those that the request came through."""
    upstream = pseudonym(command.lineage_key, command.seller)
    return replace(command, ancestors=(upstream, *command.ancestors))


def _forwarded(lineage_id: str) -> Wrong:
    """As if it came from somebody else, with elements that are called so."""

    def wrong(command: Any) -> Any:
        items = tuple(replace(one, lineage_id=lineage_id) for one in command.items)
        return replace(
            command, items=items, ancestors=(pseudonym(command.lineage_key, "org_other"), *command.ancestors[-1:])
        )

    return wrong


def _priced_wrong(command: Any) -> Any:
    total = command.one_time_total
    return replace(command, one_time_total=replace(total, minor=total.minor + 1))


def _dearer(quote: Any) -> Any:
    """A price that the cost does not give."""
    item = quote.items[0]
    if not item.prices:
        return quote
    price = item.prices[0]
    more = replace(price, rate=replace(price.rate, nano=price.rate.nano + 10**9))
    return replace(quote, items=(replace(item, prices=(more, *item.prices[1:])), *quote.items[1:]))


def _of_quote(wrong: Wrong) -> Wrong:
    return lambda command: replace(command, quote=wrong(command.quote))


_NO_OUTAGE_WITH_TIME: Final = ChangeAnswer(outage=Outage.NO, outage_ms=5, method=ChangeMethod.RECONFIGURE)
_NO_OUTAGE: Final = ChangeAnswer(outage=Outage.NO, method=ChangeMethod.RECONFIGURE)


# Orders


def _restated(command: Any) -> Any:
    other = OrderItem(id="item-001", action=Action.ADD, offering="another", product=b"{}")
    return replace(command, items=(other,))


def _of_change(**changes: Any) -> Wrong:
    return lambda command: (
        command if command.change is None else replace(command, change=replace(command.change, **changes))
    )


_ELSEWHERE: Final = Change(service_id="srv_elsewhere", kind=ChangeKind.QOS)

WRONGS: Final[Mapping[str, tuple[Wrong, ...]]] = MappingProxyType(
    {
        "submit_inquiry": (
            _with(withheld=(SaltedHash(subject="name", sha256=b"short"),)),
            _with(withheld=(SaltedHash(subject="", sha256=bytes(32)),)),
            _many,
            _related(9),
            _related(1, 1),
            _related(0),
            _related(1),
            _all("items", relations=()),
            _loop,
            _forwarded(""),
            _forwarded("x"),
            _with(change=None),
            _with(change=_ELSEWHERE),
            _of_change(kind=ChangeKind.TERMINATION),
            _of_change(kind=ChangeKind.QOS),
            _of_change(service_id="srv_elsewhere"),
            _first("items", id="item-999"),
            _doubled("items"),
            _with(ancestors=()),
            _with(lineage_key=b"short"),
            _with(replaces="inq_none"),
        ),
        "issue_quote": (
            _priced_wrong,
            _with(form=QuoteForm.BUNDLED),
            _with(form=QuoteForm.ITEMISED),
            _with(change_answer=None),
            _with(change_answer=_NO_OUTAGE),
            _with(change_answer=_NO_OUTAGE_WITH_TIME),
            _without_last("items"),
            _first("items", prices=()),
        ),
        "request_standing_quote": (
            _first("items", offering="another"),
            _with(items=()),
            _first("items", term=None),
            _with(lineage_key=b"short"),
        ),
        "place_order": (
            _restated,
            _with(inquiry_id="inq_other"),
            _with(requested_completion_ms=1),
            _with(delivery_info=b"x"),
            _with(delivery_info=b"[]"),
            _with(delivery_info=b'{"cir":1}'),
            _with(withheld=(SaltedHash(subject="name", sha256=b"short"),)),
            _with(change=None),
            _with(change=_ELSEWHERE),
            _with(acceptance_window_ms=0),
            _with(activation_window_ms=1),
            _later("implement_at_ms"),
        ),
        "activate_order": (_with(element_ids=("item-001",)), _with(element_ids=("nowhere",))),
        "answer_extension": (_with(granted=False, waive_penalty=True),),
        "request_extension": (_with(activate_by_ms=1), _later("activate_by_ms", 10**13)),
        "extend_window": (_with(activate_by_ms=1), _later("activate_by_ms", 10**13)),
        "propose_maintenance": (_later("from_ms", -FAR_MS), _later("until_ms"), _with(service_id="srv_elsewhere")),
        "agree_maintenance": (_later("from_ms", 1), _later("until_ms", -1)),
        "release_quote": (
            _of_quote(_dearer),
            _of_quote(_later("valid_until_ms")),
            _of_quote(_with(change_answer=_NO_OUTAGE)),
            _of_quote(_with(change_answer=None)),
            _with(markups=()),
        ),
        "decompose": (
            lambda command: _first("elements", relations=(ItemRelation(type=_ITSELF, item_id=command.elements[0].id),))(
                command
            ),
            _first("elements", relations=(ItemRelation(type=_ITSELF, item_id="nowhere"),)),
            _without_last("elements"),
            _doubled("elements"),
            lambda command: replace(
                command, elements=tuple(replace(command.elements[0], id=f"{number:04}") for number in range(101))
            ),
        ),
        "answer_sof_queries": (
            _first("answers", lead_time_ms=0),
            _first("answers", prices=()),
            _doubled("answers"),
            _with(answers=()),
        ),
        "request_sourcing": (_later("respond_by_ms"), _doubled("elements"), _with(elements=())),
        "release_inquiry": (
            _later("respond_by_ms"),
            _doubled("element_ids"),
            _with(ancestors=()),
            lambda command: replace(command, seller="org_other"),
            _turned("ancestors"),
        ),
        "declare_unsourced": (_doubled("element_ids"), _with(element_ids=())),
        "close_asking": (_doubled("passed_over"),),
        "record_response": (_with(quote=None), _with(score_tenths=10_000)),
        "assess": (
            _without_last("choices"),
            _doubled("choices"),
            _with(choices=()),
            _first("choices", query_id="", received_quote_id="rqu_none"),
            _first("choices", query_id="sof_none", received_quote_id=""),
        ),
        "hand_over_order": (
            _of_change(id="chg_other"),
            _with(quote_id="quo_other"),
            _of_change(service_id="srv_elsewhere"),
        ),
        "answer_availability": (
            _first("answers", reservation_id=""),
            _first("answers", cost=()),
            _first("answers", element_id="sel_none"),
        ),
        "release_order": (_with(quote_id="quo_other"), _with(salt=b"short")),
        "record_order_answer": (
            _with(service_id=""),
            _with(activate_by_ms=0),
            _with(order_id="ord_other"),
            _with(service_id="srv_x", activate_by_ms=0),
        ),
        "request_activation": (_with(elements=()), _later("service_by_ms"), _doubled("elements")),
        "chain_elements": (_turned("element_ids"), _without_last("element_ids"), _doubled("element_ids")),
        "record_test": (_with(values=b"x"),),
        "decide_recovery": (
            _with(decision=""),
            _with(decision="alternative_external"),
            _with(decision="alternative_internal"),
        ),
        "choose_replacement": (_with(received_quote_id="rqu_none"),),
        "release_extension": (_with(activate_by_ms=1),),
        "release_extension_answer": (_later("activate_by_ms", 1), _with(order_handover_id=""), _with(granted=True)),
        "set_windows": (_later("service_by_ms"), _doubled("elements")),
        "mirror_change": (
            lambda command: replace(command, change=replace(command.change, order_id="ord_other")),
            _with(ledger_id="sg_elsewhere"),
        ),
        "release_maintenance": (
            _later("from_ms", -FAR_MS),
            _later("until_ms"),
            _later("from_ms", 1),
            _with(act="agree"),
            _with(act="propose"),
            _with(service_id="srv_elsewhere"),
        ),
        "record_cancellation": (_with(outcome="stranded"),),
        "release_termination_order": (
            lambda command: replace(command, quote=replace(command.quote, inquiry_id="inq_other")),
        ),
        "release_termination_inquiry": (_with(lineage_key=b"short"), _with(service_id="srv_elsewhere")),
        "set_sourcing_rules": (_with(markup_basis_points=-1), _with(tries_max=0), _with(quoting_ms=-1)),
    }
)
