"""`syngraph config`: is the configuration usable, and where does each value come from."""

from __future__ import annotations

import subprocess
import sys

import click

from node.cli.output import CONFIGURATION
from node.cli.settings import Settings, common
from node.configuration import AgentsSection, ConfigurationWrong, check_files, load_client, load_node, shown


@click.group("config")
def command() -> None:
    """Check and show the configuration."""


@command.command()
@common
def check(settings: Settings) -> None:
    """Check a node's configuration: keys, values, files, and that secrets are readable by their owner only.

    Where agents are configured, their policies and provisioning are loaded, too, by a process that starts nothing.

    \b
    Example:
      syngraph config check --config alpha/syngraph.toml
    """
    configuration = load_node(settings.sources())
    problems = check_files(configuration)
    if not problems and configuration.agents != AgentsSection():
        problems = _check_agents(settings)
    if problems:
        raise ConfigurationWrong(problems)
    count = len(configuration.ledgers)
    settings.output.line(f"The configuration can be used: {count} ledgers.", {"ok": True, "ledgers": count})


def _check_agents(settings: Settings) -> list[str]:
    """What the agents' own program says of their part: the command line loads neither plug-ins nor adapters."""
    words = [
        sys.executable,
        "-m",
        "node",
        "check-agents",
        *(["--config", str(settings.config)] if settings.config else []),
    ]
    for override in settings.overrides:
        words += ["--set", override]
    done = subprocess.run(words, check=False, capture_output=True, text=True)
    if not done.returncode:
        return []
    lines = [line.removeprefix("syngraph: ") for line in done.stderr.splitlines()]
    return lines if done.returncode == CONFIGURATION else lines[-1:] or ["agents: they could not be checked."]


@command.command()
@click.option("--client", "only_client", is_flag=True, help="Only what the commands need that talk to a node.")
@common
def show(settings: Settings, *, only_client: bool) -> None:
    """Show every setting, its value, and where the value comes from. There are no secrets in it, only their paths.

    \b
    Examples:
      syngraph config show
      syngraph config show --set log.level=debug
    """
    sources = settings.sources()
    configuration = load_client(sources) if only_client else load_node(sources)
    rows = shown(configuration, sources.origins)
    plain = [{"key": key, "value": value, "origin": origin} for key, value, origin in rows]
    settings.output.rows(("setting", "value", "from"), rows, plain)
