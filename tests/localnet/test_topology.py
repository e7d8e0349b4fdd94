"""Topologies: the default is the one of the picture, and what is wrong is refused by the name of its field."""

from __future__ import annotations

import copy
import tomllib
from itertools import pairwise

import pytest

from localnet.topology import BUILT_IN, TopologyInvalid, built_in_names, load_topology, parse_topology
from smartcontracts.kernel import Position

PAIR = tomllib.loads((BUILT_IN / "pair.toml").read_text(encoding="utf-8"))


def changed(path, value):
    """The pair's values with one entry set, or deleted where `value` is None."""
    values = copy.deepcopy(PAIR)
    *folders, last = path
    place = values
    for name in folders:
        place = place.setdefault(name, {})
    if value is None:
        del place[last]
    else:
        place[last] = value
    return values


def problems_of(values):
    with pytest.raises(TopologyInvalid) as refused:
        parse_topology(values)
    return refused.value.problems


def test_every_built_in_topology_can_be_used_and_warns_of_nothing():
    assert "default" in built_in_names()
    for name in built_in_names():
        assert load_topology(name).warnings() == ()


def test_the_default_has_a_buyer_a_provider_a_seller_two_neutrals_and_an_observer():
    topology = load_topology()
    bilateral, omni = topology.ledgers["acme-alpha"], topology.ledgers["omni"]
    assert list(topology.organizations) == ["acme", "alpha", "bravo", "north", "south", "ofcom"]
    assert bilateral.voters == ("acme", "alpha", "north", "south")
    assert topology.ledgers["alpha-bravo"].voters == ("alpha", "bravo", "north", "south")
    assert omni.voters == ("alpha", "bravo", "north", "south")
    assert omni.founders["acme"] == Position.MEMBER
    assert omni.founders["ofcom"] == Position.OBSERVER
    assert bilateral.granted == ("ofcom",)
    assert "ofcom" not in bilateral.founders
    assert topology.ledgers_of("ofcom") == ("acme-alpha", "omni")


@pytest.mark.req("L-28")
@pytest.mark.parametrize("name", built_in_names())
def test_who_trades_has_an_internal_ledger_that_its_own_node_alone_validates(name):
    topology = load_topology(name)
    assert topology.traders()
    for organization in topology.organizations:
        internal = topology.internal_ledger(organization)
        assert (internal is not None) == (organization in topology.traders())
        if internal is not None:
            entry = topology.ledgers[internal]
            assert (entry.voters, entry.everybody) == ((organization,), (organization,))


def test_an_internal_ledger_may_have_a_name_of_its_own_or_be_left_out():
    own = parse_topology(changed(("ledgers", "books"), {"kind": "internal", "parties": ["acme"]}))
    assert own.internal_ledger("acme") == "books"
    assert own.internal_ledger("alpha") == "alpha-internal"
    assert list(parse_topology(changed(("internal",), False)).ledgers) == ["acme-alpha"]


def test_agents_run_where_the_topology_says_unless_the_organization_says_otherwise():
    values = changed(("organizations", "alpha", "agents"), "processes")
    topology = parse_topology(values)
    assert (topology.agents_of("acme"), topology.agents_of("alpha")) == ("node", "processes")
    assert problems_of(changed(("agents",), "nowhere"))[0].startswith("agents: Input should be 'node'")


def test_the_name_of_an_internal_ledger_is_not_for_another_one():
    values = changed(("ledgers", "acme-internal"), {"kind": "omni", "validators": ["north"]})
    assert problems_of(values) == ("ledgers.acme-internal: the name is kept for an internal ledger.",)


def test_three_tiers_have_a_diamond_a_loop_and_four_neutrals_none_of_which_sees_both_of_alphas_sides():
    topology = load_topology("tiers")
    bilateral = {name: entry for name, entry in topology.ledgers.items() if entry.kind == "bilateral"}
    pairs = [("acme", "alpha"), ("alpha", "bravo"), ("alpha", "charlie"), ("charlie", "bravo"), ("bravo", "delta")]
    assert [entry.parties for entry in bilateral.values()] == [*pairs, ("charlie", "delta")]
    upstream = set(bilateral["acme-alpha"].neutrals)
    downstream = {who for name in ("alpha-bravo", "alpha-charlie") for who in bilateral[name].neutrals}
    assert not upstream & downstream
    assert upstream | downstream == set(topology.ledgers["omni"].validators)
    assert bilateral["acme-alpha"].granted == ("ofcom",)
    cities = {name: places(entry) for name, entry in topology.organizations.items() if places(entry)}
    assert cities == {
        "alpha": {"lisbon-dock-7"},
        "bravo": {"porto-market-2", "braga-square-1"},
        "charlie": {"braga-square-1"},
        "delta": {"faro-pier-3"},
    }
    assert (topology.pace_of("omni"), topology.pace_of("alpha-bravo")) == ("cold", "hot")


def places(entry):
    """Where the organization has ports."""
    return {place for pool in entry.inventory["pool"] for place in pool.get("locations", ())}


def test_a_chain_of_five_tiers_has_no_neutral_on_both_sides_of_a_provider():
    topology = load_topology("chain5")
    chain = [entry for entry in topology.ledgers.values() if entry.kind == "bilateral"]
    assert len(chain) == 5
    for before, after in pairwise(chain):
        assert before.parties[1] == after.parties[0]
        assert not set(before.neutrals) & set(after.neutrals)


def test_a_ledger_with_three_validators_is_allowed_and_warned_about():
    values = changed(("ledgers", "acme-alpha", "neutrals"), ["north"])
    del values["organizations"]["south"]
    (warning,) = parse_topology(values).warnings()
    assert warning.startswith("ledgers.acme-alpha: with 3 validators")


LEDGER = ("ledgers", "acme-alpha")
WRONG = {
    "unknown key": (("organisations",), {}, "organisations: there is no such key"),
    "unknown key of an organization": (("organizations", "acme", "port"), 1, "organizations.acme.port: there is no"),
    "unknown key of a ledger": ((*LEDGER, "validatorz"), ["acme"], "ledgers.acme-alpha.validatorz: there is no"),
    "no name": (("organizations", "acme", "name"), None, "organizations.acme.name: Field required"),
    "name of no text": (("organizations", "acme", "name"), 7, "organizations.acme.name: Input should be a valid str"),
    "control character": (("organizations", "acme", "name"), "a\x07", "organizations.acme.name: String should match"),
    "unknown kind": ((*LEDGER, "kind"), "trilateral", "ledgers.acme-alpha.kind: Input should be"),
    "unknown organization": ((*LEDGER, "granted"), ["ofcom"], "ledgers.acme-alpha.granted: there is no organization"),
    "organization twice": ((*LEDGER, "observers"), ["acme"], "ledgers.acme-alpha.observers: acme is among the part"),
    "one party": ((*LEDGER, "parties"), ["acme"], "ledgers.acme-alpha.parties: a ledger of kind bilateral needs 2"),
    "followers": ((*LEDGER, "followers"), ["south"], "ledgers.acme-alpha.followers: a ledger of kind bilateral has"),
    "unknown pace": (("pace",), "warm", "pace: Input should be 'hot' or 'cold'"),
    "idle organization": (("organizations", "idle"), {"name": "Idle"}, "organizations.idle: it is on no ledger"),
    "bad name": (("organizations", "A/../b"), {"name": "x"}, "organizations.A/../b: a name has small letters"),
    "inventory without a currency": (
        ("organizations", "acme", "inventory"), {"pool": []}, "organizations.acme.inventory.currency: Field required"
    ),
    "inventory that is no plain data": (
        ("organizations", "acme", "inventory"), {"currency": b"EUR"}, "organizations.acme.inventory: give texts, numbers"
    ),
    "unknown role": (
        ("organizations", "acme", "members"),
        {"boss": ["king"], "administrator": ["administrator"]},
        "organizations.acme.members.boss: roles are",
    ),
    "no administrator": (
        ("organizations", "acme", "members"),
        {"seller": ["s_bus"]},
        "organizations.acme.members: one member must be an administrator",
    ),
    "unknown parameter": (
        (*LEDGER, "parameters"),
        {"clock": 1},
        "ledgers.acme-alpha.parameters.clock: there is no such parameter",
    ),
    "parameter out of bounds": (
        (*LEDGER, "parameters"),
        {"max_ttl_ms": -1},
        "ledgers.acme-alpha.parameters.max_ttl_ms: max_ttl_ms must be from",
    ),
}


@pytest.mark.parametrize(("path", "value", "sentence"), WRONG.values(), ids=WRONG.keys())
def test_invalid_topologies_are_refused_by_the_name_of_the_field(path, value, sentence):
    assert any(problem.startswith(sentence) for problem in problems_of(changed(path, value)))


def test_all_problems_are_told_at_once():
    values = changed((*LEDGER, "neutrals"), ["nobody", "somebody"])
    assert len([problem for problem in problems_of(values) if "there is no organization" in problem]) == 2


@pytest.mark.parametrize("text", ["not toml", "\x00", "[ledgers"])
def test_a_file_that_is_no_toml_is_refused(tmp_path, text):
    file = tmp_path / "wrong.toml"
    file.write_text(text)
    with pytest.raises(TopologyInvalid, match="not TOML"):
        load_topology(file)


def test_a_missing_file_is_answered_with_the_built_in_names(tmp_path):
    with pytest.raises(TopologyInvalid, match=r"No such file.*default"):
        load_topology(tmp_path / "nothing.toml")
