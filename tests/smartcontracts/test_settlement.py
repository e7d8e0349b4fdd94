"""Settlement: paid once, exactly and in the agreed form; and no history of billing breaks the books."""

from dataclasses import replace
from types import MappingProxyType

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from smartcontracts import codec
from smartcontracts import settlement as s
from smartcontracts.agreement import PaymentForm
from smartcontracts.codec import ValueUnknown
from smartcontracts.invoice import INVOICE, Invoice, InvoiceStatus
from smartcontracts.kernel import AlreadyDone, Cause, PositionWrong, Rejected, RoleMissing, WrongStatus
from smartcontracts.money import MINOR_MAX, NANO, CurrencyMismatch, CurrencyUnknown, Money
from smartcontracts.netting import NETTING, NettingStatus
from smartcontracts.settlement import PAYMENT, PaymentStatus
from smartcontracts.usage import USAGE
from syngraph.v1 import billing_pb2
from tests.smartcontracts.billing import (
    ACME,
    AGREEMENT,
    BACKHAUL,
    FEE,
    PERIOD_MS,
    SERVICE,
    BillingLedger,
    eur,
    service,
    with_terms,
)
from tests.smartcontracts.support import START_MS


def with_final():
    """A ledger and acme's debt of 107.50."""
    ledger = BillingLedger.with_documents()
    return ledger, ledger.final()


def with_netting():
    """A ledger and a netting: acme owes 107.50, alpha 12.00."""
    ledger = BillingLedger.with_documents()
    return ledger, ledger.net(ledger.final(), ledger.final("acme"))


DEBTS = pytest.mark.parametrize("indebted", [with_final, with_netting])


@DEBTS
def test_claim_and_confirmation_close_a_debt(indebted):
    ledger, debt = indebted()
    claimed = ledger.claim(debt, reference="SEPA 7")
    assert claimed == s.Payment(
        id=claimed.id,
        status=PaymentStatus.CLAIMED,
        pays=claimed.pays,
        payer=debt.payer,
        payee=debt.payee,
        amount=debt.owed,
        payment_form=PaymentForm.FIAT,
        reference="SEPA 7",
        claimed_at_ms=ledger.time_ms,
        late=False,
    )
    confirmed = ledger.confirm(claimed)
    assert confirmed == replace(claimed, status=PaymentStatus.CONFIRMED, decided_at_ms=ledger.time_ms)
    assert {one.status for one in (*ledger.all(INVOICE), *ledger.all(NETTING))} == {"closed"}
    assert ledger.event_names()[-1] in ("invoice.closed", "netting.closed")


@DEBTS
def test_a_denied_claim_leaves_the_debt_open_and_it_can_be_claimed_again(indebted):
    ledger, debt = indebted()
    denied = ledger.deny(ledger.claim(debt), reason="no such transfer")
    assert (denied.status, denied.reason) == (PaymentStatus.DENIED, "no such transfer")
    kind = INVOICE if isinstance(debt, Invoice) else NETTING
    assert ledger.the(kind, debt.id) == debt
    ledger.confirm(ledger.claim(debt, reference="second try"))
    assert ledger.the(kind, debt.id).status == "closed"
    assert len(ledger.all(PAYMENT)) == 2


@pytest.mark.req("S-18")
@DEBTS
@pytest.mark.parametrize("difference", [-1, 1])
def test_invalid_payment_of_another_amount_than_is_owed(indebted, difference):
    ledger, debt = indebted()
    with pytest.raises(s.PaymentNotExact):
        ledger.claim(debt, debt.owed.minor + difference)
    assert ledger.claim(debt, debt.owed.minor).amount == debt.owed


@pytest.mark.req("S-18")
def test_what_is_paid_is_the_agreed_amount_and_not_the_invoiced_one():
    ledger = BillingLedger.with_documents()
    debt = ledger.finalize(ledger.compare(ledger.issue(), 0), 50_00)
    with pytest.raises(s.PaymentNotExact):
        ledger.claim(debt, debt.total.minor)
    ledger.claim(debt, 50_00)


@pytest.mark.req("S-19")
def test_invalid_payment_in_a_form_that_is_none_of_the_three():
    assert [form.value for form in PaymentForm] == ["fiat", "stablecoin", "crypto"]
    for form in ("cheque", "", "Fiat"):
        message = billing_pb2.ClaimPayment(pays="invoice/x", payment_form=form, reference="r")
        message.amount.currency = "EUR"
        with pytest.raises(ValueUnknown):
            codec.decode(s.ClaimPayment, message.SerializeToString(deterministic=True))


@pytest.mark.req("S-19", "S-20")
@pytest.mark.parametrize("agreed", PaymentForm)
def test_a_payment_has_the_form_that_was_agreed(agreed):
    ledger = BillingLedger.with_documents(with_terms(payment_form=agreed), SERVICE, BACKHAUL)
    ours, theirs = ledger.final(), ledger.final("acme")
    debts = [ledger.final("acme", 1), ledger.net(ours, theirs)]
    for debt in debts:
        for form in PaymentForm:
            if form != agreed:
                with pytest.raises(s.PaymentFormDiffers):
                    ledger.claim(debt, payment_form=form)
        assert ledger.claim(debt, payment_form=agreed).payment_form == agreed


@pytest.mark.req("S-21")
@DEBTS
@pytest.mark.parametrize(("after_ms", "late"), [(0, False), (1, True), (9_999, True)])
def test_a_payment_after_the_due_date_is_flagged_late(indebted, after_ms, late):
    ledger, debt = indebted()
    claimed = ledger.claim(debt, at=debt.due_at_ms + after_ms)
    assert claimed.late == late
    kind = INVOICE if isinstance(debt, Invoice) else NETTING
    assert ledger.the(kind, debt.id).overdue == late


@pytest.mark.req("S-21")
def test_the_due_date_follows_from_the_agreements_terms():
    for due_ms in (15_000, 40_000):
        ledger = BillingLedger.with_documents(with_terms(payment_due_ms=due_ms), SERVICE, BACKHAUL)
        debt = ledger.final()
        assert debt.due_at_ms == debt.issued_at_ms + due_ms


@DEBTS
def test_a_claim_in_time_is_not_overdue_while_the_payee_thinks_and_is_once_it_is_denied(indebted):
    ledger, debt = indebted()
    kind = INVOICE if isinstance(debt, Invoice) else NETTING
    claimed = ledger.claim(debt, at=debt.due_at_ms)
    ledger.advance(debt.due_at_ms + 100)
    assert not ledger.the(kind, debt.id).overdue
    ledger.deny(claimed)
    ledger.advance(debt.due_at_ms + 200)
    assert ledger.the(kind, debt.id).overdue


def test_an_invoice_is_paid_once():
    ledger, debt = with_final()
    first = ledger.claim(debt)
    with pytest.raises(WrongStatus):
        ledger.claim(debt)
    ledger.confirm(first)
    with pytest.raises(WrongStatus):
        ledger.claim(debt)


def test_what_is_netted_is_not_paid_and_what_is_paid_is_not_netted():
    ledger = BillingLedger.with_documents()
    ours, theirs, next_theirs = ledger.final(), ledger.final("acme"), ledger.final("acme", 1)
    ledger.net(ours, theirs)
    for listed in (ours, theirs):
        with pytest.raises(WrongStatus):
            ledger.claim(listed)
    ledger, ours = with_final()
    theirs = ledger.final("acme")
    claimed = ledger.claim(ours)
    with pytest.raises(WrongStatus):
        ledger.net(ours, theirs)
    ledger.confirm(claimed)
    with pytest.raises(WrongStatus):
        ledger.net(ours, theirs)
    assert next_theirs.status == InvoiceStatus.FINAL


def test_a_decided_payment_is_decided():
    ledger, debt = with_final()
    denied = ledger.deny(ledger.claim(debt))
    confirmed = ledger.confirm(ledger.claim(debt))
    for decided in (denied, confirmed):
        for answer in (ledger.confirm, ledger.deny):
            with pytest.raises(WrongStatus):
                answer(decided)


GOOD = {
    "status": InvoiceStatus.FINAL,
    "sender": "acme",
    "pays": None,
    "amount": eur(107_50),
    "payment_form": PaymentForm.FIAT,
    "reference": "transfer 1",
}
REFUSALS = [  # in order of precedence, each one change away from GOOD
    (s.DebtUnknown, {"pays": "invoice/inv_none"}),
    (s.NotThePayer, {"sender": "alpha"}),
    *((WrongStatus, {"status": status}) for status in InvoiceStatus if status != InvoiceStatus.FINAL),
    (CurrencyUnknown, {"amount": Money(107_50, "EURO")}),
    (CurrencyMismatch, {"amount": Money(107_50, "USD")}),
    (s.PaymentNegative, {"amount": eur(-107_50)}),
    (s.PaymentZero, {"amount": eur(0)}),
    (s.PaymentTooLarge, {"amount": eur(MINOR_MAX + 1)}),
    (s.PaymentNotExact, {"amount": eur(107_49)}),
    (s.PaymentFormDiffers, {"payment_form": PaymentForm.CRYPTO}),
    (s.ReferenceInvalid, {"reference": ""}),
]


def attempt(case):
    ledger, debt = with_final()
    ledger.write_as(replace(debt, status=case["status"]))
    command = s.ClaimPayment(
        pays=f"invoice/{debt.id}" if case["pays"] is None else case["pays"],
        **{name: case[name] for name in ("amount", "payment_form", "reference")},
    )
    before = ledger.root()
    try:
        return ledger.run("claim_payment", command, sender=ledger.sender(case["sender"], "finance"))
    except Exception:
        assert ledger.root() == before
        raise


@pytest.mark.parametrize("first", range(len(REFUSALS)))
def test_invalid_claim_answers_with_the_first_failing_check(first):
    assert attempt(GOOD).writes[0].amount == eur(107_50)
    broken = dict(GOOD)
    for _, change in reversed(REFUSALS[first:]):
        broken |= change
    with pytest.raises(REFUSALS[first][0]):
        attempt(broken)


@pytest.mark.parametrize(("refusal", "change"), REFUSALS)
def test_invalid_claim_is_refused_for_this_reason_alone(refusal, change):
    with pytest.raises(refusal):
        attempt(GOOD | change)


@pytest.mark.parametrize("pays", ["", "/", "invoice", "invoice/", "netting/net_none", "order/ord_1", "service/svc_1"])
def test_invalid_claim_for_what_is_no_debt(pays):
    with pytest.raises(s.DebtUnknown):
        attempt(GOOD | {"pays": pays})


def test_the_largest_debt_can_be_paid():
    ledger, debt = with_final()
    ledger.write_as(replace(debt, settlement=eur(MINOR_MAX)))
    assert ledger.claim(debt, MINOR_MAX).amount == eur(MINOR_MAX)


def test_a_reference_has_its_limit():
    attempt(GOOD | {"reference": "r" * s.REFERENCE_CHARACTERS_MAX})
    with pytest.raises(s.ReferenceInvalid):
        attempt(GOOD | {"reference": "r" * (s.REFERENCE_CHARACTERS_MAX + 1)})


ANSWERS = MappingProxyType({"confirm_payment": s.ConfirmPayment, "deny_payment": s.DenyPayment})


@pytest.mark.parametrize("name", ANSWERS)
def test_invalid_answer_keeps_its_order_of_refusals(name):
    """Unknown, then not the payee, then decided before."""
    ledger, debt = with_final()
    claimed = ledger.claim(debt)
    payer, payee = ledger.sender("acme", "finance"), ledger.sender("alpha", "finance")
    with pytest.raises(s.PaymentUnknown):
        ledger.run(name, ANSWERS[name](payment_id="pay_none"), sender=payer)
    with pytest.raises(s.NotThePayee):
        ledger.run(name, ANSWERS[name](payment_id=claimed.id), sender=payer)
    ledger.confirm(claimed)
    with pytest.raises(s.NotThePayee):
        ledger.run(name, ANSWERS[name](payment_id=claimed.id), sender=payer)
    with pytest.raises(WrongStatus):
        ledger.run(name, ANSWERS[name](payment_id=claimed.id), sender=payee)


@pytest.mark.parametrize("role", ["administrator", "s_bus", "b_bus", "sco", "sof", "auditor", "observer"])
def test_invalid_settlement_by_another_role_than_finance(role):
    ledger, debt = with_final()
    with pytest.raises(RoleMissing):
        ledger.claim(debt, sender=ledger.sender("acme", role))
    claimed = ledger.claim(debt)
    for name, command in ANSWERS.items():
        with pytest.raises(RoleMissing):
            ledger.run(name, command(payment_id=claimed.id), sender=ledger.sender("alpha", role))


@pytest.mark.parametrize("name", ["north", "ofcom"])
def test_invalid_settlement_by_who_is_no_party(name):
    ledger, debt = with_final()
    with pytest.raises(PositionWrong):
        ledger.claim(debt, sender=ledger.sender(name, "finance"))


def test_an_agents_second_claim_is_answered_with_the_first():
    ledger, debt = with_final()
    cause = Cause(ledger_id="sg_int", event_id="5/0", purpose="pay")
    command = s.ClaimPayment(pays=f"invoice/{debt.id}", amount=debt.owed, payment_form=PaymentForm.FIAT, reference="r")
    sender = ledger.sender("acme", "finance")
    first = ledger.run("claim_payment", command, sender=sender, cause=cause).writes[0]
    ledger.deny(first)
    with pytest.raises(AlreadyDone) as refused:
        ledger.run("claim_payment", command, sender=sender, cause=cause)
    assert refused.value.existing_id == first.id


def test_every_status_survives_the_ledgers_bytes():
    ledger, debt = with_final()
    claimed = ledger.claim(debt)
    for status in PaymentStatus:
        record = replace(claimed, status=status, reason="why", decided_at_ms=1, late=True)
        assert codec.decode(s.Payment, codec.encode(record)) == record
    assert ledger.find(PAYMENT, "related", debt.id, 9) == (claimed,)


@settings(max_examples=40, stateful_step_count=40)
class Books(RuleBasedStateMachine):
    """Any history of both parties, honest or not: only `Rejected` is raised, and the books stay right."""

    @initialize(billed=st.integers(0, 3))
    def begin(self, billed):
        # Both sell at the same fee, so that some nets are zero.
        backhaul = service("backhaul", seller=ACME, activated_at_ms=START_MS, prices=(FEE,))
        self.ledger = BillingLedger.with_documents(AGREEMENT, SERVICE, backhaul)
        self.ledger.advance(START_MS + 4 * PERIOD_MS)
        # By id: what must never change again once an invoice is final.
        self.final = {}
        for interval in range(billed):
            self.bill_and_agree(interval)

    def attempt(self, act, *arguments, **options):
        before = self.ledger.root()
        try:
            act(*arguments, **options)
        except Rejected:
            assert self.ledger.root() == before or self.ledger.fired, "a refusal changed something"

    def an_invoice(self, place):
        invoices = self.ledger.all(INVOICE)
        return invoices[place % len(invoices)] if invoices else None

    @rule(ms=st.integers(1, PERIOD_MS // 4))
    def time_passes(self, ms):
        self.ledger.advance(self.ledger.time_ms + ms)

    @rule(quantity=st.integers(-1, 3), back_ms=st.integers(0, 3 * PERIOD_MS), number=st.integers(0, 20))
    def use(self, quantity, back_ms, number):
        at = self.ledger.time_ms + 1
        self.attempt(self.ledger.use, quantity * 10_000 * NANO, at - back_ms, at=at, meter_record=f"n{number}")

    @rule(seller=st.sampled_from(["acme", "alpha"]), interval=st.integers(0, 5))
    def issue(self, seller, interval):
        self.attempt(self.ledger.issue, seller, interval, at=self.ledger.time_ms + 1)

    @rule(interval=st.integers(0, 3))
    def bill_and_agree(self, interval):
        for seller in ("acme", "alpha"):
            self.attempt(self.ledger.final, seller, interval)

    @rule(place=st.integers(0, 9), difference=st.sampled_from([0, 50, -50, 51, -400]))
    def compare(self, place, difference):
        if (issued := self.an_invoice(place)) is not None:
            self.attempt(self.ledger.compare, issued, max(issued.total.minor + difference, 0))

    @rule(place=st.integers(0, 9), minor=st.sampled_from([0, 1, 12_00, 107_50, -1, None]))
    def make_final(self, place, minor):
        if (compared := self.an_invoice(place)) is not None:
            self.attempt(self.ledger.finalize, compared, compared.total.minor if minor is None else minor)

    @rule(places=st.sets(st.integers(0, 9), min_size=2, max_size=4), any_status=st.booleans())
    def net(self, places, any_status):
        invoices = [one for one in self.ledger.all(INVOICE) if any_status or one.status == InvoiceStatus.FINAL]
        listed = {one.id: one for place, one in enumerate(invoices) if place in places}
        if listed:
            self.attempt(self.ledger.net, *listed.values())

    @rule(place=st.integers(0, 9), minor=st.sampled_from([None, 1]))
    def pay_invoice(self, place, minor):
        debt = self.an_invoice(place)
        if debt is not None and debt.settlement is not None:
            self.attempt(self.ledger.claim, debt, minor)

    @rule(place=st.integers(0, 9))
    def pay_netting(self, place):
        nettings = [one for one in self.ledger.all(NETTING) if one.payer]
        if nettings:
            self.attempt(self.ledger.claim, nettings[place % len(nettings)])

    @precondition(lambda self: self.ledger.all(PAYMENT))
    @rule(place=st.integers(0, 9), confirmed=st.booleans())
    def answer(self, place, confirmed):
        payments = self.ledger.all(PAYMENT)
        payment = payments[place % len(payments)]
        self.attempt(self.ledger.confirm if confirmed else self.ledger.deny, payment)

    @invariant()
    def lines_add_up_and_use_is_charged_at_most_once(self):
        for invoice in self.ledger.all(INVOICE):
            assert invoice.total.minor == sum(line.amount.minor for line in invoice.lines)
        intervals = [(one.seller, one.interval_id) for one in self.ledger.all(INVOICE)]
        assert len(set(intervals)) == len(intervals)
        for used in self.ledger.all(USAGE):
            charged = [
                one
                for one in self.ledger.all(INVOICE)
                if (one.seller, one.interval_id) == (used.seller, used.interval_id)
            ]
            assert [one.id for one in charged] == ([used.invoice_id] if used.invoice_id else [])

    @invariant()
    def what_is_final_never_changes(self):
        for invoice in self.ledger.all(INVOICE):
            if invoice.final_by:
                kept = replace(invoice, status=InvoiceStatus.FINAL, netting_id="", payment_id="", overdue=False)
                assert self.final.setdefault(invoice.id, kept) == kept
            else:
                assert invoice.id not in self.final

    @invariant()
    def an_invoice_is_paid_or_netted_at_most_once(self):
        confirmed = [one.pays for one in self.ledger.all(PAYMENT) if one.status == PaymentStatus.CONFIRMED]
        netted = [f"invoice/{id_}" for one in self.ledger.all(NETTING) for id_ in one.invoice_ids]
        settled = [*confirmed, *netted]
        assert len(set(settled)) == len(settled)
        for invoice in self.ledger.all(INVOICE):
            if invoice.status == InvoiceStatus.CLOSED and invoice.settlement.minor:
                assert f"invoice/{invoice.id}" in settled

    @invariant()
    def every_net_is_the_difference_of_what_it_lists(self):
        for netting in self.ledger.all(NETTING):
            listed = [self.ledger.the(INVOICE, id_) for id_ in netting.invoice_ids]
            first = sum(one.settlement.minor for one in listed if one.buyer == netting.parties[0])
            second = sum(one.settlement.minor for one in listed if one.buyer == netting.parties[1])
            assert (netting.owed_by_first.minor, netting.owed_by_second.minor) == (first, second)
            assert netting.net.minor == abs(first - second)
            statuses = {one.status for one in listed}
            assert statuses == {"closed" if netting.status == NettingStatus.CLOSED else "netted"}

    @invariant()
    def money_moved_is_money_owed(self):
        for payment in self.ledger.all(PAYMENT):
            kind, id_ = payment.pays.split("/")
            assert payment.amount == self.ledger.the(self.ledger.table.kinds[kind], id_).owed


TestBooks = Books.TestCase
