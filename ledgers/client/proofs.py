"""Proof files: one document, or its absence, with everything that shows it to somebody who was not there.

Checked against nothing but the ledger's genesis file: document, commitment, ICS-23 proof, app hash, header, and the votes of
more than two thirds of the genesis validators. No network, no data directory. Req: Q-18, R-21.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final

from ledgers.client.records import read_body
from ledgers.genesis import VALIDATOR_POWER, LedgerGenesis, parse_app_state
from smartcontracts.kernel import Rejected
from smartcontracts.verify.commit import check_commit
from smartcontracts.verify.errors import VerificationError
from smartcontracts.verify.hashing import document_commitment
from smartcontracts.verify.ics23 import verify_membership, verify_non_membership
from smartcontracts.verify.light import validate_light_block
from smartcontracts.verify.records import LightBlock, Timestamp, ValidatorSet
from smartcontracts.verify.rpc_json import parse_light_block
from smartcontracts.verify.validators import build_validator_set, hash_validators, make_validator
from syngraph.v1 import application_pb2 as wire
from syngraph.v1 import system_pb2

FORMAT: Final = "syngraph-proof/1"
FILE_BYTES_MAX: Final = 16 * 1024 * 1024
GENESIS_BYTES_MAX: Final = 16 * 1024 * 1024
_FIELDS: Final = frozenset(
    {"format", "ledger_id", "kind", "id", "stored", "salt", "proof", "height", "signed_header", "validators", "sha256"}
)


class ProofFileInvalid(Exception):
    """The file does not prove what it says; `reason` is a stable word for the first check that failed."""

    def __init__(self, reason: str, sentence: str) -> None:
        """Keep the reason."""
        super().__init__(sentence)
        self.reason = reason


@dataclass(frozen=True, slots=True, kw_only=True)
class ProofFile:
    """What a proof file holds. `stored` is None where absence is proven; the header is that of `height` + 1."""

    ledger_id: str
    kind: str
    id: str
    stored: bytes | None
    salt: bytes
    proof: bytes
    height: int
    signed_header: Any
    validators: Any

    @classmethod
    def of_answer(cls, ledger_id: str, kind: str, document_id: str, answer: wire.ProveResponse) -> ProofFile:
        """From the node's answer, which is not checked here: `verify_proof` does that."""
        present = answer.HasField("document")
        return cls(
            ledger_id=ledger_id,
            kind=kind,
            id=document_id,
            stored=answer.document.stored if present else None,
            salt=answer.document.salt if present else b"",
            proof=answer.proof,
            height=answer.height,
            signed_header=json.loads(answer.commit_json)["signed_header"],
            validators=json.loads(answer.validators_json)["validators"],
        )

    def to_bytes(self) -> bytes:
        """The file. Its own SHA-256 catches accidents; what it claims is shown by the signatures in it."""
        content: dict[str, Any] = {
            "format": FORMAT,
            "ledger_id": self.ledger_id,
            "kind": self.kind,
            "id": self.id,
            "stored": None if self.stored is None else self.stored.hex(),
            "salt": self.salt.hex(),
            "proof": self.proof.hex(),
            "height": self.height,
            "signed_header": self.signed_header,
            "validators": self.validators,
        }
        return _dump({**content, "sha256": sha256(_dump(content)).hexdigest()})

    @classmethod
    def from_bytes(cls, data: bytes) -> ProofFile:
        """Read a file. Raises ProofFileInvalid unless every byte is as `to_bytes` writes it."""
        if len(data) > FILE_BYTES_MAX:
            raise ProofFileInvalid("file_too_large", f"A proof file has at most {FILE_BYTES_MAX} bytes.")
        try:
            content = json.loads(data)
            if content.keys() != _FIELDS or content["format"] != FORMAT:
                raise ValueError("other members or another format")
            read = cls(
                ledger_id=str(content["ledger_id"]),
                kind=str(content["kind"]),
                id=str(content["id"]),
                stored=None if content["stored"] is None else bytes.fromhex(content["stored"]),
                salt=bytes.fromhex(content["salt"]),
                proof=bytes.fromhex(content["proof"]),
                height=int(content["height"]),
                signed_header=content["signed_header"],
                validators=content["validators"],
            )
            canonical = read.to_bytes()
        except (ValueError, TypeError, KeyError, AttributeError, ArithmeticError, RecursionError) as error:
            raise ProofFileInvalid(
                "file_malformed", f"This is not a proof file of format {FORMAT}: {error}."
            ) from error
        if canonical != data:
            raise ProofFileInvalid("file_altered", "The file was altered: it does not fit its own checksum or form.")
        return read


@dataclass(frozen=True, slots=True, kw_only=True)
class Proven:
    """What a proof file shows. `body` is None where absence is proven; `time` is the header's."""

    ledger_id: str
    kind: str
    id: str
    body: Any
    height: int
    app_hash: bytes
    header_height: int
    time: Timestamp
    voted_power: int
    total_power: int


def verify_proof(file: ProofFile, comet_genesis: bytes) -> Proven:
    """What the file proves, judged by the ledger's genesis file alone. Raises ProofFileInvalid."""
    genesis = read_genesis(comet_genesis)
    if file.ledger_id != genesis[0]:
        raise ProofFileInvalid("another_ledger", "The proof is of another ledger than the genesis file.")
    try:
        block = parse_light_block({"signed_header": file.signed_header, "validators": file.validators})
        _check_header(block, file, _validators_of(genesis[1]))
        root = block.signed_header.header.app_hash
        key = f"{file.kind}/{file.id}".encode()
        if file.stored is None:
            verify_non_membership(root, key, file.proof)
        else:
            verify_membership(root, key, document_commitment(file.salt, file.stored), file.proof)
    except VerificationError as error:
        raise ProofFileInvalid(error.reason, f"Not proven: {error}.") from error
    except ValueError as error:
        raise ProofFileInvalid("input_malformed", f"Not proven: {error}.") from error
    return _proven(file, block, genesis[1])


def read_genesis(comet_genesis: bytes) -> tuple[str, LedgerGenesis]:
    """Ledger id and genesis out of CometBFT's genesis file. Raises ProofFileInvalid."""
    if len(comet_genesis) > GENESIS_BYTES_MAX:
        raise ProofFileInvalid("genesis_too_large", f"A genesis file has at most {GENESIS_BYTES_MAX} bytes.")
    try:
        document = json.loads(comet_genesis)
        ledger_id = str(document["chain_id"])
        return ledger_id, parse_app_state(json.dumps(document["app_state"]).encode(), ledger_id)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ProofFileInvalid("genesis_malformed", "This is not the genesis file of a ledger.") from error
    except Rejected as refused:
        raise ProofFileInvalid("genesis_malformed", refused.sentence) from refused


def _check_header(block: LightBlock, file: ProofFile, expected: ValidatorSet) -> None:
    validate_light_block(block, file.ledger_id)
    header, commit = block.signed_header.header, block.signed_header.commit
    if header.height != file.height + 1:
        raise ProofFileInvalid("height_mismatch", "The header is not the one after the proven state.")
    if hash_validators(block.validators) != hash_validators(expected):
        raise ProofFileInvalid("validators_unknown", "The validators are not those of the genesis file.")
    check_commit(expected, file.ledger_id, commit.block_id, header.height, commit)


def _validators_of(genesis: LedgerGenesis) -> ValidatorSet:
    return build_validator_set(make_validator(key, VALIDATOR_POWER) for key in genesis.validators)


def _proven(file: ProofFile, block: LightBlock, genesis: LedgerGenesis) -> Proven:
    header, commit = block.signed_header.header, block.signed_header.commit
    body = None
    if file.stored is not None:
        stored = system_pb2.StoredDocument.FromString(file.stored)
        body = read_body(file.kind, file.id, stored.body, genesis.kind, header.version_app)
    voted = sum(vote.flag == _FOR_BLOCK for vote in commit.signatures)
    return Proven(
        ledger_id=file.ledger_id,
        kind=file.kind,
        id=file.id,
        body=body,
        height=file.height,
        app_hash=header.app_hash,
        header_height=header.height,
        time=header.time,
        voted_power=voted * VALIDATOR_POWER,
        total_power=len(commit.signatures) * VALIDATOR_POWER,
    )


_FOR_BLOCK: Final = 2


def _dump(content: dict[str, Any]) -> bytes:
    return (json.dumps(content, indent=1, sort_keys=True, ensure_ascii=True, allow_nan=False) + "\n").encode("ascii")
