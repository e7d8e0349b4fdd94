"""What the application process is told, in one JSON file that its node writes.

    {"log_format": "json", "log_level": "info",
     "ledgers": [{"ledger_id": "sg_...", "name": "acme-alpha", "data_directory": "/...", "abci_socket": "/.../abci.sock",
                  "private_socket": "/.../app.sock", "peers": ["<node id>"]}]}

Ledgers may share a private socket. Unknown keys are refused.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError


class ConfigurationError(Exception):
    """The file is missing, no JSON, or not as it must be; the sentence says where."""


def _absolute(path: Path) -> Path:
    if not path.is_absolute():
        raise ValueError("must be an absolute path")
    return path


AbsolutePath = Annotated[Path, AfterValidator(_absolute)]
NodeId = Annotated[str, Field(pattern=r"^[0-9a-f]{40}$")]


class LedgerConfig(BaseModel):
    """One ledger. `peers`: node ids that its engine's configuration names, admitted until this node has caught up."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    ledger_id: Annotated[str, Field(pattern=r"^sg_[a-z2-7]{32}$")]
    name: str = ""
    data_directory: AbsolutePath
    abci_socket: AbsolutePath
    private_socket: AbsolutePath
    peers: tuple[NodeId, ...] = ()


class ProcessConfig(BaseModel):
    """The whole file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    ledgers: tuple[LedgerConfig, ...] = ()
    log_format: Literal["text", "json"] = "json"
    log_level: Literal["debug", "info", "warning", "error"] = "info"


def load_config(path: Path) -> ProcessConfig:
    """Raises ConfigurationError."""
    try:
        config = ProcessConfig.model_validate_json(path.read_bytes(), strict=False)
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror}") from error
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise ConfigurationError(f"{path}: {place or 'file'}: {first['msg']}") from error
    for what in ("ledger_id", "data_directory", "abci_socket"):
        values = [getattr(ledger, what) for ledger in config.ledgers]
        if len(set(values)) != len(values):
            raise ConfigurationError(f"{path}: two ledgers have the same {what}")
    return config
