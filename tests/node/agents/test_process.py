"""An agent inside its process: what it holds is let go of, however it ends."""

from pathlib import Path

import pytest

from node.agents import process
from node.agents.process import run_agent
from node.agents.settings import BOOKINGS
from node.configuration import AgentsSection
from smartcontracts.kernel import Role
from tests.node.network import Org

INVENTORY = 'currency = "EUR"\npool = []\n'


def sof(tmp_path):
    """What is configured for an agent that works with the inventory file."""
    org = Org.make("alpha", tmp_path)
    file = tmp_path / "inventory.toml"
    file.write_text(INVENTORY)
    return AgentsSection(
        node="127.0.0.1:1",
        ca_certificate=org.folder / "ca.pem",
        folder=tmp_path / "agents",
        provisioning="reference",
        provisioning_file=file,
        sof={
            "signer": org.signer.name,
            "signing_key": org.folder / "signing.key",
            "certificate": org.folder / "member.pem",
            "key": org.folder / "member.key",
        },
    )


def open_bookings(tmp_path):
    """How many handles this process has on the bookings."""
    file = tmp_path / "agents" / "sof" / BOOKINGS
    return sum(link.readlink() == file for link in Path("/proc/self/fd").iterdir() if link.is_symlink())


async def test_an_agent_that_fails_again_and_again_holds_its_bookings_once_at_most(tmp_path, monkeypatch):
    held = []

    class Broken(Exception):
        pass

    class Agent:
        def __init__(self, **_):
            pass

        async def run(self):
            held.append(open_bookings(tmp_path))
            raise Broken

    monkeypatch.setattr(process, "Agent", Agent)
    section = sof(tmp_path)
    for _ in range(3):
        with pytest.raises(Broken):
            await run_agent(section, Role.SOF)
        assert open_bookings(tmp_path) == 0
    assert held == [1, 1, 1]
