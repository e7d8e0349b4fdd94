"""Removed peers: engines restart in turn, and no organization can keep the others' engines down by it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import pytest

from node import supervisor
from node.standing import Membership
from node.supervisor import EnginePlan, Supervisor
from syngraph.v1.membership_pb2 import Organization

OWN, OTHER = "1" * 40, "2" * 40


@dataclass
class CountedEngine:
    """In the place of a child process: when it was ended."""

    ended: list[float] = field(default_factory=list)

    async def end_once(self):
        self.ended.append(asyncio.get_running_loop().time())

    async def ends(self, times):
        """Until it was ended so often."""
        async with asyncio.timeout(60):
            while len(self.ended) < times:
                await asyncio.sleep(0.01)


def membership(*others):
    return Membership.of(
        [
            Organization(id="org_own", status="active", node_ids=[OWN]),
            Organization(id="org_other", status="active", node_ids=[OTHER, *others]),
        ],
        [],
    )


@pytest.fixture
def kept(monkeypatch, tmp_path):
    monkeypatch.setattr(supervisor, "STAGGER_S", 0.02)
    monkeypatch.setattr(supervisor, "RESTART_PAUSE_S", 0.5)
    link = SimpleNamespace(ledger_id="sg_x", name="x")
    made = Supervisor((), (), Path("/nonexistent"), tmp_path)
    engine = CountedEngine()
    made._plans["sg_x"] = EnginePlan(link, OWN, tmp_path, tmp_path / "rpc.sock")
    made._engines["sg_x"] = engine
    return made, link, engine


def test_an_organization_that_changes_its_node_ids_all_the_time_does_not_keep_engines_down(kept):
    made, link, engine = kept
    more, fewer = membership("3" * 40), membership()

    async def change_often():
        """Until its engine has been ended three times; how often the node ids changed."""
        times = 0
        while len(engine.ended) < 3:
            made.membership_changed(link, more, fewer)
            made.membership_changed(link, fewer, more)
            times += 1
            await asyncio.sleep(0.01)
        return times

    assert asyncio.run(asyncio.wait_for(change_often(), 60)) > 3
    assert all(later - earlier >= 0.5 for earlier, later in pairwise(engine.ended))


def test_a_peer_removed_while_a_restart_waits_is_dropped_by_it_and_one_removed_after_it_by_the_next(kept):
    made, link, engine = kept

    async def change_thrice():
        made.membership_changed(link, membership("3" * 40, "4" * 40), membership("4" * 40))
        made.membership_changed(link, membership("4" * 40), membership())
        await engine.ends(1)
        made.membership_changed(link, membership("5" * 40), membership())
        await engine.ends(2)
        await asyncio.sleep(0.8)  # no third one is to come
        assert len(engine.ended) == 2

    asyncio.run(change_thrice())
