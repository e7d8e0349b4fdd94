"""Founding a ledger from a description: what no contract could mend later is refused before there is a ledger."""

from __future__ import annotations

import copy

import pytest
from nacl.signing import SigningKey

from ledgers.client.founding import found_ledger, genesis_file, warnings
from ledgers.client.identity import new_authority
from ledgers.client.plain import PlainInvalid
from ledgers.client.proofs import read_genesis


def organization(base, name, position="party", *, validates=True):
    authority = new_authority()
    (base / f"{name}.pem").write_bytes(authority.pair.certificate)
    return {
        "name": name,
        "position": position,
        "ca_certificate": f"{name}.pem",
        "node_ids": [bytes([len(name)] * 20).hex()],
        "validator_key": SigningKey.generate().verify_key.encode().hex() if validates else "",
        "members": [{"public_key": SigningKey.generate().verify_key.encode().hex(), "roles": ["administrator"]}],
    }


@pytest.fixture
def pair(tmp_path):
    names = (("a", "party"), ("bb", "party"), ("ccc", "neutral"), ("dddd", "neutral"))
    return {"kind": "bilateral", "organizations": [organization(tmp_path, *one) for one in names]}


def test_a_ledger_of_a_pair_with_two_neutrals_is_founded_without_a_word(pair, tmp_path):
    founded = found_ledger(pair, tmp_path)
    assert warnings(founded) == ()
    assert read_genesis(genesis_file(founded))[1].organizations == founded.organizations


@pytest.mark.parametrize("count", [2, 3])
def test_who_founds_with_fewer_than_four_validators_is_told_what_that_means(pair, tmp_path, count):
    pair["organizations"] = pair["organizations"][:count]
    founded = found_ledger(pair, tmp_path)
    assert warnings(founded) == (f"{count} of 4 validators: the ledger stops when any one of them is away.",)


def test_an_internal_ledger_has_one_validator_and_no_warning(pair, tmp_path):
    founded = found_ledger({"kind": "internal", "organizations": pair["organizations"][:1]}, tmp_path)
    assert warnings(founded) == ()


def changed(description, place, **members):
    description = copy.deepcopy(description)
    description["organizations"][place] |= members
    return description


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda pair: pair | {"organizations": pair["organizations"][:1]}, "two organizations with position party, not 1"),
        (lambda pair: changed(pair, 2, position="party"), "two organizations with position party, not 3"),
        (lambda pair: pair | {"kind": "internal"}, "an internal ledger has one organization, not 4"),
        (lambda pair: changed(pair, 1, node_ids=["4f2a"]), "a node id is 40 digits of hex"),
        (lambda pair: changed(pair, 1, node_ids=pair["organizations"][0]["node_ids"]), "a node id stands twice"),
        (lambda pair: changed(pair, 1, name=""), "every organization needs a name"),
    ],
)  # fmt: skip
def test_invalid_descriptions_found_nothing(pair, tmp_path, change, told):
    with pytest.raises(PlainInvalid, match=told) as refused:
        found_ledger(change(pair), tmp_path)
    assert refused.value.field == "organizations"
