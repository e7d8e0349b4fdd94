"""Transactions: how one is built, named, signed and read, and the checks of its form that need no state.

What is signed is the bytes of the body, under a domain tag and the ledger's id; nobody encodes anew to verify. A
transaction's id is a hash of the body, not of the wrapper, whose signatures others can alter. DESIGN section 5.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, Final, cast

from nacl.signing import SigningKey

from ledgers.refusals import (
    CommandMissing,
    NoMessages,
    NonceInvalid,
    SignatureCountWrong,
    SignatureMalformed,
    SignerIndexInvalid,
    SignerMalformed,
    SignerRepeated,
    SignersMissing,
    TooManyMessages,
    TransactionMalformed,
    TransactionTooCostly,
    TransactionTooLarge,
)
from smartcontracts.codec import BytesMalformed, from_message, parse, to_message
from smartcontracts.kernel import Cause, ContractTable, MessageNotOffered, MessageType, Rejected
from smartcontracts.parameters import Parameters
from smartcontracts.verify.ed25519 import PUBLIC_KEY_BYTES, SIGNATURE_BYTES
from syngraph.v1 import transaction_pb2

NONCE_BYTES: Final = 16
SIGNERS_MAX: Final = 16
SIGNER_CHARACTERS_MAX: Final = 128
SIGNATURE_GAS: Final = 100
# What a message costs by its size comes on top of what its type declares: measured at worst 0.7 us a byte of empty list
# entries in protobuf, 2.3 us a value of JSON, of which each but the first has a comma or a bracket, and 1.5 us an @, around
# which mail addresses are looked for. Five bytes a unit leave room for a block that is full to the last byte.
BYTES_A_GAS: Final = 5
JSON_VALUE_GAS: Final = 2
BLOCK_GAS_MAX: Final = 1_000_000
_ID_TAG: Final = b"syngraph/tx/1"
_SIGN_TAG: Final = b"syngraph/sign/1"


@dataclass(frozen=True, slots=True)
class Signer:
    """A member as it is named in a transaction: "organization/member"."""

    organization: str
    member: str

    def __str__(self) -> str:
        return f"{self.organization}/{self.member}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """One message to send: the command's name in `Message.command`, its record, and the index of its signer."""

    name: str
    command: object
    signer: int = 0
    cause: Cause | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """One message as read: the command's record, and the type that answers it."""

    message: MessageType
    record: object
    signer: int
    cause: Cause | None


@dataclass(slots=True, kw_only=True)
class Prepared:
    """A transaction whose form is right (stage 1). `verified` notes that its signatures were found good before."""

    transaction_id: bytes
    ledger_id: str
    body: bytes
    expires_at_ms: int
    signers: tuple[Signer, ...]
    signatures: tuple[tuple[bytes, bytes], ...]
    commands: tuple[Command, ...]
    gas: int
    verified: bool = field(default=False)


def transaction_id(ledger_id: str, body: bytes) -> bytes:
    """SHA-256 over tag, ledger id and body: 32 bytes, the same whatever the signatures."""
    name = ledger_id.encode()
    return sha256(_ID_TAG + len(name).to_bytes(4, "big") + name + body).digest()


def signed_bytes(ledger_id: str, body: bytes) -> bytes:
    """What a signer's key signs."""
    return b"\x00".join((_SIGN_TAG, ledger_id.encode(), body))


def build_body(
    *, ledger_id: str, nonce: bytes, expires_at_ms: int, signers: Sequence[str], acts: Sequence[Act]
) -> bytes:
    """The encoded `TransactionBody`; `signers` as "organization/member", each once."""
    body = transaction_pb2.TransactionBody(
        ledger_id=ledger_id, nonce=nonce, expires_at_ms=expires_at_ms, signers=signers
    )
    for act in acts:
        message = body.messages.add(signer=act.signer)
        if act.cause is not None:
            message.cause.CopyFrom(cast("Any", to_message(act.cause)))
        # SetInParent: a command without fields must still be there.
        command = getattr(message, act.name)
        command.SetInParent()
        command.CopyFrom(to_message(act.command))
    return body.SerializeToString(deterministic=True)


def sign_body(ledger_id: str, body: bytes, key: SigningKey) -> tuple[bytes, bytes]:
    """(public key, signature) of one signer."""
    signed = key.sign(signed_bytes(ledger_id, body))
    return key.verify_key.encode(), signed.signature


def assemble(body: bytes, signatures: Sequence[tuple[bytes, bytes]]) -> bytes:
    """The encoded `Transaction` of a body and its signatures, which stand in the order of the body's signers."""
    signed = transaction_pb2.SignedTransaction(
        body=body,
        signatures=[
            transaction_pb2.Signature(public_key=public_key, signature=signature)
            for public_key, signature in signatures
        ],
    )
    return transaction_pb2.Transaction(signed=signed).SerializeToString(deterministic=True)


def encode_timestamp(ledger_id: str, time_ms: int) -> bytes:
    """The first transaction of a block: its proposer's clock."""
    timestamp = transaction_pb2.Timestamp(ledger_id=ledger_id, time_ms=time_ms)
    return transaction_pb2.Transaction(timestamp=timestamp).SerializeToString(deterministic=True)


def encode_tick(ledger_id: str, due_ms: int, attempt: int) -> bytes:
    """What asks for a block because a deadline is due; the same bytes on every node."""
    tick = transaction_pb2.Tick(ledger_id=ledger_id, due_ms=due_ms, attempt=attempt)
    return transaction_pb2.Transaction(tick=tick).SerializeToString(deterministic=True)


def parse_transaction(raw: bytes, bytes_max: int) -> transaction_pb2.Transaction:
    """The wrapper. Rejects with the first of: TransactionTooLarge, TransactionMalformed."""
    if len(raw) > bytes_max:
        raise TransactionTooLarge(f"A transaction may have at most {bytes_max} bytes.", "transaction")
    return cast("transaction_pb2.Transaction", _parse(transaction_pb2.Transaction, raw, "transaction"))


def prepare(signed: transaction_pb2.SignedTransaction, table: ContractTable, parameters: Parameters) -> Prepared:
    """Check everything about a transaction's form (stage 1) and read its commands.

    Rejects with the first of: SignatureMalformed, TransactionMalformed, NonceInvalid, SignersMissing, SignerMalformed,
    SignerRepeated, SignatureCountWrong, NoMessages, TooManyMessages, CommandMissing, MessageNotOffered,
    SignerIndexInvalid, the codec's refusals, TransactionTooCostly.
    """
    signatures = tuple((s.public_key, s.signature) for s in signed.signatures)
    for place, (public_key, signature) in enumerate(signatures):
        if len(public_key) != PUBLIC_KEY_BYTES or len(signature) != SIGNATURE_BYTES:
            raise SignatureMalformed(
                f"A public key has {PUBLIC_KEY_BYTES} bytes and a signature {SIGNATURE_BYTES}.",
                f"signatures[{place}]",
            )
    body = cast("transaction_pb2.TransactionBody", _parse(transaction_pb2.TransactionBody, signed.body, "body"))
    if len(body.nonce) != NONCE_BYTES:
        raise NonceInvalid(f"The nonce must be {NONCE_BYTES} random bytes.", "nonce")
    signers = _read_signers(body.signers)
    if len(signatures) != len(signers):
        raise SignatureCountWrong(f"There are {len(signers)} signers and {len(signatures)} signatures.", "signatures")
    commands = _read_commands(body, len(signers), table, parameters)
    gas = SIGNATURE_GAS * len(signers) + sum(c.message.gas for c in commands) + size_gas(signed.body)
    if gas > BLOCK_GAS_MAX:
        raise TransactionTooCostly("Send the messages in several transactions.", "messages")
    return Prepared(
        transaction_id=transaction_id(body.ledger_id, signed.body),
        ledger_id=body.ledger_id,
        body=signed.body,
        expires_at_ms=body.expires_at_ms,
        signers=signers,
        signatures=signatures,
        commands=commands,
        gas=gas,
    )


def size_gas(body: bytes) -> int:
    """Microseconds that reading a body may take for what is in it, whatever its messages are."""
    values = body.count(b",") + body.count(b"[") + body.count(b"{") + body.count(b"@")
    return len(body) // BYTES_A_GAS + JSON_VALUE_GAS * values


def _parse(message: Any, data: bytes, field_name: str) -> Any:
    try:
        return parse(message, data)
    except BytesMalformed as error:
        raise TransactionMalformed(error.sentence, field_name) from error


def _read_signers(names: Sequence[str]) -> tuple[Signer, ...]:
    if not 1 <= len(names) <= SIGNERS_MAX:
        raise SignersMissing(f"Name 1 to {SIGNERS_MAX} signers.", "signers")
    signers = tuple(_read_signer(name, place) for place, name in enumerate(names))
    if len(frozenset(signers)) != len(signers):
        raise SignerRepeated("Nobody signs twice.", "signers")
    return signers


def _read_signer(name: str, place: int) -> Signer:
    organization, slash, member = name.partition("/")
    plain = name.isascii() and name.isprintable() and len(name) <= SIGNER_CHARACTERS_MAX
    if not (plain and organization and slash and member) or "/" in member:
        raise SignerMalformed('A signer is written as "organization/member".', f"signers[{place}]")
    return Signer(organization, member)


def _read_commands(
    body: transaction_pb2.TransactionBody, signers: int, table: ContractTable, parameters: Parameters
) -> tuple[Command, ...]:
    if not body.messages:
        raise NoMessages("A transaction needs at least one message.", "messages")
    if len(body.messages) > parameters.messages_max:
        raise TooManyMessages(f"A transaction may have at most {parameters.messages_max} messages.", "messages")
    commands = []
    for place, message in enumerate(body.messages):
        try:
            commands.append(_read_command(message, signers, table))
        except Rejected as refusal:
            refusal.message_index = place
            raise
    return tuple(commands)


def _read_command(message: transaction_pb2.Message, signers: int, table: ContractTable) -> Command:
    name = message.WhichOneof("command")
    if name is None:
        raise CommandMissing("The message holds no command of this version.", "command")
    message_type = table.messages.get(name)
    if message_type is None:
        raise MessageNotOffered(f"This ledger does not offer the message {name}.", "command")
    if message.signer >= signers:
        raise SignerIndexInvalid(f"There is no signer with index {message.signer}.", "signer")
    cause = from_message(Cause, message.cause) if message.HasField("cause") else None
    record = from_message(message_type.command, getattr(message, name))
    return Command(message=message_type, record=record, signer=message.signer, cause=cause)
