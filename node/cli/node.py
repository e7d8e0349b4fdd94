"""`syngraph node`: the daemon. It is another program (`python -m node`), started in this one's place."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import NoReturn

import click

from node.cli.settings import Settings, common


@click.group("node")
def command() -> None:
    """Run a node, and make its engines' keys."""


@command.command()
@common
def run(settings: Settings) -> None:
    """Run the node in the foreground: the application, one engine a ledger, the gRPC API. Ctrl-C ends all of it.

    \b
    Example:
      syngraph node run --config alpha/syngraph.toml --set log.format=json
    """
    _become("run", *_options(settings))


@command.command("engine-keys")
@click.argument("home", type=click.Path(file_okay=False, path_type=Path))
@common
def engine_keys(settings: Settings, *, home: Path) -> None:
    """Make the keys of one ledger's engine in HOME, and show node id and validator key for the ledger's founding.

    Keys that are there are kept and shown.

    \b
    Example:
      syngraph node engine-keys data/engines/acme-alpha
    """
    _become("engine-keys", str(home), *(["--json"] if settings.as_json else []))


def _options(settings: Settings) -> list[str]:
    options = ["--config", str(settings.config)] if settings.config else []
    for override in settings.overrides:
        options += ["--set", override]
    return options


def _become(*arguments: str) -> NoReturn:
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, "-m", "node", *arguments])  # noqa: S606 - our own program
