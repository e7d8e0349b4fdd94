"""Quote: a seller's priced answer to an inquiry, valid until a time, that its buyer may turn into an order once.

Q-06 one answer; Q-07 in the window or late; Q-32 a late one counts only when the buyer takes it; Q-47 it has an id; Q-49 and
a validity; O-05 a new one on a changed request supersedes the old one. A budgetary quote is an estimate: it can't be ordered.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum
from fractions import Fraction
from types import MappingProxyType
from typing import Final

from smartcontracts.agreement import (
    AgreementTerms,
    PriceTerm,
    PriceType,
    agreement_of,
    price_term_of,
)
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
from smartcontracts.money import Money, Rounding, require_currency, require_rate
from smartcontracts.trade import (
    HASH_BYTES,
    LABEL_MS,
    PRICES_MAX,
    RELEASES_MAX,
    ChangeAnswer,
    NotTheBuyer,
    PeriodLabel,
    Price,
    QuoteForm,
    QuoteLevel,
    SaltedHash,
    Term,
    periods_in_term,
    require_impersonal_text,
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


class PricesMissing(Rejected):
    """An item of a quote has no price."""

    code = 3104
    grpc = Grpc.INVALID_ARGUMENT


class PriceFormWrong(Rejected):
    """A price has a period or a unit that does not go with its type, or lacks one."""

    code = 3105
    grpc = Grpc.INVALID_ARGUMENT


class PriceDoubled(Rejected):
    """Two prices of an item are the same charge."""

    code = 3106
    grpc = Grpc.INVALID_ARGUMENT


class PriceAboveAgreement(Rejected):
    """The prices of one type are above what the seller is bound to by the agreement."""

    code = 3107


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


@dataclass(frozen=True, slots=True, kw_only=True)
class QuoteItem:
    """The answer to the inquiry's item of the same id."""

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
    """A quote; `valid_until_ms` is its last valid millisecond, `term_total` the list price over the whole term."""

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
    """Record the answer; after the window it is recorded as late and changes nothing else. Req: Q-06, Q-07, Q-47, Q-49.

    Rejects with the first of: InquiryUnknown, NotTheSeller, InquiryAnswered, QuoteValidityInvalid, QuoteItemsWrong,
    QuoteLevelWrong, TimeOutOfRange, PricesMissing, CurrencyUnknown, CurrencyMismatch, AmountOutOfRange, PriceFormWrong,
    PriceDoubled, PriceAboveAgreement, QuoteTotalWrong, WithheldInvalid, PersonalData.
    """
    inquiry = require_answerable(command.inquiry_id, call)
    now_ms = call.block.time_ms
    if not now_ms < command.valid_until_ms <= now_ms + call.parameters.window_max_ms:
        raise QuoteValidityInvalid(
            f"A quote is valid until a time in the future, at most {call.parameters.window_max_ms} ms ahead.",
            "valid_until_ms",
        )
    items = _require_items(command, inquiry)
    terms = agreement_of(call.view, inquiry.agreement_id).terms
    _require_prices(items, inquiry, terms)
    one_time, over_term = totals(items, inquiry, terms.currency, terms.rounding)
    _require_total(command.one_time_total, one_time, "one_time_total")
    _require_total(command.term_total, over_term, "term_total")
    require_withheld(command.withheld)
    require_impersonal_text(command.seller_reference, "seller_reference")
    quote = Quote(
        id=call.new_id(QUOTE),
        inquiry_id=inquiry.id,
        buyer=inquiry.buyer,
        seller=inquiry.seller,
        agreement_id=inquiry.agreement_id,
        level=command.level,
        issued_at_ms=now_ms,
        valid_until_ms=command.valid_until_ms,
        items=items,
        one_time_total=one_time,
        term_total=over_term,
        list_total=over_term,
        late=not is_in_window(inquiry, now_ms),
        seller_reference=command.seller_reference,
        withheld=command.withheld,
    )
    return _late_answer(quote, inquiry, call) if quote.late else _answer(quote, inquiry, call)


def take_late_quote(command: TakeLateQuote, call: Call) -> Outcome:
    """Let a late quote count: from here on it is as good as one in time. Req: Q-32.

    Rejects with the first of: InquiryUnknown, NotTheBuyer, QuoteNotLate, QuoteTaken, QuoteExpired.
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
    taken = replace(quote, status=step(LIFECYCLE, quote.status, "take"), taken=True)
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


def totals(items: tuple[QuoteItem, ...], inquiry: Inquiry, currency: str, rounding: Rounding) -> tuple[Money, Money]:
    """What the items cost once, and over their whole terms (once + recurring x periods); usage is not in it.

    Each price is rounded once, by the agreement's mode; `periods_in_term` says how periods are counted.
    Rejects with AmountOutOfRange.
    """
    asked = {item.id: item.term for item in inquiry.items}
    one_time, recurring = Money(0, currency), Money(0, currency)
    for item in items:
        for price in item.prices:
            if price.price_type == PriceType.NON_RECURRING:
                one_time = one_time.plus(price.rate.amount(Fraction(1), rounding))
            elif price.price_type == PriceType.RECURRING:
                recurring = recurring.plus(price.rate.amount(_periods(asked[item.id], price), rounding))
    return one_time, one_time.plus(recurring)


def _periods(term: Term | None, price: Price) -> Fraction:
    return Fraction(0) if term is None else periods_in_term(term, price)


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
    """The quote's items in the inquiry's order. Rejects with QuoteItemsWrong, QuoteLevelWrong, TimeOutOfRange."""
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
        require_time(item.installation_interval_ms, f"items[{place}].installation_interval_ms")
    return items


def _require_prices(items: tuple[QuoteItem, ...], inquiry: Inquiry, terms: AgreementTerms) -> None:
    """Rejects as `issue_quote` says. Paths count items in the inquiry's order."""
    for place, (item, asked) in enumerate(zip(items, inquiry.items, strict=True)):
        if not item.prices:
            raise PricesMissing("Each item needs a price.", f"items[{place}].prices")
        seen: dict[tuple[str, str, int, str], None] = {}
        for number, price in enumerate(item.prices):
            path = f"items[{place}].prices[{number}]"
            require_rate(price.rate, terms.currency, f"{path}.rate")
            _require_price_form(price, path)
            # Two usage prices of one unit would leave open which of them a metered record is for.
            name = "" if price.price_type == PriceType.USAGE_BASED else price.name
            charge = (price.price_type, price.unit, price.period_ms, name)
            if charge in seen:
                raise PriceDoubled("Give charges of the same type and period names that differ.", path)
            seen[charge] = None
            bound = price_term_of(terms, inquiry.seller, asked.offering, price.price_type, price.unit)
            if bound is not None and _cost(item, price) > _bound_cost(bound):
                raise PriceAboveAgreement("The agreement binds the seller to a lower price.", f"{path}.rate")


def _require_price_form(price: Price, path: str) -> None:
    """Recurring prices alone have a period, and one that fits its label; usage based prices alone have a unit."""
    recurring = price.price_type == PriceType.RECURRING
    if recurring != (price.period_ms > 0) or price.period_ms < 0:
        raise PriceFormWrong("A recurring price, and no other, has a period above zero.", f"{path}.period_ms")
    if price.period_label != PeriodLabel.NONE and LABEL_MS[price.period_label] != price.period_ms:
        raise PriceFormWrong(f"A {price.period_label} is {LABEL_MS[price.period_label]} ms.", f"{path}.period_label")
    if bool(price.unit) != (price.price_type == PriceType.USAGE_BASED):
        raise PriceFormWrong("A usage based price, and no other, has a unit.", f"{path}.unit")


def _cost(item: QuoteItem, price: Price) -> Fraction:
    """What all charges of this one's type and unit come to together, for one millisecond if they recur."""
    return sum(
        (
            Fraction(other.rate.nano, other.period_ms or 1)
            for other in item.prices
            if (other.price_type, other.unit) == (price.price_type, price.unit)
        ),
        Fraction(0),
    )


def _bound_cost(bound: PriceTerm) -> Fraction:
    return Fraction(bound.rate.nano, bound.period_ms or 1)


def _require_total(stated: Money, computed: Money, field_name: str) -> None:
    """Rejects with CurrencyUnknown, CurrencyMismatch, QuoteTotalWrong."""
    require_currency(stated.currency, computed.currency, f"{field_name}.currency")
    if stated.minor != computed.minor:
        raise QuoteTotalWrong(f"The prices add up to {computed.minor} minor units.", field_name)


def _quote_terms(quote: Quote) -> Terms:
    return Terms(
        status=quote.status,
        party=words((quote.buyer, quote.seller)),
        related=words((quote.inquiry_id, quote.agreement_id, quote.order_id, quote.seller_reference)),
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
