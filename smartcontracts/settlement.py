"""Settlement: a debt is paid once, in the agreed form, when the payer claims it and the payee confirms.

A debt is a final invoice or a netting. A denied claim leaves it open, and it may be claimed again.
Req: S-18, S-19, S-20, S-21; X-49; docs/decisions/billing.md.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum
from types import MappingProxyType
from typing import Final, NoReturn

from smartcontracts import invoice as invoices
from smartcontracts import netting as nettings
from smartcontracts.agreement import PaymentForm
from smartcontracts.invoice import INVOICE, Invoice
from smartcontracts.kernel import (
    Call,
    Contract,
    Event,
    Grpc,
    Kind,
    MessageType,
    Outcome,
    Rejected,
    Role,
    Terms,
    step,
)
from smartcontracts.money import MINOR_MAX, Money, require_currency
from smartcontracts.netting import NETTING, Netting

REFERENCE_CHARACTERS_MAX: Final = 128
REASON_CHARACTERS_MAX: Final = 256

Debt = Invoice | Netting


class PaymentStatus(StrEnum):
    """Stored on the ledger: never rename a value."""

    CLAIMED = "claimed"
    CONFIRMED = "confirmed"
    DENIED = "denied"


LIFECYCLE: Final = MappingProxyType(
    {
        (PaymentStatus.CLAIMED, "confirm"): PaymentStatus.CONFIRMED,
        (PaymentStatus.CLAIMED, "deny"): PaymentStatus.DENIED,
    }
)


class DebtUnknown(Rejected):
    """There is no invoice or netting of this name: "invoice/<id>" or "netting/<id>"."""

    code = 4301
    grpc = Grpc.NOT_FOUND


class NotThePayer(Rejected):
    """Only who owes the debt claims to have paid it."""

    code = 4302
    grpc = Grpc.PERMISSION_DENIED


class PaymentNegative(Rejected):
    """The amount paid is below zero."""

    code = 4303
    grpc = Grpc.INVALID_ARGUMENT


class PaymentZero(Rejected):
    """The amount paid is zero."""

    code = 4304
    grpc = Grpc.INVALID_ARGUMENT


class PaymentTooLarge(Rejected):
    """The amount paid is over the bound for amounts."""

    code = 4305
    grpc = Grpc.INVALID_ARGUMENT


class PaymentNotExact(Rejected):
    """The amount paid is not the amount owed. Req: S-18."""

    code = 4306


class PaymentFormDiffers(Rejected):
    """The payment has another form than the agreed one. Req: S-20."""

    code = 4307


class ReferenceInvalid(Rejected):
    """The transfer's reference is missing or too long."""

    code = 4308
    grpc = Grpc.INVALID_ARGUMENT


class PaymentUnknown(Rejected):
    """The ledger has no payment with this id."""

    code = 4309
    grpc = Grpc.NOT_FOUND


class NotThePayee(Rejected):
    """Only who the payment goes to confirms or denies it."""

    code = 4310
    grpc = Grpc.PERMISSION_DENIED


@dataclass(frozen=True, slots=True, kw_only=True)
class Payment:
    """Document: the payer's claim to have paid `pays`, and what the payee says to it. `late`: claimed after the due date."""

    id: str
    status: PaymentStatus
    pays: str
    payer: str
    payee: str
    amount: Money
    payment_form: PaymentForm
    reference: str
    claimed_at_ms: int
    late: bool
    decided_at_ms: int = 0
    reason: str = ""


PAYMENT: Final = Kind(
    name="payment",
    prefix="pay",
    record=Payment,
    terms=lambda payment: Terms(
        status=payment.status,
        party=(payment.payer, payment.payee),
        related=(payment.pays.partition("/")[2],),
    ),
    lifecycle=LIFECYCLE,
    filters=("status", "party", "related"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimPayment:
    """Command of the payer: `amount` was transferred in `payment_form`, under `reference`."""

    pays: str
    amount: Money
    payment_form: PaymentForm
    reference: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfirmPayment:
    """Command of the payee: it has come."""

    payment_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DenyPayment:
    """Command of the payee: it has not come."""

    payment_id: str
    reason: str = field(default="", metadata={"text_max": REASON_CHARACTERS_MAX})


def claim_payment(command: ClaimPayment, call: Call) -> Outcome:
    """The payer says that the debt is paid; from now on nothing else can be done with it until the payee answers.

    Rejects with the first of: DebtUnknown, NotThePayer, WrongStatus, CurrencyUnknown, CurrencyMismatch, PaymentNegative,
    PaymentZero, PaymentTooLarge, PaymentNotExact, PaymentFormDiffers, ReferenceInvalid.
    """
    debt = _debt(command.pays, call)
    if call.sender.organization != debt.payer:
        raise NotThePayer("Only who owes it claims to have paid it.", "signer")
    claimed = _stepped(debt, "claim")
    _require_exact(command.amount, debt.owed)
    if command.payment_form != debt.payment_form:
        raise PaymentFormDiffers(f"It was agreed to pay in {debt.payment_form}.", "payment_form")
    if not 1 <= len(command.reference) <= REFERENCE_CHARACTERS_MAX:
        raise ReferenceInvalid(f"The reference must have 1 to {REFERENCE_CHARACTERS_MAX} characters.", "reference")
    payment = Payment(
        id=call.new_id(PAYMENT),
        status=PaymentStatus.CLAIMED,
        pays=command.pays,
        payer=debt.payer,
        payee=debt.payee,
        amount=command.amount,
        payment_form=command.payment_form,
        reference=command.reference,
        claimed_at_ms=call.block.time_ms,
        late=call.block.time_ms > debt.due_at_ms,
    )
    return Outcome(
        writes=(payment, replace(claimed, payment_id=payment.id)),
        events=(Event("payment.claimed", payment),),
    )


def confirm_payment(command: ConfirmPayment, call: Call) -> Outcome:
    """The payee has the money: the debt is closed, and with a netting all that it nets.

    Rejects with the first of: PaymentUnknown, NotThePayee, WrongStatus.
    """
    payment = _answered(command.payment_id, "confirm", call)
    debt = _stepped(_debt(payment.pays, call), "confirm")
    event = "invoice.closed" if isinstance(debt, Invoice) else "netting.closed"
    netted = () if isinstance(debt, Invoice) else _paid_by_net(debt, call)
    return Outcome(
        writes=(payment, debt, *netted),
        events=(
            Event("payment.confirmed", payment),
            Event(event, debt),
            *(Event("invoice.closed", invoice) for invoice in netted),
        ),
    )


def deny_payment(command: DenyPayment, call: Call) -> Outcome:
    """The payee has no money: the debt is open again, with its due date. Rejects as `confirm_payment`."""
    payment = replace(_answered(command.payment_id, "deny", call), reason=command.reason)
    debt = replace(_stepped(_debt(payment.pays, call), "deny"), payment_id="")
    return Outcome(writes=(payment, debt), events=(Event("payment.denied", payment),))


def _debt(pays: str, call: Call) -> Debt:
    kind, _, id_ = pays.partition("/")
    debt: Debt | None = None
    if kind == INVOICE.name:
        debt = call.view.get(INVOICE, id_)
    elif kind == NETTING.name:
        debt = call.view.get(NETTING, id_)
    if debt is None:
        raise DebtUnknown('Name an invoice or a netting, as "invoice/<id>".', "pays")
    return debt


def _stepped(debt: Debt, event: str) -> Debt:
    """The debt after `event`. Rejects with WrongStatus: a paid, netted or not yet final invoice takes no payment."""
    if isinstance(debt, Invoice):
        return replace(debt, status=step(invoices.LIFECYCLE, debt.status, event))
    return replace(debt, status=step(nettings.LIFECYCLE, debt.status, event))


def _require_exact(amount: Money, owed: Money) -> None:
    """Req: S-18. No part payments, no overpayments."""
    require_currency(amount.currency, owed.currency, "amount.currency")
    if amount.minor < 0:
        raise PaymentNegative("A payment can't be negative.", "amount.minor")
    if amount.minor == 0:
        raise PaymentZero("A payment of nothing is none.", "amount.minor")
    if amount.minor > MINOR_MAX:
        raise PaymentTooLarge(f"At most {MINOR_MAX} minor units.", "amount.minor")
    if amount != owed:
        raise PaymentNotExact(f"{owed.minor} minor units are owed.", "amount.minor")


def _answered(payment_id: str, event: str, call: Call) -> Payment:
    payment = call.view.get(PAYMENT, payment_id)
    if payment is None:
        raise PaymentUnknown("No such payment.", "payment_id")
    if call.sender.organization != payment.payee:
        raise NotThePayee("Only who it goes to answers a payment.", "signer")
    status = step(LIFECYCLE, payment.status, event)
    return replace(payment, status=status, decided_at_ms=call.block.time_ms)


def _paid_by_net(netting: Netting, call: Call) -> tuple[Invoice, ...]:
    """The invoices that the netting lists, closed."""
    closed = []
    for invoice_id in netting.invoice_ids:
        invoice = call.view.get(INVOICE, invoice_id) or _lost(invoice_id)
        status = step(invoices.LIFECYCLE, invoice.status, "pay_net")
        closed.append(replace(invoice, status=status))
    return tuple(closed)


def _lost(invoice_id: str) -> NoReturn:
    raise RuntimeError(f"A netting lists {invoice_id}, which is not on the ledger.")


CONTRACT: Final = Contract(
    name="settlement",
    kinds=(PAYMENT,),
    messages=(
        MessageType(
            name="claim_payment",
            command=ClaimPayment,
            handler=claim_payment,
            roles=(Role.FINANCE,),
            creates=PAYMENT,
        ),
        MessageType(
            name="confirm_payment",
            command=ConfirmPayment,
            handler=confirm_payment,
            roles=(Role.FINANCE,),
            # A netting closes up to a hundred invoices, with two thousand lines.
            gas=100_000,
        ),
        MessageType(name="deny_payment", command=DenyPayment, handler=deny_payment, roles=(Role.FINANCE,)),
    ),
)
