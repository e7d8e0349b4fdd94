"""The measured network: four organizations' nodes and one bilateral ledger, its loads one after another, and what they cost."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from ledgers.transaction import Act
from localnet.network import Network
from localnet.topology import Topology, parse_topology
from node.daemon import runtime_folder
from scripts.load import trade
from scripts.load.engine import EngineBlocks, RecordedBlock
from scripts.load.figures import Sample, blocks_of, committed_rate, percentile, rates_by_quarter, sent_within
from scripts.load.flows import ACTS_A_FLOW, Market, as_many_as, at_rate, one_by_one
from scripts.load.gauges import Memory, busy_s, disk_bytes, memory, processor_by_role
from scripts.load.traders import Trader, written
from smartcontracts.kernel import Role
from smartcontracts.proposal import Propose, act_of

LEDGER: Final = "acme-alpha"
BUYER: Final = "acme"
SELLER: Final = "alpha"
NEUTRALS: Final = ("north", "south")
MEMBERS_A_ROLE: Final = 4
WARM_UP_S: Final = 1.0
_PROPOSAL_MS: Final = 60_000
_LOADER: Final = "load generator"


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency:
    """Of single transactions, milliseconds from handing in to the receipt; `rate`: committed a second."""

    transactions: int
    rate: float
    p50_ms: float
    p99_ms: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What a load took, by role: processor milliseconds a transaction, and cores in use on average.

    `others_cores`: what programs that have nothing to do with the bench used meanwhile.
    """

    ms_a_transaction: Mapping[str, float]
    cores: Mapping[str, float]
    others_cores: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Maximum:
    """The load of as many flows as clients. Bytes a transaction are on one node's disk."""

    latency: Latency
    rates_by_quarter: tuple[float, ...]
    cost: Cost
    transactions_a_block: float
    sizes: Mapping[str, int]
    disk: Mapping[str, float]
    blocks: tuple[RecordedBlock, ...]
    first_height: int


@dataclass(slots=True)
class Measured:
    """What one run of the network gave."""

    ready_s: float = 0.0
    idle: Latency | None = None
    idle_memory: dict[str, Memory] = field(default_factory=dict)
    idle_cores: dict[str, float] = field(default_factory=dict)
    maximum: Maximum | None = None
    busy_memory: dict[str, Memory] = field(default_factory=dict)
    tenth: Latency | None = None
    most: Latency | None = None


def topology() -> Topology:
    """Two parties with several members a role, and two neutrals: four validators."""
    administrator = [Role.ADMINISTRATOR.value]
    members = {
        BUYER: {f"buyer-{n}": [Role.B_BUS.value] for n in range(MEMBERS_A_ROLE)},
        SELLER: {f"seller-{n}": [Role.S_BUS.value] for n in range(MEMBERS_A_ROLE)},
        **{name: {"auditor": [Role.AUDITOR.value]} for name in NEUTRALS},
    }
    return parse_topology(
        {
            # One ledger and nothing beside it: what is measured stays comparable.
            "internal": False,
            "agents": "none",
            "organizations": {
                name: {"name": name.capitalize(), "members": {"administrator": administrator, **its}}
                for name, its in members.items()
            },
            "ledgers": {LEDGER: {"kind": "bilateral", "parties": [BUYER, SELLER], "neutrals": list(NEUTRALS)}},
        }
    )


@asynccontextmanager
async def market(network: Network) -> AsyncIterator[Market]:
    """Conclude the agreement, and connect every member to its own organization's node."""
    agreement_id = await _agree(network)
    async with AsyncExitStack() as stack:

        async def traders(organization: str, prefix: str) -> list[Trader]:
            found = []
            for number in range(MEMBERS_A_ROLE):
                member = f"{prefix}-{number}"
                client = network.client(organization, member, others=())
                trader = Trader(client, network.signer(organization, member), network.ledger_id(LEDGER))
                found.append(await stack.enter_async_context(trader))
            return found

        yield Market(
            buyers=await traders(BUYER, "buyer"),
            sellers=await traders(SELLER, "seller"),
            buyer_id=network.organization_id(BUYER),
            seller_id=network.organization_id(SELLER),
            agreement_id=agreement_id,
            product=trade.product(),
        )


async def _agree(network: Network) -> str:
    """Both administrators sign one transaction; the agreement's id."""
    async with network.client(BUYER, others=()) as client:
        ledger = await client.ledger(network.ledger_id(LEDGER))
        command = Propose(act=act_of("agreement_terms", trade.agreement_terms()), valid_for_ms=_PROPOSAL_MS)
        signers = [network.signer(BUYER), network.signer(SELLER)]
        return written(await ledger.submit([Act(name="propose", command=command)], signers), "agreement")


async def measure_idle(network: Network, market_: Market, measured: Measured, seconds: float, pause_s: float) -> None:
    """Memory and processor time of a ledger at rest, then single transactions with pauses."""
    await asyncio.sleep(1.0)
    before, began = processor_by_role(roles(network)), time.monotonic()
    rest_s = max(2.0, seconds / 4)
    await asyncio.sleep(rest_s)
    measured.idle_cores = _cores(before, processor_by_role(roles(network)), time.monotonic() - began)
    measured.idle_memory = memory_by_process(network)
    began = time.monotonic()
    await one_by_one(market_, int(seconds / (pause_s + 0.05)), pause_s)
    measured.idle = latency(market_.samples(), began, time.monotonic())


async def measure_maximum(network: Network, market_: Market, measured: Measured, clients: int, seconds: float) -> None:
    """As many flows at once as clients; then the blocks of it, as the buyer's engine has them."""
    engine = EngineBlocks(rpc_socket(network, BUYER))
    try:
        first = await engine.height() + 1
        disk = disk_by_part(network, BUYER)
        load = asyncio.create_task(as_many_as(clients, market_, seconds))
        await asyncio.sleep(WARM_UP_S)
        began, before, all_before = time.monotonic(), processor_by_role(roles(network)), busy_s()
        await asyncio.sleep(max(0.0, seconds - WARM_UP_S))
        ended, after, all_after = time.monotonic(), processor_by_role(roles(network)), busy_s()
        measured.busy_memory = memory_by_process(network)
        await load
        used, total = disk_by_part(network, BUYER), len(_from_height(market_.samples(), first))
        samples = [sample for sample in market_.samples() if began <= sample.received_at < ended]
        blocks = blocks_of(samples)
        rate = committed_rate(blocks)
        count = max(1, len(samples))
        measured.maximum = Maximum(
            latency=_latency(samples, rate),
            rates_by_quarter=rates_by_quarter(blocks),
            cost=Cost(
                ms_a_transaction={role: (after[role] - before[role]) * 1_000 / count for role in after},
                cores=_cores(before, after, ended - began),
                others_cores=(all_after - all_before - sum(after.values()) + sum(before.values())) / (ended - began),
            ),
            transactions_a_block=count / max(1, len(blocks)),
            sizes=_sizes(samples),
            disk={part: (used[part] - disk[part]) / max(1, total) for part in used},
            blocks=tuple([await engine.block(height) for height in range(1, await engine.height() + 1)]),
            first_height=first,
        )
    finally:
        await engine.close()


async def measure_rate(market_: Market, transactions_a_second: float, seconds: float) -> Latency:
    """Flows at a steady rate; the first second does not count. Raises Overloaded."""
    began = time.monotonic() + WARM_UP_S
    await at_rate(transactions_a_second / ACTS_A_FLOW, market_, seconds)
    return latency(market_.samples(), began, began + seconds - WARM_UP_S)


def latency(samples: list[Sample], begin: float, end: float) -> Latency:
    """Of what was sent between two moments."""
    found = sent_within(samples, begin, end)
    return _latency(found, len(found) / (end - begin))


def _latency(samples: list[Sample], rate: float) -> Latency:
    times = [sample.latency_ms for sample in samples]
    return Latency(transactions=len(times), rate=rate, p50_ms=percentile(times, 50), p99_ms=percentile(times, 99))


def _sizes(samples: list[Sample]) -> dict[str, int]:
    """Bytes of a signed transaction by act, the largest."""
    found: dict[str, int] = {}
    for sample in samples:
        found[sample.act] = max(found.get(sample.act, 0), sample.bytes)
    return found


def _from_height(samples: list[Sample], height: int) -> list[Sample]:
    return [sample for sample in samples if sample.height >= height]


def _cores(before: Mapping[str, float], after: Mapping[str, float], seconds: float) -> dict[str, float]:
    return {role: (after[role] - before[role]) / seconds for role in after}


def roles(network: Network) -> dict[str, tuple[int, ...]]:
    """Process ids by role, over all organizations; this process makes the load."""
    found: dict[str, tuple[int, ...]] = {"application": (), "engine": (), "node": (), _LOADER: (os.getpid(),)}
    for organization in network.organizations:
        found["application"] += network.pids(organization, "application")
        found["engine"] += network.pids(organization, "engine")
        found["node"] += network.pids(organization, "node")
    return found


def memory_by_process(network: Network) -> dict[str, Memory]:
    """By "organization role"."""
    found = {}
    for organization in network.organizations:
        for role in ("application", "engine", "node"):
            for pid in network.pids(organization, role):
                found[f"{organization} {role}"] = memory(pid)
    return found


def disk_by_part(network: Network, organization: str) -> dict[str, int]:
    """Bytes of what one organization keeps: the application's store, the engine's log of votes, the engine's blocks and the rest."""
    data, engines = network.data_directories(organization)
    log = sum(disk_bytes(path) for path in engines.rglob("cs.wal"))
    return {"application": disk_bytes(data), "engine log": log, "engine": disk_bytes(engines) - log}


def rpc_socket(network: Network, organization: str) -> Path:
    """Where the engine of the organization answers."""
    return runtime_folder(network.material.files(organization).data) / f"{network.ledger_id(LEDGER)}.rpc"
