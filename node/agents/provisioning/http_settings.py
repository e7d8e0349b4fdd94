"""The HTTP adapter's file: where the provisioning system is, whom to trust for it, and how patient to be. docs/provisioning.md."""

from __future__ import annotations

import secrets
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from node.agents.provisioning import ProvisioningBroken
from node.agents.provisioning.http import TEST_SPECIFICATION, BackOff, HttpProvisioning
from node.agents.provisioning.transport import TIMEOUT_MS, TlsTransport, tls_context

FILE_BYTES_MAX: Final = 64 * 1024
_Path = Annotated[Path, Field(strict=False)]


class HttpFile(BaseModel):
    """Paths are taken from the file's own folder."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    url: str = Field(max_length=1_000)
    ca_certificates: _Path
    certificate: _Path | None = None
    key: _Path | None = None
    test_specification: str = Field(default=TEST_SPECIFICATION, min_length=1, max_length=256)
    timeout_ms: int = Field(default=TIMEOUT_MS, ge=100, le=600_000)
    first_pause_ms: int = Field(default=1_000, ge=10, le=3_600_000)
    longest_pause_ms: int = Field(default=60_000, ge=10, le=86_400_000)


def connect(path: Path, now_ms: Callable[[], int]) -> HttpProvisioning:
    """The adapter that a file describes; nothing is asked yet. Raises ProvisioningBroken with what a person can mend."""
    try:
        with path.open("rb") as file:
            text = file.read(FILE_BYTES_MAX + 1)
        if len(text) > FILE_BYTES_MAX:
            raise ProvisioningBroken(f"{path}: at most {FILE_BYTES_MAX} bytes are allowed.")
        said = HttpFile.model_validate(tomllib.loads(text.decode("utf-8")))
    except OSError as error:
        raise ProvisioningBroken(f"{path} can't be read: {error.strerror}.") from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ProvisioningBroken(f"{path} is not TOML: {error}.") from error
    except ValidationError as error:
        lines = [f"{'.'.join(str(part) for part in one['loc'])}: {one['msg']}." for one in error.errors()]
        raise ProvisioningBroken("\n".join(lines)) from error
    if (said.certificate is None) != (said.key is None):
        raise ProvisioningBroken("key: give it with certificate, and only then.")
    context = tls_context(
        path.parent / said.ca_certificates,
        None if said.certificate is None else path.parent / said.certificate,
        None if said.key is None else path.parent / said.key,
    )
    return HttpProvisioning(
        TlsTransport(said.url, context, timeout_ms=said.timeout_ms),
        now_ms,
        lambda most: secrets.randbelow(most + 1),
        BackOff(first_ms=said.first_pause_ms, longest_ms=max(said.first_pause_ms, said.longest_pause_ms)),
        said.test_specification,
    )
