"""What the demo's agreements say.

A window lasts 20 s or more, but for the one that is meant to run out; a billing period is 20 s, so that one can be seen.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from smartcontracts.agreement import AgreementTerms, DelayPenalty, PaymentForm, PriceTerm, PriceType, SlaTarget
from smartcontracts.money import NANO, Rate, Rounding

CURRENCY: Final = "EUR"
BILLING_PERIOD_MS: Final = 20_000
RESPONSE_WINDOW_MS: Final = 60_000
RESPONSE_WINDOW_MIN_MS: Final = 20_000
ACCEPTANCE_WINDOW_MS: Final = 120_000
ACTIVATION_WINDOW_MS: Final = 120_000
# The shortest that a ledger allows: this one is left to run out.
UNANSWERED_WINDOW_MS: Final = 10_000
QUOTE_VALIDITY_MS: Final = 600_000
PROPOSAL_WINDOW_MS: Final = 60_000
WHOLESALE: Final = "Wholesale Ethernet 2026"
USAGE_UNIT: Final = "GB"
METRIC: Final = "availability"
MEASUREMENT_UNIT_MS: Final = 1_000
TARGET_NANO: Final = 99_900_000_000  # 99.9 percent
# The shortest that a ledger of the demo's topology allows.
TIER_WINDOW_MIN_MS: Final = 5_000
# Ordering and activating over three tiers takes some of it.
TIER_PERIOD_MS: Final = 30_000
EXTENSION_ANSWER_WINDOW_MS: Final = 20_000
# A sibling that was activated already can still be given back while its order's other parts are not there.
CANCELLATION_WINDOW_MS: Final = 600_000
CANCELLATION_FEE_MINOR: Final = 1_500
DELAY_MINOR: Final = 500
DELAY_PERIOD_MS: Final = 1_000
DELAY_CAP_MINOR: Final = 20_000
_PAYMENT_DUE_MS: Final = 60_000
_THRESHOLD_MINOR: Final = 50
_USAGE_BOUND_NANO: Final = NANO // 100


def agreement_terms(name: str, parties: tuple[str, ...]) -> AgreementTerms:
    """Terms for both directions: `parties` are two organization ids."""
    return AgreementTerms(
        name=name,
        currency=CURRENCY,
        rounding=Rounding.HALF_UP,
        response_window_ms=RESPONSE_WINDOW_MS,
        response_window_min_ms=RESPONSE_WINDOW_MIN_MS,
        billing_period_ms=BILLING_PERIOD_MS,
        payment_terms="1x1",
        payment_due_ms=_PAYMENT_DUE_MS,
        payment_form=PaymentForm.FIAT,
        dispute_threshold_minor=_THRESHOLD_MINOR,
        netting=True,
        price_terms=tuple(_usage_bound(seller) for seller in parties),
        sla_targets=tuple(_target(seller) for seller in parties),
    )


def tier_terms(name: str, parties: tuple[str, ...]) -> AgreementTerms:
    """As `agreement_terms`, with windows that leave something to every tier below, and what delay and cancelling cost."""
    return replace(
        agreement_terms(name, parties),
        billing_period_ms=TIER_PERIOD_MS,
        response_window_min_ms=TIER_WINDOW_MIN_MS,
        extension_answer_window_ms=EXTENSION_ANSWER_WINDOW_MS,
        cancellation_window_ms=CANCELLATION_WINDOW_MS,
        cancellation_fee_minor=CANCELLATION_FEE_MINOR,
        delay_penalties=tuple(
            DelayPenalty(
                seller=seller, amount_minor=DELAY_MINOR, period_ms=DELAY_PERIOD_MS, cap_minor=DELAY_CAP_MINOR
            )
            for seller in parties
        ),
    )


def _usage_bound(seller: str) -> PriceTerm:
    """Nobody asks more than a cent a unit."""
    return PriceTerm(
        seller=seller, price_type=PriceType.USAGE_BASED, rate=Rate(_USAGE_BOUND_NANO, CURRENCY), unit=USAGE_UNIT
    )


def _target(seller: str) -> SlaTarget:
    return SlaTarget(
        seller=seller,
        metric=METRIC,
        target_nano=TARGET_NANO,
        unit="percent",
        measurement_unit_ms=MEASUREMENT_UNIT_MS,
        higher_is_better=True,
    )
