"""A real CometBFT drives the server: blocks are made, and every kill is survived with legal calls."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import httpx
import pytest

from abci_app.server import START, violations
from node.engine import EngineMissing, binary

ROOT = Path(__file__).resolve().parents[3]
WAIT_SECONDS = 90
GRACE_SECONDS = 8

SETTINGS = {
    "proxy_app": '"unix://{home}/s/app.sock"',
    "abci": '"socket"',
    "timeout_commit": '"20ms"',
    "pex": "false",
}


def engine_path() -> Path:
    try:
        return binary()
    except EngineMissing as missing:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(str(missing))


class Pair:
    """One engine and one application, started and killed apart."""

    def __init__(self, home: Path, engine: Path) -> None:
        self.home = home
        self.engine_path = engine
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        subprocess.run([engine, "init", "--home", home], check=True, capture_output=True)
        self._configure()

    def _configure(self) -> None:
        path = self.home / "config" / "config.toml"
        text = path.read_text()
        for key, value in SETTINGS.items():
            line = f"{key} = {value.format(home=self.home)}"
            text, count = re.subn(rf"(?m)^{key} = .*$", line, text)
            assert count == 1, key
        # [rpc] comes before [p2p], and both have an laddr.
        for address in (f"unix://{self.home}/s/rpc.sock", "tcp://127.0.0.1:0"):
            text = re.sub(r'(?m)^laddr = "tcp://.*2665[67]"$', f'laddr = "{address}"', text, count=1)
        path.write_text(text)

    def start(self, name: str) -> None:
        command = {
            "app": [
                sys.executable,
                "-m",
                "tests.abci_app.server.counting_process",
                str(self.home / "s" / "app.sock"),
                str(self.home / "state.json"),
                str(self.home / "calls"),
            ],
            "engine": [str(self.engine_path), "start", "--home", str(self.home)],
        }[name]
        if name == "engine":
            # A killed engine leaves its RPC socket, and the next one refuses to start over it.
            (self.home / "s" / "rpc.sock").unlink(missing_ok=True)
        with (self.home / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log)

    def kill(self, name: str) -> None:
        self.processes[name].kill()
        self.processes[name].wait(WAIT_SECONDS)

    def end_of(self, name: str) -> int:
        """The code with which the process ends within its grace, by itself or not."""
        try:
            return self.processes[name].wait(GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill(name)
            return self.processes[name].returncode

    def calls(self) -> list[str]:
        path = self.home / "calls"
        return path.read_text().split() if path.exists() else []

    def await_blocks(self, count: int) -> None:
        """Wait for `count` further commits."""
        goal = self.calls().count("commit") + count
        end = time.monotonic() + WAIT_SECONDS
        while self.calls().count("commit") < goal:
            assert time.monotonic() < end, (self.home / "engine.log").read_text()[-2000:]
            time.sleep(0.02)

    def rpc(self, method: str, **params: str) -> dict:
        transport = httpx.HTTPTransport(uds=f"{self.home}/s/rpc.sock")
        with httpx.Client(transport=transport, timeout=WAIT_SECONDS) as client:
            answer = client.get(f"http://engine/{method}", params=params).json()
        assert "error" not in answer, answer
        return answer["result"]

    def submit(self, text: str) -> None:
        result = self.rpc("broadcast_tx_commit", tx=f'"{text}"')
        assert result["check_tx"]["code"] == 0
        assert int(result["height"]) > 0

    def stop(self) -> None:
        for process in self.processes.values():
            if process.poll() is None:
                process.terminate()
        for process in self.processes.values():
            try:
                process.wait(GRACE_SECONDS)
            except subprocess.TimeoutExpired:
                # An engine whose application has just gone can hang in the end that it makes itself.
                process.kill()
                process.wait(WAIT_SECONDS)


@pytest.mark.network
@pytest.mark.timeout(900)
def test_a_real_engine_makes_blocks_across_kills_of_engine_application_and_both(tmp_path):
    pair = Pair(tmp_path, engine_path())
    (tmp_path / "s").mkdir(mode=0o700)
    try:
        pair.start("app")
        pair.start("engine")
        pair.await_blocks(5)
        pair.submit("one")
        for victims in (("engine",), ("app",), ("app", "engine"), ("engine",)):
            for victim in victims:
                pair.kill(victim)
            # Without its application an engine ends by itself, with code 0; or hangs in that, and is killed.
            assert pair.end_of("engine") in (0, -9)
            for name in ("app", "engine"):
                if pair.processes[name].poll() is not None:
                    pair.start(name)
            pair.await_blocks(10)
            pair.submit("-".join(victims) + str(pair.calls().count(START)))
        info = pair.rpc("abci_info")["response"]
    finally:
        pair.stop()
    calls = pair.calls()
    assert violations(calls) == []
    made = Counter(calls)
    assert made[START] == 5
    assert made["check_tx"] >= 5
    assert made["prepare_proposal"] >= 40
    assert made["process_proposal"] >= 40
    assert int(info["last_block_height"]) >= 45
    # All five transactions are counted once, whatever was replayed.
    height, count = json.loads((tmp_path / "state.json").read_text())
    assert count == 5
    assert height >= int(info["last_block_height"])
