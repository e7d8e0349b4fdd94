"""Chains of providers for tests of order, delivery and recovery: acme buys a line with two ports from alpha, which makes the ports."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from node.agents.policies import Policies
from node.agents.provisioning.inventory import Inventory, parse
from smartcontracts.catalogue import PublishOffering, RequestStandingQuote
from smartcontracts.delivery import CancelOrder
from smartcontracts.kernel import Role
from smartcontracts.lineage import pseudonym
from smartcontracts.order import Order, PlaceOrder
from tests.node.agents.desk import Market, pool
from tests.smartcontracts.support import org
from tests.smartcontracts.trading import LINE, PORT_A, PORT_Z, SINGLE, monthly

ITEMS = (LINE, PORT_A, PORT_Z)
ACCEPTANCE_MS = 600_000
ACTIVATION_MS = 3_600_000
ALWAYS = 1_000


def stock(*offerings: str, faults: str = "", monthly: str = "10.00", capacity: int = 1_000) -> Inventory:
    """An inventory with one pool for these offerings, and faults as TOML."""
    names = ", ".join(f'"{one}"' for one in offerings)
    text = f'[[pool]]\nid = "main"\nofferings = [{names}]\ncapacity = {capacity}\nlead_time_ms = 60000\n'
    text += f'cost = {{ recurring = "{monthly}", period = "month" }}\n'
    return parse(f'currency = "EUR"\n{text}{faults}'.encode())


def fault(operation: str, *, cause: str = "", delay_ms: int = 0, times: int = 1, offering: str = "*") -> str:
    """A fault of the reference inventory."""
    name = f"{operation}-{offering}-{cause}-{delay_ms}"
    return (
        f'[[fault]]\nname = "{name}"\noperation = "{operation}"\noffering = "{offering}"\n'
        f'cause = "{cause}"\ndelay_ms = {delay_ms}\ntimes = {times}\n'
    )


class Killed(Exception):
    """Stands for the process's end at a boundary."""


class Killer:
    """An observer that notes the boundaries passed, and kills once at one of them: the first time, in any organization."""

    def __init__(self, boundary: Any = None) -> None:
        self.boundary, self.seen = boundary, {}

    def __call__(self, boundary: Any, _document_id: str) -> None:
        first = boundary not in self.seen
        self.seen[boundary] = None
        if first and boundary == self.boundary:
            raise Killed(str(boundary))


@dataclass
class Chain:
    """A market on which acme has its quote, and orders."""

    market: Market
    order: Order

    def the_order(self, buyer: str = "acme", seller: str = "alpha") -> Any:
        """The only order between two."""
        return self.market.the(self.market.between(buyer, seller), "order")

    def handover(self, name: str) -> Any:
        """The only order that was handed over inside."""
        return self.market.the(self.market.internal(name), "order_handover")

    def elements(self, name: str) -> tuple[Any, ...]:
        """All elements inside."""
        found = self.market.records(self.market.internal(name), "service_element")
        return tuple(sorted(found, key=lambda one: (one.place, one.tries)))

    def statuses(self, name: str) -> list[str]:
        """Of all elements inside, in topology order, replaced ones first."""
        return [element.status.value for element in self.elements(name)]

    def booked(self, name: str) -> int:
        """Units of capacity that the provider's inventory has in use or reserved."""
        return units_in_use(self.market, name)

    def cancel(self) -> None:
        """acme's person cancels."""
        command = CancelOrder(order_id=self.order.id, reason="NO_LONGER_NEEDED")
        self.market.act(self.market.between("acme", "alpha"), "cancel_order", command, "acme", "b_bus")

    def wait(self, ms: int = 2 * ACTIVATION_MS) -> None:
        """Let time pass."""
        self.market.run_until(self.market.now_ms + ms)


def units_in_use(market: Market, name: str) -> int:
    """Units of the reference inventory that are held or in operation now."""
    return sum(booking.held for booking in market.desks[name, Role.SOF].provisioning.live_bookings())


def ordered(
    inventories: Mapping[str, Inventory],
    pairs: tuple[tuple[str, str], ...] = (("acme", "alpha"), ("alpha", "bravo")),
    *,
    items: tuple[Any, ...] = ITEMS,
    acceptance_ms: int = ACCEPTANCE_MS,
    activation_ms: int = ACTIVATION_MS,
    policies: Mapping[str, Policies] | None = None,
    delivery_info: bytes = b"",
    made: type[Market] = Market,
    **options: Any,
) -> Chain:
    """acme has asked, alpha has quoted, and acme has placed its order; no agent has seen it yet."""
    market = made(pairs=pairs, inventories={"acme": pool(), **inventories}, policies=policies, **options)
    market.ask("acme", "alpha", items)
    market.run_until(market.now_ms + 120_000, stop=lambda: market.records(market.between("acme", "alpha"), "quote"))
    ledger = market.between("acme", "alpha")
    quote = market.the(ledger, "quote")
    command = PlaceOrder(
        quote_id=quote.id,
        acceptance_window_ms=acceptance_ms,
        activation_window_ms=activation_ms,
        delivery_info=delivery_info,
    )
    return Chain(market, market.act(ledger, "place_order", command, "acme", "b_bus"))


def ask_of_catalogue(market: Market) -> None:
    """alpha publishes a port, and acme has a standing quote for it."""
    ledger = market.between("acme", "alpha")
    publish = PublishOffering(
        agreement_id="agr_acme_alpha",
        offering="port",
        product=SINGLE.product,
        prices=(monthly(50_000_000_000),),
        term=SINGLE.term,
        installation_interval_ms=60_000,
        quote_validity_ms=10**9,
    )
    offering = market.act(ledger, "publish_offering", publish, "alpha", "s_bus")
    request = RequestStandingQuote(
        offering_id=offering.id, items=(SINGLE,), lineage_key=bytes(32), ancestors=(pseudonym(bytes(32), org("acme")),)
    )
    market.act(ledger, "request_standing_quote", request, "acme", "b_bus")
