"""The bench's load: the configuration is of its size, every act is accepted by the contracts, and the yardstick gets equal sizes."""

from __future__ import annotations

from itertools import islice

import pytest

from scripts.load import trade
from scripts.load.arguments import CLIENTS_MAX, SECONDS_QUICK, arguments
from scripts.load.kvstore import KvstoreFailed, kvstore_genesis, transactions, with_kvstore
from scripts.load.network import LEDGER, topology
from smartcontracts.canonical_json import canonical
from tests.smartcontracts.support import START_MS, MemoryLedger, org
from tests.smartcontracts.trading import BUYER, CONTRACTS, SELLER, agreement_record


def test_the_configuration_has_about_seven_kilobytes_and_is_canonical():
    product = trade.product()
    assert trade.CONFIGURATION_BYTES <= len(product) < trade.CONFIGURATION_BYTES + 600
    assert canonical(product, "product") == product


def test_the_contracts_accept_every_act_of_a_flow():
    ledger = MemoryLedger.bilateral(*CONTRACTS)
    ledger.write(agreement_record())
    buyer, seller = ledger.sender(BUYER, "b_bus"), ledger.sender(SELLER, "s_bus")
    inquiry = ledger.run(
        "submit_inquiry", trade.inquiry(org(BUYER), org(SELLER), "agr_pair", trade.product(), "r"), sender=buyer
    ).writes[0]
    quote = ledger.run("issue_quote", trade.quote(inquiry.id, START_MS), sender=seller).writes[0]
    order = ledger.run("place_order", trade.order(quote.id), sender=buyer).writes[0]
    ledger.run("accept_order", trade.acceptance(order.id), sender=seller)
    written = ledger.run("activate_order", trade.activation(order.id), sender=seller).writes
    assert any(type(record).__name__ == "Service" for record in written)


def test_four_organizations_validate_the_measured_ledger():
    assert len(topology().ledgers[LEDGER].voters) == 4


def test_the_yardsticks_transactions_are_of_the_given_sizes_all_different_and_the_same_every_time():
    sizes = (7_518, 436, 298)
    made = list(islice(transactions(sizes), 9))
    assert [len(one) for one in made] == [*sizes] * 3
    assert len(set(made)) == 9
    assert all(one.count(b"=") == 1 and one.count(b":") == 0 for one in made)
    assert list(islice(transactions(sizes), 9)) == made


def test_only_the_application_is_changed_in_the_yardsticks_configuration():
    before = 'proxy_app = "unix:///a"\nabci = "socket"\n[mempool]\nsize = 2000\n'
    assert with_kvstore(before) == before.replace('"unix:///a"', '"kvstore"')
    with pytest.raises(KvstoreFailed):
        with_kvstore("[mempool]\n")


def test_the_yardstick_keeps_the_ledgers_consensus_parameters():
    genesis = {"chain_id": "sg_x", "consensus_params": {"block": {}}, "validators": [{"power": "7"}], "app_state": {"genesis": ""}}
    made = kvstore_genesis(genesis, [b"\x01" * 32, b"\x02" * 32])
    assert made["consensus_params"] is genesis["consensus_params"]
    assert [validator["power"] for validator in made["validators"]] == ["7", "7"]
    assert made["app_state"] == {}


def test_quick_is_shorter_unless_the_length_is_given():
    assert arguments(["--quick"]).seconds == SECONDS_QUICK
    assert arguments(["--quick", "--seconds", "3"]).seconds == 3


@pytest.mark.parametrize("words", [["--clients", "0"], ["--clients", str(CLIENTS_MAX + 1)], ["--seconds", "0"], ["--seconds", "nan"]])
def test_invalid_numbers_are_refused_before_anything_starts(words, capsys):
    with pytest.raises(SystemExit):
        arguments(words)
    assert "between" in capsys.readouterr().err
