"""LSO Sonata (Grace): quote requests and product orders to our commands, and documents to Sonata's answers.

Pure functions of bytes and context. What is about a person, and free text, is cut out wherever it stands and returned to be
kept in this node; only its salted hash goes on the ledger. What a request holds and we don't know is refused, never dropped.
docs/sonata.md has the table.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Final, Generic, TypeVar

from smartcontracts.agreement import AgreementUnknown
from smartcontracts.canonical_json import Json, Number, dump, load
from smartcontracts.inquiry import Inquiry, InquiryStatus, SubmitInquiry
from smartcontracts.kernel import Grpc, Rejected
from smartcontracts.money import Rate
from smartcontracts.order import Order, OrderItem, OrderStatus, PlaceOrder
from smartcontracts.quote import Quote, QuoteItem, QuoteStatus
from smartcontracts.trade import (
    PERSONAL_KEYS,
    TERM_AMOUNT_MAX,
    UNIT_MS,
    Action,
    Change,
    ChangeKind,
    EndAction,
    InquiryItem,
    ItemRelation,
    PeriodLabel,
    Price,
    QuoteLevel,
    SaltedHash,
    Term,
    TermUnit,
    holds_mail_address,
)

T = TypeVar("T")
Object = dict[str, Json]

SALT_BYTES: Final = 32
_RATE_DIGITS: Final = 9
_INSTANT: Final = re.compile(
    r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,6})?(?:Z|[+-]\d\d:\d\d)", re.ASCII | re.IGNORECASE
)

# What is cut out, and under which subject its hash stands on the ledger.
_SUBJECTS: Final = MappingProxyType(
    {
        "relatedContactInformation": "contacts",
        "note": "notes",
        "description": "notes",
        "billingAccount": "billing",
        "billingContact": "billing",
        "endCustomerName": "end_customer",
        "relatedBuyerPON": "references",
    }
)
_OTHER_SUBJECT: Final = "other"
# Free text and accounts of a request or an item; nothing of it is anybody else's business.
_PRIVATE_MEMBERS: Final = ("relatedContactInformation", "note", "description")
_PRIVATE_ORDER_MEMBERS: Final = ("billingAccount", "endCustomerName", "relatedBuyerPON")
_QUOTE_MEMBERS: Final = (
    "requestedQuoteCompletionDate",
    "externalId",
    "buyerRequestedQuoteLevel",
    "projectId",
    "instantSyncQuote",
    "quoteItem",
)
_QUOTE_ITEM_MEMBERS: Final = (
    "id",
    "action",
    "product",
    "agreementName",
    "requestedQuoteItemTerm",
    "quoteItemRelationship",
    "requestedQuoteItemInstallationInterval",
    "dealReference",
    "productOfferingQualificationItem",
)
_ORDER_MEMBERS: Final = ("externalId", "projectId", "productOrderItem")
_ORDER_ITEM_MEMBERS: Final = (
    "id",
    "action",
    "product",
    "agreementName",
    "requestedItemTerm",
    "productOrderItemRelationship",
    "expediteIndicator",
    "requestedCompletionDate",
    "quoteItem",
    "productOfferingQualificationItem",
)
# Requirements that the contracts can't keep yet: to pass over them would be to promise them.
_UNSUPPORTED_ORDER_MEMBERS: Final = ("coordinatedAction", "tspRestorationPriority")
_TERM_MEMBERS: Final = ("duration", "endOfTermAction", "rollInterval")
_PRODUCT_MEMBERS: Final = ("productOffering", "productConfiguration", "place", "productRelationship", "href")


class SonataRequestUnknown(Rejected):
    """The JSON is neither a quote request nor a product order."""

    code = 9051
    grpc = Grpc.INVALID_ARGUMENT


class SonataFieldMissing(Rejected):
    """A field that the request needs is not there."""

    code = 9052
    grpc = Grpc.INVALID_ARGUMENT


class SonataFieldUnknown(Rejected):
    """A field that is not one of Sonata's."""

    code = 9053
    grpc = Grpc.INVALID_ARGUMENT


class SonataFieldWrong(Rejected):
    """A field's value is of the wrong type, or not one of Sonata's."""

    code = 9054
    grpc = Grpc.INVALID_ARGUMENT


class SonataFieldNotSupported(Rejected):
    """A field asks for something that this version can't keep."""

    code = 9055


class SonataQuoteUnnamed(Rejected):
    """The order names no quote, or several, and none was given beside it."""

    code = 9056
    grpc = Grpc.INVALID_ARGUMENT


class SonataServiceUnknown(Rejected):
    """A product to change or end is not the given service's element of the item's id, or no service was given."""

    code = 9057
    grpc = Grpc.INVALID_ARGUMENT


@dataclass(frozen=True, slots=True, kw_only=True)
class QuoteContext:
    """What a quote request does not say: whom it goes to, under which agreement and its name, and our own fields."""

    seller: str
    agreement_id: str
    agreement_name: str
    response_window_ms: int = 0
    # Under the key the ancestors have their pseudonyms; the last of them is the buyer's own.
    lineage_key: bytes = b""
    ancestors: tuple[str, ...] = ()
    replaces: str = ""
    # The service that items to modify or delete are of, and what a modification is: Sonata has no word for it.
    service_id: str = ""
    change_kind: ChangeKind = ChangeKind.OTHER


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderContext:
    """What a product order does not say. Without `quote_id` the order's own quoteItem must name the quote.

    `service_id` is the service that the quote is about, if it is about a change.
    """

    agreement_name: str
    acceptance_window_ms: int
    activation_window_ms: int
    quote_id: str = ""
    inquiry_id: str = ""
    service_id: str = ""


@dataclass(frozen=True, slots=True)
class Mapped(Generic[T]):
    """A command, and what stays in this node: subject to canonical JSON of {pointer: value}."""

    command: T
    withheld: Mapping[str, bytes]


@dataclass(slots=True)
class _Cut:
    """Gathers what is cut out, by subject and JSON pointer."""

    found: dict[str, Object] = field(default_factory=dict)

    def keep(self, key: str, pointer: str, value: Json) -> None:
        self.found.setdefault(_SUBJECTS.get(key, _OTHER_SUBJECT), {})[pointer] = value

    def take(self, source: Object, keys: Iterable[str], pointer: str) -> None:
        for key in keys:
            if key in source:
                self.keep(key, f"{pointer}/{key}", source[key])

    def clean(self, value: Json, pointer: str) -> Json:
        """`value` without what is about persons: by key, and every text that holds a mail address."""
        if isinstance(value, dict):
            kept: Object = {}
            for key, one in value.items():
                inner = f"{pointer}/{key}"
                if key in PERSONAL_KEYS or _has_address(one) or _has_address(key):
                    self.keep(key, inner, one)
                else:
                    kept[key] = self.clean(one, inner)
            return kept
        if isinstance(value, list):
            listed: list[Json] = []
            for place, one in enumerate(value):
                inner = f"{pointer}/{place}"
                if _has_address(one):
                    self.keep("", inner, one)
                else:
                    listed.append(self.clean(one, inner))
            return listed
        return value

    def withheld(self) -> dict[str, bytes]:
        return {subject: dump(self.found[subject]) for subject in sorted(self.found)}


def withheld_salt(secret: bytes, subject: str) -> bytes:
    """The salt of one subject: what is shown with it says nothing about the others. `secret` has 32 random bytes."""
    if len(secret) != SALT_BYTES:
        raise ValueError(f"a salt has {SALT_BYTES} bytes, not {len(secret)}")
    return hashlib.sha256(b"syngraph/withheld/salt/1" + secret + subject.encode()).digest()


def withheld_hash(salt: bytes, data: bytes) -> bytes:
    """What stands on the ledger for `data`, with the subject's salt."""
    return hashlib.sha256(b"syngraph/withheld/1" + salt + data).digest()


def withheld_file(document_id: str, withheld: Mapping[str, bytes], secret: bytes) -> str:
    """What the owner keeps in its node, as JSON: each subject withheld from a document, with the salt that opens its hash."""
    kept = {
        subject: {"salt": withheld_salt(secret, subject).hex(), "json": data.decode()}
        for subject, data in withheld.items()
    }
    return json.dumps({"document": document_id, "withheld": kept}, indent=1, ensure_ascii=False) + "\n"


def inquiry_from_quote_request(data: bytes, context: QuoteContext, secret: bytes) -> Mapped[SubmitInquiry]:
    """A Quote_Create as the command that asks for it.

    Rejects as `canonical_json.load`, and with the first of, in the order of the request: SonataRequestUnknown,
    SonataFieldUnknown, SonataFieldMissing, SonataFieldWrong, SonataFieldNotSupported, SonataServiceUnknown, AgreementUnknown.
    """
    request = _request(data, "quoteItem")
    cut = _Cut()
    cut.take(request, (*_PRIVATE_MEMBERS, *_annotations(request)), "")
    _refuse_unknown(request, (*_QUOTE_MEMBERS, *_PRIVATE_MEMBERS), "")
    listed = _list(request["quoteItem"], "quoteItem")
    items = tuple(
        _inquiry_item(_object(item, path), path, f"/quoteItem/{place}", context, cut)
        for place, item in enumerate(listed)
        for path in (f"quoteItem[{place}]",)
    )
    reference, project = _reference(request, "externalId", cut), _reference(request, "projectId", cut)
    command = SubmitInquiry(
        seller=context.seller,
        agreement_id=context.agreement_id,
        level=_word(QuoteLevel, _required(request, "buyerRequestedQuoteLevel", ""), "buyerRequestedQuoteLevel"),
        items=items,
        buyer_reference=reference,
        project=project,
        response_window_ms=context.response_window_ms,
        instant=_flag(request.get("instantSyncQuote", False), "instantSyncQuote"),
        requested_completion_ms=_instant(request, "requestedQuoteCompletionDate", ""),
        lineage_key=context.lineage_key,
        ancestors=context.ancestors,
        replaces=context.replaces,
        change=_change(items, context),
        withheld=_hashes(cut, secret),
    )
    return Mapped(command, cut.withheld())


def order_from_product_order(data: bytes, context: OrderContext, secret: bytes) -> Mapped[PlaceOrder]:
    """A ProductOrder_Create as the command that places it; it restates all its items.

    The quote is the context's, or the one that the items' `quoteItem` name; their item ids are kept. Rejects as
    `inquiry_from_quote_request`, and with SonataQuoteUnnamed.
    """
    request = _request(data, "productOrderItem")
    cut = _Cut()
    cut.take(request, (*_PRIVATE_MEMBERS, *_annotations(request)), "")
    _refuse_unknown(request, (*_ORDER_MEMBERS, *_PRIVATE_MEMBERS), "")
    listed = [
        _object(item, f"productOrderItem[{place}]")
        for place, item in enumerate(_list(request["productOrderItem"], "productOrderItem"))
    ]
    quoted_ids = _quoted_ids(listed)
    items = tuple(
        _order_item(item, f"productOrderItem[{place}]", f"/productOrderItem/{place}", quoted_ids, context, cut)
        for place, item in enumerate(listed)
    )
    command = PlaceOrder(
        quote_id=context.quote_id or _named_quote(listed),
        inquiry_id=context.inquiry_id,
        acceptance_window_ms=context.acceptance_window_ms,
        activation_window_ms=context.activation_window_ms,
        items=items,
        buyer_reference=_reference(request, "externalId", cut),
        requested_completion_ms=max(item.requested_completion_ms for item in items),
        withheld=_hashes(cut, secret),
    )
    # The group is the inquiry's; the order's own name for it stays here.
    return Mapped(command, cut.withheld())


def is_product_order(data: bytes) -> bool:
    """Whether the JSON is a product order, rather than a quote request. Rejects with SonataRequestUnknown."""
    value = load(data, "request")
    if isinstance(value, dict) and ("quoteItem" in value) != ("productOrderItem" in value):
        return "productOrderItem" in value
    raise SonataRequestUnknown("Give a quote request (quoteItem) or a product order (productOrderItem).", "request")


def agreement_name(data: bytes) -> str:
    """The agreement that the first item naming one names; "" if none does."""
    key = "productOrderItem" if is_product_order(data) else "quoteItem"
    for place, item in enumerate(_list(_request(data, key)[key], key)):
        name = _object(item, f"{key}[{place}]").get("agreementName")
        if name is not None:
            return _text(name, f"{key}[{place}].agreementName")
    return ""


# The two requests in each other's form


_SHARED_MEMBERS: Final = ("id", "action", "product", "agreementName", "productOfferingQualificationItem")


def product_order_of(quote_request: bytes) -> bytes:
    """The product order that orders just what a quote request asks for, in canonical form."""
    request = _request(quote_request, "quoteItem")
    return _derived(
        request,
        "quoteItem",
        "productOrderItem",
        {"requestedQuoteItemTerm": "requestedItemTerm", "quoteItemRelationship": "productOrderItemRelationship"},
        {},
    )


def quote_request_of(product_order: bytes) -> bytes:
    """The firm quote request that asks for just what a product order orders, in canonical form.

    Items have the ids that the order says its quote has.
    """
    request = _request(product_order, "productOrderItem")
    request["productOrderItem"] = _with_quoted_ids(request["productOrderItem"])
    return _derived(
        request,
        "productOrderItem",
        "quoteItem",
        {"requestedItemTerm": "requestedQuoteItemTerm", "productOrderItemRelationship": "quoteItemRelationship"},
        {"buyerRequestedQuoteLevel": QuoteLevel.FIRM.value, "instantSyncQuote": False},
    )


def _with_quoted_ids(listed: Json) -> list[Json]:
    """The order's items under their quote's ids, also where others relate to them."""
    items = [_object(item, f"productOrderItem[{place}]") for place, item in enumerate(_list(listed, "productOrderItem"))]
    quoted, key = _quoted_ids(items), "productOrderItemRelationship"
    renamed: list[Json] = []
    for place, item in enumerate(items):
        path = f"productOrderItem[{place}]"
        edges: list[Json] = []
        for number, one in enumerate(_list(item.get(key, []), f"{path}.{key}")):
            edge = _object(one, f"{path}.{key}[{number}]")
            other = _text(_required(edge, "id", f"{path}.{key}[{number}]"), f"{path}.{key}[{number}].id")
            edges.append({**edge, "id": quoted.get(other, other)})
        own = quoted[_text(item["id"], f"{path}.id")]
        renamed.append({**item, "id": own, **({key: edges} if edges else {})})
    return renamed


def _derived(request: Object, old: str, new: str, renamed: dict[str, str], more: Object) -> bytes:
    shared = ("externalId", "projectId", "relatedContactInformation")
    built: Object = {key: request[key] for key in shared if key in request}
    items: list[Json] = []
    for place, one in enumerate(_list(request[old], old)):
        item = _object(one, f"{old}[{place}]")
        kept: Object = {key: item[key] for key in _SHARED_MEMBERS if key in item}
        items.append(kept | {renamed[key]: item[key] for key in renamed if key in item})
    return dump(built | more | {new: items})


# Items


def _inquiry_item(item: Object, path: str, pointer: str, context: QuoteContext, cut: _Cut) -> InquiryItem:
    cut.take(item, (*_PRIVATE_MEMBERS, *_annotations(item)), pointer)
    _refuse_unknown(item, (*_QUOTE_ITEM_MEMBERS, *_PRIVATE_MEMBERS), path)
    item_id = _text(_required(item, "id", path), f"{path}.id")
    action = _action(item, item_id, context.service_id, path)
    _require_agreement_name(item, context.agreement_name, path)
    offering, product = _product(item, action, path, pointer, cut)
    references: Object = {
        key: cut.clean(item[key], f"{pointer}/{key}")
        for key in ("dealReference", "productOfferingQualificationItem")
        if key in item
    }
    interval = item.get("requestedQuoteItemInstallationInterval")
    return InquiryItem(
        id=item_id,
        action=action,
        offering=offering,
        product=product,
        relations=_relations(item, "quoteItemRelationship", path, {}),
        term=_term(item, "requestedQuoteItemTerm", path, pointer, cut),
        installation_interval_ms=(
            0 if interval is None else _duration_ms(interval, f"{path}.requestedQuoteItemInstallationInterval")
        ),
        references=dump(references) if references else b"",
    )


def _order_item(
    item: Object, path: str, pointer: str, quoted_ids: Mapping[str, str], context: OrderContext, cut: _Cut
) -> OrderItem:
    private = (*_PRIVATE_MEMBERS, *_PRIVATE_ORDER_MEMBERS)
    cut.take(item, (*private, *_annotations(item)), pointer)
    for key in _UNSUPPORTED_ORDER_MEMBERS:
        if item.get(key):
            raise SonataFieldNotSupported("This can't be kept yet, so it is not promised.", f"{path}.{key}")
    _refuse_unknown(item, (*_ORDER_ITEM_MEMBERS, *_UNSUPPORTED_ORDER_MEMBERS, *private), path)
    item_id = quoted_ids[_text(_required(item, "id", path), f"{path}.id")]
    action = _action(item, item_id, context.service_id, path)
    _require_agreement_name(item, context.agreement_name, path)
    offering, product = _product(item, action, path, pointer, cut)
    cut.take(item, ("productOfferingQualificationItem",), pointer)
    return OrderItem(
        id=item_id,
        action=action,
        offering=offering,
        product=product,
        relations=_relations(item, "productOrderItemRelationship", path, quoted_ids),
        term=_term(item, "requestedItemTerm", path, pointer, cut),
        expedite=_flag(item.get("expediteIndicator", False), f"{path}.expediteIndicator"),
        requested_completion_ms=_instant(item, "requestedCompletionDate", path),
    )


def _action(item: Object, item_id: str, service_id: str, path: str) -> Action:
    """What is to be done with the item's product, which is there exactly if it is to change or to end.

    Rejects with the first of: SonataFieldMissing, SonataFieldWrong, SonataFieldNotSupported, SonataServiceUnknown.
    """
    action = _word(Action, _required(item, "action", path), f"{path}.action")
    product, at = _object(_required(item, "product", path), f"{path}.product"), f"{path}.product.id"
    if action == Action.ADD:
        if "id" in product:
            raise SonataFieldNotSupported("A new product has no id yet.", at)
        return action
    named, _, element = _text(_required(product, "id", f"{path}.product"), at).partition("/")
    if named != (service_id or None) or element not in ("", item_id):
        raise SonataServiceUnknown(
            "Give the service beside the request; the product's id is the service's, a slash, and the item's.", at
        )
    return action


def _change(items: tuple[InquiryItem, ...], context: QuoteContext) -> Change | None:
    """What is asked to change of the service; none if everything is new. What does not go together, the contract refuses."""
    actions = [item.action for item in items]
    if Action.DELETE in actions:
        return Change(service_id=context.service_id, kind=ChangeKind.TERMINATION)
    return Change(service_id=context.service_id, kind=context.change_kind) if Action.MODIFY in actions else None


def _require_agreement_name(item: Object, name: str, path: str) -> None:
    given = item.get("agreementName")
    if given is not None and _text(given, f"{path}.agreementName") != name:
        raise AgreementUnknown(f"The agreement with this partner is named {name!r}.", f"{path}.agreementName")


def _product(item: Object, action: Action, path: str, pointer: str, cut: _Cut) -> tuple[str, bytes]:
    """The offering's id, and the product's canonical JSON without its id and what is about persons.

    Of a product that ends, both may be empty: its id says enough.
    """
    product = _object(_required(item, "product", path), f"{path}.product")
    cut.take(product, _annotations(product), f"{pointer}/product")
    _refuse_unknown(product, ("id", *_PRODUCT_MEMBERS, *PERSONAL_KEYS), f"{path}.product")
    kept = {key: value for key, value in product.items() if key != "id" and not key.startswith("@")}
    if action == Action.DELETE and "productOffering" not in product:
        return "", dump(cut.clean(kept, f"{pointer}/product")) if kept else b""
    offering_path = f"{path}.product.productOffering"
    offering = _object(_required(product, "productOffering", f"{path}.product"), offering_path)
    offering_id = _text(_required(offering, "id", offering_path), f"{offering_path}.id")
    return offering_id, dump(cut.clean(kept, f"{pointer}/product"))


def _relations(item: Object, key: str, path: str, renamed: Mapping[str, str]) -> tuple[ItemRelation, ...]:
    relations = []
    for place, one in enumerate(_list(item.get(key, []), f"{path}.{key}")):
        inner = f"{path}.{key}[{place}]"
        relation = _object(one, inner)
        _refuse_unknown(relation, ("id", "relationshipType"), inner)
        other = _text(_required(relation, "id", inner), f"{inner}.id")
        relations.append(
            ItemRelation(
                type=_text(_required(relation, "relationshipType", inner), f"{inner}.relationshipType"),
                item_id=renamed.get(other, other),
            )
        )
    return tuple(relations)


def _term(item: Object, key: str, path: str, pointer: str, cut: _Cut) -> Term | None:
    """The term; its name and description are labels, which differ where the term does not."""
    if key not in item:
        return None
    inner = f"{path}.{key}"
    term = _object(item[key], inner)
    labels = [label for label in ("name", "description") if label in term]
    for label in labels:
        cut.found.setdefault("labels", {})[f"{pointer}/{key}/{label}"] = term[label]
    _refuse_unknown(term, (*_TERM_MEMBERS, *labels), inner)
    amount, unit = _duration(_required(term, "duration", inner), f"{inner}.duration")
    roll = term.get("rollInterval")
    if roll is not None:
        _duration(roll, f"{inner}.rollInterval")
    return Term(
        amount=amount,
        unit=unit,
        end_action=_word(EndAction, _required(term, "endOfTermAction", inner), f"{inner}.endOfTermAction"),
        roll_interval=b"" if roll is None else dump(roll),
    )


def _quoted_ids(items: list[Object]) -> dict[str, str]:
    """The order's item ids to the quote's. Rejects with SonataFieldWrong for an id that stands twice."""
    ids: dict[str, str] = {}
    for place, item in enumerate(items):
        path = f"productOrderItem[{place}]"
        item_id = _text(_required(item, "id", path), f"{path}.id")
        if item_id in ids:
            raise SonataFieldWrong("Another item has this id.", f"{path}.id")
        reference = item.get("quoteItem")
        if reference is None:
            ids[item_id] = item_id
        else:
            named = _object(reference, f"{path}.quoteItem")
            ids[item_id] = _text(_required(named, "id", f"{path}.quoteItem"), f"{path}.quoteItem.id")
    return ids


def _named_quote(items: list[Object]) -> str:
    names: dict[str, None] = {}
    for place, item in enumerate(items):
        path = f"productOrderItem[{place}].quoteItem"
        reference = item.get("quoteItem")
        if reference is not None:
            names[_text(_required(_object(reference, path), "quoteId", path), f"{path}.quoteId")] = None
    if len(names) != 1:
        raise SonataQuoteUnnamed("All items must name one quote, or the quote is given beside the order.", "quoteItem")
    return next(iter(names))


# Values


def _request(data: bytes, items_key: str) -> Object:
    is_order = is_product_order(data)
    if is_order != (items_key == "productOrderItem"):
        raise SonataRequestUnknown(f"The request has no {items_key}.", items_key)
    request = _object(load(data, "request"), "request")
    if not _list(request[items_key], items_key):
        raise SonataFieldMissing("At least one item is needed.", items_key)
    return request


def _annotations(value: Object) -> tuple[str, ...]:
    """@type and the like: the generic members of Sonata's JSON, which say nothing that we need."""
    return tuple(key for key in value if key.startswith("@"))


def _refuse_unknown(value: Object, known: Iterable[str], path: str) -> None:
    allowed = frozenset(known)
    for key in value:
        if key not in allowed and not key.startswith("@"):
            raise SonataFieldUnknown("Sonata has no such field here.", f"{path}.{key}".removeprefix("."))


def _required(value: Object, key: str, path: str) -> Json:
    if value.get(key) is None:
        raise SonataFieldMissing("This field must be given.", f"{path}.{key}".removeprefix("."))
    return value[key]


def _object(value: Json, path: str) -> Object:
    if not isinstance(value, dict):
        raise SonataFieldWrong("This must be an object.", path)
    return value


def _list(value: Json, path: str) -> list[Json]:
    if not isinstance(value, list):
        raise SonataFieldWrong("This must be a list.", path)
    return value


def _text(value: Json, path: str) -> str:
    if not isinstance(value, str) or isinstance(value, Number) or not value:
        raise SonataFieldWrong("This must be a text.", path)
    return value


def _flag(value: Json, path: str) -> bool:
    if not isinstance(value, bool):
        raise SonataFieldWrong("This must be true or false.", path)
    return value


def _word(words: Callable[[str], T], value: Json, path: str) -> T:
    text = _text(value, path)
    try:
        return words(text)
    except ValueError as error:
        raise SonataFieldWrong(f"{text!r} is not one of Sonata's words for this.", path) from error


def _reference(request: Object, key: str, cut: _Cut) -> str:
    """A text of the buyer's own; one with a mail address stays in this node."""
    if request.get(key) in (None, ""):
        return ""
    if _has_address(request[key]):
        cut.keep("relatedBuyerPON", f"/{key}", request[key])
        return ""
    return _text(request[key], key)


def _duration(value: Json, path: str) -> tuple[int, TermUnit]:
    duration = _object(value, path)
    _refuse_unknown(duration, ("amount", "units"), path)
    amount = _required(duration, "amount", path)
    text = dump(amount).decode() if isinstance(amount, Number) else ""
    if not text.isdecimal() or len(text) > len(str(TERM_AMOUNT_MAX)):
        raise SonataFieldWrong("This must be a whole number, from 0 to a million.", f"{path}.amount")
    return int(text), _word(TermUnit, _required(duration, "units", path), f"{path}.units")


def _duration_ms(value: Json, path: str) -> int:
    amount, unit = _duration(value, path)
    return amount * UNIT_MS[unit]


def _instant(source: Object, key: str, path: str) -> int:
    """Unix time in milliseconds of a date-time with its offset; 0 if there is none."""
    if source.get(key) is None:
        return 0
    inner = f"{path}.{key}".removeprefix(".")
    moment = _moment(_text(source[key], inner))
    if moment is None:
        raise SonataFieldWrong("Give date and time with offset, like 2027-03-01T12:00:00Z.", inner)
    return max(0, int(moment.timestamp()) * 1000 + moment.microsecond // 1000)


def _moment(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text.upper()) if _INSTANT.fullmatch(text) else None
    except ValueError:  # the 30th of February
        return None


def _has_address(value: Json) -> bool:
    return isinstance(value, str) and holds_mail_address(value)


def _hashes(cut: _Cut, secret: bytes) -> tuple[SaltedHash, ...]:
    return tuple(
        SaltedHash(subject=subject, sha256=withheld_hash(withheld_salt(secret, subject), data))
        for subject, data in cut.withheld().items()
    )


# Answers


_INQUIRY_STATES: Final = MappingProxyType(
    {
        InquiryStatus.RECEIVED: "acknowledged",
        InquiryStatus.UNABLE: "unableToProvide",
        InquiryStatus.DEEMED_UNABLE: "unableToProvide",
    }
)
_QUOTE_STATES: Final = MappingProxyType(
    {
        QuoteStatus.ISSUED: "approved.orderable",
        QuoteStatus.ORDERED: "accepted",
        QuoteStatus.EXPIRED: "expired",
        QuoteStatus.SUPERSEDED: "declined",
    }
)
_ORDER_STATES: Final = MappingProxyType(
    {
        OrderStatus.PLACED: "acknowledged",
        OrderStatus.ACCEPTED: "inProgress",
        OrderStatus.OVERDUE: "inProgress",
        OrderStatus.EXTENSION_REQUESTED: "inProgress",
        OrderStatus.REJECTED: "rejected",
        OrderStatus.ACTIVATED: "completed",
        OrderStatus.FAILED: "failed",
        OrderStatus.CANCELLED: "cancelled",
    }
)


def quote_answer(inquiry: Inquiry, quote: Quote | None) -> bytes:
    """Sonata's Quote for an inquiry and its answer, as JSON; contacts are for this node to add from what it kept."""
    state, item_state = _quote_state(inquiry, quote)
    answer: Object = {
        "id": inquiry.id if quote is None else quote.id,
        "quoteDate": _date(inquiry.received_at_ms),
        "state": state,
        "buyerRequestedQuoteLevel": inquiry.level.value,
        "instantSyncQuote": False,
        "externalId": inquiry.buyer_reference,
        "projectId": inquiry.project,
        "expectedQuoteCompletionDate": _date(inquiry.respond_by_ms),
        "quoteItem": [],
    }
    if inquiry.requested_completion_ms:
        answer["requestedQuoteCompletionDate"] = _date(inquiry.requested_completion_ms)
    answered = {} if quote is None else {item.id: item for item in _answers(quote)}
    changes = "" if inquiry.change is None else inquiry.change.service_id
    answer["quoteItem"] = [_answered_item(item, answered.get(item.id), item_state, changes) for item in inquiry.items]
    if quote is not None:
        answer["quoteLevel"] = quote.level.value
        answer["effectiveQuoteCompletionDate"] = _date(quote.issued_at_ms)
        answer["validFor"] = {"endDateTime": _date(quote.valid_until_ms)}
    return dump({key: value for key, value in answer.items() if value != ""})


def _answers(quote: Quote) -> tuple[QuoteItem, ...]:
    """The quote's items; Sonata has no price of all together, so a bundle's stands at its first item."""
    first, *others = quote.items
    return (replace(first, prices=quote.bundle), *others) if quote.bundle else quote.items


def _quote_state(inquiry: Inquiry, quote: Quote | None) -> tuple[str, str]:
    """States of the quote and of its items."""
    if quote is None:
        state = _INQUIRY_STATES.get(inquiry.status, "inProgress")
        return state, state
    # An estimate, or a late quote that the buyer has not taken: an answer, and nothing to order.
    answered = quote.level == QuoteLevel.BUDGETARY or (quote.late and not quote.taken)
    item_state = "answered" if answered else "approved.orderable"
    state = _QUOTE_STATES[quote.status]
    return (item_state if quote.status == QuoteStatus.ISSUED else state), item_state


def _answered_item(item: InquiryItem, answer: QuoteItem | None, state: str, changes: str) -> Object:
    """`changes` is the service that the item is of, if it is there already."""
    product = _object(load(item.product, "product"), "product") if item.product else {}
    if changes:
        product["id"] = f"{changes}/{item.id}"
    built: Object = {
        "id": item.id,
        "state": state,
        "action": item.action.value,
        "product": product,
        "quoteItemRelationship": [
            {"id": relation.item_id, "relationshipType": relation.type} for relation in item.relations
        ],
    }
    if item.term is not None:
        built["requestedQuoteItemTerm"] = _term_answer(item.term)
    if answer is not None:
        built["quoteItemPrice"] = [_price_answer(price) for price in answer.prices]
        built["subjectToFeasibilityCheck"] = answer.subject_to_feasibility
        if answer.installation_interval_ms:
            minutes = -(-answer.installation_interval_ms // UNIT_MS[TermUnit.CALENDAR_MINUTES])
            built["quoteItemInstallationInterval"] = {
                "amount": Number(str(minutes)),
                "units": TermUnit.CALENDAR_MINUTES.value,
            }
        if item.term is not None:
            built["quoteItemTerm"] = [_term_answer(item.term)]
    return built


def _term_answer(term: Term) -> Object:
    """Sonata asks for a name, which the ledger does not keep: one is made from the length."""
    built: Object = {
        "duration": {"amount": Number(str(term.amount)), "units": term.unit.value},
        "endOfTermAction": term.end_action.value,
        "name": f"{term.amount} {term.unit.value}",
    }
    if term.roll_interval:
        built["rollInterval"] = load(term.roll_interval, "roll_interval")
    return built


def _price_answer(price: Price) -> Object:
    built: Object = {
        "name": price.name or price.price_type.value,
        "priceType": price.price_type.value,
        "price": {"dutyFreeAmount": {"unit": price.rate.currency, "value": _decimal(price.rate)}},
    }
    if price.period_label != PeriodLabel.NONE:
        built["recurringChargePeriod"] = price.period_label.value
    elif price.period_ms:
        # Sonata has no word for it; people still have to see what the amount is for.
        built["description"] = f"per {price.period_ms} ms"
    if price.unit:
        built["unitOfMeasure"] = price.unit
    return built


def order_answer(order: Order) -> bytes:
    """Sonata's ProductOrder for an order, as JSON; contacts are for this node to add from what it kept."""
    state = _ORDER_STATES[order.status]
    answer: Object = {
        "id": order.id,
        "orderDate": _date(order.placed_at_ms),
        "state": state,
        "externalId": order.buyer_reference,
        "productOrderItem": [_ordered_item(order, item, state) for item in order.items],
    }
    if order.ended_at_ms:
        answer["completionDate"] = _date(order.ended_at_ms)
    return dump({key: value for key, value in answer.items() if value != ""})


def _ordered_item(order: Order, item: OrderItem, state: str) -> Object:
    # A deletion may say nothing of its product but which it is.
    product = _object(load(item.product, "product"), "product") if item.product else {}
    if order.service_id:
        product["id"] = f"{order.service_id}/{item.id}"
    built: Object = {
        "id": item.id,
        "state": state,
        "action": item.action.value,
        "product": product,
        "quoteItem": {"id": item.id, "quoteId": order.quote_id},
        "expediteIndicator": item.expedite,
        "productOrderItemRelationship": [
            {"id": relation.item_id, "relationshipType": relation.type} for relation in item.relations
        ],
    }
    if item.term is not None:
        built["requestedItemTerm"] = _term_answer(item.term)
    if item.requested_completion_ms:
        built["requestedCompletionDate"] = _date(item.requested_completion_ms)
    if order.reason:
        built["terminationError"] = [{"code": "otherIssue", "value": order.reason}]
    return built


def _decimal(rate: Rate) -> Number:
    whole, part = divmod(rate.nano, 10**_RATE_DIGITS)
    fraction = str(part).rjust(_RATE_DIGITS, "0").rstrip("0")
    return Number(f"{whole}.{fraction}" if fraction else str(whole))


def _date(time_ms: int) -> str:
    seconds, ms = divmod(time_ms, 1000)
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S") + f".{ms:03d}Z"
