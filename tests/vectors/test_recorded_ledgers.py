"""Recorded ledgers: what was once committed, every later version of the software commits again, hash by hash."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import pytest
from tendermint.abci import types_pb2 as abci

from abci_app.application import LedgerApplication
from abci_app.store import MemoryStore
from ledgers.genesis import ledger_id, ledger_id_of, parse_genesis
from ledgers.kinds import LEDGER_KINDS, VERSIONS, contract_table
from tests.fake_consensus import init_chain_request
from tests.vectors.recording import RECORDERS
from tests.world import Clock, quiet_log

RECORDINGS = sorted(Path(__file__).parent.glob("*.json"))


def load(path):
    return json.loads(path.read_text())


@cache
def made_now(name):
    return RECORDERS[name]()


@pytest.mark.golden
@pytest.mark.parametrize("path", RECORDINGS, ids=lambda p: p.stem)
def test_a_recorded_ledger_replays_to_the_same_app_hashes(path):
    recording = load(path)
    encoded = bytes.fromhex(recording["genesis"])
    genesis = parse_genesis(encoded, ledger_id_of(encoded))
    application = LedgerApplication(
        ledger_id(genesis), MemoryStore(), None, clock=Clock(0), log=quiet_log(), table_for=contract_table
    )
    application.init_chain(init_chain_request(genesis))
    for block in recording["blocks"]:
        txs = [bytes.fromhex(raw) for raw in block["txs"]]
        answer = application.finalize_block(abci.RequestFinalizeBlock(height=block["height"], txs=txs))
        application.commit(abci.RequestCommit())
        assert [r.code for r in answer.tx_results] == block["codes"], f"height {block['height']}"
        assert answer.app_hash.hex() == block["app_hash"], (
            f"height {block['height']} differs: a change of results is a new contracts version (docs/versions.md)"
        )


def test_each_version_has_its_recordings():
    recorded = {load(path)["name"] for path in RECORDINGS}
    assert recorded >= {f"{kind}-{version}" for kind in LEDGER_KINDS for version in VERSIONS}


@pytest.mark.golden
@pytest.mark.parametrize("name", RECORDERS)
def test_the_scenario_of_today_is_the_recorded_one(name):
    # The recorder and the recordings don't drift apart: today's run gives the same blocks.
    assert made_now(name).recording(name) == load(Path(__file__).parent / f"{name}.json")


# What one party of an internal ledger proposes holds at once: nobody is left to answer.
ANSWERS = {"accept_proposal", "decline_proposal", "withdraw_proposal"}


@pytest.mark.parametrize(("name", "left_out"), [("bilateral-1", set()), ("internal-1", ANSWERS)])
def test_the_recording_takes_every_message_and_every_joint_act(name, left_out):
    recorder = made_now(name)
    assert recorder.uncovered() == left_out
    assert recorder.refused >= left_out


def test_the_recording_of_the_register_of_all_takes_its_joint_acts():
    assert {"register_ledger", "publish_score"} <= made_now("omni-1").taken
