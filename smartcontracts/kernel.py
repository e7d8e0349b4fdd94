"""The small framework under every contract: what it is given, what it returns, how it refuses.

A contract is a module with typed records, a declared lifecycle, and one function a transition. A transition gets the
command, and a `Call` through which it reads; it returns an `Outcome`. It changes nothing itself: the application stores
the outcome, gives the events their ids, and files the deadlines that follow from the documents. DESIGN section 7.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from types import MappingProxyType
from typing import Any, ClassVar, Final, Generic, Protocol, TypeVar

from smartcontracts.ids import derive_id

R = TypeVar("R")
S = TypeVar("S", bound=StrEnum)

# So many bytes of documents may the transactions of a block read and write: gas bounds what they bring along, this what they
# make of it. Measured at worst 0.31 us a byte read and 0.15 us written, where a document is nothing but small records.
HANDLED_BYTES_MAX: Final = 8 * 1024 * 1024

# What a refusal says goes into every replica's receipts; it may quote the whole of a document that a small act is about.
SENTENCE_CHARACTERS_MAX: Final = 500

_WORD_START: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])", re.ASCII)


class Grpc(StrEnum):
    """The gRPC status that a refusal maps to."""

    INVALID_ARGUMENT = "INVALID_ARGUMENT"
    FAILED_PRECONDITION = "FAILED_PRECONDITION"
    NOT_FOUND = "NOT_FOUND"
    ALREADY_EXISTS = "ALREADY_EXISTS"
    PERMISSION_DENIED = "PERMISSION_DENIED"
    UNAUTHENTICATED = "UNAUTHENTICATED"
    RESOURCE_EXHAUSTED = "RESOURCE_EXHAUSTED"
    OUT_OF_RANGE = "OUT_OF_RANGE"
    UNAVAILABLE = "UNAVAILABLE"
    DEADLINE_EXCEEDED = "DEADLINE_EXCEEDED"
    INTERNAL = "INTERNAL"


class Rejected(Exception):
    """A refusal with a stable code. The code is hashed into the next block; the sentence is free text.

    Subclasses set `code` (unique, never reused, in their module's range: docs/errors.md), and may set `transient`
    (a later attempt may succeed unchanged) and `grpc`.
    """

    code: ClassVar[int] = 0
    transient: ClassVar[bool] = False
    grpc: ClassVar[Grpc] = Grpc.FAILED_PRECONDITION

    def __init__(self, sentence: str, field: str = "", *, existing_id: str = "") -> None:
        super().__init__(sentence)
        self.sentence = _shortened(sentence)
        self.field = _shortened(field)
        self.existing_id = existing_id
        self.message_index = 0

    @classmethod
    def refusal_name(cls) -> str:
        """`QuoteExpired` is QUOTE_EXPIRED."""
        return _WORD_START.sub("_", cls.__name__).upper()  # deterministic: names of classes are ASCII


def _shortened(text: str) -> str:
    return text if len(text) <= SENTENCE_CHARACTERS_MAX else f"{text[:SENTENCE_CHARACTERS_MAX - 3]}..."


class WrongStatus(Rejected):
    """The document's status does not allow this step."""

    code = 1101


class RoleMissing(Rejected):
    """The signing member lacks the role that the message needs."""

    code = 1102
    grpc = Grpc.PERMISSION_DENIED


class PositionWrong(Rejected):
    """The signing organization's position on this ledger does not allow the message (a neutral, an observer)."""

    code = 1103
    grpc = Grpc.PERMISSION_DENIED


class AlreadyDone(Rejected):
    """An act with this cause was done before; `existing_id` is what it created. DESIGN section 8."""

    code = 1104
    grpc = Grpc.ALREADY_EXISTS


class MessageNotOffered(Rejected):
    """The message type does not exist, or contracts of this ledger's kind do not offer it."""

    code = 1105
    grpc = Grpc.INVALID_ARGUMENT


class DocumentTooLarge(Rejected):
    """A document that the act would write is over the ledger's `document_bytes_max`."""

    code = 1106
    grpc = Grpc.INVALID_ARGUMENT


class TooMuchHandled(Rejected):
    """The transaction reads and writes more bytes of documents than a whole block may."""

    code = 1107
    grpc = Grpc.INVALID_ARGUMENT


class Role(StrEnum):
    """What a member's key may do. DESIGN section 8; which message needs which stands beside each contract."""

    ADMINISTRATOR = "administrator"
    S_BUS = "s_bus"
    B_BUS = "b_bus"
    SCO = "sco"
    SOF = "sof"
    FINANCE = "finance"
    AUDITOR = "auditor"
    OBSERVER = "observer"


class Position(StrEnum):
    """What an organization is on a ledger."""

    PARTY = "party"
    NEUTRAL = "neutral"
    OBSERVER = "observer"
    MEMBER = "member"


@dataclass(frozen=True, slots=True)
class Block:
    """The block in which something executes. Contracts know no other clock (DESIGN section 4)."""

    height: int
    time_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Sender:
    """A member whose signature was verified, valid and unrevoked at ledger time."""

    organization: str
    member: str
    roles: tuple[str, ...]
    position: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """Why an agent acts: the id of what it creates derives from this."""

    ledger_id: str
    event_id: str
    purpose: str


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened to `document`, which the same outcome writes. `name` is like "quote.issued"."""

    name: str
    document: object


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a transition does: records to write (in order; one record a document), and events."""

    writes: tuple[object, ...] = ()
    events: tuple[Event, ...] = ()

    def then(self, other: Outcome) -> Outcome:
        """Both, this one first."""
        return Outcome(writes=self.writes + other.writes, events=self.events + other.events)


@dataclass(frozen=True, slots=True)
class Deadline:
    """In the first block with ledger time > `due_ms`, `transition` of the document's kind runs."""

    due_ms: int
    transition: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """The words under which a document is found. Filters of the API are these names but `keys`.

    `keys` are for contracts only (`View.find(kind, "keys", value)`), e.g. "service/interval".
    """

    status: str = ""
    party: tuple[str, ...] = ()
    offering: tuple[str, ...] = ()
    service: tuple[str, ...] = ()
    related: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()


class View(Protocol):
    """The ledger's documents as they stand at this point of the block. Reading only."""

    def get(self, kind: Kind[R], document_id: str) -> R | None:
        """The record, or None."""
        ...

    def find(self, kind: Kind[R], term: str, value: str, limit: int) -> tuple[R, ...]:
        """At most `limit` records that have `value` under the `Terms` field `term`, sorted by id."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """What a deadline's transition is given. `due_ms` is when it takes effect; the block may be later."""

    view: View
    block: Block
    ledger_id: str
    due_ms: int


def no_deadlines(_: object) -> tuple[Deadline, ...]:
    """For kinds without windows."""
    return ()


Lifecycle = Mapping[tuple[Any, str], Any]


def _nothing() -> Mapping[Any, Any]:
    return MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind(Generic[R]):
    """A kind of document. `name` is stored on the ledger and stands in every key: never rename it."""

    name: str
    prefix: str
    record: type[R]
    terms: Callable[[R], Terms]
    schema: int = 1
    deadlines: Callable[[R], tuple[Deadline, ...]] = no_deadlines
    on_deadline: Mapping[str, Callable[[R, Due], Outcome]] = field(default_factory=_nothing)
    lifecycle: Lifecycle = field(default_factory=_nothing)
    # Which filters `List` offers on it, besides kind and time range.
    filters: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """What a transition is given besides its command."""

    view: View
    block: Block
    ledger_id: str
    ledger_kind: str
    sender: Sender
    signers: tuple[Sender, ...]
    # Transaction id and index of the message: ids of what it creates derive from these.
    transaction_id: bytes
    message_index: int
    cause: Cause | None
    parameters: Any
    table: ContractTable
    # Whether the message came with a cause: an agent's act, not a person's. Also where no id derives from the cause.
    by_agent: bool = False
    # Only while a joint act is checked or enacted: its proposal, and the signers ("organization/member") that accepted it.
    proposal_id: str = ""
    accepted_by: tuple[str, ...] = ()

    def new_id(self, kind: Kind[Any], n: int = 0) -> str:
        """The id of the n-th document of `kind` that this message creates. A client never chooses one."""
        if self.cause is not None:
            return cause_id(kind, self.ledger_id, self.sender.organization, self.cause, n)
        return derive_id(kind.prefix, self.ledger_id, self.transaction_id, self.message_index, n)


def cause_id(
    kind: Kind[Any], ledger_id: str, organization: str, cause: Cause, n: int = 0
) -> str:
    """The id that an act of `organization` with this cause gives, whenever it is done."""
    return derive_id(
        kind.prefix, ledger_id, organization, cause.ledger_id, cause.event_id, cause.purpose, n
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageType:
    """A command of a contract: who may send it, and the transition that answers it.

    `name` is the field's name in `Message.command`; `command` the record that its bytes decode to. The sender's member
    needs one of `roles`, its organization one of `positions`. `creates`: the kind whose id derives from a cause.
    """

    name: str
    command: type[Any]
    handler: Callable[[Any, Call], Outcome]
    roles: tuple[Role, ...]
    positions: tuple[Position, ...] = (Position.PARTY,)
    creates: Kind[Any] | None = None
    # What can never be right, by what no act can change any more: refused before it is admitted, and in a block without a trace.
    admit: Callable[[Any, Sender, View], None] | None = None
    # Declared worst-case cost in microseconds, for gas_wanted, but for the documents.
    gas: int = 300
    # What a transaction may read and write once it has this message; above a block's, it has the block to itself.
    handled_bytes_max: int = HANDLED_BYTES_MAX


@dataclass(frozen=True, slots=True, kw_only=True)
class ActType:
    """A joint act: who must accept it, what must hold, and what happens when all have.

    `name` is the field's name in `Act.act`. `required` gives the organizations, sorted. `check` raises `Rejected` when it
    is proposed; `enact` runs on the last acceptance and checks again what may have changed.
    """

    name: str
    command: type[Any]
    required: Callable[[Any, Call], tuple[str, ...]]
    check: Callable[[Any, Call], None]
    enact: Callable[[Any, Call], Outcome]
    roles: tuple[Role, ...]
    positions: tuple[Position, ...] = (Position.PARTY,)


@dataclass(frozen=True, slots=True, kw_only=True)
class Contract:
    """One business process: its kinds of documents, its messages, its joint acts."""

    name: str
    kinds: tuple[Kind[Any], ...] = ()
    messages: tuple[MessageType, ...] = ()
    acts: tuple[ActType, ...] = ()


class ContractTable:
    """The contracts of one kind of ledger at one version, looked up by name. Built once, never changed."""

    def __init__(self, contracts: tuple[Contract, ...]) -> None:
        self.contracts: Final = contracts
        self.kinds: Final = MappingProxyType({k.name: k for c in contracts for k in c.kinds})
        self.messages: Final = MappingProxyType({m.name: m for c in contracts for m in c.messages})
        self.acts: Final = MappingProxyType({a.name: a for c in contracts for a in c.acts})
        self._by_record: Final = MappingProxyType({k.record: k for k in self.kinds.values()})

    def kind_of(self, record: object) -> Kind[Any]:
        """The kind that `record` is a document of."""
        return self._by_record[type(record)]


def step(lifecycle: Mapping[tuple[S, str], S], status: S, event: str) -> S:
    """The status after `event`. Rejects with WrongStatus when the table has no such step."""
    after = lifecycle.get((status, event))
    if after is None:
        allowed = ", ".join(sorted(e for s, e in lifecycle if s == status)) or "nothing"
        raise WrongStatus(
            f"The status is {status.value}, which allows {allowed}, not {event}.", "status"
        )
    return after


def run_message(message_name: str, command: object, call: Call) -> Outcome:
    """Answer one command. Rejects with the first of: MessageNotOffered, PositionWrong, RoleMissing, AlreadyDone, the handler's own."""
    message = call.table.messages.get(message_name)
    if message is None:
        raise MessageNotOffered(
            f"Ledgers of kind {call.ledger_kind} do not offer the message {message_name}.", "command"
        )
    require_standing(call.sender, message.positions, message.roles, message_name)
    if call.cause is not None and message.creates is None:
        # Nothing guards a cause's ids here, so what the message writes on the way is named by the transaction.
        call = replace(call, cause=None, by_agent=True)
    elif call.cause is not None and message.creates is not None:
        call = replace(call, by_agent=True)
        refuse_repeat(message.creates, call)
    return message.handler(command, call)


def require_standing(
    sender: Sender, positions: tuple[Position, ...], roles: tuple[Role, ...], what: str
) -> None:
    """Rejects with PositionWrong or RoleMissing."""
    if sender.position not in positions:
        raise PositionWrong(
            f"A {sender.position} may not send {what}; it takes a {' or '.join(positions)}.", "signer"
        )
    if not any(role in sender.roles for role in roles):
        raise RoleMissing(
            f"{what} needs a member with the role {' or '.join(roles)}.", "signer"
        )


def refuse_repeat(kind: Kind[Any], call: Call) -> None:
    """Rejects with AlreadyDone if the document that this cause creates is there."""
    first = call.new_id(kind)
    if call.view.get(kind, first) is not None:
        raise AlreadyDone("This was done before; nothing is done twice.", "cause", existing_id=first)
