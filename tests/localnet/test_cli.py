"""`syngraph localnet`: what people and scripts see of it, and that nothing outlives its keeper."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import pytest
from click.testing import CliRunner

from localnet.attached import attach, read_state
from localnet.cli import command
from localnet.network import runtime_folder, search_path
from node.process import start_time

PROGRAM = (sys.executable, "-c", "from localnet.cli import command; command()")


def run(*arguments):
    return CliRunner().invoke(command, list(map(str, arguments)), catch_exceptions=False)


def environment():
    return {**os.environ, "PYTHONPATH": search_path()}


@pytest.mark.parametrize("name", ["up", "status", "down", "logs"])
def test_every_command_has_help_with_examples(name):
    answer = run(name, "--help")
    assert answer.exit_code == 0
    assert f"syngraph localnet {name}" in answer.output


@pytest.mark.parametrize("name", ["status", "down", "logs"])
def test_without_a_network_the_answer_says_how_to_make_one(tmp_path, name):
    answer = run(name, "--dir", tmp_path / "none")
    assert answer.exit_code == 3
    assert "`syngraph localnet up` makes one" in answer.stderr


def test_a_wrong_topology_is_refused_by_field_and_leaves_nothing(tmp_path):
    file = tmp_path / "mine.toml"
    file.write_text('[organizations.acme]\nname = "Acme"\ncolour = "red"\n[ledgers.x]\nkind = "internal"\n')
    answer = run("up", file, "--dir", tmp_path / "net", "--json")
    assert answer.exit_code == 3
    assert json.loads(answer.stderr)["error"]["problems"] == ["organizations.acme.colour: there is no such key."]
    assert not (tmp_path / "net").exists()


def test_a_directory_of_somebody_elses_is_not_purged(tmp_path):
    (tmp_path / "precious").write_text("mine")
    assert run("down", "--purge", "--dir", tmp_path).exit_code == 3
    assert (tmp_path / "precious").read_text() == "mine"


def pids_of(directory):
    network = attach(directory)
    return [network.state.pid, *(pid for name in network.organizations for pid in network.processes(name).all())]


def wait_ready(directory, keeper, seconds=120):
    """The pids of the network that `keeper` keeps, once it is ready."""
    give_up = time.monotonic() + seconds
    while time.monotonic() < give_up:
        assert keeper.poll() is None
        state = read_state(directory)
        if state is not None and state.ready_s is not None:
            return pids_of(directory)
        time.sleep(0.2)
    raise AssertionError(f"not ready within {seconds} s")


def all_gone(pids, seconds=20):
    give_up = time.monotonic() + seconds
    while time.monotonic() < give_up:
        if not any(map(start_time, pids)):
            return True
        time.sleep(0.1)
    return False


@pytest.mark.network
@pytest.mark.timeout(240)
def test_a_network_is_started_shown_left_by_its_keeper_continued_and_ended(tmp_path):
    directory = tmp_path / "net"
    made = subprocess.run(
        [*PROGRAM, "up", "pair", "--json", "--dir", directory],
        env=environment(),
        capture_output=True,
        timeout=180,
        check=False,
    )
    assert made.returncode == 0, made.stderr
    assert set(json.loads(made.stdout)["nodes"]) == {"acme", "alpha", "north", "south"}
    shown = json.loads(run("status", "--json", "--dir", directory).output)
    assert [node["ready"] for node in shown] == [True] * 4
    assert len({node["ledgers"][0]["app_hash"] for node in shown}) == 1
    assert "acme-alpha" in run("status", "--dir", directory).output
    assert "network_ready" in run("logs", "--dir", directory).output
    assert "process_started" in run("logs", "alpha", "--dir", directory).output
    again = run("up", "--dir", directory)
    assert again.exit_code == 3
    assert "runs already" in again.stderr

    pids = pids_of(directory)
    assert len(pids) == 15
    os.kill(pids[0], signal.SIGKILL)
    assert all_gone(pids)

    with subprocess.Popen([*PROGRAM, "up", "--foreground", "--dir", directory], env=environment()) as foreground:
        try:
            pids = wait_ready(directory, foreground)
            foreground.send_signal(signal.SIGINT)
            assert foreground.wait(60) == 0
        finally:
            foreground.kill()
    assert len(pids) == 15
    assert all_gone(pids, 0.1)

    folders = [runtime_folder(directory / name / "data") for name in ("acme", "alpha", "north", "south")]
    assert run("down", "--purge", "--dir", directory).exit_code == 0
    assert not directory.exists()
    assert not [folder for folder in folders if folder.exists()]
