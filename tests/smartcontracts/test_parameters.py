"""Parameters: each has a default within its bounds, and a change is a joint act."""

from dataclasses import fields, replace

import pytest

from smartcontracts import proposal
from smartcontracts.parameters import (
    PARAMETERS,
    RULES,
    RULES_ID,
    CancellationInvalid,
    NoUpgradePending,
    ParameterOutOfBounds,
    Parameters,
    ParametersUnchanged,
    ScheduleVersion,
    SetParameters,
    UpgradePending,
    UpgradeTooSoon,
    VersionNotNext,
    WindowOutOfBounds,
    check,
    require_window,
)
from smartcontracts.proposal import PROPOSAL, AcceptProposal, Propose, act_of
from tests.smartcontracts.support import START_MS, MemoryLedger

DEFAULTS = Parameters()
CHANGED = replace(DEFAULTS, history_blocks=0, max_ttl_ms=60_000)


def test_every_parameter_has_bounds_and_a_default_within_them():
    assert [spec.name for spec in PARAMETERS] == [f.name for f in fields(Parameters)]
    check(DEFAULTS)
    for spec in PARAMETERS:
        assert spec.least < spec.most
        assert spec.least <= getattr(DEFAULTS, spec.name) <= spec.most


def fitting(name, value):
    """Parameters that are fine but for what `name` = `value` does alone."""
    others = {"clock_ahead_ms": 50} if name == "window_min_ms" else {}
    others |= {"window_min_ms": 24 * 60 * 60 * 1_000} if name == "clock_ahead_ms" else {}
    return replace(DEFAULTS, **others, **{name: value})


@pytest.mark.parametrize("spec", PARAMETERS, ids=lambda spec: spec.name)
def test_a_parameter_may_be_at_its_bounds_and_not_past_them(spec):
    for value in (spec.least, spec.most, *spec.also):
        check(fitting(spec.name, value))
    for value in (spec.least - 1, spec.most + 1, -1, 2**62):
        if value in spec.also:
            continue
        with pytest.raises(ParameterOutOfBounds) as caught:
            check(fitting(spec.name, value))
        assert caught.value.field == f"parameters.{spec.name}"


def test_a_window_outlasts_ten_times_what_a_clock_may_be_ahead():
    check(replace(DEFAULTS, clock_ahead_ms=2_000, window_min_ms=20_000))
    with pytest.raises(ParameterOutOfBounds) as caught:
        check(replace(DEFAULTS, clock_ahead_ms=2_000, window_min_ms=19_999))
    assert caught.value.field == "parameters.window_min_ms"


def test_windows_may_be_at_the_ledgers_bounds_and_not_past_them():
    least, most = DEFAULTS.window_min_ms, DEFAULTS.window_max_ms
    assert [require_window(w, DEFAULTS, "w") for w in (least, most)] == [least, most]
    for window in (0, -1, least - 1, most + 1):
        with pytest.raises(WindowOutOfBounds):
            require_window(window, DEFAULTS, "w")


def propose(ledger, parameters, name="acme", signers=()):
    act = act_of("set_parameters", SetParameters(parameters=parameters))
    senders = tuple(ledger.sender(s, "administrator") for s in signers)
    ledger.run(
        "propose", Propose(act=act, valid_for_ms=60_000), sender=ledger.sender(name, "administrator"), signers=senders
    )


def test_parameters_change_when_both_parties_have_accepted_and_not_before():
    ledger = MemoryLedger.bilateral(proposal.CONTRACT)
    before = ledger.the(RULES)
    propose(ledger, CHANGED)
    assert ledger.the(RULES) == before
    opened = ledger.the(PROPOSAL)
    accept = AcceptProposal(proposal_id=opened.id, act_sha256=opened.act_sha256)
    ledger.run("accept_proposal", accept, sender=ledger.sender("alpha", "administrator"))
    assert ledger.get(RULES, RULES_ID) == replace(before, parameters=CHANGED)
    assert ledger.parameters == CHANGED
    assert ledger.the(PROPOSAL).result == ("sys/rules",)


@pytest.mark.parametrize(
    ("refusal", "parameters"),
    [
        (ParameterOutOfBounds, replace(DEFAULTS, max_ttl_ms=0)),
        (ParametersUnchanged, DEFAULTS),
    ],
)
def test_invalid_parameters_are_refused_when_they_are_proposed(refusal, parameters):
    ledger = MemoryLedger.bilateral(proposal.CONTRACT)
    before = ledger.root()
    with pytest.raises(refusal):
        propose(ledger, parameters)
    assert ledger.root() == before


def test_on_omni_every_member_must_accept_and_observers_need_not():
    ledger = MemoryLedger.omni(proposal.CONTRACT)
    propose(ledger, CHANGED, signers=("acme", "alpha", "bravo", "north"))
    assert ledger.parameters == DEFAULTS
    opened = ledger.the(PROPOSAL)
    accept = AcceptProposal(proposal_id=opened.id, act_sha256=opened.act_sha256)
    ledger.run("accept_proposal", accept, sender=ledger.sender("south", "administrator"), at=START_MS + 9_000)
    assert ledger.parameters == CHANGED


def schedule(ledger, version, height, signers=("acme", "alpha")):
    act = act_of("schedule_version", ScheduleVersion(version=version, height=height))
    senders = tuple(ledger.sender(s, "administrator") for s in signers)
    ledger.run("propose", Propose(act=act, valid_for_ms=60_000), sender=senders[0], signers=senders)


def test_an_upgrade_is_scheduled_by_those_that_govern_and_can_be_taken_back():
    ledger = MemoryLedger.bilateral(proposal.CONTRACT)
    before = ledger.the(RULES)
    height = ledger.height + 7
    schedule(ledger, 2, height, signers=("acme",))
    assert ledger.the(RULES) == before
    schedule(ledger, 2, height)
    assert ledger.the(RULES) == replace(before, next_version=2, next_height=height)
    schedule(ledger, 0, 0)
    assert ledger.the(RULES) == before
    names = [name for name in ledger.event_names() if name.startswith("version.")]
    assert names == ["version.scheduled", "version.cancelled"]


@pytest.mark.parametrize(
    ("pending", "version", "height", "refusal"),
    [
        (False, 1, 100, VersionNotNext),
        (False, 3, 100, VersionNotNext),
        (False, 2, 0, UpgradeTooSoon),
        (False, 0, 0, NoUpgradePending),
        (False, 0, 9, CancellationInvalid),
        (True, 2, 200, UpgradePending),
        (True, 3, 200, UpgradePending),
        (True, 0, 100, CancellationInvalid),
    ],
)
def test_an_upgrade_that_can_not_be_is_refused(pending, version, height, refusal):
    ledger = MemoryLedger.bilateral(proposal.CONTRACT)
    if pending:
        schedule(ledger, 2, 100)
    before = ledger.root()
    with pytest.raises(refusal):
        schedule(ledger, version, height)
    assert ledger.root() == before


@pytest.mark.parametrize("ahead", range(-1, 4))
def test_an_upgrade_is_at_least_two_heights_ahead(ahead):
    ledger = MemoryLedger.bilateral(proposal.CONTRACT)
    schedule(ledger, 2, 100)
    schedule(ledger, 0, 0)
    at = ledger.events[-1][0] + 1  # the next block
    if ahead < 2:
        with pytest.raises(UpgradeTooSoon):
            schedule(ledger, 2, at + ahead)
    else:
        schedule(ledger, 2, at + ahead)
        assert ledger.the(RULES).next_height == at + ahead
    assert ledger.the(RULES).version_at(at + ahead) == (2 if ahead >= 2 else 1)
