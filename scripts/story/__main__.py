"""`python -m scripts.story`: what scripts/demo runs once everything is installed."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import shlex
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

from ledgers.client import ClientError
from localnet.attached import AttachedNetwork, attach
from localnet.keeper import stop_keeper
from localnet.material import MaterialWrong, make_material
from localnet.network import Network, NetworkFailed
from localnet.topology import Topology, load_topology
from scripts.story.acts import perform_all
from scripts.story.arguments import arguments
from scripts.story.capture import INSIDE, bring_loopback_up, is_permitted, namespace_command
from scripts.story.files import FileUnfit, Requests, asked_items, read_requests
from scripts.story.market import Market
from scripts.story.network import LocalNetwork
from scripts.story.preflight import check
from scripts.story.providers import inventories
from scripts.story.rehearsal import pairs_of, provided, rehearse
from scripts.story.report import report, write_report
from scripts.story.scenarios.base import NOT_LOOKED_AT, TOPOLOGY
from scripts.story.scene import ACME_ALPHA, ALPHA_BRAVO, BRAVO, Stage
from scripts.story.telling import StepFailed, Teller, first_failure
from scripts.story.terms import WHOLESALE
from smartcontracts.kernel import Rejected

# The scenario that looks at what crosses the loopback interface.
CAPTURED: Final = "confidentiality"
UNFIT: Final = 2
FAILED: Final = 1
INTERRUPTED: Final = 130
_HELD: Final = (StepFailed, ClientError, Rejected, NetworkFailed, MaterialWrong, TimeoutError, OSError)


def main() -> int:
    """Exit code: 0 all held, 1 a step did not, 2 a file can't be used, 130 interrupted."""
    options = arguments()
    _enter_namespace(options.scenario)
    if options.scenario:
        return _guarded(_until_signal(lambda: _rehearse(options)))
    try:
        requests = read_requests(options.quote, options.order)
        check(requests)
    except FileUnfit as unfit:
        print(f"scripts/demo: {unfit}", file=sys.stderr)
        return UNFIT
    return _guarded(_until_signal(lambda: _run(options, requests)))


def _guarded(work: Coroutine[Any, Any, int]) -> int:
    try:
        return asyncio.run(work)
    except (KeyboardInterrupt, asyncio.CancelledError):
        print("scripts/demo: interrupted; every process was ended", file=sys.stderr)
        return INTERRUPTED


async def _until_signal(work: Callable[[], Coroutine[Any, Any, int]]) -> int:
    """Run it; a signal cancels it, and it takes its network down with it."""
    task = asyncio.create_task(work())
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    return await task


def _enter_namespace(names: list[str]) -> None:
    """Who captures the loopback interface and may not here goes on in a network namespace of its own, where it may."""
    if os.environ.pop(INSIDE, ""):
        bring_loopback_up()
    elif CAPTURED in names and not is_permitted():
        command = namespace_command()
        if command:
            os.environ[INSIDE] = "1"
            os.execv(command[0], [*command, sys.executable, "-m", "scripts.story", *sys.argv[1:]])  # noqa: S606  (no shell is wanted)


async def _rehearse(options: argparse.Namespace) -> int:
    """Scenarios, and a word on each at the end."""
    directory = (options.directory or Path(tempfile.mkdtemp(prefix="syngraph-demo-"))).absolute()
    teller = Teller()
    teller.begin()
    failures: dict[str, str] = {}
    try:
        failures = await rehearse(options.scenario, directory, teller, lambda error: _explained(error, teller))
    except asyncio.CancelledError:
        _remove(options, directory)
        raise
    except _HELD as error:
        failures["network"] = _sentence(error, teller)
    except BaseExceptionGroup as group:
        failures["network"] = _explained(group, teller)
    if options.report is not None:
        write_report(options.report, report(teller, {"requests": {}, "scenarios": teller.sections.get("scenarios", [])}, "\n".join(failures.values())))
        print(f"\nreport: {options.report}")
    held = len(options.scenario) - len(failures)
    print(f"\nscripts/demo: {held} of {len(options.scenario)} scenarios held, in {teller.elapsed_ms / 1000:.0f} s")
    for entry in teller.sections.get("scenarios", []):
        for what in entry["not_looked_at"]:
            print(f"{NOT_LOOKED_AT} {entry['name']}: {what}", file=sys.stderr)
    for name, failure in failures.items():
        print(f"FAILED {name}: {failure}\nlogs: {directory}/*/*/node.log", file=sys.stderr)
    if not failures:
        _remove(options, directory)
    return FAILED if failures else 0


def _explained(error: BaseException, teller: Teller) -> str:
    """A sentence about a step that did not hold; of what nobody foresaw, where it came from, too."""
    if isinstance(error, BaseExceptionGroup):
        foreseen = error.split(_HELD)[1] is None
        error = first_failure(error)
    else:
        foreseen = isinstance(error, _HELD)
    return _sentence(error, teller) + ("" if foreseen else "\n" + "".join(traceback.format_exception(error)))


async def _run(options: argparse.Namespace, requests: Requests) -> int:
    directory = (options.directory or Path(tempfile.mkdtemp(prefix="syngraph-demo-"))).absolute()
    teller, names, failure = Teller(), _names(requests), ""
    try:
        async with _network(directory, requests, teller, keep=options.keep) as localnet:
            names |= _ids(localnet)
            await _perform(localnet, requests, teller)
    except asyncio.CancelledError:
        _remove(options, directory)
        raise
    except _HELD as error:
        failure = _sentence(error, teller)
    except BaseExceptionGroup as group:
        failure = _explained(group, teller)
    if options.report is not None:
        write_report(options.report, report(teller, names, failure))
        print(f"\nreport: {options.report}")
    _close(options, directory, teller, failure)
    return FAILED if failure else 0


@asynccontextmanager
async def _network(directory: Path, requests: Requests, teller: Teller, *, keep: bool) -> AsyncIterator[AttachedNetwork]:
    """Ten organizations' nodes. Those to be kept are kept by a process of their own."""
    teller.begin()
    async with teller.scene("Ten organizations start their nodes"):
        began = time.monotonic()
        topology = provided(load_topology(TOPOLOGY), inventories(asked_items(requests)), apart=(BRAVO,))
        localnet = await _keep_up(topology, directory) if keep else Network(topology, directory)
        if isinstance(localnet, Network):
            await localnet.start()
        ms = int((time.monotonic() - began) * 1000)
        teller.tell(f"{len(localnet.organizations)} nodes, {len(topology.ledgers)} ledgers, in {directory}", ms=ms)
    try:
        yield localnet
    except asyncio.CancelledError:
        # Who interrupts wants it to end, also where it was to be kept.
        await asyncio.shield(_end(localnet))
        raise
    finally:
        if isinstance(localnet, Network):
            await asyncio.shield(localnet.stop())


async def _end(localnet: AttachedNetwork) -> None:
    if not isinstance(localnet, Network):
        await asyncio.to_thread(stop_keeper, localnet.directory)


async def _keep_up(topology: Topology, directory: Path) -> AttachedNetwork:
    """`syngraph localnet up`, which leaves a process that keeps the network. Raises NetworkFailed."""
    make_material(topology, directory)
    command = (_syngraph(), "localnet", "up", "--dir", str(directory))
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    try:
        said, _ = await process.communicate()
    except asyncio.CancelledError:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGINT)
        await asyncio.shield(process.wait())
        raise
    if process.returncode:
        raise NetworkFailed(f"{shlex.join(command)} ended with {process.returncode}: {said.decode(errors='replace')}")
    return attach(directory)


async def _perform(localnet: AttachedNetwork, requests: Requests, teller: Teller) -> None:
    network = LocalNetwork(localnet)
    names = {ACME_ALPHA: requests.agreement, ALPHA_BRAVO: WHOLESALE}
    try:
        await perform_all(Market(Stage(network, teller), pairs_of(localnet.topology), names=names), network, requests)
    finally:
        await network.close()


def _close(options: argparse.Namespace, directory: Path, teller: Teller, failure: str) -> None:
    """The last lines."""
    if failure:
        print(f"\nscripts/demo: FAILED after {teller.elapsed_ms / 1000:.0f} s\n{failure}", file=sys.stderr)
        print(f"logs: {directory}/*/node.log and {directory}/localnet.log", file=sys.stderr)
    else:
        print(f"\nscripts/demo: every step held, {len(teller.lines)} of them in {teller.elapsed_ms / 1000:.0f} s")
    if options.keep:
        print(f"the network runs on, in {directory}")
        print(f"  look at it: {_syngraph()} localnet status --dir {directory}")
        print(f"  as acme:    {_syngraph()} query list acme-alpha invoice --config {directory / 'acme' / 'syngraph.toml'}")
        print(f"  stop it:    {_syngraph()} localnet down --purge --dir {directory}")
    elif not failure:
        _remove(options, directory)


def _remove(options: argparse.Namespace, directory: Path) -> None:
    """Delete the network's files, unless somebody wants to look at them."""
    if options.directory is None:
        shutil.rmtree(directory, ignore_errors=True)


def _sentence(error: BaseException, teller: Teller) -> str:
    """Which step, what was expected, what to do next."""
    last = f"\nlast step that held: {teller.lines[-1].text}" if teller.lines else ""
    if isinstance(error, StepFailed):
        advice = f"\nnext: {error.advice}" if error.advice else ""
        return f'in "{teller.act}": expected {error.expected}, found {error.found}{advice}{last}'
    return f'in "{teller.act}": {type(error).__name__}: {error}{last}'


def _names(requests: Requests) -> dict[str, Any]:
    return {"requests": {"quote": requests.quote_from, "order": requests.order_from}}


def _ids(localnet: AttachedNetwork) -> dict[str, Any]:
    return {
        "organizations": {name: localnet.organization_id(name) for name in localnet.organizations},
        "ledgers": {name: localnet.ledger_id(name) for name in localnet.topology.ledgers},
    }


def _syngraph() -> str:
    return str(Path(sys.executable).with_name("syngraph"))


if __name__ == "__main__":
    sys.exit(main())
