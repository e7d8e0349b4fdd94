"""Bilateral ledgers: quotes don't change, orders are of valid ones, answers come in their windows, inquiries end."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from scripts.simulation.chain import BILATERAL
from scripts.simulation.invariants.base import Invariant, broken

if TYPE_CHECKING:
    from scripts.simulation.chain import Chain, Decided, Written
    from scripts.simulation.world import World

# What a buyer relies on in a quote; everything else may follow from later acts.
OFFERED: Final = (
    "inquiry_id", "buyer", "seller", "agreement_id", "level", "issued_at_ms", "valid_until_ms", "items", "one_time_total",
    "term_total", "form", "bundle", "change_answer",
)  # fmt: skip
ASKED: Final = ("buyer", "seller", "items", "respond_by_ms", "received_at_ms", "ancestors")
ORDERED: Final = ("quote_id", "inquiry_id", "buyer", "seller", "items", "placed_at_ms", "accept_by_ms", "activation_window_ms")
KEPT: Final = {"quote": OFFERED, "inquiry": ASKED, "order": ORDERED}


class Trade(Invariant):
    """Req: O-04, O-11, O-30, Q-06, Q-07, Q-31."""

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self._ordered: dict[tuple[str, str], str] = {}
        self._open: dict[tuple[str, str], None] = {}
        self._checks: dict[str, Callable[[Chain, Decided, Written], None]] = {
            "quote": self._quote,
            "order": self._order,
            "inquiry": self._inquiry,
        }

    def block(self, chain: Chain, decided: Decided) -> None:
        if chain.kind != BILATERAL:
            return
        for written in decided.written:
            kind = written.after.kind.name
            if kind in KEPT:
                self._kept(chain, written, KEPT[kind])
                self._checks[kind](chain, decided, written)

    def _kept(self, chain: Chain, written: Written, names: tuple[str, ...]) -> None:
        if written.before is None:
            return
        for name in names:
            if getattr(written.before.record, name) != getattr(written.after.record, name):
                broken("nothing_agreed_changes", chain, f"{name} of {written.after.key} changed")

    def _quote(self, chain: Chain, decided: Decided, written: Written) -> None:
        quote = written.after.record
        if quote.status == "ordered" and not quote.order_id:
            broken("orders_of_valid_quotes", chain, f"{written.after.key} is ordered by nothing")

    def _order(self, chain: Chain, decided: Decided, written: Written) -> None:
        order, now_ms = written.after.record, decided.result.time_ms
        before = "" if written.before is None else written.before.record.status
        if written.before is None:
            self._placed(chain, decided, order)
        if order.status == "accepted" and before in ("", "placed") and now_ms > order.accept_by_ms:
            broken("answers_in_windows", chain, f"{written.after.key} accepted {now_ms - order.accept_by_ms} ms late")
        if order.status == "activated" and before != "activated" and order.activate_by_ms and now_ms > order.activate_by_ms:
            broken("answers_in_windows", chain, f"{written.after.key} activated {now_ms - order.activate_by_ms} ms late")
        if before in ("rejected", "failed", "cancelled") and order.status != before:
            broken("ends_are_ends", chain, f"{written.after.key} went from {before} to {order.status}")

    def _placed(self, chain: Chain, decided: Decided, order: Any) -> None:
        quote = next((w for w in decided.written if w.after.key == f"quote/{order.quote_id}"), None)
        if quote is None:
            broken("orders_of_valid_quotes", chain, f"order/{order.id} left its quote as it was")
        before = quote.before.record if quote.before is not None else quote.after.record
        offered = quote.after.record
        if before.status != "issued" and quote.before is not None:
            broken("orders_of_valid_quotes", chain, f"order/{order.id} of a quote that was {before.status}")
        if decided.result.time_ms > offered.valid_until_ms:
            broken("orders_of_valid_quotes", chain, f"order/{order.id} of a quote {decided.result.time_ms - offered.valid_until_ms} ms past its validity")
        if self._ordered.setdefault((chain.id, order.quote_id), order.id) != order.id:
            broken("orders_of_valid_quotes", chain, f"quote/{order.quote_id} was ordered twice")
        self._same_items(chain, order)

    def _same_items(self, chain: Chain, order: Any) -> None:
        inquiry = self.world.read(chain, "inquiry", order.inquiry_id)
        asked = [] if inquiry is None else [(i.id, i.offering, i.product, i.term) for i in inquiry.items]
        if [(i.id, i.offering, i.product, i.term) for i in order.items] != asked:
            broken("orders_of_valid_quotes", chain, f"order/{order.id} is for something that was not asked")

    def _inquiry(self, chain: Chain, decided: Decided, written: Written) -> None:
        inquiry = written.after.record
        before = None if written.before is None else written.before.record
        key = (chain.id, inquiry.id)
        if inquiry.status == "received":
            self._open[key] = None
        else:
            self._open.pop(key, None)
        if inquiry.status == "quoted" and before is not None and before.status == "received" and not inquiry.quote_id:
            broken("one_answer", chain, f"{written.after.key} is quoted without a quote")
        if before is not None and before.quote_id and inquiry.quote_id != before.quote_id:
            broken("one_answer", chain, f"{written.after.key} got a second quote")
        in_time = decided.result.time_ms <= inquiry.respond_by_ms
        if inquiry.status == "quoted" and before is not None and before.status == "received" and not in_time:
            broken("answers_in_windows", chain, f"{written.after.key} was quoted after its window")

    def end(self) -> None:
        """Every inquiry ends. Req: Q-31."""
        for chain_id, inquiry_id in self._open:
            broken("inquiries_end", self.world.chains[chain_id], f"inquiry/{inquiry_id} is open though nothing happens any more")
