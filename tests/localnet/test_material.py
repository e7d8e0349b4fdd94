"""A network on disk: secrets are closed, each ledger is founded as the topology says, configurations are the node's own."""

from __future__ import annotations

import json
import stat

import pytest

from ledgers.genesis import parse_app_state
from localnet.material import MANIFEST, MaterialWrong, load_material, make_material, write_configurations
from localnet.topology import load_topology
from node.agents.provisioning.inventory import read as read_inventory
from node.configuration import AGENT_ROLES, check_files, load_client, load_node, read_sources
from node.engine_keys import read_engine_keys

TOPOLOGY = load_topology()


@pytest.fixture(scope="module")
def material(tmp_path_factory):
    made = make_material(TOPOLOGY, tmp_path_factory.mktemp("net") / "new")
    grpc_ports = {name: 20_000 + n for n, name in enumerate(TOPOLOGY.organizations)}
    places = [(name, ledger) for name in TOPOLOGY.organizations for ledger in TOPOLOGY.ledgers_of(name)]
    write_configurations(made, grpc_ports, {place: 21_000 + n for n, place in enumerate(places)})
    return made


def genesis(material, organization, ledger):
    document = json.loads(material.files(organization).genesis(ledger).read_bytes())
    return parse_app_state(json.dumps(document["app_state"]).encode(), document["chain_id"])


def test_every_secret_is_readable_by_its_owner_alone(material):
    names = ("*.key", "priv_validator_key.json", "node_key.json", "genesis/*.json")
    found = [path for name in names for path in material.directory.rglob(name)]
    assert len(found) > 50
    assert {stat.S_IMODE(path.stat().st_mode) for path in found} == {0o600}
    assert stat.S_IMODE(material.directory.stat().st_mode) == 0o700


def test_organizations_share_no_secret_but_the_geneses_of_their_ledgers(material):
    owners = {}
    for path in [*material.directory.rglob("*.key"), *material.directory.rglob("*_key.json")]:
        owners.setdefault(path.read_bytes(), set()).add(path.relative_to(material.directory).parts[0])
    assert all(len(names) == 1 for names in owners.values())


@pytest.mark.parametrize("ledger", TOPOLOGY.ledgers)
def test_a_ledger_begins_with_its_founders_and_its_validators(material, ledger):
    entry = TOPOLOGY.ledgers[ledger]
    found = genesis(material, entry.voters[0], ledger)
    ids = material.manifest.organization_ids
    assert {each.id: each.position for each in found.organizations} == {
        ids[name]: position for name, position in entry.founders.items()
    }
    votes = {each.id: each.validator_key for each in found.organizations if each.validator_key}
    assert votes == {
        ids[name]: read_engine_keys(material.files(name).engine_home(ledger)).validator_key for name in entry.voters
    }


def test_all_founders_have_the_same_genesis_and_nobody_else_has_it(material):
    for ledger, entry in TOPOLOGY.ledgers.items():
        holders = [name for name in TOPOLOGY.organizations if material.has_genesis(name, ledger)]
        assert holders == [name for name in TOPOLOGY.organizations if name in entry.founders]
        assert len({material.files(name).genesis(ledger).read_bytes() for name in holders}) == 1
    assert not material.has_genesis("ofcom", "acme-alpha")


@pytest.mark.parametrize("organization", TOPOLOGY.organizations)
def test_the_nodes_own_reader_takes_every_configuration(material, organization):
    configuration = load_node(read_sources(material.files(organization).config, {}))
    assert check_files(configuration) == []
    assert set(configuration.ledgers) == {
        ledger for ledger in TOPOLOGY.ledgers_of(organization) if material.has_genesis(organization, ledger)
    }
    for member in TOPOLOGY.organizations[organization].members:
        client = load_client(read_sources(material.files(organization).member(member).config, {})).client
        assert client.signer == material.signer(organization, member).name
        assert client.signing_key.is_file()


@pytest.mark.req("L-05")
def test_who_trades_has_an_agent_for_each_function_that_signs_with_a_key_of_its_own(material):
    for name in TOPOLOGY.organizations:
        agents = load_node(read_sources(material.files(name).config, {})).agents
        found = [getattr(agents, role) for role in AGENT_ROLES]
        if name not in TOPOLOGY.traders():
            assert found == [None] * len(AGENT_ROLES)
            continue
        assert [agent.signer for agent in found] == [material.signer(name, role).name for role in AGENT_ROLES]
        assert len({agent.signing_key.read_bytes() for agent in found}) == len(AGENT_ROLES)
        assert agents.provisioning_file == material.files(name).inventory
        assert agents.in_node


@pytest.mark.parametrize(("agents", "configured", "in_node"), [("processes", True, False), ("none", False, True)])
def test_a_topology_says_where_agents_run(tmp_path, agents, configured, in_node):
    topology = load_topology("pair").model_copy(update={"agents": agents})
    made = make_material(topology, tmp_path / "net")
    places = [(name, ledger) for name in topology.organizations for ledger in topology.ledgers_of(name)]
    write_configurations(made, dict.fromkeys(topology.organizations, 20_000), {place: 21_000 + n for n, place in enumerate(places)})
    found = load_node(read_sources(made.files("alpha").config, {})).agents
    assert (found.sco is not None, found.in_node) == (configured, in_node)


def test_who_trades_has_its_inventory_in_a_file_that_its_provisioning_reads(material):
    for name in TOPOLOGY.organizations:
        file = material.files(name).inventory
        assert file.exists() == (name in TOPOLOGY.traders())
    assert [pool.id for pool in read_inventory(material.files("alpha").inventory).pools] == ["lines", "lisbon"]
    assert read_inventory(material.files("acme").inventory).pools == ()


def test_an_organization_without_its_grant_is_nobodys_configured_peer(material):
    """Configured peers are let in while a node catches up: a grant must not be passed by that way."""
    ofcom = read_engine_keys(material.files("ofcom").engine_home("acme-alpha")).node_id
    for name in TOPOLOGY.ledgers["acme-alpha"].founders:
        peers = load_node(read_sources(material.files(name).config, {})).ledgers["acme-alpha"].peers
        assert len(peers) == 3
        assert not any(ofcom in peer for peer in peers)


def test_what_was_made_is_read_back(material):
    assert load_material(material.directory).manifest == material.manifest


def test_a_directory_with_something_in_it_is_left_alone(tmp_path):
    (tmp_path / "precious").write_text("mine")
    with pytest.raises(MaterialWrong, match="not empty"):
        make_material(TOPOLOGY, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["precious"]


@pytest.mark.parametrize("text", [None, "", "{}", '{"topology": 1}'])
def test_a_directory_without_a_manifest_is_no_network(tmp_path, text):
    if text is not None:
        (tmp_path / MANIFEST).write_text(text)
    with pytest.raises(MaterialWrong):
        load_material(tmp_path)
