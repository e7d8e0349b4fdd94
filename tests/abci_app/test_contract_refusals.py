"""Bad input that only a contract can judge: its own code, in simulation and in the receipt, and nothing left behind.

`support.nothing_left` compares the state's root before and after. A transaction that reached its contract is remembered
against replay, so its clock and its replay minute change; what those two stand beside has the root that it had.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from ledgers.transaction import Act
from smartcontracts import canonical_json as j
from smartcontracts import delivery as d
from smartcontracts import inquiry as i
from smartcontracts import order as o
from smartcontracts import quote as q
from smartcontracts import settlement as s
from smartcontracts import usage as u
from smartcontracts.agreement import PaymentForm
from smartcontracts.catalogue import OfferingUnknown, RequestStandingQuote
from smartcontracts.change import ChangeOutcome, ConsentMissing, EndChange, ProposeMaintenance, StartChange
from smartcontracts.delivery import FailOrder
from smartcontracts.invoice import CompareInvoice, FinalInvoice
from smartcontracts.kernel import Cause
from smartcontracts.lineage import ancestors_of
from smartcontracts.money import AmountOutOfRange, CurrencyMismatch, CurrencyUnknown, Money, Rate
from smartcontracts.order import ORDER, OrderItem, PlaceOrder
from smartcontracts.pricing import DiscountWrong
from smartcontracts.quote import IssueQuote, QuoteItem
from smartcontracts.service import SERVICE, ServiceTerminated, ServiceUnknown
from smartcontracts.trade import (
    Action,
    Change,
    ChangeAnswer,
    ChangeKind,
    ChangeMethod,
    ItemRelation,
    NotTheSeller,
    Outage,
    QuoteLevel,
    ReleaseMissing,
    WindowNotPositive,
)
from tests.abci_app.support import contracts_root, nothing_left, refused_alike
from tests.smartcontracts.trading import LINEAGE_KEY, SINGLE, once, recurring, usage
from tests.vectors.recording import PERIOD_MS, TERM_MINUTES, WINDOW_MS, BilateralLife
from tests.world import person

UNKNOWN = "x" * 20
BUDGETARY = QuoteLevel.BUDGETARY


class Life(BilateralLife):
    """A bilateral ledger with an agreement, a running service, an invoice, and quotes in every state."""

    def __init__(self):
        super().__init__()
        self._agreement()
        self.service = self._service("acme", "alpha")
        self.invoice = self._billed()
        # Windows are short: nothing below lets time pass but the last line.
        self.inquiry = self._ask("acme", "alpha")
        self.quote = self._quote("alpha", self._ask("acme", "alpha"))
        self.ordered = self._quote("alpha", self._ask("acme", "alpha"))
        self.placed = self._order("acme", self.ordered)
        self.answered = self._ask("acme", "alpha")
        self.unable = self._ask("acme", "alpha")
        self.ledger.do("alpha", "declare_unable", i.DeclareUnable(inquiry_id=self.unable, reason="NO_CAPACITY"))
        self.answered_quote = self._quote("alpha", self.answered)
        self.budgetary = self._budgetary()
        self._trades_that_go_on()
        hurried = self.ordering(self._quote("alpha", self._ask("acme", "alpha")), acceptance_window_ms=10_000)
        self.unanswered = self.ledger.made("acme", "place_order", hurried, "order")
        self.expired = self._quote("alpha", self._ask("acme", "alpha"), valid_ms=11_000)
        self.ledger.wait(11_001)

    def _trades_that_go_on(self):
        """An order in delivery, one that has failed, a service under change, and one that has ended."""
        self.delivering = self._accepted(
            self._quote("alpha", self._ask("acme", "alpha")), activation_window_ms=3_600_000
        )
        failed = self._accepted(self._quote("alpha", self._ask("acme", "alpha")))
        self.ledger.do("alpha", "fail_order", FailOrder(order_id=failed.id, reason="NO_FIBRE"))
        self.failed = failed.id
        self.terminated = self._service("acme", "alpha")
        self.activated = self.view.get(SERVICE, self.terminated).order_id
        self.second_change = self._change_quoted(self.service)
        self.change_of_ended = self._change_quoted(self.terminated)
        self._end_service(self.terminated)
        said = Change(service_id=self.service, kind=ChangeKind.PARAMETER)
        self.change = self._accepted(self._change_quoted(self.service), change=said, activation_window_ms=3_600_000)

    def _change_quoted(self, service):
        inquiry = self.ledger.made("acme", "submit_inquiry", self.changing(service), "inquiry")
        said = ChangeAnswer(outage=Outage.YES, outage_ms=1_000, method=ChangeMethod.PARALLEL_BUILD_COLD)
        return self.ledger.made("alpha", "issue_quote", self.answer(inquiry, change_answer=said), "quote")

    def _end_service(self, service):
        last = self._changing(service, ChangeKind.TERMINATION)
        named = {"change_id": last.change_id, "service_id": service}
        self.ledger.do("alpha", "start_change", StartChange(**named))
        self.ledger.do("alpha", "end_change", EndChange(**named, outcome=ChangeOutcome.DONE))

    def ordering_change(self, quote, service):
        return self.ordering(quote, change=Change(service_id=service, kind=ChangeKind.PARAMETER))

    def more_time(self, order, end_ms=None):
        end_ms = self.ledger.clock() + 60_000 if end_ms is None else end_ms
        return d.RequestExtension(order_id=order, activate_by_ms=end_ms, reason="DUCT_FULL")

    def _budgetary(self):
        ask = replace(self.asking(), level=BUDGETARY)
        inquiry = self.ledger.made("acme", "submit_inquiry", ask, "inquiry")
        return self.ledger.made("alpha", "issue_quote", self.answer(inquiry, level=BUDGETARY), "quote")

    def asking(self, **changes):
        command = i.SubmitInquiry(
            seller=self.alpha,
            agreement_id=self.agreement,
            level=QuoteLevel.FIRM,
            items=(SINGLE,),
            lineage_key=LINEAGE_KEY,
            ancestors=ancestors_of(LINEAGE_KEY, self.acme),
        )
        return replace(command, **changes)

    def product(self, text):
        return self.asking(items=(replace(SINGLE, product=text),))

    def answer(self, inquiry, **changes):
        prices = (once(100 * 10**9), recurring(30 * 10**9, period_ms=60_000), usage(500_000))
        command = IssueQuote(
            inquiry_id=inquiry,
            level=QuoteLevel.FIRM,
            valid_until_ms=self.ledger.clock() + 3_600_000,
            items=(QuoteItem(id=SINGLE.id, prices=prices),),
            one_time_total=Money(100_00, "EUR"),
            term_total=Money(100_00 + 30_00 * TERM_MINUTES, "EUR"),
        )
        return replace(command, **changes)

    def priced(self, rate, **price):
        prices = (replace(once(1), rate=rate, **price),)
        return self.answer(self.inquiry, items=(QuoteItem(id=SINGLE.id, prices=prices),))

    def related(self, edges):
        """An inquiry for the items a and b, with these relations between them."""
        relations = {item: tuple(ItemRelation(type="X", item_id=to) for at, to in edges if at == item) for item in "ab"}
        return self.asking(items=tuple(replace(SINGLE, id=item, relations=relations[item]) for item in "ab"))

    def below(self, above):
        """An inquiry that goes on from a request of `above`."""
        return self.asking(ancestors=ancestors_of(LINEAGE_KEY, self.acme, ancestors_of(LINEAGE_KEY, above)))

    def changing(self, service):
        change = Change(service_id=service, kind=ChangeKind.PARAMETER)
        return self.asking(items=(replace(SINGLE, action=Action.MODIFY),), change=change)

    def ordering(self, quote, **changes):
        command = PlaceOrder(quote_id=quote, acceptance_window_ms=WINDOW_MS, activation_window_ms=WINDOW_MS)
        return replace(command, **changes)

    def metered(self, quantity_nano):
        now_ms = self.ledger.clock()
        return u.RecordUsage(
            service_id=self.service,
            item_id=SINGLE.id,
            unit="GB",
            quantity_nano=quantity_nano,
            from_ms=now_ms - 5,
            until_ms=now_ms,
            meter_record="meter-1",
        )

    def claim(self, minor, currency="EUR"):
        return s.ClaimPayment(
            pays=f"invoice/{self.invoice}",
            amount=Money(minor, currency),
            payment_form=PaymentForm.STABLECOIN,
            reference="transfer-1",
        )

    def _billed(self):
        interval = self._interval()
        self.ledger.wait(PERIOD_MS)
        invoice, total = self._invoice("alpha", interval)
        self.ledger.do("acme", "compare_invoice", CompareInvoice(invoice_id=invoice, buyer_amount=total))
        self.ledger.agree("alpha", "acme", "final_invoice", FinalInvoice(invoice_id=invoice, amount=total))
        return invoice

    def simulated(self, who, name, command, cause=None):
        act = Act(name=name, command=command, cause=cause)
        return self.ledger.simulated([act], person(who).signer, person(who).key)

    def refuse(self, who, name, command, refusal, cause=None):
        """Refused in simulation and in a block, with nothing left behind."""
        assert self.simulated(who, name, command, cause).code == refusal.code
        with nothing_left(self.ledger.consensus):
            refused_alike(self.ledger.do(who, name, command, code=refusal.code, cause=cause), refusal)


@pytest.fixture(scope="module")
def life():
    return Life()


# Each: claim -> (who sends, message, command from the life, refusal).
ACME, ALPHA = "acme", "alpha"
REFUSALS = {
    "an order on an unknown quote": (ACME, "place_order", lambda w: w.ordering(UNKNOWN), q.QuoteUnknown),
    "an order on a foreign quote": (ALPHA, "place_order", lambda w: w.ordering(w.quote), o.QuoteForeign),
    "an order on an expired quote": (ACME, "place_order", lambda w: w.ordering(w.expired), q.QuoteExpired),
    "an order on a budgetary quote": (ACME, "place_order", lambda w: w.ordering(w.budgetary), o.QuoteNotOrderable),
    "an order on an ordered quote": (ACME, "place_order", lambda w: w.ordering(w.ordered), o.QuoteOrdered),
    "an order of what was not quoted": (
        ACME,
        "place_order",
        lambda w: w.ordering(
            w.quote,
            items=(
                OrderItem(
                    id=SINGLE.id,
                    action=SINGLE.action,
                    offering=SINGLE.offering,
                    product=SINGLE.product.replace(b"70", b"71"),
                    relations=SINGLE.relations,
                    term=SINGLE.term,
                ),
            ),
        ),
        o.QuoteMismatch,
    ),
    "an order with a window of zero": (
        ACME,
        "place_order",
        lambda w: w.ordering(w.quote, acceptance_window_ms=0),
        WindowNotPositive,
    ),
    "an order with an activation window of zero": (
        ACME,
        "place_order",
        lambda w: w.ordering(w.quote, activation_window_ms=0),
        WindowNotPositive,
    ),
    "an inquiry with a window below zero": (
        ACME,
        "submit_inquiry",
        lambda w: w.asking(response_window_ms=-1),
        WindowNotPositive,
    ),
    "an answer after 'unable to quote'": (ALPHA, "issue_quote", lambda w: w.answer(w.unable), i.InquiryAnswered),
    "'unable to quote' after an answer": (
        ALPHA,
        "declare_unable",
        lambda w: i.DeclareUnable(inquiry_id=w.answered, reason="NO_CAPACITY"),
        i.InquiryAnswered,
    ),
    "a second quote": (ALPHA, "issue_quote", lambda w: w.answer(w.answered), i.InquiryAnswered),
    "a negative price": (ALPHA, "issue_quote", lambda w: w.priced(Rate(-1, "EUR")), AmountOutOfRange),
    "a huge price": (ALPHA, "issue_quote", lambda w: w.priced(Rate(2**63 - 1, "EUR")), AmountOutOfRange),
    "a price in another currency": (ALPHA, "issue_quote", lambda w: w.priced(Rate(1, "USD")), CurrencyMismatch),
    "a price in no currency": (ALPHA, "issue_quote", lambda w: w.priced(Rate(1, "EU")), CurrencyUnknown),
    "a total that is not the sum": (
        ALPHA,
        "issue_quote",
        lambda w: w.answer(w.inquiry, one_time_total=Money(-(2**63), "EUR")),
        q.QuoteTotalWrong,
    ),
    "a payment below zero": (ACME, "claim_payment", lambda w: w.claim(-1), s.PaymentNegative),
    "a payment of zero": (ACME, "claim_payment", lambda w: w.claim(0), s.PaymentZero),
    "a huge payment": (ACME, "claim_payment", lambda w: w.claim(2**63 - 1), s.PaymentTooLarge),
    "a payment in another currency": (ACME, "claim_payment", lambda w: w.claim(1, "USD"), CurrencyMismatch),
    "usage below zero": (ALPHA, "record_usage", lambda w: w.metered(-1), u.QuantityNegative),
    "usage of zero": (ALPHA, "record_usage", lambda w: w.metered(0), u.QuantityZero),
    "huge usage": (ALPHA, "record_usage", lambda w: w.metered(2**63 - 1), u.QuantityTooLarge),
    "a quote whose discount is none of the agreement's": (
        ALPHA,
        "issue_quote",
        lambda w: w.priced(Rate(100 * 10**9, "EUR"), discount_id="loyal"),
        DiscountWrong,
    ),
    "a quote valid until a time in the past": (
        ALPHA,
        "issue_quote",
        lambda w: w.answer(w.inquiry, valid_until_ms=w.ledger.clock() - 1),
        q.QuoteValidityInvalid,
    ),
    "a quote with prices at items and in a bundle": (
        ALPHA,
        "issue_quote",
        lambda w: w.answer(w.inquiry, bundle=(once(10**9),)),
        q.QuoteFormWrong,
    ),
    "an answer by who was not asked": (ACME, "issue_quote", lambda w: w.answer(w.inquiry), NotTheSeller),
    "'unable to quote' by who was not asked": (
        ACME,
        "declare_unable",
        lambda w: i.DeclareUnable(inquiry_id=w.inquiry, reason="NO_CAPACITY"),
        NotTheSeller,
    ),
    "an element graph with a cycle": (
        ACME,
        "submit_inquiry",
        lambda w: w.related((("a", "b"), ("b", "a"))),
        i.RelationCycle,
    ),
    "an element graph with an unknown id": (
        ACME,
        "submit_inquiry",
        lambda w: w.related((("a", "c"),)),
        i.RelationUnknown,
    ),
    "an element graph with a doubled id": (
        ACME,
        "submit_inquiry",
        lambda w: w.asking(items=(SINGLE, SINGLE)),
        i.ItemIdDoubled,
    ),
    "a list of ancestors with the seller in it": (ACME, "submit_inquiry", lambda w: w.below(w.alpha), i.Loop),
    "a list of ancestors without the buyer at its end": (
        ACME,
        "submit_inquiry",
        lambda w: w.asking(ancestors=ancestors_of(LINEAGE_KEY, "org_other")),
        i.AncestorsInvalid,
    ),
    "a list of ancestors with doubles": (ACME, "submit_inquiry", lambda w: w.below(w.acme), i.AncestorsInvalid),
    "an inquiry without a lineage key": (
        ACME,
        "submit_inquiry",
        lambda w: w.asking(lineage_key=b""),
        i.LineageKeyInvalid,
    ),
    "an element that goes on without its lineage id": (
        ACME,
        "submit_inquiry",
        lambda w: w.below("org_above"),
        i.LineageMissing,
    ),
    "a change of an unknown service": (ACME, "submit_inquiry", lambda w: w.changing(UNKNOWN), ServiceUnknown),
    "a change of a service that does not say which": (
        ACME,
        "submit_inquiry",
        lambda w: w.asking(items=(replace(SINGLE, action=Action.MODIFY),)),
        i.ChangeMissing,
    ),
    "a standing quote of an unknown offering": (
        ACME,
        "request_standing_quote",
        lambda w: RequestStandingQuote(offering_id=UNKNOWN, items=(SINGLE,)),
        OfferingUnknown,
    ),
    "delivery information that overrides what was priced": (
        ACME,
        "place_order",
        lambda w: w.ordering(w.quote, delivery_info=b'{"cir":{"irValue":1000}}'),
        o.DeliveryInfoPriced,
    ),
    "an activation without an acceptance": (
        ALPHA,
        "activate_order",
        lambda w: d.ActivateOrder(order_id=w.placed),
        d.OrderNotAccepted,
    ),
    "an activation with a foreign element": (
        ALPHA,
        "activate_order",
        lambda w: d.ActivateOrder(order_id=w.delivering.id, element_ids=(UNKNOWN,)),
        d.ElementForeign,
    ),
    "an acceptance after its window": (
        ALPHA,
        "accept_order",
        lambda w: o.AcceptOrder(order_id=w.unanswered),
        o.AcceptanceWindowOver,
    ),
    "a second activation": (ALPHA, "activate_order", lambda w: d.ActivateOrder(order_id=w.activated), d.OrderActivated),
    "an extension of an order that has failed": (
        ALPHA,
        "request_extension",
        lambda w: w.more_time(w.failed),
        o.OrderEnded,
    ),
    "an extension of an order that was activated": (
        ALPHA,
        "request_extension",
        lambda w: w.more_time(w.activated),
        o.OrderEnded,
    ),
    "an extension to an end that is not later": (
        ALPHA,
        "request_extension",
        lambda w: w.more_time(w.delivering.id, w.delivering.activate_by_ms),
        d.ExtensionNotLater,
    ),
    "a gift of time to an end that is not later": (
        ACME,
        "extend_window",
        lambda w: d.ExtendWindow(order_id=w.delivering.id, activate_by_ms=w.delivering.activate_by_ms),
        d.ExtensionNotLater,
    ),
    "a change of a service that has ended": (
        ACME,
        "place_order",
        lambda w: w.ordering_change(w.change_of_ended, w.terminated),
        ServiceTerminated,
    ),
    "two changes at once of one service": (
        ACME,
        "place_order",
        lambda w: w.ordering_change(w.second_change, w.service),
        o.ChangePending,
    ),
    "an order of a change that does not say so": (
        ACME,
        "place_order",
        lambda w: w.ordering(w.second_change),
        o.ChangeMismatch,
    ),
    "an outage that nobody agreed to": (
        ALPHA,
        "start_change",
        lambda w: StartChange(change_id=w.change.change_id, service_id=w.service),
        ConsentMissing,
    ),
    "a change that is activated like an order": (
        ALPHA,
        "activate_order",
        lambda w: d.ActivateOrder(order_id=w.change.id),
        d.UseEndChange,
    ),
    "JSON with a key twice": (ACME, "submit_inquiry", lambda w: w.product(b'{"a":1,"a":1}'), j.JsonKeyDoubled),
    "JSON with 1e400": (ACME, "submit_inquiry", lambda w: w.product(b'{"a":1e400}'), j.JsonNumberInvalid),
    "JSON with a number that is none": (
        ACME,
        "submit_inquiry",
        lambda w: w.product(b'{"a":NaN}'),
        j.JsonNumberInvalid,
    ),
    "JSON of 100 levels": (ACME, "submit_inquiry", lambda w: w.product(b"[" * 100 + b"]" * 100), j.JsonTooDeep),
    "JSON with spaces": (ACME, "submit_inquiry", lambda w: w.product(b'{"a": 1}'), j.JsonNotCanonical),
    "no JSON": (ACME, "submit_inquiry", lambda w: w.product(b"{"), j.JsonMalformed),
}


@pytest.mark.parametrize(("who", "name", "make", "refusal"), REFUSALS.values(), ids=REFUSALS)
def test_invalid(life, who, name, make, refusal):
    life.refuse(who, name, make(life), refusal)


# What an agent lets out, with a command that a person could send as it is.
OUTWARD = {
    "submit_inquiry": (ACME, lambda w: w.asking()),
    "declare_unable": (ALPHA, lambda w: i.DeclareUnable(inquiry_id=w.inquiry, reason="NO_CAPACITY")),
    "issue_quote": (ALPHA, lambda w: w.answer(w.inquiry)),
    "place_order": (ACME, lambda w: w.ordering(w.quote)),
    "accept_order": (ALPHA, lambda w: o.AcceptOrder(order_id=w.placed)),
    "reject_order": (ALPHA, lambda w: o.RejectOrder(order_id=w.placed, reason="NO_CAPACITY")),
    "cancel_order": (ACME, lambda w: d.CancelOrder(order_id=w.placed, reason="NO_NEED")),
    "activate_order": (ALPHA, lambda w: d.ActivateOrder(order_id=w.delivering.id)),
    "fail_order": (ALPHA, lambda w: FailOrder(order_id=w.delivering.id, reason="NO_FIBRE")),
    "request_extension": (
        ALPHA,
        lambda w: w.more_time(w.delivering.id, w.delivering.activate_by_ms + 60_000),
    ),
    "extend_window": (
        ACME,
        lambda w: d.ExtendWindow(order_id=w.delivering.id, activate_by_ms=w.delivering.activate_by_ms + 60_000),
    ),
    "propose_maintenance": (
        ALPHA,
        lambda w: ProposeMaintenance(
            change_id=w.change.change_id,
            service_id=w.service,
            from_ms=w.ledger.clock() + 60_000,
            until_ms=w.ledger.clock() + 70_000,
        ),
    ),
}


@pytest.mark.parametrize(("name", "who", "make"), [(name, *rest) for name, rest in OUTWARD.items()], ids=OUTWARD)
def test_invalid_act_of_an_agent_without_its_release(life, name, who, make):
    """What a person may do so, an agent may not: every act of its own ledger's contracts is let out there."""
    command = make(life)
    assert life.simulated(who, name, command).code == 0
    cause = Cause(ledger_id=life.ledger.ledger_id, event_id="rel_1", purpose=name)
    life.refuse(who, name, command, ReleaseMissing, cause)


class Placed(BilateralLife):
    """An order waits for its seller's answer."""

    def __init__(self):
        super().__init__()
        self._agreement()
        self.order = self._order("acme", self._quote("alpha", self._ask("acme", "alpha")))

    @property
    def consensus(self):
        return self.ledger.consensus

    def accepted_at(self, ms):
        """The receipt of an acceptance in a block at this time, to the millisecond."""
        self.ledger.clock.now_ms = ms
        act = Act(name="accept_order", command=o.AcceptOrder(order_id=self.order))
        return self.ledger.send(self.ledger.body([act], person(ALPHA).signer), person(ALPHA).key)


def test_invalid_acceptance_one_millisecond_late():
    """In the last millisecond of its window it counts. In the next the order is rejected, by time alone."""
    in_time, late, unanswered = Placed(), Placed(), Placed()
    end_ms = in_time.view.get(ORDER, in_time.order).accept_by_ms
    assert in_time.accepted_at(end_ms).code == 0
    unanswered.ledger.wait(end_ms + 1 - unanswered.ledger.clock())
    rejected = contracts_root(unanswered.ledger.application)
    refused_alike(late.accepted_at(end_ms + 1), o.AcceptanceWindowOver)
    assert contracts_root(late.ledger.application) == rejected
    with nothing_left(late.consensus):
        late.accepted_at(end_ms + 2)
    for life in (late, unanswered):
        assert (life.view.get(ORDER, life.order).status, life.view.get(ORDER, life.order).reason) == (
            "rejected",
            "timeout",
        )
    assert in_time.view.get(ORDER, in_time.order).status == "accepted"


def test_the_orderable_quote_and_the_open_inquiry_were_good_all_along(life):
    """So each refusal above came of its one change."""
    life.ledger.do("alpha", "issue_quote", life.answer(life.inquiry))
    life.ledger.do("acme", "place_order", life.ordering(life.quote))
