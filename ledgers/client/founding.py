"""Founding a ledger: from a description that people write to the genesis that all members start from.

The description (TOML) names the kind, the organizations with their CA certificate, node ids and validator key, their first
members with public key and roles, and parameters that differ from the defaults.
"""

from __future__ import annotations

import dataclasses
import json
import re
import secrets
import time
from pathlib import Path
from typing import Any, Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from ledgers.client.plain import PlainInvalid
from ledgers.genesis import LedgerGenesis, comet_genesis
from ledgers.kinds import BILATERAL, INTERNAL, VERSIONS
from smartcontracts.ids import member_id, organization_id
from smartcontracts.kernel import Position, Rejected, Role
from smartcontracts.membership import Member, MemberKey, Organization
from smartcontracts.parameters import Parameters
from smartcontracts.verify.hashing import DOCUMENT_SECRET_BYTES

PARTIES_OF_A_PAIR: Final = 2
# One of so many may be away.
VALIDATORS_WANTED: Final = 4
_NODE_ID: Final = re.compile(r"[0-9a-f]{40}", re.ASCII)
_ORGANIZATION_FIELDS: Final = frozenset({"name", "position", "ca_certificate", "node_ids", "validator_key", "members"})
_MEMBER_FIELDS: Final = frozenset({"public_key", "roles"})
_FIELDS: Final = frozenset({"kind", "organizations", "parameters"})


def found_ledger(description: dict[str, Any], base: Path) -> LedgerGenesis:
    """A new ledger's genesis, with a fresh secret. Paths are relative to `base`. Raises PlainInvalid."""
    _known(description, _FIELDS, "")
    organizations, members = [], []
    for place, entry in enumerate(_list(description.get("organizations"), "organizations")):
        organization, its_members = _organization(entry, base, f"organizations[{place}]")
        organizations.append(organization)
        members += its_members
    _require_parties(description.get("kind"), organizations)
    _require_nodes_and_names(organizations)
    return LedgerGenesis(
        kind=str(description.get("kind", "")),
        secret=secrets.token_bytes(DOCUMENT_SECRET_BYTES),
        created_at_ms=time.time_ns() // 1_000_000,
        contracts_version=VERSIONS[-1],
        parameters=_parameters(description.get("parameters", {})),
        organizations=tuple(sorted(organizations, key=lambda o: o.id)),
        members=tuple(sorted(members, key=lambda m: m.id)),
    )


def warnings(genesis: LedgerGenesis) -> tuple[str, ...]:
    """What is allowed and yet to be thought about."""
    count = len(genesis.validators)
    if genesis.kind == INTERNAL or count >= VALIDATORS_WANTED:
        return ()
    return (f"{count} of {VALIDATORS_WANTED} validators: the ledger stops when any one of them is away.",)


def genesis_file(genesis: LedgerGenesis) -> bytes:
    """CometBFT's genesis file. Raises PlainInvalid where no ledger can begin with it."""
    try:
        return (json.dumps(comet_genesis(genesis), indent=1) + "\n").encode()
    except Rejected as refused:
        raise PlainInvalid(refused.field, refused.sentence) from refused


def _require_parties(kind: object, organizations: list[Organization]) -> None:
    """What no contract could mend later: a ledger of a pair has two parties, an internal one nobody but its own."""
    parties = sum(organization.position == Position.PARTY for organization in organizations)
    if kind == BILATERAL and parties != PARTIES_OF_A_PAIR:
        raise PlainInvalid(
            "organizations", f"a bilateral ledger has two organizations with position party, not {parties}"
        )
    if kind == INTERNAL and len(organizations) != 1:
        raise PlainInvalid("organizations", f"an internal ledger has one organization, not {len(organizations)}")


def _require_nodes_and_names(organizations: list[Organization]) -> None:
    node_ids = [node_id for organization in organizations for node_id in organization.node_ids]
    if any(not _NODE_ID.fullmatch(node_id) for node_id in node_ids):
        raise PlainInvalid("organizations", "a node id is 40 digits of hex, as `syngraph node engine-keys` shows it")
    if len(frozenset(node_ids)) != len(node_ids):
        raise PlainInvalid("organizations", "a node id stands twice: each engine has its own")
    if any(not organization.name for organization in organizations):
        raise PlainInvalid("organizations", "every organization needs a name")


def _organization(entry: Any, base: Path, path: str) -> tuple[Organization, list[Member]]:
    _known(entry, _ORGANIZATION_FIELDS, path)
    certificate = _certificate(base / str(entry.get("ca_certificate", "")), f"{path}.ca_certificate")
    key = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    organization = organization_id(key)
    members = []
    for place, member in enumerate(_list(entry.get("members", []), f"{path}.members")):
        members.append(_member(organization, member, f"{path}.members[{place}]"))
    try:
        position = Position(entry.get("position", "party"))
    except ValueError as error:
        raise PlainInvalid(f"{path}.position", f"one of {', '.join(Position)} is needed") from error
    record = Organization(
        id=organization,
        name=str(entry.get("name", "")),
        position=position,
        ca_certificate=certificate.public_bytes(Encoding.DER),
        node_ids=tuple(sorted(map(str, _list(entry.get("node_ids", []), f"{path}.node_ids")))),
        validator_key=_hex(entry.get("validator_key", ""), f"{path}.validator_key"),
        ca_public_key=key,
    )
    return record, members


def _member(organization: str, entry: Any, path: str) -> Member:
    _known(entry, _MEMBER_FIELDS, path)
    public_key = _hex(entry.get("public_key", ""), f"{path}.public_key")
    try:
        roles = tuple(sorted(Role(role) for role in _list(entry.get("roles"), f"{path}.roles")))
    except ValueError as error:
        raise PlainInvalid(f"{path}.roles", f"roles are {', '.join(Role)}") from error
    return Member(
        id=member_id(organization, public_key),
        organization_id=organization,
        roles=roles,
        keys=(MemberKey(public_key=public_key),),
    )


def _parameters(given: Any) -> Parameters:
    _known(given, frozenset(f.name for f in dataclasses.fields(Parameters)), "parameters")
    for name, value in given.items():
        if type(value) is not int:
            raise PlainInvalid(f"parameters.{name}", "an integer is needed")
    return Parameters(**given)


def _known(entry: Any, names: frozenset[str], path: str) -> None:
    if not isinstance(entry, dict):
        raise PlainInvalid(path, "a table is needed")
    unknown = sorted(entry.keys() - names)
    if unknown:
        raise PlainInvalid(
            f"{path}.{unknown[0]}".lstrip("."), f"there is no such key; there are {', '.join(sorted(names))}"
        )


def _list(value: Any, path: str) -> list[Any]:
    if not isinstance(value, list):
        raise PlainInvalid(path, "a list is needed")
    return value


def _hex(value: Any, path: str) -> bytes:
    try:
        return bytes.fromhex(value)
    except (ValueError, TypeError) as error:
        raise PlainInvalid(path, "bytes are written as hex") from error


def _certificate(path: Path, field: str) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(path.read_bytes())
    except OSError as error:
        raise PlainInvalid(field, f"{path}: {error.strerror}") from error
    except ValueError as error:
        raise PlainInvalid(field, f"{path} is not a certificate in PEM") from error
