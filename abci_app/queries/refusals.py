"""Why a query is refused: codes 8001 to 8099."""

from __future__ import annotations

from typing import ClassVar

from smartcontracts.kernel import Grpc, Rejected


class HeightPruned(Rejected):
    """The height is older than this node keeps; the sentence names the first that it has."""

    code: ClassVar[int] = 8001
    grpc: ClassVar[Grpc] = Grpc.OUT_OF_RANGE


class HeightUnknown(Rejected):
    """The height is not there yet."""

    code: ClassVar[int] = 8002
    transient: ClassVar[bool] = True
    grpc: ClassVar[Grpc] = Grpc.OUT_OF_RANGE


class DocumentUnknown(Rejected):
    """There is no such document at that height."""

    code: ClassVar[int] = 8003
    grpc: ClassVar[Grpc] = Grpc.NOT_FOUND


class KindUnknown(Rejected):
    """The ledger has no documents of that kind."""

    code: ClassVar[int] = 8004
    grpc: ClassVar[Grpc] = Grpc.INVALID_ARGUMENT


class FilterUnsupported(Rejected):
    """Documents of this kind can't be listed by that filter; nothing is ever scanned for it."""

    code: ClassVar[int] = 8005
    grpc: ClassVar[Grpc] = Grpc.INVALID_ARGUMENT


class PageTokenInvalid(Rejected):
    """The token is not of this ledger, or belongs to another height or filter."""

    code: ClassVar[int] = 8006
    grpc: ClassVar[Grpc] = Grpc.INVALID_ARGUMENT


class PageTooLarge(Rejected):
    """A page has at most 1,000 documents."""

    code: ClassVar[int] = 8007
    grpc: ClassVar[Grpc] = Grpc.INVALID_ARGUMENT


class CursorPruned(Rejected):
    """Events after this cursor are no longer kept; the sentence names the first that are."""

    code: ClassVar[int] = 8008
    grpc: ClassVar[Grpc] = Grpc.OUT_OF_RANGE


class CursorInvalid(Rejected):
    """A cursor is the id of an event, "height/index", "now", or empty."""

    code: ClassVar[int] = 8009
    grpc: ClassVar[Grpc] = Grpc.INVALID_ARGUMENT


class TransactionUnknown(Rejected):
    """No transaction with this id was executed."""

    code: ClassVar[int] = 8010
    grpc: ClassVar[Grpc] = Grpc.NOT_FOUND


class LedgerUnknown(Rejected):
    """This socket serves another ledger."""

    code: ClassVar[int] = 8011
    grpc: ClassVar[Grpc] = Grpc.NOT_FOUND


class KeyMalformed(Rejected):
    """A kind and an id must be given, without control characters."""

    code: ClassVar[int] = 8012
    grpc: ClassVar[Grpc] = Grpc.INVALID_ARGUMENT


class RequestMalformed(Rejected):
    """The bytes are no request of the application's private socket."""

    code: ClassVar[int] = 8013
    grpc: ClassVar[Grpc] = Grpc.INVALID_ARGUMENT


class TooManyStreams(Rejected):
    """A connection may have only so many event streams open."""

    code: ClassVar[int] = 8014
    grpc: ClassVar[Grpc] = Grpc.RESOURCE_EXHAUSTED


class NotProvableYet(Rejected):
    """A state is proven against the header after it, which is not there yet."""

    code: ClassVar[int] = 8015
    transient: ClassVar[bool] = True
    grpc: ClassVar[Grpc] = Grpc.OUT_OF_RANGE


class LedgerStopped(Rejected):
    """The ledger has halted on this node and needs a person."""

    code: ClassVar[int] = 8016
    grpc: ClassVar[Grpc] = Grpc.UNAVAILABLE


class QueryFailed(Rejected):
    """The application failed on this request; that is a bug."""

    code: ClassVar[int] = 8017
    grpc: ClassVar[Grpc] = Grpc.INTERNAL
