"""Changes of services: one at a time, none that interrupts without consent and outside its window, and all come to an end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from scripts.simulation.chain import BILATERAL
from scripts.simulation.invariants.base import Invariant, broken

if TYPE_CHECKING:
    from scripts.simulation.chain import Chain, Decided
    from scripts.simulation.world import World

OVER: Final = frozenset(("done", "refused", "failed", "cancelled"))


class Change(Invariant):
    """Req: C-09, C-10, C-11."""

    def __init__(self, world: World) -> None:
        super().__init__(world)
        # By ledger and service: the change that is under way.
        self._open: dict[tuple[str, str], str] = {}
        # What providers sell: their agents must bring it to an end.
        self._sold: dict[tuple[str, str], Chain] = {}

    def block(self, chain: Chain, decided: Decided) -> None:
        if chain.kind != BILATERAL:
            return
        for written in decided.written:
            kind, record = written.after.kind.name, written.after.record
            before = None if written.before is None else written.before.record
            if kind == "service_change":
                self._changed(chain, decided, before, record)
            elif kind == "service":
                self._service(chain, before, record)

    def _changed(self, chain: Chain, decided: Decided, before: Any, change: Any) -> None:
        key = (chain.id, change.service_id)
        if change.status in OVER:
            if self._open.get(key) == change.id:
                del self._open[key]
            self._sold.pop((chain.id, change.id), None)
            return
        if self._open.setdefault(key, change.id) != change.id:
            broken("one_change_at_a_time", chain, f"{change.service_id} is changed by {change.id} and {self._open[key]}")
        if any(name in self.world.stocks for name in _names(chain, change.seller)):
            self._sold[chain.id, change.id] = chain
        if change.status == "implementing" and (before is None or before.status != "implementing"):
            self._begun(chain, decided, change)

    def _begun(self, chain: Chain, decided: Decided, change: Any) -> None:
        now_ms, window = decided.result.time_ms, change.window
        if change.implement_at_ms and now_ms < change.implement_at_ms:
            broken("changes_by_consent", chain, f"{change.id} began {change.implement_at_ms - now_ms} ms too early")
        if change.outage != "yes":
            return
        if window is None or not window.agreed_by or window.agreed_by == window.proposed_by:
            broken("changes_by_consent", chain, f"{change.id} interrupts {change.service_id} without consent")
        if not window.from_ms <= now_ms <= window.until_ms:
            broken("changes_by_consent", chain, f"{change.id} began outside its window")

    def _service(self, chain: Chain, before: Any, service: Any) -> None:
        if before is not None and before.status == "terminated" and service.status != "terminated":
            broken("ends_are_ends", chain, f"{service.id} goes on after its end")
        if before is not None and before.activated_at_ms and service.activated_at_ms != before.activated_at_ms:
            broken("nothing_agreed_changes", chain, f"{service.id} is billed from another time")

    def end(self) -> None:
        for (_, change_id), chain in self._sold.items():
            broken("processes_end", chain, f"service_change/{change_id} goes on though nothing happens any more")


def _names(chain: Chain, organization: str) -> list[str]:
    return [one.name for one in chain.genesis.organizations if one.id == organization]
