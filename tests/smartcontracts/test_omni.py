"""Omni: ledgers are registered and scores published by both parties of the ledger, never by one."""

import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smartcontracts import omni as o
from smartcontracts import proposal
from smartcontracts.kernel import PositionWrong, RoleMissing
from smartcontracts.membership import ORGANIZATION, OrganizationStatus, OrganizationUnknown
from smartcontracts.proposal import PROPOSAL, AcceptProposal, NotConcerned, Propose, act_of
from tests.smartcontracts.support import MemoryLedger, org

LEDGER = "sg_" + "b" * 32
PARTIES = tuple(sorted((org("alpha"), org("bravo"))))
REGISTRATION = o.RegisterLedger(ledger_id=LEDGER, parties=PARTIES)
SCORE = o.PublishScore(
    ledger_id=LEDGER,
    seller=org("bravo"),
    offering="epl",
    tenths=89,
    count=132,
    text="8.9:132",
    height=40,
    app_hash=b"\x01" * 32,
)


def propose(ledger, name, command, *signers, role="administrator"):
    senders = tuple(ledger.sender(n, role) for n in signers)
    ledger.run("propose", Propose(act=act_of(name, command), valid_for_ms=60_000), sender=senders[0], signers=senders)


def accept(ledger, by, role="administrator"):
    opened = next(x for x in ledger.all(PROPOSAL) if x.status == proposal.ProposalStatus.OPEN)
    command = AcceptProposal(proposal_id=opened.id, act_sha256=opened.act_sha256)
    ledger.run("accept_proposal", command, sender=ledger.sender(by, role))


def ledger_of(*, registered=True):
    ledger = MemoryLedger.omni(proposal.CONTRACT, o.CONTRACT)
    if registered:
        propose(ledger, "register_ledger", REGISTRATION, "alpha", "bravo")
    return ledger


def test_a_ledger_is_registered_when_both_of_its_parties_have_signed():
    ledger = ledger_of(registered=False)
    propose(ledger, "register_ledger", REGISTRATION, "alpha")
    assert ledger.all(o.REGISTERED_LEDGER) == ()
    with pytest.raises(NotConcerned):
        accept(ledger, "acme")
    accept(ledger, "bravo")
    registered = ledger.the(o.REGISTERED_LEDGER)
    assert (registered.ledger_id, registered.parties, registered.status) == (LEDGER, PARTIES, "active")
    assert o.registered_ledger(ledger, LEDGER) == registered


REGISTRATIONS_REFUSED = [
    (o.LedgerPartiesInvalid, {"parties": ()}),
    (o.LedgerPartiesInvalid, {"parties": PARTIES[:1]}),
    (o.LedgerPartiesInvalid, {"parties": PARTIES[::-1]}),
    (o.LedgerPartiesInvalid, {"parties": (org("alpha"), org("alpha"))}),
    (o.LedgerIdInvalid, {"ledger_id": ""}),
    (o.LedgerIdInvalid, {"ledger_id": "sg_" + "B" * 32}),
    (o.LedgerIdInvalid, {"ledger_id": "sg_" + "b" * 31}),
    (o.LedgerIdInvalid, {"ledger_id": "sg_" + "1" * 32}),
    (OrganizationUnknown, {"parties": tuple(sorted((org("alpha"), org("stranger"))))}),
    (o.LedgerPartiesInvalid, {"parties": tuple(sorted((org("alpha"), org("ofcom"))))}),
]


@pytest.mark.parametrize(("refusal", "change"), REGISTRATIONS_REFUSED)
def test_invalid_registrations_are_refused(refusal, change):
    ledger = ledger_of(registered=False)
    before = ledger.root()
    with pytest.raises(refusal):
        propose(ledger, "register_ledger", replace(REGISTRATION, **change), "alpha")
    assert ledger.root() == before


def test_invalid_registration_for_others():
    with pytest.raises(NotConcerned):
        propose(ledger_of(registered=False), "register_ledger", REGISTRATION, "acme")


def test_invalid_registration_of_a_ledger_that_is_registered():
    ledger = ledger_of()
    with pytest.raises(o.LedgerRegistered) as caught:
        propose(ledger, "register_ledger", REGISTRATION, "alpha", "bravo")
    assert caught.value.existing_id == ledger.the(o.REGISTERED_LEDGER).id
    taken = replace(REGISTRATION, parties=tuple(sorted((org("acme"), org("north")))))
    with pytest.raises(o.LedgerRegistered):
        propose(ledger, "register_ledger", taken, "acme", "north")


def test_a_registration_of_a_party_that_has_left_lapses():
    ledger = ledger_of(registered=False)
    propose(ledger, "register_ledger", REGISTRATION, "alpha")
    ledger.write(replace(ledger.the(ORGANIZATION, org("alpha")), status=OrganizationStatus.REMOVED))
    with pytest.raises(OrganizationUnknown):
        accept(ledger, "bravo")


@pytest.mark.req("R-20", "R-21")
def test_a_score_stands_on_omni_as_text_when_both_parties_have_signed():
    ledger = ledger_of()
    propose(ledger, "publish_score", SCORE, "bravo", role="s_bus")
    assert ledger.all(o.REPUTATION) == ()
    accept(ledger, "alpha", role="b_bus")
    published = ledger.the(o.REPUTATION)
    assert published.text == "8.9:132"
    assert (published.tenths, published.count, published.seller, published.offering) == (89, 132, org("bravo"), "epl")
    assert (published.ledger_id, published.height, published.app_hash) == (LEDGER, 40, b"\x01" * 32)
    assert published.endorsed_by == PARTIES


@pytest.mark.req("R-20", "R-21")
@pytest.mark.parametrize(
    "text",
    [
        *("", "8.9", "8.9:", ":132", "8,9:132", "89:132", "8.9:133", "9.0:132", "8.90:132", "08.9:132", "8.9:0132"),
        *(" 8.9:132", "8.9:132 ", "8.9:132\u00a0", "8.9 :132", "8.9/132", "8.9:\u0661\u0663\u0662", "+8.9:132"),
    ],
)
def test_invalid_text_of_a_score_is_refused(text):
    ledger = ledger_of()
    before = ledger.root()
    with pytest.raises(o.ScoreTextWrong):
        propose(ledger, "publish_score", replace(SCORE, text=text), "bravo", "alpha")
    assert ledger.root() == before


@pytest.mark.req("R-20")
@given(st.integers(0, 99), st.integers(1, 2**32 - 1))
def test_the_text_has_the_one_form_that_the_requirement_gives(tenths, count):
    text = o.score_text(tenths, count)
    assert re.fullmatch(r"[0-9]\.[0-9]:[1-9][0-9]*", text, re.ASCII)
    score, measurements = text.split(":")
    assert (int(score.replace(".", "")), int(measurements)) == (tenths, count)


@pytest.mark.req("R-04")
@pytest.mark.parametrize("tenths", [100, 101, 2**32 - 1])
def test_invalid_score_over_nine_point_nine(tenths):
    with pytest.raises(o.ScoreOutOfRange) as caught:
        propose(
            ledger_of(),
            "publish_score",
            replace(SCORE, tenths=tenths, text=o.score_text(tenths, 132)),
            "bravo",
            "alpha",
        )
    assert caught.value.field == "tenths"


@pytest.mark.req("R-04")
@pytest.mark.parametrize(("tenths", "text"), [(0, "0.0:132"), (99, "9.9:132")])
def test_scores_at_both_ends_are_taken(tenths, text):
    ledger = ledger_of()
    propose(ledger, "publish_score", replace(SCORE, tenths=tenths, text=text), "bravo", "alpha")
    assert (ledger.the(o.REPUTATION).tenths, ledger.the(o.REPUTATION).text) == (tenths, text)


GOOD = {"signers": ("bravo", "alpha"), "role": "administrator"}
REFUSALS = [
    (PositionWrong, {"signers": ("ofcom", "alpha")}),
    (RoleMissing, {"role": "finance"}),
    (o.LedgerNotRegistered, {"ledger_id": "sg_" + "c" * 32}),
    (NotConcerned, {"signers": ("acme", "alpha", "bravo")}),
    (o.ScoredSellerInvalid, {"seller": org("acme")}),
    (o.OfferingMissing, {"offering": ""}),
    (o.ScoreOutOfRange, {"tenths": 100}),
    (o.ScoreOutOfRange, {"count": 0}),
    (o.ScoreTextWrong, {"text": "9.9:1"}),
    (o.ScoreSourceInvalid, {"height": 0}),
    (o.ScoreSourceInvalid, {"app_hash": b"\x01" * 31}),
    (o.ScoreNotNewer, {"height": 39}),
    (o.ScoreNotNewer, {"height": 40}),
]


@pytest.mark.parametrize("first", range(len(REFUSALS)))
def test_invalid_scores_are_answered_with_the_first_failing_check(first):
    ledger = ledger_of()
    propose(ledger, "publish_score", SCORE, "bravo", "alpha")
    before = ledger.root()
    broken = dict(GOOD)
    for _, change in reversed(REFUSALS[first:]):
        broken |= change
    signers, role = broken.pop("signers"), broken.pop("role")
    with pytest.raises(REFUSALS[first][0]):
        propose(ledger, "publish_score", replace(SCORE, **({"height": 41} | broken)), *signers, role=role)
    assert ledger.root() == before


def test_a_newer_score_takes_the_place_of_the_one_before():
    ledger = ledger_of()
    propose(ledger, "publish_score", SCORE, "bravo", "alpha")
    first = ledger.the(o.REPUTATION)
    newer = replace(SCORE, height=41, tenths=7, count=133, text="0.7:133")
    propose(ledger, "publish_score", newer, "alpha", "bravo")
    assert ledger.the(o.REPUTATION) == replace(first, height=41, tenths=7, count=133, text="0.7:133")


def test_scores_of_both_directions_and_of_each_offering_stand_beside_each_other():
    ledger = ledger_of()
    for change in ({}, {"seller": org("alpha")}, {"offering": "other"}):
        propose(ledger, "publish_score", replace(SCORE, **change), "bravo", "alpha")
    assert len(ledger.all(o.REPUTATION)) == 3
    assert len(ledger.find(o.REPUTATION, "party", org("bravo"), 9)) == 2
    assert len(ledger.find(o.REPUTATION, "offering", "epl", 9)) == 2


@pytest.mark.parametrize(
    ("field", "change"),
    [
        ("tenths", {"tenths": 100}),
        ("count", {"count": 0, "text": "8.9:0"}),
        ("height", {"height": 0}),
        ("height", {"height": -1}),
        ("app_hash", {"app_hash": b"\x01" * 33}),
        ("app_hash", {"app_hash": b""}),
    ],
)
def test_invalid_scores_are_refused_for_the_field_at_fault(field, change):
    with pytest.raises((o.ScoreOutOfRange, o.ScoreSourceInvalid)) as caught:
        propose(ledger_of(), "publish_score", replace(SCORE, **change), "bravo", "alpha")
    assert caught.value.field == field


def test_the_first_measurement_at_the_first_height_can_be_published():
    ledger = ledger_of()
    propose(ledger, "publish_score", replace(SCORE, count=1, text="8.9:1", height=1), "bravo", "alpha")
    assert (ledger.the(o.REPUTATION).text, ledger.the(o.REPUTATION).height) == ("8.9:1", 1)


def test_invalid_acceptance_of_a_score_that_a_newer_one_has_overtaken():
    ledger = ledger_of()
    propose(ledger, "publish_score", SCORE, "bravo")
    propose(ledger, "publish_score", replace(SCORE, height=41), "bravo", "alpha")
    before = ledger.root()
    with pytest.raises(o.ScoreNotNewer):
        accept(ledger, "alpha")
    assert ledger.root() == before


def test_a_third_organizations_signature_is_not_written_down_as_an_acceptance():
    ledger = ledger_of()
    propose(ledger, "publish_score", SCORE, "bravo", "acme", "alpha")
    enacted = max(ledger.all(PROPOSAL), key=lambda found: found.valid_until_ms)
    assert [signer.split("/")[0] for signer in enacted.accepted_by] == [org("bravo"), org("alpha")]
