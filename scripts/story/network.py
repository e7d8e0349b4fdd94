"""The real network: localnet's organizations on this machine, each reached through its own node's gRPC."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from ledgers.client import Client, Connection
from ledgers.client.identity import write_secret
from localnet.material import Material, partners
from node.configuration import load_node, read_sources
from node.daemon import runtime_folder
from scripts.story.scene import Seat
from scripts.story.telling import StepFailed
from smartcontracts.kernel import Role

SCRATCH: Final = "demo"
_WITHHELD: Final = "withheld"


class LocalNetwork:
    """`scripts.story.nodes.Nodes` over the files of a localnet that is up."""

    def __init__(self, material: Material) -> None:
        """Reads every node's address from its configuration. Connections are made when first used."""
        self._material = material
        self._names = {found: name for name, found in material.manifest.organization_ids.items()}
        self._addresses = {name: self._address_of(name) for name in material.topology.organizations}
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
        return self._material.manifest.organization_ids[name]

    def name_of(self, organization_id: str) -> str:
        """The local name behind an id."""
        return self._names[organization_id]

    def nodes_of(self, ledger: str) -> Sequence[str]:
        """Organizations whose nodes replicate a ledger."""
        return self._material.topology.ledgers[ledger].everybody

    async def seat(self, organization: str, ledger: str) -> Seat:
        """An organization at a ledger, through its own node; each role signs with the key of the member that has it."""
        if (organization, ledger) not in self._seats:
            members = self._material.topology.organizations[organization].members
            self._seats[organization, ledger] = Seat(
                name=organization,
                id=self.organization_id(organization),
                ledger_name=ledger,
                ledger=await self._client(organization).ledger(self.ledger_id(ledger)),
                members={
                    Role(role): self._material.signer(organization, member)
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
        """Write a file into an organization's own node, for its eyes only; its path."""
        folder = self._material.files(organization).data / _WITHHELD
        folder.mkdir(mode=0o700, exist_ok=True)
        write_secret(folder / name, data)
        return str((folder / name).relative_to(self._material.directory))

    def address(self, organization: str) -> str:
        """Where an organization's node serves gRPC: host:port."""
        return self._addresses[organization]

    def authority(self, organization: str) -> bytes:
        """PEM of the CA from which that node has its certificate."""
        return self._material.files(organization).ca_certificate.read_bytes()

    def visitor(self, organization: str, node_of: str) -> Client:
        """A client with one organization's administrator's certificate at another organization's node."""
        member = self._material.administrator(organization)
        return Client(self.address(node_of), self._material.credentials(organization, member, node_of))

    def ledger_id(self, ledger: str) -> str:
        """The id behind a local name."""
        return self._material.manifest.ledger_ids[ledger]

    def genesis_file(self, ledger: str) -> Path:
        """CometBFT's genesis file of a ledger, as its first founder has it."""
        founder = next(iter(self._material.topology.ledgers[ledger].founders))
        return self._material.files(founder).genesis(ledger)

    def scratch(self) -> Path:
        """A directory for the story's own files."""
        folder = self._material.directory / SCRATCH
        folder.mkdir(mode=0o700, exist_ok=True)
        return folder

    def processes(self, organization: str) -> Mapping[int, str]:
        """The processes under an organization's node (engines and application), by its pid files."""
        folder = runtime_folder(self._material.files(organization).data)
        ledgers = {found: name for name, found in self._material.manifest.ledger_ids.items()}
        found = {}
        for path in sorted(folder.glob("*.pid")):
            kind, _, ledger_id = path.stem.partition("-")
            found[_process_id(path)] = f"engine of {ledgers[ledger_id]}" if kind == "engine" else "application"
        return found

    def _client(self, organization: str) -> Client:
        if organization not in self._clients:
            member = self._material.administrator(organization)
            others = [
                Connection(self.address(other), self._material.credentials(organization, member, other))
                for other in partners(self._material.topology, organization)
            ]
            self._clients[organization] = Client(
                self.address(organization), self._material.credentials(organization, member), others=others
            )
        return self._clients[organization]

    def _address_of(self, organization: str) -> str:
        configuration = load_node(read_sources(self._material.files(organization).config, {}))
        return configuration.node.grpc_address


def _process_id(path: Path) -> int:
    """The first number in a pid file. Raises StepFailed."""
    text = path.read_text(encoding="ascii").split()
    if not text or not text[0].isdecimal():
        raise StepFailed(f"a process id in {path}", " ".join(text) or "nothing")
    return int(text[0])
