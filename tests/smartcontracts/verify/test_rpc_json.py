"""CometBFT's JSON: a wrong form is always named, never a KeyError or a TypeError."""

import copy

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nacl.signing import SigningKey

from smartcontracts.verify import commit, errors, header, light, rpc_json, validators
from smartcontracts.verify.records import NIL_BLOCK_ID, BlockId, Commit, CommitSig, Timestamp, Validator

PARTS = {"total": 1, "hash": "AB" * 32}
HEADER = {
    "version": {"block": "11", "app": "1"},
    "chain_id": "chain",
    "height": "7",
    "time": "2026-11-22T05:36:06.132567373Z",
    "last_block_id": {"hash": "CD" * 32, "parts": PARTS},
    **dict.fromkeys(
        (
            "last_commit_hash",
            "data_hash",
            "validators_hash",
            "next_validators_hash",
            "consensus_hash",
            "app_hash",
            "last_results_hash",
            "evidence_hash",
        ),
        "EF" * 32,
    ),
    "proposer_address": "01" * 20,
}
VOTE = {
    "block_id_flag": 2,
    "validator_address": "01" * 20,
    "timestamp": "2026-11-22T05:36:07Z",
    "signature": "AAAA",
}
COMMIT = {
    "height": "7",
    "round": 0,
    "block_id": {"hash": "CD" * 32, "parts": PARTS},
    "signatures": [VOTE],
}
KEY = SigningKey(bytes(32))
VALIDATOR = {
    "address": validators.derive_address(bytes(KEY.verify_key)).hex(),
    "pub_key": {"type": "tendermint/PubKeyEd25519", "value": "O2onvM62pC1io6jQKm8Nc2UyFXcd4kOmOsBIoYtZ2ik="},
    "voting_power": "10",
    "proposer_priority": "0",
}
LIGHT_BLOCK = {"signed_header": {"header": HEADER, "commit": COMMIT}, "validators": [VALIDATOR]}
BLOCK = {"header": HEADER, "data": {"txs": ["AAAA"]}, "evidence": {"evidence": []}, "last_commit": COMMIT}


def paths(value, path=()):
    """Every place in a JSON value, the value itself left out."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, inner in items:
        yield (*path, name)
        yield from paths(inner, (*path, name))


def changed(value, path, new):
    """A copy of `value` with `new` at `path`, or nothing there where `new` is the ellipsis."""
    result = copy.deepcopy(value)
    *way, last = path
    inner = result
    for name in way:
        inner = inner[name]
    if new is ...:
        del inner[last]
    else:
        inner[last] = new
    return result


MAY_BE_MISSING = {"app", "txs", "proposer_priority"}
PLACES = [path for path in paths(LIGHT_BLOCK) if path[-1] not in MAY_BE_MISSING and not isinstance(path[-1], int)]


def test_the_unchanged_answer_is_read():
    block = rpc_json.parse_light_block(LIGHT_BLOCK)
    assert block.signed_header.header.height == 7
    assert block.signed_header.header.time == Timestamp(1_795_325_766, 132_567_373)
    assert block.validators.validators == (validators.make_validator(bytes(KEY.verify_key), 10),)
    assert rpc_json.parse_block(BLOCK).transactions == (bytes(3),)


@pytest.mark.parametrize("path", PLACES, ids=lambda path: "-".join(map(str, path)))
def test_a_missing_member_is_named(path):
    with pytest.raises(errors.InputMalformed):
        rpc_json.parse_light_block(changed(LIGHT_BLOCK, path, ...))


@pytest.mark.parametrize("path", PLACES, ids=lambda path: "-".join(map(str, path)))
@pytest.mark.parametrize("wrong", [True, 1.5, -(1 << 70), "\ud800", "x" * 10_000, [1], {"a": 1}])
def test_a_member_of_another_form_is_named(path, wrong):
    with pytest.raises(errors.InputMalformed):
        rpc_json.parse_light_block(changed(LIGHT_BLOCK, path, wrong))


JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5), st.sampled_from(["7", "AB"])),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=3), inner, max_size=3)),
    max_leaves=5,
)


@given(st.sampled_from(list(paths(LIGHT_BLOCK))), JSON)
@settings(max_examples=200)
def test_whatever_stands_in_its_place_nothing_but_a_verification_error_comes(path, value):
    try:
        block = rpc_json.parse_light_block(changed(LIGHT_BLOCK, path, value))
        light.check_light_block(block, "chain")
    except errors.VerificationError:
        return
    pytest.fail("an unsigned header was accepted")


@given(st.sampled_from(list(paths(BLOCK))), JSON)
@settings(max_examples=100)
def test_a_changed_block_is_read_or_refused_by_name(path, value):
    try:
        rpc_json.parse_block(changed(BLOCK, path, value))
    except errors.InputMalformed:
        return


@pytest.mark.parametrize(
    ("text", "seconds", "nanos"),
    [
        ("1970-01-01T00:00:00Z", 0, 0),
        ("0001-01-01T00:00:00Z", -62_135_596_800, 0),
        ("2000-02-29T23:59:59.5Z", 951_868_799, 500_000_000),
        ("1900-03-01T00:00:00Z", -2_203_891_200, 0),
        ("9999-12-31T23:59:59.999999999Z", 253_402_300_799, 999_999_999),
    ],
)
def test_times_are_read_to_the_nanosecond(text, seconds, nanos):
    assert rpc_json.parse_time(text) == Timestamp(seconds, nanos)


@pytest.mark.parametrize(
    "text",
    [
        "2026-02-29T00:00:00Z",
        "1900-02-29T00:00:00Z",
        "2026-13-01T00:00:00Z",
        "2026-00-01T00:00:00Z",
        "2026-01-00T00:00:00Z",
        "0000-01-01T00:00:00Z",
        "2026-01-01T24:00:00Z",
        "2026-01-01T00:60:00Z",
        "2026-01-01T00:00:60Z",
        "2026-01-01T00:00:00.1234567890Z",
        "2026-01-01T00:00:00",
        "2026-01-01T00:00:00+00:00",
        "2026-01-01T00:00:00Z\n",
        "\uff12026-01-01T00:00:00Z",
    ],
)
def test_other_times_are_refused(text):
    with pytest.raises(errors.InputMalformed):
        rpc_json.parse_time(text)


# Rules that no golden case reaches


@pytest.mark.parametrize("ratio", [(1, 4), (0, 3), (4, 3), (-1, -3), (1, 0)])
def test_a_trust_level_outside_a_third_to_one_is_refused(ratio):
    with pytest.raises(errors.TrustLevelInvalid):
        commit.TrustLevel(*ratio)


def test_a_set_with_one_validator_twice_is_refused():
    member = validators.make_validator(bytes(KEY.verify_key), 1)
    with pytest.raises(errors.ValidatorSetInvalid, match="twice"):
        validators.build_validator_set([member, Validator(member.address, member.public_key, 2)])


def test_a_total_power_holds_at_its_limit_and_not_past_it():
    validators.build_validator_set([validators.make_validator(bytes(32), validators.TOTAL_POWER_MAX)])
    with pytest.raises(errors.ValidatorSetInvalid, match="total power"):
        validators.build_validator_set([validators.make_validator(bytes(32), validators.TOTAL_POWER_MAX + 1)])


def test_a_header_without_validators_has_no_hash():
    parsed = rpc_json.parse_header(changed(HEADER, ("validators_hash",), ""))
    header.check_header_form(parsed)
    with pytest.raises(errors.HeaderHashMismatch):
        header.hash_header(parsed)


def test_a_vote_for_nil_does_not_name_the_block_it_is_beside():
    votes = [CommitSig(flag, bytes(20), Timestamp(1, 0), b"s") for flag in (2, 3)]
    both = Commit(1, 0, BlockId(bytes(32), 1, bytes(32)), tuple(votes))
    nil = Commit(1, 0, NIL_BLOCK_ID, tuple(votes))
    assert commit.vote_sign_bytes("c", both, 0) != commit.vote_sign_bytes("c", both, 1)
    assert commit.vote_sign_bytes("c", both, 1) == commit.vote_sign_bytes("c", nil, 0)
