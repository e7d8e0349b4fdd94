"""Usage: what the seller's meter counted for a service in operation, with the contracted rate and the billing interval.

The contract puts in rate and interval; a meter's record counts once, and never in an interval that is invoiced.
Req: B-02, B-04, B-05; docs/decisions/billing.md.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from smartcontracts.agreement import PriceType, agreement_of
from smartcontracts.interval import INTERVAL, Interval, interval_holding
from smartcontracts.kernel import (
    Call,
    Contract,
    Event,
    Grpc,
    Kind,
    MessageType,
    Outcome,
    Rejected,
    Role,
    Terms,
    step,
)
from smartcontracts.money import MINOR_MAX, NANO, Rate, minor_digits
from smartcontracts.service import SERVICE, Service, ServiceItem, ServiceStatus, counts_at

# In billionths: nine million units a record, so that an interval's sum still fits into 64 bits.
QUANTITY_NANO_MAX: Final = 9 * 10**15
# Usage records of one seller in one interval; the invoice reads them all.
USAGES_PER_INTERVAL_MAX: Final = 1_000
# What one record may be worth, so that an interval's sum stays far below the bound for amounts and can be invoiced.
RATED_MINOR_MAX: Final = MINOR_MAX // (10 * USAGES_PER_INTERVAL_MAX)
METER_RECORD_CHARACTERS_MAX: Final = 64


class UsageStatus(StrEnum):
    """Stored on the ledger: never rename a value."""

    RECORDED = "recorded"
    INVOICED = "invoiced"


LIFECYCLE: Final = MappingProxyType({(UsageStatus.RECORDED, "invoice"): UsageStatus.INVOICED})


class MeteredServiceUnknown(Rejected):
    """The ledger has no service with this id."""

    code = 4003
    grpc = Grpc.NOT_FOUND


class NotTheMeter(Rejected):
    """Usage is recorded by the service's seller."""

    code = 4004
    grpc = Grpc.PERMISSION_DENIED


class MeteredServiceIdle(Rejected):
    """The service has never been in operation."""

    code = 4005


class UnitNotPriced(Rejected):
    """The service's item has no price for this unit of use."""

    code = 4006


class RateDiffers(Rejected):
    """The seller rates the use at another rate than the contracted one. Req: B-05."""

    code = 4007


class QuantityNegative(Rejected):
    """A quantity is below zero."""

    code = 4008
    grpc = Grpc.INVALID_ARGUMENT


class QuantityZero(Rejected):
    """A quantity is zero."""

    code = 4009
    grpc = Grpc.INVALID_ARGUMENT


class QuantityTooLarge(Rejected):
    """A quantity is over the bound for one record."""

    code = 4010
    grpc = Grpc.INVALID_ARGUMENT


class UsageWorthTooMuch(Rejected):
    """At the contracted rate the record would be worth more than one record may."""

    code = 4011
    grpc = Grpc.INVALID_ARGUMENT


class UsageSpanEmpty(Rejected):
    """The use does not end after it begins."""

    code = 4012
    grpc = Grpc.INVALID_ARGUMENT


class UsageInFuture(Rejected):
    """The use ends after ledger time."""

    code = 4013
    transient = True
    grpc = Grpc.INVALID_ARGUMENT


class UsageBeforeActivation(Rejected):
    """The use begins before the service was activated."""

    code = 4014
    grpc = Grpc.INVALID_ARGUMENT


class MeterRecordInvalid(Rejected):
    """The meter's number is missing or too long."""

    code = 4015
    grpc = Grpc.INVALID_ARGUMENT


class MeterRecordRepeated(Rejected):
    """The service's meter has sent this record before."""

    code = 4016
    grpc = Grpc.ALREADY_EXISTS


class IntervalClosed(Rejected):
    """The seller has invoiced the interval in which the use ends."""

    code = 4017


class IntervalFull(Rejected):
    """The interval has as many usage records of this seller as one invoice can take."""

    code = 4018
    grpc = Grpc.RESOURCE_EXHAUSTED


class UsageAfterTermination(Rejected):
    """The use ends after the service did."""

    code = 4019
    grpc = Grpc.INVALID_ARGUMENT


class UsageSpansChange(Rejected):
    """The service's prices changed during the use: nobody could say which of them it is for."""

    code = 4020
    grpc = Grpc.INVALID_ARGUMENT


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Document: `quantity_nano` billionths of `unit` used in [from_ms, until_ms), at `rate` a unit."""

    id: str
    service_id: str
    item_id: str
    buyer: str
    seller: str
    unit: str
    quantity_nano: int
    rate: Rate
    from_ms: int
    until_ms: int
    interval_id: str
    meter_record: str
    invoice_id: str = ""
    status: UsageStatus = UsageStatus.RECORDED


def _terms(usage: Usage) -> Terms:
    related = (usage.interval_id, usage.invoice_id) if usage.invoice_id else (usage.interval_id,)
    return Terms(
        status=usage.status,
        party=(usage.buyer, usage.seller),
        service=(usage.service_id,),
        related=related,
        keys=(
            meter_key(usage.service_id, usage.meter_record),
            interval_key(usage.interval_id, usage.seller),
        ),
    )


USAGE: Final = Kind(
    name="usage",
    prefix="use",
    record=Usage,
    terms=_terms,
    lifecycle=LIFECYCLE,
    filters=("status", "party", "service", "related"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordUsage:
    """Command of the seller. `rate` may be left out; if given it must be the contracted one."""

    service_id: str
    item_id: str
    unit: str
    quantity_nano: int
    from_ms: int
    until_ms: int
    meter_record: str
    rate: Rate | None = None


def meter_key(service_id: str, meter_record: str) -> str:
    """Finds a meter's record."""
    return f"meter/{service_id}/{meter_record}"


def interval_key(interval_id: str, seller: str) -> str:
    """Finds what a seller's meters recorded in an interval."""
    return f"interval/{interval_id}/{seller}"


def record_usage(command: RecordUsage, call: Call) -> Outcome:
    """Keep one record of the meter, with rate and interval.

    Rejects with the first of: MeteredServiceUnknown, NotTheMeter, MeteredServiceIdle, UnitNotPriced, RateDiffers,
    QuantityNegative, QuantityZero, QuantityTooLarge, UsageWorthTooMuch, UsageSpanEmpty, UsageInFuture,
    UsageBeforeActivation, UsageAfterTermination, UsageSpansChange, MeterRecordInvalid, MeterRecordRepeated,
    BeforeTheAgreement, IntervalNumberTooLarge, IntervalClosed, IntervalFull.
    """
    service = _metered_service(command, call)
    item = _metered_item(service, command)
    rate = _contracted_rate(item, command)
    _require_quantity(command.quantity_nano, rate)
    _require_span(command, service, item, call)
    _require_new_meter_record(command, call)
    interval = _open_interval(command, service, call)
    side = interval.side(service.seller)
    usage = Usage(
        id=call.new_id(USAGE),
        service_id=service.id,
        item_id=command.item_id,
        buyer=service.buyer,
        seller=service.seller,
        unit=command.unit,
        quantity_nano=command.quantity_nano,
        rate=rate,
        from_ms=command.from_ms,
        until_ms=command.until_ms,
        interval_id=interval.id,
        meter_record=command.meter_record,
    )
    counted = interval.with_side(replace(side, usages=side.usages + 1))
    return Outcome(writes=(usage, counted), events=(Event("usage.recorded", usage),))


def invoiced(usage: Usage, invoice_id: str) -> Usage:
    """The usage as part of an invoice. Rejects with WrongStatus."""
    status = step(LIFECYCLE, usage.status, "invoice")
    return replace(usage, status=status, invoice_id=invoice_id)


def _metered_service(command: RecordUsage, call: Call) -> Service:
    service = call.view.get(SERVICE, command.service_id)
    if service is None:
        raise MeteredServiceUnknown("No such service.", "service_id")
    if call.sender.organization != service.seller:
        raise NotTheMeter("Only the service's seller records its use.", "signer")
    if not service.activated_at_ms:
        raise MeteredServiceIdle(f"The service is {service.status.value}, and was never in operation.", "service_id")
    return service


def _metered_item(service: Service, command: RecordUsage) -> ServiceItem | None:
    """The item with the prices that counted when the use began; else its present ones."""
    named = [item for item in service.priced if item.id == command.item_id]
    then = (item for item in named if counts_at(service, item, command.from_ms))
    return next(then, named[0] if named else None)


def _contracted_rate(item: ServiceItem | None, command: RecordUsage) -> Rate:
    """The rate that the buyer ordered at. Req: B-05."""
    prices = () if item is None else item.prices
    contracted = next(
        (price.rate for price in prices if price.price_type == PriceType.USAGE_BASED and price.unit == command.unit),
        None,
    )
    if contracted is None:
        raise UnitNotPriced(f"Item {command.item_id!r} has no usage price for {command.unit!r}.", "unit")
    if command.rate is not None and command.rate != contracted:
        raise RateDiffers(f"The contracted rate is {contracted.nano} billionths of {contracted.currency}.", "rate")
    return contracted


def _require_quantity(quantity_nano: int, rate: Rate) -> None:
    if quantity_nano < 0:
        raise QuantityNegative("Use can't be negative.", "quantity_nano")
    if quantity_nano == 0:
        raise QuantityZero("No use needs no record.", "quantity_nano")
    if quantity_nano > QUANTITY_NANO_MAX:
        raise QuantityTooLarge(f"One record may hold at most {QUANTITY_NANO_MAX} billionths.", "quantity_nano")
    per_major = 10 ** minor_digits(rate.currency, "unit")
    if rate.nano * quantity_nano * per_major > RATED_MINOR_MAX * NANO * NANO:
        raise UsageWorthTooMuch(f"One record may be worth at most {RATED_MINOR_MAX} minor units.", "quantity_nano")


def _require_span(command: RecordUsage, service: Service, item: ServiceItem | None, call: Call) -> None:
    if command.from_ms >= command.until_ms:
        raise UsageSpanEmpty("The use must end after it begins.", "until_ms")
    if command.until_ms > call.block.time_ms:
        raise UsageInFuture(f"Ledger time is {call.block.time_ms} ms.", "until_ms")
    if command.from_ms < service.activated_at_ms:
        raise UsageBeforeActivation(f"The service was activated at {service.activated_at_ms} ms.", "from_ms")
    if service.status == ServiceStatus.TERMINATED and command.until_ms > service.terminated_at_ms:
        raise UsageAfterTermination(f"The service ended at {service.terminated_at_ms} ms.", "until_ms")
    from_ms, until_ms = (0, 0) if item is None else service.span_ms(item)
    if command.from_ms < from_ms or 0 < until_ms < command.until_ms:
        raise UsageSpansChange("The prices changed during this use; record it in two parts.", "until_ms")


def _require_new_meter_record(command: RecordUsage, call: Call) -> None:
    if not 1 <= len(command.meter_record) <= METER_RECORD_CHARACTERS_MAX:
        raise MeterRecordInvalid(
            f"The meter's number must have 1 to {METER_RECORD_CHARACTERS_MAX} characters.",
            "meter_record",
        )
    known = call.view.find(USAGE, "keys", meter_key(command.service_id, command.meter_record), 1)
    if known:
        raise MeterRecordRepeated(
            "The meter's record is on the ledger already.", "meter_record", existing_id=known[0].id
        )


def _open_interval(command: RecordUsage, service: Service, call: Call) -> Interval:
    agreement = agreement_of(call.view, service.agreement_id)
    interval = interval_holding(agreement, command.until_ms, call.view)
    side = interval.side(service.seller)
    if side.invoice_id:
        raise IntervalClosed(
            f"Interval {interval.number} is invoiced; use that ends in it comes too late.",
            "until_ms",
            existing_id=side.invoice_id,
        )
    if side.usages >= USAGES_PER_INTERVAL_MAX:
        raise IntervalFull(
            f"An interval takes at most {USAGES_PER_INTERVAL_MAX} records; send fewer, longer ones.",
            "until_ms",
        )
    return interval


CONTRACT: Final = Contract(
    name="usage",
    kinds=(USAGE, INTERVAL),
    messages=(
        MessageType(
            name="record_usage",
            command=RecordUsage,
            handler=record_usage,
            roles=(Role.S_BUS,),
            creates=USAGE,
        ),
    ),
)
