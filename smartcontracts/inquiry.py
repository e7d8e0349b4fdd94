"""Inquiry: a buyer asks one seller for service elements; it ends in a quote or in 'Unable to Quote'.

Q-02, Q-13 it has technical, operational and commercial groups, and its parts' relations; Q-05, Q-06 one answer of two;
Q-07 inside the response window; Q-08, Q-09 the list of upstream buyers comes with it and has no loop; Q-18 receipt and id
are this document; Q-31 silence is 'Unable to Quote'; Q-47 answers have ids; C-05, C-06 a change of a service is an inquiry
that names it; O-05 a change of a quote is a new inquiry that names the one it replaces; X-05 an element has its lineage id;
X-09 the answer stays owed after the window.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from smartcontracts.agreement import (
    AGREEMENT,
    Agreement,
    AgreementUnknown,
    agreement_of,
    other_party,
    require_may_sell,
)
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
    Sender,
    Terms,
    View,
    step,
)
from smartcontracts.lineage import LINEAGE_KEY_BYTES, MARK, element_lineage, pseudonym
from smartcontracts.service import ServiceItem, require_changeable
from smartcontracts.trade import (
    HASH_BYTES,
    RELEASES_MAX,
    Action,
    Change,
    ChangeKind,
    InquiryItem,
    NotTheSeller,
    QuoteLevel,
    SaltedHash,
    Term,
    may_be_personal,
    require_impersonal,
    require_impersonal_text,
    require_reason,
    require_release,
    require_term_form,
    require_time,
    require_window,
    require_withheld,
    words,
)

ANCESTORS_MAX: Final = 16
# Half of what a document and a transaction may have: every inquiry gets an answer, so its copy must go into its seller's
# internal ledger, and with it what is made of it there.
ITEMS_BYTES_MAX: Final = 256 * 1024
# Of an item: its short fields; of a relation: what it has besides its two words.
_ITEM_BYTES: Final = 512
_RELATION_BYTES: Final = 8
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
    """The list of upstream buyers is empty or too long, has an entry that is none or doubled, or does not end with the buyer."""

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


class LineageKeyInvalid(Rejected):
    """The lineage key, under which upstream buyers have their pseudonyms, is not 32 bytes (X-06)."""

    code = 3053
    grpc = Grpc.INVALID_ARGUMENT


class LineageMissing(Rejected):
    """An item that goes on from another request does not say which element it is (X-05)."""

    code = 3054
    grpc = Grpc.INVALID_ARGUMENT


class LineageInvalid(Rejected):
    """An item's lineage id has not the form of one, or is not the one that its request begins with (X-05)."""

    code = 3055
    grpc = Grpc.INVALID_ARGUMENT


class ChangeMissing(Rejected):
    """An item modifies or deletes, and the inquiry does not say what of which service is to change (C-05)."""

    code = 3056
    grpc = Grpc.INVALID_ARGUMENT


class ChangeActionWrong(Rejected):
    """An item's action does not go with the change: a termination deletes, every other change modifies."""

    code = 3057
    grpc = Grpc.INVALID_ARGUMENT


class ItemsTooLarge(Rejected):
    """The items have more bytes together than a seller can take in, decompose and ask its own sellers for (Q-05)."""

    code = 3061
    grpc = Grpc.INVALID_ARGUMENT


class ChangeItemsWrong(Rejected):
    """The items are not what the change can be about: elements of the service, new ones only, or all for a termination."""

    code = 3060
    grpc = Grpc.INVALID_ARGUMENT


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

    Rejects with the first of: SellerIsBuyer, AgreementUnknown, RolesFixed, ItemsMissing, TooManyItems, ItemIdMissing,
    ItemIdDoubled, ItemsTooLarge, ChangeMissing, ChangeActionWrong, ServiceUnknown, ServiceTerminated, ChangeItemsWrong,
    OfferingMismatch with the service, GroupMissing and what is wrong with one item after the other, what is wrong with the relations,
    location, performance, LineageKeyInvalid, AncestorsInvalid, Loop, LineageMissing, LineageInvalid, ReplacedInquiryUnknown,
    TimeOutOfRange, WindowNotPositive, WindowTooShort, WindowTooLong, WithheldInvalid, PersonalData, ReleaseMissing,
    ReleaseInvalid.
    """
    buyer = call.sender.organization
    agreement = _require_agreement(command, buyer, call.view)
    require_item_ids(command.items, call.parameters.items_max)
    existing = _require_change(command, buyer, call.view)
    _require_requirements(command, existing, agreement)
    items = require_lineage(command.items, command.lineage_key, command.ancestors, buyer, command.seller)
    _require_replaceable(command, buyer, call.view)
    respond_by_ms = _respond_by_ms(command, agreement, call)
    require_withheld(command.withheld)
    for name in ("buyer_reference", "project", "master_id"):
        require_impersonal_text(getattr(command, name), name)
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
        items=items,
        ancestors=command.ancestors,
        withheld=command.withheld,
        requested_completion_ms=command.requested_completion_ms,
        replaces=command.replaces,
        lineage_key=command.lineage_key,
        change=command.change,
        releases=require_release(command.release, call),
        master_id=command.master_id,
    )
    return Outcome(writes=(inquiry,), events=(Event("inquiry.received", inquiry),))


def declare_unable(command: DeclareUnable, call: Call) -> Outcome:
    """Answer 'Unable to Quote', once; it is still owed after the window (X-09). Req: Q-06, Q-47.

    Rejects with the first of: InquiryUnknown, NotTheSeller, InquiryAnswered, ReasonInvalid, ReleaseMissing, ReleaseInvalid.
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
        releases=require_release(command.release, call),
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


def admit_inquiry(command: SubmitInquiry, sender: Sender, view: View) -> None:
    """Rejects with RolesFixed, before anything else is looked at: who sells is fixed for an agreement's life. Req: L-16."""
    agreement = view.get(AGREEMENT, command.agreement_id)
    if agreement is not None and sender.organization in agreement.parties:
        require_may_sell(agreement.terms, other_party(agreement, sender.organization), "seller")


def _require_agreement(command: SubmitInquiry, buyer: str, view: View) -> Agreement:
    if command.seller == buyer:
        raise SellerIsBuyer("An organization does not buy from itself.", "seller")
    # Every agreement on the ledger is in force: there is no other status yet.
    agreement = agreement_of(view, command.agreement_id)
    if buyer not in agreement.parties or command.seller not in agreement.parties:
        raise AgreementUnknown("Name the agreement in force between you and this seller.", "agreement_id")
    require_may_sell(agreement.terms, command.seller, "seller")
    return agreement


def require_item_ids(items: tuple[InquiryItem, ...], items_max: int) -> None:
    """Rejects with the first of: ItemsMissing, TooManyItems, ItemIdMissing, ItemIdDoubled, ItemsTooLarge."""
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
    if sum(map(_size_of, items)) > ITEMS_BYTES_MAX:
        raise ItemsTooLarge(f"All items together may have {ITEMS_BYTES_MAX} bytes.", "items")


def _size_of(item: InquiryItem) -> int:
    """About as many bytes as it takes, and no fewer but for what short texts have over the usual."""
    relations = sum(len(one.item_id) + len(one.type) + _RELATION_BYTES for one in item.relations)
    return len(item.product) + len(item.references) + relations + _ITEM_BYTES


def _require_change(command: SubmitInquiry, buyer: str, view: View) -> dict[str, ServiceItem]:
    """The elements of the service that is to change, by id; none without a change. Req: C-01, C-05, C-06.

    Rejects with the first of: ChangeMissing, ChangeActionWrong, ServiceUnknown, ServiceTerminated, ChangeItemsWrong,
    OfferingMismatch.
    """
    change = command.change
    for place, item in enumerate(command.items):
        if change is None and item.action != Action.ADD:
            raise ChangeMissing("Say what is to change of which service.", "change")
        if change is not None and item.action != _action_of(change.kind):
            raise ChangeActionWrong(
                f"A {change.kind} has items to {_action_of(change.kind)}.", f"items[{place}].action"
            )
    if change is None:
        return {}
    service = require_changeable(change.service_id, buyer, command.seller, view)
    elements = {element.id: element for element in service.items}
    _require_elements(command.items, change.kind, elements)
    return elements


def _action_of(kind: ChangeKind) -> Action:
    return Action.DELETE if kind == ChangeKind.TERMINATION else Action.MODIFY


def _require_elements(items: tuple[InquiryItem, ...], kind: ChangeKind, elements: dict[str, ServiceItem]) -> None:
    """Rejects with ChangeItemsWrong, OfferingMismatch. Of a deletion the offering may be left out."""
    known = [item.id for item in items if item.id in elements]
    if kind == ChangeKind.TERMINATION and len(known) < len(elements):
        raise ChangeItemsWrong(f"A termination names every element: {', '.join(elements)}.", "items")
    if known and len(known) < len(items):
        raise ChangeItemsWrong("Change elements of the service, or add new ones; ask for each in its turn.", "items")
    for place, item in enumerate(items):
        element = elements.get(item.id)
        left_out = item.action == Action.DELETE and not item.offering
        if element is not None and item.offering != element.offering and not left_out:
            raise OfferingMismatch(f"The element is of the offering {element.offering}.", f"items[{place}].offering")


def _require_requirements(command: SubmitInquiry, existing: dict[str, ServiceItem], agreement: Agreement) -> None:
    """Rejects with what is wrong with the items, the relations, location or performance. Req: Q-02, Q-13.

    A service that ends has no requirements any more: only what is given of them must have its form.
    """
    if command.change is not None and command.change.kind == ChangeKind.TERMINATION:
        for place, item in enumerate(command.items):
            _require_deletion(item, f"items[{place}]")
        require_edges(command.items)
        return
    products = tuple(require_item(item, f"items[{place}]") for place, item in enumerate(command.items))
    require_relations(command.items)
    require_places_and_targets(command.items, products, existing, agreement, command.seller)


def _require_deletion(item: InquiryItem, path: str) -> None:
    if item.product:
        require_impersonal(require_canonical(item.product, f"{path}.product"), f"{path}.product")
    if item.term is not None:
        _require_term(item.term, f"{path}.term")
    _require_rest(item, path)


def require_item(item: InquiryItem, path: str) -> dict[str, Json]:
    """The parsed product of an item that is complete in itself. Req: Q-02, Q-13.

    Rejects with the first of: those of `require_product`, GroupMissing, TermInvalid, TimeOutOfRange, and what is wrong
    with the references.
    """
    product = require_product(item.offering, item.product, path)
    if item.term is None:
        raise GroupMissing("The term is part of the commercial requirements.", f"{path}.term")
    _require_term(item.term, f"{path}.term")
    _require_rest(item, path)
    return product


def require_product(offering: str, data: bytes, path: str) -> dict[str, Json]:
    """The product that an item, or what else stands at `path`, has for its offering.

    Rejects with the first of: GroupMissing, those of `require_canonical`, PersonalData, OfferingMismatch.
    """
    if not offering:
        raise GroupMissing("The offering says what service this is about.", f"{path}.offering".removeprefix("."))
    at = f"{path}.product".removeprefix(".")
    if not data:
        raise GroupMissing("The product holds the service's attributes.", at)
    product = require_canonical(data, at)
    if not isinstance(product, dict) or not isinstance(product.get("productConfiguration"), dict):
        raise GroupMissing("The configuration holds the service's attributes.", f"{at}.productConfiguration")
    if may_be_personal(data):
        require_impersonal(product, at)
    named = product.get("productOffering")
    if not isinstance(named, dict) or named.get("id") != offering:
        raise OfferingMismatch("The product names another offering.", f"{path}.offering".removeprefix("."))
    return product


def _require_term(term: Term, path: str) -> None:
    if wrong := require_term_form(term):
        raise TermInvalid("The term's amount or roll interval is not possible.", f"{path}.{wrong}")


def _require_rest(item: InquiryItem, path: str) -> None:
    require_time(item.installation_interval_ms, f"{path}.installation_interval_ms")
    if item.references:
        require_impersonal(require_canonical(item.references, f"{path}.references"), f"{path}.references")


def require_relations(items: tuple[InquiryItem, ...]) -> None:
    """Rejects with the first of: RelationUnknown, RelationDoubled, RelationCycle, RelationsMissing. Req: Q-02, Q-14."""
    require_edges(items)
    if len(items) > 1 and not any(item.relations for item in items):
        raise RelationsMissing("Say how the items are related, or send an inquiry for each.", "items")


def require_edges(items: tuple[InquiryItem, ...]) -> None:
    """Rejects with the first of: RelationUnknown, RelationDoubled, RelationCycle."""
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


def require_places_and_targets(
    items: tuple[InquiryItem, ...],
    products: tuple[dict[str, Json], ...],
    existing: Mapping[str, object],
    agreement: Agreement,
    seller: str,
) -> None:
    """Location and performance of every item: its own, or those of items that it is related to. Req: Q-13.

    An existing product that an item relates to has its place, and so has an existing element that is to change.
    Performance may also be the agreement's targets. Rejects with GroupMissing.
    """
    groups = connected(items)
    placed = {
        group: None
        for group, item, product in zip(groups, items, products, strict=True)
        if item.id in existing or _has_place(product)
    }
    aimed = {group: None for group, product in zip(groups, products, strict=True) if _has_targets(product)}
    targets = [target.offering for target in agreement.terms.sla_targets if target.seller == seller]
    for place, (group, item) in enumerate(zip(groups, items, strict=True)):
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


def require_lineage(
    items: tuple[InquiryItem, ...], lineage_key: bytes, ancestors: tuple[str, ...], buyer: str, seller: str
) -> tuple[InquiryItem, ...]:
    """The items, each with its lineage id, of a request that has no loop. Req: Q-08, Q-09, X-05, X-06.

    Rejects with the first of: LineageKeyInvalid, AncestorsInvalid, Loop, LineageMissing, LineageInvalid.
    """
    if len(lineage_key) != LINEAGE_KEY_BYTES:
        raise LineageKeyInvalid(f"A lineage key has {LINEAGE_KEY_BYTES} bytes.", "lineage_key")
    _require_ancestors(ancestors, pseudonym(lineage_key, buyer))
    if pseudonym(lineage_key, seller) in ancestors:
        raise Loop("This seller is upstream of the request already.", "ancestors")
    lineage_of = _lineage_begun if len(ancestors) == 1 else _lineage_kept
    return tuple(
        replace(item, lineage_id=lineage_of(item, lineage_key, f"items[{place}].lineage_id"))
        for place, item in enumerate(items)
    )


def _require_ancestors(ancestors: tuple[str, ...], own: str) -> None:
    """Rejects with AncestorsInvalid."""
    if not 1 <= len(ancestors) <= ANCESTORS_MAX:
        raise AncestorsInvalid(f"Name the upstream buyers, from 1 to {ANCESTORS_MAX}.", "ancestors")
    seen: dict[str, None] = {}
    for place, ancestor in enumerate(ancestors):
        if MARK.fullmatch(ancestor) is None or ancestor in seen:
            raise AncestorsInvalid(
                "Every upstream buyer stands in the list once, as its pseudonym.", f"ancestors[{place}]"
            )
        seen[ancestor] = None
    if ancestors[-1] != own:
        raise AncestorsInvalid("The last of the list is your own pseudonym.", f"ancestors[{len(ancestors) - 1}]")


def _lineage_begun(item: InquiryItem, lineage_key: bytes, path: str) -> str:
    """The lineage id where the request begins. Rejects with LineageInvalid."""
    first = element_lineage(lineage_key, item.id)
    if item.lineage_id not in ("", first):
        raise LineageInvalid("Where the request begins, the contract gives the lineage id: leave it out.", path)
    return first


def _lineage_kept(item: InquiryItem, _: bytes, path: str) -> str:
    """The lineage id of a request that goes on. Rejects with LineageMissing, LineageInvalid."""
    if not item.lineage_id:
        raise LineageMissing("Say which element of the request upstream this is.", path)
    if MARK.fullmatch(item.lineage_id) is None:
        raise LineageInvalid("A lineage id has 64 lower-case hexadecimal digits.", path)
    return item.lineage_id


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
        service=words((inquiry.change.service_id,) if inquiry.change is not None else ()),
        related=words(
            (
                inquiry.agreement_id,
                inquiry.quote_id,
                inquiry.late_quote_id,
                inquiry.unable_id,
                inquiry.replaces,
                inquiry.buyer_reference,
                inquiry.project,
                inquiry.master_id,
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
    filters=("status", "party", "offering", "service", "related"),
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
            admit=admit_inquiry,
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
