"""Inquiry: a buyer asks one seller for service elements; it ends in a quote or in 'Unable to Quote'.

Q-02, Q-13 it has technical, operational and commercial groups, and its parts' relations; Q-05, Q-06 one answer of two;
Q-07 inside the response window; Q-18 receipt and id are this document; Q-31 silence is 'Unable to Quote'; Q-47 answers have
ids; O-05 a change of a quote is a new inquiry that names the one it replaces; X-09 the answer stays owed after the window.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from smartcontracts.agreement import Agreement, AgreementUnknown, agreement_of
from smartcontracts.canonical_json import Json, require_canonical
from smartcontracts.ids import derive_id
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
from smartcontracts.lineage import LINEAGE_KEY_BYTES
from smartcontracts.trade import (
    HASH_BYTES,
    RELEASES_MAX,
    Action,
    ActionNotSupported,
    Change,
    InquiryItem,
    NotTheSeller,
    QuoteLevel,
    SaltedHash,
    may_be_personal,
    require_impersonal,
    require_impersonal_text,
    require_reason,
    require_term_form,
    require_time,
    require_window,
    require_withheld,
    words,
)

ANCESTORS_MAX: Final = 16
WINDOW_ENDS: Final = "window_ends"


class InquiryStatus(StrEnum):
    """Stored on the ledger: never rename a value."""

    RECEIVED = "received"
    QUOTED = "quoted"
    UNABLE = "unable"
    DEEMED_UNABLE = "deemed_unable"
    LATE_QUOTED = "late_quoted"


LIFECYCLE: Final = MappingProxyType(
    {
        (InquiryStatus.RECEIVED, "quote"): InquiryStatus.QUOTED,
        (InquiryStatus.RECEIVED, "declare_unable"): InquiryStatus.UNABLE,
        (InquiryStatus.RECEIVED, "window_ends"): InquiryStatus.DEEMED_UNABLE,
        (InquiryStatus.DEEMED_UNABLE, "quote"): InquiryStatus.DEEMED_UNABLE,  # waits for the buyer
        (InquiryStatus.DEEMED_UNABLE, "declare_unable"): InquiryStatus.UNABLE,
        (InquiryStatus.DEEMED_UNABLE, "take_late_quote"): InquiryStatus.LATE_QUOTED,
    }
)


class SellerIsBuyer(Rejected):
    """The seller asked is the sender's own organization."""

    code = 3011
    grpc = Grpc.INVALID_ARGUMENT


class ItemsMissing(Rejected):
    """The inquiry asks for nothing."""

    code = 3013
    grpc = Grpc.INVALID_ARGUMENT


class TooManyItems(Rejected):
    """The inquiry has more items than the ledger's `items_max`."""

    code = 3014
    grpc = Grpc.INVALID_ARGUMENT


class ItemIdMissing(Rejected):
    """An item has no id."""

    code = 3015
    grpc = Grpc.INVALID_ARGUMENT


class ItemIdDoubled(Rejected):
    """Two items have the same id."""

    code = 3016
    grpc = Grpc.INVALID_ARGUMENT


class GroupMissing(Rejected):
    """A group of requirements that an inquiry must have is not there; `field` says which (Q-02, Q-13)."""

    code = 3017
    grpc = Grpc.INVALID_ARGUMENT


class OfferingMismatch(Rejected):
    """The item's offering is not the one that its product names."""

    code = 3018
    grpc = Grpc.INVALID_ARGUMENT


class TermInvalid(Rejected):
    """A term's amount is zero or over the bound, or its roll interval does not fit its end."""

    code = 3019
    grpc = Grpc.INVALID_ARGUMENT


class RelationUnknown(Rejected):
    """A relation leads to an item that the inquiry does not have."""

    code = 3020
    grpc = Grpc.INVALID_ARGUMENT


class RelationDoubled(Rejected):
    """An item has the same relation twice."""

    code = 3021
    grpc = Grpc.INVALID_ARGUMENT


class RelationCycle(Rejected):
    """The items' relations lead around in a circle."""

    code = 3022
    grpc = Grpc.INVALID_ARGUMENT


class RelationsMissing(Rejected):
    """Several items, and no relation between any of them (Q-02)."""

    code = 3023
    grpc = Grpc.INVALID_ARGUMENT


class AncestorsInvalid(Rejected):
    """The list of upstream buyers is too long, or has an empty or doubled entry."""

    code = 3024
    grpc = Grpc.INVALID_ARGUMENT


class Loop(Rejected):
    """The seller is itself upstream of this request (Q-08, Q-10, X-05)."""

    code = 3025


class ReplacedInquiryUnknown(Rejected):
    """The inquiry to replace is not an inquiry of these two that was answered with a quote (O-05)."""

    code = 3026


class InquiryUnknown(Rejected):
    """There is no such inquiry."""

    code = 3027
    grpc = Grpc.NOT_FOUND


class InquiryAnswered(Rejected):
    """The seller has answered already; there is exactly one answer (Q-06)."""

    code = 3028


@dataclass(frozen=True, slots=True, kw_only=True)
class SubmitInquiry:
    """Ask `seller`. The response window is `response_window_ms`, the agreement's shortest with `instant`, else its default."""

    seller: str
    agreement_id: str
    level: QuoteLevel
    items: tuple[InquiryItem, ...]
    buyer_reference: str = ""
    project: str = ""
    response_window_ms: int = 0
    instant: bool = False
    requested_completion_ms: int = 0
    ancestors: tuple[str, ...] = ()
    withheld: tuple[SaltedHash, ...] = ()
    replaces: str = ""
    lineage_key: bytes = field(default=b"", metadata={"bytes_max": LINEAGE_KEY_BYTES})
    change: Change | None = None
    release: bytes = field(default=b"", metadata={"bytes_max": HASH_BYTES})
    master_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeclareUnable:
    """The seller's answer 'Unable to Quote'."""

    inquiry_id: str
    reason: str
    release: bytes = field(default=b"", metadata={"bytes_max": HASH_BYTES})


@dataclass(frozen=True, slots=True, kw_only=True)
class Inquiry:
    """The inquiry and its receipt: the contract gives `id` and `received_at_ms` at commit. Req: Q-18."""

    id: str
    status: InquiryStatus = InquiryStatus.RECEIVED
    buyer: str
    seller: str
    agreement_id: str
    buyer_reference: str
    project: str
    received_at_ms: int
    # Last millisecond of the response window.
    respond_by_ms: int
    level: QuoteLevel
    items: tuple[InquiryItem, ...]
    ancestors: tuple[str, ...]
    withheld: tuple[SaltedHash, ...]
    requested_completion_ms: int
    # The quote in force, and the one that came late and waits for the buyer.
    quote_id: str = ""
    late_quote_id: str = ""
    answered_at_ms: int = 0
    in_window: bool = False
    unable_id: str = ""
    unable_reason: str = ""
    replaces: str = ""
    lineage_key: bytes = b""
    change: Change | None = None
    releases: tuple[bytes, ...] = field(default=(), metadata={"list_max": RELEASES_MAX})
    master_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unable:
    """The answer 'Unable to Quote', with an id of its own. Req: Q-06, Q-47."""

    id: str
    inquiry_id: str
    buyer: str
    seller: str
    agreement_id: str
    reason: str
    answered_at_ms: int
    in_window: bool
    releases: tuple[bytes, ...] = field(default=(), metadata={"list_max": RELEASES_MAX})


@dataclass(frozen=True, slots=True, kw_only=True)
class ResponseRecord:
    """How a seller answers on this ledger: inside the window, after it, and windows left unanswered. Req: Q-05, Q-07."""

    id: str
    seller: str
    answered: int = 0
    late: int = 0
    deemed: int = 0


def submit_inquiry(command: SubmitInquiry, call: Call) -> Outcome:
    """Record the inquiry; its id and time are the receipt, and the window runs from there. Req: Q-02, Q-13, Q-18.

    Rejects with the first of: SellerIsBuyer, AgreementUnknown, ItemsMissing, TooManyItems, ItemIdMissing, ItemIdDoubled,
    ActionNotSupported, GroupMissing and what is wrong with one item after the other, what is wrong with the relations,
    location, performance, AncestorsInvalid, Loop, ReplacedInquiryUnknown, TimeOutOfRange, WindowNotPositive, WindowTooShort,
    WindowTooLong, WithheldInvalid, PersonalData.
    """
    buyer = call.sender.organization
    agreement = _require_agreement(command, buyer, call.view)
    _require_item_ids(command.items, call.parameters.items_max)
    products = tuple(_require_item(item, f"items[{place}]") for place, item in enumerate(command.items))
    _require_relations(command.items)
    _require_places_and_targets(command, products, agreement)
    _require_no_loop(command)
    _require_replaceable(command, buyer, call.view)
    respond_by_ms = _respond_by_ms(command, agreement, call)
    require_withheld(command.withheld)
    require_impersonal_text(command.buyer_reference, "buyer_reference")
    require_impersonal_text(command.project, "project")
    inquiry = Inquiry(
        id=call.new_id(INQUIRY),
        buyer=buyer,
        seller=command.seller,
        agreement_id=command.agreement_id,
        buyer_reference=command.buyer_reference,
        project=command.project,
        received_at_ms=call.block.time_ms,
        respond_by_ms=respond_by_ms,
        level=command.level,
        items=command.items,
        ancestors=command.ancestors,
        withheld=command.withheld,
        requested_completion_ms=command.requested_completion_ms,
        replaces=command.replaces,
    )
    return Outcome(writes=(inquiry,), events=(Event("inquiry.received", inquiry),))


def declare_unable(command: DeclareUnable, call: Call) -> Outcome:
    """Answer 'Unable to Quote', once; it is still owed after the window (X-09). Req: Q-06, Q-47.

    Rejects with the first of: InquiryUnknown, NotTheSeller, InquiryAnswered, ReasonInvalid.
    """
    inquiry = require_answerable(command.inquiry_id, call)
    require_reason(command.reason)
    in_window = is_in_window(inquiry, call.block.time_ms)
    unable = Unable(
        id=call.new_id(UNABLE),
        inquiry_id=inquiry.id,
        buyer=inquiry.buyer,
        seller=inquiry.seller,
        agreement_id=inquiry.agreement_id,
        reason=command.reason,
        answered_at_ms=call.block.time_ms,
        in_window=in_window,
    )
    answered = replace(
        inquiry,
        status=step(LIFECYCLE, inquiry.status, "declare_unable"),
        answered_at_ms=call.block.time_ms,
        in_window=in_window,
        unable_id=unable.id,
        unable_reason=command.reason,
    )
    record = count_answer(inquiry, call)
    return Outcome(writes=(unable, answered, record), events=(Event("inquiry.declared_unable", answered),))


def end_window(inquiry: Inquiry, due: Due) -> Outcome:
    """A silent seller is deemed unable, by itself, when the response window has ended. Req: Q-05, Q-31."""
    deemed = replace(inquiry, status=deemed_status(inquiry))
    record = response_record(due.view, due.ledger_id, inquiry.seller)
    counted = replace(record, deemed=record.deemed + 1)
    return Outcome(writes=(deemed, counted), events=(Event("inquiry.deemed_unable", deemed),))


def deemed_status(inquiry: Inquiry) -> InquiryStatus:
    """The status of an unanswered inquiry after its window."""
    if inquiry.status == InquiryStatus.RECEIVED:
        return step(LIFECYCLE, inquiry.status, "window_ends")
    return inquiry.status


def require_inquiry(inquiry_id: str, view: View) -> Inquiry:
    """Rejects with InquiryUnknown."""
    inquiry = view.get(INQUIRY, inquiry_id)
    if inquiry is None:
        raise InquiryUnknown("There is no inquiry with this id on this ledger.", "inquiry_id")
    return inquiry


def require_answerable(inquiry_id: str, call: Call) -> Inquiry:
    """The inquiry that the sender still owes an answer to. Rejects with InquiryUnknown, NotTheSeller, InquiryAnswered."""
    inquiry = require_inquiry(inquiry_id, call.view)
    if call.sender.organization != inquiry.seller:
        raise NotTheSeller("Only the seller that was asked answers an inquiry.", "signer")
    if inquiry.answered_at_ms:
        raise InquiryAnswered("This inquiry has its answer; there is exactly one.", "inquiry_id")
    return inquiry


def is_in_window(inquiry: Inquiry, time_ms: int) -> bool:
    """Whether an answer at `time_ms` is in time; the window's last millisecond still is. Req: Q-07."""
    return time_ms <= inquiry.respond_by_ms


def count_answer(inquiry: Inquiry, call: Call) -> ResponseRecord:
    """The seller's record with this answer in it.

    A window that has ended counts as unanswered once, whether its deadline has run yet or not. Req: Q-07.
    """
    record = response_record(call.view, call.ledger_id, inquiry.seller)
    if is_in_window(inquiry, call.block.time_ms):
        return replace(record, answered=record.answered + 1)
    pending = 1 if inquiry.status == InquiryStatus.RECEIVED else 0
    return replace(record, late=record.late + 1, deemed=record.deemed + pending)


def response_record(view: View, ledger_id: str, seller: str) -> ResponseRecord:
    """The seller's record, with zeros if there is none yet."""
    record_id = derive_id(RESPONSE_RECORD.prefix, ledger_id, seller)
    return view.get(RESPONSE_RECORD, record_id) or ResponseRecord(id=record_id, seller=seller)


def _require_agreement(command: SubmitInquiry, buyer: str, view: View) -> Agreement:
    if command.seller == buyer:
        raise SellerIsBuyer("An organization does not buy from itself.", "seller")
    # Every agreement on the ledger is in force: there is no other status yet.
    agreement = agreement_of(view, command.agreement_id)
    if buyer not in agreement.parties or command.seller not in agreement.parties:
        raise AgreementUnknown("Name the agreement in force between you and this seller.", "agreement_id")
    return agreement


def _require_item_ids(items: tuple[InquiryItem, ...], items_max: int) -> None:
    if not items:
        raise ItemsMissing("An inquiry asks for at least one item.", "items")
    if len(items) > items_max:
        raise TooManyItems(f"At most {items_max} items are allowed.", "items")
    seen: dict[str, None] = {}
    for place, item in enumerate(items):
        if not item.id:
            raise ItemIdMissing("Every item needs an id.", f"items[{place}].id")
        if item.id in seen:
            raise ItemIdDoubled(f"Two items have the id {item.id}.", f"items[{place}].id")
        seen[item.id] = None


def _require_item(item: InquiryItem, path: str) -> dict[str, Json]:
    """The parsed product of an item that is complete in itself. Rejects as `submit_inquiry` says. Req: Q-02, Q-13."""
    if item.action != Action.ADD:
        raise ActionNotSupported("Only new services can be asked for yet.", f"{path}.action")
    if not item.offering:
        raise GroupMissing("The offering says what service is asked for.", f"{path}.offering")
    if not item.product:
        raise GroupMissing("The product holds the service's attributes.", f"{path}.product")
    product = require_canonical(item.product, f"{path}.product")
    if not isinstance(product, dict) or not isinstance(product.get("productConfiguration"), dict):
        raise GroupMissing("The configuration holds the service's attributes.", f"{path}.product.productConfiguration")
    if may_be_personal(item.product):
        require_impersonal(product, f"{path}.product")
    offering = product.get("productOffering")
    if not isinstance(offering, dict) or offering.get("id") != item.offering:
        raise OfferingMismatch("The product names another offering.", f"{path}.offering")
    if item.term is None:
        raise GroupMissing("The term is part of the commercial requirements.", f"{path}.term")
    if wrong := require_term_form(item.term):
        raise TermInvalid("The term's amount or roll interval is not possible.", f"{path}.term.{wrong}")
    require_time(item.installation_interval_ms, f"{path}.installation_interval_ms")
    if item.references:
        require_impersonal(require_canonical(item.references, f"{path}.references"), f"{path}.references")
    return product


def _require_relations(items: tuple[InquiryItem, ...]) -> None:
    """Rejects with the first of: RelationUnknown, RelationDoubled, RelationCycle, RelationsMissing. Req: Q-02."""
    ids = {item.id: place for place, item in enumerate(items)}
    for place, item in enumerate(items):
        seen: dict[tuple[str, str], None] = {}
        for number, relation in enumerate(item.relations):
            path = f"items[{place}].relations[{number}]"
            if relation.item_id not in ids:
                raise RelationUnknown(f"There is no item {relation.item_id}.", f"{path}.item_id")
            if (relation.type, relation.item_id) in seen:
                raise RelationDoubled("This relation stands there already.", path)
            seen[relation.type, relation.item_id] = None
    for place in _places_in_circles(items, ids):
        raise RelationCycle("These relations lead around in a circle.", f"items[{place}].relations")
    if len(items) > 1 and not any(item.relations for item in items):
        raise RelationsMissing("Say how the items are related, or send an inquiry for each.", "items")


def _places_in_circles(items: tuple[InquiryItem, ...], ids: dict[str, int]) -> list[int]:
    """Items from which relations lead into a circle, after all that end somewhere are taken away one by one."""
    open_edges = [len(item.relations) for item in items]
    sources: list[list[int]] = [[] for _ in items]
    for place, item in enumerate(items):
        for relation in item.relations:
            sources[ids[relation.item_id]].append(place)
    ended = [place for place, count in enumerate(open_edges) if count == 0]
    for place in ended:  # grows while it is walked
        for source in sources[place]:
            open_edges[source] -= 1
            if open_edges[source] == 0:
                ended.append(source)
    return [place for place, count in enumerate(open_edges) if count > 0]


def connected(items: tuple[InquiryItem, ...]) -> tuple[int, ...]:
    """For each item the place of the first of its group: items that relations join, in either direction.

    Relations to items that are not there are passed over.
    """
    places = {item.id: place for place, item in enumerate(items)}
    neighbours: list[list[int]] = [[] for _ in items]
    for place, item in enumerate(items):
        for relation in item.relations:
            other = places.get(relation.item_id)
            if other is not None:
                neighbours[place].append(other)
                neighbours[other].append(place)
    group = [-1] * len(items)
    for first in range(len(items)):
        reached = [first] if group[first] < 0 else []
        for place in reached:  # grows while it is walked
            if group[place] < 0:
                group[place] = first
                reached.extend(neighbours[place])
    return tuple(group)


def _require_places_and_targets(
    command: SubmitInquiry, products: tuple[dict[str, Json], ...], agreement: Agreement
) -> None:
    """Location and performance of every item: its own, or those of items that it is related to. Req: Q-13.

    An existing product that an item relates to has its place. Performance may also be the agreement's targets.
    """
    groups = connected(command.items)
    placed = {group: None for group, product in zip(groups, products, strict=True) if _has_place(product)}
    aimed = {group: None for group, product in zip(groups, products, strict=True) if _has_targets(product)}
    targets = [target.offering for target in agreement.terms.sla_targets if target.seller == command.seller]
    for place, (group, item) in enumerate(zip(groups, command.items, strict=True)):
        path = f"items[{place}].product"
        if group not in placed:
            raise GroupMissing("Neither this item nor one related to it has a place.", f"{path}.place")
        if group not in aimed and item.offering not in targets and "" not in targets:
            raise GroupMissing(
                "Neither this item, one related to it, nor the agreement says how it must perform.",
                f"{path}.productConfiguration.carrierEthernetSls",
            )


def _has_place(product: dict[str, Json]) -> bool:
    return bool(product.get("place")) or bool(product.get("productRelationship"))


def _has_targets(product: dict[str, Json]) -> bool:
    configuration = product.get("productConfiguration")
    return isinstance(configuration, dict) and bool(configuration.get("carrierEthernetSls"))


def _require_no_loop(command: SubmitInquiry) -> None:
    """Rejects with AncestorsInvalid, Loop."""
    if len(command.ancestors) > ANCESTORS_MAX:
        raise AncestorsInvalid(f"At most {ANCESTORS_MAX} upstream buyers are allowed.", "ancestors")
    seen: dict[str, None] = {}
    for place, ancestor in enumerate(command.ancestors):
        if not ancestor or ancestor in seen:
            raise AncestorsInvalid("Every upstream buyer stands in the list once.", f"ancestors[{place}]")
        seen[ancestor] = None
    if command.seller in seen:
        raise Loop("This seller is upstream of the request already.", "ancestors")


def _require_replaceable(command: SubmitInquiry, buyer: str, view: View) -> None:
    """Rejects with ReplacedInquiryUnknown. Req: O-05."""
    if not command.replaces:
        return
    replaced = view.get(INQUIRY, command.replaces)
    if replaced is None or (replaced.buyer, replaced.seller) != (buyer, command.seller) or not replaced.quote_id:
        raise ReplacedInquiryUnknown("Name an inquiry of yours to this seller that has its quote.", "replaces")


def _respond_by_ms(command: SubmitInquiry, agreement: Agreement, call: Call) -> int:
    """Last millisecond of the response window. Req: Q-07.

    Rejects with TimeOutOfRange, WindowNotPositive, WindowTooShort, WindowTooLong. A wished completion in the past is kept as data.
    """
    require_time(command.requested_completion_ms, "requested_completion_ms")
    terms, limits, now_ms = agreement.terms, call.parameters, call.block.time_ms
    least_ms = max(terms.response_window_min_ms, limits.window_min_ms)
    window_ms = command.response_window_ms or terms.response_window_ms
    if command.response_window_ms:
        require_window(window_ms, least_ms, limits.window_max_ms, "response_window_ms")
    if command.instant:
        window_ms = terms.response_window_min_ms
    wished_ms = command.requested_completion_ms - now_ms
    if 0 < wished_ms < window_ms:
        window_ms = require_window(wished_ms, least_ms, limits.window_max_ms, "requested_completion_ms")
    return now_ms + window_ms


def _inquiry_terms(inquiry: Inquiry) -> Terms:
    return Terms(
        status=inquiry.status,
        party=words((inquiry.buyer, inquiry.seller)),
        offering=words(item.offering for item in inquiry.items),
        related=words(
            (
                inquiry.agreement_id,
                inquiry.quote_id,
                inquiry.late_quote_id,
                inquiry.unable_id,
                inquiry.replaces,
                inquiry.buyer_reference,
                inquiry.project,
            )
        ),
    )


def _inquiry_deadlines(inquiry: Inquiry) -> tuple[Deadline, ...]:
    if inquiry.status == InquiryStatus.RECEIVED:
        return (Deadline(inquiry.respond_by_ms, WINDOW_ENDS),)
    return ()


INQUIRY: Final = Kind(
    name="inquiry",
    prefix="inq",
    record=Inquiry,
    terms=_inquiry_terms,
    deadlines=_inquiry_deadlines,
    on_deadline=MappingProxyType({WINDOW_ENDS: end_window}),
    lifecycle=LIFECYCLE,
    filters=("status", "party", "offering", "related"),
)

UNABLE: Final = Kind(
    name="unable",
    prefix="una",
    record=Unable,
    terms=lambda unable: Terms(
        party=words((unable.buyer, unable.seller)), related=words((unable.inquiry_id, unable.agreement_id))
    ),
    filters=("party", "related"),
)

RESPONSE_RECORD: Final = Kind(
    name="response_record",
    prefix="rsp",
    record=ResponseRecord,
    terms=lambda record: Terms(party=(record.seller,)),
    filters=("party",),
)

CONTRACT: Final = Contract(
    name="inquiry",
    kinds=(INQUIRY, UNABLE, RESPONSE_RECORD),
    messages=(
        MessageType(
            name="submit_inquiry",
            command=SubmitInquiry,
            handler=submit_inquiry,
            roles=(Role.B_BUS,),
            creates=INQUIRY,
            gas=900,
        ),
        MessageType(
            name="declare_unable",
            command=DeclareUnable,
            handler=declare_unable,
            roles=(Role.S_BUS,),
            creates=UNABLE,
        ),
    ),
)
