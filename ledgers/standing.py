"""Who signed: the checks of a transaction against the membership, at ledger time (stages 2, 3 and 5)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ledgers.refusals import (
    ExpiryTooFar,
    SignatureInvalid,
    SignerRemoved,
    SignerRevoked,
    SignerUnknown,
    SigningKeyExpired,
    SigningKeyNotYetValid,
    SigningKeyOfSmallOrder,
    SigningKeyRevoked,
    SigningKeyUnknown,
    TransactionExpired,
    WrongLedger,
)
from ledgers.transaction import signed_bytes
from smartcontracts.kernel import Rejected, Sender, require_standing
from smartcontracts.membership import MEMBER, ORGANIZATION, MemberStatus, OrganizationStatus
from smartcontracts.verify.ed25519 import verify_transaction_signature

if TYPE_CHECKING:
    from ledgers.transaction import Prepared, Signer
    from smartcontracts.kernel import View

# The y coordinates of the points whose order divides eight, little-endian, without the sign bit; the last two are not
# reduced. libsodium refuses them too: this list gives them a code of their own.
_SMALL_ORDER: Final = frozenset(
    bytes.fromhex(y)
    for y in (
        "00" * 32,
        "01" + "00" * 31,
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
        "ec" + "ff" * 30 + "7f",
        "ed" + "ff" * 30 + "7f",
        "ee" + "ff" * 30 + "7f",
    )
)


def check_ledger(transaction: Prepared, ledger_id: str) -> None:
    """Stage 2. Rejects with WrongLedger."""
    if transaction.ledger_id != ledger_id:
        raise WrongLedger("The transaction is for another ledger.", "ledger_id")


def check_expiry(transaction: Prepared, now_ms: int, max_ttl_ms: int, slack_ms: int = 0) -> None:
    """Stage 3, `slack_ms` milder at both ends. Rejects with TransactionExpired or ExpiryTooFar. Its last millisecond is included."""
    if transaction.expires_at_ms < now_ms - slack_ms:
        raise TransactionExpired("The transaction has expired; make a new one.", "expires_at_ms")
    if transaction.expires_at_ms > now_ms + max_ttl_ms + slack_ms:
        raise ExpiryTooFar(f"A transaction may expire at most {max_ttl_ms} ms ahead of ledger time.", "expires_at_ms")


def check_signers(transaction: Prepared, view: View, now_ms: int) -> tuple[Sender, ...]:
    """Stage 5: every signer known and in standing, every key good, every signature right, every message in role.

    Rejects, signer by signer, with the first of: SignerUnknown, SignerRemoved, SignerRevoked, SigningKeyOfSmallOrder,
    SigningKeyUnknown, SigningKeyRevoked, SigningKeyNotYetValid, SigningKeyExpired; then SignatureInvalid; then, message
    by message, PositionWrong, RoleMissing, and what its type doesn't admit.
    """
    senders = tuple(
        _check_signer(signer, public_key, view, now_ms, place)
        for place, (signer, (public_key, _)) in enumerate(zip(transaction.signers, transaction.signatures, strict=True))
    )
    if not transaction.verified:
        _check_signatures(transaction)
        transaction.verified = True
    for place, command in enumerate(transaction.commands):
        message = command.message
        try:
            sender = senders[command.signer]
            require_standing(sender, message.positions, message.roles, message.name)
            if message.admit is not None:
                message.admit(command.record, sender, view)
        except Rejected as refusal:
            refusal.message_index = place
            raise
    return senders


def _check_signer(signer: Signer, public_key: bytes, view: View, now_ms: int, place: int) -> Sender:
    field = f"signers[{place}]"
    member = view.get(MEMBER, signer.member)
    organization = view.get(ORGANIZATION, signer.organization)
    if member is None or organization is None or member.organization_id != signer.organization:
        raise SignerUnknown("The ledger knows no such member.", field)
    if organization.status != OrganizationStatus.ACTIVE:
        raise SignerRemoved("The organization's access to this ledger has ended.", field)
    if member.status != MemberStatus.ACTIVE:
        raise SignerRevoked("The member's standing has ended.", field)
    field = f"signatures[{place}].public_key"
    if public_key[:31] + bytes((public_key[31] & 0x7F,)) in _SMALL_ORDER:
        raise SigningKeyOfSmallOrder("Anybody could sign with this key.", field)
    key = member.key(public_key)
    if key is None:
        raise SigningKeyUnknown("The member has no such key.", field)
    if key.revoked_at_ms:
        raise SigningKeyRevoked("The key is revoked.", field)
    if now_ms < key.valid_from_ms:
        raise SigningKeyNotYetValid("The key is not valid yet.", field)
    if key.valid_until_ms and now_ms > key.valid_until_ms:
        raise SigningKeyExpired("The key's validity has ended.", field)
    return Sender(organization=organization.id, member=member.id, roles=member.roles, position=organization.position)


def _check_signatures(transaction: Prepared) -> None:
    message = signed_bytes(transaction.ledger_id, transaction.body)
    for place, (public_key, signature) in enumerate(transaction.signatures):
        if not verify_transaction_signature(public_key, message, signature):
            raise SignatureInvalid("The signature does not fit body, ledger and key.", f"signatures[{place}].signature")
