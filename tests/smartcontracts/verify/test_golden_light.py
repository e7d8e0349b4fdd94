"""Light verification gives CometBFT's verdict, and its reason, on every golden case."""

from __future__ import annotations

from typing import Any

import pytest

from smartcontracts.verify import block, commit, errors, header, light, rpc_json, validators
from smartcontracts.verify.records import LightBlock, Timestamp
from tests.golden import load_golden

pytestmark = pytest.mark.golden

GOLDEN = load_golden("light.json")
HEIGHTS = sorted(GOLDEN["derived"], key=int)
CASES = {case["name"]: case for case in GOLDEN["cases"]}
ADJACENT = [name for name, case in CASES.items() if case["adjacent"]]
NOT_ADJACENT = [name for name, case in CASES.items() if not case["adjacent"]]

# Where a set names one validator twice, CometBFT goes on to the hash check unless it panics; here
# no such set exists at all. The verdict is the same.
EARLIER_REASONS = {"validators_hash_mismatch": {"validator_set_invalid"}}
DOUBLED = ("set-entry-appended", "set-entry-and-vote-copied")


def light_block(name: str) -> LightBlock:
    return rpc_json.parse_light_block(GOLDEN["light_blocks"][name])


def reason_of(case: dict[str, Any]) -> str | None:
    """The code of the refusal, or None."""
    trusted = light_block(case["trusted"])
    try:
        light.verify_light_block(
            trusted,
            light_block(case["untrusted"]),
            case["chain_id"],
            light.TrustOptions(
                now=rpc_json.parse_time(case["now"]),
                trusting_period_ns=case["trusting_period_ns"],
                max_clock_drift_ns=case["max_clock_drift_ns"],
                trust_level=commit.TrustLevel(*case["trust_level"]),
            ),
        )
    except errors.VerificationError as refusal:
        return refusal.reason
    return None


def check_case(name: str) -> None:
    case = CASES[name]
    reason = reason_of(case)
    assert (reason is None) == (case["expect"] == "accept")
    if name.endswith(DOUBLED):
        assert reason in EARLIER_REASONS[case["reason"]]
    else:
        assert reason == case["reason"]


@pytest.mark.parametrize("name", ADJACENT)
def test_one_step_gets_the_verdict_of_cometbft(name: str) -> None:
    check_case(name)


@pytest.mark.parametrize("name", NOT_ADJACENT)
def test_a_skip_gets_the_verdict_of_cometbft(name: str) -> None:
    check_case(name)


@pytest.mark.parametrize("level", [(1, 3), (1, 2), (2, 3), (1, 1)])
def test_every_pair_of_heights_gets_the_verdict_of_cometbft(level: tuple[int, int]) -> None:
    blocks = {int(height): light_block(f"h{height}") for height in HEIGHTS}
    now = blocks[int(HEIGHTS[-1])].signed_header.header.time.plus_nanos(10**9)
    options = light.TrustOptions(
        now=now,
        trusting_period_ns=7 * 86_400 * 10**9,
        max_clock_drift_ns=10 * 10**9,
        trust_level=commit.TrustLevel(*level),
    )
    pairs = [pair for pair in GOLDEN["pairs"] if tuple(pair["trust_level"]) == level]
    assert pairs
    for pair in pairs:
        reason = None
        try:
            light.verify_light_block(blocks[pair["trusted"]], blocks[pair["untrusted"]], GOLDEN["chain_id"], options)
        except errors.VerificationError as refusal:
            reason = refusal.reason
        assert reason == pair["reason"], pair


# Without the cases in which the engine did not get so far, and the sets refused at once here.
WITH_COMMIT_STEPS = [
    name for name, case in CASES.items() if "verify_commit" in case["go"] and not name.endswith(DOUBLED)
]


@pytest.mark.parametrize("name", WITH_COMMIT_STEPS)
def test_full_commit_check_gets_the_verdict_of_cometbft(name: str) -> None:
    steps = CASES[name]["go"]
    untrusted = light_block(CASES[name]["untrusted"])
    signed = untrusted.signed_header
    arguments = (
        untrusted.validators,
        CASES[name]["chain_id"],
        signed.commit.block_id,
        signed.header.height,
        signed.commit,
    )
    for step, check in (
        ("verify_commit", commit.check_commit),
        ("verify_commit_light", commit.check_commit_light),
    ):
        accepted = True
        try:
            check(*arguments)
        except errors.VerificationError:
            accepted = False
        assert accepted == (steps[step] is None), step


@pytest.mark.parametrize("case", GOLDEN["backwards_cases"], ids=lambda case: case["name"])
def test_a_step_backwards_gets_the_verdict_of_cometbft(case: dict[str, Any]) -> None:
    reason = None
    try:
        light.verify_backwards(
            rpc_json.parse_header(case["trusted_header"]),
            rpc_json.parse_header(case["older_header"]),
        )
    except errors.VerificationError as refusal:
        reason = refusal.reason
    assert reason == case["reason"]


@pytest.mark.parametrize("case", GOLDEN["block_cases"], ids=lambda case: case["name"])
def test_a_whole_block_gets_the_verdict_of_cometbft(case: dict[str, Any]) -> None:
    reason = None
    try:
        block.verify_block(rpc_json.parse_block(case["block"]), rpc_json.parse_block_id(case["trusted_block_id"]))
    except errors.VerificationError as refusal:
        reason = refusal.reason
    assert reason == case["reason"]


@pytest.mark.parametrize("height", HEIGHTS)
def test_bytes_and_hashes_are_those_of_cometbft(height: str) -> None:
    derived, whole = GOLDEN["derived"][height], light_block(f"h{height}")
    signed, members = whole.signed_header, whole.validators.validators
    votes = signed.commit.signatures
    assert [leaf.hex() for leaf in header.header_leaves(signed.header)] == derived["header_leaves"]
    assert header.hash_header(signed.header).hex() == derived["header_hash"]
    assert [validators.validator_leaf(one).hex() for one in members] == derived["validator_leaves"]
    assert validators.hash_validators(whole.validators).hex() == derived["validators_hash"]
    assert [commit.encode_vote(vote).hex() for vote in votes] == derived["commit_leaves"]
    assert commit.hash_commit(signed.commit).hex() == derived["commit_hash"]
    assert whole.validators.total_power() == derived["total_power"]
    for place, expected in enumerate(derived["vote_sign_bytes"]):
        if expected is not None:
            signed_bytes = commit.vote_sign_bytes(GOLDEN["chain_id"], signed.commit, place)
            assert signed_bytes.hex() == expected


def test_the_zero_time_of_go_is_the_absent_votes_time() -> None:
    assert rpc_json.parse_time("0001-01-01T00:00:00Z") == Timestamp(-62_135_596_800, 0)
