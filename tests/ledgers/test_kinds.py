"""Kinds of ledgers: every table is complete and free of clashes, and functions of one provider keep to their own messages."""

import pytest

from ledgers.kinds import (
    BILATERAL,
    INTERNAL,
    LEDGER_KINDS,
    OMNI,
    POSITIONS,
    VERSIONS,
    ContractsVersionUnknown,
    LedgerKindUnknown,
    contract_table,
)
from smartcontracts import codec
from smartcontracts.kernel import Position, Rejected, Role, RoleMissing, Sender, Terms, run_message
from syngraph.v1 import transaction_pb2
from tests.smartcontracts.support import MemoryLedger, member, org

TABLES = [contract_table(kind, version) for kind in LEDGER_KINDS for version in VERSIONS]
BILATERAL_TABLE = contract_table(BILATERAL, 1)
COMMANDS = {f.name: f for f in transaction_pb2.Message.DESCRIPTOR.oneofs_by_name["command"].fields}
ACTS = {f.name: f for f in transaction_pb2.Act.DESCRIPTOR.oneofs_by_name["act"].fields}


@pytest.mark.parametrize("kind", ["", "Bilateral", "downstream"])
def test_another_kind_of_ledger_is_refused(kind):
    with pytest.raises(LedgerKindUnknown):
        contract_table(kind, 1)


@pytest.mark.parametrize("version", [0, 2, -1, 10**9])
def test_a_version_that_this_software_lacks_is_refused(version):
    with pytest.raises(ContractsVersionUnknown):
        contract_table(BILATERAL, version)


@pytest.mark.parametrize("table", TABLES)
def test_no_two_contracts_share_a_name_or_a_prefix(table):
    for things, found in (("kinds", table.kinds), ("messages", table.messages), ("acts", table.acts)):
        assert sum(len(getattr(contract, things)) for contract in table.contracts) == len(found)
    prefixes = [kind.prefix for kind in table.kinds.values()]
    assert len(set(prefixes)) == len(prefixes)
    records = [kind.record for kind in table.kinds.values()]
    assert len(set(records)) == len(records)


@pytest.mark.parametrize("table", TABLES)
def test_names_are_the_fields_of_the_protos_and_commands_their_messages(table):
    for found, fields in ((table.messages, COMMANDS), (table.acts, ACTS)):
        for name, offered in found.items():
            assert codec._plan(offered.command).message.DESCRIPTOR is fields[name].message_type


def test_every_command_and_act_of_the_protos_is_offered_somewhere():
    assert {name for table in TABLES for name in table.messages} == set(COMMANDS)
    assert {name for table in TABLES for name in table.acts} == set(ACTS)


@pytest.mark.parametrize("table", TABLES)
def test_kinds_have_keys_and_filters_that_the_application_can_use(table):
    words = set(Terms.__dataclass_fields__) - {"keys"}
    for kind in table.kinds.values():
        assert kind.name.isascii()
        assert "/" not in kind.name
        assert set(kind.filters) <= words
        assert codec._plan(kind.record).message is not None


@pytest.mark.parametrize("table", TABLES)
def test_every_status_of_a_lifecycle_is_one_of_its_type(table):
    for kind in table.kinds.values():
        statuses = {type(status) for status, _ in kind.lifecycle} | {type(s) for s in kind.lifecycle.values()}
        assert len(statuses) <= 1, kind.name


def test_each_kind_of_ledger_has_positions_that_its_messages_are_for():
    for ledger_kind in LEDGER_KINDS:
        table = contract_table(ledger_kind, 1)
        for offered in (*table.messages.values(), *table.acts.values()):
            assert set(offered.positions) & set(POSITIONS[ledger_kind]), (ledger_kind, offered.name)


def test_trade_is_offered_between_parties_only():
    assert "submit_inquiry" in BILATERAL_TABLE.messages
    for ledger_kind in (INTERNAL, OMNI):
        assert "submit_inquiry" not in contract_table(ledger_kind, 1).messages
    assert "publish_score" not in BILATERAL_TABLE.acts
    assert "agreement_terms" not in contract_table(OMNI, 1).acts


def exclusive(role, other):
    return [
        pytest.param(message, other, id=f"{message.name} by {other}")
        for message in BILATERAL_TABLE.messages.values()
        if role in message.roles and other not in message.roles
    ]


@pytest.mark.req("L-05")
@pytest.mark.parametrize(
    ("message", "wrong_role"), exclusive(Role.S_BUS, Role.B_BUS) + exclusive(Role.B_BUS, Role.S_BUS)
)
def test_the_functions_of_one_provider_sign_with_keys_of_their_own(message, wrong_role):
    """One organization buys and sells; its S-BUS can't do what is B-BUS's, nor the other way round."""
    ledger = MemoryLedger.bilateral(*BILATERAL_TABLE.contracts)
    right_role = next(iter(message.roles))
    assert member("alpha", right_role) != member("alpha", wrong_role)
    with pytest.raises(RoleMissing):
        run_message(message.name, None, ledger.call(ledger.sender("alpha", wrong_role)))


@pytest.mark.req("L-05")
def test_buying_and_selling_are_different_functions():
    names = {p.values[0].name for p in exclusive(Role.S_BUS, Role.B_BUS)}
    assert {"issue_quote", "accept_order", "activate_order"} <= names
    names = {p.values[0].name for p in exclusive(Role.B_BUS, Role.S_BUS)}
    assert {"submit_inquiry", "place_order"} <= names


@pytest.mark.parametrize("table", TABLES)
def test_a_member_without_roles_may_send_nothing(table):
    for message in table.messages.values():
        sender = Sender(organization=org("acme"), member="mbr_x", roles=(), position=Position(message.positions[0]))
        call = MemoryLedger.bilateral(*table.contracts).call(sender)
        with pytest.raises(Rejected) as caught:
            run_message(message.name, None, call)
        assert caught.type is RoleMissing
