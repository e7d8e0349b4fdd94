"""A bilateral ledger on which alpha sells to acme, and acme a little to alpha: what the tests of billing start from."""

from dataclasses import replace

from smartcontracts import agreement, delivery, invoice, netting, proposal, score, settlement, sla, usage
from smartcontracts.agreement import Agreement, AgreementStatus, AgreementTerms, PaymentForm, PriceType, SlaTarget
from smartcontracts.ids import derive_id
from smartcontracts.invoice import INVOICE, CompareInvoice, FinalInvoice, Invoice, IssueInvoice
from smartcontracts.money import NANO, Money, Rate, Rounding
from smartcontracts.netting import NETTING, NettingTerms
from smartcontracts.proposal import PROPOSAL, AcceptProposal, Propose, act_of
from smartcontracts.service import Service, ServiceItem, ServiceStatus, changed
from smartcontracts.settlement import PAYMENT, ClaimPayment, ConfirmPayment, DenyPayment
from smartcontracts.trade import Price
from smartcontracts.usage import USAGE, RecordUsage
from tests.smartcontracts.support import START_MS, MemoryLedger, org

PERIOD_MS = 20_000
MINUTE_MS = 60_000
PAYMENT_DUE_MS = 15_000
VALID_FOR_MS = 60_000
ACME, ALPHA = org("acme"), org("alpha")
PARTIES = tuple(sorted((ACME, ALPHA)))
THRESHOLD_MINOR = 50

CONTRACTS = (
    proposal.CONTRACT,
    agreement.CONTRACT,
    delivery.CONTRACT,
    usage.CONTRACT,
    invoice.CONTRACT,
    netting.CONTRACT,
    settlement.CONTRACT,
    sla.CONTRACT,
    score.CONTRACT,
)


def eur(minor):
    return Money(minor, "EUR")


def rate(euros_nano, currency="EUR"):
    return Rate(euros_nano, currency)


TERMS = AgreementTerms(
    name="pair",
    currency="EUR",
    rounding=Rounding.HALF_UP,
    response_window_ms=MINUTE_MS,
    response_window_min_ms=20_000,
    billing_period_ms=PERIOD_MS,
    payment_terms="1x1",
    payment_due_ms=PAYMENT_DUE_MS,
    payment_form=PaymentForm.FIAT,
    dispute_threshold_minor=THRESHOLD_MINOR,
    netting=True,
    sla_targets=(
        SlaTarget(
            seller=ALPHA,
            metric="availability",
            target_nano=999 * NANO // 10,
            unit="percent",
            measurement_unit_ms=1_000,
            higher_is_better=True,
        ),
        SlaTarget(seller=ALPHA, metric="delay", target_nano=20 * NANO, unit="ms", measurement_unit_ms=1_000),
    ),
)
AGREEMENT = Agreement(
    id=derive_id("agr", "pair"),
    status=AgreementStatus.ACTIVE,
    parties=PARTIES,
    terms=TERMS,
    terms_version=1,
    proposal_id=derive_id("prp", "pair"),
    in_force_from_ms=START_MS,
)

SETUP_FEE = Price(price_type=PriceType.NON_RECURRING, rate=rate(100 * NANO))
# 30 euros a minute: 10 euros for a whole period.
FEE = Price(price_type=PriceType.RECURRING, rate=rate(30 * NANO), period_ms=MINUTE_MS)
# 0.05 cent a GB.
PER_GB = Price(price_type=PriceType.USAGE_BASED, rate=rate(500_000), unit="GB")
ACTIVATED_MS = START_MS + 5_000


def service(name="epl", seller=ALPHA, activated_at_ms=ACTIVATED_MS, prices=(SETUP_FEE, FEE, PER_GB)):
    """A service in operation with one item, "1"."""
    return Service(
        id=derive_id("svc", name),
        order_id=derive_id("ord", name),
        quote_id=derive_id("quo", name),
        inquiry_id=derive_id("inq", name),
        buyer=ACME if seller == ALPHA else ALPHA,
        seller=seller,
        agreement_id=AGREEMENT.id,
        activated_at_ms=activated_at_ms,
        items=(ServiceItem(id="1", offering="epl", prices=prices),),
    )


SERVICE = service()
# As it is from its order's acceptance to its activation, and if that never comes.
UNDELIVERED = replace(SERVICE, status=ServiceStatus.IN_DELIVERY, activated_at_ms=0)
NEVER_DELIVERED = replace(UNDELIVERED, status=ServiceStatus.TERMINATED, terminated_at_ms=ACTIVATED_MS)


def ended(of, at_ms):
    """The service as a termination at `at_ms` leaves it."""
    return replace(of, status=ServiceStatus.TERMINATED, terminated_at_ms=at_ms)


def repriced(of, at_ms, *prices):
    """The service as a change of its one item's prices at `at_ms` leaves it."""
    (item,) = of.items
    return changed(of, (replace(item, prices=prices),), None, at_ms)


# What acme sells to alpha: 12 euros a period.
BACKHAUL = service(
    "backhaul",
    seller=ACME,
    activated_at_ms=START_MS,
    prices=(replace(FEE, rate=rate(36 * NANO)),),
)


def with_terms(**changes):
    return replace(AGREEMENT, terms=replace(TERMS, **changes))


class BillingLedger(MemoryLedger):
    """The ledger with the commands of this test's people, each named for what it is; they return the document."""

    @classmethod
    def with_documents(cls, *documents):
        ledger = cls.bilateral(*CONTRACTS)
        for document in documents or (AGREEMENT, SERVICE, BACKHAUL):
            ledger.write(document)
        return ledger

    def use(self, quantity_nano, until_ms, *, at=None, meter_record=None, **fields):
        """alpha's meter reports `quantity_nano` of GB that end at `until_ms`."""
        used = {"service_id": SERVICE.id, "item_id": "1", "unit": "GB", "from_ms": until_ms - 1_000} | fields
        command = RecordUsage(
            quantity_nano=quantity_nano,
            until_ms=until_ms,
            meter_record=meter_record or f"m{len(self.all(USAGE))}",
            **used,
        )
        return self.made(USAGE, self.run("record_usage", command, sender=self.sender("alpha", "s_bus"), at=at))

    def issue(self, seller="alpha", interval=0, *, at=None):
        """The seller invoices an interval; it has to be over."""
        at = max(self.time_ms + 1, START_MS + (interval + 1) * PERIOD_MS) if at is None else at
        command = IssueInvoice(agreement_id=AGREEMENT.id, interval=interval)
        outcome = self.run("issue_invoice", command, sender=self.sender(seller, "finance"), at=at)
        return self.made(INVOICE, outcome)

    def compare(self, issued, minor=None, *, at=None, sender=None):
        """The buyer gives its own figure; the invoice's total if none is given."""
        figure = issued.total if minor is None else eur(minor)
        command = CompareInvoice(invoice_id=issued.id, buyer_amount=figure)
        by = sender or self.sender(self.name(issued.buyer), "finance")
        return self.made(INVOICE, self.run("compare_invoice", command, sender=by, at=at))

    def finalize(self, compared, minor=None, *, at=None):
        """Both sign the amount: what was accepted, or else `minor`."""
        amount = compared.settlement if minor is None else eur(minor)
        self.together("final_invoice", FinalInvoice(invoice_id=compared.id, amount=amount), at=at)
        return self.the(INVOICE, compared.id)

    def final(self, seller="alpha", interval=0):
        """A final invoice, without any quarrel."""
        return self.finalize(self.compare(self.issue(seller, interval)))

    def net(self, *listed, at=None):
        """Both sign a netting of these invoices."""
        ids = tuple(sorted(one.id for one in listed))
        before = {one.id for one in self.all(NETTING)}
        self.together("netting_terms", NettingTerms(agreement_id=AGREEMENT.id, invoice_ids=ids), at=at)
        (new,) = (one for one in self.all(NETTING) if one.id not in before)
        return new

    def claim(self, debt, minor=None, *, at=None, sender=None, **fields):
        """The payer says it has paid; all that is owed, unless told otherwise."""
        kind = "invoice" if isinstance(debt, Invoice) else "netting"
        command = ClaimPayment(
            **{
                "pays": f"{kind}/{debt.id}",
                "amount": debt.owed if minor is None else eur(minor),
                "payment_form": PaymentForm.FIAT,
                "reference": "transfer 1",
            }
            | fields
        )
        by = sender or self.sender(self.name(debt.payer), "finance")
        return self.made(PAYMENT, self.run("claim_payment", command, sender=by, at=at))

    def confirm(self, payment, *, at=None):
        by = self.sender(self.name(payment.payee), "finance")
        return self.made(PAYMENT, self.run("confirm_payment", ConfirmPayment(payment_id=payment.id), sender=by, at=at))

    def deny(self, payment, *, at=None, reason="not seen"):
        by = self.sender(self.name(payment.payee), "finance")
        command = DenyPayment(payment_id=payment.id, reason=reason)
        return self.made(PAYMENT, self.run("deny_payment", command, sender=by, at=at))

    def together(self, act_name, command, *, at=None):
        """acme proposes and alpha accepts, in two transactions."""
        acme, alpha = self.sender("acme", "finance"), self.sender("alpha", "finance")
        known = {one.id for one in self.all(PROPOSAL)}
        proposed = Propose(act=act_of(act_name, command), valid_for_ms=VALID_FOR_MS)
        self.run("propose", proposed, sender=acme, at=at)
        (opened,) = (one for one in self.all(PROPOSAL) if one.id not in known)
        accepted = AcceptProposal(proposal_id=opened.id, act_sha256=opened.act_sha256)
        return self.run("accept_proposal", accepted, sender=alpha)

    def write_as(self, record):
        """Put a document into a state that no transition leads to from where it is."""
        self._documents[self.table.kind_of(record).name].pop(record.id, None)
        self.write(record)

    def made(self, kind, outcome):
        """The first document of a kind that an outcome writes."""
        return next(record for record in outcome.writes if isinstance(record, kind.record))

    def name(self, organization):
        return "acme" if organization == ACME else "alpha"
