"""Keys of one ledger's engine in CometBFT's file formats: its validator key, what it last signed, and its node key."""

from __future__ import annotations

import base64
import json
import os
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Final

from nacl.signing import SigningKey

_PUBLIC_TYPE: Final = "tendermint/PubKeyEd25519"
_PRIVATE_TYPE: Final = "tendermint/PrivKeyEd25519"
_ADDRESS_BYTES: Final = 20


class EngineKeysWrong(Exception):
    """The key files are not there together, or cannot be read; the sentence says what to do."""


@dataclass(frozen=True, slots=True)
class EngineKeys:
    """What the ledger's founding needs: the peers' name of this engine, and its validator key (32 bytes)."""

    node_id: str
    validator_key: bytes


def validator_key_file(home: Path) -> Path:
    """Where the validator key lies."""
    return home / "config" / "priv_validator_key.json"


def validator_state_file(home: Path) -> Path:
    """Where the engine keeps what it signed last. It must never go back: an older copy makes it sign twice."""
    return home / "data" / "priv_validator_state.json"


def node_key_file(home: Path) -> Path:
    """Where the key of the peer connections lies."""
    return home / "config" / "node_key.json"


def ensure_engine_keys(home: Path) -> EngineKeys:
    """Make what is missing of a new engine's keys, and return their public halves. Raises EngineKeysWrong.

    A validator's state is made only together with its key, never beside blocks that it may have signed.
    """
    for folder in (home, home / "config", home / "data"):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not validator_key_file(home).exists():
        if (home / "data" / "blockstore.db").exists():
            raise EngineKeysWrong(f"{validator_key_file(home)} is gone, and there are blocks: put the key back.")
        _write_new(validator_key_file(home), _validator_key(SigningKey.generate()))
        _write_new(validator_state_file(home), {"height": "0", "round": 0, "step": 0})
    if not validator_state_file(home).exists():
        raise EngineKeysWrong(
            f"{validator_state_file(home)} is gone: without it the engine could sign twice. Restore it as it was last, "
            "or give this validator a new key."
        )
    if not node_key_file(home).exists():
        _write_new(node_key_file(home), {"priv_key": _private(SigningKey.generate())})
    return read_engine_keys(home)


def read_engine_keys(home: Path) -> EngineKeys:
    """The public halves of an engine's keys. Raises EngineKeysWrong."""
    try:
        validator = json.loads(validator_key_file(home).read_bytes())["pub_key"]["value"]
        node = json.loads(node_key_file(home).read_bytes())["priv_key"]["value"]
        public = base64.b64decode(node, validate=True)[32:]
        return EngineKeys(node_id(public), base64.b64decode(validator, validate=True))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise EngineKeysWrong(f"the engine's keys in {home} cannot be read: {error}") from error


def node_id(public_key: bytes) -> str:
    """What peers call the engine with this key: 40 hexadecimal digits."""
    return sha256(public_key).digest()[:_ADDRESS_BYTES].hex()


def _validator_key(key: SigningKey) -> dict[str, object]:
    public = key.verify_key.encode()
    return {
        "address": sha256(public).digest()[:_ADDRESS_BYTES].hex().upper(),
        "pub_key": {"type": _PUBLIC_TYPE, "value": base64.b64encode(public).decode("ascii")},
        "priv_key": _private(key),
    }


def _private(key: SigningKey) -> dict[str, str]:
    both = key.encode() + key.verify_key.encode()
    return {"type": _PRIVATE_TYPE, "value": base64.b64encode(both).decode("ascii")}


def _write_new(path: Path, content: dict[str, object]) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as target:
        json.dump(content, target, indent=2)
        target.write("\n")
