"""Steps: each part of what is handed in stands for itself, and what was overtaken ends it."""

import pytest

from ledgers.client import Refused
from node.agents import inquiries, orders
from node.agents.ports import Outward
from node.agents.steps import BYTES_MAX, UnlessOvertaken
from smartcontracts.internal.answer import AnswerReleased
from smartcontracts.internal.delivery import ActivationRequested
from smartcontracts.internal.sourcing import CloseAsking
from smartcontracts.kernel import AlreadyDone, TooMuchHandled, WrongStatus
from tests.node.agents.harness import refused

STEPS = UnlessOvertaken(frozenset((7,)), acts_max=3)


class Port:
    """Takes what is submitted, or raises what it was given for it."""

    def __init__(self, *raised):
        self.raised, self.taken = list(raised), []

    async def submit(self, acts, *, purpose):
        if self.raised and (error := self.raised.pop(0)):
            raise error
        self.taken.append((purpose, [act.command.sourcing_id for act in acts]))


def acts(*names):
    return [Outward("close_asking", CloseAsking(sourcing_id=name)) for name in names]


def final(code):
    return refused("NAME", code, transient=False)


async def test_more_than_a_transaction_takes_goes_into_several_in_order():
    port = Port()
    assert await STEPS(port, acts(*"abcdefg"), purpose="close")
    assert port.taken == [("close", ["a", "b", "c"]), ("close", ["d", "e", "f"]), ("close", ["g"])]


async def test_a_transaction_has_only_so_many_bytes_and_at_least_one_act():
    port, large, half = Port(), "x" * (BYTES_MAX + 1), "y" * (BYTES_MAX // 2)
    assert await STEPS(port, acts("a", large, half, "b", half), purpose="close")
    assert [names for _, names in port.taken] == [["a"], [large], [half, "b"], [half]]


async def test_what_makes_too_much_of_the_ledgers_documents_goes_in_halves_and_in_order():
    """Fifty answers of sellers, each of which writes one large document anew, are more than a block has room for."""
    too_much = final(TooMuchHandled.code)
    port = Port(too_much, None, too_much)
    assert await STEPS(port, acts(*"abcd"), purpose="close")
    assert [names for _, names in port.taken] == [["a"], ["b"], ["c"], ["d"]]
    # What is too much by itself is nobody's step.
    with pytest.raises(Refused):
        await STEPS(Port(too_much), acts("a"), purpose="close")


async def test_nothing_is_no_transaction():
    port = Port()
    assert not await STEPS(port, [], purpose="close")
    assert port.taken == []


async def test_what_was_overtaken_ends_it_and_is_no_error():
    port = Port(None, final(7))
    assert not await STEPS(port, acts(*"abcdefg"), purpose="close")
    assert [names for _, names in port.taken] == [["a", "b", "c"]]
    assert not await STEPS(Port(final(8)), acts("a"), purpose="close", also=frozenset((8,)))


@pytest.mark.parametrize("transient", [True, False])
async def test_every_other_refusal_is_raised(transient):
    with pytest.raises(Refused):
        await STEPS(Port(refused("NAME", 8, transient=transient)), acts("a"), purpose="close")


@pytest.mark.parametrize(
    ("submit", "own", "other"),
    [
        (inquiries.submit_unless_overtaken, AnswerReleased, ActivationRequested),
        (orders.submit_unless_overtaken, ActivationRequested, AnswerReleased),
    ],
)
async def test_each_process_knows_what_its_steps_are_overtaken_by(submit, own, other):
    for known in (AlreadyDone, WrongStatus, own):
        assert not await submit(Port(final(known.code)), acts("a"), purpose="close")
    with pytest.raises(Refused):
        await submit(Port(final(other.code)), acts("a"), purpose="close")
