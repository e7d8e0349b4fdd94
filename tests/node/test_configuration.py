"""Configuration: precedence, strictness, origins, and secrets that nobody else may read."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from ledgers.client.identity import issue_node_certificate, new_authority, write_secret
from node.configuration import (
    CONFIG_BYTES_MAX,
    ConfigurationWrong,
    check_files,
    load_client,
    load_node,
    read_secret,
    read_sources,
    shown,
)

ORGANIZATION = "org_" + "a" * 32
LEDGER = "sg_" + "b" * 32
GOOD = f"""
[node]
organization = "{ORGANIZATION}"
name = "alpha"
data_dir = "data"
[tls]
ca_certificate = "ca.pem"
certificate = "node.pem"
key = "node.key"
[log]
level = "warning"
[ledgers.acme-alpha]
ledger_id = "{LEDGER}"
genesis = "g.json"
p2p_address = "127.0.0.1:26656"
"""


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "syngraph.toml"
    path.write_text(GOOD)
    return path


def level(file, environment=(), flags=()):
    return load_node(read_sources(file, dict(environment), flags)).log.level


def test_a_flag_goes_before_the_environment_before_the_file_before_the_default(file, tmp_path):
    environment, flag = {"SYNGRAPH_LOG_LEVEL": "error"}, ["log.level=debug"]
    assert level(file, environment, flag) == "debug"
    assert level(file, environment) == "error"
    assert level(file) == "warning"
    file.write_text(GOOD.replace('level = "warning"', ""))
    assert level(file) == "info"


def test_show_names_the_origin_of_every_value(file):
    sources = read_sources(file, {"SYNGRAPH_NODE_NAME": "beta"}, ["log.level=debug"])
    origins = {key: (value, origin) for key, value, origin in shown(load_node(sources), sources.origins)}
    assert origins["log.level"] == ("debug", "flag --set")
    assert origins["node.name"] == ("beta", "environment SYNGRAPH_NODE_NAME")
    assert origins["ledgers.acme-alpha.ledger_id"] == (LEDGER, f"file {file}")
    assert origins["node.grpc_address"] == ("127.0.0.1:7400", "default")


def test_environment_and_flags_reach_ledgers_numbers_truth_values_and_lists(file):
    peer = "c" * 40 + "@10.0.0.1:26656"
    environment = {
        "SYNGRAPH_LEDGERS_ACME_ALPHA_VALIDATOR": "true",
        "SYNGRAPH_LEDGERS_ACME_ALPHA_PEERS": f'["{peer}"]',
        "SYNGRAPH_ENGINE_CACHE": "/not/ours",
    }
    configuration = load_node(read_sources(file, environment, ["node.streams_max=7"]))
    assert configuration.ledgers["acme-alpha"].validator is True
    assert configuration.ledgers["acme-alpha"].peers == (peer,)
    assert configuration.node.streams_max == 7


def test_paths_are_relative_to_the_file(file, tmp_path):
    configuration = load_node(read_sources(file, {}))
    assert configuration.node.data_dir == tmp_path / "data"
    assert configuration.ledgers["acme-alpha"].genesis == tmp_path / "g.json"


@pytest.mark.parametrize(
    ("text", "environment", "flags", "expected"),
    [
        (GOOD + "\n[nodes]\nname = 'x'\n", {}, [], "nodes"),
        (GOOD.replace("[log]", "[log]\ncolour = 1"), {}, [], "log.colour"),
        (GOOD.replace("p2p_address", "p2p_adress"), {}, [], "p2p_adress"),
        (GOOD, {"SYNGRAPH_LOG_LEVLE": "debug"}, [], "SYNGRAPH_LOG_LEVLE"),
        (GOOD, {"SYNGRAPH_LEDGERS_OTHER_PACE": "hot"}, [], "SYNGRAPH_LEDGERS_OTHER_PACE"),
        (GOOD, {}, ["log.levle=debug"], "log.levle"),
        (GOOD, {}, ["level"], "level"),
        (GOOD.replace('"warning"', '"loud"'), {}, [], "log.level"),
        (GOOD.replace('name = "alpha"', "name = 1"), {}, [], "node.name"),
        (GOOD.replace(ORGANIZATION, "alpha"), {}, [], "node.organization"),
        (GOOD.replace('"127.0.0.1:26656"', '"here"'), {}, [], "p2p_address"),
        (GOOD, {}, ["node.streams_max=many"], "node.streams_max"),
        (GOOD, {}, ["node.streams_max=0"], "node.streams_max"),
        (GOOD.replace("26656", "7400"), {}, [], "7400"),
        (GOOD.replace("ledgers.acme-alpha", 'ledgers."Acme Alpha"'), {}, [], "Acme Alpha"),
        ("[node", {}, [], "not TOML"),
        ("x" * (CONFIG_BYTES_MAX + 1), {}, [], "at most"),
    ],
)
def test_invalid_configuration_is_refused_and_the_key_is_named(file, text, environment, flags, expected):
    file.write_text(text)
    with pytest.raises(ConfigurationWrong) as caught:
        load_node(read_sources(file, environment, flags))
    assert expected in str(caught.value)


def test_commands_need_no_node_section(file):
    file.write_text('[client]\nnode = "10.0.0.1:7400"\n')
    assert load_client(read_sources(file, {})).client.node == "10.0.0.1:7400"
    file.write_text("[clients]\n")
    with pytest.raises(ConfigurationWrong, match="clients"):
        load_client(read_sources(file, {}))


def test_the_file_may_be_named_by_the_environment(file, monkeypatch, tmp_path):
    assert load_node(read_sources(None, {"SYNGRAPH_CONFIG": str(file)})).node.name == "alpha"


@pytest.mark.parametrize(
    ("mode", "accepted"), [(0o600, True), (0o400, True), (0o640, False), (0o604, False), (0o700, False)]
)
def test_a_secret_is_read_only_where_nobody_else_may_read_it(tmp_path, mode, accepted):
    secret = tmp_path / "node.key"
    secret.write_bytes(b"secret")
    secret.chmod(mode)
    if accepted:
        assert read_secret(secret, "tls.key") == b"secret"
        return
    with pytest.raises(ConfigurationWrong, match=r"tls\.key.*chmod 600"):
        read_secret(secret, "tls.key")


def test_check_names_every_missing_or_open_file(file, tmp_path):
    (tmp_path / "node.key").write_bytes(b"secret")
    (tmp_path / "node.key").chmod(0o644)
    problems = check_files(load_node(read_sources(file, {})))
    assert [p.partition(":")[0] for p in problems] == [
        "tls.ca_certificate",
        "tls.certificate",
        "tls.key",
        "ledgers.acme-alpha.genesis",
    ]


@pytest.fixture
def tls_files(file, tmp_path):
    authority = new_authority()
    pair, other = (issue_node_certificate(authority, ["127.0.0.1"]) for _ in range(2))
    (tmp_path / "ca.pem").write_bytes(authority.pair.certificate)
    (tmp_path / "node.pem").write_bytes(pair.certificate)
    (tmp_path / "g.json").write_text("{}")
    write_secret(tmp_path / "node.key", pair.key)
    return other


def test_check_names_certificates_that_tls_would_not_take(file, tmp_path, tls_files):
    def problems():
        return check_files(load_node(read_sources(file, {})))

    assert problems() == []
    (tmp_path / "node.key").write_bytes(tls_files.key)
    assert problems() == [f"tls: {tmp_path}/node.key: this is not the key of the certificate {tmp_path}/node.pem."]
    (tmp_path / "node.key").write_bytes(b"junk")
    assert problems() == [f"tls: {tmp_path}/node.key: there is no unencrypted key in PEM in it."]
    for name in ("ca.pem", "node.pem"):
        (tmp_path / name).write_bytes(b"junk")
    assert problems() == [
        f"tls.ca_certificate: there is no certificate in PEM in {tmp_path}/ca.pem.",
        f"tls: {tmp_path}/node.pem: there is no certificate in PEM in it.",
    ]


def test_the_home_of_somebody_unknown_is_a_name_like_any_other(file, tmp_path):
    file.write_text(GOOD.replace('data_dir = "data"', 'data_dir = "~nobody-of-this-name/data"'))
    assert load_node(read_sources(file, {})).node.data_dir == tmp_path / "~nobody-of-this-name" / "data"


def syngraph(*arguments, cwd):
    command = [sys.executable, "-c", "from node.cli import main; main()", *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False, timeout=120)


def test_config_commands_answer_with_stable_exit_codes(file, tmp_path, monkeypatch):
    from tests.node.network import ROOT

    monkeypatch.setenv("PYTHONPATH", f"{ROOT}:{ROOT / 'proto' / 'gen'}")
    answer = syngraph("config", "check", cwd=tmp_path)
    assert answer.returncode == 3
    assert "tls.key" in answer.stderr
    answer = syngraph("config", "show", "--json", "--set", "log.level=debug", cwd=tmp_path)
    assert answer.returncode == 0
    assert '"flag --set"' in answer.stdout
    assert syngraph("config", "show", "--nonsense", cwd=tmp_path).returncode == 2


@pytest.mark.usefixtures("tls_files")
def test_a_check_loads_what_the_agents_are_told(file, tmp_path, monkeypatch):
    """Else a mistake in a plug-in or an inventory is seen in the log only, once the node runs."""
    from tests.node.network import ROOT

    monkeypatch.setenv("PYTHONPATH", f"{ROOT}:{ROOT / 'proto' / 'gen'}:{tmp_path}")
    told = '[agents]\npolicies = "our_policies:Cautious"\nprovisioning = "reference"\nprovisioning_file = "inventory.toml"\n'
    file.write_text(GOOD + told)
    (tmp_path / "inventory.toml").write_text("currency = 5\n")
    answer = syngraph("config", "check", "--json", cwd=tmp_path)
    assert answer.returncode == 3
    told = json.loads(answer.stderr)["error"]["sentence"].splitlines()
    assert list(dict.fromkeys(line.partition(":")[0] for line in told)) == [
        "agents.policies",
        "agents.provisioning_file",
    ]
    assert "our_policies can't be imported" in told[0]
    (tmp_path / "our_policies.py").write_text(
        "from node.agents.policies import Policies\n\n\nclass Cautious(Policies):\n    pass\n"
    )
    (tmp_path / "inventory.toml").write_text('currency = "EUR"\npool = []\n')
    answer = syngraph("config", "check", cwd=tmp_path)
    assert (answer.returncode, answer.stderr) == (0, "")
