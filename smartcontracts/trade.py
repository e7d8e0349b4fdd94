"""Trade: what inquiry, quote, order and service share: their items, terms, prices and windows, and who is whose buyer.

A trade has a direction: the sender's organization is the buyer in one and may be the seller in the next, on one ledger
(Req: L-13). Products are kept as canonical JSON, compared and searched, never calculated with.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from fractions import Fraction
from types import MappingProxyType
from typing import Final

from smartcontracts.agreement import PriceType
from smartcontracts.canonical_json import Json, require_canonical
from smartcontracts.kernel import Call, Grpc, Rejected
from smartcontracts.money import Rate

TIME_MS_MAX: Final = 253_402_300_799_999  # the last millisecond of the year 9999
TERM_AMOUNT_MAX: Final = 1_000_000
RELATIONS_MAX: Final = 64
PRICES_MAX: Final = 16
WITHHELD_MAX: Final = 64
HASH_BYTES: Final = 32
# Above what a document's bounded acts come to, or one party could leave no room for what the other must say.
RELEASES_MAX: Final = 256
ROLL_INTERVAL_BYTES_MAX: Final = 256
REFERENCES_BYTES_MAX: Final = 4_096
# What a seller gives as its reason: a word for machines, so that nothing about a person comes in by it.
REASON: Final = re.compile(r"[A-Z][A-Z0-9_]{0,63}", re.ASCII)
# Members of a Sonata request that are about persons, wherever they stand. The sender's node cuts them out before.
PERSONAL_KEYS: Final = frozenset(
    (
        "relatedContactInformation",
        "contactInformation",
        "billingContact",
        "contact",
        "emailAddress",
        "endCustomerName",
        "note",
        "phoneNumber",
    )
)
_PERSONAL_MEMBERS: Final = tuple(f'"{key}":'.encode() for key in sorted(PERSONAL_KEYS))
# Around an @: one character before it is enough, and what follows ends at the next one, so that a search stays linear.
_MAIL_ADDRESS: Final = re.compile(r"[^\s@:/]@[^\s@:/.]+\.[^\s@:/]", re.ASCII)

HOUR_MS: Final = 3_600_000
DAY_MS: Final = 24 * HOUR_MS
MONTH_DAYS: Final = 30
YEAR_DAYS: Final = 365


class Action(StrEnum):
    """What is asked for with an item. Stored on the ledger: never rename a value."""

    ADD = "add"
    MODIFY = "modify"
    DELETE = "delete"


class QuoteLevel(StrEnum):
    """How binding a quote is. Stored on the ledger: never rename a value."""

    FIRM = "firm"
    FIRM_SUBJECT_TO_FEASIBILITY_CHECK = "firmSubjectToFeasibilityCheck"
    BUDGETARY = "budgetary"


class QuoteForm(StrEnum):
    """How a quote is priced: each item, or all in one. Stored on the ledger: never rename a value. Req: Q-40."""

    ITEMISED = "itemised"
    BUNDLED = "bundled"


class ChangeKind(StrEnum):
    """What is to change of a service. Stored on the ledger: never rename a value. Req: C-02."""

    TERMINATION = "termination"
    CHARACTERISTICS = "characteristics"
    QOS = "qos"
    PARAMETER = "parameter"
    RELOCATION = "relocation"
    OTHER = "other"


class Outage(StrEnum):
    """Whether a change interrupts the service. Stored on the ledger: never rename a value. Req: C-08."""

    YES = "yes"
    NO = "no"


class ChangeMethod(StrEnum):
    """How a change is made. Stored on the ledger: never rename a value. Req: C-07."""

    PARALLEL_BUILD_COLD = "parallel_build_cold"
    PARALLEL_BUILD_HOT = "parallel_build_hot"
    RECONFIGURE = "reconfigure"


class TermUnit(StrEnum):
    """Sonata's units of time. Stored on the ledger: never rename a value."""

    CALENDAR_MONTHS = "calendarMonths"
    CALENDAR_DAYS = "calendarDays"
    CALENDAR_HOURS = "calendarHours"
    CALENDAR_MINUTES = "calendarMinutes"
    BUSINESS_DAYS = "businessDays"
    BUSINESS_HOURS = "businessHours"
    BUSINESS_MINUTES = "businessMinutes"


class EndAction(StrEnum):
    """What happens at the end of a term. Stored on the ledger: never rename a value."""

    AUTO_RENEW = "autoRenew"
    AUTO_DISCONNECT = "autoDisconnect"
    ROLL = "roll"


class PeriodLabel(StrEnum):
    """Sonata's words for the period of a recurring price; NONE for a period of another length."""

    NONE = ""
    HOUR = "hour"
    DAY = "day"
    WEEK = "week"
    MONTH = "month"
    YEAR = "year"


# Length of each labelled period, in milliseconds.
LABEL_MS: Final = MappingProxyType(
    {
        PeriodLabel.HOUR: HOUR_MS,
        PeriodLabel.DAY: DAY_MS,
        PeriodLabel.WEEK: 7 * DAY_MS,
        PeriodLabel.MONTH: MONTH_DAYS * DAY_MS,
        PeriodLabel.YEAR: YEAR_DAYS * DAY_MS,
    }
)
# Calendar months in a labelled period, for terms that are given in months.
LABEL_MONTHS: Final = MappingProxyType({PeriodLabel.MONTH: 1, PeriodLabel.YEAR: 12})
# Length of a term's unit. Business units count as calendar ones: the ledger knows nobody's holidays.
UNIT_MS: Final = MappingProxyType(
    {
        TermUnit.CALENDAR_MONTHS: MONTH_DAYS * DAY_MS,
        TermUnit.CALENDAR_DAYS: DAY_MS,
        TermUnit.CALENDAR_HOURS: HOUR_MS,
        TermUnit.CALENDAR_MINUTES: 60_000,
        TermUnit.BUSINESS_DAYS: DAY_MS,
        TermUnit.BUSINESS_HOURS: HOUR_MS,
        TermUnit.BUSINESS_MINUTES: 60_000,
    }
)


class NotTheBuyer(Rejected):
    """The sender's organization is not the buyer of this trade."""

    code = 3001
    grpc = Grpc.PERMISSION_DENIED


class NotTheSeller(Rejected):
    """The sender's organization is not the seller of this trade."""

    code = 3002
    grpc = Grpc.PERMISSION_DENIED


class ActionNotSupported(Rejected):
    """The action can't be asked for in this way."""

    code = 3003


class PersonalData(Rejected):
    """Something about a person would come onto the ledger."""

    code = 3004
    grpc = Grpc.INVALID_ARGUMENT


class TimeOutOfRange(Rejected):
    """An instant or a duration is negative, or beyond the year 9999."""

    code = 3005
    grpc = Grpc.INVALID_ARGUMENT


class WithheldInvalid(Rejected):
    """A salted hash has no subject, one given twice, or not 32 bytes."""

    code = 3006
    grpc = Grpc.INVALID_ARGUMENT


class ReasonInvalid(Rejected):
    """A reason is not a word in capitals, digits and underscores of at most 64 characters."""

    code = 3007
    grpc = Grpc.INVALID_ARGUMENT


class WindowNotPositive(Rejected):
    """A window is missing, zero or negative (O-32)."""

    code = 3008
    grpc = Grpc.INVALID_ARGUMENT


class WindowTooShort(Rejected):
    """A window is shorter than the agreement or the ledger allows."""

    code = 3009
    grpc = Grpc.INVALID_ARGUMENT


class WindowTooLong(Rejected):
    """A window is longer than the ledger allows."""

    code = 3010
    grpc = Grpc.INVALID_ARGUMENT


class ReleaseMissing(Rejected):
    """An agent acts without the release of its own internal ledger (DESIGN section 8)."""

    code = 3050
    grpc = Grpc.INVALID_ARGUMENT


class ReleaseInvalid(Rejected):
    """A release is given by a hash of 32 bytes."""

    code = 3051
    grpc = Grpc.INVALID_ARGUMENT


class ReleasesFull(Rejected):
    """The document has as many releases as it may have."""

    code = 3052


@dataclass(frozen=True, slots=True, kw_only=True)
class SaltedHash:
    """SHA-256 of what stays in the sender's node under a salt that stays there too."""

    subject: str
    sha256: bytes = field(metadata={"bytes_max": HASH_BYTES})


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemRelation:
    """An edge to another item of the same inquiry or order."""

    type: str
    item_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Term:
    """The commercial term of an item. `roll_interval` is canonical JSON, given with `roll` only."""

    amount: int
    unit: TermUnit
    end_action: EndAction
    roll_interval: bytes = field(default=b"", metadata={"bytes_max": ROLL_INTERVAL_BYTES_MAX})


@dataclass(frozen=True, slots=True, kw_only=True)
class InquiryItem:
    """One service element that is asked for; `product` and `references` are canonical JSON. Req: Q-02, Q-13."""

    id: str
    action: Action
    offering: str
    product: bytes
    relations: tuple[ItemRelation, ...] = field(default=(), metadata={"list_max": RELATIONS_MAX})
    term: Term | None = None
    installation_interval_ms: int = 0
    references: bytes = field(default=b"", metadata={"bytes_max": REFERENCES_BYTES_MAX})
    # What the element is called all the way down; the contract gives it where the request begins. Req: X-05.
    lineage_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What an inquiry wishes to change of a service of the two. Req: C-02, C-05, C-06."""

    service_id: str
    kind: ChangeKind


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeAnswer:
    """How the seller would make a change; `outage_ms` is 0 exactly when there is no outage. Req: C-07, C-08."""

    outage: Outage
    outage_ms: int = 0
    method: ChangeMethod


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """One price of an item. Recurring: `rate` is for `period_ms`. Usage based: `rate` is for one `unit`.

    Where the agreement gives a discount, `list_rate` is what `rate` would be without it. Req: Q-43.
    """

    price_type: PriceType
    rate: Rate
    period_ms: int = 0
    period_label: PeriodLabel = PeriodLabel.NONE
    unit: str = ""
    name: str = ""
    list_rate: Rate | None = None
    discount_id: str = ""


def periods_in_term(term: Term, price: Price) -> Fraction:
    """How many periods of a recurring price a term has, exactly; the last may be a part of one.

    A term in months counts months against a price for months or years. In every other pairing both are taken in
    milliseconds: a month is 30 days, a year 365 days, a business unit as long as the calendar unit.
    """
    months = LABEL_MONTHS.get(price.period_label)
    if months is not None and term.unit == TermUnit.CALENDAR_MONTHS:
        return Fraction(term.amount, months)
    return Fraction(term.amount * UNIT_MS[term.unit], price.period_ms)


def require_window(window_ms: int, least_ms: int, most_ms: int, field_name: str) -> int:
    """`window_ms`, within its bounds. Rejects with WindowNotPositive, WindowTooShort, WindowTooLong. Req: O-32."""
    if window_ms <= 0:
        raise WindowNotPositive("A window needs a length above zero, in milliseconds.", field_name)
    if window_ms < least_ms:
        raise WindowTooShort(f"The window must be at least {least_ms} ms.", field_name)
    if window_ms > most_ms:
        raise WindowTooLong(f"The window may be at most {most_ms} ms.", field_name)
    return window_ms


def require_time(time_ms: int, field_name: str) -> None:
    """An instant or duration from 0 to the year 9999. Rejects with TimeOutOfRange."""
    if not 0 <= time_ms <= TIME_MS_MAX:
        raise TimeOutOfRange("Give milliseconds from 0 (none) to the end of the year 9999.", field_name)


def require_reason(reason: str) -> None:
    """Rejects with ReasonInvalid."""
    if REASON.fullmatch(reason) is None:
        raise ReasonInvalid("Give a word of capitals, digits and underscores, like NO_CAPACITY.", "reason")


def require_withheld(withheld: tuple[SaltedHash, ...]) -> None:
    """Rejects with WithheldInvalid."""
    seen: dict[str, None] = {}
    for place, one in enumerate(withheld):
        if not one.subject or one.subject in seen or len(one.sha256) != HASH_BYTES or place >= WITHHELD_MAX:
            raise WithheldInvalid(
                f"At most {WITHHELD_MAX} salted hashes, each with a subject of its own and {HASH_BYTES} bytes.",
                f"withheld[{place}]",
            )
        seen[one.subject] = None


def require_release(release: bytes, call: Call, held: tuple[bytes, ...] = (), spare: int = 0) -> tuple[bytes, ...]:
    """The releases of a document that has `held` ones, with that of this act at the end.

    An agent needs one; a person's act may have one. An act that can be repeated without end leaves `spare` places for
    those that end it. Rejects with the first of: ReleaseMissing, ReleaseInvalid, ReleasesFull.
    """
    if not release:
        if call.by_agent:
            raise ReleaseMissing("An agent's act carries the hash of its release.", "release")
        return held
    if len(release) != HASH_BYTES:
        raise ReleaseInvalid(f"The hash of a release has {HASH_BYTES} bytes.", "release")
    if len(held) >= RELEASES_MAX - spare:
        raise ReleasesFull(f"A document has at most {RELEASES_MAX} releases.", "release")
    return (*held, release)


def holds_mail_address(text: str) -> bool:
    """Whether something like a mail address stands in `text`."""
    at = text.find("@", 1)
    while at > 0:
        if _MAIL_ADDRESS.match(text, at - 1):
            return True
        at = text.find("@", at + 1)
    return False


def may_be_personal(data: bytes) -> bool:
    """False if canonical JSON certainly passes `require_impersonal`: a look at the bytes instead of every value."""
    return any(member in data for member in _PERSONAL_MEMBERS) or holds_mail_address(data.decode())


def require_impersonal_text(text: str, field_name: str) -> None:
    """Rejects with PersonalData if a mail address stands in `text`."""
    if holds_mail_address(text):
        raise PersonalData("A mail address may not come onto the ledger; keep it in your node.", field_name)


def require_impersonal(value: Json, path: str) -> None:
    """Rejects with PersonalData if anything in `value` is about a person, as far as keys and mail addresses tell.

    The last line of defence: the sender's node has cut all of it out (node/sonata). `path` names the value.
    """
    if isinstance(value, str):
        require_impersonal_text(value, path)
    elif isinstance(value, list):
        for place, one in enumerate(value):
            require_impersonal(one, f"{path}[{place}]")
    elif isinstance(value, dict):
        for key, one in value.items():
            if key in PERSONAL_KEYS:
                raise PersonalData(f"{key} may not come onto the ledger; keep it in your node.", f"{path}.{key}")
            require_impersonal_text(key, path)
            require_impersonal(one, f"{path}.{key}")


def first_difference(left: Json, right: Json, path: str) -> str:
    """The path of the first place, by key order, where two values differ; `path` itself if they are equal."""
    if isinstance(left, dict) and isinstance(right, dict):
        for key in sorted(left.keys() | right.keys()):
            if key not in left or key not in right or left[key] != right[key]:
                return first_difference(left.get(key), right.get(key), f"{path}.{key}")
    elif isinstance(left, list) and isinstance(right, list):
        for place in range(max(len(left), len(right))):
            if place >= min(len(left), len(right)):
                return f"{path}[{place}]"
            if left[place] != right[place]:
                return first_difference(left[place], right[place], f"{path}[{place}]")
    return path


def require_term_form(term: Term) -> str:
    """What is wrong with a term, as the name of its field; empty if nothing is. Rejects as `require_canonical`."""
    if not 0 < term.amount <= TERM_AMOUNT_MAX:
        return "amount"
    if (term.end_action == EndAction.ROLL) != bool(term.roll_interval):
        return "roll_interval"
    if term.roll_interval:
        require_canonical(term.roll_interval, "roll_interval")
    return ""


def words(values: Iterable[str]) -> tuple[str, ...]:
    """The values sorted, each once and none empty: words of an index."""
    return tuple(sorted(dict.fromkeys(value for value in values if value)))
