"""Refusals as gRPC sees them: a status code, a sentence, and the machine-readable detail in a trailer.

Codes below 9000 are the ledger's own (contracts, transactions, queries); 9000-9099 are the node's.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Final, NoReturn

import grpc
from google.protobuf.message import DecodeError

import ledgers.kinds
from node.application_client import ApplicationAway, ApplicationRefused, ReaderTooSlow
from node.rpc import Checked, EngineAway, EngineRefused
from smartcontracts.kernel import Grpc, Rejected
from syngraph.v1.api_pb2 import Refusal
from syngraph.v1.system_pb2 import Receipt

TRAILER: Final = "syngraph-refusal-bin"


class LedgerUnknown(Rejected):
    """There is no such ledger on this node, or none that the caller may see: the two are told apart by nobody."""

    code = 9001
    grpc = Grpc.NOT_FOUND


class StandingEnded(Rejected):
    """The caller's standing on this ledger ended while the stream was open."""

    code = 9002
    grpc = Grpc.PERMISSION_DENIED


class RequestMalformed(Rejected):
    """A field of the request is missing, too long or contradicts another one."""

    code = 9003
    grpc = Grpc.INVALID_ARGUMENT


class ApplicationUnavailable(Rejected):
    """The application process of this node does not answer; it is restarted by itself."""

    code = 9010
    transient = True
    grpc = Grpc.UNAVAILABLE


class EngineUnavailable(Rejected):
    """The ledger's engine on this node does not answer; it is restarted by itself."""

    code = 9011
    transient = True
    grpc = Grpc.UNAVAILABLE


class MempoolRefused(Rejected):
    """The engine took the transaction for too large, or has no room for it."""

    code = 9012
    transient = True
    grpc = Grpc.RESOURCE_EXHAUSTED


class NotCommittedInTime(Rejected):
    """No block had the transaction before the wait ended; it may still get one until it expires."""

    code = 9013
    transient = True
    grpc = Grpc.DEADLINE_EXCEEDED


class ReaderSlow(Rejected):
    """The reader of a stream fell too far behind; resume from the last cursor."""

    code = 9014
    transient = True
    grpc = Grpc.RESOURCE_EXHAUSTED


class HeaderNotYet(Rejected):
    """The state of this height is not proven by a header yet; it is once the next block is there."""

    code = 9015
    transient = True
    grpc = Grpc.UNAVAILABLE


class NodeStarting(Rejected):
    """The node has just started and does not know yet who has a standing on its ledgers."""

    code = 9016
    transient = True
    grpc = Grpc.UNAVAILABLE


@dataclass(frozen=True, slots=True)
class Answer:
    """A refusal ready to be sent."""

    status: grpc.StatusCode
    refusal: Refusal


class CallRefused(Exception):
    """Ends a call with `answer`."""

    def __init__(self, answer: Answer) -> None:
        """Keep the answer."""
        super().__init__(answer.refusal.sentence)
        self.answer = answer


@dataclass(frozen=True, slots=True)
class _Sort:
    """What a code means to gRPC where the class itself cannot be looked at."""

    status: Grpc
    transient: bool = False


# The application's own refusals reach the node as receipts, and its classes cannot be imported here; a test compares.
APPLICATION_SORTS: Final = {
    1050: _Sort(Grpc.INTERNAL),
    1052: _Sort(Grpc.RESOURCE_EXHAUSTED, transient=True),
    1053: _Sort(Grpc.UNAVAILABLE, transient=True),
    1054: _Sort(Grpc.INVALID_ARGUMENT),
    1055: _Sort(Grpc.INVALID_ARGUMENT),
    1056: _Sort(Grpc.FAILED_PRECONDITION, transient=True),
    1058: _Sort(Grpc.RESOURCE_EXHAUSTED, transient=True),
    8001: _Sort(Grpc.OUT_OF_RANGE),
    8002: _Sort(Grpc.OUT_OF_RANGE, transient=True),
    8003: _Sort(Grpc.NOT_FOUND),
    8004: _Sort(Grpc.INVALID_ARGUMENT),
    8005: _Sort(Grpc.INVALID_ARGUMENT),
    8006: _Sort(Grpc.INVALID_ARGUMENT),
    8007: _Sort(Grpc.INVALID_ARGUMENT),
    8008: _Sort(Grpc.OUT_OF_RANGE),
    8009: _Sort(Grpc.INVALID_ARGUMENT),
    8010: _Sort(Grpc.NOT_FOUND),
    8011: _Sort(Grpc.NOT_FOUND),
    8012: _Sort(Grpc.INVALID_ARGUMENT),
    8013: _Sort(Grpc.INVALID_ARGUMENT),
    8014: _Sort(Grpc.RESOURCE_EXHAUSTED),
    8015: _Sort(Grpc.OUT_OF_RANGE, transient=True),
    8016: _Sort(Grpc.UNAVAILABLE),
    8017: _Sort(Grpc.INTERNAL),
}


def of_rejection(rejected: Rejected) -> Answer:
    """A refusal of the node's own code."""
    return Answer(
        grpc.StatusCode[rejected.grpc.value],
        Refusal(
            code=rejected.code,
            name=rejected.refusal_name(),
            field=rejected.field,
            sentence=rejected.sentence,
            transient=rejected.transient,
            message_index=rejected.message_index,
            existing_id=rejected.existing_id,
        ),
    )


def of_receipt(receipt: Receipt) -> Answer:
    """A refusal that the application or a block gave as a receipt."""
    sort = _sort_of(receipt.code)
    return Answer(
        grpc.StatusCode[sort.status.value],
        Refusal(
            code=receipt.code,
            name=receipt.name,
            field=receipt.field,
            sentence=receipt.sentence,
            transient=sort.transient,
            message_index=receipt.message_index,
            existing_id=receipt.existing_id,
        ),
    )


def of_check(checked: Checked) -> Receipt:
    """The refusal that CheckTx gave: the application puts an encoded receipt into `data`."""
    try:
        return Receipt.FromString(checked.data)
    except DecodeError:
        return Receipt(code=checked.code, name="REFUSED", sentence=checked.log)


def of_error(error: Exception) -> Answer:
    """The answer for what the node's parts raise. Anything unforeseen is raised on."""
    if isinstance(error, CallRefused):
        return error.answer
    if isinstance(error, ApplicationRefused):
        return of_receipt(error.receipt)
    if isinstance(error, Rejected):
        return of_rejection(error)
    if isinstance(error, ApplicationAway):
        return of_rejection(ApplicationUnavailable("The application is not there at the moment; try again."))
    if isinstance(error, EngineAway):
        return of_rejection(EngineUnavailable("The ledger's engine is not there at the moment; try again."))
    if isinstance(error, EngineRefused):
        return of_rejection(MempoolRefused("The engine has no room for the transaction, or it is too large."))
    if isinstance(error, ReaderTooSlow):
        return of_rejection(ReaderSlow("The reader fell behind; resume from the last cursor."))
    raise error


def refuse(rejected: Rejected) -> NoReturn:
    """End the call with this refusal."""
    raise CallRefused(of_rejection(rejected))


@cache
def _classes() -> dict[int, type[Rejected]]:
    """Every refusal class that the imported modules declare, by code."""
    # Named so that all contracts, and with them their refusals, are loaded.
    _ = ledgers.kinds
    found: dict[int, type[Rejected]] = {}
    waiting = list(Rejected.__subclasses__())
    while waiting:
        refusal = waiting.pop()
        found[refusal.code] = refusal
        waiting += refusal.__subclasses__()
    return found


def _sort_of(code: int) -> _Sort:
    known = _classes().get(code)
    if known is not None:
        return _Sort(known.grpc, known.transient)
    return APPLICATION_SORTS.get(code, _Sort(Grpc.FAILED_PRECONDITION))
