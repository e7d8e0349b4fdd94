"""Configuration of a node and of the command line: one TOML file, strictly read.

A value comes from the flag `--set section.key=value`, else from the environment (`SYNGRAPH_SECTION_KEY`), else from the
file, else from the default. An unknown key is refused wherever it stands. Secrets are never values: a key is the path of
a file that only its owner may read. docs/configuration.md.
"""

from __future__ import annotations

import os
import re
import stat
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Final, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

CONFIG_BYTES_MAX: Final = 1 << 20
LEDGERS_MAX: Final = 1_000
ENVIRONMENT_PREFIX: Final = "SYNGRAPH_"
CONFIG_VARIABLE: Final = "SYNGRAPH_CONFIG"
DEFAULT_FILE: Final = "syngraph.toml"
_SECTIONS: Final = ("node", "tls", "log", "ledgers", "client", "agents")
AGENT_ROLES: Final = ("s_bus", "b_bus", "sco", "sof")
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,62}", re.ASCII)

T = TypeVar("T", bound=BaseModel)

ConfiguredPath = Annotated[Path, Field(strict=False)]
Address = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.\-\[\]:]+:[0-9]{1,5}$", max_length=255)]
Peer = Annotated[str, Field(pattern=r"^[0-9a-f]{40}@[A-Za-z0-9_.\-\[\]:]+:[0-9]{1,5}$", max_length=300)]


class ConfigurationWrong(Exception):
    """The configuration cannot be used; `problems` are sentences, each naming its key and where it comes from."""

    def __init__(self, problems: Sequence[str]) -> None:
        """Keep the sentences."""
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


class _Section(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class NodeSection(_Section):
    """Who runs this node, where its data lies, and where it listens."""

    organization: str = Field(
        pattern=r"^org_[a-z2-7]{32}$", description="The organization's id, as `syngraph keys authority` shows it."
    )
    name: str = Field(min_length=1, max_length=100, description="What its people call the organization; local.")
    data_dir: ConfiguredPath = Field(description="Folder for ledgers, engines and sockets; made with mode 0700.")
    grpc_address: Address = Field(default="127.0.0.1:7400", description="Where the gRPC API listens, host:port.")
    request_timeout_ms: int = Field(
        default=10_000, ge=100, le=600_000, description="How long the application may take for one answer."
    )
    commit_timeout_ms: int = Field(
        default=60_000,
        ge=1_000,
        le=600_000,
        description="How long Submit waits for a block where the caller's own deadline is not sooner.",
    )
    application_processes: int = Field(
        default=1, ge=1, le=64, description="Application processes; the ledgers are spread over them."
    )
    streams_max: int = Field(
        default=1_000, ge=1, le=100_000, description="Calls and streams open at once, over all connections."
    )


class TlsSection(_Section):
    """The organization's CA certificate, and the node's own certificate and key (P-256, PEM)."""

    ca_certificate: ConfiguredPath = Field(description="The organization's CA certificate.")
    certificate: ConfiguredPath = Field(description="The node's certificate, issued by that CA for its host names.")
    key: ConfiguredPath = Field(description="The node's key; a secret file.")


class LogSection(_Section):
    """One event a line, on standard error."""

    format: Literal["text", "json"] = Field(default="text", description="`text` for people, `json` for machines.")
    level: Literal["debug", "info", "warning", "error"] = Field(default="info", description="The least that is shown.")


class LedgerSection(_Section):
    """One ledger that the node replicates; the table's name is the local name of the ledger."""

    ledger_id: str = Field(pattern=r"^sg_[a-z2-7]{32}$", description="The ledger's id, as its genesis gives it.")
    genesis: ConfiguredPath = Field(description="The ledger's genesis file; it holds the ledger's secret.")
    engine_home: ConfiguredPath | None = Field(
        default=None, description="The engine's keys and blocks; by default `<data_dir>/engines/<ledger_id>`."
    )
    p2p_address: Address = Field(description="Where the engine listens for its peers, host:port.")
    pace: Literal["hot", "cold"] = Field(
        default="cold",
        description="`hot` answers in 0.1 s; `cold` sleeps at a fifth of the load. It counts from the next start of the node.",
    )
    validator: bool = Field(default=False, description="Whether this node validates the ledger, and so sends ticks.")
    peers: tuple[Peer, ...] = Field(
        default=(), strict=False, max_length=100, description="The other members' engines, each node id@host:port."
    )


class ClientSection(_Section):
    """How the command line reaches a node, and whose key signs."""

    node: Address = Field(default="127.0.0.1:7400", description="The node, host:port.")
    ca_certificate: ConfiguredPath | None = Field(
        default=None, description="CA certificate of the organization that runs that node."
    )
    certificate: ConfiguredPath | None = Field(default=None, description="The member's certificate.")
    key: ConfiguredPath | None = Field(default=None, description="The certificate's key; a secret file.")
    server_name: str = Field(default="", description="What the node's certificate names, if not the host of `node`.")
    signer: str = Field(
        default="",
        pattern=r"^$|^org_[a-z2-7]{32}/mbr_[a-z2-7]{32}$",
        description="Who signs transactions, organization/member.",
    )
    signing_key: ConfiguredPath | None = Field(default=None, description="The Ed25519 key that signs; a secret file.")
    other_nodes: tuple[str, ...] = Field(
        default=(),
        strict=False,
        max_length=20,
        description="Other members' nodes, each host:port=ca.pem, for transactions that get no block through the first.",
    )


class AgentSection(_Section):
    """One agent: the member of the organization as which it acts, on every ledger the same."""

    signer: str = Field(
        pattern=r"^org_[a-z2-7]{32}/mbr_[a-z2-7]{32}$",
        description="The member, organization/member; it needs the role.",
    )
    signing_key: ConfiguredPath = Field(description="The Ed25519 key that signs; a secret file.")
    certificate: ConfiguredPath = Field(description="The member's certificate.")
    key: ConfiguredPath = Field(description="The certificate's key; a secret file.")


class AgentsSection(_Section):
    """What the organization's agents are told, in `syngraph node run` and in `syngraph agent ROLE`; docs/agents.md."""

    in_node: bool = Field(
        default=True, description="Whether `syngraph node run` runs them; else each is started by itself."
    )
    node: Address | None = Field(default=None, description="The node, host:port; by default `node.grpc_address`.")
    server_name: str = Field(default="", description="What the node's certificate names, if not the host of `node`.")
    ca_certificate: ConfiguredPath | None = Field(
        default=None, description="CA certificate of the organization; by default `tls.ca_certificate`."
    )
    folder: ConfiguredPath | None = Field(
        default=None, description="Folder for cursors and bookings; by default `<data_dir>/agents`."
    )
    policies: str = Field(
        default="",
        pattern=r"^$|^[A-Za-z_][A-Za-z0-9_.]*:[A-Za-z_][A-Za-z0-9_]*$",
        description="A plug-in for the policies, package.module:Name; none are the built-in ones.",
    )
    policy_file: ConfiguredPath | None = Field(default=None, description="What the policies are told; TOML.")
    provisioning: Literal["none", "reference", "http"] = Field(
        default="none",
        description="What SOF asks: nothing, an inventory file, or a system of TM Forum shapes; docs/provisioning.md.",
    )
    provisioning_file: ConfiguredPath | None = Field(
        default=None, description="The inventory of `reference`, or the address and certificates of `http`; TOML."
    )
    concurrency: int = Field(default=16, ge=1, le=1_000, description="Documents that an agent looks at at once.")
    sweep_ms: int = Field(
        default=120_000,
        ge=1_000,
        le=86_400_000,
        description="How often an agent lists what is open, whatever events said.",
    )
    other_nodes: tuple[str, ...] = Field(
        default=(),
        strict=False,
        max_length=20,
        description="Other members' nodes, each host:port=ca.pem, for transactions that get no block through the first.",
    )
    s_bus: AgentSection | None = Field(default=None, description="The agent that sells; a table of its own.")
    b_bus: AgentSection | None = Field(default=None, description="The agent that buys; a table of its own.")
    sco: AgentSection | None = Field(default=None, description="The agent that composes; a table of its own.")
    sof: AgentSection | None = Field(default=None, description="The agent that provisions; a table of its own.")


class NodeConfiguration(_Section):
    """What `syngraph node run` needs."""

    node: NodeSection
    tls: TlsSection
    log: LogSection = LogSection()
    ledgers: dict[str, LedgerSection] = Field(default_factory=dict, max_length=LEDGERS_MAX)
    client: ClientSection = ClientSection()
    agents: AgentsSection = AgentsSection()


class AgentsConfiguration(_Section):
    """What `syngraph agent ROLE` needs, which may run where no node does; `node` and `tls` only lend their defaults."""

    log: LogSection = LogSection()
    agents: AgentsSection = AgentsSection()


class ClientConfiguration(_Section):
    """What the commands need that only talk to a node: the other sections may be there or not."""

    log: LogSection = LogSection()
    client: ClientSection = ClientSection()


@dataclass(frozen=True, slots=True)
class Sources:
    """The values as given, nested by section, and where each came from (`"log.level"` to `"file syngraph.toml"`)."""

    values: dict[str, Any]
    origins: dict[str, str]
    base: Path
    file: Path | None = None

    @property
    def advice(self) -> list[str]:
        """What to say where something is missing: most often the command was given in another folder than the file's."""
        if self.file is not None:
            return []
        return [
            f"There is no {DEFAULT_FILE} in {self.base}: go where it is, or name a file by --config or {CONFIG_VARIABLE}."
        ]


def read_sources(file: Path | None, environment: Mapping[str, str], flags: Sequence[str] = ()) -> Sources:
    """Collect values by precedence. `flags` are texts "section.key=value". Raises ConfigurationWrong.

    `file` None is the one `SYNGRAPH_CONFIG` names, else `syngraph.toml` of the working directory if it is there.
    """
    chosen = file or (Path(environment[CONFIG_VARIABLE]) if environment.get(CONFIG_VARIABLE) else None)
    if chosen is None and Path(DEFAULT_FILE).is_file():
        chosen = Path(DEFAULT_FILE)
    values: dict[str, Any] = {}
    origins: dict[str, str] = {}
    if chosen is not None:
        values = _read_file(chosen)
        origins = dict.fromkeys(_leaves(values), f"file {chosen}")
    ledgers = values.get("ledgers")
    names = tuple(ledgers) if isinstance(ledgers, dict) else ()
    problems: list[str] = []
    for variable in sorted(environment):
        key = _key_of_variable(variable, names)
        if key == "":
            problems.append(f"{variable}: there is no such setting; `syngraph config show` lists them.")
        elif key is not None:
            _put(values, key, environment[variable])
            origins[key] = f"environment {variable}"
    for flag in flags:
        key, separator, text = flag.partition("=")
        if not separator or _field_of(key) is None:
            problems.append(f"--set {flag}: give section.key=value with a key that `syngraph config show` lists.")
            continue
        _put(values, key, text)
        origins[key] = "flag --set"
    if problems:
        raise ConfigurationWrong(problems)
    return Sources(values, origins, (chosen.parent if chosen else Path()).absolute(), chosen)


def load_node(sources: Sources) -> NodeConfiguration:
    """The node's configuration with absolute paths. Raises ConfigurationWrong; files are not looked at."""
    configuration = _validated(NodeConfiguration, sources)
    problems = [
        f"ledgers.{name}: a name has small letters, digits and dashes."
        for name in configuration.ledgers
        if not _NAME.fullmatch(name)
    ]
    problems += _doubled(configuration)
    if problems:
        raise ConfigurationWrong(problems)
    return configuration


def load_client(sources: Sources) -> ClientConfiguration:
    """The command line's configuration with absolute paths. Raises ConfigurationWrong; files are not looked at."""
    known = {name: section for name, section in sources.values.items() if name in ("log", "client")}
    unknown = sorted(set(sources.values) - set(_SECTIONS))
    if unknown:
        raise ConfigurationWrong([f"{name}: there is no such section." for name in unknown])
    return _validated(ClientConfiguration, replace(sources, values=known))


def load_agents(sources: Sources) -> AgentsConfiguration:
    """The agents' configuration, with what it takes from the node's filled in. Raises ConfigurationWrong."""
    unknown = sorted(set(sources.values) - set(_SECTIONS))
    if unknown:
        raise ConfigurationWrong([f"{name}: there is no such section." for name in unknown])
    if "node" in sources.values:
        whole = load_node(sources)
        return AgentsConfiguration(log=whole.log, agents=agents_of(whole))
    known = {name: section for name, section in sources.values.items() if name in ("log", "agents")}
    return _validated(AgentsConfiguration, replace(sources, values=known))


def agents_of(configuration: NodeConfiguration) -> AgentsSection:
    """The agents' section, with what it takes from the node's filled in."""
    agents = configuration.agents
    return agents.model_copy(
        update={
            "node": agents.node or reachable(configuration.node.grpc_address),
            "ca_certificate": agents.ca_certificate or configuration.tls.ca_certificate,
            "folder": agents.folder or configuration.node.data_dir / "agents",
        }
    )


def reachable(listening: str) -> str:
    """The address under which a program on the same machine reaches one that listens here."""
    host, _, port = listening.rpartition(":")
    return f"{ {'0.0.0.0': '127.0.0.1', '[::]': '[::1]'}.get(host, host) }:{port}"  # noqa: S104 - the host is replaced


def check_files(configuration: NodeConfiguration) -> list[str]:
    """Sentences on every configured file that is missing or lets others read a secret; empty when all is well."""
    problems = []
    for key in ("ca_certificate", "certificate"):
        problems += _missing(f"tls.{key}", getattr(configuration.tls, key))
    problems += _secret_problems("tls.key", configuration.tls.key)
    if not problems:
        problems += _tls_problems(configuration.tls)
    for name, ledger in configuration.ledgers.items():
        problems += _missing(f"ledgers.{name}.genesis", ledger.genesis)
    if configuration.client.signing_key is not None:
        problems += _secret_problems("client.signing_key", configuration.client.signing_key)
    if configuration.client.key is not None:
        problems += _secret_problems("client.key", configuration.client.key)
    return problems + check_agent_files(configuration.agents)


def check_agent_files(agents: AgentsSection, roles: Sequence[str] = AGENT_ROLES) -> list[str]:
    """As `check_files`, of what the agents of these roles need."""
    problems = []
    for key in ("policy_file", "provisioning_file"):
        path = getattr(agents, key)
        if path is not None:
            problems += _missing(f"agents.{key}", path)
    for role in roles:
        agent: AgentSection | None = getattr(agents, role)
        if agent is not None:
            problems += _missing(f"agents.{role}.certificate", agent.certificate)
            problems += _secret_problems(f"agents.{role}.signing_key", agent.signing_key)
            problems += _secret_problems(f"agents.{role}.key", agent.key)
    return problems


def read_secret(path: Path, key: str) -> bytes:
    """The bytes of a secret file of the setting `key`. Raises ConfigurationWrong if others may read it, or it is not there."""
    problems = _secret_problems(key, path)
    if problems:
        raise ConfigurationWrong(problems)
    return path.read_bytes()


def shown(configuration: BaseModel, origins: Mapping[str, str]) -> list[tuple[str, str, str]]:
    """(key, value, origin) of every setting, in the order of the models. Nothing is secret: secrets are paths."""
    rows: list[tuple[str, str, str]] = []

    def walk(section: BaseModel, prefix: str) -> None:
        for name in type(section).model_fields:
            value, key = getattr(section, name), f"{prefix}{name}"
            if isinstance(value, BaseModel):
                walk(value, f"{key}.")
            elif isinstance(value, dict):
                for entry, nested in value.items():
                    walk(nested, f"{key}.{entry}.")
            else:
                rows.append((key, _text(value), origins.get(key, "default")))

    walk(configuration, "")
    return rows


SECTIONS: Final[tuple[tuple[str, type[BaseModel]], ...]] = (
    ("node", NodeSection),
    ("tls", TlsSection),
    ("log", LogSection),
    ("ledgers.NAME", LedgerSection),
    ("client", ClientSection),
    ("agents", AgentsSection),
    ("agents.ROLE", AgentSection),
)


def engine_home(configuration: NodeConfiguration, name: str) -> Path:
    """Where the engine of the ledger with this local name keeps its home."""
    ledger = configuration.ledgers[name]
    return ledger.engine_home or configuration.node.data_dir / "engines" / ledger.ledger_id


def _read_file(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as source:
            data = source.read(CONFIG_BYTES_MAX + 1)
    except OSError as error:
        raise ConfigurationWrong([f"{path}: {error.strerror}."]) from error
    if len(data) > CONFIG_BYTES_MAX:
        raise ConfigurationWrong([f"{path}: a configuration has at most {CONFIG_BYTES_MAX} bytes."])
    try:
        return tomllib.loads(data.decode("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationWrong([f"{path}: not TOML: {error}."]) from error


def _leaves(values: Mapping[str, Any], prefix: str = "") -> list[str]:
    keys: list[str] = []
    for name, value in values.items():
        keys += _leaves(value, f"{prefix}{name}.") if isinstance(value, dict) else [prefix + name]
    return keys


def _key_of_variable(variable: str, ledgers: Sequence[str]) -> str | None:
    """The setting's key, "" if it has a section's prefix but names none, None if it is another program's."""
    if not variable.startswith(ENVIRONMENT_PREFIX):
        return None
    rest = variable.removeprefix(ENVIRONMENT_PREFIX).lower()
    section, _, name = rest.partition("_")
    if section not in _SECTIONS:
        return None
    if section != "ledgers":
        agent = next((role for role in AGENT_ROLES if section == "agents" and name.startswith(f"{role}_")), "")
        key = f"{section}.{agent}.{name.removeprefix(f'{agent}_')}" if agent else f"{section}.{name}"
        return key if _field_of(key) is not None else ""
    for ledger in ledgers:
        prefix = ledger.replace("-", "_") + "_"
        if name.startswith(prefix) and name.removeprefix(prefix) in LedgerSection.model_fields:
            return f"ledgers.{ledger}.{name.removeprefix(prefix)}"
    return ""


def _field_of(key: str) -> Any:
    """The declared type of the setting with this dotted key, or None if there is none."""
    parts = key.split(".")
    sections: dict[str, type[BaseModel]] = {
        "node": NodeSection,
        "tls": TlsSection,
        "log": LogSection,
        "client": ClientSection,
        "agents": AgentsSection,
    }
    section = sections.get(parts[0])
    if section is not None and len(parts) == 2 and not (section is AgentsSection and parts[1] in AGENT_ROLES):
        found = _fields_of(section).get(parts[1])
    elif parts[0] == "agents" and len(parts) == 3 and parts[1] in AGENT_ROLES:
        found = _fields_of(AgentSection).get(parts[2])
    elif parts[0] == "ledgers" and len(parts) == 3:
        found = LedgerSection.model_fields.get(parts[2])
    else:
        return None
    return None if found is None else found.annotation


def _fields_of(section: type[BaseModel]) -> dict[str, Any]:
    return dict(section.model_fields)


def _put(values: dict[str, Any], key: str, text: str) -> None:
    *sections, name = key.split(".")
    place = values
    for section in sections:
        nested = place.setdefault(section, {})
        if not isinstance(nested, dict):
            raise ConfigurationWrong([f"{section}: this is a section, not a value."])
        place = nested
    place[name] = _typed(key, text)


def _typed(key: str, text: str) -> Any:
    """Numbers, truth values and lists are written in the environment as in TOML; everything else is text."""
    wanted = _field_of(key)
    if wanted in (int, bool) or getattr(wanted, "__origin__", None) is tuple:
        try:
            return tomllib.loads(f"value = {text}")["value"]
        except tomllib.TOMLDecodeError:
            return text
    return text


def _validated(model: type[T], sources: Sources) -> T:
    try:
        return _with_absolute_paths(model.model_validate(sources.values), sources.base)
    except ValidationError as error:
        faults = error.errors()
        problems = [fault_sentence(fault, sources.origins) for fault in faults]
        advice = sources.advice if any(fault["type"] == "missing" for fault in faults) else []
        raise ConfigurationWrong(problems + advice) from error


def fault_sentence(fault: Any, origins: Mapping[str, str] = MappingProxyType({})) -> str:
    """A fault that pydantic found in settings, with the setting's key, and where it came from if that is known."""
    key = ".".join(str(part) for part in fault["loc"])
    origin = origins.get(key)
    text = "there is no such setting" if fault["type"] == "extra_forbidden" else str(fault["msg"])
    return f"{key}: {text}{f' ({origin})' if origin else ''}."


def _with_absolute_paths(section: T, base: Path) -> T:
    changed: dict[str, Any] = {}
    for name in type(section).model_fields:
        value = getattr(section, name)
        if isinstance(value, Path):
            changed[name] = base / _at_home(value)
        elif isinstance(value, BaseModel):
            changed[name] = _with_absolute_paths(value, base)
        elif isinstance(value, dict):
            changed[name] = {key: _with_absolute_paths(nested, base) for key, nested in value.items()}
    return section.model_copy(update=changed)


def _at_home(path: Path) -> Path:
    """With the home folder in the place of "~"; of somebody whom the machine does not know it is a name like any other."""
    try:
        return path.expanduser()
    except RuntimeError:
        return path


def _doubled(configuration: NodeConfiguration) -> list[str]:
    problems = []
    seen: dict[str, str] = {configuration.node.grpc_address: "node.grpc_address"}
    for name, ledger in configuration.ledgers.items():
        for value, key in ((ledger.p2p_address, "p2p_address"), (ledger.ledger_id, "ledger_id")):
            here = f"ledgers.{name}.{key}"
            if value in seen:
                problems.append(f"{here}: {value} is also {seen[value]}.")
            seen[value] = here
    return problems


def _missing(key: str, path: Path) -> list[str]:
    return [] if path.is_file() else [f"{key}: there is no file {path}."]


def _secret_problems(key: str, path: Path) -> list[str]:
    try:
        status = path.stat()
    except OSError as error:
        return [f"{key}: {path}: {error.strerror}."]
    if not stat.S_ISREG(status.st_mode):
        return [f"{key}: {path} is not a file."]
    if status.st_uid != os.geteuid():
        return [f"{key}: {path} belongs to another user."]
    if stat.S_IMODE(status.st_mode) & 0o177:
        return [f"{key}: others may read or change {path}; run `chmod 600 {path}`."]
    return []


def _tls_problems(tls: TlsSection) -> list[str]:
    from ledgers.client.identity import KeyFileWrong, organization_of, require_pair  # late: other commands load less

    problems = []
    if not organization_of(tls.ca_certificate.read_bytes()):
        problems.append(f"tls.ca_certificate: there is no certificate in PEM in {tls.ca_certificate}.")
    try:
        require_pair(tls.certificate, tls.key)
    except KeyFileWrong as error:
        problems.append(f"tls: {error}.")
    return problems


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple):
        return ", ".join(map(str, value))
    return "" if value is None else str(value)
