"""The bench of several tiers: agents quote, accept and activate over real ledgers, and each commit on the way is timed.

`three tiers` is the topology "tiers", first as a straight chain (agreements on three ledgers only, so that the path is one
line), then with all agreements: two ways to the last tier, and a seller asked twice. `five tiers` is the topology "chain5".
"""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from localnet.network import Network
from localnet.topology import Topology, load_topology
from node.agents.provisioning.bookings import BookingStore
from node.agents.settings import BOOKINGS
from scripts.load.commits import Commit, counted, path, steps
from scripts.load.figures import percentile
from scripts.load.gauges import busy_s, processor_by_role
from scripts.load.traders import FlowFailed
from scripts.load.watch import Watch, now_ms, watching
from scripts.story.goods import Pool, Stock, inventory, port
from scripts.story.market import Market
from scripts.story.network import LocalNetwork
from scripts.story.rehearsal import pairs_of
from scripts.story.scene import Seat, Stage
from scripts.story.telling import Teller
from scripts.story.terms import tier_terms
from smartcontracts.inquiry import Inquiry, InquiryStatus
from smartcontracts.kernel import Role
from smartcontracts.order import OrderStatus, PlaceOrder
from smartcontracts.service import ServiceStatus

# Windows in which even a crowd gets its answers.
LONG_MS: Final = 3_600_000
WITHIN_S: Final = 120.0
# After one inquiry everything comes to rest before the next.
REST_S: Final = 1.5
PLACE: Final = "faro-bench"
MANY_WITHIN_S: Final = 3_000.0
# So many of a person's acts are on their way at once.
_HANDS: Final = 50
_LOOK_S: Final = 2.0
_ENDED: Final = frozenset({OrderStatus.REJECTED, OrderStatus.ACTIVATED, OrderStatus.FAILED, OrderStatus.CANCELLED})
_HANDOVER_ENDED: Final = frozenset({"activated", "rejected", "failed", "cancelled"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Chain:
    """Where a bench plays. `providers` from the customer's seller to the last, who alone can make what is asked for."""

    topology: str
    customer: str
    providers: tuple[str, ...]

    @property
    def pairs(self) -> tuple[tuple[str, str], ...]:
        """(buyer, seller) from the customer on."""
        return tuple(zip((self.customer, *self.providers[:-1]), self.providers, strict=True))


THREE: Final = Chain(topology="tiers", customer="acme", providers=("alpha", "bravo", "delta"))
FIVE: Final = Chain(topology="chain5", customer="acme", providers=("first", "second", "third", "fourth", "fifth"))


@dataclass(slots=True)
class Bench:
    """A market that runs, and who watches it."""

    chain: Chain
    network: LocalNetwork
    localnet: Network
    market: Market
    watch: Watch
    ready_s: float
    numbers: list[int] = field(default_factory=lambda: [0])

    @property
    def ledger(self) -> str:
        """The customer's."""
        return self.market.ledger(self.chain.customer, self.chain.providers[0])

    def another(self) -> str:
        """An item's name that was not asked for before."""
        self.numbers[0] += 1
        return f"port-{self.numbers[0]}"


@asynccontextmanager
async def raised(chain: Chain, directory: Path) -> AsyncIterator[Bench]:
    """The network, agreements along the chain only, and everybody's rules."""
    localnet = Network(_topology(chain), directory)
    try:
        ready_s = await localnet.start()
        network = LocalNetwork(localnet)
        try:
            ways = pairs_of(localnet.topology)
            straight = {name: pair for name, pair in ways.items() if pair in chain.pairs}
            market = Market(Stage(network, Teller(quiet=True)), straight, both_ways=())
            await _open(market)
            async with watching(await _seats(market, ways)) as watch:
                yield Bench(
                    chain=chain, network=network, localnet=localnet, market=market, watch=watch, ready_s=ready_s
                )
        finally:
            await network.close()
    finally:
        await asyncio.shield(localnet.stop())


async def open_all_ways(bench: Bench) -> None:
    """Agreements on the topology's other ledgers, too: from now on a request may go more ways than one."""
    ways = pairs_of(bench.localnet.topology)
    rest = {name: pair for name, pair in ways.items() if name not in bench.market.pairs}
    others = Market(bench.market.stage, rest, both_ways=())
    await _open(others)
    bench.market = Market(
        bench.market.stage, ways, both_ways=(), agreements={**bench.market.agreements, **others.agreements}
    )


async def one_by_one(bench: Bench, inquiries: int) -> dict[str, Any]:
    """Inquiries one after the other, on ledgers at rest: from the customer's submission to its quote."""
    took: list[float] = []
    paths: list[tuple[float, Sequence[Commit]]] = []
    pids = _pids(bench.localnet)
    began_ms, busy, processor = now_ms(), busy_s(), processor_by_role(pids)
    for _ in range(inquiries):
        await asyncio.sleep(REST_S)
        submitted_ms, quoted_ms, _ = await _quoted(bench)
        took.append(quoted_ms - submitted_ms)
        paths.append((submitted_ms, path(bench.watch.commits(submitted_ms), submitted_ms, quoted_ms)))
    await asyncio.sleep(REST_S)
    seconds, after = (now_ms() - began_ms) / 1_000, processor_by_role(pids)
    return {
        "inquiries": inquiries,
        "p50_ms": percentile(took, 50),
        "p99_ms": percentile(took, 99),
        "best_ms": min(took),
        "path": [asdict(step) for step in steps(paths)],
        "commits": counted(bench.watch.commits(began_ms)),
        # What the ledgers need at rest between two inquiries is in it.
        "processor_ms": {role: (after[role] - processor[role]) * 1_000 / inquiries for role in pids},
        "cores_busy": (busy_s() - busy) / seconds,
        "load": os.getloadavg()[0],
    }


async def many_orders(bench: Bench, orders: int) -> dict[str, Any]:
    """Quotes for so many, then all orders at once, until every order on every ledger has ended."""
    pids = _pids(bench.localnet)
    processor, began_ms = processor_by_role(pids), now_ms()
    quotes = await _many_quotes(bench, orders)
    quoted_ms, quoting = now_ms(), bench.watch.commits(began_ms)
    await _place(bench, quotes)
    stuck = await _until_ended(bench, began_ms)
    ended_ms = now_ms()
    after = processor_by_role(pids)
    commits = bench.watch.commits(quoted_ms)
    return {
        "orders": orders,
        "quoted": len(quotes),
        "quoting_s": (quoted_ms - began_ms) / 1_000,
        "quoting_transactions": sum(one.transactions for one in quoting),
        "ordering_s": (ended_ms - quoted_ms) / 1_000,
        "ordering_transactions": sum(one.transactions for one in commits),
        "commits": counted(commits),
        "statuses": await _statuses(bench, began_ms),
        "stuck": stuck,
        "booked": _booked(bench),
        "in_operation": await _in_operation(bench),
        "processor_s": {role: after[role] - processor[role] for role in pids},
        "load": os.getloadavg()[0],
    }


async def one_purchase(bench: Bench) -> dict[str, Any]:
    """Inquiry, quote, order, activation over all tiers, and what each part took."""
    await asyncio.sleep(REST_S)
    submitted_ms, quoted_ms, inquiry = await _quoted(bench)
    on_the_path = path(bench.watch.commits(submitted_ms), submitted_ms, quoted_ms)
    ordered_ms = now_ms()
    (order_id,) = await _place(bench, [inquiry.quote_id])
    accepted_ms = await _heard(bench, "order.accepted", order_id)
    activated_ms = await _heard(bench, "order.activated", order_id)
    stuck = await _until_ended(bench, submitted_ms)
    quoting = [one for one in bench.watch.commits(submitted_ms) if one.arrived_ms <= quoted_ms]
    ordering = bench.watch.commits(ordered_ms)
    return {
        "tiers": len(bench.chain.providers),
        "quote_ms": quoted_ms - submitted_ms,
        "accepted_ms": accepted_ms - ordered_ms,
        "activated_ms": activated_ms - ordered_ms,
        "path": [asdict(step) for step in steps([(submitted_ms, on_the_path)])],
        "quoting": counted(quoting),
        "ordering": counted(ordering),
        "statuses": await _statuses(bench, submitted_ms),
        "stuck": stuck,
        "load": os.getloadavg()[0],
    }


# Parts of it


def _topology(chain: Chain) -> Topology:
    """The built-in one, in which only the chain's last provider has what is asked for."""
    topology = load_topology(chain.topology)
    stock = Stock(pools=(Pool(place=PLACE, monthly="22.00", capacity=100_000),))
    organizations = {
        name: entry.model_copy(update={"inventory": inventory([stock] if name == chain.providers[-1] else [])})
        for name, entry in topology.organizations.items()
    }
    return topology.model_copy(update={"organizations": organizations})


async def _open(market: Market) -> None:
    await market.open(tier_terms)
    for provider in market.providers:
        # Some patience, so that a crowd is not refused for being one.
        await market.set_rules(provider, quote_validity_ms=LONG_MS)


async def _seats(market: Market, ways: Mapping[str, tuple[str, str]]) -> list[Seat]:
    """Each bilateral ledger at its buyer's node, each internal one at its owner's."""
    traders = tuple(dict.fromkeys(name for pair in ways.values() for name in pair))
    bilateral = [await market.seat(pair[0], name) for name, pair in ways.items()]
    return [*bilateral, *[await market.internal(name) for name in traders]]


async def _quoted(bench: Bench) -> tuple[float, float, Inquiry]:
    """(when submitted, when its quote was heard of, the inquiry); Unix milliseconds. Nothing else may be asked meanwhile."""
    submitted_ms = now_ms()
    asked = await _ask(bench)
    answers = ("quote.issued", "inquiry.declared_unable", "inquiry.deemed_unable")
    heard = await bench.watch.heard(
        lambda one: one.ledger == bench.ledger and one.name in answers and one.arrived_ms >= submitted_ms,
        WITHIN_S,
        f"an answer to {asked.id}",
    )
    seat = await _customer(bench)
    inquiry: Inquiry = await seat.see("inquiry", asked.id, heard.height)
    if inquiry.status != InquiryStatus.QUOTED:
        raise FlowFailed(f"an inquiry over {len(bench.chain.providers)} tiers is {inquiry.status} {inquiry.unable_reason}")
    return submitted_ms, heard.arrived_ms, inquiry


async def _ask(bench: Bench) -> Inquiry:
    buyer, seller = bench.chain.pairs[0]
    seat = await _customer(bench)
    items = [port(PLACE, bench.another())]
    command = bench.market.inquiry_of(buyer, seller, items, response_window_ms=LONG_MS)
    done = await seat.act(Role.B_BUS, "submit_inquiry", command)
    inquiry: Inquiry = await seat.result(done, "inquiry")
    return inquiry


async def _heard(bench: Bench, name: str, document_id: str) -> float:
    """When something happened to a document of the customer's."""
    heard = await bench.watch.heard(
        lambda one: one.ledger == bench.ledger and one.name == name and one.document_id == document_id,
        WITHIN_S,
        f"{name} of {document_id}",
    )
    return heard.arrived_ms


async def _many_quotes(bench: Bench, count: int) -> list[str]:
    """Ids of the quotes that so many inquiries at once get."""
    hands = asyncio.Semaphore(_HANDS)

    async def ask() -> str:
        async with hands:
            return (await _ask(bench)).id

    asked = set(await asyncio.gather(*(ask() for _ in range(count))))
    seat = await _customer(bench)
    async with _patience("answers to all inquiries"):
        while True:
            if not await seat.all("inquiry", status=InquiryStatus.RECEIVED):
                break
            await asyncio.sleep(_LOOK_S)
    return [one.quote_id for one in await seat.all("inquiry", status=InquiryStatus.QUOTED) if one.id in asked]


async def _place(bench: Bench, quotes: Sequence[str]) -> list[str]:
    """Order all of them at once; the orders' ids."""
    hands, seat = asyncio.Semaphore(_HANDS), await _customer(bench)

    async def place(quote_id: str) -> str:
        command = PlaceOrder(quote_id=quote_id, acceptance_window_ms=LONG_MS, activation_window_ms=LONG_MS)
        async with hands:
            return (await seat.act(Role.B_BUS, "place_order", command)).id_of("order")

    return list(await asyncio.gather(*map(place, quotes)))


async def _until_ended(bench: Bench, since_ms: float) -> dict[str, int]:
    """Wait until all orders begun since then have ended, and all that is written down inside; what has not, by ledger."""
    give_up_ms = now_ms() + MANY_WITHIN_S * 1_000
    while True:
        left = await _open_documents(bench, since_ms)
        if not left or now_ms() > give_up_ms:
            return left
        await asyncio.sleep(_LOOK_S)


async def _open_documents(bench: Bench, since_ms: float) -> dict[str, int]:
    """Counts of orders, of orders inside, and of releases that are open, by ledger and kind."""
    left: Counter[str] = Counter()
    for row in await bench.market.rows("order", int(since_ms)):
        left[f"{row.ledger} order"] += row.document.status not in _ENDED
    for name in bench.market.providers:
        inside = await bench.market.internal(name)
        handovers = await inside.all("order_handover")
        left[f"{inside.ledger_name} order_handover"] += sum(one.status not in _HANDOVER_ENDED for one in handovers)
        left[f"{inside.ledger_name} release"] += len(await inside.all("release", status="open"))
    return {name: count for name, count in sorted(left.items()) if count}


async def _statuses(bench: Bench, since_ms: float) -> dict[str, dict[str, int]]:
    """How many orders begun since then have each status, by ledger."""
    found: dict[str, Counter[str]] = {}
    for row in await bench.market.rows("order", int(since_ms)):
        found.setdefault(row.ledger, Counter())[str(row.document.status)] += 1
    return {ledger: dict(sorted(counts.items())) for ledger, counts in sorted(found.items())}


async def _in_operation(bench: Bench) -> int:
    """Services of the last provider that are in operation: what may be booked there."""
    rows = await bench.market.rows("service", 0)
    last = bench.chain.providers[-1]
    return sum(row.seller == last and row.document.status == ServiceStatus.IN_OPERATION for row in rows)


def _booked(bench: Bench) -> dict[str, int]:
    """Units that providers' inventories hold, by what for; released and run out ones hold nothing."""
    found: Counter[str] = Counter()
    for name in bench.market.providers:
        file = bench.localnet.material.files(name).data / "agents" / Role.SOF.value / BOOKINGS
        if file.exists():
            store = BookingStore(file)
            with store.transaction() as books:
                for booking in books.live(int(now_ms())):
                    found[f"{name} {booking.status}"] += booking.units
            store.close()
    return dict(sorted(found.items()))


async def _customer(bench: Bench) -> Seat:
    return await bench.market.seat(bench.chain.customer, bench.ledger)


def _pids(localnet: Network) -> dict[str, tuple[int, ...]]:
    """All organizations' processes by role."""
    roles: tuple[Any, ...] = ("node", "application", "engine")
    return {role: tuple(pid for name in localnet.organizations for pid in localnet.pids(name, role)) for role in roles}


@asynccontextmanager
async def _patience(what: str) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(MANY_WITHIN_S):
            yield
    except TimeoutError as error:
        raise FlowFailed(f"{what}: not there after {MANY_WITHIN_S:.0f} s") from error
