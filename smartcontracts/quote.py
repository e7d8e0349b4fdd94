"""Quote: a seller's priced answer to an inquiry, valid until a time, that its buyer may turn into an order once.

Q-06 one answer; Q-07 in the window or late; Q-32 a late one counts only when the buyer takes it; Q-40 its items are priced, or
all in one; Q-43 with the agreement's discounts; Q-47 it has an id; Q-48 and its group's; Q-49 and a validity; C-05, C-08 on a
change it says how that is made; O-05 a new one on a changed request supersedes the old one. A budgetary quote is an
estimate: it can't be ordered.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from smartcontracts.agreement import AgreementTerms, agreement_of
from smartcontracts.canonical_json import require_canonical
from smartcontracts.inquiry import (
    INQUIRY,
    Inquiry,
    InquiryStatus,
    count_answer,
    deemed_status,
    is_in_window,
    require_answerable,
    require_inquiry,
)
from smartcontracts.inquiry import LIFECYCLE as INQUIRY_LIFECYCLE
from smartcontracts.kernel import (
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
    View,
    step,
)
from smartcontracts.money import Money, Rounding, require_currency
from smartcontracts.pricing import at_list_rate, require_charges, sums
from smartcontracts.trade import (
    HASH_BYTES,
    PRICES_MAX,
    RELEASES_MAX,
    Change,
    ChangeAnswer,
    ChangeKind,
    NotTheBuyer,
    Outage,
    Price,
    QuoteForm,
    QuoteLevel,
    SaltedHash,
    Term,
    require_impersonal,
    require_impersonal_text,
    require_release,
    require_time,
    require_withheld,
    words,
)

VALIDITY_ENDS: Final = "validity_ends"
PERFORMANCE_BYTES_MAX: Final = 4_096


class QuoteStatus(StrEnum):
    """Stored on the ledger: never rename a value."""

    ISSUED = "issued"
    ORDERED = "ordered"
    EXPIRED = "expired"
    SUPERSEDED = "superseded"


LIFECYCLE: Final = MappingProxyType(
    {
        (QuoteStatus.ISSUED, "take"): QuoteStatus.ISSUED,
        (QuoteStatus.ISSUED, "order"): QuoteStatus.ORDERED,
        (QuoteStatus.ISSUED, "validity_ends"): QuoteStatus.EXPIRED,
        (QuoteStatus.ISSUED, "supersede"): QuoteStatus.SUPERSEDED,
    }
)


class QuoteValidityInvalid(Rejected):
    """A quote's validity is missing, not in the future, or longer than the ledger's longest window (Q-49)."""

    code = 3101
    grpc = Grpc.INVALID_ARGUMENT


class QuoteItemsWrong(Rejected):
    """A quote does not have exactly one item for each item of its inquiry."""

    code = 3102
    grpc = Grpc.INVALID_ARGUMENT


class QuoteLevelWrong(Rejected):
    """The level is not the one that the items' feasibility flags give."""

    code = 3103
    grpc = Grpc.INVALID_ARGUMENT


class QuoteTotalWrong(Rejected):
    """A total that the seller states is not what the prices and terms add up to."""

    code = 3108
    grpc = Grpc.INVALID_ARGUMENT


class QuoteUnknown(Rejected):
    """There is no such quote."""

    code = 3109
    grpc = Grpc.NOT_FOUND


class QuoteExpired(Rejected):
    """Ledger time is past the quote's last valid millisecond (O-11)."""

    code = 3110


class QuoteNotLate(Rejected):
    """The inquiry has no late quote of this id that waits to be taken (Q-32)."""

    code = 3111


class QuoteTaken(Rejected):
    """The buyer has taken this late quote already."""

    code = 3112


class QuoteFormWrong(Rejected):
    """The prices do not stand where the quote's form says, or a bundle's items have different terms (Q-40)."""

    code = 3113
    grpc = Grpc.INVALID_ARGUMENT


class PerformanceInvalid(Rejected):
    """An item's performance is not a JSON object that says something."""

    code = 3119
    grpc = Grpc.INVALID_ARGUMENT


class ChangeAnswerMissing(Rejected):
    """A quote on a change does not say whether and how long the service is interrupted (C-05, C-08)."""

    code = 3116
    grpc = Grpc.INVALID_ARGUMENT


class ChangeAnswerUnasked(Rejected):
    """A quote says how a change is made, and its inquiry is for none."""

    code = 3117
    grpc = Grpc.INVALID_ARGUMENT


class ChangeAnswerWrong(Rejected):
    """An outage has no length or one that is out of range, or there is a length without an outage (C-08)."""

    code = 3118
    grpc = Grpc.INVALID_ARGUMENT


@dataclass(frozen=True, slots=True, kw_only=True)
class QuoteItem:
    """The answer to the inquiry's item of the same id; in a bundle it has no prices of its own."""

    id: str
    prices: tuple[Price, ...] = field(metadata={"list_max": PRICES_MAX})
    subject_to_feasibility: bool = False
    installation_interval_ms: int = 0
    expedite: bool = False
    # Canonical JSON of the performance that is offered; empty is what was asked for or agreed.
    performance: bytes = field(default=b"", metadata={"bytes_max": PERFORMANCE_BYTES_MAX})


@dataclass(frozen=True, slots=True, kw_only=True)
class IssueQuote:
    """Answer an inquiry. The totals are the seller's word for what the contract computes again."""

    inquiry_id: str
    level: QuoteLevel
    valid_until_ms: int
    items: tuple[QuoteItem, ...]
    one_time_total: Money
    term_total: Money
    withheld: tuple[SaltedHash, ...] = ()
    seller_reference: str = ""
    form: QuoteForm = QuoteForm.ITEMISED
    bundle: tuple[Price, ...] = field(default=(), metadata={"list_max": PRICES_MAX})
    change_answer: ChangeAnswer | None = None
    release: bytes = field(default=b"", metadata={"bytes_max": HASH_BYTES})
    master_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TakeLateQuote:
    """The buyer lets a late quote count."""

    inquiry_id: str
    quote_id: str
    release: bytes = field(default=b"", metadata={"bytes_max": HASH_BYTES})


@dataclass(frozen=True, slots=True, kw_only=True)
class Quote:
    """A quote; `valid_until_ms` is its last valid millisecond, `term_total` its price over the whole term, `list_total` that
    without discounts.
    """

    id: str
    status: QuoteStatus = QuoteStatus.ISSUED
    inquiry_id: str
    buyer: str
    seller: str
    agreement_id: str
    level: QuoteLevel
    issued_at_ms: int
    valid_until_ms: int
    items: tuple[QuoteItem, ...]
    one_time_total: Money
    term_total: Money
    late: bool
    taken: bool = False
    order_id: str = ""
    seller_reference: str = ""
    withheld: tuple[SaltedHash, ...] = ()
    form: QuoteForm = QuoteForm.ITEMISED
    bundle: tuple[Price, ...] = field(default=(), metadata={"list_max": PRICES_MAX})
    change_answer: ChangeAnswer | None = None
    releases: tuple[bytes, ...] = field(default=(), metadata={"list_max": RELEASES_MAX})
    master_id: str = ""
    # What the term's total would be at list rates.
    list_total: Money
    # Set in a standing quote: the offering's document and version. Req: X-75.
    offering_id: str = ""
    offering_version: int = 0


def issue_quote(command: IssueQuote, call: Call) -> Outcome:
    """Record the answer; after the window it is recorded as late and changes nothing else.

    Req: Q-06, Q-07, Q-40, Q-43, Q-47, Q-48, Q-49, C-05, C-08.

    Rejects with the first of: InquiryUnknown, NotTheSeller, InquiryAnswered, QuoteValidityInvalid, QuoteItemsWrong,
    QuoteLevelWrong, TimeOutOfRange, what is wrong with an item's performance, QuoteFormWrong, PricesMissing,
    CurrencyUnknown, CurrencyMismatch, AmountOutOfRange, PriceFormWrong, PriceDoubled, PriceAboveAgreement,
    DiscountMissing, DiscountWrong, QuoteTotalWrong, ChangeAnswerMissing, ChangeAnswerUnasked, ChangeAnswerWrong,
    WithheldInvalid, PersonalData, ReleaseMissing, ReleaseInvalid.
    """
    inquiry = require_answerable(command.inquiry_id, call)
    now_ms = call.block.time_ms
    if not now_ms < command.valid_until_ms <= now_ms + call.parameters.window_max_ms:
        raise QuoteValidityInvalid(
            f"A quote is valid until a time in the future, at most {call.parameters.window_max_ms} ms ahead.",
            "valid_until_ms",
        )
    command = replace(command, items=_require_items(command, inquiry))
    terms = agreement_of(call.view, inquiry.agreement_id).terms
    _require_prices(command, inquiry, terms)
    _require_totals(command, inquiry, terms)
    _require_change_answer(command.change_answer, inquiry.change, call.parameters.window_max_ms)
    require_withheld(command.withheld)
    for name in ("seller_reference", "master_id"):
        require_impersonal_text(getattr(command, name), name)
    quote = replace(
        quote_of(command, inquiry, call, list_total(command, inquiry, terms)),
        releases=require_release(command.release, call),
    )
    return _late_answer(quote, inquiry, call) if quote.late else _answer(quote, inquiry, call)


def quote_of(command: IssueQuote, inquiry: Inquiry, call: Call, at_list: Money) -> Quote:
    """The quote that a command, found good, becomes; `at_list` is its total at list rates."""
    return Quote(
        id=call.new_id(QUOTE),
        inquiry_id=inquiry.id,
        buyer=inquiry.buyer,
        seller=inquiry.seller,
        agreement_id=inquiry.agreement_id,
        level=command.level,
        issued_at_ms=call.block.time_ms,
        valid_until_ms=command.valid_until_ms,
        items=command.items,
        one_time_total=command.one_time_total,
        term_total=command.term_total,
        list_total=at_list,
        late=not is_in_window(inquiry, call.block.time_ms),
        seller_reference=command.seller_reference,
        withheld=command.withheld,
        form=command.form,
        bundle=command.bundle,
        change_answer=command.change_answer,
        master_id=command.master_id or inquiry.master_id,
    )


def take_late_quote(command: TakeLateQuote, call: Call) -> Outcome:
    """Let a late quote count: from here on it is as good as one in time. Req: Q-32.

    Rejects with the first of: InquiryUnknown, NotTheBuyer, QuoteNotLate, QuoteTaken, QuoteExpired, ReleaseMissing,
    ReleaseInvalid, ReleasesFull.
    """
    inquiry = require_inquiry(command.inquiry_id, call.view)
    if call.sender.organization != inquiry.buyer:
        raise NotTheBuyer("Only the buyer that asked takes a late quote.", "signer")
    quote = call.view.get(QUOTE, command.quote_id)
    if quote is None or not inquiry.late_quote_id or quote.id != inquiry.late_quote_id:
        raise QuoteNotLate("The inquiry has no late quote with this id.", "quote_id")
    if quote.taken:
        raise QuoteTaken("This late quote was taken before.", "quote_id")
    require_valid(quote, call.block.time_ms)
    releases = require_release(command.release, call, quote.releases)
    taken = replace(quote, status=step(LIFECYCLE, quote.status, "take"), taken=True, releases=releases)
    answered = replace(inquiry, status=step(INQUIRY_LIFECYCLE, inquiry.status, "take_late_quote"), quote_id=quote.id)
    return Outcome(writes=(taken, answered), events=(Event("quote.taken", taken),)).then(
        _superseded(taken, inquiry, call.view)
    )


def expire(quote: Quote, _: Due) -> Outcome:
    """The validity has ended. Req: Q-49."""
    expired = replace(quote, status=step(LIFECYCLE, quote.status, "validity_ends"))
    return Outcome(writes=(expired,), events=(Event("quote.expired", expired),))


def require_quote(quote_id: str, view: View) -> Quote:
    """Rejects with QuoteUnknown."""
    quote = view.get(QUOTE, quote_id)
    if quote is None:
        raise QuoteUnknown("There is no quote with this id on this ledger.", "quote_id")
    return quote


def require_valid(quote: Quote, time_ms: int) -> None:
    """Rejects with QuoteExpired once ledger time is past the validity, whether its deadline has run or not. Req: O-11."""
    if quote.status == QuoteStatus.EXPIRED or time_ms > quote.valid_until_ms:
        raise QuoteExpired(f"The quote was valid until {quote.valid_until_ms}.", "quote_id")


def totals(
    items: tuple[QuoteItem, ...],
    inquiry: Inquiry,
    currency: str,
    rounding: Rounding,
    bundle: tuple[Price, ...] = (),
) -> tuple[Money, Money]:
    """What items and bundle cost once, and over their whole terms; as `sums`. Rejects with AmountOutOfRange."""
    return sums(_charges(items, bundle, inquiry), currency, rounding)


def list_total(quoted: IssueQuote, inquiry: Inquiry, terms: AgreementTerms) -> Money:
    """What a quote would cost over the term at list rates. Rejects with AmountOutOfRange. Req: Q-43."""
    charges = _charges(quoted.items, quoted.bundle, inquiry)
    return sums(((term, at_list_rate(price)) for term, price in charges), terms.currency, terms.rounding)[1]


def _charges(
    items: tuple[QuoteItem, ...], bundle: tuple[Price, ...], inquiry: Inquiry
) -> tuple[tuple[Term | None, Price], ...]:
    """Every price with its term; a bundle's is that of all items."""
    asked = {item.id: item.term for item in inquiry.items}
    itemised = tuple((asked[item.id], price) for item in items for price in item.prices)
    return itemised + tuple((inquiry.items[0].term, price) for price in bundle)


def _answer(quote: Quote, inquiry: Inquiry, call: Call) -> Outcome:
    answered = replace(
        inquiry,
        status=step(INQUIRY_LIFECYCLE, inquiry.status, "quote"),
        quote_id=quote.id,
        answered_at_ms=quote.issued_at_ms,
        in_window=True,
    )
    writes = (quote, answered, count_answer(inquiry, call))
    return Outcome(writes=writes, events=(Event("quote.issued", quote),)).then(_superseded(quote, inquiry, call.view))


def _late_answer(quote: Quote, inquiry: Inquiry, call: Call) -> Outcome:
    """The inquiry stays deemed unable (and becomes so, if its deadline is still to run). Req: Q-31, Q-32."""
    waiting = replace(
        inquiry,
        status=step(INQUIRY_LIFECYCLE, deemed_status(inquiry), "quote"),
        late_quote_id=quote.id,
        answered_at_ms=quote.issued_at_ms,
    )
    issued = (Event("quote.issued_late", quote),)
    pending = inquiry.status == InquiryStatus.RECEIVED
    events = (Event("inquiry.deemed_unable", waiting), *issued) if pending else issued
    return Outcome(writes=(quote, waiting, count_answer(inquiry, call)), events=events)


def _superseded(quote: Quote, inquiry: Inquiry, view: View) -> Outcome:
    """What a new quote in force does to the one that its inquiry wished to change. Req: O-05.

    An estimate supersedes nothing; what is ordered or expired by now stays so.
    """
    replaced = view.get(INQUIRY, inquiry.replaces) if inquiry.replaces else None
    old = view.get(QUOTE, replaced.quote_id) if replaced is not None else None
    if old is None or old.status != QuoteStatus.ISSUED or quote.level == QuoteLevel.BUDGETARY:
        return Outcome()
    gone = replace(old, status=step(LIFECYCLE, old.status, "supersede"))
    return Outcome(writes=(gone,), events=(Event("quote.superseded", gone),))


def _require_items(command: IssueQuote, inquiry: Inquiry) -> tuple[QuoteItem, ...]:
    """The quote's items in the inquiry's order.

    Rejects with QuoteItemsWrong, QuoteLevelWrong, TimeOutOfRange, and what is wrong with a performance.
    """
    given = {item.id: item for item in command.items}
    asked = [item.id for item in inquiry.items]
    if len(given) != len(command.items) or sorted(given) != sorted(asked):
        raise QuoteItemsWrong(f"Answer each of these items once: {', '.join(asked)}.", "items")
    items = tuple(given[item_id] for item_id in asked)
    subject = any(item.subject_to_feasibility for item in items)
    if subject != (command.level == QuoteLevel.FIRM_SUBJECT_TO_FEASIBILITY_CHECK):
        raise QuoteLevelWrong(
            "The level is firmSubjectToFeasibilityCheck exactly when an item is subject to a feasibility check.",
            "level",
        )
    for place, item in enumerate(command.items):
        path = f"items[{place}]"
        require_time(item.installation_interval_ms, f"{path}.installation_interval_ms")
        if item.performance:
            _require_performance(item.performance, f"{path}.performance")
    return items


def _require_performance(performance: bytes, path: str) -> None:
    """Rejects as `require_canonical`, with PerformanceInvalid, PersonalData."""
    said = require_canonical(performance, path)
    if not isinstance(said, dict) or not said:
        raise PerformanceInvalid("Give a JSON object of what is offered, or nothing.", path)
    require_impersonal(said, path)


def _require_prices(command: IssueQuote, inquiry: Inquiry, terms: AgreementTerms) -> None:
    """Rejects with QuoteFormWrong, and as `require_charges`. Paths count items in the inquiry's order. Req: Q-40, Q-43."""
    _require_form(command, inquiry)
    asked = inquiry.items
    if command.form == QuoteForm.BUNDLED:
        require_charges(command.bundle, "bundle", asked, terms, inquiry.seller, len(asked))
        return
    for place, item in enumerate(command.items):
        path = f"items[{place}].prices"
        require_charges(item.prices, path, (asked[place],), terms, inquiry.seller, len(asked))


def _require_form(command: IssueQuote, inquiry: Inquiry) -> None:
    """Rejects with QuoteFormWrong. Req: Q-40."""
    if command.form == QuoteForm.ITEMISED:
        if command.bundle:
            raise QuoteFormWrong("An itemised quote has its prices at the items.", "bundle")
        return
    for place, item in enumerate(command.items):
        if item.prices:
            raise QuoteFormWrong("A bundled quote has its prices in the bundle.", f"items[{place}].prices")
    if any(item.term != inquiry.items[0].term for item in inquiry.items):
        raise QuoteFormWrong("Items of different terms have no price together.", "form")


def _require_change_answer(answer: ChangeAnswer | None, change: Change | None, most_ms: int) -> None:
    """Rejects with ChangeAnswerMissing, ChangeAnswerUnasked, ChangeAnswerWrong. Req: C-05, C-08.

    A termination interrupts for good: it needs no answer, and has no outage.
    """
    if change is None:
        if answer is not None:
            raise ChangeAnswerUnasked("The inquiry is not for a change.", "change_answer")
        return
    ends = change.kind == ChangeKind.TERMINATION
    if answer is None:
        if not ends:
            raise ChangeAnswerMissing("Say whether the change needs an outage, and how long.", "change_answer")
        return
    if ends and answer.outage == Outage.YES:
        raise ChangeAnswerWrong("A termination has no outage.", "change_answer.outage")
    least_ms = 1 if answer.outage == Outage.YES else 0
    if not least_ms <= answer.outage_ms <= (most_ms if least_ms else 0):
        raise ChangeAnswerWrong(
            f"An outage has a length of 1 to {most_ms} ms; without one it is 0.", "change_answer.outage_ms"
        )


def _require_totals(command: IssueQuote, inquiry: Inquiry, terms: AgreementTerms) -> None:
    """Rejects with AmountOutOfRange, CurrencyUnknown, CurrencyMismatch, QuoteTotalWrong."""
    one_time, over_term = totals(command.items, inquiry, terms.currency, terms.rounding, command.bundle)
    _require_total(command.one_time_total, one_time, "one_time_total")
    _require_total(command.term_total, over_term, "term_total")


def _require_total(stated: Money, computed: Money, field_name: str) -> None:
    """Rejects with CurrencyUnknown, CurrencyMismatch, QuoteTotalWrong."""
    require_currency(stated.currency, computed.currency, f"{field_name}.currency")
    if stated.minor != computed.minor:
        raise QuoteTotalWrong(f"The prices add up to {computed.minor} minor units.", field_name)


def _quote_terms(quote: Quote) -> Terms:
    return Terms(
        status=quote.status,
        party=words((quote.buyer, quote.seller)),
        related=words(
            (
                quote.inquiry_id,
                quote.agreement_id,
                quote.order_id,
                quote.seller_reference,
                quote.master_id,
                quote.offering_id,
            )
        ),
    )


def _quote_deadlines(quote: Quote) -> tuple[Deadline, ...]:
    if quote.status == QuoteStatus.ISSUED:
        return (Deadline(quote.valid_until_ms, VALIDITY_ENDS),)
    return ()


QUOTE: Final = Kind(
    name="quote",
    prefix="quo",
    record=Quote,
    terms=_quote_terms,
    deadlines=_quote_deadlines,
    on_deadline=MappingProxyType({VALIDITY_ENDS: expire}),
    lifecycle=LIFECYCLE,
    filters=("status", "party", "related"),
)

CONTRACT: Final = Contract(
    name="quote",
    kinds=(QUOTE,),
    messages=(
        MessageType(
            name="issue_quote", command=IssueQuote, handler=issue_quote, roles=(Role.S_BUS,), creates=QUOTE, gas=600
        ),
        MessageType(name="take_late_quote", command=TakeLateQuote, handler=take_late_quote, roles=(Role.B_BUS,)),
    ),
)
