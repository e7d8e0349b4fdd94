"""Scenario 16: what stands on a ledger is with its members and with nobody else: not in a file, a store or a log, nor on the wire.

A purchase over three tiers leaves documents on every provider's internal ledger and on every bilateral one; inventories and
requests have markers planted in them. Then all processes stand still, every organization's folder is copied and searched, and so
is a recording of the loopback interface.
"""

from __future__ import annotations

import asyncio
import secrets
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from ledgers.kinds import BILATERAL, INTERNAL, VERSIONS, contract_table
from scripts.story.capture import Capture, Captured, refusal
from scripts.story.goods import Pool, Stock, line_with_ports, port
from scripts.story.markers import Marked, markers_of, plain
from scripts.story.market import Market
from scripts.story.scenarios.base import Scenario, Set
from scripts.story.scene import ACME, ALPHA, BRAVO, CHARLIE, DELTA
from scripts.story.telling import plural, require
from scripts.story.traces import search
from smartcontracts.inquiry import InquiryStatus
from smartcontracts.internal.rules import RULES_ID, OfferingMarkup
from smartcontracts.order import OrderStatus

NEAR: Final = "nazare-16"
FAR: Final = "corvo-16"
NOWHERE: Final = "berlenga-16"
# In what a provider's own inventory says of its resources: it comes into SOF's answers, and nowhere else.
PLANTED: Final = {name: f"planted-{name}-{secrets.token_hex(12)}" for name in (ALPHA, BRAVO, CHARLIE, DELTA)}
_CONTROL: Final = b"control-" + secrets.token_hex(12).encode()
_QUIET_S: Final = 1.0
# A release's id names the cause of an outward act, and so does the ledger's: opaque, and the other party has them by design.
_NAMED_OUTSIDE: Final = b"rel_"
_RELEASE: Final = "release"
_SYSTEM: Final = "sys"
# Who the organization and its members are stands on every ledger alike.
_SAID_EVERYWHERE: Final = ("organization", "member")


async def play(scene: Set) -> None:
    """L-14, and that an internal ledger is nobody else's."""
    began_ms, refused = scene.now_ms(), refusal()
    capture = Capture(scene.nodes.scratch() / "loopback.frames")
    try:
        if not refused:
            await capture.start()
        async with scene.stage.teller.scene("A purchase over three tiers, with markers planted"):
            planted = await _purchase(scene)
        captured = None if refused else await capture.stop()
    finally:
        await capture.abandon()
    async with scene.stage.teller.scene("Every document's markers"):
        internal = await _internal_markers(scene.market)
        shared = await _shared_markers(scene, began_ms, planted)
    async with scene.stage.teller.scene("Everybody's files"):
        copies = _copy_all(scene)
        _search_all(scene, copies, internal, shared)
        shutil.rmtree(copies)
    async with scene.stage.teller.scene("What crossed the loopback interface"):
        if captured is None:
            scene.not_looked_at(f"the wire: no raw frames for this user ({refused}), and no network namespace could be made")
        else:
            _search_wire(scene, captured, internal, shared)


async def _purchase(scene: Set) -> dict[str, bytes]:
    """Markers planted, and a line bought; the markers by ledger."""
    planted = await _plant(scene)
    quote = await scene.market.quoted(ACME, ALPHA, await scene.market.ask(ACME, ALPHA, line_with_ports(NEAR, FAR)))
    order = await scene.market.order(ACME, ALPHA, quote)
    await scene.market.ordered_until(ACME, ALPHA, order, OrderStatus.ACTIVATED)
    await _control()
    await scene.stage.network.sleep(_QUIET_S)
    return planted


async def _plant(scene: Set) -> dict[str, bytes]:
    """A request on every bilateral ledger with a marker in it, for what nobody has; ledger to marker."""
    planted = {}
    for name in scene.market.providers:
        await scene.market.set_rules(name, markups=(OfferingMarkup(offering=PLANTED[name], basis_points=1),))
    for ledger, (buyer, seller) in scene.market.pairs.items():
        marker = f"planted-{ledger}-{secrets.token_hex(12)}"
        inquiry = await scene.market.ask(buyer, seller, (port(NOWHERE),), project=marker)
        seat, _ = await scene.market.between(buyer, seller)
        await scene.market.until(
            seat, "inquiry", inquiry.id, lambda one: one.status != InquiryStatus.RECEIVED, f"{seller}'s answer"
        )
        planted[ledger] = marker.encode()
    return planted


async def _internal_markers(market: Market) -> dict[str, list[Marked]]:
    """Organization to the markers of every document on its internal ledger; one without a marker fails."""
    found = {}
    for name in market.traders:
        outside = plain([document for ledger, pair in market.pairs.items() if name in pair for document in await _all(market, name, ledger, BILATERAL)])
        documents = await _all(market, name, f"{name}-internal", INTERNAL, with_kind=True)
        mine = [_own(kind, document, outside) for kind, document in documents]
        without = [f"{one.kind}/{one.id}" for one in mine if not one.markers and one.kind not in _SAID_EVERYWHERE]
        require(not without, "a marker in each document", without)
        found[name] = mine
        count = sum(len(one.markers) for one in mine)
        market.stage.teller.tell(f"{plural(len(mine), 'internal document')} with {plural(count, 'marker')}", who=name)
    planted = {name: any(PLANTED[name].encode() in plain_of for one in found[name] for plain_of in one.markers) for name in PLANTED if name != CHARLIE}
    require(all(planted.values()), "what was planted in the inventories to be on the internal ledgers", planted)
    return found


def _own(kind: str, document: Any, outside: bytes) -> Marked:
    """A release's command is said outside once it is carried, so of a release only the salt counts.

    The hash of what is asked for is no secret either: whoever is asked the same computes the same.
    """
    found = markers_of(document.salt if kind == _RELEASE else document, outside)
    computed = {RULES_ID.encode(), getattr(document, "characteristics", "").encode()}
    hidden = [value for value in found if value.startswith(_NAMED_OUTSIDE) or value in computed]
    return Marked(kind, document.id, found.difference(hidden))


async def _shared_markers(scene: Set, since_ms: int, planted: Mapping[str, bytes]) -> dict[str, frozenset[bytes]]:
    """Bilateral ledger to its markers: what was planted, its own id, and those of its inquiries, quotes and orders."""
    found: dict[str, frozenset[bytes]] = {}
    for ledger, marker in planted.items():
        ids = set()
        for kind in ("inquiry", "order"):
            for row in await scene.market.rows(kind, since_ms):
                if row.ledger == ledger:
                    ids |= {row.document.id.encode(), getattr(row.document, "quote_id", "").encode()} - {b""}
        found[ledger] = frozenset({marker, scene.nodes.ledger_id(ledger).encode(), *ids})
        scene.stage.teller.tell(plural(len(found[ledger]), "marker"), ledger=ledger)
    return found


async def _all(market: Market, name: str, ledger: str, kind: str, *, with_kind: bool = False) -> list[Any]:
    """Every document that the contracts of a ledger have, as the organization's own node has it."""
    seat = await market.seat(name, ledger)
    found: list[Any] = []
    for each in contract_table(kind, VERSIONS[-1]).kinds:
        if each == _SYSTEM:
            continue
        documents = await seat.all(each)
        found += [(each, one) for one in documents] if with_kind else documents
    return found


def _copy_all(scene: Set) -> Path:
    """All organizations' folders at one moment in which nothing moves."""
    target = scene.nodes.scratch() / "copies"
    scene.nodes.freeze()
    try:
        for name in _organizations(scene):
            shutil.copytree(scene.nodes.folder(name), target / name, ignore=_sockets)
    finally:
        scene.nodes.thaw()
    return target


def _search_all(
    scene: Set, copies: Path, internal: Mapping[str, list[Marked]], shared: Mapping[str, frozenset[bytes]]
) -> None:
    """Whoever has a marker must be one of those who may, and each of those must have it."""
    owners: dict[bytes, frozenset[str]] = {}
    for name, documents in internal.items():
        owners |= {marker: frozenset({name}) for one in documents for marker in one.markers}
    for ledger, markers in shared.items():
        owners |= dict.fromkeys(markers, frozenset(scene.stage.network.nodes_of(ledger)))
    rows = []
    for name in _organizations(scene):
        foreign = {marker.hex(): marker for marker, may in owners.items() if name not in may}
        own = {marker.hex(): marker for marker, may in owners.items() if name in may}
        looked = search(copies / name, foreign | own)
        leaked = [trace for trace in looked.traces if trace.marker in foreign]
        require(not leaked, f"nothing of others with {name}", [(bytes.fromhex(one.marker), str(one.path)) for one in leaked[:5]])
        missing = set(own) - looked.found
        require(not missing, f"{name} to have what is its own", [bytes.fromhex(one) for one in list(missing)[:5]])
        rows.append((name, looked.files, f"{looked.size / 2**20:.1f}", len(foreign), len(own)))
    scene.stage.teller.table(("organization", "files and stores", "MiB", "of others, none found", "own, all found"), rows)
    scene.stage.teller.tell("nobody has a marker of a ledger that it is no member of")


def _search_wire(
    scene: Set, captured: Captured, internal: Mapping[str, list[Marked]], shared: Mapping[str, frozenset[bytes]]
) -> None:
    wire = b"\x00".join(captured.streams.values())
    require(_CONTROL in wire, "the recording to have what was sent in the clear", f"{captured.size} bytes without it")
    require(not captured.dropped, "a recording without a gap", f"{captured.dropped} frames dropped")
    markers = {marker for documents in internal.values() for one in documents for marker in one.markers}
    markers |= {marker for found in shared.values() for marker in found}
    seen = [marker for marker in markers if marker in wire]
    require(not seen, "no marker on the wire", seen[:5])
    size = captured.size / 2**20
    scene.stage.teller.tell(
        f"{captured.frames} frames, {size:.1f} MiB, {plural(len(captured.streams), 'stream')}: none of {plural(len(markers), 'marker')}, "
        "and what was sent in the clear to try it is there"
    )


async def _control() -> None:
    """A connection in the clear, so that a recording that misses what it should have is seen to."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        host, port_number = server.sockets[0].getsockname()
        reader, writer = await asyncio.open_connection(host, port_number)
        writer.write(_CONTROL)
        await writer.drain()
        await reader.read()
        writer.close()


def _organizations(scene: Set) -> tuple[str, ...]:
    """Everybody with a node."""
    found = {name for ledger in (*scene.market.pairs, "omni") for name in scene.stage.network.nodes_of(ledger)}
    return tuple(sorted(found))


def _sockets(folder: str, names: list[str]) -> list[str]:
    return [name for name in names if (Path(folder) / name).is_socket()]


def _stock(name: str, *places: str) -> Stock:
    return Stock(pools=tuple(Pool(place=place, monthly="24.00", attributes={"circuit": PLANTED[name]}) for place in places))


SCENARIO: Final = Scenario(
    play=play,
    stocks={ALPHA: _stock(ALPHA, NEAR), BRAVO: _stock(BRAVO, NEAR), DELTA: _stock(DELTA, FAR), CHARLIE: _stock(CHARLIE, "peniche-16")},
)
