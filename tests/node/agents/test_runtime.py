"""Runtime: whatever happens to events, calls and the process, every document gets what it calls for, once."""

import asyncio
import contextlib
from dataclasses import dataclass, field, replace
from itertools import count

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from ledgers.client import NodeUnreachable, TimedOut
from node.agents.boundaries import boundaries
from node.agents.duties import OWED_MS, Duty, Later, outside
from node.agents.looks import SECOND_LOOK_MS
from node.agents.policies import Policies
from node.agents.ports import Outward, Refused, caused, created
from node.agents.runtime import START_PATIENCE_MS, Agent, Pace
from smartcontracts.kernel import (
    Call,
    Contract,
    ContractTable,
    Event,
    Kind,
    MessageType,
    Outcome,
    Position,
    Rejected,
    Role,
    Terms,
)
from tests.node.agents.harness import MemoryCursors, MemoryNode, MemoryPort, VirtualClock, refused, settle
from tests.smartcontracts.support import MemoryLedger, org

# A little process of two steps on the internal ledger, each of which may be done once: asked -> weighed -> answered, with
# an answer that is a document of its own, whose id derives from its cause.


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    id: str
    status: str = "asked"
    size: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    id: str
    wish_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Weigh:
    wish_id: str


class WeighedBefore(Rejected):
    code = 6999


def weigh(command, call: Call):
    wish = call.view.get(WISH, command.wish_id)
    if wish.status != "asked":
        raise WeighedBefore("once")
    weighed = replace(wish, status="weighed")
    return Outcome(writes=(weighed,), events=(Event("wish.weighed", weighed),))


def answer(command, call: Call):
    wish = call.view.get(WISH, command.wish_id)
    done = replace(wish, status="answered")
    given = Answer(id=call.new_id(ANSWER), wish_id=wish.id)
    return Outcome(writes=(given, done), events=(Event("wish.answered", done),))


WISH = Kind(
    name="wish",
    prefix="wsh",
    record=Wish,
    terms=lambda wish: Terms(status=wish.status),
    lifecycle={("asked", "weigh"): "weighed", ("weighed", "answer"): "answered"},
    filters=("status",),
)
ANSWER = Kind(name="answer", prefix="ans", record=Answer, terms=lambda one: Terms(related=(one.wish_id,)))
CONTRACT = Contract(
    name="wishes",
    kinds=(WISH, ANSWER),
    messages=(
        MessageType(name="weigh", command=Weigh, handler=weigh, roles=(Role.SCO,)),
        MessageType(name="answer", command=Weigh, handler=answer, roles=(Role.SCO,), creates=ANSWER),
    ),
)


@pytest.fixture(autouse=True)
def _without_schemas(monkeypatch):
    """The little process has no messages of syngraph.v1: records are kept as they are."""
    monkeypatch.setattr("smartcontracts.codec.encode", repr_bytes)
    monkeypatch.setattr("smartcontracts.codec.decode", lambda _type, data: RECORDS[data])


RECORDS = {}


def repr_bytes(record):
    data = repr(record).encode()
    RECORDS[data] = record
    return data


async def do_weigh(desk, port, wish):
    await port.submit([Outward("weigh", Weigh(wish_id=wish.id))], purpose="weigh")


async def do_answer(desk, port, wish):
    receipt = await port.submit(
        [Outward("answer", Weigh(wish_id=wish.id), caused(port, wish.id, "answer"))], purpose="answer"
    )
    assert created(receipt, "answer")


WEIGH = Duty(
    name="weigh_wish",
    role=Role.SCO,
    ledger_kind="internal",
    kind="wish",
    statuses=("asked",),
    submits=("weigh",),
    do=do_weigh,
)
ANSWERING = replace(WEIGH, name="answer_wish", statuses=("weighed",), submits=("answer",), do=do_answer)
DUTIES = (WEIGH, ANSWERING)
PACE = Pace(concurrency=4, sweep_ms=60_000)


async def nothing(desk, port, wish):
    pass


class Killed(BaseException):
    """What a test raises at a boundary: nothing of the agent's memory outlives it."""


@dataclass
class World:
    """An internal ledger, an agent's folder, and the agent that runs on them, which may be killed and started anew."""

    duties: tuple = DUTIES
    deliver: object = "all"
    clock: VirtualClock = field(default_factory=VirtualClock)
    cursors: MemoryCursors = field(default_factory=MemoryCursors)

    def __post_init__(self):
        self.ledger = MemoryLedger(CONTRACT, ledger_kind="internal", positions={"alpha": Position.PARTY})
        self.port = MemoryPort(self.ledger, "alpha-int", "alpha", "sco")
        self.node = MemoryNode("alpha", [self.port])
        self.task = None
        self.names = count(1)
        self._told = len(self.ledger.events)

    def agent(self, observe, pace=PACE):
        return Agent(
            role=Role.SCO,
            duties=self.duties,
            node=self.node,
            policies=Policies(),
            clock=self.clock,
            chance=lambda: bytes(32),
            cursors=self.cursors,
            pace=pace,
            observe=observe,
        )

    def wish(self, size=0):
        name = f"wsh_{next(self.names)}"
        self.ledger.write(Wish(id=name, size=size))
        return name

    def status(self, name):
        return self.ledger.the(WISH, name).status

    def tell(self):
        """Hand on the events since the last time, in the way that `deliver` says."""
        new = [(event.document, height) for height, event in self.ledger.events[self._told :]]
        self._told = len(self.ledger.events)
        told = [("wish", record.id) for record, _ in new]
        if self.deliver == "doubled":
            told = [one for one in told for _ in range(2)]
        if self.deliver == "reordered":
            told.reverse()
        if self.deliver != "lost":
            for one in told:
                self.port.feed.put_nowait(one)
        self.port.feed.put_nowait(f"{self.ledger.height}/9")

    async def pass_time(self, ms, step_ms=500):
        """Time passes; events arrive all the while."""
        for _ in range(max(1, ms // step_ms)):
            await self.clock.advance(step_ms)
            self.tell()
            await settle()

    def start(self, observe=lambda boundary, document: None, pace=PACE):
        self.port.feed = asyncio.Queue()
        self.task = asyncio.ensure_future(self.agent(observe, pace).run())

    async def stop(self):
        self.task.cancel()
        with contextlib.suppress(asyncio.CancelledError, BaseExceptionGroup, Killed):
            await self.task


@contextlib.asynccontextmanager
async def running(world, **options):
    world.start(**options)
    await settle()
    try:
        yield world
    finally:
        await world.stop()


async def test_what_is_open_at_the_start_is_done_without_any_event():
    world = World(deliver="lost", duties=(ANSWERING, WEIGH))
    names = [world.wish() for _ in range(10)]
    async with running(world):
        await world.pass_time(1_000)
        assert {world.status(name) for name in names} == {"weighed"}
        # Nobody told of the second step: the round does.
        await world.pass_time(PACE.sweep_ms)
        assert {world.status(name) for name in names} == {"answered"}


@pytest.mark.parametrize("deliver", ["all", "doubled", "reordered", "lost"])
async def test_documents_end_alike_however_events_come(deliver):
    world = World(deliver=deliver)
    async with running(world):
        names = []
        for _ in range(5):
            names.append(world.wish())
            world.port.feed.put_nowait(("wish", names[-1]))
            await world.pass_time(500)
        await world.pass_time(2 * PACE.sweep_ms, step_ms=5_000)
        assert {world.status(name) for name in names} == {"answered"}
        assert len(world.ledger.all(ANSWER)) == 5


@pytest.mark.parametrize("boundary", boundaries(DUTIES), ids=str)
@pytest.mark.parametrize("keep_cursor", [True, False], ids=["cursor", "no-cursor"])
async def test_an_agent_killed_at_any_boundary_ends_as_if_nothing_had_happened(boundary, keep_cursor):
    world = World()
    killed = []

    def kill(at, document):
        if at == boundary and not killed:
            killed.append(document)
            raise Killed

    world.start(observe=kill)
    await settle()
    name = world.wish()
    world.port.feed.put_nowait(("wish", name))
    await world.pass_time(20_000)
    assert killed == [name]
    assert world.task.done()
    await world.stop()
    if not keep_cursor:
        world.cursors.clear()
    # What happened while nobody followed comes again from the cursor, as a node does it.
    world.start()
    await settle()
    if keep_cursor and world.port.followed_from[-1]:
        world.port.feed.put_nowait(("wish", name))
    await world.pass_time(20_000)
    await world.stop()
    assert world.status(name) == "answered"
    assert len(world.ledger.all(ANSWER)) == 1
    done = [event.name for _, event in world.ledger.events]
    assert done == ["wish.weighed", "wish.answered"]


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    runs=st.lists(
        st.tuples(
            st.sampled_from([*boundaries(DUTIES), None]),
            st.sampled_from(["all", "doubled", "reordered", "lost"]),
            st.booleans(),
            st.integers(0, 3),
        ),
        min_size=1,
        max_size=5,
    )
)
def test_any_history_of_kills_events_and_cursors_ends_alike(runs):
    asyncio.run(_history(runs))


async def _history(runs):
    """Each run: where the agent dies, how events come meanwhile, whether its cursors are lost, how many wishes arrive."""
    world = World()
    names = []
    for boundary, deliver, forgets, wishes in [*runs, (None, "all", True, 0)]:
        world.deliver = deliver
        if forgets:
            world.cursors.clear()

        def kill(at, document, boundary=boundary):
            if at == boundary:
                raise Killed

        world.start(observe=kill)
        await settle()
        for _ in range(wishes):
            names.append(world.wish())
            if deliver != "lost":
                world.port.feed.put_nowait(("wish", names[-1]))
        await world.pass_time(2 * PACE.sweep_ms if deliver == "lost" else 10_000, step_ms=5_000)
        await world.stop()
        # A node tells what was missed from the cursor on; here nothing is: only a listing finds it.
        if any(world.status(name) != "answered" for name in names):
            world.cursors.clear()
    world.start()
    await world.pass_time(10_000)
    await world.stop()
    assert {world.status(name) for name in names} <= {"answered"}
    assert sorted(one.wish_id for one in world.ledger.all(ANSWER)) == sorted(names)


async def test_a_cursor_is_kept_only_when_nothing_is_left_to_do_and_saves_the_listing():
    world = World()
    async with running(world):
        await world.pass_time(6_000)
        first = world.cursors[world.port.id]
        world.port.failures += [refused()] * 100
        name = world.wish()
        world.port.feed.put_nowait(("wish", name))
        world.ledger.height += 5
        await world.pass_time(10_000)
        assert world.cursors[world.port.id] == first
        world.port.failures.clear()
        await world.pass_time(60_000, step_ms=2_000)
        assert world.status(name) == "answered"
        kept = world.cursors[world.port.id]
        assert kept != first
    listings = world.port.listings
    async with running(world):
        await world.pass_time(1_000)
        assert world.port.followed_from[-1] == kept
        assert world.port.listings == listings


@pytest.mark.parametrize("name", ["CURSOR_PRUNED", "CURSOR_INVALID"])
async def test_a_cursor_that_cannot_be_read_any_more_gives_way_to_a_listing(name):
    world = World()
    world.cursors[world.port.id] = "3/4"
    open_wish = world.wish()
    async with running(world):
        assert world.port.followed_from == ["3/4"]
        world.port.feed.put_nowait(refused(name, 8005, transient=False))
        await world.pass_time(10_000)
        assert world.port.followed_from == ["3/4", f"{1}/0"]
        assert world.status(open_wish) == "answered"


@pytest.mark.parametrize(
    "failure", [NodeUnreachable("away"), TimedOut("late"), refused()], ids=["away", "late", "busy"]
)
async def test_what_may_pass_is_tried_again_after_pauses_that_grow(failure):
    world = World(duties=(WEIGH,))
    async with running(world):
        await world.pass_time(1_000)
        world.port.failures += [failure] * 5
        name = world.wish()
        world.port.feed.put_nowait(("wish", name))
        await settle()
        tries = len(world.port.submitted)
        assert tries == 1
        await world.pass_time(200 + 400 + 800 + 1_600 - 100, step_ms=100)
        assert len(world.port.submitted) == 4
        await world.pass_time(10_000, step_ms=100)
        assert world.status(name) == "weighed"
        assert len(world.port.submitted) == 6


async def test_what_has_ended_or_is_settled_is_never_listed(monkeypatch):
    monkeypatch.setattr("node.agents.runtime.contract_table", lambda kind, version: ContractTable((CONTRACT,)))
    looked = []

    async def note(desk, port, wish):
        looked.append(wish.status)

    duty = replace(WEIGH, statuses=("asked", "weighed", "answered"), settled=("weighed",), do=note)
    world = World(duties=(duty,), deliver="lost")
    for status in duty.statuses:
        world.ledger.write(Wish(id=f"wsh_{status}", status=status))
    async with running(world):
        await world.pass_time(1_000)
        assert looked == ["asked"]
        looked.clear()
        await world.pass_time(11 * PACE.sweep_ms, step_ms=5_000)
        assert looked == ["asked"] * 11
        looked.clear()
        for status in duty.statuses:
            world.port.feed.put_nowait(("wish", f"wsh_{status}"))
        await settle()
        assert looked == list(duty.statuses)


async def test_what_no_open_document_tells_of_is_listed_where_events_may_have_been_missed_unless_it_is_too_old():
    world = World(duties=(replace(WEIGH, owed=("asked",)),))
    world.clock.time_ms = 10 * OWED_MS
    name = world.wish()
    async with running(world):
        assert world.port.listed_since == [9 * OWED_MS]
        assert world.status(name) == "weighed"
        await world.pass_time(9 * PACE.sweep_ms, step_ms=10_000)
        assert len(world.port.listed_since) == 1
        await world.pass_time(PACE.sweep_ms, step_ms=10_000)
        assert len(world.port.listed_since) == 2


def old_world(do, count=3):
    """An agent whose duty has a word to say about ended documents that last, and so many of those, older than a listing finds."""
    duty = replace(WEIGH, statuses=("asked", "weighed"), owed=("asked",), lasting=("asked",), do=do)
    world = World(duties=(duty,))
    world.clock.time_ms = 10 * OWED_MS
    names = [world.wish() for _ in range(count)]
    world.port.created_ms.update(dict.fromkeys(names, 5 * OWED_MS))
    return world, names


async def test_what_is_old_and_lasts_is_looked_for_once_after_a_cursor_was_lost():
    looked = []

    async def note(desk, port, wish):
        looked.append(wish.id)

    world, names = old_world(note)
    recent = world.wish()
    world.port.created_ms[recent] = 9 * OWED_MS + 3_000
    async with running(world):
        assert looked == [recent]
        await world.pass_time(3_000)
        assert looked == [recent, *names]
        # Neither a whole round nor a start with a cursor goes so far back.
        await world.pass_time(11 * PACE.sweep_ms, step_ms=10_000)
        assert looked == [recent, *names]
    assert world.cursors.read(world.port.id)
    async with running(world):
        await world.pass_time(11 * PACE.sweep_ms, step_ms=10_000)
        assert looked == [recent, *names]
    # By now that one is as old.
    names.append(recent)
    world.cursors.clear()
    async with running(world):
        await world.pass_time(3_000)
        assert sorted(looked) == sorted(2 * names)
        # The node has given up the events after the cursor: that is the same loss.
        world.port.feed.put_nowait(refused("CURSOR_PRUNED", 8005, transient=False))
        await world.pass_time(5_000)
        assert sorted(looked) == sorted(3 * names)


async def test_what_is_old_and_does_not_last_is_left_alone():
    world = World(duties=(replace(WEIGH, owed=("asked",)),))
    world.clock.time_ms = 10 * OWED_MS
    name = world.wish()
    world.port.created_ms[name] = 9 * OWED_MS - 1
    async with running(world):
        await world.pass_time(11 * PACE.sweep_ms, step_ms=10_000)
        assert world.status(name) == "asked"


async def test_an_agent_killed_before_it_has_looked_back_does_so_again():
    """A cursor that was kept meanwhile would say that nothing older was missed."""
    looked = []

    async def slow(desk, port, wish):
        await world.clock.wait(asyncio.Event(), desk.now_ms() + 4 * PACE.cursor_ms)
        looked.append(wish.id)

    world, names = old_world(slow, count=5)
    async with running(world):
        # Four are being looked at, and the fifth waits.
        await world.pass_time(3 * PACE.cursor_ms)
        assert looked == []
        assert not world.cursors.read(world.port.id)
    async with running(world):
        await world.pass_time(7 * PACE.cursor_ms)
        # One is left.
        assert (looked, world.cursors.read(world.port.id)) == (names[:4], "")
        await world.pass_time(4 * PACE.cursor_ms)
        assert looked == names
        assert world.cursors.read(world.port.id)


async def test_a_node_that_is_away_while_an_agent_looks_back_is_asked_again():
    world, names = old_world(do_weigh)
    # Two listings of what is open, then the one of what is old.
    world.port.failures += [None, None, *[NodeUnreachable("away")] * 5]
    with capture_logs() as logs:
        async with running(world):
            await world.pass_time(2 * PACE.cursor_ms)
            # Nothing is left to do that the agent knows of; the cursor is not kept all the same.
            assert {world.status(name) for name in names} == {"asked"}
            assert not world.cursors.read(world.port.id)
            await world.pass_time(2 * PACE.cursor_ms)
            assert {world.status(name) for name in names} == {"weighed"}
            assert world.cursors.read(world.port.id)
    assert [log["reason"] for log in logs if log["event"] == "agent_look_back_failed"] == ["NodeUnreachable"] * 5


async def test_what_is_new_does_not_wait_for_all_that_is_old():
    world, looked = None, []

    async def slow(desk, port, wish):
        await world.clock.wait(asyncio.Event(), desk.now_ms() + 1_000)
        looked.append(wish.id)

    world, names = old_world(slow, count=200)
    async with running(world):
        await world.pass_time(4_000)
        new = world.wish()
        world.port.feed.put_nowait(("wish", new))
        await world.pass_time(100_000)
    assert set(looked) == {*names, new}
    assert looked.index(new) < 60


async def test_a_duty_that_catches_up_is_called_where_events_may_have_been_missed_and_for_no_event():
    called = []

    async def note(desk, port, wish):
        called.append(wish.id)
        if len(called) == 1:
            raise Later(desk.now_ms() + 1_000)

    world = World(duties=(replace(WEIGH, do=note, catches_up=True), replace(WEIGH, name="idle", do=nothing)))
    first = world.wish()
    async with running(world):
        await world.pass_time(2_000)
        assert called == [first] * 2
        later = world.wish()
        world.port.feed.put_nowait(("wish", later))
        await world.pass_time(9 * PACE.sweep_ms, step_ms=5_000)
        assert called == [first] * 2
        await world.pass_time(PACE.sweep_ms, step_ms=5_000)
        assert called[2:] == [first, later]


async def test_a_step_that_is_refused_for_good_gets_a_second_look_and_does_not_spin():
    world = World(duties=(replace(WEIGH, statuses=("asked", "weighed")),))
    async with running(world):
        name = world.wish()
        with capture_logs() as logs:
            world.port.feed.put_nowait(("wish", name))
            await world.pass_time(PACE.sweep_ms - 10_000, step_ms=1_000)
        told = [log for log in logs if log["event"] == "agent_refused"]
        assert [(log["code"], log["refusal"], log["again"]) for log in told] == [(6999, "WEIGHED_BEFORE", False)] * 2
        assert len(world.port.submitted) == 3
        await world.pass_time(20_000, step_ms=1_000)
        assert len(world.port.submitted) == 5  # the round tries once more, and looks a second time


async def test_what_a_refusal_hid_is_seen_by_the_second_look_without_another_event():
    """The step was refused because something else came first, and what is to be done now has no event of its own."""
    world = World(duties=(replace(WEIGH, statuses=("asked",)),))
    async with running(world):
        world.port.failures += [refused("MOVED_ON", 6998, transient=False)]
        name = world.wish()
        world.port.feed.put_nowait(("wish", name))
        await world.pass_time(SECOND_LOOK_MS - 500, step_ms=100)
        assert world.status(name) == "asked"
        await world.pass_time(1_000, step_ms=100)
        assert world.status(name) == "weighed"


async def test_each_news_has_its_second_look():
    world = World(duties=(replace(WEIGH, statuses=("asked",)),))
    async with running(world):
        world.port.failures += [refused("MOVED_ON", 6998, transient=False)] * 3
        name = world.wish()
        world.port.feed.put_nowait(("wish", name))
        await world.pass_time(10_000, step_ms=100)
        assert len(world.port.submitted) == 2
        world.port.feed.put_nowait(("wish", name))
        await world.pass_time(SECOND_LOOK_MS + 500, step_ms=100)
        assert world.status(name) == "weighed"


async def test_a_refusal_that_the_duty_expects_has_a_second_look_too():
    """Half of what was to be done was done meanwhile, and the transaction with the rest of it was refused for that."""

    async def weigh_unless_overtaken(desk, port, wish):
        with contextlib.suppress(Refused):
            await do_weigh(desk, port, wish)

    world = World(duties=(replace(WEIGH, do=weigh_unless_overtaken),))
    async with running(world):
        world.port.failures += [refused("MOVED_ON", 6998, transient=False)]
        name = world.wish()
        world.port.feed.put_nowait(("wish", name))
        await world.pass_time(SECOND_LOOK_MS + 500, step_ms=100)
        assert world.status(name) == "weighed"
        assert len(world.port.submitted) == 2


async def test_a_listing_that_failed_at_the_start_is_made_before_anything_is_followed():
    """The position was known by then: followed from there, nobody would have looked at what was open before."""
    world = World(deliver="lost", duties=(WEIGH,))
    name = world.wish()
    world.port.failures += [refused(), NodeUnreachable("away")]
    async with running(world):
        assert world.port.followed_from == []
        await world.pass_time(2_000, step_ms=100)
        assert world.status(name) == "weighed"
        assert world.port.followed_from == [f"{1}/0"]


async def test_a_duty_that_asks_for_a_later_turn_gets_it_at_its_time():
    asked_at = []

    async def wait_for_it(desk, port, wish):
        asked_at.append(desk.now_ms())
        if len(asked_at) < 3:
            raise Later(desk.now_ms() + 7_000)

    world = World(duties=(replace(WEIGH, do=wait_for_it),))
    async with running(world):
        name = world.wish()
        world.port.feed.put_nowait(("wish", name))
        await world.pass_time(40_000, step_ms=100)
    assert [later - asked_at[0] for later in asked_at] == [0, 7_000, 14_000]


async def test_a_bug_or_a_plug_in_that_raises_stops_neither_other_duties_nor_other_documents():
    secret = "the customer's name"

    async def raise_it(desk, port, wish):
        raise ValueError(secret)

    world = World(duties=(replace(WEIGH, name="broken", do=raise_it), *DUTIES))
    async with running(world):
        with capture_logs() as logs:
            name = world.wish()
            world.port.feed.put_nowait(("wish", name))
            await world.pass_time(20_000)
        assert world.status(name) == "answered"
        assert not world.task.done()
    broken = [log for log in logs if log["event"] == "agent_duty_broken"]
    assert {(log["duty"], log["error"]) for log in broken} == {("broken", "ValueError")}
    assert len(broken) == 1
    assert secret not in str(logs)
    assert "test_runtime.py" in broken[0]["where"]


async def test_documents_go_side_by_side_up_to_the_bound_and_each_one_call_at_a_time():
    going, most, doubled = set(), [], []

    async def take_time(desk, port, wish):
        if wish.id in going:
            doubled.append(wish.id)
        going.add(wish.id)
        most.append(len(going))
        await world.clock.wait(asyncio.Event(), desk.now_ms() + 1_000)
        going.discard(wish.id)

    world = World(duties=(replace(WEIGH, do=take_time),))
    async with running(world):
        names = [world.wish() for _ in range(9)]
        for _ in range(2):
            for name in names:
                world.port.feed.put_nowait(("wish", name))
            await settle()
        await world.pass_time(20_000)
    assert max(most) == PACE.concurrency
    assert doubled == []
    assert len(most) >= 9


@pytest.mark.parametrize("concurrency", [1, 2, 5])
async def test_calls_that_all_end_at_one_moment_leave_nothing_waiting(concurrency):
    """A round wakes more documents than are looked at at once, and most looks end together: what comes meanwhile has its turn."""
    looked = []

    async def note(desk, port, wish):
        looked.append(wish.id)

    world = World(duties=(replace(WEIGH, do=note),))
    async with running(world, pace=replace(PACE, concurrency=concurrency)):
        names = [world.wish() for _ in range(3 * concurrency + 1)]
        for name in names:
            world.port.feed.put_nowait(("wish", name))
        await settle()
        assert looked == names


async def test_a_ledger_whose_events_are_refused_is_asked_again_after_pauses_that_grow():
    world = World()
    async with running(world):
        for _ in range(20):
            world.port.feed.put_nowait(refused("STANDING_ENDED", 9002, transient=False))
        await world.pass_time(60_000)
        assert 7 <= len(world.port.followed_from) <= 9
        world.port.feed = asyncio.Queue()
        await world.pass_time(120_000)
        name = world.wish()
        world.port.feed.put_nowait(("wish", name))
        await world.pass_time(2_000)
        assert world.status(name) == "answered"


async def test_a_node_that_is_away_at_the_start_is_waited_for():
    world = World()
    world.node.failures += [NodeUnreachable("away"), TimedOut("late")]
    name = world.wish()
    async with running(world):
        await world.pass_time(5_000)
        assert world.status(name) == "answered"


def bilateral(ledger_id):
    ledger = MemoryLedger(CONTRACT, positions={"alpha": Position.PARTY, "acme": Position.PARTY})
    ledger.write(Wish(id="wsh_out"))
    return MemoryPort(ledger, ledger_id, "alpha", "sco", ledger_id=ledger_id)


def noting(seen):
    async def look(desk, port, wish):
        seen.append((port.id, desk.counterparty(port.id)))

    return replace(WEIGH, ledger_kind="bilateral", do=look)


async def test_a_ledger_that_the_node_joins_is_taken_up_at_once_and_one_of_others_is_not():
    seen = []
    world = World(duties=(noting(seen),))
    async with running(world):
        await world.pass_time(1_000)
        world.node.counterparties["sg_ours"] = org("acme")
        world.node.join(bilateral("sg_ours"), bilateral("sg_theirs"))
        await settle()
        assert seen == [("sg_ours", org("acme"))]


async def test_a_ledger_on_which_the_organization_becomes_a_party_is_taken_up_then():
    seen = []
    world = World(duties=(noting(seen),))
    world.node.join(bilateral("sg_ours"))
    async with running(world):
        await world.pass_time(60_000, step_ms=5_000)
        assert seen == []
        world.node.counterparties["sg_ours"] = org("acme")
        world.node.change()
        await settle()
        assert seen == [("sg_ours", org("acme"))]


async def test_a_document_that_waits_for_a_ledger_is_looked_at_when_that_is_taken_up():
    found = []

    async def look_outside(desk, port, wish):
        found.append(outside(desk, "sg_ours").id)

    world = World(duties=(replace(WEIGH, do=look_outside), noting([])))
    world.wish()
    async with running(world):
        await world.pass_time(10_000)
        assert found == []
        world.node.counterparties["sg_ours"] = org("acme")
        world.node.join(bilateral("sg_ours"))
        await settle()
        assert found == ["sg_ours"]


async def test_nothing_is_decided_before_all_ledgers_are_there():
    """An agent that starts would else ask those sellers only whose ledgers answered first."""
    sellers = []

    async def ask(desk, port, wish):
        sellers.append(sorted(desk.bilateral))

    world = World(duties=(replace(WEIGH, do=ask), noting([])))
    world.wish()
    world.node.counterparties |= {"sg_one": org("acme"), "sg_two": org("acme"), "sg_three": org("acme")}
    world.node.join(bilateral("sg_one"), bilateral("sg_two"))
    world.node.unclear += [None, NodeUnreachable("away"), NodeUnreachable("away")]
    world.node.starting = True
    async with running(world):
        await world.pass_time(2_000, step_ms=100)
        assert sellers == []
        world.node.starting = False
        world.node.join(bilateral("sg_three"))
        await settle()
        assert sellers == [["sg_one", "sg_three", "sg_two"]]


async def test_a_ledger_that_does_not_answer_holds_up_the_others_only_so_long():
    sellers = []

    async def ask(desk, port, wish):
        sellers.append(sorted(desk.bilateral))

    world = World(duties=(replace(WEIGH, do=ask), noting([])))
    world.wish()
    world.node.counterparties |= {"sg_one": org("acme"), "sg_two": org("acme")}
    world.node.join(bilateral("sg_one"), bilateral("sg_two"))
    world.node.unclear += [None, *[TimedOut("late")] * 20]
    async with running(world):
        await world.pass_time(START_PATIENCE_MS - 500, step_ms=500)
        assert sellers == []
        await world.pass_time(1_000, step_ms=500)
        assert sellers == [["sg_one"]]


async def test_the_wait_for_slow_ledgers_begins_with_the_internal_one():
    """A node that takes long to start has all its ledgers at once, and then they are all to be there."""
    sellers = []

    async def ask(desk, port, wish):
        sellers.append(sorted(desk.bilateral))

    world = World(duties=(replace(WEIGH, do=ask), noting([])))
    world.wish()
    world.node.failures += [NodeUnreachable("away")] * 10
    world.node.counterparties["sg_one"] = org("acme")
    world.node.join(bilateral("sg_one"))
    world.node.unclear += [NodeUnreachable("away")] * 3
    async with running(world):
        await world.pass_time(10 * 2_000 + 3_000, step_ms=250)
        assert sellers == [["sg_one"]]


async def test_a_duty_is_not_called_for_documents_that_are_not_its_own_or_gone():
    called = []

    async def note(desk, port, wish):
        called.append(wish.size)

    world = World(duties=(replace(WEIGH, do=note, applies=lambda desk, wish: wish.size > 1),))
    async with running(world):
        for size in (1, 2):
            world.port.feed.put_nowait(("wish", world.wish(size)))
        world.port.feed.put_nowait(("wish", "wsh_gone"))
        await world.pass_time(1_000)
    assert called == [2]


async def test_log_lines_say_what_was_taken_and_hold_no_payload():
    world = World(duties=(WEIGH,))
    async with running(world):
        with capture_logs() as logs:
            world.port.feed.put_nowait(("wish", world.wish(size=424_242)))
            await world.pass_time(1_000)
    assert [(log["duty"], log["status"]) for log in logs if log["event"] == "agent_taken"] == [("weigh_wish", "asked")]
    assert "424242" not in str(logs)
