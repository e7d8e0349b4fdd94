"""The genesis of a ledger: its record, the id that follows from it, and CometBFT's file around it.

The id is a hash of a record that holds a random secret, so it is random to outsiders and binding to members; it is
CometBFT's chain id too. DESIGN sections 1, 6; `docs/architecture.md`.
"""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any, ClassVar, Final

from ledgers.kinds import POSITIONS, contract_table
from ledgers.transaction import BLOCK_GAS_MAX
from smartcontracts.codec import decode, encode
from smartcontracts.ids import ID_HASH_BYTES, base32, member_id, organization_id
from smartcontracts.kernel import Grpc, Rejected
from smartcontracts.membership import Member, Organization
from smartcontracts.parameters import Parameters, check
from smartcontracts.verify.ed25519 import check_public_key
from smartcontracts.verify.errors import PublicKeyInvalid
from smartcontracts.verify.hashing import DOCUMENT_SECRET_BYTES

LEDGER_ID_PREFIX: Final = "sg_"
VALIDATOR_POWER: Final = 10
VALIDATOR_KEY_BYTES: Final = 32
BLOCK_BYTES_MAX: Final = 4 * 1024 * 1024
MEMBERS_MAX: Final = 500
EVIDENCE_AGE_BLOCKS: Final = 1_000_000
EVIDENCE_AGE_NS: Final = 30 * 24 * 3_600 * 10**9
EVIDENCE_BYTES_MAX: Final = 64 * 1024
_KEY_TYPE: Final = "tendermint/PubKeyEd25519"


class GenesisInvalid(Rejected):
    """A genesis that no ledger can begin with."""

    code: ClassVar[int] = 2221
    grpc: ClassVar[Grpc] = Grpc.INVALID_ARGUMENT


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerGenesis:
    """What a ledger begins with. `secret` is 32 random bytes that only members know: salts derive from it."""

    kind: str
    secret: bytes
    created_at_ms: int
    contracts_version: int
    parameters: Parameters
    organizations: tuple[Organization, ...]
    members: tuple[Member, ...] = field(metadata={"list_max": MEMBERS_MAX})

    @property
    def validators(self) -> tuple[bytes, ...]:
        """Validator keys (Ed25519, 32 bytes), in the order of the organizations."""
        return tuple(o.validator_key for o in self.organizations if o.validator_key)


def ledger_id(genesis: LedgerGenesis) -> str:
    """The ledger's id, CometBFT's chain id: 35 characters."""
    return ledger_id_of(encode(genesis))


def ledger_id_of(encoded: bytes) -> str:
    """As `ledger_id`, of the encoded genesis."""
    return LEDGER_ID_PREFIX + base32(sha256(encoded).digest()[:ID_HASH_BYTES])


def check_genesis(genesis: LedgerGenesis) -> None:
    """Rejects with LedgerKindUnknown, ContractsVersionUnknown, ParameterOutOfBounds, GenesisInvalid."""
    contract_table(genesis.kind, genesis.contracts_version)
    check(genesis.parameters)
    if len(genesis.secret) != DOCUMENT_SECRET_BYTES:
        raise GenesisInvalid(f"The secret must be {DOCUMENT_SECRET_BYTES} random bytes.", "secret")
    if genesis.created_at_ms <= 0:
        raise GenesisInvalid("The time of creation must be given.", "created_at_ms")
    _check_organizations(genesis)
    _check_members(genesis)


def _check_organizations(genesis: LedgerGenesis) -> None:
    ids = [o.id for o in genesis.organizations]
    if not ids or ids != sorted(frozenset(ids)):
        raise GenesisInvalid("Organizations must be given, sorted by id, none twice.", "organizations")
    for organization in genesis.organizations:
        if organization.position not in POSITIONS[genesis.kind]:
            raise GenesisInvalid(f"A ledger of kind {genesis.kind} has no {organization.position}.", "organizations")
        if organization.id != organization_id(organization.ca_public_key):
            raise GenesisInvalid("An organization's id is the hash of its CA's public key.", "organizations")
    if any(len(key) != VALIDATOR_KEY_BYTES for key in genesis.validators):
        raise GenesisInvalid(f"A validator's key has {VALIDATOR_KEY_BYTES} bytes.", "organizations")
    if not genesis.validators or len(frozenset(genesis.validators)) != len(genesis.validators):
        raise GenesisInvalid("At least one organization validates, each with its own key.", "organizations")


def _check_members(genesis: LedgerGenesis) -> None:
    ids = [m.id for m in genesis.members]
    if not ids or ids != sorted(frozenset(ids)):
        raise GenesisInvalid("Members must be given, sorted by id, none twice.", "members")
    known = frozenset(o.id for o in genesis.organizations)
    if any(m.organization_id not in known for m in genesis.members):
        raise GenesisInvalid("A member's organization must be there.", "members")
    if any(not m.keys or m.id != member_id(m.organization_id, m.keys[0].public_key) for m in genesis.members):
        raise GenesisInvalid("A member's id is the hash of its organization and first key.", "members")
    keys = [k.public_key for m in genesis.members for k in m.keys]
    if len(frozenset(keys)) != len(keys):
        raise GenesisInvalid("One key belongs to one member.", "members")
    for key in keys:
        try:
            check_public_key(key)
        except PublicKeyInvalid as error:
            raise GenesisInvalid(f"A member's key can't be used: {error}.", "members") from error


def comet_genesis(genesis: LedgerGenesis) -> dict[str, Any]:
    """CometBFT's genesis document, ready for `json.dumps`. Rejects as `check_genesis`."""
    check_genesis(genesis)
    return {
        "genesis_time": _iso(genesis.created_at_ms),
        "chain_id": ledger_id(genesis),
        "initial_height": "1",
        "consensus_params": {
            "block": {"max_bytes": str(BLOCK_BYTES_MAX), "max_gas": str(BLOCK_GAS_MAX)},
            "evidence": {
                "max_age_num_blocks": str(EVIDENCE_AGE_BLOCKS),
                "max_age_duration": str(EVIDENCE_AGE_NS),
                "max_bytes": str(EVIDENCE_BYTES_MAX),
            },
            "validator": {"pub_key_types": ["ed25519"]},
            "version": {"app": str(genesis.contracts_version)},
            "abci": {"vote_extensions_enable_height": "0"},
        },
        "validators": [_comet_validator(key) for key in genesis.validators],
        "app_hash": "",
        "app_state": {"genesis": base64.b64encode(encode(genesis)).decode("ascii")},
    }


def parse_app_state(app_state: bytes, chain_id: str) -> LedgerGenesis:
    """The genesis out of CometBFT's `app_state`. Rejects with GenesisInvalid, as `check_genesis`, and as the codec."""
    try:
        encoded = base64.b64decode(json.loads(app_state)["genesis"], validate=True)
    except (ValueError, KeyError, TypeError, binascii.Error) as error:
        raise GenesisInvalid('app_state must be {"genesis": "<base64>"}.', "app_state") from error
    return parse_genesis(encoded, chain_id)


def parse_genesis(encoded: bytes, chain_id: str) -> LedgerGenesis:
    """The genesis from its canonical bytes, which must hash to `chain_id`. Rejects as `parse_app_state`."""
    if ledger_id_of(encoded) != chain_id:
        raise GenesisInvalid(f"The genesis is not that of {chain_id}.", "chain_id")
    genesis = decode(LedgerGenesis, encoded)
    check_genesis(genesis)
    return genesis


def _comet_validator(key: bytes) -> dict[str, Any]:
    return {
        "address": sha256(key).digest()[:20].hex().upper(),
        "pub_key": {"type": _KEY_TYPE, "value": base64.b64encode(key).decode("ascii")},
        "power": str(VALIDATOR_POWER),
        # A moniker says nothing: peers see it before any filter can act.
        "name": "",
    }


def _iso(time_ms: int) -> str:
    """RFC 3339 in UTC, with milliseconds."""
    instant = datetime.fromtimestamp(time_ms // 1_000, tz=UTC)
    return f"{instant:%Y-%m-%dT%H:%M:%S}.{time_ms % 1_000:03d}Z"
