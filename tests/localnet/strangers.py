"""A CometBFT of somebody's own making, with an application that admits everybody: what a stranger could run."""

from __future__ import annotations

import os
import subprocess
import tempfile
from contextlib import asynccontextmanager
from pathlib import Path

from localnet.network import free_ports
from node.configuration import load_node, read_sources
from node.engine import binary
from node.engine_home import EngineSettings, write_engine_home
from node.engine_keys import node_key_file, read_engine_keys
from node.rpc import EngineAway, EngineRpc


@asynccontextmanager
async def stranger(network, ledger, genesis, *, node_key=None):
    """An engine that dials every founder of `ledger`, with a node key of its own or a copy of somebody's."""
    with tempfile.TemporaryDirectory(prefix="sg") as name:
        home = Path(name)
        if node_key is not None:
            node_key_file(home).parent.mkdir(parents=True)
            node_key_file(home).write_bytes(node_key.read_bytes())
            node_key_file(home).chmod(0o600)
        settings = EngineSettings(
            home=home,
            genesis=genesis,
            p2p_address=f"127.0.0.1:{free_ports(1)[0]}",
            peers=addresses(network, ledger),
            pace="hot",
            application_socket=home / "none",
            rpc_socket=home / "rpc",
        )
        write_engine_home(settings)
        config = home / "config" / "config.toml"
        text = config.read_text()
        # An application inside the engine, and no filter: nothing on this side refuses.
        text = text.replace(f'proxy_app = "unix://{home / "none"}"', 'proxy_app = "noop"')
        config.write_text(text.replace("filter_peers = true", "filter_peers = false"))
        with (home / "log").open("wb") as log:
            process = subprocess.Popen(
                [str(binary()), "start", "--home", str(home)], stdout=log, stderr=log, env={**os.environ}
            )
        rpc = EngineRpc(home / "rpc")
        try:
            yield Stranger(process, rpc, home / "log")
        finally:
            await rpc.close()
            process.kill()
            process.wait()


class Stranger:
    def __init__(self, process, rpc, log):
        self.process = process
        self.rpc = rpc
        self.log = log

    async def height(self):
        """Of the last block that it has, 0 for none; None while it does not answer."""
        assert self.process.poll() is None, self.log.read_text()
        try:
            return (await self.rpc.status()).height
        except EngineAway:
            return None


def addresses(network, ledger):
    """Where the ledger's founders listen, as their own configurations tell each other."""
    found = []
    for name in network.topology.ledgers[ledger].founders:
        files = network.material.files(name)
        section = load_node(read_sources(files.config, {})).ledgers[ledger]
        found.append(f"{read_engine_keys(files.engine_home(ledger)).node_id}@{section.p2p_address}")
    return found
