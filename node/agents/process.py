"""Agents as processes: `syngraph agent ROLE` runs one, `syngraph node run` all that are configured, beside the node."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import secrets
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import structlog

from node.agents.boundaries import Observer, ignore
from node.agents.client_ports import ClientNode, FileCursors, SystemClock
from node.agents.roster import DUTIES
from node.agents.runtime import Agent, Pace
from node.agents.settings import Inside, load_client, load_policies, load_provisioning
from node.configuration import (
    AGENT_ROLES,
    AgentsConfiguration,
    AgentSection,
    AgentsSection,
    ConfigurationWrong,
    check_agent_files,
)
from smartcontracts.kernel import Role

SALT_BYTES: Final = 32
PAUSE_FIRST_S: Final = 1.0
PAUSE_MAX_S: Final = 60.0


async def run_agent(
    agents: AgentsSection, role: Role, observe: Observer = ignore, inside: Inside | None = None
) -> None:
    """One agent, until cancelled. Raises ConfigurationWrong, also where the role has one running on the same folder.

    `inside` is the way to the node where that is in this process.
    """
    agent: AgentSection | None = getattr(agents, role.value)
    if agent is None:
        raise ConfigurationWrong([f"agents.{role.value}: say as which member this agent acts."])
    if agents.folder is None:
        raise ConfigurationWrong(["agents.folder: needed where there is no section [node]."])
    problems = check_agent_files(agents, (role.value,))
    if problems:
        raise ConfigurationWrong(problems)
    folder = agents.folder / role.value
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    clock = SystemClock()
    with _only_one(folder, role), contextlib.ExitStack() as held:
        policies = load_policies(agents)
        provisioning = load_provisioning(agents, folder, clock.now_ms) if role == Role.SOF else None
        if provisioning is not None:
            held.callback(provisioning.close)
        client, signer = load_client(agents, agent, role.value, inside)
        async with client:
            await Agent(
                role=role,
                duties=DUTIES[role],
                node=ClientNode(client, signer),
                policies=policies,
                provisioning=provisioning,
                clock=clock,
                chance=lambda: secrets.token_bytes(SALT_BYTES),
                cursors=FileCursors(folder / "cursors"),
                pace=Pace(concurrency=agents.concurrency, sweep_ms=agents.sweep_ms),
                observe=observe,
            ).run()


async def run_until_signal(configuration: AgentsConfiguration, role: Role, observe: Observer = ignore) -> None:
    """One agent as a process of its own, until SIGTERM or SIGINT. Raises ConfigurationWrong."""
    running = asyncio.ensure_future(run_agent(configuration.agents, role, observe))
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, running.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        await running


async def run_beside(agents: AgentsSection, inside: Inside | None = None) -> None:
    """All configured agents, until cancelled. Whatever one of them fails by, the others and the node go on.

    `inside` as in `run_agent`.
    """
    roles = configured_roles(agents)
    if roles:
        await asyncio.gather(*(_keep(agents, role, inside) for role in roles))


def configured_roles(agents: AgentsSection) -> tuple[Role, ...]:
    """The roles that the configuration names a member for."""
    return tuple(Role(name) for name in AGENT_ROLES if getattr(agents, name) is not None)


async def _keep(agents: AgentsSection, role: Role, inside: Inside | None) -> None:
    log = structlog.get_logger().bind(agent=role.value)
    pause_s = PAUSE_FIRST_S
    while True:
        try:
            await run_agent(agents, role, inside=inside)
        except ConfigurationWrong as error:
            log.error("agent_not_started", problems=list(error.problems))  # noqa: TRY400 - a sentence for a person, no traceback
        except Exception as error:  # noqa: BLE001 - an agent's failure is not the node's
            log.error("agent_failed", error=type(error).__name__)  # noqa: TRY400 - an error's own words may hold a payload
        await asyncio.sleep(pause_s)
        pause_s = min(pause_s * 2, PAUSE_MAX_S)


@contextlib.contextmanager
def _only_one(folder: Path, role: Role) -> Iterator[None]:
    """Two would do no harm, but everything twice. Raises ConfigurationWrong if the folder has its agent."""
    with (folder / "agent.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ConfigurationWrong([f"agents.folder: an agent {role.value} runs on {folder} already."]) from error
        yield
