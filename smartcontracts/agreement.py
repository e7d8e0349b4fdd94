"""Agreement: what the two parties of a bilateral ledger have signed, the frame of all their trade.

There is one document a pair, whoever proposed it and whoever sells (L-33: the key is the unordered pair). New terms are a
joint act too and raise the version. It holds windows (Q-07, S-21), currency and rounding (B-03), price terms and SLA targets
(L-36), discounts that the seller must give (Q-43), what delay and cancellation cost, the dispute threshold (S-10), the form
of payment (S-20), the netting clause (N-04), and whether only one of the two may sell (L-16), or one buys for its own use
and sells nothing (L-01). What each party is on the ledger follows (L-02, L-06), and what kind their transactions are (L-07, L-08).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from smartcontracts.kernel import (
    ActType,
    Call,
    Contract,
    Event,
    Grpc,
    Kind,
    Outcome,
    Rejected,
    Role,
    Terms,
    View,
    step,
)
from smartcontracts.membership import parties_of
from smartcontracts.money import (
    MINOR_MAX,
    AmountOutOfRange,
    Rate,
    Rounding,
    minor_digits,
    require_rate,
)
from smartcontracts.parameters import Parameters, require_between, require_window

NAME_CHARACTERS_MAX: Final = 128
SLA_TARGETS_MAX: Final = 100
DISCOUNTS_MAX: Final = 100
DELAY_PENALTIES_MAX: Final = 2
# A discount of all of it.
BASIS_POINTS: Final = 10_000
MINIMUM_MONTHS_MAX: Final = 1_200
TARGET_NANO_MAX: Final = 9 * 10**18
TERMS_VERSION_MAX: Final = 1_000_000
PARTIES: Final = 2
# "30x15": a billing period of 30 days, payment due 15 days after the invoice.
_PAYMENT_TERMS: Final = re.compile(r"[1-9][0-9]{0,2}x(?:0|[1-9][0-9]{0,2})", re.ASCII)


class AgreementStatus(StrEnum):
    """Stored on the ledger: never rename a value."""

    ACTIVE = "active"


class PaymentForm(StrEnum):
    """How debts are paid, as both agreed. Req: S-19, S-20."""

    FIAT = "fiat"
    STABLECOIN = "stablecoin"
    CRYPTO = "crypto"


class PriceType(StrEnum):
    """What a price is multiplied by: nothing, periods, or units used."""

    NON_RECURRING = "nonRecurring"
    RECURRING = "recurring"
    USAGE_BASED = "usageBased"


class TradeRole(StrEnum):
    """What a party is on a ledger. Stored on the ledger: never rename a value. Req: L-01, L-02, L-04, L-06."""

    RETAIL_CUSTOMER = "retail_customer"
    RETAIL_SELLER = "retail_seller"
    WHOLESALE_BUYER = "wholesale_buyer"
    WHOLESALE_SELLER = "wholesale_seller"


class TradeKind(StrEnum):
    """What a transaction is by its buyer: for own use, or to sell again. Stored on the ledger: never rename a value. Req: L-07, L-08."""

    RETAIL = "retail"
    WHOLESALE = "wholesale"


LIFECYCLE: Final = MappingProxyType(
    {
        (AgreementStatus.ACTIVE, "amend"): AgreementStatus.ACTIVE,
    }
)


class AgreementUnknown(Rejected):
    """There is no such agreement on this ledger."""

    code = 2301
    grpc = Grpc.NOT_FOUND


class NotAParty(Rejected):
    """The organization is not one of the agreement's two parties."""

    code = 2302
    grpc = Grpc.PERMISSION_DENIED


class AgreementNameInvalid(Rejected):
    """An agreement's name must have 1 to 128 characters."""

    code = 2303
    grpc = Grpc.INVALID_ARGUMENT


class PaymentTermsInvalid(Rejected):
    """Payment terms must be AxB in days, like 30x15."""

    code = 2304
    grpc = Grpc.INVALID_ARGUMENT


class PriceTermInvalid(Rejected):
    """A price term has a field that its price type does not go with."""

    code = 2305
    grpc = Grpc.INVALID_ARGUMENT


class SlaTargetInvalid(Rejected):
    """An SLA target has a field that can't be measured against."""

    code = 2306
    grpc = Grpc.INVALID_ARGUMENT


class TermDoubled(Rejected):
    """Two price terms, or two SLA targets, are about the same thing."""

    code = 2307
    grpc = Grpc.INVALID_ARGUMENT


class TooManyTerms(Rejected):
    """The agreement has more price terms or SLA targets than are allowed."""

    code = 2308
    grpc = Grpc.INVALID_ARGUMENT


class SellerNotAParty(Rejected):
    """A price term or SLA target names a seller that is not a party of this ledger."""

    code = 2309
    grpc = Grpc.INVALID_ARGUMENT


class TermsVersionStale(Rejected):
    """The terms would replace another version than the one in force."""

    code = 2310


class TermFixed(Rejected):
    """The currency, the billing period, who alone sells and who is a retail customer can't change: intervals, debts and roles
    stand on them.
    """

    code = 2311


class DiscountInvalid(Rejected):
    """A discount has no id, takes nothing or more than all off, or could never apply."""

    code = 2320
    grpc = Grpc.INVALID_ARGUMENT


class DelayPenaltyInvalid(Rejected):
    """A delay penalty has no amount or period, or a bound below one period's amount."""

    code = 2321
    grpc = Grpc.INVALID_ARGUMENT


class RolesFixed(Rejected):
    """Under this agreement only the other party sells (L-16)."""

    code = 2322


class RetailCustomerInvalid(Rejected):
    """The retail customer is not the party that only buys (L-01)."""

    code = 2323
    grpc = Grpc.INVALID_ARGUMENT


class NoPair(Rejected):
    """This ledger does not have the two parties that an agreement needs."""

    code = 2312


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceTerm:
    """A price that `seller` is bound to; an empty `offering` is every offering of that seller."""

    seller: str
    offering: str = ""
    price_type: PriceType
    rate: Rate
    # Recurring only: what the rate is for, in milliseconds.
    period_ms: int = 0
    # usageBased only: the unit of measure.
    unit: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SlaTarget:
    """What one metric of an offering must reach, in billionths of `unit`. Req: R-09 (the time unit it is measured in)."""

    seller: str
    offering: str = ""
    metric: str
    target_nano: int
    unit: str
    measurement_unit_ms: int
    higher_is_better: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class DiscountRule:
    """A discount that `seller` must give wherever it applies; an empty `offering` is every offering. Req: Q-43."""

    id: str
    seller: str
    offering: str = ""
    price_type: PriceType
    basis_points: int
    # The item's shortest term and the inquiry's smallest number of items for which it applies; 0 is any.
    minimum_term_months: int = 0
    minimum_items: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class DelayPenalty:
    """What `seller` owes for each started `period_ms` of an order's delay, at most `cap_minor` (0: no bound)."""

    seller: str
    amount_minor: int
    period_ms: int
    cap_minor: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class AgreementTerms:
    """Joint act: the terms of an agreement, or those that replace version `replaces_version`.

    `response_window_ms` is the default, `response_window_min_ms` the shortest that a buyer may ask for.
    `payment_terms` is what people call it, `payment_due_ms` what counts: from an invoice's issue to its due time.
    `extension_answer_window_ms` is how long a buyer may think about an extension (0: the response window),
    `cancellation_window_ms` how long after its activation it may still cancel an order, for the fee (0: not at all).
    Only `only_seller` may sell, if it is given; the other one may be a `retail_customer`. Req: L-01, L-16.
    """

    name: str
    currency: str
    rounding: Rounding
    response_window_ms: int
    response_window_min_ms: int
    billing_period_ms: int
    payment_terms: str
    payment_due_ms: int
    payment_form: PaymentForm
    dispute_threshold_minor: int = 0
    netting: bool = False
    price_terms: tuple[PriceTerm, ...] = ()
    sla_targets: tuple[SlaTarget, ...] = field(default=(), metadata={"list_max": SLA_TARGETS_MAX})
    replaces_version: int = 0
    discounts: tuple[DiscountRule, ...] = field(default=(), metadata={"list_max": DISCOUNTS_MAX})
    delay_penalties: tuple[DelayPenalty, ...] = field(default=(), metadata={"list_max": DELAY_PENALTIES_MAX})
    extension_answer_window_ms: int = 0
    cancellation_window_ms: int = 0
    cancellation_fee_minor: int = 0
    only_seller: str = ""
    retail_customer: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PartyRoles:
    """What one party is on this ledger, sorted."""

    organization: str
    roles: tuple[TradeRole, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """The terms in force between `parties` (two, sorted). Billing periods are counted from `in_force_from_ms`."""

    id: str
    status: AgreementStatus
    parties: tuple[str, ...]
    terms: AgreementTerms
    terms_version: int
    proposal_id: str
    in_force_from_ms: int
    roles: tuple[PartyRoles, ...] = ()


def _pair(parties: tuple[str, ...]) -> str:
    return "pair/" + "/".join(parties)


def _terms(agreement: Agreement) -> Terms:
    return Terms(
        status=agreement.status,
        party=agreement.parties,
        related=(agreement.proposal_id,),
        keys=(_pair(agreement.parties),),
    )


# Keys: "pair/<first party>/<second party>".
AGREEMENT: Final = Kind(
    name="agreement",
    prefix="agr",
    record=Agreement,
    terms=_terms,
    lifecycle=LIFECYCLE,
    filters=("status", "party", "related"),
)


def agreement_of(view: View, agreement_id: str, field: str = "agreement_id") -> Agreement:
    """The agreement. Rejects with AgreementUnknown."""
    found = view.get(AGREEMENT, agreement_id)
    if found is None:
        raise AgreementUnknown(f"There is no agreement {agreement_id!r} on this ledger.", field)
    return found


def agreement_between(view: View, parties: tuple[str, ...]) -> Agreement | None:
    """The agreement of this pair (sorted), if there is one."""
    return next(iter(view.find(AGREEMENT, "keys", _pair(parties), 1)), None)


def other_party(agreement: Agreement, organization: str, field: str = "signer") -> str:
    """The party that is not `organization`. Rejects with NotAParty."""
    if organization not in agreement.parties:
        raise NotAParty("Your organization is not a party of this agreement.", field)
    first, second = agreement.parties
    return second if organization == first else first


def price_term_of(
    terms: AgreementTerms, seller: str, offering: str, price_type: PriceType, unit: str = ""
) -> PriceTerm | None:
    """The price that `seller` is bound to: one for this very offering goes before one for every offering."""
    fitting = [t for t in terms.price_terms if (t.seller, t.price_type, t.unit) == (seller, price_type, unit)]
    exact = next((t for t in fitting if t.offering == offering), None)
    return exact or next((t for t in fitting if not t.offering), None)


def sla_target_of(terms: AgreementTerms, seller: str, offering: str, metric: str) -> SlaTarget | None:
    """The target for a metric: one for this very offering goes before one for every offering."""
    fitting = [t for t in terms.sla_targets if (t.seller, t.metric) == (seller, metric)]
    exact = next((t for t in fitting if t.offering == offering), None)
    return exact or next((t for t in fitting if not t.offering), None)


def roles_of(terms: AgreementTerms, parties: tuple[str, ...]) -> tuple[PartyRoles, ...]:
    """What each of the two is on their ledger. Req: L-01, L-02, L-06."""
    return tuple(PartyRoles(organization=party, roles=_roles_of(terms, party)) for party in parties)


def _roles_of(terms: AgreementTerms, party: str) -> tuple[TradeRole, ...]:
    if not terms.only_seller:
        return TradeRole.WHOLESALE_BUYER, TradeRole.WHOLESALE_SELLER
    sells = party == terms.only_seller
    if terms.retail_customer:
        return (TradeRole.RETAIL_SELLER if sells else TradeRole.RETAIL_CUSTOMER,)
    return (TradeRole.WHOLESALE_SELLER if sells else TradeRole.WHOLESALE_BUYER,)


def trade_kind(terms: AgreementTerms, buyer: str) -> TradeKind:
    """What a transaction is in which `buyer` buys. Req: L-07, L-08."""
    return TradeKind.RETAIL if buyer == terms.retail_customer else TradeKind.WHOLESALE


def require_may_sell(terms: AgreementTerms, seller: str, field: str) -> None:
    """Rejects with RolesFixed. Req: L-16."""
    if terms.only_seller not in ("", seller):
        raise RolesFixed("The agreement fixes who sells and who buys.", field)


def delay_penalty_of(terms: AgreementTerms, seller: str) -> DelayPenalty | None:
    """What `seller` owes for delay, if anything is agreed."""
    return next((penalty for penalty in terms.delay_penalties if penalty.seller == seller), None)


def required_to_agree(_: AgreementTerms, call: Call) -> tuple[str, ...]:
    """Both parties of the ledger. Rejects with NoPair."""
    parties = parties_of(call.view)
    if len(parties) != PARTIES:
        raise NoPair("An agreement needs a ledger of two parties.", "act")
    return parties


def check_terms(command: AgreementTerms, call: Call) -> None:
    """Rejects with the first of: NoPair, TermsVersionStale, TermFixed, AgreementNameInvalid, CurrencyUnknown, WindowOutOfBounds,
    PaymentTermsInvalid, AmountOutOfRange, SellerNotAParty (who alone sells), RetailCustomerInvalid, TooManyTerms; then for price terms, SLA targets,
    discounts and delay penalties SellerNotAParty, those of the rate, PriceTermInvalid, SlaTargetInvalid, DiscountInvalid or
    DelayPenaltyInvalid, TermDoubled.
    """
    parties = required_to_agree(command, call)
    _require_current(command, agreement_between(call.view, parties))
    if not 1 <= len(command.name) <= NAME_CHARACTERS_MAX:
        raise AgreementNameInvalid(f"A name has 1 to {NAME_CHARACTERS_MAX} characters.", "name")
    minor_digits(command.currency, "currency")
    _require_windows(command, call.parameters)
    if not _PAYMENT_TERMS.fullmatch(command.payment_terms):
        raise PaymentTermsInvalid("Give AxB in days, for example 30x15.", "payment_terms")
    if not 0 <= command.dispute_threshold_minor <= MINOR_MAX:
        raise AmountOutOfRange(f"The threshold is from 0 to {MINOR_MAX} minor units.", "dispute_threshold_minor")
    if not 0 <= command.cancellation_fee_minor <= MINOR_MAX:
        raise AmountOutOfRange(f"The fee is from 0 to {MINOR_MAX} minor units.", "cancellation_fee_minor")
    if command.only_seller and command.only_seller not in parties:
        raise SellerNotAParty("Who alone sells must be one of the ledger's two parties.", "only_seller")
    if command.retail_customer and (
        command.retail_customer not in parties or command.only_seller in ("", command.retail_customer)
    ):
        raise RetailCustomerInvalid("A retail customer is the party whose other one alone sells.", "retail_customer")
    _require_price_terms(command, parties, call.parameters)
    _require_sla_targets(command, parties, call.parameters)
    _require_discounts(command, parties, call.parameters)
    _require_delay_penalties(command, parties, call.parameters)


def agree(command: AgreementTerms, call: Call) -> Outcome:
    """Write the agreement, or its next version. Rejects as `check_terms`."""
    check_terms(command, call)
    parties = required_to_agree(command, call)
    before = agreement_between(call.view, parties)
    if before is None:
        agreement = Agreement(
            id=call.new_id(AGREEMENT),
            status=AgreementStatus.ACTIVE,
            parties=parties,
            terms=command,
            terms_version=1,
            proposal_id=call.proposal_id,
            in_force_from_ms=call.block.time_ms,
            roles=roles_of(command, parties),
        )
        return Outcome(writes=(agreement,), events=(Event("agreement.concluded", agreement),))
    amended = replace(
        before,
        status=step(LIFECYCLE, before.status, "amend"),
        terms=command,
        terms_version=before.terms_version + 1,
        proposal_id=call.proposal_id,
    )
    return Outcome(writes=(amended,), events=(Event("agreement.amended", amended),))


def _require_current(command: AgreementTerms, before: Agreement | None) -> None:
    """Rejects with TermsVersionStale, TermFixed."""
    version = 0 if before is None else before.terms_version
    if command.replaces_version != version or version >= TERMS_VERSION_MAX:
        raise TermsVersionStale(
            f"Version {version} is in force (0: none), not {command.replaces_version}.", "replaces_version"
        )
    if before is None:
        return
    for name in ("currency", "billing_period_ms", "only_seller", "retail_customer"):
        if getattr(command, name) != getattr(before.terms, name):
            raise TermFixed(f"It stays {getattr(before.terms, name) or 'open'} for the agreement's life.", name)


def _require_windows(command: AgreementTerms, parameters: Parameters) -> None:
    require_window(command.response_window_min_ms, parameters, "response_window_min_ms")
    require_between(
        command.response_window_ms,
        command.response_window_min_ms,
        parameters.window_max_ms,
        "response_window_ms",
    )
    require_window(command.billing_period_ms, parameters, "billing_period_ms")
    require_window(command.payment_due_ms, parameters, "payment_due_ms")
    require_between(command.cancellation_window_ms, 0, parameters.window_max_ms, "cancellation_window_ms")
    if command.extension_answer_window_ms:
        require_window(command.extension_answer_window_ms, parameters, "extension_answer_window_ms")


def _require_price_terms(command: AgreementTerms, parties: tuple[str, ...], parameters: Parameters) -> None:
    if len(command.price_terms) > parameters.items_max:
        raise TooManyTerms(f"At most {parameters.items_max} price terms are allowed.", "price_terms")
    seen: list[tuple[str, str, str, str]] = []
    for place, term in enumerate(command.price_terms):
        path = f"price_terms[{place}]"
        _require_seller(term.seller, parties, path)
        require_rate(term.rate, command.currency, f"{path}.rate")
        _require_price_shape(term, parameters, path)
        subject = (term.seller, term.offering, term.price_type, term.unit)
        if subject in seen:
            raise TermDoubled("There is a price term for this already.", path)
        seen.append(subject)


def _require_price_shape(term: PriceTerm, parameters: Parameters, path: str) -> None:
    """A period goes with recurring prices only, a unit with usage-based ones only. Rejects with PriceTermInvalid."""
    recurring = term.price_type == PriceType.RECURRING
    least_ms, most_ms = (parameters.window_min_ms, parameters.window_max_ms) if recurring else (0, 0)
    if not least_ms <= term.period_ms <= most_ms:
        raise PriceTermInvalid(f"The period must be from {least_ms} to {most_ms} ms here.", f"{path}.period_ms")
    if bool(term.unit) != (term.price_type == PriceType.USAGE_BASED):
        raise PriceTermInvalid("A unit goes with usageBased prices, and with no others.", f"{path}.unit")


def _require_sla_targets(command: AgreementTerms, parties: tuple[str, ...], parameters: Parameters) -> None:
    seen: list[tuple[str, str, str]] = []
    for place, target in enumerate(command.sla_targets):
        path = f"sla_targets[{place}]"
        _require_seller(target.seller, parties, path)
        if not target.metric:
            raise SlaTargetInvalid("Name the metric.", f"{path}.metric")
        if not target.unit:
            raise SlaTargetInvalid("Name the metric's unit.", f"{path}.unit")
        if not 0 <= target.target_nano <= TARGET_NANO_MAX:
            raise SlaTargetInvalid(f"A target is from 0 to {TARGET_NANO_MAX}.", f"{path}.target_nano")
        if not 1 <= target.measurement_unit_ms <= parameters.window_max_ms:
            raise SlaTargetInvalid("Give the time unit of measurement.", f"{path}.measurement_unit_ms")
        subject = (target.seller, target.offering, target.metric)
        if subject in seen:
            raise TermDoubled("There is a target for this already.", path)
        seen.append(subject)


def _require_discounts(command: AgreementTerms, parties: tuple[str, ...], parameters: Parameters) -> None:
    seen: dict[str, None] = {}
    for place, rule in enumerate(command.discounts):
        path = f"discounts[{place}]"
        _require_seller(rule.seller, parties, path)
        if not rule.id:
            raise DiscountInvalid("A discount needs an id, which quotes name.", f"{path}.id")
        if not 1 <= rule.basis_points <= BASIS_POINTS:
            raise DiscountInvalid(f"A discount is from 1 to {BASIS_POINTS} basis points.", f"{path}.basis_points")
        if rule.minimum_term_months > MINIMUM_MONTHS_MAX:
            raise DiscountInvalid(f"At most {MINIMUM_MONTHS_MAX} months.", f"{path}.minimum_term_months")
        if rule.minimum_items > parameters.items_max:
            raise DiscountInvalid(f"An inquiry has at most {parameters.items_max} items.", f"{path}.minimum_items")
        if rule.id in seen:
            raise TermDoubled("There is a discount of this id already.", path)
        seen[rule.id] = None


def _require_delay_penalties(command: AgreementTerms, parties: tuple[str, ...], parameters: Parameters) -> None:
    seen: dict[str, None] = {}
    for place, penalty in enumerate(command.delay_penalties):
        path = f"delay_penalties[{place}]"
        _require_seller(penalty.seller, parties, path)
        if not 1 <= penalty.amount_minor <= MINOR_MAX:
            raise DelayPenaltyInvalid(f"The amount is from 1 to {MINOR_MAX} minor units.", f"{path}.amount_minor")
        if not 1 <= penalty.period_ms <= parameters.window_max_ms:
            raise DelayPenaltyInvalid(f"A period is from 1 to {parameters.window_max_ms} ms.", f"{path}.period_ms")
        if penalty.cap_minor and not penalty.amount_minor <= penalty.cap_minor <= MINOR_MAX:
            raise DelayPenaltyInvalid("The bound is at least one period's amount, or 0 for none.", f"{path}.cap_minor")
        if penalty.seller in seen:
            raise TermDoubled("There is a penalty for this seller already.", path)
        seen[penalty.seller] = None


def _require_seller(seller: str, parties: tuple[str, ...], path: str) -> None:
    if seller not in parties:
        raise SellerNotAParty("The seller must be one of the ledger's two parties.", f"{path}.seller")


# An agreement commits the organization as a whole: administrators sign it, and finance works within it.
CONTRACT: Final = Contract(
    name="agreement",
    kinds=(AGREEMENT,),
    acts=(
        ActType(
            name="agreement_terms",
            command=AgreementTerms,
            required=required_to_agree,
            check=check_terms,
            enact=agree,
            roles=(Role.ADMINISTRATOR,),
        ),
    ),
)
