"""Netting: opposite final invoices, once each, only where it was agreed, and only the difference is paid."""

from dataclasses import replace

import pytest

from smartcontracts import codec
from smartcontracts import netting as n
from smartcontracts.agreement import AgreementUnknown
from smartcontracts.ids import derive_id
from smartcontracts.invoice import INVOICE, InvoiceStatus
from smartcontracts.kernel import PositionWrong, RoleMissing, WrongStatus
from smartcontracts.money import MINOR_MAX, AmountOutOfRange, CurrencyMismatch, Money
from smartcontracts.netting import NETTING, NettingStatus
from smartcontracts.proposal import PROPOSAL, AcceptProposal, Propose, act_of
from smartcontracts.settlement import NotThePayer
from tests.smartcontracts.billing import (
    AGREEMENT,
    PARTIES,
    VALID_FOR_MS,
    BillingLedger,
    eur,
    with_terms,
)
from tests.smartcontracts.support import START_MS

FIRST, SECOND = PARTIES
DUE_MS = START_MS + 900_000
INVOICE_0 = BillingLedger.with_documents().final()


def owed(payer, minor, name="", status=InvoiceStatus.FINAL):
    """An invoice that `payer` owes."""
    return replace(
        INVOICE_0,
        id=derive_id("inv", payer, name or str(minor)),
        buyer=payer,
        seller=SECOND if payer == FIRST else FIRST,
        settlement=eur(minor),
        status=status,
        due_at_ms=DUE_MS,
    )


def ledger_with(*invoices, agreement=AGREEMENT):
    return BillingLedger.with_documents(agreement, *invoices)


def netted(*invoices):
    """The ledger with these invoices, netted."""
    ledger = ledger_with(*invoices)
    return ledger, ledger.net(*invoices)


@pytest.mark.req("N-01", "N-02", "N-03")
@pytest.mark.parametrize(
    ("by_first", "by_second", "net", "payer"),
    [(1200, 450, 750, FIRST), (450, 1200, 750, SECOND), (1, 2, 1, SECOND), (MINOR_MAX, 1, MINOR_MAX - 1, FIRST)],
)
def test_who_owes_more_pays_the_difference(by_first, by_second, net, payer):
    ledger, netting = netted(owed(FIRST, by_first, "a"), owed(SECOND, by_second, "b"))
    assert (netting.owed_by_first, netting.owed_by_second) == (eur(by_first), eur(by_second))
    assert (netting.net, netting.payer) == (eur(net), payer)
    assert netting.payee == (SECOND if payer == FIRST else FIRST)
    assert netting.status == NettingStatus.PAYMENT_DUE
    assert {one.status for one in ledger.all(INVOICE)} == {InvoiceStatus.NETTED}


@pytest.mark.req("N-01")
def test_one_payment_of_the_net_closes_everything_that_was_netted():
    ledger, netting = netted(owed(FIRST, 1200), owed(SECOND, 300), owed(SECOND, 150))
    ledger.confirm(ledger.claim(netting, 750))
    assert ledger.the(NETTING).status == NettingStatus.CLOSED
    assert [one.status for one in ledger.all(INVOICE)] == [InvoiceStatus.CLOSED] * 3


@pytest.mark.req("N-03")
def test_equal_sums_close_all_without_a_payment():
    """X-44: 500 against 500 moves nothing, and nobody is the payer."""
    ledger, netting = netted(owed(FIRST, 500), owed(SECOND, 200), owed(SECOND, 300))
    assert (netting.status, netting.net, netting.payer, netting.payee) == (NettingStatus.CLOSED, eur(0), "", "")
    assert [one.status for one in ledger.all(INVOICE)] == [InvoiceStatus.CLOSED] * 3
    with pytest.raises(NotThePayer):
        ledger.claim(netting, 1, sender=ledger.sender("acme", "finance"))


@pytest.mark.req("N-04")
def test_invalid_netting_without_the_clause():
    a, b = owed(FIRST, 2), owed(SECOND, 1)
    ledger = ledger_with(a, b, agreement=with_terms(netting=False))
    before = ledger.root()
    with pytest.raises(n.NettingNotAgreed):
        ledger.net(a, b)
    assert ledger.root() == before


@pytest.mark.req("N-05")
def test_the_ledger_records_what_was_netted_how_and_when():
    a, b, c = owed(FIRST, 1200), owed(SECOND, 300), owed(SECOND, 150)
    ledger, netting = netted(a, b, c)
    assert netting == n.Netting(
        id=netting.id,
        status=NettingStatus.PAYMENT_DUE,
        agreement_id=AGREEMENT.id,
        invoice_ids=tuple(sorted((a.id, b.id, c.id))),
        parties=PARTIES,
        owed_by_first_ids=(a.id,),
        owed_by_second_ids=tuple(sorted((b.id, c.id))),
        owed_by_first=eur(1200),
        owed_by_second=eur(450),
        net=eur(750),
        payer=FIRST,
        payee=SECOND,
        payment_form=AGREEMENT.terms.payment_form,
        recorded_at_ms=ledger.time_ms,
        height=ledger.height,
        due_at_ms=DUE_MS,
    )
    assert "netting.recorded" in ledger.event_names()
    assert {one.netting_id for one in ledger.all(INVOICE)} == {netting.id}
    for listed in (a, b, c):
        assert ledger.find(NETTING, "related", listed.id, 9) == (netting,)


def test_both_sign_and_one_alone_nets_nothing():
    a, b = owed(FIRST, 2), owed(SECOND, 1)
    ledger = ledger_with(a, b)
    terms = n.NettingTerms(agreement_id=AGREEMENT.id, invoice_ids=tuple(sorted((a.id, b.id))))
    propose = Propose(act=act_of("netting_terms", terms), valid_for_ms=VALID_FOR_MS)
    ledger.run("propose", propose, sender=ledger.sender("alpha", "finance"))
    assert not ledger.all(NETTING)
    assert {one.status for one in ledger.all(INVOICE)} == {InvoiceStatus.FINAL}
    with pytest.raises(RoleMissing):
        ledger.run("propose", propose, sender=ledger.sender("acme", "s_bus"))
    with pytest.raises(PositionWrong):
        ledger.run("propose", propose, sender=ledger.sender("north", "finance"))


def test_netting_puts_no_debt_off():
    soon = owed(FIRST, 700)
    later = replace(owed(FIRST, 800), due_at_ms=DUE_MS + 5_000)
    other = replace(owed(SECOND, 1), due_at_ms=DUE_MS - 5_000)
    _, netting = netted(soon, later, other)
    assert netting.due_at_ms == DUE_MS


def test_a_net_unpaid_after_its_due_date_is_flagged_once():
    ledger, netting = netted(owed(FIRST, 2), owed(SECOND, 1))
    ledger.advance(DUE_MS)
    assert not ledger.the(NETTING).overdue
    ledger.advance(DUE_MS + 1)
    assert ledger.the(NETTING) == replace(netting, overdue=True)
    ledger.advance(DUE_MS + 2)
    assert ledger.event_names().count("netting.overdue") == 1
    assert not any(one.overdue for one in ledger.all(INVOICE))


A, B = sorted((owed(FIRST, 20, "a"), owed(SECOND, 10, "b")), key=lambda one: one.id)
GOOD = {"agreement": AGREEMENT, "agreement_id": AGREEMENT.id, "first": A, "second": B, "ids": (A.id, B.id)}
OF_ONE_PAYER = {"second": replace(B, buyer=A.buyer, seller=A.seller)}
DOLLARS = {"second": replace(B, settlement=Money(10, "USD"))}
REFUSALS = [  # in order of precedence, each one change away from GOOD
    (AgreementUnknown, {"agreement_id": "agr_none"}),
    (n.NettingNotAgreed, {"agreement": with_terms(netting=False)}),
    (n.NettingTooLong, {"ids": tuple(f"inv_{place:03}" for place in range(n.INVOICES_MAX + 1))}),
    (n.NettingListUnsorted, {"ids": (B.id, A.id)}),
    (n.NettedInvoiceUnknown, {"ids": ("inv_0", B.id)}),
    *((WrongStatus, {"first": replace(A, status=s)}) for s in InvoiceStatus if s != InvoiceStatus.FINAL),
    (CurrencyMismatch, DOLLARS),
    (n.NettingOneSided, OF_ONE_PAYER),
]


def attempt(case):
    ledger = ledger_with(case["first"], case["second"], agreement=case["agreement"])
    terms = n.NettingTerms(agreement_id=case["agreement_id"], invoice_ids=case["ids"])
    both = tuple(ledger.sender(name, "finance") for name in ("acme", "alpha"))
    propose = Propose(act=act_of("netting_terms", terms), valid_for_ms=VALID_FOR_MS)
    before = ledger.root()
    try:
        ledger.run("propose", propose, sender=both[0], signers=both)
    except Exception:
        assert ledger.root() == before
        raise
    return ledger


@pytest.mark.parametrize("first", range(len(REFUSALS)))
def test_invalid_netting_answers_with_the_first_failing_check(first):
    assert attempt(GOOD).the(NETTING).invoice_ids == (A.id, B.id)
    broken = dict(GOOD)
    for _, change in reversed(REFUSALS[first:]):
        broken |= change
    with pytest.raises(REFUSALS[first][0]):
        attempt(broken)


@pytest.mark.parametrize(
    ("refusal", "change"),
    [
        *REFUSALS,
        (n.NettingListUnsorted, {"ids": (A.id, A.id, B.id)}),
        (n.NettingOneSided, {"ids": (A.id,)}),
        (n.NettingOneSided, {"ids": ()}),
        (n.NettedInvoiceUnknown, {"first": replace(A, agreement_id="agr_other")}),
        (WrongStatus, {"second": replace(B, status=InvoiceStatus.NETTED)}),
    ],
)
def test_invalid_netting_is_refused_for_this_reason_alone(refusal, change):
    with pytest.raises(refusal):
        attempt(GOOD | change)


def test_invalid_netting_names_the_first_id_out_of_order():
    for ids, place in (((B.id, A.id), 1), ((A.id, B.id, B.id), 2)):
        with pytest.raises(n.NettingListUnsorted) as refused:
            attempt(GOOD | {"ids": ids})
        assert refused.value.field == f"invoice_ids[{place}]"


def test_an_invoice_is_netted_at_most_once():
    a, b, c = owed(FIRST, 2), owed(SECOND, 1), owed(SECOND, 3)
    ledger = ledger_with(a, b, c)
    ledger.net(a, b)
    with pytest.raises(WrongStatus):
        ledger.net(a, c)


def test_what_was_netted_while_another_list_waited_is_refused_there():
    a, b, c = owed(FIRST, 2), owed(SECOND, 1), owed(SECOND, 3)
    ledger = ledger_with(a, b, c)
    terms = n.NettingTerms(agreement_id=AGREEMENT.id, invoice_ids=tuple(sorted((a.id, c.id))))
    propose = Propose(act=act_of("netting_terms", terms), valid_for_ms=VALID_FOR_MS)
    ledger.run("propose", propose, sender=ledger.sender("alpha", "finance"))
    ledger.net(a, b)
    waiting = next(one for one in ledger.all(PROPOSAL) if one.status == "open")
    accept = AcceptProposal(proposal_id=waiting.id, act_sha256=waiting.act_sha256)
    with pytest.raises(WrongStatus):
        ledger.run("accept_proposal", accept, sender=ledger.sender("acme", "finance"))


def test_a_netting_takes_so_many_invoices_and_no_more():
    invoices = [owed(FIRST if place % 2 else SECOND, place + 1) for place in range(n.INVOICES_MAX)]
    ledger, netting = netted(*invoices)
    assert len(netting.invoice_ids) == n.INVOICES_MAX
    assert netting.net == eur(n.INVOICES_MAX // 2)
    ledger.confirm(ledger.claim(netting))
    assert {one.status for one in ledger.all(INVOICE)} == {InvoiceStatus.CLOSED}
    extra = owed(FIRST, n.INVOICES_MAX + 1)
    with pytest.raises(n.NettingTooLong):
        netted(*invoices, extra)


def test_a_netting_takes_so_many_lines_and_no_more():
    half = INVOICE_0.lines[:1] * (n.LINES_MAX // 2)
    a, b = replace(owed(FIRST, 2), lines=half), replace(owed(SECOND, 1), lines=half)
    assert netted(a, b)[1].net == eur(1)
    with pytest.raises(n.NettingTooLong):
        netted(a, b, owed(SECOND, 3))


def test_invalid_netting_of_more_than_an_amount_may_be():
    with pytest.raises(AmountOutOfRange):
        netted(owed(FIRST, MINOR_MAX), owed(FIRST, 1), owed(SECOND, 1))


def test_every_status_survives_the_ledgers_bytes():
    _, netting = netted(owed(FIRST, 2), owed(SECOND, 1))
    for status in NettingStatus:
        record = replace(netting, status=status, payment_id="pay_1", overdue=True)
        assert codec.decode(n.Netting, codec.encode(record)) == record
        assert "pay_1" in NETTING.terms(record).related
