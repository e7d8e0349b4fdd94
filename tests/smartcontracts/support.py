"""A ledger in memory, to drive contracts in tests: deadlines, atomic messages, and checks on all that a contract returns.

    ledger = MemoryLedger.bilateral(membership.CONTRACT, agreement.CONTRACT, START_MS)
    ledger.run("add_member", AddMember(...), sender=ledger.sender("acme", "administrator"), at=START_MS + 5)

Organizations go by short names: "acme" has the id `org("acme")`. The members are there from the start, one a role, with
keys of their own: `member("acme", "s_bus")` is the id of acme's s_bus.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields, is_dataclass
from typing import Any, TypeVar

from nacl.bindings import crypto_sign_seed_keypair

from smartcontracts import codec, membership
from smartcontracts.ids import member_id, organization_id
from smartcontracts.kernel import (
    Block,
    Call,
    Cause,
    Contract,
    ContractTable,
    Deadline,
    DocumentTooLarge,
    Due,
    Event,
    Kind,
    Outcome,
    Position,
    Role,
    Sender,
    Terms,
    run_message,
)
from smartcontracts.membership import Member, MemberKey, Organization
from smartcontracts.parameters import RULES_ID, Parameters, Rules

R = TypeVar("R")

START_MS = 1_800_000_000_000
LEDGER_ID = "sg_" + "a" * 32


def org(name: str) -> str:
    """The id of the test organization with this short name."""
    return organization_id(b"ca of " + name.encode())


def public_key(name: str, role: str) -> bytes:
    """A real Ed25519 public key, the same in every run."""
    return crypto_sign_seed_keypair(hashlib.sha256(f"{name}/{role}".encode()).digest())[0]


def member(name: str, role: str) -> str:
    """The id of the member of `name` that has only this role."""
    return member_id(org(name), public_key(name, role))


def organization_record(name: str, position: Position) -> Organization:
    """The organization as a genesis has it; all but observers validate."""
    ca_public_key = b"ca of " + name.encode()
    validator = position != Position.OBSERVER
    return Organization(
        id=organization_id(ca_public_key),
        name=name,
        position=position,
        ca_certificate=b"certificate of " + name.encode(),
        node_ids=(hashlib.sha256(name.encode()).hexdigest()[:40],),
        validator_key=public_key(name, "validator") if validator else b"",
        ca_public_key=ca_public_key,
    )


def member_record(name: str, role: str) -> Member:
    """A member with one role and one key that is valid from the start."""
    return Member(
        id=member(name, role),
        organization_id=org(name),
        roles=(Role(role),),
        keys=(MemberKey(public_key=public_key(name, role), valid_from_ms=1),),
    )


@dataclass(frozen=True, slots=True)
class _Stored:
    record: Any
    terms: Terms
    deadlines: tuple[Deadline, ...]


class MemoryLedger:
    """A `View` over a dictionary that also executes blocks of messages. What is refused changes nothing."""

    def __init__(
        self,
        *contracts: Contract,
        ledger_kind: str = "bilateral",
        positions: Mapping[str, Position],
        start_ms: int = START_MS,
        parameters: Parameters | None = None,
        ledger_id: str = LEDGER_ID,
    ) -> None:
        named = {contract.name: contract for contract in (membership.CONTRACT, *contracts)}
        self.table = ContractTable(tuple(named.values()))
        self.ledger_kind = ledger_kind
        self.ledger_id = ledger_id
        self.time_ms = start_ms
        self.height = 1
        # Every event so far, oldest first, with the height of its block.
        self.events: list[tuple[int, Event]] = []
        # Outcomes of the deadlines that fired in the last block, in order.
        self.fired: list[Outcome] = []
        self._transactions = 0
        self._documents: dict[str, dict[str, _Stored]] = {name: {} for name in self.table.kinds}
        self._positions = dict(positions)
        self.write(Rules(version=1, ledger_kind=ledger_kind, parameters=parameters or Parameters()))
        for name, position in positions.items():
            self.write(organization_record(name, position))
            for role in Role:
                self.write(member_record(name, role))

    @classmethod
    def bilateral(cls, *contracts: Contract, **options: Any) -> MemoryLedger:
        """acme and alpha are parties, north and south neutrals, ofcom observes."""
        return cls(
            *contracts,
            positions={
                "acme": Position.PARTY,
                "alpha": Position.PARTY,
                "north": Position.NEUTRAL,
                "south": Position.NEUTRAL,
                "ofcom": Position.OBSERVER,
            },
            **options,
        )

    @classmethod
    def omni(cls, *contracts: Contract, **options: Any) -> MemoryLedger:
        """acme, alpha, bravo, north and south are members, ofcom observes."""
        names = ("acme", "alpha", "bravo", "north", "south")
        positions = {**dict.fromkeys(names, Position.MEMBER), "ofcom": Position.OBSERVER}
        return cls(*contracts, ledger_kind="omni", positions=positions, **options)

    # Reading

    def get(self, kind: Kind[R], document_id: str) -> R | None:
        """The record, or None."""
        stored = self._documents[kind.name].get(document_id)
        return None if stored is None else stored.record

    def the(self, kind: Kind[R], document_id: str = "") -> R:
        """The record with this id, or the only one of its kind; fails if there is none or more than one."""
        if document_id:
            return self._documents[kind.name][document_id].record  # type: ignore[no-any-return]
        (only,) = self.all(kind)
        return only

    def all(self, kind: Kind[R]) -> tuple[R, ...]:
        """All records of the kind, sorted by id."""
        return tuple(stored.record for _, stored in sorted(self._documents[kind.name].items()))

    def find(self, kind: Kind[R], term: str, value: str, limit: int) -> tuple[R, ...]:
        """As `View.find`."""
        assert term in {f.name for f in fields(Terms)}, term
        assert value, "an empty value finds nothing"
        found = []
        for document_id, stored in self._documents[kind.name].items():
            words = getattr(stored.terms, term)
            if value == words if isinstance(words, str) else value in words:
                found.append((document_id, stored.record))
        return tuple(record for _, record in sorted(found, key=lambda pair: pair[0])[:limit])

    @property
    def parameters(self) -> Parameters:
        """The ledger's parameters."""
        return self._documents["sys"][RULES_ID].record.parameters  # type: ignore[no-any-return]

    def root(self) -> str:
        """A digest of every document: equal exactly when nothing has changed."""
        digest = hashlib.sha256()
        for kind_name, documents in sorted(self._documents.items()):
            for document_id, stored in sorted(documents.items()):
                digest.update(f"{kind_name}/{document_id}\n".encode() + codec.encode(stored.record))
        return digest.hexdigest()

    def event_names(self) -> list[str]:
        """Names of all events so far."""
        return [event.name for _, event in self.events]

    # Writing

    def write(self, record: Any) -> None:
        """Put a document in place as if it had always been there (for what other contracts would write)."""
        self._apply(Outcome(writes=(record,)))

    def sender(self, name: str, *roles: str) -> Sender:
        """A member of `name`: its id is the one of the first role, and it has all of `roles`."""
        return Sender(
            organization=org(name),
            member=member(name, roles[0]),
            roles=tuple(Role(role) for role in sorted(roles)),
            position=self._position(name),
        )

    def advance(self, to_ms: int) -> list[Outcome]:
        """A block at `to_ms` without transactions; the outcomes of what fired."""
        self._begin_block(to_ms, self.height + 1)
        return self.fired

    def run(
        self,
        message_name: str,
        command: Any,
        *,
        sender: Sender,
        at: int | None = None,
        height: int | None = None,
        cause: Cause | None = None,
        signers: tuple[Sender, ...] = (),
    ) -> Outcome:
        """A block with one transaction of one message: deadlines first, then the message, whose outcome is applied.

        Raises `Rejected`, from the codec as well; then the message changed nothing (deadlines that fired stay fired).
        """
        self._begin_block(self.time_ms + 1 if at is None else at, height or self.height + 1)
        self._transactions += 1
        return self._run_one(0, message_name, command, sender, cause, signers)

    def run_together(
        self,
        messages: Iterable[tuple[str, Any, Sender]],
        *,
        at: int | None = None,
        signers: tuple[Sender, ...] = (),
    ) -> list[Outcome]:
        """As `run`, with several messages in one transaction: all take effect, or none."""
        self._begin_block(self.time_ms + 1 if at is None else at, self.height + 1)
        self._transactions += 1
        with self._undone_when_refused():
            return [
                self._run_one(index, name, command, sender, None, signers)
                for index, (name, command, sender) in enumerate(messages)
            ]

    def call(
        self,
        sender: Sender,
        *,
        signers: tuple[Sender, ...] = (),
        cause: Cause | None = None,
        message_index: int = 0,
    ) -> Call:
        """What a handler is given at this point of the ledger, to call it directly."""
        return Call(
            view=self,
            block=Block(self.height, self.time_ms),
            ledger_id=self.ledger_id,
            ledger_kind=self.ledger_kind,
            sender=sender,
            signers=signers or (sender,),
            transaction_id=hashlib.sha256(b"transaction %d" % self._transactions).digest(),
            message_index=message_index,
            cause=cause,
            parameters=self.parameters,
            table=self.table,
        )

    def _run_one(
        self,
        index: int,
        message_name: str,
        command: Any,
        sender: Sender,
        cause: Cause | None,
        signers: tuple[Sender, ...],
    ) -> Outcome:
        received = codec.decode(type(command), codec.encode(command))
        call = self.call(sender, signers=signers, cause=cause, message_index=index)
        with self._undone_when_refused():
            outcome = run_message(message_name, received, call)
            self._apply(outcome)
        return outcome

    @contextmanager
    def _undone_when_refused(self) -> Iterator[None]:
        documents = {name: dict(stored) for name, stored in self._documents.items()}
        events = len(self.events)
        try:
            yield
        except BaseException:
            self._documents = documents
            del self.events[events:]
            raise

    def _position(self, name: str) -> Position:
        found = self._documents["organization"].get(org(name))
        return found.record.position if found else Position.OBSERVER

    def _begin_block(self, time_ms: int, height: int) -> None:
        assert time_ms > self.time_ms, "ledger time only goes forward"
        assert height > self.height
        self.time_ms, self.height, self.fired = time_ms, height, []
        for _ in range(self.parameters.deadlines_per_block_max):
            due = self._next_due()
            if due is None or due[0] >= time_ms:
                return
            self._fire(*due)

    def _next_due(self) -> tuple[int, str, str] | None:
        return min(
            (
                (deadline.due_ms, f"{kind_name}/{document_id}", deadline.transition)
                for kind_name, documents in self._documents.items()
                for document_id, stored in documents.items()
                for deadline in stored.deadlines
            ),
            default=None,
        )

    def _fire(self, due_ms: int, key: str, transition: str) -> None:
        kind_name, document_id = key.split("/", 1)
        kind = self.table.kinds[kind_name]
        before = self._documents[kind_name][document_id]
        due = Due(view=self, block=Block(self.height, self.time_ms), ledger_id=self.ledger_id, due_ms=due_ms)
        outcome = kind.on_deadline[transition](before.record, due)
        self._apply(outcome)
        still = self._documents[kind_name][document_id].deadlines
        assert Deadline(due_ms, transition) not in still, f"{transition} of {key} would fire for ever"
        self.fired.append(outcome)

    def _apply(self, outcome: Outcome) -> None:
        """Store an outcome, after checking what the application relies on."""
        keys = set()
        for record in outcome.writes:
            kind = self.table.kind_of(record)
            key = f"{kind.name}/{record.id}"
            assert key not in keys, f"{key} is written twice in one outcome"
            keys.add(key)
            self._check_and_store(kind, record)
        for event in outcome.events:
            assert any(event.document is record for record in outcome.writes), f"{event.name}: not written"
            assert event.name.count(".") == 1, event.name
            self.events.append((self.height, event))

    def _check_and_store(self, kind: Kind[Any], record: Any) -> None:
        data = codec.encode(record)
        if "sys" in self._documents and self._documents["sys"] and len(data) > self.parameters.document_bytes_max:
            raise DocumentTooLarge(f"A {kind.name} may have {self.parameters.document_bytes_max} bytes.", "body")
        again = codec.decode(type(record), data)
        assert again == record, f"{kind.name} changes when stored: {again}"
        assert codec.encode(again) == data
        assert_plain(record, kind.name)
        terms = kind.terms(record)
        assert_terms(terms, kind.name)
        deadlines = kind.deadlines(record)
        for deadline in deadlines:
            assert deadline.transition in kind.on_deadline, deadline.transition
        before = self._documents[kind.name].get(record.id)
        if before is not None and kind.lifecycle:
            self._check_step(kind, before.record, record)
        self._documents[kind.name][record.id] = _Stored(record, terms, deadlines)

    def _check_step(self, kind: Kind[Any], before: Any, after: Any) -> None:
        steps = {(status, next_status) for (status, _), next_status in kind.lifecycle.items()}
        if before != after:
            pair = (before.status, after.status)
            assert pair in steps, f"{kind.name}: the lifecycle has no step from {pair[0]} to {pair[1]}"


def assert_plain(value: Any, path: str) -> None:
    """Only what has one form on every machine may be stored: no floats, lists, sets, dictionaries."""
    if is_dataclass(value):
        for spec in fields(value):
            assert_plain(getattr(value, spec.name), f"{path}.{spec.name}")
    elif isinstance(value, tuple):
        for item in value:
            assert_plain(item, f"{path}[]")
    else:
        assert value is None or isinstance(value, str | bytes | int | bool), f"{path} is a {type(value)}"


def assert_terms(terms: Terms, path: str) -> None:
    """Index words are non-empty strings, none twice in a field."""
    for spec in fields(terms):
        words = getattr(terms, spec.name)
        if spec.name == "status":
            assert isinstance(words, str), path
            continue
        assert isinstance(words, tuple), f"{path}.{spec.name}"
        assert all(isinstance(word, str) and word for word in words), f"{path}.{spec.name}: {words}"
        assert len(set(words)) == len(words), f"{path}.{spec.name}: {words}"
