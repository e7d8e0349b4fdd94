"""Genesis: the id binds every byte of it, and nothing begins on a wrong one."""

from __future__ import annotations

import base64
import json
from dataclasses import fields, replace

import pytest

from ledgers.genesis import (
    GenesisInvalid,
    LedgerGenesis,
    check_genesis,
    comet_genesis,
    ledger_id,
    parse_app_state,
    parse_genesis,
)
from ledgers.kinds import ContractsVersionUnknown, LedgerKindUnknown
from smartcontracts.codec import decode, encode
from smartcontracts.ids import member_id
from smartcontracts.kernel import Position, Rejected
from smartcontracts.membership import MemberKey
from smartcontracts.parameters import ParameterOutOfBounds, Parameters
from tests.world import START_MS, make_genesis

GENESIS = make_genesis()


def small_order_member():
    """A member whose key OpenSSL would accept and libsodium not: the neutral element."""
    key = b"\x01" + bytes(31)
    owner = GENESIS.members[0].organization_id
    return replace(GENESIS.members[0], id=member_id(owner, key), keys=(MemberKey(public_key=key),))


def test_the_id_is_a_prefix_and_a_hash_and_differs_with_every_field():
    changes = {
        "kind": "omni",
        "secret": b"t" * 32,
        "created_at_ms": START_MS + 1,
        "contracts_version": 2,
        "parameters": replace(Parameters(), items_max=99),
        "organizations": GENESIS.organizations[:-1],
        "members": GENESIS.members[:-1],
    }
    assert set(changes) == {f.name for f in fields(LedgerGenesis)}
    ids = {ledger_id(replace(GENESIS, **{name: value})) for name, value in changes.items()} | {ledger_id(GENESIS)}
    assert len(ids) == 8
    assert all(i.startswith("sg_") and len(i) == 35 for i in ids)


def test_it_survives_its_encoding():
    assert decode(LedgerGenesis, encode(GENESIS)) == GENESIS


def test_cometbfts_file_says_what_ours_does():
    document = comet_genesis(GENESIS)
    assert document["chain_id"] == ledger_id(GENESIS)
    assert document["genesis_time"] == "2026-09-21T14:13:20.000Z"
    assert {v["power"] for v in document["validators"]} == {"10"}
    assert all(v["name"] == "" for v in document["validators"])
    keys = [base64.b64decode(v["pub_key"]["value"]) for v in document["validators"]]
    assert keys == [o.validator_key for o in GENESIS.organizations]
    params = document["consensus_params"]
    assert params["block"] == {"max_bytes": "4194304", "max_gas": "1000000"}
    assert params["version"] == {"app": "1"}
    assert params["validator"] == {"pub_key_types": ["ed25519"]}
    assert parse_app_state(json.dumps(document["app_state"]).encode(), document["chain_id"]) == GENESIS


def test_invalid_app_states():
    encoded = base64.b64encode(encode(GENESIS)).decode()
    for state in (b"", b"{", b"[]", b"null", b'{"genesis": 1}', b'{"genesis": "?"}', b'{"other": ""}'):
        with pytest.raises(GenesisInvalid):
            parse_app_state(state, ledger_id(GENESIS))
    with pytest.raises(GenesisInvalid):
        parse_app_state(json.dumps({"genesis": encoded}).encode(), "sg_other")
    flipped = bytearray(encode(GENESIS))
    flipped[50] ^= 1
    with pytest.raises(GenesisInvalid):
        parse_genesis(bytes(flipped), ledger_id(GENESIS))


@pytest.mark.parametrize(
    ("change", "refusal"),
    [
        ({"kind": "other"}, LedgerKindUnknown),
        ({"contracts_version": 99}, ContractsVersionUnknown),
        ({"parameters": Parameters(items_max=0)}, ParameterOutOfBounds),
        ({"secret": b"short"}, GenesisInvalid),
        ({"created_at_ms": 0}, GenesisInvalid),
        ({"organizations": ()}, GenesisInvalid),
        ({"organizations": GENESIS.organizations[::-1]}, GenesisInvalid),
        ({"organizations": GENESIS.organizations[:1] * 2}, GenesisInvalid),
        ({"organizations": tuple(replace(o, validator_key=b"") for o in GENESIS.organizations)}, GenesisInvalid),
        ({"organizations": tuple(replace(o, validator_key=b"k" * 32) for o in GENESIS.organizations)}, GenesisInvalid),
        ({"organizations": tuple(replace(o, validator_key=b"k") for o in GENESIS.organizations)}, GenesisInvalid),
        ({"organizations": tuple(replace(o, position=Position.MEMBER) for o in GENESIS.organizations)}, GenesisInvalid),
        ({"organizations": (replace(GENESIS.organizations[0], ca_public_key=b"other"),)}, GenesisInvalid),
        ({"members": ()}, GenesisInvalid),
        ({"members": (replace(GENESIS.members[0], id="mbr_chosen"),)}, GenesisInvalid),
        ({"members": (replace(GENESIS.members[0], keys=()),)}, GenesisInvalid),
        ({"members": (small_order_member(),)}, GenesisInvalid),
        ({"members": GENESIS.members[::-1]}, GenesisInvalid),
        ({"members": (replace(GENESIS.members[0], organization_id="org_x"),)}, GenesisInvalid),
        (
            {"members": (GENESIS.members[0], replace(GENESIS.members[1], keys=GENESIS.members[0].keys))},
            GenesisInvalid,
        ),
    ],
)
def test_invalid_genesis(change, refusal):
    broken = replace(GENESIS, **change)
    with pytest.raises(refusal):
        check_genesis(broken)
    with pytest.raises(Rejected):
        comet_genesis(broken)


def test_a_good_one_is_good():
    check_genesis(GENESIS)
