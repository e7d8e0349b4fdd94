"""Parameters: what a ledger's members may set, with unit, default and bounds; changed only by a joint act.

They are one system document, `sys/rules`, beside the contracts' version, its scheduled upgrade and the ledger's kind. A
block runs from first to last under the parameters that stood when it began: `Call.parameters` is that record. DESIGN
sections 4, 5, 6, 11; docs/versions.md.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from smartcontracts.kernel import (
    Call,
    Event,
    Grpc,
    Kind,
    Outcome,
    Rejected,
    Terms,
)

SECOND_MS: Final = 1_000
MINUTE_MS: Final = 60 * SECOND_MS
DAY_MS: Final = 24 * 60 * MINUTE_MS
KIB: Final = 1_024
# A window must outlast what a proposer's clock may be ahead by this factor, else the clock decides who is late.
WINDOW_MIN_CLOCKS: Final = 10
# The block before an upgrade tells the engine of it, so it must come after the one that schedules it.
UPGRADE_HEIGHTS_MIN: Final = 2


class ParameterOutOfBounds(Rejected):
    """A parameter is outside its bounds, or does not fit another one."""

    code = 2201
    grpc = Grpc.INVALID_ARGUMENT


class WindowOutOfBounds(Rejected):
    """A window is shorter than `window_min_ms` or longer than the longest allowed."""

    code = 2202
    grpc = Grpc.INVALID_ARGUMENT


class ParametersUnchanged(Rejected):
    """The act would set the parameters to what they are."""

    code = 2203


class VersionNotNext(Rejected):
    """Contracts versions follow one another: the next is one more than the ledger's."""

    code = 2204


class UpgradeTooSoon(Rejected):
    """The height of an upgrade must be at least two above that of the block that schedules it."""

    code = 2205


class UpgradePending(Rejected):
    """An upgrade is scheduled already; take it back first."""

    code = 2206


class NoUpgradePending(Rejected):
    """There is no scheduled upgrade to take back."""

    code = 2207


class CancellationInvalid(Rejected):
    """Taking an upgrade back names version 0 and height 0."""

    code = 2208
    grpc = Grpc.INVALID_ARGUMENT


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameters:
    """A ledger's parameters; units, defaults and bounds stand in `PARAMETERS`."""

    clock_ahead_ms: int = 500
    clock_behind_ms: int = 5 * SECOND_MS
    max_ttl_ms: int = 10 * MINUTE_MS
    history_blocks: int = 1_000
    transaction_bytes_max: int = 512 * KIB
    messages_max: int = 100
    document_bytes_max: int = 512 * KIB
    items_max: int = 100
    proposal_window_max_ms: int = 30 * DAY_MS
    window_min_ms: int = 10 * SECOND_MS
    window_max_ms: int = 400 * DAY_MS
    deadlines_per_block_max: int = 1_000
    events_kept_blocks: int = 100_000


@dataclass(frozen=True, slots=True)
class ParameterSpec:
    """What one parameter means and which values it may take, both ends included."""

    name: str
    unit: str
    least: int
    most: int
    about: str
    # Values outside of the range that are allowed too, with the meaning that `about` gives them.
    also: tuple[int, ...] = ()


PARAMETERS: Final = (
    ParameterSpec("clock_ahead_ms", "ms", 50, 10 * SECOND_MS,
                  "How far a block's timestamp may be ahead of a validator's clock."),
    ParameterSpec("clock_behind_ms", "ms", 500, MINUTE_MS,
                  "How far it may be behind when a height is first proposed; doubles with each further proposal."),
    ParameterSpec("max_ttl_ms", "ms", 10 * SECOND_MS, 60 * MINUTE_MS,
                  "How far ahead a transaction may expire, and so how long it is remembered against replay."),
    ParameterSpec("history_blocks", "blocks", 10, 100_000_000,
                  "How many of the last heights can be read and proven; 0 is all.", (0,)),
    ParameterSpec("transaction_bytes_max", "bytes", 16 * KIB, 1_024 * KIB,
                  "Size of a transaction, signatures included."),
    ParameterSpec("messages_max", "messages", 1, 1_000, "Messages in one transaction."),
    ParameterSpec("document_bytes_max", "bytes", 16 * KIB, 1_024 * KIB, "Size of a document when it is created; it may grow by 64 KiB more."),
    ParameterSpec("items_max", "items", 1, 1_000, "Items of an inquiry, quote or order; price terms of an agreement."),
    ParameterSpec("proposal_window_max_ms", "ms", MINUTE_MS, 90 * DAY_MS,
                  "Longest window in which a joint act may be accepted."),
    ParameterSpec("window_min_ms", "ms", SECOND_MS, DAY_MS,
                  "Shortest window of any kind; never less than ten times clock_ahead_ms."),
    ParameterSpec("window_max_ms", "ms", DAY_MS, 4_000 * DAY_MS, "Longest window, billing period or term of payment."),
    ParameterSpec("deadlines_per_block_max", "deadlines", 10, 10_000, "Deadlines that fire at the start of one block."),
    ParameterSpec("events_kept_blocks", "blocks", 100, 100_000_000,
                  "For how many blocks events are kept; 0 is all.", (0,)),
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """System document `sys/rules`: which contracts and parameters a ledger runs under."""

    version: int
    ledger_kind: str
    parameters: Parameters
    # The scheduled upgrade: first height under that version; both 0 if there is none.
    next_version: int = 0
    next_height: int = 0

    def version_at(self, height: int) -> int:
        """The contracts version that the block of that height, which comes after this record, runs under."""
        return self.next_version if self.next_height and height >= self.next_height else self.version

    @property
    def id(self) -> str:
        """There is one a ledger."""
        return RULES_ID


RULES_ID: Final = "rules"
# Its key in the tree is "sys/rules" like any document's "kind/id". The application writes the first one from the genesis,
# and reads the one that a block begins with.
RULES: Final = Kind(
    name="sys", prefix="sys", record=Rules, terms=lambda _: Terms()
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SetParameters:
    """Joint act: new values for all parameters."""

    parameters: Parameters


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleVersion:
    """Joint act: run under contracts `version` from the block of `height` on; both 0 take that back."""

    version: int
    height: int


def check(parameters: Parameters) -> None:
    """Every bound, in the order of `PARAMETERS`, then what binds one to another. Rejects with ParameterOutOfBounds."""
    for spec in PARAMETERS:
        value: int = getattr(parameters, spec.name)
        if not spec.least <= value <= spec.most and value not in spec.also:
            besides = "".join(f" or {also}" for also in spec.also)
            raise ParameterOutOfBounds(
                f"{spec.name} must be from {spec.least} to {spec.most} {spec.unit}{besides}, not {value}.",
                f"parameters.{spec.name}",
            )
    if parameters.window_min_ms < WINDOW_MIN_CLOCKS * parameters.clock_ahead_ms:
        raise ParameterOutOfBounds(
            f"window_min_ms must be at least {WINDOW_MIN_CLOCKS} times clock_ahead_ms.",
            "parameters.window_min_ms",
        )


def require_window(window_ms: int, parameters: Parameters, field: str) -> int:
    """`window_ms`, if within the ledger's bounds for windows. Rejects with WindowOutOfBounds."""
    return require_between(window_ms, parameters.window_min_ms, parameters.window_max_ms, field)


def require_between(window_ms: int, least_ms: int, most_ms: int, field: str) -> int:
    """`window_ms`, if from `least_ms` to `most_ms`. Rejects with WindowOutOfBounds."""
    if not least_ms <= window_ms <= most_ms:
        raise WindowOutOfBounds(
            f"The window must be from {least_ms} to {most_ms} ms, not {window_ms}.", field
        )
    return window_ms


def check_set_parameters(command: SetParameters, call: Call) -> None:
    """Rejects with the first of: ParameterOutOfBounds, ParametersUnchanged."""
    check(command.parameters)
    if command.parameters == _rules(call).parameters:
        raise ParametersUnchanged("These are the ledger's parameters already.", "parameters")


def set_parameters(command: SetParameters, call: Call) -> Outcome:
    """Write `sys/rules` anew. Rejects as `check_set_parameters`."""
    check_set_parameters(command, call)
    rules = replace(_rules(call), parameters=command.parameters)
    return Outcome(writes=(rules,), events=(Event("parameters.set", rules),))


def check_schedule_version(command: ScheduleVersion, call: Call) -> None:
    """Rejects with the first of: CancellationInvalid, NoUpgradePending; or UpgradePending, VersionNotNext, UpgradeTooSoon.

    Which versions the software of a node has is not asked: the answer must be the same on all.
    """
    rules = _rules(call)
    if not command.version:
        if command.height:
            raise CancellationInvalid("Taking an upgrade back names height 0.", "height")
        if not rules.next_version:
            raise NoUpgradePending("No upgrade is scheduled.", "version")
        return
    if rules.next_version:
        raise UpgradePending(
            f"Version {rules.next_version} is scheduled for height {rules.next_height}; take that back first.", "version"
        )
    if command.version != rules.version + 1:
        raise VersionNotNext(f"The next version is {rules.version + 1}, not {command.version}.", "version")
    least = call.block.height + UPGRADE_HEIGHTS_MIN
    if command.height < least:
        raise UpgradeTooSoon(f"The height must be at least {least}, not {command.height}.", "height")


def schedule_version(command: ScheduleVersion, call: Call) -> Outcome:
    """Write the upgrade into `sys/rules`, or take it out. Rejects as `check_schedule_version`."""
    check_schedule_version(command, call)
    rules = replace(_rules(call), next_version=command.version, next_height=command.height)
    event = Event("version.scheduled", rules) if command.version else Event("version.cancelled", rules)
    return Outcome(writes=(rules,), events=(event,))


def begin_version(rules: Rules) -> Outcome:
    """The scheduled upgrade takes place: what the application writes first in the block of its height."""
    begun = replace(rules, version=rules.next_version, next_version=0, next_height=0)
    return Outcome(writes=(begun,), events=(Event("version.begun", begun),))


def _rules(call: Call) -> Rules:
    rules = call.view.get(RULES, RULES_ID)
    if rules is None:
        raise RuntimeError("A ledger without sys/rules: the genesis writes it.")
    return rules
