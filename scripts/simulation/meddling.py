"""People of a provider who act beside their agents: they answer, accept, give up, cancel and grant by hand. Agents must cope with what they find."""

from __future__ import annotations

from typing import Any, Final

from ledgers.kinds import BILATERAL
from scripts.simulation.chain import Chain
from scripts.simulation.parties import org_id
from scripts.simulation.people import Person
from scripts.simulation.world import World

EVERY_MS: Final = (20_000, 200_000)
OPEN: Final = {
    "inquiry": ("received", "deemed_unable"),
    "order": ("placed", "accepted", "overdue", "extension_requested"),
}
BY_SELLER: Final = {
    "inquiry": ("declare_unable",),
    "order": ("accept_order", "reject_order", "activate_order", "fail_order", "request_extension"),
}
BY_BUYER: Final = {"inquiry": (), "order": ("cancel_order", "answer_extension", "extend_window")}
WITH_REASON: Final = frozenset(("declare_unable", "reject_order", "fail_order", "cancel_order", "request_extension"))


class Meddler:
    """A person of one provider."""

    def __init__(self, world: World, name: str) -> None:
        self._world = world
        self._name = name
        self._id = org_id(name)
        self._plan()

    def _plan(self) -> None:
        self._world.schedule.at(self._world.soon(*EVERY_MS), f"{self._name} looks after the agents", self._turn)

    def _turn(self) -> None:
        if self._world.closing:
            return
        chains = [c for c in self._world.chains.values() if c.kind == BILATERAL and self._name in c.names]
        chain = self._world.random.choice(chains)
        found = self._open_on(chain)
        if found:
            kind, record = self._world.random.choice(found)
            self._world.start(f"{self._name} meddles with {record.id[-6:]}", self._act(Person(self._world, self._name, chain), kind, record))
        self._plan()

    def _open_on(self, chain: Chain) -> list[tuple[str, Any]]:
        committed = chain.state().committed
        return [
            (kind, committed.view.get(committed.table.kinds[kind], one))
            for kind, statuses in OPEN.items()
            for status in statuses
            for one in committed.view.ids(committed.table.kinds[kind], "status", status)
        ]

    async def _act(self, person: Person, kind: str, record: Any) -> None:
        messages = (BY_SELLER if record.seller == self._id else BY_BUYER)[kind]
        if not messages:
            return
        random = self._world.random
        message = random.choice(messages)
        fields: dict[str, Any] = {f"{kind}_id": record.id}
        if message in WITH_REASON:
            fields["reason"] = "BY_HAND"
        if message in ("request_extension", "extend_window"):
            fields["activate_by_ms"] = max(record.activate_by_ms, person.now_ms) + random.randint(1_000, 100_000)
        if message == "answer_extension":
            fields["granted"] = random.random() < 0.5
        await person.say(message, **fields)
