"""An audit of two ledgers finds what neither contract can see alone: acts let out by nobody, and altered lists of buyers."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest

from ledgers.client.audit import audit_outward_acts
from smartcontracts.codec import encode
from smartcontracts.inquiry import SubmitInquiry
from smartcontracts.internal.release import OutwardItems, release_hash
from smartcontracts.lineage import ancestors_of, pseudonym
from smartcontracts.trade import QuoteLevel
from tests.ledgers.client.bookshelf import Shelf
from tests.smartcontracts.trading import LINE, PORT_A

KEY = b"k" * 32
SALT = b"s" * 32


@dataclass(frozen=True)
class Command:
    data: bytes


@dataclass(frozen=True)
class Release:
    id: str = "rel_1"
    act: str = "submit_inquiry"
    ledger_id: str = "down"
    status: str = "carried"
    salt: bytes = SALT
    command: Command = Command(b"inquiry")
    sha256: bytes = release_hash("submit_inquiry", SALT, b"inquiry")
    subject_kind: str = "sourcing"
    subject_id: str = "src_1"
    items_id: str = ""


@dataclass(frozen=True)
class Sourcing:
    id: str = "src_1"
    subject_kind: str = "inquiry_handover"
    subject_id: str = "iho_1"


@dataclass(frozen=True)
class Inquiry:
    id: str
    buyer: str
    ancestors: tuple
    lineage_key: bytes = KEY
    releases: tuple = ()


@dataclass(frozen=True)
class Handover:
    inquiry: Inquiry
    id: str = "iho_1"
    ledger_id: str = "up"


ABOVE = Inquiry("inq_up", "acme", ancestors_of(KEY, "acme"))
BELOW = Inquiry("inq_down", "alpha", ancestors_of(KEY, "alpha", ABOVE.ancestors), releases=(Release().sha256,))


async def audited(*, release=None, handover=None, below=BELOW):
    internal = Shelf("int", "internal", ("release", release or Release(), ()), ("sourcing", Sourcing(), ()))
    internal.put("inquiry_handover", handover or Handover(ABOVE))
    up, down = Shelf("up", "bilateral", ("inquiry", ABOVE, ())), Shelf("down", "bilateral")
    if below is not None:
        down.put("inquiry", below)
    return await audit_outward_acts(internal, (up, down), "alpha")


def names(report):
    return [finding.name for finding in report.findings]


@pytest.mark.req("Q-09")
async def test_a_forwarded_inquiry_that_agrees_is_counted_and_passes():
    report = await audited()
    assert (report.releases, report.inquiries, report.findings) == (1, 1, ())


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
    report = await audited(below=replace(BELOW, ancestors=ancestors))
    assert names(report) == ["LINEAGE_ALTERED"]
    assert how in report.findings[0].sentence
    assert (report.findings[0].ledger_id, report.findings[0].id) == ("down", "inq_down")


@pytest.mark.req("Q-09")
async def test_a_shortened_copy_on_the_internal_ledger_is_found_by_the_inquiry_itself():
    """The forwarder's contract compares with the copy; only the audit compares the copy."""
    original = replace(ABOVE, ancestors=ancestors_of(KEY, "acme", (pseudonym(KEY, "zulu"),)))
    internal = Shelf("int", "internal", ("release", Release(), ()), ("sourcing", Sourcing(), ()))
    internal.put("inquiry_handover", Handover(ABOVE))
    up = Shelf("up", "bilateral", ("inquiry", original, ()))
    down = Shelf("down", "bilateral", ("inquiry", BELOW, ()))
    report = await audit_outward_acts(internal, (up, down), "alpha")
    assert names(report) == ["HANDOVER_ALTERED", "LINEAGE_ALTERED"]


async def test_another_lineage_key_is_found():
    assert names(await audited(below=replace(BELOW, lineage_key=b"o" * 32))) == ["LINEAGE_ALTERED"]


async def test_an_act_that_nobody_released_is_found():
    report = await audited(below=replace(BELOW, releases=(b"x" * 32,)))
    assert names(report) == ["RELEASE_NOT_OUTSIDE", "RELEASE_UNKNOWN"]


async def test_a_person_s_act_needs_no_release():
    report = await audited(release=Release(status="void"), below=replace(BELOW, releases=()))
    assert (report.inquiries, names(report)) == (0, [])


async def test_a_release_whose_act_stands_nowhere_is_found():
    assert names(await audited(below=None)) == ["RELEASE_NOT_OUTSIDE"]


async def test_a_release_that_was_altered_after_the_fact_is_found():
    assert names(await audited(release=Release(command=Command(b"another")))) == ["RELEASE_ALTERED"]


async def test_the_other_party_s_acts_are_its_own_affair():
    assert names(await audited(release=Release(status="void"), below=replace(BELOW, buyer="bravo"))) == []


async def with_items(kept, released):
    """bravo is asked for `released`, of which the internal ledger keeps `kept`."""
    whole = SubmitInquiry(
        seller="bravo",
        agreement_id="agr_1",
        level=QuoteLevel.FIRM,
        items=released,
        response_window_ms=1,
        lineage_key=KEY,
        ancestors=BELOW.ancestors,
    )
    sha256 = release_hash("submit_inquiry", SALT, encode(whole))
    command = Command(encode(replace(whole, items=())))
    release = Release(command=command, sha256=sha256, items_id="oit_1")
    internal = Shelf("int", "internal", ("release", release, ()), ("sourcing", Sourcing(), ()))
    internal.put("inquiry_handover", Handover(ABOVE))
    for items in kept:
        internal.put("outward_items", OutwardItems(id="oit_1", items=items))
    down = Shelf("down", "bilateral", ("inquiry", replace(BELOW, releases=(sha256,)), ()))
    up = Shelf("up", "bilateral", ("inquiry", ABOVE, ()))
    return names(await audit_outward_acts(internal, (up, down), "alpha"))


async def test_items_that_are_kept_apart_count_for_the_hash_of_a_release():
    assert await with_items([(LINE, PORT_A)], (LINE, PORT_A)) == []
    assert await with_items([(LINE,)], (LINE, PORT_A)) == ["RELEASE_ALTERED"]
    assert await with_items([], (LINE, PORT_A)) == ["RELEASE_ALTERED"]
