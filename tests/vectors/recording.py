"""Records ledgers: a life of every contract on fake consensus, block by block, with the app hash after each.

A recording is committed beside this file, and every later version of the software must reproduce it
(docs/versions.md, rule 6). `scripts/record-ledgers` writes it; do so only with a new contracts version.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

from ledgers.kinds import BILATERAL, OMNI
from smartcontracts.agreement import AGREEMENT, AgreementTerms, PaymentForm, SlaTarget
from smartcontracts.catalogue import PublishOffering, RequestStandingQuote, WithdrawOffering
from smartcontracts.change import (
    AgreeMaintenance,
    ChangeOutcome,
    DeclineMaintenance,
    EndChange,
    HastenChange,
    ProposeMaintenance,
    StartChange,
)
from smartcontracts.delivery import (
    ActivateOrder,
    AnswerExtension,
    CancelOrder,
    ExtendWindow,
    FailOrder,
    RequestExtension,
)
from smartcontracts.inquiry import DeclareUnable, SubmitInquiry
from smartcontracts.invoice import INVOICE, CompareInvoice, FinalInvoice, IssueInvoice
from smartcontracts.kernel import Position, Role
from smartcontracts.lineage import ancestors_of
from smartcontracts.membership import (
    AddMember,
    AddMemberKey,
    AdmitOrganization,
    RemoveOrganization,
    RevokeMember,
    RevokeMemberKey,
    SetMemberRoles,
    SetNodeIds,
)
from smartcontracts.money import Money, Rounding
from smartcontracts.netting import NettingTerms
from smartcontracts.omni import PublishScore, RegisterLedger
from smartcontracts.order import ORDER, AcceptOrder, Order, PlaceOrder, RejectOrder
from smartcontracts.parameters import Parameters, ScheduleVersion, SetParameters
from smartcontracts.proposal import DeclineProposal, WithdrawProposal
from smartcontracts.quote import IssueQuote, QuoteItem, TakeLateQuote
from smartcontracts.settlement import ClaimPayment, ConfirmPayment, DenyPayment
from smartcontracts.sla import RecordPerformance
from smartcontracts.trade import Action, Change, ChangeAnswer, ChangeKind, ChangeMethod, Outage, QuoteLevel
from smartcontracts.usage import RecordUsage
from tests.smartcontracts.trading import LINEAGE_KEY, SINGLE, YEAR, once, product, recurring, usage
from tests.vectors.internal import InternalLife
from tests.vectors.recorder import Recorder, genesis_of_four
from tests.world import member, node_id, organization, person, signing_key

PERIOD_MS = 20_000
WINDOW_MS = 20_000
# Twelve calendar months of thirty days, in periods of a minute: docs/decisions/trade.md.
TERM_MINUTES = 12 * 30 * 24 * 60


def _terms(seller: str, other: str) -> AgreementTerms:
    return AgreementTerms(
        name="Recorded Agreement 1",
        currency="EUR",
        rounding=Rounding.HALF_EVEN,
        response_window_ms=WINDOW_MS,
        response_window_min_ms=10_000,
        billing_period_ms=PERIOD_MS,
        payment_terms="30x15",
        payment_due_ms=30_000,
        payment_form=PaymentForm.STABLECOIN,
        dispute_threshold_minor=10,
        netting=True,
        sla_targets=tuple(
            SlaTarget(
                seller=who,
                metric="availability",
                target_nano=999_000_000,
                unit="ratio",
                measurement_unit_ms=1_000,
                higher_is_better=True,
            )
            for who in sorted((seller, other))
        ),
    )


class BilateralLife:
    """acme buys from alpha and sells it a little: every message of a bilateral ledger, and some refusals."""

    def __init__(self) -> None:
        self.ledger = Recorder(genesis_of_four(BILATERAL))
        self.acme, self.alpha = person("acme").organization, person("alpha").organization

    def run(self) -> Recorder:
        self._members()
        self._agreement()
        self._refused_trades()
        self._catalogue()
        sold = self._service("acme", "alpha")
        bought = self._service("alpha", "acme")
        self._measure("alpha", sold)
        self._bill(sold, bought)
        self._deliveries()
        self._changes(sold)
        self._end()
        return self.ledger

    def _members(self) -> None:
        do = self.ledger.do
        clerk = person("acme/clerk")
        spare = signing_key("acme/spare").verify_key.encode()
        added = AddMember(public_key=clerk.public_key, roles=(Role.B_BUS,), valid_until_ms=0)
        assert self.ledger.made("acme", "add_member", added, "member") == clerk.member
        do("acme", "add_member_key", AddMemberKey(member_id=clerk.member, public_key=spare, valid_until_ms=0))
        do("acme", "revoke_member_key", RevokeMemberKey(member_id=clerk.member, public_key=spare))
        do("acme", "set_member_roles", SetMemberRoles(member_id=clerk.member, roles=(Role.AUDITOR,)))
        do("acme", "revoke_member", RevokeMember(member_id=clerk.member))
        do("south", "set_node_ids", SetNodeIds(node_ids=(node_id("south"), node_id("south/new"))))
        watcher = replace(organization("ofcom", Position.OBSERVER), validator_key=b"")
        admitted = AdmitOrganization(
            organization=watcher, members=(member("ofcom", (Role.ADMINISTRATOR, Role.OBSERVER)),)
        )
        self.ledger.agree("acme", "alpha", "admit_organization", admitted)

    def _agreement(self) -> None:
        terms = _terms(self.acme, self.alpha)
        declined, _ = self.ledger.propose("acme", "agreement_terms", terms)
        self.ledger.do("alpha", "decline_proposal", DeclineProposal(proposal_id=declined))
        withdrawn, _ = self.ledger.propose("acme", "agreement_terms", replace(terms, netting=False))
        self.ledger.do("acme", "withdraw_proposal", WithdrawProposal(proposal_id=withdrawn))
        self.ledger.propose("alpha", "agreement_terms", replace(terms, dispute_threshold_minor=99))
        self.ledger.wait(60_001)  # that one lapses
        done = self.ledger.agree("alpha", "acme", "agreement_terms", terms)
        self.agreement = next(d.id for d in done.documents if d.kind == "agreement")

    @property
    def view(self) -> Any:
        """The documents as they stand."""
        return self.ledger.consensus.applications["acme"].committed.view

    def _inquiry(self, buyer: str, seller: str) -> SubmitInquiry:
        """The inquiry for one port."""
        return SubmitInquiry(
            seller=person(seller).organization,
            agreement_id=self.agreement,
            level=QuoteLevel.FIRM,
            items=(SINGLE,),
            buyer_reference="ref-1",
            lineage_key=LINEAGE_KEY,
            ancestors=ancestors_of(LINEAGE_KEY, person(buyer).organization),
        )

    def _ask(self, buyer: str, seller: str) -> str:
        return self.ledger.made(buyer, "submit_inquiry", self._inquiry(buyer, seller), "inquiry")

    def _offer(self, inquiry: str, *, valid_ms: int = 3_600_000) -> IssueQuote:
        """The quote on that port."""
        fee = recurring(30 * 10**9, period_ms=60_000)
        return IssueQuote(
            inquiry_id=inquiry,
            level=QuoteLevel.FIRM,
            valid_until_ms=self.ledger.clock() + valid_ms,
            items=(QuoteItem(id=SINGLE.id, prices=(once(100 * 10**9), fee, usage(500_000))),),
            one_time_total=Money(100_00, "EUR"),
            term_total=Money(100_00 + 30_00 * TERM_MINUTES, "EUR"),
        )

    def _quote(self, seller: str, inquiry: str, *, valid_ms: int = 3_600_000) -> str:
        return self.ledger.made(seller, "issue_quote", self._offer(inquiry, valid_ms=valid_ms), "quote")

    def _purchase(self, quote: str, **more: Any) -> PlaceOrder:
        """The order of a quote."""
        command = PlaceOrder(quote_id=quote, acceptance_window_ms=WINDOW_MS, activation_window_ms=WINDOW_MS)
        return replace(command, **more)

    def _order(self, buyer: str, quote: str) -> str:
        return self.ledger.made(buyer, "place_order", self._purchase(quote), "order")

    def _refused_trades(self) -> None:
        do = self.ledger.do
        do("alpha", "declare_unable", DeclareUnable(inquiry_id=self._ask("acme", "alpha"), reason="NO_CAPACITY"))
        silent = self._ask("acme", "alpha")
        self.ledger.wait(WINDOW_MS + 1)  # deemed unable
        late = self._quote("alpha", silent)
        do("acme", "take_late_quote", TakeLateQuote(inquiry_id=silent, quote_id=late))
        do("alpha", "reject_order", RejectOrder(order_id=self._order("acme", late), reason="NO_CAPACITY"))
        self._quote("alpha", self._ask("acme", "alpha"), valid_ms=15_000)
        self.ledger.wait(15_001)  # expires
        unanswered = self._order("acme", self._quote("alpha", self._ask("acme", "alpha")))
        self.ledger.wait(WINDOW_MS + 1)  # rejected by time
        do("alpha", "accept_order", AcceptOrder(order_id=unanswered), code=3210)
        overdue = self._order("acme", self._quote("alpha", self._ask("acme", "alpha")))
        do("alpha", "accept_order", AcceptOrder(order_id=overdue))
        self.ledger.wait(WINDOW_MS + 1)
        do("alpha", "fail_order", FailOrder(order_id=overdue, reason="NO_FIBRE"))

    def _catalogue(self) -> None:
        offered = PublishOffering(
            agreement_id=self.agreement,
            offering=SINGLE.offering,
            product=product(SINGLE.offering),
            prices=(once(100 * 10**9), usage(500_000)),
            term=YEAR,
            quote_validity_ms=3_600_000,
        )
        self.ledger.made("alpha", "publish_offering", offered, "offering")
        newest = self.ledger.do("alpha", "publish_offering", replace(offered, description="A port")).documents
        offering = newest[-1].id
        asked = RequestStandingQuote(
            offering_id=offering,
            items=(SINGLE,),
            lineage_key=LINEAGE_KEY,
            ancestors=ancestors_of(LINEAGE_KEY, self.acme),
        )
        self.ledger.made("acme", "request_standing_quote", asked, "quote")
        self.ledger.do("alpha", "withdraw_offering", WithdrawOffering(offering_id=offering))

    def _service(self, buyer: str, seller: str) -> str:
        order = self._order(buyer, self._quote(seller, self._ask(buyer, seller)))
        self.ledger.do(seller, "accept_order", AcceptOrder(order_id=order))
        return self.ledger.made(seller, "activate_order", ActivateOrder(order_id=order), "service")

    def _accepted(self, quote: str, **more: Any) -> Order:
        """An order of acme's that alpha has accepted."""
        order = self.ledger.made("acme", "place_order", self._purchase(quote, **more), "order")
        self.ledger.do("alpha", "accept_order", AcceptOrder(order_id=order))
        return self.view.get(ORDER, order)

    def _deliveries(self) -> None:
        """An order that gets more time twice and is cancelled, and one whose seller asks in vain and gives up."""
        do = self.ledger.do
        order = self._accepted(self._quote("alpha", self._ask("acme", "alpha")), delivery_info=b'{"sVlanId":7}')
        more_ms = order.activate_by_ms + 5_000
        asked = RequestExtension(order_id=order.id, activate_by_ms=more_ms, reason="DUCT_FULL")
        do("alpha", "request_extension", asked)
        do("acme", "answer_extension", AnswerExtension(order_id=order.id, granted=True))
        do("acme", "extend_window", ExtendWindow(order_id=order.id, activate_by_ms=more_ms + 5_000, waive_penalty=True))
        do("acme", "cancel_order", CancelOrder(order_id=order.id, reason="NO_NEED"))
        late = self._accepted(self._quote("alpha", self._ask("acme", "alpha")), replaces=order.id)
        self.ledger.wait(WINDOW_MS + 1)  # overdue
        asked = RequestExtension(order_id=late.id, activate_by_ms=self.ledger.clock() + 15_000, reason="DUCT_FULL")
        do("alpha", "request_extension", asked)
        self.ledger.wait(15_001)  # no answer
        do("acme", "answer_extension", AnswerExtension(order_id=late.id, granted=True), code=3309)
        do("alpha", "fail_order", FailOrder(order_id=late.id, reason="DUCT_FULL"))

    def _changing(self, service: str, kind: ChangeKind, **more: Any) -> Order:
        """The accepted order of a change of alpha's service; all but a termination interrupt it."""
        ends = kind == ChangeKind.TERMINATION
        change = Change(service_id=service, kind=kind)
        item = replace(SINGLE, action=Action.DELETE if ends else Action.MODIFY)
        asked = replace(self._inquiry("acme", "alpha"), items=(item,), change=change)
        inquiry = self.ledger.made("acme", "submit_inquiry", asked, "inquiry")
        said = ChangeAnswer(outage=Outage.YES, outage_ms=1_000, method=ChangeMethod.PARALLEL_BUILD_HOT)
        offer = replace(self._offer(inquiry), change_answer=None if ends else said)
        return self._accepted(self.ledger.made("alpha", "issue_quote", offer, "quote"), change=change, **more)

    def _changes(self, service: str) -> None:
        """A relocation inside a window that is agreed on at the second try, and the end of the service."""
        do = self.ledger.do
        order = self._changing(service, ChangeKind.RELOCATION)
        named = {"change_id": order.change_id, "service_id": service}
        start_ms = self.ledger.clock() + 5_000
        window = {"from_ms": start_ms, "until_ms": start_ms + 2_000}
        do("alpha", "start_change", StartChange(**named), code=3413)
        do("alpha", "propose_maintenance", ProposeMaintenance(**named, **window))
        do("acme", "decline_maintenance", DeclineMaintenance(**named, reason="SHOP_OPEN"))
        do("acme", "propose_maintenance", ProposeMaintenance(**named, **window))
        do("alpha", "agree_maintenance", AgreeMaintenance(**named, **window))
        self.ledger.wait(5_001)  # due
        do("alpha", "start_change", StartChange(**named))
        do("alpha", "end_change", EndChange(**named, outcome=ChangeOutcome.DONE))
        later_ms = self.ledger.clock() + WINDOW_MS // 2
        last = self._changing(service, ChangeKind.TERMINATION, implement_at_ms=later_ms)
        named = {"change_id": last.change_id, "service_id": service}
        do("alpha", "start_change", StartChange(**named), code=3414)
        do("acme", "hasten_change", HastenChange(**named, implement_at_ms=0))
        do("alpha", "start_change", StartChange(**named))
        do("alpha", "end_change", EndChange(**named, outcome=ChangeOutcome.DONE))

    def _measure(self, seller: str, service: str) -> None:
        start = self.ledger.clock()
        for second, (actual, tenths) in enumerate(((999_500_000, 99), (998_000_000, 80), (999_900_000, 99))):
            self.ledger.wait(1_100)
            record = RecordPerformance(
                service_id=service,
                metric="availability",
                actual_nano=actual,
                from_ms=start + second * 1_000,
                until_ms=start + second * 1_000 + 1_000,
                performance_tenths=tenths,
            )
            self.ledger.do(seller, "record_performance", record)
        used = RecordUsage(
            service_id=service,
            item_id=SINGLE.id,
            unit="GB",
            quantity_nano=1_234_567_890_123,
            from_ms=start,
            until_ms=start + 2_000,
            meter_record="meter-1",
        )
        self.ledger.do(seller, "record_usage", used)

    def _invoice(self, seller: str, interval: int) -> tuple[str, Money]:
        command = IssueInvoice(agreement_id=self.agreement, interval=interval)
        invoice = self.ledger.made(seller, "issue_invoice", command, "invoice")
        return invoice, self._total(invoice)

    def _total(self, invoice: str) -> Money:
        committed = self.ledger.consensus.applications["acme"].committed
        return committed.view.get(INVOICE, invoice).total

    def _bill(self, sold: str, bought: str) -> None:
        do, interval = self.ledger.do, self._interval()
        self.ledger.wait(PERIOD_MS)
        mine, total = self._invoice("alpha", interval)
        other, other_total = self._invoice("acme", interval)
        do("acme", "compare_invoice", CompareInvoice(invoice_id=mine, buyer_amount=total))
        off = Money(other_total.minor - 11, "EUR")
        do("alpha", "compare_invoice", CompareInvoice(invoice_id=other, buyer_amount=off))
        self.ledger.agree("alpha", "acme", "final_invoice", FinalInvoice(invoice_id=mine, amount=total))
        self.ledger.agree("acme", "alpha", "final_invoice", FinalInvoice(invoice_id=other, amount=off))
        netted = NettingTerms(agreement_id=self.agreement, invoice_ids=tuple(sorted((mine, other))))
        done = self.ledger.agree("acme", "alpha", "netting_terms", netted)
        netting = next(d.id for d in done.documents if d.kind == "netting")
        net = Money(total.minor - off.minor, "EUR")
        claim = ClaimPayment(
            pays=f"netting/{netting}", amount=net, payment_form=PaymentForm.STABLECOIN, reference="transfer-1"
        )
        denied = self.ledger.made("acme", "claim_payment", claim, "payment")
        do("alpha", "deny_payment", DenyPayment(payment_id=denied, reason="not received"))
        self.ledger.wait(30_001)
        paid = self.ledger.made("acme", "claim_payment", replace(claim, reference="transfer-2"), "payment")
        do("alpha", "confirm_payment", ConfirmPayment(payment_id=paid))

    def _interval(self) -> int:
        start = self.view.get(AGREEMENT, self.agreement).in_force_from_ms
        return (self.ledger.clock() - start) // PERIOD_MS

    def _end(self) -> None:
        ofcom = organization("ofcom", Position.OBSERVER).id
        removed = RemoveOrganization(organization_id=ofcom)
        self.ledger.agree("alpha", "acme", "remove_organization", removed)
        wider = SetParameters(parameters=replace(Parameters(), items_max=50))
        self.ledger.agree("acme", "alpha", "set_parameters", wider)
        upgrade = ScheduleVersion(version=2, height=1_000_000)
        self.ledger.agree("alpha", "acme", "schedule_version", upgrade)
        self.ledger.agree("acme", "alpha", "schedule_version", ScheduleVersion(version=0, height=0))
        self.ledger.agree("acme", "alpha", "schedule_version", upgrade)


def omni_life() -> Recorder:
    """acme and alpha register their ledger and publish a score; a neutral's member list changes."""
    ledger = Recorder(genesis_of_four(OMNI))
    acme, alpha = person("acme").organization, person("alpha").organization
    bilateral = "sg_" + "b" * 32
    ledger.agree(
        "acme", "alpha", "register_ledger", RegisterLedger(ledger_id=bilateral, parties=tuple(sorted((acme, alpha))))
    )
    score = PublishScore(
        ledger_id=bilateral,
        seller=alpha,
        offering="port",
        tenths=89,
        count=132,
        text="8.9:132",
        height=7,
        app_hash=b"\x11" * 32,
    )
    ledger.agree("alpha", "acme", "publish_score", score)
    ledger.propose("alpha", "publish_score", replace(score, height=8))
    clerk = person("north/clerk")
    ledger.do("north", "add_member", AddMember(public_key=clerk.public_key, roles=(Role.AUDITOR,), valid_until_ms=0))
    ledger.wait(60_001)
    return ledger


# Every recorded ledger, by the name of its file.
RECORDERS: Final[dict[str, Callable[[], Recorder]]] = {
    "bilateral-1": lambda: BilateralLife().run(),
    "internal-1": lambda: InternalLife().run(),
    "omni-1": omni_life,
}
