"""Service: what a seller delivers to a buyer and keeps in operation; it is there from the order's acceptance on.

D-09, D-10 it has the service's id and its elements' ids; D-23 it is billed and measured from its activation; X-61 a change may
concern it before. Orders, deliveries and changes write it; register 11.5 has its states.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from smartcontracts.kernel import Kind, Terms, step
from smartcontracts.trade import PRICES_MAX, Price, words

# Items with earlier prices that a service remembers, since the interval in which they ended may still be invoiced.
FORMER_MAX: Final = 500


class ServiceStatus(StrEnum):
    """Stored on the ledger: never rename a value."""

    IN_DELIVERY = "in_delivery"
    IN_OPERATION = "in_operation"
    TERMINATED = "terminated"


LIFECYCLE: Final = MappingProxyType(
    {
        (ServiceStatus.IN_DELIVERY, "activate"): ServiceStatus.IN_OPERATION,
        (ServiceStatus.IN_DELIVERY, "change"): ServiceStatus.IN_DELIVERY,
        (ServiceStatus.IN_DELIVERY, "terminate"): ServiceStatus.TERMINATED,
        (ServiceStatus.IN_OPERATION, "change"): ServiceStatus.IN_OPERATION,
        (ServiceStatus.IN_OPERATION, "terminate"): ServiceStatus.TERMINATED,
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceItem:
    """A service element and its prices; `id` is that of the order's item. Req: D-09.

    The prices count in [from_ms, until_ms): 0 is the service's activation, and its end. What is priced for all elements
    together has an empty id.
    """

    id: str
    offering: str
    prices: tuple[Price, ...] = field(metadata={"list_max": PRICES_MAX})
    from_ms: int = 0
    until_ms: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """A service; it is billed from `activated_at_ms` to `terminated_at_ms` (0: not yet). Req: D-10, D-23.

    `change_id` is the change that is under way; `former` what the elements cost before earlier ones; `bundle` what is
    priced for all of them together.
    """

    id: str
    status: ServiceStatus = ServiceStatus.IN_OPERATION
    order_id: str
    quote_id: str
    inquiry_id: str
    buyer: str
    seller: str
    agreement_id: str
    accepted_at_ms: int = 0
    activated_at_ms: int
    items: tuple[ServiceItem, ...]
    terminated_at_ms: int = 0
    change_id: str = ""
    former: tuple[ServiceItem, ...] = field(default=(), metadata={"list_max": FORMER_MAX})
    bundle: ServiceItem | None = None

    @property
    def priced(self) -> tuple[ServiceItem, ...]:
        """All that has or had prices: the elements, the bundle, and what they were before."""
        bundle = () if self.bundle is None else (self.bundle,)
        return (*self.items, *bundle, *self.former)

    def span_ms(self, item: ServiceItem) -> tuple[int, int]:
        """From when to when `item`'s prices count; an end of 0 is open."""
        return item.from_ms or self.activated_at_ms, item.until_ms or self.terminated_at_ms


def activated(service: Service, time_ms: int) -> Service:
    """The service in operation. Rejects with WrongStatus. Req: D-23."""
    return replace(service, status=step(LIFECYCLE, service.status, "activate"), activated_at_ms=time_ms)


def terminated(service: Service, time_ms: int) -> Service:
    """The service at its end, with no change under way; never billed if it never was in operation. Rejects with WrongStatus."""
    status = step(LIFECYCLE, service.status, "terminate")
    return replace(service, status=status, terminated_at_ms=time_ms, change_id="")


def under_change(service: Service, change_id: str) -> Service:
    """The service with this change under way; with none if empty. Rejects with WrongStatus."""
    return replace(service, status=step(LIFECYCLE, service.status, "change"), change_id=change_id)


def _terms(service: Service) -> Terms:
    # Billing finds what has been in operation, and nothing else.
    billed = (f"{service.agreement_id}/{service.seller}",) if service.activated_at_ms else ()
    return Terms(
        status=service.status,
        party=words((service.buyer, service.seller)),
        offering=words(item.offering for item in service.items),
        service=(service.id,),
        related=words(
            (service.order_id, service.quote_id, service.inquiry_id, service.agreement_id, service.change_id)
        ),
        keys=billed,
    )


# Keys: "<agreement id>/<seller>" once it has been in operation.
SERVICE: Final = Kind(
    name="service",
    prefix="svc",
    record=Service,
    terms=_terms,
    lifecycle=LIFECYCLE,
    filters=("status", "party", "offering", "service", "related"),
)
