"""The grammar of calls: what the specification allows passes, everything else is named."""

from __future__ import annotations

import itertools
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from abci_app.server.grammar import FREE_CALLS, START, violations

# The specification's ABNF, one letter a terminal, closed under "may stop anywhere" (n is init_chain).
NAMES = {
    "i": "info",
    "n": "init_chain",
    "o": "offer_snapshot",
    "a": "apply_snapshot_chunk",
    "p": "prepare_proposal",
    "r": "process_proposal",
    "x": "extend_vote",
    "v": "verify_vote_extension",
    "f": "finalize_block",
    "c": "commit",
}
PROPOSER = "v*(?:pr?)?(?:v*xv*)?"
NON_PROPOSER = "v*r?(?:v*xv*)?"
ROUNDS = f"(?:{PROPOSER}|{NON_PROPOSER})*"
HEIGHTS = f"(?:{ROUNDS}fc)*{ROUNDS}f?"
STATE_SYNC = "(?:oa*)*"
ONE_LIFE = re.compile(f"(?:in?{HEIGHTS}|{STATE_SYNC}|{STATE_SYNC}oa+i{HEIGHTS})?")


def names(letters: str) -> list[str]:
    return [NAMES[letter] for letter in letters]


def is_legal_by_specification(letters: str) -> bool:
    """Some of the info calls may be a person's, which the grammar leaves out."""
    places = [index for index, letter in enumerate(letters) if letter == "i"]
    for count in range(len(places) + 1):
        for left_out in itertools.combinations(places, count):
            kept = "".join(c for index, c in enumerate(letters) if index not in left_out)
            if ONE_LIFE.fullmatch(kept):
                return True
    return False


def init_chain_comes_too_late(letters: str) -> bool:
    committed = letters.find("c")
    return committed >= 0 and any(letter in letters[committed:] for letter in "no")


@pytest.mark.parametrize("length", range(7))
def test_every_short_sequence_is_judged_as_the_specification_does(length):
    for sequence in itertools.product("inoarfc", repeat=length):
        letters = "".join(sequence)
        expected = is_legal_by_specification(letters) and not init_chain_comes_too_late(letters)
        assert (violations(names(letters)) == []) == expected, letters


ROUND = st.from_regex(f"(?:{PROPOSER}|{NON_PROPOSER})", fullmatch=True)
HEIGHT = st.lists(ROUND, max_size=3).map(lambda rounds: "".join(rounds) + "fc")
EXECUTION = st.lists(HEIGHT, max_size=4).map("".join)
FIRST_LIFE = st.sampled_from(["in", "oai", "ooaaoai", "oaoaaai"]).flatmap(
    lambda begin: EXECUTION.map(lambda rest: begin + rest)
)
LATER_LIFE = EXECUTION.map(lambda rest: "i" + rest)


@given(FIRST_LIFE, st.lists(LATER_LIFE, max_size=3), st.data())
def test_legal_lives_pass_wherever_they_are_cut(first, later, data):
    recording = []
    for life in (first, *later):
        cut = data.draw(st.integers(0, len(life)))
        recording += [START, *names(life[:cut])]
    free = st.lists(st.sampled_from(sorted(FREE_CALLS)), min_size=len(recording))
    mixed = [name for pair in zip(recording, data.draw(free), strict=False) for name in pair]
    assert violations(mixed) == []


@pytest.mark.parametrize(
    ("calls", "sentence"),
    [
        ("f", "call 0: finalize_block cannot follow the start"),
        ("n", "call 0: init_chain cannot follow the start"),
        ("inn", "call 2: init_chain cannot follow a height's rounds"),
        ("inffc", "call 3: finalize_block cannot follow finalize_block"),
        ("infrc", "call 3: process_proposal cannot follow finalize_block"),
        ("inc", "call 2: commit cannot follow a height's rounds"),
        ("infcc", "call 4: commit cannot follow a height's rounds"),
        ("inoa", "call 2: offer_snapshot cannot follow a height's rounds"),
        ("oi", None),
        ("oifc", "call 2: finalize_block cannot follow offer_snapshot"),
        ("iprfcprx", None),
    ],
)
def test_a_call_out_of_order_is_named_once(calls, sentence):
    assert violations(names(calls)) == ([] if sentence is None else [sentence])


def test_invalid_genesis_after_a_committed_height_is_seen_across_lives():
    assert violations([START, *names("infc"), START, *names("in")]) == [
        "call 7: init_chain after a height was committed"
    ]


def test_a_name_that_is_no_call_is_a_violation():
    assert violations(["info", "deliver_tx"]) == ["call 1: deliver_tx cannot follow info"]
