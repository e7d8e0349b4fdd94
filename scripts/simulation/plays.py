"""Plays: while a document inside a provider has a status, one of its duties is put off, and somebody does what comes at the worst time.

An agent that is slow at one thing while everything else goes on is a fault like another. What people do meanwhile they may do: the buyer's
or the seller's person on their ledger, or S-BUS's own person on the internal one. So a process is met in every status by every end.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, Final

from scripts.simulation.buyer import change, habits
from scripts.simulation.chain import BILATERAL, Chain, Decided
from scripts.simulation.parties import org_id
from scripts.simulation.people import Person
from scripts.simulation.world import World

# What is not the world's aim is played now and then too.
AIMS: Final = 3
AIMED: Final = 0.6
OTHERS: Final = (0.05, 0.1, 0.25)
PLAYS_A_DOCUMENT: Final = 4
PAUSE_MS: Final = (100, 3_000)
HELD_MS: Final = (8_000, 25_000)
# Beyond a window's end: ticks, bad proposers, a stalled ledger.
AFTER_END_MS: Final = 4_000
MORE_MS: Final = (20_000, 120_000)
SALT_BYTES: Final = 32
LATEST_MS: Final = 500_000


@dataclass(frozen=True, slots=True)
class Scene:
    """One play as it goes on: the document inside, and the two people of the order or inquiry outside."""

    world: World
    internal: Chain
    record: Any
    buyer: Person
    seller: Person
    inside: Person

    @property
    def order_id(self) -> str:
        """Of an order, or of the order of a change."""
        found: str = self.record.order_id if hasattr(self.record, "order_id") else self.record.change.order_id
        return found

    @property
    def change(self) -> dict[str, str]:
        """Which change, as commands name it."""
        return {"change_id": self.record.change.id, "service_id": self.record.change.service_id}

    def later_end_ms(self) -> int:
        """An end of the order's window that nobody has yet."""
        order = self.seller.read("order", self.order_id)
        return int(
            max(order.activate_by_ms, self.record.activate_by_ms, self.world.now_ms())
        ) + self.world.random.randint(*MORE_MS)

    async def until_the_end(self) -> None:
        """Past the order's window, or the inquiry's."""
        order = self.seller.read("order", self.order_id)
        end_ms = max(order.activate_by_ms or order.accept_by_ms, getattr(self.record, "activate_by_ms", 0))
        await self.world.sleep(min(LATEST_MS, max(0, end_ms - self.world.now_ms())) + AFTER_END_MS)


Act = Callable[[Scene], Awaitable[None]]


async def _accept(scene: Scene) -> None:
    await scene.seller.say("accept_order", order_id=scene.order_id)


async def _fail(scene: Scene) -> None:
    if scene.seller.read("order", scene.order_id).status == "placed":
        await _accept(scene)
    await scene.seller.say("fail_order", order_id=scene.order_id, reason="BY_HAND")


async def _cancel(scene: Scene) -> None:
    await scene.buyer.say("cancel_order", order_id=scene.order_id, reason="BY_HAND")


async def _late_cancel(scene: Scene) -> None:
    """A change that is being made is not called off before."""
    await scene.until_the_end()
    await _cancel(scene)


async def _activate(scene: Scene) -> None:
    if scene.seller.read("order", scene.order_id).status == "placed":
        await _accept(scene)
    await scene.seller.say("activate_order", order_id=scene.order_id)


async def _extend(scene: Scene) -> None:
    await scene.buyer.say("extend_window", order_id=scene.order_id, activate_by_ms=scene.later_end_ms())


async def _wait(scene: Scene) -> None:
    await scene.until_the_end()


async def _late_extend(scene: Scene) -> None:
    await scene.until_the_end()
    await _extend(scene)


async def _ask(scene: Scene) -> None:
    """S-BUS's person asks for more time than the agents would."""
    salt = scene.world.random.randbytes(SALT_BYTES)
    end_ms = scene.later_end_ms()
    await scene.inside.say(
        "release_extension", order_handover_id=scene.record.id, activate_by_ms=end_ms, reason="BY_HAND", salt=salt
    )


async def _until_asked(scene: Scene) -> None:
    await scene.buyer.until(
        "order", scene.order_id, lambda one: one.status == "extension_requested", scene.world.now_ms() + 20_000
    )


async def _ask_grant(scene: Scene) -> None:
    await _ask(scene)
    await _until_asked(scene)
    await scene.buyer.say("answer_extension", order_id=scene.order_id, granted=True)


async def _ask_refuse(scene: Scene) -> None:
    await _ask(scene)
    await _until_asked(scene)
    await scene.buyer.say("answer_extension", order_id=scene.order_id, granted=False)


async def _late_ask_grant(scene: Scene) -> None:
    await scene.until_the_end()
    await _ask_grant(scene)


async def _grant(scene: Scene) -> None:
    await _until_asked(scene)
    await scene.buyer.say(
        "answer_extension", order_id=scene.order_id, granted=True, waive_penalty=scene.world.random.random() < 0.5
    )


async def _asked_activate(scene: Scene) -> None:
    await _until_asked(scene)
    await _activate(scene)


async def _ask_activate(scene: Scene) -> None:
    await _ask(scene)
    await _asked_activate(scene)


async def _ask_fail(scene: Scene) -> None:
    await _ask(scene)
    await _asked_fail(scene)


async def _asked_fail(scene: Scene) -> None:
    await _until_asked(scene)
    await _fail(scene)


async def _abandon(scene: Scene) -> None:
    await scene.inside.say("abandon_order", order_handover_id=scene.record.id, reason="BY_HAND")


async def _unable(scene: Scene) -> None:
    await scene.seller.say("declare_unable", inquiry_id=scene.record.inquiry.id, reason="BY_HAND")


async def _start(scene: Scene) -> None:
    await scene.seller.say("start_change", **scene.change)


async def _agree_start(scene: Scene) -> None:
    """Both people do by hand what the agents would, and the seller's starts."""
    change = scene.seller.read("service_change", scene.record.change.id)
    if change.outage == "yes" and change.status != "agreed":
        from_ms = scene.world.now_ms() + 3_000
        window = {"from_ms": from_ms, "until_ms": from_ms + change.outage_ms + 30_000}
        await scene.seller.say("propose_maintenance", **scene.change, **window)
        await scene.buyer.say("agree_maintenance", **scene.change, **window)
    change = scene.seller.read("service_change", change.id)
    await scene.world.sleep(max(0, change.start_from_ms - scene.world.now_ms()) + 500)
    await _start(scene)


async def _start_end(scene: Scene) -> None:
    await _agree_start(scene)
    await scene.seller.say("end_change", **scene.change, outcome="done")


async def _another_window(scene: Scene) -> None:
    change = scene.seller.read("service_change", scene.record.change.id)
    from_ms = scene.world.now_ms() + 20_000
    who = scene.world.random.choice((scene.seller, scene.buyer))
    await who.say("propose_maintenance", **scene.change, from_ms=from_ms, until_ms=from_ms + change.outage_ms + 30_000)


async def _try_again(scene: Scene) -> None:
    """SCO's person wants another decomposition, though what is asked for could be had."""
    sco = Person(scene.world, scene.inside.name, scene.internal, "sco")
    await sco.say("assess", handover_id=scene.record.id, verdict="try_again", reason="BY_HAND")


async def _terminate(scene: Scene) -> None:
    """The provider's person ends by hand what runs for nobody, while the agents are at it."""
    service_id, seller = scene.record.service_id, scene.record.seller
    habit = replace(habits(scene.world.random), afterwards="terminate", response_ms=0)
    await change(scene.buyer, seller, service_id, habit)


async def _nothing(_scene: Scene) -> None:
    """Being slow is enough."""


@dataclass(frozen=True, slots=True)
class Play:
    """What is put off while a document has a status, and what happens meanwhile. `held_ms` empty: as long as it takes."""

    kind: str
    status: str
    held: tuple[str, ...]
    act: Act
    held_ms: tuple[int, int] = HELD_MS

    @property
    def name(self) -> str:
        return f"{self.kind} {self.status} {self.act.__name__.strip('_')}"


_LONG_MS: Final = (60_000, 200_000)
# The duty that takes an order on from a status.
_NEXT: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "checking_internal": ("confirm_elements",),
        "ordering_external": ("place_orders",),
        "accepted": ("request_activation",),
        "to_reject": ("answer_order",),
        "in_delivery": ("activate_elements", "activate_element"),
        "to_chain": ("chain_elements",),
        "testing": ("test_chain",),
        "to_activate": ("announce_activation",),
        "recovery": ("decide_recovery",),
        "overdue": ("decide_overdue",),
        "extension_requested": (),
        "abandoning": ("notify_abandonment",),
        "to_fail": ("announce_failure",),
    }
)
_PLAN: Final = ("tend_change", "tend_own_change", "tend_change_after_release")
_STRANDED: Final = (
    "end_stranded",
    "tend_stranded",
    "tend_stranded_after_release",
    "tend_stranded_of_inquiry",
    "tend_stranded_of_quote",
    "tend_stranded_of_order",
    "tend_stranded_of_service",
)
_SELLERS: Final = ("tend_sellers_of_change", "tend_seller_change", "tend_sellers_after_release")
_DELIVERING: Final = ("in_delivery", "to_chain", "testing", "to_activate", "recovery")
_OVER: Final = ("decide_overdue",)


def _plays() -> tuple[Play, ...]:
    found = [
        Play("order_handover", status, held, act)
        for status, held in _NEXT.items()
        for act in (_fail, _cancel, _activate)
    ]
    found += [Play("order_handover", status, _NEXT[status], _extend) for status in (*_DELIVERING, "overdue")]
    for status in _DELIVERING:
        found.append(Play("order_handover", status, (*_NEXT[status], *_OVER), _late_extend, (LATEST_MS, LATEST_MS)))
        ask = _late_ask_grant if status == "to_activate" else _ask_grant
        found.append(Play("order_handover", status, (*_NEXT[status], *_OVER), ask, (LATEST_MS, LATEST_MS)))
    found += [
        Play("order_handover", "accepted", _NEXT["accepted"], _wait, (LATEST_MS, LATEST_MS)),
        *(Play("order_handover", "testing", _NEXT["testing"], _wait, (LATEST_MS, LATEST_MS)) for _ in range(2)),
        Play("order_handover", "to_reject", _NEXT["to_reject"], _accept),
        Play("order_handover", "recovery", _NEXT["recovery"], _abandon),
        Play("order_handover", "recovery", _NEXT["recovery"], _ask_refuse),
        Play("order_handover", "testing", _NEXT["testing"], _ask_refuse),
        Play("order_handover", "in_delivery", _NEXT["in_delivery"], _ask_activate),
        Play("order_handover", "in_delivery", _NEXT["in_delivery"], _ask_fail),
        Play("order_handover", "extension_requested", (), _grant),
        Play("order_handover", "extension_requested", (), _asked_activate),
        Play("order_handover", "extension_requested", (), _asked_fail),
        Play("order_handover", "overdue", _OVER, _ask_grant),
        *(
            Play("change_plan", status, _PLAN, act)
            for status in ("planned", "agreed")
            for act in (_agree_start, _start_end, _fail, _cancel)
        ),
        Play("change_plan", "begun", _PLAN, _fail),
        Play("change_plan", "begun", (*_PLAN, *_NEXT["in_delivery"], *_OVER), _late_cancel, (LATEST_MS, LATEST_MS)),
        *(Play("change_plan", status, _SELLERS, _nothing, _LONG_MS) for status in ("planned", "begun", "done")),
        Play("change_plan", "agreed", (), _another_window),
        *(
            Play("stranded_service", status, _STRANDED, _terminate, _LONG_MS)
            for status in ("asking", "ordering", "waiting")
        ),
        Play("inquiry_handover", "internal_known", ("decide_inquiry",), _try_again),
        Play("inquiry_handover", "to_quote", ("answer_inquiry",), _unable),
        Play("inquiry_handover", "to_quote", ("answer_inquiry",), _nothing, _LONG_MS),
        Play("inquiry_handover", "in_assessment", ("answer_queries",), _nothing, _LONG_MS),
        Play("inquiry_handover", "in_assessment", ("decide_inquiry",), _nothing, _LONG_MS),
        Play("inquiry_handover", "internal_known", ("decide_inquiry",), _nothing, _LONG_MS),
        Play("inquiry_handover", "collected", ("decide_inquiry",), _nothing, _LONG_MS),
    ]
    return tuple(found)


PLAYS: Final = _plays()
KINDS: Final = frozenset(play.kind for play in PLAYS)


# Of which record of a buyer's it is.
_ABOUT: Final[Mapping[str, Callable[[Any], Any]]] = MappingProxyType(
    {
        "order_handover": lambda record: record,
        "inquiry_handover": lambda record: record.inquiry,
        "change_plan": lambda record: record.change,
        # Here the provider is the buyer.
        "stranded_service": lambda _record: None,
    }
)


def aims_of(seed: int) -> tuple[Play, ...]:
    """What a world plays whenever it can, so that all have their turn."""
    return tuple(PLAYS[(seed + number * len(PLAYS) // AIMS) % len(PLAYS)] for number in range(AIMS))


class Plays:
    """Begins them as documents get there: mostly those that the world aims at, the others now and then."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._aims = aims_of(world.seed)
        self._others = world.random.choice(OTHERS)
        self._count: Counter[str] = Counter()
        world.invariants.append(self.block)

    def block(self, chain: Chain, decided: Decided) -> None:
        """Whatever has a new status may be played with."""
        if chain.kind == BILATERAL:
            return
        for written in decided.written:
            kind, record = written.after.kind.name, written.after.record
            if kind not in KINDS:
                continue
            if written.before is None or written.before.record.status != record.status:
                self._maybe(chain, kind, record)

    def _maybe(self, chain: Chain, kind: str, record: Any) -> None:
        random = self._world.random
        play = None
        aims = [one for one in self._aims if (one.kind, one.status) == (kind, record.status)]
        if aims and random.random() < AIMED:
            play = random.choice(aims)
        elif self._others and random.random() < self._others:
            fit = [one for one in PLAYS if (one.kind, one.status) == (kind, record.status) and one.held_ms == HELD_MS]
            play = random.choice(fit) if fit else None
        if play is not None and self._count[record.id] < PLAYS_A_DOCUMENT:
            self._count[record.id] += 1
            self._begin(play, chain, record)

    def _begin(self, play: Play, chain: Chain, record: Any) -> None:
        world, name = self._world, chain.names[0]
        outside = world.chains[record.ledger_id]
        about = _ABOUT[play.kind](record)
        other = next(one for one in outside.names if one != name)
        own, theirs = Person(world, name, outside), Person(world, other, outside)
        buyer, seller = (own, theirs) if about is None or about.buyer == org_id(name) else (theirs, own)
        scene = Scene(world, chain, record, buyer, seller, Person(world, name, chain))
        until_ms = world.soon(*play.held_ms)
        world.note(f"{name} plays {play.name} with {record.id[-6:]}")
        for duty in play.held:
            world.held[name, duty] = until_ms

        async def go() -> None:
            await world.sleep(world.random.randint(*PAUSE_MS))
            await play.act(scene)
            # Time for the agents to see what was done before they go on.
            await world.sleep(world.random.randint(*PAUSE_MS))
            for duty in play.held:
                if world.held.get((name, duty)) == until_ms and play.act is not _nothing:
                    del world.held[name, duty]

        world.start(f"{name} plays {play.name}", go())
