"""Settings: agents are made from their configuration, and what is wrong is said so that a person can mend it."""

import json

import pytest

from node.agents.policies import Policies
from node.agents.process import configured_roles, run_agent
from node.agents.provisioning.http import HttpProvisioning
from node.agents.provisioning.reference import ReferenceProvisioning
from node.agents.settings import check_agents, load_client, load_policies, load_provisioning
from node.configuration import AgentsSection, ConfigurationWrong, load_agents, read_sources
from smartcontracts.kernel import Role
from tests.node.agents.plugins import Cautious
from tests.node.network import Org

PLUGINS = "tests.node.agents.plugins"


def agents(**changes):
    return AgentsSection(**changes)


def problem(call, *arguments):
    with pytest.raises(ConfigurationWrong) as wrong:
        call(*arguments)
    (sentence,) = wrong.value.problems
    return sentence


def test_without_a_plug_in_the_policies_are_the_built_in_ones():
    assert type(load_policies(agents())) is Policies


def test_a_plug_in_is_made_with_the_settings_of_the_file(tmp_path):
    file = tmp_path / "policies.toml"
    file.write_text("failures_max = 7\n")
    found = load_policies(agents(policies=f"{PLUGINS}:Cautious", policy_file=file))
    assert isinstance(found, Cautious)
    assert found.settings.failures_max == 7


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("no.such.package:Policies", "no.such.package can't be imported: ModuleNotFoundError"),
        (f"{PLUGINS}:Missing", "has nothing called Missing"),
        (f"{PLUGINS}:Unrelated", "is not a subclass of node.agents.policies.Policies"),
        (f"{PLUGINS}:function", "is not a subclass"),
        (f"{PLUGINS}:Stubborn", "can't be made: RuntimeError: no licence found."),
    ],
)
def test_invalid_plug_in_is_named_with_what_is_wrong_about_it(name, words):
    sentence = problem(load_policies, agents(policies=name))
    assert sentence.startswith("agents.policies: ")
    assert words in sentence


def test_invalid_plug_in_name_is_refused_by_the_configuration(tmp_path):
    file = tmp_path / "syngraph.toml"
    file.write_text('[agents]\npolicies = "just.a.module"\n')
    with pytest.raises(ConfigurationWrong, match=r"agents\.policies"):
        load_agents(read_sources(file, {}))


def test_invalid_policy_file_is_named(tmp_path):
    file = tmp_path / "policies.toml"
    file.write_text("failures_max = 0\nsurprise = 1\n")
    with pytest.raises(ConfigurationWrong) as wrong:
        load_policies(agents(policy_file=file))
    assert [sentence.split(": ")[2] for sentence in wrong.value.problems] == ["failures_max", "surprise"]


def test_sof_asks_nothing_unless_it_is_told_what(tmp_path):
    assert load_provisioning(agents(), tmp_path, lambda: 0) is None


def test_the_reference_inventory_is_read_and_its_bookings_lie_in_the_agents_folder(tmp_path):
    file = tmp_path / "inventory.json"
    file.write_text(json.dumps({"currency": "EUR", "pool": []}))
    found = load_provisioning(agents(provisioning="reference", provisioning_file=file), tmp_path / "sof", lambda: 0)
    assert isinstance(found, ReferenceProvisioning)
    assert (tmp_path / "sof" / "bookings.sqlite").exists()


def test_a_system_over_tls_is_asked_when_its_file_names_it(tmp_path):
    ca = Org.make("alpha", tmp_path).folder / "ca.pem"
    file = tmp_path / "system.toml"
    file.write_text(f'url = "https://127.0.0.1:1/tmf"\nca_certificates = "{ca}"\n')
    section = agents(provisioning="http", provisioning_file=file)
    assert isinstance(load_provisioning(section, tmp_path, lambda: 0), HttpProvisioning)


@pytest.mark.parametrize(
    ("adapter", "file", "words"),
    [
        ("reference", None, "needed for agents.provisioning = 'reference'"),
        ("http", None, "needed for agents.provisioning = 'http'"),
        ("reference", "missing.json", "missing.json can't be read"),
        ("reference", "bad.json", "agents.provisioning_file: "),
        ("http", "bad.json", "agents.provisioning_file: "),
    ],
)
def test_invalid_provisioning_says_what_is_missing(tmp_path, adapter, file, words):
    (tmp_path / "bad.json").write_text("{")
    section = agents(provisioning=adapter, provisioning_file=file and tmp_path / file)
    with pytest.raises(ConfigurationWrong) as wrong:
        load_provisioning(section, tmp_path / "sof", lambda: 0)
    assert words in wrong.value.problems[0]


def test_a_check_finds_at_once_what_agents_would_not_start_with_and_makes_nothing(tmp_path):
    (tmp_path / "bad.json").write_text("{")
    (tmp_path / "good.toml").write_text('currency = "EUR"\npool = []\n')
    (tmp_path / "policies.toml").write_text("failures_max = 0\n")
    assert check_agents(agents()) == []
    assert check_agents(agents(provisioning="reference", provisioning_file=tmp_path / "good.toml")) == []
    found = check_agents(
        agents(policies=f"{PLUGINS}:Unrelated", provisioning="reference", provisioning_file=tmp_path / "bad.json")
    )
    assert [one.partition(":")[0] for one in found] == ["agents.policies", "agents.provisioning_file"]
    found = check_agents(agents(policy_file=tmp_path / "policies.toml", provisioning="http"))
    assert [one.partition(":")[0] for one in found] == ["agents.policy_file", "agents.provisioning_file"]
    (found,) = check_agents(agents(provisioning="http", provisioning_file=tmp_path / "bad.json"))
    assert found.startswith("agents.provisioning_file: ")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bad.json", "good.toml", "policies.toml"]


def role_table(org):
    folder = org.folder
    return {
        "signer": org.signer.name,
        "signing_key": folder / "signing.key",
        "certificate": folder / "member.pem",
        "key": folder / "member.key",
    }


@pytest.fixture
def org(tmp_path):
    return Org.make("alpha", tmp_path)


async def test_an_agent_signs_as_the_member_that_its_role_names(org):
    section = agents(node="127.0.0.1:1", ca_certificate=org.folder / "ca.pem", s_bus=role_table(org))
    client, signer = load_client(section, section.s_bus, "s_bus")
    await client.close()
    assert (signer.name, signer.key) == (org.signer.name, org.key)
    assert configured_roles(section) == (Role.S_BUS,)


async def test_invalid_agent_without_a_member_a_folder_or_a_node(org, tmp_path):
    complete = {
        "node": "127.0.0.1:1",
        "ca_certificate": org.folder / "ca.pem",
        "folder": tmp_path / "agents",
        "s_bus": role_table(org),
    }
    for missing, words in (("s_bus", "agents.s_bus"), ("folder", "agents.folder"), ("node", "agents.node")):
        section = agents(**{key: value for key, value in complete.items() if key != missing})
        with pytest.raises(ConfigurationWrong, match=words):
            await run_agent(section, Role.S_BUS)


async def test_invalid_agent_whose_key_others_may_read(org, tmp_path):
    (org.folder / "signing.key").chmod(0o644)
    section = agents(
        node="127.0.0.1:1", ca_certificate=org.folder / "ca.pem", folder=tmp_path / "agents", s_bus=role_table(org)
    )
    with pytest.raises(ConfigurationWrong, match=r"agents.s_bus.signing_key: others may read"):
        await run_agent(section, Role.S_BUS)


def test_the_agents_section_takes_its_node_and_folder_from_the_nodes_sections(tmp_path):
    file = tmp_path / "syngraph.toml"
    file.write_text(f"""
[node]
organization = "org_{"a" * 32}"
name = "alpha"
data_dir = "data"
grpc_address = "0.0.0.0:7400"
[tls]
ca_certificate = "ca.pem"
certificate = "node.pem"
key = "node.key"
""")
    found = load_agents(read_sources(file, {})).agents
    assert (found.node, found.ca_certificate, found.folder) == (
        "127.0.0.1:7400",
        tmp_path / "ca.pem",
        tmp_path / "data" / "agents",
    )


def test_an_agent_needs_no_node_section_and_each_of_its_settings_can_be_overridden(tmp_path):
    file = tmp_path / "agent.toml"
    signer = f"org_{'a' * 32}/mbr_{'b' * 32}"
    file.write_text(f"""
[agents]
node = "10.0.0.1:7400"
[agents.sof]
signer = "{signer}"
signing_key = "a.key"
certificate = "a.pem"
key = "b.key"
""")
    environment = {"SYNGRAPH_AGENTS_SOF_KEY": "c.key", "SYNGRAPH_AGENTS_SWEEP_MS": "5000"}
    found = load_agents(read_sources(file, environment, ["agents.sof.certificate=c.pem"])).agents
    assert (found.sof.key, found.sof.certificate, found.sweep_ms) == (tmp_path / "c.key", tmp_path / "c.pem", 5_000)
    assert found.sof.signing_key == tmp_path / "a.key"
    with pytest.raises(ConfigurationWrong, match="there is no such setting"):
        read_sources(file, {"SYNGRAPH_AGENTS_SOF_COLOUR": "1"})
