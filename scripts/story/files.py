"""The buyer's two requests: read, completed where one is missing, and checked before anything is started.

With one file only, the other is derived from it. What the ledgers would refuse for certain is refused here, in a sentence.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, ParamSpec, TypeVar

from node.sonata import (
    Mapped,
    OrderContext,
    QuoteContext,
    agreement_name,
    inquiry_from_quote_request,
    is_product_order,
    order_from_product_order,
    product_order_of,
    quote_request_of,
)
from smartcontracts.canonical_json import Json, Number, dump, load
from smartcontracts.inquiry import SubmitInquiry
from smartcontracts.kernel import Rejected
from smartcontracts.order import OrderItem, PlaceOrder
from smartcontracts.trade import InquiryItem

P = ParamSpec("P")
T = TypeVar("T")

DATA: Final = Path(__file__).resolve().parent / "data"
SAMPLE_QUOTE: Final = DATA / "quote-request.json"
SAMPLE_ORDER: Final = DATA / "product-order.json"
AGREEMENT: Final = "Ethernet services 2026"
FILE_BYTES_MAX: Final = 1024 * 1024
_SALT: Final = bytes(32)
_NOBODY: Final = "nobody"
_HINTS: Final = {
    "SONATA_SERVICE_UNKNOWN": "There is no service yet when the story begins: ask for new ones (action add).",
    "SONATA_REQUEST_UNKNOWN": "A quote request has quoteItem, a product order productOrderItem; other requests are not for here.",
    "AGREEMENT_UNKNOWN": "Quote request and product order must name the same agreement.",
}


class FileUnfit(Exception):
    """A given file can't be used; the text says which, why, and what would do."""


@dataclass(frozen=True, slots=True)
class Requests:
    """Both requests as JSON, the file that each came from (one file for both where one is derived), and their agreement's name."""

    quote: bytes
    order: bytes
    quote_from: str
    order_from: str
    agreement: str


def read_requests(quote: Path | None, order: Path | None) -> Requests:
    """The requests of the story. Raises FileUnfit."""
    if quote is None and order is None:
        quote, order = SAMPLE_QUOTE, SAMPLE_ORDER
    quote_data = None if quote is None else _read(quote, wants_order=False)
    order_data = None if order is None else _read(order, wants_order=True)
    quote_from, order_from = str(quote or order), str(order or quote)
    if quote_data is None and order_data is not None:
        quote_data = refused_as_unfit(order_from, quote_request_of, order_data)
    elif order_data is None and quote_data is not None:
        order_data = refused_as_unfit(quote_from, product_order_of, quote_data)
    if quote_data is None or order_data is None:
        raise FileUnfit("Neither a quote request nor a product order was given.")
    names = refused_as_unfit(order_from, agreement_name, order_data), refused_as_unfit(quote_from, agreement_name, quote_data)
    requests = Requests(quote_data, order_data, quote_from, order_from, names[0] or names[1] or AGREEMENT)
    _require_fit(requests, order_first=quote is None)
    return requests


def inquiry_of(data: bytes, context: QuoteContext, secret: bytes) -> Mapped[SubmitInquiry]:
    """The inquiry that a quote request is, and what stays in the sender's node. Rejects as node.sonata."""
    return inquiry_from_quote_request(data, context, secret)


def order_of(data: bytes, context: OrderContext, secret: bytes) -> Mapped[PlaceOrder]:
    """The order that a product order is, and what stays in the sender's node. Rejects as node.sonata."""
    return order_from_product_order(data, context, secret)


def asked_items(requests: Requests) -> tuple[InquiryItem, ...]:
    """What is asked for. Raises FileUnfit."""
    return _asked(requests)


def with_one_value_changed(order: bytes) -> tuple[bytes, str]:
    """The order with one figure of its first item's configuration changed, and the path of that figure.

    An information rate is preferred, then any number, then any text; without a configuration it is the term's length.
    """
    value = load(order, "order")
    items = value.get("productOrderItem") if isinstance(value, dict) else None
    if not isinstance(items, list):
        raise FileUnfit("The product order has no items.")
    for wanted in (_is_rate, _is_number, _is_word):
        for place, item in enumerate(items):
            product = item.get("product") if isinstance(item, dict) else None
            configuration = product.get("productConfiguration") if isinstance(product, dict) else None
            found = _change_first(configuration, wanted, ())
            if found:
                path = f"productOrderItem[{place}].product.productConfiguration{_path(found)}"
                return dump(value), path
    raise FileUnfit("The product order's configuration has no value that could be changed.")


def mail_addresses(data: bytes) -> tuple[str, ...]:
    """Every value of a member that is called emailAddress, sorted."""
    found: set[str] = set()

    def walk(value: Json) -> None:
        if isinstance(value, dict):
            for key, one in value.items():
                if key == "emailAddress" and isinstance(one, str):
                    found.add(one)
                walk(one)
        elif isinstance(value, list):
            for one in value:
                walk(one)

    walk(load(data, "request"))
    return tuple(sorted(found))


def _read(path: Path, *, wants_order: bool) -> bytes:
    try:
        with path.open("rb") as source:
            data = source.read(FILE_BYTES_MAX + 1)
    except OSError as error:
        raise FileUnfit(f"{path}: {error.strerror}.") from error
    if len(data) > FILE_BYTES_MAX:
        raise FileUnfit(f"{path}: at most {FILE_BYTES_MAX} bytes are read.")
    is_order = refused_as_unfit(str(path), is_product_order, data)
    if is_order != wants_order:
        kind, option = ("a product order", "--order") if is_order else ("a quote request", "--quote")
        raise FileUnfit(f"{path}: this is {kind}; give it with {option}.")
    return data


def _require_fit(requests: Requests, *, order_first: bool) -> None:
    """Map both, as the story will, and compare them item by item. Raises FileUnfit, about the given one first."""
    if order_first:
        _ordered(requests)
    asked, ordered = _asked(requests), _ordered(requests)
    wanted = {item.id: _compared(item) for item in asked}
    got = {item.id: _compared(item) for item in ordered}
    hurried = [item.id for item in ordered if item.expedite]
    if hurried:
        raise FileUnfit(
            f"{requests.order_from}: items {', '.join(hurried)} ask for an expedite, which nobody here has a price for. "
            "Leave expediteIndicator out, or set it to false."
        )
    different = [item_id for item_id in {**wanted, **got} if wanted.get(item_id) != got.get(item_id)]
    if different:
        raise FileUnfit(
            f"The product order ({requests.order_from}) does not order what the quote request ({requests.quote_from}) asks for: "
            f"items {', '.join(different)} differ. Give two files that fit, or one of them alone: the other is derived."
        )


def _asked(requests: Requests) -> tuple[InquiryItem, ...]:
    context = QuoteContext(seller=_NOBODY, agreement_id=_NOBODY, agreement_name=requests.agreement)
    return refused_as_unfit(requests.quote_from, inquiry_of, requests.quote, context, _SALT).command.items


def _ordered(requests: Requests) -> tuple[OrderItem, ...]:
    context = OrderContext(
        agreement_name=requests.agreement, acceptance_window_ms=1, activation_window_ms=1, quote_id=_NOBODY
    )
    return refused_as_unfit(requests.order_from, order_of, requests.order, context, _SALT).command.items


def _compared(item: InquiryItem | OrderItem) -> tuple[object, ...]:
    """What must be equal between quote and order, relations in any order."""
    return (item.offering, item.product, sorted(map(str, item.relations)), item.term)


def refused_as_unfit(source: str, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """The call's result; what it refuses becomes a sentence about `source`."""
    try:
        return call(*args, **kwargs)
    except Rejected as refused:
        hint = _HINTS.get(refused.refusal_name(), "")
        field = f" ({refused.field})" if refused.field else ""
        raise FileUnfit(f"{source}: {refused.refusal_name()}{field}: {refused.sentence} {hint}".rstrip()) from refused


Found = tuple[str | int, ...]


def _change_first(value: Json, wanted: Callable[[Found, Json], bool], path: Found) -> Found:
    """Change the first fitting leaf in place, by key order; its path, or nothing."""
    entries: list[tuple[str | int, Json]] = []
    if isinstance(value, dict):
        entries = [(key, value[key]) for key in sorted(value)]
    elif isinstance(value, list):
        entries = list(enumerate(value))
    for key, one in entries:
        here = (*path, key)
        if isinstance(one, dict | list):
            if found := _change_first(one, wanted, here):
                return found
        elif wanted(here, one):
            value[key] = _other(one)  # type: ignore[index]  # a container, since it has entries
            return here
    return ()


def _other(value: Json) -> Json:
    if isinstance(value, Number):
        return Number("1") if value == Number("0") else Number("0")
    return f"{value}-changed"


def _is_rate(path: Found, value: Json) -> bool:
    return isinstance(value, Number) and path[-2:] in (("cir", "irValue"), ("eir", "irValue"))


def _is_number(_: Found, value: Json) -> bool:
    return isinstance(value, Number)


def _is_word(path: Found, value: Json) -> bool:
    return isinstance(value, str) and not str(path[-1]).startswith("@")


def _path(found: Found) -> str:
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in found)
