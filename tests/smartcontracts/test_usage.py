"""Usage: the contract puts in rate and interval, a meter's record counts once, and refusals keep their order."""

from dataclasses import replace
from fractions import Fraction

import pytest

from smartcontracts import usage as u
from smartcontracts.codec import BytesMalformed, decode, encode, message_class
from smartcontracts.ids import derive_id
from smartcontracts.interval import (
    INTERVAL,
    BeforeTheAgreement,
    Interval,
    IntervalNumberTooLarge,
    IntervalSide,
    interval_id,
)
from smartcontracts.kernel import AlreadyDone, Cause, PositionWrong, RoleMissing, WrongStatus
from smartcontracts.money import NANO, Rate
from tests.smartcontracts.billing import (
    ACTIVATED_MS,
    AGREEMENT,
    ALPHA,
    NEVER_DELIVERED,
    PER_GB,
    PERIOD_MS,
    SERVICE,
    UNDELIVERED,
    BillingLedger,
    ended,
    rate,
    repriced,
    service,
)
from tests.smartcontracts.support import START_MS

END_0 = START_MS + PERIOD_MS
FAR_MS = START_MS + (2**32 + 1) * PERIOD_MS
INTERVAL_0 = Interval(
    id=interval_id(AGREEMENT.id, 0), agreement_id=AGREEMENT.id, number=0, from_ms=START_MS, until_ms=END_0
)
EARLIER = u.Usage(
    id=derive_id("use", "earlier"),
    service_id=SERVICE.id,
    item_id="1",
    buyer=SERVICE.buyer,
    seller=ALPHA,
    unit="GB",
    quantity_nano=1,
    rate=PER_GB.rate,
    from_ms=ACTIVATED_MS,
    until_ms=ACTIVATED_MS + 1,
    interval_id=INTERVAL_0.id,
    meter_record="m1",
)
GOOD = {
    # documents
    "agreement": AGREEMENT,
    "service": SERVICE,
    "earlier": None,
    "interval": None,
    # who and when
    "sender": "alpha",
    "at": END_0 + 500,
    # the command
    "service_id": SERVICE.id,
    "item_id": "1",
    "unit": "GB",
    "quantity_nano": 3 * NANO,
    "from_ms": ACTIVATED_MS,
    "until_ms": ACTIVATED_MS + 1_000,
    "meter_record": "m1",
    "rate": PER_GB.rate,
}
DOCUMENTS = ("agreement", "service", "earlier", "interval")
REFUSALS = [  # in order of precedence, each one change away from GOOD
    (u.MeteredServiceUnknown, {"service_id": "svc_none"}),
    (u.NotTheMeter, {"sender": "acme"}),
    (u.MeteredServiceIdle, {"service": NEVER_DELIVERED}),
    (u.MeteredServiceIdle, {"service": UNDELIVERED}),
    (u.UnitNotPriced, {"unit": "MB"}),
    (u.RateDiffers, {"rate": rate(500_001)}),
    (u.QuantityNegative, {"quantity_nano": -1}),
    (u.QuantityZero, {"quantity_nano": 0}),
    (u.QuantityTooLarge, {"quantity_nano": u.QUANTITY_NANO_MAX + 1}),
    (
        u.UsageWorthTooMuch,
        {"service": service(prices=(replace(PER_GB, rate=rate(10**18)),)), "rate": None, "quantity_nano": NANO + 1},
    ),
    (u.UsageSpanEmpty, {"from_ms": ACTIVATED_MS + 1_000}),
    (u.UsageInFuture, {"at": ACTIVATED_MS + 999}),
    (u.UsageBeforeActivation, {"from_ms": ACTIVATED_MS - 1}),
    (u.UsageAfterTermination, {"service": ended(SERVICE, ACTIVATED_MS + 999)}),
    (u.UsageSpansChange, {"service": repriced(SERVICE, ACTIVATED_MS + 999, PER_GB)}),
    (u.UsageSpansChange, {"service": repriced(SERVICE, ACTIVATED_MS + 1, PER_GB)}),
    (u.MeterRecordInvalid, {"meter_record": ""}),
    (u.MeterRecordRepeated, {"earlier": EARLIER}),
    (BeforeTheAgreement, {"agreement": replace(AGREEMENT, in_force_from_ms=ACTIVATED_MS + 1_000)}),
    (u.IntervalClosed, {"interval": INTERVAL_0.with_side(IntervalSide(seller=ALPHA, invoice_id="inv_1"))}),
    (
        u.IntervalFull,
        {"interval": INTERVAL_0.with_side(IntervalSide(seller=ALPHA, usages=u.USAGES_PER_INTERVAL_MAX))},
    ),
]


def prepared(case):
    ledger = BillingLedger.with_documents(*(case[name] for name in DOCUMENTS if case[name] is not None))
    fields = {name: value for name, value in case.items() if name not in (*DOCUMENTS, "sender", "at")}
    return ledger, u.RecordUsage(**fields), {"sender": ledger.sender(case["sender"], "s_bus"), "at": case["at"]}


def record(case):
    ledger, command, how = prepared(case)
    return ledger, ledger.run("record_usage", command, **how)


def test_a_record_gets_the_contracted_rate_and_its_interval():
    _, outcome = record(GOOD | {"rate": None})
    usage, interval = outcome.writes
    assert usage == u.Usage(
        id=usage.id,
        service_id=SERVICE.id,
        item_id="1",
        buyer=SERVICE.buyer,
        seller=ALPHA,
        unit="GB",
        quantity_nano=3 * NANO,
        rate=PER_GB.rate,
        from_ms=ACTIVATED_MS,
        until_ms=ACTIVATED_MS + 1_000,
        interval_id=interval_id(AGREEMENT.id, 0),
        meter_record="m1",
    )
    assert interval == INTERVAL_0.with_side(IntervalSide(seller=ALPHA, usages=1))
    assert [event.name for event in outcome.events] == ["usage.recorded"]


@pytest.mark.parametrize("first", range(len(REFUSALS)))
def test_invalid_usage_answers_with_the_first_failing_check(first):
    broken = dict(GOOD)
    for _, change in reversed(REFUSALS[first:]):
        broken |= change
    ledger, command, how = prepared(broken)
    before = ledger.root()
    with pytest.raises(REFUSALS[first][0]):
        ledger.run("record_usage", command, **how)
    assert ledger.root() == before


@pytest.mark.parametrize(("refusal", "change"), REFUSALS)
def test_invalid_usage_is_refused_for_this_reason_alone(refusal, change):
    with pytest.raises(refusal):
        record(GOOD | change)


@pytest.mark.req("B-05")
def test_invalid_usage_rated_at_another_rate_than_the_contracted_one():
    for other in (rate(499_999), rate(0), Rate(500_000, "USD")):
        with pytest.raises(u.RateDiffers):
            record(GOOD | {"rate": other})


@pytest.mark.req("B-02")
@pytest.mark.parametrize(
    ("until_ms", "number"),
    [(END_0 - 1, 0), (END_0, 0), (END_0 + 1, 1), (END_0 + PERIOD_MS, 1), (END_0 + PERIOD_MS + 1, 2)],
)
def test_usage_belongs_to_the_interval_that_holds_its_last_millisecond(until_ms, number):
    ledger, outcome = record(GOOD | {"until_ms": until_ms, "at": until_ms})
    usage = outcome.writes[0]
    interval = ledger.the(INTERVAL)
    assert interval.number == number
    assert interval.from_ms < until_ms <= interval.until_ms
    assert usage.interval_id == interval.id == interval_id(AGREEMENT.id, number)


@pytest.mark.req("B-02")
def test_usage_is_found_by_its_interval():
    ledger = BillingLedger.with_documents()
    one = ledger.use(NANO, ACTIVATED_MS + 2_000, at=START_MS + PERIOD_MS * 2)
    two = ledger.use(NANO, END_0 + 2_000)
    assert ledger.find(u.USAGE, "related", interval_id(AGREEMENT.id, 0), 9) == (one,)
    assert ledger.find(u.USAGE, "related", interval_id(AGREEMENT.id, 1), 9) == (two,)
    assert "related" in u.USAGE.filters


def test_a_meter_record_counts_once_a_service():
    ledger = BillingLedger.with_documents(AGREEMENT, SERVICE, service("other"))
    first = ledger.use(NANO, ACTIVATED_MS + 2_000, at=END_0, meter_record="m1")
    with pytest.raises(u.MeterRecordRepeated) as refused:
        ledger.use(2 * NANO, ACTIVATED_MS + 3_000, meter_record="m1")
    assert refused.value.existing_id == first.id
    ledger.use(NANO, ACTIVATED_MS + 2_000, meter_record="m1", service_id=service("other").id)
    assert len(ledger.all(u.USAGE)) == 2


@pytest.mark.req("D-23")
def test_use_up_to_the_services_last_millisecond_is_still_recorded_after_its_end():
    record(GOOD | {"service": ended(SERVICE, ACTIVATED_MS + 1_000)})


@pytest.mark.req("B-05", "C-11")
def test_use_has_the_rate_that_counted_when_it_began_also_if_it_is_recorded_after_a_change():
    dearer = replace(PER_GB, rate=rate(700_000))
    changed_ms = ACTIVATED_MS + 1_000
    before = GOOD | {"service": repriced(SERVICE, changed_ms, dearer)}
    assert record(before | {"rate": None})[1].writes[0].rate == PER_GB.rate
    after = before | {"from_ms": changed_ms, "until_ms": changed_ms + 1}
    assert record(after | {"rate": None})[1].writes[0].rate == dearer.rate
    with pytest.raises(u.RateDiffers):
        record(after)


@pytest.mark.parametrize(
    ("field", "most", "refusal"),
    [
        ("quantity_nano", u.QUANTITY_NANO_MAX, u.QuantityTooLarge),
        ("meter_record", "m" * u.METER_RECORD_CHARACTERS_MAX, u.MeterRecordInvalid),
    ],
)
def test_each_limit_of_a_record_holds(field, most, refusal):
    record(GOOD | {field: most})
    record(GOOD | {field: most[:1] if isinstance(most, str) else 1})
    with pytest.raises(refusal):
        record(GOOD | {field: most + ("m" if isinstance(most, str) else 1)})


def test_the_first_millisecond_of_the_agreement_is_in_its_first_interval():
    first = {"service": service(activated_at_ms=START_MS - 1), "from_ms": START_MS - 1}
    ledger, _ = record(GOOD | first | {"until_ms": START_MS + 1})
    assert ledger.the(INTERVAL) == INTERVAL_0.with_side(IntervalSide(seller=ALPHA, usages=1))
    with pytest.raises(BeforeTheAgreement):
        record(GOOD | first | {"until_ms": START_MS})


def test_a_record_may_be_worth_so_much_and_no_more():
    billion = service(prices=(replace(PER_GB, rate=rate(10**18)),))
    assert u.RATED_MINOR_MAX == 10**11
    record(GOOD | {"service": billion, "rate": None, "quantity_nano": NANO})
    with pytest.raises(u.UsageWorthTooMuch):
        record(GOOD | {"service": billion, "rate": None, "quantity_nano": NANO + 1})


def test_invalid_usage_after_the_last_interval_that_has_a_number():
    record(GOOD | {"until_ms": FAR_MS - PERIOD_MS, "at": FAR_MS})
    with pytest.raises(IntervalNumberTooLarge):
        record(GOOD | {"until_ms": FAR_MS - PERIOD_MS + 1, "at": FAR_MS})


def test_an_interval_takes_so_many_records_of_a_seller_and_no_more():
    def interval(usages):
        return {"interval": INTERVAL_0.with_side(IntervalSide(seller=ALPHA, usages=usages))}

    ledger, _ = record(GOOD | interval(u.USAGES_PER_INTERVAL_MAX - 1))
    assert ledger.the(INTERVAL).side(ALPHA).usages == u.USAGES_PER_INTERVAL_MAX
    with pytest.raises(u.IntervalFull):
        record(GOOD | interval(u.USAGES_PER_INTERVAL_MAX))


def test_what_a_full_interval_is_worth_can_be_invoiced():
    """The sums of as many of the largest records as one interval takes stay within 64 bits and the bound for amounts."""
    assert u.USAGES_PER_INTERVAL_MAX * u.QUANTITY_NANO_MAX < 2**63
    assert u.USAGES_PER_INTERVAL_MAX * u.RATED_MINOR_MAX * 10 <= u.MINOR_MAX


def test_the_other_directions_use_and_invoice_do_not_count():
    sides = (IntervalSide(seller=SERVICE.buyer, usages=u.USAGES_PER_INTERVAL_MAX, invoice_id="inv_1"),)
    ledger, _ = record(GOOD | {"interval": replace(INTERVAL_0, sides=sides)})
    assert ledger.the(INTERVAL).side(ALPHA).usages == 1
    assert ledger.the(INTERVAL).side(SERVICE.buyer) == sides[0]


@pytest.mark.parametrize("role", ["administrator", "b_bus", "sco", "sof", "finance", "auditor", "observer"])
def test_invalid_usage_by_another_role_than_s_bus(role):
    ledger, command, _ = prepared(GOOD)
    with pytest.raises(RoleMissing):
        ledger.run("record_usage", command, sender=ledger.sender("alpha", role), at=GOOD["at"])


@pytest.mark.parametrize("name", ["north", "ofcom"])
def test_invalid_usage_by_who_is_no_party(name):
    ledger, command, _ = prepared(GOOD)
    with pytest.raises(PositionWrong):
        ledger.run("record_usage", command, sender=ledger.sender(name, "s_bus"), at=GOOD["at"])


def test_an_agents_repeat_is_answered_with_the_first_record():
    ledger, command, how = prepared(GOOD)
    cause = Cause(ledger_id="sg_int", event_id="7/0", purpose="meter")
    first = ledger.run("record_usage", command, cause=cause, **how).writes[0]
    with pytest.raises(AlreadyDone) as refused:
        ledger.run("record_usage", replace(command, meter_record="m2"), cause=cause, sender=how["sender"])
    assert refused.value.existing_id == first.id


def test_usage_is_invoiced_once():
    once = u.invoiced(EARLIER, "inv_1")
    assert (once.status, once.invoice_id) == (u.UsageStatus.INVOICED, "inv_1")
    with pytest.raises(WrongStatus):
        u.invoiced(once, "inv_2")


@pytest.mark.req("B-03")
def test_a_rate_of_a_twentieth_of_a_cent_is_exact_on_the_ledger():
    stored = decode(u.Usage, encode(EARLIER))
    assert Fraction(stored.rate.nano, NANO) == Fraction(5, 100) / 100


def test_invalid_command_with_a_field_that_does_not_exist():
    """Field 15 of a RecordUsage: no way to give a second rate."""
    data = encode(prepared(GOOD)[1]) + bytes([15 << 3, 1])
    assert 15 not in message_class("RecordUsage").DESCRIPTOR.fields_by_number
    with pytest.raises(BytesMalformed):
        decode(u.RecordUsage, data)
