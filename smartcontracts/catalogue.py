"""Catalogue: what a seller offers as it stands, and the standing quotes that a buyer takes of it without an inquiry.

L-19 menu-based goods are ordered with a standing quote; X-75 one version of an offering is that quote: the buyer asks for it,
and inquiry and quote are written at once, as if one had asked and the other answered. From there the order goes as ever.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from smartcontracts.agreement import (
    AGREEMENT,
    Agreement,
    AgreementTerms,
    agreement_of,
    other_party,
    require_may_sell,
)
from smartcontracts.canonical_json import Json, values_in
from smartcontracts.inquiry import (
    INQUIRY,
    GroupMissing,
    Inquiry,
    InquiryStatus,
    OfferingMismatch,
    SellerIsBuyer,
    TermInvalid,
    require_item,
    require_item_ids,
    require_lineage,
    require_places_and_targets,
    require_product,
    require_relations,
)
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
    Sender,
    Terms,
    View,
    step,
)
from smartcontracts.lineage import LINEAGE_KEY_BYTES
from smartcontracts.parameters import Parameters
from smartcontracts.pricing import DiscountWrong, require_charges, rule_for, with_discount
from smartcontracts.quote import QUOTE, IssueQuote, Quote, QuoteFormWrong, QuoteItem, list_total, quote_of, totals
from smartcontracts.trade import (
    HASH_BYTES,
    PRICES_MAX,
    RELEASES_MAX,
    Action,
    ActionNotSupported,
    InquiryItem,
    NotTheBuyer,
    NotTheSeller,
    Price,
    QuoteForm,
    QuoteLevel,
    Term,
    require_impersonal_text,
    require_release,
    require_term_form,
    require_time,
    require_window,
)

DESCRIPTION_CHARACTERS_MAX: Final = 2_000
PRODUCT_VALUES_MAX: Final = 1_000
OFFER_ENDS: Final = "offer_ends"
_CONFIGURATION: Final = "productConfiguration"


class OfferingStatus(StrEnum):
    """Stored on the ledger: never rename a value."""

    PUBLISHED = "published"
    REPLACED = "replaced"
    WITHDRAWN = "withdrawn"
    EXPIRED = "expired"


LIFECYCLE: Final = MappingProxyType(
    {
        (OfferingStatus.PUBLISHED, "replace"): OfferingStatus.REPLACED,
        (OfferingStatus.PUBLISHED, "withdraw"): OfferingStatus.WITHDRAWN,
        (OfferingStatus.PUBLISHED, "offer_ends"): OfferingStatus.EXPIRED,
        # The next version comes after what is over, too.
        (OfferingStatus.WITHDRAWN, "replace"): OfferingStatus.REPLACED,
        (OfferingStatus.EXPIRED, "replace"): OfferingStatus.REPLACED,
    }
)


class OfferingUnknown(Rejected):
    """There is no such offering in the catalogue."""

    code = 3130
    grpc = Grpc.NOT_FOUND


class OfferingClosed(Rejected):
    """The offering is replaced, withdrawn or over: nobody can ask for it any more."""

    code = 3131


class OfferingNotMet(Rejected):
    """An item's term or configuration is not what the offering says (L-19)."""

    code = 3132
    grpc = Grpc.INVALID_ARGUMENT


class OfferEndInvalid(Rejected):
    """An offering would be over before it begins."""

    code = 3133
    grpc = Grpc.INVALID_ARGUMENT


class OfferingTooLarge(Rejected):
    """The offering's product has more values than may be read for every standing quote."""

    code = 3134
    grpc = Grpc.INVALID_ARGUMENT


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishOffering:
    """Put an offering in the catalogue, or its next version. `prices` are list prices of one item.

    What the configuration in `product` says, every request must say too; what it leaves out is the buyer's choice.
    """

    agreement_id: str
    offering: str
    description: str = field(default="", metadata={"text_max": DESCRIPTION_CHARACTERS_MAX})
    product: bytes
    prices: tuple[Price, ...] = field(metadata={"list_max": PRICES_MAX})
    form: QuoteForm = QuoteForm.ITEMISED
    term: Term
    installation_interval_ms: int = 0
    quote_validity_ms: int
    # Last millisecond in which it can be asked for; 0 is until it is withdrawn.
    valid_until_ms: int = 0
    release: bytes = field(default=b"", metadata={"bytes_max": HASH_BYTES})


@dataclass(frozen=True, slots=True, kw_only=True)
class WithdrawOffering:
    """The seller takes an offering back; quotes that were taken of it stay valid."""

    offering_id: str
    release: bytes = field(default=b"", metadata={"bytes_max": HASH_BYTES})


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestStandingQuote:
    """The buyer takes a standing quote of one version of an offering. Items are as in an inquiry."""

    offering_id: str
    items: tuple[InquiryItem, ...]
    lineage_key: bytes = field(default=b"", metadata={"bytes_max": LINEAGE_KEY_BYTES})
    ancestors: tuple[str, ...] = ()
    buyer_reference: str = ""
    release: bytes = field(default=b"", metadata={"bytes_max": HASH_BYTES})


@dataclass(frozen=True, slots=True, kw_only=True)
class Offering:
    """One version of an offering; versions count from 1 for each seller and offering."""

    id: str
    status: OfferingStatus = OfferingStatus.PUBLISHED
    seller: str
    agreement_id: str
    offering: str
    version: int
    description: str = field(default="", metadata={"text_max": DESCRIPTION_CHARACTERS_MAX})
    product: bytes
    prices: tuple[Price, ...] = field(metadata={"list_max": PRICES_MAX})
    form: QuoteForm
    term: Term
    installation_interval_ms: int
    quote_validity_ms: int
    valid_until_ms: int
    published_at_ms: int
    releases: tuple[bytes, ...] = field(default=(), metadata={"list_max": RELEASES_MAX})


def admit_offering(command: PublishOffering, sender: Sender, view: View) -> None:
    """Rejects with RolesFixed, before anything else is looked at: who sells is fixed for an agreement's life. Req: L-16."""
    agreement = view.get(AGREEMENT, command.agreement_id)
    if agreement is not None and sender.organization in agreement.parties:
        require_may_sell(agreement.terms, sender.organization, "signer")


def publish_offering(command: PublishOffering, call: Call) -> Outcome:
    """Record the offering; an earlier version of it is replaced. Req: L-19, X-75.

    Rejects with the first of: AgreementUnknown, NotAParty, RolesFixed, GroupMissing and what is wrong with the product,
    OfferingTooLarge, TermInvalid, TimeOutOfRange, those of `require_charges`, WindowNotPositive, WindowTooLong, OfferEndInvalid, PersonalData,
    ReleaseMissing, ReleaseInvalid.
    """
    seller = call.sender.organization
    agreement = agreement_of(call.view, command.agreement_id)
    other_party(agreement, seller)
    require_may_sell(agreement.terms, seller, "signer")
    _require_offer(command, agreement.terms, seller, call.parameters)
    if command.valid_until_ms and command.valid_until_ms <= call.block.time_ms:
        raise OfferEndInvalid("It must end in the future, or with 0 when it is withdrawn.", "valid_until_ms")
    require_impersonal_text(command.description, "description")
    before = _newest(call.view, seller, command.offering)
    offering = Offering(
        id=call.new_id(OFFERING),
        seller=seller,
        agreement_id=agreement.id,
        offering=command.offering,
        version=1 if before is None else before.version + 1,
        description=command.description,
        product=command.product,
        prices=command.prices,
        form=command.form,
        term=command.term,
        installation_interval_ms=command.installation_interval_ms,
        quote_validity_ms=command.quote_validity_ms,
        valid_until_ms=command.valid_until_ms,
        published_at_ms=call.block.time_ms,
        releases=require_release(command.release, call),
    )
    published = Outcome(writes=(offering,), events=(Event("offering.published", offering),))
    return published if before is None else _closed(before, "replace", "offering.replaced").then(published)


def withdraw_offering(command: WithdrawOffering, call: Call) -> Outcome:
    """End an offering. Req: L-19.

    Rejects with the first of: OfferingUnknown, NotTheSeller, ReleaseMissing, ReleaseInvalid, ReleasesFull, WrongStatus.
    """
    offering = require_offering(command.offering_id, call.view)
    if call.sender.organization != offering.seller:
        raise NotTheSeller("Only the seller withdraws its offering.", "signer")
    released = replace(offering, releases=require_release(command.release, call, offering.releases))
    return _closed(released, "withdraw", "offering.withdrawn")


def end_offer(offering: Offering, _: Due) -> Outcome:
    """The time in which it could be asked for has ended."""
    return _closed(offering, "offer_ends", "offering.expired")


def request_standing_quote(command: RequestStandingQuote, call: Call) -> Outcome:
    """Write the inquiry and its quote at once, at the offering's prices less the agreement's discounts. Req: L-19, X-75.

    Rejects with the first of: OfferingUnknown, SellerIsBuyer, NotTheBuyer, OfferingClosed, ItemsMissing, TooManyItems,
    ItemIdMissing, ItemIdDoubled, ItemsTooLarge, QuoteFormWrong, ActionNotSupported, OfferingMismatch, what is wrong with one item after the
    other or OfferingNotMet, what is wrong with relations, location and performance, those of `require_lineage`,
    PriceAboveAgreement, AmountOutOfRange, PersonalData, ReleaseMissing, ReleaseInvalid.
    """
    offering = require_offering(command.offering_id, call.view)
    agreement = agreement_of(call.view, offering.agreement_id)
    buyer = call.sender.organization
    _require_buyer(buyer, offering, agreement)
    _require_open(offering, call.block.time_ms)
    items = _require_asked(command, offering, agreement, call.parameters)
    require_impersonal_text(command.buyer_reference, "buyer_reference")
    releases = require_release(command.release, call)
    inquiry = Inquiry(
        id=call.new_id(INQUIRY),
        status=InquiryStatus.QUOTED,
        buyer=buyer,
        seller=offering.seller,
        agreement_id=agreement.id,
        buyer_reference=command.buyer_reference,
        project="",
        received_at_ms=call.block.time_ms,
        respond_by_ms=call.block.time_ms,
        level=QuoteLevel.FIRM,
        items=items,
        ancestors=command.ancestors,
        withheld=(),
        requested_completion_ms=0,
        answered_at_ms=call.block.time_ms,
        in_window=True,
        lineage_key=command.lineage_key,
        releases=releases,
    )
    quote = replace(_standing_quote(offering, inquiry, agreement.terms, call), releases=releases)
    answered = replace(inquiry, quote_id=quote.id)
    events = (Event("inquiry.received", answered), Event("quote.issued", quote))
    return Outcome(writes=(quote, answered), events=events)


def require_offering(offering_id: str, view: View) -> Offering:
    """Rejects with OfferingUnknown."""
    offering = view.get(OFFERING, offering_id)
    if offering is None:
        raise OfferingUnknown("There is no offering with this id on this ledger.", "offering_id")
    return offering


def _newest(view: View, seller: str, offering: str) -> Offering | None:
    """The newest version, whether it can still be asked for or not."""
    return next(iter(view.find(OFFERING, "keys", _key(seller, offering), 1)), None)


def _key(seller: str, offering: str) -> str:
    return f"{seller}/{offering}"


def _closed(offering: Offering, event: str, name: str) -> Outcome:
    closed = replace(offering, status=step(LIFECYCLE, offering.status, event))
    return Outcome(writes=(closed,), events=(Event(name, closed),))


def _require_offer(command: PublishOffering, terms: AgreementTerms, seller: str, parameters: Parameters) -> None:
    """Rejects as `publish_offering` says."""
    require_product(command.offering, command.product, "")
    # A request for a quote is small, and reads all of it.
    if values_in(command.product) > PRODUCT_VALUES_MAX:
        raise OfferingTooLarge(f"An offering's product has at most {PRODUCT_VALUES_MAX} values.", "product")
    if wrong := require_term_form(command.term):
        raise TermInvalid("The term's amount or roll interval is not possible.", f"term.{wrong}")
    require_time(command.installation_interval_ms, "installation_interval_ms")
    sold = InquiryItem(id="", action=Action.ADD, offering=command.offering, product=command.product, term=command.term)
    # List prices are judged as if no discount were agreed: they are given when somebody asks.
    require_charges(command.prices, "prices", (sold,), replace(terms, discounts=()), seller, 1)
    for place, price in enumerate(command.prices):
        if price.list_rate is not None:
            raise DiscountWrong("A catalogue has list prices: leave the list rate out.", f"prices[{place}].list_rate")
    require_window(command.quote_validity_ms, 1, parameters.window_max_ms, "quote_validity_ms")
    require_time(command.valid_until_ms, "valid_until_ms")


def _require_buyer(buyer: str, offering: Offering, agreement: Agreement) -> None:
    """Rejects with SellerIsBuyer, NotTheBuyer."""
    if buyer == offering.seller:
        raise SellerIsBuyer("An organization does not buy from itself.", "offering_id")
    if buyer not in agreement.parties:
        raise NotTheBuyer("Only the other party of the agreement takes a quote of this offering.", "signer")


def _require_open(offering: Offering, time_ms: int) -> None:
    """Rejects with OfferingClosed, whether the deadline has run yet or not."""
    over = offering.valid_until_ms and time_ms > offering.valid_until_ms
    if offering.status != OfferingStatus.PUBLISHED or over:
        raise OfferingClosed("This version of the offering can't be asked for any more.", "offering_id")


def _require_asked(
    command: RequestStandingQuote, offering: Offering, agreement: Agreement, parameters: Parameters
) -> tuple[InquiryItem, ...]:
    """The items with their lineage ids. Rejects as `request_standing_quote` says."""
    require_item_ids(command.items, parameters.items_max)
    if offering.form == QuoteForm.BUNDLED and len(command.items) > 1:
        raise QuoteFormWrong("A bundled offering is one item.", "items")
    template = require_product(offering.offering, offering.product, "")
    products = tuple(
        _require_item(item, f"items[{place}]", offering, template) for place, item in enumerate(command.items)
    )
    require_relations(command.items)
    require_places_and_targets(command.items, products, MappingProxyType({}), agreement, offering.seller)
    buyer = next(party for party in agreement.parties if party != offering.seller)
    return require_lineage(command.items, command.lineage_key, command.ancestors, buyer, offering.seller)


def _require_item(item: InquiryItem, path: str, offering: Offering, template: dict[str, Json]) -> dict[str, Json]:
    """The item's product. What the template's configuration says, it says too. Req: L-19."""
    if item.action != Action.ADD:
        raise ActionNotSupported(
            "A catalogue has new services; ask for a change of one by an inquiry.", f"{path}.action"
        )
    if item.offering and item.offering != offering.offering:
        raise OfferingMismatch(f"The offering is {offering.offering}.", f"{path}.offering")
    product = require_item(item, path)
    if item.term != offering.term:
        raise OfferingNotMet("The term is not the offering's.", f"{path}.term")
    fixed, given = template[_CONFIGURATION], product[_CONFIGURATION]
    if not isinstance(fixed, dict) or not isinstance(given, dict):
        raise GroupMissing("The configuration holds the service's attributes.", f"{path}.product.{_CONFIGURATION}")
    for key, value in fixed.items():
        if key not in given or given[key] != value:
            raise OfferingNotMet("The offering fixes this attribute.", f"{path}.product.{_CONFIGURATION}.{key}")
    return product


def _standing_quote(offering: Offering, inquiry: Inquiry, terms: AgreementTerms, call: Call) -> Quote:
    """The offering as an answer to `inquiry`. Rejects with PriceAboveAgreement, AmountOutOfRange."""
    count = len(inquiry.items)
    bundled = offering.form == QuoteForm.BUNDLED
    sold = inquiry.items[:1]
    # All items are of one offering and one term, so one price list does for all.
    prices = tuple(
        with_discount(price, rule_for(price, sold, terms, offering.seller, count)) for price in offering.prices
    )
    require_charges(prices, "offering_id", sold, terms, offering.seller, count)
    items = tuple(
        QuoteItem(
            id=item.id,
            prices=() if bundled else prices,
            installation_interval_ms=offering.installation_interval_ms,
        )
        for item in inquiry.items
    )
    bundle = prices if bundled else ()
    one_time, over_term = totals(items, inquiry, terms.currency, terms.rounding, bundle)
    answer = IssueQuote(
        inquiry_id=inquiry.id,
        level=QuoteLevel.FIRM,
        valid_until_ms=call.block.time_ms + offering.quote_validity_ms,
        items=items,
        one_time_total=one_time,
        term_total=over_term,
        form=offering.form,
        bundle=bundle,
    )
    quote = quote_of(answer, inquiry, call, list_total(answer, inquiry, terms))
    return replace(quote, offering_id=offering.id, offering_version=offering.version)


def _offering_terms(offering: Offering) -> Terms:
    newest = offering.status != OfferingStatus.REPLACED
    return Terms(
        status=offering.status,
        party=(offering.seller,),
        offering=(offering.offering,),
        related=(offering.agreement_id,),
        keys=(_key(offering.seller, offering.offering),) if newest else (),
    )


def _offering_deadlines(offering: Offering) -> tuple[Deadline, ...]:
    if offering.status == OfferingStatus.PUBLISHED and offering.valid_until_ms:
        return (Deadline(offering.valid_until_ms, OFFER_ENDS),)
    return ()


# Keys: "<seller>/<offering>", of the newest version only.
OFFERING: Final = Kind(
    name="offering",
    prefix="off",
    record=Offering,
    terms=_offering_terms,
    deadlines=_offering_deadlines,
    on_deadline=MappingProxyType({OFFER_ENDS: end_offer}),
    lifecycle=LIFECYCLE,
    filters=("status", "party", "offering", "related"),
)

CONTRACT: Final = Contract(
    name="catalogue",
    kinds=(OFFERING,),
    messages=(
        MessageType(
            name="publish_offering",
            command=PublishOffering,
            handler=publish_offering,
            roles=(Role.S_BUS,),
            creates=OFFERING,
            admit=admit_offering,
            gas=600,
        ),
        MessageType(name="withdraw_offering", command=WithdrawOffering, handler=withdraw_offering, roles=(Role.S_BUS,)),
        MessageType(
            name="request_standing_quote",
            command=RequestStandingQuote,
            handler=request_standing_quote,
            roles=(Role.B_BUS,),
            creates=QUOTE,
            # Up to a thousand values of the offering are read, at 2.3 us each.
            gas=3_000,
        ),
    ),
)
