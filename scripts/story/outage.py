"""Act: all processes of one validator are killed; the others go on without it, and it catches up by itself."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from hashlib import sha256
from typing import Final

from ledgers.client import ClientError
from scripts.story.nodes import Nodes
from scripts.story.scene import ACME, ACME_ALPHA, Seat, Stage
from scripts.story.telling import StepFailed, require

CAUGHT_UP_WITHIN_S: Final = 60.0
_FOR_BLOCK: Final = 2
_POLL_S: Final = 0.2


def kill_validator(stage: Stage, nodes: Nodes, organization: str) -> None:
    """kill -9 of engines and application; the node above them is left to notice."""
    processes = nodes.processes(organization)
    require(len(processes) >= 2, f"engines and an application under {organization}'s node", dict(processes))
    for process_id in processes:
        os.kill(process_id, signal.SIGKILL)
    names = ", ".join(sorted(processes.values()))
    stage.teller.tell(f"kill -9 of {len(processes)} processes: {names}", who=organization)
    stage.teller.note("outages", {"organization": organization, "killed": sorted(processes.values())})


async def see_orders_go_on(stage: Stage, seat: Seat, document_id: str, absent: str) -> None:
    """Who signed the block over an order's acceptance."""
    file = await seat.ledger.prove("order", document_id)
    votes = file.signed_header["commit"]["signatures"]
    signed = {vote["validator_address"] for vote in votes if vote["block_id_flag"] == _FOR_BLOCK}
    require(3 * len(signed) > 2 * len(votes), "more than two thirds of the validators", f"{len(signed)} of {len(votes)}")
    organization = await seat.see("organization", stage.network.organization_id(absent))
    address = sha256(organization.validator_key).digest()[:20].hex().upper()
    stage.teller.tell(
        f"orders go on {'with' if address in signed else 'without'} {absent}: "
        f"{len(signed)} of {len(votes)} validators signed block {file.height + 1}",
        ledger=seat.ledger_name,
        height=file.height,
    )


async def see_it_catch_up(stage: Stage, nodes: Nodes, organization: str) -> None:
    """Within a minute, and without anybody's hand, the validator is where the others are."""
    began = time.monotonic()
    other = await nodes.seat(ACME, ACME_ALPHA)
    while time.monotonic() < began + CAUGHT_UP_WITHIN_S:
        target, _ = await other.ledger.app_hash()
        try:
            seat = await nodes.seat(organization, ACME_ALPHA)
            height, own_hash = await seat.ledger.app_hash(target)
            _, expected = await other.ledger.app_hash(height)
        except ClientError:
            await asyncio.sleep(_POLL_S)
            continue
        require(own_hash == expected, f"the same app hash at height {height}", own_hash.hex())
        stage.teller.tell(
            "is back, has caught up and has the same app hash",
            who=organization,
            ledger=ACME_ALPHA,
            height=height,
            ms=int((time.monotonic() - began) * 1000),
        )
        return
    raise StepFailed(
        f"{organization}'s node to catch up within {CAUGHT_UP_WITHIN_S:.0f} s",
        "it has not",
        f"look at {organization}'s log for why its engine or application is not started again",
    )
