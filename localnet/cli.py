"""`syngraph localnet`: a network of several organizations on this machine, for trying things out."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections import deque
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any, Final, TypeVar

import click
from rich.console import Console
from rich.table import Table

from localnet.attached import AttachedNetwork, NodeRow, attach, read_state
from localnet.keeper import keep, start_keeper, stop_keeper
from localnet.material import MANIFEST, MaterialWrong, load_material, make_material
from localnet.network import Network, NetworkFailed, remove_directory
from localnet.topology import DEFAULT, Topology, TopologyInvalid, load_topology

F = TypeVar("F", bound=Callable[..., Any])

FAILED: Final = 1
CONFIGURATION: Final = 3
_MIB: Final = 1024 * 1024
_HASH_CHARACTERS: Final = 12
_FOLLOW_POLL_S: Final = 0.2
# Where there is no terminal.
_WIDTH: Final = 160


@click.group("localnet")
def command() -> None:
    """Run several organizations' nodes on this machine: real engines, own keys and certificates, own data.

    All organizations' keys are made here, which is right for trying things out and wrong for trading.

    \b
    Examples:
      syngraph localnet up                     six organizations, six ledgers
      syngraph localnet status                 nodes, ledgers, heights, app hashes
      syngraph query list acme-alpha agreement --config .localnet/acme/syngraph.toml
      syngraph localnet logs alpha --follow
      syngraph localnet down --purge           end it and delete everything
    """


def _common(function: F) -> F:
    """`--dir` and `--json`; expected errors become exit codes."""

    @click.option("--dir", "directory", type=click.Path(file_okay=False, path_type=Path), default=".localnet",
                  show_default=True, help="Where the network lives.")  # fmt: skip
    @click.option("--json", "as_json", is_flag=True, help="JSON for scripts instead of tables.")
    @wraps(function)
    def wrapped(*args: Any, directory: Path, as_json: bool, **kwargs: Any) -> Any:
        try:
            return function(*args, directory=directory.absolute(), as_json=as_json, **kwargs)
        except (TopologyInvalid, MaterialWrong) as error:
            _fail(error, CONFIGURATION, as_json=as_json)
        except NetworkFailed as error:
            _fail(error, FAILED, as_json=as_json)

    return wrapped  # type: ignore[return-value]  # click's decorators keep a callable


@command.command()
@click.argument("topology", required=False)
@click.option("--foreground", is_flag=True, help="Stay, and end everything at Ctrl-C.")
@_common
def up(topology: str | None, *, foreground: bool, directory: Path, as_json: bool) -> None:
    """Start a network and return when all of its nodes are ready.

    TOPOLOGY is a file or a built-in name: `default` (six organizations), `tiers` (ten, three tiers of trade), `chain5` (a chain
    of five tiers) or `pair` (one bilateral ledger). Who trades has an internal ledger besides, and its agents.
    Without it, the network that is in the directory goes on where it was, or the default one is made.

    \b
    Examples:
      syngraph localnet up
      syngraph localnet up pair --dir /tmp/pair
      syngraph localnet up my.toml --foreground
    """
    began = time.monotonic()
    chosen = _chosen(topology, directory)
    for warning in (chosen or load_material(directory).topology).warnings():
        click.echo(f"syngraph: warning: {warning}", err=True)
    if foreground:
        asyncio.run(keep(directory, chosen, lambda network: _show_up(network, began, as_json=as_json)))
        return
    if read_state(directory) is not None:
        raise MaterialWrong(f"the network in {directory} runs already: `syngraph localnet status` shows it.")
    _make(chosen, directory)
    _show_up(start_keeper(directory), began, as_json=as_json)


@command.command()
@_common
def status(*, directory: Path, as_json: bool) -> None:
    """Show every node and its ledgers, as each node tells its own administrator.

    \b
    Examples:
      syngraph localnet status
      syngraph localnet status --json
    """
    rows = asyncio.run(attach(directory).status())
    if as_json:
        click.echo(json.dumps([_plain(row) for row in rows], indent=2))
    else:
        _print_rows(rows)


@command.command()
@click.option("--purge", is_flag=True, help="Delete keys, ledgers and logs, too.")
@_common
def down(*, purge: bool, directory: Path, as_json: bool) -> None:
    """End the network: no process and no socket is left. `up` goes on with it, unless it is purged.

    \b
    Examples:
      syngraph localnet down
      syngraph localnet down --purge
    """
    ran = stop_keeper(directory)
    if purge:
        remove_directory(directory)
    text = f"{'ended' if ran else 'was not running'}{', purged' if purge else ''}: {directory}"
    click.echo(json.dumps({"ran": ran, "purged": purge, "directory": str(directory)}) if as_json else text)


@command.command()
@click.argument("organization", required=False)
@click.option("--lines", type=click.IntRange(1, 100_000), default=50, show_default=True, help="How many, at first.")
@click.option("--follow", "-f", is_flag=True, help="Go on showing what is added.")
@_common
def logs(organization: str | None, *, lines: int, follow: bool, directory: Path, as_json: bool) -> None:
    """Show what a node, its application and its engines logged; without ORGANIZATION, what the keeper of the nodes did.

    With --json each line is an object with its text.

    \b
    Examples:
      syngraph localnet logs alpha --lines 200
      syngraph localnet logs --follow
    """
    material = load_material(directory)
    if organization is not None and organization not in material.topology.organizations:
        raise MaterialWrong(f"there is no organization {organization}: {', '.join(material.topology.organizations)}.")
    path = material.files(organization).log if organization else directory / "localnet.log"
    if not path.exists():
        raise MaterialWrong(f"{path} is not there: the network has not been started yet.")
    with path.open(encoding="utf-8", errors="replace") as file:
        for line in deque(file, lines):
            _print_line(line, as_json=as_json)
        while follow:
            line = file.readline()
            if line:
                _print_line(line, as_json=as_json)
            else:
                time.sleep(_FOLLOW_POLL_S)


def _chosen(topology: str | None, directory: Path) -> Topology | None:
    """The topology that was named, or the default where there is no network yet; None goes on with what is there."""
    if topology is not None:
        return load_topology(topology)
    return None if (directory / MANIFEST).exists() else load_topology(DEFAULT)


def _make(topology: Topology | None, directory: Path) -> None:
    if topology is None:
        return
    if not (directory / MANIFEST).exists():
        make_material(topology, directory)
    elif load_material(directory).topology != topology:
        raise MaterialWrong(
            f"{directory} holds a network of another topology: `syngraph localnet down --purge` removes it, or choose "
            "another directory."
        )


def _show_up(network: AttachedNetwork, began: float, *, as_json: bool) -> None:
    """What came up, and how long it took: from the command, and from the first process to the last ready node."""
    total = time.monotonic() - began
    rows = asyncio.run(network.status()) if not isinstance(network, Network) else None
    seconds = network.state.ready_s or 0.0
    if as_json:
        plain = {
            "ready_s": round(seconds, 2),
            "total_s": round(total, 2),
            "directory": str(network.directory),
            "nodes": _addresses(network),
        }
        click.echo(json.dumps(plain, indent=2))
        return
    count = len(network.organizations)
    click.echo(
        f"ready in {total:.1f} s ({seconds:.1f} s from the first process on): {count} nodes, {network.directory}"
    )
    if rows is not None:
        _print_rows(rows)
    config = network.material.files(network.organizations[0]).config
    click.echo(f"next: syngraph status --config {config}")


def _addresses(network: AttachedNetwork) -> dict[str, dict[str, Any]]:
    return {
        name: {
            "organization_id": network.organization_id(name),
            "address": network.address(name),
            "config": str(network.material.files(name).config),
            "ledgers": {ledger: network.ledger_id(ledger) for ledger in network.topology.ledgers_of(name)},
        }
        for name in network.organizations
    }


def _print_rows(rows: tuple[NodeRow, ...]) -> None:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("node", "address", "processes", "MiB", "ledger", "is", "state", "height", "app hash", "peers"):
        table.add_column(column, no_wrap=True)
    for row in rows:
        first: tuple[object, ...] = (
            row.organization,
            row.address,
            len(row.processes.all()) if row.processes.node else "down",
            row.memory_bytes // _MIB,
        )
        for ledger in row.ledgers:
            found = ledger.status
            shown: tuple[object, ...] = ("-", "", "", "")
            if found is not None:
                shown = (found.state, found.height, found.app_hash.hex()[:_HASH_CHARACTERS], found.peers)
            table.add_row(*map(str, (*first, ledger.ledger, ledger.position, *shown)))
            first = ("", "", "", "")
    width = None if sys.stdout.isatty() else _WIDTH
    Console(width=width, highlight=False, markup=False).print(table)
    total = sum(row.memory_bytes for row in rows)
    count = sum(len(row.processes.all()) for row in rows)
    click.echo(f"{count} processes, {total // _MIB} MiB")


def _plain(row: NodeRow) -> dict[str, Any]:
    return {
        "organization": row.organization,
        "address": row.address,
        "ready": row.is_ready,
        "node_pid": row.processes.node,
        "application_pids": dict(row.processes.applications),
        "agent_pids": dict(row.processes.agents),
        "memory_bytes": row.memory_bytes,
        "ledgers": [
            {
                "name": each.ledger,
                "position": each.position,
                "engine_pid": each.engine_pid,
                "state": each.status.state if each.status else None,
                "height": each.status.height if each.status else None,
                "app_hash": each.status.app_hash.hex() if each.status else None,
                "peers": each.status.peers if each.status else None,
                "halt": each.status.halt if each.status else None,
            }
            for each in row.ledgers
        ],
    }


def _print_line(line: str, *, as_json: bool) -> None:
    text = line.rstrip("\n")
    click.echo(json.dumps({"line": text}, ensure_ascii=False) if as_json else text)


def _fail(error: Exception, code: int, *, as_json: bool) -> None:
    problems = list(error.problems) if isinstance(error, TopologyInvalid) else [str(error)]
    if as_json:
        click.echo(json.dumps({"error": {"problems": problems}}, ensure_ascii=False), err=True)
    else:
        for problem in problems:
            click.echo(f"syngraph: {problem}", err=True)
    sys.exit(code)
