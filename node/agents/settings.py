"""Agents from their configuration: policies, provisioning, and the member's connection to the node."""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from ledgers.client import Client, Connection, Credentials, SigningMember
from ledgers.client.connection import Calls
from ledgers.client.identity import KeyFileWrong, read_signing_key
from node.agents.policies import Policies
from node.agents.policy_settings import PolicyFileWrong, PolicySettings, read_policy_settings
from node.agents.provisioning import Provisioning, ProvisioningBroken
from node.agents.provisioning.bookings import BookingStore
from node.agents.provisioning.http_settings import connect
from node.agents.provisioning.inventory import InventoryWrong
from node.agents.provisioning.inventory import read as read_inventory
from node.agents.provisioning.reference import ReferenceProvisioning
from node.configuration import AgentSection, AgentsSection, ConfigurationWrong

BOOKINGS: Final = "bookings.sqlite"
# From a member's certificate in PEM to its way to the node in this process.
Inside = Callable[[bytes], Calls]


def load_policies(agents: AgentsSection) -> Policies:
    """The built-in policies, or the plug-in. Raises ConfigurationWrong with what a person can mend."""
    try:
        settings = PolicySettings() if agents.policy_file is None else read_policy_settings(agents.policy_file)
    except PolicyFileWrong as error:
        raise ConfigurationWrong([f"agents.policy_file: {line}" for line in str(error).splitlines()]) from error
    if not agents.policies:
        return Policies(settings)
    plug_in = _plug_in(agents.policies)
    if not (isinstance(plug_in, type) and issubclass(plug_in, Policies)):
        raise ConfigurationWrong(
            [f"agents.policies: {agents.policies} is not a subclass of node.agents.policies.Policies."]
        )
    try:
        return plug_in(settings)
    except Exception as error:
        raise ConfigurationWrong([f"agents.policies: {agents.policies} can't be made: {_said(error)}."]) from error


def check_agents(agents: AgentsSection) -> list[str]:
    """Sentences on what agents would not start with: the policies' file or plug-in, and SOF's provisioning. Nothing is asked or made."""
    problems: list[str] = []
    try:
        load_policies(agents)
    except ConfigurationWrong as error:
        problems += error.problems
    try:
        if agents.provisioning_file is None and agents.provisioning != "none":
            raise ConfigurationWrong([_provisioning_file_missing(agents)])
        if agents.provisioning == "reference" and agents.provisioning_file is not None:
            read_inventory(agents.provisioning_file)
        if agents.provisioning == "http" and agents.provisioning_file is not None:
            connect(agents.provisioning_file, lambda: 0).close()
    except ConfigurationWrong as error:
        problems += error.problems
    except (InventoryWrong, ProvisioningBroken) as error:
        problems += [f"agents.provisioning_file: {line}" for line in str(error).splitlines()]
    return problems


def load_provisioning(agents: AgentsSection, folder: Path, now_ms: Callable[[], int]) -> Provisioning | None:
    """What SOF asks; None where nothing is configured. Raises ConfigurationWrong."""
    if agents.provisioning == "none":
        return None
    if agents.provisioning_file is None:
        raise ConfigurationWrong([_provisioning_file_missing(agents)])
    try:
        if agents.provisioning == "http":
            return connect(agents.provisioning_file, now_ms)
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        inventory = read_inventory(agents.provisioning_file)
        return ReferenceProvisioning(inventory, BookingStore(folder / BOOKINGS), now_ms, run=asyncio.to_thread)
    except (InventoryWrong, ProvisioningBroken) as error:
        raise ConfigurationWrong([f"agents.provisioning_file: {line}" for line in str(error).splitlines()]) from error


def load_client(
    agents: AgentsSection, agent: AgentSection, role: str, inside: Inside | None = None
) -> tuple[Client, SigningMember]:
    """The member's way to the node and its key; `inside` is the way to the node in this process. Raises ConfigurationWrong."""
    if agents.node is None or agents.ca_certificate is None:
        raise ConfigurationWrong(["agents.node and agents.ca_certificate: needed where there is no section [node]."])
    try:
        credentials = Credentials.from_files(
            authority=agents.ca_certificate, certificate=agent.certificate, key=agent.key
        )
        signer = SigningMember(agent.signer, read_signing_key(agent.signing_key))
        others = [_other_node(entry, credentials) for entry in agents.other_nodes]
    except KeyFileWrong as error:
        raise ConfigurationWrong([f"agents.{role}: {error}."]) from error
    except OSError as error:
        raise ConfigurationWrong([f"agents.{role}: {error.filename}: {error.strerror}."]) from error
    if inside is not None:
        return Client.through(inside(credentials.certificate), others=others), signer
    return Client(agents.node, credentials, server_name=agents.server_name, others=others), signer


def _provisioning_file_missing(agents: AgentsSection) -> str:
    return f"agents.provisioning_file: needed for agents.provisioning = {agents.provisioning!r}."


def _other_node(entry: str, credentials: Credentials) -> Connection:
    address, separator, authority = entry.partition("=")
    if not separator:
        raise ConfigurationWrong([f"agents.other_nodes: {entry}: give host:port=ca.pem."])
    own = Credentials(authority=Path(authority).read_bytes(), certificate=credentials.certificate, key=credentials.key)
    return Connection(address, own)


def _plug_in(name: str) -> Any:
    module_name, _, attribute = name.partition(":")
    try:
        module = importlib.import_module(module_name)
    except Exception as error:
        raise ConfigurationWrong([f"agents.policies: {module_name} can't be imported: {_said(error)}."]) from error
    if not hasattr(module, attribute):
        raise ConfigurationWrong([f"agents.policies: {module_name} has nothing called {attribute}."])
    return getattr(module, attribute)


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).rstrip('.')}"
