"""The methods of ABCI 2.0 as a table: where each is run, and how its response is wrapped."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from google.protobuf.message import DecodeError
from tendermint.abci import types_pb2 as abci

from ledgers.framing import encode_uvarint

if TYPE_CHECKING:
    from collections.abc import Mapping

    from google.protobuf.message import Message

ABCI_VERSION: Final = "2.0.0"

_LENGTH_DELIMITED: Final = 2  # protobuf's wire type of a message field


class Lane(Enum):
    """Who runs a method."""

    SERVER = "answered by the server itself"
    LOOP = "the event loop's thread, in slices"
    CONSENSUS = "the ledger's consensus thread"
    SNAPSHOTS = "the ledger's snapshot thread"


_LANES: Final[Mapping[str, Lane]] = MappingProxyType(
    {
        "echo": Lane.SERVER,
        "flush": Lane.SERVER,
        "insert_tx": Lane.SERVER,
        "reap_txs": Lane.SERVER,
        "check_tx": Lane.LOOP,
        "query": Lane.LOOP,
        "info": Lane.CONSENSUS,
        "init_chain": Lane.CONSENSUS,
        "prepare_proposal": Lane.CONSENSUS,
        "process_proposal": Lane.CONSENSUS,
        "finalize_block": Lane.CONSENSUS,
        "commit": Lane.CONSENSUS,
        "extend_vote": Lane.CONSENSUS,
        "verify_vote_extension": Lane.CONSENSUS,
        "offer_snapshot": Lane.CONSENSUS,
        "apply_snapshot_chunk": Lane.CONSENSUS,
        "list_snapshots": Lane.SNAPSHOTS,
        "load_snapshot_chunk": Lane.SNAPSHOTS,
    }
)

_KINDS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "check_tx": "mempool",
        "insert_tx": "mempool",
        "reap_txs": "mempool",
        "query": "query",
        "info": "query",
        "list_snapshots": "snapshot",
        "load_snapshot_chunk": "snapshot",
        "offer_snapshot": "snapshot",
        "apply_snapshot_chunk": "snapshot",
        "echo": "",
        "flush": "",
    }
)


@dataclass(frozen=True, slots=True)
class Method:
    """One request of ABCI: its field name in `Request`, lane, connection, and empty response's type."""

    name: str
    lane: Lane
    connection_kind: str  # the engine's connection that carries it; "" where any does
    response_type: type[Message]


def _response_types() -> Mapping[str, type[Message]]:
    blank = abci.Response()
    fields = abci.Response.DESCRIPTOR.oneofs_by_name["value"].fields
    return {field.name: type(getattr(blank, field.name)) for field in fields}


def _tags() -> Mapping[str, bytes]:
    fields = abci.Response.DESCRIPTOR.oneofs_by_name["value"].fields
    return {f.name: encode_uvarint(f.number << 3 | _LENGTH_DELIMITED) for f in fields}


_TAGS: Final = MappingProxyType(_tags())


def _table() -> Mapping[str, Method]:
    types = _response_types()
    names = [f.name for f in abci.Request.DESCRIPTOR.oneofs_by_name["value"].fields]
    return {name: Method(name, _LANES[name], _KINDS.get(name, "consensus"), types[name]) for name in names}


# A method that a newer engine adds fails here, at import, and not as a refused connection at night.
METHODS: Final = MappingProxyType(_table())


class RequestError(ValueError):
    """A frame that is no ABCI request of this version; `reason` is for the log line."""

    def __init__(self, reason: str, sentence: str) -> None:
        """Keep `reason`, a stable word; `sentence` is for people."""
        super().__init__(sentence)
        self.reason = reason


def parse_request(payload: bytes) -> tuple[Method, Message]:
    """Return the method that `payload` calls and its request message.

    Raises RequestError: not a protobuf `Request`, or none of its methods is set.
    """
    try:
        request = abci.Request.FromString(payload)
    except DecodeError as error:
        raise RequestError("message_undecodable", f"not an ABCI request: {error}") from error
    name = request.WhichOneof("value")
    if name is None:
        raise RequestError("method_unknown", "the request names no method of ABCI 2.0")
    message: Message = getattr(request, name)
    return METHODS[name], message


def encode_response(name: str, response: Message) -> bytes:
    """Return the encoded `Response` that holds `response` as its member `name` (also `exception`).

    Wrapped by hand: setting a oneof member copies the message, and a block's results are large.
    """
    body = response.SerializeToString()
    return _TAGS[name] + encode_uvarint(len(body)) + body


def encode_exception(sentence: str) -> bytes:
    """Return the encoded `Response` that tells the engine to stop, with the reason it will log."""
    return encode_response("exception", abci.ResponseException(error=sentence))
