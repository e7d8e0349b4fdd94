"""Policies: what an organization decides for itself, as methods to override; the defaults are good for most.

A plug-in is a subclass, named in the node's configuration as "package.module:Name" (docs/agents.md). Every method is pure:
what it decides by is in its arguments, so that a repeat after a crash decides alike. The contracts check what it answers.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from node.agents.policy_settings import ALL_MEMBERS, PolicySettings, Recipe, RecipePart
from smartcontracts.canonical_json import Json, dump, load
from smartcontracts.internal.rules import Prefer, SourcingRules, markup_of
from smartcontracts.trade import Action, InquiryItem, QuoteForm, Term

# Why an organization is not asked; words that stand on INT.
NOT_NAMED: Final = "NOT_NAMED"
BUYS_ONLY: Final = "BUYS_ONLY"
SILENT: Final = "SILENT"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """An inquiry to decompose: the `attempt`th time, from 1."""

    handover_id: str
    buyer: str
    items: tuple[InquiryItem, ...]
    attempt: int
    now_ms: int
    respond_by_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One element of a decomposition. `depends_on` names parts that come before it in the chain. Req: Q-02, Q-22."""

    id: str
    item_ids: tuple[str, ...]
    offering: str
    product: bytes
    term: Term | None
    action: Action
    depends_on: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnOffer:
    """What SOF said it would cost to make an element: over the whole term, in minor units."""

    total_minor: int
    currency: str
    lead_time_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Seller:
    """An organization that could be asked, on the bilateral ledger with it."""

    organization: str
    ledger_id: str
    # Its score in tenths, 0..99; -1 where it has none.
    score_tenths: int = -1
    # Whether it has given a sign of selling (an answer, a score, the offering in its catalogue, an agreement under which it
    # alone sells), and whether it has bought from us.
    sells: bool = True
    buys: bool = False
    # Requests in a row that it left without an answer, and how long ago the last one was over.
    silences: int = 0
    silent_for_ms: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class RankedQuote:
    """A collected quote with its place in INT's ranking, from 1."""

    quote_id: str
    seller: str
    rank: int
    total_minor: int
    currency: str
    lead_time_ms: int
    score_tenths: int
    late: bool = False


@dataclass(frozen=True, slots=True)
class Preference:
    """A quote that is taken though another ranks first, and why: a word in capitals. Req: Q-37."""

    quote_id: str
    reason: str


class Recovery(StrEnum):
    """What is done about an element that failed. Req: D-30."""

    ALTERNATIVE_INTERNAL = "alternative_internal"
    ALTERNATIVE_EXTERNAL = "alternative_external"
    ABANDON = "abandon"


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """An element that was not activated. `failures` counts those of this order so far, this one included."""

    element_id: str
    offering: str
    was_internal: bool
    cause: str
    failures: int
    now_ms: int
    activate_by_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Delay:
    """An order that is not, or will not be, activated by its end."""

    order_id: str
    now_ms: int
    activate_by_ms: int
    # How often its end was moved before.
    extensions: int
    # When the elements still open are expected, if anything is known of it; else 0.
    expected_ms: int = 0


@dataclass(frozen=True, slots=True)
class Extension:
    """What is asked of the buyer: a later end, and why: a word in capitals. Req: D-33."""

    activate_by_ms: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ExtensionAsked:
    """A seller wants more time. `downstream` is true where our own buyer's end decides about it."""

    order_id: str
    seller: str
    now_ms: int
    activate_by_ms: int
    asked_ms: int
    reason: str
    # The end that our own buyer holds us to; 0 where we are the customer.
    own_activate_by_ms: int = 0
    extensions: int = 0


@dataclass(frozen=True, slots=True)
class Grant:
    """The buyer's answer to a wish for more time. Req: D-41."""

    granted: bool
    waive_penalty: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class MaintenanceAsked:
    """A change that interrupts a service for `outage_ms`: between `earliest_ms` and `latest_ms`, where that is not 0. Req: C-09."""

    change_id: str
    service_id: str
    outage_ms: int
    now_ms: int
    earliest_ms: int
    latest_ms: int


@dataclass(frozen=True, slots=True)
class Window:
    """From the first to the last millisecond."""

    from_ms: int
    until_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TerminationQuoted:
    """What a seller asks for the end of a service that nobody needs, at the `attempt`th time. X-27.

    `bought_minor` is what the service itself was bought for, over its whole term, in the same currency.
    """

    service_id: str
    seller: str
    total_minor: int
    currency: str
    attempt: int
    bought_minor: int = 0


class Process(StrEnum):
    """What own time is kept for."""

    QUOTING = "quoting"
    ORDERING = "ordering"
    DELIVERY = "delivery"


class Policies:
    """The defaults, as the policies' file sets them."""

    def __init__(self, settings: PolicySettings | None = None) -> None:
        """A plug-in is made with the settings, too."""
        self.settings = settings or PolicySettings()

    # Inquiry and quote

    def decompose(self, asked: Asked) -> tuple[Part, ...]:
        """The elements to ask for in this attempt; empty gives up. Req: Q-22, Q-23, Q-41.

        Default: by the recipes of the items' offerings, the nth in the nth attempt; an item without one is taken whole.
        Something that is in operation already is changed as it is, whole.
        """
        ways = [self._ways(item) for item in asked.items]
        if asked.attempt > max(map(len, ways), default=0):
            return ()
        chosen = [way[min(asked.attempt, len(way)) - 1] for way in ways]
        return parts_by_recipes(asked.items, chosen)

    def buy_too(self, part: Part, own: OwnOffer, rules: SourcingRules) -> bool:
        """Whether sellers are asked for an element that could be made. Default: by the rules' `prefer`. Req: Q-27."""
        return rules.prefer == Prefer.CHEAPEST

    def sellers(self, part: Part, candidates: tuple[Seller, ...]) -> tuple[Seller, ...]:
        """Which of the candidates are asked (none is upstream of the inquiry). Req: Q-30.

        Default: those that `passes_over` has nothing against; if there is none, those that were silent, and then customers.
        """
        reasons = [self.passes_over(part, one) for one in candidates]
        for accepted in ("", SILENT, BUYS_ONLY):
            chosen = tuple(one for one, reason in zip(candidates, reasons, strict=True) if reason == accepted)
            if chosen:
                return chosen[: self.settings.sellers_max]
        return ()

    def passes_over(self, part: Part, seller: Seller) -> str:
        """Why a candidate is not asked while there are others, a word in capitals for INT; empty where it is. Req: Q-31.

        Default: by the file's rule for the offering. Without one, a customer that never gave a sign of selling and has left a
        request without an answer; and who else was silent, once if it never gave such a sign, else `silences_max` times in
        a row, until `silence_pause_ms` have passed.
        """
        rules = {rule.offering: rule.organizations for rule in self.settings.seller}
        named = rules.get(part.offering, rules.get(""))
        if named is not None:
            return "" if seller.organization in named else NOT_NAMED
        if seller.buys and not seller.sells and seller.silences:
            return BUYS_ONLY
        patience = self.settings.silences_max if seller.sells else 1
        is_silent = seller.silences >= patience and seller.silent_for_ms < self.settings.silence_pause_ms
        return SILENT if is_silent else ""

    def prefer(self, part: Part, ranked: tuple[RankedQuote, ...]) -> Preference | None:
        """A quote to take though another ranks first. Default: the ranking decides. Req: Q-37."""
        return None

    def make(self, part: Part, own: OwnOffer, best: RankedQuote | None, rules: SourcingRules) -> bool:
        """Whether an element that can be made and bought is made. Default: by the rules' `prefer`; a tie is made."""
        if best is None or rules.prefer == Prefer.INTERNAL or best.currency != own.currency:
            return True
        return own.total_minor <= best.total_minor

    def take_late_quote(self, part: Part, quote: RankedQuote, now_ms: int, respond_by_ms: int) -> bool:
        """Whether a quote that came after its window is taken. Default: while our own answer is still owed. Req: Q-32."""
        return now_ms < respond_by_ms

    def reuse(self, buyer: str, age_ms: int, rules: SourcingRules) -> bool:
        """Whether a quote to an identical inquiry, `age_ms` old, is used again. Default: for half of its validity. Req: Q-20."""
        return age_ms * 2 <= rules.quote_validity_ms

    def markup_basis_points(self, offering: str, buyer: str, rules: SourcingRules) -> int:
        """The mark-up. Default: the rules'. Another one stands on INT as decided by the agent."""
        return markup_of(rules, offering)

    def quote_validity_ms(self, buyer: str, rules: SourcingRules) -> int:
        """How long a quote is valid after the buyer's window, before its parts' own ends cut it short. Default: the rules'. Req: Q-49."""
        return rules.quote_validity_ms

    def quote_form(self, buyer: str, items: tuple[InquiryItem, ...]) -> QuoteForm:
        """Whether each item has its price, or all together one; items of different terms have theirs anyway. Default: each. Req: Q-40."""
        return QuoteForm.ITEMISED

    def own_time_ms(self, process: Process, window_ms: int, rules: SourcingRules) -> int:
        """What is kept of a window before the rest goes to sellers. Default: the rules', at most a third of it. Req: O-33."""
        kept = {
            Process.QUOTING: rules.quoting_ms,
            Process.ORDERING: rules.ordering_ms,
            Process.DELIVERY: rules.delivery_ms,
        }
        return min(kept[process], window_ms // 3)

    def delivery_info(self, offerings: tuple[str, ...], seller: str, given: Mapping[str, Json]) -> Mapping[str, Json]:
        """What a seller of these offerings is told of the delivery information in our buyer's order. Req: O-08.

        Default: the members that the file's rules name, so nothing without a rule: it may tell a seller who the buyer is.
        """
        rules = {rule.offering: rule.keep for rule in self.settings.delivery_info}
        kept = {name for offering in offerings for name in rules.get(offering, rules.get("", ()))}
        return {name: value for name, value in given.items() if name in kept or ALL_MEMBERS in kept}

    # Delivery and recovery

    def recover(self, failure: Failure) -> Recovery:
        """What is done about a failed element. Default: the other source first, and after `failures_max` the end. Req: D-30."""
        if failure.failures >= self.settings.failures_max or failure.now_ms >= failure.activate_by_ms:
            return Recovery.ABANDON
        if failure.was_internal:
            return Recovery.ALTERNATIVE_EXTERNAL
        return Recovery.ALTERNATIVE_INTERNAL if failure.failures == 1 else Recovery.ALTERNATIVE_EXTERNAL

    def ask_extension(self, delay: Delay) -> Extension | None:
        """Whether the buyer is asked for more time. Default: `extensions_max` times, for `extension_ms` or until what is expected. Req: D-33."""
        if delay.extensions >= self.settings.extensions_max:
            return None
        later_ms = max(delay.now_ms, delay.activate_by_ms) + self.settings.extension_ms
        return Extension(max(delay.expected_ms, later_ms), "DELIVERY_LATE")

    def grant_extension(self, asked: ExtensionAsked) -> Grant:
        """Whether a seller gets more time. Default: if our own end allows it; a customer grants the first `grants_max`. Req: D-41."""
        if asked.own_activate_by_ms:
            granted = asked.asked_ms < asked.own_activate_by_ms
        else:
            granted = asked.extensions < self.settings.grants_max
        return Grant(granted=granted, waive_penalty=granted and self.settings.waive_penalty)

    def accept_termination(self, quoted: TerminationQuoted) -> bool:
        """Whether the end of a stranded service is ordered at this price. Default: unless running on to its term costs less. X-27."""
        return quoted.total_minor <= quoted.bought_minor

    def termination_window_ms(self) -> int:
        """How long a seller has to accept the order of such an end, and again to carry it out. X-27."""
        return self.settings.termination_window_ms

    def termination_pause_ms(self, attempt: int) -> int:
        """How long nothing is asked after the `attempt`th attempt, from 1. Default: twice as long each time, up to a limit. X-27."""
        first_ms, longest_ms = self.settings.termination_pause_ms, self.settings.termination_pause_max_ms
        doublings = min(attempt - 1, longest_ms.bit_length())
        return max(first_ms, min(first_ms << doublings, longest_ms))

    # Change

    def maintenance_window(self, asked: MaintenanceAsked) -> Window | None:
        """When a service may be interrupted; None if never in time. Default: as soon as neighbours had their notice. Req: C-09."""
        from_ms = max(asked.earliest_ms, asked.now_ms + self.settings.maintenance_notice_ms)
        until_ms = from_ms + asked.outage_ms
        return None if asked.latest_ms and until_ms > asked.latest_ms else Window(from_ms, until_ms)

    def agree_maintenance(self, asked: MaintenanceAsked, window: Window) -> bool:
        """Whether a window that the other side proposes is fine. Default: if it lies inside what was asked."""
        return window.from_ms >= asked.earliest_ms and (not asked.latest_ms or window.until_ms <= asked.latest_ms)

    def _ways(self, item: InquiryItem) -> tuple[Recipe, ...]:
        """The ways to make an item, in order; there is always one."""
        whole = Recipe(offering=item.offering or "-")
        if item.action != Action.ADD:
            return (whole,)
        return tuple(recipe for recipe in self.settings.recipe if recipe.offering == item.offering) or (whole,)


def parts_by_recipes(items: tuple[InquiryItem, ...], recipes: list[Recipe]) -> tuple[Part, ...]:
    """The parts of all items, each by its recipe; a part comes after all parts of those items that its item relates to."""
    names = {
        item.id: tuple(f"{item.id}.{part.name}" for part in recipe.part) or (item.id,)
        for item, recipe in zip(items, recipes, strict=True)
    }
    parts: list[Part] = []
    for item, recipe in zip(items, recipes, strict=True):
        related = dict.fromkeys(name for relation in item.relations for name in names.get(relation.item_id, ()))
        if not recipe.part:
            parts.append(_part(item, item.id, item.offering, item.product, tuple(related)))
        for part in recipe.part:
            before = (*related, *(f"{item.id}.{name}" for name in part.after))
            parts.append(_part(item, f"{item.id}.{part.name}", part.offering, part_product(item.product, part), before))
    return tuple(parts)


def part_product(product: bytes, part: RecipePart) -> bytes:
    """The canonical product of a recipe's part, made from that of its item."""
    whole: Any = load(product, "product")
    configuration = whole.get("productConfiguration", {})
    kept = {name: value for name, value in configuration.items() if ALL_MEMBERS in part.keep or name in part.keep}
    added: Any = load(json.dumps(part.set).encode(), "set")
    made: dict[str, Json] = {
        **whole,
        "productOffering": {"id": part.offering},
        "productConfiguration": {**kept, **added},
    }
    places = whole.get("place")
    if part.places and isinstance(places, list):
        made["place"] = [places[place] for place in part.places if 0 <= place < len(places)]
    return dump(made)


def _part(item: InquiryItem, part_id: str, offering: str, product: bytes, depends_on: tuple[str, ...]) -> Part:
    return Part(
        id=part_id,
        item_ids=(item.id,),
        offering=offering,
        product=product,
        term=item.term,
        action=item.action,
        depends_on=depends_on,
    )
