"""Why a transaction has no place in a block: the refusals of stages 1 to 5, numbered 1001 to 1099.

Stages: 1 form, 2 ledger, 3 expiry, 4 replay, 5 signers, keys and signatures. What fails here leaves no trace. DESIGN section 5.
"""

from __future__ import annotations

from typing import ClassVar

from smartcontracts.kernel import Grpc, Rejected


class FormRefused(Rejected):
    """Base of the refusals of stage 1."""

    grpc: ClassVar[Grpc] = Grpc.INVALID_ARGUMENT


class TransactionTooLarge(FormRefused):
    """The transaction has more bytes than the ledger's `transaction_bytes_max`."""

    code: ClassVar[int] = 1001


class TransactionMalformed(FormRefused):
    """The bytes are no transaction, not in its canonical form, or have unknown fields."""

    code: ClassVar[int] = 1002


class NonceInvalid(FormRefused):
    """The nonce is not of 16 bytes."""

    code: ClassVar[int] = 1003


class NoMessages(FormRefused):
    """A transaction without a message does nothing."""

    code: ClassVar[int] = 1004


class TooManyMessages(FormRefused):
    """The transaction has more messages than the ledger's `messages_max`."""

    code: ClassVar[int] = 1005


class CommandMissing(FormRefused):
    """A message holds no command that this version knows."""

    code: ClassVar[int] = 1006


class SignerIndexInvalid(FormRefused):
    """A message names a signer who is not in the list."""

    code: ClassVar[int] = 1007


class SignersMissing(FormRefused):
    """The list of signers is empty, or longer than allowed."""

    code: ClassVar[int] = 1008


class SignerMalformed(FormRefused):
    """A signer is not written as organization/member."""

    code: ClassVar[int] = 1009


class SignerRepeated(FormRefused):
    """A signer is in the list twice."""

    code: ClassVar[int] = 1010


class SignatureCountWrong(FormRefused):
    """There are more or fewer signatures than signers."""

    code: ClassVar[int] = 1011


class SignatureMalformed(FormRefused):
    """A public key is not of 32 bytes, or a signature not of 64."""

    code: ClassVar[int] = 1012


class TransactionTooCostly(FormRefused):
    """The messages together may take longer than a block may."""

    code: ClassVar[int] = 1013


class WrongLedger(Rejected):
    """The transaction is for another ledger."""

    code: ClassVar[int] = 1020
    grpc: ClassVar[Grpc] = Grpc.INVALID_ARGUMENT


class TransactionExpired(Rejected):
    """Ledger time is past the transaction's last millisecond."""

    code: ClassVar[int] = 1021
    grpc: ClassVar[Grpc] = Grpc.DEADLINE_EXCEEDED


class ExpiryTooFar(Rejected):
    """The transaction expires later than the ledger remembers transactions."""

    code: ClassVar[int] = 1022
    grpc: ClassVar[Grpc] = Grpc.INVALID_ARGUMENT


class TransactionReplayed(Rejected):
    """This body was executed before, whatever its signatures."""

    code: ClassVar[int] = 1023
    grpc: ClassVar[Grpc] = Grpc.ALREADY_EXISTS


class SignerRefused(Rejected):
    """Base of the refusals of stage 5."""

    grpc: ClassVar[Grpc] = Grpc.UNAUTHENTICATED


class SignerUnknown(SignerRefused):
    """The ledger knows no such member of that organization."""

    code: ClassVar[int] = 1030


class SignerRevoked(SignerRefused):
    """The member's standing has ended."""

    code: ClassVar[int] = 1031


class SignerRemoved(SignerRefused):
    """The organization's access to the ledger has ended."""

    code: ClassVar[int] = 1032


class SigningKeyUnknown(SignerRefused):
    """The member has no such key."""

    code: ClassVar[int] = 1033


class SigningKeyRevoked(SignerRefused):
    """The key is revoked."""

    code: ClassVar[int] = 1034


class SigningKeyNotYetValid(SignerRefused):
    """The key's validity begins later."""

    code: ClassVar[int] = 1035


class SigningKeyExpired(SignerRefused):
    """The key's validity has ended."""

    code: ClassVar[int] = 1036


class SigningKeyOfSmallOrder(SignerRefused):
    """The public key is one of the few points under which anybody can sign."""

    code: ClassVar[int] = 1037


class SignatureInvalid(SignerRefused):
    """The signature does not fit body, ledger and key."""

    code: ClassVar[int] = 1038
