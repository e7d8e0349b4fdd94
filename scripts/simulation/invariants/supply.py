"""Internal ledgers against what stands outside: an accepted order has all its elements, a price its cost, a process its end."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, Any, Final

from scripts.simulation.chain import BILATERAL
from scripts.simulation.invariants.base import Invariant, broken
from smartcontracts.internal.rules import rules_of
from smartcontracts.internal.stranded import stranded_id_of

if TYPE_CHECKING:
    from scripts.simulation.chain import Chain, Decided
    from scripts.simulation.world import World

INQUIRY_ENDS: Final = frozenset(("quoted", "unable", "lapsed"))
ORDER_ENDS: Final = frozenset(("activated", "rejected", "failed", "cancelled"))
# What an element of an order that came to nothing may end as.
ELEMENT_ENDS: Final = frozenset(("undeliverable", "rejected", "replaced", "released", "cancelled", "stranded"))
# An order placed for one, which nobody wants any more, must have come to one of these.
DOWNSTREAM_ENDS: Final = frozenset(("rejected", "failed", "cancelled"))
BASIS_POINTS: Final = 10_000
# Why the simulation's people end something that agents had in hand.
BY_HAND: Final = "BY_HAND"


class Supply(Invariant):
    """Req: O-20, O-29, O-30, Q-05, Q-46, D-38, D-40; X-15."""

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self._internal: dict[str, Chain] = {
            _owner(chain): chain for chain in world.chains.values() if chain.kind != BILATERAL
        }
        # By upstream document: its handover; a second one would be a second process for one cause.
        self._handovers: dict[tuple[str, str, str], str] = {}
        self._elements: dict[str, dict[str, Any]] = {}
        self._releases: dict[bytes, Any] = {}
        self._created_by: dict[bytes, str] = {}

    def block(self, chain: Chain, decided: Decided) -> None:
        for written in decided.written:
            kind, record = written.after.kind.name, written.after.record
            if chain.kind != BILATERAL:
                self._inside(chain, kind, record)
            elif kind == "order" and record.status == "accepted" and _was(written) == "placed":
                self._accepted(chain, record)
            elif written.before is None and kind in ("quote", "inquiry", "order", "unable"):
                self._released_once(chain, kind, record)
                if kind == "quote":
                    self._priced(chain, record)

    def _inside(self, chain: Chain, kind: str, record: Any) -> None:
        if kind == "inquiry_handover":
            self._one(chain, kind, record.ledger_id, record.inquiry.id, record.id)
        elif kind == "order_handover":
            self._one(chain, kind, record.ledger_id, record.order_id, record.id)
        elif kind == "service_element":
            self._elements.setdefault(record.order_handover_id, {})[record.id] = record
        elif kind == "release":
            self._releases[record.sha256] = record

    def _one(self, chain: Chain, kind: str, ledger_id: str, document_id: str, handover_id: str) -> None:
        if self._handovers.setdefault((kind, ledger_id, document_id), handover_id) != handover_id:
            broken("nothing_twice", chain, f"{document_id} was handed over twice, as {handover_id} too")

    def _released_once(self, chain: Chain, kind: str, record: Any) -> None:
        """What is created under a release is created once."""
        for one in record.releases[:1]:
            if self._created_by.setdefault(one, record.id) != record.id:
                broken("nothing_twice", chain, f"a release created {kind}/{record.id} and {self._created_by[one]}")

    def _accepted(self, chain: Chain, order: Any) -> None:
        """The buyer's order is accepted: so is each element of it. Req: O-27, O-30."""
        handover_id = self._handovers.get(("order_handover", chain.id, order.id))
        # What a person accepts by hand is that person's affair: there is no release for it.
        let_out = [found for one in order.releases if (found := self._releases.get(one)) is not None]
        if handover_id is None or not any(found.act == "accept_order" for found in let_out):
            return
        elements = self._elements.get(handover_id, {})
        if not elements:
            broken("accepted_has_all", chain, f"order/{order.id} was accepted without elements")
        for element in elements.values():
            if element.source == "external" and not element.replaced_by:
                self._has_accepted(chain, order, element)
            elif element.source == "internal" and element.status in ("quoted_internal", "rejected", "undeliverable"):
                broken("accepted_has_all", chain, f"order/{order.id} was accepted while {element.element_id} is {element.status}")

    def _has_accepted(self, chain: Chain, order: Any, element: Any) -> None:
        seller = self.world.chains.get(element.ledger_id)
        there = None if seller is None or not element.order_id else self.world.read(seller, "order", element.order_id)
        if there is None or not there.accepted_at_ms:
            status = "not ordered" if there is None else there.status
            broken("accepted_has_all", chain, f"order/{order.id} was accepted while {element.element_id} is {status} at its seller")

    def _priced(self, chain: Chain, quote: Any) -> None:
        """The list price is cost and mark-up, worked out from what SOF and sellers said. Req: Q-46."""
        release = self._releases.get(quote.releases[0]) if quote.releases else None
        internal = next((c for c in self._internal.values() if quote.seller in _organizations(c)), None)
        if release is None or internal is None or release.subject_kind != "inquiry_handover":
            return
        handover = self.world.read(internal, "inquiry_handover", release.subject_id)
        assessment = self.world.read(internal, "assessment", handover.assessment_id)
        markup = rules_of(internal.state().committed.view).markup_basis_points
        cost = _summed(self._costs(internal, assessment))
        listed = _summed([*quote.bundle, *(price for item in quote.items for price in item.prices)], listed=True)
        for key in sorted({*cost, *listed}):
            wanted = Fraction(cost.get(key, 0) * (BASIS_POINTS + markup), BASIS_POINTS)
            if abs(wanted - listed.get(key, 0)) > len(quote.items) * 4:
                broken("price_is_cost_and_markup", chain, f"quote/{quote.id} has {listed.get(key, 0)} for {key}, not {wanted}")

    def _costs(self, internal: Chain, assessment: Any) -> list[Any]:
        prices: list[Any] = []
        counted: dict[str, None] = {}
        for choice in assessment.choices:
            if choice.query_id:
                prices.extend(self.world.read(internal, "sof_query", choice.query_id).answer.prices)
            elif choice.received_quote_id not in counted:
                counted[choice.received_quote_id] = None
                quote = self.world.read(internal, "received_quote", choice.received_quote_id).quote
                prices.extend(quote.bundle)
                prices.extend(price for item in quote.items for price in item.prices)
        return prices

    def end(self) -> None:
        """Every process has ended, and what came to nothing left nothing behind."""
        for (kind, _, _), handover_id in self._handovers.items():
            internal = next(c for c in self._internal.values() if self.world.read(c, kind, handover_id) is not None)
            handover = self.world.read(internal, kind, handover_id)
            ends = INQUIRY_ENDS if kind == "inquiry_handover" else ORDER_ENDS
            if handover.status not in ends:
                broken("processes_end", internal, f"{kind}/{handover_id} is {handover.status} though nothing happens any more")
            if kind == "order_handover" and handover.status != "activated":
                self._left_nothing(internal, handover)
        for internal in self._internal.values():
            self._stand_on_something(internal)

    def _stand_on_something(self, internal: Chain) -> None:
        """What is in operation in an inventory is in operation at who sells it. Req: C-11, X-63."""
        committed = internal.state().committed
        kind = committed.table.kinds["inventory_service"]
        spared = self._changed_together() | self._called_failed(internal)
        for service_id in committed.view.ids(kind, "status", "in_operation"):
            service = self.world.read(internal, "inventory_service", service_id)
            for part in service.elements:
                element = self.world.read(internal, "service_element", part.element_id)
                # A person may have called activated what had failed. Of several sellers one may have ended its part before another failed.
                if element.source != "external" or element.status != "chained" or element.service_id in spared:
                    continue
                there = self.world.read(self.world.chains[element.ledger_id], "service", element.service_id)
                if there.status != "in_operation":
                    broken("parts_in_operation", internal, f"{service.id} stands on {there.id}, which is {there.status}")

    def _changed_together(self) -> dict[str, None]:
        """The services of sellers that an order changes at several of them."""
        orders = ([one for one in found.values() if one.changes and one.order_id] for found in self._elements.values())
        return {one.changes: None for found in orders if len({one.order_id for one in found}) > 1 for one in found}

    def _called_failed(self, internal: Chain) -> dict[str, None]:
        """The services of sellers whose change a person called failed by hand, done as it may be."""
        called: dict[str, None] = {}
        for handover_id, found in self._elements.items():
            handover = self.world.read(internal, "order_handover", handover_id)
            if handover is not None and handover.status == "failed" and handover.reason == BY_HAND:
                called.update({one.changes: None for one in found.values() if one.changes})
        return called

    def _left_nothing(self, internal: Chain, handover: Any) -> None:
        for element in self._elements.get(handover.id, {}).values():
            if element.status not in ELEMENT_ENDS:
                broken("nothing_is_left", internal, f"{element.id} is {element.status} though its order {handover.status}")
            seller = self.world.chains.get(element.ledger_id)
            if seller is None or not element.order_id:
                continue
            if element.status == "stranded":
                self._is_being_ended(internal, seller, element)
                continue
            there = self.world.read(seller, "order", element.order_id)
            # What was delivered already has its service ended instead.
            service = self.world.read(seller, "service", there.service_id) if there is not None and there.service_id else None
            over = service is not None and service.status == "terminated"
            if there is not None and there.status not in DOWNSTREAM_ENDS and not over:
                broken("nothing_is_left", internal, f"{there.id} is {there.status} though {handover.id} {handover.status}")

    def _is_being_ended(self, internal: Chain, seller: Chain, element: Any) -> None:
        """What runs for nobody is stranded only as long as its seller does not end it, or as part of a service in operation."""
        order = self.world.read(seller, "order", element.order_id)
        service = self.world.read(seller, "service", order.service_id)
        if service.status == "terminated":
            broken("nothing_is_left", internal, f"{element.id} is stranded though {service.id} has ended")
        stranded = self.world.read(internal, "stranded_service", stranded_id_of(internal.id, seller.id, order.id))
        if not element.changes and (stranded is None or stranded.status != "waiting"):
            broken("nothing_is_left", internal, f"{service.id} runs for nobody, and nobody has asked to end it")


class Capacity(Invariant):
    """No unit is booked twice, and none stays booked for nothing. Req: D-38, O-17."""

    def block(self, chain: Chain, decided: Decided) -> None:
        if chain.kind == BILATERAL or _owner(chain) not in self.world.stocks:
            return
        stock = self.world.stocks[_owner(chain)]
        held: dict[str, int] = {}
        for booking in stock.provisioning.live_bookings():
            held[booking.pool] = held.get(booking.pool, 0) + booking.held
        for pool in stock.inventory.pools:
            if held.get(pool.id, 0) > pool.capacity:
                broken("capacity", chain, f"{held[pool.id]} units of {pool.id} are held, of {pool.capacity}")

    def end(self) -> None:
        """What is in operation belongs to a service in operation."""
        for chain in self.world.chains.values():
            if chain.kind == BILATERAL or _owner(chain) not in self.world.stocks:
                continue
            committed = chain.state().committed
            kind = committed.table.kinds["inventory_service"]
            services = [committed.view.get(kind, one) for one in committed.view.ids(kind, "status", "in_operation")]
            used = {part.reservation_id for service in services if service is not None for part in service.elements}
            for booking in self.world.stocks[_owner(chain)].provisioning.live_bookings():
                if booking.status != "reserved" and booking.id not in used:
                    broken("capacity", chain, f"{booking.held} units of {booking.pool} stay {booking.status} for no service ({booking.id})")


def _owner(chain: Chain) -> str:
    return chain.names[0]


def _organizations(chain: Chain) -> tuple[str, ...]:
    return tuple(organization.id for organization in chain.genesis.organizations)


def _was(written: Any) -> str:
    return "" if written.before is None else str(written.before.record.status)


def _summed(prices: list[Any], *, listed: bool = False) -> dict[tuple[str, int, str], int]:
    """Billionths by type, period and unit."""
    sums: dict[tuple[str, int, str], int] = {}
    for price in prices:
        rate = price.list_rate or price.rate if listed else price.rate
        key = (price.price_type.value, price.period_ms, price.unit)
        sums[key] = sums.get(key, 0) + rate.nano
    return sums
