"""From the real trade to the money: what was quoted and activated is what is billed, agreed, paid and measured."""

from ledgers.kinds import BILATERAL, contract_table
from smartcontracts.delivery import ActivateOrder
from smartcontracts.invoice import INVOICE, CompareInvoice, FinalInvoice, IssueInvoice
from smartcontracts.money import NANO, Money
from smartcontracts.proposal import Propose, act_of
from smartcontracts.score import SCORE
from smartcontracts.service import SERVICE
from smartcontracts.settlement import PAYMENT, ClaimPayment, ConfirmPayment
from smartcontracts.sla import RecordPerformance
from smartcontracts.usage import RecordUsage
from tests.smartcontracts.support import START_MS, MemoryLedger
from tests.smartcontracts.trading import AGREEMENT_ID, LABEL_MS, TERMS, accepted, agreement_record, sell, target

PERIOD_MS = TERMS.billing_period_ms
END_0 = START_MS + PERIOD_MS


def with_service():
    ledger = MemoryLedger.bilateral(*contract_table(BILATERAL, 1).contracts)
    ledger.write(agreement_record(sla_targets=(target(),)))
    order = accepted(ledger)
    return ledger, sell(ledger, "activate_order", ActivateOrder(order_id=order.id)).writes[0]


def test_a_quoted_ordered_activated_and_metered_service_is_billed_and_paid():
    ledger, service = with_service()
    used = RecordUsage(
        service_id=service.id,
        item_id="item-001",
        unit="GB",
        quantity_nano=4_000 * NANO,
        from_ms=service.activated_at_ms,
        until_ms=END_0,
        meter_record="m1",
    )
    sell(ledger, "record_usage", used, at=END_0)
    sell(ledger, "issue_invoice", IssueInvoice(agreement_id=AGREEMENT_ID, interval=0))
    invoice = ledger.the(INVOICE)
    # 100 + 10 + 10 once; 4,000 GB at 0.05 cent; and some seconds of 20 euros for thirty days, which round to 1 cent.
    assert 0 < 20_00 * (END_0 - service.activated_at_ms) < LABEL_MS["month"] * 2
    assert invoice.total == Money(
        122_00 + round_half_up(20_00 * (END_0 - service.activated_at_ms), LABEL_MS["month"]), "EUR"
    )
    acme, alpha = ledger.sender("acme", "finance"), ledger.sender("alpha", "finance")
    ledger.run("compare_invoice", CompareInvoice(invoice_id=invoice.id, buyer_amount=invoice.total), sender=acme)
    final = act_of("final_invoice", FinalInvoice(invoice_id=invoice.id, amount=invoice.total))
    ledger.run("propose", Propose(act=final, valid_for_ms=PERIOD_MS), sender=acme, signers=(acme, alpha))
    claim = ClaimPayment(
        pays=f"invoice/{invoice.id}", amount=invoice.total, payment_form=TERMS.payment_form, reference="r"
    )
    ledger.run("claim_payment", claim, sender=acme)
    ledger.run("confirm_payment", ConfirmPayment(payment_id=ledger.the(PAYMENT).id), sender=alpha)
    assert ledger.the(INVOICE).status == "closed"


def round_half_up(numerator, denominator):
    return (2 * numerator + denominator) // (2 * denominator)


def test_a_delivered_services_performance_makes_a_score_for_its_offering():
    ledger, service = with_service()
    measured = RecordPerformance(
        service_id=service.id,
        metric="availability",
        actual_nano=target().target_nano,
        from_ms=service.activated_at_ms,
        until_ms=service.activated_at_ms + 5_000,
        performance_tenths=99,
    )
    sell(ledger, "record_performance", measured, at=END_0)
    score = ledger.the(SCORE)
    assert score.offering == ledger.the(SERVICE).items[0].offering != ""
    assert score.text == "9.9:1"
