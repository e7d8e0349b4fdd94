"""SLA: one record a metric and measurement, refusals in their order, and a score that the contract keeps."""

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smartcontracts import codec, sla
from smartcontracts.agreement import SlaTarget
from smartcontracts.codec import encode
from smartcontracts.ids import derive_id
from smartcontracts.kernel import AlreadyDone, Cause, PositionWrong, RoleMissing
from smartcontracts.money import NANO
from smartcontracts.score import SCORE, Score, score_id
from smartcontracts.service import ServiceItem
from smartcontracts.sla import PERFORMANCE, SERIES, RecordPerformance, Series, Span
from tests.smartcontracts.billing import (
    ACTIVATED_MS,
    AGREEMENT,
    ALPHA,
    BACKHAUL,
    NEVER_DELIVERED,
    SERVICE,
    TERMS,
    UNDELIVERED,
    BillingLedger,
    ended,
    service,
    with_terms,
)
from tests.smartcontracts.support import LEDGER_ID

TARGET_NANO = 999 * NANO // 10
UNIT_MS = 1_000
LATER_MS = ACTIVATED_MS + 1_000_000
SERIES_ID = derive_id("srs", SERVICE.id, "1", "availability")


def measured(*spans):
    """The series with these times measured, in units after activation."""
    return Series(
        id=SERIES_ID,
        service_id=SERVICE.id,
        item_id="1",
        metric="availability",
        buyer=SERVICE.buyer,
        seller=ALPHA,
        records=len(spans),
        measured=tuple(Span(from_ms=ACTIVATED_MS + a * UNIT_MS, until_ms=ACTIVATED_MS + b * UNIT_MS) for a, b in spans),
    )


GOOD = {
    # documents
    "agreement": AGREEMENT,
    "service": SERVICE,
    "series": None,
    # who and when
    "sender": "alpha",
    "at": LATER_MS,
    # the command
    "service_id": SERVICE.id,
    "metric": "availability",
    "actual_nano": TARGET_NANO,
    "from_ms": ACTIVATED_MS,
    "until_ms": ACTIVATED_MS + UNIT_MS,
    "performance_tenths": 99,
}
DOCUMENTS = ("agreement", "service", "series")
SCATTERED = measured(*((2 * n, 2 * n + 1) for n in range(2, 2 + sla.SPANS_MAX)))
REFUSALS = [  # in order of precedence, each one change away from GOOD
    (sla.MeasuredServiceUnknown, {"service_id": "svc_none"}),
    (sla.NotTheMeasurer, {"sender": "acme"}),
    (sla.MeasuredServiceIdle, {"service": NEVER_DELIVERED}),
    (sla.MeasuredServiceIdle, {"service": UNDELIVERED}),
    (sla.MetricNotAgreed, {"metric": "jitter"}),
    (sla.ActualNegative, {"actual_nano": -1, "performance_tenths": 0}),
    (sla.PerformanceOutOfRange, {"performance_tenths": 100}),
    (sla.PerformanceContradicted, {"performance_tenths": 98}),
    (sla.MeasurementTooShort, {"until_ms": ACTIVATED_MS + UNIT_MS - 2}),
    (sla.MeasurementInFuture, {"at": ACTIVATED_MS + UNIT_MS - 1}),
    (sla.MeasurementBeforeActivation, {"from_ms": ACTIVATED_MS - 1}),
    (sla.MeasurementAfterTermination, {"service": ended(SERVICE, ACTIVATED_MS + UNIT_MS - 1)}),
    (sla.MeasuredBefore, {"series": measured((0, 1))}),
    (sla.SeriesScattered, {"series": SCATTERED}),
]


def prepared(case):
    ledger = BillingLedger.with_documents(*(case[name] for name in DOCUMENTS if case[name] is not None))
    fields = {name: value for name, value in case.items() if name not in (*DOCUMENTS, "sender", "at")}
    return ledger, RecordPerformance(**fields), {"sender": ledger.sender(case["sender"], "s_bus"), "at": case["at"]}


def record(case):
    ledger, command, how = prepared(case)
    before = ledger.root()
    try:
        return ledger, ledger.run("record_performance", command, **how)
    except Exception:
        assert ledger.root() == before
        raise


def measure(ledger, tenths, first, last, *, of=SERVICE, **fields):
    """alpha records C(t) for the units from `first` to `last` after activation."""
    command = RecordPerformance(
        **{
            "service_id": of.id,
            "metric": "availability",
            "actual_nano": TARGET_NANO if tenths == 99 else TARGET_NANO - 1,
            "from_ms": of.activated_at_ms + first * UNIT_MS,
            "until_ms": of.activated_at_ms + last * UNIT_MS,
            "performance_tenths": tenths,
        }
        | fields
    )
    at = max(LATER_MS, ledger.time_ms + 1)
    return ledger.run("record_performance", command, sender=ledger.sender("alpha", "sof"), at=at)


def test_a_record_keeps_target_place_and_time_and_moves_the_score():
    _, outcome = record(GOOD)
    performance, series, score = outcome.writes
    assert performance == sla.Performance(
        id=performance.id,
        service_id=SERVICE.id,
        item_id="1",
        offering="epl",
        buyer=SERVICE.buyer,
        seller=ALPHA,
        metric="availability",
        actual_nano=TARGET_NANO,
        target_nano=TARGET_NANO,
        from_ms=ACTIVATED_MS,
        until_ms=ACTIVATED_MS + UNIT_MS,
        performance_tenths=99,
        sequence=1,
        scored=True,
    )
    assert series == measured((0, 1))
    assert (score.id, score.text) == (score_id(LEDGER_ID, ALPHA, "epl"), "9.9:1")
    assert [event.name for event in outcome.events] == ["performance.recorded", "score.updated"]


@pytest.mark.req("D-23")
def test_a_measurement_up_to_the_services_last_millisecond_still_counts_after_its_end():
    record(GOOD | {"service": ended(SERVICE, ACTIVATED_MS + UNIT_MS)})


@pytest.mark.parametrize("first", range(len(REFUSALS)))
def test_invalid_record_answers_with_the_first_failing_check(first):
    broken = dict(GOOD)
    for _, change in reversed(REFUSALS[first:]):
        broken |= change
    with pytest.raises(REFUSALS[first][0]):
        record(broken)


@pytest.mark.parametrize(("refusal", "change"), REFUSALS)
def test_invalid_record_is_refused_for_this_reason_alone(refusal, change):
    with pytest.raises(refusal):
        record(GOOD | change)


@pytest.mark.req("R-04")
@pytest.mark.parametrize("tenths", [100, 101, 2**32 - 1])
def test_invalid_performance_of_ten_and_more(tenths):
    with pytest.raises(sla.PerformanceOutOfRange):
        record(GOOD | {"performance_tenths": tenths})


@pytest.mark.req("R-04")
@pytest.mark.parametrize(
    ("metric", "actual_nano", "met"),
    [
        ("availability", TARGET_NANO, True),
        ("availability", TARGET_NANO + 1, True),
        ("availability", TARGET_NANO - 1, False),
        ("delay", 20 * NANO, True),
        ("delay", 20 * NANO - 1, True),
        ("delay", 20 * NANO + 1, False),
    ],
)
def test_nine_point_nine_is_for_a_met_target_and_only_for_one(metric, actual_nano, met):
    """X-50: 9.9 is no deviation."""
    for tenths in (0, 98, 99):
        case = GOOD | {"metric": metric, "actual_nano": actual_nano, "performance_tenths": tenths}
        if met == (tenths == 99):
            record(case)
        else:
            with pytest.raises(sla.PerformanceContradicted):
                record(case)


def test_a_measurement_may_end_now_and_a_value_may_be_zero():
    record(GOOD | {"at": GOOD["until_ms"]})
    _, outcome = record(GOOD | {"actual_nano": 0, "performance_tenths": 0})
    assert outcome.writes[0].actual_nano == 0


def test_a_measurement_takes_at_least_the_agreed_unit():
    record(GOOD | {"until_ms": ACTIVATED_MS + UNIT_MS})
    for until_ms in (ACTIVATED_MS + UNIT_MS - 1, ACTIVATED_MS, ACTIVATED_MS - UNIT_MS):
        with pytest.raises(sla.MeasurementTooShort):
            record(GOOD | {"until_ms": until_ms})


def test_time_is_measured_once_in_whatever_order_records_come():
    ledger = BillingLedger.with_documents()
    for first, last in [(4, 5), (0, 1), (2, 3), (1, 2)]:
        measure(ledger, 99, first, last)
    assert ledger.the(SERIES).measured == measured((0, 3), (4, 5)).measured
    for first, last in [(0, 1), (2, 3), (2, 4), (3, 5), (0, 9)]:
        with pytest.raises(sla.MeasuredBefore):
            measure(ledger, 99, first, last)
    measure(ledger, 99, 3, 4)
    assert ledger.the(SERIES).measured == measured((0, 5)).measured
    assert sorted(one.sequence for one in ledger.all(PERFORMANCE)) == [1, 2, 3, 4, 5]


def test_a_series_takes_so_many_holes_and_no_more():
    record(GOOD | {"series": measured(*((2 * n, 2 * n + 1) for n in range(2, 1 + sla.SPANS_MAX)))})
    touching = {"from_ms": ACTIVATED_MS + 5 * UNIT_MS, "until_ms": ACTIVATED_MS + 6 * UNIT_MS}
    ledger, _ = record(GOOD | touching | {"series": SCATTERED})
    assert len(ledger.the(SERIES).measured) == sla.SPANS_MAX - 1


@given(st.sets(st.integers(0, 40)), st.randoms(use_true_random=False))
def test_merged_spans_are_sorted_disjoint_and_of_the_same_time(units, random):
    shuffled = sorted(units)
    random.shuffle(shuffled)
    spans = ()
    for unit in shuffled:
        spans = sla.merged((*spans, Span(from_ms=unit, until_ms=unit + 1)))
    assert {ms for span in spans for ms in range(span.from_ms, span.until_ms)} == units
    assert all(before.until_ms < after.from_ms for before, after in pairwise(spans))


@pytest.mark.req("R-07", "R-05")
def test_the_score_goes_by_the_order_of_the_ledger_and_not_by_the_clock():
    """A late record is the newest one, though it is about an earlier time."""
    in_order, late = BillingLedger.with_documents(), BillingLedger.with_documents()
    measure(in_order, 0, 0, 1)
    measure(in_order, 99, 1, 2)
    measure(late, 99, 1, 2)
    measure(late, 0, 0, 1)
    assert in_order.the(SCORE).text == "6.6:2"
    assert late.the(SCORE).text == "3.3:2"


@pytest.mark.req("R-09", "R-11")
def test_the_window_follows_the_longest_instance_of_the_offering_to_date():
    other = service("other", activated_at_ms=ACTIVATED_MS + 7)
    ledger = BillingLedger.with_documents(AGREEMENT, SERVICE, other)
    measure(ledger, 50, 0, 1)
    measure(ledger, 70, 1, 2)
    assert ledger.the(SCORE).text == "6.3:2"
    # The other instance is 3.9 units old: three whole ones.
    measure(ledger, 90, 2, 3, of=other, until_ms=other.activated_at_ms + 3_900)
    score = ledger.the(SCORE)
    assert (score.longest_units, score.records, score.text) == (3, 3, "7.7:3")


@pytest.mark.req("R-12")
def test_without_records_there_is_no_score():
    assert BillingLedger.with_documents().all(SCORE) == ()


def test_only_the_first_agreed_metric_moves_the_score():
    ledger = BillingLedger.with_documents()
    measure(ledger, 99, 0, 1)
    before = ledger.the(SCORE)
    delay = measure(ledger, 10, 0, 1, metric="delay", actual_nano=21 * NANO)
    assert [event.name for event in delay.events] == ["performance.recorded"]
    assert not delay.writes[0].scored
    assert ledger.the(SCORE) == before
    assert [one.sequence for one in ledger.all(PERFORMANCE)] == [1, 1]


def test_a_target_of_the_offering_goes_before_one_for_all():
    own = SlaTarget(
        seller=ALPHA, offering="epl", metric="availability", target_nano=1, unit="percent", measurement_unit_ms=UNIT_MS
    )
    ledger = BillingLedger.with_documents(with_terms(sla_targets=(*TERMS.sla_targets, own)), SERVICE)
    kept = measure(ledger, 99, 0, 1, actual_nano=1).writes[0]
    assert kept.target_nano == 1


def test_a_services_items_have_series_and_offerings_of_their_own():
    two = replace(SERVICE, items=(*SERVICE.items, ServiceItem(id="2", offering="internet", prices=())))
    ledger = BillingLedger.with_documents(AGREEMENT, two)
    assert measure(ledger, 99, 0, 1).writes[0].item_id == "1"
    assert measure(ledger, 0, 0, 1, item_id="2").writes[0].offering == "internet"
    assert {one.offering: one.text for one in ledger.all(SCORE)} == {"epl": "9.9:1", "internet": "0.0:1"}
    with pytest.raises(sla.MetricNotAgreed):
        measure(ledger, 99, 1, 2, item_id="3")


def test_invalid_record_for_a_service_whose_seller_promised_nothing():
    ledger = BillingLedger.with_documents()
    command = RecordPerformance(
        service_id=BACKHAUL.id,
        metric="availability",
        actual_nano=TARGET_NANO,
        from_ms=BACKHAUL.activated_at_ms,
        until_ms=BACKHAUL.activated_at_ms + UNIT_MS,
        performance_tenths=99,
    )
    with pytest.raises(sla.MetricNotAgreed):
        ledger.run("record_performance", command, sender=ledger.sender("acme", "s_bus"), at=LATER_MS)


@pytest.mark.parametrize("role", ["administrator", "b_bus", "sco", "finance", "auditor", "observer"])
def test_invalid_record_by_another_role_than_s_bus_or_sof(role):
    ledger, command, _ = prepared(GOOD)
    with pytest.raises(RoleMissing):
        ledger.run("record_performance", command, sender=ledger.sender("alpha", role), at=LATER_MS)


@pytest.mark.parametrize("name", ["north", "ofcom"])
def test_invalid_record_by_who_is_no_party(name):
    ledger, command, _ = prepared(GOOD)
    with pytest.raises(PositionWrong):
        ledger.run("record_performance", command, sender=ledger.sender(name, "s_bus"), at=LATER_MS)


def test_an_agents_repeat_is_answered_with_the_first_record():
    ledger, command, how = prepared(GOOD)
    cause = Cause(ledger_id="sg_int", event_id="3/0", purpose="measure")
    first = ledger.run("record_performance", command, cause=cause, **how).writes[0]
    with pytest.raises(AlreadyDone) as refused:
        ledger.run("record_performance", command, cause=cause, sender=how["sender"])
    assert refused.value.existing_id == first.id


def test_records_survive_the_ledgers_bytes_and_are_found():
    ledger, outcome = record(GOOD)
    for stored in outcome.writes:
        assert codec.decode(type(stored), encode(stored)) == stored
    assert ledger.find(PERFORMANCE, "service", SERVICE.id, 9) == outcome.writes[:1]
    assert ledger.find(SCORE, "offering", "epl", 9) == outcome.writes[2:]
    assert isinstance(outcome.writes[2], Score)
