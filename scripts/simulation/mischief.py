"""Messages that nobody should send: seen ones again, from others, at other times, with parts changed; and made-up ones.

Right ones are tried too, by the member who once sent such a one, on a document that was just written: where its status is another, a
contract has to refuse them. All are tried as a simulation before a broadcast is, so they change nothing: a contract refuses them, or
would have done as asked. What it may not do is fail. Some of the refused ones are sent in earnest, on the ledgers of pairs: the
invariant `refused_changes_nothing` watches what becomes of them. Req: the issue's "bad input, each with its code".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields, is_dataclass, replace
from enum import StrEnum
from functools import cache
from random import Random
from typing import Any, Final, get_args, get_origin, get_type_hints

from abci_app.execution.acts import Surroundings, Unit
from abci_app.state.documents import Document
from abci_app.state.view import Layer
from ledgers.kinds import contract_table
from ledgers.transaction import Act, Prepared
from scripts.simulation import coverage as coverage_module
from scripts.simulation.chain import BILATERAL, Chain, Decided, Written
from scripts.simulation.coverage import OTHERS
from scripts.simulation.journal import Violation
from scripts.simulation.parties import AGENT_ROLES, PERSON, Signatory, org_id, signatory
from scripts.simulation.probes import said_by_oneself, wronged
from scripts.simulation.world import World
from smartcontracts.codec import decode, encode
from smartcontracts.kernel import Block, Call, Cause, ContractTable, MessageType, Rejected, Sender, run_message
from smartcontracts.membership import MEMBER, ORGANIZATION

SAMPLES: Final = 8
TRIES_A_BLOCK: Final = 3
IDS: Final = 20
CHANGES: Final = (0, 0, 1, 1, 1, 2, 3)
AHEAD_MS: Final = (1, 1, 1, 60_000, 600_000, 100_000_000)
BOUND: Final = 1 << 62
# Of the tries about a document, how many are right ones; of the refused ones, how many are sent.
RIGHT: Final = 0.5
IN_EARNEST: Final = 0.05
# How often somebody who sends something is tempted, and how often to send the same twice.
TEMPTED: Final = 0.5
TWICE: Final = 0.25
# What is done so seldom that it is tried once more each time.
RARE: Final = frozenset(("record_cancellation", "agree_maintenance", "take_late_quote", "rank_quotes"))
# Of the tries with what was seen, how many get something wrong that is known to be.
WRONG: Final = 0.3


@dataclass(slots=True)
class _Seen:
    """What a ledger has seen: commands by message, and ids."""

    commands: dict[str, list[Any]] = field(default_factory=dict)
    # Those that were done as they asked, with the members who sent them.
    right: dict[str, list[tuple[Any, str]]] = field(default_factory=dict)
    # By their prefix, which says the kind.
    ids: dict[str, list[str]] = field(default_factory=dict)
    senders: list[Sender] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Attempt:
    """A message to try. `aim`: kind and status of the document that it is about, of one that was right elsewhere."""

    message: MessageType
    command: Any
    sender: Sender
    aim: tuple[str, str] = ("", "")

    @property
    def is_right(self) -> bool:
        return bool(self.aim[0])


class Mischief:
    """Tries some after each block."""

    def __init__(self, world: World, tries: int = TRIES_A_BLOCK) -> None:
        self._world = world
        self._tries = tries
        self._seen: dict[str, _Seen] = {}
        # By kind of ledger: a message seen on one is tried on all.
        self._common: dict[str, dict[str, list[Any]]] = {}
        world.invariants.append(self.block)
        world.tempters.append(self.tempt)

    def block(self, chain: Chain, decided: Decided) -> None:
        """Learn from a block, and try. Raises Violation if a contract fails."""
        seen = self._seen.setdefault(chain.id, _Seen())
        self._learn(chain, seen, decided)
        # The first of any type, while something new is begun; the others about what was written, to the end.
        for number in range(self._world.closing, self._tries):
            self._try(chain, seen, decided.written if number else ())

    def tempt(self, chain: Chain, signer: Signatory, acts: Sequence[Act]) -> None:
        """Try a wrong variant of what somebody is about to send, or the same once more right after it. Raises Violation."""
        random, table = self._world.random, chain.state().committed.table
        rare = acts[-1].name in RARE
        if not rare and random.random() > TEMPTED:
            return
        seen = self._seen.setdefault(chain.id, _Seen())
        seen.senders = seen.senders or _senders(chain)
        sender = next(one for one in seen.senders if one.member == signer.member)
        place = len(acts) - 1 if rare else random.randrange(len(acts))
        layer, around, call = self._around(chain, sender, 1)
        attempts = [_Attempt(table.messages[act.name], act.command, sender) for act in acts[: place + 1]]
        last = attempts[-1]
        if rare or last.message.name in OTHERS or random.random() < TWICE:
            answer = said_by_oneself(last.message.name, last.command)
            attempts.append(last if answer is None else _Attempt(table.messages[answer[0]], answer[1], sender))
        elif last.message.name == "release_inquiry" and random.random() < TWICE:
            # Who asks itself goes round in a circle.
            attempts[-1] = replace(last, command=replace(last.command, seller=signer.organization))
        else:
            wrong = wronged(last.message.name, last.command, random)
            if wrong is last.command:
                wrong = _changed(last.command, random, seen.ids, self._world.now_ms())
            attempts[-1] = replace(last, command=wrong)
        for attempt in attempts[:-1]:
            if self._run(attempt, call, Unit(layer), around):
                return
        once_more = attempts[-1]
        aim = _about(once_more, layer, table) if len(attempts) > 1 and once_more is attempts[-2] else ("", "")
        if self._run(once_more, call, Unit(layer), around):
            self._world.coverage.refused_acts[*aim, once_more.message.name] += 1

    def _learn(self, chain: Chain, seen: _Seen, decided: Decided) -> None:
        replica = chain.state()
        common = self._common.setdefault(chain.kind, {})
        for raw, result in zip(decided.result.transactions[1:], decided.result.results[1:], strict=True):
            entry = replica.reader.read(raw, replica.committed.table, replica.committed.parameters)
            for command in entry.commands if isinstance(entry, Prepared) else ():
                for kept in (seen.commands, common):
                    _keep(kept.setdefault(command.message.name, []), command.record, SAMPLES)
                if isinstance(entry, Prepared) and not result.receipt.code:
                    right = (command.record, entry.signers[0].member)
                    _keep(seen.right.setdefault(command.message.name, []), right, SAMPLES)
        for written in decided.written:
            if written.before is None:
                _keep(seen.ids.setdefault(_prefix(written.after.id), []), written.after.id, IDS)
        if not seen.senders:
            seen.senders = _senders(chain)

    def _try(self, chain: Chain, seen: _Seen, written: tuple[Written, ...]) -> None:
        """A message of any type, or one about a document that the block wrote, right or wrong."""
        attempt = self._drawn(chain, seen, written)
        ahead_ms = 1 if attempt.is_right else self._world.random.choice(AHEAD_MS)
        layer, around, call = self._around(chain, attempt.sender, ahead_ms)
        code = self._run(attempt, call, Unit(layer), around)
        if not code:
            return
        self._world.coverage.refused_acts[*attempt.aim, attempt.message.name] += 1
        if ahead_ms == 1 and chain.kind == BILATERAL and self._world.random.random() < IN_EARNEST:
            self._send(chain, attempt)

    def _around(self, chain: Chain, sender: Sender, ahead_ms: int) -> tuple[Layer, Surroundings, Call]:
        """What a message of `sender` would be run with in the next block, so much later."""
        committed = chain.state().committed
        block = Block(committed.height + 1, committed.clock.time_ms + ahead_ms)
        around = Surroundings(
            ledger_id=chain.id,
            ledger_kind=chain.kind,
            block=block,
            parameters=committed.parameters,
            table=committed.table,
        )
        layer = Layer(committed.view)
        call = Call(
            view=layer,
            block=block,
            ledger_id=chain.id,
            ledger_kind=chain.kind,
            sender=sender,
            signers=(sender,),
            transaction_id=self._world.random.randbytes(32),
            message_index=0,
            cause=self._cause(chain),
            parameters=committed.parameters,
            table=committed.table,
        )
        return layer, around, call

    def _drawn(self, chain: Chain, seen: _Seen, written: tuple[Written, ...]) -> _Attempt:
        random, table = self._world.random, chain.state().committed.table
        aim = random.choice(written).after if written else None
        about = _messages_about(chain.kind, "" if aim is None else aim.kind.name)
        if aim is not None and random.random() < RIGHT:
            known = [name for name in about if seen.right.get(name)]
            found = None if not known else self._right(table.messages[random.choice(known)], aim, seen)
            if found is not None:
                return found
        message = table.messages[random.choice(about or _messages_about(chain.kind, ""))]
        command = self._command(message, chain, seen)
        if aim is not None and about:
            command = replace(command, **{_field_of(message.command, aim.kind.name): aim.id})
        return _Attempt(message, command, self._sender(message, seen))

    def _right(self, message: MessageType, aim: Document, seen: _Seen) -> _Attempt | None:
        """A command that was done, about another document, by the same member; None if the id alone would not make it that."""
        command, member = self._world.random.choice(seen.right[message.name])
        sender = next((one for one in seen.senders if one.member == member), None)
        seller = getattr(aim.record, "seller", "")
        others = {getattr(aim.record, "buyer", ""), seller}
        if sender is None or (seller and sender.organization not in others):
            return None
        command = replace(command, **{_field_of(message.command, aim.kind.name): aim.id})
        status = str(getattr(aim.record, "status", ""))
        return _Attempt(message, command, sender, (aim.kind.name, status))

    def _send(self, chain: Chain, attempt: _Attempt) -> None:
        """In earnest, as a member of one's own organization may."""
        name = next(name for name in chain.names if org_id(name) == attempt.sender.organization)
        function = next(one for one in (*AGENT_ROLES, PERSON) if signatory(name, one).member == attempt.sender.member)
        act = Act(name=attempt.message.name, command=attempt.command)
        try:
            _, raw = self._world.signed(chain, (signatory(name, function),), (act,))
            via = chain.node_of(name)
            if via is not None:
                chain.submit(raw, via)
                self._world.call_block(chain)
        except (Rejected, ValueError, TypeError):
            # Admission refuses what has not even the form of a transaction.
            return

    def _run(self, attempt: _Attempt, call: Call, unit: Unit, around: Surroundings) -> int:
        """The code with which it is refused, 0 if it would be done or no client could send it. Raises Violation."""
        coverage, message = self._world.coverage, attempt.message
        try:
            encoded = encode(attempt.command)
        except (TypeError, ValueError):
            return 0
        coverage_module.listen(coverage, taking=False)
        try:
            received = decode(message.command, encoded)
            outcome = run_message(message.name, received, call)
            unit.apply(outcome, around, None, bytes_max=around.parameters.document_bytes_max)
        except Rejected as refusal:
            coverage.refusals[refusal.code] += 1
            return refusal.code
        except Exception as error:
            raise Violation(
                "no_failure",
                f"{message.name} made the contract fail: {type(error).__name__}: {error}; {attempt.command!r}",
            ) from error
        finally:
            coverage_module.listen(None)
        return 0

    def _command(self, message: MessageType, chain: Chain, seen: _Seen) -> Any:
        random = self._world.random
        known = seen.commands.get(message.name) or self._common[chain.kind].get(message.name)
        if known is None or random.random() < 0.1:
            return _made_up(message.command, random, seen.ids, self._world.now_ms())
        command = random.choice(known)
        if random.random() < WRONG:
            command = wronged(message.name, command, random)
        for _ in range(random.choice(CHANGES)):
            command = _changed(command, random, seen.ids, self._world.now_ms())
        return command

    def _sender(self, message: MessageType, seen: _Seen) -> Sender:
        """Mostly one that may send it, of either organization."""
        random = self._world.random
        able = [sender for sender in seen.senders if any(role in sender.roles for role in message.roles)]
        return random.choice(able if able and random.random() < 0.95 else seen.senders)

    def _cause(self, chain: Chain) -> Cause | None:
        random = self._world.random
        return Cause(ledger_id=chain.id, event_id="made up", purpose="mischief") if random.random() < 0.3 else None


def _keep(kept: list[Any], value: Any, most: int) -> None:
    kept.append(value)
    if len(kept) > most:
        del kept[0]


@cache
def _messages_about(ledger_kind: str, kind: str) -> tuple[str, ...]:
    """Messages of the supply chain that name a document of this kind; all of them if it is empty."""
    contracts = [one for one in contract_table(ledger_kind, 1).contracts if one.name not in OTHERS]
    return tuple(m.name for one in contracts for m in one.messages if not kind or _field_of(m.command, kind))


def _field_of(command: type[Any], kind: str) -> str:
    """The field of a command that names a document of this kind, by its whole name or its last word."""
    names = [spec.name for spec in fields(command)]
    return next((name for name in (f"{kind}_id", f"{kind.rpartition('_')[2]}_id") if name in names), "")


def _about(attempt: _Attempt, view: Layer, table: ContractTable) -> tuple[str, str]:
    """Kind and status of the document that a message names; empty if there is none."""
    for kind in table.kinds.values():
        name = _field_of(attempt.message.command, kind.name)
        found = view.document(kind, getattr(attempt.command, name)) if name else None
        if found is not None:
            return kind.name, str(getattr(found.record, "status", ""))
    return "", ""


def _prefix(document_id: str) -> str:
    return document_id.partition("_")[0]


def _senders(chain: Chain) -> list[Sender]:
    view = chain.state().committed.view
    found = []
    for one in chain.genesis.members:
        organization = view.get(ORGANIZATION, one.organization_id)
        member = view.get(MEMBER, one.id)
        if organization is not None and member is not None:
            found.append(
                Sender(
                    organization=organization.id, member=member.id, roles=member.roles, position=organization.position
                )
            )
    return found


# Changing what is there


def _changed(value: Any, random: Random, ids: dict[str, list[str]], now_ms: int) -> Any:
    """The value with one part of it changed."""
    if is_dataclass(value) and not isinstance(value, type):
        name = random.choice([spec.name for spec in fields(value)])
        return replace(value, **{name: _changed(getattr(value, name), random, ids, now_ms)})
    if isinstance(value, tuple):
        return _changed_tuple(value, random, ids, now_ms)
    return _changed_plain(value, random, ids, now_ms)


def _changed_tuple(value: tuple[Any, ...], random: Random, ids: dict[str, list[str]], now_ms: int) -> tuple[Any, ...]:
    if not value:
        return value
    place = random.randrange(len(value))
    how = random.randrange(5)
    if how == 0:
        return value[:place] + value[place + 1 :]
    if how == 1:
        return (*value, value[place])
    if how == 2:
        return value[::-1]
    return (*value[:place], _changed(value[place], random, ids, now_ms), *value[place + 1 :])


def _changed_plain(value: Any, random: Random, ids: dict[str, list[str]], now_ms: int) -> Any:
    if isinstance(value, bool):
        return not value
    if isinstance(value, StrEnum):
        return random.choice(list(type(value)))
    if isinstance(value, str):
        return _changed_text(value, random, ids)
    if isinstance(value, int):
        return random.choice((0, -1, 1, value + 1, value - 1, 2 * value, now_ms, now_ms + 60_000, BOUND))
    if isinstance(value, bytes):
        return random.choice((b"", random.randbytes(31), random.randbytes(32), b"{}", value[:-1], value + b" "))
    return value


def _changed_text(value: str, random: Random, ids: dict[str, list[str]]) -> str:
    """An id mostly by another of its kind."""
    alike = ids.get(_prefix(value)) or random.choice(list(ids.values()) or [["x"]])
    return random.choice(("", "x", "a@b.example", value + "x", *random.choices(alike, k=6)))


# Making one up


@cache
def _hints(record: type[Any]) -> dict[str, Any]:
    return {spec.name: get_type_hints(record)[spec.name] for spec in fields(record)}


def _made_up(hint: Any, random: Random, ids: dict[str, list[str]], now_ms: int) -> Any:
    """A value of a field's type."""
    if is_dataclass(hint) and isinstance(hint, type):
        return hint(**{name: _made_up(one, random, ids, now_ms) for name, one in _hints(hint).items()})
    origin = get_origin(hint)
    if origin is tuple:
        return tuple(_made_up(get_args(hint)[0], random, ids, now_ms) for _ in range(random.choice((0, 1, 1, 2))))
    if origin is not None or not isinstance(hint, type):
        options = [one for one in get_args(hint) if one is not type(None)]
        return None if random.random() < 0.5 or not options else _made_up(options[0], random, ids, now_ms)
    if issubclass(hint, StrEnum):
        return random.choice(list(hint))
    if hint is bool:
        return random.random() < 0.5
    plain: dict[type[Any], Any] = {str: "x", int: 1, bytes: b"\x00" * 32}
    return _changed_plain(plain[hint], random, ids, now_ms) if hint in plain else None
