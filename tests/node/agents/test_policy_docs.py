"""docs/agents.md, followed by somebody who has nothing else: its examples work, and no decision is missing from it."""

from __future__ import annotations

import inspect
import json
import re
import sys

import pytest

from node.agents.policies import Policies, Seller
from node.agents.policy_settings import PolicySettings, read_policy_settings
from node.agents.settings import load_policies
from node.configuration import AgentsSection
from smartcontracts.internal.rules import SetSourcingRules
from tests.node.network import ROOT

TEXT = (ROOT / "docs" / "agents.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"(?:^    .*\n|^\n(?=    ))+", TEXT, re.MULTILINE)


def block(beginning):
    """The indented example that begins so, without its indentation."""
    (found,) = [one for one in BLOCKS if one.strip().startswith(beginning)]
    return "\n".join(line[4:] for line in found.strip("\n").splitlines()) + "\n"


def test_the_plug_in_of_the_example_is_loaded_as_written_and_decides(tmp_path, monkeypatch):
    code, _, configuration = block("from node.agents.policies import Policies").partition("[agents]\n")
    (tmp_path / "our_policies.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "our_policies", raising=False)
    (name,) = re.findall(r'policies = "(.+)"', configuration)
    policies = load_policies(AgentsSection(policies=name))
    good, bad = (Seller(organization=who, ledger_id=who, score_tenths=score) for who, score in (("a", 80), ("b", 79)))
    assert policies.sellers(None, (good, bad)) == (good,)
    assert policies.settings == PolicySettings()


def test_the_policies_file_of_the_example_is_read(tmp_path):
    path = tmp_path / "policies.toml"
    path.write_text(block("sellers_max"))
    settings = read_policy_settings(path)
    assert [recipe.offering for recipe in settings.recipe] == ["ethernet-line", "ethernet-line"]
    assert [part.name for part in settings.recipe[1].part] == ["near", "far"]
    assert settings.delivery_info[0].keep == ("vlanId",)


def test_the_rules_that_it_calls_defaults_are():
    said = json.loads(block('{"weight_price"'))
    assert said.pop("markups") == []
    assert said == {name: getattr(SetSourcingRules(), name) for name in said}
    assert {*said, "markups"} == set(inspect.signature(SetSourcingRules).parameters)


@pytest.mark.parametrize(
    "name", sorted(name for name, value in vars(Policies).items() if inspect.isfunction(value) and name[0] != "_")
)
def test_each_decision_that_can_be_overridden_stands_in_its_table_with_its_arguments(name):
    arguments = [one for one in inspect.signature(getattr(Policies, name)).parameters if one != "self"]
    rows = [line for line in TEXT.splitlines() if line.startswith("| `")]
    assert any(f"`{name}({', '.join(arguments)})`" in row.split("|")[1] for row in rows), name
