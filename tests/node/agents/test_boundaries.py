"""Boundaries: the duties enumerate them, and performing a duty passes those and no others."""

from dataclasses import dataclass, replace

import pytest

from node.agents.boundaries import Boundary, Moment, UndeclaredPurpose, boundaries, perform
from node.agents.duties import Duty
from node.agents.ports import Outward
from node.agents.roster import DUTIES
from smartcontracts.internal import rules
from smartcontracts.internal.rules import SetSourcingRules
from smartcontracts.kernel import Position, Role
from tests.node.agents.harness import MemoryPort, desk_of
from tests.smartcontracts.support import MemoryLedger


@dataclass(frozen=True)
class Note:
    id: str = "note_1"
    status: str = "open"


async def set_twice(desk, port, record):
    act = Outward("set_sourcing_rules", SetSourcingRules())
    await port.submit([act], purpose="first")
    await desk.bilateral[port.id].submit([act], purpose="second")


DUTY = Duty(
    name="set_twice",
    role=Role.SCO,
    ledger_kind="internal",
    kind="note",
    statuses=("open",),
    submits=("first", "second"),
    do=set_twice,
)


@pytest.fixture
def port():
    ledger = MemoryLedger(rules.CONTRACT, ledger_kind="internal", positions={"alpha": Position.PARTY})
    return MemoryPort(ledger, "alpha-int", "alpha", "sco")


def test_a_duty_has_one_boundary_where_it_is_taken_and_two_for_each_submission():
    assert [str(one) for one in boundaries([DUTY])] == [
        "sco/set_twice/taken",
        "sco/set_twice/before/first",
        "sco/set_twice/after/first",
        "sco/set_twice/before/second",
        "sco/set_twice/after/second",
    ]


async def test_performing_passes_the_enumerated_boundaries_in_order(port):
    passed = []
    desk = desk_of("alpha", port, [port], role=Role.SCO)
    await perform(DUTY, desk, port, Note(), lambda boundary, document: passed.append((boundary, document)))
    assert [boundary for boundary, _ in passed] == list(boundaries([DUTY]))
    assert {document for _, document in passed} == {"note_1"}
    assert rules.rules_of(port.ledger).version == 2


async def test_what_an_observer_stops_before_a_submission_is_not_submitted(port):
    def stop(boundary, _document):
        if boundary == Boundary("sco", "set_twice", Moment.BEFORE, "second"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        await perform(DUTY, desk_of("alpha", port, [port], role=Role.SCO), port, Note(), stop)
    assert rules.rules_of(port.ledger).version == 1


async def test_invalid_purpose_on_any_ledger_of_the_desk(port):
    desk = desk_of("alpha", port, [port], role=Role.SCO)
    with pytest.raises(UndeclaredPurpose, match="set_twice does not declare the purpose second"):
        await perform(replace(DUTY, submits=("first",)), desk, port, Note())
    assert rules.rules_of(port.ledger).version == 1


def test_no_two_boundaries_of_all_roles_have_one_name():
    every = [boundary for duties in DUTIES.values() for boundary in boundaries(duties)]
    assert len(every) == len(set(every)) > 0
    assert all(duty.role == role for role, duties in DUTIES.items() for duty in duties)


def test_every_duty_names_a_kind_a_filter_and_statuses_that_its_ledger_has():
    from ledgers.kinds import VERSIONS, contract_table

    for duty in (duty for duties in DUTIES.values() for duty in duties):
        kind = contract_table(duty.ledger_kind, VERSIONS[-1]).kinds[duty.kind]
        statuses = {status.value for (status, _) in kind.lifecycle} | {
            status.value for status in kind.lifecycle.values()
        }
        assert set(duty.statuses) <= statuses, duty.name
        assert not duty.related or "related" in kind.filters, duty.name
        assert not duty.statuses or "status" in kind.filters, duty.name
        assert len(set(duty.submits)) == len(duty.submits), duty.name
