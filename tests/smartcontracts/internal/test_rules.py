"""Sourcing rules: defaults while there are none, set as a whole, each bound refused one past it."""

from dataclasses import fields, replace

import pytest

from smartcontracts.internal import rules as r
from smartcontracts.internal.rules import OfferingMarkup, Prefer, SetSourcingRules, SourcingRules
from smartcontracts.kernel import Position, RoleMissing
from tests.smartcontracts.support import START_MS, MemoryLedger

GOOD = SetSourcingRules(
    weight_price=5,
    weight_score=0,
    weight_lead_time=2,
    weight_fit=1,
    markup_basis_points=2_500,
    markups=(OfferingMarkup(offering="line", basis_points=0),),
    quoting_ms=1_000,
    ordering_ms=2_000,
    delivery_ms=0,
    quote_validity_ms=r.OWN_TIME_MS_MAX,
    prefer=Prefer.CHEAPEST,
    tries_max=r.TRIES_MAX,
)


@pytest.fixture
def ledger():
    return MemoryLedger(r.CONTRACT, ledger_kind="internal", positions={"alpha": Position.PARTY})


def put(ledger, command=GOOD, role="sco"):
    return ledger.run("set_sourcing_rules", command, sender=ledger.sender("alpha", role))


def test_without_a_document_the_defaults_hold_and_are_valid_rules(ledger):
    assert r.rules_of(ledger) == SourcingRules()
    put(ledger, SetSourcingRules())
    assert replace(r.rules_of(ledger), version=0, changed_at_ms=0) == SourcingRules()


def test_the_default_weights_let_no_lower_criterion_outdo_a_higher_one():
    """X-10's order for up to 900 quotes: one rank in a criterion outweighs all ranks in those after it."""
    weights = [getattr(SourcingRules(), f"weight_{name}") for name in ("price", "score", "lead_time", "fit")]
    for place, weight in enumerate(weights):
        assert weight > 900 * sum(weights[place + 1 :])


def test_rules_are_set_as_a_whole_and_counted(ledger):
    put(ledger)
    put(ledger, replace(GOOD, tries_max=1), role="administrator")
    rules = r.rules_of(ledger)
    assert (rules.version, rules.changed_at_ms, rules.tries_max) == (2, START_MS + 2, 1)
    assert {one.name: getattr(rules, one.name) for one in fields(GOOD)} == {
        one.name: getattr(replace(GOOD, tries_max=1), one.name) for one in fields(GOOD)
    }
    assert ledger.event_names() == ["sourcing_rules.set"] * 2
    assert len(ledger.all(r.SOURCING_RULES)) == 1


def test_an_offering_may_have_a_markup_of_its_own(ledger):
    put(ledger)
    assert r.markup_of(r.rules_of(ledger), "line") == 0
    assert r.markup_of(r.rules_of(ledger), "port") == 2_500


def test_invalid_rules_by_a_member_who_only_sells(ledger):
    with pytest.raises(RoleMissing):
        put(ledger, role="s_bus")


REFUSALS = [  # in order of precedence
    (r.WeightsInvalid, {"weight_fit": -1}),
    (r.MarkupInvalid, {"markup_basis_points": r.MARKUP_MAX + 1}),
    (r.OwnTimeInvalid, {"quoting_ms": -1}),
    (r.TriesInvalid, {"tries_max": 0}),
]


@pytest.mark.parametrize("first", range(len(REFUSALS)))
def test_invalid_rules_answer_with_the_first_failing_check(ledger, first):
    broken = {}
    for _, change in reversed(REFUSALS[first:]):
        broken |= change
    with pytest.raises(REFUSALS[first][0]):
        put(ledger, replace(GOOD, **broken))
    assert r.rules_of(ledger).version == 0


def doubled(*offerings):
    return tuple(OfferingMarkup(offering=offering, basis_points=1) for offering in offerings)


@pytest.mark.parametrize(
    ("refusal", "field", "change"),
    [
        (r.WeightsInvalid, "weight_price", {"weight_price": r.WEIGHT_MAX + 1}),
        (r.WeightsInvalid, "weight_price", {"weight_price": 0, "weight_lead_time": 0, "weight_fit": 0}),
        (r.MarkupInvalid, "markups[1].offering", {"markups": doubled("line", "line")}),
        (r.MarkupInvalid, "markups[0].offering", {"markups": doubled("")}),
        (
            r.MarkupInvalid,
            "markups[0].basis_points",
            {"markups": (OfferingMarkup(offering="line", basis_points=r.MARKUP_MAX + 1),)},
        ),
        (r.OwnTimeInvalid, "ordering_ms", {"ordering_ms": r.OWN_TIME_MS_MAX + 1}),
        (r.OwnTimeInvalid, "delivery_ms", {"delivery_ms": -1}),
        (r.OwnTimeInvalid, "quote_validity_ms", {"quote_validity_ms": 0}),
        (r.TriesInvalid, "tries_max", {"tries_max": r.TRIES_MAX + 1}),
    ],
)
def test_invalid_rules_name_the_field(ledger, refusal, field, change):
    with pytest.raises(refusal) as refused:
        put(ledger, replace(GOOD, **change))
    assert refused.value.field == field
