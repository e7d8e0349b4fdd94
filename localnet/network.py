"""A network that this process keeps: starts the nodes, starts again what ends, and takes all of it down.

    async with Network(load_topology(), Path("net")) as network:
        async with network.client("acme", "b_bus") as client: ...

A node watches its application and engines; this process watches the nodes. The kernel kills a node when the process that
keeps it is gone, however it went, and the node's children with it: nothing outlives a kill -9 of the keeper.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import importlib.util
import os
import random
import shutil
import socket
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Final, Self, TextIO

import structlog

from ledgers.client import Client, ClientError
from localnet.attached import LOG, STATE, AttachedNetwork, is_ready, own_state, write_state
from localnet.grants import Governor, JointAct, act_jointly
from localnet.material import (
    HOST,
    LOCK,
    MANIFEST,
    Material,
    MaterialWrong,
    agent_roles,
    load_material,
    make_material,
    write_configurations,
    write_node_configuration,
)
from localnet.processes import AGENT, NODE_PID
from localnet.topology import Topology
from node.daemon import runtime_folder
from node.engine.pin import CACHE_VARIABLE
from node.process import KeptProcess
from smartcontracts.kernel import Position
from smartcontracts.membership import AdmitOrganization, RemoveOrganization

READY_TIMEOUT_S: Final = 120.0
# Below the range from which systems take ports for outgoing connections.
_PORTS: Final = range(10_000, 32_000)
_POLL_S: Final = 0.2
# A node gives its engines and then its application 10 s each before it kills them.
_STOP_GRACE_S: Final = 30.0
# A node that ended so often before it was ready cannot run at all.
_FAILED_STARTS_MAX: Final = 3
_LOG_TAIL_BYTES: Final = 3_000
# All other variables of this program would configure every node alike.
_KEPT_VARIABLES: Final = (CACHE_VARIABLE,)

# Becomes the node: writes to a log file, finds our packages, and is not configured by our environment.
_LAUNCHER: Final = """
import os, sys
log, path, kept = sys.argv[1:4]
target = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
os.dup2(target, 1)
os.dup2(target, 2)
for name in list(os.environ):
    if name.startswith("SYNGRAPH_") and name not in kept.split(","):
        del os.environ[name]
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (path, os.environ.get("PYTHONPATH"))))
os.execv(sys.argv[4], sys.argv[4:])
"""


class NetworkFailed(Exception):
    """The network did not come up; the text says which node, and what it said last."""


class Network(AttachedNetwork):
    """A network whose nodes are children of this process. Use as a context manager, or `start` and `stop`."""

    def __init__(self, topology: Topology | None, directory: Path, *, grant: bool = True) -> None:
        """The network of `topology` in `directory`, made new or continued; None continues what is there.

        `grant` False leaves the topology's observers' grants to `grant_access`. Raises MaterialWrong.
        """
        directory = directory.absolute()
        self._lock = _lock(directory)
        try:
            material = _material(topology, directory)
        except BaseException:
            self._lock.close()
            raise
        super().__init__(material, own_state({}, {}))
        self._grants = grant
        self._kept: dict[str, tuple[KeptProcess, asyncio.Task[None]]] = {}
        # By organization and role, where agents are processes of their own.
        self._agents: dict[tuple[str, str], tuple[KeptProcess, asyncio.Task[None]]] = {}
        self._clients: dict[str, Client] = {}
        self._log_target = (directory / LOG).open("a", encoding="utf-8")
        self._log = _log_to(self._log_target)

    @property
    def ready_s(self) -> float | None:
        """Seconds from the first process to the last node that was ready."""
        return self.state.ready_s

    async def __aenter__(self) -> Self:
        """Start; nothing is left behind if that fails."""
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Stop."""
        await self.stop()

    async def start(self, timeout_s: float = READY_TIMEOUT_S) -> float:
        """Start all nodes, carry out the grants, return the seconds until all were ready. Raises NetworkFailed."""
        began = time.monotonic()
        try:
            self._choose_ports()
            async with asyncio.timeout(timeout_s):
                await self._run_in_turn()
                await self.wait_ready()
        except TimeoutError as error:
            problem = await self._not_ready()
            await self.stop()
            raise NetworkFailed(f"not ready after {timeout_s:.0f} s: {problem}") from error
        except BaseException:
            await self.stop()
            raise
        seconds = time.monotonic() - began
        self._set_state(ready_s=seconds)
        self._log.info("network_ready", seconds=round(seconds, 1))
        return seconds

    async def stop(self, *, purge: bool = False) -> None:
        """End every process and remove every socket; with `purge` every file, too. May be called twice."""
        await asyncio.gather(*(self.stop_organization(name) for name in tuple(self._kept)))
        for client in self._clients.values():
            await client.close()
        self._clients.clear()
        (self.directory / STATE).unlink(missing_ok=True)
        if not self._log_target.closed:
            self._log.info("network_stopped")
            self._log_target.close()
        if purge:
            remove_directory(self.directory)
        self._lock.close()

    async def stop_organization(self, organization: str) -> None:
        """End the organization's node with all it runs, in order; nothing starts it again."""
        await self.stop_agents(organization)
        await self._end(self._kept, organization)
        remove_runtime_folder(self.material, organization)

    async def stop_agents(self, organization: str) -> None:
        """End the organization's agents, where they are processes of their own; nothing starts them again."""
        await asyncio.gather(*(self._end(self._agents, key) for key in tuple(self._agents) if key[0] == organization))

    async def start_agents(self, organization: str) -> None:
        """Start the organization's agents again, where they are processes of their own."""
        self._run_agents(organization)

    @staticmethod
    async def _end(kept: dict[Any, tuple[KeptProcess, asyncio.Task[None]]], key: Any) -> None:
        process, task = kept.pop(key, (None, None))
        if process is None or task is None:
            return
        await process.stop()
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    async def start_organization(self, organization: str, *, wait: bool = True) -> None:
        """Start a stopped organization's node again, and wait until it has caught up. Raises NetworkFailed."""
        self._run([organization])
        if wait:
            async with asyncio.timeout(READY_TIMEOUT_S):
                await self.wait_ready([organization])

    async def wait_ready(self, organizations: Iterable[str] = ()) -> None:
        """Return when these nodes (by default all that were started) are ready. Raises NetworkFailed if one can't be."""
        names = tuple(organizations) or tuple(self._kept)
        await asyncio.gather(*(self._wait_ready(name) for name in names))

    # Grants

    async def grant_access(self, ledger: str, organization: str) -> JointAct:
        """Admit a `granted` organization as an observer, by its governors' joint act, and let its node follow the ledger.

        With the act its node id is on the ledger, and the others let its engine in; the genesis is handed over, and the
        organization's node, if it runs, is started again with one ledger more.
        """
        if organization not in self.topology.ledgers[ledger].granted:
            raise MaterialWrong(f"ledgers.{ledger}.granted: {organization} is not among them.")
        record = self.material.organization_record(organization, ledger, Position.OBSERVER)
        command = AdmitOrganization(organization=record, members=self.material.member_records(organization))
        act = await self.act_jointly(ledger, "admit_organization", command)
        self.material.hand_over_genesis(organization, ledger)
        await self._reconfigure(organization)
        self._log.info("access_granted", ledger=ledger, organization=organization, proposal=act.proposal_id)
        return act

    async def revoke_access(self, ledger: str, organization: str) -> JointAct:
        """End a granted organization's access by its governors' joint act. What its node has, it keeps."""
        command = RemoveOrganization(organization_id=self.organization_id(organization))
        act = await self.act_jointly(ledger, "remove_organization", command)
        self._log.info("access_revoked", ledger=ledger, organization=organization, proposal=act.proposal_id)
        return act

    async def act_jointly(self, ledger: str, name: str, command: object) -> JointAct:
        """A joint act of all that govern the ledger: their administrators sign, each at its own node. Raises ClientError."""
        governors = [Governor(self._client(who), self.signer(who)) for who in self.topology.ledgers[ledger].governors]
        return await act_jointly(self.ledger_id(ledger), governors, name, command)

    async def _run_in_turn(self) -> None:
        """Everybody at once; but where grants are due, first who decides on them, and last who waits for them.

        So there is work for the processors while the newcomers' engines wait for each other.
        """
        pending = self._pending_grants()
        newcomers = {organization for _, organization in pending}
        deciding = {
            name
            for ledger, _ in pending
            for name in (*self.topology.ledgers[ledger].voters, *self.topology.ledgers[ledger].governors)
        }
        self._run(sorted(deciding - newcomers))
        for ledger, _ in pending:
            await asyncio.gather(*(self._wait_ledger(who, ledger) for who in self.topology.ledgers[ledger].governors))
        self._run(name for name in self.organizations if name not in newcomers)
        for ledger, organization in pending:
            await self.grant_access(ledger, organization)
        self._run(self.organizations)

    def _pending_grants(self) -> list[tuple[str, str]]:
        """(ledger, organization) of every grant that this start is to carry out."""
        if not self._grants:
            return []
        return [
            (ledger, organization)
            for ledger, entry in self.topology.ledgers.items()
            for organization in entry.granted
            if not self.material.has_genesis(organization, ledger)
        ]

    async def _reconfigure(self, organization: str) -> None:
        ports = {tuple(key.split("/")): port for key, port in self.state.p2p_ports.items()}
        write_node_configuration(self.material, organization, self.state.grpc_ports, ports)  # type: ignore[arg-type]
        if organization in self._kept:
            await self.stop_organization(organization)
            await self.start_organization(organization)

    # Running

    def _choose_ports(self) -> None:
        places = [(name, ledger) for name in self.organizations for ledger in self.topology.ledgers_of(name)]
        ports = iter(free_ports(len(self.organizations) + len(places)))
        grpc_ports = {name: next(ports) for name in self.organizations}
        p2p_ports = {place: next(ports) for place in places}
        write_configurations(self.material, grpc_ports, p2p_ports)
        self.state = own_state(grpc_ports, {"/".join(place): port for place, port in p2p_ports.items()})
        write_state(self.directory, self.state)

    def _set_state(self, **changes: Any) -> None:
        self.state = self.state.model_copy(update=changes)
        write_state(self.directory, self.state)

    def _run(self, organizations: Iterable[str]) -> None:
        for name in organizations:
            if name in self._kept:
                continue
            files = self.material.files(name)
            self._kept[name] = self._keep(f"node-{name}", name, ("run",), files.folder / NODE_PID)
            self._run_agents(name)

    def _run_agents(self, organization: str) -> None:
        if self.topology.agents_of(organization) != "processes":
            return
        for role in agent_roles(self.topology, organization):
            if (organization, role) not in self._agents:
                pid_file = self.material.files(organization).folder / f"{AGENT}{role}.pid"
                kept = self._keep(f"agent-{organization}-{role}", organization, ("agent", role), pid_file)
                self._agents[organization, role] = kept

    def _keep(
        self, name: str, organization: str, words: tuple[str, ...], pid_file: Path
    ) -> tuple[KeptProcess, asyncio.Task[None]]:
        files = self.material.files(organization)
        kept = KeptProcess(
            name,
            _command(files.log, files.config, *words),
            pid_file,
            on_line=lambda line: self._log.error("node_said", message=line),
            log=self._log,
            stop_grace_s=_STOP_GRACE_S,
        )
        return kept, asyncio.create_task(kept.run(), name=name)

    async def _wait_ready(self, organization: str) -> None:
        while not await self._is_ready(organization):
            self._check_starting(organization)
            await asyncio.sleep(_POLL_S)

    async def _is_ready(self, organization: str) -> bool:
        row = await self.node_row(organization, self._client(organization))
        if row.processes.node is None:
            return False
        waiting = [each for each in row.ledgers if not is_ready(each.status)]
        return all([await self._is_removed(organization, each.ledger) for each in waiting])

    async def _is_removed(self, organization: str, ledger: str) -> bool:
        """Whether the organization's grant on the ledger has ended, as a governor's node says."""
        entry = self.topology.ledgers[ledger]
        if organization not in entry.granted:
            return False
        try:
            founder = await self._client(entry.governors[0]).ledger(self.ledger_id(ledger))
            document = await founder.get("organization", self.organization_id(organization))
        except ClientError:
            return False
        return bool(document.body.status == "removed")

    async def _wait_ledger(self, organization: str, ledger: str) -> None:
        wanted = self.ledger_id(ledger)
        while True:
            # Asked like this, a node that does not know its members yet logs no refusal.
            with contextlib.suppress(ClientError):
                status = await self._client(organization).node_status()
                if any(found.ledger_id == wanted and is_ready(found) for found in status.ledgers):
                    return
            self._check_starting(organization)
            await asyncio.sleep(_POLL_S)

    def _check_starting(self, organization: str) -> None:
        kept, task = self._kept[organization]
        if task.done() or kept.restarts >= _FAILED_STARTS_MAX:
            log = self.material.files(organization).log
            raise NetworkFailed(f"the node of {organization} ends again and again. {log} says:\n{tail(log)}")

    async def _not_ready(self) -> str:
        problems = []
        for row in await self.status():
            names = [each.ledger for each in row.ledgers if not is_ready(each.status)]
            if names or row.processes.node is None:
                problems.append(f"{row.organization} ({', '.join(names) or 'no process'})")
        return f"{', '.join(problems)}; their logs are {self.directory}/*/node.log"

    def _client(self, organization: str) -> Client:
        """One client for each organization's administrator, kept open."""
        if organization not in self._clients:
            self._clients[organization] = self.client(organization, others=())
        return self._clients[organization]


def free_ports(count: int) -> list[int]:
    """Ports of the loopback interface that nobody listens on now, all different."""
    found: list[int] = []
    probes: list[socket.socket] = []
    try:
        for port in random.SystemRandom().sample(_PORTS, len(_PORTS)):
            if len(found) == count:
                break
            probe = socket.socket()
            probes.append(probe)
            with contextlib.suppress(OSError):
                probe.bind((HOST, port))
                found.append(port)
    finally:
        for probe in probes:
            probe.close()
    if len(found) < count:
        raise NetworkFailed(f"only {len(found)} of {count} ports are free on {HOST}.")
    return found


def remove_runtime_folder(material: Material, organization: str) -> None:
    """Sockets and pid files of a node that has ended."""
    data = material.files(organization).data
    if data.exists():
        shutil.rmtree(runtime_folder(data), ignore_errors=True)


def remove_directory(directory: Path) -> None:
    """Everything of a network that does not run. Raises MaterialWrong where there is none."""
    material = load_material(directory)
    for name in material.topology.organizations:
        remove_runtime_folder(material, name)
    shutil.rmtree(directory)


def tail(path: Path, size: int = _LOG_TAIL_BYTES) -> str:
    """The end of a text file, from the beginning of a line."""
    try:
        with path.open("rb") as file:
            end = file.seek(0, os.SEEK_END)
            file.seek(max(0, end - size))
            data = file.read()
    except OSError:
        return ""
    if end > size:
        data = data.partition(b"\n")[2]
    return data.decode("utf-8", "replace")


def search_path() -> str:
    """Where this process found our packages: the nodes are to run the same code, installed or not."""
    roots = []
    for package in ("node", "syngraph"):
        spec = importlib.util.find_spec(package)
        for folder in (spec.submodule_search_locations or ()) if spec else ():
            root = str(Path(folder).parent)
            if root not in roots:
                roots.append(root)
    return os.pathsep.join(roots)


def _material(topology: Topology | None, directory: Path) -> Material:
    if not (directory / MANIFEST).exists():
        if topology is None:
            raise MaterialWrong(f"there is no network in {directory}: say which topology to make one from.")
        return make_material(topology, directory)
    material = load_material(directory)
    if topology is not None and topology != material.topology:
        raise MaterialWrong(
            f"{directory} holds a network of another topology: `syngraph localnet down --purge` removes it, or choose "
            "another directory."
        )
    return material


def _lock(directory: Path) -> IO[str]:
    """Raises MaterialWrong if another process has it."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = (directory / LOCK).open("w", encoding="utf-8")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        lock.close()
        raise MaterialWrong(f"the network in {directory} runs already: `syngraph localnet status` shows it.") from error
    return lock


def _log_to(target: TextIO) -> Any:
    """A log of its own, whatever the program that uses this does with its log."""
    return structlog.wrap_logger(
        structlog.PrintLogger(target),
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.KeyValueRenderer(key_order=["timestamp", "level", "event"]),
        ],
        wrapper_class=structlog.BoundLogger,
    )


def _command(log: Path, config: Path, *words: str) -> tuple[str, ...]:
    program = (sys.executable, "-m", "node", *words, "--config", str(config))
    launcher = (sys.executable, "-I", "-S", "-c", _LAUNCHER, str(log), search_path(), ",".join(_KEPT_VARIABLES))
    return (*launcher, *program)
