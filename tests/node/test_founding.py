"""From nothing to a running ledger with the command line alone, as an operator would."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys

import pytest

from tests.node.network import ROOT, RunningNode, free_port

pytestmark = [pytest.mark.network, pytest.mark.timeout(240)]


def syngraph(cwd, *arguments):
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'proto' / 'gen'}"}
    command = [sys.executable, "-c", "from node.cli import main; main()", *arguments, "--json"]
    answer = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False, timeout=60)
    assert answer.returncode == 0, answer.stderr
    return json.loads(answer.stdout)


class Founder:
    """What `RunningNode` needs of an organization."""

    def __init__(self, folder, port):
        self.folder = folder
        self.grpc_port = port


def test_an_operator_founds_a_ledger_and_runs_it(tmp_path):
    organization = syngraph(tmp_path, "keys", "authority", "--out", "ca")["organization"]
    signing = syngraph(tmp_path, "keys", "signing", "--organization", organization, "--out", "admin.signing.key")
    syngraph(tmp_path, "keys", "member", "--authority", "ca", "--member", signing["member"], "--out", "admin")
    syngraph(tmp_path, "keys", "node", "--authority", "ca", "--host", "127.0.0.1", "--out", "tls")
    engine = syngraph(tmp_path, "node", "engine-keys", "engines/int")
    for secret in ("ca/ca.key", "admin.signing.key", "admin.key", "tls/node.key"):
        assert stat.S_IMODE((tmp_path / secret).stat().st_mode) == 0o600
    (tmp_path / "int.toml").write_text(
        f"""
        kind = "internal"
        [[organizations]]
        name = "alpha"
        position = "party"
        ca_certificate = "ca/ca.pem"
        node_ids = ["{engine["node_id"]}"]
        validator_key = "{engine["validator_key"]}"
        [[organizations.members]]
        public_key = "{signing["public_key"]}"
        roles = ["administrator", "s_bus"]
        """
    )
    ledger = syngraph(tmp_path, "ledger", "create", "int.toml", "--out", "int.genesis.json")["ledger_id"]
    assert stat.S_IMODE((tmp_path / "int.genesis.json").stat().st_mode) == 0o600
    assert syngraph(tmp_path, "ledger", "show", "int.genesis.json")["ledger_id"] == ledger
    port = free_port()
    (tmp_path / "syngraph.toml").write_text(
        f"""
        [node]
        organization = "{organization}"
        name = "alpha"
        data_dir = "data"
        grpc_address = "127.0.0.1:{port}"
        [tls]
        ca_certificate = "ca/ca.pem"
        certificate = "tls/node.pem"
        key = "tls/node.key"
        [client]
        node = "127.0.0.1:{port}"
        ca_certificate = "ca/ca.pem"
        certificate = "admin.pem"
        key = "admin.key"
        signer = "{signing["signer"]}"
        signing_key = "admin.signing.key"
        [ledgers.int]
        ledger_id = "{ledger}"
        genesis = "int.genesis.json"
        engine_home = "engines/int"
        p2p_address = "127.0.0.1:{free_port()}"
        pace = "hot"
        validator = true
        """
    )
    assert syngraph(tmp_path, "config", "check")["ok"] is True
    node = RunningNode(Founder(tmp_path, port), tmp_path / "syngraph.toml").start()
    try:
        for _ in range(200):
            if any(e.get("event") == "node_ready" for e in node.events()):
                break
            node.process.poll()
            import time

            time.sleep(0.1)
        node_id = "d" * 40
        (tmp_path / "acts.json").write_text(
            json.dumps([{"set_node_ids": {"node_ids": sorted([engine["node_id"], node_id])}}])
        )
        simulated = syngraph(tmp_path, "tx", "simulate", "int", "acts.json")
        assert simulated["name"] == "OK"
        assert syngraph(tmp_path, "tx", "submit", "int", "acts.json")["code"] == 0
        shown = syngraph(tmp_path, "query", "get", "int", "organization", organization)
        assert node_id in shown["body"]["node_ids"]
    finally:
        assert node.stop() == 0, node.log.read_text()[-3_000:]
