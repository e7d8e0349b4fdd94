"""Acts: the regulator compares every height on every node, learns nothing of what it may not see, and its access ends."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Sequence
from typing import Any, Final

from ledgers.client import Client, ClientError, Refused
from ledgers.genesis import LEDGER_ID_PREFIX
from scripts.story.agreements import jointly
from scripts.story.nodes import Nodes
from scripts.story.scene import ACME_ALPHA, ALPHA, ALPHA_BRAVO, OFCOM, Seat, Stage
from scripts.story.telling import StepFailed, require
from smartcontracts.ids import base32
from smartcontracts.kernel import Role
from smartcontracts.membership import RemoveOrganization, SetNodeIds

_AT_ONCE: Final = 64
_COLUMNS: Final = 4
_ENDED_WITHIN_S: Final = 20.0
_POLL_S: Final = 0.1
_CUT_OFF_S: Final = 3.0


async def compare_heights(stage: Stage, nodes: Nodes, ledger: str) -> None:
    """Every height's app hash from every node that replicates the ledger; a difference or a gap fails."""
    began = time.monotonic()
    seats = [await nodes.seat(name, ledger) for name in nodes.nodes_of(ledger)]
    statuses = await asyncio.gather(*(seat.ledger.app_hash() for seat in seats))
    last = min(height for height, _ in statuses)
    columns = [await _hashes(seat, last) for seat in seats]
    rows = list(zip(*columns, strict=True))
    for height, row in enumerate(rows, start=1):
        found = {seat.name: value.hex() for seat, value in zip(seats, row, strict=True)}
        require(len(set(row)) == 1 and row[0], f"one app hash at height {height}", found)
    names = ", ".join(seat.name for seat in seats)
    stage.teller.tell(
        f"heights 1 to {last}, asked of {names}: equal everywhere",
        who=OFCOM,
        ledger=ledger,
        height=last,
        ms=int((time.monotonic() - began) * 1000),
    )
    cells = [f"{height:>4} {row[0].hex()[:16]} {len(seats)}/{len(seats)}" for height, row in enumerate(rows, start=1)]
    for start in range(0, len(cells), _COLUMNS):
        stage.teller.print("        " + "   ".join(cells[start : start + _COLUMNS]))
    stage.teller.note(
        "app_hashes", {"ledger": ledger, "nodes": [seat.name for seat in seats], "hashes": [row[0].hex() for row in rows]}
    )


async def learn_nothing(stage: Stage, nodes: Nodes, hidden: str) -> None:
    """The same answer for a ledger that one may not see as for one that does not exist."""
    invented = LEDGER_ID_PREFIX + base32(secrets.token_bytes(20))
    async with nodes.visitor(OFCOM, ALPHA) as client:
        real, real_ms = await _asked(client, nodes.ledger_id(hidden))
        none, none_ms = await _asked(client, invented)
    require(real == none, "one answer for both", (real, none))
    stage.teller.tell(
        f"asks alpha's node for {hidden} and for a ledger that does not exist: {real[1]} to both ({real_ms} and {none_ms} ms)",
        who=OFCOM,
    )


async def end_access(stage: Stage, nodes: Nodes, granted: str) -> None:
    """Both parties revoke the observer's grant: their nodes know it no more, and its own gets no further blocks."""
    first, second = [await nodes.seat(name, granted) for name in parties_of(granted)]
    observer = await nodes.seat(OFCOM, granted)
    async with nodes.visitor(OFCOM, ALPHA) as client:
        await client.ledger(first.ledger.id)
        stage.teller.tell("is served by alpha's node, by both parties' grant", who=OFCOM, ledger=granted)
        removal = RemoveOrganization(organization_id=observer.id)
        done = await jointly(
            stage, first, second, Role.ADMINISTRATOR, "remove_organization", removal, "to end ofcom's access"
        )
        await _wait_for_end(client, first.ledger.id)
        real, _ = await _asked(client, first.ledger.id)
    stage.teller.tell(f"gets {real[1]} from alpha's node", who=OFCOM, ledger=granted, height=done.receipt.height)
    await _require_cut_off(stage, first, observer)


def parties_of(ledger: str) -> Sequence[str]:
    """The two parties of a bilateral ledger, by its name."""
    return {ACME_ALPHA: ("acme", "alpha"), ALPHA_BRAVO: ("alpha", "bravo")}[ledger]


async def _hashes(seat: Seat, last: int) -> list[bytes]:
    found: list[bytes] = []
    for start in range(1, last + 1, _AT_ONCE):
        heights = range(start, min(start + _AT_ONCE, last + 1))
        answers = await asyncio.gather(*(seat.ledger.app_hash(height) for height in heights))
        require([height for height, _ in answers] == list(heights), f"heights {heights} at {seat.name}'s node", answers)
        found += [value for _, value in answers]
    return found


async def _asked(client: Client, ledger_id: str) -> tuple[tuple[Any, ...], int]:
    """All that the answer says: gRPC's status, name, code, sentence, field."""
    began = time.monotonic()
    try:
        await client.ledger(ledger_id)
    except Refused as refused:
        detail = refused.detail
        said = (refused.status, detail.name, detail.code, detail.sentence, detail.field, detail.transient)
        return said, int((time.monotonic() - began) * 1000)
    raise StepFailed("a refusal", f"an answer about {ledger_id}")


async def _wait_for_end(client: Client, ledger_id: str) -> None:
    deadline = time.monotonic() + _ENDED_WITHIN_S
    while time.monotonic() < deadline:
        try:
            await client.ledger(ledger_id)
        except ClientError:
            return
        await asyncio.sleep(_POLL_S)
    raise StepFailed("ofcom's access to end", f"alpha's node still answers after {_ENDED_WITHIN_S:.0f} s")


async def _require_cut_off(stage: Stage, party: Seat, observer: Seat) -> None:
    """The parties' ledger moves on; the former observer's replica does not."""
    organization = await party.see("organization", party.id)
    await asyncio.sleep(_CUT_OFF_S)
    before, _ = await _height_of(observer)
    done = await party.act(Role.ADMINISTRATOR, "set_node_ids", SetNodeIds(node_ids=organization.node_ids))
    await asyncio.sleep(_CUT_OFF_S)
    after, _ = await _height_of(observer)
    require(
        after < done.receipt.height and after == before,
        f"ofcom's replica to stay below height {done.receipt.height}",
        f"{before}, then {after}",
    )
    stage.teller.tell(
        f"its own replica stays at height {after}; the parties' ledger goes on to {done.receipt.height}",
        who=OFCOM,
        ledger=party.ledger_name,
        height=after,
    )


async def _height_of(observer: Seat) -> tuple[int, bytes]:
    """What the former observer's own node still has; 0 where that tells nothing any more."""
    try:
        height, app_hash = await observer.ledger.app_hash()
    except ClientError:
        return 0, b""
    return int(height), bytes(app_hash)
