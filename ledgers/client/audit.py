"""Audit of an organization's internal ledger against the bilateral ledgers that it acts on, by whoever may read both.

Bilateral contracts see one pair only: whether an act was let out, and whether the list of upstream buyers that came with an
inquiry is the one that its own parent had, only both ledgers together can tell. Req: Q-09; DESIGN section 8.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from ledgers.client.audited_acts import CREATED, NAMED, Difference, created_differences, differences
from ledgers.client.errors import Refused
from ledgers.client.ledger import Ledger
from ledgers.kinds import BILATERAL, INTERNAL
from smartcontracts.codec import decode, from_message
from smartcontracts.internal.release import MESSAGES, ReleaseStatus, outward_data, release_hash
from smartcontracts.lineage import pseudonym

__all__ = ("BILATERAL", "INTERNAL", "AuditReport", "Finding", "audit_outward_acts")

# Documents that one organization alone creates, and the field that names it.
_AUTHORS: Final = (("inquiry", "buyer"), ("quote", "seller"), ("unable", "seller"))
_RELEASED: Final = ("inquiry", "quote", "unable", "order", "service_change", "offering")
# Read besides: whether a service ever was in operation.
_OUTSIDE: Final = (*_RELEASED, "service")
# Documents of INT that know an order outside by its id, with what they have of it.
_ORDER_COPIES: Final = ("order_handover", "service_element")
_Bearers = Mapping[tuple[str, bytes], Sequence[tuple[str, Any]]]
# A finding names the first members that differ; JSON has all of them.
_NAMED_MAX: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Something that the two ledgers don't agree in. `name` is stable; the rest says where and what.

    `differences` has every member that is another one, where single members were compared.
    """

    name: str
    ledger_id: str
    kind: str
    id: str
    sentence: str
    differences: tuple[Difference, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditReport:
    """How much was compared, and what was found; no findings is a pass.

    `releases` are those for ledgers that were read, `unread` all others. `acts` are those that were compared with what they left
    on a document outside, `commands` those compared with the transaction that they went out in, `untraced` carried ones whose
    transaction no event leads to any more. `inquiries` are those whose upstream buyers were compared with their parent's.
    """

    releases: int
    unread: int
    acts: int
    commands: int
    untraced: int
    inquiries: int
    findings: tuple[Finding, ...]


async def audit_outward_acts(internal: Ledger, bilateral: Sequence[Ledger], organization: str) -> AuditReport:
    """Compare everything that `organization` let out with what stands outside. Raises Refused where reading is."""
    releases = [document.body async for document in internal.list("release")]
    apart = {document.body.id: document.body async for document in internal.list("outward_items")}
    copies = [(kind, document.body) for kind in _ORDER_COPIES async for document in internal.list(kind)]
    outside = {ledger.id: await _documents(ledger) for ledger in bilateral}
    bearers = _bearers(outside)
    altered = frozenset(release.id for release in releases if not is_as_hashed(release, apart))
    let_out = [
        LetOut(release, command_of(release, apart))
        for release in releases
        if release.ledger_id in outside and release.id not in altered
    ]
    findings = _release_findings(internal, releases, altered, bearers, frozenset(outside))
    acts, differing = _act_findings(let_out, bearers, outside)
    sent = {ledger.id: await _commands(ledger, bearers, let_out, organization) for ledger in bilateral}
    findings += differing + _command_findings(let_out, sent) + _copy_findings(internal, copies, outside)
    findings += _author_findings(releases, outside, organization)
    inquiries, of_lineage = await _lineage_findings(internal, releases, outside, organization)
    traced = {one.release for commands in sent.values() for one in commands}
    carried = [one.release for one in let_out if one.release.status == ReleaseStatus.CARRIED]
    return AuditReport(
        releases=sum(release.ledger_id in outside for release in releases),
        unread=sum(release.ledger_id not in outside for release in releases),
        acts=acts,
        commands=len(traced),
        untraced=sum(release.sha256 not in traced for release in carried),
        inquiries=inquiries,
        findings=tuple(findings + of_lineage),
    )


async def _documents(ledger: Ledger) -> dict[str, list[Any]]:
    return {kind: [document.body async for document in ledger.list(kind)] for kind in _OUTSIDE}


def _bearers(outside: Mapping[str, Mapping[str, list[Any]]]) -> _Bearers:
    """By ledger id and a release's hash: (kind, record) of the documents that carry it."""
    found: dict[tuple[str, bytes], list[tuple[str, Any]]] = {}
    for ledger_id, documents in outside.items():
        for kind in _RELEASED:
            for record in documents[kind]:
                for one in record.releases:
                    found.setdefault((ledger_id, one), []).append((kind, record))
    return found


@dataclass(frozen=True, slots=True)
class LetOut:
    """A release that is what its hash says, with its whole command."""

    release: Any
    command: Any


@dataclass(frozen=True, slots=True)
class Sent:
    """A command of the organization in an executed transaction, under the hash of a release; and a document that it wrote."""

    release: bytes
    act: str
    command: Any
    kind: str
    id: str


def command_of(release: Any, apart: Mapping[str, Any]) -> Any:
    """What was let out, with an empty `release`. Rejects as the codec."""
    return decode(MESSAGES[release.act].command, outward_data(release, apart.get(release.items_id)))


def is_as_hashed(release: Any, apart: Mapping[str, Any]) -> bool:
    """Items that are kept apart count as part of the command; without them it is not whole."""
    if release.items_id and release.items_id not in apart:
        return False
    data = outward_data(release, apart.get(release.items_id))
    return bool(release_hash(release.act, release.salt, data) == release.sha256)


def _release_findings(
    internal: Ledger, releases: Sequence[Any], altered: frozenset[str], bearers: _Bearers, read: frozenset[str]
) -> list[Finding]:
    """Each release is what its hash says; what was carried stands outside, and nothing else does.

    One that is open may be on its way: its carrier has not written down yet what became of it. `read` are the ledgers that were.
    """
    found = []
    for release in releases:
        where = {"ledger_id": internal.id, "kind": "release", "id": release.id}
        if release.id in altered:
            found.append(
                Finding(name="RELEASE_ALTERED", sentence="Its hash is not that of its command and salt.", **where)
            )
        if release.ledger_id not in read or release.status == ReleaseStatus.OPEN:
            continue
        is_outside = (release.ledger_id, release.sha256) in bearers
        if release.status == ReleaseStatus.CARRIED and not is_outside:
            sentence = f"It counts as carried, but no document of {release.ledger_id} carries its hash."
            found.append(Finding(name="RELEASE_NOT_OUTSIDE", sentence=sentence, **where))
        if release.status != ReleaseStatus.CARRIED and is_outside:
            sentence = f"It counts as {release.status}, but a document of {release.ledger_id} carries its hash."
            found.append(Finding(name="RELEASE_OUTSIDE", sentence=sentence, **where))
    return found


def _act_findings(
    let_out: Sequence[LetOut], bearers: _Bearers, outside: Mapping[str, dict[str, list[Any]]]
) -> tuple[int, list[Finding]]:
    """What an act left outside is what its release let out: only the audit knows both."""
    services = {ledger_id: {one.id: one for one in documents["service"]} for ledger_id, documents in outside.items()}
    compared, found = 0, []
    for one in let_out:
        ledger_id = one.release.ledger_id
        bearing = bearers.get((ledger_id, one.release.sha256), [])
        for kind, record, differing in _left(one, bearing, services[ledger_id]):
            compared += 1
            if differing:
                found.append(_altered("ACT_ALTERED", ledger_id, kind, record.id, differing))
    return compared, found


def _left(
    one: LetOut, bearers: Sequence[tuple[str, Any]], services: Mapping[str, Any]
) -> list[tuple[str, Any, list[Difference]]]:
    """(kind, record, what differs) of the documents with this release's hash on which its act should stand.

    An act that creates nothing is compared once it is carried: until then the other party may have put the hash, which it saw
    coming, on an act of its own, and its carrier finds that out.
    """
    created = CREATED.get(one.release.act)
    if created is not None:
        right = [(kind, record) for kind, record in bearers if kind == created.kind]
        return [(kind, record, created_differences(one.release.act, one.command, record)) for kind, record in right]
    named = NAMED[one.release.act]
    if one.release.status != ReleaseStatus.CARRIED:
        return []
    wanted = getattr(one.command, named.member)
    right = [(kind, record) for kind, record in bearers if (kind, record.id) == (named.kind, wanted)]
    if right:
        return [(kind, record, named.left(one.command, record, services)) for kind, record in right]
    return [
        (kind, record, [Difference(field=named.member, expected=wanted, found=record.id)]) for kind, record in bearers
    ]


async def _commands(ledger: Ledger, bearers: _Bearers, let_out: Sequence[LetOut], organization: str) -> list[Sent]:
    """What the organization's members sent under the hashes of its releases, as far as events lead to it.

    Only what its own members signed: the other party can put a hash that it has seen on anything.
    """
    wanted = {one.release.sha256 for one in let_out if one.release.ledger_id == ledger.id}
    # A refusal to quote has no event of its own: its inquiry has.
    bearing = {
        ("inquiry", record.inquiry_id) if kind == "unable" else (kind, record.id)
        for one in wanted
        for kind, record in bearers.get((ledger.id, one), ())
    }
    places: dict[bytes, tuple[str, str]] = {}
    if bearing:
        async for event in ledger.past_events(_RELEASED):
            if event.transaction_id and (event.kind, event.document_id) in bearing:
                places.setdefault(event.transaction_id, (event.kind, event.document_id))
    found = []
    for transaction_id, (kind, document_id) in places.items():
        body, _ = await ledger.transaction(transaction_id)
        for message in body.messages:
            act = message.WhichOneof("command")
            by = body.signers[message.signer].partition("/")[0]
            if act not in MESSAGES or by != organization:
                continue
            command = from_message(MESSAGES[act].command, getattr(message, act))
            if command.release in wanted:
                found.append(Sent(command.release, act, command, kind, document_id))
    return found


def _command_findings(let_out: Sequence[LetOut], sent: Mapping[str, Sequence[Sent]]) -> list[Finding]:
    """Each command under a release's hash is the one that was let out, in every member, also where no trace of it lasts."""
    by_hash = {(one.release.ledger_id, one.release.sha256): one for one in let_out}
    found = []
    for ledger_id, commands in sent.items():
        for one in commands:
            expected = by_hash[ledger_id, one.release]
            differing = differences(expected.release.act, one.act, "act") or differences(
                expected.command, replace(one.command, release=b"")
            )
            if differing:
                found.append(_altered("COMMAND_ALTERED", ledger_id, one.kind, one.id, differing))
    return found


def _copy_findings(
    internal: Ledger, copies: Sequence[tuple[str, Any]], outside: Mapping[str, dict[str, list[Any]]]
) -> list[Finding]:
    """What INT was told of an order outside is true, or was: its service's id, and when its window ends."""
    orders = {(ledger_id, one.id): one for ledger_id, documents in outside.items() for one in documents["order"]}
    found = []
    for kind, copy in copies:
        order = orders.get((copy.ledger_id, copy.order_id))
        if order is None:
            continue
        wrong = differences(order.service_id, copy.service_id, "service_id") if copy.service_id else []
        ends = (order.original_activate_by_ms, *(change.new_ms for change in order.window_changes))
        if copy.activate_by_ms and copy.activate_by_ms not in ends:
            wrong += differences(order.activate_by_ms, copy.activate_by_ms, "activate_by_ms")
        if wrong:
            sentence = f"It is not as {order.id} on {copy.ledger_id}: {_said(wrong)}."
            found.append(
                Finding(
                    name="COPY_ALTERED",
                    ledger_id=internal.id,
                    kind=kind,
                    id=copy.id,
                    sentence=sentence,
                    differences=tuple(wrong),
                )
            )
    return found


def _altered(name: str, ledger_id: str, kind: str, document_id: str, differing: Sequence[Difference]) -> Finding:
    return Finding(
        name=name,
        ledger_id=ledger_id,
        kind=kind,
        id=document_id,
        sentence=f"It is not what its release let out: {_said(differing)}.",
        differences=tuple(differing),
    )


def _said(differing: Sequence[Difference]) -> str:
    said = [f"{one.field} is {one.found or 'empty'}, not {one.expected or 'empty'}" for one in differing[:_NAMED_MAX]]
    more = len(differing) - len(said)
    return "; ".join(said) + (f"; and {more} more" if more else "")


def _author_findings(
    releases: Sequence[Any], outside: dict[str, dict[str, list[Any]]], organization: str
) -> list[Finding]:
    """What an agent of the organization created carries a hash that its internal ledger knows."""
    known = {release.sha256 for release in releases}
    found = []
    for ledger_id, documents in outside.items():
        for kind, author in _AUTHORS:
            for record in documents[kind]:
                # That of who took a late quote, which a person may have given.
                may_be_others = kind == "quote" and record.taken and len(record.releases) == 1
                is_own = getattr(record, author) == organization and not may_be_others
                if is_own and record.releases and known.isdisjoint(record.releases):
                    sentence = "It carries a release that the internal ledger does not know."
                    found.append(
                        Finding(name="RELEASE_UNKNOWN", ledger_id=ledger_id, kind=kind, id=record.id, sentence=sentence)
                    )
    return found


async def _lineage_findings(
    internal: Ledger, releases: Sequence[Any], outside: dict[str, dict[str, list[Any]]], organization: str
) -> tuple[int, list[Finding]]:
    """The upstream buyers of each forwarded inquiry are its parent's, and the organization itself.

    The release tells the parent. Where there is none, since a person has gone on from a request, or where it serves a recovery, the
    lineage key does, which comes along with every request that goes on.
    """
    by_hash = {release.sha256: release for release in releases}
    received = _received(outside, organization)
    originals = {(ledger_id, one.id): one for ledger_id, documents in outside.items() for one in documents["inquiry"]}
    parents: dict[str, Any | None] = {}
    compared, found = 0, []
    for ledger_id, documents in outside.items():
        for inquiry in documents["inquiry"]:
            release = next((by_hash[one] for one in inquiry.releases if one in by_hash), None)
            if inquiry.buyer != organization:
                continue
            # All sellers that are asked for one sourcing have one parent.
            if release is not None and release.subject_id not in parents:
                parents[release.subject_id] = await _parent(internal, release)
            parent = None if release is None else parents[release.subject_id]
            above = received.get(inquiry.lineage_key, [])
            compared += parent is not None or bool(above)
            where = {"ledger_id": ledger_id, "kind": "inquiry", "id": inquiry.id}
            if parent is None:
                found += _lineage_by_key(inquiry, above, organization, where)
                continue
            original = originals.get((parent.ledger_id, parent.inquiry.id), parent.inquiry)
            found += _lineage_of(inquiry, parent, original, organization, where)
    return compared, found


def _received(outside: Mapping[str, dict[str, list[Any]]], organization: str) -> dict[bytes, list[Any]]:
    """What the organization was asked, by lineage key: a request that comes over two ways has one key."""
    found: dict[bytes, list[Any]] = {}
    for documents in outside.values():
        for inquiry in documents["inquiry"]:
            if inquiry.seller == organization:
                found.setdefault(inquiry.lineage_key, []).append(inquiry)
    return found


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


def _lineage_of(inquiry: Any, handover: Any, original: Any, organization: str, where: dict[str, Any]) -> list[Finding]:
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


def _lineage_by_key(inquiry: Any, above: Sequence[Any], organization: str, where: dict[str, Any]) -> list[Finding]:
    """`above` are the requests that it may go on from; without any it begins one."""
    expected = [(*one.ancestors, pseudonym(one.lineage_key, organization)) for one in above]
    if not expected or inquiry.ancestors in expected:
        return []
    sentence = f"It has the lineage key of {above[0].id}, and not its upstream buyers with this organization at the end: {_how(inquiry.ancestors, expected[0])}."
    return [Finding(name="LINEAGE_ALTERED", sentence=sentence, **where)]


def _how(given: tuple[str, ...], expected: tuple[str, ...]) -> str:
    if len(given) < len(expected):
        return "the list was shortened"
    if len(given) > len(expected):
        return f"the list was extended by {len(given) - len(expected) + 1}"
    return "the list was reordered" if sorted(given) == sorted(expected) else "the list has other entries"
