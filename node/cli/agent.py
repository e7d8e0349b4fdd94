"""`syngraph agent`: one agent as a process of its own. It is another program (`python -m node agent`), started in this one's place."""

from __future__ import annotations

import os
import sys

import click

from node.cli.settings import Settings, common
from node.configuration import AGENT_ROLES


@click.command("agent")
@click.argument("role", type=click.Choice(AGENT_ROLES))
@common
def command(settings: Settings, *, role: str) -> None:
    """Run the agent ROLE in the foreground: s_bus sells, b_bus buys, sco composes, sof provisions. Ctrl-C ends it.

    It acts as the member that `agents.ROLE` names. An agent may be ended or killed at any time: everything it does is on
    ledgers, and after its start it goes on where things stand.

    \b
    Example:
      syngraph agent sof --config alpha/syngraph.toml --set log.format=json
    """
    options = ["--config", str(settings.config)] if settings.config else []
    for override in settings.overrides:
        options += ["--set", override]
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, "-m", "node", "agent", role, *options])  # noqa: S606 - our own program
