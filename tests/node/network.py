"""Real nodes on loopback: organizations with keys and certificates, a ledger, and `python -m node run` for each."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
from nacl.signing import SigningKey

from ledgers.client import Credentials, SigningMember, SyncClient
from ledgers.client.errors import ClientError
from ledgers.client.identity import (
    Authority,
    issue_member_certificate,
    issue_node_certificate,
    member_of,
    new_authority,
    signing_key_pem,
    write_secret,
)
from ledgers.genesis import LedgerGenesis, comet_genesis, ledger_id
from localnet.network import free_ports
from node.daemon import runtime_folder
from node.engine_keys import ensure_engine_keys
from smartcontracts.kernel import Position, Role
from smartcontracts.membership import Member, MemberKey, Organization
from smartcontracts.parameters import Parameters

ROOT = Path(__file__).resolve().parents[2]
ROLES = (Role.ADMINISTRATOR, Role.B_BUS, Role.FINANCE, Role.S_BUS, Role.SCO, Role.SOF)


_GIVEN_OUT: set[int] = set()


def free_port() -> int:
    """A port that nobody listens on. Not one that the kernel gives to outgoing connections, and none twice: it is bound later."""
    while True:
        (port,) = free_ports(1)
        if port not in _GIVEN_OUT:
            _GIVEN_OUT.add(port)
            return port


@contextlib.contextmanager
def refusing_port() -> Iterator[int]:
    """A port on which nobody can listen meanwhile: whoever connects is refused."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]


def is_alive(pid: int) -> bool:
    """Whether the process runs. One that has ended and is waited for by nobody yet (a zombie) does not."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    except OSError:
        return False
    return text.rpartition(")")[2].split()[0] not in {"Z", "X"}


def all_gone(pids: Iterable[int], seconds: float = 60.0) -> bool:
    """Whether all of them have ended, now or soon: the kernel takes its time to end the children of one that was killed."""
    pids, give_up = list(pids), time.monotonic() + seconds
    while any(map(is_alive, pids)):
        if time.monotonic() > give_up:
            return False
        time.sleep(0.05)
    return True


@dataclass
class Org:
    """An organization, its one member, and the folder of its node."""

    name: str
    folder: Path
    authority: Authority
    key: SigningKey
    position: str = Position.PARTY
    grpc_port: int = field(default_factory=free_port)

    @classmethod
    def make(cls, name: str, folder: Path, position: str = Position.PARTY) -> Org:
        org = cls(name, folder / name, new_authority(), SigningKey.generate(), position)
        org.folder.mkdir(parents=True)
        pair = issue_node_certificate(org.authority, ["127.0.0.1"])
        member = issue_member_certificate(org.authority, org.member_id)
        (org.folder / "ca.pem").write_bytes(org.authority.pair.certificate)
        (org.folder / "node.pem").write_bytes(pair.certificate)
        write_secret(org.folder / "node.key", pair.key)
        (org.folder / "member.pem").write_bytes(member.certificate)
        write_secret(org.folder / "member.key", member.key)
        write_secret(org.folder / "signing.key", signing_key_pem(org.key))
        return org

    @property
    def id(self) -> str:
        return self.authority.organization_id

    @property
    def member_id(self) -> str:
        return member_of(self.id, self.key)

    @property
    def signer(self) -> SigningMember:
        return SigningMember(f"{self.id}/{self.member_id}", self.key)

    @property
    def member(self) -> Member:
        key = MemberKey(public_key=self.key.verify_key.encode())
        return Member(id=self.member_id, organization_id=self.id, roles=tuple(sorted(ROLES)), keys=(key,))

    def record(self, *, node_ids=(), validator_key=b"") -> Organization:
        return Organization(
            id=self.id,
            name=self.name,
            position=Position(self.position),
            ca_certificate=self.authority.certificate_der,
            ca_public_key=self.authority.public_key_der,
            node_ids=tuple(node_ids),
            validator_key=validator_key,
        )

    def credentials(self, authority: Authority | None = None) -> Credentials:
        """For calls to the node of `authority` (its own by default)."""
        return Credentials(
            authority=(authority or self.authority).pair.certificate,
            certificate=(self.folder / "member.pem").read_bytes(),
            key=(self.folder / "member.key").read_bytes(),
        )

    def client(self, node: Org | None = None) -> SyncClient:
        node = node or self
        return SyncClient(f"127.0.0.1:{node.grpc_port}", self.credentials(node.authority))


@dataclass
class Founded:
    """A ledger that was founded: id, genesis file, and each validator's peer address."""

    name: str
    id: str
    genesis_file: Path
    genesis: LedgerGenesis
    peers: dict[str, str]


def found(
    name: str, kind: str, folder: Path, orgs: list[Org], *, guests: tuple[Org, ...] = (), **parameters: int
) -> Founded:
    """A ledger of these organizations, all of which validate, and of guests that run no node; engine homes are made with keys."""
    records, peers = [], {}
    for org in orgs:
        keys = ensure_engine_keys(org.folder / "engines" / name)
        peers[org.id] = f"{keys.node_id}@127.0.0.1:{free_port()}"
        records.append(org.record(node_ids=(keys.node_id,), validator_key=keys.validator_key))
    records += [guest.record() for guest in guests]
    genesis = LedgerGenesis(
        kind=kind,
        secret=os.urandom(32),
        created_at_ms=time.time_ns() // 1_000_000,
        contracts_version=1,
        parameters=Parameters(**parameters),
        organizations=tuple(sorted(records, key=lambda o: o.id)),
        members=tuple(sorted((o.member for o in (*orgs, *guests)), key=lambda m: m.id)),
    )
    file = folder / f"{name}.genesis.json"
    file.write_text(json.dumps(comet_genesis(genesis)))
    return Founded(name, ledger_id(genesis), file, genesis, peers)


def write_config(org: Org, ledgers: list[Founded]) -> Path:
    """The node's configuration file."""
    lines = [
        "[node]",
        f'organization = "{org.id}"',
        f'name = "{org.name}"',
        'data_dir = "data"',
        f'grpc_address = "127.0.0.1:{org.grpc_port}"',
        "[tls]",
        'ca_certificate = "ca.pem"\ncertificate = "node.pem"\nkey = "node.key"',
        '[log]\nformat = "json"',
        "[client]",
        f'node = "127.0.0.1:{org.grpc_port}"',
        'ca_certificate = "ca.pem"\ncertificate = "member.pem"\nkey = "member.key"',
        f'signer = "{org.signer.name}"\nsigning_key = "signing.key"',
    ]
    for ledger in ledgers:
        peers = [address for owner, address in ledger.peers.items() if owner != org.id]
        lines += [
            f"[ledgers.{ledger.name}]",
            f'ledger_id = "{ledger.id}"',
            f'genesis = "{ledger.genesis_file}"',
            f'engine_home = "engines/{ledger.name}"',
            f'p2p_address = "{ledger.peers[org.id].partition("@")[2]}"',
            'pace = "hot"',
            "validator = true",
            f"peers = {json.dumps(peers)}",
        ]
    path = org.folder / "syngraph.toml"
    path.write_text("\n".join(lines) + "\n")
    return path


class RunningNode:
    """`python -m node run` of one organization."""

    def __init__(self, org: Org, config: Path) -> None:
        self.org = org
        self.config = config
        self.log = org.folder / "node.log"
        self.process: subprocess.Popen | None = None

    def start(self) -> RunningNode:
        environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'proto' / 'gen'}"}
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "node", "run", "--config", str(self.config)],
                cwd=ROOT,
                env=environment,
                stdout=log,
                stderr=log,
            )
        return self

    def wait_ready(self, seconds: float = 180.0) -> RunningNode:
        give_up = time.monotonic() + seconds
        while time.monotonic() < give_up:
            assert self.process.poll() is None, self.log.read_text()
            try:
                with self.org.client() as client:
                    ledgers = client.node_status().ledgers
                # A ledger shows itself once the node knows who may see it.
                if len(ledgers) == self.config.read_text().count("ledger_id") and all(
                    s.state == "running" and s.height >= 1 for s in ledgers
                ):
                    return self
            except ClientError:
                pass
            time.sleep(0.1)
        raise AssertionError(self.log.read_text()[-5_000:])

    async def rpc(self, ledger_id: str, method: str) -> dict:
        """What the ledger's engine answers. Raises httpx.HTTPError."""
        transport = httpx.AsyncHTTPTransport(uds=str(runtime_folder(self.org.folder / "data") / f"{ledger_id}.rpc"))
        async with httpx.AsyncClient(transport=transport, timeout=30) as client:
            return (await client.get(f"http://engine/{method}")).json()["result"]

    def stop(self) -> int:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(120)
        except subprocess.TimeoutExpired:
            # The kernel ends its children with it.
            self.process.kill()
            self.process.wait()
            raise

    def events(self) -> list[dict]:
        """What the node logged, where it is JSON."""
        found = []
        for line in self.log.read_text().splitlines():
            try:
                found.append(json.loads(line))
            except ValueError:
                continue
        return found
