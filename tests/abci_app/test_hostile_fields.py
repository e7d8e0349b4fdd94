"""Every message of a bilateral ledger with one field turned hostile: the contract refuses or takes it, and never fails."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import fields, is_dataclass, replace
from enum import StrEnum

import pytest

from abci_app.failures import ExecutionFailed
from ledgers.kinds import BILATERAL, VERSIONS, contract_table
from ledgers.transaction import Act
from smartcontracts import codec
from smartcontracts.kernel import SENTENCE_CHARACTERS_MAX
from smartcontracts.proposal import act_of
from tests.abci_app.support import unchanged
from tests.vectors.recorder import Recorder
from tests.vectors.recording import BilateralLife
from tests.world import person

TABLE = contract_table(BILATERAL, VERSIONS[-1])
NUMBERS = (-(1 << 63), -1, 0, 1, (1 << 31) - 1, (1 << 32) - 1, 1 << 62, (1 << 63) - 1)
TEXTS = ("", " ", "x" * 256, "x" * 257, "a\u202eb", "a\ufe0f", "\u3164", "e\u0301" * 100, "🦄" * 64, "a/b", "../x", "\x00", "__proto__")
DATA = (b"", b"\x00", b"\xff" * 32, b"{}", b"[]", b"null", b'{"a":1e400}', b'{"a":1,"a":2}', b"[" * 60 + b"]" * 60)
# Of each message so many of its first appearances are tried, with so many of the variants of each.
APPEARANCES, VARIANTS = 2, 60


def hostile(value):
    """What one field is turned into."""
    if isinstance(value, bool):
        return (not value,)
    if isinstance(value, StrEnum):
        return tuple(one for one in type(value) if one != value)
    if isinstance(value, int):
        return NUMBERS
    if isinstance(value, str):
        return TEXTS
    if isinstance(value, bytes):
        return (*DATA, value[:-1], value + b" ")
    if isinstance(value, tuple) and value:
        whole = ((), value + value, value[::-1], value[1:], value[:1] * 101, value[:1] * 1_001)
        return (*whole, *((one, *value[1:]) for one in hostile(value[0]) if one is not None))
    if is_dataclass(value) and not isinstance(value, codec.Choice):
        return (None, *variants(value))
    return ()


def variants(command):
    """The command with one field changed, at any depth."""
    for field in fields(command):
        for value in hostile(getattr(command, field.name)):
            yield replace(command, **{field.name: value})


def commands(name, command):
    """What is tried in place of a message; of a proposal, its act."""
    if name != "propose":
        yield from variants(command)
        return
    terms = codec.decode(TABLE.acts[command.act.name].command, command.act.data)
    for changed in variants(terms):
        try:
            act = act_of(command.act.name, changed)
        except (TypeError, ValueError):
            continue
        yield replace(command, act=act)


@pytest.mark.timeout(300)
def test_no_field_of_any_message_makes_a_contract_fail_or_say_much(monkeypatch):
    tried, answers, seen = Counter(), Counter(), Counter()
    chance = random.Random(7)
    do = Recorder.do

    def attack_and_do(ledger, who, name, command, *, code=0, cause=None):
        seen[name] += 1
        if seen[name] <= APPEARANCES and not code:
            found = list(commands(name, command))
            for variant in chance.sample(found, min(VARIANTS, len(found))):
                act = Act(name=name, command=variant, cause=cause)
                try:
                    codec.encode(variant)
                except (TypeError, ValueError, OverflowError):
                    # No client could send this.
                    continue
                with unchanged(ledger):
                    receipt = ledger.simulated([act], person(who).signer, person(who).key)
                assert receipt.code != ExecutionFailed.code, (name, variant)
                assert len(receipt.sentence) <= SENTENCE_CHARACTERS_MAX
                assert bool(receipt.code) != bool(receipt.documents), (name, variant)
                tried[name] += 1
                answers[receipt.code] += 1
        return do(ledger, who, name, command, code=code, cause=cause)

    monkeypatch.setattr(Recorder, "do", attack_and_do)
    taken = BilateralLife().run().taken
    assert tried.keys() == taken & TABLE.messages.keys()
    assert sum(tried.values()) > 2_000
    assert len(answers) > 80
    assert answers[0] < sum(answers.values()) // 2
