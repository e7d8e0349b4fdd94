"""`syngraph config`: is the configuration usable, and where does each value come from."""

from __future__ import annotations

import click

from node.cli.settings import Settings, common
from node.configuration import ConfigurationWrong, check_files, load_client, load_node, shown


@click.group("config")
def command() -> None:
    """Check and show the configuration."""


@command.command()
@common
def check(settings: Settings) -> None:
    """Check a node's configuration: keys, values, files, and that secrets are readable by their owner only.

    \b
    Example:
      syngraph config check --config alpha/syngraph.toml
    """
    configuration = load_node(settings.sources())
    problems = check_files(configuration)
    if problems:
        raise ConfigurationWrong(problems)
    count = len(configuration.ledgers)
    settings.output.line(f"The configuration can be used: {count} ledgers.", {"ok": True, "ledgers": count})


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
