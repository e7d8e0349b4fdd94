"""Quote: one answer, priced item by item, valid until a time; late ones count only when taken."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smartcontracts import codec
from smartcontracts.agreement import DiscountRule, PriceTerm, PriceType
from smartcontracts.canonical_json import JsonNotCanonical
from smartcontracts.codec import ValueUnknown
from smartcontracts.inquiry import INQUIRY, RESPONSE_RECORD, InquiryAnswered, InquiryStatus, InquiryUnknown
from smartcontracts.kernel import Cause, RoleMissing
from smartcontracts.money import (
    RATE_NANO_MAX,
    AmountOutOfRange,
    CurrencyMismatch,
    CurrencyUnknown,
    Money,
    Rate,
    Rounding,
)
from smartcontracts.order import QuoteNotTaken
from smartcontracts.pricing import (
    DiscountMissing,
    DiscountWrong,
    PriceAboveAgreement,
    PriceDoubled,
    PriceFormWrong,
    PricesMissing,
    with_discount,
)
from smartcontracts.quote import (
    QUOTE,
    ChangeAnswerMissing,
    ChangeAnswerUnasked,
    ChangeAnswerWrong,
    IssueQuote,
    PerformanceInvalid,
    QuoteExpired,
    QuoteFormWrong,
    QuoteItem,
    QuoteItemsWrong,
    QuoteLevelWrong,
    QuoteNotLate,
    QuoteStatus,
    QuoteTaken,
    QuoteTotalWrong,
    QuoteValidityInvalid,
    TakeLateQuote,
)
from smartcontracts.trade import (
    LABEL_MS,
    Action,
    Change,
    ChangeAnswer,
    ChangeKind,
    ChangeMethod,
    EndAction,
    NotTheBuyer,
    NotTheSeller,
    Outage,
    PeriodLabel,
    PersonalData,
    QuoteForm,
    QuoteLevel,
    ReleaseInvalid,
    ReleaseMissing,
    SaltedHash,
    Term,
    TermUnit,
    TimeOutOfRange,
    WithheldInvalid,
    periods_in_term,
)
from tests.smartcontracts.support import START_MS, org
from tests.smartcontracts.trading import (
    ASK,
    BUYER,
    DAY_MS,
    LINE,
    PORT_A,
    PORT_Z,
    QUOTE_ITEMS,
    RELEASE,
    SELLER,
    SINGLE,
    YEAR,
    answer,
    ask,
    buy,
    give,
    item,
    monthly,
    once,
    quoted,
    recurring,
    sell,
    serving_ledger,
    trading_ledger,
    usage,
)

EURO = 10**9
BOUND = PriceTerm(seller=org(SELLER), offering="port", price_type=PriceType.NON_RECURRING, rate=Rate(10 * EURO, "EUR"))


def top(**changes):
    return lambda command: replace(command, **changes)


def price(index=0, **changes):
    def change(command):
        prices = list(QUOTE_ITEMS[0].prices)
        prices[index] = replace(prices[index], **changes)
        return item(prices=tuple(prices))(command)

    return change


REFUSALS = [  # in order of precedence, each one change away from the answer, with the field that is named
    (QuoteValidityInvalid, top(valid_until_ms=0), "valid_until_ms"),
    (QuoteValidityInvalid, top(valid_until_ms=START_MS + 10), "valid_until_ms"),
    (QuoteValidityInvalid, top(valid_until_ms=START_MS + 401 * DAY_MS), "valid_until_ms"),
    (QuoteItemsWrong, top(items=QUOTE_ITEMS[:2]), "items"),
    (QuoteItemsWrong, top(items=(*QUOTE_ITEMS, QUOTE_ITEMS[0])), "items"),
    (QuoteItemsWrong, item(id="item-009"), "items"),
    (QuoteLevelWrong, lambda command: item(subject_to_feasibility=True)(top(level=QuoteLevel.FIRM)(command)), "level"),
    (QuoteLevelWrong, top(level=QuoteLevel.FIRM_SUBJECT_TO_FEASIBILITY_CHECK), "level"),
    (TimeOutOfRange, item(1, installation_interval_ms=-1), "items[1].installation_interval_ms"),
    (JsonNotCanonical, item(1, performance=b'{ "delay":5}'), "items[1].performance"),
    (PerformanceInvalid, item(1, performance=b"null"), "items[1].performance"),
    (PerformanceInvalid, item(1, performance=b"[]"), "items[1].performance"),
    (PerformanceInvalid, item(1, performance=b"{}"), "items[1].performance"),
    (PersonalData, item(1, performance=b'{"note":"x"}'), "items[1].performance.note"),
    (QuoteFormWrong, top(bundle=(once(1),)), "bundle"),
    (PricesMissing, item(prices=()), "items[0].prices"),
    (CurrencyMismatch, price(rate=Rate(1, "USD")), "items[0].prices[0].rate"),
    (CurrencyUnknown, price(rate=Rate(1, "XXX")), "items[0].prices[0].rate"),
    (AmountOutOfRange, price(rate=Rate(-1, "EUR")), "items[0].prices[0].rate"),
    (AmountOutOfRange, price(rate=Rate(RATE_NANO_MAX + 1, "EUR")), "items[0].prices[0].rate"),
    (CurrencyMismatch, price(list_rate=Rate(1, "USD")), "items[0].prices[0].list_rate"),
    (AmountOutOfRange, price(list_rate=Rate(-1, "EUR")), "items[0].prices[0].list_rate"),
    (PriceFormWrong, price(0, period_ms=1), "items[0].prices[0].period_ms"),
    (PriceFormWrong, price(1, period_ms=0, period_label=PeriodLabel.NONE), "items[0].prices[1].period_ms"),
    (PriceFormWrong, price(1, period_ms=-1, period_label=PeriodLabel.NONE), "items[0].prices[1].period_ms"),
    (PriceFormWrong, price(1, period_ms=1), "items[0].prices[1].period_label"),
    (PriceFormWrong, price(0, unit="GB"), "items[0].prices[0].unit"),
    (PriceFormWrong, price(2, unit=""), "items[0].prices[2].unit"),
    (PriceDoubled, item(prices=(once(EURO), once(2 * EURO))), "items[0].prices[1]"),
    (PriceDoubled, item(prices=(usage(1), replace(usage(2), name="other"))), "items[0].prices[1]"),
    (PriceAboveAgreement, item(1, prices=(once(10 * EURO + 1),)), "items[1].prices[0].rate"),
    (PriceAboveAgreement, item(1, prices=(once(6 * EURO, "a"), once(5 * EURO, "b"))), "items[1].prices[0].rate"),
    (DiscountWrong, item(2, prices=(replace(once(10 * EURO), discount_id="x"),)), "items[2].prices[0].discount_id"),
    (
        DiscountWrong,
        item(2, prices=(replace(once(9 * EURO), list_rate=Rate(EURO, "EUR")),)),
        "items[2].prices[0].list_rate",
    ),
    (AmountOutOfRange, item(prices=(recurring(RATE_NANO_MAX, period_ms=1),)), "amount"),
    (CurrencyMismatch, top(one_time_total=Money(120_00, "USD")), "one_time_total.currency"),
    (QuoteTotalWrong, top(one_time_total=Money(119_99, "EUR")), "one_time_total"),
    (QuoteTotalWrong, top(term_total=Money(360_01, "EUR")), "term_total"),
    (
        ChangeAnswerUnasked,
        top(change_answer=ChangeAnswer(outage=Outage.NO, method=ChangeMethod.RECONFIGURE)),
        "change_answer",
    ),
    (WithheldInvalid, top(withheld=(SaltedHash(subject="notes", sha256=b""),)), "withheld[0]"),
    (PersonalData, top(seller_reference="jo@example.com"), "seller_reference"),
    (PersonalData, top(master_id="jo@example.com"), "master_id"),
    (ReleaseInvalid, top(release=b"\1" * 31), "release"),
]


@pytest.mark.req("Q-49")
@pytest.mark.parametrize("first", range(len(REFUSALS)))
def test_invalid_quote_answers_with_the_first_failing_check_and_changes_nothing(first):
    refusal, change, named = REFUSALS[first]
    ledger = trading_ledger(price_terms=(BOUND,))
    good = answer(ask(ledger, at=START_MS + 9).id)
    before = ledger.root()
    with pytest.raises(refusal) as caught:
        sell(ledger, "issue_quote", change(good), at=START_MS + 10)
    assert (type(caught.value), caught.value.field) == (refusal, named)
    for other, later, _ in REFUSALS[first + 1 :]:
        if other is not AmountOutOfRange or refusal is not AmountOutOfRange:
            with pytest.raises(refusal):
                sell(ledger, "issue_quote", change(later(good)))
    assert ledger.root() == before
    sell(ledger, "issue_quote", good)


@pytest.mark.req("Q-06", "Q-07", "Q-47", "Q-49")
def test_a_quote_in_time_has_id_validity_and_totals_and_is_the_answer():
    ledger = trading_ledger()
    inquiry = ask(ledger)
    quote = give(ledger, inquiry.id, at=inquiry.respond_by_ms)
    assert quote == ledger.the(QUOTE)
    assert quote.id.startswith("quo_")
    assert (quote.issued_at_ms, quote.valid_until_ms) == (inquiry.respond_by_ms, START_MS + DAY_MS)
    assert (quote.one_time_total, quote.term_total) == (Money(120_00, "EUR"), Money(360_00, "EUR"))
    assert (quote.buyer, quote.seller, quote.late) == (org(BUYER), org(SELLER), False)
    answered = ledger.the(INQUIRY)
    assert (answered.status, answered.quote_id, answered.in_window) == (InquiryStatus.QUOTED, quote.id, True)
    assert ledger.the(RESPONSE_RECORD).answered == 1
    assert ledger.event_names() == ["inquiry.received", "quote.issued"]
    before = ledger.root()
    with pytest.raises(InquiryAnswered):
        give(ledger, inquiry.id)
    assert ledger.root() == before


# Itemised or bundled


def bundled(*bundle, **changes):
    """The answer with these prices for all items together."""
    items = tuple(replace(one, prices=()) for one in QUOTE_ITEMS)
    return {"form": QuoteForm.BUNDLED, "items": items, "bundle": bundle, **changes}


@pytest.mark.req("Q-40")
def test_a_bundle_lists_every_element_and_has_one_price_over_their_term():
    prices = (once(110 * EURO), monthly(20 * EURO), usage(500_000))
    quote = quoted(
        trading_ledger(), **bundled(*prices, one_time_total=Money(110_00, "EUR"), term_total=Money(350_00, "EUR"))
    )
    assert [(one.id, one.prices) for one in quote.items] == [(one.id, ()) for one in ASK.items]
    assert (quote.form, quote.bundle) == (QuoteForm.BUNDLED, prices)
    assert (quote.one_time_total, quote.term_total, quote.list_total) == (
        Money(110_00, "EUR"),
        Money(350_00, "EUR"),
        Money(350_00, "EUR"),
    )


@pytest.mark.req("Q-40")
@pytest.mark.parametrize(
    ("changes", "refusal", "field"),
    [
        (bundled(once(EURO), items=(*bundled()["items"][:2], QUOTE_ITEMS[2])), QuoteFormWrong, "items[2].prices"),
        (bundled(once(EURO), items=QUOTE_ITEMS), QuoteFormWrong, "items[0].prices"),
        (bundled(), PricesMissing, "bundle"),
        (bundled(once(EURO), form=QuoteForm.ITEMISED), QuoteFormWrong, "bundle"),
        (bundled(once(EURO), bundle=(), form=QuoteForm.ITEMISED), PricesMissing, "items[0].prices"),
        (bundled(once(EURO), once(EURO)), PriceDoubled, "bundle[1]"),
        (bundled(once(EURO)), QuoteTotalWrong, "one_time_total"),
        (bundled(replace(once(EURO), unit="GB")), PriceFormWrong, "bundle[0].unit"),
    ],
)
def test_a_quote_that_is_neither_itemised_nor_bundled_is_refused(changes, refusal, field):
    ledger = trading_ledger()
    inquiry = ask(ledger)
    before = ledger.root()
    with pytest.raises(refusal) as caught:
        give(ledger, inquiry.id, **changes)
    assert (caught.value.field, ledger.root()) == (field, before)


@pytest.mark.req("Q-40")
def test_a_form_that_is_neither_is_refused_by_the_codec():
    message = codec.to_message(answer("inq_1"))
    message.form = ""
    with pytest.raises(ValueUnknown) as caught:
        codec.from_message(IssueQuote, message)
    assert caught.value.field == "form"


@pytest.mark.req("Q-40")
def test_items_of_different_terms_make_no_bundle():
    ledger = trading_ledger()
    inquiry = ask(ledger, replace(ASK, items=(LINE, PORT_A, replace(PORT_Z, term=replace(YEAR, amount=24)))))
    with pytest.raises(QuoteFormWrong) as caught:
        give(ledger, inquiry.id, **bundled(once(EURO)))
    assert caught.value.field == "form"


@pytest.mark.parametrize(
    ("price", "bound_euros", "fits"),
    [
        (once(30 * EURO), {"port": 10, "line": 10}, True),
        (once(30 * EURO + 1), {"port": 10, "line": 10}, False),
        (once(30 * EURO + 1), {"port": 10}, True),
        (usage(10 * EURO), {"port": 5, "line": 10}, True),
        (usage(10 * EURO + 1), {"port": 5, "line": 10}, False),
    ],
)
def test_a_bundle_costs_at_most_what_the_agreement_bounds_its_items_to(price, bound_euros, fits):
    unit = {"price_type": price.price_type, "unit": price.unit}
    bounds = tuple(
        PriceTerm(seller=org(SELLER), offering=offering, rate=Rate(euros * EURO, "EUR"), **unit)
        for offering, euros in bound_euros.items()
    )
    ledger = trading_ledger(price_terms=bounds, rounding=Rounding.DOWN)
    minor = 0 if price.unit else 30_00
    totals = {"one_time_total": Money(minor, "EUR"), "term_total": Money(minor, "EUR")}
    if fits:
        give(ledger, ask(ledger).id, **bundled(price, **totals))
    else:
        with pytest.raises(PriceAboveAgreement):
            give(ledger, ask(ledger).id, **bundled(price, **totals))


# Discounts of the agreement

TENTH = DiscountRule(id="tenth", seller=org(SELLER), price_type=PriceType.RECURRING, basis_points=1_000)


def discounted_quote(ledger, monthly_price, **totals):
    """A quote for a single port at this monthly price."""
    inquiry = ask(ledger, replace(ASK, items=(SINGLE,)))
    return give(
        ledger,
        inquiry.id,
        items=(QuoteItem(id=SINGLE.id, prices=(once(EURO), monthly_price)),),
        one_time_total=Money(1_00, "EUR"),
        **totals,
    )


@pytest.mark.req("Q-43")
def test_a_quote_shows_list_price_rule_and_net_price_and_what_it_would_cost_without():
    ledger = trading_ledger(discounts=(TENTH,))
    price = replace(monthly(9 * EURO), list_rate=Rate(10 * EURO, "EUR"), discount_id="tenth")
    quote = discounted_quote(ledger, price, term_total=Money(109_00, "EUR"))
    assert quote.items[0].prices[1] == price
    assert (quote.term_total, quote.list_total) == (Money(109_00, "EUR"), Money(121_00, "EUR"))


@pytest.mark.req("Q-43")
@pytest.mark.parametrize(
    ("changes", "refusal", "field"),
    [
        ({"discount_id": "", "list_rate": None}, DiscountMissing, "discount_id"),
        ({"discount_id": ""}, DiscountMissing, "discount_id"),
        ({"discount_id": "fifth"}, DiscountWrong, "discount_id"),
        ({"list_rate": None}, DiscountWrong, "list_rate"),
        ({"list_rate": Rate(10 * EURO + 1, "EUR")}, DiscountWrong, "rate"),
        ({"rate": Rate(9 * EURO + 1, "EUR")}, DiscountWrong, "rate"),
        ({"rate": Rate(9 * EURO - 1, "EUR")}, DiscountWrong, "rate"),
    ],
)
def test_a_quote_that_breaks_a_discount_of_the_agreement_is_refused(changes, refusal, field):
    ledger = trading_ledger(discounts=(TENTH,))
    good = replace(monthly(9 * EURO), list_rate=Rate(10 * EURO, "EUR"), discount_id="tenth")
    with pytest.raises(refusal) as caught:
        discounted_quote(ledger, replace(good, **changes), term_total=Money(109_00, "EUR"))
    assert caught.value.field == f"items[0].prices[1].{field}"
    assert ledger.all(QUOTE) == ()


@pytest.mark.req("Q-43")
@pytest.mark.parametrize(
    ("said", "field"), [({"discount_id": "tenth"}, "discount_id"), ({"list_rate": Rate(11 * EURO, "EUR")}, "list_rate")]
)
def test_a_discount_that_nobody_agreed_to_is_none(said, field):
    ledger = trading_ledger()
    with pytest.raises(DiscountWrong) as caught:
        discounted_quote(ledger, replace(monthly(10 * EURO), **said), term_total=Money(121_00, "EUR"))
    assert caught.value.field == f"items[0].prices[1].{field}"
    same = replace(monthly(10 * EURO), list_rate=Rate(10 * EURO, "EUR"))
    discounted_quote(ledger, same, term_total=Money(121_00, "EUR"))


@pytest.mark.req("Q-43")
def test_the_list_price_too_is_bound_so_that_nobody_raises_it_to_take_the_discount_off():
    bound = PriceTerm(
        seller=org(SELLER),
        price_type=PriceType.RECURRING,
        rate=Rate(10 * EURO, "EUR"),
        period_ms=LABEL_MS[PeriodLabel.MONTH],
    )
    ledger = trading_ledger(discounts=(TENTH,), price_terms=(bound,))
    raised = replace(monthly(9_900_000_000), list_rate=Rate(11 * EURO, "EUR"), discount_id="tenth")
    with pytest.raises(PriceAboveAgreement):
        discounted_quote(ledger, raised, term_total=Money(119_80, "EUR"))
    kept = replace(monthly(9 * EURO), list_rate=Rate(10 * EURO, "EUR"), discount_id="tenth")
    discounted_quote(ledger, kept, term_total=Money(109_00, "EUR"))


def rule(rule_id, points, **changes):
    return replace(TENTH, id=rule_id, basis_points=points, **changes)


@pytest.mark.req("Q-43")
def test_a_bundle_of_one_offering_has_that_offerings_discount_and_a_mixed_one_only_a_general_one():
    line = rule("line", 2_000, offering="line", price_type=PriceType.NON_RECURRING)
    general = rule("all", 1_000, price_type=PriceType.NON_RECURRING)
    ledger = trading_ledger(discounts=(line, general))
    mixed = with_discount(once(100 * EURO), general)
    totals = {"one_time_total": Money(90_00, "EUR"), "term_total": Money(90_00, "EUR")}
    quote = quoted(ledger, **bundled(mixed, **totals))
    assert (quote.bundle[0].discount_id, quote.list_total) == ("all", Money(100_00, "EUR"))
    with pytest.raises(DiscountWrong):
        quoted(ledger, **bundled(with_discount(once(100 * EURO), line), **totals))


# Answers to a change


def change_inquiry(kind=ChangeKind.PARAMETER):
    ledger, service = serving_ledger()
    action = Action.DELETE if kind == ChangeKind.TERMINATION else Action.MODIFY
    items = tuple(replace(one, action=action) for one in ASK.items)
    return ledger, ask(ledger, replace(ASK, items=items, change=Change(service_id=service.id, kind=kind)))


HOT = ChangeAnswer(outage=Outage.NO, method=ChangeMethod.PARALLEL_BUILD_HOT)
COLD = ChangeAnswer(outage=Outage.YES, outage_ms=60_000, method=ChangeMethod.PARALLEL_BUILD_COLD)


@pytest.mark.req("C-03", "C-04", "C-05", "C-07", "C-08")
@pytest.mark.parametrize("kind", [kind for kind in ChangeKind if kind != ChangeKind.TERMINATION])
@pytest.mark.parametrize("said", [HOT, COLD, replace(HOT, method=ChangeMethod.RECONFIGURE)])
def test_the_seller_says_with_the_price_whether_and_how_long_a_change_interrupts(kind, said):
    ledger, inquiry = change_inquiry(kind)
    quote = give(ledger, inquiry.id, change_answer=said)
    assert (quote.change_answer, quote.one_time_total) == (said, Money(120_00, "EUR"))


@pytest.mark.req("C-05", "C-08")
@pytest.mark.parametrize(
    ("said", "refusal", "field"),
    [
        (None, ChangeAnswerMissing, "change_answer"),
        (replace(HOT, outage_ms=1), ChangeAnswerWrong, "change_answer.outage_ms"),
        (replace(HOT, outage_ms=-1), ChangeAnswerWrong, "change_answer.outage_ms"),
        (replace(COLD, outage_ms=0), ChangeAnswerWrong, "change_answer.outage_ms"),
        (replace(COLD, outage_ms=-1), ChangeAnswerWrong, "change_answer.outage_ms"),
        (replace(COLD, outage_ms=400 * DAY_MS + 1), ChangeAnswerWrong, "change_answer.outage_ms"),
    ],
)
def test_an_answer_to_a_change_without_outage_and_length_that_fit_is_refused(said, refusal, field):
    ledger, inquiry = change_inquiry()
    before = ledger.root()
    with pytest.raises(refusal) as caught:
        give(ledger, inquiry.id, change_answer=said)
    assert (caught.value.field, ledger.root()) == (field, before)


@pytest.mark.req("C-05")
def test_an_outage_that_is_not_said_is_refused_by_the_codec():
    message = codec.to_message(answer("inq_1", change_answer=HOT))
    message.change_answer.outage = ""
    with pytest.raises(ValueUnknown) as caught:
        codec.from_message(IssueQuote, message)
    assert caught.value.field == "change_answer.outage"


def test_a_termination_needs_no_answer_on_outage_and_has_none():
    for said in (None, HOT):
        ledger, inquiry = change_inquiry(ChangeKind.TERMINATION)
        assert give(ledger, inquiry.id, change_answer=said).change_answer == said
    ledger, inquiry = change_inquiry(ChangeKind.TERMINATION)
    with pytest.raises(ChangeAnswerWrong) as caught:
        give(ledger, inquiry.id, change_answer=COLD)
    assert caught.value.field == "change_answer.outage"


# Releases


def test_an_agent_quotes_and_takes_with_a_release():
    ledger = trading_ledger()
    inquiry = ask(ledger)
    cause = Cause(ledger_id="sg_internal", event_id="rel_1", purpose="issue_quote")
    seller, buyer = ledger.sender(SELLER, "s_bus"), ledger.sender(BUYER, "b_bus")
    late = inquiry.respond_by_ms + 1
    with pytest.raises(ReleaseMissing):
        ledger.run("issue_quote", answer(inquiry.id), sender=seller, cause=cause, at=late)
    good = answer(inquiry.id, release=RELEASE)
    quote = ledger.run("issue_quote", good, sender=seller, cause=cause).writes[0]
    assert quote.releases == (RELEASE,)
    taking = TakeLateQuote(inquiry_id=inquiry.id, quote_id=quote.id)
    with pytest.raises(ReleaseMissing):
        ledger.run("take_late_quote", taking, sender=buyer, cause=cause)
    second = b"\6" * 32
    taken = ledger.run("take_late_quote", replace(taking, release=second), sender=buyer, cause=cause).writes[0]
    assert taken.releases == (RELEASE, second)


def test_the_performance_that_is_offered_is_kept():
    items = (replace(QUOTE_ITEMS[0], performance=b'{"delay":5}'), *QUOTE_ITEMS[1:])
    assert quoted(trading_ledger(), items=items).items == items


@pytest.mark.req("Q-47")
def test_two_quotes_of_one_ledger_have_different_ids():
    ledger = trading_ledger()
    assert quoted(ledger).id != quoted(ledger).id


def test_only_the_seller_that_was_asked_quotes():
    ledger = trading_ledger()
    inquiry = ask(ledger)
    with pytest.raises(InquiryUnknown):
        give(ledger, "inq_none")
    with pytest.raises(NotTheSeller):
        give(ledger, inquiry.id, seller=BUYER)
    with pytest.raises(RoleMissing):
        ledger.run("issue_quote", answer(inquiry.id), sender=ledger.sender(SELLER, "b_bus"))


def test_items_may_come_in_any_order_and_are_kept_in_the_inquirys():
    quote = quoted(trading_ledger(), items=tuple(reversed(QUOTE_ITEMS)))
    assert quote.items == QUOTE_ITEMS


def test_a_quote_may_be_valid_for_the_ledgers_longest_window():
    ledger = trading_ledger()
    inquiry = ask(ledger)
    give(ledger, inquiry.id, at=START_MS + 10, valid_until_ms=START_MS + 10 + 400 * DAY_MS)


@pytest.mark.req("Q-49")
def test_a_quote_expires_after_its_last_millisecond():
    ledger = trading_ledger()
    quote = quoted(ledger)
    ledger.advance(quote.valid_until_ms)
    assert ledger.the(QUOTE).status == QuoteStatus.ISSUED
    ledger.advance(quote.valid_until_ms + 1)
    assert ledger.the(QUOTE).status == QuoteStatus.EXPIRED
    assert ledger.event_names()[-1] == "quote.expired"


@pytest.mark.req("Q-32")
@pytest.mark.parametrize("deadline_ran", [True, False])
def test_a_late_quote_changes_nothing_until_the_buyer_takes_it(deadline_ran):
    ledger = trading_ledger()
    inquiry = ask(ledger)
    late_ms = inquiry.respond_by_ms + 1
    if deadline_ran:
        ledger.advance(late_ms)
        quote = give(ledger, inquiry.id)
    else:  # as if more deadlines were due than a block runs
        ledger.time_ms = late_ms
        call = ledger.call(ledger.sender(SELLER, "s_bus"))
        outcome = ledger.table.messages["issue_quote"].handler(answer(inquiry.id), call)
        ledger._apply(outcome)
        quote = outcome.writes[0]
    assert quote.late
    waiting, record = ledger.the(INQUIRY), ledger.the(RESPONSE_RECORD)
    assert (waiting.status, waiting.quote_id) == (InquiryStatus.DEEMED_UNABLE, "")
    assert (waiting.late_quote_id, waiting.in_window) == (quote.id, False)
    assert (record.answered, record.late, record.deemed) == (0, 1, 1)
    assert ledger.event_names() == ["inquiry.received", "inquiry.deemed_unable", "quote.issued_late"]
    with pytest.raises(QuoteNotTaken):
        buy(ledger, quote.id)
    taking = TakeLateQuote(inquiry_id=inquiry.id, quote_id=quote.id)
    with pytest.raises(NotTheBuyer):
        ledger.run("take_late_quote", taking, sender=ledger.sender(SELLER, "b_bus"))
    with pytest.raises(InquiryAnswered):
        give(ledger, inquiry.id)
    ledger.run("take_late_quote", taking, sender=ledger.sender(BUYER, "b_bus"))
    taken = ledger.the(INQUIRY)
    assert (taken.status, taken.quote_id, taken.in_window) == (InquiryStatus.LATE_QUOTED, quote.id, False)
    assert ledger.the(RESPONSE_RECORD) == record
    with pytest.raises(QuoteTaken):
        ledger.run("take_late_quote", taking, sender=ledger.sender(BUYER, "b_bus"))
    assert buy(ledger, quote.id).quote_id == quote.id


@pytest.mark.req("Q-32")
def test_invalid_takings():
    ledger = trading_ledger()
    inquiry = ask(ledger)
    in_time = quoted(ledger)
    buyer = ledger.sender(BUYER, "b_bus")
    late = give(ledger, inquiry.id, at=inquiry.respond_by_ms + 1)
    cases = [
        (InquiryUnknown, TakeLateQuote(inquiry_id="inq_none", quote_id=late.id)),
        (QuoteNotLate, TakeLateQuote(inquiry_id=inquiry.id, quote_id="quo_none")),
        (QuoteNotLate, TakeLateQuote(inquiry_id=inquiry.id, quote_id=in_time.id)),
        (QuoteNotLate, TakeLateQuote(inquiry_id=in_time.inquiry_id, quote_id=in_time.id)),
    ]
    for refusal, command in cases:
        with pytest.raises(refusal):
            ledger.run("take_late_quote", command, sender=buyer)
    taking = TakeLateQuote(inquiry_id=inquiry.id, quote_id=late.id)
    with pytest.raises(QuoteExpired):
        ledger.run("take_late_quote", taking, sender=buyer, at=late.valid_until_ms + 1)


def test_a_quote_of_a_changed_request_supersedes_the_old_one():
    ledger = trading_ledger()
    old = quoted(ledger)
    changed = ask(ledger, replace(ASK, items=(SINGLE,), replaces=old.inquiry_id))
    assert ledger.get(QUOTE, old.id).status == QuoteStatus.ISSUED
    one = {"items": (replace(QUOTE_ITEMS[1], id="item-001"),), "one_time_total": Money(10_00, "EUR")}
    give(ledger, changed.id, term_total=Money(10_00, "EUR"), **one)
    assert ledger.get(QUOTE, old.id).status == QuoteStatus.SUPERSEDED
    assert ledger.event_names()[-1] == "quote.superseded"


@pytest.mark.parametrize("case", ["budgetary", "ordered", "late"])
def test_what_does_not_supersede(case):
    ledger = trading_ledger()
    old = quoted(ledger)
    if case == "ordered":
        buy(ledger, old.id)
    changed = ask(ledger, replace(ASK, replaces=old.inquiry_id))
    at = changed.respond_by_ms + 1 if case == "late" else None
    level = QuoteLevel.BUDGETARY if case == "budgetary" else QuoteLevel.FIRM
    new = give(ledger, changed.id, at=at, level=level)
    expected = QuoteStatus.ORDERED if case == "ordered" else QuoteStatus.ISSUED
    assert ledger.get(QUOTE, old.id).status == expected
    if case == "late":
        taking = TakeLateQuote(inquiry_id=changed.id, quote_id=new.id)
        ledger.run("take_late_quote", taking, sender=ledger.sender(BUYER, "b_bus"))
        assert ledger.get(QUOTE, old.id).status == QuoteStatus.SUPERSEDED


def test_a_quote_subject_to_feasibility_says_so_item_by_item():
    items = (replace(QUOTE_ITEMS[0], subject_to_feasibility=True), *QUOTE_ITEMS[1:])
    quote = quoted(trading_ledger(), items=items, level=QuoteLevel.FIRM_SUBJECT_TO_FEASIBILITY_CHECK)
    assert [item.subject_to_feasibility for item in quote.items] == [True, False, False]


@pytest.mark.parametrize(
    ("amount", "unit", "label", "period_ms", "periods"),
    [
        (12, TermUnit.CALENDAR_MONTHS, PeriodLabel.MONTH, 0, 12),
        (18, TermUnit.CALENDAR_MONTHS, PeriodLabel.YEAR, 0, Fraction(3, 2)),
        (12, TermUnit.CALENDAR_MONTHS, PeriodLabel.WEEK, 0, Fraction(360, 7)),
        (12, TermUnit.CALENDAR_MONTHS, PeriodLabel.NONE, 20_000, 360 * 86_400 // 20),
        (365, TermUnit.CALENDAR_DAYS, PeriodLabel.YEAR, 0, 1),
        (45, TermUnit.CALENDAR_DAYS, PeriodLabel.MONTH, 0, Fraction(3, 2)),
        (10, TermUnit.BUSINESS_DAYS, PeriodLabel.DAY, 0, 10),
        (90, TermUnit.CALENDAR_MINUTES, PeriodLabel.HOUR, 0, Fraction(3, 2)),
        (2, TermUnit.CALENDAR_HOURS, PeriodLabel.NONE, 20_000, 360),
    ],
)
def test_periods_in_a_term(amount, unit, label, period_ms, periods):
    term = Term(amount=amount, unit=unit, end_action=EndAction.AUTO_RENEW)
    assert periods_in_term(term, recurring(1, label, period_ms)) == periods


def test_each_price_is_rounded_once_by_the_agreements_mode():
    items = (QuoteItem(id="item-001", prices=(once(5_000_000), once(5_000_000, "b"), monthly(416_666_667))),)
    command = replace(ASK, items=(SINGLE,))
    for rounding, one_time, over_term in ((Rounding.HALF_UP, 2, 502), (Rounding.DOWN, 0, 500), (Rounding.UP, 2, 503)):
        ledger = trading_ledger(rounding=rounding)
        totals = {"one_time_total": Money(one_time, "EUR"), "term_total": Money(over_term, "EUR")}
        quote = give(ledger, ask(ledger, command).id, items=items, **totals)
        assert quote.one_time_total.minor == one_time


@given(
    rates=st.lists(st.integers(0, 10**13), min_size=1, max_size=4),
    months=st.integers(1, 120),
    label=st.sampled_from([PeriodLabel.MONTH, PeriodLabel.YEAR, PeriodLabel.DAY]),
    off=st.sampled_from([-1, 1]),
)
def test_totals_are_exact_sums_and_nothing_else_is_taken(rates, months, label, off):
    ledger = trading_ledger()
    term = replace(YEAR, amount=months)
    inquiry = ask(ledger, replace(ASK, items=(replace(SINGLE, term=term),)))
    prices = tuple(recurring(nano, label, name=str(n)) for n, nano in enumerate(rates))
    lines = []
    for nano in rates:
        periods = Fraction(months, 12) if label == PeriodLabel.YEAR else Fraction(months)
        if label == PeriodLabel.DAY:
            periods *= Fraction(30 * DAY_MS, LABEL_MS[label])
        exact = periods * nano / 10**7
        lines.append(exact.__floor__() + (exact - exact.__floor__() >= Fraction(1, 2)))
    items = (QuoteItem(id="item-001", prices=prices),)
    with pytest.raises(QuoteTotalWrong):
        give(ledger, inquiry.id, items=items, one_time_total=Money(0, "EUR"), term_total=Money(sum(lines) + off, "EUR"))
    quote = give(ledger, inquiry.id, items=items, one_time_total=Money(0, "EUR"), term_total=Money(sum(lines), "EUR"))
    assert quote.term_total.minor == sum(lines)
