"""The engine's home: keys in CometBFT's own formats, settings that CometBFT knows, and no second signature by accident."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import tomllib

import pytest

from node.engine import EngineMissing, binary
from node.engine_home import EngineSettings, engine_configuration, write_engine_home
from node.engine_keys import (
    EngineKeysWrong,
    ensure_engine_keys,
    node_key_file,
    read_engine_keys,
    validator_key_file,
    validator_state_file,
)

PEER = "c" * 40 + "@10.0.0.1:26656"


def settings(tmp_path, **changes):
    given = {
        "home": tmp_path / "home",
        "genesis": b"{}",
        "p2p_address": "127.0.0.1:26656",
        "peers": [PEER],
        "pace": "hot",
        "application_socket": tmp_path / "abci.sock",
        "rpc_socket": tmp_path / "rpc.sock",
    }
    return EngineSettings(**{**given, **changes})


def engine(*arguments):
    try:
        path = binary()
    except EngineMissing as missing:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(str(missing))
    return subprocess.run([path, *arguments], capture_output=True, text=True, check=True, timeout=60).stdout.strip()


def flat(table, prefix=""):
    for name, value in table.items():
        if isinstance(value, dict):
            yield from flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def test_every_setting_is_one_that_the_engine_knows(tmp_path):
    engine("init", "--home", str(tmp_path / "init"))
    known = dict(flat(tomllib.loads((tmp_path / "init" / "config" / "config.toml").read_text())))
    ours = dict(flat(tomllib.loads(engine_configuration(settings(tmp_path)))))
    assert ours.keys() <= known.keys()
    assert all(type(value) is type(known[name]) for name, value in ours.items())


def test_the_settings_that_were_found_by_experiment(tmp_path):
    ours = dict(flat(tomllib.loads(engine_configuration(settings(tmp_path)))))
    assert ours["consensus.create_empty_blocks"] is False
    assert ours["consensus.create_empty_blocks_interval"] == "10m"
    assert ours["consensus.block_time_tolerance"] == "8760h"
    assert (ours["consensus.timeout_commit"], ours["consensus.skip_timeout_commit"]) == ("0s", True)
    assert ours["consensus.timeout_propose"] == "1s"
    assert ours["consensus.timeout_prevote"] == ours["consensus.timeout_precommit"] == "300ms"
    assert ours["mempool.size"] == 2_000
    assert ours["filter_peers"] is True
    assert ours["p2p.pex"] is False
    assert ours["rpc.laddr"].startswith("unix://")
    assert ours["p2p.persistent_peers"] == PEER
    assert ours["consensus.peer_gossip_sleep_duration"] == "10ms"
    cold = dict(flat(tomllib.loads(engine_configuration(settings(tmp_path, pace="cold")))))
    assert cold["consensus.peer_gossip_sleep_duration"] == "500ms"


def test_the_engine_reads_our_keys_as_we_do(tmp_path):
    keys = write_engine_home(settings(tmp_path))
    home = str(tmp_path / "home")
    assert engine("show-node-id", "--home", home) == keys.node_id
    shown = json.loads(engine("show-validator", "--home", home))
    assert shown["value"] == json.loads(validator_key_file(tmp_path / "home").read_bytes())["pub_key"]["value"]


def test_keys_are_secret_and_kept(tmp_path):
    first = ensure_engine_keys(tmp_path)
    for file in (validator_key_file(tmp_path), node_key_file(tmp_path), validator_state_file(tmp_path)):
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert ensure_engine_keys(tmp_path) == first == read_engine_keys(tmp_path)


def test_a_validator_that_lost_what_it_signed_is_not_started(tmp_path):
    ensure_engine_keys(tmp_path)
    validator_state_file(tmp_path).unlink()
    with pytest.raises(EngineKeysWrong, match="sign twice"):
        ensure_engine_keys(tmp_path)


def test_a_new_validator_key_is_not_made_beside_old_blocks(tmp_path):
    ensure_engine_keys(tmp_path)
    (tmp_path / "data" / "blockstore.db").mkdir()
    validator_key_file(tmp_path).unlink()
    with pytest.raises(EngineKeysWrong, match="put the key back"):
        ensure_engine_keys(tmp_path)
