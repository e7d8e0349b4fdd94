"""What every command shares: the configuration file, overrides, the form of output, and the way to the node."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import click

from ledgers.client import Client, Connection, Credentials, SigningMember, SyncClient
from ledgers.client.identity import organization_of, read_signing_key, require_pair
from node.cli import INTERRUPTED
from node.cli.output import EXPECTED, Output, fail
from node.configuration import (
    ClientSection,
    ConfigurationWrong,
    Sources,
    load_client,
    read_sources,
)

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(slots=True)
class Settings:
    """The options before or after the command's name."""

    config: Path | None = None
    overrides: tuple[str, ...] = ()
    as_json: bool = False

    @property
    def output(self) -> Output:
        """Prints in the chosen form."""
        return Output(as_json=self.as_json)

    def sources(self) -> Sources:
        """Values by precedence. Raises ConfigurationWrong."""
        return read_sources(self.config, os.environ, self.overrides)

    def client_section(self) -> ClientSection:
        """How to reach the node. Raises ConfigurationWrong."""
        return load_client(self.sources()).client

    def connect(self) -> SyncClient:
        """A client for the configured node. Raises ConfigurationWrong, KeyFileWrong."""
        section, credentials = self._section_and_credentials()

        def connections() -> list[Connection]:
            return _others(section, credentials)

        return SyncClient(section.node, credentials, server_name=section.server_name, others=connections)

    def client(self) -> Client:
        """As `connect`, for commands that follow several ledgers at once; made inside the event loop."""
        section, credentials = self._section_and_credentials()
        return Client(section.node, credentials, server_name=section.server_name, others=_others(section, credentials))

    def _section_and_credentials(self) -> tuple[ClientSection, Credentials]:
        sources = self.sources()
        section = load_client(sources).client
        return section, _credentials(section, sources.advice)

    def signer(self) -> SigningMember:
        """Who signs by default. Raises ConfigurationWrong, KeyFileWrong."""
        section = self.client_section()
        if not section.signer or section.signing_key is None:
            raise ConfigurationWrong(
                ["client.signer and client.signing_key: say who signs (or use --signer ORGANIZATION/MEMBER=KEYFILE)."]
            )
        return SigningMember(section.signer, read_signing_key(section.signing_key))


def common(command: F) -> F:
    """Give a command `--config`, `--set` and `--json`, and turn expected errors into exit codes."""

    @click.option("--config", type=click.Path(path_type=Path), help="Configuration file (default: syngraph.toml).")
    @click.option("--set", "overrides", multiple=True, metavar="SECTION.KEY=VALUE", help="Override one setting.")
    @click.option("--json", "as_json", is_flag=True, help="JSON for scripts instead of tables.")
    @functools.wraps(command)
    def wrapped(*args: Any, config: Path | None, overrides: tuple[str, ...], as_json: bool, **kwargs: Any) -> Any:
        settings = Settings(config, overrides, as_json)
        try:
            return command(settings, *args, **kwargs)
        except EXPECTED as error:
            fail(error, as_json=as_json)
        except click.ClickException as error:
            if not as_json:
                raise
            fail(error, as_json=True)
        except KeyboardInterrupt:
            sys.exit(INTERRUPTED)

    return wrapped  # type: ignore[return-value]  # click's decorators keep a callable


def _others(section: ClientSection, credentials: Credentials) -> list[Connection]:
    return [
        Connection(
            address,
            Credentials(
                authority=_read(Path(authority), "client.other_nodes"),
                certificate=credentials.certificate,
                key=credentials.key,
            ),
        )
        for address, _, authority in (entry.partition("=") for entry in section.other_nodes)
    ]


def _credentials(section: ClientSection, advice: list[str]) -> Credentials:
    paths = {
        "client.ca_certificate": section.ca_certificate,
        "client.certificate": section.certificate,
        "client.key": section.key,
    }
    missing = [f"{key}: needed to reach a node." for key, path in paths.items() if path is None]
    if section.ca_certificate is None or section.certificate is None or section.key is None:
        raise ConfigurationWrong(missing + advice)
    try:
        require_pair(section.certificate, section.key)
        credentials = Credentials.from_files(
            authority=section.ca_certificate, certificate=section.certificate, key=section.key
        )
    except OSError as error:
        raise ConfigurationWrong([f"{error.filename}: {error.strerror}."]) from error
    if not organization_of(credentials.authority):
        raise ConfigurationWrong(
            [f"client.ca_certificate: there is no certificate in PEM in {section.ca_certificate}."]
        )
    return credentials


def _read(path: Path, key: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigurationWrong([f"{key}: {path}: {error.strerror}."]) from error
