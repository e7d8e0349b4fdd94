"""Audit of an organization's internal ledger against the bilateral ledgers that it acts on, by whoever may read both.

Bilateral contracts see one pair only: whether an act was let out, and whether the list of upstream buyers that came with an
inquiry is the one that its own parent had, only both ledgers together can tell. Req: Q-09; DESIGN section 8.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from ledgers.client.errors import Refused
from ledgers.client.ledger import Ledger
from ledgers.kinds import BILATERAL, INTERNAL
from smartcontracts.codec import decode
from smartcontracts.internal.release import MESSAGES, ReleaseStatus, outward_data, release_hash
from smartcontracts.lineage import pseudonym

__all__ = ("BILATERAL", "INTERNAL", "AuditReport", "Finding", "audit_outward_acts")

# Documents that one organization alone creates, and the field that names it.
_AUTHORS: Final = (("inquiry", "buyer"), ("quote", "seller"), ("unable", "seller"))
_RELEASED: Final = ("inquiry", "quote", "unable", "order", "service_change")
# What an act creates out there, and the members that go from the command into the document as they are.
_CREATED: Final = MappingProxyType(
    {
        "submit_inquiry": (
            "inquiry",
            [
                "seller",
                "agreement_id",
                "level",
                "items",
                "ancestors",
                "lineage_key",
                "change",
                "replaces",
                "buyer_reference",
                "project",
                "requested_completion_ms",
                "withheld",
            ],
        ),
        "issue_quote": (
            "quote",
            [
                "inquiry_id",
                "level",
                "valid_until_ms",
                "items",
                "one_time_total",
                "term_total",
                "form",
                "bundle",
                "change_answer",
                "seller_reference",
                "withheld",
            ],
        ),
        "declare_unable": ("unable", ["inquiry_id", "reason"]),
        "place_order": (
            "order",
            [
                "quote_id",
                "activation_window_ms",
                "delivery_info",
                "implement_at_ms",
                "change",
                "replaces",
                "buyer_reference",
                "requested_completion_ms",
                "withheld",
            ],
        ),
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Something that the two ledgers don't agree in. `name` is stable; the rest says where and what."""

    name: str
    ledger_id: str
    kind: str
    id: str
    sentence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditReport:
    """How much was compared, and what was found; no findings is a pass.

    `releases` are those for ledgers that were read, `unread` all others; `acts` are documents outside that were compared with
    the command that created them, `inquiries` those of them whose upstream buyers were compared with their parent's.
    """

    releases: int
    unread: int
    acts: int
    inquiries: int
    findings: tuple[Finding, ...]


async def audit_outward_acts(internal: Ledger, bilateral: Sequence[Ledger], organization: str) -> AuditReport:
    """Compare everything that `organization` let out with what stands outside. Raises Refused where reading is."""
    releases = [document.body async for document in internal.list("release")]
    apart = {document.body.id: document.body async for document in internal.list("outward_items")}
    outside = {ledger.id: await _documents(ledger) for ledger in bilateral}
    findings = _release_findings(internal, releases, apart, outside)
    acts, differing = _act_findings(releases, apart, outside)
    findings += differing + _author_findings(releases, outside, organization)
    inquiries, of_lineage = await _lineage_findings(internal, releases, outside, organization)
    read = sum(release.ledger_id in outside for release in releases)
    return AuditReport(
        releases=read,
        unread=len(releases) - read,
        acts=acts,
        inquiries=inquiries,
        findings=tuple(findings + of_lineage),
    )


async def _documents(ledger: Ledger) -> dict[str, list[Any]]:
    return {kind: [document.body async for document in ledger.list(kind)] for kind in _RELEASED}


def _release_findings(
    internal: Ledger, releases: Sequence[Any], apart: dict[str, Any], outside: dict[str, dict[str, list[Any]]]
) -> list[Finding]:
    """Each release is what its hash says; what was carried stands outside, and nothing else does.

    One that is open may be on its way: its carrier has not written down yet what became of it.
    """
    stands = {
        ledger_id: {one for records in documents.values() for record in records for one in record.releases}
        for ledger_id, documents in outside.items()
    }
    found = []
    for release in releases:
        where = {"ledger_id": internal.id, "kind": "release", "id": release.id}
        if not _is_as_hashed(release, apart):
            found.append(
                Finding(name="RELEASE_ALTERED", sentence="Its hash is not that of its command and salt.", **where)
            )
        if release.ledger_id not in stands or release.status == ReleaseStatus.OPEN:
            continue
        is_outside = release.sha256 in stands[release.ledger_id]
        if release.status == ReleaseStatus.CARRIED and not is_outside:
            sentence = f"It counts as carried, but no document of {release.ledger_id} carries its hash."
            found.append(Finding(name="RELEASE_NOT_OUTSIDE", sentence=sentence, **where))
        if release.status != ReleaseStatus.CARRIED and is_outside:
            sentence = f"It counts as {release.status}, but a document of {release.ledger_id} carries its hash."
            found.append(Finding(name="RELEASE_OUTSIDE", sentence=sentence, **where))
    return found


def _act_findings(
    releases: Sequence[Any], apart: dict[str, Any], outside: dict[str, dict[str, list[Any]]]
) -> tuple[int, list[Finding]]:
    """What an act created outside is what its release let out: only the audit knows both."""
    compared, found = 0, []
    for release in releases:
        kind, members = _CREATED.get(release.act, ("", []))
        if release.ledger_id not in outside or not kind or not _is_as_hashed(release, apart):
            continue
        command = decode(MESSAGES[release.act].command, outward_data(release, apart.get(release.items_id)))
        for record in outside[release.ledger_id][kind]:
            if release.sha256 not in record.releases:
                continue
            compared += 1
            differing = [name for name in members if getattr(record, name) != getattr(command, name)]
            if differing:
                sentence = f"It is not what its release let out: {', '.join(differing)} differ."
                where = {"ledger_id": release.ledger_id, "kind": kind, "id": record.id}
                found.append(Finding(name="ACT_ALTERED", sentence=sentence, **where))
    return compared, found


def _is_as_hashed(release: Any, apart: dict[str, Any]) -> bool:
    """Items that are kept apart count as part of the command; without them it is not whole."""
    if release.items_id and release.items_id not in apart:
        return False
    data = outward_data(release, apart.get(release.items_id))
    return bool(release_hash(release.act, release.salt, data) == release.sha256)


def _author_findings(
    releases: Sequence[Any], outside: dict[str, dict[str, list[Any]]], organization: str
) -> list[Finding]:
    """What an agent of the organization created carries a hash that its internal ledger knows."""
    known = {release.sha256 for release in releases}
    found = []
    for ledger_id, documents in outside.items():
        for kind, author in _AUTHORS:
            for record in documents[kind]:
                if getattr(record, author) == organization and record.releases and known.isdisjoint(record.releases):
                    sentence = "It carries a release that the internal ledger does not know."
                    found.append(
                        Finding(name="RELEASE_UNKNOWN", ledger_id=ledger_id, kind=kind, id=record.id, sentence=sentence)
                    )
    return found


async def _lineage_findings(
    internal: Ledger, releases: Sequence[Any], outside: dict[str, dict[str, list[Any]]], organization: str
) -> tuple[int, list[Finding]]:
    """The upstream buyers of each forwarded inquiry are its parent's, and the organization itself."""
    by_hash = {release.sha256: release for release in releases}
    originals = {(ledger_id, one.id): one for ledger_id, documents in outside.items() for one in documents["inquiry"]}
    parents: dict[str, Any | None] = {}
    compared, found = 0, []
    for ledger_id, documents in outside.items():
        for inquiry in documents["inquiry"]:
            release = next((by_hash[one] for one in inquiry.releases if one in by_hash), None)
            if inquiry.buyer != organization or release is None:
                continue
            # All sellers that are asked for one sourcing have one parent.
            if release.subject_id not in parents:
                parents[release.subject_id] = await _parent(internal, release)
            parent = parents[release.subject_id]
            if parent is None:
                continue
            compared += 1
            original = originals.get((parent.ledger_id, parent.inquiry.id), parent.inquiry)
            where = {"ledger_id": ledger_id, "kind": "inquiry", "id": inquiry.id}
            found += _lineage_of(inquiry, parent, original, organization, where)
    return compared, found


async def _parent(internal: Ledger, release: Any) -> Any | None:
    """The handover of the inquiry that this release forwards; None where it serves something else."""
    if release.subject_kind != "sourcing":
        return None
    sourcing = (await internal.get("sourcing", release.subject_id)).body
    if sourcing.subject_kind != "inquiry_handover":
        return None
    try:
        return (await internal.get("inquiry_handover", sourcing.subject_id)).body
    except Refused:
        return None


def _lineage_of(inquiry: Any, handover: Any, original: Any, organization: str, where: dict[str, str]) -> list[Finding]:
    """`original` is the inquiry that was handed over, as it stands outside if that ledger is read."""
    found = []
    if (handover.inquiry.ancestors, handover.inquiry.lineage_key) != (original.ancestors, original.lineage_key):
        sentence = (
            f"The copy of {original.id} that it was handed over by names other upstream buyers than the inquiry itself."
        )
        found.append(Finding(name="HANDOVER_ALTERED", sentence=sentence, **where))
    expected = (*original.ancestors, pseudonym(original.lineage_key, organization))
    if inquiry.ancestors != expected or inquiry.lineage_key != original.lineage_key:
        sentence = f"Its upstream buyers are not those of {original.id} with this organization at the end: {_how(inquiry.ancestors, expected)}."
        found.append(Finding(name="LINEAGE_ALTERED", sentence=sentence, **where))
    return found


def _how(given: tuple[str, ...], expected: tuple[str, ...]) -> str:
    if len(given) < len(expected):
        return "the list was shortened"
    if len(given) > len(expected):
        return f"the list was extended by {len(given) - len(expected) + 1}"
    return "the list was reordered" if sorted(given) == sorted(expected) else "the list has other entries"
