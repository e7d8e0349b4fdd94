"""Making a transaction: acts, who signs, until when it may be executed."""

from __future__ import annotations

import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, cast

from nacl.signing import SigningKey

from ledgers.client.plain import PlainInvalid, from_plain
from ledgers.transaction import NONCE_BYTES, Act, assemble, build_body, sign_body, transaction_id
from syngraph.v1.transaction_pb2 import Message, SignedTransaction, Transaction, TransactionBody

TTL_MS: Final = 120_000
MESSAGES_MAX: Final = 1_000


@dataclass(frozen=True, slots=True)
class SigningMember:
    """A member ("organization/member") with one of its keys."""

    name: str
    key: SigningKey


@dataclass(frozen=True, slots=True)
class SignedBytes:
    """A transaction ready to be handed to any node."""

    id: bytes
    encoded: bytes


def make(ledger_id: str, acts: Sequence[Act], signers: Sequence[SigningMember], ttl_ms: int = TTL_MS) -> SignedBytes:
    """One atomic transaction of `acts`, signed by all of `signers` (an act's `signer` is an index into them)."""
    body = build_body(
        ledger_id=ledger_id,
        nonce=secrets.token_bytes(NONCE_BYTES),
        expires_at_ms=time.time_ns() // 1_000_000 + ttl_ms,
        signers=[signer.name for signer in signers],
        acts=acts,
    )
    return sign(ledger_id, body, signers)


def make_from_plain(
    ledger_id: str, messages: object, signers: Sequence[SigningMember], ttl_ms: int = TTL_MS
) -> SignedBytes:
    """As `make`, of messages as JSON gives them: `[{"add_member": {...}}, ...]`. Raises PlainInvalid."""
    if not isinstance(messages, list) or not 0 < len(messages) <= MESSAGES_MAX:
        raise PlainInvalid("messages", f"a list of 1 to {MESSAGES_MAX} messages is needed")
    built = [
        cast("Message", from_plain(Message, message, f"messages[{place}]")) for place, message in enumerate(messages)
    ]
    body = TransactionBody(
        ledger_id=ledger_id,
        nonce=secrets.token_bytes(NONCE_BYTES),
        expires_at_ms=time.time_ns() // 1_000_000 + ttl_ms,
        signers=[signer.name for signer in signers],
        messages=built,
    )
    return sign(ledger_id, body.SerializeToString(deterministic=True), signers)


def sign(ledger_id: str, body: bytes, signers: Sequence[SigningMember]) -> SignedBytes:
    """The transaction of an encoded body that names these signers in this order."""
    signatures = [sign_body(ledger_id, body, signer.key) for signer in signers]
    return SignedBytes(transaction_id(ledger_id, body), assemble(body, signatures))


def body_of(encoded: bytes) -> TransactionBody:
    """The body inside an encoded signed transaction, to be shown. Raises ValueError."""
    signed: SignedTransaction = Transaction.FromString(encoded).signed
    return TransactionBody.FromString(signed.body)
