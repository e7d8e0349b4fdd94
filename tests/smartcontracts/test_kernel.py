"""The kernel: refusals keep their order, ids derive from transaction or cause, tables allow what they say."""

from dataclasses import replace
from enum import StrEnum
from types import MappingProxyType

import pytest

from smartcontracts import kernel as k
from smartcontracts.membership import MEMBER, AddMember
from tests.smartcontracts.support import MemoryLedger, member_record, org, public_key


class HandlerRefused(k.Rejected):
    code = 9_999


def refuse(_, call):
    raise HandlerRefused("no", "x")


CREATING = k.MessageType(
    name="create", command=AddMember, handler=refuse, roles=(k.Role.FINANCE, k.Role.SOF), creates=MEMBER
)
PLAIN = replace(CREATING, name="plain", handler=lambda _, call: call.new_id(MEMBER), creates=None)
CONTRACT = k.Contract(name="test", messages=(CREATING, PLAIN))
CAUSE = k.Cause(ledger_id="sg_other", event_id="7/1", purpose="renew")
COMMAND = AddMember(public_key=b"", roles=())


def call_of(name="acme", role="finance", cause=None, done=False):
    ledger = MemoryLedger.bilateral(CONTRACT)
    call = ledger.call(ledger.sender(name, role), cause=cause)
    if done:
        created = replace(member_record("acme", "finance"), id=k.cause_id(MEMBER, call.ledger_id, org("acme"), CAUSE))
        ledger.write(replace(created, keys=()))
    return call


GOOD = {"message_name": "create", "name": "acme", "role": "finance", "cause": CAUSE, "done": False}
REFUSALS = [  # in order of precedence, each one change away from what reaches the handler
    (k.MessageNotOffered, {"message_name": "unheard_of"}),
    (k.PositionWrong, {"name": "north"}),
    (k.RoleMissing, {"role": "auditor"}),
    (k.AlreadyDone, {"done": True}),
    (HandlerRefused, {}),
]


@pytest.mark.parametrize("first", range(len(REFUSALS)))
def test_invalid_messages_are_answered_with_the_first_failing_check(first):
    broken = dict(GOOD)
    for _, change in reversed(REFUSALS[first:]):
        broken |= change
    with pytest.raises(REFUSALS[first][0]):
        k.run_message(broken.pop("message_name"), COMMAND, call_of(**broken))


def test_what_was_done_before_is_named():
    with pytest.raises(k.AlreadyDone) as caught:
        k.run_message("create", COMMAND, call_of(cause=CAUSE, done=True))
    assert caught.value.existing_id == k.cause_id(MEMBER, call_of().ledger_id, org("acme"), CAUSE)


def test_any_one_of_the_roles_is_enough():
    for role in ("finance", "sof"):
        with pytest.raises(HandlerRefused):
            k.run_message("create", COMMAND, call_of(role=role))


def test_a_message_that_creates_nothing_by_its_cause_names_documents_by_the_transaction():
    """Two acts with one cause would otherwise write over each other."""
    assert k.run_message("plain", COMMAND, call_of(cause=CAUSE)) == k.run_message("plain", COMMAND, call_of())


@pytest.mark.parametrize("creates", [None, MEMBER])
def test_an_act_with_a_cause_is_an_agents_whether_an_id_derives_from_it_or_not(creates):
    told = replace(CREATING, name="told", handler=lambda _, call: call.by_agent, creates=creates)
    ledger = MemoryLedger.bilateral(k.Contract(name="test", messages=(told,)))
    sender = ledger.sender("acme", "finance")
    assert k.run_message("told", COMMAND, ledger.call(sender, cause=CAUSE)) is True
    assert k.run_message("told", COMMAND, ledger.call(sender)) is False


def test_ids_differ_by_transaction_message_number_and_kind():
    ledger = MemoryLedger.bilateral(CONTRACT)
    sender = ledger.sender("acme", "finance")
    call = ledger.call(sender)
    other_kind = replace(MEMBER, prefix="oth")
    ids = [
        call.new_id(MEMBER),
        call.new_id(MEMBER, 1),
        call.new_id(other_kind),
        ledger.call(sender, message_index=1).new_id(MEMBER),
        replace(call, transaction_id=b"\x01" * 32).new_id(MEMBER),
        replace(call, ledger_id="sg_" + "b" * 32).new_id(MEMBER),
        replace(call, cause=CAUSE).new_id(MEMBER),
    ]
    assert len(set(ids)) == len(ids)


def test_a_cause_gives_one_id_in_whatever_transaction_but_another_for_each_organization_and_purpose():
    call = replace(call_of(), cause=CAUSE)
    again = replace(call, transaction_id=b"\x07" * 32, message_index=5)
    assert call.new_id(MEMBER) == again.new_id(MEMBER)
    others = [
        replace(call, cause=replace(CAUSE, purpose="other")).new_id(MEMBER),
        replace(call, cause=replace(CAUSE, event_id="7/2")).new_id(MEMBER),
        replace(call, cause=replace(CAUSE, ledger_id="sg_third")).new_id(MEMBER),
        replace(call, sender=replace(call.sender, organization="org_other")).new_id(MEMBER),
    ]
    assert len({call.new_id(MEMBER), *others}) == 5


class Status(StrEnum):
    OPEN = "open"
    CLOSED = "closed"


TABLE = MappingProxyType({(Status.OPEN, "close"): Status.CLOSED, (Status.OPEN, "look"): Status.OPEN})


def test_a_lifecycle_allows_what_its_table_says_and_nothing_else():
    assert k.step(TABLE, Status.OPEN, "close") == Status.CLOSED
    for status, event in ((Status.CLOSED, "close"), (Status.OPEN, "open"), (Status.CLOSED, "look")):
        with pytest.raises(k.WrongStatus) as caught:
            k.step(TABLE, status, event)
        assert status.value in caught.value.sentence


def test_names_of_refusals_are_words_in_capitals():
    assert k.MessageNotOffered.refusal_name() == "MESSAGE_NOT_OFFERED"
    assert k.AlreadyDone.refusal_name() == "ALREADY_DONE"


def test_a_refusal_is_short_however_much_it_would_quote():
    """A quote without items had the ids of all that was asked for in every replica's receipt: 128 KiB for 300 bytes."""
    most = k.SENTENCE_CHARACTERS_MAX
    whole, long = "x" * most, "y" * (most + 1)
    for text, kept in ((whole, whole), (long, "y" * (most - 3) + "...")):
        refusal = k.WrongStatus(text, text)
        assert (refusal.sentence, refusal.field) == (kept, kept)


def test_outcomes_join_in_order():
    a, b = member_record("acme", "sof"), member_record("acme", "sco")
    first = k.Outcome(writes=(a,), events=(k.Event("member.added", a),))
    second = k.Outcome(writes=(b,))
    assert first.then(second).writes == (a, b)
    assert first.then(second).events == first.events
    assert first.then(k.Outcome()) == first


def test_the_kind_of_a_record_is_found_by_its_type():
    ledger = MemoryLedger.bilateral()
    assert ledger.table.kind_of(member_record("acme", "sof")) is MEMBER
    assert public_key("acme", "sof") != public_key("acme", "sco")
