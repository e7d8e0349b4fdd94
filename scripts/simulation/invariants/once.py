"""Nothing is done twice: one cause creates in one transaction, and nowhere else."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scripts.simulation.invariants.base import Invariant, broken

if TYPE_CHECKING:
    from scripts.simulation.chain import Chain, Decided
    from scripts.simulation.world import World


class Once(Invariant):
    """DESIGN section 8."""

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self._created: dict[tuple[str, str, str, str, str], bytes] = {}

    def block(self, chain: Chain, decided: Decided) -> None:
        new = {written.after.id for written in decided.written if written.before is None}
        for event in decided.result.events:
            cause = event.cause
            if event.document_id not in new or not cause.event_id:
                continue
            key = (chain.id, cause.ledger_id, cause.event_id, cause.purpose, event.kind)
            if self._created.setdefault(key, event.transaction_id) != event.transaction_id:
                broken("nothing_twice", chain, f"{cause.purpose} because of {cause.event_id} created {event.kind} twice")
