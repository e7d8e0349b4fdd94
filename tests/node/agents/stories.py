"""Stories that pass every boundary between them, and a market on which each agent that dies is back at once.

A story is a function of the observer: it plays people's part from an empty market to the end, and gives the market. Agents that
die are back without a cursor: every document is looked at again.

Several duties may do one step, each when another document tells of it; which of them comes first depends on which news does. A
`Killer` with `rivals` lets those die first that are not its own, so that the step falls to the one that is meant.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any, Final

from node.agents.b_bus import stranded
from node.agents.boundaries import Boundary, Moment
from node.agents.desk import Desk
from node.agents.duties import Duty
from node.agents.policies import Policies, Recovery
from node.agents.policy_settings import PolicySettings
from node.agents.provisioning.inventory import parse
from node.agents.roster import DUTIES as ROSTER
from smartcontracts.change import ProposeMaintenance
from smartcontracts.delivery import ExtendWindow
from smartcontracts.kernel import Role
from smartcontracts.order import PlaceOrder
from smartcontracts.trade import Action, Change, ChangeKind, WindowTooShort
from tests.node.agents.chains import ACTIVATION_MS, Chain, Killed, ask_of_catalogue, fault, ordered, stock, units_in_use
from tests.node.agents.desk import Market, MarketPort, pool
from tests.node.agents.harness import refusal
from tests.smartcontracts.trading import LINE, PORT_A, PORT_Z, SINGLE

HOUR_MS: Final = 3_600_000
DAY_MS: Final = 24 * HOUR_MS
TWO: Final = (("acme", "alpha"), ("alpha", "bravo"))
DEEP: Final = (*TWO, ("bravo", "charlie"))
WIDE: Final = (*TWO, ("alpha", "charlie"))
CANCELLABLE: Final = {pair: {"cancellation_window_ms": 90 * DAY_MS} for pair in (*DEEP, *WIDE)}


def _duty_at(boundary: Boundary) -> Duty:
    return next(duty for duty in ROSTER[Role(boundary.role)] if duty.name == boundary.duty)


class Killer:
    """Kills at one boundary, once, the first time that it is passed after `go`; before that its rivals, whenever they come.

    Rivals are other duties that may do the same step: at `rivals`, each dies until the boundary was passed.
    """

    def __init__(self, boundary: Boundary | None = None, rivals: frozenset[Boundary] = frozenset()) -> None:
        self.boundary, self.rivals = boundary, rivals
        self.passed: dict[Boundary, None] = {}
        self.killed = False
        self.catches_up = boundary is not None and _duty_at(boundary).catches_up
        self._holds = False
        self._when: dict[str, Callable[[], None]] = {}
        # Called at each boundary.
        self.always: Callable[[], None] = lambda: None

    def when(self, boundary: str, act: Callable[[], None]) -> None:
        """Have somebody act at the first passage of a boundary."""
        self._when[boundary] = act

    def hold(self) -> None:
        """Let everything happen until `go`."""
        self._holds = True

    def go(self) -> None:
        """From now on."""
        self._holds = False

    def __call__(self, boundary: Boundary, _document_id: str) -> None:
        self.passed[boundary] = None
        self._when.pop(str(boundary), lambda: None)()
        self.always()
        if self._holds or self.killed or self.boundary is None:
            return
        if boundary == self.boundary:
            self.killed = True
            raise Killed(str(boundary))
        if boundary in self.rivals:
            raise Killed(str(boundary))


class RefusingPort(MarketPort):
    """A bilateral ledger that refuses some acts, for whatever reason, as often as the market is told."""

    async def submit(self, acts: Any, *, purpose: str) -> Any:
        for act in acts:
            if self.market.refuses[self.name, act.name] > 0:
                self.market.refuses[self.name, act.name] -= 1
                raise refusal(WindowTooShort("it was told to refuse this"))
        return await super().submit(acts, purpose=purpose)


class StoryMarket(Market):
    """Whoever dies is back at once, and has lost its cursors: what is open is looked at again.

    Rivals keep theirs, and hear everything once more, so that the duty that is meant hears of it too. If it is one for what
    nobody heard of, they lose them as well.
    """

    def __init__(self, **options: Any) -> None:
        # How often the next acts with a name are refused on a bilateral ledger.
        self.refuses: Counter[tuple[str, str]] = Counter()
        self._dead_at = (0, False)
        super().__init__(**options)

    def _perform(self, *call: Any) -> None:
        before = len(self.failures)
        super()._perform(*call)
        if not any(isinstance(error, Killed) for *_, error in self.failures[before:]):
            return
        # As long as nothing is new, a rival would only die again.
        now = (sum(ledger.height for ledger in self.ledgers.values()), self.observe.killed)
        if now != self._dead_at:
            self._dead_at = now
            if self.observe.killed or self.observe.catches_up:
                self.list_open()
            else:
                self._tell_everything()

    def _tell_everything(self) -> None:
        """Every document's events come again."""
        for name, ledger in self.ledgers.items():
            for kind in ledger.table.kinds.values():
                self._work.extend((name, kind.name, record.id) for record in ledger.all(kind))

    def _desk(self, name: str, role: Role, policies: Policies) -> Desk:
        desk = super()._desk(name, role, policies)
        ports = {
            key: RefusingPort(self, port.ledger, port.name, port.organization, port.role)
            for key, port in desk.bilateral.items()
        }
        return replace(desk, bilateral=ports)

    def lose(self, name: str) -> Callable[[], None]:
        """All agents of an organization are gone; what brings them back."""
        everybody = self.desks
        self.desks = {key: desk for key, desk in everybody.items() if key[0] != name}

        def back() -> None:
            self.desks = everybody
            self.sweep()

        return back


# Policies


class Hasty(Policies):
    """Gives up at the first failure, and asks for no time."""

    def recover(self, failure: Any) -> Recovery:
        return Recovery.ABANDON

    def ask_extension(self, delay: Any) -> None:
        return None


class Stubborn(Policies):
    """Tries its own resources again."""

    def recover(self, failure: Any) -> Recovery:
        return Recovery.ALTERNATIVE_INTERNAL if failure.failures <= 2 else Recovery.ABANDON


class Haggles(Policies):
    """Takes no price for an end before the third attempt."""

    def accept_termination(self, quoted: Any) -> bool:
        return quoted.attempt > 2


def quick(made: type[Policies] = Policies, **settings: Any) -> Policies:
    """Short windows for ends."""
    return made(PolicySettings(termination_window_ms=600_000, **settings))


# Stories


def begun(watch: Killer, inventories: Any, pairs: Any = TWO, **options: Any) -> Chain:
    """acme has ordered; no agent has seen it yet."""
    return ordered(inventories, pairs, made=StoryMarket, observe=watch, **options)


def inquiry(watch: Killer) -> Market:
    """A line whose ports charlie buys; bravo has none, and asks nobody."""
    own = {"alpha": pool("line"), "bravo": pool(), "charlie": pool(), "delta": pool("port")}
    market = StoryMarket(pairs=(*WIDE, ("charlie", "delta")), inventories=own, observe=watch)
    market.ask("acme", "alpha", (LINE, PORT_A, PORT_Z))
    market.run_until(market.now_ms + HOUR_MS)
    return market


def refused_inquiry(watch: Killer) -> Market:
    """bravo's ledger takes no inquiry."""
    market = StoryMarket(
        pairs=WIDE, inventories={"alpha": pool(), "bravo": pool("port"), "charlie": pool("port")}, observe=watch
    )
    market.refuses["alpha-bravo", "submit_inquiry"] = 1
    market.ask("acme", "alpha", (SINGLE,))
    market.run_until(market.now_ms + HOUR_MS)
    return market


def silence(watch: Killer) -> Market:
    """Nobody answers at alpha's until all windows are over, nor at its seller's."""
    market = StoryMarket(
        pairs=WIDE, inventories={"alpha": pool(), "bravo": pool("port"), "charlie": pool()}, observe=watch
    )
    back = market.lose("bravo")
    market.ask("acme", "alpha", (SINGLE,))
    market.run_until(market.now_ms + HOUR_MS)
    back()
    market.run_until(market.now_ms + HOUR_MS)
    return market


def standing(watch: Killer) -> Market:
    """Bought from alpha's catalogue; bravo makes it."""
    market = StoryMarket(pairs=TWO, inventories={"acme": pool(), "alpha": pool(), "bravo": pool("port")}, observe=watch)
    ledger = market.between("acme", "alpha")
    ask_of_catalogue(market)
    quote = market.the(ledger, "quote")
    order = PlaceOrder(quote_id=quote.id, acceptance_window_ms=300_000, activation_window_ms=10**8)
    market.act(ledger, "place_order", order, "acme", "b_bus")
    market.run_until(market.now_ms + HOUR_MS)
    return market


def purchase(watch: Killer) -> Market:
    """Delivered over three tiers; cancelled when it was, and given back by all."""
    inventories = {"alpha": stock("port"), "bravo": stock("none"), "charlie": stock("line")}
    chain = begun(watch, inventories, DEEP, terms=CANCELLABLE)
    chain.market.run()
    chain.cancel()
    chain.wait(HOUR_MS)
    return chain.market


def cancelled(watch: Killer) -> Market:
    """Cancelled while charlie works on it; what its agents do about that is what counts here."""
    watch.hold()
    late = fault("activate", delay_ms=600_000)
    chain = begun(watch, {"alpha": stock("port"), "bravo": stock("none"), "charlie": stock("line", faults=late)}, DEEP)
    chain.wait(60_000)
    watch.go()
    chain.cancel()
    chain.wait()
    return chain.market


def cancelled_at_once(watch: Killer) -> Market:
    """Cancelled before bravo's agents have seen their order: alpha's is out, and not known to be."""
    chain = begun(watch, {"alpha": stock("port"), "bravo": stock("line")})
    back = chain.market.lose("bravo")
    chain.market.run()
    chain.cancel()
    chain.market.run()
    back()
    chain.wait()
    return chain.market


def rejected(watch: Killer) -> Market:
    """bravo does not have what it offered."""
    chain = begun(watch, {"alpha": stock("port"), "bravo": stock("line", faults=fault("reserve", cause="NO_CAPACITY"))})
    chain.wait()
    return chain.market


def refused_order(watch: Killer) -> Market:
    """bravo's ledger takes no order."""
    chain = begun(watch, {"alpha": stock("port"), "bravo": stock("line")})
    chain.market.refuses["alpha-bravo", "place_order"] = 1
    chain.wait()
    return chain.market


def refused_quote(watch: Killer) -> Market:
    """acme's ledger takes no quote of alpha's."""
    market = StoryMarket(pairs=TWO[:1], inventories={"alpha": pool("port")}, observe=watch)
    market.refuses["acme-alpha", "issue_quote"] = 1
    market.ask("acme", "alpha", (SINGLE,))
    market.run_until(market.now_ms + HOUR_MS)
    return market


def remade(watch: Killer) -> Market:
    """alpha's own port fails, and alpha makes another one."""
    watch.hold()
    broken = fault("activate", cause="BROKEN", delay_ms=60_000)
    chain = begun(
        watch, {"alpha": stock("port", faults=broken), "bravo": stock("line")}, policies={"alpha": Stubborn()}
    )
    chain.wait(30_000)
    watch.go()
    chain.wait()
    return chain.market


def rebought(watch: Killer) -> Market:
    """alpha's own port fails, and charlie's is bought."""
    broken = fault("activate", cause="BROKEN", delay_ms=60_000)
    own = {"alpha": stock("port", faults=broken), "bravo": stock("line"), "charlie": stock("port", monthly="5.00")}
    watch.hold()
    chain = begun(watch, own, WIDE)
    chain.wait(30_000)
    watch.go()
    chain.wait()
    return chain.market


def abandoned(watch: Killer) -> Market:
    """alpha's own port fails, and it gives up while bravo works."""
    broken = fault("activate", cause="BROKEN", delay_ms=60_000, times=9)
    late = fault("activate", delay_ms=600_000)
    own = {"alpha": stock("port", faults=broken), "bravo": stock("line", faults=late)}
    chain = begun(watch, own, policies={"alpha": Hasty()})
    chain.wait()
    return chain.market


def extended(watch: Killer) -> Market:
    """charlie needs more time than the window has: acme grants it, and so does everybody."""
    late = fault("activate", delay_ms=ACTIVATION_MS + 400_000)
    chain = begun(watch, {"alpha": stock("port"), "bravo": stock("none"), "charlie": stock("line", faults=late)}, DEEP)
    chain.wait(3 * ACTIVATION_MS)
    return chain.market


def refused_extension(watch: Killer) -> Market:
    """acme's ledger takes no request for time."""
    late = fault("activate", delay_ms=ACTIVATION_MS + 400_000)
    chain = begun(watch, {"alpha": stock("port", faults=late), "bravo": stock("line")}, terms=CANCELLABLE)
    chain.market.refuses["acme-alpha", "request_extension"] = 1
    chain.wait(6 * ACTIVATION_MS)
    return chain.market


def extended_unasked(watch: Killer) -> Market:
    """acme gives more time of itself."""
    late = fault("activate", delay_ms=600_000)
    chain = begun(watch, {"alpha": stock("port"), "bravo": stock("line", faults=late)})
    chain.wait(60_000)
    _extend(chain)
    chain.wait()
    return chain.market


def _slow_to_test(watch: Killer) -> Chain:
    """Everything is made in time, and its test takes longer than the window: nobody has asked for time by then."""
    slow = fault("measure", delay_ms=400_000)
    return begun(watch, {"alpha": stock("port", faults=slow)}, TWO[:1], items=(SINGLE,), activation_ms=300_000)


def overdue(watch: Killer) -> Market:
    """alpha is late, asks for time then, and is done in it."""
    chain = _slow_to_test(watch)
    chain.wait(3 * ACTIVATION_MS)
    return chain.market


def extended_when_overdue(watch: Killer) -> Market:
    """acme gives more time at the moment at which alpha, which is late, is about to decide what to do."""
    chain = _slow_to_test(watch)
    watch.when("s_bus/decide_overdue/taken", lambda: _extend(chain))
    chain.wait(3 * ACTIVATION_MS)
    return chain.market


def _extend(chain: Chain) -> None:
    end_ms = max(chain.market.now_ms, chain.the_order().activate_by_ms) + ACTIVATION_MS
    longer = ExtendWindow(order_id=chain.order.id, activate_by_ms=end_ms)
    chain.market.act(chain.market.between("acme", "alpha"), "extend_window", longer, "acme", "b_bus")


def makes(outage_ms: int) -> Any:
    """An inventory that makes lines, whose changes interrupt."""
    return parse(
        'currency = "EUR"\n[[pool]]\nid = "main"\nofferings = ["line"]\ncapacity = 1000\nlead_time_ms = 60000\n'
        'cost = { recurring = "10.00", period = "month" }\nend = { non_recurring = "5.00" }\n'
        f'change = {{ non_recurring = "25.00", outage_ms = {outage_ms}, method = "parallel_build_cold" }}\n'.encode()
    )


def _change(chain: Chain, kind: ChangeKind, items: tuple[Any, ...], implement_in_ms: int = 0) -> None:
    """acme asks for a change of its service, and orders it."""
    market, ledger = chain.market, chain.market.between("acme", "alpha")
    change = Change(service_id=market.the(ledger, "service").id, kind=kind)
    action = Action.DELETE if kind == ChangeKind.TERMINATION else Action.MODIFY
    named = {item.id for item in items}
    asked = tuple(
        replace(item, action=action, relations=tuple(one for one in item.relations if one.item_id in named))
        for item in items
    )
    inquiry_id = market.ask("acme", "alpha", asked, change=change).id
    market.run_until(market.now_ms + 120_000, stop=lambda: _quoted(market, ledger, inquiry_id))
    order = PlaceOrder(
        quote_id=_quoted(market, ledger, inquiry_id),
        acceptance_window_ms=600_000,
        activation_window_ms=4 * HOUR_MS,
        change=change,
        implement_at_ms=market.now_ms + implement_in_ms if implement_in_ms else 0,
    )
    market.act(ledger, "place_order", order, "acme", "b_bus")


def _quoted(market: Market, ledger: Any, inquiry_id: str) -> str:
    found: str = ledger.get(ledger.table.kinds["inquiry"], inquiry_id).quote_id
    return found


def _running(watch: Killer, **options: Any) -> Chain:
    """In operation over three tiers; only what comes then counts."""
    watch.hold()
    own = {"alpha": stock("port"), "bravo": pool(), "charlie": makes(600_000)}
    chain = begun(watch, own, DEEP, **options)
    chain.wait(60_000)
    watch.go()
    return chain


def changed(watch: Killer) -> Market:
    """With an outage that all agree on."""
    chain = _running(watch)
    _change(chain, ChangeKind.PARAMETER, (LINE,))
    chain.wait(6 * HOUR_MS)
    return chain.market


def ended(watch: Killer) -> Market:
    """By a termination that acme orders."""
    chain = _running(watch)
    _change(chain, ChangeKind.TERMINATION, (LINE, PORT_A, PORT_Z))
    chain.wait(6 * HOUR_MS)
    return chain.market


def ended_unheard(watch: Killer) -> Market:
    """The same; what counts is what alpha hears of it once the service has ended."""
    chain = _running(watch)
    watch.hold()
    ledger = chain.market.between("acme", "alpha")

    def listen() -> None:
        if any(one.status == "terminated" for one in chain.market.records(ledger, "service")):
            watch.go()

    watch.always = listen
    _change(chain, ChangeKind.TERMINATION, (LINE, PORT_A, PORT_Z))
    chain.wait(6 * HOUR_MS)
    return chain.market


def _of_two_sellers(refuses: int) -> Callable[[Killer], Market]:
    """alpha makes nothing itself: bravo and charlie both change their part, once both have accepted."""

    def hastened(watch: Killer) -> Market:
        watch.hold()
        chain = begun(watch, {"alpha": pool(), "bravo": makes(0), "charlie": stock("port")}, WIDE)
        chain.wait(60_000)
        watch.go()
        _change(chain, ChangeKind.PARAMETER, (LINE, PORT_A, PORT_Z))
        chain.market.refuses["alpha-bravo", "hasten_change"] = refuses
        chain.wait(6 * HOUR_MS)
        return chain.market

    return hastened


def _refused(act: str) -> Callable[[Killer], Market]:
    def refused_change(watch: Killer) -> Market:
        chain = _running(watch)
        _change(chain, ChangeKind.PARAMETER, (LINE,))
        chain.market.refuses.update(dict.fromkeys(((f"{buyer}-{seller}", act) for buyer, seller in DEEP), 1))
        chain.wait(6 * HOUR_MS)
        return chain.market

    return refused_change


def crossed(watch: Killer) -> Market:
    """acme proposes a window itself while alpha's proposal is on its way, which acme's ledger does not take then."""
    chain = _running(watch)
    watch.hold()
    _change(chain, ChangeKind.PARAMETER, (LINE,))
    market, proposed = chain.market, []
    market.refuses["acme-alpha", "propose_maintenance"] = 1

    def propose() -> None:
        under_way = [one.status for one in market.records(market.internal("alpha"), "release") if _is_proposal(one)]
        if "open" in under_way and not proposed:
            proposed.append(True)
            watch.go()
            ledger = market.between("acme", "alpha")
            change = market.the(ledger, "service_change")
            from_ms = market.now_ms + HOUR_MS
            window = {"from_ms": from_ms, "until_ms": from_ms + HOUR_MS}
            command = ProposeMaintenance(change_id=change.id, service_id=change.service_id, **window)
            market.act(ledger, "propose_maintenance", command, "acme", "b_bus")

    watch.always = propose
    chain.wait(6 * HOUR_MS)
    return market


def _is_proposal(release: Any) -> bool:
    return bool(release.act == "propose_maintenance" and release.role == Role.S_BUS)


# Stranded services


def _stranded(watch: Killer, policies: Policies, prepare: Callable[[Chain], None] = lambda _: None) -> Chain:
    """acme cancels its service in operation, and alpha can't cancel what it bought of bravo."""
    watch.hold()
    terms = {("acme", "alpha"): CANCELLABLE["acme", "alpha"]}
    own = {"alpha": stock("none"), "bravo": stock("port")}
    chain = begun(watch, own, items=(SINGLE,), terms=terms, policies={"alpha": policies})
    chain.wait(60_000)
    watch.go()
    prepare(chain)
    chain.cancel()
    return chain


def _until_it_waits(watch: Killer, chain: Chain) -> None:
    """An attempt has failed; only what comes then counts."""
    watch.hold()
    internal = chain.market.internal("alpha")
    day_ms = chain.market.now_ms + DAY_MS
    chain.market.run_until(
        day_ms, stop=lambda: any(one.status == "waiting" for one in chain.market.records(internal, "stranded_service"))
    )
    watch.go()


def stranded_at_once(watch: Killer) -> Market:
    """bravo ends it as soon as it is asked."""
    chain = _stranded(watch, quick())
    chain.wait(DAY_MS)
    return chain.market


def haggled(watch: Killer) -> Market:
    """The end's price is taken the third time."""
    chain = _stranded(watch, quick(Haggles))
    chain.wait(DAY_MS)
    return chain.market


def silent_about_its_end(watch: Killer) -> Market:
    """bravo is away for a while, and then ends it."""
    chain = _stranded(watch, quick())
    back = chain.market.lose("bravo")
    chain.wait(HOUR_MS)
    back()
    chain.wait(DAY_MS)
    return chain.market


def asked_again_after_silence(watch: Killer) -> Market:
    """The same; what counts is the second attempt."""
    chain = _stranded(watch, quick())
    back = chain.market.lose("bravo")
    _until_it_waits(watch, chain)
    chain.wait(HOUR_MS)
    back()
    chain.wait(DAY_MS)
    return chain.market


def asked_again_after_a_quote(watch: Killer) -> Market:
    """The price is not taken at first; what counts is the second attempt."""
    chain = _stranded(watch, quick(Haggles))
    _until_it_waits(watch, chain)
    chain.wait(DAY_MS)
    return chain.market


def _refused_end(act: str) -> Callable[[Killer], Market]:
    def refused(watch: Killer) -> Market:
        def prepare(chain: Chain) -> None:
            chain.market.refuses["alpha-bravo", act] = 1

        chain = _stranded(watch, quick(), prepare)
        chain.wait(DAY_MS)
        return chain.market

    return refused


def _away_once(status: str) -> Callable[[Killer], Market]:
    """bravo's agents leave when the change has this status, and are back after a while."""

    def late(watch: Killer) -> Market:
        chain = _stranded(watch, quick())
        market, ledger, backs = chain.market, chain.market.between("alpha", "bravo"), []

        def leave() -> None:
            there = [one.status for one in market.records(ledger, "service_change")]
            if status in there and not backs:
                backs.append(market.lose("bravo"))

        watch.always = leave
        chain.wait(900_000)
        for back in backs:
            back()
        chain.wait(DAY_MS)
        return market

    return late


def _called_off(*, forgotten: bool) -> Callable[[Killer], Market]:
    """alpha gives a service's end up, as charlie does, while bravo is at its part; it is done, or bravo forgets it."""

    def late(watch: Killer) -> Market:
        watch.hold()
        once = fault("activate", delay_ms=1)
        slow = fault("activate", delay_ms=HOUR_MS)
        broken = fault("activate", delay_ms=1, times=2) + fault("activate", cause="BROKEN", times=9)
        own = {"alpha": pool(), "bravo": stock("line", faults=once + slow), "charlie": stock("port", faults=broken)}
        chain = begun(watch, own, WIDE, policies=dict.fromkeys(("alpha", "charlie"), Hasty()))
        market, backs = chain.market, list[Callable[[], None]]()
        chain.wait(60_000)
        watch.go()
        _change(chain, ChangeKind.TERMINATION, (LINE, PORT_A, PORT_Z))

        def leave() -> None:
            refused = [one for one in market.records(market.internal("alpha"), "release") if one.act == "cancel_order"]
            if forgotten and not backs and any(one.status == "refused" for one in refused):
                backs.append(market.lose("bravo"))

        watch.always = leave
        chain.wait(6 * HOUR_MS)
        for back in backs:
            back()
        chain.wait(6 * HOUR_MS)
        return market

    return late


Story = Callable[[Killer], Market]
STORIES: Final[Mapping[str, Story]] = MappingProxyType(
    {
        "inquiry": inquiry,
        "refused inquiry": refused_inquiry,
        "silence": silence,
        "standing": standing,
        "purchase": purchase,
        "cancelled": cancelled,
        "cancelled at once": cancelled_at_once,
        "rejected": rejected,
        "refused order": refused_order,
        "refused quote": refused_quote,
        "remade": remade,
        "rebought": rebought,
        "abandoned": abandoned,
        "extended": extended,
        "refused extension": refused_extension,
        "extended unasked": extended_unasked,
        "overdue": overdue,
        "extended when overdue": extended_when_overdue,
        "changed": changed,
        "ended": ended,
        "ended unheard": ended_unheard,
        "hastened": _of_two_sellers(0),
        "refused hastening": _of_two_sellers(1),
        "refused proposal": _refused("propose_maintenance"),
        "refused agreement": _refused("agree_maintenance"),
        "refused start": _refused("start_change"),
        "crossed proposals": crossed,
        "called off when begun": _called_off(forgotten=False),
        "called off when late": _called_off(forgotten=True),
        "stranded": stranded_at_once,
        "haggled": haggled,
        "silent about its end": silent_about_its_end,
        "asked again after silence": asked_again_after_silence,
        "asked again after a quote": asked_again_after_a_quote,
        "refused end": _refused_end("submit_inquiry"),
        "refused end's order": _refused_end("place_order"),
        "end ordered and not answered": _away_once("ordered"),
        "end accepted and not made": _away_once("accepted"),
    }
)
# Said more or less often, depending on who is how late.
LOOSE: Final = frozenset(("request_extension", "answer_extension", "extend_window", "propose_maintenance"))


def ending(market: Market) -> Counter[tuple[str, ...]]:
    """How many documents of a kind have a status on each ledger, releases by their act, and what each inventory holds."""
    found: Counter[tuple[str, ...]] = Counter()
    for name, ledger in market.ledgers.items():
        for kind in ledger.table.kinds.values():
            for record in ledger.all(kind):
                act = str(getattr(record, "act", "")) if kind.name == "release" else ""
                if act not in LOOSE:
                    found[name, kind.name, act, str(getattr(record, "status", ""))] += 1
    for name, role in market.desks:
        if role == Role.SOF:
            found[name, "booked"] = units_in_use(market, name)
    return found


# What the end of inquiries, orders and all that they lead to is.
_OVER: Final = MappingProxyType(
    {
        "inquiry": {"quoted", "unable", "deemed_unable", "late_quoted"},
        "inquiry_handover": {"quoted", "unable"},
        "order": {"activated", "rejected", "cancelled", "failed"},
        "order_handover": {"activated", "rejected", "cancelled", "failed"},
        "release": {"carried", "refused"},
        "stranded_service": {"ended"},
        "change_plan": {"done", "refused", "cancelled", "failed"},
        "service_element": {"chained", "released", "cancelled", "replaced", "rejected", "undeliverable"},
    }
)


def under_way(market: Market) -> list[tuple[str, str, str]]:
    """(Ledger, kind, status) of what has not come to an end."""
    return [
        (name, kind, str(record.status))
        for name, ledger in market.ledgers.items()
        for kind, over in _OVER.items()
        if kind in ledger.table.kinds
        for record in ledger.all(ledger.table.kinds[kind])
        if record.status not in over
    ]


# Duties of which each may do the same step, whichever hears of it first.
SHARED_STEPS: Final = (
    frozenset(("settle_answer", "answer_inquiry")),
    frozenset(("mirror_order", "mirror_from_inside", "remove_service", "catch_up_with_order", "catch_up_with_service")),
    frozenset(("tend_change", "tend_own_change", "tend_change_after_release")),
    frozenset(("tend_sellers_of_change", "tend_seller_change", "tend_sellers_after_release")),
    frozenset(("collect_responses", "collect_of_inquiry", "collect_of_quote", "collect_of_release")),
    frozenset(("tend_bought", "tend_element", "place_orders")),
    frozenset(
        (
            "cancel_bought",
            "cancel_after_all",
            "settle_cancellation",
            "report_order",
            "settle_order",
            "catch_up_with_order",
        )
    ),
    frozenset(("choose_replacement", "catch_up_with_quotes")),
    frozenset(duty.name for duty in stranded.DUTIES),
    frozenset(("request_activation", "request_replacement")),
    frozenset(("activate_elements", "activate_element")),
)
# What `remove_service` takes out of the inventory, others mirror.
_SAME_STEP: Final = frozenset(("mirror", "terminate"))


def rivals_of(boundary: Boundary) -> frozenset[Boundary]:
    """Where others are about to do what would be done there."""
    duties = {duty.name: duty for duty in ROSTER[Role(boundary.role)]}
    names = {name for group in SHARED_STEPS if boundary.duty in group for name in group if name in duties}
    purposes = {boundary.purpose} if boundary.purpose else set(duties[boundary.duty].submits)
    purposes |= _SAME_STEP if purposes & _SAME_STEP else set()
    return frozenset(
        Boundary(boundary.role, name, Moment.BEFORE, purpose)
        for name in names - {boundary.duty}
        for purpose in purposes.intersection(duties[name].submits)
    )
