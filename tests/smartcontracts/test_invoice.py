"""Invoice: the contract computes it, the threshold decides, both make it final, and what is final never changes."""

import hashlib
from dataclasses import fields, replace
from decimal import ROUND_DOWN, ROUND_HALF_EVEN, ROUND_HALF_UP, ROUND_UP, Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smartcontracts import codec
from smartcontracts import invoice as i
from smartcontracts.agreement import AgreementUnknown, NotAParty
from smartcontracts.interval import INTERVAL, Interval, interval_id
from smartcontracts.invoice import INVOICE, InvoiceStatus
from smartcontracts.kernel import AlreadyDone, Cause, PositionWrong, RoleMissing, WrongStatus
from smartcontracts.money import MINOR_MAX, NANO, AmountOutOfRange, CurrencyMismatch, CurrencyUnknown, Money, Rounding
from smartcontracts.proposal import PROPOSAL, AcceptProposal, Propose, act_of
from smartcontracts.rating import ONCE, PRORATED, SUMMED, rate_interval
from smartcontracts.service import DAY_MS, terminated
from smartcontracts.usage import USAGE, IntervalClosed, UsageStatus
from tests.smartcontracts.billing import (
    ACME,
    ACTIVATED_MS,
    AGREEMENT,
    ALPHA,
    BACKHAUL,
    FEE,
    NEVER_DELIVERED,
    PARTIES,
    PAYMENT_DUE_MS,
    PER_GB,
    PERIOD_MS,
    SERVICE,
    SETUP_FEE,
    THRESHOLD_MINOR,
    UNDELIVERED,
    VALID_FOR_MS,
    BillingLedger,
    ended,
    eur,
    rate,
    repriced,
    service,
    with_terms,
)
from tests.smartcontracts.support import START_MS, member, org

END_0 = START_MS + PERIOD_MS
DECIMAL_MODES = {
    Rounding.HALF_UP: ROUND_HALF_UP,
    Rounding.HALF_EVEN: ROUND_HALF_EVEN,
    Rounding.DOWN: ROUND_DOWN,
    Rounding.UP: ROUND_UP,
}


def ledger_with(*services, agreement=AGREEMENT):
    return BillingLedger.with_documents(agreement, *services)


def summary(lines):
    return [
        (line.number, line.rule, Fraction(line.quantity_numerator, line.quantity_denominator), line.amount.minor)
        for line in lines
    ]


# What is on it


@pytest.mark.req("B-04", "B-05")
def test_the_contract_computes_every_line_from_service_and_use():
    ledger = ledger_with(SERVICE)
    ledger.use(1_500 * NANO, ACTIVATED_MS + 2_000, at=END_0)
    ledger.use(2_501 * NANO, ACTIVATED_MS + 4_000)
    issued = ledger.issue()
    assert summary(issued.lines) == [
        (1, ONCE, 1, 100_00),
        # 15 of the 20 seconds, at 30 euros a minute.
        (2, PRORATED, Fraction(15, 60), 7_50),
        # 4,001 GB at 0.05 cent are 200.05 cent.
        (3, SUMMED, 4_001, 2_00),
    ]
    assert issued.total == eur(109_50)
    assert [line.rate for line in issued.lines] == [SETUP_FEE.rate, FEE.rate, PER_GB.rate]
    assert [(line.from_ms, line.until_ms) for line in issued.lines] == [
        (ACTIVATED_MS, ACTIVATED_MS),
        (ACTIVATED_MS, END_0),
        (ACTIVATED_MS + 1_000, ACTIVATED_MS + 4_000),
    ]


@pytest.mark.req("D-23", "X-61", "X-63")
def test_a_service_costs_nothing_before_its_activation_and_after_its_end():
    ledger = ledger_with(SERVICE, replace(UNDELIVERED, id="svc_waiting"), replace(NEVER_DELIVERED, id="svc_never"))
    ledger.write(ended(SERVICE, ACTIVATED_MS + 10_000))
    issued = ledger.issue()
    assert {line.service_id for line in issued.lines} == {SERVICE.id}
    assert summary(issued.lines) == [(1, ONCE, 1, 100_00), (2, PRORATED, Fraction(10, 60), 5_00)]
    assert (issued.lines[1].from_ms, issued.lines[1].until_ms) == (ACTIVATED_MS, ACTIVATED_MS + 10_000)
    with pytest.raises(i.NothingToInvoice):
        ledger.issue(interval=1)


@pytest.mark.req("D-23")
def test_an_interval_before_a_services_end_is_billed_whole_whenever_it_is_invoiced():
    ledger = ledger_with(ended(SERVICE, END_0 + 5_000))
    assert summary(ledger.issue(interval=1, at=END_0 + 3 * PERIOD_MS).lines) == [(1, PRORATED, Fraction(5, 60), 2_50)]
    assert ledger.issue(interval=0, at=END_0 + 4 * PERIOD_MS).total == eur(107_50)


@pytest.mark.req("X-61", "X-63")
@pytest.mark.parametrize("of", [SERVICE, UNDELIVERED])
def test_what_a_termination_costs_is_billed_once_also_if_nothing_was_delivered_yet(of):
    price = (replace(of.items[0], prices=(replace(SETUP_FEE, rate=rate(9 * NANO)), FEE, PER_GB)),)
    ledger = ledger_with(terminated(of, END_0 + 5_000, price))
    before = () if of is UNDELIVERED else ((1, PRORATED, Fraction(5, 60), 2_50),)
    assert summary(ledger.issue(interval=1).lines) == [*before, (len(before) + 1, ONCE, 1, 9_00)]
    with pytest.raises(i.NothingToInvoice):
        ledger.issue(interval=2)


@pytest.mark.req("C-11")
def test_a_change_of_prices_counts_from_its_time_on_and_what_it_costs_once_is_billed_then():
    changed_ms = END_0 + 5_000
    dearer = (
        replace(SETUP_FEE, rate=rate(7 * NANO)),
        replace(FEE, rate=rate(60 * NANO)),
        replace(PER_GB, rate=rate(NANO)),
    )
    ledger = ledger_with(repriced(SERVICE, changed_ms, *dearer))
    ledger.use(1_000 * NANO, changed_ms, at=END_0 + PERIOD_MS)
    ledger.use(3 * NANO, changed_ms + 2_000)
    assert ledger.issue(interval=0).total == eur(107_50)
    assert summary(ledger.issue(interval=1).lines) == [
        (1, ONCE, 1, 7_00),
        # The last 15 of 20 seconds at 60 euros a minute, and the first five at 30.
        (2, PRORATED, Fraction(15, 60), 15_00),
        (3, SUMMED, 3, 3_00),
        (4, PRORATED, Fraction(5, 60), 2_50),
        (5, SUMMED, 1_000, 50),
    ]
    assert summary(ledger.issue(interval=2).lines) == [(1, PRORATED, Fraction(20, 60), 20_00)]


@pytest.mark.req("Q-40")
def test_what_is_priced_for_all_elements_together_is_billed_once():
    bare = tuple(replace(SERVICE.items[0], id=name, prices=()) for name in ("1", "2"))
    ledger = ledger_with(replace(SERVICE, items=bare, bundle=replace(SERVICE.items[0], id="", prices=(FEE, PER_GB))))
    ledger.use(4_000 * NANO, ACTIVATED_MS + 2_000, at=END_0, item_id="")
    lines = ledger.issue().lines
    assert summary(lines) == [(1, PRORATED, Fraction(15, 60), 7_50), (2, SUMMED, 4_000, 2_00)]
    assert {line.item_id for line in lines} == {""}


@given(
    activated=st.integers(1, 3 * PERIOD_MS),
    steps=st.lists(st.integers(1, PERIOD_MS), max_size=5),
    lasts=st.integers(1, 2 * PERIOD_MS),
)
def test_every_millisecond_of_operation_is_billed_once_at_the_price_that_counted(activated, steps, lasts):
    """However often prices change and wherever intervals end: a millisecond costs 1 euro, then 2, then 3, and so on."""
    now, expected, price = START_MS + activated, 0, 1
    one = service(activated_at_ms=now, prices=(replace(FEE, rate=rate(NANO), period_ms=1),))
    for lasted in steps:
        expected += lasted * price
        now, price = now + lasted, price + 1
        one = repriced(one, now, replace(FEE, rate=rate(price * NANO), period_ms=1))
    expected += lasts * price
    one = ended(one, now + lasts)
    intervals = (
        Interval(id=f"i{n}", agreement_id="a", number=n, from_ms=f, until_ms=f + PERIOD_MS)
        for n, f in enumerate(range(START_MS, now + lasts + PERIOD_MS, PERIOD_MS))
    )
    lines = [line for interval in intervals for line in rate_interval([one], [], interval, "EUR", Rounding.DOWN)]
    assert sum(line.amount.minor for line in lines) == expected * 100


@pytest.mark.req("B-02")
def test_invoice_and_lines_carry_the_intervals_identity():
    ledger = ledger_with(SERVICE)
    issued = ledger.issue(interval=1)
    identity = interval_id(AGREEMENT.id, 1)
    assert (issued.interval, issued.from_ms, issued.until_ms) == (1, END_0, END_0 + PERIOD_MS)
    assert {issued.interval_id, *(line.interval_id for line in issued.lines)} == {identity}
    assert ledger.find(INVOICE, "related", identity, 9) == (issued,)
    assert ledger.the(INTERVAL, identity).side(ALPHA).invoice_id == issued.id


@pytest.mark.req("B-12", "B-15")
def test_the_transaction_that_loads_an_invoice_notifies_with_id_and_hash():
    ledger = ledger_with(SERVICE)
    command = i.IssueInvoice(agreement_id=AGREEMENT.id, interval=0)
    outcome = ledger.run("issue_invoice", command, sender=ledger.sender("alpha", "s_bus"), at=END_0)
    (event,) = outcome.events
    issued = ledger.the(INVOICE)
    assert event.name == "invoice.issued"
    assert event.document is outcome.writes[0]
    assert event.document == issued
    assert ACME in INVOICE.terms(issued).party
    encoded = codec.encode(replace(issued, issued_sha256=b""))
    assert issued.issued_sha256 == hashlib.sha256(b"syngraph/invoice/1\0" + encoded).digest()


def test_each_fact_of_an_invoice_is_in_its_hash():
    issued = ledger_with(SERVICE).issue()
    line = issued.lines[0]
    for change in (
        {"lines": (replace(line, quantity_numerator=2), *issued.lines[1:])},
        {"lines": (replace(line, rule=SUMMED), *issued.lines[1:])},
        {"total": eur(issued.total.minor + 1)},
        {"buyer": issued.seller},
        {"due_at_ms": issued.due_at_ms + 1},
    ):
        assert i.issued_sha256(replace(issued, **change)) != issued.issued_sha256


def test_it_is_due_by_the_agreements_terms_and_payable_in_its_form():
    ledger = ledger_with(SERVICE)
    issued = ledger.issue(at=END_0 + 7)
    assert (issued.issued_at_ms, issued.due_at_ms) == (END_0 + 7, END_0 + 7 + PAYMENT_DUE_MS)
    assert issued.payment_form == AGREEMENT.terms.payment_form
    assert issued.rounding == AGREEMENT.terms.rounding


def test_use_that_is_invoiced_says_so_and_no_more_comes():
    ledger = ledger_with(SERVICE)
    ledger.use(NANO, ACTIVATED_MS + 2_000, at=END_0)
    issued = ledger.issue()
    assert [(one.status, one.invoice_id) for one in ledger.all(USAGE)] == [(UsageStatus.INVOICED, issued.id)]
    with pytest.raises(IntervalClosed) as refused:
        ledger.use(NANO, END_0)
    assert refused.value.existing_id == issued.id
    ledger.use(NANO, END_0 + 1)


def test_setup_is_charged_once_and_only_in_the_interval_of_activation():
    ledger = ledger_with(SERVICE)
    rules = [[line.rule for line in ledger.issue(interval=n).lines] for n in range(3)]
    assert rules == [[ONCE, PRORATED], [PRORATED], [PRORATED]]


@pytest.mark.parametrize(
    ("activated_at_ms", "rules"),
    [(START_MS, [ONCE, PRORATED]), (END_0 - 1, [ONCE, PRORATED]), (END_0, []), (START_MS - 1, [PRORATED])],
)
def test_an_interval_holds_its_first_millisecond_and_not_its_end(activated_at_ms, rules):
    lines = rated(service(activated_at_ms=activated_at_ms))
    assert [line.rule for line in lines] == rules


INTERVAL_0 = i.interval_numbered(AGREEMENT, 0, ledger_with())
USED = ledger_with(SERVICE).use(NANO, ACTIVATED_MS + 2_000, at=END_0)


def rated(*services, usages=(), rounding=Rounding.HALF_UP, currency="EUR"):
    return rate_interval(services, usages, INTERVAL_0, currency, rounding)


def test_fees_of_all_intervals_together_make_the_fee_of_the_whole_time():
    ledger = ledger_with(service(prices=(replace(FEE, rate=rate(NANO), period_ms=70_001),)))
    quantities = [summary(ledger.issue(interval=n).lines)[0][2] for n in range(4)]
    assert sum(quantities) == Fraction(START_MS + 4 * PERIOD_MS - ACTIVATED_MS, 70_001)


def test_lines_stand_in_the_order_of_activation_then_id_then_item_and_price():
    late = service("late", activated_at_ms=ACTIVATED_MS + 1)
    same = [service(name) for name in ("a", "b")]
    lines = rated(late, *sorted(same, key=lambda one: one.id, reverse=True))
    assert [line.service_id for line in lines] == [
        one.id for one in (*sorted(same, key=lambda one: one.id), late) for _ in range(2)
    ]
    assert [line.number for line in lines] == list(range(1, 7))


def test_each_party_invoices_what_it_sells():
    ledger = ledger_with(SERVICE, BACKHAUL)
    ours, theirs = ledger.issue("alpha"), ledger.issue("acme")
    assert (ours.seller, ours.buyer) == (theirs.buyer, theirs.seller) == (ALPHA, ACME)
    assert {line.service_id for line in ours.lines} == {SERVICE.id}
    assert {line.service_id for line in theirs.lines} == {BACKHAUL.id}
    assert theirs.total == eur(12_00)


@pytest.mark.req("B-03")
@pytest.mark.parametrize(("cycles", "cents"), [(1, 0), (9, 0), (10, 1), (29, 1), (30, 2), (2_000, 100)])
def test_a_twentieth_of_a_cent_is_charged_exactly(cycles, cents):
    ledger = ledger_with(service(prices=(replace(PER_GB, unit="cycle"),)))
    for n in range(cycles if cycles < 40 else 0):
        ledger.use(NANO, ACTIVATED_MS + 2_000 + n, at=END_0 + n, unit="cycle", service_id=SERVICE.id)
    if cycles >= 40:
        ledger.use(cycles * NANO, ACTIVATED_MS + 2_000, at=END_0, unit="cycle")
    assert ledger.issue().total == eur(cents)


QUANTITIES = st.lists(st.integers(1, 10**13), min_size=1, max_size=6)


@pytest.mark.req("B-03", "B-04")
@given(QUANTITIES, st.integers(0, 10**12), st.sampled_from(Rounding))
def test_a_line_is_the_exact_sum_of_its_rated_records_rounded_once(quantities, nano, rounding):
    price = replace(PER_GB, rate=rate(nano))
    usages = [replace(USED, quantity_nano=quantity, rate=price.rate) for quantity in quantities]
    (line,) = rated(service(prices=(price,)), usages=usages, rounding=rounding)
    # Twenty-odd digits before and eighteen after the point are exact in a decimal of sixty.
    cents = sum(Decimal(one.quantity_nano * one.rate.nano).scaleb(-16) for one in usages)
    assert line.amount.minor == int(cents.quantize(Decimal(1), rounding=DECIMAL_MODES[rounding]))


@pytest.mark.req("B-04")
@given(QUANTITIES)
def test_the_order_of_records_changes_no_line(quantities):
    usages = [
        replace(USED, quantity_nano=quantity, from_ms=ACTIVATED_MS + n, until_ms=ACTIVATED_MS + 2 * n + 1)
        for n, quantity in enumerate(quantities)
    ]
    assert rated(SERVICE, usages=usages) == rated(SERVICE, usages=usages[::-1])


@pytest.mark.req("B-05")
def test_an_invoice_takes_its_rates_from_the_service_alone():
    """Neither command nor a usage record that would say otherwise can bring in another rate."""
    assert {spec.name for spec in fields(i.IssueInvoice)} == {"agreement_id", "interval"}
    ledger = ledger_with(SERVICE)
    used = ledger.use(1_000 * NANO, ACTIVATED_MS + 2_000, at=END_0)
    (line,) = [one for one in rated(SERVICE, usages=[replace(used, rate=rate(10**9))]) if one.rule == SUMMED]
    assert (line.rate, line.amount) == (PER_GB.rate, eur(50))


# Refusals of issuing

ISSUE = {
    "agreement": AGREEMENT,
    "services": (SERVICE,),
    "invoiced": False,
    "sender": "alpha",
    "at": END_0,
    "agreement_id": AGREEMENT.id,
    "interval": 0,
}
MANY = tuple(service(f"s{n}") for n in range(i.SERVICES_MAX + 1))
DOLLARS = service(prices=(replace(FEE, rate=rate(NANO, "USD")),))
RICH = service(prices=(replace(FEE, rate=rate(9 * 10**18), period_ms=1),))
ISSUE_REFUSALS = [  # in order of precedence, each one change away from ISSUE
    (AgreementUnknown, {"agreement_id": "agr_none"}),
    (NotAParty, {"agreement": replace(AGREEMENT, parties=tuple(sorted((ACME, org("bravo")))))}),
    (i.IntervalNotOver, {"at": END_0 - 1}),
    (i.IntervalInvoiced, {"invoiced": True}),
    (i.TooManyServices, {"services": MANY}),
]


def run_issue(case):
    ledger = ledger_with(*case["services"], agreement=case["agreement"])
    if case["invoiced"]:
        interval = i.interval_numbered(case["agreement"], 0, ledger)
        ledger.write(interval.with_side(replace(interval.side(ALPHA), invoice_id="inv_1")))
    command = i.IssueInvoice(agreement_id=case["agreement_id"], interval=case["interval"])
    before = ledger.root()
    try:
        ledger.run("issue_invoice", command, sender=ledger.sender(case["sender"], "finance"), at=case["at"])
    finally:
        assert (ledger.root() == before) == (not ledger.all(INVOICE))
    return ledger


@pytest.mark.parametrize("first", range(len(ISSUE_REFUSALS)))
def test_invalid_issue_answers_with_the_first_failing_check(first):
    broken = dict(ISSUE)
    for _, change in reversed(ISSUE_REFUSALS[first:]):
        broken |= change
    with pytest.raises(ISSUE_REFUSALS[first][0]):
        run_issue(broken)


@pytest.mark.parametrize(
    ("refusal", "change"),
    [
        *ISSUE_REFUSALS,
        (CurrencyMismatch, {"services": (DOLLARS,)}),
        (AmountOutOfRange, {"services": (RICH,)}),
        (i.NothingToInvoice, {"services": ()}),
        (i.NothingToInvoice, {"services": (BACKHAUL,)}),
        (i.NothingToInvoice, {"services": (service(prices=(PER_GB,)),)}),
    ],
)
def test_invalid_issue_is_refused_for_this_reason_alone(refusal, change):
    with pytest.raises(refusal):
        run_issue(ISSUE | change)


def test_an_interval_is_over_with_its_last_millisecond():
    run_issue(ISSUE | {"at": END_0})
    with pytest.raises(i.IntervalNotOver):
        run_issue(ISSUE | {"at": END_0 - 1})


def test_an_interval_is_invoiced_once_whatever_happened_to_the_invoice():
    ledger = ledger_with(SERVICE)
    first = ledger.final()
    with pytest.raises(i.IntervalInvoiced) as refused:
        ledger.issue()
    assert refused.value.existing_id == first.id


def test_an_invoice_takes_so_many_services():
    one_line = tuple(service(f"s{n}", prices=(FEE,)) for n in range(i.SERVICES_MAX))
    assert len(run_issue(ISSUE | {"services": one_line}).the(INVOICE).lines) == i.SERVICES_MAX


@pytest.mark.req("B-04", "X-63")
def test_services_that_ended_before_an_interval_are_not_in_the_way_of_its_invoice():
    gone = tuple(ended(service(f"s{n}", prices=(FEE,)), ACTIVATED_MS + 1_000) for n in range(i.SERVICES_MAX + 100))
    ledger = ledger_with(*gone, SERVICE)
    assert {line.service_id for line in ledger.issue(interval=1).lines} == {SERVICE.id}
    # The interval in which they ended has something of each.
    with pytest.raises(i.TooManyServices):
        ledger.issue(interval=0)


@pytest.mark.req("B-04", "X-63")
@pytest.mark.parametrize("days", [0, 1, 40])
def test_an_ended_service_is_found_from_whatever_day_its_interval_is_invoiced(days):
    period_ms = 31 * DAY_MS
    at_ms = START_MS + days * DAY_MS + 15_000
    agreement = with_terms(billing_period_ms=period_ms)
    later = service("later", activated_at_ms=START_MS + 3 * period_ms, prices=(FEE,))
    others = (ended(later, START_MS + 3 * period_ms + 1), ended(service("b", seller=ACME), at_ms))
    ledger = ledger_with(ended(SERVICE, at_ms), *others, agreement=agreement)
    number = days * DAY_MS // period_ms
    issued = ledger.issue(interval=number, at=START_MS + 5 * period_ms)
    (line,) = [line for line in issued.lines if line.rule == PRORATED]
    assert (line.service_id, line.until_ms) == (SERVICE.id, at_ms)
    with pytest.raises(i.NothingToInvoice):
        ledger.issue(interval=number + 1)


@pytest.mark.req("X-63")
def test_what_ends_with_the_first_millisecond_of_an_interval_costs_its_end_in_that_interval():
    price = (replace(SERVICE.items[0], prices=(replace(SETUP_FEE, rate=rate(9 * NANO)),)),)
    ledger = ledger_with(terminated(SERVICE, END_0, price))
    assert summary(ledger.issue(interval=1).lines) == [(1, ONCE, 1, 9_00)]
    assert ledger.issue(interval=0).total == eur(107_50)


def test_so_many_services_that_ended_on_one_day_are_looked_through(monkeypatch):
    monkeypatch.setattr(i, "ENDED_A_DAY_MAX", 3)
    gone = [ended(service(f"s{n}", prices=(FEE,)), ACTIVATED_MS + 1_000) for n in range(4)]
    assert ledger_with(*gone[:3], SERVICE).issue(interval=1).lines
    with pytest.raises(i.TooManyServices):
        ledger_with(*gone, SERVICE).issue(interval=1)


def test_an_invoice_has_so_many_lines_and_no_more():
    def case(lines):
        prices = (replace(FEE, name="a"), replace(FEE, name="b"))
        services = [service(f"s{n}", prices=prices) for n in range(lines // 2)]
        return ISSUE | {"services": (*services, *([service("odd", prices=(FEE,))] if lines % 2 else []))}

    ledger = run_issue(case(i.LINES_MAX))
    assert len(ledger.the(INVOICE).lines) == i.LINES_MAX
    with pytest.raises(i.TooManyLines):
        run_issue(case(i.LINES_MAX + 1))


@pytest.mark.parametrize("role", ["administrator", "b_bus", "sco", "sof", "auditor", "observer"])
def test_invalid_issue_by_another_role_than_finance_or_s_bus(role):
    ledger = ledger_with(SERVICE)
    command = i.IssueInvoice(agreement_id=AGREEMENT.id, interval=0)
    with pytest.raises(RoleMissing):
        ledger.run("issue_invoice", command, sender=ledger.sender("alpha", role), at=END_0)


def test_an_agents_second_invoice_is_answered_with_the_first():
    ledger = ledger_with(SERVICE)
    cause = Cause(ledger_id="sg_int", event_id="9/1", purpose="billing run")
    sender = ledger.sender("alpha", "s_bus")
    command = i.IssueInvoice(agreement_id=AGREEMENT.id, interval=0)
    first = ledger.run("issue_invoice", command, sender=sender, at=END_0, cause=cause).writes[0]
    with pytest.raises(AlreadyDone) as refused:
        ledger.run("issue_invoice", command, sender=sender, cause=cause)
    assert refused.value.existing_id == first.id


# Acceptance and dispute


@pytest.mark.req("S-07", "S-10")
@pytest.mark.parametrize("sign", [-1, 1])
@pytest.mark.parametrize(
    ("difference", "status"),
    [
        (0, InvoiceStatus.ACCEPTED),
        (THRESHOLD_MINOR - 1, InvoiceStatus.ACCEPTED),
        (THRESHOLD_MINOR, InvoiceStatus.ACCEPTED),  # equal is not above
        (THRESHOLD_MINOR + 1, InvoiceStatus.DISPUTED),
    ],
)
def test_the_threshold_decides_in_the_block_of_the_comparison(difference, status, sign):
    ledger = ledger_with(SERVICE)
    issued = ledger.issue()
    compared = ledger.compare(issued, issued.total.minor + sign * difference)
    assert compared.status == status
    assert ledger.the(INVOICE).status == status
    assert ledger.event_names()[-1] == f"invoice.{status}"


@pytest.mark.req("S-04")
@pytest.mark.parametrize("difference", [-THRESHOLD_MINOR, 0, THRESHOLD_MINOR])
def test_what_is_accepted_is_the_invoices_amount_to_the_minor_unit(difference):
    ledger = ledger_with(SERVICE)
    issued = ledger.issue()
    compared = ledger.compare(issued, issued.total.minor + difference)
    assert compared.settlement == issued.total
    assert compared.buyer_amount == eur(issued.total.minor + difference)


def test_nothing_is_owed_before_both_agree():
    issued = ledger_with(SERVICE).issue()
    with pytest.raises(RuntimeError):
        _ = issued.owed


def test_what_is_disputed_has_no_settlement_and_waits():
    ledger = ledger_with(SERVICE)
    compared = ledger.compare(ledger.issue(), 0)
    assert (compared.status, compared.settlement) == (InvoiceStatus.DISPUTED, None)
    assert compared.total == ledger.the(INVOICE).total
    ledger.advance(compared.due_at_ms + 1_000_000)
    assert ledger.the(INVOICE) == compared


@pytest.mark.req("S-10")
def test_a_new_threshold_holds_once_it_is_on_the_ledger():
    ledger = ledger_with(SERVICE)
    issued = ledger.issue()
    ledger.write(with_terms(dispute_threshold_minor=0))
    assert ledger.compare(issued, issued.total.minor + 1).status == InvoiceStatus.DISPUTED


COMPARE = {"status": InvoiceStatus.ISSUED, "sender": "acme", "invoice_id": None, "amount": eur(100)}
COMPARE_REFUSALS = [  # in order of precedence, each one change away from COMPARE
    (i.InvoiceUnknown, {"invoice_id": "inv_none"}),
    (i.NotTheInvoicedBuyer, {"sender": "alpha"}),
    *((WrongStatus, {"status": s}) for s in InvoiceStatus if s != InvoiceStatus.ISSUED),
    (CurrencyUnknown, {"amount": Money(100, "EURO")}),
    (CurrencyMismatch, {"amount": Money(100, "USD")}),
    (i.BuyerAmountNegative, {"amount": eur(-1)}),
    (i.BuyerAmountTooLarge, {"amount": eur(MINOR_MAX + 1)}),
]


def run_compare(case):
    ledger = ledger_with(SERVICE)
    issued = ledger.issue()
    ledger.write_as(replace(issued, settlement=issued.total, status=case["status"]))
    command = i.CompareInvoice(invoice_id=case["invoice_id"] or issued.id, buyer_amount=case["amount"])
    before = ledger.root()
    try:
        return ledger.run("compare_invoice", command, sender=ledger.sender(case["sender"], "finance"))
    except Exception:
        assert ledger.root() == before
        raise


@pytest.mark.parametrize("first", range(len(COMPARE_REFUSALS)))
def test_invalid_comparison_answers_with_the_first_failing_check(first):
    run_compare(COMPARE)
    broken = dict(COMPARE)
    for _, change in reversed(COMPARE_REFUSALS[first:]):
        broken |= change
    with pytest.raises(COMPARE_REFUSALS[first][0]):
        run_compare(broken)


@pytest.mark.parametrize("minor", [0, MINOR_MAX])
def test_a_buyers_figure_may_be_nothing_or_the_most(minor):
    assert run_compare(COMPARE | {"amount": eur(minor)}).writes[0].status == InvoiceStatus.DISPUTED


@pytest.mark.parametrize("role", ["administrator", "s_bus", "b_bus", "sco", "sof", "auditor", "observer"])
def test_invalid_comparison_by_another_role_than_finance(role):
    ledger = ledger_with(SERVICE)
    issued = ledger.issue()
    with pytest.raises(RoleMissing):
        ledger.compare(issued, sender=ledger.sender("acme", role))


@pytest.mark.parametrize("name", ["north", "ofcom"])
def test_invalid_comparison_by_who_is_no_party(name):
    ledger = ledger_with(SERVICE)
    issued = ledger.issue()
    with pytest.raises(PositionWrong):
        ledger.compare(issued, sender=ledger.sender(name, "finance"))


# Finality


@pytest.mark.req("S-13")
def test_a_final_invoice_is_signed_by_both_and_keeps_the_original():
    ledger = ledger_with(SERVICE)
    issued = ledger.issue()
    final = ledger.finalize(ledger.compare(issued, issued.total.minor - 7))
    signers = sorted(f"{org(name)}/{member(name, 'finance')}" for name in ("acme", "alpha"))
    assert final.status == InvoiceStatus.FINAL
    assert final.final_by == tuple(signers)
    assert (final.settlement, final.buyer_amount) == (issued.total, eur(issued.total.minor - 7))
    assert (final.lines, final.total, final.issued_sha256) == (issued.lines, issued.total, issued.issued_sha256)
    # The original comes back from it, to the byte.
    original = replace(
        final,
        status=issued.status,
        buyer_amount=None,
        settlement=None,
        final_by=(),
        final_at_ms=0,
    )
    assert i.issued_sha256(original) == final.issued_sha256


@pytest.mark.req("S-13")
def test_a_lone_signature_makes_nothing_final():
    ledger = ledger_with(SERVICE)
    accepted = ledger.compare(ledger.issue())
    act = act_of("final_invoice", i.FinalInvoice(invoice_id=accepted.id, amount=accepted.total))
    ledger.run("propose", Propose(act=act, valid_for_ms=VALID_FOR_MS), sender=ledger.sender("acme", "finance"))
    assert ledger.the(INVOICE) == accepted
    assert ledger.the(PROPOSAL).required == PARTIES


@pytest.mark.parametrize("minor", [1, 5_000, 109_51, MINOR_MAX])
def test_a_dispute_ends_with_any_amount_that_both_sign(minor):
    ledger = ledger_with(SERVICE)
    disputed = ledger.compare(ledger.issue(), 0)
    final = ledger.finalize(disputed, minor)
    assert (final.status, final.settlement, final.resolution) == (InvoiceStatus.FINAL, eur(minor), i.MANUAL)
    assert final.total == disputed.total
    assert ledger.event_names()[-3:] == ["invoice.resolved", "invoice.finalized", "proposal.enacted"]


def test_where_nothing_is_owed_finality_closes():
    ledger = ledger_with(SERVICE)
    final = ledger.finalize(ledger.compare(ledger.issue(), 0), 0)
    assert (final.status, final.settlement) == (InvoiceStatus.CLOSED, eur(0))
    free = ledger_with(service(prices=(replace(FEE, rate=rate(0)),)))
    assert free.final().status == InvoiceStatus.CLOSED


def test_a_dispute_in_time_moves_the_due_date_and_a_late_one_does_not():
    ledger = ledger_with(SERVICE)
    disputed = ledger.compare(ledger.issue(), 0)
    final = ledger.finalize(disputed, 50)
    assert final.due_at_ms == final.final_at_ms + PAYMENT_DUE_MS > disputed.due_at_ms
    late = ledger_with(SERVICE)
    issued = late.issue()
    disputed = late.compare(issued, 0, at=issued.due_at_ms + 1)
    assert disputed.overdue
    assert late.finalize(disputed, 50).due_at_ms == issued.due_at_ms


FINALIZE = {"status": InvoiceStatus.ACCEPTED, "invoice_id": None, "amount": None}
FINALIZE_REFUSALS = [  # in order of precedence, each one change away from FINALIZE
    (i.InvoiceUnknown, {"invoice_id": "inv_none"}),
    *((WrongStatus, {"status": s}) for s in InvoiceStatus if s not in (InvoiceStatus.ACCEPTED, InvoiceStatus.DISPUTED)),
    (CurrencyUnknown, {"amount": Money(100, "EURO")}),
    (CurrencyMismatch, {"amount": Money(100, "USD")}),
    (i.AgreedAmountNegative, {"amount": eur(-1)}),
    (i.AgreedAmountTooLarge, {"amount": eur(MINOR_MAX + 1)}),
    (i.NotTheSettlementAmount, {"amount": eur(1)}),
]


def run_finalize(case):
    ledger = ledger_with(SERVICE)
    issued = ledger.issue()
    settlement = None if case["status"] == InvoiceStatus.DISPUTED else issued.total
    ledger.write_as(replace(issued, settlement=settlement, status=case["status"]))
    amount = case["amount"] or issued.total
    act = act_of("final_invoice", i.FinalInvoice(invoice_id=case["invoice_id"] or issued.id, amount=amount))
    both = tuple(ledger.sender(name, "finance") for name in ("acme", "alpha"))
    before = ledger.root()
    try:
        ledger.run("propose", Propose(act=act, valid_for_ms=VALID_FOR_MS), sender=both[0], signers=both)
    except Exception:
        assert ledger.root() == before
        raise
    return ledger.the(INVOICE)


@pytest.mark.parametrize("first", range(len(FINALIZE_REFUSALS)))
def test_invalid_finality_answers_with_the_first_failing_check(first):
    assert run_finalize(FINALIZE).status == InvoiceStatus.FINAL
    broken = dict(FINALIZE)
    for _, change in reversed(FINALIZE_REFUSALS[first:]):
        broken |= change
    with pytest.raises(FINALIZE_REFUSALS[first][0]):
        run_finalize(broken)


@pytest.mark.parametrize("difference", [-1, 1])
def test_invalid_finality_of_another_amount_than_was_accepted(difference):
    with pytest.raises(i.NotTheSettlementAmount):
        run_finalize(FINALIZE | {"amount": eur(107_50 + difference)})


def test_what_changed_between_proposal_and_acceptance_is_checked_again():
    ledger = ledger_with(SERVICE)
    disputed = ledger.compare(ledger.issue(), 0)
    act = act_of("final_invoice", i.FinalInvoice(invoice_id=disputed.id, amount=eur(40)))
    ledger.run("propose", Propose(act=act, valid_for_ms=VALID_FOR_MS), sender=ledger.sender("acme", "finance"))
    waiting = ledger.the(PROPOSAL)
    ledger.finalize(disputed, 30)
    accept = AcceptProposal(proposal_id=waiting.id, act_sha256=waiting.act_sha256)
    with pytest.raises(WrongStatus):
        ledger.run("accept_proposal", accept, sender=ledger.sender("alpha", "finance"))
    assert ledger.the(INVOICE).settlement == eur(30)


@pytest.mark.req("S-12")
@pytest.mark.parametrize("minor", [109_50, 1, 0])
def test_a_final_invoice_refuses_every_change_by_one_by_both_and_with_the_neutral(minor):
    ledger = ledger_with(SERVICE)
    final = ledger.final()
    both = tuple(ledger.sender(name, "finance") for name in ("acme", "alpha"))
    everybody = (*both, ledger.sender("north", "finance"), ledger.sender("south", "finance"))
    act = act_of("final_invoice", i.FinalInvoice(invoice_id=final.id, amount=eur(minor)))
    propose = Propose(act=act, valid_for_ms=VALID_FOR_MS)
    for signers in (both[:1], both[1:], both, everybody):
        with pytest.raises(WrongStatus):
            ledger.run("propose", propose, sender=signers[0], signers=signers)
    compare = i.CompareInvoice(invoice_id=final.id, buyer_amount=eur(minor))
    with pytest.raises(WrongStatus):
        ledger.run("compare_invoice", compare, sender=both[0], signers=everybody)
    with pytest.raises(i.IntervalInvoiced):
        ledger.issue()
    with pytest.raises(IntervalClosed):
        ledger.use(NANO, END_0)
    assert ledger.the(INVOICE) == final


def test_a_neutral_proposes_no_finality():
    ledger = ledger_with(SERVICE)
    accepted = ledger.compare(ledger.issue())
    act = act_of("final_invoice", i.FinalInvoice(invoice_id=accepted.id, amount=accepted.total))
    with pytest.raises(PositionWrong):
        ledger.run("propose", Propose(act=act, valid_for_ms=VALID_FOR_MS), sender=ledger.sender("north", "finance"))


# Due dates


@pytest.mark.parametrize("status", [InvoiceStatus.ISSUED, InvoiceStatus.ACCEPTED, InvoiceStatus.FINAL])
def test_what_is_unpaid_after_its_due_date_is_flagged_once(status):
    ledger = ledger_with(SERVICE)
    issued = ledger.issue()
    if status != InvoiceStatus.ISSUED:
        compared = ledger.compare(issued)
        if status == InvoiceStatus.FINAL:
            ledger.finalize(compared)
    ledger.advance(issued.due_at_ms)
    assert not ledger.the(INVOICE).overdue
    ledger.advance(issued.due_at_ms + 1)
    assert (ledger.the(INVOICE).overdue, ledger.the(INVOICE).status) == (True, status)
    ledger.advance(issued.due_at_ms + 99)
    assert ledger.event_names().count("invoice.overdue") == 1


# Form


def test_every_status_survives_the_ledgers_bytes():
    final = ledger_with(SERVICE).final()
    for status in InvoiceStatus:
        record = replace(final, status=status, netting_id="net_1", payment_id="pay_1", overdue=True)
        assert codec.decode(i.Invoice, codec.encode(record)) == record
        assert set(INVOICE.terms(record).related) == {AGREEMENT.id, record.interval_id, "net_1", "pay_1"}


def test_only_a_closed_invoice_has_no_way_on():
    ways = {status for status, _ in i.LIFECYCLE}
    assert set(InvoiceStatus) - ways == {InvoiceStatus.CLOSED}
