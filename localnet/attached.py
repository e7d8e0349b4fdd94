"""A network on this machine, seen from any process: whom to call, what to sign with, which processes there are."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from ledgers.client import Client, ClientError, Connection, LedgerStatus, SigningMember
from localnet.material import HOST, Material, MaterialWrong, load_material, partners
from localnet.processes import Processes, find_processes, memory_bytes, send
from node.process import start_time

STATE: Final = "state.json"
LOG: Final = "localnet.log"
What = Literal["node", "application", "engine", "agent", "all"]


class State(BaseModel):
    """A network that runs, or is about to. `pid` and `began` name the process that keeps it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    pid: int
    began: int
    grpc_ports: dict[str, int]
    # "organization/ledger"
    p2p_ports: dict[str, int]
    # Seconds from the first process to the last node that was ready; None until then.
    ready_s: float | None = None
    problem: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerRow:
    """One ledger of one organization. `status` is None where the node does not show it."""

    organization: str
    ledger: str
    position: str
    status: LedgerStatus | None
    engine_pid: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeRow:
    """One organization's node. Memory in bytes, of the node, its application and its engines together."""

    organization: str
    address: str
    processes: Processes
    memory_bytes: int
    ledgers: tuple[LedgerRow, ...]

    @property
    def is_ready(self) -> bool:
        """Whether every ledger runs, has a block, and has caught up."""
        return all(is_ready(row.status) for row in self.ledgers)


class AttachedNetwork:
    """A network by its directory. Everything here works whoever started it."""

    def __init__(self, material: Material, state: State) -> None:
        """See `attach`."""
        self.material = material
        self.topology = material.topology
        self.state = state

    @property
    def directory(self) -> Path:
        """Where everything lies."""
        return self.material.directory

    @property
    def organizations(self) -> tuple[str, ...]:
        """Names, in the topology's order."""
        return tuple(self.topology.organizations)

    # Names

    def address(self, organization: str) -> str:
        """Where the organization's node serves gRPC."""
        return f"{HOST}:{self.state.grpc_ports[organization]}"

    def organization_id(self, organization: str) -> str:
        """Its id on every ledger."""
        return self.material.manifest.organization_ids[organization]

    def member_id(self, organization: str, member: str) -> str:
        """The id of one of its members."""
        return self.material.manifest.member_ids[organization][member]

    def ledger_id(self, ledger: str) -> str:
        """The ledger's id."""
        return self.material.manifest.ledger_ids[ledger]

    def genesis_file(self, organization: str, ledger: str) -> Path:
        """The organization's copy of the ledger's genesis."""
        return self.material.files(organization).genesis(ledger)

    def data_directories(self, organization: str) -> tuple[Path, ...]:
        """Where node, application and engines of the organization keep what they have."""
        files = self.material.files(organization)
        return (files.data, files.folder / "engines")

    # Acting as somebody

    def signer(self, organization: str, member: str = "") -> SigningMember:
        """A member with its signing key; an administrator by default."""
        return self.material.signer(organization, member or self.material.administrator(organization))

    def client(
        self, organization: str, member: str = "", *, node_of: str = "", others: Sequence[str] | None = None
    ) -> Client:
        """A client that calls as this member (an administrator by default), at its own node unless `node_of` says another.

        `others` are organizations whose nodes get a transaction that finds no block; by default those that validate
        all of this organization's ledgers. To be used inside a running event loop.
        """
        name = member or self.material.administrator(organization)
        who = partners(self.topology, organization) if others is None else others
        connections = [Connection(self.address(o), self.material.credentials(organization, name, o)) for o in who]
        target = node_of or organization
        return Client(self.address(target), self.material.credentials(organization, name, target), others=connections)

    # Processes

    def processes(self, organization: str) -> Processes:
        """What runs for the organization now."""
        files = self.material.files(organization)
        return find_processes(files.folder, files.data)

    def pids(self, organization: str, what: What = "all", which: str = "") -> tuple[int, ...]:
        """The organization's processes of this sort; `which` is the ledger of an engine or the role of an agent, else all."""
        found = self.processes(organization)
        ledger_id = self.ledger_id(which) if which and what == "engine" else ""
        chosen = {
            "node": () if found.node is None else (found.node,),
            "application": tuple(found.applications.values()),
            "engine": tuple(pid for name, pid in found.engines.items() if not which or name == ledger_id),
            "agent": tuple(pid for role, pid in found.agents.items() if not which or role == which),
            "all": found.all(),
        }
        return chosen[what]

    def kill(self, organization: str, what: What = "all", which: str = "") -> tuple[int, ...]:
        """kill -9, and the pids that were hit. Their keepers start them again."""
        pids = self.pids(organization, what, which)
        send(pids, signal.SIGKILL)
        return pids

    def freeze(self, organization: str, what: What = "all", which: str = "") -> tuple[int, ...]:
        """SIGSTOP: alive, and answering nothing."""
        pids = self.pids(organization, what, which)
        send(pids, signal.SIGSTOP)
        return pids

    def thaw(self, organization: str, what: What = "all", which: str = "") -> tuple[int, ...]:
        """SIGCONT."""
        pids = self.pids(organization, what, which)
        send(pids, signal.SIGCONT)
        return pids

    # Looking

    async def app_hash(self, organization: str, ledger: str, height: int = 0) -> tuple[int, bytes]:
        """(height, app hash) as the organization's own node says; height 0 is the latest. Raises ClientError."""
        async with self.client(organization, others=()) as client:
            return await (await client.ledger(self.ledger_id(ledger))).app_hash(height)

    async def ledger_status(self, organization: str, ledger: str) -> LedgerStatus:
        """As the organization's own node says. Raises ClientError."""
        async with self.client(organization, others=()) as client:
            return await (await client.ledger(self.ledger_id(ledger))).status()

    async def status(self) -> tuple[NodeRow, ...]:
        """Every node, asked now."""
        return tuple(await asyncio.gather(*(self.node_row(name) for name in self.organizations)))

    async def node_row(self, organization: str, client: Client | None = None) -> NodeRow:
        """One node, asked now through `client`, or through one of its own."""
        asked = client or self.client(organization, others=())
        try:
            shown = {status.ledger_id: status for status in (await asked.node_status()).ledgers}
        except ClientError:
            shown = {}
        finally:
            if client is None:
                await asked.close()
        processes = self.processes(organization)
        rows = tuple(
            LedgerRow(
                organization=organization,
                ledger=ledger,
                position=self._position(organization, ledger),
                status=shown.get(self.ledger_id(ledger)),
                engine_pid=processes.engines.get(self.ledger_id(ledger)),
            )
            for ledger in self.topology.ledgers_of(organization)
            if self.material.has_genesis(organization, ledger)
        )
        return NodeRow(
            organization=organization,
            address=self.address(organization),
            processes=processes,
            memory_bytes=sum(map(memory_bytes, processes.all())),
            ledgers=rows,
        )

    def _position(self, organization: str, ledger: str) -> str:
        entry = self.topology.ledgers[ledger]
        position = entry.founders.get(organization, "observer")
        return f"{position}, validates" if organization in entry.voters else str(position)


def is_ready(status: LedgerStatus | None) -> bool:
    """Whether the ledger runs on that node, has a block, and has caught up."""
    return status is not None and status.state == "running" and status.height >= 1 and not status.catching_up


def attach(directory: Path) -> AttachedNetwork:
    """The network that runs in `directory`. Raises MaterialWrong if none does."""
    material = load_material(directory)
    state = read_state(directory)
    if state is None:
        raise MaterialWrong(f"the network in {directory} does not run: `syngraph localnet up` starts it.")
    return AttachedNetwork(material, state)


def read_state(directory: Path) -> State | None:
    """The state of the network in `directory`, if the process that keeps it is there."""
    try:
        state = State.model_validate_json((directory / STATE).read_bytes())
    except (OSError, ValidationError):
        return None
    return state if start_time(state.pid) == state.began else None


def write_state(directory: Path, state: State) -> None:
    """Replace the state at once, so that nobody reads half of it."""
    staged = directory / f"{STATE}.new"
    staged.write_text(state.model_dump_json(indent=1) + "\n", encoding="utf-8")
    staged.replace(directory / STATE)


def own_state(grpc_ports: dict[str, int], p2p_ports: dict[str, int]) -> State:
    """The state of a network that this process keeps."""
    return State(pid=os.getpid(), began=start_time(os.getpid()), grpc_ports=grpc_ports, p2p_ports=p2p_ports)
