"""`python -m scripts.load`: what scripts/bench runs once everything is installed."""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from ledgers.client import ClientError
from localnet.network import Network, NetworkFailed
from scripts.load import kvstore, tiers, tiers_report
from scripts.load.arguments import arguments
from scripts.load.figures import committed_rate
from scripts.load.flows import Overloaded
from scripts.load.gauges import machine, processor_by_role
from scripts.load.network import (
    BUYER,
    LEDGER,
    Maximum,
    Measured,
    market,
    measure_idle,
    measure_maximum,
    measure_rate,
    topology,
)
from scripts.load.replay import ReplayDiffers, profiled, replay
from scripts.load.report import VERSION, text
from scripts.load.traders import FlowFailed
from scripts.story.telling import StepFailed, first_failure

FAILED: Final = 1
INTERRUPTED: Final = 130
_PAUSE_QUICK_S: Final = 0.2
_PAUSE_S: Final = 0.3
_FAILURES: Final = (
    ClientError, FlowFailed, NetworkFailed, kvstore.KvstoreFailed, ReplayDiffers, StepFailed, OSError, TimeoutError
)


def main() -> int:
    """Exit code: 0 measured, 1 a load failed or an order over tiers did not end, 130 interrupted."""
    options = arguments()
    try:
        return asyncio.run(_until_signal(options))
    except (KeyboardInterrupt, asyncio.CancelledError):
        print("scripts/bench: interrupted; every process was ended", file=sys.stderr)
        return INTERRUPTED


async def _until_signal(options: argparse.Namespace) -> int:
    """Measure; a signal cancels it, and it takes its networks down with it."""
    task = asyncio.create_task(_run(options))
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    return await task


async def _run(options: argparse.Namespace) -> int:
    directory = (options.keep or Path(tempfile.mkdtemp(prefix="syngraph-bench-"))).absolute()
    began = time.monotonic()
    try:
        report = await (_measure_tiers if options.tiers else _measure)(options, directory)
    except BaseExceptionGroup as group:
        _, others = group.split(_FAILURES)
        if others is not None:
            raise
        print(f"scripts/bench: FAILED: {first_failure(group)}", file=sys.stderr)
        return FAILED
    except _FAILURES as error:
        print(f"scripts/bench: FAILED: {type(error).__name__}: {error}", file=sys.stderr)
        return FAILED
    finally:
        if options.keep is None:
            shutil.rmtree(directory, ignore_errors=True)
    report["took_s"] = round(time.monotonic() - began, 1)
    told = tiers_report.text(report) if options.tiers else text(report)
    print("\n" + told + f"\n\nmeasured in {report['took_s']:.0f} s")
    if options.json is not None:
        options.json.write_text(json.dumps(_plain(report), indent=1) + "\n", encoding="utf-8")
        print(f"report: {options.json}")
    return FAILED if options.tiers and tiers_report.is_stuck(report) else 0


async def _measure(options: argparse.Namespace, directory: Path) -> dict[str, Any]:
    before = machine()
    measured, genesis = await _measure_network(options, directory / "net")
    maximum = measured.maximum
    if maximum is None or measured.idle is None:
        raise FlowFailed("nothing was measured")
    yardstick = await _measure_kvstore(options, directory / "kvstore", genesis, tuple(maximum.sizes.values()))
    return {
        "version": VERSION,
        "machine": before,
        "quick": options.quick,
        "clients": options.clients,
        "seconds": options.seconds,
        "ready_s": measured.ready_s,
        "idle": {
            "latency": asdict(measured.idle),
            "memory": {name: asdict(one) for name, one in measured.idle_memory.items()},
            "cores": measured.idle_cores,
        },
        "maximum": {
            "latency": asdict(maximum.latency),
            "rates_by_quarter": list(maximum.rates_by_quarter),
            "cost": asdict(maximum.cost),
            "transactions_a_block": maximum.transactions_a_block,
            "sizes": maximum.sizes,
            "disk": maximum.disk,
            "memory": {name: asdict(one) for name, one in measured.busy_memory.items()},
        },
        "tenth": None if measured.tenth is None else asdict(measured.tenth),
        "most": None if measured.most is None else asdict(measured.most),
        "kvstore": yardstick,
        "replay": await asyncio.to_thread(_replay, options, genesis, maximum, directory / "replay"),
    }


async def _measure_tiers(options: argparse.Namespace, directory: Path) -> dict[str, Any]:
    """The tiers' figures: three with their orders, then five."""
    report: dict[str, Any] = {"version": VERSION, "machine": machine(), "quick": options.quick}
    _tell("three tiers: ten nodes start")
    async with tiers.raised(tiers.THREE, directory / "three") as bench:
        three: dict[str, Any] = {"ready_s": bench.ready_s}
        _tell(f"{options.inquiries} inquiries, one after the other")
        three["alone"] = await tiers.one_by_one(bench, options.inquiries)
        _tell(f"{options.orders} orders at once")
        three["orders"] = await tiers.many_orders(bench, options.orders)
        _tell(f"{options.inquiries} inquiries that may go more ways than one")
        await tiers.open_all_ways(bench)
        three["all_ways"] = await tiers.one_by_one(bench, options.inquiries)
        _tell("the nodes stop")
    report["three"] = three
    _tell("five tiers: ten nodes start")
    async with tiers.raised(tiers.FIVE, directory / "five") as bench:
        _tell("one purchase over five tiers")
        report["five"] = await tiers.one_purchase(bench)
    return report


async def _measure_network(options: argparse.Namespace, directory: Path) -> tuple[Measured, bytes]:
    """The network's figures, and its genesis file. Nothing of it runs afterwards."""
    measured = Measured()
    _tell("four nodes start")
    network = Network(topology(), directory)
    try:
        measured.ready_s = await network.start()
        async with market(network) as found:
            _tell("idle: single transactions")
            pause_s = _PAUSE_QUICK_S if options.quick else _PAUSE_S
            await measure_idle(network, found, measured, options.seconds, pause_s)
            _tell(f"maximum: {options.clients} flows at once")
            await measure_maximum(network, found, measured, options.clients, options.seconds)
            rate = measured.maximum.latency.rate if measured.maximum else math.nan
            if not rate > 0:
                raise FlowFailed(f"hardly anything was committed in {options.seconds:g} s")
            _tell(f"10 % of {rate:.0f} tx/s")
            measured.tenth = await measure_rate(found, rate * 0.1, options.seconds)
            _tell(f"80 % of {rate:.0f} tx/s")
            try:
                measured.most = await measure_rate(found, rate * 0.8, options.seconds)
            except* Overloaded as group:
                print(f"80 % of the maximum could not be kept up: {first_failure(group)}", file=sys.stderr)
        genesis = network.genesis_file(BUYER, LEDGER).read_bytes()
    finally:
        _tell("the nodes stop")
        await asyncio.shield(network.stop())
    return measured, genesis


async def _measure_kvstore(
    options: argparse.Namespace, directory: Path, genesis: bytes, sizes: tuple[int, ...]
) -> dict[str, Any]:
    _tell("kvstore: four engines, the same settings")
    async with kvstore.KvstoreNetwork(directory, json.loads(genesis)) as network:
        pids = {"engine": network.pids}
        before, began = processor_by_role(pids), time.monotonic()
        blocks = await kvstore.load(network, options.clients, sizes, options.seconds)
        seconds, after = time.monotonic() - began, processor_by_role(pids)
    return {
        "rate": committed_rate([block for block in blocks if block.transactions]),
        "transactions": sum(block.transactions for block in blocks),
        "cores": {role: (after[role] - before[role]) / seconds for role in pids},
    }


def _replay(options: argparse.Namespace, genesis: bytes, maximum: Maximum, directory: Path) -> dict[str, Any]:
    _tell("replay: the same blocks through one application")
    found = {}
    for name, check in (("checked", True), ("unseen", False)):
        (directory / name).mkdir(parents=True)
        found[name] = asdict(replay(genesis, maximum.blocks, maximum.first_height, directory / name, check=check))
    if options.profile is not None:
        (directory / "profile").mkdir()
        options.profile.write_text(profiled(genesis, maximum.blocks, maximum.first_height, directory / "profile"))
    return found


def _plain(value: Any) -> Any:
    """What JSON can say: no NaN."""
    if isinstance(value, Mapping):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_plain(one) for one in value]
    return None if isinstance(value, float) and math.isnan(value) else value


def _tell(what: str) -> None:
    print(f"  {what}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
