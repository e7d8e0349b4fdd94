"""`python -m node`: the daemon, an agent, engines' keys. People call it as `syngraph node ...` and `syngraph agent ...`."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Final

from node.configuration import AGENT_ROLES, ConfigurationWrong, load_agents, load_node, read_sources
from node.daemon import Node
from node.engine_keys import EngineKeysWrong, ensure_engine_keys
from node.logs import configure_logs

EXIT_CONFIGURATION: Final = 3


def main(arguments: list[str] | None = None) -> int:
    """The exit code: 0 after SIGTERM or SIGINT, 3 where the configuration cannot be used."""
    parser = argparse.ArgumentParser(prog="python -m node", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run", help="run the node in the foreground")
    run.add_argument("--config", type=Path)
    run.add_argument("--set", action="append", default=[], dest="overrides", metavar="SECTION.KEY=VALUE")
    agent = commands.add_parser("agent", help="run one agent in the foreground")
    agent.add_argument("role", choices=AGENT_ROLES)
    agent.add_argument("--config", type=Path)
    agent.add_argument("--set", action="append", default=[], dest="overrides", metavar="SECTION.KEY=VALUE")
    check = commands.add_parser("check-agents", help="load what the agents are told, and start nothing")
    check.add_argument("--config", type=Path)
    check.add_argument("--set", action="append", default=[], dest="overrides", metavar="SECTION.KEY=VALUE")
    keys = commands.add_parser("engine-keys", help="make the keys of one engine")
    keys.add_argument("home", type=Path)
    keys.add_argument("--json", action="store_true", dest="as_json")
    options = parser.parse_args(arguments)
    try:
        if options.command == "engine-keys":
            _engine_keys(options.home, as_json=options.as_json)
        elif options.command == "agent":
            _agent(options.role, options.config, options.overrides)
        elif options.command == "check-agents":
            _check_agents(options.config, options.overrides)
        else:
            _run(options.config, options.overrides)
    except (ConfigurationWrong, EngineKeysWrong) as error:
        for line in str(error).splitlines():
            print(f"syngraph: {line}", file=sys.stderr)  # noqa: T201 - for the person who started it
        return EXIT_CONFIGURATION
    return 0


def _run(config: Path | None, overrides: list[str]) -> None:
    configuration = load_node(read_sources(config, os.environ, overrides))
    configure_logs(configuration.log.format, configuration.log.level)
    asyncio.run(Node(configuration).run())


def _agent(role: str, config: Path | None, overrides: list[str]) -> None:
    from node.agents.process import run_until_signal  # the daemon and the keys start without it
    from smartcontracts.kernel import Role

    sources = read_sources(config, os.environ, overrides)
    configuration = load_agents(sources)
    if sources.advice and getattr(configuration.agents, role) is None:
        raise ConfigurationWrong(sources.advice)
    configure_logs(configuration.log.format, configuration.log.level)
    asyncio.run(run_until_signal(configuration, Role(role)))


def _check_agents(config: Path | None, overrides: list[str]) -> None:
    from node.agents.settings import check_agents  # as above

    problems = check_agents(load_agents(read_sources(config, os.environ, overrides)).agents)
    if problems:
        raise ConfigurationWrong(problems)


def _engine_keys(home: Path, *, as_json: bool) -> None:
    keys = ensure_engine_keys(home)
    found = {"node_id": keys.node_id, "validator_key": keys.validator_key.hex()}
    text = json.dumps(found) if as_json else "\n".join(f'{name} = "{value}"' for name, value in found.items())
    print(text)  # noqa: T201 - the answer


if __name__ == "__main__":
    sys.exit(main())
