"""`syngraph node run`: puts a node together, runs it, and takes it apart again."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import signal
import tempfile
from collections.abc import Iterator
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

import structlog

from ledgers.client.proofs import ProofFileInvalid, read_genesis
from node.api.access import Access, Changes
from node.api.server import ApiServer, ServerSettings
from node.api.trust import Trust
from node.application_client import ApplicationClient
from node.configuration import (
    AGENT_ROLES,
    ConfigurationWrong,
    NodeConfiguration,
    agents_of,
    check_files,
    engine_home,
    read_secret,
)
from node.engine import EngineMissing, binary
from node.engine_home import EngineSettings, write_engine_home
from node.engine_keys import EngineKeysWrong
from node.ledger_link import LedgerLink
from node.rpc import EngineRpc
from node.standing import Membership
from node.supervisor import ApplicationPlan, EnginePlan, Supervisor, write_application_config

# A unix socket's path has at most 107 bytes, and a socket's name here about 45.
RUN_DIR_CHARACTERS_MAX: Final = 60
_READY_POLL_S: Final = 0.1
_HEALTH_POLL_S: Final = 15.0


class Node:
    """One organization's node. `run` until SIGTERM or SIGINT."""

    def __init__(self, configuration: NodeConfiguration) -> None:
        """Checks what can be checked before anything starts. Raises ConfigurationWrong."""
        problems = check_files(configuration)
        if problems:
            raise ConfigurationWrong(problems)
        self._configuration = configuration
        self._log = structlog.get_logger()
        self._data_dir = configuration.node.data_dir
        self._data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._run_dir = runtime_folder(self._data_dir)
        self._links: dict[str, LedgerLink] = {}
        self._changes = Changes()
        self._supervisor: Supervisor | None = None
        try:
            self._binary = binary()
        except EngineMissing as error:
            raise ConfigurationWrong([str(error)]) from error

    async def run(self) -> None:
        """Run the node. Raises ConfigurationWrong if it cannot start."""
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        with _only_one(self._data_dir):
            await self._run_until(stop)

    async def _run_until(self, stop: asyncio.Event) -> None:
        applications, engines = self._plan()
        supervisor = self._supervisor = Supervisor(applications, engines, self._binary, self._run_dir)
        server = self._server()
        for link in self._links.values():
            link.start()
        await server.start()
        self._log.info("node_started", grpc_port=server.port, ledgers=len(self._links), run_dir=str(self._run_dir))
        running = asyncio.create_task(supervisor.run())
        stopped = asyncio.create_task(stop.wait())
        ready = asyncio.create_task(self._announce(server))
        agents = asyncio.create_task(self._run_agents(server))
        try:
            await asyncio.wait((running, stopped), return_when=asyncio.FIRST_COMPLETED)
            if running.done():
                running.result()
        finally:
            self._log.info("node_stopping")
            ready.cancel()
            stopped.cancel()
            agents.cancel()
            await asyncio.gather(agents, return_exceptions=True)
            await server.set_ready(ready=False)
            await server.stop()
            await supervisor.stop()
            running.cancel()
            await asyncio.gather(running, ready, stopped, return_exceptions=True)
            for link in self._links.values():
                await link.close()
            for plan in applications:
                await plan.client.close()
            self._log.info("node_stopped")

    async def _run_agents(self, server: ApiServer) -> None:
        """Those that are configured, as clients of this node's own API; what becomes of them is not the node's end."""
        agents = agents_of(self._configuration)
        if agents.in_node and any(getattr(agents, role) is not None for role in AGENT_ROLES):
            from node.agents.process import run_beside  # a node without agents doesn't pay for them

            # Who names another node in `agents.node` is taken at its word.
            await run_beside(agents, None if self._configuration.agents.node else server.inside)

    # Putting together

    def _plan(self) -> tuple[tuple[ApplicationPlan, ...], tuple[EnginePlan, ...]]:
        """Write everybody's configuration, and make the links."""
        names = list(self._configuration.ledgers)
        count = min(self._configuration.node.application_processes, max(1, len(names)))
        applications, engines = [], []
        for place in range(count):
            mine = names[place::count]
            client = ApplicationClient(
                self._application_socket(place), self._configuration.node.request_timeout_ms / 1_000
            )
            config = self._run_dir / f"application-{place}.json"
            self._write_application_config(config, mine, place)
            ids = tuple(self._configuration.ledgers[name].ledger_id for name in mine)
            applications.append(ApplicationPlan(f"application-{place}", config, client, ids))
            engines += [self._engine(name, client) for name in mine]
        return tuple(applications), tuple(engines)

    def _engine(self, name: str, client: ApplicationClient) -> EnginePlan:
        ledger = self._configuration.ledgers[name]
        home = engine_home(self._configuration, name)
        rpc_socket = self._run_dir / f"{ledger.ledger_id}.rpc"
        settings = EngineSettings(
            home=home,
            genesis=self._genesis(name),
            p2p_address=ledger.p2p_address,
            peers=ledger.peers,
            pace=ledger.pace,
            application_socket=self._abci_socket(name),
            rpc_socket=rpc_socket,
        )
        try:
            keys = write_engine_home(settings)
        except EngineKeysWrong as error:
            raise ConfigurationWrong([f"ledgers.{name}: {error}"]) from error
        link = LedgerLink(
            ledger.ledger_id,
            name,
            client,
            EngineRpc(rpc_socket),
            validator=ledger.validator,
            membership_changed=self._membership_changed,
        )
        self._links[ledger.ledger_id] = link
        return EnginePlan(link, keys.node_id, home, rpc_socket)

    def _genesis(self, name: str) -> bytes:
        """The genesis file's bytes, which must be those of the configured ledger."""
        ledger = self._configuration.ledgers[name]
        try:
            data = ledger.genesis.read_bytes()
            found, _ = read_genesis(data)
        except OSError as error:
            raise ConfigurationWrong([f"ledgers.{name}.genesis: {ledger.genesis}: {error.strerror}."]) from error
        except ProofFileInvalid as error:
            raise ConfigurationWrong([f"ledgers.{name}.genesis: {error}"]) from error
        if found != ledger.ledger_id:
            raise ConfigurationWrong(
                [f"ledgers.{name}.genesis: this is the genesis of {found}, not of {ledger.ledger_id}."]
            )
        return data

    def _write_application_config(self, path: Path, names: list[str], place: int) -> None:
        ledgers = []
        for name in names:
            ledger = self._configuration.ledgers[name]
            ledgers.append(
                {
                    "ledger_id": ledger.ledger_id,
                    "name": name,
                    "data_directory": str(self._data_dir / "ledgers" / ledger.ledger_id),
                    "abci_socket": str(self._abci_socket(name)),
                    "private_socket": str(self._application_socket(place)),
                    "peers": [peer.partition("@")[0] for peer in ledger.peers],
                }
            )
            (self._data_dir / "ledgers" / ledger.ledger_id).mkdir(mode=0o700, parents=True, exist_ok=True)
        log = self._configuration.log
        write_application_config(path, {"log_format": log.format, "log_level": log.level, "ledgers": ledgers})

    def _abci_socket(self, name: str) -> Path:
        return self._run_dir / f"{self._configuration.ledgers[name].ledger_id}.abci"

    def _application_socket(self, place: int) -> Path:
        return self._run_dir / f"application-{place}.sock"

    def _server(self) -> ApiServer:
        node, tls = self._configuration.node, self._configuration.tls
        trust = Trust(
            read_secret(tls.key, "tls.key"), tls.certificate.read_bytes(), tls.ca_certificate.read_bytes(), self._links
        )
        settings = ServerSettings(
            address=node.grpc_address,
            organization_id=node.organization,
            version=software_version(),
            commit_timeout_s=node.commit_timeout_ms / 1_000,
            streams_max=node.streams_max,
        )
        try:
            return ApiServer(settings, Access(self._links, self._changes), trust.credentials())
        except RuntimeError as error:
            raise ConfigurationWrong([f"node.grpc_address: cannot listen on {node.grpc_address}."]) from error

    def _membership_changed(self, link: LedgerLink, before: Membership, after: Membership) -> None:
        self._changes.tell()
        if self._supervisor is not None:
            self._supervisor.membership_changed(link, before, after)

    async def _announce(self, server: ApiServer) -> None:
        """Health says SERVING while every ledger that has not halted runs."""
        ready = False
        while True:
            states = [(await link.status()).state for link in self._links.values()]
            if ready == ("starting" in states):
                ready = not ready
                await server.set_ready(ready=ready)
                event = "node_ready" if ready else "node_not_ready"
                self._log.info(event, grpc_port=server.port, halted=states.count("halted"))
            await asyncio.sleep(_HEALTH_POLL_S if ready else _READY_POLL_S)


def runtime_folder(data_dir: Path) -> Path:
    """The folder for sockets and pid files, for this user alone; elsewhere if the data folder's path is too long."""
    folder = data_dir / "run"
    if len(str(folder)) > RUN_DIR_CHARACTERS_MAX:
        name = sha256(str(data_dir).encode("utf-8")).hexdigest()[:16]
        folder = Path(tempfile.gettempdir()) / f"syngraph-{os.geteuid()}-{name}"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    status = folder.lstat()
    if status.st_uid != os.geteuid() or status.st_mode & 0o077:
        raise ConfigurationWrong([f"{folder}: must belong to you and be closed to others (mode 0700)."])
    return folder


def software_version() -> str:
    """Of this package; "checkout" where it is not installed."""
    try:
        return version("syngraph")
    except PackageNotFoundError:
        return "checkout"


@contextlib.contextmanager
def _only_one(data_dir: Path) -> Iterator[None]:
    """Hold the data folder's lock. Raises ConfigurationWrong if another node has it."""
    with (data_dir / "node.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ConfigurationWrong([f"node.data_dir: another node runs on {data_dir}."]) from error
        yield
