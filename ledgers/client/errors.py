"""What a call may raise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import grpc
from google.protobuf.message import DecodeError

from ledgers.receipts import Receipt
from syngraph.v1.api_pb2 import Refusal

TRAILER: Final = "syngraph-refusal-bin"


class ClientError(Exception):
    """Base of what the client raises."""


class NodeUnreachable(ClientError):
    """The node does not answer, or the two sides do not accept each other's certificates (TLS tells no more)."""


class TimedOut(ClientError):
    """The caller's own deadline passed before an answer came."""


@dataclass(frozen=True, slots=True)
class RefusalDetail:
    """Why something was refused: docs/errors.md has every code."""

    code: int
    name: str
    sentence: str
    field: str = ""
    transient: bool = False
    message_index: int = 0
    existing_id: str = ""


class Refused(ClientError):
    """The ledger, the application or the node refused. `status` is gRPC's, e.g. "NOT_FOUND"."""

    def __init__(self, detail: RefusalDetail, status: str = "") -> None:
        """Keep the detail."""
        super().__init__(f"{detail.name}: {detail.sentence}" + (f" ({detail.field})" if detail.field else ""))
        self.detail = detail
        self.status = status


def of_rpc_error(error: grpc.RpcError) -> ClientError:
    """What a failed call means."""
    status: grpc.StatusCode = error.code()
    refusal = _refusal(error)
    if refusal is not None:
        detail = RefusalDetail(
            code=refusal.code,
            name=refusal.name,
            sentence=refusal.sentence,
            field=refusal.field,
            transient=refusal.transient,
            message_index=refusal.message_index,
            existing_id=refusal.existing_id,
        )
        return Refused(detail, status.name)
    if status == grpc.StatusCode.UNAVAILABLE:
        return NodeUnreachable(f"the node does not answer or does not accept the certificate: {error.details()}")
    if status == grpc.StatusCode.DEADLINE_EXCEEDED:
        return TimedOut("no answer came in time")
    return ClientError(f"{status.name}: {error.details()}")


def of_receipt(receipt: Receipt) -> Refused:
    """The refusal that a receipt with a code holds."""
    return Refused(
        RefusalDetail(
            code=receipt.code,
            name=receipt.name,
            sentence=receipt.sentence,
            field=receipt.field,
            message_index=receipt.message_index,
            existing_id=receipt.existing_id,
        )
    )


def _refusal(error: grpc.RpcError) -> Refusal | None:
    trailers: Any = error.trailing_metadata() or ()
    for key, value in trailers:
        if key == TRAILER and isinstance(value, bytes):
            try:
                return Refusal.FromString(value)
            except DecodeError:
                return None
    return None
