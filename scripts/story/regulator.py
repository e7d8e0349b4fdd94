"""Acts: the regulator compares every height on every node, learns nothing of what it may not see, and its access ends."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from typing import Any, Final

from ledgers.client import Client, ClientError, Ledger, Refused
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
_CUT_OFF_WITHIN_S: Final = 60.0
# More than a block takes to reach a peer.
_LINGER_S: Final = 1.0


async def compare_heights(stage: Stage, nodes: Nodes, ledger: str) -> None:
    """Every height's app hash from the regulator's own node and each other one; a difference or a gap fails.

    The regulator asks all of them itself, with its own certificate.
    """
    began = time.monotonic()
    names = nodes.nodes_of(ledger)
    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(nodes.visitor(OFCOM, name)) for name in names]
        replicas = [await client.ledger(nodes.ledger_id(ledger)) for client in clients]
        last = min([height for height, _ in await asyncio.gather(*(replica.app_hash() for replica in replicas))])
        columns = [await _hashes(name, replica, last) for name, replica in zip(names, replicas, strict=True)]
    rows = list(zip(*columns, strict=True))
    for height, row in enumerate(rows, start=1):
        require(len(set(row)) == 1 and row[0], f"one app hash at height {height}", {n: v.hex() for n, v in zip(names, row, strict=True)})
    stage.teller.tell(
        f"asks the nodes of {', '.join(names)}: heights 1 to {last} are equal everywhere, without a gap",
        who=OFCOM,
        ledger=ledger,
        height=last,
        ms=int((time.monotonic() - began) * 1000),
    )
    cells = [f"{height:>4} {row[0].hex()[:16]} {len(names)}/{len(names)}" for height, row in enumerate(rows, start=1)]
    for start in range(0, len(cells), _COLUMNS):
        stage.teller.print("        " + "   ".join(cells[start : start + _COLUMNS]))
    stage.teller.note(
        "app_hashes", {"ledger": ledger, "nodes": list(names), "hashes": [row[0].hex() for row in rows]}
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
    await _require_cut_off(stage, nodes, first, observer)


def parties_of(ledger: str) -> Sequence[str]:
    """The two parties of a bilateral ledger, by its name."""
    return {ACME_ALPHA: ("acme", "alpha"), ALPHA_BRAVO: ("alpha", "bravo")}[ledger]


async def _hashes(name: str, replica: Ledger, last: int) -> list[bytes]:
    found: list[bytes] = []
    for start in range(1, last + 1, _AT_ONCE):
        heights = range(start, min(start + _AT_ONCE, last + 1))
        answers = await asyncio.gather(*(replica.app_hash(height) for height in heights))
        require([height for height, _ in answers] == list(heights), f"heights {heights} at {name}'s node", answers)
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


async def _require_cut_off(stage: Stage, nodes: Nodes, party: Seat, observer: Seat) -> None:
    """The former observer's engine has no peer left: the ledger goes on, its replica does not."""
    began = time.monotonic()
    before, peers = await nodes.engine_state(OFCOM, party.ledger_name)
    while peers:
        if time.monotonic() > began + _CUT_OFF_WITHIN_S:
            raise StepFailed(
                f"ofcom's engine to lose all peers within {_CUT_OFF_WITHIN_S:.0f} s",
                f"{peers} peers",
                "the other members' engines restart one after the other to drop it: look for peers_removed in their logs",
            )
        await asyncio.sleep(_POLL_S)
        before, peers = await nodes.engine_state(OFCOM, party.ledger_name)
    organization = await party.see("organization", party.id)
    done = await party.act(Role.ADMINISTRATOR, "set_node_ids", SetNodeIds(node_ids=organization.node_ids))
    await asyncio.sleep(_LINGER_S)
    after, _ = await nodes.engine_state(OFCOM, party.ledger_name)
    require(before == after < done.receipt.height, f"ofcom's replica to stay below {done.receipt.height}", (before, after))
    stage.teller.tell(
        f"is nobody's peer any more: its replica stays at height {after}, the ledger goes on to {done.receipt.height}",
        who=observer.name,
        ledger=party.ledger_name,
        height=after,
        ms=int((time.monotonic() - began) * 1000),
    )
    stage.teller.note(
        "access_ended",
        {"organization": observer.name, "ledger": party.ledger_name, "replica": after, "ledger_height": done.receipt.height},
    )
