"""An audit of two ledgers finds what neither contract can see alone: acts let out by nobody, or otherwise, and altered lists of buyers."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest

from ledgers.client.audit import audit_outward_acts
from smartcontracts.codec import encode
from smartcontracts.inquiry import Inquiry, SubmitInquiry
from smartcontracts.internal.release import (
    OutwardAct,
    OutwardItems,
    Release,
    ReleaseStatus,
    release_hash,
)
from smartcontracts.kernel import Role
from smartcontracts.lineage import ancestors_of, element_lineage, pseudonym
from smartcontracts.trade import QuoteLevel
from tests.ledgers.client.bookshelf import Shelf
from tests.smartcontracts import trading

KEY = b"k" * 32
SALT = b"s" * 32
LINE, PORT_A, PORT_Z = (
    replace(one, lineage_id=element_lineage(KEY, one.id)) for one in (trading.LINE, trading.PORT_A, trading.PORT_Z)
)


@dataclass(frozen=True)
class Sourcing:
    id: str = "src_1"
    subject_kind: str = "inquiry_handover"
    subject_id: str = "iho_1"


@dataclass(frozen=True)
class Handover:
    inquiry: Inquiry
    id: str = "iho_1"
    ledger_id: str = "up"


def inquiry(name, buyer, seller, ancestors, releases=()):
    return Inquiry(
        id=name,
        buyer=buyer,
        seller=seller,
        agreement_id="agr_1",
        buyer_reference="",
        project="",
        received_at_ms=1,
        respond_by_ms=2,
        level=QuoteLevel.FIRM,
        items=(LINE, PORT_A),
        ancestors=ancestors,
        withheld=(),
        requested_completion_ms=0,
        lineage_key=KEY,
        releases=releases,
    )


ABOVE = inquiry("inq_up", "acme", "alpha", ancestors_of(KEY, "acme"))
COMMAND = SubmitInquiry(
    seller="bravo",
    agreement_id="agr_1",
    level=QuoteLevel.FIRM,
    items=(LINE, PORT_A),
    response_window_ms=1,
    lineage_key=KEY,
    ancestors=ancestors_of(KEY, "alpha", ABOVE.ancestors),
)


def released(command=COMMAND, *, kept=None, items_id="", status="carried", ledger_id="down"):
    """A release of a command; `kept` is what the internal ledger has of it, if something else."""
    return Release(
        id="rel_1",
        act="submit_inquiry",
        role=Role.B_BUS,
        ledger_id=ledger_id,
        status=ReleaseStatus(status),
        salt=SALT,
        command=OutwardAct(name="submit_inquiry", data=encode(command if kept is None else kept)),
        sha256=release_hash("submit_inquiry", SALT, encode(command)),
        subject_kind="sourcing",
        subject_id="src_1",
        items_id=items_id,
        released_at_ms=1,
    )


BELOW = inquiry("inq_down", "alpha", "bravo", COMMAND.ancestors, (released().sha256,))


async def audited(*, release=None, original=ABOVE, below=BELOW, apart=(), purpose="inquiry_handover"):
    sourcing = Sourcing(subject_kind=purpose)
    internal = Shelf("int", "internal", ("release", release or released(), ()), ("sourcing", sourcing, ()))
    internal.put("inquiry_handover", Handover(ABOVE))
    for items in apart:
        internal.put("outward_items", OutwardItems(id="oit_1", items=items))
    up, down = Shelf("up", "bilateral", ("inquiry", original, ())), Shelf("down", "bilateral")
    if below is not None:
        down.put("inquiry", below)
    return await audit_outward_acts(internal, (up, down), "alpha")


def names(report):
    return [finding.name for finding in report.findings]


@pytest.mark.req("Q-09")
async def test_a_forwarded_inquiry_that_agrees_is_counted_and_passes():
    report = await audited()
    assert (report.releases, report.unread, report.acts, report.inquiries, report.findings) == (1, 0, 1, 1, ())


@pytest.mark.req("Q-09")
@pytest.mark.parametrize(
    ("ancestors", "how"),
    [
        (ancestors_of(KEY, "alpha"), "shortened"),
        (tuple(reversed(BELOW.ancestors)), "reordered"),
        (ancestors_of(KEY, "alpha", (*ABOVE.ancestors, pseudonym(KEY, "zulu"))), "extended by 2"),
        ((pseudonym(KEY, "zulu"), BELOW.ancestors[-1]), "other entries"),
    ],
)
async def test_an_altered_list_of_upstream_buyers_is_found(ancestors, how):
    """Also where a forged internal ledger has let it out."""
    release = released(replace(COMMAND, ancestors=ancestors))
    report = await audited(release=release, below=replace(BELOW, ancestors=ancestors, releases=(release.sha256,)))
    assert names(report) == ["LINEAGE_ALTERED"]
    assert how in report.findings[0].sentence
    assert (report.findings[0].ledger_id, report.findings[0].id) == ("down", "inq_down")


@pytest.mark.req("Q-09")
async def test_a_shortened_copy_on_the_internal_ledger_is_found_by_the_inquiry_itself():
    """The forwarder's contract compares with the copy; only the audit compares the copy."""
    original = replace(ABOVE, ancestors=ancestors_of(KEY, "acme", (pseudonym(KEY, "zulu"),)))
    assert names(await audited(original=original)) == ["HANDOVER_ALTERED", "LINEAGE_ALTERED"]


async def test_another_lineage_key_is_found():
    assert names(await audited(below=replace(BELOW, lineage_key=b"o" * 32))) == ["ACT_ALTERED", "LINEAGE_ALTERED"]


@pytest.mark.parametrize(
    ("altered", "told"),
    [
        ({"items": (LINE, PORT_Z)}, "items[1].id is item-003, not item-002; items[1].product"),
        (
            {"level": QuoteLevel.BUDGETARY, "project": "another"},
            "level is budgetary, not firm; project is another, not empty.",
        ),
    ],
)
async def test_an_act_under_a_released_hash_that_is_not_what_was_released_is_found(altered, told):
    """The bilateral contract keeps the hash and can't open it; the internal one has never seen the document."""
    report = await audited(below=replace(BELOW, **altered))
    assert names(report) == ["ACT_ALTERED"]
    assert told in report.findings[0].sentence
    assert (report.findings[0].ledger_id, report.findings[0].kind, report.findings[0].id) == (
        "down",
        "inquiry",
        "inq_down",
    )


async def test_an_act_that_nobody_released_is_found():
    report = await audited(below=replace(BELOW, releases=(b"x" * 32,)))
    assert names(report) == ["RELEASE_NOT_OUTSIDE", "RELEASE_UNKNOWN"]


async def test_a_person_s_act_needs_no_release():
    report = await audited(release=released(status="void"), below=replace(BELOW, releases=()))
    assert (report.inquiries, names(report)) == (1, [])


@pytest.mark.req("Q-09")
@pytest.mark.parametrize("purpose", ["by-hand", "recovery"])
@pytest.mark.parametrize(
    ("ancestors", "how"),
    [
        (BELOW.ancestors, ""),
        (ancestors_of(KEY, "alpha"), "shortened"),
        (tuple(reversed(BELOW.ancestors)), "reordered"),
        (ancestors_of(KEY, "alpha", (*ABOVE.ancestors, pseudonym(KEY, "zulu"))), "extended by 2"),
    ],
)
async def test_who_goes_on_by_hand_or_in_a_recovery_names_all_upstream_buyers_too(purpose, ancestors, how):
    """Nothing on the internal ledger leads from there to the request: its lineage key does."""
    release = released(replace(COMMAND, ancestors=ancestors), status="void" if purpose == "by-hand" else "carried")
    below = replace(BELOW, ancestors=ancestors, releases=() if purpose == "by-hand" else (release.sha256,))
    report = await audited(release=release, below=below, purpose="order_handover")
    assert (report.inquiries, names(report)) == (1, ["LINEAGE_ALTERED"] if how else [])
    assert all(how in finding.sentence for finding in report.findings)


async def test_who_asks_for_itself_goes_on_from_nothing():
    own = replace(BELOW, lineage_key=b"o" * 32, ancestors=ancestors_of(b"o" * 32, "alpha"), releases=())
    report = await audited(release=released(status="void"), below=own)
    assert (report.inquiries, names(report)) == (0, [])


async def test_a_release_whose_act_stands_nowhere_is_found():
    assert names(await audited(below=None)) == ["RELEASE_NOT_OUTSIDE"]


@pytest.mark.parametrize("status", ["void", "refused"])
async def test_a_release_that_was_taken_back_or_refused_and_stands_outside_all_the_same_is_found(status):
    report = await audited(release=released(status=status))
    assert names(report) == ["RELEASE_OUTSIDE"]
    assert status in report.findings[0].sentence


async def test_a_release_that_is_open_may_be_on_its_way():
    assert names(await audited(release=released(status="open"))) == []
    assert names(await audited(release=released(status="open"), below=None)) == []


async def test_a_release_that_was_altered_after_the_fact_is_found():
    assert names(await audited(release=released(kept=replace(COMMAND, project="another")))) == ["RELEASE_ALTERED"]


async def test_a_release_for_a_ledger_that_is_not_read_is_not_counted_as_compared():
    report = await audited(release=released(ledger_id="elsewhere"), below=None)
    assert (report.releases, report.unread, report.acts, names(report)) == (0, 1, 0, [])


async def test_the_other_party_s_acts_are_its_own_affair():
    other = replace(BELOW, buyer="bravo", releases=(b"x" * 32,))
    assert names(await audited(release=released(status="void"), below=other)) == []


@pytest.mark.parametrize(
    ("apart", "found"),
    [([(LINE, PORT_A)], []), ([(LINE,)], ["RELEASE_ALTERED"]), ([], ["RELEASE_ALTERED"])],
)
async def test_items_that_are_kept_apart_count_for_the_hash_of_a_release_and_are_compared(apart, found):
    release = released(kept=replace(COMMAND, items=()), items_id="oit_1")
    assert names(await audited(release=release, apart=apart)) == found
    outside = replace(BELOW, items=(LINE, PORT_Z))
    altered = names(await audited(release=release, apart=apart, below=outside))
    assert altered == (found or ["ACT_ALTERED"])
