"""Attention: in some worlds agents hear of everything and make no rounds, and in the end of every world a look at all finds nothing.

What an agent leaves alone although it has work there, a round finds later, and nobody notices. So there are worlds without rounds,
in which no news is lost, though late and out of order: everything must come to its end all the same. And once all is quiet, each agent
looks at every document with a status that it serves, ended ones too: whatever it hands in then, it had left alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from scripts.simulation.journal import Violation

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ledgers.transaction import Act
    from scripts.simulation.agents import Agent
    from scripts.simulation.chain import Chain
    from scripts.simulation.world import World

LEFT_ALONE: Final = "left_alone"
# One world of so many is without rounds.
_WITHOUT_ROUNDS: Final = 3
# A node that is away is asked again for what is open after so long.
AGAIN_MS: Final = 2_000


def makes_rounds(world: World) -> bool:
    """Whether agents of this world look at what is open by themselves, and may miss news."""
    return world.seed % _WITHOUT_ROUNDS != 0


def look_at_everything(world: World, agents: Sequence[Agent]) -> None:
    """To be called when nothing happens any more. Raises Violation if something was left to do."""
    for agent in agents:
        agent.look_at_everything()
    while world.step():
        pass


def left_alone(agent: Agent, chain: Chain, acts: Sequence[Act], purpose: str) -> None:
    """An agent hands something in after the end. Raises Declined if its ledger would refuse it, else Violation."""
    world = agent.world
    _, raw = world.signed(chain, (agent.signatory,), acts)
    world.simulated(chain, raw, agent.name)
    names = ", ".join(act.name for act in acts)
    raise Violation(LEFT_ALONE, f"{agent.label} would {purpose} ({names}) on {chain.label}, of which nothing had told it")
