"""Messages that nobody should send: seen ones again, from others, at other times, with parts changed; and made-up ones.

They are tried as a simulation before a broadcast is, so they change nothing: a contract refuses them, or would have done as asked.
What it may not do is fail. Req: the issue's "bad input, each with its code".
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields, is_dataclass, replace
from enum import StrEnum
from functools import cache
from random import Random
from typing import Any, Final, get_args, get_origin, get_type_hints

from abci_app.execution.acts import Surroundings, Unit
from abci_app.state.view import Layer
from ledgers.kinds import contract_table
from ledgers.transaction import Prepared
from scripts.simulation import coverage as coverage_module
from scripts.simulation.chain import Chain, Decided, Written
from scripts.simulation.coverage import OTHERS
from scripts.simulation.journal import Violation
from scripts.simulation.world import World
from smartcontracts.codec import decode, encode
from smartcontracts.kernel import Block, Call, Cause, MessageType, Rejected, Sender, run_message
from smartcontracts.membership import MEMBER, ORGANIZATION

SAMPLES: Final = 8
TRIES_A_BLOCK: Final = 4
IDS: Final = 20
CHANGES: Final = (0, 0, 1, 1, 1, 2, 3)
AHEAD_MS: Final = (1, 1, 1, 60_000, 600_000, 100_000_000)
BOUND: Final = 1 << 62


@dataclass(slots=True)
class _Seen:
    """What a ledger has seen: commands by message, and ids."""

    commands: dict[str, list[Any]] = field(default_factory=dict)
    # By their prefix, which says the kind.
    ids: dict[str, list[str]] = field(default_factory=dict)
    senders: list[Sender] = field(default_factory=list)


class Mischief:
    """Tries some after each block."""

    def __init__(self, world: World, tries: int = TRIES_A_BLOCK) -> None:
        self._world = world
        self._tries = tries
        self._seen: dict[str, _Seen] = {}
        # By kind of ledger: a message seen on one is tried on all.
        self._common: dict[str, dict[str, list[Any]]] = {}
        world.invariants.append(self.block)

    def block(self, chain: Chain, decided: Decided) -> None:
        """Learn from a block, and try. Raises Violation if a contract fails."""
        seen = self._seen.setdefault(chain.id, _Seen())
        self._learn(chain, seen, decided)
        if not self._world.closing:
            for number in range(self._tries):
                self._try(chain, seen, decided.written if number else ())

    def _learn(self, chain: Chain, seen: _Seen, decided: Decided) -> None:
        replica = chain.state()
        common = self._common.setdefault(chain.kind, {})
        for raw in decided.result.transactions[1:]:
            entry = replica.reader.read(raw, replica.committed.table, replica.committed.parameters)
            for command in entry.commands if isinstance(entry, Prepared) else ():
                for kept in (seen.commands, common):
                    _keep(kept.setdefault(command.message.name, []), command.record, SAMPLES)
        for written in decided.written:
            if written.before is None:
                _keep(seen.ids.setdefault(_prefix(written.after.id), []), written.after.id, IDS)
        if not seen.senders:
            seen.senders = _senders(chain)

    def _try(self, chain: Chain, seen: _Seen, written: tuple[Written, ...]) -> None:
        """One message of any type, or one about a document that the block wrote."""
        random = self._world.random
        committed = chain.state().committed
        aim = random.choice(written).after if written else None
        names = _messages_about(chain.kind, "" if aim is None else aim.kind.name)
        message = committed.table.messages[random.choice(names or _messages_about(chain.kind, ""))]
        command = self._command(message, chain, seen)
        if aim is not None and names:
            command = replace(command, **{_field_of(message.command, aim.kind.name): aim.id})
        ahead_ms = random.choice(AHEAD_MS)
        block = Block(committed.height + 1, committed.clock.time_ms + ahead_ms)
        around = Surroundings(
            ledger_id=chain.id,
            ledger_kind=chain.kind,
            block=block,
            parameters=committed.parameters,
            table=committed.table,
        )
        sender = self._sender(message, seen)
        layer = Layer(committed.view)
        call = Call(
            view=layer,
            block=block,
            ledger_id=chain.id,
            ledger_kind=chain.kind,
            sender=sender,
            signers=(sender,),
            transaction_id=random.randbytes(32),
            message_index=0,
            cause=self._cause(chain),
            parameters=committed.parameters,
            table=committed.table,
        )
        self._run(message, command, call, Unit(layer), around)

    def _run(self, message: MessageType, command: Any, call: Call, unit: Unit, around: Surroundings) -> None:
        coverage = self._world.coverage
        try:
            encoded = encode(command)
        except (TypeError, ValueError):
            # No client could send this.
            return
        coverage_module.listen(coverage, taking=False)
        try:
            received = decode(message.command, encoded)
            outcome = run_message(message.name, received, call)
            unit.apply(outcome, around, None, bytes_max=around.parameters.document_bytes_max)
        except Rejected as refusal:
            coverage.refusals[refusal.code] += 1
        except Exception as error:
            raise Violation(
                "no_failure", f"{message.name} made the contract fail: {type(error).__name__}: {error}; {command!r}"
            ) from error
        finally:
            coverage_module.listen(None)

    def _command(self, message: MessageType, chain: Chain, seen: _Seen) -> Any:
        random = self._world.random
        known = seen.commands.get(message.name) or self._common[chain.kind].get(message.name)
        if known is None or random.random() < 0.1:
            return _made_up(message.command, random, seen.ids, self._world.now_ms())
        command = random.choice(known)
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
                Sender(organization=organization.id, member=member.id, roles=member.roles, position=organization.position)
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
