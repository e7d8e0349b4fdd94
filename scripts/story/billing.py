"""Acts: a billing period with metered use, invoices in three directions, their acceptance, netting and payment."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from scripts.story.agreements import jointly
from scripts.story.meter import SEED, bursts
from scripts.story.scene import Seat, Stage
from scripts.story.telling import plain_money, plural, rate, require
from smartcontracts.agreement import Agreement, PriceType
from smartcontracts.interval import Interval, interval_id
from smartcontracts.invoice import CompareInvoice, FinalInvoice, Invoice, InvoiceStatus, IssueInvoice
from smartcontracts.kernel import Role
from smartcontracts.money import NANO, Money
from smartcontracts.netting import Netting, NettingStatus, NettingTerms
from smartcontracts.rating import InvoiceLine, rate_interval
from smartcontracts.service import Service
from smartcontracts.settlement import ClaimPayment, ConfirmPayment, Payment, PaymentStatus
from smartcontracts.usage import RecordUsage

ROUNDS: Final = 4
_ROUND_MS: Final = 4_300
_MARGIN_MS: Final = 700
# Use is reported a little after it ended, so that it never lies ahead of ledger time.
_REPORTED_AFTER_MS: Final = 150


@dataclass(frozen=True, slots=True)
class Sale:
    """One direction of trade on one ledger: who sells what to whom."""

    seller: Seat
    buyer: Seat
    agreement: Agreement
    services: tuple[Service, ...]


def period_of(agreement: Agreement, time_ms: int) -> int:
    """The number of the billing period in which a moment lies."""
    return (time_ms - agreement.in_force_from_ms) // agreement.terms.billing_period_ms


def period_end_ms(agreement: Agreement, number: int) -> int:
    """Where a billing period ends."""
    return agreement.in_force_from_ms + (number + 1) * agreement.terms.billing_period_ms


def next_start_ms(agreements: Sequence[Agreement], now_ms: int) -> int:
    """When the next billing period of each of the agreements has begun."""
    return max(period_end_ms(agreement, period_of(agreement, now_ms)) for agreement in agreements)


async def meter(stage: Stage, sales: Sequence[Sale], end_ms: int) -> None:
    """Record bursts of use on every service that has a price for it, until the period ends."""
    await asyncio.gather(*(_meter_one(stage, sale, end_ms) for sale in sales))


async def bill(stage: Stage, sale: Sale, number: int) -> Invoice:
    """Invoice a period, let the buyer compare it with its own figure, and make it final by both signatures."""
    await stage.until(period_end_ms(sale.agreement, number) + _MARGIN_MS)
    command = IssueInvoice(agreement_id=sale.agreement.id, interval=number)
    done = await sale.seller.act(Role.FINANCE, "issue_invoice", command)
    invoice: Invoice = await sale.seller.result(done, "invoice")
    _require_sum(invoice)
    stage.told(
        sale.seller, done, f"invoices {sale.buyer.name} for period {number}, {invoice.rounding.value}", f"invoice/{invoice.id}", invoice.total
    )
    _print_lines(stage, invoice)
    await _accept(stage, sale, invoice)
    final = FinalInvoice(invoice_id=invoice.id, amount=invoice.total)
    signed = await jointly(
        stage, sale.seller, sale.buyer, Role.FINANCE, "final_invoice", final, "the invoice as final", invoice.total
    )
    closed: Invoice = await sale.buyer.see("invoice", invoice.id, signed.receipt.height)
    require(len(closed.final_by) == 2, "two signatures on the final invoice", closed.final_by)
    stage.teller.note("invoices", _plain_invoice(sale, closed, signed.receipt.height))
    return closed


async def net(stage: Stage, sales: tuple[Sale, Sale], invoices: tuple[Invoice, Invoice]) -> Netting:
    """Net two opposite final invoices."""
    first, second = sales[0].seller, sales[0].buyer
    ids = tuple(sorted(invoice.id for invoice in invoices))
    terms = NettingTerms(agreement_id=sales[0].agreement.id, invoice_ids=ids)
    done = await jointly(stage, first, second, Role.FINANCE, "netting_terms", terms, "to net both invoices")
    netting: Netting = await second.result(done, "netting")
    owed = tuple(invoice.owed.minor for invoice in invoices)
    require(netting.net.minor == abs(owed[0] - owed[1]), f"a net of {abs(owed[0] - owed[1])} minor units", netting.net.minor)
    payer = stage.network.name_of(netting.payer) if netting.payer else "nobody"
    stage.teller.tell(f"the net is recorded; {payer} pays", ledger=first.ledger_name, height=netting.height, amount=netting.net)
    stage.teller.note(
        "nettings",
        {
            "ledger": first.ledger_name,
            "id": netting.id,
            "height": netting.height,
            "invoices": list(netting.invoice_ids),
            "owed": [plain_money(netting.owed_by_first), plain_money(netting.owed_by_second)],
            "net": plain_money(netting.net),
            "payer": payer,
        },
    )
    return netting


async def settle(stage: Stage, seats: Sequence[Seat], debt: Invoice | Netting) -> None:
    """The payer claims to have paid, the payee confirms. A net of nothing is closed already."""
    if not debt.payer:
        return
    by_id = {seat.id: seat for seat in seats}
    payer, payee = by_id[debt.payer], by_id[debt.payee]
    kind = "invoice" if isinstance(debt, Invoice) else "netting"
    claim = ClaimPayment(
        pays=f"{kind}/{debt.id}", amount=debt.owed, payment_form=debt.payment_form, reference=f"demo transfer {debt.id[4:10]}"
    )
    claimed = await payer.act(Role.FINANCE, "claim_payment", claim)
    payment: Payment = await payer.result(claimed, "payment")
    stage.told(payer, claimed, f"has paid the {kind} in {debt.payment_form.value}", f"payment/{payment.id}", debt.owed)
    await payee.see("payment", payment.id, claimed.receipt.height)
    confirmed = await payee.act(Role.FINANCE, "confirm_payment", ConfirmPayment(payment_id=payment.id))
    payment = await payee.see("payment", payment.id, confirmed.receipt.height)
    paid: Invoice | Netting = await payee.see(kind, debt.id, confirmed.receipt.height)
    require(payment.status == PaymentStatus.CONFIRMED, "a confirmed payment", payment.status)
    require(paid.status in (InvoiceStatus.CLOSED, NettingStatus.CLOSED), f"a closed {kind}", paid.status)
    stage.told(payee, confirmed, f"confirms; the {kind} is closed", f"{kind}/{debt.id}", debt.owed)
    stage.teller.note(
        "payments",
        {
            "ledger": payer.ledger_name,
            "id": payment.id,
            "pays": payment.pays,
            "amount": plain_money(payment.amount),
            "payer": payer.name,
            "payee": payee.name,
            "height": confirmed.receipt.height,
        },
    )


async def _meter_one(stage: Stage, sale: Sale, end_ms: int) -> None:
    metered = [
        (service, item.id, price.unit, bursts(f"{sale.seller.ledger_name}/{sale.seller.name}/{item.id}", ROUNDS))
        for service in sale.services
        for item in service.items
        for price in item.prices
        if price.price_type == PriceType.USAGE_BASED
    ]
    start_ms = end_ms - sale.agreement.terms.billing_period_ms + _MARGIN_MS
    from_ms = max(start_ms, *(service.activated_at_ms for service in sale.services))
    for number in range(ROUNDS if metered else 0):
        until_ms = min(from_ms + _ROUND_MS, end_ms - _MARGIN_MS)
        if until_ms <= from_ms:
            # What was activated late in the period has fewer bursts.
            return
        await stage.until(until_ms + _REPORTED_AFTER_MS)
        records = [
            RecordUsage(
                service_id=service.id,
                item_id=item_id,
                unit=unit,
                quantity_nano=quantities[number],
                from_ms=from_ms,
                until_ms=until_ms,
                meter_record=f"{SEED}-{item_id}-{number}"[:64],
            )
            for service, item_id, unit, quantities in metered
        ]
        done = await sale.seller.act(Role.S_BUS, "record_usage", *records)
        quantity = sum(record.quantity_nano for record in records)
        stage.told(
            sale.seller,
            done,
            f"meter (simulated, seed {SEED}): {plural(len(records), 'burst')}, {quantity / NANO:,.2f} {metered[0][2]}",
        )
        from_ms = until_ms


async def _accept(stage: Stage, sale: Sale, invoice: Invoice) -> None:
    """The buyer's own figure, from what its own node has."""
    await sale.buyer.see("invoice", invoice.id)
    figure = await _own_figure(sale, invoice)
    compare = CompareInvoice(invoice_id=invoice.id, buyer_amount=figure)
    done = await sale.buyer.act(Role.FINANCE, "compare_invoice", compare)
    compared: Invoice = await sale.buyer.see("invoice", invoice.id, done.receipt.height)
    require(compared.status == InvoiceStatus.ACCEPTED, "an accepted invoice", compared.status)
    stage.told(sale.buyer, done, "comes to the same by its own records, and accepts", f"invoice/{invoice.id}", figure)


async def _own_figure(sale: Sale, invoice: Invoice) -> Money:
    services = await sale.buyer.all("service", party=sale.seller.id)
    usages = await sale.buyer.all("usage", related=invoice.interval_id)
    terms = sale.agreement.terms
    interval = Interval(
        id=interval_id(sale.agreement.id, invoice.interval),
        agreement_id=sale.agreement.id,
        number=invoice.interval,
        from_ms=invoice.from_ms,
        until_ms=invoice.until_ms,
    )
    lines = rate_interval(
        [service for service in services if service.seller == sale.seller.id],
        [usage for usage in usages if usage.seller == sale.seller.id],
        interval,
        terms.currency,
        terms.rounding,
    )
    return Money(sum(line.amount.minor for line in lines), terms.currency)


def _require_sum(invoice: Invoice) -> None:
    total = sum(line.amount.minor for line in invoice.lines)
    require(invoice.lines and total == invoice.total.minor, f"lines that add up to {invoice.total.minor}", total)


def _print_lines(stage: Stage, invoice: Invoice) -> None:
    rows = [
        (line.number, line.item_id, line.rule, rate(line.rate), _quantity(line), _amount(line.amount), _remainder(line))
        for line in invoice.lines
    ]
    stage.teller.table(("line", "item", "rule", "rate", "x quantity", "amount", f"rounding ({invoice.rounding.value})"), rows)


def _quantity(line: InvoiceLine) -> str:
    quantity = Fraction(line.quantity_numerator, line.quantity_denominator)
    if line.price_type == PriceType.RECURRING:
        return f"{line.until_ms - line.from_ms} ms ({line.quantity_numerator}/{line.quantity_denominator})"
    return f"{float(quantity):,.2f} {line.unit}".rstrip() if line.unit else "1"


def _amount(amount: Money) -> str:
    return f"{amount.minor / 100:,.2f}"


def _remainder(line: InvoiceLine) -> str:
    """What the rounding gave or took, in cents."""
    exact = Fraction(line.rate.nano * line.quantity_numerator * 100, line.quantity_denominator * NANO)
    difference = line.amount.minor - exact
    return "exact" if difference == 0 else f"{float(difference):+.3f} cent"


def _plain_invoice(sale: Sale, invoice: Invoice, height: int) -> dict[str, object]:
    return {
        "ledger": sale.seller.ledger_name,
        "id": invoice.id,
        "seller": sale.seller.name,
        "buyer": sale.buyer.name,
        "period": invoice.interval,
        "total": plain_money(invoice.total),
        "rounding": invoice.rounding.value,
        "final_at_height": height,
        "signers": list(invoice.final_by),
        "issued_sha256": invoice.issued_sha256.hex(),
        "lines": [
            {
                "number": line.number,
                "service": line.service_id,
                "item": line.item_id,
                "rule": line.rule,
                "rate_nano": line.rate.nano,
                "quantity": [line.quantity_numerator, line.quantity_denominator],
                "unit": line.unit,
                "amount": plain_money(line.amount),
            }
            for line in invoice.lines
        ],
    }
