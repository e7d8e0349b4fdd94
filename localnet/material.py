"""What a network is made of, on disk: keys, certificates, geneses, and each node's configuration.

    <directory>/network.json                   the manifest: names to ids, and the topology (no secrets)
    <directory>/<organization>/
        syngraph.toml                          the node's configuration, and an administrator's as client
        ca/ca.pem, ca.key                      the organization's authority
        tls/node.pem, node.key                 the node's certificate
        members/<member>/                      certificate.pem, tls.key, signing.key, syngraph.toml
        known/<organization>.pem               CA certificates of other organizations
        genesis/<ledger>.json                  with the ledger's secret: mode 0600
        engines/<ledger>/                      the engine's home, with its keys
        inventory.json                         what it can deliver itself, where it trades
        data/                                  the node's data

Here all organizations' keys are made on one machine: right for trying, wrong for trading.
"""

from __future__ import annotations

import json
import secrets
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from nacl.signing import SigningKey
from pydantic import BaseModel, ConfigDict, ValidationError

from ledgers.client import Credentials, SigningMember
from ledgers.client.founding import genesis_file
from ledgers.client.identity import (
    Authority,
    Pair,
    issue_member_certificate,
    issue_node_certificate,
    load_authority,
    member_of,
    new_authority,
    new_signing_key,
    read_secret,
    read_signing_key,
    signing_key_pem,
    write_secret,
)
from ledgers.genesis import LedgerGenesis, ledger_id
from ledgers.kinds import INTERNAL, VERSIONS
from localnet.topology import LedgerEntry, Topology
from node.configuration import AGENT_ROLES
from node.engine_keys import ensure_engine_keys, read_engine_keys
from smartcontracts.kernel import Position, Role
from smartcontracts.membership import Member, MemberKey, Organization
from smartcontracts.verify.hashing import DOCUMENT_SECRET_BYTES

MANIFEST: Final = "network.json"
# Held by the process that keeps the network.
LOCK: Final = "localnet.lock"
HOST: Final = "127.0.0.1"
MANIFEST_BYTES_MAX: Final = 4 << 20


class MaterialWrong(Exception):
    """The directory holds no network, or another one; the sentence says what to do."""


class Manifest(BaseModel):
    """Names to ids. Written when the network is made, never changed."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    topology: Topology
    organization_ids: dict[str, str]
    # organization -> member -> id
    member_ids: dict[str, dict[str, str]]
    ledger_ids: dict[str, str]


@dataclass(frozen=True, slots=True)
class MemberFiles:
    """A member's folder."""

    folder: Path

    @property
    def certificate(self) -> Path:
        """Client certificate for TLS, PEM."""
        return self.folder / "certificate.pem"

    @property
    def tls_key(self) -> Path:
        """Its key (P-256), PEM, mode 0600."""
        return self.folder / "tls.key"

    @property
    def signing_key(self) -> Path:
        """The key that signs transactions (Ed25519), PEM, mode 0600."""
        return self.folder / "signing.key"

    @property
    def config(self) -> Path:
        """What `syngraph --config` needs to act as this member."""
        return self.folder / "syngraph.toml"


@dataclass(frozen=True, slots=True)
class OrganizationFiles:
    """An organization's folder."""

    folder: Path

    @property
    def ca_certificate(self) -> Path:
        """PEM."""
        return self.folder / "ca" / "ca.pem"

    @property
    def ca_key(self) -> Path:
        """PEM, mode 0600."""
        return self.folder / "ca" / "ca.key"

    @property
    def node_certificate(self) -> Path:
        """PEM."""
        return self.folder / "tls" / "node.pem"

    @property
    def node_key(self) -> Path:
        """PEM, mode 0600."""
        return self.folder / "tls" / "node.key"

    @property
    def config(self) -> Path:
        """The node's configuration."""
        return self.folder / "syngraph.toml"

    @property
    def data(self) -> Path:
        """The node's data."""
        return self.folder / "data"

    @property
    def inventory(self) -> Path:
        """What its SOF has to deliver: a file of the reference adapter."""
        return self.folder / "inventory.json"

    @property
    def log(self) -> Path:
        """What node, application and engines print."""
        return self.folder / "node.log"

    def member(self, name: str) -> MemberFiles:
        """The folder of a member."""
        return MemberFiles(self.folder / "members" / name)

    def genesis(self, ledger: str) -> Path:
        """The ledger's genesis, once this organization has it."""
        return self.folder / "genesis" / f"{ledger}.json"

    def engine_home(self, ledger: str) -> Path:
        """The home of the ledger's engine."""
        return self.folder / "engines" / ledger

    def known(self, organization: str) -> Path:
        """Another organization's CA certificate."""
        return self.folder / "known" / f"{organization}.pem"

    def authority(self) -> Authority:
        """The organization's CA. Raises KeyFileWrong, OSError."""
        return load_authority(self.ca_certificate.read_bytes(), read_secret(self.ca_key))


@dataclass(frozen=True, slots=True)
class Material:
    """A network on disk."""

    directory: Path
    manifest: Manifest

    @property
    def topology(self) -> Topology:
        """What the network was made from."""
        return self.manifest.topology

    def files(self, organization: str) -> OrganizationFiles:
        """The organization's folder."""
        return OrganizationFiles(self.directory / organization)

    def signer(self, organization: str, member: str) -> SigningMember:
        """A member with its signing key. Raises KeyError, KeyFileWrong."""
        name = f"{self.manifest.organization_ids[organization]}/{self.manifest.member_ids[organization][member]}"
        return SigningMember(name, read_signing_key(self.files(organization).member(member).signing_key))

    def credentials(self, organization: str, member: str, node_of: str = "") -> Credentials:
        """For a member's calls to the node of `node_of` (its own organization's by default)."""
        files = self.files(organization).member(member)
        return Credentials.from_files(
            authority=self.files(node_of or organization).ca_certificate,
            certificate=files.certificate,
            key=files.tls_key,
        )

    def administrator(self, organization: str) -> str:
        """Name of the organization's first administrator."""
        members = self.topology.organizations[organization].members
        return next(name for name, roles in members.items() if Role.ADMINISTRATOR in roles)

    def organization_record(self, organization: str, ledger: str, position: Position) -> Organization:
        """The organization as it stands on a ledger; a validator if the topology says so."""
        authority = self.files(organization).authority()
        keys = read_engine_keys(self.files(organization).engine_home(ledger))
        votes = organization in self.topology.ledgers[ledger].voters
        return Organization(
            id=authority.organization_id,
            name=self.topology.organizations[organization].name,
            position=position,
            ca_certificate=authority.certificate_der,
            node_ids=(keys.node_id,),
            validator_key=keys.validator_key if votes else b"",
            ca_public_key=authority.public_key_der,
        )

    def member_records(self, organization: str) -> tuple[Member, ...]:
        """The organization's members, sorted by id."""
        found = []
        for name, roles in self.topology.organizations[organization].members.items():
            key = read_signing_key(self.files(organization).member(name).signing_key)
            found.append(
                Member(
                    id=self.manifest.member_ids[organization][name],
                    organization_id=self.manifest.organization_ids[organization],
                    roles=tuple(sorted(Role(role) for role in roles)),
                    keys=(MemberKey(public_key=key.verify_key.encode()),),
                )
            )
        return tuple(sorted(found, key=lambda member: member.id))

    def hand_over_genesis(self, organization: str, ledger: str) -> None:
        """Give the organization its copy of a ledger's genesis: what the founders do when they admit somebody."""
        target = self.files(organization).genesis(ledger)
        if not target.exists():
            founder = next(iter(self.topology.ledgers[ledger].founders))
            _write_secret(target, read_secret(self.files(founder).genesis(ledger)))

    def has_genesis(self, organization: str, ledger: str) -> bool:
        """Whether the organization's node can run the ledger."""
        return self.files(organization).genesis(ledger).exists()


def make_material(topology: Topology, directory: Path) -> Material:
    """A new network in `directory`. Raises MaterialWrong if there is one already, or something else."""
    directory = directory.absolute()
    if directory.exists() and any(path.name != LOCK for path in directory.iterdir()):
        raise MaterialWrong(f"{directory} is not empty: choose another directory, or `syngraph localnet down --purge`.")
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    organization_ids, member_ids = {}, {}
    for name, entry in topology.organizations.items():
        organization_ids[name], member_ids[name] = _make_organization(
            OrganizationFiles(directory / name), tuple(entry.members), topology.ledgers_of(name)
        )
    unfounded = Manifest(topology=topology, organization_ids=organization_ids, member_ids=member_ids, ledger_ids={})
    material = Material(directory, unfounded)
    ledger_ids = {name: _found(material, name, ledger) for name, ledger in topology.ledgers.items()}
    for name in topology.organizations:
        _exchange_authorities(material, name)
    for name in topology.traders():
        inventory = json.dumps(topology.organizations[name].inventory, indent=1, ensure_ascii=False)
        material.files(name).inventory.write_text(inventory + "\n", encoding="utf-8")
    manifest = unfounded.model_copy(update={"ledger_ids": ledger_ids})
    # Last: a directory without a manifest was not made to the end.
    (directory / MANIFEST).write_text(manifest.model_dump_json(indent=1) + "\n", encoding="utf-8")
    return Material(directory, manifest)


def load_material(directory: Path) -> Material:
    """The network in `directory`. Raises MaterialWrong."""
    directory = directory.absolute()
    try:
        with (directory / MANIFEST).open("rb") as file:
            return Material(directory, Manifest.model_validate_json(file.read(MANIFEST_BYTES_MAX), strict=False))
    except OSError as error:
        raise MaterialWrong(f"there is no network in {directory}: `syngraph localnet up` makes one.") from error
    except ValidationError as error:
        raise MaterialWrong(f"{directory / MANIFEST} is not the manifest of a network.") from error


def write_configurations(material: Material, grpc_ports: dict[str, int], p2p_ports: dict[tuple[str, str], int]) -> None:
    """Every node's and member's configuration, for these ports (of organizations; of organization and ledger)."""
    for organization in material.topology.organizations:
        write_node_configuration(material, organization, grpc_ports, p2p_ports)
        for member in material.topology.organizations[organization].members:
            files = material.files(organization).member(member)
            client = _client_section(material, organization, member, grpc_ports)
            files.config.write_text(toml({"client": client}), encoding="utf-8")


def write_node_configuration(
    material: Material, organization: str, grpc_ports: dict[str, int], p2p_ports: dict[tuple[str, str], int]
) -> None:
    """One node's configuration, with the ledgers whose genesis the organization has."""
    files, manifest = material.files(organization), material.manifest
    sections: dict[str, dict[str, Any]] = {
        "node": {
            "organization": manifest.organization_ids[organization],
            "name": organization,
            "data_dir": "data",
            "grpc_address": f"{HOST}:{grpc_ports[organization]}",
        },
        "tls": {"ca_certificate": "ca/ca.pem", "certificate": "tls/node.pem", "key": "tls/node.key"},
        "client": _client_section(material, organization, material.administrator(organization), grpc_ports),
    }
    sections |= _agents_sections(material, organization, grpc_ports)
    for ledger in material.topology.ledgers_of(organization):
        if material.has_genesis(organization, ledger):
            sections[f"ledgers.{ledger}"] = _ledger_section(material, organization, ledger, p2p_ports)
    files.config.write_text(toml(sections), encoding="utf-8")


def toml(sections: dict[str, dict[str, Any]]) -> str:
    """Sections of texts, numbers, truth values and lists of texts."""
    lines = []
    for name, values in sections.items():
        lines += ["", f"[{name}]", *(f"{key} = {_toml_value(value)}" for key, value in values.items())]
    return "\n".join(lines[1:]) + "\n"


def _toml_value(value: Any) -> str:
    # JSON's strings, numbers, truth values and lists of them are TOML's too, but for one character.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _ledger_section(
    material: Material, organization: str, ledger: str, p2p_ports: dict[tuple[str, str], int]
) -> dict[str, Any]:
    entry = material.topology.ledgers[ledger]
    peers = []
    # Who is granted access later dials in: a configured peer is let in while a node catches up, and may not be yet.
    for other in entry.founders:
        if other != organization:
            keys = read_engine_keys(material.files(other).engine_home(ledger))
            peers.append(f"{keys.node_id}@{HOST}:{p2p_ports[other, ledger]}")
    return {
        "ledger_id": material.manifest.ledger_ids[ledger],
        "genesis": f"genesis/{ledger}.json",
        "engine_home": f"engines/{ledger}",
        "p2p_address": f"{HOST}:{p2p_ports[organization, ledger]}",
        "pace": material.topology.pace_of(ledger),
        "validator": organization in entry.voters,
        "peers": peers,
    }


def _agents_sections(
    material: Material, organization: str, grpc_ports: dict[str, int]
) -> dict[str, dict[str, Any]]:
    """Who trades has its agents: each function as the member that has its role, provisioning from the inventory's file."""
    topology, manifest, files = material.topology, material.manifest, material.files(organization)
    roles = agent_roles(topology, organization)
    if not roles:
        return {}
    sections: dict[str, dict[str, Any]] = {
        "agents": {
            "in_node": topology.agents_of(organization) == "node",
            "provisioning": "reference",
            "provisioning_file": files.inventory.name,
            "other_nodes": _other_nodes(material, organization, grpc_ports),
        }
    }
    for role, member in roles.items():
        folder = files.member(member)
        sections[f"agents.{role}"] = {
            "signer": f"{manifest.organization_ids[organization]}/{manifest.member_ids[organization][member]}",
            "signing_key": str(folder.signing_key),
            "certificate": str(folder.certificate),
            "key": str(folder.tls_key),
        }
    return sections


def agent_roles(topology: Topology, organization: str) -> dict[str, str]:
    """The agents that run for the organization: role to the first member that has it. None for who does not trade."""
    if topology.agents_of(organization) == "none" or topology.internal_ledger(organization) is None:
        return {}
    members = topology.organizations[organization].members
    found = {role: next((name for name, roles in members.items() if role in roles), "") for role in AGENT_ROLES}
    return {role: name for role, name in found.items() if name}


def _other_nodes(material: Material, organization: str, grpc_ports: dict[str, int]) -> list[str]:
    files = material.files(organization)
    return [f"{HOST}:{grpc_ports[other]}={files.known(other)}" for other in partners(material.topology, organization)]


def _client_section(material: Material, organization: str, member: str, grpc_ports: dict[str, int]) -> dict[str, Any]:
    files, manifest = material.files(organization), material.manifest
    member_files = files.member(member)
    signer = f"{manifest.organization_ids[organization]}/{manifest.member_ids[organization][member]}"
    return {
        "node": f"{HOST}:{grpc_ports[organization]}",
        "ca_certificate": str(files.ca_certificate),
        "certificate": str(member_files.certificate),
        "key": str(member_files.tls_key),
        "signer": signer,
        "signing_key": str(member_files.signing_key),
        "other_nodes": _other_nodes(material, organization, grpc_ports),
    }


def partners(topology: Topology, organization: str) -> tuple[str, ...]:
    """Who validates every ledger that this organization shares: their nodes can take over any of its transactions there.

    An internal ledger's transactions are for nobody else, and no client hands them on.
    """
    mine = [topology.ledgers[name] for name in topology.ledgers_of(organization)]
    mine = [ledger for ledger in mine if ledger.kind != INTERNAL]
    return tuple(
        other
        for other in topology.organizations
        if other != organization and all(other in ledger.voters for ledger in mine)
    )


def _make_organization(
    files: OrganizationFiles, members: tuple[str, ...], ledgers: tuple[str, ...]
) -> tuple[str, dict[str, str]]:
    """Keys and certificates; the organization's id and its members' ids."""
    authority = new_authority()
    organization = authority.organization_id
    _write_pair(authority.pair, files.ca_certificate, files.ca_key)
    _write_pair(issue_node_certificate(authority, [HOST, "localhost"]), files.node_certificate, files.node_key)
    ids = {}
    for name in members:
        key = new_signing_key()
        ids[name] = member_of(organization, key)
        _write_member(files.member(name), key, issue_member_certificate(authority, ids[name]))
    for ledger in ledgers:
        ensure_engine_keys(files.engine_home(ledger))
    return organization, ids


def _write_member(files: MemberFiles, key: SigningKey, pair: Pair) -> None:
    _write_pair(pair, files.certificate, files.tls_key)
    _write_secret(files.signing_key, signing_key_pem(key))


def _found(material: Material, name: str, ledger: LedgerEntry) -> str:
    """Found the ledger, give each founder its genesis, and return the ledger's id."""
    organizations = [material.organization_record(who, name, position) for who, position in ledger.founders.items()]
    members = [member for who in ledger.founders for member in material.member_records(who)]
    genesis = LedgerGenesis(
        kind=ledger.kind,
        secret=secrets.token_bytes(DOCUMENT_SECRET_BYTES),
        created_at_ms=time.time_ns() // 1_000_000,
        contracts_version=VERSIONS[-1],
        parameters=ledger.genesis_parameters(),
        organizations=tuple(sorted(organizations, key=lambda each: each.id)),
        members=tuple(sorted(members, key=lambda each: each.id)),
    )
    data = genesis_file(genesis)
    for who in ledger.founders:
        _write_secret(material.files(who).genesis(name), data)
    return ledger_id(genesis)


def _exchange_authorities(material: Material, organization: str) -> None:
    files = material.files(organization)
    for other in partners(material.topology, organization):
        target = files.known(other)
        target.parent.mkdir(exist_ok=True)
        target.write_bytes(material.files(other).ca_certificate.read_bytes())


def _write_pair(pair: Pair, certificate: Path, key: Path) -> None:
    _write_secret(key, pair.key)
    certificate.write_bytes(pair.certificate)


def _write_secret(path: Path, data: bytes) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_secret(path, data)
