"""The real network: localnet's organizations on this machine, each reached through its own node's gRPC."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from ledgers.client import Client
from ledgers.client.identity import write_secret
from localnet.attached import AttachedNetwork
from localnet.network import Network, NetworkFailed
from node.daemon import runtime_folder
from node.rpc import EngineRpc
from scripts.story.scene import Seat
from smartcontracts.kernel import Role

SCRATCH: Final = "demo"
_WITHHELD: Final = "withheld"


class LocalNetwork:
    """`scripts.story.nodes.Nodes` over a localnet that is up. To be made and used inside a running event loop."""

    def __init__(self, localnet: AttachedNetwork) -> None:
        """Connections are made when first used."""
        self._localnet = localnet
        self._names = {localnet.organization_id(name): name for name in localnet.organizations}
        self.told_heights: dict[str, int] = {}
        self._clients: dict[str, Client] = {}
        self._seats: dict[tuple[str, str], Seat] = {}

    async def close(self) -> None:
        """End all connections."""
        await asyncio.gather(*(client.close() for client in self._clients.values()))

    def now_ms(self) -> int:
        """Unix time in milliseconds."""
        return time.time_ns() // 1_000_000

    async def sleep(self, seconds: float) -> None:
        """Let time pass."""
        await asyncio.sleep(seconds)

    def organization_id(self, name: str) -> str:
        """The id behind a local name."""
        return self._localnet.organization_id(name)

    def name_of(self, organization_id: str) -> str:
        """The local name behind an id."""
        return self._names[organization_id]

    def nodes_of(self, ledger: str) -> Sequence[str]:
        """Organizations whose nodes replicate a ledger."""
        return self._localnet.topology.ledgers[ledger].everybody

    async def seat(self, organization: str, ledger: str) -> Seat:
        """An organization at a ledger, through its own node; each role signs with the key of the member that has it."""
        if (organization, ledger) not in self._seats:
            members = self._localnet.topology.organizations[organization].members
            self._seats[organization, ledger] = Seat(
                name=organization,
                id=self.organization_id(organization),
                ledger_name=ledger,
                ledger=await self._client(organization).ledger(self.ledger_id(ledger)),
                members={
                    Role(role): self._localnet.signer(organization, member)
                    for member, roles in members.items()
                    for role in roles
                },
                network=self,
            )
        return self._seats[organization, ledger]

    async def ledgers_seen(self, organization: str) -> Sequence[str]:
        """Names of the ledgers that an organization's member sees at its own node."""
        return tuple(status.name for status in (await self._client(organization).node_status()).ledgers)

    def keep(self, organization: str, name: str, data: bytes) -> str:
        """Write a file into an organization's own node, for its eyes only; its path under the network's directory."""
        folder = self._localnet.material.files(organization).data / _WITHHELD
        folder.mkdir(mode=0o700, exist_ok=True)
        write_secret(folder / name, data)
        return str((folder / name).relative_to(self._localnet.directory))

    def address(self, organization: str) -> str:
        """Where an organization's node serves gRPC: host:port."""
        return self._localnet.address(organization)

    def authority(self, organization: str) -> bytes:
        """PEM of the CA from which that node has its certificate."""
        return self._localnet.material.files(organization).ca_certificate.read_bytes()

    def visitor(self, organization: str, node_of: str) -> Client:
        """A client with one organization's administrator's certificate at another organization's node."""
        return self._localnet.client(organization, node_of=node_of, others=())

    def ledger_id(self, ledger: str) -> str:
        """The id behind a local name."""
        return self._localnet.ledger_id(ledger)

    def genesis_file(self, organization: str, ledger: str) -> Path:
        """An organization's copy of a ledger's genesis file."""
        return self._localnet.genesis_file(organization, ledger)

    async def engine_state(self, organization: str, ledger: str) -> tuple[int, int]:
        """Height and peers of an organization's own engine, asked on its socket: for who has no standing left to ask the node."""
        folder = runtime_folder(self._localnet.material.files(organization).data)
        engine = EngineRpc(folder / f"{self.ledger_id(ledger)}.rpc")
        try:
            return (await engine.status()).height, await engine.peers()
        finally:
            await engine.close()

    def scratch(self) -> Path:
        """A directory for the story's own files."""
        folder = self._localnet.directory / SCRATCH
        folder.mkdir(mode=0o700, exist_ok=True)
        return folder

    def processes(self, organization: str) -> Mapping[int, str]:
        """The processes under an organization's node (engines and application): process id to name."""
        found = self._localnet.processes(organization)
        names = {self.ledger_id(name): name for name in self._localnet.topology.ledgers}
        engines = {pid: f"engine of {names[ledger_id]}" for ledger_id, pid in found.engines.items()}
        return {**dict.fromkeys(found.applications.values(), "application"), **engines}

    def folder(self, organization: str) -> Path:
        """Everything that an organization has on this machine: data, keys, logs."""
        return self._localnet.material.files(organization).folder

    async def stop(self, organization: str) -> None:
        """End an organization's node with all that it runs; nothing starts it again. Raises NetworkFailed."""
        await self._kept().stop_organization(organization)

    async def start(self, organization: str) -> None:
        """Start a stopped organization's node, and wait until it has caught up. Raises NetworkFailed."""
        await self._kept().start_organization(organization)

    async def stop_agents(self, organization: str) -> None:
        """End an organization's agents, which run as processes of their own; its node goes on.

        Where another process keeps the network and would start them again, they stand still instead.
        """
        if isinstance(self._localnet, Network):
            await self._localnet.stop_agents(organization)
        else:
            self._localnet.freeze(organization, "agent")

    async def start_agents(self, organization: str) -> None:
        """Let them work again."""
        if isinstance(self._localnet, Network):
            await self._localnet.start_agents(organization)
        else:
            self._localnet.thaw(organization, "agent")

    def freeze(self) -> None:
        """Let all processes of all organizations stand still."""
        for name in self._localnet.organizations:
            self._localnet.freeze(name)

    def thaw(self) -> None:
        """Let them go on."""
        for name in self._localnet.organizations:
            self._localnet.thaw(name)

    def _kept(self) -> Network:
        """Only who keeps a network stops and starts its nodes."""
        if not isinstance(self._localnet, Network):
            raise NetworkFailed("this network is kept by another process, which alone can stop its nodes.")
        return self._localnet

    def _client(self, organization: str) -> Client:
        if organization not in self._clients:
            self._clients[organization] = self._localnet.client(organization)
        return self._clients[organization]
