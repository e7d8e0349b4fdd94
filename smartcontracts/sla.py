"""SLA: measured performance of a service against what was agreed, one record a metric and measurement.

Each record of an offering's first agreed metric moves the seller's score in the same transaction. How actual values become
C(t) on the scale from 0.0 to 9.9 is product specific and comes signed with the measurement; what can be checked is: 9.9 is given
exactly when the target was met. Req: R-03, R-04, R-05, R-13; X-50, X-55; docs/decisions/score.md.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Final

from smartcontracts.agreement import Agreement, SlaTarget, agreement_of, sla_target_of
from smartcontracts.ids import derive_id
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
)
from smartcontracts.score import SCORE, TENTHS_MAX, Score, score_id, with_record, without_records
from smartcontracts.service import SERVICE, Service, ServiceItem, ServiceStatus

# Disjoint spans that a series may have: records may come in any order, but not leave holes without end.
SPANS_MAX: Final = 100


class MeasuredServiceUnknown(Rejected):
    """The ledger has no service with this id."""

    code = 5001
    grpc = Grpc.NOT_FOUND


class NotTheMeasurer(Rejected):
    """Performance is recorded by the service's seller."""

    code = 5002
    grpc = Grpc.PERMISSION_DENIED


class MeasuredServiceIdle(Rejected):
    """The service has never been in operation."""

    code = 5003


class MetricNotAgreed(Rejected):
    """The agreement has no target of the seller for this metric of the service's item."""

    code = 5004


class ActualNegative(Rejected):
    """The measured value is below zero."""

    code = 5005
    grpc = Grpc.INVALID_ARGUMENT


class PerformanceOutOfRange(Rejected):
    """The normalised performance is over 9.9. Req: R-04."""

    code = 5006
    grpc = Grpc.INVALID_ARGUMENT


class PerformanceContradicted(Rejected):
    """9.9 was given to a missed target, or less to one that was met. Req: X-50."""

    code = 5007
    grpc = Grpc.INVALID_ARGUMENT


class MeasurementTooShort(Rejected):
    """The measurement is shorter than the agreed unit, or ends before it begins."""

    code = 5008
    grpc = Grpc.INVALID_ARGUMENT


class MeasurementInFuture(Rejected):
    """The measurement ends after ledger time."""

    code = 5009
    transient = True
    grpc = Grpc.INVALID_ARGUMENT


class MeasurementBeforeActivation(Rejected):
    """The measurement begins before the service was activated."""

    code = 5010
    grpc = Grpc.INVALID_ARGUMENT


class MeasuredBefore(Rejected):
    """Some of this time has been measured already."""

    code = 5011
    grpc = Grpc.ALREADY_EXISTS


class SeriesScattered(Rejected):
    """There are too many holes between the measurements."""

    code = 5012
    grpc = Grpc.RESOURCE_EXHAUSTED


class MeasurementAfterTermination(Rejected):
    """The measurement ends after the service did."""

    code = 5013
    grpc = Grpc.INVALID_ARGUMENT


@dataclass(frozen=True, slots=True, kw_only=True)
class Performance:
    """Document: one measurement in [from_ms, until_ms); `sequence` counts those of its service item and metric from 1."""

    id: str
    service_id: str
    item_id: str
    offering: str
    buyer: str
    seller: str
    metric: str
    actual_nano: int
    target_nano: int
    from_ms: int
    until_ms: int
    performance_tenths: int
    sequence: int
    scored: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """[from_ms, until_ms)."""

    from_ms: int
    until_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """Document: how many records one metric of a service item has, and for which time: disjoint, sorted, neighbours merged."""

    id: str
    service_id: str
    item_id: str
    metric: str
    buyer: str
    seller: str
    records: int = 0
    measured: tuple[Span, ...] = field(default=(), metadata={"list_max": SPANS_MAX})


PERFORMANCE: Final = Kind(
    name="performance",
    prefix="prf",
    record=Performance,
    terms=lambda performance: Terms(
        party=(performance.buyer, performance.seller),
        offering=(performance.offering,) if performance.offering else (),
        service=(performance.service_id,),
    ),
    filters=("party", "offering", "service"),
)

SERIES: Final = Kind(
    name="series",
    prefix="srs",
    record=Series,
    terms=lambda series: Terms(party=(series.buyer, series.seller), service=(series.service_id,)),
    filters=("party", "service"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordPerformance:
    """Command of the seller. Without `item_id` it is about the service's first item that has a target for the metric."""

    service_id: str
    metric: str
    actual_nano: int
    from_ms: int
    until_ms: int
    performance_tenths: int
    item_id: str = ""


def record_performance(command: RecordPerformance, call: Call) -> Outcome:
    """Keep one measurement, and compute the score anew if it counts. Req: R-05, R-13, X-55.

    Rejects with the first of: MeasuredServiceUnknown, NotTheMeasurer, MeasuredServiceIdle, MetricNotAgreed, ActualNegative,
    PerformanceOutOfRange, PerformanceContradicted, MeasurementTooShort, MeasurementInFuture,
    MeasurementBeforeActivation, MeasurementAfterTermination, MeasuredBefore, SeriesScattered.
    """
    service = _measured_service(command, call)
    agreement = agreement_of(call.view, service.agreement_id)
    item, target = _item_and_target(command, service, agreement)
    _require_consistent(command, target)
    _require_span(command, target, service, call)
    series = _with_span(_series(command, service, item, call), command)
    scored = target.metric == _leading_metric(agreement, service.seller, item.offering)
    performance = Performance(
        id=call.new_id(PERFORMANCE),
        service_id=service.id,
        item_id=item.id,
        offering=item.offering,
        buyer=service.buyer,
        seller=service.seller,
        metric=command.metric,
        actual_nano=command.actual_nano,
        target_nano=target.target_nano,
        from_ms=command.from_ms,
        until_ms=command.until_ms,
        performance_tenths=command.performance_tenths,
        sequence=series.records,
        scored=scored,
    )
    recorded = Outcome(writes=(performance, series), events=(Event("performance.recorded", performance),))
    if not scored:
        return recorded
    score = _scored(performance, target, service, call)
    return recorded.then(Outcome(writes=(score,), events=(Event("score.updated", score),)))


def _measured_service(command: RecordPerformance, call: Call) -> Service:
    service = call.view.get(SERVICE, command.service_id)
    if service is None:
        raise MeasuredServiceUnknown("No such service.", "service_id")
    if call.sender.organization != service.seller:
        raise NotTheMeasurer("Only the service's seller records its performance.", "signer")
    if not service.activated_at_ms:
        raise MeasuredServiceIdle(f"The service is {service.status.value}, and was never in operation.", "service_id")
    return service


def _item_and_target(
    command: RecordPerformance, service: Service, agreement: Agreement
) -> tuple[ServiceItem, SlaTarget]:
    for item in service.items:
        if command.item_id in ("", item.id):
            target = sla_target_of(agreement.terms, service.seller, item.offering, command.metric)
            if target is not None:
                return item, target
    raise MetricNotAgreed(f"There is no target for {command.metric!r} here.", "metric")


def _leading_metric(agreement: Agreement, seller: str, offering: str) -> str:
    """The metric whose records make the score: the first in the agreement that is for this offering."""
    return next(
        target.metric
        for target in agreement.terms.sla_targets
        if target.seller == seller and target.offering in ("", offering)
    )


def _require_consistent(command: RecordPerformance, target: SlaTarget) -> None:
    if command.actual_nano < 0:
        raise ActualNegative("A measured value can't be negative.", "actual_nano")
    if command.performance_tenths > TENTHS_MAX:
        raise PerformanceOutOfRange("C(t) is from 0 to 99 tenths.", "performance_tenths")
    if target.higher_is_better:
        met = command.actual_nano >= target.target_nano
    else:
        met = command.actual_nano <= target.target_nano
    if met != (command.performance_tenths == TENTHS_MAX):
        raise PerformanceContradicted(
            f"The target of {target.target_nano} was {'met' if met else 'missed'}:"
            f" 99 tenths are for a met target, and only for one.",
            "performance_tenths",
        )


def _require_span(command: RecordPerformance, target: SlaTarget, service: Service, call: Call) -> None:
    if command.until_ms - command.from_ms < target.measurement_unit_ms:
        raise MeasurementTooShort(f"A measurement takes at least {target.measurement_unit_ms} ms.", "until_ms")
    if command.until_ms > call.block.time_ms:
        raise MeasurementInFuture(f"Ledger time is {call.block.time_ms} ms.", "until_ms")
    if command.from_ms < service.activated_at_ms:
        raise MeasurementBeforeActivation(f"The service was activated at {service.activated_at_ms} ms.", "from_ms")
    if service.status == ServiceStatus.TERMINATED and command.until_ms > service.terminated_at_ms:
        raise MeasurementAfterTermination(f"The service ended at {service.terminated_at_ms} ms.", "until_ms")


def _series(command: RecordPerformance, service: Service, item: ServiceItem, call: Call) -> Series:
    id_ = derive_id(SERIES.prefix, service.id, item.id, command.metric)
    return call.view.get(SERIES, id_) or Series(
        id=id_,
        service_id=service.id,
        item_id=item.id,
        metric=command.metric,
        buyer=service.buyer,
        seller=service.seller,
    )


def _with_span(series: Series, command: RecordPerformance) -> Series:
    """The series with one more record. Rejects with MeasuredBefore, SeriesScattered."""
    for span in series.measured:
        if command.from_ms < span.until_ms and span.from_ms < command.until_ms:
            raise MeasuredBefore(f"From {span.from_ms} to {span.until_ms} ms it has been measured.", "from_ms")
    added = Span(from_ms=command.from_ms, until_ms=command.until_ms)
    measured = merged((*series.measured, added))
    if len(measured) > SPANS_MAX:
        raise SeriesScattered(f"A series may have at most {SPANS_MAX} parts.", "from_ms")
    return replace(series, records=series.records + 1, measured=measured)


def merged(spans: tuple[Span, ...]) -> tuple[Span, ...]:
    """Disjoint spans, sorted, with those that touch made one."""
    joined: list[Span] = []
    for span in sorted(spans, key=lambda one: one.from_ms):
        if joined and joined[-1].until_ms == span.from_ms:
            joined[-1] = Span(from_ms=joined[-1].from_ms, until_ms=span.until_ms)
        else:
            joined.append(span)
    return tuple(joined)


def _scored(performance: Performance, target: SlaTarget, service: Service, call: Call) -> Score:
    id_ = score_id(call.ledger_id, service.seller, performance.offering)
    before = call.view.get(SCORE, id_) or without_records(
        call.ledger_id, service.seller, service.buyer, performance.offering
    )
    lasted_ms = performance.until_ms - service.activated_at_ms
    return with_record(before, performance.performance_tenths, lasted_ms, target.measurement_unit_ms)


CONTRACT: Final = Contract(
    name="sla",
    kinds=(PERFORMANCE, SERIES),
    messages=(
        MessageType(
            name="record_performance",
            command=RecordPerformance,
            handler=record_performance,
            roles=(Role.S_BUS, Role.SOF),
            creates=PERFORMANCE,
            gas=1_000,
        ),
    ),
)
