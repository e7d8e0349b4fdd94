"""The composite scenarios: on fake consensus those that stop no node, on real processes all of them where there is time."""

from __future__ import annotations

import subprocess

import pytest

from scripts import _bootstrap
from scripts.story.arguments import arguments
from scripts.story.catalogue import ENTRIES, find, listing
from scripts.story.checks import see_audited
from scripts.story.market import Market
from scripts.story.rehearsal import cast, pairs_of
from scripts.story.scenarios import scenario
from scripts.story.scenarios.base import NOT_LOOKED_AT, Set
from scripts.story.scene import Stage
from scripts.story.telling import StepFailed, Teller
from scripts.story.terms import tier_terms
from tests.scripts.story.fakenet import TIERS, FakeNetwork

# Those that need no process: what they claim is about contracts and agents.
IN_MEMORY = ("chain", "silent-seller", "loop-and-diamond", "changed-order", "recovery", "abandonment", "change", "menu")
SCENARIO_S = 420
SCENARIOS = [
    pytest.param("menu", marks=pytest.mark.req("L-19", "X-75"), id="menu"),
    pytest.param("chain", marks=pytest.mark.req("O-22", "D-18", "D-19", "D-22", "L-12"), id="chain"),
    pytest.param("silent-seller", marks=pytest.mark.req("Q-31", "Q-32"), id="silent-seller"),
    pytest.param("loop-and-diamond", marks=pytest.mark.req("Q-08", "Q-09", "X-05"), id="loop-and-diamond"),
    pytest.param("changed-order", marks=pytest.mark.req("O-01", "O-04", "O-05", "O-11"), id="changed-order"),
    pytest.param("rejected-sibling", marks=pytest.mark.req("O-20", "O-27", "X-15"), id="rejected-sibling"),
    pytest.param("silent-order", marks=pytest.mark.req("O-31"), id="silent-order"),
    pytest.param("recovery", marks=pytest.mark.req("D-30", "D-33", "D-43"), id="recovery"),
    pytest.param("abandonment", marks=pytest.mark.req("D-32", "D-38", "D-40"), id="abandonment"),
    pytest.param("change", marks=pytest.mark.req("C-05", "C-08", "C-09", "C-10", "C-11"), id="change"),
    pytest.param("confidentiality", marks=pytest.mark.req("L-14"), id="confidentiality"),
]


async def opened(name):
    topology = cast(TIERS, [scenario(name)])
    network = FakeNetwork({who: entry.inventory for who, entry in topology.organizations.items()})
    market = Market(Stage(network, Teller(quiet=True)), pairs_of(TIERS))
    await market.open(tier_terms)
    return Set(market, network)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", [one for one in SCENARIOS if one.id in IN_MEMORY])
async def test_a_scenario_holds_with_agents_called_by_hand(name):
    scene = await opened(name)
    await scenario(name).play(scene)
    assert len(scene.stage.teller.lines) > 12
    # Whatever happened in it: what stands outside is what was let out, and nothing that was taken back.
    await see_audited(scene.market)


async def test_invalid_outcome_fails_and_says_what_was_expected():
    """The chain needs what bravo has; without it nothing is quoted, and the scenario does not hold."""
    scene = await opened("chain")
    scene.market.stage.network.agents.silent.update(("bravo", "charlie", "delta"))
    with pytest.raises(StepFailed, match="expected a quote of alpha, found unable"):
        await scenario("chain").play(scene)


@pytest.mark.network
@pytest.mark.soak
@pytest.mark.timeout(SCENARIO_S + 60)
@pytest.mark.parametrize("name", SCENARIOS)
def test_a_scenario_holds_on_real_processes(name, tmp_path):
    if not _bootstrap._is_current():
        pytest.skip("the virtual environment of the recipes is not set up: scripts/test --setup")
    command = [_bootstrap.ROOT / "scripts" / "demo", "--scenario", name, "--directory", tmp_path / "net"]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=SCENARIO_S)
    assert done.returncode == 0, f"{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
    assert f"=== {name}: held" in done.stdout
    unseen = [line for line in done.stderr.splitlines() if line.startswith(NOT_LOOKED_AT)]
    if unseen:
        # What it could look at holds; what the row claims is more, so nothing is counted as shown.
        pytest.skip(" ".join(unseen))


def test_the_register_has_a_module_for_each_of_its_scenarios_and_every_place_belongs_to_one():
    assert [entry.number for entry in ENTRIES] == [*range(1, 10), 15, 16]
    places = [
        pool.place
        for entry in ENTRIES
        for place in [{pool.place: pool for stock in scenario(entry.name).stocks.values() for pool in stock.pools}]
        for pool in place.values()
    ]
    assert len(places) == len(set(places))
    assert [one.id for one in SCENARIOS] == [entry.name for entry in ENTRIES]


def test_scenarios_are_listed_and_found_by_name_and_number(capsys):
    with pytest.raises(SystemExit) as ended:
        arguments(["--list"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == listing() + "\n"
    assert find("9") == find("abandonment") is not None
    assert arguments(["--scenario", "9", "--scenario", "menu", "--scenario", "abandonment"]).scenario == [
        "abandonment",
        "menu",
    ]
    assert arguments(["--scenario", "all"]).scenario == [entry.name for entry in ENTRIES]


@pytest.mark.parametrize(
    "words", [["--scenario", "10"], ["--scenario", "menu", "--keep"], ["--scenario", "menu", "--quote", "q"]]
)
def test_invalid_scenarios_are_refused(words, capsys):
    with pytest.raises(SystemExit) as ended:
        arguments(words)
    assert ended.value.code == 2
    assert "scenario" in capsys.readouterr().err


def test_a_name_that_the_catalogue_has_not_is_no_scenario():
    with pytest.raises(StepFailed):
        scenario("nothing")
