"""Invoice: what a buyer owes a seller for one interval, computed by the contract, and how both come to agree on it.

The seller asks for it once the interval is over; the buyer's own figure accepts or disputes it by the agreement's
threshold; both together make it final. A disputed invoice stays so until both sign an amount. What is final never changes.
Req: B-02..B-05, B-12, B-13, B-15; S-04, S-07, S-10, S-12, S-13; docs/decisions/billing.md.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from smartcontracts import codec
from smartcontracts.agreement import Agreement, PaymentForm, agreement_of, other_party
from smartcontracts.interval import Interval, interval_numbered
from smartcontracts.kernel import (
    HANDLED_BYTES_MAX,
    ActType,
    Call,
    Contract,
    Deadline,
    Due,
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
from smartcontracts.money import MINOR_MAX, Money, Rounding, bounded, require_currency
from smartcontracts.rating import InvoiceLine, rate_interval
from smartcontracts.service import SERVICE, Service, billed_key, day_of, ended_key
from smartcontracts.usage import USAGE, USAGES_PER_INTERVAL_MAX, interval_key, invoiced

LINES_MAX: Final = 1_000
SERVICES_MAX: Final = 1_000
# Ended services of one day that are looked through for those that the interval concerns.
ENDED_A_DAY_MAX: Final = 10_000
MANUAL: Final = "manual"
_TAG: Final = b"syngraph/invoice/1\x00"


class InvoiceStatus(StrEnum):
    """Stored on the ledger: never rename a value."""

    ISSUED = "issued"
    ACCEPTED = "accepted"
    DISPUTED = "disputed"
    FINAL = "final"
    NETTED = "netted"
    PAYMENT_CLAIMED = "payment_claimed"
    CLOSED = "closed"


LIFECYCLE: Final = MappingProxyType(
    {
        (InvoiceStatus.ISSUED, "accept"): InvoiceStatus.ACCEPTED,
        (InvoiceStatus.ISSUED, "dispute"): InvoiceStatus.DISPUTED,
        (InvoiceStatus.ACCEPTED, "finalize"): InvoiceStatus.FINAL,
        (InvoiceStatus.DISPUTED, "finalize"): InvoiceStatus.FINAL,
        # Where nothing is owed, nothing is paid.
        (InvoiceStatus.ACCEPTED, "finalize_zero"): InvoiceStatus.CLOSED,
        (InvoiceStatus.DISPUTED, "finalize_zero"): InvoiceStatus.CLOSED,
        (InvoiceStatus.FINAL, "net"): InvoiceStatus.NETTED,
        (InvoiceStatus.FINAL, "net_to_zero"): InvoiceStatus.CLOSED,
        (InvoiceStatus.NETTED, "pay_net"): InvoiceStatus.CLOSED,
        (InvoiceStatus.FINAL, "claim"): InvoiceStatus.PAYMENT_CLAIMED,
        (InvoiceStatus.PAYMENT_CLAIMED, "deny"): InvoiceStatus.FINAL,
        (InvoiceStatus.PAYMENT_CLAIMED, "confirm"): InvoiceStatus.CLOSED,
        (InvoiceStatus.ISSUED, "overdue"): InvoiceStatus.ISSUED,
        (InvoiceStatus.ACCEPTED, "overdue"): InvoiceStatus.ACCEPTED,
        (InvoiceStatus.FINAL, "overdue"): InvoiceStatus.FINAL,
    }
)
# Where a due date counts. What is disputed is not due, what is netted is due with the netting, a claim waits for the payee.
DUE_IN: Final = (InvoiceStatus.ISSUED, InvoiceStatus.ACCEPTED, InvoiceStatus.FINAL)


class IntervalNotOver(Rejected):
    """The interval ends after ledger time."""

    code = 4101
    transient = True


class IntervalInvoiced(Rejected):
    """The seller has invoiced the interval already."""

    code = 4102
    grpc = Grpc.ALREADY_EXISTS


class TooManyServices(Rejected):
    """The seller has more services under the agreement in operation, or ended since the interval began, than one invoice takes."""

    code = 4103
    grpc = Grpc.RESOURCE_EXHAUSTED


class NothingToInvoice(Rejected):
    """The seller has nothing to charge for this interval."""

    code = 4104


class TooManyLines(Rejected):
    """The invoice would have more lines than allowed."""

    code = 4105
    grpc = Grpc.RESOURCE_EXHAUSTED


class InvoiceUnknown(Rejected):
    """The ledger has no invoice with this id."""

    code = 4106
    grpc = Grpc.NOT_FOUND


class NotTheInvoicedBuyer(Rejected):
    """Only the buyer of the invoice compares it."""

    code = 4107
    grpc = Grpc.PERMISSION_DENIED


class BuyerAmountNegative(Rejected):
    """The buyer's own figure is below zero."""

    code = 4108
    grpc = Grpc.INVALID_ARGUMENT


class BuyerAmountTooLarge(Rejected):
    """The buyer's own figure is over the bound for amounts."""

    code = 4109
    grpc = Grpc.INVALID_ARGUMENT


class AgreedAmountNegative(Rejected):
    """The amount to be made final is below zero."""

    code = 4110
    grpc = Grpc.INVALID_ARGUMENT


class AgreedAmountTooLarge(Rejected):
    """The amount to be made final is over the bound for amounts."""

    code = 4111
    grpc = Grpc.INVALID_ARGUMENT


class NotTheSettlementAmount(Rejected):
    """An accepted invoice becomes final with the amount that was accepted, and no other."""

    code = 4112


@dataclass(frozen=True, slots=True, kw_only=True)
class Invoice:
    """Document: `total` is the sum of the lines and stays; `settlement` is what both agreed on, once they have."""

    id: str
    agreement_id: str
    buyer: str
    seller: str
    interval_id: str
    interval: int
    from_ms: int
    until_ms: int
    lines: tuple[InvoiceLine, ...] = field(metadata={"list_max": LINES_MAX})
    total: Money
    rounding: Rounding
    payment_form: PaymentForm
    issued_at_ms: int
    due_at_ms: int
    issued_sha256: bytes = b""
    status: InvoiceStatus = InvoiceStatus.ISSUED
    buyer_amount: Money | None = None
    settlement: Money | None = None
    resolution: str = ""
    final_by: tuple[str, ...] = ()
    final_at_ms: int = 0
    netting_id: str = ""
    payment_id: str = ""
    overdue: bool = False

    @property
    def payer(self) -> str:
        """Who owes `settlement`."""
        return self.buyer

    @property
    def payee(self) -> str:
        """Whom it is owed to."""
        return self.seller

    @property
    def owed(self) -> Money:
        """The settlement amount of an invoice that has one."""
        if self.settlement is None:
            raise RuntimeError("An invoice that is final without a settlement amount.")
        return self.settlement


def _terms(invoice: Invoice) -> Terms:
    related = (invoice.agreement_id, invoice.interval_id, invoice.netting_id, invoice.payment_id)
    services = dict.fromkeys(line.service_id for line in invoice.lines)
    return Terms(
        status=invoice.status,
        party=(invoice.buyer, invoice.seller),
        service=tuple(services),
        related=tuple(id_ for id_ in related if id_),
    )


def _deadlines(invoice: Invoice) -> tuple[Deadline, ...]:
    if invoice.overdue or invoice.status not in DUE_IN:
        return ()
    return (Deadline(invoice.due_at_ms, "overdue"),)


def _fall_overdue(invoice: Invoice, _: Due) -> Outcome:
    """The due date has passed unpaid. Req: S-21."""
    status = step(LIFECYCLE, invoice.status, "overdue")
    late = replace(invoice, status=status, overdue=True)
    return Outcome(writes=(late,), events=(Event("invoice.overdue", late),))


INVOICE: Final = Kind(
    name="invoice",
    prefix="inv",
    record=Invoice,
    terms=_terms,
    deadlines=_deadlines,
    on_deadline=MappingProxyType({"overdue": _fall_overdue}),
    lifecycle=LIFECYCLE,
    filters=("status", "party", "service", "related"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class IssueInvoice:
    """Command of the seller: invoice the `interval`-th billing period, counted from 0."""

    agreement_id: str
    interval: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CompareInvoice:
    """Command of the buyer: what it should be by the buyer's own records."""

    invoice_id: str
    buyer_amount: Money


@dataclass(frozen=True, slots=True, kw_only=True)
class FinalInvoice:
    """Joint act of both: `amount` is owed, finally. For a disputed invoice it is the resolution."""

    invoice_id: str
    amount: Money


def issue_invoice(command: IssueInvoice, call: Call) -> Outcome:
    """Compute and load the sender's invoice for an interval; its event tells the buyer. Req: B-04, B-12, B-15.

    Rejects with the first of: AgreementUnknown, NotAParty, IntervalNotOver, IntervalInvoiced,
    TooManyServices, CurrencyMismatch, AmountOutOfRange, NothingToInvoice, TooManyLines.
    """
    agreement, interval = _interval_to_invoice(command, call)
    seller = call.sender.organization
    usages = call.view.find(USAGE, "keys", interval_key(interval.id, seller), USAGES_PER_INTERVAL_MAX)
    lines = rate_interval(
        _services(agreement, seller, interval, call),
        usages,
        interval,
        agreement.terms.currency,
        agreement.terms.rounding,
    )
    if not lines:
        raise NothingToInvoice("There was no service and no use in this interval.", "interval")
    if len(lines) > LINES_MAX:
        raise TooManyLines(f"An invoice may have at most {LINES_MAX} lines.", "interval")
    invoice = _invoice(agreement, interval, lines, call)
    return Outcome(
        writes=(invoice, _closed(interval, invoice), *(invoiced(u, invoice.id) for u in usages)),
        events=(Event("invoice.issued", invoice),),
    )


def compare_invoice(command: CompareInvoice, call: Call) -> Outcome:
    """Accept the invoice while the buyer's figure is within the threshold, dispute it above. Req: S-04, S-07, S-10.

    Rejects with the first of: InvoiceUnknown, NotTheInvoicedBuyer, WrongStatus, CurrencyUnknown, CurrencyMismatch,
    BuyerAmountNegative, BuyerAmountTooLarge.
    """
    invoice = _invoice_of(command.invoice_id, call)
    if call.sender.organization != invoice.buyer:
        raise NotTheInvoicedBuyer("Only the invoice's buyer compares it.", "signer")
    accepted = step(LIFECYCLE, invoice.status, "accept")
    figure = command.buyer_amount
    require_currency(figure.currency, invoice.total.currency, "buyer_amount.currency")
    if figure.minor < 0:
        raise BuyerAmountNegative("Nobody owes less than nothing.", "buyer_amount.minor")
    if figure.minor > MINOR_MAX:
        raise BuyerAmountTooLarge(f"At most {MINOR_MAX} minor units.", "buyer_amount.minor")
    # Deadlines of a crowded block may come later than this message.
    compared = replace(
        invoice,
        buyer_amount=figure,
        overdue=invoice.overdue or call.block.time_ms > invoice.due_at_ms,
    )
    # Equal to the threshold is not above it. Req: X-43.
    threshold_minor = agreement_of(call.view, invoice.agreement_id).terms.dispute_threshold_minor
    if abs(figure.minor - invoice.total.minor) <= threshold_minor:
        compared = replace(compared, status=accepted, settlement=invoice.total)
        return Outcome(writes=(compared,), events=(Event("invoice.accepted", compared),))
    compared = replace(compared, status=step(LIFECYCLE, invoice.status, "dispute"))
    return Outcome(writes=(compared,), events=(Event("invoice.disputed", compared),))


def final_invoice_parties(command: FinalInvoice, call: Call) -> tuple[str, ...]:
    """Buyer and seller, sorted. Rejects with InvoiceUnknown."""
    invoice = _invoice_of(command.invoice_id, call)
    return tuple(sorted((invoice.buyer, invoice.seller)))


def check_final_invoice(command: FinalInvoice, call: Call) -> None:
    """Rejects with the first of: InvoiceUnknown, WrongStatus, CurrencyUnknown, CurrencyMismatch, AgreedAmountNegative,
    AgreedAmountTooLarge, NotTheSettlementAmount. Req: S-12.
    """
    invoice = _invoice_of(command.invoice_id, call)
    step(LIFECYCLE, invoice.status, "finalize")
    amount = command.amount
    require_currency(amount.currency, invoice.total.currency, "amount.currency")
    if amount.minor < 0:
        raise AgreedAmountNegative("Nobody owes less than nothing.", "amount.minor")
    if amount.minor > MINOR_MAX:
        raise AgreedAmountTooLarge(f"At most {MINOR_MAX} minor units.", "amount.minor")
    if invoice.settlement is not None and amount != invoice.settlement:
        raise NotTheSettlementAmount(f"{invoice.settlement.minor} minor units were accepted.", "amount.minor")


def make_final(command: FinalInvoice, call: Call) -> Outcome:
    """The amount becomes binding on both. Rejects as `check_final_invoice`. Req: S-11, S-12, S-13."""
    check_final_invoice(command, call)
    invoice = _invoice_of(command.invoice_id, call)
    now_ms = call.block.time_ms
    disputed = invoice.status == InvoiceStatus.DISPUTED
    event = "finalize" if command.amount.minor else "finalize_zero"
    final = replace(
        invoice,
        status=step(LIFECYCLE, invoice.status, event),
        settlement=command.amount,
        resolution=MANUAL if disputed else "",
        final_by=tuple(sorted(call.accepted_by)),
        final_at_ms=now_ms,
        due_at_ms=_due_after_dispute(invoice, now_ms) if disputed else invoice.due_at_ms,
    )
    events = [Event("invoice.resolved", final)] if disputed else []
    events.append(Event("invoice.finalized", final))
    if not command.amount.minor:
        events.append(Event("invoice.closed", final))
    return Outcome(writes=(final,), events=tuple(events))


def issued_sha256(invoice: Invoice) -> bytes:
    """SHA-256 over a tag and the encoded invoice as it was issued, without this hash. Req: B-12, S-13."""
    return hashlib.sha256(_TAG + codec.encode(replace(invoice, issued_sha256=b""))).digest()


def _invoice_of(invoice_id: str, call: Call) -> Invoice:
    invoice = call.view.get(INVOICE, invoice_id)
    if invoice is None:
        raise InvoiceUnknown("No such invoice.", "invoice_id")
    return invoice


def _interval_to_invoice(command: IssueInvoice, call: Call) -> tuple[Agreement, Interval]:
    agreement = agreement_of(call.view, command.agreement_id)
    other_party(agreement, call.sender.organization)
    interval = interval_numbered(agreement, command.interval, call.view)
    if call.block.time_ms < interval.until_ms:
        raise IntervalNotOver(f"The interval ends at {interval.until_ms} ms.", "interval")
    earlier = interval.side(call.sender.organization).invoice_id
    if earlier:
        raise IntervalInvoiced("An interval is invoiced once.", "interval", existing_id=earlier)
    return agreement, interval


def _services(agreement: Agreement, seller: str, interval: Interval, call: Call) -> tuple[Service, ...]:
    """What may have something to be billed in the interval: in operation now, or ended since it began.

    Rejects with TooManyServices.
    """
    services = list(call.view.find(SERVICE, "keys", billed_key(agreement.id, seller), SERVICES_MAX + 1))
    for day in range(day_of(interval.from_ms), day_of(call.block.time_ms) + 1):
        if len(services) > SERVICES_MAX:
            break
        ended = call.view.find(SERVICE, "keys", ended_key(agreement.id, seller, day), ENDED_A_DAY_MAX + 1)
        if len(ended) > ENDED_A_DAY_MAX:
            raise TooManyServices(f"More than {ENDED_A_DAY_MAX} services ended on one day.", "interval")
        services.extend(service for service in ended if _concerns(service, interval))
    if len(services) > SERVICES_MAX:
        raise TooManyServices(f"One invoice takes at most {SERVICES_MAX} services.", "interval")
    return tuple(services)


def _concerns(service: Service, interval: Interval) -> bool:
    """Whether an ended service can cost anything in the interval; its end itself may cost something then."""
    began_ms = service.activated_at_ms or service.terminated_at_ms
    return began_ms < interval.until_ms and service.terminated_at_ms >= interval.from_ms


def _invoice(agreement: Agreement, interval: Interval, lines: tuple[InvoiceLine, ...], call: Call) -> Invoice:
    seller = call.sender.organization
    currency = agreement.terms.currency
    total = bounded(Money(sum(line.amount.minor for line in lines), currency), "interval")
    invoice = Invoice(
        id=call.new_id(INVOICE),
        agreement_id=agreement.id,
        buyer=other_party(agreement, seller),
        seller=seller,
        interval_id=interval.id,
        interval=interval.number,
        from_ms=interval.from_ms,
        until_ms=interval.until_ms,
        lines=lines,
        total=total,
        rounding=agreement.terms.rounding,
        payment_form=agreement.terms.payment_form,
        issued_at_ms=call.block.time_ms,
        due_at_ms=call.block.time_ms + agreement.terms.payment_due_ms,
    )
    return replace(invoice, issued_sha256=issued_sha256(invoice))


def _closed(interval: Interval, invoice: Invoice) -> Interval:
    return interval.with_side(replace(interval.side(invoice.seller), invoice_id=invoice.id))


def _due_after_dispute(invoice: Invoice, now_ms: int) -> int:
    """What was disputed in time is due one term of payment after it became final: before, nobody knew the amount."""
    if invoice.overdue:
        return invoice.due_at_ms
    return now_ms + invoice.due_at_ms - invoice.issued_at_ms


CONTRACT: Final = Contract(
    name="invoice",
    kinds=(INVOICE,),
    messages=(
        MessageType(
            name="issue_invoice",
            command=IssueInvoice,
            handler=issue_invoice,
            roles=(Role.FINANCE, Role.S_BUS),
            creates=INVOICE,
            # Measured with 900 lines and 1,000 usage records: 60 ms, and as much again to store them.
            gas=150_000,
            # All services of the interval: who sells many large ones must be able to invoice them.
            handled_bytes_max=8 * HANDLED_BYTES_MAX,
        ),
        MessageType(
            name="compare_invoice",
            command=CompareInvoice,
            handler=compare_invoice,
            roles=(Role.FINANCE,),
        ),
    ),
    acts=(
        ActType(
            name="final_invoice",
            command=FinalInvoice,
            required=final_invoice_parties,
            check=check_final_invoice,
            enact=make_final,
            roles=(Role.FINANCE,),
        ),
    ),
)
