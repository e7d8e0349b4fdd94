"""Topology files: which organizations there are, with which members, and what each is on which ledger.

A file is TOML, strictly read: unknown keys are refused, and a problem names the field that it is about.
docs/localnet.md explains every key.
"""

from __future__ import annotations

import json
import re
import tomllib
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ledgers.kinds import BILATERAL, INTERNAL, OMNI
from node.agents.provisioning.inventory import InventoryWrong
from node.agents.provisioning.inventory import parse as parse_inventory
from smartcontracts.kernel import Position, Rejected, Role
from smartcontracts.parameters import Parameters, check

DEFAULT: Final = "default"
FILE_BYTES_MAX: Final = 1 << 20
ORGANIZATIONS_MAX: Final = 50
LEDGERS_MAX: Final = 100
MEMBERS_MAX: Final = 16
TOLERANT_VALIDATORS_MIN: Final = 4
BUILT_IN: Final = Path(__file__).with_name("topologies")
_NAME: Final = re.compile(r"[a-z][a-z0-9-]{0,30}", re.ASCII)
# One for each organization that trades, called after it.
_INTERNAL_SUFFIX: Final = "-internal"
# A ledger's name is an organization's with something after it, or two of them.
_LEDGER_NAME: Final = re.compile(r"[a-z][a-z0-9-]{0,62}", re.ASCII)
_MEMBER: Final = re.compile(r"[a-z][a-z0-9_-]{0,30}", re.ASCII)

# A function of a provider signs with a key of its own (L-05).
_EVERY_FUNCTION: Final[dict[str, tuple[str, ...]]] = {
    role.value: (role.value,) for role in Role if role != Role.OBSERVER
}

Names = Annotated[tuple[str, ...], Field(strict=False, max_length=ORGANIZATIONS_MAX)]
Pace = Literal["hot", "cold"]
Agents = Literal["node", "processes", "none"]
Roles = Annotated[tuple[str, ...], Field(strict=False, min_length=1)]


class TopologyInvalid(Exception):
    """The topology cannot be used; `problems` are sentences, each beginning with the field that it is about."""

    def __init__(self, problems: list[str]) -> None:
        """Keep the sentences."""
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


class _Entry(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class OrganizationEntry(_Entry):
    """An organization: the name that its ledgers show, and its members as name to roles.

    `inventory` is what it can deliver itself, as docs/provisioning.md says; without one it makes nothing and buys everything.
    """

    name: str = Field(min_length=1, max_length=64, pattern=r"^[^\x00-\x1f\x7f]*$")
    members: dict[str, Roles] = Field(default_factory=lambda: dict(_EVERY_FUNCTION), max_length=MEMBERS_MAX)
    inventory: dict[str, Any] = Field(default_factory=lambda: {"currency": "EUR", "pool": []})
    # Where its agents run, if not where the topology's do.
    agents: Agents | None = None


class LedgerEntry(_Entry):
    """A ledger, by the names of its organizations.

    Bilateral: two `parties` and `neutrals`, all of which validate. Internal: one party. Omni: `validators`, and
    `followers` that are members without a vote. `observers` are in the genesis, `granted` ones are admitted by the
    governors' joint act after the start.
    """

    kind: Literal["bilateral", "internal", "omni"]
    parties: Names = ()
    neutrals: Names = ()
    validators: Names = ()
    followers: Names = ()
    observers: Names = ()
    granted: Names = ()
    parameters: dict[str, int] = Field(default_factory=dict)
    # Of the ledger's engines; by default the topology's.
    pace: Pace | None = None

    @property
    def voters(self) -> tuple[str, ...]:
        """Who validates, in the file's order."""
        return (*self.parties, *self.neutrals, *self.validators)

    @property
    def governors(self) -> tuple[str, ...]:
        """Whose administrators decide together on who may observe."""
        return (*self.parties, *self.validators, *self.followers)

    @property
    def founders(self) -> dict[str, Position]:
        """Everybody in the genesis, with what it is there."""
        named = (
            (self.parties, Position.PARTY),
            (self.neutrals, Position.NEUTRAL),
            (self.validators, Position.MEMBER),
            (self.followers, Position.MEMBER),
            (self.observers, Position.OBSERVER),
        )
        return {name: position for names, position in named for name in names}

    @property
    def everybody(self) -> tuple[str, ...]:
        """Founders, and those that are admitted later."""
        return (*self.founders, *self.granted)

    def genesis_parameters(self) -> Parameters:
        """The ledger's parameters. Raises TypeError for a name that there is not."""
        return Parameters(**self.parameters)


class Topology(_Entry):
    """The whole file. `pace` is the engines': hot answers in 0.1 s, cold sleeps cheaply.

    `internal`: every party of a bilateral ledger gets an internal ledger, created with it. `agents` says where the agents of
    those organizations run: in their nodes, each in a process of its own, or not at all.
    """

    pace: Pace = "hot"
    internal: bool = True
    agents: Agents = "node"
    organizations: dict[str, OrganizationEntry] = Field(min_length=1, max_length=ORGANIZATIONS_MAX)
    ledgers: dict[str, LedgerEntry] = Field(min_length=1, max_length=LEDGERS_MAX)

    def ledgers_of(self, organization: str) -> tuple[str, ...]:
        """Names of the ledgers that the organization's node replicates."""
        return tuple(name for name, ledger in self.ledgers.items() if organization in ledger.everybody)

    def traders(self) -> tuple[str, ...]:
        """Organizations that buy or sell: the parties of bilateral ledgers, in the file's order."""
        parties = {who for ledger in self.ledgers.values() if ledger.kind == BILATERAL for who in ledger.parties}
        return tuple(name for name in self.organizations if name in parties)

    def internal_ledger(self, organization: str) -> str | None:
        """The name of the organization's own internal ledger, if it has one."""
        for name, ledger in self.ledgers.items():
            if ledger.kind == INTERNAL and ledger.parties == (organization,):
                return name
        return None

    def agents_of(self, organization: str) -> Agents:
        """Where the organization's agents run."""
        return self.organizations[organization].agents or self.agents

    def pace_of(self, ledger: str) -> Pace:
        """The pace of a ledger's engines."""
        return self.ledgers[ledger].pace or self.pace

    def warnings(self) -> tuple[str, ...]:
        """Sentences on what is allowed and unwise."""
        return tuple(
            f"ledgers.{name}: with {len(ledger.voters)} validators the ledger stops when any one of them is away; four"
            " can spare one."
            for name, ledger in self.ledgers.items()
            if ledger.kind != INTERNAL and len(ledger.voters) < TOLERANT_VALIDATORS_MIN
        )


def built_in_names() -> tuple[str, ...]:
    """Topologies that come with the package."""
    return tuple(sorted(path.stem for path in BUILT_IN.glob("*.toml")))


def load_topology(source: str | Path = DEFAULT) -> Topology:
    """The topology of a file, or a built-in one by its name. Raises TopologyInvalid."""
    path = BUILT_IN / f"{source}.toml" if str(source) in built_in_names() else Path(source)
    try:
        with path.open("rb") as file:
            data = file.read(FILE_BYTES_MAX + 1)
    except OSError as error:
        known = ", ".join(built_in_names())
        raise TopologyInvalid([f"{path}: {error.strerror}. Built-in topologies: {known}."]) from error
    if len(data) > FILE_BYTES_MAX:
        raise TopologyInvalid([f"{path}: a topology has at most {FILE_BYTES_MAX} bytes."])
    try:
        values = tomllib.loads(data.decode("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise TopologyInvalid([f"{path}: not TOML: {error}."]) from error
    return parse_topology(values)


def parse_topology(values: dict[str, Any]) -> Topology:
    """The topology that these values describe. Raises TopologyInvalid with every problem found."""
    try:
        topology = Topology.model_validate(values)
    except ValidationError as error:
        raise TopologyInvalid([_sentence(fault) for fault in error.errors()]) from error
    problems = _organization_problems(topology)
    for name, ledger in topology.ledgers.items():
        problems += _ledger_problems(f"ledgers.{name}", name, ledger, topology)
    if problems:
        raise TopologyInvalid(problems)
    return _with_internal_ledgers(topology) if topology.internal else topology


def _with_internal_ledgers(topology: Topology) -> Topology:
    """An organization that trades has its internal ledger from the beginning (L-28), validated by its own node alone."""
    missing = [name for name in topology.traders() if topology.internal_ledger(name) is None]
    added = {f"{name}{_INTERNAL_SUFFIX}": LedgerEntry(kind="internal", parties=(name,)) for name in missing}
    doubled = [name for name in added if name in topology.ledgers]
    if doubled:
        raise TopologyInvalid([f"ledgers.{name}: the name is kept for an internal ledger." for name in doubled])
    return topology.model_copy(update={"ledgers": {**topology.ledgers, **added}})


def _sentence(fault: Any) -> str:
    field = ".".join(str(part) for part in fault["loc"])
    text = "there is no such key" if fault["type"] == "extra_forbidden" else str(fault["msg"])
    return f"{field}: {text}."


def _organization_problems(topology: Topology) -> list[str]:
    problems = []
    known = {role.value for role in Role}
    for name, organization in topology.organizations.items():
        field = f"organizations.{name}"
        if not _NAME.fullmatch(name):
            problems.append(f"{field}: a name has small letters, digits and dashes, and begins with a letter.")
        if not topology.ledgers_of(name):
            problems.append(f"{field}: it is on no ledger.")
        if not any(Role.ADMINISTRATOR in roles for roles in organization.members.values()):
            problems.append(f"{field}.members: one member must be an administrator.")
        try:
            parse_inventory(json.dumps(organization.inventory).encode(), is_json=True)
        except InventoryWrong as wrong:
            problems += [f"{field}.inventory.{sentence}" for sentence in str(wrong).splitlines()]
        except TypeError:
            problems.append(f"{field}.inventory: give texts, numbers, truth values, lists and tables.")
        for member, roles in organization.members.items():
            if not _MEMBER.fullmatch(member):
                problems.append(f"{field}.members.{member}: a name has small letters, digits, dashes and underscores.")
            if set(roles) - known or len(set(roles)) != len(roles):
                problems.append(f"{field}.members.{member}: roles are {', '.join(sorted(known))}, each once.")
    return problems


def _ledger_problems(field: str, name: str, ledger: LedgerEntry, topology: Topology) -> list[str]:
    problems = []
    if not _LEDGER_NAME.fullmatch(name):
        problems.append(f"{field}: a name has small letters, digits and dashes, and begins with a letter.")
    places = ("parties", "neutrals", "validators", "followers", "observers", "granted")
    seen: dict[str, str] = {}
    for place in places:
        for organization in getattr(ledger, place):
            if organization not in topology.organizations:
                problems.append(f"{field}.{place}: there is no organization {organization}.")
            if organization in seen:
                problems.append(f"{field}.{place}: {organization} is among the {seen[organization]} already.")
            seen[organization] = place
    problems += _shape_problems(field, ledger)
    return problems + _parameter_problems(field, ledger)


def _shape_problems(field: str, ledger: LedgerEntry) -> list[str]:
    """Which lists a kind of ledger has, and how long they are."""
    allowed = {
        BILATERAL: ("parties", "neutrals", "observers", "granted"),
        INTERNAL: ("parties", "observers", "granted"),
        OMNI: ("validators", "followers", "observers", "granted"),
    }[ledger.kind]
    problems = [
        f"{field}.{place}: a ledger of kind {ledger.kind} has {', '.join(allowed)}."
        for place in ("parties", "neutrals", "validators", "followers")
        if getattr(ledger, place) and place not in allowed
    ]
    parties = {BILATERAL: 2, INTERNAL: 1}.get(ledger.kind)
    if parties is not None and len(ledger.parties) != parties:
        problems.append(f"{field}.parties: a ledger of kind {ledger.kind} needs {parties}.")
    if ledger.kind == OMNI and not ledger.validators:
        problems.append(f"{field}.validators: at least one is needed.")
    return problems


def _parameter_problems(field: str, ledger: LedgerEntry) -> list[str]:
    known = {each.name for each in fields(Parameters)}
    unknown = sorted(set(ledger.parameters) - known)
    if unknown:
        return [f"{field}.parameters.{name}: there is no such parameter." for name in unknown]
    try:
        check(ledger.genesis_parameters())
    except Rejected as refused:
        return [f"{field}.{refused.field}: {refused.sentence}"]
    return []
