"""Netting: the final invoices of both directions against each other, so that only the difference is paid.

Net = owed by the first party - owed by the second; above zero the first pays, below zero the second, and at zero nobody:
then all of it is closed. Both sign the list. Req: N-01..N-05, F-4; X-44, X-48; docs/decisions/billing.md.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import pairwise
from types import MappingProxyType
from typing import Final

from smartcontracts import invoice as invoices
from smartcontracts.agreement import Agreement, PaymentForm, agreement_of
from smartcontracts.invoice import INVOICE, Invoice
from smartcontracts.kernel import (
    ActType,
    Call,
    Contract,
    Deadline,
    Due,
    Event,
    Grpc,
    Kind,
    Outcome,
    Rejected,
    Role,
    Terms,
    step,
)
from smartcontracts.money import Money, bounded, require_currency

INVOICES_MAX: Final = 100
# Lines of all listed invoices together: netting reads and writes every one of them in one transaction.
LINES_MAX: Final = 2_000


class NettingStatus(StrEnum):
    """Stored on the ledger: never rename a value."""

    PAYMENT_DUE = "payment_due"
    PAYMENT_CLAIMED = "payment_claimed"
    CLOSED = "closed"


LIFECYCLE: Final = MappingProxyType(
    {
        (NettingStatus.PAYMENT_DUE, "claim"): NettingStatus.PAYMENT_CLAIMED,
        (NettingStatus.PAYMENT_CLAIMED, "deny"): NettingStatus.PAYMENT_DUE,
        (NettingStatus.PAYMENT_CLAIMED, "confirm"): NettingStatus.CLOSED,
        (NettingStatus.PAYMENT_DUE, "overdue"): NettingStatus.PAYMENT_DUE,
    }
)


class NettingNotAgreed(Rejected):
    """The agreement has no netting clause. Req: N-04."""

    code = 4201


class NettingListUnsorted(Rejected):
    """The invoices' ids are not sorted, or one stands twice."""

    code = 4202
    grpc = Grpc.INVALID_ARGUMENT


class NettedInvoiceUnknown(Rejected):
    """The agreement has no invoice with this id."""

    code = 4203
    grpc = Grpc.NOT_FOUND


class NettingOneSided(Rejected):
    """All invoices are owed by the same party: there is nothing to net."""

    code = 4204


class NettingTooLong(Rejected):
    """A netting lists more invoices, or invoices with more lines, than allowed."""

    code = 4205
    grpc = Grpc.INVALID_ARGUMENT


@dataclass(frozen=True, slots=True, kw_only=True)
class Netting:
    """Document: invoices of both directions, what each party owes, and who pays `net` to whom (nobody when it is zero).

    `parties` and all lists of ids are sorted; the two `owed_by` lists together are `invoice_ids`. Req: N-05.
    """

    id: str
    status: NettingStatus
    agreement_id: str
    invoice_ids: tuple[str, ...]
    parties: tuple[str, ...]
    owed_by_first_ids: tuple[str, ...]
    owed_by_second_ids: tuple[str, ...]
    owed_by_first: Money
    owed_by_second: Money
    net: Money
    payer: str
    payee: str
    payment_form: PaymentForm
    recorded_at_ms: int
    height: int
    due_at_ms: int
    payment_id: str = ""
    overdue: bool = False

    @property
    def owed(self) -> Money:
        """What the payer owes."""
        return self.net


def _terms(netting: Netting) -> Terms:
    related = (netting.agreement_id, *netting.invoice_ids, netting.payment_id)
    return Terms(
        status=netting.status,
        party=netting.parties,
        related=tuple(id_ for id_ in related if id_),
    )


def _deadlines(netting: Netting) -> tuple[Deadline, ...]:
    if netting.overdue or netting.status != NettingStatus.PAYMENT_DUE:
        return ()
    return (Deadline(netting.due_at_ms, "overdue"),)


def _fall_overdue(netting: Netting, _: Due) -> Outcome:
    """The due date has passed unpaid. Req: S-21."""
    late = replace(netting, status=step(LIFECYCLE, netting.status, "overdue"), overdue=True)
    return Outcome(writes=(late,), events=(Event("netting.overdue", late),))


NETTING: Final = Kind(
    name="netting",
    prefix="net",
    record=Netting,
    terms=_terms,
    deadlines=_deadlines,
    on_deadline=MappingProxyType({"overdue": _fall_overdue}),
    lifecycle=LIFECYCLE,
    filters=("status", "party", "related"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class NettingTerms:
    """Joint act of both parties: net exactly these invoices, sorted by id."""

    agreement_id: str
    invoice_ids: tuple[str, ...]


def netting_parties(command: NettingTerms, call: Call) -> tuple[str, ...]:
    """Both parties of the agreement. Rejects with AgreementUnknown."""
    return agreement_of(call.view, command.agreement_id).parties


def check_netting(command: NettingTerms, call: Call) -> None:
    """Rejects with the first of: AgreementUnknown, NettingNotAgreed, NettingTooLong, NettingListUnsorted; then for each invoice
    NettedInvoiceUnknown, WrongStatus, CurrencyMismatch, NettingTooLong; then NettingOneSided, AmountOutOfRange.
    """
    _sums(command, call)


def record_netting(command: NettingTerms, call: Call) -> Outcome:
    """Net the invoices: each is in one netting only, and only the difference is paid. Rejects as `check_netting`."""
    agreement, by_first, by_second = _sums(command, call)
    netting = _netting(agreement, by_first, by_second, call)
    if netting.status == NettingStatus.CLOSED:
        return _closed_at_once(netting, (*by_first, *by_second))
    netted = _each(netting, (*by_first, *by_second), "net")
    return Outcome(
        writes=(netting, *netted),
        events=(
            Event("netting.recorded", netting),
            *(Event("invoice.netted", invoice) for invoice in netted),
        ),
    )


def _sums(command: NettingTerms, call: Call) -> tuple[Agreement, tuple[Invoice, ...], tuple[Invoice, ...]]:
    """The agreement, and what the first and the second party owe."""
    agreement = agreement_of(call.view, command.agreement_id)
    if not agreement.terms.netting:
        raise NettingNotAgreed("The agreement has no netting clause.", "agreement_id")
    ids = command.invoice_ids
    if len(ids) > INVOICES_MAX:
        raise NettingTooLong(f"At most {INVOICES_MAX} invoices can be netted.", "invoice_ids")
    for place, (before, after) in enumerate(pairwise(ids)):
        if before >= after:
            raise NettingListUnsorted("Ids must be sorted, and none may stand twice.", f"invoice_ids[{place + 1}]")
    listed = _listed(ids, agreement, call)
    first, second = agreement.parties
    by_first = tuple(invoice for invoice in listed if invoice.payer == first)
    by_second = tuple(invoice for invoice in listed if invoice.payer == second)
    if not by_first or not by_second:
        raise NettingOneSided("List invoices of both directions.", "invoice_ids")
    for one_way in (by_first, by_second):
        _total(one_way, agreement.terms.currency)
    return agreement, by_first, by_second


def _listed(ids: tuple[str, ...], agreement: Agreement, call: Call) -> tuple[Invoice, ...]:
    """Rejects for each invoice as `_invoice`, and with NettingTooLong at the first that has a line too many."""
    listed: list[Invoice] = []
    lines = 0
    for place, invoice_id in enumerate(ids):
        listed.append(_invoice(place, invoice_id, agreement, call))
        lines += len(listed[-1].lines)
        if lines > LINES_MAX:
            raise NettingTooLong(f"All invoices together may have {LINES_MAX} lines.", f"invoice_ids[{place}]")
    return tuple(listed)


def _invoice(place: int, invoice_id: str, agreement: Agreement, call: Call) -> Invoice:
    """An invoice that may be netted. Rejects with NettedInvoiceUnknown, WrongStatus, CurrencyMismatch."""
    invoice = call.view.get(INVOICE, invoice_id)
    if invoice is None or invoice.agreement_id != agreement.id:
        raise NettedInvoiceUnknown("The agreement has no such invoice.", f"invoice_ids[{place}]")
    step(invoices.LIFECYCLE, invoice.status, "net")
    require_currency(invoice.owed.currency, agreement.terms.currency, f"invoice_ids[{place}].currency")
    return invoice


def _total(owed: Iterable[Invoice], currency: str) -> Money:
    return bounded(Money(sum(invoice.owed.minor for invoice in owed), currency), "invoice_ids")


def _netting(
    agreement: Agreement,
    by_first: tuple[Invoice, ...],
    by_second: tuple[Invoice, ...],
    call: Call,
) -> Netting:
    first, second = agreement.parties
    currency = agreement.terms.currency
    owed_by_first, owed_by_second = _total(by_first, currency), _total(by_second, currency)
    difference = owed_by_first.minor - owed_by_second.minor
    # Who owes more pays the difference; at zero nobody does. Req: N-02, N-03, X-44.
    payer, payee, paid_for = first, second, by_first
    if difference < 0:
        payer, payee, paid_for = second, first, by_second
    elif difference == 0:
        payer, payee = "", ""
    return Netting(
        id=call.new_id(NETTING),
        status=NettingStatus.PAYMENT_DUE if difference else NettingStatus.CLOSED,
        agreement_id=agreement.id,
        invoice_ids=tuple(sorted(invoice.id for invoice in (*by_first, *by_second))),
        parties=agreement.parties,
        owed_by_first_ids=tuple(invoice.id for invoice in by_first),
        owed_by_second_ids=tuple(invoice.id for invoice in by_second),
        owed_by_first=owed_by_first,
        owed_by_second=owed_by_second,
        net=Money(abs(difference), currency),
        payer=payer,
        payee=payee,
        payment_form=agreement.terms.payment_form,
        recorded_at_ms=call.block.time_ms,
        height=call.block.height,
        # Netting puts nothing off: the net is due with the first of the payer's own debts.
        due_at_ms=min(invoice.due_at_ms for invoice in paid_for),
    )


def _closed_at_once(netting: Netting, listed: tuple[Invoice, ...]) -> Outcome:
    closed = _each(netting, listed, "net_to_zero")
    return Outcome(
        writes=(netting, *closed),
        events=(
            Event("netting.recorded", netting),
            Event("netting.closed", netting),
            *(Event("invoice.closed", invoice) for invoice in closed),
        ),
    )


def _each(netting: Netting, listed: tuple[Invoice, ...], event: str) -> tuple[Invoice, ...]:
    """The invoices after `event`, sorted by id."""
    return tuple(
        replace(
            invoice,
            status=step(invoices.LIFECYCLE, invoice.status, event),
            netting_id=netting.id,
        )
        for invoice in sorted(listed, key=lambda one: one.id)
    )


CONTRACT: Final = Contract(
    name="netting",
    kinds=(NETTING,),
    acts=(
        ActType(
            name="netting_terms",
            command=NettingTerms,
            required=netting_parties,
            check=check_netting,
            enact=record_netting,
            roles=(Role.FINANCE,),
        ),
    ),
)
