"""From nothing to a running ledger with the command line alone, as an operator would."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import time

import pytest
from click.testing import CliRunner

from node.cli import main
from tests.node.network import ROOT, RunningNode, free_port

pytestmark = [pytest.mark.network, pytest.mark.timeout(600)]


def syngraph(*arguments):
    result = CliRunner().invoke(main, [*arguments, "--json"])
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


def engine_keys(home):
    """This command becomes another program, so it gets a process of its own."""
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'proto' / 'gen'}"}
    command = [sys.executable, "-c", "from node.cli import main; main()", "node", "engine-keys", home, "--json"]
    answer = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=120)
    return json.loads(answer.stdout)


class Founder:
    """What `RunningNode` needs of an organization."""

    def __init__(self, folder, port):
        self.folder = folder
        self.grpc_port = port


AGENTS = ("s_bus", "b_bus", "sco", "sof")


def agent_keys(organization, role):
    """A member for this agent, as docs/operations.md has it."""
    signing = syngraph("keys", "signing", "--organization", organization, "--out", f"agents/{role}.signing.key")
    syngraph("keys", "member", "--authority", "ca", "--member", signing["member"], "--out", f"agents/{role}")
    return signing


def agent_alone(folder):
    """An agent as a process of its own, on a folder of its own, until Ctrl-C: it says what it did and nothing is left."""
    words = ["agent", "sof", "--set", "agents.folder=apart", "--set", "log.format=json"]
    command = [sys.executable, "-c", "from node.cli import main; main()", *words]
    with subprocess.Popen(command, cwd=folder, stderr=subprocess.PIPE, text=True) as running:
        try:
            events = iter(lambda: json.loads(running.stderr.readline())["event"], "agent_started")
            assert "agent_not_started" not in list(events)
            running.send_signal(signal.SIGINT)
            _, told = running.communicate(timeout=120)
        finally:
            running.kill()
    assert running.returncode == 0, told
    assert [json.loads(line)["event"] for line in told.splitlines()][-1] == "agent_stopped"


def agents_section(signers):
    sections = [
        f"""
        [agents.{role}]
        signer = "{signer}"
        signing_key = "agents/{role}.signing.key"
        certificate = "agents/{role}.pem"
        key = "agents/{role}.key"
        """
        for role, signer in signers.items()
    ]
    inventory = 'provisioning = "reference"\nprovisioning_file = "inventory.toml"\n'
    return f"[agents]\n{inventory}" + "".join(sections)


def test_an_operator_founds_an_internal_ledger_and_runs_it_with_its_agents(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", f"{ROOT}:{ROOT / 'proto' / 'gen'}")
    organization = syngraph("keys", "authority", "--out", "ca")["organization"]
    signing = syngraph("keys", "signing", "--organization", organization, "--out", "admin.signing.key")
    syngraph("keys", "member", "--authority", "ca", "--member", signing["member"], "--out", "admin")
    syngraph("keys", "node", "--authority", "ca", "--host", "127.0.0.1", "--out", "tls")
    engine = engine_keys("engines/int")
    (tmp_path / "agents").mkdir()
    (tmp_path / "inventory.toml").write_text('currency = "EUR"\npool = []\n')
    agents = {role: agent_keys(organization, role) for role in AGENTS}
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
        + "".join(
            f"""
            [[organizations.members]]
            public_key = "{made["public_key"]}"
            roles = ["{role}"]
            """
            for role, made in agents.items()
        )
    )
    ledger = syngraph("ledger", "create", "int.toml", "--out", "int.genesis.json")["ledger_id"]
    assert stat.S_IMODE((tmp_path / "int.genesis.json").stat().st_mode) == 0o600
    assert syngraph("ledger", "show", "int.genesis.json")["ledger_id"] == ledger
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
        + agents_section({role: made["signer"] for role, made in agents.items()})
    )
    assert syngraph("config", "check")["ok"] is True
    node = RunningNode(Founder(tmp_path, port), tmp_path / "syngraph.toml").start()
    try:
        give_up = time.monotonic() + 180
        while "node_ready" not in (log := node.log.read_text()) or log.count("agent_started") < len(AGENTS):
            assert node.process.poll() is None, log
            assert time.monotonic() < give_up, log
            time.sleep(0.1)
        node_id = "d" * 40
        (tmp_path / "acts.json").write_text(
            json.dumps([{"set_node_ids": {"node_ids": sorted([engine["node_id"], node_id])}}])
        )
        simulated = syngraph("tx", "simulate", "int", "acts.json")
        assert simulated["name"] == "OK"
        assert syngraph("tx", "submit", "int", "acts.json")["code"] == 0
        shown = syngraph("query", "get", "int", "organization", organization)
        assert node_id in shown["body"]["node_ids"]
        assert syngraph("trade", "rules", "int")["tries_max"] == 3
        (tmp_path / "rules.json").write_text('{"markup_basis_points": 1200}')
        assert syngraph("trade", "rules", "int", "rules.json")["markup_basis_points"] == 1200
        agent_alone(tmp_path)
        log = node.log.read_text()
        assert (log.count("agent_started"), log.count("agent_not_started")) == (len(AGENTS), 0), log
    finally:
        assert node.stop() == 0, node.log.read_text()[-3_000:]
