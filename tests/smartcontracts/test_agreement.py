"""Agreement: one a pair, signed by both; every term within its bounds; new terms replace the ones that were seen."""

from dataclasses import replace

import pytest

from smartcontracts import agreement as a
from smartcontracts import codec, proposal
from smartcontracts.kernel import PositionWrong, RoleMissing
from smartcontracts.money import (
    MINOR_MAX,
    RATE_NANO_MAX,
    AmountOutOfRange,
    CurrencyMismatch,
    CurrencyUnknown,
    Rate,
    Rounding,
)
from smartcontracts.parameters import Parameters, WindowOutOfBounds
from smartcontracts.proposal import PROPOSAL, AcceptProposal, Propose, act_of
from tests.smartcontracts.support import START_MS, MemoryLedger, org

LIMITS = Parameters()
NOW = START_MS + 100
PARTIES = tuple(sorted((org("acme"), org("alpha"))))
PER_MONTH = a.PriceTerm(
    seller=org("alpha"), offering="epl", price_type=a.PriceType.RECURRING, rate=Rate(5 * 10**9, "EUR"), period_ms=20_000
)
PER_CYCLE = a.PriceTerm(
    seller=org("acme"), price_type=a.PriceType.USAGE_BASED, rate=Rate(500_000, "EUR"), unit="CPU cycle"
)
ONCE = a.PriceTerm(seller=org("alpha"), offering="epl", price_type=a.PriceType.NON_RECURRING, rate=Rate(0, "EUR"))
TARGET = a.SlaTarget(
    seller=org("alpha"),
    offering="epl",
    metric="availability",
    target_nano=999_000_000,
    unit="1",
    measurement_unit_ms=1_000,
    higher_is_better=True,
)
DISCOUNT = a.DiscountRule(
    id="year",
    seller=org("alpha"),
    offering="epl",
    price_type=a.PriceType.RECURRING,
    basis_points=1_000,
    minimum_term_months=12,
    minimum_items=2,
)
PENALTY = a.DelayPenalty(seller=org("alpha"), amount_minor=1_000, period_ms=3_600_000, cap_minor=10_000)
TERMS = a.AgreementTerms(
    name="Frame 2026",
    currency="EUR",
    rounding=Rounding.HALF_EVEN,
    response_window_ms=30_000,
    response_window_min_ms=20_000,
    billing_period_ms=20_000,
    payment_terms="30x15",
    payment_due_ms=40_000,
    payment_form=a.PaymentForm.FIAT,
    dispute_threshold_minor=100,
    netting=True,
    price_terms=(PER_MONTH, PER_CYCLE, ONCE),
    sla_targets=(TARGET,),
    discounts=(DISCOUNT,),
    delay_penalties=(PENALTY, replace(PENALTY, seller=org("acme"))),
    extension_answer_window_ms=10_000,
    cancellation_window_ms=1,
    cancellation_fee_minor=500,
)


WHOLESALE = (a.TradeRole.WHOLESALE_BUYER, a.TradeRole.WHOLESALE_SELLER)


def new_ledger():
    return MemoryLedger.bilateral(proposal.CONTRACT, a.CONTRACT)


def propose(ledger, terms, *, by="acme", role="administrator", both=True, at=None):
    sender = ledger.sender(by, role)
    signers = (sender, *(ledger.sender(n, "administrator") for n in ("acme", "alpha") if both))
    act = act_of("agreement_terms", terms)
    ledger.run("propose", Propose(act=act, valid_for_ms=60_000), sender=sender, signers=signers, at=at)
    return next((x for x in ledger.all(a.AGREEMENT)), None)


@pytest.mark.req("L-33")
@pytest.mark.parametrize(("first", "second"), [("acme", "alpha"), ("alpha", "acme")])
def test_the_pair_has_one_agreement_whoever_of_them_proposes(first, second):
    """UB of the seller and DB of the buyer are one ledger: the record is keyed by the unordered pair."""
    ledger = new_ledger()
    assert propose(ledger, TERMS, by=first, both=False, at=NOW - 50) is None
    opened = ledger.the(PROPOSAL)
    accept = AcceptProposal(proposal_id=opened.id, act_sha256=opened.act_sha256)
    ledger.run("accept_proposal", accept, sender=ledger.sender(second, "administrator"), at=NOW)
    concluded = ledger.the(a.AGREEMENT)
    assert concluded == a.Agreement(
        id=concluded.id,
        status=a.AgreementStatus.ACTIVE,
        parties=PARTIES,
        terms=TERMS,
        terms_version=1,
        proposal_id=opened.id,
        in_force_from_ms=NOW,
        roles=tuple(a.PartyRoles(organization=party, roles=WHOLESALE) for party in PARTIES),
    )
    assert a.agreement_between(ledger, PARTIES) == concluded
    assert a.agreement_of(ledger, concluded.id) == concluded
    assert [a.other_party(concluded, org(n)) for n in ("acme", "alpha")] == [org("alpha"), org("acme")]
    assert ledger.the(PROPOSAL).result == (f"agreement/{concluded.id}",)


def test_new_terms_raise_the_version_and_billing_periods_go_on_as_they_were():
    ledger = new_ledger()
    first = propose(ledger, TERMS, at=NOW)
    amended = replace(TERMS, dispute_threshold_minor=0, netting=False, replaces_version=1)
    second = propose(ledger, amended, by="alpha", at=NOW + 5_000)
    assert second == replace(first, terms=amended, terms_version=2, proposal_id=second.proposal_id)
    assert second.proposal_id != first.proposal_id
    assert ledger.event_names()[-2:] == ["agreement.amended", "proposal.enacted"]


def change(**fields):
    return replace(TERMS, **fields)


def price(**fields):
    return change(price_terms=(PER_CYCLE, replace(PER_MONTH, **fields)))


def unit_price(**fields):
    return change(price_terms=(replace(PER_CYCLE, **fields),))


def target(**fields):
    return change(sla_targets=(replace(TARGET, **fields),))


def discount(**fields):
    return change(discounts=(DISCOUNT, replace(DISCOUNT, **{"id": "other", **fields})))


def penalty(**fields):
    return change(delay_penalties=(replace(PENALTY, **fields),))


LONGEST = LIMITS.window_max_ms
REFUSED = [  # the field at fault, in order of precedence
    (a.TermsVersionStale, "replaces_version", change(replaces_version=1)),
    (a.AgreementNameInvalid, "name", change(name="")),
    (a.AgreementNameInvalid, "name", change(name="x" * (a.NAME_CHARACTERS_MAX + 1))),
    *((CurrencyUnknown, "currency", change(currency=code)) for code in ("", "eur", "XAU")),
    *((WindowOutOfBounds, "response_window_min_ms", change(response_window_min_ms=w)) for w in (0, 9_999, LONGEST + 1)),
    *((WindowOutOfBounds, "response_window_ms", change(response_window_ms=w)) for w in (0, 19_999, LONGEST + 1)),
    *((WindowOutOfBounds, "billing_period_ms", change(billing_period_ms=w)) for w in (0, -1, 9_999, LONGEST + 1)),
    *((WindowOutOfBounds, "payment_due_ms", change(payment_due_ms=w)) for w in (0, 9_999, LONGEST + 1)),
    *(
        (WindowOutOfBounds, "cancellation_window_ms", change(cancellation_window_ms=w)) for w in (-1, LONGEST + 1)
    ),
    *(
        (WindowOutOfBounds, "extension_answer_window_ms", change(extension_answer_window_ms=w))
        for w in (-1, 1, 9_999, LONGEST + 1)
    ),
    *(
        (a.PaymentTermsInvalid, "payment_terms", change(payment_terms=text))
        for text in (
            "",
            "30",
            "30x",
            "x30",
            "0x15",
            "030x15",
            "30x015",
            "1000x1",
            "30x15 ",
            "30\u00d715",
            "30x-1",
            "30X15",
            "\uff130x15",
        )
    ),
    *((AmountOutOfRange, "dispute_threshold_minor", change(dispute_threshold_minor=n)) for n in (-1, MINOR_MAX + 1)),
    *((AmountOutOfRange, "cancellation_fee_minor", change(cancellation_fee_minor=n)) for n in (-1, MINOR_MAX + 1)),
    (a.SellerNotAParty, "only_seller", change(only_seller=org("north"))),
    (a.RetailCustomerInvalid, "retail_customer", change(retail_customer=org("acme"))),
    (
        a.RetailCustomerInvalid,
        "retail_customer",
        change(only_seller=org("acme"), retail_customer=org("acme")),
    ),
    (
        a.RetailCustomerInvalid,
        "retail_customer",
        change(only_seller=org("acme"), retail_customer=org("north")),
    ),
    (a.TooManyTerms, "price_terms", change(price_terms=(PER_MONTH,) * (LIMITS.items_max + 1))),
    (a.SellerNotAParty, "price_terms[1].seller", price(seller=org("north"))),
    (a.SellerNotAParty, "price_terms[1].seller", price(seller="")),
    (CurrencyMismatch, "price_terms[1].rate", price(rate=Rate(1, "USD"))),
    (CurrencyUnknown, "price_terms[1].rate", price(rate=Rate(1, "XXX"))),
    (AmountOutOfRange, "price_terms[1].rate", price(rate=Rate(-1, "EUR"))),
    (AmountOutOfRange, "price_terms[1].rate", price(rate=Rate(RATE_NANO_MAX + 1, "EUR"))),
    *((a.PriceTermInvalid, "price_terms[1].period_ms", price(period_ms=ms)) for ms in (0, -1, 9_999, LONGEST + 1)),
    (a.PriceTermInvalid, "price_terms[1].unit", price(unit="GB")),
    (a.PriceTermInvalid, "price_terms[0].unit", unit_price(unit="")),
    (a.PriceTermInvalid, "price_terms[0].period_ms", unit_price(period_ms=20_000)),
    (a.PriceTermInvalid, "price_terms[0].period_ms", change(price_terms=(replace(ONCE, period_ms=1),))),
    (a.TermDoubled, "price_terms[1]", change(price_terms=(PER_MONTH, replace(PER_MONTH, rate=Rate(1, "EUR"))))),
    (a.SellerNotAParty, "sla_targets[0].seller", target(seller=org("ofcom"))),
    (a.SlaTargetInvalid, "sla_targets[0].metric", target(metric="")),
    (a.SlaTargetInvalid, "sla_targets[0].unit", target(unit="")),
    *((a.SlaTargetInvalid, "sla_targets[0].target_nano", target(target_nano=n)) for n in (-1, a.TARGET_NANO_MAX + 1)),
    *(
        (a.SlaTargetInvalid, "sla_targets[0].measurement_unit_ms", target(measurement_unit_ms=ms))
        for ms in (0, -1, LONGEST + 1)
    ),
    (a.TermDoubled, "sla_targets[1]", change(sla_targets=(TARGET, replace(TARGET, target_nano=1)))),
    (a.SellerNotAParty, "discounts[1].seller", discount(seller=org("north"))),
    (a.DiscountInvalid, "discounts[1].id", discount(id="")),
    *((a.DiscountInvalid, "discounts[1].basis_points", discount(basis_points=n)) for n in (0, 10_001)),
    (a.DiscountInvalid, "discounts[1].minimum_term_months", discount(minimum_term_months=a.MINIMUM_MONTHS_MAX + 1)),
    (a.DiscountInvalid, "discounts[1].minimum_items", discount(minimum_items=LIMITS.items_max + 1)),
    (a.TermDoubled, "discounts[1]", discount(id="year")),
    (a.SellerNotAParty, "delay_penalties[0].seller", penalty(seller="")),
    *((a.DelayPenaltyInvalid, "delay_penalties[0].amount_minor", penalty(amount_minor=n)) for n in (-1, 0, MINOR_MAX + 1)),
    *((a.DelayPenaltyInvalid, "delay_penalties[0].period_ms", penalty(period_ms=n)) for n in (-1, 0, LONGEST + 1)),
    *((a.DelayPenaltyInvalid, "delay_penalties[0].cap_minor", penalty(cap_minor=n)) for n in (-1, 999, MINOR_MAX + 1)),
    (a.TermDoubled, "delay_penalties[1]", change(delay_penalties=(PENALTY, PENALTY))),
]


@pytest.mark.parametrize(("refusal", "field", "terms"), REFUSED)
def test_invalid_terms_are_refused_when_they_are_proposed(refusal, field, terms):
    ledger = new_ledger()
    before = ledger.root()
    with pytest.raises(refusal) as caught:
        propose(ledger, terms, both=False)
    assert caught.value.field == field
    assert ledger.root() == before


ONE_FIELD_EACH = [
    (a.TermsVersionStale, {"replaces_version": 2}),
    (a.TermFixed, {"currency": "USD"}),
    (a.TermFixed, {"billing_period_ms": 40_000}),
    (a.TermFixed, {"only_seller": org("alpha")}),
    (a.TermFixed, {"retail_customer": org("acme")}),
    (a.AgreementNameInvalid, {"name": ""}),
    (WindowOutOfBounds, {"response_window_min_ms": 1}),
    (WindowOutOfBounds, {"response_window_ms": 1}),
    (WindowOutOfBounds, {"payment_due_ms": 1}),
    (a.PaymentTermsInvalid, {"payment_terms": "soon"}),
    (AmountOutOfRange, {"dispute_threshold_minor": -1}),
    (AmountOutOfRange, {"cancellation_fee_minor": -1}),
    (a.SellerNotAParty, {"price_terms": (replace(PER_MONTH, seller="x", unit="GB"),)}),
    (a.SlaTargetInvalid, {"sla_targets": (replace(TARGET, metric=""),)}),
    (a.DiscountInvalid, {"discounts": (replace(DISCOUNT, id=""),)}),
    (a.DelayPenaltyInvalid, {"delay_penalties": (replace(PENALTY, amount_minor=0),)}),
]


@pytest.mark.parametrize("first", range(len(ONE_FIELD_EACH)))
def test_invalid_amendments_are_answered_with_the_first_failing_check(first):
    ledger = new_ledger()
    propose(ledger, TERMS)
    broken = {"replaces_version": 1}
    for _, fields in reversed(ONE_FIELD_EACH[first:]):
        broken |= fields
    with pytest.raises(ONE_FIELD_EACH[first][0]):
        propose(ledger, replace(TERMS, **broken))


@pytest.mark.parametrize(
    "fields",
    [
        {"discounts": (replace(DISCOUNT, basis_points=10_000, minimum_items=LIMITS.items_max),)},
        {"discounts": (replace(DISCOUNT, basis_points=1, minimum_term_months=a.MINIMUM_MONTHS_MAX, offering=""),)},
        {"delay_penalties": (replace(PENALTY, cap_minor=0),)},
        {"delay_penalties": (replace(PENALTY, cap_minor=1_000, period_ms=LONGEST),)},
        {"delay_penalties": ()},
        {"extension_answer_window_ms": 0, "cancellation_window_ms": 0, "cancellation_fee_minor": 0},
        {"extension_answer_window_ms": LONGEST, "cancellation_window_ms": LONGEST, "cancellation_fee_minor": MINOR_MAX},
    ],
)
def test_terms_at_their_bounds_are_agreed(fields):
    assert propose(new_ledger(), change(**fields)).terms == change(**fields)


@pytest.mark.req("L-16")
def test_who_alone_sells_is_agreed_once_and_for_all():
    ledger = new_ledger()
    fixed = propose(ledger, change(only_seller=org("alpha")))
    assert fixed.terms.only_seller == org("alpha")
    for other in ("", org("acme")):
        with pytest.raises(a.TermFixed) as caught:
            propose(ledger, change(only_seller=other, replaces_version=1))
        assert caught.value.field == "only_seller"
    a.require_may_sell(fixed.terms, org("alpha"), "seller")
    with pytest.raises(a.RolesFixed):
        a.require_may_sell(fixed.terms, org("acme"), "seller")
    for name in ("acme", "alpha"):
        a.require_may_sell(TERMS, org(name), "seller")


@pytest.mark.req("L-01", "L-02", "L-04", "L-06")
@pytest.mark.parametrize(
    ("only_seller", "retail_customer", "acme", "alpha"),
    [
        ("", "", WHOLESALE, WHOLESALE),
        ("alpha", "", (a.TradeRole.WHOLESALE_BUYER,), (a.TradeRole.WHOLESALE_SELLER,)),
        ("alpha", "acme", (a.TradeRole.RETAIL_CUSTOMER,), (a.TradeRole.RETAIL_SELLER,)),
        ("acme", "alpha", (a.TradeRole.RETAIL_SELLER,), (a.TradeRole.RETAIL_CUSTOMER,)),
    ],
)
def test_what_each_party_is_on_the_ledger_stands_in_the_agreement_for_its_life(
    only_seller, retail_customer, acme, alpha
):
    ledger = new_ledger()
    terms = change(only_seller=only_seller and org(only_seller), retail_customer=retail_customer and org(retail_customer))
    for version in (0, 1):
        agreement = propose(ledger, replace(terms, replaces_version=version))
        roles = {one.organization: one.roles for one in agreement.roles}
        assert roles == {org("acme"): acme, org("alpha"): alpha}
        assert agreement.terms_version == version + 1


@pytest.mark.req("L-07", "L-08")
def test_a_transaction_is_retail_by_its_buyer_and_wholesale_otherwise():
    shop = change(only_seller=org("alpha"), retail_customer=org("acme"))
    assert a.trade_kind(shop, org("acme")) == a.TradeKind.RETAIL
    for terms, buyer in ((shop, "alpha"), (TERMS, "acme"), (TERMS, "alpha"), (change(only_seller=org("alpha")), "acme")):
        assert a.trade_kind(terms, org(buyer)) == a.TradeKind.WHOLESALE


def test_the_penalty_for_delay_is_the_sellers():
    assert a.delay_penalty_of(TERMS, org("alpha")) == PENALTY
    assert a.delay_penalty_of(replace(TERMS, delay_penalties=(PENALTY,)), org("acme")) is None


@pytest.mark.parametrize("replaced", [0, 2])
def test_invalid_amendment_of_another_version_than_the_one_in_force(replaced):
    ledger = new_ledger()
    propose(ledger, TERMS)
    with pytest.raises(a.TermsVersionStale):
        propose(ledger, change(replaces_version=replaced))


def test_invalid_acceptance_of_terms_that_others_have_overtaken():
    """Both read version 0 when these were proposed; accepting them now would undo what was signed since."""
    ledger = new_ledger()
    propose(ledger, change(name="overtaken"), both=False)
    overtaken = ledger.the(PROPOSAL)
    concluded = propose(ledger, TERMS)
    accept = AcceptProposal(proposal_id=overtaken.id, act_sha256=overtaken.act_sha256)
    with pytest.raises(a.TermsVersionStale):
        ledger.run("accept_proposal", accept, sender=ledger.sender("alpha", "administrator"))
    assert ledger.the(a.AGREEMENT) == concluded


@pytest.mark.parametrize("form", ["", "cash", "Fiat"])
@pytest.mark.req("S-20")
def test_a_form_of_payment_that_is_none_of_the_three_cannot_be_agreed(form):
    message = codec.to_message(TERMS)
    message.payment_form = form
    with pytest.raises(codec.ValueUnknown) as caught:
        codec.from_message(a.AgreementTerms, message)
    assert caught.value.field == "payment_form"


@pytest.mark.parametrize("form", a.PaymentForm)
@pytest.mark.req("S-20")
def test_the_form_of_payment_is_what_both_signed(form):
    ledger = new_ledger()
    assert propose(ledger, change(payment_form=form), both=False) is None
    opened = ledger.the(PROPOSAL)
    accept = AcceptProposal(proposal_id=opened.id, act_sha256=opened.act_sha256)
    ledger.run("accept_proposal", accept, sender=ledger.sender("alpha", "administrator"))
    assert ledger.the(a.AGREEMENT).terms.payment_form == form


@pytest.mark.req("N-04")
@pytest.mark.parametrize("clause", [True, False])
def test_the_netting_clause_takes_both_signatures(clause):
    ledger = new_ledger()
    propose(ledger, change(netting=not clause))
    propose(ledger, change(netting=clause, replaces_version=1), both=False)
    assert ledger.the(a.AGREEMENT).terms.netting is not clause
    opened = next(x for x in ledger.all(PROPOSAL) if x.status == proposal.ProposalStatus.OPEN)
    accept = AcceptProposal(proposal_id=opened.id, act_sha256=opened.act_sha256)
    ledger.run("accept_proposal", accept, sender=ledger.sender("alpha", "administrator"))
    assert ledger.the(a.AGREEMENT).terms.netting is clause


@pytest.mark.parametrize(
    ("refusal", "by", "role"), [(PositionWrong, "north", "administrator"), (RoleMissing, "acme", "finance")]
)
def test_invalid_proposals_by_those_who_may_not_sign_an_agreement(refusal, by, role):
    with pytest.raises(refusal):
        propose(new_ledger(), TERMS, by=by, role=role, both=False)


def test_terms_at_their_bounds_are_taken():
    many = tuple(replace(ONCE, offering=f"offering {n}") for n in range(LIMITS.items_max))
    for terms in (
        change(name="x"),
        change(name="x" * a.NAME_CHARACTERS_MAX, dispute_threshold_minor=0),
        change(dispute_threshold_minor=MINOR_MAX, price_terms=many, sla_targets=()),
        change(
            response_window_min_ms=10_000, response_window_ms=10_000, billing_period_ms=10_000, payment_due_ms=10_000
        ),
        change(
            response_window_min_ms=LONGEST,
            response_window_ms=LONGEST,
            billing_period_ms=LONGEST,
            payment_due_ms=LONGEST,
        ),
        *(change(payment_terms=text) for text in ("1x1", "7x7", "45x45", "999x999", "30x0")),
        target(target_nano=0, measurement_unit_ms=1),
        target(target_nano=a.TARGET_NANO_MAX, measurement_unit_ms=LONGEST),
        price(period_ms=LONGEST, rate=Rate(RATE_NANO_MAX, "EUR")),
    ):
        assert propose(new_ledger(), terms).terms == terms


def test_a_term_for_the_very_offering_goes_before_one_for_all_of_them():
    everything = replace(PER_MONTH, offering="", rate=Rate(1, "EUR"))
    terms = change(
        price_terms=(everything, PER_MONTH), sla_targets=(TARGET, replace(TARGET, offering="", target_nano=7))
    )
    seller = org("alpha")
    assert a.price_term_of(terms, seller, "epl", a.PriceType.RECURRING) == PER_MONTH
    assert a.price_term_of(terms, seller, "other", a.PriceType.RECURRING) == everything
    assert a.price_term_of(terms, seller, "epl", a.PriceType.NON_RECURRING) is None
    assert a.price_term_of(terms, org("acme"), "epl", a.PriceType.RECURRING) is None
    assert a.sla_target_of(terms, seller, "epl", "availability") == TARGET
    assert a.sla_target_of(terms, seller, "other", "availability").target_nano == 7
    assert a.sla_target_of(terms, seller, "epl", "delay") is None


def test_invalid_use_of_an_agreement_by_name_or_party():
    ledger = new_ledger()
    concluded = propose(ledger, TERMS)
    with pytest.raises(a.AgreementUnknown):
        a.agreement_of(ledger, "agr_unheard")
    with pytest.raises(a.NotAParty):
        a.other_party(concluded, org("north"))


def test_invalid_agreement_on_a_ledger_without_two_parties():
    ledger = MemoryLedger.omni(proposal.CONTRACT, a.CONTRACT)
    with pytest.raises(a.NoPair):
        a.check_terms(TERMS, ledger.call(ledger.sender("acme", "administrator")))


def test_versions_of_terms_end_at_their_bound():
    ledger = new_ledger()
    concluded = propose(ledger, TERMS)
    last = replace(concluded, terms_version=a.TERMS_VERSION_MAX - 1)
    ledger.write(last)
    assert propose(ledger, change(replaces_version=last.terms_version)).terms_version == a.TERMS_VERSION_MAX
    with pytest.raises(a.TermsVersionStale):
        propose(ledger, change(replaces_version=a.TERMS_VERSION_MAX))
