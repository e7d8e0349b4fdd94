"""Plays, wrong variants and refusals: what they name is there, duties are put off, and what is refused changes nothing."""

from __future__ import annotations

from random import Random
from types import SimpleNamespace

import pytest

from ledgers.kinds import BILATERAL, INTERNAL, contract_table
from node.agents.roster import DUTIES
from scripts.simulation.build import build
from scripts.simulation.coverage import all_kinds
from scripts.simulation.invariants.refused import Refused
from scripts.simulation.journal import Violation
from scripts.simulation.layout import chain
from scripts.simulation.plays import KINDS, PLAYS, aims_of
from scripts.simulation.probes import WRONGS, wronged
from smartcontracts.order import PlaceOrder

MESSAGES = {**contract_table(INTERNAL, 1).messages, **contract_table(BILATERAL, 1).messages}


def test_plays_are_of_statuses_and_duties_that_are_there():
    statuses = {(kind.name, str(status)) for kind in all_kinds() for status, _ in kind.lifecycle}
    statuses |= {(kind.name, str(status)) for kind in all_kinds() for status in kind.lifecycle.values()}
    duties = {duty.name for found in DUTIES.values() for duty in found}
    for play in PLAYS:
        assert (play.kind, play.status) in statuses, play.name
        assert set(play.held) <= duties, play.name
    assert {play.kind for play in PLAYS} == KINDS
    assert {play.held for play in PLAYS if play.status == "testing"} >= {
        ("test_chain",),
        ("test_chain", "decide_overdue"),
    }


def test_each_play_has_its_turn_in_as_many_seeds_as_there_are_plays():
    assert {aim.name for seed in range(len(PLAYS)) for aim in aims_of(seed)} == {play.name for play in PLAYS}


def test_wrong_variants_are_of_messages_that_are_there():
    assert set(WRONGS) <= set(MESSAGES)


def test_a_wrong_variant_is_another_command_of_the_same_kind_and_unknown_messages_have_none():
    order = PlaceOrder(quote_id="quo_1", acceptance_window_ms=5, activation_window_ms=5)
    found = [wronged("place_order", order, Random(number)) for number in range(40)]
    assert all(isinstance(one, PlaceOrder) for one in found)
    assert len({one for one in found if one != order}) > 5
    assert wronged("nothing_of_ours", order, Random(1)) is order


def test_a_duty_that_is_put_off_is_done_later():
    built = build(3, 0, shape=chain(1), faults=False, trade=False)
    world = built.world
    agent = next(one for one in built.agents if one.role == "sco")
    duty = next(one for duties in agent.duties.values() for one in duties)
    world.held[agent.name, duty.name] = world.schedule.now_ms + 5_000
    with pytest.raises(Exception, match="again at"):
        agent._put_off(duty)
    world.schedule.now_ms += 5_000
    agent._put_off(duty)
    world.close()


def decided(*, code=0, written=(), events=(), documents=(), fired=0):
    receipt = SimpleNamespace(transaction_id=b"t", code=code, name="WRONG_STATUS", documents=documents)
    first = SimpleNamespace(receipt=SimpleNamespace(transaction_id=b"", code=0, documents=()))
    result = SimpleNamespace(results=(first, SimpleNamespace(receipt=receipt)), events=events, fired=fired)
    return SimpleNamespace(result=result, written=written)


WRITTEN = (SimpleNamespace(after=SimpleNamespace(key="order/ord_1")),)
EVENT = SimpleNamespace(transaction_id=b"t", name="order.placed", document_id="ord_1")


@pytest.mark.parametrize(
    "block",
    [
        decided(code=1, written=WRITTEN),
        decided(code=1, events=(EVENT,)),
        decided(code=1, documents=("order/ord_1",)),
    ],
)
def test_a_refusal_that_changes_something_is_found(block):
    watching = Refused(SimpleNamespace())
    with pytest.raises(Violation, match="refused_changes_nothing"):
        watching.block(SimpleNamespace(label="a-b"), block)


def test_what_is_done_may_change_something_and_so_may_a_deadline():
    watching = Refused(SimpleNamespace())
    watching.block(SimpleNamespace(label="a-b"), decided(written=WRITTEN, events=(EVENT,)))
    watching.block(SimpleNamespace(label="a-b"), decided(code=1, written=WRITTEN, fired=1))
