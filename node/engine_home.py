"""The engine's home: `config.toml` with every setting that matters and why, and the ledger's genesis.

Written anew at each start: the node's own configuration is the only source. Measurements behind the values:
docs/decisions/engine-settings.md.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from node.engine_keys import EngineKeys, ensure_engine_keys

# A ledger's `transaction_bytes_max` may be up to this; the engine refuses what is larger before anybody looks at it.
TRANSACTION_BYTES_MAX: Final = 1024 * 1024
# The application's quota a organization counts on it.
MEMPOOL_TRANSACTIONS: Final = 2_000


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineSettings:
    """What differs from engine to engine. `peers` as "node id@host:port"; sockets are paths."""

    home: Path
    genesis: bytes
    p2p_address: str
    peers: Sequence[str]
    pace: Literal["hot", "cold"]
    application_socket: Path
    rpc_socket: Path


def write_engine_home(settings: EngineSettings) -> EngineKeys:
    """Make or refresh the home; keys are made if there are none. Raises EngineKeysWrong."""
    keys = ensure_engine_keys(settings.home)
    _write(settings.home / "config" / "genesis.json", settings.genesis)
    _write(settings.home / "config" / "config.toml", engine_configuration(settings).encode("utf-8"))
    return keys


def engine_configuration(settings: EngineSettings) -> str:
    """The text of `config.toml` for CometBFT v0.40."""
    return _TEMPLATE.format(
        application_socket=_quoted(f"unix://{settings.application_socket}"),
        rpc_socket=_quoted(f"unix://{settings.rpc_socket}"),
        p2p_address=_quoted(f"tcp://{settings.p2p_address}"),
        peers=_quoted(",".join(settings.peers)),
        peer_ids=_quoted(",".join(peer.partition("@")[0] for peer in settings.peers)),
        gossip_sleep=_quoted("10ms" if settings.pace == "hot" else "500ms"),
        mempool_transactions=MEMPOOL_TRANSACTIONS,
        transaction_bytes_max=TRANSACTION_BYTES_MAX,
    )


def _quoted(text: str) -> str:
    """A basic string of TOML."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _write(path: Path, data: bytes) -> None:
    """Replace a file at once, so that an engine never reads half of one."""
    staged = path.with_name(path.name + ".new")
    descriptor = os.open(staged, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as target:
        target.write(data)
    staged.replace(path)


_TEMPLATE: Final = """\
# Written by the node at each start; changes belong into the node's own configuration.

proxy_app = {application_socket}
# Peers see it before any filter can act, so it says nothing.
moniker = "node"
abci = "socket"
db_backend = "goleveldb"
db_dir = "data"
genesis_file = "config/genesis.json"
priv_validator_key_file = "config/priv_validator_key.json"
priv_validator_state_file = "data/priv_validator_state.json"
node_key_file = "config/node_key.json"
# The node reads these lines; "CONSENSUS FAILURE" comes at this level.
log_level = "error"
log_format = "json"
# The application admits peers by the node ids on the ledger.
filter_peers = true

[rpc]
# Without authentication, so only for who may enter the folder of the socket.
laddr = {rpc_socket}
unsafe = false
cors_allowed_origins = []
grpc_laddr = ""
pprof_laddr = ""
# The largest transaction in base64, and JSON around it.
max_body_bytes = 4000000
max_open_connections = 200

[p2p]
laddr = {p2p_address}
# Fixed membership: who is a peer is configured, and admitted by the ledger; nobody is told of others.
pex = false
seeds = ""
persistent_peers = {peers}
unconditional_peer_ids = {peer_ids}
private_peer_ids = {peer_ids}
addr_book_strict = false
# Members may share a machine or an address.
allow_duplicate_ip = true
# A member that was away for a night is dialled again within seconds of its return.
persistent_peers_max_dial_period = "5s"
flush_throttle_timeout = "10ms"
send_rate = 20480000
recv_rate = 20480000
handshake_timeout = "10s"
dial_timeout = "3s"

[p2p.libp2p]
# Experimental, and all members would have to switch at once.
enabled = false

[mempool]
# "nop" and "app" cannot wake a sleeping chain.
type = "flood"
recheck = true
recheck_timeout = "2s"
broadcast = true
size = {mempool_transactions}
max_txs_bytes = 268435456
cache_size = 10000
# The same bytes may come again after a refusal: a tick that fired nothing, say.
keep-invalid-txs-in-cache = false
max_tx_bytes = {transaction_bytes_max}

[statesync]
enable = false

[blocksync]
version = "v0"
# Documented risk of equivocation on validators.
adaptive_sync = false

[consensus]
wal_file = "data/cs.wal/wal"
# The defaults (3 s, 1 s, 1 s) make a transaction take 3.6 s when one of four validators is away; these 0.1 s.
timeout_propose = "1s"
timeout_propose_delta = "500ms"
timeout_prevote = "300ms"
timeout_prevote_delta = "500ms"
timeout_precommit = "300ms"
timeout_precommit_delta = "500ms"
# A block as soon as there is something to put in it.
timeout_commit = "0s"
skip_timeout_commit = true
# A ledger without traffic sleeps; the interval is the net below a transaction that few mempools hold.
create_empty_blocks = false
create_empty_blocks_interval = "10m"
# Hot: answers in 0.1 s. Cold: a fifth of the idle load.
peer_gossip_sleep_duration = {gossip_sleep}
peer_query_maj23_sleep_duration = "2s"
# At the default of 1m an engine whose clock is behind panics and cannot come back; the application guards time.
block_time_tolerance = "8760h"
# Above 0 it would refuse to start within so many heights of its own votes, and the supervisor restarts in seconds.
double_sign_check_height = 0

[storage]
# Receipts are the application's.
discard_abci_responses = true

[tx_index]
indexer = "null"

[instrumentation]
prometheus = false
"""
