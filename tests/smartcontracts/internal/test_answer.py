"""Answer: it follows the decision, at cost and mark-up, and promises no more than what it rests on."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smartcontracts.codec import encode
from smartcontracts.internal import answer as w
from smartcontracts.internal.assessment import ASSESSMENT, AssessedItem
from smartcontracts.internal.handover import (
    INQUIRY_HANDOVER,
    REUSABLE_QUOTE,
    HandoverStatus,
    HandoverUnknown,
    ReusableQuote,
    reusable,
    reusable_quote_id,
)
from smartcontracts.internal.release import RELEASE, SaltInvalid, released_command
from smartcontracts.internal.rules import MarkupInvalid, OfferingMarkup, SetSourcingRules, SourcingRules, marked_up
from smartcontracts.kernel import RoleMissing, WrongStatus
from smartcontracts.money import Rate
from smartcontracts.trade import Change, ChangeAnswer, ChangeKind, ChangeMethod, Outage, QuoteForm
from tests.smartcontracts.internal.inquiries import (
    UPSTREAM,
    VALID_MS,
    carried,
    collected,
    declining,
    internal_ledger,
    issuing,
    quote_for,
    quoted_alone,
    quoting,
    refusal_of,
    released,
    send,
    to_quote,
    to_refuse,
)
from tests.smartcontracts.trading import monthly, once

NO_OUTAGE = ChangeAnswer(outage=Outage.NO, method=ChangeMethod.RECONFIGURE)


@pytest.mark.req("Q-44", "Q-45", "Q-46")
def test_a_quote_is_let_out_at_cost_and_mark_up():
    ledger = internal_ledger()
    handover = released(ledger)
    release = ledger.the(RELEASE, handover.release_id)
    command = released_command(release)
    assert (release.act, release.role, release.ledger_id) == ("issue_quote", "s_bus", UPSTREAM)
    assert [[price.rate.nano for price in item.prices] for item in command.items] == [
        [11_500_000_000],
        [3_450_000_000],
        [3_450_000_000],
    ]
    assert (handover.status, handover.quote_valid_until_ms) == ("to_quote", VALID_MS - 1)


@pytest.mark.req("Q-46")
def test_neither_cost_nor_mark_up_is_in_what_goes_out():
    ledger = internal_ledger()
    handover = released(ledger)
    out = encode(released_command(ledger.the(RELEASE, handover.release_id)))
    costs = {encode(price.rate) for item in ledger.the(ASSESSMENT).items for price in item.cost}
    assert costs
    assert not any(cost in out for cost in costs)


@pytest.mark.req("Q-45")
@pytest.mark.parametrize("state", [collected, to_refuse])
def test_no_quote_without_a_decision_to_quote(state):
    ledger = internal_ledger()
    made = internal_ledger()
    to_quote(made)
    handover = state(ledger)
    command = w.ReleaseQuote(handover_id=handover.id, quote=issuing(made), salt=bytes(32))
    assert refusal_of(ledger, "release_quote", command, "s_bus") == (WrongStatus, "status")


@pytest.mark.req("Q-45")
def test_no_refusal_without_a_decision_to_refuse_and_none_but_its_reason():
    ledger = internal_ledger()
    handover = to_quote(ledger)
    assert refusal_of(ledger, "release_unable", declining(handover), "s_bus") == (WrongStatus, "status")
    refused = internal_ledger()
    handover = to_refuse(refused)
    send(refused, "release_unable", declining(handover), "s_bus")
    release = refused.the(RELEASE)
    assert released_command(release).reason == "NO_CAPACITY"
    assert (release.act, release.ledger_id, released_command(release).inquiry_id) == (
        "declare_unable",
        UPSTREAM,
        "inq_1",
    )


def repriced(place, **changes):
    def change(quote):
        items = list(quote.items)
        items[place] = replace(items[place], **changes)
        return {"items": tuple(items)}

    return change


BAD_QUOTES = (
    (w.OtherInquiry, "quote.inquiry_id", lambda _: {"inquiry_id": "inq_2"}),
    (w.OtherInquiry, "quote.inquiry_id", lambda quote: {"items": (*quote.items, quote.items[0])}),
    (w.OtherInquiry, "quote.items", lambda quote: {"items": quote.items[1:]}),
    (w.MarkupWrong, "quote.items[1].prices", repriced(1, prices=(monthly(3_450_000_001),))),
    (w.MarkupWrong, "quote.items[1].prices", repriced(1, prices=(monthly(3_449_999_999),))),
    (w.MarkupWrong, "quote.items[1].prices", repriced(1, prices=(once(3_450_000_000),))),
    (w.MarkupWrong, "quote.items[0].prices", repriced(0, prices=(monthly(11_500_000_000), once(0)))),
    (
        w.MarkupWrong,
        "quote.items[1].prices",
        repriced(1, prices=(replace(monthly(3_450_000_000), list_rate=Rate(3_450_000_001, "EUR")),)),
    ),
    (w.MarkupWrong, "quote.bundle", lambda _: {"form": QuoteForm.BUNDLED, "bundle": (monthly(18_400_000_001),)}),
    (w.BeyondSupply, "quote.valid_until_ms", lambda _: {"valid_until_ms": VALID_MS + 1}),
    (w.BeyondSupply, "quote.items[1].installation_interval_ms", repriced(1, installation_interval_ms=999)),
    (w.ChangeAnswerUnsupported, "quote.change_answer", lambda _: {"change_answer": NO_OUTAGE}),
)


@pytest.mark.req("C-08", "Q-45", "Q-46")
@pytest.mark.parametrize(("refusal", "field", "changes"), BAD_QUOTES)
def test_a_quote_other_than_decided_is_not_let_out(refusal, field, changes):
    ledger = internal_ledger()
    handover = to_quote(ledger)
    command = quoting(ledger, handover)
    wrong = replace(command, quote=replace(command.quote, **changes(command.quote)))
    assert refusal_of(ledger, "release_quote", wrong, "s_bus") == (refusal, field)


def test_the_first_fault_of_a_quote_is_told():
    ledger = internal_ledger()
    handover = to_quote(ledger)
    good = quoting(ledger, handover)
    faults = [
        (w.OtherInquiry, {"inquiry_id": "inq_2"}),
        (w.MarkupWrong, repriced(1, prices=(once(1),))(good.quote)),
        (w.BeyondSupply, {"valid_until_ms": VALID_MS + 1}),
        (w.ChangeAnswerUnsupported, {"change_answer": NO_OUTAGE}),
    ]
    for first in range(len(faults)):
        changes = {name: value for _, fault in faults[first:] for name, value in fault.items()}
        wrong = replace(good, quote=replace(good.quote, **changes), salt=b"")
        assert refusal_of(ledger, "release_quote", wrong, "s_bus")[0] is faults[first][0]
    assert refusal_of(ledger, "release_quote", replace(good, salt=b""), "s_bus")[0] is SaltInvalid
    assert refusal_of(ledger, "release_quote", replace(good, handover_id="iho_x"), "s_bus")[0] is HandoverUnknown
    assert refusal_of(ledger, "release_quote", good, "sco")[0] is RoleMissing


@pytest.mark.req("Q-43", "Q-46")
def test_a_discount_goes_on_top_of_the_list_rate():
    ledger = internal_ledger()
    handover = to_quote(ledger)
    command = quoting(ledger, handover)
    net = replace(monthly(3_000_000_000), list_rate=Rate(3_450_000_000, "EUR"), discount_id="d1")
    send(
        ledger,
        "release_quote",
        replace(command, quote=replace(command.quote, **repriced(1, prices=(net,))(command.quote))),
        "s_bus",
    )
    assert ledger.the(INQUIRY_HANDOVER).release_id


@pytest.mark.req("Q-40")
def test_a_bundle_costs_what_its_items_cost():
    ledger = internal_ledger()
    handover = to_quote(ledger)
    command = quoting(ledger, handover)
    items = tuple(replace(item, prices=()) for item in command.quote.items)
    bundle = replace(command.quote, form=QuoteForm.BUNDLED, items=items, bundle=(monthly(18_400_000_000),))
    send(ledger, "release_quote", replace(command, quote=bundle), "s_bus")
    assert ledger.the(INQUIRY_HANDOVER).release_id


def test_a_part_that_is_subject_to_feasibility_makes_its_item_so():
    from smartcontracts.internal.ranking import RankQuotes
    from smartcontracts.internal.sourcing import SOURCING
    from tests.smartcontracts.internal.inquiries import asked, choosing, response

    ledger = internal_ledger()
    found = asked(ledger)
    quote = quote_for(found)
    items = (quote.items[0], replace(quote.items[1], subject_to_feasibility=True))
    send(ledger, "record_response", response(found, 0, quote=replace(quote, items=items)), "b_bus")
    send(ledger, "record_response", response(found, 1, "unable"), "b_bus")
    send(ledger, "rank_quotes", RankQuotes(sourcing_id=ledger.the(SOURCING).id), "b_bus")
    send(ledger, "assess", choosing(ledger, ledger.the(INQUIRY_HANDOVER)), "sco")
    command = quoting(ledger, ledger.the(INQUIRY_HANDOVER))
    refusal = refusal_of(ledger, "release_quote", command, "s_bus")
    assert refusal == (w.BeyondSupply, "quote.items[2].subject_to_feasibility")


@pytest.mark.req("Q-46")
def test_the_policy_may_have_another_mark_up_and_it_stays_on_this_ledger():
    ledger = internal_ledger()
    send(
        ledger,
        "set_sourcing_rules",
        SetSourcingRules(markup_basis_points=0, markups=(OfferingMarkup(offering="port", basis_points=2_000),)),
        "sco",
    )
    handover = to_quote(ledger)
    own = (OfferingMarkup(offering="line", basis_points=5_000),)
    command = quoting(ledger, handover)
    assert [item.prices[0].rate.nano for item in command.quote.items] == [10_000_000_000, 3_600_000_000, 3_600_000_000]
    assert refusal_of(ledger, "release_quote", replace(command, markups=own), "s_bus")[0] is w.MarkupWrong
    dearer = replace(command.quote, **repriced(0, prices=(monthly(15_000_000_000),))(command.quote))
    send(ledger, "release_quote", replace(command, quote=dearer, markups=own), "s_bus")
    assert ledger.the(INQUIRY_HANDOVER).markups == own


@pytest.mark.parametrize("markups", [("", 1), ("line", 1_000_001)])
def test_a_mark_up_needs_its_offering_and_a_bound(markups):
    ledger = internal_ledger()
    handover = to_quote(ledger)
    wrong = (OfferingMarkup(offering=markups[0], basis_points=markups[1]),)
    refusal, field = refusal_of(ledger, "release_quote", quoting(ledger, handover, markups=wrong), "s_bus")
    assert (refusal, field.startswith("markups[0].")) == (MarkupInvalid, True)


@given(st.integers(0, 10**15), st.integers(0, 10**6))
def test_a_mark_up_is_rounded_half_up_once(nano, points):
    marked = marked_up(nano, points)
    exact = nano * (10_000 + points)
    assert -5_000 < marked * 10_000 - exact <= 5_000
    assert marked_up(1, 5_000) == 2
    assert marked_up(1, 4_999) == 1


def test_an_item_that_costs_nothing_of_its_own_is_included():
    item = AssessedItem(item_id="i", offering="x", cost=(), lead_time_ms=1)
    (price,) = w.list_prices(item, SourcingRules(), (), "EUR")
    assert (price.rate, price.name, price.price_type) == (Rate(0, "EUR"), "included", "nonRecurring")
    assert w.bundled(((price,), (price,))) == (price,)
    assert w.bundled(((price,), (monthly(5),))) == (monthly(5),)


def test_an_answer_is_let_out_once():
    ledger = internal_ledger()
    handover = released(ledger)
    again = refusal_of(ledger, "release_quote", quoting(ledger, handover), "s_bus")
    assert again == (w.AnswerReleased, "handover_id")
    refused = internal_ledger()
    handover = to_refuse(refused)
    send(refused, "release_unable", declining(handover), "s_bus")
    assert refusal_of(refused, "release_unable", declining(handover), "s_bus") == (w.AnswerReleased, "handover_id")


@pytest.mark.req("Q-05", "Q-45")
def test_the_handover_ends_with_what_became_of_the_answer():
    ledger = internal_ledger()
    handover = released(ledger)
    record = w.RecordAnswer(handover_id=handover.id)
    assert refusal_of(ledger, "record_answer", record, "s_bus") == (w.AnswerNotCarried, "handover_id")
    carried(ledger, handover)
    send(ledger, "record_answer", record, "s_bus")
    ended = ledger.the(INQUIRY_HANDOVER)
    assert (ended.status, ended.answer_id) == ("quoted", "quo_out")
    assert refusal_of(ledger, "record_answer", record, "s_bus") == (w.AnswerNotCarried, "handover_id")
    refused = internal_ledger()
    handover = to_refuse(refused)
    send(refused, "release_unable", declining(handover), "s_bus")
    carried(refused, refused.the(INQUIRY_HANDOVER), outcome_id="una_1")
    send(refused, "record_answer", record, "s_bus")
    assert refused.the(INQUIRY_HANDOVER).status == "unable"


@pytest.mark.req("Q-05")
def test_a_quote_that_is_refused_out_there_becomes_unable_to_quote():
    ledger = internal_ledger()
    handover = released(ledger)
    refusal = {"outcome_id": "", "refusal_code": 3107, "refusal_name": "PRICE_ABOVE_AGREEMENT"}
    carried(ledger, handover, **refusal)
    record = w.RecordAnswer(handover_id=handover.id)
    send(ledger, "record_answer", record, "s_bus")
    after = ledger.the(INQUIRY_HANDOVER)
    assert (after.status, after.reason, after.release_id) == ("to_refuse", "QUOTE_REFUSED", "")
    send(ledger, "release_unable", declining(after), "s_bus")
    carried(
        ledger, ledger.the(INQUIRY_HANDOVER), **(refusal | {"refusal_code": 3028, "refusal_name": "INQUIRY_ANSWERED"})
    )
    send(ledger, "record_answer", record, "s_bus")
    assert ledger.the(INQUIRY_HANDOVER).status == "lapsed"


@pytest.mark.req("Q-20", "Q-21")
def test_the_newest_quote_from_own_resources_is_the_one_that_is_found_again():
    ledger = internal_ledger()
    first = quoted_alone(ledger)
    assert ledger.the(REUSABLE_QUOTE) == ReusableQuote(
        id=reusable_quote_id(ledger.ledger_id, first.characteristics),
        characteristics=first.characteristics,
        handover_id=first.id,
        answered_at_ms=first.answered_at_ms,
    )
    newer = replace(first, id="iho_newer", answered_at_ms=first.answered_at_ms + 1)
    assert reusable(newer, ledger.ledger_id)[0].id == ledger.the(REUSABLE_QUOTE).id
    assert reusable(newer, ledger.ledger_id)[0].handover_id == "iho_newer"
    # Who else is asked the same has another id for it.
    assert reusable(newer, "sg_" + "b" * 32)[0].id != ledger.the(REUSABLE_QUOTE).id


@pytest.mark.req("Q-21")
def test_a_quote_that_rests_on_a_seller_or_changes_a_service_or_is_none_is_not_found_again():
    ledger = internal_ledger()
    handover = released(ledger)
    carried(ledger, handover)
    send(ledger, "record_answer", w.RecordAnswer(handover_id=handover.id), "s_bus")
    assert ledger.the(INQUIRY_HANDOVER).status == "quoted"
    assert ledger.all(REUSABLE_QUOTE) == ()
    alone = quoted_alone(internal_ledger())
    changing = replace(alone.inquiry, change=Change(service_id="svc_1", kind=ChangeKind.QOS))
    assert reusable(replace(alone, inquiry=changing), ledger.ledger_id) == ()
    assert reusable(replace(alone, status=HandoverStatus.UNABLE), ledger.ledger_id) == ()
