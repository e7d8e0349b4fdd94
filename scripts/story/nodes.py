"""What the acts around the trade need of a real network: nodes' addresses, files and processes, and others' clients at them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from ledgers.client import Client
from scripts.story.scene import Network


class Nodes(Network, Protocol):
    """A network of real nodes on this machine."""

    def address(self, organization: str) -> str:
        """Where an organization's node serves gRPC: host:port."""
        ...

    def authority(self, organization: str) -> bytes:
        """PEM of the CA from which that node has its certificate."""
        ...

    def visitor(self, organization: str, node_of: str) -> Client:
        """A client with one organization's member's certificate at another organization's node."""
        ...

    def ledger_id(self, ledger: str) -> str:
        """The id behind a local name."""
        ...

    def genesis_file(self, organization: str, ledger: str) -> Path:
        """An organization's copy of a ledger's genesis file."""
        ...

    async def engine_state(self, organization: str, ledger: str) -> tuple[int, int]:
        """Height and peers of an organization's own engine, asked on its socket: for who has no standing left to ask the node."""
        ...

    def scratch(self) -> Path:
        """A directory for the story's own files."""
        ...

    def processes(self, organization: str) -> Mapping[int, str]:
        """The processes under an organization's node (engines and application): process id to name."""
        ...

    def folder(self, organization: str) -> Path:
        """Everything that an organization has on this machine: data, keys, logs."""
        ...

    async def stop(self, organization: str) -> None:
        """End an organization's node with all that it runs; nothing starts it again."""
        ...

    async def start(self, organization: str) -> None:
        """Start a stopped organization's node, and wait until it has caught up."""
        ...

    async def stop_agents(self, organization: str) -> None:
        """End an organization's agents, which run as processes of their own; its node goes on."""
        ...

    async def start_agents(self, organization: str) -> None:
        """Start them again."""
        ...

    def freeze(self) -> None:
        """Let all processes of all organizations stand still."""
        ...

    def thaw(self) -> None:
        """Let them go on."""
        ...
